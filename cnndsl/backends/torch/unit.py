"""One class under construction: the tensors in its `forward`, and what its names stand for."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from cnndsl.backends.torch import python
from cnndsl.backends.torch.expressions import CannotTranslateError, translate
from cnndsl.backends.torch.general import folded, general, tabled
from cnndsl.backends.torch.instances import ExposeError, Identity, Instance, SplitError, T
from cnndsl.backends.torch.names import identifier
from cnndsl.backends.torch.sizes import Sizes
from cnndsl.language import tree
from cnndsl.language.names import BlockDefinition, OpRef
from cnndsl.language.naming import all_labels
from cnndsl.ops.base import Op
from cnndsl.ops.facts import Auto
from cnndsl.structure import Tensor, labels_in, nodes_of


@dataclass
class OpValue:
    """An operation as a value, with the arguments that it was given, as Python."""

    name: str
    target: type[Op] | BlockDefinition
    given: dict[str, ast.expr]
    words: dict[str, object] = field(default_factory=dict)


@dataclass
class Layer:
    """A parameter that stands for a layer: called with the channels, or with nothing."""

    node: ast.expr
    takes: bool


Meaning = ast.expr | OpValue | Layer | Auto | None


class Unit(Sizes):
    """What is known while one block is translated."""

    it: tuple[T, ...] = ()
    """What enters the step of which the arguments are read."""
    cls: ast.ClassDef | None = None
    results: ast.ClassDef | None = None
    exploded: Set[int] = frozenset()
    unrolled: Set[int] = frozenset()
    frozen_lists = False
    """Whether lists are written as they are: an operation works them out in NumPy."""
    looped = True
    """Whether loops of `forward` may go over tables, and hand on a tensor."""
    conditions: list[ast.expr]
    """Those around what is being written."""
    labels: dict[str, str]
    """The labels of tensors that stand together, by the list."""
    counts: dict[str, ast.expr]
    """The number of tensors of lists that loops of `forward` make."""

    def __init__(self, definition: BlockDefinition, instances: list[Instance]) -> None:
        """Nothing is written yet."""
        super().__init__(definition, instances)
        self.name, self.numbers = "", 0
        self.fwd: list[ast.stmt] = []
        self.meanings: dict[str, Meaning] = {}
        self.dims: dict[str, tuple[T, int]] = {}
        self.rests: dict[str, tuple[T, range]] = {}
        self.tensors: dict[str, dict[tuple[int, ...], tuple[T, ...]]] = {}
        self.known: dict[Identity, T] = {}
        self.defaults: list[Sequence[tree.Default]] = [definition.file.tree.defaults]
        self.ports: dict[str, T | list[T]] = {}
        self.repeat: ast.expr | bool | None = None
        self.conditions, self.labels, self.counts = [], {}, {}
        self.guards: list[ast.expr] = []
        """Those within a chain of modules."""
        self.skip: tuple[T, ...] = ()
        self.outputs: list[tuple[str, T | None]] = []
        self.extras: list[T] = []
        self.signature: list[tuple[str, ast.expr | None, ast.expr | None]] = []
        self.fallback: dict[str, ast.expr] = {}
        self.locals: set[str] = set()
        self._inside: dict[int, set[str]] = {}
        self._inner: dict[int, dict[str, Tensor]] = {}
        self._labels = all_labels(definition.declaration.body)
        self.wide: dict[str, int] = {}
        """Parameters that are a size with unlike sides, with their number."""
        self.helpers: dict[str, None] = {}
        self.turns_of: dict[Identity, dict[str, int]] = {}
        """In which turns of the loops around a tensor is made."""
        self.items: dict[str, T] = {}
        """What turns of loops gave, by the label."""
        self.turn_lets: set[str] = set()
        """What loops of `forward` give values: the constructor has none of these."""
        self.lost: dict[Identity, int] = {}
        """Tensors that a loop's turns leave behind, by the loop's `id`."""
        self.lengths: dict[str, int] = {}
        """How many tensors lists of `forward` have, and the constructor's of their widths."""
        self.listed = False
        """Whether it returns the list of a family."""

    @property
    def around(self) -> list[ast.expr]:
        """The conditions under which what is written is there."""
        return [*self.conditions, *self.guards]

    @contextmanager
    def guard(self, test: ast.expr | None) -> Iterator[None]:
        """Around modules that the constructor makes where a condition holds."""
        self.guards += [] if test is None else [test]
        size = len(self.guards)
        try:
            yield
        finally:
            del self.guards[size - (test is not None) :]

    # --- tensors

    def variable(self, hint: str = "") -> str:
        """A new tensor's name in `forward`; it is renamed when all are known."""
        self.numbers += 1
        return f"{identifier(hint) if hint else 'v'}§{self.numbers}"

    def assign(self, value: ast.expr, hint: str = "") -> ast.expr:
        """Give a value of `forward` a name."""
        if isinstance(value, ast.Name):
            return value
        name = self.variable(hint)
        self.fwd.append(python.assign(name, value))
        return python.name(name)

    def bind(self, tensor: T, found: Sequence[tuple[Instance, Tensor]]) -> T:
        """Say which tensors of the networks this is."""
        for instance, one in found:
            identity = (id(instance.block), one.node, one.output)
            self.known[identity] = tensor
            tensor.ids.append(identity)
            if instance.turns:
                self.turns_of[identity] = instance.turns
        return tensor

    def generalised(self, found: Sequence[tuple[dict[str, int], T]]) -> T:
        """What the tensors of several turns are, in terms of the loops' variables."""
        first = found[0][1]
        if any(len(tensor.shape) != len(first.shape) for _, tensor in found):
            raise CannotTranslateError("turns with tensors of unlike ranks")
        run = general([(turns, tensor.run) for turns, tensor in found])
        widths = [(turns, python.node_of(tensor.shape[0])) for turns, tensor in found]
        shape: list[int] = [python.carry(int(first.shape[0]), tabled(widths))]
        for axis in range(1, len(first.shape)):
            sizes = [tensor.shape[axis] for _, tensor in found]
            free = any(isinstance(size, python.Int) for size in sizes) or len({*sizes}) > 1
            shape.append(python.Int(int(sizes[0]), python.name("§")) if free else sizes[0])
        whole = T((), run, turns=found)
        self.shaped(whole, shape)
        whole.ids = list(dict.fromkeys(i for _, tensor in found for i in tensor.ids))
        return whole

    def owns(self, instance: Instance, node: str) -> bool:
        """Whether a node stands in an instance of this block."""
        if id(instance.block) not in self._inside:
            self._inside[id(instance.block)] = set(nodes_of(instance.block.body))
        return node in self._inside[id(instance.block)]

    # --- what names stand for: the protocol of `expressions.Names`

    def value(self, path: tree.NamePath) -> ast.expr:
        """The expression of a value, or of a tensor's size."""
        if path.name in self.meanings:
            found = self.meanings[path.name]
            if not isinstance(found, ast.expr):
                if found is None:
                    return python.constant(None)
                raise CannotTranslateError(f"{path} is an operation")
            return self.parts(found, path.parts)
        if path.name in self.rests:
            tensor, axes = self.rests[path.name]
            sizes = ast.Tuple([self.leaf(tensor, axis) for axis in axes], ast.Load())
            return self.parts(sizes, path.parts)
        if path.name in self.dims:
            return self.parts(self.leaf(*self.dims[path.name]), path.parts)
        if path.name in ("in", "it", "skip") or path.name in self.tensors:
            return self.size(path)
        bound = self.definition.file.names.get(path.name)
        if bound is None or isinstance(bound.meaning, OpRef):
            raise CannotTranslateError(f"{path} is not a value")
        return self.parts(python.constant(python.plain(bound.meaning)), path.parts)

    def parts(self, node: ast.expr, parts: Sequence[tree.Member | tree.Index]) -> ast.expr:
        """An item of a list."""
        for part in parts:
            if isinstance(part, tree.Member):
                raise CannotTranslateError(part.name)
            for one in part.items:
                if isinstance(one, tree.Every):
                    raise CannotTranslateError("[*] of a value")
                index = translate(one, self)
                where = python.number(index)
                if isinstance(node, ast.Tuple | ast.List) and isinstance(where, int):
                    node = node.elts[where]
                else:
                    node = python.item(node, index)
        return node

    def size(self, path: tree.NamePath) -> ast.expr:
        """`in.c`, `up.size`, `x[i].h`."""
        index: tuple[int, ...] = ()
        indexed: T | None = None
        parts = list(path.parts)
        if parts and isinstance(parts[0], tree.Index):
            part = parts.pop(0)
            assert isinstance(part, tree.Index)
            nodes = [
                translate(i, self) if not isinstance(i, tree.Every) else python.constant(None)
                for i in part.items
            ]
            numbers = [python.number(node) for node in nodes]
            if any(not isinstance(n, int) for n in numbers):
                if len(nodes) == 1 and python.names_in(nodes[0]) & self.loops.keys():
                    indexed = self.item(path.name, nodes[0])
                else:
                    raise CannotTranslateError(f"{path} has an index that is not known")
            else:
                index = tuple(int(n) for n in numbers if n is not None)
        if len([part for part in parts if isinstance(part, tree.Member)]) > 1:
            if indexed is not None:
                raise CannotTranslateError(f"{path} is a label inside a label of a loop")
            spelled = path.name + (_bracketed(index) if index else "")
            while parts and not (isinstance(parts[0], tree.Member) and parts[0].name in SIZES):
                inner = parts.pop(0)
                if isinstance(inner, tree.Member):
                    spelled += f".{inner.name}"
                else:
                    spelled += _bracketed(self.numbers_of(inner, path))
            tensor = self.inside(spelled)
        else:
            tensor = indexed or self.tensor(path.name, index)
        member = parts.pop(0) if parts else None
        rank = len(tensor.shape)
        match member:
            case tree.Member(name="c"):
                return self.parts(self.leaf(tensor, 0), parts)
            case tree.Member(name="d" | "h" | "w" as name):
                axis = rank + {"d": -3, "h": -2, "w": -1}[name]
                return self.parts(self.leaf(tensor, axis), parts)
            case tree.Member(name="size" | "shape" as name):
                axes = range(1 if name == "size" else 0, rank)
                sizes = [self.leaf(tensor, axis) for axis in axes]
                return self.parts(ast.Tuple(sizes, ast.Load()), parts)
        raise CannotTranslateError(f"{path} is a label inside a label")

    def numbers_of(self, part: tree.Index, path: tree.NamePath) -> tuple[int, ...]:
        """The numbers of an index."""
        found: list[int] = []
        for item in part.items:
            node = None if isinstance(item, tree.Every) else translate(item, self)
            number = None if node is None else python.number(folded(node))
            if not isinstance(number, int):
                raise CannotTranslateError(f"{path} has an index that is not known")
            found.append(number)
        return tuple(found)

    def inside(self, spelled: str) -> T:
        """The tensor of a label inside a label: `l35.l36`, `l2[0].cls`."""
        found: list[tuple[Instance, T]] = []
        for instance in self.instances:
            known = self._inner.setdefault(
                id(instance.block), labels_in(instance.block, instance.block.outputs)
            )
            if spelled not in known:
                raise CannotTranslateError(f"{spelled} is not in every instance")
            tensor = known[spelled]
            key = (id(instance.block), tensor.node, tensor.output)
            if key not in self.known:
                raise ExposeError(instance, tensor)
            found.append((instance, self.known[key]))
        if any(one is not found[0][1] for _, one in found):
            order = {id(one): n for n, (_, one) in enumerate(found)}
            raise SplitError([(i, order[id(one)]) for i, one in found])
        return found[0][1]

    def tensor(self, name: str, index: tuple[int, ...] = ()) -> T:
        """The tensor that a label stands for."""
        if name == "skip":
            found: tuple[T, ...] = self.skip
        elif name == "it" and name not in self.tensors:
            found = self.it
        elif name == "in":
            found = tuple(t for t in self.ports.values() if isinstance(t, T))
        else:
            entries = self.tensors[name]
            found = entries.get(index, ())
            if not found and index and () in entries and len(index) == 1:
                found = entries[()][index[0] : index[0] + 1]
        if len(found) != 1:
            raise CannotTranslateError(f"{name} is not one tensor")
        return found[0]

    def item(self, name: str, index: ast.expr) -> T:
        """The tensor of a family at an index that is a loop's variable."""
        entries = self.tensors[name]
        found = [
            ({"turn·": turns[0]}, tensors[0])
            for turns, tensors in entries.items()
            if len(turns) == len(tensors) == 1
        ]
        if not found:  # what `each` gave
            flow = entries.get((), ())
            found = [({"turn·": number}, tensor) for number, tensor in enumerate(flow)]
        if not found:
            raise CannotTranslateError(f"{name} is not a family")
        whole = self.generalised(self.together(found, name))
        whole.at = index
        whole.run = python.replace(whole.run, {"turn·": index})
        first, *rest = whole.shape
        if isinstance(first, python.Int):
            first = python.Int(int(first), python.replace(first.node, {"turn·": index}))
        whole.shape = (first, *rest)
        return whole

    def together(
        self, found: Sequence[tuple[dict[str, int], T]], label: str
    ) -> list[tuple[dict[str, int], T]]:
        """Tensors of several turns, as items of one list where each has a name of its own."""
        numbers = [turns["turn·"] for turns, _ in found]
        runs = [tensor.run for _, tensor in found]
        names = self.looped and len(runs) > 1 and all(isinstance(r, ast.Name) for r in runs)
        if not names or numbers != [*range(numbers[0], numbers[0] + len(numbers))]:
            return [*found]
        whole = python.listed(runs)
        self.labels[ast.dump(whole)] = identifier(label)
        return [
            (turns, replace(tensor, run=python.item(whole, python.constant(number))))
            for number, (turns, tensor) in enumerate(found)
        ]

    def labelled(self, name: str) -> bool:
        """Whether a name is a label or a port of this block."""
        return name in self._labels

    def length(self, path: tree.NamePath) -> ast.expr:
        """The number of tensors of a family, or of items of a list."""
        if path.name in self.counted and not path.parts:
            return python.call("len", python.name(self.counted[path.name][1]))
        if not path.parts and path.name in self.tensors and path.name not in self.meanings:
            entries = self.tensors[path.name]
            return python.constant(len(entries[()]) if () in entries else len(entries))
        node = self.value(path)
        if isinstance(node, ast.Tuple | ast.List):
            return python.constant(len(node.elts))
        return python.call("len", node)


SIZES = ("c", "d", "h", "w", "size", "shape")


def _bracketed(index: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, index))}]"
