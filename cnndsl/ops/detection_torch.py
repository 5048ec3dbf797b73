"""PyTorch of the box operations: functions that a written file carries with it.

Each text is a list of definitions two empty lines apart; a file holds each of them once.
Shapes are static, batches of any size, and nothing but torch is needed.
"""

from __future__ import annotations

ANCHOR_GRID = '''def anchor_grid(
    x: Tensor,
    anchors: tuple[tuple[float, float], ...],
    stride: tuple[float, float],
    offset: float = 0.0,
) -> Tensor:
    """A box (x1, y1, x2, y2) of each width and height at every cell, rows (h w a)."""
    kind = torch.promote_types(x.dtype, torch.float32)
    half = torch.tensor(anchors, dtype=kind, device=x.device) / 2
    rows, columns = (torch.arange(n, dtype=kind, device=x.device) for n in x.shape[2:])
    rows, columns = (rows + offset) * stride[0], (columns + offset) * stride[1]
    y, x_at = torch.meshgrid(rows, columns, indexing="ij")
    centre = torch.stack((x_at, y), -1)[:, :, None]
    boxes = torch.cat((centre - half, centre + half), -1).flatten(0, 2)
    return boxes.expand(x.shape[0], -1, -1)
'''

_CLIP = '''def clip_boxes(boxes: Tensor, size: tuple[int, int] | None) -> Tensor:
    """Boxes cut at the border of an image of that height and width."""
    if size is None:
        return boxes
    x, y = boxes[..., 0::2].clamp(0, size[1]), boxes[..., 1::2].clamp(0, size[0])
    return torch.stack((x, y), -1).flatten(-2)
'''

_CENTRES = '''def centres(boxes: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """Centres and sizes (width, height), to be broadcast with predictions."""
    if like.dim() > boxes.dim():
        boxes = boxes[:, :, None]
    size = boxes[..., 2:] - boxes[..., :2]
    return boxes[..., :2] + 0.5 * size, size
'''

_JOIN = "\n\n"

DECODE = _JOIN.join(
    (
        _CLIP,
        _CENTRES,
        '''def decode_boxes(
    deltas: Tensor,
    anchors: Tensor,
    divisors: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0),
    clip: tuple[int, int] | None = None,
) -> Tensor:
    """Anchors moved by shares of their size and stretched by up to 1000 / 16."""
    centre, size = centres(anchors, deltas)
    deltas = deltas / deltas.new_tensor(divisors)
    centre = deltas[..., :2] * size + centre
    half = 0.5 * (deltas[..., 2:].clamp(max=4.135166556742356).exp() * size)
    return clip_boxes(torch.cat((centre - half, centre + half), -1), clip)
''',
    )
)

DECODE_YOLO = _JOIN.join(
    (
        _CLIP,
        _CENTRES,
        '''def decode_yolo(
    deltas: Tensor,
    anchors: Tensor,
    stride: tuple[float, float],
    stretch: float = 1.0,
    clip: tuple[int, int] | None = None,
) -> Tensor:
    """Centres placed in their cells by a sigmoid, sizes stretched exponentially."""
    centre, size = centres(anchors, deltas)
    share = deltas[..., :2].sigmoid() * stretch - (stretch - 1) / 2
    centre = share * deltas.new_tensor((stride[1], stride[0])) + centre
    half = 0.5 * (deltas[..., 2:].exp() * size)
    return clip_boxes(torch.cat((centre - half, centre + half), -1), clip)
''',
    )
)

DECODE_YOLOV1 = _JOIN.join(
    (
        _CLIP,
        _CENTRES,
        '''def decode_yolov1(
    deltas: Tensor,
    anchors: Tensor,
    stride: tuple[float, float],
    clip: tuple[int, int] | None = None,
) -> Tensor:
    """Centres as shares of their cells, sizes as squares of shares of the anchor."""
    centre, size = centres(anchors, deltas)
    centre = deltas[..., :2] * deltas.new_tensor((stride[1], stride[0])) + centre
    half = 0.5 * (deltas[..., 2:] ** 2 * size)
    return clip_boxes(torch.cat((centre - half, centre + half), -1), clip)
''',
    )
)

DECODE_LTRB = _JOIN.join(
    (
        _CLIP,
        _CENTRES,
        '''def decode_ltrb(
    deltas: Tensor, anchors: Tensor, clip: tuple[int, int] | None = None
) -> Tensor:
    """Distances from the anchor's centre to the left, top, right and bottom side."""
    centre, _ = centres(anchors, deltas)
    boxes = torch.cat((centre - deltas[..., :2], centre + deltas[..., 2:]), -1)
    return clip_boxes(boxes, clip)
''',
    )
)

_CANDIDATES = '''def candidates(
    boxes: Tensor, scores: Tensor, labels: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Scores and labels with a row for each class of each box."""
    if scores.dim() == 3:
        labels = torch.arange(scores.shape[2], device=scores.device).expand(
            scores.shape
        )
        return boxes.flatten(1, -2), scores.flatten(1), labels.flatten(1)
    labels = torch.zeros_like(scores) if labels is None else labels
    return boxes, scores, labels.long()
'''

_TAKE = '''def take(
    boxes: Tensor, scores: Tensor, labels: Tensor, rows: Tensor, present: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The rows that are present, and zeros: boxes, scores, labels, valid."""
    if scores.shape[1] == 0:
        boxes = F.pad(boxes, (0, 0, 0, 1))
        scores, labels = F.pad(scores, (0, 1)), F.pad(labels, (0, 1))
    rows = rows * present
    box_rows = rows // (scores.shape[1] // boxes.shape[1])
    boxes = boxes.gather(1, box_rows[..., None].expand(-1, -1, 4))
    scores, labels, valid = (
        scores.gather(1, rows),
        labels.gather(1, rows),
        present.to(scores),
    )
    return boxes * valid[..., None], scores * valid, labels * present, valid
'''

TOPK = _JOIN.join(
    (
        _CANDIDATES,
        _TAKE,
        '''def topk(
    boxes: Tensor,
    scores: Tensor,
    labels: Tensor | None = None,
    *,
    k: int,
    score: float = 0.0,
    background: int | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The k best rows and classes above a score, zeros where there are fewer."""
    boxes, scores, labels = candidates(boxes, scores, labels)
    good = scores > score
    if background is not None:
        good = good & (labels != background)
    ranked = scores.masked_fill(~good, -torch.inf)
    best, rows = ranked.sort(dim=1, descending=True, stable=True)
    missing = (0, max(k - rows.shape[1], 0))
    best = F.pad(best[:, :k], missing, value=-torch.inf)
    return take(boxes, scores, labels, F.pad(rows[:, :k], missing), best > -torch.inf)
''',
    )
)

NMS = _JOIN.join(
    (
        _CANDIDATES,
        _TAKE,
        '''@torch.library.custom_op("cnndsl::greedy_nms", mutates_args=())
def greedy_nms(
    boxes: Tensor, scores: Tensor, labels: Tensor, good: Tensor, iou: float, k: int
) -> Tensor:
    """The good rows that no better one of their class covers; -1 for none."""
    kept = labels.new_full((len(boxes), k), -1)
    for image, (box, label) in enumerate(zip(boxes, labels, strict=True)):
        area = (box[:, 2:] - box[:, :2]).prod(1)
        rows = good[image].nonzero().squeeze(1)
        rows = rows[scores[image, rows].argsort(descending=True, stable=True)]
        for n in range(min(k, len(rows))):
            if len(rows) == 0:
                break
            best, rows = rows[0], rows[1:]
            kept[image, n] = best
            low = torch.maximum(box[best, :2], box[rows, :2])
            inner = (
                (torch.minimum(box[best, 2:], box[rows, 2:]) - low).clamp(min=0).prod(1)
            )
            covered = inner / (area[best] + area[rows] - inner) > iou
            rows = rows[~(covered & (label[rows] == label[best]))]
    return kept
''',
        '''@greedy_nms.register_fake
def greedy_nms_shape(
    boxes: Tensor, scores: Tensor, labels: Tensor, good: Tensor, iou: float, k: int
) -> Tensor:
    """What a compiler sees of it."""
    return labels.new_empty((len(boxes), k))
''',
        '''def nms(
    boxes: Tensor,
    scores: Tensor,
    labels: Tensor | None = None,
    *,
    k: int,
    iou: float,
    score: float = 0.0,
    pre: int | None = None,
    background: int | None = None,
    min_size: float = 0.0,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The k best rows that no better one of their class covers, zeros where fewer."""
    classes = 1 if scores.dim() == 2 else scores.shape[2]
    boxes, scores, labels = candidates(boxes, scores, labels)
    each = boxes.repeat_interleave(
        scores.shape[1] // max(boxes.shape[1], 1), 1
    ).detach()
    good = (scores > score) & (each[..., 2:] - each[..., :2] >= min_size).all(-1)
    if background is not None:
        good = good & (labels != background)
    if pre is not None:
        ranked = torch.where(good, scores, -torch.inf).unflatten(1, (-1, classes))
        order = ranked.argsort(dim=1, descending=True, stable=True)
        good = good & (order.argsort(1) < pre).flatten(1)
    rows = greedy_nms(each, scores.detach(), labels, good, iou, k)
    return take(boxes, scores, labels, rows, rows >= 0)
''',
    )
)

ROI_ALIGN = '''def roi_align(
    boxes: Tensor,
    levels: list[Tensor],
    size: tuple[int, int],
    strides: tuple[int, ...],
    sampling_ratio: int,
    canonical_scale: int = 224,
    canonical_level: int = 4,
) -> Tensor:
    """Bilinear means in the bins of each box, from the level that fits its size."""
    area = (boxes[..., 2:] - boxes[..., :2]).prod(-1).clamp(min=0)
    level = torch.floor(
        canonical_level + torch.log2(area.sqrt() / canonical_scale) + 1e-6
    )
    first = strides[0].bit_length() - 1
    level = (level.clamp(first, first + len(levels) - 1) - first).long()
    # All levels in one row of pixels, so that shapes do not depend on the boxes.
    pixels = torch.cat([x.flatten(2) for x in levels], 2)
    heights = torch.tensor([x.shape[2] for x in levels], device=boxes.device)
    widths = torch.tensor([x.shape[3] for x in levels], device=boxes.device)
    starts = (heights * widths).cumsum(0) - heights * widths
    boxes = boxes / boxes.new_tensor(strides)[level][..., None]
    extent = (boxes[..., 2:] - boxes[..., :2]).clamp(min=1)
    points = []
    for axis, bins in ((1, size[0]), (0, size[1])):
        limit = (heights if axis else widths)[level][..., None]
        step = (extent[..., axis] / bins)[..., None, None]
        bin_ = torch.arange(bins, device=boxes.device)[:, None]
        sample = torch.arange(sampling_ratio, device=boxes.device) + 0.5
        at = (
            boxes[..., axis, None, None]
            + bin_ * step
            + sample * (step / sampling_ratio)
        )
        at = at.flatten(2)
        valid = (at >= -1) & (at <= limit)
        at = torch.minimum(at.clamp(min=0), limit - 1)
        low = at.floor().long()
        points.append((low, torch.minimum(low + 1, limit - 1), at - low, valid))
    (top, bottom, dy, y_valid), (left, right, dx, x_valid) = points
    valid = y_valid[..., :, None] & x_valid[..., None, :]
    start, width = starts[level][..., None, None], widths[level][..., None, None]
    channels, (batch, count) = pixels.shape[1], boxes.shape[:2]
    total = 0.0
    for row, weight_y in ((top, 1 - dy), (bottom, dy)):
        for column, weight_x in ((left, 1 - dx), (right, dx)):
            index = start + row[..., :, None] * width + column[..., None, :]
            index = index.flatten(1)
            read = pixels.gather(2, index[:, None].expand(-1, channels, -1))
            weight = weight_y[..., :, None] * weight_x[..., None, :] * valid
            total = total + read * weight.flatten(1)[:, None].to(read.dtype)
    bins = (batch, channels, count, size[0], sampling_ratio, size[1], sampling_ratio)
    return total.reshape(bins).mean((4, 6)).transpose(1, 2)
'''

GATHER = '''def gather(x: Tensor, index: Tensor, axis: int) -> Tensor:
    """The entry of that number along an axis, for each row."""
    index = index.long().reshape(*index.shape, *[1] * (x.dim() - index.dim()))
    return torch.take_along_dim(x, index, axis).squeeze(axis)
'''
