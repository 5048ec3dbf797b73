"""What the commands of analysis share: a network from a file, and others of its kind."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cnndsl.console import Trouble, UnfitError, report
from cnndsl.diagnostics import ArchError, did_you_mean, listing
from cnndsl.files import read_input, replacing

if TYPE_CHECKING:
    from cnndsl import graph
    from cnndsl.language.names import BlockDefinition, FileScope
    from cnndsl.network import Network


MOST = 8
"""How many names an error lists."""


def foreign(source: str) -> bool:
    """Whether a name is a foreign network's, `timm:resnet50` or `net.onnx`, and no file's."""
    if source.endswith((".pt2", ".onnx")):
        return True
    owner, colon, name = source.rpartition(":")
    dotted = all(part.isidentifier() for part in owner.split("."))
    return bool(colon) and name.isidentifier() and (dotted or owner.endswith(".py"))


def scope(file: str) -> FileScope:
    """The parsed file, `-` for standard input; a foreign network is imported in memory."""
    from cnndsl import language
    from cnndsl.language.modules import MAX_BYTES, Loader, decode

    if foreign(file):
        from cnndsl.importing.sources import read

        return Loader().text(read(file).text, file)
    if file != "-":
        return language.read(file)
    source = decode(read_input(MAX_BYTES), "<stdin>")
    return Loader().text(source.text, source.name)


def pick(opened: FileScope, model: str | None) -> BlockDefinition:
    """The model that was asked for, else the first; where there are others it says so."""
    from cnndsl import language

    if model is not None and opened.models and model not in opened.models:
        help = did_you_mean(model, opened.models) or f"there are {listing(opened.models)}"
        raise Trouble(f"{opened.tree.span.source.name} has no model `{model}`; {help}")
    picked = language.pick(opened, model)
    if model is None and len(opened.models) > 1:
        others = listing([name for name in opened.models if name != picked.name])
        click.echo(f"using {picked.name}; --model takes {others}", err=True)
    return picked


def elaborated(
    definition: BlockDefinition,
    parameters: dict[str, str],
    inputs: dict[str, tuple[int, ...]],
    outputs: tuple[str, ...] = (),
) -> Network:
    """The network with what was set, as far as these labels need it; warnings are printed."""
    from cnndsl.network import elaborate

    declaration = definition.declaration
    named = [param.name for param in declaration.params]
    known_names(definition, "parameter", parameters, named)
    known_names(definition, "input", inputs, [port.name for port in declaration.inputs or ()])
    try:
        network = elaborate(definition, parameters, inputs)
        if outputs:
            network = network.outputs_at(*outputs)
    except ArchError as error:
        if (parameters or inputs or outputs) and _sound(definition):
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


def known_names(
    definition: BlockDefinition, what: str, given: Iterable[str], known: Collection[str]
) -> None:
    """Refuse names that the model has not: a fault of the call, not of the file."""
    for name in given:
        if name not in known:
            there = f"there are {listing(known)}" if known else "it has none"
            help = did_you_mean(name, known) or there
            raise Trouble(f"`{definition.name}` has no {what} `{name}`; {help}")


def stem(file: str, opened: FileScope, definition: BlockDefinition) -> str:
    """The name of what is written: the file's, or the model's where it holds several."""
    if foreign(file):
        return stem_of(file)
    alone = file != "-" and len(opened.models) == 1
    return opened.path.stem if alone else definition.name.lower()


def stem_of(source: str) -> str:
    """The name of what is written for a foreign network."""
    name = source.rpartition(":")[2]
    return Path(name).stem if name.endswith((".pt2", ".onnx")) else name.lower()


def costs_of(network: graph.Network) -> str:
    """Parameters and multiply-adds, in words."""
    from cnndsl.analysis.costs import giga, total

    whole = total(network)
    return f"{whole.parameters:,} parameters, {giga(whole.macs)} GMACs"


def network_of(
    file: str,
    model: str | None,
    parameters: dict[str, str],
    inputs: dict[str, tuple[int, ...]],
    outputs: tuple[str, ...] = (),
) -> tuple[BlockDefinition, Network]:
    """A model's definition and its network, as the command line asks for it."""
    definition = pick(scope(file), model)
    return definition, elaborated(definition, parameters, inputs, outputs)


def _plot_path(_: click.Context, __: click.Parameter, path: str | None) -> str | None:
    if path is not None and path != "-" and not path.endswith(".svg"):
        raise Trouble(f"{path}: a plot is written as .svg")
    return path


plotted = click.option(
    "-o",
    "--output",
    metavar="PATH",
    callback=_plot_path,
    help="Write the plot as .svg; `-` is standard output.",
)


def write_plot(svg: str, path: str) -> None:
    """Write a plot where `-o` says."""
    if path == "-":
        click.echo(svg, nl=False)
        return
    with replacing(path) as part:
        part.write_text(svg, encoding="utf-8")
    click.echo(path, err=True)


def unknown(what: str, name: str, known: Iterable[str], owner: str) -> Trouble:
    """A name that is not there, with the nearest that is."""
    names = list(known)
    if not names:
        return Trouble(f"`{owner}` has no {what} `{name}`, and no other")
    more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
    help = did_you_mean(name, names) or f"there are {', '.join(names[:MOST])}{more}"
    return Trouble(f"`{owner}` has no {what} `{name}`; {help}")
