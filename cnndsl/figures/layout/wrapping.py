"""A long tower goes on in a column beside itself."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from cnndsl.figures.layout.piece import Ends, Line, Piece, bounds, tidy

TALLEST = 820.0
"""A longer column is broken, where no page says how high it may be."""
LIFT = 11.0
"""By how much a further column begins higher: its edge comes in over it."""
LABELLED = 12.0
"""From where a column is broken to its next box."""
ROOM = 6.0
BESIDE = 74.0
"""Between columns: room for the edge, and for the names of the lanes."""
UNDER = 20.0
"""The same between rows, where the picture will run to the right."""
AMID, UNEVEN = 0.4, 0.1
"""What a cut inside a lane costs, and a column that is not full: of a column."""
Lanes = Mapping[str, int]


def wrapped(
    piece: Piece, longest: float, lanes: Lanes, *, turning: bool = False, forked: bool = False
) -> Piece:
    """The same in columns no longer than that, if it can be cut, and as few as may be.

    It is cut where one edge alone leads on, best where a lane begins; where it may be
    `forked`, also over the fork of edges that are one line so far.
    """
    if piece.laned or piece.height <= longest:
        return piece
    chosen = _chosen(piece, longest, lanes, forked=forked)
    return _broken(piece, chosen, turning=turning) if chosen else piece


def _chosen(
    piece: Piece, longest: float, lanes: Lanes, *, forked: bool
) -> list[tuple[float, Ends]]:
    """The cuts of the cheapest columns; nothing where a column would be too long."""
    cuts = _cuts(piece, forked=forked)
    places = [0.0, *(at for at, _ in cuts), piece.height]
    amid = [AMID if lanes.get(a) == lanes.get(b) else 0.0 for _, (a, b) in cuts]
    amid = [0.0, *amid, 0.0]
    # What cannot be cut says how long a column must be, for all of them.
    longest = max(longest, *(b - a for a, b in pairwise(places)))
    best: list[tuple[float, int]] = [(0.0, 0)]
    for n, foot in enumerate(places[1:], 1):
        found = (float("inf"), 0)
        for m in range(n - 1, -1, -1):
            length = foot - places[m]
            if length > longest:
                break
            spare = 1 - length / longest
            cost = best[m][0] + 1 + amid[n] + UNEVEN * spare**2
            found = min(found, (cost, m))
        best.append(found)
    chosen: list[int] = []
    at = len(places) - 1
    while best[at][1]:
        at = best[at][1]
        chosen.append(at)
    return [cuts[n - 1] for n in reversed(chosen)]


def _cuts(piece: Piece, *, forked: bool) -> list[tuple[float, Ends]]:
    """Heights at which only one straight edge passes, or those of one line, and no box."""
    spans = [(bounds(s)[1], bounds(s)[3]) for s in piece.spots]
    spans += [(c.y, c.y + c.height) for c in piece.scopes]
    reach = {ends: _reach(line) for ends, line in piece.wires.items()}
    ports = {spot.box.key for spot in piece.spots if not spot.box.nodes}
    begins = sorted(reach, key=lambda ends: reach[ends][0], reverse=True)
    passing: list[Ends] = []
    found = []
    foot = -1e9
    for top, bottom in sorted(spans):
        if top - foot > 10 and foot > 0:
            # Over the label of the box below.
            middle = max(min((top + foot) / 2, top - LABELLED), foot + 5)
            while begins and reach[begins[-1]][0] < middle:
                passing.append(begins.pop())
            passing = [ends for ends in passing if reach[ends][1] > middle]
            # Where a block begins or ends is beside what it leads to or comes from.
            between = passing and all(ports.isdisjoint(ends) for ends in passing)
            one = len(passing) == 1 and _upright(piece.wires[passing[0]])
            if between and (one or (forked and _one(piece, passing, middle))):
                found.append((middle, passing[0]))
        foot = max(foot, bottom)
    return found


def _reach(line: Line) -> tuple[float, float]:
    return min(p[1] for p in line), max(p[1] for p in line)


def _upright(line: Line) -> bool:
    return len(line) == 2


def _one(piece: Piece, passing: list[Ends], height: float) -> bool:
    """Whether edges are one straight line from their beginning to that height."""
    begins = {(e[0], piece.wires[e][0]) for e in passing}
    legs = [piece.wires[e][:2] for e in passing]
    return len(begins) == 1 and all(a[0] == b[0] and b[1] > height for a, b in legs)


def _broken(piece: Piece, chosen: list[tuple[float, Ends]], *, turning: bool = False) -> Piece:
    tops = [0.0, *(at for at, _ in chosen)]
    feet = [*(at for at, _ in chosen), piece.height]
    parts = [_between(piece, top, foot) for top, foot in zip(tops, feet, strict=True)]
    axes = [0.0]
    for one, two in pairwise(parts):
        beside = UNDER if turning else BESIDE
        axes.append(axes[-1] + one.right + beside + two.left)
    done = Piece(parts[0].left, axes[-1] + parts[-1].right, 0.0)
    done.folds = [(x - p.left, x + p.right) for x, p in zip(axes, parts, strict=True)]
    lifts = [0.0, *(LIFT for _ in chosen)]
    for part, axis, top, lift in zip(parts, axes, tops, lifts, strict=True):
        done.take(part.moved(axis, -top - lift))
    done.height = max(foot - top for top, foot in zip(tops, feet, strict=True)) + 8
    for n, (at, ends) in enumerate(chosen):
        begin = piece.wires[ends][0]
        here, there = axes[n] + begin[0], axes[n + 1] + piece.wires[ends][1][0]
        # The channel runs between the columns, before the names of the next one's lanes. It
        # turns where the tower was cut: below all that ends there, above all that begins.
        channel = axes[n] + parts[n].right + (9 if turning else 22)
        foot, top = at - tops[n] - lifts[n], -LIFT
        for other, line in piece.wires.items():
            # The edge that is cut, and those that are one line with it so far.
            if other[0] != ends[0] or line[0] != begin or not line[0][1] < at < line[-1][1]:
                continue
            rest = [(axes[n + 1] + x, y - tops[n + 1] - LIFT) for x, y in line[1:]]
            bent: Line = (
                (here, begin[1] - tops[n] - lifts[n]),
                (here, foot),
                (channel, foot),
                (channel, top),
                (there, top),
                *rest,
            )
            done.wires[other] = tidy(bent)
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
    lefts += [s.label[0] for s in found.spots if s.turning and s.label]
    rights = [bounds(s)[2] for s in found.spots] + [c.x + c.width for c in found.scopes]
    xs = [x for line in found.wires.values() for x, _ in line]
    found.left = ROOM - min([*lefts, *xs])
    found.right = ROOM + max([*rights, *xs])
    return found
