"""Evidence of order: how the order of definition fits the order in which data runs.

Each function takes what is known and a cell, and gives a way to assign sets of theirs to
sets of ours: a list of pairs, empty where nothing is decided.
"""

from __future__ import annotations

from bisect import bisect
from collections import defaultdict
from collections.abc import Callable
from itertools import combinations, pairwise
from typing import Any

from cnndsl.weights.cells import Cell, Known, Pairs
from cnndsl.weights.numbering import Path, numbered
from cnndsl.weights.sets import all_of, bits, first, last, lowest, union

Assign = Callable[[list[int], list[int]], Pairs]


def in_series(known: Known, cell: Cell) -> Assign:
    """Data runs through them one after the other, and they were defined in order."""
    follows = _follows_the_flow(known, cell)

    def before(a: int, b: int) -> bool:
        return all(known.theirs.before(x, y, known.stems) for x in bits(a) for y in bits(b))

    def definition(members: int) -> Any:
        """Sorts by definition, or by the numbers in the names where a file is sorted."""
        number = first(members)
        if known.theirs.trusted:
            return number
        return [numbered(segment)[-1] for segment in known.theirs.layers[number].path]

    def assign(a: list[int], b: list[int]) -> Pairs:
        a, b = sorted(a, key=definition), sorted(b, key=first)
        ordered = (
            follows
            and all(before(x, y) for x, y in combinations(map(lowest, a), 2))
            and all(before(x, y) for x, y in pairwise(a))
            and all(_feeds(known, x, y) for x, y in pairwise(b))
        )
        return list(zip(a, b, strict=True)) if ordered else []

    return assign


def _feeds(known: Known, a: int, b: int) -> bool:
    """Whether all of our set a comes before all of our set b in the flow of data."""
    above = known.ours.above
    forth = all(not a & ~above[y] for y in bits(b))
    return forth and not any(b & above[x] for x in bits(a))


STATES = 256
"""Of a search for an order; with more, nothing is decided."""


def by_order(known: Known, cell: Cell) -> Pairs:
    """Layers that have one place, if a whole module was defined in the order of data.

    Every layer of the smallest module with all of the cell comes after what feeds it; what
    is settled keeps its place, and no number in a name says the opposite.
    """
    if not known.theirs.trusted:
        return []
    places = _places(known, known.scope(cell))
    pairs: Pairs = []
    for a, _ in known.open(cell):
        decided = [(n, places[n]) for n in a if n in places]
        against = any(not known.theirs.before(x, y, known.stems) for x, y in combinations(a, 2))
        if not against and not known.backwards(decided):
            pairs += [(1 << n, 1 << m) for n, m in decided]
    known.by_order |= all_of(a for a, _ in pairs)
    return pairs


def _places(known: Known, scope: int) -> dict[int, int]:
    """Which of ours each layer of a set is in every order in which data may run."""
    numbers = [n for n in bits(scope) if not known.theirs.layers[n].bare]
    options = {n: 1 << known.settled[n] for n in numbers if n in known.settled}
    for cell in known.cells:
        if cell.theirs & scope:
            for a, b in known.open(cell):
                options |= {n: union(b) for n in a if n not in options}
    options = {n: options[n] for n in numbers}
    all_ours = all_of(options.values())
    feeding = {y: known.ours.feeding(y) & all_ours for y in bits(all_ours)}
    levels: list[dict[int, list[tuple[int, int]]]] = [{0: []}]
    for n in numbers:
        level: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for state in levels[-1]:
            for y in bits(options[n] & ~state):
                if not feeding[y] & ~state:
                    level[state | 1 << y].append((state, y))
        if not 0 < len(level) <= STATES:
            return {}
        levels.append(level)
    alive, found = set(levels[-1]), {}
    for n, level in zip(reversed(numbers), reversed(levels), strict=False):
        came = [pair for state in alive for pair in level[state]]
        chosen = {y for _, y in came}
        if len(chosen) == 1:
            found[n] = chosen.pop()
        alive = {state for state, _ in came}
    return found


def with_the_flow(known: Known, cell: Cell) -> Assign:
    """The one assignment in which data runs in the order of definition."""
    settled = known.around(cell)
    usable = known.theirs.trusted and _follows_the_flow(known, cell)

    def may_be(a: int, b: int, n: int, m: int) -> bool:
        """Whether a may be our b, n being our m."""
        return not known.ours.precedes(*((b, m) if n < a else (m, b)))

    def possible(a: int, b: int) -> bool:
        return all(
            may_be(x, y, n, m)
            for x, y in ((first(a), first(b)), (last(a), last(b)))
            for n, m in settled
            if not a >> n & 1
        )

    def assign(a: list[int], b: list[int]) -> Pairs:
        options = {x: {y for y in b if possible(x, y)} for x in a} if usable else {}
        pairs: Pairs = []
        while decided := [x for x, ys in options.items() if len(ys) == 1]:
            pairs.append((decided[0], options.pop(decided[0]).pop()))
            for ys in options.values():
                ys.discard(pairs[-1][1])
        return pairs if len(pairs) == len(a) and not options else []

    return assign


def between(known: Known, cell: Cell) -> Assign:
    """Those in one gap between settled layers are those in the same gap of ours."""
    settled = known.around(cell)
    theirs, ours = [n for n, _ in settled], [m for _, m in settled]
    usable = known.theirs.trusted and ours == sorted(ours)

    def parallel(x: int, y: int) -> bool:
        return not known.ours.precedes(x, y) and not known.ours.precedes(y, x)

    def branches_in_order(members: int) -> bool:
        """Whether two settled branches beside these layers are in one order on both sides.

        That alone shows that branches were defined in the order in which ours are written.
        """
        beside = [m for m in ours if all(parallel(m, n) for n in bits(members))]
        return any(parallel(x, y) for x, y in pairwise(beside))

    def assign(a: list[int], b: list[int]) -> Pairs:
        a, b = sorted(a, key=first), sorted(b, key=first)
        gaps = [bisect(theirs, first(x)) for x in a], [bisect(ours, first(y)) for y in b]
        apart = len(set(gaps[0])) == len(a) and gaps[0] == gaps[1]
        if usable and apart and branches_in_order(all_of(b)):
            return list(zip(a, b, strict=True))
        return []

    return assign


def _follows_the_flow(known: Known, cell: Cell) -> bool:
    """Whether what is settled was defined in the order in which data runs."""
    back = {m: n for n, m in known.around(cell)}
    settled = union(back)
    for y, n in back.items():
        above = known.ours.above[y] & settled & ~(1 << y)
        x = last(above)
        against = above and known.ours.precedes(x, y)
        if against and known.theirs.before(n, back[x], known.stems):
            return False
    return True


def ascending_stems(known: Known) -> frozenset[str]:
    """Stems whose numbers rise along the flow wherever it is known: `conv#`."""
    families: dict[tuple[Path, str], dict[int, int]] = defaultdict(dict)
    for n, m in known.settled.items():
        path = known.theirs.layers[n].path
        for depth, segment in enumerate(path):
            for stem, number in numbered(segment):
                families[path[:depth], stem].setdefault(number, m)
    seen: dict[str, set[bool]] = defaultdict(set)
    for (_, stem), members in families.items():
        for (_, x), (_, y) in pairwise(sorted(members.items())):
            if known.ours.precedes(x, y) or known.ours.precedes(y, x):
                seen[stem].add(known.ours.precedes(x, y))
    return frozenset(stem for stem, rising in seen.items() if rising == {True})
