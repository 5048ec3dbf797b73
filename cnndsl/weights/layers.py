"""Both sides of a match: layers with what is known of their order and hierarchy.

A layer is what a `state_dict` keeps below one prefix. Sets of layers are bit masks, the
lowest bit for the first layer.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import or_

from cnndsl.graph import Network
from cnndsl.ops.facts import Family, Shape
from cnndsl.weights.numbering import Path, numbered
from cnndsl.weights.sets import bits, several, union

COUNTER = "num_batches_tracked"
ROLES = ("weight", "bias", "running_mean", "running_var", COUNTER)
"""The last segments of a name that make one layer, in the order of a real module."""

Signature = tuple[tuple[str, Shape], ...]


@dataclass(frozen=True, slots=True)
class Layer:
    """The tensors below one prefix: role → (name, shape).  A counter is not among them.

    A tensor whose last segment is no role (`gamma`) is a layer of its own, its `weight`.
    """

    path: Path
    tensors: Mapping[str, tuple[str, Shape]] = field(hash=False)

    def __str__(self) -> str:
        """`stem.conv (weight 64×3×7×7)`."""
        roles = [f"{role} {_times(shape)}" for role, (_, shape) in self.tensors.items()]
        return f"{'.'.join(self.path)} ({', '.join(roles)})"

    @property
    def signature(self) -> Signature:
        """Its roles and shapes."""
        return tuple((role, shape) for role, (_, shape) in self.tensors.items())

    @property
    def bare(self) -> bool:
        """Whether it is a module's own tensor, which stands before all that is inside it."""
        return any(name == ".".join(self.path) for name, _ in self.tensors.values())

    @property
    def kind(self) -> tuple[tuple[str, int], ...]:
        """Its roles and ranks."""
        return tuple((role, len(shape)) for role, shape in self.signature)


def alike(a: Signature, b: Signature) -> bool:
    """Whether layers of two signatures hold the same numbers in the same order.

    A convolution over all that it sees is a linear layer, [K, C, 7, 7] for [K, 49·C], and
    [K, C, 1, 1] for [K, C]; [C, 1, 1] is [C].
    """
    return len(a) == len(b) and all(
        role == other and (x == y or _flattens(x, y))
        for (role, x), (other, y) in zip(a, b, strict=True)
    )


def _flattens(x: Shape, y: Shape) -> bool:
    same = x[:1] == y[:1] and math.prod(x) == math.prod(y)
    return same and len(x) != len(y) and min(len(x), len(y)) <= 2


def _times(shape: Shape) -> str:
    return "×".join(str(int(n)) for n in shape) or "scalar"


def layers(shapes: Mapping[str, Shape]) -> tuple[Layer, ...]:
    """The layers of a `state_dict`, given as name → shape, in order of appearance."""
    found: dict[Path, dict[str, tuple[str, Shape]]] = defaultdict(dict)
    for name, shape in shapes.items():
        *path, last = name.split(".")
        if last == COUNTER:
            continue
        if last in ROLES:
            found[tuple(path)][last] = (name, shape)
        else:
            found[(*path, last)]["weight"] = (name, shape)
    return tuple(
        Layer(path, {role: tensors[role] for role in ROLES if role in tensors})
        for path, tensors in found.items()
    )


def below(sides: Sequence[Layer]) -> dict[Path, int]:
    """The set of layers below each prefix, in order of appearance; all below the empty one."""
    found: dict[Path, int] = defaultdict(int)
    for number, layer in enumerate(sides):
        for depth in range(len(layer.path)):
            found[layer.path[:depth]] |= 1 << number
    return dict(found)


def modules(sides: Sequence[Layer]) -> tuple[int, ...]:
    """The sets of two and more layers that the hierarchy makes.

    They are what lies below each prefix, and what lies directly below it.
    """
    direct: dict[Path, int] = defaultdict(int)
    for number, layer in enumerate(sides):
        if layer.path[:-1]:
            direct[layer.path[:-1]] |= 1 << number
    return several([*below(sides).values(), *direct.values()])


@dataclass(frozen=True, slots=True)
class Ours:
    """The network's layers in its order, with its modules, chains and data flow.

    `chains` are layers through which data runs without a branch or a join, and the branches
    of each join; `normed` pairs of a layer and the norm behind it, and of a layer and the
    norm before it; `above[y]` is the set of layers whose results reach layer y; `near[y]`
    of those next to it: before and behind it, beside it on one input, or at one join.
    """

    layers: tuple[Layer, ...]
    modules: tuple[int, ...]
    chains: tuple[int, ...]
    normed: tuple[tuple[int, ...], tuple[int, ...]]
    above: tuple[int, ...]
    near: tuple[int, ...]

    def together(self, members: int) -> bool:
        """Whether layers are one piece: each is near another of them."""
        reached, new = 0, members & -members
        while new:
            reached |= new
            found = 0
            for n in bits(new):
                found |= self.near[n]
            new = found & members & ~reached
        return reached == members

    def feeding(self, y: int) -> int:
        """The layers that come before layer y in the flow of data."""
        before = self.above[y]
        if before >> y & 1:  # it is used again, and what it feeds may feed it
            return union(x for x in bits(before) if not self.above[x] >> y & 1)
        return before

    def precedes(self, x: int, y: int) -> bool:
        """Whether layer x comes before layer y in the flow of data."""
        return bool(self.above[y] >> x & 1) and not self.above[x] >> y & 1


def ours(network: Network, shapes: Mapping[str, Shape]) -> Ours:
    """The network's side; `shapes` are its weights' by name, in order."""
    found = layers(shapes)
    number = {name: n for n, layer in enumerate(found) for name, _ in layer.tensors.values()}
    owned: dict[str, int] = {}
    reached: dict[str, int] = {}
    above = [0] * len(found)
    for node in network:
        prefix = ".".join(map(str, node.path))
        weights = node.op.weights(*network.input_shapes(node.name))
        names = [f"{prefix}.{weight}" for weight in weights]
        owned[node.name] = union(number[name] for name in names if name in number)
        before = 0
        for producer, _ in network.operands(node.name):
            before |= reached[producer]
        for layer in bits(owned[node.name]):
            above[layer] |= before
        reached[node.name] = before | owned[node.name]
    chains, normed = _chains(network, owned, reached)
    near = _near(network, owned, len(found))
    return Ours(found, modules(found), chains, normed, tuple(above), near)


def _near(network: Network, owned: Mapping[str, int], count: int) -> tuple[int, ...]:
    """For each layer those next to it."""
    front: dict[str, int] = {}
    taking: dict[tuple[str, int], int] = defaultdict(int)
    groups: list[tuple[int, int]] = []
    for node in network:
        operands = network.operands(node.name)
        sides = [front[producer] for producer, _ in operands]
        before = reduce(or_, sides, 0)
        if own := owned[node.name]:
            groups.append((own, before | own))
            for operand in operands:
                taking[operand] |= own
        else:
            # What is kept for a join, and used elsewhere too, is not a branch of it.
            ends = [front[u] for u, _ in operands if len(network.wires.readers(u)) == 1]
            groups += [(side, reduce(or_, ends) & ~side) for side in ends]
        front[node.name] = own or before
    near = [0] * count
    for some, others in [*groups, *((layers, layers) for layers in taking.values())]:
        for n in bits(some):
            near[n] |= others
        for n in bits(others):
            near[n] |= some
    return tuple(near)


def _chains(
    network: Network, owned: Mapping[str, int], reached: Mapping[str, int]
) -> tuple[tuple[int, ...], tuple[tuple[int, ...], tuple[int, ...]]]:
    """Runs without a branch and what only one operand needs; and layers with their norms.

    `reached` are the layers that a node's result depends on.
    """
    readers = network.wires.readers
    outputs = {tensor.node for tensor in network.outputs.values()}
    chain: dict[str, str] = {}
    found: dict[str, int] = {}
    normed: tuple[list[int], list[int]] = ([], [])
    last: dict[str, tuple[int, bool]] = {}
    branches: list[int] = []
    for node in network:
        name = node.name
        above = [u for u, _ in network.operands(name)]
        joined = len(above) == 1 and len(readers(above[0])) == 1 and above[0] not in outputs
        chain[name] = chain[above[0]] if joined else name
        found[chain[name]] = found.get(chain[name], 0) | owned[name]
        norm = node.op.family is Family.NORM
        fed, by_norm = last.get(above[0], (0, False)) if joined else (0, False)
        if fed and owned[name] and norm != by_norm:
            normed[by_norm].append(fed | owned[name])
        last[name] = (owned[name], norm) if owned[name] else (fed, by_norm)
        for operand in above if len(above) > 1 else ():
            others = [reached[other] for other in above if other != operand]
            branches.append(reached[operand] & ~reduce(or_, others, 0))
    behind, before = map(several, normed)
    return several([*found.values(), *branches]), (behind, before)


@dataclass(frozen=True, slots=True)
class Theirs:
    """A foreign mapping's layers, with its modules.

    `trusted` says that the mapping is in the order of definition: a file may be sorted.
    """

    layers: tuple[Layer, ...]
    modules: tuple[int, ...]
    trusted: bool

    def before(self, a: int, b: int, stems: Iterable[str]) -> bool | None:
        """Whether layer a was defined before layer b; None where nothing says so.

        The numbers of list items say it; those inside a name (`conv2`) too where they
        agree with the order of definition, or their stem is among `stems`.
        """
        x, y = _fork(self.layers[a].path, self.layers[b].path)
        numbers = dict(numbered(x)) if x else {}
        pairs = [(stem, numbers[stem], n) for stem, n in numbered(y or "") if stem in numbers]
        differing = [pair for pair in pairs if pair[1] != pair[2]]
        if not differing:
            return a < b if self.trusted else None
        stem, first, second = differing[0]
        if self.trusted:
            return a < b if (a < b) == (first < second) else None
        return first < second if stem == "#" or stem in stems else None


def theirs(shapes: Mapping[str, Shape]) -> Theirs:
    """The side of a foreign `state_dict`, given as name → shape."""
    found = layers(shapes)
    return Theirs(found, modules(found), _in_order_of_definition(list(shapes)))


def _fork(a: Path, b: Path) -> tuple[str | None, str | None]:
    """The first segments in which two paths differ."""
    for x, y in zip(a, b, strict=False):
        if x != y:
            return x, y
    return None, None


def _in_order_of_definition(names: list[str]) -> bool:
    """Whether a module may have written the names in this order.

    A module's entries stand together, `weight` before `bias`, list items by number.
    """
    if len(names) > 1 and names == sorted(names):
        return False
    closed: set[Path] = set()
    items: dict[Path, int] = {}
    previous: Path = ()
    for path in (tuple(name.split(".")) for name in names):
        common = next(
            (d for d, (x, y) in enumerate(zip(path, previous, strict=False)) if x != y), 0
        )
        closed |= {previous[:d] for d in range(common + 1, len(previous))}
        parents = [path[:d] for d in range(1, len(path))]
        if not closed.isdisjoint(parents):
            return False
        for *container, last in parents:
            if last.isdecimal() and int(last) < items.setdefault(tuple(container), int(last)):
                return False
            if last.isdecimal():
                items[tuple(container)] = int(last)
        roles = [ROLES.index(p[-1]) for p in (previous, path) if p and p[-1] in ROLES]
        if len(roles) == 2 and path[:-1] == previous[:-1] and roles[0] > roles[1]:
            return False
        previous = path
    return True
