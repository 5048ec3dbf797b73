"""A PyTorch module as a `Flow`: what `torch.export` records of it, word for word.

The module runs once, on the meta device and with a batch of two, so that a reshape which
touches the batch is seen. Each recorded call goes to its rule in `aten`.
"""

from __future__ import annotations

import logging
import operator
import traceback
import warnings
from collections.abc import Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import replace
from functools import partial
from inspect import signature
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnndsl.importing.aten import RULES, SAME, lifter, nothing
from cnndsl.importing.calls import BATCH, Call, Constant, Reader, Seen
from cnndsl.importing.constants import LIKE, Numbers, made
from cnndsl.importing.flow import Flow, Scope, Value, refused, sayable
from cnndsl.importing.inplace import aliases, word_of
from cnndsl.importing.written import as_written
from cnndsl.ops.facts import Array, Shape

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch
    from torch import fx, nn
    from torch.export import ExportedProgram


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
    _check_inputs(module, len(shapes))
    was, said = module.training, StringIO()
    module.eval()
    try:
        with _quiet(), as_written(module), redirect_stdout(said), redirect_stderr(said):
            return export(module, inputs, strict=False)
    except Exception as error:
        raise refused(_reason(error), _raised(error)) from None
    finally:
        module.train(was)


def _check_inputs(module: nn.Module, count: int) -> None:
    """Raises ArchError (E610): `forward` takes more inputs, or fewer; a weight has no shape."""
    from torch.nn.parameter import is_lazy

    lazy = next((name for name, weight in module.named_parameters() if is_lazy(weight)), None)
    if lazy is not None:
        raise refused(f"`{lazy}` has no shape yet: call the module once before it is imported")
    try:
        takes = [*signature(module.forward).parameters.values()]
    except (TypeError, ValueError):
        return
    plain = [
        one for one in takes if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)
    ]
    needed = [one.name for one in plain if one.default is one.empty]
    most = len(takes) if any(one.kind is one.VAR_POSITIONAL for one in takes) else len(plain)
    if len(needed) > count:
        names = " and ".join(f"`{name}`" for name in needed)
        raise refused(f"its `forward` needs {names}: give a shape for each (--input)")
    if count > most and most == len(plain):
        said = f"{most} input{'s' if most != 1 else ''}"
        raise refused(f"its `forward` takes {said}, and {count} shapes are given")


def _reason(error: Exception) -> str:
    """Why PyTorch could not record a module, in a line."""
    lines = str(error).strip().splitlines()
    said = (lines[0] if lines else type(error).__name__)[:300]
    if "data-dependent" in said:
        return "what it does depends on the data, and a file has one way for all"
    if "Long, Int" in said:
        return "it takes whole numbers, and a file's inputs are real ones"
    return f"PyTorch cannot record what it does: {said}"


def _raised(error: BaseException) -> str:
    """The line of the user's own that raised it, `model.py:12`; empty where none did."""
    import torch

    apart = [str(Path(torch.__file__).parent), str(Path(__file__).parents[1])]
    frames = traceback.extract_tb(error.__traceback__)
    own = [one for one in frames if not one.filename.startswith((*apart, "<"))]
    return f"{Path(own[-1].filename).name}:{own[-1].lineno}" if own else ""


def flow_of(module: nn.Module, shapes: Sequence[Shape], name: str) -> Flow:
    """A module's layers and weights, and itself to be run.  Raises ArchError (E610)."""
    import torch
    from torch.func import functional_call

    traced = trace(exported(module, shapes), name)
    first: dict[int, str] = {}
    named = {name: first.setdefault(id(x), name) for name, x in tensors(module).items()}
    traced = _one_name(traced, named)
    owned = {k: v.detach().cpu() for k, v in tensors(module).items() if not v.is_meta}
    learned = {name for name, _ in module.named_parameters(remove_duplicate=False)}
    placed, numbers = _apart_of(traced, owned, learned)
    places = [
        name
        for prefix, one in module.named_modules()
        for kind in (one.named_parameters, one.named_buffers)
        for name, _ in kind(prefix, recurse=False)
    ]

    def run(weights: Mapping[str, Array], inputs: Sequence[Array]) -> list[Array]:
        made = numbers | {key: torch.from_numpy(value) for key, value in weights.items()}
        # Each place once: a module of several names would be left with what is lent to it.
        given = {name: made[named[name]] for name in places if named[name] in made}
        was = module.training
        module.eval()
        try:
            with _quiet():
                found = functional_call(
                    module, given, tuple(map(torch.from_numpy, inputs)), tie_weights=False
                )
        finally:
            module.train(was)
        return [one.detach().numpy() for one in _leaves(found)]

    return replace(traced, weights=placed, run=run)


def _one_name(flow: Flow, names: Mapping[str, str]) -> Flow:
    """Each weight under the first of its names: one module may have several."""
    layers = (
        replace(one, weights={k: names.get(name, name) for k, name in one.weights.items()})
        for one in flow.layers
    )
    return replace(flow, layers=tuple(layers))


def _apart_of(
    flow: Flow, owned: Mapping[str, torch.Tensor], learned: set[str]
) -> tuple[dict[str, Array], dict[str, torch.Tensor]]:
    """The weights, and the numbers that stay; a weight with several names under one of them."""
    read = {name for layer in flow.layers for name in layer.weights.values()}
    placed: dict[str, Array] = {}
    known: set[tuple[int, torch.Size, tuple[int, ...]]] = set()
    for name in sorted(owned, key=lambda name: name not in read):
        tensor = owned[name]
        same = (tensor.data_ptr(), tensor.shape, tensor.stride())
        if (name in read or name in learned) and not (tensor.numel() and same in known):
            placed[name] = tensor.numpy()
            known.add(same)
    numbers = {k: _double(v) for k, v in owned.items() if k not in read and k not in learned}
    return placed, numbers


def _double(tensor: torch.Tensor) -> torch.Tensor:
    """In the precision of the proof, where it is no integer."""
    return tensor.double() if tensor.is_floating_point() else tensor


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
    saved = {
        spec.arg.name: spec.kind.name == "BUFFER" and spec.persistent is not False
        for spec in program.graph_signature.input_specs
    }
    numbers = Numbers({**program.state_dict, **program.constants})
    learned = set(program.graph_signature.parameters)
    inputs: dict[str, Shape] = {}
    results: list[Any] = []
    memory: dict[Any, int] = {}
    for node in program.graph.nodes:
        if node.op == "placeholder":
            shape = tuple(map(int, node.meta["val"].shape))
            if node.name in targets:
                target = targets[node.name]
                value = None if target in learned else numbers.begin(node, target)
                seen[node] = Constant(
                    target,
                    shape,
                    value=value,
                    buffer=target not in learned,
                    saved=value is not None and saved[node.name] and value.is_floating_point(),
                )
                continue
            inputs[node.name] = shape[1:]
            reader.batch = shape[0]
            reader.names.add(node.name)
            reader.shapes[node.name, 0] = shape[1:]
            seen[node] = reader.seen((node.name, 0), shape)
        elif node.op == "get_attr":
            kept: Any = getattr(program.graph_module, str(node.target), None)
            value = numbers.begin(node, str(node.target), kept)
            shape = tuple(kept.shape) if hasattr(kept, "shape") else ()
            seen[node] = Constant("", shape, "constant", value=value)
        elif node.op == "output":
            results = list(node.args[0])
        else:
            _step(node, seen, reader, numbers, memory)
    outputs = _outputs(program, [seen.get(r) if isinstance(r, fx.Node) else r for r in results])
    ports = _ports(list(inputs))
    free = sayable(
        [*ports.values(), *(f"{n}_out" if n in ports.values() else n for n in outputs)]
    )
    outputs = dict(zip(list(free.values())[len(ports) :], outputs.values(), strict=True))
    layers = tuple(
        replace(layer, inputs=tuple((ports.get(n, n), o) for n, o in layer.inputs))
        for layer in reader.layers
    )
    given = {ports[name]: shape for name, shape in inputs.items()}
    ends = {port: (ports.get(n, n), o) for port, (n, o) in outputs.items()}
    return Flow(name, given, ends, layers, {}, _none, rounds=reader.rounds)


def _step(
    node: fx.Node,
    seen: dict[Any, Any],
    reader: Reader,
    numbers: Numbers,
    memory: dict[Any, int],
) -> None:
    """One recorded call; what is recorded under a context, `autocast` say, in its place."""
    from torch import fx

    word = getattr(node.target, "_name", "")
    if not str(word).startswith("wrap_with_"):
        reader.scopes = _scopes(node)
        _read(node, seen, reader, numbers)
        aliases(node, seen, memory, reader)
        return
    place = next(
        n
        for n, one in enumerate(node.args)
        if isinstance(one, fx.Node) and one.op == "get_attr" and "val" not in one.meta
    )
    held = node.args[place]
    assert isinstance(held, fx.Node)
    if word == "wrap_with_autocast" and node.args[2]:
        raise refused("it computes in another precision (`autocast`)", reader.where)
    inner = getattr(held.graph.owning_module, str(held.target))
    given = iter(node.args[place + 1 :])
    for one in inner.graph.nodes:
        if one.op == "placeholder":
            outer = next(given)
            seen[one] = seen[outer]
            memory[one] = memory.setdefault(outer, len(memory))
            if outer in numbers.known:
                numbers.known[one] = numbers.known[outer]
        elif one.op == "output":
            seen[node] = [seen[result] for result in one.args[0]]
        else:
            _step(one, seen, reader, numbers, memory)


def _none(*_: object) -> Sequence[Array]:
    raise AssertionError("a traced program computes nothing")


def _ports(names: list[str]) -> dict[str, str]:
    """Names for the inputs: one is the image."""
    return {names[0]: "image"} if len(names) == 1 else sayable(names)


def _scopes(node: fx.Node) -> tuple[Scope, ...]:
    """The modules around a call, the network itself left out."""
    found = []
    for key, (path, kind) in (node.meta.get("nn_module_stack") or {}).items():
        if not path:
            continue
        full = kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__qualname__}"
        holds = full.startswith("torch.nn.modules.container.")
        call = str(key).rpartition("@")[2]
        number = int(call) if "@" in str(key) and call.isdigit() else 0
        found.append(Scope(path.partition("@")[0], full.rpartition(".")[2], holds, number))
    return tuple(found)


def _read(node: fx.Node, seen: dict[Any, Any], reader: Reader, numbers: Numbers) -> None:
    """Give one call to its rule."""
    from torch import fx

    if node.target is operator.getitem:
        source, number = node.args
        seen[node] = seen[source][number]
        if source in numbers.known:
            numbers.known[node] = numbers.known[source][number]
        return
    word, _ = word_of(node)
    flows = [seen[n] for n in node.all_input_nodes]
    value = node.meta.get("val")
    many = value if isinstance(value, list | tuple) else (value,)
    shapes = tuple(tuple(map(int, one.shape)) for one in many if hasattr(one, "shape"))
    apart = word in LIKE or not any(map(_flowing, flows))

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
    if apart:
        seen[node] = _apart(call, node, flows, numbers)
        return
    rule = RULES.get(word)
    if nothing(call):
        reader.rounds |= call["dtype"] is not None
        seen[node] = flows[0]
    elif word in SAME:
        raise call.refuse(f"in another precision ({call['dtype']})".replace("torch.", ""))
    elif rule is None:
        raise call.refuse("has no word in the language")
    else:
        seen[node] = rule(call)


def _apart(call: Call, node: fx.Node, flows: list[Any], numbers: Numbers) -> Any:
    """What a call gives that reads nothing of what flows."""
    value = numbers.run(node, like=call.word in LIKE)
    values = value if isinstance(value, list | tuple) else (value,)
    flows = [] if call.word in LIKE else flows
    several = isinstance(node.meta.get("val"), list | tuple)
    whole, lift = made(call.word, flows, call.shapes), lifter(call)
    found = [
        replace(
            one,
            value=values[n] if len(values) == len(whole) else None,
            lift=partial(lift, n),
            given=call.given,
        )
        for n, one in enumerate(whole)
    ]
    return found if several else found[0]


def _flowing(value: object) -> bool:
    several = value if isinstance(value, list | tuple) else (value,)
    return any(isinstance(one, Seen) for one in several)


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
    if sum(result is not None for result in results) == 1 < len(results):
        names = ["y"] * len(results)
    for name, result in zip(names, results, strict=True):
        if result is None:
            continue  # what only training gives
        if not isinstance(result, Seen):
            fixed = isinstance(result, Constant) and result.value is not None
            what = "a parameter" if isinstance(result, Constant) else repr(result)
            what = "the same numbers for each image" if fixed else what
            raise refused(f"its output `{name}` is {what}, and no tensor that flows")
        if result.batch or result.merged or result.rows > 1:
            raise refused(f"the first axis of its output `{name}` is not the batch")
        found[name] = result.value
    if not found:
        raise refused("it gives no tensor")
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
    owned = {
        key: value.detach().cpu()
        for key, value in {**program.state_dict, **program.constants}.items()
        if hasattr(value, "detach")
    }
    placed, numbers = _apart_of(flow, owned, set(program.graph_signature.parameters))
    module = program.module()

    def run(weights: Mapping[str, Array], inputs: Sequence[Array]) -> list[Array]:
        from torch.func import functional_call

        given = numbers | {key: torch.from_numpy(value) for key, value in weights.items()}
        with _quiet():
            found = functional_call(module, given, tuple(map(torch.from_numpy, inputs)))
        return [one.detach().numpy() for one in _leaves(found)]

    return replace(flow, weights=placed, run=run)
