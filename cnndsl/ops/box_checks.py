"""What the operations on boxes require of their inputs.

Boxes are rows of four numbers, x1 y1 x2 y2 in pixels.
"""

from __future__ import annotations

from cnndsl.diagnostics import OpError
from cnndsl.ops.facts import Shape, spell_shape
from cnndsl.ops.values import spell

Numbers = tuple[float, ...]


def both_axes(value: float | Numbers) -> Numbers:
    """One number an axis: the same for both where there is but one."""
    return value if isinstance(value, tuple) else (value, value)


def check_numbers(name: str, values: Numbers, count: int) -> None:
    """Raises OpError: not that many numbers, or one that is not positive."""
    if len(values) != count or any(value <= 0 for value in values):
        seen = spell(tuple(float(value) for value in values))
        message = f"`{name}` is {seen}, but must be {count} positive numbers"
        raise OpError(message, attribute=name)


def check_boxes(x: Shape, operand: int, ranks: tuple[int, ...]) -> None:
    """Raises OpError: not (N, 4), nor (N, K, 4) where `ranks` has 3."""
    if len(x) not in ranks or x[-1] != 4:
        wanted = " or ".join({2: "[N, 4]", 3: "[N, K, 4]"}[rank] for rank in ranks)
        raise OpError(f"boxes must be {wanted}, not {spell_shape(x)}", operand=operand)


def check_rows(x: Shape, y: Shape, operand: int, what: str) -> None:
    """Raises OpError: another number of rows."""
    if x[0] != y[0]:
        raise OpError(
            f"there are {int(x[0])} boxes, but {int(y[0])} {what}",
            help="one row per box, in the same order",
            operand=operand,
        )
