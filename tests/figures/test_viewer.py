"""The page for a browser, driven in headless Chromium."""

from __future__ import annotations

from pathlib import Path

import pytest

from cnndsl.figures import draw
from tests.figures.geometry import network

CHROMIUM = Path("/usr/bin/chromium")


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("viewer") / "resnet50.html"
    draw(network("resnet50"), path)
    return path


def test_the_page_names_nothing_outside_itself(page_file: Path) -> None:
    text = page_file.read_text(encoding="utf-8")
    rest = text.replace("http://www.w3.org/2000/svg", "")
    assert "http://" not in rest
    assert "https://" not in rest
    assert "default-src 'none'" in text


@pytest.mark.slow
def test_search_open_keyboard_and_dark(page_file: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM.exists():
        pytest.skip("no Chromium here")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        page = browser.new_page(color_scheme="dark", viewport={"width": 1200, "height": 800})
        said: list[str] = []
        asked: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(page_file.as_uri())
        view = "document.querySelector('#stage svg').getAttribute('viewBox')"
        home = page.evaluate(view)
        page.keyboard.press("/")
        page.keyboard.type("bottleneck")
        assert page.text_content("#found") != "0 found"
        assert page.evaluate(view) != home
        page.keyboard.press("Enter")
        assert page.is_visible("#card")
        page.keyboard.press("Enter")
        assert page.locator("g.inset.shown").count() == 1
        page.keyboard.press("0")
        page.keyboard.press("ArrowDown")
        page.screenshot(path=str(page_file.with_suffix(".png")))
        fill = "getComputedStyle(document.querySelector('#stage rect.page')).fill"
        assert page.evaluate(fill) == "rgb(22, 24, 28)"
        browser.close()
    assert said == []
    assert asked == [page_file.as_uri()]
