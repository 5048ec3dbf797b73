"""What is known in the middle of a match: cells, and the layers that are settled."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from cnndsl.weights.layers import Layer, Ours, Theirs, alike
from cnndsl.weights.sets import bits, several, union

Key = tuple[tuple[int, int], ...]
"""Signatures with their counts, sorted."""

Pairs = list[tuple[int, int]]
"""Sets of theirs, each with the set of ours that it is."""


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
    return tuple(s for s in several(members & whole for members in sets) if s != whole)


class Known:
    """Both sides, and what has been found out.

    `settled` says which of our layers some of theirs are, `given` and `by_order` those of
    theirs that a map settled, or order alone; `apart[n]` is what more than order and hierarchy
    tells apart from n; `cells` are what is open, `stems` those whose numbers rise along the
    flow wherever it is known, `kinds` the numbers of all signatures.
    """

    def __init__(self, theirs: Theirs, ours: Ours) -> None:
        """Nothing is settled yet."""
        self.theirs = theirs
        self.ours = ours
        self.kinds: tuple[list[int], list[int]] = _kinds(theirs.layers, ours.layers)
        self.settled: dict[int, int] = {}
        self.given = 0
        self.apart: dict[int, int] = defaultdict(int)
        self.by_order = 0
        self.cells: list[Cell] = []
        self.stems: frozenset[str] = frozenset()

    def counts(self, mask: int, side: int) -> Counter[int]:
        """How often each signature occurs in a set of one side: 0 theirs, 1 ours."""
        return Counter(self.kinds[side][n] for n in bits(mask))

    def key(self, mask: int, side: int) -> Key:
        """The signatures of a set."""
        return tuple(sorted(self.counts(mask, side).items()))

    def settle(self, cells: Iterable[Cell]) -> None:
        """Note the signatures that occur once in their cell."""
        for cell in cells:
            for a, b in self.classes(cell):
                if len(a) == 1:
                    self.settled[a[0]] = b[0]

    def divide(self, whole: int, parts: Iterable[int]) -> None:
        """Note what is told apart by more than order and hierarchy."""
        for part in parts:
            for n in bits(part):
                self.apart[n] |= whole & ~part

    def done(self, cell: Cell) -> bool:
        """Whether all of a cell is settled."""
        return all(n in self.settled for n in bits(cell.theirs))

    def classes(self, cell: Cell) -> Iterator[tuple[list[int], list[int]]]:
        """The layers of each signature in a cell, of both sides in order."""
        found: dict[int, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
        for side, mask in enumerate((cell.theirs, cell.ours)):
            for n in bits(mask):
                found[self.kinds[side][n]][side].append(n)
        yield from found.values()

    def open(self, cell: Cell) -> Iterator[tuple[list[int], list[int]]]:
        """The signatures of which a cell has several layers."""
        return (pair for pair in self.classes(cell) if len(pair[0]) > 1)

    def scope(self, cell: Cell) -> int:
        """The smallest module of theirs with all of a cell."""
        whole = union(range(len(self.theirs.layers)))
        holding = [s for s in self.theirs.modules if not cell.theirs & ~s]
        return min([*holding, whole], key=int.bit_count)

    def around(self, cell: Cell) -> Pairs:
        """What is settled in that module."""
        return [(n, self.settled[n]) for n in bits(self.scope(cell)) if n in self.settled]

    def backwards(self, pairs: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
        """Those of these pairs that were defined before what feeds them, or after it."""
        asked = dict(pairs)
        layers = self.theirs.layers
        every = {n: m for n, m in (self.settled | asked).items() if not layers[n].bare}
        later = union(every.values())
        wrong = 0
        for _, m in sorted(every.items()):
            later &= ~(1 << m)
            if back := self.ours.feeding(m) & later:
                wrong |= back | 1 << m
        return [(n, m) for n, m in asked.items() if wrong >> m & 1]


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
