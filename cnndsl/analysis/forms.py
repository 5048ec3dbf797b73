"""Formulas as one would write them: floors brought to one form, printed as `⌈H/2⌉`.

A `Form` is a sum of products that are kept as products, `576(H − 2)(W − 2) + 512`, so
that each term can be read as what it is: a number for each position of a feature map.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cnndsl.graph import Decided
from cnndsl.symbolic import (
    ONE,
    RELATIONS,
    Apply,
    Atom,
    Axis,
    Formula,
    Monomial,
    Sym,
    Symbol,
    formula,
    made,
    plus,
    simple,
    times,
)


def normal(value: int) -> int:
    """A number whose formula is in normal form; equal sizes then have equal formulas."""
    if not isinstance(value, Sym):
        return int(value)
    return made(int(value), _normal(value.formula, {}).terms)


def _normal(written: Formula, done: dict[Formula, Formula]) -> Formula:
    known = done.get(written)
    if known is not None:
        return known
    total: dict[Monomial, int] = {}
    for monomial, coefficient in written.terms.items():
        product = {ONE: coefficient}
        for atom in monomial:
            product = times(product, _atom(atom, done).terms)
        total = plus(total, product)
    done[written] = found = Formula(total)
    return found


def _atom(atom: Atom, done: dict[Formula, Formula]) -> Formula:
    if not isinstance(atom, Apply):
        return Formula({(atom,): 1})
    arguments = tuple(_normal(argument, done) for argument in atom.arguments)
    if atom.function == "//" and (divisor := arguments[1].constant) and divisor > 0:
        return _floor(arguments[0], divisor)
    if atom.function in ("min", "max"):
        return _extreme(atom.function, arguments)
    return Formula({(Apply(atom.function, arguments),): 1})


def _floor(dividend: Formula, divisor: int) -> Formula:
    """⌊dividend / divisor⌋: what divides is taken out, and floors of floors are one."""
    whole: dict[Monomial, int] = {}
    rest: dict[Monomial, int] = {}
    for monomial, coefficient in dividend.terms.items():
        quotient, left = divmod(coefficient, divisor)
        if monomial == ONE or not left:
            whole[monomial] = quotient
        if left:
            rest[monomial] = left if monomial == ONE else coefficient
    whole = {monomial: coefficient for monomial, coefficient in whole.items() if coefficient}
    constant = rest.pop(ONE, 0)
    if not rest:
        return Formula(whole)
    inner = _only_floor(rest)
    if inner is not None:
        # ⌊(⌊E / m⌋ + c) / d⌋ = ⌊(E + c·m) / (m·d)⌋
        below, m = inner
        moved = Formula(plus(below.terms, {ONE: constant * m} if constant else {}))
        return Formula(plus(whole, _floor(moved, m * divisor).terms))
    common = math.gcd(divisor, *rest.values())
    if common > 1:
        rest = {monomial: coefficient // common for monomial, coefficient in rest.items()}
        shrunk = Formula(plus(rest, {ONE: constant // common}))
        return Formula(plus(whole, _floor(shrunk, divisor // common).terms))
    inside = Formula(plus(rest, {ONE: constant}))
    atom = Apply("//", (inside, Formula({ONE: divisor})))
    return Formula(plus(whole, {(atom,): 1}))


def _only_floor(terms: dict[Monomial, int]) -> tuple[Formula, int] | None:
    """The dividend and divisor, where the terms are one floor and nothing else."""
    if len(terms) != 1:
        return None
    ((monomial, coefficient),) = terms.items()
    if coefficient != 1 or len(monomial) != 1:
        return None
    (atom,) = monomial
    if not isinstance(atom, Apply) or atom.function != "//":
        return None
    divisor = atom.arguments[1].constant
    return (atom.arguments[0], divisor) if divisor else None


def _extreme(function: str, arguments: tuple[Formula, ...]) -> Formula:
    """A minimum or maximum of sizes a constant apart is one of them."""
    distinct = list(dict.fromkeys(arguments))
    best = distinct[0]
    for other in distinct[1:]:
        apart = Formula(plus(other.terms, {m: -c for m, c in best.terms.items()})).constant
        if apart is None:
            return Formula({(Apply(function, tuple(distinct)),): 1})
        if (apart < 0) == (function == "min"):
            best = other
    return best


@dataclass(frozen=True, slots=True)
class Form:
    """Σ coefficient · ∏ factors, in the order in which the terms were added.

    `names` spells the atoms: the sizes of the model's inputs by their names.
    """

    terms: dict[tuple[Formula, ...], int]
    names: Mapping[Axis | Symbol, str] = field(default_factory=dict, repr=False)

    def at(self, sizes: Mapping[str, int]) -> int:
        """The value where the sizes are these.  Raises KeyError: one is missing."""
        bindings = {atom: sizes[name] for atom, name in self.names.items() if name in sizes}
        return sum(
            coefficient * math.prod(int(factor.evaluate(bindings)) for factor in factors)
            for factors, coefficient in self.terms.items()
        )

    @property
    def constant(self) -> bool:
        """Whether it depends on no size."""
        return not any(self.terms.keys() - {()})

    def __add__(self, other: Form) -> Form:
        """The sum."""
        terms = dict(self.terms)
        for factors, coefficient in other.terms.items():
            terms[factors] = terms.get(factors, 0) + coefficient
        return Form(terms, self.names or other.names)

    def __str__(self) -> str:
        """`9408⌈H/2⌉⌈W/2⌉ + 512000`: the constant last."""
        ordered = sorted(self.terms.items(), key=lambda item: not item[0])
        parts = [(c, [_spell(f, self.names) for f in fs]) for fs, c in ordered if c]
        return _sum(parts) if parts else "0"


def size_form(value: int, names: Mapping[Axis | Symbol, str]) -> Form:
    """A size, term by term."""
    terms = formula(value).terms
    return Form(
        {tuple(Formula({(a,): 1}) for a in monomial): c for monomial, c in terms.items()}, names
    )


def product_of(coefficient: int, factors: Sequence[Formula]) -> tuple[tuple[Formula, ...], int]:
    """A term: numbers drawn out of the factors, single names first, sums as they are."""
    atoms: list[Formula] = []
    sums: list[Formula] = []
    for factor in factors:
        content = math.gcd(*factor.terms.values())
        coefficient *= content
        terms = {monomial: c // content for monomial, c in factor.terms.items()}
        (first, sign), *rest = terms.items()
        if rest:
            sums.append(Formula(terms))
            continue
        coefficient *= sign
        atoms += [Formula({(atom,): 1}) for atom in first]
    names = [atom for atom in atoms if _only_names(atom)]
    maps = [atom for atom in atoms if not _only_names(atom)]
    return (*names, *maps, *sums), coefficient


def _only_names(factor: Formula) -> bool:
    return all(isinstance(atom, Symbol) for atom in factor.atoms())


def _sum(parts: list[tuple[int, list[str]]]) -> str:
    text = ""
    for coefficient, factors in parts:
        sign = " − " if coefficient < 0 else " + "
        text += (sign if text else "−" if coefficient < 0 else "") + _product(
            abs(coefficient), factors
        )
    return text


def _product(coefficient: int, factors: list[str]) -> str:
    """`9408⌈H/2⌉²`, `512·classes`, `H(W − 4)`."""
    shown: list[str] = []
    for factor in dict.fromkeys(factors):
        count = factors.count(factor)
        shown.append(factor + (str(count).translate(_SUPERSCRIPT) if count > 1 else ""))
    text = str(coefficient) if coefficient != 1 or not shown else ""
    for factor in shown:
        # Names of several letters need a sign between them: `512·classes`.
        long = len(factor.rstrip("²³")) > 1 and (factor[0].isalnum() or factor[0] == "_")
        apart = bool(text) and (long or text[-1].isalpha())
        text += ("·" if apart else "") + factor
    return text


_SUPERSCRIPT = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def _spell(written: Formula, names: Mapping[Axis | Symbol, str]) -> str:
    """A factor: in parentheses where it is a sum."""
    text = spell_formula(written, names)
    return f"({text})" if len(written.terms) > 1 else text


def spell_formula(written: Formula, names: Mapping[Axis | Symbol, str]) -> str:
    """A formula in the field's notation: `⌈(H − 3)/4⌉ + 1`."""
    ordered = sorted(written.terms.items(), key=lambda term: (not term[0], term[1] < 0))
    parts = [(c, [_spell_atom(atom, names) for atom in monomial]) for monomial, c in ordered]
    return _sum(parts) if parts else "0"


def _spell_atom(atom: Atom, names: Mapping[Axis | Symbol, str]) -> str:
    if not isinstance(atom, Apply):
        return names.get(atom, str(atom))
    if atom.function == "//" and (divisor := atom.arguments[1].constant):
        return _spell_quotient(atom.arguments[0], divisor, names)
    inside = [spell_formula(argument, names) for argument in atom.arguments]
    if atom.function in RELATIONS:
        left, right = inside
        return f"({left} {RELATION_SIGNS[atom.function]} {right})"
    if atom.function in ("//", "%"):
        left, right = (
            text if simple(argument) else f"({text})"
            for argument, text in zip(atom.arguments, inside, strict=True)
        )
        return f"⌊{left}/{right}⌋" if atom.function == "//" else f"({left} mod {right})"
    return f"{atom.function}({', '.join(inside)})"


RELATION_SIGNS = {"<": "<", "<=": "≤", ">": ">", ">=": "≥", "==": "="}
OPPOSITE = {"<": "≥", "<=": ">", ">": "≤", ">=": "<", "==": "≠"}


def spell_decided(decided: Decided, names: Mapping[Axis | Symbol, str]) -> str:
    """What a size decided, as the condition under which it does: `H > 8`, `⌊H/2⌋ = 4`."""
    (monomial, *rest) = decided.formula.terms
    atom = monomial[0] if len(monomial) == 1 and not rest else None
    if isinstance(atom, Apply) and atom.function in RELATIONS:
        left, right = (spell_formula(side, names) for side in atom.arguments)
        signs = RELATION_SIGNS if decided.value else OPPOSITE
        return f"{left} {signs[atom.function]} {right}"
    return f"{spell_formula(decided.formula, names)} = {decided.value}"


def _spell_quotient(dividend: Formula, divisor: int, names: Mapping[Axis | Symbol, str]) -> str:
    """⌊(E + r)/d⌋ or ⌈(E − s)/d⌉, whichever has the smaller constant."""
    constant = dividend.terms.get(ONE, 0)
    rest = {monomial: c for monomial, c in dividend.terms.items() if monomial != ONE}
    up = 0 <= constant < divisor and divisor - 1 - constant < constant
    shift = constant - (divisor - 1) if up else constant
    inside = spell_formula(Formula(plus(rest, {ONE: shift})), names)
    single = len(rest) == 1 and not shift
    inside = inside if single else f"({inside})"
    return f"⌈{inside}/{divisor}⌉" if up else f"⌊{inside}/{divisor}⌋"
