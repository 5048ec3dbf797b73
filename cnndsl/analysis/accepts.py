"""Which input sizes a built network accepts: its weights stay, only the input changes.

That is narrower than what the file can be elaborated at: a linear layer behind `flatten`
fits one size alone. The answer is found by running the operations' own shape rules at
each size; sizes repeat their behaviour with a period that the formulas give.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from cnndsl.analysis.propagate import Layer, Propagated, size_attributes
from cnndsl.diagnostics import OpError
from cnndsl.ops.base import Family, Op, Shape, spell_shape
from cnndsl.symbolic import Apply, Axis, Formula, Sym, Symbol, formula

LARGEST = 256
"""Every size up to this one is tried."""
PERIOD = 1024
"""A longer period than this is not followed to its end."""
PASSES = (Family.ACTIVATION, Family.NORM, Family.REGULARIZE)


@dataclass(frozen=True, slots=True)
class Blame:
    """Why a size does not fit: the first layer that refuses it, and what it says."""

    node: str
    reason: str

    def __str__(self) -> str:
        """`e3.concat: cannot concatenate …`."""
        return f"{self.node}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Valid:
    """The sizes of one axis that fit, the others being as they were.

    `sizes` lists them up to `checked`; beyond it they repeat with `period` in `residues`,
    which is empty where no more follow.
    """

    name: str
    sizes: tuple[int, ...] = field(repr=False)
    checked: int
    period: int
    residues: tuple[int, ...]

    def __contains__(self, size: object) -> bool:
        """Whether a size fits."""
        if not isinstance(size, int) or size < 1:
            return False
        if size <= self.checked:
            return size in self._set
        return size % self.period in self.residues

    @property
    def _set(self) -> frozenset[int]:
        return frozenset(self.sizes)

    @property
    def smallest(self) -> int | None:
        """The least size that fits."""
        return self.sizes[0] if self.sizes else None

    def nearest(self, size: int) -> int | None:
        """The size that fits and is nearest to another; of two, the smaller."""
        limit = max(self.checked, size) + self.period
        for away in range(limit + 1):
            for candidate in (size - away, size + away):
                if candidate in self:
                    return candidate
        return None

    def words(self) -> str:
        """`H divisible by 16, at least 32`."""
        if not self.sizes:
            return f"no {self.name}"
        if not self.residues:
            return f"{self.name} {_ranges(self.sizes)}"
        start = self._regular()
        text = f"{self.name} {_residues(self.period, self.residues)}"
        if self.period == 1:
            text = f"{self.name} at least {start}"
        elif start > self.period or start not in (self.residues[0], self.period):
            text += f", at least {start}"
        before = [size for size in self.sizes if size < start]
        return f"{text}, and {_ranges(tuple(before))}" if before else text

    def _regular(self) -> int:
        """From where on exactly the residues fit."""
        known = self._set
        start = self.checked
        while start > 1 and ((start - 1) in known) == (
            (start - 1) % self.period in self.residues
        ):
            start -= 1
        return next((n for n in self.sizes if n >= start), start)

    __str__ = words


def _residues(period: int, residues: tuple[int, ...]) -> str:
    if residues == (0,):
        return "even" if period == 2 else f"divisible by {period}"
    if len(residues) == 1:
        return f"{residues[0]} more than a multiple of {period}"
    return f"≡ {_ranges(residues)} (mod {period})"


def _ranges(sizes: tuple[int, ...]) -> str:
    """`223 to 254`, `3, 5 or 9`."""
    runs: list[list[int]] = []
    for size in sizes:
        if runs and size == runs[-1][-1] + 1:
            runs[-1] = [runs[-1][0], size]
        else:
            runs.append([size])
    shown = [str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs]
    if len(shown) > 8:
        shown = [*shown[:7], f"{len(shown) - 7} more"]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} or {shown[-1]}"


class Acceptance:
    """A network's shape rules, one layer for each kind, ready to run at any sizes."""

    def __init__(self, found: Propagated) -> None:
        """Take what each kind reads."""
        self.found = found
        self.names = found.names
        self.sizes = {name: found.sizes[name] for name in found.names.values()}
        self.known: dict[tuple[object, ...], tuple[Shape, ...] | Blame] = {}
        first: dict[int, Layer] = {}
        kind_of = {layer.name: layer.kind for layer in found.layers}
        self.steps: list[_Step] = []
        for layer in found.layers:
            if layer.kind in first:
                continue
            first[layer.kind] = layer
            operands = found.network.operands(layer.name)
            reads = tuple((kind_of[producer], output) for producer, output in operands)
            self.steps.append(_step(layer, reads))

    def blame(self, sizes: Mapping[str, int]) -> Blame | None:
        """The first layer that refuses these sizes; None where all accept them.

        Sizes not given are those that the network was built at.
        """
        bindings = self._bound(sizes)
        shapes: dict[int, tuple[Shape, ...]] = {}
        for step in self.steps:
            inputs = tuple(shapes[kind][output] for kind, output in step.reads)
            if step.passes:
                shapes[step.layer.kind] = (inputs[0],)
                continue
            found = self._outputs(step, inputs, bindings)
            if isinstance(found, Blame):
                return found
            shapes[step.layer.kind] = found
        return None

    def _outputs(
        self, step: _Step, inputs: tuple[Shape, ...], bindings: Mapping[Symbol | Axis, int]
    ) -> tuple[Shape, ...] | Blame:
        """What a layer gives or says; many images give the deep ones the same maps."""
        if not inputs:
            return tuple(_at(shape, bindings) for shape in step.layer.outputs)
        op = step.layer.op
        values = tuple(_value(getattr(op, name), bindings) for name in step.attributes)
        key = (step.layer.kind, inputs, values)
        if key not in self.known:
            try:
                self.known[key] = step.run(inputs, values)
            except OpError as error:
                self.known[key] = Blame(step.layer.name, error.message)
        return self.known[key]

    def accepts(self, sizes: Mapping[str, int]) -> bool:
        """Whether a forward pass at these sizes succeeds."""
        return self.blame(sizes) is None

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

    def _bound(self, sizes: Mapping[str, int]) -> dict[Symbol | Axis, int]:
        values = {**self.sizes, **sizes}
        return {atom: values[name] for atom, name in self.names.items()}

    def square(self, names: tuple[str, ...]) -> Valid:
        """The sizes that fit where several axes have the same one."""
        return self._valid(names)

    def _valid(self, names: tuple[str, ...]) -> Valid:
        period = math.lcm(*(self.period[name] for name in names))
        follow = min(period, PERIOD)
        base = max(self.sizes[name] for name in names)
        largest = max(LARGEST, base + 2 * follow, 4 * follow)
        fits = [n for n in range(1, largest + 1) if self.accepts(dict.fromkeys(names, n))]
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
        return Valid(shown, tuple(fits), largest, short, reduced)

    @cached_property
    def period(self) -> dict[str, int]:
        """For each size, the common multiple of what it is divided by."""
        found = dict.fromkeys(self.names.values(), 1)
        seen: set[Formula] = set()
        for layer in self.found.layers:
            numbers = [n for shape in (*layer.inputs, *layer.outputs) for n in shape]
            for size in [*numbers, *size_attributes(layer.op)]:
                if isinstance(size, Sym) and size.formula not in seen:
                    seen.add(size.formula)
                    for names, divisor in _divisors(size.formula):
                        for atom in names & self.names.keys():
                            name = self.names[atom]
                            found[name] = math.lcm(found[name], divisor)
        return found


@dataclass(frozen=True, slots=True)
class _Step:
    """One kind: what it reads, and what of it depends on the sizes."""

    layer: Layer
    reads: tuple[tuple[int, int], ...]
    passes: bool
    attributes: tuple[str, ...]
    weights: tuple[Shape, ...] | None
    """The shapes of its weights, where they could change."""

    def run(self, inputs: tuple[Shape, ...], values: tuple[object, ...]) -> tuple[Shape, ...]:
        """Its outputs, the attributes that depend on the sizes being these.

        Raises OpError: it refuses the inputs, or its weights do not fit.
        """
        op = self.layer.op
        if self.attributes:
            named = dict(zip(self.attributes, values, strict=True))
            op = dataclasses.replace(op, **named)  # type: ignore[type-var]
        shapes = op.shapes(*inputs)
        for shape in shapes:
            if any(size < 1 for size in shape) and not op.empty:
                seen = " and ".join(map(spell_shape, inputs))
                raise OpError(f"`{op.name}` would give {spell_shape(shape)} from {seen}")
        if self.weights is not None:
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


def _varies(value: object) -> bool:
    if isinstance(value, tuple):
        return any(map(_varies, value))
    return isinstance(value, Sym)


def _value(value: object, bindings: Mapping[Symbol | Axis, int]) -> object:
    if isinstance(value, tuple):
        return tuple(_value(item, bindings) for item in value)
    return int(value.formula.evaluate(bindings)) if isinstance(value, Sym) else value


def _at(shape: Shape, bindings: Mapping[Symbol | Axis, int]) -> Shape:
    return tuple(
        int(n.formula.evaluate(bindings)) if isinstance(n, Sym) else int(n) for n in shape
    )


def _divisors(written: Formula) -> Iterator[tuple[set[Symbol | Axis], int]]:
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
