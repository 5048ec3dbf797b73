"""Every operation is in ONNX Runtime what it is in NumPy, at its own size and at a free one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import helper

from cnndsl.backends.onnx.protos import IR, OPSET, node_proto
from cnndsl.backends.onnx.sizes import Sizes
from cnndsl.diagnostics import OpError
from cnndsl.ops.base import Op
from cnndsl.ops.facts import Array, Shape
from cnndsl.ops.onnx_steps import FreeSizeError, Onnx, OnnxNode, Value
from cnndsl.symbolic import Axis, axis
from tests.ops.cases import CASES, Case, identifier, made
from tests.ops.test_columns import inputs_for, outputs_of
from tests.ops.torch_text import state

each_case = pytest.mark.parametrize("case", CASES, ids=identifier)
QUIET = ort.SessionOptions()
QUIET.log_severity_level = 3
QUIET.intra_op_num_threads = 1


def form(op: Op, shapes: Sequence[Shape], *, free: bool) -> onnx.ModelProto:
    """The model of one operation, whose weights are inputs too."""
    ports = [f"x{number}" for number in range(len(shapes))]
    given = [
        (shape[0], *(axis(port, a, n) if n else 0 for a, n in enumerate(shape[1:], 1)))
        if free
        else shape
        for port, shape in zip(ports, shapes, strict=True)
    ]
    atoms = {
        Axis(p, a): f"{p}_{a}" for p, s in zip(ports, shapes, strict=True) for a in range(9)
    }
    sizes = Sizes(atoms, ports[0])
    to = Onnx("y", sizes)
    weights = {
        name: Value(to, name, weight.shape)
        for name, weight in op.weights(*shapes).items()
        if not weight.integer
    }
    operands = [Value(to, port, shape) for port, shape in zip(ports, given, strict=True)]
    said = op.onnx(to, *operands, **weights)
    results = said if isinstance(said, tuple) else (said,)
    copies = [OnnxNode("Identity", (v.name,), (f"y{n}",)) for n, v in enumerate(results)]
    read = [
        helper.make_tensor_value_info(v.name, 1, [None] * (len(v.shape) + (v in operands)))
        for v in (*operands, *weights.values())
    ]
    gives = [
        helper.make_tensor_value_info(f"y{n}", 7 if v.integer else 1, [None] * (len(shape) + 1))
        for n, (v, shape) in enumerate(zip(results, op.shapes(*shapes), strict=True))
    ]
    nodes = [node_proto(one) for one in (*sizes.to.nodes, *to.nodes, *copies)]
    graph = helper.make_graph(nodes, "case", read, gives)
    opsets = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR)
    onnx.checker.check_model(model, full_check=True)
    return model


def assert_equal(
    model: onnx.ModelProto, op: Op, shapes: Sequence[Shape], arrays: list[Array]
) -> None:
    rng = np.random.default_rng(1)
    weights = {
        key: value.astype(np.float32)
        for key, value in state(op, tuple(shapes), rng).items()
        if value.dtype.kind == "f"
    }
    with np.errstate(all="ignore"):
        ours = outputs_of(op.run(*arrays, **weights))
    session = ort.InferenceSession(model.SerializeToString(), QUIET)
    given = {f"x{number}": array.astype(np.float32) for number, array in enumerate(arrays)}
    theirs = session.run(None, given | weights)
    assert len(ours) == len(theirs)
    for y, z in zip(ours, theirs, strict=True):
        assert z.dtype == (np.int64 if y.dtype.kind == "i" else np.float32)
        np.testing.assert_allclose(z, y, rtol=1e-4, atol=3e-5)


@each_case
def test_it_is_in_onnx_runtime_what_it_is_in_numpy(case: Case) -> None:
    name, arguments, shapes = case
    op = made(name, arguments, *shapes)
    assert_equal(form(op, shapes, free=False), op, shapes, inputs_for(case, "float32"))


@each_case
@pytest.mark.parametrize("times", [1, 2])
def test_its_sizes_may_be_free(case: Case, times: int) -> None:
    name, arguments, shapes = case
    op = made(name, arguments, *shapes)
    other = tuple((shape[0], *(times * n for n in shape[1:])) for shape in shapes)
    if name not in ("anchor_grid", "gap") and any(
        len(s) > 1 and s[-1] == 4 for s in shapes[:1]
    ):
        other = shapes  # the four sides of a box are not free
    try:
        weights = op.weights(*shapes)
        if op.weights(*other) != weights or made(name, arguments, *other) != op:
            return
        op.shapes(*other)
        model = form(op, shapes, free=True)
    except (OpError, FreeSizeError):
        return  # at another size it is another operation, or none
    arrays = inputs_for((name, arguments, other), "float32")
    assert_equal(model, op, other, arrays)
