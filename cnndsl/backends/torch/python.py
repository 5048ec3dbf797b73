"""Python's `ast`: short names for its nodes, and numbers that carry the expression they are."""

from __future__ import annotations

import ast
import math
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

OPERATORS: dict[str, type[ast.operator]] = {
    "+": ast.Add,
    "-": ast.Sub,
    "*": ast.Mult,
    "/": ast.Div,
    "//": ast.FloorDiv,
    "%": ast.Mod,
    "**": ast.Pow,
}
COMPARISONS: dict[str, type[ast.cmpop]] = {
    "==": ast.Eq,
    "!=": ast.NotEq,
    "<": ast.Lt,
    "<=": ast.LtE,
    ">": ast.Gt,
    ">=": ast.GtE,
}
N = TypeVar("N")
A = TypeVar("A", bound=ast.AST)
_TREES = (ast.AST, list, dict)
_COMPUTED: dict[str, Callable[[Any, Any], Any]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "//": lambda a, b: a // b,
    "%": lambda a, b: a % b,
    "**": lambda a, b: a**b,
}


def name(text: str) -> ast.Name:
    """`text`."""
    return ast.Name(text, ast.Load())


def constant(value: object) -> ast.expr:
    """A literal; a negative number is an operator and a number, as the parser has it."""
    match value:
        case tuple():
            return ast.Tuple([constant(item) for item in value], ast.Load())
        case bool() | str() | None | types.EllipsisType():
            return ast.Constant(value)
        case float() if math.isinf(value):
            found = call("float", constant("inf"))
            return ast.UnaryOp(ast.USub(), found) if value < 0 else found
        case int() | float() if value < 0 or (value == 0 and math.copysign(1, value) < 0):
            return ast.UnaryOp(ast.USub(), ast.Constant(-value))
        case int():
            return ast.Constant(int(value))
        case float():
            return ast.Constant(float(value))
    raise TypeError(value)


def dotted(text: str) -> ast.expr:
    """`self.stem`."""
    head, *rest = text.split(".")
    found: ast.expr = name(head)
    for part in rest:
        found = attribute(found, part)
    return found


def attribute(value: ast.expr, part: str) -> ast.Attribute:
    """`value.part`."""
    return ast.Attribute(value, part, ast.Load())


def call(function: str | ast.expr, *arguments: ast.expr, **keywords: ast.expr) -> ast.Call:
    """`function(*arguments, **keywords)`."""
    called = dotted(function) if isinstance(function, str) else function
    return ast.Call(called, list(arguments), [ast.keyword(k, v) for k, v in keywords.items()])


def item(value: ast.expr, *index: ast.expr) -> ast.Subscript:
    """`value[index]`."""
    where = index[0] if len(index) == 1 else ast.Tuple(list(index), ast.Load())
    return ast.Subscript(value, where, ast.Load())


def assign(target: str | ast.expr, value: ast.expr) -> ast.Assign:
    """`target = value`."""
    node = dotted(target) if isinstance(target, str) else target
    return ast.Assign([stored(node)], value)


def stored(node: ast.expr) -> ast.expr:
    """An expression as the target of an assignment."""
    found = clone(node)
    if isinstance(found, ast.Tuple):
        found.elts = [stored(part) for part in found.elts]
    found.ctx = ast.Store()  # type: ignore[attr-defined]
    return found


def same(left: ast.AST | None, right: ast.AST | None) -> bool:
    """Whether two nodes are the same text."""
    if left is None or right is None:
        return left is right
    return left is right or ast.dump(left) == ast.dump(right)


def number(node: ast.expr) -> int | float | None:
    """The value of a numeric literal; None for anything else."""
    match node:
        case ast.Constant(value=bool()):
            return None
        case ast.Constant(value=int() | float() as value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value
    return None


def names_in(node: ast.AST) -> set[str]:
    """The names that an expression reads."""
    return {one.id for one in nodes(node) if isinstance(one, ast.Name)}


def nodes(tree: ast.AST) -> list[ast.AST]:
    """A tree's nodes, in no order that one may rely on: `ast.walk`, but quick."""
    found: list[ast.AST] = []
    stack = [tree]
    while stack:
        one = stack.pop()
        found.append(one)
        for name in one._fields:
            value = getattr(one, name, None)
            if isinstance(value, ast.AST):
                stack.append(value)
            elif isinstance(value, list):
                stack += [item for item in value if isinstance(item, ast.AST)]
    return found


def clone(node: N) -> N:
    """A copy of a tree, or of a list or dictionary of trees: `copy.deepcopy`, but quick."""
    found: Any = node
    if isinstance(node, ast.AST):
        found = node.__class__.__new__(node.__class__)
        for name, value in node.__dict__.items():
            found.__dict__[name] = clone(value) if isinstance(value, _TREES) else value
    elif isinstance(node, list):
        found = [clone(item) for item in node]
    elif isinstance(node, dict):
        found = {name: clone(item) for name, item in node.items()}
    return found  # type: ignore[no-any-return]


def terms(node: ast.expr, sign: int) -> list[tuple[int, ast.expr]]:
    """What is added and subtracted in an expression."""
    match node:
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub() as op, right=right):
            other = sign if isinstance(op, ast.Add) else -sign
            return [*terms(left, sign), *terms(right, other)]
        case ast.UnaryOp(op=ast.USub(), operand=operand) if number(node) is None:
            return terms(operand, -sign)
    return [(sign, node)]


def summed(found: list[tuple[int, ast.expr]]) -> ast.expr:
    """A sum, in which what is added and subtracted again is gone, its numbers last.

    What is added several times is multiplied.
    """
    total: int | float = 0
    counts: list[tuple[int, ast.expr]] = []
    for sign, node in found:
        value = number(node)
        if value is not None:
            total += sign * value
            continue
        many, base = 1, node
        match node:
            case ast.BinOp(left=times, op=ast.Mult(), right=right):
                if isinstance(known := number(times), int):
                    many, base = known, right
        place = next((n for n, (_, one) in enumerate(counts) if same(one, base)), None)
        if place is None:
            counts.append((sign * many, base))
        else:
            counts[place] = (counts[place][0] + sign * many, base)
    left = [
        (1 if n > 0 else -1, node if abs(n) == 1 else operation(constant(abs(n)), "*", node))
        for n, node in counts
        if n
    ]
    left.sort(key=lambda term: term[0] < 0)
    if not left:
        return constant(total)
    sign, whole = left[0]
    if sign < 0:
        whole = (
            operation(constant(total), "-", whole) if total else ast.UnaryOp(ast.USub(), whole)
        )
        total = 0
    for sign, node in left[1:]:
        whole = operation(whole, "+" if sign > 0 else "-", node)
    if total:
        whole = operation(whole, "+" if total > 0 else "-", constant(abs(total)))
    return whole


def operation(left: ast.expr, operator: str, right: ast.expr) -> ast.expr:
    """An operator as it is."""
    return ast.BinOp(left, OPERATORS[operator](), right)


def binary(operator: str, left: ast.expr, right: ast.expr) -> ast.expr:
    """`left operator right`, worked out where both are numbers or one changes nothing."""
    a, b = number(left), number(right)
    if a is not None and b is not None and not (operator in ("/", "//", "%") and b == 0):
        return constant(_COMPUTED[operator](a, b))
    match operator:
        case "*" if a == 1 and isinstance(a, int):
            return right
        case "+" if a == 0 and isinstance(a, int):
            return right
        case "*" | "//" if b == 1 and isinstance(b, int):
            return left
        case "+" | "-" if b == 0 and isinstance(b, int):
            return left
        case "+" | "-":
            return summed([*terms(left, 1), *terms(right, 1 if operator == "+" else -1)])
        case "//":
            if isinstance(b, int) and b and isinstance(left, ast.BinOp):
                many = number(left.left) if isinstance(left.op, ast.Mult) else None
                if isinstance(many, int) and many % b == 0:
                    return binary("*", constant(many // b), left.right)
            match left:  # (x * k) // k
                case ast.BinOp(op=ast.Mult()) if b and same(left.right, right):
                    return left.left
                case ast.BinOp(op=ast.Mult()) if b and same(left.left, right):
                    return left.right
    return ast.BinOp(left, OPERATORS[operator](), right)


def _carried(operator: str, reverse: bool = False) -> Callable[[Any, Any], Any]:
    def method(self: Any, other: Any) -> Any:
        if not isinstance(other, int | float) or isinstance(other, bool):
            return NotImplemented
        left, right = (other, self) if reverse else (self, other)
        value = _COMPUTED[operator](plain(left), plain(right))
        return carry(value, binary(operator, node_of(left), node_of(right)))

    return method


class Int(int):
    """An integer with the expression that it is in the constructor.

    It passes through the operations' own rules (`shape`, `weights`, `torch`), so that what
    comes out says how it was computed.
    """

    node: ast.expr

    def __new__(cls, value: int, node: ast.expr) -> Int:
        """Pair a value with its expression."""
        self = super().__new__(cls, value)
        self.node = node
        return self

    @property
    def key(self) -> str:
        """Its expression as text: what tells it from an equal number."""
        return ast.dump(self.node)

    __add__, __radd__ = _carried("+"), _carried("+", True)
    __sub__, __rsub__ = _carried("-"), _carried("-", True)
    __mul__, __rmul__ = _carried("*"), _carried("*", True)
    __floordiv__, __rfloordiv__ = _carried("//"), _carried("//", True)
    __mod__, __rmod__ = _carried("%"), _carried("%", True)

    def __neg__(self) -> int:
        """The negative."""
        found: int = 0 - self
        return found

    def __reduce__(self) -> tuple[type[int], tuple[int]]:
        """Copied as the plain number."""
        return int, (int(self),)


class Float(float):
    """A float with its expression."""

    node: ast.expr

    def __new__(cls, value: float, node: ast.expr) -> Float:
        """Pair a value with its expression."""
        self = super().__new__(cls, value)
        self.node = node
        return self

    @property
    def key(self) -> str:
        """Its expression as text: what tells it from an equal number."""
        return ast.dump(self.node)

    def __reduce__(self) -> tuple[type[float], tuple[float]]:
        """Copied as the plain number."""
        return float, (float(self),)


def carries(value: object) -> bool:
    """Whether a value, or one in it, has an expression."""
    if isinstance(value, tuple):
        return any(map(carries, value))
    return isinstance(value, Int | Float)


def plain(value: Any) -> Any:
    """A value without the expressions that it carries, nor formulas."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, tuple):
        return tuple(map(plain, value))
    if isinstance(value, int):
        return int(value)
    return float(value) if isinstance(value, float) else value


def carry(value: Any, node: ast.expr) -> Any:
    """A value with its expression, as an operation takes it."""
    if number(node) is not None or isinstance(value, bool | str) or value is None:
        return value
    if isinstance(value, int):
        return Int(value, node)
    if isinstance(value, float):
        return Float(value, node)
    if isinstance(value, tuple) and isinstance(node, ast.Tuple | ast.List):
        return tuple(carry(v, n) for v, n in zip(value, node.elts, strict=True))
    if isinstance(value, tuple):
        return tuple(carry(v, item(node, constant(n))) for n, v in enumerate(value))
    return value


def node_of(value: Any) -> ast.expr:
    """The expression of a value."""
    if isinstance(value, Int | Float):
        return clone(value.node)
    if isinstance(value, tuple):
        return whole([node_of(v) for v in value])
    if isinstance(value, list):
        return listed([node_of(v) for v in value])
    return constant(plain(value))


def whole(items: list[ast.expr]) -> ast.expr:
    """`wh` for `(wh[0], wh[1])`, else the tuple."""
    match items:
        case [ast.Subscript(value=value), *_] if all(
            isinstance(one, ast.Subscript) and same(one.value, value) and number(one.slice) == n
            for n, one in enumerate(items)
        ):
            return value
    return ast.Tuple(items, ast.Load())


class _Replace(ast.NodeTransformer):
    def __init__(self, mapping: Mapping[str, ast.expr]) -> None:
        self.mapping = mapping

    def visit_Name(self, node: ast.Name) -> ast.expr:
        found = None if isinstance(node.ctx, ast.Store) else self.mapping.get(node.id)
        return node if found is None else clone(found)


def filled(node: A, mapping: Mapping[str, ast.expr]) -> A:
    """Code with names replaced where they are read: nothing is worked out."""
    found: A = _Replace(mapping).visit(clone(node))
    return found


def replace(node: ast.expr, mapping: Mapping[str, ast.expr]) -> ast.expr:
    """An expression with names replaced by expressions, numbers worked out anew."""
    if not mapping or not names_in(node) & mapping.keys():
        return node
    match node:
        case ast.BinOp(op=ast.Add() | ast.Sub()):
            # All at once: a sum of many terms is taken apart once.
            found = [(s, replace(one, mapping)) for s, one in terms(node, 1)]
            return summed([term for s, one in found for term in terms(one, s)])
        case ast.BinOp():
            symbol = next(s for s, kind in OPERATORS.items() if isinstance(node.op, kind))
            return binary(symbol, replace(node.left, mapping), replace(node.right, mapping))
        case ast.Subscript():
            value, index = replace(node.value, mapping), replace(node.slice, mapping)
            where = number(index)
            if isinstance(value, ast.Tuple | ast.List) and isinstance(where, int):
                return value.elts[where]
            return ast.Subscript(value, index, ast.Load())
        case ast.IfExp():
            return ast.IfExp(
                *(replace(n, mapping) for n in (node.test, node.body, node.orelse))
            )
    whole: ast.expr = _Replace(mapping).visit(clone(node))
    return whole


def chosen(test: ast.expr, then: ast.expr, other: ast.expr) -> ast.expr:
    """`then if test else other`; of `True` and `False` the test itself."""
    match then, other:
        case ast.Constant(value=True), ast.Constant(value=False):
            return test
        case ast.Constant(value=False), ast.Constant(value=True):
            return negated(test)
    then, other = given(then, test), given(other, negated(test))
    return then if same(then, other) else ast.IfExp(test, then, other)


def negated(node: ast.expr) -> ast.expr:
    """`not node`, said shorter where a comparison has an opposite."""
    opposite = {
        ast.Eq: ast.NotEq,
        ast.NotEq: ast.Eq,
        ast.Lt: ast.GtE,
        ast.GtE: ast.Lt,
        ast.Gt: ast.LtE,
        ast.LtE: ast.Gt,
        ast.Is: ast.IsNot,
        ast.IsNot: ast.Is,
    }
    match node:
        case ast.Compare(left=left, ops=[operator], comparators=comparators):
            return ast.Compare(left, [opposite[type(operator)]()], list(comparators))
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return operand
        case ast.BoolOp(op=operator, values=values):
            other = ast.And() if isinstance(operator, ast.Or) else ast.Or()
            return ast.BoolOp(other, [negated(value) for value in values])
    return ast.UnaryOp(ast.Not(), node)


def conjuncts(node: ast.expr) -> list[ast.expr]:
    """What holds where a condition does."""
    if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.And):
        return node.values
    return [node]


def conjunction(tests: Sequence[ast.expr]) -> ast.expr:
    """All the conditions at once, each without what the others decide."""
    facts = [fact for test in tests for fact in conjuncts(test)]
    found: list[ast.expr] = []
    for number, fact in enumerate(facts):
        others = facts[:number] + facts[number + 1 :]
        values = fact.values if isinstance(fact, ast.BoolOp) else [fact]
        left = [v for v in values if decided(v, others) is not False]
        if not left:
            return constant(False)
        one = left[0] if len(left) == 1 else ast.BoolOp(ast.Or(), left)
        if not any(same(one, other) for other in found):
            found.append(one)
    return found[0] if len(found) == 1 else ast.BoolOp(ast.And(), found)


def decided(test: ast.expr, facts: Sequence[ast.expr]) -> bool | None:
    """What a condition comes to where others hold; None where they do not say."""
    if all(any(same(part, fact) for fact in facts) for part in conjuncts(test)):
        return True
    against = map(negated, conjuncts(test))
    return False if any(same(part, fact) for part in against for fact in facts) else None


class _Given(ast.NodeTransformer):
    def __init__(self, facts: Sequence[ast.expr]) -> None:
        self.facts = facts

    def visit_IfExp(self, node: ast.IfExp) -> ast.expr:
        holds = decided(node.test, self.facts)
        if holds is not None:
            chosen: ast.expr = self.visit(node.body if holds else node.orelse)
            return chosen
        self.generic_visit(node)
        return node.body if same(node.body, node.orelse) else node


def given(node: ast.expr, test: ast.expr) -> ast.expr:
    """An expression where a condition holds: the choices that this decides are made."""
    if not any(isinstance(inner, ast.IfExp) for inner in ast.walk(node)):
        return node
    found: ast.expr = _Given(conjuncts(test)).visit(clone(node))
    return found


def listed(items: Sequence[ast.expr]) -> ast.List:
    """`[a, b]`."""
    return ast.List(list(items), ast.Load())
