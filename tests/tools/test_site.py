"""The documentation's site: built, its links followed, its figures there."""

from __future__ import annotations

import base64
import json
import re
import zlib
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parents[2]
OUTSIDE = ("http", "https", "mailto", "data")


class Page(HTMLParser):
    """What a page leads to, what it loads, and its anchors."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            if name == "id" or (tag == "a" and name == "name"):
                self.anchors.append(value or "")
            elif value and name == "href" and tag == "a":
                self.links.append(value)
            elif value and name in ("src", "href"):
                self.loaded.append(value)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("material", reason="the site is built by mkdocs-material")
    from tools.site.__main__ import build

    folder = tmp_path_factory.mktemp("site")
    playground = folder / "playground"
    playground.mkdir()
    (playground / "index.html").write_text("<!doctype html><title>playground</title>\n")
    build(folder / "built", playground)
    return folder / "built"


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    found = sorted(site.rglob("*.html"))
    return {path: Page(path.read_text(encoding="utf-8")) for path in found}


def test_every_link_leads_somewhere(site: Path, pages: dict[Path, Page]) -> None:
    followed = 0
    for path, page in pages.items():
        for link in (*page.links, *page.loaded):
            parts = urlsplit(link)
            if parts.scheme in OUTSIDE:
                continue
            base = site if path.name == "404.html" else path.parent
            target = base / unquote(parts.path).lstrip("/") if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            assert target.is_file(), f"{path.relative_to(site)}: {link}"
            own = target.suffix == ".html" and "playground" not in target.parts
            if own and parts.fragment:
                assert parts.fragment in pages[target.resolve()].anchors, f"{path}: {link}"
            followed += 1
    assert followed > 500


def test_nothing_is_loaded_from_elsewhere(site: Path, pages: dict[Path, Page]) -> None:
    for path, page in pages.items():
        outside = [link for link in page.loaded if urlsplit(link).netloc]
        assert not outside, path
    assert "@import" not in (site / "assets" / "site.css").read_text()


def test_anchors_are_one_thing_s(pages: dict[Path, Page]) -> None:
    for path, page in pages.items():
        assert len(page.anchors) == len(set(page.anchors)), path


def test_whole_networks_have_figures_that_open_the_playground(site: Path) -> None:
    page = (site / "docs" / "language" / "index.html").read_text(encoding="utf-8")
    text = (ROOT / "docs" / "language.md").read_text(encoding="utf-8")
    whole = [b for b in re.findall(r"```arch\n(.*?)```", text, re.DOTALL) if "\nmodel " in b]
    links = re.findall(r'class="arch-open" href="([^"]*)"', page)
    assert len(links) == len(whole) > 5
    for link, wanted in zip(links, whole, strict=True):
        address, _, code = link.partition("#code=")
        assert (site / "docs" / "language" / address).resolve().is_file()
        data = base64.urlsafe_b64decode(code + "=" * (-len(code) % 4))
        assert json.loads(zlib.decompress(data, -15))["text"] == wanted
    assert 'class="k">model</span>' in page
    # Not only whole networks are in colour.
    assert "```" not in page


def test_networks_open_in_the_playground(pages: dict[Path, Page], site: Path) -> None:
    links = pages[site / "archs" / "index.html"].links
    assert "../playground/index.html#resnet50" in links
