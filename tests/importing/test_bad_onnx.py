"""ONNX files that cannot be read: a message that says why, and nothing written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cnndsl.cli import cli

onnx = pytest.importorskip("onnx")
helper, numpy_helper, FLOAT = onnx.helper, onnx.numpy_helper, onnx.TensorProto.FLOAT


def model(nodes: list[object] | None = None, **weights: np.ndarray) -> object:
    """A convolution and an activation, or other nodes."""
    weights = {"w": np.ones((4, 3, 3, 3), np.float32), **weights}
    nodes = nodes or [
        helper.make_node("Conv", ["x", "w"], ["c"], name="conv", kernel_shape=[3, 3]),
        helper.make_node("Relu", ["c"], ["y"], name="act"),
    ]
    ports = [helper.make_tensor_value_info("x", FLOAT, ["N", 3, 8, 8])]
    ends = [helper.make_tensor_value_info("y", FLOAT, None)]
    kept = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "net", ports, ends, kept)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])


def truncated(path: Path) -> None:
    whole = model().SerializeToString()  # type: ignore[attr-defined]
    path.write_bytes(whole[: len(whole) // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def text(path: Path) -> None:
    path.write_text("this is no model")


def without_data(path: Path) -> None:
    onnx.save(
        model(), path, save_as_external_data=True, location="weights.bin", size_threshold=0
    )
    (path.parent / "weights.bin").unlink()


def short_data(path: Path) -> None:
    onnx.save(
        model(), path, save_as_external_data=True, location="weights.bin", size_threshold=0
    )
    kept = path.parent / "weights.bin"
    kept.write_bytes(kept.read_bytes()[:100])


def idle(path: Path) -> None:
    """An output that no node makes."""
    onnx.save(model([helper.make_node("Relu", ["x"], ["z"])]), path)


def outside(path: Path) -> None:
    """Data that a file above its folder holds."""
    made = model()
    tensor = made.graph.initializer[0]  # type: ignore[attr-defined]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../secret.bin"
    path.write_bytes(made.SerializeToString())  # type: ignore[attr-defined]


def cyclic(path: Path) -> None:
    nodes = [
        helper.make_node("Add", ["x", "b"], ["a"], name="first"),
        helper.make_node("Relu", ["a"], ["b"], name="second"),
        helper.make_node("Relu", ["b"], ["y"], name="third"),
    ]
    path.write_bytes(model(nodes).SerializeToString())  # type: ignore[attr-defined]


def domain(path: Path) -> None:
    nodes = [helper.make_node("Fancy", ["x"], ["y"], name="it", domain="com.example")]
    made = model(nodes)
    made.opset_import.append(helper.make_opsetid("com.example", 1))  # type: ignore[attr-defined]
    path.write_bytes(made.SerializeToString())  # type: ignore[attr-defined]


def unknown(path: Path) -> None:
    nodes = [helper.make_node("Frobnicate", ["x"], ["y"], name="it")]
    path.write_bytes(model(nodes).SerializeToString())  # type: ignore[attr-defined]


def branch(path: Path) -> None:
    """A choice that the data make."""
    out = [helper.make_tensor_value_info("o", FLOAT, None)]
    ways = [
        helper.make_graph([helper.make_node(kind, ["x"], ["o"])], kind, [], out)
        for kind in ("Relu", "Neg")
    ]
    nodes = [
        helper.make_node("ReduceMax", ["x", "axes"], ["asked"], keepdims=1),
        helper.make_node(
            "If", ["asked"], ["y"], name="choice", then_branch=ways[0], else_branch=ways[1]
        ),
    ]
    axes = np.array([1, 2, 3])
    path.write_bytes(model(nodes, axes=axes).SerializeToString())  # type: ignore[attr-defined]


def absent(path: Path) -> None:
    nodes = [helper.make_node("Relu", ["nothing"], ["y"], name="act")]
    path.write_bytes(model(nodes).SerializeToString())  # type: ignore[attr-defined]


def wrong(path: Path) -> None:
    """A convolution of more channels than there are."""
    path.write_bytes(
        model(w=np.ones((4, 5, 3, 3), np.float32)).SerializeToString()  # type: ignore[attr-defined]
    )


def large(path: Path) -> None:
    """More bytes than protobuf reads."""
    with path.open("wb") as file:
        file.truncate(2**31 + 1)


BAD: dict[Callable[[Path], None], str] = {
    truncated: "not an ONNX model, or cut off",
    empty: "not an ONNX model, or cut off",
    text: "not an ONNX model, or cut off",
    without_data: "weights.bin",
    short_data: "the data beside it cannot be read: External data length (432)",
    outside: "secret.bin",
    cyclic: "second (Relu): the graph has a cycle",
    domain: "com.example",
    unknown: "it (Frobnicate): no operation of the language does this",
    branch: "choice (If): what it does depends on the data",
    absent: "`nothing`",
    idle: "nothing gives the output `y`",
    wrong: "conv (Conv): its weights have 5 channels",
    large: "2",
}


@pytest.mark.parametrize("make", BAD, ids=lambda make: make.__name__)
def test_a_broken_model_is_refused_and_nothing_is_written(
    make: Callable[[Path], None], tmp_path: Path
) -> None:
    source, out = tmp_path / "in" / "net.onnx", tmp_path / "net.arch"
    source.parent.mkdir()
    make(source)
    ran = CliRunner().invoke(cli, ["import", str(source), "-o", str(out)])
    assert ran.exit_code == 2, ran.output
    assert BAD[make] in ran.output
    assert not out.exists()


def test_external_data_are_read(tmp_path: Path) -> None:
    source, out = tmp_path / "net.onnx", tmp_path / "net.arch"
    onnx.save(
        model(), source, save_as_external_data=True, location="weights.bin", size_threshold=0
    )
    ran = CliRunner().invoke(cli, ["import", str(source), "-o", str(out)])
    assert ran.exit_code == 0, ran.output
    assert "conv(4, 3x3" in out.read_text()
