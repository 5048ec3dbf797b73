"""`compile --optimize`: batch norm folded, channels last, and the same values."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from cnndsl.analysis.weights import random_weights
from cnndsl.graph import Network
from cnndsl.network import loads
from cnndsl.ops.facts import Array
from cnndsl.ops.norm import BatchNorm, FrozenBatchNorm
from tests.small_zoo import NETWORKS, arrays_of, full, small, weights_of

FIRST = ["mobilenetv2", "resnet18", "densenet121", "shufflenetv2"]
REST = [name for name in NETWORKS if name not in FIRST]


def has_norms(network: Network) -> bool:
    return any(isinstance(node.op, BatchNorm | FrozenBatchNorm) for node in network)


def norms(module: nn.Module) -> list[str]:
    return [name for name, part in module.named_modules() if "BatchNorm" in type(part).__name__]


def tensors(found: object) -> list[torch.Tensor]:
    several = found if isinstance(found, tuple) else (found,)
    return [t for t in several if isinstance(t, torch.Tensor)]


def assert_close(
    first: nn.Module, second: nn.Module, images: list[torch.Tensor], bound: float
) -> None:
    with torch.inference_mode():
        pairs = zip(tensors(first(*images)), tensors(second(*images)), strict=True)
        for wanted, found in pairs:
            assert found.shape == wanted.shape
            largest = float(wanted.abs().max()) if wanted.numel() else 0.0
            assert torch.allclose(found, wanted, rtol=0, atol=bound * largest)


def assert_same(network: Network, weights: dict[str, Array]) -> nn.Module:
    """In both precisions: float32 to 1e-4, float64, folded from doubles, to 1e-9."""
    plain = network.to_torch(weights).eval()
    optimized = network.to_torch(weights, optimize=True)
    images = [torch.from_numpy(array) for array in arrays_of(network, 2).values()]
    assert_close(plain, optimized, images, 1e-4)
    plain, optimized = plain.double(), optimized.double()
    load = getattr(optimized, "fold", optimized.load_state_dict)
    load(plain.state_dict())
    assert_close(plain, optimized, [image.double() for image in images], 1e-9)
    return optimized


@pytest.mark.parametrize("name", FIRST)
def test_it_computes_what_the_plain_module_does(name: str) -> None:
    network = small(name)
    optimized = assert_same(network, weights_of(name, network))
    # A norm before the convolution, across an activation, has nothing to be folded into.
    assert all("bn" in norm or "norm5" in norm for norm in norms(optimized))
    assert len(norms(optimized)) == (62 if name == "densenet121" else 0)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in REST if has_norms(full(name))])
def test_it_does_so_on_the_rest_of_the_zoo(name: str) -> None:
    network = small(name)
    assert_same(network, weights_of(name, network))


STRUCTURES = """
block Pair(c: int) {
  conv(c, 3x3, norm=bn, act=relu) * 2
  dwconv(3x3, bias=true, norm=bn) -> bn -> relu
}

model M: image[3, H=12, W=12] -> (y, a, b) {
  stem: conv(8, 3x3) -> bn -> relu6
  body: Pair(8) * 2
  twice: conv(8, 3x3, norm=frozen_bn)
  out: add { twice; twice -> bn -> conv(8, 1x1, groups=2, norm=bn) }
  both: conv(8, 1x1) -> concat { skip; bn }
  wide: both -> conv(8, 1x1, norm=bn(eps=0.01))
  heads: conv(4, 3x3, norm=bn) each { out; wide }
  a: heads[0]
  b: heads[1]
  y: out -> gap -> linear(10, norm=bn, act=relu) -> dropout(0.5) -> linear(3)
}
"""


def changed(network: Network) -> dict[str, Array]:
    """Weights in which nothing is 0 or 1."""
    rng = np.random.default_rng(0)
    return {
        name: rng.uniform(0.5, 1.5, value.shape).astype(value.dtype)
        if value.ndim == 1
        else value
        for name, value in random_weights(network, 0).items()
    }


@pytest.fixture(scope="module")
def structures() -> Network:
    return loads(STRUCTURES)


def test_norms_are_folded_wherever_only_their_convolution_feeds_them(
    structures: Network,
) -> None:
    optimized = assert_same(structures, changed(structures))
    # Behind a norm, behind what others read too, and behind what `concat` reads.
    wanted = ["body.0.bn", "body.1.bn", "out_bn", "both_bn"]
    assert sorted(norms(optimized)) == sorted(wanted)


def test_it_refuses_to_train_and_starts_in_evaluation(structures: Network) -> None:
    optimized = structures.to_torch(optimize=True)
    assert not any(part.training for part in optimized.modules())
    with pytest.raises(RuntimeError, match="batch norm is folded: train the network that"):
        optimized.train()
    optimized.eval()


def test_what_was_folded_is_saved_and_loaded_as_it_is(structures: Network) -> None:
    weights = changed(structures)
    first = structures.to_torch(weights, optimize=True)
    second = structures.to_torch(optimize=True)
    second.load_state_dict(first.state_dict())
    images = [torch.from_numpy(array) for array in arrays_of(structures).values()]
    assert_close(first, second, images, 0)


def test_weights_of_another_network_are_refused(structures: Network) -> None:
    optimized = structures.to_torch(optimize=True)
    state = structures.to_torch().state_dict()
    del state["stem.0.weight"]
    with pytest.raises(KeyError, match=r"stem\.0\.weight"):
        optimized.fold(state)  # type: ignore[operator]


def test_its_convolutions_and_inputs_are_channels_last(structures: Network) -> None:
    optimized = structures.to_torch(optimize=True)
    weight = optimized.get_parameter("stem.0.weight")
    assert weight.is_contiguous(memory_format=torch.channels_last)
    seen: list[bool] = []
    optimized.get_submodule("stem.0").register_forward_hook(
        lambda _, __, y: seen.append(y.is_contiguous(memory_format=torch.channels_last))
    )
    optimized(torch.zeros(2, 3, 12, 12))
    assert seen == [True]


def test_the_command_writes_clean_source_of_torch_alone(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "cnndsl", "compile", "--optimize", "mobilenetv2"]
    path = tmp_path / "mobilenetv2.py"
    subprocess.run([*command, "-o", str(path)], check=True, capture_output=True)
    assert path.read_text() == full("mobilenetv2").torch_source(optimize=True)
    assert "nn.BatchNorm" not in path.read_text()
    for name in ("densenet121", "yolov4", "i3d_resnet50", "lenet5", "mask_rcnn_resnet50_fpn"):
        (tmp_path / f"{name}.py").write_text(full(name).torch_source(optimize=True))
    for arguments in (["check"], ["format", "--check", "--diff"]):
        ruff = [sys.executable, "-m", "ruff", *arguments, "--isolated", "."]
        done = subprocess.run(ruff, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    imports = {
        line
        for file in tmp_path.glob("*.py")
        for line in file.read_text().splitlines()
        if line.startswith(("import", "from"))
    }
    known = ("torch", "collections", "typing", "math", "itertools", "functools", "importlib")
    assert all(line.split()[1].split(".")[0] in known for line in imports)
