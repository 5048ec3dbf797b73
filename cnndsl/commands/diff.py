"""`cnndsl diff`."""

from __future__ import annotations

import json
import sys

import click

from cnndsl.commands.opening import elaborated, pick, scope
from cnndsl.console import NetworkFile, Trouble, pairs, sized


@click.command()
@click.argument("before", type=NetworkFile())
@click.argument("after", type=NetworkFile(), required=False)
@click.option("--model", metavar="NAME", help="Which model, where a file holds several.")
@click.option(
    "--from",
    "first",
    metavar="NAME=VALUE",
    multiple=True,
    callback=pairs("name=value"),
    help="Set a parameter of the first network.",
)
@click.option(
    "--set",
    "second",
    metavar="NAME=VALUE",
    multiple=True,
    callback=pairs("name=value"),
    help="Set a parameter of the second network.",
)
@sized
@click.option("--markdown", is_flag=True, help="A table for a pull request.")
@click.option("--json", "as_json", is_flag=True, help="Print data: one JSON array.")
@click.option("--exit-code", is_flag=True, help="Exit with 1 if they differ, as git does.")
def diff(
    before: str,
    after: str | None,
    model: str | None,
    first: dict[str, str],
    second: dict[str, str],
    inputs: dict[str, tuple[int, ...]],
    markdown: bool,
    as_json: bool,
    exit_code: bool,
) -> None:
    """Print what differs between two files, or two settings of one.

    `cnndsl diff resnet50 --from stride_on=v1 --set stride_on=v1_5`
    """
    from cnndsl.analysis.diff import diff as compared

    if after is None and first == second:
        raise Trouble("one file does not differ from itself: name another, or --set a value")
    one = elaborated(pick(scope(before), model), first, inputs)
    two = elaborated(pick(scope(after or before), model), second, inputs)
    found = compared(one, two)
    if as_json:
        click.echo(json.dumps(found.rows()))
    else:
        click.echo(found.markdown() if markdown else str(found))
    if exit_code and found:
        sys.exit(1)
