"""RetinaNet, written by cnndsl."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class FrozenBatchNorm(nn.Module):
    """Batch normalisation whose statistics and affine values are constants."""

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.register_buffer("weight", torch.ones(channels))
        self.register_buffer("bias", torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        mean, var = self.running_mean, self.running_var
        return F.batch_norm(x, mean, var, self.weight, self.bias, eps=self.eps)


def initialised(
    layer: nn.Module,
    weight: Callable[[Tensor], Tensor] | None = None,
    bias: Callable[[Tensor], Tensor] | None = None,
) -> nn.Module:
    """The layer, its weight and its bias begun by these."""
    begin = {"weight": weight, "bias": bias}
    for name, value in layer.named_parameters():
        function = begin.get(name)
        if function is not None:
            function(value)
    return layer


def at_cells(x: Tensor, half: Tensor, stride: Sequence[float], offset: float) -> Tensor:
    """Boxes (x1, y1, x2, y2) around every cell, from half their sides; rows (h w a)."""
    kind, device = half.dtype, half.device
    rows, columns = (torch.arange(n, dtype=kind, device=device) for n in x.shape[2:])
    rows, columns = (rows + offset) * stride[0], (columns + offset) * stride[1]
    y, x_at = torch.meshgrid(rows, columns, indexing="ij")
    centre = torch.stack((x_at, y), -1)[:, :, None]
    boxes = torch.cat((centre - half, centre + half), -1).flatten(0, 2)
    return boxes.expand(x.shape[0], -1, -1)


@torch.fx.wrap
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


class ConvReLU(nn.Sequential):
    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__(
            initialised(
                nn.Conv2d(c_in, c_out, 3, padding=1),
                weight=partial(nn.init.normal_, std=0.01),
                bias=nn.init.zeros_,
            ),
            nn.ReLU(),
        )


class Bottleneck(nn.Module):
    """Source: arXiv:1512.03385, figure 5.

    Deviation: the paper strides the first 1x1 (v1); v1_5 strides the 3x3, as
    torchvision does.
    """

    def __init__(
        self,
        c_in: int,
        c: int,
        s: int = 1,
        norm: Callable[[int], nn.Module] = nn.BatchNorm2d,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(
            nn.Conv2d(c_in, c, 1, bias=False), norm(c), nn.ReLU()
        )
        self.conv2 = nn.Sequential(
            nn.Conv2d(c, c, 3, stride=s, padding=1, bias=False), norm(c), nn.ReLU()
        )
        self.conv3 = nn.Sequential(nn.Conv2d(c, 4 * c, 1, bias=False), norm(4 * c))
        self.projection = (
            nn.Sequential(nn.Conv2d(c_in, 4 * c, 1, stride=s, bias=False), norm(4 * c))
            if s != 1 or c_in != 4 * c
            else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv3(self.conv2(self.conv1(x))) + self.projection(x))


class ResNetBody(nn.Module):
    """Source: arXiv:1512.03385, table 1."""

    def __init__(
        self, c_in: int, norm: Callable[[int], nn.Module] = nn.BatchNorm2d
    ) -> None:
        super().__init__()
        self.c1 = nn.Sequential(
            nn.Conv2d(c_in, 64, 7, stride=2, padding=3, bias=False), norm(64), nn.ReLU()
        )
        self.c2 = nn.Sequential(
            Bottleneck(64, 64, norm=norm),
            *(Bottleneck(256, 64, norm=norm) for _ in range(2)),
        )
        self.c3 = nn.Sequential(
            Bottleneck(256, 128, s=2, norm=norm),
            *(Bottleneck(512, 128, norm=norm) for _ in range(3)),
        )
        self.c4 = nn.Sequential(
            Bottleneck(512, 256, s=2, norm=norm),
            *(Bottleneck(1024, 256, norm=norm) for _ in range(5)),
        )
        self.c5 = nn.Sequential(
            Bottleneck(1024, 512, s=2, norm=norm),
            *(Bottleneck(2048, 512, norm=norm) for _ in range(2)),
        )
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out")

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        c2 = self.c2(F.max_pool2d(self.c1(image), 3, stride=2, padding=1))
        c3 = self.c3(c2)
        c4 = self.c4(c3)
        return c2, c3, c4, self.c5(c4)


class RetinaFPN(nn.Module):
    """A pyramid from stride 8 on; two coarser levels are convolved, not pooled.

    Source: arXiv:1708.02002, section 4.
    Deviation: P6 comes from P5, as torchvision's first version; the paper takes it from
    C5.
    """

    def __init__(self, c3_c: int, c4_c: int, c5_c: int, p6_from: str = "p5") -> None:
        super().__init__()
        if p6_from not in ("p5", "c5"):
            raise ValueError("p6_from must be one of p5, c5")
        self.m5 = nn.Conv2d(c5_c, 256, 1)
        self.m4 = nn.Conv2d(c4_c, 256, 1)
        self.m3 = nn.Conv2d(c3_c, 256, 1)
        self.p3 = nn.Conv2d(256, 256, 3, padding=1)
        self.p4 = nn.Conv2d(256, 256, 3, padding=1)
        self.p5 = nn.Conv2d(256, 256, 3, padding=1)
        self.p6_from = p6_from
        self.p6 = (
            nn.Conv2d(256, 256, 3, stride=2, padding=1)
            if p6_from == "p5"
            else nn.Conv2d(c5_c, 256, 3, stride=2, padding=1)
        )
        self.p7 = nn.Conv2d(256, 256, 3, stride=2, padding=1)
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_uniform_(m.weight, a=1.0)
                if m.bias is not None:
                    nn.init.zeros_(m.bias)

    def forward(
        self, c3: Tensor, c4: Tensor, c5: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        m5 = self.m5(c5)
        m4 = self.m4(c4) + F.interpolate(m5, c4.shape[2:])
        p3 = self.p3(self.m3(c3) + F.interpolate(m4, c3.shape[2:]))
        p4 = self.p4(m4)
        p5 = self.p5(m5)
        p6 = self.p6(p5) if self.p6_from == "p5" else self.p6(c5)
        return p3, p4, p5, p6, self.p7(F.relu(p6))


class RetinaHead(nn.Module):
    """Two towers that share nothing; every level shares both.

    Source: arXiv:1708.02002, section 4, figure 3.
    """

    def __init__(self, c_in: int, K: int) -> None:
        super().__init__()
        self.class_map = nn.Sequential(
            nn.Sequential(*(ConvReLU(c_in, c_in) for _ in range(4))),
            initialised(
                nn.Conv2d(c_in, 9 * K, 3, padding=1),
                weight=partial(nn.init.normal_, std=0.01),
                bias=partial(nn.init.constant_, val=-math.log(99.0)),
            ),
        )
        self.box_map = nn.Sequential(
            nn.Sequential(*(ConvReLU(c_in, c_in) for _ in range(4))),
            initialised(
                nn.Conv2d(c_in, 36, 3, padding=1),
                weight=partial(nn.init.normal_, std=0.01),
                bias=nn.init.zeros_,
            ),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        class_map = self.class_map(x)
        box_map = self.box_map(x)
        cls = (
            torch.unflatten(class_map, 1, (9, -1)).permute(0, 3, 4, 1, 2).flatten(1, 3)
        )
        reg = torch.unflatten(box_map, 1, (9, -1)).permute(0, 3, 4, 1, 2).flatten(1, 3)
        return cls, reg


class RetinaNetOutput(NamedTuple):
    cls: Tensor
    reg: Tensor
    anchors: Tensor


class RetinaNet(nn.Module):
    """What is trained: scores and offsets of every anchor. Detectors freeze the body's
    normalisation (in torchvision's weights from COCO, `norm=frozen_bn(eps=0)`);
    trained from the start it has one of its own (`norm=bn`).

    Source: arXiv:1708.02002, section 4, figure 3.
    Deviation: 91 classes as torchvision, whose labels count a background that is never
    predicted; the paper's K is 80.
    Deviation: anchors' sides are whole pixels, and the grid's step is floor(image /
    level), 61 and 114 and not 64 and 128 on P6 and P7 at 800, as torchvision.
    Written for image (N, 3, 800, 800).
    """

    def __init__(
        self,
        channels: int = 3,
        classes: int = 91,
        norm: Callable[[int], nn.Module] = FrozenBatchNorm,
        p6_from: str = "p5",
    ) -> None:
        super().__init__()
        if p6_from not in ("p5", "c5"):
            raise ValueError("p6_from must be one of p5, c5")
        self.body = ResNetBody(channels, norm=norm)
        self.fpn = RetinaFPN(512, 1024, 2048, p6_from)
        self.head = RetinaHead(256, classes)

    def forward(self, image: Tensor) -> RetinaNetOutput:
        _, c3, c4, c5 = self.body(image)
        p3, p4, p5, p6, p7 = self.fpn(c3, c4, c5)
        all_cls = []
        all_reg = []
        for x in [p3, p4, p5, p6, p7]:
            cls, reg = self.head(x)
            all_cls.append(cls)
            all_reg.append(reg)
        grid = []
        for x, sizes in zip(
            [p3, p4, p5, p6, p7],
            (
                (32, 40, 50),
                (64, 80, 101),
                (128, 161, 203),
                (256, 322, 406),
                (512, 645, 812),
            ),
        ):
            y = ratio_grid(
                x,
                sizes,
                (0.5, 1, 2),
                stride=(image.shape[2] // x.shape[2], image.shape[3] // x.shape[3]),
            )
            grid.append(y)
        cls = torch.cat(all_cls, 1)
        return RetinaNetOutput(cls, torch.cat(all_reg, 1), torch.cat(grid, 1))
