"""`cnndsl memory`."""

from __future__ import annotations

import json

import click

from cnndsl.commands.opening import network_of, plotted, write_plot
from cnndsl.console import network_arguments, sized


@click.command()
@network_arguments
@sized
@click.option("--batch", type=click.IntRange(1), default=1, show_default=True)
@click.option(
    "--optimizer",
    type=click.Choice(["sgd", "momentum", "adam"]),
    default="momentum",
    show_default=True,
    help="How much training keeps per parameter: nothing, one number, or two.",
)
@click.option(
    "--inplace",
    is_flag=True,
    help="Activations write over their inputs, as nn.ReLU(inplace=True) does.",
)
@plotted
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, in bytes.")
def memory(
    file: str,
    model: str | None,
    parameters: dict[str, str],
    outputs: tuple[str, ...],
    inputs: dict[str, tuple[int, ...]],
    batch: int,
    optimizer: str,
    inplace: bool,
    output: str | None,
    as_json: bool,
) -> None:
    """Print how much memory a network needs: parameters, peak activations, training.

    The peak is that of the written PyTorch, unfused; beside it stands what the best order
    of execution needs.
    """
    from cnndsl.analysis.memory import memory as found_memory

    _, network = network_of(file, model, parameters, inputs, outputs)
    found = found_memory(network, batch, optimizer, inplace=inplace)
    if output != "-":
        click.echo(json.dumps(found.data()) if as_json else str(found))
    if output is not None:
        write_plot(found.svg(), output)
