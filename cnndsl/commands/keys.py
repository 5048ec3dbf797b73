"""`cnndsl keys`."""

from __future__ import annotations

import sys

import click

from cnndsl.commands.opening import network_of
from cnndsl.console import network_arguments, output_path
from cnndsl.files import replacing


@click.command()
@network_arguments
@output_path
def keys(
    file: str,
    model: str | None,
    parameters: dict[str, str],
    outputs: tuple[str, ...],
    output: str | None,
) -> None:
    """Print the keys of a network's `state_dict`, each with its shape.

    A model keeps such a list with `@keys("model.keys")` above it, and `check` compares.
    """
    from cnndsl.analysis.keys import keys as found
    from cnndsl.analysis.keys import text

    _, network = network_of(file, model, parameters, {}, outputs)
    listed = text(found(network))
    if output in (None, "-"):
        sys.stdout.buffer.write(listed.encode())
        return
    assert output is not None
    with replacing(output) as part:
        part.write_text(listed, encoding="utf-8")
    click.echo(f"{output}: {len(listed.splitlines())} keys")
