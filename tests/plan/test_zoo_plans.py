"""Every shipped network, planned, is what the interpreter computes."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

import cnndsl
from cnndsl.backends.numpy.plan import Plan
from cnndsl.backends.numpy.weights import random_weights
from cnndsl.files import zoo
from cnndsl.ops.base import Array

NETWORKS = sorted(path.stem for path in zoo().glob("*.arch"))
LARGE = 30e9
"""Multiply-adds from which on the interpreter takes many seconds."""


def named(result: Array | dict[str, Array]) -> dict[str, Array]:
    return result if isinstance(result, dict) else {"y": result}


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_a_shipped_network_is_the_same_planned(name: str) -> None:
    network = cnndsl.load(Path(zoo() / f"{name}.arch"))
    if network.macs > LARGE:
        pytest.skip("it takes the interpreter many seconds; its layers are those of others")
    weights = random_weights(network, 0)
    rng = np.random.default_rng(0)
    for key, value in weights.items():
        if key.endswith(("running_mean", "bias")):
            weights[key] = rng.normal(0, 0.1, value.shape).astype(np.float32)
    arrays = {
        key: rng.normal(size=(1, *tensor.shape)).astype(np.float32)
        for key, tensor in network.inputs.items()
    }
    plain = network.to_numpy(weights)
    exact = named(plain(**{key: x.astype(np.float64) for key, x in arrays.items()}))
    single = named(plain(**arrays))
    for winograd, bound in ((True, 1e-4), (False, 1e-5)):
        found = named(Plan(network, weights, winograd=winograd)(**arrays))
        for key, truth in exact.items():
            if not np.isfinite(single[key]).all():
                continue  # random weights that overflow say nothing
            # Reading between pixels magnifies any rounding: the interpreter's own too.
            own = float(np.abs(single[key] - truth).max(initial=0))
            largest = float(np.abs(truth).max(initial=0)) or math.inf
            assert found[key].shape == truth.shape
            error = float(np.abs(found[key] - truth).max(initial=0))
            assert error <= max(bound * largest, 10 * own)
