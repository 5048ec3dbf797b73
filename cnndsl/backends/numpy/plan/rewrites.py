"""The graph as a list of tasks: what is folded, fused, removed and written in place.

A task is one layer that is computed, with all that follows it elementwise. The rules:

- dropout, and a join of one operand, are nothing;
- batch normalisation after a convolution or a linear layer is in its weights;
- an activation, and the sum with a shortcut, are part of the task that computes their
  operand, where nothing else needs it;
- batch normalisation with its activation, or a gate, before a 1×1 convolution is done on
  each strip of its input;
- `flatten` before a linear layer is a permutation of that layer's weights;
- an operand of `concat` is written where `concat` needs it, and `split` is a view.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from cnndsl.analysis.weights import weight_name
from cnndsl.graph import Network, Node
from cnndsl.ops.activation import Elementwise
from cnndsl.ops.base import Array, Family, Op, Shape
from cnndsl.ops.conv import Conv, Deconv, DepthwiseConv
from cnndsl.ops.join import Add, Concat, Mul, Split
from cnndsl.ops.linear import Linear
from cnndsl.ops.norm import BatchNorm, FrozenBatchNorm
from cnndsl.ops.regions import Gather
from cnndsl.ops.reshape import Flatten, Rebatch, Unbatch
from cnndsl.ops.selection import NonMaximumSuppression, TopK

Key = tuple[str, int]
"""A tensor: the node that makes it, and which of its outputs."""


@dataclass(frozen=True, slots=True)
class Affine:
    """x · scale + shift, vectors over the channels; without a scale, a bias."""

    scale: Array | None
    shift: Array


@dataclass(frozen=True, slots=True)
class Times:
    """The product with a gate: (C,) for each sample."""

    gate: Key


Stage = Op | Key | Affine | Times
"""What is done to each element: an activation, a sum with a tensor, a factor."""


@dataclass(slots=True)
class Task:
    """One layer, and what is fused with it.

    `before` is done to the input and `after` to the output; `fold` is the batch
    normalisation inside the weights. `unflattened` is the map whose flattening is the
    input of a linear layer.
    """

    node: Node
    inputs: list[Key]
    outputs: list[Key]
    weights: dict[str, Array]
    before: list[Stage] = field(default_factory=list)
    after: list[Stage] = field(default_factory=list)
    fold: Affine | None = None
    unflattened: Shape | None = None
    names: list[str] = field(default_factory=list)

    @property
    def reads(self) -> list[Key]:
        """Every tensor that it needs."""
        found = list(self.inputs)
        for stage in (*self.before, *self.after):
            if isinstance(stage, Times):
                found.append(stage.gate)
            elif isinstance(stage, tuple):
                found.append(stage)
        return found

    @property
    def out(self) -> Key:
        """The output of a task that has one."""
        return self.outputs[0]


@dataclass(slots=True)
class Program:
    """The tasks in order, with each tensor's shape and how many times a sample it runs.

    `within` says that a tensor is a run of channels of another: (the other, first).
    """

    tasks: list[Task]
    shapes: dict[Key, Shape]
    rows: dict[Key, int]
    within: dict[Key, tuple[Key, int]]
    inputs: dict[str, Key]
    outputs: dict[str, Key]
    integers: set[Key]
    """Labels of boxes: whole numbers, kept in the type of the rest until they leave."""

    def root(self, key: Key) -> tuple[Key, int]:
        """The tensor whose memory a tensor lies in, and its first channel there."""
        start = 0
        while key in self.within:
            key, more = self.within[key]
            start += more
        return key, start


class _Rewriter:
    """The state of one pass over the nodes."""

    def __init__(
        self, network: Network, weights: Mapping[str, Array], place_shared: bool
    ) -> None:
        self.network, self.all_weights = network, weights
        self.place_shared = place_shared
        self.tasks: dict[Key, Task] = {}
        """By the tensor that each makes, in the order in which they run."""
        self.alias: dict[Key, Key] = {}
        self.shapes: dict[Key, Shape] = {}
        self.rows: dict[Key, int] = {}
        self.within: dict[Key, tuple[Key, int]] = {}
        self.integers: set[Key] = set()
        self.uses: dict[Key, int] = {}
        for node in network:
            for operand in network.operands(node.name):
                self.uses[operand] = self.uses.get(operand, 0) + 1
        for tensor in network.outputs.values():
            key = (tensor.node, tensor.output)
            self.uses[key] = self.uses.get(key, 0) + 1
        self.flat: dict[Key, Key] = {}
        """Flattened tensors that only linear layers read, and the map each is made of."""

    def program(self, order: Iterable[str]) -> Program:
        inputs = {}
        for name, tensor in self.network.inputs.items():
            key = (tensor.node, tensor.output)
            inputs[name], self.shapes[key], self.rows[key] = key, _plain(tensor.shape), 1
        for node in map(self.network.node, order):
            if node.op.family is not Family.INPUT:
                self._node(node)
        outputs = {
            name: self._real((tensor.node, tensor.output))
            for name, tensor in self.network.outputs.items()
        }
        tasks = list({id(task): task for task in self.tasks.values()}.values())
        return Program(
            tasks, self.shapes, self.rows, self.within, inputs, outputs, self.integers
        )

    def _real(self, key: Key) -> Key:
        while key in self.alias:
            key = self.alias[key]
        return key

    def _node(self, node: Node) -> None:
        operands = [self._real(key) for key in self.network.operands(node.name)]
        keys = [(node.name, i) for i in range(len(self.network.shapes[node.name]))]
        for key, shape in zip(keys, self.network.shapes[node.name], strict=True):
            self.shapes[key] = _plain(shape)
            self.rows[key] = self._rows_after(node, operands)
            if _labels(node.op, key[1], [operand in self.integers for operand in operands]):
                self.integers.add(key)
        op = node.op
        if op.family is Family.REGULARIZE or (op.join and len(operands) == 1):
            self._same(keys[0], operands[0])
        elif isinstance(op, BatchNorm | FrozenBatchNorm):
            self._batch_norm(node, operands[0], keys[0])
        elif isinstance(op, Elementwise) and self._fuses(operands[0]):
            self._append(operands[0], op, keys[0], node)
        elif isinstance(op, Add) and (host := self._host(operands)):
            self._add(host, operands, keys[0], node)
        elif isinstance(op, Split) and op.axis == 0:
            start = 0
            for key in keys:
                self.within[key] = (operands[0], start)
                start += self.shapes[key][0]
        elif isinstance(op, Flatten) and self._only_linear(node, keys[0]):
            self.flat[keys[0]] = operands[0]
        else:
            self._plain_task(node, operands, keys)

    def _rows_after(self, node: Node, operands: list[Key]) -> int:
        if isinstance(node.op, Unbatch):
            return node.rows * self.shapes[operands[0]][0]
        if isinstance(node.op, Rebatch):  # not by division: there may be no row
            return node.rows
        return self.rows[operands[0]] if operands else 1

    def _plain_task(self, node: Node, operands: list[Key], keys: list[Key]) -> None:
        shapes = self.network.input_shapes(node.name)
        weights = {
            name: self.all_weights[weight_name(node, name)]
            for name, weight in node.op.weights(*shapes).items()
            if not weight.integer
        }
        task = Task(node, operands, keys, weights, names=[node.name])
        if isinstance(node.op, Linear) and operands[0] in self.flat:
            task.inputs = [self.flat[operands[0]]]
            task.unflattened = self.shapes[task.inputs[0]]
        if _is_bare(node.op):
            self._absorb(task)
        if isinstance(node.op, Concat) and node.op.axis == 0:
            self._place(task)
        for key in keys:
            self.tasks[key] = task

    def _same(self, key: Key, operand: Key) -> None:
        """One tensor under two names; their uses are one's, less the use between them."""
        self.alias[key] = operand
        self.uses[operand] += self.uses.get(key, 0) - 1

    def _fuses(self, key: Key) -> bool:
        """Whether what computes a tensor can go on with it, because nobody else reads it."""
        task = self.tasks.get(key)
        if task is None or self.uses.get(key, 0) != 1 or key in self.within:
            return False
        kinds = Conv | DepthwiseConv | Linear | BatchNorm | FrozenBatchNorm | Add | Deconv
        return isinstance(task.node.op, kinds) and len(self.shapes[key]) in (1, 2, 3, 4)

    def _append(self, operand: Key, stage: Stage, key: Key, node: Node) -> None:
        task = self.tasks[operand]
        task.after.append(stage)
        task.names.append(node.name)
        self._same(key, operand)

    def _batch_norm(self, node: Node, operand: Key, key: Key) -> None:
        assert isinstance(node.op, BatchNorm | FrozenBatchNorm)
        affine = self._affine(node, node.op.eps)
        task = self.tasks.get(operand)
        folds = self._fuses(operand) and task is not None and not task.after
        if folds and task is not None and task.fold is None:
            if isinstance(task.node.op, Conv | DepthwiseConv | Linear) and (
                not isinstance(task.node.op, Linear) or len(self.shapes[operand]) == 1
            ):
                task.fold = affine
                task.names.append(node.name)
                self._same(key, operand)
                return
            if not isinstance(task.node.op, Linear):
                self._append(operand, affine, key, node)
                return
        self.tasks[key] = Task(node, [operand], [key], {}, after=[affine], names=[node.name])

    def _affine(self, node: Node, eps: float) -> Affine:
        names = ("running_mean", "running_var", "weight", "bias")
        mean, var, weight, bias = (self.all_weights.get(weight_name(node, n)) for n in names)
        assert mean is not None
        assert var is not None
        scale = 1 / np.sqrt(var.astype(np.float64) + eps)
        scale = scale if weight is None else scale * weight
        return Affine(scale, -mean * scale if bias is None else bias - mean * scale)

    def _host(self, operands: list[Key]) -> Key | None:
        """The operand of a sum whose task adds the others: the one computed last."""
        order = list(self.tasks)
        hosts = [
            key
            for key in operands
            if operands.count(key) == 1
            and self._fuses(key)
            and not isinstance(self.tasks[key].node.op, BatchNorm | FrozenBatchNorm | Deconv)
        ]
        return max(hosts, key=order.index) if hosts else None

    def _add(self, host: Key, operands: list[Key], key: Key, node: Node) -> None:
        task = self.tasks.pop(host)
        task.after += [operand for operand in operands if operand != host]
        task.names.append(node.name)
        self.tasks[host] = task  # at the end: the others are computed by now
        self._same(key, host)

    def _absorb(self, task: Task) -> None:
        """What comes before a 1×1 convolution is done on each strip of its input."""
        (key,) = task.inputs
        made = self.tasks.get(key)
        if made is None or self.uses.get(key, 0) != 1 or key in self.within or made.before:
            return
        op = made.node.op
        if isinstance(op, BatchNorm | FrozenBatchNorm) and not any(
            isinstance(stage, tuple) for stage in made.after
        ):
            task.before = made.after
        elif isinstance(op, Mul) and len(made.inputs) == 2 and not made.after:
            x, gate = made.inputs
            if math.prod(self.shapes[gate][1:]) != 1 or self.shapes[x] != self.shapes[key]:
                return
            task.before = [Times(gate)]
        else:
            return
        task.inputs = [made.inputs[0]]
        task.names = [*made.names, *task.names]
        del self.tasks[key]

    def _only_linear(self, node: Node, key: Key) -> bool:
        """Whether a flattened map is read by linear layers alone, dropout between."""
        reached = [node.name]
        for name in reached:
            followers = list(self.network.graph.successors(name))
            for follower in followers:
                op = self.network.node(follower).op
                if op.family is Family.REGULARIZE:
                    reached.append(follower)
                elif not isinstance(op, Linear):
                    return False
            if any(tensor.node == name for tensor in self.network.outputs.values()):
                return False
        return len(self.shapes[key]) == 1

    def _place(self, task: Task) -> None:
        """Operands of a concatenation are written in its output where that is possible."""
        start = 0
        for key in task.inputs:
            alone = key not in self.within and task.inputs.count(key) == 1
            alone = alone and (self.place_shared or self.uses[key] == 1)
            if alone and key in self.tasks and len(self.shapes[key]) > 1:
                self.within[key] = (task.out, start)
            start += self.shapes[key][0]


def _plain(shape: Shape) -> Shape:
    return tuple(map(int, shape))


def _labels(op: Op, output: int, integers: list[bool]) -> bool:
    """Whether an output is of whole numbers: made as such, or moved."""
    if isinstance(op, TopK | NonMaximumSuppression):
        return op.outputs[output] == "labels"
    if isinstance(op, Gather):
        return integers[0]
    return op.family in (Family.RESHAPE, Family.CONCAT) and bool(integers) and all(integers)


def _is_bare(op: Op) -> bool:
    """A convolution that is one matrix product of all positions."""
    return (
        isinstance(op, Conv)
        and math.prod(op.kernel) == math.prod(op.stride) == op.groups == 1
        and not any(map(any, op.pads))
    )


def rewrite(
    network: Network,
    weights: Mapping[str, Array],
    order: Iterable[str] | None = None,
    *,
    place_shared: bool = True,
) -> Program:
    """The tasks that compute a network, its nodes taken in an order, or in the file's.

    Weights as `checked_weights` gives them. Without `place_shared`, an operand of `concat`
    that others read too is copied: in place it keeps the whole result's memory until the
    last of them has read it.
    """
    names = [node.name for node in network] if order is None else order
    return _Rewriter(network, weights, place_shared).program(names)
