"""Columns: straight chains, depths, and where a long chain goes on beside itself."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

from cnndsl.figures.lanes import Lanes
from cnndsl.figures.scene import Box, Cluster, Scene, boxes
from cnndsl.ops.base import Family

ROWS = 11
"""A chain without branches is broken into columns of about so many boxes."""


def entry(cluster: Cluster, scene: Scene) -> str:
    """The box at the top of a cluster that is one column; nothing for other clusters."""
    keys = {box.key for box in boxes([cluster])}
    tails = [edge.tail for edge in scene.edges if {edge.tail, edge.head} <= keys]
    entered = {edge.head for edge in scene.edges if edge.head in keys and edge.tail not in keys}
    column = len(tails) == len(set(tails)) and len(entered) == 1
    return entered.pop() if column else ""


def chains(scene: Scene, lanes: Lanes) -> dict[str, str]:
    """Boxes in line, one after the other, that are drawn straight below each other."""
    row = {key: number for number, keys in enumerate(lanes.rows) for key in keys}
    after: dict[str, list[str]] = defaultdict(list)
    before: dict[str, list[str]] = defaultdict(list)
    for edge in scene.edges:
        flat = edge.tail in row and row[edge.tail] == row.get(edge.head)
        if not flat and (edge.tail, edge.head) not in lanes.rising:
            after[edge.tail].append(edge.head)
            before[edge.head].append(edge.tail)
    found: dict[str, str] = {}
    for box in scene.boxes():
        above = before[box.key]
        straight = len(above) == 1 and len(after[above[0]]) == 1
        found[box.key] = found.get(above[0], box.key) if straight else box.key
    return found


def depths(scene: Scene, found: Lanes) -> dict[str, int]:
    """The row of each box from the top, counted in boxes."""
    rows = {key: row[0] for row in found.rows for key in row}
    after: dict[str, list[str]] = defaultdict(list)
    count: dict[str, int] = defaultdict(int)
    keys = list(dict.fromkeys(rows.get(box.key, box.key) for box in scene.boxes()))
    for edge in scene.edges:
        tail, head = edge.tail, edge.head
        if (tail, head) in found.rising:
            tail, head = head, tail
        tail, head = rows.get(tail, tail), rows.get(head, head)
        if tail != head:
            after[tail].append(head)
            count[head] += 1
    depth = dict.fromkeys(keys, 1)
    ready = [key for key in keys if not count[key]]
    while ready:
        key = ready.pop()
        for head in after[key]:
            depth[head] = max(depth[head], depth[key] + 1)
            count[head] -= 1
            if not count[head]:
                ready.append(head)
    return {box.key: depth[rows.get(box.key, box.key)] for box in scene.boxes()}


def wraps(scene: Scene, *, framed: bool) -> list[tuple[str, str]]:
    """Edges at which a long chain goes on in a new column: each the only way through."""
    depth = depths(scene, Lanes())
    deepest = max(depth.values())
    columns = round(deepest / (ROWS if framed else ROWS - 1))
    if columns < 2:
        return []
    listed = list(scene.boxes())
    place = {box.key: number for number, box in enumerate(listed)}
    crossing = [0] * len(listed)
    for edge in scene.edges:
        for number in range(*sorted((place[edge.tail], place[edge.head]))):
            crossing[number] += 1
    item_of = {
        box.key: number for number, item in enumerate(scene.items) for box in boxes([item])
    }
    between = {(edge.tail, edge.head) for edge in scene.edges}
    cuts: dict[tuple[str, str], float] = {}
    for number, (above, below) in enumerate(pairwise(listed)):
        keys = (above.key, below.key)
        if crossing[number] == 1 and keys in between and item_of[keys[0]] != item_of[keys[1]]:
            # Better where a stage begins than in its middle.
            begins = above.family is Family.POOL
            worse = 0.0 if begins else 0.25 if _stem(above) != _stem(below) else 0.5
            cuts[keys] = depth[above.key] + worse
    found: list[tuple[str, str]] = []
    for column in range(1, columns):
        wanted = column * deepest / columns
        slack = deepest / columns / 3
        near = {keys: at for keys, at in cuts.items() if abs(at - wanted) <= slack}
        best = min(
            near, key=lambda keys: (near[keys] % 1, abs(near[keys] - wanted)), default=None
        )
        if best is not None and best not in found:
            found.append(best)
    return found


def _stem(box: Box) -> str:
    return box.labels[0].partition("[")[0] if box.labels else ""
