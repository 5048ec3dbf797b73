"""The generated page of the networks is up to date."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cnndsl import gallery
from tests.conftest import Golden

ROOT = gallery.zoo().parent
FIGURES = ROOT / "docs" / "figures"
FEW = ("scale/resnet50.svg", "diff/resnet18_resnet34.svg", "zoo/unet.svg", "fpn_resnet50.svg")


def test_the_page_is_what_the_files_give(golden: Golden) -> None:
    golden("../archs/README.md", gallery.page())


def test_every_figure_is_there_and_no_other() -> None:
    shipped = {path.relative_to(FIGURES).as_posix() for path in FIGURES.rglob("*.svg")}
    assert shipped == set(gallery.figures())


def test_a_figure_that_a_page_shows_is_there() -> None:
    for page in (
        ROOT / "README.md",
        ROOT / "docs" / "figures.md",
        ROOT / "archs" / "README.md",
    ):
        for path in re.findall(r"!\[[^]]*\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / path).exists(), (page, path)


def words(path: Path) -> list[str]:
    """What is written in a figure, wherever it stands."""
    return sorted(re.findall(r">([^<]+)</(?:text|desc|metadata)>", path.read_text("utf-8")))


@pytest.mark.parametrize(
    "name",
    [n if n in FEW else pytest.param(n, marks=pytest.mark.slow) for n in gallery.figures()],
)
def test_a_figure_says_what_is_said_now(name: str, tmp_path: Path) -> None:
    gallery.figures()[name](tmp_path / "x.svg")
    assert words(tmp_path / "x.svg") == words(FIGURES / name)
