"""Spelling values so that one text serves all instances of a block.

A value is written as the number that it is everywhere; else as the formula that it came
from, over names that are at hand; else by a name of its own, which becomes an argument of
the class or a column of the table. A formula is only a proposal: it is used where it
gives the right value for every instance.
"""

from __future__ import annotations

import keyword
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from cnndsl.graph import Block, Network
from cnndsl.symbolic import Apply, Atom, Axis, Formula, Sym, Symbol, render, strip

RESERVED = {"self", "nn", "torch", "F", "Tensor", "OrderedDict", "NamedTuple", "super", "range"}
RESERVED |= {"zip", "enumerate", "len", "print", "max", "min"}


def identifier(name: str) -> str:
    """A name that Python takes and that hides none of ours."""
    return f"{name}_" if keyword.iskeyword(name) or name in RESERVED else name


class Name(str):
    """A Python name as a value: a class to construct."""

    __slots__ = ()


@dataclass(eq=False)
class Provider:
    """Where new names may be had: the arguments of a class, or the columns of a table.

    `columns` maps each name that is used to its values, one an instance (or a row).
    """

    known: dict[str, list[object]]
    rows: int
    columns: dict[str, list[object]] = field(default_factory=dict)
    extra: set[str] = field(default_factory=set)
    table: bool = False

    def use(self, name: str) -> None:
        """A name is used."""
        if name not in self.columns:
            self.columns[name] = self.known[name]

    def add(self, hint: str, values: Sequence[object], envs: Sequence[Env]) -> str | None:
        """A new name for values that no formula gives; an equal column serves again.

        None where an instance (or row) would need several values.
        """
        column: list[object] = [None] * self.rows
        seen: set[int] = set()
        for value, env in zip(values, envs, strict=True):
            row = env.rows[id(self)]
            if row in seen and strip(column[row]) != strip(value):
                return None
            column[row] = value
            seen.add(row)
        # A row in which the name is not used repeats a value, so that types agree.
        values = [v if n in seen else values[0] for n, v in enumerate(column)]
        plain = [strip(v) for v in values]
        for name in self.extra:
            if [strip(v) for v in self.columns[name]] == plain:
                return name
        name = hint
        number = 2
        while name in self.known or name in self.columns:
            name, number = f"{hint}_{number}", number + 1
        self.columns[name] = list(values)
        self.extra.add(name)
        return name

    def ordered(self) -> list[str]:
        """The used names: a class's own arguments first, a table's new columns first."""
        known = [name for name in self.known if name in self.columns]
        new = [name for name in self.columns if name not in self.known]
        return new + known if self.table else known + new


@dataclass(eq=False)
class Env:
    """What can be named at one place of one instance.

    `names` maps Python names to their values here, `owners` to who provides them; `rows`
    says which instance, or which row of a table, this is to each provider; `tensors` maps
    tensors to the variables that hold them.
    """

    block: Block
    names: dict[str, object]
    owners: dict[str, Provider]
    rows: dict[int, int]
    tensors: dict[tuple[str, int], str]
    network: Network

    def inner(self, names: dict[str, object], provider: Provider, row: int) -> Env:
        """The same place inside a loop, in a row of its table."""
        owners = {**self.owners, **dict.fromkeys(names, provider)}
        rows = {**self.rows, id(provider): row}
        names = {**self.names, **names}
        return Env(self.block, names, owners, rows, self.tensors, self.network)

    def atom(self, atom: Symbol | Axis) -> str | None:
        """The Python name of an atom in a constructor."""
        if isinstance(atom, Symbol):
            name = identifier(atom.name)
        elif atom.axis == 0 and atom.tensor in self.block.inputs:
            name = channels_of(self.block, atom.tensor)
        else:
            return None
        return name if name in self.names else None

    def resolved(self, formula: Formula) -> Formula:
        """A formula without sizes of tensors inside the block: by what they came from."""
        inside = [a for a in formula.atoms() if isinstance(a, Axis) and ":" in a.tensor]
        if not inside:
            return formula
        bindings: dict[Symbol | Axis, int] = {}
        for atom in formula.atoms():
            bindings[atom] = Sym(0, Formula({(atom,): 1}))
        for atom in inside:
            bindings[atom] = self.size(atom)
        value = formula.evaluate(bindings)
        return (
            value.formula if isinstance(value, Sym) else Formula({(): value} if value else {})
        )

    def size(self, atom: Axis) -> int:
        """The size of a tensor that is no port, in the block's terms."""
        node, output = atom.tensor.rsplit(":", 1)
        return self.network.shapes[node][int(output)][atom.axis]


def channels_of(block: Block, port: str) -> str:
    """The name of a port's channels as a constructor's argument."""
    return "in_channels" if len(block.inputs) == 1 else f"{identifier(port)}_channels"


def literal(value: object) -> str:
    """A value as Python text."""
    value = strip(value)
    if isinstance(value, Name):
        return str.__str__(value)
    if isinstance(value, str):
        escaped = value.encode("unicode_escape").decode("ascii").replace('"', '\\"')
        return f'"{escaped}"'
    if isinstance(value, tuple):
        inside = ", ".join(map(literal, value))
        return f"({inside},)" if len(value) == 1 else f"({inside})"
    return repr(value)


def same(values: Iterable[object]) -> bool:
    """Whether all are one value; 1 and True are not."""
    plain = [(type(v), v) for v in map(strip, values)]
    return all(v == plain[0] for v in plain)


def spell(values: Sequence[object], envs: Sequence[Env]) -> str | None:
    """The constructor's text for values, one an environment; None where there is none."""
    if same(values) and not _tabled(values, envs):
        return literal(values[0])
    if all(isinstance(v, tuple) for v in values):
        lengths = {len(v) for v in values if isinstance(v, tuple)}
        if len(lengths) != 1:
            return None
        parts = [spell(column, envs) for column in zip(*values, strict=True)]
        return None if None in parts else f"({', '.join(p for p in parts if p)})"
    for formula, env in _proposals(values, envs):
        if all(_value(formula, e) == strip(v) for v, e in zip(values, envs, strict=True)):
            _use(formula, env)
            return render(formula, _speller(env))
    if same(values):
        return literal(values[0])
    plain = [strip(v) for v in values]
    for name in envs[0].names:
        here = [strip(e.names.get(name)) for e in envs]
        if here == plain and all(type(a) is type(b) for a, b in zip(here, plain, strict=True)):
            envs[0].owners[name].use(name)
            return name
    return None


def _tabled(values: Sequence[object], envs: Sequence[Env]) -> bool:
    """Whether a value comes from a table, whose columns are kept though they be constant."""
    if not isinstance(values[0], Sym):
        return False
    names = [envs[0].atom(a) for a in envs[0].resolved(values[0].formula).atoms()]
    return bool(names) and all(name and envs[0].owners[name].table for name in names)


def _proposals(values: Sequence[object], envs: Sequence[Env]) -> list[tuple[Formula, Env]]:
    """The distinct formulas of some values."""
    found: dict[Formula, Env] = {}
    for value, env in zip(values, envs, strict=True):
        if isinstance(value, Sym):
            found.setdefault(env.resolved(value.formula), env)
    return [(formula, env) for formula, env in found.items() if _is_python(formula)]


def _is_python(formula: Formula) -> bool:
    """Whether Python has all the functions of a formula: not the language's `round8`."""
    applied = [a for monomial in formula.terms for a in monomial if isinstance(a, Apply)]
    return all(
        atom.function in ("//", "%", "max", "min") and all(map(_is_python, atom.arguments))
        for atom in applied
    )


def _value(formula: Formula, env: Env) -> int | None:
    """The formula's value here; None where a name is not at hand."""
    bindings: dict[Symbol | Axis, int] = {}
    for atom in formula.atoms():
        name = env.atom(atom)
        value = env.names.get(name) if name is not None else None
        if isinstance(value, bool) or not isinstance(value, int):
            return None
        bindings[atom] = int(value)
    try:
        return int(formula.evaluate(bindings))
    except (KeyError, ZeroDivisionError):
        return None


def _use(formula: Formula, env: Env) -> None:
    for atom in formula.atoms():
        name = env.atom(atom)
        assert name is not None
        env.owners[name].use(name)


def _speller(env: Env) -> Callable[[Atom], str]:
    def text(atom: Atom) -> str:
        if isinstance(atom, Apply):
            return applied(atom, text)
        name = env.atom(atom)
        assert name is not None
        return name

    return text


def applied(atom: Apply, text: Callable[[Atom], str]) -> str:
    """A function of formulas: `//` and `%` infix, `max` and `min` as Python's own."""
    parts = [render(argument, text) for argument in atom.arguments]
    if atom.function in ("//", "%"):
        wrapped = [f"({p})" if " " in p else p for p in parts]
        return f"{wrapped[0]} {atom.function} {wrapped[1]}"
    return f"{atom.function}({', '.join(parts)})"


def at_run_time(value: object, env: Env) -> str | None:
    """The text in `forward` of a size that depends on a tensor's; None for others."""
    if not isinstance(value, Sym):
        return None
    atoms = value.formula.atoms()
    if not any(isinstance(a, Axis) and a.axis > 0 for a in atoms):
        return None

    def text(atom: Atom) -> str:
        if isinstance(atom, Apply):
            return applied(atom, text)
        if isinstance(atom, Axis):
            variable = _variable(atom, env)
            return f"{variable}.shape[{atom.axis + 1}]"
        return f"self.{identifier(atom.name)}"

    if any(isinstance(a, Symbol) or _variable(a, env) is None for a in atoms):
        return None
    if not _is_python(value.formula):
        return None
    return render(value.formula, text)


def _variable(atom: Axis | Symbol, env: Env) -> str | None:
    if isinstance(atom, Symbol):
        return None
    if atom.tensor in env.block.inputs:
        tensor = env.block.inputs[atom.tensor]
        return env.tensors.get((tensor.node, tensor.output))
    node, output = atom.tensor.rsplit(":", 1)
    return env.tensors.get((node, int(output)))
