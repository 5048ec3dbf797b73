"""A recorded call of PyTorch's and what its tensors are to us; the layers that are made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Any

from cnndsl.diagnostics import ArchError
from cnndsl.importing.flow import Layer, Scope, Value, refused
from cnndsl.ops.base import OPS
from cnndsl.ops.facts import Shape
from cnndsl.records import Record, record

BATCH = 2


@record
class Seen(Record):
    """A recorded tensor as ours: `batch` is the place of the batch among its axes there.

    `merged` says that this axis holds rows of each sample as well, which are our axis at that
    place: 1, where a sample's rows lie together; 2, where each row's samples do. `shape` is
    the recorded one. What is the same for all samples has no batch there: `batch` is −1.
    """

    value: Value
    shape: Shape
    batch: int = 0
    merged: int = 0
    ours: Shape = ()
    """The shape of the value, per sample."""
    rows: int = 1
    """How many rows of each sample stand in the batch as samples of their own."""

    def axis(self, axis: int) -> int | None:
        """Our axis for one of theirs; None is the batch."""
        axis %= len(self.shape)
        if self.merged or self.batch < 0:
            return axis
        return None if axis == self.batch else axis - (axis > self.batch)


@record
class Constant(Record):
    """A parameter, a buffer, or what is computed of them alone.

    `name` is empty where its elements are no longer those of one parameter in order; then
    `made` says by which operation.
    """

    name: str
    shape: Shape
    made: str = ""
    value: Any = field(default=None, repr=False)
    """Its numbers, where no parameter is in them."""
    lift: Callable[[Seen], Seen] | None = field(default=None, repr=False)
    """It as layers, beside a tensor that flows: it says how many samples there are."""
    given: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The arguments that it was made of."""
    buffer: bool = False
    """Whether training leaves it as it is."""
    each: Shape | None = None
    """The shape of what it was given to each sample as, where it was."""
    saved: bool = False
    """Whether it is a number that is saved with the weights, which others may replace."""

    @property
    def spoken(self) -> str:
        """Its name, or what made it."""
        return f"`{self.name}`" if self.name else f"`{self.made}` of parameters"


Seeable = Seen | Constant


@record
class Call(Record):
    """One recorded call, its arguments by name, and what they are to us."""

    name: str
    word: str
    """The operation without `aten.` and the `_` of those that write in place."""
    given: dict[str, Any]
    shapes: tuple[Shape, ...]
    reader: Reader = field(repr=False)

    def __getitem__(self, name: str) -> Any:
        """An argument; a tensor as `Seen` or `Constant`."""
        return self.given.get(name)

    def refuse(self, reason: str) -> ArchError:
        """What a file cannot say of this call."""
        return refused(f"`{self.word}` {reason}", self.reader.where)

    def tensor(self, name: str, *, plain: bool = False) -> Seen:
        """A tensor of the flow; `plain` has the batch first, alone.  Raises ArchError."""
        found = self.given[name]
        return self.seen(found, plain=plain)

    def seen(self, found: object, *, plain: bool = False) -> Seen:
        """The same, of one in a list."""
        if isinstance(found, Constant):
            raise self.refuse(
                f"of {found.spoken}, which is a parameter and no tensor that flows"
            )
        if not isinstance(found, Seen):
            raise self.refuse(f"of {found!r}")
        if plain and found.merged == 1 and not found.batch:
            found = self.apart(found)
        if plain and (found.merged or found.batch):
            raise self.refuse("of a tensor whose batch is merged with another axis, or moved")
        return found

    def apart(self, found: Seen) -> Seen:
        """Rows that lie in the batch as samples of their own."""
        known, rows = self.reader.apart, found.ours[0]
        if found.value not in known:
            inner = found.ours[1:]
            known[found.value] = self.layer("unbatch", [found], [inner], rows=rows)
        return self.reader.seen(known[found.value], found.shape)

    def together(self, found: Seen) -> Seen:
        """The rows of a sample that stand in the batch as an axis again."""
        whole = (found.rows, *found.ours)
        return self.reader.seen(self.layer("rebatch", [found], [whole], rows=found.rows))

    def weight(self, name: str) -> Constant | None:
        """A parameter as it is stored.  Raises ArchError: one that is computed."""
        found = self.given[name]
        if found is None:
            return None
        if isinstance(found, Seen):
            raise self.refuse(f"whose {name} is computed from the input")
        assert isinstance(found, Constant)
        if not found.name:
            raise self.refuse(
                f"whose {name} is computed from parameters by `{found.made}`: a file has"
                " no operation on weights alone"
            )
        if found.buffer and not name.startswith("running_"):
            raise self.refuse(
                f"whose {name} is the buffer `{found.name}`: a file would learn it"
            )
        return found

    def sizes(self, name: str, rank: int) -> tuple[int, ...]:
        """Integers for each spatial axis."""
        value = self.given[name]
        values = tuple(value) if isinstance(value, list | tuple) else (value,)
        return values * rank if len(values) == 1 else values

    def layer(
        self,
        word: str,
        inputs: Sequence[Seen],
        shapes: Sequence[Shape] | None = None,
        weights: Mapping[str, str] | None = None,
        **arguments: Any,
    ) -> Value:
        """Add a layer; without `shapes` it gives what the call gives, its batch first."""
        found = shapes if shapes is not None else [shape[1:] for shape in self.shapes]
        values = tuple(seen.value for seen in inputs)
        return self.reader.add(self.name, word, arguments, values, found, weights or {})

    def gives(self, value: Value, batch: int = 0, *, merged: int = 0) -> Seen:
        """The result of the call."""
        return self.reader.seen(value, self.shapes[0], batch, merged=merged)

    def like(self, value: Value, other: Seen) -> Seen:
        """The result, with its batch where another tensor has it."""
        return self.reader.seen(value, self.shapes[0], other.batch, merged=other.merged)


class Reader:
    """The layers that were made, and what each recorded tensor is."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.layers: list[Layer] = []
        self.shapes: dict[Value, Shape] = {}
        self.scopes: tuple[Scope, ...] = ()
        self.names: set[str] = set()
        self.learned: dict[tuple[str, Shape], Value] = {}
        """The `learned` tensor of each parameter that is read as one."""
        self.batch = BATCH
        self.apart: dict[Value, Value] = {}
        """The rows of a tensor as samples of their own."""
        self.rows: dict[Value, int] = {}
        self.rounds = False
        """Whether the program rounds to single precision whatever it is run in."""

    def seen(
        self,
        value: Value,
        shape: Shape | None = None,
        batch: int = 0,
        *,
        merged: int = 0,
    ) -> Seen:
        """A tensor of the flow, by default with the batch first."""
        ours, rows = self.shapes[value], self.rows.get(value, 1)
        whole = (self.batch * rows, *ours) if shape is None else shape
        return Seen(value, whole, batch, merged, ours, rows)

    @property
    def where(self) -> str:
        """The path of the module whose call is read."""
        return self.scopes[-1].path if self.scopes else ""

    def add(
        self,
        name: str,
        word: str,
        arguments: dict[str, object],
        inputs: tuple[Value, ...],
        shapes: Sequence[Shape],
        weights: Mapping[str, str],
    ) -> Value:
        """Add a layer under a name that is free."""
        free, number = name, 1
        while free in self.names:
            number += 1
            free = f"{name}.{number}"
        self.names.add(free)
        outputs = tuple(tuple(map(int, shape)) for shape in shapes)
        layer = Layer(free, word, arguments, inputs, outputs, self.scopes, dict(weights))
        self.layers.append(layer)
        self.shapes.update({(free, number): shape for number, shape in enumerate(outputs)})
        rows = max((self.rows.get(value, 1) for value in inputs), default=1)
        if word in OPS and OPS[word].rows_joined:
            rows = int(str(arguments["rows"])) if word == "unbatch" else 1
        self.rows.update({(free, number): rows for number in range(len(outputs))})
        return (free, 0)
