"""The file as text: its docstring, imports, helpers and classes."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Container, Iterable, Sequence

from cnndsl.backends.torch import printing, python
from cnndsl.backends.torch.names import identifier, plain_port
from cnndsl.graph import Network
from cnndsl.ops.values import spell
from cnndsl.structure import Definition

CONTAINERS = ("nn.ModuleList", "nn.ModuleDict")


def text(
    network: Network, helpers: Iterable[str], classes: Sequence[ast.ClassDef], about: str = ""
) -> str:
    """The whole file.

    Helpers are texts of definitions two empty lines apart; each is written once.
    """
    parts: dict[str, None] = {}
    for helper in helpers:
        for part in helper.strip("\n").split("\n\n\n"):
            parts.setdefault(part.strip("\n"))
    written = [printed(one) for one in classes]
    body = "\n\n\n".join([*needed(list(parts), written), *written])
    head = printing.statements(
        [docstring([about or f"{network.name}, written by cnndsl."], 0)], 0
    )
    return "\n".join(head) + f"\n\n{imports(body)}\n\n\n{body}\n"


def needed(helpers: list[str], written: Sequence[str]) -> list[str]:
    """The helpers whose names the classes, or helpers that these need, mention."""
    found: set[int] = set()
    texts = list(written)
    while texts:
        text_ = texts.pop()
        for number, helper in enumerate(helpers):
            name = re.search(r"^(?:class |def )(\w+)", helper, re.MULTILINE)
            if number not in found and name and re.search(rf"\b{name[1]}\b", text_):
                found.add(number)
                texts.append(helper)
    return [helper for number, helper in enumerate(helpers) if number in found]


def printed(node: ast.stmt) -> str:
    """The text of a definition, which parses to what was printed."""
    found = "\n".join(printing.statements([node], 0))
    again = ast.parse(found).body
    assert len(again) == 1, found
    assert ast.dump(again[0]) == ast.dump(ast.fix_missing_locations(node)), found
    return found


def docstring(parts: Sequence[str], indent: int) -> ast.Expr:
    """A docstring, wrapped; the first part is the summary."""
    margin = " " * indent
    cleaned = [" ".join(part.split()) for part in parts if part.strip()]
    quoted = [printing.documented(part) for part in cleaned]
    if len(cleaned) == 1 and len(quoted[0]) + indent + 6 <= printing.WIDTH:
        return ast.Expr(ast.Constant(cleaned[0]))
    lines: list[str] = []
    for number, part in enumerate(cleaned):
        if number == 1:
            lines.append("")
        width = printing.WIDTH - indent - (3 if number == 0 else 0)
        lines += textwrap.wrap(part, width - 4 if part != quoted[number] else width)
    whole = f"\n{margin}".join(lines)
    whole = re.sub(r"\n +\n", "\n\n", whole)
    return ast.Expr(ast.Constant(f"{whole}\n{margin}" if len(lines) > 1 else whole))


def described(about: Definition, names: Container[str] | None = None) -> list[str]:
    """What the file says of a block: its own words, citations, deviations.

    With a class's `names` no sentence is left that speaks of a parameter which that lacks.
    """
    parts = [_spoken(about.doc, names)] if about.doc else []
    if about.citations:
        parts.append(f"Source: {'; '.join(map(str, about.citations))}.")
    deviations = [_spoken(f"{found}.", names) for found in about.deviations]
    return [*parts, *(f"Deviation: {found}" for found in deviations if found)]


def _spoken(text: str, names: Container[str] | None) -> str:
    """The sentences of a text that quote nothing but names that are there."""
    sentences = re.split(r"(?<=[.!?])\s+", text.strip())
    return " ".join(
        sentence
        for sentence in sentences
        if names is None
        or all(identifier(word) in names for word in re.findall(r"`(\w+)`", sentence))
    )


def settings(network: Network, given: Container[str] = ()) -> list[str]:
    """For which inputs a file was written, and with which parameters but those `given`."""
    shown = ", ".join(
        f"{name}={spell(value)}"
        for name, value in network.arguments.items()
        if name not in given
    )
    inputs = ", ".join(
        f"{name} (N, {', '.join(str(int(n)) for n in tensor.shape)})"
        for name, tensor in network.inputs.items()
    )
    return [*([f"Parameters: {shown}."] if shown else []), f"Written for {inputs}."]


def fields(ports: Iterable[str]) -> list[str]:
    """The fields of output ports: their names without brackets, and no method of a tuple's."""
    found: list[str] = []
    for port in ports:
        name = identifier(plain_port(port))
        while name in found or hasattr(tuple, name):
            name += "_"
        found.append(name)
    return found


def imports(body: str) -> str:
    """The imports that a text needs, sorted as ruff sorts them."""
    standard = []
    used = python.names_in(ast.parse(body))
    if "math" in used:
        standard.append("import math")
    abstract = [word for word in ("Callable", "Sequence") if word in used]
    if abstract:
        standard.append(f"from collections.abc import {', '.join(abstract)}")
    functions = [word for word in ("cache", "partial") if word in used]
    if functions:
        standard.append(f"from functools import {', '.join(functions)}")
    if "import_module" in used:
        standard.append("from importlib import import_module")
    found = [word for word in ("Any", "NamedTuple") if word in used]
    if found:
        standard.append(f"from typing import {', '.join(found)}")
    torch = ["import torch"] if "torch" in used else []
    library = "library, " if "library" in used else ""
    torch.append(f"from torch import Tensor, {library}nn")
    if "F" in used:
        torch.append("from torch.nn import functional as F")
    return "\n\n".join("\n".join(part) for part in (standard, torch) if part)


def module_class(
    name: str,
    doc: Sequence[str],
    init: Sequence[ast.stmt],
    arguments: ast.arguments,
    forward: ast.FunctionDef,
    *,
    base: str = "nn.Module",
) -> ast.ClassDef:
    """A class with its constructor and `forward`."""
    body: list[ast.stmt] = [docstring(doc, 4)] if any(doc) else []
    init = [_typed(node) for node in init]
    if init or len(arguments.args) > 1:
        enter = ast.Expr(
            python.call(ast.Attribute(python.call("super"), "__init__", ast.Load()))
        )
        body.append(function("__init__", arguments, [enter, *init], ast.Constant(None)))
    return derived(name, base, [*body, forward])


def derived(name: str, base: str, body: Sequence[ast.stmt]) -> ast.ClassDef:
    """`class name(base): …`."""
    found = ast.ClassDef(name, [python.dotted(base)], [], list(body), [])
    vars(found).update(type_params=[])  # a field from Python 3.12 on
    return found


def _typed(node: ast.stmt) -> ast.stmt:
    """`self.x: Any = …` for containers in a container, which has no types for them."""
    match node:
        case ast.Assign(targets=[ast.Attribute() as target], value=value) if any(
            inner is not value and ast.unparse(inner.func) in CONTAINERS
            for inner in ast.walk(value)
            if isinstance(inner, ast.Call)
        ):
            return ast.AnnAssign(target, python.name("Any"), value, 0)
    return node


def function(
    name: str, arguments: ast.arguments, body: Sequence[ast.stmt], returns: ast.expr
) -> ast.FunctionDef:
    """`def name(…) -> returns: …`."""
    found = ast.FunctionDef(name, arguments, list(body), [], returns)
    vars(found).update(type_params=[])  # a field from Python 3.12 on
    return found


def arguments(given: Sequence[tuple[str, ast.expr | None, ast.expr | None]]) -> ast.arguments:
    """`self` and arguments, each with its type and its default."""
    found = [ast.arg("self"), *(ast.arg(name, kind) for name, kind, _ in given)]
    defaults = [default for _, _, default in given if default is not None]
    return ast.arguments([], found, None, [], [], None, defaults)


def named_tuple(name: str, fields: Sequence[tuple[str, ast.expr]]) -> ast.ClassDef:
    """What a network with several outputs returns."""
    body: list[ast.stmt] = [
        ast.AnnAssign(ast.Name(field, ast.Store()), kind, None, 1) for field, kind in fields
    ]
    return derived(name, "NamedTuple", body)
