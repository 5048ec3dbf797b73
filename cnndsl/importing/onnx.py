"""An ONNX model as a flow of our layers.  Nothing of it is run but to compare.

Constants are worked out, local functions opened; what a node does that a file cannot say is an
E610 that names it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cnndsl.files import regular
from cnndsl.importing import onnx_rules  # noqa: F401 - it registers the rules
from cnndsl.importing.flow import Flow, Scope, Value, refused, sayable
from cnndsl.importing.onnx_constants import folded, fused, moved, place_of
from cnndsl.importing.onnx_graph import (
    BATCH,
    RULES,
    Call,
    Data,
    Known,
    Reading,
    UnsayableError,
    unsaid,
)
from cnndsl.importing.onnx_running import runner
from cnndsl.importing.onnx_scopes import opened, scopes_of
from cnndsl.ops.facts import Array, Shape

if TYPE_CHECKING:
    from onnx import FunctionProto, GraphProto, ModelProto, NodeProto, ValueInfoProto

    from cnndsl.importing import Imported

LIMIT = 2**31
"""Bytes of an .onnx file: protobuf's own."""
STANDARD = ("", "ai.onnx")
FLOATS = (1, 11)
"""`TensorProto.FLOAT` and `DOUBLE`."""
IMAGE = 224
"""The height and width of an image of which nothing says another."""

Functions = Mapping[tuple[str, str], "FunctionProto"]


def load(path: str | Path) -> ModelProto:
    """The model of a file, with the data beside it.

    Raises OSError: there is no such file. ArchError (E610): it is not one, or is cut off, or
    its data is missing. ImportError: onnx is not installed.
    """
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError as error:
        message = 'ONNX needs the package onnx: pip install "cnndsl[onnx]"'
        raise ImportError(message, name="onnx") from error
    file = regular(Path(path), LIMIT)
    try:
        model = onnx.load(str(file), load_external_data=False)
    except (DecodeError, ValueError):
        raise refused(f"{path}: not an ONNX model, or cut off") from None
    if not model.graph.node and not model.graph.output:
        raise refused(f"{path}: not an ONNX model, or cut off")
    try:
        onnx.load_external_data_for_model(model, str(file.parent))
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        first = str(error).strip().partition("\n")[0]
        raise refused(f"{path}: the data beside it cannot be read: {first}") from None
    return model


def from_onnx(source: str | Path | ModelProto, shapes: Sequence[Shape] = ()) -> Imported:
    """A model as a file that computes the same, with its weights.

    `shapes` are those of the inputs a sample, where the model leaves them open; an image is
    224 × 224 then.
    Raises OSError, ArchError (E610), ImportError: onnx is not installed.
    """
    from cnndsl.importing import from_flow

    named = isinstance(source, str | Path)
    model = load(source) if isinstance(source, str | Path) else source
    name = Path(source).stem if isinstance(source, str | Path) else model.graph.name
    flow = flow_of(model, name or "model", shapes)
    free = any(_open(port) for port in _ports(model.graph))
    again = (lambda sizes: flow_of(model, flow.name, list(sizes.values()))) if free else None
    return from_flow(replace(flow, source=str(source) if named else flow.name), again)


def flow_of(model: ModelProto, name: str, shapes: Sequence[Shape] = ()) -> Flow:
    """The flow of a model.  Raises ArchError (E610)."""
    ports = _ports(model.graph)
    if shapes and len(shapes) != len(ports):
        raise refused(f"{len(ports)} inputs, and {len(shapes)} shapes are given")
    inputs: dict[str, Shape] = {}
    batches: set[int] = set()
    for number, port in enumerate(ports):
        batch, shape = _shape(port, shapes[number] if shapes else None)
        inputs[port.name] = shape
        batches.add(batch)
    if len(batches) > 1:
        raise refused(f"the inputs have different batch sizes: {sorted(batches)}")
    reading = Reading(batch=batches.pop() if batches else BATCH)
    for port_name, shape in inputs.items():
        reading.tensors[port_name] = Data((port_name, 0), shape)
    Walk(model, reading).graph(model.graph)
    outputs: dict[str, Value] = {}
    for port in model.graph.output:
        found = reading.tensors.get(port.name)
        if found is None:
            raise refused(f"nothing gives the output `{port.name}`")
        if isinstance(found, Known):
            raise refused(f"the output `{port.name}` is a constant")
        if found.at:
            raise refused(f"the output `{port.name}` has its batch on another axis")
        outputs[port.name] = found.value
    names = sayable([*inputs, *outputs])
    learned = reading.learned
    return Flow(
        name=name,
        inputs={names[port]: shape for port, shape in inputs.items()},
        outputs={names[port]: _named(value, names, inputs) for port, value in outputs.items()},
        layers=tuple(
            replace(one, inputs=tuple(_named(value, names, inputs) for value in one.inputs))
            for one in opened(reading.layers)
        ),
        weights={key: one.array for key, one in learned.items()},
        run=runner(model, learned, [*inputs], reading.batch),
        copies=True,
    )


def _named(value: Value, names: Mapping[str, str], inputs: Mapping[str, Shape]) -> Value:
    name, number = value
    return (names[name], number) if name in inputs else value


def _ports(graph: GraphProto) -> list[ValueInfoProto]:
    """The inputs that are no weights."""
    weights = {tensor.name for tensor in graph.initializer}
    return [port for port in graph.input if port.name not in weights]


def _open(port: ValueInfoProto) -> bool:
    return any(not dim.HasField("dim_value") for dim in port.type.tensor_type.shape.dim[1:])


def _shape(port: ValueInfoProto, given: Shape | None) -> tuple[int, Shape]:
    """The batch and the shape of an input a sample."""
    kind = port.type.tensor_type
    if not port.type.HasField("tensor_type") or kind.elem_type not in FLOATS:
        raise refused(f"the input `{port.name}` is not a float32 tensor")
    dims = [dim.dim_value if dim.HasField("dim_value") else 0 for dim in kind.shape.dim]
    if len(dims) < 2:
        raise refused(f"the input `{port.name}` has no axis beside the batch")
    batch, *sizes = dims
    if given is not None:
        fits = len(given) == len(sizes) and all(
            n in (0, m) for n, m in zip(sizes, given, strict=False)
        )
        if not fits:
            raise refused(
                f"the input `{port.name}` is {sizes} a sample, and {list(given)} is given"
            )
        sizes = list(given)
    elif 0 in sizes:
        if len(sizes) < 3 or not sizes[0]:
            raise refused(f"the input `{port.name}` leaves its size open: give it")
        sizes = [n or IMAGE for n in sizes]
    return batch or BATCH, tuple(sizes)


class Walk:
    """The nodes of a graph and of the functions that it calls, one after another."""

    def __init__(self, model: ModelProto, reading: Reading) -> None:
        """Know the functions and versions of a model."""
        self.reading = reading
        self.functions: Functions = {(f.domain, f.name): f for f in model.functions}
        self.opsets = {one.domain: one.version for one in model.opset_import}
        self.inside: list[tuple[str, str]] = []

    def graph(self, graph: GraphProto) -> None:
        """All of its nodes.  Raises ArchError (E610)."""
        from onnx import numpy_helper

        for tensor in graph.initializer:
            array = numpy_helper.to_array(tensor)
            self.reading.tensors[tensor.name] = Known(array, tensor.name)
        if graph.sparse_initializer:
            raise refused("weights that are sparse")
        self.nodes(graph.node, ())

    def nodes(self, nodes: Sequence[NodeProto], scopes: tuple[Scope, ...]) -> None:
        """Nodes in an order in which they can be run."""
        for node in _ordered(fused(nodes, self.reading.tensors), self.reading.tensors):
            self.node(node, scopes)

    def node(self, node: NodeProto, scopes: tuple[Scope, ...]) -> None:
        """One node."""
        key = (node.domain, node.op_type)
        if key in self.functions:
            self.function(node, self.functions[key], scopes)
            return
        tensors = self.reading.tensors
        opset = self.opsets.get("", self.opsets.get("ai.onnx", 1))
        call = Call(node, self.reading, opset, (*scopes, *scopes_of(node)))
        if node.domain not in STANDARD:
            raise refused(
                f"operators of the domain `{node.domain}` are unknown", place_of(node)
            )
        constants = [x for x in call.inputs if x is not None]
        if all(isinstance(x, Known) for x in constants):
            arrays = [x.array if isinstance(x, Known) else None for x in call.inputs]
            found = folded(node, arrays, opset)
            for name, array in zip(node.output, found, strict=False):
                tensors[name] = moved(call, array)
            return
        if node.op_type in ("Shape", "Size"):
            tensors[node.output[0]] = Known(_sizes(call))
            return
        rule = RULES.get(node.op_type)
        try:
            if rule is None:
                raise UnsayableError("no operation of the language does this")
            given = rule(call)
        except UnsayableError as error:
            raise unsaid(call, error) from error
        several = [given] if isinstance(given, Data) else list(given)
        for name, value in zip(node.output, several, strict=False):
            tensors[name] = value

    def function(
        self, node: NodeProto, function: FunctionProto, scopes: tuple[Scope, ...]
    ) -> None:
        """A call of a local function: its nodes, under names of their own."""
        key = (node.domain, node.op_type)
        if key in self.inside:
            raise refused(f"the function `{node.op_type}` calls itself", place_of(node))
        if node.attribute or function.attribute or function.attribute_proto:
            raise refused(f"the function `{node.op_type}` has attributes", place_of(node))
        self.inside.append(key)
        outer = self.reading.tensors
        inner = dict(zip(function.input, node.input, strict=False))
        self.reading.tensors = {name: outer[given] for name, given in inner.items() if given}
        path = ".".join((*(scopes[-1:] and (scopes[-1].path,)), node.name or node.op_type))
        if scopes and node.name.startswith(scopes[-1].path + "."):
            path = node.name
        kind = function.name.rstrip("0123456789").rstrip("_") or function.name
        self.nodes(function.node, (*scopes, Scope(path, kind)))
        found = self.reading.tensors
        self.reading.tensors = outer
        for name, given in zip(node.output, function.output, strict=False):
            outer[name] = found[given]
        self.inside.pop()


def _ordered(nodes: Sequence[NodeProto], known: Mapping[str, object]) -> list[NodeProto]:
    """Each behind what it reads.  Raises ArchError (E610): there is no such order."""
    made: dict[str, int] = {}
    for number, node in enumerate(nodes):
        for name in filter(None, node.output):
            if name in made or name in known:
                raise refused(f"two nodes give `{name}`", place_of(node))
            made[name] = number
    done: set[int] = set()
    waiting: set[int] = set()
    order: list[NodeProto] = []
    for start in range(len(nodes)):
        stack = [start]
        while stack:
            number = stack[-1]
            if number in done:
                stack.pop()
                continue
            waiting.add(number)
            missing = []
            for name in filter(None, nodes[number].input):
                if name not in made and name not in known:
                    raise refused(f"nothing gives `{name}`", place_of(nodes[number]))
                if name in made and made[name] not in done:
                    missing.append(made[name])
            if not missing:
                done.add(number)
                waiting.discard(number)
                order.append(nodes[stack.pop()])
            elif any(other in waiting for other in missing):
                raise refused("the graph has a cycle", place_of(nodes[number]))
            else:
                stack += missing
    return order


def _sizes(call: Call) -> Array:
    """What `Shape` and `Size` give: whole numbers."""
    x = call.data(0, moved=True)
    whole = [*x.shape]
    whole[x.at : x.at] = [call.reading.batch] * call.reading.lead
    if call.kind == "Size":
        return np.array(np.prod(whole), np.int64)
    return np.array(whole, np.int64)[call.get("start", 0) : call.get("end", None)]
