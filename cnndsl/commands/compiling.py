"""`cnndsl compile`."""

from __future__ import annotations

import sys

import click

from cnndsl.commands.opening import costs_of, elaborated, pick, scope, stem
from cnndsl.console import network_arguments, output_path, sized
from cnndsl.files import replacing


@click.command("compile")
@network_arguments
@sized
@output_path
@click.option(
    "--optimize", is_flag=True, help="For inference: fold batch norm, use channels last."
)
def compiling(
    file: str,
    model: str | None,
    parameters: dict[str, str],
    inputs: dict[str, tuple[int, ...]],
    output: str | None,
    optimize: bool,
) -> None:
    """Write a network as PyTorch source.

    Without -o it goes to the current directory, under FILE's name with the ending .py.
    With --optimize the module has a method `fold`, which takes the ordinary weights.
    """
    opened = scope(file)
    definition = pick(opened, model)
    network = elaborated(definition, parameters, inputs)
    text = network.torch_source(optimize=optimize)
    if output == "-":
        sys.stdout.buffer.write(text.encode())
        return
    path = output or f"{stem(file, opened, definition)}.py"
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")
    click.echo(f"{path}: {costs_of(network)}")
