"""A U whose way down steps to the right: what changes the resolution is between its lanes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import pairwise

from cnndsl.figures.layout.piece import Piece
from cnndsl.figures.layout.roles import Grid, Roles
from cnndsl.figures.scene import Box
from cnndsl.ops.facts import Family

SIDE = 11.0
"""From where an edge goes straight up or down to the side of its box."""
LEAST = 3
"""The fewest lanes of a U that steps."""
BESIDE = 2
"""At most so many boxes at its foot stand side by side."""


def stepped(roles: Roles, grid: Grid, boxes: Mapping[str, Box]) -> None:
    """Let the spine of a U step to the right, if the way up returns to all lanes but the last.

    The input becomes words beside the first box, and what follows the first box of the last
    lane stands beside that box. What changes the resolution stands between two lanes, unless
    it is a block.
    """
    lanes: dict[int, list[str]] = defaultdict(list)
    for key in grid.spine:
        lanes[roles.lanes[key]].append(key)
    if not _even(roles, lanes):
        return
    grid.stepped = True
    upper, *others = (lanes[lane] for lane in sorted(lanes))
    firsts = [boxes[keys[0]] for keys in others if len(keys) > 1]
    grid.between |= {box.key for box in firsts if box.frame is None and box.count == 1}
    read = boxes[upper[0]].family is Family.INPUT and roles.alone(upper[0], into=0)
    if len(upper) > 1 and read:
        lane, row, _ = grid.cells[upper[1]]
        grid.cells[upper[0]] = (lane, row, -1)
        grid.entry = upper[0]
        grid.spine.remove(upper[0])
    lower = others[-1]
    body = int(lower[0] in grid.between)
    rest = lower[body + 1 :]
    if rest and len(rest) <= BESIDE and all(map(roles.alone, rest)):
        for n, key in enumerate(lower):
            grid.cells[key] = (roles.lanes[key], min(n - body, 0), max(n - body, 0))
        grid.foot = rest
        grid.spine = [key for key in grid.spine if key not in rest]


def _even(roles: Roles, lanes: dict[int, list[str]]) -> bool:
    """Whether only the last box of each lane leads out of it, and the way up returns to all."""
    spine = {key for keys in lanes.values() for key in keys}
    aside = roles.spans or roles.feeds or roles.heads or roles.begins or roles.more
    if aside or len(lanes) < LEAST:
        return False
    joined = {
        roles.lanes[key]
        for key in roles.nodes
        if key not in spine and any(roles.rises(tail, key) for tail in roles.above[key])
    }
    left = {key for key in spine if {*roles.below[key]} - spine}
    ends = {keys[-1] for keys in lanes.values()}
    return left <= ends and joined >= {*sorted(lanes)[:-1]}


def under_its_head(roles: Roles, grid: Grid) -> None:
    """Move what stands at the foot of a U under what it leads up to."""
    if not grid.foot:
        return
    (head,) = roles.below[grid.foot[-1]]
    last = grid.cells[head][2]
    if last >= len(grid.foot):
        for n, key in enumerate(reversed(grid.foot)):
            lane, row, _ = grid.cells[key]
            grid.cells[key] = (lane, row, last - n)


def strips(roles: Roles, grid: Grid, boxes: Mapping[str, Box]) -> dict[str, str]:
    """Concats under arcs that only the next box of their row reads, each with this box."""
    found: dict[str, str] = {}
    for key in roles.nodes if grid.arcs else ():
        if key in boxes and boxes[key].family is Family.CONCAT and len(roles.below[key]) == 1:
            (head,) = roles.below[key]
            lane, row, column = grid.cells[key]
            plain = head in boxes and boxes[head].nodes and roles.above[head] == [key]
            if plain and grid.cells[head] == (lane, row, column + 1):
                found[key] = head
    return found


def widened(
    leaves: Mapping[str, Piece], grid: Grid, ups: Iterable[str], gap: float
) -> dict[str, float]:
    """The width of the boxes of the spine from which `ups` rise straight to strips.

    It is enough for a pool and an up to stand side by side.
    """
    sides = [max([0.0, *(leaves[key].width for key in keys)]) for keys in (grid.between, ups)]
    width = sum(sides) / 2 + gap + 2 * SIDE
    bodies = [key for key in grid.spine if key not in grid.between]
    return {k: max(width, 2 * leaves[k].left) for k in bodies} if all(sides) else {}


def shared(grid: Grid) -> dict[tuple[int, int], tuple[int, int]]:
    """Rows of a U that stand beside the last ones of the lane above."""
    rows: dict[int, set[int]] = defaultdict(set)
    for lane, row, _ in grid.cells.values():
        rows[lane].add(row)
    found: dict[tuple[int, int], tuple[int, int]] = {}
    for upper, lower in pairwise(sorted(rows)):
        below = [(upper, row) for row in sorted(rows[upper]) if row > 0]
        above = [(lower, row) for row in sorted(rows[lower]) if row < 0]
        found |= dict(zip(above, below, strict=False))
    return found


def alike(key: str, roles: Roles, grid: Grid) -> object:
    """A key for the boxes of one role in a U, which share a width."""
    _, row, column = grid.cells[key]
    tails = roles.above[key]
    if row > 0 or key in grid.between:
        return row > 0, key in grid.between
    if column and (len(tails) != 1 or len(roles.above[tails[0]]) < 2):
        return "join" if len(tails) > 1 else key
    return "body", column > 0
