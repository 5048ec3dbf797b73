"""Convolutions: plain, depthwise, transposed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal, TypeVar

from cnndsl.diagnostics import OpError
from cnndsl.ops.arrays import kernels
from cnndsl.ops.base import Op, op
from cnndsl.ops.facts import (
    BYTES,
    INPUT,
    Array,
    Auto,
    Call,
    Family,
    Pad,
    Pads,
    Reading,
    Saved,
    Shape,
    Size,
    TfSame,
    Torch,
    Weight,
    Window,
)
from cnndsl.ops.initial import Init
from cnndsl.ops.onnx_steps import Onnx, Value, both
from cnndsl.ops.padded_torch import cropped_deconv, padded_conv, same_conv
from cnndsl.ops.shapes import (
    check_filling,
    compact,
    enlarged,
    even,
    one,
    padding,
    per_stride,
    sides_of,
    spatial,
    tf_same,
    torch_sides,
    window_sizes,
    windowed,
)
from cnndsl.ops.strides import Laid, bordered, by_format, by_order, fresh
from cnndsl.ops.words import spoken
from cnndsl.symbolic import Sym, maximum

Layer = TypeVar("Layer", "Conv", "DepthwiseConv", "Deconv")


@op("conv", Family.CONV, fused=True)
class Conv(Op):
    """N-d cross-correlation.  (C, *S) → (K, *S′).

    MACs: K · ∏S′ · (C / groups) · ∏kernel, padding included.
    Raises OpError: groups does not divide C or K, or the kernel does not fit.
    Source: Dumoulin & Visin 2016, arXiv:1603.07285, §2.
    """

    chained = True

    out: int
    kernel: Size
    stride: Size = 1  # type: ignore[assignment]
    pad: Pad = Auto.SAME
    dilation: Size = 1  # type: ignore[assignment]
    groups: int = 1
    bias: bool | Auto = Auto.AUTO
    init: Init | Auto = Auto.AUTO
    bias_init: Init | Auto = Auto.AUTO
    pad_mode: Literal["zeros", "reflect", "replicate", "circular"] = "zeros"

    known = ("nn.Conv", "F.conv")
    titled = ("stride",)

    def resolved(self, *inputs: Shape) -> Op:
        """Padding in numbers, and a bias unless it was said or a norm follows."""
        return _resolved(self, inputs[0])

    @property
    def pads(self) -> Pads:
        """Zeros before and after each axis."""
        return sides_of(self.pad)

    def shape(self, *inputs: Shape) -> Shape:
        """(K, *S′)."""
        (x,) = inputs
        _check_groups(x[0], self.out, self.groups)
        if self.pad_mode != "zeros":
            if isinstance(self.pad, TfSame):
                raise OpError(
                    f"pad=tf_same pads with zeros, not {self.pad_mode}", attribute="pad"
                )
            check_filling(self.pads, x[1:], self.pad_mode, "pad_mode")
            if not even(self.pads):
                raise OpError(
                    f"a {self.pad_mode} padding needs equal sides",
                    help=f'pad the input before: pad([1, 0], mode="{self.pad_mode}")',
                    attribute="pad",
                )
        sizes = window_sizes(x[1:], self.kernel, self.stride, self.pad, self.dilation)
        return (self.out, *sizes)

    def weights(self, *inputs: Shape) -> dict[str, Weight]:
        """`weight` (K, C / groups, *kernel) and `bias` (K)."""
        shape = (self.out, inputs[0][0] // self.groups, *self.kernel)
        return self.begun(shape, self.out if self.bias else None)

    def macs(self, *inputs: Shape) -> int:
        """K · ∏S′ · (C / groups) · ∏kernel."""
        per_output = inputs[0][0] // self.groups * math.prod(self.kernel)
        return math.prod(self.shape(*inputs)) * per_output

    def window(self, *inputs: Shape) -> Window:
        """The kernel."""
        return Window(self.kernel, self.stride, self.pads, self.dilation, groups=self.groups)

    def reads(self, *inputs: Shape) -> tuple[Reading, ...]:
        """Its window, which beyond a border may read the input again."""
        return _filled(Op.reads(self, *inputs), self.pad_mode)

    def laid(self, *inputs: Laid, training: bool = False) -> tuple[Laid, ...]:
        """In the format of its input, or of that with its border."""
        (x,) = inputs
        if self.pad_mode == "circular":
            return by_order(self, x)
        sizes = (x.sizes[0], *self.shape(x.sizes[1:]))
        before = self.pad_mode != "zeros" or isinstance(self.pad, TfSame) or not even(self.pads)
        return (fresh(sizes, last=(bordered(x, self.pads) if before else x).suggested),)

    def unused(self, *inputs: Shape) -> Mapping[str, str]:
        """A mode of a padding that is not there."""
        return {} if any(map(any, self.pads)) else {"pad_mode": "no padding"}

    def saves(self, *inputs: Shape, grads: tuple[bool, ...]) -> Saved:
        """Its input, or that padded."""
        return padded(inputs[0], self.pad, self.pad_mode, grad=grads[0])

    def figure(self) -> str:
        """`3×3, 64 /2`."""
        return f"{windowed(self.kernel)}, {spoken(self.out)}{per_stride(self.stride)}"

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """im2col and one matrix product a group."""
        (x,), pads = inputs, self.pads
        if self.pad_mode != "zeros":
            x, pads = kernels.fill(x, pads, self.pad_mode), ((0, 0),) * len(pads)
        return kernels.conv(
            x,
            weights["weight"],
            weights.get("bias"),
            stride=self.stride,
            pads=pads,
            dilation=self.dilation,
            groups=self.groups,
        )

    def torch(self, *inputs: Shape) -> Torch:
        """`nn.Conv2d`; a module of the file's own where the sides of the padding differ."""
        (x,) = inputs
        rank = len(self.kernel)
        others: dict[str, tuple[object, object]] = {
            "dilation": (one(self.dilation), 1),
            "groups": (self.groups, 1),
            "bias": (self.bias, True),
            "padding_mode": (self.pad_mode, "zeros"),
        }
        stride: dict[str, tuple[object, object]] = {"stride": (one(self.stride), 1)}
        given = (x[0], self.out, one(self.kernel))
        if isinstance(self.pad, TfSame):
            del others["padding_mode"]
            module = Call(f"SameConv{rank}d", given, {**stride, **others})
            return Torch(module, helper=same_conv(rank))
        if not even(self.pads):
            del others["padding_mode"]
            module = Call(
                f"PaddedConv{rank}d", (*given, torch_sides(self.pads)), {**stride, **others}
            )
            return Torch(module, helper=padded_conv(rank))
        sides = one(tuple(before for before, _ in self.pads))
        keywords = {**stride, "padding": (sides, 0), **others}
        return Torch(Call(f"nn.Conv{rank}d", given, keywords))

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """`Conv`, of what is filled before."""
        (x,), pads = inputs, self.pads
        if isinstance(self.pad, TfSame):
            pads = tf_same(x.shape[1:], self.kernel, self.stride, self.dilation)
            x, pads = to.pad(x, pads), ((0, 0),) * len(pads)
        if self.pad_mode != "zeros":
            x, pads = to.fill(x, pads, self.pad_mode), ((0, 0),) * len(pads)
        return to(
            "Conv",
            x,
            weights["weight"],
            weights.get("bias"),
            kernel_shape=self.kernel,
            strides=self.stride,
            pads=both(*pads),
            dilations=self.dilation,
            group=self.groups,
        )


@op("dwconv", Family.DEPTHWISE, fused=True)
class DepthwiseConv(Op):
    """Depthwise cross-correlation: each channel has its own kernel.  (C, *S) → (m·C, *S′).

    MACs: m·C · ∏S′ · ∏kernel.
    Source: Howard et al. 2017, arXiv:1704.04861, §3.1.
    """

    chained = True

    kernel: Size
    stride: Size = 1  # type: ignore[assignment]
    pad: Pad = Auto.SAME
    dilation: Size = 1  # type: ignore[assignment]
    multiplier: int = 1
    bias: bool | Auto = Auto.AUTO
    init: Init | Auto = Auto.AUTO
    bias_init: Init | Auto = Auto.AUTO
    pad_mode: Literal["zeros", "reflect", "replicate", "circular"] = "zeros"

    known = ("nn.Conv", "F.conv")
    titled = ("stride",)

    def resolved(self, *inputs: Shape) -> Op:
        """Padding in numbers, and a bias unless it was said or a norm follows."""
        return _resolved(self, inputs[0])

    def as_conv(self, x: Shape) -> Conv:
        """The grouped convolution that it is.  Raises OpError: no channel is left."""
        if self.multiplier < 1:
            raise OpError(
                f"`multiplier` is {int(self.multiplier)}, but must be at least 1",
                attribute="multiplier",
            )
        return Conv(
            out=self.multiplier * x[0],
            kernel=self.kernel,
            stride=self.stride,
            pad=self.pad,
            dilation=self.dilation,
            groups=x[0],
            bias=self.bias,
            init=self.init,
            bias_init=self.bias_init,
            pad_mode=self.pad_mode,
        )

    def shape(self, *inputs: Shape) -> Shape:
        """(m·C, *S′)."""
        return self.as_conv(inputs[0]).shape(*inputs)

    def weights(self, *inputs: Shape) -> dict[str, Weight]:
        """`weight` (m·C, 1, *kernel) and `bias` (m·C)."""
        out = self.multiplier * inputs[0][0]
        return self.begun((out, 1, *self.kernel), out if self.bias else None)

    def macs(self, *inputs: Shape) -> int:
        """m·C · ∏S′ · ∏kernel."""
        return math.prod(self.shape(*inputs)) * math.prod(self.kernel)

    def window(self, *inputs: Shape) -> Window:
        """The kernel."""
        return self.as_conv(inputs[0]).window()

    def reads(self, *inputs: Shape) -> tuple[Reading, ...]:
        """Its window, which beyond a border may read the input again."""
        return _filled(Op.reads(self, *inputs), self.pad_mode)

    def laid(self, *inputs: Laid, training: bool = False) -> tuple[Laid, ...]:
        """As a convolution."""
        return self.as_conv(inputs[0].sizes[1:]).laid(*inputs)

    def unused(self, *inputs: Shape) -> Mapping[str, str]:
        """A mode of a padding that is not there."""
        return self.as_conv(inputs[0]).unused(*inputs)

    def saves(self, *inputs: Shape, grads: tuple[bool, ...]) -> Saved:
        """Its input, or that padded."""
        return padded(inputs[0], self.pad, self.pad_mode, grad=grads[0])

    def figure(self) -> str:
        """`dw 3×3 /2`."""
        return f"dw {compact(self.kernel)}{per_stride(self.stride)}"

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """A grouped convolution with one channel a group."""
        return self.as_conv(inputs[0].shape[1:]).run(*inputs, **weights)

    def torch(self, *inputs: Shape) -> Torch:
        """`nn.Conv2d` with as many groups as channels."""
        return self.as_conv(inputs[0]).torch(*inputs)

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """`Conv` with as many groups as channels."""
        return self.as_conv(inputs[0].shape).onnx(to, *inputs, **weights)


@op("deconv", Family.UPSAMPLE, fused=True)
class Deconv(Op):
    """Transposed convolution, the gradient of `conv`.  (C, *S) → (K, *S′).

    S′ = (S − 1)·stride − padding + dilation·(kernel − 1) + output_pad + 1.
    MACs: ∏S · C · (K / groups) · ∏kernel: it counts over input positions.
    Raises OpError: groups does not divide C or K; the padding takes everything; output_pad
    is not less than the stride or the dilation.
    Source: Dumoulin & Visin 2016, arXiv:1603.07285, §4.
    """

    chained = True

    out: int
    kernel: Size
    stride: Size = 1  # type: ignore[assignment]
    pad: Pad = 0
    output_pad: Pad = 0
    dilation: Size = 1  # type: ignore[assignment]
    groups: int = 1
    bias: bool | Auto = Auto.AUTO
    init: Init | Auto = Auto.AUTO
    bias_init: Init | Auto = Auto.AUTO

    known = ("nn.ConvTranspose", "F.conv_transpose")
    laid = by_format
    titled = ("stride",)
    keeps = INPUT

    def resolved(self, *inputs: Shape) -> Op:
        """Padding in numbers, and a bias unless it was said or a norm follows."""
        return _resolved(self._tf_same(), inputs[0])

    def _tf_same(self) -> Deconv:
        """TensorFlow's SAME in numbers: what gives stride · S, the odd row taken off behind.

        Raises OpError: another `output_pad` beside it.
        Source: `tf.nn.conv2d_transpose`, the gradient of `conv2d` on a map of stride · S.
        """
        if self.pad is not Auto.TF_SAME:
            return self
        pads, extra = [], []
        for k, s, d in zip(self.kernel, self.stride, self.dilation, strict=True):
            span = d * (k - 1) + 1
            whole, more = _beyond(span, s), _beyond(s, span)
            pads.append((whole // 2, whole - whole // 2))
            extra.append((more, more))
        own = self.output_pad if isinstance(self.output_pad, tuple) else None
        if own is None or (any(map(any, own)) and own != tuple(extra)):
            message = "pad=tf_same has an `output_pad` of its own"
            raise OpError(message, help="leave it out", attribute="output_pad")
        return replace(self, pad=tuple(pads), output_pad=tuple(extra))

    @property
    def pads(self) -> Pads:
        """Rows taken off before and after each axis."""
        assert isinstance(self.pad, tuple)
        return self.pad

    @property
    def extra(self) -> Size:
        """Rows added after each axis.  Raises OpError: not one number an axis."""
        if not isinstance(self.output_pad, tuple) or not even(self.output_pad):
            raise OpError("`output_pad` takes one number for each axis", attribute="output_pad")
        return tuple(after for _, after in self.output_pad)

    def shape(self, *inputs: Shape) -> Shape:
        """(K, *S′)."""
        (x,) = inputs
        _check_groups(x[0], self.out, self.groups)
        sizes = []
        for axis, n in enumerate(x[1:]):
            before, after = self.pads[axis]
            span = self.dilation[axis] * (self.kernel[axis] - 1) + 1
            extra = self.extra[axis]
            if extra and extra >= max(self.stride[axis], self.dilation[axis]):
                raise OpError(
                    f"`output_pad` is {int(extra)}, and the stride {int(self.stride[axis])}",
                    help="it must be less than the stride or the dilation",
                    attribute="output_pad",
                )
            size = (n - 1) * self.stride[axis] - before - after + span + extra
            if size < 1:
                raise OpError(
                    f"a padding of {before} + {after} leaves nothing", attribute="pad"
                )
            sizes.append(size)
        return (self.out, *sizes)

    def weights(self, *inputs: Shape) -> dict[str, Weight]:
        """`weight` (C, K / groups, *kernel) and `bias` (K)."""
        shape = (inputs[0][0], self.out // self.groups, *self.kernel)
        return self.begun(shape, self.out if self.bias else None)

    def macs(self, *inputs: Shape) -> int:
        """∏S · C · (K / groups) · ∏kernel."""
        return math.prod(inputs[0]) * (self.out // self.groups) * math.prod(self.kernel)

    def window(self, *inputs: Shape) -> Window:
        """The kernel, over the stretched input."""
        return Window(
            self.kernel,
            self.stride,
            self.pads,
            self.dilation,
            transposed=True,
            groups=self.groups,
        )

    def figure(self) -> str:
        """`up 2×2, 64 ↑2`."""
        return f"up {compact(self.kernel)}, {spoken(self.out)}{enlarged(self.stride)}"

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """One matrix product a group, then the columns are added where they overlap."""
        return kernels.deconv(
            inputs[0],
            weights["weight"],
            weights.get("bias"),
            stride=self.stride,
            pads=self.pads,
            extra=self.extra,
            dilation=self.dilation,
            groups=self.groups,
        )

    def torch(self, *inputs: Shape) -> Torch:
        """`nn.ConvTranspose2d`; a module of the file's own where the sides differ."""
        rank = len(self.kernel)
        stride: dict[str, tuple[object, object]] = {"stride": (one(self.stride), 1)}
        others: dict[str, tuple[object, object]] = {
            "output_padding": (one(self.extra), 0),
            "groups": (self.groups, 1),
            "bias": (self.bias, True),
            "dilation": (one(self.dilation), 1),
        }
        given = (inputs[0][0], self.out, one(self.kernel))
        if not even(self.pads):
            crops = torch_sides(self.pads)
            module = Call(f"CroppedConvTranspose{rank}d", (*given, crops), {**stride, **others})
            return Torch(module, helper=cropped_deconv(rank))
        sides = one(tuple(before for before, _ in self.pads))
        keywords = {**stride, "padding": (sides, 0), **others}
        return Torch(Call(f"nn.ConvTranspose{rank}d", given, keywords))

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """`ConvTranspose`, `output_padding` less than the stride; else zeros behind."""
        bias, pads = weights.get("bias"), self.pads
        given: dict[str, Any] = {"output_padding": self.extra}
        apart = any(n >= s for n, s in zip(self.extra, self.stride, strict=True))
        if apart:
            axes = list(zip(self.extra, pads, strict=True))
            pads = tuple((before, _beyond(after, n)) for n, (before, after) in axes)
            zeros = tuple((0, _beyond(n, after)) for n, (_, after) in axes)
            given = {}
        found: Value = to(
            "ConvTranspose",
            inputs[0],
            weights["weight"],
            None if apart else bias,
            kernel_shape=self.kernel,
            strides=self.stride,
            pads=both(*pads),
            dilations=self.dilation,
            group=self.groups,
            **given,
        )
        if not apart:
            return found
        found = to.pad(found, zeros)
        return found if bias is None else found + to.channelwise(bias, len(self.kernel))


def _beyond(size: int, other: int) -> int:
    """max(size − other, 0), as a formula where it is one."""
    rest = size - other
    return maximum(rest, 0) if isinstance(rest, Sym) else (rest if rest > 0 else 0)


def conv_of(layer: Op) -> Conv:
    """The convolution with the arguments that another operation shares with it."""
    shared = [p.name for p in Conv.parameters if hasattr(layer, p.name)]
    return Conv(**{name: getattr(layer, name) for name in shared})


def padded(x: Shape, pad: Pad, mode: str = "zeros", *, grad: bool = True) -> Saved:
    """What a window keeps: its input, or a padded copy where PyTorch pads it before.

    A mirrored or repeated border keeps the input beside it, where that has a gradient.
    """
    pads = sides_of(pad)
    if mode == "zeros" and even(pads) and not isinstance(pad, TfSame):
        return INPUT
    sizes = (n + before + after for n, (before, after) in zip(x[1:], pads, strict=True))
    inputs = (0,) if grad and mode in ("reflect", "replicate") else ()
    return Saved(inputs, own=BYTES * x[0] * math.prod(sizes))


def _filled(found: tuple[Reading, ...], mode: str) -> tuple[Reading, ...]:
    return tuple(replace(one, filled=mode != "zeros") for one in found)


def _resolved(layer: Layer, x: Shape) -> Layer:
    spatial(x, layer.name)
    taken = not isinstance(layer, Deconv)
    if layer.pad is Auto.CAUSAL and not taken:
        raise OpError("`deconv` has no causal padding", attribute="pad")
    stride = layer.stride if taken else None
    pads = padding(layer.pad, layer.kernel, layer.dilation, x[1:], stride)
    layer = replace(layer, pad=pads)
    return replace(layer, bias=True) if layer.bias is Auto.AUTO else layer


def _check_groups(channels: int, out: int, groups: int) -> None:
    if out < 1:
        raise OpError(f"`out` is {int(out)}, but must be at least 1", attribute="out")
    if groups < 1:
        raise OpError(
            f"`groups` is {int(groups)}, but must be at least 1",
            attribute="groups",
        )
    for count, what in ((channels, "input"), (out, "output")):
        if count % groups:
            near = [g for g in range(1, groups + 1) if channels % g == 0 and out % g == 0]
            raise OpError(
                f"groups={int(groups)} does not divide {int(count)} {what} channels",
                help=f"groups={near[-1]} divides {int(channels)} and {int(out)}",
                attribute="groups",
            )
