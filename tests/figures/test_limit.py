"""A figure that nobody could read is refused with a sentence."""

from __future__ import annotations

import sys

import pytest

import cnndsl
from cnndsl.diagnostics import ArchError
from cnndsl.figures import Options, diff_picture, picture


@pytest.mark.parametrize("style", ["blocks", "scale"])
def test_a_figure_of_too_many_boxes_is_refused(
    style: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = cnndsl.load("resnet18")
    picture(network, options=Options(style))
    monkeypatch.setattr(sys.modules["cnndsl.figures.plan"], "MOST", 10)
    with pytest.raises(ArchError, match="the limit is 10"):
        picture(network, options=Options(style, detail="full"))
    with pytest.raises(ArchError, match="the limit is 10"):
        diff_picture(network, network)
