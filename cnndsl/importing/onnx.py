"""An ONNX model as a flow of our layers.  Nothing of it is run but to compare.

Constants are worked out, local functions opened; what a node does that a file cannot say is an
E610 that names it.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cnndsl.files import regular
from cnndsl.importing import onnx_rules  # noqa: F401 - it registers the rules
from cnndsl.importing.flow import Flow, Layer, Scope, Value, refused, sayable
from cnndsl.importing.onnx_graph import (
    BATCH,
    RULES,
    Call,
    Data,
    Known,
    Learned,
    Reading,
    UnsayableError,
    unsaid,
)
from cnndsl.ops.base import Array, Shape

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
        raise refused(f"the inputs have different batches: {sorted(batches)}")
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
            for one in _opened(reading.layers)
        ),
        weights={key: one.array for key, one in learned.items()},
        run=_runner(model, learned, [*inputs], reading.batch),
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
        call = Call(node, self.reading, opset, (*scopes, *_scopes(node)))
        if node.domain not in STANDARD:
            raise refused(f"operators of the domain `{node.domain}` are unknown", _where(node))
        constants = [x for x in call.inputs if x is not None]
        if all(isinstance(x, Known) for x in constants):
            arrays = [x.array if isinstance(x, Known) else None for x in call.inputs]
            found = _folded(node, arrays, opset)
            for name, array in zip(node.output, found, strict=False):
                tensors[name] = _moved(call, array)
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
            raise refused(f"the function `{node.op_type}` calls itself", _where(node))
        if node.attribute or function.attribute or function.attribute_proto:
            raise refused(f"the function `{node.op_type}` has attributes", _where(node))
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
                raise refused(f"two nodes give `{name}`", _where(node))
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
                    raise refused(f"nothing gives `{name}`", _where(nodes[number]))
                if name in made and made[name] not in done:
                    missing.append(made[name])
            if not missing:
                done.add(number)
                waiting.discard(number)
                order.append(nodes[stack.pop()])
            elif any(other in waiting for other in missing):
                raise refused("the graph has a cycle", _where(nodes[number]))
            else:
                stack += missing
    return order


def _where(node: NodeProto) -> str:
    name = node.name or (node.output[0] if node.output else "")
    return f"{name} ({node.op_type})" if name else node.op_type


def _sizes(call: Call) -> Array:
    """What `Shape` and `Size` give: whole numbers."""
    x = call.data(0, moved=True)
    whole = [*x.shape]
    whole[x.at : x.at] = [call.reading.batch] * call.reading.lead
    if call.kind == "Size":
        return np.array(np.prod(whole), np.int64)
    return np.array(whole, np.int64)[call.get("start", 0) : call.get("end", None)]


def _folded(node: NodeProto, arrays: Sequence[Array | None], opset: int) -> list[Array]:
    """What a node gives of constants.  Raises ArchError (E610): nobody knows."""
    import onnx
    from onnx import helper
    from onnx.reference import ReferenceEvaluator

    if any(a.type in (a.GRAPH, a.GRAPHS) for a in node.attribute):
        raise refused("a graph in a node", _where(node))
    names = [f"c{number}" if array is not None else "" for number, array in enumerate(arrays)]
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    del copy.input[:]
    copy.input.extend(names)
    ports = [
        helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
        )
        for name, array in zip(names, arrays, strict=True)
        if array is not None
    ]
    outputs = [onnx.ValueInfoProto(name=name) for name in copy.output if name]
    graph = helper.make_graph([copy], "constant", ports, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", max(opset, 1))])
    feeds = {n: a for n, a in zip(names, arrays, strict=True) if a is not None}
    try:
        found = ReferenceEvaluator(model).run(None, feeds)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise refused(f"a constant cannot be worked out: {reason}", _where(node)) from None
    return [np.asarray(array) for array in found]


def _moved(call: Call, array: Array) -> Known:
    """A constant that was worked out: the elements of an initializer, or a value of its own."""
    first = call.inputs[0] if call.inputs else None
    if not isinstance(first, Known) or not first.name:
        return Known(array)
    shape = first.array.shape
    if call.kind in ("Identity", "Cast"):
        return Known(array, first.name, first.back)
    batch = call.reading.batch
    if call.kind == "Expand" and array.shape[:1] == (batch,) and shape[:1] == (1,):
        # For each sample the same: it is kept once.
        return (
            Known(first.array, first.name, first.back)
            if array.shape[1:] == shape[1:]
            else (Known(array[:1]))
        )
    if call.kind in ("Reshape", "Squeeze", "Unsqueeze", "Flatten"):
        return Known(array, first.name, lambda a: first.back(a.reshape(shape)))
    if call.kind == "Transpose":
        order = call.get("perm", range(len(shape) - 1, -1, -1))
        home = np.argsort(list(order))
        return Known(array, first.name, lambda a: first.back(a.transpose(home)))
    return Known(array)


def fused(nodes: Sequence[NodeProto], known: Mapping[str, object]) -> list[NodeProto]:
    """Nodes, with `x / √2 → Erf → + 1 → · x → / 2` as the one `Gelu` that they are."""
    from onnx import helper

    makes = {name: node for node in nodes for name in node.output}
    reads = Counter(name for node in nodes for name in node.input)
    readers = {name: node for node in nodes for name in node.input}

    def number(name: str) -> float | None:
        found = _numbers(name, makes, known)
        return float(found.reshape(())) if found is not None and found.size == 1 else None

    def times(node: NodeProto | None, by: float) -> str:
        """What a node multiplies with a number, if it does."""
        if node is None or node.op_type not in ("Mul", "Div", "Add") or len(node.input) != 2:
            return ""
        for one, other in (node.input, [*node.input][::-1]):
            found = number(other)
            if found is not None and node.op_type == "Div" and other == node.input[1]:
                found = 1 / found
            if found is not None and abs(found - by) < 1e-6:
                return str(one)
        return ""

    gone: set[str] = set()
    new: dict[str, NodeProto] = {}
    for erf in (node for node in nodes if node.op_type == "Erf"):
        x = times(makes.get(erf.input[0]), 0.5**0.5)
        plus = readers.get(erf.output[0])
        product = readers.get(plus.output[0]) if plus is not None else None
        if not x or plus is None or product is None or product.op_type != "Mul":
            continue
        if plus.op_type != "Add" or times(plus, 1.0) != erf.output[0]:
            continue
        (other,) = [n for n in product.input if n != plus.output[0]] or [""]
        half = makes.get(other)
        chain = [makes[erf.input[0]], erf, plus, product]
        if other == x:  # the half comes last
            end = readers.get(product.output[0])
            if end is None or times(end, 0.5) != product.output[0]:
                continue
            chain.append(end)
        elif half is not None and times(half, 0.5) == x:
            chain.insert(0, half)
        else:
            continue
        end = chain[-1]
        if any(reads[name] != 1 for node in chain if node is not end for name in node.output):
            continue
        gone |= {name for node in chain for name in node.output}
        new[end.output[0]] = helper.make_node("Gelu", [x], [*end.output], name=end.name)
    kept = [
        new.get(node.output[0], node) if node.output else node
        for node in nodes
        if not node.output or node.output[0] not in gone or node.output[0] in new
    ]
    made = [one for node in kept for one in _reread(node, makes, known)]
    left = Counter(name for node in made for name in node.input)
    # A reshape that nothing reads any more is not asked what it is.
    return [
        node
        for node in made
        if node.op_type != "Reshape" or left[node.output[0]] or not reads[node.output[0]]
    ]


def _reread(
    node: NodeProto, makes: Mapping[str, NodeProto], known: Mapping[str, object]
) -> list[NodeProto]:
    """A node; where it takes all of a flat tensor in order, the reshape that this is."""
    from onnx import helper, numpy_helper

    flat = makes.get(node.input[0]) if node.op_type == "Gather" else None
    if flat is None or flat.op_type != "Reshape" or any(one.i for one in node.attribute):
        return [node]
    to, taken = (_numbers(name, makes, known) for name in (flat.input[1], node.input[1]))
    if to is None or taken is None or to.tolist() != [-1]:
        return [node]
    if (taken.reshape(-1) != np.arange(taken.size)).any():
        return [node]
    shape = f"{node.output[0]}.shape"
    value = numpy_helper.from_array(np.array(taken.shape, np.int64))
    return [
        helper.make_node("Constant", [], [shape], value=value),
        helper.make_node("Reshape", [flat.input[0], shape], [*node.output], name=node.name),
    ]


def _numbers(
    name: str, makes: Mapping[str, NodeProto], known: Mapping[str, object]
) -> Array | None:
    """A constant by its name: an initializer's, or a `Constant`'s."""
    if name in makes:
        constant = makes[name].op_type == "Constant"
        return _folded(makes[name], [], 20)[0] if constant else None
    found = known.get(name)
    return found.array if isinstance(found, Known) else None


# Where nodes come from

HIERARCHY, SCOPES = "pkg.torch.onnx.class_hierarchy", "pkg.torch.onnx.name_scopes"


def _scopes(node: NodeProto) -> tuple[Scope, ...]:
    """The modules around a node, where PyTorch's exporters say them."""
    said = {prop.key: prop.value for prop in node.metadata_props}
    try:
        classes, paths = (ast.literal_eval(said[key]) for key in (HIERARCHY, SCOPES))
    except (KeyError, ValueError, SyntaxError):
        return _named_scopes(node.name)
    found = []
    for kind, path in zip(classes[1:-1], paths[1:-1], strict=False):
        if not kind.startswith("torch.nn.") or ".container." in kind:
            found.append(Scope(path, kind.rpartition(".")[2], ".container." in kind))
    return tuple(found)


def _named_scopes(name: str) -> tuple[Scope, ...]:
    """The modules that `/layer1/layer1.0/conv1/Conv` names, of which the class is not said.

    Those of one container are thought to be of one class; the files' blocks show which are.
    """
    if not name.startswith("/"):
        return ()
    found: list[Scope] = []
    path = last = ""
    for segment in name[1:].split("/")[:-1]:
        child = last and segment.startswith(f"{last}.")
        path = path[: len(path) - len(last)] + segment if child else f"{path}.{segment}"
        path = path.lstrip(".")
        if child:
            found[-1] = replace(found[-1], transparent=True)
        word = re.sub(r"[^A-Za-z]+", " ", segment).title().replace(" ", "")
        found.append(Scope(path, f"{word.removesuffix('Block')}Block" if child else word))
        last = segment
    return tuple(found)


def _opened(layers: Sequence[Layer]) -> list[Layer]:
    """Layers without the modules that hold one layer alone."""
    count = Counter(scope.path for layer in layers for scope in layer.scopes)
    return [
        replace(layer, scopes=tuple(s for s in layer.scopes if count[s.path] > 1))
        for layer in layers
    ]


# Running it


def _runner(
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
