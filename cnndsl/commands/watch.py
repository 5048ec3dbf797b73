"""`cnndsl watch`."""

from __future__ import annotations

import threading
import webbrowser
from contextlib import suppress

import click

from cnndsl.console import Trouble, network_arguments


@click.command()
@network_arguments
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="0: any free port.")
@click.option("--no-open", is_flag=True, help="Print the address without opening a browser.")
def watch(
    file: str,
    model: str | None,
    parameters: dict[str, str],
    outputs: tuple[str, ...],
    port: int,
    no_open: bool,
) -> None:
    """Show a file live in the browser: figure, table, messages. Stop with Ctrl-C.

    A click on a box goes to its line, one on a line to its boxes. Where the file has faults,
    the last picture without any stays. Only this machine is answered.
    """
    from cnndsl.editing.watching import Server, Watch, serve
    from cnndsl.files import find, resolved

    if file == "-":
        raise Trouble("there is nothing to watch in the standard input: name a file")
    found = Watch(resolved(find(file)), model, parameters, outputs)
    try:
        server = Server(found, port)
    except OSError as error:
        raise Trouble(f"port {port} cannot be used: {error.strerror}") from None
    with suppress(KeyboardInterrupt):
        click.echo(server.address)
        if not no_open:
            webbrowser.open(server.address)
        serve(server, threading.Event())
