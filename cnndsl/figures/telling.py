"""What is said of a box beside its words: its costs, what it sees, where it is written."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import PurePath

from cnndsl.analysis.costs import Cost, costs
from cnndsl.analysis.receptive import Receptive, receptive
from cnndsl.figures.scene import Box
from cnndsl.figures.text import count_text, shape_text, spell_argument
from cnndsl.figures.walk import calls_of
from cnndsl.graph import Network
from cnndsl.ops.facts import Family
from cnndsl.structure import Call, nodes_of
from cnndsl.symbolic import strip


def _listed(values: Sequence[object]) -> str:
    """One value, or what each call has."""
    texts = [spell_argument(strip(value)) for value in values]
    return texts[0] if len(set(texts)) == 1 else ", ".join(texts)


class Teller:
    """The facts of a network's nodes."""

    def __init__(self, network: Network) -> None:
        """They are worked out when they are first asked for."""
        self.network = network

    @cached_property
    def costs(self) -> dict[str, Cost]:
        """By node."""
        return costs(self.network)

    @cached_property
    def fields(self) -> Receptive:
        """By node."""
        return receptive(self.network)

    def facts(self, nodes: Sequence[str]) -> list[str]:
        """`9.41k parameters`, `118M multiply-adds`, `sees 7`, `resnet50.arch:9`."""
        if not nodes:
            return []
        cost = sum((self.costs[name] for name in nodes), Cost())
        found = []
        if cost.parameters:
            found.append(f"{count_text(cost.parameters)} parameters")
        if cost.macs:
            found.append(f"{count_text(cost.macs)} multiply-adds")
        seen = str(self.fields[nodes[-1]])
        if seen:
            found.append(f"sees {seen}")
        return [*found, self.place(nodes[0])]

    @cached_property
    def calls(self) -> dict[str, list[tuple[Call, set[str]]]]:
        """The calls of each block with their nodes, in order."""
        found: dict[str, list[tuple[Call, set[str]]]] = {}
        for call in calls_of(self.network.structure.body):
            nodes = set(nodes_of(call.block.body))
            found.setdefault(call.block.definition.name, []).append((call, nodes))
        return found

    def attributes(self, box: Box) -> tuple[str, ...]:
        """All that a block is given or names, of several calls each; or all of each layer.

        Of a layer these are its attributes and the sizes of its inputs, weights and outputs;
        of post-processing, which is closed, those of the layers that make boxes.
        """
        if box.frame is not None and box.frame.quiet:
            makes = (n for n in box.nodes if self.network.node(n).op.family is Family.BOXES)
            return tuple(line for name in makes for line in self._layer(name))
        if box.frame is not None:
            whole = set(box.nodes)
            known = self.calls.get(box.frame.name, [])
            rows = [call.block.names for call, nodes in known if nodes and nodes <= whole]
            columns = {name: [row.get(name) for row in rows] for name in (rows or [{}])[0]}
            return tuple(f"{name} {_listed(values)}" for name, values in columns.items())
        return tuple(line for name in box.parts for line in self._layer(name))

    def _layer(self, name: str) -> list[str]:
        network = self.network
        op = network.node(name).op
        inputs = [network.shapes[node][output] for node, output in network.operands(name)]
        lines = [f"{op.name}  {name}"]
        for attribute in op.parameters:
            value = spell_argument(strip(getattr(op, attribute.name)))
            lines.append(f"{attribute.name.replace('_', ' ')} {value}")
        lines += [f"input {shape_text(shape)}" for shape in inputs]
        for weight, made in op.weights(*inputs).items():
            lines.append(f"{weight} {'×'.join(str(int(n)) for n in made.shape) or 1}")
        return [*lines, *(f"output {shape_text(shape)}" for shape in network.shapes[name])]

    def place(self, name: str) -> str:
        """The file and line of a node, the same on every machine: `lib/resnet.arch:21`."""
        span = self.network.node(name).span
        file = PurePath(span.source.name)
        shown = file.name if file.is_absolute() else file.as_posix()
        return f"{shown}:{span.line}"
