"""The stride of each box: log2 of how much smaller its plane is than the input's."""

from __future__ import annotations

import math

from cnndsl.figures.scene import Scene
from cnndsl.graph import Network
from cnndsl.ops.base import Family, Shape
from cnndsl.structure import Tensor

WINDOWED = (Family.CONV, Family.DEPTHWISE)
"""Families whose result may be a plane of one place: SSD's last level."""


def strides(network: Network, scene: Scene) -> dict[str, int]:
    """log2 of the stride of every box that still has a plane."""
    of_node = node_strides(network)
    found = {
        key: of_node[tensor.node]
        for key, tensor in leaving(network, scene).items()
        if tensor.node in of_node
    }
    for box in scene.boxes():
        # Side by side on several levels: it stands in none of them.
        if box.beside > 1 and len({of_node[name] for name in box.nodes if name in of_node}) > 1:
            found.pop(box.key, None)
    return found


def node_strides(network: Network) -> dict[str, int]:
    """log2 of the stride of every node that has a plane; rows of boxes have none."""
    found: dict[str, int] = {}
    for node in network:
        shape = network.shapes[node.name][0]
        operands = [tail for tail, _ in network.operands(node.name)]
        before = [tail for tail in operands if tail in found]
        if node.op.family is Family.BOXES or len(shape) < 3 or (operands and not before):
            continue
        if not before:
            if shape[-1] > 1:
                found[node.name] = 0
            continue
        size = network.shapes[before[0]][0][-1]
        if not _plane(node.op.family, shape, size):
            continue
        kept = node.op.family is Family.RESHAPE
        step = 0 if kept else round(math.log2(size / shape[-1]))
        found[node.name] = found[before[0]] + step
    return found


def _plane(family: Family, shape: Shape, before: int) -> bool:
    """Whether a result is a plane still: one place is, if a window came to it by strides."""
    return shape[-1] > 1 or (family in WINDOWED and 1 < before <= 4)


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


def leaving(network: Network, scene: Scene) -> dict[str, Tensor]:
    """The first tensor that leaves each box: of a folded block, its output."""
    found: dict[str, Tensor] = {}
    for edge in scene.edges:
        found.setdefault(edge.tail, edge.tensors[0])
    for box in scene.boxes():
        if box.tensor is not None:
            found[box.key] = box.tensor
        elif box.nodes and box.key not in found:
            last = box.nodes[-1]
            found[box.key] = Tensor(last, 0, network.shapes[last][0])
    return found
