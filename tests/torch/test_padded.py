"""Padding that differs from side to side: PyTorch, the interpreter and the plan agree."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cnndsl.network import loads
from tests.both import difference, inputs_of, outputs, weights_of

STEPS = (
    "conv(4, 3x3, pad=[0, 1, 2, 0])",
    "dwconv(3x3, stride=2, pad=[1, 0, 0, 1])",
    "deconv(4, 3, pad=[0, 1, 0, 1])",
    "deconv(4, 3, stride=2, pad=[1, 0, 0, 1], output_pad=1)",
    "maxpool(2, stride=2, pad=[0, 1, 0, 0], ceil=true)",
    "maxpool(3, stride=2, pad=[0, 1, 1, 0], dilation=1)",
    "maxpool(3, stride=3, pad=[0, 1, 1, 0], ceil=true)",
    "avgpool(2, pad=[0, 1, 0, 1], count_include_pad=false)",
    "avgpool(3, stride=2, pad=[1, 0, 0, 1], ceil=true)",
    "avgpool(3, stride=2, pad=[1, 0, 0, 1], ceil=true, count_include_pad=false)",
    "avgpool(2, stride=1, pad=[0, 1, 0, 1])",
)
CUBES = ("avgpool(3, ceil=true)", "maxpool(2, stride=2, pad=[0, 1, 0, 0, 1, 0], ceil=true)")


@pytest.mark.parametrize(
    ("step", "shape"),
    [*((step, "H=7, W=6") for step in STEPS), *((step, "2, 5, 4") for step in CUBES)],
)
@pytest.mark.parametrize("body", ["y: {}", "y: conv(3, 1) -> {} -> conv(2, 1)"])
def test_uneven_padding_is_one_thing_everywhere(step: str, shape: str, body: str) -> None:
    network = loads(f"model M: image[3, {shape}] -> y {{ {body.format(step)} }}")
    weights, arrays = weights_of(network), inputs_of(network)
    wanted = outputs(network.to_numpy(weights, optimize=False)(*arrays))
    with torch.inference_mode():
        found = outputs(network.to_torch(weights).eval()(*map(torch.from_numpy, arrays)))
    assert difference(wanted, found) <= 1e-5
    assert difference(wanted, outputs(network.to_numpy(weights)(*arrays))) <= 1e-5
    assert all(np.isfinite(array).all() for array in wanted)
