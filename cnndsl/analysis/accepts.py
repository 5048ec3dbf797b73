"""Which input sizes a built network accepts: its weights stay, only the input changes.

That is narrower than what the file can be elaborated at: a linear layer behind `flatten`
fits one size alone. The answer is found by running the operations' own shape rules at
each size; sizes repeat their behaviour with a period that the formulas give.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from cnndsl.analysis.forms import normal, spell_formula
from cnndsl.analysis.propagate import Atom, Layer, Propagated, propagate, size_attributes
from cnndsl.analysis.valid import Valid
from cnndsl.diagnostics import ArchError, OpError
from cnndsl.graph import Decided, key_of
from cnndsl.language.nodes import impossible, would_give
from cnndsl.ops.base import Op
from cnndsl.ops.facts import Family, Shape, spell_shape
from cnndsl.ops.values import convert, spell
from cnndsl.symbolic import Apply, Formula, Sym, formula, symbol

LARGEST = 256
"""Every size up to this one is tried."""
PERIOD = 1024
"""A longer period than this is not followed to its end."""
TRIES = 12
"""So many other networks of a file are tried, where sizes decide what it gives."""
PASSES = (Family.ACTIVATION, Family.REGULARIZE)


@dataclass(frozen=True, slots=True)
class Blame:
    """Why a size does not fit: the first layer that refuses it, and what it says."""

    node: str
    reason: str

    def __str__(self) -> str:
        """`e3.concat: cannot concatenate …`."""
        return f"{self.node}: {self.reason}"


class Piece:
    """One network of a file, and the sizes at which the file gives it.

    Its shape rules are one layer for each kind, ready to run at any sizes.
    """

    def __init__(self, found: Propagated) -> None:
        """Take what each kind reads."""
        self.found = found
        self.branches = [one for one in found.decided if not one.contract]
        self.contracts = [one for one in found.decided if one.contract]
        self.known: dict[tuple[object, ...], tuple[Shape, ...] | Blame] = {}
        first: dict[int, Layer] = {}
        kind_of = {layer.name: layer.kind for layer in found.layers}
        self.steps: list[_Step] = []
        self.repeated = [pair for layer in found.layers for pair in _repeated(layer)]
        for layer in found.layers:
            if layer.kind in first:
                continue
            first[layer.kind] = layer
            operands = found.network.operands(layer.name)
            reads = tuple((kind_of[producer], output) for producer, output in operands)
            self.steps.append(_step(layer, reads))
        self.shared = [*_shared(found)]

    def holds(self, atoms: Mapping[Atom, int]) -> bool:
        """Whether the file gives this network at these sizes, if it gives any."""
        try:
            return all(
                one.formula.evaluate(atoms) == one.value for one in self.branches
            ) and all(
                tuple(int(size.evaluate(atoms)) == 1 for size in sizes) == ones
                for sizes, ones in self.repeated
            )
        except ZeroDivisionError:
            return False

    def decides(self, other: Piece) -> bool:
        """Whether a branch, and not only a repeated operand, tells it from another."""
        return {(o.formula, o.value) for o in self.branches} != {
            (o.formula, o.value) for o in other.branches
        }

    def repeats(self, names: Mapping[Atom, str]) -> list[str]:
        """Which sizes are 1 here, and which are not: `W = 1`."""
        found = [
            f"{spell_formula(size, names)} {'=' if one else '>'} 1"
            for sizes, ones in self.repeated
            for size, one in zip(sizes, ones, strict=True)
            if size.atoms()
        ]
        return [*dict.fromkeys(found)]

    def blame(self, atoms: Mapping[Atom, int], *, weights: bool = True) -> Blame | None:
        """The first layer or contract that refuses these sizes; None where none does."""
        shapes: dict[int, tuple[Shape, ...]] = {}
        for step in self.steps:
            inputs = tuple(shapes[kind][output] for kind, output in step.reads)
            if step.passes:
                shapes[step.layer.kind] = (inputs[0],)
                continue
            found = self._outputs(step, inputs, atoms, weights)
            if isinstance(found, Blame):
                return found
            shapes[step.layer.kind] = found
        for node, name, first, other in self.shared:
            held, needed = _value(first, atoms), _value(other, atoms)
            if held != needed:
                message = f"the module cannot be shared: `{name}` is {_spelt(held)}"
                return Blame(node, f"{message}, but this call needs {_spelt(needed)}")
        for one in (*self.contracts, *self.found.numbers):
            try:
                holds = one.formula.evaluate(atoms) == one.value
            except ZeroDivisionError:
                return Blame(_place(one), f"division by zero in `{one.span.text}`")
            if one.contract and not holds:
                return self._broken(one, atoms)
        return None

    def _broken(self, one: Decided, atoms: Mapping[Atom, int]) -> Blame:
        """A contract that does not hold: `m.arch:1: the size `H` is 15, and this is 16`."""
        ((monomial, _),) = one.formula.terms.items()
        (comparison,) = monomial
        assert isinstance(comparison, Apply)
        first, other = (int(side.evaluate(atoms)) for side in comparison.arguments)
        seen = f"undefined at {first}"
        if comparison.function == "==":
            seen = f"{first}, and this is {other}" if one.value else f"{first}"
        return Blame(_place(one), f"`{one.span.text}` is {seen}")

    def _outputs(
        self,
        step: _Step,
        inputs: tuple[Shape, ...],
        atoms: Mapping[Atom, int],
        weights: bool,
    ) -> tuple[Shape, ...] | Blame:
        """What a layer gives or says; many images give the deep ones the same maps."""
        if not inputs:
            return tuple(_at(shape, atoms) for shape in step.layer.outputs)
        op = step.layer.op
        try:
            values = tuple(_value(getattr(op, name), atoms) for name in step.attributes)
        except ZeroDivisionError:
            return Blame(step.layer.name, "division by zero")
        key = (step.layer.kind, inputs, values, weights)
        if key not in self.known:
            try:
                self.known[key] = step.run(inputs, values, weights=weights)
            except OpError as error:
                self.known[key] = Blame(step.layer.name, error.message)
        return self.known[key]

    def weights(self, atoms: Mapping[Atom, int]) -> dict[str, Shape]:
        """The weights by their names in a `state_dict`, where the sizes are these."""
        nodes = self.found.network
        return {
            f"{key_of(nodes.node(layer.name).path)}.{name}": _at(weight.shape, atoms)
            for layer in self.found.layers
            for name, weight in layer.op.weights(*layer.inputs).items()
        }


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
    def steps(self) -> list[_Step]:
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
                    if _at(shape, here) != _at(turned, there):
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


def _place(one: Decided) -> str:
    return f"{one.span.source.name}:{one.span.line}"


@dataclass(frozen=True, slots=True)
class _Step:
    """One kind: what it reads, and what of it depends on the sizes."""

    layer: Layer
    reads: tuple[tuple[int, int], ...]
    passes: bool
    attributes: tuple[str, ...]
    weights: tuple[Shape, ...] | None
    """The shapes of its weights, where they could change."""

    def run(
        self, inputs: tuple[Shape, ...], values: tuple[object, ...], *, weights: bool = True
    ) -> tuple[Shape, ...]:
        """Its outputs, the attributes that depend on the sizes being these.

        Raises OpError: it refuses the inputs, or its weights do not fit.
        """
        op = self.layer.op
        if self.attributes:
            kinds = {parameter.name: parameter.type for parameter in op.parameters}
            named = {
                name: convert(name, value, kinds[name], len(inputs[0]) - 1)
                for name, value in zip(self.attributes, values, strict=True)
            }
            op = dataclasses.replace(op, **named)  # type: ignore[type-var]
        shapes = op.shapes(*inputs)
        shape = impossible(op, shapes, inputs)
        if shape is not None:
            raise OpError(would_give(op, shape, inputs))
        if weights and self.weights is not None:
            self._check(op, inputs)
        return shapes

    def _check(self, op: Op, inputs: tuple[Shape, ...]) -> None:
        found = tuple(tuple(map(int, w.shape)) for w in op.weights(*inputs).values())
        for held, needed in zip(self.weights or (), found, strict=True):
            if held != needed:
                raise OpError(
                    f"its weight is {spell_shape(held)}, and this input needs"
                    f" {spell_shape(needed)}"
                )


def _step(layer: Layer, reads: tuple[tuple[int, int], ...]) -> _Step:
    op = layer.op
    same = len(layer.outputs) == 1 and bool(layer.inputs)
    same = same and list(map(formula, layer.outputs[0])) == list(map(formula, layer.inputs[0]))
    weights = [weight.shape for weight in op.weights(*layer.inputs).values()]
    varies = any(isinstance(n, Sym) for shape in weights for n in shape)
    held = tuple(tuple(map(int, shape)) for shape in weights) if varies else None
    names = [f.name for f in dataclasses.fields(op)]  # type: ignore[arg-type]
    attributes = tuple(name for name in names if _varies(getattr(op, name)))
    passes = same and op.family in PASSES and held is None
    return _Step(layer, reads, passes, attributes, held)


def _shared(found: Propagated) -> Iterator[tuple[str, str, object, object]]:
    """What calls of one module must have alike and have by unlike formulas: a node, a name."""
    nodes = found.network
    if not any(nodes.node(layer.name).shared for layer in found.layers):
        return
    first: dict[object, Layer] = {}
    for layer in found.layers:
        if not layer.op.weights(*layer.inputs):
            continue
        path = nodes.node(layer.name).path
        known = first.setdefault(path, layer)
        if known.kind == layer.kind:
            continue
        pairs = zip(_facts(known), _facts(layer), strict=True)
        for (name, one), (_, other) in pairs:
            if _varies(one) or _varies(other):
                yield layer.name, f"{key_of(path)}.{name}", one, other


def _spelt(value: object) -> str:
    return f"[{', '.join(map(_spelt, value))}]" if isinstance(value, tuple) else spell(value)


def _facts(layer: Layer) -> list[tuple[str, object]]:
    """The shapes of a layer's weights, and its arguments."""
    weights = layer.op.weights(*layer.inputs).items()
    found: list[tuple[str, object]] = [(name, weight.shape) for name, weight in weights]
    return found + [(p.name, getattr(layer.op, p.name)) for p in layer.op.parameters]


def _varies(value: object) -> bool:
    if isinstance(value, tuple):
        return any(map(_varies, value))
    return isinstance(value, Sym)


def _value(value: object, bindings: Mapping[Atom, int]) -> object:
    if isinstance(value, tuple):
        return tuple(_value(item, bindings) for item in value)
    return int(value.formula.evaluate(bindings)) if isinstance(value, Sym) else value


def _repeated(layer: Layer) -> Iterator[tuple[tuple[Formula, ...], tuple[bool, ...]]]:
    """Sizes of one axis that are not the same formula, and which of them are 1 here.

    Where others are 1, another operand is repeated.
    """
    if not layer.op.broadcasts:
        return
    rank = max((len(shape) for shape in layer.inputs), default=0)
    for sizes in zip(*(s for s in layer.inputs if len(s) == rank), strict=True):
        written = tuple(n.formula if isinstance(n, Sym) else formula(int(n)) for n in sizes)
        if len(set(written)) > 1:
            yield written, tuple(int(n) == 1 for n in sizes)


def _at(shape: Shape, bindings: Mapping[Atom, int]) -> Shape:
    return tuple(
        int(n.formula.evaluate(bindings)) if isinstance(n, Sym) else int(n) for n in shape
    )


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
