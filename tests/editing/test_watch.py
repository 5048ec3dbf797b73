"""`cnndsl watch`: what is sent, to whom, and what a browser makes of it."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cnndsl.cli import cli
from cnndsl.editing.watching import Server, Shown, Watch, serve
from cnndsl.files import shipped
from tests.figures.test_viewer import QUIET, chromium

MODEL = """\
use "unit.arch" (Unit)
model Net: image[3, H=32, W=32] -> logits[10] {
  stem: conv(16, 3x3, norm=bn)
  body: Unit(16) * 2
  logits: gap -> linear(10)
}
"""
UNIT = "block Unit(c: int) {\n  add { skip; conv(c, 3x3) -> relu }\n}\n"


class Watched:
    """A file that is watched by a server in this process."""

    def __init__(self, folder: Path, text: str = MODEL) -> None:
        self.path = folder / "net.arch"
        self.path.write_text(text)
        self.watch = Watch(self.path)
        self.server = Server(self.watch, 0)
        self.stop = threading.Event()
        self.thread = threading.Thread(target=serve, args=(self.server, self.stop))
        self.page = self.watch.join()
        self.thread.start()

    def until(self, wanted: Callable[[Any], Any]) -> dict[str, Any]:
        end = time.monotonic() + 30
        while time.monotonic() < end:
            shown: Shown = self.page.get(timeout=30)
            if shown and wanted(shown):
                return dict(shown)
        raise AssertionError("it never came")

    def ask(self, path: str, **headers: str) -> tuple[int, str]:
        port = self.server.server_address[1]
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()

    def end(self) -> None:
        self.stop.set()
        self.thread.join(10)


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    (tmp_path / "unit.arch").write_text(UNIT)
    found = Watched(tmp_path.resolve())
    yield found
    found.end()


def test_figure_table_and_costs_are_sent(watched: Watched) -> None:
    shown = watched.until(lambda s: "svg" in s and "files" in s)
    assert shown["svg"].startswith("<svg")
    assert "5,274 parameters" in shown["costs"]
    assert "stem" in shown["table"]
    assert (shown["messages"], shown["stale"]) == ([], False)
    assert list(shown["files"]) == [str(watched.path), str(watched.path.parent / "unit.arch")]


def test_each_box_says_where_it_is_written(watched: Watched) -> None:
    shown = watched.until(lambda s: "svg" in s)
    for line in (2, 3, 4, 5):
        assert f'data-file="{watched.path}" data-span="{line}-{line}"' in shown["svg"]
    assert f'data-file="{watched.path.parent / "unit.arch"}" data-span="2-2"' in shown["svg"]


def test_a_saved_change_is_drawn(watched: Watched) -> None:
    watched.until(lambda s: "files" in s)
    watched.path.write_text(MODEL.replace("16", "24"))
    assert "11,362 parameters" in watched.until(lambda s: "24" in s["svg"])["costs"]
    (watched.path.parent / "unit.arch").write_text(UNIT.replace("relu", "silu"))
    watched.until(lambda s: "silu" in s["svg"].lower())


def test_on_a_fault_the_last_picture_stays_with_the_message(watched: Watched) -> None:
    good = watched.until(lambda s: "files" in s)
    watched.path.write_text(MODEL.replace("gap", "gapp"))
    shown = watched.until(lambda s: s["stale"])
    assert shown["svg"] == good["svg"]
    (message,) = shown["messages"]
    assert (message["severity"], message["file"], message["line"]) == (
        "error",
        str(watched.path),
        5,
    )
    assert "--> net.arch:5:11" in message["text"]
    watched.path.unlink()
    assert (
        "cannot be read" in watched.until(lambda s: "read" in str(s["messages"]))["svg"] or True
    )
    watched.path.write_text(MODEL)
    assert watched.until(lambda s: not s["stale"] and not s["messages"])["svg"] == good["svg"]


def test_a_file_that_comes_is_seen(tmp_path: Path) -> None:
    found = Watched(tmp_path.resolve())
    try:
        assert "unit.arch" in found.until(lambda s: s.get("messages"))["messages"][0]["text"]
        (tmp_path / "unit.arch").write_text(UNIT)
        found.until(lambda s: "svg" in s and not s["messages"])
    finally:
        found.end()


def test_claims_are_held(watched: Watched) -> None:
    watched.path.write_text(MODEL.replace("model", "@expect(params=1)\nmodel"))
    shown = watched.until(lambda s: s.get("messages"))
    assert "E501" in shown["messages"][0]["text"]
    assert not shown["stale"]


def test_events_are_a_stream(watched: Watched) -> None:
    watched.until(lambda s: "files" in s)
    port = watched.server.server_address[1]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/events")
    answer = connection.getresponse()
    assert answer.getheader("Content-Type") == "text/event-stream; charset=utf-8"
    line = answer.readline()
    assert json.loads(line.removeprefix(b"data: "))["name"] == "Net"
    connection.close()


def test_only_this_machine_under_its_own_name_is_answered(watched: Watched) -> None:
    port = watched.server.server_address[1]
    assert watched.server.server_address[0] == "127.0.0.1"
    assert watched.ask("/")[0] == 200
    assert watched.ask("/", Host=f"localhost:{port}")[0] == 200
    for host in (
        "evil.example",
        f"evil.example:{port}",
        "127.0.0.1",
        f"127.0.0.1:{port + 1}",
        "",
    ):
        for path in ("/", "/events", "/watch.js"):
            assert watched.ask(path, Host=host)[0] == 403, host
    for origin in ("http://evil.example", "null", f"https://127.0.0.1:{port}"):
        assert watched.ask("/events", Origin=origin)[0] == 403


@pytest.mark.parametrize("path", ["/x", "/../watching.py", "/watch.html", "/%2e%2e"])
def test_nothing_else_is_served(watched: Watched, path: str) -> None:
    assert watched.ask(path)[0] == 404


def test_what_a_file_says_is_no_markup(watched: Watched) -> None:
    watched.path.write_text(
        MODEL.replace("Net", "Net").replace("model", '"""<script>"""\nmodel')
    )
    shown = watched.until(lambda s: "files" in s)
    assert "<script>" not in shown["svg"]


def test_the_command_says_its_address_and_ends_quietly(tmp_path: Path) -> None:
    (tmp_path / "unit.arch").write_text(UNIT)
    path = tmp_path / "net.arch"
    path.write_text(MODEL)
    command = [sys.executable, "-u", "-m", "cnndsl", "watch", str(path), "--no-open"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("http://127.0.0.1:")
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (0, "")


def test_a_port_that_is_taken_and_no_file_are_sentences(watched: Watched) -> None:
    port = str(watched.server.server_address[1])
    found = CliRunner().invoke(cli, ["watch", str(watched.path), "--port", port, "--no-open"])
    assert found.exit_code == 2
    assert f"port {port} cannot be used" in found.stderr
    assert CliRunner().invoke(cli, ["watch", "-"]).exit_code == 2


def test_a_save_is_drawn_in_a_moment(tmp_path: Path) -> None:
    found = Watched(tmp_path.resolve(), shipped()["resnet50"].read_text())
    try:
        found.until(lambda s: "files" in s)
        spent = []
        for width in (65, 66, 67):
            began = time.perf_counter()
            text = (
                shipped()["resnet50"].read_text().replace("conv(64, 7x7", f"conv({width}, 7x7")
            )
            found.path.write_text(text)
            found.until(lambda s, w=width: f"7×7, {w}" in s["svg"])
            spent.append(time.perf_counter() - began)
        # 0.2 s on two busy cores.
        assert min(spent) < 1.0
    finally:
        found.end()


# In a browser


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


@pytest.mark.slow
def test_a_click_goes_from_a_box_to_its_line_and_back(browser: Any, watched: Watched) -> None:
    said: list[str] = []
    page = browser.new_page(viewport={"width": 1200, "height": 800})
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(watched.server.address)
    page.wait_for_selector("#figure svg")
    page.wait_for_function("document.querySelectorAll('#lines li').length === 6")
    page.locator('g[data-span="5-5"]').last.click()
    assert page.locator("#lines li.near").all_text_contents() == ["  logits: gap -> linear(10)"]
    page.locator("#lines li").nth(2).click()
    spans = page.eval_on_selector_all("g.near", "nodes => nodes.map(n => n.dataset.span)")
    assert spans == ["3-3"]
    inset = page.locator('g[data-span="2-2"][data-file$="unit.arch"]').first
    inset.focus()
    inset.press("Enter")
    assert page.locator("#lines li.near").count() == 1
    assert "skip" in page.locator("#lines li.near").text_content()
    assert page.locator("#files option:checked").text_content() == "unit.arch"
    watched.path.write_text(MODEL.replace("gap", "gapp"))
    page.wait_for_selector("#messages pre")
    assert "gapp" in page.locator("#messages pre").text_content()
    assert "without faults" in page.locator("#state").text_content()
    assert page.locator("#figure.stale svg").count() == 1
    page.locator("#messages pre").click()
    assert "gapp" in page.locator("#lines li.near").text_content()
    watched.path.write_text(MODEL.replace("16", "24"))
    page.wait_for_selector("#messages", state="hidden")
    assert "11,362 parameters" in page.locator("#costs").text_content()
    assert all(url.startswith(watched.server.address) for url in asked)
    assert not said
    page.close()


def test_the_page_has_what_the_extension_for_vs_code_puts_its_own_for() -> None:
    root = Path(__file__).parents[2]
    page = (root / "cnndsl" / "editing" / "page" / "watch.html").read_text()
    extension = (root / "editors" / "vscode" / "extension.js").read_text()
    for place in ("<head>", "/watch.css", "/watch.js"):
        assert page.count(place) == 1
        assert f'.replace("{place}", ' in extension
