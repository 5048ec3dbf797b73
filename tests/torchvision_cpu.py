"""`from tests.torchvision_cpu import torchvision`, also where torch is the CPU build.

torchvision's wheel carries an extension for CUDA, which a CPU torch cannot load; its import
then fails because operators that it describes do not exist. Defining them is enough:
models, their parameters and their forward passes work.
"""

from __future__ import annotations

import torch
from torch import library

__all__ = ["torchvision"]

OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qroi_align(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, "
    "SymInt pooled_width, int sampling_ratio, bool aligned) -> Tensor",
)


def greedy_nms(boxes: torch.Tensor, scores: torch.Tensor, iou_threshold: float) -> torch.Tensor:
    """Greedy non-maximum suppression.  (N, 4) corners, (N,) → the rows kept, best first."""
    x1, y1, x2, y2 = boxes.unbind(1)
    areas = (x2 - x1) * (y2 - y1)
    order = scores.argsort(descending=True, stable=True)
    kept = []
    while order.numel():
        best, order = order[0], order[1:]
        kept.append(best)
        width = (torch.minimum(x2[best], x2[order]) - torch.maximum(x1[best], x1[order])).clamp(
            0
        )
        height = (
            torch.minimum(y2[best], y2[order]) - torch.maximum(y1[best], y1[order])
        ).clamp(0)
        shared = width * height
        # Of two boxes without an area the overlap is NaN, which suppresses nothing.
        order = order[~(shared / (areas[best] + areas[order] - shared) > iou_threshold)]
    return torch.stack(kept) if kept else torch.empty(0, dtype=torch.long)


if torch.version.cuda is None:  # else the extension brings them
    # The definitions last as long as this object.
    definitions = library.Library("torchvision", "DEF")
    for operator in OPERATORS:
        definitions.define(operator)
    definitions.impl("nms", greedy_nms, "CPU")

import torchvision  # noqa: E402 - the operators come first
