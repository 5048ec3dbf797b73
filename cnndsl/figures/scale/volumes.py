"""What a prism stands for: boxes that are one volume, in the order in which they compute."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from cnndsl.figures.layout.strides import leaving, strides
from cnndsl.figures.scale.paths import in_order
from cnndsl.figures.scale.slabs import Maker, Slab, rows_of, said_of
from cnndsl.figures.scene import Box, Edge, Frame, Item, Plan, Scene, boxes
from cnndsl.figures.text import clean
from cnndsl.figures.titles import title_of
from cnndsl.figures.walk import calls_of, labels_of
from cnndsl.graph import Network
from cnndsl.ops.facts import Family, Shape

IDLE = {Family.NORM, Family.ACTIVATION, Family.REGULARIZE, Family.RESHAPE}
"""Families that leave what they are given, in size or in number."""
PLAIN = {Family.POOL, Family.UPSAMPLE, Family.CONCAT, Family.ADD}
"""Families that name a stage only where nothing else does."""


@dataclass(slots=True)
class Volume:
    """A stage: `boxes` ends with the one whose output it shows, of this shape.

    `said` is what computes it, in short: `Bottleneck ×3`; `slabs` are drawn side by side,
    and after them the `pools` with which what reads it begins, on its face.
    """

    key: str
    boxes: list[Box]
    shape: Shape
    family: Family | None
    said: list[str] = field(default_factory=list)
    slabs: list[Slab] = field(default_factory=list)
    pools: list[Slab] = field(default_factory=list)
    carried: dict[str, str] = field(default_factory=dict)
    """What becomes of a copy on its way here, by the stage that it comes from."""
    label: str = ""
    """What it alone of all is called: `features[0]`, `c2`."""

    @property
    def nodes(self) -> list[str]:
        """The graph nodes inside, in order."""
        return [name for box in self.boxes for name in box.nodes]

    @property
    def name(self) -> str:
        """Its label: its own, that of a block or convolution inside, else any; an input's."""
        if self.label:
            return self.label
        if self.family is Family.INPUT:
            return clean(self.boxes[0].title)
        stems = {
            weight: list(dict.fromkeys(_stem(box) for box in self.boxes if _named(box, weight)))
            for weight in (True, False)
        }
        names = [name for name in stems[True] or stems[False] if name]
        return listed(names)

    @property
    def outputs(self) -> list[str]:
        """The names of the network's outputs that it is."""
        return [clean(box.title) for box in self.boxes if not box.nodes]


def listed(names: Sequence[str]) -> str:
    """`conv2, conv3`, `conv3 … conv5`."""
    return ", ".join(names) if len(names) < 3 else f"{names[0]} … {names[-1]}"


def _named(box: Box, weighty: bool) -> bool:
    return bool(box.labels) and (not weighty or box.family not in PLAIN | IDLE)


def _stem(box: Box) -> str:
    return clean(box.labels[0]).partition("[")[0]


def volumes(planned: Plan, *, stages: bool) -> tuple[dict[str, Volume], Scene]:
    """The prisms by key, and the scene in which each is one box; repeats are not folded yet.

    With `stages`, whatever stays at one stride up to where it is read by something else is
    one volume, but for what makes an output and for what leaves a block of several
    strides; without, boxes in a row that say and make the same are, and where paths fork,
    pooling, resizing and joins go with what reads them.
    """
    network, scene = planned.network, planned.main
    owner = _Owners(network, scene, stages=stages, light=IDLE).found
    if not stages and _forks(scene, owner):
        owner = _Owners(network, scene, stages=stages, light=IDLE | PLAIN).found
    # Each where its last box stands, so that what it reads stands before it.
    groups: dict[str, list[Box]] = {b.key: [] for b in scene.boxes() if owner[b.key] == b.key}
    for box in scene.boxes():
        groups[owner[box.key]].append(box)
    leaves, rows = leaving(network, scene), rows_of(network)
    shapes = {key: tensor.shape for key, tensor in leaves.items()}
    turned = {k for k, one in leaves.items() if one.node in rows and len(one.shape) == 2}
    faced = {key: shape[::-1] if key in turned else shape for key, shape in shapes.items()}
    make = Maker(network, scene, faced, owner, rows, turned)
    found = {key: _volume(network, key, held, shapes) for key, held in groups.items()}
    for volume in found.values():
        volume.slabs = make(volume.boxes)
    contracted = _contracted(scene, owner, found)
    for edge in contracted.edges:
        if words := make.carried.get((edge.tail, edge.head)):
            found[edge.head].carried[edge.tail] = words
    _pools(found, contracted)
    _label(network, list(found.values()))
    return found, contracted


def _label(network: Network, found: Sequence[Volume]) -> None:
    """Call each by the shortest beginning of its layers' names that is its own."""
    known = labels_of(network.structure.body)
    for call in calls_of(network.structure.body):
        known |= labels_of(call.block.body)
    common: list[list[str]] = []
    shared: Counter[tuple[str, ...]] = Counter()
    for volume in found:
        slabs = [slab for slab in volume.slabs if not slab.copied]
        names = [name.split(".") for slab in slabs for name in slab.nodes[:1]]
        shared.update({tuple(name[:n]) for name in names for n in range(1, len(name) + 1)})
        common.append(_common(names))
    for volume, prefix in zip(found, common, strict=True):
        alone = [n for n in range(1, len(prefix) + 1) if shared[tuple(prefix[:n])] == 1]
        if not alone:
            continue
        after = alone[0]
        while after < len(prefix) and prefix[after].isdigit():
            after += 1
        name = prefix[:after]
        turn = ""
        while len(name) > 1 and name[-1].isdigit():
            turn = f"[{name.pop()}]{turn}"
        if name and name[-1] in known:
            volume.label = clean(name[-1] + turn)


def _common(names: Sequence[Sequence[str]]) -> list[str]:
    """What they all begin with."""
    found: list[str] = []
    for column in zip(*names, strict=False):
        if len(set(column)) > 1:
            break
        found.append(column[0])
    return found


def _pools(found: dict[str, Volume], scene: Scene) -> None:
    """A pooling stands on the face of what it reads, before the stage that it begins."""
    tails, _ = scene.neighbours()
    for key, volume in list(found.items()):
        first, before = volume.slabs[0], tails.get(key, [])
        if first.family is not Family.POOL or len(before) != 1:
            continue
        source = found[before[0]]
        smaller = all(a >= b for a, b in zip(source.shape[1:], first.shape[1:], strict=False))
        if source.pools or not (first.plane and smaller and source.slabs[-1].plane):
            continue
        if len(volume.slabs) > 1:
            source.pools, volume.slabs = [first], volume.slabs[1:]
        elif sum(edge.tail == source.key for edge in scene.edges) == 1 and not volume.pools:
            # A pooling alone is no stage.
            source.pools = [first]
            source.boxes = [*source.boxes, *volume.boxes]
            source.said = [*source.said, *volume.said]
            del found[key]
            scene.items[:] = [item for item in scene.items if item.key != key]
            scene.edges[:] = [edge for edge in scene.edges if edge.head != key]
            for edge in scene.edges:
                edge.tail = source.key if edge.tail == key else edge.tail
            tails, _ = scene.neighbours()


class _Owners:
    """For each box the last of its volume.

    From the end: a box goes with the only volume that reads it. So no volume is both
    before and behind another, whatever the graph.
    """

    def __init__(
        self, network: Network, scene: Scene, *, stages: bool, light: set[Family]
    ) -> None:
        self.network = network
        self.light = light
        self.stages = stages
        self.lanes = strides(network, scene)
        self.around = dict(_around(scene.items, self.lanes))
        self.boxes = {box.key: box for box in scene.boxes() if box.nodes}
        self.shapes = {key: tensor.shape for key, tensor in leaving(network, scene).items()}
        ports = [edge for edge in scene.edges if edge.head not in self.boxes]
        self.given = {edge.tail for edge in ports}
        self.after: dict[str, list[str]] = {}
        self.fed: Counter[str] = Counter()
        for edge in scene.edges:
            if edge.head in self.boxes:
                self.after.setdefault(edge.tail, []).append(edge.head)
                self.fed[edge.head] += 1
        self.found: dict[str, str] = {}
        exits = dict(self._exits(scene.items)) if stages else {}
        for key in reversed(in_order(list(self.boxes), self.after)):
            if key in exits:
                self.found[key] = self.found[exits[key]]
                continue
            readers = {self.found[head] for head in self.after.get(key, ())}
            joins = len(readers) == 1 and self._joins(key, self.boxes[next(iter(readers))])
            self.found[key] = readers.pop() if joins else key
        # An output has no volume of its own: it is the name of what it is given.
        self.found |= {edge.head: self.found[edge.tail] for edge in ports}

    def _exits(self, items: Sequence[Item]) -> Iterator[tuple[str, str]]:
        """For the boxes of a small block, opened in place, the one through which it is left.

        A small block has one way in and one way out, and makes at most one stride.
        """
        for item in items:
            if isinstance(item, Box):
                continue
            keys = [box.key for box in boxes([item]) if box.key in self.boxes]
            inside = set(keys)
            # What nothing reads leads to no exit.
            left = [
                key for key in keys
                if key in self.given or not {*self._heads(key)} or {*self._heads(key)} - inside
            ]  # fmt: skip
            entered = {t for t in self.after if t not in inside and inside & {*self._heads(t)}}
            lanes = {self.lanes[key] for key in keys if key in self.lanes}
            if len(left) == len(entered) == 1 and len(lanes) <= 2:
                yield from ((key, left[0]) for key in keys if key != left[0])
            else:
                yield from self._exits(item.children)

    def _heads(self, key: str) -> list[str]:
        return self.after.get(key, [])

    def _joins(self, key: str, reader: Box) -> bool:
        box, heads = self.boxes[key], [self.boxes[head] for head in self.after[key]]
        if box.family is Family.INPUT or key in self.given:
            return False
        if all(_keeps(head, self.shapes[key], self.shapes[head.key]) for head in heads):
            return True
        if not self.stages:
            head = heads[0]
            alone = len(heads) == 1 and self.fed[head.key] == 1
            if box.family in self.light and (self.light > IDLE or self.fed[head.key] > 1):
                return len(self.shapes[reader.key]) > 1
            alike = self.shapes[key] == self.shapes[head.key]
            return alone and alike and _title(self.network, box) == _title(self.network, head)
        if sum(head.family is Family.CONCAT for head in heads) > 1:
            return False
        level = key in self.lanes and self.lanes[key] == self.lanes.get(reader.key)
        here, there = self.shapes[key], self.shapes[reader.key]
        level = level or (len(here) == len(there) == 2 and here[1] == there[1])
        leaves = self.around[key] - self.around[reader.key]
        return level and not leaves and not any(head.key in self.given for head in heads)


def _title(network: Network, box: Box) -> str:
    return clean(title_of(network, box))


def _forks(scene: Scene, owner: dict[str, str]) -> bool:
    """Whether some volume is read by two, or reads two."""
    edges = {(owner[edge.tail], owner[edge.head]) for edge in scene.edges}
    between = [(tail, head) for tail, head in edges if tail != head]
    tails, heads = zip(*between, strict=True) if between else ((), ())
    return len(set(tails)) < len(tails) or len(set(heads)) < len(heads)


def _around(
    items: Sequence[Item], lanes: dict[str, int], outer: frozenset[str] = frozenset()
) -> Iterator[tuple[str, frozenset[str]]]:
    """For each box the blocks around it that have several strides inside."""
    for item in items:
        if isinstance(item, Box):
            yield item.key, outer
            continue
        several = len({lanes.get(box.key) for box in boxes([item])}) > 1
        inner = outer | {item.key} if several and item.title else outer
        yield from _around(item.children, lanes, inner)


def _keeps(box: Box, before: Shape, after: Shape) -> bool:
    """Whether a box makes no volume of its own of what it reads."""
    return box.family in IDLE and math.prod(before) == math.prod(after)


def _volume(network: Network, key: str, held: list[Box], shapes: dict[str, Shape]) -> Volume:
    inside = [box for box in held if box.nodes]
    working = [box for box in inside if box.family not in IDLE] or inside
    tip = working[-1]
    # What is last may only reshape what the last working box made, or crop it.
    shown = inside[-1] if _crops(inside[-1], tip, shapes) else tip
    said: Counter[str] = Counter()
    for box in inside:
        said[said_of(network, box)] += box.count
    words = [title if count == 1 else f"{title} ×{count}" for title, count in said.items()]
    return Volume(key, held, shapes[shown.key], tip.family, words)


def _crops(last: Box, tip: Box, shapes: dict[str, Shape]) -> bool:
    return math.prod(shapes[last.key]) != math.prod(shapes[tip.key])


def _contracted(scene: Scene, owner: dict[str, str], found: dict[str, Volume]) -> Scene:
    """The scene of volumes; a volume of several boxes is one folded box of it."""
    items = []
    for key, volume in found.items():
        tip = next(box for box in volume.boxes if box.key == key)
        frame = Frame(f"v{key}", volume.name, []) if len(volume.boxes) > 1 else tip.frame
        box = Box(
            key, volume.name, volume.family, volume.nodes, None, frame=frame, tensor=tip.tensor
        )
        items.append(box)
    edges: dict[tuple[str, str], Edge] = {}
    for edge in scene.edges:
        ends = owner[edge.tail], owner[edge.head]
        if ends[0] != ends[1]:
            kept = edges.setdefault(ends, Edge(*ends, []))
            kept.tensors += [t for t in edge.tensors if t not in kept.tensors]
    return Scene([*items], list(edges.values()), {})
