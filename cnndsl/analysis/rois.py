"""A detector's cost as a function of what it declares: regions, boxes, classes.

The cost is affine in a number of regions where each is looked at alone; that is checked
at other values, not assumed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from cnndsl.analysis.costs import total
from cnndsl.graph import Network


@dataclass(frozen=True, slots=True)
class Affine:
    """`fixed + Σ each · count`, in multiply-adds."""

    fixed: int
    each: dict[str, int]

    def at(self, /, **counts: int) -> int:
        """The cost with these counts."""
        return self.fixed + sum(self.each[name] * count for name, count in counts.items())

    def rows(self) -> list[dict[str, object]]:
        """One row a term, for a data frame."""
        return [
            {"per": name, "macs": macs} for name, macs in {"": self.fixed, **self.each}.items()
        ]

    def __str__(self) -> str:
        """`120019000000 + 14359552·rois`."""
        return " + ".join([str(self.fixed), *(f"{n}·{name}" for name, n in self.each.items())])


def _macs(network: Network) -> int:
    return total(network).macs


def affine(make: Callable[..., Network], *names: str, start: int = 10) -> Affine:
    """The multiply-adds of `make(name=count, …)` as a function of the counts.

    Raises ValueError: they are no such function, as other counts show.
    """
    base = dict.fromkeys(names, start)
    here = _macs(make(**base))
    each: dict[str, int] = {}
    for name in names:
        more = _macs(make(**{**base, name: start + 7}))
        slope = Fraction(more - here, 7)
        if slope.denominator != 1:
            raise ValueError(f"the cost is not affine in `{name}`")
        each[name] = int(slope)
    found = Affine(here - start * sum(each.values()), each)
    for factor in (3, 11):
        counts = {name: start * factor + number for number, name in enumerate(names)}
        if _macs(make(**counts)) != found.at(**counts):
            raise ValueError(f"the cost is not affine in {', '.join(names)}")
    return found
