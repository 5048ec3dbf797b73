"""Modules constructed and applied: a layer of some tensors is a term under its key."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

from cnndsl.backends.torch.proof import views
from cnndsl.backends.torch.proof.builtins import all_items, items_of, shown
from cnndsl.backends.torch.proof.calls import (
    RANDOM,
    SIGNATURES,
    WEIGHTED,
    Signature,
    family,
    one_name,
    signature,
)
from cnndsl.backends.torch.proof.faults import ProofError
from cnndsl.backends.torch.proof.library import Library
from cnndsl.backends.torch.proof.modules import Module, as_module
from cnndsl.backends.torch.proof.tensors import Functions
from cnndsl.backends.torch.proof.terms import (
    Numbering,
    Tensor,
    Term,
    overwritten,
    read,
    spell_call,
)
from cnndsl.records import Record, record

PADS = {
    "nn.ZeroPad": "constant",
    "nn.ReflectionPad": "reflect",
    "nn.ReplicationPad": "replicate",
    "nn.CircularPad": "circular",
}
"""Modules that are `F.pad`, with its mode."""


@record(frozen=False)
class Layers(Record):
    """The leaves over one numbering.

    `library` are the definitions that a file may carry, `owned` the ways in which
    the network writes PyTorch's modules with weights that no table has.
    """

    table: Numbering
    functions: Functions
    library: dict[str, Library] = field(default_factory=dict)
    owned: set[Term] = field(default_factory=set)
    made: dict[object, Module] = field(default_factory=dict)
    """The leaves that there were, by how they were written."""

    def leaf(
        self,
        name: str,
        arguments: Sequence[Any],
        keywords: Mapping[str, Any],
        place: ast.AST | None = None,
    ) -> Module:
        """A module of PyTorch's, or of the project's own.  Raises ProofError: unknown."""
        key = _written(name, arguments, keywords)
        known = self.made.get(key) if key is not None else None
        if known is None:
            known = self._leaf(name, arguments, keywords)
            if key is not None:
                self.made[key] = known
        return known.again(place)

    def _leaf(self, name: str, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Module:
        known, module = self.library.get(name), Module(name, None)
        if known is None and name in self.functions.learned:
            written = self.functions.term(name, arguments, keywords)
            module.weighted, module.attributes = written in self.owned, written.attributes
            module.bound = {**{f"#{n}": v for n, v in enumerate(arguments)}, **keywords}
            return module
        if known is not None:
            found = known.signature or signature(known.base)
            module.weighted, module.random = known.weighted, known.random
            module.base, module.owns = known.base, known.owns
        else:
            found = signature(name if family(name) in SIGNATURES else one_name(name))
            module.weighted, module.random = family(name) in WEIGHTED, family(name) in RANDOM
        if found is None:
            raise ProofError(f"`{name}` is not known to the proof")
        module.bound = found.bind(arguments, keywords)
        if known is not None:
            said = said_of(found, module.bound)
            module.attributes = self.functions.term(name, [], said).attributes
        else:
            module.attributes = found.attributes(module.bound)
        return module

    def fill(
        self, module: Module, arguments: Sequence[Any], keywords: Mapping[str, Any]
    ) -> None:
        """The children that a container is made of."""
        if keywords or (module.kind != "nn.Sequential" and len(arguments) > 1):
            raise ProofError(f"{module.kind} does not take these arguments")
        given: Any = list(arguments)
        if len(given) == 1 and (module.kind != "nn.Sequential" or isinstance(given[0], dict)):
            (given,) = given
        if module.kind == "nn.ModuleDict" and not isinstance(given, dict):
            given = dict(map(tuple, items_of(given)))
        if isinstance(given, dict):
            for name, child in given.items():
                module.register(name, as_module(child))
        else:
            for child in all_items(given):
                module.append(child)

    def apply(
        self, module: Module, arguments: Sequence[Any], keywords: Mapping[str, Any]
    ) -> Any:
        """A leaf of some tensors.  Raises ProofError: the network has no such layer."""
        if module.path is None:
            raise ProofError(f"{shown(module)} is not registered in the model")
        known = self.library.get(module.kind)
        if known is not None and known.forward is not None:
            bound = known.forward.bind(arguments, keywords)
            arguments = [value for value in bound.values() if value is not None]
        elif keywords:
            raise ProofError(f"{module.kind} takes no keywords")
        if not arguments or not all(isinstance(value, Tensor) for value in arguments):
            raise ProofError(f"{module.kind} of {', '.join(map(shown, arguments))}")
        if module.weighted or module.random or known or module.kind in self.functions.learned:
            return self.layer(module, arguments)
        if len(arguments) > 1:
            raise ProofError(f"{module.kind} takes one tensor")
        return self.function(module, arguments[0])

    def function(self, module: Module, x: Tensor) -> Any:
        """A module without weights: the function of the same name."""
        assert module.bound is not None
        bound = module.bound
        match family(module.kind):
            case "nn.Identity":
                return x
            case "nn.Flatten":
                return views.flatten(self.table, x, **bound)
            case "nn.Unflatten":
                return views.unflatten(self.table, x, bound["dim"], bound["unflattened_size"])
            case name if name in PADS:
                if len(bound["padding"]) != 2 * int(module.kind[-2]):
                    raise ProofError(f"{module.kind} needs two sides an axis")
                given = [bound["padding"], PADS[name]]
                return self.functions.of_input("F.pad", x, given, {})
        inplace = bound.get("inplace") is True
        return self.functions.applied(one_name(module.kind), module.attributes, x, inplace)

    def layer(self, module: Module, arguments: Sequence[Tensor]) -> Any:
        """A module with weights, or with a behaviour of its own in training."""
        assert module.bound is not None
        operands, (x, *_) = tuple(map(read, arguments)), arguments
        term = Term(
            module.kind, module.attributes, operands, module.path if module.weighted else None
        )
        if module.random:
            # Two of them draw twice, also of one tensor.
            self.table.drawn[term] += 1
            draw = ("draw", self.table.drawn[term])
            term = Term(term.head, (*term.attributes, draw), operands, term.key)
        if module.weighted:
            self.check(term)
            self.table.calls[term] -= 1
            if term.head.startswith("nn.BatchNorm"):
                self.table.updates.setdefault(str(term.key), []).append(term)
        found = self.table.tensor(term)
        if module.random:
            # In evaluation it is its input, not a copy.
            found = Tensor(found.number, found.shape or x.shape, x.storage, x.version)
        if module.bound.get("inplace") is True:
            return overwritten(x, found, module.kind)
        return self.table.values(found)

    def check(self, term: Term) -> None:
        """Raises ProofError: the network has no such layer, and here is what it has."""
        table = self.table
        if not table.closed or term in table.layers:
            return
        said = f"`{term.key}` is {spell_call(term.head, term.attributes)}"
        said += f" of {table.several(term.operands)}"
        for wanted in table.layers:
            if wanted.key == term.key:
                has = spell_call(wanted.head, wanted.attributes)
                of = table.several(wanted.operands)
                raise ProofError(f"{said}; the network has {has} of {of}")
        for wanted in table.layers:
            alike = (wanted.head, wanted.attributes, wanted.operands)
            if alike == (term.head, term.attributes, term.operands):
                raise ProofError(f"{said}; its key in the network is `{wanted.key}`")
        raise ProofError(f"{said}; the network has no such layer")


PLAIN = frozenset((int, float, bool, str, type(None)))


def _written(name: str, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> object | None:
    """How a call is written, 1 and 1.0 apart; None where that is not plain."""
    values = (*arguments, *keywords.values())
    types = tuple(map(type, values))
    return (name, *keywords, types, values) if PLAIN.issuperset(types) else None


def said_of(signature: Signature, bound: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of one of the project's own that are not at their defaults."""
    defaults = {name: default for name, (_, default) in signature.parameters.items()}
    return {
        name: value
        for name, value in bound.items()
        if type(value) is not type(defaults[name]) or value != defaults[name]
    }
