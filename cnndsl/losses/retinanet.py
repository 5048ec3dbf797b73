"""RetinaNet's losses: focal for classes, smooth L1 for boxes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from cnndsl.losses.boxes import IGNORED, Divisors, check_rows, encode, full, matches, objects

Reduction = Literal["none", "mean", "sum"]


def focal_loss(
    logits: Tensor,
    targets: Tensor,
    *,
    gamma: float = 2.0,
    alpha: float | None = 0.25,
    reduction: Reduction = "mean",
) -> Tensor:
    """Cross-entropy that fades where the network is right.  (…), (…) → (…) or ().

    FL = −α_t (1 − p_t)^γ log p_t, with p = σ(logit), p_t = p for a target of 1 and 1 − p
    for 0; α_t likewise, and 1 where `alpha` is None. In nats. At γ = 2, p_t = 0.9 weighs
    a hundredth of cross-entropy, p_t = 0.968 a thousandth.
    Raises ValueError: shapes that differ.
    Source: Lin et al. 2017, arXiv:1708.02002, §3, equation 5.
    """
    if logits.shape != targets.shape:
        shapes = f"{tuple(logits.shape)} and {tuple(targets.shape)}"
        raise ValueError(f"logits and targets have one shape, and these are {shapes}")
    hit = targets.to(logits)
    entropy = functional.binary_cross_entropy_with_logits(logits, hit, reduction="none")
    missed = hit * torch.sigmoid(-logits) + (1 - hit) * torch.sigmoid(logits)
    # Kept off 0, where a power below 1 has no gradient.
    loss = missed.clamp(min=torch.finfo(missed.dtype).tiny) ** gamma * entropy
    if alpha is not None:
        loss = (alpha * hit + (1 - alpha) * (1 - hit)) * loss
    return _reduced(loss, reduction)


def smooth_l1(
    predicted: Tensor, target: Tensor, *, beta: float = 1.0, reduction: Reduction = "mean"
) -> Tensor:
    """Quadratic below `beta`, linear above.  (…), (…) → (…) or ().

    ½ d² / β where |d| < β, else |d| − ½ β; with β = 0 it is |d|. `F.smooth_l1_loss`, which
    broadcasts where this refuses.
    Raises ValueError: shapes that differ.
    Source: Girshick 2015, arXiv:1504.08083, §2.3, equation 3.
    """
    if predicted.shape != target.shape:
        shapes = f"{tuple(predicted.shape)} and {tuple(target.shape)}"
        raise ValueError(f"prediction and target have one shape, and these are {shapes}")
    return functional.smooth_l1_loss(predicted, target, beta=beta, reduction=reduction)


def _reduced(loss: Tensor, reduction: Reduction) -> Tensor:
    match reduction:
        case "none":
            return loss
        case "mean":
            return loss.mean()
        case "sum":
            return loss.sum()
    raise ValueError(f"a reduction is none, mean or sum, and not {reduction!r}")


class RetinaNetLoss(NamedTuple):
    """Two scalars: the classes' focal loss, the boxes' smooth L1."""

    classes: Tensor
    location: Tensor

    @property
    def total(self) -> Tensor:
        """Their sum."""
        return self.classes + self.location


def retinanet_loss(
    cls: Tensor,
    reg: Tensor,
    anchors: Tensor,
    boxes: Sequence[Tensor],
    labels: Sequence[Tensor],
    *,
    positive: float = 0.5,
    negative: float = 0.4,
    forced: bool = True,
    gamma: float = 2.0,
    alpha: float = 0.25,
    beta: float = 1 / 9,
    divisors: Divisors = (1, 1, 1, 1),
) -> RetinaNetLoss:
    """Focal loss over all anchors but the ignored.  (B, N, K), (B, N, 4), (N, 4) → ().

    Each image's sums are divided by its number of matched anchors, or by 1, and averaged
    over the batch. `cls` are logits; labels are 0…K−1, without a background. The paper
    does not force a match; torchvision and Detectron do.
    Raises ValueError: shapes, boxes or labels that do not fit.
    Source: Lin et al. 2017, arXiv:1708.02002, §4; β from Detectron.
    """
    cls, reg, anchors = full(cls), full(reg), full(anchors)
    anchors = check_rows(anchors, cls=(cls, (None,)), reg=(reg, (4,)))
    given = objects(boxes, labels, cls, range(cls.shape[2]))
    matched = given.matched(anchors, lambda b, a: matches(b, a, positive, negative, forced))
    hit, row = matched >= 0, given.rows(matched)

    target = torch.zeros_like(cls)
    target[(*hit.nonzero().unbind(1), given.labels[row])] = 1
    classes = focal_loss(cls, target, gamma=gamma, alpha=alpha, reduction="none").sum(2)
    location = cls.new_zeros(hit.shape)
    wanted = encode(given.boxes[row], anchors[hit], divisors)
    location[hit] = smooth_l1(reg[hit], wanted, beta=beta, reduction="none").sum(1)

    share = max(1, len(cls)) * hit.sum(1).clamp(min=1)
    return RetinaNetLoss(
        (classes.where(matched != IGNORED, 0).sum(1) / share).sum(),
        (location.sum(1) / share).sum(),
    )
