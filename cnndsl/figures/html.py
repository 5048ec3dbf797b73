"""One file for a browser: the figure with pan, zoom, search, and blocks that open."""

from __future__ import annotations

from html import escape
from pathlib import Path

from cnndsl.figures.paint import Picture
from cnndsl.figures.svg import faces, night, svg

HERE = Path(__file__).parent / "viewer"
POLICY = (
    "default-src 'none'; font-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
)


def html(picture: Picture, theme: str = "light") -> str:
    """The page; it asks for nothing from anywhere."""
    drawn = svg(picture, theme, embedded=True)
    style = (HERE / "viewer.css").read_text(encoding="utf-8")
    script = (HERE / "viewer.js").read_text(encoding="utf-8")
    dark = night(picture.roles() | {"page", "arrow"}) if theme == "light" else ""
    name = escape(picture.title)
    return (
        "<!doctype html>\n"
        f'<html lang="en" data-theme="{theme}"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{name}</title>\n<style>{faces(picture)}{style}\n{dark}</style></head>\n<body>\n"
        '<header><strong id="name">'
        f'{name}</strong><input id="search" type="search" placeholder="Search (/)" '
        'aria-label="Search boxes"><output id="found"></output>'
        '<button id="out" aria-label="Zoom out">−</button>'
        '<button id="in" aria-label="Zoom in">+</button>'
        '<button id="fit">Fit (0)</button></header>\n'
        f'<main id="stage" tabindex="0" aria-label="Figure">{drawn}</main>\n'
        '<aside id="card" role="status" aria-live="polite" hidden></aside>\n'
        f"<script>{script}</script>\n</body></html>\n"
    )
