"""Networks that neither torchvision nor timm has, as one writes them in PyTorch.

Their layers are registered in the order in which the files name them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise, product

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from tests.torchvision_cpu import torchvision

import timm  # isort: skip - it imports torchvision, which can be imported only now

__all__ = ["REFERENCES"]


def conv(
    c_in: int,
    c: int,
    k: int,
    stride: int = 1,
    act: nn.Module | None = None,
    pad: int | None = None,
) -> list[nn.Module]:
    """A convolution without a bias, and batch normalisation."""
    pad = k // 2 if pad is None else pad
    found = [nn.Conv2d(c_in, c, k, stride, pad, bias=False), nn.BatchNorm2d(c)]
    return found if act is None else [*found, act]


def espcn(r: int = 3) -> nn.Module:
    return nn.Sequential(
        *(
            nn.Conv2d(1, 64, 5, padding=2),
            nn.Tanh(),
            nn.Conv2d(64, 32, 3, padding=1),
            nn.Tanh(),
        ),
        *(nn.Conv2d(32, r * r, 3, padding=1), nn.PixelShuffle(r)),
    )


class Residual(nn.Module):
    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.branch = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(x)


def srresnet() -> nn.Module:
    def block() -> nn.Module:
        return Residual(*conv(64, 64, 3, act=nn.PReLU()), *conv(64, 64, 3))

    def up() -> list[nn.Module]:
        return [nn.Conv2d(64, 256, 3, padding=1), nn.PixelShuffle(2), nn.PReLU()]

    return nn.Sequential(
        *(nn.Conv2d(3, 64, 9, padding=4), nn.PReLU()),
        Residual(*(block() for _ in range(16)), *conv(64, 64, 3)),
        *(*up(), *up(), nn.Conv2d(64, 3, 9, padding=4)),
    )


def srgan_discriminator(side: int = 32) -> nn.Module:
    act = nn.LeakyReLU(0.2)
    layers = [nn.Conv2d(3, 64, 3, padding=1), act, *conv(64, 64, 3, 2, act)]
    for c_in, c in pairwise((64, 128, 256, 512)):
        layers += [*conv(c_in, c, 3, 1, act), *conv(c, c, 3, 2, act)]
    dense = nn.Linear(512 * (side // 16) ** 2, 1024)
    return nn.Sequential(*layers, nn.Flatten(), dense, act, nn.Linear(1024, 1), nn.Sigmoid())


def dcgan_generator(c: int = 128) -> nn.Module:
    layers: list[nn.Module] = [nn.Unflatten(1, (100, 1, 1))]
    for n, (c_in, out) in enumerate(pairwise((100, 8 * c, 4 * c, 2 * c, c))):
        stride, pad = (2, 1) if n else (1, 0)
        up = nn.ConvTranspose2d(c_in, out, 4, stride, pad, bias=False)
        layers += [up, nn.BatchNorm2d(out), nn.ReLU()]
    return nn.Sequential(*layers, nn.ConvTranspose2d(c, 3, 4, 2, 1, bias=False), nn.Tanh())


def dcgan_discriminator(c: int = 128) -> nn.Module:
    act = nn.LeakyReLU(0.2)
    layers: list[nn.Module] = [nn.Conv2d(3, c, 4, 2, 1, bias=False), act]
    for c_in, out in pairwise((c, 2 * c, 4 * c, 8 * c)):
        layers += conv(c_in, out, 4, 2, act, pad=1)
    end = nn.Conv2d(8 * c, 1, 4, bias=False)
    return nn.Sequential(*layers, end, nn.Sigmoid(), nn.Flatten())


class Pix2Pix(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        widths = [64, 128, 256, 512, 512, 512, 512, 512]
        self.downs = nn.ModuleList([nn.Conv2d(3, 64, 4, 2, 1, bias=False)])
        for n, (c_in, c) in enumerate(pairwise(widths)):
            layers = conv(c_in, c, 4, 2, pad=1)
            self.downs.append(nn.Sequential(nn.LeakyReLU(0.2), *layers[: 1 if n == 6 else 2]))
        self.ups = nn.ModuleList()
        for n, (c_in, c) in enumerate(pairwise(reversed(widths))):
            up = nn.ConvTranspose2d(c_in * (2 if n else 1), c, 4, 2, 1, bias=False)
            self.ups.append(nn.Sequential(nn.ReLU(), up, nn.BatchNorm2d(c)))
        self.out = nn.ConvTranspose2d(128, 3, 4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        found = []
        for down in self.downs:
            found.append(x := down(x))
        found.pop()
        for up in self.ups:
            x = torch.cat([found.pop(), up(x)], 1)
        return torch.tanh(self.out(F.relu(x)))


class PatchGAN(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        act = nn.LeakyReLU(0.2)
        self.layers = nn.Sequential(
            *(nn.Conv2d(6, 64, 4, 2, 1), act, *conv(64, 128, 4, 2, act, pad=1)),
            *(*conv(128, 256, 4, 2, act, pad=1), *conv(256, 512, 4, 1, act, pad=1)),
            *(nn.Conv2d(512, 1, 4, 1, 1), nn.Sigmoid()),
        )

    def forward(self, image: Tensor, out: Tensor) -> Tensor:
        return self.layers(torch.cat([image, out], 1))


class SegNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()

        def stage(*widths: int) -> nn.Module:
            pairs = pairwise(widths)
            return nn.Sequential(*(n for a, b in pairs for n in conv(a, b, 3, act=nn.ReLU())))

        down = [(3, 64, 64), (64, 128, 128), (128, 256, 256, 256)]
        down += [(256, 512, 512, 512), (512, 512, 512, 512)]
        up = [(512, 512, 512, 512), (512, 512, 512, 256), (256, 256, 256, 128)]
        self.down = nn.ModuleList(stage(*widths) for widths in down)
        self.up = nn.ModuleList(stage(*widths) for widths in [*up, (128, 128, 64), (64, 64)])
        self.scores = nn.Conv2d(64, 11, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        found = []
        for stage in self.down:
            x = stage(x)
            size = x.shape[2:]
            x, places = F.max_pool2d(x, 2, ceil_mode=True, return_indices=True)
            found.append((places, size))
        for stage in self.up:
            places, size = found.pop()
            x = stage(F.max_unpool2d(x, places, 2, output_size=size))
        return self.scores(x)


class PSPNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        body = torchvision.models.resnet50(
            weights=None, replace_stride_with_dilation=[False, True, True]
        )
        self.body = nn.Sequential(*list(body.children())[:-2])
        self.levels = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(n), *conv(2048, 512, 1, act=nn.ReLU()))
            for n in (1, 2, 3, 6)
        )
        end = nn.Conv2d(512, 21, 1)
        self.score = nn.Sequential(*conv(4096, 512, 3, act=nn.ReLU()), end)

    def forward(self, image: Tensor) -> Tensor:
        def resized(y: Tensor, size: torch.Size) -> Tensor:
            return F.interpolate(y, size, mode="bilinear", align_corners=True)

        x = self.body(image)
        levels = [resized(level(x), x.shape[2:]) for level in self.levels]
        return resized(self.score(torch.cat([x, *levels], 1)), image.shape[2:])


class CBAM(nn.Module):
    def __init__(self, c: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(c, c // 16), nn.ReLU(), nn.Linear(c // 16, c))
        self.where = nn.Sequential(*conv(2, 1, 7))

    def forward(self, x: Tensor) -> Tensor:
        what = self.mlp(x.mean((2, 3))) + self.mlp(x.amax((2, 3)))
        x = x * torch.sigmoid(what)[:, :, None, None]
        return x * torch.sigmoid(self.where(torch.stack([x.amax(1), x.mean(1)], 1)))


class CBAMBottleneck(nn.Module):
    def __init__(self, c_in: int, c: int, stride: int) -> None:
        super().__init__()
        act = nn.ReLU()
        self.branch = nn.Sequential(
            *(*conv(c_in, c, 1, act=act), *conv(c, c, 3, stride, act), *conv(c, 4 * c, 1)),
            CBAM(4 * c),
        )
        same = stride == 1 and c_in == 4 * c
        self.projection = nn.Sequential(*([] if same else conv(c_in, 4 * c, 1, stride)))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.branch(x) + self.projection(x))


def cbam_resnet50() -> nn.Module:
    layers = [*conv(3, 64, 7, 2, nn.ReLU()), nn.MaxPool2d(3, 2, 1)]
    c_in = 64
    for c, n, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for turn in range(n):
            layers.append(CBAMBottleneck(c_in, c, 1 if turn else stride))
            c_in = 4 * c
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2048, 1000))


class Causal(nn.Conv1d):
    def forward(self, input: Tensor) -> Tensor:
        return super().forward(F.pad(input, (self.dilation[0], 0)))


class WaveNet(nn.Module):
    def __init__(self, c: int = 32, taps: int = 512) -> None:
        super().__init__()
        self.first = Causal(256, c, 2)
        self.layers = nn.ModuleList(
            nn.ModuleList(
                [*(Causal(c, c, 2, dilation=2 ** (n % 10)) for _ in range(2)),
                 nn.Conv1d(c, c, 1), nn.Conv1d(c, taps, 1)]
            )
            for n in range(30)
        )  # fmt: skip
        self.out = nn.Sequential(
            nn.ReLU(), nn.Conv1d(taps, taps, 1), nn.ReLU(), nn.Conv1d(taps, 256, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        x, total = self.first(x), 0
        for bent, gate, onward, tap in self.layers:
            y = torch.tanh(bent(x)) * torch.sigmoid(gate(x))
            x, total = x + onward(y), total + tap(y)
        return self.out(total)


class SpatialTransformer(nn.Module):
    """That of PyTorch's tutorial."""

    def __init__(self) -> None:
        super().__init__()
        pool, act = nn.MaxPool2d(2, stride=2), nn.ReLU()
        self.localise = nn.Sequential(
            *(nn.Conv2d(1, 8, 7), pool, act, nn.Conv2d(8, 10, 5), pool, act, nn.Flatten()),
            *(nn.Linear(10 * 3 * 3, 32), act, nn.Linear(32, 6)),
        )
        self.layers = nn.Sequential(
            *(nn.Conv2d(1, 10, 5), pool, act, nn.Conv2d(10, 20, 5), pool, act, nn.Flatten()),
            *(nn.Linear(320, 50), act, nn.Linear(50, 10)),
        )

    def forward(self, x: Tensor) -> Tensor:
        theta = self.localise(x).view(-1, 2, 3)
        grid = F.affine_grid(theta, x.shape, align_corners=False)
        return self.layers(F.grid_sample(x, grid, align_corners=False))


class DeepLabV3Plus(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        body = torchvision.models.resnet50(
            weights=None, replace_stride_with_dilation=[False, False, True]
        )
        parts = list(body.children())[:-2]
        self.low, self.high = nn.Sequential(*parts[:5]), nn.Sequential(*parts[5:])
        self.aspp = torchvision.models.segmentation.deeplabv3.ASPP(2048, [6, 12, 18])
        act = nn.ReLU()
        self.narrow = nn.Sequential(*conv(256, 48, 1, act=act))
        self.end = nn.Sequential(
            *(*conv(304, 256, 3, act=act), *conv(256, 256, 3, act=act)), nn.Conv2d(256, 21, 1)
        )

    def forward(self, image: Tensor) -> Tensor:
        low = self.low(image)
        high = F.interpolate(self.aspp(self.high(low)), low.shape[2:], mode="bilinear")
        scores = self.end(torch.cat([self.narrow(low), high], 1))
        return F.interpolate(scores, image.shape[2:], mode="bilinear")


class UNet3D(nn.Module):
    def __init__(self) -> None:
        super().__init__()

        def double(*widths: int) -> nn.Module:
            layers: list[nn.Module] = []
            for c_in, c in pairwise(widths):
                layers += [nn.Conv3d(c_in, c, 3, padding=1), nn.BatchNorm3d(c), nn.ReLU()]
            return nn.Sequential(*layers)

        downs = [(3, 32, 64), (64, 64, 128), (128, 128, 256), (256, 256, 512)]
        self.downs = nn.ModuleList(double(*widths) for widths in downs)
        self.ups = nn.ModuleList(
            nn.ModuleList(
                [nn.ConvTranspose3d(2 * c, 2 * c, 2, 2, bias=False), double(3 * c, c, c)]
            )
            for c in (256, 128, 64)
        )
        self.out = nn.Conv3d(64, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        found = []
        for n, down in enumerate(self.downs):
            found.append(x := down(F.max_pool3d(x, 2) if n else x))
        found.pop()
        for up, double in self.ups:
            x = double(torch.cat([found.pop(), up(x)], 1))
        return self.out(x)


def point_layers(*widths: int) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for c_in, c in pairwise(widths):
        layers += [nn.Conv1d(c_in, c, 1), nn.BatchNorm1d(c), nn.ReLU()]
    return layers


def dense_layers(*widths: int) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for c_in, c in pairwise(widths):
        layers += [nn.Linear(c_in, c), nn.BatchNorm1d(c), nn.ReLU()]
    return layers


class Align(nn.Module):
    """The input and feature transforms of PointNet."""

    def __init__(self, k: int) -> None:
        super().__init__()
        self.each = nn.Sequential(*point_layers(k, 64, 128, 1024))
        self.all = nn.Sequential(*dense_layers(1024, 512, 256), nn.Linear(256, k * k))
        self.k = k

    def forward(self, x: Tensor) -> Tensor:
        t = self.all(self.each(x).amax(2)).view(-1, self.k, self.k)
        return torch.bmm((t + torch.eye(self.k).to(t)).mT, x)


def pointnet() -> nn.Module:
    return nn.Sequential(
        *(Align(3), *point_layers(3, 64, 64), Align(64), *point_layers(64, 64, 128, 1024)),
        *(nn.AdaptiveMaxPool1d(1), nn.Flatten(), *dense_layers(1024, 512, 256)),
        nn.Linear(256, 40),
    )


class PoseResidual(nn.Module):
    def __init__(self, c_in: int, c: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for a, b, k in ((c_in, c // 2, 1), (c // 2, c // 2, 3), (c // 2, c, 1)):
            layers += [nn.BatchNorm2d(a), nn.ReLU(), nn.Conv2d(a, b, k, padding=k // 2)]
        self.layers = nn.Sequential(*layers)
        self.skip = nn.Identity() if c_in == c else nn.Conv2d(c_in, c, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x) + self.skip(x)


class Hourglass(nn.Module):
    """As its authors: each is around a smaller one."""

    def __init__(self, n: int, c: int) -> None:
        super().__init__()
        self.up = PoseResidual(c, c)
        inner = Hourglass(n - 1, c) if n > 1 else PoseResidual(c, c)
        self.low = nn.Sequential(
            *(nn.MaxPool2d(2), PoseResidual(c, c), inner, PoseResidual(c, c)),
            nn.Upsample(scale_factor=2),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.up(x) + self.low(x)


class StackedHourglass(nn.Module):
    def __init__(self, stacks: int = 8, c: int = 256, joints: int = 16) -> None:
        super().__init__()

        def normed(c_in: int, k: int, c: int, stride: int = 1) -> list[nn.Module]:
            first = nn.Conv2d(c_in, c, k, stride, k // 2)
            return [first, nn.BatchNorm2d(c), nn.ReLU()]

        self.stem = nn.Sequential(
            *(*normed(3, 7, 64, 2), PoseResidual(64, 128), nn.MaxPool2d(2)),
            *(PoseResidual(128, 128), PoseResidual(128, c)),
        )
        self.stages = nn.ModuleList()
        for stage in range(stacks):
            features = nn.Sequential(Hourglass(4, c), PoseResidual(c, c), *normed(c, 1, c))
            parts = [features, nn.Conv2d(c, joints, 1)]
            if stage < stacks - 1:
                parts += [nn.Conv2d(c, c, 1), nn.Conv2d(joints, c, 1)]
            self.stages.append(nn.ModuleList(parts))

    def forward(self, x: Tensor) -> Tensor:
        x, found = self.stem(x), []
        for features, joints, *merge in self.stages:
            y = features(x)
            found.append(joints(y))
            if merge:
                x = x + merge[0](y) + merge[1](found[-1])
        return torch.stack(found, 1)


def separable(c_in: int, c: int) -> list[nn.Module]:
    return [nn.Conv2d(c_in, c_in, 3, padding=1, groups=c_in, bias=False), nn.Conv2d(c_in, c, 1)]


class Fuse(nn.Module):
    """Fast normalised fusion, of what is first brought to 64 channels."""

    def __init__(self, n: int, lateral: int) -> None:
        super().__init__()
        layers = [nn.Conv2d(lateral, 64, 1), nn.BatchNorm2d(64)] if lateral != 64 else []
        self.lateral = nn.Sequential(*layers)
        self.out = nn.Module()
        self.out.weight = nn.Parameter(torch.ones(1, n))
        self.out.layers = nn.Sequential(nn.SiLU(), *separable(64, 64), nn.BatchNorm2d(64))

    def forward(self, *inputs: Tensor) -> Tensor:
        first, *others = inputs
        w = self.out.weight[0].relu()
        w = w / (w.sum() + 1e-4)
        return self.out.layers(
            sum(a * x for a, x in zip(w, [self.lateral(first), *others], strict=True))
        )


class BiFPN(nn.Module):
    def __init__(self, *widths: int) -> None:
        super().__init__()
        down = [Fuse(2, c) for c in (64, *reversed(widths))]
        up = [Fuse(n, c) for n, c in ((3, widths[1]), (3, widths[2]), (3, 64), (2, 64))]
        self.down, self.up = nn.ModuleList(down), nn.ModuleList(up)

    def forward(self, p: list[Tensor]) -> list[Tensor]:
        coming, down = p[4], {}
        for fuse, n in zip(self.down, (3, 2, 1, 0), strict=True):
            coming = down[n] = fuse(p[n], F.interpolate(coming, p[n].shape[2:]))
        found = [down[0]]
        for n, fuse in enumerate(self.up, 1):
            own = [p[n], down[n]] if n < 4 else [p[n]]
            found.append(fuse(*own, F.max_pool2d(found[-1], 3, 2, 1)))
        return found


class EfficientHead(nn.Module):
    def __init__(self, k: int) -> None:
        super().__init__()
        self.layers, self.k = nn.ModuleList(), k
        for _ in range(3):
            norms = nn.ModuleList(nn.BatchNorm2d(64) for _ in range(5))
            self.layers.append(nn.ModuleList([nn.Sequential(*separable(64, 64)), norms]))
        self.end = nn.Sequential(*separable(64, 9 * k))

    def forward(self, p: list[Tensor]) -> Tensor:
        for shared, norms in self.layers:
            p = [F.silu(norm(shared(x))) for norm, x in zip(norms, p, strict=True)]
        rows = [
            self.end(x).permute(0, 2, 3, 1).flatten(1).unflatten(1, (-1, self.k)) for x in p
        ]
        return torch.cat(rows, 1)


class EfficientDet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = timm.create_model(
            "efficientnet_b0", features_only=True, out_indices=(2, 3, 4)
        )
        self.p6 = nn.Sequential(
            nn.Conv2d(320, 64, 1), nn.BatchNorm2d(64), nn.MaxPool2d(3, 2, 1)
        )
        self.fpn = nn.Sequential(BiFPN(40, 112, 320), *(BiFPN(64, 64, 64) for _ in range(2)))
        self.cls, self.reg = EfficientHead(90), EfficientHead(4)
        normed(self)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        maps = self.body(image)
        maps.append(self.p6(maps[-1]))
        maps.append(F.max_pool2d(maps[-1], 3, 2, 1))
        p = self.fpn(maps)
        anchors = [box for x in p for box in self.anchors(image.shape[2] // x.shape[2], x)]
        return self.cls(p), self.reg(p), torch.stack(anchors).expand(len(image), -1, -1)

    def anchors(self, step: int, x: Tensor) -> Iterator[Tensor]:
        for i, j in product(range(x.shape[2]), range(x.shape[3])):
            centre = x.new_tensor([step * (j + 0.5), step * (i + 0.5)])
            for octave, ratio in product(range(3), (1, 2, 1 / 2)):
                side, root = 4 * step * 2 ** (octave / 3), ratio**0.5
                half = x.new_tensor([side * root, side / root]) / 2
                yield torch.cat([centre - half, centre + half])


def normed(model: nn.Module) -> None:
    """The authors' eps."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 1e-3


class YOLOConv(nn.Sequential):
    def __init__(self, c_in: int, c: int, k: int = 1, stride: int = 1) -> None:
        super().__init__(*conv(c_in, c, k, stride, nn.SiLU(), 2 if k == 6 else None))


class Pair(nn.Module):
    """Two convolutions, of which YOLOv5's first is 1x1."""

    def __init__(self, c: int, k: int, shortcut: bool) -> None:
        super().__init__()
        self.layers, self.shortcut = (
            nn.Sequential(YOLOConv(c, c, k), YOLOConv(c, c, 3)),
            shortcut,
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.shortcut else self.layers(x)


class C3(nn.Module):
    def __init__(self, c_in: int, c: int, n: int = 1, shortcut: bool = True) -> None:
        super().__init__()
        h = c // 2
        pairs = (Pair(h, 1, shortcut) for _ in range(n))
        self.deep = nn.Sequential(YOLOConv(c_in, h), *pairs)
        self.flat, self.out = YOLOConv(c_in, h), YOLOConv(2 * h, c)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.cat([self.deep(x), self.flat(x)], 1))


class C2f(nn.Module):
    def __init__(self, c_in: int, c: int, n: int = 1, shortcut: bool = False) -> None:
        super().__init__()
        self.first = YOLOConv(c_in, c)
        self.units = nn.ModuleList(Pair(c // 2, 3, shortcut) for _ in range(n))
        self.out = YOLOConv((2 + n) * c // 2, c)

    def forward(self, x: Tensor) -> Tensor:
        found = list(self.first(x).chunk(2, 1))
        for unit in self.units:
            found.append(unit(found[-1]))
        return self.out(torch.cat(found, 1))


class SPPF(nn.Module):
    def __init__(self, c: int) -> None:
        super().__init__()
        self.first, self.out = YOLOConv(c, c // 2), YOLOConv(2 * c, c)

    def forward(self, x: Tensor) -> Tensor:
        found = [self.first(x)]
        for _ in range(3):
            found.append(F.max_pool2d(found[-1], 5, 1, 2))
        return self.out(torch.cat(found, 1))


class YOLO(nn.Module):
    """What v5 and v8 share: a body, a path down and one up, and a head for each level."""

    def __init__(
        self, body: list[nn.Module], neck: list[nn.Module], heads: list[nn.Module]
    ) -> None:
        super().__init__()
        self.body, self.neck = nn.ModuleList(body), nn.ModuleList(neck)
        self.heads = nn.ModuleList(heads)
        normed(self)

    def levels(self, x: Tensor) -> Iterator[tuple[nn.Module, Tensor, int, Tensor]]:
        """Each level's head and map, its stride, and its cells' middles in pixels."""
        side = x.shape[2]
        narrow5, stage4, narrow4, stage3, *up = self.neck
        found = [x := stage(x) for stage in self.body]
        t5 = narrow5(found[-1])
        t4 = narrow4(stage4(torch.cat([twice(t5), found[-2]], 1)))
        p = [stage3(torch.cat([twice(t4), found[-3]], 1))]
        for step, stage, top in zip(up[::2], up[1::2], (t4, t5), strict=True):
            p.append(stage(torch.cat([step(p[-1]), top], 1)))
        for head, level in zip(self.heads, p, strict=True):
            h, w = level.shape[2:]
            y, x = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
            middles = torch.stack([x, y], 2).to(level) + 0.5
            yield head, level, side // h, middles * (side // h)


class YOLOv5s(YOLO):
    def __init__(self) -> None:
        def stage(c: int, n: int) -> nn.Module:
            last = [SPPF(c)] if c == 512 else []
            return nn.Sequential(YOLOConv(c // 2, c, 3, 2), C3(c, c, n), *last)

        body = [
            YOLOConv(3, 32, 6, 2),
            *(stage(64 * 2**i, n) for i, n in enumerate((1, 2, 3, 1))),
        ]
        neck = [YOLOConv(512, 256), C3(512, 256, 1, False), YOLOConv(256, 128)]
        neck += [C3(256, 128, 1, False)]
        for c in (128, 256):
            neck += [YOLOConv(c, c, 3, 2), C3(2 * c, 2 * c, 1, False)]
        super().__init__(body, neck, [nn.Conv2d(c, 255, 1) for c in (128, 256, 512)])

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        sides = [[10, 13], [16, 30], [33, 23], [30, 61], [62, 45], [59, 119]]
        sides += [[116, 90], [156, 198], [373, 326]]
        raw, boxes, scores = [], [], []
        for n, (head, level, stride, middles) in enumerate(self.levels(x)):
            raw.append(head(level))
            y = raw[-1].unflatten(1, (3, 85)).permute(0, 3, 4, 1, 2).sigmoid()
            centre = (y[..., :2] * 2 - 1) * stride + middles[:, :, None]
            half = (y[..., 2:4] * 2) ** 2 * torch.tensor(sides[3 * n : 3 * n + 3]).to(x) / 2
            boxes.append(torch.cat([centre - half, centre + half], -1).flatten(1, 3))
            scores.append((y[..., 4:5] * y[..., 5:]).flatten(1, 3))
        return *raw, torch.cat(boxes, 1), torch.cat(scores, 1)


class YOLOv8n(YOLO):
    def __init__(self) -> None:
        def stage(c: int, n: int) -> nn.Module:
            last = [SPPF(c)] if c == 256 else []
            return nn.Sequential(YOLOConv(c // 2, c, 3, 2), C2f(c, c, n, True), *last)

        def head(c_in: int) -> nn.Module:
            return nn.ModuleList(
                nn.Sequential(YOLOConv(c_in, c, 3), YOLOConv(c, c, 3), nn.Conv2d(c, out, 1))
                for c, out in ((64, 64), (80, 80))
            )

        body = [
            YOLOConv(3, 16, 3, 2),
            *(stage(32 * 2**i, n) for i, n in enumerate((1, 2, 2, 1))),
        ]
        neck = [nn.Identity(), C2f(384, 128), nn.Identity(), C2f(192, 64)]
        neck += [YOLOConv(64, 64, 3, 2), C2f(192, 128), YOLOConv(128, 128, 3, 2), C2f(384, 256)]
        super().__init__(body, neck, [head(c) for c in (64, 128, 256)])

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        boxes, scores = [], []
        for (box, cls), level, stride, middles in self.levels(x):
            share = box(level).unflatten(1, (4, 16)).softmax(2)
            sides = torch.einsum("bsrhw,r->bhws", share, torch.arange(16).to(x))
            low, high = (sides * stride).chunk(2, -1)
            boxes.append(torch.cat([middles - low, middles + high], -1).flatten(1, 2))
            scores.append(cls(level).sigmoid().flatten(2).mT)
        return torch.cat(boxes, 1), torch.cat(scores, 1)


def twice(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2)


Sizes = tuple[tuple[int, ...], ...]
REFERENCES: dict[str, tuple[Callable[[], nn.Module], Sizes]] = {
    "cbam_resnet50": (cbam_resnet50, ((3, 64, 64),)),
    "deeplabv3plus_resnet50": (DeepLabV3Plus, ((3, 65, 65),)),
    "efficientdet_d0 EfficientDetD0": (EfficientDet, ((3, 128, 128),)),
    "dcgan Generator": (dcgan_generator, ((100,),)),
    "dcgan Discriminator": (dcgan_discriminator, ((3, 64, 64),)),
    "espcn": (espcn, ((1, 20, 17),)),
    "pix2pix Generator": (Pix2Pix, ((3, 256, 256),)),
    "pix2pix Discriminator": (PatchGAN, ((3, 64, 96), (3, 64, 96))),
    "pointnet": (pointnet, ((3, 20),)),
    "pspnet_resnet50": (PSPNet, ((3, 65, 65),)),
    "segnet": (SegNet, ((3, 72, 100),)),
    "spatial_transformer": (SpatialTransformer, ((1, 28, 28),)),
    "srgan Generator": (srresnet, ((3, 13, 10),)),
    "srgan Discriminator": (srgan_discriminator, ((3, 32, 32),)),
    "stacked_hourglass": (StackedHourglass, ((3, 64, 64),)),
    "unet3d": (UNet3D, ((3, 8, 16, 8),)),
    "yolov5s YOLOv5s": (YOLOv5s, ((3, 64, 64),)),
    "yolov8n YOLOv8n": (YOLOv8n, ((3, 64, 64),)),
    "wavenet": (WaveNet, ((256, 90),)),
}
"""A file and its model → what it is in PyTorch, and the sizes at which they are compared."""
