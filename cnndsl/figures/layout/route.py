"""Orthogonal edges around boxes: the cheapest way over a grid of channels.

A way never enters a box. A bend, a crossing and a stretch beside another edge have their
price. Edges that share an end may share their way, and no others: a line is one tensor, or
all that one box reads.

Source: Hart, Nilsson & Raphael 1968 (A*), over places and the directions they are left in.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, product

from cnndsl.figures.layout.channels import SAME, STEPS, Channels
from cnndsl.figures.layout.piece import Ends, Line, Rect, tidy
from cnndsl.figures.paint import Point

BEND, CROSSING, BESIDE = 14.0, 600.0, 400.0
FORKED = 2.0
"""So much less where an edge of the same box turns too: one fork, not two."""
BOTH = 300.0
"""For an edge to leave a box where another enters it."""
PLAIN = 40.0
"""What ports may cost between which an edge is straight, whatever others would."""
BUNDLE = 2
"""A bundle is crossed at the price of so many edges at most."""
SHARED = 0.5
"""Of the price of a stretch, where an edge of the same box runs already."""
HASTE = 0.8
"""What a shared way is thought to cost: more than it may, so that the search ends soon."""
EAGER, LARGE, HUGE = 4.0, 2_000_000, 1_000_000_000
"""With so many edges, times places, a way may cost four times what the cheapest does, or
sixteen times: else a picture with nothing folded would take minutes."""
PATIENCE = 10_000
"""After so many places the search goes for its end, and after as many again more so; after
fewer where it hurries from the start."""
POCKET = 5
"""An end that can be reached from less than a fifth as many is shut in: a search that began
among them would have seen each four times before its patience was over."""
RIGHT, DOWN, LEFT, UP = range(4)
TURNS = tuple((way, way + 1 & 3, way + 3 & 3) for way in range(4))
"""By way, those in which an edge may go on."""


@dataclass(frozen=True, slots=True)
class Port:
    """A place where an edge may leave or enter, and the direction in which it goes there."""

    x: float
    y: float
    way: int
    price: float = 0.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """An edge to be led, from one of its tail's ports to one of its head's."""

    ends: Ends
    tails: tuple[Port, ...]
    heads: tuple[Port, ...]


class Router:
    """Leads edges, one after the other."""

    def __init__(
        self,
        rects: Sequence[Rect],
        ports: Iterable[Port],
        tracks: Sequence[float] = (),
        levels: Sequence[float] = (),
        words: Sequence[Rect] = (),
        steps: Sequence[float] = STEPS,
    ) -> None:
        """`tracks` and `levels` are where edges may run; without them, beside the boxes.

        `words` are labels: an edge may pass close by, and not through.
        """
        points = [(port.x, port.y) for port in ports]
        self.channels = Channels(rects, points, tracks, levels, words, steps)
        self.closed = self.channels.closed
        width = self.channels.width
        self.moves = (1, width, -1, -width)
        self.begun: set[str] = set()
        self.begins: set[Point] = set()
        self.ends: set[Point] = set()
        self.eager = 1.0
        self.crowded: set[Ends] = set()
        """The edges that had to run where another does, or over words."""
        self.alone = True
        """Whether a line must not run where one of other boxes does."""

    def fence(self, wires: dict[Ends, Line]) -> None:
        """Make it cost to cross lines that are drawn already."""
        for ends, line in wires.items():
            self.channels.fence(ends, line)

    def reserve(self, ends: Ends, line: Line) -> None:
        """Keep others off a line that is drawn already, whose corners are on the grid."""
        for one, two in pairwise(line):
            first, last = self.channels.place(*one), self.channels.place(*two)
            step = self.channels.width if abs(one[0] - two[0]) < SAME else 1
            self.channels.take(ends, range(min(first, last), max(first, last) + 1, step))

    def all(self, wanted: Sequence[Wanted], first: Collection[Ends] = ()) -> list[Line]:
        """Every edge's line, in order; straight ones are led first, then short ones.

        Before them, those that are to be `first`.
        """
        work = len(wanted) * len(self.closed)
        if work > LARGE:
            self.eager = EAGER if work < HUGE else EAGER**2
        order = sorted(
            range(len(wanted)), key=lambda n: (wanted[n].ends not in first, *_reach(wanted[n]))
        )
        found = {n: self._lead(wanted[n]) for n in order}
        return [found[n] for n in range(len(wanted))]

    def _lead(self, want: Wanted) -> Line:
        """The cheapest way of an edge, if need be close to boxes, and at worst through them."""
        self.alone = True
        if straight := self._straight(want):
            return straight
        for closed, free, alone in (
            (self.channels.closed, True, True),
            (self.channels.tight, True, True),
            (self.channels.over, True, True),
            (self.channels.over, True, False),
            (self.channels.closed, False, False),
        ):
            self.closed, self.alone = closed, alone
            if closed is self.channels.over:
                self.crowded.add(want.ends)
            found = self._way(want, free=free)
            if found is not None:
                return found
        tail, head = want.tails[0], want.heads[0]
        middle = (tail.y + head.y) / 2
        return tidy(((tail.x, tail.y), (tail.x, middle), (head.x, middle), (head.x, head.y)))

    def _straight(self, want: Wanted) -> Line | None:
        """The straight line between two of the best ports, if nothing stands or runs there."""
        pairs = product(want.tails, want.heads)
        for tail, head in sorted(pairs, key=lambda pair: pair[0].price + pair[1].price):
            x, y = head.x - tail.x, head.y - tail.y
            ahead = (x, y, -x, -y)[tail.way]
            if tail.way != head.way or tail.price + head.price > PLAIN or ahead <= 0:
                continue
            if abs(y if tail.way % 2 == 0 else x) > SAME:
                continue
            ends = (tail.x, tail.y), (head.x, head.y)
            taken = ends[0] in self.ends or ends[1] in self.begins
            if taken or self.channels.blocked(*ends, words=True):
                continue
            first, last = (self.channels.place(*end) for end in ends)
            move = self.moves[tail.way]
            places = [*range(first, last + (1 if move > 0 else -1), move)]
            prices = _Prices(self, want.ends)
            if all(prices.free(one, two, tail.way) for one, two in pairwise(places)):
                return self._taken(places, tail, head, want.ends)
        return None

    def _way(self, want: Wanted, *, free: bool) -> Line | None:
        """The cheapest way; a state is four times a place, and a direction.

        Only from and to ports that are `free`, if so.
        """
        goals: dict[int, Port] = {}
        heads = self._priced(want.heads, self.begins, alone=self.alone)
        tails = self._priced(want.tails, self.ends, alone=self.alone)
        for port in self._free(heads, -1) if free else heads:
            goals.setdefault(4 * self._outside(port, -1) + port.way, port)
        if not goals:
            return None
        first: dict[int, Port] = {}
        queue: list[tuple[float, float, int]] = []
        for port in self._free(tails, 1) if free else tails:
            state = 4 * self._outside(port, 1) + port.way
            if state not in first or port.price < first[state].price:
                first[state] = port
                heapq.heappush(queue, (port.price, port.price, state))
        best = {state: port.price for state, port in first.items()}
        origin: dict[int, int] = {}
        least = self._least(want, goals)
        prices = _Prices(self, want.ends)
        turned = {state >> 2 for state in goals}
        seen, eager, settled = 0, self.eager, set[int]()
        patience = int(PATIENCE / eager)
        while queue:
            _, cost, state = heapq.heappop(queue)
            seen += 1
            if seen % patience == 0:
                eager *= EAGER
                if seen == patience and self._shut(goals, prices, patience // POCKET):
                    return None
            if cost > best[state] or state in settled:
                continue
            if eager > 1:
                # A cheaper way here that is found later would be followed again and again.
                settled.add(state)
            if state in goals:
                return self._trace(state, origin, first, goals[state], want.ends)
            place, way = state >> 2, state & 3
            for after in TURNS[way]:
                there = place + self.moves[after]
                if self.closed[there]:
                    continue
                step = prices.step(place, there, after)
                if step is None or (after != way and prices.met(place)):
                    continue
                total = cost + step + (0.0 if after == way else prices.bend(place))
                # Where a gap has one channel, an edge turns into its box right there.
                for turn in TURNS[after] if there in turned else (after,):
                    to, then = 4 * there + turn, total
                    if turn != after:
                        if to not in goals or prices.met(there):
                            continue
                        then += BEND
                    if to in goals:
                        then += goals[to].price
                    if then < best.get(to, 1e18):
                        best[to] = then
                        origin[to] = state
                        left = eager * least(there, turn)
                        heapq.heappush(queue, (then + left, then, to))
        return None

    def _shut(self, goals: Collection[int], prices: _Prices, few: int) -> bool:
        """Whether only so `few` places lead to the end, and the search reaches none."""
        found = {state >> 2 for state in goals}
        queue = list(found)
        while queue and len(found) < few:
            place = queue.pop()
            for way, move in enumerate(self.moves):
                before = place - move
                if before in found or self.closed[before]:
                    continue
                if prices.step(before, place, way) is not None:
                    found.add(before)
                    queue.append(before)
        return not queue

    def _least(self, want: Wanted, goals: dict[int, Port]) -> Callable[[int, int], float]:
        """What a way costs at least from a place, if nothing stands between."""
        xs, ys, width = self.channels.xs, self.channels.ys, self.channels.width
        targets = [(*self.channels.point(state >> 2), state & 3) for state in goals]
        # A line of the same box may be shared on all of the way.
        shares = want.ends[0] in self.begun or want.ends[1] in self.begun
        scale = HASTE if shares else 1.0
        known: dict[int, float] = {}

        def least(place: int, way: int) -> float:
            key = 4 * place + way
            if key not in known:
                x, y = xs[place % width], ys[place // width]
                known[key] = min([_between(x, y, way, *goal, scale) for goal in targets])
            return known[key]

        return least

    def kin(self, one: Ends, two: Ends) -> bool:
        """Whether edges may share their way: those of one box, or into one."""
        return one[0] == two[0] or one[1] == two[1]

    @staticmethod
    def _priced(ports: tuple[Port, ...], taken: set[Point], *, alone: bool) -> tuple[Port, ...]:
        """The ports, those dearer at which an edge of the other kind begins or ends.

        Where lines are to run `alone`, without those.
        """
        if alone:
            return tuple(port for port in ports if (port.x, port.y) not in taken)
        return tuple(
            replace(port, price=port.price + BOTH) if (port.x, port.y) in taken else port
            for port in ports
        )

    def _free(self, ports: tuple[Port, ...], sign: int) -> Sequence[Port]:
        """The ports with a channel before the next box or, at first, the next label."""
        found, words = [], self.closed is not self.channels.over
        for port in ports:
            first = self.channels.point(self._outside(port, sign))
            if not self.channels.blocked((port.x, port.y), first, words=words):
                found.append(port)
        return found

    def _outside(self, port: Port, sign: int) -> int:
        """The place before a port that no box closes."""
        closed, move = self.closed, self.moves[port.way] * sign
        place = self.channels.place(port.x, port.y)
        while closed[place] and 0 <= place + move < len(closed):
            place += move
        return place

    def _trace(
        self,
        state: int,
        origin: dict[int, int],
        first: dict[int, Port],
        goal: Port,
        ends: Ends,
    ) -> Line:
        states = [state]
        while states[-1] in origin and states[-1] not in first:
            states.append(origin[states[-1]])
        places = [found >> 2 for found in reversed(states)]
        return self._taken(places, first[states[-1]], goal, ends)

    def _taken(self, places: list[int], start: Port, goal: Port, ends: Ends) -> Line:
        """The line through some places, which are taken then."""
        self.channels.take(ends, places)
        self.begun |= set(ends)
        self.begins.add((start.x, start.y))
        self.ends.add((goal.x, goal.y))
        points = [self.channels.point(place) for place in places]
        return tidy(((start.x, start.y), *points, (goal.x, goal.y)))


class _Prices:
    """What the steps of one edge cost."""

    def __init__(self, router: Router, ends: Ends) -> None:
        self.channels = grid = router.channels
        self.router = router
        self.ends = ends
        self.alone = router.alone
        self.apart = router.alone and router.eager == 1
        """Whether it turns on no line of other boxes: in a large picture that takes minutes."""
        self.walls = () if router.closed is grid.over else grid.walls
        self.known: dict[Ends, bool] = {}

    def _strange(self, other: Ends) -> bool:
        if other not in self.known:
            self.known[other] = not self.router.kin(other, self.ends)
        return self.known[other]

    def free(self, place: int, there: int, way: int) -> bool:
        """Whether no edge of other boxes runs to the next place."""
        along = self.channels.runs.get(2 * min(place, there) + (way & 1))
        return not along or not any(map(self._strange, along))

    def met(self, place: int) -> bool:
        """Whether an edge of other boxes runs where this one is to turn."""
        grid = self.channels
        passing = (*grid.level.get(place, ()), *grid.upright.get(place, ()))
        return self.apart and any(map(self._strange, passing))

    def bend(self, place: int) -> float:
        """The price of turning."""
        bends = self.channels.bends.get(place, ())
        return BEND - FORKED if any(tail == self.ends[0] for tail, _ in bends) else BEND

    def step(self, place: int, there: int, way: int) -> float | None:
        """The price of going to the next place, but for a bend.

        None where an edge of other boxes runs there, or turns there, and this one is to run
        alone.
        """
        grid, upright = self.channels, way & 1
        if self.apart and any(map(self._strange, grid.bends.get(there, ()))):
            return None
        lower = place if way < LEFT else there
        price = grid.high[lower // grid.width] if upright else grid.wide[lower % grid.width]
        edge = 2 * lower + upright
        if edge in self.walls:
            return None
        if along := grid.runs.get(edge):
            strange = sum(map(self._strange, along))
            if strange and self.alone:
                return None
            price = price + BESIDE * strange if strange else price * SHARED
        across = (grid.level if upright else grid.upright).get(there, ())
        fences = grid.fences.get(edge, ())
        if across or fences:
            crossed = sum(map(self._strange, (*across, *fences)))
            price += CROSSING * min(crossed, BUNDLE)
        return price


def _between(
    x: float, y: float, way: int, a: float, b: float, goal: int, scale: float
) -> float:
    dx, dy = a - x, b - y
    ahead = (dx, dy, -dx, -dy)
    far = abs(dx) + abs(dy)
    if way == goal:
        straight = ahead[way] >= 0 and far == abs(ahead[way])
        return scale * far if straight else scale * far + 2 * BEND
    if (way + goal) % 2:
        bends = 1 if ahead[way] >= 0 and ahead[goal] >= 0 else 3
        return scale * far + bends * BEND
    return scale * far + 2 * BEND


def _reach(want: Wanted) -> tuple[int, float]:
    pairs = [(t, h) for t in want.tails for h in want.heads]
    straight = any(
        t.way == h.way and (abs(t.y - h.y) < 0.5 if t.way % 2 == 0 else abs(t.x - h.x) < 0.5)
        for t, h in pairs
    )
    return (0 if straight else 1, min(abs(t.x - h.x) + abs(t.y - h.y) for t, h in pairs))
