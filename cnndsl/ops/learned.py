"""Tensors that no input gives, learned or constant, and attention between tokens."""

from __future__ import annotations

import math
from typing import ClassVar

from cnndsl.diagnostics import OpError
from cnndsl.ops.arrays import kernels, np
from cnndsl.ops.base import Op, op
from cnndsl.ops.box_checks import Numbers
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
    Taps,
    Torch,
    Weight,
    real,
    spell_shape,
)
from cnndsl.ops.initial import Init, Zeros
from cnndsl.ops.onnx_steps import Onnx, Value
from cnndsl.ops.strides import Laid, shapes_of
from cnndsl.ops.words import FEW, listed, spoken


class Given(Op):
    """The same tensor for each sample; what enters only says how many samples there are."""

    keeps = NOTHING

    def reads(self, *inputs: Shape) -> tuple[Reading, ...]:
        """Nothing."""
        return (Reading(({},) * len(self.shape(*inputs)), unread=frozenset({0})),)

    def macs(self, *inputs: Shape) -> int:
        """0: it is there."""
        return 0

    def expanded(self, to: Onnx, x: Value, tensor: Value, shape: Shape) -> Value:
        """A tensor with an axis of size 1 for the batch, for each sample of x."""
        sizes = to("Concat", to.batch(x), to.ints(*shape), axis=0)
        return to("Expand", tensor, sizes, shape=shape)


LEARNED = '''class Learned(nn.Module):
    """A learned tensor, the same for each sample."""

    def __init__(self, sizes: tuple[int, ...]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, *sizes))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight.repeat([x.shape[0]] + [1] * (self.weight.dim() - 1))
'''


@op("learned", Family.GIVEN)
class Learned(Given):
    """A learned tensor, the same for each sample; of what enters nothing is read.  → (*sizes).

    Raises OpError: no size, or one less than 1.
    Source: Dosovitskiy et al. 2020, arXiv:2010.11929, §3.1 (class token, positions).
    """

    whole = False

    sizes: Integers
    init: Init = Zeros()

    chained = True
    elsewhere = "parameter positionembedding posembed classtoken clstoken"

    def shape(self, *inputs: Shape) -> Shape:
        """(*sizes)."""
        return _checked(self.sizes)

    def weights(self, *inputs: Shape) -> dict[str, Weight]:
        """`weight` (1, *sizes), the batch's axis first as others keep it."""
        shape = (1, *_checked(self.sizes))
        try:
            self.init.check(tuple(map(int, shape)))
        except OpError as error:
            error.attribute = "init"
            raise
        return {"weight": Weight(shape, init=self.init)}

    def figure(self) -> str:
        """`learned 197×192`."""
        return f"learned {spoken(self.sizes)}"

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """A copy for each sample."""
        return np.repeat(weights["weight"], len(inputs[0]), axis=0)

    def torch(self, *inputs: Shape) -> Torch:
        """A module of the file's own."""
        return Torch(Call("Learned", (tuple(self.sizes),)), helper=LEARNED)

    @property
    def beginnings(self) -> dict[str, Init]:
        """Nothing where it is zero: the module begins so."""
        return {} if self.init.value == 0 else {"init": self.init}

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """`Expand` over the batch."""
        return self.expanded(to, inputs[0], weights["weight"], tuple(self.sizes))


VALUES = '''@torch.fx.wrap
def values(x: Tensor, numbers: tuple[float, ...]) -> Tensor:
    """The numbers, the same for each sample."""
    found = torch.tensor(numbers, dtype=x.dtype, device=x.device)
    return found.repeat(x.shape[0], 1)
'''


@op("values", Family.GIVEN)
class Values(Given):
    """A vector of constants, the same for each sample: `values(0..16)`.  → (n).

    Raises OpError: an empty list.
    Source: Li et al. 2020, arXiv:2006.04388, §3.1 (the bins of a distribution).
    """

    whole = True

    numbers: Numbers

    elsewhere = "arange linspace buffer"
    discrete = ("out",)
    functions: ClassVar = {"values": VALUES}

    def shape(self, *inputs: Shape) -> Shape:
        """(n)."""
        if not self.numbers:
            raise OpError("`values` needs at least one number", attribute="numbers")
        return (len(self.numbers),)

    def figure(self) -> str:
        """`values 0, 1, 2, 3`; `16 values, 0 to 15`."""
        count = f"{len(self.numbers)} values," if len(self.numbers) > FEW else "values"
        return f"{count} {listed(self.numbers)}"

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """A copy for each sample."""
        numbers = np.array(list(map(float, self.numbers)), inputs[0].dtype)
        return np.repeat(numbers[None], len(inputs[0]), axis=0)

    def torch(self, *inputs: Shape) -> Torch:
        """A function of the file's own."""
        numbers = tuple(real(n) for n in self.numbers)
        return Torch(function=Call("values", (Operand(0), numbers)), helper=VALUES)

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """`Expand` over the batch."""
        numbers = list(map(float, self.numbers))
        return self.expanded(to, inputs[0], to.floats([numbers]), (len(numbers),))


FULL = '''def full(x: Tensor, sizes: tuple[int, ...], value: float) -> Tensor:
    """A number everywhere, for each sample."""
    return torch.full([x.shape[0], *sizes], value, dtype=x.dtype, device=x.device)
'''


@op("full", Family.GIVEN)
class Full(Given):
    """One number everywhere, the same for each sample.  → (*sizes).

    Raises OpError: no size, or one less than 1.
    Source: convention (PyTorch's `torch.full`).
    """

    whole = True

    sizes: Integers
    value: float

    elsewhere = "ones zeros"
    discrete = ("out",)
    functions: ClassVar = {"full": FULL}

    def shape(self, *inputs: Shape) -> Shape:
        """(*sizes)."""
        return _checked(self.sizes)

    def figure(self) -> str:
        """`1, 16×49`."""
        return f"{spoken(self.value)}, {spoken(self.sizes)}"

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """One for each sample."""
        shape = (len(inputs[0]), *map(int, self.sizes))
        return np.full(shape, float(self.value), inputs[0].dtype)

    def torch(self, *inputs: Shape) -> Torch:
        """A function of the file's own."""
        given = (Operand(0), tuple(self.sizes), real(self.value))
        return Torch(function=Call("full", given), helper=FULL)

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """`Expand` over the batch and all axes."""
        one = to.floats(float(self.value))
        return self.expanded(to, inputs[0], one, tuple(self.sizes))


ATTENTION = '''def attention(
    q: Tensor, k: Tensor, v: Tensor, heads: int = 1, scale: float | None = None
) -> Tensor:
    """Each token of q reads all of k and v, head by head."""
    q = q.reshape(q.shape[0], q.shape[1], heads, -1).transpose(1, 2)
    k = k.reshape(k.shape[0], k.shape[1], heads, -1).transpose(1, 2)
    v = v.reshape(v.shape[0], v.shape[1], heads, -1).transpose(1, 2)
    y = F.scaled_dot_product_attention(q, k, v, scale=scale)
    return y.transpose(1, 2).flatten(2)
'''


@op("attention", Family.MATMUL, arity=(3, 3))
class Attention(Op):
    """softmax(q · kᵀ · scale) · v in each head.  (L, C), (M, C), (M, C) → (L, C).

    Tokens are rows, as in PyTorch; a head is C / heads channels, one after another. The
    scale is 1 / √(C / heads) unless it is said.
    MACs: 2 · L · M · C.
    Raises OpError: heads does not divide C; tensors that do not agree.
    Source: Vaswani et al. 2017, arXiv:1706.03762, §3.2.
    """

    heads: int = 1
    scale: float | None = None

    ports = ("q", "k", "v")
    known = ("F.scaled_dot_product_attention",)
    elsewhere = "scaleddotproductattention sdpa selfattention crossattention multiheadattention"

    def reads(self, *inputs: Shape) -> tuple[Reading, ...]:
        """Its token of q and all of k and v, of its head's channels."""
        channels, heads = int(inputs[0][1]), int(self.heads)
        share = channels // max(1, heads)
        own = {(2, 1): SAME}
        if heads > 1:
            taps = Taps((0,) * share, (share - 1,) * share, share)
            own |= {(0, 1): taps, (1, 1): taps}
        return (Reading(({(0, 0): SAME}, own)),)

    def saves(self, *inputs: Shape, grads: tuple[bool, ...]) -> Saved:
        """All three, the output, and the logarithm of each token's sum in each head."""
        return Saved((0, 1, 2), (0,), own=BYTES * self.heads * inputs[0][0])

    def kept(self, *inputs: Laid, grads: tuple[bool, ...]) -> Saved:
        """Where elements of a token lie apart: q and k scaled, the shares, and v."""
        q, k, v = shapes_of(inputs)
        if all(x.strides[2] == 1 for x in inputs):
            return self.saves(q, k, v, grads=grads)
        seen, heads = any(grads[:2]), self.heads
        own = math.prod(q) * grads[1] + math.prod(k) * grads[0] + heads * q[0] * k[0]
        batch, tokens, width = inputs[2].sizes
        split = inputs[2].parted(2, heads, width // heads).permuted(0, 2, 1, 3)
        apart = not split.reshaped(batch * heads, tokens, width // heads).shared
        own += math.prod(v) * (seen and apart)
        return Saved((2,) if seen and not apart else (), own=BYTES * own)

    def special(self, *inputs: Shape) -> int:
        """An exponential for each pair of tokens in each head."""
        return self.heads * inputs[0][0] * inputs[1][0]

    def shape(self, *inputs: Shape) -> Shape:
        """(L, C)."""
        q, k, v = inputs
        for number, x in enumerate(inputs):
            if len(x) != 2 or x[1] != q[1]:
                beside = f" where q is {spell_shape(q)}" if len(x) == 2 else ""
                raise OpError(
                    f"`attention` cannot take {spell_shape(x)}{beside}",
                    help="tokens are rows: [L, C], [M, C] and [M, C]; "
                    'rearrange("c h w -> (h w) c") makes them',
                    operand=number,
                )
        if k != v:
            raise OpError(f"k is {spell_shape(k)}, but v is {spell_shape(v)}", operand=2)
        if self.heads < 1 or q[1] % self.heads:
            near = [h for h in range(1, int(q[1]) + 1) if q[1] % h == 0]
            near.sort(key=lambda h: abs(h - self.heads))
            raise OpError(
                f"heads={int(self.heads)} does not divide {int(q[1])} channels",
                help=f"heads={near[0]} does",
                attribute="heads",
            )
        return q

    def macs(self, *inputs: Shape) -> int:
        """2 · L · M · C."""
        return 2 * math.prod(inputs[0]) * inputs[1][0]

    def figure(self) -> str:
        """`attention`, and how many heads."""
        return "attention"

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """Two products with a softmax between them."""
        n, length, channels = inputs[0].shape
        heads = int(self.heads)
        q, k, v = (x.reshape(n, x.shape[1], heads, -1).swapaxes(1, 2) for x in inputs)
        scale = (channels // heads) ** -0.5 if self.scale is None else float(self.scale)
        found: Array = kernels.softmax(q @ k.swapaxes(2, 3) * scale, 3) @ v
        return found.swapaxes(1, 2).reshape(n, length, channels)

    def torch(self, *inputs: Shape) -> Torch:
        """A function of the file's own, on PyTorch's fused one."""
        keywords: dict[str, tuple[object, object]] = {
            "heads": (self.heads, 1),
            "scale": (None if self.scale is None else real(self.scale), None),
        }
        call = Call("attention", (Operand(0), Operand(1), Operand(2)), keywords)
        return Torch(function=call, helper=ATTENTION)

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """`MatMul`, `Softmax`, `MatMul`, the heads before the tokens."""
        heads, channels = self.heads, inputs[0].shape[1]
        q, k, v = (
            to.transpose(to.reshape(x, (x.shape[0], heads, channels // heads)), order)
            for x, order in zip(inputs, ((1, 0, 2), (1, 2, 0), (1, 0, 2)), strict=True)
        )
        if self.scale is None:
            q = q / to("Sqrt", to.single(to.doubles(channels // heads)))
        else:
            q = q * float(self.scale)
        weighed = to("Softmax", to("MatMul", q, k), axis=-1)
        shape = (heads, inputs[0].shape[0], channels // heads)
        y = to.transpose(to("MatMul", weighed, v, shape=shape), (1, 0, 2))
        return to.reshape(y, inputs[0].shape)


def _checked(sizes: Integers) -> Shape:
    if not sizes or any(n < 1 for n in sizes):
        raise OpError(
            f"a tensor cannot be {spell_shape(sizes)}",
            help="each size is at least 1",
            attribute="sizes",
        )
    return tuple(sizes)
