"""Type checkers and linters take what is written as it is, in their strictest settings."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from cnndsl import files
from cnndsl.backends.torch import source
from cnndsl.language import read
from cnndsl.network import load, loads
from tests.programs.generate import generate

FEW = [
    "mobilenetv2", "mobilenetv3_small", "inception_v3", "unetpp", "shufflenetv1",
    "retinanet_resnet50_fpn",
]  # fmt: skip
TEXTS = {
    "branches.arch": """
block Branches(c: int, k: int, s: int = 1) {
  add {
    conv(c, 1x1, stride=s) -> bn when k > 1
    conv(c, k, stride=s) -> bn
    bn when s == 1 and in.c == c
  } -> relu
}
model M: image[3, 16, 16] -> y { y: Branches(8, 3) -> Branches(8, 3, 2) -> Branches(8, 1) }
""",
    "computed_stride.arch": """
default conv(norm=bn, act=relu)
block Residual(c: int, t: int, s: int = 1) {
  let step = [s if t == 3 else 1, s, s]
  add {
    conv(c, [t, 3, 3], stride=step) -> conv(c, [t, 3, 3], act=none)
    conv(c, 1x1x1, stride=step, act=none)
  }
}
model M: image[3, T=4, H=8, W=8] -> y { y: Residual(4, 3) -> Residual(8, 1, s=2) }
""",
    "chain.arch": """
model M: image[64, 8, 8] -> y {
  y: rearrange("(chan r1 r2) height width -> chan (height r1) (width r2)", r1=2, r2=2)
}
""",
    "pairs.arch": """
block Head(wh: list): x -> (boxes, scores) {
  p: conv(5 * len(wh), 1x1)
  t: p -> rearrange("(a k) h w -> (h w a) k", a=len(wh))
  s: t -> split([4, 1], axis=1)
  a: x -> anchor_grid(stride=[8, 8], wh=wh)
  boxes: decode { s[0]; a }
  scores: s[1] -> sigmoid
}
model M: image[3, 16, 16] -> (b1, s1, b2, s2) {
  f: conv(8, 3x3)
  x1: f -> Head([[10, 13], [16, 30]])
  x2: f -> Head([[2.5, 4], [3, 3], [1, 2]])
  b1: x1.boxes
  s1: x1.scores
  b2: x2.boxes
  s2: x2.scores
}
""",
    "layers.arch": """
block B(f: op) { f }
block N(n: op = ln) { conv(in.c, 1x1) -> n }
model M: image[4, 8, 8] -> (a, b) {
  a: image -> B(lrn(5)) -> N(ln) -> N(bn)
  b: image -> B(scale) -> N
}
""",
    "flag.arch": """
block B(f: bool) { add { skip
                         conv(4, 1x1) -> conv(4, 3x3) when f } }
model M: image[4, 8, 8] -> (a, b) { a: image -> B(true)
                                    b: image -> B(false) }
""",
    "numbers.arch": """
block B(ws: list = [1, 2]) { conv(4 * ws[0], 1x1) -> mul(ws[1]) }
model M: image[4, 8, 8] -> (a, b) { a: image -> B
                                    b: image -> B([2, 3]) }
""",
}
"""Kinds that a type checker refused."""


PYRIGHT = find_spec("pyright") is not None
"""It brings Node.js from elsewhere, and is no part of the extra."""


def strictly(folder: Path) -> list[str]:
    """What mypy, ruff and, where it is installed, pyright say of the files in a folder."""
    settings = folder / "mypy.ini"
    # PyTorch's own modules return what has no type.
    settings.write_text("[mypy]\nstrict = True\nwarn_return_any = False\n", encoding="utf-8")
    python = [sys.executable, "-m"]
    commands = (
        [
            *python,
            "mypy",
            "--config-file",
            "mypy.ini",
            *sorted(p.name for p in folder.glob("*.py")),
        ],
        *([[*python, "pyright", "--pythonpath", sys.executable, "."]] if PYRIGHT else []),
        [*python, "ruff", "check", "--isolated", "."],
        [*python, "ruff", "format", "--isolated", "--check", "--diff", "."],
    )
    found = []
    for command in commands:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            found.append(done.stdout + done.stderr)
    return found


def test_files_of_a_few_networks_are_typed(tmp_path: Path) -> None:
    for name in FEW:
        text = load(name).torch_source()
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    for name, text in TEXTS.items():
        written = loads(text).torch_source()
        (tmp_path / name.replace(".arch", ".py")).write_text(written, encoding="utf-8")
    for name in ("mobilenetv3_small", "rpn"):
        text = load(name).torch_source(optimize=True)
        (tmp_path / f"{name}_optimized.py").write_text(text, encoding="utf-8")
    assert not strictly(tmp_path)
    if not PYRIGHT:
        pytest.skip("mypy and ruff agree; pyright is not installed")


@pytest.mark.slow
def test_every_file_is_typed(tmp_path: Path) -> None:
    """Those of the zoo, plain and optimized, and of random programs; checked as one folder."""
    for path in sorted(files.zoo().glob("*.arch")):
        for model in read(path).models:
            for suffix, optimize in ("", False), ("_optimized", True):
                text = source(load(path, model), optimize=optimize)
                file = tmp_path / f"{path.stem}_{model}{suffix}.py"
                file.write_text(text, encoding="utf-8")
    for seed in range(150):
        program = generate(seed)
        if "####" not in program:
            written = source(loads(program, "M"))
            (tmp_path / f"program{seed}.py").write_text(written, encoding="utf-8")
    assert not strictly(tmp_path)
    if not PYRIGHT:
        pytest.skip("mypy and ruff agree; pyright is not installed")
