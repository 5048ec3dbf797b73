"""PyTorch of features of regions: functions that a written file carries with it.

Each text is a list of definitions two empty lines apart; a file holds each of them once.
Shapes are static, batches of any size, and nothing but torch is needed.
"""

from __future__ import annotations

ROI_ALIGN = '''@torch.fx.wrap
def roi_align(
    boxes: Tensor,
    levels: list[Tensor],
    size: Sequence[int],
    strides: Sequence[int],
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
    total = torch.zeros((), dtype=pixels.dtype, device=pixels.device)
    for row, weight_y in ((top, 1 - dy), (bottom, dy)):
        for column, weight_x in ((left, 1 - dx), (right, dx)):
            index = start + row[..., :, None] * width + column[..., None, :]
            index = index.flatten(1)
            read = pixels.gather(2, index[:, None].expand(-1, channels, -1))
            weight = weight_y[..., :, None] * weight_x[..., None, :] * valid
            total = total + read * weight.flatten(1)[:, None].to(read.dtype)
    ratio = sampling_ratio
    total = total.reshape(batch, channels, count, size[0], ratio, size[1], ratio)
    return total.mean((4, 6)).transpose(1, 2)
'''

GATHER = '''@torch.fx.wrap
def gather(x: Tensor, index: Tensor, axis: int) -> Tensor:
    """The entry of that number along an axis, for each row."""
    index = index.long()
    for _ in range(x.dim() - index.dim()):
        index = index.unsqueeze(-1)
    return torch.take_along_dim(x, index, axis).squeeze(axis)
'''
