"""Boxes coloured by what they cost, with the scale that says what is counted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

from cnndsl.analysis.costs import costs
from cnndsl.analysis.receptive import Field, receptive
from cnndsl.figures import font, palette
from cnndsl.figures.paint import Area, Group, Part, Text
from cnndsl.figures.text import count_text
from cnndsl.graph import Network

METRICS = {
    "macs": ("multiply-adds", "multiply-adds per sample, each box with all it stands for"),
    "params": ("parameters", "trainable parameters, each box with all it stands for"),
    "memory": ("elements", "elements of all outputs per sample, each box with all it holds"),
    "rf": (
        "pixels",
        "receptive field of a box's output: input positions along its longest axis; "
        "what sees everything counts the field before",
    ),
}
"""What a number is one of, and the sentence of the legend."""
STEP = 22.0
"""Pixels of a colour in the legend."""
MARKED = (0, 2, 4, palette.HEAT_STEPS - 2)
"""The colours that have a number: it is the middle of each."""


class Heat:
    """A network's nodes by one metric.  Raises KeyError: no such metric."""

    def __init__(self, network: Network, metric: str) -> None:
        """`metric` is one of `METRICS`."""
        self.network = network
        self.metric = metric
        self.unit, self.sentence = METRICS[metric]
        self.shown: list[int] = []

    @cached_property
    def amounts(self) -> dict[str, int]:
        """What each node counts."""
        if self.metric == "rf":
            seen = receptive(self.network)
            return {node.name: _longest(seen[node.name]) for node in self.network}
        if self.metric == "memory":
            return {
                name: sum(math.prod(map(int, shape)) for shape in shapes)
                for name, shapes in self.network.shapes.items()
            }
        table = costs(self.network)
        return {
            name: int(cost.macs if self.metric == "macs" else cost.parameters)
            for name, cost in table.items()
        }

    def amount(self, nodes: Sequence[str]) -> int:
        """Of a box: the sum, or what its last layer sees."""
        if not nodes:
            return 0
        if self.metric == "rf":
            return self.amounts[nodes[-1]]
        return sum(self.amounts[name] for name in nodes)

    def spread(self, boxes: Sequence[Sequence[str]]) -> None:
        """Set the scale to the boxes of a picture, each as its nodes."""
        self.shown = [value for value in map(self.amount, boxes) if value > 0]

    @property
    def high(self) -> int:
        """The largest of a box."""
        return max(self.shown, default=1)

    @property
    def low(self) -> int:
        """The least but nothing; four powers of ten below the largest are told apart."""
        return max(min(self.shown, default=1), self.high // 10_000, 1)

    def role(self, nodes: Sequence[str]) -> str:
        """The colour of a box: the first for nothing, the rest by the logarithm."""
        value, steps = self.amount(nodes), palette.HEAT_STEPS - 1
        if value <= 0:
            return "heat0"
        if self.high <= self.low:
            return f"heat{steps}"
        share = math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        return f"heat{1 + round(share * (steps - 1))}"

    def said(self, nodes: Sequence[str]) -> str:
        """`118M multiply-adds`."""
        return f"{count_text(self.amount(nodes))} {self.unit}"

    def inked(self, part: Part) -> Part:
        """A box whose words are in ink: grey is not read on every colour."""
        match part:
            case Group():
                return replace(part, children=tuple(map(self.inked, part.children)))
            case Text():
                return replace(part, role="ink")
            case _:
                return part

    def legend(self, width: float, *, insets: bool = False) -> list[Part]:
        """The colours with the numbers at which they stand, and what is counted."""
        steps = palette.HEAT_STEPS - 1
        parts: list[Part] = [Area(0, 0, STEP, 12, "heat0", 0, stroke=0.8)]
        parts.append(Text(STEP / 2, 22, "0", 8, "grey", anchor="middle"))
        ratio = self.high / self.low
        for step in range(steps):
            x = STEP * (step + 1) + 6
            parts.append(Area(x, 0, STEP, 12, f"heat{step + 1}", 0, stroke=0.8))
            if step not in MARKED:
                continue
            value = round(self.low * ratio ** (step / (steps - 1)))
            more = "≤ " if step == 0 and min(self.shown, default=1) < self.low else ""
            parts.append(
                Text(x + STEP / 2, 22, more + count_text(value), 8, "grey", anchor="middle")
            )
        x, y = STEP * (steps + 1) + 20, 9.5
        words = f"Colour, by the logarithm: {self.sentence}."
        if insets and self.metric != "rf":
            words += " Inside an inset: of its first call."
        if x + font.width(words, 9) > width:
            x, y = 0.0, 36.0
        for line in font.lines(words, 9, max(width - x, 200)):
            parts.append(Text(x, y, line, 9, "grey"))
            y += 12
        return parts


def _longest(field: Field) -> int:
    return max((seen.size for seen in field.shown.values()), default=0)
