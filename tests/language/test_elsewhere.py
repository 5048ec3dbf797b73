"""What a message proposes for an unknown step is the same thing under another name."""

from __future__ import annotations

import pytest

from cnndsl.diagnostics import spelling
from cnndsl.language.elsewhere import ADVICE, ARGUMENTS, OTHERS, STEPS, argument_help, step_help
from cnndsl.language.names import operations
from cnndsl.network import loads
from cnndsl.ops.base import OPS
from tests.language.short import fault


@pytest.mark.parametrize("step", STEPS)
def test_proposed_step_is_one(step: str) -> None:
    inside = f"a: image -> relu\n b: image -> sigmoid\n c: image -> {step}"
    loads(f"model M: image[32, H=8, W=8] -> a {{ {inside} }}")


def test_every_name_has_one_meaning_and_is_as_names_are_compared() -> None:
    names = " ".join([*STEPS.values(), *ADVICE.values(), OTHERS]).split()
    assert sorted(set(names)) == sorted(names)
    assert all(name == name.lower().replace("_", "") for name in names)
    assert not {*OTHERS.split()} & {*operations()}


def test_arguments_are_those_of_operations() -> None:
    known = {parameter.name for cls in OPS.values() for parameter in cls.parameters}
    assert {*ARGUMENTS} <= known | {"norm", "act"}


@pytest.mark.parametrize(
    "name",
    [
        *("prelu", "selu", "celu", "rrelu", "crelu", "relu7", "gmp", "max", "min", "mean"),
        *(
            "grid_sample",
            "dropout2d",
            "softmin",
            "max_unpool2d",
            "conv5",
            "dconv",
        ),
        *("hardtanh", "relu1", "sub", "softplus", "softsign", "swiglu", "lppool"),
        *("rmsnorm", "gmn", "op", "x", "RoIPool", "stack", "unfold", "tan", "l1norm", "silo"),
    ],
)
def test_another_network_is_never_proposed(name: str) -> None:
    assert not step_help(name, operations()).startswith("did you mean")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        *(("ReLU", "relu"), ("hard_swish", "hardswish"), ("max_pool", "maxpool")),
        *(("covn", "conv"), ("rleu", "relu"), ("sigmod", "sigmoid"), ("gpa", "gap")),
        *(("upsampel", "upsample"), ("rearange", "rearrange"), ("linaer", "linear")),
        *(
            ("convv", "conv"),
            ("flaten", "flatten"),
            ("dropuot", "dropout"),
            ("DWConv", "dwconv"),
        ),
    ],
)
def test_slip_is_recognised(name: str, meant: str) -> None:
    assert spelling(name, operations()) == f"did you mean `{meant}`?"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        *(("swish", "`silu`"), ("BatchNorm2d", "`bn`"), ("fc", "`linear(10)`")),
        *(
            ("Conv2d", "`conv(64, 3x3)`"),
            ("Dense", "`linear(10)`"),
            ("adaptiveMaxPool2d", "`gmp`"),
        ),
        *(("PixelShuffle", "`pixel_shuffle`"), ("InstanceNorm3d", "`instance_norm`")),
        *(
            ("bottleneck", "(Bottleneck)`"),
            ("ConvTranspose2d", "deconv"),
        ),
    ],
)
def test_names_of_the_field_are_known(name: str, said: str) -> None:
    assert said in step_help(name, operations())


def test_argument_of_another_library_is_translated() -> None:
    assert argument_help("kernel_size", ["out", "kernel", "stride"]) == "write `kernel`"
    assert argument_help("strid", ["out", "kernel", "stride"]) == "did you mean `stride`?"
    assert argument_help("padding_mode", ["out", "pad", "pad_mode"]) == "write `pad_mode`"


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ("conv[8, 3]", "arguments go in parentheses: `conv(…)`"),
        ("image.c", "it is a number, which a step takes in its parentheses"),
        ("none", "leave the step out; as an argument it is `none`"),
    ],
)
def test_what_is_no_step_is_told_what_is(step: str, said: str) -> None:
    assert fault(f"y: image -> {step}" if step == "none" else f"y: {step}").help == said


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ("resize(4, mode=4)", "nearest, bilinear or bicubic"),
        ("conv(4, 3, bias=3)", "true, false or auto"),
        ("clamp(none, true)", "a number or none"),
    ],
)
def test_what_an_attribute_may_be_is_listed_as_one_would(step: str, said: str) -> None:
    assert fault(f"y: {step}").message.endswith(f"but must be {said}")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("y: image[1:3]", "write `slice(1, 3)`"),
        ("y: image[:, 0]", "write `slice(1, 3)`"),
        ("y: conv(8, 3x3)(image)", "by an arrow"),
        ("return conv(8, 3x3)", "a label that the head names"),
        ("y: self.conv1(image)", "a label names its line"),
        ('y: conv(8, 3x3, pad="same")', "write it without quotes: `pad=same`"),
        ("y: conv(8, 3x3, batch_normalize=1)", "write `norm=bn`"),
        ("y: conv_bn_relu(16, 3)", "write `conv(64, 3x3, norm=bn, act=relu)`"),
        ("y: add { image, image }", "separated by `;`"),
        ("y: relu, sigmoid", "joined by `->`"),
        ("y: { relu } x 3", "`step * 3`"),
        ("y: conv(8, 3x3) x3", "`step * 3`"),
        ("y: 3 * relu", "after its step"),
        ("// a comment\ny: relu", "begins with `#`"),
        ("y: mean(0, keepdim=true)", "write `keep`"),
        ("y: spectral_norm", "write the plain `conv`"),
    ],
)
def test_what_other_languages_write_gets_its_spelling_here(body: str, said: str) -> None:
    assert said in fault(body).help
