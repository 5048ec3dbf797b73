"""Evidence of hierarchy and numbers.

Each function takes what is known and a cell, and gives pairs of sets, or nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations, permutations, product

from cnndsl.weights import order
from cnndsl.weights.cells import Cell, Key, Known, Pairs
from cnndsl.weights.numbering import Family, families, is_counted
from cnndsl.weights.sets import all_of, disjoint, first

Sides = tuple[list[int], list[int]]
"""Sets of theirs that are, in some order, these sets of ours."""


def by_blocks(known: Known, cell: Cell) -> Pairs:
    """Modules that are the only ones of their signatures, or stand in series."""
    return _assigned(known, _families_of_sets(known, cell), order.in_series(known, cell))


def by_parts(known: Known, cell: Cell) -> Pairs:
    """All modules of a cell against all of ours."""
    assign = order.in_series(known, cell)
    found: list[Pairs] = []
    for blocks, paired in product(dict.fromkeys((cell.blocks, cell.chains)), (False, True)):
        theirs, ours = _partitions(known, cell, blocks, paired)
        if len(theirs) > 1 and _sizes(theirs) == _sizes(ours):
            sides = ((parts, ours[key]) for key, parts in theirs.items())
            found.append(_assigned(known, sides, assign))
    agree = all(
        (a & x).bit_count() == (b & y).bit_count()
        for first, second in combinations(found, 2)
        for a, b in first
        for x, y in second
    )
    return next(filter(None, found), []) if agree else []


def by_series(known: Known, cell: Cell) -> Pairs:
    """Layers of one signature, one after the other on both sides."""
    return _assigned(known, _families_of_one(known, cell), order.in_series(known, cell))


def by_flow(known: Known, cell: Cell) -> Pairs:
    """What would else be defined before that which feeds it."""
    assign = order.with_the_flow(known, cell)
    pairs = _assigned(known, _families_of_sets(known, cell), assign)
    return pairs or _assigned(known, _families_of_one(known, cell), assign)


def by_gaps(known: Known, cell: Cell) -> Pairs:
    """What stands between settled layers, all of which are in one order."""
    assign = order.between(known, cell)
    pairs = _assigned(known, _families_of_sets(known, cell), assign)
    return pairs or _assigned(known, _families_of_one(known, cell), assign)


def _families_of_sets(known: Known, cell: Cell) -> Iterator[Sides]:
    """Modules of equal signatures, one of which occurs nowhere else; largest first."""
    total = known.counts(cell.theirs, 0)
    found: tuple[dict[Key, list[int]], ...] = (defaultdict(list), defaultdict(list))
    for side, sets in enumerate((cell.modules, (*cell.blocks, *cell.chains))):
        for members in dict.fromkeys(sets):
            found[side][known.key(members, side)].append(members)
    for key in sorted(found[0], key=lambda key: -sum(n for _, n in key)):
        a, b = found[0][key], found[1].get(key, [])
        alone = any(total[kind] == n * len(a) for kind, n in key)
        if alone and len(a) == len(b):
            yield a, b


def _families_of_one(known: Known, cell: Cell) -> Iterator[Sides]:
    for a, b in known.open(cell):
        yield [1 << n for n in a], [1 << n for n in b]


def _assigned(known: Known, sides: Iterable[Sides], assign: order.Assign) -> Pairs:
    """The pairs of sets that are decided; of overlapping ones the first."""
    pairs: Pairs = []
    taken = [0, 0]
    for both in sides:
        if not all(disjoint(sets, mask) for sets, mask in zip(both, taken, strict=True)):
            continue
        decided = list(zip(*both, strict=True)) if len(both[0]) == 1 else assign(*both)
        if len(both[0]) > 1:
            single = [(first(a), first(b)) for a, b in decided if not a & (a - 1)]
            if known.theirs.trusted and known.backwards(single):
                continue
            known.by_order |= all_of(a for a, _ in decided)
        pairs += decided
        if decided:
            taken = [mask | all_of(sets) for mask, sets in zip(taken, both, strict=True)]
    return pairs


def _partitions(
    known: Known, cell: Cell, blocks: Sequence[int], paired: bool
) -> list[dict[Key, list[int]]]:
    """Both sides in their largest sets and the rest; or in those with their like."""
    sides = (cell.theirs, cell.modules), (cell.ours, blocks)
    keys = [{known.key(members, n) for members in sets} for n, (_, sets) in enumerate(sides)]
    found = []
    for side, (whole, sets) in enumerate(sides):
        usable = [s for s in sets if not paired or known.key(s, side) in keys[1 - side]]
        largest: list[int] = []
        for members in sorted(usable, key=int.bit_count, reverse=True):
            if all(members & ~other for other in largest):
                largest.append(members)
        rest = whole & ~all_of(largest)
        keyed: dict[Key, list[int]] = defaultdict(list)
        for members in [*largest, rest] if disjoint(largest) else ():
            keyed[known.key(members, side)].append(members)
        keyed.pop((), None)
        found.append(keyed)
    return found


def _sizes(keyed: Mapping[Key, list[int]]) -> dict[Key, int]:
    return {key: len(sets) for key, sets in keyed.items()}


def by_numbers(known: Known, cell: Cell) -> Pairs:
    """Layers that differ in one number, as their settled siblings do.

    Where our number only counts the layers of an operation, it says no more than their order.
    """
    their_paths = [layer.path for layer in known.theirs.layers]
    our_paths = [layer.path for layer in known.ours.layers]
    pairs: Pairs = []
    for a, b in known.open(cell):
        found = {
            tuple(zip(a, result, strict=True))
            for theirs in families([their_paths[n] for n in a], their_paths)
            for ours in families([our_paths[n] for n in b], our_paths)
            if (result := _by_number(known, theirs, ours, b))
            and not _against_the_flow(known, a, result)
        }
        if len(found) == 1:
            settled = [(1 << x, 1 << y) for x, y in found.pop()]
            pairs += settled
            if any(is_counted(our_paths[m]) for m in b):
                known.by_order |= all_of(x for x, _ in settled)
    return pairs


def _by_number(known: Known, theirs: Family, ours: Family, b: list[int]) -> list[int]:
    """Our layers in their order, if the settled siblings fit n → ±n + c."""
    siblings = {
        (x, y)
        for n, m in known.settled.items()
        for x in theirs.siblings(known.theirs.layers[n].path)
        for y in ours.siblings(known.ours.layers[m].path)
    }
    if len({x for x, _ in siblings}) < 2:
        return []
    place = dict(zip(ours.numbers, b, strict=True))
    for sign in (1, -1):
        offsets = {y - sign * x for x, y in siblings}
        if len(offsets) == 1:
            numbers = [sign * x + min(offsets) for x in theirs.numbers]
            if set(numbers) == set(place):
                return [place[number] for number in numbers]
    return []


def _against_the_flow(known: Known, a: list[int], b: list[int]) -> bool:
    """Whether one of these pairs was defined in the opposite order of the data's."""
    return any(
        known.ours.precedes(y, other) and known.theirs.before(n, x, known.stems)
        for (x, y), (n, other) in permutations(zip(a, b, strict=True), 2)
    )
