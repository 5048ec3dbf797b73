"""`cnndsl check`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cnndsl.commands.opening import costs_of, scope
from cnndsl.console import FAULTS, USAGE, NetworkFile, Trouble, report, sentence
from cnndsl.diagnostics import ArchError, Diagnostic, printable
from cnndsl.files import replacing, resolved

if TYPE_CHECKING:
    from cnndsl.analysis.expect import Checked


@click.command()
@click.argument("files", nargs=-1, required=True, type=NetworkFile())
@click.option("--fix", is_flag=True, help="Apply the fixes that are certain.")
def check(files: tuple[str, ...], fix: bool) -> None:
    """Report every error in FILES, and check their models against @expect."""
    status = 0
    for file in files:
        try:
            if fix:
                _fix(file)
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

    opened = scope(file)
    name = printable(opened.tree.span.source.name)
    blocks = len(opened.tree.declarations)
    if not blocks:
        raise ArchError([Diagnostic("E224", f"{name} declares no model and no block")])
    if not opened.models:
        click.echo(f"{_ok()} {name}: {blocks} {_plural('block', blocks)}, no model")
    status = 0
    for model, definition in opened.models.items():
        checked = check(definition)
        report(checked.diagnostics)
        if any(d.severity == "error" for d in checked.diagnostics):
            status = FAULTS
        else:
            click.echo(f"{_ok()} {name}: {model}, {_checked(checked)}")
    return status


def _fix(file: str) -> None:
    """Write what is certain into a file, as long as that leaves fewer faults."""
    from cnndsl.editing.mending import mended

    path = Path(file)
    if file == "-" or not path.is_file():
        raise Trouble(f"{file}: --fix needs a file of yours")
    before = path.read_bytes().decode("utf-8", "replace")
    after, count = mended(resolved(path), before)
    if count:
        with replacing(path, source=True) as part:
            part.write_bytes(after.encode())
        click.echo(f"mended {count} {_plural('fault', count)} in {file}", err=True)


def _ok() -> str:
    return click.style("ok", fg="green")


def _checked(checked: Checked) -> str:
    assert checked.network is not None
    claims = f"{checked.claims} {_plural('claim', checked.claims)}"
    return f"{costs_of(checked.network)}; {claims} of @expect"


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"
