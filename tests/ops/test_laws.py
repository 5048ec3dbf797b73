"""Laws: brute force, PyTorch, and formulas agree for all attributes."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F  # noqa: N812

from cnndsl.backends.numpy import kernels
from cnndsl.diagnostics import OpError
from cnndsl.ops.facts import Auto
from cnndsl.ops.shapes import window_size
from cnndsl.symbolic import Sym, axis, formula, symbol
from tests.ops.cases import made

small = settings(max_examples=150, deadline=None)
sizes = st.integers(1, 14)
steps = st.integers(1, 4)


def brute_force_windows(
    size: int, kernel: int, stride: int, pads: tuple[int, int], dilation: int, ceil: bool
) -> int:
    """Count the starts, one after another."""
    span, total = dilation * (kernel - 1) + 1, size + sum(pads)
    count = sum(start + span <= total for start in range(0, total, stride))
    start, end = count * stride, count * stride + span
    # One more, which reaches beyond the padding, if it starts before the padding's end.
    fits = (count - 1) * stride + span == total
    reaches = 0 < end - total < stride and start < size + pads[0]
    return count + (ceil and not fits and reaches)


@small
@given(sizes, steps, steps, st.integers(0, 3), st.integers(0, 3), steps, st.booleans())
def test_the_number_of_windows_is_that_of_brute_force(
    n: int, k: int, s: int, before: int, after: int, d: int, ceil: bool
) -> None:
    assume(2 * max(before, after) <= k)
    if not brute_force_windows(n, k, s, (before, after), d, ceil):
        with pytest.raises(OpError):
            window_size(n, k, s, (before, after), d, ceil)
        return
    count = window_size(n, k, s, (before, after), d, ceil)
    assert count == brute_force_windows(n, k, s, (before, after), d, ceil)


@pytest.mark.parametrize("ceil", [False, True])
def test_pools_accept_and_yield_what_torch_does(ceil: bool) -> None:
    for n, k, s, p, d in itertools.product(
        range(1, 11), range(1, 5), range(1, 4), range(3), (1, 2)
    ):
        arguments = {"kernel": k, "stride": s, "pad": p, "dilation": d, "ceil": ceil}
        x = torch.randn(1, 1, n, dtype=torch.float64)
        try:
            theirs = F.max_pool2d(x[:, :, None], (1, k), (1, s), (0, p), (1, d), ceil)[:, :, 0]
        except RuntimeError:
            theirs = None
        try:
            op = made("maxpool", arguments, (1, n))
            ours = op.shape((1, n))
        except OpError:
            ours = None
        assert (ours is None) == (theirs is None), (n, arguments)
        if ours is not None and theirs is not None:
            assert ours == theirs.shape[1:]
            np.testing.assert_array_equal(op.run(x.numpy()), theirs.numpy())


@small
@given(sizes, steps, steps, st.integers(0, 2), st.booleans(), st.booleans())
def test_mean_pools_divide_as_torch_does(
    n: int, k: int, s: int, p: int, ceil: bool, count: bool
) -> None:
    assume(2 * p <= k <= n + 2 * p)
    x = np.random.default_rng(0).normal(size=(1, 2, n, n + 1))
    arguments = {"kernel": k, "stride": s, "pad": p, "ceil": ceil, "count_include_pad": count}
    ours = made("avgpool", arguments, x.shape[1:]).run(x)
    theirs = F.avg_pool2d(torch.from_numpy(x), k, s, p, ceil, count)
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-12, atol=1e-12)


@small
@given(
    st.integers(1, 9), st.integers(1, 9), steps, steps, steps, st.integers(0, 2), steps,
    st.sampled_from([(1, 2, 3), (2, 4, 2), (3, 3, 6), (4, 4, 4)]), st.booleans(),
)  # fmt: skip
def test_convolutions_equal_torch_for_all_attributes(
    h: int, w: int, kh: int, kw: int, s: int, p: int, d: int, width: tuple[int, int, int],
    bias: bool,
) -> None:  # fmt: skip
    groups, c, out = width
    c = math.lcm(c, groups)
    out = math.lcm(out, groups)
    arguments: dict[str, object] = {
        "out": out, "kernel": (kh, kw), "stride": s, "pad": p, "dilation": d, "groups": groups,
        "bias": bias,
    }  # fmt: skip
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, c, h, w))
    weight = rng.normal(size=(out, c // groups, kh, kw))
    more = {"bias": rng.normal(size=out)} if bias else {}
    tensors = [torch.from_numpy(v) for v in (x, weight, *more.values())]
    try:
        theirs = F.conv2d(*tensors, stride=s, padding=p, dilation=d, groups=groups)
    except RuntimeError:
        with pytest.raises(OpError, match="does not fit"):
            made("conv", arguments, (c, h, w)).shape((c, h, w))
        return
    op = made("conv", arguments, (c, h, w))
    np.testing.assert_allclose(op.run(x, weight=weight, **more), theirs, rtol=1e-9, atol=1e-9)
    assert op.shape((c, h, w)) == tuple(theirs.shape[1:])
    assert op.macs((c, h, w)) == theirs[0].numel() * weight[0].size


@small
@given(
    st.integers(1, 6), st.integers(1, 6), steps, steps, st.integers(0, 2), st.integers(0, 3),
    steps, st.sampled_from([1, 2]),
)  # fmt: skip
def test_transposed_convolutions_equal_torch_for_all_attributes(
    h: int, w: int, k: int, s: int, p: int, extra: int, d: int, groups: int
) -> None:
    arguments: dict[str, object] = {
        "out": 4, "kernel": k, "stride": s, "pad": p, "output_pad": extra, "dilation": d,
        "groups": groups, "bias": False,
    }  # fmt: skip
    rng = np.random.default_rng(0)
    x, weight = rng.normal(size=(2, 2, h, w)), rng.normal(size=(2, 4 // groups, k, k))
    tensors = torch.from_numpy(x), torch.from_numpy(weight)
    try:
        theirs = F.conv_transpose2d(*tensors, None, s, p, extra, groups, d)
    except RuntimeError:
        with pytest.raises(OpError):
            made("deconv", arguments, (2, h, w)).shape((2, h, w))
        return
    op = made("deconv", arguments, (2, h, w))
    assert op.shape((2, h, w)) == tuple(theirs.shape[1:])
    np.testing.assert_allclose(op.run(x, weight=weight), theirs, rtol=1e-9, atol=1e-9)


def test_a_transposed_convolution_is_the_gradient_of_a_convolution() -> None:
    """⟨conv(x), y⟩ = ⟨x, deconv(y)⟩, with padding that differs by side."""
    rng = np.random.default_rng(0)
    shared = {"kernel": (3, 2), "stride": 2, "pad": (0, 1, 2, 1), "bias": False}
    forward = made("conv", {"out": 4, **shared}, (3, 8, 7))
    out = forward.shape((3, 8, 7))
    x, y = rng.normal(size=(1, 3, 8, 7)), rng.normal(size=(1, *out))
    weight = rng.normal(size=(4, 3, 3, 2))
    backward = made("deconv", {"out": 3, **shared}, out)
    z = backward.run(y, weight=weight)
    inside = x[:, :, : z.shape[2], : z.shape[3]]
    assert z.shape == inside.shape
    np.testing.assert_allclose((forward.run(x, weight=weight) * y).sum(), (x * z).sum())


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_a_transposed_convolution_of_tf_same_is_the_gradient_of_one(
    kernel: int, stride: int
) -> None:
    """⟨conv(x), y⟩ = ⟨x, deconv(y)⟩ on a map of stride · S, as TensorFlow defines it."""
    rng = np.random.default_rng(0)
    shared = {"kernel": kernel, "stride": stride, "pad": Auto.TF_SAME, "bias": False}
    x, y = rng.normal(size=(1, 3, 4 * stride)), rng.normal(size=(1, 2, 4))
    weight = rng.normal(size=(2, 3, kernel))
    forward = made("conv", {"out": 2, **shared}, x.shape[1:])
    z = made("deconv", {"out": 3, **shared}, y.shape[1:]).run(y, weight=weight)
    assert z.shape == x.shape
    np.testing.assert_allclose((forward.run(x, weight=weight) * y).sum(), (x * z).sum())


def test_a_convolution_is_the_sum_that_its_definition_writes() -> None:
    rng = np.random.default_rng(0)
    x, weight, bias = (
        rng.normal(size=(1, 4, 5, 6)),
        rng.normal(size=(6, 2, 2, 3)),
        np.arange(6.0),
    )
    arguments: dict[str, object] = {
        "out": 6, "kernel": (2, 3), "stride": (2, 1), "pad": (1, 2, 0, 1), "dilation": (1, 2),
        "groups": 2,
    }  # fmt: skip
    op = made("conv", arguments, (4, 5, 6))
    (k, h, w), padded = op.shape((4, 5, 6)), np.pad(x[0], ((0, 0), (0, 1), (1, 2)))
    expected, macs = np.zeros((1, k, h, w)), 0
    for o, i, j in np.ndindex(k, h, w):
        total = bias[o]
        for c, di, dj in np.ndindex(2, 2, 3):
            total += weight[o, c, di, dj] * padded[o // 3 * 2 + c, 2 * i + di, j + 2 * dj]
            macs += 1
        expected[0, o, i, j] = total
    np.testing.assert_allclose(op.run(x, weight=weight, bias=bias), expected)
    assert op.macs((4, 5, 6)) == macs


@pytest.mark.parametrize("n", [1, 2, 4, 5, 9])
def test_lrn_is_the_sum_that_its_definition_writes(n: int) -> None:
    x = np.random.default_rng(0).normal(size=(1, 6, 2))
    op = made("lrn", {"n": n, "alpha": 0.5, "beta": 0.75, "k": 2.0}, (6, 2))
    expected = np.zeros_like(x)
    for c, i in np.ndindex(6, 2):
        near = range(max(0, c - n // 2), min(6, c + (n - 1) // 2 + 1))
        total = sum(x[0, j, i] ** 2 for j in near)
        expected[0, c, i] = x[0, c, i] / (2.0 + 0.5 / n * total) ** 0.75
    np.testing.assert_allclose(op.run(x), expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("mode", ["nearest", "bilinear", "corners"])
def test_resizing_reads_the_positions_that_torch_reads(mode: str, dtype: type) -> None:
    corners = True if mode == "corners" else None
    linear = mode if mode == "nearest" else "linear"
    tolerance = 0 if mode == "nearest" else 1e-5 if dtype is np.float32 else 1e-12
    for n, m in itertools.product(range(1, 30), range(1, 30)):
        x = np.random.default_rng(n).normal(size=(1, 1, n)).astype(dtype)
        ours = kernels.resize(x, (m,), mode, bool(corners))
        theirs = F.interpolate(torch.from_numpy(x), m, mode=linear, align_corners=corners)
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=tolerance, atol=tolerance)
        assert ours.dtype == dtype


def test_the_error_function_is_exact_to_1e_12() -> None:
    x = np.concatenate([np.linspace(-8, 8, 4001), [-np.inf, np.inf, 0.0, 1e-300]])
    expected = np.array([math.erf(v) for v in x])
    np.testing.assert_allclose(kernels.erf(x), expected, rtol=0, atol=1e-12)
    assert kernels.erf(x.astype(np.float32)).dtype == np.float32


def test_mish_is_its_formula() -> None:
    x = np.linspace(-30, 30, 121)[None]
    wanted = [v * math.tanh(math.log1p(math.exp(v))) for v in x[0]]
    np.testing.assert_allclose(made("mish", {}, (121,)).run(x)[0], wanted, rtol=1e-12)


@pytest.mark.parametrize(
    "name", ["sigmoid", "silu", "mish", "gelu", "elu", "softmax", "hardswish", "tanh"]
)
def test_activations_of_large_numbers_stay_finite(name: str) -> None:
    x = np.array([[-1e4, -100, -0.0, 0.0, 100, 1e4]], np.float32)
    op = made(name, {"axis": 0} if name == "softmax" else {}, (6,))
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        assert np.isfinite(op.run(x)).all()


@small
@given(st.integers(8, 40), st.integers(8, 40), steps, steps, st.integers(0, 2), st.booleans())
def test_formulas_of_shapes_give_the_shape_of_every_other_size(
    h: int, other: int, k: int, s: int, p: int, ceil: bool
) -> None:
    assume(2 * p <= k)
    arguments = {"kernel": k, "stride": s, "pad": p, "ceil": ceil}
    height = axis("x", 1, h)
    (_, result, _) = made("maxpool", arguments, (3, h, 8)).shape((3, height, 8))
    (_, expected, _) = made("maxpool", arguments, (3, other, 8)).shape((3, other, 8))
    bindings = dict.fromkeys(formula(height).atoms(), other)
    assert formula(result).evaluate(bindings) == expected


SYMBOLIC = [
    ("conv", {"out": symbol("k", 8), "kernel": 3}, "k"),
    ("linear", {"out": symbol("k", 8)}, "k"),
    ("reshape", {"sizes": (symbol("k", 8), 4)}, "k"),
    ("split", {"sections": symbol("k", 2)}, "4 // k"),
    ("rearrange", {"pattern": "(g c) a b -> c (g a) b", "axes": (("g", symbol("k", 2)),)}, ""),
    ("crop", {"size": (symbol("k", 2), 2)}, ""),
    ("upsample", {"factor": symbol("k", 2)}, ""),
    ("concat", {}, "2 * k"),
]


@pytest.mark.parametrize(("name", "arguments", "expected"), SYMBOLIC)
def test_sizes_carry_their_formulas(
    name: str, arguments: dict[str, object], expected: str
) -> None:
    shapes = {
        "linear": [(4,)], "concat": [(symbol("k", 4), 2, 2)] * 2, "reshape": [(4, 8)]
    }.get(name, [(4, 4, 4)])  # fmt: skip
    shape = made(name, arguments, *shapes).shape(*shapes)
    assert any(isinstance(n, Sym) for n in shape)
    assert not expected or str(formula(shape[0])) == expected
