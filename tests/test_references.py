"""Networks that nobody ships: equal to what one writes in PyTorch, in both backends."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import cnndsl
from cnndsl.analysis.weights import expected_weights
from cnndsl.files import zoo
from tests.both import difference, outputs
from tests.foreign import filled
from tests.references import REFERENCES


@pytest.mark.parametrize("name", REFERENCES)
def test_it_is_what_one_writes_in_pytorch(name: str) -> None:
    build, sizes = REFERENCES[name]
    file, _, model = name.partition(" ")
    ports = cnndsl.load(zoo() / f"{file}.arch", model or None).inputs
    inputs = dict(zip(ports, sizes, strict=True))
    network = cnndsl.load(zoo() / f"{file}.arch", model or None, inputs=inputs)
    made = filled(build()).double()
    assert sum(p.numel() for p in made.parameters()) == network.parameters
    state, keys = list(made.state_dict().values()), list(expected_weights(network))
    weights = {key: value.numpy() for key, value in zip(keys, state, strict=True)}
    arrays = [np.random.default_rng(0).normal(size=(2, *size)) for size in sizes]
    with torch.inference_mode():
        tensors = list(map(torch.from_numpy, arrays))
        with FlopCounterMode(display=False) as counter:
            expected = outputs(made(*tensors))
        assert counter.get_total_flops() == 2 * len(tensors[0]) * network.macs
        ours = network.to_torch(weights).double().eval()
        assert difference(outputs(ours(*tensors)), expected) <= 1e-9
    assert difference(outputs(network.to_numpy(weights)(*arrays)), expected) <= 1e-9
