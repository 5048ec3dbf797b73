"""Expressions of several turns as one, and what is decided worked out."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from cnndsl.backends.torch import python
from cnndsl.backends.torch.expressions import CannotTranslateError, compared, truth


def general(found: Sequence[tuple[dict[str, int], ast.expr]]) -> ast.expr:
    """What expressions are in several turns: `x[i]` of `x[0]` and `x[1]`.

    Raises CannotTranslateError: they are not alike.
    """
    (turns, first), *others = found
    if all(python.same(node, first) for _, node in others):
        return first
    numbers = [python.number(node) for _, node in found]
    if all(isinstance(value, int) for value in numbers):
        for variable in reversed(turns):
            offsets = {
                int(value) - one[variable]  # type: ignore[arg-type]
                for value, (one, _) in zip(numbers, found, strict=True)
            }
            if len(offsets) == 1:
                return python.binary("+", python.name(variable), python.constant(*offsets))
            sums = {
                int(value) + one[variable]  # type: ignore[arg-type]
                for value, (one, _) in zip(numbers, found, strict=True)
            }
            if len(sums) == 1:
                return python.binary("-", python.constant(*sums), python.name(variable))
    if all(type(node) is type(first) for _, node in others) and first._fields:
        kept = {}
        for name in first._fields:
            values = [(one, getattr(node, name)) for one, node in found]
            kept[name] = _general_field(values)
        return type(first)(**kept)
    raise CannotTranslateError("turns of a loop that differ")


def tabled(found: Sequence[tuple[dict[str, int], ast.expr]]) -> ast.expr:
    """The same, or the item of a table of all turns: `(64, 128, 256)[i]`.

    Raises CannotTranslateError: one variable does not decide it.
    """
    try:
        return general(found)
    except CannotTranslateError:
        for variable in reversed(found[0][0]):
            rows = {turns[variable]: node for turns, node in found}
            if all(python.same(rows[turns[variable]], node) for turns, node in found):
                low, values = min(rows), [rows[number] for number in sorted(rows)]
                if sorted(rows) == [*range(low, low + len(rows))]:
                    at = python.binary("+", python.name(variable), python.constant(-low))
                    return python.item(ast.Tuple(values, ast.Load()), at)
        raise


def _general_field(found: Sequence[tuple[dict[str, int], Any]]) -> Any:
    first = found[0][1]
    if isinstance(first, ast.expr):
        if not all(isinstance(value, ast.expr) for _, value in found):
            raise CannotTranslateError("turns of a loop that differ")
        return general(found)
    if isinstance(first, list):
        if len({len(value) for _, value in found}) > 1:
            raise CannotTranslateError("turns of a loop that differ")
        return [
            _general_field([(turns, value[n]) for turns, value in found])
            for n in range(len(first))
        ]
    if isinstance(first, ast.AST):
        if any(ast.dump(value) != ast.dump(first) for _, value in found):
            raise CannotTranslateError("turns of a loop that differ")
        return first
    if any(value != first for _, value in found):
        raise CannotTranslateError("turns of a loop that differ")
    return first


class _Fold(ast.NodeTransformer):
    """Comparisons and conditions decided, where they are of literals now."""

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        self.generic_visit(node)
        symbols = {kind: symbol for symbol, kind in python.COMPARISONS.items()}
        kind = type(node.ops[0])
        if kind in symbols and len(node.ops) == 1:
            return compared(symbols[kind], node.left, node.comparators[0])
        return node

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.expr:
        self.generic_visit(node)
        decides = isinstance(node.op, ast.Or)
        left = []
        for value in node.values:
            known = truth(value)
            if known is decides:
                return python.constant(decides)
            if known is None:
                left.append(value)
        if not left:
            return python.constant(not decides)
        return left[0] if len(left) == 1 else ast.BoolOp(node.op, left)

    def visit_IfExp(self, node: ast.IfExp) -> ast.expr:
        self.generic_visit(node)
        known = truth(node.test)
        if python.same(node.body, node.orelse):
            return node.body
        return node if known is None else node.body if known else node.orelse

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        self.generic_visit(node)
        at = python.number(node.slice)
        if isinstance(node.value, ast.Tuple) and isinstance(at, int):
            return node.value.elts[at]
        return node

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        self.generic_visit(node)
        known = truth(node.operand) if isinstance(node.op, ast.Not) else None
        return node if known is None else python.constant(not known)


def folded(node: ast.expr) -> ast.expr:
    """An expression with what is decided worked out."""
    found: ast.expr = _Fold().visit(python.clone(node))
    return found


def compact(body: Sequence[ast.stmt]) -> list[ast.stmt]:
    """Lists of modules that a variable tells apart as comprehensions: `… for i in range(4)`."""
    return [_Compact().visit(statement) for statement in body]


FEW = 3
"""So many modules are written one by one, though a variable would tell them apart."""


class _Compact(ast.NodeTransformer):
    def visit_Call(self, node: ast.Call) -> ast.expr:
        items = _listed(node)
        rows = [_listed(item) for item in items or ()]
        taken = python.names_in(node)
        words = [*"ijkmn", *(f"i{number}" for number in range(2, len(taken) + 2))]
        i, j = [word for word in words if word not in taken][:2]
        made: ast.expr | None = None
        with suppress(CannotTranslateError):
            if items and all(rows):
                cells = [
                    ({j: y, i: x}, cell)
                    for y, row in enumerate(rows)
                    for x, cell in enumerate(row or ())
                ]
                counts = [
                    ({j: y}, python.constant(len(row or ()))) for y, row in enumerate(rows)
                ]
                if len(cells) > FEW:
                    inner = _over(node.func, general(cells), i, general(counts))
                    made = _over(node.func, inner, j, python.constant(len(rows)))
            elif items and len(items) > FEW:
                turns = [({i: x}, item) for x, item in enumerate(items)]
                made = _over(node.func, general(turns), i, python.constant(len(items)))
        if made is not None:
            return made
        self.generic_visit(node)
        return node


def _listed(node: ast.expr) -> list[ast.expr] | None:
    """The modules of `nn.ModuleList([…])`."""
    match node:
        case ast.Call(func=ast.Attribute(attr="ModuleList"), args=[ast.List(elts=items)]):
            return items
    return None


def _over(function: ast.expr, module: ast.expr, variable: str, count: ast.expr) -> ast.expr:
    """`nn.ModuleList(module for variable in range(count))`."""
    target = variable if variable in python.names_in(module) else "_"
    over = python.call("range", count)
    comprehension = ast.comprehension(ast.Name(target, ast.Store()), over, [], 0)
    return python.call(function, ast.GeneratorExp(module, [comprehension]))
