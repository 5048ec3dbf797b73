"""Modules of the file as they are constructed and registered."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import field
from typing import TYPE_CHECKING, Any

from cnndsl.backends.torch.proof.calls import OWN, family
from cnndsl.backends.torch.proof.faults import ProofError
from cnndsl.graph import MODULE_ATTRIBUTES
from cnndsl.records import Record, record

if TYPE_CHECKING:
    from cnndsl.backends.torch.proof.terms import Attributes

CONTAINERS = {"nn.Sequential", "nn.ModuleList", "nn.ModuleDict"}
METHODS = {
    "nn.Module": frozenset[str](),
    "nn.Sequential": frozenset(("append", "insert", "extend", "pop")),
    "nn.ModuleList": frozenset(("append", "insert", "extend", "pop")),
    "nn.ModuleDict": frozenset(("keys", "items", "values", "pop", "update", "clear")),
}
"""What a container has besides what every module has."""
DEEPEST = 200
"""The modules in one another."""


@record(frozen=False)
class Class(Record):
    """A class of the file; `kind` is the class of PyTorch, or `NamedTuple`, under it."""

    name: str
    kind: str
    base: Class | None
    names: dict[str, Any] = field(default_factory=dict)
    fields: tuple[str, ...] = ()

    def lineage(self) -> Iterator[Class]:
        """The class and those above it."""
        cls: Class | None = self
        while cls is not None:
            yield cls
            cls = cls.base

    def find(self, name: str) -> Any:
        """What the class calls so, or a class above it; None."""
        for cls in self.lineage():
            if name in cls.names:
                return cls.names[name]
        return None


class Module:
    """A module of PyTorch's with its arguments, a container, or an object of a class.

    `kind` is PyTorch's class, or the file's own class's base. `bound` are a leaf's
    arguments by name, `attributes` those that are not at their defaults. `path` is where
    the model registers it, None where nothing does; `begun` is what its weights begin with.
    """

    __slots__ = (
        "attributes", "base", "begun", "bound", "called", "children", "cls", "held",
        "initialised", "kind", "owns", "path", "place", "random", "weighted",
    )  # fmt: skip

    def __init__(self, kind: str, place: ast.AST | None, cls: Class | None = None) -> None:
        """An empty one."""
        self.kind, self.place, self.cls = kind, place, cls
        self.bound: dict[str, Any] | None = None
        self.attributes: Attributes = ()
        self.children: dict[str, Module] = {}
        self.held: dict[str, Any] = {}
        self.begun: dict[str, object] = {}
        self.path: str | None = None
        self.base = ""
        self.owns = OWN
        self.called = self.weighted = self.random = False
        self.initialised = cls is None

    def again(self, place: ast.AST | None) -> Module:
        """Another one of a leaf's kind, with the same arguments."""
        found = Module(self.kind, place)
        found.bound, found.attributes = self.bound, self.attributes
        found.weighted, found.random = self.weighted, self.random
        found.base, found.owns = self.base, self.owns
        return found

    @property
    def name(self) -> str:
        """What the file calls it."""
        return self.cls.name if self.cls else self.kind

    def listed(self) -> list[Module]:
        """The children of a list.  Raises ProofError: it is not one."""
        if self.kind not in ("nn.Sequential", "nn.ModuleList"):
            raise ProofError(f"{self.name} has no order")
        return list(self.children.values())

    def register(self, name: str, child: Module) -> None:
        """`self.name = child`.  Raises ProofError: PyTorch would refuse or hide it."""
        if not self.initialised:
            raise ProofError("a module is assigned before `super().__init__()`")
        if self.reserves(name) or (self.cls is not None and self.cls.find(name) is not None):
            raise ProofError(f"`{name}` is an attribute of the class already")
        self.held.pop(name, None)
        self.children[name] = child

    def reserves(self, name: object) -> bool:
        """Whether a name is PyTorch's, or none that it takes."""
        if not isinstance(name, str) or not name or "." in name or name.startswith("__"):
            return True
        return name in MODULE_ATTRIBUTES or name in METHODS.get(self.kind, ())

    def dictionary(self) -> dict[str, Module]:
        """The children of a dictionary.  Raises ProofError: it is not one."""
        if self.kind != "nn.ModuleDict":
            raise ProofError(f"{self.name} has no keys")
        return self.children

    def append(self, child: object) -> None:
        """One more child of a list."""
        self.listed()
        self.children[str(len(self.children))] = as_module(child)

    def insert(self, at: int, child: object) -> None:
        """A child of a list before the others."""
        children = self.listed()
        if type(at) is not int or not 0 <= at <= len(children):
            raise ProofError(f"{len(children)} modules have no place {at!r}")
        children.insert(at, as_module(child))
        self.children = {str(n): one for n, one in enumerate(children)}

    def part(self, index: object) -> Module:
        """`self[1]`, `self[1:]`, `self["name"]`.  Raises ProofError: there is none."""
        if self.kind == "nn.ModuleDict":
            if not isinstance(index, str) or index not in self.children:
                raise ProofError(f"the dictionary has no {index!r}")
            return self.children[index]
        children = self.listed()
        if isinstance(index, slice):
            chosen = list(self.children.items())[index]
            found = Module(self.kind, self.place)
            if self.kind == "nn.Sequential":
                found.children = dict(chosen)
            else:
                for _, child in chosen:
                    found.append(child)
            return found
        if type(index) is not int or not -len(children) <= index < len(children):
            raise ProofError(f"{len(children)} modules have no index {index!r}")
        return children[index]

    def below(self) -> Iterator[tuple[str, Module]]:
        """The module and all below it, by their paths."""
        stack: list[tuple[str, Module]] = [("", self)]
        while stack:
            path, module = stack.pop()
            if path.count(".") > DEEPEST:
                raise ProofError("a module is registered in itself", module.place)
            yield path, module
            prefix = f"{path}." if path else ""
            stack += [(prefix + n, c) for n, c in reversed(module.children.items())]

    def settle(self) -> None:
        """Give every module below its path.

        Raises ProofError: two paths for one with weights, a constructor without `super`.
        """
        for path, module in self.below():
            if not module.initialised:
                raise ProofError(f"{module.name} does not call `super().__init__()`")
            if module.path is not None and (module.weighted or module.random):
                said = f"one {module.name} is registered as `{module.path}` and as `{path}`"
                raise ProofError(said, module.place)
            if module.path is None:
                module.path = path

    def idle(self) -> Iterator[Module]:
        """The modules below that do something, and that nothing has called."""
        for _, module in self.below():
            leaf = module.bound is not None or (module.cls is not None and not module.children)
            if leaf and not module.called and family(module.kind) != "nn.Identity":
                yield module


def as_module(value: object) -> Module:
    """The module.  Raises ProofError: it is something else."""
    if not isinstance(value, Module):
        raise ProofError(f"{value!r} stands where a module must")
    return value
