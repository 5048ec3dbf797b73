"""A picture as SVG: light colours as attributes, dark ones where the reader prefers them."""

from __future__ import annotations

import json
from html import escape

from cnndsl.figures import font, palette
from cnndsl.figures.paint import (
    Area,
    Group,
    Leaf,
    Part,
    Path,
    Picture,
    Polygon,
    Text,
    commands,
    head,
    leaves,
)

FONTS = f"{font.FAMILY}, Helvetica, Arial, 'DejaVu Sans', sans-serif"


def number(value: float) -> str:
    """A coordinate in short: `12`, `12.5`."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def svg(
    picture: Picture,
    theme: str = "light",
    *,
    width_mm: float | None = None,
    embedded: bool = False,
    spans: bool = False,
    fonts: bool = False,
) -> str:
    """The text of the file; the same picture gives the same text.

    `light` turns dark where the reader prefers dark; `dark` and `paper` stay as they are.
    `embedded` leaves the style to the page around it, `spans` says of each box where it is
    written: `data-file`, and the lines as `data-span`. With `fonts` the letters that it
    needs are in the file.
    """
    writer = _Writer(palette.colours(theme), spans=spans, facts=embedded)
    size = f'width="{number(picture.width)}" height="{number(picture.height)}"'
    if width_mm is not None:
        height = width_mm * picture.height / picture.width
        size = f'width="{number(width_mm)}mm" height="{number(height)}mm"'
    box = f'viewBox="0 0 {number(picture.width)} {number(picture.height)}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {box} role="img" '
        f'aria-labelledby="figure-title figure-desc" font-family="{escape(FONTS)}">',
        f'<title id="figure-title">{escape(picture.title)}</title>',
        f'<desc id="figure-desc">{escape(picture.desc)}</desc>',
        f"<metadata>{escape(json.dumps(picture.metadata, ensure_ascii=False))}</metadata>",
    ]
    style = faces(picture) if fonts else ""
    if theme == "light" and not embedded:
        style += night(picture.roles() | {"page", "arrow"})
    if style:
        lines.append(f"<style>{style}</style>")
    page = Area(0, 0, picture.width, picture.height, "page", radius=0, stroke=0)
    lines += [line for part in (page, *picture.parts) for line in writer.part(part)]
    return "\n".join([*lines, "</svg>", ""])


def faces(picture: Picture) -> str:
    """The font of a picture, as rules of a style."""
    texts = [part for part in leaves(picture.parts) if isinstance(part, Text)]
    return font.rules((part.text, part.bold) for part in texts)


def night(roles: set[str]) -> str:
    """The rules that make a light picture dark; print stays light."""
    dark = palette.colours("dark")
    rules = []
    for role in sorted(role for role in roles if not role.startswith("#")):
        fill, stroke = dark[role]
        rules.append(f".{role}{{fill:{fill};stroke:{stroke}}}")
    return f"@media screen and (prefers-color-scheme:dark){{{''.join(rules)}}}"


class _Writer:
    def __init__(
        self, colours: dict[str, palette.Colours], *, spans: bool = False, facts: bool = False
    ) -> None:
        self.colours = colours
        self.spans = spans
        self.facts = facts

    def part(self, part: Part) -> list[str]:
        """The elements of a part, one a line."""
        if not isinstance(part, Group):
            return [self._leaf(part)]
        data = "".join(f' data-{name}="{escape(value)}"' for name, value in part.data)
        if part.span is not None and self.spans:
            last = part.span.source.position(max(part.span.start, part.span.stop - 1))[0]
            data += f' data-file="{escape(part.span.source.name)}"'
            data += f' data-span="{part.span.line}-{last}"'
        if part.facts and self.facts:
            data += f' data-facts="{escape(chr(10).join(part.facts))}"'
        key = f' id="{escape(part.key)}"' if part.key else ""
        lines = [f'<g class="{part.kind}"{key}{data}>']
        if part.title:
            lines.append(f"<title>{escape(part.title)}</title>")
        if part.desc:
            lines.append(f"<desc>{escape(part.desc)}</desc>")
        lines += [line for child in part.children for line in self.part(child)]
        return [*lines, "</g>"]

    def _leaf(self, part: Leaf) -> str:
        match part:
            case Area():
                return self._area(part)
            case Polygon():
                points = " ".join(f"{number(x)},{number(y)}" for x, y in part.points)
                return f'<polygon {self._paint(part.role, part.stroke)} points="{points}"/>'
            case Path():
                return self._path(part)
            case Text():
                return self._text(part)

    def _paint(self, role: str, stroke: float, *, dashed: bool = False) -> str:
        fill, line = self.colours[role]
        named = "" if role.startswith("#") else f'class="{role}" '
        text = f'{named}fill="{fill}" stroke="{line}"'
        if line != "none":
            text += f' stroke-width="{number(stroke)}"'
        return text + (' stroke-dasharray="4 3"' if dashed else "")

    def _area(self, part: Area) -> str:
        place = (
            f'x="{number(part.x)}" y="{number(part.y)}" '
            f'width="{number(part.width)}" height="{number(part.height)}"'
        )
        corner = f' rx="{number(part.radius)}"' if part.radius else ""
        return (
            f"<rect {self._paint(part.role, part.stroke, dashed=part.dashed)} {place}{corner}/>"
        )

    def _path(self, part: Path) -> str:
        points = part.points
        drawn = "".join(
            letter + " ".join(f"{number(x)},{number(y)}" for x, y in where)
            for letter, where in commands(part)
        )
        line = f'<path {self._paint(part.role, part.stroke, dashed=part.dashed)} d="{drawn}"/>'
        if not part.arrow:
            return line
        tip = " ".join(f"{number(x)},{number(y)}" for x, y in head(points))
        return f'{line}<polygon {self._paint("arrow", 0)} points="{tip}"/>'

    def _text(self, part: Text) -> str:
        fill, _ = self.colours[part.role]
        weight = ' font-weight="700"' if part.bold else ""
        anchor = f' text-anchor="{part.anchor}"' if part.anchor != "start" else ""
        length = font.width(part.text, part.size, bold=part.bold)
        x, y = number(part.x), number(part.y)
        turn = f' transform="rotate({number(part.turn)} {x} {y})"' if part.turn else ""
        # Another font, where the reader has not ours, is set to the same width.
        return (
            f'<text class="{part.role}" x="{x}" y="{y}"{turn} '
            f'font-size="{number(part.size)}"{weight}{anchor} fill="{fill}" stroke="none" '
            f'textLength="{number(length)}" lengthAdjust="spacing" direction="ltr">'
            f"{escape(part.text)}</text>"
        )
