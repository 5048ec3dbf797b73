"""Adding layers to the graph: shapes are worked out here, and refusals get their place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from cnndsl.diagnostics import Diagnostic, Fault, OpError, Span, fault
from cnndsl.graph import Node, Wires, key_of
from cnndsl.language.names import Frame
from cnndsl.language.naming import Site
from cnndsl.ops.base import OPS, Op
from cnndsl.ops.facts import Places, Shape, Weight, spell_shape
from cnndsl.ops.values import spell
from cnndsl.records import Record, record
from cnndsl.structure import Path, Tensor

EXTENT = 2**40
"""No axis is longer: a size beyond it is a slip."""


@record
class OpCall(Record):
    """An operation as it was written: its attributes, where each was given, what is fused."""

    op: Op
    span: Span
    places: dict[str, Span]
    fused: tuple[OpCall | None, ...] = ()


@record
class Place(Record):
    """Where a step stands: the module of its block, and its name as shown.

    `turns` are the numbers of the repeats and loops around it, by the `id` of their terms;
    `suffix` the same as they are shown. `loose` is set inside a `for` without a label,
    where nothing may hold weights; `home` is where the indexed labels in a `for` belong.
    """

    prefix: Path = ()
    name: str = ""
    suffix: Path = ()
    turns: tuple[tuple[int, int], ...] = ()
    loose: bool = False
    shared: bool = False
    rows: int = 1
    home: Place | None = None

    def path(self, site: Site | None, segment: str) -> Path:
        """The module path of a step here; one without a module has only a name."""
        if site is None:
            return (*self.prefix, segment)
        turns = dict(self.turns)
        inner = (p if isinstance(p, int) else turns[p.term] for p in site.inner)
        return (*self.prefix, site.name, *inner)

    def shown(self, segment: str) -> str:
        """The node's name."""
        parts = [self.name] if self.name else []
        return ".".join([*parts, segment, *map(str, self.suffix)])

    def below(self, segment: str, index: Path = ()) -> Place:
        """The place inside a label."""
        at = (self.home or self) if index else self
        name = ".".join([at.shown(segment), *map(str, index)])
        loose = at.loose and not index
        return replace(self, name=name, suffix=(), loose=loose, home=None)

    def opened(self, site: Site | None, segment: str) -> Place:
        """The place inside a block that is called here."""
        path, name = self.path(site, segment), self.shown(segment)
        return Place(path, name, (), (), self.loose, self.shared, self.rows)

    def repeated(self, term: int, index: int) -> Place:
        """The place in one turn of a repeat."""
        return replace(self, suffix=(*self.suffix, index), turns=(*self.turns, (term, index)))

    def again(self, index: int) -> Place:
        """The place in one turn of a repeat whose turns are one module."""
        return replace(self, suffix=(*self.suffix, index), shared=self.shared or index > 0)

    def iteration(self, term: int, index: int, *, labelled: bool) -> Place:
        """The place in one turn of a `for`, under its label."""
        name = ".".join([*([self.name] if self.name else []), *map(str, (*self.suffix, index))])
        loose, turns = self.loose or not labelled, (*self.turns, (term, index))
        home = self.home or self
        return replace(self, name=name, suffix=(), turns=turns, loose=loose, home=home)

    def called(self, index: int) -> Place:
        """The place in one call of an `each`: the same path, another name."""
        return replace(self, name=f"{self.name}[{index}]", shared=self.shared or index > 0)


def impossible(op: Op, shapes: tuple[Shape, ...], inputs: tuple[Shape, ...]) -> Shape | None:
    """The first output whose sizes are not positive; only a number of boxes may be 0."""
    empty = op.empty or any(size < 1 for shape in inputs for size in shape)
    least = 0 if empty else 1
    for shape in shapes:
        if any(size < least or size > EXTENT for size in shape):
            return shape
    return None


def would_give(op: Op, shape: Shape, inputs: tuple[Shape, ...]) -> str:
    """What an operation would give, in words."""
    seen = " and ".join(map(spell_shape, inputs))
    return f"`{op.name}` would give {spell_shape(shape)} from {seen}"


def _check_whole(op: Op, operands: tuple[Tensor, ...], whole: list[bool]) -> None:
    """Raises OpError: whole numbers enter what PyTorch computes in floats."""
    for number, (tensor, one) in enumerate(zip(operands, whole, strict=True)):
        if one and not op.takes_whole(number):
            message = f"`{op.name}` cannot take the whole numbers of `{tensor.node}`"
            raise OpError(message, help="`div(1)` converts them to floats", operand=number)


class Nodes:
    """The graph under construction."""

    def __init__(self, wires: Wires) -> None:
        """Start with no nodes."""
        self.wires = wires
        self.shapes: dict[str, tuple[Shape, ...]] = {}
        self.spans: dict[str, Span] = {}
        self.owners: dict[Path, tuple[Span, Op, dict[str, Weight]]] = {}
        self.numbers: dict[str, int] = {}
        """By name, the next number that a layer of that name may take."""
        self.whole: set[tuple[str, int]] = set()
        """The outputs that are whole numbers."""
        self.warnings: list[Diagnostic] = []

    def input(self, name: str, shape: Shape, span: Span) -> Tensor:
        """A port of the model."""
        if any(not 1 <= size <= EXTENT for size in shape):
            message = f"the input `{name}` is {spell_shape(shape)}"
            raise fault("E403", message, span, help=_extent(shape))
        op = OPS["input"](tuple(int(size) for size in shape))
        self.wires.add(Node(name, op, (name,), span), ())
        self.shapes[name], self.spans[name] = (shape,), span
        return Tensor(name, 0, shape)

    def add(
        self,
        call: OpCall,
        operands: tuple[Tensor, ...],
        place: Place,
        segment: str,
        frame: Frame,
        path: Path,
    ) -> tuple[Tensor, ...]:
        """One layer.  Raises Fault: the operation refuses its inputs."""
        inputs = tuple(map(self._seen, operands))
        whole = [(tensor.node, tensor.output) in self.whole for tensor in operands]
        try:
            _check_whole(call.op, operands, whole)
            op = call.op.resolved(*inputs)
            shapes = op.shapes(*inputs)
            weights = op.weights(*inputs)
        except OpError as error:
            raise self._placed(error, call, operands, frame) from None
        self._check(op, shapes, inputs, call, frame)
        for name, other in op.unused(*inputs).items():
            if name in call.places:
                message = f"`{op.name}` does not use `{name}` with {other}"
                where, stack = call.places[name], frame.stack
                raise fault("E301", message, where, stack=stack, help="leave it out")
        if weights:
            self._own(path, op, weights, place, call, frame)
        name = self._unique(place.shown(segment))
        around = (frame.stack, place.shared, int(place.rows))
        node = Node(name, op, path, call.span, *around, tuple(call.places.items()))
        self.wires.add(node, ((tensor.node, tensor.output) for tensor in operands))
        self.shapes[name], self.spans[name] = shapes, call.span
        for number, output in enumerate(op.output_names(len(shapes))):
            if output in op.integers or op.gives_whole(whole):
                self.whole.add((name, number))
        return tuple(Tensor(name, number, shape) for number, shape in enumerate(shapes))

    def _seen(self, tensor: Tensor) -> Shape:
        """A tensor's shape in the block's terms; places in the map that they are of."""
        made = self.shapes[tensor.node][tensor.output]
        return Places(tensor.shape, made.plane) if isinstance(made, Places) else tensor.shape

    def rows(
        self, tensor: Tensor, count: int, place: Place, span: Span, frame: Frame
    ) -> Tensor:
        """`[N, …]` to `[…]`, the rows joined to the batch: the entry of `each row`."""
        call = OpCall(OPS["unbatch"](count), span, {})
        return self.add(call, (tensor,), place, "rows", frame, place.path(None, "rows"))[0]

    def unrows(
        self, tensor: Tensor, count: int, place: Place, span: Span, frame: Frame
    ) -> Tensor:
        """`[…]` back to `[N, …]`: the end of `each row`."""
        call = OpCall(OPS["rebatch"](count), span, {})
        return self.add(call, (tensor,), place, "unrows", frame, place.path(None, "unrows"))[0]

    def warn_hidden(self, name: str, span: Span) -> None:
        """A label bears the name of an operation, which it hides."""
        self.warn("W201", f"the label `{name}` hides the operation of that name", span)

    def warn(self, code: str, message: str, span: Span, help: str = "") -> None:
        """Warn of a place once."""
        if not any(w.span == span for w in self.warnings):
            self.warnings.append(Diagnostic(code, message, span, help=help))

    def _unique(self, name: str) -> str:
        """A node's name; two layers without weights may share a path."""
        if name not in self.wires:
            return name
        number = self.numbers.get(name, 2)
        while f"{name}_{number}" in self.wires:
            number += 1
        self.numbers[name] = number + 1
        return f"{name}_{number}"

    def _own(
        self,
        path: Path,
        op: Op,
        weights: dict[str, Weight],
        place: Place,
        call: OpCall,
        frame: Frame,
    ) -> None:
        """Claim a module path for a layer's weights."""
        span = call.span
        if place.loose:
            raise Fault(
                Diagnostic(
                    "E212",
                    "a `for` with weights needs a label",
                    span,
                    stack=frame.stack,
                    help="label the `for` (`name: for …`) or the line (`name[i]: …`)",
                )
            )
        if path not in self.owners:
            self.owners[path] = (span, op, weights)
            return
        first, known, shapes = self.owners[path]
        assert place.shared, f"two modules have the path {key_of(path)}"
        for name, held, wanted in _compared(known, op, shapes, weights):
            if held == wanted:
                continue
            owned = name in shapes or name in weights
            shown = f"{key_of(path)}.{name}" if owned else name
            message = f"the module cannot be shared: `{shown}` is {held}"
            found = Diagnostic("E405", f"{message}, but this call needs {wanted}", span)
            help = "a shared module has the same channels and arguments in each call"
            related = ((first, "the first call"),) if first != span else ()
            raise Fault(replace(found, related=related, stack=frame.stack, help=help))

    def _check(
        self,
        op: Op,
        shapes: tuple[Shape, ...],
        inputs: tuple[Shape, ...],
        call: OpCall,
        frame: Frame,
    ) -> None:
        """Sizes are positive; only a number of boxes may be 0."""
        shape = impossible(op, shapes, inputs)
        if shape is not None:
            message = would_give(op, shape, inputs)
            help = _extent(shape)
            raise Fault(Diagnostic("E403", message, call.span, stack=frame.stack, help=help))

    def _placed(
        self, error: OpError, call: OpCall, operands: tuple[Tensor, ...], frame: Frame
    ) -> Fault:
        """An operation's refusal with its place."""
        where = error.attribute or ("" if error.operand is None else f"operand {error.operand}")
        span = call.places.get(where, call.span)
        shown = operands if error.operand is None else (operands[error.operand],)
        note = ", ".join(spell_shape(tensor.shape) for tensor in shown[:4])
        related = tuple(
            (place, f"{spell_shape(tensor.shape)} comes from here")
            for tensor in shown[:4]
            if (place := self.spans.get(tensor.node)) is not None and place != call.span
        )
        verb = "arrive" if len(shown) > 1 else "arrives"
        found = Diagnostic(
            error.code, error.message, span, f"{note} {verb} here" if note else ""
        )
        found = replace(found, related=related, stack=frame.stack, help=error.help)
        return Fault(found)


def _extent(shape: Shape) -> str:
    return "every size is at least 1" if min(shape) < 1 else f"no size is over {EXTENT:,}"


def _compared(
    op: Op, other: Op, weights: dict[str, Weight], others: dict[str, Weight]
) -> Iterator[tuple[str, str, str]]:
    """The weights and arguments of two calls of one module."""
    for name in dict.fromkeys((*weights, *others)):
        yield name, _spelt(weights.get(name)), _spelt(others.get(name))
    for parameter in type(op).parameters if type(op) is type(other) else ():
        one, two = getattr(op, parameter.name), getattr(other, parameter.name)
        yield parameter.name, spell(one), spell(two)


def _spelt(weight: Weight | None) -> str:
    return spell_shape(weight.shape) if weight is not None else "absent"
