"""What a file's own names stand for while it is evaluated."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from typing import Any

from cnndsl.backends.torch.proof.faults import ProofError
from cnndsl.backends.torch.proof.modules import Class, Module
from cnndsl.records import Record, record


@record
class Native(Record):
    """Something of PyTorch's or Python's by its name: `nn.Conv2d`, `math.ceil`."""

    name: str


@record(frozen=False)
class Frame(Record):
    """The names of a running function; those of a comprehension stand in one inside."""

    globals: dict[str, Any]
    names: dict[str, Any] = field(default_factory=dict)
    outer: Frame | None = None
    function: Function | None = None
    """The function that runs; its own names must be bound before they are read."""
    of_class: Class | None = None
    """The class whose body runs; its names are not seen from inside."""


@record(frozen=False)
class Function(Record):
    """A `def` or a `lambda` of the file; its defaults are evaluated once."""

    name: str
    node: ast.FunctionDef | ast.Lambda
    defaults: dict[str, Any]
    local: frozenset[str]
    closure: Frame
    owner: Class | None = None

    def bind(self, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments by their names.  Raises ProofError: Python would not take them."""
        args = self.node.args
        named, only = ([arg.arg for arg in group] for group in (args.args, args.kwonlyargs))
        if args.kwarg is not None or args.posonlyargs:
            raise ProofError(f"`{self.name}` takes arguments of a kind that is not known")
        names = dict(zip(named, arguments, strict=False))
        rest = tuple(arguments[len(named) :])
        if args.vararg is not None:
            names[args.vararg.arg] = rest
        elif rest:
            raise ProofError(f"`{self.name}` takes {len(named)} arguments")
        for name, value in keywords.items():
            if name in names or name not in [*named, *only]:
                raise ProofError(f"`{self.name}` takes no such argument `{name}`")
            names[name] = value
        for name in [*named, *only]:
            if name not in names:
                if name not in self.defaults:
                    raise ProofError(f"`{self.name}` needs the argument `{name}`")
                names[name] = self.defaults[name]
        return names


@record
class Method(Record):
    """A function with the object that it is a method of."""

    function: Function
    module: Module


@record
class Super(Record):
    """`super()` in a method."""

    module: Module
    owner: Class


@record
class Partial(Record):
    """`functools.partial`."""

    function: Any
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]


@record
class Named(Record):
    """An object of a `NamedTuple`."""

    cls: Class
    values: tuple[Any, ...]


@record
class Parameter(Record):
    """A weight, as initialisation sees it: `module.weight`."""

    module: Module
    name: str


class Once:
    """An iterator, which gives its items a single time."""

    def __init__(self, items: Iterator[Any]) -> None:
        """Keep the items."""
        self.items = items

    def __iter__(self) -> Iterator[Any]:
        """The rest of the items."""
        return self.items


def local_names(node: ast.FunctionDef | ast.Lambda) -> frozenset[str]:
    """The names that a function binds, which are its own in all of it."""
    args = node.args
    found = {arg.arg for arg in [*args.posonlyargs, *args.args, *args.kwonlyargs]}
    found |= {arg.arg for arg in (args.vararg, args.kwarg) if arg is not None}
    stack: list[ast.stmt] = list(node.body) if isinstance(node, ast.FunctionDef) else []
    targets: list[ast.AST] = []
    while stack:
        match stack.pop():
            case ast.Assign(targets=several):
                targets += several
            case ast.AnnAssign(target=target) | ast.AugAssign(target=target):
                targets.append(target)
            case ast.For(target=target, body=body, orelse=other):
                targets.append(target)
                stack += [*body, *other]
            case ast.If(body=body, orelse=other):
                stack += [*body, *other]
            case ast.With(body=body):
                stack += body
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
    for bound in targets:
        inner = ast.walk(bound) if not isinstance(bound, ast.Name) else (bound,)
        found |= {n.id for n in inner if isinstance(n, ast.Name) and _stored(n)}
    return frozenset(found)


def _stored(name: ast.Name) -> bool:
    return isinstance(name.ctx, ast.Store)
