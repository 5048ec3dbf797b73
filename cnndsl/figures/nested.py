"""Joins of joins, as in a nested U: one of them is opened for all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace

from cnndsl.figures.scene import Box, Frame, Scene
from cnndsl.figures.text import labels_text
from cnndsl.figures.wiring import scene_of
from cnndsl.graph import Network
from cnndsl.ops.facts import Family
from cnndsl.structure import Tensor

LEAST = 3
"""Fewer of them are not opened."""


def nested(network: Network, main: Scene, key: Callable[[], str]) -> Frame | None:
    """The frame of the largest of such joins: what it reads, and each layer behind it.

    Each joins what the others make with something that is made for it alone. The boxes of all
    of them are flat then, and no stacks.
    """
    before, after = main.neighbours()
    known = {box.key: box for box in main.boxes()}
    pairs = {
        box.key: known[after[box.key][0]]
        for box in known.values()
        if box.family is Family.CONCAT and len({*after[box.key]}) == 1
    }
    pairs = {one: reader for one, reader in pairs.items() if _repeats(reader, before)}
    readers = {reader.key for reader in pairs.values()}
    joined = {one: sum(tail in readers for tail in before[one]) for one in pairs}
    own = {
        one: [
            known[tail]
            for tail in before[one]
            if tail not in readers and len(after[tail]) == 1
            if known[tail].parts and known[tail].frame is None
        ]
        for one in pairs
    }
    if len(pairs) < LEAST or max(joined.values()) < 2 or not all(own.values()):
        return None
    largest = max(pairs, key=lambda one: joined[one])
    reader = pairs[largest]
    size = len(reader.nodes) // reader.count
    turns: list[Box] = []
    for n, shape in enumerate(reader.shapes):
        nodes = reader.nodes[n * size : (n + 1) * size]
        turn = replace(reader, key=key(), nodes=nodes, parts=nodes, shapes=[shape], count=1)
        turns.append(replace(turn, labels=[]))
    items = [replace(box, key=key(), labels=[]) for box in [*own[largest], known[largest]]]
    inside = [name for box in [*items, *turns] for name in box.nodes]
    owner = {name: box for box in known.values() for name in box.nodes}
    given: dict[str, list[Tensor]] = defaultdict(list)
    for name in inside:
        for node, output in network.operands(name):
            if node not in inside:
                called = labels_text(owner[node].labels) or owner[node].title
                given[called].append(Tensor(node, output, network.shapes[node][output]))
    last = turns[-1].nodes[-1]
    title = labels_text(reader.labels) or "concat"
    ends = {title: Tensor(last, 0, network.shapes[last][0])}
    for box in known.values():
        box.flat = box.span == reader.span
    frame = Frame(key(), title, [], [tuple(inside)], alike=len(pairs))
    frame.notes.append(f"of these {len(pairs)}, it joins the most")
    frame.scene = scene_of(network, key, [*items, *turns], inside, given, ends)
    return frame


def _repeats(reader: Box, before: dict[str, list[str]]) -> bool:
    """Whether a box is several layers of a kind, and reads one thing."""
    whole = reader.frame is None and len(reader.shapes) == reader.count
    return reader.count > 1 and len(before[reader.key]) == 1 and whole
