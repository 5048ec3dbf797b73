"""Points change each thing that a model can be told, as far as it goes."""

from __future__ import annotations

from typing import Any

from cnndsl import zoo
from cnndsl.analysis.points import points
from cnndsl.language import pick, read
from cnndsl.language.modules import Loader


def points_of(text: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    definition = pick(Loader().text(text, "<text>"))
    return [(point.arguments, point.inputs) for point in points(definition)]


def test_each_parameter_is_changed_alone_and_each_size() -> None:
    found = points_of("""
model M(c: int = 8, rate: float = 0.5, width: float = 1.0): image[3, H=32, W=48] -> y {
  y: conv(round8(c * width), 3x3) -> dropout(rate)
}""")
    assert found == [
        ({}, {}),
        ({"c": 1017}, {}),
        ({"rate": 0.46}, {}),
        ({"width": 97.3}, {}),
        ({}, {"image": (3, 96, 176)}),
        ({}, {"image": (3, 39, 62)}),
    ]


def test_what_opens_a_branch_is_changed_with_everything_else() -> None:
    found = points_of(
        """
model M(c: int = 8, deep: bool = false, kind: "a" | "b" = "a"): image[C, H=32, W=48] -> y {
  y: conv(c, 3x3) -> { conv(c, 3x3) when deep } -> { relu when kind == "b" }
}""".replace("[C,", "[C=3,")
    )
    arguments = [point for point, _ in found]
    assert {"deep": True, "c": 1017} in arguments
    assert {"deep": True, "kind": "b"} in arguments
    assert {"kind": "b", "c": 1017} in arguments
    assert ({"deep": True}, {"image": (5, 32, 48)}) in found


def test_a_count_of_layers_is_changed_by_as_many_as_are_worth_it() -> None:
    found = points_of("""
model M(n: int = 3): image[3, H=32, W=48] -> y { y: conv(8, 3x3) * n }""")
    assert found[1] == ({"n": 11}, {})


def test_what_a_file_expects_is_a_point() -> None:
    found = points_of("""
@expect(n=2, H=64, params=1_000)
model M(n: int = 3): image[3, H=32, W=48] -> y { y: conv(8, 3x3) * n }""")
    assert found[1] == ({"n": 2}, {"image": (3, 64, 48)})


def test_every_shipped_model_has_a_point_besides_its_defaults() -> None:
    for name in zoo()[::6]:
        for definition in read(name).models.values():
            assert sum(1 for _ in zip(points(definition), range(2), strict=False)) == 2
