"""Every operation answers every question, and NumPy and PyTorch agree on it."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from cnndsl.ops import OPS, Family, Window
from tests.ops.cases import CASES, Case, identifier, made
from tests.ops.torch_text import forms, state

each_case = pytest.mark.parametrize("case", CASES, ids=identifier)


def arrays_for(
    shapes: tuple[tuple[int, ...], ...], dtype: str, batch: int = 2, seed: int = 0
) -> list:
    rng = np.random.default_rng(seed)
    return [2 * rng.normal(size=(batch, *shape)).astype(dtype) for shape in shapes]


def inputs_for(case: Case, dtype: str, seed: int = 0) -> list:
    """Random inputs that the operation takes.

    An index is within its axis, boxes have their corners in order, and what has a root or a
    logarithm is positive.
    """
    name, arguments, shapes = case
    arrays = arrays_for(shapes, dtype, seed=seed)
    if name in ("sqrt", "log", "pow"):
        arrays = [np.abs(x) for x in arrays]
    if name == "gather":
        size = shapes[0][int(str(arguments["axis"]))]
        arrays[1] = np.abs(arrays[1] * 10) // 1 % size
    if name == "max_unpool":
        whole = made(name, arguments, *shapes).shape(*shapes)
        given = {k: v for k, v in arguments.items() if k in ("kernel", "stride", "pad")}
        pool = made("maxpool_indices", given, whole)
        found = pool.run(np.random.default_rng(seed).normal(size=(2, *whole)))
        assert found[1].shape == arrays[1].shape
        arrays[1] = found[1]
    if name == "grid_sample":
        arrays[1] = 1.2 * np.tanh(arrays[1] / 2)
    if name in ("nms", "roi_align"):
        low, high = arrays[0][..., :2], np.abs(arrays[0][..., 2:])
        arrays[0] = np.concatenate([low, low + high], -1)
    if name in ("nms", "topk") and len(arrays) == 3:
        arrays[2] = np.abs(arrays[2]) // 1
    return arrays


def outputs_of(result: object) -> tuple:
    return tuple(result) if isinstance(result, tuple | list) else (result,)


def test_every_operation_has_a_case() -> None:
    assert {name for name, _, _ in CASES} == set(OPS) - {"input"}


@each_case
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-9), ("float32", 3e-5)])
def test_numpy_equals_torch_in_value_shape_and_type(
    case: Case, dtype: str, tolerance: float
) -> None:
    name, arguments, shapes = case
    op = made(name, arguments, *shapes)
    inputs = inputs_for(case, dtype)
    rng = np.random.default_rng(1)
    weights = {
        key: value.astype(dtype) if value.dtype.kind == "f" else value
        for key, value in state(op, shapes, rng).items()
    }
    floats = {key: value for key, value in weights.items() if value.dtype.kind == "f"}
    before = [x.copy() for x in inputs]
    ours = outputs_of(op.run(*inputs, **floats))
    for x, y in zip(before, inputs, strict=True):
        np.testing.assert_array_equal(x, y, err_msg="an input was written to")
    assert tuple(y.shape[1:] for y in ours) == op.shapes(*shapes)
    assert all(y.dtype in (dtype, np.int64) for y in ours)
    for module in forms(op, shapes):
        if hasattr(module, "layer"):
            module.to(getattr(torch, dtype))
            tensors = {key: torch.from_numpy(value) for key, value in weights.items()}
            module.layer.load_state_dict(tensors, strict=True)
        with torch.no_grad():
            theirs = outputs_of(module(*map(torch.from_numpy, inputs)))
        assert len(ours) == len(theirs)
        for y, z in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(y, z.numpy(), rtol=tolerance, atol=tolerance)


@each_case
def test_weights_are_the_modules_state_dict_in_order(case: Case) -> None:
    name, arguments, shapes = case
    op = made(name, arguments, *shapes)
    weights = op.weights(*shapes)
    (module, *_) = forms(op, shapes)
    found = {key.removeprefix("layer."): v for key, v in module.state_dict().items()}
    assert {key: w.shape for key, w in weights.items()} == {
        key: tuple(value.shape) for key, value in found.items()
    }
    assert list(weights) == list(found)
    trained = {key.removeprefix("layer.") for key, _ in module.named_parameters()}
    assert {key for key, w in weights.items() if w.trainable} == trained
    assert sum(w.size for w in weights.values() if w.trainable) == sum(
        p.numel() for p in module.parameters()
    )
    integers = {key for key, value in found.items() if not value.is_floating_point()}
    assert {key for key, w in weights.items() if w.integer} == integers


@each_case
def test_macs_are_half_of_what_torch_counts(case: Case) -> None:
    name, arguments, shapes = case
    if name == "involve":
        pytest.skip("it multiplies elementwise, which PyTorch does not count")
    op = made(name, arguments, *shapes)
    (module, *_) = forms(op, shapes)
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):  # the others go uncounted
        module(*(torch.from_numpy(x[:1]) for x in inputs_for(case, "float32")))
    assert 2 * op.macs(*shapes) == counter.get_total_flops()


@each_case
def test_windows_have_an_entry_for_each_spatial_axis(case: Case) -> None:
    name, arguments, shapes = case
    window = made(name, arguments, *shapes).window(*shapes)
    if window is None or window.whole:
        return
    assert isinstance(window, Window)
    rank = len(shapes[0]) - 1
    columns = (window.kernel, window.stride, window.padding, window.dilation)
    assert [len(column) for column in columns] == [rank] * 4


@each_case
def test_figures_have_a_short_line(case: Case) -> None:
    name, arguments, shapes = case
    op = made(name, arguments, *shapes)
    assert op.figure()
    assert "\n" not in op.figure()
    assert isinstance(op.family, Family)


@pytest.mark.parametrize("name", sorted(OPS))
def test_every_docstring_gives_shapes_and_its_source(name: str) -> None:
    doc = OPS[name].__doc__ or ""
    assert doc
    assert name in ("input", "einsum", "rearrange") or "→" in doc.splitlines()[0]
    assert name == "input" or "Source: " in doc


def test_an_input_has_the_shape_it_was_given() -> None:
    op = made("input", {"sizes": (3, 8, 8)})
    assert (op.shape(), op.macs(), op.weights()) == ((3, 8, 8), 0, {})


@pytest.mark.parametrize("batch", [0, 1, 5])
@pytest.mark.parametrize("name", ["conv", "dwconv", "deconv", "maxpool", "gap", "flatten"])
def test_any_batch_runs(name: str, batch: int) -> None:
    case = next(case for case in CASES if case[0] == name)
    op = made(name, case[1], *case[2])
    (x,) = arrays_for(case[2], "float32", batch)
    rng = np.random.default_rng(1)
    weights = {k: v.astype("float32") for k, v in state(op, case[2], rng).items()}
    assert op.run(x, **weights).shape == (batch, *op.shape(*case[2]))


def test_helpers_are_formatted_and_lint_clean() -> None:
    texts = [made(n, a, *s).torch(*s).helper.strip("\n") for n, a, s in CASES]
    # A file holds each definition once, what it needs before it.
    helpers = dict.fromkeys(part for text in texts for part in text.split("\n\n\n") if text)
    source = '"""Helpers."""\n\nfrom collections.abc import Callable, Sequence\n'
    source += "from functools import cache\nfrom importlib import import_module\n\n"
    source += "import torch\nfrom torch import Tensor, library, nn\n"
    source += "from torch.nn import functional as F\n"
    source += "".join(f"\n\n{helper}\n" for helper in helpers)
    for command in (["format", "--check"], ["check", "--select", "E,F,W,I,B,UP", "--isolated"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--line-length", "88", "-"]
        done = subprocess.run(ruff, input=source, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_interpreter_and_the_operations_do_not_import_torch() -> None:
    imports = "import sys, cnndsl.ops, cnndsl.backends.numpy.interpreter"
    code = f"{imports}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
