"""GoogLeNet, written by cnndsl."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ConvReLU(nn.Sequential):
    def __init__(self, c_in: int, c_out: int, k: int, s: int = 1) -> None:
        super().__init__(
            nn.Conv2d(c_in, c_out, k, stride=s, padding=(k - 1) // 2), nn.ReLU()
        )


class Inception(nn.Module):
    """Source: arXiv:1409.4842, figure 2."""

    def __init__(
        self, c_in: int, c1: int, r3: int, c3: int, r5: int, c5: int, pool: int
    ) -> None:
        super().__init__()
        self.conv1 = ConvReLU(c_in, c1, 1)
        self.conv2 = ConvReLU(c_in, r3, 1)
        self.conv3 = ConvReLU(r3, c3, 3)
        self.conv4 = ConvReLU(c_in, r5, 1)
        self.conv5 = ConvReLU(r5, c5, 5)
        self.conv6 = ConvReLU(c_in, pool, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(x)
        z = self.conv3(self.conv2(x))
        u = self.conv5(self.conv4(x))
        x = self.conv6(F.max_pool2d(x, 3, stride=1, padding=1))
        return torch.cat([y, z, u, x], 1)


class Aux(nn.Module):
    """Source: arXiv:1409.4842, section 5."""

    def __init__(self, c_in: int, classes: int) -> None:
        super().__init__()
        self.reduce = ConvReLU(c_in, 128, 1)
        self.fc1 = nn.Sequential(nn.Linear(2048, 1024), nn.ReLU())
        self.dropout = nn.Dropout(p=0.7)
        self.fc2 = nn.Linear(1024, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.fc1(self.reduce(F.avg_pool2d(x, 5, stride=3)).flatten(1))
        return self.fc2(self.dropout(x))


class GoogLeNetOutput(NamedTuple):
    logits: Tensor
    aux1: Tensor
    aux2: Tensor


class GoogLeNet(nn.Module):
    """The paper's network; `aux` adds the two heads that train it.

    Source: arXiv:1409.4842, table 1.
    Deviation: the paper has 12 times fewer parameters than AlexNet: 60,965,224 /
    6,998,552 is 8.7.
    Written for image (N, 3, 224, 224).
    """

    def __init__(
        self, channels: int = 3, classes: int = 1000, aux: bool = False
    ) -> None:
        super().__init__()
        self.conv1 = ConvReLU(channels, 64, 7, s=2)
        self.conv2 = ConvReLU(64, 64, 1)
        self.conv3 = ConvReLU(64, 192, 3)
        c_in = 192
        layers: list[nn.Module] = []
        for c1, r3, c3, r5, c5, pool in (
            (64, 96, 128, 16, 32, 32),
            (128, 128, 192, 32, 96, 64),
        ):
            layers.append(Inception(c_in, c1, r3, c3, r5, c5, pool))
            c_in = c1 + c3 + c5 + pool
        self.i3 = nn.Sequential(*layers)
        c_in = 480
        layers = []
        for c1, r3, c3, r5, c5, pool in (
            (192, 96, 208, 16, 48, 64),
            (160, 112, 224, 24, 64, 64),
            (128, 128, 256, 24, 64, 64),
            (112, 144, 288, 32, 64, 64),
            (256, 160, 320, 32, 128, 128),
        ):
            layers.append(Inception(c_in, c1, r3, c3, r5, c5, pool))
            c_in = c1 + c3 + c5 + pool
        self.i4 = nn.Sequential(*layers)
        c_in = 832
        layers = []
        for c1, r3, c3, r5, c5, pool in (
            (256, 160, 320, 32, 128, 128),
            (384, 192, 384, 48, 128, 128),
        ):
            layers.append(Inception(c_in, c1, r3, c3, r5, c5, pool))
            c_in = c1 + c3 + c5 + pool
        self.i5 = nn.Sequential(*layers)
        self.dropout = nn.Dropout(p=0.4)
        self.logits = nn.Linear(1024, classes)
        self.aux = aux
        self.aux1 = Aux(512, classes) if aux else nn.Identity()
        self.aux2 = Aux(528, classes) if aux else nn.Identity()
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_uniform_(m.weight, nonlinearity="linear")
                if m.bias is not None:
                    nn.init.constant_(m.bias, 0.2)
            elif isinstance(m, nn.Linear):
                nn.init.kaiming_uniform_(m.weight, nonlinearity="linear")
                nn.init.constant_(m.bias, 0.2)

    def forward(self, image: Tensor) -> Tensor | GoogLeNetOutput:
        x = F.max_pool2d(self.conv1(image), 3, stride=2, ceil_mode=True)
        x = self.conv3(self.conv2(F.local_response_norm(x, 5)))
        x = F.local_response_norm(x, 5)
        i3 = self.i3(F.max_pool2d(x, 3, stride=2, ceil_mode=True))
        x = F.max_pool2d(i3, 3, stride=2, ceil_mode=True)
        i4 = []
        for layer in self.i4:
            x = layer(x)
            i4.append(x)
        i5 = self.i5(F.max_pool2d(i4[4], 3, stride=2, ceil_mode=True))
        logits = self.logits(self.dropout(i5.mean((2, 3))))
        if not self.aux:
            return logits
        return GoogLeNetOutput(logits, self.aux1(i4[0]), self.aux2(i4[3]))
