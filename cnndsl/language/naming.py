"""Module names of written steps, counted in the text so that `when` renames nothing.

A step's segment is its written name; the second of that name within its labelled line
(within its block, where unlabelled) is `name_2`. A fused step has the slots `norm` and
`act` beside it, counted likewise, whether or not this call fills them.
"""

from __future__ import annotations

from collections.abc import Iterable

from cnndsl.language import tree
from cnndsl.ops.base import OPS

RESERVED_SOURCES = ("skip", "in")


class _Names:
    """The segments taken at one level of the module path."""

    def __init__(self, labels: Iterable[str]) -> None:
        self.taken = set(labels)
        self.counts: dict[str, int] = {}

    def take(self, name: str) -> str:
        """The next free segment for a step of that name."""
        while True:
            count = self.counts[name] = self.counts.get(name, 0) + 1
            segment = name if count == 1 else f"{name}_{count}"
            if segment not in self.taken:
                self.taken.add(segment)
                return segment


def step_names(declaration: tree.Declaration) -> dict[int, tuple[str, ...]]:
    """`id` of each call term → its segment, and those of its `norm` and `act` slots."""
    found: dict[int, tuple[str, ...]] = {}
    sources = {*RESERVED_SOURCES, *_all_labels(declaration.body)}
    for port in declaration.inputs or ():
        sources.add(port.name)
    stack: list[tuple[tree.Statement | tree.Term, _Names, bool]] = []

    def push(statements: tuple[tree.Statement, ...], names: _Names) -> None:
        stack.extend((s, names, False) for s in reversed(statements))

    push(declaration.body, _Names(_labels(declaration.body)))
    while stack:
        item, names, first = stack.pop()
        match item:
            case tree.LineStatement(labels=labels, terms=terms):
                inner = _Names(_inner_labels(terms)) if labels else names
                flags = [(t, inner, n == 0) for n, t in enumerate(terms)]
                stack.extend(reversed(flags))
            case tree.CallTerm():
                if not is_source(item, first, sources):
                    found[id(item)] = _slots(item, names)
                push(item.operands or (), names)
            case tree.GroupTerm(body=body) | tree.ForTerm(body=body):
                push(body, names)
            case tree.RepeatTerm(term=term):
                stack.append((term, names, first))
            case tree.EachTerm(term=term, operands=operands):
                push(operands or (), names)
                stack.append((term, names, False))
    return found


def is_source(term: tree.CallTerm, first: bool, sources: set[str]) -> bool:
    """Whether a term names a tensor: the first of its line, without arguments."""
    plain = not term.called and term.operands is None
    return first and plain and (bool(term.path.parts) or term.path.name in sources)


def _slots(term: tree.CallTerm, names: _Names) -> tuple[str, ...]:
    name = term.path.name
    cls = OPS.get(name)
    # A parameter may stand for a fused operation, so its slots are kept free too.
    if name[:1].isupper() or (cls is not None and not cls.fused):
        return (names.take(name),)
    return names.take(name), names.take("norm"), names.take("act")


def _labels(statements: Iterable[tree.Statement]) -> set[str]:
    """The labels whose segments stand at this level: braces are not modules."""
    found: set[str] = set()
    stack: list[tree.Statement | tree.Term] = list(statements)
    while stack:
        match stack.pop():
            case tree.LineStatement(labels=labels, terms=terms):
                if labels:
                    found |= {label.name for label in labels}
                else:
                    stack.extend(terms)
            case tree.CallTerm(operands=operands):
                stack.extend(operands or ())
            case tree.GroupTerm(body=body) | tree.ForTerm(body=body):
                stack.extend(body)
            case tree.RepeatTerm(term=term):
                stack.append(term)
            case tree.EachTerm(term=term, operands=operands):
                stack.extend(operands or ())
                stack.append(term)
    return found


def _inner_labels(terms: tuple[tree.Term, ...]) -> set[str]:
    """The labels inside a labelled line."""
    if not terms:
        return set()
    span = terms[0].span
    return _labels((tree.LineStatement((), terms, None, False, span),))


def _all_labels(statements: Iterable[tree.Statement]) -> set[str]:
    """Every label written in a block."""
    found: set[str] = set()
    stack: list[tree.Statement | tree.Term] = list(statements)
    while stack:
        item = stack.pop()
        match item:
            case tree.LineStatement(labels=labels, terms=terms):
                found |= {label.name for label in labels}
                stack.extend(terms)
            case tree.CallTerm(operands=operands):
                stack.extend(operands or ())
            case tree.GroupTerm(body=body) | tree.ForTerm(body=body):
                stack.extend(body)
            case tree.RepeatTerm(term=term):
                stack.append(term)
            case tree.EachTerm(term=term, operands=operands):
                stack.extend(operands or ())
                stack.append(term)
    return found


def line_numbers(declaration: tree.Declaration) -> dict[int, int]:
    """A number for each line and term of a block, in text order."""
    found: dict[int, int] = {}
    stack: list[tree.Statement | tree.Term] = list(reversed(declaration.body))
    while stack:
        item = stack.pop()
        found[id(item)] = len(found)
        match item:
            case tree.LineStatement(terms=terms):
                stack.extend(reversed(terms))
            case tree.CallTerm(operands=operands):
                stack.extend(reversed(operands or ()))
            case tree.GroupTerm(body=body) | tree.ForTerm(body=body):
                stack.extend(reversed(body))
            case tree.RepeatTerm(term=term):
                stack.append(term)
            case tree.EachTerm(term=term, operands=operands):
                stack.extend(reversed(operands or ()))
                stack.append(term)
    return found
