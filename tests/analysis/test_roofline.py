"""The times of a roofline sum to the total, and the label flips at the ridge."""

from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

import cnndsl
from cnndsl.analysis.memory import memory
from cnndsl.analysis.plots import peaks, ticks
from cnndsl.analysis.roofline import Device, roofline
from cnndsl.cli import cli


@pytest.mark.parametrize("name", ["resnet50", "mobilenetv2", "unet"])
def test_the_times_sum_to_the_total_and_each_is_the_larger_of_two(name: str) -> None:
    device = Device("test", 1e12, 1e11)
    found = roofline(cnndsl.load(name), device)
    assert found.time == pytest.approx(sum(point.time for point in found.points))
    for point in found.points:
        assert point.time == max(point.flops / 1e12, point.bytes / 1e11)
        assert (point.limit == "compute") == (point.intensity > device.ridge)
    assert sum(point.flops for point in found.points) == 2 * cnndsl.load(name).macs


def test_the_label_flips_at_the_ridge() -> None:
    network = cnndsl.loads("model M: x[64, H=32, W=32] -> y { y: conv(64, 3x3, bias=false) }")
    (point,) = roofline(network, Device("a", 1e12, 1e12)).points
    assert point.intensity == 2 * 64 * 64 * 9 * 1024 / (4 * (2 * 64 * 1024 + 64 * 64 * 9))
    for nudge, limit in ((0.999, "compute"), (1.001, "memory")):
        ridge = point.intensity * nudge
        (moved,) = roofline(network, Device("b", ridge * 1e9, 1e9)).points
        assert moved.limit == limit


def test_a_device_is_a_name_or_two_figures() -> None:
    network = cnndsl.load("lenet5")
    assert roofline(network, "10T,100G").device.ridge == 100
    with pytest.raises(ValueError, match="unknown device"):
        roofline(network, "abacus")
    assert "ridge" in str(roofline(network))


SVG = "{http://www.w3.org/2000/svg}"


def test_the_plot_has_a_spot_for_each_block_none_above_the_roof() -> None:
    found = roofline(cnndsl.load("mobilenetv2"), "cpu")
    page = ElementTree.fromstring(found.svg())
    spots = page.findall(f"{SVG}circle")
    said = [spot.findtext(f"{SVG}title") or "" for spot in spots]
    assert "blocks.2.InvertedResidual.1 ×2" in " ".join(said)
    assert len(spots) < sum(1 for point in found.points if point.flops) / 2
    shares = [float(text.split("byte, ")[1].split(" %")[0]) for text in said]
    assert sum(shares) == pytest.approx(100, abs=0.5)
    (roof,) = page.findall(f"{SVG}polyline")
    corners = [tuple(map(float, p.split(","))) for p in (roof.get("points") or "").split()]
    for spot in spots:
        x, y = float(spot.get("cx") or 0), float(spot.get("cy") or 0)
        (x0, y0), (x1, y1) = next((a, b) for a, b in pairwise(corners) if x <= b[0])
        assert y >= y0 + (x - x0) * (y1 - y0) / (x1 - x0) - 0.6


@pytest.mark.parametrize("name", ["resnet50", "mobilenetv2", "unet", "mask_rcnn_resnet50_fpn"])
def test_the_names_on_a_plot_keep_apart(name: str) -> None:
    for found in (roofline(cnndsl.load(name)), memory(cnndsl.load(name))):
        page = ElementTree.fromstring(found.svg())
        rows: dict[str, list[tuple[float, float]]] = {}
        for text in page.findall(f"{SVG}text"):
            words = text.text or ""
            if "." in words and text.get("text-anchor") == "start" and not text.get("class"):
                x = float(text.get("x") or 0)
                assert x >= 0
                rows.setdefault(text.get("y") or "", []).append((x, x + 5 * len(words)))
        for row in rows.values():
            assert all(a[1] < b[0] for a, b in pairwise(sorted(row)))


@pytest.mark.parametrize(
    ("most", "found"),
    [
        (9.95, [0, 2, 4, 6, 8, 10]),
        (203.2, [0, 50, 100, 150, 200, 250]),
        (5, [0, 1, 2, 3, 4, 5]),
        (0.7, [0, 0.2, 0.4, 0.6, 0.8]),
    ],
)
def test_ticks_are_round_numbers_up_to_the_most(most: float, found: list[float]) -> None:
    assert ticks(most) == pytest.approx(found)


def test_peaks_are_the_highest_first_and_a_plateau_is_its_begin() -> None:
    assert peaks([0, 3, 3, 1, 5, 2, 2, 4]) == [4, 7, 1]


@pytest.mark.parametrize("command", ["roofline", "memory"])
def test_a_plot_is_written_where_it_is_asked_for(command: str, tmp_path: Path) -> None:
    path = tmp_path / "x.svg"
    printed = CliRunner().invoke(cli, [command, "lenet5", "-o", str(path)])
    assert printed.exit_code == 0
    text = path.read_text(encoding="utf-8")
    assert ElementTree.fromstring(text).tag == f"{SVG}svg"
    shown = CliRunner().invoke(cli, [command, "lenet5", "-o", "-"])
    assert shown.output == text
    refused = CliRunner().invoke(cli, [command, "lenet5", "-o", "x.png"])
    assert (refused.exit_code, refused.output) == (
        2, "error: x.png: a plot is written as .svg\n",
    )  # fmt: skip
