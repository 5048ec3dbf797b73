"""A PyTorch module as a `Flow`: what `torch.export` records of it, word for word.

The module runs once, on the meta device and with a batch of two, so that a reshape which
touches the batch is seen. Each recorded call goes to its rule in `aten`.
"""

from __future__ import annotations

import logging
import math
import operator
import warnings
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any

from cnndsl.diagnostics import ArchError
from cnndsl.importing.flow import Flow, Layer, Scope, Value, refused
from cnndsl.ops.base import Array, Shape
from cnndsl.records import Record, record

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import torch
    from torch import fx, nn
    from torch.export import ExportedProgram

BATCH = 2


@record
class Seen(Record):
    """A recorded tensor as ours: `batch` is the place of the batch among its axes there.

    `merged` says that this axis holds rows of each sample as well, which are our axis at that
    place. `shape` is the recorded one.
    """

    value: Value
    shape: Shape
    batch: int = 0
    merged: bool = False
    ours: Shape = ()
    """The shape of the value, per sample."""

    def axis(self, axis: int) -> int | None:
        """Our axis for one of theirs; None is the batch."""
        axis %= len(self.shape)
        if self.merged:
            return axis
        return None if axis == self.batch else axis - (axis > self.batch)


@record
class Constant(Record):
    """A parameter, a buffer, or what is computed of them alone.

    `name` is empty where its elements are no longer those of one parameter in order; then
    `made` says by which operation.
    """

    name: str
    shape: Shape
    made: str = ""


Seeable = Seen | Constant


@record
class Call(Record):
    """One recorded call, its arguments by name, and what they are to us."""

    name: str
    word: str
    """The operation without `aten.` and the `_` of those that write in place."""
    given: dict[str, Any]
    shapes: tuple[Shape, ...]
    reader: Reader = field(repr=False)

    def __getitem__(self, name: str) -> Any:
        """An argument; a tensor as `Seen` or `Constant`."""
        return self.given.get(name)

    def refuse(self, reason: str) -> ArchError:
        """What a file cannot say of this call."""
        return refused(f"`{self.word}` {reason}", self.reader.where)

    def tensor(self, name: str, *, plain: bool = False) -> Seen:
        """A tensor of the flow; `plain` has the batch first, alone.  Raises ArchError."""
        found = self.given[name]
        return self.seen(found, plain=plain)

    def seen(self, found: object, *, plain: bool = False) -> Seen:
        """The same, of one in a list."""
        if isinstance(found, Constant):
            what = f"`{found.name}`" if found.name else f"`{found.made}` of parameters"
            raise self.refuse(f"of {what}, which is a parameter and no tensor that flows")
        if not isinstance(found, Seen):
            raise self.refuse(f"of {found!r}")
        if plain and (found.merged or found.batch):
            raise self.refuse("of a tensor whose batch is merged with another axis, or moved")
        return found

    def weight(self, name: str) -> Constant | None:
        """A parameter as it is stored.  Raises ArchError: one that is computed."""
        found = self.given[name]
        if found is None:
            return None
        if isinstance(found, Seen):
            raise self.refuse(f"whose {name} is computed from the input")
        assert isinstance(found, Constant)
        if not found.name:
            raise self.refuse(
                f"whose {name} is computed from parameters by `{found.made}`: a file has"
                " no operation on weights alone"
            )
        return found

    def sizes(self, name: str, rank: int) -> tuple[int, ...]:
        """Integers for each spatial axis."""
        value = self.given[name]
        values = tuple(value) if isinstance(value, list | tuple) else (value,)
        return values * rank if len(values) == 1 else values

    def layer(
        self,
        word: str,
        inputs: Sequence[Seen],
        shapes: Sequence[Shape] | None = None,
        weights: Mapping[str, str] | None = None,
        **arguments: Any,
    ) -> Value:
        """Add a layer; without `shapes` it gives what the call gives, its batch first."""
        found = shapes if shapes is not None else [shape[1:] for shape in self.shapes]
        values = tuple(seen.value for seen in inputs)
        return self.reader.add(self.name, word, arguments, values, found, weights or {})

    def gives(self, value: Value, batch: int = 0, *, merged: bool = False) -> Seen:
        """The result of the call."""
        return self.reader.seen(value, self.shapes[0], batch, merged=merged)

    def like(self, value: Value, other: Seen) -> Seen:
        """The result, with its batch where another tensor has it."""
        return self.reader.seen(value, self.shapes[0], other.batch, merged=other.merged)


class Reader:
    """The layers that were made, and what each recorded tensor is."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.layers: list[Layer] = []
        self.shapes: dict[Value, Shape] = {}
        self.scopes: tuple[Scope, ...] = ()
        self.names: set[str] = set()
        self.batch = BATCH

    def seen(
        self,
        value: Value,
        shape: Shape | None = None,
        batch: int = 0,
        *,
        merged: bool = False,
    ) -> Seen:
        """A tensor of the flow, by default with the batch first."""
        ours = self.shapes[value]
        return Seen(value, (self.batch, *ours) if shape is None else shape, batch, merged, ours)

    @property
    def where(self) -> str:
        """The path of the module whose call is read."""
        return self.scopes[-1].path if self.scopes else ""

    def add(
        self,
        name: str,
        word: str,
        arguments: dict[str, object],
        inputs: tuple[Value, ...],
        shapes: Sequence[Shape],
        weights: Mapping[str, str],
    ) -> Value:
        """Add a layer under a name that is free."""
        free, number = name, 1
        while free in self.names:
            number += 1
            free = f"{name}.{number}"
        self.names.add(free)
        outputs = tuple(tuple(map(int, shape)) for shape in shapes)
        layer = Layer(free, word, arguments, inputs, outputs, self.scopes, dict(weights))
        self.layers.append(layer)
        self.shapes.update({(free, number): shape for number, shape in enumerate(outputs)})
        return (free, 0)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what PyTorch remarks while it records, and without its fused attention."""
    from torch import no_grad
    from torch.backends import mha

    fast, level = mha.get_fastpath_enabled(), logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    mha.set_fastpath_enabled(False)
    try:
        with warnings.catch_warnings(), no_grad():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
        mha.set_fastpath_enabled(fast)


def exported(module: nn.Module, shapes: Sequence[Shape]) -> ExportedProgram:
    """What a module does with inputs of these shapes.  Raises ArchError: it depends on data."""
    import torch
    from torch.export import export

    devices = {tensor.device for tensor in module.state_dict().values()}
    device = devices.pop() if len(devices) == 1 else torch.device("cpu")
    inputs = tuple(torch.zeros(BATCH, *shape, device=device) for shape in shapes)
    was = module.training
    module.eval()
    try:
        with _quiet():
            return export(module, inputs, strict=False)
    except Exception as error:
        lines = str(error).strip().splitlines()
        reason = lines[0] if lines else type(error).__name__
        raise refused(f"PyTorch cannot record what it does: {reason[:300]}") from None
    finally:
        module.train(was)


def flow_of(module: nn.Module, shapes: Sequence[Shape], name: str) -> Flow:
    """A module's layers and weights, and itself to be run.  Raises ArchError (E610)."""
    import torch
    from torch.func import functional_call

    owned = tensors(module)
    placed = {k: v.detach().cpu().numpy() for k, v in owned.items() if not v.is_meta}

    def run(weights: Mapping[str, Array], inputs: Sequence[Array]) -> list[Array]:
        given = {key: torch.from_numpy(value) for key, value in weights.items()}
        was = module.training
        module.eval()
        try:
            with _quiet():
                found = functional_call(module, given, tuple(map(torch.from_numpy, inputs)))
        finally:
            module.train(was)
        return [one.detach().numpy() for one in _leaves(found)]

    return replace(trace(exported(module, shapes), name), weights=placed, run=run)


def _leaves(found: object) -> list[torch.Tensor]:
    """The tensors of an output, in the order of the exported ones."""
    from torch.utils import _pytree

    return [one for one in _pytree.tree_leaves(found) if hasattr(one, "detach")]


def trace(program: ExportedProgram, name: str) -> Flow:
    """An exported program's layers, without its weights.  Raises ArchError (E610)."""
    from torch import fx

    reader, seen = Reader(), dict[Any, Any]()
    targets = {
        spec.arg.name: spec.target
        for spec in program.graph_signature.input_specs
        if spec.kind.name != "USER_INPUT"
    }
    inputs: dict[str, Shape] = {}
    results: list[Any] = []
    memory: dict[Any, int] = {}
    for node in program.graph.nodes:
        if node.op == "placeholder":
            shape = tuple(map(int, node.meta["val"].shape))
            if node.name in targets:
                seen[node] = Constant(targets[node.name], shape)
                continue
            inputs[node.name] = shape[1:]
            reader.batch = shape[0]
            reader.names.add(node.name)
            reader.shapes[node.name, 0] = shape[1:]
            seen[node] = reader.seen((node.name, 0), shape)
        elif node.op == "get_attr":
            seen[node] = Constant("", (), "constant")
        elif node.op == "output":
            results = list(node.args[0])
        else:
            reader.scopes = _scopes(node)
            _read(node, seen, reader)
            _aliases(node, seen, memory, reader)
    outputs = _outputs(program, [seen.get(r) if isinstance(r, fx.Node) else r for r in results])
    ports = _ports(list(inputs))
    layers = tuple(
        replace(layer, inputs=tuple((ports.get(n, n), o) for n, o in layer.inputs))
        for layer in reader.layers
    )
    given = {ports[name]: shape for name, shape in inputs.items()}
    ends = {port: (ports.get(n, n), o) for port, (n, o) in outputs.items()}
    return Flow(name, given, ends, layers, {}, _none)


def _none(*_: object) -> Sequence[Array]:
    raise AssertionError("a traced program computes nothing")


def _ports(names: list[str]) -> dict[str, str]:
    """Names for the inputs: one is the image."""
    return {names[0]: "image"} if len(names) == 1 else {name: name for name in names}


def _scopes(node: fx.Node) -> tuple[Scope, ...]:
    """The modules around a call, the network itself left out."""
    found = []
    for path, kind in (node.meta.get("nn_module_stack") or {}).values():
        if not path:
            continue
        full = kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__qualname__}"
        plain = path.partition("@")[0]
        found.append(Scope(plain, full.rpartition(".")[2], full.startswith("torch.nn.")))
    return tuple(found)


def _word(node: fx.Node) -> tuple[str, bool]:
    """The operation without its namespace, and whether it writes in place."""
    full = str(node.target)
    parts = full.split(".")
    word = parts[1] if parts[0] in ("aten", "prims") and len(parts) > 1 else full
    inplace = word.endswith("_") and not word.startswith("_")
    return word.rstrip("_") if inplace else word, inplace


def _read(node: fx.Node, seen: dict[Any, Any], reader: Reader) -> None:
    """Give one call to its rule."""
    from torch import fx

    from cnndsl.importing.aten import RULES, nothing

    if node.target is operator.getitem:
        source, number = node.args
        seen[node] = seen[source][number]
        return
    word, _ = _word(node)
    flows = [seen[n] for n in node.all_input_nodes]
    value = node.meta.get("val")
    many = value if isinstance(value, list | tuple) else (value,)
    shapes = tuple(tuple(map(int, one.shape)) for one in many if hasattr(one, "shape"))
    if not any(map(_flowing, flows)):
        seen[node] = _constant(word, flows, shapes)
        return

    def known(argument: Any) -> Any:
        if isinstance(argument, fx.Node):
            return seen[argument]
        if isinstance(argument, list | tuple):
            return [known(one) for one in argument]
        return argument

    given: dict[str, Any] = {}
    if hasattr(node.target, "_schema"):
        for number, parameter in enumerate(node.target._schema.arguments):
            if number < len(node.args):
                given[parameter.name] = known(node.args[number])
            elif parameter.name in node.kwargs:
                given[parameter.name] = known(node.kwargs[parameter.name])
            else:
                given[parameter.name] = (
                    parameter.default_value if parameter.has_default_value() else None
                )
    call = Call(node.name, word, given, shapes, reader)
    rule = RULES.get(word)
    if nothing(call):
        seen[node] = flows[0]
    elif rule is None:
        raise call.refuse("has no word in the language")
    else:
        seen[node] = rule(call)


def _flowing(value: object) -> bool:
    several = value if isinstance(value, list | tuple) else (value,)
    return any(isinstance(one, Seen) for one in several)


ORDERLY = frozenset(
    (
        *("view", "reshape", "unsqueeze", "squeeze", "flatten", "alias", "detach", "to"),
        *("contiguous", "clone", "_to_copy", "lift_fresh_copy", "unflatten", "view_as"),
        "reshape_as",
    )
)
"""What leaves a parameter's elements as they are, in order."""


def _constant(word: str, flows: list[Any], shapes: tuple[Shape, ...]) -> Any:
    """What is computed of parameters alone."""
    found = []
    for shape in shapes or ((),):
        first = flows[0] if flows else None
        same = isinstance(first, Constant) and (
            word in ORDERLY or (word == "expand" and math.prod(first.shape) == math.prod(shape))
        )
        if same and isinstance(first, Constant):
            found.append(Constant(first.name, shape, first.made))
        else:
            found.append(Constant("", shape, word))
    return found[0] if len(found) == 1 else found


def _aliases(
    node: fx.Node, seen: dict[Any, Any], memory: dict[Any, int], reader: Reader
) -> None:
    """What a call writes in place is what is read of that memory from now on.

    Raises ArchError: another view of it is read afterwards.
    """
    from cnndsl.importing.aten import VIEWS

    word, inplace = _word(node)
    first = node.args[0] if node.args else None
    if isinstance(first, (list, tuple)) or not hasattr(first, "name"):
        first = None
    shares = first is not None and (
        inplace or word in VIEWS or node.target is operator.getitem or seen[node] is seen[first]
    )
    memory[node] = memory.setdefault(first, len(memory)) if shares else len(memory)
    if not inplace or first is None:
        return
    before = seen[first]
    for other, place in list(memory.items()):
        if place != memory[node] or other is node or not isinstance(seen.get(other), Seen):
            continue
        if seen[other].value == getattr(before, "value", None):
            seen[other] = replace(seen[node], shape=seen[other].shape)
        elif any(user > node for user in other.users):
            raise refused(f"`{word}_` writes into a part of a tensor in place", reader.where)


def _outputs(program: ExportedProgram, results: list[Any]) -> dict[str, Value]:
    """The outputs by name: those of a dictionary, else `y`, or `y1`, `y2` and so on."""
    from torch.utils import _pytree

    spec = program.call_spec.out_spec
    names: list[str] = []
    if spec is not None and results:
        tree = _pytree.tree_unflatten(list(range(len(results))), spec)
        if isinstance(tree, Mapping) and all(isinstance(v, int) for v in tree.values()):
            names = [str(key) for key, _ in sorted(tree.items(), key=lambda item: item[1])]
    if len(names) != len(results):
        several = len(results) > 1
        names = [f"y{n + 1}" if several else "y" for n in range(len(results))]
    found: dict[str, Value] = {}
    for name, result in zip(names, results, strict=True):
        if not isinstance(result, Seen):
            what = "a parameter" if isinstance(result, Constant) else repr(result)
            raise refused(f"its output `{name}` is {what}, and no tensor that flows")
        if result.batch or result.merged:
            raise refused(f"the first axis of its output `{name}` is not the batch")
        found[name] = result.value
    return found


def tensors(module: nn.Module) -> dict[str, torch.Tensor]:
    """All parameters and buffers by name, the unsaved ones too."""
    return {
        **dict(module.named_parameters(remove_duplicate=False)),
        **dict(module.named_buffers(remove_duplicate=False)),
    }


def loaded(path: Path) -> Flow:
    """What `torch.export.save` wrote to a file.  Raises ArchError (E610): it is broken."""
    import torch

    try:
        with _quiet():
            program = torch.export.load(path)
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise refused(f"{path}: PyTorch cannot read it: {lines[0][:200]}") from None
    flow = trace(program, path.stem)
    placed = {
        key: value.detach().cpu().numpy()
        for key, value in {**program.state_dict, **program.constants}.items()
        if hasattr(value, "detach")
    }
    module = program.module()

    def run(weights: Mapping[str, Array], inputs: Sequence[Array]) -> list[Array]:
        from torch.func import functional_call

        given = {key: torch.from_numpy(value) for key, value in weights.items()}
        with _quiet():
            found = functional_call(module, given, tuple(map(torch.from_numpy, inputs)))
        return [one.detach().numpy() for one in _leaves(found)]

    return replace(flow, weights=placed, run=run)
