"""`cnndsl compile`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from cnndsl.commands.opening import costs_of, elaborated, pick, scope, stem
from cnndsl.console import Trouble, network_arguments, output_path, report, sized
from cnndsl.files import replacing

if TYPE_CHECKING:
    from cnndsl.network import Network


@click.command("compile")
@network_arguments
@sized
@output_path
@click.option(
    "--optimize", is_flag=True, help="For inference: fold batch norm, use channels last."
)
@click.option("--weights", metavar="PATH", help="For ONNX: a .safetensors, .npz or .pth file.")
@click.option("--functions", is_flag=True, help="For ONNX: each block is a local function.")
def compiling(
    file: str,
    model: str | None,
    parameters: dict[str, str],
    outputs: tuple[str, ...],
    inputs: dict[str, tuple[int, ...]],
    output: str | None,
    optimize: bool,
    weights: str | None,
    functions: bool,
) -> None:
    """Write a network as PyTorch source, or as ONNX.

    Without -o it is PyTorch, in the current directory, under FILE's name with the ending
    .py. With --optimize the module has a method `fold`, which takes the ordinary weights.
    With -o NAME.onnx it is ONNX with its weights in it, random ones unless --weights gives
    them.
    """
    onnx = output is not None and output.endswith(".onnx")
    if not onnx and (weights is not None or functions):
        raise Trouble("--weights and --functions are for ONNX: -o NAME.onnx")
    if onnx and optimize:
        raise Trouble("--optimize is for PyTorch; runtimes of ONNX fold batch norm themselves")
    opened = scope(file)
    definition = pick(opened, model)
    network = elaborated(definition, parameters, inputs, outputs)
    path = output or f"{stem(file, opened, definition)}.py"
    if onnx:
        _write_onnx(network, path, weights, functions=functions)
    else:
        from cnndsl.backends.torch import write

        written = write(network, optimize=optimize)
        report(written.warnings)
        text = written.text
        if output == "-":
            sys.stdout.buffer.write(text.encode())
            return
        with replacing(path) as part:
            part.write_text(text, encoding="utf-8")
    click.echo(f"{path}: {costs_of(network)}")


def _write_onnx(network: Network, path: str, weights: str | None, *, functions: bool) -> None:
    """Write the model, and say what its weights are."""
    values = None
    if weights is None:
        click.echo("without --weights, weights are random (seed 0)", err=True)
    else:
        from cnndsl.weights.console import loaded

        values, notes = loaded(network, weights, None, partial=False)
        for note in notes:
            click.echo(note, err=True)
    made = network.to_onnx(values, functions=functions)
    with replacing(path) as part:
        part.write_bytes(made.SerializeToString())
