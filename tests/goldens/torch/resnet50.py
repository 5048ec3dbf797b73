"""ResNet50, written by cnndsl."""

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
    def __init__(self, c_in: int, c_out: int, s: int = 1) -> None:
        super().__init__(
            nn.Conv2d(c_in, c_out, 1, stride=s, bias=False), nn.BatchNorm2d(c_out)
        )


class Bottleneck(nn.Module):
    """Source: arXiv:1512.03385, figure 5.

    Deviation: the paper strides the first 1x1 (v1); v1_5 strides the 3x3, as
    torchvision does.
    """

    def __init__(self, c_in: int, c: int, s: int = 1, stride_on: str = "v1_5") -> None:
        super().__init__()
        if stride_on not in ("v1", "v1_5"):
            raise ValueError("stride_on must be one of v1, v1_5")
        self.conv1 = ConvBNReLU(c_in, c, 1, s=s if stride_on == "v1" else 1)
        self.conv2 = ConvBNReLU(c, c, 3, s=s if stride_on == "v1_5" else 1)
        self.conv3 = ConvBN(c, 4 * c)
        self.projection = (
            ConvBN(c_in, 4 * c, s=s) if s != 1 or c_in != 4 * c else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv3(self.conv2(self.conv1(x))) + self.projection(x))


class ResNet50(nn.Module):
    """Source: arXiv:1512.03385, table 1, column 50-layer.

    Deviation: v1_5, the default, strides the 3x3 of a bottleneck; the paper (v1) its
    first 1x1.
    Written for image (N, 3, 224, 224).
    """

    def __init__(
        self, channels: int = 3, classes: int = 1000, stride_on: str = "v1_5"
    ) -> None:
        super().__init__()
        if stride_on not in ("v1", "v1_5"):
            raise ValueError("stride_on must be one of v1, v1_5")
        self.c1 = ConvBNReLU(channels, 64, 7, s=2)
        self.c2 = nn.Sequential(
            Bottleneck(64, 64, stride_on=stride_on),
            *(Bottleneck(256, 64, stride_on=stride_on) for _ in range(2)),
        )
        self.c3 = nn.Sequential(
            Bottleneck(256, 128, s=2, stride_on=stride_on),
            *(Bottleneck(512, 128, stride_on=stride_on) for _ in range(3)),
        )
        self.c4 = nn.Sequential(
            Bottleneck(512, 256, s=2, stride_on=stride_on),
            *(Bottleneck(1024, 256, stride_on=stride_on) for _ in range(5)),
        )
        self.c5 = nn.Sequential(
            Bottleneck(1024, 512, s=2, stride_on=stride_on),
            *(Bottleneck(2048, 512, stride_on=stride_on) for _ in range(2)),
        )
        self.logits = nn.Linear(2048, classes)
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out")

    def forward(self, image: Tensor) -> Tensor:
        c2 = self.c2(F.max_pool2d(self.c1(image), 3, stride=2, padding=1))
        return self.logits(self.c5(self.c4(self.c3(c2))).mean((2, 3)))
