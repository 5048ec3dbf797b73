"""Values: numbers as papers print them, sizes, lists, words, arithmetic, functions."""

from __future__ import annotations

import pytest

from cnndsl.diagnostics import ArchError
from cnndsl.language.build import read_number
from cnndsl.network import loads
from tests.language.short import attribute, fault, faults, model, net, ops, shape


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1_000", 1000),
        ("300M", 300_000_000),
        ("3.5M", 3_500_000),
        ("159Ki", 159 * 1024),
        ("1.5Gi", 3 * 2**29),
        ("2%", 0.02),
        ("12.5%", 0.125),
        ("1e-3", 0.001),
        ("0.1", 0.1),
        ("007", 7),
    ],
)
def test_numbers_as_they_are_printed(text: str, value: float) -> None:
    assert read_number(text) == value
    assert type(read_number(text)) is type(value)


def evaluated(expression: str) -> object:
    """An expression's value, over the sizes C = 3, H = 8, W = 6."""
    text = f"model M(v: float = {expression}): image[C, H, W] -> y {{\n  y: relu\n}}"
    return loads(text, inputs={"image": (3, 8, 6)}).arguments["v"]


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("7 // 2", 3),
        ("-7 // 2", -4),
        ("7 / 2", 3.5),
        ("7 % 4", 3),
        ("8%H", 0),
        ("8 % C", 2),
        ("2 ** 3 ** 2", 512),
        ("-2 ** 2", -4),
        ("2 ** -1", 0.5),
        ("H if H > W else W", 8),
        ("1 if C == 3 and not H < 2 else 0", 1),
        ("1 if C == 4 or W == 6 else 0", 1),
        ("min(H, W)", 6),
        ("max([1, 5, 2])", 5),
        ("round8(32 * 1.4)", 48),
        ("round8(11)", 16),
        ("floor(2.7) + ceil(2.1)", 5),
        ("sqrt(16)", 4.0),
        ("abs(3 - H)", 5),
        ("round(2.6)", 3),
        ("len([1, 2, 3])", 3),
        ("50%", 0.5),
        ("50% if H == 8 else 1", 0.5),
        ("1 if 1 == 100% or H == 1 else 2", 1),
    ],
)
def test_arithmetic(expression: str, value: float) -> None:
    assert evaluated(expression) == value


def test_a_percentage_ends_a_line_and_stands_before_a_keyword() -> None:
    text = """let p = 20%
model M(r: float = 10%
): image[3, H=8, W=8] -> y { let s = 30%
  a: dropout(10% then p) * 2
  y: dropout(s
    ) when r == 10%
  else y: relu }"""
    drops = [node.op.p for node in loads(text) if node.op.name == "dropout"]
    assert drops == [0.1, 0.2, 0.3]


def test_lists_are_indexed_by_name_and_joined_with_plus() -> None:
    network = net("let a = [4, 5] + [6]\ny: conv(a[2], 3x3)")
    assert shape(network) == (6, 8, 8)


@pytest.mark.parametrize(
    ("size", "kernel"),
    [("3", (3, 3)), ("3x3", (3, 3)), ("1x7", (1, 7)), ("[1, k]", (1, 5)), ("k", (5, 5))],
)
def test_sizes(size: str, kernel: tuple[int, ...]) -> None:
    network = net(f"let k = 5\ny: conv(4, {size})")
    assert attribute(network, "y.conv", "kernel") == kernel


def test_a_bare_size_is_a_cube_of_the_input_s_rank() -> None:
    assert attribute(net("y: conv(4, 3)", "x[3, 8] -> y"), "y.conv", "kernel") == (3,)
    network = net("y: conv(4, 3)", "x[3, 8, 8, 8] -> y")
    assert attribute(network, "y.conv", "kernel") == (3, 3, 3)


def test_the_bare_words_are_few() -> None:
    assert attribute(net("y: conv(4, 3, pad=valid)"), "y.conv", "pad") == ((0, 0), (0, 0))
    assert ops(net("y: conv(4, 3, act=none)")) == ["conv"]
    assert fault("y: conv(4, 3, pad=full)").code == "E303"


def test_an_axis_of_a_tensor_is_a_value() -> None:
    body = "a: conv(4, 3x3, stride=2)\ny: conv(a.c + a.h + a.w + a.size[0] + a.shape[0], 1x1)"
    assert shape(net(body)) == (4 + 4 + 4 + 4 + 4, 4, 4)


def test_depth_is_the_third_axis_from_the_last() -> None:
    assert shape(net("y: conv(x.d, 1)", "x[3, 5, 8, 8] -> y"))[0] == 5
    assert fault("y: conv(image.d, 1)").code == "E205"


def test_reading_a_tensor_as_a_value_is_an_error() -> None:
    assert fault("y: conv(image, 1)").code == "E204"


class TestParameters:
    """Types, enumerations, operations and blocks as arguments."""

    def test_an_operation_is_an_argument(self) -> None:
        above = "block B(f: op = relu) {\n  conv(4, 3x3) -> f\n}"
        assert ops(net("y: B", above=above)) == ["conv", "relu"]
        assert ops(net("y: B(silu)", above=above)) == ["conv", "silu"]

    def test_none_as_a_step_is_the_identity(self) -> None:
        above = "block B(f: op = relu) {\n  conv(4, 3x3) -> f\n}"
        assert ops(net("y: B(none)", above=above)) == ["conv"]

    def test_a_partial_call_keeps_its_arguments(self) -> None:
        above = "block B(n: op) {\n  conv(4, 3x3, norm=n)\n}"
        network = net("y: B(bn(eps=1e-3))", above=above)
        assert attribute(network, "y.B.norm", "eps") == 1e-3

    def test_a_block_is_an_argument(self) -> None:
        above = "block Inner(c: int) {\n  conv(c, 1x1)\n}\nblock B(f: op) {\n  f(5)\n}"
        assert shape(net("y: B(Inner)", above=above)) == (5, 8, 8)

    def test_an_enumeration_takes_one_of_its_words(self) -> None:
        above = 'block B(kind: "a" | "b" = "a") {\n  relu when kind == "a"\n  else silu\n}'
        assert ops(net('y: B("b")', above=above)) == ["silu"]
        assert faults(model('y: B("c")', above=above))[0].code == "E303"

    @pytest.mark.parametrize(
        ("kind", "good", "bad"),
        [
            ("int", "3", "3.5"),
            ("int", "3", "true"),
            ("float", "3.5", '"a"'),
            ("bool", "true", "1"),
            ("str", '"a"', "1"),
            ("size", "3x3", '"a"'),
            ("pad", "same", '"a"'),
            ("op", "relu", "3"),
            ("list", "[1]", "1"),
            ("list[int]", "[1, 2]", "[1, 0.5]"),
            ("list[str]", '["a"]', "[1]"),
        ],
    )
    def test_types_are_checked(self, kind: str, good: str, bad: str) -> None:
        above = f"block B(v: {kind}) {{\n  relu\n}}"
        assert ops(net(f"y: B({good})", above=above)) == ["relu"]
        assert faults(model(f"y: B({bad})", above=above))[0].code == "E303"

    def test_a_model_s_parameter_is_set_from_text(self) -> None:
        text = 'model M(f: op = relu, k: "a" | "b" = "a", s: str = "x"): x[3] -> y {\n  y: f\n}'
        network = loads(text, parameters={"f": "silu", "k": "b", "s": "any text"})
        assert ops(network) == ["silu"]
        assert (network.arguments["k"], network.arguments["s"]) == ("b", "any text")

    def test_an_empty_cell_is_false_for_a_bool_and_none_for_an_op(self) -> None:
        above = "block B(c: int, f: op, d: bool) {\n  conv(c, 1x1, act=f)\n  relu when d\n}"
        table = "for | c | f | d |\n | 4 | - | - |\n | 5 | tanh | true |"
        network = net(f"x: {table}\n {{ B(c, f, d) }}\ny: silu", above=above)
        assert ops(network) == ["conv", "conv", "tanh", "relu", "silu"]


class TestConventions:
    """What the operations' arguments mean when they are not written."""

    def test_same_is_dilation_times_half_the_kernel(self) -> None:
        assert shape(net("y: conv(4, 3x3, dilation=2)")) == (4, 8, 8)

    def test_same_with_an_even_kernel_is_an_error(self) -> None:
        assert fault("y: conv(4, 2x2)").code == "E304"

    def test_a_bias_exactly_when_no_norm_follows(self) -> None:
        assert attribute(net("y: conv(4, 3x3)"), "y.conv", "bias") is True
        assert attribute(net("y: conv(4, 3x3, norm=bn)"), "y.conv", "bias") is False
        assert attribute(net("y: conv(4, 3x3, norm=bn, bias=true)"), "y.conv", "bias") is True

    def test_padding_by_sides_is_left_right_top_bottom(self) -> None:
        network = net("y: conv(4, 2x2, pad=[0, 1, 0, 0])")
        assert shape(network) == (4, 7, 8)

    def test_pools_default_to_no_padding_and_floor(self) -> None:
        assert shape(net("y: maxpool(3x3, stride=2)")) == (3, 3, 3)
        assert shape(net("y: maxpool(3x3, stride=2, ceil=true)")) == (3, 4, 4)

    def test_gap_gives_a_vector_or_keeps_the_axes(self) -> None:
        assert shape(net("y: gap")) == (3,)
        assert shape(net("y: gap(keep=true)")) == (3, 1, 1)

    def test_a_vector_is_one_number_for_each_channel_and_nothing_is_flattened(self) -> None:
        assert shape(net("y: add { image; gap }")) == (3, 8, 8)
        assert shape(net("y: mul { image; gap }")) == (3, 8, 8)
        assert fault("y: add { image; flatten }").code == "E401"
        assert fault("y: add { image; gap -> linear(2) }").code == "E401"

    def test_a_list_spreads_into_arguments(self) -> None:
        text = "x[C, *S] -> y"
        above = f"block B: {text} {{\n  y: x -> reshape(C // 2, 2, *S)\n}}"
        network = net("y: B", "image[4, 8, 8] -> y", above)
        assert shape(network) == (2, 2, 8, 8)

    def test_a_list_is_said_as_a_list_and_a_size_as_a_size(self) -> None:
        text = """
block B(ws: list[int], k: size) { l: for w in ws { conv(w, k) } }
model M(ws: list[int] = [4, 6], k: size = 1x3): image[3, H=8, W=8] -> y { y: B(ws, k) }"""
        network = loads(text)
        assert (
            "ws: Sequence[int] = (4, 6), k: tuple[int, int] = (1, 3)" in network.torch_source()
        )
        assert "B(ws=[4, 6], k=1x3)" in str(network.summary())
        assert "M ws=[5, 7, 9] k=1x3" in str(loads(text, None, {"ws": [5, 7, 9]}).summary())

    def test_a_word_from_outside_needs_no_quotes_and_is_one_of_the_words(self) -> None:
        text = """
model M(kind: "v1" | "v2" = "v1"): image[3, H=8, W=8] -> y {
  y: conv(4, 1 if kind == "v1" else 3)
}"""
        for said in ("v2", '"v2"'):
            assert loads(text, None, {"kind": said}).arguments == {"kind": "v2"}
        with pytest.raises(ArchError, match='`kind` is "v3", but must be "v1" or "v2"'):
            loads(text, None, {"kind": "v3"})
