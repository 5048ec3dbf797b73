"""What an operation is in PyTorch: the constructor's call, and `forward`'s expression."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Sequence
from functools import cache

from cnndsl.backends.torch import python
from cnndsl.backends.torch.proof.calls import signature
from cnndsl.ops.facts import Call, Operand, Template

Spell = Callable[[object], ast.expr]
"""How a value is written: `python.node_of` in the constructor."""


def construct(said: Call, spell: Spell = python.node_of) -> ast.Call:
    """`nn.Conv2d(c_in, 64, 3, padding=1)`."""
    return _call(said, (), spell)


def apply(
    said: Call | Template, operands: Sequence[ast.expr], spell: Spell = python.node_of
) -> ast.expr:
    """`F.relu(x)`, `x + y`: the expression of a layer without a module."""
    if isinstance(said, Call):
        return _call(said, operands, spell)
    values = {f"value_{name}": spell(value) for name, value in said.values.items()}
    found = {**values, **{f"operand_{n}": node for n, node in enumerate(operands)}}
    return python.filled(_template(said.text, len(operands)), found)


def _call(said: Call, operands: Sequence[ast.expr], spell: Spell) -> ast.Call:
    arguments = [
        operands[value.index] if isinstance(value, Operand) else spell(value)
        for value in said.arguments
    ]
    keywords = {
        name: spell(value)
        for name, (value, default) in said.keywords.items()
        if python.carries(value) or python.plain(value) != default
    }
    known = signature(said.function)
    floats = (
        [n for n, (kind, _) in known.parameters.items() if "float" in kind] if known else []
    )
    keywords |= {name: _floating(keywords[name]) for name in floats if name in keywords}
    return python.call(said.function, *arguments, **keywords)


def _floating(node: ast.expr) -> ast.expr:
    """A number as a float: `torch.jit.script` takes no 2 for 2.0."""
    match node:
        case ast.Constant(value=int() as value) if not isinstance(value, bool):
            return python.constant(float(value))
        case ast.BinOp(op=ast.Pow()):
            return ast.BinOp(_floating(node.left), node.op, node.right)
        case ast.Tuple(elts=items):
            return ast.Tuple([_floating(item) for item in items], ast.Load())
    return node


@cache
def _template(text: str, count: int) -> ast.expr:
    """The template's expression; its holes are names."""
    every = ", ".join(f"operand_{n}" for n in range(count))

    def hole(match: re.Match[str]) -> str:
        found = match[1]
        if found == "*":
            return every
        return f"operand_{found}" if found.isdigit() else f"value_{found}"

    return ast.parse(re.sub(r"\{(\w+|\*)\}", hole, text), mode="eval").body
