"""What PyTorch's functions and operators compute, as terms."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

from cnndsl.backends.torch.proof import views
from cnndsl.backends.torch.proof.calls import (
    SIGNATURES,
    family,
    frozen,
    one_name,
    rank_of,
    signature,
)
from cnndsl.backends.torch.proof.faults import ProofError
from cnndsl.backends.torch.proof.terms import (
    Attributes,
    Numbering,
    Tensor,
    Term,
    overwritten,
    read,
)
from cnndsl.records import Record, record

AXES = {"F.softmax": "dim", "F.normalize": "dim"}
"""Arguments that count axes, from the front or from the back."""
OPERATORS = {
    "+": "add",
    "-": "sub",
    "*": "mul",
    "/": "div",
    "//": "floor_div",
    "%": "remainder",
}
OPERATORS |= {"**": "pow", "@": "matmul"}
FUNCTIONS = {"torch.add": "+", ".add": "+", "torch.mul": "*", ".mul": "*"}
"""Operators by other names."""


@record(frozen=False)
class Functions(Record):
    """The functions of PyTorch over one numbering.

    `learned` are those that an operation of the network calls and no table has, with
    their keywords' defaults: a file must call them as the operation does.
    """

    table: Numbering
    learned: dict[str, dict[str, object]] = field(default_factory=dict)

    def knows(self, name: str) -> bool:
        """Whether a file may call it on tensors."""
        return (
            name in views.VIEWS
            or name in FUNCTIONS
            or name == "torch.einsum"
            or family(one_name(name)) in SIGNATURES
            or name in self.learned
        )

    def call(self, name: str, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
        """The value of a function or, with a point before its name, of a method."""
        if name in views.VIEWS:
            try:
                return views.VIEWS[name](self.table, *arguments, **keywords)
            except TypeError:
                raise ProofError(f"`{name}` does not take these arguments") from None
        if name in FUNCTIONS and len(arguments) == 2 and not keywords:
            return self.binary(FUNCTIONS[name], *arguments)
        if name == "torch.einsum":
            return self.einsum(arguments, keywords)
        if family(one_name(name)) not in SIGNATURES:
            return self.plain(name, arguments, keywords)
        keywords = dict(keywords)
        x, *rest = [*arguments] if arguments else [keywords.pop("input", None)]
        return self.of_input(name, x, rest, keywords)

    def of_input(
        self, name: str, x: object, arguments: Sequence[Any], keywords: Mapping[str, Any]
    ) -> Any:
        """A function of one tensor that the tables have."""
        if not isinstance(x, Tensor):
            raise ProofError(f"`{name}` of what is not a tensor")
        found = signature(one_name(name))
        assert found is not None, name
        bound = found.bind(arguments, keywords)
        return self.applied(found.name, found.attributes(bound), x, bool(bound.get("inplace")))

    def applied(self, name: str, attributes: Attributes, x: Tensor, inplace: bool) -> Any:
        """A term of one operand."""
        values: dict[str, Any] = dict(attributes)
        if name == "F.interpolate" and x.shape is not None:
            attributes = tuple((n, _once(v, len(x.shape) - 2)) for n, v in attributes)
        rank = rank_of(name)
        if name.startswith("F.adaptive_avg_pool") and values == {"output_size": (1,) * rank}:
            if len(views.shape_of(x)) != rank + 2:
                raise ProofError(f"`{name}` of a tensor of {len(views.shape_of(x))} axes")
            return views.mean(self.table, x, tuple(range(2, rank + 2)), keepdim=True)
        if name in AXES and x.shape is not None:
            axis = values.get(AXES[name], 1)
            attributes = tuple(sorted({**values, AXES[name]: views.axis_of(x, axis)}.items()))
        if name == "F.pad":
            self.check_pad(x, values)
        found = self.table.tensor(Term(name, attributes, (read(x),)))
        if values.get("return_indices"):
            return self.table.values(found)
        return overwritten(x, found, name) if inplace else found

    def check_pad(self, x: Tensor, values: dict[str, Any]) -> None:
        """Raises ProofError: the sides reach the channels or the batch."""
        if x.shape is not None and len(values["pad"]) > 2 * (len(x.shape) - 2):
            raise ProofError("the padding reaches the channels")

    def plain(self, name: str, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
        """A function as the network's operation calls it, and not otherwise."""
        if name not in self.learned:
            raise ProofError(f"`{name}` is not known to the proof")
        return self.table.values(self.table.tensor(self.term(name, arguments, keywords)))

    def term(
        self,
        name: str,
        arguments: Sequence[Any],
        keywords: Mapping[str, Any],
        key: str | None = None,
    ) -> Term:
        """The term of a call by its spelling; keywords at their defaults are left out."""
        defaults = self.learned.get(name, {})
        operands: list[int] = []
        said = {n: v for n, v in keywords.items() if n not in defaults or v != defaults[n]}
        named = {**{f"#{n}": value for n, value in enumerate(arguments)}, **said}
        attributes = [(n, self.slotted(named[n], operands)) for n in sorted(named)]
        return Term(name, tuple(attributes), tuple(operands), key)

    def slotted(self, value: Any, operands: list[int]) -> object:
        """A value that can be compared, the tensors in it collected."""
        if isinstance(value, Tensor):
            operands.append(read(value))
            return ("operand", len(operands) - 1)
        if isinstance(value, list | tuple):
            return tuple(self.slotted(item, operands) for item in value)
        try:
            return frozen(value)
        except TypeError:
            raise ProofError(f"an argument {value!r}") from None

    def binary(self, operator: str, left: Any, right: Any) -> Tensor:
        """`x + y`, `x * 0.5`: of + and * the order does not matter."""
        if operator not in OPERATORS:
            raise ProofError(f"the operator {operator} of tensors")
        name = OPERATORS[operator]
        sides = (left, right)
        operands = tuple(read(side) for side in sides if isinstance(side, Tensor))
        values = [side for side in sides if not isinstance(side, Tensor)]
        if any(type(value) not in (int, float) for value in values):
            raise ProofError(f"`{operator}` of a tensor and {values[0]!r}")
        if operator in "+*":
            attributes = tuple(("by", float(value)) for value in values)
            return self.table.tensor(Term(name, attributes, tuple(sorted(operands))))
        where = tuple(
            ("left" if n == 0 else "right", float(side))
            for n, side in enumerate(sides)
            if not isinstance(side, Tensor)
        )
        return self.table.tensor(Term(name, where, operands))

    def negative(self, x: Tensor) -> Tensor:
        """`-x`."""
        return self.table.tensor(Term("neg", (), (read(x),)))

    def augmented(self, operator: str, x: Tensor, right: Any) -> Tensor:
        """`x += y`, in the memory of x."""
        found = self.binary(operator, x, right)
        return overwritten(x, found, OPERATORS[operator])

    def einsum(self, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Tensor:
        """A contraction; its letters are names and nothing more."""
        pattern, *operands = arguments or [None]
        if len(operands) == 1 and isinstance(operands[0], list | tuple):
            operands = list(operands[0])
        if keywords or not isinstance(pattern, str) or not operands:
            raise ProofError("`torch.einsum` takes a pattern and tensors")
        if not all(isinstance(x, Tensor) for x in operands):
            raise ProofError("`torch.einsum` of what is not a tensor")
        said = pattern.replace(" ", "")
        found = [c for c in dict.fromkeys(said) if c.isalpha()]
        if "->" not in said or len(found) > len(string.ascii_letters):
            raise ProofError(f"the pattern {pattern!r}")
        letters = str.maketrans(dict(zip(found, string.ascii_letters, strict=False)))
        attributes = (("pattern", said.translate(letters)),)
        return self.table.tensor(Term("torch.einsum", attributes, tuple(map(read, operands))))


def _once(value: object, rank: int) -> object:
    """A size of each axis, said once where all are equal.  Raises ProofError: not of each."""
    if not isinstance(value, tuple):
        return value
    if len(value) != rank:
        raise ProofError(f"{value!r} are not the sizes of {rank} axes")
    return value[0] if len(set(value)) == 1 else value
