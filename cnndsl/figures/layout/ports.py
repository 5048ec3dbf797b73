"""Where the tensors of a box leave it: each has a place of its own on its side."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise

from cnndsl.figures.scene import Scene

EDGE, LEAST, APART = 9.0, 4.0, 6.0
"""From a place to the end of the side, and the least of it, and to the next place."""

Gives = dict[str, int]
"""Of a box: which of its tensors leads to each of its readers."""


def given(scene: Scene) -> dict[str, Gives]:
    """The boxes that give several tensors, each to readers of its own."""
    read: dict[str, dict[str, frozenset[tuple[str, int]]]] = defaultdict(dict)
    for edge in scene.edges:
        read[edge.tail][edge.head] = frozenset((t.node, t.output) for t in edge.tensors)
    found: dict[str, Gives] = {}
    for tail, heads in read.items():
        kinds = list(dict.fromkeys(heads.values()))
        apart = sum(map(len, kinds)) == len(frozenset().union(*kinds))
        if len(kinds) > 1 and apart:
            found[tail] = {head: kinds.index(tensors) for head, tensors in heads.items()}
    return found


def spread(wishes: Sequence[float], half: float) -> list[float]:
    """Places on a side, from its middle, in the order of what they lead to.

    One is straight before what it leads to where that is beside the side; the others are
    evenly between these.
    """
    order = sorted(range(len(wishes)), key=lambda n: wishes[n])
    reach = half - max(min(EDGE, half / 4), LEAST)
    straight = [n for n in order if abs(wishes[n]) <= reach]
    if any(wishes[b] - wishes[a] < APART for a, b in pairwise(straight)):
        straight = []
    places = {n: wishes[n] for n in straight}
    low, at = -half, 0
    for stop in [*(order.index(n) for n in straight), len(order)]:
        high = places[order[stop]] if stop < len(order) else half
        between = order[at:stop]
        step = (high - low) / (len(between) + 1)
        places |= {n: low + step * (k + 1) for k, n in enumerate(between)}
        low, at = high, stop + 1
    return [places[n] for n in range(len(wishes))]


def turns(ports: Mapping[int, float], ends: Sequence[tuple[int, float]]) -> dict[int, int]:
    """How many bars each of some tensors passes before it turns to where it leads.

    What leads furthest to either side turns first.
    """
    found: dict[int, int] = {}
    for side in (-1, 1):
        leading = {n for n, x in ends if (x - ports[n]) * side > 0}
        outer = sorted(leading, key=lambda n: -side * ports[n])
        for level, n in enumerate(outer):
            found[n] = max(found.get(n, 0), level)
    return found
