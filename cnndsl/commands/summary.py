"""`cnndsl summary`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from cnndsl.commands.opening import network_of
from cnndsl.console import Trouble, network_arguments, sized

if TYPE_CHECKING:
    from cnndsl.analysis.tables import By


@click.command()
@network_arguments
@sized
@click.option("--json", "as_json", is_flag=True, help="Print data: one JSON object.")
@click.option("--csv", "as_csv", is_flag=True, help="Print a flat table as CSV.")
@click.option("--depth", type=click.IntRange(1), help="Show the tree to this depth only.")
@click.option(
    "--by",
    type=click.Choice(["layer", "op", "stage", "block"]),
    help="A flat table, a row for each of these, instead of the tree.",
)
@click.option("--top", type=click.IntRange(1), help="A flat table of the K most costly rows.")
@click.option(
    "--columns",
    metavar="NAME,NAME",
    help="A flat table of these: op, shape, parameters, macs, share, cumulative, bytes, rf,"
    " stride, intensity.",
)
def summary(
    file: str,
    model: str | None,
    parameters: dict[str, str],
    inputs: dict[str, tuple[int, ...]],
    as_json: bool,
    as_csv: bool,
    depth: int | None,
    by: By | None,
    top: int | None,
    columns: str | None,
) -> None:
    """Print the blocks of a network with shapes, parameters and multiply-adds.

    A row with ×N counts all N, so that each column adds up. With --by, --top, --columns
    or --csv it is a flat table, of layers unless --by says otherwise.
    """
    _, network = network_of(file, model, parameters, inputs)
    if as_json:
        click.echo(network.summary().json())
    elif by or top or columns or as_csv:
        from cnndsl.analysis.tables import USUAL, table

        chosen = [name.strip() for name in columns.split(",")] if columns else USUAL
        try:
            found = table(network, by or "layer", chosen, top)
        except LookupError as error:
            raise Trouble(str(error.args[0])) from None
        click.echo(found.csv() if as_csv else str(found), nl=not as_csv)
    elif sys.stdout.isatty():
        from rich.console import Console

        Console().print(network.summary().rich(depth))
    else:
        click.echo(network.summary().text(depth))
