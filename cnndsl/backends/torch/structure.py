"""Questions about a network's structure that the writer of classes asks.

Which instances of a block share a class, and which terms are modules that PyTorch can
chain by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from cnndsl.graph import Block, Call, Each, Group, Line, Loop, Network, Repeat, Step, Term
from cnndsl.ops.base import Family, Torch


def form(block: Block, network: Network) -> dict[tuple[object, ...], object]:
    """What must agree between instances of a class: key path → what stands there.

    A line that is off says nothing, so instances with and without it share a class.
    """
    found: dict[tuple[object, ...], object] = {
        ("outputs",): tuple(block.outputs),
        ("inputs",): tuple((name, len(t.shape)) for name, t in block.inputs.items()),
    }
    _lines(block.body, (), network, found)
    bearers = _bearers(block)
    for port, tensor in block.outputs.items() if len(block.outputs) > 1 else ():
        found["named", port] = bearers.get((tensor.node, tensor.output), ())
    for line in _lines_of(block):
        if line.on and line.source is not None:
            named = [bearers.get((t.node, t.output), ()) for t in line.source]
            _put(found, ("named", line.key, line.index), tuple(named))
        for term in line.terms if line.on else ():
            if isinstance(term, Call) and len(term.inputs) > 1:
                named = [bearers.get((t.node, t.output), ()) for t in term.inputs]
                given = [term.inputs.index(tensor) for tensor in term.inputs]
                _put(found, ("wired", term.key), (tuple(named), tuple(given)))
    return found


Bearers = dict[tuple[str, int], tuple[object, ...]]


def _bearers(block: Block) -> Bearers:
    """Of each tensor the ports and labels that name it.

    The structure has tensors, not names: where two names are one tensor in an instance, as
    in `A { x; x }` or below `a: { conv(c, 1x1) when deep }`, its lines cannot say which of
    the two they read. Where they are two tensors in another, that needs another class.
    """
    found: dict[tuple[str, int], list[object]] = {}
    for port, tensor in block.inputs.items():
        found.setdefault((tensor.node, tensor.output), []).append(port)
    for line in _lines_of(block):
        if line.on and line.labels:
            for number, tensor in enumerate(line.outputs):
                name = line.key, line.index, number
                found.setdefault((tensor.node, tensor.output), []).append(name)
    return {key: tuple(names) for key, names in found.items()}


def _put(
    found: dict[tuple[object, ...], object], key: tuple[object, ...], value: object
) -> None:
    """Note a fact; where the iterations of a loop differ, note that."""
    known = found.setdefault(key, value)
    if known != value:
        found[key] = f"{known} | {value}"


def _lines(
    lines: Iterable[Line],
    at: tuple[object, ...],
    network: Network,
    found: dict[tuple[object, ...], object],
) -> None:
    for line in lines:
        if line.on:
            for term in line.terms:
                _term(term, at, network, found)


def _term(
    term: Term,
    at: tuple[object, ...],
    network: Network,
    found: dict[tuple[object, ...], object],
) -> None:
    key = (*at, term.key)
    match term:
        case Step():
            if term.nodes or term.lines is None:
                _put(found, (*key, "ops"), tuple(_kinds(term, network)))
            if term.nodes and not network.node(term.nodes[0]).op.join:
                _put(found, (*key, "inputs"), len(term.inputs))
            _lines(term.lines or [], key, network, found)
        case Call():
            _put(found, (*key, "block"), _definition(term.block))
            for inner, fact in form(term.block, network).items():
                _put(found, (*key, *inner), fact)
            _lines(term.lines or [], key, network, found)
        case Group(body=body):
            _lines(body, key, network, found)
        case Repeat(items=items):
            for item in items:
                _term(item, key, network, found)
        case Loop(bodies=bodies):
            _put(found, (*key, "rows"), str(term.rows))
            for body in bodies:
                _lines(body, key, network, found)
        case Each(calls=calls):
            _put(found, (*key, "calls"), len(calls))
            for call in calls:
                _term(call, key, network, found)
            _lines(term.lines or [], key, network, found)


def _kinds(step: Step, network: Network) -> Iterator[tuple[str, str]]:
    """Each layer's slot and operation; activations may differ within a class."""
    for slot, name in zip(step.slots, step.nodes, strict=True):
        op = network.node(name).op
        free = op.family is Family.ACTIVATION and len(step.inputs) == 1
        yield slot, "activation" if free else op.name


def _definition(block: Block) -> tuple[str, int]:
    span = block.definition.span
    return span.source.name, span.start


def grouped(blocks: Iterable[Block], network: Network) -> list[list[Block]]:
    """Blocks by the class that they share, in the order of their first instance."""
    groups: list[tuple[tuple[str, int], dict[tuple[object, ...], object], list[Block]]] = []
    by_definition: dict[tuple[str, int], list[int]] = {}
    for block in blocks:
        definition, facts = _definition(block), form(block, network)
        for number in by_definition.setdefault(definition, []):
            known = groups[number][1]
            if all(known.get(k, v) == v for k, v in facts.items()):
                known.update(facts)
                groups[number][2].append(block)
                break
        else:
            by_definition[definition].append(len(groups))
            groups.append((definition, facts, [block]))
    return [members for _, _, members in groups]


def torches(step: Step, network: Network) -> list[Torch]:
    """How PyTorch says each layer of a step; its inputs in the block's own terms."""
    shapes = tuple(tensor.shape for tensor in step.inputs)
    found = []
    for name in step.nodes:
        found.append(network.node(name).op.torch(*shapes))
        shapes = network.shapes[name]
    return found


def is_modules(term: Term, network: Network) -> bool:
    """Whether a term is a chain of modules: one tensor in, one out, nothing beside it."""
    if len(term.inputs) != 1 or len(term.outputs) != 1:
        return False
    match term:
        case Step():
            if term.lines is not None:
                return False
            return all(t.module and t.prepare is None for t in torches(term, network))
        case Call():
            ports = len(term.block.inputs), len(term.block.outputs)
            return term.lines is None and ports == (1, 1)
        case Repeat(items=items):
            single = all(not isinstance(i, Step) or len(i.nodes) == 1 for i in items)
            plain = all(isinstance(i, Step | Call) and is_modules(i, network) for i in items)
            return bool(items) and single and plain
        case Group(body=body):
            return all(is_plain(line, network) for line in body)
        case _:
            return False


def ends_modules(term: Term) -> bool:
    """Whether a term may end a chain of modules, though it has several outputs."""
    if not isinstance(term, Call) or len(term.inputs) != 1 or len(term.block.outputs) < 2:
        return False
    return term.lines is None and len(term.block.inputs) == 1


def named_tensors(block: Block) -> set[tuple[str, int]]:
    """The tensors that lines of a block name as their source."""
    return {(t.node, t.output) for line in _lines_of(block) for t in line.source or ()}


def _lines_of(block: Block) -> Iterator[Line]:
    """All lines of a block, those in braces and loops too, in the order of the text."""
    return (item for item in _written(block.body) if isinstance(item, Line))


def calls_of(body: Iterable[Line]) -> Iterator[Call]:
    """The calls in some lines, those in braces and loops too."""
    return (item for item in _written(body) if isinstance(item, Call))


def _written(body: Iterable[Line]) -> Iterator[Line | Term]:
    """Lines and terms as they are written, not what is in the blocks that they call."""
    stack: list[Line | Term] = list(reversed([*body]))
    while stack:
        item = stack.pop()
        yield item
        match item:
            case Line(terms=terms):
                stack += reversed(terms)
            case Step(lines=lines) | Call(lines=lines):
                stack += reversed(lines or [])
            case Group(body=body):
                stack += reversed(body)
            case Repeat(items=items):
                stack += reversed(items)
            case Loop(bodies=bodies):
                stack += [line for body in reversed(bodies) for line in reversed(body)]
            case Each(calls=calls, lines=lines):
                stack += [*reversed(calls), *reversed(lines or [])]


def is_plain(line: Line, network: Network) -> bool:
    """Whether a line, unconditional and without a source, is a chain of modules."""
    if not line.on or line.condition is not None or line.source is not None or line.index:
        return False
    return all(is_modules(term, network) for term in line.terms)


def has_modules(term: Term, network: Network) -> bool:
    """Whether a term needs a module: it holds weights, or differs in training."""
    return any(is_stateful(name, network) for name in nodes_of(term))


def is_stateful(name: str, network: Network) -> bool:
    """Whether a layer holds weights, or differs in training."""
    op = network.node(name).op
    if op.family is Family.REGULARIZE:
        return True
    return bool(op.weights(*network.input_shapes(name)))


def nodes_of(term: Term | Line) -> Iterator[str]:
    """The graph nodes below a term, in order."""
    stack: list[Term | Line] = [term]
    while stack:
        item = stack.pop()
        match item:
            case Line(terms=terms):
                stack += reversed(terms)
            case Step(nodes=nodes, lines=lines):
                yield from nodes
                stack += reversed(lines or [])
            case Call(block=block, lines=lines):
                stack += reversed(block.body)
                stack += reversed(lines or [])
            case Group(body=body):
                stack += reversed(body)
            case Repeat(items=items):
                stack += reversed(items)
            case Loop(bodies=bodies):
                stack += [line for body in reversed(bodies) for line in reversed(body)]
            case Each(calls=calls, lines=lines):
                if item.row:
                    # The layers where the rows join the batch and leave it.
                    yield from (tensor.node for call in calls for tensor in call.inputs)
                    yield from (tensor.node for tensor in item.outputs)
                stack += reversed(calls)
                stack += reversed(lines or [])


def is_tapped(item: Term | Line, network: Network) -> bool:
    """Whether something outside uses a tensor from the middle of a term or line."""
    inside = set(nodes_of(item))
    ends = {(tensor.node, tensor.output) for tensor in item.outputs}
    exported = {(t.node, t.output) for t in network.outputs.values()} - ends
    if any(node in inside for node, _ in exported):
        return True
    for node in inside:
        for _, target, output in network.graph.out_edges(node, data="output"):
            if target not in inside and (node, output) not in ends:
                return True
    return False
