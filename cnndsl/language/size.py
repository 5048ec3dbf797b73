"""How much work a piece of a file is at least, seen from its text alone.

Lines with a condition count nothing, and neither does what only a value can tell; so the
bound is sound, and a file that asks for 10¹⁸ layers is refused before the first of them.
"""

from __future__ import annotations

from collections.abc import Sequence

from cnndsl.language import tree
from cnndsl.language.names import BlockDefinition, OpRef

DEPTH = 200
"""Deeper than this nothing is counted: such a file is refused for its depth."""


def least_work_of(
    body: Sequence[tree.Statement], definition: BlockDefinition, depth: int = 0
) -> int:
    """The work of some lines: one each, with their steps."""
    if depth > DEPTH:
        return 0
    return sum(
        1 + sum(least_work(term, definition, depth + 1) for term in line.terms)
        for line in body
        if isinstance(line, tree.LineStatement)
        and line.condition is None
        and not line.alternative
    )


def least_work(term: tree.Term, definition: BlockDefinition, depth: int = 0) -> int:
    """The work of one step.  Kept, so that it is worked out once for each written step."""
    known = definition.work.get(id(term))
    if known is None:
        # A block within itself is refused elsewhere; here it must only end.
        definition.work[id(term)] = 0
        known = definition.work[id(term)] = _work(term, definition, depth)
    return known


def _work(term: tree.Term, definition: BlockDefinition, depth: int) -> int:
    match term:
        case tree.CallTerm(path=path, operands=operands):
            inside = least_work_of(operands or (), definition, depth)
            callee = _callee(path.name, definition)
            if callee is None:
                return inside
            return inside + least_work_of(callee.declaration.body, callee, depth)
        case tree.GroupTerm(body=body):
            return least_work_of(body, definition, depth)
        case tree.RepeatTerm(term=inner, times=times):
            return _literal(times) * (1 + least_work(inner, definition, depth))
        case tree.ForTerm(body=body, rows=rows):
            count = len(rows) if rows is not None else _length(term.range)
            return count * (1 + least_work_of(body, definition, depth))
        case tree.EachTerm(term=inner, operands=operands):
            inside = least_work_of(operands or (), definition, depth)
            return inside + least_work(inner, definition, depth)


def _callee(name: str, definition: BlockDefinition) -> BlockDefinition | None:
    bound = definition.file.names.get(name)
    match bound and bound.meaning:
        case OpRef(target=BlockDefinition() as callee):
            return callee
        case _:
            return None


def _literal(expression: tree.Expression | None) -> int:
    """A written integer; 0, the safe side, for anything else."""
    match expression:
        case tree.Number(value=int(value)):
            return value
        case _:
            return 0


def _length(expression: tree.Expression | None) -> int:
    match expression:
        case tree.Binary(operator="..", left=tree.Number() as low, right=high):
            return max(0, _literal(high) - _literal(low))
        case _:
            return 0
