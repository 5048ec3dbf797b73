"""How much memory a network needs: parameters, activations by liveness, and training.

`peak` is that of the file run as it is written, step by step and unfused: a buffer is alive
from its node until its last reader has run, and a block's input until the block returns,
since a function holds its arguments. That is what a network written by hand holds, one
statement a step, to the byte (`tests/analysis/test_memory.py` measures torchvision's).
`freed` is the same order where each buffer goes at its last reader, `best` the order that
needs least. The network's inputs belong to the caller and count nothing.
Source: convention (single precision, 4 bytes an element).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from cnndsl.analysis.buffers import Buffer, Key, buffers, held, layout
from cnndsl.analysis.costs import total
from cnndsl.analysis.schedule import best_order, timeline
from cnndsl.graph import Network
from cnndsl.ops.facts import BYTES, Saved
from cnndsl.symbolic import strip

OPTIMIZERS = {"sgd": 0, "momentum": 1, "adam": 2}
"""Numbers that an optimizer keeps for each parameter."""


@dataclass(frozen=True, slots=True)
class Training:
    """Bytes in training: what is kept from the forward pass, and what the parameters need."""

    saved: int
    gradients: int
    optimizer: int
    parameters: int
    backward: int
    """The largest gradient of an activation with what it is computed from."""

    @property
    def total(self) -> int:
        """All of it at the beginning of the backward pass."""
        return self.saved + self.gradients + self.optimizer + self.parameters + self.backward


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a buffer lies in the arena, and from which step to which it is alive."""

    buffer: str
    offset: int
    size: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Memory:
    """The answer of `cnndsl memory`, in bytes; printed, it is that answer."""

    network: Network = field(repr=False)
    batch: int
    inplace: bool
    """Whether activations write over their inputs."""
    parameters: int
    buffers: int
    peak: int
    at: str
    """The node that runs where the peak is reached."""
    freed: int
    best: int
    proven: bool
    """Whether no order needs less than `best`; else it is the best that was found."""
    order: tuple[str, ...] = field(repr=False)
    """The best order."""
    steps: tuple[tuple[str, int], ...] = field(repr=False)
    """The bytes alive while each node runs, in source order."""
    arena: tuple[Slot, ...] = field(repr=False)
    training: Training

    @property
    def arena_size(self) -> int:
        """What one allocation must hold for the best order."""
        return max((slot.offset + slot.size for slot in self.arena), default=0)

    def rows(self) -> list[dict[str, object]]:
        """One row a node, for a data frame."""
        return [{"node": name, "bytes": alive} for name, alive in self.steps]

    def data(self) -> dict[str, object]:
        """Plain values."""
        return {
            "model": self.network.name,
            "batch": self.batch,
            "inplace": self.inplace,
            "parameters": self.parameters,
            "buffers": self.buffers,
            "peak": self.peak,
            "at": self.at,
            "freed": self.freed,
            "best": self.best,
            "proven": self.proven,
            "arena": self.arena_size,
            "order": list(self.order),
            "steps": [[name, alive] for name, alive in self.steps],
            "training": self.training.total,
        }

    def __str__(self) -> str:
        """What `cnndsl memory` prints."""
        from cnndsl.analysis.plots import bars

        train = self.training
        proof = "" if self.proven else "  (no proof that it is the least)"
        lines = [
            f"{self.network.name}, {self.batch} image{'s' if self.batch > 1 else ''},"
            f" single precision{', activations in place' if self.inplace else ''}, MiB",
            f"parameters          {mebi(self.parameters):>10}",
            f"buffers             {mebi(self.buffers):>10}",
            f"activations, peak   {mebi(self.peak):>10}  at {self.at}",
            f"  freed at last use {mebi(self.freed):>10}",
            f"  in the best order {mebi(self.best):>10}{proof}",
            f"  planned arena     {mebi(self.arena_size):>10}",
            f"training            {mebi(train.total):>10}  ="
            f" parameters {mebi(train.parameters)} + gradients {mebi(train.gradients)}"
            f" + optimizer {mebi(train.optimizer)} + saved {mebi(train.saved)}"
            f" + backward {mebi(train.backward)}",
            "",
            bars([alive for _, alive in self.steps], mebi(self.peak)),
        ]
        return "\n".join(lines)

    def svg(self) -> str:
        """The timeline as a picture."""
        from cnndsl.analysis.plots import timeline_svg

        return timeline_svg(self.steps, f"{self.network.title}: activations alive")


def mebi(size: int) -> str:
    """Bytes in MiB, to two decimals."""
    return f"{size / 2**20:,.2f}"


def memory(
    network: Network, batch: int = 1, optimizer: str = "momentum", *, inplace: bool = False
) -> Memory:
    """What a network needs for a batch of images.

    `optimizer` is `sgd`, `momentum` or `adam`; with `inplace` activations write over their
    inputs where nothing else reads them.  Raises ValueError: it is no such optimizer.
    """
    if optimizer not in OPTIMIZERS:
        raise ValueError(f"unknown optimizer `{optimizer}`; there are {', '.join(OPTIMIZERS)}")
    found = buffers(network, batch, inplace)
    source = [node.name for node in network]
    alive = timeline(source, _longer(network, found))
    order, proven = best_order(network, found)
    whole = total(network)
    at = max(range(len(source)), key=alive.__getitem__)
    return Memory(
        network,
        batch,
        inplace,
        BYTES * whole.parameters,
        BYTES * whole.buffers,
        max(alive),
        source[at],
        max(timeline(source, found)),
        max(timeline(order, found)),
        proven,
        tuple(order),
        tuple(zip(source, alive, strict=True)),
        tuple(arena(order, found)),
        training(network, whole.parameters, optimizer, batch, inplace=inplace),
    )


def source_peak(network: Network, *, inplace: bool = False) -> int:
    """The peak in source order alone, in bytes: what `@expect(peak<=…)` holds."""
    found = _longer(network, buffers(network, inplace=inplace))
    return max(timeline([node.name for node in network], found), default=0)


def _longer(network: Network, found: dict[str, Buffer]) -> dict[str, Buffer]:
    """Buffers that live as long as the blocks that they enter."""
    extra: dict[str, set[str]] = {}
    for name, last in held(network).items():
        extra.setdefault(found[name].node, set()).add(last)
    longer = {
        buffer.node: Buffer(
            buffer.node,
            buffer.size,
            buffer.readers | extra.get(buffer.node, set()),
            buffer.kept,
        )
        for buffer in found.values()
    }
    return {name: longer[buffer.node] for name, buffer in found.items()}


def arena(order: list[str], found: dict[str, Buffer]) -> list[Slot]:
    """A place for each buffer in one allocation: those alive together never overlap.

    The largest first, each at the lowest offset that is free as long as it lives.
    """
    position = {name: number for number, name in enumerate(order)}
    slots: list[Slot] = []
    unique = {buffer.node: buffer for buffer in found.values() if buffer.size}
    for buffer in sorted(unique.values(), key=lambda b: (-b.size, position[b.node])):
        first = position[buffer.node]
        last = max((position[name] for name in buffer.readers), default=first)
        last = len(order) if buffer.kept else last
        offset = 0
        beside = [s for s in slots if s.first <= last and first <= s.last]
        for slot in sorted(beside, key=lambda s: s.offset):
            if offset + buffer.size <= slot.offset:
                break
            offset = max(offset, slot.offset + slot.size)
        slots.append(Slot(buffer.node, offset, buffer.size, first, last))
    return slots


def training(
    network: Network, parameters: int, optimizer: str, batch: int = 1, *, inplace: bool = False
) -> Training:
    """What training needs, unfused."""
    largest = 0
    for node in network:
        tensors = {(node.name, number) for number in range(len(network.shapes[node.name]))}
        tensors |= {t for t in network.operands(node.name) if t[0] not in network.inputs}
        if node.name not in network.inputs:
            largest = max(largest, sum(_bytes(network, tensor, batch) for tensor in tensors))
    return Training(
        saved=saved(network, batch, inplace=inplace),
        gradients=BYTES * parameters,
        optimizer=BYTES * OPTIMIZERS[optimizer] * parameters,
        parameters=BYTES * parameters,
        backward=largest,
    )


def saved(network: Network, batch: int = 1, *, inplace: bool = False) -> int:
    """Bytes that autograd keeps in training from the forward pass to the backward pass.

    Each operation says what it keeps of its inputs, its outputs and its own; a tensor that
    several keep, or keep a view of, counts once. Parameters are counted elsewhere.
    """
    led, lies = _led(network), layout(network, batch, training=True, inplace=inplace)
    roots: dict[Key, Key] = {}
    grads: dict[Key, bool] = {}
    kept: set[Key] = set()
    extra = 0
    for node in network:
        op, operands = node.op.plain(), network.operands(node.name)
        inputs = strip(network.input_shapes(node.name))
        count = len(network.shapes[node.name])
        outputs: list[Key] = [(node.name, number) for number in range(count)]
        roots.update((k, roots[operands[0]] if lies.shares(node.name) else k) for k in outputs)
        flows = tuple(grads[operand] for operand in operands)
        differs = any(flows) or any(w.trainable for w in op.weights(*inputs).values())
        names = op.output_names(count)
        for key, name in zip(outputs, names, strict=True):
            grads[key] = bool(operands) and differs and name not in op.discrete
        if not (operands and differs and node.name in led):
            continue
        found = op.kept(*(lies.at[key] for key in operands), grads=flows)
        if node.name in lies.over:
            copy = Saved(own=BYTES * math.prod(inputs[0]))
            found = op.keeps_inplace or copy
        kept |= {roots[operands[number]] for number in found.inputs}
        kept |= {roots[outputs[number]] for number in found.outputs}
        extra += batch * int(node.rows) * found.own + found.fixed
    return extra + sum(_element(network, key) * lies.at[key].span for key in kept)


def _led(network: Network) -> set[str]:
    """The nodes to which a gradient of an output leads: the others' results are let go."""
    found: set[str] = set()

    def lead(key: Key) -> None:
        name, number = key
        op = network.node(name).op
        if op.output_names(len(network.shapes[name]))[number] not in op.discrete:
            found.add(name)

    for tensor in network.outputs.values():
        lead((tensor.node, tensor.output))
    for name in reversed(network.wires.nodes):
        operands = network.operands(name)
        if name in found and operands:
            read = network.node(name).op.plain().reads(*strip(network.input_shapes(name)))
            idle = frozenset.intersection(*(one.unread for one in read))
            for number, key in enumerate(operands):
                if number not in idle:
                    lead(key)
    return found


def _bytes(network: Network, key: Key, batch: int) -> int:
    name, number = key
    elements = math.prod(map(int, network.shapes[name][number]))
    return _element(network, key) * batch * int(network.node(name).rows) * elements


def _element(network: Network, key: Key) -> int:
    name, number = key
    op = network.node(name).op
    whole = op.output_names(len(network.shapes[name]))[number] in op.integers
    return (2 if whole else 1) * BYTES
