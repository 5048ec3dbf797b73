"""What sizes and arguments are in the constructor of a class and in its `forward`."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence

from cnndsl.backends.torch import python
from cnndsl.backends.torch.expressions import CannotTranslateError, truth
from cnndsl.backends.torch.general import folded, tabled
from cnndsl.backends.torch.instances import Identity, Instance, SplitError, T
from cnndsl.language.names import BlockDefinition


class Sizes:
    """A class's arguments, its attributes, and the sizes of its tensors."""

    def __init__(self, definition: BlockDefinition, instances: list[Instance]) -> None:
        """Nothing is known yet."""
        self.definition, self.instances = definition, instances
        self.init: list[ast.stmt] = []
        self.lets: dict[str, ast.expr] = {}
        """What the constructor's variables are, in the order in which they are made."""
        self.leaves: dict[str, tuple[T, int]] = {}
        self.attributes: set[str] = set()
        self.kept: dict[str, ast.expr] = {}
        self.refused: list[ast.expr] = []
        """Conditions on arguments that the constructor refuses: in no instance do they hold."""
        self.channel_names: dict[str, str] = {}
        self.arguments: dict[str, str] = {}
        self.loops: dict[str, ast.expr] = {}
        """The variables of loops in `forward`, and what they go over."""
        self.columns: dict[str, str] = {}
        """The names of a table's columns, by what stands in them."""
        self.counted: dict[str, tuple[str, str]] = {}
        """Families of a number that the instances differ in: in `forward`, and their widths."""

    def attribute(self, name: str) -> str:
        """A new attribute of the module."""
        found, number = name, 1
        modules = {site.name for site in self.definition.modules.sites.values()}
        while found in self.attributes or found in modules:
            number += 1
            found = f"{name}{number}"
        self.attributes.add(found)
        return found

    def let(self, name: str, node: ast.expr) -> None:
        """Give the constructor a variable."""
        self.init.append(python.assign(name, node))
        self.lets[name] = node

    def spelt_out(self, node: ast.expr) -> ast.expr:
        """An expression without the constructor's variables: each is of those before it."""
        for name, value in reversed(self.lets.items()):
            if name in python.names_in(node):
                node = python.replace(node, {name: value})
        return node

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
        values: dict[str, ast.expr] = {
            name: python.constant(python.plain(value))
            for name, value in said.items()
            if value is None or isinstance(value, bool | int | float | str | tuple)
        }
        for port, name in self.channel_names.items():
            if port in block.inputs:
                values[name] = python.constant(int(block.inputs[port].shape[0]))
        return truth(folded(python.replace(test, values))) is True

    def refuse(self, test: ast.expr) -> bool:
        """Have the constructor refuse arguments, if it knows them and no instance has them."""
        names = python.names_in(test)
        known = {*self.arguments, *self.channel_names.values()}
        if not names or not names <= known:
            return False
        if any(self.holds(instance, test) for instance in self.instances):
            return False
        self.refused.append(test)
        return True

    def counting(self, count: ast.expr) -> set[str]:
        """The parameters that are arguments, on which a number of turns depends.

        Where this is a list's length alone, the constructor refuses lists of another.
        """
        count = self.spelt_out(count)
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
        for instance, one in self.owners(tensor):
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
        node = _Lengths(self.counted.values()).visit(python.clone(node))
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


class _Lengths(ast.NodeTransformer):
    """`len(x)` of tensors for `len(c_in)` of their widths."""

    def __init__(self, counted: Iterable[tuple[str, str]]) -> None:
        self.names = {width: variable for variable, width in counted}

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        match node:
            case ast.Call(func=ast.Name(id="len"), args=[ast.Name(id=name)]):
                if name in self.names:
                    return python.call("len", python.name(self.names[name]))
        return node


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
