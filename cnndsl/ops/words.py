"""What is said of an operation, in the same words in figures, tables and summaries."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from cnndsl.records import Record, record

FEW = 4
"""So many values are written out."""


@record
class Words(Record):
    """A title, `3×3, 64 /2`, and what is not the default beside it: `rate 2`, `32 groups`."""

    title: str
    more: tuple[str, ...] = ()

    def __str__(self) -> str:
        """`3×3, 64 /2 · 32 groups`."""
        return " · ".join((self.title, *self.more))


class Named(int):
    """A number that is said by a name: the parameter that it comes from, or a range."""

    text: str

    def __new__(cls, text: str, value: int = 0) -> Named:
        """Pair a name with one of the values that it stands for."""
        self = super().__new__(cls, value)
        self.text = text
        return self

    def __str__(self) -> str:
        """The name."""
        return self.text

    __repr__ = __str__

    def __format__(self, spec: str) -> str:
        """The name."""
        return self.text

    def __eq__(self, other: object) -> bool:
        """The same name: no number is equal to one."""
        return isinstance(other, Named) and other.text == self.text

    def __hash__(self) -> int:
        """Of the name."""
        return hash(self.text)


def spoken(value: object) -> str:
    """A value of an attribute as figures say it."""
    match value:
        case Named() | str():
            return str(value)
        case Enum():
            return str(value.value)
        case None | bool():
            return {None: "none", True: "yes", False: "no"}[value]
        case int():
            return signed(str(int(value)))
        case float():
            return number(value)
        case tuple() if value and all(isinstance(v, tuple) for v in value):
            # Padding: before and after each axis.
            sides = [spoken(a) if a == b else f"{spoken(a)}+{spoken(b)}" for a, b in value]
            return sides[0] if len(set(sides)) == 1 else "×".join(sides)
        case tuple():
            same = len(value) > 1 and len(set(value)) == 1
            return spoken(value[0]) if same else "×".join(map(spoken, value))
    return str(value)


def ends(values: Sequence[object]) -> Sequence[object]:
    """The values that are said of some: all, or the first and the last of many."""
    return values if len(values) <= FEW else (values[0], values[-1])


def listed(value: object, *, whole: bool = False) -> str:
    """A value that may be a list: `32, 64`, `3×4, 10.5×7`; of a long one, its ends."""
    if not isinstance(value, tuple):
        return spoken(value)
    shown = value if whole else ends(value)
    pairs = [v if isinstance(v, tuple) else (v,) for v in shown]
    between = ", " if len(shown) == len(value) else " to "
    return between.join("×".join(map(spoken, pair)) for pair in pairs)


def number(value: float) -> str:
    """A number, the shortest way: `0.1`, `1e-5`; `0.1818` for one that does not end."""
    whole = repr(float(value))
    text = f"{value:.4g}" if len(whole) > 14 else whole.removesuffix(".0")
    return signed(text.replace("e-0", "e-").replace("e+", "e"))


def signed(text: str) -> str:
    """The digits of a number, with a true minus."""
    return f"−{text[1:]}" if text.startswith("-") else text


def shape_text(shape: Sequence[int]) -> str:
    """A shape as papers print it: `64×112²`, `64×112×96`, `64×16×112²`, `1000`."""
    sizes = [int(n) for n in shape]
    power = {2: "²", 3: "³"}
    channels, spatial = sizes[:1], sizes[1:]
    if len(spatial) in power and len(set(spatial)) == 1 and spatial[0] > 1:
        return f"{channels[0]}×{spatial[0]}{power[len(spatial)]}"
    if len(spatial) == 3 and spatial[1] == spatial[2] > 1:
        return f"{channels[0]}×{spatial[0]}×{spatial[1]}²"
    return "×".join(map(str, sizes))
