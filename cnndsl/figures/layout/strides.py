"""The stride of each box: log2 of how much smaller its plane is than the input's."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from fractions import Fraction

from cnndsl.diagnostics import OpError
from cnndsl.figures.scene import Scene
from cnndsl.graph import Network, Node
from cnndsl.ops.facts import Family, Shape
from cnndsl.structure import Tensor

WINDOWED = (Family.CONV, Family.DEPTHWISE)
"""Families whose result may be a plane of one place: SSD's last level."""
UNEVEN, FINEST = 0.1, 16
"""How close log2 of an uneven stride is to its lane, and the most that it is a fraction of."""


def strides(network: Network, scene: Scene) -> dict[str, int]:
    """log2 of the stride of every box that still has a plane."""
    of_node = node_strides(network)
    found = {key: _lane(stride) for key, stride in exact(network, scene).items()}
    for box in scene.boxes():
        # Side by side on several levels: it stands in none of them.
        if box.beside > 1 and len({of_node[name] for name in box.nodes if name in of_node}) > 1:
            found.pop(box.key, None)
    return found | _abreast(scene, found)


def exact(network: Network, scene: Scene) -> dict[str, Fraction]:
    """The stride of what leaves each box, where that is a plane."""
    _, of_node = _strides(network)
    leave = leaving(network, scene)
    return {k: of_node[tensor.node] for k, tensor in leave.items() if tensor.node in of_node}


def named(lane: int, found: Iterable[Fraction]) -> str:
    """What a lane is called: `1/8`, `3×`, `2/3`, by the stride that most in it have.

    One that is neither n nor 1/n but close to the lane's is of sizes that do not divide.
    """
    known = Counter(stride for stride in found if _lane(stride) == lane)
    stride = max(known, key=lambda one: (known[one], one), default=Fraction(2) ** lane)
    if 1 not in stride.as_integer_ratio():
        near = abs(math.log2(stride) - lane) < UNEVEN
        stride = Fraction(2) ** lane if near else stride.limit_denominator(FINEST)
    down, up = stride.as_integer_ratio()
    return f"{up}×" if down == 1 != up else f"{up}/{down}"


def node_strides(network: Network) -> dict[str, int]:
    """log2 of the stride of every node that has a plane; rows of boxes have none."""
    return _strides(network)[0]


def _strides(network: Network) -> tuple[dict[str, int], dict[str, Fraction]]:
    """The same, and the strides."""
    if not _LAST or _LAST[0][0] is not network:
        found = _node_strides(network)
        _LAST[:] = [(network, {name: _lane(stride) for name, stride in found.items()}, found)]
    return _LAST[0][1:]


_LAST: list[tuple[Network, dict[str, int], dict[str, Fraction]]] = []
"""The last network that was asked about: its layouts are many."""


def _lane(stride: Fraction) -> int:
    return round(math.log2(stride))


def _node_strides(network: Network) -> dict[str, Fraction]:
    found: dict[str, Fraction] = {}
    for node in network:
        shape = network.shapes[node.name][0]
        operands = [tail for tail, _ in network.operands(node.name)]
        before = [tail for tail in operands if tail in found]
        if node.op.family is Family.BOXES or len(shape) < 3 or (operands and not before):
            continue
        if not before:
            if shape[-1] > 1:
                found[node.name] = Fraction(1)
            continue
        size = network.shapes[before[0]][0][-1]
        if _plane(node.op.family, shape, size):
            known = [found.get(tail) for tail in operands]
            # Of a join whose operands differ, as pooled planes do, the most common one.
            counts = Counter(_through(network, node, known))
            found[node.name] = max(counts, key=lambda stride: (counts[stride], stride))
    return found


def _through(
    network: Network, node: Node, operands: Sequence[Fraction | None]
) -> list[Fraction]:
    """The stride behind a node, by each operand that it goes along.

    It is how far a unit's place moves from one to the next, as `explain` counts it. What
    reads everything makes a plane of another size.
    """
    shape, inputs = network.shapes[node.name][0], network.input_shapes(node.name)
    last = len(shape) - 1
    try:
        along = node.op.reads(*inputs)[0].axes[last]
    except OpError:
        # In a union of two networks, operands may be of both.
        along = {}
    found = []
    for (operand, axis), taps in along.items():
        stride = operands[operand]
        if axis == last and stride is not None:
            found.append(stride * Fraction(taps.advance, taps.period))
    number, stride = next((n, one) for n, one in enumerate(operands) if one is not None)
    sizes = inputs[number][1:], shape[1:]
    ratios = {Fraction(int(a), int(b)) for a, b in zip(*sizes, strict=False)}
    if found or along or len(ratios) > 1:
        return found or [stride]
    return [stride * ratios.pop()]


def _abreast(scene: Scene, lanes: dict[str, int]) -> dict[str, int]:
    """The lane of branches that leave it together and come back: a pyramid of pools."""
    before, after = scene.neighbours()
    groups: dict[tuple[str, str], list[list[str]]] = {}
    for fork, heads in after.items():
        for head in heads if len(heads) > 2 else ():
            chain = [head]
            while len(after.get(chain[-1], ())) == len(before[chain[-1]]) == 1:
                chain.append(after[chain[-1]][0])
            join = chain.pop()
            home = lanes.get(fork)
            if home is not None and home == lanes.get(join):
                groups.setdefault((fork, join), []).append(chain)
    found: dict[str, int] = {}
    for (fork, _), chains in groups.items():
        gone = [chain for chain in chains if any(lanes.get(k) != lanes[fork] for k in chain)]
        if len(gone) > 1:
            found |= {key: lanes[fork] for chain in gone for key in chain}
    return found


def _plane(family: Family, shape: Shape, before: int) -> bool:
    """Whether a result is a plane still: one place is, if a window came to it by strides."""
    return shape[-1] > 1 or (family in WINDOWED and 1 < before <= 4)


def kept(lanes: dict[str, int], scene: Scene) -> dict[str, int]:
    """The same for every box: one without a plane stands in the lane that it comes from."""
    found = dict(lanes)
    before, _ = scene.neighbours()
    for box in scene.boxes():
        if box.key not in found:
            known = sorted(found[key] for key in before.get(box.key, ()) if key in found)
            found[box.key] = known[len(known) // 2] if known else 0
    return found


def spans(network: Network, scene: Scene) -> dict[str, tuple[int, ...]]:
    """The lanes, finest first, of each folded block that gives planes of several.

    Of blocks side by side, those that give out a plane of each lane that they read.
    """
    of_node = node_strides(network)
    into: dict[str, set[int]] = {}
    out: dict[str, set[int]] = {}
    ends = {box.key for box in scene.boxes() if not box.nodes}
    inner: set[str] = set()
    for edge in scene.edges:
        lanes = {of_node[tensor.node] for tensor in edge.tensors if tensor.node in of_node}
        inner |= {edge.tail} if lanes and edge.head not in ends else set()
        into.setdefault(edge.head, set()).update(lanes)
        out.setdefault(edge.tail, set()).update(lanes)
    found = {}
    for box in scene.boxes():
        read, given = into.get(box.key, set()), out.get(box.key, set())
        if box.frame is None or len(given) < 2:
            continue
        if box.beside > 1 and (given != read or box.key in inner):
            continue
        lanes = read | given if len(read) > 1 else given
        found[box.key] = tuple(range(min(lanes), max(lanes) + 1))
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
