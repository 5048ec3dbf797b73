"""The tree of modules in a flow, and the lines of each of them.

Containers and PyTorch's own modules make no blocks, nor does a module of one convolution: what
is left are the blocks that a paper would name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field, replace
from typing import Any

from cnndsl.importing.flow import RESERVED, Flow, Layer, Scope, Value, refused
from cnndsl.importing.simplify import uses
from cnndsl.importing.terms import Body, Chain, Line, Named, Sides, Some, Step, repeated
from cnndsl.ops.base import OPS, Family, Op, Shape
from cnndsl.records import Record, record

SMALL = frozenset({Family.NORM, Family.ACTIVATION, Family.REGULARIZE, Family.RESHAPE})
"""A module of these alone is no block."""


@record(frozen=False)
class Part(Record):
    """An instance of a module: its layers and the parts within it, in order."""

    scope: Scope
    items: list[Layer | Part] = field(default_factory=list)
    inputs: tuple[Value, ...] = ()
    outputs: tuple[Value, ...] = ()
    calls: bool = False
    """Whether its items are calls of one module, or layers of one weight."""

    def __hash__(self) -> int:
        """By identity: a part changes while the tree is built."""
        return id(self)

    def __eq__(self, other: object) -> bool:
        """The same object."""
        return self is other

    def layers(self) -> Iterator[Layer]:
        """All layers within."""
        for item in self.items:
            if isinstance(item, Part):
                yield from item.layers()
            else:
                yield item

    def parts(self) -> Iterator[Part]:
        """The parts directly within."""
        return (item for item in self.items if isinstance(item, Part))


def tree(flow: Flow) -> Part:
    """The network as one part, and in it the modules that make blocks."""
    root, known = Part(Scope("", flow.name)), dict[tuple[str, int], Part]()
    scopes = _hoisted(flow)
    read = Counter(name for layer in flow.layers for name in layer.weights.values())
    again = {s.path for one in flow.layers for s in one.scopes if s.call and s.transparent}
    for layer in flow.layers:
        part = root
        for scope in scopes[layer.name]:
            if scope.transparent and (scope.path not in again or part.scope.call):
                continue
            if scope.transparent:
                scope = replace(scope, kind=scope.label)  # noqa: PLW2901
            place = (scope.path, scope.call)
            if place not in known:
                known[place] = Part(scope)
                part.items.append(known[place])
            part = known[place]
        part.items.append(layer)
    count = uses(flow)
    _dissolve(root, count, read)
    _gather(root, read)
    _ports(root, flow, count)
    _ordered(root, copies=flow.copies)
    return root


def _hoisted(flow: Flow) -> dict[str, tuple[Scope, ...]]:
    """Each layer's scopes; a concatenation stands where what it joins comes from.

    So DenseNet's layers take one tensor, as in the paper's figure, and not all before them.
    """
    found: dict[str, tuple[Scope, ...]] = dict.fromkeys(flow.inputs, ())
    for layer in flow.layers:
        scopes = layer.scopes
        inside = any(found[name][: len(scopes)] == scopes for name, _ in layer.inputs)
        if layer.word == "concat" and scopes and not inside:
            for name, _ in layer.inputs:
                pairs = zip(scopes, found[name], strict=False)
                same = next((n for n, (a, b) in enumerate(pairs) if a != b), len(found[name]))
                scopes = scopes[:same]
        found[layer.name] = scopes
    return found


def _dissolve(
    part: Part, count: Counter[Value], read: Counter[str], *, inside: bool = False
) -> None:
    """Put what is too small for a block, or is no block, into the part around it.

    What is called again is a block, so that all of it is called by one word.
    """
    items: list[Layer | Part] = []
    for item in part.items:
        if isinstance(item, Part):
            names = [name for layer in item.layers() for name in layer.weights.values()]
            again = not inside and bool(names) and all(read[name] > 1 for name in names)
            _dissolve(item, count, read, inside=inside or again)
            again = again and len(item.items) > 1 and len(_boundary(item, count)[0]) == 1
            holds = item.scope.transparent and not again
            items += [item] if again or (not holds and _worthy(item, count)) else item.items
        else:
            items.append(item)
    part.items = items


def _gather(part: Part, read: Counter[str]) -> None:
    """Calls of one module, and layers of one weight, as one item."""
    groups: dict[object, list[Layer | Part]] = {}
    for item in part.items:
        layers = [item] if isinstance(item, Layer) else list(item.layers())
        names = [name for layer in layers for name in layer.weights.values()]
        alone = isinstance(item, Part) or len(item.inputs) == 1
        if names and alone and all(read[name] > 1 for name in names):
            alike = item.arguments if isinstance(item, Layer) else None
            key = (tuple(layer.word for layer in layers), tuple(names), str(alike))
            groups.setdefault(key, []).append(item)
    for calls in groups.values():
        if len(calls) > 1:
            first = calls[0]
            scope = (
                first.scope
                if isinstance(first, Part)
                else Scope(first.where or first.name, first.word)
            )
            part.items[part.items.index(first)] = Part(scope, list(calls), calls=True)
            part.items = [item for item in part.items if item not in calls[1:]]
    for item in part.items:
        for inner in item.items if isinstance(item, Part) and item.calls else [item]:
            if isinstance(inner, Part):
                _gather(inner, read)


def _worthy(part: Part, count: Counter[Value]) -> bool:
    """Whether a module is a block: it does more than one thing, and has inputs and outputs."""
    inputs, outputs = _boundary(part, count)
    if not inputs or not outputs:
        return False
    inner = list(part.parts())
    plain = [item for item in part.items if isinstance(item, Layer)]
    if not plain and len(inputs) > 1 and len(outputs) > 1:
        return False  # it only hands several tensors on
    large = [item for item in plain if OPS[item.word].family not in SMALL]
    return len(large) + len(inner) > 1


def _boundary(part: Part, count: Counter[Value]) -> tuple[tuple[Value, ...], tuple[Value, ...]]:
    """What a part reads from outside, and what outside reads of it."""
    if part.calls:
        ends = [
            _boundary(item, count) if isinstance(item, Part) else (item.inputs, _made(item))
            for item in part.items
        ]
        return tuple(v for i, _ in ends for v in i), tuple(v for _, o in ends for v in o)
    layers = list(part.layers())
    made = {layer.name for layer in layers}
    read = Counter(value for layer in layers for value in layer.inputs)
    inputs = dict.fromkeys(value for value in read if value[0] not in made)
    outputs = [
        (layer.name, number)
        for layer in layers
        for number in range(len(layer.shapes))
        if count[layer.name, number] > read[layer.name, number]
    ]
    return tuple(inputs), tuple(outputs)


def _ports(part: Part, flow: Flow, count: Counter[Value]) -> None:
    part.inputs, part.outputs = _boundary(part, count)
    if not part.scope.path:
        part.inputs = tuple((name, 0) for name in flow.inputs)
        part.outputs = tuple(flow.outputs.values())
    for inner in part.parts():
        _ports(inner, flow, count)


def _ordered(part: Part, *, copies: bool) -> None:
    """Items such that each reads what is made above it; what forbids that is dissolved.

    Raises ArchError (E610): calls of one module, where its weights may not become several.
    """
    while True:
        made: dict[Value, int] = {}
        for number, item in enumerate(part.items):
            made.update(dict.fromkeys(_made(item), number))
        waiting = [
            {made[value] for value in item.inputs if value in made} for item in part.items
        ]
        done: list[int] = []
        left = list(range(len(part.items)))
        while left:
            ready = next((n for n in left if waiting[n] <= set(done)), None)
            if ready is None:
                break
            done.append(ready)
            left.remove(ready)
        if not left:
            part.items = [part.items[n] for n in done]
            break
        whole = (n for n in left if isinstance(one := part.items[n], Part) and not one.calls)
        caught = next(whole, left[0])
        held = part.items[caught]
        assert isinstance(held, Part)
        if held.calls and not copies:
            names = (name for layer in held.layers() for name in layer.weights.values())
            raise refused(
                f"`{next(names)}` is read by {len(held.items)} layers, one behind another: a"
                " file would give each its own copy",
                held.scope.path,
            )
        part.items[caught : caught + 1] = held.items
    for inner in part.parts():
        _ordered(inner, copies=copies)


def _made(item: Layer | Part) -> tuple[Value, ...]:
    if isinstance(item, Part):
        return item.outputs
    return tuple((item.name, number) for number in range(len(item.shapes)))


# The lines of one part


CallOf = Callable[["Part"], tuple[str, dict[str, Any]]]
"""The call of a part's block: its name, and the values of its parameters."""

NORMS = frozenset(name for name, op in OPS.items() if op.family is Family.NORM)
ACTIVATIONS = frozenset(
    name for name, op in OPS.items() if op.family is Family.ACTIVATION and name != "softmax"
)


class Writer:
    """One part's lines: which tensors have labels, and what stands in braces."""

    def __init__(
        self, part: Part, number: int, call: CallOf, flow: Flow, *, fixed: bool = False
    ) -> None:
        """Take a part whose inner parts have blocks already; `fixed` to the sizes of now."""
        self.fixed = fixed
        self.part, self.number, self.call, self.flow = part, number, call, flow
        self.some: Some = frozenset((number,))
        self.makers = {value: item for item in part.items for value in _made(item)}
        self.count = Counter(value for item in part.items for value in item.inputs)
        self.count.update(part.outputs)
        self.begins: dict[int, Value | None] = {}
        root = not part.scope.path
        several = len(part.inputs) > 1 or len(part.outputs) > 1
        self.single = None if root or several else part.inputs[0]
        self.labelled = self._labelled()
        self.labels = self._labels()

    # Which tensors have labels

    def _labelled(self) -> set[Value]:
        """What several lines read, and nothing else."""
        found = {v for item in self.part.items if len(_made(item)) > 1 for v in _made(item)}
        found |= {*self.part.outputs, *self.part.inputs} - {self.single}
        while True:
            whole = self._regions(found)
            open_ = {v for v, n in self.count.items() if n > 1} - whole - found
            open_ &= set(self.makers)
            if not open_:
                return found
            # The first alone: where it has a label, others may need none.
            found.add(next(v for item in self.part.items for v in _made(item) if v in open_))

    def _regions(self, labelled: set[Value]) -> set[Value]:
        """The tensors that one join begins from, all of whose readers are in its braces."""
        self.begins = {}
        read: Counter[Value] = Counter()
        tops: Counter[Value] = Counter()
        for item in self.part.items:
            if isinstance(item, Part) and item.calls:
                self.begins[id(item)] = None
            if len(item.inputs) < 2 or id(item) in self.begins:
                continue
            spines = [self._spine(value, labelled) for value in item.inputs]
            start = self._start([values for values, _ in spines], labelled)
            self.begins[id(item)] = start
            if start is None:
                continue
            tops[start] += 1
            for values, joins in spines:
                if start in values:
                    inner = joins[values.index(start)]
                    read[start] += not inner
                    tops[start] -= inner
        return {v for v, n in tops.items() if n == 1 and read[v] == self.count[v]}

    def _start(self, spines: list[list[Value]], labelled: set[Value]) -> Value | None:
        """What enters a join's braces: what all operands come from that have no label."""
        entered = [s for s in spines if s[-1] in labelled or s[-1] not in self.makers]
        free = [s for s in entered if s[-1] not in labelled]
        for some in (entered, free):
            for value in some[0] if some else ():
                if all(value in other for other in some):
                    return value
        return None

    def _spine(self, value: Value, labelled: set[Value]) -> tuple[list[Value], list[bool]]:
        """From an operand up to a label; and whether a join read each of these tensors."""
        values, joins = [value], [False]
        while value not in labelled and value in self.makers:
            item = self.makers[value]
            joined = len(item.inputs) > 1
            before = self._before(item)
            if before is None:
                break
            values.append(before)
            joins.append(joined)
            value = before
        return values, joins

    # Their names

    def _labels(self) -> dict[Value, str]:
        """Names after the modules that make the tensors."""
        part = self.part
        names: dict[Value, str] = {}
        if self.single is not None:
            names[self.single] = "in"
        elif part.scope.path:
            several = len(part.inputs) > 1
            for number, value in enumerate(part.inputs):
                names[value] = f"x{number + 1}" if several else "x"
        else:
            names.update(((name, 0), name) for name in self.flow.inputs)
        self.ports = self._ports()
        taken = Counter([*names.values(), *self.ports.values(), *RESERVED])
        self.families: dict[tuple[str, str], int] = {}
        for item in part.items:
            made = _made(item)
            if isinstance(item, Part) and item.calls:
                whole = _free(self._named(item), taken)
                for number, one in enumerate(item.items):
                    ends = _made(one)
                    for place, value in enumerate(ends):
                        port = f".y{place + 1}" if len(ends) > 1 else ""
                        names[value] = f"{whole}[{number}]{port}"
                        self.families[whole, port] = len(item.items)
            elif len(made) > 1:
                whole = _free(self._named(item), taken)
                names.update((value, f"{whole}[{n}]") for n, value in enumerate(made))
                self.families[whole, ""] = len(made)
            elif made[0] in self.ports and made[0] not in names:
                names[made[0]] = self.ports[made[0]]
            elif made[0] in self.labelled and made[0] not in names:
                names[made[0]] = _free(self._named(item), taken)
        return names

    def _ports(self) -> dict[Value, str]:
        """The names of the outputs."""
        outputs = self.part.outputs
        if not self.part.scope.path:
            return {value: name for name, value in self.flow.outputs.items()}
        several = len(outputs) > 1
        return {v: f"y{n + 1}" if several else "y" for n, v in enumerate(outputs)}

    def _named(self, item: Layer | Part) -> str:
        """A label for what an item makes: the last name of its module within this one."""
        own, maker = self.part.scope.path, item
        while True:
            if isinstance(maker, Part):
                path = maker.scope.path
            else:
                path = maker.scopes[-1].path if maker.scopes else ""
            if path != own:
                break
            # What no module of its own makes is called after what it is made of.
            before = self.makers.get(maker.inputs[0]) if len(maker.inputs) == 1 else None
            if not isinstance(before, Layer) or self.count[maker.inputs[0]] > 1:
                word = item.word if isinstance(item, Layer) else "x"
                return label("parts" if word == "split" else word)
            maker = before
        return label(path.removeprefix(f"{own}.") if own else path)

    # Lines

    def body(self) -> Body:
        """The lines, in an order in which each reads what stands above it."""
        lines: list[Line] = []
        previous = self.single if self.part.scope.path else None
        if not self.part.scope.path and len(self.part.inputs) == 1:
            previous = self.part.inputs[0]
        done: set[Value] = set(self.part.inputs)
        for item in self.part.items:
            made = _made(item)
            if not any(value in self.labelled for value in made):
                continue
            labels = (self.labels[made[0]].partition("[")[0],)
            steps, source = self._steps(item, previous)
            chain = Chain(source, tuple(steps), self.some)
            lines.append(Line(labels, chain))
            done.update(made)
            previous = made[0] if len(made) == 1 else None
        for value in self.part.outputs:
            if self.labels[value] != self.ports[value]:
                chain = Chain(self.labels[value], (), self.some)
                lines.append(Line((self.ports[value],), chain))
        if self.single is not None:
            lines[-1] = replace(lines[-1], labels=())
        inputs = tuple(self.labels[v] for v in self.part.inputs)
        outputs = tuple(self.ports[v] for v in self.part.outputs)
        if self.single is not None:
            inputs = outputs = ()
        channels = {}
        if len(self.part.inputs) == 1:
            channels = {self.number: self.flow.shape(self.part.inputs[0])[0]}
        shapes = {self.number: tuple(map(self.flow.shape, self.part.inputs))}
        return Body(tuple(lines), inputs, outputs, self.some, channels, shapes)

    def _chain(self, value: Value, start: Value | None) -> Chain:
        """The steps from what enters, or from a label, to a tensor."""
        if value == start:
            return Chain(None, (), self.some)
        if value in self.labels:
            return Chain(self.labels[value], (), self.some)
        steps, source = self._steps(self.makers[value], start)
        return Chain(source, tuple(steps), self.some)

    def _steps(self, item: Layer | Part, start: Value | None) -> tuple[list[Step], str | None]:
        """The steps up to an item, its own the last, and the label that they begin from."""
        steps: list[Step] = []
        while True:
            before = self._before(item)
            operands = None
            if len(item.inputs) > 1:
                operands = tuple(self._chain(value, before) for value in item.inputs)
                if isinstance(item, Part) or not OPS[item.word].ports:
                    operands = self._spread(operands)
            steps.append(self._step(item, operands))
            if before is None:
                source = None
                break
            if before == start:
                source = None
                break
            if before in self.labels:
                source = self.labels[before]
                break
            item = self.makers[before]
        whole = tuple(fused(steps[::-1]))
        return list(repeated(whole) if self.part.scope.path else whole), source

    def _spread(self, chains: tuple[Chain, ...]) -> tuple[Chain, ...]:
        """Operands, all that one line gives as `label[*]`."""
        made: list[Chain] = []
        names = [one.source if not one.steps else None for one in chains]
        while len(made) < len(chains) and names:
            label, _, port = (names[0] or "").partition("[0]")
            family = [f"{label}[{n}]{port}" for n in range(self.families.get((label, port), 0))]
            if len(family) > 1 and names[: len(family)] == family:
                made.append(replace(chains[-len(names)], source=f"{label}[*]{port}"))
                names = names[len(family) :]
            else:
                made.append(chains[-len(names)])
                names = names[1:]
        return tuple(made)

    def _before(self, item: Layer | Part) -> Value | None:
        if len(item.inputs) > 1:
            return self.begins[id(item)]
        return item.inputs[0] if item.inputs else None

    def _step(self, item: Layer | Part, operands: tuple[Chain, ...] | None) -> Step:
        count = {self.number: 1}
        if isinstance(item, Part) and item.calls:
            return self._each(item, operands)
        if isinstance(item, Part):
            name, values = self.call(item)
            given = {key: {self.number: value} for key, value in values.items()}
            return Step(name, given, operands, self.some, count, item.scope.path)
        path = item.scopes[-1].path if item.scopes else ""
        values = arguments(item)
        if item.word == "resize" and not self.fixed:
            values.update(self._size_of_input(item.shapes[0]))
        given = {key: {self.number: value} for key, value in values.items()}
        return Step(item.word, given, operands, self.some, count, path)

    def _each(self, item: Part, operands: tuple[Chain, ...] | None) -> Step:
        """One step for all calls of a module.  Raises ArchError: they are not alike."""
        first, *others = [self._step(one, None) for one in item.items]
        if any((one.word, one.arguments) != (first.word, first.arguments) for one in others):
            raise refused(
                f"it is called {len(item.items)} times, with other numbers each time",
                item.scope.path,
            )
        return replace(_settled(first), operands=operands, each=True)

    def _size_of_input(self, shape: Shape) -> dict[str, Named]:
        """`[in.h, in.w]` where a tensor is made as large as what enters."""
        if len(self.part.inputs) != 1:
            return {}
        (value,) = self.part.inputs
        axes = "dhw"[4 - len(shape) :]
        if len(shape) < 2 or self.flow.shape(value)[1:] != shape[1:]:
            return {}
        name = self.labels[value]
        return {f"size[{n}]": Named(f"{name}.{axis}") for n, axis in enumerate(axes)}


def label(path: str) -> str:
    """A name in the language for the end of a module's path: `branches.0` is `branches0`."""
    parts = [part for part in path.split(".") if part]
    name = ""
    while parts:
        name = parts.pop() + name
        if name[:1].isalpha():
            break
    name = "".join(c if c.isalnum() or c == "_" else "_" for c in name).strip("_")
    return name if name[:1].isalpha() else f"x{name}"


def _free(name: str, taken: Counter[str]) -> str:
    """The name itself, or with a number where it is taken or an operation's."""
    if name in OPS:
        name = f"{name}1" if not taken[f"{name}1"] else name
    free, number = name, 1
    while taken[free] or free in OPS:
        number += 1
        free = f"{name}{'_' if name[-1:].isdigit() else ''}{number}"
    taken[free] += 1
    return free


# Steps


LISTS = ("sections", "sizes", "size", "axis", "offset", "places", "shift", "numbers")
"""Arguments that are lists of numbers."""


def arguments(layer: Layer) -> dict[str, Any]:
    """All of an operation's arguments, as simply as they can be said.

    A list is an argument for each of its items, `sections[0]`, since any may be a formula.
    """
    defaults = {p.name: p.default for p in OPS[layer.word].parameters}
    found: dict[str, Any] = {}
    for name, default in defaults.items():
        if name in ("init", "bias_init"):
            continue
        value: Any = layer.arguments.get(name, default)
        if name == "axes":
            found.update(value)
        elif name in ("pad", "output_pad", "sides"):
            found[name] = _pad(layer, value)
        elif name == "stride" and value is None:
            found[name] = layer.arguments["kernel"]
        elif name in ("stride", "dilation", "factor") and isinstance(value, tuple):
            found[name] = value[0] if len(set(value)) == 1 else value
        elif name in LISTS and isinstance(value, tuple):
            found.update({f"{name}[{n}]": size for n, size in enumerate(value)})
        else:
            found[name] = value
    return found


def _pad(layer: Layer, value: Any) -> object:
    if not isinstance(value, tuple):
        return value
    given: Any = layer.arguments
    if layer.word in ("conv", "dwconv", "std_conv"):
        same = [d * (k - 1) for d, k in zip(given["dilation"], given["kernel"], strict=True)]
        pairs = zip(same, value, strict=True)
        if all(n % 2 == 0 and pair == (n // 2, n // 2) for n, pair in pairs):
            return Named("same")
        if not any(map(any, value)):
            return Named("valid")
    if all(a == b for a, b in value):
        sides = {a for a, _ in value}
        return sides.pop() if len(sides) == 1 else tuple(a for a, _ in value)
    return Sides(value)


def fused(steps: list[Step]) -> list[Step]:
    """Norms and activations in the convolution before them, biases as `auto` where they are."""
    made: list[Step] = []
    for step in steps:
        last = made[-1] if made else None
        if last is not None and OPS.get(last.word, Op).fused and step.operands is None:
            slots = ("norm", "act") if step.word in NORMS else ("act",)
            free = slots[0] not in last.arguments and "act" not in last.arguments
            fits = step.word in NORMS or step.word in ACTIVATIONS
            if fits and free:
                made[-1] = _with(last, slots[0], step)
                continue
        made.append(step)
    return [_settled(step) for step in made]


def _with(step: Step, slot: str, other: Step) -> Step:
    """A step with another one in its slot."""
    (number,) = step.present
    given = {name: column[number] for name, column in other.arguments.items()}
    value = Named(other.word, shortened(other.word, given))
    return replace(step, arguments={**step.arguments, slot: {number: value}})


def shortened(word: str, given: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """The arguments that are not an operation's defaults."""
    defaults = {p.name: p.default for p in OPS[word].parameters}
    return tuple((n, v) for n, v in given.items() if n not in defaults or defaults[n] != v)


def _settled(step: Step) -> Step:
    """A step with both slots, and a bias that is said only where it is unusual."""
    if not (step.word in OPS and OPS[step.word].fused):
        return step
    (number,) = step.present
    given = dict(step.arguments)
    for slot in ("norm", "act"):
        given.setdefault(slot, {number: None})
    bias = given["bias"][number]
    if isinstance(bias, bool) and bias == (given["norm"][number] is None):
        given["bias"] = {number: Named("auto")}
    return replace(step, arguments=given)
