"""Weights that PyTorch computes at each call, as weight norm does: plain ones in their place.

In evaluation these are the same numbers at each call. A file has them, and trains them as such.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from cnndsl.importing.flow import refused

if TYPE_CHECKING:
    from torch import nn


def plain(module: nn.Module) -> tuple[nn.Module, list[str]]:
    """A module that stores each weight that it reads, and the names of those it computed.

    It is a copy where there are some: of weight norm, spectral norm, pruning, and any other
    parametrisation. Raises ArchError (E610): one gives other numbers at each call.
    """
    from torch import no_grad
    from torch.nn.utils.parametrize import is_parametrized

    modules = [*module.modules()]
    if not any(is_parametrized(one) or any(_hooked(one)) for one in modules):
        return module, []
    found = []
    with no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for one in modules:
            for name, _ in _hooked(one):
                # What the last call left has a history, with which it cannot be copied.
                setattr(one, name, getattr(one, name).detach())
        made = deepcopy(module).eval()
        for path, one in [*made.named_modules()]:
            hooked = [*_hooked(one)]
            names = [name for name, _ in hooked]
            for name, remove in hooked:
                remove(one, name)
            if is_parametrized(one):
                names += _stored(one, path)
            found += [f"{path}.{name}" if path else name for name in names]
    return made, found


def _hooked(module: nn.Module) -> Iterator[tuple[str, Callable[[nn.Module, str], Any]]]:
    """The weights that hooks compute before each call, and what stores them."""
    from torch.nn.utils import prune, remove_spectral_norm, remove_weight_norm
    from torch.nn.utils.spectral_norm import SpectralNorm
    from torch.nn.utils.weight_norm import WeightNorm

    for hook in module._forward_pre_hooks.values():
        if isinstance(hook, WeightNorm):
            yield hook.name, remove_weight_norm
        elif isinstance(hook, SpectralNorm):
            yield hook.name, remove_spectral_norm
        elif isinstance(hook, prune.BasePruningMethod):
            yield hook._tensor_name, prune.remove


def _stored(module: nn.Module, path: str) -> list[str]:
    """Store what parametrisations give.

    Their class is left as it is: the user's module is of it too.
    Raises ArchError (E610): one gives other numbers at each call.
    """
    from torch import equal, nn

    lists: Any = module.parametrizations
    learned = {name: any(True for _ in one.parameters(False)) for name, one in lists.items()}
    values = {name: getattr(module, name).clone() for name in learned}
    for name, value in values.items():
        if not equal(value, getattr(module, name)):
            raise refused(f"its `{name}` is different at each call", path)
    del module.parametrizations
    module.__class__ = type(module).__bases__[0]
    for name, value in values.items():
        if learned[name]:
            module.register_parameter(name, nn.Parameter(value))
        else:
            module.register_buffer(name, value)
    return [*values]
