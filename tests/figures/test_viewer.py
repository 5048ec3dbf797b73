"""The page for a browser, driven in headless Chromium."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cnndsl.figures import Options, draw
from tests.figures.geometry import network

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
QUIET = (
    "--no-sandbox",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--metrics-recording-only",
)
"""Nothing is asked of any network by the browser itself."""
MARK = "rgb(217, 119, 6)"
STROKE = "e => getComputedStyle(e.querySelector(':scope > rect, :scope > polygon')).stroke"


def chromium() -> str | None:
    """The browser of the environment variable CHROMIUM, else one that is installed."""
    found = os.environ.get("CHROMIUM")
    return found or next(filter(None, map(shutil.which, BROWSERS)), None)


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("viewer") / "resnet50.html"
    draw(network("resnet50"), path)
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api")
    path = chromium()
    if path is None:
        pytest.skip("no Chromium here: set CHROMIUM, or install it")
    with api.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=path, args=list(QUIET))
        yield opened
        opened.close()


class Opened:
    """A page, with what it says on the console and what it asks for."""

    def __init__(self, browser: Any, path: Path, scheme: str) -> None:
        self.page = browser.new_page(
            color_scheme=scheme, viewport={"width": 1200, "height": 800}
        )
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri())
        self.path = path

    def fill(self, selector: str) -> str:
        """The colour in which an element is drawn."""
        return self.page.evaluate(
            f"getComputedStyle(document.querySelector('{selector}')).fill"
        )

    def view(self) -> list[float]:
        """The part of the figure that is seen: left, top, width, height."""
        found = self.page.get_attribute("#stage svg", "viewBox")
        return [round(float(value), 1) for value in found.split()]

    def quiet(self) -> None:
        assert self.said == []
        assert self.asked == [self.path.as_uri()]


def test_the_page_names_nothing_outside_itself(page_file: Path) -> None:
    text = page_file.read_text(encoding="utf-8")
    rest = text.replace("http://www.w3.org/2000/svg", "")
    assert "http://" not in rest
    assert "https://" not in rest
    assert "default-src 'none'" in text


def _drag_slowly(page: Any) -> None:
    """From a block that opens, a pixel at a time: it pans, and is no click."""
    box = page.locator("#stage g.node >> nth=3").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 20, y + 20, steps=40)
    page.mouse.up()
    page.mouse.move(5, 790)


@pytest.mark.slow
def test_hover_search_open_and_keyboard(page_file: Path, browser: Any) -> None:
    opened = Opened(browser, page_file, "light")
    page = opened.page
    home = opened.view()
    page.hover("#stage g.node >> nth=3")
    told = page.text_content("#card").splitlines()
    assert told[0] == "Bottleneck ×3"
    # Shape, cost, receptive field (to the end of c2), place in the source.
    assert {"256×56²", "216k parameters", "sees 35", "lib/resnet.arch:20"} <= set(told)
    page.click("#stage g.node >> nth=3")
    assert page.eval_on_selector("g.inset.shown", "e => e.id") == "f1"
    assert page.eval_on_selector("g.inset.shown", STROKE) == MARK
    assert opened.view() != home
    page.mouse.move(5, 790)
    page.keyboard.press("0")
    assert opened.view() == home
    page.keyboard.press("/")
    page.keyboard.type("bottleneck")
    assert page.text_content("#found") == f"{page.locator('g.node.found').count()} found"
    assert page.locator("g.node.found").count() >= 8
    assert page.eval_on_selector("g.node.found", STROKE) == MARK
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.classList.contains('found')")
    assert page.is_visible("#card")
    first = page.evaluate("document.activeElement.id")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.id") != first
    page.keyboard.press("Enter")
    assert page.locator("g.inset.shown").count() == 1
    page.keyboard.press("Escape")
    assert not page.is_visible("#card")
    assert page.locator("g.inset.shown").count() == 0
    assert opened.view() == home
    _drag_slowly(page)
    assert opened.view()[:2] != home[:2]
    assert page.locator("g.inset.shown").count() == 0
    page.keyboard.press("0")
    for _ in range(3):
        page.keyboard.press("+")
    assert opened.view()[2] < home[2]
    page.screenshot(path=str(page_file.with_suffix(".png")))
    opened.quiet()
    page.close()


@pytest.mark.slow
def test_dark_where_the_reader_prefers_it_and_light_on_paper(
    page_file: Path, browser: Any
) -> None:
    opened = Opened(browser, page_file, "dark")
    assert opened.fill("#stage rect.page") == "rgb(22, 24, 28)"
    opened.page.emulate_media(media="print")
    assert opened.fill("#stage rect.page") == "rgb(255, 255, 255)"
    assert not opened.page.is_visible("header")
    opened.quiet()
    opened.page.close()


@pytest.mark.slow
def test_the_shipped_svg_turns_dark_by_itself(tmp_path: Path, browser: Any) -> None:
    path = tmp_path / "lenet5.svg"
    draw(network("lenet5"), path, options=Options(style="scale"))
    for scheme, fill in (("light", "rgb(255, 255, 255)"), ("dark", "rgb(22, 24, 28)")):
        opened = Opened(browser, path, scheme)
        assert opened.fill("rect.page") == fill
        opened.quiet()
        opened.page.close()


@pytest.mark.slow
def test_on_a_telephone_a_block_is_found_before_its_parts_and_says_all_arguments(
    page_file: Path, browser: Any
) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 800})
    page.goto(page_file.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.evaluate("document.querySelector('#fit').getBoundingClientRect().right") <= 390
    page.fill("#search", "bottleneck")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.dataset.opens") == "f1"
    told = page.text_content("#card").splitlines()
    assert {"c 64", "s 1", "groups 1", "norm bn"} <= set(told)
    card = page.evaluate("document.querySelector('#card').getBoundingClientRect().toJSON()")
    assert card["left"] >= 0
    assert card["right"] <= 390
    # The figure's letters are a subset of its font, and the page's are not set in it.
    families = page.evaluate("getComputedStyle(document.querySelector('#card')).fontFamily")
    assert "Inter" not in families
    page.close()


def test_the_panel_says_every_attribute_of_a_step(page_file: Path) -> None:
    text = page_file.read_text(encoding="utf-8")
    wanted = ("kernel 7", "stride 2", "dilation 1", "groups 1", "weight 64×3×7×7", "eps 1e-5")
    start = text.index('data-facts="conv  c1.conv')
    facts = text[start : text.index('">', start)].splitlines()
    assert set(wanted) <= set(facts)
