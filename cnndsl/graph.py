"""The network: typed nodes in topological order, and the blocks they came from.

The graph says what is computed: one frozen `Node` in each graph node (attribute `node`),
the operand's number as the key of an edge, and on the edge which output of the producer
it carries (attribute `output`). Insertion order is topological.

How it was written is its `structure` (`cnndsl.structure`).
"""

from __future__ import annotations

import keyword
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Any

from cnndsl.diagnostics import Diagnostic, Span
from cnndsl.ops.base import Op
from cnndsl.ops.facts import Shape
from cnndsl.records import Record, record
from cnndsl.structure import (
    Block,
    Call,
    Each,
    Group,
    Line,
    Loop,
    Path,
    Repeat,
    Step,
    Tensor,
    Term,
    blocks,
    labels_in,
)
from cnndsl.symbolic import Formula, strip

if TYPE_CHECKING:
    import networkx as nx

__all__ = (
    "Block",
    "Build",
    "Call",
    "Decided",
    "Each",
    "Group",
    "Line",
    "Loop",
    "Network",
    "Node",
    "Path",
    "Repeat",
    "Step",
    "Tensor",
    "Term",
    "Wires",
    "blocks",
    "key_of",
    "labels",
    "module_name",
    "plain",
)


MODULE_ATTRIBUTES = frozenset(
    """
    T_destination add_module apply bfloat16 buffers call_super_init children compile cpu cuda
    double dump_patches eval extra_repr float forward get_buffer get_extra_state
    get_parameter get_submodule half ipu load_state_dict modules mtia named_buffers
    named_children named_modules named_parameters parameters register_backward_hook
    register_buffer register_forward_hook register_forward_pre_hook
    register_full_backward_hook register_full_backward_pre_hook
    register_load_state_dict_post_hook register_load_state_dict_pre_hook register_module
    register_parameter register_state_dict_post_hook register_state_dict_pre_hook
    requires_grad_ set_extra_state set_submodule share_memory state_dict to to_empty train
    training type xpu zero_grad
    """.split()  # noqa: SIM905 - a list of seventy strings is no pleasure to read
)
"""What `torch.nn.Module` has already; a test compares."""


def module_name(label: str) -> str:
    """A label as a part of a module path: `class` is `class_`, `forward` is `forward_`."""
    taken = keyword.iskeyword(label) or label in MODULE_ATTRIBUTES or label.startswith("_")
    return f"{label}_" if taken else label


Build = Callable[[Mapping[str, object], Mapping[str, Shape]], "Network"]
"""A network from the values of parameters and the shapes of inputs.  Raises ArchError."""


@record
class Node(Record):
    """One layer of the network.

    `path` is the prefix of its weights' names in a `state_dict`; two nodes share it where
    a module is applied more than once (`each`), and then the first of them owns the
    weights. `stack` names the block calls around it, outermost first. `rows` is the
    number of times that it runs per sample, more than 1 below `each row`. `places` are
    where its attributes are given, in the step or in a `default`; others are the default.
    """

    name: str
    op: Op
    path: Path
    span: Span
    stack: tuple[str, ...] = ()
    shared: bool = False
    rows: int = 1
    places: tuple[tuple[str, Span], ...] = ()


class Wires:
    """The nodes of a network in topological order, and what each reads.

    `reads` gives the producer and its output's number for each input of a node.
    """

    __slots__ = ("_readers", "nodes", "reads")

    def __init__(self) -> None:
        """Start with no nodes."""
        self.nodes: dict[str, Node] = {}
        self.reads: dict[str, tuple[tuple[str, int], ...]] = {}
        self._readers: dict[str, list[str]] = {}

    def add(self, node: Node, reads: Iterable[tuple[str, int]]) -> None:
        """Add a node behind the others."""
        self.nodes[node.name] = node
        found = self.reads[node.name] = tuple(reads)
        for producer, _ in found:
            self._readers.setdefault(producer, []).append(node.name)

    def __iter__(self) -> Iterator[str]:
        """The names of the nodes, in topological order."""
        return iter(self.nodes)

    def __len__(self) -> int:
        """How many nodes there are."""
        return len(self.nodes)

    def __contains__(self, name: object) -> bool:
        """Whether a node has this name."""
        return name in self.nodes

    def readers(self, name: str) -> Sequence[str]:
        """The nodes that read a node, once for each of their inputs that does."""
        return self._readers.get(name, ())

    def producers(self, name: str) -> set[str]:
        """The nodes that a node reads."""
        return {producer for producer, _ in self.reads[name]}

    def below(self, *names: str) -> set[str]:
        """The nodes that depend on one of some nodes."""
        found: set[str] = set()
        stack = [*names]
        while stack:
            new = {*self.readers(stack.pop())} - found
            found |= new
            stack += new
        return found


@record
class Decided(Record):
    """A formula of the sizes that decided something while the network was elaborated.

    The file gives this network where all of them have these values. Where one has another,
    it gives another network, or none, if the formula is a `contract`.
    """

    formula: Formula
    value: int
    span: Span
    contract: bool = False
    number: bool = False
    """Only a number is worked out from it, an attribute of a layer; no shape, no branch."""


@record(frozen=False)
class Network(Record):
    """An elaborated model.

    `wires` are its nodes and what each reads; `inputs` and `outputs` map names to tensors;
    `structure` is the model's `Block`; `arguments` the values of its parameters.
    """

    name: str
    wires: Wires = field(repr=False)
    structure: Block = field(repr=False)
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]
    arguments: dict[str, object]
    shapes: dict[str, tuple[Shape, ...]] = field(repr=False)
    """Each node's output shapes, per sample."""
    dimensions: dict[str, int] = field(default_factory=dict)
    """The named sizes of the model's ports: `H`, `N`."""
    warnings: tuple[Diagnostic, ...] = ()
    decided: tuple[Decided, ...] = field(default=(), repr=False)
    """What the sizes decided, in the model's terms."""
    numbers: tuple[Decided, ...] = field(default=(), repr=False)
    """The sizes from which attributes that are no integers were worked out."""
    whole: Network | None = field(default=None, repr=False)
    """The network of which this is what some of its labels need."""
    again: Build | None = field(default=None, repr=False)
    """The model elaborated anew, with other values or sizes; a copy cannot."""

    def __getstate__(self) -> tuple[Any, ...]:
        """All but the way back to the file, for pickling and copying."""
        return (*Record.__getstate__(self)[:-1], None)

    def node(self, name: str) -> Node:
        """The node of that name.  Raises KeyError."""
        return self.wires.nodes[name]

    def __iter__(self) -> Iterator[Node]:
        """The nodes, in topological order."""
        return iter(self.wires.nodes.values())

    @property
    def title(self) -> str:
        """The name that people use: its `@title`, else its own."""
        return self.structure.definition.title or self.name

    @property
    def graph(self) -> nx.MultiDiGraph[str]:
        """The network as a new `networkx.MultiDiGraph`, its nodes in topological order.

        A node's `node` is its `Node`. An edge's key is the number of the input of its head,
        its `output` that of the output of its tail.
        """
        import networkx as nx  # half the time of a small command

        graph: nx.MultiDiGraph[str] = nx.MultiDiGraph()
        for name, node in self.wires.nodes.items():
            graph.add_node(name, node=node)
        for name in self.wires.nodes:
            for number, (producer, output) in enumerate(self.operands(name)):
                graph.add_edge(producer, name, key=number, output=output)
        return graph

    def operands(self, name: str) -> list[tuple[str, int]]:
        """The producer and its output's number, for each input of a node in order."""
        return [*self.wires.reads[name]]

    def input_shapes(self, name: str) -> tuple[Shape, ...]:
        """The shapes of a node's inputs, in order."""
        return tuple(self.shapes[u][output] for u, output in self.operands(name))

    def read(self) -> set[str]:
        """The nodes that an output or a layer with a key reads, at last."""
        found = {tensor.node for tensor in self.outputs.values()}
        for name in reversed(self.wires.nodes):
            if name in found or self.node(name).op.may_own():
                found |= self.wires.producers(name)
        return found


def labels(network: Network) -> dict[str, Tensor]:
    """What each of its labels stands for, as `labels_in` says.

    They are the names that `@expect`, `explain`, `rf(…)` and messages share.
    """
    return labels_in(network.structure, network.outputs)


def key_of(path: Path) -> str:
    """The dotted form of a path, as in a `state_dict`."""
    return ".".join(map(str, path))


def plain(values: Mapping[str, object]) -> dict[str, object]:
    """Values without the formulas that they carry: what JSON and messages show."""
    return {name: strip(value) for name, value in values.items()}
