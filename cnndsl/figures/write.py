"""A network's figure as a file's bytes, in each format that needs no Graphviz."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from math import ceil, inf
from typing import TYPE_CHECKING

from cnndsl.diagnostics import ArchError, Diagnostic, did_you_mean, listing
from cnndsl.figures import font, palette, table
from cnndsl.figures.blocks import blocks
from cnndsl.figures.heat import METRICS
from cnndsl.figures.html import html
from cnndsl.figures.layout.inking import shifted
from cnndsl.figures.mermaid import mermaid
from cnndsl.figures.pdf import pdf
from cnndsl.figures.scale.page import scaled
from cnndsl.figures.svg import svg
from cnndsl.figures.terminal import terminal
from cnndsl.figures.tikz import tikz
from cnndsl.graph import Network

if TYPE_CHECKING:
    from cnndsl.figures import Options
    from cnndsl.figures.paint import Picture

OWN = ("svg", "png", "pdf", "html", "mmd", "tikz", "md", "tex", "txt")
PICTURES = ("svg", "png", "pdf", "html", "tikz")
FORMATS_OF = {
    "blocks": (*OWN, "dot"),
    "scale": PICTURES,
    "table": ("md", "tex", "html"),
    "terminal": ("txt",),
}
DETAILS = ("stages", "blocks", "full")
DIRECTIONS = ("down", "right")
SMALLEST = 6.0
"""Points: print is read down to here."""
LEAST = 8.0
"""Pixels: the smallest text of a figure."""
SLACK = 0.5
"""Millimetres that nobody sees."""
MILLIMETRES = SMALLEST / LEAST * 25.4 / 72
"""Of a pixel, where the smallest text is as small as may be."""
PIXELS = 2
"""Of a PNG, for each of the picture's."""


def written(network: Network, format: str, options: Options) -> bytes:
    """The bytes; the ending alone says what `.md`, `.tex` and `.txt` are.

    Raises ArchError: a style has no such format (E611), what writes it is not installed
    (E610), or it is too narrow (E611).
    """
    _known(options)
    fits(options.style, format)
    if format == "txt":
        return terminal(network).encode()
    if format in ("md", "tex") or options.style == "table":
        return _table(network, format)
    if format == "mmd":
        return mermaid(
            network, detail=options.detail or "blocks", colours=options.theme
        ).encode()
    return encoded(_picture(network, options), format, options)


def _known(options: Options) -> None:
    """Raises ArchError (E611): an option has no such value."""
    choices: dict[str, tuple[str | None, Iterable[str]]] = {
        "style": (options.style, FORMATS_OF),
        "theme": (options.theme, palette.THEMES),
        "detail": (options.detail, DETAILS),
        "metric": (options.metric, METRICS),
        "direction": (options.direction, DIRECTIONS),
    }
    for name, (value, known) in choices.items():
        if value is not None and value not in known:
            help = did_you_mean(value, known) or f"there are {listing([*known])}"
            raise ArchError([Diagnostic("E611", f"unknown {name} `{value}`", help=help)])


def fits(style: str, format: str) -> None:
    """Refuse a style in a format that it has not.  Raises ArchError (E611)."""
    known = FORMATS_OF[style]
    if format not in known:
        message = f"the style `{style}` cannot be written as .{format}"
        help = f"use a name that ends in {listing([f'.{name}' for name in known])}"
        raise ArchError([Diagnostic("E611", message, help=help)])


def encoded(picture: Picture, format: str, options: Options) -> bytes:
    """A picture in a format.  Raises ArchError."""
    if format not in PICTURES:
        help = f"use a name that ends in {listing([f'.{name}' for name in PICTURES])}"
        raise ArchError(
            [Diagnostic("E611", f"this picture cannot be written as .{format}", help=help)]
        )
    match format:
        case "html":
            return html(picture, options.theme).encode()
        case "svg":
            return svg(picture, options.theme, width_mm=options.width_mm, fonts=True).encode()
        case "pdf":
            return _pdf(picture, options)
        case "tikz":
            return tikz(picture, options.theme, width_mm=options.width_mm).encode()
        case _:
            return _png(picture, options)


def _table(network: Network, format: str) -> bytes:
    writers = {"md": table.markdown, "tex": table.latex, "html": table.html}
    return writers[format](network).encode()


def _picture(network: Network, options: Options) -> Picture:
    """The picture; where it must be smaller, with less detail.

    Raises ArchError (E611): it has no room for its text.
    """
    width, height = options.width_mm, options.height_mm
    usual = "stages" if options.style == "scale" else "blocks"
    details = [options.detail or usual]
    limited = width is not None or height is not None
    if limited and details[0] != "stages":
        details.append("stages")
    least: tuple[float, float] | None = None
    for detail in details:
        found = _drawn(network, options, detail)
        if not limited:
            return found
        wide, high = found.width * MILLIMETRES, found.height * MILLIMETRES
        if wide <= (width or inf) + SLACK and high <= (height or inf) + SLACK:
            return found if width is None else _centred(found, width / MILLIMETRES)
        least = least or (wide, high)
    assert least is not None
    limit = f"{width:g} × {height:g} mm" if width and height else f"{width or height:g} mm"
    message = f"at {limit} its text would be smaller than {SMALLEST:g} pt"
    help = f"the layout that fits best is {ceil(least[0])} mm wide and {ceil(least[1])} mm high"
    raise ArchError([Diagnostic("E611", message, help=help)])


def _centred(found: Picture, width: float) -> Picture:
    """A picture in the middle of a wider page: its text is as large as in any other."""
    spare = (width - found.width) / 2
    if spare <= 0:
        return found
    parts = [shifted(part, spare, 0) for part in found.parts]
    return replace(found, width=width, parts=parts)


def _drawn(network: Network, options: Options, detail: str) -> Picture:
    if options.style == "scale":
        return scaled(network, detail=detail, metric=options.metric)
    return blocks(
        network,
        detail=detail,
        opened=options.opened,
        metric=options.metric,
        widest=(options.width_mm or 0.0) / MILLIMETRES,
        tallest=(options.height_mm or 0.0) / MILLIMETRES,
        direction=options.direction,
        captioned=options.captioned,
    )


def _png(picture: Picture, options: Options) -> bytes:
    try:
        import resvg_py
    except ImportError:
        raise _missing("png", "resvg_py") from None
    made = resvg_py.svg_to_bytes(
        svg_string=svg(picture, options.theme),
        width=round(picture.width * PIXELS),
        font_files=[str(path) for path in font.FILES],
        skip_system_fonts=True,
        font_family=font.FAMILY,
        sans_serif_family=font.FAMILY,
    )
    return bytes(made)


def _pdf(picture: Picture, options: Options) -> bytes:
    try:
        return pdf(picture, options.theme, width_mm=options.width_mm)
    except ImportError:
        raise _missing("pdf", "fpdf2") from None


def _missing(format: str, package: str) -> ArchError:
    help = "pip install 'cnndsl[draw]', or write .svg, which needs nothing"
    message = f"writing .{format} needs {package}, which is not installed"
    return ArchError([Diagnostic("E610", message, help=help)])
