"""The order of nodes in rows, with as few crossings as sweeps find.

Source: Sugiyama, Tagawa & Toda 1981 (barycentres); Gansner et al. 1993, section 3
(transposition, and keeping the best). The declared order is kept where nothing is better.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Mapping
from itertools import pairwise
from random import Random

SWEEPS = 6
STARTS = 10
LARGE = 200
"""So many nodes are not transposed: it would take too long."""

Near = Mapping[str, list[str]]
Rows = list[list[str]]


def ordered(rows: Rows, above: Near, below: Near) -> Rows:
    """The rows, each in the order with the fewest crossings that was found.

    The search starts from the declared order, and anew from shuffled ones: a passing edge
    may have to change sides in all rows at once. The same rows give the same order.
    """
    given = (
        tuple(map(tuple, rows)),
        tuple((key, tuple(below[key])) for row in rows for key in row),
    )
    if _LAST and _LAST[0][0] == given:
        return [list(row) for row in _LAST[0][1]]
    best = _best(rows, above, below)
    _LAST[:] = [(given, [list(row) for row in best])]
    return best


_LAST: list[tuple[object, Rows]] = []
"""The last rows that were asked about, and their order: a picture's layouts are many."""


def _best(rows: Rows, above: Near, below: Near) -> Rows:
    best = [list(row) for row in rows]
    fewest = crossings(best, below)
    small = sum(map(len, rows)) <= LARGE
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


def _between(upper: list[str], lower: list[str], below: Near) -> int:
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
            known = [place[other] for other in near[key] if other in place]
            means[key] = sum(known) / len(known) if known else place[key]
        row.sort(key=means.__getitem__)
        place |= {key: n - (len(row) - 1) / 2 for n, key in enumerate(row)}


def _transpose(rows: Rows, above: Near, below: Near) -> None:
    """Swap neighbours as long as fewer edges cross."""
    for _ in range(4):
        swapped = False
        for n, row in enumerate(rows):
            over = rows[n - 1] if n else []
            under = rows[n + 1] if n + 1 < len(rows) else []
            high = {key: k for k, key in enumerate(over)}
            low = {key: k for k, key in enumerate(under)}
            for k in range(len(row) - 1):
                one, two = row[k], row[k + 1]
                now = _pair(one, two, above, high) + _pair(one, two, below, low)
                then = _pair(two, one, above, high) + _pair(two, one, below, low)
                if then < now:
                    row[k], row[k + 1] = two, one
                    swapped = True
        if not swapped:
            return


def _pair(left: str, right: str, near: Near, place: dict[str, int]) -> int:
    """Crossings of the edges of two neighbours on one side."""
    ones = [place[other] for other in near[left] if other in place]
    twos = [place[other] for other in near[right] if other in place]
    return sum(1 for a in ones for b in twos if a > b)
