"""What a module computes and nobody reads, where others of its class are asked for it.

The last layer of a WaveNet has a residual like all others. Without it that layer would be a
block of its own, and so would the stack that it ends.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import networkx as nx

from cnndsl.importing.flow import Flow, Layer, Value

Role = tuple[str, str, str, int]
"""What a layer is in a class of modules: the class, its path in it, its word, its number."""


def asked(flow: Flow) -> Flow:
    """The flow with such tensors as `unread`."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from([*flow.inputs, *flow.by_name])
    graph.add_edges_from((name, one.name) for one in flow.layers for name, _ in one.inputs)
    ends = {name for name, _ in flow.outputs.values()}
    alive = ends.union(*(nx.ancestors(graph, name) for name in ends))
    dead = [
        one for one in flow.layers if one.name not in alive and not graph.out_degree(one.name)
    ]
    if not dead:
        return flow
    seen: Counter[tuple[tuple[str, int], str, str]] = Counter()
    roles = {one.name: [*_roles(one, seen)] for one in flow.layers}
    inside: dict[str, set[tuple[str, int]]] = {
        one.name: {(scope.path, scope.call) for scope in one.scopes} for one in flow.layers
    }
    working = set().union(*(inside[name] for name in alive if name in inside))
    given = {
        role
        for name in alive & inside.keys()
        for place, role in roles[name]
        if name in ends or any(place not in inside[reader] for reader in graph.successors(name))
    }
    unread: dict[Value, str] = {}
    for layer in dead:
        for place, role in reversed(roles[layer.name]):
            if place in working and role not in given:
                break
            if place in working and not any(scope.call for scope in layer.scopes):
                unread[layer.name, 0] = place[0]
    return replace(flow, unread=unread)


def _roles(
    layer: Layer, seen: Counter[tuple[tuple[str, int], str, str]]
) -> Iterator[tuple[tuple[str, int], Role]]:
    """What a layer is in each module around it, outermost first."""
    for scope in layer.scopes:
        if not scope.transparent:
            place, within = (scope.path, scope.call), layer.where.removeprefix(scope.path)
            seen[place, within, layer.word] += 1
            yield place, (scope.kind, within, layer.word, seen[place, within, layer.word])
