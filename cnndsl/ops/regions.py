"""What is read of each box: features of its region, and the entry of its class."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from cnndsl.diagnostics import OpError
from cnndsl.ops.arrays import np, sampling
from cnndsl.ops.base import Op, op
from cnndsl.ops.box_checks import check_boxes
from cnndsl.ops.composition import Axes, simple
from cnndsl.ops.facts import (
    BYTES,
    NOTHING,
    SAME,
    Array,
    Call,
    Family,
    Integers,
    Operand,
    Reading,
    Saved,
    Shape,
    Size,
    Template,
    Torch,
    spell_shape,
)
from cnndsl.ops.onnx_steps import Onnx, Value
from cnndsl.ops.regions_torch import GATHER, ROI_ALIGN
from cnndsl.ops.shapes import check_axis, compact, spatial
from cnndsl.ops.strides import Laid, by_order, fresh
from cnndsl.ops.words import spoken
from cnndsl.symbolic import maximum


@op("roi_align", Family.BOXES, arity=(2, None))
class RoIAlign(Op):
    """Features of regions, one pyramid level each.  (N, 4), (C, H, W), … → (N, C, h, w).

    A bin is the mean of `sampling_ratio`² bilinear samples; a region is at least one cell
    wide. With several levels, a region of side s is read from level
    ⌊canonical_level + log₂(s / canonical_scale)⌋, held in the range that `strides` give.
    Raises OpError: not one stride a level, none a power of two; levels of different depth.
    Source: He et al. 2017, arXiv:1703.06870, §3; Lin et al. 2016, arXiv:1612.03144,
    equation 1.
    """

    size: int | Integers
    strides: Integers
    sampling_ratio: int = 2
    canonical_scale: int = 224
    canonical_level: int = 4

    bucket = "resize"
    beside = ("strides",)
    functions: ClassVar = {"roi_align": ROI_ALIGN}

    def reads(self, *inputs: Shape) -> tuple[Reading, ...]:
        """Its box, and its channel of the levels anywhere: a region may lie anywhere."""
        levels = range(1, len(inputs))
        channels = {(number, 0): SAME for number in levels}
        moved = {(number, axis) for number in levels for axis in (1, 2)}
        return (Reading(({(0, 0): SAME}, channels, {}, {}), anywhere=frozenset(moved)),)

    def composition(self, node: str, *operands: Axes) -> tuple[Axes, ...]:
        """The boxes', of each a map."""
        return ((operands[0][0], operands[1][0], *map(simple, "hw", self._bins)),)

    def laid(self, *inputs: Laid, training: bool = False) -> tuple[Laid, ...]:
        """The channels outside of the boxes."""
        (found,) = by_order(self, *inputs)
        batch, boxes, channels, *bins = found.sizes
        return (fresh((batch, channels, boxes, *bins)).permuted(0, 2, 1, 3, 4),)

    def saves(self, *inputs: Shape, grads: tuple[bool, ...]) -> Saved:
        """Where each sample is read, and what is read there."""
        (boxes, _), *levels = inputs
        channels, sampling = levels[0][0], self.sampling_ratio
        rows, columns = (boxes * bins * sampling for bins in self._bins)
        samples = rows * columns // boxes if boxes else 0
        own = fixed = 0
        if any(grads[1:]):
            pixels = channels * sum(math.prod(level[1:]) for level in levels)
            own += BYTES * (pixels + 4 * samples) + 8 * 4 * samples
        if grads[0]:
            own += BYTES * (4 * rows + 5 * columns + 9 * boxes + 4 * channels * samples)
            own += 8 * 2 * boxes + samples
            fixed = 2 * BYTES * sampling + 8 * sum(self._bins)
        return Saved(own=own, fixed=fixed)

    def unused(self, *inputs: Shape) -> dict[str, str]:
        """What chooses a level, where there is one alone."""
        choosing = ("canonical_scale", "canonical_level")
        return dict.fromkeys(choosing if len(inputs) == 2 else (), "a single level")

    def shape(self, *inputs: Shape) -> Shape:
        """(N, C, h, w)."""
        boxes, *levels = inputs
        check_boxes(boxes, 0, (2,))
        if len(self.strides) != len(levels):
            raise OpError(
                f"there are {len(self.strides)} strides for {len(levels)} levels",
                help="give one stride for each feature map",
                attribute="strides",
            )
        wanted = tuple(self.strides[0] * 2**n for n in range(len(levels)))
        power = self.strides[0] > 0 and math.log2(self.strides[0]).is_integer()
        if self.strides != wanted or not power:
            raise OpError(
                f"`strides` is {spell_shape(self.strides)}, but must be powers of 2, each"
                " twice the one before",
                help="write [4, 8, 16, 32]",
                attribute="strides",
            )
        for name in ("sampling_ratio", "canonical_scale"):
            if getattr(self, name) < 1:
                raise OpError(
                    f"`{name}` is {int(getattr(self, name))}, but must be at least 1",
                    attribute=name,
                )
        for number, level in enumerate(levels, 1):
            spatial(level, self.name, (2,))
            if level[0] != levels[0][0]:
                raise OpError(
                    f"the levels have {int(levels[0][0])} and {int(level[0])} channels",
                    help="all levels need the same number of channels",
                    operand=number,
                )
        return (boxes[0], levels[0][0], *self._bins)

    @property
    def _bins(self) -> Size:
        # The first input has no spatial axes, so that `size` is read here.
        size = self.size if isinstance(self.size, tuple) else (self.size, self.size)
        if len(size) != 2 or any(n < 1 for n in size):
            message = f"`size` is {spell_shape(size)}, but must be a height and a width"
            raise OpError(message, help="write 7x7", attribute="size")
        return size

    def macs(self, *inputs: Shape) -> int:
        """0: counted as resizing."""
        return 0

    def figure(self) -> str:
        """`RoIAlign 7×7`."""
        return f"RoIAlign {compact(self._bins)}"

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """One region after another."""
        return sampling.roi_align(
            inputs[0],
            inputs[1:],
            size=self._bins,
            strides=self.strides,
            sampling_ratio=self.sampling_ratio,
            canonical_scale=self.canonical_scale,
            canonical_level=self.canonical_level,
        )

    def torch(self, *inputs: Shape) -> Torch:
        """A function of the file's own: all levels in one, so that shapes are static."""
        values: dict[str, object] = {
            "size": self._bins,
            "strides": self.strides,
            "ratio": self.sampling_ratio,
        }
        text = "{size}, {strides}, {ratio}"
        for name, default in (("canonical_scale", 224), ("canonical_level", 4)):
            if getattr(self, name) != default:
                values[name] = getattr(self, name)
                text += f", {name}={{{name}}}"
        levels = ", ".join(f"{{{n}}}" for n in range(1, len(inputs)))
        template = Template(f"roi_align({{0}}, [{levels}], {text})", values)
        return Torch(function=template, helper=ROI_ALIGN)

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """`RoiAlign` of each level, and of them that which the box's size chooses."""
        boxes, *levels = inputs
        count, channels, *bins = self.shape(*(x.shape for x in inputs))
        flat = to("Reshape", boxes, to.ints(-1, 4))
        batch = to.batch(boxes)
        rows = to("Squeeze", batch * to.ints(count), to.ints(0))
        zero, one = (to.constant(np.array(n, np.int64)) for n in (0, 1))
        image = to("Range", zero, rows, one, integer=True) / to.ints(maximum(count, 1))
        read = [
            to(
                "RoiAlign",
                level,
                flat,
                image,
                coordinate_transformation_mode="output_half_pixel",
                mode="avg",
                output_height=bins[0],
                output_width=bins[1],
                sampling_ratio=self.sampling_ratio,
                spatial_scale=1 / stride,
            )
            for level, stride in zip(levels, self.strides, strict=True)
        ]
        found = read[0]
        if len(levels) > 1:
            low, high = to.several("Split", 2, flat, axis=1, num_outputs=2)
            area = to("Max", to("ReduceProd", high - low, to.ints(1)), to.floats(0))
            side = to("Sqrt", area) / float(self.canonical_scale)
            first = self.strides[0].bit_length() - 1
            for number, other in enumerate(read[1:], first + 1):
                least = 2 ** (number - self.canonical_level - 1e-6)
                large = to("GreaterOrEqual", side, to.floats(least))
                found = to("Where", to.unsqueeze(large, 2, 3), other, found, integer=False)
        sizes = to("Concat", batch, to.ints(count, channels, *bins), axis=0)
        return to("Reshape", found, sizes, allowzero=1)


@op("gather", Family.BOXES, arity=(2, 2))
class Gather(Op):
    """Of each place the entry that an index names.  (*A, K, *S), (*A) → (*A, *S).

    `axis` is the one indexed; the index has the axes before it.
    Raises OpError: no such axis; an index of another shape.
    Source: He et al. 2017, arXiv:1703.06870, §3 (the mask of each region's own class).
    """

    axis: int

    moves = True
    functions: ClassVar = {"gather": GATHER}

    def gives_whole(self, whole: Sequence[bool]) -> bool:
        """As the values, whatever the places are."""
        return whole[0]

    def reads(self, *inputs: Shape) -> tuple[Reading, ...]:
        """The entry that its index names."""
        x, index = inputs
        axes = [{(1, axis): SAME, (0, axis): SAME} for axis in range(len(index))]
        axes += [{(0, axis): SAME} for axis in range(len(index) + 1, len(x))]
        return (Reading(tuple(axes), anywhere=frozenset({(0, int(self.axis))})),)

    def saves(self, *inputs: Shape, grads: tuple[bool, ...]) -> Saved:
        """Its input, and the index of each entry, 8 bytes."""
        index = 8 * math.prod(self.shape(*inputs))
        return Saved(inputs=(0,), own=index) if grads[0] else NOTHING

    def shape(self, *inputs: Shape) -> Shape:
        """(*A, *S)."""
        x, index = inputs
        check_axis(self.axis, x, self.name)
        if index != x[: self.axis]:
            raise OpError(
                f"the index {spell_shape(index)} does not fit {spell_shape(x)}",
                help=f"the axes before it are {spell_shape(x[: self.axis])}",
                operand=1,
            )
        return (*index, *x[self.axis + 1 :])

    def macs(self, *inputs: Shape) -> int:
        """0: a copy."""
        return 0

    def figure(self) -> str:
        """`gather, axis 1`."""
        return f"gather, axis {spoken(self.axis)}"

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """NumPy's."""
        x, index = inputs
        rest = (1,) * (x.ndim - index.ndim)
        index = index.astype(np.int64).reshape(*index.shape, *rest)
        return np.take_along_axis(x, index, self.axis + 1).squeeze(self.axis + 1)

    def torch(self, *inputs: Shape) -> Torch:
        """`gather(x, index, 2)`."""
        call = Call("gather", (Operand(0), Operand(1), self.axis + 1))
        return Torch(function=call, helper=GATHER)

    @classmethod
    def recalled(cls, function: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """The axis without the batch."""
        return {"axis": given["axis"] - 1}

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """`GatherND`, in which all axes before the one indexed are a batch."""
        x, index = inputs
        place = to.unsqueeze(to.whole(index), len(index.shape) + 1)
        return to("GatherND", x, place, batch_dims=len(index.shape) + 1)
