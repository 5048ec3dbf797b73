"""PyTorch modules as files: what is found in them, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from torch import nn

from cnndsl import load
from cnndsl.cli import cli
from cnndsl.diagnostics import ArchError
from cnndsl.editing.layout import layout
from cnndsl.importing import Imported, from_torch
from cnndsl.importing.sources import read
from tests.importing import models

CASES: dict[str, tuple[Callable[[], nn.Module], object]] = {
    "ResNet": (models.ResNet, (3, 32, 32)),
    "MobileNet": (models.MobileNet, (3, 32, 32)),
    "DenseNet": (models.DenseNet, (3, 32, 32)),
    "Gated": (models.Gated, (3, 32, 32)),
    "Shuffle": (models.Shuffle, (3, 32, 32)),
    "Tokens": (models.Tokens, (3, 16, 16)),
    "UNet": (models.UNet, (3, 32, 32)),
    "Flat": (models.Flat, (3, 32, 32)),
    "Pyramid": (models.Pyramid, (3, 32, 32)),
    "Causal": (models.Causal, (4, 24)),
    "Doubling": (models.Doubling, (3, 18, 18)),
    "Alternating": (models.Alternating, (3, 16, 16)),
    "WaveNet": (models.WaveNet, (3, 32)),
    "DualPath": (models.DualPath, (3, 8, 8)),
    "Nested": (models.Nested, (3, 16, 16)),
    "Detector": (models.Detector, (3, 32, 32)),
    "Laterals": (models.Laterals, (4, 8, 8)),
    "Several": (models.Several, [(3, 16, 16), (4, 16, 16)]),
}


@cache
def imported(name: str) -> tuple[nn.Module, Imported]:
    build, shape = CASES[name]
    torch.manual_seed(0)
    module = build().eval()
    return module, from_torch(module, shape)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", CASES)
def test_a_module_is_a_file_that_computes_the_same(name: str) -> None:
    module, found = imported(name)
    shapes = list(found.network.inputs.values())
    arrays = [torch.randn(3, *map(int, tensor.shape)) for tensor in shapes]
    with torch.inference_mode():
        theirs = module(*arrays)
        ours = found.network.to_torch(found.weights).eval()(*arrays)
    pairs = (
        [(theirs[key], ours[n]) for n, key in enumerate(found.network.outputs)]
        if isinstance(theirs, dict)
        else [(theirs, ours)]
    )
    for one, other in pairs:
        assert (one - other).abs().max() <= 1e-5 * one.abs().max()
    assert found.network.parameters == sum(p.numel() for p in module.parameters())
    assert layout(found.text) == found.text
    assert f"@expect(params={found.network.parameters:_}" in found.text


@pytest.mark.parametrize("name", CASES)
def test_the_text_reads_like_a_paper(name: str, golden: Callable[[str, str], None]) -> None:
    golden(f"goldens/importing/{name.lower()}.arch", imported(name)[1].text)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (models.Asks, "what it does depends on the data, and a file has one way for all"),
        (models.Standardised, "`conv2d` whose weight is computed from parameters by `sub`"),
    ],
)
def test_what_a_file_cannot_say_is_refused(build: Callable[[], nn.Module], words: str) -> None:
    with pytest.raises(ArchError, match=words):
        from_torch(build(), (3, 16, 16))


FILE = """
import torch
from torch import nn

class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())

class Asks(Net):
    def forward(self, x):
        return x if x.sum() > 0 else -x
"""


def test_the_command_writes_a_file_and_its_weights(tmp_path: Path) -> None:
    file, out, weights = (tmp_path / n for n in ("net.py", "net.arch", "w.safetensors"))
    file.write_text(FILE)
    given = ["import", f"{file}:Net", "-o", out, "--weights", weights, "--input", "3x16x16"]
    ran = CliRunner().invoke(cli, list(map(str, given)))
    assert ran.exit_code == 0, ran.output
    network = load(out)
    assert network.parameters == 3 * 4 * 9 + 4 + 8
    assert network.load_weights(str(weights))


def test_what_is_refused_writes_nothing(tmp_path: Path) -> None:
    file, out = tmp_path / "asks.py", tmp_path / "out.arch"
    file.write_text(FILE)
    ran = CliRunner().invoke(cli, ["import", f"{file}:Asks", "-o", str(out)])
    assert ran.exit_code == 2
    assert "error[E610]" in ran.output
    assert not out.exists()


def test_a_broken_program_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "broken.pt2"
    file.write_bytes(b"PK nothing")
    ran = CliRunner().invoke(cli, ["import", str(file)])
    assert ran.exit_code == 2
    assert "cannot read it" in ran.output


def test_an_exported_program_is_read(tmp_path: Path) -> None:
    file = tmp_path / "net.pt2"
    module = models.ResNet().eval()
    torch.export.save(torch.export.export(module, (torch.zeros(2, 3, 32, 32),)), file)
    found = read(str(file))
    assert "layer2: Residual(16, s=2 then 1) * 3" in found.text
    image = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        theirs, ours = module(image), found.network.to_torch(found.weights).eval()(image)
    assert (theirs - ours).abs().max() <= 1e-5 * theirs.abs().max()


def test_other_commands_import_in_memory(tmp_path: Path) -> None:
    file = tmp_path / "net.py"
    file.write_text(FILE)
    ran = CliRunner().invoke(cli, ["summary", f"{file}:Net"])
    assert ran.exit_code == 0, ran.output
    assert "conv" in ran.output
    ran = CliRunner().invoke(cli, ["check", f"{file}:Net"])
    assert "2 claims of @expect" in ran.output


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("net.py:Missing", "`net.py` has no `Missing`"),
        ("nowhere_at_all:net", "`nowhere_at_all` is not installed"),
        ("gone.py:Net", "gone.py: no such file"),
        ("fails.py:Net", "running it raised ZeroDivisionError"),
        ("leaves.py:Net", "running it raised SystemExit: 3"),
        ("net.py:fails", "making `net.py:fails` raised ValueError: no"),
        ("resnet50", "write torchvision.models:resnet50"),
    ],
)
def test_a_source_that_is_none_is_said(
    source: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    fails = "\n\ndef fails():\n    raise ValueError('no')\n"
    (tmp_path / "net.py").write_text(FILE + fails)
    (tmp_path / "fails.py").write_text("1 / 0\n")
    (tmp_path / "leaves.py").write_text("raise SystemExit(3)\n")
    ran = CliRunner().invoke(cli, ["import", source])
    assert ran.exit_code == 2
    assert words in ran.output
