"""The generated source, executed: a network as an `nn.Module`."""

from __future__ import annotations

import linecache
import sys
from collections.abc import Mapping
from itertools import count
from types import ModuleType
from typing import TYPE_CHECKING

from cnndsl.backends.numpy.weights import checked_weights
from cnndsl.graph import Network
from cnndsl.ops.base import Array

if TYPE_CHECKING:
    from torch import nn

_numbers = count()


def module(network: Network, weights: Mapping[str, Array] | None = None) -> nn.Module:
    """The network's class out of exactly `torch_source()`, with weights where given.

    Raises ImportError: torch is not installed. ArchError: weights of another network.
    """
    import torch

    found = load_source(network.torch_source(), network.name)
    built: nn.Module = getattr(found, network.name)()
    if weights is not None:
        tensors = {
            name: torch.tensor(w) for name, w in checked_weights(network, weights).items()
        }
        # The counters of batch norms are no weights: they keep their zeros.
        missing, unexpected = built.load_state_dict(tensors, strict=False)
        counters = {
            name for name, value in built.named_buffers() if not value.is_floating_point()
        }
        assert not unexpected, unexpected
        assert set(missing) <= counters, missing
    return built


def outputs(
    network: Network, arrays: Mapping[str, Array], weights: Mapping[str, Array]
) -> dict[str, Array]:
    """What PyTorch computes in evaluation, by the outputs' names, in the inputs' type."""
    import torch

    dtype = torch.from_numpy(next(iter(arrays.values()))[:0].copy()).dtype
    built = module(network, weights).to(dtype).eval()
    with torch.inference_mode():
        found = built(*(torch.tensor(arrays[name]) for name in network.inputs))
    several = (found,) if isinstance(found, torch.Tensor) else tuple(found)
    # An output that is off is None where the source keeps its place.
    present = [tensor.numpy() for tensor in several if tensor is not None]
    return dict(zip(network.outputs, present, strict=True))


def load_source(source: str, name: str) -> ModuleType:
    """Source as a module whose text tracebacks and `inspect` find."""
    title = f"cnndsl_generated_{next(_numbers)}_{name}"
    path = f"<{title}>"
    linecache.cache[path] = (len(source), None, source.splitlines(keepends=True), path)
    found = ModuleType(title)
    found.__file__ = path
    # `torch.compile`, `pickle` and NamedTuples look their module up by name.
    sys.modules[title] = found
    exec(compile(source, path, "exec"), found.__dict__)
    return found
