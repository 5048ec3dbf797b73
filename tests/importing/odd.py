"""Modules as people write them when nobody looks, each odd in another way."""

from __future__ import annotations

import math
import warnings

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - as everybody writes it
from torch.nn import utils
from torch.nn.utils import parametrizations, parametrize, prune


class Window(nn.Module):
    """Attention in shifted windows, with a table of relative positions and a mask."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 8, 2, 2)
        self.qkv = nn.Linear(8, 24)
        self.table = nn.Parameter(torch.randn(49, 2))
        places = torch.stack(torch.meshgrid(torch.arange(4), torch.arange(4), indexing="ij"))
        places = places.flatten(1)
        offset = places[:, :, None] - places[:, None] + 3
        self.register_buffer("index", offset[0] * 7 + offset[1])

    def forward(self, x: Tensor) -> Tensor:
        x = torch.roll(self.patch(x).permute(0, 2, 3, 1), (-2, -2), (1, 2))
        n, h, w, c = x.shape
        x = x.view(n, h // 4, 4, w // 4, 4, c).transpose(2, 3).reshape(-1, 16, c)
        q, k, v = self.qkv(x).reshape(-1, 16, 3, 2, c // 2).permute(2, 0, 3, 1, 4)
        bias = self.table[self.index.view(-1)].view(16, 16, 2).permute(2, 0, 1)
        scores = (q * (c // 2) ** -0.5) @ k.transpose(-2, -1) + bias
        parts = x.new_zeros(1, h, w, 1)
        for number, rows in enumerate((slice(0, -4), slice(-4, -2), slice(-2, None))):
            for other, columns in enumerate((slice(0, -4), slice(-4, -2), slice(-2, None))):
                parts[:, rows, columns] = 3 * number + other
        parts = parts.view(h // 4, 4, w // 4, 4).transpose(1, 2).reshape(-1, 16)
        mask = (parts[:, None] - parts[:, :, None]).ne(0).float() * -100.0
        scores = scores.view(n, -1, 2, 16, 16) + mask[None, :, None]
        x = (scores.view(-1, 2, 16, 16).softmax(-1) @ v).transpose(1, 2).reshape(-1, 16, c)
        x = x.view(n, h // 4, w // 4, 4, 4, c).transpose(2, 3).reshape(n, h, w, c)
        return torch.roll(x, (2, 2), (1, 2)).mean((1, 2))


class Unsigned(nn.Module):
    """Biases by the distance of places, kept head by head, and by offsets that are gathered."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 4, 4)
        self.near, self.far = (nn.Parameter(torch.randn(2, 16)) for _ in range(2))
        self.table = nn.Parameter(torch.randn(49, 2))
        points = [(y, x) for y in range(4) for x in range(4)]
        known: dict[tuple[int, int], int] = {}
        for a, b in ((a, b) for a in points for b in points):
            known.setdefault((abs(a[0] - b[0]), abs(a[1] - b[1])), len(known))
        rows = [[known[abs(a - c), abs(b - d)] for c, d in points] for a, b in points]
        half = [row for (a, b), row in zip(points, rows, strict=True) if not (a % 2 or b % 2)]
        self.register_buffer("rows", torch.tensor(rows))
        self.register_buffer("quarter", torch.tensor(half))
        offsets = [[(a - c + 3) * 7 + b - d + 3 for c, d in points] for a, b in points]
        self.register_buffer("index", torch.tensor(offsets).flatten()[:, None])

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.stem(x).flatten(2).transpose(1, 2).unflatten(2, (2, 4)).transpose(1, 2)
        scores = tokens @ tokens.transpose(2, 3) + self.near[:, self.rows]
        both = self.table.gather(0, self.index.repeat(1, 2)).view(16, 16, 2).permute(2, 0, 1)
        tokens = (scores + both).softmax(-1) @ tokens
        asking = tokens.unflatten(2, (4, 4))[:, :, ::2, ::2].flatten(2, 3)
        scores = asking @ tokens.transpose(2, 3) + self.far[:, self.quarter]
        return scores.softmax(-1) @ tokens


class Standard(nn.Conv2d):
    """Filters brought to mean 0 and variance 1, with a gain, as in normaliser-free networks."""

    def __init__(self, before: int, after: int, scale: float | None = None) -> None:
        super().__init__(before, after, 3, padding=1)
        self.gain = nn.Parameter(torch.ones(after, 1, 1, 1)) if scale else None
        self.scale = (scale or 1) * self.weight[0].numel() ** -0.5

    def forward(self, input: Tensor) -> Tensor:
        gain = None if self.gain is None else (self.gain * self.scale).view(-1)
        rows = self.weight.reshape(1, self.out_channels, -1)
        rows = F.batch_norm(rows, None, None, weight=gain, training=True, momentum=0.0)
        return self._conv_forward(input, rows.reshape_as(self.weight), self.bias)


class Normless(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.Sequential(Standard(3, 4, 1.7139588594436646), Standard(4, 4, 2.0))
        self.last = Standard(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(F.relu(self.convs(x)))


class Blurred(nn.Module):
    """A fixed filter behind a mirrored border, and norms of which half is there."""

    def __init__(self) -> None:
        super().__init__()
        line = torch.tensor([1.0, 2.0, 1.0]) / 4
        self.register_buffer("blur", (line[:, None] * line)[None, None].repeat(4, 1, 1, 1))
        self.conv = nn.Conv2d(3, 4, 3)
        self.ln = nn.LayerNorm(6, bias=False)
        self.plain = nn.GroupNorm(2, 4, affine=False)
        self.rms = nn.RMSNorm(6, eps=1e-5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.conv2d(
            F.pad(self.conv(x), [1, 1, 1, 1], mode="reflect"), self.blur, None, 2, groups=4
        )
        x = self.plain(x)
        return self.rms(self.ln(x[..., :6])) + x[..., 1:7]


class Shared(nn.Module):
    """One convolution on two tensors, and one module three times in series."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(4, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.stem = nn.Conv2d(3, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for _ in range(3):
            x = self.norm(x).relu()
        return self.head(x) + self.head(F.max_pool2d(x, 3, 1, 1))


class Both(nn.Module):
    """Two outputs, the second of what makes the first."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.one(x).relu()
        return x, self.two(x)


class Twice(nn.Module):
    """Modules on several tensors each, one of them by two names."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, 2, 1)
        self.head = nn.Sequential(nn.Conv2d(4, 4, 3, 1, 1), nn.ReLU(), nn.Conv2d(4, 4, 1))
        self.both = Both()
        self.again = self.both
        self.last = nn.Linear(2, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        pooled = F.adaptive_avg_pool2d(x, 1)
        a, b, c = (self.head(one) for one in (x, F.max_pool2d(x, 2), pooled))
        (d, e), (f, g) = self.both(a.mean((2, 3))), self.again(b.amax((2, 3)))
        return self.last(e) - self.last(g) + d * f + c.flatten(1)


class Exchange(nn.Module):
    """Every branch hears every other, as in HRNet."""

    def __init__(self, widths: list[int]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(*(nn.Conv2d(c, c, 3, 1, 1), nn.ReLU(), nn.Conv2d(c, c, 3, 1, 1)))
            for c in widths
        )
        self.fuse = nn.ModuleList(
            nn.ModuleList(self.path(widths, i, j) for j in range(len(widths)))
            for i in range(len(widths))
        )

    def path(self, widths: list[int], i: int, j: int) -> nn.Module:
        if j > i:
            up = nn.Upsample(scale_factor=2 ** (j - i))
            return nn.Sequential(nn.Conv2d(widths[j], widths[i], 1), up)
        halves = [nn.Conv2d(widths[j], widths[j], 3, 2, 1), nn.ReLU()] * (i - j - 1)
        ends = [nn.Conv2d(widths[j], widths[i], 3, 2, 1)] if j < i else []
        return nn.Sequential(*halves, *ends)

    def forward(self, xs: list[Tensor]) -> list[Tensor]:
        xs = [branch(x) for branch, x in zip(self.branches, xs, strict=True)]
        sums = (sum(f(x) for f, x in zip(row, xs, strict=True)) for row in self.fuse)
        return [torch.relu(x) for x in sums]


class Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.two, self.three, self.last = (
            Exchange([3, 4]),
            Exchange([3, 4, 6]),
            Exchange([3, 4, 6]),
        )
        self.down, self.more = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 6, 3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        xs = self.two([x, self.down(x)])
        xs = self.last(self.three([*xs, self.more(xs[-1])]))
        return torch.cat([x.mean((2, 3)) for x in xs], 1)


class Aggregated(nn.Module):
    """A list that grows, all of which is heard at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 1)
        self.convs = nn.ModuleList(nn.Conv2d(4, 4, 3, 1, 1) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        found = [x]
        for conv in self.convs:
            x = F.silu(conv(x))
            found.append(x)
        return torch.cat(found, 1)


class Biased(nn.Module):
    """A bias of which the middle is fixed, a gate turned round, and cubic pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(3, 6, bias=False)
        self.q, self.v = nn.Parameter(torch.randn(2)), nn.Parameter(torch.randn(2))
        self.gate = nn.Parameter(torch.randn(1))

    def forward(self, x: Tensor) -> Tensor:
        bias = torch.cat([self.q, torch.zeros(2), self.v])
        y = F.linear(x.permute(0, 2, 3, 1), self.line.weight, bias).permute(0, 3, 1, 2)
        return F.interpolate(y * (1.0 - torch.sigmoid(self.gate)), size=(9, 9), mode="bicubic")


class Turn(nn.Module):
    def __init__(self, moved: bool) -> None:
        super().__init__()
        self.moved = moved
        self.conv, self.mix = nn.Conv2d(3, 3, 3, 1, 1), nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.mix(torch.tanh(self.conv(x.roll(1, 3) if self.moved else x)))


class Turns(nn.Module):
    """Blocks of which every other one is another: pairs, and no table of equal rows."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(Turn(bool(n % 2)) for n in range(6)))

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(x)


class Scales(nn.Module):
    """A module twice, each time with another number."""

    def __init__(self) -> None:
        super().__init__()
        self.head = Pooled()

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x, 1) + self.head(x, 3)


class Pooled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor, size: int) -> Tensor:
        return self.conv(F.max_pool2d(x, size, 1, size // 2)).relu()


class Nested(nn.Module):
    """Sequences in sequences, an identity, dropout, and a flag."""

    def __init__(self, pool: bool = True) -> None:
        super().__init__()
        inner = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(nn.ReLU(), nn.Identity()))
        self.body = nn.Sequential(inner, nn.Dropout2d(0.3), nn.Sequential(nn.Conv2d(4, 4, 1)))
        self.pool = nn.MaxPool2d(2) if pool else None

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(x)
        return F.dropout(x if self.pool is None else self.pool(x), 0.5, self.training)


class Lists(nn.Module):
    """Parameters in a list and in a dictionary, a buffer, and powers of all of them."""

    def __init__(self) -> None:
        super().__init__()
        self.factors = nn.ParameterList(torch.randn(1, 4, 1, 1) for _ in range(3))
        self.named = nn.ParameterDict({"shift": nn.Parameter(torch.randn(4, 1, 1))})
        self.register_buffer("mean", torch.tensor([0.4, 0.5, 0.6])[:, None, None])
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x - self.mean)
        for factor in self.factors:
            x = x * factor.exp() + self.named["shift"].tanh()
        return x


class Einsum(nn.Module):
    """Contractions with a parameter, with itself, over named axes."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Parameter(torch.randn(3, 5))

    def forward(self, x: Tensor) -> Tensor:
        y = torch.einsum("bchw,cd->bdhw", x, self.mix)
        return torch.einsum("bchw,bdhw->bcd", y, x).flatten(1)


class Parts(nn.Module):
    """Chunks, splits by sizes, negative axes, steps, a flip and a stack."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding="same")

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.conv(input=x).movedim(1, -1).moveaxis((3,), (1,))
        a, b = x.chunk(2, dim=-3)
        c, d = torch.split(b, [1, 3], dim=1)
        both = torch.stack([a, b], dim=-3).flatten(1, 2)
        return {"parts": torch.cat((d, c), dim=-3), "both": both[..., ::2, 1:].flip(-1)}


class InPlace(nn.Module):
    """Everything is written where it was read; a norm and a crop that are recorded in steps."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        z = y.clone()
        y.mul_(2).add_(1).relu_()
        z += y
        z.clamp_(min=-1, max=3)
        return F.local_response_norm(z.div_(4.0), 3, k=2.0)[:, :, 1:-1, 1:-1]


class Functional(nn.Module):
    """No module at all: weights and functions."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(6, 3, 3, 3))
        self.bias = nn.Parameter(torch.randn(6))
        self.line = nn.Parameter(torch.randn(5, 6))

    def forward(self, x: Tensor) -> Tensor:
        x = F.conv2d(x, weight=self.weight, bias=self.bias, stride=(2, 1), padding=(1, 0))
        x = F.layer_norm(x, x.shape[1:])
        x = torch.nn.functional.adaptive_max_pool2d(x, (1, 1)).squeeze(-1).squeeze(-1)
        return x @ self.line.t()


class Switched(nn.Module):
    """A choice that no input makes, and one that the size makes."""

    def __init__(self, residual: bool = True) -> None:
        super().__init__()
        self.residual = residual
        self.a = nn.Conv2d(3, 3, 3, padding=1)
        self.b = nn.Conv2d(3, 3, 3, padding=1, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.a(x)
        y = y + x if self.residual else y
        return self.b(y) if x.shape[-1] > 8 else y


class Cells(nn.Module):
    """A module list walked by index, each with its own dilation, summed over a list."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.ModuleList(nn.Conv2d(3, 4, 3, padding=d, dilation=d) for d in (1, 2, 3))
        self.last = nn.ModuleDict({"proj": nn.Conv2d(4, 2, 1), "unused": nn.Conv2d(4, 2, 1)})

    def forward(self, x: Tensor) -> Tensor:
        return self.last["proj"](sum(cell(x) for cell in self.cells) / len(self.cells))


class Padded(nn.Module):
    """Borders of every kind, on any axis."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1, padding_mode="circular")
        self.other = nn.Conv2d(6, 4, 3, padding=(1, 0), padding_mode="replicate")

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(self.conv(x), (0, 0, 0, 0, 1, 1))
        return F.pad(self.other(x), (2, 0), value=1.0)


class Warped(nn.Module):
    """A map read where an affine map of its own sends it."""

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(3, 6)

    def forward(self, x: Tensor) -> Tensor:
        theta = self.line(x.mean((2, 3))).view(-1, 2, 3)
        grid = F.affine_grid(theta, [x.shape[0], 3, 8, 9], align_corners=True)
        return F.grid_sample(x, grid, padding_mode="border", align_corners=False)


class Heads(nn.Module):
    """Attention by hand in three spellings: scaled before, behind, and by PyTorch."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 8, 4, 4)
        self.qkv, self.q, self.kv = nn.Linear(8, 24), nn.Linear(8, 8), nn.Linear(8, 16)
        self.cls = nn.Parameter(torch.randn(1, 1, 8))

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls.repeat(len(x), 1, 1), x], 1)
        n, tokens, c = x.shape
        q, k, v = self.qkv(x).reshape(n, tokens, 3, 2, c // 2).permute(2, 0, 3, 1, 4)
        scores = (q * 0.3) @ k.transpose(-2, -1)
        x = (scores.softmax(-1) @ v).transpose(1, 2).reshape(n, tokens, c)
        q = self.q(x).view(n, tokens, 4, -1).transpose(1, 2)
        k, v = self.kv(x).view(n, tokens, 2, 4, -1).permute(2, 0, 3, 1, 4)
        weights = torch.softmax(torch.einsum("bhqd,bhkd->bhqk", q, k) / 2**0.5, -1)
        x = torch.einsum("bhqk,bhkd->bhqd", weights, v).transpose(1, 2).flatten(2)
        return F.scaled_dot_product_attention(x, x, x)[:, 0]


class Described(nn.Module):
    """Outputs by names that no file can give them, and places as numbers."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        best, place = x.flatten(2).max(-1)
        pooled, places = F.max_pool2d(x, 3, 2, 1, return_indices=True)
        back = F.max_unpool2d(pooled, places, 3, 2, 1, output_size=x.shape[2:])
        mean = x - torch.tensor([0.4, 0.5, 0.6]).view(1, 3, 1, 1)
        return {"in": mean, "conv": best, "3": place / 2, "image": back.repeat(1, 2, 1, 1)}


class Causal(nn.Module):
    """A line that is read from behind alone."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(3, 4, 3, dilation=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x.flatten(2), (4, 0)))


class Normed(nn.Module):
    """Weights that are computed at each call: by hooks, by parametrisations, by a mask."""

    def __init__(self) -> None:
        super().__init__()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.first = utils.weight_norm(nn.Conv2d(3, 4, 3))
        self.second = utils.spectral_norm(nn.Conv2d(4, 4, 3))
        self.third = parametrizations.weight_norm(nn.ConvTranspose2d(4, 4, 2))
        self.fourth = parametrizations.spectral_norm(nn.Linear(4, 4))
        self.fifth = prune.l1_unstructured(nn.Linear(4, 4), "weight", 0.5)
        self.last = parametrizations.orthogonal(nn.Linear(4, 4))

    def forward(self, x: Tensor) -> Tensor:
        x = self.third(self.second(self.first(x).relu()).relu()).amax((2, 3))
        return self.last(self.fifth(self.fourth(x).relu()))


class Formulas(nn.Module):
    """Statistics, gates and functions that are steps of others, and numbers for each sample."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.last = nn.Conv2d(3, 8, 3), nn.Linear(4, 9)

    def forward(self, x: Tensor) -> Tensor:
        x = F.glu(self.conv(x), dim=1)
        rows = x.flatten(2)
        x = rows.std(-1) + F.softsign(rows.var(-1, unbiased=False))
        x = torch.lerp(x, F.logsigmoid(rows.amax(-1)), 0.25)
        turn = torch.eye(3).flatten().view(1, 9).repeat(len(x), 1)
        return (self.last(x) + turn.to(x.device)).view(-1, 3, 3)


class Placed(nn.Module):
    """Coordinates beside the channels, along a line, and as what a small network reads."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bias = nn.Conv2d(5, 4, 3, padding=1), nn.Linear(2, 4)
        places = torch.meshgrid(torch.arange(8.0), torch.arange(8.0) / 7, indexing="ij")
        self.register_buffer("places", torch.stack(places, -1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        n, _, h, w = x.shape
        rows = torch.linspace(-1, 1, h).view(1, 1, h, 1).expand(n, 1, h, w)
        columns = torch.linspace(-1, 1, w).view(1, 1, 1, w).expand(n, 1, h, w)
        x = self.conv(torch.cat([x, rows, columns], 1)).flatten(2)
        x = x * torch.linspace(0, 1, h * w)
        return x.mean(2) + self.bias(self.places).flatten(0, 1).mean(0)


class Written(nn.Module):
    """Parts of copies of parameters are written over, as Swin V2 has no bias for its keys."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(12, 3))
        self.bias, self.gain = nn.Parameter(torch.randn(12)), nn.Parameter(torch.randn(12))

    def forward(self, x: Tensor) -> Tensor:
        bias, gain = self.bias.clone(), self.gain.exp()
        bias[4:8].zero_()
        gain[:2].mul_(3)
        gain.add_(1)
        return F.linear(x.mean((2, 3)), self.weight, bias) * gain


class Spelled(nn.Module):
    """Functions and a norm that PyTorch has modules for, by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(3 if n == 0 else 4, 4, 1) for n in range(6))
        self.weight, self.bias = (nn.Parameter(torch.randn(4)) for _ in range(2))

    def normed(self, x: Tensor) -> Tensor:
        mean = x.mean(1, keepdim=True)
        spread = (x - mean).pow(2).mean(1, keepdim=True)
        x = (x - mean) / torch.sqrt(spread + 1e-6)
        return self.weight[:, None, None] * x + self.bias[:, None, None]

    def forward(self, x: Tensor) -> Tensor:
        first, second, third, fourth, fifth, last = self.convs
        x = first(x)
        x = second(x * F.relu6(x + 3) / 6)
        x = third(x * torch.sigmoid(x))
        x = fourth(torch.tanh(F.softplus(x)) * x)
        inner = math.sqrt(2 / math.pi) * (x + 0.044715 * torch.pow(x, 3))
        x = fifth(0.5 * x * (1 + torch.tanh(inner)))
        x = last(self.normed(x))
        return x.add(3).clamp(0, 6).div(6)


class Columns(nn.Module):
    """Windows as columns: side by side, over one another, spread; and back to a map."""

    def __init__(self) -> None:
        super().__init__()
        self.apart, self.near, self.far = nn.Linear(12, 12), nn.Linear(27, 4), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        apart = self.apart(F.unfold(x, 2, stride=2).transpose(1, 2)).transpose(1, 2)
        x = x + F.fold(apart, x.shape[2:], 2, stride=2)
        near = self.near(F.unfold(x, 3, padding=1, stride=2).transpose(1, 2))
        far = F.unfold(x, (1, 2), dilation=(1, 3), padding=(0, 2)).transpose(1, 2)
        return near.mean(1) * self.far(far).amax(1)


class Overlapping(nn.Module):
    """Columns that are added where they overlap."""

    def forward(self, x: Tensor) -> Tensor:
        return F.fold(F.unfold(x, 3, padding=1), x.shape[2:], 3, padding=1)


class Rewritten(Written):
    """A part that is no slice of it."""

    def forward(self, x: Tensor) -> Tensor:
        bias = self.bias.clone()
        bias.view(3, 4)[1].zero_()
        return F.linear(x.mean((2, 3)), self.weight, bias)


class Restless(nn.Module):
    """A parametrisation that gives other weights at each call."""

    class Noisy(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + torch.randn_like(x)

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Conv2d(3, 4, 3))
        parametrize.register_parametrization(self.inner[0], "weight", self.Noisy())

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


class Voting(nn.Module):
    """The mean of several answers, put together before the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = nn.ModuleList(nn.Linear(3, 4) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        x = x.mean((2, 3))
        return torch.mean(torch.stack([head(x) for head in self.heads], dim=0), dim=0)


class Tied(nn.Module):
    """A weight that two layers read."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Linear(3, 3, bias=False)
        self.down = nn.Linear(3, 3, bias=False)
        self.down.weight = self.up.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.up(x.mean((2, 3))).relu())


class Gathered(nn.Module):
    """An order that the data give."""

    def forward(self, x: Tensor) -> Tensor:
        return x.gather(1, x.argsort(1))


class Random(nn.Module):
    """Noise, also in evaluation."""

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.randn_like(x)


class Statistics(nn.Module):
    """A norm by hand whose statistics are saved."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x - self.seen


class Learns(nn.Module):
    """A convolution by a buffer, which training leaves as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kernel", torch.randn(4, 3, 3, 3))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.kernel)
