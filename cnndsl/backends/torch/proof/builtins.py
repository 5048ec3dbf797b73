"""Python's own functions over the values of a file."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from cnndsl.backends.torch.proof.faults import ProofError
from cnndsl.backends.torch.proof.modules import Module
from cnndsl.backends.torch.proof.terms import Batch, Tensor
from cnndsl.backends.torch.proof.values import Named, Native, Once

LONGEST = 1_000_000
"""The items of the largest list, and the bits of the largest integer."""

OPERATORS: dict[type[ast.AST], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.Pow: "**",
    ast.MatMult: "@",
}
ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
    "**": operator.pow,
}
COMPARISONS: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda a, b: operator.contains(b, a),
    ast.NotIn: lambda a, b: not operator.contains(b, a),
}

PYTHON_FAULTS = (
    TypeError,
    ValueError,
    ArithmeticError,
    LookupError,
    AttributeError,
    RecursionError,
)
"""What Python raises where the file, or the proof on its behalf, asks for what is not."""

NUMERIC = (int, float, bool)


def arithmetic(sign: str, left: Any, right: Any) -> Any:
    """Exactly Python's result.  Raises ProofError: of other values, or too large a one."""
    if isinstance(left, Batch) or isinstance(right, Batch):
        return _of_batch(sign, left, right)
    kinds = (type(left), type(right))
    if all(kind in NUMERIC for kind in kinds):
        if sign == "**" and abs(right) > 64 and abs(left) > 1:
            raise ProofError(f"{left!r} to the power {right!r}")
        found = ARITHMETIC[sign](left, right)
        if isinstance(found, complex) or (isinstance(found, int) and found.bit_length() > 4096):
            raise ProofError(f"{left!r} {sign} {right!r} is out of bounds")
        return found
    if sign == "+" and kinds[0] is kinds[1] and kinds[0] in (list, tuple, str):
        return left + right
    if sign == "*" and {list, tuple} & set(kinds) and int in kinds:
        items, times = (left, right) if isinstance(right, int) else (right, left)
        if len(items) * times > LONGEST:
            raise ProofError("a list without bounds")
        return items * times
    raise ProofError(f"`{sign}` of {shown(left)} and {shown(right)}")


def _of_batch(sign: str, left: Any, right: Any) -> Any:
    """A multiple of the batch's size, where it surely is one."""
    if sign == "*" and isinstance(left, Batch) != isinstance(right, Batch):
        batch, number = (left, right) if isinstance(left, Batch) else (right, left)
        if type(number) is int and number > 0:
            return Batch(batch.factor * number)
    whole = type(right) is int and right > 0 and isinstance(left, Batch)
    if sign == "//" and whole and left.factor % right == 0:
        return Batch(left.factor // right)
    raise ProofError(f"`{sign}` of the batch's size")


def shown(value: Any) -> str:
    """A value in a message."""
    match value:
        case Tensor():
            return "a tensor"
        case Module():
            return f"a {value.name}"
        case Batch():
            return "the batch's size"
        case _:
            text = repr(value)
            return text if len(text) < 60 else f"{text[:57]}..."


def compared(op: ast.cmpop, left: Any, right: Any) -> bool:
    """`left < right`, of values that the proof knows.  Raises ProofError."""
    if isinstance(op, ast.Is | ast.IsNot):
        return _identical(left, right) is isinstance(op, ast.Is)
    if not (known(left) and known(right)):
        raise ProofError(f"{shown(left)} is compared with {shown(right)}")
    return bool(COMPARISONS[type(op)](left, right))


def _identical(left: Any, right: Any) -> bool:
    """`left is right`.  Raises ProofError: Python itself does not promise an answer."""
    if isinstance(left, Native) and isinstance(right, Native):
        return left.name == right.name
    if (
        any(
            isinstance(one, int | float | str | tuple) and type(one) is not bool
            for one in (left, right)
        )
        and left is not None
        and right is not None
    ):
        raise ProofError(f"`is` of {shown(left)} and {shown(right)}")
    return left is right


def known(value: Any) -> bool:
    """Whether a value can be compared: numbers, texts, None and lists of them."""
    if isinstance(value, list | tuple):
        return all(map(known, value))
    return value is None or isinstance(value, int | float | str | range)


def items_of(value: Any) -> Iterator[Any]:
    """What a `for` goes over.  Raises ProofError: it goes over no such thing."""
    match value:
        case list() | tuple() | range() | str() | dict() | Once():
            return iter(value)
        case Named(values=values):
            return iter(values)
        case Module(kind="nn.ModuleDict"):
            return iter(list(value.children))
        case Module():
            return iter(value.listed())
    raise ProofError(f"{shown(value)} has no items")


def all_items(value: Any) -> list[Any]:
    """The items of an iterable in a list, whose length is bounded."""
    if isinstance(value, range) and len(value) > LONGEST:
        raise ProofError("a list without bounds")
    found = list(islice(items_of(value), LONGEST + 1))
    if len(found) > LONGEST:
        raise ProofError("a list without bounds")
    return found


def length(value: Any) -> int:
    """`len(value)`."""
    match value:
        case list() | tuple() | range() | str() | dict():
            return len(value)
        case Named(values=values):
            return len(values)
        case Module(kind="nn.Sequential" | "nn.ModuleList" | "nn.ModuleDict"):
            return len(value.children)
    raise ProofError(f"the length of {shown(value)}")


def numbers(*values: Any) -> tuple[Any, ...]:
    """The values.  Raises ProofError: one of them is not a number."""
    for value in values:
        if type(value) not in NUMERIC:
            raise ProofError(f"{shown(value)} stands where a number must")
    return values


def integers(*values: Any) -> tuple[Any, ...]:
    """The values.  Raises ProofError: one of them is not an integer."""
    for value in values:
        if type(value) is not int:
            raise ProofError(f"{shown(value)} stands where an integer must")
    return values


def _range(*bounds: Any) -> range:
    return range(*integers(*bounds))


def _zip(*values: Any, strict: bool = False) -> Once:
    return Once(zip(*map(items_of, values), strict=strict))


def _enumerate(value: Any, start: int = 0) -> Once:
    return Once(enumerate(items_of(value), start))


def _reversed(value: Any) -> Once:
    if isinstance(value, Once | dict):
        raise ProofError(f"{shown(value)} has no end to begin from")
    return Once(reversed(all_items(value)))


def _sorted(value: Any, reverse: bool = False) -> list[Any]:
    return sorted(numbers(*all_items(value)), reverse=reverse)


def _extreme(choose: Callable[..., Any]) -> Callable[..., Any]:
    def found(*values: Any, **default: Any) -> Any:
        items = all_items(values[0]) if len(values) == 1 else values
        return choose(numbers(*items), **default)

    return found


def _float(value: Any = 0.0) -> float:
    return float(value) if isinstance(value, str) else float(*numbers(value))


def _dict(*pairs: Any, **named: Any) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for value in pairs:
        entries = value.items() if isinstance(value, dict) else map(tuple, items_of(value))
        found.update(entries)
    return found | named


def _numeric(function: Callable[..., Any]) -> Callable[..., Any]:
    def found(*values: Any) -> Any:
        return function(*numbers(*values))

    return found


BUILTINS: dict[str, Callable[..., Any]] = {
    "range": _range,
    "zip": _zip,
    "enumerate": _enumerate,
    "reversed": _reversed,
    "sorted": _sorted,
    "len": length,
    "min": _extreme(min),
    "max": _extreme(max),
    "list": lambda value=(): all_items(value),
    "tuple": lambda value=(): tuple(all_items(value)),
    "dict": _dict,
    "OrderedDict": _dict,
    "int": _numeric(int),
    "str": lambda value: str(value) if isinstance(value, str) else str(*integers(value)),
    "float": _float,
    "round": _numeric(round),
    "abs": _numeric(abs),
    "divmod": _numeric(divmod),
    "math.prod": lambda value: math.prod(numbers(*all_items(value))),
    "math.ceil": _numeric(math.ceil),
    "math.floor": _numeric(math.floor),
    "math.trunc": _numeric(math.trunc),
    "math.sqrt": _numeric(math.sqrt),
    "math.isqrt": _numeric(math.isqrt),
    "math.log": _numeric(math.log),
    "math.log2": _numeric(math.log2),
    "math.exp": _numeric(math.exp),
    "math.gcd": _numeric(math.gcd),
    "math.lcm": _numeric(math.lcm),
}
"""By the name under which they are imported, or are there."""
CONSTANTS: dict[str, Any] = {
    "math.inf": math.inf,
    "math.pi": math.pi,
    "torch.inf": math.inf,
    "TYPE_CHECKING": False,
}
"""Values that are imported."""
TYPES: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (float,),
    "bool": (bool,),
    "str": (str,),
    "tuple": (tuple, Named),
    "list": (list,),
    "dict": (dict,),
}
"""Python's own types, in `isinstance` and in annotations."""
