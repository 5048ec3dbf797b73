"""Every operation, with attributes and input shapes that reach each of its branches."""

from __future__ import annotations

from cnndsl.ops import OPS
from cnndsl.ops.base import Auto, Op, Shape, bind

Case = tuple[str, dict[str, object], tuple[Shape, ...]]

MAP = (6, 9, 7)
LINE = (6, 11)
CUBE = (4, 5, 6, 7)
VECTOR = (6,)

ELEMENTWISE = [
    "relu", "relu6", "leaky", "elu", "sigmoid", "tanh", "hardsigmoid", "hardswish", "silu",
    "gelu", "mish",
]  # fmt: skip

CASES: list[Case] = [
    ("conv", {"out": 8, "kernel": 3}, (MAP,)),
    ("conv", {"out": 8, "kernel": 3, "stride": 2, "bias": False}, (MAP,)),
    ("conv", {"out": 8, "kernel": (1, 5), "stride": (2, 1), "dilation": (1, 2)}, (MAP,)),
    ("conv", {"out": 9, "kernel": 3, "groups": 3, "pad": Auto.VALID}, (MAP,)),
    ("conv", {"out": 12, "kernel": 3, "groups": 6, "dilation": 2}, (MAP,)),
    ("conv", {"out": 8, "kernel": 2, "pad": (0, 1, 2, 0), "stride": 2}, (MAP,)),
    ("conv", {"out": 8, "kernel": 1}, (MAP,)),
    ("conv", {"out": 8, "kernel": 5, "stride": 3}, (LINE,)),
    ("conv", {"out": 6, "kernel": (3, 1, 3), "groups": 2}, (CUBE,)),
    ("dwconv", {"kernel": 3, "stride": 2}, (MAP,)),
    ("dwconv", {"kernel": 3, "multiplier": 2, "dilation": 2}, (MAP,)),
    ("dwconv", {"kernel": 7}, (LINE,)),
    ("dwconv", {"kernel": 3}, ((1, 5, 5),)),
    ("deconv", {"out": 8, "kernel": 2, "stride": 2}, (MAP,)),
    ("deconv", {"out": 8, "kernel": 3, "stride": 2, "pad": 1, "output_pad": 1}, (MAP,)),
    ("deconv", {"out": 9, "kernel": 3, "stride": 2, "dilation": 2, "groups": 3}, (MAP,)),
    ("deconv", {"out": 4, "kernel": 3, "pad": Auto.SAME, "bias": False}, (LINE,)),
    ("deconv", {"out": 4, "kernel": (1, 2, 3), "stride": (1, 2, 2)}, (CUBE,)),
    ("linear", {"out": 5}, (VECTOR,)),
    ("linear", {"out": 5, "bias": False}, ((3, 4, 6),)),
    ("maxpool", {"kernel": 2}, (MAP,)),
    ("maxpool", {"kernel": 3, "stride": 2, "pad": 1, "ceil": True}, (MAP,)),
    ("maxpool", {"kernel": 3, "stride": 1, "pad": Auto.SAME}, (MAP,)),
    ("maxpool", {"kernel": 2, "stride": 1, "pad": (0, 1, 0, 1)}, (MAP,)),
    ("maxpool", {"kernel": 2, "stride": 3, "ceil": True, "dilation": 2}, (LINE,)),
    ("maxpool", {"kernel": (1, 2, 2)}, (CUBE,)),
    ("avgpool", {"kernel": 2}, (MAP,)),
    ("avgpool", {"kernel": 3, "stride": 2, "pad": 1, "ceil": True}, (MAP,)),
    ("avgpool", {"kernel": 3, "stride": 2, "pad": 1, "count_include_pad": False}, (MAP,)),
    ("avgpool", {"kernel": 3, "stride": 1, "pad": Auto.SAME, "ceil": True}, (MAP,)),
    ("avgpool", {"kernel": 2, "stride": 1, "pad": (0, 1, 0, 1)}, (MAP,)),
    ("avgpool", {"kernel": 4, "stride": 3, "pad": 2}, (LINE,)),
    ("avgpool", {"kernel": 2, "ceil": True, "count_include_pad": False}, (CUBE,)),
    ("gap", {}, (MAP,)),
    ("gap", {}, (LINE,)),
    ("gap", {"keep": True}, (MAP,)),
    ("gap", {"keep": True}, (CUBE,)),
    ("bn", {}, (MAP,)),
    ("bn", {"eps": 1e-3, "momentum": 0.01, "affine": False}, (MAP,)),
    ("bn", {}, (VECTOR,)),
    ("bn", {}, (LINE,)),
    ("bn", {}, (CUBE,)),
    ("frozen_bn", {}, (MAP,)),
    ("frozen_bn", {"eps": 0.0}, (CUBE,)),
    ("gn", {"groups": 3}, (MAP,)),
    ("gn", {"groups": 1, "eps": 1e-3}, (VECTOR,)),
    ("ln", {}, (MAP,)),
    ("ln", {"eps": 1e-3}, (VECTOR,)),
    ("ln", {}, (CUBE,)),
    ("lrn", {}, (MAP,)),
    ("lrn", {"n": 4, "alpha": 2.0, "beta": 0.5, "k": 2.0}, (MAP,)),
    ("lrn", {"n": 15, "alpha": 2.0}, (LINE,)),
    ("l2norm", {"axis": 0}, (MAP,)),
    ("l2norm", {"axis": 1, "eps": 3.0}, (MAP,)),
    ("scale", {"init": 20.0}, (MAP,)),
    ("scale", {"per": "tensor"}, (CUBE,)),
    ("scale", {}, (VECTOR,)),
    *((name, {}, (MAP,)) for name in ELEMENTWISE),
    ("leaky", {"slope": 0.1}, (VECTOR,)),
    ("elu", {"alpha": 2.0}, (VECTOR,)),
    ("softmax", {"axis": 0}, (MAP,)),
    ("softmax", {"axis": 2}, (MAP,)),
    ("dropout", {}, (MAP,)),
    ("dropout", {"p": 0.2}, (VECTOR,)),
    ("droppath", {"p": 0.2}, (MAP,)),
    ("flatten", {}, (MAP,)),
    ("flatten", {}, (VECTOR,)),
    ("add", {}, (MAP, MAP)),
    ("add", {}, (MAP, MAP, MAP)),
    ("mul", {"by": 0.5}, (MAP,)),
    ("mul", {}, (MAP, MAP)),
    ("mul", {}, (MAP, (6, 1, 1))),
    ("mul", {}, ((6, 1, 7), (1, 9, 1))),
    ("mul", {}, (MAP, (6,))),
    ("mul", {}, ((6,), LINE)),
    ("concat", {}, (MAP, MAP, (2, 9, 7))),
    ("concat", {"axis": 2}, (MAP, (6, 9, 1))),
    ("concat", {}, (MAP,)),
    ("split", {"sections": 3}, (MAP,)),
    ("split", {"sections": 1}, (MAP,)),
    ("split", {"sections": (2, 7), "axis": 1}, (MAP,)),
    ("einsum", {"pattern": "c i, c j -> i j"}, ((4, 5), (4, 6))),
    ("einsum", {"pattern": "head n m, head m key -> n head key"}, ((2, 3, 4), (2, 4, 5))),
    ("einsum", {"pattern": "g k h w, g c k h w -> g c h w"}, ((2, 9, 3, 4), (2, 5, 9, 3, 4))),
    ("einsum", {"pattern": "a b -> b a"}, (LINE,)),
    ("einsum", {"pattern": "n i -> n"}, (LINE,)),
    ("rearrange", {"pattern": "(g c) h w -> (c g) h w", "axes": (("g", 3),)}, (MAP,)),
    ("rearrange", {"pattern": "c ... -> c (...)"}, (MAP,)),
    ("rearrange", {"pattern": "... c -> (...) c"}, (MAP,)),
    ("rearrange", {"pattern": "c h w -> w c h"}, (MAP,)),
    ("rearrange", {"pattern": "(a c) h w -> (h w a) c", "axes": (("a", 2),)}, (MAP,)),
    ("rearrange", {"pattern": "c (h a) w -> (c a) h w", "axes": (("a", 3), ("h", 3))}, (MAP,)),
    ("rearrange", {"pattern": "c 1 w -> c w"}, ((6, 1, 7),)),
    ("rearrange", {"pattern": "c w -> 1 c 1 w ()"}, (LINE,)),
    ("rearrange", {"pattern": "c -> c 1"}, (VECTOR,)),
    ("rearrange", {"pattern": "c ... -> c (...)"}, (VECTOR,)),
    ("rearrange", {"pattern": "c h w -> c h w"}, (MAP,)),
    ("reshape", {"sizes": (6, 63)}, (MAP,)),
    ("reshape", {"sizes": (54, 7)}, (MAP,)),
    ("reshape", {"sizes": (2, 3, 9, 7)}, (MAP,)),
    ("reshape", {"sizes": (9, 6, 7)}, (MAP,)),
    ("reshape", {"sizes": (378,)}, (MAP,)),
    ("reshape", {"sizes": MAP}, (MAP,)),
    ("crop", {"size": (4, 4)}, (MAP,)),
    ("crop", {"size": (4, 4), "offset": 2}, (MAP,)),
    ("crop", {"size": 3, "offset": (2,)}, (LINE,)),
    ("crop", {"size": (5, 2, 2), "offset": (0, 1, 5)}, (CUBE,)),
    ("zeropad", {"sides": 2}, (MAP,)),
    ("zeropad", {"sides": (1, 0, 2, 3)}, (MAP,)),
    ("zeropad", {"sides": (0, 1)}, (LINE,)),
    ("resize", {"size": (5, 20)}, (MAP,)),
    ("resize", {"size": (5, 20), "mode": "bilinear"}, (MAP,)),
    ("resize", {"size": (18, 1), "mode": "bilinear", "align_corners": True}, (MAP,)),
    ("resize", {"size": 22, "mode": "bilinear"}, (LINE,)),
    ("resize", {"size": (10, 3, 14), "mode": "bilinear"}, (CUBE,)),
    ("upsample", {}, (MAP,)),
    ("upsample", {"factor": 3, "mode": "bilinear"}, (MAP,)),
    ("upsample", {"factor": (1, 2), "mode": "bilinear", "align_corners": True}, (MAP,)),
    ("upsample", {"factor": (1, 2, 2)}, (CUBE,)),
]  # fmt: skip


def made(name: str, arguments: dict[str, object], *shapes: Shape) -> Op:
    """The operation as elaboration makes it."""
    rank = len(shapes[0]) - 1 if shapes else 0
    return bind(OPS[name], dict(arguments), rank).resolved(*shapes)


def identifier(case: Case) -> str:
    """How a case is shown in a test's name."""
    name, arguments, shapes = case
    return f"{name}-{arguments}-{shapes}".replace(" ", "")
