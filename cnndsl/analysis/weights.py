"""The weights of a network by their names in a `state_dict`: expected, drawn, checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from cnndsl.diagnostics import ArchError, Diagnostic, did_you_mean
from cnndsl.graph import Network, Node, key_of
from cnndsl.ops.facts import Weight, spell_shape

Array = npt.NDArray[Any]


def weight_name(node: Node, name: str) -> str:
    """The key in a `state_dict`: `stem.conv.weight`."""
    return f"{key_of(node.path)}.{name}"


def expected_weights(network: Network) -> dict[str, tuple[Node, Weight]]:
    """Every weight with the node that owns it, in the order of the network."""
    expected: dict[str, tuple[Node, Weight]] = {}
    for node in network:
        for name, weight in node.op.weights(*network.input_shapes(node.name)).items():
            # The first of the nodes that share a weight owns it.
            expected.setdefault(weight_name(node, name), (node, weight))
    return expected


def random_weights(network: Network, seed: int) -> dict[str, Array]:
    """Values drawn as each layer says, and where it does not as PyTorch does, in float32."""
    rng = np.random.default_rng(seed)
    expected = expected_weights(network)
    return {name: draw(weight, rng) for name, (_, weight) in expected.items()}


def draw(weight: Weight, rng: np.random.Generator) -> Array:
    """One weight's first value, in float32 or int64."""
    shape = tuple(map(int, weight.shape))
    if weight.integer:
        return np.zeros(shape, np.int64)
    return weight.init.draw(rng, shape).astype(np.float32)


def checked_weights(network: Network, weights: Mapping[str, Array]) -> dict[str, Array]:
    """The weights that evaluation needs: all but counters, and those of the whole network.

    Raises ArchError (E603): one is missing, unknown, of the wrong shape or no float array;
    a variance is negative.
    """
    expected = expected_weights(network)
    unknown = [name for name in weights if name not in expected]
    if unknown and network.whole is not None:
        whole = expected_weights(network.whole)
        unknown = [name for name in unknown if name not in whole]
    faults = [
        Diagnostic(
            "E603", f"no layer owns the weight `{name}`", help=did_you_mean(name, expected)
        )
        for name in unknown
    ]
    checked: dict[str, Array] = {}
    for name, (node, weight) in expected.items():
        if weight.integer:
            continue
        if name not in weights:
            faults.append(Diagnostic("E603", f"the weight `{name}` is missing", node.span))
            continue
        checked[name] = value = np.asarray(weights[name])
        if value.shape != weight.shape:
            shapes = f"{spell_shape(value.shape)}, but must be {spell_shape(weight.shape)}"
            faults.append(Diagnostic("E603", f"the weight `{name}` is {shapes}", node.span))
        elif value.dtype not in (np.float32, np.float64):
            kind = f"{value.dtype}, but must be float32 or float64"
            faults.append(Diagnostic("E603", f"the weight `{name}` is {kind}", node.span))
        elif name.endswith(".running_var") and (value < 0).any():
            below = f"is {value.min():.3g} somewhere, and a variance is never negative"
            faults.append(Diagnostic("E603", f"the weight `{name}` {below}", node.span))
    if faults:
        raise ArchError(faults)
    return checked
