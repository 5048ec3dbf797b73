"""Mean average precision: by hand, and equal to the reference implementations."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import coco, cocoeval

from cnndsl.metrics import (
    Detections,
    Objects,
    coco_precision,
    unpadded,
    voc_precision,
)

A, B, FAR = [0, 0, 10, 10], [20, 0, 30, 10], [50, 50, 60, 60]
NONE = Detections(np.zeros((0, 4)), [], [])
NOTHING = Objects(np.zeros((0, 4)), [])


def found(*rows: tuple[list[float], float], label: int = 1) -> Detections:
    boxes, scores = zip(*rows, strict=True)
    return Detections(np.array(boxes, float), np.array(scores), np.full(len(rows), label))


def there(*boxes: list[float], label: int = 1, **rest: Any) -> Objects:
    return Objects(np.array(boxes, float), np.full(len(boxes), label), **rest)


# By hand


def test_hits_at_ranks_1_and_3_of_two_objects_have_an_area_of_five_sixths() -> None:
    images = [found((A, 0.9), (FAR, 0.8), (B, 0.7))], [there(A, B)]
    # Precision 1, 1/2, 2/3 at recall 1/2, 1/2, 1; the envelope is 1 and then 2/3.
    assert voc_precision(*images).mean == pytest.approx(1 / 2 * 1 + 1 / 2 * 2 / 3)
    # Recalls 0 … 0.5 are six, 0.6 … 1 are five.
    assert voc_precision(*images, eleven=True).mean == pytest.approx((6 + 5 * 2 / 3) / 11)
    # Recalls 0 … 0.50 are 51, 0.51 … 1 are 50; every IoU is 1.
    coco = coco_precision(*images)
    assert (coco.ap, coco.ap50) == pytest.approx(((51 + 50 * 2 / 3) / 101,) * 2)
    assert (coco.ar1, coco.ar10, coco.ar100) == (0.5, 1, 1)


def test_a_recall_of_three_tenths_reaches_the_point_at_three_tenths() -> None:
    boxes = [[20 * i, 0, 20 * i + 10, 10] for i in range(10)]
    first = found(*((box, 1 - i / 20) for i, box in enumerate(boxes[:3])))
    precision = voc_precision([first], [there(*boxes)], eleven=True)
    assert precision.mean == pytest.approx(4 / 11)


def test_a_second_detection_of_an_object_is_a_fault() -> None:
    images = [found((A, 0.9), (A, 0.8), (B, 0.7))], [there(A, B)]
    assert voc_precision(*images).mean == pytest.approx((1 + 2 / 3) / 2)


def test_voc_gives_a_detection_no_second_choice_and_coco_does() -> None:
    near, wide = [0, 0, 10, 10], [0, 0, 10, 12]
    images = [found((near, 0.9), (near, 0.8))], [there(near, wide)]
    assert voc_precision(*images).mean == pytest.approx(0.5)
    assert coco_precision(*images).ap50 == pytest.approx(1)


def test_an_ignored_object_is_neither_missed_nor_a_fault() -> None:
    images = [found((B, 0.9), (A, 0.8))], [there(A, B, ignored=[False, True])]
    assert voc_precision(*images).mean == 1
    assert coco_precision(*images).ap == pytest.approx(1)
    alone = [NONE], [there(A, ignored=[True])]
    assert np.isnan(voc_precision(*alone).mean)
    assert np.isnan(coco_precision(*alone).ap)
    assert coco_precision(*alone).by_class == {}


def test_a_crowd_holds_any_number_of_detections_that_lie_in_it() -> None:
    crowd = [100, 100, 200, 200]
    parts = [([100 + 10 * i, 100, 110 + 10 * i, 110], 0.9) for i in range(5)]
    objects = there(A, crowd, ignored=[False, True])
    assert coco_precision([found(*parts, (A, 0.5))], [objects]).ap == pytest.approx(1)
    # VOC asks for an IoU with the whole of it.
    assert voc_precision([found(*parts, (A, 0.5))], [objects]).mean == pytest.approx(1 / 6)


def test_coco_averages_over_ten_thresholds_and_voc_takes_one() -> None:
    images = [found(([0, 0, 10, 6.5], 0.9))], [there(A)]
    coco = coco_precision(*images)
    # An IoU of 0.65 passes 0.5, 0.55, 0.6, and 0.65 itself.
    assert (coco.ap, coco.ap50, coco.ap75) == pytest.approx((0.4, 1, 0))
    assert voc_precision(*images, iou=0.65).mean == 1
    assert voc_precision(*images, iou=0.66).mean == 0


def test_an_iou_that_is_the_threshold_is_a_hit() -> None:
    assert voc_precision([found(([0, 0, 10, 5], 0.9))], [there(A)]).mean == 1


def test_inclusive_sides_count_both_borders() -> None:
    # 0.4 of the area; 11 · 5 / 121 = 0.45 of the pixels.
    images = [found(([0, 0, 10, 4], 0.9))], [there(A)]
    assert voc_precision(*images, iou=0.45).mean == 0
    assert voc_precision(*images, iou=0.45, inclusive=True).mean == 1


def test_coco_counts_a_hundred_detections_of_an_image() -> None:
    many = found(*((FAR, 0.9 - i / 1000) for i in range(99)), (A, 0.5))
    more = found(*((FAR, 0.9 - i / 1000) for i in range(100)), (A, 0.5))
    assert coco_precision([many], [there(A)]).ap == pytest.approx(0.01)
    assert coco_precision([more], [there(A)]).ap == 0
    assert voc_precision([more], [there(A)]).mean == pytest.approx(1 / 101)


def test_the_sizes_are_by_the_objects_areas() -> None:
    large = [0, 0, 100, 100]
    objects = there(A, large)
    coco = coco_precision([found((A, 0.9))], [objects])
    assert (coco.ap_small, coco.ap_large) == pytest.approx((1, 0))
    assert np.isnan(coco.ap_medium)
    masked = there(A, large, areas=[50, 5000])
    assert coco_precision([found((A, 0.9))], [masked]).ap_medium == 0


def test_the_mean_is_over_the_classes_that_have_objects() -> None:
    objects = Objects(np.array([A, B], float), np.array([1, 2]))
    detections = Detections(np.array([A, FAR], float), [0.9, 0.9], [1, 3])
    for precision in (voc_precision, coco_precision):
        assert precision([detections], [objects]).by_class == pytest.approx({1: 1, 2: 0})
    assert voc_precision([detections], [objects]).mean == pytest.approx(0.5)
    assert coco_precision([detections], [objects]).ap == pytest.approx(0.5)


def test_no_detections_is_zero_and_no_objects_is_not_a_number() -> None:
    assert voc_precision([NONE], [there(A)]).mean == 0
    assert coco_precision([NONE], [there(A)]).ap == 0
    assert coco_precision([NONE], [there(A)]).ar100 == 0
    for images in (([], []), ([found((A, 0.9))], [NOTHING]), ([NONE], [NOTHING])):
        assert np.isnan(voc_precision(*images).mean)
        assert np.isnan(coco_precision(*images).ap)


def test_detections_in_an_image_without_objects_are_faults() -> None:
    images = [found((A, 0.9)), found((A, 0.8))], [NOTHING, there(A)]
    assert voc_precision(*images).mean == pytest.approx(1 / 2)
    assert coco_precision(*images).ap == pytest.approx(1 / 2)


def test_tensors_with_a_gradient_are_taken_and_padding_is_left_out() -> None:
    boxes = torch.tensor([[A, A], [A, A]], dtype=torch.float32, requires_grad=True)
    scores = torch.tensor([[0.8, 0.9], [0.9, 0.0]], requires_grad=True)
    labels = torch.ones(2, 2, dtype=torch.long)
    valid = torch.tensor([[True, False], [False, False]])
    detections = unpadded(boxes, scores, labels, valid)
    assert [len(d.scores) for d in detections] == [1, 0]
    objects = [Objects(torch.tensor([A]), torch.tensor([1])), NOTHING]
    assert voc_precision(detections, objects).mean == 1


@pytest.mark.parametrize(
    ("detections", "objects", "message"),
    [
        ([NONE], [], "detections of 1 images and objects of 0"),
        (
            [Detections([0, 0, 1, 1], [1], [1])],
            [NOTHING],
            r"image 0: .*\(4,\), and not \(n, 4\)",
        ),
        ([Detections([A], [0.5, 0.5], [1])], [NOTHING], r"1 detections .* shape \(2,\)"),
        ([Detections([A], [np.nan], [1])], [NOTHING], "not finite"),
        ([NONE], [Objects([[5, 0, 4, 1]], [1])], r"\[5, 0, 4, 1\], and x1 ≤ x2"),
        ([NONE], [Objects([A], [1], ignored=[])], r"1 objects have a column of shape \(0,\)"),
    ],
)
def test_what_does_not_fit_is_refused(detections: Any, objects: Any, message: str) -> None:
    for precision in (voc_precision, coco_precision):
        with pytest.raises(ValueError, match=message):
            precision(detections, objects)


# Against others

coordinate = st.integers(0, 12).map(lambda n: 8 * n)


@st.composite
def boxes(draw: st.DrawFn, most: int) -> np.ndarray:
    count = draw(st.integers(0, most))
    rows = []
    for _ in range(count):
        x, y = draw(coordinate), draw(coordinate)
        rows.append([x, y, x + 8 * draw(st.integers(1, 15)), y + 8 * draw(st.integers(1, 15))])
    return np.array(rows, float).reshape(-1, 4)


@st.composite
def image(draw: st.DrawFn) -> tuple[Detections, Objects]:
    b, o = draw(boxes(8)), draw(boxes(5))
    # Some detections are near an object.
    for i in range(min(len(b), len(o))):
        if draw(st.booleans()):
            b[i] = o[i] + [0, 0, 0, draw(st.sampled_from([0, 1, 2, 4, 8]))]
    pick = st.integers(1, 2)
    few = st.sampled_from([0.1, 0.2, 0.3, 0.5, 0.7, 0.9])
    return (
        Detections(b, [draw(few) for _ in b], [draw(pick) for _ in b]),
        Objects(o, [draw(pick) for _ in o], [draw(st.integers(0, 4)) == 0 for _ in o]),
    )


def by_pycocotools(images: list[tuple[Detections, Objects]]) -> np.ndarray:
    """Its twelve figures."""
    annotations, results = [], []
    for i, (detected, objects) in enumerate(images):
        for box, label, crowd in zip(
            objects.boxes, objects.labels, objects.ignored, strict=True
        ):
            sides = box[2:] - box[:2]
            row = {"id": len(annotations) + 1, "image_id": i, "category_id": label}
            row |= {"bbox": [*box[:2], *sides], "area": sides.prod(), "iscrowd": int(crowd)}
            annotations.append(row)
        rows = zip(detected.boxes, detected.scores, detected.labels, strict=True)
        for box, score, label in rows:
            row = {"image_id": i, "category_id": label, "score": score}
            results.append(row | {"bbox": [*box[:2], *(box[2:] - box[:2])]})
    with contextlib.redirect_stdout(io.StringIO()):
        truth = coco.COCO()
        truth.dataset = {
            "info": {},
            "images": [{"id": i} for i in range(len(images))],
            "categories": [{"id": 1}, {"id": 2}],
            "annotations": annotations,
        }
        truth.createIndex()
        evaluated = cocoeval.COCOeval(truth, truth.loadRes(results), "bbox")
        evaluated.evaluate()
        evaluated.accumulate()
        evaluated.summarize()
    return np.where(evaluated.stats == -1, np.nan, evaluated.stats)


@settings(max_examples=150)
@given(st.lists(image(), min_size=1, max_size=4))
def test_all_twelve_figures_equal_those_of_pycocotools(
    images: list[tuple[Detections, Objects]],
) -> None:
    # With no detection in any image, pycocotools cannot load the result.
    images = [*images, (found((A, 0.4)), there(B, ignored=[False]))]
    ours = coco_precision(*zip(*images, strict=True))
    figures = [getattr(ours, name) for name in ours.__slots__ if name != "by_class"]
    np.testing.assert_allclose(figures, by_pycocotools(images), atol=1e-12)


def by_the_development_kit(
    images: list[tuple[Detections, Objects]], label: int, iou: float, eleven: bool
) -> float:
    """VOCevaldet.m and VOCap.m, line by line in Python."""
    detections, count, seen = [], 0, {}
    for i, (detected, objects) in enumerate(images):
        rows = zip(detected.boxes, detected.scores, detected.labels, strict=True)
        detections += [(score, i, box) for box, score, kind in rows if kind == label]
        rows = zip(objects.boxes, objects.labels, objects.ignored, strict=True)
        seen[i] = [[box, difficult, False] for box, kind, difficult in rows if kind == label]
        count += sum(not difficult for _, difficult, _ in seen[i])
    if not count:
        return float("nan")
    true, false = [0.0], [0.0]
    for _, i, box in sorted(detections, key=lambda row: -row[0]):
        most, match = -np.inf, None
        for truth in seen[i]:
            sides = np.minimum(box[2:], truth[0][2:]) - np.maximum(box[:2], truth[0][:2]) + 1
            if (sides > 0).all():
                both = sides.prod()
                areas = [(b[2] - b[0] + 1) * (b[3] - b[1] + 1) for b in (box, truth[0])]
                if both / (sum(areas) - both) > most:
                    most, match = both / (sum(areas) - both), truth
        if match is not None and most >= iou:
            if match[1]:
                continue
            true.append(true[-1] + (not match[2]))
            false.append(false[-1] + match[2])
            match[2] = True
        else:
            true.append(true[-1])
            false.append(false[-1] + 1)
    tp, fp = np.array(true[1:]), np.array(false[1:])
    recall, precision = tp / count, tp / (tp + fp)
    if eleven:
        points = [i / 10 for i in range(11)]
        return sum(precision[recall >= t].max(initial=0) for t in points) / 11
    mrec, mpre = np.array([0, *recall, 1]), np.array([0, *precision, 0])
    for i in range(len(mpre) - 2, -1, -1):
        mpre[i] = max(mpre[i], mpre[i + 1])
    steps = np.where(mrec[1:] != mrec[:-1])[0] + 1
    return float(((mrec[steps] - mrec[steps - 1]) * mpre[steps]).sum())


@settings(max_examples=150)
@given(st.lists(image(), max_size=4), st.sampled_from([0.3, 0.5, 0.75]), st.booleans())
def test_voc_equals_the_development_kit(
    images: list[tuple[Detections, Objects]], iou: float, eleven: bool
) -> None:
    sides = zip(*images, strict=True) if images else ([], [])
    ours = voc_precision(*sides, iou=iou, eleven=eleven, inclusive=True).by_class
    for label in (1, 2):
        theirs = by_the_development_kit(images, label, iou, eleven)
        np.testing.assert_allclose(ours.get(label, np.nan), theirs, atol=1e-12)
