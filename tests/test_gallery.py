"""The generated page of the networks is up to date."""

from __future__ import annotations

from cnndsl import gallery
from tests.conftest import Golden


def test_the_page_is_what_the_files_give(golden: Golden) -> None:
    golden("../archs/README.md", gallery.page())


def test_every_network_has_its_figure() -> None:
    folder = gallery.zoo().parent / "docs" / "figures" / "zoo"
    assert sorted(path.stem for path in folder.glob("*.svg")) == gallery.names()
