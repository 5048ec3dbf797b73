"""The lines of one part: which tensors have labels, and what stands in braces."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from cnndsl.importing.flow import RESERVED, Flow, Layer, Value, refused
from cnndsl.importing.labels import Labelled, heavy, kind_of, path_of
from cnndsl.importing.parts import Part, outputs_of
from cnndsl.importing.steps import NORMS, arguments, fused, settled
from cnndsl.importing.terms import Body, Chain, Line, Named, Some, Step, repeated
from cnndsl.ops.base import OPS

CallOf = Callable[["Part"], tuple[str, dict[str, Any]]]
"""The call of a part's block: its name, and the values of its parameters."""


class Writer:
    """One part's lines: which tensors have labels, and what stands in braces."""

    def __init__(
        self,
        part: Part,
        number: int,
        call: CallOf,
        flow: Flow,
        *,
        fixed: bool = False,
        apart: bool = False,
    ) -> None:
        """Take a part whose inner parts have blocks already.

        `fixed` to the sizes of now; with `apart` equal calls are not yet written as one.
        """
        self.repeats = bool(part.scope.path) and not apart
        self.part, self.number, self.call, self.flow = part, number, call, flow
        self.some: Some = frozenset((number,))
        root = not part.scope.path
        several = len(part.inputs) > 1 or len(part.outputs) > 1
        self.single = None if root or several else part.inputs[0]
        places = Labelled(part, self.single, flow, fixed=fixed)
        self.makers, self.count, self.labelled = places.makers, places.count, places.values
        self.before, self.sizes = places.before, places.sizes
        self.labels = self._labels()

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
            made = outputs_of(item)
            if isinstance(item, Part) and item.calls:
                whole = free(self._named(item), taken)
                for number, one in enumerate(item.items):
                    ends = outputs_of(one)
                    for place, value in enumerate(ends):
                        port = f".y{place + 1}" if len(ends) > 1 else ""
                        names[value] = f"{whole}[{number}]{port}"
                        self.families[whole, port] = len(item.items)
            elif len(made) > 1 and self._shared(item):
                names.update((value, self.ports[value]) for value in made)
            elif len(made) > 1:
                whole = free(self._named(item), taken)
                said = OPS[item.word].outputs if isinstance(item, Layer) else ()
                if len(said) == len(made):
                    pairs = zip(made, said, strict=True)
                    names.update((value, f"{whole}.{end}") for value, end in pairs)
                    continue
                names.update((value, f"{whole}[{n}]") for n, value in enumerate(made))
                self.families[whole, ""] = len(made)
            elif made[0] in self.ports and made[0] not in names:
                names[made[0]] = self.ports[made[0]]
            elif made[0] in self.labelled and made[0] not in names:
                names[made[0]] = free(self._named(item), taken)
        return names

    def _ports(self) -> dict[Value, str]:
        """The names of the outputs."""
        outputs = self.part.outputs
        if not self.part.scope.path:
            return {value: name for name, value in self.flow.outputs.items()}
        several = len(outputs) > 1
        return {v: f"y{n + 1}" if several else "y" for n, v in enumerate(outputs)}

    def _shared(self, item: Layer | Part) -> bool:
        """Whether all that an item gives leaves the part, by a line without weights."""
        waiting = [item]
        while waiting:
            one = waiting.pop()
            if isinstance(one, Part) or one.weights:
                return False
            free = (self.makers.get(v) for v in one.inputs if v not in self.labelled)
            waiting += [maker for maker in free if maker is not None]
        return all(value in self.ports for value in outputs_of(item))

    def _named(self, item: Layer | Part) -> str:
        """A label for what an item makes: the last name of its module within this one."""
        own, maker = self.part.scope.path, item
        while True:
            path = path_of(maker)
            again = (
                not heavy(maker) and sum(path_of(one) == path for one in self.part.items) > 1
            )
            if path != own and not (again and self._source(maker)):
                break  # what has no weights, and is called again, names nothing
            # A layer without a module of its own is named after its operands.
            before = self._source(maker)
            if before is None:
                word = item.word if isinstance(item, Layer) else "x"
                return label("parts" if word == "split" else word)
            maker = before
        return label(self._whole(path, maker))

    def _source(self, item: Layer | Part) -> Layer | Part | None:
        """What alone feeds an item; for a join, the one module whose work is in its braces."""
        alone = [v for v in item.inputs if self.count[v] == 1 and v not in self.labelled]
        makers = [self.makers[value] for value in alone if value in self.makers]
        if len(item.inputs) == 1:
            return makers[0] if makers else None
        makers = [one for one in makers if heavy(one)]
        return makers[0] if len(makers) == 1 else None

    def _whole(self, path: str, maker: Layer | Part) -> str:
        """The path, within this module, of what an item is all of, or the last of a row."""
        own = self.part.scope.path
        start = len(own) + 1 if own else 0
        while "." in path[start:]:
            around, _, last = path.rpartition(".")
            inside = [
                one for one in self.part.items if f"{path_of(one)}.".startswith(f"{around}.")
            ]
            others = (value for one in inside if one is not maker for value in outputs_of(one))
            layers = sum(heavy(one) and kind_of(one) not in NORMS for one in inside)
            if (
                not (last.isdigit() or layers <= 1)
                or inside[-1] is not maker
                or not self.labelled.isdisjoint(others)
            ):
                break
            path = around
        return path[start:]

    # Lines

    def body(self) -> Body:
        """The lines, in an order in which each reads what stands above it."""
        lines: list[Line] = []
        previous = self.single if self.part.scope.path else None
        if not self.part.scope.path and len(self.part.inputs) == 1:
            previous = self.part.inputs[0]
        done: set[Value] = set(self.part.inputs)
        for item in self.part.items:
            made = outputs_of(item)
            if not any(value in self.labelled for value in made):
                continue
            labels = tuple(self.labels[value] for value in made)
            if not self._shared(item):
                labels = (re.split(r"[.\[]", labels[0])[0],)
            steps, source = self._steps(item, previous)
            chain = Chain(source, tuple(steps), self.some)
            lines.append(Line(labels, chain))
            done.update(made)
            previous = made[0] if len(made) == 1 else None
        lines += self._passed()
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

    def _passed(self) -> Iterator[Line]:
        """The outputs that are other names of labels; all that a call gives on one line."""
        left = [value for value in self.part.outputs if self.labels[value] != self.ports[value]]
        while left:
            label = self.labels[left[0]].partition("[0]")[0]
            times = self.families.get((label, ""), 0)
            whole = [self.labels[value] for value in left[:times]]
            if times < 2 or whole != [f"{label}[{n}]" for n in range(times)]:
                times, label = 1, self.labels[left[0]]
            ports = tuple(self.ports[value] for value in left[:times])
            yield Line(ports, Chain(label, (), self.some))
            left = left[times:]

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
            before = self.before(item)
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
        return list(repeated(whole) if self.repeats else whole), source

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

    def _step(self, item: Layer | Part, operands: tuple[Chain, ...] | None) -> Step:
        count = {self.number: 1}
        if isinstance(item, Part) and item.calls:
            return self._each(item, operands)
        if isinstance(item, Part) and item.rows:
            return replace(settled(self._step(item.items[0], operands)), each="each row")
        if isinstance(item, Layer) and not OPS[item.word].written:
            raise refused(
                "it joins rows to the batch, and not all of them leave it", item.where
            )
        if isinstance(item, Part):
            name, values = self.call(item)
            given = {key: {self.number: value} for key, value in values.items()}
            return Step(name, given, operands, self.some, count, item.scope.path)
        path = item.scopes[-1].path if item.scopes else ""
        values = arguments(item)
        if item.name in self.sizes:
            values = {name: value for name, value in values.items() if name[:5] != "size["}
            values["size"] = Named(f"{self.labels[self.sizes[item.name]]}.size")
        given = {key: {self.number: value} for key, value in values.items()}
        return Step(item.word, given, operands, self.some, count, path)

    def _each(self, item: Part, operands: tuple[Chain, ...] | None) -> Step:
        """One step for all calls of a module.  Raises ArchError: they are not alike."""
        if len(item.inputs) > len(item.items):
            raise refused(
                f"it is called {len(item.items)} times, with several tensors each time;"
                " a module that is called again takes one",
                item.scope.path,
            )
        first, *others = [self._step(one, None) for one in item.items]
        if any((one.word, one.arguments) != (first.word, first.arguments) for one in others):
            raise refused(
                f"it is called {len(item.items)} times, with different numbers each time",
                item.scope.path,
            )
        return replace(settled(first), operands=operands, each="each")


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


def free(name: str, taken: Counter[str]) -> str:
    """The name itself, or with a number where it is taken or an operation's."""
    if name in OPS:
        name = f"{name}1" if not taken[f"{name}1"] else name
    found, number = name, 1
    while taken[found] or found in OPS:
        number += 1
        found = f"{name}{'_' if name[-1:].isdigit() else ''}{number}"
    taken[found] += 1
    return found
