"""Formulas carried from one set of names to another.

A tensor's sizes are formulas over the names of the block it is in. Where it leaves a
block, or an iteration of a `for`, the names that stay behind are replaced by what they
were bound to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from cnndsl.graph import Decided
from cnndsl.language.names import Entry, Family, Flow, Frame
from cnndsl.structure import Tensor
from cnndsl.symbolic import Axis, Formula, Sym, Symbol

Atom = Symbol | Axis


class Leaving(dict[Atom, int]):
    """A block's names in its caller's terms."""

    def __init__(
        self, frame: Frame, arguments: Mapping[str, object], inputs: Mapping[str, Tensor]
    ) -> None:
        """Take the arguments and the ports' sizes; other tensors' are worked out."""
        super().__init__()
        self.frame = frame
        for name, value in arguments.items():
            self._bind(name, value)
        for port, tensor in inputs.items():
            for number, size in enumerate(tensor.shape):
                self[Axis(port, number)] = size

    def _bind(self, name: str, value: object) -> None:
        """A parameter, or each item of a list, `sizes[0]`."""
        if isinstance(value, int):
            self[Symbol(name)] = value
        elif isinstance(value, tuple):
            for number, item in enumerate(value):
                self._bind(f"{name}[{number}]", item)

    def __missing__(self, atom: Atom) -> int:
        """The size of a tensor inside the block, by what it was computed from."""
        size = self.frame.symbols[atom]
        found = size.formula.evaluate(self) if isinstance(size, Sym) else size
        self[atom] = found
        return found


class Resuming(dict[Atom, int]):
    """A block's names after an iteration: the loop's become values, the others stay."""

    def __init__(self, frame: Frame, names: Sequence[str], row: Sequence[object]) -> None:
        """Take the loop's names with the values of this iteration."""
        super().__init__()
        self.frame = frame
        for name, value in zip(names, row, strict=True):
            if isinstance(value, int):
                self[Symbol(name)] = value

    def __missing__(self, atom: Atom) -> int:
        """The atom itself; what it stands for loses the loop's names."""
        size = self.frame.symbols[atom]
        if isinstance(size, Sym):
            self.frame.symbols[atom] = size.formula.evaluate(self)
        return Sym(int(size), Formula({(atom,): 1}))


def translate(entry: Entry, bindings: Leaving | Resuming) -> Entry:
    """What a label means, seen from outside."""
    return _translate(entry, bindings, {})


def resume_indexed(frame: Frame, start: int, bindings: Resuming) -> None:
    """Free the indexed labels of an iteration from its loop's names."""
    for family, index in frame.indexed[start:]:
        family.items[index] = translate(family.items[index], bindings)


def resume_decided(frame: Frame, start: int, bindings: Resuming) -> None:
    """What an iteration has decided, without its loop's names."""
    frame.decided[start:] = carried(frame.decided[start:], bindings)


def carried(decided: Iterable[Decided], bindings: Leaving | Resuming) -> list[Decided]:
    """What the sizes decided, seen from outside, where it still depends on any."""
    found: dict[tuple[Formula, bool, bool], Decided] = {}
    for one in decided:
        value = one.formula.evaluate(bindings)
        if isinstance(value, Sym):
            known = value.formula, one.contract, one.number
            found.setdefault(known, replace(one, formula=value.formula))
    return [*found.values()]


def _translate(entry: Entry, bindings: Leaving | Resuming, done: dict[int, Entry]) -> Entry:
    if id(entry) in done:
        return done[id(entry)]
    found: Entry = entry
    if isinstance(entry, Flow):
        tensors = {name: _tensor(tensor, bindings) for name, tensor in entry.tensors.items()}
        found = done[id(entry)] = Flow(tensors, turns=entry.turns)
        found.members = {n: _translate(e, bindings, done) for n, e in entry.members.items()}
        if entry.family is not None:
            family = _translate(entry.family, bindings, done)
            assert isinstance(family, Family)
            found.family = family
    elif isinstance(entry, Family):
        found = done[id(entry)] = Family()
        found.items = {i: _translate(e, bindings, done) for i, e in entry.items.items()}
    return found


def _tensor(tensor: Tensor, bindings: Leaving | Resuming) -> Tensor:
    shape = tuple(
        size.formula.evaluate(bindings) if isinstance(size, Sym) else size
        for size in tensor.shape
    )
    return Tensor(tensor.node, tensor.output, shape)
