"""A model's port may name a parameter as a size."""

import pytest

from cnndsl.diagnostics import ArchError
from cnndsl.network import loads

TEXT = """
model M(c: int = 3): x[c, H=8, W=8] -> out[c, H, W] { out: conv(c, 3x3) }
"""


def test_the_parameter_gives_the_size() -> None:
    assert loads(TEXT, parameters={"c": 5}).inputs["x"].shape == (5, 8, 8)


def test_a_given_shape_agrees_with_the_parameter() -> None:
    assert loads(TEXT, inputs={"x": (3, 16, 16)}).outputs["out"].shape == (3, 16, 16)


def test_a_given_shape_that_disagrees_is_told() -> None:
    with pytest.raises(ArchError, match="`c = 3` is declared, and this size is 1"):
        loads(TEXT, inputs={"x": (1, 16, 16)})
