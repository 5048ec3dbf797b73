"""Pictures of networks.

`plan` decides what is shown: boxes, clusters, folded repeats, opened blocks. `layout`
places it and `blocks` makes a picture, which `svg` and `pdf` write; `dot` and `render`
leave the placing to Graphviz, where that is asked for.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from cnndsl.diagnostics import ArchError, Diagnostic
from cnndsl.figures import render
from cnndsl.figures.dot import dot
from cnndsl.figures.plan import plan
from cnndsl.figures.write import Options, Told, encoded, format_of, takes, written
from cnndsl.graph import Network

__all__ = ["Options", "diff_picture", "dot", "draw", "draw_diff", "picture", "plan"]


def draw(
    network: Network,
    path: str | PathLike[str],
    *,
    format: str | None = None,
    engine: str | None = None,
    options: Options | None = None,
    told: Told | None = None,
) -> None:
    """Write the picture of a network, in the format of the path's suffix.

    Who prints it is `told` if a page of a journal is smaller.
    The file is replaced whole or not at all. Without an `engine` the layout is this
    project's own; `graphviz` is the first Graphviz that is there, `dot` the system's,
    `pygraphviz` that inside its wheel.
    Raises ArchError: an unknown format, or what draws it is not here. OSError: it cannot
    be written.
    """
    target = Path(path)
    found = format_of(target, format)
    render.write(target, picture(network, found, engine=engine, options=options, told=told))


def draw_diff(
    before: Network,
    after: Network,
    path: str | PathLike[str],
    *,
    options: Options | None = None,
    told: Told | None = None,
) -> None:
    """Write one picture of what changes between two networks; only `theme` counts.

    Raises ArchError: an unknown format, or what draws it is not here. OSError: it cannot
    be written.
    """
    target = Path(path)
    found = format_of(target, None)
    render.write(target, diff_picture(before, after, found, options=options, told=told))


def diff_picture(
    before: Network,
    after: Network,
    format: str = "svg",
    *,
    options: Options | None = None,
    told: Told | None = None,
) -> bytes:
    """The bytes of that picture.  Raises ArchError."""
    from cnndsl.figures.compared.page import compared

    return encoded(compared(before, after), format, options or Options(), told)


def picture(
    network: Network,
    format: str = "svg",
    *,
    engine: str | None = None,
    options: Options | None = None,
    told: Told | None = None,
) -> bytes:
    """The picture's bytes.  Raises ArchError."""
    options = options or Options()
    if engine is None:
        return written(network, format, options, told)
    if options.style != "blocks" or format not in render.DRAWN:
        message = "Graphviz lays out the style `blocks` only, as .svg, .png, .pdf or .dot"
        raise ArchError([Diagnostic("E611", message)])
    takes(options, (), "a layout by Graphviz")
    return render.render(dot(network), format, None if engine == "graphviz" else engine)
