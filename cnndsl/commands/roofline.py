"""`cnndsl roofline`."""

from __future__ import annotations

import json

import click

from cnndsl.commands.opening import network_of, plotted, write_plot
from cnndsl.console import Trouble, network_arguments, sized


@click.command()
@network_arguments
@sized
@click.option(
    "--device",
    default="h200",
    show_default=True,
    help="h200, h200-bf16, cpu, or PEAK,BANDWIDTH as 10T,100G.",
)
@click.option("--batch", type=click.IntRange(1), default=1, show_default=True)
@click.option("--top", type=click.IntRange(1), default=20, show_default=True)
@plotted
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
def roofline(
    file: str,
    model: str | None,
    parameters: dict[str, str],
    outputs: tuple[str, ...],
    inputs: dict[str, tuple[int, ...]],
    device: str,
    batch: int,
    top: int,
    output: str | None,
    as_json: bool,
) -> None:
    """Print the shortest time of each layer, and whether compute or memory limits it."""
    from cnndsl.analysis.roofline import roofline as found_roofline

    _, network = network_of(file, model, parameters, inputs, outputs)
    try:
        found = found_roofline(network, device, batch)
    except ValueError as error:
        raise Trouble(str(error)) from None
    if output != "-":
        click.echo(json.dumps(found.rows()) if as_json else found.text(top))
    if output is not None:
        write_plot(found.svg(), output)
