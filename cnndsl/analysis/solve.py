"""The largest setting within a budget: `solve("width", "macs <= 300M")`.

A setting is a numeric parameter of the model, a size of its input, or `resolution`, all
spatial sizes at once. What is legal is what elaborates; the answer is legal and meets the
budget, and the next legal one beyond it does not. Costs are near powers of a setting, so
the search interpolates logarithms: a handful of networks is built, each measured exactly.
"""

from __future__ import annotations

import math
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
"""How far the nearest legal setting is looked for."""
NEAR = 17
"""The same while the search doubles or halves: two multiples of 32 are no farther apart."""
ROUND = 32
"""The multiples that a network takes which halves its maps five times."""
APART = 1.1
"""The sensitivity is taken between settings at least so far from the answer, by ratio."""


@dataclass(frozen=True, slots=True)
class Budget:
    """`macs <= 300M`."""

    name: str
    relation: str
    value: Fraction

    def met(self, measured: int) -> bool:
        """Whether a figure keeps it; equality does."""
        return measured <= self.value if self.relation == "<=" else measured >= self.value

    def spelt(self, figure: int) -> str:
        """A figure of the budget's kind: the peak's is in bytes."""
        return f"{figure:,}{' bytes' if self.name == 'peak' else ''}"

    def __str__(self) -> str:
        """As it is written, the figure in full."""
        return f"{self.name} {self.relation} {self.spelt(int(self.value))}"


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
    """By how many percent the figure changes for one percent of the setting, around here."""
    extreme: Try | None
    """The figure nearest to the budget that could be reached."""
    most: Setting
    """The largest setting that was in question."""
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
            reached = self.budget.spelt(self.extreme.measured or 0)
            up_to = f" up to {_shown(self.most)}" if self.budget.relation == ">=" else ""
            head = (
                f"no {self.name}{up_to} gives {self.budget}: the {least} reached is"
                f" {reached} at {self.name}={_shown(self.extreme.setting)}"
            )
        else:
            measured = self.budget.spelt(self.measured or 0)
            head = f"{self.name} = {_shown(self.setting)}: {self.budget.name} {measured}"
            if self.above is not None and self.above.measured is not None:
                beyond = self.budget.spelt(self.above.measured)
                head += f"\nthe next, {_shown(self.above.setting)}, has {beyond}"
            elif self.budget.relation == "<=" and self.setting >= self.most:
                head += "\nthe largest that was looked at: larger ones may keep it too"
            if self.sensitivity is not None:
                head += (
                    f"\n1 % more {self.name} is about {self.sensitivity:+.2f} %"
                    f" {self.budget.name} around here"
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
        raise ValueError(
            f"cannot read the budget `{text}`: write `macs <= 300M`, or `rf(c4) >= 400`"
        )
    value = match["value"]
    unit = next((unit for unit in UNITS if value.endswith(unit)), None)
    if unit is not None and match["name"] != "peak":
        raise ValueError(f"`{value}` is a size in bytes, but `{match['name']}` is not one")
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
    first = max(1, round(start / unit))
    last = round(most / unit) if most is not None else 16 * first
    search = _Search(goal, make, unit, isinstance(start, float), last)
    answer = search.answer(first)
    tried = tuple(search.seen.values())
    legal = [t for t in tried if t.measured is not None]
    if answer is None:
        nearest = min if goal.relation == "<=" else max
        extreme = nearest(legal, key=lambda t: t.measured or 0, default=None)
        if extreme is None:
            raise ValueError(f"no `{name}` that was tried is legal")
        return Solved(name, goal, None, None, None, None, extreme, search.setting(last), tried)
    found = search.at(answer)
    beyond = search.beyond(answer)
    above = None if beyond is None else search.at(beyond)
    tried = tuple(search.seen.values())
    slope = _slope(found, tried)
    end = search.setting(last)
    return Solved(name, goal, found.setting, found.measured, above, slope, None, end, tried)


def _slope(found: Try, tried: tuple[Try, ...]) -> float | None:
    """The change of the figure by that of the setting, both relative.

    Between the nearest settings on both sides that are not too near: figures move in steps
    (rounded widths, strides), and a step is no slope.
    """
    here = float(found.setting)
    known = sorted((float(t.setting), t.measured) for t in tried if t.measured)
    below = [pair for pair in known if pair[0] * APART <= here] or known[:1]
    above = [pair for pair in known if pair[0] >= here * APART] or known[-1:]
    if not known or below[-1][0] == above[0][0]:
        return None
    (low, small), (high, large) = below[-1], above[0]
    return math.log(large / small) / math.log(high / low)


class _Search:
    """Settings as whole numbers of steps, from 1 to `last`; what was measured is kept.

    A setting is `low` where the figure is below the budget's value (or keeps `<=` of it),
    `high` where it is above: figures rise with settings, but for their steps.
    """

    def __init__(
        self, goal: Budget, make: Make, unit: Setting, fraction: bool, last: int
    ) -> None:
        self.goal, self.make, self.unit, self.fraction = goal, make, unit, fraction
        self.last = last
        self.down = goal.relation == "<="
        self.seen: dict[int, Try] = {}

    def setting(self, index: int) -> Setting:
        """So many steps."""
        return round(index * self.unit, 10) if self.fraction else int(index * self.unit)

    def at(self, index: int) -> Try:
        if index not in self.seen:
            setting = self.setting(index)
            try:
                measured: int | None = measure(self.make(setting), self.goal.name)
            except ArchError:
                measured = None
            self.seen[index] = Try(setting, measured)
        return self.seen[index]

    def fits(self, index: int) -> bool:
        found = self.at(index)
        return found.measured is not None and self.goal.met(found.measured)

    def answer(self, first: int) -> int | None:
        """The last that fits below a budget, the first that reaches one."""
        low, high = self._bracket(min(first, self.last))
        wide = False
        while low is not None and high is not None:
            middle = self._legal(self._guess(low, high, halve=wide), low, high)
            if middle is None:
                break
            width = high - low
            low, high = (middle, high) if self._low(middle) else (low, middle)
            wide = 3 * (high - low) > 2 * width
        found = low if self.down else high
        # Figures may fall again: then the neighbours beyond fit as well.
        while found is not None and (beyond := self.beyond(found)) and self.fits(beyond):
            found = beyond
        return found

    def _low(self, index: int) -> bool:
        return self.fits(index) == self.down

    def _bracket(self, first: int) -> tuple[int | None, int | None]:
        """A setting below the budget's value and one above it, as far as there are any."""
        start = self._legal(first, 0, self.last + 1)
        if start is None:
            return None, None
        low, high = (start, None) if self._low(start) else (None, start)
        rising = low is not None
        index = start
        while (low is None or high is None) and index != (self.last if rising else 1):
            wanted = min(2 * index, self.last) if rising else index // 2
            ends = (index, self.last + 1) if rising else (0, index)
            found = self._legal(wanted, *ends, near=NEAR)
            if found is not None:
                low, high = (found, high) if self._low(found) else (low, found)
            index = wanted if found is None else max(found, wanted) if rising else found
        return low, high

    def _guess(self, low: int, high: int, *, halve: bool) -> int:
        """Where the figure may cross the budget's value: on a line in logarithms."""
        below, above = self.at(low).measured, self.at(high).measured
        goal = float(self.goal.value)
        if halve or not below or not above or above <= below or goal <= 0:
            return (low + high) // 2
        part = math.log(goal / below) / math.log(above / below)
        return round(math.exp(math.log(low) + part * math.log(high / low)))

    def _legal(self, middle: int, low: int, high: int, near: int = PROBES) -> int | None:
        """A legal setting near the middle, strictly between two.

        A round one where there is: a network that halves its maps needs it.
        """
        middle = min(max(middle, low + 1), high - 1)
        for index in (middle, middle // ROUND * ROUND, -(-middle // ROUND) * ROUND):
            if low < index < high and self.at(index).measured is not None:
                return index
        for away in range(min(high - low, near)):
            for index in (middle - away, middle + away):
                if low < index < high and self.at(index).measured is not None:
                    return index
        return None

    def beyond(self, index: int) -> int | None:
        """The next legal setting on the side where the budget breaks."""
        step = 1 if self.down else -1
        for beside in range(index + step, index + step * PROBES, step):
            if not 1 <= beside <= self.last:
                return None
            if self.at(beside).measured is not None:
                return beside
        return None
