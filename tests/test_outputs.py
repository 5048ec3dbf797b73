"""Labels as outputs: what is left is what they need, in every backend, with the same keys."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import pytest
import torch
from click.testing import CliRunner

import cnndsl
from cnndsl.analysis.weights import expected_weights, random_weights
from cnndsl.backends.torch.writing import written
from cnndsl.cli import cli
from cnndsl.commands import HOMES
from cnndsl.diagnostics import ArchError
from cnndsl.graph import labels
from tests.programs.harness import assert_cut, cut_outputs
from tests.small_zoo import NETWORKS, full
from tests.torchvision_cpu import torchvision

ROOT = Path(__file__).parents[1]
NO_NETWORK = {"check", "completion", "fmt", "list", "import", "lsp"}
"""Commands that read no network, or only check a file."""
SMALL = {
    "resnet18": ["c2", "c4"],
    "googlenet": ["i4[0]", "i4[3]", "maxpool3"],
    "unetpp": ["x[0, 1]", "x[2, 1]"],
    "fpn_resnet50": ["p4", "body.c3"],
    "mobilenetv3_small": ["bneck[4].expand", "stem"],
    "squeezenet1_0": ["fire[4].squeeze", "fire[3]"],
    "segnet": ["c3", "where2"],
}
"""By network labels of stages, turns of loops, outputs of blocks, and steps inside of one
call of a block, for which no text can be cut."""


@pytest.fixture(scope="module", params=SMALL)
def cut(request: pytest.FixtureRequest) -> tuple[cnndsl.Network, cnndsl.Network]:
    """A network over small maps, and what some labels of it need."""
    name = request.param
    sides = {"image": (full(name).inputs["image"].shape[0], 64, 64)}
    whole = cnndsl.load(name, inputs=sides)
    return whole, whole.outputs_at(*SMALL[name])


@pytest.mark.parametrize("name", NETWORKS)
def test_layers_and_keys_are_those_that_labels_need(name: str) -> None:
    network, chance = full(name), random.Random(name)
    known = list(labels(network))
    assert_cut(network, chance.sample(known, min(chance.choice((1, 3)), len(known))))


def test_values_are_the_whole_networks(cut: tuple[cnndsl.Network, cnndsl.Network]) -> None:
    whole, left = cut
    weights = random_weights(whole, 0)
    image = np.random.default_rng(0).normal(size=(2, *whole.inputs["image"].shape))
    image = image.astype(np.float32)
    every = replace(whole, outputs=cut_outputs(whole, list(left.outputs)))
    wanted = every.to_numpy(weights, optimize=False)(image)
    planned, module = left.to_numpy(weights)(image), left.to_torch(weights).eval()
    with torch.inference_mode():
        made = module(torch.from_numpy(image))
    assert list(planned) == list(wanted) == list(left.outputs)
    for (label, exact), tensor in zip(wanted.items(), made, strict=True):
        scale = np.abs(exact).max()
        np.testing.assert_allclose(planned[label], exact, 0, 1e-4 * scale)
        np.testing.assert_allclose(tensor.numpy(), exact, 0, 1e-4 * scale)


def test_a_whole_checkpoint_fits(cut: tuple[cnndsl.Network, cnndsl.Network]) -> None:
    whole, left = cut
    theirs = whole.to_torch().state_dict()
    found = left.to_torch().load_state_dict(theirs, strict=False)
    assert not found.missing_keys
    assert {*found.unexpected_keys} == theirs.keys() - expected_weights(left).keys()
    assert left.load_weights(theirs).keys() == expected_weights(left).keys()
    with pytest.raises(ArchError, match="the weights are not this network's"):
        left.load_weights({**theirs, "another.weight": torch.zeros(1)})


def test_onnx_runtime_agrees(cut: tuple[cnndsl.Network, cnndsl.Network]) -> None:
    import onnxruntime

    whole, left = cut
    weights = {k: w for k, w in random_weights(whole, 0).items() if k in expected_weights(left)}
    image = np.random.default_rng(0).normal(size=(1, *whole.inputs["image"].shape))
    image = image.astype(np.float32)
    session = onnxruntime.InferenceSession(left.to_onnx(weights).SerializeToString())
    ours = left.to_numpy(weights)(image)
    for label, array in zip(ours, session.run(None, {"image": image}), strict=True):
        np.testing.assert_allclose(array, ours[label], 0, 1e-4 * np.abs(ours[label]).max())


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("resnet50", ["c2", "c3", "c4", "c5"]),
        ("mobilenetv2", ["blocks[1]", "blocks[2]", "blocks[4]", "blocks[6]"]),
        ("mobilenetv2", ["blocks[3]"]),
        ("retinanet_resnet50_fpn", ["fpn.p3", "fpn.p4", "fpn.p7"]),
        ("efficientnet_b0", ["stages[2]", "stages[4]"]),
        ("unet", ["d3", "e2"]),
        ("googlenet", ["i4[0]", "i5[1]"]),
        ("vgg16", ["features[2].convs"]),
        ("resnet50", ["c5[0].projection", "c2[1].out"]),
        ("shufflenetv2", ["stage4[2].keep.0", "stage3[4].keep.0"]),
        ("srgan", ["body[1].out", "body[3].out"]),
        ("mobilenetv3_small", ["bneck[4].expand", "stem"]),
        ("hrnet_w18", ["stage3.y[1]", "t2[0]"]),
        ("pspnet_resnet50", ["c4[0].projection"]),
    ],
)
def test_the_file_is_the_blocks_and_nothing_dead(name: str, asked: list[str]) -> None:
    found = written(full(name).outputs_at(*asked))
    assert not found.because
    code = re.sub('""".*?"""', "", found.text, flags=re.DOTALL)
    assert not re.search(r"classes|logits|gap|nn\.Linear", code)


def test_a_loop_ends_where_nothing_needs_more() -> None:
    text = full("mobilenetv2").outputs_at("blocks[3]").torch_source()
    assert "(6, 64, 4, 2)" in text
    assert "(6, 96, 3, 1)" not in text
    assert "_ in range(2)" in full("resnet50").outputs_at("c4[2]").torch_source()


def test_parameters_that_are_left_build_the_same_network() -> None:
    backbone = full("mobilenetv2").outputs_at("blocks[2]", "blocks[6]")
    assert [*backbone.arguments] == ["channels", "width"]
    assert backbone.again is not None
    narrow = backbone.again({"width": 0.5}, {})
    scope: dict[str, object] = {"__name__": "backbone"}
    exec(backbone.torch_source(), scope)
    module = scope["MobileNetV2"](width=0.5)  # type: ignore[operator]
    wanted = {key: tuple(w.shape) for key, (_, w) in expected_weights(narrow).items()}
    assert {key: tuple(w.shape) for key, w in module.state_dict().items()} == wanted


def test_a_label_that_is_not_there_is_a_located_error() -> None:
    with pytest.raises(ArchError) as caught:
        full("resnet50").outputs_at("c2", "bocks[3]", "c2")
    first, second = caught.value.diagnostics
    assert first.span is not None
    assert first.span.text == "ResNet50"
    assert first.message == "no line of `ResNet50` is labelled `bocks[3]`"
    assert second.message == "the output `c2` is asked for twice"
    with pytest.raises(ArchError) as caught:
        full("mobilenetv2").outputs_at("bocks[3]")
    assert caught.value.diagnostics[0].help == "did you mean `blocks[3]`?"
    with pytest.raises(ArchError, match="no output is asked for"):
        full("resnet50").outputs_at()


def test_outputs_of_outputs() -> None:
    once = full("resnet18").outputs_at("c2", "c4")
    twice = once.outputs_at("c3")
    assert twice.parameters == full("resnet18").outputs_at("c3").parameters
    with pytest.raises(ArchError, match="no line of `ResNet18` is labelled `c5`"):
        once.outputs_at("c5")


def test_a_family_of_outputs_is_written() -> None:
    text = """
    model M: image[3, H=8, W=8] -> *p {
      p[0]: image -> conv(4, 3x3)
      p[1]: p[0] -> conv(4, 3x3)
    }
    """
    assert "return MOutput(p_0, self.p2(p_0))" in cnndsl.loads(text).torch_source()


def test_every_command_that_reads_a_network_takes_outputs() -> None:
    for name in sorted({*HOMES} - NO_NETWORK):
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        assert any(param.name == "outputs" for param in command.params), name


@pytest.mark.parametrize(
    "words",
    [
        ("compile", "resnet18", "-o", "-"),
        ("summary", "resnet18"),
        ("memory", "resnet18"),
        ("draw", "resnet18", "-o", "-"),
        ("keys", "resnet18"),
        ("sizes", "resnet18"),
        ("solve", "resnet18", "resolution", "macs <= 300M"),
        ("diff", "resnet18", "resnet34"),
    ],
)
def test_commands_see_no_more_than_the_outputs_need(words: tuple[str, ...]) -> None:
    result = CliRunner().invoke(cli, [*words, "--outputs", "c2,c4[0]"])
    assert result.exit_code == 0, result.output
    assert "logits" not in result.output


def test_the_command_line_refuses_what_is_no_label() -> None:
    result = CliRunner().invoke(cli, ["summary", "resnet18", "--outputs", "c2,laye4"])
    assert result.exit_code == 2
    assert "resnet18.arch:8:7" in result.output
    result = CliRunner().invoke(cli, ["summary", "resnet18", "--outputs", "c2,,c3"])
    assert result.exit_code == 2
    assert "`c2,,c3` is not a list of labels: write c2,c3,c4" in result.output
    result = CliRunner().invoke(cli, ["summary", "unetpp", "--outputs", "x[0,1],x[1, 0]"])
    assert result.exit_code == 0, result.output


def test_the_page_on_backbones_runs() -> None:
    assert torchvision  # the page imports it
    text = (ROOT / "docs" / "backbones.md").read_text(encoding="utf-8")
    file, *code = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    shown = file.removeprefix("# backbone.py\n")
    backbone = cnndsl.load("resnet50").outputs_at("c2", "c3", "c4", "c5")
    assert shown in backbone.torch_source()
    result = CliRunner().invoke(cli, ["summary", "resnet50", "--outputs", "c2,c3,c4,c5"])
    for figure in ("23,508,032 parameters", "4.087 GMACs"):
        assert figure in text
        assert figure in result.output
    exec("\n".join(code), {"__name__": "page"})


def test_a_number_of_an_output_is_that_of_the_whole_call() -> None:
    """Two of the three are left, so that the second is another one."""
    network = cnndsl.loads("""
block Both: *p -> (a, *q) { a: p[0] -> relu
  for i in 0..len(p) { q[i]: p[i] -> tanh } }
model M: image[1, 4] -> y { l: image -> conv(1, 1)
  b: Both { image; l }
  y: b.a }""")
    for name, same in (("b[1]", "b.q[0]"), ("b[2]", "b.q[1]")):
        cut = network.outputs_at(name, "b.q[0]", "b.q[1]")
        assert cut.outputs[name] == cut.outputs[same]
