"""The command line.  Exit status 0; 1, the file has faults; 2, usage or input and output."""

from __future__ import annotations

import os
import sys
import warnings
from typing import NoReturn

import click

from cnndsl import __version__
from cnndsl.console import Commands
from cnndsl.diagnostics import printable


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 96},
)
@click.version_option(__version__)
def cli() -> None:
    """Networks written as their papers show them.

    FILE is an .arch file, `-` for standard input, or the name of a shipped network
    (`cnndsl list`). A foreign network is imported in memory: `torchvision.models:resnet50`,
    `timm:NAME`, `model.py:Net` (each runs that Python), `model.pt2` or `model.onnx`.
    """


def _remark(message: Warning | str, *_: object) -> None:
    head = click.style("warning", fg="yellow", bold=True)
    click.echo(f"{head}: {printable(str(message))}", err=True)


def main() -> NoReturn:
    """The program."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123
        elif hasattr(stream, "reconfigure"):
            # A terminal that cannot show × gets a ?, not a traceback.
            stream.reconfigure(errors="replace")
    # What a library remarks is a sentence, without the line of Python it comes from.
    warnings.showwarning = _remark  # type: ignore[assignment]
    cli(prog_name="cnndsl")
    raise AssertionError("click ends the program")
