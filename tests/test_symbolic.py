"""A `Sym` is its value, and its formula gives that value back under any substitution."""

from __future__ import annotations

import copy
import math
import pickle
from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnndsl.symbolic import (
    Apply,
    Axis,
    Formula,
    Sym,
    Symbol,
    TooManyTermsError,
    axis,
    formula,
    maximum,
    minimum,
    render,
    symbol,
)

NAMES = ("a", "b", "c")
VALUES = st.integers(min_value=-20, max_value=20)
Environment = dict[str, int]
ENVIRONMENTS = st.fixed_dictionaries(dict.fromkeys(NAMES, VALUES))

LEAVES = st.one_of(VALUES.map(str), st.sampled_from(NAMES))
OPERATORS = ("+", "-", "*", "//", "%")


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    infix = st.tuples(inner, st.sampled_from(OPERATORS), inner)
    call = st.tuples(st.sampled_from(("maximum", "minimum")), inner, inner)
    return st.one_of(
        infix.map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        call.map(lambda t: f"{t[0]}({t[1]}, {t[2]})"),
        inner.map(lambda t: f"(-{t})"),
    )


EXPRESSIONS = st.recursive(LEAVES, _grown, max_leaves=8)
PYTHON = {"maximum": max, "minimum": min}
OURS = {"maximum": maximum, "minimum": minimum}


def plain(text: str, environment: Environment) -> int | None:
    """Python's own value; None where it divides by zero."""
    try:
        value = eval(text, dict(PYTHON), dict(environment))
    except ZeroDivisionError:
        return None
    return int(value)


def symbolic(text: str, environment: Environment) -> int:
    """The same, over symbols."""
    symbols = {name: symbol(name, value) for name, value in environment.items()}
    value: int = eval(text, dict(OURS), symbols)
    return value


def bound(environment: Environment) -> dict[Symbol | Axis, int]:
    return {Symbol(name): value for name, value in environment.items()}


@given(EXPRESSIONS, ENVIRONMENTS)
def test_arithmetic_is_that_of_integers(text: str, environment: Environment) -> None:
    expected = plain(text, environment)
    if expected is not None:
        assert symbolic(text, environment) == expected


@given(EXPRESSIONS, ENVIRONMENTS)
def test_the_formula_evaluates_to_the_value(text: str, environment: Environment) -> None:
    if plain(text, environment) is not None:
        value = symbolic(text, environment)
        assert formula(value).evaluate(bound(environment)) == value


@given(EXPRESSIONS, ENVIRONMENTS, ENVIRONMENTS)
def test_substitution_commutes_with_evaluation(
    text: str, first: Environment, second: Environment
) -> None:
    if plain(text, first) is None:
        return
    found = formula(symbolic(text, first))
    expected = plain(text, second)
    if expected is not None:
        assert found.evaluate(bound(second)) == expected


@given(EXPRESSIONS, ENVIRONMENTS)
def test_names_may_stand_for_formulas(text: str, environment: Environment) -> None:
    """What leaves a block: `a` is `2·x + 1` outside."""
    outside = {name: 2 * symbol("x", value) + 1 for name, value in environment.items()}
    inside = {name: int(value) for name, value in outside.items()}
    if plain(text, inside) is not None:
        value = symbolic(text, inside)
        moved = formula(value).evaluate({Symbol(n): v for n, v in outside.items()})
        assert moved == value
        assert formula(moved).atoms() <= {Symbol("x")}


@given(EXPRESSIONS, ENVIRONMENTS)
def test_what_is_rendered_is_python(text: str, environment: Environment) -> None:
    if plain(text, environment) is not None:
        value = symbolic(text, environment)
        scope = {"max": max, "min": min, **environment}
        assert eval(render(formula(value), str), {}, scope) == value


def test_a_sym_is_an_int() -> None:
    value = symbol("c", 7)
    assert isinstance(value, int)
    assert (value, hash(value), str(value)) == (7, hash(7), "7")
    assert value in {7}
    assert [0] * value == [0] * 7


def test_copies_are_plain_numbers() -> None:
    value = symbol("c", 7)
    for copied in (copy.copy(value), copy.deepcopy(value), pickle.loads(pickle.dumps(value))):
        assert type(copied) is int
        assert copied == 7


def test_equal_formulas_are_one() -> None:
    a, b = symbol("a", 2), symbol("b", 3)
    assert formula((a + b) * (a - b)) == formula(a * a - b * b)
    assert hash(formula(a + b)) == hash(formula(b + a))


def test_what_cancels_is_a_plain_number() -> None:
    a = symbol("a", 2)
    assert type(a - a + 5) is int
    assert type(0 * a) is int
    assert type(6 * a // 3 - 2 * a) is int


def test_an_exact_division_leaves_no_floor() -> None:
    a = symbol("a", 2)
    assert str(formula(4 * a // 2)) == "2 * a"
    assert str(formula((4 * a + 6) // 2)) == "2 * a + 3"


def test_two_floors_in_a_row_are_one() -> None:
    height = axis("image", 1, 224)
    assert str(formula(height // 2 // 2)) == "image.shape[1] // 4"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a + b", "a + b"),
        ("2 * a - 1", "2 * a - 1"),
        ("-a", "-a"),
        ("1 - a", "-a + 1"),
        ("a // 2 * 3", "3 * (a // 2)"),
        ("(a + 1) // 2", "(a + 1) // 2"),
        ("a % b", "a % b"),
        ("maximum(a, 1)", "max(a, 1)"),
    ],
)
def test_formulas_read_as_one_would_write_them(text: str, expected: str) -> None:
    assert str(formula(symbolic(text, {"a": 5, "b": 3, "c": 1}))) == expected


def test_an_unbound_name_is_an_error() -> None:
    with pytest.raises(KeyError):
        formula(symbol("a", 1)).evaluate({})


def test_a_formula_does_not_grow_without_bound() -> None:
    sides = [symbol("a", 1) + symbol("b", 1) + symbol("c", 1) - 2] * 100
    with pytest.raises(TooManyTermsError):
        math.prod(sides)


def test_a_nest_of_functions_does_not_grow_without_bound() -> None:
    with pytest.raises(TooManyTermsError):
        reduce(lambda value, _: maximum(value, value + 1) - 1, range(100), symbol("a", 3))


def test_the_atoms_are_found_at_any_depth() -> None:
    value = maximum(symbol("a", 3) // 2, axis("x", 0, 5))
    assert isinstance(value, Sym)
    assert value.formula.atoms() == {Symbol("a"), Axis("x", 0)}
    ((monomial, _),) = value.formula.terms.items()
    assert isinstance(monomial[0], Apply)
    assert Formula({}).constant == 0
