"""How a network was written: blocks, lines and terms, and the walks over them.

A tree of `Block`, `Line` and terms, with repeats and tables unrolled but kept together.
Whoever asks about all that stands in it walks it by the functions here; a `match` over the
kinds of terms belongs where each kind means something of its own.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from cnndsl.diagnostics import Span
from cnndsl.ops.facts import Shape
from cnndsl.records import Record, record

if TYPE_CHECKING:
    from cnndsl.expressions import Expression

Path = tuple[str | int, ...]
"""The module path: labels, written steps' names and indices."""


@record
class Tensor(Record):
    """One output of a node: its name, the output's number, and the shape."""

    node: str
    output: int
    shape: Shape


@record
class Citation(Record):
    """`@cite("arXiv:1801.04381", table=2)`."""

    work: str
    where: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        """`arXiv:1801.04381, table 2`."""
        return ", ".join([self.work, *(f"{kind} {value}" for kind, value in self.where)])


@record
class Definition(Record):
    """What is written above a block or a model, and its name."""

    name: str
    span: Span
    doc: str = ""
    citations: tuple[Citation, ...] = ()
    deviations: tuple[str, ...] = ()
    dimensions: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Of each output port the names of its sizes, empty where one is an expression."""
    title: str = ""
    """As people write its name; empty where that is the name itself."""


@record(frozen=False)
class Step(Record):
    """One written step that is an operation: `conv(64, 3x3, norm=bn)`.

    `nodes` are its layers in order (operation, norm, activation); their slots in the
    module path are in `slots`. `lines` are the operands in its braces.
    """

    key: int
    name: str
    nodes: tuple[str, ...]
    slots: tuple[str, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    lines: list[Line] | None = None
    span: Span | None = None
    named: tuple[str, ...] = ()
    """The names of its outputs, where these are several."""


@record(frozen=False)
class Call(Record):
    """One written step that is a block: `Bottleneck(64)`, with its operands in braces."""

    key: int
    name: str
    block: Block
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    lines: list[Line] | None = None
    span: Span | None = None


@record(frozen=False)
class Group(Record):
    """Bare braces: a sequence of lines."""

    key: int
    body: list[Line]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


@record(frozen=False)
class Repeat(Record):
    """`term * n`: one term an iteration; `shared` where these are one module."""

    key: int
    items: list[Term]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    shared: bool = False


@record(frozen=False)
class Loop(Record):
    """`for`, over the rows of a table or a range.

    `names` are the columns, `rows` their values; `bodies` the lines of each iteration.
    """

    key: int
    names: tuple[str, ...]
    rows: list[tuple[object, ...]]
    bodies: list[list[Line]]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    table: bool = False


@record(frozen=False)
class Each(Record):
    """`F each { … }`: one module, called once a line; `row` maps it over the first axis.

    Of the latter `nodes` are the layers where the rows join the batch and leave it.
    """

    key: int
    calls: list[Term]
    lines: list[Line] | None
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    row: bool = False
    nodes: tuple[str, ...] = ()


Term = Step | Call | Group | Repeat | Loop | Each


@record(frozen=False)
class Line(Record):
    """One line of a file: `label: source -> term -> term when condition`.

    `key` is the same for every instance of the line. A line whose condition is false has
    `on` false and no terms. `alternative` marks an `else`, whose `condition` is the one
    it is the alternative of. `source` is the written one; None continues the line above
    (in a join: starts from `skip`).
    """

    key: int
    labels: tuple[str, ...]
    index: tuple[int, ...]
    on: bool
    condition: Expression | None
    alternative: bool
    source: tuple[Tensor, ...] | None
    terms: list[Term]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    span: Span | None = None


@record(frozen=False)
class Block(Record):
    """One call of a block, or the model itself.

    `arguments` maps its parameters to values in the caller's terms, `names` every value
    that its lines can name (parameters, `let`, sizes) to the value itself; `inputs` and
    `outputs` map ports to tensors, the inputs' shapes in the block's own terms.
    """

    definition: Definition
    path: Path
    arguments: dict[str, object]
    names: dict[str, object]
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]
    body: list[Line]
    stack: tuple[str, ...] = ()
    ports: tuple[tuple[str, str], ...] = ()
    """Of each output port the label inside, and what it is called outside."""
    declared: object = field(default=None, repr=False, compare=False)
    """The declaration, for whoever translates what is written."""


Item = Line | Term
T = TypeVar("T", bound=Block | Item)


def inside(item: Block | Item, *, into_blocks: bool = True) -> list[Item]:
    """What stands in an item, one level down and in the order of the text.

    Operands stand before what takes them; the lines of the block that a call opens are in
    the call, unless they are not asked for.
    """
    match item:
        case Block(body=body) | Group(body=body):
            return [*body]
        case Line(terms=terms) | Repeat(items=terms):
            return [*terms]
        case Step(lines=lines):
            return [*(lines or ())]
        case Call(lines=lines, block=block):
            return [*(lines or ()), *(block.body if into_blocks else ())]
        case Loop(bodies=bodies):
            return [line for body in bodies for line in body]
        case Each(lines=lines, calls=calls):
            return [*(lines or ()), *calls]


def walk(items: Iterable[Item], *, into_blocks: bool = True) -> Iterator[Item]:
    """Items and all that stands in them, each before what is in it, without recursion."""
    stack = [*items][::-1]
    while stack:
        item = stack.pop()
        yield item
        stack += reversed(inside(item, into_blocks=into_blocks))


def blocks(block: Block) -> Iterator[Block]:
    """The blocks called below one, in order, itself not included."""
    return (item.block for item in walk(block.body) if isinstance(item, Call))


def one_each(turns: Iterable[Term]) -> bool:
    """Whether each turn of a repeat gives one tensor, which then is `x[i]`.

    Of more, and of a family, it is an output of the last turn.
    """
    families = (isinstance(t, Call) and any("[" in n for n in t.block.outputs) for t in turns)
    return all(len(t.outputs) == 1 for t in turns) and not any(families)


def nodes_of(items: Iterable[Item], *, into_blocks: bool = True) -> Iterator[str]:
    """The graph's nodes that items made; of `each row` the rows' ways in and out too."""
    for item in walk(items, into_blocks=into_blocks):
        if isinstance(item, Step | Each):
            yield from item.nodes


def rebuilt(item: T, change: Callable[[Any], Any]) -> T:
    """The item with everything one level down in it changed."""

    def changed(items: Iterable[Any] | None) -> list[Any] | None:
        return None if items is None else [change(inner) for inner in items]

    new: dict[str, Any] = {}
    match item:
        case Block(body=body) | Group(body=body):
            new["body"] = changed(body)
        case Line(terms=terms):
            new["terms"] = changed(terms)
        case Step(lines=lines):
            new["lines"] = changed(lines)
        case Call(block=block, lines=lines):
            new |= {"lines": changed(lines), "block": rebuilt(block, change)}
        case Repeat(items=items):
            new["items"] = changed(items)
        case Loop(bodies=bodies):
            new["bodies"] = [changed(body) for body in bodies]
        case Each(lines=lines, calls=calls):
            new |= {"lines": changed(lines), "calls": changed(calls)}
    return replace(item, **new)


def labels_in(block: Block, outputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What each label stands for, outer ones first: `c2`, `fpn.p3`, `head[0].cls`, `c3.add`.

    They are the names that a line of the file could use. What is labelled in a turn of a
    repeat also has that turn's number: `c3[1].add`.
    """
    found = dict(outputs)
    level = [_Named("", line) for line in block.body]
    while level:
        for name, tensor in (pair for known in level for pair in _named(known)):
            found.setdefault(name, tensor)
        level = [below for known in level for below in _below(known)]
    return found


@record
class _Named(Record):
    """An item with the labels in front of its names; `depth` counts the turns around it."""

    prefix: str
    item: Item
    depth: int = 0
    ports: tuple[tuple[str, str], ...] = ()
    """The output ports of the block whose labels these are."""

    def at(self, prefix: str, items: Iterable[Item]) -> list[_Named]:
        """Items below it, behind a prefix."""
        ports = self.ports if prefix == self.prefix else ()
        return [_Named(prefix, item, self.depth, ports) for item in items]

    def turn(self, prefix: str, items: Iterable[Item]) -> list[_Named]:
        """Items in a turn; without its number only a few loops deep, as there are two ways."""
        deeper = self.depth + 1
        if prefix and prefix == self.prefix and deeper > NUMBERLESS:
            return []
        return [_Named(prefix, item, deeper) for item in items]

    def seen(self, label: str) -> list[str]:
        """A label's names from outside: an output's, and its own where no output has that."""
        renamed = [self.prefix + outside for inside, outside in self.ports if inside == label]
        hidden = any(label == outside for _, outside in self.ports)
        return renamed if hidden else [*renamed, self.prefix + label]


NUMBERLESS = 4
"""So many loops deep a label is also called by the labels alone."""


def _named(known: _Named) -> Iterator[tuple[str, Tensor]]:
    """The names that a line or a term gives, with the tensors they stand for."""
    prefix, item = known.prefix, known.item
    match item:
        case Line(on=True, labels=names, outputs=outputs):
            for label, tensor in zip(names, outputs, strict=False):
                for name in known.seen(label):
                    yield _indexed(name, item), tensor
            if len(names) == 1:
                for name in known.seen(names[0]):
                    yield from _members(_indexed(name, item), item)
        case Step(named=names, outputs=outputs) if prefix:
            yield from ((f"{prefix}{n}", t) for n, t in zip(names, outputs, strict=False))
        case Call(block=block, outputs=outputs) if prefix:
            yield from _ports(prefix, block, outputs)
        case Each(row=True, calls=[Call(block=block)], outputs=outputs) if prefix:
            for name, tensor in _ports(prefix, block, outputs):
                yield from ((name, tensor), (f"{name}[0]", tensor))


def _members(name: str, line: Line) -> Iterator[tuple[str, Tensor]]:
    """`c3[0]`, `c3[1]`, …: what each turn or call gives where there are some, else outputs."""
    match line.terms[-1:]:
        case [Loop(bodies=bodies)]:
            lasts = [[line.outputs for line in body if line.on][-1:] for body in bodies]
            results = [last[0] if last else () for last in lasts]
        case [Each(row=False, calls=calls)]:
            results = [call.outputs for call in calls]
        case [Repeat(items=items)] if one_each(items):
            results = [item.outputs for item in items]
        case _:
            results = [(tensor,) for tensor in line.outputs]
    for number, outputs in enumerate(results):
        yield from ((f"{name}[{number}]", tensor) for tensor in outputs[:1])


def _ports(
    prefix: str, block: Block, outputs: tuple[Tensor, ...]
) -> Iterator[tuple[str, Tensor]]:
    named = zip(block.outputs, outputs, strict=True)
    return ((f"{prefix}{name}", tensor) for name, tensor in named if name)


def _below(known: _Named) -> list[_Named]:
    """What is written in a line or a term, with the labels in front of its names."""
    prefix, item = known.prefix, known.item
    match item:
        case Line(labels=(), terms=[Loop() as loop]):
            # What stands in a loop without a label is named as if it stood outside.
            return known.at(prefix, inside(loop))
        case Line(labels=names, terms=terms):
            # The last of a chain hides what others call alike.
            seen = known.seen(names[0]) if names else []
            inner = [f"{_indexed(name, item)}." for name in seen] if names else [prefix]
            return [below for at in inner for below in known.at(at, terms[::-1])]
        case Repeat(items=terms):
            # Without a number it is the last turn.
            named = zip(_iterations(prefix, len(terms)), terms, strict=True)
            turns = named if prefix and one_each(terms) else ()
            each = [below for at, term in turns for below in known.turn(at, [term])]
            return [*known.turn(prefix, terms[-1:] if prefix else terms[::-1]), *each]
        case Each(row=False, calls=terms, lines=lines):
            named = zip(_iterations(prefix, len(terms)), terms, strict=True)
            each = [below for at, term in named for below in known.at(at, [term])]
            return [*known.at(prefix, lines or []), *each]
        case Loop(bodies=bodies):
            # Without a number it is the first turn that has such a label.
            numbers = _iterations(prefix, len(bodies)) if prefix else []
            bodied = [known.turn(at, body) for at, body in zip(numbers, bodies, strict=False)]
            return [*known.turn(prefix, inside(item)), *(b for body in bodied for b in body)]
        case Call(block=block, lines=lines):
            # Labels inside a call are seen through the label of its line alone.
            body = block.body if prefix else []
            found = [_Named(prefix, line, known.depth, block.ports) for line in body]
            return [*found, *known.at(prefix, lines or [])]
        case Each(calls=[Call(block=block)]):
            # Inside there are no rows: of an output only the name is seen.
            hidden = tuple(("", outside) for _, outside in block.ports)
            return [_Named(prefix, line, known.depth, hidden) for line in block.body]
        case _:
            return known.at(prefix, inside(item))


def _iterations(prefix: str, count: int) -> list[str]:
    stem = prefix.removesuffix(".")
    return [f"{stem}[{number}]." if stem else "" for number in range(count)]


def _indexed(label: str, line: Line) -> str:
    return f"{label}[{', '.join(map(str, line.index))}]" if line.index else label


@contextmanager
def deep_recursion() -> Iterator[None]:
    """Room on the stack for blocks nested to the limit; Python's default is 1,000 calls."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, 20_000))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)
