"""Labels that are cut over their boxes: where they stand whole, and how they are cut well.

A box leaves its label room up to the edge that comes in from above. There is often more,
where nothing is painted: only the words move there, and no box.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, pairwise

from cnndsl.figures import font
from cnndsl.figures.paint import Area, Group, Leaf, Part, Path, Point, Text, leaves, traced

Rect = tuple[float, float, float, float]
"""Left, top, right, bottom."""
LAST, INDICES = re.compile(r"\[[^\[\]]*\]$"), re.compile(r"(\[[^\[\]]*\])+$")
"""The last index of a label, and all of them."""
STEP, PIECE = 1.0, 8.0
"""A label is tried so much further aside each time, and a slanted line is cut so short."""
BESIDE, OVER, UNDER = 3.5, 1.0, 8.0
"""From a label to what is painted beside it and over it, and to another box under it."""
OUTLINES = ("scope", "frame")
"""What has an outline alone: words may stand inside."""


@dataclass(slots=True, eq=False)
class _Labelled:
    """A box with the whole text of its label, which is painted last."""

    number: int
    group: Group
    whole: str
    text: Text

    @property
    def rest(self) -> tuple[Part, ...]:
        """The box without its label."""
        return self.group.children[:-1]

    def ways(self, text: str) -> Iterator[Text]:
        """A text where the label is, and ever further aside; half of it is over the box."""
        yield (first := replace(self.text, text=text))
        box = [bounds(part) for part in leaves(self.rest)]
        left, right = min(rect[0] for rect in box), max(rect[2] for rect in box)
        way = {"start": -STEP, "middle": 0.0, "end": STEP}[first.anchor]
        at, wide = bounds(first)[0], font.width(text, first.size)
        for _ in range(int(wide / STEP) if way and left <= self.text.x <= right else 0):
            at += way
            if min(at + wide, right) - max(at, left) < wide / 2:
                return
            yield (first := replace(first, x=first.x + way))


def spread(parts: list[Part], labels: dict[int, str], width: float) -> None:
    """Let each label that is cut stand whole where there is room, or say it shorter.

    So does one that a line had to run through. One that has no room for a letter is left
    out; the box's title says it.
    The `labels` are the whole ones of the boxes, by their places in `parts`.
    """
    every = [
        one for number, whole in labels.items() if (one := _labelled(parts, number, whole))
    ]
    paths = (leaf for leaf in leaves(parts) if isinstance(leaf, Path))
    lines = [_around(leg) for path in paths for leg in _legs(path)]
    struck = [one for one in every if _struck(one.text, lines)]
    cut = [one for one in every if one in struck or one.text.text != one.whole]
    if not cut:
        return
    rects = [list(painted(part)) for part in parts]
    said = {one.text.text: one.whole for one in every if one not in cut}
    for one in cut:
        others = {other.whole for other in every} - {one.whole}
        rects[one.number] = [rect for part in one.rest for rect in painted(part, own=True)]
        found = next(
            (
                text
                for words in shorter(one.whole, others)
                if said.get(words, one.whole) == one.whole
                for text in one.ways(words)
                if _free(text, chain(*rects), width)
            ),
            one.text if one.text.text != "…" and one not in struck else None,
        )
        if found:
            said[found.text] = one.whole
        words = (found,) if found else ()
        parts[one.number] = replace(one.group, children=(*one.rest, *words))
        rects[one.number] = list(painted(parts[one.number]))


def shorter(label: str, others: Collection[str]) -> Iterator[str]:
    """A label, and ever less of it: without what no other needs, else before its indices.

    That is an index, or the last name of a path.
    """
    yield label
    names, known = label.split(", "), [n for other in others for n in other.split(", ")]
    while any(name.endswith("]") for name in names):
        names = [LAST.sub("", name) for name in names]
        if any(f"{other}[".startswith(f"{name}[") for other in known for name in names):
            break
        yield ", ".join(names)
    path = label.rpartition(".")[0]
    if path and not any(
        name.startswith((f"{path}.", f"{path}[")) or name == path for name in known
    ):
        yield path
    end = INDICES.search(label)
    head, index = (label[: end.start()], end[0]) if end else (label, "")
    for kept in range(len(head) - 1, 0, -1):
        yield f"{head[:kept]}…{index}" if index else font.cut(head, kept)


def fitted(label: str, size: float, room: float) -> str:
    """A label cut to what stands in that many pixels, with its index if that has room."""
    texts = shorter(label, (label,))
    whole = (text for text in texts if font.width(text, size) <= room)
    return next(whole, font.fitted(label, size, room))


def _labelled(parts: list[Part], number: int, whole: str) -> _Labelled | None:
    group = parts[number]
    if not whole or not isinstance(group, Group) or not isinstance(group.children[-1], Text):
        return None
    return _Labelled(number, group, whole, group.children[-1])


def _struck(text: Text, lines: Iterable[Rect]) -> bool:
    """Whether a line runs through a text."""
    left, top, right, foot = bounds(text)
    return any(
        left < rect[2] and rect[0] < right and top < rect[3] and rect[1] < foot
        for rect in lines
    )


def _free(text: Text, rects: Iterator[Rect], width: float) -> bool:
    """Whether nothing is painted where a text is."""
    left, top, right, foot = bounds(text)
    left, top, right = left - BESIDE, top - OVER, right + BESIDE
    return (
        left >= 0
        and right <= width
        and not any(
            left < rect[2] and rect[0] < right and top < rect[3] and rect[1] < foot
            for rect in rects
        )
    )


def painted(part: Part, *, own: bool = False) -> Iterator[Rect]:
    """What is painted, in rectangles; another box is higher, so that no label is over it."""
    node = isinstance(part, Group) and part.kind == "node"
    for leaf in leaves((part,)):
        left, top, right, foot = bounds(leaf)
        match leaf:
            case Area(role="band"):
                pass
            case Area(role=role) if role in OUTLINES:
                yield from ((x, top, x, foot) for x in (left, right))
                yield from ((left, y, right, y) for y in (top, foot))
            case Path():
                yield from map(_around, _legs(leaf))
            case Text():
                yield (left, top, right, foot)
            case _:
                yield (left, top - UNDER * (node and not own), right, foot)


def _legs(line: Path) -> Iterator[tuple[Point, ...]]:
    """The pieces of a line: of a slanted one, many short ones."""
    for (x1, y1), (x2, y2) in pairwise(traced(line)):
        level = x1 == x2 or y1 == y2
        count = 1 if level else 1 + int(max(abs(x2 - x1), abs(y2 - y1)) / PIECE)
        points = [
            (x1 + (x2 - x1) * n / count, y1 + (y2 - y1) * n / count) for n in range(count + 1)
        ]
        yield from pairwise(points)


def bounds(leaf: Leaf) -> Rect:
    """The rectangle that a part fills."""
    match leaf:
        case Area():
            return (leaf.x, leaf.y, leaf.x + leaf.width, leaf.y + leaf.height)
        case Text():
            wide = font.width(leaf.text, leaf.size, bold=leaf.bold)
            left = leaf.x - {"start": 0.0, "middle": 0.5, "end": 1.0}[leaf.anchor] * wide
            return (left, leaf.y - 0.75 * leaf.size, left + wide, leaf.y + 0.2 * leaf.size)
    return _around(leaf.points)


def _around(points: tuple[Point, ...]) -> Rect:
    xs, ys = zip(*points, strict=True)
    return (min(xs), min(ys), max(xs), max(ys))
