"""Blocks of as many inputs as they are given, in which every branch hears every other.

HRNet's module is written for two, three and four branches. Where the lines of all of these are
the cells of one grid, output i of what branch j gives, they are one block with two `for`s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from cnndsl.importing.terms import Body, Chain, Line, Some, Step
from cnndsl.records import Record, record

Place = tuple[int, int, tuple[int, ...]]
"""Which output, which input, and the channels of all inputs."""
Cell = tuple[Place, tuple[Step, ...]]

NUMBERS: dict[str, Callable[[Place], float]] = {
    "x[i].c": lambda at: at[2][at[0]],
    "x[j].c": lambda at: at[2][at[1]],
    "2 ** (j - i)": lambda at: 2.0 ** (at[1] - at[0]),
    "2 ** (i - j)": lambda at: 2.0 ** (at[0] - at[1]),
    "i - j": lambda at: at[0] - at[1],
    "j - i": lambda at: at[1] - at[0],
}
"""What a number in a cell may be."""
CLASSES = {"j < i": ("down", 1), "j == i": ("same", 0), "j > i": ("up", -1)}
"""The cells below the diagonal, on it and above it: what they are called, the sign of i − j."""
ONE: Some = frozenset((0,))


@record
class Grid(Record):
    """The lines of one block: what each input goes through, and what each output joins."""

    branch: str
    rows: tuple[Step, ...]
    cells: dict[str, tuple[Step, ...]]
    """By the condition that holds in them."""
    join: tuple[Step, ...]
    """The join without its operands, and what follows it."""
    rank: int
    formulas: dict[int, str]

    def body(self) -> Body:
        """All its steps, for whoever counts them."""
        chains = (self.rows, *self.cells.values(), self.join)
        lines = tuple(Line((), Chain(None, chain, ONE)) for chain in chains)
        return Body(lines, (), (), ONE)


def grid(templates: list[Body]) -> Grid | None:
    """The one grid that all templates of a class form, or None."""
    widest = max((len(one.inputs) for one in templates), default=0)
    if widest < 3 or min(len(one.inputs) for one in templates) < 2:
        return None
    search = _Search()
    for body in templates:
        for instance in body.present:
            if not search.reads(body, instance):
                return None
    return search.found()


class _Search:
    def __init__(self) -> None:
        self.rows: list[Cell] = []
        self.cells: list[Cell] = []
        self.joins: list[Cell] = []
        self.labels: set[str] = set()
        self.ranks: set[int] = set()
        self.formulas: dict[int, str] = {}

    def reads(self, body: Body, instance: int) -> bool:
        """Sort one instance's lines into the grid; False if they do not form one."""
        shapes = body.shapes[instance]
        count, widths = len(shapes), tuple(shape[0] for shape in shapes)
        self.ranks |= {len(shape) for shape in shapes}
        lines = [(line.labels, _of(line.chain, instance)) for line in body.lines]
        if len(lines) != 2 * count or len(body.outputs) != count:
            return False
        branches: list[str] = []
        for number, (labels, chain) in enumerate(lines[:count]):
            if chain is None or chain.source != body.inputs[number] or len(labels) != 1:
                return False
            branches.append(labels[0])
            self.rows.append(((number, number, widths), chain.steps))
        self.labels |= {name.rstrip("0123456789_") for name in branches}
        for number, (labels, chain) in enumerate(lines[count:]):
            if chain is None or labels != (body.outputs[number],) or not chain.steps:
                return False
            join, *after = chain.steps
            operands = join.operands or ()
            if chain.source or [one.source for one in operands] != branches:
                return False
            for other, one in enumerate(operands):
                self.cells.append(((number, other, widths), one.steps))
            plain = (replace(join, operands=None), *after)
            self.joins.append(((number, number, widths), plain))
        return True

    def found(self) -> Grid | None:
        """What everything read so far has in common."""
        rows, join = self._common(self.rows), self._common(self.joins)
        cells: dict[str, tuple[Step, ...]] = {}
        for condition, (_, sign) in CLASSES.items():
            some = [one for one in self.cells if _sign(one[0][0] - one[0][1]) == sign]
            steps = self._common(some)
            steps = self._counted(some, sign) if steps is None else steps
            if steps is None:
                return None
            cells[condition] = steps
        if rows is None or join is None or len(self.labels) != 1 or len(self.ranks) != 1:
            return None
        (label,), (rank,) = self.labels, self.ranks
        return Grid(label, rows, cells, join, rank, self.formulas)

    def _common(self, cells: list[Cell]) -> tuple[Step, ...] | None:
        """Steps of which there are equally many in all cells, as one."""
        if len({len(steps) for _, steps in cells}) != 1:
            return None
        made = []
        for column in zip(*(steps for _, steps in cells), strict=True):
            step = self._step(
                [(place, one) for (place, _), one in zip(cells, column, strict=True)]
            )
            if step is None:
                return None
            made.append(step)
        return tuple(made)

    def _counted(self, cells: list[Cell], sign: int) -> tuple[Step, ...] | None:
        """A step as often as a cell is far from the diagonal, or once less, and the others."""
        for less, last in ((1, 1), (0, 1), (0, 0), (1, 2)):
            if any(len(steps) != abs(p[0] - p[1]) - less + last for p, steps in cells):
                continue
            heads = [(p, one) for p, steps in cells for one in steps[: len(steps) - last]]
            tails = self._common([(p, steps[len(steps) - last :]) for p, steps in cells])
            head = self._step(heads) if heads else None
            if head is None or tails is None:
                continue
            count: dict[int, Any] = {0: 1}
            text = "i - j" if sign > 0 else "j - i"
            self.formulas[id(count)] = f"{text} - {less}" if less else text
            return (replace(head, count=count), *tails)
        return None

    def _step(self, places: Iterable[tuple[Place, Step]]) -> Step | None:
        """One step for all, its numbers as formulas of where they stand."""
        given = list(places)
        first = given[0][1]
        alike = [(one.word, one.each, one.count, [*one.arguments]) for _, one in given]
        if any(one != alike[0] for one in alike) or any(one.operands for _, one in given):
            return None
        arguments: dict[str, dict[int, Any]] = {}
        for name in first.arguments:
            values = [one.arguments[name][0] for _, one in given]
            column = {0: values[0]}
            # A width is that of a branch, though only one cell should say so.
            if name == "out" or any(repr(value) != repr(values[0]) for value in values):
                text = _formula([place for place, _ in given], values)
                if text is None and len(set(map(repr, values))) > 1:
                    return None
                if text is not None:
                    column[1] = values[-1]
                    self.formulas[id(column)] = text
            arguments[name] = column
        return replace(first, arguments=arguments, present=ONE, count={0: first.count[0]})


def _formula(places: list[Place], values: list[Any]) -> str | None:
    if not all(isinstance(value, int) and not isinstance(value, bool) for value in values):
        return None
    pairs = list(zip(places, values, strict=True))
    fits = (t for t, number in NUMBERS.items() if all(number(p) == v for p, v in pairs))
    return next(fits, None)


def _sign(number: int) -> int:
    return (number > 0) - (number < 0)


def _of(chain: Chain, instance: int) -> Chain | None:
    """A chain as one instance has it, as its only one."""
    if instance not in chain.present:
        return None
    steps = tuple(_step_of(step, instance) for step in chain.steps if instance in step.present)
    return Chain(chain.source, steps, ONE)


def _step_of(step: Step, instance: int) -> Step:
    arguments = {name: {0: column[instance]} for name, column in step.arguments.items()}
    count = {0: step.count[instance]}
    operands = None
    if step.operands is not None:
        found = (_of(one, instance) for one in step.operands)
        operands = tuple(one for one in found if one is not None)
    return replace(step, arguments=arguments, operands=operands, present=ONE, count=count)


def threaded(body: Body, grids: frozenset[str]) -> Body:
    """A body in which a grid that takes all that the line above gives continues it."""
    text = [label for line in body.lines for label in _chains(line.chain)]
    made: list[Line] = []
    for line in body.lines:
        first = line.chain.steps[0] if line.chain.steps else None
        before = made[-1] if made else None
        if first is not None and before is not None and first.word in grids:
            (label,) = before.labels
            whole = [one.source for one in first.operands or ()] == [f"{label}[*]"]
            if whole and sum(one.startswith(f"{label}[") for one in text) == 1:
                steps = (*before.chain.steps, replace(first, operands=None))
                chain = replace(before.chain, steps=(*steps, *line.chain.steps[1:]))
                made[-1] = Line(line.labels, chain)
                continue
        made.append(line)
    return replace(body, lines=tuple(made))


def _chains(chain: Chain) -> Iterator[str]:
    """The labels that a chain begins from, and those within it."""
    yield chain.source or ""
    for step in chain.steps:
        for operand in step.operands or ():
            yield from _chains(operand)
