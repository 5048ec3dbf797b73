"""Which blocks a page opens that has no room for all: what a reader asks about first."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import combinations
from math import log2

from cnndsl.analysis.costs import Cost
from cnndsl.figures.scene import Frame, Plan
from cnndsl.structure import Block

ANY, OFTEN, COSTLY = 0.5, 0.25, 1.5
"""What a block is worth: at least, more for each doubling of its calls, and for its share of
the costs."""
WITHIN, NOWHERE = 0.7, 0.0
"""The factor for a block whose box is only in another opened block, or nowhere."""
OWN = 2.0
"""The same, more for a block of the work that the network is of, if others are not."""
ASKED = 1000.0
"""What a block is worth that is to be opened whatever it costs."""
MOST = 9
"""The choice is among the best so many blocks: every subset is tried."""


class Worth:
    """What it is worth to a reader to see each of some blocks opened.

    It grows with the number of its calls, and with its share of what the network costs; what
    a paper brings counts more than what it takes from others.
    """

    def __init__(
        self,
        plan: Plan,
        frames: Sequence[Frame],
        known: dict[str, Cost],
        asked: Collection[str] = (),
    ) -> None:
        """Find the worth of each block alone, and which blocks it shows."""
        self.known = known
        subject = _works(plan.network.structure)
        own = {f.key for f in frames for call in f.calls if subject & _works(call.block)}
        number = {id(frame): n for n, frame in enumerate(frames)}
        macs = sum(cost.macs for cost in known.values()) or 1
        weights = sum(cost.parameters for cost in known.values()) or 1
        self.alone: list[float] = []
        self.shows: list[set[int]] = []
        for frame in frames:
            nodes = {name for names in frame.nodes for name in names if name in known}
            share = max(
                sum(known[name].macs for name in nodes) / macs,
                sum(known[name].parameters for name in nodes) / weights,
            )
            often = log2(max(len(frame.calls), 1))
            least = ASKED if frame.name in asked else ANY
            least += OWN * (frame.key in own and len(own) < len(frames))
            self.alone.append(least + OFTEN * often + COSTLY * min(share, 1.0))
            boxes = frame.scene.boxes() if frame.scene else ()
            self.shows.append({number.get(id(box.frame), -1) for box in boxes})
        self.main = {number.get(id(box.frame), -1) for box in plan.main.boxes()}
        self.main |= {n for n, frame in enumerate(frames) if frame.name in asked}

    def __call__(self, opened: Sequence[int]) -> float:
        """The worth of some blocks that are opened together."""
        seen = set[int]().union(*(self.shows[n] for n in opened))
        return sum(
            self.alone[n] * (1.0 if n in self.main else WITHIN if n in seen else NOWHERE)
            for n in opened
        )

    @property
    def all(self) -> float:
        """The worth of all blocks."""
        return self(range(len(self.alone)))

    def choices(self) -> Iterator[tuple[int, ...]]:
        """The blocks to open, by number, from what is worth most to nothing."""
        numbers = range(len(self.alone))
        some = sorted(sorted(numbers, key=lambda n: -self.alone[n])[:MOST])
        found = [c for count in range(len(some) + 1) for c in combinations(some, count)]
        yield from sorted(found, key=lambda c: -self(c))


def _works(block: Block) -> set[str]:
    """What is cited above a block."""
    return {citation.work for citation in block.definition.citations}
