"""What the commands of analysis share: a network from a file, and others of its kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from cnndsl.cli import _elaborate as elaborated
from cnndsl.cli import _pick as pick
from cnndsl.cli import _scope as scope
from cnndsl.console import Trouble
from cnndsl.diagnostics import did_you_mean

__all__ = ["build", "elaborated", "network_of", "pick", "scope", "unknown"]

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cnndsl.graph import Network
    from cnndsl.language.modules import BlockDefinition
    from cnndsl.ops.base import Shape


def network_of(
    file: str,
    model: str | None,
    parameters: dict[str, str],
    inputs: dict[str, tuple[int, ...]],
) -> tuple[BlockDefinition, Network]:
    """A model's definition and its network, as the command line asks for it."""
    definition = pick(scope(file), model)
    return definition, elaborated(definition, parameters, inputs)


def build(
    definition: BlockDefinition,
) -> Callable[[Mapping[str, object], Mapping[str, Shape]], Network]:
    """Networks of one definition, from values and shapes.  Raises ArchError."""
    from cnndsl.language import elaborate

    def built(values: Mapping[str, object], shapes: Mapping[str, Shape]) -> Network:
        return elaborate(definition, values, shapes)

    return built


def unknown(what: str, name: str, known: Iterable[str], owner: str) -> Trouble:
    """A name that is not there, with the nearest that is."""
    names = list(known)
    near = did_you_mean(name, names)
    help = near or f"there are {len(names)}, for example `{names[0]}`" if names else "none"
    return Trouble(f"`{owner}` has no {what} `{name}`; {help}")
