"""Running the written source: what a user reads is what is executed."""

from __future__ import annotations

import linecache
from collections.abc import Mapping
from itertools import count
from types import ModuleType
from typing import TYPE_CHECKING

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
    # Initial values, which these weights replace, would take longer than all the rest.
    with torch.device("meta"):
        found = made()
    found.to_empty(device="cpu")
    # A copy: the arrays may be read-only, and training would write into them.
    tensors = {name: torch.from_numpy(np.array(array)) for name, array in checked.items()}
    load = found.fold if written.folds else None
    (load or found.load_state_dict)(tensors)  # type: ignore[operator]
    return found


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
