"""What can be written at a place."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import MISSING, dataclass
from pathlib import Path

from cnndsl.editing.answers import FUSED, CallAt, call_at, first_line, signature
from cnndsl.editing.symbols import Names, Symbol, used_path
from cnndsl.editing.tokens import Token, keywords, tokens
from cnndsl.files import zoo
from cnndsl.language.evaluate import IT, WORDS
from cnndsl.language.functions import FUNCTIONS
from cnndsl.language.names import operation, operations
from cnndsl.language.types import _TYPES as TYPES
from cnndsl.ops.initial import INITS
from cnndsl.ops.values import spell

METAS = ("cite", "deviates", "expect", "keys", "title")
SIZES = ("c", "d", "h", "w", "size", "shape")


@dataclass(frozen=True)
class Item:
    """One proposal: its text, what it is, a word beside it, and its document."""

    text: str
    kind: str
    detail: str = ""
    document: str = ""


def complete(
    text: str, offset: int, names: Names | None, path: Path, then: int | None = None
) -> list[Item]:
    """What can stand at a place, the nearest first; `then` is the place in the names' text."""
    then = offset if then is None else then
    before = [t for t in tokens(text[:offset]) if t.kind not in ("space", "newline")]
    if _inside_text(text, offset):
        start = text.rfind('"', 0, offset)
        used = re.search(r"\buse\s*$", text[:start]) is not None
        return list(_files(path)) if used else []
    last = before[-1] if before else None
    if last is not None and last.kind in ("name", "keyword") and last.stop == offset:
        before = before[:-1]  # the word that is being written
        last = before[-1] if before else None
    word = last.text if last is not None else ""
    if word == "@":
        return [Item(name, "keyword") for name in METAS]
    call = call_at(text, offset)
    used_file = _used_file(before, call)
    if used_file is not None:
        return list(_exported(names, path, used_file))
    if word == ".":
        return list(_members(before, names, then))
    if _is_type(before, call):
        return [Item(name, "type", f"{text}") for name, text in TYPES.items()]
    if call is not None and call.opening == "(" and call.name:
        return [*_arguments(call, names), *_values(names, then)]
    if word in VALUES_FOLLOW or (call is not None and call.opening in ("(", "[")):
        return list(_values(names, then))
    if call is None and (last is None or word == "}" or "\n" in text[last.stop : offset]):
        return [Item(w, "keyword") for w in ("block", "model", "use", "let", "default")]
    return [*_steps(names, then), *_words()]


VALUES_FOLLOW = {
    *("=", "when", "if", "else", "+", "-", "*", "/", "//", "%", "**", "==", "!=", "<", ">"),
    *("<=", ">=", "or", "and", "not", "..", "then", "in", "|"),
} - {"else"}


def _inside_text(text: str, offset: int) -> bool:
    line = text[text.rfind("\n", 0, offset) + 1 : offset].partition("#")[0]
    return line.count('"') % 2 == 1


def _files(path: Path) -> Iterator[Item]:
    """The files that a `use` finds: beside this one, and shipped."""
    for folder, detail in ((path.parent, "beside this file"), (zoo(), "shipped")):
        found: list[Path] = []
        for pattern in ("*.arch", "*/*.arch"):
            # A folder may go while it is looked into.
            with suppress(OSError):
                found += sorted(folder.glob(pattern))
        for file in found[:200]:
            if file != path:
                yield Item(file.relative_to(folder).as_posix(), "file", detail)


def _used_file(before: list[Token], call: CallAt | None) -> str | None:
    """The file whose names are being listed: `use "x.arch" (…`."""
    if call is None or call.opening != "(" or call.name:
        return None
    texts = [token.text for token in before]
    at = len(texts) - 1 - texts[::-1].index("(") if "(" in texts else 0
    if at >= 2 and texts[at - 2] == "use":
        return texts[at - 1].strip('"')
    return None


def _exported(names: Names | None, path: Path, used: str) -> Iterator[Item]:
    from cnndsl.diagnostics import ArchError
    from cnndsl.language.modules import Loader

    found = used_path(path, used)
    if found is None:
        return
    try:
        file = Loader().main(found).tree
    except (ArchError, OSError):
        return
    for declaration in file.declarations:
        yield Item(declaration.name, "block", declaration.kind, declaration.doc)
    for let in file.lets:
        yield Item(let.name, "value", let.span.text)


def _members(before: list[Token], names: Names | None, offset: int) -> Iterator[Item]:
    """What follows `a.b.`: labels inside, and the sizes of a tensor."""
    path: list[str] = []
    depth = 0
    for token in reversed(before[:-1]):
        depth += (token.text == "]") - (token.text == "[")
        if depth or token.text == "[":
            continue
        if token.kind not in ("name", "keyword") and token.text != ".":
            break
        if path and token.text != "." and path[-1] != ".":
            break
        path.append(token.text)
    wanted = [name for name in reversed(path) if name != "."]
    symbol: Symbol | None = None
    if wanted and names is not None:
        symbol = names.scope_at(offset).lookup(wanted[0])
        for name in wanted[1:]:
            symbol = symbol.member(name) if symbol is not None else None
    if symbol is not None:
        for name, member in sorted(symbol.inner().items()):
            yield Item(name, member.kind, member.span.source.line(member.span.line).strip())
    for name in SIZES:
        yield Item(name, "size", "of a tensor")


def _is_type(before: list[Token], call: CallAt | None) -> bool:
    """Whether a parameter's type is wanted: `block Name(c: …`."""
    if not before or before[-1].text != ":" or call is None or call.opening != "(":
        return False
    texts = [token.text for token in before]
    at = len(texts) - 1 - texts[::-1].index("(")
    return at >= 2 and texts[at - 2] in ("block", "model")


def _arguments(call: CallAt, names: Names | None) -> Iterator[Item]:
    """The arguments that a call may still be given, or the words that one may be."""
    cls = operation(call.name)
    if cls is not None:
        for number, parameter in enumerate(cls.parameters):
            if call.argument == parameter.name:
                for word in re.findall(r'"[^"]*"', parameter.type):
                    yield Item(word, "value")
                if "Init" in parameter.type:
                    yield from _initialisations()
            required = parameter.default is MISSING and number < call.number
            if not call.argument and parameter.name not in call.given and not required:
                more = "" if parameter.default is MISSING else f" = {spell(parameter.default)}"
                yield Item(f"{parameter.name}=", "argument", parameter.type.lower() + more)
        if cls.fused and not call.argument:
            yield from (
                Item(f"{name}=", "argument", "op = none")
                for name in FUSED
                if name not in call.given
            )
    for parameter in INITS[call.name].parameters if call.name in INITS else ():
        if call.argument == parameter.name:
            yield from (Item(w, "value") for w in re.findall(r'"[^"]*"', parameter.type))
        elif not call.argument and parameter.name not in call.given:
            yield Item(f"{parameter.name}=", "argument", parameter.type)
    block = names.top.lookup(call.name) if names is not None else None
    declaration = block.declaration if block is not None else None
    for param in declaration.params if declaration is not None else ():
        if call.argument == param.name:
            yield from (Item(f'"{word}"', "value") for word in param.type.words)
        elif not call.argument and param.name not in call.given:
            yield Item(f"{param.name}=", "argument", param.span.text)


def _values(names: Names | None, offset: int) -> Iterator[Item]:
    """Names, words, functions, and operations as values."""
    yield from _visible(names, offset)
    yield from (Item(word, "word") for word in (*WORDS, IT))
    yield from (Item(name, "function") for name in FUNCTIONS)
    yield from _operations()


def _steps(names: Names | None, offset: int) -> Iterator[Item]:
    yield from _visible(names, offset)
    yield from (Item(word, "word") for word in ("skip", "in"))
    yield from _operations()


def _visible(names: Names | None, offset: int) -> Iterator[Item]:
    if names is None:
        return
    for name, symbol in names.scope_at(offset).visible().items():
        declaration = symbol.declaration if symbol.kind in ("block", "model") else None
        line = symbol.span.source.line(symbol.span.line).strip()
        yield Item(name, symbol.kind, line, declaration.doc if declaration is not None else "")


def _operations() -> Iterator[Item]:
    for name in sorted(operations()):
        cls = operation(name)
        assert cls is not None
        yield Item(name, "operation", signature(cls), first_line(cls.__doc__))


def _initialisations() -> Iterator[Item]:
    for name, cls in sorted(INITS.items()):
        yield Item(name, "function", signature(cls), first_line(cls.__doc__))


def _words() -> Iterable[Item]:
    return (Item(word, "keyword") for word in sorted(keywords() - {"model", "block", "use"}))
