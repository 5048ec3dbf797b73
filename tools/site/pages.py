"""What the pages of the site add to their Markdown: figures, and the playground in place."""

from __future__ import annotations

import base64
import json
import re
import zlib
from html import escape
from pathlib import Path
from typing import Any

from mkdocs.utils import get_relative_url
from pygments import highlight
from pygments.formatters import HtmlFormatter

from cnndsl.diagnostics import ArchError
from cnndsl.editing.highlighting import ArchLexer
from cnndsl.figures.blocks import blocks
from cnndsl.figures.svg import svg
from cnndsl.network import loads

PLAYGROUND = "playground-of-this-site/"
"""Stands for the playground's address until the page's own is known."""
WIDTH = 700.0
"""Pixels that a figure has beside the navigation."""


def slug(text: str, separator: str) -> str:
    """The anchor of a heading, as GitHub has it."""
    kept = re.sub(r"[^\w\- ]", "", re.sub(r"<[^>]*>", "", text).strip().lower())
    return kept.replace(" ", separator)


def link(text: str) -> str:
    """The part of the playground's address that holds a text."""
    data = json.dumps({"name": "network", "text": text}).encode()
    deflated = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = base64.urlsafe_b64encode(deflated.compress(data) + deflated.flush())
    return f"#code={packed.decode().rstrip('=')}"


def fence(source: str, *_: Any, **__: Any) -> str:
    """A text in its colours; below a whole network its figure, which opens the playground."""
    text = source.rstrip("\n") + "\n"
    shown = highlight(text, ArchLexer(), HtmlFormatter(cssclass="highlight", wrapcode=True))
    try:
        network = loads(text)
    except ArchError:
        return str(shown)
    drawn = svg(blocks(network, widest=WIDTH))
    # Several figures stand on one page, on which each name is one thing's.
    drawn = re.sub(r' id="[^"]*"', "", drawn)
    drawn = re.sub(r' aria-labelledby="[^"]*"', f' aria-label="{escape(network.name)}"', drawn)
    address = escape(PLAYGROUND + "index.html" + link(text))
    return (
        f'{shown}<div class="arch-figure"><a class="arch-open" href="{address}">'
        f"Edit it here</a>{drawn}</div>"
    )


def on_config(config: Any) -> None:
    """Put each guide that the navigation does not name behind those that it names."""
    named = json.dumps(config["nav"])
    guides = next(entry["Guides"] for entry in config["nav"] if "Guides" in entry)
    for path in sorted(Path(config["docs_dir"], "docs").glob("*.md")):
        if f'"docs/{path.name}"' not in named:
            guides.append(f"docs/{path.name}")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Take away what a fence tells the tests: `arch lines error=E206`."""
    return re.sub(r"^(```arch) .*$", r"\1", markdown, flags=re.MULTILINE)


def on_page_content(html: str, page: Any, **_: Any) -> str:
    """Lead to the playground from where the page stands, also the names of the networks."""
    playground = get_relative_url("playground/", page.url)
    if page.file.src_uri == "archs/README.md":
        html = re.sub(r'href="(\w+)\.arch"', rf'href="{PLAYGROUND}index.html#\1"', html)
    return html.replace(PLAYGROUND, playground)
