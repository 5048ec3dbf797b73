"""Rules of shapes that operations share: windows, padding, axes; and how sizes are written."""

from __future__ import annotations

from cnndsl.diagnostics import OpError
from cnndsl.ops.facts import Auto, Pad, Pads, Shape, Size, TfSame, spell_shape
from cnndsl.ops.values import spell
from cnndsl.ops.words import spoken
from cnndsl.symbolic import maximum, minimum


def same_padding(kernel: Size, dilation: Size) -> Pads:
    """`dilation·(kernel − 1)/2` zeros on both sides.  Raises OpError: an even kernel."""
    pads = []
    for k, d in zip(kernel, dilation, strict=True):
        if (d * (k - 1)) % 2:
            raise OpError(
                f"pad=same needs an odd kernel, not {spell(kernel)}",
                help="pad=0 adds nothing, as for patches; a list gives each side: "
                "pad=[left, right, top, bottom]",
                attribute="pad",
                code="E304",
            )
        pads.append((d * (k - 1) // 2, d * (k - 1) // 2))
    return tuple(pads)


def tf_same(x: Size, kernel: Size, stride: Size, dilation: Size) -> Pads:
    """The zeros that ⌈S / stride⌉ windows need beyond the input, the odd zero behind it.

    Source: TensorFlow's `SAME` (tensorflow.org, `tf.nn`, "Notes on padding").
    """
    pads = []
    for n, k, s, d in zip(x, kernel, stride, dilation, strict=True):
        whole = maximum(((n + s - 1) // s - 1) * s + d * (k - 1) + 1 - n, 0)
        pads.append((whole // 2, whole - whole // 2))
    return tuple(pads)


def padding(
    pad: Pad, kernel: Size, dilation: Size, x: Size = (), stride: Size | None = None
) -> Pads | TfSame:
    """Zeros before and after each axis, of `same`, `causal` and `tf_same` too.

    `causal` is `dilation·(kernel − 1)` before the one axis, so that nothing reads ahead.
    What takes `tf_same` gives the input's spatial sizes, and its stride.
    Raises OpError: an even kernel with `same`, several axes with `causal`.
    """
    if pad is Auto.SAME:
        return same_padding(kernel, dilation)
    if pad is Auto.CAUSAL:
        if len(kernel) != 1:
            message = f"pad=causal has one axis, and the kernel is {spell(kernel)}"
            raise OpError(message, help="give the padding by side", attribute="pad")
        return ((dilation[0] * (kernel[0] - 1), 0),)
    if pad is Auto.TF_SAME or isinstance(pad, TfSame):
        if stride is None:
            most = "`conv`, `dwconv`, `deconv`, `maxpool` and `avgpool`"
            raise OpError(
                f"pad=tf_same works with {most} only",
                help="pad before it: `zeropad([0, 1, 0, 1])`, and `pad=0` in the step",
                attribute="pad",
            )
        sizes = [tuple(map(int, part)) for part in (x, kernel, stride, dilation)]
        found = tf_same(*sizes)
        return TfSame(found) if any(k > 1 for k in kernel) else found  # 1: always none
    assert isinstance(pad, tuple)
    return pad


def window_sizes(
    x: Size, kernel: Size, stride: Size, pads: Pad, dilation: Size, *, ceil: bool = False
) -> Size:
    """The number of windows along each axis; with `tf_same` `⌈n / s⌉`.  Raises OpError."""
    if isinstance(pads, TfSame):
        return tuple((n + s - 1) // s for n, s in zip(x, stride, strict=True))
    assert isinstance(pads, tuple)
    sizes = zip(x, kernel, stride, pads, dilation, strict=True)
    return tuple(window_size(*size, ceil) for size in sizes)


def sides_of(pad: Pad) -> Pads:
    """Zeros before and after each axis, of a padding that is resolved."""
    found = pad.pads if isinstance(pad, TfSame) else pad
    assert isinstance(found, tuple)
    return found


def window_size(
    size: int,
    kernel: int,
    stride: int,
    pads: tuple[int, int],
    dilation: int,
    ceil: bool = False,
) -> int:
    """The number of windows along an axis: `⌊(n + p − d·(k − 1) − 1) / s⌋ + 1`.

    With `ceil` the quotient is rounded up, less one where the last window would start in
    the padding after the input, as PyTorch does.  Source: Dumoulin & Visin 2016,
    arXiv:1603.07285, §2.  Raises OpError: the kernel does not fit.
    """
    before, after = pads
    span = dilation * (kernel - 1) + 1
    # The plain numbers first: what is added to a size is added to its formula too.
    room = size + (before + after - span)
    # Rounded up, a first window may be larger than the input.
    if room < 0 and not (ceil and room + stride > 0):
        padded = f" with {before} + {after} padding" if before or after else ""
        raise OpError(
            f"a kernel of {span} does not fit in a size of {int(size)}{padded}",
            help="pad the input, or use a smaller kernel",
            attribute="kernel",
        )
    if not ceil:
        return room // stride + 1
    more = (room + stride - 1) // stride
    if span - after < stride:
        more = minimum(more, (size + before - 1) // stride)
    return more + 1


def spatial(x: Shape, what: str, ranks: tuple[int, ...] = (1, 2, 3)) -> Size:
    """The spatial part of a shape.  Raises OpError: not of one of the ranks."""
    if len(x) - 1 not in ranks:
        wanted = " or ".join(str(r) for r in ranks)
        raise OpError(
            f"`{what}` needs {wanted} spatial axes, but the input is {spell_shape(x)}",
            operand=0,
        )
    return x[1:]


def check_axis(axis: int, x: Shape, what: str) -> None:
    """Raises OpError: the shape has no such axis (0 is channels)."""
    if not 0 <= axis < len(x):
        raise OpError(
            f"`{what}`: {spell_shape(x)} has no axis {int(axis)}",
            help=f"the axes are 0 to {len(x) - 1}, without the batch",
            attribute="axis",
        )


def one(values: tuple[object, ...]) -> object:
    """`3` for `(3, 3)`, the tuple otherwise: PyTorch takes both.

    Numbers that carry an expression (their `key`) are one where the expression is one.
    """
    same = {getattr(v, "key", v) for v in values}
    return values[0] if len(same) == 1 else values


def compact(size: Size) -> str:
    """`3×3` for a figure."""
    return "×".join(map(spoken, size))


def windowed(kernel: Size) -> str:
    """A kernel at the head of a title; along a single axis it says what it is of: `conv 3`."""
    return compact(kernel) if len(kernel) > 1 else f"conv {compact(kernel)}"


def square(size: Size) -> str:
    """A map's size as papers print it: `65²`, `16³`, `64×32`."""
    power = {2: "²", 3: "³"}.get(len(size))
    same = len(set(size)) == 1
    return f"{spoken(size[0])}{power}" if power and same else compact(size)


def per_stride(stride: Size) -> str:
    """` /2` for a figure, ` /2×1` where the axes differ, nothing for 1."""
    if set(stride) == {1}:
        return ""
    return f" /{spoken(stride[0]) if len(set(stride)) == 1 else compact(stride)}"


def enlarged(factor: Size) -> str:
    """` ↑2` for what makes a map twice as large, nothing for 1."""
    return per_stride(factor).replace("/", "↑")


def even(pads: Pads) -> bool:
    """Both sides of each axis are padded alike, as PyTorch's modules want it."""
    return all(before == after for before, after in pads)


def torch_sides(pads: Pads) -> tuple[int, ...]:
    """Padding as `F.pad` takes it: the last axis first."""
    return tuple(side for pair in reversed(pads) for side in pair)


def check_filling(pads: Pads, axes: Size, mode: str, attribute: str) -> None:
    """Raises OpError: the input is too small for its border to be filled from it."""
    for (before, after), n in zip(pads, axes, strict=True):
        most = n - 1 if mode == "reflect" else n
        if mode != "replicate" and max(before, after) > most:
            raise OpError(
                f"a {mode} padding of {int(max(before, after))} exceeds a size of {int(n)}",
                help=f"it is at most {int(most)} here",
                attribute=attribute,
            )
