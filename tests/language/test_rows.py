"""Mistakes that shapes and totals accept: rows of boxes in different orders."""

from __future__ import annotations

import pytest

from cnndsl.diagnostics import ArchError
from cnndsl.network import loads

HEAD = """
block Head(A: int, K: int): x[C, H, W] -> (cls[A * H * W, K], reg[A * H * W, 4]) {{
  cls: x -> conv(A * K, 3x3) -> rearrange("{cls}", a=A)
  reg: x -> conv(A * 4, 3x3) -> rearrange("{reg}", a=A)
}}
"""
DETECTOR = """
model Detector: image[3, H=32, W=32] -> (cls[N, 5], reg[N, 4], anchors[N, 4], boxes[9, 4]) {{
  p[0]: image -> conv(8, 3x3, stride=2)
  p[1]: image -> conv(8, 3x3, stride=4)
  head: Head(3, 5) each {{ p[*] }}
  for i in 0..2 {{
    grid[i]: p[i] -> anchor_grid([H // p[i].h, W // p[i].w], sizes=[8], ratios=[0.5, 1, 2])
  }}
  cls: concat {{ {cls} }}
  reg: concat {{ {reg} }}
  anchors: concat {{ {anchors} }}
  box: decode {{ {deltas}; anchors }}
  boxes, scores, labels, valid: nms(9) {{ box; {scores} }}
}}
"""
RIGHT = {
    "cls": "head[*].cls",
    "reg": "head[*].reg",
    "anchors": "grid[*]",
    "deltas": "reg",
    "scores": "cls",
}
ORDERS = {"cls": "(a k) h w -> (h w a) k", "reg": "(a d) h w -> (h w a) d"}


def detector(**changes: str) -> str:
    orders = {name: changes.pop(f"{name}_order", order) for name, order in ORDERS.items()}
    return HEAD.format(**orders) + DETECTOR.format(**{**RIGHT, **changes})


def faults(text: str) -> list[str]:
    with pytest.raises(ArchError) as error:
        loads(text)
    assert {d.code for d in error.value.diagnostics} == {"E406"}
    return [f"{d.message}: {d.note}" for d in error.value.diagnostics]


def test_rows_in_one_order_are_accepted() -> None:
    assert loads(detector()).dimensions["N"] == 3 * (16 * 16 + 8 * 8)


def test_all_rows_in_another_order_are_accepted_without_anchors() -> None:
    orders = {"cls": "(a k) h w -> (a h w) k", "reg": "(a d) h w -> (a h w) d"}
    text = HEAD.format(**orders) + (
        "model M: x[8, H=4, W=4] -> (boxes[9, 4]) {\n  head: Head(3, 5)\n"
        "  boxes, scores, labels, valid: nms(9) { head.reg; head.cls }\n}"
    )
    assert loads(text).outputs["boxes"].shape == (9, 4)


def test_anchors_before_places_are_found() -> None:
    for order in ("(a k) h w -> (a h w) k", "(a k) h w -> (w h a) k"):
        found = faults(detector(cls_order=order))
        assert any("`nms` pairs rows" in message for message in found)
        assert any("`cls` and `reg` share `N`" in message for message in found)
    found = faults(detector(reg_order="(a d) h w -> (a h w) d"))
    decode = next(message for message in found if "`decode`" in message)
    assert "(3 h=16 w=16) in part 1 of 2 of input 1, (h=16 w=16 3) of input 2" in decode


def test_reversed_levels_are_found() -> None:
    for changed in ({"anchors": "grid[1]; grid[0]"}, {"reg": "head[1].reg; head[0].reg"}):
        found = faults(detector(**changed))
        assert any("`decode` pairs rows" in message for message in found)
    found = faults(detector(cls="head[1].cls; head[0].cls"))
    parts = "(h=16 w=16 3) in part 1 of 2 of input 1, (h=8 w=8 3) of input 2"
    assert any("`nms` pairs rows" in message and parts in message for message in found)


def test_scores_of_another_selection_are_found() -> None:
    found = faults("""
model M: x[8, H=4, W=4] -> boxes[9, 4] {
  a: x -> anchor_grid([4, 4], wh=[[4, 4]])
  s: x -> conv(5, 1x1) -> rearrange("k h w -> (h w) k")
  one: topk(6) { a; s }
  two: topk(6) { a; s -> sigmoid }
  best: nms(9) { concat { one.boxes; two.boxes }; concat { two.scores; one.scores } }
  boxes: best.boxes
}
""")
    assert found == [
        "`nms` pairs rows that run in different orders: (one.topk=6) in part 1 of 2 of"
        " input 1, (two.topk=6) of input 2"
    ]


def test_products_of_rows_are_checked_and_maps_are_not() -> None:
    text = """
model M: x[8, H=4, W=4] -> y {{
  a: x -> anchor_grid([4, 4], wh=[[4, 4], [8, 8]])
  p: x -> conv(8, 1x1) -> rearrange("(a d) h w -> ({0}) d", a=2)
  q: x -> conv(8, 1x1) -> rearrange("(a d) h w -> (h w a) d", a=2)
  z: mul {{ x; x -> conv(8, 3x3) }}
  y: {1} {{ p; q }}
}}
"""
    for join in ("add", "mul", "concat(axis=1)"):
        (found,) = faults(text.format("a h w", join))
        assert "(2 h=4 w=4) of input 1, (h=4 w=4 2) of input 2" in found
        loads(text.format("h w a", join))


def test_what_a_user_gives_agrees_with_any_rows() -> None:
    loads("""
model M: (x[8, H=4, W=4], deltas[R=32, 4]) -> y[R, 4] {
  a: x -> anchor_grid([4, 4], wh=[[4, 4], [8, 8]])
  y: decode { deltas; a }
}
""")
