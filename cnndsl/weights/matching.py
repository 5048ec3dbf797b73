"""Which layer of a foreign `state_dict` is which layer of a network.

Both sides are layers with signatures (roles and shapes). A *cell* is a set of their layers
known to be a set of ours, with the same signatures; a signature that occurs once in its
cell is settled. Cells are split by evidence until nothing more splits:

Names come first (`correspondence`), then the order of a whole module's definition
(`order.by_order`), and then:

1. blocks: a module of theirs and a module or chain of ours with equal signatures, no other
   such sets in the cell, and one signature that occurs in the cell only there; several
   such sets where data runs through them one after the other, in the order of definition;
2. parts: the cell's modules against ours, all of them with a partner;
3. numbers: `layer_blocks.2` is `p4` where the siblings `inner_blocks.0`, `.1` are settled
   as `m2`, `m3`, so that numbers differ by 2 (siblings have the same numbers);
4. series: as for blocks, layers of one signature;
5. likeness: what a settled module with the same names inside is, for a block with the same
   names of ours;
6. flow: sets or layers that no other assignment defines before what they feed;
7. gaps: sets or layers between settled ones, where all that is settled in the cell stands
   in one order on both sides, two branches beside these among it.

Series, flow and gaps hold only where what is settled was defined in the order in which data
runs. Order alone never tells parallel layers apart that stand beside each other. What remains
is an error; so is a result that renames two modules of one form differently, and layers that
only hierarchy or order told apart, and that fit as well when they are interchanged.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations

from cnndsl.diagnostics import ArchError, Diagnostic
from cnndsl.weights.cells import Cell, Known, Pairs
from cnndsl.weights.correspondence import by_containers, by_names
from cnndsl.weights.evidence import (
    by_blocks,
    by_flow,
    by_gaps,
    by_numbers,
    by_parts,
    by_series,
)
from cnndsl.weights.faults import GIVEN, ambiguous, expanded, lists, named, unequal
from cnndsl.weights.layers import Ours, Theirs
from cnndsl.weights.likeness import by_likeness, contradictions
from cnndsl.weights.order import ascending_stems, by_order
from cnndsl.weights.sets import bits, union

EVIDENCE = (
    *(by_names, by_order, by_blocks, by_parts, by_numbers, by_series),
    *(by_containers, by_likeness, by_flow, by_gaps),
)
"""The strongest first."""
SURE = (by_names, by_numbers, by_containers, by_likeness, by_gaps)


def match(
    theirs: Theirs, ours: Ours, given: Mapping[str, str]
) -> tuple[dict[int, int], list[int]]:
    """Our layer → their layer, by number, and those of ours that their place alone decided.

    `given` are names, prefixes or patterns, theirs → ours.

    Raises ArchError (E605): layers without a partner, or that the evidence does not tell
    apart, or a prefix that names nothing or something else.
    """
    known = Known(theirs, ours)
    cells = _split(known, _start(known, given))
    faults = [
        ambiguous([theirs.layers[n] for n in a], [ours.layers[n] for n in b])
        for cell in cells
        for a, b in known.open(cell)
    ]
    faults = faults or _against_the_order(known) or contradictions(known)
    faults = faults or _interchangeable(known)
    if faults:
        raise ArchError(faults)
    uncertain = [known.settled[n] for n in _by_place(known)]
    return {m: n for n, m in known.settled.items()}, sorted(uncertain)


def _by_place(known: Known) -> set[int]:
    """Those of theirs that order alone told apart, or hierarchy where a file lost its order."""
    found = {n for n in known.settled if known.by_order >> n & 1}
    if known.theirs.trusted:
        return found
    classes: dict[int, int] = defaultdict(int)
    for n in known.settled:
        classes[known.kinds[0][n]] |= 1 << n
    return found | {
        n for n in known.settled if classes[known.kinds[0][n]] & ~known.apart[n] & ~(1 << n)
    }


def _interchangeable(known: Known) -> list[Diagnostic]:
    """Layers that only hierarchy or order told apart, and that fit as well the other way."""
    classes: dict[int, list[int]] = defaultdict(list)
    for n in known.settled:
        classes[known.kinds[0][n]].append(n)
    images = [union(known.settled[n] for n in bits(s)) for s in known.theirs.modules]
    # Theirs keep norms with what is before them, or with what is behind them.
    pairs = min(known.ours.normed, key=lambda sets: sum(_cut(image, sets) for image in images))
    doubtful = {
        n
        for members in classes.values()
        for x, y in combinations(members, 2)
        if not known.apart[x] >> y & 1 and not known.apart[y] >> x & 1
        if not _worse(known, x, y, images, pairs)
        for n in (x, y)
    }
    if not doubtful:
        return []
    theirs = [known.theirs.layers[n] for n in sorted(doubtful)]
    ours = [known.ours.layers[m] for m in sorted(known.settled[n] for n in doubtful)]
    return [ambiguous(theirs, ours)]


def _cut(image: int, pairs: Sequence[int]) -> int:
    """How many pairs a module holds a half of."""
    return sum(1 for pair in pairs if pair & image not in (0, pair))


def _worse(known: Known, x: int, y: int, images: Sequence[int], pairs: Sequence[int]) -> bool:
    """Whether two of theirs may not be interchanged.

    Then more of their modules would be in pieces, or without a norm that belongs to them, or
    the two would not be in the order of data.
    """
    a, b = known.settled[x], known.settled[y]
    if known.ours.precedes(a, b) or known.ours.precedes(b, a):
        first, second = (x, y) if known.ours.precedes(a, b) else (y, x)
        if known.theirs.before(first, second, known.stems):
            return True
    both = 1 << a | 1 << b
    concerned = [pair for pair in pairs if pair & both]
    broken = [0, 0]
    for image in images:
        if image & both not in (0, both):
            for side, found in enumerate((image, image ^ both)):
                broken[side] += not known.ours.together(found)
                broken[side] += _cut(found, concerned)
    return broken[1] > broken[0]


def _against_the_order(known: Known) -> list[Diagnostic]:
    """What was assigned by its place, though something else shows that places mean nothing."""
    if not known.theirs.trusted:
        return []
    ordered = {n: m for n, m in known.settled.items() if known.by_order >> n & 1}
    wrong = known.backwards(ordered.items())
    if not wrong:
        return []
    theirs, ours = zip(*wrong, strict=True)
    both = lists([known.theirs.layers[n] for n in theirs], [known.ours.layers[m] for m in ours])
    message = f"only order tells these layers apart, and it is not that of data\n{both}"
    return [Diagnostic("E605", message, help=GIVEN)]


def _start(known: Known, given: Mapping[str, str]) -> list[Cell]:
    """One cell of all layers, and one for each prefix that is given."""
    theirs, ours = known.theirs, known.ours
    whole = union(range(len(theirs.layers))), union(range(len(ours.layers)))
    surplus = known.counts(whole[0], 0) - known.counts(whole[1], 1)
    missing = known.counts(whole[1], 1) - known.counts(whole[0], 0)
    if surplus or missing:
        kinds = enumerate(known.kinds[0]), enumerate(known.kinds[1])
        unmatched = [theirs.layers[n] for n, kind in kinds[0] if kind in surplus]
        unfilled = [ours.layers[n] for n, kind in kinds[1] if kind in missing]
        raise ArchError([unequal(unmatched, unfilled)])
    chains = (*ours.chains, *_normed(known))
    cells = [Cell(*whole, theirs.modules, ours.modules, chains).part(*whole)]
    for prefix, name in expanded(theirs.layers, given):
        a, b = named(theirs.layers, prefix, "theirs"), named(ours.layers, name, "ours")
        cell = next((c for c in cells if not a & ~c.theirs and not b & ~c.ours), None)
        if cell is None or known.key(a, 0) != known.key(b, 1):
            left = [theirs.layers[n] for n in bits(a)]
            wanted = [ours.layers[n] for n in bits(b)]
            message = f"`{prefix}` cannot be `{name}`\n{lists(left, wanted)}"
            raise ArchError([Diagnostic("E605", message, help=GIVEN)])
        cells.remove(cell)
        cells += _parts(known, cell, [(a, b)])
        known.given |= a
    known.divide(whole[0], (cell.theirs for cell in cells))
    return cells


def _normed(known: Known) -> tuple[int, ...]:
    """Our layers with the norms behind them, or before them, as theirs have them.

    Where both could be what theirs stand in, nothing is.
    """
    norms = {"running_mean", "running_var"}
    pairs = Counter(
        known.key(members, 0)
        for members in known.theirs.modules
        if members.bit_count() == 2
        and sum(not norms.isdisjoint(known.theirs.layers[n].tensors) for n in bits(members))
        == 1
    )
    fitting = [
        sets
        for sets in known.ours.normed
        if pairs and not pairs - Counter(known.key(members, 1) for members in sets)
    ]
    return fitting[0] if len(fitting) == 1 else ()


def _split(known: Known, cells: list[Cell]) -> list[Cell]:
    """Cells split by evidence, the strongest first, until none splits."""
    level = 0
    known.settle(cells)
    while level < len(EVIDENCE):
        known.stems = ascending_stems(known)
        known.cells = cells
        after: list[Cell] = []
        for cell in cells:
            pairs = [] if known.done(cell) else EVIDENCE[level](known, cell)
            if EVIDENCE[level] in SURE:
                known.divide(cell.theirs, (a for a, _ in pairs))
            parts = _parts(known, cell, pairs) if pairs else [cell]
            known.settle(parts)
            after += parts
        level = 0 if len(after) > len(cells) else level + 1
        cells = after
    return cells


def _parts(known: Known, cell: Cell, pairs: Sequence[tuple[int, int]]) -> list[Cell]:
    """A cell cut into pairs of sets, and the rest."""
    rest = cell.theirs, cell.ours
    for a, b in pairs:
        rest = rest[0] & ~a, rest[1] & ~b
    cuts: Pairs = [*pairs, rest]
    assert all(known.key(a, 0) == known.key(b, 1) for a, b in cuts)
    return [cell.part(a, b) for a, b in cuts if a]
