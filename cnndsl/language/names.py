"""What a name can stand for, and where it is looked up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from cnndsl.diagnostics import Fault, Span, fault
from cnndsl.files import within
from cnndsl.graph import Decided
from cnndsl.language import tree
from cnndsl.language.naming import Kind, Modules, line_numbers, modules, value_names
from cnndsl.ops.base import OPS, Op
from cnndsl.records import Record, record
from cnndsl.structure import Definition, Tensor
from cnndsl.symbolic import Axis, Formula, Sym, Symbol, listed_as


class Silent(Fault):
    """Stops a line that depends on a faulty one: the fault has been reported already."""

    def __init__(self) -> None:
        """Nothing to say."""
        Exception.__init__(self)


@record
class OpRef(Record):
    """An operation or a block as a value, with the arguments it was given: `bn(eps=1e-3)`."""

    name: str
    target: type[Op] | BlockDefinition
    positional: tuple[object, ...] = ()
    named: tuple[tuple[str, object], ...] = ()

    def __str__(self) -> str:
        """As it was written, with its values."""
        from cnndsl.ops.values import spell

        shown = [*map(spell, self.positional), *(f"{k}={spell(v)}" for k, v in self.named)]
        return f"{self.name}({', '.join(shown)})" if shown else self.name


@record(frozen=False)
class Flow(Record):
    """What a step yields: its tensors by name, and what is labelled inside it.

    `family` holds the results of each iteration of a `for`, of each call of an `each`, or of
    each turn of a repeat, where that is one tensor.
    """

    tensors: dict[str, Tensor]
    members: dict[str, Entry] = field(default_factory=dict)
    family: Family | None = None
    turns: bool = False
    """Whether it is the last turn of a repeat whose turns give several tensors."""

    @property
    def all(self) -> tuple[Tensor, ...]:
        """The tensors in order."""
        return tuple(self.tensors.values())


@record(frozen=False)
class Family(Record):
    """Indexed results: `x[0]`, `x[i, j]`."""

    items: dict[tuple[int, ...], Entry] = field(default_factory=dict)


@record
class Off(Record):
    """A label whose line was removed by its condition."""

    condition: Span


@record
class Faulty(Record):
    """A label whose line has been reported."""


@record
class Uncertain(Record):
    """The value behind a line with a source of its own that a condition may remove."""

    span: Span


Entry = Flow | Family | Off | Faulty
Value = Flow | Faulty | Uncertain | None
"""What threads through the lines of a sequence."""


@record
class Bound(Record):
    """A name's meaning, and where it was given."""

    meaning: Any
    span: Span | None
    kind: str


Source = tuple[list[Decided], Formula, int]
"""A size: the frame's list that notes what it decides, its formula there and its value."""


class Real(float):
    """A number that is no integer and was worked out from sizes, its `sources`.

    No attribute that is no integer decides a size, so it decides something only where it
    is compared or rounded; a test holds the operations to that.
    """

    __slots__ = ("sources",)
    sources: tuple[Source, ...]

    def __new__(cls, value: float, sources: tuple[Source, ...]) -> Real:
        """Pair a value with the sizes it came from."""
        self = super().__new__(cls, value)
        self.sources = sources
        return self

    def noted(self, span: Span, *, number: bool = False) -> None:
        """Note that its sizes decide something, or only that it is a number of a layer."""
        for decided, formula, size in self.sources:
            decided.append(Decided(formula, size, span, number=number))

    def __reduce__(self) -> tuple[type[float], tuple[float]]:
        """Pickled and copied as the plain number."""
        return float, (float(self),)


def reals(value: Any) -> Iterator[Real]:
    """The numbers worked out from sizes that are in a value."""
    match value:
        case Real():
            yield value
        case tuple():
            for item in value:
                yield from reals(item)


def kept(value: Any) -> Any:
    """A value as the network keeps it: formulas stay, plain numbers lose their sources."""
    match value:
        case Real():
            return float(value)
        case tuple():
            return listed_as(value, map(kept, value))
        case OpRef(positional=positional, named=named):
            items = tuple((name, kept(item)) for name, item in named)
            return OpRef(value.name, value.target, kept(positional), items)
    return value


@record(frozen=False)
class Frame(Record):
    """One call of a block while it is elaborated.

    `name` is the call's as shown; `symbols` maps the atoms of formulas to their values;
    `opened` holds the blocks around it with what each was given; `indexed` the
    places of indexed labels, in order, which loops leave in terms of their own row;
    `decided` what its sizes have decided so far; `asked` the nodes, in all frames, of which
    an expression reads a size; `applied` the defaults, by their `id`, that a step took.
    """

    file: FileScope
    stack: tuple[str, ...] = ()
    name: str = ""
    symbols: dict[Symbol | Axis, int] = field(default_factory=dict)
    opened: tuple[tuple[BlockDefinition, str], ...] = ()
    indexed: list[tuple[Family, tuple[int, ...]]] = field(default_factory=list)
    decided: list[Decided] = field(default_factory=list)
    asked: set[str] = field(default_factory=set)
    applied: set[int] = field(default_factory=set)


class Env:
    """The names visible in some braces.

    `members` collects the labels inside, for whoever labels the braces. An indexed label
    belongs to the nearest braces that are not a `for`'s: `home`.
    """

    def __init__(self, frame: Frame, parent: Env | None = None, *, loop: bool = False) -> None:
        """Open braces inside others."""
        self.frame = frame
        self.parent = parent
        self.names: dict[str, Bound] = {}
        self.members: dict[str, Entry] = {}
        self.defaults: list[tuple[tree.Default, Env]] = []
        self.home: Env = parent.home if loop and parent else self
        self.skip: Value = parent.skip if parent else None
        self.it: tuple[Tensor, ...] | None = None
        """What enters the step of which the arguments are read."""
        self.repeat: int | None = parent.repeat if parent else None
        self.shared: bool = parent.shared if parent else False
        """Whether the turns of the repeat are one module."""

    def lookup(self, name: str) -> Bound | None:
        """The meaning of a name, in these braces or around them."""
        env: Env | None = self
        while env is not None:
            if name in env.names:
                return env.names[name]
            env = env.parent
        return self.frame.file.names.get(name)

    def decide(self, value: int, span: Span, *, contract: bool = False) -> int:
        """The plain number of a size that decides something, which the network notes."""
        if isinstance(value, Sym):
            self.frame.decided.append(Decided(value.formula, int(value), span, contract))
        return int(value)

    def decide_all(self, values: Iterable[object], span: Span) -> None:
        """Note numbers of which more is used than a formula can say."""
        for value in values:
            if isinstance(value, int):
                self.decide(value, span)
            elif isinstance(value, Real):
                value.noted(span)

    def real(self, value: Any, operands: Iterable[object]) -> Any:
        """A number worked out from others, with the sizes among these."""
        sources: dict[tuple[int, Formula], Source] = {}
        for operand in operands:
            found: tuple[Source, ...] = ()
            if isinstance(operand, Sym):
                found = ((self.frame.decided, operand.formula, int(operand)),)
            elif isinstance(operand, Real):
                found = operand.sources
            sources |= {(id(source[0]), source[1]): source for source in found}
        return Real(value, tuple(sources.values())) if sources else value

    def bind(self, name: str, meaning: Any, span: Span | None, kind: str) -> None:
        """Give a name its meaning.  Raises Fault: it has one already."""
        known = self.lookup(name)
        if known is not None:
            places = ((known.span, f"the {known.kind}"),) if known.span else ()
            mend = f"choose another name, for example `{name}_2`"
            if known.kind == kind == "size":
                mend = f"write `{name}` alone where the two are equal; else {mend}"
            raise fault(
                "E201",
                f"`{name}` is already the name of a {known.kind}",
                span,
                related=places,
                help=mend,
            )
        self.names[name] = Bound(meaning, span, kind)

    def visible(self) -> Iterator[str]:
        """Every name that could be meant here."""
        env: Env | None = self
        while env is not None:
            yield from env.names
            env = env.parent
        yield from self.frame.file.names

    def default_arguments(self, name: str) -> Iterator[tuple[tree.Default, Env]]:
        """The defaults for an operation or block, the outermost first."""
        chain: list[tuple[tree.Default, Env]] = []
        env: Env | None = self
        while env is not None:
            chain = [*env.defaults, *chain]
            env = env.parent
        file = self.frame.file
        for default, where in [*((d, file.env) for d in file.tree.defaults), *chain]:
            if any(n == name for n, _ in default.names):
                self.frame.applied.add(id(default))
                yield default, where


@dataclass(eq=False)
class FileScope:
    """A parsed file with the meanings of its top-level names."""

    path: Path
    tree: tree.File
    roots: tuple[Path, ...]
    """The folders in which a file that it names may lie: the program's, and the zoo."""
    names: dict[str, Bound] = field(default_factory=dict)

    def finds(self, name: str, folder: Path | None = None) -> Path | None:
        """A file by its name from a folder; None: there is none.  Raises OSError."""
        return within(self.roots, (folder or self.path.parent) / name)

    @cached_property
    def env(self) -> Env:
        """Where the file's own values and defaults are evaluated."""
        return Env(Frame(self))

    @property
    def models(self) -> dict[str, BlockDefinition]:
        """The models declared here, in order."""
        found = {}
        for declaration in self.tree.declarations:
            bound = self.names.get(declaration.name)
            if declaration.kind == "model" and bound is not None:
                assert isinstance(bound.meaning, OpRef)
                assert isinstance(bound.meaning.target, BlockDefinition)
                found[declaration.name] = bound.meaning.target
        return found


@dataclass(eq=False)
class BlockDefinition:
    """A block or model with the file whose names and defaults it sees."""

    declaration: tree.Declaration
    file: FileScope
    work: dict[int, int] = field(default_factory=dict)
    """The least work of each of its terms, by `id`, as far as it is known."""
    whole: BlockDefinition | None = None
    """The one from which this one is cut; what is known by `id` is of its lines."""
    apart: bool = False
    """Whether it is cut for some of its calls only, which no name of a file stands for."""
    about: Definition | None = None
    """What is written above it, as far as it is known: `modules.about`."""

    @property
    def name(self) -> str:
        """Its name."""
        return self.declaration.name

    @cached_property
    def modules(self) -> Modules:
        """Where the modules of its written steps are."""
        return modules(self.declaration, self._kind)

    @cached_property
    def values(self) -> set[str]:
        """The names of its values, which may stand for operations."""
        return {p.name for p in self.declaration.params} | value_names(self.declaration.body)

    def for_some(self) -> BlockDefinition:
        """The same text, for some of its calls."""
        found = BlockDefinition(self.declaration, self.file, whole=self, apart=True)
        found.modules, found.line_numbers = self.modules, self.line_numbers
        return found

    def _kind(self, name: str) -> Kind:
        """What a step's name stands for."""
        if name in self.values:
            return "weights"
        bound = self.file.names.get(name)
        target = bound.meaning.target if bound and isinstance(bound.meaning, OpRef) else None
        target = target or operation(name)
        if isinstance(target, BlockDefinition):
            one = target.declaration
            inputs, outputs = one.inputs or (), one.outputs or ()
            several = max(len(inputs), len(outputs)) > 1 or any(
                port.many for port in (*inputs, *outputs)
            )
            return "owner" if several else "weights"
        if target is None:
            return "function"
        owner = target.may_own()
        if not target.chained:
            return "owner" if owner else "function"
        return "weights" if owner else "module"

    @cached_property
    def line_numbers(self) -> dict[int, int]:
        """A number for each line and term, the same in every call of the block."""
        return line_numbers(self.declaration)


def operation(name: str) -> type[Op] | None:
    """The operation that a file may write by this name."""
    known = OPS.get(name)
    return known if known is not None and known.written else None


def operations() -> list[str]:
    """The names that `operation` knows."""
    return [name for name, known in OPS.items() if known.written]
