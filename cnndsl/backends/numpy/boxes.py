"""Boxes in plain array maths: anchors, decoding, selection.

Boxes are `(B, N, 4)`, corners x1 y1 x2 y2 in pixels, of float32 or float64, and the result
has their type. Loops run over images and over the boxes that are kept.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Selection = tuple[Array, Array, Array, Array]
"""Boxes (B, k, 4), scores (B, k), labels (B, k) and valid (B, k)."""

LOG_RATIO = math.log(1000 / 16)
"""No box grows more than this in a step (convention of Faster R-CNN's code)."""


def grid(
    size: tuple[int, int], wh: Array, stride: tuple[float, float], offset: float, batch: int
) -> Array:
    """A box of each size at every cell, rows (h w a).  → (B, H·W·A, 4)."""
    dtype = wh.dtype
    y, x = (
        (np.arange(n) + offset).astype(dtype) * dtype.type(s)
        for n, s in zip(size, stride, strict=True)
    )
    centre = np.stack(np.broadcast_arrays(x[None, :, None], y[:, None, None]), -1)
    rows = np.concatenate([centre - wh / 2, centre + wh / 2], -1).reshape(-1, 4)
    return np.repeat(rows[None], batch, 0)


def default_boxes(
    size: tuple[int, int],
    shares: Array,
    stride: tuple[float, float],
    offset: float,
    image: tuple[int, ...],
    batch: int,
) -> Array:
    """As `grid`, but in shares of the image until the last step.  → (B, H·W·A, 4)."""
    dtype = shares.dtype
    y, x = (
        (np.arange(n) + offset).astype(dtype) / dtype.type(whole / s)
        for n, s, whole in zip(size, stride, image, strict=True)
    )
    centre = np.stack(np.broadcast_arrays(x[None, :, None], y[:, None, None]), -1)
    half = dtype.type(0.5) * shares
    rows = np.concatenate([centre - half, centre + half], -1).reshape(-1, 4)
    height, width = image
    pixels = rows * np.array([width, height, width, height], dtype)
    return np.repeat(pixels[None], batch, 0)


def centres(boxes: Array) -> tuple[Array, Array]:
    """(…, 4) → centres (…, 2) and sizes (…, 2)."""
    size = boxes[..., 2:] - boxes[..., :2]
    return boxes[..., :2] + 0.5 * size, size


def corners(centre: Array, size: Array) -> Array:
    """Centres (…, 2) and sizes (…, 2) → (…, 4)."""
    return np.concatenate([centre - 0.5 * size, centre + 0.5 * size], -1)


def clipped(boxes: Array, size: tuple[int, ...]) -> Array:
    """Boxes cut at the border of an image of that height and width."""
    height, width = size
    limit = np.array([width, height, width, height], boxes.dtype)
    return np.clip(boxes, 0, limit)


def decode_rcnn(deltas: Array, anchors: Array, divisors: tuple[float, ...]) -> Array:
    """Centres moved by shares of the size, sizes multiplied by exponentials."""
    centre, size = centres(anchors)
    deltas = deltas / np.array(divisors, deltas.dtype)
    growth = np.exp(np.minimum(deltas[..., 2:], deltas.dtype.type(LOG_RATIO)))
    return corners(deltas[..., :2] * size + centre, growth * size)


def decode_yolo(
    deltas: Array, anchors: Array, stride: tuple[float, ...], stretch: float
) -> Array:
    """A sigmoid places the centre in its cell; sizes multiplied by exponentials."""
    centre, size = centres(anchors)
    step = np.array(stride[::-1], deltas.dtype)
    share = 1 / (1 + np.exp(-deltas[..., :2]))
    share = share * deltas.dtype.type(stretch) - deltas.dtype.type((stretch - 1) / 2)
    return corners(share * step + centre, np.exp(deltas[..., 2:]) * size)


def decode_yolov1(deltas: Array, anchors: Array, stride: tuple[float, ...]) -> Array:
    """Centres as shares of a cell, sizes as squares of shares of the anchor."""
    centre, size = centres(anchors)
    step = np.array(stride[::-1], deltas.dtype)
    return corners(deltas[..., :2] * step + centre, deltas[..., 2:] ** 2 * size)


def decode_ltrb(deltas: Array, anchors: Array) -> Array:
    """Distances from the anchor's centre to the four sides."""
    centre, _ = centres(anchors)
    return np.concatenate([centre - deltas[..., :2], centre + deltas[..., 2:]], -1)


def candidates(boxes: Array, scores: Array, labels: Array | None) -> tuple[Array, Array, Array]:
    """Each row and class as a row of its own: boxes (B, M, 4), scores and labels (B, M)."""
    batch, count = scores.shape[:2]
    if scores.ndim == 2:
        given = np.zeros(scores.shape, np.int64) if labels is None else labels.astype(np.int64)
        return boxes, scores, given
    classes = scores.shape[2]
    labels = np.broadcast_to(np.arange(classes), (batch, count, classes))
    boxes = boxes[:, :, None] if boxes.ndim == 3 else boxes
    boxes = np.broadcast_to(boxes, (batch, count, classes, 4))
    flat = (batch, count * classes)
    return boxes.reshape(*flat, 4), scores.reshape(flat), labels.reshape(flat)


def taken(boxes: Array, scores: Array, labels: Array, rows: list[Array], k: int) -> Selection:
    """The rows of each image, and zeros for the rest of k."""
    batch = len(rows)
    found = (
        np.zeros((batch, k, 4), boxes.dtype),
        np.zeros((batch, k), scores.dtype),
        np.zeros((batch, k), np.int64),
        np.zeros((batch, k), scores.dtype),
    )
    for image, index in enumerate(rows):
        sources = (boxes[image], scores[image], labels[image], np.ones_like(scores[image]))
        for out, source in zip(found, sources, strict=True):
            out[image, : len(index)] = source[index]
    return found


def topk(
    boxes: Array,
    scores: Array,
    labels: Array | None,
    *,
    k: int,
    score: float,
    background: int | None,
) -> Selection:
    """The k best rows and classes above a score, ties by row."""
    boxes, scores, labels = candidates(boxes, scores, labels)
    rows = []
    for image in range(len(scores)):
        good = scores[image] > score
        if background is not None:
            good &= labels[image] != background
        rows.append(_ordered(np.flatnonzero(good), scores[image])[:k])
    return taken(boxes, scores, labels, rows, k)


def nms(
    boxes: Array,
    scores: Array,
    labels: Array | None,
    *,
    k: int,
    iou: float,
    score: float,
    pre: int | None,
    background: int | None,
    min_size: float,
) -> Selection:
    """Greedy suppression by class: the best row, then the best that overlaps none kept."""
    boxes, scores, labels = candidates(boxes, scores, labels)
    rows = []
    for image in range(len(scores)):
        size = boxes[image, :, 2:] - boxes[image, :, :2]
        good = (scores[image] > score) & (size >= min_size).all(-1)
        if background is not None:
            good &= labels[image] != background
        order = _ordered(np.flatnonzero(good), scores[image])
        if pre is not None:
            order = order[_rank(labels[image][order]) < pre]
        rows.append(_greedy(boxes[image], labels[image], order, k, iou))
    return taken(boxes, scores, labels, rows, k)


def _ordered(rows: Array, scores: Array) -> Array:
    """Rows by falling score, the first of equal ones first."""
    order: Array = rows[np.argsort(-scores[rows], kind="stable")]
    return order


def _rank(labels: Array) -> Array:
    """For each, how many before it have the same label."""
    rank = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        same = labels == label
        rank[same] = np.arange(same.sum())
    return rank


def _greedy(boxes: Array, labels: Array, order: Array, k: int, iou: float) -> Array:
    kept: list[int] = []
    while len(order) and len(kept) < k:
        best, order = order[0], order[1:]
        kept.append(best)
        covered = overlap(boxes[best], boxes[order]) > iou
        order = order[~(covered & (labels[order] == labels[best]))]
    return np.array(kept, np.int64)


def overlap(box: Array, boxes: Array) -> Array:
    """Intersection over union of one box with others; NaN where both are empty."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    inner = np.maximum(high - low, 0).prod(-1)
    area = (box[2:] - box[:2]).prod() + (boxes[:, 2:] - boxes[:, :2]).prod(-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        share: Array = inner / (area - inner)
    return share
