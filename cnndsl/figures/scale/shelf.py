"""Where stages stand: in rows, with arcs over them for what does not lead to the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from cnndsl.figures.layout.piece import Ends, tidy
from cnndsl.figures.paint import Point
from cnndsl.figures.scale.stage import LINE, Stage

GAP, ROW, SPACE = 7.0, 22.0, 5.0
"""Between silhouettes, between rows, between words."""
ARC, TRACK, RAIL = 12.0, 11.0, 7.0
"""Over the highest stage, between arcs, and between what leads from row to row."""
BESIDE = 4.0
"""Between the ends of arcs at one slab."""
INDENT = 12.0
"""Before a row that is not the only one."""

Stages = dict[str, Stage]


@dataclass(slots=True)
class Shelf:
    """Stages in their places, the first left face's middle at x, y, and lines between.

    `names` is the baseline of each one's name, at the middle of its fronts.
    """

    stages: Stages
    spots: dict[str, Point] = field(default_factory=dict)
    names: dict[str, float] = field(default_factory=dict)
    wires: dict[Ends, tuple[Point, ...]] = field(default_factory=dict)
    width: float = 0.0
    height: float = 0.0


def broken(chain: Sequence[str], stages: Stages, count: int) -> list[list[str]]:
    """The stages in so many rows, about equally wide."""
    wide = {
        key: max(found.right - found.left + GAP, found.wide + SPACE)
        for key, found in stages.items()
    }
    whole = sum(wide[key] for key in chain)
    rows: list[list[str]] = [[]]
    reached = 0.0
    for key in chain:
        part = whole / count * len(rows)
        if rows[-1] and len(rows) < count and reached + wide[key] / 2 > part:
            rows.append([])
        rows[-1].append(key)
        reached += wide[key]
    return rows


def in_rows(rows: Sequence[Sequence[str]], stages: Stages, edges: Sequence[Ends]) -> Shelf:
    """Rows from the left, each row's axis and the baseline of its names level.

    What leads to the next stage is straight; all else leaves over its stage, runs over the
    row, beside the rows to another, and comes down on what reads it.
    """
    shelf = Shelf(stages)
    order = [key for row in rows for key in row]
    follows = dict(pairwise(order))
    row_of = {key: number for number, row in enumerate(rows) for key in row}
    straight = [(t, h) for t, h in edges if follows.get(t) == h]
    nets = _Nets(shelf, [ends for ends in edges if follows.get(ends[0]) != ends[1]], row_of)
    indent = INDENT if len(rows) > 1 else 0.0
    for row in rows:
        _level(shelf, row, indent, 0.0)
    nets.choose()
    shift = RAIL * nets.rails("left")
    shelf.spots = {key: (x + shift, y) for key, (x, y) in shelf.spots.items()}
    shelf.width += shift
    y, tops = 0.0, []
    for number, row in enumerate(rows):
        tracks = nets.tracks(number)
        y += ARC + TRACK * (tracks - 1) if tracks else 0.0
        tops.append(y)
        axis = y + max(stages[key].above for key in row)
        for key in row:
            shelf.spots[key] = (shelf.spots[key][0], axis)
            shelf.names[key] += axis
        y = max(shelf.names[key] + stages[key].foot for key in row) + ROW
    shelf.height = y - ROW
    for tail, head in straight:
        begin = _add(shelf.spots[tail], stages[tail].exit)
        end = _add(shelf.spots[head], stages[head].entry)
        line = [begin, end]
        if row_of[tail] != row_of[head]:
            # Around to the row below, over all that runs over it.
            turn = shift + 3.0
            tracks = nets.tracks(row_of[head])
            between = tops[row_of[head]] - (ARC + TRACK * tracks if tracks else ROW / 2)
            out = shelf.spots[tail][0] + stages[tail].right + 5
            line[1:1] = [(out, begin[1]), (out, between), (turn, between), (turn, end[1])]
            shelf.width = max(shelf.width, out + 2)
        shelf.wires[tail, head] = tuple(line)
    nets.draw(tops, shift)
    return shelf


def _level(shelf: Shelf, row: Sequence[str], x: float, axis: float) -> None:
    """One row: what stands in it, and the words under it, keep apart."""
    worded = x
    below = max(shelf.stages[key].below for key in row)
    for key in row:
        found = shelf.stages[key]
        least = found.middle - found.wide / 2
        at = max(x - found.left, worded - least)
        shelf.spots[key] = (at, axis)
        shelf.names[key] = axis + below + LINE
        x = at + found.right + GAP
        worded = at + least + found.wide + SPACE
        shelf.width = max(shelf.width, x - GAP, worded - SPACE)


def _add(at: Point, by: Point) -> Point:
    return at[0] + by[0], at[1] + by[1]


Span = tuple[float, float]


class _Nets:
    """What leads from each stage to others than the next: one line, forked at its readers."""

    def __init__(self, shelf: Shelf, edges: Sequence[Ends], row_of: dict[str, int]) -> None:
        self.shelf = shelf
        self.row_of = row_of
        self.heads: dict[str, list[str]] = {}
        self.tails: dict[str, list[str]] = {}
        for tail, head in edges:
            self.heads.setdefault(tail, []).append(head)
            self.tails.setdefault(head, []).append(tail)
        self.side: dict[str, str] = {}
        self.rail: dict[str, int] = {}
        self.level: dict[tuple[str, int], int] = {}

    def choose(self) -> None:
        """On which side each goes to other rows, and how high it runs over each."""
        for tail in self.heads:
            rows = self._rows(tail)
            if len(rows) > 1:
                spans = [self._span(tail, row) for row in rows]
                left = sum(high for _, high in spans)
                right = sum(self.shelf.width - low for low, _ in spans)
                self.side[tail] = "left" if left <= right else "right"
        for side in ("left", "right"):
            taken: list[list[Span]] = []
            beside = [tail for tail, one in self.side.items() if one == side]
            for tail in sorted(beside, key=lambda t: len(self._rows(t))):
                rows = self._rows(tail)
                self.rail[tail] = _free(taken, (min(rows), max(rows)))
        for row in {row for tail in self.heads for row in self._rows(tail)}:
            taken = []
            over = [tail for tail in self.heads if row in self._rows(tail)]
            wholes = {tail: self._whole(tail, row) for tail in over}
            for _, tail in sorted((w[1] - w[0], tail) for tail, w in wholes.items()):
                self.level[tail, row] = _free(taken, wholes[tail])

    def _rows(self, tail: str) -> list[int]:
        return sorted({self.row_of[key] for key in (tail, *self.heads[tail])})

    def _span(self, tail: str, row: int) -> Span:
        """From the first to the last of its ends in a row."""
        ends = [key for key in (tail, *self.heads[tail]) if self.row_of[key] == row]
        xs = [self.shelf.spots[key][0] + self.shelf.stages[key].middle for key in ends]
        return min(xs), max(xs)

    def _whole(self, tail: str, row: int) -> Span:
        low, high = self._span(tail, row)
        side = self.side.get(tail)
        return (-1e9 if side == "left" else low), (1e9 if side == "right" else high)

    def rails(self, side: str) -> int:
        """How many stand side by side."""
        return max((self.rail[t] + 1 for t, one in self.side.items() if one == side), default=0)

    def tracks(self, row: int) -> int:
        """How many run over a row, one over the other."""
        return max((n + 1 for (_, one), n in self.level.items() if one == row), default=0)

    def draw(self, tops: Sequence[float], shift: float) -> None:
        """A line for each edge."""
        shelf, right = self.shelf, self.shelf.width
        for tail, heads in self.heads.items():
            begin = self._end(tail, tail)
            here = self.row_of[tail]
            for head in heads:
                end = self._end(tail, head)
                there = self.row_of[head]
                y1, y2 = (
                    tops[row] - ARC - TRACK * self.level[tail, row] + TRACK / 2
                    for row in (here, there)
                )
                line = [begin, (begin[0], y1)]
                if here != there:
                    place = RAIL * self.rail[tail]
                    left = self.side[tail] == "left"
                    x = shift - 2 - place if left else right + RAIL + place
                    shelf.width = max(shelf.width, x + 2)
                    line += [(x, y1), (x, y2)]
                line += [(end[0], y2), (end[0], end[1] - 1)]
                shelf.wires[tail, head] = tidy(tuple(line))

    def _end(self, tail: str, key: str) -> Point:
        """Where a line leaves its stage, or comes down on one: those at one slab apart."""
        shelf = self.shelf
        found = shelf.stages[key]
        if key != tail and any(placed.slab.copied == tail for placed in found.slabs):
            return _add(shelf.spots[key], found.top(tail))
        # Leaving lies right of what comes in, and what comes from afar is further left.
        comes = sorted(self.tails.get(key, ()), key=lambda t: self.level[t, self.row_of[key]])
        comes = [t for t in reversed(comes) if not any(p.slab.copied == t for p in found.slabs)]
        ends = [*comes, *([""] if key in self.heads else [])]
        place = ends.index("" if key == tail else tail) - (len(ends) - 1) / 2
        return _add(shelf.spots[key], found.top("", BESIDE * place))


def _free(taken: list[list[Span]], span: Span) -> int:
    """The lowest track on which a span meets no other; it is taken then."""
    for number, track in enumerate(taken):
        if all(high < span[0] - 4 or span[1] + 4 < low for low, high in track):
            track.append(span)
            return number
    taken.append([span])
    return len(taken) - 1


# What hangs below a path


def hung(
    path: list[str], edges: Sequence[Ends], keys: Sequence[str]
) -> dict[str, list[str]] | None:
    """What hangs below each stage of the path; None where it leads back to the path."""
    main = set(path)
    before: dict[str, list[str]] = {}
    for tail, head in edges:
        before.setdefault(head, []).append(tail)
    found: dict[str, list[str]] = {key: [] for key in path}
    under: dict[str, str] = {}
    for key in keys:
        if key in main:
            if any(tail not in main for tail in before.get(key, ())):
                return None
            continue
        tails = before.get(key, [])
        # Each is fed by the stage that it stands below, or there is no room for its line.
        top = under.get(tails[0], tails[0]) if tails else ""
        last = [top, *found.get(top, [])][-1]
        if len(tails) != 1 or top not in main or tails[0] != last:
            return None
        found[top].append(key)
        under[key] = top
    return found


def hanging(
    path: Sequence[str], below: dict[str, list[str]], edges: Sequence[Ends], stages: Stages
) -> Shelf:
    """The path in one row, and what hangs below it."""
    shelf = in_rows([path], stages, [ends for ends in edges if set(ends) <= set(path)])
    for key in path:
        x, _ = shelf.spots[key]
        middle, foot, last = x + stages[key].middle, shelf.names[key] + stages[key].foot, key
        for one in below[key]:
            found = stages[one]
            axis = foot + ROW + found.above
            shelf.spots[one] = (middle - found.middle, axis)
            shelf.names[one] = axis + found.below + LINE
            end = _add(shelf.spots[one], found.top())
            shelf.wires[last, one] = ((end[0], foot - 6), (end[0], end[1] - 1))
            foot, last = shelf.names[one] + found.foot, one
        shelf.height = max(shelf.height, foot)
    return shelf


def apart(path: Sequence[str], below: dict[str, list[str]], shelf: Shelf) -> bool:
    """Whether what hangs keeps apart, of the rest too."""
    boxes = []
    for one in (one for key in path for one in below[key]):
        (x, y), found = shelf.spots[one], shelf.stages[one]
        boxes.append((
            x + min(found.left, found.middle - found.wide / 2),
            x + max(found.right, found.middle + found.wide / 2),
            y - found.above, shelf.names[one] + found.foot - LINE,
        ))  # fmt: skip
    return all(
        a[1] <= b[0] or b[1] <= a[0] or a[3] <= b[2] or b[3] <= a[2]
        for n, a in enumerate(boxes)
        for b in boxes[:n]
    ) and all(box[0] >= 0 and box[1] <= shelf.width for box in boxes)
