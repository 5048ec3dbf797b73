"""What `compile` writes, imported again: the same network, in about as many lines."""

from __future__ import annotations

import pytest

from tests.importing.roundtrip import ZOO, back

SOME = ["lenet5", "resnet18", "mobilenetv2", "unet", "densenet121"]


@pytest.mark.parametrize("name", SOME)
def test_what_we_write_is_read_back_as_the_same_network(name: str) -> None:
    found = back(ZOO / f"{name}.arch")
    assert found.said == "the same"
    assert found.theirs <= 1.5 * found.ours
