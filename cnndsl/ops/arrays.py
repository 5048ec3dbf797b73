"""NumPy and the kernels, imported when an array is first computed.

The operations are needed by everything, arrays only by the interpreter: `cnndsl check`
must not wait for NumPy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from cnndsl.backends.numpy import boxes, kernels, sampling
else:

    class _Later:
        """A module that is imported when something is asked of it."""

        def __init__(self, name: str) -> None:
            self.name = name

        def __getattr__(self, attribute: str) -> Any:
            return getattr(importlib.import_module(self.name), attribute)

    np = _Later("numpy")
    boxes = _Later("cnndsl.backends.numpy.boxes")
    kernels = _Later("cnndsl.backends.numpy.kernels")
    sampling = _Later("cnndsl.backends.numpy.sampling")

__all__ = ["boxes", "kernels", "np", "sampling"]
