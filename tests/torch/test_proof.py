"""The proof accepts what is the network, and refuses everything else."""

from __future__ import annotations

import ast

import pytest

from cnndsl import zoo
from cnndsl.backends.torch import source
from cnndsl.backends.torch.proof import ProofError, prove, reparse
from cnndsl.graph import Network
from cnndsl.network import load, loads


@pytest.mark.parametrize("name", sorted(zoo()))
def test_shipped_networks_are_proved_as_written(name: str) -> None:
    network = load(name)
    text = source(network)
    tree = ast.parse(text)
    prove(tree, network)
    reparse(text, tree)


def network_of(body: str) -> Network:
    return loads(f"model M: image[4, 8, 8] -> y {{ {body} }}")


def file_of(init: str, forward: str, before: str = "") -> ast.Module:
    lines = [
        "import torch",
        "from torch import Tensor, nn",
        "from torch.nn import functional as F",
        before,
        "class M(nn.Module):",
        "    def __init__(self) -> None:",
        "        super().__init__()",
        *(f"        {line}" for line in init.strip().split("\n")),
        "    def forward(self, image: Tensor) -> Tensor:",
        *(f"        {line}" for line in forward.strip().split("\n")),
    ]
    return ast.parse("\n".join(lines))


def refused(tree: ast.Module, network: Network) -> str:
    with pytest.raises(ProofError) as found:
        prove(tree, network)
    return str(found.value)


def test_a_wrong_layer_is_named_with_what_the_network_has() -> None:
    network = network_of("y: conv(8, 3x3)")
    message = refused(file_of("self.y = nn.Sequential()", "return self.y(image)"), network)
    assert "nothing computes y.conv" in message
