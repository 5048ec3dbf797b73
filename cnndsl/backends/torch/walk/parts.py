"""What the rooms of the walk share: operands, links of chains, and small pieces of text."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from cnndsl.backends.torch import python
from cnndsl.backends.torch.expressions import CannotTranslateError
from cnndsl.backends.torch.instances import ExposeError, Instance, SplitError, T
from cnndsl.backends.torch.unit import Unit
from cnndsl.language import tree
from cnndsl.structure import Loop, Repeat, Tensor

Flow = tuple[T, ...]
Item = TypeVar("Item")
Views = Sequence[tuple[Instance, Item]]


@dataclass
class Link:
    """One module of a chain: its term, in all instances, and the condition that keeps it."""

    term: tree.Term
    views: Views[Any]
    test: ast.expr | None
    defaults: list[Sequence[tree.Default]]


@dataclass
class Operand:
    """What a line of a join gives, and the condition under which it is there."""

    tensor: T
    test: ast.expr | None = None
    many: ast.expr | None = None
    """The list of a loop's operands, of which `tensor` is one."""
    term: int = 0
    """The `id` of that loop."""
    each: Sequence[Operand] = ()
    """Of a list that a loop has made, the operands that it is."""
    counts: Sequence[tuple[Instance, object]] = ()
    """How many these are in each instance, where they differ."""


class Parts(list[Operand]):
    """The operands of a join that a loop appends to the list `run`."""

    def __init__(self, run: ast.Name) -> None:
        """Begin with none."""
        super().__init__()
        self.run = run
        self.first: T | None = None


@dataclass
class Family:
    """A list of a loop's turns: its variable, what a turn appends, and that in each network."""

    variable: str
    tensor: T
    outputs: Sequence[tuple[Instance, Tensor]]
    label: str


@dataclass
class Turning:
    """A loop of `forward` that is walked: its variable, and the families that it makes."""

    term: int
    variable: str
    low: int
    over: ast.expr
    conditions: int
    """How many conditions there are around the loop."""
    families: dict[str, Family] = field(default_factory=dict)
    """The lists that it makes, by label."""
    shared: bool = False
    """Its turns are one module."""
    count: int = 0
    """How many turns there are, where all instances have as many."""
    lists: dict[str, str] | None = None
    """Of a loop of the constructor too: the variables that list each turn's modules."""
    whole: set[str] = field(default_factory=set)
    """Those of these lists that `forward` calls as one module."""
    columns: Sequence[str] = ()
    """Of such a loop the names of its table's columns."""

    def row(self, number: int) -> dict[str, ast.expr]:
        """The columns' values in one turn."""
        match self.over:
            case ast.Tuple(elts=rows):
                row = rows[number]
                cells = row.elts if isinstance(row, ast.Tuple) else [row]
                return dict(zip(self.columns, cells, strict=True))
            case ast.Call(func=ast.Name(id="range"), args=[_]):
                return dict.fromkeys(self.columns, python.constant(number))
        return {}

    @property
    def times(self) -> ast.expr | None:
        """How many turns there are, as it is written."""
        match self.over:
            case ast.Call(func=ast.Name(id="range"), args=[high]):
                return high
        return None


def turns_in(term: Repeat | Loop) -> Sequence[Any]:
    """The turns of a repeat or a loop."""
    return term.bodies if isinstance(term, Loop) else term.items


class UnrollError(Exception):
    """A loop that cannot be one of `forward`: it is written turn by turn."""

    def __init__(self, term: int) -> None:
        """Take the `id` of the loop."""
        super().__init__()
        self.term = term


@contextmanager
def or_unrolled(term: tree.Term) -> Iterator[None]:
    """What cannot be one loop is written turn by turn.  Raises UnrollError."""
    try:
        yield
    except (CannotTranslateError, ExposeError):
        raise UnrollError(id(term)) from None
    except SplitError as error:
        if error.turns:
            raise UnrollError(id(term)) from None
        raise


class CountError(Exception):
    """A loop that is written turn by turn: what counts its turns can be no argument."""

    def __init__(self, parameters: set[str]) -> None:
        """Take the parameters of the block that count."""
        super().__init__()
        self.parameters = parameters


def merged(unit: Unit, test: ast.expr, on: T, off: T) -> tuple[int, ...]:
    """The shape behind a line that a condition may remove: `t * c_in`, right for t == 1 too."""
    if len(on.shape) != len(off.shape):
        raise CannotTranslateError("two ways of unlike ranks")
    shape: list[int] = []
    for axis, (a, b) in enumerate(zip(on.shape, off.shape, strict=True)):
        x, y = python.node_of(a), python.node_of(b)
        spatial = any(n.startswith("§") for n in python.names_in(x) | python.names_in(y))
        if axis > 0 and (spatial or int(a) != int(b)):
            shape.append(python.Int(int(a), python.name("§")))
            continue
        if python.same(x, y):
            shape.append(a)
            continue
        known = equal_where(python.negated(test), x, y)
        if known or equal_where(test, x, y):
            shape.append(a if known else b)
            continue
        shape.append(python.carry(int(a), ast.IfExp(test, x, y)))
    return tuple(shape)


def equal_where(test: ast.expr, x: ast.expr, y: ast.expr) -> bool:
    """Whether two sizes are equal wherever a condition holds: `t * c` and `c` where t is 1."""
    for one in python.conjuncts(test):
        match one:
            case ast.Compare(left=left, ops=[ast.Eq()], comparators=[right]):
                if (python.same(x, left) and python.same(y, right)) or (
                    python.same(x, right) and python.same(y, left)
                ):
                    return True
                if isinstance(left, ast.Name):
                    mapping = {left.id: right}
                    if python.same(python.replace(x, mapping), python.replace(y, mapping)):
                        return True
    return False


def over_family(
    loop: Turning, module: ast.expr, columns: Mapping[str, str]
) -> tuple[ast.expr, list[ast.comprehension]]:
    """A module for each turn of a loop: a comprehension's item, and what it goes over.

    `columns` are names for what stands in a table.
    """
    put = _Items(loop, module, columns)
    module = put.visit(python.clone(module))
    counts = loop.variable in python.names_in(module)
    target, over = python.name(loop.variable if counts else "_"), python.clone(loop.over)
    found: ast.expr = target
    if put.found:
        names = [python.name(name) for name, _ in put.found.values()]
        lists = [items for _, items in put.found.values()]
        found, over = names[0], lists[0]
        if len(names) > 1:
            tables = [one.elts for one in lists if isinstance(one, ast.Tuple)]
            found = ast.Tuple([*names], ast.Load())
            over = ast.Tuple(
                [ast.Tuple([*row], ast.Load()) for row in zip(*tables, strict=True)],
                ast.Load(),
            )
            if len(tables) < len(lists):
                over = python.call("zip", *lists)
        if counts:
            start = [python.constant(loop.low)] if loop.low else []
            over = python.call("enumerate", over, *start)
            found = ast.Tuple([target, found], ast.Load())
    return module, [ast.comprehension(python.stored(found), over, [], 0)]


class _Items(ast.NodeTransformer):
    """Names for the items of lists that a loop goes over."""

    def __init__(self, loop: Turning, module: ast.expr, columns: Mapping[str, str]) -> None:
        self.columns, self.taken = columns, python.names_in(module)
        self.index = python.binary("+", python.name(loop.variable), python.constant(-loop.low))
        self.variable, self.widths, self.count = loop.variable, "", loop.count
        self.found: dict[str, tuple[str, ast.expr]] = {}
        match loop.over:
            case ast.Call(
                func=ast.Name(id="range"),
                args=[ast.Call(func=ast.Name(id="len"), args=[ast.Name(id=widths)])],
            ):
                self.widths = widths

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        self.generic_visit(node)
        items = self.items(node)
        if items is None:
            return node
        key = ast.dump(items)
        if key not in self.found:
            first = self.columns.get(key, "c")
            words = [first, *(["c_in"] if first == "c" else []), f"{first}_{self.variable}"]
            words += [f"{first}{n}" for n in range(2, 99)]
            name = next(word for word in words if word not in self.taken)
            self.taken.add(name)
            self.found[key] = (name, items)
        return python.name(self.found[key][0])

    def items(self, node: ast.Subscript) -> ast.expr | None:
        """What the turns take of a list, in order: of `(2, 3, 5)[i + 1]` it is `(3, 5)`."""
        match node.value:
            case ast.Name(id=name) if name == self.widths:
                return node.value if python.same(node.slice, self.index) else None
            case ast.Tuple(elts=found):
                for first in range(len(found) - self.count + 1 if self.count else 1):
                    at = python.binary("+", self.index, python.constant(first))
                    if python.same(node.slice, at):
                        last = first + self.count if self.count else len(found)
                        return ast.Tuple(found[first:last], ast.Load())
        return None


def both(flag: ast.expr, test: ast.expr | None) -> ast.expr:
    """Two conditions at once."""
    return flag if test is None else ast.BoolOp(ast.And(), [flag, test])


def python_choice(test: ast.expr, then: ast.expr, other: ast.expr) -> ast.expr:
    """`then if test else other`; an identity stands last."""
    then, other = python.given(then, test), python.given(other, python.negated(test))
    if python.same(then, other):
        return then
    if python.same(then, python.call("nn.Identity")):
        return ast.IfExp(python.negated(test), other, then)
    return ast.IfExp(test, then, other)


class Turns(list[ast.expr]):
    """The modules of a repeat: a sequence, though it have one turn."""


def sequential(items: Sequence[ast.expr]) -> ast.expr:
    """`nn.Sequential(…)`; one module is itself, unless it is a repeat's."""
    single = len(items) == 1 and not isinstance(items, Turns)
    if single and not isinstance(items[0], ast.Starred):
        return items[0]
    if not items:
        return python.call("nn.Sequential")
    return python.call("nn.Sequential", *items)


def fused(modules: list[ast.expr]) -> ast.expr:
    """A step's layers as one module."""
    if len(modules) == 1:
        return modules[0]
    found = python.call("nn.Sequential", *modules)
    found.fused = True  # type: ignore[attr-defined]
    return found


def no_modules(name: str) -> ast.AnnAssign:
    """`layers: list[nn.Module] = []`."""
    kind = python.item(python.name("list"), python.dotted("nn.Module"))
    return ast.AnnAssign(ast.Name(name, ast.Store()), kind, python.listed([]), 1)


def repeats(module: ast.expr, count: int) -> list[ast.expr]:
    """A module so many times."""
    if count == 1:
        return [module]
    over = python.call("range", python.constant(count))
    comprehension = ast.comprehension(ast.Name("_", ast.Store()), over, [], 0)
    return [ast.Starred(ast.GeneratorExp(module, [comprehension]), ast.Load())]


def listed(known: dict[tuple[int, ...], ast.expr]) -> ast.expr:
    """`nn.ModuleList([…])`, nested by the turns."""
    if () in known:
        return known[()]
    highest = max(turns[0] for turns in known)
    items: list[ast.expr] = []
    for number in range(highest + 1):
        inside = {turns[1:]: node for turns, node in known.items() if turns[0] == number}
        items.append(listed(inside) if inside else python.call("nn.Identity"))
    same = all(python.same(item, items[0]) for item in items)
    if same and len(items) > 1:
        over = python.call("range", python.constant(len(items)))
        comprehension = ast.comprehension(ast.Name("_", ast.Store()), over, [], 0)
        return python.call("nn.ModuleList", ast.GeneratorExp(items[0], [comprehension]))
    return python.call("nn.ModuleList", python.listed(items))


class Together(ast.NodeTransformer):
    """`x` for `[x[0], x[1], x[2]]`, where the list `x` has no more."""

    def __init__(self, lengths: Mapping[str, int]) -> None:
        """Take how many tensors each list has."""
        self.lengths = lengths

    def visit_List(self, node: ast.List) -> ast.expr:
        """A list, as short as it can be said."""
        self.generic_visit(node)
        whole = self.whole(node.elts)
        return node if isinstance(whole, ast.Tuple) else whole

    def whole(self, items: Sequence[ast.expr]) -> ast.expr:
        """The list of which these are all the items, in order; else they as a tuple."""
        whole = family_of(items)
        if isinstance(whole, ast.Name) and self.lengths.get(whole.id) == len(items):
            return whole
        return ast.Tuple([*items], ast.Load())


def family_of(results: Sequence[ast.expr]) -> ast.expr | None:
    """The list of which results are all the items, in order."""
    found: list[ast.expr] = []
    for number, result in enumerate(results):
        match result:
            case ast.Subscript(value=ast.Name() as family, slice=ast.Constant(value=index)):
                if index != number:
                    return None
                found.append(family)
            case _:
                return None
    return found[0] if found and all(python.same(one, found[0]) for one in found) else None
