"""Feature maps read between their pixels, and kernels that differ from place to place."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from cnndsl.backends.numpy.kernels import Pads, Size, pad, windows

Array = npt.NDArray[Any]


def bilinear(x: Array, y: Array, x_at: Array, valid: Array) -> Array:
    """Values at points; what is outside or not valid is 0.  (C, H, W), (*P) → (C, *P)."""
    height, width = x.shape[1:]
    top, left = np.floor(y), np.floor(x_at)
    total = np.zeros((x.shape[0], *y.shape), x.dtype)
    for dy in (0, 1):
        for dx in (0, 1):
            row, column = top + dy, left + dx
            weight = (1 - abs(y - row)) * (1 - abs(x_at - column)) * valid
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            rows = np.where(inside, row, 0).astype(np.int64)
            columns = np.where(inside, column, 0).astype(np.int64)
            total += x[:, rows, columns] * np.where(inside, weight, 0).astype(x.dtype)
    return total


def roi_align(
    boxes: Array,
    levels: tuple[Array, ...],
    *,
    size: Size,
    strides: tuple[int, ...],
    sampling_ratio: int,
    canonical_scale: int,
    canonical_level: int,
) -> Array:
    """Means of bilinear samples in the bins of each box.  (B, N, 4) → (B, N, C, h, w)."""
    batch, count = boxes.shape[:2]
    level = roi_levels(boxes, strides, canonical_scale, canonical_level)
    out = np.zeros((batch, count, levels[0].shape[1], *size), boxes.dtype)
    for number, (features, stride) in enumerate(zip(levels, strides, strict=True)):
        for image, row in zip(*np.nonzero(level == number), strict=True):
            box = boxes[image, row] / boxes.dtype.type(stride)
            points = _points(box, size, sampling_ratio)
            out[image, row] = _bins(features[image], points, size, sampling_ratio)
    return out


def roi_levels(boxes: Array, strides: tuple[int, ...], scale: int, level: int) -> Array:
    """Which feature map each box is read from: ⌊level + log₂(√area / scale)⌋, held in range.

    Source: Lin et al. 2016, arXiv:1612.03144, equation 1.
    """
    area = np.maximum((boxes[..., 2:] - boxes[..., :2]).prod(-1), 0)
    with np.errstate(divide="ignore"):
        wanted = np.floor(level + np.log2(np.sqrt(area) / scale) + 1e-6)
    first = round(math.log2(strides[0]))
    held: Array = np.clip(wanted, first, first + len(strides) - 1) - first
    return held.astype(np.int64)


def _points(box: Array, size: Size, ratio: int) -> tuple[Array, Array]:
    """Where the samples of a box lie along both axes, `ratio` in each bin."""
    found = []
    for axis, bins in ((1, size[0]), (0, size[1])):
        extent = max(box[2 + axis] - box[axis], box.dtype.type(1))
        step = extent / bins
        within = (np.arange(ratio) + 0.5).astype(box.dtype) * (step / ratio)
        starts = box[axis] + np.arange(bins).astype(box.dtype) * step
        found.append((starts[:, None] + within).reshape(-1))
    return found[0], found[1]


def _bins(x: Array, points: tuple[Array, Array], size: Size, ratio: int) -> Array:
    """Samples up to a pixel outside take the border's value; those beyond are 0."""
    y, x_at = np.meshgrid(*points, indexing="ij")
    height, width = x.shape[1:]
    valid = (y >= -1) & (y <= height) & (x_at >= -1) & (x_at <= width)
    y, x_at = np.clip(y, 0, height - 1), np.clip(x_at, 0, width - 1)
    samples = bilinear(x, y, x_at, valid)
    mean: Array = samples.reshape(len(x), size[0], ratio, size[1], ratio).mean((2, 4))
    return mean


def deform_conv(
    x: Array,
    offset: Array,
    mask: Array | None,
    weight: Array,
    bias: Array | None,
    *,
    stride: Size,
    pads: Pads,
    dilation: Size,
    groups: int,
) -> Array:
    """Cross-correlation whose taps are moved.  (B, C, H, W), … → (B, K, H′, W′)."""
    batch, channels = x.shape[:2]
    kernel, out = weight.shape[2:], offset.shape[2:]
    taps = math.prod(kernel)
    moved = offset.reshape(batch, -1, taps, 2, *out)
    shares = moved.shape[1]
    axes = []
    for axis in (0, 1):
        start = np.arange(out[axis]) * stride[axis] - pads[axis][0]
        place = start[None] + dilation[axis] * np.arange(kernel[axis])[:, None]
        axes.append(place)
    y = np.broadcast_to(axes[0][:, None, :, None], (*kernel, *out)).reshape(taps, *out)
    x_at = np.broadcast_to(axes[1][None, :, None, :], (*kernel, *out)).reshape(taps, *out)
    columns = np.empty((batch, channels, taps, *out), x.dtype)
    part = channels // shares
    for image in range(batch):
        for share in range(shares):
            own = slice(share * part, (share + 1) * part)
            points = (y + moved[image, share, :, 0], x_at + moved[image, share, :, 1])
            read = bilinear(x[image, own], *points, np.array(True))
            columns[image, own] = read
    if mask is not None:
        columns *= np.repeat(mask.reshape(batch, shares, taps, *out), part, 1)
    rows = weight.reshape(groups, len(weight) // groups, -1)
    product = np.matmul(rows, columns.reshape(batch, groups, rows.shape[2], math.prod(out)))
    result: Array = product.reshape(batch, len(weight), *out)
    return result if bias is None else result + bias.reshape(-1, 1, 1)


def involve(x: Array, kernel: Array, *, size: Size, stride: Size, pads: Pads) -> Array:
    """Each place's own kernel over its window.  (B, C, H, W), … → (B, C, H′, W′)."""
    view = windows(pad(x, pads), size, stride, (1,) * len(size))
    batch, channels = x.shape[:2]
    out = kernel.shape[2:]
    groups = kernel.shape[1] // math.prod(size)
    kernels = kernel.reshape(batch, groups, *size, *out)
    view = view.reshape(batch, groups, channels // groups, *out, *size)
    text = "ngchwuv,nguvhw->ngchw"
    result: Array = np.einsum(text, view, kernels)
    return result.reshape(batch, channels, *out)


def reorg(x: Array, stride: int) -> Array:
    """Darknet's own order of pixels in channels.  (B, C, H, W) → (B, s²·C, H / s, W / s)."""
    batch, c, h, w = x.shape
    cells = x.reshape(batch, c // stride**2, h, stride, w, stride)
    return cells.transpose(0, 3, 5, 1, 2, 4).reshape(
        batch, c * stride**2, h // stride, w // stride
    )


def affine_grid(theta: Array, size: Size, align_corners: bool) -> Array:
    """The map of each pixel's (x, y, 1).  (N, 2, 3) → (N, H, W, 2)."""
    sides = []
    for n in map(int, size):
        place = np.linspace(-1, 1, n) if n > 1 else np.zeros(1)
        sides.append(place if align_corners else place * ((n - 1) / n))
    y, x = np.meshgrid(*sides, indexing="ij")
    base = np.stack([x, y, np.ones_like(x)], -1).astype(theta.dtype)
    grid: Array = np.einsum("hwk,nck->nhwc", base, theta)
    return grid


def grid_sample(x: Array, grid: Array, mode: str, pad_mode: str, align_corners: bool) -> Array:
    """A map where a grid says.  (N, C, H, W), (N, h, w, 2) → (N, C, h, w)."""
    places = []
    for axis, n in ((1, x.shape[2]), (0, x.shape[3])):
        at = grid[..., axis]
        place = (at + 1) / 2 * (n - 1) if align_corners else ((at + 1) * n - 1) / 2
        if pad_mode == "reflection":
            low, high = (0.0, n - 1.0) if align_corners else (-0.5, n - 0.5)
            place = _mirrored(place, low, high)
        places.append(place if pad_mode == "zeros" else np.clip(place, 0, n - 1))
    y, columns = places
    if mode == "nearest":
        return _read(x, np.rint(y), np.rint(columns))
    top, left = np.floor(y), np.floor(columns)
    down, right = y - top, columns - left
    found = np.zeros((*x.shape[:2], *grid.shape[1:3]), x.dtype)
    for i, j in np.ndindex(2, 2):
        weight = (down if i else 1 - down) * (right if j else 1 - right)
        found += _read(x, top + i, left + j) * weight[:, None]
    return found


def _mirrored(place: Array, low: float, high: float) -> Array:
    """Between two borders, at which it turns back."""
    if high == low:
        return np.zeros_like(place)
    span, moved = high - low, np.abs(place - low)
    turns, rest = np.floor(moved / span), np.fmod(moved, span)
    return np.where(turns % 2 == 0, rest + low, high - rest)


def _read(x: Array, rows: Array, columns: Array) -> Array:
    """The values at whole places, 0 beyond the border.  (N, C, H, W) → (N, C, h, w)."""
    height, width = x.shape[2:]
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    row = np.clip(rows, 0, height - 1).astype(np.int64)
    column = np.clip(columns, 0, width - 1).astype(np.int64)
    sample = np.arange(len(x))[:, None, None]
    values: Array = np.moveaxis(x[sample, :, row, column], -1, 1)
    found: Array = values * inside[:, None]
    return found
