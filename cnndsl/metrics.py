"""Mean average precision of detected boxes, by the rules of PASCAL VOC and of COCO.

On NumPy alone. Arrays may be PyTorch's, on any device; boxes are x1, y1, x2, y2 in pixels,
with sides x2 − x1 and y2 − y1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cnndsl.ops.facts import Array

THRESHOLDS = tuple(np.linspace(0.5, 0.95, 10).tolist())
"""COCO's IoUs: 0.5, 0.55, …, 0.95."""

AREAS = {"all": (0.0, 1e10), "small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2)}
AREAS["large"] = (96.0**2, 1e10)
"""COCO's ranges, in square pixels, both ends within."""

COUNTS = (1, 10, 100)
"""COCO's numbers of detections per image and class."""


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """What was found in one image: boxes (D, 4), scores (D,), labels (D,)."""

    boxes: Any
    scores: Any
    labels: Any


@dataclass(frozen=True, slots=True, eq=False)
class Objects:
    """What is in one image: boxes (M, 4), labels (M,), `ignored` (M,), none if not given.

    An ignored object is not missed where nothing finds it, and no fault where something
    does: VOC calls it difficult, COCO a crowd, of which any number of detections may be.
    `areas` (M,), in square pixels, are the boxes' own if not given; COCO takes the masks'.
    """

    boxes: Any
    labels: Any
    ignored: Any = None
    areas: Any = None


def unpadded(boxes: Any, scores: Any, labels: Any, valid: Any) -> list[Detections]:
    """A detector's rows that hold a box.  (B, D, 4), (B, D), (B, D), (B, D) → B images."""
    arrays = (_array(boxes), _array(scores), _array(labels))
    kept = _array(valid).astype(bool)
    return [Detections(*(a[i, row] for a in arrays)) for i, row in enumerate(kept)]


@dataclass(frozen=True, slots=True)
class VOCPrecision:
    """Average precisions, 0 to 1: the mean over the classes, and each class's.

    The mean is NaN where no image has an object that counts.
    """

    mean: float
    by_class: dict[int, float]


@dataclass(frozen=True, slots=True)
class COCOPrecision:
    """COCO's twelve figures, 0 to 1, NaN where there is nothing to find.

    `ap` is the mean over ten IoUs; `ap50` and `ap75` are at one. `ar1`, `ar10` and `ar100`
    are the mean recall with so many detections per image and class. Small is below 32²
    square pixels, large above 96². `by_class` divides `ap`.
    """

    ap: float
    ap50: float
    ap75: float
    ap_small: float
    ap_medium: float
    ap_large: float
    ar1: float
    ar10: float
    ar100: float
    ar_small: float
    ar_medium: float
    ar_large: float
    by_class: dict[int, float]


def voc_precision(
    detections: Sequence[Detections],
    objects: Sequence[Objects],
    *,
    iou: float = 0.5,
    eleven: bool = False,
    inclusive: bool = False,
) -> VOCPrecision:
    """Mean average precision by VOC's rules, at one IoU.  Both with one item an image.

    The detections of a class, the best score first, each take the object in their image
    that they overlap most: it is found if the IoU is at least `iou`; found once more, or
    below, is a fault. The average is the area under the falling envelope of precision over
    recall, as since 2010, or with `eleven` the envelope's mean at recalls 0, 0.1, …, 1, as in
    2007. With `inclusive` a side is x2 − x1 + 1, as in VOC's development kit.
    Raises ValueError: images or arrays that do not fit.
    Source: Everingham et al. 2010, "The PASCAL Visual Object Classes Challenge",
    doi:10.1007/s11263-009-0275-4, §4.2.
    """
    by_class = {}
    for label, images in _classes(detections, objects).items():
        count = sum(int((~image.ignored).sum()) for image in images)
        if not count:
            continue
        score, hit, counted = _flat([_voc_image(image, iou, inclusive) for image in images])
        # Stable: of equal scores, the earlier image's comes first.
        order = np.argsort(-score, kind="stable")
        hit = hit[order][counted[order]]
        found = np.cumsum(hit)
        precision = found / np.arange(1, len(found) + 1)
        by_class[label] = (_eleven if eleven else _area)(found, precision, count)
    mean = float(np.mean(list(by_class.values()))) if by_class else float("nan")
    return VOCPrecision(mean, by_class)


def coco_precision(
    detections: Sequence[Detections], objects: Sequence[Objects]
) -> COCOPrecision:
    """Average precision and recall by COCO's rules.  Both with one item an image.

    Each detection, the best score first, takes the object that it overlaps most of those
    still free; precision's falling envelope is averaged at recalls 0, 0.01, …, 1, over the
    IoUs 0.5, 0.55, …, 0.95, over the classes that have objects. At most 100 detections
    count per image and class. An ignored object is a crowd: the overlap with it is the part
    of the detection that lies in it.
    Raises ValueError: images or arrays that do not fit.
    Source: Lin et al. 2014, arXiv:1405.0312; rules as in `pycocotools.cocoeval`.
    """
    precision, recall, labels = [], [], []
    for label, images in _classes(detections, objects).items():
        labels.append(label)
        curves = [_coco_class(images, area) for area in AREAS.values()]
        precision.append([curve[0] for curve in curves])
        recall.append([curve[1] for curve in curves])
    # (K, A, T) and (K, A, T, COUNTS)
    ap: Array = np.reshape(precision, (len(labels), len(AREAS), len(THRESHOLDS)))
    ar: Array = np.reshape(recall, (*ap.shape, len(COUNTS)))
    means = {label: _mean(ap[k, 0]) for k, label in enumerate(labels)}
    return COCOPrecision(
        ap=_mean(ap[:, 0]),
        ap50=_mean(ap[:, 0, THRESHOLDS.index(0.5)]),
        ap75=_mean(ap[:, 0, THRESHOLDS.index(0.75)]),
        ap_small=_mean(ap[:, 1]),
        ap_medium=_mean(ap[:, 2]),
        ap_large=_mean(ap[:, 3]),
        ar1=_mean(ar[:, 0, :, 0]),
        ar10=_mean(ar[:, 0, :, 1]),
        ar100=_mean(ar[:, 0, :, 2]),
        ar_small=_mean(ar[:, 1, :, 2]),
        ar_medium=_mean(ar[:, 2, :, 2]),
        ar_large=_mean(ar[:, 3, :, 2]),
        by_class={label: value for label, value in means.items() if not np.isnan(value)},
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Image:
    """What one image has of one class, the detections with the best score first."""

    found: Array
    score: Array
    boxes: Array
    ignored: Array
    areas: Array


def _array(given: Any) -> Array:
    """The same numbers in NumPy, without a gradient, off any device."""
    return np.asarray(given.detach().cpu() if hasattr(given, "detach") else given)


def _classes(
    detections: Sequence[Detections], objects: Sequence[Objects]
) -> dict[int, list[_Image]]:
    """Every image of every class that has objects, the classes in order."""
    if len(detections) != len(objects):
        counts = f"detections of {len(detections)} images and objects of {len(objects)}"
        raise ValueError(f"there are {counts}")
    found = [
        _checked(d.boxes, i, "detections", d.labels, d.scores) for i, d in enumerate(detections)
    ]
    truth = []
    for i, o in enumerate(objects):
        boxes, labels = _checked(o.boxes, i, "objects", o.labels)
        ignored = np.zeros(len(boxes)) if o.ignored is None else o.ignored
        areas = _area_of(boxes) if o.areas is None else o.areas
        truth.append(_checked(boxes, i, "objects", labels, ignored, areas))
    known = np.unique(np.concatenate([np.zeros(0, int), *(labels for _, labels, *_ in truth)]))
    return {
        int(label): [_image(label, a, b) for a, b in zip(found, truth, strict=True)]
        for label in known
    }


def _checked(boxes: Any, image: int, kind: str, *columns: Any) -> tuple[Array, ...]:
    """Boxes as float64, labels as integers, the rest as numbers.  Raises ValueError."""
    boxes, labels, *rest = (_array(a) for a in (boxes, *columns))
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(
            f"image {image}: the boxes of {kind} are {boxes.shape}, and not (n, 4)"
        )
    for column in (labels, *rest):
        if column.shape != boxes.shape[:1]:
            said = f"{len(boxes)} {kind} have a column of shape {column.shape}"
            raise ValueError(f"image {image}: {said}")
    numbers = [column.astype(np.float64) for column in (boxes, *rest)]
    if not all(np.isfinite(column).all() for column in numbers):
        raise ValueError(f"image {image}: {kind} have numbers that are not finite")
    wrong = (boxes[:, 2:] < boxes[:, :2]).any(1)
    if wrong.any():
        rule = f"of {kind} is {boxes[wrong][0].tolist()}, and x1 ≤ x2 and y1 ≤ y2 must hold"
        raise ValueError(f"image {image}: a box {rule}")
    return (numbers[0], labels.astype(np.int64), *numbers[1:])


def _image(label: int, found: tuple[Array, ...], truth: tuple[Array, ...]) -> _Image:
    boxes, scores = (column[found[1] == label] for column in (found[0], found[2]))
    order = np.argsort(-scores, kind="stable")
    own, ignored, areas = (column[truth[1] == label] for column in (truth[0], *truth[2:]))
    return _Image(boxes[order], scores[order], own, ignored.astype(bool), areas)


def _area_of(boxes: Array, border: float = 0) -> Array:
    area: Array = np.prod(boxes[..., 2:] - boxes[..., :2] + border, axis=-1)
    return area


def _overlaps(image: _Image, border: float = 0, crowds: bool = False) -> Array:
    """IoUs of detections and objects; with crowds, the detection's part.  → (D, M)."""
    a, b = image.found[:, None], image.boxes[None]
    low, high = np.maximum(a[..., :2], b[..., :2]), np.minimum(a[..., 2:], b[..., 2:])
    both = np.prod(np.maximum(high - low + border, 0), axis=-1)
    union = _area_of(a, border) + _area_of(b, border) - both
    if crowds:
        union = np.where(image.ignored, _area_of(a), union)
    part: Array = np.divide(both, union, out=np.zeros_like(both), where=union > 0)
    return part


def _flat(columns: Sequence[tuple[Array, ...]]) -> Iterator[Array]:
    return (np.concatenate(column, axis=-1) for column in zip(*columns, strict=True))


def _mean(values: Array) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


def _voc_image(image: _Image, iou: float, inclusive: bool) -> tuple[Array, Array, Array]:
    """Scores, which detections hit, and which count.  → (D,), (D,), (D,)."""
    hit = np.zeros(len(image.score), bool)
    counted = np.ones(len(image.score), bool)
    free = np.ones(len(image.boxes), bool)
    if not len(image.boxes):
        return image.score, hit, counted
    overlaps = _overlaps(image, float(inclusive))
    for d, best in enumerate(overlaps.argmax(1)):
        if overlaps[d, best] < iou:
            continue
        counted[d] = not image.ignored[best]
        hit[d] = free[best] and counted[d]
        free[best] = False
    return image.score, hit, counted


def _area(found: Array, precision: Array, count: int) -> float:
    """The area under the falling envelope, as a sum over the steps of recall."""
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(envelope * np.diff(found, prepend=0)) / count)


def _eleven(found: Array, precision: Array, count: int) -> float:
    """The mean of the highest precision from recall 0, 0.1, …, 1 on."""
    # In integers: 3 of 10 objects have a recall of 0.3, which a sum of tenths has not.
    highest = [precision[10 * found >= tenth * count].max(initial=0) for tenth in range(11)]
    return float(np.mean(highest))


def _coco_class(images: list[_Image], area: tuple[float, float]) -> tuple[Array, Array]:
    """One class in one range of areas: precision and recall.  → (T,), (T, COUNTS)."""
    shape = (len(THRESHOLDS), len(COUNTS))
    tables = [_coco_image(image, area) for image in images]
    total = sum(count for *_, count in tables)
    if not total:
        return np.full(shape[0], np.nan), np.full(shape, np.nan)
    recall = np.zeros(shape)
    for c, most in enumerate(COUNTS):
        rows = [(s[:most], h[:, :most], n[:, :most]) for s, h, n, _ in tables]
        score, hit, counted = _flat(rows)
        # As in pycocotools: a stable sort over the images, in their order.
        order = np.argsort(-score, kind="stable")
        hit, counted = hit[:, order], counted[:, order]
        found, fault = np.cumsum(hit & counted, 1), np.cumsum(~hit & counted, 1)
        recall[:, c] = found[:, -1] / total if len(order) else 0
    # Of the last, largest count. The divisor is kept off 0 as in pycocotools, digit by digit.
    precision = found / (found + fault + np.spacing(1))
    pairs = zip(found / total, precision, strict=True)
    return np.array([_hundred(*pair) for pair in pairs]), recall


def _hundred(recall: Array, precision: Array) -> float:
    """The mean of the falling envelope where recall reaches 0, 0.01, …, 1."""
    envelope = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0)
    return float(envelope[np.searchsorted(recall, np.linspace(0, 1, 101))].mean())


def _coco_image(image: _Image, area: tuple[float, float]) -> tuple[Array, Array, Array, int]:
    """Scores, which hit at which IoU, which count, and how many objects do.

    → (D,), (T, D), (T, D), with the first hundred detections.
    """
    ignored = image.ignored | (image.areas < area[0]) | (image.areas > area[1])
    overlaps = _overlaps(image, crowds=True)[: COUNTS[-1]]
    # An IoU of exactly 1 passes any threshold, though it be written 1 − 10⁻¹⁰.
    least = np.minimum(THRESHOLDS, 1 - 1e-10)[:, None]
    every = np.arange(len(least))
    free = np.ones((len(least), len(ignored)), bool)
    sides = _area_of(image.found)
    beyond = (sides < area[0]) | (sides > area[1])
    hit = np.zeros((len(least), len(overlaps)), bool)
    counted = np.tile(~beyond[: len(overlaps)], (len(least), 1))
    for d, overlap in enumerate(overlaps if len(ignored) else ()):
        fits = (overlap >= least) & (free | image.ignored)
        # Objects that count come first, whatever the overlap with others; of equals the last.
        fits &= ~ignored | ~(fits & ~ignored).any(1, keepdims=True)
        best = len(ignored) - 1 - np.where(fits, overlap, -1)[:, ::-1].argmax(1)
        hit[:, d] = fits.any(1)
        free[every[hit[:, d]], best[hit[:, d]]] = False
        counted[:, d] = np.where(hit[:, d], ~ignored[best], counted[:, d])
    return image.score[: COUNTS[-1]], hit, counted, int((~ignored).sum())
