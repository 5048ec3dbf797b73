"""Where the modules of a block's written steps are: decided by the text, once a block.

A key's segment stands where it tells siblings apart. A labelled line with one module is
that module; a chain of several is a sequence below its label, numbered from 0. An
unlabelled step bears its own name, a block's is `block`; several of one name in a block are
numbered from 1. What is inside a repeat or a `for` is followed by the number of its turn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field
from typing import Any, Literal

from cnndsl.graph import module_name
from cnndsl.language import tree
from cnndsl.records import Record, record

RESERVED_SOURCES = ("skip", "in")

Kind = Literal["module", "weights", "owner", "function"]
"""What a step's name stands for. A `module` and one with `weights` (an operation that may
have some, a block, a parameter) have one input and one output and stand in chains; an
`owner` is a module with weights that stands in none; a `function` is no module."""


@record
class Turn(Record):
    """In a module's path, the number of the turn of this repeat or `for`, by its `id`."""

    term: int


Position = int | Turn


@record
class Site(Record):
    """Where a step's module is: an attribute of its block, and the way from there."""

    name: str
    inner: tuple[Position, ...] = ()


@record
class Chain(Record):
    """A line, or a term of it, whose modules are one module: what stands around it is not."""

    name: str
    before: tuple[tree.Term, ...]
    core: tuple[tree.Term, ...]
    after: tuple[tree.Term, ...]
    cut: bool = False
    """Whether the core had more terms, which an output does not need."""

    def without(self, gone: set[int], new: Mapping[int, Any] | None = None) -> Chain:
        """The chain without some terms, by their `id`, and with others in place of its own."""
        new = new or {}
        before, core, after = (
            tuple(new.get(id(term), term) for term in part if id(term) not in gone)
            for part in (self.before, self.core, self.after)
        )
        return Chain(self.name, before, core, after, len(core) < len(self.core))


@record(frozen=False)
class Modules(Record):
    """The sites of a block's steps, and its chains, by the `id` of their lines or terms."""

    sites: dict[int, Site] = field(default_factory=dict)
    chains: dict[int, Chain] = field(default_factory=dict)


@record(frozen=False)
class _Request(Record):
    """A name that is wanted, and what it is for."""

    base: str
    slot: tuple[object, ...]
    """Requests for one name and slot share it: alternatives, of which one is there."""
    steps: list[tuple[tree.CallTerm, tuple[Position, ...]]]
    chain: tuple[int, tuple[tuple[tree.Term, ...], ...]] | None = None


def modules(declaration: tree.Declaration, kind: Callable[[str], Kind]) -> Modules:
    """The sites of a block; `kind` tells what a step's name stands for."""
    sources = {*RESERVED_SOURCES, *all_labels(declaration.body)}
    sources |= {port.name for port in declaration.inputs or ()}
    naming = _Naming(kind, sources)
    naming.lines(declaration.body, "", (), join=False)
    return naming.named()


class _Naming:
    """One walk through a block, in text order."""

    def __init__(self, kind: Callable[[str], Kind], sources: set[str]) -> None:
        self.kind, self.sources = kind, sources
        self.requests: list[_Request] = []
        self.alternatives: list[int] = []
        """The lines around the current one, by the first of their alternatives."""
        self.first = self.begun = 0

    def request(
        self,
        base: str,
        steps: list[tuple[tree.CallTerm, tuple[Position, ...]]],
        chain: tuple[int, tuple[tuple[tree.Term, ...], ...]] | None = None,
    ) -> _Request:
        line, around = self.alternatives[-1], tuple(self.alternatives)
        number = sum(r.base == base for r in self.requests[self.begun :])
        found = _Request(base, (line, around, number), steps, chain)
        self.requests.append(found)
        return found

    def lines(
        self,
        body: Iterable[tree.Statement],
        label: str,
        turns: tuple[Position, ...],
        *,
        join: bool,
    ) -> None:
        for statement in body:
            if isinstance(statement, tree.LineStatement):
                self.line(statement, label, turns, join=join)

    def line(
        self, line: tree.LineStatement, outer: str, turns: tuple[Position, ...], *, join: bool
    ) -> None:
        if not line.alternative:
            self.first = id(line)
        outer_first, outer_begun = self.first, self.begun
        self.alternatives.append(self.first)
        self.begun = len(self.requests)
        self.within(line, outer, turns, join=join)
        self.alternatives.pop()
        self.first, self.begun = outer_first, outer_begun

    def within(
        self, line: tree.LineStatement, outer: str, turns: tuple[Position, ...], *, join: bool
    ) -> None:
        terms = self.terms(line)
        label = line.labels[0].name if line.labels else ""
        spread = join and len(terms) == 1 and isinstance(terms[0], tree.ForTerm)
        if label and not spread and all(map(self.plain, terms)):
            self.chain(line, terms, label, turns)
            return
        single = label if label and self.weighty(terms) == 1 else ""
        for term in terms:
            self.term(term, label or outer, single, turns, join=join)

    def terms(self, line: tree.LineStatement) -> tuple[tree.Term, ...]:
        """The terms of a line behind its source."""
        first = line.terms[0]
        sourced = isinstance(first, tree.CallTerm) and is_source(first, True, self.sources)
        return line.terms[1:] if sourced else line.terms

    def term(
        self,
        term: tree.Term,
        label: str,
        single: str,
        turns: tuple[Position, ...],
        *,
        join: bool,
    ) -> None:
        match term:
            case tree.CallTerm():
                if self.owns(term):
                    self.request(self.base(term, label, single), [(term, turns)])
                self.inside(term.operands or (), label, single, turns)
            case tree.GroupTerm(body=body):
                self.inside(body, label, single, turns, join=False)
            case tree.RepeatTerm(term=inner, shared=True):
                self.term(inner, label, single, turns, join=join)
            case tree.RepeatTerm() if self.plain(term):
                steps = list(self.calls((term,)))
                first = next((s for s in steps if self.owns(s)), None)
                if first is not None:
                    self.chain(term, (term,), self.base(first, label, single), turns)
            case tree.RepeatTerm(term=inner):
                self.term(inner, label, single, (*turns, Turn(id(term))), join=join)
            case tree.ForTerm(body=body):
                self.inside(body, label, single, (*turns, Turn(id(term))), join=join)
            case tree.EachTerm(term=inner, operands=operands):
                self.term(inner, label, single, turns, join=False)
                self.inside(operands or (), label, single, turns)

    def inside(
        self,
        body: Sequence[tree.Statement],
        label: str,
        single: str,
        turns: tuple[Position, ...],
        *,
        join: bool = True,
    ) -> None:
        for statement in body:
            if not isinstance(statement, tree.LineStatement):
                continue
            if statement.labels or not single:
                self.line(statement, label, turns, join=join)
                continue
            for term in self.terms(statement):
                self.term(term, label, single, turns, join=join)

    def base(self, term: tree.CallTerm, label: str, single: str) -> str:
        """The name that a step asks for."""
        name = term.path.name
        own = "block" if name[:1].isupper() else name
        return single or (f"{label}_{own}" if label else own)

    # --- chains

    def chain(
        self,
        owner: tree.LineStatement | tree.Term,
        terms: tuple[tree.Term, ...],
        name: str,
        turns: tuple[Position, ...],
    ) -> None:
        """A chain of modules: what stands before the first with weights is a function."""
        items = list(self.items(terms))
        heavy = [n for n, item in enumerate(items) if self.weighty((item,))]
        if not heavy:
            return
        first, last = heavy[0], heavy[-1] + 1
        parts = tuple(items[:first]), tuple(items[first:last]), tuple(items[last:])
        request = self.request(name, [], (id(owner), parts))
        self.place(parts[1], turns, request)

    def place(
        self, items: Sequence[tree.Term], path: tuple[Position, ...], request: _Request
    ) -> None:
        for number, item in enumerate(items):
            at = path if len(items) == 1 else (*path, number)
            match item:
                case tree.CallTerm():
                    request.steps.append((item, at))
                case tree.RepeatTerm(term=term):
                    self.place(tuple(self.items((term,))), (*at, Turn(id(item))), request)
                case tree.ForTerm(body=body):
                    self.place(tuple(self.inner(body)), (*at, Turn(id(item))), request)

    def items(self, terms: Iterable[tree.Term]) -> Iterable[tree.Term]:
        """Terms with those of bare braces in their place."""
        for term in terms:
            if isinstance(term, tree.GroupTerm):
                yield from self.inner(term.body)
            else:
                yield term

    def inner(self, body: Iterable[tree.Statement]) -> Iterable[tree.Term]:
        """The terms of lines one behind the other."""
        for line in body:
            if isinstance(line, tree.LineStatement):
                yield from self.items(line.terms)

    def plain(self, term: tree.Term) -> bool:
        """Whether a term is modules one behind the other, whatever the arguments are."""
        match term:
            case tree.CallTerm(operands=None):
                if is_source(term, True, self.sources) or term.path.parts:
                    return False
                return self.kind(term.path.name) in ("weights", "module")
            case tree.GroupTerm(body=body) | tree.ForTerm(body=body):
                lines = [s for s in body if isinstance(s, tree.LineStatement)]
                return all(self.threads(line) for line in lines) and not any(
                    line.alternative for line in lines
                )
            case tree.RepeatTerm(term=inner, shared=False):
                return self.plain(inner)
        return False

    def threads(self, line: tree.LineStatement) -> bool:
        own = len(self.terms(line)) < len(line.terms)
        one = line.condition is None or (
            len(line.terms) == 1 and isinstance(line.terms[0], tree.CallTerm)
        )
        return not line.labels and not own and one and all(map(self.plain, line.terms))

    # --- what is below

    def owns(self, term: tree.CallTerm) -> bool:
        """Whether a step is a module that bears a name."""
        if is_source(term, term.operands is None and not term.called, self.sources):
            return False
        return self.kind(term.path.name) in ("weights", "owner")

    def weighty(self, terms: Iterable[tree.Term]) -> int:
        """How many steps with a module of their own are below, other labels' left out."""
        return sum(self.owns(step) for step in self.calls(terms))

    def calls(self, terms: Iterable[tree.Term]) -> Iterable[tree.CallTerm]:
        stack: list[tree.Item] = [*terms]
        stack.reverse()
        while stack:
            item = stack.pop()
            if isinstance(item, tree.CallTerm):
                yield item
            if not isinstance(item, tree.LineStatement):
                stack += reversed(tree.inside(item))
            elif not item.labels:
                stack += reversed(self.terms(item))

    # --- names

    def named(self) -> Modules:
        """Give each request its name: the one it asks for, or numbered where several do."""
        slots: dict[str, dict[tuple[object, ...], str]] = {}
        for request in self.requests:
            slots.setdefault(module_name(request.base), {}).setdefault(request.slot, "")
        taken = {name for name, found in slots.items() if len(found) == 1}
        counts: Counter[str] = Counter()
        found = Modules()
        for request in self.requests:
            name = module_name(request.base)
            of_name = slots[name]
            if len(of_name) > 1:
                numbered = of_name[request.slot]
                name = numbered or self.numbered(request.base, counts, taken)
                of_name[request.slot] = name
            for step, inner in request.steps:
                found.sites[id(step)] = Site(name, inner)
            if request.chain is not None:
                owner, (before, core, after) = request.chain
                found.chains[owner] = Chain(name, before, core, after)
        return found

    def numbered(self, base: str, counts: Counter[str], taken: set[str]) -> str:
        while True:
            counts[base] += 1
            name = module_name(f"{base}{counts[base]}")
            if name not in taken:
                taken.add(name)
                return name


def is_source(term: tree.CallTerm, first: bool, sources: set[str]) -> bool:
    """Whether a term names a tensor: the first of its line, without arguments."""
    plain = not term.called and term.operands is None
    return first and plain and (bool(term.path.parts) or term.path.name in sources)


def all_labels(statements: Iterable[tree.Statement]) -> set[str]:
    """Every label written in a block."""
    lines = (item for item in tree.walk(statements) if isinstance(item, tree.LineStatement))
    return {label.name for line in lines for label in line.labels}


def value_names(statements: Iterable[tree.Statement]) -> set[str]:
    """Every `let` and loop variable of a block."""
    found: set[str] = set()
    for item in tree.walk(statements):
        if isinstance(item, tree.Let):
            found.add(item.name)
        elif isinstance(item, tree.ForTerm):
            found |= {name for name, _ in item.header}
    return found


def line_numbers(declaration: tree.Declaration) -> dict[int, int]:
    """A number for each line and term of a block, in text order."""
    return {id(item): number for number, item in enumerate(tree.walk(declaration.body))}
