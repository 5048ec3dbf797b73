"""GoogLeNet, written by cnndsl."""

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Inception(nn.Module):
    """`norm` and `five` are what later forms change: batch normalisation, and 3x3 for
    5x5.

    Source: arXiv:1409.4842, figure 2.
    """

    def __init__(
        self, in_channels: int, c1: int, r3: int, c3: int, r5: int, c5: int, pool: int
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, c1, 1)
        self.conv_2 = nn.Conv2d(in_channels, r3, 1)
        self.conv_3 = nn.Conv2d(r3, c3, 3, padding=1)
        self.conv_4 = nn.Conv2d(in_channels, r5, 1)
        self.conv_5 = nn.Conv2d(r5, c5, 5, padding=2)
        self.conv_6 = nn.Conv2d(in_channels, pool, 1)

    def forward(self, x: Tensor) -> Tensor:
        branch_1 = F.relu(self.conv(x))
        branch_2 = F.relu(self.conv_3(F.relu(self.conv_2(x))))
        branch_3 = F.relu(self.conv_5(F.relu(self.conv_4(x))))
        branch_4 = F.max_pool2d(x, 3, stride=1, padding=1)
        branch_4 = F.relu(self.conv_6(branch_4))
        return torch.cat([branch_1, branch_2, branch_3, branch_4], 1)


class GoogLeNet(nn.Module):
    """The paper's network; `aux` adds the two heads that train it.

    Source: arXiv:1409.4842, table 1.
    Deviation: the paper has 12 times fewer parameters than AlexNet: 60,965,224 /
    6,998,552 is 8.7.
    Parameters: classes=1000, aux=false.
    Written for image [3, 224, 224] (sizes per image).
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(
            OrderedDict(conv=nn.Conv2d(3, 64, 7, stride=2, padding=3), act=nn.ReLU())
        )
        self.conv2 = nn.Sequential(
            OrderedDict(conv=nn.Conv2d(64, 64, 1), act=nn.ReLU())
        )
        self.conv3 = nn.Sequential(
            OrderedDict(
                conv=nn.Conv2d(64, 192, 3, padding=1),
                act=nn.ReLU(),
                lrn=nn.LocalResponseNorm(5),
            )
        )
        self.i3 = nn.Sequential(
            *(
                nn.Sequential(
                    OrderedDict(
                        Inception=Inception(in_channels, c1, r3, c3, r5, c5, pool)
                    )
                )
                for in_channels, c1, r3, c3, r5, c5, pool in [
                    (192, 64, 96, 128, 16, 32, 32),
                    (256, 128, 128, 192, 32, 96, 64),
                ]
            )
        )
        self.i4 = nn.Sequential(
            *(
                nn.Sequential(
                    OrderedDict(
                        Inception=Inception(in_channels, c1, r3, c3, r5, c5, pool)
                    )
                )
                for in_channels, c1, r3, c3, r5, c5, pool in [
                    (480, 192, 96, 208, 16, 48, 64),
                    (512, 160, 112, 224, 24, 64, 64),
                    (512, 128, 128, 256, 24, 64, 64),
                    (512, 112, 144, 288, 32, 64, 64),
                    (528, 256, 160, 320, 32, 128, 128),
                ]
            )
        )
        self.i5 = nn.Sequential(
            *(
                nn.Sequential(
                    OrderedDict(Inception=Inception(832, c1, r3, c3, r5, c5, pool))
                )
                for c1, r3, c3, r5, c5, pool in [
                    (256, 160, 320, 32, 128, 128),
                    (384, 192, 384, 48, 128, 128),
                ]
            )
        )
        self.logits = nn.Sequential(
            OrderedDict(
                gap=nn.AdaptiveAvgPool2d(1),
                flatten=nn.Flatten(),
                dropout=nn.Dropout(p=0.4),
                linear=nn.Linear(1024, 1000),
            )
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, image: Tensor) -> Tensor:
        x = self.conv1(image)  # [64, 112, 112]
        x = F.max_pool2d(x, 3, stride=2, ceil_mode=True)  # [64, 56, 56]
        x = F.local_response_norm(x, 5)  # [64, 56, 56]
        x = self.conv2(x)  # [64, 56, 56]
        x = self.conv3(x)  # [192, 56, 56]
        x = F.max_pool2d(x, 3, stride=2, ceil_mode=True)  # [192, 28, 28]
        x = self.i3(x)  # [480, 28, 28]
        x = F.max_pool2d(x, 3, stride=2, ceil_mode=True)  # [480, 14, 14]
        x = self.i4(x)  # [832, 14, 14]
        x = F.max_pool2d(x, 3, stride=2, ceil_mode=True)  # [832, 7, 7]
        x = self.i5(x)  # [1024, 7, 7]
        return self.logits(x)
