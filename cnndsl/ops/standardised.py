"""Convolutions whose weights are standardised before they are used."""

from __future__ import annotations

import math
from dataclasses import replace

from cnndsl.ops.arrays import np
from cnndsl.ops.base import Op, op
from cnndsl.ops.conv import Conv, conv_of, padded
from cnndsl.ops.facts import (
    BYTES,
    Array,
    Auto,
    Call,
    Family,
    Pad,
    Reading,
    Saved,
    Shape,
    Size,
    Torch,
    Weight,
    Window,
    real,
)
from cnndsl.ops.initial import Init, Ones
from cnndsl.ops.onnx_steps import Onnx, Value
from cnndsl.ops.shapes import even, one, padding, per_stride, spatial, torch_sides, windowed
from cnndsl.ops.strides import by_format
from cnndsl.ops.words import spoken

_STD_CONV = '''class StdConv{rank}d(nn.Conv{rank}d):
    """A convolution whose filters have mean 0 and variance 1, or `gamma` times it."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, ...],
        stride: int | tuple[int, ...] = 1,
        padding: int | tuple[int, ...] = 0,
        dilation: int | tuple[int, ...] = 1,
        groups: int = 1,
        bias: bool = True,
        eps: float = 1e-6,
        gamma: float | None = None,
        sides: tuple[int, ...] = (),
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,  # type: ignore[arg-type]
            stride,  # type: ignore[arg-type]
            padding,  # type: ignore[arg-type]
            dilation,  # type: ignore[arg-type]
            groups,
            bias,
        )
        self.eps, self.sides = eps, list(sides)
        self.factor = 1.0
        self.gain: nn.Parameter | None = None
        if gamma is not None:
            self.factor = gamma / self.weight[0].numel() ** 0.5
            self.gain = nn.Parameter(torch.ones(out_channels))

    def forward(self, input: Tensor) -> Tensor:
        if self.sides:
            input = F.pad(input, self.sides)
        rows = self.weight.flatten(1)
        rows = rows - rows.mean(1, True)
        rows = rows / ((rows * rows).mean(1, True) + self.eps).sqrt()
        if self.gain is not None:
            rows = rows * (self.gain * self.factor)[:, None]
        return self._conv_forward(input, rows.view_as(self.weight), self.bias)
'''


@op("std_conv", Family.CONV, fused=True)
class StandardisedConv(Op):
    """`conv` with each filter's weights brought to mean 0, variance 1.  (C, *S) → (K, *S′).

    Ŵ = (W − μ) / √(σ² + eps); with `gamma`, Ŵ · gain · gamma / √N of N weights a filter, and
    `gain` is learned.
    MACs: those of `conv`.
    Raises OpError: as `conv`.
    Source: Qiao et al. 2019, arXiv:1903.10520, §3; Brock et al. 2021, arXiv:2102.06171, §2.
    """

    chained = True

    out: int
    kernel: Size
    stride: Size = 1  # type: ignore[assignment]
    pad: Pad = Auto.SAME
    dilation: Size = 1  # type: ignore[assignment]
    groups: int = 1
    bias: bool | Auto = Auto.AUTO
    eps: float = 1e-6
    gamma: float | None = None
    init: Init | Auto = Auto.AUTO
    bias_init: Init | Auto = Auto.AUTO

    elsewhere = "stdconv wsconv weightstandardization weightstandardisation scaledstdconv"
    titled = ("stride",)

    def resolved(self, *inputs: Shape) -> Op:
        """Padding in numbers, and a bias unless it was said or a norm follows."""
        spatial(inputs[0], self.name)
        pad = padding(self.pad, self.kernel, self.dilation)
        return replace(self, pad=pad, bias=True if self.bias is Auto.AUTO else self.bias)

    @property
    def plain_conv(self) -> Conv:
        """The convolution with the weights that it finds."""
        return conv_of(self)

    def shape(self, *inputs: Shape) -> Shape:
        """(K, *S′)."""
        return self.plain_conv.shape(*inputs)

    def weights(self, *inputs: Shape) -> dict[str, Weight]:
        """`weight` (K, C / groups, *kernel), `bias` (K), and with gamma `gain` (K)."""
        found = self.plain_conv.weights(*inputs)
        if self.gamma is not None:
            found["gain"] = Weight((self.out,), init=Ones())
        return found

    def macs(self, *inputs: Shape) -> int:
        """K · ∏S′ · (C / groups) · ∏kernel."""
        return self.plain_conv.macs(*inputs)

    def window(self, *inputs: Shape) -> Window:
        """The kernel."""
        return self.plain_conv.window(*inputs)

    laid = by_format

    def reads(self, *inputs: Shape) -> tuple[Reading, ...]:
        """Its window."""
        return Op.reads(self, *inputs)

    def saves(self, *inputs: Shape, grads: tuple[bool, ...]) -> Saved:
        """Its input, or that padded; its filters at each step to what they become."""
        own, times = padded(inputs[0], self.plain_conv.pads), 1 if self.gamma is None else 2
        filters = math.prod(self.weights(*inputs)["weight"].shape)
        return replace(own, fixed=BYTES * ((times + 1) * filters + times * self.out))

    def figure(self) -> str:
        """`std 3×3, 64 /2`."""
        return f"std {windowed(self.kernel)}, {spoken(self.out)}{per_stride(self.stride)}"

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """The filters' rows first, then a convolution."""
        filters = weights["weight"]
        rows = filters.reshape(len(filters), -1)
        rows = rows - rows.mean(1, keepdims=True)
        rows = rows / np.sqrt((rows * rows).mean(1, keepdims=True) + float(self.eps))
        if self.gamma is not None:
            factor = float(self.gamma) / math.sqrt(rows.shape[1])
            rows = rows * (weights["gain"] * factor)[:, None]
        given = {**weights, "weight": rows.reshape(filters.shape).astype(filters.dtype)}
        return self.plain_conv.run(*inputs, **given)

    def torch(self, *inputs: Shape) -> Torch:
        """A module of the file's own."""
        (x,), rank, pads = inputs, len(self.kernel), self.plain_conv.pads
        same = even(pads)
        sides = one(tuple(before for before, _ in pads)) if same else 0
        keywords: dict[str, tuple[object, object]] = {
            "stride": (one(self.stride), 1),
            "padding": (sides, 0),
            "dilation": (one(self.dilation), 1),
            "groups": (self.groups, 1),
            "bias": (self.bias, True),
            "eps": (self.eps, 1e-6),
            "gamma": (None if self.gamma is None else real(self.gamma), None),
            "sides": (() if same else torch_sides(pads), ()),
        }
        module = Call(f"StdConv{rank}d", (x[0], self.out, one(self.kernel)), keywords)
        return Torch(module, helper=_STD_CONV.replace("{rank}", str(rank)))

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """The filters' rows first, then `Conv`."""
        inner = inputs[0].shape[0] // self.groups
        whole = (self.out, inner, *self.kernel)
        rows = to("Flatten", weights["weight"], axis=1)
        rows = rows - to("ReduceMean", rows, to.ints(1))
        rows = rows / to("Sqrt", to("ReduceMean", rows * rows, to.ints(1)) + float(self.eps))
        if self.gamma is not None:
            factor = float(self.gamma) / math.sqrt(math.prod(whole[1:]))
            rows = rows * to.unsqueeze(weights["gain"] * factor, 1)
        given = {**weights, "weight": to("Reshape", rows, to.ints(*whole))}
        return self.plain_conv.onnx(to, *inputs, **given)
