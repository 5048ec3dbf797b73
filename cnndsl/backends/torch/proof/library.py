"""The functions and classes that a file carries with it, as the operations give them.

Their bodies are the project's own text, tested against NumPy: the proof compares the text
and does not look inside.
"""

from __future__ import annotations

import ast
import re
from functools import cache

from cnndsl.backends.torch.proof.calls import (
    KINDS,
    OWN,
    WEIGHTED,
    Signature,
    family,
    parameters,
)
from cnndsl.records import Record, record

Definition = ast.FunctionDef | ast.ClassDef


@record
class Library(Record):
    """One definition; a class has the arguments of its constructor and of `forward`.

    `signature` is None where the constructor is that of `base`, one of PyTorch's modules;
    `names` are those that its text reads.
    """

    name: str
    node: Definition
    signature: Signature | None
    base: str = ""
    weighted: bool = False
    owns: tuple[tuple[str, str], ...] = OWN
    """The parameters that it may have, each with the argument without which it has none."""
    random: bool = False
    forward: Signature | None = None
    names: frozenset[str] = frozenset()

    @property
    def is_class(self) -> bool:
        """Whether it is a module."""
        return isinstance(self.node, ast.ClassDef)


@cache
def definitions(text: str) -> dict[str, Library]:
    """The definitions of a helper's text, by name."""
    found = [item for item in ast.parse(text).body if isinstance(item, Definition)]
    return {item.name: _library(item) for item in found}


def _library(node: Definition) -> Library:
    read = [n for n in ast.walk(node) if isinstance(n, ast.Name)]
    names = frozenset(n.id for n in read) - {n.id for n in read if not _loads(n)}
    if isinstance(node, ast.FunctionDef):
        names -= {arg.arg for arg in ast.walk(node.args) if isinstance(arg, ast.arg)}
        return Library(node.name, node, _signature(node.name, node, 0), names=names)
    methods = {item.name: item for item in node.body if isinstance(item, ast.FunctionDef)}
    base = ast.unparse(node.bases[0]) if node.bases else ""
    init, forward = methods.get("__init__"), methods["forward"]
    text = ast.unparse(node)
    guards = dict(re.findall(r"if (\w+) is not None:(?:\n .*)*?self\.(\w+) = nn\.Par", text))
    optional = {name: argument for argument, name in guards.items()} | {"bias": "bias"}
    made = re.findall(r"self\.(\w+) = nn\.Parameter\(", text)
    owns = tuple((name, optional.get(name, "")) for name in made)
    holds = "nn.Parameter(" in text or "register_buffer(" in text
    signature = _signature(node.name, init, 1) if init else None
    if init is None and base == "nn.Module":
        signature = Signature(node.name, {})
    return Library(
        name=node.name,
        node=node,
        signature=signature,
        base=base,
        weighted=holds or family(base) in WEIGHTED,
        random="self.training" in text,
        owns=(*OWN, *owns) if family(base) in WEIGHTED else owns or OWN,
        forward=_signature(node.name, forward, 1),
        names=names - {arg.arg for arg in ast.walk(node) if isinstance(arg, ast.arg)},
    )


def _loads(name: ast.Name) -> bool:
    return isinstance(name.ctx, ast.Load)


def _signature(name: str, node: ast.FunctionDef, skipped: int) -> Signature:
    """The arguments; numbers are floats where the annotation says so."""
    found = list(parameters(node.args).items())[skipped:]
    return Signature(name, {n: (_kind(kind), default) for n, (kind, default) in found})


def _kind(annotation: str) -> str:
    return "deep floats" if "float" in annotation else "deep"


KINDS["deep"] = lambda value, rank: _as_tuples(value)
KINDS["deep floats"] = lambda value, rank: _as_floats(value)


def _as_tuples(value: object) -> object:
    return tuple(map(_as_tuples, value)) if isinstance(value, list | tuple) else value


def _as_floats(value: object) -> object:
    if isinstance(value, list | tuple):
        return tuple(map(_as_floats, value))
    return float(value) if type(value) is int else value


def same(one: object, other: object) -> bool:
    """Whether two trees are one, wherever they stand; `-1` is a number or its negation."""
    if isinstance(one, ast.AST) and isinstance(other, ast.AST):
        one, other = _signed(one), _signed(other)
        return type(one) is type(other) and all(
            same(getattr(one, name, None), getattr(other, name, None))
            for name in one._fields
            if name not in ("ctx", "kind", "type_comment", "type_ignores", "type_params")
        )
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if (
        not one
        and not other
        and isinstance(one, list | None)
        and isinstance(other, list | None)
    ):
        return True
    return type(one) is type(other) and one == other


def _signed(node: ast.AST) -> ast.AST:
    """A negative constant as Python's parser reads it."""
    value = getattr(node, "value", None)
    if isinstance(node, ast.Constant) and type(value) in (int, float) and _negative(value):
        return ast.UnaryOp(ast.USub(), ast.Constant(-value))  # type: ignore[operator]
    return node


def _negative(value: object) -> bool:
    return str(value).startswith("-")
