"""A long tower goes on in a column beside itself."""

from __future__ import annotations

from itertools import pairwise

from cnndsl.figures.layout.cards import behind
from cnndsl.figures.layout.piece import Ends, Line, Piece, bounds, tidy

TALLEST = 820.0
"""A tower is broken where it is higher than this and more than twice as high as wide."""
LIFT = 11.0
"""By how much a further column begins higher: its edge comes in over it."""
ROOM = 6.0
BESIDE = 74.0
"""Between columns: room for the edge, and for the names of the lanes."""


def wrapped(piece: Piece, insets: float, widest: float = 0.0) -> Piece:
    """The same in columns, cut where one edge alone leads on; `insets` is their area.

    `widest` is how wide all columns may be, 0 for any width.
    """
    count = 1 if piece.laned else _count(piece, insets)
    cuts = _cuts(piece) if count > 1 else []
    for columns in range(count, 1, -1):
        chosen = _chosen(piece, cuts, columns)
        made = _broken(piece, chosen) if chosen else piece
        if not widest or made.width <= widest:
            return made
    return piece


def _chosen(
    piece: Piece, cuts: list[tuple[float, Ends]], count: int
) -> list[tuple[float, Ends]]:
    """The cuts that make columns of about one height; fewer where there are none near."""
    chosen: list[tuple[float, Ends]] = []
    for n in range(1, count if cuts else 1):
        at = piece.height * n / count
        best = min(cuts, key=lambda cut: abs(cut[0] - at))
        if abs(best[0] - at) < piece.height / count / 2 and best not in chosen:
            chosen.append(best)
    return chosen


def _count(piece: Piece, insets: float) -> int:
    """So many columns that the picture is about as wide as it is high."""
    for count in range(1, 8):
        height = piece.height / count
        width = count * (piece.width + BESIDE) + insets / max(height, 1.0)
        if height <= TALLEST and height <= 1.9 * width:
            return count
    return 8


def _cuts(piece: Piece) -> list[tuple[float, Ends]]:
    """Heights at which only one straight edge passes, and no box."""
    spans = [(s.top - behind(s.box), s.bottom) for s in piece.spots]
    spans += [(c.y, c.y + c.height) for c in piece.scopes]
    reach = {e: _reach(line) for e, line in piece.wires.items()}
    found = []
    foot = -1e9
    for top, bottom in sorted(spans):
        if top - foot > 10 and foot > 0:
            middle = (top + foot) / 2
            passing = [e for e, (low, high) in reach.items() if low < middle < high]
            if len(passing) == 1 and _upright(piece.wires[passing[0]]):
                found.append((middle, passing[0]))
        foot = max(foot, bottom)
    return found


def _reach(line: Line) -> tuple[float, float]:
    return min(p[1] for p in line), max(p[1] for p in line)


def _upright(line: Line) -> bool:
    return len(line) == 2


def _broken(piece: Piece, chosen: list[tuple[float, Ends]]) -> Piece:
    tops = [0.0, *(at for at, _ in chosen)]
    feet = [*(at for at, _ in chosen), piece.height]
    parts = [_between(piece, top, foot) for top, foot in zip(tops, feet, strict=True)]
    axes = [0.0]
    for one, two in pairwise(parts):
        axes.append(axes[-1] + one.right + BESIDE + two.left)
    done = Piece(parts[0].left, axes[-1] + parts[-1].right, 0.0)
    done.folds = [(x - p.left, x + p.right) for x, p in zip(axes, parts, strict=True)]
    lifts = [0.0, *(LIFT for _ in chosen)]
    for part, axis, top, lift in zip(parts, axes, tops, lifts, strict=True):
        done.take(part.moved(axis, -top - lift))
    done.height = max(foot - top for top, foot in zip(tops, feet, strict=True)) + 8
    for n, (at, ends) in enumerate(chosen):
        begin, end = piece.wires[ends]
        here, there = axes[n] + begin[0], axes[n + 1] + end[0]
        # The channel runs between the columns, before the names of the next one's lanes. It
        # turns where the tower was cut: below all that ends there, above all that begins.
        channel = axes[n] + parts[n].right + 22
        foot, top = at - tops[n] - lifts[n], -LIFT
        line: Line = (
            (here, begin[1] - tops[n] - lifts[n]),
            (here, foot),
            (channel, foot),
            (channel, top),
            (there, top),
            (there, end[1] - tops[n + 1] - LIFT),
        )
        done.wires[ends] = tidy(line)
    return done


def _between(piece: Piece, top: float, foot: float) -> Piece:
    """What stands between two heights, with the room that it takes beside the axis."""
    found = Piece(
        0,
        0,
        0,
        [s for s in piece.spots if top <= s.y < foot],
        [c for c in piece.scopes if top <= c.y < foot],
        {
            ends: line
            for ends, line in piece.wires.items()
            if top <= min(line[0][1], line[-1][1]) and max(line[0][1], line[-1][1]) < foot
        },
    )
    lefts = [bounds(s)[0] for s in found.spots] + [c.x for c in found.scopes]
    rights = [bounds(s)[2] for s in found.spots] + [c.x + c.width for c in found.scopes]
    xs = [x for line in found.wires.values() for x, _ in line]
    found.left = ROOM - min([*lefts, *xs])
    found.right = ROOM + max([*rights, *xs])
    return found
