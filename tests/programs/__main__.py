"""`python -m tests.programs --minutes 30`: random programs until the time is over.

What fails is shrunk and printed as a test; the summary groups failures by their kind. Exit
status 1 where a column failed, or an operation or construct of the language never occurred.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress

import torch

from tests.programs import bodies, generate, slots, users
from tests.programs.harness import COLUMNS, Failure, check
from tests.programs.shrink import shrink
from tests.programs.used import Used

SLOW = ("commands", "slow_pictures", "explanations", "pictures", "python_interface")
SLOW += users.SLOW
"""Columns that are asked of every fifth program: they take longer than all others."""


def main() -> int:
    """Run, and say what was found."""
    options = _options()
    torch.set_num_threads(1)
    used, kinds = Used(), Kinds(options.shrink)
    end = time.monotonic() + 60 * options.minutes if options.minutes else float("inf")
    said, count, start = time.monotonic(), 0, time.monotonic()
    with suppress(KeyboardInterrupt):
        for seed, text in programs(options.seed, options.slots):
            if time.monotonic() > end or count == options.count:
                break
            count += 1
            columns = [c for c in options.columns if c not in SLOW or not seed % 5]
            used.add(text)
            for found in check(text, columns, seed):
                kinds.add(found, text, seed)
            if time.monotonic() - said > options.every:
                said = time.monotonic()
                _say(f"{count} programs, {len(kinds.first)} kinds of failure")
    print(kinds.report())
    missing = used.missing()
    if missing:
        print(f"never occurred: {', '.join(missing)}")
    taken = time.monotonic() - start
    print(f"{count} programs in {taken:.0f} s; {sum(kinds.counts.values())} failures of "
          f"{len(kinds.first)} kinds; refused proposals: {dict(bodies.refused)}")  # fmt: skip
    return 1 if kinds.first or (missing and count >= 500) else 0


def programs(seed: int, with_slots: bool) -> Iterator[tuple[int, str]]:
    """The programs with two instances that differ in one slot, then random ones."""
    if with_slots:
        for number, text in enumerate(slots.programs()):
            yield seed + number, text
    while True:
        yield seed, generate.generate(seed)
        seed += 1


class Kinds:
    """Failures by kind: how many, and the first of each, shrunk."""

    def __init__(self, tries: int) -> None:
        """`tries` bounds the shrinking of one."""
        self.tries = tries
        self.counts: Counter[str] = Counter()
        self.first: dict[str, str] = {}

    def add(self, found: Failure, text: str, seed: int) -> None:
        """Count a failure; the first of its kind is shrunk and printed."""
        self.counts[found.kind] += 1
        if found.kind in self.first:
            return
        _say(f"seed {seed}: {found}")

        def fails(smaller: str) -> bool:
            again = check(smaller, [found.column], seed)
            return any(one.kind == found.kind for one in again)

        small = shrink(text, fails, self.tries) if self.tries and fails(text) else text
        again = [one for one in check(small, [found.column], seed) if one.kind == found.kind]
        self.first[found.kind] = test = written(next(iter(again), found), small, seed)
        print(test, flush=True)

    def report(self) -> str:
        """The kinds, the most frequent first."""
        lines = [f"{count:6}  {kind}" for kind, count in self.counts.most_common()]
        return "\n".join(["", "kinds of failure:", *lines])


def written(found: Failure, text: str, seed: int) -> str:
    """A failure as a test."""
    name = "_".join(found.column.split("_"))
    return (
        f"\n# {found}\ndef test_{name}_of_program_{seed}() -> None:\n"
        f"    assert_right('''\n{text.strip()}\n''', [\"{found.column}\"], {seed})\n"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.programs", description=__doc__)
    parser.add_argument("--minutes", type=float, help="run for so long")
    parser.add_argument("--count", type=int, help="run so many programs")
    parser.add_argument("--seed", type=int, default=0, help="of the first program")
    parser.add_argument("--columns", default=list(COLUMNS), type=lambda text: text.split(","),
                        help=f"only these, of {', '.join(COLUMNS)}")  # fmt: skip
    parser.add_argument("--slots", action="store_true", help="first two instances by slot")
    parser.add_argument("--shrink", type=int, default=1500, help="tries for each kind")
    parser.add_argument("--every", type=float, default=60, help="seconds between two reports")
    options = parser.parse_args()
    if options.minutes is None and options.count is None:
        options.count = 300
    return options


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
