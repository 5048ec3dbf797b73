"""Series and parallel parts of a graph with one source and one sink.

A node with one way in and one way out is in series; edges with the same ends are in
parallel. What remains when neither is left is a single edge, if the graph is
series-parallel, and else its kernel.  Source: Valdes, Tarjan & Lawler 1982.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from cnndsl.figures.layout.piece import Ends

SOURCE, SINK = "@in", "@out"


@dataclass(slots=True)
class Wire:
    """An edge: the edges of boxes that it stands for, none if it is only an order."""

    edges: list[Ends]


@dataclass(slots=True)
class Chain:
    """Wires or forks, with nodes between them: `parts` has one more than `nodes`."""

    parts: list[Wire | Fork]
    nodes: list[str]


@dataclass(slots=True)
class Fork:
    """Branches with the same ends, in declared order."""

    branches: list[Part]
    orders: list[int] = field(default_factory=list)
    """The place of the operand that each branch ends in."""


Part = Wire | Chain | Fork


@dataclass(slots=True)
class Link:
    """A reduced edge; `order` is the place of the operand that it ends in."""

    tail: str
    head: str
    part: Part
    order: int


@dataclass(slots=True)
class _Graph:
    links: dict[int, Link] = field(default_factory=dict)
    into: dict[str, dict[int, None]] = field(default_factory=dict)
    out: dict[str, dict[int, None]] = field(default_factory=dict)
    number: int = 0

    def add(self, link: Link) -> None:
        self.number += 1
        self.links[self.number] = link
        self.out.setdefault(link.tail, {})[self.number] = None
        self.into.setdefault(link.head, {})[self.number] = None

    def remove(self, number: int) -> Link:
        link = self.links.pop(number)
        del self.out[link.tail][number]
        del self.into[link.head][number]
        return link


def reduced(nodes: Iterable[str], links: Iterable[Link]) -> list[Link]:
    """The links that remain; one from `SOURCE` to `SINK` if all is series and parallel."""
    graph = _Graph()
    for link in links:
        graph.add(link)
    waiting = deque([*nodes, SOURCE])
    listed = set(waiting)
    while waiting:
        node = waiting.popleft()
        listed.discard(node)
        touched = _merge_parallel(graph, node)
        if node not in (SOURCE, SINK):
            touched += _merge_series(graph, node)
        for other in touched:
            if other not in listed:
                listed.add(other)
                waiting.append(other)
    return list(graph.links.values())


def _merge_parallel(graph: _Graph, tail: str) -> list[str]:
    """Merge the links of a node that lead to the same one; give the ends of the merged."""
    found: dict[str, list[int]] = {}
    for number in graph.out.get(tail, {}):
        found.setdefault(graph.links[number].head, []).append(number)
    touched = []
    for head, numbers in found.items():
        if len(numbers) < 2:
            continue
        pairs: list[tuple[int, Part]] = []
        for link in [graph.remove(n) for n in numbers]:
            # Branches merged before keep their own places among those merged now.
            inner = link.part
            if isinstance(inner, Fork):
                pairs += zip(inner.orders, inner.branches, strict=True)
            else:
                pairs.append((link.order, inner))
        pairs.sort(key=lambda pair: pair[0])
        fork = Fork([part for _, part in pairs], [order for order, _ in pairs])
        graph.add(Link(tail, head, fork, pairs[0][0]))
        touched += [tail, head]
    return touched


def _merge_series(graph: _Graph, node: str) -> list[str]:
    into, out = graph.into.get(node, {}), graph.out.get(node, {})
    if len(into) != 1 or len(out) != 1:
        return []
    first, then = graph.remove(next(iter(into))), graph.remove(next(iter(out)))
    left, right = _chain(first.part), _chain(then.part)
    # The longer list grows: a chain of a thousand is not copied a thousand times.
    left.nodes.append(node)
    left.nodes += right.nodes
    left.parts += right.parts
    graph.add(Link(first.tail, then.head, left, then.order))
    return [first.tail, then.head]


def _chain(part: Part) -> Chain:
    return part if isinstance(part, Chain) else Chain([part], [])


def nodes_in(part: Part) -> list[str]:
    """The nodes inside a part."""
    match part:
        case Wire():
            return []
        case Fork(branches=branches):
            return [node for branch in branches for node in nodes_in(branch)]
        case Chain(parts=parts, nodes=nodes):
            return nodes + [node for inner in parts for node in nodes_in(inner)]


def edges_in(part: Part) -> list[Ends]:
    """The edges of boxes that a part stands for."""
    match part:
        case Wire(edges=edges):
            return edges
        case Fork(branches=branches):
            return [edge for branch in branches for edge in edges_in(branch)]
        case Chain(parts=parts):
            return [edge for inner in parts for edge in edges_in(inner)]
