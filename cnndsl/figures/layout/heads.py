"""Where the levels of a detector meet: what follows has no stride, and stands apart.

A box without a plane that is fed from one lane stands in that lane: a head. One that is
fed from several is joined, and so is all that follows: rows of boxes, and what is computed
for each of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cnndsl.figures.layout.piece import Ends
from cnndsl.figures.scene import Box, Cluster, Item, Scene, boxes

LEAST = 3
"""So many lanes that meet in rows of boxes make a picture on lanes."""


def joined(
    scene: Scene, planes: dict[str, int], carried: Mapping[Ends, tuple[int, ...]]
) -> tuple[set[str], set[int]]:
    """The boxes where lanes meet and what follows, and the lanes; no plane comes of them.

    Of each edge, the lanes of what it carries are `carried`.
    """
    above, below = scene.neighbours()
    listed = [box.key for box in scene.boxes()]
    made = {box.key for box in scene.boxes() if box.nodes}
    again: set[str] = set()
    for key in reversed(listed):
        if any(head in planes or head in again for head in below.get(key, ())):
            again.add(key)
    fed: dict[str, set[int]] = {}
    found: set[str] = set()
    for key in listed:
        if key in planes:
            fed[key] = {planes[key]}
            continue
        tails = above.get(key, [])
        fed[key] = {
            lane
            for tail in tails
            for lane in carried.get((tail, key), ()) or fed.get(tail, set())
        }
        follows = any(tail in found for tail in tails)
        # What reads nothing, as anchors do, is of no lane either.
        alone = not tails and key in made
        if key not in again and (follows or alone or len(fed[key]) > 1):
            found.add(key)
    met = {
        lane
        for key in found
        for t in above.get(key, ())
        if t not in found
        for lane in carried.get((t, key), ()) or fed.get(t, set())
    }
    return found, met


def parted(items: Sequence[Item], keys: set[str]) -> tuple[list[Item], list[Item]]:
    """The items without some boxes, and with them alone; a block of both is opened."""
    without: list[Item] = []
    within: list[Item] = []
    for item in items:
        inside = {box.key for box in boxes([item])}
        if inside <= keys and inside:
            within.append(item)
        elif not inside & keys or isinstance(item, Box):
            without.append(item)
        else:
            assert isinstance(item, Cluster)
            one, two = parted(item.children, keys)
            without += one
            within += two
    return without, within


def split(edges: Sequence[Ends], keys: set[str]) -> tuple[list[Ends], list[Ends], list[Ends]]:
    """The edges outside some boxes, those into them, and those among them."""
    outside = [e for e in edges if e[0] not in keys and e[1] not in keys]
    into = [e for e in edges if e[0] not in keys and e[1] in keys]
    among = [e for e in edges if e[0] in keys and e[1] in keys]
    return outside, into, among
