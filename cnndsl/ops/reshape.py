"""Where tensors come from and how their axes are read: no arithmetic."""

from __future__ import annotations

import math
from typing import Any

from cnndsl.diagnostics import OpError
from cnndsl.ops.base import Op, op
from cnndsl.ops.composition import (
    CHANNELS,
    Axes,
    Axis,
    merged,
    parted,
    simple,
    size_of,
    unknown,
)
from cnndsl.ops.facts import (
    NOTHING,
    SAME,
    Array,
    Call,
    Family,
    Integers,
    Reading,
    Shape,
    Template,
    Torch,
    spell_shape,
)
from cnndsl.ops.onnx_steps import BATCH, Onnx, Value
from cnndsl.ops.pattern import Axes as Sizes
from cnndsl.ops.pattern import Rearrangement, called
from cnndsl.ops.reads import reshaped
from cnndsl.ops.shapes import compact
from cnndsl.ops.strides import Laid
from cnndsl.ops.words import spoken
from cnndsl.symbolic import Formula, Sym, formula


class Reread(Op):
    """The same memory, read as another shape.  (*S) → (*S′)."""

    moves = True
    keeps = NOTHING

    def reads(self, *inputs: Shape) -> tuple[Reading, ...]:
        """The elements in order."""
        return (reshaped(inputs[0], self.shape(*inputs)),)

    def laid(self, *inputs: Laid, training: bool = False) -> tuple[Laid, ...]:
        """A view where the memory allows it."""
        (x,) = inputs
        return (x.reshaped(x.sizes[0], *self.shape(x.sizes[1:])),)

    def composition(self, node: str, *operands: Axes) -> tuple[Axes, ...]:
        """Axes that stay; what is read another way is known no more."""
        inputs = tuple(tuple(map(size_of, axes)) for axes in operands)
        (reading,), (shape,) = self.reads(*inputs), self.shapes(*inputs)
        found = []
        for axis, size in zip(reading.axes, shape, strict=True):
            stays = [operands[0][place] for (_, place), taps in axis.items() if taps == SAME]
            found.append(stays[0] if stays else unknown(size))
        return (tuple(found),)

    def macs(self, *inputs: Shape) -> int:
        """0: nothing is computed."""
        return 0


@op("input", Family.INPUT, arity=(0, 0))
class Input(Op):
    """A tensor that the user gives.  → (*sizes).

    Raises OpError: a size less than 1.
    """

    sizes: Integers

    written = False
    keeps = NOTHING

    def reads(self, *inputs: Shape) -> tuple[Reading, ...]:
        """Nothing."""
        return (Reading(({},) * len(self.sizes)),)

    def composition(self, node: str, *operands: Axes) -> tuple[Axes, ...]:
        """A map has channels and places; what else a user gives is unknown."""
        if len(self.sizes) < 3:
            return (tuple(map(unknown, self.sizes)),)
        names = {3: "hw", 4: "dhw"}.get(len(self.sizes), map(str, range(1, len(self.sizes))))
        return (tuple(map(simple, (CHANNELS, *names), self.sizes)),)

    def shape(self, *inputs: Shape) -> Shape:
        """The sizes."""
        _check_sizes(self.sizes)
        return self.sizes

    def macs(self, *inputs: Shape) -> int:
        """0."""
        return 0


@op("flatten", Family.RESHAPE)
class Flatten(Reread):
    """All axes in one, the last changing fastest.  (*S) → (∏S,).

    Source: convention.
    """

    chained = True

    def shape(self, *inputs: Shape) -> Shape:
        """(∏S,)."""
        return (math.prod(inputs[0]),)

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """A view where the memory allows it."""
        (x,) = inputs
        return x.reshape(x.shape[0], math.prod(x.shape[1:]))

    def torch(self, *inputs: Shape) -> Torch:
        """`nn.Flatten()`, or `x.flatten(1)`."""
        return Torch(Call("nn.Flatten"), Template("{0}.flatten(1)"))

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """`Flatten`."""
        return to("Flatten", inputs[0], axis=1)


@op("reshape", Family.RESHAPE)
class Reshape(Reread):
    """The same elements in order, read as another shape.  (*S) → (*sizes).

    Raises OpError: another number of elements, or a size less than 1.
    Source: convention.
    """

    sizes: Integers

    def shape(self, *inputs: Shape) -> Shape:
        """The sizes."""
        (x,) = inputs
        _check_sizes(self.sizes)
        if math.prod(self.sizes) != math.prod(x):
            raise OpError(
                f"{spell_shape(x)} has {int(math.prod(x))} elements, and "
                f"{spell_shape(self.sizes)} has {int(math.prod(self.sizes))}",
                attribute="sizes",
            )
        return self.sizes

    def figure(self) -> str:
        """`reshape 8×49`."""
        return f"reshape {compact(self.sizes)}"

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """A view where the memory allows it."""
        return inputs[0].reshape(inputs[0].shape[0], *self.sizes)

    def torch(self, *inputs: Shape) -> Torch:
        """`torch.unflatten(x, 2, (h, w))`, `x.flatten(2)`, else `x.reshape`."""
        before, after = (tuple(map(formula, sizes)) for sizes in (inputs[0], self.sizes))
        start = end = 0
        while start < min(len(before), len(after)) and before[start] == after[start]:
            start += 1
        shorter = min(len(before), len(after)) - start
        while end < shorter and before[-1 - end] == after[-1 - end]:
            end += 1
        replaced, by = len(before) - start - end, self.sizes[start : len(after) - end]
        if replaced == 1 and len(by) > 1:
            values = {"axis": start + 1, "sizes": by}
            return Torch(function=Template("torch.unflatten({0}, {axis}, {sizes})", values))
        if replaced > 1 and len(by) == 1:
            last = f", {start + replaced}" if end else ""
            return Torch(function=Template(f"{{0}}.flatten({start + 1}{last})"))
        # −1 is the batch: the input is named once, whatever expression it is.
        sizes = {f"n{i}": n for i, n in enumerate(self.sizes)}
        text = ", ".join(["-1", *(f"{{{name}}}" for name in sizes)])
        return Torch(function=Template(f"{{0}}.reshape({text})", dict(sizes)))

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """`Reshape`."""
        return to.reshape(inputs[0], self.sizes)


@op("rearrange", Family.RESHAPE)
class Rearrange(Op):
    """Axes split, permuted and merged in einops' notation, the batch not written.

    `rearrange("(g c) h w -> (c g) h w", g=3)`; `...` stands for the axes not named, `1`
    for an axis of size 1.
    Raises OpError: a pattern that cannot be read, or that does not fit the input.
    Source: Rogozhnikov 2022, ICLR (einops), §3.
    """

    pattern: str
    axes: Any = ()

    beside = ("pattern",)
    moves = True
    keeps = NOTHING

    def reads(self, *inputs: Shape) -> tuple[Reading, ...]:
        """Positions follow their axis where its outermost name does."""
        plan, sizes = self._plan(inputs[0])
        return (plan.reading(sizes),)

    def composition(self, node: str, *operands: Axes) -> tuple[Axes, ...]:
        """Axes taken apart and merged by their names."""
        (axes,) = operands
        plan, sizes = self._plan(tuple(map(size_of, axes)))
        found: dict[str, Axis] = {}
        for group, axis in zip(plan.left, axes, strict=True):
            found.update(parted(group, axis, sizes))
        return (tuple(merged([found[name] for name in group]) for group in plan.right),)

    def laid(self, *inputs: Laid, training: bool = False) -> tuple[Laid, ...]:
        """A view where no two axes that lie apart are merged."""
        (x,) = inputs
        plan, sizes = self._plan(x.sizes[1:])
        return (plan.laid(x, sizes),)

    def _plan(self, x: Shape) -> tuple[Rearrangement, dict[str, int]]:
        axes: Sizes = self.axes
        plan = Rearrangement.parse(self.pattern, len(x))
        return plan, plan.sizes(x, axes)

    def shape(self, *inputs: Shape) -> Shape:
        """The right side's sizes."""
        plan, sizes = self._plan(inputs[0])
        return plan.shape(sizes)

    def macs(self, *inputs: Shape) -> int:
        """0: a copy."""
        return 0

    def figure(self) -> str:
        """`channel shuffle`, `flatten h w`, `rows of k`."""
        return called(self.pattern)[0]

    def unusual(self) -> tuple[str, ...]:
        """The pattern where the title does not say it, and its sizes."""
        found, told = Op.unusual(self), called(self.pattern)[1]
        silent = {"pattern"} if told else set()
        return tuple(name for name in found if name not in silent and self.phrase(name))

    def phrase(self, name: str) -> str:
        """The pattern, or the sizes that its names have: `g 3`; none that is called so too."""
        if name == "pattern":
            return self.pattern.replace("->", "→")
        sizes = [(axis, spoken(size)) for axis, size in self.axes]
        return ", ".join(f"{axis} {size}" for axis, size in sizes if size != axis)

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """Split, transpose, merge."""
        (x,) = inputs
        plan, sizes = self._plan(x.shape[1:])
        batch = x.shape[0]
        split = x.reshape(batch, *sizes.values())
        moved = split.transpose(0, *(i + 1 for i in plan.order))
        return moved.reshape(batch, *plan.shape(sizes))

    def torch(self, *inputs: Shape) -> Torch:
        """`torch.unflatten(x, 1, (3, -1)).transpose(1, 2).flatten(1, 2)`."""
        plan, _ = self._plan(inputs[0])
        text, values = plan.torch(self.axes)
        return Torch(function=Template(text, values))

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """`Reshape`, `Transpose`, `Reshape`; what changes nothing is left out."""
        (x,) = inputs
        plan, sizes = self._plan(x.shape)
        split = tuple(sizes.values())
        x = x if _single(plan.left) else to.reshape(x, split)
        moved = to.transpose(x, plan.order)
        return moved if _single(plan.right) else to.reshape(moved, plan.shape(sizes))


@op("unbatch", Family.RESHAPE)
class Unbatch(Reread):
    """The rows join the batch: the entry of `each row`.  (N, *S) → (*S), N times.

    Source: convention.
    """

    rows: int

    written, rows_joined = False, 1
    beside = ("rows",)

    def reads(self, *inputs: Shape) -> tuple[Reading, ...]:
        """One row: which, only the batch knows."""
        axes = tuple({(0, axis): SAME} for axis in range(1, len(inputs[0])))
        return (Reading(axes, anywhere=frozenset({(0, 0)})),)

    def laid(self, *inputs: Laid, training: bool = False) -> tuple[Laid, ...]:
        """The first two axes in one."""
        return (inputs[0].flattened(0, 1),)

    def shape(self, *inputs: Shape) -> Shape:
        """(*S)."""
        return inputs[0][1:]

    def figure(self) -> str:
        """`each row`."""
        return "each row"

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """The first two axes in one."""
        (x,) = inputs
        return x.reshape(x.shape[0] * x.shape[1], *x.shape[2:])

    def torch(self, *inputs: Shape) -> Torch:
        """`x.flatten(0, 1)`."""
        return Torch(function=Template("{0}.flatten(0, 1)"))

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """`Reshape`: the first two axes in one."""
        (x,) = inputs
        shape = x.shape[1:]
        free = [n for n in shape if isinstance(n, Sym)]
        if free or not all((*x.shape, 1)):
            sizes = to("Shape", x, integer=True)
            rows = to("ReduceProd", to("Slice", sizes, to.ints(0), to.ints(2)), to.ints(0))
            whole = to("Concat", rows, to("Slice", sizes, to.ints(2), to.ints(9)), axis=0)
            return to("Reshape", x, whole, shape=shape, allowzero=1)
        return to("Reshape", x, to.ints(-1, *shape), shape=shape)


@op("rebatch", Family.RESHAPE)
class Rebatch(Reread):
    """The rows leave the batch: the end of `each row`.  (*S), N times → (N, *S).

    Source: convention.
    """

    rows: int

    written, empty, rows_joined = False, True, -1
    beside = ("rows",)

    def reads(self, *inputs: Shape) -> tuple[Reading, ...]:
        """The sample of its row."""
        return (Reading(({}, *({(0, axis): SAME} for axis in range(len(inputs[0]))))),)

    def laid(self, *inputs: Laid, training: bool = False) -> tuple[Laid, ...]:
        """The batch in two axes."""
        (x,), rows = inputs, self.rows
        return (x.parted(0, x.sizes[0] // rows if rows else 1, rows),)

    def shape(self, *inputs: Shape) -> Shape:
        """(N, *S)."""
        return (self.rows, *inputs[0])

    def figure(self) -> str:
        """`rows`."""
        return "rows"

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """The batch in two axes; without rows its size is not known, and is 1."""
        (x,) = inputs
        batch = x.shape[0] // self.rows if self.rows else 1
        return x.reshape(batch, self.rows, *x.shape[1:])

    def torch(self, *inputs: Shape) -> Torch:
        """`torch.unflatten(x, 0, (-1, N))`."""
        text = "torch.unflatten({0}, 0, (-1, {rows}))"
        return Torch(function=Template(text, {"rows": self.rows}))

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """`Reshape`: the batch in two axes."""
        (x,), rows = inputs, self.rows
        if not rows:  # of nothing nobody can tell how large the batch is
            batch = Sym(1, Formula({(BATCH,): 1}))
            return to("Reshape", x, to.ints(batch, 0, *x.shape), allowzero=1)
        if any(isinstance(n, Sym) for n in (*x.shape, rows)):
            sizes = to("Slice", to("Shape", x, integer=True), to.ints(1), to.ints(9))
            whole = to("Concat", to.ints(-1, rows), sizes, axis=0)
            return to("Reshape", x, whole, shape=(rows, *x.shape))
        return to("Reshape", x, to.ints(-1, rows, *x.shape), shape=(rows, *x.shape))


def _single(groups: tuple[tuple[str, ...], ...]) -> bool:
    """Whether each axis has one name."""
    return all(len(group) == 1 for group in groups)


def _check_sizes(sizes: Integers) -> None:
    if not sizes or any(n < 1 for n in sizes):
        raise OpError(
            f"{spell_shape(sizes)} is not a valid shape",
            help="every size is written, and is at least 1; the batch is not",
            attribute="sizes",
        )
