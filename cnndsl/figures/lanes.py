"""Which way is down: strides order the rows, and an upsampling path leads back up.

A lane is log2 of a box's stride. Feature pyramids and U-Nets are drawn with their
laterals horizontal: the boxes of a lane share a row, and the edges of the upsampling
path point upwards.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from cnndsl.figures.layout.strides import strides
from cnndsl.figures.scene import Cluster, Item, Scene, boxes
from cnndsl.graph import Network
from cnndsl.ops.facts import Family


@dataclass(slots=True)
class Lanes:
    """Edges drawn upwards, and rows of boxes, as keys."""

    rising: set[tuple[str, str]] = field(default_factory=set)
    rows: list[list[str]] = field(default_factory=list)


def lanes(network: Network, scene: Scene) -> Lanes:
    """The rows of a scene that goes down and up again; nothing for one that does not."""
    found = Lanes()
    lane = strides(network, scene)
    before, after = scene.neighbours()
    _gates(scene, lane, after, before)
    risers = _risers(scene, lane, after, before)
    lifts = _lifts(scene, lane, before)
    if not risers and not lifts:
        return found
    inside = _pyramids(scene.items, lane, before) or _risen(risers, lane, after, before)
    inside |= lifts
    found.rows = _rows(scene, lane, after, before, inside, risers)
    for edge in scene.edges:
        tail, head = lane.get(edge.tail), lane.get(edge.head)
        finer = tail is not None and head is not None and head < tail
        if finer or edge.tail in risers or edge.head in risers:
            found.rising.add((edge.tail, edge.head))
    return found


def _rows(
    scene: Scene,
    lane: dict[str, int],
    after: dict[str, list[str]],
    before: dict[str, list[str]],
    inside: set[str],
    risers: set[str],
) -> list[list[str]]:
    """The boxes of each lane: the pyramid's, what feeds it there, and what follows it."""
    rows: dict[int, list[str]] = defaultdict(list)
    past: set[str] = set()
    for box in scene.boxes():
        here = lane.get(box.key)
        fed = before[box.key]
        if fed and all(key in inside or key in past for key in fed):
            past.add(box.key)
        if here is None or box.key in risers:
            continue
        users = [user for user in after[box.key] if user in inside]
        # What brings up all that it joins stands a lane above it.
        feeds = any(0 <= here - lane.get(user, here + 1) <= 1 for user in users)
        follows = box.key in past and all(key in rows[here] for key in fed)
        if box.key in inside or feeds or follows:
            rows[here].append(box.key)
    return [row for row in rows.values() if len(row) > 1]


def _gates(
    scene: Scene,
    lane: dict[str, int],
    after: dict[str, list[str]],
    before: dict[str, list[str]],
) -> None:
    """A branch without a plane that comes back to its lane, as a gate does, stays in it."""
    reached: dict[str, set[int]] = {}
    for box in reversed(list(scene.boxes())):
        if box.key in lane:
            reached[box.key] = {lane[box.key]}
        else:
            reached[box.key] = {n for user in after[box.key] for n in reached.get(user, ())}
    for box in scene.boxes():
        from_ = [lane[key] for key in before[box.key] if key in lane]
        if box.key not in lane and from_ and from_[0] in reached[box.key]:
            lane[box.key] = from_[0]


def _risen(
    risers: set[str],
    lane: dict[str, int],
    after: dict[str, list[str]],
    before: dict[str, list[str]],
) -> set[str]:
    """What the upsamplings lead to, and the branches of one lane that meet them there."""
    found: set[str] = set()
    stack = list(risers)
    while stack:
        for head in after[stack.pop()]:
            if head in lane and head not in found and head not in risers:
                found.add(head)
                stack.append(head)
    stack = list(found)
    while stack:
        key = stack.pop()
        for tail in before[key]:
            one_way = len(before[tail]) == len(after[tail]) == 1
            level = lane.get(tail) == lane[key] and tail not in risers
            if (
                one_way
                and level
                and tail not in found
                and lane.get(before[tail][0]) == lane[key]
            ):
                found.add(tail)
                stack.append(tail)
    return found


def _risers(
    scene: Scene,
    lane: dict[str, int],
    after: dict[str, list[str]],
    before: dict[str, list[str]],
) -> set[str]:
    """Upsamplings that lead to a join with something finer from elsewhere."""
    found: set[str] = set()
    for box in scene.boxes():
        if box.family is not Family.UPSAMPLE or box.key not in lane:
            continue
        if lane[box.key] >= max((lane.get(b, 0) for b in before[box.key]), default=0):
            continue
        reached = {box.key}
        frontier = [box.key]
        for _ in range(4):
            frontier = [h for key in frontier for h in after[key] if h not in reached]
            reached.update(frontier)
        joins = [key for key in reached if len(set(before[key])) > 1]
        if any(set(before[key]) - reached for key in joins):
            found.add(box.key)
    return found


def _lifts(scene: Scene, lane: dict[str, int], before: dict[str, list[str]]) -> set[str]:
    """Folded blocks that bring what is coarser up to something fine: a decoder's stages."""
    found: set[str] = set()
    for box in scene.boxes():
        fed = [lane[key] for key in before[box.key] if key in lane]
        here = lane.get(box.key)
        if box.frame is None or here is None or not fed:
            continue
        if here < max(fed) and (min(fed) == here or len(fed) > 1):
            found.add(box.key)
    return found


def _pyramids(
    items: list[Item], lane: dict[str, int], before: dict[str, list[str]]
) -> set[str]:
    """The boxes in blocks with several inputs, at different strides."""
    found: set[str] = set()
    stack = list(items)
    while stack:
        item = stack.pop()
        if not isinstance(item, Cluster):
            continue
        keys = {box.key for box in boxes([item])}
        entering = {b for key in keys for b in before[key]} - keys
        if len({lane.get(key) for key in entering}) > 1:
            found |= keys
        else:
            stack += item.children
    return found
