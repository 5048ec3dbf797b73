"""`%%arch` for notebooks: a network written in a cell, drawn below it.

`%load_ext cnndsl` brings it; `%%arch net` also gives the network a name.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from cnndsl.diagnostics import ArchError

if TYPE_CHECKING:
    from cnndsl.network import Network


def load(shell: Any) -> None:
    """Bring the magic to an IPython shell."""

    def arch(line: str, cell: str) -> Network | None:
        """A network from the text of a cell: `%%arch [name]`."""
        return written(shell, line, cell)

    shell.register_magic_function(arch, magic_kind="cell", magic_name="arch")


def written(shell: Any, line: str, cell: str) -> Network | None:
    """The first model of a cell, bound to the name on its first line; or what is wrong."""
    from cnndsl.network import loads

    name = line.strip()
    if name and not name.isidentifier():
        print(f"`%%arch {name}`: the name of a variable, or nothing", file=sys.stderr)
        return None
    try:
        network = loads(cell, name="<cell>")
    except ArchError as error:
        print(error, file=sys.stderr)
        return None
    if name:
        shell.user_ns[name] = network
    return network
