"""The stride of each box: log2 of how much smaller its plane is than the input's."""

from __future__ import annotations

import math

from cnndsl.figures.layout.cards import leaving
from cnndsl.figures.scene import Scene
from cnndsl.graph import Network
from cnndsl.ops.base import Family


def strides(network: Network, scene: Scene) -> dict[str, int]:
    """log2 of the stride of every box that still has a plane."""
    of_node: dict[str, int] = {}
    for node in network:
        shape = network.shapes[node.name][0]
        if len(shape) < 3 or shape[-1] < 2:
            continue
        before = [u for u, _ in network.operands(node.name) if u in of_node]
        if not before:
            of_node[node.name] = 0
            continue
        size = network.shapes[before[0]][0][-1]
        step = 0 if node.op.family is Family.RESHAPE else round(math.log2(size / shape[-1]))
        of_node[node.name] = of_node[before[0]] + step
    found: dict[str, int] = {}
    for key, tensor in leaving(network, scene).items():
        if tensor.node in of_node:
            found[key] = of_node[tensor.node]
    return found


def kept(lanes: dict[str, int], scene: Scene) -> dict[str, int]:
    """The same for every box: one without a plane stands in the lane that it comes from."""
    found = dict(lanes)
    before: dict[str, list[str]] = {}
    for edge in scene.edges:
        before.setdefault(edge.head, []).append(edge.tail)
    for box in scene.boxes():
        if box.key not in found:
            known = sorted(found[key] for key in before.get(box.key, ()) if key in found)
            found[box.key] = known[len(known) // 2] if known else 0
    return found
