"""Python text in the layout that `ruff format` leaves as it is."""

from __future__ import annotations

import re
from dataclasses import dataclass

WIDTH = 88


@dataclass(frozen=True, slots=True)
class Brackets:
    """`head(item, item)`: the only place where a line may break."""

    head: str
    items: tuple[Doc, ...]
    open: str = "("
    close: str = ")"


@dataclass(frozen=True, slots=True)
class Prefixed:
    """`name=value`, `*value`."""

    prefix: str
    value: Doc


@dataclass(frozen=True, slots=True)
class Generated:
    """`element for target in source`; stands alone in its brackets."""

    element: Doc
    target: str
    source: Doc


Doc = str | Brackets | Prefixed | Generated


def flat(doc: Doc) -> str:
    """The text on one line."""
    match doc:
        case str():
            return doc
        case Brackets():
            inside = ", ".join(flat(item) for item in doc.items)
            if doc.open == "(" and not doc.head and len(doc.items) == 1:
                # A tuple of one; a generator or a group needs no comma.
                inside += "" if isinstance(doc.items[0], Generated) else ","
            return f"{doc.head}{doc.open}{inside}{doc.close}"
        case Prefixed():
            return f"{doc.prefix}{flat(doc.value)}"
        case Generated():
            return f"{flat(doc.element)} for {doc.target} in {flat(doc.source)}"


def lines(doc: Doc, indent: int, before: str = "", after: str = "") -> list[str]:
    """The lines of `before doc after` at an indentation, broken where it is too long."""
    whole = f"{' ' * indent}{before}{flat(doc)}{after}"
    if len(whole) <= WIDTH:
        return [whole]
    match doc:
        case Prefixed():
            return lines(doc.value, indent, before + doc.prefix, after)
        case Brackets() if doc.items:
            return _broken(doc, indent, before, after)
        case Generated():
            tail = f"for {doc.target} in "
            first = lines(doc.element, indent, before)
            return [*first, *lines(doc.source, indent, tail, after)]
        case str() if (keyword := re.match(r"\w+=(?!=)", doc)) is not None:
            prefix = keyword.group()
            return lines(doc.removeprefix(prefix), indent, before + prefix, after)
        case str() if (call := call_of(doc)) is not None:
            return lines(call, indent, before, after)
        case str() if before.endswith(" = ") or before == "return ":
            inner = f"{' ' * (indent + 4)}{doc}{after}"
            if len(inner) <= WIDTH:
                return [f"{' ' * indent}{before}(", inner, f"{' ' * indent})"]
    return [whole]


def call_of(text: str) -> Brackets | None:
    """The brackets of a text that is one call or one list; None for others."""
    match = re.fullmatch(r"([\w.]*)([\[(])(.*)([\])])", text, re.DOTALL)
    if match is None:
        return None
    items: list[Doc] = []
    depth = start = 0
    for position, character in enumerate(match[3]):
        depth += (character in "([{") - (character in ")]}")
        if depth < 0:
            return None  # the first bracket closes before the end: `f(x).g(y)`
        if character == "," and depth == 0:
            items.append(match[3][start:position].strip())
            start = position + 1
    items.append(match[3][start:].strip())
    if not match[1] and match[2] == "(" and len(items) < 2:
        return None  # parentheses, not a tuple
    return Brackets(match[1], tuple(i for i in items if i), match[2], match[4])


def _broken(doc: Brackets, indent: int, before: str, after: str) -> list[str]:
    inner = indent + 4
    first = f"{' ' * indent}{before}{doc.head}{doc.open}"
    last = f"{' ' * indent}{doc.close}{after}"
    together = f"{' ' * inner}{', '.join(flat(item) for item in doc.items)}"
    joinable = len(doc.items) > 1 or isinstance(doc.items[0], str)
    if joinable and doc.head and doc.open == "(" and len(together) <= WIDTH:
        return [first, together, last]
    if len(doc.items) == 1 and not _collection(doc):
        return [first, *lines(doc.items[0], inner), last]
    body = [line for item in doc.items for line in lines(item, inner, after=",")]
    return [first, *body, last]


def _collection(doc: Brackets) -> bool:
    """A list or tuple written out: each item on its own line, with a comma behind it."""
    alone = len(doc.items) == 1 and isinstance(doc.items[0], Generated)
    return not alone and (doc.open == "[" or not doc.head)
