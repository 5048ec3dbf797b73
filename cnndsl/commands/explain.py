"""`cnndsl explain`."""

from __future__ import annotations

import click

from cnndsl.commands.opening import network_of
from cnndsl.console import Trouble, network_arguments, sized


@click.command()
@network_arguments
@click.argument("label")
@sized
def explain(
    file: str,
    model: str | None,
    parameters: dict[str, str],
    outputs: tuple[str, ...],
    label: str,
    inputs: dict[str, tuple[int, ...]],
) -> None:
    """Explain a LABEL or node: attributes, shape, costs, receptive field, inputs."""
    from cnndsl.analysis.explain import explain as explained

    _, network = network_of(file, model, parameters, inputs, outputs)
    try:
        found = explained(network, label)
    except LookupError as error:
        raise Trouble(str(error.args[0])) from None
    click.echo(str(found))
