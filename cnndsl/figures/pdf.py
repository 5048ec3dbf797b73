"""A picture as a PDF of lines and text, by fpdf2."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cnndsl.figures import font, palette
from cnndsl.figures.paint import (
    Area,
    Leaf,
    Path,
    Picture,
    Polygon,
    Text,
    commands,
    head,
    leaves,
)

if TYPE_CHECKING:
    from fpdf import FPDF

CREATED = datetime(2000, 1, 1, tzinfo=UTC)
"""The same picture gives the same file."""


def pdf(picture: Picture, theme: str = "light", *, width_mm: float | None = None) -> bytes:
    """The bytes of the file; a pixel is 0.75 pt, or what makes it so wide."""
    from fpdf import FPDF

    scale = 0.75 if width_mm is None else width_mm * 72 / 25.4 / picture.width
    size = (picture.width * scale, picture.height * scale)
    turned = "landscape" if size[0] > size[1] else "portrait"
    document = FPDF(turned, "pt", (min(size), max(size)))
    document.set_creation_date(CREATED)
    document.set_title(picture.title)
    document.set_subject(picture.desc)
    document.set_margin(0)
    document.set_auto_page_break(False)
    document.add_font(font.FAMILY, "", str(font.FILES[0]))
    document.add_font(font.FAMILY, "B", str(font.FILES[1]))
    document.add_page()
    pen = _Pen(document, palette.colours(theme), scale)
    pen.leaf(Area(0, 0, picture.width, picture.height, "page", radius=0, stroke=0))
    for part in leaves(picture.parts):
        pen.leaf(part)
    return bytes(document.output())


class _Pen:
    def __init__(
        self, document: FPDF, colours: dict[str, palette.Colours], scale: float
    ) -> None:
        self.document = document
        self.colours = colours
        self.scale = scale

    def leaf(self, part: Leaf) -> None:
        match part:
            case Text():
                self._text(part)
            case Area():
                style = self._colour(part.role, part.stroke, dashed=part.dashed)
                x, y, w, h = (v * self.scale for v in (part.x, part.y, part.width, part.height))
                radius = min(part.radius * self.scale, w / 2, h / 2)
                if style and radius >= max(w, h) / 2:
                    self.document.ellipse(x, y, w, h, style)
                elif style:
                    # A rounded rectangle of fpdf2's is square where nothing is straight.
                    radius = min(radius, 0.499 * min(w, h))
                    corners = radius > 0
                    self.document.rect(x, y, w, h, style, corners, corner_radius=radius)
            case Polygon():
                style = self._colour(part.role, part.stroke)
                points = [(x * self.scale, y * self.scale) for x, y in part.points]
                self.document.polygon(points, style=style or "D")
            case Path():
                self._path(part)

    def _colour(self, role: str, stroke: float, *, dashed: bool = False) -> str:
        fill, line = self.colours[role]
        style = ""
        self.document.set_line_width(max(stroke, 0.1) * self.scale)
        dash = 4 * self.scale if dashed else 0
        self.document.set_dash_pattern(dash=dash, gap=3 * self.scale if dashed else 0)
        if line != "none" and stroke:
            self.document.set_draw_color(line)
            style += "D"
        if fill != "none":
            self.document.set_fill_color(fill)
            style += "F"
        return style

    def _path(self, part: Path) -> None:
        self._colour(part.role, part.stroke, dashed=part.dashed)
        last = part.points[0]
        for letter, where in commands(part):
            if letter == "M":
                last = where[0]
                continue
            (self._line if letter == "L" else self._bend)(last, *where)
            last = where[-1]
        if part.arrow:
            self._colour("arrow", 0)
            points = [(x * self.scale, y * self.scale) for x, y in head(part.points)]
            self.document.polygon(points, style="F")

    def _line(self, a: tuple[float, float], b: tuple[float, float]) -> None:
        s = self.scale
        self.document.line(a[0] * s, a[1] * s, b[0] * s, b[1] * s)

    def _bend(self, *ends: tuple[float, float]) -> None:
        s = self.scale
        self.document.bezier([(x * s, y * s) for x, y in ends], style="D")

    def _text(self, part: Text) -> None:
        document = self.document
        document.set_font(font.FAMILY, "B" if part.bold else "", part.size * self.scale)
        document.set_text_color(self.colours[part.role][0])
        wide = font.width(part.text, part.size, bold=part.bold)
        shift = {"start": 0.0, "middle": wide / 2, "end": wide}[part.anchor]
        x, y = part.x * self.scale, part.y * self.scale
        with document.rotation(-part.turn, x, y) if part.turn else nullcontext():
            document.text(x - shift * self.scale, y, part.text)
