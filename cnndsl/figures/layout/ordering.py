"""The order of nodes in rows, with as few crossings as sweeps find.

Source: Sugiyama, Tagawa & Toda 1981 (barycentres); Gansner et al. 1993, section 3
(transposition, and keeping the best). The declared order is kept where nothing is better.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import accumulate, pairwise
from random import Random

SWEEPS = 6
STARTS = 10
LARGE = 200
"""So many nodes are not transposed: it would take too long."""

Named = Mapping[str, list[str]]
Near = Sequence[Sequence[int]]
"""By number of a node, those of its neighbours on one side."""
Row = list[int]
Rows = list[Row]


def ordered(rows: list[list[str]], above: Named, below: Named) -> list[list[str]]:
    """The rows, each in the order with the fewest crossings that was found.

    The search starts from the declared order, and anew from shuffled ones: a passing edge
    may have to change sides in all rows at once. The same rows give the same order.
    """
    keys = [key for row in rows for key in row]
    number = {key: n for n, key in enumerate(keys)}
    near = tuple(
        tuple(tuple(number[o] for o in found[key] if o in number) for key in keys)
        for found in (above, below)
    )
    best = _best(tuple(map(len, rows)), *near)
    return [[keys[n] for n in row] for row in best]


@lru_cache(maxsize=64)
def _best(lengths: tuple[int, ...], above: Near, below: Near) -> Rows:
    """The order of rows of some lengths, whose nodes are numbered in the declared order.

    It is kept: a picture's layouts are many, and stand in the same order.
    """
    starts = [0, *accumulate(lengths)]
    rows = [[*range(one, two)] for one, two in pairwise(starts)]
    best = [list(row) for row in rows]
    fewest = crossings(best, below)
    small = starts[-1] <= LARGE
    shuffle = Random(0).shuffle
    for start in range(STARTS if small else 1):
        found = [list(row) for row in rows]
        for row in found if start else ():
            shuffle(row)
        for sweep in range(SWEEPS):
            if not fewest:
                return best
            _sweep(found, above, below, down=sweep % 2 == 0)
            if small:
                _transpose(found, above, below)
            count = crossings(found, below)
            if count < fewest:
                best, fewest = [list(row) for row in found], count
    return best


def crossings(rows: Rows, below: Near) -> int:
    """How often the edges from each row to the next cross."""
    return sum(_between(one, two, below) for one, two in pairwise(rows))


def _between(upper: Row, lower: Row, below: Near) -> int:
    place = {key: n for n, key in enumerate(lower)}
    seen: list[int] = []
    count = 0
    for key in upper:
        ends = sorted(place[head] for head in below[key] if head in place)
        count += sum(len(seen) - bisect_right(seen, end) for end in ends)
        for end in ends:
            insort(seen, end)
    return count


def _sweep(rows: Rows, above: Near, below: Near, *, down: bool) -> None:
    """Sort each row by the mean place of its neighbours; equal ones stay as they are."""
    place = {key: n - (len(row) - 1) / 2 for row in rows for n, key in enumerate(row)}
    near = above if down else below
    for row in rows if down else reversed(rows):
        means = {}
        for key in row:
            known = [place[other] for other in near[key]]
            means[key] = sum(known) / len(known) if known else place[key]
        row.sort(key=means.__getitem__)
        place |= {key: n - (len(row) - 1) / 2 for n, key in enumerate(row)}


def _transpose(rows: Rows, above: Near, below: Near) -> None:
    """Swap neighbours as long as fewer edges cross."""
    for _ in range(4):
        swapped = False
        for n, row in enumerate(rows):
            sides = []
            for near, other in ((above, n - 1), (below, n + 1)):
                there = rows[other] if 0 <= other < len(rows) else []
                place = {key: k for k, key in enumerate(there)}
                sides.append({key: [place[o] for o in near[key] if o in place] for key in row})
            for k in range(len(row) - 1):
                one, two = row[k], row[k + 1]
                fewer = 0
                for places in sides:
                    for a in places[one]:
                        for b in places[two]:
                            fewer += (a > b) - (b > a)
                if fewer > 0:
                    row[k], row[k + 1] = two, one
                    swapped = True
        if not swapped:
            return
