"""Takes the README's pictures of the playground and of an editor.

python -m tools.pictures                              the playground, as it is built
python -m tools.pictures http://127.0.0.1:8080/?folder=…     and VS Code, served by code-server

The folder holds `net.arch`; the extension of `editors/vscode` is installed there.
"""

from __future__ import annotations

import functools
import http.server
import io
import os
import shutil
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

from tools.playground.__main__ import build

FIGURES = Path(__file__).resolve().parents[1] / "docs" / "figures"
SIZE = {"width": 1280, "height": 760}
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = 120_000
"""Milliseconds that a page may take to come."""


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves a folder."""

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def playground(page: Any, folder: Path) -> None:
    """The playground, with the line of a box."""
    build(folder)
    handler = functools.partial(Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    page.goto(f"http://127.0.0.1:{server.server_address[1]}/#mobilenetv2")
    page.wait_for_selector("body[data-checked]", timeout=PATIENCE)
    page.wait_for_timeout(1000)
    page.click("#figure g[data-span] >> nth=3")
    page.mouse.move(300, 720)
    page.wait_for_timeout(500)
    _save(page, "playground.png")
    server.shutdown()


def editor(page: Any, address: str) -> None:
    """VS Code with a text, its shapes, and its figure beside it."""
    page.goto(address)
    page.wait_for_selector(".monaco-workbench", timeout=PATIENCE)
    page.wait_for_timeout(8000)
    page.keyboard.press("Control+p")
    page.wait_for_timeout(1500)
    page.keyboard.type("net.arch")
    page.wait_for_timeout(1500)
    page.keyboard.press("Enter")
    page.wait_for_timeout(2500)
    page.keyboard.press("Control+k")
    page.keyboard.press("v")
    page.wait_for_timeout(12_000)
    page.keyboard.press("Control+b")
    page.click(".view-line:has-text('logits: gap') >> text=linear", force=True)
    page.mouse.move(300, 600)
    page.wait_for_timeout(2500)
    _save(page, "editor.png")


def _save(page: Any, name: str) -> None:
    """In 128 colours: a screen has few."""
    shown = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    shown.quantize(128, dither=Image.Dither.NONE).save(FIGURES / name, optimize=True)
    print(FIGURES / name)


def main() -> None:
    """Take them."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)))
    with sync_playwright() as driver, tempfile.TemporaryDirectory() as folder:
        browser = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZE)
        playground(page, Path(folder) / "playground")
        for address in sys.argv[1:]:
            editor(page, address)
        browser.close()


if __name__ == "__main__":
    main()
