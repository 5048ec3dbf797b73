"""What is said of an operation: all that makes it another one."""

from __future__ import annotations

from itertools import combinations

import pytest

from cnndsl.diagnostics import OpError
from cnndsl.ops.base import BEGINNINGS, Op
from cnndsl.ops.words import Named, Words
from tests.ops.cases import CASES, Case, identifier, made

SAME = {"flatten"}
"""Words that several spellings of one thing share."""


def changed(value: object) -> list[object]:
    """Other values of an attribute."""
    match value:
        case bool():
            return [not value]
        case int() | float():
            return [value + 1, value + 2]
        case str():
            return [f"{value} x"]
        case tuple() if value and all(isinstance(v, int | float) for v in value):
            return [tuple(v + 1 for v in value), (value[0] + 3, *value[1:])]
        case tuple() if value and all(isinstance(v, tuple) for v in value):
            more = tuple(changed(v)[0] for v in value)
            return [more, (more[0], *value[1:])]
    return [1]


def allowed(op: Op) -> bool:
    """Whether its attributes go together: anchors have sizes, or a width and a height."""
    try:
        op.figure()
    except OpError:
        return False
    return True


@pytest.mark.parametrize("case", CASES, ids=identifier)
def test_another_value_of_any_attribute_makes_other_words(case: Case) -> None:
    op = made(case[0], case[1], *case[2])
    others = [
        op.with_values({p.name: value})
        for p in op.parameters
        if p.type != "Any" and "Init" not in p.type  # no part of what is computed
        for value in changed(getattr(op, p.name))
    ]
    every = [one for one in {op, *others} if allowed(one)]
    assert len({str(one.said()) for one in every}) == len(every)


def test_unequal_operations_have_other_words() -> None:
    found: dict[Op, str] = {op: str(op.said()) for op in (made(n, a, *s) for n, a, s in CASES)}
    for (one, said), (two, other) in combinations(found.items(), 2):
        assert said != other or said in SAME or begins_apart(one, two), (one, two)


def begins_apart(one: Op, two: Op) -> bool:
    """Whether what their weights begin with is all that parts them."""
    bare = dict.fromkeys(BEGINNINGS.values())
    return type(one) is type(two) and one.with_values(bare) == two.with_values(bare)


@pytest.mark.parametrize(
    ("name", "arguments", "text"),
    [
        ("conv", {"out": 64, "kernel": 3}, "3×3, 64"),
        ("conv", {"out": 64, "kernel": 3, "dilation": 12}, "3×3, 64 · rate 12"),
        ("conv", {"out": 64, "kernel": 3, "groups": 2}, "3×3, 64 · 2 groups"),
        ("conv", {"out": 64, "kernel": 3, "pad": ((0, 0), (0, 0))}, "3×3, 64 · valid"),
        ("conv", {"out": 64, "kernel": 3, "stride": (2, 1)}, "3×3, 64 /2×1"),
        ("deconv", {"out": 8, "kernel": 4, "stride": 2, "pad": 1}, "up 4×4, 8 ↑2 · pad 1"),
        ("maxpool", {"kernel": 3, "stride": 2, "ceil": True}, "max 3×3 /2 · ceil"),
        ("upsample", {"mode": "bilinear"}, "bilinear ↑2"),
        ("resize", {"size": (65, 65)}, "nearest 65²"),
    ],
)
def test_attributes_are_said_as_papers_do(
    name: str, arguments: dict[str, object], text: str
) -> None:
    assert str(made(name, arguments, (4, 30, 30)).said()) == text


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("c h w -> (c h w)", "flatten"),
        ("c ... -> c (...)", "flatten places"),
        ("c h w -> c (h w)", "flatten h w"),
        ("c h w -> (h w) c", "flatten h w, channels last"),
        ("k h w -> (h w) k", "flatten h w, k last"),
        ("c h w -> h w c", "channels last"),
        ("h w v -> v h w", "v first"),
        ("a b -> b a", "transpose"),
        ("a b c -> c b a", "transpose · a b c → c b a"),
        ("c -> c 1 1", "reshape · c → c 1 1"),
        ("h w c -> (h w) c", "rows of c · h w c → (h w) c"),
        ("(a b) c -> c (a b)", "rearrange · (a b) c → c (a b)"),
    ],
)
def test_a_rearrangement_is_said_in_words(pattern: str, text: str) -> None:
    assert str(made("rearrange", {"pattern": pattern}).said()) == text


def test_of_a_long_list_the_ends_are_said() -> None:
    assert str(made("values", {"numbers": (0.0, 1.0, 2.0, 3.0)}).said()) == "values 0, 1, 2, 3"
    assert (
        str(made("values", {"numbers": (*map(float, range(16)),)}).said())
        == "16 values, 0 to 15"
    )


def test_a_kernel_of_one_axis_says_what_it_is_of() -> None:
    assert str(made("conv", {"out": 64, "kernel": 1}, (3, 30)).said()) == "conv 1, 64"


def test_a_number_may_be_said_by_its_name() -> None:
    conv = made("conv", {"out": 64, "kernel": 3, "groups": 4}, (8, 9, 9))
    named = conv.with_values(
        {"out": Named("c"), "stride": (Named("s"),) * 2, "groups": Named("groups")}
    )
    assert named.said() == Words("3×3, c /s", ("groups",))
