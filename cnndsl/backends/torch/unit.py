"""One class under construction: its names, its values, and the tensors in its `forward`."""

from __future__ import annotations

import ast
from collections.abc import Sequence, Set
from dataclasses import dataclass, field, replace

from cnndsl.backends.torch import python
from cnndsl.backends.torch.expressions import (
    CannotTranslateError,
    translate,
    truth,
)
from cnndsl.backends.torch.general import folded, general, tabled
from cnndsl.backends.torch.names import identifier
from cnndsl.graph import Network
from cnndsl.language import tree
from cnndsl.language.modules import BlockDefinition
from cnndsl.language.names import OpRef
from cnndsl.language.naming import all_labels
from cnndsl.ops.base import Op
from cnndsl.ops.facts import Auto
from cnndsl.structure import Block, Tensor, labels_in, nodes_of

Identity = tuple[int, str, int]
"""A tensor as an instance reads it: its block, by `id`, the node, which output."""


class SplitError(Exception):
    """The instances of a class differ in what one class cannot say: it becomes several."""

    def __init__(self, keys: Sequence[tuple[Instance, object]]) -> None:
        """Take for each instance what tells it from the others."""
        super().__init__()
        self.keys = keys

    @property
    def turns(self) -> bool:
        """Whether one instance differs from itself: in the turns of a loop."""
        found: dict[int, str] = {}
        return any(
            found.setdefault(id(i.block), repr(key)) != repr(key) for i, key in self.keys
        )


class ExposeError(Exception):
    """A label inside a called block is read: its block must return it."""

    def __init__(self, instance: Instance, tensor: Tensor) -> None:
        """Take the tensor."""
        super().__init__()
        self.instance, self.tensor = instance, tensor


@dataclass(eq=False)
class Instance:
    """One call of a block in one of the networks; in a loop's body, in one of its turns."""

    number: int
    network: Network
    block: Block
    turns: dict[str, int] = field(default_factory=dict)


@dataclass(eq=False)
class T:
    """A tensor: its shape in the constructor's terms, and how `forward` says it."""

    shape: tuple[int, ...]
    run: ast.expr
    ids: list[Identity] = field(default_factory=list)
    turns: Sequence[tuple[dict[str, int], T]] = ()
    """Of an item of a family: what it is in each turn."""
    at: ast.expr | None = None
    """The item's index, for the variable `turn·` of these."""


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


class Unit:
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
    refused: list[ast.expr]
    """Conditions on arguments under which lines would come or go that no instance has so."""
    labels: dict[str, str]
    """The labels of tensors that stand together, by the list."""
    counts: dict[str, ast.expr]
    """The number of tensors of lists that loops of `forward` make."""

    def __init__(self, definition: BlockDefinition, instances: list[Instance]) -> None:
        """Nothing is written yet."""
        self.definition, self.instances = definition, instances
        self.name, self.numbers = "", 0
        self.init: list[ast.stmt] = []
        self.fwd: list[ast.stmt] = []
        self.meanings: dict[str, Meaning] = {}
        self.lets: dict[str, ast.expr] = {}
        self.dims: dict[str, tuple[T, int]] = {}
        self.rests: dict[str, tuple[T, range]] = {}
        self.tensors: dict[str, dict[tuple[int, ...], tuple[T, ...]]] = {}
        self.known: dict[Identity, T] = {}
        self.leaves: dict[str, tuple[T, int]] = {}
        self.defaults: list[Sequence[tree.Default]] = [definition.file.tree.defaults]
        self.ports: dict[str, T | list[T]] = {}
        self.attributes: set[str] = set()
        self.kept: dict[str, ast.expr] = {}
        self.repeat: ast.expr | bool | None = None
        self.conditions, self.refused, self.labels, self.counts = [], [], {}, {}
        self.skip: tuple[T, ...] = ()
        self.outputs: list[tuple[str, T | None]] = []
        self.extras: list[T] = []
        self.signature: list[tuple[str, ast.expr | None, ast.expr | None]] = []
        self.channel_names: dict[str, str] = {}
        self.arguments: dict[str, str] = {}
        self.fallback: dict[str, ast.expr] = {}
        self.locals: set[str] = set()
        self._inside: dict[int, set[str]] = {}
        self._inner: dict[int, dict[str, Tensor]] = {}
        self._labels = all_labels(definition.declaration.body)
        self.wide: dict[str, int] = {}
        """Parameters that are a size with unlike sides, with their number."""
        self.helpers: dict[str, None] = {}
        self.loops: dict[str, ast.expr] = {}
        """The variables of loops in `forward`, and what they go over."""
        self.turns_of: dict[Identity, dict[str, int]] = {}
        """In which turns of the loops around a tensor is made."""
        self.items: dict[str, T] = {}
        """What turns of loops gave, by the label."""
        self.columns: dict[str, str] = {}
        """The names of a table's columns, by what stands in them."""
        self.turn_lets: set[str] = set()
        """What loops of `forward` give values: the constructor has none of these."""
        self.lost: dict[Identity, int] = {}
        """Tensors that a loop's turns leave behind, by the loop's `id`."""
        self.counted: dict[str, tuple[str, str]] = {}
        """Families of a number that the instances differ in: in `forward`, and their widths."""
        self.lengths: dict[str, int] = {}
        """How many tensors lists of `forward` have, and the constructor's of their widths."""
        self.listed = False
        """Whether it returns the list of a family."""

    # --- names

    def attribute(self, name: str) -> str:
        """A new attribute of the module."""
        found, number = name, 1
        modules = {site.name for site in self.definition.modules.sites.values()}
        while found in self.attributes or found in modules:
            number += 1
            found = f"{name}{number}"
        self.attributes.add(found)
        return found

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

    def owner(self, identity: Identity) -> Instance:
        """The instance that has a tensor."""
        return next(i for i in self.instances if id(i.block) == identity[0])

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

    # --- sizes

    def leaf(self, tensor: T, axis: int) -> ast.expr:
        """A tensor's size: known to the constructor, or asked of the tensor in `forward`."""
        size = tensor.shape[axis]
        if axis == 0 and not isinstance(size, python.Int):
            return python.constant(int(size))
        if isinstance(size, python.Int) and not any(
            n.startswith("§") for n in python.names_in(size.node)
        ):
            return size.node
        if isinstance(size, python.Int) and isinstance(size.node, ast.Name):
            known = self.leaves.get(size.node.id)
            if known is not None and known[0] is tensor:
                return size.node
        key = f"§{len(self.leaves)}"
        self.leaves[key] = (tensor, axis)
        return python.name(key)

    def shaped(self, tensor: T, sizes: Sequence[int]) -> None:
        """Give a tensor its shape: what depends on the image's size is asked of it."""
        shape: list[int] = []
        for axis, size in enumerate(sizes):
            names = python.names_in(size.node) if isinstance(size, python.Int) else set()
            free = any(name.startswith("§") for name in names)
            # The number of a vector's elements stays a formula, where it is one here.
            if free and (axis > 0 or len(sizes) > 1 or "§" in names):
                key = f"§{len(self.leaves)}"
                self.leaves[key] = (tensor, axis)
                frozen = python.Int(int(size), python.name(key))
                shape.append(frozen)
            else:
                shape.append(size)
        tensor.shape = tuple(shape)

    def holds(self, instance: Instance, test: ast.expr) -> bool:
        """Whether a condition on the arguments is so in an instance."""
        block = instance.block
        said = {name: block.names.get(param) for name, param in self.arguments.items()}
        values = {n: python.constant(python.plain(v)) for n, v in said.items() if plain(v)}
        for port, name in self.channel_names.items():
            if port in block.inputs:
                values[name] = python.constant(int(block.inputs[port].shape[0]))
        return truth(folded(python.replace(test, values))) is True

    def counting(self, count: ast.expr) -> set[str]:
        """The parameters that are arguments, on which a number of turns depends.

        Where this is a list's length alone, the constructor refuses lists of another.
        """
        for _ in range(8):
            count = python.replace(count, self.lets)
        lengths = _Lists()
        read = python.names_in(lengths.visit(python.clone(count)))
        for name in lengths.found & self.arguments.keys() - read:
            values = [i.block.names.get(self.arguments[name]) for i in self.instances]
            found = {len(value) if isinstance(value, tuple) else -1 for value in values}
            if len(found) > 1:
                read.add(name)
                continue
            size = python.call("len", python.name(name))
            self.refused.append(
                ast.Compare(size, [ast.NotEq()], [python.constant(found.pop())])
            )
        return {param for name, param in self.arguments.items() if name in read}

    def ctor(self, node: ast.expr) -> ast.expr:
        """An expression in the constructor: sizes of tensors are their values."""
        mapping: dict[str, ast.expr] = {}
        for name in python.names_in(node):
            if name.startswith("§"):
                if name not in self.leaves:
                    raise CannotTranslateError("a size that only a turn knows")
                tensor, axis = self.leaves[name]
                size = tensor.shape[axis]
                own = isinstance(size, python.Int) and python.same(size.node, python.name(name))
                if isinstance(size, python.Int) and not own:
                    mapping[name] = self.ctor(size.node)
                else:
                    mapping[name] = self.frozen(tensor, axis)
        return folded(python.replace(node, mapping)) if mapping else node

    def frozen(self, tensor: T, axis: int) -> ast.expr:
        """A size that the constructor does not offer: it must be one for all instances."""
        found: list[tuple[Instance, object]] = []
        owners = self.owners(tensor)
        for instance, one in owners:
            found.append((instance, int(instance.network.shapes[one[1]][one[2]][axis])))
        if len({value for _, value in found}) > 1:
            if tensor.turns:
                node = tabled([(turns, self.frozen(t, axis)) for turns, t in tensor.turns])
                if isinstance(node, ast.Subscript):
                    self.columns.setdefault(ast.dump(node.value), "n")
                return python.replace(node, {"turn·": tensor.at} if tensor.at else {})
            raise SplitError(found)
        return python.constant(found[0][1] if found else int(tensor.shape[axis]))

    def owners(self, tensor: T) -> list[tuple[Instance, Identity]]:
        """The instances with the tensor that this is in each."""
        found = []
        for instance in self.instances:
            for identity in tensor.ids:
                if identity[0] == id(instance.block):
                    found.append((instance, identity))
        return found

    def owns(self, instance: Instance, node: str) -> bool:
        """Whether a node stands in an instance of this block."""
        if id(instance.block) not in self._inside:
            self._inside[id(instance.block)] = set(nodes_of(instance.block.body))
        return node in self._inside[id(instance.block)]

    def run(self, node: ast.expr, hint: str = "size") -> ast.expr:
        """An expression in `forward`: sizes are asked of tensors, arguments are kept."""
        if isinstance(node, ast.Tuple):
            sizes = [
                self.leaves.get(e.id) if isinstance(e, ast.Name) else None for e in node.elts
            ]
            first = sizes[0] if sizes else None
            if (
                first is not None
                and all(
                    s is not None and s[0] is first[0] and s[1] == first[1] + n
                    for n, s in enumerate(sizes)
                )
                and first[1] + len(sizes) == len(first[0].shape)
            ):
                start = python.constant(first[1] + 1)
                shape = python.attribute(first[0].run, "shape")
                return python.item(shape, ast.Slice(start))
            return ast.Tuple([self.run(e, hint) for e in node.elts], ast.Load())
        if isinstance(node, ast.List):
            return python.listed([self.run(e, hint) for e in node.elts])
        node = _Lengths(self).visit(python.clone(node))
        names = python.names_in(node)
        own = {n for n in names if n.startswith("§")}
        free = {"math", "range", "len", "max", "min", "round8", "nn", "float", "tuple"}
        free |= self.loops.keys() | {variable for variable, _ in self.counted.values()}
        if not names - free:
            return node
        if own or names & free & self.loops.keys():
            mapping: dict[str, ast.expr] = {}
            for name in names:
                if name in own:
                    tensor, axis = self.leaves[name]
                    shape = python.attribute(tensor.run, "shape")
                    mapping[name] = python.item(shape, python.constant(axis + 1))
                elif name not in free:
                    mapping[name] = self.keep(name, python.name(name))
            return python.replace(node, mapping)
        return self.keep(node.id if isinstance(node, ast.Name) else hint, node)

    def keep(self, name: str, node: ast.expr) -> ast.expr:
        """Keep a value of the constructor for `forward`."""
        for known, value in self.kept.items():
            if python.same(value, node):
                return python.dotted(f"self.{known}")
        found = self.attribute(name)
        self.kept[found] = node
        self.init.append(python.assign(f"self.{found}", python.clone(node)))
        return python.dotted(f"self.{found}")

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


class _Lengths(ast.NodeTransformer):
    """`len(x)` of tensors for `len(c_in)` of their widths."""

    def __init__(self, unit: Unit) -> None:
        self.names = {width: variable for variable, width in unit.counted.values()}

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        match node:
            case ast.Call(func=ast.Name(id="len"), args=[ast.Name(id=name)]):
                if name in self.names:
                    return python.call("len", python.name(self.names[name]))
        return node


def plain(value: object) -> bool:
    """Whether a value is one that a condition reads."""
    return value is None or isinstance(value, bool | int | float | str | tuple)


class _Lists(ast.NodeTransformer):
    """The lists of which only the length is read."""

    def __init__(self) -> None:
        self.found: set[str] = set()

    def visit_Call(self, node: ast.Call) -> ast.expr:
        match node:
            case ast.Call(func=ast.Name(id="len"), args=[ast.Name(id=name)]):
                self.found.add(name)
                return python.constant(0)
        self.generic_visit(node)
        return node


SIZES = ("c", "d", "h", "w", "size", "shape")


def _bracketed(index: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, index))}]"
