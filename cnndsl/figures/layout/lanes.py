"""The cells of a pyramid as places, and its edges led between them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from cnndsl.figures.layout.arcs import drawn, room
from cnndsl.figures.layout.cards import Cards
from cnndsl.figures.layout.channels import FINE, NEAR
from cnndsl.figures.layout.heads import LEAST
from cnndsl.figures.layout.naming import called, leaving, upright
from cnndsl.figures.layout.piece import SAME, Ends, Line, Piece, bounds, tidy
from cnndsl.figures.layout.rails import TRACK, Bus, aside, bare, buses_of, entering, spot_of
from cnndsl.figures.layout.roles import Grid, Roles
from cnndsl.figures.layout.route import DOWN, RIGHT, UP, Port, Router, Wanted
from cnndsl.figures.layout.sizes import Sized, spread, texts, words_of
from cnndsl.figures.layout.solving import COLUMN, COLUMNS, loose, solved
from cnndsl.figures.layout.steps import shared as beside_each
from cnndsl.figures.paint import sampled

ROWS = ((26.0, 12.0), (16.0, 4.0), (16.0, 4.0), *[(12.0, 2.0)] * 3)
"""Between rows, and more between lanes."""
INFINITE = float("inf")
TALL = 15.0
"""From the first and the last lane of a box over several to its ends."""
KINK = 12.0
"""A line that would turn aside by less is straight."""
HUNG = 12.0
"""From a box to the words of its output, where they stand between two lanes."""


@dataclass(frozen=True, slots=True)
class Beside:
    """What stands at the right of the lanes, and the edges that lead into it."""

    piece: Piece
    edges: list[Ends]


def settled(
    roles: Roles,
    grid: Grid,
    leaves: dict[str, Piece],
    edges: list[Ends],
    owner: dict[str, str],
    beside: Beside | None = None,
    *,
    carried: Mapping[Ends, tuple[int, ...]],
    said: Mapping[str, Mapping[int, Sized]],
    cards: Cards,
) -> Piece:
    """The piece of a grid; `leaves` have their own axis in the middle of a column.

    Of each edge, the lanes of what it carries are `carried`. What is `said` of a tall box
    stands on its lines.
    """
    way = cards.way
    gap = COLUMNS[way.narrow]
    leaves = spread(leaves, said, gap, lapped=way.close)
    xs, columns = _columns(grid, leaves, gap)
    place = {key: xs[cell[2]] for key, cell in grid.cells.items()}
    if way.close and (found := solved(grid, roles, leaves, way)):
        place = found
        columns = [0.0, max(place[key] + leaves[key].right for key in place)]
    place |= {
        reader: place[join] + leaves[join].right + leaves[reader].left
        for join, reader in grid.strips.items()
    }
    cells = {ends: grid.cells[owner[ends[0]]] for ends in grid.arcs}
    raised = room(grid.arcs, cells, way.narrow)
    ys, rows, between = _rows(grid, leaves, place, way.narrow, roles, raised)
    done = Piece(0, columns[-1], rows[-1], laned=True, between=between, stepped=grid.stepped)
    done.lanes = _sides({*ys} - loose(grid, roles, way.narrow), rows) if roles.spans else {}
    leaf_at: dict[str, Piece] = {}
    for key in grid.cells:
        tails = roles.above[key] if key in between else ()
        leaf_at[key] = leaves[key].moved(place[key], _top(key, tails, grid, leaves, ys))
        if key in roles.spans:
            leaf_at[key] = _tall(leaves[key], place[key], [ys[on, 0] for on in roles.over(key)])
        if (grid.stepped or key not in grid.spine) and len(leaf_at[key].spots) == 1:
            leaf_at[key].spots = [called(key, leaf_at[key], roles, grid, place, cards)]
        done.take(leaf_at[key])
    heights = {lane: ys[lane, 0] for lane, row in ys if row == 0}
    done.marks += [t for key, some in said.items() for t in texts(leaf_at[key], some, heights)]
    wanted = [
        want
        for ends in edges
        if ends not in grid.arcs and ends not in grid.strips.items()
        for want in _each(ends, roles, grid, leaf_at, owner, carried.get(ends, ()), heights)
    ]
    tracks = _gaps_of(grid, leaf_at, roles) if way.close else _tracks(columns)
    levels = _tracks(rows)
    if roles.spans:
        # What stands between lanes is as near to other boxes as may be.
        close = [bounds(spot) for key in between for spot in leaf_at[key].spots]
        step = ROWS[way.narrow][0] / 2
        levels += [y for _, top, _, foot in close for y in (top - step, foot + step)]
    buses: list[Bus] = []
    if beside is not None:
        joins = _beside(beside, leaf_at, owner, columns[-1], rows[-1])
        sources = {
            tail: [
                y for _, y in _apart(carried[tail, head], heights) if owner[tail] in roles.spans
            ]
            or [spot_of(leaf_at[owner[tail]], tail).y]
            for tail, head in beside.edges
        }
        at = {tail: leaf_at[owner[tail]] for tail, _ in beside.edges}
        joins, buses, single = _bundled(beside.edges, joins, columns[-1], sources, at)
        wanted += [entering(ends, at[ends[0]], joins) for ends in single]
        for bus in buses:
            wanted += bus.wanted(at, _tracks(rows))
        tracks += _gaps(columns[-1], joins)
        levels += [s.top - step for s in joins.spots for step in (8, 16)]
        done.take(joins)
        done.height = max(done.height, *(s.bottom for s in joins.spots))
    done.arcs = _arcs(grid, owner, leaf_at, way.narrow)
    done.wires |= {ends: sampled(arc) for ends, arc in done.arcs.items()}
    if way.drawn:
        _led(done, wanted, buses, (tracks, levels), {k: leaf_at[owner[k]] for k in owner})
    done.wires |= _touching(grid, leaf_at)
    return _sided(done, columns[-1] if beside is not None else None)


def _bundled(
    edges: list[Ends],
    joins: Piece,
    right: float,
    sources: Mapping[str, list[float]],
    leaves: Mapping[str, Piece],
) -> tuple[Piece, list[Bus], list[Ends]]:
    """What stands beside the lanes, the levels led there in one line, and the other edges.

    It stands as far away as these lines and their names need room beside each other, and level
    with what is nearly level with it.
    """
    joins = joins.moved(0, _levelled(edges, joins, sources))
    buses = buses_of(edges, joins, right, sources, leaves)
    bundled = {ends for bus in buses for ends in bus.edges}
    single = [ends for ends in edges if ends not in bundled]
    more = max(TRACK * (len(single) + 2 * len(buses) + 4), *(bus.lacks for bus in buses), 0.0)
    joins = joins.moved(more, 0)
    return joins, buses_of(edges, joins, right, sources, leaves), single


def _levelled(edges: list[Ends], joins: Piece, sources: Mapping[str, list[float]]) -> float:
    """How far down to move what stands beside the lanes, so that no line there has a kink."""
    heads = {spot.box.key: spot.y for spot in joins.spots}
    apart = {y - heads[head] for tail, head in edges for y in sources[tail]}

    def kinks(move: float) -> int:
        return sum(SAME < abs(y - move) < KINK for y in apart)

    near = {y for y in apart if abs(y) < KINK}
    moves = {0.0} | near | {y + side for y in near for side in (-KINK, KINK)}
    top = min(spot.top for spot in joins.spots)
    return min(
        (move for move in moves if move == 0 or (abs(move) < KINK and move >= -top)),
        key=lambda move: (kinks(move), abs(move)),
    )


def _sides(at: set[tuple[int, int]], rows: list[float]) -> dict[int, tuple[float, float]]:
    """The upper and the lower side of each lane, of those of its rows."""
    inside = [lane for lane, _ in sorted(at)]
    firsts = {lane: inside.index(lane) for lane in inside}
    lasts = {lane: n for n, lane in enumerate(inside)}
    return {lane: (rows[2 * n], rows[2 * lasts[lane] + 1]) for lane, n in firsts.items()}


def _arcs(
    grid: Grid,
    owner: dict[str, str],
    leaves: dict[str, Piece],
    narrow: int,
) -> dict[Ends, Line]:
    """The lines of nested skips, row by row."""
    found: dict[Ends, Line] = {}
    for at in dict.fromkeys(grid.cells[owner[tail]][:2] for tail, _ in grid.arcs):
        near = [leaves[key] for key, cell in grid.cells.items() if cell[:2] == at]
        held = {e: level for e, level in grid.arcs.items() if grid.cells[owner[e[0]]][:2] == at}
        found |= drawn(held, {key: leaves[owner[key]] for e in held for key in e}, near, narrow)
    return found


def _touching(grid: Grid, leaves: dict[str, Piece]) -> dict[Ends, Line]:
    """Between strips and the boxes that read them: lines of no length."""
    spots = {ends: spot_of(leaves[ends[0]], ends[0]) for ends in grid.strips.items()}
    return {ends: ((spot.right, spot.y), (spot.right, spot.y)) for ends, spot in spots.items()}


def _led(
    done: Piece,
    wanted: list[Wanted],
    buses: list[Bus],
    ways: tuple[list[float], list[float]],
    leaves: dict[str, Piece],
) -> None:
    """Lead all edges; `leaves` are the pieces of the lanes' boxes.

    Where these `ways`, upright ones and levels, are too few, there are more beside boxes.
    """
    rects = [bounds(s) for s in done.spots]
    rects += [(c.x, c.y, c.x + c.width, c.y + c.height) for c in done.scopes]
    ports = [port for want in wanted for port in (*want.tails, *want.heads)]
    words = [
        *done.words,
        *words_of(done.marks),
        *(label for bus in buses for label in bus.rail().labels),
    ]
    first: set[Ends] = set()
    for steps in ((), FINE, FINE):
        tracks = [*ways[0], *(x for r in rects for s in steps for x in (r[0] - s, r[2] + s))]
        levels = [*ways[1], *(y for r in rects for s in steps for y in (r[1] - s, r[3] + s))]
        router = Router(rects, ports, tracks, levels, words)
        router.fence(done.wires)
        for bus in buses:
            bus.reserve(router)
        lines = router.all(wanted, first)
        first |= router.crowded
        if not router.crowded:
            break
    for want, led in zip(wanted, lines, strict=True):
        if want.ends[1].startswith("@"):
            buses[int(want.ends[1][1:])].led.append((want.ends[0], led))
            continue
        ends = (want.ends[0].partition("#")[0], want.ends[1].partition("#")[0])
        foot = leaves[ends[0]].closing[ends[0], "@out"]
        begin: Line = foot[:-1]
        if begin and led[0] != foot[-1]:
            spot = spot_of(leaves[ends[0]], ends[0])
            begin = ((bounds(spot)[2], spot.y),)
        end: Line = ()
        if ends[1] in leaves:
            end = leaves[ends[1]].opening["@in", ends[1]][1:]
        done.draw(ends, tidy((*begin, *led, *end)))
    for bus in buses:
        for ends, line in bus.wires():
            done.draw(ends, line)
        done.rails.append(bus.rail())


def _sided(done: Piece, fold: float | None) -> Piece:
    """A piece with its sides and its height; lanes end at `fold`, if it is beside something."""
    ways = [x for line in done.wires.values() for x, _ in line]
    left = min([0.0, *(s.left for s in done.spots), *ways])
    right = max([0.0, *(bounds(s)[2] for s in done.spots), *ways])
    done.left, done.right = -left + 4, right + 4
    if fold is not None:
        done.folds = [(-done.left, fold + COLUMN / 2)]
    heights = [y for line in done.wires.values() for _, y in line]
    over = -min([0.0, *heights])
    done.height = max([done.height, *heights]) + over
    if not over:
        return done
    low = done.moved(0, over)
    low.laned, low.between, low.folds = done.laned, done.between, done.folds
    low.stepped = done.stepped
    low.lanes = {lane: (top + over, foot + over) for lane, (top, foot) in done.lanes.items()}
    return low


def _gaps_of(grid: Grid, pieces: dict[str, Piece], roles: Roles) -> list[float]:
    """Upright lines for edges in the middle of the gaps of each row, and around all."""
    rows: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for key, (lane, row, _) in grid.cells.items():
        spots = [bounds(spot) for spot in pieces[key].spots]
        sides = min(b[0] for b in spots), max(b[2] for b in spots)
        for on in roles.over(key) if key in roles.spans else (lane,):
            rows.setdefault((on, row), []).append(sides)
    found: set[float] = set()
    for sides_of in rows.values():
        sides_of.sort()
        found |= {sides_of[0][0] - 8, sides_of[-1][1] + 8}
        for (_, right), (left, _) in pairwise(sides_of):
            middle = (left + right) / 2
            found |= {middle, middle - 4, middle + 4}
            found |= {right + 8, left - 8} if left - right > 30 else set()
    return sorted(found)


def _beside(
    beside: Beside, leaves: dict[str, Piece], owner: dict[str, str], right: float, foot: float
) -> Piece:
    """What is beside the lanes, in its place: where its first boxes are fed from."""
    piece = beside.piece
    places = {spot.box.key: spot for spot in piece.spots}
    entered = [places[head].y for _, head in beside.edges]
    fed = [spot_of(leaves[owner[tail]], tail).y for tail, _ in beside.edges]
    y = sum(fed) / len(fed) - sum(entered) / len(entered)
    levels = [{tail for tail, head in beside.edges if head == one} for _, one in beside.edges]
    if len({frozenset(some) for some in levels if len(some) >= LEAST}) > 1:
        # What leads to the highest reader passes over the rails of the others.
        y = min(y, min(fed) - min(entered) - TALL)
    y = max(min(y, foot - piece.height), 0.0)
    return piece.moved(right + piece.left, y)


def _tall(piece: Piece, x: float, ys: list[float]) -> Piece:
    """A box over several lanes, each of which meets it at its own height."""
    (spot,) = piece.spots
    top, foot = min(ys) - TALL, max(ys) + TALL
    tall = replace(spot, x=x, y=(top + foot) / 2, height=foot - top, late=True)
    key = spot.box.key
    opening: dict[Ends, Line] = {("@in", key): ((x, top),)}
    closing: dict[Ends, Line] = {(key, "@out"): ((x, foot),)}
    return Piece(0, 0, 0, [tall], opening=opening, closing=closing)


def _each(
    ends: Ends,
    roles: Roles,
    grid: Grid,
    leaves: dict[str, Piece],
    owner: dict[str, str],
    carried: tuple[int, ...],
    heights: Mapping[int, float],
) -> list[Wanted]:
    """An edge, or one for each tensor that a box of several lanes reads or gives."""
    usual = _wanted(ends, roles, grid, leaves, owner)
    one, two = (owner[key] in roles.spans for key in ends)
    if not (one or two):
        return [usual]
    named = leaves[owner[ends[1]]].spots[0].box
    # The words of an output under a line that goes on: all drop from it.
    hung = owner[ends[0]] in roles.feeds and not named.nodes
    hung = one and hung and grid.cells[owner[ends[1]]][1] > 0
    found = []
    for lane, y in _apart(carried, heights):
        tails, heads, names = usual.tails, usual.heads, list(ends)
        if one:
            spot, over = leaves[owner[ends[0]]].spots[0], roles.over(owner[ends[0]])
            tails = (Port(bounds(spot)[2], y, RIGHT),)
            if hung:
                heads = tuple(port for port in heads if port.way == DOWN)
            elif lane == over[-1]:
                # Straight down to what stands under any part of it.
                x = min(max(usual.heads[0].x, spot.left + 8), spot.right - 8)
                tails = (*tails, Port(x, spot.bottom, DOWN, 4))
            if lane == over[0] and not hung:
                tails = (*tails, Port(spot.x, bounds(spot)[1], UP, 16))
            names[0] = f"{ends[0]}#{y:g}"
        if two:
            spot, over = leaves[owner[ends[1]]].spots[0], roles.over(owner[ends[1]])
            if lane in over:
                heads = (Port(spot.left, y, RIGHT),)
            else:
                side = over[0] if lane < over[0] else over[-1]
                end = (bounds(spot)[1], DOWN) if lane < over[0] else (spot.bottom, UP)
                heads = (Port(spot.x, *end), Port(spot.left, heights[side], RIGHT, 12))
            names[1] = f"{ends[1]}#{y:g}"
        found.append(Wanted((names[0], names[1]), tails, heads))
    return found


def _apart(lanes: Sequence[int], heights: Mapping[int, float]) -> list[tuple[int, float]]:
    """The lane of each tensor, and how far down it runs: beside others of its lane."""
    found: list[tuple[int, float]] = []
    for lane, count in Counter(lanes).items():
        step = min(TRACK, 2 * (TALL - 3) / max(count - 1, 1))
        shifts = [(number + 1) // 2 * (-1) ** number * step for number in range(count)]
        found += [(lane, heights[lane] + shift) for shift in sorted(shifts)]
    return found


def _gaps(right: float, joins: Piece) -> list[float]:
    """Upright lines for edges between the lanes and what is beside them, and inside that."""
    left = min(spot.left for spot in joins.spots)
    found = [right + TRACK * n for n in range(1, int((left - right) // TRACK))]
    return found + [x for s in joins.spots for x in (s.left - 12, s.right + 12)]


def _rows(
    grid: Grid,
    leaves: dict[str, Piece],
    place: dict[str, float],
    narrow: int,
    roles: Roles,
    raised: Mapping[tuple[int, int], float],
) -> tuple[dict[tuple[int, int], float], list[float], set[str]]:
    """The middle of every row, the sides of all in turn, and what stands between lanes."""
    shared = _shared(grid, leaves, place) if narrow and not roles.spans else {}
    shared = beside_each(grid) if grid.stepped else shared
    boxes: dict[tuple[int, int], list[tuple[float, float, float, float]]] = {}
    for key, (lane, row, _) in grid.cells.items():
        leaf, x, tall = leaves[key], place[key], key in roles.spans
        high = TALL if tall else _middle(leaf)
        low = TALL if tall else leaf.height - high
        at = shared.get((lane, row), (lane, row))
        for on in [(one, 0) for one in roles.over(key)] if tall else [at]:
            boxes.setdefault(on, []).append((x - leaf.left - 6, x + leaf.right + 6, high, low))
    over = {at: max(high for _, _, high, _ in found) for at, found in boxes.items()}
    under = {at: max(low for *_, low in found) for at, found in boxes.items()}
    for at, more in raised.items():
        over[shared.get(at, at)] += more
    if free := loose(grid, roles, narrow):
        ys, sides = _packed(boxes, over, under, free, ROWS[narrow])
        return ys, sides, {key for key, cell in grid.cells.items() if cell[:2] in free}
    heights = {at: over[at] + under[at] for at in over}
    ys, sides = {}, []
    y, before = 0.0, None
    gap, apart = ROWS[narrow]
    for lane, row in sorted(heights):
        if before is not None:
            y += gap + (apart if lane != before else 0)
        ys[lane, row] = y + over[lane, row]
        sides += [y, y + heights[lane, row]]
        y += heights[lane, row]
        before = lane
    between = {*shared, *shared.values()}
    keys = {key for key, (lane, row, _) in grid.cells.items() if (lane, row) in between}
    if grid.stepped:
        keys |= grid.between | {key for key, cell in grid.cells.items() if cell[1] > 0}
    return ys | {at: ys[to] for at, to in shared.items()}, sides, keys


def _packed(
    boxes: Mapping[tuple[int, int], Sequence[tuple[float, float, float, float]]],
    over: Mapping[tuple[int, int], float],
    under: Mapping[tuple[int, int], float],
    loose: set[tuple[int, int]],
    gaps: tuple[float, float],
) -> tuple[dict[tuple[int, int], float], list[float]]:
    """The middles and sides of rows, those between two lanes as close as their boxes allow.

    `boxes` has the left and right side of each box of a row, and how far it reaches over and
    under the middle; `over` and `under` say the same of the whole row.
    """
    gap, apart = gaps
    ys: dict[tuple[int, int], float] = {}
    sides: list[float] = []
    stood: list[tuple[float, float, float]] = []
    line = -INFINITE
    """How far down the last row was: boxes between lanes keep off the lines along them."""
    for at in sorted(over):
        y = line + (TALL + gap / 2 + (over[at] if at in loose else 0.0))
        if at not in loose:
            y = max(y, over[at] + (sides[-1] + gap + apart if sides else 0.0))
        for left, right, high, _ in boxes[at]:
            feet = [foot for a, b, foot in stood if a < right and left < b]
            y = max([y, *(foot + gap + high for foot in feet)])
        ys[at] = y
        line = y + (under[at] if at in loose else 0.0)
        stood += [(left, right, y + low) for left, right, _, low in boxes[at]]
        sides += [] if at in loose else [y - over[at], y + under[at]]
    return ys, sides


def _shared(
    grid: Grid, leaves: dict[str, Piece], place: dict[str, float]
) -> dict[tuple[int, int], tuple[int, int]]:
    """Rows that stand beside the last ones of the lane above: what leads down and what up."""
    rows: dict[int, set[int]] = {}
    sides: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for key, (lane, row, _) in grid.cells.items():
        rows.setdefault(lane, set()).add(row)
        x, leaf = place[key], leaves[key]
        sides.setdefault((lane, row), []).append((x - leaf.left - 6, x + leaf.right + 6))
    # Where words of outputs stand alone, nothing leads up: nothing leads down beside them.
    led = {cell[:2] for key, cell in grid.cells.items() if leaves[key].spots[0].box.nodes}
    found: dict[tuple[int, int], tuple[int, int]] = {}
    for upper, lower in pairwise(sorted(rows)):
        below = [(upper, row) for row in sorted(rows[upper]) if row > 0 and (upper, row) in led]
        above = [(lower, row) for row in sorted(rows[lower]) if row < 0]
        pairs = list(zip(above, below, strict=False))
        apart = all(
            b <= c or d <= a for one, two in pairs for a, b in sides[one] for c, d in sides[two]
        )
        if apart and len(above) <= len(below):
            found |= dict(pairs)
    return found


def _top(
    key: str,
    tails: Sequence[str],
    grid: Grid,
    leaves: Mapping[str, Piece],
    ys: Mapping[tuple[int, int], float],
) -> float:
    """Where a node begins; the words of an output under its box keep to the lane of that."""
    lane, row, column = grid.cells[key]
    top = ys[lane, row] - _middle(leaves[key])
    for tail in tails if not leaves[key].spots[0].box.nodes else ():
        if grid.cells[tail] == (lane, row - 1, column):
            over = leaves[tail]
            top = min(top, ys[lane, row - 1] - _middle(over) + over.height + HUNG)
    return top


def _middle(piece: Piece) -> float:
    """Where a lateral meets a piece: the middle of a box, without its stack.

    Of what has an outline, the middle of the box that is read, if it has its side free.
    """
    if bare(piece):
        return piece.spots[0].y
    ends = [aside(piece, key) for key, _ in piece.closing]
    return ends[0][1] if len(ends) == 1 and ends[0] else piece.height / 2


def _columns(
    grid: Grid, leaves: dict[str, Piece], gap: float
) -> tuple[dict[int, float], list[float]]:
    lefts: dict[int, float] = {}
    rights: dict[int, float] = {}
    for key, (_, _, column) in grid.cells.items():
        lefts[column] = max(lefts.get(column, 0.0), leaves[key].left)
        rights[column] = max(rights.get(column, 0.0), leaves[key].right)
    xs: dict[int, float] = {}
    sides: list[float] = []
    x = 0.0
    for column in sorted(lefts):
        xs[column] = x + lefts[column]
        sides += [x, x + lefts[column] + rights[column]]
        x = sides[-1] + gap
    return xs, sides


def _tracks(sides: list[float]) -> list[float]:
    """Lines for edges in the gaps between rows or columns, and around all."""
    found: list[float] = []
    gaps = [(sides[0] - 4 * TRACK, sides[0]), *zip(sides[1::2], sides[2::2], strict=False)]
    for low, high in [*gaps, (sides[-1], sides[-1] + 4 * TRACK)]:
        count = max(int((high - low) // TRACK) - 1, 1)
        step = (high - low) / (count + 1)
        found += [low + step * (n + 1) for n in range(count)]
        found += (
            [low + step * (n + 0.5) for n in range(count + 1)] if 2 * NEAR <= step < 10 else []
        )
    return found


def _wanted(
    ends: Ends, roles: Roles, grid: Grid, leaves: dict[str, Piece], owner: dict[str, str]
) -> Wanted:
    """The sides at which an edge may leave and enter, the natural ones first."""
    tail, head = owner[ends[0]], owner[ends[1]]
    one, two = leaves[tail], leaves[head]
    sided = bare(one), bare(two)
    first = next(s for s in one.spots if s.box.key == ends[0])
    last = next(s for s in two.spots if s.box.key == ends[1])
    foot: Line = one.closing[ends[0], "@out"]
    top: Line = two.opening["@in", ends[1]]
    down = (Port(*foot[-1], DOWN), Port(*top[0], DOWN))
    if tail in grid.spine and head in grid.spine:
        if all(sided):
            x = (first if upright(tail, head, grid) == tail else last).x
            down = (Port(x, foot[-1][1], DOWN), Port(x, top[0][1], DOWN))
        return Wanted(ends, down[:1], down[1:])
    tails, heads = [Port(*foot[-1], DOWN, 16)], [Port(*top[0], DOWN, 16)]
    level, rising = roles.level(tail, head), roles.rises(tail, head)
    if level and not sided[0] and (side := aside(one, ends[0])):
        tails.append(Port(*side, RIGHT))
    if sided[0]:
        tails.append(Port(bounds(first)[2], first.y, RIGHT, 0 if level else 6))
        # The middle of the spine's boxes is where the spine itself runs.
        out = first.x + (first.width / 4 if tail in grid.spine else 0.0)
        if rising and first.left < last.x < first.right:
            # Straight up to what stands over any part of the box.
            out = leaving(first, last.x)
        tails.append(Port(out, bounds(first)[1], UP, 0 if rising else 16))
    if sided[1]:
        heads.append(Port(last.left, last.y, RIGHT, 90 if rising else 0 if level else 12))
        into = last.x + (last.width / 4 if head in grid.spine else 0.0)
        heads.append(Port(into, last.bottom, UP, 0 if rising else 16))
    if all(sided) and not level and not rising:
        tails[0], heads[0] = down
        if leaving(first, last.x) == last.x:
            # Straight down to what stands under any part of the box.
            tails[0] = Port(last.x, foot[-1][1], DOWN)
    return Wanted(ends, tuple(tails), tuple(heads))
