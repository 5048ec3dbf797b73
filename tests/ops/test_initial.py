"""What weights begin with: NumPy's rule and PyTorch's are the rule that is said."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from cnndsl.analysis.weights import expected_weights, random_weights
from cnndsl.diagnostics import OpError
from cnndsl.network import Network, loads
from cnndsl.ops.initial import (
    INITS,
    Bilinear,
    Constant,
    Init,
    KaimingNormal,
    KaimingUniform,
    Normal,
    Ones,
    Orthogonal,
    TruncNormal,
    Uniform,
    XavierNormal,
    XavierUniform,
    Zeros,
)

SHAPES = [(48, 32, 3, 3), (64, 96), (96, 1, 5, 5), (33, 64, 7), (40, 16, 1, 3, 3)]
RANDOM: list[Init] = [
    Uniform(-0.5, 0.25), Normal(0.02), Normal(0.5, mean=-1.0), TruncNormal(0.02),
    TruncNormal(1.0, mean=0.5, a=-0.5, b=1.0), XavierUniform(), XavierNormal(gain=2.5),
    KaimingUniform(), KaimingUniform(a=math.sqrt(5)),
    KaimingUniform("fan_out", nonlinearity="tanh"),
    KaimingNormal(), KaimingNormal("fan_out"), KaimingNormal(a=0.1),
    KaimingNormal(nonlinearity="linear"),
    KaimingNormal("fan_out", nonlinearity="relu"), KaimingNormal(nonlinearity="selu"),
]  # fmt: skip
CERTAIN: list[Init] = [Zeros(), Ones(), Constant(-4.6)]


def by_torch(init: Init, shape: tuple[int, ...]) -> np.ndarray:
    function: Callable[..., Any]
    if init.helper:
        scope = {"torch": torch, "Tensor": torch.Tensor}
        exec(init.helper, scope)
        function = scope[init.function]  # type: ignore[assignment]
    else:
        function = getattr(nn.init, init.function.removeprefix("nn.init."))
    weight = torch.empty(shape, dtype=torch.float64)
    function(weight, **{name: getattr(init, name) for name in init.names_})
    return weight.numpy()


def test_every_initialisation_is_tested() -> None:
    tested = {init.name for init in (*RANDOM, *CERTAIN, Orthogonal(), Bilinear())}
    assert tested == set(INITS)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("init", RANDOM, ids=str)
def test_numpy_draws_from_pytorchs_distribution(init: Init, shape: tuple[int, ...]) -> None:
    """The largest distance of the two distribution functions: Kolmogorov and Smirnov's."""
    ours = np.sort(init.draw(np.random.default_rng(0), shape).ravel())
    torch.manual_seed(0)
    theirs = np.sort(by_torch(init, shape).ravel())
    both = np.concatenate([ours, theirs])
    apart = [np.searchsorted(x, both, side="right") / len(x) for x in (ours, theirs)]
    assert np.abs(apart[0] - apart[1]).max() < 2.0 * math.sqrt(2 / len(ours))
    assert ours.std() == pytest.approx(theirs.std(), rel=0.06)


@pytest.mark.parametrize("init", CERTAIN, ids=str)
def test_one_number_is_one_number(init: Init) -> None:
    for shape in (*SHAPES, (5,)):
        ours = init.draw(np.random.default_rng(0), shape)
        np.testing.assert_array_equal(ours, by_torch(init, shape))


@pytest.mark.parametrize("shape", [(4, 4, 4, 4), (6, 1, 3, 3), (2, 3, 5), (3, 2, 2, 3, 4)])
def test_bilinear_is_the_tent_of_both(shape: tuple[int, ...]) -> None:
    ours = Bilinear().draw(np.random.default_rng(0), shape)
    np.testing.assert_allclose(ours, by_torch(Bilinear(), shape), atol=1e-12)
    assert ours.max() <= 1


def test_bilinear_upsampling_keeps_a_slope() -> None:
    weight = torch.from_numpy(Bilinear().draw(np.random.default_rng(0), (1, 1, 4, 4)))
    ramp = torch.arange(8.0, dtype=torch.float64).expand(1, 1, 8, 8)
    found = nn.functional.conv_transpose2d(ramp, weight, stride=2, padding=1)
    inside = found[0, 0, 8, 2:-2].diff()
    assert torch.allclose(inside, torch.full_like(inside, 0.5))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_orthogonal_rows_or_columns_are_orthonormal(shape: tuple[int, ...]) -> None:
    for weight in (
        Orthogonal(2.0).draw(np.random.default_rng(0), shape),
        by_torch(Orthogonal(2.0), shape),
    ):
        flat = weight.reshape(len(weight), -1)
        flat = flat if flat.shape[0] <= flat.shape[1] else flat.T
        np.testing.assert_allclose(flat @ flat.T, 4 * np.eye(len(flat)), atol=1e-9)


@given(st.sampled_from([*RANDOM, *CERTAIN, Orthogonal(0.5), Bilinear()]))
def test_an_initialisation_is_read_as_it_is_written(init: Init) -> None:
    network = loads(f"model M: image[4, 6, 6] -> y {{ y: conv(4, 3x3, init={init}) }}")
    assert network.node("y.conv").op.init == init  # type: ignore[attr-defined]


def test_a_vector_has_no_fans() -> None:
    for init in (XavierUniform(), KaimingNormal(), Orthogonal(), Bilinear()):
        with pytest.raises(OpError, match="of 1 axes"):
            init.check((5,))
    with pytest.raises(OpError, match="not defined"):
        TruncNormal(0.02, mean=3.0).check((4, 4))


LAYERS = """
default conv, dwconv, deconv, linear({said})
model M: image[32, 8, 8] -> y {{
  conv(48, 3x3)
  dwconv(5x5, multiplier=4)
  deconv(64, 3x3, stride=2, groups=2)
  conv(64, 1x3, pad=[0, 2, 0, 0], groups=4)
  y: gap -> linear(300)
}}
"""


def module_of(network: Network) -> nn.Module:
    torch.manual_seed(0)
    return network.to_torch()


@pytest.mark.parametrize(
    "said",
    [
        "", "init=kaiming_normal", 'init=kaiming_normal("fan_out"), bias_init=zeros',
        "init=xavier_uniform, bias_init=normal(0.5)", "init=trunc_normal(0.02)",
        "init=normal(0.01), bias_init=-4.6", "bias_init=uniform(-0.1, 0.3)",
    ],
)  # fmt: skip
def test_numpy_and_the_generated_module_begin_alike(said: str) -> None:
    network = loads(LAYERS.format(said=said or "bias=true"))
    ours, theirs = random_weights(network, 0), module_of(network).state_dict()
    assert list(ours) == list(theirs)
    for name, (_, weight) in expected_weights(network).items():
        found, other = ours[name], theirs[name].numpy()
        if weight.init.value is not None:
            np.testing.assert_allclose(found, other)
            np.testing.assert_allclose(other, weight.init.value)
            continue
        assert found.std() == pytest.approx(other.std(), rel=6 / math.sqrt(found.size)), name
        spread = float(8 * other.std() / math.sqrt(found.size))
        assert found.mean() == pytest.approx(other.mean(), abs=spread), name
