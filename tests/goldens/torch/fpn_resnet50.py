"""FPNResNet50, written by cnndsl."""

from collections import OrderedDict
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F


class ResNetBodyOutput(NamedTuple):
    c2: Tensor
    c3: Tensor
    c4: Tensor
    c5: Tensor


class FPNOutput(NamedTuple):
    p2: Tensor
    p3: Tensor
    p4: Tensor
    p5: Tensor


class FPNResNet50Output(NamedTuple):
    p2: Tensor
    p3: Tensor
    p4: Tensor
    p5: Tensor
    p6: Tensor


class Bottleneck(nn.Module):
    """`width` and `groups` are what ResNeXt and Wide ResNet change, `d` is the 3x3's
    dilation.

    Source: arXiv:1512.03385, figure 5.
    Deviation: the paper strides the first 1x1 (v1); v1_5 strides the 3x3, as
    torchvision does.
    """

    def __init__(self, in_channels: int, c: int, s: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, c, 1, bias=False)
        self.norm = nn.BatchNorm2d(c)
        self.conv_2 = nn.Conv2d(c, c, 3, stride=s, padding=1, bias=False)
        self.norm_2 = nn.BatchNorm2d(c)
        self.conv_3 = nn.Conv2d(c, 4 * c, 1, bias=False)
        self.norm_3 = nn.BatchNorm2d(4 * c)
        if s == 1 and in_channels == 4 * c:
            self.projection = nn.Identity()
        else:
            self.projection = nn.Sequential(
                OrderedDict(
                    conv=nn.Conv2d(in_channels, 4 * c, 1, stride=s, bias=False),
                    norm=nn.BatchNorm2d(4 * c),
                )
            )

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm(self.conv(x)))
        y = F.relu(self.norm_2(self.conv_2(y)))
        x = self.norm_3(self.conv_3(y)) + self.projection(x)
        return F.relu(x)


class ResNetBody(nn.Module):
    """Source: arXiv:1512.03385, table 1."""

    def __init__(self) -> None:
        super().__init__()
        self.c1 = nn.Sequential(
            OrderedDict(
                conv=nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False),
                norm=nn.BatchNorm2d(64),
                act=nn.ReLU(),
            )
        )
        self.c2 = nn.Sequential(
            OrderedDict(
                maxpool=nn.MaxPool2d(3, stride=2, padding=1),
                Bottleneck=nn.Sequential(
                    Bottleneck(64, 64), *(Bottleneck(256, 64) for _ in range(2))
                ),
            )
        )
        self.c3 = nn.Sequential(
            OrderedDict(
                Bottleneck=nn.Sequential(
                    Bottleneck(256, 128, s=2), *(Bottleneck(512, 128) for _ in range(3))
                )
            )
        )
        self.c4 = nn.Sequential(
            OrderedDict(
                Bottleneck=nn.Sequential(
                    Bottleneck(512, 256, s=2),
                    *(Bottleneck(1024, 256) for _ in range(5)),
                )
            )
        )
        self.c5 = nn.Sequential(
            OrderedDict(
                Bottleneck=nn.Sequential(
                    Bottleneck(1024, 512, s=2),
                    *(Bottleneck(2048, 512) for _ in range(2)),
                )
            )
        )

    def forward(self, image: Tensor) -> ResNetBodyOutput:
        x = self.c1(image)  # [64, 112, 112]
        c2 = self.c2(x)  # [256, 56, 56]
        c3 = self.c3(c2)  # [512, 28, 28]
        c4 = self.c4(c3)  # [1024, 14, 14]
        c5 = self.c5(c4)  # [2048, 7, 7]
        return ResNetBodyOutput(c2=c2, c3=c3, c4=c4, c5=c5)


class FPN(nn.Module):
    """Source: arXiv:1612.03144, figure 3."""

    def __init__(self) -> None:
        super().__init__()
        self.m5 = nn.Sequential(OrderedDict(conv=nn.Conv2d(2048, 256, 1)))
        self.m4 = nn.Sequential(OrderedDict(conv=nn.Conv2d(1024, 256, 1)))
        self.m3 = nn.Sequential(OrderedDict(conv=nn.Conv2d(512, 256, 1)))
        self.m2 = nn.Sequential(OrderedDict(conv=nn.Conv2d(256, 256, 1)))
        self.p5 = nn.Sequential(OrderedDict(conv=nn.Conv2d(256, 256, 3, padding=1)))
        self.p4 = nn.Sequential(OrderedDict(conv=nn.Conv2d(256, 256, 3, padding=1)))
        self.p3 = nn.Sequential(OrderedDict(conv=nn.Conv2d(256, 256, 3, padding=1)))
        self.p2 = nn.Sequential(OrderedDict(conv=nn.Conv2d(256, 256, 3, padding=1)))

    def forward(self, c2: Tensor, c3: Tensor, c4: Tensor, c5: Tensor) -> FPNOutput:
        m5 = self.m5(c5)  # [256, 7, 7]
        m4 = self.m4(c4) + F.interpolate(m5, c4.shape[2:])  # [256, 14, 14]
        m3 = self.m3(c3) + F.interpolate(m4, c3.shape[2:])  # [256, 28, 28]
        m2 = self.m2(c2) + F.interpolate(m3, c2.shape[2:])  # [256, 56, 56]
        p5 = self.p5(m5)  # [256, 7, 7]
        p4 = self.p4(m4)  # [256, 14, 14]
        p3 = self.p3(m3)  # [256, 28, 28]
        p2 = self.p2(m2)  # [256, 56, 56]
        return FPNOutput(p2=p2, p3=p3, p4=p4, p5=p5)


class FPNResNet50(nn.Module):
    """ResNet-50 with a feature pyramid; detectors freeze its normalisation
    (`norm=frozen_bn`).

    Source: arXiv:1612.03144, section 4.
    Parameters: norm=bn.
    Written for image [3, 224, 224] (sizes per image).
    """

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(OrderedDict(ResNetBody=ResNetBody()))
        self.fpn = nn.ModuleDict({"FPN": FPN()})
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, image: Tensor) -> FPNResNet50Output:
        body = self.body(image)
        fpn = self.fpn.FPN(body.c2, body.c3, body.c4, body.c5)
        p6 = F.max_pool2d(fpn.p5, 1, stride=2)  # [256, 4, 4]
        return FPNResNet50Output(p2=fpn.p2, p3=fpn.p3, p4=fpn.p4, p5=fpn.p5, p6=p6)
