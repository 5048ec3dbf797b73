"""What `to_onnx` writes computes in ONNX Runtime what the network does, at every free size."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from click.testing import CliRunner

import cnndsl
from cnndsl.analysis.weights import expected_weights, random_weights
from cnndsl.backends import onnx as backend
from cnndsl.cli import cli
from cnndsl.diagnostics import ArchError
from cnndsl.network import Network
from cnndsl.ops import OPS
from cnndsl.ops.base import Op
from cnndsl.ops.facts import Array
from cnndsl.weights import save_weights
from tests.small_zoo import FEW, NETWORKS, arrays_of, small, weights_of

FAST = {"conv_kinds", "effnet", "lenet5", "shufflenetv1", "rpn", "squeezenet", "ssd300_vgg16"}
TOLERANCE = 1e-4


def awkward_weights(network: Network) -> dict[str, Array]:
    """Random weights, none at the value that makes its layer the identity."""
    rng = np.random.default_rng(0)
    found = random_weights(network, 0)
    for name, (_, weight) in expected_weights(network).items():
        shape = found[name].shape
        if weight.integer:
            continue
        if name.endswith("running_var") or weight.init.value == 1:
            found[name] = rng.uniform(0.5, 1.5, shape).astype(np.float32)
        elif weight.init.value is not None:
            found[name] = rng.normal(0.1, 0.2, shape).astype(np.float32)
    return found


def session(model: onnx.ModelProto) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    onnx.checker.check_model(model, full_check=True)
    return ort.InferenceSession(model.SerializeToString(), options)


def named(network: Network, found: object) -> dict[str, Array]:
    return found if isinstance(found, dict) else {next(iter(network.outputs)): found}


def assert_same(
    network: Network, run: ort.InferenceSession, weights: dict[str, Array], batch: int
) -> None:
    """ONNX Runtime gives what the interpreter does, which is neither nothing nor endless."""
    arrays = arrays_of(network, batch)
    wanted = named(network, network.to_numpy(weights, optimize=False)(**arrays))
    given = dict(zip(wanted, run.run(None, arrays), strict=True))
    assert [one.name for one in run.get_outputs()] == list(wanted)
    for name, array in wanted.items():
        found = given[name]
        assert found.shape == array.shape
        assert found.dtype == (np.int64 if array.dtype.kind == "i" else np.float32)
        scale = np.abs(array).max(initial=0)
        boxes = network.node(network.outputs[name].node).op.family.value == "boxes"
        assert np.isfinite(scale)
        assert boxes or scale > 1e-3, f"{name} is nothing"
        assert np.abs(found - array).max(initial=0) <= TOLERANCE * (scale or 1), name


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n in FAST else pytest.mark.slow) for n in NETWORKS]
)
def test_the_zoo_is_in_onnx_runtime_what_it_is_here(name: str) -> None:
    network = small(name)
    weights = weights_of(name, network)
    rng = np.random.default_rng(2)
    for key, (_, weight) in expected_weights(network).items():
        if weight.init in ("ones", 0.0) and not key.endswith("running_var"):
            weights[key] = rng.uniform(0.5, 1.0, weights[key].shape).astype(np.float32)
        elif name in FEW and weights[key].ndim > 1:
            # Else proposals differ by what float32 rounds, and scores with them.
            weights[key] = weights[key] * np.float32(0.7)
    for functions in (False, True):
        run = session(network.to_onnx(weights, functions=functions))
        assert_same(network, run, weights, 1 if functions else 2)
        free = [n for one in run.get_inputs() for n in one.shape[1:] if isinstance(n, str)]
        if free and network.again is not None:
            shapes = {
                key: (t.shape[0], *(n + 32 * axis for axis, n in enumerate(t.shape[1:], 1)))
                for key, t in network.inputs.items()
            }
            try:
                other = cnndsl.load(name, inputs=shapes, **FEW.get(name, {}))
            except ArchError:
                continue  # its size is not free in every step
            needed = {k: w.shape for k, (_, w) in expected_weights(other).items()}
            if needed == {k: w.shape for k, w in weights.items()}:
                assert_same(other, run, weights, 1)


TWO_SIZES = """
model M: image[3, H=24, W=20] -> (y, pooled) {
  c: conv(8, 3x3, stride=2, norm=bn, act=relu)
  d: maxpool(3x3, stride=2, pad=1, ceil=true) -> conv(8, 3x3, norm=gn(2), act=silu)
  u: d -> resize([c.h, c.w], mode="bilinear")
  n: d -> resize([c.h, c.w])
  t: concat { c; u; n } -> avgpool(3x3, stride=2, ceil=true) -> zeropad([1, 0, 2, 1])
  r: t -> rearrange("(g c) h w -> (c g) h w", g=2) -> rearrange("c h w -> (h w) c")
  y: linear(5) -> softmax(1)
  pooled: c -> crop([c.h // 2, c.w // 2]) -> gap
}
"""


def test_free_sizes_are_worked_out_when_the_file_runs() -> None:
    network = cnndsl.loads(TWO_SIZES)
    weights = awkward_weights(network)
    for functions in (False, True):
        run = session(network.to_onnx(weights, functions=functions))
        assert run.get_inputs()[0].shape == ["batch", 3, "H", "W"]
        for side in ((24, 20), (37, 22), (16, 51)):
            other = cnndsl.loads(TWO_SIZES, inputs={"image": (3, *side)})
            assert_same(other, run, weights, 3)


NUMBERS = """
model M: image[3, H=24, W=16] -> (boxes[N, 4], halves) {
  c: conv(8, 3x3, stride=4)
  grid: c -> anchor_grid([H // c.h, W // c.w], offset=0.5, wh=[[W, H], [4, 5]])
  raw: c -> conv(8, 1x1) -> rearrange("(a d) h w -> (h w a) d", d=4)
  boxes: decode(clip=[H, W]) { raw; grid }
  halves: c -> mul(H / W)
}
"""


def test_numbers_worked_out_from_sizes_hold_at_every_size_that_is_free() -> None:
    """Whole ones are worked out again; of others, here H / W, the sizes are fixed."""
    whole = "\n".join(line for line in NUMBERS.splitlines() if "halves:" not in line)
    whole = whole.replace("(boxes[N, 4], halves)", "boxes[N, 4]")
    network = cnndsl.loads(whole)
    weights = awkward_weights(network)
    run = session(network.to_onnx(weights))
    assert run.get_inputs()[0].shape == ["batch", 3, "H", "W"]
    for side in ((24, 16), (32, 40)):
        assert_same(cnndsl.loads(whole, inputs={"image": (3, *side)}), run, weights, 2)
    run = session(cnndsl.loads(NUMBERS).to_onnx())
    assert run.get_inputs()[0].shape == ["batch", 3, 24, 16]


@pytest.mark.parametrize(
    ("step", "free"),
    [
        ("gap -> linear(3)", ["H", "W"]),
        ("flatten -> linear(3)", [8, 12]),
        ("avgpool([image.h, image.w])", [8, 12]),
        ("conv(3, 3x3) when H > 4", [8, "W"]),
        ("conv(4, 3x3) -> conv(H // 2, 3x3)", [8, "W"]),
    ],
)
def test_a_size_is_free_where_nothing_but_shapes_depends_on_it(step: str, free: list) -> None:
    text = f"model M: image[3, H=8, W=12] -> y {{\n y: conv(4, 3x3) -> {step} }}"
    model = cnndsl.loads(text.replace("y: conv(4, 3x3) -> conv", "y: conv")).to_onnx()
    dims = model.graph.input[0].type.tensor_type.shape.dim
    assert [d.dim_param or d.dim_value for d in dims] == ["batch", 3, *free]


def test_two_inputs_of_one_size_share_its_name() -> None:
    text = "model M: (a[2, H=8, W=8], b[2, H, W]) -> y { y: add { a; b } -> conv(2, 3x3) }"
    network = cnndsl.loads(text)
    weights = awkward_weights(network)
    run = session(network.to_onnx(weights))
    assert [one.shape for one in run.get_inputs()] == [["batch", 2, "H", "W"]] * 2
    shapes = {"a": (2, 9, 5), "b": (2, 9, 5)}
    assert_same(cnndsl.loads(text, inputs=shapes), run, weights, 2)


def test_nodes_bear_our_keys_and_say_where_they_were_written() -> None:
    model = cnndsl.load("resnet18").to_onnx()
    nodes = {node.name: node for node in model.graph.node}
    node = nodes["c3.0.conv1.0"]
    assert node.op_type == "Conv"
    assert list(node.input)[1:] == ["c3.0.conv1.0.weight"]
    said = {prop.key: prop.value for prop in node.metadata_props}
    assert said["namespace"] == "c3/0/conv1"
    assert said["source"].startswith("resnet")
    assert (model.ir_version, model.opset_import[0].version) == (10, 20)
    assert {p.key: p.value for p in model.metadata_props}["cite"].startswith("arXiv:1512")
    assert [one.name for one in model.graph.output] == ["logits"]


def test_equal_blocks_are_one_function() -> None:
    model = cnndsl.load("resnet50").to_onnx(functions=True)
    calls = [n for n in model.graph.node if n.domain == "cnndsl"]
    assert len(calls) == 16
    assert len(model.functions) == 3
    assert {f.name.partition("_")[0] for f in model.functions} == {"Bottleneck"}
    first = model.functions[0]
    assert "conv1.0.weight" in first.input
    assert calls[0].name == "c2.0"


def test_a_layer_without_a_form_is_named_where_it_stands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(OPS["mish"], "onnx", Op.onnx)
    text = "model M: image[3, H=8, W=8] -> y {\n  y: conv(4, 3x3) -> mish\n}"
    with pytest.raises(ArchError) as caught:
        cnndsl.loads(text).to_onnx()
    (found,) = caught.value.diagnostics
    assert (found.code, found.span.line, found.span.text) == ("E608", 2, "mish")
    assert "ONNX cannot express" in found.message


def test_more_weights_than_a_file_holds_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "LIMIT", 1000)
    with pytest.raises(ArchError, match=r"E609.*GiB"):
        cnndsl.load("lenet5").to_onnx()


def test_weights_of_another_network_are_refused() -> None:
    with pytest.raises(ArchError, match="E603"):
        cnndsl.load("lenet5").to_onnx({})


def test_without_onnx_the_message_says_what_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"pip install \"cnndsl\[onnx\]\""):
        cnndsl.load("lenet5").to_onnx()
    done = CliRunner().invoke(cli, ["compile", "lenet5", "-o", "x.onnx"])
    assert done.exit_code == 2
    assert 'pip install "cnndsl[onnx]"' in done.stderr


def compiled(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(cli, ["compile", *words])
    return done.exit_code, done.output


def test_the_command_writes_a_file_with_the_weights_that_are_given(tmp_path: Path) -> None:
    network = cnndsl.load("lenet5")
    weights, path = awkward_weights(network), tmp_path / "x.onnx"
    save_weights(tmp_path / "w.safetensors", weights)
    options = ("-o", str(path), "--weights", str(tmp_path / "w.safetensors"))
    status, said = compiled("lenet5", *options, "--functions")
    assert status == 0, said
    assert_same(network, session(onnx.load(path)), weights, 2)
    status, said = compiled("lenet5", "-o", str(path))
    assert "weights are random (seed 0)" in said


def test_a_file_is_replaced_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.onnx"
    path.write_bytes(b"before")
    monkeypatch.setattr(backend, "LIMIT", 1000)
    assert compiled("lenet5", "-o", str(path))[0] == 2
    assert path.read_bytes() == b"before"
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--functions",), "--functions are for ONNX"),
        (("--weights", "w.npz", "-o", "x.py"), "are for ONNX"),
        (("--optimize", "-o", "x.onnx"), "--optimize is for PyTorch"),
        (("--weights", "x.onnx", "-o", "x.onnx"), "x.onnx"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    words: tuple[str, ...], message: str
) -> None:
    status, said = compiled("lenet5", *words)
    assert status == 2
    assert message in said


def test_the_page_on_onnx_runs() -> None:
    text = (Path(__file__).parents[1] / "docs" / "onnx.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    *lines, last = block.strip().splitlines()
    code, said = last.split("#")
    scope: dict[str, object] = {}
    exec("\n".join(lines), scope)
    assert eval(code, scope) == eval(said)
    model = cnndsl.load("resnet50").to_onnx(functions=True)
    assert f"{len(model.graph.node)} nodes and {len(model.functions)} functions" in " ".join(
        text.split()
    )
