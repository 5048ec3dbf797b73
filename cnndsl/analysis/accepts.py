"""Which input sizes a built network accepts: its weights stay, only the input changes.

That is narrower than what the file can be elaborated at: a linear layer behind `flatten`
fits one size alone. The answer is found by running the operations' own shape rules at
each size; sizes repeat their behaviour with a period that the formulas give.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import cached_property

from cnndsl.analysis.forms import normal
from cnndsl.analysis.pieces import Blame, Piece, Step, at
from cnndsl.analysis.propagate import Atom, Propagated, propagate, size_attributes
from cnndsl.analysis.valid import Valid
from cnndsl.diagnostics import ArchError
from cnndsl.ops.facts import Shape, spell_shape
from cnndsl.symbolic import Apply, Formula, Sym, formula, symbol

LARGEST = 256
"""Every size up to this one is tried."""
PERIOD = 1024
"""A longer period than this is not followed to its end."""
TRIES = 12
"""So many other networks of a file are tried, where sizes decide what it gives."""


class Acceptance:
    """A file's networks at all sizes: first the one at hand, others where a size decides."""

    def __init__(self, found: Propagated) -> None:
        """Begin with the network at hand."""
        self.found = found
        self.names = found.names
        self.sizes = {name: found.sizes[name] for name in found.names.values()}
        self.pieces = [Piece(found)]
        self.refused: dict[tuple[int, ...], Blame] = {}
        self.complete = True
        """Whether every size that was looked at in a scan was tried."""

    @property
    def steps(self) -> list[Step]:
        """Those of the network at hand."""
        return self.pieces[0].steps

    def piece(self, sizes: Mapping[str, int]) -> Piece | Blame:
        """The network that the file gives at these sizes, or why it gives none."""
        atoms = self._bound(sizes)
        known = next((piece for piece in self.pieces if piece.holds(atoms)), None)
        key = tuple(atoms.values())
        if known is not None or key in self.refused:
            return known or self.refused[key]
        network = self.found.network
        if network.again is None:
            return Blame(
                network.name,
                "a size decides which layers there are; a copy cannot read its file again",
            )
        whole = {**self.sizes, **sizes}
        values: dict[str, object] = {
            name: symbol(name, whole[name]) if isinstance(value, Sym) else value
            for name, value in network.arguments.items()
        }
        try:
            made = Piece(propagate(network.again(values, self.found.inputs(sizes))))
        except ArchError as error:
            first = error.diagnostics[0]
            place = f"{first.span.source.name}:{first.span.line}" if first.span else ""
            self.refused[key] = Blame(place or network.name, first.message)
            return self.refused[key]
        self.pieces.append(made)
        return made

    def blame(self, sizes: Mapping[str, int]) -> Blame | None:
        """The first layer that refuses these sizes; None where all accept them.

        Sizes not given are those that the network was built at.
        """
        piece = self.piece(sizes)
        if isinstance(piece, Blame):
            return piece
        atoms = self._bound(sizes)
        own = piece is self.pieces[0]
        found = piece.blame(atoms, weights=own)
        return found if found is not None or own else self._other(piece, atoms)

    def _other(self, piece: Piece, atoms: Mapping[Atom, int]) -> Blame | None:
        """The first weight in which another network differs from the one at hand."""
        held, needed = self.held, piece.weights(atoms)
        for name in dict.fromkeys([*held, *needed]):
            if held.get(name) != needed.get(name):
                was, now = (
                    spell_shape(shapes[name]) if name in shapes else "not there"
                    for shapes in (held, needed)
                )
                return Blame(name, f"the weight is {was}, and at this size {now}")
        return None

    @cached_property
    def held(self) -> dict[str, Shape]:
        """The weights of the network at hand."""
        return self.pieces[0].weights(self._bound({}))

    def accepts(self, sizes: Mapping[str, int]) -> bool:
        """Whether a forward pass at these sizes succeeds."""
        return self.blame(sizes) is None

    def fits(self, sizes: Mapping[str, int]) -> bool:
        """The same in a scan, which asks the file for at most `TRIES` other networks."""
        atoms = self._bound(sizes)
        known = any(piece.holds(atoms) for piece in self.pieces)
        if not known and len(self.pieces) + len(self.refused) > TRIES:
            self.complete = False
            return False
        return self.accepts(sizes)

    def valid(self, name: str) -> Valid:
        """The sizes of one axis that fit, the others as the network was built."""
        return self._valid((name,))

    def alike(self, one: str, other: str) -> bool:
        """Whether two axes are treated alike everywhere: then what fits one fits the other.

        Every window is the same along both, and exchanging two sizes exchanges the axes of
        every map.
        """
        if self.sizes[one] != self.sizes[other]:
            return False
        if not self._symmetric(one, other):
            return False
        for sizes in ({one: 211, other: 353}, {one: 480, other: 97}):
            exchanged = {one: sizes[other], other: sizes[one]}
            here, there = self._bound(sizes), self._bound(exchanged)
            for step in self.steps:
                layer = step.layer
                window = layer.op.window(*layer.inputs) if layer.inputs else None
                sides = (window.kernel, window.stride, window.padding) if window else ()
                if any(len(set(side)) > 1 for side in sides):
                    return False
                for shape in layer.outputs:
                    # Of boxes and vectors, what is not a map, the number is to be the same.
                    turned = (*shape[:-2], shape[-1], shape[-2]) if len(shape) > 2 else shape
                    if at(shape, here) != at(turned, there):
                        return False
        return True

    def _symmetric(self, one: str, other: str) -> bool:
        """Whether what one axis decides, or is an attribute of, the other is too."""
        atoms = {name: atom for atom, name in self.names.items()}
        exchanged = {**self.names, atoms[one]: other, atoms[other]: one}

        def renamed(written: Formula, names: Mapping[Atom, str]) -> Formula:
            sizes: dict[Atom, int] = {
                atom: Sym(self.sizes[name], Formula({(atoms[name],): 1}))
                for atom, name in names.items()
            }
            return formula(normal(written.evaluate(sizes)))

        for piece in self.pieces:
            here = {one.formula for one in piece.found.decided}
            for layer in piece.found.layers:
                here |= {formula(size) for size in size_attributes(layer.op)}
            if (
                len({frozenset(renamed(f, n) for f in here) for n in (self.names, exchanged)})
                > 1
            ):
                return False
        return True

    def _bound(self, sizes: Mapping[str, int]) -> dict[Atom, int]:
        return self.found.bound(sizes)

    def square(self, names: tuple[str, ...]) -> Valid:
        """The sizes that fit where several axes have the same one."""
        return self._valid(names)

    def _valid(self, names: tuple[str, ...]) -> Valid:
        period = math.lcm(*(self.period[name] for name in names))
        follow = min(period, PERIOD)
        base = max(self.sizes[name] for name in names)
        scan = _Scan(self, names, follow, base)
        scan.all()
        fits, largest = scan.explicit(fits=True), scan.largest
        tail = [n for n in fits if n > largest - follow]
        residues = sorted({n % follow for n in tail})
        # The last period must be as the one before it, else the end is not reached.
        before = sorted(
            {n % follow for n in fits if largest - 2 * follow < n <= largest - follow}
        )
        if residues != before:
            residues = sorted(set(residues) & set(before))
        short = _shortest(follow, residues)
        shown = " = ".join(names)
        reduced = tuple(sorted({r % short for r in residues}))
        spans, refused = tuple(scan.between), scan.explicit(fits=False)
        return Valid(shown, fits, largest, short, reduced, spans, refused)

    @cached_property
    def period(self) -> dict[str, int]:
        """For each size, the common multiple of what it is divided by."""
        found = dict.fromkeys(self.names.values(), 1)
        seen: set[Formula] = set()
        for layer in self.found.layers:
            numbers = [n for shape in (*layer.inputs, *layer.outputs) for n in shape]
            sizes = (*numbers, *size_attributes(layer.op))
            seen |= {size.formula for size in sizes if isinstance(size, Sym)}
        seen |= {one.formula for one in self.found.decided}
        for names, divisor in (pair for written in seen for pair in _divisors(written)):
            for atom in names & self.names.keys():
                found[self.names[atom]] = math.lcm(found[self.names[atom]], divisor)
        return found


class _Scan:
    """Which sizes of an axis fit: all small ones, all near the network's own, and between.

    Between, sizes a period apart are followed one class at a time: where several at equal
    distances agree, those among them do.
    """

    def __init__(
        self, rules: Acceptance, names: tuple[str, ...], period: int, base: int
    ) -> None:
        """Begin with none known."""
        self.rules, self.names, self.period, self.base = rules, names, period, base
        self.small = max(LARGEST, 2 * period)
        self.largest = max(self.small + 2 * period, base + 2 * period)
        self.known: dict[int, bool] = {}
        self.between: list[tuple[range, bool]] = []

    def explicit(self, *, fits: bool) -> tuple[int, ...]:
        """Of the sizes that were tried those that fit, or do not."""
        return tuple(sorted(size for size, found in self.known.items() if found == fits))

    def all(self) -> None:
        """Try, or conclude, all up to `largest`."""
        own = max(self.small + 1, self.base - self.period)
        for size in (*range(1, self.small + 1), *range(own, self.largest + 1)):
            self.fit(size)
        for first in range(self.small - self.period + 1, self.small + 1):
            last = first + -(-(own - first) // self.period) * self.period
            self._between(first, last, 3 if self.period <= 64 else 1)

    def fit(self, size: int) -> bool:
        """Whether one fits."""
        if size not in self.known:
            self.known[size] = self.rules.fits(dict.fromkeys(self.names, size))
        return self.known[size]

    def _between(self, first: int, last: int, halvings: int) -> None:
        """Those of a class between two that are known."""
        steps = (last - first) // self.period
        if steps < 2:
            return
        middle = first + steps // 2 * self.period
        same = self.fit(first) == self.fit(middle) == self.fit(last)
        if same and not halvings:
            span = range(first + self.period, last, self.period)
            self.between.append((span, self.known[first]))
            return
        left = halvings - 1 if same else halvings
        self._between(first, middle, max(left, 0))
        self._between(middle, last, max(left, 0))


def _divisors(written: Formula) -> Iterator[tuple[set[Atom], int]]:
    """Each quotient's names, with what divides them."""
    for monomial in written.terms:
        for atom in monomial:
            if not isinstance(atom, Apply):
                continue
            if atom.function in ("//", "%") and (divisor := atom.arguments[1].constant):
                yield atom.arguments[0].atoms(), abs(divisor)
            for argument in atom.arguments:
                yield from _divisors(argument)


def _shortest(period: int, residues: list[int]) -> int:
    """The least period with which the residues repeat."""
    known = set(residues)
    if not known:
        return period
    for short in range(1, period + 1):
        if period % short == 0 and all((r + short) % period in known for r in known):
            return short
    return period
