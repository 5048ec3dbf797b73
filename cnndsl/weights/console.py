"""What the command line says of weights that it loads."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from cnndsl.diagnostics import ArchError
from cnndsl.graph import Network
from cnndsl.weights import Loaded, load_weights
from cnndsl.weights.faults import GIVEN, SHOWN
from cnndsl.weights.files import read_map

OPTION = "`--map FILE`, with lines `prefix of theirs -> prefix of ours`, says which is which"


def loaded(
    network: Network, path: str, renamed: str | None, partial: bool
) -> tuple[Loaded, list[str]]:
    """The weights of a file, and what is to be said of them.  Raises ArchError."""
    given = read_map(Path(renamed)) if renamed is not None else None
    try:
        found = load_weights(network, path, map=given, partial=partial)
    except ArchError as error:
        mends = [replace(d, help=d.help.replace(GIVEN, OPTION)) for d in error.diagnostics]
        raise ArchError(mends) from None
    notes = []
    if found.by_order:
        pairs = (f"{theirs} -> {ours}" for ours, theirs in found.by_order.items())
        notes += [f"{path}: told apart by their place alone:", *_listed(pairs)]
    if found.left:
        notes += [f"{path}: not loaded, with first values:", *_listed(found.left.ours)]
        notes += [f"{path}: not used:", *_listed(found.left.theirs)]
    return found, notes


def _listed(names: Iterable[Any]) -> list[str]:
    lines = [f"  {name}" for name in names]
    more = len(lines) - SHOWN
    return [*lines[:SHOWN], f"  … and {more} more"] if more > 0 else lines
