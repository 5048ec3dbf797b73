"""The loss of a region proposal network, on a sample of its anchors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from cnndsl.losses.boxes import (
    BACKGROUND,
    IGNORED,
    Divisors,
    check_rows,
    encode,
    full,
    matches,
    objects,
)
from cnndsl.losses.retinanet import smooth_l1


class RPNLoss(NamedTuple):
    """Two scalars: object or not, and the boxes'."""

    objectness: Tensor
    location: Tensor

    @property
    def total(self) -> Tensor:
        """Their sum."""
        return self.objectness + self.location


def sampled(
    matched: Tensor, count: int, fraction: float, generator: torch.Generator | None = None
) -> Tensor:
    """A random choice of an image's anchors, `count` at most.  (N,) → (N,), bool.

    At most `fraction` of the count are matched; background fills the rest. The generator
    lives on the anchors' device.
    Source: Ren et al. 2015, arXiv:1506.01497, §3.1.3.
    """
    chosen = torch.zeros_like(matched, dtype=torch.bool)
    left = int(count * fraction)
    for kind in (matched >= 0, matched == BACKGROUND):
        among = kind.nonzero()[:, 0]
        order = torch.randperm(len(among), generator=generator, device=matched.device)
        chosen[among[order[:left]]] = True
        left = count - int(chosen.sum())
    return chosen


def rpn_loss(
    objectness: Tensor,
    deltas: Tensor,
    anchors: Tensor,
    boxes: Sequence[Tensor],
    *,
    positive: float = 0.7,
    negative: float = 0.3,
    count: int = 256,
    fraction: float = 0.5,
    within: tuple[int, int] | None = None,
    beta: float = 1 / 9,
    divisors: Divisors = (1, 1, 1, 1),
    generator: torch.Generator | None = None,
) -> RPNLoss:
    """Binary cross-entropy and smooth L1 of 256 anchors.  (B, N), (B, N, 4), (N, 4) → ().

    Both are sums over all samples of the batch, divided by their number: the paper's
    1 / N_cls, and its λ / N_reg, which it chose to be about as much. `objectness` are
    logits. With `within=(H, W)`, anchors that cross the border are ignored, as in the
    paper; torchvision keeps them.
    Raises ValueError: shapes or boxes that do not fit.
    Source: Ren et al. 2015, arXiv:1506.01497, §3.1.2, equation 1; β from torchvision.
    """
    objectness, deltas, anchors = full(objectness), full(deltas), full(anchors)
    anchors = check_rows(anchors, objectness=(objectness, ()), deltas=(deltas, (4,)))
    unlabelled = [torch.zeros(len(box)) for box in boxes]
    given = objects(boxes, unlabelled, objectness, range(1))

    def match(boxes: Tensor, anchors: Tensor) -> Tensor:
        matched = torch.full((len(anchors),), IGNORED, device=anchors.device)
        inside = _inside(anchors, within)
        matched[inside] = matches(boxes, anchors[inside], positive, negative)
        return matched

    matched = given.matched(anchors, match)
    chosen = torch.zeros_like(matched, dtype=torch.bool)
    for i, row in enumerate(matched):
        chosen[i] = sampled(row, count, fraction, generator)
    hit = chosen & (matched >= 0)
    target = hit.to(objectness)
    entropy = functional.binary_cross_entropy_with_logits(
        objectness[chosen], target[chosen], reduction="sum"
    )
    wanted = encode(
        given.boxes[given.rows(matched.where(hit, BACKGROUND))], anchors[hit], divisors
    )
    location = smooth_l1(deltas[hit], wanted, beta=beta, reduction="sum")
    number = chosen.sum().clamp(min=1)
    return RPNLoss(entropy / number, location / number)


def _inside(anchors: Tensor, size: tuple[int, int] | None) -> Tensor:
    """Which anchors do not cross the border of an image (H, W).  (N, 4) → (N,), bool."""
    if size is None:
        return torch.ones(len(anchors), dtype=torch.bool, device=anchors.device)
    ends = anchors.new_tensor((size[1], size[0]))
    return ((anchors[:, :2] >= 0) & (anchors[:, 2:] <= ends)).all(1)
