"""Classes and attributes that are called as a file's sizes, or as each other."""

from __future__ import annotations

import pytest
from torch import Tensor, nn

import cnndsl


class H(nn.Module):
    """Named as a size, as its parts are."""

    def __init__(self) -> None:
        super().__init__()
        self.H, self.W = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        return self.W(self.H(x)).relu() + x


class Whole(nn.Module):
    """Holds parts that are named as it is, or as their classes."""

    def __init__(self) -> None:
        super().__init__()
        self.Stem, self.H, self.H2 = nn.Conv2d(3, 4, 1), H(), H()
        self.W, self.In = nn.Conv2d(4, 4, 1), H()

    def forward(self, H: Tensor) -> Tensor:  # noqa: N803
        return self.In(self.W(self.H2(self.H(self.Stem(H)))))


@pytest.mark.parametrize("name", ["H", "W", "L", "Stem", "In", "Whole"])
def test_an_import_says_each_name_once(name: str) -> None:
    module = type(name, (Whole,), {})()
    found = cnndsl.from_torch(module, (3, 8, 8))
    assert found.network.parameters == sum(p.numel() for p in module.parameters())
