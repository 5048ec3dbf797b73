"""`cnndsl completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script that completes `cnndsl` in a shell.

    For bash: `eval "$(cnndsl completion bash)"` in ~/.bashrc.
    """
    found = get_completion_class(shell)
    assert found is not None
    root = click.get_current_context().find_root().command
    click.echo(found(root, {}, "cnndsl", "_CNNDSL_COMPLETE").source())
