"""Blocks that call themselves: what is known of a class while it is still written.

What it returns is foreseen, by the block's own formulas. What its constructor takes is known
at the end alone: until then a call gives all that it might, and is shortened afterwards.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from cnndsl.backends.torch import python
from cnndsl.backends.torch.expressions import CannotTranslateError
from cnndsl.backends.torch.instances import T
from cnndsl.backends.torch.names import identifier
from cnndsl.backends.torch.unit import Unit
from cnndsl.backends.torch.walk.arguments import Arguments
from cnndsl.structure import Tensor
from cnndsl.symbolic import Apply, Axis, Sym, Symbol, render


def foreseen(unit: Unit) -> list[tuple[str, T | None]]:
    """What a block will return.  Raises CannotTranslateError: its instances differ in that."""
    names = [tuple(instance.block.outputs) for instance in unit.instances]
    declared = unit.definition.declaration.outputs or ()
    if len(set(names)) > 1 or any(port.many for port in declared):
        raise CannotTranslateError("a recursive block whose outputs differ")
    found: list[tuple[str, T | None]] = []
    for name in names[0]:
        tensors = [instance.block.outputs[name] for instance in unit.instances]
        whole = T((), python.name("§again"))
        unit.shaped(whole, [_size(unit, tensors, n) for n in range(len(tensors[0].shape))])
        found.append((name, whole))
    return found


def _size(unit: Unit, tensors: Sequence[Tensor], axis: int) -> int:
    """A size, in terms of the constructor; what depends on the image is asked for."""
    first, *others = [tensor.shape[axis] for tensor in tensors]
    if all(not isinstance(n, Sym) and n == first for n in (first, *others)):
        return int(first)
    formulas = {n.formula if isinstance(n, Sym) else int(n) for n in (first, *others)}
    if axis > 0:
        return python.Int(int(first), python.name("§"))
    if len(formulas) > 1 or not isinstance(first, Sym):
        raise CannotTranslateError("a recursive block whose channels depend on its depth")
    text = render(first.formula, lambda atom: _atom(unit, atom))
    return python.Int(int(first), ast.parse(text, mode="eval").body)


def _atom(unit: Unit, atom: Symbol | Axis | Apply) -> str:
    match atom:
        case Axis(tensor=port, axis=0) if isinstance(entered := unit.ports.get(port), T):
            return ast.unparse(python.node_of(entered.shape[0]))
        case Symbol(name=name) if isinstance(node := unit.meanings.get(name), ast.expr):
            return f"({ast.unparse(node)})"
    raise CannotTranslateError(f"{atom} of a recursive block")


def calling(name: str, arguments: Arguments) -> ast.Call:
    """A call of a class whose constructor is not known yet, with all that it might take."""
    given = dict(arguments.channels)
    given |= {identifier(param): node for param, node in arguments.nodes.items()}
    call = python.call(name, **given)
    call.again = arguments  # type: ignore[attr-defined]
    return call


def _calls(unit: Unit, init: Sequence[ast.stmt]) -> Iterator[ast.Call]:
    for node in (inner for statement in init for inner in ast.walk(statement)):
        again = getattr(node, "again", None)
        if isinstance(node, ast.Call) and again is not None and again.callee is unit:
            yield node


def read(unit: Unit, init: Sequence[ast.stmt]) -> set[str]:
    """The names that a constructor reads, those aside that it would only pass on."""
    calls = {id(node) for node in _calls(unit, init)}
    used: set[str] = set()
    while True:
        before = len(used)
        stack: list[ast.AST] = [*init]
        while stack:
            node = stack.pop()
            if isinstance(node, ast.Name):
                used.add(node.id)
            if isinstance(node, ast.Call) and id(node) in calls:
                stack += [k.value for k in node.keywords if k.arg in used]
            else:
                stack += ast.iter_child_nodes(node)
        if len(used) == before or not calls:
            return used


def shorten(unit: Unit) -> None:
    """Give the calls of a class in its own constructor what this takes."""
    for call in _calls(unit, unit.init):
        given = {str(keyword.arg): keyword.value for keyword in call.keywords}
        call.args, call.keywords = call.again.ordered(given)  # type: ignore[attr-defined]
        del call.again  # type: ignore[attr-defined]
