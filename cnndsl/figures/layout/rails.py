"""Levels that have the same readers, led to them in one thick line: a rail."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from cnndsl.figures import font
from cnndsl.figures.layout.cards import LABEL
from cnndsl.figures.layout.heads import LEAST
from cnndsl.figures.layout.piece import ASIDE, Ends, Line, Piece, Rail, Spot, bounds, tidy
from cnndsl.figures.layout.route import DOWN, RIGHT, Port, Router, Wanted
from cnndsl.figures.text import clean, label_text, levels_text

TRACK = 8.0
"""Between two lines that run beside each other."""


@dataclass(slots=True)
class Bus:
    """Levels that have the same readers beside the lanes: one upright line at `x`."""

    number: int
    x: float
    sources: list[tuple[str, float]]
    """The boxes that give the levels, and how far down each leaves its box."""
    heads: list[Spot]
    names: list[str]
    """Of the levels, in order."""
    led: list[tuple[str, Line]] = field(default_factory=list)
    """From each level to the upright line."""

    @property
    def edges(self) -> list[Ends]:
        """Of each box to each reader."""
        return [(tail, head.box.key) for tail, _ in self.sources for head in self.heads]

    @property
    def room(self) -> float:
        """For its words, from the upright line to the nearest reader."""
        return min(head.left for head in self.heads) - self.x - ASIDE - TRACK

    @property
    def texts(self) -> list[str]:
        """The names of its levels, and shorter: the first and the last."""
        names = [name for name in self.names if name] or [""]
        return [*map(clean, (levels_text(self.names), f"{names[0]} … {names[-1]}"))]

    @property
    def lacks(self) -> float:
        """By how much that is too little for these names."""
        wide = min(font.width(text, LABEL, bold=True) for text in self.texts)
        return wide + TRACK - self.room

    def wanted(self, leaves: dict[str, Piece], levels: list[float]) -> list[Wanted]:
        """A way from each level to the upright line, straight if it can be."""
        found = []
        counts = Counter(tail for tail, _ in self.sources)
        for tail, y in self.sources:
            first, foot = spot_of(leaves[tail], tail), foot_of(leaves[tail], tail)
            # Each level of a tall box leaves it at its own height.
            alone = counts[tail] == 1 and abs(first.y - y) < 1
            tails = [Port(*foot[-1], DOWN, 16)] if alone else []
            if bare(leaves[tail]):
                tails.append(Port(bounds(first)[2], y, RIGHT))
            heads = [Port(self.x, level, RIGHT, 20) for level in levels]
            heads.append(Port(self.x, y, RIGHT))
            name = tail if alone else f"{tail}#{y:g}"
            found.append(Wanted((name, f"@{self.number}"), tuple(tails), tuple(heads)))
        return found

    def ways(self) -> list[Line]:
        """From the upright line to each reader."""
        return [((self.x, head.y), (head.left, head.y)) for head in self.heads]

    def reserve(self, router: Router) -> None:
        """Keep other edges off the upright line and the ways to the readers."""
        ys = [*(y for _, y in self.sources), *(head.y for head in self.heads)]
        for line in (((self.x, min(ys)), (self.x, max(ys))), *self.ways()):
            router.fence({("", f"@{self.number}"): line})

    def wires(self) -> Iterator[tuple[Ends, Line]]:
        """All its edges, each tensor by its own line."""
        for tail, led in self.led:
            for head, way in zip(self.heads, self.ways(), strict=True):
                yield (tail.partition("#")[0], head.box.key), tidy((*led, *way))

    def rail(self) -> Rail:
        """The thick line."""
        joints = tuple(led[-1] for _, led in self.led)
        ys = [y for _, y in joints] + [head.y for head in self.heads]
        trunk = ((self.x, min(ys)), (self.x, max(ys)))
        ways = tuple(self.ways())
        wide = {text: font.width(text, LABEL, bold=True) for text in self.texts}
        words = next(text for text in self.texts if wide[text] <= self.room)
        return Rail(trunk, ways, joints, words)


def buses_of(
    edges: list[Ends],
    joins: Piece,
    right: float,
    sources: Mapping[str, list[float]],
    leaves: Mapping[str, Piece],
) -> list[Bus]:
    """Levels that are led in one line; that of a higher reader is further to the left.

    They are named after the boxes that give them, which are in the `leaves`.
    """
    fed: dict[str, list[tuple[str, float]]] = {}
    for tail, head in edges:
        fed.setdefault(head, []).extend((tail, y) for y in sources[tail])
    groups: dict[tuple[tuple[str, float], ...], list[Spot]] = {}
    for spot in sorted(joins.spots, key=lambda spot: spot.y):
        others = [other for other in joins.spots if other is not spot]
        near = any(o.top < spot.y < o.bottom and o.left < spot.left for o in others)
        if len(fed.get(spot.box.key, ())) >= LEAST and not near:
            groups.setdefault(tuple(sorted(fed[spot.box.key])), []).append(spot)
    return [
        Bus(
            number,
            right + TRACK * (3 + 2 * number),
            list(levels),
            heads,
            [
                name
                for tail, count in Counter(tail for tail, _ in levels).items()
                for name in names_of(spot_of(leaves[tail], tail), count)
            ],
        )
        for number, (levels, heads) in enumerate(groups.items())
    ]


def names_of(spot: Spot, count: int) -> list[str]:
    """What the levels of a box are called: of a block that gives several, its outputs."""
    calls = spot.box.frame.calls if spot.box.frame else []
    outputs = [*calls[0].block.outputs] if calls else []
    return outputs if 1 < count == len(outputs) else [label_text(spot.box.labels)]


def entering(ends: Ends, tail: Piece, joins: Piece) -> Wanted:
    """An edge from a lane to what stands beside the lanes."""
    first = spot_of(tail, ends[0])
    last = spot_of(joins, ends[1])
    foot = foot_of(tail, ends[0])
    tails = [Port(*foot[-1], DOWN, 16)]
    if bare(tail):
        tails.append(Port(bounds(first)[2], first.y, RIGHT))
    heads = [Port(last.left, last.y, RIGHT), Port(last.x, bounds(last)[1], DOWN, 60)]
    return Wanted(ends, tuple(tails), tuple(heads))


def spot_of(piece: Piece, key: str) -> Spot:
    """The place of a box in a piece."""
    return next(spot for spot in piece.spots if spot.box.key == key)


def aside(piece: Piece, key: str) -> tuple[float, float] | None:
    """Where what a box gives leaves its outlines at the right, if nothing is there."""
    spot = spot_of(piece, key)
    others = [bounds(other) for other in piece.spots if other is not spot]
    lines = [tuple(zip(*line, strict=True)) for line in piece.wires.values()]
    rects = others + [(min(xs), min(ys), max(xs), max(ys)) for xs, ys in lines]
    free = not any(r > spot.right and t < spot.y < b for _, t, r, b in rects)
    outer = max((c.x + c.width for c in piece.scopes), default=0.0)
    return (outer, spot.y) if piece.scopes and free else None


def foot_of(piece: Piece, key: str) -> Line:
    """The line on which a box leaves its piece: where none is led, it ends at the box."""
    spot = spot_of(piece, key)
    return piece.closing.get((key, "@out"), ((spot.x, spot.bottom),))


def bare(piece: Piece) -> bool:
    """Whether a piece has no outline: its boxes are met at their sides."""
    return not piece.scopes and all(len(line) == 1 for line in piece.opening.values())
