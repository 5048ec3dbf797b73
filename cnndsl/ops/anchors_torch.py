"""PyTorch of anchors and decoding: functions that a written file carries with it.

Each text is a list of definitions two empty lines apart; a file holds each of them once.
Shapes are static, batches of any size, and nothing but torch is needed.
"""

from __future__ import annotations

_JOIN = "\n\n"

_CELLS = '''\
def at_cells(x: Tensor, half: Tensor, stride: Sequence[float], offset: float) -> Tensor:
    """Boxes (x1, y1, x2, y2) around every cell, from half their sides; rows (h w a)."""
    kind, device = half.dtype, half.device
    rows, columns = (torch.arange(n, dtype=kind, device=device) for n in x.shape[2:])
    rows, columns = (rows + offset) * stride[0], (columns + offset) * stride[1]
    y, x_at = torch.meshgrid(rows, columns, indexing="ij")
    centre = torch.stack((x_at, y), -1)[:, :, None]
    boxes = torch.cat((centre - half, centre + half), -1).flatten(0, 2)
    return boxes.expand(x.shape[0], -1, -1)
'''

ANCHOR_GRID = _JOIN.join(
    (
        _CELLS,
        '''@torch.fx.wrap
def anchor_grid(
    x: Tensor,
    anchors: Sequence[Sequence[float]],
    stride: Sequence[float],
    offset: float = 0.0,
) -> Tensor:
    """A box of each width and height at every cell."""
    kind = torch.promote_types(x.dtype, torch.float32)
    half = torch.tensor(anchors, dtype=kind, device=x.device) / 2
    return at_cells(x, half, stride, offset)
''',
    )
)

RATIO_GRID = _JOIN.join(
    (
        _CELLS,
        '''@torch.fx.wrap
def ratio_grid(
    x: Tensor,
    sizes: Sequence[float],
    ratios: Sequence[float],
    stride: Sequence[float],
    offset: float = 0.0,
) -> Tensor:
    """A box of each size at each ratio (height / width), its half sides rounded."""
    root = torch.tensor(ratios, dtype=torch.float32, device=x.device).sqrt()
    size = torch.tensor(sizes, dtype=torch.float32, device=x.device)
    half = torch.stack((1 / root, root), -1)[:, None] * size[:, None] / 2
    half = half.round().flatten(0, 1)
    kind = torch.promote_types(x.dtype, torch.float32)
    return at_cells(x, half.to(kind), stride, offset)
''',
    )
)

DEFAULT_BOXES = '''@torch.fx.wrap
def default_boxes(
    x: Tensor,
    shares: Sequence[Sequence[float]],
    stride: Sequence[float],
    image: Sequence[float],
    offset: float = 0.0,
) -> Tensor:
    """Boxes as `anchor_grid`'s, in shares of the image until the last step."""
    kind = torch.promote_types(x.dtype, torch.float32)
    half = 0.5 * torch.tensor(shares, dtype=kind, device=x.device)
    rows, columns = (torch.arange(n, dtype=kind, device=x.device) for n in x.shape[2:])
    rows = (rows + offset) / (image[0] / stride[0])
    columns = (columns + offset) / (image[1] / stride[1])
    y, x_at = torch.meshgrid(rows, columns, indexing="ij")
    centre = torch.stack((x_at, y), -1)[:, :, None]
    boxes = torch.cat((centre - half, centre + half), -1).flatten(0, 2)
    boxes = torch.stack((boxes[:, 0::2] * image[1], boxes[:, 1::2] * image[0]), -1)
    return boxes.flatten(-2).expand(x.shape[0], -1, -1)
'''

_CLIP = '''def clip_boxes(boxes: Tensor, size: Sequence[float] | None) -> Tensor:
    """Boxes cut at the border of an image of that height and width."""
    if size is None:
        return boxes
    x, y = boxes[..., 0::2].clamp(0, size[1]), boxes[..., 1::2].clamp(0, size[0])
    return torch.stack((x, y), -1).flatten(-2)
'''

_CENTRES = '''@torch.fx.wrap
def centres(boxes: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """Centres and sizes (width, height), to be broadcast with predictions."""
    if like.dim() > boxes.dim():
        boxes = boxes[:, :, None]
    size = boxes[..., 2:] - boxes[..., :2]
    return boxes[..., :2] + 0.5 * size, size
'''

DECODE = _JOIN.join(
    (
        _CLIP,
        _CENTRES,
        '''def decode_boxes(
    deltas: Tensor,
    anchors: Tensor,
    divisors: Sequence[float] = (1.0, 1.0, 1.0, 1.0),
    clip: Sequence[float] | None = None,
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
    stride: Sequence[float],
    stretch: float = 1.0,
    clip: Sequence[float] | None = None,
) -> Tensor:
    """Centres placed in their cells by a sigmoid, sizes stretched exponentially."""
    centre, size = centres(anchors, deltas)
    share = deltas[..., :2].sigmoid() * stretch - (stretch - 1) / 2
    x, y = share[..., 0] * stride[1], share[..., 1] * stride[0]
    centre = torch.stack((x, y), -1) + centre
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
    stride: Sequence[float],
    clip: Sequence[float] | None = None,
) -> Tensor:
    """Centres as shares of their cells, sizes as squares of shares of the anchor."""
    centre, size = centres(anchors, deltas)
    x, y = deltas[..., 0] * stride[1], deltas[..., 1] * stride[0]
    centre = torch.stack((x, y), -1) + centre
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
    deltas: Tensor, anchors: Tensor, clip: Sequence[float] | None = None
) -> Tensor:
    """Distances from the anchor's centre to the left, top, right and bottom side."""
    centre, _ = centres(anchors, deltas)
    boxes = torch.cat((centre - deltas[..., :2], centre + deltas[..., 2:]), -1)
    return clip_boxes(boxes, clip)
''',
    )
)
