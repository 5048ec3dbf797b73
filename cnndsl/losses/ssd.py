"""SSD's multibox loss: matching, hard negatives, and two terms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from cnndsl.losses.boxes import Divisors, check_rows, encode, full, iou, matches, objects
from cnndsl.losses.retinanet import smooth_l1


class MultiboxLoss(NamedTuple):
    """Two scalars: the boxes' smooth L1, the classes' cross-entropy."""

    location: Tensor
    confidence: Tensor

    @property
    def total(self) -> Tensor:
        """Their sum: the paper's α is 1."""
        return self.location + self.confidence


def multibox_matches(boxes: Tensor, anchors: Tensor, threshold: float = 0.5) -> Tensor:
    """The object that each default box answers for.  (M, 4), (N, 4) → (N,), integers.

    First each object takes a default box of its own, the pair with the highest IoU first,
    as long as it is not 0; then every other default box takes the object that it overlaps
    most, from `threshold` on; the rest is BACKGROUND. Loops over the objects.
    Source: Liu et al. 2015, arXiv:1512.02325, §2.2, "Matching strategy"; its first part,
    Erhan et al. 2013, arXiv:1312.2249, is a matching of pairs.
    """
    matched = matches(boxes, anchors, threshold, threshold, forced=False)
    overlaps = iou(boxes[:, None], anchors)
    for _ in range(min(overlaps.shape)):
        which, row = divmod(int(overlaps.argmax()), len(anchors))
        if overlaps[which, row] <= 0:
            break
        matched[row] = which
        overlaps[which], overlaps[:, row] = 0, 0
    return matched


def hardest(loss: Tensor, matched: Tensor, ratio: float) -> Tensor:
    """The background boxes of the highest loss, `ratio` for each match.  (B, N) → (B, N), bool.

    Source: Liu et al. 2015, arXiv:1512.02325, §2.2, "Hard negative mining".
    """
    hit = matched >= 0
    rank = loss.masked_fill(hit, -torch.inf).argsort(1, descending=True).argsort(1)
    return (rank < ratio * hit.sum(1, keepdim=True)) & ~hit


def multibox_loss(
    cls: Tensor,
    reg: Tensor,
    anchors: Tensor,
    boxes: Sequence[Tensor],
    labels: Sequence[Tensor],
    *,
    threshold: float = 0.5,
    negatives: float = 3.0,
    divisors: Divisors = (10, 10, 5, 5),
) -> MultiboxLoss:
    """Cross-entropy and smooth L1 of the matched boxes.  (B, N, K), (B, N, 4), (N, 4) → ().

    (L_conf + L_loc) / N: N is the number of matches in the batch, and both are 0 without
    any. Background counts where it is mined, `negatives` in each image for each of its
    matches. `cls` are logits, background first: labels are 1…K−1.
    Raises ValueError: shapes, boxes or labels that do not fit.
    Source: Liu et al. 2015, arXiv:1512.02325, §2.2, equations 1 to 3.
    """
    cls, reg, anchors = full(cls), full(reg), full(anchors)
    anchors = check_rows(anchors, cls=(cls, (None,)), reg=(reg, (4,)))
    given = objects(boxes, labels, cls, range(1, cls.shape[2]))
    matched = given.matched(anchors, lambda b, a: multibox_matches(b, a, threshold))
    hit, row = matched >= 0, given.rows(matched)

    wanted = encode(given.boxes[row], anchors[hit], divisors)
    location = smooth_l1(reg[hit], wanted, reduction="sum")
    target = torch.zeros_like(matched)
    target[hit] = given.labels[row]
    entropy = functional.cross_entropy(cls.flatten(0, 1), target.flatten(), reduction="none")
    entropy = entropy.view(hit.shape)
    counted = hit | hardest(entropy.detach(), matched, negatives)
    number = hit.sum().clamp(min=1)
    return MultiboxLoss(location / number, entropy[counted].sum() / number)
