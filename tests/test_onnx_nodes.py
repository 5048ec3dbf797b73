"""ONNX's own tests of its operators, run by our kernels; and what cannot be read of a model."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import helper, numpy_helper

import cnndsl
from cnndsl.cli import cli
from cnndsl.diagnostics import ArchError
from cnndsl.importing.onnx import flow_of, from_onnx, load
from cnndsl.importing.onnx_running import layers_run
from tests.onnx_nodes import cases, page, tried
from tests.test_onnx import awkward_weights

PAGE = Path(__file__).parents[1] / "docs" / "onnx-tests.md"


@pytest.mark.slow
def test_every_case_that_a_file_can_say_is_right_and_the_page_lists_the_others() -> None:
    found = [tried(case) for case in cases()]
    assert not [one for one in found if one.wrong]
    run = [one for one in found if not one.reason]
    assert len(run) >= 500
    if f"ONNX {onnx.__version__} makes" in PAGE.read_text(encoding="utf-8"):
        assert page(found) == PAGE.read_text(encoding="utf-8")


def test_the_page_names_a_reason_for_each_case_that_is_not_run() -> None:
    text = PAGE.read_text(encoding="utf-8")
    made, run = (int(n.replace(",", "")) for n in re.findall(r"(?:makes|say) ([\d,]+)", text))
    listed = [int(n) for n in re.findall(r"^\*\*.+\*\* \((\d+)\)$", text, re.MULTILINE)]
    assert run + sum(listed) == made
    names = text[text.index("## Not run") :].count("`")
    assert names >= 2 * sum(listed)


def model_of(*nodes: Any, **weights: Any) -> onnx.ModelProto:
    """A model from `x` [batch, 4, 6, 6] to `y`."""
    ports = [helper.make_tensor_value_info("x", 1, ["batch", 4, 6, 6])]
    gives = [helper.make_tensor_value_info("y", 1, None)]
    tensors = [numpy_helper.from_array(np.asarray(a), n) for n, a in weights.items()]
    graph = helper.make_graph([*nodes], "M", ports, gives, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])


def said(model: onnx.ModelProto) -> str:
    with pytest.raises(ArchError) as caught:
        flow_of(model, "M")
    (found,) = caught.value.diagnostics
    assert found.code == "E610"
    return found.message


NODE = helper.make_node
REFUSED: dict[str, tuple[Callable[[], onnx.ModelProto], str]] = {
    "no such operator": (
        lambda: model_of(NODE("Det", ["x"], ["y"], name="d")),
        "d (Det): no operation of the language does this",
    ),
    "another domain": (
        lambda: model_of(NODE("Fancy", ["x"], ["y"], name="f", domain="com.acme")),
        "f (Fancy): operators of the domain `com.acme` are unknown",
    ),
    "a circle": (
        lambda: model_of(
            NODE("Add", ["x", "b"], ["a"], name="one"),
            NODE("Relu", ["a"], ["b"], name="two"),
            NODE("Relu", ["b"], ["y"], name="three"),
        ),
        "the graph has a cycle",
    ),
    "nothing gives it": (
        lambda: model_of(NODE("Add", ["x", "z"], ["y"], name="a")),
        "a (Add): nothing gives `z`",
    ),
    "given twice": (
        lambda: model_of(NODE("Relu", ["x"], ["y"]), NODE("Tanh", ["x"], ["y"], name="t")),
        "t (Tanh): two nodes give `y`",
    ),
    "the batch": (
        lambda: model_of(
            NODE("Transpose", ["x"], ["t"], perm=[1, 0, 2, 3]),
            NODE("GlobalMaxPool", ["t"], ["y"], name="g"),
        ),
        "g (GlobalMaxPool): the batch is not the first axis",
    ),
    "the batch in an output": (
        lambda: model_of(NODE("Transpose", ["x"], ["y"], perm=[1, 0, 2, 3])),
        "the output `y` has its batch on another axis",
    ),
    "the batch in a reshape": (
        lambda: model_of(NODE("Reshape", ["x", "s"], ["y"], name="r"), s=np.array([-1, 6])),
        "r (Reshape): it mixes samples of the batch",
    ),
    "a graph": (
        lambda: model_of(NODE("Loop", ["", "", "x"], ["y"], name="l")),
        "what it does depends on the data",
    ),
    "data as an attribute": (
        lambda: model_of(NODE("Pow", ["x", "x"], ["y"], name="p")),
        "p (Pow): an attribute depends on the data",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_file_cannot_say_is_refused_with_the_node(name: str) -> None:
    make, message = REFUSED[name]
    assert message in said(make())


def test_a_file_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    whole = cnndsl.load("lenet5").to_onnx().SerializeToString()
    path = tmp_path / "x.onnx"
    for size in (0, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(ArchError, match="not an ONNX model, or cut off"):
            load(path)
    path.write_bytes(b"\x00" * 100)
    with pytest.raises(ArchError, match="not an ONNX model, or cut off"):
        load(path)
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none.onnx")


def test_data_that_is_missing_beside_a_file_is_named(tmp_path: Path) -> None:
    model = cnndsl.load("lenet5").to_onnx()
    path = tmp_path / "x.onnx"
    onnx.save(model, path, save_as_external_data=True, location="x.data", size_threshold=0)
    assert flow_of(load(path), "M").layers
    (tmp_path / "x.data").unlink()
    with pytest.raises(ArchError, match=r"E610.*the data beside it cannot be read"):
        load(path)


def test_what_we_write_is_read_again() -> None:
    """The flow of a model computes what the network does, with its own weights."""
    for name in ("lenet5", "effnet", "conv_kinds"):
        network = cnndsl.load(name)
        weights = awkward_weights(network)
        array = np.random.default_rng(0).normal(
            size=(2, *next(iter(network.inputs.values())).shape)
        )
        double = {k: w.astype(np.float64) for k, w in weights.items()}
        wanted = network.to_numpy(double, optimize=False)(array)
        for functions in (False, True):
            flow = flow_of(network.to_onnx(weights, functions=functions), name)
            flow.operations()
            values = layers_run(flow.layers, flow.weights, {next(iter(flow.inputs)): array})
            (output,) = flow.outputs.values()
            np.testing.assert_allclose(values[output], wanted, rtol=1e-9, atol=1e-9)
            (theirs,) = flow.run(flow.weights, [array])
            np.testing.assert_allclose(theirs, wanted, rtol=1e-5, atol=1e-5)


def test_functions_are_scopes() -> None:
    flow = flow_of(cnndsl.load("resnet18").to_onnx(functions=True), "M")
    kinds = {tuple(scope.kind for scope in layer.scopes) for layer in flow.layers}
    assert kinds == {(), ("BasicBlock",)}
    paths = {layer.where for layer in flow.layers}
    assert {"c2.0", "c5.1"} <= paths


def test_attributes_of_older_opsets_are_read() -> None:
    nodes = [
        NODE("ReduceMean", ["x"], ["m"], axes=[2, 3], keepdims=0),
        NODE("Unsqueeze", ["m"], ["u"], axes=[2]),
        NODE("Clip", ["u"], ["c"], min=-1.0, max=1.0),
        NODE("Squeeze", ["c"], ["y"], axes=[2]),
    ]
    model = model_of(*nodes)
    model.opset_import[0].version = 9
    flow = flow_of(model, "M")
    words = [layer.word for layer in flow.layers]
    assert words == ["gap", "reshape", "clamp", "flatten"]


def test_a_model_becomes_a_file_that_is_proved(tmp_path: Path) -> None:
    network = cnndsl.load("effnet")
    weights = awkward_weights(network)
    path = tmp_path / "effnet.onnx"
    path.write_bytes(network.to_onnx(weights, functions=True).SerializeToString())
    found = from_onnx(path)
    assert (found.network.parameters, found.network.macs) == (network.parameters, network.macs)
    assert "block EffNetBlock" in found.text
    array = np.random.default_rng(0).normal(size=(1, 3, 32, 32)).astype(np.float32)
    single = {name: array.astype(np.float32) for name, array in found.weights.items()}
    ours, theirs = found.network.to_numpy(single)(array), network.to_numpy(weights)(array)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    done = CliRunner().invoke(cli, ["import", str(path), "-o", str(tmp_path / "x.arch")])
    assert done.exit_code == 0, done.output
    assert cnndsl.load(tmp_path / "x.arch").macs == network.macs


def test_weights_that_are_moved_on_their_way_are_found() -> None:
    """Weights shared by `Identity`, turned and reshaped, as exporters write them."""
    rng = np.random.default_rng(0)
    nodes = [
        NODE("Identity", ["k"], ["k2"]),
        NODE("Conv", ["x", "k"], ["a"], pads=[1, 1, 1, 1]),
        NODE("Conv", ["a", "k2"], ["b"], pads=[1, 1, 1, 1]),
        NODE("ReduceMean", ["b", "axes"], ["m"], keepdims=0),
        NODE("Transpose", ["w"], ["t"], perm=[1, 0]),
        NODE("MatMul", ["m", "t"], ["p"]),
        NODE("Add", ["p", "bias"], ["y"]),
    ]
    model = model_of(
        *nodes,
        k=rng.normal(size=(4, 4, 3, 3)).astype(np.float32),
        w=rng.normal(size=(5, 4)).astype(np.float32),
        bias=rng.normal(size=5).astype(np.float32),
        axes=np.array([2, 3]),
    )
    found = from_onnx(model)
    assert "linear(5)" in found.text


def test_what_exporters_make_of_a_fixed_batch_is_undone() -> None:
    """All of a tensor, flat and taken in order; a learned token that is there once a sample."""
    rng = np.random.default_rng(0)
    nodes = [
        NODE("Reshape", ["x", "flat"], ["f"]),
        NODE("Gather", ["f", "order"], ["g"]),
        NODE("Concat", ["token", "g"], ["y"], axis=1),
    ]
    token = rng.normal(size=(1, 2, 6, 6)).astype(np.float32)
    model = model_of(
        *nodes,
        flat=np.array([-1]),
        order=np.arange(2 * 144).reshape(2, 4, 6, 6),
        token=np.concatenate([token] * 2),
    )
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2
    found = from_onnx(model)
    assert "concat { learned([2, 6, 6]); skip }" in found.text
    assert found.network.parameters == token.size


def test_weights_that_parallel_layers_share_stay_one() -> None:
    nodes = [
        NODE("Relu", ["x"], ["r"]),
        NODE("Conv", ["x", "k"], ["a"], pads=[1, 1, 1, 1]),
        NODE("Conv", ["r", "k"], ["b"], pads=[1, 1, 1, 1]),
        NODE("Sub", ["a", "b"], ["y"]),
    ]
    kernel = np.random.default_rng(0).normal(size=(4, 4, 3, 3)).astype(np.float32)
    found = from_onnx(model_of(*nodes, k=kernel))
    assert "conv(4, 3x3, bias=false) each { x; x -> relu }" in found.text
    assert found.network.parameters == kernel.size


@pytest.mark.parametrize("words", [("x.onnx",), ("cut.onnx",)])
def test_the_command_writes_nothing_where_it_refuses(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    (tmp_path / "cut.onnx").write_bytes(b"\x08\x0a\x12")
    (tmp_path / "x.onnx").write_bytes(
        model_of(NODE("Det", ["x"], ["y"], name="d")).SerializeToString()
    )
    before = {*tmp_path.iterdir()}
    done = CliRunner().invoke(
        cli, ["import", str(tmp_path / words[0]), "-o", str(tmp_path / "y.arch")]
    )
    assert done.exit_code in (1, 2)
    assert "E610" in done.output
    assert {*tmp_path.iterdir()} == before


def test_sums_with_a_number_stay_apart_from_sums_of_tensors() -> None:
    nodes = [
        NODE("Add", ["x", "one"], ["a"]),
        NODE("Relu", ["x"], ["r"]),
        NODE("Add", ["a", "r"], ["b"]),
        NODE("Add", ["b", "one"], ["y"]),
    ]
    found = from_onnx(model_of(*nodes, one=np.float32(1)))
    array = np.random.default_rng(0).normal(size=(1, 4, 6, 6))
    wanted = array + np.maximum(array, 0) + 2
    np.testing.assert_allclose(found.network.to_numpy({})(array), wanted, atol=1e-9)


def test_gelu_and_silu_that_are_written_out_are_read_as_such() -> None:
    nodes = [
        NODE("Div", ["x", "root"], ["d"]),
        NODE("Erf", ["d"], ["e"]),
        NODE("Add", ["e", "one"], ["p"]),
        NODE("Mul", ["x", "p"], ["m"]),
        NODE("Mul", ["m", "half"], ["g"]),
        NODE("Sigmoid", ["g"], ["s"]),
        NODE("Mul", ["g", "s"], ["y"]),
    ]
    root, one, half = np.float32(2**0.5), np.float32(1), np.float32(0.5)
    found = from_onnx(model_of(*nodes, root=root, one=one, half=half))
    assert "gelu -> silu" in found.text


def test_modules_that_node_names_say_are_blocks() -> None:
    rng = np.random.default_rng(0)
    nodes, weights, last = [], {}, "x"
    for number in range(3):
        path, first = f"/stage/stage.{number}", last
        for name, word in (("conv", "Conv"), ("act", "Relu")):
            out = f"{path}/{name}_out"
            given = [last]
            if word == "Conv":
                weights[f"w{number}"] = rng.normal(size=(4, 4, 3, 3)).astype(np.float32)
                given.append(f"w{number}")
            more = {"pads": [1] * 4} if word == "Conv" else {}
            nodes.append(NODE(word, given, [out], name=f"{path}/{name}/{word}", **more))
            last = out
        nodes.append(NODE("Add", [last, first], [f"{path}/sum"], name=f"{path}/Add"))
        last = f"{path}/sum"
    nodes.append(NODE("Sigmoid", [last], ["y"], name="/Sigmoid"))
    found = from_onnx(model_of(*nodes, **weights))
    assert "block StageBlock" in found.text
    assert "StageBlock * 3" in found.text


def test_gelu_in_a_function_is_compared() -> None:
    text = """
block Mix(act: op) { conv(4, 1x1, act=act) }
model M: image[4, H=6, W=6] -> y { y: Mix(gelu) -> Mix(gelu(approximate="tanh")) }
"""
    network = cnndsl.loads(text)
    model = network.to_onnx(awkward_weights(network), functions=True)
    found = from_onnx(model, [(4, 6, 6)])
    assert found.network.macs == network.macs
