"""FPNResNet50, written by cnndsl."""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F


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


class FPN(nn.Module):
    """Source: arXiv:1612.03144, figure 3."""

    def __init__(self, c2_c: int, c3_c: int, c4_c: int, c5_c: int) -> None:
        super().__init__()
        self.m5 = nn.Conv2d(c5_c, 256, 1)
        self.m4 = nn.Conv2d(c4_c, 256, 1)
        self.m3 = nn.Conv2d(c3_c, 256, 1)
        self.m2 = nn.Conv2d(c2_c, 256, 1)
        self.p5 = nn.Conv2d(256, 256, 3, padding=1)
        self.p4 = nn.Conv2d(256, 256, 3, padding=1)
        self.p3 = nn.Conv2d(256, 256, 3, padding=1)
        self.p2 = nn.Conv2d(256, 256, 3, padding=1)
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_uniform_(m.weight, a=1.0)
                if m.bias is not None:
                    nn.init.zeros_(m.bias)

    def forward(
        self, c2: Tensor, c3: Tensor, c4: Tensor, c5: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        m5 = self.m5(c5)
        m4 = self.m4(c4) + F.interpolate(m5, c4.shape[2:])
        m3 = self.m3(c3) + F.interpolate(m4, c3.shape[2:])
        m2 = self.m2(c2) + F.interpolate(m3, c2.shape[2:])
        return self.p2(m2), self.p3(m3), self.p4(m4), self.p5(m5)


class FPNResNet50Output(NamedTuple):
    p2: Tensor
    p3: Tensor
    p4: Tensor
    p5: Tensor
    p6: Tensor


class FPNResNet50(nn.Module):
    """ResNet-50 with a feature pyramid; detectors freeze its normalisation
    (`norm=frozen_bn`).

    Source: arXiv:1612.03144, section 4.
    Written for image (N, 3, 224, 224).
    """

    def __init__(
        self, channels: int = 3, norm: Callable[[int], nn.Module] = nn.BatchNorm2d
    ) -> None:
        super().__init__()
        self.body = ResNetBody(channels, norm=norm)
        self.fpn = FPN(256, 512, 1024, 2048)

    def forward(self, image: Tensor) -> FPNResNet50Output:
        c2, c3, c4, c5 = self.body(image)
        p2, p3, p4, p5 = self.fpn(c2, c3, c4, c5)
        p6 = F.max_pool2d(p5, 1, stride=2)
        return FPNResNet50Output(p2, p3, p4, p5, p6)
