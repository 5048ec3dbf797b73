"""What is written and changes nothing: lines nothing reads, parameters nothing uses."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

from cnndsl.diagnostics import Diagnostic, Span
from cnndsl.graph import Network
from cnndsl.language import tree
from cnndsl.language.modules import BlockDefinition
from cnndsl.structure import Call, Item, Line, inside, nodes_of


def unread_lines(
    network: Network, definitions: Iterable[BlockDefinition], asked: set[str]
) -> Iterator[Diagnostic]:
    """The lines that nothing reads, wherever their block is called.

    `asked` are the nodes of which an expression reads the size. What a line names that a
    condition has removed is read under other values.
    """
    outputs = {tensor.node for tensor in network.outputs.values()}
    readers = network.wires.readers
    if not any(not readers(node.name) and node.name not in outputs for node in network):
        return  # every line that nothing reads ends in such a node
    dead: dict[Span, Line] = {}
    read: set[Span] = set()
    stack: list[tuple[Item, set[str]]] = [(line, outputs) for line in network.structure.body]
    while stack:
        item, kept = stack.pop()
        if isinstance(item, Line) and item.on and item.span is not None:
            nodes = set(nodes_of([item]))
            if nodes and not _leaves(network, nodes) and not nodes & (kept | asked):
                dead[item.span] = item
                continue
            read.add(item.span)
        if isinstance(item, Call):
            inner = kept | {tensor.node for tensor in item.block.outputs.values()}
            stack += [(line, inner) for line in item.block.body]
        stack += [(other, kept) for other in inside(item, into_blocks=False)]
    declarations = [(d.declaration.span, _names(d.declaration)) for d in definitions if dead]
    for span in sorted(dead.keys() - read, key=lambda s: (s.source.name, s.start)):
        labels = dead[span].labels
        if any(_within(span, around) and names & {*labels} for around, names in declarations):
            continue
        label = ", ".join(labels)
        message = f"nothing reads `{label}`" if label else "nothing reads this line"
        help = "leave it out, or use it: in another line, or as an output of the block"
        yield Diagnostic("W202", message, span, help=help)


def _within(span: Span, around: Span) -> bool:
    return span.source is around.source and around.start <= span.start < around.stop


def _leaves(network: Network, nodes: set[str]) -> bool:
    """Whether something outside some nodes reads one of them."""
    return any(user not in nodes for name in nodes for user in network.wires.readers(name))


def unused_parameters(definitions: Iterable[BlockDefinition]) -> Iterator[Diagnostic]:
    """The parameters that no line, size or default of their block names."""
    for definition in definitions:
        declaration = definition.declaration
        names = _names(declaration) if declaration.params else set()
        for param in declaration.params:
            if param.name not in names:
                message = f"nothing in `{declaration.name}` uses its parameter `{param.name}`"
                yield Diagnostic("W203", message, param.name_span, help="leave it out")


def _names(declaration: tree.Declaration) -> set[str]:
    """Every name that a declaration reads."""
    parts = (declaration.params, declaration.inputs, declaration.outputs, declaration.body)
    return {port.name for port in declaration.outputs or ()} | names_in(*parts)


def names_in(*parts: object) -> set[str]:
    """Every name that parts of a declaration read."""
    return {path.name for path in _inside(parts) if isinstance(path, tree.NamePath)}


def values_in(*parts: object) -> set[str]:
    """Those that stand in expressions, and are no step and no source of a line."""
    return {value.path.name for value in _inside(parts) if isinstance(value, tree.Value)}


def _inside(part: object) -> Iterator[object]:
    """Every node of a tree."""
    stack = [part]
    while stack:
        part = stack.pop()
        yield part
        if isinstance(part, tuple | list):
            stack += part
        elif isinstance(part, tree.LineStatement):
            # Its labels are given here; their indices are read.
            stack += [part.terms, part.condition, *(label.parts for label in part.labels)]
        elif dataclasses.is_dataclass(part) and not isinstance(part, Span):
            stack += [getattr(part, field.name) for field in dataclasses.fields(part)]
