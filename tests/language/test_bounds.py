"""Elaboration is total and bounded, and no text of any kind shows more than a sentence."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from cnndsl.diagnostics import ArchError
from cnndsl.language import pick
from cnndsl.language.elaborate import elaborate
from cnndsl.language.modules import Loader
from cnndsl.network import load, loads
from tests.language.short import fault, faults, model, net, ops

TERMINALS = re.compile(
    r"\b(?:LPAR|RPAR|LSQB|RSQB|LBRACE|RBRACE|VBAR|LONGSTRING|ANON)\b|\b_NL\b"
)


def told(text: str | bytes) -> str:
    """What the author is told; empty where nothing is wrong."""
    try:
        loads(text.decode("latin-1") if isinstance(text, bytes) else text)
    except ArchError as error:
        found = error.diagnostics
    else:
        return ""
    shown = "\n".join(map(str, found))
    assert found
    assert all(d.message.strip() for d in found)
    assert "Traceback" not in shown
    assert not TERMINALS.search(shown)
    return shown


@pytest.fixture(autouse=True)
def _quick() -> object:
    start = time.perf_counter()
    yield
    assert time.perf_counter() - start < 20, "a diagnostic, not a hang"


HUGE = {
    "repeat": "y: conv(8, 1x1) * 100_000_000",
    "repeat of a value": "let n = 10 ** 12\ny: conv(8, 1x1) * n",
    "empty repeat": "y: { } * 100_000_000",
    "repeat of what is off": "y: { relu when false } * 100_000_000",
    "nested repeats": "y: " + "{ " * 9 + "relu" + " * 10 }" * 9 + " * 10",
    "for": "y: for i in 0..90_000 { for j in 0..90_000 { relu } }",
    "in a join": "y: concat { for i in 0..90_000 { relu * 100 } }",
}


@pytest.mark.parametrize("body", HUGE.values(), ids=HUGE.keys())
def test_more_than_a_million_nodes_are_refused_at_once(body: str) -> None:
    start = time.perf_counter()
    assert fault(body).code == "E309"
    assert time.perf_counter() - start < 2


def test_doubling_blocks_are_refused_at_once() -> None:
    above = "".join(f"block B{i} {{ B{i + 1} -> B{i + 1} }}\n" for i in range(60))
    above += "block B60 { relu }\n"
    assert faults(model("y: B0", above=above))[0].code == "E309"


def test_the_bounds_are_arguments() -> None:
    scope = Loader().text(model("y: relu * 10"), "text")
    with pytest.raises(ArchError) as caught:
        elaborate(pick(scope), max_nodes=5)
    assert caught.value.diagnostics[0].code == "E309"
    assert len(elaborate(pick(scope), max_nodes=50).graph) == 11


def test_a_network_of_ten_thousand_layers_is_none_too_many() -> None:
    assert len(net("y: relu * 10_000").graph) == 10_001


def test_a_block_within_itself_that_does_not_end_is_an_error() -> None:
    assert faults(model("y: A", above="block A { B }\nblock B { A }"))[0].code == "E217"
    above = "block A(f: op) { f(f) }"
    assert faults(model("y: A(A)", above=above))[0].code == "E217"
    above = "block A(c: int) { conv(c, 1x1) -> A(c + 1) }"
    (fault,) = faults(model("y: A(8)", above=above))
    assert fault.code == "E217"
    assert "200 levels" in fault.message


def test_a_block_within_itself_ends_by_a_condition() -> None:
    above = "block A(n: int) { relu; A(n - 1) when n > 1 }"
    assert len(net("y: A(20)", above=above).graph) == 21
    above = "block A(xs: list[int]) { relu; A([xs[len(xs) - 1]]) when len(xs) > 1 }"
    assert len(net("y: A([1, 2, 3, 4, 5, 6, 7, 8, 9])", above=above).graph) == 3


@pytest.mark.parametrize("count", [190, 300, 5000])
def test_nested_blocks(count: int) -> None:
    above = "".join(f"block B{i} {{ B{i + 1} }}\n" for i in range(count))
    text = model("y: B0", above=f"{above}block B{count} {{ relu }}\n")
    assert ("E309" in told(text)) == (count > 200)


def test_blocks_and_braces_together() -> None:
    inner = "{ " * 50 + "B" + " }" * 50
    above = "".join(f"block B{i} {{ {inner.replace('B', f'B{i + 1}')} }}\n" for i in range(20))
    assert "E309" in told(model("y: B0", above=f"{above}block B20 {{ relu }}"))


@pytest.mark.parametrize(("left", "right"), ["{}", "()", "[]"])
def test_five_thousand_brackets(left: str, right: str) -> None:
    step = "y: {}" if left == "{" else "y: conv({}, 3)"
    said = told(model(step.replace("{}", f"{left * 5000}1{right * 5000}")))
    assert "E104" in said
    assert ("name the inner parts" in said) == (left != "{")
    assert told(left * 5000)
    assert told(right * 5000)


LONG = {
    "minus": "y: conv(" + "-" * 100_000 + "8, 3)",
    "not": "y: relu when " + "not " * 100_000 + "true",
    "sum": "y: conv(" + "+".join(["1"] * 100_000) + ", 3)",
    "sum of sizes": "y: conv(" + "+".join(["H"] * 100_000) + ", 3)",
    "powers": "y: conv(" + "**".join(["1"] * 100_000) + ", 3)",
    "choices": "y: conv(" + "1 if false else " * 50_000 + "2, 3)",
    "members": "y: image" + ".a" * 50_000,
}


@pytest.mark.parametrize("body", LONG.values(), ids=LONG.keys())
def test_endless_expressions(body: str) -> None:
    assert fault(body).code == "E104"


def test_a_sum_of_hundreds_of_terms_is_fine() -> None:
    assert ops(net("y: conv(" + " + ".join(["H"] * 800) + ", 3x3)")) == ["conv"]


def test_formulas_that_would_explode() -> None:
    product = " * ".join(["(H + W - 15)"] * 60)
    assert fault(f"y: conv({product}, 3x3)").code == "E305"
    lets = "let a0 = H + W - 15\n" + "".join(f"let a{i + 1} = a{i} * a{i}\n" for i in range(40))
    assert fault(f"{lets}y: conv(a40, 3x3)").code == "E305"


def test_lists_that_would_explode() -> None:
    lets = "let a0 = [1, 2]\n" + "".join(f"let a{i + 1} = [a{i}, a{i}]\n" for i in range(60))
    assert fault(f"{lets}y: conv(a60, 3x3)").code == "E308"


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment", '"""only a doc string"""'])
def test_a_file_without_a_model(text: str) -> None:
    assert "declares no model" in told(text)


def test_binary_junk() -> None:
    assert told(bytes(range(256)))
    assert told(b"\x00" * 1000)
    assert told(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 50)
    assert told("\ud800\udfff")


def test_bytes_that_are_no_text_name_the_first_of_them(tmp_path: Path) -> None:
    path = tmp_path / "x.arch"
    path.write_bytes(b"model \xff\xfe")
    with pytest.raises(ArchError, match="byte 7 is not UTF-8"):
        load(path)


BIG = {
    "comment": "#" * 10_000_000,
    "words": "x " * 1_000_000,
    "digits": "1" * 1_000_000,
    "name": "a" * 1_000_000,
    "string": '"' + "a" * 1_000_000,
    "doc string": '"""' + "a" * 1_000_000,
    "models": "model\n" * 200_000,
    "metas": "@\n" * 200_000,
    "size": "3x" * 200_000,
    "lines": "\n#" * 200_000,
}


@pytest.mark.parametrize("text", BIG.values(), ids=BIG.keys())
def test_big_files(text: str) -> None:
    start = time.perf_counter()
    shown = told(text)
    assert shown
    assert len(shown) < 20_000
    assert time.perf_counter() - start < 5


def test_line_ends_a_mark_and_tabs_mean_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.arch"
    text = "\ufeff" + model("\ty:\trelu # done\n").replace("\n", "\r\n")
    path.write_bytes(text.encode())
    assert ops(load(path)) == ["relu"]
    assert ops(loads(text.replace("\r\n", "\r"))) == ["relu"]


def test_the_caret_stands_below_its_character_with_tabs_and_wide_letters() -> None:
    found = fault("\tgröße:\tcovn(8, 3x3)\n\ty: relu")
    lines = str(found).split("\n")
    source, marks = lines[3], lines[4]
    assert source[marks.index("^") :].startswith("covn")
    assert marks.count("^") == len("covn")


def test_a_control_character_never_reaches_the_terminal() -> None:
    shown = told('use "\x1b[31mred\x07"')
    assert shown
    assert not any(ord(c) < 32 and c not in "\n\t" for c in shown)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("y: conv(0, 3x3)", "E401"),
        ("y: conv(-1, 3x3)", "E401"),
        ("y: conv(8, 0)", "E303"),
        ("y: conv(8, -3)", "E303"),
        ("y: conv(8, 3, stride=0)", "E303"),
        ("y: conv(8, 3, pad=-1)", "E303"),
        ("y: conv(8, 99, pad=0)", "E401"),
        ("y: maxpool(99)", "E401"),
        ("y: conv(99999999999999999, 3)", "E403"),
        ("y: conv(8 // 0, 3)", "E305"),
        ("y: conv(8 % (H - 8), 3)", "E305"),
        ("y: conv(8 / 0, 3)", "E305"),
        ("y: conv(0 ** -1, 3)", "E305"),
        ("y: conv(2 ** 10_000, 3)", "E305"),
        ("y: mul((-8) ** 0.5)", "E305"),
        ("y: mul(10 ** 300 * 1.0)", "E305"),
        ("y: mul(sqrt(-1))", "E305"),
        ("y: crop([0, 0])", "E303"),
        ("y: relu * (0 - 1)", "E307"),
        ("y: relu * 1.5", "E306"),
        ("x[0 - 1]: relu\ny: relu", "E216"),
        ("y: reshape(0)", "E401"),
    ],
)
def test_impossible_numbers(body: str, code: str) -> None:
    assert fault(body).code == code


@pytest.mark.parametrize("size", ["0", "-3", "10 ** 30", "0.5", '"a"', "relu"])
def test_impossible_inputs(size: str) -> None:
    assert "error[E" in told(f"model M: image[3, H={size}] -> y {{ y: relu }}")
    assert "error[E" in told(f"model M: image[{size}, 8] -> y {{ y: relu }}")
