"""The rows of a difference sum to the totals'; rooflines sum to their time."""

import pytest

import cnndsl
from cnndsl.analysis.diff import diff
from cnndsl.analysis.roofline import Device, roofline

PAIRS = [("resnet18", "resnet34"), ("squeezenet1_0", "squeezenet1_1"), ("unet", "unet_bn")]


def test_resnet50_from_the_paper_to_torchvision_moves_a_stride_in_three_blocks() -> None:
    found = diff(
        cnndsl.load("resnet50", stride_on="v1"), cnndsl.load("resnet50", stride_on="v1_5")
    )
    assert (found.parameters, found.macs) == (0, 231_211_008)
    blocks = {change.node.rsplit(".", 1)[0] for change in found.changes if change.macs}
    stages = {name.split(".")[0] for name in blocks}
    assert stages == {"c3", "c4", "c5"}
    assert all(".0" in change.node for change in found.changes if change.kind == "changed")
    assert "stride_on" in str(found)
    assert "+231,211,008 MACs" in found.markdown()


@pytest.mark.parametrize("name", ["resnet50", "unet", "densenet121"])
def test_a_network_does_not_differ_from_itself(name: str) -> None:
    network = cnndsl.load(name)
    found = diff(network, cnndsl.load(name))
    assert not found
    assert str(found) == "no difference"
    assert found.rows() == []


@pytest.mark.parametrize(("one", "two"), PAIRS)
def test_the_rows_sum_to_the_difference_of_the_totals(one: str, two: str) -> None:
    before, after = cnndsl.load(one), cnndsl.load(two)
    found = diff(before, after)
    assert sum(change.parameters for change in found.changes) == found.parameters
    assert sum(change.macs for change in found.changes) == found.macs
    assert found.parameters == after.parameters - before.parameters
    assert found.macs == after.macs - before.macs
    back = diff(after, before)
    assert (back.parameters, back.macs) == (-found.parameters, -found.macs)


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
    with pytest.raises(ValueError, match="no device"):
        roofline(network, "abacus")
    assert "ridge" in str(roofline(network))
