"""An ONNX model run by ONNX's own evaluator, and layers of ours by NumPy, to compare."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cnndsl.importing import onnx_rules  # noqa: F401 - it registers the rules
from cnndsl.importing.flow import Layer, Value, refused
from cnndsl.importing.onnx_graph import (
    BATCH,
    Learned,
)
from cnndsl.ops.facts import Array

if TYPE_CHECKING:
    from onnx import ModelProto


def runner(
    model: ModelProto, learned: Mapping[str, Learned], inputs: Sequence[str], batch: int
) -> Any:
    """ONNX's own evaluator, in double precision."""

    def run(weights: Mapping[str, Array], arrays: Sequence[Array]) -> list[Array]:
        feeds: dict[str, Array] = {
            one.name: np.asarray(one.back(np.asarray(weights[key], np.float64)))
            for key, one in learned.items()
        }
        size = batch if batch != BATCH else len(arrays[0])
        found = []
        for start in range(0, len(arrays[0]), size):
            some = {n: a[start : start + size] for n, a in zip(inputs, arrays, strict=True)}
            try:
                found.append(_evaluator(model).run(None, {**feeds, **some}))
            except Exception as error:
                first = f"{type(error).__name__}: {error}".partition("\n")[0]
                raise refused(f"ONNX's own evaluator cannot run it: {first}") from None
        return [np.concatenate(parts) for parts in zip(*found, strict=True)]

    return run


def _evaluator(model: ModelProto) -> Any:
    """ONNX's evaluator of a model in double precision, with an operator that it lacks."""
    from onnx.reference import ReferenceEvaluator
    from onnx.reference.op_run import OpRun

    from cnndsl.backends.numpy import kernels

    class Gelu(OpRun):
        """By the error function, or its approximation."""

        def _run(self, x: Array, approximate: str = "none") -> tuple[Array]:
            return (kernels.gelu(x, approximate),)

    class Evaluator(ReferenceEvaluator):
        """One that knows it in local functions too, which it makes evaluators of."""

        def __init__(self, proto: Any, **options: Any) -> None:
            super().__init__(proto, **{**options, "new_ops": [Gelu]})

    return Evaluator(_doubled(model))


def _doubled(model: ModelProto) -> ModelProto:
    """The model with its constants in double precision, as its inputs are."""
    import onnx
    from onnx import numpy_helper

    copy = onnx.ModelProto()
    copy.CopyFrom(model)

    def double(tensor: Any) -> None:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            array = numpy_helper.to_array(tensor).astype(np.float64)
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))

    for tensor in copy.graph.initializer:
        double(tensor)
    for nodes in (copy.graph.node, *(function.node for function in copy.functions)):
        for node in nodes:
            for attribute in node.attribute:
                if attribute.type == attribute.TENSOR:
                    double(attribute.t)
                if node.op_type == "Constant" and attribute.name == "value_float":
                    value = np.array(attribute.f, np.float64)
                    attribute.CopyFrom(
                        onnx.helper.make_attribute("value", numpy_helper.from_array(value))
                    )
                if node.op_type == "Cast" and attribute.name == "to" and attribute.i == 1:
                    attribute.i = onnx.TensorProto.DOUBLE
            strides = [a for a in node.attribute if a.name == "strides" and set(a.ints) != {1}]
            if node.op_type in ("MaxPool", "AveragePool") and not strides:
                # With steps of 1 nothing is rounded; the evaluator thinks otherwise.
                kept = [a for a in node.attribute if a.name != "ceil_mode"]
                del node.attribute[:]
                node.attribute.extend(kept)
    return copy


def layers_run(
    layers: Iterable[Layer], weights: Mapping[str, Array], inputs: Mapping[str, Array]
) -> dict[Value, Array]:
    """What layers give, one after another, in NumPy: each tensor by its place."""
    from cnndsl.backends.numpy.interpreter import evaluated
    from cnndsl.ops.base import OPS
    from cnndsl.ops.values import bind

    values: dict[Value, Array] = {(name, 0): array for name, array in inputs.items()}
    for layer in layers:
        given = [values[value] for value in layer.inputs]
        shapes = [tuple(array.shape[1:]) for array in given]
        rank = max(0, len(shapes[0]) - 1)
        op = bind(OPS[layer.word], dict(layer.arguments), rank).resolved(*shapes)
        own = {ours: weights[theirs] for ours, theirs in layer.weights.items()}
        kind = next((a.dtype for a in given if a.dtype.kind == "f"), np.dtype(np.float32))
        for number, array in enumerate(evaluated(op, given, own, kind)):
            values[layer.name, number] = array
    return values
