"""What a call of a block gives its constructor."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from cnndsl.backends.torch import python, steps
from cnndsl.backends.torch.expressions import CannotTranslateError, literal
from cnndsl.backends.torch.instances import T
from cnndsl.backends.torch.names import identifier
from cnndsl.backends.torch.unit import Unit
from cnndsl.backends.torch.walk.parts import Together
from cnndsl.language import tree


class Arguments:
    """What a call of a block gives its constructor."""

    def __init__(
        self, unit: Unit, callee: Unit, ports: dict[str, T | list[T]], said: Any, rank: int
    ) -> None:
        """Take the channels of what enters, and what is written."""
        self.callee, self.said, self.rank = callee, said, rank
        self.channels: dict[str, ast.expr] = {}
        for port, one in ports.items():
            name = callee.channel_names.get(port)
            if name is None:
                continue
            if isinstance(one, list):
                widths = [unit.ctor(python.node_of(t.shape[0])) for t in one]
                self.channels[name] = Together(unit.lengths).whole(widths)
            else:
                self.channels[name] = unit.ctor(python.node_of(one.shape[0]))
        self.nodes: dict[str, ast.expr] = {}
        for param in callee.definition.declaration.params:
            name = param.name
            if name in said.operations:
                with suppress(CannotTranslateError):  # then the callee's class has it fixed
                    known = steps.callable_node(unit, said.operations[name], rank)
                    node = known[0] if known is not None else python.constant(None)
                    self.nodes[name] = node
            elif name in said.nodes:
                self.nodes[name] = handed_on(sized(said.nodes[name], param, callee), unit)

    def mapping(self) -> dict[str, ast.expr]:
        """The constructor's arguments in the caller's terms."""
        found = dict(self.channels)
        for name, node in self.callee.arguments.items():
            given = self.nodes.get(node)
            if given is not None:
                found[name] = given
            elif node in self.callee.fallback:
                found[name] = self.callee.fallback[node]
        return found

    def call(self) -> tuple[list[ast.expr], list[ast.keyword]]:
        """Arguments by position as long as they follow, else by keyword."""
        given = {
            name: self.nodes[param]
            for name, param in self.callee.arguments.items()
            if param in self.nodes
        }
        return self.ordered({**self.channels, **given})

    def ordered(
        self, given: Mapping[str, ast.expr]
    ) -> tuple[list[ast.expr], list[ast.keyword]]:
        """The same of nodes by the constructor's names."""
        positional: list[ast.expr] = []
        keywords: list[ast.keyword] = []
        for name, _, default in self.callee.signature:
            param = self.callee.arguments.get(name)
            by_position = param is None or param in self.said.positional
            node = given.get(name)
            if node is None:
                continue
            by_default = default is not None and literal(default) is not None
            if by_default and not by_position and python.same(node, default):
                continue
            if by_position and not keywords and len(positional) == self.place(name):
                positional.append(node)
            else:
                keywords.append(ast.keyword(name, node))
        return positional, keywords

    def place(self, name: str) -> int:
        """An argument's position."""
        return [n for n, _, _ in self.callee.signature].index(name)


def handed_on(node: ast.expr, unit: Unit) -> ast.expr:
    """`k` for `(k[0], k[1])`, where that is all of a size that the caller itself was given."""
    match node:
        case ast.Tuple(elts=[ast.Subscript(value=ast.Name(id=name)), *_] as items) if any(
            identifier(size) == name and rank == len(items) for size, rank in unit.wide.items()
        ):
            return python.whole(items)
    return node


def sized(node: ast.expr, param: tree.Param, callee: Unit) -> ast.expr:
    """A size as its parameter takes it: one number, or one for each axis."""
    value = literal(node)
    if param.type.name != "size" or value is None:
        return node
    (found,) = value
    if param.name in callee.wide:
        if isinstance(found, int):
            return python.constant((found,) * callee.wide[param.name])
    elif isinstance(found, tuple) and len(set(found)) == 1:
        return python.constant(found[0])
    return node
