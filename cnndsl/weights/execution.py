"""A PyTorch module's layers, by what each of them receives when both sides are run.

Both compute with the same random values, so that what a layer receives tells it apart from
every other; at its own, a ConvNeXt's blocks count for a millionth, and a wrong one would
pass. The module's values and its mode are afterwards what they were.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from cnndsl.analysis.weights import weight_name
from cnndsl.backends.numpy.interpreter import last_uses
from cnndsl.diagnostics import ArchError, Diagnostic
from cnndsl.graph import Network, Node
from cnndsl.ops.facts import Array, Family
from cnndsl.weights.cells import Known
from cnndsl.weights.faults import ambiguous
from cnndsl.weights.layers import Ours, Theirs

if TYPE_CHECKING:
    from torch import Tensor, nn

ALIKE = 1e-3
"""By how much, of its size, two readings of one array may differ."""
EQUAL = 1e-4
"""The largest difference of two outputs, by the largest value."""
WORK = 30
"""Nodes that are run at most, for each of the network's."""
AGAIN = 3
"""The same in the search for another choice with the same outputs."""
GAINS = (1.0, 0.7)
"""Factors of the random weights, tried in order. With 1 a ReLU keeps a signal's size; forty
blocks with gates make of float32's rounding a third of the outputs, and do not with 0.7."""
PIXELS = 300_000
"""Of inputs with more values there is a batch of one."""


@dataclass(frozen=True, slots=True)
class Call:
    """A run of one of their layers, with a reading of what it received."""

    number: int
    layer: int
    reading: Array


@dataclass(slots=True)
class _State:
    """How far our network has run, and which layers of theirs it ran with."""

    place: int
    values: dict[str, tuple[Array, ...]]
    chosen: dict[int, int] = field(default_factory=dict)
    used: frozenset[int] = frozenset()

    def choosing(self, ours: int, theirs: int, call: int | None) -> _State:
        """The same with one more layer chosen."""
        used = self.used if call is None else self.used | {call}
        return _State(self.place, dict(self.values), {**self.chosen, ours: theirs}, used)


def by_execution(
    network: Network, theirs: Theirs, ours: Ours, module: nn.Module, given: Mapping[int, int]
) -> dict[int, int]:
    """Our layer → their layer, by number; `given` are those that are known.

    Raises ArchError (E605): the module does not run on the network's inputs, or no choice of
    its layers gives its outputs.
    """
    refusals: list[ArchError] = []
    for gain in GAINS:
        try:
            return _Search(network, theirs, ours, module, given, gain).found()
        except ArchError as error:
            refusals.append(error)
    raise refusals[0]


def unwrapped(module: nn.Module) -> nn.Module:
    """The module inside `torch.compile`'s and `DataParallel`'s."""
    while True:
        names = list(module._modules)
        if names not in (["_orig_mod"], ["module"]):
            return module
        inner = module._modules[names[0]]
        assert inner is not None
        module = inner


class _Search:
    """Our network, run a node at a time on layers of theirs that receive the same."""

    def __init__(
        self,
        network: Network,
        theirs: Theirs,
        ours: Ours,
        module: nn.Module,
        given: Mapping[int, int],
        gain: float,
    ) -> None:
        """Run theirs once."""
        self.network = network
        self.theirs, self.ours = theirs, ours
        self.kinds = Known(theirs, ours).kinds
        self.given = given
        self.numbers = {
            name: n
            for n, layer in enumerate(self.ours.layers)
            for name, _ in layer.tensors.values()
        }
        wanted = set(self.kinds[1])
        names = {
            name
            for layer, kind in zip(self.theirs.layers, self.kinds[0], strict=True)
            for name, _ in layer.tensors.values()
            if kind in wanted
        }
        self.random = _random(module, names, gain)
        rng = np.random.default_rng(0)
        shapes = [tensor.shape for tensor in network.inputs.values()]
        batch = 2 if sum(map(math.prod, shapes)) <= PIXELS else 1
        self.inputs = [rng.standard_normal((batch, *s)).astype(np.float32) for s in shapes]
        self.calls, self.expected = self._executed(module)
        called = {call.layer for call in self.calls}
        self.uncalled = [n for n in range(len(self.theirs.layers)) if n not in called]
        self.lost: list[int] = []
        self.nodes = [node for node in network if node.op.family is not Family.INPUT]
        self.dead = last_uses(network, self.nodes)

    def _executed(self, module: nn.Module) -> tuple[list[Call], dict[str, Array]]:
        """The calls of their layers in order, and their outputs."""
        import torch
        from torch.func import functional_call

        calls: list[Call] = []
        handles = []
        inside = dict(module.named_modules(remove_duplicate=False))
        for number, layer in enumerate(self.theirs.layers):
            owner = inside.get(".".join(layer.path))
            if owner is None or self.kinds[0][number] not in self.kinds[1]:
                continue

            def note(_: Any, args: Any, kwargs: Any, number: int = number) -> None:
                tensors = list(_tensors((args, kwargs)))
                if tensors:
                    reading = _reading(tensors[0][1].detach().cpu().float().numpy())
                    calls.append(Call(len(calls), number, reading))

            handles.append(owner.register_forward_pre_hook(note, with_kwargs=True))
        device = next(iter(self.random.values())).device if self.random else "cpu"
        inputs = tuple(torch.from_numpy(x).to(device) for x in self.inputs)
        try:
            with _evaluating(module), torch.no_grad():
                made = functional_call(module, self.random, inputs)
        except Exception as error:
            reason = (str(error).splitlines() or [""])[0]
            shown = f"{type(error).__name__}: {reason}".strip(": ")
            message = f"the module does not run on the network's inputs: {shown}"
            help = "give its state_dict() to match it by structure instead"
            raise ArchError([Diagnostic("E605", message, help=help)]) from error
        finally:
            for handle in handles:
                handle.remove()
        return calls, {name: t.detach().cpu().float().numpy() for name, t in _tensors(made)}

    def found(self) -> dict[int, int]:
        """The first choice of layers with which our outputs are theirs.  Raises ArchError."""
        names = list(self.network.outputs)
        if len(names) != len(self.expected):
            message = (
                f"the module gives {len(self.expected)} tensors, but the network {len(names)}"
            )
            raise ArchError([Diagnostic("E605", message)])
        if set(names) != self.expected.keys():
            self.expected = dict(zip(names, self.expected.values(), strict=True))
        # What is computed otherwise, and comes to the same, can only be tried in order.
        for alike in (True, False):
            chosen, apart = self._searched(alike)
            if chosen is not None:
                return chosen
        raise ArchError([self._refusal(apart)])

    def _searched(self, alike: bool) -> tuple[dict[int, int] | None, float]:
        """Our layers' choice, or how near the outputs came; only of what receives the same.

        Raises ArchError (E605): another choice, of other values within, gives the outputs too.
        """
        states = [self._begun()]
        found, apart = self._next(states, WORK, alike)
        if found is None:
            return None, apart
        other, _ = self._next(states, AGAIN, alike)
        if other is not None and (untold := self._untold(found, other)):
            theirs = [self.theirs.layers[found[m]] for m in untold]
            raise ArchError([ambiguous(theirs, [self.ours.layers[m] for m in untold])])
        return found, apart

    def _begun(self) -> _State:
        inputs = zip(self.network.inputs.values(), self.inputs, strict=True)
        return _State(0, {tensor.node: (x,) for tensor, x in inputs})

    def _next(
        self, states: list[_State], work: int, alike: bool
    ) -> tuple[dict[int, int] | None, float]:
        """The next choice that gives their outputs, or how near they came.

        Those that are not tried yet are left in `states`.
        """
        nodes, dead = self.nodes, self.dead
        budget = work * len(nodes)
        apart = math.inf
        while states and budget > 0:
            state = states.pop()
            while state.place < len(nodes):
                budget -= 1
                node = nodes[state.place]
                new = next((m for m in self.owned(node) if m not in state.chosen), None)
                if new is None:
                    state.values[node.name] = self._run(
                        node, self._operands(node, state), state.chosen
                    )
                    for name in dead[node.name]:
                        del state.values[name]
                    state.place += 1
                    continue
                options = [
                    state.choosing(new, *c) for c in self._options(node, new, state, alike)
                ]
                if not options or budget <= 0:
                    break
                state = options[0]
                states += reversed(options[1:])
            else:
                apart = min(apart, self._difference(state))
                if apart <= EQUAL:
                    return state.chosen, apart
        return None, apart

    def _untold(self, one: dict[int, int], other: dict[int, int]) -> list[int]:
        """Our layers between which two choices decide, and neither a name nor an output.

        Where both sides of a sum are exchanged no layer behind it sees a difference, and
        either choice is right. An `argmax`, or what saturates, hides one.
        """
        inputs = zip(self.network.inputs.values(), self.inputs, strict=True)
        values: dict[str, tuple[tuple[Array, ...], tuple[Array, ...]]] = {
            tensor.node: ((x,), (x,)) for tensor, x in inputs
        }
        for node in self.nodes:
            operands = [
                [
                    values[name][side][output]
                    for name, output in self.network.operands(node.name)
                ]
                for side in (0, 1)
            ]
            values[node.name] = found = (
                self._run(node, operands[0], one), self._run(node, operands[1], other)
            )  # fmt: skip
            before = _same(*operands)
            weighs = any(one[m] != other[m] for m in self.owned(node))
            hidden = (weighs or not before) and _same(*found)
            if hidden and (weighs or not _exchanged(*operands)):
                return [
                    m for m, n in one.items() if n != other[m] and not self._namesakes(m, n)
                ]
            for name in self.dead[node.name]:
                del values[name]
        return []

    def owned(self, node: Node) -> list[int]:
        """Our layers of a node."""
        names = (weight_name(node, name) for name in self._weights(node))
        return list(dict.fromkeys(self.numbers[name] for name in names))

    def _weights(self, node: Node) -> list[str]:
        weights = node.op.weights(*self.network.input_shapes(node.name))
        return [name for name, weight in weights.items() if not weight.integer]

    def _operands(self, node: Node, state: _State) -> list[Array]:
        return [state.values[name][output] for name, output in self.network.operands(node.name)]

    def _options(
        self, node: Node, new: int, state: _State, strict: bool
    ) -> list[tuple[int, int | None]]:
        """The layers of theirs that this one may be, each with the call of it."""
        kind = self.kinds[1][new]
        if new in self.given:
            return [(self.given[new], None)]
        free = [n for n in self.uncalled if n not in state.chosen.values()]
        free = [n for n in free if self.kinds[0][n] == kind]
        calls: dict[int, Call] = {}
        for call in self.calls:
            if call.number not in state.used and self.kinds[0][call.layer] == kind:
                calls.setdefault(call.layer, call)
        operands = self._operands(node, state)
        reading = _reading(operands[0]) if operands else None
        alike = [
            c for c in calls.values() if reading is not None and _alike(c.reading, reading)
        ]
        if not alike and not free:
            self.lost.append(new)
        fitting = alike if alike or strict else list(calls.values())
        fitting.sort(key=lambda call: not self._namesakes(new, call.layer))
        return [*((c.layer, c.number) for c in fitting), *((n, None) for n in free)]

    def _namesakes(self, ours: int, theirs: int) -> bool:
        return self.ours.layers[ours].path == self.theirs.layers[theirs].path

    def _run(
        self, node: Node, operands: list[Array], chosen: Mapping[int, int]
    ) -> tuple[Array, ...]:
        weights = {}
        shapes = node.op.weights(*self.network.input_shapes(node.name))
        for name in self._weights(node):
            number = self.numbers[weight_name(node, name)]
            tensors = self.ours.layers[number].tensors
            role = next(r for r, (n, _) in tensors.items() if n == weight_name(node, name))
            theirs, _ = self.theirs.layers[chosen[number]].tensors[role]
            shape = tuple(map(int, shapes[name].shape))
            weights[name] = self.random[theirs].detach().cpu().numpy().reshape(shape)
        with np.errstate(all="ignore"):
            result = node.op.run(*operands, **weights)
        return result if isinstance(result, tuple) else (result,)

    def _difference(self, state: _State) -> float:
        """The largest, by the largest value, of any output."""
        found = 0.0
        for name, tensor in self.network.outputs.items():
            ours, theirs = state.values[tensor.node][tensor.output], self.expected[name]
            found = max(found, _apart(ours, theirs))
        return found

    def _refusal(self, apart: float) -> Diagnostic:
        message = "the module does not compute what the network does"
        if apart < math.inf:
            message += f": their outputs are {apart:.1g} apart, by the largest value"
        lost = [str(self.ours.layers[m]) for m in dict.fromkeys(self.lost)]
        note = f"none of its layers receives what `{lost[0]}` does" if lost else ""
        return Diagnostic("E605", f"{message}\n  {note}" if note else message)


def _reading(array: Array) -> Array:
    """Sums that neither an order of the axes nor zeros around it change.  → (5,)."""
    x = np.abs(array, dtype=np.float64).ravel()
    total = float(np.sum(array, dtype=np.float64))
    return np.array([total, x.sum(), (x**2).sum(), (x**3).sum(), x.max(initial=0)])


def _alike(a: Array, b: Array) -> bool:
    with np.errstate(invalid="ignore"):
        scale = np.maximum(np.abs(a), np.abs(b))
        scale[0] = scale[1]
        return bool(((np.abs(a - b) <= ALIKE * scale) | ~np.isfinite(a + b)).all())


def _apart(a: Array, b: Array) -> float:
    """The largest difference by the largest value; infinite where others are not finite."""
    if a.shape != b.shape:
        return math.inf
    finite = np.isfinite(b)
    if not (finite == np.isfinite(a)).all() or not np.array_equal(a[~finite], b[~finite], True):
        return math.inf
    largest = float(np.abs(b[finite]).max(initial=0)) or 1.0
    return float(np.abs(a[finite] - b[finite]).max(initial=0)) / largest


def _same(one: Sequence[Array], other: Sequence[Array]) -> bool:
    return all(_apart(a, b) <= EQUAL for a, b in zip(one, other, strict=True))


def _exchanged(one: Sequence[Array], other: Sequence[Array]) -> bool:
    """Whether both hold the same values, in another order."""
    a, b = (np.sort(np.concatenate([x.ravel() for x in side])) for side in (one, other))
    return _apart(a, b) <= EQUAL


def _random(module: nn.Module, names: Collection[str], gain: float) -> dict[str, Tensor]:
    """The module's tensors, those of these names with values that keep a signal's size."""
    import torch

    generator = torch.Generator().manual_seed(0)
    named = [
        *module.named_parameters(remove_duplicate=False),
        *module.named_buffers(remove_duplicate=False),
    ]
    made: dict[int, Tensor] = {}
    found: dict[str, Tensor] = {}
    for name, value in named:
        if name not in names or not value.is_floating_point():
            continue
        if id(value) not in made:
            new = torch.empty(value.shape)
            if value.dim() > 1:
                new.normal_(0, gain * (2 / value[0].numel()) ** 0.5, generator=generator)
            elif name.endswith("var"):
                new.uniform_(0.5, 1.5, generator=generator)
            else:
                new.normal_(float(name.endswith("weight")), 0.2, generator=generator)
            made[id(value)] = new.to(value.device)
        found[name] = made[id(value)]
    return found


def _tensors(made: Any, name: str = "0") -> Iterator[tuple[str, Tensor]]:
    """The tensors in a result, by name where it has names."""
    if hasattr(made, "_asdict"):
        made = made._asdict()
    if hasattr(made, "detach"):
        yield name, made
    elif isinstance(made, Mapping):
        for key, value in made.items():
            yield from _tensors(value, str(key))
    elif isinstance(made, tuple | list):
        for number, value in enumerate(made):
            yield from _tensors(value, f"{name}.{number}")


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """In evaluation; afterwards each part trains or not as before."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode
