"""Layers whose kernel or whose reading places depend on the input."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from cnndsl.diagnostics import OpError
from cnndsl.ops.arrays import np, sampling
from cnndsl.ops.base import Op, by_name, op
from cnndsl.ops.conv import Conv, conv_of
from cnndsl.ops.facts import (
    BYTES,
    NOTHING,
    SAME,
    Array,
    Auto,
    Call,
    Family,
    Integers,
    Operand,
    Pad,
    Pads,
    Reading,
    Saved,
    Shape,
    Size,
    Taps,
    Torch,
    Weight,
    Window,
    grouped,
    spell_shape,
)
from cnndsl.ops.initial import Init
from cnndsl.ops.onnx_steps import Onnx, Value, both
from cnndsl.ops.reads import pointwise
from cnndsl.ops.shapes import compact, even, padding, per_stride, spatial
from cnndsl.ops.strides import Laid
from cnndsl.ops.words import spoken

DEFORM_CONV = '''@torch.fx.wrap
def deform_conv2d(
    x: Tensor,
    offset: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    mask: Tensor | None,
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
) -> Tensor:
    """Taps moved by `offset` (y, x) and weighed by `mask`."""
    kernel, height, width = weight.shape[2:], offset.shape[2], offset.shape[3]
    moved = torch.unflatten(offset, 1, (-1, kernel[0], kernel[1], 2))
    top = torch.arange(height, device=x.device) * stride[0] - padding[0]
    left = torch.arange(width, device=x.device) * stride[1] - padding[1]
    rows = torch.arange(kernel[0], device=x.device) * dilation[0]
    columns = torch.arange(kernel[1], device=x.device) * dilation[1]
    y = moved[:, :, :, :, 0] + rows[:, None, None, None] + top[:, None]
    x_at = moved[:, :, :, :, 1] + columns[:, None, None] + left
    y = (2 * y.flatten(2, 4) + 1) / x.shape[2] - 1
    x_at = (2 * x_at.flatten(2, 4) + 1) / x.shape[3] - 1
    grid = torch.stack((x_at, y), -1).flatten(0, 1)
    parts = torch.unflatten(x, 1, (moved.shape[1], -1)).flatten(0, 1)
    read = F.grid_sample(parts, grid.to(x.dtype), align_corners=False)
    read = torch.unflatten(read, 2, (-1, height))
    read = torch.unflatten(read, 0, (-1, moved.shape[1]))
    if mask is not None:
        read = read * torch.unflatten(mask, 1, (moved.shape[1], 1, -1))
    windows = torch.unflatten(read.flatten(4).flatten(1, 2), 1, (groups, -1))
    filters = torch.unflatten(weight, 0, (groups, -1)).flatten(2)
    y = torch.matmul(filters, windows.flatten(2, 3)).flatten(1, 2)
    y = torch.unflatten(y, 2, (height, width))
    return y if bias is None else y + bias[:, None, None]


class DeformConv2d(nn.Module):
    """Convolution whose taps are moved by `offset` (y, x) and weighed by `mask`."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: tuple[int, int],
        stride: tuple[int, int] = (1, 1),
        padding: tuple[int, int] = (0, 0),
        dilation: tuple[int, int] = (1, 1),
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.stride, self.padding, self.dilation = stride, padding, dilation
        self.groups = groups
        shape = (out_channels, in_channels // groups, *kernel_size)
        self.weight = nn.Parameter(torch.empty(shape))
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else None
        bound = self.weight[0].numel() ** -0.5
        for weight in self.parameters():
            nn.init.uniform_(weight, -bound, bound)

    def forward(self, x: Tensor, offset: Tensor, mask: Tensor | None = None) -> Tensor:
        return deform_conv2d(
            x,
            offset,
            self.weight,
            self.bias,
            mask,
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
        )
'''

INVOLVE = '''def involve(
    x: Tensor,
    kernel: Tensor,
    size: tuple[int, int],
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int] = (0, 0),
) -> Tensor:
    """Each place's own kernel over its window, one for the channels of a group."""
    windows = F.unfold(x, size, padding=padding, stride=stride)
    kernel = torch.unflatten(kernel, 1, (-1, 1, size[0] * size[1]))
    shape = (x.shape[0], kernel.shape[1], -1, kernel.shape[3])
    windows = windows.reshape(*shape, kernel.shape[4], kernel.shape[5])
    return (kernel * windows).sum(3).flatten(1, 2)
'''

REORG = '''def reorg(x: Tensor, stride: int) -> Tensor:
    """Pixels to channels in darknet's own order, which is not `F.pixel_unshuffle`'s."""
    n, c, h, w = x.shape
    cells = x.reshape(n, c // stride**2, h, stride, w, stride).permute(0, 3, 5, 1, 2, 4)
    return cells.reshape(n, c * stride**2, h // stride, w // stride)
'''


@op("deform_conv", Family.CONV, arity=(2, 3), fused=True)
class DeformConv(Op):
    """Cross-correlation whose taps are moved.  (C, H, W), (2·D·k², H′, W′) → (K, H′, W′).

    The offsets are pairs (y, x), tap by tap, for each of D parts of the channels; a third
    input (D·k², H′, W′) weighs the taps (v2). Taps are read bilinearly, 0 outside.
    MACs: K · H′ · W′ · (C / groups) · k²; the sampling is not counted.
    Raises OpError: groups does not divide C or K; offsets or mask of another shape.
    Source: Dai et al. 2017, arXiv:1703.06211, §2.1; Zhu et al. 2018, arXiv:1811.11168, §3.2.
    """

    out: int
    kernel: Size
    stride: Size = 1  # type: ignore[assignment]
    pad: Pad = Auto.SAME
    dilation: Size = 1  # type: ignore[assignment]
    groups: int = 1
    bias: bool | Auto = Auto.AUTO
    init: Init | Auto = Auto.AUTO
    bias_init: Init | Auto = Auto.AUTO
    titled = ("stride",)
    functions: ClassVar = {"deform_conv2d": DEFORM_CONV}

    def resolved(self, *inputs: Shape) -> Op:
        """Padding in numbers, and a bias unless it was said or a norm follows."""
        spatial(inputs[0], self.name, (2,))
        pad = padding(self.pad, self.kernel, self.dilation)
        return replace(self, pad=pad, bias=True if self.bias is Auto.AUTO else self.bias)

    @property
    def pads(self) -> Pads:
        """Zeros before and after each axis."""
        assert isinstance(self.pad, tuple)
        return self.pad

    @property
    def as_conv(self) -> Conv:
        """The convolution that it is where nothing is moved."""
        return conv_of(self)

    def shape(self, *inputs: Shape) -> Shape:
        """(K, H′, W′)."""
        x, offset, *masks = inputs
        shape = self.as_conv.shape(x)
        taps = math.prod(self.kernel)
        parts = offset[0] // (2 * taps)
        fits = parts > 0 and offset[0] == 2 * taps * parts and x[0] % parts == 0
        if not fits or offset[1:] != shape[1:]:
            raise OpError(
                f"the offsets are {spell_shape(offset)}, but the kernel has {taps} taps",
                help=f"give {spell_shape((2 * taps, *shape[1:]))}, two numbers a tap",
                operand=1,
            )
        for mask in masks:
            if mask != (taps * parts, *shape[1:]):
                wanted = spell_shape((taps * parts, *shape[1:]))
                raise OpError(
                    f"the mask is {spell_shape(mask)}, but must be {wanted}", operand=2
                )
        if not even(self.pads):
            raise OpError("both sides must have the same padding", attribute="pad")
        return shape

    def weights(self, *inputs: Shape) -> dict[str, Weight]:
        """`weight` (K, C / groups, *kernel) and `bias` (K)."""
        return self.as_conv.weights(inputs[0])

    def macs(self, *inputs: Shape) -> int:
        """K · H′ · W′ · (C / groups) · k²."""
        return self.as_conv.macs(inputs[0])

    def reads(self, *inputs: Shape) -> tuple[Reading, ...]:
        """Anywhere: a tap may be moved. Offsets and mask are read where the output stands."""
        (shape,) = self.shapes(*inputs)
        axes = [grouped(inputs[0][0], self.out, self.groups)]
        axes += [{(n, a): SAME for n in range(1, len(inputs))} for a in range(1, len(shape))]
        moved = {(0, axis) for axis in range(1, len(shape))}
        parts = {(number, 0) for number in range(1, len(inputs))} if self.groups > 1 else set()
        return (Reading(tuple(axes), anywhere=frozenset(moved | parts)),)

    def saves(self, *inputs: Shape, grads: tuple[bool, ...]) -> Saved:
        """Its input, where each tap is read, what is read there and that weighed by a mask."""
        x, offset, *masks = inputs
        taps, places = math.prod(self.kernel), math.prod(offset[1:])
        own = read = x[0] * taps * places
        if masks and grads[2]:
            own += read
        if any(grads) and self.groups > 1:
            own += self.out * (x[0] // self.groups) * taps
        if not (grads[0] or grads[1]):
            return Saved(own=BYTES * own)
        kept = (0, 2) if masks else (0,)
        return Saved(kept, own=BYTES * (own + math.prod(offset)))

    def copied(self, *inputs: Laid) -> Integers:
        """Its parts are joined to the batch."""
        x, offset, *_ = inputs
        parts = offset.sizes[1] // (2 * math.prod(self.kernel))
        return () if x.parted(1, parts, x.sizes[1] // parts).flattened(0, 1).shared else (0,)

    def figure(self) -> str:
        """`deform 3×3, 64 /2`."""
        return f"deform {self.as_conv.figure()}"

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """Bilinear columns and one matrix product a group."""
        x, offset, mask = (*inputs, None)[:3]
        assert x is not None
        assert offset is not None
        return sampling.deform_conv(
            x,
            offset,
            mask,
            weights["weight"],
            weights.get("bias"),
            stride=self.stride,
            pads=self.pads,
            dilation=self.dilation,
            groups=self.groups,
        )

    def torch(self, *inputs: Shape) -> Torch:
        """A module of the file's own, on `F.grid_sample`."""
        module = Call(
            "DeformConv2d",
            (inputs[0][0], self.out, self.kernel),
            {
                "stride": (self.stride, (1, 1)),
                "padding": (tuple(before for before, _ in self.pads), (0, 0)),
                "dilation": (self.dilation, (1, 1)),
                "groups": (self.groups, 1),
                "bias": (self.bias, True),
            },
        )
        return Torch(module, helper=DEFORM_CONV)

    @classmethod
    def recalled(cls, function: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """What the filters' shape says, and the same zeros on both sides."""
        out, _, *kernel = given["weight"]
        pads = tuple((n, n) for n in given["padding"])
        own = {"out": out, "kernel": tuple(kernel), "pad": pads}
        return by_name(cls, given) | own | {"bias": given["bias"] is not None}

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """`DeformConv`."""
        x, offset, *masks = inputs
        return to(
            "DeformConv",
            x,
            weights["weight"],
            offset,
            weights.get("bias"),
            *masks,
            kernel_shape=self.kernel,
            strides=self.stride,
            pads=both(*self.pads),
            dilations=self.dilation,
            group=self.groups,
            offset_group=offset.shape[0] // (2 * math.prod(self.kernel)),
        )


@op("involve", Family.CONV, arity=(2, 2))
class Involve(Op):
    """Each place's own kernel over its window.  (C, H, W), (G·k², H′, W′) → (C, H′, W′).

    A kernel serves the C / G channels of its group; the second input holds it group by
    group, tap by tap.
    MACs: k² · C · H′ · W′.
    Raises OpError: kernels of another size or number; G does not divide C.
    Source: Li et al. 2021, arXiv:2103.06255, §3.
    """

    kernel: Size
    stride: Size = 1  # type: ignore[assignment]
    groups: int = 1
    pad: Pad = Auto.SAME
    titled = ("stride",)
    functions: ClassVar = {"involve": INVOLVE}

    def reads(self, *inputs: Shape) -> tuple[Reading, ...]:
        """The window of its own channel, and its place of its group's kernels."""
        x, kernels = inputs
        first, *others = self.window(*inputs).reading(x, x).axes
        share = int(x[0]) // int(self.groups)
        taps = int(kernels[0]) // int(self.groups)
        turns = Taps((0,) * share, (taps - 1,) * share, taps)
        axes = [{**first, (1, 0): turns}]
        axes += [{**axis, (1, number): SAME} for number, axis in enumerate(others, 1)]
        return (Reading(tuple(axes)),)

    def saves(self, *inputs: Shape, grads: tuple[bool, ...]) -> Saved:
        """The kernels, and the windows in a memory that held the input first."""
        x, kernels = inputs
        windows = x[0] * math.prod(self.kernel) * math.prod(kernels[1:])
        own = max(math.prod(x), windows) if grads[1] else 0
        return Saved(inputs=(1,) if grads[0] else (), own=BYTES * own)

    def resolved(self, *inputs: Shape) -> Op:
        """Padding in numbers."""
        spatial(inputs[0], self.name, (2,))
        return replace(self, pad=padding(self.pad, self.kernel, (1,) * len(self.kernel)))

    @property
    def pads(self) -> Pads:
        """Zeros before and after each axis."""
        assert isinstance(self.pad, tuple)
        return self.pad

    def shape(self, *inputs: Shape) -> Shape:
        """(C, H′, W′)."""
        x, kernel = inputs
        conv = Conv(
            out=x[0],
            kernel=self.kernel,
            stride=self.stride,
            pad=self.pad,
            dilation=(1,) * len(self.kernel),
            groups=self.groups,
        )
        shape = conv.shape(x)
        wanted = (self.groups * math.prod(self.kernel), *shape[1:])
        if kernel != wanted:
            raise OpError(
                f"the kernels are {spell_shape(kernel)}, but must be {spell_shape(wanted)}",
                help="groups times the taps, at every position of the output",
                operand=1,
            )
        if not even(self.pads):
            raise OpError("both sides must have the same padding", attribute="pad")
        return shape

    def macs(self, *inputs: Shape) -> int:
        """k² · C · H′ · W′."""
        return math.prod(self.kernel) * math.prod(self.shape(*inputs))

    def window(self, *inputs: Shape) -> Window:
        """The kernel."""
        ones = (1,) * len(self.kernel)
        return Window(self.kernel, self.stride, self.pads, ones, groups=inputs[0][0])

    def figure(self) -> str:
        """`involve 7×7 /2`."""
        return f"involve {compact(self.kernel)}{per_stride(self.stride)}"

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """One contraction over the windows."""
        x, kernel = inputs
        return sampling.involve(x, kernel, size=self.kernel, stride=self.stride, pads=self.pads)

    def torch(self, *inputs: Shape) -> Torch:
        """A function of the file's own, on `F.unfold`."""
        keywords: dict[str, tuple[object, object]] = {
            "stride": (self.stride, (1, 1)),
            "padding": (tuple(before for before, _ in self.pads), (0, 0)),
        }
        call = Call("involve", (Operand(0), Operand(1), self.kernel), keywords)
        return Torch(function=call, helper=INVOLVE)

    @classmethod
    def recalled(cls, function: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """As many groups as the kernels are for."""
        kernel, pads = given["size"], tuple((n, n) for n in given["padding"])
        groups = given["kernel"][0] // math.prod(kernel)
        return {"kernel": kernel, "stride": given["stride"], "groups": groups, "pad": pads}

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """The windows, by a convolution that takes each tap alone; `Mul` and `ReduceSum`."""
        x, kernel = inputs
        taps, groups = math.prod(self.kernel), self.groups
        channels, height, width = self.shape(x.shape, kernel.shape)
        # Each channel is a sample: the taps' kernels are then as small as they can be.
        each = to("Shape", x, integer=True)
        places = to("Slice", each, to.ints(2), to.ints(4))
        lone = to("Reshape", x, to("Concat", to.ints(-1, 1), places, axis=0))
        windows = to(
            "Conv",
            lone,
            to.constant(np.eye(taps, dtype=np.float32).reshape(taps, 1, *self.kernel)),
            kernel_shape=self.kernel,
            strides=self.stride,
            pads=both(*self.pads),
        )
        batch = to.batch(x)
        own = (groups, channels // groups, taps, height, width)
        parts = to("Reshape", windows, to("Concat", batch, to.ints(*own), axis=0))
        shares = (groups, 1, taps, height, width)
        each = to("Reshape", kernel, to("Concat", batch, to.ints(*shares), axis=0))
        total = to("ReduceSum", parts * each, to.ints(3), keepdims=0)
        whole = to("Concat", batch, to.ints(channels, height, width), axis=0)
        return to("Reshape", total, whole)


@op("reorg", Family.RESHAPE)
class Reorg(Op):
    """Pixels to channels, in darknet's own order.  (C, H, W) → (s²·C, H / s, W / s).

    Not `pixel_unshuffle`: darknet reads the input as if it were (C / s², s·H, s·W).
    Raises OpError: s² does not divide C, or s not H and W.
    Source: Redmon & Farhadi 2016, arXiv:1612.08242, §2 (passthrough), and darknet's
    `reorg_cpu`.
    """

    stride: int = 2

    moves = True
    keeps = NOTHING
    titled = ("stride",)
    functions: ClassVar = {"reorg": REORG}

    def reads(self, *inputs: Shape) -> tuple[Reading, ...]:
        """Anywhere: the cells that a place of the output gathers lie apart."""
        (shape,) = self.shapes(*inputs)
        if self.stride == 1:
            return (pointwise(inputs, shape),)
        lost = frozenset((0, axis) for axis in range(len(shape)))
        return (Reading(({},) * len(shape), anywhere=lost),)

    def laid(self, *inputs: Laid, training: bool = False) -> tuple[Laid, ...]:
        """A copy, unless the stride is 1."""
        (x,), s = inputs, self.stride
        n, c, h, w = x.sizes
        cells = x.reshaped(n, c // s**2, h, s, w, s).permuted(0, 3, 5, 1, 2, 4)
        return (cells.reshaped(n, c * s**2, h // s, w // s),)

    def shape(self, *inputs: Shape) -> Shape:
        """(s²·C, H / s, W / s)."""
        c, h, w = (inputs[0][0], *spatial(inputs[0], self.name, (2,)))
        s = self.stride
        if s < 1 or c % (s * s) or h % s or w % s:
            raise OpError(
                f"{spell_shape(inputs[0])} cannot be taken apart by {int(s)}",
                help=f"{int(s * s)} must divide the channels, and {int(s)} the sides",
                attribute="stride",
            )
        return (c * s * s, h // s, w // s)

    def macs(self, *inputs: Shape) -> int:
        """0: a copy."""
        return 0

    def figure(self) -> str:
        """`reorg 2`."""
        return f"reorg {spoken(self.stride)}"

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """A copy."""
        return sampling.reorg(inputs[0], self.stride)

    def torch(self, *inputs: Shape) -> Torch:
        """A function of the file's own."""
        return Torch(function=Call("reorg", (Operand(0), self.stride)), helper=REORG)

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """`Reshape`, `Transpose`, `Reshape`."""
        (x,), s = inputs, self.stride
        c, h, w = x.shape
        cells = to.reshape(x, (c // (s * s), h, s, w, s))
        return to.reshape(to.transpose(cells, (2, 4, 0, 1, 3)), self.shape(x.shape))
