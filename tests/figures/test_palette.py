"""Colours: words are read on every box, and paper is grey."""

from __future__ import annotations

import math
from itertools import combinations

import pytest

from cnndsl.figures import palette, theme
from cnndsl.figures.compared.union import KINDS
from cnndsl.figures.layout.inking import swatch
from cnndsl.figures.paint import leaves
from cnndsl.figures.palette import role_of
from cnndsl.ops.facts import Family

BOXES = [*(role_of(family) for family in (None, *theme.LOOKS)), *KINDS, "page", "band", "frame"]
HEATS = [f"heat{step}" for step in range(palette.HEAT_STEPS)]


def luminance(colour: str) -> float:
    """Relative, as WCAG 2.2 defines it."""
    channels = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    high, low = sorted((luminance(first), luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("name", palette.THEMES)
def test_words_are_read_on_every_box(name: str) -> None:
    found = palette.colours(name)
    for role in BOXES:
        for words in ("ink", "grey"):
            assert contrast(found[words][0], found[role][0]) >= 4.5, (role, words)
    for role in HEATS:
        assert contrast(found["ink"][0], found[role][0]) >= 4.5, role
    for kind in KINDS[1:]:
        # The sign of a kind is written on its colour in the colour of the page.
        assert contrast(found[f"{kind}-mark"][0], found["page"][0]) >= 3, kind


@pytest.mark.parametrize("name", palette.THEMES)
def test_words_and_lines_are_seen_on_every_ground(name: str) -> None:
    found = palette.colours(name)
    for ground in ("page", "band", "frame"):
        for words in ("ink", "dim", "grey", "faint"):
            assert contrast(found[words][0], found[ground][0]) >= 4.5, (words, ground)
        for role, (_, line) in found.items():
            if line != "none":
                assert contrast(line, found[ground][0]) >= 3, (role, ground)
    for role in (*map(role_of, (None, *theme.LOOKS)), *KINDS):
        fill, line = found[role]
        assert contrast(line, fill) >= 3, role


def test_paper_has_no_colour() -> None:
    for role, pair in palette.colours("paper").items():
        for colour in pair:
            assert colour == "none" or len({colour[1:3], colour[3:5], colour[5:7]}) == 1, role


def difference(first: str, second: str) -> float:
    """Of two colours as they are seen: CIE76, in L*a*b* of D65."""
    return math.dist(_lab(first), _lab(second))


def _lab(colour: str) -> tuple[float, float, float]:
    channels = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    red, green, blue = (
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels
    )
    x, y, z = (
        t ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116
        for t in (
            (0.4124 * red + 0.3576 * green + 0.1805 * blue) / 0.95047,
            0.2126 * red + 0.7152 * green + 0.0722 * blue,
            (0.0193 * red + 0.1192 * green + 0.9505 * blue) / 1.08883,
        )
    )
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def outline(family: Family | None) -> object:
    """The shape of a family's swatch in a legend, without its colours."""
    (part,) = leaves((swatch(0, 0, "block", family),))
    return part


def alike() -> list[tuple[Family | None, Family | None]]:
    """Families of one outline; what is added in a box and not in a circle is rounded too."""
    families = (None, *theme.LOOKS)
    pairs = [(a, b) for a, b in combinations(families, 2) if outline(a) == outline(b)]
    return pairs + [(a, Family.ADD) for a in families if outline(a) == outline(None)]


@pytest.mark.parametrize("name", palette.THEMES)
def test_boxes_of_one_outline_are_told_apart(name: str) -> None:
    found = palette.colours(name)
    assert len(alike()) > 12
    for families in alike():
        (fill, line), (fill2, line2) = (found[role_of(family)] for family in families)
        assert difference(fill, fill2) >= 5 or difference(line, line2) >= 15, families


@pytest.mark.parametrize("name", palette.THEMES)
def test_a_band_is_seen(name: str) -> None:
    found = palette.colours(name)
    assert difference(found["band"][0], found["page"][0]) >= (5 if name == "dark" else 2.5)


@pytest.mark.parametrize("name", palette.THEMES)
def test_a_metric_gets_darker_or_brighter_step_by_step(name: str) -> None:
    found = [luminance(palette.colours(name)[role][0]) for role in HEATS]
    assert found == sorted(found, reverse=name != "dark")
