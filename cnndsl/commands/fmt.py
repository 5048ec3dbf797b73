"""`cnndsl fmt`."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from cnndsl.console import FAULTS, USAGE, Trouble, report, sentence
from cnndsl.diagnostics import ArchError
from cnndsl.editing.layout import layout
from cnndsl.files import read_input, read_whole, replacing


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(allow_dash=True))
@click.option("--check", is_flag=True, help="Write nothing; exit with 1 if any would change.")
@click.option("--diff", is_flag=True, help="Write nothing; print what would change.")
def fmt(files: tuple[str, ...], check: bool, diff: bool) -> None:
    """Format FILES: spaces, indentation, tables. Words and comments stay as they are.

    A folder stands for the .arch files in it; `-` reads standard input and prints it formatted.
    """
    status = changed = same = 0
    for path in _files(files):
        try:
            before = _read(path)
            after = layout(before, str(path))
        except ArchError as error:
            report(error.diagnostics)
            status = max(status, FAULTS)
            continue
        except OSError as error:
            Trouble(sentence(error)).show()
            status = USAGE
            continue
        if diff:
            sys.stdout.buffer.write(_difference(before, after, path).encode())
        elif path == "-" and not check:
            sys.stdout.buffer.write(after.encode())
        elif before != after:
            _write(path, after, check=check)
        changed += before != after
        same += before == after
    if (check or diff) and changed:
        status = max(status, FAULTS)
    if files != ("-",):
        click.echo(_said(changed, same, would=check or diff), err=True)
    sys.exit(status)


def _files(paths: tuple[str, ...]) -> Iterator[str]:
    """The files, those of folders in order; not those of hidden folders."""
    for path in paths:
        if path != "-" and Path(path).is_dir():
            for file in sorted(Path(path).rglob("*.arch")):
                inner = file.relative_to(path).parts
                if not any(part.startswith(".") for part in inner) and file.is_file():
                    yield str(file)
        else:
            yield path


def _read(path: str) -> str:
    """The text of a file with its line ends.  Raises OSError, ArchError: it is no text."""
    from cnndsl.language.modules import MAX_BYTES, decode

    data = read_input(MAX_BYTES) if path == "-" else read_whole(Path(path), MAX_BYTES)
    decode(data, "<stdin>" if path == "-" else path)
    return data.decode("utf-8")


def _write(path: str, text: str, *, check: bool) -> None:
    if check:
        click.echo(f"would lay out {path}")
        return
    with replacing(path, source=True) as part:
        part.write_bytes(text.encode())
    click.echo(f"reformatted {path}")


def _difference(before: str, after: str, path: str) -> str:
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    return "".join(
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
        for line in difflib.unified_diff(old, new, path, path)
    )


def _said(changed: int, same: int, *, would: bool) -> str:
    def files(count: int) -> str:
        return f"{count} file{'' if count == 1 else 's'}"

    did = "would be reformatted" if would else "reformatted"
    parts = [f"{files(changed)} {did}"] if changed else []
    return ", ".join([*parts, f"{files(same)} left unchanged"])
