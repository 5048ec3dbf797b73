"""Many faults in one run, each once, and nothing that only follows from another."""

from __future__ import annotations

from cnndsl.language.budget import MAX_FAULTS
from tests.language.short import faults, model


def test_independent_faults_are_all_told_in_the_order_of_the_text() -> None:
    body = "a: covn(8, 3x3)\nb: image -> conv(8, 3x3, strde=2)\nc: image -> conv(8, 9, pad=0)"
    assert [f.code for f in faults(model(f"{body}\ny: image"))] == ["E202", "E301", "E401"]


def test_what_depends_on_a_faulty_line_stays_silent() -> None:
    body = "a: covn(8, 3x3)\nb: a -> conv(4, 1x1)\nc: conv(b.c, 1x1)\nd: add { a; b }\ny: d"
    assert len(faults(model(body))) == 1


def test_what_depends_on_a_faulty_value_stays_silent() -> None:
    body = "let n = widht\nlet m = n + 1\na: conv(m, 3x3)\ny: a -> relu * m"
    assert len(faults(model(body))) == 1


def test_the_fault_of_a_block_is_told_once_however_often_it_is_called() -> None:
    above = "block B(c: int) {\n  covn(c, 1x1)\n}"
    assert (
        len(faults(model("a: B(4)\nb: image -> B(5)\ny: image -> B(6) * 3", above=above))) == 1
    )


def test_faults_in_the_iterations_of_a_table_are_told_once() -> None:
    body = (
        "x: for | c | k |\n | 8 | 3 |\n | 8 | 3 |\n { image -> conv(c, k, strde=2) }\ny: image"
    )
    assert len(faults(model(body))) == 1


def test_every_file_s_and_every_declaration_s_syntax_is_told() -> None:
    text = "block A { relu relu }\nblock B { ( }\nlet = 3\n" + model("y: relu ->")
    assert [f.span.line for f in faults(text) if f.span] == [1, 2, 3, 7]


def test_a_used_file_s_fault_does_not_hide_the_next_one() -> None:
    text = 'use "no_such.arch"\nuse "neither.arch"\n' + model("y: relu")
    assert [f.code for f in faults(text)] == ["E207", "E207"]


def test_thousands_of_faults_end() -> None:
    body = "\n".join(f"a{i}: image -> covn{i}(3)" for i in range(3000)) + "\ny: image"
    assert len(faults(model(body))) == MAX_FAULTS


def test_a_fault_in_a_block_shows_the_calls_that_led_to_it() -> None:
    above = (
        "block Inner(c: int) {\n  conv(c, 3x3, groups=2)\n}\nblock Outer {\n  x: Inner(4)\n}"
    )
    (found,) = faults(model("y: Outer * 2", above=above))
    assert [entry.split(" ")[0] for entry in found.stack] == ["y.Outer.0", "x.Inner"]
    assert found.span is not None
    assert found.span.text == "groups=2"


def test_the_second_place_that_matters_is_shown() -> None:
    (found,) = faults(model("a: conv(6, 3x3)\ny: conv(8, 3x3, groups=4)"))
    assert [(span.text, note) for span, note in found.related] == [
        ("conv(6, 3x3)", "[6, 8, 8] comes from here")
    ]
