"""The cells of a pyramid as places, and its edges led between them."""

from __future__ import annotations

from dataclasses import dataclass

from cnndsl.figures.layout.piece import Ends, Line, Piece, Spot, bounds, tidy
from cnndsl.figures.layout.pyramid import Grid, Roles
from cnndsl.figures.layout.route import DOWN, RIGHT, UP, Port, Router, Wanted

ROW, COLUMN, LANE = 26.0, 40.0, 12.0
"""Between rows, between columns, and more between lanes."""
CLOSE = 20.0
"""Between columns on a narrow page."""
TRACK = 8.0
APART = 100.0
"""Between the lanes and what stands beside them."""


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
    gap: float = COLUMN,
) -> Piece:
    """The piece of a grid; `leaves` have their own axis in the middle of a column.

    `gap` is between columns.
    """
    ys, rows = _rows(grid, leaves)
    xs, columns = _columns(grid, leaves, gap)
    done = Piece(0, columns[-1], rows[-1], laned=True)
    leaf_at: dict[str, Piece] = {}
    for key, (lane, row, column) in grid.cells.items():
        piece = leaves[key]
        leaf_at[key] = piece.moved(xs[column], ys[lane, row] - _middle(piece))
        done.take(leaf_at[key])
    wanted = [_wanted(ends, roles, grid, leaf_at, owner) for ends in edges]
    tracks, levels = _tracks(columns), _tracks(rows)
    if beside is not None:
        joins = _beside(beside, leaf_at, owner, columns[-1], rows[-1])
        wanted += [_entering(ends, leaf_at[owner[ends[0]]], joins) for ends in beside.edges]
        tracks += _gaps(columns[-1], joins)
        levels += [s.top - step for s in joins.spots for step in (8, 16)]
        done.take(joins)
        done.height = max(done.height, *(s.bottom for s in joins.spots))
    rects = [bounds(s) for s in done.spots]
    rects += [(c.x, c.y, c.x + c.width, c.y + c.height) for c in done.scopes]
    ports = [port for want in wanted for port in (*want.tails, *want.heads)]
    router = Router(
        rects, ports, tracks, levels, [spot.label for spot in done.spots if spot.label]
    )
    router.fence(done.wires)
    for want, way in zip(wanted, router.all(wanted), strict=True):
        ends = want.ends
        begin = leaf_at[owner[ends[0]]].closing[ends[0], "@out"]
        begin = begin[:-1] if len(begin) > 1 else ()
        end: Line = ()
        if ends[1] in owner:
            end = leaf_at[owner[ends[1]]].opening["@in", ends[1]][1:]
        done.wires[ends] = tidy((*begin, *way, *end))
    left = min(
        [0.0, *(s.left for s in done.spots), *(x for w in done.wires.values() for x, _ in w)]
    )
    right = max(
        [0.0, *(s.right for s in done.spots), *(x for w in done.wires.values() for x, _ in w)]
    )
    done.left, done.right = -left + 4, right + 10
    if beside is not None:
        done.folds = [(-done.left, columns[-1] + COLUMN / 2)]
    return done


def _beside(
    beside: Beside, leaves: dict[str, Piece], owner: dict[str, str], right: float, foot: float
) -> Piece:
    """What is beside the lanes, in its place: where its first boxes are fed from."""
    piece = beside.piece
    places = {spot.box.key: spot for spot in piece.spots}
    entered = [places[head].y for _, head in beside.edges]
    fed = [_spot(leaves[owner[tail]], tail).y for tail, _ in beside.edges]
    y = sum(fed) / len(fed) - sum(entered) / len(entered)
    y = max(min(y, foot - piece.height), 0.0)
    return piece.moved(right + APART + piece.left, y)


def _gaps(right: float, joins: Piece) -> list[float]:
    """Upright lines for edges between the lanes and what is beside them, and inside that."""
    left = min(spot.left for spot in joins.spots)
    found = [right + TRACK * n for n in range(1, int((left - right) // TRACK))]
    return found + [x for s in joins.spots for x in (s.left - 12, s.right + 12)]


def _entering(ends: Ends, tail: Piece, joins: Piece) -> Wanted:
    """An edge from a lane to what stands beside the lanes."""
    first = _spot(tail, ends[0])
    last = _spot(joins, ends[1])
    foot: Line = tail.closing[ends[0], "@out"]
    tails = [Port(*foot[-1], DOWN, 16)]
    if _bare(tail):
        tails.append(Port(bounds(first)[2], first.y, RIGHT))
    heads = [Port(last.left, last.y, RIGHT), Port(last.x, bounds(last)[1], DOWN, 60)]
    return Wanted(ends, tuple(tails), tuple(heads))


def _spot(piece: Piece, key: str) -> Spot:
    return next(spot for spot in piece.spots if spot.box.key == key)


def _rows(
    grid: Grid, leaves: dict[str, Piece]
) -> tuple[dict[tuple[int, int], float], list[float]]:
    """The middle of every row, and the sides of all, in turn."""
    over: dict[tuple[int, int], float] = {}
    under: dict[tuple[int, int], float] = {}
    for key, (lane, row, _) in grid.cells.items():
        middle = _middle(leaves[key])
        over[lane, row] = max(over.get((lane, row), 0.0), middle)
        under[lane, row] = max(under.get((lane, row), 0.0), leaves[key].height - middle)
    heights = {place: over[place] + under[place] for place in over}
    ys: dict[tuple[int, int], float] = {}
    sides: list[float] = []
    y, before = 0.0, None
    for lane, row in sorted(heights):
        if before is not None:
            y += ROW + (LANE if lane != before else 0)
        ys[lane, row] = y + over[lane, row]
        sides += [y, y + heights[lane, row]]
        y += heights[lane, row]
        before = lane
    return ys, sides


def _middle(piece: Piece) -> float:
    """Where a lateral meets a piece: the middle of a box, without its stack."""
    return piece.spots[0].y if _bare(piece) else piece.height / 2


def _bare(piece: Piece) -> bool:
    """Whether a piece has no outline: its boxes are met at their sides."""
    return not piece.scopes and all(len(line) == 1 for line in piece.opening.values())


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
    return found


def _wanted(
    ends: Ends, roles: Roles, grid: Grid, leaves: dict[str, Piece], owner: dict[str, str]
) -> Wanted:
    """The sides at which an edge may leave and enter, the natural ones first."""
    tail, head = owner[ends[0]], owner[ends[1]]
    one, two = leaves[tail], leaves[head]
    bare = _bare(one), _bare(two)
    first = next(s for s in one.spots if s.box.key == ends[0])
    last = next(s for s in two.spots if s.box.key == ends[1])
    foot: Line = one.closing[ends[0], "@out"]
    top: Line = two.opening["@in", ends[1]]
    down = (Port(*foot[-1], DOWN), Port(*top[0], DOWN))
    if tail in grid.spine and head in grid.spine:
        return Wanted(ends, down[:1], down[1:])
    tails, heads = [Port(*foot[-1], DOWN, 16)], [Port(*top[0], DOWN, 16)]
    level, rising = roles.level(tail, head), roles.rises(tail, head)
    if bare[0]:
        tails.append(Port(bounds(first)[2], first.y, RIGHT, 0 if level else 6))
        tails.append(Port(first.x, bounds(first)[1], UP, 0 if rising else 16))
    if bare[1]:
        heads.append(Port(last.left, last.y, RIGHT, 90 if rising else 0 if level else 12))
        heads.append(Port(last.x, last.bottom, UP, 0 if rising else 16))
    if all(bare) and not level and not rising:
        tails[0], heads[0] = down
    return Wanted(ends, tuple(tails), tuple(heads))
