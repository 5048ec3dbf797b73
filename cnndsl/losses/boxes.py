"""Boxes, and which anchor answers for which object.

A box is x1, y1, x2, y2 in pixels, its sides x2 − x1 and y2 − y1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

BACKGROUND, IGNORED = -1, -2
"""What an anchor is matched with where it is no object's."""

Divisors = tuple[float, float, float, float]
"""What `decode` divides the four offsets of a box by."""


def iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union.  (…, 4), (…, 4) → (…), broadcast.

    All pairs of (M, 4) and (N, 4) are `iou(a[:, None], b)`, (M, N). Two boxes without an
    area have 0.
    """
    overlap = (torch.min(a[..., 2:], b[..., 2:]) - torch.max(a[..., :2], b[..., :2])).clamp(
        min=0
    )
    both = overlap.prod(-1)
    union = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - both
    return torch.where(union > 0, both / union.where(union > 0, 1), 0)


def encode(boxes: Tensor, anchors: Tensor, divisors: Divisors = (1, 1, 1, 1)) -> Tensor:
    """What a network should say for these boxes at these anchors.  (N, 4), (N, 4) → (N, 4).

    (x − x_a) / W_a, (y − y_a) / H_a, log(W / W_a), log(H / H_a), of centres and sides, times
    the divisors of the operation `decode`, which gives the boxes back; no unit.
    Source: Girshick et al. 2013, arXiv:1311.2524, appendix C.
    """
    box_sides, anchor_sides = (
        boxes[..., 2:] - boxes[..., :2],
        anchors[..., 2:] - anchors[..., :2],
    )
    moved = ((boxes[..., :2] + boxes[..., 2:]) - (anchors[..., :2] + anchors[..., 2:])) / 2
    offsets = torch.cat([moved / anchor_sides, (box_sides / anchor_sides).log()], -1)
    return offsets * offsets.new_tensor(divisors)


def matches(
    boxes: Tensor, anchors: Tensor, positive: float, negative: float, forced: bool = True
) -> Tensor:
    """The object that each anchor answers for.  (M, 4), (N, 4) → (N,), integers.

    That of the highest IoU, where it is at least `positive`; BACKGROUND where it is below
    `negative`; else IGNORED. With `forced`, an anchor that overlaps some object as much as
    any anchor does answers too, whatever its IoU, if it is not 0.
    Source: Ren et al. 2015, arXiv:1506.01497, §3.1.2.
    """
    if not len(boxes) or not len(anchors):
        return torch.full((len(anchors),), BACKGROUND, device=anchors.device)
    overlaps = iou(boxes[:, None], anchors)
    best, found = overlaps.max(0)
    matched = found.masked_fill(best < positive, IGNORED)
    matched[best < negative] = BACKGROUND
    if not forced:
        return matched
    # An object outside all anchors has 0 everywhere, and would make every anchor its own.
    most = overlaps.amax(1, keepdim=True)
    return torch.where(((overlaps == most) & (most > 0)).any(0), found, matched)


def full(given: Tensor) -> Tensor:
    """The same numbers, as float32 at least: halves of pixels are too coarse for boxes."""
    return given.to(torch.promote_types(given.dtype, torch.float32))


@dataclass(frozen=True, slots=True)
class Objects:
    """The objects of a batch, one after another: image (O,), boxes (O, 4), labels (O,)."""

    image: Tensor
    boxes: Tensor
    labels: Tensor
    counts: tuple[int, ...]

    def matched(self, anchors: Tensor, how: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """Each image's boxes and anchors, matched like that.  (B, N, 4) → (B, N)."""
        matched = torch.full(anchors.shape[:2], IGNORED, device=anchors.device)
        for i, boxes in enumerate(torch.split(self.boxes, list(self.counts))):
            matched[i] = how(boxes, anchors[i])
        return matched

    def rows(self, matched: Tensor) -> Tensor:
        """Which object an anchor is matched with, where it is with one.  (B, N) → (P,)."""
        before = torch.tensor((0, *self.counts[:-1]), device=matched.device).cumsum(0)
        return (matched + before[: len(matched), None])[matched >= 0]

    def centres(self, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Centres and sides as parts of the image, x before y.  → (O, 2), (O, 2).

        Raises ValueError: a centre lies outside the image, and so in no cell of its grid.
        """
        image = self.boxes.new_tensor((size[1], size[0]))
        centres = (self.boxes[:, :2] + self.boxes[:, 2:]) / 2 / image
        outside = ((centres < 0) | (centres > 1)).any(1)
        if outside.any():
            box, number = self.boxes[outside][0].tolist(), int(self.image[outside][0])
            message = f"image {number}: the centre of box {box} is outside the image"
            raise ValueError(f"{message}, which is {size[1]} wide and {size[0]} high")
        return centres, (self.boxes[:, 2:] - self.boxes[:, :2]) / image


def objects(
    boxes: Sequence[Tensor],
    labels: Sequence[Tensor],
    like: Tensor,
    known: range,
) -> Objects:
    """The lists as tensors of the predictions' kind, checked.

    `like` is a prediction (B, …); `known` are the labels that the network knows.
    Raises ValueError: counts, shapes, sides or labels that cannot be.
    """
    if not len(like) == len(boxes) == len(labels):
        said = f"{len(boxes)} lists of boxes and {len(labels)} of labels"
        raise ValueError(f"the batch has {len(like)} images, and there are {said}")
    for number, (box, label) in enumerate(zip(boxes, labels, strict=True)):
        _check(box, label, known, f"image {number}: ")
    counts = tuple(len(box) for box in boxes)
    image = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts, dtype=torch.long))
    none = (like.new_zeros(0, 4), torch.zeros(0, dtype=torch.long, device=like.device))
    return Objects(
        image.to(like.device),
        torch.cat([none[0], *(box.to(like) for box in boxes)]),
        torch.cat([none[1], *(label.to(none[1]) for label in labels)]),
        counts,
    )


def _check(boxes: Tensor, labels: Tensor, known: range, where: str) -> None:
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        said = f"boxes are {tuple(boxes.shape)}, and not (M, 4)"
        raise ValueError(f"{where}{said}; no object is torch.zeros(0, 4)")
    if labels.shape != boxes.shape[:1]:
        raise ValueError(
            f"{where}{len(boxes)} boxes have labels of shape {tuple(labels.shape)}"
        )
    sides = boxes[:, 2:] - boxes[:, :2]
    flat = ~((sides > 0) & sides.isfinite()).all(1)
    if flat.any():
        rule = "x1 < x2 and y1 < y2 must hold"
        raise ValueError(f"{where}a box is {boxes[flat][0].tolist()}, and {rule}")
    strange = (labels < known.start) | (labels >= known.stop) | (labels != labels.long())
    if strange.any():
        said = f"label {labels[strange][0].item()}"
        raise ValueError(f"{where}{said} is not in {known.start}…{known.stop - 1}")


def check_rows(anchors: Tensor, **predictions: tuple[Tensor, tuple[int | None, ...]]) -> Tensor:
    """One set of anchors for each image.  (N, 4) or (B, N, 4) → (B, N, 4).

    Each prediction comes with the shape that it has after (B, N); None is any size.
    Raises ValueError: predictions that do not fit the anchors or each other.
    """
    rows = anchors.shape[-2] if anchors.ndim in (2, 3) and anchors.shape[-1] == 4 else None
    batch = next(iter(predictions.values()))[0].shape[:1]
    fits = rows is not None and (anchors.ndim == 2 or anchors.shape[:1] == batch)
    for given, tail in predictions.values():
        shape = (*batch, rows, *tail)
        fits &= given.ndim == len(shape) and all(
            want in (None, size) for size, want in zip(given.shape, shape, strict=True)
        )
    if not fits:
        said = [f"{name} {tuple(given.shape)}" for name, (given, _) in predictions.items()]
        wanted = [
            f"{name} ({', '.join(['B', 'N', *('K' if n is None else str(n) for n in tail)])})"
            for name, (_, tail) in predictions.items()
        ]
        message = f"{', '.join(said)} and anchors {tuple(anchors.shape)} do not fit"
        raise ValueError(f"{message}: {', '.join(wanted)}, anchors (N, 4)")
    return anchors.expand(*batch, -1, 4)
