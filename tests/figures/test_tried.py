"""How much is tried for a picture: what cannot be better is left out."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import pytest

from cnndsl.figures.blocks import arranged
from cnndsl.figures.layout import nook, panel, spaces
from cnndsl.figures.layout.cards import LEVELS, Way
from cnndsl.figures.layout.packing import Hole, _growing, columns
from cnndsl.figures.layout.stowing import freed
from cnndsl.figures.paint import Area, Part
from tests.figures.geometry import PAGE, network


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> list[Way]:
    """The ways in which main pictures are laid out from here on."""
    found: list[Way] = []

    def noted(plan: Any, scene: Any, frame: Any, way: Way) -> Any:
        found.append(way)
        return panel.laid_out(plan, scene, frame, way)

    monkeypatch.setattr("cnndsl.figures.layout.page.laid_out", noted)
    return found


def test_what_is_far_too_large_is_tried_with_half_the_room_and_with_the_least(
    ways: list[Way],
) -> None:
    arranged(network("retinanet_resnet50_fpn"), widest=PAGE[0], tallest=PAGE[1])
    assert LEVELS // 2 in {way.narrow for way in ways}
    assert {1, 2}.isdisjoint(way.narrow for way in ways)


def test_a_way_down_that_does_not_step_is_laid_out_once(ways: list[Way]) -> None:
    arranged(network("retinanet_resnet50_fpn"))
    steps = Counter(way.narrow for way in ways if way.step is not None)
    plans = Counter(way.narrow for way in ways if way == Way(way.narrow, drawn=False))
    assert steps
    assert all(count <= plans[narrow] for narrow, count in steps.items())


def test_no_holes_are_looked_for_where_nothing_may_stand(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def never(*_: object) -> list[Hole]:
        pytest.fail("there are no insets")

    monkeypatch.setattr(spaces, "_holes", never)
    assert not arranged(network("unet")).insets


def test_columns_are_tried_once_for_each_arrangement() -> None:
    chosen = Random(0)
    for count in range(1, 9):
        insets = [(chosen.uniform(20, 90), chosen.uniform(20, 90)) for _ in range(count)]
        heights = [60 + 5.0 * step for step in range(150)]
        every = [columns(insets, height) for height in heights]
        assert [*_growing(insets, heights)] == [*dict.fromkeys(every)]


def test_no_free_rectangle_is_within_another() -> None:
    chosen, free = Random(0), [Hole(0, 0, 400, 400)]
    for _ in range(40):
        x, y = chosen.uniform(0, 380), chosen.uniform(0, 380)
        free = freed(free, Hole(x, y, chosen.uniform(5, 60), chosen.uniform(5, 60)))
    assert len(free) > 20
    assert not any(one.within(two) for one in free for two in free if one is not two)


def test_a_name_has_no_place_in_a_picture_of_very_many_parts() -> None:
    page, words = Hole(0, 0, 400, 400), ["one"]
    some: list[Part] = [Area(10 * n, 0, 4, 4, "conv", 0) for n in range(5)]
    assert nook.within(some, page, "M", words)
    assert not nook.within(some * nook.MANY, page, "M", words)
