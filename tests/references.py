"""Networks that neither torchvision nor timm has, as one writes them in PyTorch.

Their layers are registered in the order in which the files name them.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from tests.torchvision_cpu import torchvision

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


Sizes = tuple[tuple[int, ...], ...]
REFERENCES: dict[str, tuple[Callable[[], nn.Module], Sizes]] = {
    "cbam_resnet50": (cbam_resnet50, ((3, 64, 64),)),
    "dcgan Generator": (dcgan_generator, ((100,),)),
    "dcgan Discriminator": (dcgan_discriminator, ((3, 64, 64),)),
    "espcn": (espcn, ((1, 20, 17),)),
    "pix2pix Generator": (Pix2Pix, ((3, 256, 256),)),
    "pix2pix Discriminator": (PatchGAN, ((3, 64, 96), (3, 64, 96))),
    "pspnet_resnet50": (PSPNet, ((3, 65, 65),)),
    "segnet": (SegNet, ((3, 72, 100),)),
    "spatial_transformer": (SpatialTransformer, ((1, 28, 28),)),
    "srgan Generator": (srresnet, ((3, 13, 10),)),
    "srgan Discriminator": (srgan_discriminator, ((3, 32, 32),)),
    "wavenet": (WaveNet, ((256, 90),)),
}
"""A file and its model → what it is in PyTorch, and the sizes at which they are compared."""
