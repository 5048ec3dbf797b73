"""Nodes as ONNX's own messages: opset 20, IR 10."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from cnndsl import __version__
from cnndsl.backends.onnx.functions import DOMAIN, Function, calls
from cnndsl.backends.onnx.tracing import Port, Traced
from cnndsl.ops.facts import Array
from cnndsl.ops.onnx_steps import OnnxNode

if TYPE_CHECKING:
    from onnx import FunctionProto, ModelProto, NodeProto, TensorProto, ValueInfoProto

OPSET, IR = 20, 10


def proto(traced: Traced, weights: Mapping[str, Array], *, functions: bool) -> ModelProto:
    """The model.  Raises ImportError: onnx is not installed."""
    try:
        from onnx import helper
    except ImportError as error:
        message = 'ONNX needs the package onnx: pip install "cnndsl[onnx]"'
        raise ImportError(message, name="onnx") from error
    made: list[Function] = []
    nodes = [one for layer in traced.layers.values() for one in layer]
    if functions:
        nodes, made = calls(traced)
    definition = traced.network.structure.definition
    graph = helper.make_graph(
        [node_proto(one) for one in (*traced.sizes, *nodes)],
        traced.network.name,
        [_port(one) for one in traced.inputs],
        [_port(one) for one in traced.outputs],
        [_tensor(weights[key], name) for key, name in traced.weights.items()],
        doc_string=definition.doc.strip(),
    )
    imports = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(
        graph,
        opset_imports=[*imports, *([helper.make_opsetid(DOMAIN, 1)] if made else [])],
        functions=[_function(one) for one in made],
        ir_version=IR,
        producer_name="cnndsl",
        producer_version=__version__,
    )
    props = {
        "source": definition.span.source.name.rpartition("/")[2],
        "cite": "; ".join(map(str, definition.citations)),
        **{name: str(value) for name, value in traced.network.arguments.items()},
    }
    helper.set_model_props(model, {key: value for key, value in props.items() if value})
    return model


def _port(port: Port) -> ValueInfoProto:
    from onnx import TensorProto, helper

    kind = TensorProto.INT64 if port.integer else TensorProto.FLOAT
    return helper.make_tensor_value_info(port.name, kind, ["batch", *port.dims])


def _tensor(array: Array, name: str = "") -> TensorProto:
    from onnx import numpy_helper

    single = array.astype(np.float32, copy=False) if name else array
    return numpy_helper.from_array(np.asarray(single, order="C"), name)


def node_proto(one: OnnxNode) -> NodeProto:
    """One node, with where it was written."""
    from onnx import helper

    attributes = {
        key: _tensor(value) if isinstance(value, np.ndarray) else value
        for key, value in one.attributes.items()
    }
    made = helper.make_node(
        one.kind,
        one.inputs,
        one.outputs,
        name=one.name or one.outputs[0],
        domain=one.domain or None,
        **attributes,
    )
    for key, value in (("namespace", one.inside), ("source", one.place)):
        if value:
            made.metadata_props.add(key=key, value=value)
    return made


def _function(one: Function) -> FunctionProto:
    from onnx import helper

    imports = [helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, 1)]
    nodes = [node_proto(node) for node in one.nodes]
    return helper.make_function(
        DOMAIN, one.name, one.inputs, one.outputs, nodes, imports, doc_string=one.doc
    )
