"""A network's figure as a file's bytes, in each style and format."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, fields, replace
from math import ceil, inf
from pathlib import Path
from typing import TYPE_CHECKING

from cnndsl.diagnostics import ArchError, Diagnostic, did_you_mean, listing
from cnndsl.figures import font, palette, table
from cnndsl.figures.blocks import blocks
from cnndsl.figures.dot import dot
from cnndsl.figures.heat import METRICS
from cnndsl.figures.html import html
from cnndsl.figures.mermaid import mermaid
from cnndsl.figures.paint import Text, leaves, shifted
from cnndsl.figures.pdf import pdf
from cnndsl.figures.scale.page import Look, scaled
from cnndsl.figures.svg import svg
from cnndsl.figures.terminal import terminal
from cnndsl.figures.tikz import tikz
from cnndsl.graph import Network
from cnndsl.records import Record, record

if TYPE_CHECKING:
    from cnndsl.figures.paint import Picture

DETAILS = ("stages", "blocks", "full")
DIRECTIONS = ("down", "right")
SMALLEST = 6.0
"""Points: print is read down to here."""
LEAST = 8.0
"""Pixels: the smallest text of a figure."""
PAGE = (174, 230)
"""Millimetres of a page of a journal."""
LARGE = (600, 600)
"""Of a poster, where any block can be open."""
SLACK = 0.5
"""Millimetres that nobody sees."""
MILLIMETRES = SMALLEST / LEAST * 25.4 / 72
"""Of a pixel, where the smallest text is as small as may be."""
PIXELS = 2
"""Of a PNG, for each of the picture's."""


Told = Callable[[str], object]
"""Who hears that a picture is larger than a page, or leaves blocks closed to fit one."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a figure is drawn."""

    style: str = "blocks"
    theme: str = "light"
    detail: str | None = None
    """`stages`, `blocks` or `full`; None is what the style shows by itself."""
    opened: tuple[str, ...] = ()
    metric: str | None = None
    width_mm: float | None = None
    height_mm: float | None = None
    """What a picture must not be larger than on paper, with text of at least 6 pt."""
    direction: str | None = None
    """`down` or `right`; None is what fits a page best."""
    captioned: bool = True
    """With the name, the sources and the costs under the picture."""
    angle: float | None = None
    """To scale: the angle of the depth axis, in degrees."""
    unit: float | None = None
    """To scale: pixels of height per √H; None for as many as the page allows."""
    photo: tuple[tuple[str, ...], ...] | None = None
    """To scale: the image on the input, as rows of colours: `inputs.mosaic`."""


def written(network: Network, format: str, options: Options, told: Told | None = None) -> bytes:
    """The bytes; the ending alone says what `.md`, `.tex` and `.txt` are.

    Raises ArchError: a style has no such format or takes no such option (E611), what writes
    it is not installed (E610), or its text has no room (E611).
    """
    _known(options)
    style = options.style
    if style == USUAL:
        style = next((name for name in STYLES if format in STYLES[name]), style)
    fits(style, format)
    way = STYLES[style][format]
    takes(options, way.options, f"the style `{style}` in .{format}")
    if way.write is not None:
        return way.write(network, options)
    return encoded(_picture(network, options), format, options, told)


def takes(options: Options, known: Collection[str], what: str) -> None:
    """Refuse an option that has no effect.  Raises ArchError (E611)."""
    usual = type(options)()
    for option in (field.name for field in fields(options) if field.name != "style"):
        if option not in known and getattr(options, option) != getattr(usual, option):
            message = f"{what} takes no {OPTIONS.get(option, option)}"
            raise ArchError([Diagnostic("E611", message)])


def _known(options: Options) -> None:
    """Raises ArchError (E611): an option has no such value."""
    choices: dict[str, tuple[str | None, Iterable[str]]] = {
        "style": (options.style, STYLES),
        "theme": (options.theme, palette.THEMES),
        "detail": (options.detail, DETAILS),
        "metric": (options.metric, METRICS),
        "direction": (options.direction, DIRECTIONS),
    }
    for name, (value, known) in choices.items():
        if value is not None and value not in known:
            help = did_you_mean(value, known) or f"there are {listing([*known])}"
            raise ArchError([Diagnostic("E611", f"unknown {name} `{value}`", help=help)])


def format_of(path: Path, wanted: str | None) -> str:
    """The format asked for, else that of the file's suffix.  Raises ArchError (E611)."""
    found = (wanted or path.suffix.removeprefix(".")).lower()
    if found in FORMATS:
        return found
    said = wanted or path.suffix
    help = did_you_mean(found, FORMATS) if found else ""
    known = ", ".join(f".{name}" for name in FORMATS)
    reason = f"unknown format `{said}`" if said else "its name does not end in a format"
    message = f"no picture can be written to {path.name}: {reason}"
    raise ArchError([Diagnostic("E611", message, help=help or f"end the name in {known}")])


def fits(style: str, format: str) -> None:
    """Refuse a format that a style does not have.  Raises ArchError (E611)."""
    known = STYLES[style]
    if format not in known:
        message = f"the style `{style}` cannot be written as .{format}"
        help = f"use a name that ends in {listing([f'.{name}' for name in known])}"
        raise ArchError([Diagnostic("E611", message, help=help)])


def encoded(picture: Picture, format: str, options: Options, told: Told | None = None) -> bytes:
    """A picture in a format; `told` hears what a page had no room for.  Raises ArchError."""
    if format not in PICTURES:
        help = f"use a name that ends in {listing([f'.{name}' for name in PICTURES])}"
        raise ArchError(
            [Diagnostic("E611", f"this picture cannot be written as .{format}", help=help)]
        )
    wide, high = (ceil(side * MILLIMETRES - SLACK) for side in (picture.width, picture.height))
    limited = options.width_mm is not None or options.height_mm is not None
    if told and format != "html" and not limited and (wide > PAGE[0] or high > PAGE[1]):
        page = "a page of {} × {} mm".format(*PAGE)
        closing = options.detail == "full" or options.opened
        hint = "; --width-mm {} --height-mm {} shows what fits".format(*PAGE) if closing else ""
        told(f"at {SMALLEST:g} pt this picture is {wide} × {high} mm, larger than {page}{hint}")
    if told and picture.closed:
        first, *others = picture.closed
        stay = f"{listing(picture.closed)} {'stay' if others else 'stays'} closed"
        more = "--width-mm {} --height-mm {}".format(*LARGE)
        told(f"{stay}, as the page has no room; --open {first} or {more} shows more")
    return PICTURES[format](picture, options)


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
        return scaled(
            network,
            detail=detail,
            metric=options.metric,
            look=_look(options),
            captioned=options.captioned,
        )
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


def _look(options: Options) -> Look:
    """How volumes are drawn.  Raises ArchError (E611): a number out of its range."""
    for name, (value, least, most) in {
        "angle": (options.angle, 5, 85),
        "unit": (options.unit, 0.1, 200),
    }.items():
        if value is not None and not least <= value <= most:
            message = f"the {name} {value:g} is not between {least} and {most}"
            raise ArchError([Diagnostic("E611", message)])
    usual = Look()
    return Look(
        options.width_mm / MILLIMETRES if options.width_mm else usual.widest,
        options.height_mm / MILLIMETRES if options.height_mm else usual.tallest,
        options.unit,
        usual.angle if options.angle is None else options.angle,
        options.photo,
    )


def _html(picture: Picture, options: Options) -> bytes:
    return html(picture, options.theme).encode()


def _svg(picture: Picture, options: Options) -> bytes:
    return svg(picture, options.theme, width_mm=options.width_mm, fonts=True).encode()


def _tikz(picture: Picture, options: Options) -> bytes:
    return tikz(picture, options.theme, width_mm=options.width_mm).encode()


def _mermaid(network: Network, options: Options) -> bytes:
    return mermaid(network, detail=options.detail or "blocks", colours=options.theme).encode()


def _png(picture: Picture, options: Options) -> bytes:
    try:
        import resvg_py
    except ImportError:
        raise _missing("png", "resvg_py") from None
    texts = (part for part in leaves(picture.parts) if isinstance(part, Text))
    made = resvg_py.svg_to_bytes(
        svg_string=svg(picture, options.theme),
        width=round(picture.width * PIXELS),
        font_files=[str(path) for path in font.FILES],
        # Characters missing from the shipped font come from the system's.
        skip_system_fonts=all(font.knows(part.text) for part in texts),
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


@record
class Way(Record):
    """How a style is written in a format, and the options that change it."""

    write: Callable[[Network, Options], bytes] | None = None
    """None: a picture is drawn, and encoded."""
    options: Collection[str] = ()


PICTURES = {"svg": _svg, "png": _png, "pdf": _pdf, "html": _html, "tikz": _tikz}
"""How a picture is written."""
_ANY = ("theme", "detail", "metric", "width_mm", "height_mm", "captioned")
_SCALED = (*_ANY, "angle", "unit", "photo")
_BOXES = (*_ANY, "opened", "direction")
USUAL = "blocks"
STYLES: dict[str, dict[str, Way]] = {
    USUAL: {
        **{format: Way(options=_BOXES) for format in PICTURES},
        "dot": Way(lambda network, _: dot(network).encode()),
        "mmd": Way(_mermaid, ("theme", "detail")),
    },
    "scale": {format: Way(options=_SCALED) for format in PICTURES},
    "table": {
        "md": Way(lambda network, _: table.markdown(network).encode()),
        "tex": Way(lambda network, _: table.latex(network).encode()),
        "html": Way(lambda network, _: table.html(network).encode()),
    },
    "terminal": {"txt": Way(lambda network, _: terminal(network).encode())},
}
"""Every style in each of its formats; a new style or format is an entry here."""
FORMATS = tuple(dict.fromkeys(format for style in STYLES.values() for format in style))
OPTIONS = {
    "opened": "block to open",
    "metric": "metric",
    "width_mm": "width",
    "height_mm": "height",
    "captioned": "caption",
}
"""What messages call the options, where it is not their names."""
