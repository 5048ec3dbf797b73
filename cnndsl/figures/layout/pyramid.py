"""Networks that go down by strides and up again: rows are lanes, columns are roles.

The spine runs down at the left. What leaves it runs to the right in its lane. What comes
up from a coarser lane stands under the join that it feeds, and what goes up again over it:
laterals and copies are horizontal, and a U looks like one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from cnndsl.figures.layout.roles import Cell, Grid, Roles
from cnndsl.figures.layout.steps import stepped, under_its_head
from cnndsl.figures.scene import Box

REACH = 4
"""So many rows of a lane are held on each side of its own by what spans it."""


def gridded(
    roles: Roles,
    ends: set[str],
    stepping: Mapping[str, Box],
    *,
    narrow: bool = False,
    flat: bool = False,
) -> Grid:
    """A cell for each node; `ends` are the outputs, in the last column.

    On a `narrow` page what follows the last join goes on over it, not beside it; in a
    `flat` picture all that follows a join stands beside it. The spine of a U of boxes that are
    `stepping` steps to the right.
    """
    grid = Grid(spine=_shortened(roles) if flat else roles.spine(), flat=flat)
    _spine(roles, grid)
    if stepping:
        stepped(roles, grid, stepping)
    for key in roles.begins:
        grid.cells[key] = (roles.lanes[key], 0, 0)
    taken = {cell: key for key, cell in grid.cells.items()}
    under, over = _stacks(roles, set(grid.spine), narrow=narrow)
    over = {} if flat else over
    stacked = {key for chains in under.values() for chain in chains for key in chain[0]}
    stacked |= {key for chain in over.values() for key in chain}
    again = {key for chain in roles.again.values() for key in chain}
    stacked |= again
    later: list[str] = []
    for key in roles.nodes:
        if key in grid.cells or key in stacked or key in roles.heads:
            continue
        if key in ends:
            later.append(key)
            continue
        _settle(key, roles, grid, taken, under.get(key, []), over.get(key, ()))
    for key in roles.nodes:
        if key not in grid.cells and key not in again | roles.heads | {*later}:
            # Its join stands on the spine, or in a stack itself.
            _settle(key, roles, grid, taken, [], ())
    last = max((cell[2] for cell in grid.cells.values()), default=0)
    columns = {key: _column(key, roles, grid) for key in later}
    shared = max([*columns.values(), 0]) if len(later) > 1 else last
    for key in later:
        column = shared if len(later) > 1 else columns[key]
        lane, row = roles.lanes[key], _row(key, roles, grid)
        if roles.feeds & {*roles.above[key]}:
            # What it names goes on to the right: its name stands under it, if nothing does.
            at = lane, row + 1, columns[key]
            below = lane, row + 1, columns[key] - 1
            tall = not {*roles.above[key]}.isdisjoint(roles.spans)
            _put(key, at if tall or below in taken else below, grid, taken)
            continue
        if flat and len(later) == 1 and column > 1:
            # Its name stands under the last box, or over it, if it is entered from below.
            risen = any(
                roles.rises(t, tail) for tail in roles.above[key] for t in roles.above[tail]
            )
            row, column = row + (-1 if grid.stepped and risen else 1), column - 1
        _put(key, (lane, row, column), grid, taken)
    _heads(roles, grid, taken)
    _again(roles, grid, taken)
    _under(roles, grid, under)
    under_its_head(roles, grid)
    _late(roles, grid, stacked | roles.heads | grid.sunk)
    return grid


def _shortened(roles: Roles) -> list[str]:
    """The spine, up to where a row of boxes begins that leads to a box of several lanes."""
    spine = roles.spine()
    for key in spine if roles.spans else ():
        beside = [h for h in roles.below[key] if h not in spine and roles.level(key, h)]
        if any({*roles.below[head]} & {*roles.spans} for head in beside):
            same = [one for one in spine if roles.lanes[one] == roles.lanes[key]]
            return spine[: spine.index(same[0]) + 1]
    return spine


def _again(roles: Roles, grid: Grid, taken: dict[Cell, str]) -> None:
    """What comes in again before its join: below it, where another comes in from its lane."""
    for join, chain in roles.again.items():
        lane, row, column = grid.cells[join]
        others = {grid.cells[tail][:2] for tail in roles.above[join] if tail != chain[-1]}
        below = (lane, row) in others
        for n, key in enumerate(reversed(chain), 1):
            _put(key, (lane, row + below, column - n), grid, taken)


def _under(roles: Roles, grid: Grid, under: dict[str, list[Climb]]) -> None:
    """Move lanes to the right until what follows a join stands under what it climbs to.

    In a U-Net++ each lane begins a column later than the finer one: its triangle.
    """
    rising = [(join, chain[0]) for join in under for chain, up in under[join] if up]
    for join, foot in sorted(rising, key=lambda pair: roles.lanes[pair[0]]):
        tail = roles.above[foot][0]
        before = _joined(tail, roles, under)
        if join not in grid.cells or tail not in grid.cells or before not in grid.cells:
            continue
        far = grid.cells[join][2] - grid.cells[tail][2]
        if far > 0:
            lane, _, first = grid.cells[before]
            columns = {c for on, _, c in grid.cells.values() if on == lane and c >= first}
            to, last = dict[int, int](), first + far - 1
            for column in sorted(columns):
                to[column] = last = max(column, last + 1)
            for key, (on, row, column) in grid.cells.items():
                if on == lane and column >= first:
                    grid.cells[key] = (on, row, to[column])


def _joined(key: str, roles: Roles, under: dict[str, list[Climb]]) -> str:
    """The join of its lane that a node follows, or nothing."""
    while key not in under:
        tails = [tail for tail in roles.above[key] if roles.level(tail, key)]
        if len(tails) != 1:
            return ""
        key = tails[0]
    return key


def _heads(roles: Roles, grid: Grid, taken: dict[Cell, str]) -> None:
    """Heads in columns at the right; several of one box stand under each other."""
    depth: dict[str, int] = {}
    for key in roles.nodes:
        if key in roles.heads:
            depth[key] = 1 + max((depth.get(tail, 0) for tail in roles.above[key]), default=0)
    first = max((cell[2] for cell in grid.cells.values()), default=0)
    lanes = sorted({roles.lanes[key] for key in depth})
    for key, step in depth.items():
        lane, row, column = roles.lanes[key], _row(key, roles, grid), first + step
        # Seen from the middle, the first head is the nearest: the edges of each run apart.
        way = 1 if lane >= lanes[len(lanes) // 2] else -1
        while (lane, row, column) in taken:
            row += way
        _put(key, (lane, row, column), grid, taken)


def _spine(roles: Roles, grid: Grid) -> None:
    """The spine in column 0: row 0 of each lane is where it is left to the right."""
    on = set(grid.spine)
    lanes: dict[int, list[str]] = defaultdict(list)
    for key in grid.spine:
        lanes[roles.lanes[key]].append(key)
    for lane, keys in lanes.items():
        leaving = [n for n, key in enumerate(keys) if set(roles.below[key]) - on]
        zero = leaving[-1] if leaving else len(keys) - 1
        for n, key in enumerate(keys):
            grid.cells[key] = (lane, n - zero, 0)


Climb = tuple[list[str], bool]
"""A chain between lanes and a join, in the order of the data; whether it comes up."""


def _stacks(
    roles: Roles, spine: set[str], *, narrow: bool
) -> tuple[dict[str, list[Climb]], dict[str, list[str]]]:
    """By join: the chains that come into its lane to feed it, and the one that goes on up."""
    under: dict[str, list[Climb]] = defaultdict(list)
    for key in roles.nodes:
        fed = roles.above[key]
        if key in spine or len(fed) != 1 or roles.level(fed[0], key):
            continue
        chain = [key]
        while roles.alone(chain[-1]) and roles.level(chain[-1], roles.below[chain[-1]][0]):
            then = roles.below[chain[-1]][0]
            if then in roles.spans:
                break
            if len(roles.above[then]) > 1:
                under[then].append((chain, roles.rises(fed[0], key)))
                break
            chain.append(then)
    over: dict[str, list[str]] = {}
    ended: dict[str, list[str]] = {}
    climbing = {key for climbs in under.values() for chain, _ in climbs for key in chain}
    risen = [
        key
        for key in roles.nodes
        if roles.above[key]
        and key not in (spine | climbing | roles.inner)
        and all(roles.rises(tail, key) for tail in roles.above[key])
    ]
    for join in [*under, *risen]:
        if join in under and not any(rising for _, rising in under[join]):
            continue
        way: list[str] = []
        last = join
        while len(roles.below[last]) == 1 and roles.level(last, roles.below[last][0]):
            then = roles.below[last][0]
            if len(roles.above[then]) > 1:
                break
            way.append(then)
            last = then
        outs = roles.below[last]
        if any(roles.level(last, head) for head in outs) and len(outs) > 1:
            # It feeds its own lane too: then all joins of the network run to the right.
            return under, {}
        if way and outs and all(roles.rises(last, head) for head in outs):
            over[join] = way
        elif not outs:
            ended[join] = way
    if over:
        # The last level is stacked like those before it; what comes after runs on.
        common = None if narrow else min(len(way) for way in over.values())
        over |= {join: way[:common] for join, way in ended.items() if way[:common]}
    return under, over


def _settle(
    key: str,
    roles: Roles,
    grid: Grid,
    taken: dict[Cell, str],
    climbs: list[Climb],
    over: list[str] | tuple[()],
) -> None:
    """A node with what stands under and over it, in the first column with room."""
    if above := _sinking(key, roles, grid):
        lane, row, column = grid.cells[above]
        _put(key, (lane, row + 1, column), grid, taken)
        grid.sunk |= {key, *roles.below[key]}
        return
    column = _column(key, roles, grid)
    if grid.flat and (above := _last(key, roles)):
        lane, row, column = grid.cells[above]
        _put(key, (lane, row + 1, column), grid, taken)
        return
    for chain, _ in climbs:
        column = max(column, *(_column(k, roles, grid) for k in chain[:1]))
    lane, row = roles.lanes[key], _row(key, roles, grid)
    if over and all(roles.rises(tail, key) for tail in roles.above[key]):
        # Nothing of its lane comes in: its chain stands beside all that the spine has there.
        row += min(len(over), max((r for on, r, _ in taken if on == lane), default=0))
    up = next((chain for chain, rising in climbs if rising), [])
    down = next((chain for chain, rising in climbs if not rising), [])
    while True:
        wanted = {key: (lane, row, column)}
        held = _held(key, roles, column)
        wanted |= {k: (lane, row + 1 + n, column) for n, k in enumerate(reversed(up))}
        high = 0
        for n, k in enumerate(over):
            high = n + 1
            wanted[k] = (lane, row - 1 - n, column)
        wanted |= {k: (lane, row - 1 - high - n, column) for n, k in enumerate(reversed(down))}
        if not any(cell in taken for cell in (*wanted.values(), *held)):
            break
        column += 1
    taken |= dict.fromkeys(held, key)
    for one, cell in wanted.items():
        _put(one, cell, grid, taken)
    beside = column
    for chain, rising in climbs:
        if chain is up or chain is down:
            continue
        beside += 1
        for n, k in enumerate(reversed(chain)):
            _put(k, (lane, row + 1 + n if rising else row - 1 - n, beside), grid, taken)


def _last(key: str, roles: Roles) -> str:
    """The join that all ends in after boxes of several lanes: what follows stands under it."""
    tails = roles.above[key]
    done = roles.spans and not roles.below[key] and len(tails) == 1 and tails[0] in roles.nodes
    return tails[0] if done and len(roles.above[tails[0]]) > 1 else ""


def _sinking(key: str, roles: Roles, grid: Grid) -> str:
    """What a node stands under that leads down alone: a level that is given out beside it."""
    tails, heads = roles.above[key], roles.below[key]
    if len(tails) != 1 or not heads or any(roles.over(h) <= roles.over(key) for h in heads):
        return ""
    (tail,) = tails
    level = roles.level(tail, key) and tail in roles.feeds
    return tail if level and tail in grid.cells and tail not in grid.spine else ""


def _held(key: str, roles: Roles, column: int) -> list[Cell]:
    """The cells that a node of several lanes stands over, besides its own."""
    over = roles.over(key)
    cells = [(lane, row, column) for lane in over for row in range(-REACH, REACH + 1)]
    first, last = (over[0], 0, column), (over[-1], 0, column)
    return [cell for cell in cells if first < cell <= last]


def _put(key: str, cell: Cell, grid: Grid, taken: dict[Cell, str]) -> None:
    """A cell, or the next free one below it."""
    lane, row, column = cell
    while (lane, row, column) in taken:
        row += 1
    grid.cells[key] = (lane, row, column)
    taken[lane, row, column] = key


def _column(key: str, roles: Roles, grid: Grid) -> int:
    """The first column to the right of all that feeds a node in its lane, or from several."""
    least = 1
    for tail in roles.above[key]:
        if tail not in grid.cells:
            continue
        column = grid.cells[tail][2]
        beside = 1 + len(roles.again.get(key, ()))
        right = roles.level(tail, key) or tail in roles.spans
        least = max(least, column + (beside if right else 0))
    return least


def _row(key: str, roles: Roles, grid: Grid) -> int:
    """The row of the first node of the lane that feeds this one."""
    for tail in roles.above[key] if key not in roles.spans else ():
        if tail in grid.cells and roles.level(tail, key):
            return grid.cells[tail][1]
    return 0


def _late(roles: Roles, grid: Grid, stacked: set[str]) -> None:
    """Move to the right what has room there, beside others of its role."""
    taken = set(grid.cells.values())
    for key in roles.spans:
        taken |= {*_held(key, roles, grid.cells[key][2])}
    last = max(cell[2] for cell in grid.cells.values())
    for key in reversed(roles.nodes):
        lane, row, column = grid.cells[key]
        hung = _hung(key, roles, grid)
        heads = [head for head in roles.below[key] if head not in hung]
        ends = [grid.cells[h][2] - (1 if roles.level(key, h) else 0) for h in heads]
        ends += [last] if key in roles.feeds else []
        if (
            column == 0
            or key in stacked
            or key in roles.spans
            or not ends
            or len(roles.above[key]) != 1
        ):
            continue
        tail = roles.above[key][0]
        if tail in grid.spine:
            continue
        room = min(ends)
        moved = [(lane, row), *(grid.cells[one][:2] for one in hung)]
        between = [(*at, c) for at in moved for c in range(column + 1, room + 1)]
        if between and not any(cell in taken for cell in between):
            for one, at in zip((key, *hung), moved, strict=True):
                taken.remove((*at, column))
                grid.cells[one] = (*at, room)
                taken.add((*at, room))


def _hung(key: str, roles: Roles, grid: Grid) -> list[str]:
    """The levels that lead down from a box one after the other, and stand under it."""
    found: list[str] = []
    last = key
    while below := [head for head in roles.below[last] if head in grid.sunk]:
        if len(below) > 1 or grid.cells[below[0]][2] != grid.cells[key][2]:
            return []
        last = below[0]
        found.append(last)
    return found
