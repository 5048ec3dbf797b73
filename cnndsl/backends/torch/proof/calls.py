"""PyTorch's calls by their arguments' names: equal calls are equal, however written.

`Conv2d(3, 8, 3)` and `Conv2d(3, 8, kernel_size=(3, 3), stride=1)` are one call. Of what
is not in the tables here only the spelling that the network's own operation uses is known.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from functools import cache

from cnndsl.backends.torch.proof.faults import ProofError
from cnndsl.backends.torch.proof.terms import Attributes
from cnndsl.records import Record, record

MISSING = object()

_CONV = "in_channels: int, out_channels: int, kernel_size: size, stride: size = 1, "
_POOL = "kernel_size: size, stride: size = None, padding: size = 0, "
_INPLACE = "inplace: bool = False"
_SIZES = "size: axes = None, scale_factor: floats = None, mode: str = 'nearest', "

SIGNATURES: dict[str, str] = {
    "nn.Conv": _CONV
    + "padding: size = 0, dilation: size = 1, groups: int = 1, bias: bool = True, "
    "padding_mode: str = 'zeros'",
    "nn.ConvTranspose": _CONV
    + "padding: size = 0, output_padding: size = 0, groups: int = 1, bias: bool = True, "
    "dilation: size = 1, padding_mode: str = 'zeros'",
    "nn.BatchNorm": "num_features: int, eps: float = 1e-5, momentum: float = 0.1, "
    "affine: bool = True, track_running_stats: bool = True",
    "nn.GroupNorm": "num_groups: int, num_channels: int, eps: float = 1e-5, "
    "affine: bool = True",
    "nn.LayerNorm": "normalized_shape: ints, eps: float = 1e-5, "
    "elementwise_affine: bool = True, bias: bool = True",
    "nn.Linear": "in_features: int, out_features: int, bias: bool = True",
    "nn.Dropout": f"p: float = 0.5, {_INPLACE}",
    "nn.MaxPool": _POOL
    + "dilation: size = 1, return_indices: bool = False, ceil_mode: bool = False",
    "F.max_pool": _POOL
    + "dilation: size = 1, ceil_mode: bool = False, return_indices: bool = False",
    "nn.AvgPool": _POOL
    + "ceil_mode: bool = False, count_include_pad: bool = True, divisor_override: int = None",
    "F.avg_pool": _POOL
    + "ceil_mode: bool = False, count_include_pad: bool = True, divisor_override: int = None",
    "nn.AdaptiveAvgPool": "output_size: size",
    "F.adaptive_avg_pool": "output_size: size",
    "nn.AdaptiveMaxPool": "output_size: size, return_indices: bool = False",
    "F.adaptive_max_pool": "output_size: size, return_indices: bool = False",
    "nn.Identity": "",
    "nn.Flatten": "start_dim: int = 1, end_dim: int = -1",
    "nn.Unflatten": "dim: int, unflattened_size: ints",
    "nn.ZeroPad": "padding: sides",
    "nn.ReflectionPad": "padding: sides",
    "nn.ReplicationPad": "padding: sides",
    "nn.CircularPad": "padding: sides",
    "F.pad": "pad: ints, mode: str = 'constant', value: float = None",
    "nn.Upsample": _SIZES + "align_corners: bool = None, recompute_scale_factor: bool = None",
    "F.interpolate": _SIZES
    + "align_corners: bool = None, recompute_scale_factor: bool = None, "
    "antialias: bool = False",
    "F.relu": _INPLACE,
    "F.relu6": _INPLACE,
    "F.silu": _INPLACE,
    "F.mish": _INPLACE,
    "F.hardswish": _INPLACE,
    "F.hardsigmoid": _INPLACE,
    "F.leaky_relu": f"negative_slope: float = 0.01, {_INPLACE}",
    "F.elu": f"alpha: float = 1.0, {_INPLACE}",
    "F.gelu": "approximate: str = 'none'",
    "torch.sigmoid": "",
    "torch.tanh": "",
    "F.softmax": "dim: int",
    "nn.LocalResponseNorm": "size: int, alpha: float = 1e-4, beta: float = 0.75, "
    "k: float = 1.0",
    "F.local_response_norm": "size: int, alpha: float = 1e-4, beta: float = 0.75, "
    "k: float = 1.0",
    "F.normalize": "p: float = 2.0, dim: int = 1, eps: float = 1e-12",
}
"""The arguments but the input; `nn.Conv` is `nn.Conv1d`, `nn.Conv2d`, `nn.Conv3d`."""

SAME: dict[str, str] = {
    "nn.ReLU": "F.relu",
    "nn.ReLU6": "F.relu6",
    "nn.SiLU": "F.silu",
    "nn.Mish": "F.mish",
    "nn.GELU": "F.gelu",
    "nn.ELU": "F.elu",
    "nn.LeakyReLU": "F.leaky_relu",
    "nn.Hardswish": "F.hardswish",
    "nn.Hardsigmoid": "F.hardsigmoid",
    "nn.Sigmoid": "torch.sigmoid",
    "nn.Tanh": "torch.tanh",
    "nn.Softmax": "F.softmax",
    "nn.MaxPool": "F.max_pool",
    "nn.AvgPool": "F.avg_pool",
    "nn.AdaptiveAvgPool": "F.adaptive_avg_pool",
    "nn.AdaptiveMaxPool": "F.adaptive_max_pool",
    "nn.Upsample": "F.interpolate",
    "nn.LocalResponseNorm": "F.local_response_norm",
    "torch.relu": "F.relu",
    "torch.softmax": "F.softmax",
    "F.sigmoid": "torch.sigmoid",
    "F.tanh": "torch.tanh",
    ".relu": "F.relu",
    ".sigmoid": "torch.sigmoid",
    ".tanh": "torch.tanh",
    ".softmax": "F.softmax",
}
"""Calls that compute the same of the same arguments: what a file writes → its one name."""

WEIGHTED = {"nn.Conv", "nn.ConvTranspose", "nn.BatchNorm", "nn.GroupNorm", "nn.LayerNorm"}
WEIGHTED |= {"nn.Linear"}
OWN: tuple[tuple[str, str], ...] = (("weight", ""), ("bias", "bias"))
"""The parameters of such a layer, each with the argument without which it has none."""
"""Modules with tensors in a `state_dict`."""
RANDOM = {"nn.Dropout"}
"""Modules that draw anew at each call."""


@record
class Signature(Record):
    """The parameters of a call: name → (kind, default), in order; `rank` for sizes."""

    name: str
    parameters: dict[str, tuple[str, object]]
    rank: int = 0

    def bind(
        self, arguments: Sequence[object], keywords: Mapping[str, object]
    ) -> dict[str, object]:
        """Every argument by its name, in PyTorch's own form.  Raises ProofError."""
        names = list(self.parameters)
        if len(arguments) > len(names):
            raise ProofError(f"{self.name} takes {len(names)} arguments, not {len(arguments)}")
        given = dict(zip(names, arguments, strict=False))
        for name, value in keywords.items():
            if name not in self.parameters:
                raise ProofError(f"{self.name} has no argument `{name}`")
            if name in given:
                raise ProofError(f"{self.name} has two values for `{name}`")
            given[name] = value
        bound: dict[str, object] = {}
        for name, (kind, default) in self.parameters.items():
            value = given.get(name, default)
            if value is MISSING:
                raise ProofError(f"{self.name} needs the argument `{name}`")
            try:
                if value is None and default is None:
                    bound[name] = None
                else:
                    bound[name] = KINDS[kind](value, self.rank)
            except TypeError:
                said = f"{self.name}'s argument `{name}` cannot be {value!r}"
                raise ProofError(said) from None
        return bound

    def attributes(self, bound: Mapping[str, object]) -> Attributes:
        """What a term says: the arguments that are not at their defaults."""
        found = dict(bound)
        if "pool" in self.name.lower() and "stride" in found:
            # PyTorch's default, and the same said in full.
            found["stride"] = found["stride"] or found["kernel_size"]
        if found.get("mode") in LINEAR and found.get("align_corners") is None:
            found["align_corners"] = False
        if self.name == "F.pad" and found["mode"] == "constant":
            found["value"] = found["value"] or 0.0
        found.pop("inplace", None)
        return tuple(
            sorted((n, v) for n, v in found.items() if not _same(v, self.defaults.get(n)))
        )

    @property
    def defaults(self) -> dict[str, object]:
        """The defaults in PyTorch's own form."""
        return _defaults(self.name)


LINEAR = {"linear", "bilinear", "trilinear", "bicubic"}


def _same(one: object, other: object) -> bool:
    return type(one) is type(other) and one == other


@cache
def _defaults(name: str) -> dict[str, object]:
    found = signature(name)
    assert found is not None
    return {
        name: default if default is None else KINDS[kind](default, found.rank)
        for name, (kind, default) in found.parameters.items()
        if default is not MISSING
    }


@cache
def signature(name: str) -> Signature | None:
    """The signature of a call of PyTorch; None where the table has none."""
    rank = rank_of(name)
    text = SIGNATURES.get(family(name))
    if text is None:
        return None
    tree = ast.parse(f"def call({text}): pass").body[0]
    assert isinstance(tree, ast.FunctionDef)
    return Signature(name, parameters(tree.args), rank)


def parameters(arguments: ast.arguments) -> dict[str, tuple[str, object]]:
    """The parameters of a `def` whose defaults are constants: name → (kind, default)."""
    named = [*arguments.posonlyargs, *arguments.args]
    defaults: list[ast.expr | None] = [None] * (len(named) - len(arguments.defaults))
    pairs = [
        *zip(named, [*defaults, *arguments.defaults], strict=True),
        *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
    ]
    return {
        arg.arg: (
            ast.unparse(arg.annotation) if arg.annotation else "any",
            MISSING if default is None else ast.literal_eval(default),
        )
        for arg, default in pairs
    }


def rank_of(name: str) -> int:
    """2 of `nn.Conv2d`; 0 where the name has no axes."""
    return int(name[-2]) if len(name) > 2 and name[-1] == "d" and name[-2] in "123" else 0


@cache
def family(name: str) -> str:
    """`nn.Conv` of `nn.Conv2d`, where the table knows it so; else the name."""
    short = name[:-2] if rank_of(name) else name
    return short if short in SIGNATURES else name


@cache
def one_name(name: str) -> str:
    """The name under which equal calls are one: `F.max_pool2d` of `nn.MaxPool2d`."""
    found = SAME.get(family(name))
    if found is None:
        return name
    return found + name[-2:] if rank_of(name) else found


# --- How PyTorch reads an argument: 3 is (3, 3) to a convolution of two axes.


def _integer(value: object, rank: int = 0) -> int:
    if type(value) is not int:
        raise TypeError
    return value


def _boolean(value: object, rank: int = 0) -> bool:
    if type(value) is not bool:
        raise TypeError
    return value


def _text(value: object, rank: int = 0) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _number(value: object, rank: int = 0) -> float:
    if type(value) not in (int, float):
        raise TypeError
    return float(value)  # type: ignore[arg-type]


def _integers(value: object, rank: int = 0) -> tuple[int, ...]:
    return tuple(map(_integer, value if isinstance(value, list | tuple) else (value,)))


def _size(value: object, rank: int) -> tuple[int, ...]:
    found = _integers(value)
    if not isinstance(value, list | tuple):
        return found * max(rank, 1)
    if len(found) != rank:
        raise TypeError
    return found


def _sides(value: object, rank: int) -> tuple[int, ...]:
    found = _integers(value)
    return found if isinstance(value, list | tuple) else found * (2 * rank)


def _one_or_all(value: object, rank: int = 0) -> int | tuple[int, ...]:
    return _integers(value) if isinstance(value, list | tuple) else _integer(value)


def _floats(value: object, rank: int = 0) -> float | tuple[float, ...]:
    if isinstance(value, list | tuple):
        return tuple(map(_number, value))
    return _number(value)


def _any(value: object, rank: int = 0) -> object:
    return frozen(value)


KINDS: dict[str, Callable[[object, int], object]] = {
    "int": _integer,
    "bool": _boolean,
    "str": _text,
    "float": _number,
    "ints": _integers,
    "size": _size,
    "sides": _sides,
    "axes": _one_or_all,
    "floats": _floats,
    "any": _any,
}


def frozen(value: object) -> object:
    """A value that can be compared: lists are tuples, and 1, 1.0 and True are three."""
    if isinstance(value, list | tuple):
        return tuple(map(frozen, value))
    if value is None or (isinstance(value, int | str) and not isinstance(value, bool)):
        return value
    if isinstance(value, bool | float):
        return (type(value).__name__, value)
    raise TypeError
