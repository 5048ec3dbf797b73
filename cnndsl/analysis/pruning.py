"""A network without the layers that some tensors do not need, in the graph and as written.

It is for what no cut of the text says: one call of a block that goes less far than another.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from cnndsl.analysis.propagate import Scope, scopes, size_attributes
from cnndsl.graph import Network, Wires
from cnndsl.structure import (
    Block,
    Call,
    Each,
    Group,
    Item,
    Line,
    Loop,
    Repeat,
    Step,
    Tensor,
    Term,
    nodes_of,
)
from cnndsl.symbolic import Axis, Formula, Sym, Symbol, formula


def pruned(
    network: Network, outputs: dict[str, Tensor], declared: Mapping[int, object]
) -> Network:
    """The network with these outputs, and only the nodes that they need.

    `declared` has by the `id` of a block what is left of its declaration. It has none
    itself, where that does not say it: its text says more than it does.
    """
    work = Needed(network)
    work.add(tensor.node for tensor in outputs.values())
    needed = work.nodes
    inputs = {name: t for name, t in network.inputs.items() if t.node in needed}
    inputs = inputs or dict(network.inputs)
    needed |= {tensor.node for tensor in inputs.values()}
    structure = _Pruning(needed, declared).block(network.structure)
    structure.inputs, structure.outputs = inputs, outputs
    return replace(
        network,
        wires=_wires(network, needed),
        structure=structure,
        inputs=inputs,
        outputs=outputs,
        shapes={name: found for name, found in network.shapes.items() if name in needed},
        decided=tuple(one for one in network.decided if work.has(one.formula)),
        numbers=tuple(one for one in network.numbers if work.has(one.formula)),
    )


class Needed:
    """The nodes that some need: those they read, and those of which they read a size."""

    def __init__(self, network: Network) -> None:
        """Begin with none."""
        self.network, self.scopes = network, scopes(network)
        self.nodes: set[str] = set()

    def add(self, nodes: Iterable[str]) -> None:
        """Nodes, and all that they need."""
        stack = [*nodes]
        while stack:
            name = stack.pop()
            if name in self.nodes:
                continue
            self.nodes.add(name)
            stack += self.network.wires.producers(name)
            for size in size_attributes(self.network.node(name).op):
                stack += self.sizes(formula(size), self.scopes.get(name))

    def has(self, size: Formula) -> bool:
        """Whether all is there of which a formula, in the model's terms, reads a size."""
        return self.nodes.issuperset(self.sizes(size, None))

    def sizes(self, size: Formula, scope: Scope | None) -> Iterator[str]:
        """The nodes of which a formula reads a size where it stands; None: in the model."""
        for atom in size.atoms():
            yield from self.size(atom, scope)

    def size(self, atom: Symbol | Axis, scope: Scope | None) -> Iterator[str]:
        """The same of an atom, which may stand for a formula of the caller's."""
        if isinstance(atom, Axis) and ":" in atom.tensor:
            yield atom.tensor.rpartition(":")[0]
            return
        while scope is not None:
            if isinstance(atom, Axis) and atom.tensor in (scope.ports or ()):
                assert scope.ports is not None
                yield scope.ports[atom.tensor].node
                return
            if isinstance(atom, Symbol) and atom.name in scope.names:
                value = scope.names[atom.name]
                if isinstance(value, Sym) and scope.outside is not None:
                    yield from self.sizes(value.formula, scope.outside)
                return
            scope = scope.outside


def _wires(network: Network, needed: set[str]) -> Wires:
    """The nodes that are left; the first of those that share weights owns them."""
    found, owned = Wires(), set()
    for name, node in network.wires.nodes.items():
        if name in needed:
            first = node.shared and node.path not in owned
            owned.add(node.path)
            found.add(replace(node, shared=False) if first else node, network.wires.reads[name])
    return found


class _Pruning:
    """What is left of lines and terms."""

    def __init__(self, needed: set[str], declared: Mapping[int, object]) -> None:
        self.needed, self.declared = needed, declared

    def left(self, tensors: Iterable[Tensor]) -> tuple[Tensor, ...]:
        return tuple(tensor for tensor in tensors if tensor.node in self.needed)

    def alive(self, items: Iterable[Item]) -> bool:
        return not self.needed.isdisjoint(nodes_of(items))

    def gone(self, items: Iterable[Item]) -> bool:
        """Whether what made layers makes none that are left."""
        nodes = {*nodes_of(items)}
        return bool(nodes) and nodes.isdisjoint(self.needed)

    def block(self, block: Block) -> Block:
        return replace(
            block,
            inputs={name: t for name, t in block.inputs.items() if t.node in self.needed},
            outputs={name: t for name, t in block.outputs.items() if t.node in self.needed},
            body=self.lines(block.body),
            declared=self.declared.get(id(block)),
        )

    def lines(self, lines: Sequence[Line]) -> list[Line]:
        """Those in which something is left, or that name something that is."""
        kept = []
        for line in lines:
            left = self.left(line.outputs)
            if not line.on or left or self.alive([line]):
                several = len(line.labels) > 1
                labels = tuple(
                    label
                    for label, tensor in zip(line.labels, line.outputs, strict=False)
                    if tensor.node in self.needed
                )
                kept.append(
                    replace(
                        line,
                        labels=labels if several else line.labels,
                        # A label is of the first: none stands for what was second.
                        outputs=left if several or left[:1] == line.outputs[:1] else (),
                        inputs=self.left(line.inputs),
                        source=None if line.source is None else self.left(line.source),
                        terms=[self.term(term) for term in self.until(line.terms)],
                    )
                )
        return kept

    def term(self, term: Term) -> Term:
        """A term in which something is left."""
        new: dict[str, Any] = {
            "inputs": self.left(term.inputs),
            "outputs": self.left(term.outputs),
        }
        match term:
            case Step(nodes=nodes, slots=slots, lines=lines):
                pairs = [(n, s) for n, s in zip(nodes, slots, strict=False) if n in self.needed]
                if nodes and not pairs:
                    return self.operands(term, lines)
                new["nodes"] = tuple(node for node, _ in pairs)
                new["slots"] = tuple(slot for _, slot in pairs)
                new["lines"] = None if lines is None else self.lines(lines)
            case Call(block=block, lines=lines):
                if self.gone(block.body):
                    return self.operands(term, lines)
                new["block"] = self.block(block)
                new["lines"] = None if lines is None else self.lines(lines)
            case Group(body=body):
                new["body"] = self.lines(body)
            case Repeat(items=items):
                new["items"] = [self.turn(item) for item in self.until(items)]
            case Loop(bodies=bodies):
                gone = [self.gone(body) for body in bodies]
                count = max([n + 1 for n, one in enumerate(gone) if not one], default=0)
                new["bodies"] = [self.lines(body) for body in bodies[:count]]
                new["rows"] = term.rows[:count]
            case Each(calls=calls, lines=lines, nodes=nodes):
                new["calls"] = [self.turn(call) for call in self.until(calls)]
                new["lines"] = None if lines is None else self.lines(lines)
                new["nodes"] = tuple(node for node in nodes if node in self.needed)
        return replace(term, **new)

    def operands(self, term: Step | Call, lines: Sequence[Line] | None) -> Group:
        """What is in the braces of a step that is gone."""
        return Group(term.key, self.lines(lines or []), self.left(term.inputs), ())

    def turn(self, term: Term) -> Term:
        """One of several, which keeps its number."""
        return Group(term.key, [], (), ()) if self.gone([term]) else self.term(term)

    def until(self, terms: Sequence[Term]) -> Sequence[Term]:
        """Those up to the last in which something is left."""
        left = [n for n, term in enumerate(terms) if not self.gone([term])]
        return terms[: left[-1] + 1] if left else terms[:0]
