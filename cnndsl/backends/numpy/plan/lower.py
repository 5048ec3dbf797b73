"""Tasks as steps: an algorithm for each, and its weights in the form that it wants."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from cnndsl.backends.numpy.plan.calls import (
    Geometry,
    Phase,
    as_view,
    elementwise,
    execute,
    space,
    viewed,
)
from cnndsl.backends.numpy.plan.choose import CANDIDATES, Choice, choose
from cnndsl.backends.numpy.plan.depthwise import Depthwise
from cnndsl.backends.numpy.plan.pooling import Pool
from cnndsl.backends.numpy.plan.product import Im2col, Product
from cnndsl.backends.numpy.plan.rewrites import (
    Affine,
    Key,
    Layer,
    Program,
    Stage,
    Task,
    Times,
    is_bare,
    is_gated,
)
from cnndsl.backends.numpy.plan.simple import Definition, Each, GlobalMean, Permute, Spread
from cnndsl.backends.numpy.plan.threads import Team
from cnndsl.backends.numpy.plan.winograd import Winograd, transformed_kernel
from cnndsl.ops.arithmetic import Add, Mul
from cnndsl.ops.conv import Conv, Deconv, DepthwiseConv
from cnndsl.ops.facts import Array, Shape
from cnndsl.ops.join import Concat
from cnndsl.ops.linear import Linear
from cnndsl.ops.norm import BatchNorm, FrozenBatchNorm
from cnndsl.ops.pool import AvgPool, MaxPool
from cnndsl.ops.reshape import Rearrange
from cnndsl.ops.shuffle import Dealt
from cnndsl.ops.whole_pool import GlobalAvgPool

DENSE, DEPTHWISE, ELEMENT = 0.03, 0.2, 0.4
"""Nanoseconds of one core for a multiply-add, and for an element that is read or written."""
AWAKE, ALONE = 70_000, 200_000
"""Nanoseconds until another thread works, on a virtual machine; and up to which a step is
not shared."""


class Algorithm(Protocol):
    """How a step computes: its workspaces, then its calls on given arrays."""

    @property
    def name(self) -> str:
        """For `print(plan)`."""

    @property
    def spaces(self) -> Any:
        """The number of elements of each workspace."""

    def bind(
        self, x: Array, y: Array, others: Callable[[Any], Array], spaces: list[Array]
    ) -> list[Phase]:
        """The calls on these arrays."""


@dataclass(slots=True)
class Draft:
    """A step before it has its workspaces: `bind` takes them, and gives the calls."""

    task: Task
    algorithm: str
    spaces: list[int]
    bind: Callable[[list[Array]], list[Phase]]


class Lowering:
    """What all tasks share: the program and its arrays, the type, the threads, the choice."""

    def __init__(
        self,
        program: Program,
        views: Mapping[Key, Array],
        threads: int,
        choice: Choice,
        forms: dict[tuple[str, ...], Array],
    ) -> None:
        """Nothing is computed yet.

        `views` is every tensor's array, channels last; `forms` are the weights that other
        plans have made.
        """
        self.program, self.views, self.threads = program, views, threads
        self.choice, self.forms = choice, forms
        self.dtype = next(iter(views.values())).dtype
        self.measured: dict[Geometry, str] = {}

    def draft(self, task: Task) -> Draft | None:
        """The step that computes a task; None where there is nothing to do.

        Each case asks for what its algorithm needs; what is left is computed as the
        operations define it.
        """
        op = task.op
        alone = len(task.layers) == 1
        if all(self.views[key].size == 0 for key in task.outputs):
            return None
        if any(self.views[key].size == 0 for key in task.reads):
            return self._plain(task)
        match op:
            case Conv() if is_bare(op):
                return self._bare(task)
            case Conv() | DepthwiseConv() if len(op.kernel) <= 2 and op.pad_mode == "zeros":
                shape = self.program.shapes[task.inputs[0]]
                return self._conv(task, op if isinstance(op, Conv) else op.as_conv(shape))
            case Linear() if self.views[task.out].ndim == 2:
                return self._linear(task)
            case Deconv() if _apart(op):
                return self._deconv(task, op)
            case MaxPool() | AvgPool() if alone and len(op.kernel) <= 2 and not op.discrete:
                return self._pool(task, op)
            case GlobalAvgPool() if alone and op.name == "gap":
                return self._global_mean(task)
            case Concat() if alone and op.axis == 0:
                return self._concat(task)
            case _ if op.each:
                return self._each(task, [op, *task.after])
            case Add() if len({self.program.shapes[key] for key in task.inputs}) == 1:
                return self._each(task, [*task.inputs[1:], *task.after])
            case BatchNorm() | FrozenBatchNorm():
                return self._each(task, task.after)
            case Rearrange() if alone and self._splits(task):
                return self._permute(task, op)
            case Dealt() if alone:
                cells = Permute(*op.cells(self.program.shapes[task.inputs[0]]))
                return self._one(task, cells, lambda array: array)
            case Mul() if is_gated(*(self.program.shapes[key] for key in task.inputs)):
                return self._each(task, [Times(task.inputs[1]), *task.after])
            case _:
                return self._plain(task)

    def _team(self, task: Task) -> Team:
        """The threads of a step: one where it would end before a second is awake."""
        time = self._nanoseconds(task)
        return Team(self.threads, AWAKE / time) if time > ALONE else Team(1)

    def _nanoseconds(self, task: Task) -> float:
        """About what a step takes on one core."""
        sizes = [self.views[key].size for key in (task.inputs[0], task.out)]
        time = ELEMENT * sum(sizes)
        if "weight" in task.weights:
            # Each weight meets every position of the output; one of `deconv`, of the input.
            met, key = (0, task.inputs[0]) if isinstance(task.op, Deconv) else (1, task.out)
            positions = sizes[met] // self.views[key].shape[-1]
            alone = isinstance(task.op, DepthwiseConv)
            time += (DEPTHWISE if alone else DENSE) * task.weights["weight"].size * positions
        return time

    def _cast(self, stages: list[Stage]) -> list[Stage]:
        """The stages with vectors of the type that is computed in."""
        return [
            Affine(
                None if stage.scale is None else stage.scale.astype(self.dtype),
                stage.shift.astype(self.dtype),
            )
            if isinstance(stage, Affine)
            else stage
            for stage in stages
        ]

    def _weight(self, task: Task, form: str, made: Callable[[Array], Array]) -> Array:
        """The weight, with batch norm inside, in a form; made once for each type."""
        key = (task.main.node.name, self.dtype.str, form)
        if key not in self.forms:
            weight = task.weights["weight"].astype(self.dtype, copy=False)
            if task.fold is not None:
                assert task.fold.scale is not None
                scale = task.fold.scale.astype(self.dtype)
                weight = weight * scale.reshape(-1, *(1,) * (weight.ndim - 1))
            self.forms[key] = made(weight)
        return self.forms[key]

    def _after(self, task: Task) -> list[Stage]:
        """The stages, the bias first, with that of batch norm in it."""
        shift, after = task.weights.get("bias"), self._cast(task.after)
        if task.fold is not None:
            assert task.fold.scale is not None
            given = 0 if shift is None else shift * task.fold.scale
            shift = given + task.fold.shift
        if shift is None or not np.any(shift):
            return after
        return [Affine(None, shift.astype(self.dtype)), *after]

    def _one(self, task: Task, algorithm: Algorithm, form: Callable[[Array], Array]) -> Draft:
        """A step with one input and one output, whose arrays are seen through `form`."""
        x, y = (form(self.views[key]) for key in (task.inputs[0], task.out))

        def others(what: Any) -> Array:
            return what if isinstance(what, np.ndarray) else form(self.views[what])

        def bind(spaces: list[Array]) -> list[Phase]:
            return algorithm.bind(x, y, others, spaces)

        return Draft(task, algorithm.name, list(algorithm.spaces), bind)

    # Convolutions

    def geometry(
        self, task: Task, op: Conv | MaxPool | AvgPool, stride: Shape, dilation: Shape
    ) -> Geometry:
        """The numbers of a window over one or two axes, the first of size 1 for one."""
        x, y = self.program.shapes[task.inputs[0]], self.program.shapes[task.out]
        more = 2 - len(op.kernel)
        ones = (1,) * more
        return Geometry(
            batch=len(self.views[task.out]),
            size=(*ones, *x[1:]),
            channels=x[0],
            out=(*ones, *y[1:]),
            outputs=y[0],
            kernel=(*ones, *map(int, op.kernel)),
            stride=(*ones, *map(int, stride)),
            pads=(*((0, 0),) * more, *((int(a), int(b)) for a, b in op.pads)),
            dilation=(*ones, *map(int, dilation)),
        )

    def _bare(self, task: Task) -> Draft:
        y = _rows(self.views[task.out])
        matrix = self._weight(task, "product", _transposed)
        before, after = self._cast(task.before), self._after(task)
        product = Product(len(y), y.shape[1], matrix, before, after, self._team(task))
        return self._one(task, product, _rows)

    def _conv(self, task: Task, op: Conv) -> Draft:
        g = self.geometry(task, op, op.stride, op.dilation)
        after = self._after(task)
        algorithm = choose(g, int(op.groups), self.choice)
        if algorithm == "depthwise":
            taps = self._weight(task, algorithm, _transposed).reshape(*g.kernel, g.channels)
            return self._one(task, Depthwise(g, taps, after, self._team(task)), _image)
        if algorithm == "measured":
            algorithm = self._fastest(task, g)
        made = self._spatial(algorithm, task, g, after)
        draft = self._one(task, made, _image)
        return self._guarded(draft, made.suspect) if isinstance(made, Winograd) else draft

    def _guarded(self, draft: Draft, suspect: list[bool]) -> Draft:
        """The step by the definition after all, where a tile came out not finite."""
        again = self._definition(draft.task, draft.task.layers)

        def bind(spaces: list[Array]) -> list[Phase]:
            return [*draft.bind(spaces), [[(_again, (suspect, again))]]]

        return Draft(draft.task, draft.algorithm, draft.spaces, bind)

    def _spatial(self, name: str, task: Task, g: Geometry, after: list[Stage]) -> Algorithm:
        """Winograd or im2col, by its name."""
        if name.startswith("winograd"):
            m = int(name[-1])
            transformed = self._weight(task, name, lambda w: transformed_kernel(w, m))
            return Winograd(g, transformed, m, after, self._team(task))

        def rows(weight: Array) -> Array:
            split = weight.reshape(g.outputs, -1, *g.kernel)
            groups = g.channels // split.shape[1]
            grouped = split.reshape(groups, -1, *split.shape[1:])
            # The outputs of a group last, before them a window as im2col lays it out.
            last = np.ascontiguousarray(grouped.transpose(0, 3, 4, 2, 1))
            return last.reshape(groups, -1, g.outputs // groups)

        return Im2col(g, self._weight(task, name, rows), after, self._team(task))

    def _fastest(self, task: Task, g: Geometry) -> str:
        """The candidate that takes the least time here, once for each geometry."""
        if g not in self.measured:
            self.measured[g] = min(
                CANDIDATES, key=lambda name: self._timed(self._spatial(name, task, g, []))
            )
            for name in set(CANDIDATES) - {self.measured[g]}:
                del self.forms[task.main.node.name, self.dtype.str, name]
        return self.measured[g]

    def _timed(self, algorithm: Algorithm) -> float:
        """The least of three runs, in seconds, all threads' work in this one."""
        g = getattr(algorithm, "geometry")  # noqa: B009 - only the spatial ones come here
        x = np.zeros((g.batch, *g.size, g.channels), self.dtype)
        y = np.zeros((g.batch, *g.out, g.outputs), self.dtype)
        spaces = [np.zeros(size, self.dtype) for size in algorithm.spaces]
        phases = algorithm.bind(x, y, np.asarray, spaces)
        times = []
        for _ in range(3):
            start = time.perf_counter()
            for calls in (calls for phase in phases for calls in phase):
                execute(calls)
            times.append(time.perf_counter() - start)
        return min(times)

    def _linear(self, task: Task) -> Draft:
        map_, x, y = task.unflattened, self.views[task.inputs[0]], self.views[task.out]

        def columns(weight: Array) -> Array:
            if map_ is None:
                return weight.T
            split = weight.reshape(len(weight), map_[0], -1)
            return np.ascontiguousarray(split.swapaxes(1, 2)).reshape(len(weight), -1).T

        weight = self._weight(task, "linear", columns)
        product = Product(1, len(y), weight, [], self._after(task), self._team(task))
        # A run of channels of a map is in pieces, which are gathered first.
        pieces = viewed(x, len(x), -1) is None

        def rows(array: Array) -> Array:
            return as_view(array, 1, len(array), -1)

        def others(what: Any) -> Array:
            return what if isinstance(what, np.ndarray) else rows(self.views[what])

        def bind(spaces: list[Array]) -> list[Phase]:
            whole = space(spaces[-1], *x.shape) if pieces else x
            gather: list[Phase] = [[[(np.copyto, (whole, x))]]] if pieces else []
            return [*gather, *product.bind(rows(whole), rows(y), others, spaces)]

        return Draft(task, product.name, [*product.spaces, x.size if pieces else 0], bind)

    def _deconv(self, task: Task, op: Deconv) -> Draft:
        x = self.program.shapes[task.inputs[0]]
        kernel, outputs = tuple(map(int, op.kernel)), int(op.out)

        def windows(weight: Array) -> Array:
            return np.ascontiguousarray(np.moveaxis(weight, 1, -1)).reshape(x[0], -1)

        matrix, after = self._weight(task, "spread", windows), self._after(task)
        assert matrix.shape[1] == math.prod(kernel) * outputs
        return self._one(task, Spread(matrix, kernel, after, x[1:], self._team(task)), _image)

    # Others

    def _pool(self, task: Task, op: MaxPool | AvgPool) -> Draft:
        ones = (1,) * len(op.kernel)
        dilation = op.dilation if isinstance(op, MaxPool) else ones
        g = self.geometry(task, op, op.strides, dilation)
        mean = isinstance(op, AvgPool)
        counted = isinstance(op, AvgPool) and op.count_include_pad
        return self._one(task, Pool(g, mean, counted, self._team(task)), _image)

    def _global_mean(self, task: Task) -> Draft:
        mean = GlobalMean(self._team(task))
        x, y = _rows(self.views[task.inputs[0]]), self.views[task.out]

        def bind(spaces: list[Array]) -> list[Phase]:
            return mean.bind(x, as_view(y, len(y), -1))

        return Draft(task, mean.name, [], bind)

    def _splits(self, task: Task) -> bool:
        """Whether both sides have the same spatial axes, so that all are views."""
        x, y = self.program.shapes[task.inputs[0]], self.program.shapes[task.out]
        return len(x) == len(y) and x[1:] == y[1:]

    def _permute(self, task: Task, op: Rearrange) -> Draft:
        arrangement, sizes = op._plan(self.program.shapes[task.inputs[0]])
        permute = Permute(tuple(sizes.values()), tuple(arrangement.order))
        return self._one(task, permute, lambda array: array)

    def _each(self, task: Task, stages: list[Stage]) -> Draft:
        batch, rows, channels = _rows(self.views[task.out]).shape
        each = Each(batch, rows, channels, self._cast(stages), self._team(task))
        return self._one(task, each, _rows)

    def _concat(self, task: Task) -> Draft | None:
        drafts: list[Draft] = []
        start = 0
        for key in task.inputs:
            size = self.program.shapes[key][0]
            if self.program.within.get(key) != (task.out, start):
                drafts.append(self._copy(task, key, start))
            start += size
        if not drafts:
            return None

        def bind(spaces: list[Array]) -> list[Phase]:
            return [phase for draft in drafts for phase in draft.bind(spaces)]

        return Draft(task, "copy", [], bind)

    def _copy(self, task: Task, key: Key, start: int) -> Draft:
        source = _rows(self.views[key])
        batch, rows, channels = source.shape
        target = _rows(self.views[task.out][..., start : start + channels])
        each = Each(batch, rows, channels, [], self._team(task))

        def bind(spaces: list[Array]) -> list[Phase]:
            return each.bind(source, target, self.views.__getitem__, spaces)

        return Draft(task, "copy", [], bind)

    def _plain(self, task: Task) -> Draft:
        """What has no algorithm: by definition, and then the stages, which need no room."""
        fold = [] if task.fold is None else [task.fold]
        stages = self._cast([*fold, *task.after])
        end = next(n for n, layer in enumerate(task.layers, 1) if layer is task.main)
        definition = self._definition(task, task.layers[:end] if stages else task.layers)
        y = self.views[task.out]

        def others(what: Any) -> Array:
            return what if isinstance(what, np.ndarray) else self.views[what]

        def bind(spaces: list[Array]) -> list[Phase]:
            return [[[(definition, ()), *elementwise(stages, y, y, spaces[0], others)]]]

        return Draft(task, "plain", [y.size if stages else 0], bind)

    def _definition(self, task: Task, layers: list[Layer]) -> Definition:
        def first(keys: Iterable[Key]) -> dict[Key, Array]:
            return {key: np.moveaxis(self.views[key], -1, 1) for key in keys}

        whole = frozenset(self.program.integers)
        return Definition(layers, first(task.reads), first(task.outputs), whole)


def _transposed(weight: Array) -> Array:
    """(K, …) → (∏…, K), contiguous: BLAS reads it up to twice as fast that way."""
    return np.ascontiguousarray(weight.reshape(len(weight), -1).T)


def _again(suspect: list[bool], definition: Definition) -> None:
    """What Winograd cannot compute."""
    if suspect[0]:
        suspect[0] = False
        definition()


def _apart(op: Deconv) -> bool:
    """Whether the windows tile the output."""
    return (
        len(op.kernel) == 2
        and op.kernel == op.stride
        and op.groups == 1
        and not any(map(any, op.pads))
        and not any(op.extra)
        and set(op.dilation) == {1}
    )


def _rows(array: Array) -> Array:
    """(B, *S, C) → (B, ∏S, C); (B, C) → (B, 1, C)."""
    return as_view(array, len(array), -1, array.shape[-1])


def _image(array: Array) -> Array:
    """(B, L, C) → (B, 1, L, C); an image as it is."""
    return array[:, None] if array.ndim == 3 else array
