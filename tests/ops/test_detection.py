"""Boxes and sampled features: loops over their definition, and torchvision's functions."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cnndsl.diagnostics import OpError
from cnndsl.ops.anchors import AnchorGrid
from cnndsl.ops.facts import Shape
from tests.ops.cases import made
from tests.ops.torch_text import forms
from tests.torchvision_cpu import torchvision

# The operators are there (`torchvision_cpu`), though not from torchvision's extension.
torchvision.extension._has_ops = lambda: True
RNG = np.random.default_rng(0)


def boxes_of(count: int, extent: float = 30.0, largest: float = 20.0) -> np.ndarray:
    low = RNG.uniform(-3, extent, (1, count, 2))
    return np.concatenate([low, low + RNG.uniform(0, largest, (1, count, 2))], -1)


def both(name: str, arguments: dict[str, object], *inputs: np.ndarray) -> list[Any]:
    """What NumPy computes, once PyTorch is seen to compute the same."""
    shapes = tuple(x.shape[1:] for x in inputs)
    op = made(name, arguments, *shapes)
    ours = op.run(*inputs)
    ours = list(ours) if isinstance(ours, tuple) else [ours]
    (module,) = forms(op, shapes)
    theirs = module(*map(torch.from_numpy, inputs))
    theirs = list(theirs) if isinstance(theirs, tuple) else [theirs]
    for x, y in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(x, y.numpy(), rtol=1e-9, atol=1e-9)
    return ours


# ── Anchors and decoding ─────────────────────────────────────────────────────────────


def test_anchors_are_those_of_torchvision() -> None:
    sizes, ratios = (32, 40, 50, 101), (0.5, 1.0, 2.0, 3.7)
    generator = torchvision.models.detection.anchor_utils.AnchorGenerator((sizes,), (ratios,))
    image = torchvision.models.detection.image_list.ImageList(
        torch.zeros(1, 3, 96, 64), [(96, 64)]
    )
    theirs = generator(image, [torch.zeros(1, 8, 5, 7)])[0]
    arguments = {"stride": (96 // 5, 64 // 7), "sizes": sizes, "ratios": ratios}
    op = made("anchor_grid", arguments, (8, 5, 7))
    x = np.zeros((1, 8, 5, 7), np.float32)
    np.testing.assert_array_equal(op.run(x)[0], theirs.numpy())
    (module,) = forms(op, ((8, 5, 7),))
    assert torch.equal(module(torch.from_numpy(x))[0], theirs)


@given(
    st.lists(st.floats(1e-3, 1e4), min_size=1, max_size=4),
    st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=4),
)
def test_anchors_are_worked_out_in_float32(sizes: list[float], ratios: list[float]) -> None:
    root = np.sqrt(np.array(ratios, np.float32))[:, None]
    scale = np.array(sizes, np.float32)[None]
    both = np.stack([(1 / root * scale).ravel(), (root * scale).ravel()], 1)
    wanted = 2 * np.round(both / np.float32(2))
    op = AnchorGrid(stride=(1, 1), sizes=tuple(sizes), ratios=tuple(ratios))
    assert op.shapes_of_anchors == tuple(map(tuple, wanted.tolist()))


def test_anchors_run_over_columns_then_rows_then_nothing_else() -> None:
    (found,) = both(
        "anchor_grid",
        {"stride": (10, 20), "offset": 0.5, "wh": ((2, 4), (6, 6))},
        np.zeros((1, 1, 2, 3)),
    )
    expected = [
        [20 * (x + 0.5) - w / 2, 10 * (y + 0.5) - h / 2, 20 * (x + 0.5) + w / 2,
         10 * (y + 0.5) + h / 2]
        for y in range(2) for x in range(3) for w, h in ((2, 4), (6, 6))
    ]  # fmt: skip
    np.testing.assert_allclose(found[0], expected)


def test_decoding_equals_torchvisions_to_the_last_bit() -> None:
    deltas = torch.from_numpy(RNG.normal(size=(1, 50, 4)).astype("float32") * 3)
    anchors = torch.from_numpy(boxes_of(50).astype("float32"))
    coder = torchvision.models.detection._utils.BoxCoder((10.0, 10.0, 5.0, 5.0))
    theirs = coder.decode_single(deltas[0], anchors[0])
    theirs = torchvision.ops.clip_boxes_to_image(theirs, (20, 30))
    arguments = {"divisors": (10, 10, 5, 5), "clip": (20, 30)}
    op = made("decode", arguments, (50, 4), (50, 4))
    (module,) = forms(op, ((50, 4), (50, 4)))
    assert torch.equal(module(deltas, anchors)[0], theirs)
    ours = op.run(deltas.numpy(), anchors.numpy())[0]
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-6, atol=1e-6)


def test_yolo_boxes_are_darknets() -> None:
    deltas, anchors = RNG.normal(size=(1, 6, 4)), np.zeros((1, 6, 4))
    cells = [(x, y) for y in range(2) for x in range(3)]
    wh = RNG.uniform(5, 20, (6, 2))
    corner = np.array([(x * 8, y * 4) for x, y in cells])
    anchors[0] = np.concatenate([corner - wh / 2, corner + wh / 2], -1)
    arguments = {"form": "yolo", "stride": (4, 8), "stretch": 1.2}
    (found,) = both("decode", arguments, deltas, anchors)
    for row, (x, y) in enumerate(cells):
        tx, ty, tw, th = deltas[0, row]
        cx = (x + 1.2 / (1 + math.exp(-tx)) - 0.1) * 8
        cy = (y + 1.2 / (1 + math.exp(-ty)) - 0.1) * 4
        w, h = wh[row, 0] * math.exp(tw), wh[row, 1] * math.exp(th)
        expected = [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]
        np.testing.assert_allclose(found[0, row], expected)


def test_yolov1_boxes_are_squares_of_shares_of_the_image() -> None:
    corner = np.array([[64.0, 128.0]])
    anchors = np.concatenate([corner - 224, corner + 224], -1)[None]
    deltas = np.array([[[0.25, 0.5, 0.5, 0.1]]])
    (found,) = both("decode", {"form": "yolov1", "stride": (64, 64)}, deltas, anchors)
    x, y, w, h = 64 + 16, 128 + 32, 448 * 0.25, 448 * 0.01
    np.testing.assert_allclose(found[0, 0], [x - w / 2, y - h / 2, x + w / 2, y + h / 2])


# ── Selection ────────────────────────────────────────────────────────────────────────


def test_suppression_equals_torchvisions_with_ties_by_row() -> None:
    boxes = boxes_of(80)
    scores = RNG.integers(0, 20, (1, 80)) / 20
    labels = RNG.integers(0, 3, (1, 80)).astype(float)
    found = both("nms", {"k": 80, "iou": 0.3, "score": 0.1}, boxes, scores, labels)
    good = np.flatnonzero(scores[0] > 0.1)
    tensors = [torch.from_numpy(a[0][good]) for a in (boxes, scores, labels)]
    kept = good[torchvision.ops.batched_nms(*tensors, 0.3).numpy()]
    # torchvision puts equal scores of different classes in no order.
    kept = kept[np.argsort(-scores[0][kept], kind="stable")]
    order = sorted(kept, key=lambda row: (-scores[0][row], row))
    count = len(kept)
    assert 5 < count < 80
    np.testing.assert_array_equal(found[0][0, :count], boxes[0][order])
    np.testing.assert_array_equal(found[2][0, :count], labels[0][order])
    assert found[3][0].tolist() == [1] * count + [0] * (80 - count)
    assert not any(array[0, count:].any() for array in found)


def suppressed(
    boxes: np.ndarray, scores: np.ndarray, *, k: int, iou: float, pre: int, least: float
) -> list[tuple[int, int]]:
    """Rows and classes kept, by loops.  boxes (N, K, 4), scores (N, K), background 0."""
    ranked = sorted(
        itertools.product(range(len(scores)), range(1, scores.shape[1])),
        key=lambda place: (-scores[place], place),
    )
    kept: list[tuple[int, int]] = []
    seen = [0] * scores.shape[1]
    for row, label in ranked:
        x1, y1, x2, y2 = boxes[row, label]
        if scores[row, label] <= 0.2 or x2 - x1 < least or y2 - y1 < least:
            continue
        seen[label] += 1
        if seen[label] > pre:
            continue
        overlaps = [_iou(boxes[row, label], boxes[r, c]) for r, c in kept if c == label]
        if all(share <= iou for share in overlaps):
            kept.append((row, label))
    return kept[:k]


def _iou(a: np.ndarray, b: np.ndarray) -> float:
    w = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    h = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = [(c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)]
    return w * h / (sum(areas) - w * h)


def test_suppression_is_what_loops_find() -> None:
    boxes = np.stack([boxes_of(25)[0] for _ in range(4)], 1)[None]
    scores = RNG.uniform(size=(1, 25, 4))
    wanted = suppressed(boxes[0], scores[0], k=30, iou=0.2, pre=8, least=4.0)
    arguments: dict[str, object] = {
        "k": 30, "iou": 0.2, "score": 0.2, "pre": 8, "background": 0, "min_size": 4.0,
    }  # fmt: skip
    found = both("nms", arguments, boxes, scores)
    assert 5 < len(wanted) < 30
    for n, (row, label) in enumerate(wanted):
        assert found[2][0, n] == label
        np.testing.assert_array_equal(found[0][0, n], boxes[0, row, label])
    assert found[3][0].sum() == len(wanted)


def test_boxes_without_area_neither_fall_nor_make_others_fall() -> None:
    boxes = np.array([[[1.0, 1, 1, 1], [1, 1, 1, 1], [0, 0, 4, 4]]])
    found = both("nms", {"k": 3}, boxes, np.array([[0.9, 0.8, 0.7]]))
    assert found[3].tolist() == [[1, 1, 1]]


def test_the_best_are_sorted_and_ties_keep_their_rows() -> None:
    boxes, scores = boxes_of(6), np.array([[0.5, 0.9, 0.5, 0.1, 0.9, 0.0]])
    found = both("topk", {"k": 8, "score": 0.1}, boxes, scores)
    np.testing.assert_array_equal(found[0][0, :4], boxes[0][[1, 4, 0, 2]])
    assert found[3][0].tolist() == [1] * 4 + [0] * 4


@pytest.mark.parametrize("ties", [False, True])
def test_suppression_of_more_rows_than_one_part_holds_is_greedy(ties: bool) -> None:
    """Rows that cover each other in long chains, across the parts that are looked at."""
    rng = np.random.default_rng(3)
    low = np.cumsum(rng.uniform(0, 2, (1, 2500, 2)), 1)
    boxes = np.concatenate([low, low + 6.0], -1)
    scores = rng.uniform(size=(1, 2500))
    scores = np.round(16 * scores) / 16 if ties else scores
    labels = rng.integers(0, 2, (1, 2500)).astype(np.float64)
    for k in (100, 2500):
        both("nms", {"k": k, "iou": 0.2, "score": 0.1}, boxes, scores, labels)


@pytest.mark.parametrize("name", ["topk", "nms"])
def test_nothing_good_is_an_empty_result(name: str) -> None:
    for count, k in ((5, 3), (0, 3), (5, 0), (0, 0)):
        found = both(name, {"k": k, "score": 2.0}, boxes_of(count), np.ones((1, count, 2)))
        assert found[0].shape == (1, k, 4)
        assert not any(array.any() for array in found)


# ── Features of regions ──────────────────────────────────────────────────────────────


def test_regions_are_read_as_torchvision_reads_them() -> None:
    sizes = [(20, 24), (10, 12), (5, 6)]
    levels = [RNG.normal(size=(1, 3, *size)) for size in sizes]
    boxes = boxes_of(40, 80.0, 90.0).clip(0, (92, 76, 92, 76))
    boxes[0, :3] = [[-50, -50, -40, -40], [200, 10, 220, 30], [0, 0, 0, 0]]
    pooler = torchvision.ops.MultiScaleRoIAlign(["0", "1", "2"], (3, 2), 2)
    pooler.map_levels = torchvision.ops.poolers.initLevelMapper(2, 4)
    pooler.scales = [1 / 4, 1 / 8, 1 / 16]
    named = {str(n): torch.from_numpy(x) for n, x in enumerate(levels)}
    theirs = pooler(named, [torch.from_numpy(boxes[0])], [(80, 96)])
    arguments = {"size": (3, 2), "strides": (4, 8, 16)}
    (ours,) = both("roi_align", arguments, boxes, *levels)
    np.testing.assert_allclose(ours[0, 2:], theirs[2:].numpy(), rtol=1e-9, atol=1e-12)
    # Outside, as torchvision's compiled kernels; its text in Python repeats the border.
    assert not ours[0, :2].any()


def read(x: np.ndarray, y: float, x_at: float) -> np.ndarray:
    """Bilinear interpolation by its definition, 0 outside.  (C, H, W) → (C,)."""
    total = np.zeros(len(x))
    for row in range(x.shape[1]):
        for column in range(x.shape[2]):
            near = max(0.0, 1 - abs(y - row)) * max(0.0, 1 - abs(x_at - column))
            total += near * x[:, row, column]
    return total


def test_features_of_regions_are_what_loops_find() -> None:
    x, boxes = RNG.normal(size=(1, 2, 7, 6)), boxes_of(6, 30.0, 30.0)
    # Narrower than a cell, across the border, and outside.
    boxes[0, :3] = [[8, 8, 9, 9], [-10, 20, 12, 60], [300, 8, 340, 20]]
    (found,) = both("roi_align", {"size": (2, 3), "strides": (4,)}, boxes, x)
    height, width = x.shape[2:]
    for n, box in enumerate(boxes[0] / 4):
        bin_h, bin_w = max(box[3] - box[1], 1) / 2, max(box[2] - box[0], 1) / 3
        for i, j in itertools.product(range(2), range(3)):
            total = np.zeros(2)
            for v, u in itertools.product((0.25, 0.75), repeat=2):
                y, at = box[1] + (i + v) * bin_h, box[0] + (j + u) * bin_w
                if -1 <= y <= height and -1 <= at <= width:
                    total += read(x[0], min(max(y, 0), height - 1), min(max(at, 0), width - 1))
            np.testing.assert_allclose(found[0, n, :, i, j], total / 4, atol=1e-12)


@pytest.mark.parametrize("masked", [False, True])
def test_deformable_convolution_is_what_loops_find(masked: bool) -> None:
    x, offset = RNG.normal(size=(1, 4, 6, 5)), 2 * RNG.normal(size=(1, 36, 3, 3))
    mask = RNG.uniform(size=(1, 18, 3, 3))
    weight, bias = RNG.normal(size=(6, 2, 3, 3)), RNG.normal(size=6)
    inputs = (x, offset, mask) if masked else (x, offset)
    shapes: tuple[Shape, ...] = tuple(array.shape[1:] for array in inputs)
    op = made("deform_conv", {"out": 6, "kernel": 3, "stride": 2, "groups": 2}, *shapes)
    found = op.run(*inputs, weight=weight, bias=bias)[0]
    for k, i, j in itertools.product(range(6), range(3), range(3)):
        total = bias[k]
        for c, u, v in itertools.product(range(2), range(3), range(3)):
            channel = 2 * (k // 3) + c
            part, tap = channel // 2, 3 * u + v
            dy, dx = offset[0, 18 * part + 2 * tap : 18 * part + 2 * tap + 2, i, j]
            value = read(x[0], 2 * i - 1 + u + dy, 2 * j - 1 + v + dx)[channel]
            total += (
                weight[k, c, u, v] * value * (mask[0, 9 * part + tap, i, j] if masked else 1)
            )
        np.testing.assert_allclose(found[k, i, j], total)


TORCHVISION = {
    False: """
    -0.407833112328 -0.348335998425 0.456809077755 -0.079675415438
    1.680604416964 0.487658243691 0.031428578445 0.802680053601
    1.066407854322 0.097921104451 0.978972690696 0.393852019179
    2.537258758588 1.198293825659 0.739991093679 0.846766267479
    0.378776377774 1.100786897773 2.934779116361 1.497108429610
    1.679983673204 0.368988558153 0.572840587278 1.507949473736
    """,
    True: """
    -0.330092589550 -0.308962170516 0.685146011988 0.250187207944
    -0.023545879204 -0.052406865088 0.277404931829 0.739453674007
    0.867222288453 0.330052303335 0.235074197058 0.286986292060
    1.331731059704 0.255468542686 1.159423371255 1.122733916533
    0.909964028654 0.416826890558 1.869377849041 1.216679169481
    1.665642843688 0.743249285442 0.977426694196 0.438634996477
    """,
}
"""What `torchvision.ops.deform_conv2d` 0.28 makes of the test's inputs, by `masked`.

It was computed once, in float64: there is but the compiled kernel, which a torch for CPUs does
not load."""


@pytest.mark.parametrize("masked", [False, True])
def test_deformable_convolution_is_torchvisions(masked: bool) -> None:
    def waves(*shape: int, step: float, scale: float = 1.0) -> np.ndarray:
        return scale * np.sin(step * np.arange(math.prod(shape), dtype=float)).reshape(shape)

    x, offset = waves(1, 4, 5, 4, step=0.7), waves(1, 36, 3, 2, step=1.3, scale=2.0)
    mask = waves(1, 18, 3, 2, step=0.9) ** 2
    weight, bias = waves(4, 2, 3, 3, step=1.1), waves(4, step=0.5)
    inputs = (x, offset, mask) if masked else (x, offset)
    shapes: tuple[Shape, ...] = tuple(array.shape[1:] for array in inputs)
    op = made("deform_conv", {"out": 4, "kernel": 3, "stride": 2, "groups": 2}, *shapes)
    wanted = np.array(TORCHVISION[masked].split(), float)
    found = op.run(*inputs, weight=weight, bias=bias)
    np.testing.assert_allclose(found.ravel(), wanted, atol=1e-11)
    for module in forms(op, shapes):
        values = {"weight": torch.from_numpy(weight), "bias": torch.from_numpy(bias)}
        state = {name: values[name.rpartition(".")[2]] for name in module.state_dict()}
        module.double().load_state_dict(state)
        with torch.no_grad():
            made_there = module(*map(torch.from_numpy, inputs))
        np.testing.assert_allclose(made_there.numpy().ravel(), wanted, atol=1e-11)


def test_without_offsets_a_deformable_convolution_is_a_convolution() -> None:
    x, weight = RNG.normal(size=(2, 4, 7, 6)), RNG.normal(size=(6, 4, 3, 3))
    op = made("deform_conv", {"out": 6, "kernel": 3, "bias": False}, (4, 7, 6), (18, 7, 6))
    plain = made("conv", {"out": 6, "kernel": 3, "bias": False}, (4, 7, 6))
    found = op.run(x, np.zeros((2, 18, 7, 6)), weight=weight)
    np.testing.assert_allclose(found, plain.run(x, weight=weight), rtol=1e-9, atol=1e-9)


def test_involution_is_what_loops_find() -> None:
    x, kernel = RNG.normal(size=(1, 6, 5, 4)), RNG.normal(size=(1, 18, 3, 2))
    (found,) = both("involve", {"kernel": 3, "stride": 2, "groups": 2}, x, kernel)
    padded = np.pad(x[0], ((0, 0), (1, 1), (1, 1)))
    for c, i, j in itertools.product(range(6), range(3), range(2)):
        own = kernel[0, 9 * (c // 3) : 9 * (c // 3) + 9, i, j].reshape(3, 3)
        window = padded[c, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3]
        np.testing.assert_allclose(found[0, c, i, j], (own * window).sum())


def test_reorg_is_darknets_loop() -> None:
    (c, h, w), s = (8, 4, 6), 2
    x = np.arange(c * h * w, dtype=float)
    out = np.empty_like(x)
    # reorg_cpu(x, w, h, c, 1, s, forward=0, out) of darknet's blas.c.
    for k, j, i in itertools.product(range(c), range(h), range(w)):
        c2, offset = k % (c // s**2), k // (c // s**2)
        w2, h2 = i * s + offset % s, j * s + offset // s
        out[i + w * (j + h * k)] = x[w2 + w * s * (h2 + h * s * c2)]
    (found,) = both("reorg", {}, x.reshape(1, c, h, w))
    np.testing.assert_array_equal(found, out.reshape(1, c * s * s, h // s, w // s))
    unshuffled = torch.pixel_unshuffle(torch.from_numpy(x.reshape(1, c, h, w)), s)
    assert not np.array_equal(found, unshuffled.numpy())


def test_gather_takes_each_rows_own_class() -> None:
    x, index = RNG.normal(size=(2, 5, 3, 2, 2)), RNG.integers(0, 3, (2, 5))
    (found,) = both("gather", {"axis": 1}, x, index)
    for n, row in itertools.product(range(2), range(5)):
        np.testing.assert_array_equal(found[n, row], x[n, row, index[n, row]])


# ── Refusals ─────────────────────────────────────────────────────────────────────────

REFUSED: list[tuple[str, dict[str, object], tuple[Shape, ...], str]] = [
    ("anchor_grid", {"stride": (8, 8)}, ((3, 4, 4),), "takes `wh`, or"),
    ("anchor_grid", {"stride": (8,), "wh": ((1, 1),)}, ((3, 4, 4),), "`stride`"),
    ("anchor_grid", {"stride": (8, 8), "wh": ((0, 1),)}, ((3, 4, 4),), "positive"),
    ("anchor_grid", {"stride": (8, 8), "sizes": (0,), "ratios": (1,)}, ((3, 4, 4),), "must be"),
    ("anchor_grid", {"stride": (8, 8), "wh": ((1, 1),)}, ((3, 4),), "2 spatial axes"),
    ("anchor_grid", {"stride": (8, 8), "wh": ((1, 1),), "image": (0, 9)}, ((3, 4, 4),), "`im"),
    ("anchor_grid", {"stride": (8, 8), "sizes": (9,), "ratios": (1,), "image": (9, 9)},
     ((3, 4, 4),), "as shares"),
    ("decode", {}, ((5, 4), (6, 4)), "5 boxes, but 6"),
    ("decode", {}, ((5, 3), (5, 4)), "boxes must be"),
    ("decode", {"clip": (0, 4)}, ((5, 4), (5, 4)), "`clip`"),
    ("topk", {"k": -1}, ((5, 4), (5,)), "`k` is -1"),
    ("topk", {"k": 1}, ((5, 4), (5, 2, 2)), "scores must be"),
    ("nms", {"k": 1}, ((5, 4), (4,)), "5 boxes, but 4"),
    ("nms", {"k": 1}, ((5, 3, 4), (5,)), "need scores"),
    ("nms", {"k": 1}, ((5, 4), (5, 2), (5,)), "beside the scores"),
    ("nms", {"k": 1}, ((5, 4), (5,), (5, 1)), "labels must be"),
    ("nms", {"k": 1, "pre": -1}, ((5, 4), (5,)), "`pre` is -1"),
    ("roi_align", {"size": 7, "strides": (4, 8)}, ((5, 4), (3, 8, 8)), "2 strides for 1"),
    ("roi_align", {"size": 7, "strides": (3,)}, ((5, 4), (3, 8, 8)), "strides"),
    ("roi_align", {"size": 0, "strides": (4,)}, ((5, 4), (3, 8, 8)), "`size`"),
    (
        "roi_align",
        {"size": 7, "strides": (4,), "sampling_ratio": 0},
        ((5, 4), (3, 8, 8)),
        "`sampling_ratio` is 0",
    ),
    ("roi_align", {"size": 7, "strides": (4, 8)}, ((5, 4), (3, 8, 8), (2, 4, 4)), "channels"),
    ("gather", {"axis": 1}, ((5, 3), (4,)), "the index [4]"),
    ("gather", {"axis": 2}, ((5, 3), (5, 3)), "axis 2"),
    ("deform_conv", {"out": 4, "kernel": 3}, ((4, 5, 5), (17, 5, 5)), "offsets"),
    ("deform_conv", {"out": 4, "kernel": 3}, ((4, 5, 5), (18, 5, 5), (8, 5, 5)), "the mask is"),
    ("deform_conv", {"out": 4, "kernel": 2, "pad": (0, 1) * 2}, ((4, 5, 5), (8, 5, 5)), "both"),
    ("involve", {"kernel": 3}, ((4, 5, 5), (18, 5, 5)), "kernels"),
    ("involve", {"kernel": 3, "groups": 3}, ((4, 5, 5), (27, 5, 5)), "does not divide"),
    ("reorg", {}, ((6, 4, 4),), "cannot be taken apart"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "arguments", "shapes", "message"), REFUSED)
def test_what_does_not_fit_is_refused(
    name: str, arguments: dict[str, object], shapes: tuple[Shape, ...], message: str
) -> None:
    with pytest.raises(OpError) as error:
        made(name, arguments, *shapes).shape(*shapes)
    assert message in error.value.message
