"""One box for what stands side by side: a head's scores, offsets and anchors.

Detectors apply the same heads to each level, and join what comes of them several times
over. Calls of one block on one value are one box that says how many it is, and so are the
concats of a detector's heads. What does the same on each level, and leads to no plane any
more, is one box too: heads, anchors, decoding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from cnndsl.figures.scene import Box, Cluster, Item, boxes
from cnndsl.figures.walk import read
from cnndsl.graph import Network
from cnndsl.ops.facts import Family

LEVELS = 3
"""So many calls on different values are the levels of a pyramid, or two that find boxes."""
AFTER = {
    Family.ACTIVATION,
    Family.ADD,
    Family.BOXES,
    Family.CONCAT,
    Family.MATMUL,
    Family.REGULARIZE,
    Family.RESHAPE,
}
"""What computes boxes and scores from what heads give: nothing of it is learned."""
ALIKE = (Family.ACTIVATION, Family.ADD, Family.BOXES, Family.NORM, Family.RESHAPE)
"""Of these, what may do the same on each level."""
Alike = Callable[[Box], object]
"""What is equal for boxes that merge; nothing for one that stays."""


def abreast(network: Network, items: list[Item]) -> list[Item]:
    """The items with such boxes merged: calls on one value, levels, and then concats."""
    finder = _Finder(network, items)
    items = levels(network, _merged(items, finder.calls, finder.apart))
    finder = _Finder(network, items)
    return _merged(items, finder.concats, lambda *_: True)


def levels(network: Network, items: list[Item]) -> list[Item]:
    """The items, what does the same on each level merged."""
    count = 0
    while count != (count := sum(1 for _ in boxes(items))):
        # Heads lead to what is known to do the same on each level only when that is merged.
        items = _merged(items, _Finder(network, items).levels(items), lambda *_: True)
    return items


def rows(network: Network, items: list[Item]) -> list[Item]:
    """The items of a block that does the same with each of its inputs, as one row."""
    every = list(boxes(items))
    if len(every) != len(items) or any(box.count > 1 for box in every):
        return items
    parts = _joined(network, every)
    forms = {tuple(_form(network, box) for box in part) for part in parts}
    if len(parts) < LEVELS or len(forms) > 1 or not all(forms):
        return items
    for first, *others in zip(*parts, strict=True):
        for box in others:
            _take(first, box)
    return [*parts[0]]


def _form(network: Network, box: Box) -> object:
    """What is equal for boxes of which one stands for all, whatever their attributes are."""
    if box.frame is not None:
        return box.frame.key
    return tuple(network.node(name).op.name for name in box.nodes)


def weighted(network: Network, items: list[Item]) -> list[list[Box]]:
    """The boxes that compute on learned tensors alone, in groups that are joined."""
    fixed: set[str] = set()
    learned: set[str] = set()
    for box in boxes(items):
        for name in box.nodes:
            tails = [tail for tail, _ in read(network, name)]
            op = network.node(name).op
            if not tails and op.weights(*network.input_shapes(name)):
                learned.add(name)
            if name in learned or (tails and fixed.issuperset(tails)):
                fixed.add(name)
    found = [box for box in items if isinstance(box, Box) and fixed.issuperset(box.nodes)]
    return [part for part in _joined(network, found) if len(part) > 1]


def _joined(network: Network, every: Sequence[Box]) -> list[list[Box]]:
    """The boxes in groups between which no value is read, in order."""
    owner = {name: box for box in every for name in box.nodes}
    near: dict[str, list[Box]] = {box.key: [] for box in every}
    for name, box in owner.items():
        for tail, _ in read(network, name):
            if tail in owner and owner[tail] is not box:
                near[box.key].append(owner[tail])
                near[owner[tail].key].append(box)
    groups: list[list[Box]] = []
    done: set[str] = set()
    for box in every:
        reached, stack = {box.key}, [box]
        while stack and box.key not in done:
            for other in near[stack.pop().key]:
                if other.key not in reached:
                    reached.add(other.key)
                    stack.append(other)
        if box.key not in done:
            groups.append([one for one in every if one.key in reached])
            done |= reached
    return groups


def last(network: Network, items: list[Item]) -> list[Box]:
    """The post-processing at the end: boxes and scores from what the heads give, no weights.

    Nothing where none computes boxes: what follows a classifier is no such end.
    """
    wires = network.wires
    owner = {name: box.key for box in boxes(items) for name in box.nodes}
    found: dict[str, Box] = {}
    for box in reversed(list(boxes(items))):
        heads = {head for name in box.nodes for head in wires.readers(name)}
        below = {owner[head] for head in heads & owner.keys()}
        if box.nodes and below - {box.key} <= found.keys() and computes(network, box.nodes):
            found[box.key] = box
    ended = [box for box in boxes(items) if box.key in found]
    known = {network.node(name).op.family for box in ended for name in box.nodes}
    return ended if Family.BOXES in known else []


def computes(network: Network, names: Sequence[str]) -> bool:
    """Whether some layers only compute on what the heads give, without weights."""
    return all(
        network.node(name).op.family in AFTER
        and not network.node(name).op.weights(*network.input_shapes(name))
        for name in names
    )


def _merged(items: list[Item], alike: Alike, may: Callable[[Box, Box], bool]) -> list[Item]:
    """The items, those that are alike in one block merged into the first."""
    kept: dict[object, Box] = {}
    done: list[Item] = []
    for item in items:
        if isinstance(item, Cluster):
            item.children = _merged(item.children, alike, may)
        elif (key := alike(item)) is not None:
            first = kept.setdefault(key, item)
            if first is not item and may(first, item):
                _take(first, item)
                continue
        done.append(item)
    return done


class _Finder:
    """What is alike among some items."""

    def __init__(self, network: Network, items: list[Item]) -> None:
        self.network = network
        self.owner = {name: box for box in boxes(items) for name in box.nodes}

    def _above(self, box: Box) -> set[str]:
        """The nodes outside a box that it reads."""
        wires, inside = self.network.wires, set(box.nodes)
        return {tail for name in inside for tail in wires.producers(name)} - inside

    def _below(self, box: Box) -> set[str]:
        """The nodes outside a box that read it."""
        wires, inside = self.network.wires, set(box.nodes)
        return {head for name in inside for head in wires.readers(name)} - inside

    def apart(self, one: Box, two: Box) -> bool:
        """Whether two boxes feed no common one: else they are branches of a join."""
        return not self._below(one) & self._below(two)

    def _joined(self, box: Box) -> bool:
        """Whether a box feeds concats, and nothing else."""
        families = {self.network.node(name).op.family for name in self._below(box)}
        return families == {Family.CONCAT}

    def calls(self, box: Box) -> object:
        """Calls of one block on one value, whose results are joined."""
        if box.frame is None or box.count != 1 or not self._joined(box):
            return None
        return box.frame.key, box.title, frozenset(self._above(box))

    def concats(self, box: Box) -> object:
        """Concats of the same boxes, or of heads that read the same."""
        read = self._above(box)
        if box.family is not Family.CONCAT or len(box.nodes) != 1 or len(read) < 2:
            return None
        fed = {self.owner[name].key: self.owner[name] for name in read}
        if len(fed) < LEVELS or not all(self._joined(tail) for tail in fed.values()):
            return frozenset(fed)
        return frozenset(
            self.owner[name].key for tail in fed.values() for name in self._above(tail)
        )

    def levels(self, items: list[Item]) -> Alike:
        """What does the same on the levels of a pyramid, before a second stage or the end."""
        found: dict[str, object] = {}
        groups: dict[tuple[object, ...], list[Box]] = {}
        for around, box in _placed(items):
            if box.count > 1:
                continue
            if box.frame is not None:
                groups.setdefault((around, box.frame.key), []).append(box)
            elif box.family in ALIKE:
                names = tuple(self.network.node(name).op.name for name in box.parts)
                groups.setdefault((around, *names), []).append(box)
        for key, group in self._split(groups):
            called = group[0].frame is not None and len(group) >= LEVELS
            if (called and self._staged(group)) or self._ending(group):
                found |= dict.fromkeys([box.key for box in group], key)
        return lambda box: found.get(box.key)

    def _split(
        self, groups: dict[tuple[object, ...], list[Box]]
    ) -> Iterator[tuple[object, list[Box]]]:
        """The groups that are parallel; of one that follows itself, what is as deep."""
        for key, group in groups.items():
            if len(group) < 2:
                continue
            if self._parallel(group):
                yield key, group
                continue
            depths: dict[int, list[Box]] = {}
            below = {box.key: self.network.wires.below(box.nodes[0]) for box in group}
            for box in group:
                before = [one for one in group if box.nodes[0] in below[one.key]]
                depths.setdefault(len(before), []).append(box)
            for depth, level in depths.items():
                if self._parallel(level):
                    yield (key, depth), level

    def _ending(self, group: list[Box]) -> bool:
        """Whether nothing is learned from what comes of boxes, but by what is merged too."""
        wires = self.network.wires
        every = [wires.below(*box.nodes) & self.owner.keys() for box in group]
        if not set[str].intersection(*every):
            return False
        below = every[0]
        merged = {name for name in below if self.owner[name].beside > 1}
        families = {self.network.node(name).op.family for name in below - merged}
        within = {self.network.node(name).op.family for name in below | set(group[0].nodes)}
        inside = {self.network.node(name).op.family for name in group[0].nodes}
        enough = len(group) >= LEVELS or Family.BOXES in within
        return enough and (families - inside if group[0].frame else families) <= AFTER

    def _parallel(self, group: list[Box]) -> bool:
        """Whether several boxes read different values, and none what another makes."""
        if len(group) < 2:
            return False
        if len({frozenset(self._above(box)) for box in group}) < len(group):
            return False
        every, wires = {name for box in group for name in box.nodes}, self.network.wires
        return not any((every - {*box.nodes}) & wires.below(box.nodes[0]) for box in group)

    def _staged(self, group: list[Box]) -> bool:
        """Whether what comes of boxes is chosen from, and then computed on with weights."""
        below = self.network.wires.below(*group[0].nodes)
        families = {self.network.node(name).op.family for name in below - set(group[0].nodes)}
        return Family.BOXES in families and Family.LINEAR in families


def _placed(items: list[Item], around: str = "") -> list[tuple[str, Box]]:
    """The boxes, each with the key of the block around it."""
    found: list[tuple[str, Box]] = []
    for item in items:
        if isinstance(item, Cluster):
            found += _placed(item.children, item.key)
        else:
            found.append((around, item))
    return found


def _take(first: Box, item: Box) -> None:
    """Merge a box into one that it stands beside."""
    first.nodes += item.nodes
    first.labels += item.labels
    first.others += [item.parts, *item.others]
    first.shapes += item.shapes
    first.beside += item.beside
    if first.values and item.values:
        other = dict(item.values[0])
        kept = tuple((name, v) for name, v in first.values[0] if other.get(name) == v)
        first.values = [kept]
