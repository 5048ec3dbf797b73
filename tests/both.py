"""Both backends on the same weights and inputs."""

from __future__ import annotations

import numpy as np
import torch

from cnndsl.analysis.weights import random_weights
from cnndsl.graph import Network
from cnndsl.ops.facts import Array


def weights_of(network: Network, seed: int = 0) -> dict[str, Array]:
    """Random weights, and statistics that normalisation must not ignore."""
    weights = random_weights(network, seed)
    rng = np.random.default_rng(seed)
    for name, array in weights.items():
        if name.endswith("running_mean"):
            weights[name] = rng.normal(0, 0.1, array.shape).astype(np.float32)
        if name.endswith("running_var"):
            weights[name] = rng.uniform(0.5, 1.5, array.shape).astype(np.float32)
    return weights


def inputs_of(network: Network, dtype: str = "float32", batch: int = 2) -> list[Array]:
    rng = np.random.default_rng(1)
    shapes = [tuple(map(int, tensor.shape)) for tensor in network.inputs.values()]
    return [rng.normal(size=(batch, *shape)).astype(dtype) for shape in shapes]


def outputs(found: object) -> list[Array]:
    """The outputs as arrays: of one tensor, of several, or of a dictionary by name."""
    if isinstance(found, dict):
        return list(found.values())
    several = found if isinstance(found, tuple) else (found,)
    # An output that a flag of the model turns off is None.
    return [
        t.detach().numpy() if isinstance(t, torch.Tensor) else t
        for t in several
        if t is not None
    ]


def difference(first: list[Array], second: list[Array]) -> float:
    """max |a − b| / max |b| over the outputs."""
    pairs = zip(first, second, strict=True)
    # An output of absent boxes is all zero: then both must be.
    return max(float(np.abs(a - b).max() / (np.abs(b).max() or 1)) for a, b in pairs)


def assert_equal(
    network: Network, weights: dict[str, Array], arrays: list[Array], *, single: bool = True
) -> None:
    """NumPy and PyTorch: float64 to 1e-9, and float32 to 1e-4.

    A selection of boxes jumps where scores nearly tie, so that `single` may be left out.
    """
    made = network.to_torch(weights).eval()
    if single:
        with torch.inference_mode():
            found = outputs(made(*map(torch.from_numpy, arrays)))
        assert difference(outputs(network.to_numpy(weights)(*arrays)), found) <= 1e-4
    double = {
        n: w.astype(np.float64) if w.dtype == np.float32 else w for n, w in weights.items()
    }
    arrays = [array.astype(np.float64) for array in arrays]
    with torch.inference_mode():
        found = outputs(made.double()(*map(torch.from_numpy, arrays)))
    assert difference(outputs(network.to_numpy(double)(*arrays)), found) <= 1e-9
