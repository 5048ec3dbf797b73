"""Sets of sizes, and their wording: `H divisible by 16, at least 32`."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

LISTED = 4096
"""Beyond this many, separate sizes are counted, not listed."""


@dataclass(frozen=True, slots=True)
class Valid:
    """The sizes of one axis that fit, the others being as they were.

    Up to `checked` they are the `sizes` and those of `spans` whose mark is true, and others
    do not fit: the `refused`, and those of the other spans. Beyond it they repeat with
    `period` in `residues`, which is empty where no more follow.
    """

    name: str
    sizes: tuple[int, ...] = field(repr=False)
    checked: int
    period: int
    residues: tuple[int, ...]
    spans: tuple[tuple[range, bool], ...] = field(default=(), repr=False)
    refused: tuple[int, ...] = field(default=(), repr=False)

    def __contains__(self, size: object) -> bool:
        """Whether a size fits."""
        if not isinstance(size, int) or size < 1:
            return False
        if size > self.checked:
            return size % self.period in self.residues
        place = bisect_left(self.sizes, size)
        return self.sizes[place : place + 1] == (size,) or any(size in r for r in self._fits)

    @property
    def _fits(self) -> Iterator[range]:
        return (span for span, fits in self.spans if fits)

    @property
    def smallest(self) -> int | None:
        """The least size that fits."""
        return min([*self.sizes[:1], *(span[0] for span in self._fits)], default=None)

    def nearest(self, size: int) -> int | None:
        """The size that fits and is nearest to another; of two, the smaller."""
        place = bisect_left(self.sizes, size)
        near = [*self.sizes[max(place - 1, 0) : place + 1]]
        near += [other for span in self._fits for other in _around(span, size)]
        if self.residues:
            start = max(size, self.checked + 1)
            around = range(max(start - self.period, self.checked + 1), start + self.period)
            near += [other for other in around if other in self]
        return min(near, key=lambda other: (abs(other - size), other), default=None)

    def nearest_refused(self, size: int) -> int | None:
        """The size up to `checked` that does not fit and is nearest to another."""
        gaps = (span for span, fits in self.spans if not fits)
        near = [*self.refused, *(other for span in gaps for other in _around(span, size))]
        return min(near, key=lambda other: (abs(other - size), other), default=None)

    def words(self) -> str:
        """`H divisible by 16, at least 32`."""
        if self.smallest is None:
            return f"no {self.name}"
        if not self.residues:
            return f"{self.name} {self._below(self.checked + 1)}"
        start = self._regular()
        text = f"{self.name} {_residues(self.period, self.residues)}"
        if self.period == 1:
            text = f"{self.name} at least {start}"
        elif start > self.period or start not in (self.residues[0], self.period):
            text += f", at least {start}"
        before = self._below(start)
        return f"{text}, and {before}" if before else text

    def _regular(self) -> int:
        """From where on exactly the residues fit."""
        known = [*self.spans, *((range(n, n + 1), True) for n in self.sizes)]
        known += [(range(n, n + 1), False) for n in self.refused]
        # All of a span leave the same remainder: its steps are multiples of the period.
        other = (span[-1] for span, fits in known if fits != self._repeats(span[0]))
        start = max(other, default=0) + 1
        firsts = (n for span, fits in known if fits for n in _around(span, start))
        return min((n for n in firsts if n >= start), default=start)

    def _repeats(self, size: int) -> bool:
        return size % self.period in self.residues

    def _below(self, stop: int) -> str:
        """The sizes that fit below another, in words; empty where there are none."""
        spans = [range(s.start, min(s.stop, stop), s.step) for s in self._fits]
        tried = self.sizes[: bisect_left(self.sizes, stop)]
        listed = [n for n in tried if not any(n in span for span in spans)]
        count = len(listed) + sum(map(len, spans))
        if count > LISTED and any(span.step > 1 for span in spans):
            last = max([*listed[-1:], *(span[-1] for span in spans if span)])
            return f"{count:,} sizes up to {last:,}"
        runs = [span for span in spans if span and span.step == 1]
        single = [n for span in spans if span.step > 1 for n in span]
        runs += [range(n, n + 1) for n in (*listed, *single)]
        return _ranges(runs) if runs else ""

    __str__ = words


def _around(span: range, size: int) -> tuple[int, ...]:
    """The last of a span below a size and the first that is not, where there are such."""
    place = min(max(-((span.start - size) // span.step), 0), len(span))
    return tuple(span[max(place - 1, 0) : place + 1])


def _residues(period: int, residues: tuple[int, ...]) -> str:
    if residues == (0,):
        return "even" if period == 2 else f"divisible by {period}"
    if len(residues) == 1:
        return f"{residues[0]} more than a multiple of {period}"
    return f"≡ {_ranges([range(n, n + 1) for n in residues])} (mod {period})"


def _ranges(found: Iterable[range]) -> str:
    """`223 to 254`, `3, 5 or 9`, of runs of sizes."""
    runs: list[range] = []
    for run in sorted(found, key=lambda run: run.start):
        if runs and run.start <= runs[-1].stop:
            runs[-1] = range(runs[-1].start, max(runs[-1].stop, run.stop))
        else:
            runs.append(run)
    shown = [str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs]
    if len(shown) > 8:
        shown = [*shown[:7], f"{len(shown) - 7} more"]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} or {shown[-1]}"
