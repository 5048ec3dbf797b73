"""Modules of one form, which are loaded alike.

Two modules of theirs have one form where the same names stand inside with the same kinds,
and the same names of ours: a class of theirs, used twice, for a block of ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cnndsl.diagnostics import Diagnostic
from cnndsl.weights.cells import Cell, Known, Pairs
from cnndsl.weights.faults import GIVEN, lists
from cnndsl.weights.layers import below
from cnndsl.weights.numbering import Path, common
from cnndsl.weights.sets import bits, union

Names = dict[Path, Path]
"""The names inside a module of theirs, and what they are of ours."""


@dataclass(frozen=True, slots=True)
class _Module:
    """A module of theirs, and the layers of ours that it is."""

    prefix: Path
    theirs: int
    ours: int


def by_likeness(known: Known, cell: Cell) -> Pairs:
    """What a settled module of the same form says of this one.

    Anything else would be refused in the end, as a contradiction.
    """
    settled = {_form(known, module): _names(known, module) for module in _settled(known)}
    for module in _open(known, cell):
        names = settled.get(_form(known, module))
        if names is None:
            continue
        start = _start(known, module)
        place = {known.ours.layers[m].path[start:]: m for m in bits(module.ours)}
        depth = len(module.prefix)
        pairs = [
            (n, place[names[known.theirs.layers[n].path[depth:]]]) for n in bits(cell.theirs)
        ]
        if all(cell.ours >> m & 1 and known.kinds[0][n] == known.kinds[1][m] for n, m in pairs):
            return [(1 << n, 1 << m) for n, m in pairs]
    return []


def contradictions(known: Known) -> list[Diagnostic]:
    """Modules of one form whose layers were paired otherwise."""
    seen: dict[object, tuple[Path, Names]] = {}
    for module in _settled(known):
        if module.theirs & known.given:
            continue
        names = _names(known, module)
        first, other = seen.setdefault(_form(known, module), (module.prefix, names))
        if other != names:
            both = f"`{'.'.join(first)}` and `{'.'.join(module.prefix)}`"
            message = f"{both} are of one form, and would be loaded differently"
            theirs = [known.theirs.layers[n] for n in bits(module.theirs)]
            ours = [known.ours.layers[known.settled[n]] for n in bits(module.theirs)]
            return [Diagnostic("E605", f"{message}\n{lists(theirs, ours)}", help=GIVEN)]
    return []


def _settled(known: Known) -> Iterator[_Module]:
    """The modules all of whose layers are settled, in order of appearance."""
    for prefix, members in below(known.theirs.layers).items():
        if prefix and all(n in known.settled for n in bits(members)):
            yield _Module(prefix, members, union(known.settled[n] for n in bits(members)))


def _open(known: Known, cell: Cell) -> Iterator[_Module]:
    """The modules with all of a cell, beside which they hold nothing that is not settled."""
    for prefix, members in below(known.theirs.layers).items():
        others = list(bits(members & ~cell.theirs))
        if prefix and not cell.theirs & ~members and all(n in known.settled for n in others):
            image = cell.ours | union(known.settled[n] for n in others)
            yield _Module(prefix, members, image)


def _start(known: Known, module: _Module) -> int:
    """How many segments the names of our layers share."""
    return common([known.ours.layers[m].path for m in bits(module.ours)])


def _names(known: Known, module: _Module) -> Names:
    start, depth = _start(known, module), len(module.prefix)
    return {
        known.theirs.layers[n].path[depth:]: known.ours.layers[known.settled[n]].path[start:]
        for n in bits(module.theirs)
    }


def _form(known: Known, module: _Module) -> object:
    start, depth = _start(known, module), len(module.prefix)
    theirs = (known.theirs.layers[n] for n in bits(module.theirs))
    return (
        frozenset((layer.path[depth:], layer.kind) for layer in theirs),
        frozenset(known.ours.layers[m].path[start:] for m in bits(module.ours)),
    )
