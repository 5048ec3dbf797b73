"""What our own files carry with them, known by its text: one call is one operation again.

A written file has functions for what PyTorch has no word for, anchors say. While a module is
recorded, each function that has the text of one of ours stands as a call with its arguments;
`Op.recalled` reads them. It is a proposal: what is run for the proof is the module itself.
"""

from __future__ import annotations

import ast
from ast import literal_eval
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, wraps
from inspect import getsource, signature
from types import FunctionType
from typing import TYPE_CHECKING, Any

from cnndsl.ops.base import OPS, Op

if TYPE_CHECKING:
    from torch import Tensor, nn

WORD = "cnndsl.call.default"
"""The recorded operation that stands for a call."""

_RUN: dict[str, Callable[..., Any]] = {}
"""A function of each name, which says the shapes of what it gives."""


@contextmanager
def as_written(module: nn.Module) -> Iterator[None]:
    """Record calls of our functions as calls, wherever the classes of a module find them."""
    spaces: dict[int, dict[str, Any]] = {}
    for one in module.modules():
        space = getattr(type(one).forward, "__globals__", {})
        spaces[id(space)] = space
    before: list[tuple[dict[str, Any], str, Any]] = []
    for space in spaces.values():
        for name, (_, tree) in functions().items():
            found = space.get(name)
            if isinstance(found, FunctionType) and _tree(_text(found)) == tree:
                before.append((space, name, found))
                space[name] = _recorded(name, found)
    try:
        yield
    finally:
        for space, name, found in before:
            space[name] = found


@cache
def functions() -> dict[str, tuple[type[Op], str]]:
    """The functions that files carry: the operation of each, and its text as a tree."""
    return {
        name: (
            cls,
            next(
                tree for tree in map(_tree, source.split("\n\n\n")) if f"(name='{name}'" in tree
            ),
        )
        for cls in OPS.values()
        for name, source in cls.functions.items()
    }


def _tree(source: str) -> str:
    """A definition, however it is laid out; empty where it is none that can be read."""
    try:
        return ast.dump(ast.parse(source))
    except SyntaxError:
        return ""


def _text(function: FunctionType) -> str:
    try:
        return getsource(function)
    except (OSError, TypeError):
        return ""


def _recorded(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that is recorded as one call, where its arguments can be said."""
    _RUN[name] = function

    @wraps(function)
    def call(*given: Any, **named: Any) -> Any:
        bound = signature(function).bind(*given, **named)
        bound.apply_defaults()
        tensors: list[Tensor] = []
        said = repr(
            (name, {key: _said(value, tensors) for key, value in bound.arguments.items()})
        )
        try:
            literal_eval(said)
        except (ValueError, SyntaxError):
            return function(*given, **named)
        found = _recording()(tensors, said)
        return found[0] if len(found) == 1 else tuple(found)

    return call


def _said(value: Any, tensors: list[Tensor]) -> Any:
    """An argument as it can be written; a tensor by its number, `#0`."""
    if isinstance(value, list | tuple):
        return tuple(_said(one, tensors) for one in value)
    if not hasattr(value, "detach"):
        return value
    tensors.append(value)
    return f"#{len(tensors) - 1}"


def called(said: str, tensors: list[Any]) -> tuple[str, dict[str, Any]]:
    """The name of a recorded function and its arguments, with these for its tensors."""

    def meant(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(map(meant, value))
        return tensors[int(value[1:])] if isinstance(value, str) else value

    name, given = literal_eval(said)
    return name, {key: meant(value) for key, value in given.items()}


@cache
def _recording() -> Callable[[list[Tensor], str], list[Tensor]]:
    """An operation of PyTorch's that is never run, only recorded."""
    from torch import library

    def never(tensors: list[Tensor], said: str) -> list[Tensor]:
        raise NotImplementedError(said)

    def shaped(tensors: list[Tensor], said: str) -> list[Tensor]:
        name, given = called(said, tensors)
        found = _RUN[name](**given)
        return list(found) if isinstance(found, tuple) else [found]

    schema = "(Tensor[] tensors, str said) -> Tensor[]"
    made = library.custom_op("cnndsl::call", never, mutates_args=(), schema=schema)
    made.register_fake(shaped)
    return made
