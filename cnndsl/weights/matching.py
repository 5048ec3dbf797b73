"""Which layer of a foreign `state_dict` is which layer of a network.

Both sides are layers with signatures (roles and shapes). A *cell* is a set of their layers
known to be a set of ours, with the same signatures; a signature that occurs once in its
cell is settled. Cells are split by evidence until nothing more splits:

1. blocks: a module of theirs and a module or chain of ours with equal signatures, no other
   such sets in the cell, and one signature that occurs in the cell only there; several
   such sets where both sides order them;
2. parts: the cell's modules against ours, all different, all with a partner;
3. numbers: `layer_blocks.2` is `p4` where the siblings `inner_blocks.0`, `.1` are settled
   as `m2`, `m3`, so that numbers differ by 2 (siblings have the same numbers);
4. series: layers of one signature through which data runs one after the other, in the
   order of definition, where what is settled has that order too;
5. intervals: layers between the same settled ones, where all that is settled in the cell
   stands in one order on both sides, and two branches beside these layers are settled.

Order alone never tells parallel layers apart that stand beside each other. What remains
is an error, and so is a result that renames two modules of one form differently.
"""

from __future__ import annotations

from bisect import bisect
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise, permutations

from cnndsl.diagnostics import ArchError, Diagnostic
from cnndsl.weights.faults import GIVEN, ambiguous, below, contradictions, lists, unequal
from cnndsl.weights.layers import Layer, Ours, Theirs, alike, bits, union
from cnndsl.weights.numbering import Family, Path, families, numbered

Key = tuple[tuple[int, int], ...]
"""Signatures with their counts, sorted."""


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
        evidence.append(self.by_intervals)
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
        """Modules that are the only ones of their signatures."""
        total = self.counts(cell.theirs, 0)
        found: tuple[dict[Key, list[int]], ...] = (defaultdict(list), defaultdict(list))
        for side, sets in enumerate((cell.modules, (*cell.blocks, *cell.chains))):
            for members in dict.fromkeys(sets):
                found[side][self.key(members, side)].append(members)
        ordered_too = self._follows_the_flow(cell)
        pairs: list[tuple[int, int]] = []
        taken = [0, 0]
        for key in sorted(found[0], key=lambda key: -sum(n for _, n in key)):
            sides = found[0][key], found[1].get(key, [])
            alone = any(total[kind] == n * len(sides[0]) for kind, n in key)
            if not alone or len(sides[0]) != len(sides[1]):
                continue
            if len(sides[0]) > 1 and not ordered_too:
                continue
            if not all(_disjoint(sets, mask) for sets, mask in zip(sides, taken, strict=True)):
                continue
            ordered = self._in_series(*sides) if len(sides[0]) > 1 else sides
            if ordered:
                pairs += zip(*ordered, strict=True)
                taken = [mask | _all(sets) for mask, sets in zip(taken, sides, strict=True)]
        return pairs

    def by_parts(self, cell: Cell) -> list[tuple[int, int]]:
        """All modules of a cell against all of ours, each with one possible partner."""
        theirs = self._partition(cell.modules, cell.theirs, 0)
        found = []
        for sets in dict.fromkeys((cell.blocks, cell.chains)):
            ours = self._partition(sets, cell.ours, 1)
            if len(theirs) > 1 and theirs.keys() == ours.keys():
                found.append([(theirs[key], ours[key]) for key in theirs])
        return found[0] if found and all(pairs == found[0] for pairs in found) else []

    def _partition(self, sets: Sequence[int], whole: int, side: int) -> dict[Key, int]:
        """The largest sets, and the rest; nothing where two overlap or are alike."""
        largest: list[int] = []
        for members in sorted(sets, key=int.bit_count, reverse=True):
            if all(members & ~other for other in largest):
                largest.append(members)
        rest = whole & ~_all(largest)
        parts = [*largest, rest] if rest else largest
        keyed = {self.key(members, side): members for members in parts}
        return keyed if _disjoint(parts, 0) and len(keyed) == len(parts) else {}

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

    def by_series(self, cell: Cell) -> list[tuple[int, int]]:
        """Layers of one signature, one after the other on both sides."""
        if not self._follows_the_flow(cell):
            return []
        pairs: list[tuple[int, int]] = []
        for a, b in self._open(cell):
            ordered = self._in_series([1 << n for n in a], [1 << n for n in b])
            pairs += zip(*ordered, strict=True) if ordered else ()
        return pairs

    def _in_series(self, a: list[int], b: list[int]) -> tuple[list[int], list[int]] | None:
        """Sets of both sides in order of definition and of the flow of data."""
        if self.theirs.trusted:
            a = sorted(a, key=lambda mask: mask & -mask)
        else:
            a = sorted(a, key=lambda mask: _natural(self.theirs.layers[_first(mask)].path))
        b = sorted(b, key=lambda mask: mask & -mask)
        if not all(
            self.theirs.before(_first(x), _first(y), self.stems) for x, y in combinations(a, 2)
        ):
            return None
        for first, second in pairwise(a):
            if not all(
                self.theirs.before(x, y, self.stems) for x in bits(first) for y in bits(second)
            ):
                return None
        for first, second in pairwise(b):
            for y in bits(second):
                if first & ~self.ours.above[y]:
                    return None
            if any(second & self.ours.above[x] for x in bits(first)):
                return None
        return a, b

    def _follows_the_flow(self, cell: Cell) -> bool:
        """Whether what is settled was defined in the order in which data runs."""
        back = {self.settled[n]: n for n in bits(cell.theirs) if n in self.settled}
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

    def by_intervals(self, cell: Cell) -> list[tuple[int, int]]:
        """Layers of one signature between settled ones, all of which are in one order."""
        theirs = [n for n in bits(cell.theirs) if n in self.settled]
        ours = [self.settled[n] for n in theirs]
        if not self.theirs.trusted or ours != sorted(ours):
            return []
        pairs: list[tuple[int, int]] = []
        for a, b in self._open(cell):
            gaps: dict[int, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
            for side, members, fixed in ((0, a, theirs), (1, b, ours)):
                for n in members:
                    gaps[bisect(fixed, n)][side].append(n)
            alike = all(len(xs) == len(ys) for xs, ys in gaps.values())
            if len(gaps) > 1 and alike and self._branches_in_order(b, ours):
                pairs += [(union(xs), union(ys)) for xs, ys in gaps.values()]
        return pairs

    def _branches_in_order(self, members: list[int], fixed: list[int]) -> bool:
        """Whether two settled branches beside these layers are in one order on both sides.

        That alone shows that branches were defined in the order in which ours are written.
        """
        beside = [m for m in fixed if all(self._parallel(m, n) for n in members)]
        return any(self._parallel(x, y) for x, y in pairwise(beside))

    def _parallel(self, x: int, y: int) -> bool:
        return not self.ours.precedes(x, y) and not self.ours.precedes(y, x)

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


def _natural(path: Path) -> list[tuple[str, int]]:
    return [numbered(segment)[-1] for segment in path]


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
    return (mask & -mask).bit_length() - 1
