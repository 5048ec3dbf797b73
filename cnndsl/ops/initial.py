"""What a weight begins with: `torch.nn.init`, by the same names, arguments and defaults.

Each initialisation is one class: its fields are PyTorch's keywords, `draw` is NumPy's rule.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar, dataclass_transform

from cnndsl.diagnostics import OpError
from cnndsl.ops.arrays import np
from cnndsl.records import Record, record

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]
    Generator = np.random.Generator
else:
    Array = Generator = Any

Shape = tuple[int, ...]


@record
class Parameter(Record):
    """One attribute of a signature."""

    name: str
    type: str
    default: object = dataclasses.MISSING


def parameters(cls: type[Any]) -> tuple[Parameter, ...]:
    """The fields of a class as the language writes their types."""
    fields = dataclasses.fields(cls)
    return tuple(Parameter(f.name, _words(str(f.type)), f.default) for f in fields)


def _words(kind: str) -> str:
    """A type as the language writes it: `"a" | "b"` for `Literal["a", "b"]`."""
    if not kind.startswith("Literal["):
        return kind
    words = kind[len("Literal[") : -1].replace("'", '"').split(",")
    return " | ".join(word.strip() for word in words)


GAINS = {"linear": 1.0, "relu": math.sqrt(2), "tanh": 5 / 3, "sigmoid": 1.0, "selu": 3 / 4}
"""Of `kaiming`, by what follows; `leaky_relu` depends on its slope."""


class Init(Record):
    """The first value of a weight."""

    __slots__ = ()
    name: ClassVar[str] = ""
    helper: ClassVar[str] = ""
    """The source of the function, where PyTorch has none."""
    parameters: ClassVar[tuple[Parameter, ...]] = ()
    order: ClassVar[tuple[str, ...]] = ()
    """PyTorch's order of the arguments, where it is another."""
    axes: ClassVar[int] = 0
    """The least number of axes that it is defined for."""

    def check(self, shape: Shape) -> None:
        """Raises OpError: it is not defined for a weight of this shape."""
        if len(shape) < self.axes:
            raise OpError(
                f"`{self}` is not defined for a weight of {len(shape)} axes",
                help="a vector takes `zeros`, `ones`, `constant`, `uniform` or `normal`",
            )

    def draw(self, rng: Generator, shape: Shape) -> Array:
        """A first value, in float64."""
        raise NotImplementedError(type(self))

    @property
    def value(self) -> float | None:
        """The number that all of it is, where it is one."""
        return None

    @property
    def plain(self) -> Init:
        """The same, said in one way."""
        return self if self.value is None else Constant(self.value)

    @property
    def function(self) -> str:
        """What PyTorch calls it."""
        return f"nn.init.{self.name}_" if not self.helper else f"{self.name}_"

    def __str__(self) -> str:
        """As the language writes it: `kaiming_normal("fan_out")`."""
        shown: list[str] = []
        for number, parameter in enumerate(self.parameters):
            value = getattr(self, parameter.name)
            if value != parameter.default:
                spelt = f'"{value}"' if isinstance(value, str) else repr(value)
                spelt = spelt.removesuffix(".0")
                shown.append(spelt if len(shown) == number else f"{parameter.name}={spelt}")
        return f"{self.name}({', '.join(shown)})" if shown else self.name


INITS: dict[str, type[Init]] = {}
"""Every initialisation by its name."""

T = TypeVar("T", bound=type[Init])


@dataclass_transform(frozen_default=True)
def _init(cls: T) -> T:
    """Make a class an initialisation, named as PyTorch names it."""
    made = record(cls)
    made.name = "".join(
        f"_{letter.lower()}" if letter.isupper() else letter for letter in cls.__name__
    )[1:]
    made.parameters = parameters(made)
    INITS[made.name] = made
    return made


@_init
class Zeros(Init):
    """0."""

    value = 0.0

    def draw(self, rng: Generator, shape: Shape) -> Array:
        """0."""
        return np.zeros(shape)


@_init
class Ones(Init):
    """1."""

    value = 1.0

    def draw(self, rng: Generator, shape: Shape) -> Array:
        """1."""
        return np.ones(shape)


@_init
class Constant(Init):
    """One number."""

    val: float

    def __str__(self) -> str:
        """`-4.6`: the number alone says it."""
        return repr(float(self.val)).removesuffix(".0")

    @property
    def value(self) -> float:
        """The number."""
        return self.val

    def draw(self, rng: Generator, shape: Shape) -> Array:
        """The number."""
        return np.full(shape, float(self.val))


@_init
class Uniform(Init):
    """U(a, b)."""

    a: float = 0.0
    b: float = 1.0

    def draw(self, rng: Generator, shape: Shape) -> Array:
        """Uniform between both."""
        return rng.uniform(self.a, self.b, shape)


@_init
class Normal(Init):
    """N(mean, std²)."""

    order = ("mean", "std")
    std: float = 1.0
    mean: float = 0.0

    def draw(self, rng: Generator, shape: Shape) -> Array:
        """Normal."""
        return rng.normal(self.mean, self.std, shape)


@_init
class TruncNormal(Init):
    """N(mean, std²) between a and b, which are values and no multiples of `std`."""

    order = ("mean", "std", "a", "b")
    std: float = 1.0
    mean: float = 0.0
    a: float = -2.0
    b: float = 2.0

    def check(self, shape: Shape) -> None:
        """Raises OpError: nothing of it lies between a and b."""
        if self.std <= 0 or self.a >= self.b or not self.a <= self.mean <= self.b:
            help = "`std` is positive, and `mean` between `a` and `b`"
            raise OpError(f"`{self}` is not defined", help=help)

    def draw(self, rng: Generator, shape: Shape) -> Array:
        """Normal, drawn again where it is outside."""
        found = rng.normal(self.mean, self.std, shape)
        while (outside := (found < self.a) | (found > self.b)).any():
            found[outside] = rng.normal(self.mean, self.std, int(outside.sum()))
        return found


class Fans(Init):
    """One whose spread follows from the number of inputs and outputs of a unit."""

    __slots__ = ()
    axes = 2

    @staticmethod
    def fans(shape: Shape) -> tuple[int, int]:
        """The fan in and fan out of (K, C, *kernel), as PyTorch counts them."""
        taps = math.prod(shape[2:])
        return shape[1] * taps, shape[0] * taps

    def std(self, shape: Shape) -> float:
        """The standard deviation."""
        raise NotImplementedError(type(self))


@_init
class XavierUniform(Fans):
    """U(±√3 · gain · √(2 / (fan in + fan out))).

    Source: Glorot & Bengio 2010, AISTATS, §4.2.1.
    """

    gain: float = 1.0

    def std(self, shape: Shape) -> float:
        """A gain times √(2 / (fan in + fan out))."""
        return self.gain * math.sqrt(2 / max(1, sum(self.fans(shape))))

    def draw(self, rng: Generator, shape: Shape) -> Array:
        """Uniform."""
        bound = math.sqrt(3) * self.std(shape)
        return rng.uniform(-bound, bound, shape)


@_init
class XavierNormal(XavierUniform):
    """N(0, gain² · 2 / (fan in + fan out)).

    Source: Glorot & Bengio 2010, AISTATS, §4.2.1.
    """

    def draw(self, rng: Generator, shape: Shape) -> Array:
        """Normal."""
        return rng.normal(0, self.std(shape), shape)


@_init
class KaimingUniform(Fans):
    """U(±√3 · gain / √fan), gain √(2 / (1 + a²)) before a leaky ReLU of slope a.

    Source: He et al. 2015, arXiv:1502.01852, §2.2.
    """

    order = ("a", "mode", "nonlinearity")
    mode: Literal["fan_in", "fan_out"] = "fan_in"
    a: float = 0.0
    nonlinearity: Literal["leaky_relu", "linear", "relu", "selu", "sigmoid", "tanh"] = (
        "leaky_relu"
    )

    @property
    def plain(self) -> Init:
        """A ReLU is a leaky one of slope 0."""
        if self.nonlinearity != "relu":
            return self
        return type(self)(self.mode, 0.0, "leaky_relu")

    def std(self, shape: Shape) -> float:
        """The gain over √fan."""
        gain = GAINS.get(self.nonlinearity, math.sqrt(2 / (1 + self.a**2)))
        return gain / math.sqrt(max(1, self.fans(shape)[self.mode == "fan_out"]))

    def draw(self, rng: Generator, shape: Shape) -> Array:
        """Uniform."""
        bound = math.sqrt(3) * self.std(shape)
        return rng.uniform(-bound, bound, shape)


@_init
class KaimingNormal(KaimingUniform):
    """N(0, gain² / fan), gain √(2 / (1 + a²)) before a leaky ReLU of slope a.

    Source: He et al. 2015, arXiv:1502.01852, §2.2.
    """

    def draw(self, rng: Generator, shape: Shape) -> Array:
        """Normal."""
        return rng.normal(0, self.std(shape), shape)


@_init
class Orthogonal(Init):
    """Rows, or columns where there are more rows, that are orthonormal, times gain.

    Source: Saxe, McClelland & Ganguli 2013, arXiv:1312.6120, §3.
    """

    axes = 2
    gain: float = 1.0

    def draw(self, rng: Generator, shape: Shape) -> Array:
        """The unitary part of a normal matrix."""
        rows, columns = shape[0], math.prod(shape[1:])
        flat = rng.normal(size=(max(rows, columns), min(rows, columns)))
        q, r = np.linalg.qr(flat)
        q = q * np.sign(np.diag(r))
        found: Array = self.gain * (q if rows >= columns else q.T).reshape(shape)
        return found


BILINEAR = '''def bilinear_(weight: Tensor) -> Tensor:
    """Bilinear interpolation: each channel's kernel is a tent, others' are zero."""
    with torch.no_grad():
        tent = weight.new_ones(())
        for size in weight.shape[2:]:
            centre, half = (size - 1) / 2, (size + 1) // 2
            place = torch.arange(size, dtype=weight.dtype, device=weight.device)
            tent = tent[..., None] * (1 - (place - centre).abs() / half)
        weight.zero_()
        for channel in range(weight.shape[0]):
            weight[channel, channel % weight.shape[1]] = tent
    return weight
'''


@_init
class Bilinear(Init):
    """Of a `deconv`: bilinear interpolation of each channel.

    Source: Long, Shelhamer & Darrell 2015, arXiv:1411.4038, §3.3.
    """

    helper = BILINEAR
    axes = 3

    def draw(self, rng: Generator, shape: Shape) -> Array:
        """A tent for each channel's own, else 0."""
        tent = np.ones(())
        for size in shape[2:]:
            centre, half = (size - 1) / 2, (size + 1) // 2
            tent = tent[..., None] * (1 - np.abs(np.arange(size) - centre) / half)
        found = np.zeros(shape)
        for channel in range(shape[0]):
            found[channel, channel % shape[1]] = tent
        return found


OWN = KaimingUniform(a=math.sqrt(5))
"""PyTorch's own for convolutions and linear layers: U(±1 / √fan in)."""


def own_bias(weight: Shape) -> Init:
    """PyTorch's own for the bias beside a weight: U(±1 / √fan in)."""
    bound = 1 / math.sqrt(max(1, Fans.fans(tuple(map(int, weight)))[0]))
    return Uniform(-bound, bound)
