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

NETWORKS = sorted(path.stem for path in zoo().glob("*.arch"))
LARGE = 30e9
"""Multiply-adds from which on the interpreter takes many seconds."""


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
    exact = network.to_numpy(weights)(**{k: x.astype(np.float64) for k, x in arrays.items()})
    for winograd, bound in ((True, 1e-4), (False, 1e-5)):
        found = Plan(network, weights, winograd=winograd)(**arrays)
        pairs = (
            [(found[key], exact[key]) for key in exact]
            if isinstance(exact, dict)
            else [(found, exact)]
        )
        for a, b in pairs:
            assert isinstance(a, np.ndarray)
            assert a.shape == b.shape
            largest = float(np.abs(b).max(initial=0)) or math.inf
            assert float(np.abs(a - b).max(initial=0)) <= bound * largest
