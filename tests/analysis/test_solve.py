"""Solutions are maximal: the next legal setting breaks the budget."""

import pytest
from click.testing import CliRunner

import cnndsl
from cnndsl.analysis.measures import find_node, measure
from cnndsl.analysis.solve import read_budget, solve
from cnndsl.cli import cli


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
    assert 1.3 < found.sensitivity < 2.3
    assert len(found.tried) <= 10


SMALL = """
model M(c: int = 8, deep: bool = true): x[3, H=8, W=8] -> y {
  conv(c, 3x3) -> conv(c // 2 * 2, 3x3, groups=2)
  y: conv(5, 1x1)
}
"""


def small(c: float) -> cnndsl.Network:
    return cnndsl.loads(SMALL, c=int(c))


@pytest.mark.parametrize("relation", ["<=", ">="])
def test_the_answer_is_that_of_trying_all(relation: str) -> None:
    # Odd widths are not legal: the groups do not divide them.
    legal = {c: small(c).macs for c in range(2, 41, 2)}
    for limit in [*list(legal.values())[::3], 9_999, 50_000, 123_456]:
        budget = read_budget(f"macs {relation} {limit}")
        fits = [c for c, macs in legal.items() if budget.met(macs)]
        wanted = (max if relation == "<=" else min)(fits, default=None)
        for start in (2, 8, 30):
            found = solve("c", budget, small, start, most=40)
            assert found.setting == wanted, (limit, start)
            assert len(found.tried) < 25


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


def test_a_search_that_ends_before_the_budget_does_says_so() -> None:
    found = solve("c", "macs <= 1T", small, 8, most=40)
    assert (found.setting, found.above, found.most) == (40, None, 40)
    assert "the largest that was looked at" in str(found)
    found = solve("c", "macs >= 1T", small, 8, most=40)
    assert str(found).startswith("no c up to 40 gives macs >= 1,000,000,000,000: the most")


def test_bytes_measure_the_peak_alone() -> None:
    assert "peak 13,312 bytes" in str(solve("c", "peak <= 13KiB", small, 8))
    with pytest.raises(ValueError, match="`3MiB` is a size in bytes, but `macs` is not one"):
        read_budget("macs <= 3MiB")


def test_what_no_command_line_can_mean_is_a_sentence() -> None:
    def run(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(cli, ["solve", "lenet5", *arguments])
        return result.exit_code, result.output

    status, text = run("depth", "macs <= 1M")
    there = "channels, classes, H, W, resolution"
    assert text == f"error: `LeNet5` has no setting `depth`; there are {there}\n"
    assert status == 2
    assert "did you mean `classes`" in run("clases", "macs <= 1M")[1]
    assert run("classes", "params <= 61K", "--step", "0")[0] == 2
    assert run("classes", "params <= 61K")[1].startswith("classes = ")


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
    with pytest.raises(ValueError, match="cannot read the budget"):
        read_budget("macs = 3")
    assert read_budget("peak <= 10MiB").value == 10 * 2**20
