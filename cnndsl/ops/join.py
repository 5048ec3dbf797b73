"""Operations of several tensors: concatenation and its inverse, einsum."""

from __future__ import annotations

from itertools import accumulate

from cnndsl.diagnostics import OpError
from cnndsl.ops.arrays import np
from cnndsl.ops.base import Op, op
from cnndsl.ops.composition import Axes
from cnndsl.ops.facts import (
    NOTHING,
    Array,
    Family,
    Integers,
    Reading,
    Saved,
    Shape,
    Taps,
    Template,
    Torch,
    Window,
    spell_shape,
)
from cnndsl.ops.onnx_steps import Onnx, Value
from cnndsl.ops.pattern import Contraction
from cnndsl.ops.reads import concatenated, pointwise
from cnndsl.ops.shapes import check_axis
from cnndsl.ops.strides import Laid, fresh, shapes_of
from cnndsl.ops.words import spoken


@op("concat", Family.CONCAT, arity=(1, None), join=True)
class Concat(Op):
    """The inputs one after another along an axis.  (A, *S), (B, *S), … → (A + B + …, *S).

    Raises OpError: no such axis; other axes of unequal sizes.
    Source: Szegedy et al. 2014, arXiv:1409.4842, §4.
    """

    axis: int = 0

    moves = True
    keeps = NOTHING

    def laid(self, *inputs: Laid, training: bool = False) -> tuple[Laid, ...]:
        """In the format that all inputs have."""
        sizes = (inputs[0].sizes[0], *self.shape(*shapes_of(inputs)))
        return (fresh(sizes, last=all(x.suggested for x in inputs)),)

    def reads(self, *inputs: Shape) -> tuple[Reading, ...]:
        """One of the inputs."""
        return (concatenated(inputs, self.shape(*inputs), self.axis),)

    def composition(self, node: str, *operands: Axes) -> tuple[Axes, ...]:
        """One part after another; of the other axes the first input's."""
        first, at = operands[0], int(self.axis)
        joined = tuple(part for axes in operands for part in axes[at])
        return ((*first[:at], joined, *first[at + 1 :]),)

    def shape(self, *inputs: Shape) -> Shape:
        """(A + B + …, *S)."""
        first = inputs[0]
        check_axis(self.axis, first, self.name)
        for number, x in enumerate(inputs[1:], 1):
            rest = [y[: self.axis] + y[self.axis + 1 :] for y in (first, x)]
            if len(x) != len(first) or rest[0] != rest[1]:
                raise OpError(
                    f"cannot concatenate {spell_shape(x)} to {spell_shape(first)} "
                    f"along axis {int(self.axis)}",
                    help="the other axes must be equal; crop, resize or pad one input",
                    operand=number,
                )
        total = first[self.axis]
        for x in inputs[1:]:
            total = total + x[self.axis]
        return (*first[: self.axis], total, *first[self.axis + 1 :])

    def macs(self, *inputs: Shape) -> int:
        """0: a copy."""
        return 0

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """A copy."""
        return np.concatenate(inputs, self.axis + 1)

    def torch(self, *inputs: Shape) -> Torch:
        """`torch.cat([x, y], 1)`."""
        return Torch(function=Template("torch.cat([{*}], {axis})", {"axis": self.axis + 1}))

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """`Concat`."""
        return inputs[0] if len(inputs) == 1 else to("Concat", *inputs, axis=self.axis + 1)


@op("split", Family.RESHAPE)
class Split(Op):
    """Consecutive parts along an axis.  (A + B, *S) → (A, *S), (B, *S).

    `sections` is the number of equal parts, or the size of each.
    Raises OpError: no such axis; the parts do not make up the axis.
    Source: Ma et al. 2018, arXiv:1807.11164, §3 (channel split).
    """

    sections: int | Integers
    axis: int = 0

    moves = True
    shares = "sections"
    keeps = NOTHING

    def reads(self, *inputs: Shape) -> tuple[Reading, ...]:
        """Its part of the axis."""
        found, start = [], 0
        for size in self.sizes(inputs[0]):
            axes = list(pointwise(inputs, inputs[0]).axes)
            axes[self.axis] = {(0, int(self.axis)): Taps((start,), (start,), 1)}
            found.append(Reading(tuple(axes)))
            start += int(size)
        return tuple(found)

    def laid(self, *inputs: Laid, training: bool = False) -> tuple[Laid, ...]:
        """Each part is its input's memory."""
        (x,) = inputs
        return tuple(x.part(self.axis + 1, size) for size in self.sizes(x.sizes[1:]))

    def sizes(self, x: Shape) -> Integers:
        """The size of each part.  Raises OpError."""
        check_axis(self.axis, x, self.name)
        size = x[self.axis]
        if isinstance(self.sections, tuple):
            total = sum(self.sections)
            if total != size or any(part < 1 for part in self.sections):
                raise OpError(
                    f"the parts {spell_shape(self.sections)} sum to {total}, not {int(size)}",
                    help=f"positive sizes whose sum is {int(size)}",
                    attribute="sections",
                )
            return self.sections
        if self.sections < 1 or size % self.sections:
            raise OpError(
                f"{int(size)} cannot be split into {int(self.sections)} equal parts",
                help="give the size of each part in a list",
                attribute="sections",
            )
        return (size // self.sections,) * self.sections

    def shape(self, *inputs: Shape) -> Shape:
        """The first part's."""
        return self.shapes(*inputs)[0]

    def shapes(self, *inputs: Shape) -> tuple[Shape, ...]:
        """One a part."""
        (x,) = inputs
        sizes = self.sizes(x)
        return tuple((*x[: self.axis], n, *x[self.axis + 1 :]) for n in sizes)

    def macs(self, *inputs: Shape) -> int:
        """0: nothing is computed."""
        return 0

    def figure(self) -> str:
        """`split 2`, `split 32, 64`."""
        parts = self.sections if isinstance(self.sections, tuple) else (self.sections,)
        return f"split {', '.join(map(spoken, parts))}"

    def run(self, *inputs: Array, **weights: Array) -> tuple[Array, ...]:
        """Views."""
        (x,) = inputs
        *starts, _ = accumulate(self.sizes(x.shape[1:]))
        return tuple(np.split(x, starts, self.axis + 1))

    def torch(self, *inputs: Shape) -> Torch:
        """`x.chunk(2, 1)`, or `torch.split(x, [4, 1, 80], 1)`; one part is the whole."""
        if len(self.shapes(*inputs)) == 1:
            return Torch(function=Template("{0}"))
        values: dict[str, object] = {"axis": self.axis + 1}
        if not isinstance(self.sections, tuple):
            values["sections"] = self.sections
            return Torch(function=Template("{0}.chunk({sections}, {axis})", values))
        # The method `split` has no types.
        values |= {f"n{number}": size for number, size in enumerate(self.sections)}
        sizes = ", ".join(f"{{n{number}}}" for number in range(len(self.sections)))
        return Torch(function=Template(f"torch.split({{0}}, [{sizes}], {{axis}})", values))

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> tuple[Value, ...]:
        """`Split`; one part is the whole."""
        (x,) = inputs
        count = len(self.sizes(x.shape))
        if count == 1:
            return (x,)
        if isinstance(self.sections, tuple):
            return to.several("Split", count, x, to.ints(*self.sections), axis=self.axis + 1)
        return to.several("Split", count, x, axis=self.axis + 1, num_outputs=count)


@op("einsum", Family.MATMUL, arity=(1, None))
class Einsum(Op):
    """Contraction in Einstein's notation: `einsum("c i, c j -> i j")`.

    The names of axes stand apart; the batch is not written.
    MACs: of each product, from the left, that sums over an axis of both its factors, the ∏ of
    all their sizes; what only one has is summed first, and takes none, nor does one input.
    Raises OpError: a pattern that cannot be read; inputs of another number, rank or size.
    Source: convention.
    """

    pattern: str

    beside = ("pattern",)
    known = ("torch.einsum",)

    def reads(self, *inputs: Shape) -> tuple[Reading, ...]:
        """The axes of an index's name; what is summed is read whole."""
        found = Contraction.parse(self.pattern)
        return (Reading(tuple(map(found.axes, found.output))),)

    def laid(self, *inputs: Laid, training: bool = False) -> tuple[Laid, ...]:
        """One input whose axes are permuted, or products, whose axes are."""
        return (Contraction.parse(self.pattern).laid(inputs, ())[0],)

    def saves(self, *inputs: Shape, grads: tuple[bool, ...]) -> Saved:
        """The factors of each product, or copies of them in a matrix's order."""
        return self.kept(*(fresh((1, *x)) for x in inputs), grads=grads)

    def kept(self, *inputs: Laid, grads: tuple[bool, ...]) -> Saved:
        """The same, where its inputs lie so."""
        return Contraction.parse(self.pattern).laid(inputs, grads)[1]

    def shape(self, *inputs: Shape) -> Shape:
        """The sizes of the output's indices."""
        contraction = Contraction.parse(self.pattern)
        sizes = contraction.sizes(inputs)
        return tuple(sizes[name] for name in contraction.output)

    def macs(self, *inputs: Shape) -> int:
        """Those of its products."""
        return Contraction.parse(self.pattern).macs(inputs)

    def window(self, *inputs: Shape) -> Window | None:
        """Everything, where an axis other than the channels is summed."""
        contraction = Contraction.parse(self.pattern)
        spatial = {name for operand in contraction.operands for name in operand[1:]}
        return Window(whole=True) if spatial - set(contraction.output) else None

    def figure(self) -> str:
        """`product over c`."""
        found = Contraction.parse(self.pattern)
        summed = dict.fromkeys(n for names in found.operands for n in names)
        names = " ".join(name for name in summed if name not in found.output)
        return f"product over {names}" if names else "outer product"

    def phrase(self, name: str) -> str:
        """The pattern."""
        return self.pattern.replace("->", "→")

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """NumPy's, as matrix products where it can."""
        text = Contraction.parse(self.pattern).letters()
        result: Array = np.einsum(text, *inputs, optimize=len(inputs) > 1)
        return result

    def torch(self, *inputs: Shape) -> Torch:
        """`torch.einsum("nci,ncj->nij", x, y)`."""
        text = Contraction.parse(self.pattern).letters()
        return Torch(function=Template(f'torch.einsum("{text}", {{*}})'))

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """`Einsum`."""
        return to("Einsum", *inputs, equation=Contraction.parse(self.pattern).letters())
