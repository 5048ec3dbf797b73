"""HRNet, written by cnndsl."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F


class ConvBNReLU(nn.Sequential):
    def __init__(self, c_in: int, c_out: int, k: int, s: int = 1) -> None:
        super().__init__(
            nn.Conv2d(c_in, c_out, k, stride=s, padding=(k - 1) // 2, bias=False),
            nn.BatchNorm2d(c_out),
            nn.ReLU(),
        )


class ConvBN(nn.Sequential):
    def __init__(self, c_in: int, c_out: int, k: int, s: int = 1) -> None:
        super().__init__(
            nn.Conv2d(c_in, c_out, k, stride=s, padding=(k - 1) // 2, bias=False),
            nn.BatchNorm2d(c_out),
        )


class ConvBNReLU2(nn.Sequential):
    def __init__(self, c_in: int, c_out: int, k: int, s: int = 1) -> None:
        super().__init__(
            nn.Conv2d(c_in, c_out, k, stride=s, padding=(k - 1) // 2),
            nn.BatchNorm2d(c_out),
            nn.ReLU(),
        )


class Bottleneck(nn.Module):
    """Source: arXiv:1512.03385, figure 5.

    Deviation: the paper strides the first 1x1 (v1); v1_5 strides the 3x3, as
    torchvision does.
    """

    def __init__(self, c_in: int, c: int) -> None:
        super().__init__()
        self.conv1 = ConvBNReLU(c_in, c, 1)
        self.conv2 = ConvBNReLU(c, c, 3)
        self.conv3 = ConvBN(c, 4 * c, 1)
        self.projection = ConvBN(c_in, 4 * c, 1) if c_in != 4 * c else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv3(self.conv2(self.conv1(x))) + self.projection(x))


class BasicBlock(nn.Module):
    """Source: arXiv:1512.03385, figure 5."""

    def __init__(self, c_in: int, c: int) -> None:
        super().__init__()
        if c_in != c:
            raise ValueError("this class is not written for c_in != c")
        self.conv1 = ConvBNReLU(c_in, c, 3)
        self.conv2 = ConvBN(c, c, 3)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv2(self.conv1(x)) + x)


class Exchange(nn.Module):
    """Four residual blocks on each branch; then every branch hears every other.

    Source: arXiv:1908.07919, figure 3.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.branch = nn.ModuleList(
            nn.Sequential(*(BasicBlock(c, c) for _ in range(4))) for c in channels
        )
        self.down: Any = nn.ModuleList(
            nn.ModuleList(
                (
                    nn.Sequential(
                        nn.Sequential(
                            *(ConvBNReLU(c, c, 3, s=2) for _ in range(i - j - 1))
                        ),
                        ConvBN(c, c_in, 3, s=2),
                    )
                    if j < i
                    else nn.Identity()
                )
                for j, c in enumerate(channels)
            )
            for i, c_in in enumerate(channels)
        )
        self.up: Any = nn.ModuleList(
            nn.ModuleList(
                ConvBN(c, c_in, 1) if j > i else nn.Identity()
                for j, c in enumerate(channels)
            )
            for i, c_in in enumerate(channels)
        )

    def forward(self, x: list[Tensor]) -> list[Tensor]:
        branch = []
        for i, layer in enumerate(self.branch):
            branch.append(layer(x[i]))
        y = []
        for i, (down_row, up_row) in enumerate(zip(self.down, self.up)):
            parts = []
            for j, (down, up) in enumerate(zip(down_row, up_row)):
                if j < i:
                    parts.append(down(branch[j]))
                if j == i:
                    parts.append(branch[j])
                if j > i:
                    z = F.interpolate(up(branch[j]), scale_factor=2.0 ** (j - i))
                    parts.append(z)
            total = parts[0]
            for part in parts[1:]:
                total = total + part
            y.append(F.relu(total))
        return y


class HRNet(nn.Module):
    """High-resolution representations are kept from the first stage to the last.

    Source: arXiv:1908.07919, section 3.
    Written for image (N, 3, 224, 224).
    """

    def __init__(self, channels: int = 3, w: int = 18, classes: int = 1000) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            ConvBNReLU(channels, 64, 3, s=2), ConvBNReLU(64, 64, 3, s=2)
        )
        self.stage1 = nn.Sequential(
            Bottleneck(64, 64), *(Bottleneck(256, 64) for _ in range(3))
        )
        self.t1 = ConvBNReLU(256, w, 3)
        self.t2 = ConvBNReLU(256, 2 * w, 3, s=2)
        self.stage2 = Exchange((w, 2 * w))
        self.t3 = ConvBNReLU(2 * w, 4 * w, 3, s=2)
        self.stage3_block1 = Exchange((w, 2 * w, 4 * w))
        self.stage3_block2 = nn.ModuleList(
            Exchange((w, 2 * w, 4 * w)) for _ in range(3)
        )
        self.t4 = ConvBNReLU(4 * w, 8 * w, 3, s=2)
        self.stage4_block1 = Exchange((w, 2 * w, 4 * w, 8 * w))
        self.stage4_block2 = nn.ModuleList(
            Exchange((w, 2 * w, 4 * w, 8 * w)) for _ in range(2)
        )
        self.head = Bottleneck(w, 32)
        self.head_block = nn.ModuleList(
            [Bottleneck(2 * w, 64), Bottleneck(4 * w, 128), Bottleneck(8 * w, 256)]
        )
        self.head_conv = nn.ModuleList(
            [
                ConvBNReLU2(128, 256, 3, s=2),
                ConvBNReLU2(256, 512, 3, s=2),
                ConvBNReLU2(512, 1024, 3, s=2),
            ]
        )
        self.final = ConvBNReLU2(1024, 2048, 1)
        self.logits = nn.Linear(2048, classes)
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out")

    def forward(self, image: Tensor) -> Tensor:
        stage1 = self.stage1(self.stem(image))
        stage2, stage2_2 = self.stage2([self.t1(stage1), self.t2(stage1)])
        t3 = self.t3(stage2_2)
        x, y, z = self.stage3_block1([stage2, stage2_2, t3])
        for block in self.stage3_block2:
            x, y, z = block([x, y, z])
        t4 = self.t4(z)
        x, y, z, u = self.stage4_block1([x, y, z, t4])
        for block in self.stage4_block2:
            x, y, z, u = block([x, y, z, u])
        head_0 = self.head(x)
        head_1 = self.head_block[0](y) + self.head_conv[0](head_0)
        head_2 = self.head_block[1](z) + self.head_conv[1](head_1)
        head_3 = self.head_block[2](u) + self.head_conv[2](head_2)
        return self.logits(self.final(head_3).mean((2, 3)))
