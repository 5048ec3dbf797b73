"""What is written in a picture, and how it is kept harmless."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

from cnndsl.ops import words
from cnndsl.ops.words import listed, spoken
from cnndsl.symbolic import Sym

shape_text = words.shape_text


GIVEN = "c′"
"""The channels of what a block is given, where the source says `in.c`."""


WHOLE = re.compile(r"\[0–\d+\]$")
"""The index of a label that is of all the turns of its line."""


def given_as(text: str) -> str:
    """A text as papers print it: `t·c′` for `t·in.c`."""
    return re.sub(r"\bin\.c\b", GIVEN, text)


def short_formula(value: Sym) -> str:
    """`4·c`, `c′/2`, `c+k`; nothing where it is long."""
    text = str(value.formula).replace(" * ", "·").replace(" // ", "/")
    text = text.replace(" - ", "−").replace(" + ", "+")
    text = given_as(re.sub(r"(?<=[\w\]])\.shape\[0\]", ".c", text))
    # An axis that has no name of the field's is said by its size.
    return text if len(text) <= 14 and ".shape[" not in text else ""


def label_text(labels: Sequence[str]) -> str:
    """`c3[1–3]` for `c3[1]`, `c3[2]`, `c3[3]`; the turns of a line without a name have none.

    One index alone differs; otherwise the first and the last label are said.
    """
    labels = [label for label in labels if not label.startswith("[")]
    if len(labels) < 2:
        return labels[0] if labels else ""
    first, last = labels[0], labels[-1]
    rows = [re.findall(r"\[[^\]]*\]|[^\[]+", label) for label in labels]
    columns = [tuple(dict.fromkeys(column)) for column in zip(*rows, strict=False)]
    differ = [column for column in columns if len(column) > 1]
    if len({*map(len, rows)}) == len(differ) == 1 and differ[0][0].startswith("["):
        return "".join(c[0] if len(c) == 1 else f"{c[0][:-1]}–{c[-1][1:]}" for c in columns)
    stem = first.partition("[")[0]
    return f"{first} … {last[len(stem) :] if last.startswith(f'{stem}[') else last}"


def stem(label: str) -> str:
    """A label without its last indices: `c4` for `c4[0][1–3]`."""
    return re.sub(r"(\[[^\[\]]*\])+$", "", label)


def labels_text(labels: Sequence[str]) -> str:
    """`conf[0–5], loc[0–5]` for those of several lines."""
    stems: dict[str, list[str]] = {}
    for label in labels:
        stems.setdefault(label.rpartition("[")[0] or label, []).append(label)
    return ", ".join(label_text(found) for found in stems.values())


def levels_text(names: Sequence[str]) -> str:
    """`p2–p5`, `y[0–3]`, `c3, p5`; nothing where one has no name."""
    found = [re.fullmatch(r"(.*?)(\d+)(\]?)", name) for name in dict.fromkeys(names)]
    parts = [match.groups() for match in found if match]
    numbers = sorted(int(number) for _, number, _ in parts)
    alike = len(parts) == len(found) and len({(head, tail) for head, _, tail in parts}) == 1
    if len(numbers) > 1 and alike and numbers == [*range(numbers[0], numbers[-1] + 1)]:
        head, _, end = parts[0]
        again = "" if end else head
        return f"{head}{numbers[0]}–{again}{numbers[-1]}{end}"
    return ", ".join(dict.fromkeys(names)) if all(names) else ""


def count_text(number: int) -> str:
    """`25.6M`."""
    for power, suffix in ((9, "G"), (6, "M"), (3, "k")):
        if number >= 10**power:
            return f"{number / 10**power:.3g}{suffix}"
    return str(number)


@lru_cache(maxsize=4096)
def clean(text: str) -> str:
    """Without line ends, control characters and marks that turn the direction of text."""
    kept = (" " if c in "\n\r\t" else c for c in text)
    return "".join(
        c for c in kept if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co", "Cn")
    )


def elide(text: str, width: int) -> str:
    """Cut in the middle to a number of characters."""
    if len(text) <= width:
        return text
    head = (width - 1) * 2 // 3
    return f"{text[:head]}…{text[len(text) - (width - 1 - head) :]}"


def spell_argument(value: object, *, whole: bool = True) -> str:
    """A value as the picture writes it; of a long list, its ends where that is enough."""
    if isinstance(value, tuple) and any(isinstance(one, tuple) for one in value):
        return listed(value, whole=whole)
    if isinstance(value, int | float | tuple | str) or value is None:
        return spoken(value)
    name = getattr(value, "name", None)
    return name if isinstance(name, str) else str(value)


def letter(number: int) -> str:
    """The letters a, b, … for 0, 1, …."""
    return chr(ord("a") + number) if number < 26 else str(number + 1)
