"""Ports and parameters of a block: arguments of its class, constants, or values of others."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from cnndsl.backends.torch import python, steps
from cnndsl.backends.torch.expressions import CannotTranslateError, literal, translate
from cnndsl.backends.torch.instances import Instance, SplitError, T
from cnndsl.backends.torch.names import identifier
from cnndsl.backends.torch.unit import Layer, Unit
from cnndsl.backends.torch.walk.arguments import sized
from cnndsl.graph import Network
from cnndsl.language import tree
from cnndsl.language.names import BlockDefinition, OpRef
from cnndsl.ops.facts import Auto
from cnndsl.structure import Block

Parameter = tuple[int, str]


class AgainError(Exception):
    """Something was learned that changes what has been written."""


class Parameters:
    """What a block's ports and parameters are in its class, by what the calls give."""

    def __init__(self, networks: Sequence[Network]) -> None:
        """Know of no call yet; the first network gives the arguments' defaults."""
        self.networks = networks
        model = networks[0].structure.declared
        if not isinstance(model, BlockDefinition):
            raise CannotTranslateError("outputs from inside one call of a block")
        self.model = model
        self.given: dict[Parameter, set[str]] = {}
        self.seen: dict[Parameter, set[str]] = {}
        self.free: set[Parameter] = set()
        self.symbolic: set[Parameter] = set()
        self.counting: set[Parameter] = set()
        """Parameters that count the turns of a loop that is written turn by turn."""
        self.constant: dict[Parameter, ast.expr] = {}

    def enter(self, unit: Unit) -> None:
        """The ports and parameters of a block."""
        definition, declaration = unit.definition, unit.definition.declaration
        model = definition is self.model
        params = {param.name for param in declaration.params}
        unit.locals |= {identifier(p) for p in params}
        block = max((i.block for i in unit.instances), key=lambda b: len(b.inputs))
        declared = declaration.inputs or ()
        families: dict[str, list[str]] = {}
        named: dict[str, list[T]] = {}
        for port in block.inputs:
            families.setdefault(port.partition("[")[0], []).append(port)
        for one in declared:
            if one.many:
                families.setdefault(one.name, [])
        for family, ports in families.items():
            written = next((p for p in declared if p.name == family), None)
            many = written is not None and written.many
            wanted = self.channels(family, len(families), model or many)
            while wanted in unit.locals:
                wanted += "_"
            said = self.said(written, params)
            ragged = any(port not in i.block.inputs for port in ports for i in unit.instances)
            if said is None or ragged:
                unit.channel_names[family] = wanted
                unit.locals.add(wanted)
            variable = "x" if family == "in" else identifier(family)
            tensors: list[T] = []
            for number, port in enumerate(ports):
                run: ast.expr = python.name(variable)
                width: ast.expr = python.name(said or wanted)
                if many:
                    run = python.item(run, python.constant(number))
                if many and said is None:
                    width = python.item(width, python.constant(number))
                tensors.append(self.port(unit, block, port, written, (run, width)))
            named.setdefault(said or "", []).extend(tensors)
            unit.ports[family] = tensors if many else tensors[0]
            if ragged:
                unit.counted[family] = (variable, wanted)
            elif many:
                unit.lengths |= dict.fromkeys((variable, wanted), len(tensors))
            if family != "in":
                unit.tensors[family] = {(): tuple(tensors)}
                for number, tensor in enumerate(tensors):
                    unit.tensors[family][number,] = (tensor,)
        for param in declaration.params:
            self.parameter(unit, param, model)
            for tensor in named.get(identifier(param.name), ()):
                widen(tensor, unit.meanings[param.name])

    def port(
        self,
        unit: Unit,
        block: Block,
        name: str,
        written: tree.Port | None,
        said: tuple[ast.expr, ast.expr],
    ) -> T:
        """The tensor of a port; `said` are it in `forward` and its channels."""
        run, width = said
        tensor = T((), run)
        first, *rest = (int(size) for size in block.inputs[name].shape)
        free = (python.Int(size, python.name("§")) for size in rest)
        unit.shaped(tensor, [python.Int(first, width), *free])
        have = [i for i in unit.instances if name in i.block.inputs]
        unit.bind(tensor, [(i, i.block.inputs[name]) for i in have])
        if written is not None and written.shape is not None:
            self.dims(unit, written, tensor)
        return tensor

    def channels(self, family: str, count: int, plural: bool) -> str:
        """The constructor's name for what a port's tensors have as channels."""
        if plural:
            return "channels" if count == 1 else f"{identifier(family)}_channels"
        return "c_in" if count == 1 else f"{identifier(family)}_c"

    def said(self, port: tree.Port | None, params: set[str]) -> str | None:
        """The parameter that a port's channels are."""
        if port is None or not port.shape:
            return None
        match port.shape[0].value:
            case tree.Value(path=tree.NamePath(name=name, parts=()), arguments=None):
                return identifier(name) if name in params else None
        return None

    def dims(self, unit: Unit, port: tree.Port, tensor: T) -> None:
        """The names of a port's sizes."""
        assert port.shape is not None
        rest = next((n for n, dim in enumerate(port.shape) if dim.rest), None)
        count = len(tensor.shape)
        for number, dim in enumerate(port.shape):
            if rest is not None and number >= rest:
                if number == rest:
                    behind = count - (len(port.shape) - number - 1)
                    if dim.name and dim.name not in unit.meanings:
                        unit.rests.setdefault(dim.name, (tensor, range(number, behind)))
                    continue
                axis = count - (len(port.shape) - number)
            else:
                axis = number
            name = dim.name
            match dim.value:
                case tree.Value(path=tree.NamePath(name=bare, parts=()), arguments=None):
                    name = name or bare
            if name and name != "_" and name not in unit.meanings and axis < count:
                unit.dims.setdefault(name, (tensor, axis))

    def parameter(self, unit: Unit, param: tree.Param, model: bool) -> None:
        """What a parameter is inside: an argument, a number, a value of the others."""
        name, key = param.name, (id(unit.definition), param.name)
        values = [i.block.names.get(name) for i in unit.instances]
        node: ast.expr = python.name(identifier(name))
        if isinstance(values[0], OpRef):
            self.layer(unit, param, values, model)
            return
        if values[0] is None and all(v is None for v in values):
            unit.meanings[name] = python.constant(None)
            return
        if any(isinstance(v, Auto) for v in values):
            unit.meanings[name] = values[0]  # type: ignore[assignment]
            keys = [(i, str(v)) for i, v in zip(unit.instances, values, strict=True)]
            if len({key for _, key in keys}) > 1:
                raise SplitError(keys)
            return
        plain = [python.plain(v) for v in values]
        if param.type.name == "size" and not all(map(is_cube, plain)):
            rank = max((len(v) for v in plain if isinstance(v, tuple)), default=2)
            parts = [python.item(node, python.constant(n)) for n in range(rank)]
            unit.wide[name] = rank
            inside: ast.expr = ast.Tuple(list(parts), ast.Load())
        else:
            inside = node
        same = all(repr(v) == repr(plain[0]) for v in plain)
        if key in self.counting:
            if not same:
                pairs = zip(unit.instances, map(repr, plain), strict=True)
                raise SplitError(list(pairs))
            unit.meanings[name] = sized(python.constant(plain[0]), param, unit)
            return
        free = model or (key in self.free and not (same and key not in self.symbolic))
        if key in self.free and not free:
            unit.meanings[name] = sized(python.constant(plain[0]), param, unit)
            return
        if free:
            unit.meanings[name] = inside
            unit.arguments[identifier(name)] = name
            return
        if key in self.constant:
            unit.meanings[name] = self.constant[key]
            return
        if param.default is not None:
            default = unit.ctor(translate(param.default, unit))
            unit.fallback[name] = default
            known = literal(default)
            if known is not None and any(not equal_values(v, known[0]) for v in values):
                unit.meanings[name] = inside  # a call gives it, as this round will see
                unit.arguments[identifier(name)] = name
                return
            if literal(default) is None and not isinstance(default, ast.Name):
                unit.let(identifier(name), default)
                default = node
            unit.meanings[name] = default
            return
        unit.meanings[name] = inside
        unit.arguments[identifier(name)] = name

    def layer(
        self, unit: Unit, param: tree.Param, values: Sequence[object], model: bool
    ) -> None:
        """A parameter that stands for an operation."""
        name, key = param.name, (id(unit.definition), param.name)
        first = values[0]
        assert isinstance(first, OpRef)
        found = steps.reference(first)
        same = len({str(value) for value in values}) == 1
        free = model or key in self.free
        if not free and same:
            unit.meanings[name] = found
            return
        block = unit.instances[0].block
        rank = max((len(t.shape) - 1 for t in block.inputs.values()), default=2)
        takes: list[tuple[Instance, object]] = []
        try:
            for instance, value in zip(unit.instances, values, strict=True):
                assert isinstance(value, OpRef)
                known = steps.callable_node(unit, steps.reference(value), rank)
                takes.append((instance, known is not None and known[1]))
        except CannotTranslateError:  # a block, or a layer of a size that a step gives
            if not same:
                keys = [(i, str(v)) for i, v in zip(unit.instances, values, strict=True)]
                raise SplitError(keys) from None
            unit.meanings[name] = found
            return
        if len({t for _, t in takes}) > 1:
            raise SplitError(takes)
        if not model and key not in self.free:
            self.free.add(key)
            raise AgainError
        node = python.name(identifier(name))
        unit.meanings[name] = Layer(node, bool(takes[0][1]))
        unit.arguments[identifier(name)] = name


def widen(tensor: T, channels: object) -> None:
    """Give a port's tensor the channels that its parameter turned out to be: a number, too."""
    if isinstance(channels, ast.expr):
        width: int = python.carry(int(tensor.shape[0]), channels)
        tensor.shape = (width, *tensor.shape[1:])


def is_cube(value: object) -> bool:
    """Whether a size is one number along every axis."""
    return not isinstance(value, tuple) or (bool(value) and len(set(value)) == 1)


def equal_values(value: object, other: object) -> bool:
    """Whether two plain values are one; a cube is its side."""
    value = python.plain(value)
    numbers = not isinstance(value, bool) and not isinstance(other, bool)
    if repr(value) == repr(other) or (numbers and value == other):
        return True
    return isinstance(value, tuple) and is_cube(value) and repr(value[0]) == repr(other)
