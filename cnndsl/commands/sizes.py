"""`cnndsl sizes`."""

from __future__ import annotations

import click

from cnndsl.commands.opening import build, network_of
from cnndsl.console import Trouble, network_arguments, sized
from cnndsl.diagnostics import did_you_mean


@click.command()
@network_arguments
@sized
@click.option(
    "--at",
    metavar="H=320",
    multiple=True,
    help="Ask about a size: whether it fits, and the figures there; may be repeated.",
)
def sizes(
    file: str,
    model: str | None,
    parameters: dict[str, str],
    inputs: dict[str, tuple[int, ...]],
    at: tuple[str, ...],
) -> None:
    """Print the closed forms of a network, and which input sizes it accepts.

    The forms are in the named sizes of the model's inputs and in those of its integer
    parameters for which a formula holds. Sizes are accepted as PyTorch accepts them: by
    the network as it was built, with its weights.
    """
    from cnndsl.analysis.closed import free_parameters
    from cnndsl.analysis.sizes import sizes as found_sizes

    definition, network = network_of(file, model, parameters, inputs)
    found = found_sizes(free_parameters(build(definition), network))
    click.echo(str(found))
    if not at:
        return
    asked: dict[str, int] = {}
    for text in at:
        name, _, value = text.partition("=")
        if name not in found.forms.sizes:
            help = did_you_mean(name, found.forms.sizes)
            there = f"there are {', '.join(found.forms.sizes)}"
            raise Trouble(f"`{network.name}` has no size `{name}`; {help or there}")
        if not (value.isascii() and value.isdigit() and 0 < int(value) < 10**9):
            raise Trouble(f"`{text}` is no size: write {name}=320")
        asked[name] = int(value)
    shown = ", ".join(f"{name}={size}" for name, size in asked.items())
    axes = {name: size for name, size in asked.items() if name in found.valid}
    blame = found.blame(**asked)
    click.echo()
    if blame is None:
        figures = found.forms.at(**asked)
        click.echo(
            f"at {shown}: {figures['parameters']:,} parameters, {figures['macs']:,} MACs"
        )
        return
    click.echo(f"at {shown}: refused by {blame}")
    near = ", ".join(
        f"{name}={size}" if size is not None else f"no {name}"
        for name, size in found.nearest(**axes).items()
    )
    click.echo(f"nearest    {near}")
