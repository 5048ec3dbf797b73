"""How the field's names are written here: what a message proposes for an unknown one.

A proposal is the same thing under another name, never the nearest other operation: `prelu`
is no slip for `relu`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from functools import cache

from cnndsl.diagnostics import Near, spelling
from cnndsl.files import zoo
from cnndsl.language import tree
from cnndsl.ops.base import OPS
from cnndsl.ops.facts import Family

STEPS = {
    "conv(64, 3x3)": "conv convolution convolutional conv3x3 lazyconv",
    "conv(64, 1x1)": "conv1x1 pointwise pointwiseconv pwconv",
    "conv(64, 3x3, dilation=2)": "dilatedconv atrousconv",
    "conv(64, 3x3, groups=32)": "groupconv groupedconv",
    "conv(64, 3x3, norm=bn, act=relu)": "convbnrelu convbnact convnormact cbr convmodule"
    " conv2dnormactivation basicconv",
    "conv(64, 3x3, norm=bn)": "convbn convnorm",
    "conv(64, 3x3, norm=bn, act=silu)": "convbnsilu cbs",
    "conv(64, 3x3, norm=bn, act=leaky(0.1))": "cbl convbnleaky",
    "dwconv(3x3)": "depthwise depthwiseconv convdw",
    "dwconv(3x3) -> conv(64, 1x1)": "sepconv separableconv depthwiseseparableconv",
    "deconv(64, 2, stride=2)": "convtranspose convtransposed conv2dtranspose conv3dtranspose"
    " transposeconv transposedconv upconv deconvolution",
    "linear(10)": "fc dense fullyconnected innerproduct lazylinear",
    "gn(32)": "groupnorm groupnormalization",
    "l2norm(axis=0)": "normalize l2normalize l2normalization",
    "leaky(0.01)": "leakyrelu lrelu",
    "clamp(0, 6)": "clip relun",
    "clamp(-1, 1)": "hardtanh",
    "pow(2)": "power square",
    "pow(-1)": "reciprocal inverse",
    "pow(-0.5)": "rsqrt",
    "mul { skip; mul(1.702) -> sigmoid }": "quickgelu",
    "softmax(axis=0)": "softmax2d",
    "maxpool(2)": "maxpooling",
    "avgpool(2)": "avgpooling averagepool averagepooling meanpool",
    "upsample(2)": "upsampling upsamplenearest upsamplingnearest nearestupsample",
    'upsample(2, mode="bilinear")': "upsamplebilinear upsamplingbilinear",
    'upsample(2, mode="bicubic")': "bicubic upsamplebicubic",
    "concat { a; b }": "cat concatenate hstack route",
    "add { a; b }": "addition plus sum residual shortcut eltwise eltwiseadd elementwiseadd",
    "sub { a; b }": "squareddifference",
    "mul { a; b }": "multiply times product prod hadamard",
    "split(2)": "chunk tensorsplit",
    'rearrange("c h w -> h w c")': "permute transpose swapaxes",
    'rearrange("c h w -> 1 c h w")': "unsqueeze expanddims",
    'rearrange("(a b c) h w -> c (h a) (w b)", a=2, b=2)': "depthtospace",
    'rearrange("c (h a) (w b) -> (a b c) h w", a=2, b=2)': "spacetodepth",
    'rearrange("c (h a) (w b) -> (b a c) h w", a=2, b=2)': "focus",
    "channel_shuffle(2)": "shuffle",
    "reshape(32, 64)": "view unflatten",
    "zeropad([1, 1, 1, 1])": "constantpad zeropadding",
    "pad(1)": "reflectionpad reflectpad mirrorpad",
    'pad(1, mode="replicate")': "replicationpad edgepad",
    'pad(1, mode="circular")': "circularpad wrappad",
    "crop([6, 6])": "centercrop cropping",
    "droppath(0.1)": "stochasticdepth",
}
"""A step here → what it is called elsewhere, in lower case and without `_`.

What is so called with no argument here, the operation says itself (`elsewhere`).
"""

ADVICE = {
    "write `gap`; for other sizes than 1, `adaptive_avgpool(7)`": "adaptiveavgpool",
    "write `gmp`; for other sizes than 1, `adaptive_maxpool(7)`": "adaptivemaxpool",
    "write `maximum { a; b }`, or over an axis `max(axis=0)`": "largest",
    "write the plain `conv`: it trains otherwise, and computes the same": "spectralnorm"
    " weightnorm spectralconv",
    "write `a, b: split(2)`, then `mul { a; b -> sigmoid }`": "glu",
    "write `a, b: split(2)`, then `mul { a -> silu; b }`": "swiglu",
    "write `upsample(2)` for a factor, `resize([64, 64])` for a size": "interpolate",
    'write a pattern: `einsum("n c, c m -> n m") { a; b }`': "matmul bmm mm dot",
    "write `rearrange` or `reshape` without the axis of size 1": "squeeze",
    "leave the step out; as an argument it is `none`": "identity noop none",
    "join the steps with `->`; braces group them: `{ conv(8, 3x3) -> relu }`": "sequential",
    "write `for i in 0..n { … }`, or `step * n`": "modulelist",
    'a block does this: `use "lib/squeeze_excite.arch" (SqueezeExcite)`': "se seblock selayer"
    " semodule squeezeexcitation",
    "write `nms(100) { boxes; scores }`": "nonmaxsuppression nonmaximumsuppression",
    "a step stands where it is used, and a label names its line": "self",
    "an input stands in the head: `model M: image[3, H=224, W=224] -> y { … }`": "input",
    "an output is a label that the head names: `-> y { y: … }`": "return output",
}
"""What to do where it is more than a step → for what."""

OTHERS = """
    rrelu hardshrink softshrink tanhshrink threshold softsign softmin
    logsigmoid gumbelsoftmax maxout crelu relu1 dropout1d dropout2d dropout3d
    alphadropout featurealphadropout dropblock lppool fractionalmaxpool avgunpool
    unfold fold bilinear embedding rnn lstm gru rmsnorm
    roipool psroipool
    median std var sin cos tan asin acos atan sinh cosh
    erf cumsum
    stack repeat expand tile where mask sort snake sine geglu reglu
"""
"""Steps of other libraries that are not here: nothing is near enough to them to be meant."""

ARGUMENTS = {
    "out": "filters channels units outchannels outfeatures numfilters outputchannels",
    "kernel": "kernelsize ksize k size kernelshape poolsize",
    "stride": "strides s",
    "pad": "padding pads p",
    "pad_mode": "paddingmode",
    "dilation": "dilationrate dilations rate d",
    "groups": "numgroups group g",
    "bias": "usebias",
    "ceil": "ceilmode",
    "output_pad": "outputpadding",
    "slope": "negativeslope",
    "axis": "dim axes",
    "factor": "scalefactor scale",
    "size": "outputsize",
    "eps": "epsilon",
    "act": "activation",
    "norm": "normalization normlayer normalizer",
    "multiplier": "depthmultiplier channelmultiplier",
    "keep": "keepdim keepdims",
    "p": "rate prob droprate",
    "iou": "iouthreshold",
}
"""An argument here → what it is called elsewhere."""

UNWRITTEN = {
    "inchannels": "leave it out: the channels of the input are known",
    "infeatures": "leave it out: the size of the input is known",
    "numfeatures": "leave it out: the channels of the input are known",
    "size": "`resize` takes a size: `resize([64, 64])`",
    "inplace": "leave it out: it changes no result",
    "batchnormalize": "write `norm=bn`",
    "batchnorm": "write `norm=bn`",
}


def step_help(name: str, known: Collection[str]) -> str:
    """How an unknown step is written here; nothing where it cannot be known."""
    key = _key(name)
    for form in (key, re.sub(r"([123]d)?(layer|block)?$", "", key)):
        if form in _steps():
            said = _steps()[form]
            word = re.fullmatch(r"write `(\w+)`", said)
            return Near(said, name, word[1]) if word else said
        same = [word for word in known if _key(word) == form and key not in OTHERS.split()]
        if len(same) == 1:
            return Near(f"write `{same[0]}`", name, same[0])
    if key in _blocks():
        block, file = _blocks()[key]
        return f'a shipped block: `use "{file}" ({block})`'
    return "" if key in OTHERS.split() else spelling(name, known)


def argument_help(name: str, known: Collection[str]) -> str:
    """How an unknown argument is written here; nothing where it cannot be known."""
    key = _key(name)
    meant = [word for word in known if key in ARGUMENTS.get(word, "").split()]
    if meant:
        return Near(f"write `{meant[0]}`", name, meant[0])
    family = OPS[key].family if key in OPS else None
    slot = {Family.NORM: "norm", Family.ACTIVATION: "act"}.get(family or Family.INPUT, "")
    fused = f"write `{slot}={key}`" if slot in known else ""
    return fused or UNWRITTEN.get(key) or spelling(name, known)


def torch_order(term: tree.CallTerm, names: Sequence[str], channels: int) -> str:
    """A step whose arguments stand in PyTorch's order, as it is written here; else empty.

    There the channels that enter come first: `Conv2d(3, 64, 7, 2, 3)` is
    `conv(64, 7, stride=2)`. It is certain where they are the number that enters, and what
    would be the kernel is even, as no kernel with an odd stride is.
    """
    numbers: list[int] = []
    for argument in term.arguments:
        value = argument.value
        if argument.name is not None or argument.rest or not isinstance(value, tree.Number):
            break
        numbers.append(int(value.value))
    given = len(numbers)
    if [*names[:4]] != ["out", "kernel", "stride", "pad"] or given < 3:
        return ""
    entering, out, kernel, stride, pad = [*numbers, *(1, 0)[given - 3 :]][:5]
    if entering != channels or out % 2 or out <= kernel or not kernel % 2:
        return ""
    more = [f"stride={stride}"] * (stride != 1) + [f"pad={pad}"] * (2 * pad != kernel - 1)
    return f"{term.path.name}({', '.join([str(out), str(kernel), *more])})"


def _key(name: str) -> str:
    return name.lower().replace("_", "")


@cache
def _steps() -> dict[str, str]:
    """What is said of each name."""
    called = STEPS | {op.name: op.elsewhere for op in OPS.values()}
    steps = {
        name: f"write `{step}`" for step, names in called.items() for name in names.split()
    }
    return steps | {name: said for said, names in ADVICE.items() for name in names.split()}


@cache
def _blocks() -> dict[str, tuple[str, str]]:
    """The blocks that are shipped to be used: the name as it is written, and its file."""
    found: dict[str, tuple[str, str]] = {}
    for path in sorted((zoo() / "lib").glob("*.arch")):
        for name in re.findall(r"^block (\w+)", path.read_text(encoding="utf-8"), re.MULTILINE):
            found.setdefault(_key(name), (name, f"lib/{path.name}"))
    return found
