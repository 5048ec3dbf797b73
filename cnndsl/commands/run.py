"""`cnndsl run`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cnndsl.commands.opening import elaborated, known_names, pick, scope
from cnndsl.console import Trouble, network_arguments, numbers, pairs
from cnndsl.files import replacing

if TYPE_CHECKING:
    from cnndsl.network import Network
    from cnndsl.ops.facts import Array


@click.command()
@network_arguments
@click.option(
    "--input",
    "inputs",
    metavar="NAME=PATH",
    multiple=True,
    required=True,
    callback=pairs("name=x.npy or name=photo.png"),
    help="An array (.npy, with or without the batch) or a photo, for each input.",
)
@click.option("--weights", metavar="PATH", help="A .safetensors, .npz or .pth file.")
@click.option("--map", "renamed", metavar="FILE", help="Lines `theirs -> ours`, or JSON.")
@click.option("--partial", is_flag=True, help="Skip a head of a different size.")
@click.option(
    "--seed",
    type=click.IntRange(0, 2**64 - 1),
    default=0,
    show_default=True,
    help="Seed of the random weights.",
)
@click.option("--backend", type=click.Choice(["numpy", "torch"]), default="numpy")
@click.option(
    "--optimize/--no-optimize",
    default=True,
    help="With NumPy: use the optimised plan (the default), or the plain interpreter.",
)
@click.option("--verify", is_flag=True, help="First compare the plan with the interpreter.")
@click.option("--mean", callback=numbers, help="For a photo; ImageNet's by default.")
@click.option("--std", callback=numbers, help="For a photo; ImageNet's by default.")
@click.option("-o", "--output", metavar="PATH", help="Write the outputs as .npz.")
def run(
    file: str,
    model: str | None,
    parameters: dict[str, str],
    outputs: tuple[str, ...],
    inputs: dict[str, str],
    weights: str | None,
    renamed: str | None,
    partial: bool,
    seed: int,
    backend: str,
    optimize: bool,
    verify: bool,
    mean: tuple[float, ...] | None,
    std: tuple[float, ...] | None,
    output: str | None,
) -> None:
    """Run a network on arrays or a photo.

    A photo is resized (its shorter side to 256/224 of the input's), cropped at the centre,
    and scaled with ImageNet's mean and deviation. With --verify the plan and the definition
    of each operation are first compared on random inputs.
    """
    from cnndsl.inputs import batched, photo, read_array

    if verify and (backend != "numpy" or not optimize):
        raise Trouble("--verify checks NumPy's plan, and this run makes none")
    if (mean or std) and all(path.endswith(".npy") for path in inputs.values()):
        raise Trouble("--mean and --std are for photos, and no input is a photo")
    if weights is None and (renamed is not None or partial):
        raise Trouble("--map and --partial are for --weights")
    definition = pick(scope(file), model)
    ports = {port.name: port for port in definition.declaration.inputs or ()}
    known_names(definition, "input", inputs, ports)
    arrays = {
        name: batched(read_array(Path(path)), ports[name])
        for name, path in inputs.items()
        if path.endswith(".npy")
    }
    shapes = {name: tuple(array.shape[1:]) for name, array in arrays.items()}
    network = elaborated(definition, parameters, shapes, outputs)
    for name, path in inputs.items():
        if name not in arrays and name in network.inputs:
            prepared = photo(Path(path), network.inputs[name].shape, mean, std)
            click.echo(prepared.said, err=True)
            arrays[name] = prepared.array
    values = _weights(network, weights, seed, renamed, partial)
    arrays = {name: arrays[name] for name in network.inputs if name in arrays}
    found = _run(network, arrays, values, backend, optimize=optimize, verify=verify)
    if output is not None:
        _save(output, found)
    else:
        for name, array in found.items():
            click.echo(_described(name, array))


def _weights(
    network: Network, path: str | None, seed: int, renamed: str | None, partial: bool
) -> dict[str, Array]:
    from cnndsl.analysis.weights import random_weights

    if path is not None:
        from cnndsl.weights.console import loaded

        found, notes = loaded(network, path, renamed, partial)
        for note in notes:
            click.echo(note, err=True)
        return found
    click.echo(f"without --weights, weights are random (seed {seed})", err=True)
    return random_weights(network, seed)


def _run(
    network: Network,
    arrays: dict[str, Array],
    weights: dict[str, Array],
    backend: str,
    *,
    optimize: bool,
    verify: bool,
) -> dict[str, Array]:
    """The outputs by name."""
    if backend == "numpy":
        function = network.to_numpy(weights, optimize=optimize, verify=verify)
        if verify:
            click.echo("verified: the plan is what the operations define", err=True)
        result = function(**arrays)
        return result if isinstance(result, dict) else {next(iter(network.outputs)): result}
    from cnndsl.backends.numpy.interpreter import checked_inputs
    from cnndsl.backends.torch.evaluate import outputs

    return outputs(network, checked_inputs(network, (), arrays), weights)


def _save(path: str, outputs: dict[str, Array]) -> None:
    from io import BytesIO

    import numpy as np

    # Written at once: a pipe and a device cannot go back, as the format's writer does.
    buffer = BytesIO()
    np.savez(buffer, **outputs)  # type: ignore[arg-type]
    if path == "-":
        sys.stdout.buffer.write(buffer.getvalue())
        return
    with replacing(path) as part:
        part.write_bytes(buffer.getvalue())
    shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in outputs.items())
    click.echo(f"{path}: {shapes}")


def _described(name: str, array: Array) -> str:
    """An output in a line: its shape, its range, and the largest of a vector."""
    text = f"{name} {list(array.shape)}"
    if not array.size:
        return text
    text += f", {array.min():.6g} to {array.max():.6g}"
    if array.ndim == 2 and array.shape[1] > 1:
        best = array[0].argsort()[::-1][:5]
        text += f"; largest: {', '.join(f'[{i}] {array[0, i]:.6g}' for i in best)}"
    return text
