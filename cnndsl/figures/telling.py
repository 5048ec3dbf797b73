"""What is said of a box beside its words: its costs, what it sees, where it is written."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import PurePath

from cnndsl.analysis.costs import Cost, costs
from cnndsl.analysis.receptive import Receptive, receptive
from cnndsl.figures.text import count_text
from cnndsl.graph import Network


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

    def place(self, name: str) -> str:
        """The file and line of a node, the same on every machine: `lib/resnet.arch:21`."""
        span = self.network.node(name).span
        file = PurePath(span.source.name)
        shown = file.name if file.is_absolute() else file.as_posix()
        return f"{shown}:{span.line}"
