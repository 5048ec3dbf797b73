"""Losses of detectors: by hand, equal to torchvision's and darknet's, with right gradients."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

import cnndsl
from cnndsl.losses import (
    BACKGROUND,
    IGNORED,
    YOLOV3_PRIORS,
    encode,
    focal_loss,
    hardest,
    iou,
    matches,
    multibox_loss,
    multibox_matches,
    retinanet_loss,
    rpn_loss,
    sampled,
    smooth_l1,
    yolov1_loss,
    yolov3_loss,
)
from cnndsl.ops.anchors import AnchorGrid
from tests.torchvision_cpu import torchvision

detection = torchvision.models.detection
_utils, retinanet, rpn, ssd = (
    getattr(detection, name) for name in ("_utils", "retinanet", "rpn", "ssd")
)
box_iou = torchvision.ops.box_iou
NONE = torch.zeros(0, 4)
NO_LABELS = torch.zeros(0, dtype=torch.long)
SIZE = (96, 128)


def random_boxes(count: int, size: tuple[int, int] = SIZE) -> Tensor:
    corner = torch.rand(count, 2) * torch.tensor([size[1], size[0]]) * 0.6
    return torch.cat([corner, corner + 4 + torch.rand(count, 2) * 30], 1)


def grid_anchors(size: tuple[int, int] = SIZE, step: int = 16) -> Tensor:
    """Three shapes in the middle of each cell."""
    y, x = torch.meshgrid(
        torch.arange(0, size[0], step), torch.arange(0, size[1], step), indexing="ij"
    )
    centres = (torch.stack([x, y], -1).view(-1, 1, 2) + step / 2).float()
    half = torch.tensor([[8.0, 8], [12, 6], [6, 12]])
    return torch.cat([centres - half, centres + half], -1).view(-1, 4)


def batch(*counts: int, classes: range = range(1, 4)) -> tuple[list[Tensor], list[Tensor]]:
    labels = [torch.randint(classes.start, classes.stop, (n,)) for n in counts]
    return [random_boxes(n) for n in counts], labels


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


# Focal loss and smooth L1


@pytest.mark.parametrize(("probability", "weight"), [(0.9, 0.01), (0.968, 0.001), (0.5, 0.25)])
@pytest.mark.parametrize("target", [0.0, 1.0])
def test_focal_loss_weighs_an_easy_example_by_its_miss_squared(
    probability: float, weight: float, target: float
) -> None:
    logit = torch.tensor(probability).logit() * (1 if target else -1)
    loss = focal_loss(logit, torch.tensor(target), alpha=None)
    assert loss / -math.log(probability) == pytest.approx(weight, rel=0.03)
    assert loss / -math.log(probability) == pytest.approx((1 - probability) ** 2, rel=1e-4)


def test_focal_loss_without_focus_is_cross_entropy() -> None:
    logits, targets = torch.randn(5, 3), torch.randint(0, 2, (5, 3))
    expected = functional.binary_cross_entropy_with_logits(logits, targets.float())
    torch.testing.assert_close(focal_loss(logits, targets, gamma=0, alpha=None), expected)
    torch.testing.assert_close(focal_loss(logits, targets, gamma=0, alpha=0.5), expected / 2)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 5.0])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_focal_loss_equals_torchvisions(gamma: float, reduction: Any) -> None:
    logits, targets = 4 * torch.randn(7, 3), torch.randint(0, 2, (7, 3)).float()
    ours = focal_loss(logits, targets, gamma=gamma, alpha=0.3, reduction=reduction)
    theirs = torchvision.ops.sigmoid_focal_loss(logits, targets, 0.3, gamma, reduction)
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_focal_loss_has_the_right_gradient_and_a_finite_one_where_it_is_sure(
    gamma: float,
) -> None:
    targets = torch.tensor([0.0, 1, 1, 0])
    logits = torch.tensor([-1.5, 2, -3, 0.5], dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: focal_loss(x, targets, gamma=gamma), logits)
    sure = torch.tensor([-500.0, 500, -500, 500], requires_grad=True)
    loss = focal_loss(sure, targets, gamma=gamma, reduction="sum")
    loss.backward()
    assert loss.isfinite()
    assert sure.grad is not None
    assert sure.grad.isfinite().all()


def test_smooth_l1_is_quadratic_below_beta_and_linear_above() -> None:
    found = smooth_l1(torch.tensor([0.5, -1, 3, 0]), torch.zeros(4), reduction="none")
    assert found.tolist() == [0.125, 0.5, 2.5, 0]
    found = smooth_l1(torch.tensor([0.05, -0.1, 3]), torch.zeros(3), beta=0.1, reduction="none")
    assert found.tolist() == pytest.approx([0.0125, 0.05, 2.95])
    assert smooth_l1(torch.tensor([-2.0, 1]), torch.zeros(2), beta=0) == 1.5
    points = torch.tensor([0.5, -0.9, 3, 0.1], dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: smooth_l1(x, torch.zeros(4)), points)


@pytest.mark.parametrize("loss", [focal_loss, smooth_l1])
def test_shapes_that_would_broadcast_are_refused(loss: Callable[..., Tensor]) -> None:
    with pytest.raises(ValueError, match=r"one shape, and these are \(3, 1\) and \(3,\)"):
        loss(torch.zeros(3, 1), torch.zeros(3))


# Boxes and matching


def test_iou_equals_torchvisions_and_is_0_without_an_area() -> None:
    a, b = random_boxes(6), random_boxes(9)
    torch.testing.assert_close(iou(a[:, None], b), box_iou(a, b))
    point = torch.tensor([5.0, 5, 5, 5])
    assert iou(point, point) == 0
    assert iou(torch.tensor([0.0, 0, 2, 2]), torch.tensor([1.0, 0, 3, 2])) == pytest.approx(
        1 / 3
    )


def test_encode_equals_torchvisions_coder() -> None:
    boxes, anchors = random_boxes(20), random_boxes(20)
    divisors = (10.0, 10.0, 5.0, 5.0)
    theirs = _utils.BoxCoder(divisors).encode_single(boxes, anchors)
    torch.testing.assert_close(encode(boxes, anchors, divisors), theirs)


def decoded(line: str, *inputs: Tensor) -> Tensor:
    """What the operation makes of predictions and anchors (B, N, 4)."""
    text = f"model M: (t[N, 4], a[N, 4]) -> boxes[N, 4] {{ boxes: {line} {{ t; a }} }}"
    rows = inputs[0].shape[1:]
    net = cnndsl.loads(text, inputs={"t": tuple(rows), "a": tuple(rows)}).to_torch()
    found: Tensor = net(*inputs)
    return found


def test_what_is_encoded_the_operation_decodes() -> None:
    boxes, anchors = random_boxes(20)[None], random_boxes(20)[None]
    offsets = encode(boxes, anchors, (10, 10, 5, 5))
    found = decoded("decode(divisors=[10, 10, 5, 5])", offsets, anchors)
    torch.testing.assert_close(found, boxes)


def test_boxes_that_decode_rightly_have_no_loss_in_yolo() -> None:
    """The losses read the raw numbers as the operation does."""
    y = torch.rand(1, 3, 4, 6)
    corner = torch.stack(
        torch.meshgrid(torch.arange(4) * 32.0, torch.arange(3) * 32.0, indexing="xy"), -1
    ).view(1, -1, 2)
    image = torch.tensor([128.0, 96])
    grid = torch.cat([corner - image / 2, corner + image / 2], -1)
    boxes = decoded('decode("yolov1", stride=[32, 32])', y[..., 2:].view(1, -1, 4), grid)[0]
    labels = torch.zeros(12, dtype=torch.long)
    loss = yolov1_loss(y, [boxes], [labels], SIZE, predictors=1)
    assert loss.location == pytest.approx(0, abs=1e-9)

    raw = torch.randn(1, 6, 3, 4)
    prior = torch.tensor([30.0, 20])
    grid = torch.cat([corner - prior / 2, corner + prior / 2], -1)
    rows = raw[:, :4].permute(0, 2, 3, 1).reshape(1, -1, 4)
    boxes = decoded('decode("yolo", stride=[32, 32])', rows, grid)[0]
    raw.requires_grad_()
    found = yolov3_loss([raw], [boxes], [labels], SIZE, priors=(((30.0, 20.0),),))
    found.location.backward()
    assert raw.grad is not None
    torch.testing.assert_close(raw.grad, torch.zeros_like(raw), atol=1e-5, rtol=0)


@given(seed=st.integers(0, 1000), count=st.integers(1, 6), forced=st.booleans())
def test_matches_equal_torchvisions_matcher(seed: int, count: int, forced: bool) -> None:
    torch.manual_seed(seed)
    # Objects inside the grid of anchors: each overlaps one.
    boxes, anchors = random_boxes(count), grid_anchors()
    matcher = _utils.Matcher(0.5, 0.3, allow_low_quality_matches=forced)
    theirs = matcher(box_iou(boxes, anchors))
    assert matches(boxes, anchors, 0.5, 0.3, forced).equal(theirs)


def test_an_object_outside_all_anchors_claims_none() -> None:
    far = torch.tensor([[500.0, 500, 520, 520]])
    assert (matches(far, grid_anchors(), 0.7, 0.3) == BACKGROUND).all()
    assert (multibox_matches(far, grid_anchors()) == BACKGROUND).all()


def test_an_iou_between_the_thresholds_is_ignored() -> None:
    anchors = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 5], [0, 0, 10, 2], [0, 0, 10, 7]])
    matched = matches(torch.tensor([[0.0, 0, 10, 10]]), anchors, 0.7, 0.3)
    assert matched.tolist() == [0, IGNORED, BACKGROUND, 0]


def test_every_object_has_a_default_box_of_its_own() -> None:
    anchors = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 4], [40, 40, 50, 50]])
    # Both overlap the first most; the second object has it, for its IoU is higher.
    boxes = torch.tensor([[0.0, 0, 10, 8], [0, 0, 10, 9]])
    assert multibox_matches(boxes, anchors).tolist() == [1, 0, BACKGROUND]


@given(seed=st.integers(0, 1000), count=st.integers(1, 40))
def test_an_object_without_a_default_box_overlaps_none_that_is_free(
    seed: int, count: int
) -> None:
    torch.manual_seed(seed)
    boxes, anchors = random_boxes(count), grid_anchors()
    matched = multibox_matches(boxes, anchors)
    for lost in set(range(count)) - set(matched.tolist()):
        assert (matched[iou(boxes[lost], anchors) > 0] >= 0).all()


def test_matching_equals_torchvisions_where_no_objects_compete() -> None:
    anchors = grid_anchors()
    boxes = torch.tensor([[10.0, 10, 30, 22], [70, 40, 78, 64], [100, 70, 126, 90]])
    theirs = _utils.SSDMatcher(0.5)(box_iou(boxes, anchors))
    assert multibox_matches(boxes, anchors).equal(theirs)


# SSD


def test_three_negatives_for_each_match_are_the_hardest() -> None:
    matched = torch.full((3, 8), BACKGROUND)
    matched[0, 2], matched[2, :4] = 0, 0
    loss = torch.tensor([[1.0, 8, 99, 2, 7, 3, 9, 0]]).repeat(3, 1)
    mined = hardest(loss, matched, 3).int().tolist()
    assert mined[0] == [0, 1, 0, 0, 1, 0, 1, 0]
    assert mined[1] == [0] * 8
    # Twelve are asked for, and four are there.
    assert mined[2] == [0] * 4 + [1] * 4


def test_multibox_loss_by_hand() -> None:
    anchors = torch.tensor(
        [[0.0, 0, 10, 10], [20, 20, 30, 30], [40, 0, 50, 10], [0, 40, 10, 50]]
    )
    boxes, labels = [torch.tensor([[1.0, 0, 11, 10]])], [torch.tensor([1])]
    cls = torch.tensor([[[0.0, 1], [2, 0], [0, 0], [5, 0]]])
    loss = multibox_loss(cls, torch.zeros(1, 4, 4), anchors, boxes, labels, negatives=2)
    # The centre is off by a tenth of the width, times 10; 1 is where it turns linear.
    assert loss.location == pytest.approx(0.5)
    hard = math.log(1 + math.exp(-2)), math.log(2)
    assert loss.confidence == pytest.approx(math.log(1 + math.exp(-1)) + sum(hard))
    assert loss.total == loss.location + loss.confidence


def test_multibox_loss_equals_torchvisions() -> None:
    anchors = grid_anchors()
    boxes, labels = batch(3, 0, 5, 1)
    cls, reg = torch.randn(4, len(anchors), 4), torch.randn(4, len(anchors), 4)
    ours = multibox_loss(cls, reg, anchors, boxes, labels)
    model = SimpleNamespace(box_coder=_utils.BoxCoder((10, 10, 5, 5)), neg_to_pos_ratio=3)
    theirs = ssd.SSD.compute_loss(
        model,
        [{"boxes": b, "labels": n} for b, n in zip(boxes, labels, strict=True)],
        {"bbox_regression": reg, "cls_logits": cls},
        [anchors] * 4,
        [multibox_matches(b, anchors) for b in boxes],
    )
    torch.testing.assert_close(ours.location, theirs["bbox_regression"])
    torch.testing.assert_close(ours.confidence, theirs["classification"])


# RetinaNet


def test_retinanet_loss_equals_torchvisions() -> None:
    anchors = grid_anchors()
    boxes, labels = batch(3, 0, 5, classes=range(3))
    cls, reg = torch.randn(3, len(anchors), 3), torch.randn(3, len(anchors), 4)
    ours = retinanet_loss(cls, reg, anchors, boxes, labels, beta=0)
    head = retinanet.RetinaNetHead(8, 3, 3)
    matcher = _utils.Matcher(0.5, 0.4, allow_low_quality_matches=True)
    theirs = head.compute_loss(
        [{"boxes": b, "labels": n} for b, n in zip(boxes, labels, strict=True)],
        {"bbox_regression": reg, "cls_logits": cls},
        [anchors] * 3,
        [
            matcher(box_iou(b, anchors)) if len(b) else torch.full((len(anchors),), -1)
            for b in boxes
        ],
    )
    torch.testing.assert_close(ours.location, theirs["bbox_regression"])
    torch.testing.assert_close(ours.classes, theirs["classification"])


# Region proposals


def test_a_sample_is_half_matched_at_most_and_filled_with_background() -> None:
    matched = torch.full((1000,), IGNORED)
    matched[:200], matched[200:900] = 0, BACKGROUND
    chosen = sampled(matched, 256, 0.5)
    assert (chosen.sum(), chosen[:200].sum(), chosen[900:].sum()) == (256, 128, 0)
    matched[10:200] = IGNORED
    chosen = sampled(matched, 256, 0.5)
    assert (chosen.sum(), chosen[:10].sum()) == (256, 10)
    matched[30:] = IGNORED
    assert sampled(matched, 256, 0.5)[:10].sum() == 10


def test_a_generator_decides_the_sample() -> None:
    matched = torch.full((1000,), BACKGROUND)
    first, second, third = (
        sampled(matched, 256, 0.5, torch.Generator().manual_seed(n)) for n in (1, 1, 2)
    )
    assert first.equal(second)
    assert not first.equal(third)


@pytest.mark.parametrize("count", [8, 64, 256])
def test_rpn_loss_equals_torchvisions_on_the_same_sample(count: int) -> None:
    anchors = grid_anchors()
    boxes, _ = batch(3, 0, 5)
    objectness, deltas = torch.randn(3, len(anchors)), torch.randn(3, len(anchors), 4)
    torch.manual_seed(1)
    ours = rpn_loss(objectness, deltas, anchors, boxes, count=count)
    net = rpn.RegionProposalNetwork(None, None, 0.7, 0.3, count, 0.5, {}, {}, 0.7)
    targets = [{"boxes": b} for b in boxes]
    labels, wanted = net.assign_targets_to_anchors([anchors] * 3, targets)
    wanted = net.box_coder.encode(wanted, [anchors] * 3)
    torch.manual_seed(1)
    theirs = net.compute_loss(objectness.view(-1, 1), deltas.view(-1, 4), labels, wanted)
    torch.testing.assert_close(ours.objectness, theirs[0])
    torch.testing.assert_close(ours.location, theirs[1])


def test_anchors_across_the_border_are_ignored_on_request() -> None:
    anchors = torch.tensor([[-1.0, 0, 9, 10], [0, 0, 8, 10], [120, 0, 129, 10]])
    box = [torch.tensor([[0.0, 0, 9, 10]])]
    objectness = torch.zeros(1, 3, requires_grad=True)
    loss = rpn_loss(objectness, torch.zeros(1, 3, 4), anchors, box, within=SIZE)
    loss.total.backward()
    assert objectness.grad is not None
    assert objectness.grad.tolist() == [[0, -0.5, 0]]


# YOLOv1


def test_yolov1_loss_by_hand() -> None:
    # Two classes, two predictors, 2×2 cells of 50 pixels; one object in the cell (1, 0).
    y = torch.zeros(1, 2, 2, 12)
    y[0, 0, 1] = torch.tensor([0.7, 0.1, 0.4, 0.2, 0, 0, 0.1, 0.1, 0.5, 0.5, 0.5, 0.5])
    y[0, 1, 0, 2:4] = torch.tensor([0.3, 0.5])
    box = torch.tensor([[60.0, 10, 80, 50]])
    loss = yolov1_loss(y, [box], [torch.tensor([0])], (100, 100))
    # The second predictor overlaps it: its centre is (75, 25), its sides 25, the truth's
    # centre (70, 30), or 0.4, 0.6 in the cell, its sides 20 and 40.
    overlap = (80 - 62.5) * (37.5 - 12.5) / (625 + 800 - (80 - 62.5) * (37.5 - 12.5))
    sides = (0.5 - math.sqrt(0.2)) ** 2 + (0.5 - math.sqrt(0.4)) ** 2
    assert loss.location == pytest.approx(5 * (0.1**2 + 0.1**2 + sides))
    assert loss.confidence == pytest.approx((0.2 - overlap) ** 2)
    assert loss.background == pytest.approx(0.5 * (0.4**2 + 0.3**2 + 0.5**2))
    assert loss.classes == pytest.approx(0.3**2 + 0.1**2)
    assert loss.total == sum(loss)
    fixed = yolov1_loss(y, [box], [torch.tensor([0])], (100, 100), rescore=False)
    assert fixed.confidence == pytest.approx(0.8**2)


def test_where_nothing_overlaps_the_nearest_predictor_answers() -> None:
    y = torch.zeros(1, 1, 1, 11)
    y[0, 0, 0, 3:] = torch.tensor([0.9, 0.9, 0.1, 0.1, 0.4, 0.4, 0.1, 0.1])
    box = torch.tensor([[0.0, 0, 2, 2]])
    y[0, 0, 0, 1:3] = torch.tensor([1.0, 3])
    loss = yolov1_loss(y, [box], [torch.tensor([0])], (100, 100))
    assert loss.confidence == 9
    assert loss.background == 0.5


def test_of_two_objects_in_a_cell_the_first_counts() -> None:
    y = torch.rand(1, 2, 2, 12)
    boxes = torch.tensor([[0.0, 0, 40, 40], [4, 4, 30, 30]])
    both = yolov1_loss(y, [boxes], [torch.tensor([1, 0])], (100, 100))
    assert both == yolov1_loss(y, [boxes[:1]], [torch.tensor([1])], (100, 100))


def test_a_perfect_yolov1_has_no_loss() -> None:
    boxes, labels = (
        [torch.tensor([[20.0, 30, 60, 80], [90, 2, 128, 40]])],
        [torch.tensor([2, 0])],
    )
    y = torch.zeros(1, 7, 7, 3 + 10)
    for box, label in zip(boxes[0], labels[0], strict=True):
        x, v = (box[0] + box[2]) / 2 / 128 * 7, (box[1] + box[3]) / 2 / 96 * 7
        at = y[0, int(v), int(x)]
        at[label], at[3] = 1, 1
        sides = ((box[2] - box[0]) / 128).sqrt(), ((box[3] - box[1]) / 96).sqrt()
        at[5:9] = torch.stack([x - int(x), v - int(v), *sides])
    assert yolov1_loss(y, boxes, labels, SIZE).total == pytest.approx(0, abs=1e-9)


# YOLOv3


def test_yolov3_descends_darknets_deltas() -> None:
    """Of `yolo_layer.c`: truth − output, where the output is logistic or raw."""
    priors = (((40.0, 30.0), (10.0, 12.0)),)
    raw = torch.randn(1, 2 * 8, 3, 4, requires_grad=True)
    box, label = torch.tensor([[40.0, 30, 70, 58]]), torch.tensor([1])
    yolov3_loss([raw], [box], [label], SIZE, priors=priors, ignore=1).total.backward()
    assert raw.grad is not None
    delta = -raw.grad.view(2, 8, 3, 4)
    # The centre is (55, 44) in cells of 32 pixels; the first prior has the nearer shape.
    output = raw.detach().view(2, 8, 3, 4)
    told, seen = delta[0, :, 1, 1], output[0, :, 1, 1]
    scale = 2 - 30 * 28 / (96 * 128)
    truth = torch.tensor([55 / 32 - 1, 44 / 32 - 1, math.log(30 / 40), math.log(28 / 30)])
    guess = torch.cat([seen[:2].sigmoid(), seen[2:4]])
    torch.testing.assert_close(told[:4], scale * (truth - guess))
    torch.testing.assert_close(told[4], 1 - seen[4].sigmoid())
    torch.testing.assert_close(told[5:], torch.tensor([0.0, 1, 0]) - seen[5:].sigmoid())
    others = torch.ones(2, 3, 4, dtype=torch.bool)
    others[0, 1, 1] = False
    torch.testing.assert_close(
        delta.permute(0, 2, 3, 1)[others][:, 4],
        -output.permute(0, 2, 3, 1)[others][:, 4].sigmoid(),
    )
    assert (delta.permute(0, 2, 3, 1)[others][:, [0, 1, 2, 3, 5, 6, 7]] == 0).all()


def test_a_good_box_that_does_not_answer_is_ignored() -> None:
    priors = (((32.0, 32.0), (30.0, 30.0)),)
    raw = torch.zeros(1, 2 * 6, 3, 4, requires_grad=True)
    box = torch.tensor([[32.0, 32, 64, 64]])
    for ignore, touched in ((0.5, 0.0), (0.95, 0.5)):
        raw.grad = None
        loss = yolov3_loss(
            [raw], [box], [torch.tensor([0])], SIZE, priors=priors, ignore=ignore
        )
        loss.total.backward()
        assert raw.grad is not None
        assert raw.grad.view(2, 6, 3, 4)[:, 4, 1, 1].tolist() == [-0.5, touched]


def test_each_object_has_one_prior_of_one_map() -> None:
    maps = [torch.zeros(1, 3 * 7, n, n, requires_grad=True) for n in (3, 6, 12)]
    box = torch.tensor([[20.0, 20, 80, 66]])
    yolov3_loss(maps, [box], [torch.tensor([1])], (96, 96)).classes.backward()
    # 60×46 is nearest to 62×45, the second prior of the second map, strides 16.
    coarse, middle, fine = (m.grad for m in maps)
    assert coarse is not None
    assert middle is not None
    assert fine is not None
    assert (coarse.count_nonzero(), fine.count_nonzero()) == (0, 0)
    assert middle.view(3, 7, 6, 6).nonzero().tolist() == [[1, 5, 2, 3], [1, 6, 2, 3]]


def test_objects_that_one_prior_answers_for_add_their_classes() -> None:
    priors = (((32.0, 32.0),),)
    raw = torch.zeros(1, 8, 3, 4, requires_grad=True)
    boxes = torch.tensor([[34.0, 34, 60, 62], [36.0, 36, 56, 56]])
    loss = yolov3_loss([raw], [boxes], [torch.tensor([0, 2])], SIZE, priors=priors)
    last = yolov3_loss([raw], [boxes[1:]], [torch.tensor([2])], SIZE, priors=priors)
    assert loss.location == last.location
    loss.classes.backward()
    assert raw.grad is not None
    assert raw.grad[0, 5:, 1, 1].tolist() == [-0.5, 0.5, -0.5]


def test_an_object_at_the_far_border_is_in_the_last_cell() -> None:
    box = torch.tensor([[126.0, 94, 130, 98]])
    raw = torch.zeros(1, 8, 3, 4, requires_grad=True)
    priors = (((32.0, 32.0),),)
    yolov3_loss([raw], [box], [torch.tensor([0])], SIZE, priors=priors).classes.backward()
    assert raw.grad is not None
    assert raw.grad[0].nonzero()[:, 1:].unique(dim=0).tolist() == [[2, 3]]
    assert yolov1_loss(
        torch.rand(1, 3, 4, 11), [box], [torch.tensor([0])], SIZE
    ).total.isfinite()


# What holds for all: each with a network's outputs of two images, and a label that is known

Loss = Callable[[list[Tensor], list[Tensor], list[Tensor]], Any]
ANCHORS = grid_anchors(step=32)
SMALL_PRIORS = (((40.0, 30.0), (10.0, 12.0)), ((20.0, 20.0),))
LOSSES: dict[str, tuple[Loss, list[tuple[int, ...]]]] = {
    "multibox": (
        lambda x, b, n: multibox_loss(x[0], x[1], ANCHORS, b, n),
        [(len(ANCHORS), 4), (len(ANCHORS), 4)],
    ),
    "retinanet": (
        lambda x, b, n: retinanet_loss(x[0], x[1], ANCHORS, b, n),
        [(len(ANCHORS), 4), (len(ANCHORS), 4)],
    ),
    "rpn": (
        lambda x, b, n: rpn_loss(
            x[0], x[1], ANCHORS, b, count=16, generator=torch.Generator().manual_seed(0)
        ),
        [(len(ANCHORS),), (len(ANCHORS), 4)],
    ),
    "yolov1": (
        lambda x, b, n: yolov1_loss(x[0], b, n, SIZE, rescore=False),
        [(3, 3, 14)],
    ),
    "yolov3": (
        lambda x, b, n: yolov3_loss(x, b, n, SIZE, priors=SMALL_PRIORS),
        [(2 * 9, 2, 3), (9, 4, 5)],
    ),
}
every_loss = pytest.mark.parametrize("name", LOSSES)
every_labelled = pytest.mark.parametrize("name", [n for n in LOSSES if n != "rpn"])
every_anchored = pytest.mark.parametrize("name", ["multibox", "retinanet", "rpn"])


def outputs(name: str, count: int, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    shapes = LOSSES[name][1]
    return [torch.randn(count, *s, dtype=dtype, requires_grad=True) for s in shapes]


@every_loss
def test_the_gradient_is_right(name: str) -> None:
    boxes, labels = batch(2, 0, 1)
    raw = outputs(name, 3, torch.double)
    loss = LOSSES[name][0]
    # Along random directions: each number of each output alone takes seconds.
    assert torch.autograd.gradcheck(
        lambda *x: loss(list(x), boxes, labels).total, raw, fast_mode=True
    )


@every_loss
def test_a_batch_without_objects_has_a_finite_loss_and_gradient(name: str) -> None:
    raw = outputs(name, 2)
    loss = LOSSES[name][0](raw, [NONE, NONE], [NO_LABELS, NO_LABELS])
    loss.total.backward()
    assert loss.total.isfinite()
    for x in raw:
        assert x.grad is None or x.grad.isfinite().all()
    terms = loss._asdict()
    assert terms["location"] == 0
    # SSD mines negatives for matches alone; the others learn what no object is.
    assert (loss.total == 0) == (name == "multibox")


@every_labelled  # the others draw a random sample
def test_the_order_of_the_images_does_not_matter(name: str) -> None:
    loss = LOSSES[name][0]
    raw = outputs(name, 3)
    boxes, labels = batch(2, 0, 3)
    once = loss(raw, boxes, labels).total
    again = loss([x.flip(0) for x in raw], boxes[::-1], labels[::-1]).total
    torch.testing.assert_close(once, again)


@every_loss
def test_half_precision_is_read_as_its_numbers_and_has_a_gradient_of_its_own(name: str) -> None:
    boxes, labels = batch(2, 1)
    half = outputs(name, 2, torch.bfloat16)
    found = LOSSES[name][0](half, boxes, labels).total
    assert found == LOSSES[name][0]([x.float() for x in half], boxes, labels).total
    found.backward()
    for x in half:
        assert x.grad is not None
        assert x.grad.isfinite().all()


@every_loss
def test_an_empty_batch_has_a_loss_of_0(name: str) -> None:
    assert LOSSES[name][0](outputs(name, 0), [], []).total == 0


@every_loss
@pytest.mark.parametrize(
    ("boxes", "labels", "message"),
    [
        ([NONE], [NO_LABELS], "the batch has 2 images, and there are 1 lists of boxes"),
        (
            [NONE, torch.zeros(4)],
            [NO_LABELS] * 2,
            r"image 1: boxes are \(4,\), and not \(M, 4\)",
        ),
        (
            [torch.tensor([[5.0, 5, 5, 9]]), NONE],
            [torch.ones(1, dtype=torch.long), NO_LABELS],
            r"image 0: a box is \[5.0, 5.0, 5.0, 9.0\], and x1 < x2",
        ),
        (
            [torch.tensor([[5.0, 5, math.nan, 9]]), NONE],
            [torch.ones(1, dtype=torch.long), NO_LABELS],
            "x1 < x2",
        ),
    ],
)
def test_objects_that_cannot_be_are_refused(
    name: str, boxes: list[Tensor], labels: list[Tensor], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        LOSSES[name][0](outputs(name, 2), boxes, labels)


@every_labelled
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (torch.ones(3), r"image 1: 1 boxes have labels of shape \(3,\)"),
        (torch.tensor([4]), "image 1: label 4 is not in [01]…3"),
        (torch.tensor([1.5]), "image 1: label 1.5 is not in [01]…3"),
    ],
)
def test_labels_that_cannot_be_are_refused(name: str, labels: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LOSSES[name][0](outputs(name, 2), [NONE, random_boxes(1)], [NO_LABELS, labels])


def test_background_is_no_label_of_an_object() -> None:
    with pytest.raises(ValueError, match="label 0 is not in 1…3"):
        multibox_loss(*outputs("multibox", 1), ANCHORS, [random_boxes(1)], [torch.tensor([0])])


@every_anchored
def test_outputs_that_do_not_fit_the_anchors_are_refused(name: str) -> None:
    raw = [x[:, :-1] for x in outputs(name, 1)]
    with pytest.raises(ValueError, match=r"do not fit: .*anchors \(N, 4\)"):
        LOSSES[name][0](raw, [NONE], [NO_LABELS])


@pytest.mark.parametrize("name", ["yolov1", "yolov3"])
def test_a_centre_outside_the_image_is_refused(name: str) -> None:
    box = torch.tensor([[120.0, 10, 140, 20]])
    with pytest.raises(
        ValueError, match=r"image 0: the centre .* which is 128 wide and 96 high"
    ):
        LOSSES[name][0](outputs(name, 1), [box], [torch.tensor([0])])


@pytest.mark.parametrize(
    "shapes",
    [[], [(1, 18, 2, 3)], [(1, 18, 2, 3), (1, 12, 4, 5)], [(1, 17, 2, 3), (1, 9, 4, 5)]],
)
def test_maps_that_do_not_fit_the_priors_are_refused(shapes: list[tuple[int, ...]]) -> None:
    with pytest.raises(ValueError, match=r"the maps are .* for each A of \[2, 1\]"):
        yolov3_loss(
            [torch.zeros(s) for s in shapes], [NONE], [NO_LABELS], SIZE, priors=SMALL_PRIORS
        )


def test_a_grid_without_a_class_is_refused() -> None:
    with pytest.raises(ValueError, match=r"y is \(1, 3, 3, 10\), and not"):
        yolov1_loss(torch.zeros(1, 3, 3, 10), [NONE], [NO_LABELS], SIZE)


@every_anchored
def test_anchors_may_come_once_an_image(name: str) -> None:
    boxes, labels = batch(2, 1)
    raw, each = outputs(name, 2), ANCHORS.expand(2, -1, -1)
    once = LOSSES[name][0](raw, boxes, labels).total
    if name == "rpn":
        generator = torch.Generator().manual_seed(0)
        again = rpn_loss(raw[0], raw[1], each, boxes, count=16, generator=generator)
    else:
        loss = multibox_loss if name == "multibox" else retinanet_loss
        again = loss(raw[0], raw[1], each, boxes, labels)
    assert again.total == once


def test_the_priors_are_the_networks_anchors() -> None:
    grids = [node.op for node in cnndsl.load("yolov3") if isinstance(node.op, AnchorGrid)]
    assert tuple(grid.wh for grid in grids) == YOLOV3_PRIORS


def test_the_priors_are_those_of_the_paper_for_each_map() -> None:
    assert [len(row) for row in YOLOV3_PRIORS] == [3, 3, 3]
    areas = [w * h for row in reversed(YOLOV3_PRIORS) for w, h in row]
    assert areas == sorted(areas)
