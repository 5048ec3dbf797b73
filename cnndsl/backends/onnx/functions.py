"""Blocks as ONNX's local functions: calls of equal blocks call one function.

A function's inputs are its block's, then the weights and sizes that it reads.
"""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cnndsl.backends.onnx.tracing import Traced
from cnndsl.graph import key_of
from cnndsl.ops.onnx_steps import OnnxNode
from cnndsl.structure import Block, Call, nodes_of, walk

DOMAIN = "cnndsl"
"""Of the functions."""


@dataclass(frozen=True, slots=True)
class Function:
    """A block: its name, what enters and leaves it, and its nodes under names of its own."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[OnnxNode, ...]
    doc: str


def calls(traced: Traced) -> tuple[list[OnnxNode], list[Function]]:
    """The graph's nodes, blocks being calls, and the functions, inner ones first."""
    work = _Calls(traced)
    nodes = work.body(traced.network.structure.body, list(traced.layers))
    return nodes, list(work.functions.values())


class _Calls:
    def __init__(self, traced: Traced) -> None:
        self.traced = traced
        self.functions: dict[Any, Function] = {}
        self.variants: Counter[str] = Counter()
        self.called: Counter[str] = Counter()
        self.places = {layer: number for number, layer in enumerate(traced.layers)}
        self.weights = {name: key for key, name in traced.weights.items()}
        self.sizes = {name for node in traced.sizes for name in node.outputs}
        self.readers: dict[str, set[str]] = defaultdict(set)
        for layer, nodes in traced.layers.items():
            for node in nodes:
                for name in node.inputs:
                    self.readers[name].add(layer)
        for port in traced.outputs:
            self.readers[port.name].add("")

    def body(self, items: list[Any], layers: Iterable[str]) -> list[OnnxNode]:
        """The nodes of these layers, those of a block in it as one call."""
        inner = {
            layer: item
            for item in walk(items, into_blocks=False)
            if isinstance(item, Call)
            for layer in nodes_of(item.block.body)
        }
        found: list[OnnxNode] = []
        called: set[int] = set()
        for layer in layers:
            call = inner.get(layer)
            if call is None:
                found += self.traced.layers[layer]
            elif id(call) not in called:
                called.add(id(call))
                found += self.call(call)
        return found

    def call(self, call: Call) -> list[OnnxNode]:
        """The call of a block; none where nothing in it computes."""
        block = call.block
        own = {layer for layer in nodes_of(block.body) if layer in self.places}
        nodes = self.body(block.body, sorted(own, key=self.places.__getitem__))
        if not nodes:
            return []
        made = dict.fromkeys(name for node in nodes for name in node.outputs)
        read = dict.fromkeys(name for node in nodes for name in node.inputs if name)
        ports = [self.traced.values.get((t.node, t.output)) for t in block.inputs.values()]
        wanted = [name for name in dict.fromkeys(ports) if name in read and name not in made]
        inputs = [*wanted, *(n for n in read if n not in made and n not in wanted)]
        outputs = [name for name in made if self.readers[name] - own]
        names = self.names(block, inputs, outputs, [*made])
        function = self.function(block, nodes, names, inputs, outputs)
        span = call.span or block.definition.span
        place = f"{span.source.name.rpartition('/')[2]}:{span.line}"
        path = "/".join(map(str, block.path[:-1]))
        key = key_of(block.path)
        if self.called[key]:  # a module that is called again
            key += f"_{self.called[key] + 1}"
        self.called[key_of(block.path)] += 1
        return [
            OnnxNode(
                function.name,
                tuple(map(str, inputs)),
                tuple(outputs),
                name=key,
                place=place,
                inside=path,
                domain=DOMAIN,
            )
        ]

    def names(
        self, block: Block, inputs: list[Any], outputs: list[str], made: list[str]
    ) -> dict[str, str]:
        """The block's own names for what is in it."""
        prefix = key_of(block.path) + "."
        values = self.traced.values
        ports = [
            (values.get((tensor.node, tensor.output)), port)
            for side in (block.inputs, block.outputs)
            for port, tensor in side.items()
        ]
        given = {name: port for name, port in reversed(ports) if name is not None}
        names: dict[str, str] = {}
        taken: set[str] = set()
        for number, name in enumerate([*inputs, *outputs, *made]):
            if name in names:
                continue
            full = self.weights.get(name, name)
            short = full.removeprefix(prefix) if full.startswith(prefix) else f"value{number}"
            if name in self.sizes:
                short = f"size{number}"
            short = given.get(name, short)
            while short in taken:
                short += "'"
            taken.add(short)
            names[name] = short
        return names

    def function(
        self,
        block: Block,
        nodes: list[OnnxNode],
        names: dict[str, str],
        inputs: list[Any],
        outputs: list[str],
    ) -> Function:
        """The function of a block's nodes: one that is there already, or a new one."""
        prefix = key_of(block.path) + "."
        body = tuple(
            dataclasses.replace(
                node,
                inputs=tuple(names.get(name, name) for name in node.inputs),
                outputs=tuple(names[name] for name in node.outputs),
                name=node.name.removeprefix(prefix),
                inside="",
            )
            for node in nodes
        )
        ends = (tuple(names[n] for n in inputs), tuple(names[n] for n in outputs))
        title = block.definition.name
        key = (title, _content(ends, body))
        if key not in self.functions:
            self.variants[title] += 1
            count = self.variants[title]
            name = title if count == 1 else f"{title}_{count}"
            doc = block.definition.doc.strip()
            self.functions[key] = Function(name, *ends, body, doc)
        return self.functions[key]


def _content(ends: tuple[tuple[str, ...], ...], body: Iterable[OnnxNode]) -> tuple[Any, ...]:
    """What two blocks have in common that are one function: all but the names in them."""
    numbers: dict[str, int] = {"": 0}

    def read(names: Iterable[str]) -> tuple[int, ...]:
        return tuple(numbers.setdefault(name, len(numbers)) for name in names)

    found: list[Any] = [read(ends[0])]
    for node in body:
        values = tuple(
            (key, value.tobytes(), value.shape, str(value.dtype))
            if hasattr(value, "dtype")
            else (key, value)
            for key, value in node.attributes.items()
        )
        found.append((node.kind, node.domain, values, read(node.inputs), read(node.outputs)))
    return (*found, read(ends[1]))
