"""What the commands of analysis share: a network from a file, and others of its kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from cnndsl.cli import _elaborate as elaborated
from cnndsl.cli import _pick as pick
from cnndsl.cli import _scope as scope
from cnndsl.console import Trouble
from cnndsl.diagnostics import did_you_mean

__all__ = [
    "build", "elaborated", "network_of", "pick", "plotted", "scope", "unknown", "write_plot",
]  # fmt: skip

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cnndsl.graph import Network
    from cnndsl.language.modules import BlockDefinition
    from cnndsl.ops.base import Shape


MOST = 8
"""How many names an error lists."""


def network_of(
    file: str,
    model: str | None,
    parameters: dict[str, str],
    inputs: dict[str, tuple[int, ...]],
) -> tuple[BlockDefinition, Network]:
    """A model's definition and its network, as the command line asks for it."""
    definition = pick(scope(file), model)
    return definition, elaborated(definition, parameters, inputs)


def _plot_path(_: click.Context, __: click.Parameter, path: str | None) -> str | None:
    if path is not None and path != "-" and not path.endswith(".svg"):
        raise Trouble(f"{path}: a plot is written as .svg")
    return path


plotted = click.option(
    "-o",
    "--output",
    metavar="PATH",
    callback=_plot_path,
    help="Write the plot as .svg; `-`: to the screen.",
)


def write_plot(svg: str, path: str) -> None:
    """Write a plot where `-o` says."""
    from cnndsl.files import replacing

    if path == "-":
        click.echo(svg, nl=False)
        return
    with replacing(path) as part:
        part.write_text(svg, encoding="utf-8")
    click.echo(path, err=True)


def build(
    definition: BlockDefinition,
) -> Callable[[Mapping[str, object], Mapping[str, Shape]], Network]:
    """Networks of one definition, from values and shapes.  Raises ArchError."""
    from cnndsl.language import elaborate

    def built(values: Mapping[str, object], shapes: Mapping[str, Shape]) -> Network:
        return elaborate(definition, values, shapes)

    return built


def unknown(what: str, name: str, known: Iterable[str], owner: str) -> Trouble:
    """A name that is not there, with the nearest that is."""
    names = list(known)
    if not names:
        return Trouble(f"`{owner}` has no {what} `{name}`, and no other")
    more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
    help = did_you_mean(name, names) or f"there are {', '.join(names[:MOST])}{more}"
    return Trouble(f"`{owner}` has no {what} `{name}`; {help}")
