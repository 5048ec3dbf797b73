"""The proof of a file: what it computes is the network, or it is not written.

A file's tree is evaluated on symbolic tensors, without PyTorch and without executing
anything, and must come to the network's own graph: the same operations with the same
attributes, of the same operands, under the same keys, and the same outputs (translation
validation: Pnueli, Siegel & Singerman 1998).
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from cnndsl.backends.torch.names import plain_port
from cnndsl.backends.torch.proof.expected import Expected
from cnndsl.backends.torch.proof.faults import ProofError
from cnndsl.backends.torch.proof.library import same
from cnndsl.backends.torch.proof.modules import Class, Module
from cnndsl.backends.torch.proof.terms import Tensor, read, spell_call
from cnndsl.backends.torch.proof.values import Frame, Named
from cnndsl.graph import Network
from cnndsl.symbolic import strip

__all__ = ["ProofError", "prove", "reparse"]


def prove(
    tree: ast.Module, network: Network, arguments: Mapping[str, object] | None = None
) -> None:
    """Prove that a file computes a network when its model is constructed so.

    An argument is a value, or an expression that is evaluated in the file.
    Raises ProofError: it does not, or nobody knows.
    """
    Proof(tree, network).run(arguments or {})


def reparse(text: str, tree: ast.Module) -> None:
    """Prove that a text is a tree, printed, and that Python takes it.

    Raises ProofError: it is another tree, or no file at all.
    """
    try:
        found = ast.parse(text)
        # What only the compiler sees: an argument twice, a `return` outside.
        compile(text, "<written>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        raise ProofError(f"Python does not take the text: {error}") from None
    for one, other in zip(found.body, tree.body, strict=False):
        if not same(one, other):
            raise ProofError("the text says something else than the tree", one)
    if len(found.body) != len(tree.body):
        raise ProofError(f"the text has {len(found.body)} statements, not {len(tree.body)}")


class Proof:
    """One file against one network."""

    def __init__(self, tree: ast.Module, network: Network) -> None:
        """Number the network, and load the file."""
        self.expected = Expected(network)
        self.machine = self.expected.machine
        self.table = self.machine.table
        self.network = network
        self.known = len(self.table.terms)
        self.updates, self.table.updates = self.table.updates, {}
        self.machine.steps = 0
        self.machine.load(tree)

    def model(self) -> Class:
        """The model's class: the one of the network's name, else the last."""
        classes = [
            value
            for value in self.machine.globals.values()
            if isinstance(value, Class) and value.kind != "NamedTuple"
        ]
        named = [cls for cls in classes if cls.name.rstrip("_") == self.network.name]
        if not classes:
            raise ProofError("the file has no class of a model")
        return (named or classes)[-1]

    def run(self, arguments: Mapping[str, object]) -> None:
        """Construct, call, compare.  Raises ProofError."""
        frame = Frame(self.machine.globals)
        given: dict[str, Any] = {
            name: self.machine.evaluate(value, frame)
            if isinstance(value, ast.expr)
            else strip(value)
            for name, value in arguments.items()
        }
        model = self.machine.construct(self.model(), [], given)
        model.settle()
        self.compare_beginnings(model)
        self.machine.close(model)
        inputs = [self.table.held(number, "input") for number in self.expected.inputs]
        result = self.machine.apply(model, inputs, {})
        self.compare_outputs(result)
        self.compare_calls()
        for idle in model.idle():
            said = spell_call(idle.kind, idle.attributes) if idle.bound else idle.name
            raise ProofError(f"nothing calls `{idle.path}`, {said}", idle.place)

    def compare_beginnings(self, model: Module) -> None:
        """Raises ProofError: a weight begins with something else than the network says."""
        for path, module in model.below():
            wanted = self.expected.begun.get(path)
            if wanted is None or wanted == module.begun:
                continue
            for name in {**wanted, **module.begun}:
                found, said = module.begun.get(name), wanted.get(name)
                if found != said:
                    own = "PyTorch's own"
                    message = f"`{path}.{name}` begins with {found or own}"
                    raise ProofError(
                        f"{message}; the network's with {said or own}", module.place
                    )

    def compare_outputs(self, result: Any) -> None:
        """Raises ProofError: they are not the network's."""
        wanted = self.expected.outputs
        found = self.named_outputs(result, list(wanted))
        for name, number in wanted.items():
            value = found[name]
            if not isinstance(value, Tensor):
                raise ProofError(f"the output `{name}` is not a tensor")
            if read(value) != number:
                self.explain(name, value.number, number)

    def named_outputs(self, result: Any, names: list[str]) -> dict[str, Any]:
        """The outputs by the network's names; a tensor alone is the only one.

        What a file declares and this network has not is None.
        """
        if isinstance(result, Named):
            result = dict(zip(result.cls.fields, result.values, strict=True))
        if isinstance(result, dict):
            there = {name: value for name, value in result.items() if value is not None}
            fields = [plain_port(name).rstrip("_") for name in names]
            if [name.rstrip("_") for name in there] != fields:
                raise ProofError(f"the outputs are {list(there)}, not {names}")
            return dict(zip(names, there.values(), strict=True))
        if len(names) == 1:
            return {names[0]: result}
        found = (
            [value for value in result if value is not None] if type(result) is tuple else []
        )
        if len(found) != len(names):
            raise ProofError(f"the file has {len(found)} outputs, the network {len(names)}")
        return dict(zip(names, found, strict=True))

    def explain(self, name: str, found: int, wanted: int) -> None:
        """Raise ProofError: the first value on the way to an output that is not right."""
        stranger = self.first_stranger(found)
        place = self.machine.places.get(stranger)
        said = f"the output `{name}` is {self.table.spell(found)}; "
        said += f"the network's is {self.table.spell(wanted)}"
        if stranger != found:
            said = f"the network does not compute {self.table.spell(stranger)}, of which {said}"
        missing = next((n for n in self.network_order() if n not in self.table.seen), None)
        if missing is not None:
            said += f"; nothing computes {self.table.names[missing]}"
        raise ProofError(said, place)

    def first_stranger(self, number: int) -> int:
        """Down from a wrong value, the first that is computed of right ones alone."""
        while True:
            below = [
                n
                for n in self.table.terms[number].operands
                if n >= self.known and n not in self.table.names
            ]
            if not below:
                return number
            number = below[0]

    def network_order(self) -> list[int]:
        """The values of the network's nodes, in order, without its inputs."""
        inputs = set(self.expected.inputs)
        return [n for n in dict.fromkeys(self.expected.values.values()) if n not in inputs]

    def compare_calls(self) -> None:
        """Raises ProofError: a layer is called too often, or not at all."""
        for term, left in self.table.calls.items():
            if left:
                name = f"`{term.key}` ({spell_call(term.head, term.attributes)})"
                often = "is not called" if left > 0 else "is called once too often"
                raise ProofError(f"{name} {often}")
        for key, terms in self.updates.items():
            if self.table.updates[key] != terms:
                raise ProofError(f"the statistics of `{key}` are updated in another order")
