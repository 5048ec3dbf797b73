"""What a file may ask of a module, of a list or a dictionary, and of classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from cnndsl.backends.torch.proof.builtins import BUILTINS, TYPES, all_items, shown
from cnndsl.backends.torch.proof.calls import SIGNATURES, family
from cnndsl.backends.torch.proof.faults import ProofError
from cnndsl.backends.torch.proof.library import Library
from cnndsl.backends.torch.proof.modules import CONTAINERS, Class, Module, as_module
from cnndsl.backends.torch.proof.terms import Tensor
from cnndsl.backends.torch.proof.values import Native, Once, Parameter

LAYOUTS = {"torch.channels_last", "torch.channels_last_3d", "torch.contiguous_format"}


def layout(memory_format: object = None) -> object:
    """A memory format.  Raises ProofError: something else."""
    known = isinstance(memory_format, Native) and memory_format.name in LAYOUTS
    if memory_format is not None and not known:
        raise ProofError("a conversion that is not known")
    return memory_format


def kinds_of(kinds: Any) -> Iterator[Any]:
    """The classes of `isinstance`, each for itself."""
    for kind in kinds if isinstance(kinds, tuple) else (kinds,):
        yield from kinds_of(kind) if isinstance(kind, tuple) else (kind,)


def is_one(value: Any, kind: Any) -> bool:
    """`isinstance(value, kind)`.  Raises ProofError: nobody knows."""
    match kind:
        case Native(name=name) if name in TYPES:
            return isinstance(value, TYPES[name])
        case Native(name="Tensor" | "torch.Tensor"):
            return isinstance(value, Tensor)
        case Native(name="nn.Module"):
            return isinstance(value, Module)
        case Native(name=name) if (
            name in CONTAINERS
            or family(name) in SIGNATURES
            or name.startswith("nn.InstanceNorm")
        ):
            return isinstance(value, Module) and name in (value.kind, value.base)
        case Class() | Library():
            if not isinstance(value, Module):
                return False
            lineage = list(value.cls.lineage()) if value.cls else []
            return any(cls is kind for cls in lineage) or (
                isinstance(kind, Library) and value.kind == kind.name
            )
    raise ProofError(f"`isinstance` of {shown(kind)}")


def _modules(module: Module) -> Once:
    """`self.modules()`: each once."""
    return Once(iter({id(one): one for _, one in module.below()}.values()))


def _same_module(module: Module, **keywords: Any) -> Module:
    """`self.to(memory_format=…)`, `self.eval()`: the module."""
    layout(**keywords)
    return module


def _extended(module: Module, more: Any) -> Module:
    for child in all_items(more):
        module.append(child)
    return module


def _added(module: Module, name: str, child: Any) -> None:
    module.register(name, as_module(child))


def _named_parameters(module: Module) -> list[tuple[str, Parameter]]:
    """`self.named_parameters()` of one layer."""
    bound = module.bound
    if not module.weighted or bound is None or module.children:
        raise ProofError(f"the parameters of {shown(module)} are not known")
    names = [n for n, by in module.owns if not by or bound.get(by, True) not in (False, None)]
    return [(name, Parameter(module, name)) for name in names]


MODULE_METHODS: dict[str, Callable[..., Any]] = {
    "modules": _modules,
    "named_parameters": _named_parameters,
    "children": lambda module: Once(iter(list(module.children.values()))),
    "to": _same_module,
    "eval": _same_module,
    "add_module": _added,
    "append": Module.append,
    "extend": _extended,
    "insert": Module.insert,
    "keys": lambda module: list(module.dictionary()),
    "values": lambda module: list(module.dictionary().values()),
    "items": lambda module: list(module.dictionary().items()),
}
"""What a file may call of a module; those of a list and of a dictionary ask for one."""
DATA_METHODS: dict[tuple[str, str], Callable[..., Any]] = {
    ("list", "append"): list.append,
    ("list", "extend"): lambda data, more: data.extend(all_items(more)),
    ("list", "insert"): list.insert,
    ("list", "pop"): list.pop,
    ("dict", "items"): lambda data: list(data.items()),
    ("dict", "keys"): list,
    ("dict", "values"): lambda data: list(data.values()),
    ("dict", "get"): dict.get,
    ("dict", "update"): lambda data, more: data.update(BUILTINS["dict"](more)),
}
"""The same of Python's own."""
