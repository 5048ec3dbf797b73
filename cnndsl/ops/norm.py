"""Normalisation by statistics."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from cnndsl.diagnostics import OpError
from cnndsl.ops.arrays import kernels, np
from cnndsl.ops.base import BEGINNINGS, Op, each_element, op
from cnndsl.ops.facts import (
    BYTES,
    INPUT,
    Array,
    Auto,
    Call,
    Family,
    Integers,
    Reading,
    Saved,
    Shape,
    Torch,
    Weight,
    grouped,
    spell_shape,
)
from cnndsl.ops.initial import Init, Ones, Zeros
from cnndsl.ops.onnx_steps import Onnx, Value
from cnndsl.ops.reads import along, each_position, pointwise
from cnndsl.ops.shapes import check_axis, spatial
from cnndsl.ops.strides import Laid, by_format, packed
from cnndsl.ops.words import spoken


def without_factors(self: Op, *inputs: Shape) -> Mapping[str, str]:
    """What the factors begin with, where there are none."""
    off = not getattr(self, "affine", True)
    return dict.fromkeys(BEGINNINGS.values(), "affine=false") if off else {}


@op("bn", Family.NORM)
class BatchNorm(Op):
    """Batch normalisation; with the running statistics in evaluation.  (C, *S) → (C, *S).

    y = (x − mean) / √(var + eps) · weight + bias.
    Source: Ioffe & Szegedy 2015, arXiv:1502.03167, §3.
    """

    chained = True

    eps: float = 1e-5
    momentum: float = 0.1
    affine: bool = True
    init: Init | Auto = Auto.AUTO
    bias_init: Init | Auto = Auto.AUTO

    unused = without_factors
    known = ("nn.BatchNorm", "F.batch_norm")
    elsewhere = "batchnorm batchnormalization bnorm lazybatchnorm"
    reads, laid = each_position, by_format

    def saves(self, *inputs: Shape, grads: tuple[bool, ...]) -> Saved:
        """Its input, and the mean and deviation of each channel."""
        return Saved(inputs=(0,), fixed=2 * BYTES * inputs[0][0])

    def shape(self, *inputs: Shape) -> Shape:
        """The input's."""
        spatial(inputs[0], self.name, (0, 1, 2, 3))
        return inputs[0]

    def weights(self, *inputs: Shape) -> dict[str, Weight]:
        """`weight` and `bias` (C); the running statistics are buffers."""
        shape = inputs[0][:1]
        return {
            **(_affine(self, shape) if self.affine else {}),
            "running_mean": Weight(shape, trainable=False),
            "running_var": Weight(shape, trainable=False, init=Ones()),
            "num_batches_tracked": Weight((), trainable=False, integer=True),
        }

    def macs(self, *inputs: Shape) -> int:
        """0: counted as normalisation."""
        return 0

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """As in evaluation."""
        mean, var = weights["running_mean"], weights["running_var"]
        weight, bias = weights.get("weight"), weights.get("bias")
        return kernels.batch_norm(inputs[0], mean, var, weight, bias, self.eps)

    def torch(self, *inputs: Shape) -> Torch:
        """`nn.BatchNorm2d`."""
        rank = max(1, len(inputs[0]) - 1)
        keywords: dict[str, tuple[object, object]] = {
            "eps": (self.eps, 1e-5),
            "momentum": (self.momentum, 0.1),
            "affine": (self.affine, True),
        }
        return Torch(Call(f"nn.BatchNorm{rank}d", (inputs[0][0],), keywords))

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """`BatchNormalization`."""
        return _batch_norm(to, inputs[0], weights, self.eps)


FROZEN_BATCH_NORM = '''class FrozenBatchNorm(nn.Module):
    """Batch normalisation whose statistics and affine values are constants."""

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.register_buffer("weight", torch.ones(channels))
        self.register_buffer("bias", torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        mean, var = self.running_mean, self.running_var
        return F.batch_norm(x, mean, var, self.weight, self.bias, eps=self.eps)
'''


@op("frozen_bn", Family.NORM)
class FrozenBatchNorm(Op):
    """Batch normalisation whose four vectors are constants.  (C, *S) → (C, *S).

    Source: He et al. 2015, arXiv:1512.03385, appendix A (fixed after pre-training).
    """

    chained = True

    eps: float = 1e-5

    elsewhere = "frozenbatchnorm frozenbatchnormalization"
    reads, laid = each_position, by_format
    keeps = INPUT

    def shape(self, *inputs: Shape) -> Shape:
        """The input's."""
        spatial(inputs[0], self.name, (0, 1, 2, 3))
        return inputs[0]

    def weights(self, *inputs: Shape) -> dict[str, Weight]:
        """Four buffers (C)."""
        shape = inputs[0][:1]
        return {
            "weight": Weight(shape, trainable=False, init=Ones()),
            "bias": Weight(shape, trainable=False),
            "running_mean": Weight(shape, trainable=False),
            "running_var": Weight(shape, trainable=False, init=Ones()),
        }

    def macs(self, *inputs: Shape) -> int:
        """0: counted as normalisation."""
        return 0

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """As `bn` in evaluation."""
        mean, var = weights["running_mean"], weights["running_var"]
        return kernels.batch_norm(
            inputs[0], mean, var, weights["weight"], weights["bias"], self.eps
        )

    def torch(self, *inputs: Shape) -> Torch:
        """A module of the file's own."""
        call = Call("FrozenBatchNorm", (inputs[0][0],), {"eps": (self.eps, 1e-5)})
        return Torch(call, helper=FROZEN_BATCH_NORM)

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """`BatchNormalization`."""
        return _batch_norm(to, inputs[0], weights, self.eps)


@op("gn", Family.NORM)
class GroupNorm(Op):
    """Normalisation over each group of channels and all positions.  (C, *S) → (C, *S).

    Raises OpError: groups does not divide C; a group of one value, of which there is no
    variance.
    Source: Wu & He 2018, arXiv:1803.08494, §3.1.
    """

    chained = True

    groups: int
    eps: float = 1e-5
    affine: bool = True
    init: Init | Auto = Auto.AUTO
    bias_init: Init | Auto = Auto.AUTO

    unused = without_factors
    known = ("nn.GroupNorm", "F.group_norm")
    laid = by_format
    special = each_element

    def reads(self, *inputs: Shape) -> tuple[Reading, ...]:
        """Its group's channels at every position."""
        (x,) = inputs
        _, *others = pointwise(inputs, x).axes
        channels = grouped(x[0], x[0], self.groups)
        whole = frozenset((0, axis) for axis in range(1, len(x)))
        return (Reading((channels, *others), whole),)

    def saves(self, *inputs: Shape, grads: tuple[bool, ...]) -> Saved:
        """Its input, and the mean and deviation of each group."""
        return Saved(inputs=(0,), own=2 * BYTES * self.groups)

    def copied(self, *inputs: Laid) -> Integers:
        """On a CPU it reads memory in order, or with the channels innermost.

        Source: ATen's `group_norm`. On a GPU it copies the latter.
        """
        (x,) = inputs
        in_order = x.channels_last if x.suggested else x.contiguous
        return () if in_order else (0,)

    def shape(self, *inputs: Shape) -> Shape:
        """The input's."""
        channels = inputs[0][0]
        if self.groups < 1 or channels % self.groups:
            near = [g for g in range(1, max(1, channels) + 1) if channels % g == 0]
            near.sort(key=lambda g: abs(g - self.groups))
            raise OpError(
                f"groups={int(self.groups)} does not divide {int(channels)} channels",
                help=f"groups={near[0]} does",
                attribute="groups",
            )
        if math.prod(inputs[0]) == self.groups:
            message = (
                f"`{self.name}` would normalise groups of one value: {spell_shape(inputs[0])}"
            )
            raise OpError(message, help="leave it out here, or write `ln`", attribute="groups")
        return inputs[0]

    def weights(self, *inputs: Shape) -> dict[str, Weight]:
        """`weight` and `bias` (C)."""
        return _affine(self, inputs[0]) if self.affine else {}

    def macs(self, *inputs: Shape) -> int:
        """0: counted as normalisation."""
        return 0

    def figure(self) -> str:
        """`gn 32`."""
        return f"gn {spoken(self.groups)}"

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """Mean and variance of each group of each sample."""
        weight, bias = weights.get("weight"), weights.get("bias")
        return kernels.group_norm(inputs[0], self.groups, weight, bias, self.eps)

    def torch(self, *inputs: Shape) -> Torch:
        """`nn.GroupNorm`."""
        keywords: dict[str, tuple[object, object]] = {
            "eps": (self.eps, 1e-5),
            "affine": (self.affine, True),
        }
        return Torch(Call("nn.GroupNorm", (self.groups, inputs[0][0]), keywords))

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """`InstanceNormalization` of each group's channels in a row, then the affine values."""
        (x,), groups = inputs, int(self.groups)
        split = to("Reshape", x, to.ints(0, groups, -1))
        ones, zeros = (to.floats([n] * groups) for n in (1.0, 0.0))
        even = to("InstanceNormalization", split, ones, zeros, epsilon=float(self.eps))
        back = to("Reshape", even, to("Shape", x, integer=True))
        rank = len(x.shape) - 1
        if not self.affine:
            return back
        weight, bias = (to.channelwise(weights[name], rank) for name in ("weight", "bias"))
        return back * weight + bias


@op("instance_norm", Family.NORM)
class InstanceNorm(Op):
    """Normalisation of each channel over its positions.  (C, *S) → (C, *S).

    Raises OpError: one position, of which there is no variance.
    Source: Ulyanov, Vedaldi & Lempitsky 2016, arXiv:1607.08022, §2.
    """

    chained = True

    eps: float = 1e-5
    affine: bool = False
    init: Init | Auto = Auto.AUTO
    bias_init: Init | Auto = Auto.AUTO

    unused = without_factors
    known = ("nn.InstanceNorm", "F.instance_norm")
    elsewhere = "instancenorm instancenormalization inorm"
    special = each_element

    def reads(self, *inputs: Shape) -> tuple[Reading, ...]:
        """All positions of its channel."""
        (x,) = inputs
        whole = frozenset((0, axis) for axis in range(1, len(x)))
        return (Reading(pointwise(inputs, x).axes, whole),)

    def saves(self, *inputs: Shape, grads: tuple[bool, ...]) -> Saved:
        """Its input, the mean and deviation of each channel, and the factors repeated."""
        return Saved(inputs=(0,), own=(2 + self.affine) * BYTES * inputs[0][0])

    def copied(self, *inputs: Laid) -> Integers:
        """It reads memory in order."""
        return () if inputs[0].contiguous else (0,)

    def shape(self, *inputs: Shape) -> Shape:
        """The input's."""
        if math.prod(spatial(inputs[0], self.name)) == 1:
            message = f"`{self.name}` would normalise one position: {spell_shape(inputs[0])}"
            raise OpError(message, help="leave it out here, or write `gn` or `ln`", operand=0)
        return inputs[0]

    def weights(self, *inputs: Shape) -> dict[str, Weight]:
        """`weight` and `bias` (C) with `affine`."""
        return _affine(self, inputs[0]) if self.affine else {}

    def macs(self, *inputs: Shape) -> int:
        """0: counted as normalisation."""
        return 0

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """Groups of one channel."""
        x, weight, bias = inputs[0], weights.get("weight"), weights.get("bias")
        return kernels.group_norm(x, x.shape[1], weight, bias, self.eps)

    def torch(self, *inputs: Shape) -> Torch:
        """`nn.InstanceNorm2d`."""
        rank = len(inputs[0]) - 1
        keywords: dict[str, tuple[object, object]] = {
            "eps": (self.eps, 1e-5),
            "affine": (self.affine, False),
        }
        return Torch(Call(f"nn.InstanceNorm{rank}d", (inputs[0][0],), keywords))

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """`InstanceNormalization`, where a missing weight is 1 and a missing bias 0."""
        (x,) = inputs
        weight, bias = _factors(to, x, weights)
        return to("InstanceNormalization", x, weight, bias, epsilon=float(self.eps))


CHANNEL_LAYER_NORM = '''class ChannelLayerNorm(nn.LayerNorm):
    """Layer normalisation over the channels of each position."""

    def forward(self, input: Tensor) -> Tensor:
        x, axis = input.movedim(1, -1), [input.shape[1]]
        return F.layer_norm(x, axis, self.weight, self.bias, self.eps).movedim(-1, 1)
'''

LAST_LAYER_NORM = '''class LastLayerNorm(nn.Module):
    """Layer normalisation along the last axis, of any size, without factors."""

    def __init__(self, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], eps=self.eps)
'''


@op("ln", Family.NORM)
class LayerNorm(Op):
    """Normalisation over the channels of each position, or along the last axis.  (*S) → (*S).

    Raises OpError: `axis` is neither 0, the channels, nor the last.
    Source: Ba, Kiros & Hinton 2016, arXiv:1607.06450, §3; over the channels alone as in
    Liu et al. 2022, arXiv:2201.03545, §2.6.
    """

    chained = True

    eps: float = 1e-6
    axis: int = 0
    affine: bool = True
    init: Init | Auto = Auto.AUTO
    bias_init: Init | Auto = Auto.AUTO

    unused = without_factors
    known = ("nn.LayerNorm", "F.layer_norm")
    elsewhere = "layernorm layernormalization"
    special = each_element

    def reads(self, *inputs: Shape) -> tuple[Reading, ...]:
        """All of the axis."""
        return (along(inputs[0], self.axis),)

    def laid(self, *inputs: Laid, training: bool = False) -> tuple[Laid, ...]:
        """In order, its axis innermost."""
        sizes = inputs[0].sizes
        rest = [axis for axis in reversed(range(len(sizes))) if axis != self.axis + 1]
        return (packed(sizes, (int(self.axis) + 1, *rest)),)

    def saves(self, *inputs: Shape, grads: tuple[bool, ...]) -> Saved:
        """Its input, and the mean and deviation of each position."""
        (x,) = inputs
        return Saved(inputs=(0,), own=2 * BYTES * (math.prod(x) // x[self.axis]))

    def shape(self, *inputs: Shape) -> Shape:
        """The input's."""
        (x,) = inputs
        check_axis(self.axis, x, self.name)
        if self.axis not in (0, len(x) - 1):
            help = f"normalise axis 0, the channels, or {len(x) - 1}, the last"
            raise OpError(
                f"`ln` cannot normalise axis {int(self.axis)}", help=help, attribute="axis"
            )
        return x

    def weights(self, *inputs: Shape) -> dict[str, Weight]:
        """`weight` and `bias` of the axis."""
        x = inputs[0]
        return _affine(self, x[self.axis : self.axis + 1]) if self.affine else {}

    def macs(self, *inputs: Shape) -> int:
        """0: counted as normalisation."""
        return 0

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """Mean and variance of each position's channels."""
        weight, bias = weights.get("weight"), weights.get("bias")
        x = np.moveaxis(inputs[0], int(self.axis) + 1, 1)
        y = kernels.layer_norm(x, weight, bias, self.eps)
        return np.moveaxis(y, 1, int(self.axis) + 1)

    def torch(self, *inputs: Shape) -> Torch:
        """`nn.LayerNorm`; with spatial axes a subclass that moves the channels."""
        (x,) = inputs
        keywords: dict[str, tuple[object, object]] = {
            "eps": (self.eps, 1e-5),
            "elementwise_affine": (self.affine, True),
        }
        if self.axis == len(x) - 1:
            if not self.affine:  # `nn.LayerNorm` takes one size alone
                module = Call("LastLayerNorm", (), {"eps": (self.eps, 1e-5)})
                return Torch(module, helper=LAST_LAYER_NORM)
            return Torch(Call("nn.LayerNorm", (x[-1],), keywords))
        return Torch(Call("ChannelLayerNorm", (x[0],), keywords), helper=CHANNEL_LAYER_NORM)

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """`LayerNormalization`, the channels moved behind the places."""
        (x,) = inputs
        axes, last = range(len(x.shape)), self.axis == len(x.shape) - 1
        moved = x if last else to.transpose(x, (*axes[1:], 0))
        ones = to.repeated(1.0, x.shape[self.axis]) if not self.affine else None
        scale, bias = ones or weights["weight"], weights.get("bias")
        y = to("LayerNormalization", moved, scale, bias, axis=-1, epsilon=float(self.eps))
        if last:
            return y
        return to.transpose(y, (axes[-1], *axes[:-1]))


def _factors(to: Onnx, x: Value, weights: dict[str, Value]) -> Iterator[Value]:
    """`weight` and `bias` of each channel: a missing one is 1 or 0."""
    for name, number in (("weight", 1.0), ("bias", 0.0)):
        yield weights.get(name) or to.repeated(number, x.shape[0])


def _batch_norm(to: Onnx, x: Value, weights: dict[str, Value], eps: float) -> Value:
    """`BatchNormalization`, where a missing weight is 1 and a missing bias 0."""
    weight, bias = _factors(to, x, weights)
    statistics = weights["running_mean"], weights["running_var"]
    return to("BatchNormalization", x, weight, bias, *statistics, epsilon=float(eps))


def _affine(norm: Op, x: Shape) -> dict[str, Weight]:
    """`weight` and `bias` of the first axis, 1 and 0 unless it is said.  Raises OpError."""
    return norm.begun(x[:1], x[0], Ones(), Zeros())
