"""Networks that torchvision or timm has: outputs equal, with weights loaded by structure."""

from __future__ import annotations

import random
from collections.abc import Iterable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import cnndsl
from cnndsl.analysis.weights import expected_weights
from cnndsl.files import zoo
from cnndsl.weights import load_weights
from tests.both import difference, outputs
from tests.foreign import (
    NEITHER,
    NETWORKS,
    TIMM,
    TORCHVISION,
    NonLocalAttn,
    filled,
    of_timm,
)
from tests.test_detectors import CASES
from tests.torchvision_cpu import torchvision

FAST = ("mobilenetv2-torchvision", "resnet18-torchvision", "googlenet_bn-torchvision")


def listed(found: object) -> list[Tensor]:
    """The outputs of any of the three, in order."""
    if isinstance(found, dict):
        found = tuple(found.values())
    several = found if isinstance(found, tuple) else (found,)
    return [torch.from_numpy(t) if isinstance(t, np.ndarray) else t for t in several]


def assert_equal(found: object, expected: list[Tensor]) -> None:
    """Within 1e-4 of the largest value of each output."""
    for ours, theirs in zip(listed(found), expected, strict=True):
        assert ours.shape == theirs.shape
        assert float((ours - theirs).abs().max() / theirs.abs().max()) < 1e-4


def assert_doubles_equal(
    network: cnndsl.Network, made: nn.Module, weights: dict[str, np.ndarray], x: Tensor
) -> None:
    """Both backends, with nothing left to rounding."""
    with torch.inference_mode():
        expected = outputs(made.double()(x))
    double = {
        n: w.astype(np.float64) if w.dtype == np.float32 else w for n, w in weights.items()
    }
    assert difference(outputs(network.to_numpy(double)(x.numpy())), expected) <= 1e-9


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return list(a) == list(b) and all(np.array_equal(a[name], b[name]) for name in a)


def shuffled(names: Iterable[str]) -> list[str]:
    order = list(names)
    random.Random(0).shuffle(order)
    return order


@pytest.mark.parametrize(
    "name", [n if n in FAST else pytest.param(n, marks=pytest.mark.slow) for n in NETWORKS]
)
def test_both_backends_equal_the_foreign_network_with_its_weights(name: str) -> None:
    foreign = NETWORKS[name]
    size = foreign.size
    network = cnndsl.load(
        name.partition("-")[0], inputs={"image": (3, size, size)}, **foreign.settings
    )
    model = foreign.filled()
    state = model.state_dict()
    weights = load_weights(network, state, map=foreign.names)
    assert list(weights) == list(expected_weights(network))
    batch = 2 if size < 100 else 1
    x = torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = listed(model(x))
        made = network.to_torch(weights).eval()
        assert_equal(made(x), expected)
    assert_equal(network.to_numpy(weights)(x.numpy()), expected)
    if size < 100:
        assert_doubles_equal(network, made, weights, x.double())

    # A file sorts its names, and a mapping may be shuffled: some can only be refused then.
    for order in (sorted(state), shuffled(state)) if name in FAST else (sorted(state),):
        disordered = {key: state[key] for key in order}
        if foreign.ordered:
            with pytest.raises(cnndsl.ArchError, match="cannot be told apart"):
                load_weights(network, disordered, map=foreign.names)
        else:
            assert same(load_weights(network, disordered, map=foreign.names), weights)


def compared(
    network: cnndsl.Network, weights: dict[str, np.ndarray], model: nn.Module, x: Tensor
) -> None:
    with torch.inference_mode():
        expected = listed(model(x))
        assert_equal(network.to_torch(weights).eval()(x), expected)
    assert_equal(network.to_numpy(weights)(x.numpy()), expected)


class Stages(nn.Module):
    """What the last three stages of timm's darknets yield."""

    def __init__(self, name: str, activation: nn.Module) -> None:
        super().__init__()
        body = filled(of_timm(name)())
        for module in list(body.modules()):
            # timm's slope is 0.01, and Mish is no choice of its darknets.
            if hasattr(module, "act") and isinstance(module.act, nn.LeakyReLU):
                module.act = activation
        self.stem, self.stages = body.stem, body.stages

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        found = [self.stem(x)]
        for stage in self.stages:
            found.append(stage(found[-1]))
        return tuple(found[-3:])


def body(file: str, block: str) -> cnndsl.Network:
    return cnndsl.loads(f"""use "{file}" ({block})
model Body: image[3, H=64, W=64] -> (c3[256, _, _], c4[512, _, _], c5[1024, _, _]) {{
  body: {block}
  c3: body.c3
  c4: body.c4
  c5: body.c5
}}""")


@pytest.mark.slow
def test_yolov3s_body_equals_timms_darknet() -> None:
    network, model = body("yolov3.arch", "Darknet53"), Stages("darknet53", nn.LeakyReLU(0.1))
    weights = load_weights(network, model.eval().state_dict())
    compared(network, weights, model, torch.randn(1, 3, 64, 64))


def halved(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """timm's CSP stages with the two convolutions that it makes as one, and joined our way."""
    found: dict[str, Tensor] = {}
    for name, value in state.items():
        if ".conv_exp." in name and value.dim():
            passing, entering = value.chunk(2)
            found[name.replace("conv_exp", "passing")] = passing
            found[name.replace("conv_exp", "entering")] = entering
        elif name.endswith("conv_transition.conv.weight"):
            found[name] = torch.cat(value.chunk(2, 1)[::-1], 1)
        else:
            found[name] = value
    return found


@pytest.mark.slow
def test_yolov4s_body_equals_timms_darknet() -> None:
    network, model = body("yolov4.arch", "CSPDarknet53"), Stages("cspdarknet53", nn.Mish())
    state = halved(model.eval().state_dict())
    given = {
        f"stages.{n}.{theirs}.{inner}": f"body.c{n + 1}.conv{number}.{own}"
        for n in range(5)
        for inner, own in (("conv", 0), ("bn", 1))
        for theirs, number in (("entering", 1), ("conv_transition_b", 4), ("passing", 5))
    }
    weights = load_weights(network, state, map=given)
    compared(network, weights, model, torch.randn(1, 3, 64, 64))


def test_the_non_local_block_equals_timms() -> None:
    network = cnndsl.loads("""use "lib/nonlocal.arch" (NonLocal)
model Block: x[8, H=5, W=6] -> y[8, H, W] { y: NonLocal }""")
    model = filled(NonLocalAttn(8, rd_channels=4))
    # timm divides by the root of the channels that enter, the authors of those compared.
    model.scale = 4**-0.5
    given = {"t": "y.theta", "p": "y.phi", "g": "y.g"}
    weights = load_weights(network, model.state_dict(), map=given)
    compared(network, weights, model, torch.randn(2, 8, 5, 6))


@pytest.mark.parametrize("source", ["p5", "c5"])
def test_retinanets_pyramid_equals_torchvisions_from_either_map(source: str) -> None:
    network = cnndsl.loads(f"""use "retinanet_resnet50_fpn.arch" (RetinaFPN)
model Levels: (c3[4, H=14, W=10], c4[6, 7, 5], c5[10, 4, 3])
    -> (p3[8, _, _], p4[8, _, _], p5[8, _, _], p6[8, _, _], p7[8, _, _]) {{
  fpn: RetinaFPN(8, "{source}") {{ c3; c4; c5 }}
  p3: fpn.p3
  p4: fpn.p4
  p5: fpn.p5
  p6: fpn.p6
  p7: fpn.p7
}}""")
    pyramid = torchvision.ops.feature_pyramid_network
    coarser = pyramid.LastLevelP6P7(10 if source == "c5" else 8, 8)
    model = filled(pyramid.FeaturePyramidNetwork([4, 6, 10], 8, coarser))
    given = {f"layer_blocks.{n}.0": f"fpn.p{n + 3}" for n in range(3)}
    given |= {f"extra_blocks.{p}": f"fpn.{p}" for p in ("p6", "p7")}
    weights = load_weights(network, model.state_dict(), map=given)
    maps = [torch.randn(2, *t.shape) for t in network.inputs.values()]
    with torch.inference_mode():
        expected = list(model(dict(zip("345", maps, strict=True))).values())
        assert_equal(network.to_torch(weights).eval()(*maps), expected)
    assert_equal(network.to_numpy(weights)(*(x.numpy() for x in maps)), expected)


def test_every_shipped_network_is_compared_or_known_to_neither() -> None:
    compared = TORCHVISION.keys() | TIMM.keys()
    detectors = {case.file for case in CASES.values()}
    assert not compared & detectors
    assert not (compared | detectors) & NEITHER
    assert compared | detectors | NEITHER == {path.stem for path in zoo().glob("*.arch")}


@pytest.mark.parametrize(
    ("taps", "stride"), [([1, 2, 1], 2), ([1, 3, 3, 1], 2), ([1, 4, 6, 4, 1], 1)]
)
def test_a_blur_is_the_binomial_kernel(taps: list[int], stride: int) -> None:
    k = len(taps)
    network = cnndsl.loads(f"""use "lib/blur.arch" (BlurPool)
model M: image[3, H=15, W=12] -> y {{ y: BlurPool({k}, s={stride}) }}""")
    x = np.random.default_rng(0).normal(size=(2, 3, 15, 12))
    line = torch.tensor(taps, dtype=torch.float64) / sum(taps)
    kernel = torch.outer(line, line).expand(3, 1, k, k)
    sides = ((k - 1) // 2, k // 2) * 2
    padded = torch.nn.functional.pad(torch.from_numpy(x), sides, mode="reflect")
    wanted = torch.nn.functional.conv2d(padded, kernel, stride=stride, groups=3)
    assert np.abs(network.to_numpy({}, optimize=False)(x) - wanted.numpy()).max() < 1e-12
