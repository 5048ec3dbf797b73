"""A scene: boxes, the edges between them, and the ports of an opened block."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from cnndsl.figures.layout.strides import node_strides
from cnndsl.figures.scene import Box, Cluster, Edge, Item, Scene, boxes
from cnndsl.figures.text import labels_text
from cnndsl.figures.walk import read
from cnndsl.graph import Network
from cnndsl.ops.facts import Family
from cnndsl.structure import Tensor

MANY = 3
"""So many values that one box gives stand apart."""


def scene_of(
    network: Network,
    key: Callable[[], str],
    items: list[Item],
    nodes: list[str],
    inputs: Mapping[str, Tensor | Sequence[Tensor]],
    outputs: dict[str, Tensor],
) -> Scene:
    """Boxes with their edges; the ports of a frame are boxes of it.

    `nodes` are the graph's that are in it; `key` gives each port a key of its own. Several
    tensors of one input have one port.
    """
    owner = {name: box.key for box in boxes(items) for name in box.nodes}
    turns = _turns(items)
    entering: dict[tuple[str, int], str] = {}
    ports: list[Item] = []
    for name, entered in inputs.items():
        tensors = [entered] if isinstance(entered, Tensor) else entered
        port = Box(key(), name or "in", Family.INPUT, [], ("in", name), tensor=tensors[0])
        for tensor in tensors:
            entering.setdefault((tensor.node, tensor.output), port.key)
        ports.append(port)
    edges: dict[tuple[str, str], Edge] = {}
    known = {box.key: box for box in boxes(items)}
    named = {k: v for box in known.values() if box.frame for k, v in box.frame.given.items()}

    def connect(tail: str, head: str, tensor: Tensor) -> None:
        edge = edges.setdefault((tail, head), Edge(tail, head, []))
        if tensor not in edge.tensors:
            edge.tensors.append(tensor)

    for name in nodes:
        head = owner.get(name)
        for node, output in network.operands(name):
            tail = owner.get(node) or entering.get((node, output))
            if tail is None or head is None or tail == head:
                continue
            if _returns(turns.get(node, ()), turns.get(name, ())):
                continue
            if (node, output) in named:
                known[head].notes.append(named[node, output])
            elif (node, output) in read(network, name):
                connect(tail, head, _tensor(network, node, output))
    ends: list[Item] = []
    abreast = {key for key, box in known.items() if box.beside > 1}
    given: dict[str | None, list[str]] = {}
    for name, tensor in outputs.items():
        tail = owner.get(tensor.node) or entering.get((tensor.node, tensor.output))
        given.setdefault(tail, []).append(name)
    for tail, names in given.items():
        # Many values of one box are one list of words.
        listed = {name.rpartition("[")[0] for name in names}
        several = len(names) > MANY or (
            tail in abreast and len(listed - {""}) == 1 < len(names)
        )
        every = [names] if tail is not None and several else [[n] for n in names]
        for these in every:
            tensors = [outputs[name] for name in these]
            said = labels_text(these) or "out"
            end = Box(key(), said, Family.INPUT, [], ("out", said), tensor=tensors[0])
            end.shapes = [tensor.shape for tensor in tensors]
            ends.append(end)
            for tensor in tensors if tail is not None else ():
                connect(tail or "", end.key, _tensor(network, tensor.node, tensor.output))
    used = {edge.tail for edge in edges.values()}
    ports = [port for port in ports if isinstance(port, Box) and port.key in used]
    ports = _together(_apart(network, ports, items, edges, key), edges)
    return Scene([*ports, *items, *ends], list(edges.values()), owner)


def _apart(
    network: Network,
    ports: Sequence[Item],
    items: Sequence[Item],
    edges: dict[tuple[str, str], Edge],
    key: Callable[[], str],
) -> list[Item]:
    """The ports, one for each box that reads a level of a pyramid.

    One line from all of them to its end would cross whatever leads up or down in between.
    """
    lanes = node_strides(network)
    names = [port.tensor.node for port in ports if isinstance(port, Box) and port.tensor]
    several = {box.key for box in boxes(items) if box.beside > 1}
    if len({lanes[name] for name in names if name in lanes}) < MANY:
        return [*ports]
    done: list[Item] = []
    for port in ports:
        assert isinstance(port, Box)
        done.append(port)
        _, *heads = [head for tail, head in edges if tail == port.key]
        for head in heads if not several & {*heads} else ():
            again = Box(key(), port.title, port.family, [], port.signature, tensor=port.tensor)
            edge = edges.pop((port.key, head))
            edges[again.key, head] = replace(edge, tail=again.key)
            done.append(again)
    return done


def _together(ports: Sequence[Item], edges: dict[tuple[str, str], Edge]) -> list[Item]:
    """The ports, many that one box alone reads as one: `p[0–4]`."""
    groups: dict[frozenset[str], list[Box]] = {}
    for port in ports:
        assert isinstance(port, Box)
        heads = frozenset(head for tail, head in edges if tail == port.key)
        groups.setdefault(heads, []).append(port)
    done: list[Item] = []
    for (head, *others), group in groups.items():
        if others or len(group) < MANY:
            done += group
            continue
        first = group[0]
        first.title = labels_text([port.title for port in group])
        for port in group[1:]:
            edges[first.key, head].tensors += edges.pop((port.key, head)).tensors
        done.append(first)
    order = {port.key: n for n, port in enumerate(p for p in ports if isinstance(p, Box))}
    return sorted(done, key=lambda item: order[item.key])


def _tensor(network: Network, node: str, output: int) -> Tensor:
    return Tensor(node, output, network.shapes[node][output])


def _turns(items: Sequence[Item]) -> dict[str, tuple[tuple[str, int], ...]]:
    """For nodes in folded sequences: which iteration of each they are in."""
    found: dict[str, tuple[tuple[str, int], ...]] = {}
    stack: list[tuple[Item, tuple[Cluster, ...]]] = [(item, ()) for item in items]
    while stack:
        item, around = stack.pop()
        if isinstance(item, Cluster):
            inner = (*around, item) if item.count > 1 else around
            stack += [(child, inner) for child in item.children]
            continue
        if not around:
            continue
        for number, name in enumerate(item.nodes):
            turn, size = number, len(item.nodes)
            trail = []
            for cluster in around:
                size //= cluster.count
                trail.append((cluster.key, turn // max(size, 1)))
                turn %= max(size, 1)
            found[name] = tuple(trail)
    return found


def _returns(tail: tuple[tuple[str, int], ...], head: tuple[tuple[str, int], ...]) -> bool:
    """Whether an edge leads from one iteration of a folded sequence to the next."""
    there = dict(head)
    return any(there.get(key, turn) != turn for key, turn in tail)
