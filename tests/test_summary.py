"""Costs and the summary: exact, and every column adds up."""

import csv
import json
from collections.abc import Callable, Iterator
from io import StringIO

import pytest
from click.testing import CliRunner
from rich.console import Console

import cnndsl
from cnndsl.analysis.columns import COLUMNS, SUMMED, USUAL, short
from cnndsl.analysis.costs import Cost, costs, giga, total
from cnndsl.analysis.outline import Row
from cnndsl.analysis.summary import summary
from cnndsl.analysis.tables import table
from cnndsl.cli import cli
from cnndsl.files import shipped
from tests.small_zoo import full

NETWORKS = list(shipped())


def rows(network: cnndsl.Network) -> Iterator[tuple[int, Row]]:
    for top in summary(network).tree:
        yield from top.walk()


def model(lines: str) -> cnndsl.Network:
    return cnndsl.loads(f"model M: x[3, H=8, W=8] -> y {{\n{lines}\n}}")


def test_a_convolution_with_a_norm_has_the_parameters_buffers_and_macs_of_the_formulas() -> (
    None
):
    found = total(model("y: conv(4, 3x3, norm=bn, act=relu)"))
    assert found.parameters == 3 * 4 * 9 + 2 * 4
    assert found.buffers == 2 * 4 + 1
    assert found.macs == 8 * 8 * 4 * 3 * 9
    assert found.flops == 2 * found.macs


def test_a_transposed_convolution_counts_over_its_input() -> None:
    assert model("y: deconv(4, 2x2, stride=2)").macs == 8 * 8 * 3 * 4 * 4


def test_a_shared_module_counts_its_parameters_once_and_its_macs_per_call() -> None:
    network = cnndsl.loads("""
block Head(): x -> y { y: x -> conv(5, 3x3) }
model M: a[3, H=8, W=8] -> (p, q) {
  small: a -> maxpool(2x2)
  heads: Head each { a; small }
  p: heads[0]
  q: heads[1]
}
""")
    found = total(network)
    assert found.parameters == 5 * (27 + 1)
    assert found.macs == (64 + 16) * 5 * 27
    first, second = (cost for cost in costs(network).values() if cost.macs)
    assert first.parameters == found.parameters
    assert second.parameters == second.buffers == 0


def test_macs_are_split_by_operation_the_largest_first() -> None:
    found = total(model("y: conv(4, 1x1) -> dwconv(3x3) -> gap -> linear(2)")).macs_by_op
    assert found == {"dwconv": 64 * 4 * 9, "conv": 64 * 12, "linear": 8}
    assert list(found) == ["dwconv", "conv", "linear"]


@pytest.mark.parametrize("name", NETWORKS)
def test_a_row_counts_what_is_below_it_and_the_rows_count_the_network(name: str) -> None:
    network = full(name)
    found = summary(network)
    whole = total(network)
    assert sum((row.cost for row in found.tree), Cost()) == Cost(
        whole.parameters, whole.buffers, whole.macs
    )
    for _, row in rows(network):
        below = sum((inner.cost for inner in row.below), Cost())
        assert below.macs <= row.cost.macs
        assert below.parameters <= row.cost.parameters
        if row.below and row.cost.macs:
            assert below.macs == row.cost.macs


@pytest.mark.parametrize("name", NETWORKS)
def test_every_column_sums_to_the_total_in_the_tree_and_in_every_table(name: str) -> None:
    network = full(name)
    whole = table(network, "layer", SUMMED).total
    assert (whole.parameters, whole.macs) == (network.parameters, network.macs)
    made = summary(network)
    for depth in (1, 2, 99):
        top = [r for r in made.rows(depth, COLUMNS) if r["depth"] == 0]
        assert {c: sum(row[c] for row in top) for c in SUMMED} == {
            c: getattr(whole, c) for c in SUMMED
        }
        assert top[-1]["cumulative"] == pytest.approx(1)
    for by in ("layer", "op", "stage", "block"):
        for first in (None, 1, 5):
            found = table(network, by, ("op", "share", *SUMMED), first)
            assert found.total == whole
            assert sum(item.count for item in found.items) == len(network.graph)
            assert sum(row["share"] for row in found.rows()) == pytest.approx(1)
            assert first is None or len(found.items) <= first + 1


def test_the_cumulative_share_of_a_row_is_of_all_that_has_run_when_it_has() -> None:
    tree = cnndsl.load("resnet50").summary().rows(columns=["macs", "cumulative"])
    last = {row["name"]: row for row in tree if row["depth"] == 0}
    done = 0
    for row in last.values():
        done += row["macs"]
        assert row["cumulative"] == pytest.approx(done / 4_089_184_256)
    below = [row for row in tree if row["depth"] == 1 and row["name"] == "[1…2]"]
    assert below[0]["cumulative"] == last["c2"]["cumulative"]


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli, ["summary", "resnet50", *arguments])
    return result.exit_code, result.output


def test_options_of_the_command_go_together_or_say_that_they_do_not() -> None:
    status, text = run("--depth", "1", "--columns", "rf,stride,bytes")
    assert status == 0
    assert [line.split() for line in text.splitlines() if line.startswith("c2 ")] == [
        ["c2", "35", "4", "60,211,200"]
    ]
    data = json.loads(run("--json", "--by", "stage", "--columns", "macs")[1])
    assert sum(row["macs"] for row in data["rows"]) == data["total"]["macs"]
    rows = list(csv.DictReader(StringIO(run("--csv", "--by", "op")[1])))
    assert sum(int(row["macs"]) for row in rows) == data["total"]["macs"]
    for refused in (
        ["--by", "op", "--depth", "2"],
        ["--csv", "--json"],
        ["--json", "--depth", "1"],
    ):
        assert run(*refused)[0] == 2
    status, text = run("--columns", "mac")
    assert (status, text) == (2, "error: unknown column `mac`; did you mean `macs`?\n")


@pytest.mark.parametrize("name", NETWORKS)
def test_the_nodes_of_the_data_add_up_and_name_each_other(name: str) -> None:
    network = full(name)
    data = json.loads(network.summary().json())
    assert (
        data["parameters"]
        == network.parameters
        == sum(node["parameters"] for node in data["nodes"])
    )
    assert data["macs"] == network.macs == sum(node["macs"] for node in data["nodes"])
    assert sum(data["macs_by_op"].values()) == data["macs"]
    seen: set[str] = set()
    for node in data["nodes"]:
        for name_ in node["inputs"]:
            assert name_.partition(":")[0] in seen
        seen.add(node["name"])


def test_the_data_has_the_keys_that_the_documentation_promises() -> None:
    data = cnndsl.load("mobilenetv2").summary().data()
    assert list(data) == [
        *("schema", "model", "parameters", "buffers", "macs", "flops", "macs_by_op"),
        *("inputs", "outputs", "nodes"),
    ]
    assert data["schema"] == 1
    assert data["inputs"] == {"image": [3, 224, 224]}
    assert data["outputs"] == {"logits": [1000]}
    keys = {"name", "op", "inputs", "shape", "parameters", "macs", "line"}
    assert all(set(node) == keys for node in data["nodes"])
    assert all(type(n) is int for node in data["nodes"] for n in node["shape"])


def test_the_second_output_of_a_producer_is_named_with_its_number() -> None:
    network = cnndsl.loads("""
model M: x[4, H=8, W=8] -> y {
  a, b: split(2)
  y: mul { a; b }
}
""")
    nodes = {node["op"]: node for node in network.summary().data()["nodes"]}
    split = nodes["split"]["name"]
    assert nodes["mul"]["inputs"] == [split, f"{split}:1"]
    assert nodes["split"]["shapes"] == [[2, 8, 8], [2, 8, 8]]


def test_a_node_stands_on_the_line_of_its_step_not_of_the_default_that_fused_it() -> None:
    network = cnndsl.loads("""default conv(norm=bn)
model M: x[3, H=8, W=8] -> y {
  y: conv(4, 3x3)
}
""")
    lines = {node["op"]: node["line"] for node in network.summary().data()["nodes"]}
    assert lines == {"input": 2, "conv": 3, "bn": 3}


def test_repeats_that_are_alike_are_one_row_that_counts_them_all() -> None:
    network = model("y: conv(4, 3x3) * 5")
    folded = [row for _, row in rows(network) if row.count > 1]
    assert [(row.name, row.count) for row in folded] == [("[1…4]", 4)]
    assert folded[0].cost.parameters == 4 * (4 * 4 * 9 + 4)


def test_a_repeat_of_ten_thousand_is_a_short_table() -> None:
    text = str(model("y: conv(3, 1x1) * 10000").summary())
    assert len(text.splitlines()) < 20
    assert "×10000" in text


def test_a_line_that_is_off_has_no_row() -> None:
    network = cnndsl.loads("""
model M(wide: bool = false): x[3, H=8, W=8] -> y {
  more: conv(9, 3x3) when wide
  y: conv(4, 3x3)
}
""")
    assert [row.name for _, row in rows(network)] == ["x", "y"]


def test_a_depth_cuts_the_tree() -> None:
    found = cnndsl.load("resnet50").summary()
    levels = [len(list(found.cells(depth))) for depth in (1, 2, 9)]
    assert levels[0] < levels[1] < levels[2]
    assert levels[0] == len(found.tree)


def test_the_header_never_calls_macs_flops() -> None:
    assert "\n4.089 GMACs (= 8.178 GFLOPs)\n" in str(cnndsl.load("resnet50").summary())


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (4_089_184_256, "4.089"),
        (300_774_272, "0.301"),
        (416_520, "0.000417"),
        (1_000_000, "0.00100"),
        (0, "0.000"),
        (1, "0.00000000100"),
    ],
)
def test_a_count_in_units_of_a_billion_has_three_digits(count: int, text: str) -> None:
    assert giga(count) == text


@pytest.mark.parametrize("name", ["lenet5", "mobilenetv2", "googlenet"])
def test_the_text_is_the_golden_one(name: str, golden: Callable[[str, str], None]) -> None:
    golden(f"goldens/summary/{name}.txt", f"{cnndsl.load(name).summary()}\n")


def shown_at(width: int, *columns: str) -> str:
    shown = StringIO()
    found = cnndsl.load("mobilenetv2").summary()
    Console(width=width, file=shown).print(found.rich(columns=columns))
    assert max(map(len, shown.getvalue().splitlines())) <= width
    return shown.getvalue()


@pytest.mark.parametrize("width", [60, 80, 160])
@pytest.mark.parametrize("columns", [USUAL, COLUMNS, ("op", "macs", "rf", "bytes", "shape")])
def test_in_a_terminal_it_fits_the_width_and_no_figure_is_cut(
    width: int, columns: tuple[str, ...]
) -> None:
    text = shown_at(width, *columns)
    _, _, gone = text.partition("no room for ")
    left_out = gone.partition("\n")[0].split(", ")
    assert "macs" not in left_out
    for name, *cells in cnndsl.load("mobilenetv2").summary().cells(None, columns):
        for column, cell in zip(columns, cells, strict=True):
            said = cell in text or (column == "shape" and short(cell) in text)
            assert column in ("op", *left_out) or said, (name, column)


def test_a_wide_terminal_leaves_nothing_out_and_a_narrow_one_says_what() -> None:
    assert "no room" not in shown_at(160, *COLUMNS)
    assert "no room for share, cumulative, stride" in shown_at(80, *COLUMNS)
    assert "no room for share\n" in shown_at(60, *USUAL)


def test_a_network_prints_its_summary_in_a_notebook() -> None:
    network = cnndsl.load("lenet5")
    assert network._repr_mimebundle_()["text/plain"] == str(network.summary())


def test_what_a_nesting_of_two_hundred_blocks_costs_is_shown() -> None:
    blocks = [f"block B{n}: x -> y {{ y: x -> B{n + 1} }}" for n in range(150)]
    blocks.append("block B150: x -> y { y: x -> conv(3, 1x1) }")
    text = "\n".join(blocks) + "\nmodel M: x[3, H=8, W=8] -> y { y: x -> B0 }"
    found = summary(cnndsl.loads(text))
    assert found.total.macs == 64 * 9
    assert str(found).count("B149") == 1


def test_a_narrow_terminal_keeps_the_widths_by_saying_sizes_in_short() -> None:
    text = shown_at(80, *USUAL)
    assert "32×112²" in text
    assert "[32, 112, 112]" not in text
    assert "conv 3×3, 32 /2" in text
    assert "[32, 112, 112]" in shown_at(160, *USUAL)


def test_a_fraction_that_does_not_end_is_rounded_as_in_figures() -> None:
    found = cnndsl.load("archs/convnext_tiny.arch").summary().text()
    assert "ConvNeXtBlock(drop=0.005882)" in found
    assert "0.00588235" not in found
