"""Running the written source: what a user reads is what is executed."""

from __future__ import annotations

import linecache
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from cnndsl.backends.torch import Written, write
from cnndsl.graph import Network
from cnndsl.ops.facts import Array

if TYPE_CHECKING:
    from torch import nn


_numbers = count()


def module(
    network: Network, weights: Mapping[str, Array] | None = None, *, optimize: bool = False
) -> nn.Module:
    """An instance of the network's class, with these weights or freshly initialised ones.

    With `optimize` it is for inference, as `optimize.optimized` writes it.
    Raises ImportError: torch is not installed. ArchError: weights of another network.
    """
    return instance(write(network, optimize=optimize), network, weights)


def instance(
    written: Written, network: Network, weights: Mapping[str, Array] | None = None
) -> nn.Module:
    """The same of a file that is written already."""
    import torch

    made: type[nn.Module] = getattr(execute(written.text, network.name), written.name)
    if weights is None:
        return made()
    from cnndsl.analysis.weights import checked_weights

    checked = checked_weights(network, weights)
    with shapes_alone():
        found = made()
    found.to_empty(device="cpu")
    # A copy: the arrays may be read-only, and training would write into them.
    tensors = {name: torch.from_numpy(np.array(array)) for name, array in checked.items()}
    for name, tensor in found.state_dict().items():
        if name not in tensors:  # a counter of batches, which evaluation does not need
            tensor.fill_(int(weights.get(name, 0)))
    load = found.fold if written.folds else None
    (load or found.load_state_dict)(tensors)  # type: ignore[operator]
    return found


@contextmanager
def shapes_alone() -> Iterator[None]:
    """Modules that are made here have shapes and no numbers, on the device `meta`.

    Initial values would take longer than all the rest, even where none are kept.
    """
    import torch
    from torch.overrides import TorchFunctionMode

    class Unfilled(TorchFunctionMode):
        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            if func is torch.Tensor.normal_ or func is torch.Tensor.uniform_:
                return args[0]
            return func(*args, **(kwargs or {}))

    with torch.device("meta"), Unfilled():
        yield


def execute(text: str, name: str) -> ModuleType:
    """A module made from source; tracebacks and `inspect` find its lines."""
    import sys

    # Two networks may bear one name: their modules must not.
    made = ModuleType(f"cnndsl_{name}_{next(_numbers)}")
    made.__file__ = path = f"<{made.__name__}>"
    linecache.cache[path] = (len(text), None, text.splitlines(keepends=True), path)
    # `NamedTuple` and torch's tracing look their module up by name.
    sys.modules[made.__name__] = made
    exec(compile(text, path, "exec"), made.__dict__)
    return made
