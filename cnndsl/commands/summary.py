"""`cnndsl summary`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from cnndsl.commands.opening import network_of
from cnndsl.console import Trouble, network_arguments, sized

if TYPE_CHECKING:
    from cnndsl.analysis.tables import By
    from cnndsl.network import Network


@click.command()
@network_arguments
@sized
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--csv", "as_csv", is_flag=True, help="Print a flat table as CSV.")
@click.option("--depth", type=click.IntRange(1), help="Show the tree down to this depth.")
@click.option(
    "--by",
    type=click.Choice(["layer", "op", "stage", "block"]),
    help="A flat table with one row for each of these, instead of the tree.",
)
@click.option("--top", type=click.IntRange(1), help="A flat table of the K largest rows.")
@click.option(
    "--columns",
    metavar="NAME,NAME",
    help="These columns: op, shape, parameters, macs, share, cumulative, bytes, rf,"
    " stride, intensity.",
)
def summary(
    file: str,
    model: str | None,
    parameters: dict[str, str],
    outputs: tuple[str, ...],
    inputs: dict[str, tuple[int, ...]],
    as_json: bool,
    as_csv: bool,
    depth: int | None,
    by: By | None,
    top: int | None,
    columns: str | None,
) -> None:
    """Print the blocks of a network with shapes, parameters and multiply-adds.

    It is the tree of what is written; a row with ×N counts all N, so that each column adds
    up. With --by, --top or --csv it is a flat table, of layers unless --by says otherwise.
    """
    from cnndsl.analysis.columns import USUAL

    flat = bool(by or top or as_csv or (as_json and columns))
    if depth is not None and (flat or as_json):
        raise Trouble("--depth cuts the tree; what --by, --top, --csv and --json give has none")
    if as_csv and as_json:
        raise Trouble("choose one of --csv and --json")
    _, network = network_of(file, model, parameters, inputs, outputs)
    chosen = [name.strip() for name in columns.split(",")] if columns else USUAL
    try:
        if flat:
            click.echo(_flat(network, by or "layer", chosen, top, as_csv, as_json), nl=False)
        elif as_json:
            click.echo(network.summary().json())
        elif sys.stdout.isatty():
            from rich.console import Console

            Console().print(network.summary().rich(depth, chosen))
        else:
            click.echo(network.summary().text(depth, chosen))
    except LookupError as error:
        raise Trouble(str(error.args[0])) from None


def _flat(
    network: Network,
    by: By,
    columns: Sequence[str],
    top: int | None,
    as_csv: bool,
    as_json: bool,
) -> str:
    from cnndsl.analysis.tables import table

    found = table(network, by, columns, top)
    if as_csv:
        return found.csv()
    return f"{json.dumps(found.data()) if as_json else found}\n"
