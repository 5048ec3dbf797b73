"""The faults found so far, and the work still allowed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cnndsl.diagnostics import ArchError, Diagnostic, Fault, Span
from cnndsl.graph import Wires
from cnndsl.language import tree
from cnndsl.language.flows import (
    diagnostic_at,
    in_order,
)
from cnndsl.language.names import BlockDefinition, Env, Flow, Silent, Value
from cnndsl.language.nodes import Nodes, Place
from cnndsl.structure import Block, Line, Tensor, Term

MAX_NODES = 1_000_000
"""Of the network; lines, calls and repeats may be twice as many."""
MAX_DEPTH = 200
"""Of block calls and braces within each other."""
MAX_FAULTS = 50


class Budget:
    """What the parts of an elaboration share."""

    def __init__(self, max_nodes: int, max_depth: int) -> None:
        """Start with nothing."""
        self.wires = Wires()
        self.nodes = Nodes(self.wires)
        self.faults: list[Diagnostic] = []
        self.stopped = 0
        """Lines that have no result, because of a fault in them or in what they use."""
        self.reported: set[tuple[object, ...]] = set()
        self.left = 2 * max_nodes
        self.opened: dict[BlockDefinition, None] = {}
        """The blocks that were called, in order."""
        self.depth = 0
        self.max_nodes = max_nodes
        self.max_depth = max_depth

    def report(self, error: Fault, env: Env) -> None:
        """Keep a fault, once; raises ArchError where there are too many."""
        self.stopped += 1
        if isinstance(error, Silent):
            return
        diagnostic = error.diagnostic
        place = diagnostic.span and (diagnostic.span.source.name, diagnostic.span.start)
        key = (diagnostic.code, place, diagnostic.message)
        if key not in self.reported:
            self.reported.add(key)
            if not diagnostic.stack:
                diagnostic = replace(diagnostic, stack=env.frame.stack)
            self.faults.append(diagnostic)
        if len(self.faults) >= MAX_FAULTS:
            raise ArchError(sorted(self.faults, key=in_order))

    def spend(self, span: Span) -> None:
        """Count one step of the work allowed."""
        self.left -= 1
        if self.left < 0 or len(self.wires) > self.max_nodes:
            raise ArchError([*self.faults, Diagnostic("E309", self._too_large(), span)])

    def afford(self, work: int, span: Span, env: Env) -> None:
        """Refuse at once what cannot end within the bounds, instead of trying it."""
        if work > self.left:
            raise ArchError([*self.faults, diagnostic_at(span, "E309", self._too_large(), env)])

    def _too_large(self) -> str:
        lines = f"or more than {2 * self.max_nodes:,} lines and repeats"
        return f"the network has more than {self.max_nodes:,} nodes, {lines}"

    # What the classes below this one do; they call each other.

    def lines(
        self,
        body: Sequence[tree.Statement],
        env: Env,
        flow: Value,
        place: Place,
        definition: BlockDefinition,
        *,
        join: bool = False,
    ) -> tuple[list[Line], Value, list[Flow]]:
        """The lines between braces."""
        raise NotImplementedError

    def term(
        self,
        term: tree.Term,
        env: Env,
        flow: Value,
        place: Place,
        definition: BlockDefinition,
        *,
        labelled: bool = False,
    ) -> tuple[Term | None, Flow]:
        """One step of a chain."""
        raise NotImplementedError

    def body(
        self,
        definition: BlockDefinition,
        env: Env,
        place: Place,
        arguments: dict[str, object],
        tensors: dict[str, Tensor],
    ) -> tuple[Block, Flow]:
        """A block's lines."""
        raise NotImplementedError
