"""What is written and changes nothing: lines that nothing reads, names that nothing uses."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from itertools import compress

from cnndsl.diagnostics import Diagnostic, Edit, Span
from cnndsl.graph import Network
from cnndsl.language import tree
from cnndsl.language.names import BlockDefinition
from cnndsl.records import Record
from cnndsl.structure import Call, Item, Line, Repeat, inside, nodes_of, walk


def unread_lines(
    network: Network, definitions: Collection[BlockDefinition], asked: set[str]
) -> Iterator[Diagnostic]:
    """The lines that nothing reads, wherever their block is called, its outputs among them.

    `asked` are the nodes of which an expression reads the size. What a line names that a
    condition has removed is read under other values.
    """
    outputs = {tensor.node for tensor in network.outputs.values()}
    readers = network.wires.readers
    if not any(not readers(node.name) and node.name not in outputs for node in network):
        return  # every line that nothing reads ends in such a node
    dead: dict[Span, Line] = {}
    read: set[Span] = set()
    turns: dict[Span, tuple[int, int]] = {}
    body = network.structure.body
    stack: list[tuple[Item, set[str], Span | None]] = [(line, outputs, None) for line in body]
    while stack:
        item, kept, span = stack.pop()
        if isinstance(item, Line) and item.on and item.span is not None:
            span = item.span
            if _unread(network, item, kept | asked):
                dead[span] = item
                continue
            read.add(span)
        if isinstance(item, Repeat) and item.items and span is not None:
            *others, last = item.items
            lost = [_unread(network, turn, kept | asked) for turn in others]
            if any(lost):
                turns[span] = sum(lost), len(item.items)
                gone = walk(compress(others, lost))
                read |= {one.span for one in gone if isinstance(one, Line) and one.span}
                others = [*compress(others, [not one for one in lost])]
                stack += [(turn, kept, span) for turn in (*others, last)]
                continue
        if isinstance(item, Call):
            own = {*nodes_of(item.block.body)}
            left = {tensor.node for tensor in item.block.outputs.values()}
            inner = kept | {node for node in left if _leaves(network, own & {node}, own)}
            stack += [(line, inner, span) for line in item.block.body]
        stack += [(other, kept, span) for other in inside(item, into_blocks=False)]
    declarations = [(d.declaration.span, _read_in(d)) for d in definitions if dead]
    for span in sorted(dead.keys() - read, key=_start):
        labels = dead[span].labels
        if any(_within(span, around) and names & {*labels} for around, names in declarations):
            continue
        label = ", ".join(labels)
        message = f"nothing reads `{label}`" if label else "nothing reads this line"
        help = "leave it out, or use it: in another line, or as an output of the block"
        for block in (d.declaration for d in definitions if _within(span, d.declaration.span)):
            if {port.name for port in block.outputs or ()} & {*labels}:
                message = f"nothing reads the output `{label}` of `{block.name}`"
                help = f"leave it out, or use it where `{block.name}` is called"
        yield Diagnostic("W202", message, span, help=help)
    for span, (count, times) in sorted(turns.items(), key=lambda pair: _start(pair[0])):
        message = f"nothing reads {count} of the {times} turns of this repeat:"
        message += " each takes the same inputs"
        help = "call it once with its inputs, and repeat it on the next line without them"
        yield Diagnostic("W202", message, span, help=help)


def _unread(network: Network, item: Item, kept: set[str]) -> bool:
    """Whether nothing outside an item reads what it computes, and nothing keeps it."""
    nodes = set(nodes_of([item]))
    return bool(nodes) and not _leaves(network, nodes) and not nodes & kept


def _within(span: Span, around: Span) -> bool:
    return span.source is around.source and around.start <= span.start < around.stop


def _leaves(network: Network, nodes: set[str], within: set[str] | None = None) -> bool:
    """Whether something outside some nodes, or others that they are in, reads one of them."""
    around = nodes if within is None else within
    return any(user not in around for name in nodes for user in network.wires.readers(name))


def unused_names(
    definitions: Iterable[BlockDefinition], file: tree.File, applied: set[int]
) -> list[Diagnostic]:
    """What has a name that nothing uses, in these blocks and at the head of a file.

    `applied` are the defaults, by their `id`, that some step took.
    """
    found = [*_unused_in(definitions, applied)]
    if any(one.kind == "model" for one in file.declarations):
        found += _unused_above(file, applied)
    return sorted(found, key=_place)


def _unused_in(
    definitions: Iterable[BlockDefinition], applied: set[int]
) -> Iterator[Diagnostic]:
    for definition in definitions:
        declaration = definition.declaration
        names = _names(declaration)
        for param in declaration.params:
            if param.name not in names:
                said = f"nothing in `{declaration.name}` uses its parameter `{param.name}`"
                yield Diagnostic("W203", said, param.name_span, help="leave it out")
        yield from _unused_inputs(declaration)
        yield from _unused_below(declaration.body, names, applied)


def _unused_inputs(declaration: tree.Declaration) -> Iterator[Diagnostic]:
    """Of several inputs those that no line names, nor any of their sizes."""
    inputs = declaration.inputs or ()
    if len(inputs) < 2:
        return
    names = names_in(declaration.params, declaration.outputs, declaration.body)
    for port in inputs:
        sizes = {dim.name for dim in port.shape or ()} | names_in(port.shape)
        if port.name not in names and not sizes & names:
            message = f"nothing in `{declaration.name}` reads its input `{port.name}`"
            yield Diagnostic("W203", message, port.span, help="leave it out")


def _unused_below(
    body: tuple[tree.Statement, ...], names: set[str], applied: set[int]
) -> Iterator[Diagnostic]:
    """What is named in braces, and the columns of `for`, that nothing there uses."""
    for part in _inside(body):
        if isinstance(part, tree.Let | tree.Default):
            yield from _unused(part, names, applied)
        elif isinstance(part, tree.ForTerm):
            for name, span in part.header:
                if name != "_" and name not in names_in(part.body):
                    what = "column" if part.rows is not None else "loop variable"
                    message = f"nothing in the `for` uses the {what} `{name}`"
                    help = "call it `_`" if what == "loop variable" else "leave the column out"
                    edit = Edit(span, "_") if what == "loop variable" else None
                    yield Diagnostic("W203", message, span, help=help, edit=edit)


def _unused_above(file: tree.File, applied: set[int]) -> Iterator[Diagnostic]:
    """What a file with a model names at its head: nothing else is there for others."""
    names = names_in(file.declarations, file.lets, [one.arguments for one in file.defaults])
    statements: list[tree.Let | tree.Default] = [*file.lets, *file.defaults]
    for statement in statements:
        yield from _unused(statement, names, applied)
    for used in (used for use in file.uses for used in use.names or ()):
        if used.alias not in names:
            message = f"nothing in this file uses `{used.alias}`"
            yield Diagnostic("W203", message, used.span, help="leave it out")


def _unused(
    statement: tree.Let | tree.Default, names: set[str], applied: set[int]
) -> Iterator[Diagnostic]:
    """A `let` that nothing reads, a `default` of which nothing is a step."""
    if isinstance(statement, tree.Let):
        if statement.name not in names:
            message = f"nothing uses `{statement.name}`"
            edit = Edit(statement.span, "")
            yield Diagnostic(
                "W203", message, statement.name_span, help="leave it out", edit=edit
            )
    elif id(statement) not in applied and not names & {name for name, _ in statement.names}:
        shown = " or ".join(f"`{name}`" for name, _ in statement.names)
        message = f"the default for {shown} applies to no step"
        edit = Edit(statement.span, "")
        yield Diagnostic("W203", message, statement.span, help="leave it out", edit=edit)


def _read_in(definition: BlockDefinition) -> set[str]:
    """Every name that its lines read, and its outputs that others may read.

    Those of a file with a model are read there, by name, by an input's name, or not at all.
    """
    declaration, file = definition.declaration, definition.file.tree
    if declaration.kind == "model" or all(one.kind != "model" for one in file.declarations):
        return _names(declaration)
    taken = {port.name for one in file.declarations for port in one.inputs or ()}
    taken |= {part.name for part in _inside(file.declarations) if isinstance(part, tree.Member)}
    outputs = {port.name for port in declaration.outputs or ()}
    lines = names_in(declaration.params, declaration.inputs, declaration.body)
    return lines | (outputs & taken)


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


def _inside(part: object) -> Iterator[Record]:
    """Every node of a tree."""
    stack = [part]
    while stack:
        part = stack.pop()
        if isinstance(part, tuple | list):
            stack += part
        elif isinstance(part, Record) and not isinstance(part, Span):
            yield part
            if isinstance(part, tree.LineStatement):
                # Its labels are given here; their indices are read.
                stack += [part.terms, part.condition, *(label.parts for label in part.labels)]
            else:
                stack.append(type(part).values_(part))


def _place(found: Diagnostic) -> tuple[str, int]:
    assert found.span is not None
    return _start(found.span)


def _start(span: Span) -> tuple[str, int]:
    return span.source.name, span.start
