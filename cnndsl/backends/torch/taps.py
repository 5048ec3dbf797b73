"""Tensors from the middle of a block that something outside uses.

The language reaches inside (`net.b[13].expand`); a class can only return. So such a tensor
becomes one more output of every block between it and its user.
"""

from __future__ import annotations

from dataclasses import replace

from cnndsl.backends.torch.structure import nodes_of
from cnndsl.graph import (
    Block,
    Call,
    Each,
    Group,
    Line,
    Loop,
    Network,
    Repeat,
    Step,
    Tensor,
    Term,
)

TAP = "tap."
"""Begins the name of such an output, which no port can bear."""


def exposed(network: Network) -> Block:
    """The network's structure, with every tapped tensor among its block's outputs."""
    return _block(network.structure, network, set())


def _block(block: Block, network: Network, wanted: set[tuple[str, int]]) -> Block:
    body = [_line(line, network) for line in block.body]
    outputs = dict(block.outputs)
    for node, output in sorted(wanted):
        name = TAP + _name(network.node(node).path[len(block.path) :])
        while name in outputs:
            name += "_"
        outputs[name] = Tensor(node, output, network.shapes[node][output])
    return replace(block, body=body, outputs=outputs)


def _name(path: tuple[str | int, ...]) -> str:
    """The labels down to the first block: `bneck_3`."""
    parts: list[str] = []
    for part in path:
        if isinstance(part, str) and part[:1].isupper():
            break
        parts.append(str(part))
    return "_".join(parts) or "inner"


def _call(call: Call, network: Network) -> Call:
    inside = {node for line in call.block.body for node in nodes_of(line)}
    ends = {(tensor.node, tensor.output) for tensor in call.block.outputs.values()}
    wanted: set[tuple[str, int]] = set()
    for node in inside:
        for _, target, output in network.graph.out_edges(node, data="output"):
            if target not in inside and (node, output) not in ends:
                wanted.add((node, output))
    for tensor in network.outputs.values():
        key = tensor.node, tensor.output
        if tensor.node in inside and key not in ends:
            wanted.add(key)
    # The call's own outputs stay as declared: they are what flows on to the next step.
    block = _block(call.block, network, wanted)
    return replace(call, block=block, lines=_lines(call.lines, network))


def _lines(lines: list[Line] | None, network: Network) -> list[Line] | None:
    return None if lines is None else [_line(line, network) for line in lines]


def _line(line: Line, network: Network) -> Line:
    return replace(line, terms=[_term(term, network) for term in line.terms])


def _term(term: Term, network: Network) -> Term:
    match term:
        case Step():
            return replace(term, lines=_lines(term.lines, network))
        case Call():
            return _call(term, network)
        case Group():
            return replace(term, body=_lines(term.body, network) or [])
        case Repeat():
            return replace(term, items=[_term(item, network) for item in term.items])
        case Loop():
            return replace(term, bodies=[_lines(body, network) or [] for body in term.bodies])
        case Each():
            calls = [_term(call, network) for call in term.calls]
            return replace(term, calls=calls, lines=_lines(term.lines, network))
