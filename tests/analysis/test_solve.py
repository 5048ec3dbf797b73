"""Solutions are maximal: the next legal setting breaks the budget."""

import pytest

import cnndsl
from cnndsl.analysis.measures import find_node, measure
from cnndsl.analysis.solve import read_budget, solve


def widths(width: float) -> cnndsl.Network:
    return cnndsl.load("mobilenetv2", width=width)


def squares(size: float) -> cnndsl.Network:
    return cnndsl.load("resnet18", inputs={"image": (3, int(size), int(size))})


@pytest.mark.parametrize("limit", ["150M", "300M", "301M", "600M"])
def test_the_width_is_maximal_and_the_next_one_breaks_the_budget(limit: str) -> None:
    budget = read_budget(f"macs <= {limit}")
    found = solve("width", budget, widths, 1.0)
    assert found.setting is not None
    assert found.measured == widths(found.setting).macs
    assert budget.met(found.measured)
    assert found.above is not None
    assert found.above.measured is not None
    assert not budget.met(found.above.measured)
    assert found.above.measured == widths(found.above.setting).macs
    assert found.sensitivity is not None


def test_the_resolution_that_a_budget_allows() -> None:
    found = solve("resolution", "macs <= 1.9G", squares, 224)
    assert found.setting is not None
    assert squares(found.setting).macs <= 1_900_000_000 < squares(found.setting + 1).macs


def test_the_smallest_setting_that_reaches_a_goal() -> None:
    found = solve("width", "params >= 3M", widths, 1.0)
    assert found.setting is not None
    assert widths(found.setting).parameters >= 3_000_000
    assert found.above is not None
    assert found.above.measured is not None
    assert found.above.measured < 3_000_000


def test_what_cannot_be_kept_says_the_least_that_was_reached() -> None:
    found = solve("width", "params <= 1000", widths, 1.0)
    assert found.setting is None
    assert found.extreme is not None
    assert found.extreme.measured == min(t.measured for t in found.tried if t.measured)
    assert "the least reached is" in str(found)
    assert found.rows()


def test_figures_by_name() -> None:
    network = cnndsl.load("fpn_resnet50")
    assert measure(network, "rf(body.c5)") == 427
    assert measure(network, "peak") > 0
    assert (
        find_node(network, "body.c2")
        == network.graph.nodes["body.ResNetBody.c2.Bottleneck.2.relu"]["node"].name
    )
    with pytest.raises(LookupError, match=r"did you mean `body\.c5`"):
        measure(network, "rf(body.c55)")
    with pytest.raises(LookupError, match="did you mean `macs`"):
        measure(network, "mac")
    with pytest.raises(ValueError, match="no budget"):
        read_budget("macs = 3")
    assert read_budget("peak <= 10MiB").value == 10 * 2**20
