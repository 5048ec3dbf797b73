"""PyTorch of selection: functions that a written file carries with it.

Each text is a list of definitions two empty lines apart; a file holds each of them once.
Shapes are static, batches of any size, and nothing but torch is needed.
"""

from __future__ import annotations

_JOIN = "\n\n"

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

_RANKED = '''def ranked(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k best along the rows, and where they are; of equal ones the first."""
    k = min(k, scores.shape[1])
    if torch.onnx.is_in_onnx_export():  # it sorts so, and has no other order
        return scores.topk(k, dim=1)
    best, rows = scores.sort(dim=1, descending=True, stable=True)
    return best[:, :k], rows[:, :k]
'''

TOPK = _JOIN.join(
    (
        _CANDIDATES,
        _TAKE,
        _RANKED,
        '''@torch.fx.wrap
def topk(
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
    best, rows = ranked(scores.masked_fill(~good, -torch.inf), k)
    missing = (0, k - rows.shape[1])
    best = F.pad(best, missing, value=-torch.inf)
    return take(boxes, scores, labels, F.pad(rows, missing), best > -torch.inf)
''',
    )
)

NMS = _JOIN.join(
    (
        _CANDIDATES,
        _TAKE,
        _RANKED,
        '''def covered(
    box: Tensor, area: Tensor, label: Tensor, better: Tensor, rows: Tensor, iou: float
) -> Tensor:
    """Which of the better rows covers which row of its class."""
    first, second = box[better][:, None], box[rows]
    low = torch.maximum(first[..., :2], second[..., :2])
    inner = (torch.minimum(first[..., 2:], second[..., 2:]) - low).clamp(min=0).prod(-1)
    shares = inner / (area[better][:, None] + area[rows] - inner)
    return (shares > iou) & (label[better][:, None] == label[rows])
''',
        '''@cache
def torchvision_nms(
    device: torch.device,
) -> Callable[[Tensor, Tensor, float], Tensor] | None:
    """torchvision's, which is compiled, where it is installed for this device."""
    try:
        import_module("torchvision")
        found: Callable[[Tensor, Tensor, float], Tensor] = torch.ops.torchvision.nms
        found(torch.zeros(0, 4, device=device), torch.zeros(0, device=device), 0.5)
        return found
    except (AttributeError, ImportError, RuntimeError):
        return None
''',
        '''def greedy_nms_shape(
    boxes: Tensor, scores: Tensor, labels: Tensor, good: Tensor, iou: float, k: int
) -> Tensor:
    """What a compiler sees of it."""
    return labels.new_empty((boxes.shape[0], k))
''',
        '''def defined_once(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """PyTorch's operation of that name: a second would end that of another file."""
    name = function.__name__
    if not hasattr(torch.ops.cnndsl, name):
        made = library.custom_op(f"cnndsl::{name}", function, mutates_args=())
        made.register_fake(greedy_nms_shape)
    found: Callable[..., Tensor] = getattr(torch.ops.cnndsl, name)
    return found
''',
        '''@defined_once
def greedy_nms(
    boxes: Tensor, scores: Tensor, labels: Tensor, good: Tensor, iou: float, k: int
) -> Tensor:
    """The good rows that no better one of their class covers; -1 for none."""
    kept = labels.new_full((len(boxes), k), -1)
    compiled = torchvision_nms(boxes.device)
    boxes = boxes.to(torch.promote_types(boxes.dtype, torch.float32))
    scores = scores.to(boxes.dtype)
    for image, (box, label) in enumerate(zip(boxes, labels, strict=True)):
        area = (box[:, 2:] - box[:, :2]).prod(1)
        rows = good[image].nonzero().squeeze(1)
        rows = rows[scores[image, rows].argsort(descending=True, stable=True)]
        best = rows[:0]
        if compiled is not None:
            for one in label[rows].unique():
                own = rows[label[rows] == one]
                better = compiled(box[own], scores[image, own], iou)
                best = torch.cat((best, own[better]))
            best = best.sort().values
            best = best[scores[image, best].argsort(descending=True, stable=True)]
        for part in torch.split(rows, 1024) if compiled is None else ():
            if len(best) >= k:
                break
            part = part[~covered(box, area, label, best, part, iou).any(0)]
            by = covered(box, area, label, part, part, iou).triu(1)
            keep, before = ~by.any(0), torch.ones_like(part, dtype=torch.bool)
            # A row is right once all that are better are: this ends, mostly soon.
            while not torch.equal(keep, before):
                keep, before = ~(by & keep[:, None]).any(0), keep
            best = torch.cat((best, part[keep]))
        best = best[:k]
        kept[image, : len(best)] = best
    return kept
''',
        '''def onnx_nms(
    boxes: Tensor,
    scores: Tensor,
    labels: Tensor | None,
    classes: int,
    iou: float,
    k: int,
) -> Tensor:
    """`greedy_nms` in ONNX's words: each class is an image; what is bad is -inf."""
    split = (scores.shape[1] // classes, classes)
    boxes = torch.unflatten(boxes, 1, split).transpose(1, 2).flatten(0, 1)
    rows = torch.unflatten(scores, 1, split).transpose(1, 2).flatten(0, 1)[:, None]
    if labels is not None:  # a class is known by its first row
        own = labels[:, :, None] == labels[:, None]
        first = own.int().argmax(2) == torch.arange(own.shape[1], device=own.device)
        rows = torch.where(own & first[:, :, None], rows, -torch.inf)
    low, lowest = boxes[..., :2], torch.finfo(torch.float32).min
    given = [
        torch.cat((low, torch.maximum(low, boxes[..., 2:])), -1).float(),
        rows.float(),
        torch.tensor([k]),
        torch.tensor([min(iou, 1.0)]),
        torch.tensor([lowest]),
    ]
    count = rows.isfinite().nonzero().shape[0]  # a size of its own; fewer are kept
    chosen = torch.onnx.ops.symbolic(
        "NonMaxSuppression", given, dtype=torch.int64, shape=(count, 3)
    )
    # As many ones as are kept: what `shape` says above is not so.
    given = [torch.zeros_like(rows).float(), chosen, chosen[:, 0].float() * 0 + 1]
    marked = torch.onnx.ops.symbolic(
        "ScatterND", given, dtype=torch.float32, shape=rows.shape
    )
    good = torch.unflatten(marked.amax(1) > 0, 0, (-1, classes)).transpose(1, 2)
    best, order = ranked(torch.where(good.flatten(1), scores, -torch.inf), k)
    order = torch.where(best > -torch.inf, order, -1)
    return F.pad(order, (0, k - order.shape[1]), value=-1)
''',
        '''@torch.fx.wrap
def nms(
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
    classes, given = 1 if scores.dim() == 2 else scores.shape[2], labels
    boxes, scores, labels = candidates(boxes, scores, labels)
    each = boxes.repeat_interleave(
        scores.shape[1] // max(boxes.shape[1], 1), 1
    ).detach()
    good = (scores > score) & (each[..., 2:] - each[..., :2] >= min_size).all(-1)
    if background is not None:
        good = good & (labels != background)
    if pre is not None:
        masked = torch.where(good, scores, -torch.inf)
        masked = torch.unflatten(masked, 1, (-1, classes))
        _, rows = ranked(masked, pre)
        best = torch.zeros_like(masked).scatter(1, rows, 1.0) > 0
        good = good & best.flatten(1)
    if torch.onnx.is_in_onnx_export():
        masked = torch.where(good, scores, -torch.inf)
        rows = onnx_nms(each, masked, given, classes, iou, k)
    else:
        rows = greedy_nms(each, scores.detach(), labels, good, iou, k)
    return take(boxes, scores, labels, rows, rows >= 0)
''',
    )
)
