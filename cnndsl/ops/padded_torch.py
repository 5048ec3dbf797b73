"""PyTorch of windows whose padding differs from side to side: modules of a file's own.

`sides` is what `F.pad` takes: before and after, the last axis first.
"""

from __future__ import annotations

_CONV = '''class PaddedConv{rank}d(nn.Conv{rank}d):
    """A convolution whose zeros differ from side to side."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, ...],
        sides: tuple[int, ...],
        stride: int | tuple[int, ...] = 1,
        dilation: int | tuple[int, ...] = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,  # type: ignore[arg-type]
            stride=stride,  # type: ignore[arg-type]
            dilation=dilation,  # type: ignore[arg-type]
            groups=groups,
            bias=bias,
        )
        self.sides = list(sides)

    def forward(self, input: Tensor) -> Tensor:
        return self._conv_forward(F.pad(input, self.sides), self.weight, self.bias)
'''

_DECONV = '''class CroppedConvTranspose{rank}d(nn.ConvTranspose{rank}d):
    """A transposed convolution of which each side loses its own number of places."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, ...],
        sides: tuple[int, ...],
        stride: int | tuple[int, ...] = 1,
        output_padding: int | tuple[int, ...] = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: int | tuple[int, ...] = 1,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,  # type: ignore[arg-type]
            stride=stride,  # type: ignore[arg-type]
            groups=groups,
            bias=bias,
            dilation=dilation,  # type: ignore[arg-type]
        )
        self.sides = [-side for side in sides]
        extra = output_padding
        self.extra = [extra] * {rank} if isinstance(extra, int) else list(extra)

    def forward(self, input: Tensor) -> Tensor:  # type: ignore[override]
        whole = F.conv_transpose{rank}d(
            input,
            self.weight,
            self.bias,
            self.stride,
            0,
            self.extra,
            self.groups,
            self.dilation,
        )
        return F.pad(whole, self.sides)
'''

_MAX_POOL = '''class PaddedMaxPool{rank}d(nn.Module):
    """Max pooling whose padding, which never wins, differs from side to side."""

    def __init__(
        self,
        kernel_size: tuple[int, ...],
        sides: tuple[int, ...],
        stride: tuple[int, ...],
        dilation: tuple[int, ...] = ({ones}),
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride = list(kernel_size), list(stride)
        self.dilation, self.sides = list(dilation), list(sides)
        self.ceil_mode = ceil_mode

    def forward(self, x: Tensor) -> Tensor:
        sides = window_sides(
            x, self.kernel_size, self.stride, self.dilation, self.sides, self.ceil_mode
        )
        padded = F.pad(x, sides, value=float("-inf"))
        return F.max_pool{rank}d(
            padded, self.kernel_size, self.stride, dilation=self.dilation
        )
'''

_AVG_POOL = '''class PaddedAvgPool{rank}d(nn.Module):
    """Average pooling whose padding differs from side to side."""

    def __init__(
        self,
        kernel_size: tuple[int, ...],
        sides: tuple[int, ...],
        stride: tuple[int, ...],
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride = list(kernel_size), list(stride)
        self.sides, self.ceil_mode = list(sides), ceil_mode
        self.count_include_pad = count_include_pad

    def forward(self, x: Tensor) -> Tensor:
        sides = window_sides(
            x, self.kernel_size, self.stride, [1] * {rank}, self.sides, self.ceil_mode
        )
        if self.count_include_pad and not self.ceil_mode:
            return F.avg_pool{rank}d(F.pad(x, sides), self.kernel_size, self.stride)
        counted = torch.ones_like(x[:1, :1])
        if self.count_include_pad:
            counted = F.pad(counted, self.sides, value=1.0)
            within = [sides[n] - self.sides[n] for n in range(len(sides))]
            counted = F.pad(counted, within)
        else:
            counted = F.pad(counted, sides)
        total = F.avg_pool{rank}d(F.pad(x, sides), self.kernel_size, self.stride)
        return total / F.avg_pool{rank}d(counted, self.kernel_size, self.stride)
'''

WINDOW_SIDES = '''def window_sides(
    x: Tensor,
    kernel: list[int],
    stride: list[int],
    dilation: list[int],
    sides: list[int],
    ceil: bool,
) -> list[int]:
    """The padding with which the last window ends where the padded input does."""
    found: list[int] = []
    for axis in range(len(kernel) - 1, -1, -1):
        number = 2 * (len(kernel) - 1 - axis)
        size, before, after = x.shape[axis + 2], sides[number], sides[number + 1]
        span = dilation[axis] * (kernel[axis] - 1) + 1
        room = size + before + after - span
        count = (-(-room // stride[axis]) if ceil else room // stride[axis]) + 1
        if ceil and (count - 1) * stride[axis] >= size + before:
            count -= 1  # no window starts in the padding behind
        found += [before, (count - 1) * stride[axis] + span - size - before]
    return found
'''


_SAME_CONV = '''class SameConv{rank}d(nn.Conv{rank}d):
    """A convolution whose output has ⌈size / stride⌉ places: TensorFlow's SAME."""

    def forward(self, input: Tensor) -> Tensor:
        sides = same_sides(
            input, list(self.kernel_size), list(self.stride), list(self.dilation)
        )
        return self._conv_forward(F.pad(input, sides), self.weight, self.bias)
'''

_SAME_MAX_POOL = '''class SameMaxPool{rank}d(nn.Module):
    """Max pooling whose output has ⌈size / stride⌉ places: TensorFlow's SAME."""

    def __init__(
        self,
        kernel_size: tuple[int, ...],
        stride: tuple[int, ...],
        dilation: tuple[int, ...] = ({ones}),
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride = list(kernel_size), list(stride)
        self.dilation = list(dilation)

    def forward(self, x: Tensor) -> Tensor:
        sides = same_sides(x, self.kernel_size, self.stride, self.dilation)
        padded = F.pad(x, sides, value=float("-inf"))
        return F.max_pool{rank}d(
            padded, self.kernel_size, self.stride, dilation=self.dilation
        )
'''

_SAME_AVG_POOL = '''class SameAvgPool{rank}d(nn.Module):
    """Average pooling whose output has ⌈size / stride⌉ places: TensorFlow's SAME."""

    def __init__(
        self,
        kernel_size: tuple[int, ...],
        stride: tuple[int, ...],
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride = list(kernel_size), list(stride)
        self.count_include_pad = count_include_pad

    def forward(self, x: Tensor) -> Tensor:
        sides = same_sides(x, self.kernel_size, self.stride, [1] * {rank})
        total = F.avg_pool{rank}d(F.pad(x, sides), self.kernel_size, self.stride)
        if self.count_include_pad:
            return total
        counted = F.pad(torch.ones_like(x[:1, :1]), sides)
        return total / F.avg_pool{rank}d(counted, self.kernel_size, self.stride)
'''

SAME_SIDES = '''def same_sides(
    x: Tensor, kernel: list[int], stride: list[int], dilation: list[int]
) -> list[int]:
    """The zeros that ⌈size / stride⌉ windows need, the odd one behind."""
    found: list[int] = []
    for axis in range(len(kernel) - 1, -1, -1):
        size, step = x.shape[axis + 2], stride[axis]
        span = dilation[axis] * (kernel[axis] - 1) + 1
        whole = max(((size + step - 1) // step - 1) * step + span - size, 0)
        found += [whole // 2, whole - whole // 2]
    return found
'''


def same_conv(rank: int) -> str:
    """The source of `SameConv2d`."""
    return SAME_SIDES + "\n\n" + _SAME_CONV.replace("{rank}", str(rank))


def same_pool(kind: str, rank: int) -> str:
    """The source of `SameMaxPool2d` or `SameAvgPool2d`."""
    text = {"MaxPool": _SAME_MAX_POOL, "AvgPool": _SAME_AVG_POOL}[kind]
    ones = ", ".join(["1"] * rank) + ("," if rank == 1 else "")
    return SAME_SIDES + "\n\n" + text.replace("{rank}", str(rank)).replace("{ones}", ones)


def padded_conv(rank: int) -> str:
    """The source of `PaddedConv2d`."""
    return _CONV.replace("{rank}", str(rank))


def cropped_deconv(rank: int) -> str:
    """The source of `CroppedConvTranspose2d`."""
    return _DECONV.replace("{rank}", str(rank))


def padded_pool(kind: str, rank: int) -> str:
    """The source of `PaddedMaxPool2d` or `PaddedAvgPool2d`."""
    text = {"MaxPool": _MAX_POOL, "AvgPool": _AVG_POOL}[kind]
    ones = ", ".join(["1"] * rank) + ("," if rank == 1 else "")
    return WINDOW_SIDES + "\n\n" + text.replace("{rank}", str(rank)).replace("{ones}", ones)
