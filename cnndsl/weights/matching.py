"""Which layer of a foreign `state_dict` is which layer of a network.

Both sides are layers with signatures (roles and shapes). A *cell* is a set of their layers
known to be a set of ours, with the same signatures; a signature that occurs once in its
cell is settled. Cells are split by evidence until nothing more splits:

1. blocks: a module of theirs and a module or chain of ours with equal signatures, no other
   such sets in the cell, and one signature that occurs in the cell only there; several
   such sets where data runs through them one after the other, in the order of definition;
2. parts: the cell's modules against ours, all of them with a partner;
3. numbers: `layer_blocks.2` is `p4` where the siblings `inner_blocks.0`, `.1` are settled
   as `m2`, `m3`, so that numbers differ by 2 (siblings have the same numbers);
4. series: as for blocks, layers of one signature;
5. flow: sets or layers that no other assignment defines before what they feed;
6. gaps: sets or layers between settled ones, where all that is settled in the cell stands
   in one order on both sides, two branches beside these among it.

The last three hold only where what is settled was defined in the order in which data runs.
Order alone never tells parallel layers apart that stand beside each other. What remains
is an error, and so is a result that renames two modules of one form differently.
"""

from __future__ import annotations

from bisect import bisect
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise, permutations, product
from typing import Any

from cnndsl.diagnostics import ArchError, Diagnostic
from cnndsl.weights.faults import GIVEN, ambiguous, below, contradictions, lists, unequal
from cnndsl.weights.layers import Layer, Ours, Theirs, alike, bits, union
from cnndsl.weights.numbering import Family, Path, families, numbered

Key = tuple[tuple[int, int], ...]
"""Signatures with their counts, sorted."""

_Sides = tuple[list[int], list[int]]
_Assign = Callable[[list[int], list[int]], list[tuple[int, int]]]


@dataclass(frozen=True, slots=True)
class Cell:
    """Layers of theirs that are, in some order, these of ours.

    `modules`, `blocks` and `chains` are the sets of two and more layers inside it, theirs
    first.
    """

    theirs: int
    ours: int
    modules: tuple[int, ...]
    blocks: tuple[int, ...]
    chains: tuple[int, ...]

    def part(self, theirs: int, ours: int) -> Cell:
        """The cell of some of its layers."""
        return Cell(
            theirs,
            ours,
            _within(self.modules, theirs),
            _within(self.blocks, ours),
            _within(self.chains, ours),
        )


def _within(sets: Iterable[int], whole: int) -> tuple[int, ...]:
    cut = (members & whole for members in sets)
    return tuple(dict.fromkeys(s for s in cut if s & (s - 1) and s != whole))


def match(theirs: Theirs, ours: Ours, given: Mapping[str, str]) -> dict[int, int]:
    """Our layer → their layer, by number.  `given` are prefixes, theirs → ours.

    Raises ArchError (E605): layers without a partner, or that the evidence does not tell
    apart, or a prefix that names nothing or something else.
    """
    matching = _Matching(theirs, ours)
    matching.start(given)
    matching.split()
    return matching.result()


class _Matching:
    """The cells, and the evidence that splits them."""

    def __init__(self, theirs: Theirs, ours: Ours) -> None:
        self.theirs = theirs
        self.ours = ours
        self.kinds: tuple[list[int], list[int]] = _kinds(theirs.layers, ours.layers)
        self.cells: list[Cell] = []
        self.settled: dict[int, int] = {}
        self.stems: frozenset[str] = frozenset()

    def counts(self, mask: int, side: int) -> Counter[int]:
        """How often each signature occurs in a set of one side: 0 theirs, 1 ours."""
        return Counter(self.kinds[side][n] for n in bits(mask))

    def key(self, mask: int, side: int) -> Key:
        """The signatures of a set."""
        return tuple(sorted(self.counts(mask, side).items()))

    def start(self, given: Mapping[str, str]) -> None:
        """One cell of all layers, and one for each prefix that is given."""
        theirs, ours = self.theirs, self.ours
        whole = union(range(len(theirs.layers))), union(range(len(ours.layers)))
        surplus = self.counts(whole[0], 0) - self.counts(whole[1], 1)
        missing = self.counts(whole[1], 1) - self.counts(whole[0], 0)
        if surplus or missing:
            kinds = enumerate(self.kinds[0]), enumerate(self.kinds[1])
            unmatched = [theirs.layers[n] for n, kind in kinds[0] if kind in surplus]
            unfilled = [ours.layers[n] for n, kind in kinds[1] if kind in missing]
            raise ArchError([unequal(unmatched, unfilled)])
        cells = [Cell(*whole, theirs.modules, ours.modules, ours.chains).part(*whole)]
        for prefix, name in sorted(given.items(), key=lambda pair: pair[0].count(".")):
            a, b = below(theirs.layers, prefix, "theirs"), below(ours.layers, name, "ours")
            cell = next((c for c in cells if not a & ~c.theirs and not b & ~c.ours), None)
            if cell is None or self.key(a, 0) != self.key(b, 1):
                left = [theirs.layers[n] for n in bits(a)]
                wanted = [ours.layers[n] for n in bits(b)]
                message = f"`{prefix}` cannot be `{name}`\n{lists(left, wanted)}"
                raise ArchError([Diagnostic("E605", message, help=GIVEN)])
            cells.remove(cell)
            cells += self._parts(cell, [(a, b)])
        self.cells = cells

    def split(self) -> None:
        """Split cells by evidence, the strongest first, until none splits."""
        evidence = [self.by_blocks, self.by_parts, self.by_numbers, self.by_series]
        evidence += [self.by_flow, self.by_gaps]
        level = 0
        self._settle(self.cells)
        while level < len(evidence):
            self.stems = self._ascending_stems()
            after: list[Cell] = []
            for cell in self.cells:
                pairs = [] if self._done(cell) else evidence[level](cell)
                parts = self._parts(cell, pairs) if pairs else [cell]
                self._settle(parts)
                after += parts
            progress = len(after) > len(self.cells)
            self.cells = after
            level = 0 if progress else level + 1

    def _parts(self, cell: Cell, pairs: Sequence[tuple[int, int]]) -> list[Cell]:
        """A cell cut into pairs of sets, and the rest."""
        rest = cell.theirs, cell.ours
        for a, b in pairs:
            rest = rest[0] & ~a, rest[1] & ~b
        assert all(self.key(a, 0) == self.key(b, 1) for a, b in (*pairs, rest))
        return [cell.part(a, b) for a, b in (*pairs, rest) if a]

    def _done(self, cell: Cell) -> bool:
        return all(n in self.settled for n in bits(cell.theirs))

    def _settle(self, cells: Iterable[Cell]) -> None:
        for cell in cells:
            for a, b in self._classes(cell):
                if len(a) == 1:
                    self.settled[a[0]] = b[0]

    def _classes(self, cell: Cell) -> Iterator[tuple[list[int], list[int]]]:
        """The layers of each signature in a cell, of both sides in order."""
        found: dict[int, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
        for side, mask in enumerate((cell.theirs, cell.ours)):
            for n in bits(mask):
                found[self.kinds[side][n]][side].append(n)
        yield from found.values()

    def _open(self, cell: Cell) -> Iterator[tuple[list[int], list[int]]]:
        return (pair for pair in self._classes(cell) if len(pair[0]) > 1)

    # Evidence: each takes a cell and gives pairs of sets, or nothing.

    def by_blocks(self, cell: Cell) -> list[tuple[int, int]]:
        """Modules that are the only ones of their signatures, or stand in series."""
        return self._assigned(self._families_of_sets(cell), self._in_series(cell))

    def by_parts(self, cell: Cell) -> list[tuple[int, int]]:
        """All modules of a cell against all of ours."""
        found: list[list[tuple[int, int]]] = []
        for blocks, paired in product(dict.fromkeys((cell.blocks, cell.chains)), (False, True)):
            theirs, ours = self._partitions(cell, blocks, paired)
            if len(theirs) > 1 and _sizes(theirs) == _sizes(ours):
                families = ((parts, ours[key]) for key, parts in theirs.items())
                found.append(self._assigned(families, self._in_series(cell)))
        agree = all(
            (a & x).bit_count() == (b & y).bit_count()
            for first, second in combinations(found, 2)
            for a, b in first
            for x, y in second
        )
        return next(filter(None, found), []) if agree else []

    def by_series(self, cell: Cell) -> list[tuple[int, int]]:
        """Layers of one signature, one after the other on both sides."""
        return self._assigned(self._families_of_one(cell), self._in_series(cell))

    def by_flow(self, cell: Cell) -> list[tuple[int, int]]:
        """What would else be defined before that which feeds it."""
        assign = self._with_the_flow(cell)
        pairs = self._assigned(self._families_of_sets(cell), assign)
        return pairs or self._assigned(self._families_of_one(cell), assign)

    def by_gaps(self, cell: Cell) -> list[tuple[int, int]]:
        """What stands between settled layers, all of which are in one order."""
        assign = self._between(cell)
        pairs = self._assigned(self._families_of_sets(cell), assign)
        return pairs or self._assigned(self._families_of_one(cell), assign)

    # Families: sets of theirs that are, in some order, these sets of ours.

    def _families_of_sets(self, cell: Cell) -> Iterator[_Sides]:
        """Modules of equal signatures, one of which occurs nowhere else; largest first."""
        total = self.counts(cell.theirs, 0)
        found: tuple[dict[Key, list[int]], ...] = (defaultdict(list), defaultdict(list))
        for side, sets in enumerate((cell.modules, (*cell.blocks, *cell.chains))):
            for members in dict.fromkeys(sets):
                found[side][self.key(members, side)].append(members)
        for key in sorted(found[0], key=lambda key: -sum(n for _, n in key)):
            a, b = found[0][key], found[1].get(key, [])
            alone = any(total[kind] == n * len(a) for kind, n in key)
            if alone and len(a) == len(b):
                yield a, b

    def _families_of_one(self, cell: Cell) -> Iterator[_Sides]:
        for a, b in self._open(cell):
            yield [1 << n for n in a], [1 << n for n in b]

    def _assigned(self, families: Iterable[_Sides], assign: _Assign) -> list[tuple[int, int]]:
        """The pairs of sets that are decided; of overlapping ones the first."""
        pairs: list[tuple[int, int]] = []
        taken = [0, 0]
        for sides in families:
            if not all(_disjoint(sets, mask) for sets, mask in zip(sides, taken, strict=True)):
                continue
            decided = list(zip(*sides, strict=True)) if len(sides[0]) == 1 else assign(*sides)
            pairs += decided
            if decided:
                taken = [mask | _all(sets) for mask, sets in zip(taken, sides, strict=True)]
        return pairs

    def _partitions(
        self, cell: Cell, blocks: Sequence[int], paired: bool
    ) -> list[dict[Key, list[int]]]:
        """Both sides in their largest sets and the rest; or in those with their like."""
        sides = (cell.theirs, cell.modules), (cell.ours, blocks)
        keys = [{self.key(members, n) for members in sets} for n, (_, sets) in enumerate(sides)]
        found = []
        for side, (whole, sets) in enumerate(sides):
            usable = [s for s in sets if not paired or self.key(s, side) in keys[1 - side]]
            largest: list[int] = []
            for members in sorted(usable, key=int.bit_count, reverse=True):
                if all(members & ~other for other in largest):
                    largest.append(members)
            rest = whole & ~_all(largest)
            keyed: dict[Key, list[int]] = defaultdict(list)
            for members in [*largest, rest] if _disjoint(largest, 0) else ():
                keyed[self.key(members, side)].append(members)
            keyed.pop((), None)
            found.append(keyed)
        return found

    # Assignments within a family: a list of pairs, empty where nothing is decided.

    def _in_series(self, cell: Cell) -> _Assign:
        """Data runs through them one after the other, and they were defined in order."""
        follows = self._follows_the_flow(cell)

        def assign(a: list[int], b: list[int]) -> list[tuple[int, int]]:
            a = sorted(a, key=self._definition)
            b = sorted(b, key=_first)
            ordered = (
                follows
                and all(self._before(x, y) for x, y in combinations(map(_lowest, a), 2))
                and all(self._before(x, y) for x, y in pairwise(a))
                and all(self._feeds(x, y) for x, y in pairwise(b))
            )
            return list(zip(a, b, strict=True)) if ordered else []

        return assign

    def _definition(self, members: int) -> Any:
        """Sorts by definition, or by the numbers in the names where a file is sorted."""
        first = _first(members)
        if self.theirs.trusted:
            return first
        return [numbered(segment)[-1] for segment in self.theirs.layers[first].path]

    def _before(self, a: int, b: int) -> bool:
        """Whether all of a set was defined before all of another."""
        return all(self.theirs.before(x, y, self.stems) for x in bits(a) for y in bits(b))

    def _feeds(self, a: int, b: int) -> bool:
        """Whether all of our set a comes before all of our set b in the flow of data."""
        above = self.ours.above
        forth = all(not a & ~above[y] for y in bits(b))
        return forth and not any(b & above[x] for x in bits(a))

    def _with_the_flow(self, cell: Cell) -> _Assign:
        """The one assignment in which data runs in the order of definition."""
        settled = self._around(cell)
        usable = self.theirs.trusted and self._follows_the_flow(cell)

        def possible(a: int, b: int) -> bool:
            return all(
                self._possible(x, y, n, m)
                for x, y in ((_first(a), _first(b)), (_last(a), _last(b)))
                for n, m in settled
                if not a >> n & 1
            )

        def assign(a: list[int], b: list[int]) -> list[tuple[int, int]]:
            options = {x: {y for y in b if possible(x, y)} for x in a} if usable else {}
            pairs: list[tuple[int, int]] = []
            while decided := [x for x, ys in options.items() if len(ys) == 1]:
                pairs.append((decided[0], options.pop(decided[0]).pop()))
                for ys in options.values():
                    ys.discard(pairs[-1][1])
            return pairs if len(pairs) == len(a) and not options else []

        return assign

    def _possible(self, a: int, b: int, n: int, m: int) -> bool:
        """Whether a may be our b, n being our m, if data runs in the order of definition."""
        return not self.ours.precedes(*((b, m) if n < a else (m, b)))

    def _between(self, cell: Cell) -> _Assign:
        """Those in one gap between settled layers are those in the same gap of ours."""
        settled = self._around(cell)
        theirs, ours = [n for n, _ in settled], [m for _, m in settled]
        usable = self.theirs.trusted and ours == sorted(ours)

        def assign(a: list[int], b: list[int]) -> list[tuple[int, int]]:
            a, b = sorted(a, key=_first), sorted(b, key=_first)
            gaps = [bisect(theirs, _first(x)) for x in a], [bisect(ours, _first(y)) for y in b]
            apart = len(set(gaps[0])) == len(a) and gaps[0] == gaps[1]
            if usable and apart and self._branches_in_order(_all(b), ours):
                return list(zip(a, b, strict=True))
            return []

        return assign

    def _branches_in_order(self, members: int, fixed: list[int]) -> bool:
        """Whether two settled branches beside these layers are in one order on both sides.

        That alone shows that branches were defined in the order in which ours are written.
        """
        beside = [m for m in fixed if all(self._parallel(m, n) for n in bits(members))]
        return any(self._parallel(x, y) for x, y in pairwise(beside))

    def _parallel(self, x: int, y: int) -> bool:
        return not self.ours.precedes(x, y) and not self.ours.precedes(y, x)

    def by_numbers(self, cell: Cell) -> list[tuple[int, int]]:
        """Layers that differ in one number, as their settled siblings do."""
        their_paths = [layer.path for layer in self.theirs.layers]
        our_paths = [layer.path for layer in self.ours.layers]
        pairs: list[tuple[int, int]] = []
        for a, b in self._open(cell):
            found = {
                tuple(zip(a, result, strict=True))
                for theirs in families([their_paths[n] for n in a], their_paths)
                for ours in families([our_paths[n] for n in b], our_paths)
                if (result := self._by_number(theirs, ours, b))
                and not self._against_the_flow(a, result)
            }
            if len(found) == 1:
                pairs += [(1 << x, 1 << y) for x, y in found.pop()]
        return pairs

    def _by_number(self, theirs: Family, ours: Family, b: list[int]) -> list[int]:
        """Our layers in their order, if the settled siblings fit n → ±n + c."""
        known = {
            (x, y)
            for n, m in self.settled.items()
            for x in theirs.siblings(self.theirs.layers[n].path)
            for y in ours.siblings(self.ours.layers[m].path)
        }
        if len({x for x, _ in known}) < 2:
            return []
        place = dict(zip(ours.numbers, b, strict=True))
        for sign in (1, -1):
            offsets = {y - sign * x for x, y in known}
            if len(offsets) == 1:
                numbers = [sign * x + min(offsets) for x in theirs.numbers]
                if set(numbers) == set(place):
                    return [place[number] for number in numbers]
        return []

    def _against_the_flow(self, a: list[int], b: list[int]) -> bool:
        """Whether one of these pairs was defined in the opposite order of the data's."""
        return any(
            self.ours.precedes(y, other) and self.theirs.before(n, x, self.stems)
            for (x, y), (n, other) in permutations(zip(a, b, strict=True), 2)
        )

    def _around(self, cell: Cell) -> list[tuple[int, int]]:
        """What is settled in the smallest module of theirs with all of a cell."""
        whole = union(range(len(self.theirs.layers)))
        holding = [s for s in self.theirs.modules if not cell.theirs & ~s]
        scope = min([*holding, whole], key=int.bit_count)
        return [(n, self.settled[n]) for n in bits(scope) if n in self.settled]

    def _follows_the_flow(self, cell: Cell) -> bool:
        """Whether what is settled was defined in the order in which data runs."""
        back = {m: n for n, m in self._around(cell)}
        known = union(back)
        for y, n in back.items():
            above = self.ours.above[y] & known & ~(1 << y)
            x = above.bit_length() - 1
            against = above and self.ours.precedes(x, y)
            if against and self.theirs.before(n, back[x], self.stems):
                return False
        return True

    def _ascending_stems(self) -> frozenset[str]:
        """Stems whose numbers rise along the flow wherever it is known: `conv#`."""
        families: dict[tuple[Path, str], dict[int, int]] = defaultdict(dict)
        for n, m in self.settled.items():
            path = self.theirs.layers[n].path
            for depth, segment in enumerate(path):
                for stem, number in numbered(segment):
                    families[path[:depth], stem].setdefault(number, m)
        seen: dict[str, set[bool]] = defaultdict(set)
        for (_, stem), members in families.items():
            for (_, x), (_, y) in pairwise(sorted(members.items())):
                if self.ours.precedes(x, y) or self.ours.precedes(y, x):
                    seen[stem].add(self.ours.precedes(x, y))
        return frozenset(stem for stem, rising in seen.items() if rising == {True})

    def result(self) -> dict[int, int]:
        """Our layer → theirs.  Raises ArchError (E605)."""
        faults = [
            ambiguous([self.theirs.layers[n] for n in a], [self.ours.layers[n] for n in b])
            for cell in self.cells
            for a, b in self._open(cell)
        ]
        if not faults:
            faults = contradictions(self.theirs.layers, self.ours.layers, self.settled)
        if faults:
            raise ArchError(faults)
        return {m: n for n, m in self.settled.items()}


def _kinds(theirs: Sequence[Layer], ours: Sequence[Layer]) -> tuple[list[int], list[int]]:
    """A number for each layer's signature.

    What is left over on one side is counted as the one kind on the other that holds the
    same numbers in another shape, if there is one.
    """
    signatures = [[layer.signature for layer in side] for side in (theirs, ours)]
    counts = Counter(signatures[0]), Counter(signatures[1])
    surplus, missing = counts[0] - counts[1], counts[1] - counts[0]
    same = {kind: kind for side in counts for kind in side}
    for kind in missing:
        partners = [other for other in surplus if alike(kind, other)]
        if len(partners) == 1:
            same[kind] = partners[0]
    numbers = {kind: number for number, kind in enumerate(dict.fromkeys(same.values()))}
    found = [[numbers[same[kind]] for kind in side] for side in signatures]
    return found[0], found[1]


def _disjoint(sets: Iterable[int], taken: int) -> bool:
    for members in sets:
        if members & taken:
            return False
        taken |= members
    return True


def _all(sets: Iterable[int]) -> int:
    whole = 0
    for members in sets:
        whole |= members
    return whole


def _first(mask: int) -> int:
    return _lowest(mask).bit_length() - 1


def _last(mask: int) -> int:
    return mask.bit_length() - 1


def _lowest(mask: int) -> int:
    return mask & -mask


def _sizes(families: Mapping[Key, list[int]]) -> dict[Key, int]:
    return {key: len(sets) for key, sets in families.items()}
