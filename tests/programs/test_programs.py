"""A few hundred random programs, and two instances that differ in each slot.

`python -m tests.programs --minutes 30` asks all columns of fresh ones, and shrinks what fails.
"""

from __future__ import annotations

from itertools import chain

import pytest

from tests.programs import operations, slots, users
from tests.programs.generate import generate
from tests.programs.harness import COLUMNS, assert_right, check
from tests.programs.shrink import shrink
from tests.programs.used import Used, everything

IN_SUITE = ("interpreter", "plan", "plan_single")
"""The columns of every program."""
WRITTEN = ("pytorch", "optimized", "source", "keys", "parameters")
"""Those of every fifth random program: each makes files and runs them."""
WHOLE = (1, 2, 3)
"""The random programs that are asked all columns: commands and pictures take a second each."""
SEEDS = 230
"""Random programs."""


def test_programs_of_every_construct_and_operation() -> None:
    used, found = Used(), set()
    pairs = enumerate(slots.programs())
    for seed, text in chain(pairs, ((seed, generate(seed)) for seed in range(SEEDS))):
        used.add(text)
        found |= {f"seed {seed}: {why}\n{text}" for why in check(text, IN_SUITE, seed)}
    assert not found, "\n\n".join(sorted(found))
    assert not used.missing()


@pytest.mark.parametrize("seed", range(0, SEEDS, 5))
def test_what_is_written_of_random_programs(seed: int) -> None:
    assert_right(generate(seed), WRITTEN, seed)


@pytest.mark.parametrize("seed", range(0, SEEDS, 15))
def test_labels_of_random_programs_as_outputs(seed: int) -> None:
    assert_right(generate(seed), ["outputs_at"], seed)


@pytest.mark.parametrize("seed", WHOLE)
def test_every_column_of_a_random_program_holds(seed: int) -> None:
    assert_right(generate(seed), [name for name in COLUMNS if name != "slow_pictures"], seed)


def test_a_program_is_that_of_its_seed() -> None:
    assert generate.__wrapped__(7) == generate(7)


def test_what_is_there_to_use_is_read_from_the_language() -> None:
    found = everything()
    assert {f"operation {name}" for name in operations.NAMES} <= set(found)
    used = Used()
    used.add("model M: image[3, H=8] -> y { y: image -> conv(2, 1, bias=false) }")
    missing = set(used.missing())
    assert "conv(bias=)" not in missing
    assert "operation conv" not in missing
    assert "conv(groups=)" in missing


def test_a_failure_is_shrunk_to_what_it_needs() -> None:
    def fails(smaller: str) -> bool:
        return not check(smaller, ["interpreter"]) and "sigmoid" in smaller

    text = next(text for text in map(generate, range(200)) if len(text) < 600 and fails(text))
    assert len(shrink(text, fails, 800)) < 100


def test_the_suite_names_columns_that_there_are() -> None:
    assert {*IN_SUITE, *WRITTEN, *users.SLOW} <= set(COLUMNS)
