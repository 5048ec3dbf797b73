"""MobileNetV2, written by cnndsl."""

from torch import Tensor, nn


def round8(value: float) -> int:
    """The nearest multiple of 8, at least 8, and not below 90 % of the value."""
    rounded = max(8, int(value + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * value else rounded


class ConvBNReLU6(nn.Sequential):
    def __init__(self, c_in: int, c_out: int, k: int, s: int = 1, g: int = 1) -> None:
        super().__init__(
            nn.Conv2d(
                c_in, c_out, k, stride=s, padding=(k - 1) // 2, groups=g, bias=False
            ),
            nn.BatchNorm2d(c_out),
            nn.ReLU6(),
        )


class InvertedResidual(nn.Module):
    """Source: arXiv:1801.04381, table 1."""

    def __init__(self, c_in: int, c: int, t: int = 6, s: int = 1) -> None:
        super().__init__()
        self.conv1 = ConvBNReLU6(c_in, t * c_in, 1) if t != 1 else nn.Identity()
        self.dwconv = ConvBNReLU6(t * c_in, t * c_in, 3, s=s, g=t * c_in)
        self.conv2 = nn.Sequential(
            nn.Conv2d(t * c_in, c, 1, bias=False), nn.BatchNorm2d(c)
        )
        self.residual = s == 1 and c_in == c

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv2(self.dwconv(self.conv1(x)))
        return y + x if self.residual else y


class MobileNetV2(nn.Module):
    """Source: arXiv:1801.04381, table 2.

    Written for image (N, 3, 224, 224).
    """

    def __init__(
        self, channels: int = 3, width: float = 1.0, classes: int = 1000
    ) -> None:
        super().__init__()
        self.stem = ConvBNReLU6(channels, round8(32 * width), 3, s=2)
        c_in = round8(32 * width)
        blocks: list[nn.Module] = []
        for t, c, n, s in (
            (1, 16, 1, 1),
            (6, 24, 2, 2),
            (6, 32, 3, 2),
            (6, 64, 4, 2),
            (6, 96, 3, 1),
            (6, 160, 3, 2),
            (6, 320, 1, 1),
        ):
            layers: list[nn.Module] = []
            for i in range(n):
                layers.append(
                    InvertedResidual(c_in, round8(c * width), t, s=s if i == 0 else 1)
                )
                c_in = round8(c * width)
            blocks.append(nn.Sequential(*layers))
        self.blocks = nn.Sequential(*blocks)
        self.last = ConvBNReLU6(round8(320 * width), round8(1280 * max(1.0, width)), 1)
        self.dropout = nn.Dropout(p=0.2)
        self.logits = nn.Linear(round8(1280 * max(1.0, width)), classes)
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out")
            elif isinstance(m, nn.Linear):
                nn.init.normal_(m.weight, std=0.01)
                nn.init.zeros_(m.bias)

    def forward(self, image: Tensor) -> Tensor:
        x = self.last(self.blocks(self.stem(image))).mean((2, 3))
        return self.logits(self.dropout(x))
