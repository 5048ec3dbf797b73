"""What of a union is closed: blocks that are all of one kind, and runs that did not change."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from cnndsl.analysis.costs import Cost
from cnndsl.figures.compared.union import (
    ADDED,
    AFFECTED,
    CHANGED,
    REMOVED,
    SAME,
    Matcher,
    Part,
    Union,
    edges,
    joined,
)
from cnndsl.figures.scene import Box, Cluster, Frame, Item, Scene, boxes
from cnndsl.graph import Network
from cnndsl.ops.facts import Family

LEVELS = 4
"""How much is closed where there is no room: nothing, blocks, runs of blocks, all runs."""


def union(before: Network, after: Network, level: int = 0) -> Union:
    """The union of two networks: blocks are open only where something inside differs.

    From `level` 1 on none is open but what holds most of the network; from 2 on a run of one
    block is one box whatever its sizes, and so are boxes that read and feed the same; from 3 on
    any run of what is added or removed is.
    """
    matcher = Matcher(before, after)
    closer = _Closer(matcher, level)
    items = closer.items(matcher.items)
    order = [box.key for box in boxes(items)]
    found, kinds = edges(matcher, order)
    network = joined(before, after)
    return Union(before, after, network, Scene(items, found, {}), matcher.parts, kinds)


class _Closer:
    """Replaces items by fewer, and their parts by sums."""

    def __init__(self, matcher: Matcher, level: int) -> None:
        self.parts, self.network = matcher.parts, matcher
        self.level, self.most = level, len(matcher.parts) // 2
        self.after: dict[str, set[str]] = defaultdict(set)
        self.before: dict[str, set[str]] = defaultdict(set)
        found, _ = edges(matcher, [box.key for box in boxes(matcher.items)])
        for edge in found:
            self.after[edge.tail].add(edge.head)
            self.before[edge.head].add(edge.tail)

    def items(self, items: Sequence[Item]) -> list[Item]:
        """The items, blocks closed where they may be, then runs."""
        closed: list[Item] = []
        for item in items:
            held = list(boxes([item]))
            if isinstance(item, Box):
                closed.append(item)
            elif not held:  # a block of no layers
                continue
            elif self._uniform(held) or (self.level and item.title and len(held) <= self.most):
                closed.append(self._one(held, item.title, item.labels))
            elif item.title:
                item.children = self.items(item.children)
                if not self._turn(closed[-1] if closed else None, item):
                    closed.append(item)
            else:
                closed += self.items(item.children)
        closed = self._runs(closed)
        return self._runs(self._abreast(closed)) if self.level > 1 else closed

    def _abreast(self, items: Sequence[Item]) -> list[Item]:
        """Boxes of one kind that read the same and feed the same, in one box."""
        groups: dict[object, list[Box]] = defaultdict(list)
        for item in items:
            if isinstance(item, Box) and item.nodes and item.family is not Family.INPUT:
                groups[self._like(item)].append(item)
        folded: dict[str, list[Box]] = {}
        for group in groups.values():
            folded |= {box.key: group if box is group[-1] else [] for box in group}
        done: list[Item] = []
        for item in items:
            group = folded.get(item.key, [])
            if len(group) > 1:
                title, count = self.parts[item.key].title, len(group)
                labels = [label for box in group for label in box.labels]
                done.append(self._one(group, f"{count} × {title}" if title else "", labels))
                self.parts[item.key].abreast = count
            elif group or item.key not in folded:
                done.append(item)
        return done

    def _like(self, box: Box) -> object:
        """What is equal for two boxes that may be one."""
        part = self.parts[box.key]
        sides = zip((self.network.before, self.network.after), part.nodes, strict=True)
        ops = tuple(tuple(type(network.node(n).op) for n in names) for network, names in sides)
        ends = frozenset(self.before[box.key]), frozenset(self.after[box.key])
        return part.kind, part.title, box.count, ops, *ends

    def _turn(self, last: Item | None, item: Cluster) -> bool:
        """Fold a block that changes as the one before it did into that one."""
        if not isinstance(last, Cluster) or self._form(last) != self._form(item):
            return False
        held, more = list(boxes([last])), list(boxes([item]))
        inside = {box.key for box in held}
        entered = {key for box in more for key in self.before[box.key]}
        if not entered - {box.key for box in more} <= inside:
            return False
        for box, other in zip(held, more, strict=True):
            part, next_ = self.parts[box.key], self.parts.pop(other.key)
            part.before, part.after = part.before + next_.before, part.after + next_.after
            part.delta, part.turns = part.delta + next_.delta, part.turns + 1
            box.nodes = [*box.nodes, *other.nodes]
            for head in self.after[other.key] - {one.key for one in more}:
                self.after[box.key].add(head)
                self.before[head] = self.before[head] - {other.key} | {box.key}
        last.count += 1
        last.labels = [*last.labels, *item.labels]
        return True

    def _form(self, item: Item) -> object:
        """What is equal for two that change alike, for one turn of each."""
        if isinstance(item, Cluster):
            return item.title, tuple(self._form(child) for child in item.children)
        part = self.parts[item.key]
        sides = []
        for network, names in zip(
            (self.network.before, self.network.after), part.nodes, strict=True
        ):
            one = names[: len(names) // part.turns]
            sides.append([(network.node(n).op.plain(), str(network.shapes[n])) for n in one])
        costs = part.delta.parameters // part.turns, part.delta.macs // part.turns
        return part.kind, part.title, sides, costs

    def _uniform(self, held: Sequence[Box]) -> bool:
        """All of one kind; of what changed, only sizes and arguments, and no layer more."""
        parts = [self.parts[box.key] for box in held]
        kinds = {part.kind for part in parts}
        if kinds <= {CHANGED, AFFECTED}:
            return all(part.nodes[0] == part.nodes[1] for part in parts)
        return len(kinds) == 1

    def _runs(self, items: Sequence[Item]) -> list[Item]:
        done: list[Item] = []
        for item in items:
            last = done[-1] if done else None
            if isinstance(item, Box) and isinstance(last, Box) and self._follows(last, item):
                run = self._one([last, item], "", [*last.labels, *item.labels])
                # Only what has one name is so many of it; other runs say their layers.
                run.count = last.count + item.count if self.parts[run.key].title else 1
                done[-1] = run
                continue
            done.append(item)
        return done

    def _follows(self, first: Box, then: Box) -> bool:
        """Whether two boxes are one: both unchanged, or alike in what they change."""
        one, two = self.parts[first.key], self.parts[then.key]
        if one.kind != two.kind or Family.INPUT in (first.family, then.family):
            return False
        if self.after[first.key] != {then.key} or self.before[then.key] != {first.key}:
            return False
        alone = one.kind in (ADDED, REMOVED)
        if one.kind == SAME or (self.level > 2 and alone):
            return True
        each = Cost(
            one.delta.parameters // first.count,
            one.delta.buffers // first.count,
            one.delta.macs // first.count,
        )
        block = bool(one.title) and one.title == two.title
        if self.level and block:
            # Blocks of one size, and then all.
            return self.level > 1 or self._size(one) == self._size(two)
        return block and alone and each == two.delta

    def _size(self, part: Part) -> object:
        """Of what a part gives."""
        network = self.network.after if part.after else self.network.before
        names = part.nodes[1] or part.nodes[0]
        return str(network.shapes[names[-1]][0]) if names else ""

    def _one(self, held: list[Box], title: str, labels: list[str]) -> Box:
        """Several boxes as the last of them, which is what others read."""
        parts = [self.parts.pop(box.key) for box in held]
        kinds = {part.kind for part in parts}
        kind = parts[0].kind if len(kinds) == 1 else CHANGED
        titles = {part.title for part in parts}
        whole = Part(
            kind,
            [box for part in parts for box in part.before],
            [box for part in parts for box in part.after],
            sum((part.delta for part in parts), Cost()),
            title or (titles.pop() if len(titles) == 1 else ""),
            inner=[one for part in parts for one in part.inner or [part]],
        )
        last = held[-1]
        self.parts[last.key] = whole
        inside = {box.key for box in held}
        for box in held:
            self.after[last.key] |= self.after[box.key]
            self.before[last.key] |= self.before[box.key]
        self.after[last.key] -= inside
        self.before[last.key] -= inside
        for head in self.after[last.key]:
            self.before[head] = self.before[head] - inside | {last.key}
        for tail in self.before[last.key]:
            self.after[tail] = self.after[tail] - inside | {last.key}
        was, now = whole.nodes
        frame = Frame(f"f{last.key}", whole.title, []) if len(held) > 1 else last.frame
        family = None if len(held) > 1 else last.family
        return Box(last.key, whole.title, family, list(now or was), None, labels, frame=frame)
