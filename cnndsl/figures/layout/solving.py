"""The columns of a pyramid, solved together: each row as narrow as others let it."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from cnndsl.figures.layout.cards import LEVELS, Way
from cnndsl.figures.layout.piece import Piece
from cnndsl.figures.layout.roles import Grid, Roles
from cnndsl.figures.layout.steps import SIDE, shared

COLUMN, COLUMNS = 40.0, (40.0, 20.0, 14.0, 12.0, 12.0, 12.0)
"""Between columns, by how narrow the page is."""
SNUG = 4.0
"""Between a pool and the up beside it under a strip: their sides are parallel."""


def solved(grid: Grid, roles: Roles, leaves: dict[str, Piece], way: Way) -> dict[str, float]:
    """Places that are solved together: each row as far to the left as its neighbours let it.

    What stands in one column and lane stays upright, as the spine does, and what stands
    between two lanes under what leads to it alone; an edge that rises leaves its box anywhere
    on its upper side. Empty if there is no such solution.

    The spine of a U steps to the right: so far that the ups from it rise straight, or else
    only so far that its pools still drop straight.
    """
    ways = [(True, True), (True, False)] if grid.stepped else []
    for stepped, risen in (*ways, (False, True), (False, False)):
        columns = _Columns(grid, roles, leaves, COLUMNS[way.narrow], stepped=stepped)
        columns.align(loose(grid, roles, way.narrow))
        columns.part()
        if stepped:
            columns.step(way.step or 0.0, risen=risen)
        elif risen:
            columns.rise()
        if found := columns.places():
            return found
    return {}


class _Columns:
    """Boxes that share a place, and the least distances between places."""

    def __init__(
        self,
        grid: Grid,
        roles: Roles,
        leaves: dict[str, Piece],
        gap: float,
        *,
        stepped: bool,
    ) -> None:
        self.grid, self.roles, self.leaves = grid, roles, leaves
        self.gap, self.stepped = gap, stepped
        self.group = {key: key for key in grid.cells}
        self.soft: list[tuple[str, str]] = []
        self.limits: list[tuple[str, str, float]] = []

    def root(self, key: str) -> str:
        """The box that stands for all that share its place."""
        while self.group[key] != key:
            key = self.group[key]
        return key

    def align(self, free: set[tuple[int, int]]) -> None:
        """Find which boxes share a place, and which ones an edge should join straight."""
        cells, roles = self.grid.cells, self.roles
        spine = self.grid.spine
        for one, two in pairwise(spine):
            if not self.stepped or cells[one][0] == cells[two][0]:
                self._tie(one, two)
            if self.stepped and {one, two} & self.grid.between:
                self.soft.append((one, two))
        for tail, heads in roles.below.items():
            for head in heads:
                if cells[tail][2] != cells[head][2] or {tail, head} & {*spine}:
                    continue
                if roles.level(tail, head) or cells[head][:2] in free:
                    self._tie(head, tail)
                else:
                    self.soft.append((tail, head))

    def _tie(self, one: str, two: str) -> None:
        if not (self.stepped and {one, two} & self.grid.between):
            self.group[self.root(two)] = self.root(one)

    def part(self) -> None:
        """Keep what stands in one row apart, and all off the spine."""
        grid, roles, leaves = self.grid, self.roles, self.leaves
        rows: dict[tuple[int, int], list[str]] = {}
        beside = shared(grid) if self.stepped else {}
        for key, (lane, row, _) in grid.cells.items():
            rows.setdefault(beside.get((lane, row), (lane, row)), []).append(key)
            for on in roles.over(key)[1:]:
                rows.setdefault((on, row), []).append(key)
        for keys in rows.values():
            keys.sort(key=lambda key: grid.cells[key][2])
            for one, two in pairwise(keys):
                self._apart(one, two)
        for tall in roles.spans:
            # What stands beside it in other rows of its lanes.
            over, column = roles.over(tall), grid.cells[tall][2]
            for key, (lane, row, at) in grid.cells.items():
                if (over[0], 0) < (lane, row) <= (over[-1], 0) and at != column:
                    self._apart(*((tall, key) if column < at else (key, tall)))
        wide = max([0.0, *(leaves[key].right for key in grid.spine)])
        for key in grid.cells if grid.spine and not self.stepped else ():
            if grid.cells[key][2] > 0:
                self._limit(grid.spine[0], key, wide + leaves[key].left + self.gap)

    def step(self, share: float, *, risen: bool) -> None:
        """Let each lane of the spine begin further right, and no way up lean to the left.

        If `risen`, what leads up from the spine goes straight.
        """
        grid, roles = self.grid, self.roles
        bodies = [key for key in grid.spine if key not in grid.between]
        if not share:
            for one, two in pairwise(grid.spine):
                self._limit(one, two, 0.0)
                self._limit(two, one, 0.0)
        for one, two in pairwise(bodies):
            if grid.cells[one][0] != grid.cells[two][0]:
                self._limit(one, two, share * 2 * self.leaves[one].left)
                if two in roles.below[one]:
                    self.soft.append((one, two))
        for tail, head in self.soft:
            if len(roles.above[tail]) > 1 < len(roles.above[head]):
                self._limit(tail, head, 0.0)
        for tail in bodies if risen else ():
            self.soft += [(tail, head) for head in roles.below[tail] if roles.rises(tail, head)]

    def rise(self) -> None:
        """Let what leads up stand under what it leads to, where its row is free up to there."""
        cells = self.grid.cells
        for tail, heads in self.roles.below.items():
            lane, row, first = cells[tail]
            for head in heads if tail not in self.grid.spine else ():
                last = cells[head][2]
                passed = {(lane, row, column) for column in range(first + 1, last + 1)}
                free = passed.isdisjoint(cells.values())
                if first < last and free and self.roles.rises(tail, head):
                    self.soft.append((tail, head))

    def _apart(self, one: str, two: str) -> None:
        apart = self.leaves[one].right + self.leaves[two].left
        if self.grid.strips.get(one) == two:
            self._limit(two, one, -apart)
        else:
            side = self.grid.strips and one in self.grid.between and self.grid.cells[two][1] > 0
            apart += min(self.gap, SNUG) if side else self.gap
        self._limit(one, two, apart)

    def _limit(self, one: str, two: str, apart: float) -> None:
        self.limits.append((self.root(one), self.root(two), apart))

    def places(self) -> dict[str, float]:
        """A place for each box; empty if the limits contradict each other."""
        leaves, limits = self.leaves, self.limits
        for one, two in self.soft:
            box = leaves[two if one in self.grid.between else one]
            slack = max(min(box.left, box.right) - SIDE, 0.0)
            self._limit(one, two, -slack)
            self._limit(two, one, -slack)
        x = {self.root(key): 0.0 for key in self.group}
        for key in self.group:
            x[self.root(key)] = max(x[self.root(key)], leaves[key].left)
        for _ in range(len(x) + 1):
            moved = False
            for one, two, apart in limits:
                if one != two and x[two] < x[one] + apart - 0.01:
                    x[two], moved = x[one] + apart, True
            if not moved:
                self._later(x)
                return {key: x[self.root(key)] for key in self.group}
        return {}

    def _later(self, x: dict[str, float]) -> None:
        """Move a join beside what follows it, and a pool over its box, where there is room."""
        above = self.roles.above
        joins = [self.root(key) for key in self.group if len(above[key]) > 1]
        for join in dict.fromkeys(reversed(joins)):
            x[join] = max(x[join], self._most(x, join))
        counts = Counter(map(self.root, self.group))
        alone = [key for key in self.group if counts[key] == 1]
        if not self.stepped:
            self._under(x, alone)
            return
        for pool, box in pairwise(self.grid.spine):
            if pool in self.grid.between:
                x[pool] = max(x[pool], min(x[self.root(box)], self._most(x, pool)))
        for key in alone:
            tails, heads = above[key], self.roles.below[key]
            level = [self.roles.level(key, other) for other in (*tails, *heads)]
            if level == [True, True] and key not in self.grid.foot:
                # A crop, in the middle.
                x[key] = max(x[key], (x[key] + self._most(x, key)) / 2)

    def _under(self, x: dict[str, float], keys: list[str]) -> None:
        """Move what a higher lane leads to under what leads there, where there is room."""
        cells = self.grid.cells
        for key in keys:
            tails = self.roles.above[key]
            if len(tails) == 1 and cells[tails[0]][0] < cells[key][0]:
                wish = x[self.root(tails[0])]
                x[key] = max(x[key], min(wish, self._most(x, key)))

    def _most(self, x: dict[str, float], one: str) -> float:
        """How far to the right a place may be."""
        found = [x[two] - apart for first, two, apart in self.limits if first == one != two]
        return min(found, default=x[one])


def loose(grid: Grid, roles: Roles, narrow: int) -> set[tuple[int, int]]:
    """Rows that stand between two lanes, where room is short: what leads straight to a join.

    Each of their boxes stands under the one that leads to it alone.
    """
    if not roles.spans or narrow < LEVELS - 1:
        return set()
    found: dict[tuple[int, int], bool] = {}
    first = min(lane for lane, _, _ in grid.cells.values())
    for key, (lane, row, column) in grid.cells.items():
        tails = roles.above[key]
        alone = len(tails) == 1 and len(roles.below[tails[0]]) == 1
        under = alone and tails[0] not in roles.spans and grid.cells[tails[0]][2] == column
        free = row < 0 and lane > first and under and key not in grid.spine
        found[lane, row] = found.get((lane, row), True) and free
    return {at for at, free in found.items() if free and (at[0], 0) in found}
