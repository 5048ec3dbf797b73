"""The classes of a file: each block translated once for the instances that it serves."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from functools import cache

from cnndsl.backends.torch import file, python
from cnndsl.backends.torch.beginning import spread
from cnndsl.backends.torch.classes import Classes
from cnndsl.backends.torch.expressions import CannotTranslateError
from cnndsl.backends.torch.fusing import Fusing
from cnndsl.backends.torch.instances import ExposeError, Instance, SplitError, T
from cnndsl.backends.torch.names import Names, identifier
from cnndsl.backends.torch.parameters import AgainError, Parameter
from cnndsl.backends.torch.recursive import foreseen
from cnndsl.backends.torch.unit import Unit
from cnndsl.backends.torch.walk.arguments import Arguments
from cnndsl.backends.torch.walk.parts import CountError, UnrollError
from cnndsl.backends.torch.walk.terms import Walk
from cnndsl.graph import Network
from cnndsl.language.names import BlockDefinition, OpRef
from cnndsl.structure import Block, Call, Item, Tensor, blocks, inside, nodes_of
from cnndsl.structure import walk as walked

ROUNDS = 40


@cache
def _defined(text: str) -> tuple[str, ...]:
    """What a helper's text defines."""
    found = ast.parse(text).body
    return tuple(n.name for n in found if isinstance(n, ast.ClassDef | ast.FunctionDef))


class Translation(Classes):
    """The file of a model, from its declaration and networks elaborated from it.

    The first network gives the arguments' defaults; the others have lines that it has not.
    """

    def __init__(
        self, networks: Sequence[Network], *, frozen_lists: bool = False, loops: bool = True
    ) -> None:
        """Collect the instances, and translate until nothing new is learned."""
        super().__init__(networks)
        self.frozen_lists, self.loops = frozen_lists, loops
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
        self.apart: set[int] = set()
        """Blocks within themselves of which each depth is a class."""
        self.open: list[Unit] = []
        self.exposing: dict[int, set[tuple[str, int]]] = {}
        self.exploded: set[int] = set()
        self.unrolled: set[int] = set()
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
        self.seen = {}
        self.nodes: dict[Parameter, ast.expr] = {}
        self.names = Names({identifier(self.networks[0].name)})
        self.unit_of(self.model, [self.instances[id(n.structure)] for n in self.networks])
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
        return {name for text in self.helpers for name in _defined(text)}

    # --- units

    def instance_of(self, _: Instance, block: Block) -> Instance:
        """The instance of a called block."""
        return self.instances[id(block)]

    def called(self, callers: list[Instance], wanted: list[Instance]) -> Unit:
        """The one class of these instances."""
        found: list[Unit] = []
        for instance in wanted:
            declared = instance.block.declared  # not all calls need the whole block
            assert isinstance(declared, BlockDefinition)
            found.append(self.unit_of(declared, [instance]))
        if any(unit is not found[0] for unit in found):
            order = {id(unit): n for n, unit in enumerate(found)}
            raise SplitError([(c, order[id(u)]) for c, u in zip(callers, found, strict=True)])
        return found[0]

    def unit_of(self, definition: BlockDefinition, wanted: list[Instance]) -> Unit:
        """The class of an instance, translated now if it is not yet."""
        if id(definition) not in self.groups:
            self.groups[id(definition)] = self.first_groups(definition)
        try:
            return self.grouped(definition, wanted, self.groups[id(definition)])
        except CannotTranslateError as error:
            error.final = True
            raise

    def grouped(
        self, definition: BlockDefinition, wanted: list[Instance], groups: list[list[Instance]]
    ) -> Unit:
        """The class of the group in which an instance is; the group may come apart."""
        while True:
            group = next(g for g in groups if any(i is wanted[0] for i in g))
            for unit in self.units.get(id(definition), []):
                if unit.instances is group:
                    return unit
            for unit in self.open:
                if unit.instances is group:
                    return self.foreseen(unit)
            try:
                return self.translated(definition, group)
            except SplitError as error:
                groups.remove(group)
                groups += self.split(group, error)
            except ExposeError as error:
                self.expose(definition, error)
            except UnrollError as error:
                self.unrolled.add(error.term)
                raise AgainError from None
            except CountError as error:
                self.counting |= {(id(definition), name) for name in error.parameters}
                raise AgainError from None

    def foreseen(self, unit: Unit) -> Unit:
        """A class that is still written, as a call within it sees it.

        Raises AgainError: this cannot be foreseen, so that each depth is a class.
        """
        try:
            if any(self.exposing.get(id(i.block)) for i in unit.instances):
                raise CannotTranslateError("a label inside a recursive block")
            unit.outputs = unit.outputs or foreseen(unit)
        except CannotTranslateError:
            self.apart.add(id(unit.definition))
            raise AgainError from None
        unit.name = unit.name or self.name(unit.definition)
        return unit

    def first_groups(self, definition: BlockDefinition) -> list[list[Instance]]:
        """Instances of one rank, with as many inputs, and operations alike."""
        found: dict[object, list[Instance]] = {}
        for instance in self.of[id(definition)]:
            block = instance.block
            ports = tuple(
                dict.fromkeys(
                    (port.partition("[")[0], len(t.shape)) for port, t in block.inputs.items()
                )
            )
            values = [
                (name, str(value))
                for name, value in sorted(block.names.items())
                if value is None or isinstance(value, OpRef)
            ]
            nones = tuple(name for name, value in values if value == "None")
            depth = _depth(block) if id(definition) in self.apart else 0
            found.setdefault((ports, nones, depth), []).append(instance)
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
        numbers = {number: key for key, number in definition.line_numbers.items()}
        for item in walked(block.body, into_blocks=False):
            owner = numbers.get(item.key, 0)
            chained = owner in definition.modules.chains
            if chained and error.tensor.node in set(nodes_of([item])):
                self.exploded.add(owner)
        if len(self.exploded) == before:
            raise CannotTranslateError(f"{error.tensor.node} is read")

    def translated(self, definition: BlockDefinition, group: list[Instance]) -> Unit:
        """One class."""
        unit = Unit(definition, group)
        unit.exploded, unit.frozen_lists = self.exploded, self.frozen_lists
        unit.unrolled, unit.looped = self.unrolled, self.loops
        unit.helpers = self.helpers
        self.open.append(unit)
        written = len(self.order)
        try:
            self.write(unit)
        except Exception:
            if unit.name:  # what has been written since may call what is no class now
                self.forget([unit, *self.order[written:]])
            raise
        finally:
            self.open.pop()
        self.units.setdefault(id(definition), []).append(unit)
        self.order.append(unit)
        return unit

    def forget(self, units: Sequence[Unit]) -> None:
        """Classes that are written anew."""
        for unit in units:
            self.names.taken.discard(unit.name)
            if unit in self.order:
                self.order.remove(unit)
                self.units[id(unit.definition)].remove(unit)

    def write(self, unit: Unit) -> None:
        """Its ports, its lines, its outputs, and with these the class."""
        walk = Walk(unit, self.called, self.passed, self.instance_of, self.help)
        self.enter(unit)
        views = [(i, i.block.body) for i in unit.instances]
        start = tuple(t for t in unit.ports.values() if isinstance(t, T))
        unit.skip = start
        end = walk.body(
            unit.definition.declaration.body,
            views,
            start if len(start) == len(unit.ports) == 1 else None,
        )
        unit.outputs = []
        self.leave(unit, walk, end or None)
        self.counts(unit)
        self.finish(unit)

    def counts(self, unit: Unit) -> None:
        """Raise CountError where one tensor is read of a list that an argument counts."""
        results = [tensor.run for _, tensor in unit.outputs if tensor is not None]
        single = results if unit.definition is self.model else []
        for body in (*unit.fwd, *single):
            for node in ast.walk(body):
                match node:
                    case ast.Subscript(
                        value=ast.Name(id=name), slice=ast.Constant(value=int() as at)
                    ) if at > 0 and name in unit.counts:
                        counted = unit.counting(unit.counts[name])
                        if counted:
                            raise CountError(counted)

    def help(self, text: str) -> None:
        """Definitions that the file needs."""
        self.helpers.setdefault(text)

    # --- entering and leaving

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
                    n
                    for n in names
                    if n == port.outside or (port.many and n.startswith(f"{port.outside}["))
                )
            names = order
            parts = [(i, len(i.block.inputs)) for i in unit.instances]
            several = len(declaration.outputs) > 1 and len({n for _, n in parts}) > 1
            if several and any(n not in i.block.outputs for n in names for i in unit.instances):
                # A family beside other outputs is returned tensor by tensor.
                raise SplitError(parts)
        for name in names:
            have = [
                (i, i.block.outputs[name]) for i in unit.instances if name in i.block.outputs
            ]
            if declaration.outputs is None and end is not None and len(names) == 1:
                tensor = end[0]
            else:
                tensor = unit.items.get(name) or walk.lookup(have)
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

    # --- the file

    def text(self) -> str:
        """The whole file."""
        classes = [unit.cls for unit in self.order if unit.cls is not None]
        classes = once(classes)
        model = next(unit.cls for unit in self.order if unit.definition is self.model)
        assert model is not None
        spread(classes, model, self.helpers)
        fusing = Fusing(self.names)
        for one in classes:
            fusing.seen(one)
        helpers = list(self.helpers)
        results = [unit.results for unit in self.order if unit.results is not None]
        small = fusing.classes()
        # What the model returns stands before it; what a block returns is a tuple.
        before, last = (
            [c for c in classes if c is not model],
            [c for c in classes if c is model],
        )
        return file.text(self.networks[0], helpers, [*small, *before, *results, *last])


def once(classes: Sequence[ast.ClassDef]) -> list[ast.ClassDef]:
    """Classes that differ in their names alone are one."""
    found: dict[str, ast.ClassDef] = {}
    names: dict[str, str] = {}
    left: list[ast.ClassDef] = []
    for cls in classes:
        for node in ast.walk(cls):
            if isinstance(node, ast.Name):
                node.id = names.get(node.id, node.id)
        key = ast.dump(ast.ClassDef("", cls.bases, cls.keywords, cls.body, []))
        if key in found:
            names[cls.name] = found[key].name
        else:
            found[key] = cls
            left.append(cls)
    return left


def _depth(block: Block) -> int:
    """How many of its own kind are within a block, one within the other."""
    most = 1
    stack: list[tuple[Item, int]] = [(item, 1) for item in block.body]
    while stack:
        item, depth = stack.pop()
        if isinstance(item, Call):
            depth += item.block.declared is block.declared
            most = max(most, depth)
        stack += ((one, depth) for one in inside(item))
    return most


def _holds(block: Block, node: str) -> bool:
    return node in set(nodes_of(block.body))


def _tensor(node: str, output: int) -> Tensor:
    return Tensor(node, output, ())
