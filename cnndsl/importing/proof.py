"""Whether a text says what a flow computes: layer by layer, and by running both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from cnndsl.analysis.weights import expected_weights, weight_name
from cnndsl.importing.flow import Flow, Layer, Value, refused
from cnndsl.network import Network
from cnndsl.ops.base import Op
from cnndsl.ops.facts import Array, Shape

CLOSE, EXACT = 1e-6, 1e-11
"""The largest difference, by the largest value, between two runs in double precision: of a
program that rounds to single precision, and of others, whose rounding may be amplified."""

Where = dict[str, Layer]
"""The layer that each node of a network is."""


def matched(network: Network, flow: Flow) -> Where:
    """The layer of each node: the same operation, on the same tensors, of the same shape.

    Raises ArchError (E610): they are not the same graph.
    """
    ops = flow.operations()
    ours, theirs = _colours_of(network), _colours(flow, ops)
    waiting: dict[tuple[str, tuple[Value, ...]], list[Layer]] = {}
    for layer in flow.layers:
        waiting.setdefault((layer.word, layer.inputs), []).append(layer)
    found: Where = {}
    tensors: dict[Value, Value] = {(name, 0): (name, 0) for name in network.inputs}
    for node in network:
        if node.name in network.inputs:
            continue
        inputs = tuple(tensors[value] for value in network.operands(node.name))
        fitting = [
            layer
            for layer in waiting.get((node.op.name, inputs), [])
            if theirs[layer.name] == ours[node.name]
        ]
        if not fitting:
            raise refused(f"the text's `{node.name}` is not a layer of the network")
        layer = fitting[0]
        waiting[layer.word, inputs].remove(layer)
        found[node.name] = layer
        count = len(network.shapes[node.name])
        tensors.update(((node.name, n), (layer.name, n)) for n in range(count))
    left = next((layer for layers in waiting.values() for layer in layers), None)
    if left is not None:
        raise refused(f"`{left.word}` is not in the text", left.where)
    for name, tensor in network.outputs.items():
        if tensors[tensor.node, tensor.output] != flow.outputs[name]:
            raise refused(f"the text's output `{name}` is another tensor")
    return found


def _colours_of(network: Network) -> dict[str, int]:
    made = [node for node in network if node.name not in network.inputs]
    return _refined(
        {name: hash(name) for name in network.inputs},
        [(n.name, _sign(n.op), tuple(network.operands(n.name))) for n in made],
        {name: (t.node, t.output) for name, t in network.outputs.items()},
    )


def _colours(flow: Flow, ops: Mapping[str, Op]) -> dict[str, int]:
    return _refined(
        {name: hash(name) for name in flow.inputs},
        [(layer.name, _sign(ops[layer.name]), layer.inputs) for layer in flow.layers],
        flow.outputs,
    )


def _sign(op: Op) -> int:
    """A number for an operation with its attributes; equal parts are known by how many."""
    plain = op.plain()
    values = [_number(getattr(plain, name)) for name in plain.names_]
    if plain.name == "split" and isinstance(values[0], tuple) and len({*values[0]}) == 1:
        values[0] = len(values[0])
    return hash((plain.name, *values))


def _number(value: object) -> object:
    if isinstance(value, tuple | list):
        return tuple(map(_number, value))
    return value if isinstance(value, str | int | float) or value is None else str(value)


def _refined(
    before: dict[str, int],
    made: Sequence[tuple[str, int, tuple[Value, ...]]],
    outputs: Mapping[str, Value],
) -> dict[str, int]:
    """What each layer is, by all that it depends on and all that depends on it."""
    forward = dict(before)
    for name, sign, inputs in made:
        forward[name] = hash((sign, tuple((forward[n], o) for n, o in inputs)))
    readers: dict[str, list[int]] = {}
    for port, (name, output) in outputs.items():
        readers.setdefault(name, []).append(hash((port, output)))
    both: dict[str, int] = {}
    for name, _, inputs in reversed(made):
        both[name] = hash((forward[name], tuple(sorted(readers.get(name, [])))))
        for place, (source, output) in enumerate(inputs):
            readers.setdefault(source, []).append(hash((both[name], place, output)))
    return both


def weight_names(network: Network, where: Where, *, copies: bool = False) -> dict[str, str]:
    """The foreign name of each of our weights.

    Raises ArchError (E610): what is one weight there would be several here, unless they may be
    `copies`; or the reverse.
    """
    found: dict[str, str] = {}
    known: dict[str, str] = {}
    for node in network:
        if node.name in where:
            for ours, theirs in where[node.name].weights.items():
                name = weight_name(node, ours)
                if known.setdefault(theirs, name) != name and not copies:
                    raise refused(
                        f"`{theirs}` is read by several layers: a file would give each its"
                        " own copy",
                        where[node.name].where,
                    )
                if found.setdefault(name, theirs) != theirs:
                    raise refused(f"`{found[name]}` and `{theirs}` would be one weight")
    return found


def translated(
    network: Network, names: Mapping[str, str], weights: Mapping[str, Array]
) -> dict[str, Array]:
    """Foreign weights under our names, in our shapes."""
    made: dict[str, Array] = {}
    for name, (_, weight) in expected_weights(network).items():
        shape = tuple(map(int, weight.shape))
        if weight.integer:
            made[name] = np.zeros(shape, np.int64)
        else:
            made[name] = np.asarray(weights[names[name]]).reshape(shape)
    return made


def random_weights(flow: Flow, seed: int = 0, gain: float = 2.0) -> dict[str, Array]:
    """Weights at which nothing is trivial: statistics, factors and shifts are random too.

    In double precision; a matrix multiplies variances by `gain`, of which a `relu` leaves half.
    """
    rng = np.random.default_rng(seed)
    used = {theirs: ours for layer in flow.layers for ours, theirs in layer.weights.items()}
    made: dict[str, Array] = {}
    for name, value in flow.weights.items():
        shape, ours = np.shape(value), used.get(name, "")
        if not np.issubdtype(np.asarray(value).dtype, np.floating):
            made[name] = np.asarray(value)
        elif ours == "running_var":
            made[name] = rng.uniform(0.5, 1.5, shape)
        elif ours == "weight" and len(shape) > 1:
            fan = max(1, int(np.prod(shape[1:])))
            made[name] = rng.normal(0, (gain / fan) ** 0.5, shape)
        elif ours in ("", "weight"):
            made[name] = rng.normal(1, 0.2, shape)
        else:
            made[name] = rng.normal(0, 0.2, shape)
    return made


def difference(
    network: Network,
    names: Mapping[str, str],
    flow: Flow,
    shapes: Mapping[str, Shape],
    batch: int = 2,
) -> tuple[float, bool]:
    """How far apart both are on random weights and inputs, by the largest value.

    And whether that is rounding: no more than what a change in the inputs' last digits makes.
    Raises whatever the foreign program raises where it takes no inputs of these shapes.
    ArchError (E610): an output is 0 everywhere, which would prove nothing.
    """
    rng = np.random.default_rng(1)
    inputs = [rng.normal(size=(batch, *shapes[name])) for name in flow.inputs]
    found, most = float("inf"), CLOSE
    for gain in GAINS:
        weights = random_weights(flow, gain=gain)
        theirs = list(flow.run(weights, inputs))
        found = _difference(network, names, weights, inputs, theirs)
        if found <= (CLOSE if flow.rounds else EXACT):
            break
        nudged = [x * (1 + 2.0**-50 * rng.choice((-1, 1), x.shape)) for x in inputs]
        rounding = _apart(theirs, list(flow.run(weights, nudged)))
        most = CLOSE if flow.rounds else min(CLOSE, max(EXACT, MANY * rounding))
        if rounding <= CLOSE / MANY:
            break
    if not all(np.any(output) for output in theirs):
        raise refused("an output is 0 everywhere at random weights: nothing can be compared")
    return found, found <= most


MANY = 1e3
"""So many times what the inputs' last digits change, rounding may make of a difference."""
GAINS = (2.0, 1.0, 0.5)
"""Smaller ones where a network makes of its own rounding a difference that would count."""


def _difference(
    network: Network,
    names: Mapping[str, str],
    weights: Mapping[str, Array],
    inputs: Sequence[Array],
    theirs: Sequence[Array],
) -> float:
    made = network.to_numpy(translated(network, names, weights))(*inputs)
    return _apart(list(made.values()) if isinstance(made, dict) else [made], theirs)


def _apart(ours: Sequence[Array], theirs: Sequence[Array]) -> float:
    """The largest difference of two runs, by the largest value; ∞ where nothing is computed."""
    worst = 0.0
    for mine, other in zip(ours, theirs, strict=True):
        if mine.shape != other.shape:
            return float("inf")
        largest = float(np.abs(other).max())
        apart = float(np.abs(mine - other).max())
        if not np.isfinite(apart) or not largest > 1e-12:
            return float("inf")
        worst = max(worst, apart / largest)
    return worst


def unused(flow: Flow) -> list[str]:
    """The weights that no layer reads, training's counters left out."""
    used = Counter(name for layer in flow.layers for name in layer.weights.values())
    return [n for n in flow.weights if not used[n] and not n.endswith("num_batches_tracked")]
