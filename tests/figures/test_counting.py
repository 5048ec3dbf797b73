"""The table of a block's variants: the conditions, what is there, and how many blocks."""

from __future__ import annotations

import pytest

from cnndsl.figures.blocks import arranged
from cnndsl.figures.counting import MOST, counted
from cnndsl.figures.layout.page import page
from cnndsl.figures.layout.picture import picture
from cnndsl.figures.paint import Text, leaves
from cnndsl.figures.plan import plan
from cnndsl.figures.values import Table
from cnndsl.files import shipped
from cnndsl.network import loads
from tests.figures.geometry import network, paged, planned

ZOO = sorted(shipped())


def tables(text: str) -> list[Table | None]:
    found = loads(text)
    return [counted(found, frame) for frame in plan(found, folding=True).frames]


def test_variants_of_a_block_are_counted_under_it() -> None:
    for found in (arranged(network("mobilenetv2")), paged("mobilenetv2")):
        (panel,) = found.insets
        assert panel.counts is not None
        assert panel.counts.header == ("", "1×1, t·c′", "skip", "blocks")
        assert panel.counts.rows == (
            ("t = 1", "–", "–", "1"),
            ("else s ≠ 1 or c′ ≠ c", "yes", "–", "6"),
            ("s = 1 and c′ = c", "yes", "yes", "10"),
        )
        words = [part.text for part in leaves(picture(found).parts) if isinstance(part, Text)]
        assert all(cell in words for row in panel.counts.rows for cell in row)


@pytest.mark.parametrize("name", ZOO)
def test_the_variants_are_all_calls_and_no_two_rows_are_one(name: str) -> None:
    found = network(name)
    for frame in plan(found, folding=True).frames:
        table = counted(found, frame)
        if table is None:
            continue
        assert 1 < len(table.rows) <= MOST
        assert sum(int(row[-1]) for row in table.rows) == len(frame.calls)
        assert len({row[1:-1] for row in table.rows}) == len(table.rows)
        assert len({row[0] for row in table.rows}) == len(table.rows)
        # A layer with a condition is in as many calls as the rows say that have it.
        assert frame.scene is not None
        for box in frame.scene.boxes():
            if not box.condition:
                continue
            place = frame.nodes[0].index(box.nodes[0])
            there = sum(bool(nodes[place]) for nodes in frame.nodes)
            said = [
                sum(int(row[-1]) for row in table.rows if row[n] == "yes")
                for n in range(1, len(table.header) - 1)
            ]
            assert there in said


@pytest.mark.parametrize("name", ["mobilenetv2", "hrnet_w18", "resnet50", "stacked_hourglass"])
def test_a_table_of_variants_makes_no_page_higher(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = page(planned(name))
    assert any(panel.counts for panel in found.insets) == (name != "resnet50")
    monkeypatch.setattr("cnndsl.figures.layout.page.counted", lambda *_: None)
    without = page(planned(name))
    assert not any(panel.counts for panel in without.insets)
    assert found.height <= without.height
    assert found.over <= without.over


BLOCK = """
block B(c: int, n: int = 1, flag: bool = false) {
  add {
    { conv(c, 1x1) -> conv(c, 3x3)
      conv(c, 5x5) when n > 2 or flag }
    skip when in.c == c
    else conv(c, 1x1)
  }
}
model M: x[8, H=32, W=32] -> y {
  a: B(8) -> B(16) -> B(16, 3)
  b: B(8, flag=true) -> B(8, 4)
  y: conv(1, 1x1)
}
"""


def test_a_condition_is_turned_around_for_what_is_not_there() -> None:
    (table,) = tables(BLOCK)
    assert table is not None
    assert table.header == ("", "5×5, c", "1×1, c", "blocks")
    assert table.rows == (
        ("n ≤ 2 and not flag and c′ = c", "–", "–", "1"),
        ("else n ≤ 2 and not flag", "–", "yes", "1"),
        ("else c′ = c", "yes", "–", "2"),
        ("(n > 2 or flag) and c′ ≠ c", "yes", "yes", "1"),
    )


def test_a_block_without_variants_has_no_such_table() -> None:
    plain = BLOCK.replace("skip when in.c == c\n    else ", "").replace(
        " when n > 2 or flag", ""
    )
    assert tables(plain) == [None]


def test_what_flags_alone_say_is_in_the_table_of_values() -> None:
    flags = BLOCK.replace("skip when in.c == c\n    else ", "").replace("n > 2 or flag", "flag")
    assert tables(flags) == [None]
    found = arranged(network("yolov5s"))
    assert not any(panel.counts for panel in found.insets)
