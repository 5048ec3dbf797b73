"""One block for all instances of a class: what varies is a parameter, or a formula of one.

A number that is the same everywhere is written; one that follows the channels that enter, or
another parameter, is `in.c`, `4 * c` or `c // 4`; the rest are parameters. What only some
instances have is kept by a condition that tells exactly these apart, `when in.c == 4 * c`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import field
from itertools import chain, combinations
from typing import Any

from cnndsl.importing.flow import RESERVED
from cnndsl.importing.grids import Grid
from cnndsl.importing.terms import (
    Body,
    Chain,
    Column,
    Named,
    Sides,
    Some,
    Step,
    Then,
    names_of,
    steps,
)
from cnndsl.ops.base import OPS
from cnndsl.records import Record, record

MOST = 16
"""The largest factor between two numbers that is taken for a rule."""
PRIMES = (2, 3, 5, 7)
"""Prime factors of the numbers that people divide channels by: nobody divides by 17."""
NAMES = {
    "out": "c",
    "sections": "n",
    "sections[": "c",
    "sizes": "size",
    "kernel": "k",
    "stride": "s",
    "dilation": "d",
    "groups": "g",
    "multiplier": "m",
    "norm": "norm",
    "act": "act",
    "*": "n",
    "eps": "eps",
    "bias": "bias",
    "pad": "pad",
}
"""How a parameter is called after the argument that it is first used as."""
WINDOW = frozenset({"kernel", "stride", "dilation", "pad", "factor", "k", "s", "d"})
"""Arguments about places; one parameter is not both such a number and one of channels."""


@record(frozen=False)
class Parameter(Record):
    """A parameter of a block: what each instance gives."""

    name: str
    column: Column
    default: Any = ...
    window: bool = False
    """Whether it says something about places, not channels."""

    def __hash__(self) -> int:
        """By name, which is unique in a block."""
        return hash(self.name)


@record(frozen=False)
class Block(Record):
    """A block that was found: its template, and the formulas of its places."""

    name: str
    body: Body
    parameters: list[Parameter] = field(default_factory=list)
    formulas: dict[int, str] = field(default_factory=dict)
    """The formula of each column that varies, by the column's identity."""
    conditions: dict[tuple[Some, Some], str] = field(default_factory=dict)
    """What tells some instances from the others of a chain."""
    grid: Grid | None = None
    """Its lines, where it takes any number of inputs."""
    leaves: dict[str, str] = field(default_factory=dict)
    """The outputs that have the name of an input outside, since the next call takes them."""

    def call(self, instance: int) -> dict[str, Any]:
        """What an instance gives for each parameter."""
        return {p.name: p.column[instance] for p in self.parameters}


@record
class Turns(Record):
    """How a block calls itself: how often, by a parameter, and which instance each calls."""

    name: str
    count: Column
    inner: dict[int, int]


def block(name: str, body: Body) -> Block:
    """The block of a template: formulas, parameters and conditions."""
    return _settled(_Finder(Block(name, body)))


def recursive(name: str, body: Body, turns: Turns) -> Block | None:
    """The block of a template that calls itself; None where its parameters follow no rule."""
    found = Block(name, body, [Parameter(turns.name, turns.count)])
    finder = _Finder(found, turns)
    own = [one for line in body.lines for one in steps(line.chain) if one.word == name]
    found.formulas.update((id(one.arguments[turns.name]), f"{turns.name} - 1") for one in own)
    _settled(finder)
    for parameter in (known := [*found.parameters]):
        for step in own if parameter.name != turns.name else ():
            column = {n: parameter.column[turns.inner[n]] for n in step.present}
            step.arguments[parameter.name] = column
            finder.place(parameter.name, column)
    return found if found.parameters == known else None


def _settled(finder: _Finder) -> Block:
    found, body = finder.found, finder.body
    for line in body.lines:
        finder.chain(line.chain, body.present)
    for some, around, flag in finder.asked:
        finder.condition(some, around, flag)
    for parameter in found.parameters:
        _complete(parameter, body.present)
    required = [p for p in found.parameters if p.default is ...]
    found.parameters = required + [p for p in found.parameters if p.default is not ...]
    return found


def _complete(parameter: Parameter, present: Some) -> None:
    """A value for the instances that do not use it, and a default where one is usual."""
    common = Counter(map(_key, parameter.column.values())).most_common()
    values = {_key(value): value for value in parameter.column.values()}
    usual = values[common[0][0]]
    missing = present - set(parameter.column)
    numbers = all(isinstance(v, int) and not isinstance(v, bool) for v in values.values())
    for instance in missing:
        parameter.column[instance] = 0 if numbers else usual
    if missing:
        parameter.default = 0 if numbers else usual
    elif all(isinstance(value, bool) for value in values.values()):
        parameter.default = usual
    elif parameter.name in ("s", "d", "g", "m") and 1 in values.values():
        parameter.default = 1
    elif any(value is None for value in values.values()):
        parameter.default = None


def _told(given: dict[str, Column]) -> None:
    """Say of each bias whether there is one where they differ: no parameter is `auto`."""
    biases, norms, auto = given["bias"], given["norm"], Named("auto")
    if len(set(map(_key, biases.values()))) > 1:
        given["bias"] = {n: norms[n] is None if v == auto else v for n, v in biases.items()}


def _key(value: object) -> object:
    return repr(value)


class _Finder:
    """The search for the formulas of one block."""

    def __init__(self, found: Block, turns: Turns | None = None) -> None:
        self.found, self.turns = found, turns
        self.body = found.body
        entering = self.body.channels
        several = len(set(entering.values())) > 1 or len(entering) == 1
        self.channels = entering if several else {}
        self.entered = "in.c" if not self.body.inputs else f"{self.body.inputs[0]}.c"
        self.taken = Counter([*self.body.inputs, *self.body.outputs, *OPS, *RESERVED])
        for line in self.body.lines:
            self.taken.update(names_of(line))
        self.taken.update(one.name for one in found.parameters)
        self.asked: list[tuple[Some, Some, str]] = []
        """What needs a condition; all parameters are known when one is looked for."""

    def chain(self, chain: Chain, around: Some) -> None:
        """The places of a chain, in the order of the text."""
        for step in chain.steps:
            for operand in step.operands or ():
                self.chain(operand, step.present)
            if step.word == "split":
                self._sections(step.arguments)
            if {"bias", "norm"} <= step.arguments.keys():
                _told(step.arguments)
            for name, column in step.arguments.items():
                self.place(name, column)
            self.place("*", step.count)
            if step.present != chain.present:
                self.asked.append((step.present, chain.present, _flag(step)))
        if chain.present != around:
            flag = _flag(chain.steps[0]) if chain.steps else "plain"
            self.asked.append((chain.present, around, flag))

    # Formulas

    def _sections(self, given: dict[str, Column]) -> None:
        """The sizes of a split's parts: the last that follows nothing is what is left."""
        parts = {name: column for name, column in given.items() if name.startswith("sections[")}
        loose = [
            name
            for name, column in parts.items()
            if len(set(column.values())) > 1 and self._known("sections", column) is None
        ]
        if not loose or set(given["axis"].values()) != {0}:
            return
        last = parts.pop(loose[-1])
        for name, column in parts.items():
            self.place(name, column)
        shown = Counter(
            self.found.formulas.get(id(column), str(next(iter(column.values()))))
            for column in parts.values()
        )
        texts = [text if times == 1 else f"{times} * ({text})" for text, times in shown.items()]
        taken = texts[0] if len(texts) == 1 else f"({' + '.join(texts)})"
        self.found.formulas[id(last)] = f"it.c - {taken}"

    def place(self, name: str, column: Column) -> None:
        """The formula of one place, where it varies."""
        if id(column) in self.found.formulas:
            return
        values = list(column.values())
        if len(set(map(_key, values))) == 1:
            # What few instances have follows the others: a projection has the block's width.
            few = set(column) < self.body.present and values[0] != 1  # every size divides by 1
            known = self._followed(name, column) if few else None
            if known is not None:
                self.found.formulas[id(column)] = known.name
            return
        head, bracket, _ = name.partition("[")
        head += bracket if head + bracket in NAMES else ""
        self.found.formulas[id(column)] = self.formula(head, column)

    def _followed(self, name: str, column: Column) -> Parameter | None:
        """A parameter for the same argument that has these values."""
        wanted = NAMES.get(name)
        for parameter in self.found.parameters:
            alike = wanted is not None and parameter.name.rstrip("0123456789") == wanted
            covers = alike and set(column) <= set(parameter.column)
            if covers and _fits(parameter.column, column, lambda a, b: _key(a) == _key(b)):
                return parameter
        return None

    def formula(self, name: str, column: Column) -> str:
        """A parameter that has these values, a multiple of one, or a new one."""
        return self._known(name, column) or self._new(name, dict(column)).name

    def _known(self, name: str, column: Column) -> str | None:
        """A parameter that has these values, or a multiple of one."""
        for parameter in self.found.parameters:
            fits = parameter.window == _window(name)
            if fits and _fits(parameter.column, column, lambda a, b: _key(a) == _key(b)):
                parameter.column.update(column)
                return parameter.name
        numbers = all(isinstance(v, int) and not isinstance(v, bool) for v in column.values())
        if numbers and name not in ("stride", "dilation", "*"):
            return self._multiple(name, column)
        return None

    def _multiple(self, name: str, column: Column) -> str | None:
        window = _window(name)
        sources = [(p.name, p.column) for p in self.found.parameters if p.window == window]
        if self.channels:
            sources.insert(0, (self.entered, self.channels))
        for text, source in sources:
            if not all(isinstance(source.get(i), int) and source[i] for i in column):
                continue
            ratios = {(column[i], source[i]) for i in column}
            if all(a == b for a, b in ratios):
                return text
            ups = {a / b for a, b in ratios}
            if len(ups) == 1:
                (ratio,) = ups
                if ratio == int(ratio) and 1 < ratio <= MOST and _smooth(int(ratio)):
                    return f"{int(ratio)} * {text}"
                part = 1 / ratio if ratio else 0.5
                if part == int(part) and 1 < part <= 4 * MOST and _smooth(int(part)):
                    return f"{text} // {int(part)}"
        return None if name == "out" and self._leaves(column) else self._expansion(column)

    def _leaves(self, column: Column) -> bool:
        """Whether the block has so many channels at its end: its width, no expansion."""
        whole = [one for one in self._outs() if one.keys() >= self.body.present]
        return bool(whole) and whole[-1] == column

    def _expansion(self, column: Column) -> str | None:
        """`t * in.c`, where the factors are few and the numbers are not."""
        source = self.channels
        if not source or not all(source.get(i) and column[i] % source[i] == 0 for i in column):
            return None
        factors = {i: column[i] // source[i] for i in column}
        if len(set(factors.values())) * 2 > len(set(column.values())) or 0 in factors.values():
            return None
        if max(factors.values()) > MOST:
            return None
        for parameter in self.found.parameters:
            if parameter.name.startswith("t") and parameter.column == factors:
                return f"{parameter.name} * {self.entered}"
        parameter = self._added("t", factors)
        return f"{parameter.name} * {self.entered}"

    def _new(self, name: str, column: Column) -> Parameter:
        wanted = NAMES.get(name) or name.rstrip("0123456789")
        wanted = wanted if wanted.isidentifier() else "p"
        return self._added(wanted, column, window=_window(name))

    def _added(self, wanted: str, column: Column, *, window: bool = False) -> Parameter:
        name, number = wanted, 1
        while self.taken[name]:
            number += 1
            name = f"{wanted}{number}"
        self.taken[name] += 1
        parameter = Parameter(name, column, window=window)
        self.found.parameters.append(parameter)
        return parameter

    # Conditions

    def condition(self, some: Some, around: Some, flag: str) -> None:
        """What tells these instances from the others around; a new flag where nothing does."""
        if (some, around) in self.found.conditions:
            return
        others = around - some
        if (others, around) in self.found.conditions:
            opposite = self.found.conditions[others, around]
            self.found.conditions[some, around] = _negated(opposite)
            return
        atoms = list(self._atoms(around))
        text: str | None = next((t for t, true in atoms if true & around == some), None)
        if text is None:
            equal = [(t, true) for t, true in atoms if " == " in t]
            any_ = [(t, true) for t, true in atoms if "= " in t]
            pairs = chain(combinations(equal, 2), combinations(any_, 2))
            text = next(
                (f"{t} and {u}" for (t, a), (u, b) in pairs if a & b & around == some), None
            )
        if text is None:
            text = self._present(some, around)
        if text is None:
            text = self._added(flag, {i: i in some for i in around}).name
        self.found.conditions[some, around] = text

    def _present(self, some: Some, around: Some) -> str | None:
        """`m > 0`, where only these instances give a number m."""
        for parameter in self.found.parameters:
            numbers = [v for v in parameter.column.values() if not isinstance(v, bool)]
            given = set(parameter.column) & around == some
            if given and all(isinstance(v, int) and v > 0 for v in numbers) and numbers:
                for instance in around - some:
                    parameter.column[instance] = 0
                parameter.default = 0
                return f"{parameter.name} > 0"
        return None

    def _atoms(self, around: Some) -> Iterator[tuple[str, Some]]:
        """Comparisons that the block can make, with the instances where they hold."""
        known = [p for p in self.found.parameters if around <= set(p.column)]
        if self.turns is not None:
            yield f"{self.turns.name} > 1", frozenset(self.turns.inner)
        for parameter in known:
            if all(isinstance(v, bool) for v in parameter.column.values()):
                true = frozenset(i for i in around if parameter.column[i])
                yield parameter.name, true
                yield f"not {parameter.name}", around - true
        if self.channels:
            for text, column in self._widths():
                if around <= set(column):
                    same = frozenset(i for i in around if column[i] == self.channels[i])
                    yield f"{self.entered} == {text}", same
                    yield f"{self.entered} != {text}", around - same
        for parameter in known:
            values = {_key(v): v for v in parameter.column.values()}
            for value in values.values():
                if value is None or (isinstance(value, int) and not isinstance(value, bool)):
                    same = frozenset(i for i in around if parameter.column[i] == value)
                    shown = "none" if value is None else str(value)
                    yield f"{parameter.name} == {shown}", same
                    yield f"{parameter.name} != {shown}", around - same

    def _widths(self) -> Iterator[tuple[str, Column]]:
        """Numbers of channels in the block: the last ones first, which leave it."""
        places: list[tuple[str, Column]] = []
        for column in self._outs():
            constant = set(column.values())
            text = self.found.formulas.get(id(column))
            if text is None and len(constant) == 1:
                text = str(constant.pop())
            if text is not None and "in.c" not in text:
                places.append((text, column))
        yield from dict(reversed(places)).items()

    def _outs(self) -> Iterator[Column]:
        """The widths that its layers give, in the order of the text."""
        for line in self.body.lines:
            for step in steps(line.chain):
                if "out" in step.arguments:
                    yield step.arguments["out"]


def _smooth(number: int) -> bool:
    for prime in PRIMES:
        while number % prime == 0:
            number //= prime
    return number == 1


def _window(name: str) -> bool:
    return name.rstrip("0123456789") in WINDOW


def _fits(known: Column, column: Column, same: Any) -> bool:
    """Whether a parameter has these values, where both have any; and one at least."""
    both = known.keys() & column.keys()
    return bool(both) and all(same(known[i], column[i]) for i in both)


def _negated(text: str) -> str:
    if " and " in text:
        return f"not ({text})"
    if " == " in text:
        return text.replace(" == ", " != ")
    if " != " in text:
        return text.replace(" != ", " == ")
    return text.removeprefix("not ") if text.startswith("not ") else f"not {text}"


def _flag(step: Step) -> str:
    """A flag named after the module that it brings, or the operation."""
    parts = step.path.split(".")
    while len(parts) > 2 and parts[-1].isdigit():
        parts.pop()  # `shortcut.0`
    name = parts[-1].lower()
    if not name[:1].isalpha() or name in OPS:
        name = f"with_{step.word.lower()}"
    return "".join(c if c.isalnum() or c == "_" else "_" for c in name).rstrip("_0123456789")


def kind(values: Iterable[Any]) -> str:
    """The type of a parameter."""
    found = list(values)
    words = ("same", "valid", "causal")
    if any(isinstance(v, Sides) or (isinstance(v, Named) and v.word in words) for v in found):
        return "pad"
    if all(isinstance(value, bool) for value in found):
        return "bool"
    if any(isinstance(value, tuple) for value in found):
        return "size"
    if any(value is None or isinstance(value, Named) for value in found):
        return "op"
    if any(isinstance(value, str) for value in found):
        return "str"
    return "float" if any(isinstance(value, float) for value in found) else "int"


def flat(values: Iterable[Any]) -> list[Any]:
    """Values, both of a `then` in its place."""
    return [one for v in values for one in ((v.first, v.rest) if isinstance(v, Then) else (v,))]


def spelled(value: object) -> str:
    """A value in the language."""
    match value:
        case Then(first, rest):
            return f"{spelled(first)} then {spelled(rest)}"
        case Named(word, given):
            shown = ", ".join(f"{name}={spelled(one)}" for name, one in given)
            return f"{word}({shown})" if shown else word
        case None | bool():
            return str(value).lower()
        case str():
            return f'"{value}"'
        case tuple() if all(isinstance(one, int) and one >= 0 for one in value):
            many = len(value) > 1
            return "x".join(map(str, value)) if many else str(value[0])
        case Sides(pairs):
            return f"[{', '.join(str(side) for pair in reversed(pairs) for side in pair)}]"
        case tuple():
            return f"[{', '.join(map(spelled, value))}]"
        case float():
            return number(value)
        case _:
            return str(value)


def number(value: float) -> str:
    """The shortest spelling that is the same number."""
    if value == int(value) and abs(value) < 1e9:
        return f"{value:.1f}"
    return repr(value)
