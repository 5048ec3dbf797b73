"""A network as ONNX nodes: each operation's own form, one after another.

The batch is free, and so is each named size of an input on which nothing but shapes
depends. What a layer needs to know of such a size is worked out when the file runs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count

from cnndsl.analysis.forms import normal
from cnndsl.analysis.propagate import Atom, Layer, Propagated, propagate
from cnndsl.analysis.weights import weight_name
from cnndsl.backends.onnx.sizes import Sizes
from cnndsl.diagnostics import ArchError, Diagnostic, OpError
from cnndsl.graph import Network, key_of
from cnndsl.ops.base import Op
from cnndsl.ops.facts import Family, Shape
from cnndsl.ops.onnx_steps import FreeSizeError, Onnx, OnnxNode, Value, fixed
from cnndsl.symbolic import Apply, Axis, Formula, Sym


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output of the graph; a free size is its formula's text."""

    name: str
    dims: tuple[int | str, ...]
    integer: bool = False


@dataclass(slots=True)
class Traced:
    """A network's nodes, layer by layer, all names being those of the whole graph."""

    network: Network
    inputs: list[Port]
    outputs: list[Port]
    sizes: list[OnnxNode]
    """What works out the sizes that layers ask for."""
    layers: dict[str, list[OnnxNode]]
    """The nodes of each layer, in order."""
    weights: dict[str, str]
    """The names of those that are read, by their keys."""
    values: dict[tuple[str, int], str]
    """What each output of a layer is called."""


def traced(network: Network) -> Traced:
    """The network's nodes.  Raises ArchError (E608): a layer has no form in ONNX."""
    found = propagate(network)
    free = _free(found)
    while True:
        try:
            return _Trace(found, free).all()
        except FreeSizeError as error:
            # A kernel, say, as large as the map: the size has to be fixed.
            free -= error.written.atoms()


def _free(found: Propagated) -> set[Atom]:
    """The sizes of inputs that decide nothing and shape no weight."""
    free: set[Atom] = {atom for atom in found.names if isinstance(atom, Axis)}
    held = {  # shapes would not do: one of formulas equals one of numbers
        n.formula
        for layer in found.layers
        for weight in layer.op.weights(*layer.inputs).values()
        for n in weight.shape
        if isinstance(n, Sym)
    }
    held |= {one.formula for one in found.numbers}
    held |= {one.formula for one in found.decided if not (one.contract and _equal(one.formula))}
    return free.difference(*(formula.atoms() for formula in held))


def _equal(written: Formula) -> bool:
    """Whether a contract says that two sizes are the same, as equal names do too."""
    ((monomial, _), *rest) = written.terms.items()
    (comparison,) = monomial if len(monomial) == 1 else (None,)
    if rest or not isinstance(comparison, Apply) or comparison.function != "==":
        return False
    return all(side.constant is None for side in comparison.arguments)


class _Trace:
    """One pass, with some sizes free."""

    def __init__(self, found: Propagated, free: set[Atom]) -> None:
        self.found, self.network = found, found.network
        self.atoms: dict[Atom, int] = {}
        for atom, name in found.names.items():
            value = found.sizes[name]
            self.atoms[atom] = Sym(value, Formula({(atom,): 1})) if atom in free else value
        self.sizes = Sizes(found.names, next(iter(self.network.inputs)))
        self.values: dict[tuple[str, int], Value] = {}
        self.layers: dict[str, list[OnnxNode]] = {}
        self.weights: dict[str, str] = {}
        self.keys: set[str] = set()
        self.taken = {*self.network.inputs, *self.network.outputs}

    def all(self) -> Traced:
        """Every layer that an output needs."""
        network = self.network
        needed = {tensor.node for tensor in network.outputs.values()}
        for name in reversed([*network.wires]):
            needed |= network.wires.producers(name) if name in needed else set()
        for layer in self.found.layers:
            if layer.name in network.inputs:
                self._input(layer)
            elif layer.name in needed:
                self._layer(layer)
        inputs = [
            Port(port, self._dims(self.values[tensor.node, 0].shape))
            for port, tensor in network.inputs.items()
        ]
        outputs = self._outputs()
        values = {place: value.name for place, value in self.values.items()}
        sizes = self.sizes.to.nodes
        return Traced(network, inputs, outputs, sizes, self.layers, self.weights, values)

    def _input(self, layer: Layer) -> None:
        (shape,) = (self._shape(shape) for shape in layer.outputs)
        self.values[layer.name, 0] = Value(self.sizes.to, layer.name, shape)

    def _layer(self, layer: Layer) -> None:
        node = self.network.node(layer.name)
        op = self._bound(layer.op)
        to = Onnx(_unique(key_of(node.path), self.keys), self.sizes)
        given = [self.values[source] for source in self.network.operands(layer.name)]
        operands = [Value(to, v.name, v.shape, integer=v.integer) for v in given]
        mixed = any(v.integer != given[0].integer for v in given)
        if op.family is not Family.BOXES and (mixed or not op.moves):
            operands = [to.real(value) for value in operands]
        own = {}
        for name, weight in op.weights(*(v.shape for v in operands)).items():
            if not weight.integer:
                key = weight_name(node, name)
                known = self.weights.get(key) or _unique(key, self.taken)
                self.weights[key] = known
                own[name] = Value(to, known, self._shape(weight.shape))
        try:
            said = op.onnx(to, *operands, **own)
        except OpError as error:
            message = f"`{layer.name}`: {error.message}"
            found = Diagnostic("E608", message, node.span, help=error.help)
            raise ArchError([found]) from None
        results = said if isinstance(said, tuple) else (said,)
        names = self._names(to.key, to.nodes, results)
        span, path = node.span, "/".join(map(str, node.path[:-1]))
        place = f"{span.source.name.rpartition('/')[2]}:{span.line}"
        self.layers[layer.name] = [
            dataclasses.replace(
                _renamed(one, names),
                name=to.key if one.outputs[0] == results[0].name else one.outputs[0],
                place=place,
                inside=path,
            )
            for one in to.nodes
        ]
        for number, (value, shape) in enumerate(zip(results, layer.outputs, strict=True)):
            name = names.get(value.name, value.name)
            self.values[layer.name, number] = Value(
                to, name, self._shape(shape), integer=value.integer
            )

    def _names(
        self, key: str, nodes: Sequence[OnnxNode], results: Sequence[Value]
    ) -> dict[str, str]:
        """The layer's own names for what it gives; what only passes through has one."""
        made = {name for node in nodes for name in node.outputs}
        names: dict[str, str] = {}
        for number, value in enumerate(results):
            if value.name in made and value.name not in names:
                said = key if len(results) == 1 else f"{key}:{number}"
                names[value.name] = _unique(said, self.taken)
        return names

    def _outputs(self) -> list[Port]:
        """The outputs, under their own names: what has another already is copied."""
        found: list[Port] = []
        names: dict[str, str] = {}
        copies: list[tuple[str, OnnxNode]] = []
        made = {n for nodes in self.layers.values() for one in nodes for n in one.outputs}
        for name, tensor in self.network.outputs.items():
            value = self.values[tensor.node, tensor.output]
            found.append(Port(name, self._dims(value.shape), value.integer))
            if value.name in made and value.name not in names:
                names[value.name] = name
            else:
                copy = OnnxNode("Identity", (value.name,), (name,), name=f"{name}/copy")
                copies.append((tensor.node, copy))
        for layer, copy in copies:
            self.layers.setdefault(layer, []).append(copy)
        self.layers = {
            layer: [_renamed(one, names) for one in nodes]
            for layer, nodes in self.layers.items()
        }
        for value in self.values.values():
            value.name = names.get(value.name, value.name)
        return found

    # In the free sizes

    def _shape(self, shape: Shape) -> Shape:
        return tuple(self._number(n) for n in shape)

    def _number(self, value: int) -> int:
        if not isinstance(value, Sym):
            return int(value)
        return normal(value.formula.evaluate(self.atoms))

    def _bound(self, op: Op) -> Op:
        values = {p.name: self._carried(getattr(op, p.name)) for p in op.parameters}
        for parameter in op.parameters:
            kinds = parameter.type.split(" | ")
            if "float" in kinds and "Numbers" not in kinds:  # no number worked out later
                fixed(values[parameter.name])
        return dataclasses.replace(op, **values)  # type: ignore[type-var]

    def _carried(self, value: object) -> object:
        if isinstance(value, tuple):
            return tuple(map(self._carried, value))
        return self._number(value) if isinstance(value, Sym) else value

    def _dims(self, shape: Shape) -> tuple[int | str, ...]:
        return tuple(
            self.sizes.text(n.formula) if isinstance(n, Sym) else int(n) for n in shape
        )


def _unique(name: str, taken: set[str]) -> str:
    """The name, or the first with a number behind it that is free."""
    names = chain([name], (f"{name}_{n}" for n in count(2)))
    found = next(one for one in names if one not in taken)
    taken.add(found)
    return found


def _renamed(node: OnnxNode, names: Mapping[str, str]) -> OnnxNode:
    """The node with other names for some tensors."""
    read, given = (
        tuple(names.get(name, name) for name in some) for some in (node.inputs, node.outputs)
    )
    return dataclasses.replace(node, inputs=read, outputs=given)
