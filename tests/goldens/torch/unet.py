"""UNet, written by cnndsl."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def center_crop(x: Tensor, size: list[int]) -> Tensor:
    """The middle of the spatial axes."""
    for axis in range(len(size)):
        start = (x.shape[axis + 2] - size[axis]) // 2
        x = x.narrow(axis + 2, start, size[axis])
    return x


class ConvReLU(nn.Sequential):
    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__(nn.Conv2d(c_in, c_out, 3), nn.ReLU())


class DoubleConv(nn.Module):
    def __init__(self, c_in: int, c: int) -> None:
        super().__init__()
        self.conv1 = ConvReLU(c_in, c)
        self.conv2 = ConvReLU(c, c)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(self.conv1(x))


class Up(nn.Module):
    def __init__(self, encoder_c: int, deep_c: int, c: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(deep_c, c, 2, stride=2)
        self.out = DoubleConv(encoder_c + c, c)
        nn.init.normal_(self.up.weight, std=math.sqrt(2 / deep_c))

    def forward(self, encoder: Tensor, deep: Tensor) -> Tensor:
        up = self.up(deep)
        x = center_crop(encoder, [up.shape[2], up.shape[3]])
        return self.out(torch.cat([x, up], 1))


class UNet(nn.Module):
    """Every convolution loses its border: 572 pixels in, 388 out.

    Source: arXiv:1505.04597, figure 1.
    Written for image (N, 1, 572, 572).
    """

    def __init__(self, channels: int = 1, classes: int = 2) -> None:
        super().__init__()
        self.d0 = DoubleConv(channels, 64)
        self.d1 = DoubleConv(64, 128)
        self.d2 = DoubleConv(128, 256)
        self.d3 = DoubleConv(256, 512)
        self.d4 = DoubleConv(512, 1024)
        self.dropout = nn.Dropout()
        self.e3 = Up(512, 1024, 512)
        self.e2 = Up(256, 512, 256)
        self.e1 = Up(128, 256, 128)
        self.e0 = Up(64, 128, 64)
        self.logits = nn.Conv2d(64, classes, 1)
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight)

    def forward(self, image: Tensor) -> Tensor:
        d0 = self.d0(image)
        d1 = self.d1(F.max_pool2d(d0, 2))
        d2 = self.d2(F.max_pool2d(d1, 2))
        d3 = self.d3(F.max_pool2d(d2, 2))
        e3 = self.e3(d3, self.dropout(self.d4(F.max_pool2d(d3, 2))))
        return self.logits(self.e0(d0, self.e1(d1, self.e2(d2, e3))))
