"""The network: a `networkx.MultiDiGraph` of typed nodes, and the blocks they came from.

The graph says what is computed: one frozen `Node` in each graph node (attribute `node`),
the operand's number as the key of an edge, and on the edge which output of the producer
it carries (attribute `output`). Insertion order is topological.

How it was written is its `structure` (`cnndsl.structure`).
"""

from __future__ import annotations

import keyword
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import field
from os import PathLike
from typing import TYPE_CHECKING, Any

import networkx as nx

from cnndsl.diagnostics import ArchError, Diagnostic, Span
from cnndsl.ops.base import Array, Op, Shape
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
)
from cnndsl.symbolic import strip

if TYPE_CHECKING:
    from torch import nn

    from cnndsl.analysis.costs import Total
    from cnndsl.analysis.summary import Summary
    from cnndsl.backends.numpy.interpreter import Interpreter

__all__ = (
    "Block",
    "Call",
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
    "blocks",
    "connect",
    "key_of",
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


@record(frozen=False)
class Network(Record):
    """An elaborated model.

    `graph` is a `networkx.MultiDiGraph`; `inputs` and `outputs` map names to tensors;
    `structure` is the model's `Block`; `arguments` the values of its parameters.
    """

    name: str
    graph: nx.MultiDiGraph[str] = field(repr=False)
    structure: Block = field(repr=False)
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]
    arguments: dict[str, object]
    shapes: dict[str, tuple[Shape, ...]] = field(repr=False)
    """Each node's output shapes, per sample."""
    dimensions: dict[str, int] = field(default_factory=dict)
    """The named sizes of the model's ports: `H`, `N`."""
    warnings: tuple[Diagnostic, ...] = ()

    def node(self, name: str) -> Node:
        """The node of that name.  Raises KeyError."""
        node: Node = self.graph.nodes[name]["node"]
        return node

    def __iter__(self) -> Iterator[Node]:
        """The nodes, in topological order."""
        for _, node in self.graph.nodes(data="node"):
            yield node

    def operands(self, name: str) -> list[tuple[str, int]]:
        """The producer and its output's number, for each input of a node in order."""
        # The graph's own dictionary: a view of it costs ten times as much to make.
        edges = {
            number: (producer, data["output"])
            for producer, between in self.graph.pred[name].items()
            for number, data in between.items()
        }
        return [edges[number] for number in range(len(edges))]

    def input_shapes(self, name: str) -> tuple[Shape, ...]:
        """The shapes of a node's inputs, in order."""
        return tuple(self.shapes[u][output] for u, output in self.operands(name))

    # What a user does with a network: input and output stand here and in the command line.

    @property
    def parameters(self) -> int:
        """The number of trainable parameters; what is shared counts once."""
        return self._total().parameters

    @property
    def macs(self) -> int:
        """Multiply-adds per sample."""
        return self._total().macs

    def _total(self) -> Total:
        from cnndsl.analysis.costs import total

        return total(self)

    def summary(self) -> Summary:
        """The table of its blocks; printed, it is text, and `json()` is data."""
        from cnndsl.analysis.summary import summary

        return summary(self)

    def torch_source(self, *, optimize: bool = False) -> str:
        """The PyTorch source, which is what `to_torch` executes.  Raises ArchError.

        With `optimize` it is for inference: batch norm is in the convolutions' weights,
        and the memory is laid out channels last.
        """
        from cnndsl.backends.torch import source

        return source(self, optimize=optimize)

    def to_torch(
        self, weights: Mapping[str, Array] | None = None, *, optimize: bool = False
    ) -> nn.Module:
        """An `nn.Module` with these weights, or freshly initialised ones.

        With `optimize` it computes the same in evaluation, faster, and refuses to train;
        the weights are still those of the network as it is written.
        Raises ImportError: torch is not installed. ArchError: weights of another network.
        """
        from cnndsl.backends.torch.execute import module

        return module(self, weights, optimize=optimize)

    def to_numpy(
        self,
        weights: Mapping[str, Array] | None = None,
        seed: int = 0,
        *,
        optimize: bool = True,
        threads: int | None = None,
    ) -> Interpreter:
        """A function of arrays, with these weights, or random ones from a seed.

        It takes arrays with the batch first, and gives one array for one output, a
        dictionary by name for several. It is planned at its first call, and then fast, on
        so many threads, all by default; without `optimize` it is the plain interpreter,
        which defines what each operation computes.  Raises ArchError: weights of another
        network. ValueError: no thread.
        """
        from cnndsl.backends.numpy.interpreter import Interpreter
        from cnndsl.backends.numpy.weights import random_weights

        weights = random_weights(self, seed) if weights is None else weights
        if not optimize:
            return Interpreter(self, weights)
        from cnndsl.backends.numpy.plan import Plan

        return Plan(self, weights, threads=threads)

    def load_weights(
        self, weights: str | PathLike[str] | Mapping[str, Any], **options: Any
    ) -> dict[str, Array]:
        """Weights in the network's own names, from a file or a foreign `state_dict`.

        Raises OSError, and ArchError: they are not this network's, or not surely.
        """
        from cnndsl.weights import load_weights

        return load_weights(self, weights, **options)

    def draw(self, path: str | PathLike[str]) -> None:
        """Draw it; the ending says how: `.svg`, `.png`, `.pdf`, `.dot`.  Raises ArchError."""
        from cnndsl.figures import draw

        draw(self, path)

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        """What a notebook shows: the picture where one can be drawn, and the table."""
        from cnndsl.figures import picture

        shown = {"text/plain": str(self.summary())}
        with suppress(ArchError):
            shown["image/svg+xml"] = picture(self).decode()
        return shown


def connect(graph: nx.MultiDiGraph[str], node: Node, operands: tuple[Tensor, ...]) -> None:
    """Add a node and the edges from its operands."""
    graph.add_node(node.name, node=node)
    for number, tensor in enumerate(operands):
        graph.add_edge(tensor.node, node.name, key=number, output=tensor.output)


def key_of(path: Path) -> str:
    """The dotted form of a path, as in a `state_dict`."""
    return ".".join(map(str, path))


def plain(values: Mapping[str, object]) -> dict[str, object]:
    """Values without the formulas that they carry: what JSON and messages show."""
    return {name: strip(value) for name, value in values.items()}
