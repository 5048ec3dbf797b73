"""Tensors as terms: what is computed of what, numbered so that equal terms are one value.

A term is an operation with its attributes, the key of its weights and the numbers of its
operands. The network's nodes and the file's calls are numbered in one table: they compute
the same where their numbers are equal (value numbering: Alpern, Wegman & Zadeck 1988).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import field

from cnndsl.backends.torch.proof.faults import ProofError
from cnndsl.records import Record, record

Attributes = tuple[tuple[str, object], ...]
"""The arguments that are not at their defaults, by name."""


@record
class Batch(Record):
    """A size that is a multiple of the batch's, which no file knows: `4·N`."""

    factor: int

    def __str__(self) -> str:
        """`N`, `4·N`."""
        return "N" if self.factor == 1 else f"{self.factor}·N"


Extent = int | Batch
Extents = tuple[Extent, ...]


@record
class Term(Record):
    """`head(operands, **attributes)`; `key` is where its weights are registered."""

    head: str
    attributes: Attributes = ()
    operands: tuple[int, ...] = ()
    key: str | None = None


@record(frozen=False)
class Storage(Record):
    """The memory of a tensor: what wrote it, how often, and how many have read it."""

    writer: str
    version: int = 0
    readers: int = 0


@record
class Tensor(Record):
    """A value in a run of the file: its term's number, its shape if that is known."""

    number: int
    shape: Extents | None
    storage: Storage
    version: int = 0


IN_PLACE = frozenset(
    """
    add torch.cat nn.Linear nn.GroupNorm nn.BatchNorm1d nn.BatchNorm2d nn.BatchNorm3d
    nn.Conv1d nn.Conv2d nn.Conv3d nn.ConvTranspose1d nn.ConvTranspose2d nn.ConvTranspose3d
    """.split()  # noqa: SIM905 - names
)
"""Whose results may be overwritten: their gradients do not need them."""


@record(frozen=False)
class Numbering(Record):
    """The table of terms, with what the network says of their values."""

    numbers: dict[Term, int] = field(default_factory=dict)
    terms: list[Term] = field(default_factory=list)
    shapes: dict[int, Extents] = field(default_factory=dict)
    parts: dict[int, tuple[int, ...]] = field(default_factory=dict)
    """The values of a term that has several."""
    names: dict[int, str] = field(default_factory=dict)
    """The network's layer, or the input, that has the value."""
    layers: dict[Term, str] = field(default_factory=dict)
    """The terms with weights or with a state, and what the network calls them."""
    calls: Counter[Term] = field(default_factory=Counter)
    """How often the terms of `layers` are computed, by the network less by the file."""
    updates: dict[str, list[Term]] = field(default_factory=dict)
    """By the key of running statistics, what updates them in training, in order."""
    drawn: Counter[Term] = field(default_factory=Counter)
    """How often a random layer has been applied so far."""
    seen: set[int] = field(default_factory=set)
    """The values that have been computed since the network's."""
    closed: bool = False
    """Whether all of the network is numbered, so that a file may follow."""

    def number(self, term: Term) -> int:
        """The term's number, a new one for a new term."""
        found = self.numbers.get(term)
        if found is None:
            found = self.numbers[term] = len(self.terms)
            self.terms.append(term)
        self.seen.add(found)
        return found

    def close(self) -> None:
        """From here on it is a file that is numbered."""
        self.closed = True
        self.drawn.clear()
        self.seen.clear()

    def tensor(self, term: Term, shape: Extents | None = None) -> Tensor:
        """A new tensor that holds the term's value."""
        number = self.number(term)
        if shape is not None:
            self.shapes.setdefault(number, shape)
        return self.held(number, term.head)

    def held(self, number: int, writer: str) -> Tensor:
        """A new tensor of a known number."""
        return Tensor(number, self.shapes.get(number), Storage(writer))

    def view(self, term: Term, shape: Extents, of: Tensor) -> Tensor:
        """A tensor that may share the memory of another."""
        number = self.number(term)
        self.shapes.setdefault(number, shape)
        return Tensor(number, shape, of.storage, of.version)

    def values(self, tensor: Tensor) -> Tensor | tuple[Tensor, ...]:
        """The tensor itself; of a term with several values each."""
        parts = self.parts.get(tensor.number)
        if parts is None:
            return tensor
        return tuple(self.held(part, tensor.storage.writer) for part in parts)

    def spell(self, number: int, depth: int = 2) -> str:
        """A value in the network's words, or as what it is computed of."""
        name = self.names.get(number)
        if name is not None:
            return name
        term = self.terms[number]
        said = spell_call(term.head, term.attributes)
        if not term.operands or depth == 0:
            return said
        return f"{said} of {self.several(term.operands, depth - 1)}"

    def several(self, numbers: tuple[int, ...], depth: int = 1) -> str:
        """The values, with `and`."""
        shown = [self.spell(number, depth) for number in numbers[:6]]
        shown += ["…"] if len(numbers) > 6 else []
        return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def spell_call(head: str, attributes: Attributes) -> str:
    """`nn.Conv2d(in_channels=3, kernel_size=(3, 3))`."""
    shown = ", ".join(f"{name}={spell_value(value)}" for name, value in attributes)
    return f"{head}({shown})" if attributes or head.startswith("nn.") else head


def spell_value(value: object) -> str:
    """A value as Python writes it; a batch is N."""
    if isinstance(value, tuple):
        inner = ", ".join(map(spell_value, value))
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    return str(value) if isinstance(value, Batch) else repr(value)


def read(tensor: Tensor) -> int:
    """The number of an operand.  Raises ProofError: its memory holds another value."""
    storage = tensor.storage
    if tensor.version != storage.version:
        raise ProofError("this tensor was overwritten in place before it is read")
    storage.readers += 1
    return tensor.number


def overwritten(tensor: Tensor, result: Tensor, writer: str) -> Tensor:
    """The result of an operation in place, in the memory of its operand, read before.

    Raises ProofError: another reader, or a gradient, would miss the old value.
    """
    storage = tensor.storage
    if storage.writer not in IN_PLACE or storage.readers > 1:
        raise ProofError("this works in place on a tensor that something else reads")
    storage.version += 1
    storage.readers, storage.writer = 0, writer
    return Tensor(result.number, result.shape, storage, storage.version)
