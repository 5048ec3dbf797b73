"""The width of text, in the open font that the package ships."""

from __future__ import annotations

from functools import cache
from pathlib import Path

FAMILY = "Inter"
FONTS = Path(__file__).parent / "fonts"
FILES = (FONTS / "figure-regular.ttf", FONTS / "figure-bold.ttf")
"""A subset of Inter (SIL Open Font Licence, beside it): regular and bold."""


def width(text: str, size: float, *, bold: bool = False) -> float:
    """The width of a line of text in pixels; a character the font has not is one em."""
    advances, whole = _advances(bold)
    return sum(advances.get(ord(c), whole) for c in text) * size / whole


def fitted(text: str, size: float, room: float, *, bold: bool = False) -> str:
    """The text, cut in the middle to what stands in that many pixels."""
    if width(text, size, bold=bold) <= room:
        return text
    low, high = 0, len(text)
    while low < high:
        kept = (low + high + 1) // 2
        if width(_cut(text, kept), size, bold=bold) <= room:
            low = kept
        else:
            high = kept - 1
    return _cut(text, low)


def lines(text: str, size: float, room: float, *, bold: bool = False) -> list[str]:
    """The text broken between words; a word that is too long has a line of its own."""
    found = [""]
    for word in text.split():
        longer = f"{found[-1]} {word}".strip()
        if found[-1] and width(longer, size, bold=bold) > room:
            found.append(word)
        else:
            found[-1] = longer
    return found


def _cut(text: str, kept: int) -> str:
    head = (kept * 2 + 2) // 3
    return f"{text[:head]}…{text[len(text) - (kept - head) :]}"


@cache
def _advances(bold: bool) -> tuple[dict[int, int], int]:
    from fontTools.ttLib import TTFont

    with TTFont(FILES[bold], lazy=True) as font:
        metrics = font["hmtx"].metrics
        table = {code: metrics[name][0] for code, name in font.getBestCmap().items()}
        return table, font["head"].unitsPerEm
