"""MobileNetV2, written by cnndsl."""

from collections import OrderedDict

from torch import Tensor, nn
from torch.nn import functional as F


class InvertedResidual(nn.Module):
    """Source: arXiv:1801.04381, table 1."""

    def __init__(self, in_channels: int, c: int, t: int, s: int) -> None:
        super().__init__()
        hidden = t * in_channels
        self.has_conv = t != 1
        if self.has_conv:
            self.conv = nn.Conv2d(in_channels, hidden, 1, bias=False)
            self.norm = nn.BatchNorm2d(hidden)
        self.dwconv = nn.Conv2d(
            hidden, hidden, 3, stride=s, padding=1, groups=hidden, bias=False
        )
        self.norm_2 = nn.BatchNorm2d(hidden)
        self.conv_2 = nn.Conv2d(hidden, c, 1, bias=False)
        self.norm_3 = nn.BatchNorm2d(c)
        self.residual = s == 1 and in_channels == c

    def forward(self, x: Tensor) -> Tensor:
        y = x
        if self.has_conv:
            y = F.relu6(self.norm(self.conv(y)))
        y = F.relu6(self.norm_2(self.dwconv(y)))
        y = self.norm_3(self.conv_2(y))
        return y + x if self.residual else y


class MobileNetV2(nn.Module):
    """Source: arXiv:1801.04381, table 2.

    Parameters: width=1.0, classes=1000.
    Written for image [3, 224, 224] (sizes per image).
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            OrderedDict(
                conv=nn.Conv2d(3, 32, 3, stride=2, padding=1, bias=False),
                norm=nn.BatchNorm2d(32),
                act=nn.ReLU6(),
            )
        )
        self.blocks = nn.Sequential(
            *(
                nn.Sequential(
                    OrderedDict(
                        InvertedResidual=nn.Sequential(
                            InvertedResidual(in_channels, c, t, s),
                            *(InvertedResidual(c, c, t, s=1) for _ in range(n - 1)),
                        )
                    )
                )
                for in_channels, t, c, n, s in [
                    (32, 1, 16, 1, 1),
                    (16, 6, 24, 2, 2),
                    (24, 6, 32, 3, 2),
                    (32, 6, 64, 4, 2),
                    (64, 6, 96, 3, 1),
                    (96, 6, 160, 3, 2),
                    (160, 6, 320, 1, 1),
                ]
            )
        )
        self.last = nn.Sequential(
            OrderedDict(
                conv=nn.Conv2d(320, 1280, 1, bias=False),
                norm=nn.BatchNorm2d(1280),
                act=nn.ReLU6(),
                gap=nn.AdaptiveAvgPool2d(1),
                flatten=nn.Flatten(),
                dropout=nn.Dropout(p=0.2),
            )
        )
        self.logits = nn.Sequential(OrderedDict(linear=nn.Linear(1280, 1000)))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, image: Tensor) -> Tensor:
        x = self.stem(image)  # [32, 112, 112]
        x = self.blocks(x)  # [320, 7, 7]
        x = self.last(x)  # [1280]
        return self.logits(x)
