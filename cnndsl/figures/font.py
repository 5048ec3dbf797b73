"""The width of text, in the open font that the package ships."""

from __future__ import annotations

import re
import unicodedata
from base64 import b64encode
from collections.abc import Iterable
from functools import cache, lru_cache
from io import BytesIO
from pathlib import Path

FAMILY = "Inter"
FONTS = Path(__file__).parent / "fonts"
FILES = (FONTS / "figure-regular.ttf", FONTS / "figure-bold.ttf")
"""A subset of Inter (SIL Open Font Licence, beside it): regular and bold."""
PARTS = re.compile(r"(?<=[a-z\d])(?=[A-Z])|(?<=[_/])")
"""Where a part of a name begins: `MobileNetV3` and `Body`."""

BOUND = "\u00a0"
"""A space where no line ends."""


def width(text: str, size: float, *, bold: bool = False) -> float:
    """The width of a line of text in pixels; a character missing from the font is estimated."""
    return _units(text, bold) * size / _advances(bold)[1]


def knows(text: str) -> bool:
    """Whether the font has all characters of a text."""
    return all(ord(c) in _advances(bold=False)[0] for c in text)


def fitted(text: str, size: float, room: float, *, bold: bool = False) -> str:
    """The text, cut in the middle to what stands in that many pixels."""
    if width(text, size, bold=bold) <= room:
        return text
    low, high = 0, len(text)
    while low < high:
        kept = (low + high + 1) // 2
        if width(cut(text, kept), size, bold=bold) <= room:
            low = kept
        else:
            high = kept - 1
    return cut(text, low)


def lines(text: str, size: float, room: float, *, bold: bool = False) -> list[str]:
    """The text broken between words, and one that is too long, where a part of it begins.

    It is not broken where a space is `BOUND`, as long as what that holds together has room.
    """
    found = [""]
    for whole in re.split(r"[ \n\t]+", text.strip()):
        loose = whole.replace(BOUND, " ")
        fits = width(loose, size, bold=bold) <= room
        for word in [loose] if fits else loose.split():
            fits = width(word, size, bold=bold) <= room
            for n, part in enumerate([word] if fits else PARTS.split(word)):
                longer = f"{found[-1]}{'' if n else ' '}{part}".strip()
                if found[-1] and width(longer, size, bold=bold) > room:
                    found.append(part)
                else:
                    found[-1] = longer
    return found


def cut(text: str, kept: int) -> str:
    """So many characters of a text, without its middle."""
    head = (kept * 2 + 2) // 3
    return f"{text[:head]}…{text[len(text) - (kept - head) :]}"


@lru_cache(maxsize=4096)
def _units(text: str, bold: bool) -> int:
    advances, whole = _advances(bold)
    return sum(advances.get(ord(c)) or _guessed(c, whole) for c in text)


def _guessed(character: str, whole: int) -> int:
    """One em for a wide character, none for what stands over another, and less for others."""
    if unicodedata.east_asian_width(character) in "WF":
        return whole
    return 0 if unicodedata.combining(character) else round(0.64 * whole)


@cache
def _advances(bold: bool) -> tuple[dict[int, int], int]:
    from fontTools.ttLib import TTFont

    with TTFont(FILES[bold], lazy=True) as font:
        metrics = font["hmtx"].metrics
        table = {code: metrics[name][0] for code, name in font.getBestCmap().items()}
        return table, font["head"].unitsPerEm


SHAPES = ("GSUB", "GPOS", "GDEF", "DSIG", "kern", "meta", "gasp")
"""Tables that a plain line of text does not need; kerning would make it narrower."""


def rules(texts: Iterable[tuple[str, bool]]) -> str:
    """The characters of some texts, regular or bold, as `@font-face` rules of a style."""
    used: dict[bool, set[str]] = {}
    for text, bold in texts:
        used.setdefault(bold, set()).update(text)
    return "".join(_rule("".join(sorted(used[bold])), bold) for bold in sorted(used))


@cache
def _rule(characters: str, bold: bool) -> str:
    """One rule with the font inside; glyphs that are not used are empty."""
    from fontTools.ttLib import TTFont

    with TTFont(FILES[bold], recalcTimestamp=False, recalcBBoxes=False) as font:
        known, outlines = font.getBestCmap(), font["glyf"]
        kept = [known[ord(c)] for c in characters if ord(c) in known]
        needed: set[str] = {".notdef"}
        while kept:
            name = kept.pop()
            if name not in needed:
                needed.add(name)
                kept += outlines[name].getComponentNames(outlines)
        blank = type(outlines[".notdef"])
        for name in font.getGlyphOrder():
            if name not in needed:
                outlines.glyphs[name] = blank()
        for table in SHAPES:
            if table in font:
                del font[table]
        font.flavor = "woff"
        made = BytesIO()
        font.save(made)
    data = b64encode(made.getvalue()).decode()
    return (
        f"@font-face{{font-family:{FAMILY};font-weight:{700 if bold else 400};"
        f"src:url(data:font/woff;base64,{data})}}"
    )
