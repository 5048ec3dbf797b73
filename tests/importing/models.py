"""Small modules with one construct each, as people write them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - as everybody writes it


class Residual(nn.Module):
    """Two convolutions and a projection where the shape changes."""

    def __init__(self, before: int, after: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.relu = nn.ReLU(inplace=True)
        self.project = nn.Conv2d(before, after, 1, stride) if stride > 1 else None

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        y += x if self.project is None else self.project(x)
        return self.relu(y)


class ResNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.layer1 = nn.Sequential(Residual(8, 8), Residual(8, 8))
        self.layer2 = nn.Sequential(Residual(8, 16, 2), Residual(16, 16), Residual(16, 16))
        self.layer3 = nn.Sequential(Residual(16, 32, 2), Residual(32, 32))
        self.fc = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer3(self.layer2(self.layer1(self.stem(x))))
        return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))


class Inverted(nn.Module):
    """Expansion where there is one, a residual where the shape stays."""

    def __init__(self, before: int, after: int, expand: int, stride: int) -> None:
        super().__init__()
        wide = before * expand
        layers: list[nn.Module] = []
        if expand != 1:
            layers += [nn.Conv2d(before, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU6()]
        layers += [
            nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU6(),
            nn.Conv2d(wide, after, 1, bias=False),
            nn.BatchNorm2d(after),
        ]
        self.conv = nn.Sequential(*layers)
        self.residual = stride == 1 and before == after

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.residual else self.conv(x)


class MobileNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        table = [(1, 8, 1, 1), (6, 12, 2, 2), (6, 16, 3, 2), (6, 24, 2, 1), (6, 32, 1, 2)]
        layers: list[nn.Module] = [nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8)]
        before = 8
        for expand, after, repeats, stride in table:
            for n in range(repeats):
                layers.append(Inverted(before, after, expand, 1 if n else stride))
                before = after
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(32, 10))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).mean([2, 3]))


class Dense(nn.Module):
    """A layer that reads all before it."""

    def __init__(self, before: int, growth: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(before)
        self.conv1 = nn.Conv2d(before, 4 * growth, 1, bias=False)
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, seen: list[Tensor]) -> Tensor:
        x = F.relu(self.norm(torch.cat(seen, 1)))
        return self.conv2(F.relu(self.conv1(x)))


class DenseBlock(nn.Module):
    def __init__(self, before: int, growth: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Dense(before + growth * n, growth) for n in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        seen = [x]
        for layer in self.layers:
            seen.append(layer(seen))
        return torch.cat(seen, 1)


class DenseNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.block1 = DenseBlock(8, 4, 4)
        self.transition = nn.Sequential(
            nn.BatchNorm2d(24), nn.Conv2d(24, 12, 1), nn.AvgPool2d(2)
        )
        self.block2 = DenseBlock(12, 4, 6)
        self.fc = nn.Linear(36, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.block2(self.transition(self.block1(self.stem(x))))
        return self.fc(x.mean((2, 3)))


class Gate(nn.Module):
    """Squeeze and excitation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(channels, channels // 4, 1)
        self.up = nn.Conv2d(channels // 4, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = x.mean((2, 3), keepdim=True)
        return x * torch.sigmoid(self.up(F.silu(self.down(y))))


class Gated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Sequential(nn.Conv2d(3, 8, 3), Gate(8))
        self.b = nn.Sequential(nn.Conv2d(8, 16, 3), Gate(16))

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.a(x))


class Shuffle(nn.Module):
    """A channel shuffle by views, slices, pads and pools of every kind."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 12, 3, 2)
        self.left = nn.Conv2d(4, 4, 3, padding=1, groups=4)
        self.up = nn.ConvTranspose2d(12, 6, 2, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(F.pad(x, (0, 1, 0, 1)))
        x = F.max_pool2d(F.pad(x, (1, 1, 1, 1), value=-float("inf")), 3, 2)
        n, _, h, w = x.shape
        x = x.view(n, 3, 4, h, w).transpose(1, 2).reshape(n, 12, h, w)
        x = torch.cat([self.left(x[:, :4]), x[:, 4:]], 1)
        x = F.interpolate(F.leaky_relu(self.up(x), 0.2), scale_factor=2.0, mode="bilinear")
        return F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)


class Several(nn.Module):
    """Two inputs, outputs by name, and a tensor that several lines read."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 8, 3, padding=1)
        self.b = nn.Conv2d(4, 8, 3, padding=1)
        self.c = nn.Conv2d(8, 8, 1)

    def forward(self, left: Tensor, right: Tensor) -> dict[str, Tensor]:
        both = self.a(left) + self.b(right)
        return {"out": self.c(both), "aux": torch.tanh(both)}


class Asks(nn.Module):
    """Control flow that depends on the data."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return y if y.sum() > 0 else -y


class Standardised(nn.Module):
    """A convolution whose weights are computed."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3))
        self.weight = nn.Parameter(torch.randn(4, 4, 3, 3))

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return F.conv2d(self.stem(x), weight)


class Tokens(nn.Module):
    """A class token, positions, PyTorch's own attention and a block in series."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 16, 4, 4)
        self.token = nn.Parameter(torch.randn(1, 1, 16))
        self.pos = nn.Parameter(torch.randn(1, 17, 16))
        layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.gamma = nn.Parameter(torch.randn(16))
        self.head = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.pos
        return self.head((self.layers(x) * self.gamma)[:, 0])


class DoubleConv(nn.Module):
    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.double_conv = nn.Sequential(
            *(nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after)),
            nn.ReLU(inplace=True),
            *(nn.Conv2d(after, after, 3, padding=1, bias=False), nn.BatchNorm2d(after)),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.double_conv(x)
        return out


class Down(nn.Module):
    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.maxpool_conv = nn.Sequential(nn.MaxPool2d(2), DoubleConv(before, after))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.maxpool_conv(x)
        return out


class Up(nn.Module):
    """The deeper map is padded to the size of the other, by nothing where they are even."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(before, before // 2, 2, 2)
        self.conv = DoubleConv(before, after)

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        x1 = self.up(x1)
        h, w = x2.shape[2] - x1.shape[2], x2.shape[3] - x1.shape[3]
        x1 = F.pad(x1, [w // 2, w - w // 2, h // 2, h - h // 2])
        out: Tensor = self.conv(torch.cat([x2, x1], dim=1))
        return out


class UNet(nn.Module):
    """Each module is named, and its map read at two depths."""

    def __init__(self) -> None:
        super().__init__()
        self.inc = DoubleConv(3, 4)
        self.down1, self.down2, self.down3 = Down(4, 8), Down(8, 16), Down(16, 32)
        self.up1, self.up2, self.up3 = Up(32, 16), Up(16, 8), Up(8, 4)
        self.outc = nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x1 = self.inc(x)
        x2 = self.down1(x1)
        x3 = self.down2(x2)
        x = self.up1(self.down3(x3), x3)
        x = self.up2(x, x2)
        x = self.up3(x, x1)
        out: Tensor = self.outc(x)
        return out


class Causal(nn.Module):
    """Convolutions that lose what reads ahead, and parts that count from the end."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv1d(8 if n else 4, 8, 3, dilation=2**n, padding=2 ** (n + 1))
            for n in range(3)
        )
        self.out = nn.Conv1d(8, 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        for conv in self.convs:
            y = F.relu(conv(x))[:, :, : -conv.padding[0]]
            x = x + y if x.shape == y.shape else y
        return self.out(x) + x[:, :2, 2:] - x[:, 2:4, :-2]


class Flat(nn.Module):
    """Skips over three scales, without a class for them."""

    def __init__(self) -> None:
        super().__init__()
        self.enc1, self.enc2 = DoubleConv(3, 4), DoubleConv(4, 8)
        self.enc3, self.middle = DoubleConv(8, 16), DoubleConv(16, 32)
        self.up3, self.dec3 = nn.ConvTranspose2d(32, 16, 2, 2), DoubleConv(32, 16)
        self.up2, self.dec2 = nn.ConvTranspose2d(16, 8, 2, 2), DoubleConv(16, 8)
        self.up1 = nn.ConvTranspose2d(8, 4, 3, 2, 1, output_padding=1)
        self.dec1 = DoubleConv(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        one = self.enc1(x)
        two = self.enc2(F.max_pool2d(one, 2))
        three = self.enc3(F.max_pool2d(two, 2))
        x = self.middle(F.max_pool2d(three, 2))
        x = self.dec3(torch.cat([three, self.up3(x)], 1))
        x = self.dec2(torch.cat([two, self.up2(x)], 1))
        out: Tensor = self.dec1(torch.cat([one, self.up1(x)], 1))
        return out


class Basic(nn.Module):
    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.shortcut = nn.Sequential()
        if stride > 1:
            self.shortcut.append(nn.Conv2d(before, after, 1, stride, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn1(self.conv1(x)) + self.shortcut(x))


class Doubling(nn.Module):
    """The stride is what the width grows by, and yet another thing."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.layer1 = nn.Sequential(Basic(4, 4, 1), Basic(4, 4, 1))
        self.layer2 = nn.Sequential(Basic(4, 8, 2), Basic(8, 8, 1))
        self.layer3 = nn.Sequential(Basic(8, 16, 2), Basic(16, 16, 1))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer3(self.layer2(self.layer1(self.conv(x))))
        return out


class Pyramid(nn.Module):
    """Maps made as large as others, means of whole maps, and modules by keys."""

    def __init__(self) -> None:
        super().__init__()
        self.c3, self.c4 = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 8, 3, 2, 1)
        self.c5 = nn.Conv2d(8, 16, 3, 2, 1)
        widths = {"p3": 4, "p4": 8, "p5": 16}
        self.lateral = nn.ModuleDict({name: nn.Conv2d(n, 4, 1) for name, n in widths.items()})
        self.smooth, self.last = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        c3 = F.relu(self.c3(x))
        c4 = F.relu(self.c4(c3))
        p5 = self.lateral["p5"](F.relu(self.c5(c4)))
        p4 = self.lateral["p4"](c4) + F.interpolate(p5, size=c4.shape[-2:])
        p3 = self.lateral["p3"](c3) + F.interpolate(p4, size=c3.shape[-2:])
        out = self.last(self.smooth(p3)) * F.avg_pool2d(p4, p4.shape[2:])[:, :2]
        return F.interpolate(out, x.shape[2:], mode="bilinear")


class Alternating(nn.Module):
    """Convolutions in turn, as Darknet has them, and what is twice the size twice."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, 8, 3, padding=1)
        turns = [(nn.Conv2d(8, 4, 1), nn.Conv2d(4, 8, 3, padding=1)) for _ in range(3)]
        self.turns = nn.Sequential(nn.MaxPool2d(2), *(one for turn in turns for one in turn))
        self.up = nn.Sequential(
            *(
                nn.Sequential(nn.Conv2d(8, 32, 3, padding=1), nn.PixelShuffle(2), nn.PReLU())
                for _ in range(2)
            )
        )
        self.last = nn.Conv2d(8, 3, 9, padding=4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.head(x)
        return self.last(self.up(F.max_pool2d(x, 2) + self.turns(x)))


class Wave(nn.Module):
    """A layer that hands on one tensor, and taps another."""

    def __init__(self, rate: int) -> None:
        super().__init__()
        self.filter = nn.Conv1d(4, 4, 3, padding=rate, dilation=rate)
        self.gate = nn.Conv1d(4, 4, 3, padding=rate, dilation=rate)
        self.next, self.tap = nn.Conv1d(4, 4, 1), nn.Conv1d(4, 6, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self.filter(x).tanh() * self.gate(x).sigmoid()
        return self.next(y) + x, self.tap(y)


class Waves(nn.Module):
    """Several of them in a loop; of the last one only the tap is read."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Wave(2**n) for n in range(4))

    def forward(self, x: Tensor) -> Tensor:
        taps: list[Tensor] = []
        for layer in self.layers:
            x, tap = layer(x)
            taps.append(tap)
        return F.relu(sum(taps[1:], taps[0]))


class WaveNet(nn.Module):
    """Stacks that give what their layers tap."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(3, 4, 1)
        self.long, self.short = Waves(), Waves()
        self.last = nn.Conv1d(6, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        out: Tensor = self.last(self.long(x) + self.short(x))
        return out


class Dual(nn.Module):
    """Some channels are added, the others grow; the first of a stage widens what enters."""

    def __init__(self, before: int, width: int, grown: int, *, first: bool) -> None:
        super().__init__()
        self.cut, self.grown = width, grown
        if first:
            self.widen = nn.Sequential(
                nn.BatchNorm2d(before), nn.ReLU(), nn.Conv2d(before, width + grown, 1)
            )
        self.body = nn.Conv2d(before, width + grown, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.widen(x) if hasattr(self, "widen") else x
        kept, dense = y[:, : self.cut], y[:, self.cut :]
        change, grown = self.body(x).split([self.cut, self.grown], 1)
        return torch.cat([kept + change, dense, grown], 1)


class DualPath(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        before, stages = 3, []
        for width, grown in ((4, 4), (8, 2)):
            blocks = []
            for n in range(3):
                blocks.append(Dual(before, width, grown, first=not n))
                before = (width if not n else before) + (2 if not n else 1) * grown
            stages.append(nn.Sequential(*blocks))
        self.stage1, self.stage2 = stages

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.stage2(self.stage1(x))
        return out


class Nest(nn.Module):
    """Half the size and twice the width, and so again within; then back, beside what stayed."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.stay = nn.Conv2d(width, width, 3, padding=1)
        self.down = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)
        wide = 2 * width
        self.inner = Nest(wide, depth - 1) if depth > 1 else nn.Conv2d(wide, wide, 1)
        self.up = nn.ConvTranspose2d(wide, width, 2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.stay(x) + self.up(self.inner(F.relu(self.down(x))))
        return out


class Nested(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.one, self.two = nn.Conv2d(3, 4, 3, padding=1), Nest(4, 3), Nest(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.two(self.one(self.first(x)))
        return out


class Body(nn.Module):
    """Three maps, each half as large as the one before it."""

    def __init__(self) -> None:
        super().__init__()
        self.c3, self.c4 = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, 2, 1)
        self.c5 = nn.Conv2d(4, 4, 3, 2, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        c3 = self.c3(x)
        c4 = self.c4(c3)
        return c3, c4, self.c5(c4)


class Neck(nn.Module):
    """The smallest map is read first."""

    def __init__(self) -> None:
        super().__init__()
        self.smooth = nn.ModuleList(nn.Conv2d(4, 4, 3, padding=1) for _ in range(3))

    def forward(self, c3: Tensor, c4: Tensor, c5: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        p5 = self.smooth[2](c5)
        p4 = self.smooth[1](c4 + F.interpolate(p5, scale_factor=2.0))
        p3 = self.smooth[0](c3 + F.interpolate(p4, scale_factor=2.0))
        return p3, p4, p5


class Heads(nn.Module):
    """One tower for all levels, and for each its own norm."""

    def __init__(self) -> None:
        super().__init__()
        tower = [one for _ in range(3) for one in (nn.Conv2d(4, 4, 3, padding=1), nn.ReLU())]
        self.tower = nn.Sequential(*tower)
        self.norms = nn.ModuleList(nn.BatchNorm2d(4) for _ in range(3))

    def forward(self, maps: tuple[Tensor, ...]) -> Tensor:
        rows = [norm(self.tower(x)) for norm, x in zip(self.norms, maps, strict=True)]
        return torch.cat([x.flatten(2).transpose(1, 2) for x in rows], 1)


class Detector(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.neck, self.heads = Body(), Neck(), Heads()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.heads(self.neck(*self.body(x)))
        return out


class Lateral(nn.Module):
    """A bias that is said where a norm follows, and goes without saying where none does."""

    def __init__(self, *, norm: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(4, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4) if norm else nn.Identity()
        self.conv2 = nn.Conv2d(4, 4, 1, bias=norm)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv2(F.relu(self.norm(self.conv1(x))))
        return out


class Laterals(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = Lateral(norm=True), Lateral(norm=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.two(self.one(x))
        return out
