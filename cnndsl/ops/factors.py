"""Learned factors of channels, without statistics."""

from __future__ import annotations

from typing import Literal

from cnndsl.ops.arrays import kernels
from cnndsl.ops.base import Op, op
from cnndsl.ops.facts import INPUT, Array, Call, Family, Shape, Torch, Weight
from cnndsl.ops.initial import Init, Ones, Zeros
from cnndsl.ops.onnx_steps import Onnx, Value
from cnndsl.ops.reads import each_position
from cnndsl.ops.strides import by_elements


class Factors(Op):
    """One product an element, or one product and one sum.  (C, *S) → (C, *S)."""

    whole = False
    chained = True
    reads, laid = each_position, by_elements
    keeps = INPUT
    bucket = "elementwise"

    def shape(self, *inputs: Shape) -> Shape:
        """The input's."""
        return inputs[0]

    def macs(self, *inputs: Shape) -> int:
        """0: counted as elementwise."""
        return 0


SCALE = '''class Scale(nn.Module):
    """A learned factor for each channel, or one for all."""

    def __init__(self, channels: int, init: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels,), float(init)))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight.view([-1] + [1] * (x.dim() - 2))
'''


@op("scale", Family.NORM)
class Scale(Factors):
    """x · weight, a learned factor for each channel or one for all.  (C, *S) → (C, *S).

    MACs: 0, counted as elementwise.
    Source: Liu, Rabinovich & Berg 2015, arXiv:1506.04579, §3.3; Tian et al. 2019,
    arXiv:1904.01355, §3.2 (one for all).
    """

    per: Literal["channel", "tensor"] = "channel"
    init: Init = Ones()

    known = ("torch.mul",)
    elsewhere = "layerscale"

    def weights(self, *inputs: Shape) -> dict[str, Weight]:
        """`weight` (C) or (1)."""
        shape = inputs[0][:1] if self.per == "channel" else (1,)
        self.init.check(tuple(map(int, shape)))
        return {"weight": Weight(shape, init=self.init)}

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """One product an element."""
        return inputs[0] * kernels.channelwise(weights["weight"], inputs[0].ndim)

    def torch(self, *inputs: Shape) -> Torch:
        """A module of the file's own."""
        channels = inputs[0][0] if self.per == "channel" else 1
        value = self.init.value if self.init.value is not None else 1.0
        return Torch(Call("Scale", (channels,), {"init": (value, 1.0)}), helper=SCALE)

    @property
    def beginnings(self) -> dict[str, Init]:
        """Nothing where it is one number: the module takes that."""
        return {} if self.init.value is not None else {"init": self.init}

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """`Mul`."""
        (x,) = inputs
        return x * to.channelwise(weights["weight"], len(x.shape) - 1)


AFFINE = '''class Affine(nn.Module):
    """A learned factor and a learned bias for each channel."""

    def __init__(self, channels: int, init: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels,), float(init)))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        shape = [-1] + [1] * (x.dim() - 2)
        return x * self.weight.view(shape) + self.bias.view(shape)
'''


@op("affine", Family.NORM)
class Affine(Factors):
    """x · weight + bias, learned for each channel; `scale` has no bias.  (C, *S) → (C, *S).

    Source: Woo et al. 2023, arXiv:2301.00808, algorithm 1 (γ and β).
    """

    init: Init = Ones()
    bias_init: Init = Zeros()

    elsewhere = "scaleshift scaleandshift"

    def weights(self, *inputs: Shape) -> dict[str, Weight]:
        """`weight` and `bias` (C)."""
        shape = inputs[0][:1]
        for init in (self.init, self.bias_init):
            init.check(tuple(map(int, shape)))
        return {
            "weight": Weight(shape, init=self.init),
            "bias": Weight(shape, init=self.bias_init),
        }

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """One product and one sum an element."""
        (x,) = inputs
        weight, bias = (kernels.channelwise(weights[n], x.ndim) for n in ("weight", "bias"))
        return x * weight + bias

    def torch(self, *inputs: Shape) -> Torch:
        """A module of the file's own."""
        value = self.init.value if self.init.value is not None else 1.0
        return Torch(Call("Affine", (inputs[0][0],), {"init": (value, 1.0)}), helper=AFFINE)

    @property
    def beginnings(self) -> dict[str, Init]:
        """What is not one number for the factor, and 0 for the bias: these the module takes."""
        found = {} if self.init.value is not None else {"init": self.init}
        return found if self.bias_init.value == 0 else {**found, "bias_init": self.bias_init}

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """`Mul`, `Add`."""
        (x,) = inputs
        rank = len(x.shape) - 1
        weight, bias = (to.channelwise(weights[name], rank) for name in ("weight", "bias"))
        return x * weight + bias
