"""How many calls of a block have which of its optional parts: the table of its variants."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations

from cnndsl.expressions import Binary, Expression, Unary, Value
from cnndsl.figures import font
from cnndsl.figures.scene import Frame
from cnndsl.figures.text import clean, label_text
from cnndsl.figures.titles import title_of
from cnndsl.figures.values import CELL, SIZE, Table
from cnndsl.figures.variants import conditioned, saying, spelled
from cnndsl.graph import Network
from cnndsl.structure import Line

MOST = 4
"""A block of more variants has no table of them."""
LONG = 190.0
"""A longer condition is left to the boxes."""
AGAINST = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
Variant = tuple[bool, ...]
"""Which of a block's optional parts a call has."""
Optional = tuple[Line, Expression]
"""A line that may be off, and its condition."""


def counted(network: Network, frame: Frame) -> Table | None:
    """The variants of a block, each with its condition and the number of calls.

    Rows are read from the top: an `else` says that a row above may hold too. None for a block
    without variants or with more than `MOST`; where flags alone tell them apart, since the
    table of values has these; and where a box's condition is not that of one line.
    """
    names = _names(network, frame)
    found = [_lines(frame, n) for n in range(len(frame.calls))] if names else []
    parts = [said for said in names if said in found[0]]
    on = [[{line.on for line, _ in lines.get(said, ())} for said in parts] for lines in found]
    if len(parts) < len(names) or any(len(some) > 1 for row in on for some in row):
        return None
    if all(isinstance(found[0][said][0][1], Value) for said in parts):
        return None  # a flag is a column of the values
    counts = Counter(tuple(True in some for some in row) for row in on)
    if not 1 < len(counts) <= MOST:
        return None
    rows = tuple(
        (said, *("yes" if there else "–" for there in one), str(counts[one]))
        for one, said in _said([*counts], [found[0][said][0] for said in parts])
    )
    short = all(font.width(row[0], SIZE, bold=True) <= LONG for row in rows)
    header = ("", *(names[said] for said in parts), "blocks")
    return Table(header, rows) if short else None


def _names(network: Network, frame: Frame) -> dict[str, str]:
    """The names of the optional parts, by the condition that the picture says."""
    found: dict[str, str] = {}
    for box in frame.scene.boxes() if frame.scene else ():
        if box.condition:
            name = clean(label_text(box.labels) or title_of(network, box, frame))
            found.setdefault(box.condition, font.fitted(name, SIZE, CELL, bold=True))
    return found | dict.fromkeys(frame.dashed, "skip")


def _lines(frame: Frame, number: int) -> dict[str, list[Optional]]:
    """The optional lines of a call, by the condition that is said of them."""
    found: dict[str, list[Optional]] = {}
    for _, line, condition in conditioned(frame.calls[number].block):
        if condition is not None:
            found.setdefault(saying(line, condition), []).append((line, condition))
    return found


def _said(variants: Sequence[Variant], lines: Sequence[Optional]) -> list[tuple[Variant, str]]:
    """The variants, those with the fewest parts first, each with what tells it apart."""
    left = sorted(variants, key=lambda one: (sum(one), one))
    every, found = tuple(left), list[tuple[Variant, str]]()
    while left:
        one = min(left, key=lambda one: len(_telling(one, left)))
        used = _telling(one, left) or _telling(one, every)
        texts = [_literal(*lines[n], there=one[n]) for n in used]
        said = _joined(texts, " and ")
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


def _literal(line: Line, condition: Expression, *, there: bool) -> str:
    """When a part is there, or when it is not."""
    holds = there != line.alternative
    return spelled(condition.span.text if holds else _against(condition))


def _joined(texts: Sequence[str], joint: str) -> str:
    if joint == " and " and len(texts) > 1:
        texts = [f"({text})" if " or " in text else text for text in texts]
    return joint.join(texts)


def _against(condition: Expression) -> str:
    """A condition that holds just where another does not."""
    match condition:
        case Unary(operator="not", operand=operand):
            return operand.span.text
        case Binary(operator="and" | "or" as operator, left=left, right=right):
            joint = " or " if operator == "and" else " and "
            return _joined([_against(left), _against(right)], joint)
        case Binary(operator=operator, left=left, right=right) if operator in AGAINST:
            return f"{left.span.text} {AGAINST[operator]} {right.span.text}"
    return f"not {condition.span.text}"
