"""One network of a file: at which sizes the file gives it, and which its layers refuse."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cnndsl.analysis.forms import spell_formula
from cnndsl.analysis.propagate import Atom, Layer, Propagated
from cnndsl.diagnostics import OpError
from cnndsl.graph import Decided, key_of
from cnndsl.language.nodes import impossible, would_give
from cnndsl.ops.base import Op
from cnndsl.ops.facts import Family, Shape, spell_shape
from cnndsl.ops.values import convert, spell
from cnndsl.symbolic import Apply, Formula, Sym, formula

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
        self.steps: list[Step] = []
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
        step: Step,
        inputs: tuple[Shape, ...],
        atoms: Mapping[Atom, int],
        weights: bool,
    ) -> tuple[Shape, ...] | Blame:
        """What a layer gives or says; many images give the deep ones the same maps."""
        if not inputs:
            return tuple(at(shape, atoms) for shape in step.layer.outputs)
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
            f"{key_of(nodes.node(layer.name).path)}.{name}": at(weight.shape, atoms)
            for layer in self.found.layers
            for name, weight in layer.op.weights(*layer.inputs).items()
        }


def _place(one: Decided) -> str:
    return f"{one.span.source.name}:{one.span.line}"


@dataclass(frozen=True, slots=True)
class Step:
    """One kind of layer: what it reads, and what of it depends on the sizes."""

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


def _step(layer: Layer, reads: tuple[tuple[int, int], ...]) -> Step:
    op = layer.op
    same = len(layer.outputs) == 1 and bool(layer.inputs)
    same = same and list(map(formula, layer.outputs[0])) == list(map(formula, layer.inputs[0]))
    weights = [weight.shape for weight in op.weights(*layer.inputs).values()]
    varies = any(isinstance(n, Sym) for shape in weights for n in shape)
    held = tuple(tuple(map(int, shape)) for shape in weights) if varies else None
    names = [f.name for f in dataclasses.fields(op)]  # type: ignore[arg-type]
    attributes = tuple(name for name in names if _varies(getattr(op, name)))
    passes = same and op.family in PASSES and held is None
    return Step(layer, reads, passes, attributes, held)


def _shared(found: Propagated) -> Iterator[tuple[str, str, object, object]]:
    """What must agree in the calls of one module but has different formulas: a node, a name."""
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


def at(shape: Shape, bindings: Mapping[Atom, int]) -> Shape:
    """A shape at given sizes."""
    return tuple(
        int(n.formula.evaluate(bindings)) if isinstance(n, Sym) else int(n) for n in shape
    )
