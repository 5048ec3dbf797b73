"""`cnndsl counts`."""

from __future__ import annotations

import click

from cnndsl.commands.opening import network_of, unknown
from cnndsl.console import Trouble, network_arguments, pairs, sized


@click.command()
@network_arguments
@sized
@click.option("--as", "tool", metavar="TOOL", help="Print what this tool would report.")
@click.option(
    "--functional",
    metavar="NAME",
    multiple=True,
    help="An operation or node called as a function, which hooks miss.",
)
@click.option(
    "--explain",
    "figures",
    metavar="TOOL=FIGURE",
    multiple=True,
    callback=pairs("tool=4133.743M"),
    help="Explain a published figure by what it counts and leaves out.",
)
def counts(
    file: str,
    model: str | None,
    parameters: dict[str, str],
    outputs: tuple[str, ...],
    inputs: dict[str, tuple[int, ...]],
    tool: str | None,
    functional: tuple[str, ...],
    figures: dict[str, str],
) -> None:
    """Print a network's operations by kind, or what other counting tools would report.

    TOOL is one of exact, torchvision, fvcore, ptflops, ptflops-aten, torchinfo,
    torchprofile, thop, darknet and ultralytics. The count with all of them is printed
    where none is named.
    """
    from cnndsl.analysis.counts import TOOLS, reconcile
    from cnndsl.analysis.counts import counts as counted
    from cnndsl.analysis.work import work

    _, network = network_of(file, model, parameters, inputs, outputs)
    if tool is not None and tool not in TOOLS:
        raise unknown("preset", tool, TOOLS, "counts")
    known = {name for node in network for name in (node.name, node.op.name)}
    for name in functional:
        if name not in known:
            raise unknown("node or operation", name, sorted(known), network.name)
    for name, figure in figures.items():
        try:
            click.echo(str(reconcile(network, name, figure)))
        except ValueError as error:
            raise Trouble(str(error)) from None
    if tool is not None:
        click.echo(str(counted(network, tool, functional)))
    elif not figures:
        click.echo(str(work(network)))
        click.echo()
        for name in TOOLS:
            click.echo(counted(network, name, functional).line())
