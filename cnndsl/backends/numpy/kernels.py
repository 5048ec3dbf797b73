"""What every operation computes, in plain array maths.

Arrays are `(N, C, *S)`, of float32 or float64, and the result has the input's type. No
loop runs over samples' elements: only over samples, groups and the kernel's taps.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

Array = npt.NDArray[Any]
Size = tuple[int, ...]
Pads = tuple[tuple[int, int], ...]


# ── Windows ──────────────────────────────────────────────────────────────────────────


def pad(x: Array, pads: Pads, value: float = 0.0) -> Array:
    """A constant around the spatial axes.  (N, C, *S) → (N, C, *S + before + after)."""
    if not any(map(any, pads)):
        return x
    return np.pad(x, ((0, 0), (0, 0), *pads), constant_values=value)


FILLINGS = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}
"""PyTorch's words for what stands beyond a border, and NumPy's."""


def fill(x: Array, pads: Pads, mode: str) -> Array:
    """The input again around the spatial axes.  (N, C, *S) → (N, C, *S + before + after)."""
    filled: Array = np.pad(x, ((0, 0), (0, 0), *pads), FILLINGS[mode])  # type: ignore[call-overload]
    return filled


def windows(x: Array, kernel: Size, stride: Size, dilation: Size) -> Array:
    """Every window, as a view.  (N, C, *S) → (N, C, *S′, *kernel)."""
    spans = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))
    view = sliding_window_view(x, spans, axis=tuple(range(2, x.ndim)))
    starts = tuple(slice(None, None, s) for s in stride)
    taps = tuple(slice(None, None, d) for d in dilation)
    strided: Array = view[:, :, *starts, *taps]
    return strided


def taps(
    kernel: Size, out: Size, stride: Size, dilation: Size
) -> Iterator[tuple[Size, tuple[slice | Any, ...]]]:
    """Each tap of a kernel, with the index of what it sees in all windows at once."""
    for tap in np.ndindex(*kernel):
        axes = zip(tap, out, stride, dilation, strict=True)
        seen = (slice(t * d, t * d + s * (n - 1) + 1, s) for t, n, s, d in axes)
        yield tap, (..., *seen)


# ── Convolutions ─────────────────────────────────────────────────────────────────────


def conv(
    x: Array,
    weight: Array,
    bias: Array | None,
    *,
    stride: Size,
    pads: Pads,
    dilation: Size,
    groups: int,
) -> Array:
    """Cross-correlation.  (N, C, *S), (K, C / groups, *kernel) → (N, K, *S′)."""
    x = pad(x, pads)
    kernel = weight.shape[2:]
    view = windows(x, kernel, stride, dilation)
    out = view.shape[2 : x.ndim]
    if groups > 1 and weight.shape[1] == 1:
        y = _depthwise(x, weight, out, stride, dilation)
    else:
        y = _im2col(view, weight, out, groups)
    return y if bias is None else y + channelwise(bias, y.ndim)


def _im2col(view: Array, weight: Array, out: Size, groups: int) -> Array:
    """A matrix product for each sample and group.  view: (N, C, *S′, *kernel)."""
    n, c = view.shape[:2]
    rank = len(out)
    k = weight.shape[0]
    rows = weight.reshape(groups, k // groups, -1)
    y = np.empty((n, groups, k // groups, math.prod(out)), view.dtype)
    # One sample at a time: the columns are ∏kernel times as large as the input.
    for sample, windows_ in zip(y, view, strict=True):
        columns = np.moveaxis(windows_, range(1 + rank, 1 + 2 * rank), range(1, 1 + rank))
        size = c // groups * math.prod(weight.shape[2:])
        np.matmul(rows, columns.reshape(groups, size, math.prod(out)), out=sample)
    return y.reshape(n, k, *out)


def _depthwise(x: Array, weight: Array, out: Size, stride: Size, dilation: Size) -> Array:
    """One multiply-add of whole maps for each tap of the kernel."""
    n, c = x.shape[:2]
    x = np.repeat(x, weight.shape[0] // c, axis=1) if weight.shape[0] > c else x
    y = np.zeros((n, weight.shape[0], *out), x.dtype)
    for tap, seen in taps(weight.shape[2:], out, stride, dilation):
        index: tuple[Any, ...] = (..., *tap)
        y += x[seen] * channelwise(weight[index], x.ndim)
    return y


def deconv(
    x: Array,
    weight: Array,
    bias: Array | None,
    *,
    stride: Size,
    pads: Pads,
    extra: Size,
    dilation: Size,
    groups: int,
) -> Array:
    """Transposed convolution.  (N, C, *S), (C, K / groups, *kernel) → (N, K, *S′)."""
    n, c, *size = x.shape
    per_group, *kernel = weight.shape[1:]
    rows = weight.reshape(groups, c // groups, -1).swapaxes(1, 2)
    columns = np.matmul(rows, x.reshape(n, groups, c // groups, math.prod(size)))
    columns = columns.reshape(n, groups * per_group, *kernel, *size)
    axes = list(zip(size, stride, kernel, dilation, extra, strict=True))
    full = tuple((m - 1) * s + d * (k - 1) + 1 + e for m, s, k, d, e in axes)
    y = np.zeros((n, groups * per_group, *full), x.dtype)
    for tap, seen in taps(tuple(kernel), tuple(size), stride, dilation):
        y[seen] += columns[:, :, *tap]
    inner = (slice(before, m - after) for m, (before, after) in zip(full, pads, strict=True))
    y = y[:, :, *inner]
    return y if bias is None else y + channelwise(bias, y.ndim)


def linear(x: Array, weight: Array, bias: Array | None) -> Array:
    """Over the last axis.  (N, *L, F), (K, F) → (N, *L, K)."""
    y: Array = x @ weight.T
    return y if bias is None else y + bias


# ── Pooling ──────────────────────────────────────────────────────────────────────────


def max_pool(
    x: Array, kernel: Size, out: Size, *, stride: Size, pads: Pads, dilation: Size
) -> Array:
    """Maximum of each window.  (N, C, *S) → (N, C, *out)."""
    x = pad(x, _reach(x.shape[2:], kernel, out, stride, pads, dilation), -math.inf)
    y = np.full((*x.shape[:2], *out), -math.inf, x.dtype)
    for _, seen in taps(kernel, out, stride, dilation):
        np.maximum(y, x[seen], out=y)
    return y


def max_places(
    x: Array, kernel: Size, out: Size, *, stride: Size, pads: Pads, dilation: Size
) -> tuple[Array, Array]:
    """The maximum of each window, and its place in the flattened map, the first of equals."""
    size = x.shape[2:]
    padded = pad(x, _reach(size, kernel, out, stride, pads, dilation), -math.inf)
    y = np.full((*x.shape[:2], *out), -math.inf, x.dtype)
    places = np.zeros(y.shape, np.int64)
    for tap, seen in taps(kernel, out, stride, dilation):
        place = np.zeros((1,) * len(out), np.int64)
        for axis, n in enumerate(size):
            along = np.arange(out[axis]) * stride[axis] - pads[axis][0]
            along = along + tap[axis] * dilation[axis]
            place = place * n + along.reshape(-1, *(1,) * (len(size) - axis - 1))
        better = (padded[seen] > y) | np.isnan(padded[seen])
        places = np.where(better, place, places)
        y = np.where(better, padded[seen], y)
    return y, places


def max_unpool(x: Array, places: Array, size: Size) -> Array:
    """Each value at its place, zeros elsewhere.  (N, C, *S) → (N, C, *size)."""
    y = np.zeros((*x.shape[:2], math.prod(size)), x.dtype)
    flat = (*x.shape[:2], math.prod(x.shape[2:]))
    np.put_along_axis(y, places.reshape(flat).astype(np.int64), x.reshape(flat), 2)
    return y.reshape(*x.shape[:2], *size)


def avg_pool(
    x: Array, kernel: Size, out: Size, *, stride: Size, pads: Pads, count_include_pad: bool
) -> Array:
    """Mean of each window.  (N, C, *S) → (N, C, *out).

    What a window reaches beyond the padding never counts.
    """
    ones = (1,) * len(kernel)
    size = x.shape[2:]
    reach = _reach(size, kernel, out, stride, pads, ones)
    x = pad(x, reach)
    y = np.zeros((*x.shape[:2], *out), x.dtype)
    for _, seen in taps(kernel, out, stride, ones):
        y += x[seen]
    for axis, n in enumerate(size):
        before, after = pads[axis] if count_include_pad else (0, 0)
        start = np.arange(out[axis]) * stride[axis] - pads[axis][0]
        end = np.minimum(start + kernel[axis], n + after)
        count = end - np.maximum(start, -before)
        y /= count.reshape(-1, *ones[axis + 1 :]).astype(y.dtype)
    return y


def adaptive(x: Array, size: Size, reduce: str) -> Array:
    """Bins of about equal size, reduced axis by axis.  (N, C, *S) → (N, C, *size)."""
    for axis, m in enumerate(map(int, size), start=2):
        n = x.shape[axis]
        bins = [range(i * n // m, -(-(i + 1) * n // m)) for i in range(m)]
        parts = [getattr(x.take(one, axis), reduce)(axis) for one in bins]
        x = np.stack(parts, axis)
    return x


def _reach(
    size: Size, kernel: Size, out: Size, stride: Size, pads: Pads, dilation: Size
) -> Pads:
    """The padding, as far as the last window reaches (rounding up reaches further)."""
    reach = []
    axes = zip(size, kernel, out, stride, pads, dilation, strict=True)
    for n, k, m, s, (before, after), d in axes:
        beyond = (m - 1) * s + d * (k - 1) + 1 - n - before
        reach.append((before, max(after, beyond)))
    return tuple(reach)


# ── Resizing ─────────────────────────────────────────────────────────────────────────


def resize(
    x: Array, size: Size, mode: str, align_corners: bool, factors: tuple[float, ...] = ()
) -> Array:
    """Interpolation, one axis after another.  (N, C, *S) → (N, C, *size).

    With `factors` the distance of two samples is 1 / factor, else that of the sizes.
    """
    for axis, m in enumerate(size, start=2):
        n = x.shape[axis]
        step = 1 / float(factors[axis - 2]) if factors else n / m
        if mode == "nearest":
            x = x.take(nearest(n, m, x.dtype, step if factors else None), axis)
            continue
        at = np.arange(m).astype(x.dtype)
        if align_corners:
            source = at * x.dtype.type((n - 1) / (m - 1) if m > 1 else 0.0)
        else:
            source = (at + 0.5) * x.dtype.type(step) - 0.5
        x = (_cubic if mode == "bicubic" else _lerp)(x, axis, source)
    return x


def nearest(n: int, m: int, dtype: np.dtype[Any], step: float | None = None) -> Array:
    """For each of m positions, its source among n: ⌊i · (n / m)⌋.

    Rounded in the type of the input, as in PyTorch.
    """
    distance = dtype.type(n) / dtype.type(m) if step is None else dtype.type(step)
    source = np.arange(m).astype(dtype) * distance
    index: Array = np.minimum(source.astype(np.int64), n - 1)
    return index


def _lerp(x: Array, axis: int, source: Array) -> Array:
    n, source = x.shape[axis], np.maximum(source, 0)
    left = np.minimum(source.astype(np.int64), n - 1)
    right = np.minimum(left + 1, n - 1)
    part = (source - left.astype(x.dtype)).reshape(-1, *(1,) * (x.ndim - axis - 1))
    y: Array = x.take(left, axis) * (1 - part) + x.take(right, axis) * part
    return y


def _cubic(x: Array, axis: int, source: Array) -> Array:
    """Keys' kernel with a = −0.75 over four positions, the border repeated."""
    n, a, left = x.shape[axis], -0.75, np.floor(source)
    y = np.zeros((*x.shape[:axis], len(source), *x.shape[axis + 1 :]), x.dtype)
    for tap in range(-1, 3):
        d = np.abs(source - left - tap)
        inner = ((a + 2) * d - (a + 3)) * d * d + 1
        outer = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
        weight = np.where(d <= 1, inner, outer).astype(x.dtype)
        place = np.clip(left.astype(np.int64) + tap, 0, n - 1)
        y += x.take(place, axis) * weight.reshape(-1, *(1,) * (x.ndim - axis - 1))
    return y


# ── Normalisation ────────────────────────────────────────────────────────────────────


def channelwise(v: Array, rank: int) -> Array:
    """A vector over the channels, to be broadcast.  (C,) → (C, 1, …)."""
    return v.reshape(-1, *(1,) * (rank - 2))


def batch_norm(
    x: Array, mean: Array, var: Array, weight: Array | None, bias: Array | None, eps: float
) -> Array:
    """With given statistics.  (N, C, *S) → (N, C, *S)."""
    scale = 1 / np.sqrt(var + eps)
    if weight is not None:
        scale = scale * weight
    shift = -mean * scale if bias is None else bias - mean * scale
    y: Array = x * channelwise(scale, x.ndim) + channelwise(shift, x.ndim)
    return y


def group_norm(
    x: Array, groups: int, weight: Array | None, bias: Array | None, eps: float
) -> Array:
    """Over each group of channels and all positions.  (N, C, *S) → (N, C, *S)."""
    split = x.reshape(x.shape[0], groups, math.prod(x.shape[1:]) // groups)
    return _affine(_standardised(split, 2, eps).reshape(x.shape), weight, bias)


def layer_norm(x: Array, weight: Array | None, bias: Array | None, eps: float) -> Array:
    """Over the channels of each position.  (N, C, *S) → (N, C, *S)."""
    return _affine(_standardised(x, 1, eps), weight, bias)


def _affine(x: Array, weight: Array | None, bias: Array | None) -> Array:
    y = x if weight is None else x * channelwise(weight, x.ndim)
    return y if bias is None else y + channelwise(bias, x.ndim)


def _standardised(x: Array, axis: int, eps: float) -> Array:
    centred = x - x.mean(axis, keepdims=True)
    var = np.square(centred).mean(axis, keepdims=True)
    y: Array = centred / np.sqrt(var + eps)
    return y


def lrn(x: Array, n: int, alpha: float, beta: float, k: float) -> Array:
    """Over n neighbouring channels, n // 2 of them before.  (N, C, *S) → (N, C, *S)."""
    squares, c = np.square(x), x.shape[1]
    total = np.zeros_like(x)
    for shift in range(-(n // 2), (n - 1) // 2 + 1):
        start, end = max(0, -shift), min(c, c - shift)
        if start < end:
            total[:, start:end] += squares[:, start + shift : end + shift]
    y: Array = x / (total * (alpha / n) + k) ** beta
    return y


def l2norm(x: Array, axis: int, eps: float) -> Array:
    """By the norm along an axis, `x / max(‖x‖₂, eps)`."""
    norm = np.sqrt(np.square(x).sum(axis, keepdims=True))
    y: Array = x / np.maximum(norm, x.dtype.type(eps))
    return y


# ── Activations ──────────────────────────────────────────────────────────────────────


def relu(x: Array) -> Array:
    """max(x, 0)."""
    return np.maximum(x, 0)


def relu6(x: Array) -> Array:
    """min(max(x, 0), 6)."""
    return np.clip(x, 0, 6)


def leaky(x: Array, slope: float) -> Array:
    """The input where positive, `slope · x` elsewhere."""
    return np.where(x > 0, x, x * float(slope))


def elu(x: Array, alpha: float) -> Array:
    """The input where positive, `alpha · (eˣ − 1)` elsewhere."""
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)) * float(alpha))


def sigmoid(x: Array) -> Array:
    """1 / (1 + e⁻ˣ), where no exponential overflows."""
    y: Array = np.exp(-np.logaddexp(0, -x))
    return y


def tanh(x: Array) -> Array:
    """Hyperbolic tangent."""
    y: Array = np.tanh(x)
    return y


def hardsigmoid(x: Array) -> Array:
    """min(max(x + 3, 0), 6) / 6."""
    return relu6(x + 3) / 6


def hardswish(x: Array) -> Array:
    """`x · hardsigmoid(x)`."""
    return x * hardsigmoid(x)


def silu(x: Array) -> Array:
    """`x · sigmoid(x)`."""
    return x * sigmoid(x)


def gelu(x: Array, approximate: str) -> Array:
    """`x · Φ(x)`, with the error function or the hyperbolic tangent."""
    if approximate == "tanh":
        bent = np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x))
    else:
        bent = erf(x * math.sqrt(0.5))
    y: Array = x * 0.5 * (1 + bent)
    return y


SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805


def selu(x: Array) -> Array:
    """An `elu` whose fixed point is mean 0 and variance 1."""
    y: Array = elu(x, SELU_ALPHA) * SELU_SCALE
    return y


def celu(x: Array, alpha: float) -> Array:
    """`max(0, x) + min(0, α (exp(x / α) − 1))`."""
    y: Array = np.maximum(x, 0) + float(alpha) * np.expm1(np.minimum(x, 0) / float(alpha))
    return y


def softplus(x: Array, beta: float, threshold: float) -> Array:
    """`log(1 + exp(β x)) / β`."""
    scaled = x * float(beta)
    return np.where(scaled > threshold, x, np.logaddexp(0, scaled) / float(beta))


def prelu(x: Array, weight: Array) -> Array:
    """The input where positive, `weight · x` elsewhere."""
    return np.where(x > 0, x, x * channelwise(weight, x.ndim))


def mish(x: Array) -> Array:
    """`x · tanh(log(1 + eˣ))`."""
    y: Array = x * np.tanh(np.logaddexp(0, x))
    return y


def softmax(x: Array, axis: int) -> Array:
    """eˣ by its sum along an axis."""
    largest = x.max(axis, keepdims=True) if x.size else 0  # of nothing there is none
    exponentials = np.exp(x - largest)
    y: Array = exponentials / exponentials.sum(axis, keepdims=True)
    return y


def log_softmax(x: Array, axis: int) -> Array:
    """x, less the logarithm of the sum of eˣ along an axis."""
    shifted = x - (x.max(axis, keepdims=True) if x.size else 0)
    y: Array = shifted - np.log(np.exp(shifted).sum(axis, keepdims=True))
    return y


_ERF_END = 6.0
"""1 − erf(6) is less than the distance of two doubles at 1."""
_ERF = np.polynomial.Chebyshev.interpolate(np.vectorize(math.erf), 48, (0.0, _ERF_END))


def erf(x: Array) -> Array:
    """The error function, to 1e-13: its Chebyshev interpolant, in float64."""
    size = np.minimum(np.abs(x.astype(np.float64)), _ERF_END)
    y: Array = np.copysign(_ERF(size), x).astype(x.dtype)
    return y
