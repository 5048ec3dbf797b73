"""The table under an opened block: its rows, its columns, and what its cells mean."""

from __future__ import annotations

import pytest

from cnndsl.figures import plan
from cnndsl.figures.scene import Plan
from cnndsl.figures.text import label_text
from cnndsl.figures.values import Table, values
from cnndsl.network import loads
from tests.figures.geometry import network
from tests.figures.test_said import ZOO


def tables(planned: Plan) -> dict[str, Table]:
    found = {frame.title: values(planned, frame) for frame in planned.frames}
    return {name: table for name, table in found.items() if table}


def table(lines: str, block: str = "block B(c: int, s: int = 1)") -> Table:
    body = "{ conv(c, 3x3, stride=s) -> relu -> conv(c, 1x1) }"
    source = f"{block} {body}\nmodel M: x[4, H=64, W=64] -> y {{\n{lines}\ny: gap\n}}"
    return tables(plan(loads(source), folding=True))["B"]


@pytest.mark.parametrize("name", ZOO)
def test_each_row_and_each_column_has_its_own_name(name: str) -> None:
    for closed in (False, True):
        for found in tables(plan(network(name), closed=closed)).values():
            names = [row[0] for row in found.rows if row[0]]
            assert len({*names}) == len(names)
            assert len({*found.header}) == len(found.header)
            first, last = found.parameters
            for n in range(1, last):
                assert len({row[n] for row in found.rows}) > 1, found.header[n]
            assert first <= last < len(found.header)


@pytest.mark.parametrize(
    ("lines", "names"),
    [
        (
            "a:\nfor | c | n |\n | 8 | 2 |\n | 9 | 3 |\n{ unit: for _ in 0..n { B(c) } }",
            ["a[0]", "a[1]"],
        ),
        (
            "a:\nfor | c |\n | 8 |\n | 9 |\n{ u: for i in 0..2 { B(c) when i < 1 or c > 8 } }",
            ["a[0]", "a[1]"],
        ),
        (
            "a:\nfor | c |\n | 8 |\n | 9 |\n{ u: B(c) -> B(c)\n conv(4, 1x1) }",
            ["a[0].u", "a[1].u"],
        ),
        ("a: { B(8) * 2; B(9) * 2 }", ["a c 8", "a c 9"]),
        ("a: B(8)\nb: { B(9) -> conv(9, 1x1) } * 3 -> B(9)", ["a", "b[0–2]", "b"]),
    ],
)
def test_a_row_is_named_by_what_tells_it_apart(lines: str, names: list[str]) -> None:
    assert [row[0] for row in table(lines).rows] == names


def test_a_box_has_the_name_of_its_row() -> None:
    planned = plan(network("convnext_tiny"))
    labels = {label_text(box.labels) for box in planned.main.boxes() if box.frame}
    assert labels == {f"stages[{n}]" for n in range(4)}
    assert {row[0] for row in tables(planned)["ConvNeXtBlock"].rows} == labels
    labels = {label_text(box.labels) for box in planned.main.boxes() if not box.frame}
    assert {f"stages[{n}].down" for n in range(1, 4)} < labels
    planned = plan(network("vovnet39"))
    labels = {label_text(box.labels) for box in planned.main.boxes() if box.frame}
    assert {row[0] for row in tables(planned)["OSA"].rows} == labels
    assert labels > {"stages[2].osa[0]", "stages[2].osa[1]", "stages[3].osa[1]"}


def test_a_parameter_may_be_called_as_a_column_is() -> None:
    block = "block B(n: int, out: int, params: int, MACs: int)"
    body = "conv(n, 3x3) -> conv(out, 1x1) -> conv(params, 1x1) -> conv(MACs, 1x1)"
    source = (
        f"{block} {{ {body} }}\n"
        "model M: x[4, H=8, W=8] -> y {\na: B(1, 2, 3, 4) * 2\nb: B(5, 6, 7, 8)\ny: gap\n}"
    )
    (found,) = tables(plan(loads(source), folding=True)).values()
    assert found.header == (
        *("", "×", "n", "out", "params", "MACs"),
        *("size", "parameters", "multiply-adds"),
    )


def test_what_is_the_same_in_each_row_is_said_once() -> None:
    found = table("a: B(8, s=2) -> B(8)\nb: B(9, s=2) -> B(9)")
    assert found.header == ("", "c", "out", "params", "MACs")
    assert found.notes == ("each row: 2 blocks · s 2, 1",)
    found = table("a: B(8, s=2) -> B(8) * 2\nb: B(9, s=2) -> B(9) * 2")
    assert found.notes == ("each row: 3 blocks · s 2, 1, of the first, and of the others",)
    found = table("a: B(8, s=2) -> B(8)\nb: B(9, s=2) -> B(9) * 2")
    assert found.notes == ("each row: s 2, 1, of the first, and of the others",)
    scaled = "block B(k: int) { maxpool(k) -> avgpool(k) }"
    source = f"{scaled}\nmodel M: x[4, H=64, W=64] -> y {{\na: B(2)\nb: B(4)\ny: gap\n}}"
    (found,) = tables(plan(loads(source), folding=True)).values()
    assert found.header == ("", "k", "out")


def test_cells_of_several_values_say_what_each_is_of() -> None:
    found = table("a: B(8, s=2) -> B(8) * 2\nb: B(9)\nd: B(5) -> B(6) -> B(5) -> B(6)")
    assert found.notes == ("5/6: in turn; 2, 1: of the first, and of the others",)
    cells = {cell for row in found.rows for cell in row}
    assert {"2, 1", "5/6"} <= cells
