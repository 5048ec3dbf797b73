"""`cnndsl list`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from cnndsl.diagnostics import ArchError, Diagnostic
from cnndsl.files import shipped

if TYPE_CHECKING:
    from cnndsl.language.modules import BlockDefinition


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print data: one JSON array.")
def listing(as_json: bool) -> None:
    """Print the shipped networks with their paper, parameters and multiply-adds."""
    from cnndsl.language import pick, read

    faults: list[Diagnostic] = []
    found: list[tuple[str, BlockDefinition]] = []
    for name, path in shipped().items():
        try:
            found.append((name, pick(read(path))))
        except ArchError as error:
            faults += error.diagnostics
    say = _listed_json if as_json else _listed
    say(found, faults)
    if faults:
        raise ArchError(faults)


Counted = Iterator[tuple[str, str, int, int]]
"""A network's name, citations, parameters and multiply-adds."""


def _counted(
    definitions: Sequence[tuple[str, BlockDefinition]], faults: list[Diagnostic]
) -> Counted:
    """What each network costs, as soon as it is known; those with faults are left out."""
    from cnndsl.language import elaborate

    for name, definition in definitions:
        try:
            network = elaborate(definition)
        except ArchError as error:
            faults += error.diagnostics
        else:
            yield name, _cited(definition), network.parameters, network.macs


def _cited(definition: BlockDefinition) -> str:
    return "; ".join(map(str, definition.about.citations))


def _listed_json(
    definitions: Sequence[tuple[str, BlockDefinition]], faults: list[Diagnostic]
) -> None:
    keys = ("name", "citation", "parameters", "macs")
    rows = _counted(definitions, faults)
    click.echo(json.dumps([dict(zip(keys, row, strict=True)) for row in rows], indent=1))


def _listed(
    definitions: Sequence[tuple[str, BlockDefinition]], faults: list[Diagnostic]
) -> None:
    """A table, of which each row is printed when it is known."""
    from cnndsl.analysis.costs import giga

    names = max((len(name) for name, _ in definitions), default=0)
    cited = max((len(_cited(definition)) for _, definition in definitions), default=0)

    def row(name: str, citation: str, parameters: str, macs: str) -> None:
        line = f"{name:{names}}  {citation:{cited}}  {parameters:>11}  {macs:>7}"
        click.echo(line)

    row("name", "citation", "parameters", "GMACs")
    for name, citation, parameters, macs in _counted(definitions, faults):
        row(name, citation, f"{parameters:,}", giga(macs))
