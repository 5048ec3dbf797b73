"""What the field's counters would say of a network, and which buckets explain a figure.

Each preset is a table of rules: what a tool adds per layer, by bucket. A tool goes by the
names that PyTorch gives modules and functions, so its rules do: an operation says what it is
`known` as. Tools that hook modules do not see what a network calls as a function; which
calls these are is a fact of somebody's code, not of the network, and is told by
`functional`: names of operations or of nodes.
Source: the tools' code (thop 0.1.1, fvcore 0.1.5, ptflops 0.7.5, torchinfo 1.8.0,
torchprofile 0.1.0), measured on torchvision's networks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import combinations, product

from cnndsl.analysis.work import Layer, bucket, layers
from cnndsl.graph import Network
from cnndsl.ops.facts import Family

Rule = Callable[[Layer, bool], dict[str, int]]
"""What a tool counts of a layer, which is called as a module or is not."""

CONVOLUTIONS = {"nn.Conv", "nn.ConvTranspose"}
BATCH_NORM = {"nn.BatchNorm"}
MEANS = {"nn.AvgPool", "nn.AdaptiveAvgPool"}
POOLS = {*MEANS, "nn.MaxPool"}


def _is(layer: Layer, names: Collection[str]) -> bool:
    """Whether PyTorch knows the layer by one of the names."""
    return any(name in names for name in layer.node.op.known)


def exact(layer: Layer, module: bool) -> dict[str, int]:
    """PyTorch's FlopCounterMode, halved, and torchvision's published table."""
    return {"macs": layer.macs}


def ptflops_aten(layer: Layer, module: bool) -> dict[str, int]:
    """Dispatched multiplications, with their biases."""
    return {"macs": layer.macs, "bias": layer.bias}


def torchinfo(layer: Layer, module: bool) -> dict[str, int]:
    """Parameters: of a convolution at each output position, of anything else once."""
    if not module:
        return {}
    positions = math.prod(layer.outputs[0][1:]) if _is(layer, CONVOLUTIONS) else 1
    found: dict[str, int] = {}
    for name in layer.trained:
        bucket = "bias" if name == "bias" else "macs"
        bucket = bucket if layer.macs else "norm"
        count = layer.rows * positions * math.prod(layer.weights[name])
        found[bucket] = found.get(bucket, 0) + count
    return found


def torchprofile(layer: Layer, module: bool) -> dict[str, int]:
    """A trace: affine norms once per element, means once per result, products once."""
    found = {"macs": _over_outputs(layer)}
    if bucket(layer) == "norm" and (affine(layer) or not _is(layer, BATCH_NORM)):
        found["norm"] = layer.written
    if _is(layer, MEANS):
        found["pool"] = layer.written
    if _is(layer, {"torch.mul"}):
        found["elementwise"] = layer.written
    if _is(layer, {"nn.LeakyReLU"}):
        found["activation"] = layer.written
    if _bilinear(layer):
        found["resize"] = 4 * layer.written
    return found


def fvcore(layer: Layer, module: bool) -> dict[str, int]:
    """A trace: batch normalisation twice per element, a global pool once per element read.

    Without an affine map batch normalisation is once per element.
    """
    found = {"macs": layer.macs}
    if _is(layer, BATCH_NORM):
        found["norm"] = (1 + affine(layer)) * layer.written
    if _is(layer, {"nn.LayerNorm", "nn.GroupNorm"}):
        found["norm"] = 5 * layer.written
    if _is(layer, {"nn.AdaptiveAvgPool"}):
        found["pool"] = layer.read
    if _is(layer, {"F.interpolate"}):
        found["resize"] = layer.written * (4 if _bilinear(layer) else 1)
    return found


HOOKED = {"nn.ReLU", "nn.ReLU6", "nn.ELU", "nn.LeakyReLU", "nn.GELU"}
PATCHED = {"F.relu", "F.relu6", "F.elu", "F.gelu", "F.silu", "F.softmax"}


def ptflops(layer: Layer, module: bool) -> dict[str, int]:
    """Hooks on modules and patched functions: a module that calls one counts twice."""
    contracted = _is(layer, {"torch.einsum"})
    found = {"macs": 0 if contracted else layer.macs, "bias": layer.bias}
    if _is(layer, {*BATCH_NORM, "nn.LayerNorm", "nn.GroupNorm"}):
        found["norm"] = (1 + affine(layer)) * layer.written if module else 0
    if layer.family is Family.ACTIVATION:
        # `nn.ReLU6` calls `hardtanh`, not the patched function.
        called = _is(layer, PATCHED) and not (_is(layer, {"nn.ReLU6"}) and module)
        times = (_is(layer, HOOKED) and module) + called
        found["activation"] = times * layer.written
    if _is(layer, POOLS):
        found["pool"] = (1 + module) * layer.read
    if _is(layer, {"F.interpolate"}):
        found["resize"] = layer.written * (1 + (_is(layer, {"nn.Upsample"}) and module))
    return found


def thop(layer: Layer, module: bool) -> dict[str, int]:
    """Hooks on modules: affine normalisation four times per element, else twice; no bias."""
    if not module or _is(layer, {"torch.einsum"}):
        return {}
    found = {"macs": _over_outputs(layer)}
    if _is(layer, {*BATCH_NORM, "nn.LayerNorm"}):
        found["norm"] = 2 * (1 + affine(layer)) * layer.written
    if _is(layer, {"nn.AvgPool"}):
        found["pool"] = layer.written
    if _is(layer, {"nn.AdaptiveAvgPool"}):
        found["pool"] = layer.read + layer.written
    if _is(layer, {"nn.Upsample"}):
        found["resize"] = layer.written * (11 if _bilinear(layer) else 1)
    return found


def darknet(layer: Layer, module: bool) -> dict[str, int]:
    """BFLOPs: two per multiply-add of a convolution."""
    return {"macs": 2 * layer.macs if _is(layer, CONVOLUTIONS) else 0}


def ultralytics(layer: Layer, module: bool) -> dict[str, int]:
    """Twice what thop says."""
    return {name: 2 * count for name, count in thop(layer, module).items()}


def _over_outputs(layer: Layer) -> int:
    """Multiply-adds where a transposed convolution is taken for a plain one."""
    if not _is(layer, {"nn.ConvTranspose"}):
        return layer.macs
    outside, inside = math.prod(layer.outputs[0][1:]), math.prod(layer.inputs[0][1:])
    return layer.macs // inside * outside


def affine(layer: Layer) -> bool:
    """Whether a norm has a learned factor."""
    return "weight" in layer.weights


def _bilinear(layer: Layer) -> bool:
    return getattr(layer.node.op, "mode", "") == "bilinear"


TOOLS: dict[str, Rule] = {
    "exact": exact,
    "torchvision": exact,
    "ptflops-aten": ptflops_aten,
    "torchinfo": torchinfo,
    "torchprofile": torchprofile,
    "fvcore": fvcore,
    "ptflops": ptflops,
    "thop": thop,
    "darknet": darknet,
    "ultralytics": ultralytics,
}
"""The presets of `counts --as`."""
CALLED = {
    "exact": "MACs", "torchvision": "FLOPS", "ptflops-aten": "MACs", "torchinfo": "mult-adds",
    "torchprofile": "MACs", "fvcore": "FLOPs", "ptflops": "MACs", "thop": "MACs",
    "darknet": "FLOPs", "ultralytics": "FLOPs",
}  # fmt: skip
"""What each prints beside its figure; of these FLOPs only the last two are twice the MACs."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What a tool says of a network; `gap` holds the buckets that part it from the truth."""

    tool: str
    total: int
    exact: int
    buckets: dict[str, int]
    nodes: dict[str, dict[str, int]] = field(repr=False)

    @property
    def gap(self) -> dict[str, int]:
        """The differences from the exact multiply-adds, by bucket."""
        found = {**self.buckets, "macs": self.buckets.get("macs", 0) - self.exact}
        return {name: count for name, count in found.items() if count}

    def rows(self) -> list[dict[str, object]]:
        """One row a node, for a data frame."""
        return [
            {"node": name, **{bucket: found.get(bucket, 0) for bucket in self.buckets}}
            for name, found in self.nodes.items()
        ]

    def line(self) -> str:
        """The figure in millions, under the name that the tool gives it."""
        called = CALLED[self.tool]
        return f"{self.tool:14}{self.total / 1e6:>14,.3f} M  {called:9}".rstrip()

    def __str__(self) -> str:
        """The figure, and the sum that leads to it from the exact one."""
        lines = [self.line(), ""]
        lines.append(f"{'exact':14}{self.exact:>20,}")
        lines += [f"{'+ ' + name:14}{count:>+20,}" for name, count in self.gap.items()]
        lines.append(f"{'=':14}{self.total:>20,}")
        return "\n".join(lines)


def counts(network: Network, tool: str = "exact", functional: Collection[str] = ()) -> Counts:
    """What a tool would say of a network.  Raises KeyError: there is no such preset."""
    return _counted(list(layers(network)), tool, functional)


def _counted(found: list[Layer], tool: str, functional: Collection[str]) -> Counts:
    rule = TOOLS[tool]
    nodes = {}
    for layer in found:
        called = layer.op in functional or layer.node.name in functional
        parts = rule(layer, not called)
        nodes[layer.node.name] = {name: count for name, count in parts.items() if count}
    total: dict[str, int] = {}
    for parts in nodes.values():
        for name, count in parts.items():
            total[name] = total.get(name, 0) + count
    macs = sum(layer.macs for layer in found)
    return Counts(tool, sum(total.values()), macs, total, nodes)


@dataclass(frozen=True, slots=True)
class Reconciled:
    """Why a figure differs from the exact one: buckets whose sum is the gap."""

    figure: Fraction
    exact: int
    parts: dict[str, int]
    """The buckets with what they add; empty where the figure is the exact one."""
    functional: tuple[str, ...]
    """What must have been called as a function, unseen by the tool."""
    found: bool

    def rows(self) -> list[dict[str, object]]:
        """The exact count, and one row a bucket, for a data frame."""
        return [
            {"bucket": name, "count": count}
            for name, count in {"exact": self.exact, **self.parts}.items()
        ]

    def __str__(self) -> str:
        """The sum, or that none was found."""
        gap = self.figure - self.exact
        lines = [
            f"figure        {float(self.figure):>20,.0f}",
            f"exact         {self.exact:>20,}",
        ]
        if not self.found:
            return "\n".join([*lines, f"no sum of buckets is the gap of {float(gap):+,.0f}"])
        lines += [f"{'+ ' + name:14}{count:>+20,}" for name, count in self.parts.items()]
        lines.append(f"{'=':14}{self.exact + sum(self.parts.values()):>20,}")
        if self.functional:
            lines.append(f"with {', '.join(self.functional)} called as functions, unseen by it")
        return "\n".join(lines)


def reconcile(network: Network, tool: str, figure: str) -> Reconciled:
    """The buckets whose sum is the gap between a printed figure and the exact one.

    `figure` is read with the digits that it has: `4133.743M` is met by any count that
    prints so.  Raises ValueError: it is no figure.
    """
    value, half = read_figure(figure)
    found = list(layers(network))
    exact_macs = sum(layer.macs for layer in found)
    for functional in _unseen(found):
        if tool in TOOLS:
            told = _counted(found, tool, functional)
            if abs(told.total - value) <= half:
                return Reconciled(value, exact_macs, told.gap, functional, True)
    parts = _combined(found, value - exact_macs, half)
    return Reconciled(value, exact_macs, parts or {}, (), parts is not None)


def _unseen(found: list[Layer]) -> list[tuple[str, ...]]:
    """What might be called as a function: nothing, then kinds, then the last activation."""
    often = ({"nn.AdaptiveAvgPool"}, {"nn.ReLU"}, {"nn.AvgPool"})
    kinds = dict.fromkeys(x.op for names in often for x in found if _is(x, names))
    last = [x.node.name for x in found if x.family is Family.ACTIVATION][-1:]
    names = [*kinds, *last]
    return [c for size in range(len(names) + 1) for c in combinations(names, size)]


TIMES = {
    "bias": (0, 1), "norm": (0, 1, 2, 4), "activation": (0, 1, 2),
    "pool of all": (0, 1, 2), "global pool": (0, 1), "means": (0, 1),
    "sums": (0, 1), "products": (0, 1), "resize": (0, 1),
}  # fmt: skip


def _combined(found: list[Layer], gap: Fraction, half: Fraction) -> dict[str, int] | None:
    """A sum of simple buckets that is the gap, of the fewest."""
    sizes = dict.fromkeys(TIMES, 0)
    for layer in found:
        sizes["bias"] += layer.bias
        sizes["norm"] += layer.written if _is(layer, BATCH_NORM) else 0
        sizes["activation"] += layer.written if layer.family is Family.ACTIVATION else 0
        sizes["pool of all"] += layer.read if layer.family is Family.POOL else 0
        sizes["global pool"] += layer.read if _is(layer, {"nn.AdaptiveAvgPool"}) else 0
        sizes["means"] += layer.written if _is(layer, MEANS) else 0
        sizes["sums"] += layer.written if _is(layer, {"torch.add"}) else 0
        sizes["products"] += layer.written if _is(layer, {"torch.mul"}) else 0
        sizes["resize"] += layer.written if _is(layer, {"F.interpolate"}) else 0
    names = [name for name, size in sizes.items() if size]
    choices = sorted(
        product(*(TIMES[name] for name in names)), key=lambda c: (sum(map(bool, c)), c)
    )
    for times in choices:
        total = sum(n * sizes[name] for n, name in zip(times, names, strict=True))
        if abs(total - gap) <= half:
            pairs = zip(times, names, strict=True)
            return {f"{n} × {name}": n * sizes[name] for n, name in pairs if n}
    return None


def read_figure(text: str) -> tuple[Fraction, Fraction]:
    """A printed figure, and half a unit of its last digit.  Raises ValueError."""
    scales = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
    digits = text.replace("_", "").replace(",", "")
    suffix = digits[-1:] if digits[-1:] in scales else ""
    mantissa = digits.removesuffix(suffix)
    try:
        value = Fraction(mantissa)
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"cannot read the figure `{text}`: write 4133.743M") from None
    decimals = len(mantissa.partition(".")[2])
    unit = Fraction(scales[suffix], 10**decimals)
    return value * scales[suffix], unit / 2 if unit > 1 else Fraction(0)
