"""The losses of YOLO v1 and v3: sums over the cells of a grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from cnndsl.losses.boxes import full, iou, objects

YOLOV3_PRIORS = (
    ((116, 90), (156, 198), (373, 326)),
    ((30, 61), (62, 45), (59, 119)),
    ((10, 13), (16, 30), (33, 23)),
)
"""Width and height in pixels, a row for each map, the coarsest first.

Source: Redmon & Farhadi 2018, arXiv:1804.02767, §2.3 (k-means on COCO).
"""

Priors = Sequence[Sequence[tuple[float, float]]]


class YOLOv1Loss(NamedTuple):
    """Four scalars, their λ within: boxes, confidences with and without object, classes."""

    location: Tensor
    confidence: Tensor
    background: Tensor
    classes: Tensor

    @property
    def total(self) -> Tensor:
        """Their sum."""
        return self.location + self.confidence + self.background + self.classes


def yolov1_loss(
    y: Tensor,
    boxes: Sequence[Tensor],
    labels: Sequence[Tensor],
    size: tuple[int, int],
    *,
    predictors: int = 2,
    coordinates: float = 5.0,
    background: float = 0.5,
    rescore: bool = True,
) -> YOLOv1Loss:
    """Squared errors over the cells.  (B, S, S′, C + 5·predictors) → (), mean over the batch.

    Of a cell: C classes, a confidence for each predictor, then x, y, √w, √h for each; x and y
    from the cell's corner, in cells, w and h as parts of the image, whose `size` is (H, W) in
    pixels. The cell with an object's centre answers for it, and in it the predictor of the
    highest IoU (of the smallest distance, where all are 0), whose confidence should be that
    IoU, or 1 without `rescore`. Of two objects in one cell the first counts. Labels are 0…C−1.
    Raises ValueError: shapes, boxes or labels that do not fit; a centre outside the image.
    Source: Redmon et al. 2015, arXiv:1506.02640, §2.2, equation 3; ties as in darknet.
    """
    known = y.shape[3] - 5 * predictors if y.ndim == 4 else 0
    if known < 1:
        rule = f"(B, S, S′, C + 5·{predictors}), with a class at least"
        raise ValueError(f"y is {tuple(y.shape)}, and not {rule}")
    y = full(y)
    given = objects(boxes, labels, y, range(known))
    centres, sides = given.centres(size)
    grid = y.new_tensor((y.shape[2], y.shape[1]))
    cell = (centres * grid).floor().clamp(max=grid - 1)
    column, row = cell.long().unbind(1)
    kept = _unique(torch.stack([given.image, row, column], 1), first=True)
    image, row, column, cell = given.image[kept], row[kept], column[kept], cell[kept]
    centres, sides, labelled = centres[kept], sides[kept], given.labels[kept]

    said = y[image, row, column]
    box = said[:, known + predictors :].view(-1, predictors, 4)
    found = torch.cat([(box[..., :2] + cell[:, None]) / grid, box[..., 2:] ** 2], -1)
    best, overlap = _responsible(found.detach(), torch.cat([centres, sides], 1))
    each = torch.arange(len(best), device=y.device)
    wanted = torch.cat([centres * grid - cell, sides.sqrt()], 1)
    confidences = y[..., known : known + predictors]
    empty = torch.ones_like(confidences, dtype=torch.bool)
    empty[image, row, column, best] = False
    reached = overlap if rescore else torch.ones_like(overlap)
    classes = functional.one_hot(labelled, known).to(y)
    batch = max(1, len(y))
    return YOLOv1Loss(
        coordinates * (box[each, best] - wanted).square().sum() / batch,
        (said[each, known + best] - reached).square().sum() / batch,
        background * confidences[empty].square().sum() / batch,
        (said[:, :known] - classes).square().sum() / batch,
    )


def _responsible(found: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Which predictor answers, and its IoU.  (O, P, 4), (O, 4) → (O,), (O,).

    Boxes are centres and sides.
    """
    overlaps = iou(_corners(found), _corners(truth)[:, None])
    near = -(found - truth[:, None]).square().sum(2)
    best = near.where(overlaps.amax(1, keepdim=True) == 0, overlaps).argmax(1)
    return best, overlaps.gather(1, best[:, None])[:, 0]


class YOLOv3Loss(NamedTuple):
    """Three scalars: boxes, object or not, classes."""

    location: Tensor
    objectness: Tensor
    classes: Tensor

    @property
    def total(self) -> Tensor:
        """Their sum."""
        return self.location + self.objectness + self.classes


def yolov3_loss(
    maps: Sequence[Tensor],
    boxes: Sequence[Tensor],
    labels: Sequence[Tensor],
    size: tuple[int, int],
    *,
    priors: Priors = YOLOV3_PRIORS,
    ignore: float = 0.5,
) -> YOLOv3Loss:
    """What darknet descends.  Maps (B, A·(5 + C), h, w) → (), mean over the batch.

    Channels of each prior: t_x, t_y, t_w, t_h, objectness, C classes. The prior whose shape
    overlaps an object's most answers for it, in the cell of its centre: binary cross-entropy
    for σ(t_x), σ(t_y), for objectness and for each class, ½ d² for t_w and t_h; the box's
    terms times 2 − its part of the image. All others should see no object, unless their box
    overlaps some object by more than `ignore`. Objects that one prior answers for add their
    classes; the last gives the box. `size` is (H, W) in pixels; labels are 0…C−1.
    Raises ValueError: shapes, boxes or labels that do not fit; a centre outside the image.
    Source: Redmon & Farhadi 2018, arXiv:1804.02767, §2.1; terms as in darknet's
    `yolo_layer.c`, whose cfg sets `ignore` to 0.7.
    """
    rows, grid = _rows([full(raw) for raw in maps], priors, size)
    given = objects(boxes, labels, rows, range(rows.shape[2] - 5))
    centres, sides = given.centres(size)
    truth = _corners(torch.cat([centres, sides], 1))
    with torch.no_grad():
        found = grid.boxes(rows[..., :4])
        answers, unsure = [], torch.zeros_like(rows[..., 4], dtype=torch.bool)
        for i, own in enumerate((given.image == n).nonzero()[:, 0] for n in range(len(rows))):
            answers.append(grid.answering(centres[own], sides[own]))
            if len(own):
                unsure[i] = iou(truth[own][:, None], found[i]).amax(0) > ignore
    at = torch.cat(answers) if answers else given.labels
    target, classes = torch.zeros_like(rows[..., 4]), torch.zeros_like(rows[..., 5:])
    target[given.image, at] = 1
    classes[given.image, at, given.labels] = 1

    entropy = functional.binary_cross_entropy_with_logits
    seen = entropy(rows[..., 4], target, reduction="none")
    kinds = entropy(rows[..., 5:], classes, reduction="none").sum(2)
    kept = _unique(torch.stack([given.image, at], 1), first=False)
    image, at, centres, sides = given.image[kept], at[kept], centres[kept], sides[kept]
    said = rows[image, at]
    inside = centres * grid.cells[at] - grid.cell[at]
    moved = entropy(said[:, :2], inside, reduction="none")
    stretched = (said[:, 2:4] - (sides / grid.prior[at]).log()).square() / 2
    scale = 2 - sides.prod(1, keepdim=True)
    batch = max(1, len(rows))
    return YOLOv3Loss(
        (scale * (moved + stretched)).sum() / batch,
        seen[~unsure | (target > 0)].sum() / batch,
        (kinds * target).sum() / batch,
    )


class _Grid(NamedTuple):
    """Of each row: its cell, the map's cells, and the prior as a part of the image.  (N, 2)."""

    cell: Tensor
    cells: Tensor
    prior: Tensor

    def boxes(self, offsets: Tensor) -> Tensor:
        """Corners as parts of the image, of σ(t_x) + c_x and p_w e^t_w.  (B, N, 4) → same."""
        centres = (offsets[..., :2].sigmoid() + self.cell) / self.cells
        return _corners(torch.cat([centres, self.prior * offsets[..., 2:].exp()], -1))

    def answering(self, centres: Tensor, sides: Tensor) -> Tensor:
        """The row that answers for an object.  (M, 2), (M, 2) → (M,).

        Of the rows in the cell of its centre, one a map and prior, that whose prior has the
        highest IoU with it, the centres laid on each other.
        """
        cell = (centres[:, None] * self.cells).floor().minimum(self.cells - 1)
        shapes = (torch.cat([-v / 2, v / 2], -1) for v in (sides[:, None], self.prior))
        return iou(*shapes).where((cell == self.cell).all(2), -1).argmax(1)


def _rows(
    maps: Sequence[Tensor], priors: Priors, size: tuple[int, int]
) -> tuple[Tensor, _Grid]:
    """The maps as rows, a cell's together.  (B, A·(5 + C), h, w) → (B, N, 5 + C)."""
    shapes = [tuple(x.shape) for x in maps]
    counts = [len(prior) for prior in priors]
    pairs = [(s, a) for s, a in zip(shapes, counts, strict=False) if len(s) == 4 and a]
    said = {(s[0], s[1] // a, s[1] % a) for s, a in pairs}
    if len(pairs) != max(len(shapes), len(counts)) or [
        x[1] > 5 and x[2] == 0 for x in said
    ] != [True]:
        wanted = f"one (B, A·(5 + C), h, w) for each A of {counts}, with a class at least"
        raise ValueError(f"the maps are {shapes}, and not {wanted}")
    rows, cell, cells, sides = [], [], [], []
    image = maps[0].new_tensor((size[1], size[0]))
    for raw, prior in zip(maps, priors, strict=True):
        batch, channels, h, w = raw.shape
        each = raw.view(batch, len(prior), channels // len(prior), h, w)
        rows.append(each.permute(0, 3, 4, 1, 2).flatten(1, 3))
        y, x = torch.meshgrid(*(torch.arange(n).to(image) for n in (h, w)), indexing="ij")
        cell.append(torch.stack([x, y], -1).view(-1, 2).repeat_interleave(len(prior), 0))
        cells.append(image.new_tensor((w, h)).expand_as(cell[-1]))
        sides.append((image.new_tensor(prior) / image).repeat(h * w, 1))
    return torch.cat(rows, 1), _Grid(torch.cat(cell), torch.cat(cells), torch.cat(sides))


def _corners(box: Tensor) -> Tensor:
    """Centre and sides to x1, y1, x2, y2.  (…, 4) → (…, 4)."""
    centre, half = box[..., :2], box[..., 2:] / 2
    return torch.cat([centre - half, centre + half], -1)


def _unique(keys: Tensor, first: bool) -> Tensor:
    """Where each different row stands first, or last.  (O, D) → (U,)."""
    place = torch.arange(len(keys), device=keys.device)
    if not len(keys):
        return place
    rows, group = torch.unique(keys, dim=0, return_inverse=True)
    how = "amin" if first else "amax"
    return place.new_zeros(len(rows)).scatter_reduce(0, group, place, how, include_self=False)
