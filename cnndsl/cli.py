"""The command line.  Exit status 0; 1, the file has faults; 2, usage or input and output."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click
from click.shell_completion import get_completion_class

from cnndsl import __version__
from cnndsl.console import (
    FAULTS,
    USAGE,
    Commands,
    NetworkFile,
    Trouble,
    UnfitError,
    network_arguments,
    numbers,
    output_path,
    pairs,
    report,
    sentence,
    sized,
)
from cnndsl.diagnostics import ArchError, Diagnostic, did_you_mean, listing, printable
from cnndsl.files import replacing

if TYPE_CHECKING:
    from cnndsl.analysis.expect import Checked
    from cnndsl.graph import Network
    from cnndsl.language.modules import BlockDefinition, FileScope
    from cnndsl.ops.base import Array

# What a command does not need is imported by those that do: `check` starts in a moment,
# and only `run --backend torch` ever imports torch.


def _scope(file: str) -> FileScope:
    """The parsed file, `-` for standard input."""
    from cnndsl import language
    from cnndsl.language.modules import MAX_BYTES, Loader, decode

    if file != "-":
        return language.read(file)
    source = decode(sys.stdin.buffer.read(MAX_BYTES), "<stdin>")
    return Loader().text(source.text, source.name)


def _pick(scope: FileScope, model: str | None) -> BlockDefinition:
    """The model that was asked for, else the first."""
    from cnndsl.language import pick

    if model is not None and scope.models and model not in scope.models:
        help = did_you_mean(model, scope.models) or f"there are {listing(scope.models)}"
        raise Trouble(f"{scope.tree.span.source.name} has no model `{model}`; {help}")
    return pick(scope, model)


def _elaborate(
    definition: BlockDefinition, parameters: dict[str, str], inputs: dict[str, tuple[int, ...]]
) -> Network:
    """The network with what was set; warnings are printed."""
    from cnndsl.language import elaborate

    declaration = definition.declaration
    _known(definition, "parameter", parameters, [param.name for param in declaration.params])
    _known(definition, "input", inputs, [port.name for port in declaration.inputs or ()])
    try:
        network = elaborate(definition, parameters, inputs)
    except ArchError as error:
        if (parameters or inputs) and _sound(definition):
            raise UnfitError(error.diagnostics) from None
        raise
    report(network.warnings)
    return network


def _sound(definition: BlockDefinition) -> bool:
    """Whether a model has no faults as it stands."""
    from cnndsl.language import elaborate

    try:
        elaborate(definition)
    except ArchError:
        return False
    return True


def _known(
    definition: BlockDefinition, what: str, given: Iterable[str], known: Collection[str]
) -> None:
    """Refuse names that the model has not: a fault of the call, not of the file."""
    for name in given:
        if name not in known:
            there = f"there are {listing(known)}" if known else "it has none"
            help = did_you_mean(name, known) or there
            raise Trouble(f"`{definition.name}` has no {what} `{name}`; {help}")


def _stem(file: str, scope: FileScope, definition: BlockDefinition) -> str:
    """The name of what is written: the file's, or the model's where it holds several."""
    alone = file != "-" and len(scope.models) == 1
    return scope.path.stem if alone else definition.name.lower()


# Commands


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 96},
)
@click.version_option(__version__)
def cli() -> None:
    """Networks written as their papers show them.

    FILE is an .arch file, `-` for standard input, or the name of a shipped network
    (`cnndsl list`).
    """


@cli.command("compile")
@network_arguments
@sized
@output_path
@click.option(
    "--optimize", is_flag=True, help="For inference: batch norm folded, channels last."
)
def compile_(
    file: str,
    model: str | None,
    parameters: dict[str, str],
    inputs: dict[str, tuple[int, ...]],
    output: str | None,
    optimize: bool,
) -> None:
    """Write a network as PyTorch source.

    Without -o it is written beside you, as FILE's name with the ending .py. What
    --optimize writes has a method `fold`, which takes the ordinary weights.
    """
    scope = _scope(file)
    definition = _pick(scope, model)
    network = _elaborate(definition, parameters, inputs)
    text = network.torch_source(optimize=optimize)
    if output == "-":
        sys.stdout.buffer.write(text.encode())
        return
    path = output or f"{_stem(file, scope, definition)}.py"
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")
    click.echo(f"{path}: {_costs(network)}")


@cli.command()
@click.argument("files", nargs=-1, required=True, type=NetworkFile())
def check(files: tuple[str, ...]) -> None:
    """Find the faults of files, and hold their models against their @expect."""
    status = 0
    for file in files:
        try:
            status = max(status, _check(file))
        except ArchError as error:
            report(error.diagnostics)
            status = max(status, FAULTS)
        except OSError as error:
            Trouble(sentence(error)).show()
            status = USAGE
    sys.exit(status)


def _check(file: str) -> int:
    from cnndsl.analysis.expect import check

    scope = _scope(file)
    name = printable(scope.tree.span.source.name)
    blocks = len(scope.tree.declarations)
    if not blocks:
        raise ArchError([Diagnostic("E224", f"{name} declares no model and no block")])
    if not scope.models:
        click.echo(f"{_ok()} {name}: {blocks} {_plural('block', blocks)}, no model")
    status = 0
    for model, definition in scope.models.items():
        checked = check(definition)
        report(checked.diagnostics)
        if any(d.severity == "error" for d in checked.diagnostics):
            status = FAULTS
        else:
            click.echo(f"{_ok()} {name}: {model}, {_checked(checked)}")
    return status


def _ok() -> str:
    return click.style("ok", fg="green")


def _checked(checked: Checked) -> str:
    assert checked.network is not None
    claims = f"{checked.claims} {_plural('claim', checked.claims)}"
    return f"{_costs(checked.network)}; {claims} of @expect"


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"


def _costs(network: Network) -> str:
    from cnndsl.analysis.costs import giga

    return f"{network.parameters:,} parameters, {giga(network.macs)} GMACs"


@cli.command()
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
@click.option("--seed", default=0, show_default=True, help="For random weights.")
@click.option("--backend", type=click.Choice(["numpy", "torch"]), default="numpy")
@click.option(
    "--optimize/--no-optimize",
    default=True,
    help="In NumPy: planned, by default, or one operation after another.",
)
@click.option("--mean", callback=numbers, help="For a photo, instead of ImageNet's.")
@click.option("--std", callback=numbers, help="For a photo, instead of ImageNet's.")
@click.option("-o", "--output", metavar="PATH", help="Write the outputs as .npz.")
def run(
    file: str,
    model: str | None,
    parameters: dict[str, str],
    inputs: dict[str, str],
    weights: str | None,
    seed: int,
    backend: str,
    optimize: bool,
    mean: tuple[float, ...] | None,
    std: tuple[float, ...] | None,
    output: str | None,
) -> None:
    """Run a network on arrays or a photo.

    A photo is resized (its shorter side to 256/224 of the input's), cropped at the centre,
    and scaled with ImageNet's mean and deviation.
    """
    from cnndsl.inputs import batched, photo, read_array

    definition = _pick(_scope(file), model)
    ports = {port.name: port for port in definition.declaration.inputs or ()}
    _known(definition, "input", inputs, ports)
    arrays = {
        name: batched(read_array(Path(path)), ports[name])
        for name, path in inputs.items()
        if path.endswith(".npy")
    }
    shapes = {name: tuple(array.shape[1:]) for name, array in arrays.items()}
    network = _elaborate(definition, parameters, shapes)
    for name, path in inputs.items():
        if name not in arrays:
            prepared = photo(Path(path), network.inputs[name].shape, mean, std)
            click.echo(prepared.said, err=True)
            arrays[name] = prepared.array
    outputs = _run(network, arrays, _weights(network, weights, seed), backend, optimize)
    if output is not None:
        _save(output, outputs)
    else:
        for name, array in outputs.items():
            click.echo(_described(name, array))


def _weights(network: Network, path: str | None, seed: int) -> dict[str, Array]:
    from cnndsl.backends.numpy.weights import random_weights

    if path is not None:
        return network.load_weights(path)
    click.echo(f"no --weights: they are random, from seed {seed}", err=True)
    return random_weights(network, seed)


def _run(
    network: Network,
    arrays: dict[str, Array],
    weights: dict[str, Array],
    backend: str,
    optimize: bool,
) -> dict[str, Array]:
    """The outputs by name."""
    if backend == "numpy":
        result = network.to_numpy(weights, optimize=optimize)(**arrays)
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


@cli.command()
@network_arguments
@sized
@output_path
@click.option(
    "--style",
    type=click.Choice(["blocks", "scale", "table", "terminal"]),
    default="blocks",
    show_default=True,
    help="The figure, its volumes to scale, the paper's table, or lanes in text.",
)
@click.option("--theme", type=click.Choice(["light", "dark", "paper"]), default="light")
@click.option(
    "--detail",
    type=click.Choice(["stages", "blocks", "full"]),
    help="Blocks closed; each opened once in an inset (the default); or all in their places. "
    "To scale: a prism a stage (the default), a block, or a layer.",
)
@click.option(
    "--open", "opened", metavar="BLOCK", multiple=True, help="With stages: open this."
)
@click.option(
    "--metrics",
    type=click.Choice(["macs", "params", "memory", "rf"]),
    help="Colour by multiply-adds, parameters, elements or receptive field.",
)
@click.option("--width-mm", type=click.FloatRange(10, 2000), help="The printed width.")
@click.option(
    "--engine",
    type=click.Choice(["graphviz", "dot", "pygraphviz"]),
    help="Let Graphviz place the boxes.",
)
def draw(
    file: str,
    model: str | None,
    parameters: dict[str, str],
    inputs: dict[str, tuple[int, ...]],
    output: str | None,
    style: str,
    theme: str,
    detail: str | None,
    opened: tuple[str, ...],
    metrics: str | None,
    width_mm: float | None,
    engine: str | None,
) -> None:
    """Draw a network, in the format of -o's ending.

    A figure is .svg, .png, .pdf, .html, .tikz (a TeX document), .mmd (Mermaid) or .dot.

    A table is .md, .tex or .html; the style `terminal` is printed, or written as .txt.
    """
    from cnndsl.figures import Options, draw, picture

    scope = _scope(file)
    definition = _pick(scope, model)
    network = _elaborate(definition, parameters, inputs)
    options = Options(style, theme, detail, opened, metrics, width_mm)
    if output == "-" or (output is None and style in ("table", "terminal")):
        format = {"table": "md", "terminal": "txt"}.get(style, "svg")
        sys.stdout.buffer.write(picture(network, format, engine=engine, options=options))
        return
    path = output or f"{_stem(file, scope, definition)}.svg"
    draw(network, path, engine=engine, options=options)
    click.echo(path)


@cli.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script that completes `cnndsl` in a shell.

    For bash: `eval "$(cnndsl completion bash)"` in ~/.bashrc.
    """
    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(cli, {}, "cnndsl", "_CNNDSL_COMPLETE").source())


def main() -> NoReturn:
    """The program."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123
        elif hasattr(stream, "reconfigure"):
            # A terminal that cannot show × gets a ?, not a traceback.
            stream.reconfigure(errors="replace")
    cli(prog_name="cnndsl")
    raise AssertionError("click ends the program")
