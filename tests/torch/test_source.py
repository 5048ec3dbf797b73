"""The PyTorch source: what it says, what it computes, and how it reads."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn

import cnndsl
from cnndsl.analysis.weights import expected_weights, random_weights
from cnndsl.backends.torch import write
from cnndsl.backends.torch.expressions import CannotTranslateError
from cnndsl.backends.torch.proof import ProofError
from cnndsl.backends.torch.walk.lines import Lines
from cnndsl.cli import cli
from cnndsl.diagnostics import ArchError
from cnndsl.graph import MODULE_ATTRIBUTES
from cnndsl.language.tree import LineStatement
from cnndsl.network import load, loads
from tests.both import difference, inputs_of, outputs, weights_of
from tests.conftest import Golden

SMALL = {"unet": {"image": (1, 188, 188)}}
"""Sizes that give the same layers in less time."""


@pytest.mark.parametrize(
    "name",
    ["mobilenetv2", "resnet50", "googlenet", "unet", "fpn_resnet50", "hrnet_w18",
     "retinanet_resnet50_fpn"],
)  # fmt: skip
def test_source_is_the_golden(name: str, golden: Golden) -> None:
    golden(f"goldens/torch/{name}.py", load(name).torch_source())


@pytest.mark.parametrize("name", ["mobilenetv2", "unet", "fpn_resnet50"])
def test_keys_are_the_golden(name: str, golden: Golden) -> None:
    golden(f"goldens/keys/{name}.txt", "\n".join(expected_weights(load(name))) + "\n")


def test_a_module_holds_the_weights_that_it_is_given_and_its_counters() -> None:
    network = loads("model M: image[3, H=8, W=8] -> y { y: conv(4, 3x3, norm=bn) }")
    weights = random_weights(network, 0)
    (counter,) = (name for name in weights if name.endswith("num_batches_tracked"))
    for given in ({**weights, counter: np.array(7)}, weights):
        state = network.to_torch(given).state_dict()
        assert state.keys() == given.keys()
        assert all((tensor.numpy() == given[name]).all() for name, tensor in state.items())
    del weights[counter]
    assert network.to_torch(weights).state_dict()[counter] == 0


def lines_of(text: str) -> int:
    """The lines of `ast.unparse` without docstrings."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body = node.body[1:] or [ast.Pass()]
    return len([line for line in ast.unparse(tree).splitlines() if line.strip()])


@pytest.mark.parametrize(
    ("name", "limit"),
    [("mobilenetv2", 67), ("resnet50", 102), ("googlenet", 147), ("googlenet_bn", 147),
     ("densenet121", 97)],
)  # fmt: skip
def test_source_is_no_longer_than_torchvisions(name: str, limit: int) -> None:
    assert lines_of(load(name).torch_source()) <= limit


def test_pyramid_is_no_longer_than_torchvisions() -> None:
    # torchvision's 69 lines hold the pyramid alone, without the backbone.
    tree = ast.parse(load("fpn_resnet50").torch_source())
    (part,) = [n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "FPN"]
    assert lines_of(ast.unparse(part)) <= 69


def test_to_torch_executes_exactly_the_source() -> None:
    network = load("lenet5")
    made = network.to_torch()
    assert inspect.getsource(type(made)).strip() in network.torch_source()
    assert isinstance(made, nn.Module)


def test_a_file_that_cannot_be_proved_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(*_: object) -> None:
        raise ProofError("it is another network")

    monkeypatch.setattr("cnndsl.backends.torch.writing.prove", nothing)
    with pytest.raises(ArchError, match=r"error\[E601\]: `M` could not be proved in PyTorch"):
        loads("model M: image[3, H=8, W=8] -> y { y: add { relu; skip } }").torch_source()


@pytest.mark.parametrize("error", [CannotTranslateError("no Python"), KeyError("x")])
def test_what_cannot_be_translated_is_written_layer_by_layer(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    assert not write(loads(TAPPED)).because

    def nothing(*_: object) -> None:
        raise error

    monkeypatch.setattr("cnndsl.backends.torch.translation.Translation.text", nothing)
    found = write(loads(TAPPED))
    assert found.because == f"{type(error).__name__}: {error}"
    assert "nn.ModuleDict(" in found.text
    # A fault of the translation itself is known as such.
    assert (found.fault is None) == isinstance(error, CannotTranslateError)


def test_the_line_that_could_not_be_translated_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    translated = Lines.line

    def all_but_one(self: Lines, statement: LineStatement, *rest: Any) -> object:
        if statement.span.text.startswith("last:"):
            raise CannotTranslateError("no Python")
        return translated(self, statement, *rest)

    monkeypatch.setattr(Lines, "line", all_but_one)
    (tmp_path / "tapped.arch").write_text(TAPPED)
    command = ["compile", str(tmp_path / "tapped.arch"), "-o", str(tmp_path / "tapped.py")]
    said = CliRunner().invoke(cli, command).output
    assert "W601" in said
    assert "`Tapped` is written layer by layer: this line could not be translated" in said
    assert "last: conv(8, 1x1)" in said
    assert not write(load("unet")).warnings


def test_writing_source_imports_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys, cnndsl\n"
        "cnndsl.load('mobilenetv2').torch_source()\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)


@pytest.mark.parametrize("name", ["lenet5", "mobilenetv2", "googlenet", "densenet121", "unet"])
def test_gradients_reach_every_parameter(name: str) -> None:
    network = load(name, inputs=SMALL.get(name))
    made = network.to_torch().train()
    found = made(*map(torch.from_numpy, inputs_of(network)))
    several = found if isinstance(found, tuple) else (found,)
    # What a flag turns off is None.
    torch.stack([t.square().mean() for t in several if t is not None]).sum().backward()
    for key, parameter in made.named_parameters():
        assert parameter.grad is not None, key
        assert bool(parameter.grad.isfinite().all()), key


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mobilenetv2", "unet", "fpn_resnet50", "nonlocal_resnet50"])
def test_exports_and_compiles_as_one_graph(name: str) -> None:
    network = load(name, inputs=SMALL.get(name))
    made = network.to_torch(weights_of(network)).eval()
    arrays = tuple(map(torch.from_numpy, inputs_of(network)))
    with torch.inference_mode():
        expected = outputs(made(*arrays))
    exported = torch.export.export(made, arrays)
    with torch.no_grad():
        assert difference(outputs(exported.module()(*arrays)), expected) <= 1e-5
    # The default backend needs a C++ compiler; this one traces and runs the same graph.
    compiled = torch.compile(made, fullgraph=True, backend="aot_eager")
    with torch.no_grad():
        found = compiled(*arrays)
    assert difference(outputs(found), expected) <= 1e-5


@pytest.mark.parametrize("name", ["mobilenetv2", "unet"])
def test_runs_channels_last_and_under_autocast(name: str) -> None:
    network = load(name, inputs=SMALL.get(name))
    made = network.to_torch(weights_of(network)).eval()
    arrays = [torch.from_numpy(array) for array in inputs_of(network, batch=1)]
    with torch.inference_mode():
        expected = outputs(made(*arrays))
        last = made.to(memory_format=torch.channels_last)
        found = last(*[a.to(memory_format=torch.channels_last) for a in arrays])
        assert difference(outputs(found), expected) <= 1e-4
        with torch.autocast("cpu", dtype=torch.bfloat16):
            half = made(*arrays).float()
    assert difference(outputs(half), expected) <= 0.1


def test_weights_begin_as_the_file_says_else_as_pytorch_sets_them() -> None:
    made = load("resnet18").to_torch()
    first, norm = made.get_submodule("c1.0"), made.get_submodule("c1.1")
    assert float(first.weight.detach().std()) == pytest.approx((2 / (64 * 49)) ** 0.5, rel=0.05)
    assert bool((norm.weight == 1).all())
    assert bool((norm.bias == 0).all())
    logits = made.get_submodule("logits").weight.detach()
    assert 0.99 * 512**-0.5 < float(logits.abs().max()) <= 512**-0.5


def test_sizes_are_taken_at_run_time_where_the_language_leaves_them_free() -> None:
    made = load("unet").to_torch().eval()
    with torch.inference_mode():
        assert made(torch.zeros(1, 1, 204, 236)).shape == (1, 2, 20, 52)
        # A size at which no level is odd, other than the one it was written for.
        assert made(torch.zeros(1, 1, 188, 188)).shape == (1, 2, 4, 4)


TAPPED = """
default conv(act=relu)
block Inner(c: int) { wide: conv(2 * c, 1x1); conv(c, 3x3) }
block Body: image[3, H, W] -> last[8, H, W] {
  b:
  for | c |
      | 4 |
      | 6 |
  { Inner(c) }
  last: conv(8, 1x1)
}
model Tapped: image[3, H=8, W=8] -> (y[8, H, W], z[5, H, W]) {
  body: Body
  y: body.last
  z: body.b[1].wide -> conv(5, 1x1)
}
"""

BRANCHES = """
default conv(norm=bn, act=relu)
block Unit(c: int, wide: bool, act: op, k: size = 3) {
  squeeze: conv(c // 2, 1x1) when wide
  else squeeze: conv(c, 1x1)
  concat {
    conv(c, k, act=act)
    conv(c, 1x1) -> conv(c, k) when wide
    skip
  }
  conv(c, 1x1) * 3
  add { skip; conv(c, 3x3, act=act) when not wide }
  concat { conv(2, 1x1) when wide; skip; conv(3, 1x1) -> conv(2, 3x3) when not wide }
  conv(c, 1x1)
  add { conv(c, 1x1) when wide; conv(c, 1x1, act=none); skip when not wide }
  { relu -> dwconv(3x3) -> conv(c, 1x1, norm=none) } * 2
}
model Branches: image[3, H=8, W=8] -> y {
  a: Unit(8, true, relu)
  b: Unit(8, false, hardswish)
  c: Unit(6, true, none, k=[1, 3])
  y: in_shape(8)
}
block in_shape(c: int) { conv(c, 1x1) }
"""

EACH = """
block Head(c: int): x[C, H, W] -> (cls[c, H, W], box[4, H, W]) {
  cls: x -> conv(C, 3x3, act=relu) * 2 -> conv(c, 1x1)
  box: x -> conv(4, 1x1)
}
block RoI(k: int): roi[C, S, S] -> (p[k], q[2]) {
  f: roi -> flatten -> linear(6, act=relu)
  p: f -> linear(k)
  q: f -> linear(2)
}
model Each: (a[4, H=8, W=8], b[4, h=4, w=4], rois[5, 4, 3, 3])
    -> (x[3, H, W], y[4, h, w], p[5, 7], q[5, 2], r[5, 2, 3, 3]) {
  head: Head(3) each { a; b }
  x: head[0].cls
  y: head[1].box
  box: rois -> RoI(7) each row
  p: box.p
  q: box.q
  r: rois -> conv(2, 3x3) each row
}
"""


FROM_2 = """
block Pair(c: int) {
  for i in 3..5 { at[i]: conv(c, 3x3) -> conv(c, 1x1) }
}
model From2: image[3, H=8, W=8] -> y {
  for | i | c |
      | 2 | 4 |
      | 3 | 6 |
  { fire[i]: Pair(c)
    for j in 1..3 { x[i, j]: conv(4, 1x1) } }
  add { fire[2].at[4]; x[2, 2]; x[3, 1] -> conv(4, 1x1) }
  y: conv(2, 1x1)
}
"""


# The list's numbers are the caller's, whose `image` is not the block's.
LISTED = """
block Enlarge(size: list): image[C, h, w] -> y[C, _, _] { y: resize(size) }
model Listed: image[3, H=8, W=8] -> y[3, H, W] {
  small: maxpool(2x2)
  y: small -> Enlarge([H, W])
}
"""

LEVELS = """
block Head(c: int): x[C, H, W] -> (cls[c, H, W], box[4, H, W]) {
  cls: x -> conv(c, 1x1)
  box: x -> conv(4, 3x3)
}
block Level(k: int): (image[3, H, W], x[C, h, w], s[K, h, w]) -> (grid[G, 4], up[K, H, W]) {
  grid: x -> anchor_grid([H // h, W // w], sizes=[k], ratios=[0.5, 1])
  up: s -> resize(image.size)
}
block Levels(c: int): (image[3, H, W], *p[C, _, _]) -> (s[C, H, W], m[M, H, W]) {
  head: Head(c) each { p[*] }
  for i in 0..len(p) {
    level[i]: Level(8 * 2 ** i) { image; p[i]; head[i].cls }
    p_i[i]: p[i] -> conv(2, 1x1) -> resize(image.size)
  }
  levels: image -> conv(C, 1x1)
  s: add { levels; p_i[2] -> conv(C, 1x1); p[0] }
  m: concat { p_i[*] }
}
model Pyramids: image[3, H=16, W=16]
    -> (s[3, H, W], m[6, H, W], g[G, 4], b[12, H, W], z[2, H, W]) {
  a: image -> conv(3, 3x3)
  b2: a -> maxpool(2x2)
  c: b2 -> maxpool(2x2)
  net: Levels(5) { image; a; b2; c }
  s: net.s
  m: net.m
  for i in 0..3 { box[i]: net.head[i].box -> resize([H, W]) }
  g: concat { net.level[*].grid }
  b: concat { box[*] }
  for i in 0..3 { w[i]: net.level[i].up -> conv(2 if i == 1 else 3, 1x1) }
  z: w[1]
}
"""


@pytest.mark.parametrize(
    "text",
    [TAPPED, BRANCHES, EACH, FROM_2, LISTED, LEVELS],
    ids=["tapped", "branches", "each", "numbers from 2", "sizes in a list", "levels"],
)
def test_unusual_structures_agree_with_numpy(text: str) -> None:
    network = loads(text)
    weights = weights_of(network)
    made = network.to_torch(weights).eval()
    arrays = inputs_of(network)
    with torch.inference_mode():
        found = outputs(made(*map(torch.from_numpy, arrays)))
    assert difference(outputs(network.to_numpy(weights)(*arrays)), found) <= 1e-5
    assert set(made.state_dict()) == set(expected_weights(network))


KEYWORDS = """
model Words: image[3, H=8, W=8] -> out {
  lambda: conv(4, 3x3)
  class: conv(4, 3x3)
  self: conv(4, 3x3)
  F: conv(4, 3x3)
  forward: conv(4, 3x3)
  training: conv(4, 3x3)
  items: { a: conv(4, 3x3); concat { skip; b: conv(4, 3x3) } }
  out: add { lambda; class; self; F; forward -> conv(4, 1x1); training; items -> conv(4, 1x1) }
}
"""


def test_labels_that_python_or_torch_reserve_are_no_trouble() -> None:
    network = loads(KEYWORDS)
    weights = weights_of(network)
    made = network.to_torch(weights).eval()
    arrays = inputs_of(network)
    with torch.inference_mode():
        found = outputs(made(*map(torch.from_numpy, arrays)))
    assert difference(outputs(network.to_numpy(weights)(*arrays)), found) <= 1e-5


def test_a_join_may_pass_on_a_value_by_name_or_else_a_module() -> None:
    network = loads("""
block B(c: int, s: int = 1) {
  pre: bn -> relu
  add {
    pre -> conv(c, 3x3, stride=s)
    in when s == 1 and in.c == c
    else projection: pre -> conv(c, 1x1, stride=s)
  }
}
model M: x[4, H=8, W=8] -> y { y: B(4) -> B(8) -> B(8, s=2) }
""")
    assert "x if self.has_in else self.projection(y)" in network.torch_source()
    weights, arrays = weights_of(network), inputs_of(network)
    with torch.inference_mode():
        found = outputs(network.to_torch(weights).eval()(*map(torch.from_numpy, arrays)))
    assert difference(outputs(network.to_numpy(weights)(*arrays)), found) <= 1e-5


def test_text_of_a_file_is_never_code() -> None:
    text = '''
    """Ends \\"\\"\\" here; import os \\\\"""
    @cite("x\\\\", table="1; import os")
    @deviates("a quote \\\\' and a line")
    model M(name: str = "a\\\\nb"): image[3, H=8, W=8] -> y { y: conv(4, 3x3) }
    '''
    network = loads(text.replace('\\"\\"\\"', "'''"))
    tree = ast.parse(network.torch_source())
    assert [type(node).__name__ for node in tree.body].count("ClassDef") == 1
    assert isinstance(network.to_torch(), nn.Module)


def test_reserved_labels_are_those_of_the_module_class() -> None:
    public = {name for name in dir(nn.Module()) if not name.startswith("_")}
    assert public == MODULE_ATTRIBUTES


def test_package_says_which_parameters_it_was_written_for() -> None:
    assert "Parameters: bias=false." in cnndsl.load("shufflenetv1").torch_source()
    # Those that the constructor takes are its defaults.
    text = cnndsl.load("mobilenetv2", width=1.4).torch_source()
    assert "Parameters" not in text
    assert "width: float = 1.4" in text
    assert "nn.Linear(round8(1280 * max(1.0, width)), classes)" in text


def test_one_module_in_all_turns_is_called_in_a_loop() -> None:
    unit = "block Unit: x[C, *S] -> y[C, *S] { y: add { x; x -> conv(C, 3x3, act=relu) } }"
    model = "model M(n: int = 9): x[4, H=8, W=8] -> y { x -> Unit * n shared; y: conv(1, 1x1) }"
    made = write(loads(f"{unit}\n{model}"))
    assert not made.because
    assert "for _ in range(self.n):\n            x = self.block(x)\n" in made.text


def test_arguments_may_have_the_names_that_comprehensions_count_with() -> None:
    head = "model M(i: int = 4, j: int = 3, k: int = 3, m: int = 1, n: int = 2)"
    body = "y: conv(i * j + n, [k, j], stride=m)"
    assert not write(loads(f"{head}: image[3, H=8, W=8] -> y {{ {body} }}")).because
