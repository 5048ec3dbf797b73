"""Which tensors of a part have lines of their own, and which stand in braces."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from cnndsl.importing.flow import Flow, Layer, Value
from cnndsl.importing.parts import Part, outputs_of
from cnndsl.importing.steps import NORMS
from cnndsl.ops.facts import Shape

SAME, NESTED = 2, 3
"""More joins of one kind, or of any, do not stand in one another's braces."""
LARGER = ("upsample", "resize")
STAGES = 2
"""An operand with more modules with weights has a line of its own."""


class Labelled:
    """The tensors of a part that have labels, and what enters the braces of each join."""

    def __init__(self, part: Part, single: Value | None, flow: Flow, *, fixed: bool) -> None:
        """Take a part, and its input where it needs no name; `fixed` to the sizes of now."""
        self.part, self.single, self.flow = part, single, flow
        self.makers = {value: item for item in part.items for value in outputs_of(item)}
        self.count = Counter(value for item in part.items for value in item.inputs)
        self.count.update(part.outputs)
        self.begins: dict[int, Value | None] = {}
        self.sizes: dict[str, Value] = {} if fixed else dict(self._sizes())
        """The tensor that each `resize` makes its own as large as."""
        self.values = self._found()

    def before(self, item: Layer | Part) -> Value | None:
        """What an item comes from: its input, or what enters its braces."""
        if len(item.inputs) > 1:
            return self.begins[id(item)]
        return item.inputs[0] if item.inputs else None

    def _found(self) -> set[Value]:
        """What several lines read, and nothing else."""
        found = {
            v for item in self.part.items if len(outputs_of(item)) > 1 for v in outputs_of(item)
        }
        found |= {*self.part.outputs, *self.part.inputs} - {self.single}
        found |= {*self.sizes.values()} - {self.single}
        found |= {v for item in self.part.items for v in self._handed(item)}
        while True:
            whole = self._regions(found)
            open_ = {v for v, n in self.count.items() if n > 1} - whole - found
            open_ &= set(self.makers)
            if not open_:
                deep = self._deep(found)
                if not deep:
                    return found
                found |= deep
                continue
            # Only the first: once it has a label, others may need none.
            found.add(
                next(v for item in self.part.items for v in outputs_of(item) if v in open_)
            )

    def _sizes(self) -> Iterator[tuple[str, Value]]:
        """What each `resize` is as large as: what enters, or what it is joined with."""
        readers: dict[Value, Layer | Part] = {
            v: one for one in self.part.items for v in one.inputs
        }
        above = {*self.part.inputs}
        for item in self.part.items:
            if isinstance(item, Layer) and item.word == "resize":
                size, value = item.shapes[0][1:], outputs_of(item)[0]
                found = [v for v in self.part.inputs if self.flow.shape(v)[1:] == size]
                while value in readers and len(readers[value].inputs) == 1:
                    value = outputs_of(readers[value])[0]
                join = readers.get(value)
                for other in join.inputs if join is not None else ():
                    found += [v for v in self._alike(other, size) if v in above]
                if found:
                    yield item.name, found[0]
            above.update(outputs_of(item))

    def _alike(self, value: Value, size: Shape) -> list[Value]:
        """The tensors of a size from which an operand comes, the first of them first."""
        found: list[Value] = []
        while self.flow.shape(value)[1:] == size:
            found.insert(0, value)
            maker = self.makers.get(value)
            if maker is None or len(maker.inputs) != 1 or self.count[value] > 1:
                break
            (value,) = maker.inputs
        return found

    def _handed(self, item: Layer | Part) -> Iterator[Value]:
        """What a call of several inputs is handed, where a module with weights made it."""
        several, root = isinstance(item, Part) and not item.calls, not self.part.scope.path
        for value in item.inputs if len(item.inputs) > 1 else ():
            core = self._core(value)
            maker = self.makers.get(core)
            calls = isinstance(maker, Part) and len(maker.inputs) > 1 and not maker.calls
            while maker is not None and not heavy(maker) and len(maker.inputs) == 1:
                (before,) = maker.inputs
                maker = self.makers.get(before) if self.count[before] == 1 else None
            if maker is not None and heavy(maker) and (several or (calls and root)):
                yield core

    def _core(self, value: Value) -> Value:
        """The tensor of which an operand is only made larger: its module's own."""
        maker = self.makers.get(value)
        while maker is not None and kind_of(maker) in LARGER and len(maker.inputs) == 1:
            (before,) = maker.inputs
            if self.count[before] > 1 or before not in self.makers:
                break
            value, maker = before, self.makers[before]
        return value

    def _deep(self, labelled: set[Value]) -> set[Value]:
        """Operands that read better on lines of their own: joins in joins, several stages."""
        within: dict[Value, list[Layer | Part]] = {}
        depths: dict[int, tuple[int, int]] = {}
        found: set[Value] = set()
        for item in self.part.items:
            if len(item.inputs) < 2 or (isinstance(item, Part) and item.calls):
                continue
            inner: list[Layer | Part] = []
            bare = kind_of(item) == "concat" and any(
                value == self.begins[id(item)] or value in labelled for value in item.inputs
            )
            for value in item.inputs:
                items = within[value] = self._within(value, item, labelled)
                inner += (one for one in items if id(one) in depths)
                joins = [one for one in items if id(one) in depths]
                many = not self.part.scope.path and (
                    self._stages(items) > STAGES
                    or self._returns(items, bare=bare)
                    or (
                        any(map(heavy, items))
                        and any(self.before(one) is None for one in joins)
                    )
                )
                deep = any(depths[id(one)][1] >= NESTED for one in joins)
                found |= {self._core(value)} if many or deep else set()
            alike = [one for one in inner if kind_of(one) == kind_of(item)]
            same = 1 + max((depths[id(one)][0] for one in alike), default=0)
            depth = 1 + max((depths[id(one)][1] for one in inner), default=0)
            depths[id(item)] = same, depth
            if same > SAME:
                found.update(self._cut(item, within))
        return found - labelled

    def _returns(self, items: list[Layer | Part], *, bare: bool) -> bool:
        """Whether an operand comes back from work at another size, as decoders do."""
        kinds = {kind_of(one) for one in items}
        blocks = any(isinstance(one, Part) for one in items)
        larger = not kinds.isdisjoint(LARGER)
        return (larger and any(map(heavy, items))) or (bare and blocks and "deconv" in kinds)

    def _cut(
        self, item: Layer | Part, within: dict[Value, list[Layer | Part]]
    ) -> Iterator[Value]:
        """The operands in which a join like this one stands, and theirs."""
        for value in item.inputs:
            joins = [one for one in within.get(value, ()) if len(one.inputs) > 1]
            if any(kind_of(one) == kind_of(item) for one in joins):
                yield self._core(value)
            for one in joins:
                yield from self._cut(one, within)

    def _within(
        self, value: Value, join: Layer | Part, labelled: set[Value]
    ) -> list[Layer | Part]:
        """The steps of an operand, up to what enters the braces."""
        start = self.begins[id(join)]
        items: list[Layer | Part] = []
        while value != start and value not in labelled and value in self.makers:
            items.append(self.makers[value])
            before = self.before(items[-1])
            if before is None:
                break
            value = before
        return items

    def _stages(self, items: list[Layer | Part]) -> int:
        """How many modules' work stands in a chain; a block counts twice."""
        blocks = {path_of(one).partition(".")[0] for one in items if isinstance(one, Part)}
        layers = (one for one in items if heavy(one) and kind_of(one) not in NORMS)
        plain = {path_of(one).partition(".")[0] for one in layers}
        return 2 * len(blocks) + len(plain - blocks)

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
            before = self.before(item)
            if before is None:
                break
            values.append(before)
            joins.append(joined)
            value = before
        return values, joins


def heavy(item: Layer | Part) -> bool:
    """Whether it has weights."""
    layers = item.layers() if isinstance(item, Part) else (item,)
    return any(layer.weights for layer in layers)


def path_of(item: Layer | Part) -> str:
    """The path of the module that an item is, or is in."""
    return item.scope.path if isinstance(item, Part) else item.where


def kind_of(item: Layer | Part) -> str:
    """The class of a module, or a layer's word."""
    return item.scope.kind if isinstance(item, Part) else item.word
