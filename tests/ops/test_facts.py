"""What operations say of themselves is what PyTorch does, for every case of every one."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cnndsl.diagnostics import ArchError
from cnndsl.network import loads
from cnndsl.ops import OPS, Family, Op
from cnndsl.ops.facts import Reading, Saved, Shape, Taps
from cnndsl.ops.strides import Laid
from tests.ops.cases import CASES, Case, made
from tests.ops.test_columns import each_case, inputs_for, outputs_of
from tests.ops.torch_text import Written, forms

BATCH = 2


def opened(case: Case) -> tuple[Op, tuple[Shape, ...], list[Written]]:
    name, arguments, shapes = case
    op = made(name, arguments, *shapes)
    return op, shapes, forms(op, shapes)


def storage(x: Tensor) -> int:
    return x.untyped_storage()._cdata


def leaf(x: np.ndarray, grad: bool = True) -> Tensor:
    """A tensor that may have a gradient: whole numbers have none."""
    return torch.from_numpy(x).requires_grad_(grad and x.dtype.kind == "f")


# The gradient's support


def support(scalar: Tensor, inputs: list[Tensor]) -> list[np.ndarray]:
    """Where the gradient of a sum is not zero, in each input."""
    if not scalar.requires_grad:
        return [np.zeros(x.shape[1:], bool) for x in inputs]
    real = [x for x in inputs if x.is_floating_point()]
    grads = iter(torch.autograd.grad(scalar, real, retain_graph=True, allow_unused=True))
    found = [next(grads) if x.is_floating_point() else None for x in inputs]
    return [
        np.zeros(x.shape[1:], bool) if g is None else (g != 0).any(0).numpy()
        for x, g in zip(inputs, found, strict=True)
    ]


def hull(seen: np.ndarray, axis: int) -> tuple[int, int] | None:
    """The first and the last place along an axis that is seen."""
    others = tuple(a for a in range(seen.ndim) if a != axis)
    places = np.flatnonzero(seen.any(others))
    return (int(places[0]), int(places[-1])) if len(places) else None


def agrees(taps: Taps, unit: int, size: int, seen: tuple[int, int] | None) -> bool:
    """Whether a unit sees what is said: exactly, or at a border no more than it."""
    low, high = taps.at(unit)
    if taps.units is not None and not taps.units[0] <= unit < taps.units[1]:
        return seen is None
    if low >= 0 and high < size:
        return seen == (low, high)
    return seen is None or (low <= seen[0] and seen[1] <= high)


class Supports:
    """The gradients' supports of a case: every unit of every axis, and single elements.

    The union over several random inputs, since a maximum or a clipped value hides some.
    """

    def __init__(self, case: Case, seeds: int = 6) -> None:
        self.op, self.shapes, (module, *_) = opened(case)
        self.runs: list[tuple[list[Tensor], list[Tensor]]] = []
        module.double()
        for seed in range(seeds):
            rng = np.random.default_rng(seed)
            for weight in module.parameters():
                weight.data = torch.from_numpy(rng.uniform(0.5, 1, size=tuple(weight.shape)))
            inputs = inputs_for(case, "float64", seed)
            tensors = [leaf(x[:1]) for x in inputs]
            self.runs.append((tensors, list(outputs_of(module(*tensors)))))

    def of(self, output: int, pick: Callable[[Tensor], Tensor]) -> list[list[np.ndarray]]:
        """What is seen of each input by what is picked of an output, run by run."""
        found = []
        for number, (inputs, outputs) in enumerate(self.runs):
            picked = pick(outputs[output])
            rng = torch.Generator().manual_seed(number)
            factors = torch.rand(picked.shape, generator=rng, dtype=torch.double) + 0.5
            found.append(support((picked * factors).sum(), inputs))
        return [list(runs) for runs in zip(*found, strict=True)]

    def reads(self) -> Iterator[tuple[int, Reading]]:
        """The outputs through which gradients flow, with what they say that they read."""
        for number, reading in enumerate(self.op.reads(*self.shapes)):
            if self.runs[0][1][number].requires_grad:
                yield number, reading


@each_case
def test_reads_is_the_support_of_the_gradient(case: Case) -> None:
    if not all(np.prod(shape) for shape in case[2]):
        return
    supports = Supports(case)
    shapes = supports.shapes
    found = supports.op.reads(*shapes)
    assert len(found) == len(supports.op.shapes(*shapes))
    for reading, shape in zip(found, supports.op.shapes(*shapes), strict=True):
        assert len(reading.axes) == len(shape)
    for number, reading in supports.reads():
        shape = supports.op.shapes(*shapes)[number]
        gone = -len(shape)  # before it only the batch, or what joined it
        chosen = (
            case[0] in ("gather", "max_unpool") or getattr(supports.op, "mode", "") == "nearest"
        )
        integers = {1} if chosen else set()
        hulls: dict[tuple[int, int, int], list[tuple[int, int] | None]] = {}
        for axis, size in enumerate(shape):
            for unit in range(size):
                runs = supports.of(number, lambda y, a=gone + axis, u=unit: y.select(a, u))
                seen = [np.any(one, 0) for one in runs]
                if not any(map(np.any, seen)):
                    continue  # between the taps of a transposed convolution, or in a border
                for source, place in reading.anywhere:
                    hulls.setdefault((axis, source, place), []).append(
                        hull(seen[source], place)
                    )
                for (source, place), taps in reading.axes[axis].items():
                    if source in integers or (source, place) in reading.whole:
                        continue
                    places = hull(seen[source], place)
                    whole = shapes[source][place]
                    low, high = taps.at(unit)
                    if reading.filled and (low < 0 or high >= whole):
                        continue
                    assert agrees(taps, unit, whole, places), (axis, unit, source, place)
        merged = Counter(key[:2] for key, found in hulls.items() if single(found))
        for key, found in hulls.items():
            # Of several axes read as one, neither moves evenly.
            assert merged[key[:2]] > 1 or not slides(found), key
        check_the_rest(supports, number, reading, shape)


def single(found: list[tuple[int, int] | None]) -> bool:
    """Whether each unit reads one position of an axis that has several."""
    return len(set(found)) > 1 and all(one is not None and one[0] == one[1] for one in found)


def slides(found: list[tuple[int, int] | None]) -> bool:
    """Whether units read as a window that moves on: then `anywhere` says too little."""
    if None in found:
        return False
    for period in range(1, len(found) // 3 + 1):
        pairs = zip(found, found[period:], strict=False)
        moved = {(b[0] - a[0], b[1] - a[1]) for a, b in pairs if a and b}
        if len(moved) == 1 and (step := moved.pop())[0] == step[1] > 0:
            return True
    return False


def check_the_rest(supports: Supports, number: int, reading: Reading, shape: Shape) -> None:
    """Single elements see whole what is not named, and less of what is read anywhere."""
    read = {place for axis in reading.axes for place in axis} - reading.whole
    rng = np.random.default_rng(0)
    partly: dict[tuple[int, int], list[bool]] = {}
    for _ in range(8 if all(shape) else 0):
        index = tuple(int(rng.integers(n)) for n in shape)
        runs = supports.of(number, lambda y, i=index: y[(0, *i)])
        for source, x in enumerate(supports.shapes):
            seen = np.any(runs[source], 0)
            assert source not in reading.unread or not seen.any()
            for place, size in enumerate(x):
                once = [hull(one, place) for one in runs[source] if one.any()]
                if (source, place) in reading.anywhere:
                    parts = [size == 1 or places != (0, size - 1) for places in once]
                    partly.setdefault((source, place), []).extend(parts)
                elif seen.any() and (source, place) not in read:
                    assert hull(seen, place) == (0, size - 1), (source, place)
    assert all(any(parts) for parts in partly.values() if parts), partly


# Memory


def saved(module: nn.Module, inputs: list[Tensor]) -> tuple[dict[int, Tensor], tuple]:
    """The storages that autograd keeps, weights left out, and the outputs."""
    own = {storage(t) for t in (*module.parameters(), *module.buffers())}
    found: dict[int, Tensor] = {}

    def pack(x: Tensor) -> Tensor:
        if storage(x) not in own:
            found.setdefault(storage(x), x)
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        outputs = outputs_of(module(*inputs))
    return found, outputs


def kept(
    case: Case, grads: tuple[bool, ...], form: int
) -> tuple[Saved, dict[int, Tensor], tuple[list[Tensor], tuple]]:
    """What an operation says that autograd keeps, and what it does."""
    op, shapes, modules = opened(case)
    module = modules[form].train()
    tensors = inputs_for(case, "float32")
    inputs = [leaf(x, grad) for x, grad in zip(tensors, grads, strict=True)]
    found, outputs = saved(module, inputs)
    return op.saves(*shapes, grads=grads), found, (inputs, outputs)


@each_case
def test_saves_is_what_autograd_saves(case: Case) -> None:
    name, _, shapes = case
    ways = {(True,) * len(shapes)}
    if len(shapes) > 1:
        ways |= {tuple(n == m for n in range(len(shapes))) for m in range(len(shapes))}
    for form in range(len(opened(case)[2])):
        for grads in ways:
            if name in ("topk", "nms") and not any(grads[:2]):
                continue
            said, found, (inputs, outputs) = kept(case, grads, form)
            for number in said.inputs:
                assert found.pop(storage(inputs[number]), None) is not None, (grads, number)
            for number in said.outputs:
                assert found.pop(storage(outputs[number]), None) is not None, (grads, number)
            left = sum(x.untyped_storage().nbytes() for x in found.values())
            assert left == BATCH * said.own + said.fixed, grads


# Strides


def arrangements(x: Tensor) -> dict[str, Tensor]:
    """A tensor in other orders of its axes, and as a part of a larger one."""
    twice, rank = torch.cat([x, x], 1), x.dim()
    found = {
        "in order": x,
        "of channels": twice[:, : x.shape[1]],
        "of the last axis": torch.cat([x, x], -1)[..., : x.shape[-1]],
        "every second": x.repeat_interleave(2, -1)[..., ::2],
        "every second sample": x.repeat_interleave(2, 0)[::2],
    }
    if rank > 2:
        found["channels last"] = x.movedim(1, -1).contiguous().movedim(-1, 1)
        last = twice.movedim(1, -1).contiguous().movedim(-1, 1)
        found["of channels last"] = last[:, : x.shape[1]]
        found["transposed"] = x.transpose(-1, -2).contiguous().transpose(-1, -2)
    if rank > 3:
        found["height first"] = x.transpose(1, 2).contiguous().transpose(1, 2)
    return found


def arranged(arrays: list[np.ndarray], grad: bool) -> Iterator[tuple[str, list[Tensor]]]:
    """All inputs in one arrangement, and each of them alone."""
    every = [arrangements(leaf(x, grad)) for x in arrays]
    for name in dict.fromkeys(name for one in every for name in one):
        yield name, [one.get(name, one["in order"]) for one in every]
        for number, one in enumerate(every if len(every) > 1 else []):
            given = [other["in order"] for other in every]
            yield (
                f"{name}, {number}",
                [*given[:number], one.get(name, given[number]), *given[number + 1 :]],
            )


def lies(x: Tensor) -> Laid:
    return Laid(tuple(x.shape), tuple(x.stride()))


@each_case
@pytest.mark.parametrize("training", [False, True])
def test_laid_is_how_pytorch_lays_it(case: Case, training: bool) -> None:
    op, _, modules = opened(case)
    for module in modules:
        module.train(training)
        for name, inputs in arranged(inputs_for(case, "float32"), training):
            with torch.set_grad_enabled(training):
                outputs = outputs_of(module(*inputs))
            said = op.laid(*map(lies, inputs), training=training)
            for one, y in zip(said, outputs, strict=True):
                shared = storage(y) == storage(inputs[0])
                assert one == Laid(tuple(y.shape), tuple(y.stride()), shared), name


@each_case
def test_kept_is_what_autograd_saves_however_its_inputs_lie(case: Case) -> None:
    op, _, modules = opened(case)
    if op.family is Family.BOXES:
        return
    for module in modules:
        for name, inputs in arranged(inputs_for(case, "float32"), True):
            found, outputs = saved(module.train(), inputs)
            said = op.kept(*map(lies, inputs), grads=(True,) * len(inputs))
            for number in said.inputs:
                assert found.pop(storage(inputs[number]), None) is not None, (name, number)
            for number in said.outputs:
                assert found.pop(storage(outputs[number]), None) is not None, (name, number)
            left = sum(x.untyped_storage().nbytes() for x in found.values())
            assert left == BATCH * said.own + said.fixed, name


@pytest.mark.parametrize("name", sorted(OPS))
def test_what_works_in_place_is_what_pytorch_lets(name: str) -> None:
    cls = OPS[name]
    if cls.family is not Family.ACTIVATION:
        assert not cls.inplace
        return
    case = next(case for case in CASES if case[0] == name)
    op, shapes, _ = opened(case)
    module = op.torch(*shapes).module
    assert module is not None
    kind = getattr(nn, module.function.removeprefix("nn."))
    assert cls.inplace == ("inplace" in inspect.signature(kind).parameters)
    if cls.inplace:
        keywords = {key: value for key, (value, _) in module.keywords.items()}
        x = torch.randn(2, 6, requires_grad=True) + 0
        found, _ = saved(kind(inplace=True, **keywords), [x])
        assert (storage(x) in found) == (cls.keeps_inplace is not None)
        assert len(found) == 1


# Work


COUNTED = {
    "exp", "exp2", "expm1", "log", "log2", "log1p", "tanh", "sqrt", "power", "cbrt",
    "float_power", "reciprocal", "logaddexp",
    "copysign",  # the error function ends with it
}  # fmt: skip


class Watched(np.ndarray):
    """An array that notes which functions are applied to it and what comes of it."""

    noted: set[str]

    def __array_ufunc__(
        self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = (), **kwargs: Any
    ) -> Any:
        quotient = ufunc.__name__ == "divide" and isinstance(inputs[1], Watched)
        if ufunc.__name__ in COUNTED or quotient:
            NOTED.add(ufunc.__name__)
        plain = [x.view(np.ndarray) if isinstance(x, Watched) else x for x in inputs]
        if out:
            kwargs["out"] = tuple(
                x.view(np.ndarray) if isinstance(x, Watched) else x for x in out
            )
        found = getattr(ufunc, method)(*plain, **kwargs)
        return found.view(Watched) if isinstance(found, np.ndarray) else found


NOTED: set[str] = set()


@each_case
def test_special_functions_are_those_that_numpy_runs(case: Case) -> None:
    op, shapes, _ = opened(case)
    if not all(np.prod(shape) for shape in shapes) or op.family is Family.BOXES:
        return
    NOTED.clear()
    arrays = [x.view(Watched) for x in inputs_for(case, "float64")]
    weights = {key: np.full(weight.shape, 0.5) for key, weight in op.weights(*shapes).items()}
    op.run(*arrays, **{k: v for k, v in weights.items() if k != "num_batches_tracked"})
    assert bool(op.special(*shapes)) == bool(NOTED), NOTED
    assert op.special(*shapes) <= sum(np.prod(shape) for shape in op.shapes(*shapes))


@each_case
def test_what_moves_gives_what_it_took(case: Case) -> None:
    op, shapes, _ = opened(case)
    inputs = inputs_for(case, "float64")
    weights = {key: np.full(w.shape, 0.5) for key, w in op.weights(*shapes).items()}
    outputs = outputs_of(op.run(*inputs, **weights))
    given = {0.0, *(float(v) for x in inputs for v in x.ravel())}
    if op.moves:
        number = len(op.discrete) and 2  # labels and validity are numbers of their own
        for y in outputs[: number or None]:
            assert {float(v) for v in y.ravel()} <= given
    elif op.family in (Family.RESHAPE, Family.CONCAT):
        raise AssertionError(f"`{op.name}` moves nothing, and is of the family of what does")


@each_case
def test_gradients_flow_through_what_is_not_discrete(case: Case) -> None:
    op, _, (module, *_) = opened(case)
    tensors = [leaf(x) for x in inputs_for(case, "float32")]
    outputs = outputs_of(module(*tensors))
    for name, y in zip(op.output_names(len(outputs)), outputs, strict=True):
        assert y.requires_grad == (name not in op.discrete)


@each_case
def test_counters_know_it_by_the_name_of_its_module(case: Case) -> None:
    op, shapes, _ = opened(case)
    module = op.torch(*shapes).module
    if module is not None and module.function.startswith("nn.") and op.known:
        assert module.function.rstrip("123d") == op.known[0].rstrip("123d")
    counted = (Family.CONV, Family.DEPTHWISE, Family.LINEAR, Family.POOL, Family.ACTIVATION)
    if module is not None and module.function.startswith("nn.") and op.family in counted:
        assert op.known


def test_only_a_choice_of_rows_may_be_empty() -> None:
    for name, arguments, shapes in CASES:
        op = made(name, arguments, *shapes)
        none_given = all(size for shape in shapes for size in shape)
        none_left = any(not size for shape in op.shapes(*shapes) for size in shape)
        assert not (none_given and none_left) or op.empty
    assert {name for name, cls in OPS.items() if cls.empty} >= {"topk", "nms", "rebatch"}


@pytest.mark.parametrize("name", sorted(OPS))
def test_no_operation_is_silent_about_its_gradient(name: str) -> None:
    cls = OPS[name]
    assert cls.keeps is not None or cls.saves is not Op.saves
    assert cls.reads is not Op.reads or cls.window is not Op.window


# Whole numbers


@each_case
def test_whole_numbers_are_taken_where_pytorch_takes_them(case: Case) -> None:
    op, _, modules = opened(case)
    inputs = inputs_for(case, "float32")
    index = op.name in ("gather", "max_unpool", "nms", "topk")
    alone = [{number} for number in range(len(inputs))]
    for chosen in [set(range(len(inputs))), *alone]:
        if not all(map(op.takes_whole, chosen)):
            continue
        given = [
            np.abs(x if index and n else 3 * x + 1).astype(np.int64) if n in chosen else x
            for n, x in enumerate(inputs)
        ]
        whole = op.gives_whole([n in chosen for n in range(len(inputs))])
        for module in modules:
            with torch.no_grad():
                found = outputs_of(module(*map(torch.from_numpy, given)))
            for name, one in zip(op.output_names(len(found)), found, strict=True):
                assert one.is_floating_point() != (name in op.integers or whole), name


def test_whole_numbers_do_not_reach_what_computes_with_real_ones() -> None:
    head = (
        "model M: (boxes[7, 4], scores[7, 3]) -> y { b, s, labels, v: topk(4) { boxes; scores }"
    )
    for step in ("bn", "linear(3)", "softmax(0)", "reshape(1, 4) -> conv(2, 3)", "neg -> gelu",
                 "mul(2) -> linear(2)", "add { skip; skip } -> softmax(0)"):  # fmt: skip
        with pytest.raises(ArchError, match=r"E401.*cannot take the whole numbers of"):
            loads(f"{head}\n  y: labels -> {step} }}")
    for step in ("div(1) -> linear(3)", "mul(0.5) -> bn", "add { skip; s } -> softmax(0)"):
        made = loads(f"{head}\n  y: labels -> {step} }}").to_torch().eval()
        assert made(torch.rand(2, 7, 4), torch.rand(2, 7, 3)).is_floating_point()
