"""PyTorch's own tools take what is written; `tools.torch_checks` asks them about every file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cnndsl.backends.torch.execute import module
from cnndsl.network import load, loads
from tests.small_zoo import NETWORKS
from tests.torch.test_written import TEXTS
from tools.torch_checks.checks import CHECKS, Subject, check, subject_of
from tools.torch_checks.results import EXCEPTIONS, Results, page

SLOW = {"ddp", "export", "onnx", "compile", "inductor"}
"""Checks that take seconds."""
FEW = {"alexnet_2012", "convnext_tiny", "dcnv2_resnet50", "fcn8s", "rednet50",
       "ssd300_vgg16", "unet", "yolov3"}  # fmt: skip
"""Of each helper of a file one network, and those that were refused once."""


@pytest.fixture(scope="module")
def lenet() -> Subject:
    return subject_of("lenet5")


@pytest.mark.parametrize(
    "which", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in CHECKS]
)
def test_a_check_passes_on_a_small_network(lenet: Subject, which: str) -> None:
    if which == "onnx":
        pytest.importorskip("onnxscript")
    if which == "inductor":
        pytest.skip("it needs a C++ compiler")
    assert check(lenet, which) == ""


@pytest.mark.parametrize(
    "name", [n if n in FEW else pytest.param(n, marks=pytest.mark.slow) for n in NETWORKS]
)
@pytest.mark.filterwarnings("ignore")
def test_fx_traces_and_torchscript_compiles_every_file(name: str) -> None:
    with torch.device("meta"):
        made = module(load(name)).eval()
    torch.fx.symbolic_trace(made)
    if name in EXCEPTIONS["script"]:
        with pytest.raises((RuntimeError, ValueError)):
            torch.jit.script(made)
    else:
        torch.jit.script(made)


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.filterwarnings("ignore")
def test_fx_traces_and_torchscript_compiles_what_is_written_oddly(name: str) -> None:
    made = module(loads(TEXTS[name]))
    torch.fx.symbolic_trace(made)
    torch.jit.script(made)


def test_a_check_says_what_failed_and_the_page_numbers_it(lenet: Subject) -> None:
    network, text = lenet.network, lenet.text.replace("return self", "return 2 * self")
    assert text != lenet.text
    twice = Subject("twice", network, text.replace("def forward", "def twice"))
    assert check(twice, "deepcopy").startswith("NotImplementedError")
    written = page({"lenet5": {"fx": "", "pickle": "TypeError: no"}, "yolov3": {}})
    assert "| `lenet5` |  | ✓ |" in written
    assert "1. TypeError: no" in written
    assert "2. `torch.jit.script` has no type" in written
    assert "✗ [1](#notes)" in written
    assert "✓ [1](#notes)" in page({"wavenet": {"ddp": ""}})


def test_results_are_kept_by_the_files_text(tmp_path: Path) -> None:
    results = Results(tmp_path / "build" / "found.json")
    results.of("a", "x = 1")["fx"] = ""
    results.write()
    again = Results.read(results.path)
    assert "fx" in again.of("a", '"""Words, which no tool reads."""\n\nx = 1  # one')
    assert "fx" not in again.of("a", "x = 2")
