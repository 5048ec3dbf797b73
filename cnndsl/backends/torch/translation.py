"""The classes of a file: each block translated once for the instances that it serves."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence

from cnndsl.backends.torch import file, python, steps
from cnndsl.backends.torch.expressions import ROUND8, CannotTranslateError, literal, translate
from cnndsl.backends.torch.fusing import Fusing
from cnndsl.backends.torch.names import Names, identifier
from cnndsl.backends.torch.tidy import live, tidy
from cnndsl.backends.torch.unit import Instance, Layer, SplitError, T, Unit
from cnndsl.backends.torch.walk.arguments import Arguments, sized
from cnndsl.backends.torch.walk.parts import ExposeError
from cnndsl.backends.torch.walk.terms import Walk
from cnndsl.graph import Network
from cnndsl.language import tree
from cnndsl.language.modules import BlockDefinition
from cnndsl.language.names import OpRef
from cnndsl.ops.base import Auto
from cnndsl.structure import Block, Tensor, blocks, nodes_of

ROUNDS = 40
Parameter = tuple[int, str]


class AgainError(Exception):
    """Something was learned that changes what has been written."""


class Translation:
    """The file of a model, from its declaration and networks elaborated from it.

    The first network gives the arguments' defaults; the others have lines that it has not.
    """

    def __init__(self, networks: Sequence[Network], *, frozen_lists: bool = False) -> None:
        """Collect the instances, and translate until nothing new is learned."""
        self.networks, self.frozen_lists = networks, frozen_lists
        self.instances: dict[int, Instance] = {}
        self.of: dict[int, list[Instance]] = {}
        self.definitions: dict[int, BlockDefinition] = {}
        for number, network in enumerate(networks):
            for block in (network.structure, *blocks(network.structure)):
                instance = Instance(number, network, block)
                self.instances[id(block)] = instance
                definition = block.declared
                assert isinstance(definition, BlockDefinition)
                self.definitions[id(definition)] = definition
                self.of.setdefault(id(definition), []).append(instance)
        self.free: set[Parameter] = set()
        self.symbolic: set[Parameter] = set()
        self.constant: dict[Parameter, ast.expr] = {}
        self.given: dict[Parameter, set[str]] = {}
        self.exposing: dict[int, set[tuple[str, int]]] = {}
        self.exploded: set[int] = set()
        for _ in range(ROUNDS):
            try:
                self.round()
                return
            except AgainError:
                continue
        raise CannotTranslateError("no end")

    # --- rounds

    def round(self) -> None:
        """Write all classes once."""
        self.units: dict[int, list[Unit]] = {}
        self.order: list[Unit] = []
        self.groups: dict[int, list[list[Instance]]] = {}
        self.helpers: dict[str, None] = {}
        self.taken: set[str] = set()
        self.seen: dict[Parameter, set[str]] = {}
        self.nodes: dict[Parameter, ast.expr] = {}
        model = self.networks[0].structure
        definition = model.declared
        assert isinstance(definition, BlockDefinition)
        self.model = definition
        self.names = Names({identifier(self.networks[0].name)})
        self.unit_of(definition, [self.instances[id(n.structure)] for n in self.networks])
        self.learn()

    def learn(self) -> None:
        """Which parameters are arguments, by what the calls give.  Raises AgainError."""
        changed = False
        for key, seen in self.seen.items():
            free = "free" in seen or len(seen) > 1
            if "free" in seen and key not in self.symbolic:
                self.symbolic.add(key)
                changed = True
            if free and key not in self.free:
                self.free.add(key)
                changed = True
            elif not free and key not in self.free and key not in self.constant:
                (only,) = seen
                if only != "absent":
                    self.constant[key] = self.nodes[key]
                    changed = True
            if seen != {"absent"} and self.given.get(key) != seen:
                self.given[key] = set(seen)
                changed = True
        if changed:
            raise AgainError

    def passed(self, definition: BlockDefinition, arguments: Arguments) -> None:
        """Take note of what a call gives a block."""
        for param in definition.declaration.params:
            key = (id(definition), param.name)
            node = arguments.nodes.get(param.name)
            if node is None:
                said = "absent"
            else:
                names = python.names_in(node) - {"nn", "partial", "float", *self.helper_names}
                said = "free" if names else ast.dump(node)
                self.nodes[key] = node
            self.seen.setdefault(key, set()).add(said)

    @property
    def helper_names(self) -> set[str]:
        """What the helpers define."""
        found = set()
        for text in self.helpers:
            for node in ast.parse(text).body:
                if isinstance(node, ast.ClassDef | ast.FunctionDef):
                    found.add(node.name)
        return found

    # --- units

    def instance_of(self, _: Instance, block: Block) -> Instance:
        """The instance of a called block."""
        return self.instances[id(block)]

    def called(
        self, definition: BlockDefinition, callers: list[Instance], wanted: list[Instance]
    ) -> Unit:
        """The one class of these instances."""
        found: list[Unit] = []
        for instance in wanted:
            unit = self.unit_of(definition, [instance])
            found.append(unit)
        if any(unit is not found[0] for unit in found):
            order = {id(unit): n for n, unit in enumerate(found)}
            raise SplitError([(c, order[id(u)]) for c, u in zip(callers, found, strict=True)])
        return found[0]

    def unit_of(self, definition: BlockDefinition, wanted: list[Instance]) -> Unit:
        """The class of an instance, translated now if it is not yet."""
        groups = self.groups.setdefault(id(definition), self.first_groups(definition))
        while True:
            group = next(g for g in groups if any(i is wanted[0] for i in g))
            for unit in self.units.get(id(definition), []):
                if unit.instances is group:
                    return unit
            try:
                return self.translated(definition, group)
            except SplitError as error:
                groups.remove(group)
                groups += self.split(group, error)
            except ExposeError as error:
                self.expose(definition, error)

    def first_groups(self, definition: BlockDefinition) -> list[list[Instance]]:
        """Instances of one rank, with as many inputs, and operations alike."""
        found: dict[object, list[Instance]] = {}
        for instance in self.of[id(definition)]:
            block = instance.block
            ports = tuple((port, len(t.shape)) for port, t in block.inputs.items())
            values = [
                (name, str(value))
                for name, value in sorted(block.names.items())
                if value is None or isinstance(value, OpRef)
            ]
            nones = tuple(name for name, value in values if value == "None")
            found.setdefault((ports, nones), []).append(instance)
        return list(found.values())

    def split(self, group: list[Instance], error: SplitError) -> list[list[Instance]]:
        """A group in parts, by what its instances differ in."""
        keys: dict[int, str] = {}
        for instance, key in error.keys:
            known = keys.setdefault(id(instance.block), repr(key))
            if known != repr(key):
                raise CannotTranslateError("turns of a loop that differ")
        parts: dict[str, list[Instance]] = {}
        for instance in group:
            parts.setdefault(keys.get(id(instance.block), ""), []).append(instance)
        if len(parts) < 2:
            raise CannotTranslateError("instances that differ")
        return list(parts.values())

    def expose(self, definition: BlockDefinition, error: ExposeError) -> None:
        """Have the blocks between return a label that is read outside.  Raises AgainError."""
        tensor = error.tensor
        found = False
        stack = [error.instance.block]
        path: list[Block] = []
        unit = Unit(definition, [error.instance])
        if not unit.owns(error.instance, tensor.node):
            raise CannotTranslateError(f"{tensor.node} is nowhere")
        while stack:
            block = stack.pop()
            inside = [b for b in blocks(block) if _holds(b, tensor.node)]
            path += inside
        for block in path:
            if (tensor.node, tensor.output) in {
                (t.node, t.output) for t in block.outputs.values()
            }:
                continue
            known = self.exposing.setdefault(id(block), set())
            if (tensor.node, tensor.output) not in known:
                known.add((tensor.node, tensor.output))
                found = True
        if not found:
            self.explode(definition, error)
        raise AgainError

    def explode(self, definition: BlockDefinition, error: ExposeError) -> None:
        """Call the modules of a chain one by one, since a value between them is read."""
        block = error.instance.block
        before = len(self.exploded)
        lines = {line.key: line for line in block.body}
        numbers = {number: key for key, number in definition.line_numbers.items()}
        for key, line in lines.items():
            owner = numbers.get(key)
            if owner in definition.modules.chains and error.tensor.node in set(
                nodes_of([line])
            ):
                self.exploded.add(owner)
        if len(self.exploded) == before:
            raise CannotTranslateError(f"{error.tensor.node} is read")

    def translated(self, definition: BlockDefinition, group: list[Instance]) -> Unit:
        """One class."""
        unit = Unit(definition, group)
        unit.exploded, unit.frozen_lists = self.exploded, self.frozen_lists
        unit.helpers = self.helpers
        walk = Walk(unit, self.called, self.passed, self.instance_of, self.help)
        self.enter(unit)
        views = [(i, i.block.body) for i in group]
        start = tuple(t for t in unit.ports.values() if isinstance(t, T))
        unit.skip = start
        end = walk.body(
            definition.declaration.body,
            views,
            start if len(start) == len(unit.ports) == 1 else None,
        )
        self.leave(unit, walk, end)
        self.finish(unit, walk)
        self.units.setdefault(id(definition), []).append(unit)
        self.order.append(unit)
        return unit

    def help(self, text: str) -> None:
        """Definitions that the file needs."""
        self.helpers.setdefault(text)

    # --- entering and leaving

    def enter(self, unit: Unit) -> None:
        """The ports and parameters of a block."""
        definition, declaration = unit.definition, unit.definition.declaration
        model = definition is self.model
        params = {param.name for param in declaration.params}
        unit.locals |= {identifier(p) for p in params}
        block = unit.instances[0].block
        declared = declaration.inputs or ()
        families: dict[str, list[str]] = {}
        for port in block.inputs:
            families.setdefault(port.partition("[")[0], []).append(port)
        for one in declared:
            families.setdefault(one.name, [])
        for family, ports in families.items():
            written = next((p for p in declared if p.name == family), None)
            many = written is not None and written.many
            wanted = self.channels(family, len(families), model)
            while wanted in unit.locals:
                wanted += "_"
            said = self.said(written, params)
            if said is None:
                unit.channel_names[family] = wanted
                unit.locals.add(wanted)
            variable = "x" if family == "in" else identifier(family)
            tensors: list[T] = []
            for number, port in enumerate(ports):
                run: ast.expr = python.name(variable)
                width: ast.expr = python.name(said or wanted)
                if many:
                    run = python.item(run, python.constant(number))
                    width = python.item(width, python.constant(number))
                tensor = T((), run)
                sizes = [int(n) for n in block.inputs[port].shape]
                shape: list[int] = [python.Int(sizes[0], width)]
                shape += [python.Int(n, python.name("§")) for n in sizes[1:]]
                unit.shaped(tensor, shape)
                unit.bind(tensor, [(i, i.block.inputs[port]) for i in unit.instances])
                tensors.append(tensor)
                if written is not None and written.shape is not None:
                    self.dims(unit, written, tensor)
            unit.ports[family] = tensors if many else tensors[0]
            if family != "in":
                unit.tensors[family] = {(): tuple(tensors)}
                for number, tensor in enumerate(tensors):
                    unit.tensors[family][number,] = (tensor,)
        for param in declaration.params:
            self.parameter(unit, param, model)

    def channels(self, family: str, count: int, model: bool) -> str:
        """The constructor's name for what a port's tensors have as channels."""
        if model:
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
        if param.type.name == "size" and not all(map(_is_cube, plain)):
            rank = max((len(v) for v in plain if isinstance(v, tuple)), default=2)
            parts = [python.item(node, python.constant(n)) for n in range(rank)]
            unit.wide[name] = rank
            inside: ast.expr = ast.Tuple(list(parts), ast.Load())
        else:
            inside = node
        same = all(repr(v) == repr(plain[0]) for v in plain)
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
            if known is not None and any(not _equal(v, known[0]) for v in values):
                unit.meanings[name] = inside  # a call gives it, as this round will see
                unit.arguments[identifier(name)] = name
                return
            if literal(default) is None and not isinstance(default, ast.Name):
                unit.init.append(python.assign(identifier(name), default))
                unit.lets[identifier(name)] = default
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
        if isinstance(found.target, BlockDefinition):
            if not same:
                keys = [(i, str(v)) for i, v in zip(unit.instances, values, strict=True)]
                raise SplitError(keys)
            unit.meanings[name] = found
            return
        if not free and same:
            unit.meanings[name] = found
            return
        block = unit.instances[0].block
        rank = max((len(t.shape) - 1 for t in block.inputs.values()), default=2)
        takes: list[tuple[Instance, object]] = []
        for instance, value in zip(unit.instances, values, strict=True):
            assert isinstance(value, OpRef)
            known = steps.callable_node(unit, steps.reference(value), rank)
            takes.append((instance, known is not None and known[1]))
        if len({t for _, t in takes}) > 1:
            raise SplitError(takes)
        if not model and key not in self.free:
            self.free.add(key)
            raise AgainError
        node = python.name(identifier(name))
        unit.meanings[name] = Layer(node, bool(takes[0][1]))
        unit.arguments[identifier(name)] = name

    def leave(self, unit: Unit, walk: Walk, end: tuple[T, ...] | None) -> None:
        """What a block returns, with the labels inside that others read."""
        declaration = unit.definition.declaration
        names: dict[str, None] = {}
        for instance in unit.instances:
            names |= dict.fromkeys(instance.block.outputs)
        if declaration.outputs is not None:
            order: dict[str, None] = {}
            for port in declaration.outputs:
                order |= dict.fromkeys(
                    n for n in names if n == port.outside or n.startswith(f"{port.outside}[")
                )
            names = order
        for name in names:
            have = [
                (i, i.block.outputs[name]) for i in unit.instances if name in i.block.outputs
            ]
            if declaration.outputs is None and end is not None and len(names) == 1:
                tensor = end[0]
            else:
                tensor = walk.lookup(have)
            unit.outputs.append((name, tensor))
        wanted: list[T] = []
        for instance in unit.instances:
            for node, output in sorted(self.exposing.get(id(instance.block), ())):
                known = unit.known.get((id(instance.block), node, output))
                if known is None:
                    raise ExposeError(instance, _tensor(node, output))
                if all(one is not known for one in wanted):
                    wanted.append(known)
        unit.extras = wanted

    def finish(self, unit: Unit, walk: Walk) -> None:
        """The class."""
        definition = unit.definition
        model = definition is self.model
        unit.name = (
            identifier(self.networks[0].name) if model else self.names.variable(definition.name)
        )
        tensor = python.name("Tensor")
        results = [t.run for _, t in unit.outputs if t is not None]
        optional = [
            len([i for i in unit.instances if name in i.block.outputs]) < len(unit.instances)
            for name, _ in unit.outputs
        ]
        kinds: list[ast.expr] = [
            ast.BinOp(tensor, ast.BitOr(), python.constant(None)) if off else tensor
            for off in optional
        ]
        results += [t.run for t in unit.extras]
        kinds += [tensor for _ in unit.extras]
        unit.results = None
        if len(results) == 1:
            value, kind = results[0], kinds[0]
        elif model:
            name = f"{unit.name}Output"
            fields = [identifier(file.word(n)) for n, _ in unit.outputs]
            unit.results = file.named_tuple(name, list(zip(fields, kinds, strict=True)))
            value, kind = python.call(name, *results), python.name(name)
        else:
            value = ast.Tuple(results, ast.Load())
            kind = python.item(python.name("tuple"), *kinds)
            if len(kinds) > 4 and not any(optional):
                kind = python.item(python.name("tuple"), tensor, python.constant(...))
        ports = []
        for family, one in unit.ports.items():
            name = "x" if family == "in" else identifier(family)
            listed = python.item(python.name("list"), tensor)
            ports.append((name, listed if isinstance(one, list) else tensor, None))
        body = tidy([*unit.fwd, ast.Return(value)], [name for name, _, _ in ports])
        forward = file.function("forward", file.arguments(ports), body, kind)
        unit.init = _needed(unit, body)
        used = {n for node in unit.init for n in python.names_in(node)}
        self.sign(unit, used, model)
        if "round8" in used:
            self.help(ROUND8)
        doc = file.described(definition.about)
        if model:
            doc += file.settings(self.networks[0])
        unit.cls = file.module_class(
            unit.name, doc, unit.init, file.arguments(unit.signature), forward
        )

    def sign(self, unit: Unit, used: set[str], model: bool) -> None:
        """The constructor's arguments: those that something in it reads."""
        rows: list[tuple[str, ast.expr | None, ast.expr | None]] = []
        integer = python.name("int")
        block = unit.instances[0].block
        for family, name in unit.channel_names.items():
            if name not in used:
                continue
            one = unit.ports[family]
            if isinstance(one, list):
                rows.append((name, python.item(python.name("Sequence"), integer), None))
            else:
                width = int(block.inputs[family].shape[0]) if model else None
                rows.append((name, integer, python.constant(width) if width else None))
        params = {param.name: param for param in unit.definition.declaration.params}
        late: list[ast.stmt] = []
        for name, param in unit.arguments.items():
            if name not in used:
                continue
            rows.append((name, *self.typed(unit, params[param], model, late)))
        unit.init = [*late, *unit.init]
        rows.sort(key=lambda row: row[2] is not None)
        unit.signature = rows

    def typed(
        self, unit: Unit, param: tree.Param, model: bool, late: list[ast.stmt]
    ) -> tuple[ast.expr, ast.expr | None]:
        """An argument's type and default."""
        values = [i.block.names.get(param.name) for i in unit.instances]
        meaning = unit.meanings[param.name]
        if isinstance(meaning, Layer):
            given = "[int]" if meaning.takes else "[]"
            kind: ast.expr = ast.parse(f"Callable[{given}, nn.Module]", mode="eval").body
            default: ast.expr | None = None
            if param.default is not None or model:
                first = values[0]
                assert isinstance(first, OpRef)
                block = unit.instances[0].block
                rank = max((len(t.shape) - 1 for t in block.inputs.values()), default=2)
                found = steps.reference(first) if model else steps.meaning(unit, param.default)  # type: ignore[arg-type]
                known = steps.callable_node(unit, found, rank)
                default = known[0] if known is not None else None
            return kind, default
        plain = [python.plain(v) for v in values]
        kind = _kind(
            [
                v[0]
                if isinstance(v, tuple)
                and v
                and _is_cube(v)
                and param.type.name == "size"
                and param.name not in unit.wide
                else v
                for v in plain
            ],
            param,
        )
        if param.name in unit.wide:
            kind = ast.parse("tuple[int, ...]", mode="eval").body
        if model:
            return kind, sized(python.constant(plain[0]), param, unit)
        if param.default is None:
            return kind, None
        default = unit.ctor(translate(param.default, unit))
        default = sized(default, param, unit)
        if literal(default) is not None:
            return kind, default
        key = (id(unit.definition), param.name)
        if "absent" not in self.seen.get(key, set()) | self.given.get(key, set()):
            return kind, None
        name = identifier(param.name)
        test = ast.Compare(python.name(name), [ast.Is()], [python.constant(None)])
        late.append(python.assign(name, ast.IfExp(test, default, python.name(name))))
        return ast.BinOp(kind, ast.BitOr(), python.constant(None)), python.constant(None)

    # --- the file

    def text(self) -> str:
        """The whole file."""
        classes = [unit.cls for unit in self.order if unit.cls is not None]
        fusing = Fusing(self.names)
        for one in classes:
            fusing.seen(one)
        helpers = list(self.helpers)
        results = [unit.results for unit in self.order if unit.results is not None]
        small = fusing.classes()
        return file.text(self.networks[0], helpers, [*small, *results, *classes])


def _equal(value: object, other: object) -> bool:
    """Whether two plain values are one; a cube is its side."""
    value = python.plain(value)
    sizes = (
        {repr(value), repr(value[0])} if isinstance(value, tuple) and value else {repr(value)}
    )
    return repr(other) in sizes or value == other


def _holds(block: Block, node: str) -> bool:
    return node in set(nodes_of(block.body))


def _tensor(node: str, output: int) -> Tensor:
    return Tensor(node, output, ())


def _kind(values: Sequence[object], param: tree.Param) -> ast.expr:
    first = values[0]
    if param.type.name == "list":
        return ast.parse(f"Sequence[{param.type.item or 'float'}]", mode="eval").body
    match first:
        case bool():
            return python.name("bool")
        case str():
            return python.name("str")
        case float():
            return python.name("float")
        case tuple():
            return ast.parse("tuple[int, ...]", mode="eval").body
    if param.type.name == "float":
        return python.name("float")
    return python.name("int")


def _is_cube(value: object) -> bool:
    return not isinstance(value, tuple) or (bool(value) and len(set(value)) == 1)


def _needed(unit: Unit, forward: Iterable[ast.stmt]) -> list[ast.stmt]:
    """The constructor without what neither it nor `forward` reads."""
    kept = {
        n.attr
        for node in forward
        for n in ast.walk(node)
        if isinstance(n, ast.Attribute)
        and isinstance(n.value, ast.Name)
        and n.value.id == "self"
    }
    body = []
    for node in unit.init:
        match node:
            case ast.Assign(targets=[ast.Attribute(value=ast.Name(id="self"), attr=name)]):
                if name not in kept:
                    continue
        body.append(node)
    return live(body)
