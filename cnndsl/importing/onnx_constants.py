"""What nodes of constants give, and runs of nodes that are one of ours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from cnndsl.importing import onnx_rules  # noqa: F401 - it registers the rules
from cnndsl.importing.flow import refused
from cnndsl.importing.onnx_graph import (
    Call,
    Known,
)
from cnndsl.ops.facts import Array

if TYPE_CHECKING:
    from onnx import NodeProto


def place_of(node: NodeProto) -> str:
    """A node as messages name it: `conv1 (Conv)`."""
    name = node.name or (node.output[0] if node.output else "")
    return f"{name} ({node.op_type})" if name else node.op_type


def folded(node: NodeProto, arrays: Sequence[Array | None], opset: int) -> list[Array]:
    """What a node computes from constants.  Raises ArchError (E610): it cannot be run."""
    import onnx
    from onnx import helper
    from onnx.reference import ReferenceEvaluator

    if any(a.type in (a.GRAPH, a.GRAPHS) for a in node.attribute):
        raise refused("a graph in a node", place_of(node))
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
        raise refused(f"a constant cannot be worked out: {reason}", place_of(node)) from None
    return [np.asarray(array) for array in found]


def moved(call: Call, array: Array) -> Known:
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
        return folded(makes[name], [], 20)[0] if constant else None
    found = known.get(name)
    return found.array if isinstance(found, Known) else None
