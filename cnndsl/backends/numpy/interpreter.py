"""A network run in NumPy, one node after another: what its text means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from cnndsl.analysis.weights import checked_weights, weight_name
from cnndsl.diagnostics import ArchError, Diagnostic, did_you_mean, listing
from cnndsl.graph import Network, Node
from cnndsl.ops.base import Op
from cnndsl.ops.facts import Family, spell_shape
from cnndsl.ops.reshape import Rebatch

Array = npt.NDArray[Any]


class Interpreter:
    """A network with its weights, to be called on arrays with the batch first.

    It computes in the type of its inputs, float32 or float64, as in evaluation.
    Raises ArchError (E603): weights that are not the network's.
    """

    def __init__(self, network: Network, weights: Mapping[str, Array]) -> None:
        """Check the weights, and find where each value is used last."""
        self.network = network
        self.weights = checked_weights(network, weights)
        self.nodes = [node for node in network if node.op.family is not Family.INPUT]
        self.dead = last_uses(network, self.nodes)

    def __call__(self, /, *arrays: Array, **named: Array) -> Array | dict[str, Array]:
        """The output, or a dictionary by name where there are several.

        Inputs are given in order, by name, or both. Infinity and NaN pass, without a
        warning, as in PyTorch.
        Raises ArchError (E602): inputs that are not the network's.
        """
        inputs = checked_inputs(self.network, arrays, named)
        with np.errstate(all="ignore"):
            return self._outputs(inputs)

    def _outputs(self, inputs: dict[str, Array]) -> Array | dict[str, Array]:
        first = next(iter(inputs.values()))
        values: dict[str, tuple[Array, ...]] = {
            tensor.node: (inputs[name],) for name, tensor in self.network.inputs.items()
        }
        for node in self.nodes:
            operands = [
                values[name][output] for name, output in self.network.operands(node.name)
            ]
            values[node.name] = self._run(node, operands, first)
            for name in self.dead[node.name]:
                del values[name]
        outputs = {
            name: values[tensor.node][tensor.output]
            for name, tensor in self.network.outputs.items()
        }
        return next(iter(outputs.values())) if len(outputs) == 1 else outputs

    def _run(self, node: Node, operands: list[Array], first: Array) -> tuple[Array, ...]:
        """All outputs of one node; `first` is an input, whose batch and type they have.

        Below `each row` the rows are part of the batch.
        """
        shapes = self.network.input_shapes(node.name)
        own = {
            name: self.weights[weight_name(node, name)]
            for name, weight in node.op.weights(*shapes).items()
            if not weight.integer
        }
        results = evaluated(node.op, operands, own, first.dtype)
        if isinstance(node.op, Rebatch) and not node.op.rows:
            # Nothing in an array without rows says how large the batch is.
            results = tuple(x.reshape(len(first) * node.rows, *x.shape[1:]) for x in results)
        found = tuple(array.shape[1:] for array in results)
        assert found == self.network.shapes[node.name], (node.name, found)
        return results


def evaluated(
    op: Op, operands: list[Array], weights: Mapping[str, Array], dtype: Any
) -> tuple[Array, ...]:
    """All outputs of an operation, in a type; whole numbers stay what they are."""
    cast = {name: weight.astype(dtype, copy=False) for name, weight in weights.items()}
    result = op.run(*operands, **cast)
    results = result if isinstance(result, tuple) else (result,)
    return tuple(
        array.astype(dtype, copy=False) if array.dtype.kind == "f" else array
        for array in results
    )


def checked_inputs(
    network: Network, arrays: tuple[Array, ...], named: Mapping[str, Array]
) -> dict[str, Array]:
    """The inputs by name.  Raises ArchError (E602): not those that the network takes."""
    names = list(network.inputs)
    faults = [
        Diagnostic(
            "E602",
            f"`{network.name}` has no input `{name}`",
            help=did_you_mean(name, names) or f"it takes {listing(names)}",
        )
        for name in named
        if name not in names
    ]
    if len(arrays) > len(names):
        count = "1 input" if len(names) == 1 else f"{len(names)} inputs"
        message = f"`{network.name}` takes {count}, but {len(arrays)} were given"
        faults.append(Diagnostic("E602", message))
    given = dict(zip(names, arrays, strict=False))
    twice = [name for name in named if name in given]
    faults += [Diagnostic("E602", f"the input `{name}` is given twice") for name in twice]
    inputs: dict[str, Array] = {}
    for name, tensor in network.inputs.items():
        if name not in given and name not in named:
            faults.append(Diagnostic("E602", f"the input `{name}` is missing"))
            continue
        inputs[name] = array = np.asarray(given.get(name, named.get(name)))
        wrong = _wrong(array, tensor.shape)
        if wrong:
            faults.append(Diagnostic("E602", f"the input `{name}` {wrong}"))
    if faults:
        raise ArchError(faults)
    for what, values in (
        ("batch sizes", {name: str(array.shape[0]) for name, array in inputs.items()}),
        ("types", {name: str(array.dtype) for name, array in inputs.items()}),
    ):
        if len(set(values.values())) > 1:
            shown = ", ".join(f"`{name}` {value}" for name, value in values.items())
            raise ArchError([Diagnostic("E602", f"the inputs have different {what}: {shown}")])
    return inputs


def _wrong(array: Array, shape: tuple[int, ...]) -> str:
    """What keeps an array from being the input of that shape, or nothing."""
    if array.dtype not in (np.float32, np.float64):
        return f"is {array.dtype}, but must be float32 or float64"
    if array.ndim != len(shape) + 1:
        wanted = f"the batch and {spell_shape(shape)}"
        return f"has {array.ndim} axes, and must have {len(shape) + 1}: {wanted}"
    if array.shape[1:] != shape:
        return f"is {spell_shape(array.shape[1:])} a sample, but must be {spell_shape(shape)}"
    return ""


def last_uses(network: Network, nodes: list[Node]) -> dict[str, list[str]]:
    """For each node, the values that nothing needs once it has run."""
    last = {node.name: node.name for node in nodes}
    for node in nodes:
        for name, _ in network.operands(node.name):
            last[name] = node.name
    kept = {tensor.node for tensor in network.outputs.values()}
    dead: dict[str, list[str]] = {node.name: [] for node in nodes}
    for name, user in last.items():
        if name not in kept:
            dead[user].append(name)
    return dead
