"""`cnndsl lsp`."""

from __future__ import annotations

import sys

import click

from cnndsl.console import Trouble


@click.command()
def lsp() -> None:
    """Run the language server on standard input and output.

    docs/editors.md says how an editor starts it.
    """
    try:
        from cnndsl.editing.abilities import server
    except ImportError as error:
        if error.name not in ("pygls", "lsprotocol"):
            raise
        raise Trouble('this needs pygls: pip install "cnndsl[lsp]"') from None
    if sys.stdin is None or sys.stdout is None:
        raise Trouble("standard input and output must be open")
    server().start_io()
