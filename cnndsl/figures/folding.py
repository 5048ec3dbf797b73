"""Items that follow each other: whether they are one, and what the one stands for then."""

from __future__ import annotations

from collections.abc import Mapping

from cnndsl.figures.scene import Box, Cluster, Item, Scene
from cnndsl.figures.text import label_text, stem
from cnndsl.figures.titles import MINOR
from cnndsl.graph import Network
from cnndsl.ops.facts import Family

SHRINKING = 3
"""So many steps whose maps differ in size may be one box, which says the sizes."""
JOINS = (Family.ADD, Family.CONCAT)


def copied(item: Item) -> Item:
    """The item as it is before others are folded into it."""
    if isinstance(item, Box):
        nodes = list(item.nodes)
        made = Box(item.key, item.title, item.family, nodes, item.signature, span=item.span)
        made.frame, made.values, made.shapes = item.frame, [*item.values], [*item.shapes]
        return made
    children = [copied(child) for child in item.children]
    return Cluster(item.key, item.title, children, span=item.span)


def merge(first: Item, item: Item) -> None:
    """Fold an item into an equal one."""
    first.count += item.count
    first.labels += item.labels
    if isinstance(first, Box) and isinstance(item, Box):
        first.nodes += item.nodes
        first.values += item.values
        first.shapes += item.shapes
        return
    assert isinstance(first, Cluster)
    assert isinstance(item, Cluster)
    for mine, other in zip(first.children, item.children, strict=True):
        count = mine.count
        merge(mine, other)
        mine.count = count
        del mine.labels[len(mine.labels) - len(other.labels) :]


def nameless(first: Item, then: Item) -> bool:
    """Items with labels of their own stay apart, so that each is found by its name."""
    # One label of `first` speaks for all: what is folded into it had none of its own.
    return all(label.startswith("[") for label in [*first.labels[:1], *then.labels])


def label_items(items: list[Item], label: str) -> None:
    """Name iterations, and the last item: a label stands for its line's value.

    What leads to an item with a label is of its line. A line may draw nothing.
    """
    later: set[str] = set()
    for item in reversed(items):
        if isinstance(item, Cluster) and not later.isdisjoint(item.labels):
            # Of two repeats in a line, these turns are the last one's.
            item.labels = []
        later.update(item.labels)
    for item in items:
        if isinstance(item, Box) and item.labels and not item.labels[0].startswith("["):
            turn = item.within.startswith("[")
            item.final &= turn or item is items[-1]
            item.within = f"{label}{'.' if item.within and not turn else ''}{item.within}"
        item.labels = [f"{label}{own}" if own.startswith("[") else own for own in item.labels]
    if items and not items[-1].labels:
        items[-1].labels = [label]
    line = ""
    for item in reversed(items):
        line = item.labels[0] if item.labels else line
        # The innermost of its lines with a name.
        if isinstance(item, Box) and (not item.line or item.line.startswith("[")):
            item.line = line


def tell_apart(scene: Scene) -> None:
    """Name boxes whose labels are alike by the paths to these, as far as they tell them apart.

    Where each is the last in a turn of its own, it has the name of that turn: `stages[2]`.
    """
    alike: dict[str, list[Box]] = {}
    for box in scene.boxes():
        if box.labels:
            alike.setdefault(stem(label_text(box.labels)), []).append(box)
    for found in alike.values():
        paths = [box.within.split(".") for box in found]
        while len({path[0] for path in paths}) == 1 and min(map(len, paths)) > 1:
            paths = [path[1:] for path in paths]
        names = [".".join(path) if path[0][:1] not in ("", "[") else "" for path in paths]
        if len({*names}) < 2:
            continue
        turns = all(names) and len({*names}) == len(names) and all(box.final for box in found)
        for box, name in zip(found, names, strict=True):
            if turns:
                box.labels = [name]
            elif name:
                box.labels = [f"{name}.{label}" for label in box.labels]


class Runs:
    """What follows a box of a network as its tag, or as one more of its kind."""

    def __init__(self, network: Network, *, repeats: bool) -> None:
        """Without `repeats`, what follows itself stays apart."""
        self.network, self.repeats = network, repeats
        wires = network.wires
        self.users = {name: set(wires.readers(name)) for name in wires}
        self.sources = {name: set(wires.producers(name)) for name in wires}
        self.partial: Mapping[str, frozenset[int]] = {}
        """Of the block that is opened: which calls have what not all of them have."""

    def tagged(self, items: list[Item]) -> list[Item]:
        """Write what follows a box, and only it, as tags: dropout, `relu`."""
        done: list[Item] = []
        for item in items:
            last = done[-1] if done else None
            if (
                isinstance(item, Box)
                and isinstance(last, Box)
                and item.family in MINOR
                and last.count == item.count == 1
                and self.chained(last, item)
                and (last.family in MINOR or _takes_tags(last))
                and not last.labels
                and self._comes_along(last, item)
            ):
                last.parts += item.parts
                last.nodes += item.nodes
                last.shapes = item.shapes
                last.signature = (last.signature, item.signature)
                last.labels += item.labels
                continue
            done.append(item)
        return done

    def _comes_along(self, last: Box, item: Box) -> bool:
        """Whether no call has an item without the box before it."""
        there, needed = (self.partial.get(box.parts[0]) for box in (item, last))
        return needed is None or (there is not None and there <= needed)

    def folded(self, items: list[Item]) -> list[Item]:
        """Fold runs of equal items, each fed by the one before it alone."""
        done: list[Item] = []
        ends: list[Item] = []
        for item in items:
            last = done[-1] if done else None
            if (
                self.repeats
                and last is not None
                and type(last) is type(item)
                and item.count == 1
                and (item.signature == last.signature or _alike(last, item))
                and self._sized(last, item)
                and nameless(last, item)
                and (self.chained(ends[-1], item) or self._tapped(ends[-1], item))
            ):
                ends[-1] = copied(item)
                merge(last, item)
                continue
            done.append(item)
            ends.append(copied(item))
        return done

    def continued(self, items: list[Item]) -> list[Item]:
        """The items of a line, a call and those like it that follow as one."""
        done: list[Item] = []
        for item in items:
            last = done[-1] if done else None
            if (
                self.repeats
                and isinstance(last, Box)
                and isinstance(item, Box)
                and last.frame is not None
                and last.count == 1 < item.count
                and (last.title, last.frame) == (item.title, item.frame)
                and last.values[0] == item.values[0]
                and self.chained(last, item)
            ):
                merge(last, item)
                last.labels = []
                continue
            done.append(item)
        return done

    def chained(self, first: Item, then: Item) -> bool:
        """Whether all that enters `then` leaves `first`, and goes nowhere else."""
        before, after = set(first.nodes), set(then.nodes)
        if not before or not after:
            return False
        entering = {source for name in after for source in self.sources[name]} - after
        leaving = {user for name in before for user in self.users[name]} - before
        final = {tensor.node for tensor in self.network.outputs.values()}
        return bool(entering) and entering <= before and leaving <= after and not before & final

    def _tapped(self, first: Item, then: Item) -> bool:
        """Whether `first` leads to `then`, and both to one join that sums up all of a chain."""
        if not isinstance(first, Box) or first.frame is None:
            return False
        before, after = set(first.nodes), set(then.nodes)
        entering = {source for name in after for source in self.sources[name]} - after
        leaving = {user for name in before for user in self.users[name]} - before - after
        both = {user for name in after for user in self.users[name]} & leaving
        joins = all(self.network.node(name).op.family in JOINS for name in leaving)
        return bool(entering) and entering <= before and leaving == both != set() and joins

    def _sized(self, last: Item, item: Item) -> bool:
        """Whether a map keeps its size: what it is in between would be said nowhere else.

        Two steps without padding are said: `570² → 568²`.
        """
        if isinstance(last, Box) and isinstance(item, Box):
            sizes = [shape[1:] for shape in (*last.shapes, *item.shapes)]
            shrunk = len(sizes) <= SHRINKING and last.frame is None
            # A call whose outputs nobody needs has none: of a network that was cut.
            pairs = zip(*sizes[:1], *sizes[-1:], strict=False)
            near = all(2 * b > a for a, b in pairs)
            return len(set(sizes)) == 1 or (bool(sizes) and shrunk and near)
        ends = [self.network.shapes[one.nodes[-1]][0] for one in (last, item) if one.nodes]
        return len(set(ends)) == 1


def _takes_tags(box: Box) -> bool:
    small = (Family.ADD, Family.CONCAT, Family.INPUT, Family.RESHAPE, None)
    return box.family not in small


def _alike(last: Item, item: Item) -> bool:
    """Whether calls of one block differ in no more than a rate and one argument."""
    if not isinstance(last, Box) or not isinstance(item, Box):
        return False
    if last.frame is None or last.frame is not item.frame or last.shapes[-1:] != item.shapes:
        return False
    rows = [*last.values, *item.values]
    columns = [[value for _, value in column] for column in zip(*rows, strict=True)]
    other = [c for c in columns if len(set(map(str, c))) > 1]
    return sum(not isinstance(c[0], float) for c in other) <= 1
