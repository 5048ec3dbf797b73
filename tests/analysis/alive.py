"""How many bytes of activations PyTorch holds at most, by watching its storages."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode


class Alive(TorchDispatchMode):
    """Counts the storages that operations make, until they are freed."""

    def __init__(self, outside: list[torch.Tensor]) -> None:
        super().__init__()
        self.held: dict[int, Any] = {t.untyped_storage()._cdata: None for t in outside}
        self.now = self.peak = 0

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        found = func(*args, **(kwargs or {}))
        # Beside the first result stand statistics and indices, which are no activations.
        first = found[0] if isinstance(found, list | tuple) else found
        self._hold(first.untyped_storage())
        self.peak = max(self.peak, self.now)
        return found

    def _hold(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self.held:
            return

        def freed(_: object) -> None:
            self.now -= size
            del self.held[key]

        self.now += size
        self.held[key] = weakref.ref(storage, freed)


def peak(module: nn.Module, shape: tuple[int, ...], *, inplace: bool | None = None) -> int:
    """The most bytes of activations alive at once for one input, which counts nothing.

    `inplace` overrules what the activations of the module are set to.
    """
    module = module.to("meta").eval()
    for layer in module.modules():
        if inplace is not None and hasattr(layer, "inplace"):
            layer.inplace = inplace
    image = torch.empty(1, *shape, device="meta")
    watch = Alive([image, *module.parameters(), *module.buffers()])
    with torch.no_grad(), watch:
        module(image)
    return watch.peak
