"""A long tower goes on in a column beside itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from operator import add, sub

from cnndsl.figures.layout.piece import SAME, Ends, Line, Piece, Spot, bounds, tidy
from cnndsl.ops.facts import Family

TALLEST = 820.0
"""A longer column is broken, where no page says how high it may be."""
LIFT, HIGH = 10.0, 16.0
"""By how much a further row, and a further column, begins earlier: its edge comes in there."""
FOOT = 10.0
"""From the last box of a column to where its edge turns."""
LABELLED = 12.0
"""From where a column is broken to its next box."""
ROOM = 6.0
BESIDE = 74.0
"""Between columns: room for the edge, and for the names of the lanes."""
UNDER = 20.0
"""The same between rows, where the picture will run to the right."""
AMID, JOINT, UNEVEN = 0.4, 0.3, 0.1
"""What a cut inside a lane, a cut before a fork or after a join, and a column that is not full
cost, in columns."""
NEVER = 100.0
"""The cost of a cut inside a lane where one is made only if it must be."""
OWN = {
    *(Family.POOL, Family.UPSAMPLE, Family.RESHAPE, Family.MATMUL),
    *(Family.CONCAT, Family.ADD, Family.ACTIVATION),
}
"""Families whose boxes are as long as their words ask for, in every place."""
Lanes = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Cut:
    """How a tower is broken: into columns of at most a length, and as few as may be.

    A cut inside a lane costs `amid`. One may be over a fork of edges that are one line so far,
    if it is `forked`. Columns may be as long as `shared` for their boxes to stand beside each
    other: the first ones are equally long then, the second ones, and so on.
    """

    longest: float
    amid: float = AMID
    forked: bool = False
    shared: float = 0.0


def wrapped(piece: Piece, cut: Cut, lanes: Lanes, *, turning: bool = False) -> Piece:
    """The same in columns, if it can be cut: where one edge alone leads on."""
    if piece.laned or piece.height <= cut.longest:
        return piece
    chosen = _chosen(piece, cut, lanes)
    if not chosen:
        return piece
    lone = _lone(piece)
    torn = any(e[0] in lanes and e[0] in lone and _amid(lanes, e) for _, e in chosen)
    if cut.shared:
        piece, chosen = _shared(piece, chosen, cut.shared)
    done = _broken(piece, chosen, turning=turning)
    done.torn = torn
    return done


def _amid(lanes: Lanes, ends: Ends) -> bool:
    """Whether an edge stays in its lane."""
    return lanes.get(ends[0]) == lanes.get(ends[1])


def _lone(piece: Piece) -> set[str]:
    """The boxes at which nothing forks and nothing joins."""
    into = Counter(head for _, head in piece.wires)
    out = Counter(tail for tail, _ in piece.wires)
    return {spot.box.key for spot in piece.spots if max(into[k := spot.box.key], out[k]) < 2}


def _chosen(piece: Piece, cut: Cut, lanes: Lanes) -> list[tuple[float, Ends]]:
    """The cuts of the cheapest columns; nothing where a column would be too long."""
    cuts = _cuts(piece, forked=cut.forked)
    places = [0.0, *(at for at, _ in cuts), piece.height]
    lone = _lone(piece)
    inner = [(_amid(lanes, ends), ends[0] in lone) for _, ends in cuts]
    within = [0.0, *(kept * (cut.amid if plain else JOINT) for kept, plain in inner), 0.0]
    # What cannot be cut says how long a column must be, for all of them.
    longest = max(cut.longest, *(b - a for a, b in pairwise(places)))
    best: list[tuple[float, int]] = [(0.0, 0)]
    for n, foot in enumerate(places[1:], 1):
        found = (float("inf"), 0)
        for m in range(n - 1, -1, -1):
            length = foot - places[m]
            if length > longest:
                break
            spare = 1 - length / longest
            cost = best[m][0] + 1 + within[n] + UNEVEN * spare**2
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
    fed = {head for _, head in piece.wires}
    begun = {s.box.key: s.y for s in piece.spots if s.box.key not in fed}
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
            # Inputs stand together.
            first = passing[0][0] in begun if passing else False
            between = between and not (first and any(y > middle for y in begun.values()))
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


def _shared(
    piece: Piece, chosen: list[tuple[float, Ends]], longest: float
) -> tuple[Piece, list[tuple[float, Ends]]]:
    """Columns in which the first boxes are equally long, the second ones, and so on.

    Those that are more than a chain of boxes keep their places. All do if one would get too
    long.
    """
    tops = [0.0, *(at for at, _ in chosen)]
    feet = [*tops[1:], piece.height]
    chains = [_chain(piece, top, foot) for top, foot in zip(tops, feet, strict=True)]
    single = [chain for chain in chains if chain]
    if len(single) < 2:
        return piece, chosen
    steps: list[float] = []
    sizes: list[float] = []
    for n in range(max(map(len, single))):
        here = [chain[n] for chain in single if n < len(chain)]
        sizes.append(max(bounds(spot)[3] - spot.top for spot in here))
        after = [chain[n : n + 2] for chain in single if n + 1 < len(chain)]
        steps.append(max((two.top - bounds(one)[3] for one, two in after), default=0.0))
    if sum(sizes) + sum(steps) > longest:
        return piece, chosen
    places: dict[str, Spot] = {}
    at: dict[float, float] = {}
    shift, moved = 0.0, list[float]()
    for n, (top, foot) in enumerate(zip(tops, feet, strict=True)):
        moved.append(top + shift)
        chain = chains[n]
        begin = top + shift + (LIFT if n else 0.0)
        for spot, size, step in zip(chain, sizes, steps, strict=False):
            more = bounds(spot)[3] - spot.bottom
            long = size - more if _stretched(spot) else spot.height
            # What a row begins with stands at its left.
            middle = begin + (long if spot is chain[0] else size - more) / 2
            places[spot.box.key] = replace(spot, y=middle, height=long)
            at[_near(spot.top)] = middle - long / 2
            at[_near(bounds(spot)[3])] = middle + long / 2 + more
            begin += size + step
        if chain:
            last = places[chain[-1].box.key]
            room = foot - bounds(chain[-1])[3]
            shift += bounds(last)[3] + room - (foot + shift)
        else:
            at |= {_near(y): y + shift for y in _heights(piece, top, foot)}
    done = replace(
        piece,
        height=piece.height + shift,
        spots=[places.get(s.box.key) or replace(s, y=at[_near(s.y)]) for s in piece.spots],
        scopes=[replace(scope, y=at[_near(scope.y)]) for scope in piece.scopes],
        wires={e: tuple((x, at[_near(y)]) for x, y in line) for e, line in piece.wires.items()},
    )
    cuts = zip(moved[1:], chosen, strict=True)
    return done, [(place, ends) for place, (_, ends) in cuts]


def _near(y: float) -> float:
    return round(y, 3)


def _heights(piece: Piece, top: float, foot: float) -> set[float]:
    """Where something of a column is."""
    found = {s.y for s in piece.spots} | {scope.y for scope in piece.scopes}
    found |= {y for line in piece.wires.values() for _, y in line}
    return {y for y in found if top <= y < foot}


def _chain(piece: Piece, top: float, foot: float) -> list[Spot]:
    """The boxes of a column, from the top; nothing where it is more than a chain of them."""
    spots = sorted((s for s in piece.spots if top <= s.y < foot), key=lambda s: s.y)
    apart = all(abs(s.x) < SAME for s in spots)
    apart = apart and all(bounds(one)[3] < two.top for one, two in pairwise(spots))
    ends = {_near(y) for spot in spots for y in (spot.top, spot.y, bounds(spot)[3])}
    known = set(map(_near, _heights(piece, top, foot))) <= ends
    outlined = any(top <= scope.y < foot for scope in piece.scopes)
    return spots if apart and known and not outlined else []


def _stretched(spot: Spot) -> bool:
    """Whether a box is as long as others at its place."""
    return bool(spot.box.nodes) and spot.box.family not in OWN


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
    before = LIFT if turning else HIGH
    lifts = [0.0, *(before for _ in chosen)]
    lasts: list[Spot | None] = [None for _ in parts]
    if turning:
        lasts = [
            *(_last(part, e[0]) for part, (_, e) in zip(parts, chosen, strict=False)),
            None,
        ]
        for n, (at, ends) in enumerate(chosen, 1):
            # All rows begin at one place, but where a fork stands before their boxes.
            lifts[n] = _first(parts[n]) - at if _upright(piece.wires[ends]) else LIFT
    for part, axis, top, lift in zip(parts, axes, tops, lifts, strict=True):
        done.take(part.moved(axis, -top - lift))
    each = zip(parts, lasts, feet, strict=True)
    feet = [_end(part) if last else foot for part, last, foot in each]
    less = lifts if turning else [0.0] * len(lifts)
    done.height = max(map(sub, feet, map(add, tops, less))) + 8
    for n, (at, ends) in enumerate(chosen):
        begin = piece.wires[ends][0]
        here, there = axes[n] + begin[0], axes[n + 1] + piece.wires[ends][1][0]
        # The channel runs between the columns, before the names of the next one's lanes. It
        # turns where the tower was cut: below all that ends there, above all that begins.
        channel = axes[n] + parts[n].right + (9 if turning else 22)
        foot, top = max(at, begin[1] + FOOT) - tops[n] - lifts[n], -before
        for other, line in piece.wires.items():
            # The edge that is cut, and those that are one line with it so far.
            if other[0] != ends[0] or line[0] != begin or not line[0][1] < at < line[-1][1]:
                continue
            rest = [(axes[n + 1] + x, y - tops[n + 1] - lifts[n + 1]) for x, y in line[1:]]
            out = ((here, begin[1] - tops[n] - lifts[n]), (here, foot))
            if last := lasts[n]:
                foot = last.y - tops[n] - lifts[n]
                out = ((axes[n] + last.right, foot),) * 2
            bent: Line = (*out, (channel, foot), (channel, top), (there, top), *rest)
            done.wires[other] = tidy(bent)
    return done


def _first(part: Piece) -> float:
    return min([bounds(s)[1] for s in part.spots] + [scope.y for scope in part.scopes])


def _end(part: Piece) -> float:
    found = [bounds(s)[3] for s in part.spots] + [c.y + c.height for c in part.scopes]
    return max(found + [y for line in part.wires.values() for _, y in line])


def _last(part: Piece, key: str) -> Spot | None:
    """The box that an edge leaves, where it is in this row and nothing stands beside it."""
    spot = next((s for s in part.spots if s.box.key == key), None)
    if spot is None:
        return None
    beside = [(s.top, s.bottom) for s in part.spots if s is not spot]
    beside += [(c.y, c.y + c.height) for c in part.scopes]
    return None if any(top < spot.y < foot for top, foot in beside) else spot


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
