"""Two networks as one: their plans matched by the names of their layers.

Both are planned with everything open. What shares a layer's name is one item of the
union; what is in one alone is removed or added. The order of each stays, so the union
goes forward wherever one of the two does.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from cnndsl.analysis.costs import Cost, costs
from cnndsl.figures.plan import drawable, plan
from cnndsl.figures.scene import Box, Cluster, Edge, Item, Scene, boxes
from cnndsl.figures.walk import read
from cnndsl.graph import Network, Wires
from cnndsl.structure import Tensor

SAME, ADDED, REMOVED, CHANGED, AFFECTED = "same", "added", "removed", "changed", "affected"
KINDS = (SAME, ADDED, REMOVED, CHANGED, AFFECTED)


@dataclass(slots=True)
class Part:
    """What a box of the union stands for on each side: boxes of the two plans.

    `affected` is the same layer with another size or cost.
    """

    kind: str
    before: list[Box] = field(default_factory=list)
    after: list[Box] = field(default_factory=list)
    delta: Cost = field(default_factory=Cost)
    title: str = ""
    """Of a block that is closed; else that of its boxes."""
    turns: int = 1
    """So many that are alike are folded in it."""
    abreast: int = 1
    """So many that read and feed the same are folded in it."""
    inner: list[Part] = field(default_factory=list)
    """What changes inside a block that is closed."""

    @property
    def nodes(self) -> tuple[list[str], list[str]]:
        """The layers on each side."""
        first = [name for box in self.before for name in box.nodes]
        return first, [name for box in self.after for name in box.nodes]


@dataclass(slots=True)
class Union:
    """The union of two networks as a scene: parts by box, and what an edge is."""

    before: Network
    after: Network
    network: Network
    scene: Scene
    parts: dict[str, Part]
    edges: dict[tuple[str, str], str] = field(default_factory=dict)


class Matcher:
    """One pass over both plans."""

    def __init__(self, before: Network, after: Network) -> None:
        """Match; the result is in `items`, `parts` and `edges`."""
        self.before, self.after = before, after
        self.costs = costs(before), costs(after)
        self.parts: dict[str, Part] = {}
        self.number = 0
        plans = [
            drawable(plan(one, folding=False, repeats=False)).main for one in (before, after)
        ]
        self.items = self._merged(plans[0].items, plans[1].items)

    # Items

    def _merged(self, first: Sequence[Item], then: Sequence[Item]) -> list[Item]:
        done: list[Item] = []
        i = j = 0
        for a, b in [*_matched(first, then), (len(first), len(then))]:
            done += [self._alone(item, REMOVED) for item in first[i:a]]
            done += [self._alone(item, ADDED) for item in then[j:b]]
            if a < len(first) and b < len(then):
                done.append(self._paired(first[a], then[b]))
            i, j = a + 1, b + 1
        return done

    def _paired(self, first: Item, then: Item) -> Item:
        if isinstance(first, Box) and isinstance(then, Box):
            return self._box(Part(self._kind(first, then), [first], [then]))
        inner = [
            item.children if isinstance(item, Cluster) else [item] for item in (first, then)
        ]
        titles = [item.title for item in (first, then) if isinstance(item, Cluster)]
        title = " → ".join(dict.fromkeys(titles))
        return Cluster(self._key(), title, self._merged(*inner), labels=then.labels)

    def _alone(self, item: Item, kind: str) -> Item:
        if isinstance(item, Box):
            sides = ([], [item]) if kind == ADDED else ([item], [])
            return self._box(Part(kind, *sides))
        children = [self._alone(child, kind) for child in item.children]
        return Cluster(self._key(), item.title, children, labels=item.labels)

    def _key(self) -> str:
        self.number += 1
        return f"u{self.number}"

    def _box(self, part: Part) -> Box:
        shown = (part.after or part.before)[0]
        key = self._key()
        was, now = part.nodes
        sums = [
            sum((table[name] for name in names), Cost())
            for table, names in zip(self.costs, (was, now), strict=True)
        ]
        part.delta = Cost(
            sums[1].parameters - sums[0].parameters,
            sums[1].buffers - sums[0].buffers,
            sums[1].macs - sums[0].macs,
        )
        self.parts[key] = part
        made = Box(key, shown.title, shown.family, list(now or was), None, [*shown.labels])
        made.parts = [*shown.parts]
        return made

    def _kind(self, first: Box, then: Box) -> str:
        if not first.nodes:
            return SAME
        if first.nodes != then.nodes:
            return CHANGED
        pairs = [(self.before.node(name).op, self.after.node(name).op) for name in first.nodes]
        if any(was != now for was, now in pairs):
            return CHANGED
        shapes = self.before.shapes, self.after.shapes
        alike = all(
            shapes[0][name] == shapes[1][name] and self.costs[0][name] == self.costs[1][name]
            for name in first.nodes
        )
        return SAME if alike else AFFECTED


def _names(item: Item) -> set[str]:
    """What an item is known by: its layers, and the outputs that it names."""
    return {name for box in boxes([item]) for name in _held(box)}


def _held(box: Box) -> list[str]:
    """The layers of a box; of outputs, which may be one list of words, their names."""
    return box.nodes or [f"@{name}" for name in box.title.split(", ")]


def _matched(first: Sequence[Item], then: Sequence[Item]) -> list[tuple[int, int]]:
    """Pairs that share layers, in the order of both, with as many in common as may be."""
    where: dict[str, int] = {name: j for j, item in enumerate(then) for name in _names(item)}
    weights: dict[tuple[int, int], int] = defaultdict(int)
    for i, item in enumerate(first):
        for name in _names(item) & where.keys():
            weights[i, where[name]] += 1
    # The heaviest rising chain; `best[j]` ends at the item j of the second.
    best: dict[int, tuple[int, tuple[tuple[int, int], ...]]] = {}
    for i in range(len(first)):
        here = {j: weight for (a, j), weight in weights.items() if a == i} if weights else {}
        reached = {}
        for j, weight in here.items():
            before = max(
                (found for end, found in best.items() if end < j),
                key=lambda found: found[0],
                default=(0, ()),
            )
            reached[j] = (before[0] + weight, (*before[1], (i, j)))
        for j, found in reached.items():
            if found[0] > best.get(j, (0, ()))[0]:
                best[j] = found
    return list(max(best.values(), key=lambda found: found[0], default=(0, ()))[1])


def joined(before: Network, after: Network) -> Network:
    """Both graphs in one, by name: the second's layers, then those of the first alone."""
    wires = Wires()
    shapes = before.shapes | after.shapes
    for network in (after, before):
        for node in network:
            if node.name not in wires:
                wires.add(node, network.operands(node.name))
    return Network(
        after.name,
        wires,
        after.structure,
        after.inputs,
        after.outputs,
        after.arguments,
        shapes,
        after.dimensions,
    )


def edges(
    matcher: Matcher, order: Sequence[str]
) -> tuple[list[Edge], dict[tuple[str, str], str]]:
    """The edges of both between the boxes of the union, and which of the two have each."""
    place = {key: number for number, key in enumerate(order)}
    found: dict[tuple[str, str], Edge] = {}
    sides: dict[tuple[str, str], set[str]] = defaultdict(set)
    for side, network in ((ADDED, matcher.after), (REMOVED, matcher.before)):
        owner = _owner(matcher.parts, side)
        for tail, output, head in _links(network):
            ends = owner[tail], owner[head]
            # One against the order of the union is removed, or leads to the next turn.
            if ends[0] == ends[1] or place[ends[0]] > place[ends[1]]:
                continue
            sides[ends].add(side)
            edge = found.setdefault(ends, Edge(*ends, []))
            tensor = Tensor(tail, output, network.shapes[tail][output])
            if side == ADDED or not edge.tensors:
                edge.tensors.append(tensor)
    kinds = {ends: SAME if len(of) == 2 else next(iter(of)) for ends, of in sides.items()}
    return list(found.values()), kinds


def _owner(parts: dict[str, Part], side: str) -> dict[str, str]:
    owner: dict[str, str] = {}
    for key, part in parts.items():
        for box in part.after if side == ADDED else part.before:
            owner |= dict.fromkeys(_held(box), key)
    return owner


def _links(network: Network) -> list[tuple[str, int, str]]:
    """Every tensor that is read, as tail, its output and head, and one to each output."""
    inner = [(u, output, name) for name in network.wires for u, output in read(network, name)]
    ends = [(t.node, t.output, f"@{name or 'out'}") for name, t in network.outputs.items()]
    return inner + ends
