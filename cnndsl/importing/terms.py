"""The text of a file before its words are chosen: lines, chains and steps, with columns.

A template stands for all instances of a class. A `Column` holds what each instance has in one
place, by the instance's number; a step or a chain that only some have says which.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import field, replace
from functools import partial
from typing import Any, Self

from cnndsl.ops.facts import Shape
from cnndsl.records import Record, record

Column = dict[int, Any]
"""What each instance has in one place."""
Some = frozenset[int]
"""The numbers of instances."""


@record
class Then(Record):
    """`first then rest`: an argument that the first of several repeats has differently."""

    first: Any
    rest: Any


@record
class Named(Record):
    """An operation as a value: `relu`, `bn(eps=0.001)`."""

    word: str
    arguments: tuple[tuple[str, Any], ...] = ()


class Equal(int):
    """How many equal parts there are, and how large each is."""

    size: int

    def __new__(cls, parts: int, size: int) -> Self:
        """So many parts of a size."""
        found = super().__new__(cls, parts)
        found.size = size
        return found


@record
class Sides(Record):
    """Padding that differs from side to side: before and after each axis."""

    pairs: tuple[tuple[int, int], ...]


GROUP = ""
"""The word of a step that is a sequence in braces."""


@record
class Step(Record):
    """An operation or a call of a block, with operands in its braces, `count` times."""

    word: str
    arguments: dict[str, Column]
    operands: tuple[Chain, ...] | None
    present: Some
    count: Column
    path: str = ""
    """The module that it comes from."""
    each: str = ""
    """`each` where it does the same, with the same weights, to each of its operands; or
    `each row`.
    """

    def __hash__(self) -> int:
        """By identity: columns do not hash."""
        return id(self)


@record
class Chain(Record):
    """Steps one after another, from a label or, with none, from what enters.

    With `turns` there are several in braces, each with the `label` if there is one.
    """

    source: str | None
    steps: tuple[Step, ...]
    present: Some
    turns: tuple[str, str] | None = None
    label: str = ""


@record
class Line(Record):
    """A line of a block: what it is called, and its chain.

    With `turns` it is repeated, `for i in 0..3 { … }`: the name of the turn and its values.
    """

    labels: tuple[str, ...]
    chain: Chain
    turns: tuple[str, str] | None = None


@record
class Body(Record):
    """The lines of a block, the names of its ports and how many channels enter."""

    lines: tuple[Line, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    present: Some
    channels: Column = field(default_factory=dict)
    shapes: dict[int, tuple[Shape, ...]] = field(default_factory=dict)
    """The shapes of each instance's inputs."""


def steps(chain: Chain) -> Iterator[Step]:
    """All steps of a chain, those in braces too, in the order of the text."""
    for step in chain.steps:
        for operand in step.operands or ():
            yield from steps(operand)
        yield step


def names_of(line: Line) -> Iterator[str]:
    """The labels and the names of turns of a line, those in braces too."""
    yield from (*line.labels, *(line.turns or ())[:1])
    for step in steps(line.chain):
        for operand in step.operands or ():
            yield from (*(operand.turns or ())[:1], *filter(None, (operand.label,)))


def within(chain: Chain, changed: Callable[[Chain], Chain]) -> Chain:
    """A chain with each chain in its braces changed."""

    def step(one: Step) -> Step:
        operands = None if one.operands is None else tuple(map(changed, one.operands))
        return replace(one, operands=operands)

    return replace(chain, steps=tuple(map(step, chain.steps)))


def columns(body: Body) -> Iterator[tuple[Step, str, Column]]:
    """Every place of a body that instances may differ in."""
    for line in body.lines:
        for step in steps(line.chain):
            yield from ((step, name, column) for name, column in step.arguments.items())
            yield step, "*", step.count


# Instances of one class as one template


class Apart(Exception):  # noqa: N818 - it is an answer, not a fault
    """Two bodies have too little in common to be one block."""


WEIGHTY = frozenset(
    {"conv", "dwconv", "std_conv", "deconv", "linear", "add", "concat", "mul", "einsum"}
)


def merged(first: Body, second: Body) -> Body:
    """Two bodies as one, in which some steps are only some instances'.  Raises Apart."""
    same = (first.inputs, first.outputs, len(first.lines))
    if same != (second.inputs, second.outputs, len(second.lines)):
        raise Apart
    labels = [name for line in first.lines for name in line.labels]
    if [len(one.labels) for one in first.lines] == [len(one.labels) for one in second.lines]:
        second = relabelled(second, labels)
    lines = []
    for one, other in zip(first.lines, second.lines, strict=True):
        if one.labels != other.labels or one.chain.source != other.chain.source:
            raise Apart
        lines.append(Line(one.labels, _chain(one.chain, other.chain)))
    present = first.present | second.present
    channels = {**first.channels, **second.channels}
    shapes = {**first.shapes, **second.shapes}
    return Body(tuple(lines), first.inputs, first.outputs, present, channels, shapes)


def relabelled(body: Body, labels: Iterable[str]) -> Body:
    """A body whose lines, in their order, have other labels."""
    own = [name for line in body.lines for name in line.labels]
    names = dict(zip(own, labels, strict=True))

    def chain(one: Chain) -> Chain:
        name = re.split(r"[.\[]", one.source or "")[0]
        source = names.get(name, name) + (one.source or "").removeprefix(name) or None
        return within(replace(one, source=source), chain)

    lines = tuple(
        replace(line, labels=tuple(names[x] for x in line.labels), chain=chain(line.chain))
        for line in body.lines
    )
    return replace(body, lines=lines)


def _chain(first: Chain, second: Chain) -> Chain:
    present = first.present | second.present
    return replace(first, steps=_aligned(first.steps, second.steps), present=present)


def _aligned(first: tuple[Step, ...], second: tuple[Step, ...]) -> tuple[Step, ...]:
    """Two sequences as one, the steps that agree side by side.  Raises Apart."""
    first, second = _joined(first, second), _joined(second, first)
    scores: dict[tuple[int, int], float] = {}
    for i in range(len(first), -1, -1):
        for j in range(len(second), -1, -1):
            if i == len(first) or j == len(second):
                scores[i, j] = 0
                continue
            likeness = _likeness(first[i], second[j])
            both = scores[i + 1, j + 1] + likeness if likeness else -1
            scores[i, j] = max(both, scores[i + 1, j], scores[i, j + 1])
    made: list[Step] = []
    i = j = 0
    while i < len(first) and j < len(second):
        likeness = _likeness(first[i], second[j])
        if likeness and scores[i, j] == scores[i + 1, j + 1] + likeness:
            made.append(_step(first[i], second[j]))
            i, j = i + 1, j + 1
        elif scores[i, j] == scores[i + 1, j]:
            made.append(first[i])
            i += 1
        else:
            made.append(second[j])
            j += 1
    return (*made, *first[i:], *second[j:])


def _joined(own: tuple[Step, ...], other: tuple[Step, ...]) -> tuple[Step, ...]:
    """`a -> b` as `add { a } -> b` where the other one is `add { a; skip } -> b`."""
    joins = [n for n, step in enumerate(other) if step.word == "add" and step.operands]
    if len(joins) != 1 or any(step.operands and step.word == "add" for step in own) or not own:
        return own
    (place,) = joins
    behind = len(other) - place - 1
    before, after = own[: len(own) - behind], own[len(own) - behind :]
    fits = len(own) > behind and all(
        mine.word == theirs.word for mine, theirs in zip(after, other[place + 1 :], strict=True)
    )
    if not fits or place:
        return own
    present = own[0].present
    for step in own:
        present |= step.present
    inner = Chain(None, before, present)
    join = other[place]
    given = {
        name: dict.fromkeys(present, next(iter(column.values())))
        for name, column in join.arguments.items()
    }
    count = dict.fromkeys(present, 1)
    return (Step("add", given, (inner,), present, count, join.path), *after)


def _listed(one: Step, other: Step) -> Step:
    """A split into equal parts as a list of their sizes, where the other one has a list."""
    if "sections" not in one.arguments or one.arguments.keys() == other.arguments.keys():
        return one
    given = dict(one.arguments)
    sizes = {n: value.size for n, value in given.pop("sections").items()}
    count = sum(name.startswith("sections[") for name in other.arguments)
    return replace(one, arguments={f"sections[{n}]": sizes for n in range(count)} | given)


def _likeness(one: Step, other: Step) -> float:
    """How surely two steps are the same one; 0 where they cannot be."""
    if (one.word, one.each) != (other.word, other.each):
        return 0
    if one.word == "split":
        one, other = _listed(one, other), _listed(other, one)
    if set(one.arguments) != set(other.arguments):
        return 0
    if (one.operands is None) != (other.operands is None):
        return 0
    if one.operands is not None and other.operands is not None:
        try:
            _operands(one, other)
        except Apart:
            return 0
    alike = sum(
        set(column.values()) == set(other.arguments[name].values())
        for name, column in one.arguments.items()
    )
    near = one.path.rpartition(".")[2] == other.path.rpartition(".")[2]
    return 2 + 4 * (one.word in WEIGHTY) + alike / 8 + near / 2


def _step(one: Step, other: Step) -> Step:
    if one.word == "split":
        one, other = _listed(one, other), _listed(other, one)
    arguments = {name: {**c, **other.arguments[name]} for name, c in one.arguments.items()}
    return replace(
        one,
        arguments=arguments,
        operands=None if one.operands is None else _operands(one, other),
        present=one.present | other.present,
        count={**one.count, **other.count},
    )


def _operands(one: Step, other: Step) -> tuple[Chain, ...]:
    """The operands of two joins side by side.  Raises Apart."""
    mine, theirs = one.operands or (), other.operands or ()
    if one.word not in ("add", "concat") and len(mine) != len(theirs):
        raise Apart
    made: list[Chain] = []
    left = list(theirs)
    for chain in mine:
        fitting = next((c for c in left if _fits(chain, c)), None)
        if fitting is None:
            made.append(chain)
            continue
        ahead = left[: left.index(fitting)]
        made += ahead
        left = left[len(ahead) + 1 :]
        made.append(_chain(chain, fitting))
    made += left
    if not any(chain.present >= one.present | other.present for chain in made):
        raise Apart
    return tuple(made)


def _fits(one: Chain, other: Chain) -> bool:
    """Whether two operands are the same one: both `skip`, or chains that share most steps."""
    if one.source != other.source:
        return False
    if not one.steps or not other.steps:
        return not one.steps and not other.steps
    made = _aligned(one.steps, other.steps)
    shared = sum(step.present >= one.present | other.present for step in made)
    return 2 * shared >= len(made)


# Repeats


def repeated(sequence: tuple[Step, ...]) -> tuple[Step, ...]:
    """Equal calls of a block as one with a count."""
    made: list[Step] = []
    for step in sequence:
        last = made[-1] if made else None
        call = step.word[:1].isupper() and step.operands is None
        if last is not None and call and _same(replace(last, count=step.count), step, ()):
            (number,) = step.present
            made[-1] = replace(last, count={number: last.count[number] + 1})
        else:
            made.append(step)
    return tuple(made)


def shortened(chain: Chain, *, most: int = 2) -> Chain:
    """A chain in which, and in whose braces, what is repeated is written once."""
    one = within(chain, partial(shortened, most=most))
    return replace(one, steps=folded(one.steps, longest=LONGEST, most=most))


LONGEST = 6
"""The most steps that are repeated together, as `{ a -> b } * 4`."""


def folded(sequence: tuple[Step, ...], *, longest: int = 1, most: int = 2) -> tuple[Step, ...]:
    """Equal steps as one with a count; the first may differ in `most` places: `s=2 then 1`.

    Of all ways the one with the fewest words. Up to `longest` steps are repeated together.
    """
    best: list[tuple[float, int, tuple[str, ...], int]] = [(0.0, 0, (), 1)]
    rows = _periods(sequence, longest)
    for end in range(1, len(sequence) + 1):
        choices: list[tuple[float, int, tuple[str, ...], int]] = [
            (best[end - 1][0] + 1, end - 1, (), 1)
        ]
        for start in range(end - 2, -1, -1):
            first, second = sequence[start], sequence[start + 1]
            if not _same(second, sequence[end - 1], ()):
                break
            differing = _differing(first, second)
            if differing is not None and len(differing) <= most:
                odd = sum(not _easy(name, first) for name in differing)
                cost = 1 + 0.3 * len(differing) + 1.1 * odd
                choices.append((best[start][0] + cost, start, tuple(differing), 1))
        for period, lengths in rows.items():
            for start in range(end - 2 * period, end - period - lengths[end] - 1, -period):
                cost = period + 0.5
                choices.append((best[start][0] + cost, start, (), period))
        best.append(min(choices, key=lambda choice: choice[0]))
    made: list[Step] = []
    end = len(sequence)
    while end:
        _, start, names, period = best[end]
        run = sequence[start:end]
        made.append(_grouped(run, period) if period > 1 else _repeated(run, names))
        end = start
    return tuple(made[::-1])


def _periods(sequence: tuple[Step, ...], longest: int) -> dict[int, list[int]]:
    """For each period how many steps before each place equal those a period before them."""
    kinds: list[Step] = []
    numbers: list[int] = []
    for step in sequence if longest > 1 else ():
        known = (n for n, one in enumerate(kinds) if _same(one, step, ()))
        numbers.append(next(known, len(kinds)))
        kinds += [step] * (numbers[-1] == len(kinds))
    found: dict[int, list[int]] = {}
    for period in range(2, min(longest, len(numbers) // 2) + 1):
        lengths = [0] * (len(numbers) + 1)
        for end in range(period + 1, len(numbers) + 1):
            again = numbers[end - 1] == numbers[end - 1 - period]
            lengths[end] = lengths[end - 1] + 1 if again else 0
        found[period] = lengths
    return found


def _grouped(run: tuple[Step, ...], period: int) -> Step:
    """Several steps in braces, with a count."""
    some = run[0].present
    count = dict.fromkeys(some, len(run) // period)
    return Step(GROUP, {}, (Chain(None, run[:period], some),), some, count, run[-1].path)


def _easy(name: str, step: Step) -> bool:
    """Whether a reader expects that the first of several differs so: a stride, or a flag."""
    flag = all(isinstance(value, bool) for value in step.arguments[name].values())
    return flag or name.startswith(("s", "t"))


def _repeated(run: tuple[Step, ...], differing: tuple[str, ...]) -> Step:
    if len(run) == 1:
        return run[0]
    given, later = dict(run[0].arguments), run[1].arguments
    for name in differing:
        given[name] = {n: Then(value, later[name][n]) for n, value in given[name].items()}
    return replace(run[0], arguments=given, count=dict.fromkeys(run[0].present, len(run)))


def _differing(one: Step, other: Step) -> list[str] | None:
    """The arguments in which two steps differ; None where they are not alike."""
    if not _same(one, other, tuple(one.arguments)):
        return None
    found = [n for n, column in one.arguments.items() if column != other.arguments[n]]
    # What differs is said by a block's call; an operation is repeated as it is.
    return found if not found or one.word[:1].isupper() else None


def _same(one: Step, other: Step, but: tuple[str, ...]) -> bool:
    """Whether two steps read the same, some arguments left out."""
    if one.word != other.word or one.arguments.keys() != other.arguments.keys():
        return False
    if one.each or other.each:
        return False
    if any(c != other.arguments[n] for n, c in one.arguments.items() if n not in but):
        return False
    if one.present != other.present:
        return False
    if one.count != other.count or (one.operands is None) != (other.operands is None):
        return False
    if any(isinstance(value, Then) for c in one.arguments.values() for value in c.values()):
        return False
    return one.operands is None or (
        other.operands is not None
        and len(one.operands) == len(other.operands)
        and all(map(alike, one.operands, other.operands))
        and all(chain.source is None for chain in one.operands)
    )


def alike(one: Chain, other: Chain) -> bool:
    """Whether two chains read the same."""
    return (
        one.source == other.source
        and len(one.steps) == len(other.steps)
        and all(_same(a, b, ()) for a, b in zip(one.steps, other.steps, strict=True))
    )
