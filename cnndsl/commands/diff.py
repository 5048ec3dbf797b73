"""`cnndsl diff`."""

from __future__ import annotations

import json
import sys
from functools import partial
from typing import TYPE_CHECKING

import click

from cnndsl.commands.opening import elaborated, pick, scope
from cnndsl.console import NetworkFile, Trouble, outputs_option, sized

if TYPE_CHECKING:
    from cnndsl.graph import Network

Values = dict[str, str]


def _sides(
    ctx: click.Context, param: click.Parameter, texts: tuple[str, ...]
) -> dict[str, list[str]]:
    """For each name the values given to it, one or two."""
    found: dict[str, list[str]] = {}
    for text in texts:
        name, equal, value = text.partition("=")
        if not (equal and name and value):
            raise click.BadParameter(f"`{text}` is not name=value", ctx, param)
        found.setdefault(name, []).append(value)
        if len(found[name]) > 2:
            times = f"`{name}` is given {len(found[name])} times"
            message = f"{times}; give it at most twice, before and after"
            raise click.BadParameter(message, ctx, param)
    return found


@click.command()
@click.argument("before", type=NetworkFile())
@click.argument("after", type=NetworkFile(), required=False)
@click.option("--model", metavar="NAME", help="Which model, if a file has several.")
@click.option(
    "--set",
    "settings",
    metavar="NAME=VALUE",
    multiple=True,
    callback=_sides,
    help="Set a parameter: given twice, its value before and after; given once, its value"
    " in both of two files, or after in one.",
)
@sized
@outputs_option
@click.option("--markdown", is_flag=True, help="Print a Markdown table for a pull request.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "-o",
    "--output",
    metavar="PATH",
    help="Draw the difference as .svg, .png, .pdf, .html or .tikz; `-` is SVG.",
)
@click.option("--theme", type=click.Choice(["light", "dark", "paper"]), help="Its theme.")
@click.option("--exit-code", is_flag=True, help="Exit with 1 if they differ, as git does.")
def diff(
    before: str,
    after: str | None,
    model: str | None,
    settings: dict[str, list[str]],
    inputs: dict[str, tuple[int, ...]],
    outputs: tuple[str, ...],
    markdown: bool,
    as_json: bool,
    output: str | None,
    theme: str | None,
    exit_code: bool,
) -> None:
    """Print what differs between two files, or two settings of one; with -o, draw it.

    `cnndsl diff resnet50 --set stride_on=v1 --set stride_on=v1_5`
    """
    from cnndsl.analysis.diff import diff as compared

    if after is None and not settings:
        raise Trouble("one file does not differ from itself: name another, or --set a value")
    if before == after == "-":
        raise Trouble("standard input is read once: name one of the files")
    if sum((markdown, as_json, output is not None)) > 1:
        raise Trouble("choose one of --markdown, --json and -o")
    if theme and output is None:
        raise Trouble("--theme needs a drawing: name its file with -o")
    first, second = _settings(settings, both=after is not None)
    one = elaborated(pick(scope(before), model), first, inputs, outputs)
    two = elaborated(pick(scope(after or before), model), second, inputs, outputs)
    found = compared(one, two)
    if output is not None:
        _draw(one, two, output, theme or "light")
    elif as_json:
        click.echo(json.dumps(found.data()))
    else:
        click.echo(found.markdown() if markdown else str(found))
    if exit_code and found:
        sys.exit(1)


def _draw(before: Network, after: Network, output: str, theme: str) -> None:
    """Write the picture, `-` to standard output as SVG."""
    from cnndsl.figures import Options, diff_picture, draw_diff

    options = Options(theme=theme)
    if output == "-":
        sys.stdout.buffer.write(diff_picture(before, after, options=options))
        return
    draw_diff(before, after, output, options=options, told=partial(click.echo, err=True))
    click.echo(output)


def _settings(given: dict[str, list[str]], *, both: bool) -> tuple[Values, Values]:
    """What is set before, and what after."""
    first = {name: values[0] for name, values in given.items() if both or len(values) == 2}
    return first, {name: values[-1] for name, values in given.items()}
