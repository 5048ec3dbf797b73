"""`cnndsl list`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import click

from cnndsl.diagnostics import ArchError, Diagnostic
from cnndsl.files import shipped

if TYPE_CHECKING:
    from cnndsl.language.names import BlockDefinition


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
def listing(as_json: bool) -> None:
    """Print the shipped networks with their parameters, multiply-adds and paper.

    Of a file with several models the first is shown, and named.
    """
    from cnndsl.language import pick, read

    faults: list[Diagnostic] = []
    found: list[Listed] = []
    for name, path in shipped().items():
        try:
            scope = read(path)
            definition = pick(scope)
            found.append(Listed(name, definition, len(scope.models) > 1))
        except ArchError as error:
            faults += error.diagnostics
    say = _listed_json if as_json else _listed
    say(found, faults)
    if faults:
        raise ArchError(faults)


class Listed(NamedTuple):
    """A file's name, its first model, and whether there are others."""

    name: str
    definition: BlockDefinition
    several: bool

    def __str__(self) -> str:
        """The name that `load` takes, and the model's where the file has others."""
        return f"{self.name} {self.definition.name}" if self.several else self.name


def _counted(
    definitions: Sequence[Listed], faults: list[Diagnostic]
) -> Iterator[tuple[Listed, int, int]]:
    """Each network's parameters and multiply-adds, as soon as they are known.

    Those with faults are left out.
    """
    from cnndsl.network import elaborate

    for listed in definitions:
        try:
            network = elaborate(listed.definition)
        except ArchError as error:
            faults += error.diagnostics
        else:
            yield listed, network.parameters, network.macs


def _cited(definition: BlockDefinition) -> str:
    from cnndsl.language.modules import about

    return "; ".join(map(str, about(definition).citations))


def _listed_json(definitions: Sequence[Listed], faults: list[Diagnostic]) -> None:
    rows = [
        {
            "name": name,
            "model": definition.name,
            "citation": _cited(definition),
            "parameters": parameters,
            "macs": macs,
        }
        for (name, definition, _), parameters, macs in _counted(definitions, faults)
    ]
    click.echo(json.dumps(rows, indent=1))


def _listed(definitions: Sequence[Listed], faults: list[Diagnostic]) -> None:
    """A table, of which each row is printed when it is known."""
    from cnndsl.analysis.costs import giga

    width = max((len(str(listed)) for listed in definitions), default=0)

    def row(name: str, parameters: str, macs: str, citation: str) -> None:
        click.echo(f"{name:{width}}  {parameters:>11}  {macs:>8}  {citation}")

    row("name", "parameters", "GMACs", "citation")
    for listed, parameters, macs in _counted(definitions, faults):
        row(str(listed), f"{parameters:,}", giga(macs), _cited(listed.definition))
