"""The language: text → tree → network."""

from __future__ import annotations

from pathlib import Path

from cnndsl.diagnostics import ArchError, Diagnostic, did_you_mean, listing
from cnndsl.files import find
from cnndsl.language.elaborate import elaborate
from cnndsl.language.modules import Loader
from cnndsl.language.names import BlockDefinition, FileScope

__all__ = ["elaborate", "pick", "read"]


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
