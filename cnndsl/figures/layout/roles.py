"""Who feeds whom on stride lanes, and in which cell each stands."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from cnndsl.figures.layout.piece import Ends

Cell = tuple[int, int, int]
"""Lane, row in the lane, column."""


@dataclass(slots=True)
class Grid:
    """Nodes in cells, and the nodes of the spine."""

    cells: dict[str, Cell] = field(default_factory=dict)
    spine: list[str] = field(default_factory=list)
    flat: bool = False
    sunk: set[str] = field(default_factory=set)
    """What stands under a level that is given out beside it, and what it leads to."""
    stepped: bool = False
    """Whether each lane of the spine begins further to the right."""
    between: set[str] = field(default_factory=set)
    """Of the spine, what stands between two lanes."""
    foot: list[str] = field(default_factory=list)
    """What stands in the last lane, beside the end of the spine."""
    entry: str = ""
    """The input, beside the first box of the spine."""
    arcs: dict[Ends, int] = field(default_factory=dict)
    """Nested skips, and how high each is, from 1."""
    strips: dict[str, str] = field(default_factory=dict)
    """Concats on the left side of the boxes that read them."""


class Roles:
    """Who feeds whom, and in which lane each stands."""

    def __init__(
        self,
        nodes: list[str],
        edges: Iterable[Ends],
        lanes: dict[str, int],
        inner: set[str],
        heads: Iterable[str] = (),
        feeds: Iterable[str] = (),
        spans: Mapping[str, tuple[int, ...]] | None = None,
        begins: Iterable[str] = (),
    ) -> None:
        """`inner` are nodes of blocks that join several lanes: they are not of the spine.

        `feeds` lead to what stands beside the lanes; of these, `heads` have no plane. A node
        of several lanes `spans` them. Where there are several inputs, all `begins` stand in
        the first column, and there is no spine.
        """
        self.nodes = nodes
        self.lanes = lanes
        self.inner = inner
        self.heads = set(heads)
        self.feeds = set(feeds)
        self.spans = dict(spans or {})
        self.begins: list[str] = []
        self.again: dict[str, list[str]] = {}
        """By join, what leads to it from a level that comes in a second time."""
        self.more: list[str] = []
        """A long chain that goes on below the end of the spine."""
        self.below: dict[str, list[str]] = defaultdict(list)
        self.above: dict[str, list[str]] = defaultdict(list)
        for tail, head in edges:
            self.below[tail].append(head)
            self.above[head].append(tail)
        for key in begins:
            if all(lanes[key] != lanes[other] for other in self.begins):
                self.begins.append(key)
                continue
            chain = [key]
            while len(self.above[self.below[chain[-1]][0]]) == 1:
                chain += self.below[chain[-1]][:1]
            self.again[self.below[chain[-1]][0]] = chain

    def rises(self, tail: str, head: str) -> bool:
        """Whether an edge leads to a finer lane."""
        return self.over(head)[-1] < self.over(tail)[0]

    def level(self, tail: str, head: str) -> bool:
        """Whether an edge stays in its lane."""
        one, two = self.over(tail), self.over(head)
        return one[0] <= two[-1] and two[0] <= one[-1]

    def over(self, key: str) -> tuple[int, ...]:
        """The lanes that a node stands over, from the finest."""
        return self.spans.get(key) or (self.lanes[key],)

    def alone(self, key: str, into: int = 1) -> bool:
        """Whether a node has one way in, or none, and one way out."""
        return len(self.above[key]) == into and len(self.below[key]) == 1

    def spine(self) -> list[str]:
        """The longest way to the coarsest lane that never rises, or spans several."""
        if self.begins:
            return []
        risen = set(self.spans)
        length: dict[str, int] = {}
        origin: dict[str, str] = {}
        for key in self.nodes:
            fed = self.above[key]
            if any(tail in risen or self.rises(tail, key) for tail in fed):
                risen.add(key)
            best = max(
                (tail for tail in fed if tail in length), key=length.__getitem__, default=""
            )
            if key in risen or key in self.inner or key in self.heads or (fed and not best):
                continue
            length[key] = length.get(best, 0) + 1
            if best:
                origin[key] = best
        last = max(length, key=lambda key: (self.lanes[key], length[key]))
        found = [last]
        while found[-1] in origin:
            found.append(origin[found[-1]])
        return found[::-1] + self.more
