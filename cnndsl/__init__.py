"""Networks written as their papers show them.

>>> import cnndsl
>>> net = cnndsl.load("mobilenetv2", width=1.4)
>>> net.parameters
6108776

`load` reads a file, `loads` a text; both give a `Network` with its graph, shapes and
costs, which draws itself and becomes NumPy or PyTorch. A file's faults are an `ArchError`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cnndsl.diagnostics import ArchError, Diagnostic
    from cnndsl.graph import Node
    from cnndsl.importing import Imported
    from cnndsl.network import Network

__version__ = "0.1.0"
__all__ = ["ArchError", "Diagnostic", "Network", "Node", "from_torch", "load", "loads", "zoo"]

# Imported when first asked for: `import cnndsl` costs nothing, and never brings torch.
_HOMES = {
    "ArchError": "cnndsl.diagnostics",
    "Diagnostic": "cnndsl.diagnostics",
    "Network": "cnndsl.network",
    "Node": "cnndsl.graph",
}


def load(
    path: str | Path,
    /,
    model: str | None = None,
    *,
    inputs: Mapping[str, tuple[int, ...]] | None = None,
    **parameters: object,
) -> Network:
    """The network of a model in a file, or in the shipped zoo: `load("resnet50")`.

    `model` names one where the file holds several, else it is the first. `inputs` gives
    shapes without the batch, `{"image": (3, 320, 320)}`; `parameters` the model's own.
    Raises OSError: there is no such file. ArchError: the faults in it.
    """
    from cnndsl import network

    return network.load(path, model, parameters, inputs)


def loads(
    text: str,
    /,
    model: str | None = None,
    *,
    inputs: Mapping[str, tuple[int, ...]] | None = None,
    **parameters: object,
) -> Network:
    """The network of a model in a text.  Raises ArchError."""
    from cnndsl import network

    return network.loads(text, model, parameters, inputs)


def from_torch(module: Any, inputs: Any, /, *, name: str | None = None) -> Imported:
    """A PyTorch module as a file, proved equal: its `text`, `network`, `weights`, `report`.

    `inputs` is the shape of its image without the batch, a list of shapes, or tensors.
    Raises ArchError (E610): the module does what a file cannot say. ImportError: no torch.
    """
    from cnndsl import importing

    return importing.from_torch(module, inputs, name=name)


def zoo() -> tuple[str, ...]:
    """The names of the shipped networks, each of which `load` takes."""
    from cnndsl.files import shipped

    return tuple(shipped())


def load_ipython_extension(shell: Any) -> None:
    """Bring `%%arch` to a notebook: `%load_ext cnndsl`."""
    from cnndsl.notebook import load as bring

    bring(shell)


def __getattr__(name: str) -> Any:
    """Import a name of `__all__` when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module 'cnndsl' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """The public names."""
    return [*__all__, "__version__"]
