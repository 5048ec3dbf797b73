"""How edges are led around boxes."""

from __future__ import annotations

import pytest

from cnndsl.figures.layout import route
from cnndsl.figures.layout.route import DOWN, Port, Router, Wanted

SIDE = 12
BOXES = [
    (x, y, x + SIDE, y + SIDE) for x in range(0, 60 * 50, 60) for y in range(0, 60 * 50, 60)
]


def test_an_end_that_is_shut_in_is_given_up_before_all_places_are_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    left, top, right, _ = BOXES[-1]
    tail = Port(BOXES[0][0] + SIDE / 2, BOXES[0][3], DOWN)
    head = Port((left + right) / 2, top, DOWN)
    words = [(left - 40, top - 30, right + 40, top - 16)]
    words += [(left - 40, top - 30, left - 1, top + 30), (right + 1, top - 30, right + 40, top)]
    router = Router(BOXES, [tail, head], words=words)
    steps = 0
    step = route._Prices.step

    def counted(self: route._Prices, place: int, there: int, way: int) -> float | None:
        nonlocal steps
        steps += 1
        return step(self, place, there, way)

    monkeypatch.setattr(route._Prices, "step", counted)
    assert router._way(Wanted(("a", "b"), (tail,), (head,)), free=False) is None
    assert route.PATIENCE < steps < len(router.closed)
