"""Integers that remember the formula they came from.

A `Sym` is an `int`: it compares, hashes and prints as its value, so an operation's shape
rule is written once, for plain numbers. Arithmetic on it also carries a `Formula`, a
polynomial over the names of the block it stands in (its parameters, the sizes of its
inputs). Leaving the block evaluates the formula over what the names were bound to.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Union

from cnndsl.records import Record, record

Atom = Union["Symbol", "Axis", "Apply"]
Monomial = tuple[Atom, ...]


@record
class Symbol(Record):
    """A parameter, a `let` or a loop variable of the block."""

    name: str

    def __str__(self) -> str:
        """The name."""
        return self.name


@record
class Axis(Record):
    """The size of one axis (0 is channels) of a tensor that the block names."""

    tensor: str
    axis: int

    def __str__(self) -> str:
        """`up.shape[1]`."""
        return f"{self.tensor}.shape[{self.axis}]"


@record
class Apply(Record):
    """A function of formulas that is no polynomial: `//`, `%`, `max`, `min`, a named one."""

    function: str
    arguments: tuple[Formula, ...]

    @property
    def weight(self) -> int:
        """The names and numbers in it."""
        return 1 + sum(argument.weight for argument in self.arguments)

    def __str__(self) -> str:
        """Infix for the two operators."""
        if self.function in ("//", "%"):
            left, right = self.arguments
            spelled = f"({left})" if len(left.terms) > 1 else str(left)
            return f"{spelled} {self.function} {right if simple(right) else f'({right})'}"
        return f"{self.function}({', '.join(map(str, self.arguments))})"


class TooManyTermsError(ArithmeticError):
    """A formula that no one means: it would grow without bound."""


MAX_WEIGHT = 2_000


class Formula:
    """A polynomial with integer coefficients; `terms` maps monomials to coefficients."""

    __slots__ = ("_hash", "terms", "weight")

    def __init__(self, terms: dict[Monomial, int]) -> None:
        """Take the terms as they are: no zero coefficient, each monomial sorted.

        Raises TooManyTermsError: its names and numbers are more than `MAX_WEIGHT`.
        """
        self.terms = terms
        self.weight = len(terms)
        for monomial in terms:
            for atom in monomial:
                self.weight += atom.weight if isinstance(atom, Apply) else 1
        if self.weight > MAX_WEIGHT:
            raise TooManyTermsError
        self._hash: int | None = None

    def __hash__(self) -> int:
        """Equal formulas hash alike."""
        if self._hash is None:
            self._hash = hash(frozenset(self.terms.items()))
        return self._hash

    def __eq__(self, other: object) -> bool:
        """Equality of the normal forms."""
        return isinstance(other, Formula) and self.terms == other.terms

    def __str__(self) -> str:
        """As one would write it: `4 * c + 1`."""
        return render(self, str)

    __repr__ = __str__

    @property
    def constant(self) -> int | None:
        """Its value, where it mentions no name."""
        if not self.terms:
            return 0
        return self.terms.get(()) if len(self.terms) == 1 else None

    def atoms(self) -> set[Symbol | Axis]:
        """The names and axes that it mentions, at any depth."""
        found: set[Symbol | Axis] = set()
        for monomial in self.terms:
            for atom in monomial:
                if isinstance(atom, Apply):
                    for argument in atom.arguments:
                        found |= argument.atoms()
                else:
                    found.add(atom)
        return found

    def evaluate(self, bindings: Mapping[Symbol | Axis, int]) -> int:
        """Its value, or a `Sym` where a binding is one.  Unbound names stay as they are.

        Raises KeyError: a name is not bound.
        """
        total: int = 0
        for monomial, coefficient in self.terms.items():
            product: int = coefficient
            for atom in monomial:
                if isinstance(atom, Apply):
                    values = [a.evaluate(bindings) for a in atom.arguments]
                    product = FUNCTIONS[atom.function](*values) * product
                else:
                    product = bindings[atom] * product
            total = total + product
        return total


def render(formula: Formula, atom: Callable[[Atom], str]) -> str:
    """A formula as infix text that Python reads too; `atom` spells the atoms."""
    parts: list[str] = []
    # Names before the constant, positive before negative: `c - 1`, not `-1 + c`.
    ordered = sorted(formula.terms.items(), key=lambda term: (not term[0], term[1] < 0))
    for monomial, coefficient in ordered:
        # `-(a // b)`: a leading minus binds tighter than `//`.
        inside = len(monomial) > 1 or abs(coefficient) != 1 or (coefficient < 0 and not parts)
        factors = [_factor(a, atom, inside) for a in monomial]
        if abs(coefficient) != 1 or not factors:
            factors.insert(0, str(abs(coefficient)))
        sign = "-" if coefficient < 0 else "+"
        parts += [sign, " * ".join(factors)]
    if not parts:
        return "0"
    text = " ".join(parts)
    return text[2:] if text.startswith("+") else "-" + text[2:]


def simple(formula: Formula) -> bool:
    """Whether it stands on the right of `//` without parentheses: a name or a number."""
    if formula.constant is not None:
        return True
    ((monomial, coefficient), *rest) = formula.terms.items()
    infix = isinstance(monomial[0], Apply) and monomial[0].function in ("//", "%")
    return not rest and coefficient == 1 and len(monomial) == 1 and not infix


def _factor(item: Atom, atom: Callable[[Atom], str], inside: bool) -> str:
    text = atom(item)
    infix = isinstance(item, Apply) and item.function in ("//", "%")
    return f"({text})" if infix and inside else text


ONE: Monomial = ()
"""Of no atoms: the monomial of the constant."""


def _key(atom: Atom) -> tuple[int, str]:
    """Names before sizes before functions: `t * in_channels`."""
    return ((Symbol, Axis, Apply).index(type(atom)), str(atom))


def formula(value: int) -> Formula:
    """The formula of a number; a constant where it has none."""
    if isinstance(value, Sym):
        return value.formula
    return Formula({ONE: int(value)} if value else {})


class Sym(int):
    """An integer with its formula."""

    formula: Formula

    def __new__(cls, value: int, formula: Formula) -> Sym:
        """Pair a value with the formula it came from."""
        self = super().__new__(cls, value)
        self.formula = formula
        return self

    def __reduce__(self) -> tuple[type[int], tuple[int]]:
        """Pickled and copied as the plain number."""
        return int, (int(self),)

    def __add__(self, other: int) -> int:
        """The sum, with its formula."""
        return _add(self, other) if isinstance(other, int) else NotImplemented

    def __radd__(self, other: int) -> int:
        """The sum, the written order kept."""
        return _add(other, self) if isinstance(other, int) else NotImplemented

    def __sub__(self, other: int) -> int:
        """The difference."""
        return _add(self, -other) if isinstance(other, int) else NotImplemented

    def __rsub__(self, other: int) -> int:
        """The difference."""
        return _add(other, -self) if isinstance(other, int) else NotImplemented

    def __neg__(self) -> int:
        """The negative."""
        return _mul(self, -1)

    def __mul__(self, other: int) -> int:
        """The product."""
        return _mul(self, other) if isinstance(other, int) else NotImplemented

    def __rmul__(self, other: int) -> int:
        """The product, the written order kept."""
        return _mul(other, self) if isinstance(other, int) else NotImplemented

    def __floordiv__(self, other: int) -> int:
        """The floor of the quotient."""
        return _floordiv(self, other) if isinstance(other, int) else NotImplemented

    def __rfloordiv__(self, other: int) -> int:
        """The floor of the quotient."""
        return _floordiv(other, self) if isinstance(other, int) else NotImplemented

    def __mod__(self, other: int) -> int:
        """The remainder."""
        return _mod(self, other) if isinstance(other, int) else NotImplemented

    def __rmod__(self, other: int) -> int:
        """The remainder."""
        return _mod(other, self) if isinstance(other, int) else NotImplemented


class List(tuple[Any, ...]):
    """The value of a list: written `[4, 6]`, where a size, a plain tuple, is `4x6`."""

    __slots__ = ()


def listed_as(value: tuple[Any, ...], items: Iterable[Any]) -> tuple[Any, ...]:
    """Other items as a list, if a value is one."""
    return List(items) if isinstance(value, List) else tuple(items)


def strip(value: Any) -> Any:
    """A value, or a tuple of values, without the formulas that they carry."""
    if isinstance(value, Sym):
        return int(value)
    if isinstance(value, tuple):
        return listed_as(value, map(strip, value))
    return value


def symbol(name: str, value: int) -> Sym:
    """A number that is known by a name of its block."""
    return Sym(int(value), Formula({(Symbol(name),): 1}))


def axis(tensor: str, number: int, value: int) -> Sym:
    """The size of a named tensor's axis."""
    return Sym(int(value), Formula({(Axis(tensor, number),): 1}))


def is_axis(formula: Formula) -> bool:
    """Whether a formula is nothing but the size of one axis."""
    ((monomial, coefficient),) = (
        formula.terms.items() if len(formula.terms) == 1 else (((), 0),)
    )
    return coefficient == 1 and len(monomial) == 1 and isinstance(monomial[0], Axis)


def made(value: int, terms: dict[Monomial, int]) -> int:
    """A `Sym`, or the plain number where the formula is constant."""
    if not terms or (len(terms) == 1 and ONE in terms):
        return int(value)
    return Sym(value, Formula(terms))


def apply(function: str, value: int, *arguments: int) -> int:
    """The value of a named function, remembered as such where an argument is a `Sym`."""
    if not any(isinstance(a, Sym) for a in arguments):
        return int(value)
    atom = Apply(function, tuple(formula(a) for a in arguments))
    return Sym(int(value), Formula({(atom,): 1}))


def _add(left: int, right: int) -> int:
    value = int(left) + int(right)
    if not isinstance(right, Sym):
        return _moved(left, right, value)
    if not isinstance(left, Sym):
        return _moved(right, left, value)
    return made(value, plus(left.formula.terms, right.formula.terms))


def _moved(size: int, by: int, value: int) -> int:
    """`size + by`, where `by` is a number, as in most sums."""
    assert isinstance(size, Sym)
    if not by:
        return size
    terms = dict(size.formula.terms)
    constant = terms.pop(ONE, 0) + by
    if constant:
        terms[ONE] = int(constant)
    return Sym(value, Formula(terms))


def plus(left: Mapping[Monomial, int], right: Mapping[Monomial, int]) -> dict[Monomial, int]:
    """The terms of a sum."""
    total = dict(left)
    for monomial, coefficient in right.items():
        total[monomial] = total.get(monomial, 0) + coefficient
        if not total[monomial]:
            del total[monomial]
    return total


def times(left: Mapping[Monomial, int], right: Mapping[Monomial, int]) -> dict[Monomial, int]:
    """The terms of a product."""
    total: dict[Monomial, int] = {}
    for m, a in left.items():
        for n, b in right.items():
            monomial = tuple(sorted(m + n, key=_key)) if m and n else m or n
            total[monomial] = total.get(monomial, 0) + a * b
    return {monomial: coefficient for monomial, coefficient in total.items() if coefficient}


def _mul(left: int, right: int) -> int:
    value = int(left) * int(right)
    if not isinstance(right, Sym):
        return _scaled(left, right, value)
    if not isinstance(left, Sym):
        return _scaled(right, left, value)
    return made(value, times(left.formula.terms, right.formula.terms))


def _scaled(size: int, by: int, value: int) -> int:
    """`size * by`, where `by` is a number."""
    assert isinstance(size, Sym)
    if by == 1:
        return size
    if not by:
        return 0
    return Sym(value, Formula({m: int(a * by) for m, a in size.formula.terms.items()}))


def _floordiv(left: int, right: int) -> int:
    value = int(left) // int(right)
    divisor = formula(right).constant
    if divisor is None:
        return apply("//", value, left, right)
    if divisor == 1:
        return left
    # floor((d·q + r) / d) = q + floor(r / d): what divides exactly leaves the floor.
    whole: dict[Monomial, int] = {}
    rest: dict[Monomial, int] = {}
    for monomial, coefficient in formula(left).terms.items():
        part = whole if coefficient % divisor == 0 else rest
        part[monomial] = coefficient // divisor if part is whole else coefficient
    if not any(rest.keys() - {ONE}):
        constant = rest.get(ONE, 0) // divisor + whole.pop(ONE, 0)
        return made(value, {**whole, **({ONE: constant} if constant else {})})
    atom = _quotient(Formula(rest), divisor)
    return made(value, plus(whole, {(atom,): 1}))


def _quotient(dividend: Formula, divisor: int) -> Atom:
    """`dividend // divisor`; two floors in a row are one: `x // 2 // 2` is `x // 4`."""
    if len(dividend.terms) == 1:
        ((monomial, coefficient),) = dividend.terms.items()
        inner = monomial[0] if len(monomial) == 1 and coefficient == 1 else None
        if isinstance(inner, Apply) and inner.function == "//":
            before = inner.arguments[1].constant
            if before is not None and before > 0 and divisor > 0:
                return _quotient(inner.arguments[0], before * divisor)
    return Apply("//", (dividend, Formula({ONE: divisor})))


def _mod(left: int, right: int) -> int:
    value = int(left) % int(right)
    divisor = formula(right).constant
    if divisor is not None:
        terms = {m: c for m, c in formula(left).terms.items() if c % divisor}
        if not terms.keys() - {ONE}:
            return value
    return apply("%", value, left, right)


def maximum(*values: int) -> int:
    """The largest, with its formula."""
    return apply("max", max(values), *values)


def minimum(*values: int) -> int:
    """The smallest, with its formula."""
    return apply("min", min(values), *values)


RELATIONS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
}


def compared(relation: str, left: int, right: int) -> int:
    """1 where the relation holds, else 0, with its formula."""
    return apply(relation, RELATIONS[relation](int(left), int(right)), left, right)


FUNCTIONS: dict[str, Callable[..., int]] = {
    "//": lambda a, b: a // b,
    "%": lambda a, b: a % b,
    "max": maximum,
    "min": minimum,
    **{relation: partial(compared, relation) for relation in RELATIONS},
}
