"""Boxes coloured by what they cost, with the scale that says what is counted."""

from __future__ import annotations

import math
from collections.abc import Callable

from cnndsl.analysis.costs import Cost, costs
from cnndsl.figures import font, palette
from cnndsl.figures.paint import Area, Part, Text
from cnndsl.figures.scene import Box, Plan
from cnndsl.figures.text import count_text

METRICS = {
    "macs": "multiply-adds per sample",
    "params": "trainable parameters",
    "memory": "elements of the outputs",
}


def recoloured(
    planned: Plan, metric: str
) -> tuple[Callable[[Box], str], Callable[[Box], str], list[Part]]:
    """What is said of a box, its role, and the scale; all a box stands for counts."""
    table = costs(planned.network)
    scenes = [planned.main, *(f.scene for f in planned.frames if f.scene)]
    amounts = {
        box.key: sum(_amount(planned, name, table, metric) for name in box.nodes)
        for scene in scenes
        for box in scene.boxes()
    }
    shown = [value for value in amounts.values() if value]
    high = max(shown, default=1)
    low = max(min(shown, default=1), high // 10_000, 1)

    def role(box: Box) -> str:
        return f"heat{_step(amounts[box.key], low, high)}"

    def said(box: Box) -> str:
        return f"{count_text(amounts[box.key])} {METRICS[metric]}"

    return said, role, _scale(metric, low, high)


def _amount(planned: Plan, name: str, table: dict[str, Cost], metric: str) -> int:
    if metric == "memory":
        return sum(math.prod(map(int, shape)) for shape in planned.network.shapes[name])
    cost = table[name]
    return int(cost.macs if metric == "macs" else cost.parameters)


def _step(value: int, low: int, high: int) -> int:
    """0 for nothing; else by the logarithm."""
    if value <= 0:
        return 0
    steps = palette.HEAT_STEPS - 1
    if high <= low:
        return steps
    share = math.log(max(value, low) / low) / math.log(high / low)
    return 1 + round(share * (steps - 1))


def _scale(metric: str, low: int, high: int) -> list[Part]:
    words = f"{METRICS[metric]}, each box with all it stands for (logarithmic)"
    parts: list[Part] = [Text(0, 9.5, words, 9, "grey")]
    x = font.width(words, 9) + 14
    parts.append(Text(x, 9.5, f"≤ {count_text(low)}", 9, "grey"))
    x += font.width(f"≤ {count_text(low)}", 9) + 6
    for step in range(palette.HEAT_STEPS):
        parts.append(Area(x, 0, 18, 12, f"heat{step}", 0, stroke=0.8))
        x += 18
    parts.append(Text(x + 6, 9.5, count_text(high), 9, "grey"))
    return parts
