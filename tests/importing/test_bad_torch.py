"""Modules and sources that cannot be read: a place, a reason, and nothing written."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from cnndsl.cli import cli

FILE = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3)

    def forward(self, x):
        return self.conv(x)


class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(10, 4)

    def forward(self, x):
        return self.table(x)


class Two(Net):
    def forward(self, a, b):
        return self.conv(a) + self.conv(b)


class Counted(Net):
    def forward(self, x):
        return {"map": self.conv(x), "count": 3}


class Trains(Net):
    def forward(self, x):
        if not self.training:
            raise RuntimeError("this is for training")
        return self.conv(x)


class Branches(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


class Lazy(Net):
    def __init__(self):
        super().__init__()
        self.conv = nn.LazyConv2d(4, 3)


class Half(nn.Module):
    def forward(self, x):
        return x.half() * 2


class Nothing(nn.Module):
    def forward(self, x):
        return None


class Dead(Net):
    def forward(self, x):
        return self.conv(x) * 0


class Sized(Net):
    def __init__(self, width):
        super().__init__(width)


def number():
    return 3


constant = 3
"""

SAID = {
    "Tokens": "model.py:21: it takes whole numbers, and a file's inputs are real ones",
    "Two": "its `forward` needs `a` and `b`: give a shape for each (--input)",
    "Counted": "its output `count` is 3, and no tensor that flows",
    "Trains": "model.py:37: PyTorch cannot record what it does: this is for training",
    "Branches": "model.py:43: what it does depends on the data",
    "Lazy": "`conv.weight` has no shape yet: call the module once",
    "Half": "`to` in another precision (float16)",
    "Nothing": "it gives no tensor",
    "Dead": "an output is 0 everywhere at random weights: nothing can be compared",
    "Sized": "is not made without arguments: ",
    "number": "does not make a module: it makes `int`",
    "constant": "is neither a module nor a function that makes one",
    "Ned": "has no `Ned`; did you mean `Net`?",
}
GIVEN = {
    ("--input", "3x32"): "expected input[1, 2, 3, 32] to have 3 channels",
    ("--input", "1x32x32"): "to have 3 channels, but got 1 channels",
    ("--input", "3x9x9", "--input", "3x9x9"): "`forward` takes 1 input, and 2 shapes are given",
    ("--input", "3,9,9"): "cannot read the shape `3,9,9`: write 3x224x224",
}
SOURCES = {
    "broken.py": ("class Net(", "running it raised SyntaxError"),
    "lost.py": ("import not_here", "No module named 'not_here'"),
    "empty.py": ("", "has no `Net`"),
    "leaves.py": ("raise SystemExit(3)", "running it raised SystemExit: 3"),
    "empty.pt2": ("", "PyTorch cannot read it"),
    "text.pt2": ("no program", "PyTorch cannot read it"),
    "weights.pth": ("", "this file holds weights, not a network"),
    "model.h5": ("", "write torchvision.models:resnet50"),
}


def refused(tmp_path: Path, source: str, *options: str) -> str:
    """What is said of a source that is refused."""
    out = tmp_path / "out.arch"
    ran = CliRunner().invoke(cli, ["import", source, *options, "-o", str(out)])
    assert ran.exit_code == 2, ran.output
    assert not out.exists()
    return " ".join(ran.output.split())


@pytest.mark.parametrize("name", SAID)
def test_a_module_that_no_file_can_say_is_refused_at_its_line(
    name: str, tmp_path: Path
) -> None:
    (tmp_path / "model.py").write_text(FILE)
    assert SAID[name] in refused(tmp_path, f"{tmp_path}/model.py:{name}")


@pytest.mark.parametrize("options", GIVEN, ids=" ".join)
def test_a_shape_that_does_not_fit_is_refused(options: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(FILE)
    assert GIVEN[options] in refused(tmp_path, f"{tmp_path}/model.py:Net", *options)


@pytest.mark.parametrize("name", SOURCES)
def test_a_source_that_cannot_be_read_is_refused(name: str, tmp_path: Path) -> None:
    text, said = SOURCES[name]
    (tmp_path / name).write_text(text)
    source = f"{tmp_path}/{name}" + (":Net" if name.endswith(".py") else "")
    assert said in refused(tmp_path, source)


def test_a_folder_is_no_source(tmp_path: Path) -> None:
    assert "write torchvision.models:resnet50" in refused(tmp_path, str(tmp_path))


def test_two_inputs_have_a_shape_each(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(FILE)
    out = tmp_path / "out.arch"
    given = ["--input", "3x9x9", "--input", "3x9x9", "-o", str(out)]
    ran = CliRunner().invoke(cli, ["import", f"{tmp_path}/model.py:Two", *given])
    assert ran.exit_code == 0, ran.output
    assert "each { a; b }" in out.read_text()
