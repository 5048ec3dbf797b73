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
from dataclasses import dataclass, field, replace

import numpy as np

from cnndsl.analysis.weights import weight_name
from cnndsl.backends.numpy.interpreter import evaluated
from cnndsl.graph import Network, Node
from cnndsl.ops.activation import Elementwise
from cnndsl.ops.arithmetic import Add, Arithmetic, Mul
from cnndsl.ops.base import Op
from cnndsl.ops.conv import Conv, Deconv, DepthwiseConv
from cnndsl.ops.facts import Array, Family, Shape
from cnndsl.ops.join import Concat, Split
from cnndsl.ops.linear import Linear
from cnndsl.ops.norm import BatchNorm, FrozenBatchNorm
from cnndsl.ops.reshape import Flatten, Rebatch, Unbatch

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


@dataclass(frozen=True, slots=True)
class Layer:
    """One node of a task, with its weights and the tensors that it reads and writes.

    A layer that is fused writes over the tensor that it goes on with.
    """

    node: Node
    reads: tuple[Key, ...]
    writes: tuple[Key, ...]
    weights: dict[str, Array]


@dataclass(slots=True)
class Task:
    """One layer, and what is fused with it.

    `layers` are all of them in order, which is what the task means; the other fields say it
    in the way that an algorithm computes it. `before` is done to the input and `after` to
    the output; `fold` is the batch normalisation inside the weights. `unflattened` is the
    map whose flattening is the input of a linear layer.
    """

    main: Layer
    inputs: list[Key]
    layers: list[Layer]
    before: list[Stage] = field(default_factory=list)
    after: list[Stage] = field(default_factory=list)
    fold: Affine | None = None
    unflattened: Shape | None = None

    @property
    def op(self) -> Op:
        """The operation whose algorithm computes the task."""
        return self.main.node.op

    @property
    def weights(self) -> dict[str, Array]:
        """Those of its main layer."""
        return self.main.weights

    @property
    def outputs(self) -> tuple[Key, ...]:
        """The tensors that it makes."""
        return self.main.writes

    @property
    def out(self) -> Key:
        """The output of a task that has one."""
        return self.outputs[0]

    @property
    def names(self) -> tuple[str, ...]:
        """The layers' names."""
        return tuple(layer.node.name for layer in self.layers)

    @property
    def reads(self) -> list[Key]:
        """Every tensor that it needs and does not make."""
        made: set[Key] = set()
        found: dict[Key, None] = {}
        for layer in self.layers:
            found |= dict.fromkeys(key for key in layer.reads if key not in made)
            made.update(layer.writes)
        return list(found)


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
        self.flat: dict[Key, Layer] = {}
        """Flattened tensors that only linear layers read, and how each is made."""

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
        operands = tuple(self._real(key) for key in self.network.operands(node.name))
        keys = tuple((node.name, i) for i in range(len(self.network.shapes[node.name])))
        layer = Layer(node, operands, keys, self._weights(node))
        for key, shape in zip(keys, self.network.shapes[node.name], strict=True):
            self.shapes[key] = _plain(shape)
            self.rows[key] = self._rows_after(node, operands)
        integers = self._integers(layer)
        op = node.op
        if op.family is Family.REGULARIZE or (op.joins and len(operands) == 1):
            self._same(keys[0], operands[0])
        elif isinstance(op, BatchNorm | FrozenBatchNorm):
            self._batch_norm(layer)
        elif op.each and self._fuses(operands[0]):
            self._append(operands[0], op, layer)
        elif isinstance(op, Add) and self._level(operands) and (host := self._host(operands)):
            self._add(host, layer)
        elif isinstance(op, Split) and op.axis == 0:
            start = 0
            for key in keys:
                self.within[key] = (operands[0], start)
                start += self.shapes[key][0]
        elif isinstance(op, Flatten) and self._only_linear(node, keys[0]):
            self.flat[keys[0]] = layer
        else:
            self._task(layer)
        for key, whole in zip(keys, integers, strict=True):
            change = self.integers.add if whole else self.integers.discard
            change(self._real(key))

    def _level(self, operands: tuple[Key, ...]) -> bool:
        """Whether tensors are all of one shape: then one is added to another in its place."""
        return len(operands) > 1 and len({self.shapes[key] for key in operands}) == 1

    def _weights(self, node: Node) -> dict[str, Array]:
        """The weights that evaluation needs, by the operation's own names."""
        shapes = self.network.input_shapes(node.name)
        return {
            name: self.all_weights[weight_name(node, name)]
            for name, weight in node.op.weights(*shapes).items()
            if not weight.integer
        }

    def _rows_after(self, node: Node, operands: tuple[Key, ...]) -> int:
        if isinstance(node.op, Unbatch):
            return node.rows * self.shapes[operands[0]][0]
        if isinstance(node.op, Rebatch):  # not by division: there may be no row
            return node.rows
        return self.rows[operands[0]] if operands else 1

    def _integers(self, layer: Layer) -> list[bool]:
        """Which outputs are whole numbers: the operation says so of an empty batch."""
        op = layer.node.op
        whole = op.family is Family.BOXES or op.discrete
        if not whole and self.integers.isdisjoint(layer.reads):
            return [False] * len(layer.writes)
        kinds = [np.int64 if key in self.integers else np.float32 for key in layer.reads]
        shapes = [(0, *self.shapes[key]) for key in layer.reads]
        with np.errstate(all="ignore"):
            empty = list(map(np.empty, shapes, kinds))
            made = evaluated(op, empty, layer.weights, np.float32)
        return [result.dtype.kind == "i" for result in made]

    def _task(self, layer: Layer) -> None:
        task = Task(layer, list(layer.reads), [layer])
        op = layer.node.op
        if isinstance(op, Linear) and layer.reads[0] in self.flat:
            flatten = self.flat[layer.reads[0]]
            task.layers.insert(0, flatten)
            task.inputs = list(flatten.reads)
            task.unflattened = self.shapes[task.inputs[0]]
        if is_bare(op):
            self._absorb(task)
        if isinstance(op, Concat) and op.axis == 0:
            self._place(task)
        for key in layer.writes:
            self.tasks[key] = task

    def _same(self, key: Key, operand: Key) -> None:
        """One tensor under two names; their uses are one's, less the use between them."""
        self.alias[key] = operand
        self.uses[operand] += self.uses.get(key, 0) - 1

    def _alone(self, key: Key) -> Task | None:
        """The task that makes a tensor, where nobody but the layer at hand reads it."""
        return self.tasks.get(key) if self.uses[key] == 1 and key not in self.within else None

    def _fuses(self, key: Key) -> bool:
        """Whether the task that makes a tensor can go on with it."""
        task = self._alone(key)
        return task is not None and isinstance(task.op, GOES_ON)

    def _append(self, host: Key, stage: Stage, layer: Layer) -> None:
        """One more stage of the task that makes a tensor."""
        task = self.tasks[host]
        task.after.append(stage)
        task.layers.append(replace(layer, writes=(host,)))
        self._same(layer.writes[0], host)

    def _batch_norm(self, layer: Layer) -> None:
        (operand,), affine = layer.reads, _affine(layer)
        task = self.tasks[operand] if self._fuses(operand) else None
        if task is None or task.after:
            self.tasks[layer.writes[0]] = Task(layer, [operand], [layer], after=[affine])
        elif self._folds(task, affine):
            task.fold = affine
            task.layers.append(replace(layer, writes=(operand,)))
            self._same(layer.writes[0], operand)
        else:
            self._append(operand, affine, layer)

    def _folds(self, task: Task, affine: Affine) -> bool:
        """Whether a task's weights can take what follows it.

        Their first axis has to be the one that is normalised, and no number to become
        infinite or NaN for all that are not.
        """
        rows = isinstance(task.op, Linear) and len(self.shapes[task.out]) == 1
        if task.fold is not None or not (rows or isinstance(task.op, Conv | DepthwiseConv)):
            return False
        assert affine.scale is not None
        largest = max(_largest(weight) for weight in task.weights.values())
        reached = _largest(affine.scale) * max(1.0, largest) + _largest(affine.shift)
        return bool(reached < np.finfo(np.float32).max)

    def _host(self, operands: tuple[Key, ...]) -> Key | None:
        """The operand of a sum whose task adds the others: the one computed last."""
        order = list(self.tasks)
        hosts = [
            key
            for key in operands
            if operands.count(key) == 1
            and self._fuses(key)
            and isinstance(self.tasks[key].op, ADDS)
        ]
        return max(hosts, key=order.index) if hosts else None

    def _add(self, host: Key, layer: Layer) -> None:
        task = self.tasks.pop(host)
        task.after += [operand for operand in layer.reads if operand != host]
        task.layers.append(replace(layer, writes=(host,)))
        self.tasks[host] = task  # at the end: the others are computed by now
        self._same(layer.writes[0], host)

    def _absorb(self, task: Task) -> None:
        """What comes before a 1×1 convolution is done on each strip of its input."""
        (key,) = task.inputs
        made = self._alone(key)
        if made is None:
            return
        sums = any(isinstance(stage, tuple) for stage in made.after)
        if isinstance(made.op, BatchNorm | FrozenBatchNorm) and not sums:
            task.before = made.after
        elif isinstance(made.op, Mul) and not made.after and self._gated(made):
            task.before = [Times(made.inputs[1])]
        else:
            return
        task.inputs = made.inputs[:1]
        task.layers = [*made.layers, *task.layers]
        del self.tasks[key]

    def _gated(self, task: Task) -> bool:
        return is_gated(*(self.shapes[key] for key in task.inputs))

    def _only_linear(self, node: Node, key: Key) -> bool:
        """Whether a flattened map is read by linear layers alone, dropout between."""
        reached = [node.name]
        for name in reached:
            followers = dict.fromkeys(self.network.wires.readers(name))
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


GOES_ON = (
    Conv
    | DepthwiseConv
    | Linear
    | BatchNorm
    | FrozenBatchNorm
    | Arithmetic
    | Deconv
    | Elementwise
)
"""Layers whose tasks go on with what is done to each element of their output."""
ADDS = Conv | DepthwiseConv | Linear | Add
"""Those that may add another tensor too."""


def is_bare(op: Op) -> bool:
    """A convolution that is one matrix product of all positions, in any rank."""
    return (
        isinstance(op, Conv)
        and math.prod(op.kernel) == math.prod(op.stride) == op.groups == 1
        and not any(map(any, op.pads))
    )


def is_gated(x: Shape, *others: Shape) -> bool:
    """Whether a product of two is a tensor times one number a channel, or one in all."""
    if len(others) != 1:
        return False
    (gate,) = others
    return math.prod(gate[1:]) == 1 and gate[0] in (1, x[0]) and len(gate) <= len(x)


def _affine(layer: Layer) -> Affine:
    """Batch normalisation as x · scale + shift."""
    op, given = layer.node.op, layer.weights
    assert isinstance(op, BatchNorm | FrozenBatchNorm)
    scale = 1 / np.sqrt(given["running_var"].astype(np.float64) + op.eps)
    scale = scale * given.get("weight", 1)
    return Affine(scale, given.get("bias", 0) - given["running_mean"] * scale)


def _largest(array: Array) -> float:
    """The largest absolute value; NaN where there is one."""
    return float(np.maximum(array.max(initial=0), -array.min(initial=0)))


def _plain(shape: Shape) -> Shape:
    return tuple(map(int, shape))


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
