"""Shapes in the model's own terms: every operation's rule, run over the sizes `H`, `W`.

A network's own shapes are in the terms of the block that each layer is in. Here each
attribute is carried out of its blocks and loops first, so that one pass over the graph
gives every shape as a formula of the model's inputs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from cnndsl.analysis.forms import normal
from cnndsl.graph import Decided, Network
from cnndsl.ops.base import Op
from cnndsl.ops.facts import Places, Shape, mapped
from cnndsl.structure import (
    Block,
    Call,
    Each,
    Item,
    Loop,
    Step,
    Tensor,
    inside,
)
from cnndsl.symbolic import Axis, Formula, Sym, Symbol, formula

Atom = Symbol | Axis
Key = tuple[Op, tuple[Formula, ...], tuple[tuple[Formula, ...], ...]]


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a layer stands: the names around it, and what the block's ports carry.

    The values in `names` are in the terms of the scope outside; a loop has no ports of
    its own.
    """

    outside: Scope | None
    names: Mapping[str, object]
    ports: Mapping[str, Tensor] | None = None


@dataclass(frozen=True, slots=True)
class Layer:
    """One node in the model's terms."""

    name: str
    op: Op
    inputs: tuple[Shape, ...]
    outputs: tuple[Shape, ...]
    rows: int
    """How often it runs per sample."""
    kind: int
    """Layers of one kind have equal operations and equal formulas: one stands for all."""


@dataclass(frozen=True, slots=True)
class Propagated:
    """The layers in topological order, and how the atoms of their formulas are spelt."""

    network: Network
    layers: tuple[Layer, ...]
    names: dict[Atom, str]
    sizes: dict[str, int]
    """The model's sizes, with the values that the network was built at."""
    shapes: dict[str, tuple[Shape, ...]] = field(repr=False)
    decided: tuple[Decided, ...] = ()
    """What the sizes decided, in the model's terms."""
    numbers: tuple[Decided, ...] = ()
    """The sizes from which attributes that are no integers were worked out."""

    def bound(self, sizes: Mapping[str, int]) -> dict[Atom, int]:
        """Each atom's value where the sizes are these, the others the network's own."""
        values = {**self.sizes, **sizes}
        return {atom: values[name] for atom, name in self.names.items()}

    def inputs(self, sizes: Mapping[str, int]) -> dict[str, Shape]:
        """The shapes of the inputs there."""
        atoms = self.bound(sizes)
        return {
            port: tuple(int(formula(n).evaluate(atoms)) for n in tensor.shape)
            for port, tensor in self.network.inputs.items()
        }


def propagate(network: Network) -> Propagated:
    """The network in the terms of its model."""
    work = _Work(network)
    layers = tuple(work.layer(node.name) for node in network)
    names, sizes = sizes_of(network)
    facts = (tuple(work.carried(some)) for some in (network.decided, network.numbers))
    return Propagated(network, layers, names, sizes, work.shapes, *facts)


def sizes_of(network: Network) -> tuple[dict[Atom, str], dict[str, int]]:
    """The named sizes of a model: what each atom is called, and its value."""
    names: dict[Atom, str] = {}
    sizes: dict[str, int] = {}
    for name, value in network.structure.names.items():
        items = value if isinstance(value, tuple) else (value,)
        for number, item in enumerate(items):
            atom = _only_atom(item)
            if isinstance(atom, Axis) and atom.tensor in network.inputs:
                shown = f"{name}{number}" if isinstance(value, tuple) else name
                if atom not in names:
                    names[atom], sizes[shown] = shown, int(item)
    for name, value in network.arguments.items():
        atom = _only_atom(value)
        if isinstance(atom, Symbol) and atom.name == name:
            assert isinstance(value, int)
            names[atom], sizes[name] = name, int(value)
    return names, sizes


def _only_atom(value: object) -> object:
    if not isinstance(value, Sym) or len(value.formula.terms) != 1:
        return None
    ((monomial, coefficient),) = value.formula.terms.items()
    return monomial[0] if coefficient == 1 and len(monomial) == 1 else None


class _Work:
    """The shapes so far."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.scopes = scopes(network)
        self.shapes: dict[str, tuple[Shape, ...]] = {}
        self.rows: dict[str, tuple[int, ...]] = {}
        self.kinds: dict[Key, tuple[int, tuple[Shape, ...]]] = {}

    def layer(self, name: str) -> Layer:
        """One node, all those before it being known."""
        node = self.network.node(name)
        operands = self.network.operands(name)
        inputs = tuple(self.shapes[producer][output] for producer, output in operands)
        if name in self.network.inputs:
            shape = tuple(normal(n) for n in self.network.inputs[name].shape)
            self.shapes[name], self.rows[name] = (shape,), ()
            return Layer(name, node.op, (), (shape,), 1, self._kind(node.op, (), (shape,))[0])
        op = self._op(name)
        rows = max((self.rows[producer] for producer, _ in operands), key=len, default=())
        if op.rows_joined > 0:
            rows = (*rows, inputs[0][0])
        if op.rows_joined:
            op = dataclasses.replace(op, rows=rows[-1])  # type: ignore[type-var]
        if op.rows_joined < 0:
            rows = rows[:-1]
        self.rows[name] = rows
        kind, outputs = self._kind(op, inputs)
        self.shapes[name] = outputs
        times = 1
        for count in rows:
            times = times * count
        return Layer(name, op, inputs, outputs, times, kind)

    def _kind(
        self, op: Op, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...] | None = None
    ) -> tuple[int, tuple[Shape, ...]]:
        """The number of its kind, and its outputs, worked out once a kind."""
        # By formula: two sizes may be equal here and differ elsewhere.
        read = tuple(_formulas(shape) for shape in (outputs or inputs))
        key: Key = (op, tuple(map(formula, size_attributes(op))), read)
        found = self.kinds.get(key)
        if found is None:
            shapes = outputs or op.shapes(*inputs)
            plain = tuple(mapped(shape, normal) for shape in shapes)
            found = self.kinds[key] = len(self.kinds), plain
        return found

    def _op(self, name: str) -> Op:
        """A node's operation with its attributes in the model's terms."""
        op = self.network.node(name).op
        scope = self.scopes.get(name)
        if scope is None or not size_attributes(op):
            return op
        values = {
            field.name: self._carried(getattr(op, field.name), scope)
            for field in dataclasses.fields(op)  # type: ignore[arg-type]
        }
        return dataclasses.replace(op, **values)  # type: ignore[type-var]

    def _carried(self, value: object, scope: Scope) -> object:
        if isinstance(value, tuple):
            return tuple(self._carried(item, scope) for item in value)
        if isinstance(value, Sym):
            return normal(value.formula.evaluate(_Bindings(self, scope, value)))
        return value

    def carried(self, facts: Iterable[Decided]) -> Iterator[Decided]:
        """What the sizes decided, each fact once."""
        top = _inside(self.network.structure, None)
        seen: set[tuple[Formula, bool]] = set()
        for one in facts:
            value = self._carried(Sym(one.value, one.formula), top)
            if isinstance(value, Sym) and (value.formula, one.contract) not in seen:
                seen.add((value.formula, one.contract))
                yield dataclasses.replace(one, formula=value.formula)

    def atom(self, atom: Atom, scope: Scope | None) -> int | None:
        """What an atom stands for, in the model's terms; None where that is not known."""
        if isinstance(atom, Axis) and ":" in atom.tensor:
            node, _, output = atom.tensor.rpartition(":")
            return self.shapes[node][int(output)][atom.axis]
        while scope is not None:
            if isinstance(atom, Axis) and scope.ports is not None:
                tensor = scope.ports.get(atom.tensor)
                return None if tensor is None else self._size(tensor, atom.axis)
            if isinstance(atom, Symbol) and atom.name in scope.names:
                value = scope.names[atom.name]
                if isinstance(value, Sym) and scope.outside is not None:
                    return value.formula.evaluate(_Bindings(self, scope.outside, value))
                return value if isinstance(value, int) else None
            scope = scope.outside
        return None

    def _size(self, tensor: Tensor, axis: int) -> int:
        return self.shapes[tensor.node][tensor.output][axis]


def _formulas(shape: Shape) -> tuple[Formula, ...]:
    """Of a shape, and of the map that places are in."""
    return tuple(map(formula, (*shape, *(shape.plane if isinstance(shape, Places) else ()))))


class _Bindings(dict[Atom, int]):
    """The atoms of one formula in one scope."""

    def __init__(self, work: _Work, scope: Scope, value: Sym) -> None:
        super().__init__()
        for atom in value.formula.atoms():
            found = work.atom(atom, scope)
            # What cannot be carried out keeps its value: the check by elaboration sees it.
            self[atom] = int(value) if found is None else found


def size_attributes(op: Op) -> list[Sym]:
    """The attributes of an operation that are formulas."""
    found: list[Sym] = []
    stack: list[object] = [getattr(op, f.name) for f in dataclasses.fields(op)]  # type: ignore[arg-type]
    while stack:
        value = stack.pop()
        if isinstance(value, tuple):
            stack += value
        elif isinstance(value, Sym):
            found.append(value)
    return found


def scopes(network: Network) -> dict[str, Scope]:
    """The scope of every node that a written step made."""
    found: dict[str, Scope] = {}
    top = _inside(network.structure, None)
    stack: list[tuple[Item, Scope]] = [(line, top) for line in network.structure.body]
    while stack:
        item, scope = stack.pop()
        if isinstance(item, Loop):
            for row, body in zip(item.rows, item.bodies, strict=True):
                # A row's values stand for themselves in the scope around the loop.
                inner = Scope(scope, dict(zip(item.names, row, strict=False)))
                stack += [(line, inner) for line in body]
            continue
        if isinstance(item, Step | Each):
            found |= dict.fromkeys(item.nodes, scope)
        if isinstance(item, Call):
            inner = _inside(item.block, scope)
            stack += [(line, inner) for line in item.block.body]
        stack += [(other, scope) for other in inside(item, into_blocks=False)]
    return found


def _inside(block: Block, outside: Scope | None) -> Scope:
    return Scope(outside, dict(_named(block.arguments.items())), block.inputs)


def _named(values: Iterable[tuple[str, object]]) -> Iterator[tuple[str, object]]:
    """Values by name, and the items of lists by theirs: `sizes[0]`."""
    for name, value in values:
        yield name, value
        if isinstance(value, tuple):
            yield from _named((f"{name}[{i}]", item) for i, item in enumerate(value))
