"""Source for inference: batch norm in the convolutions' weights, channels last."""

from __future__ import annotations

from collections.abc import Iterator

from cnndsl.backends.torch.classes import Class
from cnndsl.backends.torch.folding import folded
from cnndsl.backends.torch.layout import Brackets, flat, lines
from cnndsl.backends.torch.source import Source
from cnndsl.backends.torch.values import identifier, literal
from cnndsl.graph import (
    Block,
    Call,
    Each,
    Group,
    Line,
    Loop,
    Network,
    Repeat,
    Step,
    Term,
    key_of,
)

FOLD = '''
def folded(module: nn.Module, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights of the network with batch norm, as `module` holds them.

    A norm is y = x * scale + shift, so that the convolution before it computes
    (weight * scale) . x + (bias * scale + shift).
    """
    weights = dict(weights)
    for path, part in module.named_modules():
        for name, norm, eps in getattr(part, "folds", ()):
            name, norm = (f"{path}.{key}" if path else key for key in (name, norm))
            if f"{norm}.running_var" not in weights:
                continue
            variance = weights.pop(f"{norm}.running_var")
            scale = weights.pop(f"{norm}.weight") / torch.sqrt(variance + eps)
            mean = weights.pop(f"{norm}.running_mean")
            shift = weights.pop(f"{norm}.bias") - mean * scale
            weights.pop(f"{norm}.num_batches_tracked", None)
            weight = weights[f"{name}.weight"]
            shape = (-1, *(1,) * (weight.dim() - 1))
            weights[f"{name}.weight"] = weight * scale.reshape(shape)
            bias = weights.get(f"{name}.bias", torch.zeros_like(scale))
            weights[f"{name}.bias"] = bias * scale + shift
    return weights
'''

METHODS = '''
    def fold(self, weights: dict[str, Tensor]) -> None:
        """Load the weights of the network with batch norm."""
        self.load_state_dict(folded(self, weights))

    def train(self, mode: bool = True) -> "{name}":
        if mode:
            raise RuntimeError("batch norm is folded: train the network that has it")
        return super().train(mode)
'''

LAYOUTS = {3: "torch.channels_last", 4: "torch.channels_last_3d"}
"""By the axes of a sample."""


class Optimized(Source):
    """The classes of a file for inference.

    `fold` of the model's class takes an ordinary `state_dict`; its own, folded one is
    loaded as usual.
    """

    def __init__(self, network: Network) -> None:
        """Fold, and write the classes of what is left."""
        network, self.folds = folded(network)
        ranks = {len(tensor.shape) for tensor in network.inputs.values()}
        self.layouts = [LAYOUTS[rank] for rank in sorted(ranks) if rank in LAYOUTS]
        super().__init__(network)
        if self.folds:
            self.help(FOLD)

    def _settings(self) -> list[str]:
        folded = ["For inference: `fold` takes the weights of the network with batch norm."]
        return [*super()._settings(), *(folded if self.folds else [])]

    def attributes(self, cls: Class) -> list[str]:
        """Which norm of the ordinary network each layer of a class holds."""
        tables = sorted(map(self._rows, cls.instances), key=len, reverse=True)
        rows = dict.fromkeys(row for table in tables for row in table)
        if not rows:
            return []
        items = tuple(Brackets("", tuple(map(literal, row))) for row in rows)
        if len(items) == 1:
            return [f"    folds = ({flat(items[0])},)", ""]
        return [*lines(Brackets("", items), 4, "folds = "), ""]

    def _rows(self, block: Block) -> list[tuple[str, str, float]]:
        """Of one instance: the layer's key within it, the norm's, and its eps."""
        rows = []
        for name in (name for line in block.body for name in _own(line)):
            if name in self.folds:
                fold = self.folds[name]
                nodes, depth = (fold.layer, fold.norm), len(block.path)
                layer, norm = (key_of(node.path[depth:]) for node in nodes)
                rows.append((layer, norm, fold.eps))
        return rows

    def initialisation(self, cls: Class) -> list[str]:
        """The layout; no first values, because nothing is trained."""
        if cls.instances[0] is not self.structure:
            return []
        found = [f"        self.to(memory_format={layout})" for layout in self.layouts]
        return [*found, "        self.eval()"]

    def methods(self, cls: Class) -> list[str]:
        """Loading, and the refusal to train."""
        if cls.instances[0] is not self.structure or not self.folds:
            return []
        return METHODS.format(name=cls.name).rstrip("\n").split("\n")

    def entering(self, cls: Class) -> list[str]:
        """The inputs, channels last."""
        if cls.instances[0] is not self.structure:
            return []
        found = []
        for name, tensor in self.network.inputs.items():
            layout = LAYOUTS.get(len(tensor.shape))
            if layout is not None:
                port = identifier(name)
                doc = Brackets(f"{port}.contiguous", (f"memory_format={layout}",))
                found += lines(doc, 8, f"{port} = ")
        return found


def _own(item: Line | Term) -> Iterator[str]:
    """The nodes below a line or term, in order, but for those of the blocks that it calls."""
    below: list[Line | Term] = []
    match item:
        case Line(terms=terms):
            below += terms
        case Step(nodes=nodes, lines=lines):
            below += lines or []
            yield from nodes
        case Call(lines=lines):
            below += lines or []
        case Group(body=body):
            below += body
        case Repeat(items=items):
            below += items
        case Loop(bodies=bodies):
            below += [line for body in bodies for line in body]
        case Each(calls=calls, lines=lines):
            below += [*calls, *(lines or [])]
    for inner in below:
        yield from _own(inner)
