"""What can be asked of a network: pure functions from it to values.

>>> import cnndsl
>>> from cnndsl.analysis import memory
>>> print(memory(cnndsl.load("lenet5")).best)
22144

A value printed is what the command of the same name prints; its `rows()` are dictionaries
of plain values, for a data frame. Each function is in the module of its name or subject,
which is imported when the function is first asked for.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cnndsl.analysis.closed import closed_forms
    from cnndsl.analysis.counts import counts, reconcile
    from cnndsl.analysis.diff import diff
    from cnndsl.analysis.explain import explain
    from cnndsl.analysis.measures import measure
    from cnndsl.analysis.memory import memory
    from cnndsl.analysis.receptive import receptive
    from cnndsl.analysis.rois import affine
    from cnndsl.analysis.roofline import roofline
    from cnndsl.analysis.sizes import sizes
    from cnndsl.analysis.solve import solve
    from cnndsl.analysis.summary import summary
    from cnndsl.analysis.tables import table
    from cnndsl.analysis.work import work

__all__ = [
    "affine", "closed_forms", "counts", "diff", "explain", "measure", "memory", "receptive",
    "reconcile", "roofline", "sizes", "solve", "summary", "table", "work",
]  # fmt: skip

_HOMES = {
    "affine": "rois", "closed_forms": "closed", "measure": "measures", "reconcile": "counts",
    "table": "tables",
}  # fmt: skip
"""The modules that have another name than their function."""


class _Functions(ModuleType):
    """The package: `analysis.memory` is the function, not the module that holds it.

    Importing a module of a package sets it as the package's attribute.
    """

    def __setattr__(self, name: str, value: object) -> None:
        """Set an attribute, unless a module would hide the function of its name."""
        if not (name in __all__ and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Functions


def __getattr__(name: str) -> Any:
    """Import a function of `__all__` when it is first used."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES.get(name, name)}"), name)


def __dir__() -> list[str]:
    """The functions."""
    return list(__all__)
