"""Each rule that an operation states is held, and says what is wrong."""

from __future__ import annotations

import pytest

from cnndsl.diagnostics import OpError
from cnndsl.ops.base import Auto, Shape
from tests.ops.cases import made

MAP = (6, 8, 8)

RULES: list[tuple[str, dict[str, object], tuple[Shape, ...], str, str | int | None]] = [
    (
        "conv",
        {"out": 8, "kernel": 3, "groups": 4},
        (MAP,),
        "4 does not divide 6 input",
        "groups",
    ),
    ("conv", {"out": 8, "kernel": 3, "groups": 3}, (MAP,), "3 does not divide 8 out", "groups"),
    ("conv", {"out": 8, "kernel": 3, "groups": 0}, (MAP,), "groups=0", "groups"),
    ("conv", {"out": 0, "kernel": 3}, (MAP,), "0 output channels", "out"),
    ("conv", {"out": 8, "kernel": 9, "pad": 0}, (MAP,), "9 does not fit in a", "kernel"),
    ("conv", {"out": 8, "kernel": 2}, (MAP,), "pad=same needs an odd kernel", "pad"),
    ("conv", {"out": 8, "kernel": 0}, (MAP,), "a size of 2 positive", "kernel"),
    ("conv", {"out": 8, "kernel": (3, 3, 3)}, (MAP,), "a size of 2 positive", "kernel"),
    ("conv", {"out": 8, "kernel": 3, "pad": -1}, (MAP,), "`pad` is -1", "pad"),
    ("conv", {"out": 8, "kernel": 3}, ((6,),), "needs 1 or 2 or 3 spatial axes", 0),
    ("dwconv", {"kernel": 3, "multiplier": 0}, (MAP,), "multiplier=0", "multiplier"),
    ("dwconv", {"kernel": 4}, (MAP,), "odd kernel", "pad"),
    ("deconv", {"out": 8, "kernel": 2, "groups": 4}, (MAP,), "groups=4", "groups"),
    ("deconv", {"out": 8, "kernel": 1, "pad": 4}, (MAP,), "leaves nothing", "pad"),
    ("deconv", {"out": 8, "kernel": 2, "output_pad": 1}, (MAP,), "output_pad=1", "output_pad"),
    (
        "deconv",
        {"out": 8, "kernel": 2, "output_pad": (0, 1, 0, 1)},
        (MAP,),
        "one",
        "output_pad",
    ),
    ("deconv", {"out": 8, "kernel": 2}, ((6,),), "spatial axes", 0),
    ("linear", {"out": 0}, ((6,),), "0 output features", "out"),
    ("maxpool", {"kernel": 9}, (MAP,), "does not fit", "kernel"),
    ("maxpool", {"kernel": 2, "pad": 2}, (MAP,), "more than half", "pad"),
    ("maxpool", {"kernel": 2}, ((6,),), "spatial axes", 0),
    ("avgpool", {"kernel": 3, "pad": 2}, (MAP,), "more than half", "pad"),
    ("avgpool", {"kernel": 2, "pad": Auto.SAME}, (MAP,), "odd kernel", "pad"),
    ("gap", {}, ((6,),), "spatial axes", 0),
    ("bn", {}, ((1, 1, 1, 1, 1),), "spatial axes", 0),
    ("gn", {"groups": 4}, (MAP,), "groups=4 does not divide 6", "groups"),
    ("gn", {"groups": 0}, (MAP,), "groups=0", "groups"),
    ("lrn", {"n": 0}, (MAP,), "n=0", "n"),
    ("lrn", {}, ((6,),), "spatial axes", 0),
    ("l2norm", {"axis": 3}, (MAP,), "axis 3", "axis"),
    (
        "scale",
        {"per": "pixel"},
        (MAP,),
        '`per` is "pixel", but must be channel or tensor',
        "per",
    ),
    ("softmax", {"axis": -1}, (MAP,), "axis -1", "axis"),
    ("softmax", {}, (MAP,), "`softmax` needs `axis`", None),
    ("dropout", {"p": 1.5}, (MAP,), "p=1.5", "p"),
    ("droppath", {"p": 1.0}, (MAP,), "p=1.0", "p"),
    ("relu", {"slope": 1}, (MAP,), "no parameter `slope`", "slope"),
    ("add", {}, (MAP, (7, 8, 8)), r"cannot add \[7, 8, 8\] to \[6, 8, 8\]", 1),
    ("add", {}, (MAP, MAP, (6, 1, 1)), "cannot add", 2),
    ("mul", {}, (MAP,), "a constant and one tensor, or two", "by"),
    ("mul", {"by": 2.0}, (MAP, MAP), "a constant and one tensor, or two", "by"),
    ("mul", {}, (MAP, (6, 4, 8)), "cannot multiply", 1),
    ("mul", {}, (MAP, (8,)), "cannot multiply", 1),
    ("mul", {}, (MAP, (6, 8)), "cannot multiply", 1),
    ("concat", {}, (MAP, (6, 4, 8)), "cannot concatenate", 1),
    ("concat", {}, (MAP, MAP, (6,)), "cannot concatenate", 2),
    ("concat", {"axis": 3}, (MAP, MAP), "axis 3", "axis"),
    ("split", {"sections": 4}, (MAP,), "6 cannot be split into 4", "sections"),
    ("split", {"sections": 0}, (MAP,), "into 0", "sections"),
    ("split", {"sections": (4, 1)}, (MAP,), "sum to 5, not 6", "sections"),
    ("split", {"sections": (7, -1)}, (MAP,), "sum to 6, not 6", "sections"),
    ("split", {"sections": 2, "axis": 5}, (MAP,), "axis 5", "axis"),
    ("einsum", {"pattern": "c h w"}, (MAP,), "one `->`", "pattern"),
    ("einsum", {"pattern": "c h -> c"}, (MAP,), "names 2 axes", 0),
    ("einsum", {"pattern": "chw -> chw"}, (MAP,), "names 1 axes", 0),
    ("einsum", {"pattern": "c h w -> k"}, (MAP,), "`k` appears only on the right", "pattern"),
    ("einsum", {"pattern": "c h w -> c c"}, (MAP,), "twice", "pattern"),
    ("einsum", {"pattern": "c ... -> c"}, (MAP,), "is not a valid axis name", "pattern"),
    ("einsum", {"pattern": "c h w, c -> h"}, (MAP,), "2 operands, and the step 1", "pattern"),
    ("einsum", {"pattern": "c h c -> h"}, (MAP,), "`c` is 6 and 8", 0),
    ("rearrange", {"pattern": "c h w"}, (MAP,), "one `->`", "pattern"),
    ("rearrange", {"pattern": "c h -> h c"}, (MAP,), "has 2 axes, but the input", "pattern"),
    ("rearrange", {"pattern": "a b c d ... -> d ..."}, (MAP,), "on both sides", "pattern"),
    ("rearrange", {"pattern": "a b c d ... -> a b c d ..."}, (MAP,), "has 4 axes", "pattern"),
    ("rearrange", {"pattern": "c h w -> c (h w"}, (MAP,), "parentheses", "pattern"),
    ("rearrange", {"pattern": "c h w -> c ((h w))"}, (MAP,), "parentheses", "pattern"),
    ("rearrange", {"pattern": "c h w -> c h) w"}, (MAP,), "parentheses", "pattern"),
    ("rearrange", {"pattern": "c c w -> c w"}, (MAP,), "twice", "pattern"),
    ("rearrange", {"pattern": "c h w -> c h + w"}, (MAP,), r"`\+` is not a valid", "pattern"),
    (
        "rearrange",
        {"pattern": "c (...) -> c ..."},
        (MAP,),
        "in parentheses on the left",
        "pattern",
    ),
    (
        "rearrange",
        {"pattern": "(a b) h w -> a b h w"},
        (MAP,),
        "`a` and `b` are unknown",
        "pattern",
    ),
    (
        "rearrange",
        {"pattern": "1 h w -> h w"},
        (MAP,),
        "`1` stands for an axis of 6",
        "pattern",
    ),
    ("rearrange", {"pattern": "(a c) h w -> c a h w", "axes": (("a", 4),)}, (MAP,), "a=4", "a"),
    ("rearrange", {"pattern": "(a c) h w -> c a h w", "axes": (("a", 0),)}, (MAP,), "a=0", "a"),
    ("rearrange", {"pattern": "c h w -> h c w", "axes": (("k", 4),)}, (MAP,), "not in", "k"),
    ("reshape", {"sizes": (6, 8)}, (MAP,), "has 384 elements, and", "sizes"),
    ("reshape", {"sizes": (-1, 8)}, (MAP,), "not a valid shape", "sizes"),
    ("input", {"sizes": (3, 0)}, (), "not a valid shape", "sizes"),
    ("crop", {"size": 9}, (MAP,), r"cannot crop \[6, 8, 8\] to \[9, 9\]", "size"),
    ("crop", {"size": 4, "offset": 5}, (MAP,), "4 from 5 on is not within 8", "offset"),
    ("crop", {"size": 4, "offset": -1}, (MAP,), "4 from -1 on", "offset"),
    ("crop", {"size": 4, "offset": (1, 1, 1)}, (MAP,), "3 offsets for 2", "offset"),
    ("zeropad", {"sides": Auto.SAME}, (MAP,), "no kernel", "sides"),
    ("zeropad", {"sides": 1}, ((6,),), "spatial axes", 0),
    ("resize", {"size": 4, "align_corners": True}, (MAP,), "no meaning", "align_corners"),
    ("resize", {"size": 0}, (MAP,), "`size` is 0", "size"),
    ("upsample", {"align_corners": True}, (MAP,), "no meaning", "align_corners"),
    ("upsample", {"mode": "cubic"}, (MAP,), "must be nearest or bilinear", "mode"),
]


@pytest.mark.parametrize(("name", "arguments", "shapes", "message", "place"), RULES)
def test_a_broken_rule_names_the_values_and_the_place(
    name: str,
    arguments: dict[str, object],
    shapes: tuple[Shape, ...],
    message: str,
    place: str | int | None,
) -> None:
    with pytest.raises(OpError, match=message) as caught:
        made(name, arguments, *shapes).shapes(*shapes)
    assert place in (None, caught.value.attribute, caught.value.operand)


REFUSED_BY_TORCH = [
    ("deconv", {"out": 4, "kernel": 3, "pad": (0, 1, 0, 1)}, "pad"),
    ("maxpool", {"kernel": 2, "pad": (0, 1, 0, 1), "ceil": True}, "ceil"),
    ("avgpool", {"kernel": 2, "pad": (0, 1, 0, 1), "count_include_pad": False}, "count"),
]


@pytest.mark.parametrize(("name", "arguments", "place"), REFUSED_BY_TORCH)
def test_what_torch_cannot_say_is_an_error_of_the_backend(
    name: str, arguments: dict[str, object], place: str
) -> None:
    op = made(name, arguments, MAP)
    assert op.shape(MAP)
    with pytest.raises(OpError, match="PyTorch") as caught:
        op.torch(MAP)
    assert caught.value.code == "E601"
    assert str(caught.value.attribute).startswith(place)
