"""UNet, written by cnndsl."""

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def center_crop(x: Tensor, size: tuple[int, ...]) -> Tensor:
    """The middle of the spatial axes."""
    for axis, length in enumerate(size, start=2):
        x = x.narrow(axis, (x.shape[axis] - length) // 2, length)
    return x


class DoubleConv(nn.Module):
    def __init__(self, in_channels: int, c: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, c, 3)
        self.conv_2 = nn.Conv2d(c, c, 3)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv_2(F.relu(self.conv(x))))


class Up(nn.Module):
    def __init__(self, encoder_channels: int, deep_channels: int, c: int) -> None:
        super().__init__()
        self.up = nn.Sequential(
            OrderedDict(deconv=nn.ConvTranspose2d(deep_channels, c, 2, stride=2))
        )
        self.out = nn.Sequential(
            OrderedDict(DoubleConv=DoubleConv(encoder_channels + c, c))
        )

    def forward(self, encoder: Tensor, deep: Tensor) -> Tensor:
        up = self.up(deep)
        x = torch.cat([center_crop(encoder, up.shape[2:]), up], 1)
        return self.out(x)


class UNet(nn.Module):
    """Every convolution loses its border: 572 pixels in, 388 out.

    Source: arXiv:1505.04597, figure 1.
    Parameters: classes=2.
    Written for image [1, 572, 572] (sizes per image).
    """

    def __init__(self) -> None:
        super().__init__()
        self.d0 = nn.Sequential(OrderedDict(DoubleConv=DoubleConv(1, 64)))
        self.d1 = nn.Sequential(
            OrderedDict(maxpool=nn.MaxPool2d(2), DoubleConv=DoubleConv(64, 128))
        )
        self.d2 = nn.Sequential(
            OrderedDict(maxpool=nn.MaxPool2d(2), DoubleConv=DoubleConv(128, 256))
        )
        self.d3 = nn.Sequential(
            OrderedDict(maxpool=nn.MaxPool2d(2), DoubleConv=DoubleConv(256, 512))
        )
        self.d4 = nn.Sequential(
            OrderedDict(
                maxpool=nn.MaxPool2d(2),
                DoubleConv=DoubleConv(512, 1024),
                dropout=nn.Dropout(),
            )
        )
        self.e3 = nn.ModuleDict({"Up": Up(512, 1024, c=512)})
        self.e2 = nn.ModuleDict({"Up": Up(256, 512, c=256)})
        self.e1 = nn.ModuleDict({"Up": Up(128, 256, c=128)})
        self.e0 = nn.ModuleDict({"Up": Up(64, 128, c=64)})
        self.logits = nn.Sequential(OrderedDict(conv=nn.Conv2d(64, 2, 1)))
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, image: Tensor) -> Tensor:
        d0 = self.d0(image)  # [64, 568, 568]
        d1 = self.d1(d0)  # [128, 280, 280]
        d2 = self.d2(d1)  # [256, 136, 136]
        d3 = self.d3(d2)  # [512, 64, 64]
        d4 = self.d4(d3)  # [1024, 28, 28]
        e3 = self.e3.Up(d3, d4)  # [512, 52, 52]
        e2 = self.e2.Up(d2, e3)  # [256, 100, 100]
        e1 = self.e1.Up(d1, e2)  # [128, 196, 196]
        x = self.e0.Up(d0, e1)  # [64, 388, 388]
        return self.logits(x)
