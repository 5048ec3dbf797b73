"""The plan of a network: steps made once for a batch and a type, and run many times."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from cnndsl.backends.numpy.interpreter import Interpreter, checked_inputs
from cnndsl.backends.numpy.plan.arena import aligned, buffer, lay_out, live_peak
from cnndsl.backends.numpy.plan.calls import Call, Phase, execute
from cnndsl.backends.numpy.plan.choose import Choice
from cnndsl.backends.numpy.plan.lower import Draft, Lowering
from cnndsl.backends.numpy.plan.order import lives, ordered, sizes
from cnndsl.backends.numpy.plan.rewrites import Key, Program
from cnndsl.backends.numpy.plan.threads import Pool, cores, shares, single_threaded_products
from cnndsl.diagnostics import ArchError, Diagnostic
from cnndsl.graph import Network
from cnndsl.ops.facts import Array

KEPT = 4
"""Plans of so many batch sizes and types are kept."""
ROUNDING = 1e-7
"""What sums in another order may differ by in double precision, of the largest value."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step: the layers that it computes, how, where to, and the calls of each thread."""

    names: tuple[str, ...]
    algorithm: str
    buffer: str
    shape: tuple[int, ...]
    layer: str
    phases: tuple[Phase, ...]


class Compiled:
    """The steps for one batch size and type, with the memory that they use."""

    def __init__(
        self, network: Network, program: Program, batch: int, dtype: Any, plan: Plan
    ) -> None:
        """Choose algorithms, lay out the memory, and bind every call to its arrays."""
        self.network, self.program, self.batch = network, program, batch
        self.dtype = np.dtype(dtype)
        self.threads = plan.threads
        self.lives = lives(program, program.tasks)
        self.sizes = {
            key: aligned(batch * size, self.dtype.itemsize)
            for key, size in sizes(program, self.lives).items()
        }
        self.offsets, self.arena_size = lay_out(self.sizes, self.lives)
        self.arena = buffer(self.arena_size, self.dtype)
        views = self._views()
        lowering = Lowering(program, views, plan.threads, plan.choice, plan.forms)
        drafts = [d for d in map(lowering.draft, program.tasks) if d is not None]
        widths = [
            [aligned(size, self.dtype.itemsize) for size in draft.spaces] for draft in drafts
        ]
        self.workspace_size = max(map(sum, widths), default=0)
        workspace = buffer(self.workspace_size, self.dtype)
        self.inputs = {name: views[key] for name, key in program.inputs.items()}
        self.outputs = {name: views[key] for name, key in program.outputs.items()}
        self.types = {
            name: np.dtype(np.int64) if key in program.integers else self.dtype
            for name, key in program.outputs.items()
        }
        self.steps = [
            self._step(draft, [*_carved(workspace, spaces)])
            for draft, spaces in zip(drafts, widths, strict=True)
        ]

    @property
    def peak(self) -> int:
        """Elements alive at once, at the most: the least that a layout could take."""
        return live_peak(self.sizes, self.lives)

    def macs(self, step: Step) -> int:
        """Multiply-adds of the layer that a step computes, for the whole batch."""
        node = self.network.node(step.layer)
        per_row = node.op.macs(*self.network.input_shapes(step.layer))
        return int(per_row) * node.rows * self.batch

    def _views(self) -> dict[Key, Array]:
        """Every tensor's array, channels last, in the arena."""
        views: dict[Key, Array] = {}
        for key, shape in self.program.shapes.items():
            root, start = self.program.root(key)
            if root not in self.offsets:
                continue
            whole = self.program.shapes[root]
            full = (self.batch * self.program.rows[root], *whole[1:], whole[0])
            offset = self.offsets[root]
            memory = self.arena[offset : offset + math.prod(full)].reshape(full)
            views[key] = memory[..., start : start + shape[0]]
        return views

    def _step(self, draft: Draft, spaces: list[Array]) -> Step:
        task = draft.task
        root, start = self.program.root(task.out)
        offset = self.offsets[root] * self.dtype.itemsize
        place = f"@{offset:,}" + (
            f" channel {start}" if task.out in self.program.within else ""
        )
        return Step(
            task.names,
            draft.algorithm,
            place,
            self.program.shapes[task.out],
            task.main.node.name,
            tuple(phase for phase in draft.bind(spaces) if phase),
        )

    def run(self, inputs: Mapping[str, Array], pool: Pool) -> dict[str, Array]:
        """The outputs, in new arrays; everything else is done in place."""
        for name, array in inputs.items():
            pool.run(_entry(array, self.inputs[name], self.threads))
        for step in self.steps:
            run_step(step, pool)
        return {
            name: np.moveaxis(view, -1, 1).astype(self.types[name], order="C")
            for name, view in self.outputs.items()
        }


def run_step(step: Step, pool: Pool) -> None:
    """One step: its phases in turn, the threads of each side by side."""
    for phase in step.phases:
        if len(phase) == 1:
            execute(phase[0])
        else:
            pool.run([_Job(calls) for calls in phase])


class _Job:
    """Calls, to be done by a thread."""

    __slots__ = ("calls",)

    def __init__(self, calls: list[Call]) -> None:
        self.calls = calls

    def __call__(self) -> None:
        execute(self.calls)


def _entry(array: Array, view: Array, threads: int) -> list[Any]:
    """The copies that bring an input's channels last, by runs of its first spatial axis."""
    last = np.moveaxis(array, 1, -1)
    if array.size < 1 << 15 or array.ndim < 3:
        return [_Job([(np.copyto, (view, last))])]
    return [
        _Job([(np.copyto, (view[:, a:b], last[:, a:b]))])
        for a, b in shares(view.shape[1], threads)
    ]


def _named(network: Network, result: Array | dict[str, Array]) -> dict[str, Array]:
    """The outputs by name, one as several."""
    return result if isinstance(result, dict) else {next(iter(network.outputs)): result}


def _difference(found: Array, wanted: Array) -> str:
    """By how much arrays differ that should be equal but for rounding, or nothing."""
    finite = np.isfinite(wanted)
    if found.dtype != wanted.dtype:
        return f"in its type, {found.dtype} for {wanted.dtype}"
    if not np.array_equal(found[~finite], wanted[~finite], equal_nan=True):
        return "in what is infinite or NaN"
    if not np.isfinite(found[finite]).all():
        return "in what is infinite or NaN"
    largest = float(np.abs(wanted[finite]).max(initial=0)) or 1.0
    difference = float(np.abs(found[finite] - wanted[finite]).max(initial=0)) / largest
    return f"by {difference:.2g} of its largest value" if difference > ROUNDING else ""


def _carved(flat: Array, sizes: list[int]) -> list[Array]:
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    return [flat[start : start + size] for start, size in zip(starts, sizes, strict=True)]


class Plan(Interpreter):
    """A network with its weights, to be called like `Interpreter`, and faster.

    The first call with a batch size and type makes the steps; `print(plan)` shows those of
    the last one. `threads` is the number of cores used, all by default; `winograd=False`
    keeps to products whose sums are those of the definition, in another order; `measure`
    times the candidates of each 3×3 convolution, which takes longer once. Calls from
    several threads wait for one another; it can be pickled and copied, and used after a fork.
    """

    def __init__(
        self,
        network: Network,
        weights: Mapping[str, Array],
        *,
        threads: int | None = None,
        winograd: bool = True,
        measure: bool = False,
    ) -> None:
        """Check the weights, and rewrite the graph.  Raises ArchError, ValueError."""
        super().__init__(network, weights)
        if threads is not None and threads < 1:
            raise ValueError(f"`threads` is {threads}, but must be at least 1")
        self.threads = cores() if threads is None else threads
        self.choice = Choice(winograd, measure)
        self.program = ordered(network, self.weights)
        self.compiled: dict[tuple[int, str], Compiled] = {}
        self.forms: dict[tuple[str, ...], Array] = {}
        self.last: Compiled | None = None
        self.pool = Pool(self.threads)

    def __getstate__(self) -> dict[str, Any]:
        """What it is made of, for a pickle or a copy: the steps are made again."""
        return self.__dict__ | {"compiled": {}, "forms": {}, "last": None}

    def __call__(self, /, *arrays: Array, **named: Array) -> Array | dict[str, Array]:
        """The output, or a dictionary by name where there are several.

        An empty batch goes through the plain interpreter.
        Raises ArchError (E602): inputs that are not the network's.
        """
        inputs = checked_inputs(self.network, arrays, named)
        first = next(iter(inputs.values()))
        if not len(first):
            with np.errstate(all="ignore"):
                return self._outputs(inputs)
        with self.pool.lock, single_threaded_products(), np.errstate(all="ignore"):
            compiled = self.prepare(len(first), first.dtype)
            outputs = compiled.run(inputs, self.pool)
        return next(iter(outputs.values())) if len(outputs) == 1 else outputs

    def verify(self, batch: int = 2, seed: int = 0) -> None:
        """Hold the plan to the interpreter, on random inputs in double precision.

        Raises ArchError (E607): an output differs by more than rounding explains.
        """
        rng = np.random.default_rng(seed)
        inputs = {
            name: rng.standard_normal((batch, *tensor.shape))
            for name, tensor in self.network.inputs.items()
        }
        wanted = _named(self.network, Interpreter(self.network, self.weights)(**inputs))
        # What a copy makes in double precision goes with it.
        found = _named(self.network, copy(self)(**inputs))
        faults = [
            Diagnostic(
                "E607",
                f"the plan of `{self.network.name}` is not what its operations define: "
                f"`{name}` differs {difference}",
                help="optimize=False, --no-optimize in a terminal, runs without a plan",
            )
            for name, array in wanted.items()
            if (difference := _difference(found[name], array))
        ]
        if faults:
            raise ArchError(faults)

    def prepare(self, batch: int, dtype: Any = np.float32) -> Compiled:
        """The steps for a batch size and a type, made unless they are there."""
        key = (batch, np.dtype(dtype).str)
        found = self.compiled.pop(key, None)
        if found is None:
            found = Compiled(self.network, self.program, batch, dtype, self)
            while len(self.compiled) >= KEPT:
                del self.compiled[next(iter(self.compiled))]
        self.compiled[key] = self.last = found
        return found

    def profile(self, /, *arrays: Array, repeats: int = 5, **named: Array) -> list[float]:
        """The median time of each step, in seconds.  Raises ArchError (E602)."""
        inputs = checked_inputs(self.network, arrays, named)
        first = next(iter(inputs.values()))
        times: list[list[float]] = []
        with self.pool.lock, single_threaded_products(), np.errstate(all="ignore"):
            compiled = self.prepare(len(first), first.dtype)
            compiled.run(inputs, self.pool)
            for _ in range(repeats):
                for name, array in inputs.items():
                    np.copyto(compiled.inputs[name], np.moveaxis(array, 1, -1))
                marks = [time.perf_counter()]
                for step in compiled.steps:
                    run_step(step, self.pool)
                    marks.append(time.perf_counter())
                times.append([b - a for a, b in pairwise(marks)])
        return [float(value) for value in np.median(times, axis=0)]

    def __str__(self) -> str:
        """Each step with its algorithm, its output's shape and place, and the totals."""
        compiled = self.last or self.prepare(1)
        rows = [
            (str(n), step.algorithm, "×".join(map(str, step.shape)), step.buffer, text)
            for n, step in enumerate(compiled.steps)
            for text in ["  ".join(step.names)]
        ]
        widths = [max((len(row[i]) for row in rows), default=0) for i in range(4)]
        lines = [
            "  ".join([*(row[i].ljust(widths[i]) for i in range(4)), row[4]]) for row in rows
        ]
        size = compiled.dtype.itemsize
        weights = f"{compiled.batch} × {compiled.dtype}, {self.threads} threads"
        lines.append(
            f"{self.network.name}, {weights}: feature maps "
            f"{compiled.arena_size * size:,} bytes (at least {compiled.peak * size:,}), "
            f"workspace {compiled.workspace_size * size:,} bytes"
        )
        return "\n".join(lines)
