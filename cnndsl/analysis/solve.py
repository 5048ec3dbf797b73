"""The largest setting within a budget: `solve("width", "macs <= 300M")`.

A setting is a numeric parameter of the model, a size of its input, or `resolution`, all
spatial sizes at once. What is legal is what elaborates; the answer is legal and meets the
budget, and the next legal one above it does not.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import groupby

from cnndsl.analysis.counts import read_figure
from cnndsl.analysis.measures import measure
from cnndsl.diagnostics import ArchError
from cnndsl.graph import Network

BUDGET = re.compile(r"\s*(?P<name>[^<>=]+?)\s*(?P<relation><=|>=)\s*(?P<value>\S+)\s*")
UNITS = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
Setting = int | float
Make = Callable[[Setting], Network]
"""The network at a setting.  Raises ArchError: it is not legal."""
PROBES = 64
"""How many legal neighbours are looked at around an answer, where figures are not steady."""


@dataclass(frozen=True, slots=True)
class Budget:
    """`macs <= 300M`."""

    name: str
    relation: str
    value: Fraction

    def met(self, measured: int) -> bool:
        """Whether a figure keeps it; equality does."""
        return measured <= self.value if self.relation == "<=" else measured >= self.value

    def __str__(self) -> str:
        """As it is written."""
        return f"{self.name} {self.relation} {int(self.value):,}"


@dataclass(frozen=True, slots=True)
class Try:
    """A setting and what was measured there; None where it is not legal."""

    setting: Setting
    measured: int | None


@dataclass(frozen=True, slots=True)
class Solved:
    """The answer, or that there is none; `tried` is what was looked at, in order."""

    name: str
    budget: Budget
    setting: Setting | None
    measured: int | None
    above: Try | None
    """The next legal setting beyond the answer, which breaks the budget."""
    sensitivity: float | None
    """By how many percent the figure changes for one percent of the setting."""
    extreme: Try | None
    """The figure nearest to the budget that could be reached."""
    tried: tuple[Try, ...] = field(repr=False)

    def rows(self) -> list[dict[str, object]]:
        """One row a setting that was tried, for a data frame."""
        return [
            {self.name: t.setting, self.budget.name: t.measured, "fits": self._fits(t)}
            for t in self.tried
        ]

    def _fits(self, tried: Try) -> bool:
        return tried.measured is not None and self.budget.met(tried.measured)

    def __str__(self) -> str:
        """The answer and the table."""
        if self.setting is None:
            assert self.extreme is not None
            least = "least" if self.budget.relation == "<=" else "most"
            head = (
                f"no {self.name} gives {self.budget}: the {least} reached is"
                f" {self.extreme.measured:,} at {self.name}={_shown(self.extreme.setting)}"
            )
        else:
            head = f"{self.name} = {_shown(self.setting)}: {self.budget.name} {self.measured:,}"
            if self.above is not None and self.above.measured is not None:
                head += f"\nthe next, {_shown(self.above.setting)}, has {self.above.measured:,}"
            if self.sensitivity is not None:
                head += (
                    f"\n1 % more {self.name} is {self.sensitivity:+.2f} % more"
                    f" {self.budget.name} here"
                )
        lines = [head, "", f"{self.name:>12}  {self.budget.name:>16}"]
        for legal, group in groupby(
            sorted(self.tried, key=lambda t: t.setting), lambda t: t.measured is not None
        ):
            if not legal:
                refused = list(group)
                more = f"  to {_shown(refused[-1].setting)}" if len(refused) > 1 else ""
                lines.append(f"{_shown(refused[0].setting):>12}{more}  not legal")
                continue
            for tried in group:
                mark = " ✓" if self._fits(tried) else ""
                lines.append(f"{_shown(tried.setting):>12}  {tried.measured:>16,}{mark}")
        return "\n".join(lines)


def _shown(setting: Setting) -> str:
    return f"{setting:g}" if isinstance(setting, float) else str(setting)


def read_budget(text: str) -> Budget:
    """A budget from its text.  Raises ValueError: it is none."""
    match = BUDGET.fullmatch(text)
    if match is None:
        raise ValueError(f"`{text}` is no budget: write `macs <= 300M`, or `rf(c4) >= 400`")
    value = match["value"]
    unit = next((unit for unit in UNITS if value.endswith(unit)), None)
    if unit is not None:
        figure = read_figure(value.removesuffix(unit))[0] * UNITS[unit]
    else:
        figure = read_figure(value)[0]
    return Budget(match["name"], match["relation"], figure)


def solve(
    name: str,
    budget: Budget | str,
    make: Make,
    start: Setting,
    *,
    step: Setting | None = None,
    most: Setting | None = None,
) -> Solved:
    """The largest setting that keeps a budget from above, or the smallest that reaches one.

    `start` is the setting as it is; floats move in steps of `step`, 0.01 unless told.
    Raises ValueError: no budget. LookupError: no such figure.
    """
    goal = read_budget(budget) if isinstance(budget, str) else budget
    unit = step if step is not None else 0.01 if isinstance(start, float) else 1
    search = _Search(goal, make, unit, isinstance(start, float))
    limit = search.index(most) if most is not None else max(16 * search.index(start), 16)
    answer = search.answer(max(1, search.index(start)), limit)
    tried = tuple(search.seen.values())
    legal = [t for t in tried if t.measured is not None]
    if answer is None:
        nearest = min if goal.relation == "<=" else max
        extreme = nearest(legal, key=lambda t: t.measured or 0, default=None)
        if extreme is None:
            raise ValueError(f"no `{name}` that was tried is legal")
        return Solved(name, goal, None, None, None, None, extreme, tried)
    found = search.at(answer)
    above = search.beyond(answer, limit)
    slope = _slope(found, above)
    tried = tuple(search.seen.values())
    return Solved(name, goal, found.setting, found.measured, above, slope, None, tried)


def _slope(found: Try, above: Try | None) -> float | None:
    """The change of the figure by that of the setting, both relative."""
    if above is None or not found.measured or above.measured is None or not found.setting:
        return None
    change = (above.measured - found.measured) / found.measured
    return change / ((above.setting - found.setting) / found.setting)


class _Search:
    """Settings as whole numbers of steps; what was measured is kept."""

    def __init__(self, goal: Budget, make: Make, unit: Setting, fraction: bool) -> None:
        self.goal, self.make, self.unit, self.fraction = goal, make, unit, fraction
        self.seen: dict[int, Try] = {}

    def index(self, setting: Setting) -> int:
        return round(setting / self.unit)

    def at(self, index: int) -> Try:
        if index not in self.seen:
            setting: Setting = round(index * self.unit, 10) if self.fraction else index
            setting = setting if self.fraction else int(index * self.unit)
            try:
                measured: int | None = measure(self.make(setting), self.goal.name)
            except ArchError:
                measured = None
            self.seen[index] = Try(setting, measured)
        return self.seen[index]

    def fits(self, index: int) -> bool:
        found = self.at(index)
        return found.measured is not None and self.goal.met(found.measured)

    def answer(self, start: int, limit: int) -> int | None:
        """The last that fits below a budget, the first that reaches one."""
        down = self.goal.relation == "<="
        inside, outside = self._bracket(start, limit, down)
        if inside is None:
            return None
        if outside is None:
            return inside
        # Between one that fits and one that does not, as if the figure were steady.
        while abs(outside - inside) > 1:
            middle = (inside + outside) // 2
            middle = self._legal(middle, min(inside, outside), max(inside, outside))
            if middle in (inside, outside):
                break
            inside, outside = (middle, outside) if self.fits(middle) else (inside, middle)
        # Figures may fall again (rounded widths): the neighbours beyond decide.
        return self._settled(inside, limit, 1 if down else -1)

    def _bracket(self, start: int, limit: int, down: bool) -> tuple[int | None, int | None]:
        """A setting that fits, and one beyond it that does not, doubling from the start."""
        inside = outside = None
        index = min(start, limit)
        if self.fits(index) == down:
            while index <= limit:
                if self.fits(index) == down or self.at(index).measured is None:
                    inside = index if self.at(index).measured is not None else inside
                else:
                    outside = index
                    break
                if index == limit:
                    break
                index = min(2 * index, limit)
        else:
            while index >= 1:
                if self.at(index).measured is not None:
                    if self.fits(index) == down:
                        inside = index
                        break
                    outside = index
                if index == 1:
                    break
                index //= 2
        # Where a budget is to be reached, the small ones are outside, the large inside.
        return (inside, outside) if down else (outside, inside)

    def _legal(self, middle: int, low: int, high: int) -> int:
        """The legal setting nearest to the middle, strictly between two; else an end."""
        for away in range(high - low):
            for index in (middle - away, middle + away):
                if low < index < high and self.at(index).measured is not None:
                    return index
            if away > PROBES:
                break
        return low

    def _settled(self, index: int, limit: int, direction: int) -> int:
        best = index
        for away in range(1, 9):
            beside = index + direction * away
            if 1 <= beside <= limit and self.fits(beside):
                best = beside
        return best

    def beyond(self, index: int, limit: int) -> Try | None:
        """The next legal setting that does not keep the budget."""
        direction = 1 if self.goal.relation == "<=" else -1
        for away in range(1, PROBES):
            beside = index + direction * away
            if not 1 <= beside <= limit:
                return None
            if self.at(beside).measured is not None:
                return self.at(beside)
        return None
