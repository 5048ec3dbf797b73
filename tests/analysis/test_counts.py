"""The presets equal what the tools print of torchvision's networks, to the unit."""

import pytest

import cnndsl
from cnndsl.analysis.counts import CALLED, TOOLS, counts, read_figure, reconcile
from cnndsl.analysis.work import work
from tests.small_zoo import full

# What torchvision calls as functions: hooks on modules do not see it.
FUNCTIONAL = {
    "mobilenetv2": {"gap"},
    "densenet121": {"gap", "norm5.relu"},
    "googlenet_bn": {"relu"},
}
MEASURED = {
    "resnet50": {
        "exact": 4089184256, "ptflops-aten": 4089185256, "torchinfo": 4089238376,
        "torchprofile": 4100300288, "fvcore": 4111512576, "ptflops": 4132436968,
        "thop": 4133742592,
    },
    "mobilenetv2": {
        "exact": 300774272, "ptflops-aten": 300775272, "torchinfo": 300809384,
        "torchprofile": 307453664, "fvcore": 314193216, "ptflops": 320300008,
        "thop": 327486720,
    },
    "googlenet_bn": {
        "exact": 1498376192, "ptflops-aten": 1498377192, "torchinfo": 1498391752,
        "torchprofile": 1501603376, "fvcore": 1504878688, "ptflops": 1513907448,
        "thop": 1511332032,
    },
    "densenet121": {
        "exact": 2834161664, "ptflops-aten": 2834162664, "torchinfo": 2834246312,
        "torchprofile": 2850005760, "fvcore": 2865546752, "ptflops": 2899843048,
        "thop": 2897007104,
    },
    "efficientnet_b0": {
        "exact": 385814752, "ptflops-aten": 385825092, "torchinfo": 385867108,
        "torchprofile": 394869216, "fvcore": 401659392, "ptflops": 410196896,
        "thop": 415145024,
    },
}  # fmt: skip
RETINANET = {
    "exact": "62295.622M", "ptflops-aten": "62302.397M", "torchinfo": "62302.451M",
    "torchprofile": "62437.382M", "fvcore": "62582.342M", "ptflops": "62854.761M",
    "thop": "62862.662M",
}  # fmt: skip
CASES = [(name, tool) for name, told in MEASURED.items() for tool in told]


@pytest.mark.parametrize(("name", "tool"), CASES)
def test_a_preset_equals_what_the_tool_counted(name: str, tool: str) -> None:
    found = counts(full(name), tool, FUNCTIONAL.get(name, ()))
    assert found.total == MEASURED[name][tool]
    assert found.exact + sum(found.gap.values()) == found.total
    assert sum(sum(parts.values()) for parts in found.nodes.values()) == found.total


BODY = """
use "lib/resnet.arch" (ResNetBody)
model Body: image[3, H=800, W=800] -> (p3, p4, p5, p6, p7) {
  body: image -> ResNetBody(3, 4, 6, 3)
  m5: body.c5 -> conv(256, 1x1)
  m4: add { body.c4 -> conv(256, 1x1); m5 -> resize(body.c4.size) }
  m3: add { body.c3 -> conv(256, 1x1); m4 -> resize(body.c3.size) }
  p3: m3 -> conv(256, 3x3)
  p4: m4 -> conv(256, 3x3)
  p5: m5 -> conv(256, 3x3)
  p6: p5 -> conv(256, 3x3, stride=2)
  p7: p6 -> relu -> conv(256, 3x3, stride=2)
}
"""


@pytest.mark.parametrize("tool", RETINANET)
def test_a_preset_equals_what_the_tool_printed_of_a_detectors_body(tool: str) -> None:
    value, half = read_figure(RETINANET[tool])
    network = cnndsl.loads(BODY)
    found = counts(network, tool, {"p7.relu"})
    assert abs(found.total - value) <= half
    explained = reconcile(network, tool, RETINANET[tool])
    assert explained.found
    assert abs(explained.exact + sum(explained.parts.values()) - value) <= half


@pytest.mark.parametrize(
    ("name", "tool"), [(name, tool) for name, tool in CASES if tool != "exact"]
)
def test_a_gap_is_explained_by_buckets_to_the_unit(name: str, tool: str) -> None:
    figure = f"{MEASURED[name][tool] / 1e6:.3f}M"
    found = reconcile(full(name), tool, figure)
    assert found.found
    told = found.exact + sum(found.parts.values())
    assert told == MEASURED[name][tool]


NORM_ALONE = {
    "exact": (0, 0), "ptflops-aten": (0, 0), "torchinfo": (16, 0), "torchprofile": (960, 0),
    "fvcore": (1920, 960), "ptflops": (1920, 960), "thop": (3840, 1920),
    "ultralytics": (7680, 3840),
}  # fmt: skip
"""Of [8, 12, 10], with and without an affine map, as the tools print it."""


@pytest.mark.parametrize("tool", NORM_ALONE)
def test_a_norm_without_an_affine_map_costs_what_the_tool_counts(tool: str) -> None:
    for step, expected in zip(("bn", "bn(affine=false)"), NORM_ALONE[tool], strict=True):
        network = cnndsl.loads(f"model M: image[8, 12, 10] -> y {{\n  y: {step}\n}}")
        assert counts(network, tool).total == expected


def test_a_figure_of_an_unknown_tool_is_explained_by_simple_buckets() -> None:
    found = reconcile(cnndsl.load("resnet50"), "somebody", "4111.412M")
    assert found.found
    assert list(found.parts) == ["2 × norm"]
    assert not reconcile(cnndsl.load("resnet50"), "somebody", "5000.000M").found
    with pytest.raises(ValueError, match="cannot read the figure"):
        read_figure("many")


def test_a_figure_stands_under_the_name_that_its_tool_gives_it() -> None:
    assert set(CALLED) == set(TOOLS)
    network = cnndsl.load("resnet50")
    assert counts(network, "fvcore").line() == "fvcore             4,111.513 M  FLOPs"
    doubled = counts(network, "ultralytics").total
    assert doubled == 2 * counts(network, "thop").total


def test_buckets_are_apart_from_multiply_adds() -> None:
    found = work(cnndsl.load("resnet50")).total
    assert found["macs"] == 4089184256
    assert found["norm"] == 22227968
    assert found["bias"] == 1000
    assert set(TOOLS) >= {"thop", "fvcore", "ptflops", "ptflops-aten", "darknet", "ultralytics"}
    darknet = counts(cnndsl.load("vgg16"), "darknet").total
    assert darknet == 2 * sum(
        cost
        for name, cost in cnndsl.load("vgg16").summary().total.macs_by_op.items()
        if name == "conv"
    )
