"""Topological orders and longest paths of boxes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from cnndsl.figures.layout.piece import Ends


def in_order(keys: Sequence[str], after: dict[str, list[str]]) -> list[str]:
    """A topological order, as close to the written one as a depth-first walk keeps it."""
    waiting = Counter(head for heads in after.values() for head in set(heads))
    ready = [key for key in reversed(keys) if not waiting[key]]
    order: list[str] = []
    while ready:
        key = ready.pop()
        order.append(key)
        for head in dict.fromkeys(after.get(key, ())):
            waiting[head] -= 1
            if not waiting[head]:
                ready.append(head)
    return order


def longest(keys: Sequence[str], edges: Sequence[Ends]) -> list[str]:
    """The longest path; of equally long ones, that which was written first."""
    before: dict[str, list[str]] = {}
    after: dict[str, list[str]] = {}
    for tail, head in edges:
        before.setdefault(head, []).append(tail)
        after.setdefault(tail, []).append(head)
    ways: dict[str, list[str]] = {}
    for key in in_order(keys, after):
        best = max((ways[tail] for tail in before.get(key, ())), key=len, default=[])
        ways[key] = [*best, key]
    return max((ways[key] for key in keys), key=len)
