"""`cnndsl draw`."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import click

from cnndsl.commands.opening import elaborated, pick, scope, stem
from cnndsl.console import network_arguments, output_path, sized


@click.command()
@network_arguments
@sized
@output_path
@click.option(
    "--style",
    type=click.Choice(["blocks", "scale", "table", "terminal"]),
    default="blocks",
    show_default=True,
    help="Boxes, volumes to scale, a table as in papers, or text.",
)
@click.option("--theme", type=click.Choice(["light", "dark", "paper"]), default="light")
@click.option(
    "--detail",
    type=click.Choice(["stages", "blocks", "full"]),
    help="Boxes: every block closed, each opened once in an inset (the default), or all opened "
    "in place. To scale: the layers and blocks of a stage side by side (the default), each "
    "apart, or every block opened.",
)
@click.option(
    "--open",
    "opened",
    metavar="BLOCK",
    multiple=True,
    help="Open this block, where it is closed: with stages, or post-processing.",
)
@click.option(
    "--metrics",
    type=click.Choice(["macs", "params", "memory", "rf"]),
    help="Colour by multiply-adds, parameters, elements or receptive field.",
)
@click.option(
    "--width-mm", type=click.FloatRange(10, 2000), help="Width on paper, in millimetres."
)
@click.option(
    "--height-mm",
    type=click.FloatRange(10, 2000),
    help="Greatest height on paper, in millimetres.",
)
@click.option(
    "--direction",
    type=click.Choice(["down", "right"]),
    help="Direction of the flow; by default, the one that fits a page best.",
)
@click.option(
    "--angle",
    type=click.FloatRange(5, 85),
    help="To scale: angle of the depth axis, in degrees.",
)
@click.option(
    "--unit",
    type=click.FloatRange(0.1, 200),
    help="To scale: pixels of height per √H; by default, as many as the page allows.",
)
@click.option("--photo", metavar="PATH", help="To scale: an image to show on the input.")
@click.option(
    "--caption/--no-caption",
    default=True,
    help="Write the name, sources and costs at the foot.",
)
@click.option(
    "--engine",
    type=click.Choice(["graphviz", "dot", "pygraphviz"]),
    help="Have Graphviz lay out the boxes.",
)
def draw(
    file: str,
    model: str | None,
    parameters: dict[str, str],
    outputs: tuple[str, ...],
    inputs: dict[str, tuple[int, ...]],
    output: str | None,
    style: str,
    theme: str,
    detail: str | None,
    opened: tuple[str, ...],
    metrics: str | None,
    width_mm: float | None,
    height_mm: float | None,
    direction: str | None,
    angle: float | None,
    unit: float | None,
    photo: str | None,
    caption: bool,
    engine: str | None,
) -> None:
    """Draw a network. The ending of -o chooses the format.

    A figure is .svg, .png, .pdf, .html, .tikz (a TeX document), .mmd (Mermaid) or .dot.

    A table is .md, .tex or .html; the style `terminal` is printed, or written as .txt.
    """
    from cnndsl.figures import Options, picture
    from cnndsl.figures import draw as write

    read = scope(file)
    definition = pick(read, model)
    network = elaborated(definition, parameters, inputs, outputs)
    pieces = None
    if photo is not None:
        from cnndsl.inputs import mosaic

        pieces = mosaic(Path(photo), network)
    options = Options(
        style, theme, detail, opened, metrics, width_mm, height_mm, direction, caption,
        angle, unit, pieces,
    )  # fmt: skip
    if output == "-" or (output is None and style in ("table", "terminal")):
        format = {"table": "md", "terminal": "txt"}.get(style, "svg")
        sys.stdout.buffer.write(picture(network, format, engine=engine, options=options))
        return
    path = output or f"{stem(file, read, definition)}.svg"
    write(network, path, engine=engine, options=options, told=partial(click.echo, err=True))
    click.echo(path)
