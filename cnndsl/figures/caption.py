"""The words over a picture: its name, where it is from, what it costs."""

from __future__ import annotations

from collections.abc import Sequence

from cnndsl.analysis.costs import total
from cnndsl.figures import font
from cnndsl.figures.paint import Part, Text
from cnndsl.figures.text import clean, count_text, wrapped
from cnndsl.graph import Network

WIDEST = 560.0


def about(network: Network, room: float = WIDEST) -> list[str]:
    """A network's citations, costs and deviations, in lines of about that many pixels."""
    cost = total(network)
    characters = int(100 * min(room / WIDEST, 1.0))
    defined = network.structure.definition
    counted = f"{count_text(cost.parameters)} parameters, {count_text(cost.macs)} multiply-adds"
    lines = [*wrapped(" · ".join(map(str, defined.citations)), characters), counted]
    deviations = "; ".join(f"deviates: {words}" for words in defined.deviations)
    return lines + wrapped(deviations, characters)


def caption(
    name: str, lines: Sequence[str], x: float, y: float, room: float = WIDEST
) -> tuple[list[Part], float, float]:
    """The parts, with their upper left at x and y; the width, and where they end."""
    title = font.fitted(clean(name), 16, room, bold=True)
    parts: list[Part] = [Text(x, y + 14, title, 16, bold=True)]
    width, bottom = font.width(title, 16, bold=True), y + 14
    for line in lines:
        bottom += 13
        shown = font.fitted(clean(line), 9, room)
        width = max(width, font.width(shown, 9))
        parts.append(Text(x, bottom, shown, 9, "grey"))
    return parts, width, bottom
