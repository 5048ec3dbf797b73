"""Receptive fields: the figures of the papers' networks, and the gradient's support."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import cnndsl
from cnndsl.analysis.receptive import receptive

FIGURES = {
    "alexnet": 195, "vgg16": 212, "resnet18": 435, "resnet50": 427, "resnet101": 971,
    "googlenet_bn": 379, "inception_v3": 1311, "densenet121": 2071, "mobilenetv2": 491,
    "shufflenetv2": 527,
}  # fmt: skip


def model(lines: str, shape: str = "x[3, H=64, W=64]") -> cnndsl.Network:
    return cnndsl.loads(f"model M: {shape} -> y {{\n{lines}\n}}")


@pytest.mark.parametrize("name", FIGURES)
def test_the_field_before_the_global_pool(name: str) -> None:
    found = receptive(cnndsl.load(name))
    last = [one for fields in found.fields.values() for one in fields if one.local][-1]
    assert last.sizes() == (FIGURES[name],) * 2
    assert not last.everything


def test_resnet50_as_the_paper_strides_it_sees_483() -> None:
    found = receptive(cnndsl.load("resnet50", stride_on="v1"))
    assert str(found["logits.gap"]) == "global (483)"


def test_behind_squeeze_and_excitation_it_is_global_with_the_local_value_beside() -> None:
    found = receptive(cnndsl.load("efficientnet_b0"))["head.act"]
    assert str(found) == "global (851)"
    assert found.sizes() == (None, None)


def test_a_window_has_its_stride_and_padding() -> None:
    found = receptive(model("y: conv(4, 7x7, stride=2) -> maxpool(3x3, stride=2, pad=1)"))
    last = found["y.maxpool"]
    assert (str(last), last.stride, last.padding) == ("11", "4", "5")


def test_units_behind_a_transposed_convolution_take_turns() -> None:
    seen = receptive(model("y: deconv(4, 3x3, stride=2, pad=1)"))["y.deconv"].local["x", 1]
    assert [seen.at(unit) for unit in range(4)] == [(0, 0), (0, 1), (1, 1), (1, 2)]
    assert seen.size == 2
    assert str(seen.stride) == "1/2"


def test_space_to_depth_is_a_window_of_its_factor() -> None:
    field = receptive(model('y: rearrange("c (h a) (w b) -> (a b c) h w", a=2, b=2)'))
    assert (str(field["y.rearrange"]), field["y.rearrange"].stride) == ("2", "2")
    back = receptive(
        model('y: rearrange("(c a b) h w -> c (h a) (w b)", a=2, b=2)', "x[4, H=8, W=8]")
    )
    assert (str(back["y.rearrange"]), back["y.rearrange"].stride) == ("1", "1/2")


def test_branches_that_do_not_align_are_a_warning() -> None:
    apart = receptive(
        model("y: add {\n conv(3, 3x3, stride=2)\n maxpool(2x2) -> conv(3, 1x1)\n}")
    )
    (warning,) = apart.warnings
    assert warning.code == "W401"
    assert warning.message == "the branches of `y.add` are centred 1/2 positions apart"
    aligned = receptive(model("y: add {\n conv(3, 3x3, stride=2)\n conv(3, 1x1, stride=2)\n}"))
    assert not aligned.warnings


def test_attention_over_positions_is_global() -> None:
    found = receptive(cnndsl.load("nonlocal_resnet50"))["logits.gap"]
    assert str(found) == "global (427)"


GRADIENT = [
    "resnet18", "resnet50", "googlenet_bn", "mobilenetv2", "squeezenet1_1", "shufflenetv2",
    "nin", "mobilenetv1", "unet_bn", "unetpp", "hypercolumn_vgg16", "densenet121",
    "fpn_resnet50",
]  # fmt: skip


@contextmanager
def one_unit_and_means(torch: Any) -> Iterator[list[int]]:
    """Global pools take the middle unit along H, which is noted; maxima are means."""
    functional, tensor = torch.nn.functional, torch.Tensor
    saved = functional.max_pool2d, tensor.mean, functional.adaptive_avg_pool2d
    noted: list[int] = []

    def middle(x: Any, *_: Any, **__: Any) -> Any:
        noted.append(x.shape[2])
        return x[:, :, x.shape[2] // 2, x.shape[3] // 2]

    def mean(
        x: Any, kernel: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
        ceil_mode: bool = False, **_: Any,
    ) -> Any:  # fmt: skip
        return functional.avg_pool2d(x, kernel, stride, padding, ceil_mode)

    functional.max_pool2d, tensor.mean = mean, middle
    functional.adaptive_avg_pool2d = lambda x, _: middle(x)[:, :, None, None]
    try:
        yield noted
    finally:
        functional.max_pool2d, tensor.mean, functional.adaptive_avg_pool2d = saved


@pytest.mark.slow
@pytest.mark.parametrize("name", GRADIENT)
def test_the_field_is_the_support_of_the_gradient_of_a_central_unit(name: str) -> None:
    torch = pytest.importorskip("torch")
    local = receptive(cnndsl.load(name))
    sizes = [f.shown["image", 1].size for fields in local.fields.values() for f in fields]
    height = (max(sizes) // 64 + 3) * 64
    network = cnndsl.load(name, inputs={"image": (3, height, 64)})
    module = network.to_torch().eval().double()
    with torch.no_grad():
        for key, parameter in module.named_parameters():
            fan = parameter[0].numel() if parameter.dim() > 1 else 1
            parameter.fill_(0 if key.endswith("bias") else 1 / fan)
    # Small: no clipped activation (ReLU6) is at its limit.
    image = torch.full((1, 3, height, 64), 1e-3, dtype=torch.double, requires_grad=True)
    with one_unit_and_means(torch) as noted:
        outputs = module(image)
    found = receptive(network)
    results = outputs if isinstance(outputs, tuple) else (outputs,)
    for (_, tensor), result in zip(network.outputs.items(), results, strict=True):
        seen = found.fields[tensor.node][tensor.output].shown["image", 1]
        unit = (noted[0] if noted else result.shape[2]) // 2
        scalar = result.sum() if noted else result[:, :, unit].sum()
        (gradient,) = torch.autograd.grad(scalar, image, retain_graph=True)
        rows = gradient.abs().sum((0, 1, 3)).nonzero().flatten()
        low, high = seen.at(unit)
        assert (int(rows[0]), int(rows[-1])) == (max(low, 0), min(high, height - 1))
