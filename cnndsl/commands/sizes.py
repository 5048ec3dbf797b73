"""`cnndsl sizes`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from cnndsl.commands.opening import network_of, unknown
from cnndsl.console import Trouble, network_arguments, sized

if TYPE_CHECKING:
    from cnndsl.analysis.sizes import Sizes


@click.command()
@network_arguments
@sized
@click.option(
    "--at",
    metavar="H=320",
    multiple=True,
    help="Check a size and print its figures; may be repeated.",
)
def sizes(
    file: str,
    model: str | None,
    parameters: dict[str, str],
    outputs: tuple[str, ...],
    inputs: dict[str, tuple[int, ...]],
    at: tuple[str, ...],
) -> None:
    """Print costs as formulas of the input size, and which sizes are accepted.

    The forms are in the named sizes of the model's inputs and in those of its integer
    parameters for which a formula holds. Sizes are accepted as PyTorch accepts them: by
    the network as it was built, with its weights.
    """
    from cnndsl.analysis.closed import free_parameters
    from cnndsl.analysis.sizes import sizes as found_sizes

    _, network = network_of(file, model, parameters, inputs, outputs)
    assert network.again is not None
    found = found_sizes(free_parameters(network.again, network))
    asked = _asked(at, found.forms.sizes, network.name)
    click.echo(str(found))
    if asked:
        click.echo(f"\n{_answer(found, asked)}")


def _asked(at: tuple[str, ...], known: Mapping[str, int], network: str) -> dict[str, int]:
    """The sizes that are asked about."""
    asked: dict[str, int] = {}
    for text in at:
        name, _, value = text.partition("=")
        if name not in known:
            raise unknown("size", name, known, network)
        if not (value.isascii() and value.isdigit() and 0 < int(value) < 10**9):
            raise Trouble(f"cannot read the size `{text}`: write {name}={known[name]}")
        if name in asked:
            raise Trouble(f"`{name}` is given twice")
        asked[name] = int(value)
    return asked


def _answer(found: Sizes, asked: dict[str, int]) -> str:
    """What the file gives at these sizes, or why it gives nothing, and the nearest that fit."""
    shown = ", ".join(f"{name}={size}" for name, size in asked.items())
    try:
        figures = found.at(**asked)
        said = f"{figures['parameters']:,} parameters, {figures['macs']:,} MACs"
        lines = [f"at {shown}: {said}"]
    except LookupError as error:
        lines = [f"at {shown}: refused by {error.args[0]}"]
    else:
        blame = found.blame(**asked)
        if blame is None:
            return lines[0]
        lines.append(f"           with other weights: {blame}")
    axes = {name: size for name, size in asked.items() if name in found.valid}
    near = ", ".join(
        f"{name}={size}" if size is not None else f"no {name}"
        for name, size in found.nearest(**axes).items()
    )
    return "\n".join([*lines, *([f"nearest    {near}"] if near else [])])
