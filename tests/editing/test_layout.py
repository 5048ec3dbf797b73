"""`cnndsl fmt`: nothing is lost, nothing is left to do, and the zoo is laid out."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnndsl.diagnostics import ArchError
from cnndsl.editing.layout import layout
from cnndsl.editing.tokens import keywords, operators, tokens
from cnndsl.files import zoo

FILES = sorted(zoo().rglob("*.arch"))
TEXTS = [path.read_text(encoding="utf-8") for path in FILES]


def words(text: str) -> list[str]:
    """Every word and comment; where lines end, but not how often."""
    found: list[str] = []
    for token in tokens(text):
        if token.kind == "newline":
            found += ["\n"] if found and found[-1] != "\n" else []
        elif token.kind != "space":
            found.append(token.text.rstrip() if token.kind == "comment" else token.text)
    return found[:-1] if found and found[-1] == "\n" else found


def respaced(text: str, dice: random.Random) -> str:
    """The same program with spaces, empty lines and comments by chance."""
    out: list[str] = []
    for token in tokens(text):
        if token.kind == "space":
            begins = not out or out[-1].endswith("\n")
            out.append(" " * dice.choice((1, 1, 1, 2, 3, 5, 0 if begins else 1)))
            if dice.random() < 0.05:
                out[-1] += "\t"
        elif token.kind == "newline":
            if dice.random() < 0.1 and not (out and out[-1].startswith("#")):
                out.append(" " * dice.randrange(4) + "# × 🎉 " + "x" * dice.randrange(9) + "  ")
            out.append("\n" + " " * dice.choice((0, 0, 0, 2, 4, 7)))
            if dice.random() < 0.1:
                out.append("\n" + " " * dice.randrange(30) + "# alone\n")
            elif dice.random() < 0.1:
                out.append("\n" * dice.randrange(4))
        else:
            out.append(token.text)
            if token.kind == "operator" and dice.random() < 0.05:
                out.append(" " * dice.randrange(3))
    return "".join(out)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_zoo_is_laid_out(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert layout(text) == text, f"cnndsl fmt {path}"


def test_a_file_is_laid_out_in_milliseconds() -> None:
    start = time.process_time()
    for text in TEXTS:
        layout(text)
    # 2 ms on two busy cores; held with room to spare.
    assert (time.process_time() - start) / len(TEXTS) < 0.015


@pytest.mark.parametrize("text", TEXTS, ids=[path.stem for path in FILES])
def test_spaces_by_chance_lose_nothing_and_leave_nothing_to_do(text: str) -> None:
    for seed in range(5):
        given = respaced(text, random.Random(seed))
        laid = layout(given)
        assert words(laid) == words(given)
        assert layout(laid) == laid


@pytest.mark.slow
def test_two_thousand_programs_lose_nothing_and_leave_nothing_to_do() -> None:
    for seed in range(2000):
        dice = random.Random(seed)
        given = respaced(dice.choice(TEXTS), dice)
        laid = layout(given)
        assert words(laid) == words(given), seed
        assert layout(laid) == laid, seed


SIGNS = [sign for sign in operators() if sign not in "()[]{}"]
WORD = st.sampled_from(
    [*sorted(keywords()), *SIGNS, "conv", "x", "128", "3x3", '"a"', '"""doc\n  of two"""', "2%"]
)
PIECE = st.recursive(
    WORD
    | st.sampled_from(["\n", "\n\n", "  ", "     ", "\t", "# so\n", "# ×🎉\n", "|", "for |"]),
    lambda inner: st.sampled_from(["()", "[]", "{}"]).flatmap(
        lambda pair: st.lists(inner, max_size=6).map(lambda i: pair[0] + " ".join(i) + pair[1])
    ),
    max_leaves=40,
)


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECE, max_size=12).map(" ".join))
def test_any_words_lose_nothing_and_leave_nothing_to_do(text: str) -> None:
    laid = layout(text)
    assert words(laid) == words(text)
    assert layout(laid) == laid


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_laid_out_or_refused(text: str) -> None:
    try:
        laid = layout(text)
    except ArchError:
        return
    assert layout(laid) == laid


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
def test_the_tokens_of_a_text_are_the_text(text: str) -> None:
    assert "".join(token.text for token in tokens(text)) == text


def test_spaces_are_those_of_the_language() -> None:
    given = (
        'use "lib/resnet.arch"(Bottleneck as B)\n'
        "default conv , dwconv( norm = bn )\n"
        "block Unit( c:int=64,f :op= bn(eps = 1e-3) ):x[C,* S]->y[ C, *S ]{\n"
        "a,b :split(2 , axis= - 1)when c%2==0 and not(c>2)\n"
        "else x[0 ]: {conv( c*2,3x3 )->relu}*(c-1)\n"
        "y:concat{a;in . c; x[*]}\n"
        "for i in 0 .. n-1{z[i]:conv(*S,1x1 then 2)}\n"
        "}\n"
    )
    assert layout(given) == (
        'use "lib/resnet.arch" (Bottleneck as B)\n'
        "default conv, dwconv(norm=bn)\n"
        "block Unit(c: int = 64, f: op = bn(eps=1e-3)): x[C, *S] -> y[C, *S] {\n"
        "  a, b: split(2, axis=-1) when c % 2 == 0 and not (c > 2)\n"
        "  else x[0]: { conv(c * 2, 3x3) -> relu } * (c - 1)\n"
        "  y: concat { a; in.c; x[*] }\n"
        "  for i in 0..n - 1 { z[i]: conv(*S, 1x1 then 2) }\n"
        "}\n"
    )


def test_numbers_stand_right_and_words_left() -> None:
    given = (
        "for | act | c|k |\n| relu | 16 | 3x3|\n|-|128|1x1 | # wide\n"
        "# alone\n|silu|8|3x3|# narrow\n{ conv(c, k) }\n"
    )
    assert layout(given) == (
        "for | act  |   c |  k  |\n"
        "    | relu |  16 | 3x3 |\n"
        "    |  -   | 128 | 1x1 |  # wide\n"
        "    # alone\n"
        "    | silu |   8 | 3x3 |  # narrow\n"
        "{ conv(c, k) }\n"
    )


def test_what_neighbours_align_stays_aligned() -> None:
    given = "model M {\n theta: x      -> conv(8)\n phi:   seen   -> conv( 16)\n}\n"
    assert layout(given) == (
        "model M {\n  theta: x    -> conv(8)\n  phi:   seen -> conv(16)\n}\n"
    )
    alone = "model M {\n theta: x      -> conv(8)\n}\n"
    assert layout(alone) == "model M {\n  theta: x -> conv(8)\n}\n"


def test_comments_stand_below_one_another() -> None:
    given = (
        "a: conv(8) # one\n"
        "longer: conv(128) # two\n"
        "                  # goes on\n"
        "b: x\n"
        "c: y # far\n"
    )
    assert layout(given) == (
        "a: conv(8)         # one\n"
        "longer: conv(128)  # two\n"
        "                   # goes on\n"
        "b: x\n"
        "c: y  # far\n"
    )


def test_a_line_that_goes_on_stands_further_in() -> None:
    given = (
        "model M(a: int = 1):\nimage[3]\n-> y {\nx: conv(8)\n-> relu\n"
        "let s = [1,\n2] +\n[3]\n@expect(\na=1,\nb=2\n)\ny: add {\nx\n{ conv(1)\nrelu }\n}\n}\n"
    )
    assert layout(given) == (
        "model M(a: int = 1):\n"
        "    image[3]\n"
        "    -> y {\n"
        "  x: conv(8)\n"
        "    -> relu\n"
        "  let s = [1,\n"
        "           2] +\n"
        "    [3]\n"
        "  @expect(\n"
        "    a=1,\n"
        "    b=2\n"
        "  )\n"
        "  y: add {\n"
        "    x\n"
        "    { conv(1)\n"
        "      relu }\n"
        "  }\n"
        "}\n"
    )


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_ends_stay(end: str, mark: str) -> None:
    given = mark + end.join(["block A {", '  """a', '  b"""', "conv( 8 )", "}"])
    expected = mark + end.join(["block A {", '  """a', '  b"""', "  conv(8)", "}", ""])
    assert layout(given) == expected


@pytest.mark.parametrize("text", ["block A { conv(8 }", "block A {", "}", "a: $b", "a: 'b'"])
def test_a_text_without_a_layout_is_refused(text: str) -> None:
    with pytest.raises(ArchError):
        layout(text)
