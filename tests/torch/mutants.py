"""Faults planted in a tree of generated PyTorch, one at a time."""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator

Edit = Callable[[ast.AST], None]

ACTIVATIONS = {"ReLU", "ReLU6", "LeakyReLU", "Mish", "SiLU", "Sigmoid", "Hardswish", "GELU"}


def mutants(tree: ast.Module, keep: frozenset[str]) -> Iterator[tuple[str, ast.Module]]:
    """(kind, changed tree) of every place that a kind of fault fits.

    `keep` are the functions and classes that the project gives, which are not changed.
    """
    for index, node in enumerate(_nodes(tree, keep)):
        for kind, edit in edits(node):
            changed = copy.deepcopy(tree)
            edit(_nodes(changed, keep)[index])
            yield kind, changed


def _nodes(tree: ast.Module, keep: frozenset[str]) -> list[ast.AST]:
    """What may be changed: all but docstrings, annotations and first values."""
    found: list[ast.AST] = []
    stack: list[ast.AST] = [
        item
        for item in reversed(tree.body)
        if isinstance(item, ast.ClassDef | ast.FunctionDef) and item.name not in keep
    ]
    while stack:
        node = stack.pop()
        found.append(node)
        for name, value in reversed(list(ast.iter_fields(node))):
            if name in ("annotation", "returns", "decorator_list"):
                continue
            for child in reversed(value if isinstance(value, list) else [value]):
                said = isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)
                if isinstance(child, ast.AST) and not said and not _initialises(child):
                    stack.append(child)
    return found


def _initialises(node: ast.AST) -> bool:
    return isinstance(node, ast.For) and ast.unparse(node.iter) == "self.modules()"


def edits(node: ast.AST) -> Iterator[tuple[str, Edit]]:
    """What can be done wrong at a node."""
    match node:
        case ast.Call(func=func, args=args, keywords=keywords):
            for n in range(len(args) - 1):
                pair = args[n], args[n + 1]
                if ast.dump(pair[0]) != ast.dump(pair[1]):
                    yield "two arguments swapped", _swap("args", n)
            for n in range(len(keywords)):
                yield "an argument dropped", _drop("keywords", n)
            for n in range(len(args)):
                yield "an operand dropped", _drop("args", n)
            if isinstance(func, ast.Attribute) and func.attr in ACTIVATIONS:
                yield "an activation dropped", _identity
                yield "another activation", _renamed
            if isinstance(func, ast.Attribute) and func.attr in ("BatchNorm2d", "MaxPool2d"):
                yield "a layer dropped", _identity
            if ast.unparse(func).startswith("F.") and args:
                yield "a function dropped", _first
        case ast.BinOp(left=left, op=op, right=right):
            if isinstance(left, ast.BinOp):
                yield "a parenthesis moved", _right
            if isinstance(right, ast.BinOp):
                yield "a parenthesis moved", _left
            if ast.dump(left) != ast.dump(right) and not isinstance(op, ast.Add | ast.Mult):
                yield "two operands swapped", _sides
            yield "another operator", _operator
        case ast.Constant(value=bool()):
            yield "a truth reversed", _constant(lambda value: not value)
        case ast.Constant(value=int()):
            yield "a number changed", _constant(lambda value: value + 1)
            yield "a number changed", _constant(lambda value: value - 1)
        case ast.Constant(value=float()):
            yield "a number changed", _constant(lambda value: value * 1.5 + 0.1)
        case ast.Constant(value=str()):
            yield "a word changed", _constant(lambda value: f"{value}x")
        case ast.UnaryOp(op=ast.USub()):
            yield "a sign dropped", _positive
        case ast.Compare():
            yield "a condition reversed", _reverse
        case ast.BoolOp():
            yield "and for or", _junction
        case ast.IfExp():
            yield "branches swapped", _branches
        case ast.If(orelse=[_, *_]):
            yield "branches swapped", _branches
        case ast.Tuple(elts=elts) | ast.List(elts=elts) if len(elts) > 1:
            for n in range(min(len(elts) - 1, 4)):
                if ast.dump(elts[n]) != ast.dump(elts[n + 1]):
                    yield "two items swapped", _swap("elts", n)
            yield "an item dropped", _drop("elts", len(elts) - 1)
        case ast.FunctionDef(body=body):
            for n in range(len(body)):
                if not isinstance(body[n], ast.Expr):
                    yield "a statement dropped", _drop("body", n)
                if n + 1 < len(body):
                    yield "two statements swapped", _swap("body", n)
        case ast.keyword(arg=str()):
            yield "another argument", _named
        case ast.Attribute(value=ast.Name(id="self"), ctx=ast.Store()):
            yield "another key", _attribute
        case ast.Attribute(value=ast.Name(id=name)) if name not in ("nn", "F", "torch"):
            yield "another attribute", _attribute
        case ast.Name(ctx=ast.Load()):
            yield "another name", _name


def _swap(name: str, n: int) -> Edit:
    def edit(node: ast.AST) -> None:
        items = getattr(node, name)
        items[n], items[n + 1] = items[n + 1], items[n]

    return edit


def _drop(name: str, n: int) -> Edit:
    def edit(node: ast.AST) -> None:
        del getattr(node, name)[n]
        if name == "body" and not node.body:  # type: ignore[attr-defined]
            node.body.append(ast.Pass())  # type: ignore[attr-defined]

    return edit


def _constant(change: Callable[..., object]) -> Edit:
    def edit(node: ast.AST) -> None:
        node.value = change(node.value)  # type: ignore[attr-defined]

    return edit


def _become(node: ast.AST, other: ast.AST) -> None:
    """Turn one node into another where it stands."""
    node.__class__ = other.__class__  # type: ignore[assignment]
    node.__dict__.clear()
    node.__dict__.update(other.__dict__)


def _identity(node: ast.AST) -> None:
    node.func.attr, node.args, node.keywords = "Identity", [], []  # type: ignore[attr-defined]


def _renamed(node: ast.AST) -> None:
    func = node.func  # type: ignore[attr-defined]
    func.attr = "ReLU" if func.attr != "ReLU" else "ReLU6"


def _first(node: ast.AST) -> None:
    _become(node, node.args[0])  # type: ignore[attr-defined]


def _right(node: ast.AST) -> None:
    """(a + b) * c → a + b * c."""
    assert isinstance(node, ast.BinOp)
    inner = node.left
    assert isinstance(inner, ast.BinOp)
    moved = ast.BinOp(inner.right, node.op, node.right)
    _become(node, ast.BinOp(inner.left, inner.op, moved))


def _left(node: ast.AST) -> None:
    """a * (b + c) → a * b + c."""
    assert isinstance(node, ast.BinOp)
    inner = node.right
    assert isinstance(inner, ast.BinOp)
    moved = ast.BinOp(node.left, node.op, inner.left)
    _become(node, ast.BinOp(moved, inner.op, inner.right))


def _sides(node: ast.AST) -> None:
    assert isinstance(node, ast.BinOp)
    node.left, node.right = node.right, node.left


def _operator(node: ast.AST) -> None:
    assert isinstance(node, ast.BinOp)
    node.op = ast.Add() if isinstance(node.op, ast.Mult) else ast.Mult()


def _positive(node: ast.AST) -> None:
    _become(node, node.operand)  # type: ignore[attr-defined]


def _reverse(node: ast.AST) -> None:
    assert isinstance(node, ast.Compare)
    others = {ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is}
    node.ops = [others.get(type(node.ops[0]), ast.Eq)()]


def _junction(node: ast.AST) -> None:
    assert isinstance(node, ast.BoolOp)
    node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()


def _branches(node: ast.AST) -> None:
    node.body, node.orelse = node.orelse, node.body  # type: ignore[attr-defined]


def _named(node: ast.AST) -> None:
    node.arg = f"{node.arg}_"  # type: ignore[attr-defined]


def _attribute(node: ast.AST) -> None:
    node.attr = f"{node.attr}_"  # type: ignore[attr-defined]


def _name(node: ast.AST) -> None:
    node.id = "x" if node.id != "x" else "y"  # type: ignore[attr-defined]
