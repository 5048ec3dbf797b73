"""Source for inference: batch norm in the convolutions' weights, channels last."""

from __future__ import annotations

import ast
import textwrap

from cnndsl.backends.torch import python
from cnndsl.backends.torch.folding import folded
from cnndsl.backends.torch.names import identifier
from cnndsl.backends.torch.writing import Written, check, flat_text
from cnndsl.graph import Network, key_of

FOLD = '''def folded(
    folds: tuple[tuple[str, str, float], ...], weights: dict[str, Tensor]
) -> dict[str, Tensor]:
    """The weights of the network with batch norm, as a module without it holds them.

    A norm is y = x * scale + shift, so that the convolution before it computes
    (weight * scale) . x + (bias * scale + shift).
    """
    weights = dict(weights)
    for name, norm, eps in folds:
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
        self.load_state_dict(folded(self.folds, weights))

    def train(self, mode: bool = True) -> "{name}":
        if mode:
            raise RuntimeError("batch norm is folded: train the network that has it")
        return super().train(mode)
'''

LAYOUTS = {3: "torch.channels_last", 4: "torch.channels_last_3d"}
"""By the axes of a sample."""
LAID = "nn.utils.convert_conv{}d_weight_memory_format"
"""By the axes of a picture."""


def optimized(network: Network) -> Written:
    """The file for inference, layer by layer, proved but for what it does at first.

    `fold` of the model's class takes an ordinary `state_dict`; its own, folded one is
    loaded as usual.  Raises ArchError (E601): it could not be proved.
    """
    plain, folds = folded(network)
    check(flat_text(plain), plain)
    ranks = {len(tensor.shape) for tensor in network.inputs.values()}
    # A module has one layout for all its weights.
    layouts = [
        LAYOUTS[rank] for rank in sorted(ranks) if rank in LAYOUTS and _only(plain, rank)
    ]
    after = [
        ast.Expr(python.call(LAID.format(rank - 1), python.name("self"), python.dotted(layout)))
        for rank, layout in LAYOUTS.items()
        if layout in layouts
    ]
    after.append(ast.Expr(python.call("self.eval")))
    before: list[ast.stmt] = []
    for name, tensor in network.inputs.items():
        layout = LAYOUTS.get(len(tensor.shape))
        if layout in layouts:
            port = identifier(name)
            laid = python.call(f"{port}.contiguous", memory_format=python.dotted(layout))
            before.append(python.assign(port, laid))
    rows = dict.fromkeys(
        (key_of(fold.layer.path), key_of(fold.norm.path), float(fold.eps))
        for fold in folds.values()
    )
    name = identifier(network.name)
    methods = ast.parse(textwrap.dedent(METHODS.format(name=name))).body if rows else []
    text = flat_text(
        plain,
        attributes=[python.assign("folds", python.constant(tuple(rows)))] if rows else [],
        after=after,
        before=before,
        methods=methods,
        helpers=[FOLD] if rows else [],
        notes=["For inference: `fold` takes the weights of the network with batch norm."]
        if rows
        else [],
    )
    return Written(text, name, folds=bool(rows))


def _only(network: Network, rank: int) -> bool:
    """Whether all weights of windows are of one rank, which the layout is for."""
    ranks = {
        len(weight.shape)
        for node in network
        for weight in node.op.weights(*network.input_shapes(node.name)).values()
    }
    return not {3, 4, 5} & ranks - {rank + 1}
