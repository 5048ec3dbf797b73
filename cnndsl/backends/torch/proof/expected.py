"""What the network's own operations say of PyTorch: the one contact with `Op.torch()`.

Every node's tensors get the number of their term. The operation's words are evaluated by
the same machine as the file, so that a view or a call means the same on both sides.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from cnndsl.backends.torch.proof.calls import SIGNATURES, family
from cnndsl.backends.torch.proof.expressions import EXPRESSIONS
from cnndsl.backends.torch.proof.layers import Layers
from cnndsl.backends.torch.proof.library import definitions
from cnndsl.backends.torch.proof.machine import Machine
from cnndsl.backends.torch.proof.statements import STATEMENTS
from cnndsl.backends.torch.proof.tensors import Functions
from cnndsl.backends.torch.proof.terms import Batch, Extents, Numbering, Tensor, Term
from cnndsl.backends.torch.proof.values import Frame, Native
from cnndsl.graph import Network, Node, key_of
from cnndsl.ops.base import BEGINNINGS
from cnndsl.ops.facts import Call, Operand, Shape, Template, Torch
from cnndsl.ops.initial import Init

NAMES: Mapping[str, Any] = {name: Native(name) for name in ("torch", "nn", "F", "math")}
"""What an operation's text may call, besides its helpers."""
SLOT = re.compile(r"\{(\*|\w+)\}")


class Expected:
    """The terms of a network, and a machine that numbers a file's among them."""

    def __init__(self, network: Network) -> None:
        """Number every node."""
        self.network = network
        table = Numbering()
        functions = Functions(table)
        self.layers = Layers(table, functions)
        limit = 200_000 + 5_000 * len(network.wires)
        rules = {**STATEMENTS, **EXPRESSIONS}
        self.machine = Machine(table, functions, self.layers, rules, limit)
        self.values: dict[tuple[str, int], int] = {}
        self.inputs: list[int] = []
        self.begun: dict[str, dict[str, Init]] = {}
        """What the weights of each module begin with, where that is said."""
        # What nothing reads comes last: a file that leaves it out draws as often without it.
        read = network.read()
        for node in sorted(network, key=lambda node: not self.counts(node, read)):
            self.node(node)
        table.close()

    def counts(self, node: Node, read: set[str]) -> bool:
        """Whether something reads a node, or it has a key or is an input."""
        return node.name in read or node.op.may_own() or node.name in self.network.inputs

    @property
    def outputs(self) -> dict[str, int]:
        """The numbers of the network's outputs, by their names."""
        return {n: self.values[t.node, t.output] for n, t in self.network.outputs.items()}

    def node(self, node: Node) -> None:
        """Number one node's tensors."""
        network, table = self.network, self.machine.table
        shapes: list[Extents] = [
            (Batch(node.rows), *map(int, shape)) for shape in network.shapes[node.name]
        ]
        if node.op.name == "input":
            term = Term("input", (("name", node.name),))
            found: Any = table.tensor(term, shapes[0])
            self.inputs.append(found.number)
        else:
            operands = network.operands(node.name)
            numbers = [self.values[operand] for operand in operands]
            inputs = tuple(
                tuple(map(int, network.shapes[name][output])) for name, output in operands
            )
            plain = node.op.plain()
            torch = plain.torch(*inputs)
            weights = plain.weights(*inputs)
            if weights:
                said = {
                    n: plain.beginnings.get(a) for n, a in BEGINNINGS.items() if n in weights
                }
                begun = {name: init for name, init in said.items() if init is not None}
                for init in begun.values():
                    self.layers.library |= definitions(init.helper)
                self.begun[key_of(node.path)] = {n: i.plain for n, i in begun.items()}
            if torch.helper:
                self.layers.library |= definitions(torch.helper)
            found = self.value(node, torch, numbers, inputs)
        if len(shapes) > 1 and isinstance(found, Tensor):
            parts = [Term("part", (("index", n),), (found.number,)) for n in range(len(shapes))]
            table.parts[found.number] = tuple(map(table.number, parts))
            found = tuple(table.held(number, "part") for number in table.parts[found.number])
        for n, tensor in enumerate(found if isinstance(found, tuple) else (found,)):
            table.shapes.setdefault(tensor.number, shapes[n])
            # A view knows its shape, with the rows of `each row` in the batch.
            assert table.shapes[tensor.number][1:] == shapes[n][1:], node.name
            name = node.name if len(shapes) == 1 else f"{node.name}[{n}]"
            table.names.setdefault(tensor.number, name)
            self.values[node.name, n] = tensor.number

    def value(
        self, node: Node, torch: Torch, numbers: list[int], inputs: tuple[Shape, ...]
    ) -> Any:
        """A node's value, the same of its module and of its function."""
        weighted = bool(node.op.weights(*inputs))
        found = []
        if torch.module is not None:
            found.append(
                self.module(node, torch, torch.module, self.operands(numbers), weighted)
            )
        if torch.function is not None:
            found.append(self.function(torch.function, self.operands(numbers)))
        first, table = found[0], self.machine.table
        for other in found[1:]:
            if isinstance(other, Tensor) and isinstance(first, Tensor):
                # Two ways to write it: one number, the one that others may have read.
                first, later = sorted((first, other), key=lambda one: one.number)
                table.numbers[table.terms[later.number]] = first.number
        return first

    def operands(self, numbers: list[int]) -> list[Tensor]:
        """Tensors of the operands, as if nothing had read them."""
        return [self.machine.table.held(number, "network") for number in numbers]

    def module(
        self, node: Node, torch: Torch, call: Call, operands: list[Tensor], weighted: bool
    ) -> Any:
        """A module of the operands."""
        machine, table = self.machine, self.machine.table
        self.learn(call)
        keywords = {name: value for name, (value, _) in call.keywords.items()}
        if weighted and call.function.startswith("nn."):
            term = machine.functions.term(call.function, call.arguments, keywords)
            self.layers.owned.add(term)
        leaf = self.layers.leaf(call.function, call.arguments, keywords)
        leaf.path = key_of(node.path)
        before = len(table.terms)
        found = machine.apply(leaf, operands, {})
        if leaf.weighted:
            number = found.number if isinstance(found, Tensor) else before
            term = table.terms[number]
            table.layers[term] = node.name
            # The machine takes one away for each call: here they are counted.
            table.calls[term] += 2
        return found

    def learn(self, call: Call) -> None:
        """Note the defaults of a call that no table has."""
        functions = self.machine.functions
        unknown = call.function not in self.layers.library and not functions.knows(
            call.function
        )
        if unknown and family(call.function) not in SIGNATURES:
            defaults = {name: default for name, (_, default) in call.keywords.items()}
            functions.learned[call.function] = defaults

    def function(self, function: Call | Template, operands: list[Tensor]) -> Any:
        """An expression of the operands."""
        if isinstance(function, Template):
            return self.template(function, operands)
        self.learn(function)
        arguments = [self.argument(value, operands) for value in function.arguments]
        keywords = {
            name: self.argument(value, operands)
            for name, (value, _) in function.keywords.items()
        }
        known = self.layers.library.get(function.function) or Native(function.function)
        return self.machine.call(known, arguments, keywords)

    def argument(self, value: Any, operands: list[Tensor]) -> Any:
        """An argument with the operands in their places."""
        if isinstance(value, Operand):
            return operands[value.index]
        if isinstance(value, list | tuple):
            return tuple(self.argument(item, operands) for item in value)
        return value

    def template(self, template: Template, operands: list[Tensor]) -> Any:
        """A text of the operands."""
        text = template.text.replace("{*}", ", ".join(f"{{{n}}}" for n in range(len(operands))))
        names: dict[str, Any] = {f"_{n}": operand for n, operand in enumerate(operands)}
        names |= {f"_{name}": value for name, value in template.values.items()}
        frame = Frame({**NAMES, **self.layers.library}, names)
        found = _expression(SLOT.sub(r"_\1", text))
        for name in _called(found):
            if name not in self.layers.library and not self.machine.functions.knows(name):
                self.machine.functions.learned[name] = {}
        return self.machine.evaluate(found, frame)


@cache
def _expression(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def _called(expression: ast.expr) -> Iterator[str]:
    """What an expression calls: `torch.maximum`, and a method as `.log_softmax`."""
    for node in ast.walk(expression):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id=module), attr=name)):
                yield f"{module}.{name}" if module in NAMES else f".{name}"
            case ast.Call(func=ast.Attribute(attr=name)):
                yield f".{name}"
