"""Formulas of the inputs' sizes as ONNX nodes, each worked out once."""

from __future__ import annotations

from cnndsl.analysis.propagate import Atom
from cnndsl.ops.onnx_steps import BATCH, FreeSizeError, Onnx, Value
from cnndsl.symbolic import Apply, Axis, Formula, render

OPERATORS = {"%": "Mod", "max": "Max", "min": "Min"}


class Sizes:
    """Gives a formula the name of its tensor, a list of one whole number."""

    def __init__(self, names: dict[Atom, str], port: str) -> None:
        """`names` spells the sizes; `port` is an input, which has the batch."""
        self.names, self.port = names, port
        self.to = Onnx("size", self)
        self.known: dict[Formula, Value] = {}

    def __call__(self, written: Formula) -> str:
        """The name of a formula's tensor.  Raises FreeSizeError: ONNX has no such function."""
        return self._value(written).name

    def text(self, written: Formula) -> str:
        """`H // 2`."""
        return render(written, self._spelt)

    def _spelt(self, atom: Atom | Apply) -> str:
        if not isinstance(atom, Apply):
            return self.names[atom]
        arguments = [Formula(argument.terms) for argument in atom.arguments]
        texts = [self.text(argument) for argument in arguments]
        if atom.function in ("//", "%"):
            left, right = (f"({t})" if " " in t else t for t in texts)
            return f"{left} {atom.function} {right}"
        return f"{atom.function}({', '.join(texts)})"

    def _value(self, written: Formula) -> Value:
        if written not in self.known:
            self.known[written] = self._sum(written)
        return self.known[written]

    def _sum(self, written: Formula) -> Value:
        total: Value | None = None
        for monomial, coefficient in written.terms.items():
            product: Value | None = None
            for atom in monomial:
                factor = self._atom(atom)
                product = factor if product is None else product * factor
            if product is None:
                product = self.to.ints(coefficient)
            elif coefficient != 1:
                product = product * coefficient
            total = product if total is None else total + product
        return self.to.ints(0) if total is None else total

    def _atom(self, atom: Atom | Apply) -> Value:
        alone = Formula({(atom,): 1})
        if alone in self.known:
            return self.known[alone]
        if atom == BATCH:
            port = Value(self.to, self.port)
            found = self.to("Shape", port, integer=True, start=0, end=1)
        elif isinstance(atom, Axis):
            port = Value(self.to, atom.tensor)
            axis = atom.axis + 1
            found = self.to("Shape", port, integer=True, start=axis, end=axis + 1)
        elif isinstance(atom, Apply) and atom.function == "//":
            left, right = map(self._value, atom.arguments)
            # ONNX's quotient goes towards zero, and this one down.
            found = (left - self.to("Mod", left, right)) / right
        elif isinstance(atom, Apply) and atom.function in OPERATORS:
            found = self.to(OPERATORS[atom.function], *map(self._value, atom.arguments))
        else:
            raise FreeSizeError(alone)
        self.known[alone] = found
        return found
