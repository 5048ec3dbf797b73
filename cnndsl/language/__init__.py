"""The language: text → tree → network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cnndsl.diagnostics import ArchError, Diagnostic, did_you_mean, listing
from cnndsl.files import find
from cnndsl.graph import Network
from cnndsl.language.elaborate import elaborate
from cnndsl.language.modules import BlockDefinition, FileScope, Loader
from cnndsl.ops.base import Shape

__all__ = ["elaborate", "load", "loads", "pick", "read"]


def read(path: str | Path) -> FileScope:
    """A parsed file; a name that is no file but in the shipped zoo is found there.

    Raises OSError: it cannot be read. ArchError: its faults.
    """
    return Loader().main(find(path))


def pick(scope: FileScope, model: str | None = None) -> BlockDefinition:
    """A model of a file: the one named, else the first.  Raises ArchError: there is none."""
    models = scope.models
    if model is None and models:
        return next(iter(models.values()))
    if model in models:
        return models[model]
    name = scope.tree.span.source.name
    if not models:
        help = "a model is written `model Name: image[3, H=224, W=224] -> logits { … }`"
        raise ArchError([Diagnostic("E224", f"{name} declares no model", help=help)])
    help = did_you_mean(model or "", models) or f"its models are {listing(models)}"
    raise ArchError([Diagnostic("E224", f"{name} has no model `{model}`", help=help)])


def load(
    path: str | Path,
    model: str | None = None,
    parameters: Mapping[str, object] | None = None,
    inputs: Mapping[str, Shape] | None = None,
) -> Network:
    """The network of a model in a file.  Raises OSError, ArchError."""
    return elaborate(pick(read(path), model), parameters, inputs)


def loads(
    text: str,
    model: str | None = None,
    parameters: Mapping[str, object] | None = None,
    inputs: Mapping[str, Shape] | None = None,
    name: str = "<text>",
) -> Network:
    """The network of a model in a text.  Raises ArchError."""
    return elaborate(pick(Loader().text(text, name), model), parameters, inputs)
