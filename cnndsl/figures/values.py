"""The table under an opened block: the values of its parameters, one row a stage."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

from cnndsl.analysis.costs import Cost, costs
from cnndsl.figures import font
from cnndsl.figures.paint import Part, Path, Text
from cnndsl.figures.scene import Box, Cluster, Frame, Item, Plan, Scene
from cnndsl.figures.text import WHOLE, clean, count_text, label_text, letter, shape_text, stem
from cnndsl.figures.titles import arguments_of, column, column_text
from cnndsl.figures.walk import given, varying
from cnndsl.ops.facts import Shape
from cnndsl.structure import Call

SIZE, LINE, GAP = 8.5, 12.5, 9.0
"""Of the text, of a row, and between columns."""
NOTE = 8.0
"""Of a note over it."""
CELL = 110.0
"""The widest cell."""
MOST = 16
"""A longer table is left to the style `table`."""


@dataclass(frozen=True, slots=True)
class Branch:
    """Boxes under each other: their middle and sides, the role of the last, and all names."""

    x: float
    left: float
    right: float
    role: str
    names: frozenset[str]


@dataclass(frozen=True, slots=True)
class Table:
    """Names of columns and rows of cells; the first column is a stage's name."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    """What holds for all rows, and what cells of several values mean."""
    parameters: tuple[int, int] = (1, 1)
    """From which column to which parameters stand; the size and the costs follow."""
    rights: tuple[float, ...] = ()
    """Where its columns end, from the axis of the picture over it, if they stand under that."""
    rules: tuple[tuple[float, float, str], ...] = ()
    """Then, from where to where a branch is over it, and its role."""
    keys: tuple[str, ...] = ()
    """The box of the main picture that each row is of, if each is of one alone."""
    read: tuple[str, ...] = ()
    """The size of what each row's first call reads, where it reads one."""

    @property
    def widths(self) -> list[float]:
        """Of each column."""
        rows = (self.header, *self.rows)
        return [
            max(font.width(row[n], SIZE, bold=not n or row is self.header) for row in rows)
            for n in range(len(self.header))
        ]

    @property
    def width(self) -> float:
        """With the gaps between columns."""
        return sum(self.widths) + GAP * (len(self.header) - 1)

    @property
    def height(self) -> float:
        """With its rules."""
        return LINE * (len(self.rows) + 1) + 10

    def under(self, branches: Sequence[Branch]) -> Table:
        """The same with the columns of parameters under the branches that say these.

        It is the same table if a parameter is said in no branch or in several, if all are said
        in one, or if columns would overlap.
        """
        first, last = self.parameters
        said = [[b for b in branches if name in b.names] for name in self.header[first:last]]
        if any(len(found) != 1 for found in said):
            return self
        homes = [found[0] for found in said]
        places = [*enumerate(homes, first)]
        groups = {home: [n for n, at in places if at is home] for home in homes}
        order = sorted(groups, key=lambda branch: branch.x)
        if len(order) < 2 or homes != sorted(homes, key=lambda branch: branch.x):
            return self
        widths, rights = self.widths, dict[int, float]()
        edge = -1e9
        for branch in order:
            columns = groups[branch]
            wide = sum(widths[n] for n in columns) + GAP * (len(columns) - 1)
            at = branch.x - wide / 2
            if at < edge + GAP:
                return self
            for n in columns:
                edge = rights[n] = at + widths[n]
                at = edge + GAP
        edge = max(edge, order[-1].right)
        for n in range(last, len(widths)):
            edge = rights[n] = edge + GAP + widths[n]
        begin = min(rights[first] - widths[first], branches[0].left)
        for n in reversed(range(first)):
            rights[n] = begin - GAP
            begin = rights[n] - widths[n]
        rules = tuple((b.left, b.right, b.role) for b in order)
        return replace(self, rights=tuple(rights[n] for n in range(len(widths))), rules=rules)

    @property
    def sides(self) -> tuple[float, float]:
        """From the axis of the picture over it: how far it is to its left and right side."""
        return self.widths[0] - self.rights[0], self.rights[-1]

    def parts(self, x: float, y: float, width: float, axis: float) -> Iterator[Part]:
        """The table in a width, from its upper left corner, under a picture with that axis."""
        spare = max(width - self.width, 0.0) / max(len(self.header) - 1, 1)
        rights = [axis + right for right in self.rights]
        if rights:
            x, width = rights[0] - self.widths[0], self.widths[0] + rights[-1] - rights[0]
        else:
            steps = [wide + GAP + spare for wide in self.widths[1:]]
            rights = [*accumulate(steps, initial=x + self.widths[0])]
        lines = [(y + 2, 1.1), (y + LINE + 5, 0.6), (y + self.height - 1, 1.1)]
        stages = [stem(row[0]) for row in self.rows]
        if len(set(stages)) < len(stages):
            # A hairline where a stage ends that has several rows.
            pairs = enumerate(pairwise(stages), 2)
            lines += [(y + LINE * n + 7, 0.4) for n, (one, two) in pairs if one != two]
        for at, stroke in lines:
            yield Path(((x, at), (x + width, at)), radius=0, stroke=stroke)
        for left, right, role in self.rules:
            ends = ((axis + left, y + LINE + 5), (axis + right, y + LINE + 5))
            yield Path(ends, role, radius=0, stroke=1.6)
        for number, row in enumerate((self.header, *self.rows)):
            foot = y + LINE * (number + 1) + (4 if number else 0)
            if row[0]:
                yield Text(x, foot, row[0], SIZE, bold=True)
            for cell, right in zip(row[1:], rights[1:], strict=True):
                bold = not number
                yield Text(right, foot, cell, SIZE, "ink" if bold else "grey", bold, "end")


def values(plan: Plan, frame: Frame, known: Mapping[str, Cost] | None = None) -> Table | None:
    """The table of a frame; nothing for one whose calls have the same arguments.

    The costs of the nodes may be `known`.
    """
    if not frame.calls:
        return None
    blocks = [call.block for call in frame.calls]
    rows = dict(zip(map(id, frame.calls), given(blocks), strict=True))
    names = varying(list(rows.values()))
    groups = list(_groups(plan, frame))
    boxed = _boxed(plan, frame, [calls for _, calls in groups])
    if not names or not 1 < len(groups) <= MOST:
        return None
    table, layers = known or costs(plan.network), frame.placed
    cells: list[tuple[str, ...]] = []
    for label, calls in groups:
        held = [rows[id(call)] for call in calls]
        nodes = {name for call in calls for name in layers[id(call)] if name}
        cost = sum((table[name] for name in nodes), Cost())
        texts = [_cell([row[name] for row in held]) for name in names]
        out = _sizes([call.outputs[0].shape for call in calls if call.outputs])
        counted = (count_text(cost.parameters), count_text(cost.macs))
        cells.append((label, str(len(calls)), *texts, out, *counted))
    columns = [[[rows[id(call)][n] for call in calls] for _, calls in groups] for n in names]
    header = _header(names)
    made = _trimmed(header, _apart(cells, header), columns)
    reads = [calls[0].inputs for _, calls in groups]
    read = tuple(shape_text(one.shape) for one, *more in reads if not more)
    return replace(made, keys=boxed, read=read if len(read) == len(groups) else ())


def _trimmed(
    header: tuple[str, ...],
    cells: Sequence[tuple[str, ...]],
    columns: Sequence[Sequence[Sequence[object]]],
) -> Table:
    """The table without columns in which all rows are the same: it says these once.

    Of each parameter there are the values in every row, as `columns`.
    """
    last = 2 + len(columns)
    same = [n for n in range(1, last) if len({row[n] for row in cells}) == 1]
    once = [_once(header[n], cells[0][n], columns[n - 2]) for n in same if n > 1]
    if 1 in same and cells[0][1] != "1":
        once = [f"{cells[0][1]} blocks", *once]
    none = [n for n in range(last + 1, len(header)) if all(row[n] == "0" for row in cells)]
    keep = [n for n in range(len(header)) if n not in (*same, *none)]
    shown, *rows = (
        tuple(font.fitted(clean(row[n]), SIZE, CELL, bold=not n or row is header) for n in keep)
        for row in (header, *cells)
    )
    forms = _forms([cell for n in range(2, last) if n not in same for cell in columns[n - 2]])
    places = (1 + (1 in keep), sum(n < last for n in keep))
    made = Table(shown, tuple(rows), parameters=places)
    notes = [f"each row: {' · '.join(once)}"] if once else []
    return replace(made, notes=tuple(_filled([*notes, *forms], made.width)))


def _once(name: str, cell: str, rows: Sequence[Sequence[object]]) -> str:
    """A parameter that is the same in all rows."""
    meaning = next(filter(None, (column(values)[1] for values in rows)), "")
    return f"{name} {cell}, {meaning}" if meaning else f"{name} {cell}"


def _forms(columns: Sequence[Sequence[object]]) -> list[str]:
    """What cells of several values mean, by an example of each kind."""
    found: dict[str, str] = {}
    for text, meaning in map(column, columns):
        found.setdefault(meaning, f"{text}: {meaning}")
    return [note for meaning, note in found.items() if meaning]


def _filled(notes: Sequence[str], room: float) -> list[str]:
    """The notes, those in one line that have room there."""
    found: list[str] = []
    for note in notes:
        longer = f"{found[-1]}; {note}" if found else note
        found[-1:] = [longer] if font.width(longer, NOTE) <= room else [*found[-1:], note]
    return found


def _header(names: Sequence[str]) -> tuple[str, ...]:
    """The names of the columns, each its own: a parameter may be called `n` or `out`."""
    ours = (("n", "×"), ("out", "size"), ("params", "parameters"), ("MACs", "multiply-adds"))
    count, *last = (other if name in names else name for name, other in ours)
    return ("", count, *names, *last)


def _apart(cells: Sequence[tuple[str, ...]], header: Sequence[str]) -> list[tuple[str, ...]]:
    """The rows, those of one name each with an argument that tells it apart, or a letter."""
    found: dict[str, list[tuple[str, ...]]] = {}
    for row in cells:
        found.setdefault(row[0], []).append(row)
    marks: dict[int, str] = {}
    for name, alike in found.items():
        columns = (
            n for n in range(2, len(header) - 3) if len({r[n] for r in alike}) == len(alike)
        )
        n = next(columns, 0)
        for number, row in enumerate(alike if name and len(alike) > 1 else ()):
            marks[id(row)] = (
                f"{name} {header[n]} {row[n]}" if n else f"{name} ({letter(number)})"
            )
    return [(marks.get(id(row), row[0]), *row[1:]) for row in cells]


def _boxed(plan: Plan, frame: Frame, rows: Sequence[Sequence[Call]]) -> tuple[str, ...]:
    """The box of the main picture that each row is of; nothing if one is of several boxes."""
    owner = {name: box for box in plan.main.boxes() for name in box.nodes}
    placed, found = frame.placed, list[str]()
    for calls in rows:
        own = {owner[n].key: owner[n] for call in calls for n in placed[id(call)] if n}
        if len(own) != 1 or any(box.frame is not frame for box in own.values()):
            return ()
        found += own
    return tuple(found)


def named_calls(plan: Plan, frame: Frame) -> dict[int, str]:
    """What the calls of a frame are called in the main picture, by their `id`."""
    return {id(call): name for name, calls in _groups(plan, frame) for call in calls}


def _sizes(shapes: Sequence[Shape]) -> str:
    """What the calls of a row give out: one size, or the largest and the smallest map.

    Where all have the same height and width, and all but the first the same channels, it is
    both: `96, 144×56²`.
    """
    if len({*shapes[1:]}) < 2 and len({shape[1:] for shape in shapes}) < 2:
        first = [f"{shape[0]}, " for shape in shapes[:1] if shape != shapes[-1]]
        return "".join([*first, shape_text(shapes[-1])]) if shapes else ""
    large = max(shapes, key=_area)
    last = min(reversed(shapes), key=_area)
    small = shape_text(last)
    if large[:1] == last[:1]:
        small = small.removeprefix(f"{last[0]}×")
    text = f"{shape_text(large)} … {small}"
    return text if large != last and font.width(text, SIZE) <= CELL else "–"


def _area(shape: Shape) -> int:
    return math.prod(map(int, shape[1:]))


def _cell(values: Sequence[object]) -> str:
    text = column_text(values)
    return "–" if text is None else text or "yes"


def _groups(plan: Plan, frame: Frame) -> Iterator[tuple[str, list[Call]]]:
    """The calls of each line of the main picture, in its order, with the line's label.

    Without one they are of a box, which says its block and, if others do so too, with what it
    is called; nothing where a row's own values say so.
    """
    order = {name: number for number, name in enumerate(plan.network.wires)}
    ends = _ends(plan.main)
    owner = {name: box for box in plan.main.boxes() for name in box.nodes}
    found: dict[object, tuple[Box, list[Call]]] = {}
    placed = [
        (min(order[name] for name in nodes if name), call, next(filter(None, nodes)))
        for call, nodes in zip(frame.calls, frame.nodes, strict=True)
        if any(nodes)
    ]
    for _, call, first in sorted(placed, key=lambda one: one[0]):
        box = owner[first]
        # Calls of one block on one line are a row.
        key = (ends[box.key].key, _block(box))
        found.setdefault(key, (box, []))[1].append(call)
    lines = Counter(ends[box.key].key for box, _ in found.values())
    named = {
        box.key: label_text(
            ends[box.key].labels if lines[ends[box.key].key] == 1 else box.labels
        )
        for box, _ in found.values()
    }
    around = dict(_around(plan.main.items))
    nameless = [
        box for box, _ in found.values() if not named[box.key] and box.key not in around
    ]
    own = len(nameless) == len(found) and all(box.frame is frame for box in nameless)
    kinds = Counter(map(_block, nameless))
    for box, calls in found.values():
        name = WHOLE.sub("", named[box.key]) or around.get(box.key, "")
        if not name and not own:
            several = kinds[_block(box)] > 1
            name = " ".join([_block(box), *(arguments_of(box) if several else ())])
        yield name, calls


def _around(items: Sequence[Item], label: str = "") -> Iterator[tuple[str, str]]:
    """The boxes of repeated sequences that have labels, each with the label."""
    for item in items:
        if isinstance(item, Cluster):
            yield from _around(item.children, label if item.title else label_text(item.labels))
        elif label:
            yield item.key, label


def _ends(scene: Scene) -> dict[str, Box]:
    """By box the last of its line, which has its label."""
    found: dict[str, Box] = {}
    line: list[Box] = []
    for box in scene.boxes():
        line.append(box)
        if label_text(box.labels):
            found |= {one.key: box for one in line if one.line == box.line}
            line = []
        found.setdefault(box.key, box)
    return found


def _block(box: Box) -> str:
    """A box's block, without the stride of its call."""
    return box.title.partition(" /")[0]
