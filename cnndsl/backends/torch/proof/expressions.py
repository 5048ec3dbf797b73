"""The expressions that a file is written in, by their rules."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

from cnndsl.backends.torch.proof import views
from cnndsl.backends.torch.proof.builtins import (
    BUILTINS,
    OPERATORS,
    PYTHON_FAULTS,
    all_items,
    compared,
    items_of,
    shown,
)
from cnndsl.backends.torch.proof.faults import ProofError
from cnndsl.backends.torch.proof.machine import Machine, Rule, python_says
from cnndsl.backends.torch.proof.modules import Class, Module
from cnndsl.backends.torch.proof.statements import function, store
from cnndsl.backends.torch.proof.terms import Tensor
from cnndsl.backends.torch.proof.values import Frame, Function, Named, Native, Once, Super


def constant(machine: Machine, node: ast.Constant, frame: Frame) -> Any:
    """A number, a text, None, an ellipsis."""
    if isinstance(node.value, bytes | complex):
        raise ProofError(f"the constant {node.value!r}", node)
    return node.value


def name(machine: Machine, node: ast.Name, frame: Frame) -> Any:
    """A name."""
    found = frame.names.get(node.id)
    return machine.name(node.id, frame) if found is None else found


def attribute(machine: Machine, node: ast.Attribute, frame: Frame) -> Any:
    """`owner.name`."""
    return machine.attribute(machine.evaluate(node.value, frame), node.attr)


def subscript(machine: Machine, node: ast.Subscript, frame: Frame) -> Any:
    """`owner[index]`."""
    owner = machine.evaluate(node.value, frame)
    index = machine.evaluate(node.slice, frame)
    match owner:
        case Tensor():
            return machine.remember(views.indexed(machine.table, owner, index), node)
        case Module():
            return owner.part(index)
        case Named(values=values) if type(index) in (int, slice):
            return values[index]
        case list() | tuple() | range() | str() | dict() if type(index) in (int, slice, str):
            return owner[index]
    raise ProofError(f"{shown(owner)} has no item {shown(index)}", node)


def sliced(machine: Machine, node: ast.Slice, frame: Frame) -> slice:
    """`1:3`."""
    parts = (node.lower, node.upper, node.step)
    bounds = [None if part is None else machine.evaluate(part, frame) for part in parts]
    if any(bound is not None and type(bound) is not int for bound in bounds):
        raise ProofError("a slice of what are not integers", node)
    return slice(*bounds)


def operation(machine: Machine, node: ast.BinOp, frame: Frame) -> Any:
    """`left + right`."""
    left = machine.evaluate(node.left, frame)
    right = machine.evaluate(node.right, frame)
    if isinstance(node.op, ast.BitOr):
        return machine.union(left, right)
    sign = OPERATORS.get(type(node.op), type(node.op).__name__)
    return machine.remember(machine.binary(sign, left, right), node)


def unary(machine: Machine, node: ast.UnaryOp, frame: Frame) -> Any:
    """`-x`, `not x`."""
    value = machine.evaluate(node.operand, frame)
    if isinstance(node.op, ast.Not):
        return not machine.truth(value)
    if isinstance(node.op, ast.USub) and isinstance(value, Tensor):
        return machine.functions.negative(value)
    if isinstance(node.op, ast.USub | ast.UAdd) and type(value) in (int, float, bool):
        return -value if isinstance(node.op, ast.USub) else +value
    raise ProofError(f"a sign of {shown(value)}", node)


def comparison(machine: Machine, node: ast.Compare, frame: Frame) -> Any:
    """`a < b < c`."""
    left = machine.evaluate(node.left, frame)
    for op, right in zip(node.ops, node.comparators, strict=True):
        value = machine.evaluate(right, frame)
        if not compared(op, left, value):
            return False
        left = value
    return True


def junction(machine: Machine, node: ast.BoolOp, frame: Frame) -> Any:
    """`a and b`, which is one of them."""
    wanted = isinstance(node.op, ast.Or)
    value: Any = None
    for part in node.values:
        value = machine.evaluate(part, frame)
        if machine.truth(value) is wanted:
            break
    return value


def choice(machine: Machine, node: ast.IfExp, frame: Frame) -> Any:
    """`a if b else c`."""
    test = machine.truth(machine.evaluate(node.test, frame))
    return machine.evaluate(node.body if test else node.orelse, frame)


def several(machine: Machine, node: ast.Tuple | ast.List, frame: Frame) -> Any:
    """`(a, *b)`, `[a, *b]`."""
    found = machine.several(node.elts, frame)
    return tuple(found) if isinstance(node, ast.Tuple) else found


def dictionary(machine: Machine, node: ast.Dict, frame: Frame) -> Any:
    """`{a: b, **c}`."""
    found: dict[Any, Any] = {}
    for key, item in zip(node.keys, node.values, strict=True):
        value = machine.evaluate(item, frame) if key is None else None
        if key is None:
            found.update(BUILTINS["dict"](value))
        else:
            known = machine.evaluate(key, frame)
            found[known] = machine.evaluate(item, frame)
    return found


def comprehension(machine: Machine, node: ast.ListComp, frame: Frame) -> Any:
    """`[a for b in c]`."""
    return all_items(generator(machine, node, frame))


def dictionary_of(machine: Machine, node: ast.DictComp, frame: Frame) -> Any:
    """`{a: b for c in d}`."""
    pair = ast.Tuple([node.key, node.value], ast.Load())
    return dict(all_items(generator(machine, ast.ListComp(pair, node.generators), frame)))


def generator(machine: Machine, node: ast.ListComp | ast.GeneratorExp, frame: Frame) -> Once:
    """`(a for b in c)`: only the first iterable is evaluated at once."""
    first = items_of(machine.evaluate(node.generators[0].iter, frame))
    # A class's names are not seen inside, but for the first iterable.
    inside = Frame(frame.globals, {}, frame.outer if frame.of_class else frame)
    return Once(_turns(machine, node, 0, first, inside))


def _turns(
    machine: Machine,
    node: ast.ListComp | ast.GeneratorExp,
    at: int,
    items: Iterator[Any],
    frame: Frame,
) -> Iterator[Any]:
    """The elements that a comprehension's loops yield."""
    turn, last = node.generators[at], at + 1 == len(node.generators)
    for item in items:
        machine.count(node)
        store(machine, turn.target, item, frame)
        if not all(machine.truth(machine.evaluate(test, frame)) for test in turn.ifs):
            continue
        if last:
            yield machine.evaluate(node.elt, frame)
        else:
            inner = items_of(machine.evaluate(node.generators[at + 1].iter, frame))
            yield from _turns(machine, node, at + 1, inner, frame)


def call(machine: Machine, node: ast.Call, frame: Frame) -> Any:
    """`function(*arguments, **keywords)`."""
    machine.count(node)
    try:
        called = machine.evaluate(node.func, frame)
        arguments = machine.several(node.args, frame)
        keywords: dict[str, Any] = {}
        for keyword in node.keywords:
            value = machine.evaluate(keyword.value, frame)
            more = {keyword.arg: value} if keyword.arg else BUILTINS["dict"](value)
            if keywords.keys() & more.keys():
                raise ProofError("two values for one argument")
            keywords |= more
        if isinstance(called, Native) and called.name == "super" and not arguments:
            return _above(frame)
        return machine.remember(machine.call(called, arguments, keywords, node), node)
    except ProofError as found:
        found.place = found.place or node
        raise
    except PYTHON_FAULTS as error:
        raise ProofError(python_says(error), node) from None


def _above(frame: Frame) -> Super:
    """`super()`."""
    running: Frame | None = frame
    while running is not None and running.function is None:
        running = running.outer
    found: Function | None = running.function if running is not None else None
    owner: Class | None = found.owner if found is not None else None
    if running is None or found is None or owner is None:
        raise ProofError("`super()` outside a method")
    return Super(running.names[found.node.args.args[0].arg], owner)


def formatted(machine: Machine, node: ast.JoinedStr, frame: Frame) -> Any:
    """`f"layer{i}"`, of integers and texts."""
    found = ""
    for part in node.values:
        if isinstance(part, ast.FormattedValue):
            value = machine.evaluate(part.value, frame)
            if type(value) not in (int, str) or part.format_spec or part.conversion != -1:
                raise ProofError(f"{shown(value)} in a text", part.value)
            found += str(value)
        else:
            found += str(machine.evaluate(part, frame))
    return found


EXPRESSIONS: dict[type[ast.AST], Rule] = {
    ast.Constant: constant,
    ast.Name: name,
    ast.Attribute: attribute,
    ast.Call: call,
    ast.BinOp: operation,
    ast.UnaryOp: unary,
    ast.Compare: comparison,
    ast.BoolOp: junction,
    ast.IfExp: choice,
    ast.Tuple: several,
    ast.List: several,
    ast.Dict: dictionary,
    ast.Subscript: subscript,
    ast.Slice: sliced,
    ast.ListComp: comprehension,
    ast.GeneratorExp: generator,
    ast.DictComp: dictionary_of,
    ast.Lambda: function,
    ast.JoinedStr: formatted,
}
