"""A network layer by layer, as one class: always right, and no pleasure to read.

What the translation of the declared blocks cannot say, or cannot prove, is written so.
"""

from __future__ import annotations

import ast

from cnndsl.backends.torch import beginning, layers, python
from cnndsl.backends.torch.names import Names
from cnndsl.graph import Network
from cnndsl.ops.facts import Torch
from cnndsl.structure import Path

Tree = dict[str | int, "Tree | ast.expr"]


class Flat:
    """The constructor's modules by their keys, and `forward`'s statements."""

    def __init__(self, network: Network) -> None:
        """Walk the network once."""
        self.network = network
        self.helpers: dict[str, None] = {}
        self.modules: Tree = {}
        self.names = Names({"self", *network.inputs})
        self.values: dict[str, list[ast.Name]] = {}
        self.body: list[ast.stmt] = []
        self.paths: dict[Path, ast.expr] = {}
        heads = {str(node.path[0]) for node in network if node.path}
        self.read = network.read()
        self.free = "layers"
        while self.free in heads:
            self.free += "_"
        for node in network:
            if node.name in network.inputs:
                self.values[node.name] = [python.name(self.names.port(node.name))]
            else:
                self.layer(node.name)

    def layer(self, name: str) -> None:
        """One layer: its module, if it has weights or no function, and its call."""
        node = self.network.node(name)
        inputs = self.network.input_shapes(name)
        read = name in self.read
        if not read and not node.op.may_own():
            return
        said: Torch = node.op.plain().torch(*(tuple(map(int, x)) for x in inputs))
        if said.helper:
            self.helpers.setdefault(said.helper)
        operands = [self.operand(*source) for source in self.network.operands(name)]
        if said.module is not None and (said.function is None or node.op.weights(*inputs)):
            value: ast.expr = python.call(self.place(node.path, name, said), *operands)
        else:
            assert said.function is not None
            value = layers.apply(said.function, operands)
        if not read:
            self.body.append(ast.Expr(value))
            return
        count = len(self.network.shapes[name])
        numbers = range(count)
        parts = [python.name(f"v§{len(self.body)}_{number}") for number in numbers]
        target = parts[0] if count == 1 else ast.Tuple(list(parts), ast.Load())
        self.body.append(python.assign(target, value))
        self.values[name] = parts

    def operand(self, name: str, output: int) -> ast.expr:
        """A tensor that a layer reads."""
        return self.values[name][output]

    def place(self, path: Path, name: str, said: Torch) -> ast.expr:
        """Register a module where its key says; the text that reaches it."""
        assert said.module is not None
        # A norm without a factor has a place too, as the text alone says which modules have.
        if not self.network.node(name).op.may_own():
            path = (self.free, len(self.modules.get(self.free, {})))  # type: ignore[arg-type]
        if path not in self.paths:
            into = self.modules
            for part in path[:-1]:
                found = into.setdefault(part, {})
                assert isinstance(found, dict), "no module is inside another"
                into = found
            op = self.network.node(name).op.plain()
            for helper in beginning.helpers(op):
                self.helpers.setdefault(helper)
            made = layers.construct(said.module)
            inputs = self.network.input_shapes(name)
            into[path[-1]] = beginning.begun(made, op, inputs, python.node_of)
            head, *rest = path
            access: ast.expr = python.dotted(f"self.{head}")
            for part in rest:
                access = python.item(access, python.constant(str(part)))
            self.paths[path] = access
        return self.paths[path]

    def constructor(self) -> list[ast.stmt]:
        """The modules, in the order of the network."""
        return [
            python.assign(f"self.{name}", container(found))
            for name, found in self.modules.items()
        ]

    def outputs(self) -> list[ast.expr]:
        """What `forward` returns, in order."""
        tensors = self.network.outputs.values()
        return [self.operand(tensor.node, tensor.output) for tensor in tensors]


def container(found: Tree | ast.expr) -> ast.expr:
    """A module, or a dictionary of modules."""
    if not isinstance(found, dict):
        return found
    keys: list[ast.expr | None] = [python.constant(str(part)) for part in found]
    return python.call("nn.ModuleDict", ast.Dict(keys, [container(v) for v in found.values()]))
