"""How many calls of a block have which of its optional parts: the table of its variants."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations

from cnndsl.figures import font
from cnndsl.figures.conditions import joined
from cnndsl.figures.scene import Frame, Option
from cnndsl.figures.text import clean, label_text
from cnndsl.figures.titles import title_of
from cnndsl.figures.values import CELL, SIZE, Table
from cnndsl.graph import Network

MOST = 4
"""A block of more variants has no table of them."""
LONG = 190.0
"""A longer condition is left to the boxes."""
Variant = tuple[bool, ...]
"""Which of a block's optional parts a call has."""


def counted(network: Network, frame: Frame) -> Table | None:
    """The variants of a block, each with its condition and the number of calls.

    Rows are read from the top: an `else` says that a row above may hold too. None for a block
    without variants or with more than `MOST`; where flags alone tell them apart, since the
    table of values has these; and where a box's condition is not that of one line.
    """
    names = _names(network, frame)
    options = {said: [o for o in frame.options if o.said == said] for said in names}
    every = [found for found in options.values() if found]
    if len(every) < len(names) or any(len({o.on for o in found}) > 1 for found in every):
        return None
    if all(found[0].there.isidentifier() or found[0].away.isidentifier() for found in every):
        return None  # a flag is a column of the values
    counts = Counter(zip(*(found[0].on for found in every), strict=True))
    if not 1 < len(counts) <= MOST:
        return None
    rows = tuple(
        (said, *("yes" if there else "–" for there in one), str(counts[one]))
        for one, said in _said([*counts], [found[0] for found in every])
    )
    short = all(font.width(row[0], SIZE, bold=True) <= LONG for row in rows)
    header = ("", *(names[said] for said in names), "blocks")
    return Table(header, rows) if short else None


def _names(network: Network, frame: Frame) -> dict[str, str]:
    """The names of the optional parts, by the condition that the picture says."""
    found: dict[str, str] = {}
    for box in frame.scene.boxes() if frame.scene else ():
        if box.condition:
            name = clean(label_text(box.labels) or title_of(network, box, frame))
            found.setdefault(box.condition, font.fitted(name, SIZE, CELL, bold=True))
    return found | dict.fromkeys(frame.dashed, "skip")


def _said(variants: Sequence[Variant], options: Sequence[Option]) -> list[tuple[Variant, str]]:
    """The variants, those with the fewest parts first, each with what tells it apart."""
    left = sorted(variants, key=lambda one: (sum(one), one))
    every, found = tuple(left), list[tuple[Variant, str]]()
    while left:
        one = min(left, key=lambda one: len(_telling(one, left)))
        used = _telling(one, left) or _telling(one, every)
        texts = [options[n].there if one[n] else options[n].away for n in used]
        said = joined(texts, "and")
        alone = not any(_alike(one, other, used) for other in every if other != one)
        found.append((one, said if alone else f"else {said}"))
        left.remove(one)
    return found


def _telling(one: Variant, others: Sequence[Variant]) -> tuple[int, ...]:
    """The fewest parts, by number, that tell a variant from all others."""
    places = range(len(one))
    choices = (some for count in range(len(one) + 1) for some in combinations(places, count))
    return next(
        some
        for some in choices
        if not any(_alike(one, other, some) for other in others if other != one)
    )


def _alike(one: Variant, other: Variant, places: Sequence[int]) -> bool:
    return all(one[n] == other[n] for n in places)
