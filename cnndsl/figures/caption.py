"""The words under a picture: its name, where it is from, what it costs."""

from __future__ import annotations

import re
from collections.abc import Sequence

from cnndsl.analysis.costs import total
from cnndsl.figures import font
from cnndsl.figures.paint import Part, Text
from cnndsl.figures.text import clean, count_text
from cnndsl.graph import Network

WIDEST, DOT = 560.0, " · "
TITLE = 13.0
TIED = re.compile(r"(?<=[^\W\d]) (?=\d)|(?<=\d) (?=[^\W\d])|(?<=\d[kMG]) (?=\w)")
"""Where no line ends: `section 3`, `25.6M parameters`."""
HEAD, LINE = 14.0, 13.0
"""The heights of the name and of a line under it."""


def heading(network: Network) -> str:
    """The name of a network in its caption."""
    return clean(network.title)


def about(network: Network, room: float = WIDEST, notes: Sequence[str] = ()) -> list[str]:
    """A network's citations, costs, notes and deviations, in lines of that many pixels."""
    return broken(said(network, notes), room)


def broken(words: Sequence[str], room: float) -> list[str]:
    """Words in lines of that many pixels, broken at a ` · ` rather than between words."""
    return [line for text in words for line in _even(text, room)]


def _even(text: str, room: float) -> list[str]:
    """The lines of a text; with no more of them, the longest is as short as possible."""
    lines = _filled(text, room)
    while len(lines) > 1 and DOT in text:
        longest = max(font.width(line, 9) for line in lines)
        shorter = _filled(text, longest - 0.1)
        if len(shorter) > len(lines) or shorter == lines:
            break
        lines = shorter
    return lines


def _filled(text: str, room: float) -> list[str]:
    found: list[str] = []
    line = ""
    for part in text.split(DOT):
        longer = f"{line}{DOT}{part}" if line else part
        if line and font.width(longer, 9) > room:
            found += font.lines(line, 9, room)
            longer = part
        line = longer
    return found + font.lines(line, 9, room)


def said(network: Network, notes: Sequence[str] = ()) -> list[str]:
    """A network's citations and costs, its notes, and its deviations."""
    cost = total(network)
    defined = network.structure.definition
    counted = [
        f"{count_text(cost.parameters)} parameters",
        f"{count_text(cost.macs)} multiply-adds",
    ]
    first = DOT.join([*map(str, defined.citations), *counted])
    differs = "; ".join(defined.deviations)
    found = [first, "; ".join(notes), f"Differs from the paper: {differs}." if differs else ""]
    # Code in Markdown is plain words here.
    plain = [TIED.sub(font.BOUND, clean(words).replace("`", "")) for words in found]
    return [words for words in plain if words]


def caption(
    name: str, lines: Sequence[str], x: float, y: float, room: float = WIDEST
) -> tuple[list[Part], float, float]:
    """The parts, with their upper left at x and y; the width, and where they end."""
    title = font.fitted(clean(name), TITLE, room, bold=True)
    parts: list[Part] = [Text(x, y + HEAD, title, TITLE, bold=True)]
    width, bottom = font.width(title, TITLE, bold=True), y + HEAD
    for line in lines:
        bottom += LINE
        shown = font.fitted(clean(line), 9, room)
        width = max(width, font.width(shown, 9))
        parts.append(Text(x, bottom, shown, 9, "grey"))
    return parts, width, bottom
