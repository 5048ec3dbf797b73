"""The language's expressions as Python's, by their text alone."""

from __future__ import annotations

import ast
from typing import Protocol

from cnndsl.backends.torch import python
from cnndsl.diagnostics import Span
from cnndsl.language import tree

WORDS: dict[str, object] = {"none": None, "true": True, "false": False}
FUNCTIONS = {
    "min": "min",
    "max": "max",
    "abs": "abs",
    "sqrt": "math.sqrt",
    "exp": "math.exp",
    "log": "math.log",
    "floor": "math.floor",
    "ceil": "math.ceil",
    "round": "round",
    "round8": "round8",
}

ROUND8 = '''def round8(value: float) -> int:
    """The nearest multiple of 8, at least 8, and not below 90 % of the value."""
    rounded = max(8, int(value + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * value else rounded
'''


class CannotTranslateError(Exception):
    """The declaration says what the translation has no Python for."""

    final = False
    """Whether it is another block, called here, that cannot be translated."""
    span: Span | None = None
    """The line that it is about."""


class Names(Protocol):
    """What the names of an expression stand for."""

    def value(self, path: tree.NamePath) -> ast.expr:
        """The expression of a name, or of a tensor's size.  Raises CannotTranslateError."""
        ...

    def length(self, path: tree.NamePath) -> ast.expr:
        """The number of tensors of a family, or of items of a list."""
        ...


def translate(expression: tree.Expression, names: Names) -> ast.expr:
    """The Python of an expression, worked out where it is of numbers alone."""
    match expression:
        case tree.Number(value=value) | tree.Text(value=value) | tree.SizeLiteral(value=value):
            return python.constant(value)
        case tree.ListLiteral(items=items):
            return ast.Tuple([translate(item, names) for item in items], ast.Load())
        case tree.Value(path=path, arguments=None):
            if not path.parts and path.name in WORDS:
                return python.constant(WORDS[path.name])
            return names.value(path)
        case tree.Value(path=path, arguments=arguments):
            return _function(path.name, arguments or (), names)
        case tree.Unary(operator="not", operand=operand):
            inner = translate(operand, names)
            known = truth(inner)
            return python.negated(inner) if known is None else python.constant(not known)
        case tree.Unary(operand=operand):
            inner = translate(operand, names)
            found = python.number(inner)
            return ast.UnaryOp(ast.USub(), inner) if found is None else python.constant(-found)
        case tree.Choice(condition=condition, then=then, otherwise=otherwise):
            test = translate(condition, names)
            known = truth(test)
            if known is not None:
                return translate(then if known else otherwise, names)
            one, other = translate(then, names), translate(otherwise, names)
            return python.chosen(test, one, other)
        case tree.Binary(operator="and" | "or"):
            return _logic(expression, names)
        case tree.Binary(operator="..", left=left, right=right):
            low, high = translate(left, names), translate(right, names)
            given = (high,) if python.number(low) == 0 else (low, high)
            return python.call("range", *given)
        case tree.Binary(operator=operator, left=left, right=right):
            a, b = translate(left, names), translate(right, names)
            if operator in python.COMPARISONS:
                return compared(operator, a, b)
            return python.binary(operator, a, b)
    raise CannotTranslateError(str(expression.span.text))


def truth(node: ast.expr) -> bool | None:
    """The value of a condition that is decided."""
    match node:
        case ast.Constant(value=bool() as value):
            return value
    return None


def literal(node: ast.expr) -> tuple[object] | None:
    """The value of an expression of literals, in a tuple."""
    try:
        return (ast.literal_eval(node),)
    except ValueError:
        return None


def compared(operator: str, left: ast.expr, right: ast.expr) -> ast.expr:
    """`left == right`, decided where both are literals, or both the same."""
    a, b = literal(left), literal(right)
    if a is not None and b is not None:
        if operator in ("==", "!="):
            return python.constant((a == b) == (operator == "=="))
        order = {"<": -1, "<=": -1, ">": 1, ">=": 1}[operator]
        x, y = a[0], b[0]
        assert isinstance(x, int | float)
        assert isinstance(y, int | float)
        return python.constant((x == y and "=" in operator) or (y - x) * order < 0)
    if python.same(left, right):
        return python.constant(operator in ("==", "<=", ">="))
    if b == (None,) or a == (None,):
        one = left if b == (None,) else right
        sign = ast.Is() if operator == "==" else ast.IsNot()
        return ast.Compare(one, [sign], [python.constant(None)])
    if b is not None and isinstance(b[0], bool) and operator in ("==", "!="):
        return left if b[0] == (operator == "==") else python.negated(left)
    return ast.Compare(left, [python.COMPARISONS[operator]()], [right])


def _logic(expression: tree.Binary, names: Names) -> ast.expr:
    decides = expression.operator == "or"
    left = translate(expression.left, names)
    value = truth(left)
    if value is not None:
        return (
            python.constant(decides) if value is decides else translate(expression.right, names)
        )
    right = translate(expression.right, names)
    value = truth(right)
    if value is not None:
        return python.constant(decides) if value is decides else left
    kind = ast.Or if decides else ast.And
    parts: list[ast.expr] = []
    for one in (left, right):
        inside = isinstance(one, ast.BoolOp) and isinstance(one.op, kind)
        parts += one.values if inside else [one]  # type: ignore[attr-defined]
    return ast.BoolOp(kind(), parts)


def _function(name: str, arguments: tuple[tree.Argument, ...], names: Names) -> ast.expr:
    if name == "len" and len(arguments) == 1:
        value = arguments[0].value
        if isinstance(value, tree.Value) and value.arguments is None:
            return names.length(value.path)
        return python.call("len", translate(value, names))
    if name not in FUNCTIONS or any(a.name or a.rest or a.spread for a in arguments):
        raise CannotTranslateError(name)
    found = [translate(argument.value, names) for argument in arguments]
    return worked_out(name, found) or python.call(FUNCTIONS[name], *found)


def worked_out(name: str, found: list[ast.expr]) -> ast.expr | None:
    """The value of a function of whole numbers."""
    numbers = [python.number(node) for node in found]
    if any(n is None for n in numbers) or name not in ("min", "max", "abs", "round8"):
        return None
    from cnndsl.language.functions import FUNCTIONS as MEANINGS

    return python.constant(python.plain(MEANINGS[name][2](*numbers)))
