"""The rows of a difference sum to the totals'; a layer says what of it differs."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import cnndsl
from cnndsl.analysis.diff import diff
from cnndsl.cli import cli

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


def test_a_changed_layer_says_what_of_it_differs_and_an_added_one_what_was_written() -> None:
    found = {c.node: c for c in diff(cnndsl.load("resnet18"), cnndsl.load("resnet34")).changes}
    added = found["c2.BasicBlock.2.conv"]
    assert (added.kind, added.was) == ("added", "")
    assert added.now == "conv(out=64, kernel=3x3) of c2.BasicBlock.1.relu"
    moved = found["c3.BasicBlock.0.conv"]
    assert (moved.was, moved.now) == ("of c2.BasicBlock.1.relu", "of c2.BasicBlock.2.relu")
    kinds = {c.node: c for c in diff(cnndsl.load("unet"), cnndsl.load("unet_bn")).changes}
    assert kinds["image"].kind == kinds["d1.maxpool"].kind == "affected"
    assert kinds["d1.DoubleConv.conv"].was == ("pad=[0x0, 0x0], bias=true, init=kaiming_normal")


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli, ["diff", *arguments])
    return result.exit_code, result.output


def test_a_name_set_twice_is_its_value_before_and_after() -> None:
    status, text = run("lenet5", "--set", "classes=10", "--set", "classes=12")
    assert status == 0
    assert "  classes: 10 → 12" in text.splitlines()
    assert run("lenet5", "--set", "classes=12")[1] == text  # before is the file as it is
    assert run("lenet5", "--set", "classes=12", "--exit-code")[0] == 1
    same = run("lenet5", "lenet5", "--set", "classes=12", "--exit-code")
    assert same == (0, "no difference\n")
    assert run("lenet5")[0] == 2
    assert run("lenet5", *["--set", "classes=1"] * 3)[0] == 2


def test_the_data_and_the_markdown_have_the_totals() -> None:
    data = json.loads(run("lenet5", "--set", "classes=12", "--json")[1])
    before, after = data["macs"]
    assert sum(row["macs"] for row in data["changes"]) == after - before > 0
    text = run("lenet5", "--set", "classes=12", "--markdown")[1]
    assert "- classes: 10 → 12" in text
    assert text.startswith("**total: +170 parameters")


def test_markdown_holds_no_markup_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "m.arch"
    words = '"<b>&" | "![x](https://x.y) | @all `z`"'
    head = f'model M(name: {words} = "<b>&"): x[4, H=8, W=8] -> y'
    path.write_text(f'{head} {{ y: conv(4, 1x1) when name == "<b>&"\n else y: relu }}')
    setting = ("--set", "name=![x](https://x.y) | @all `z`")
    text = run(str(path), *setting, "--markdown")[1]
    (line,) = [line for line in text.splitlines() if line.startswith("- name")]
    assert not set("<>[]!|@`") & set(line)
    assert "&lt;b&gt;&amp;" in line
