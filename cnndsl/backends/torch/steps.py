"""Steps: the arguments of an operation as written, and the layers that it is."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Iterator, Sequence

from cnndsl.backends.torch import layers, python
from cnndsl.backends.torch.expressions import (
    CannotTranslateError,
    literal,
    translate,
    truth,
)
from cnndsl.backends.torch.instances import Instance, SplitError
from cnndsl.backends.torch.unit import Layer, Meaning, OpValue, Unit
from cnndsl.language import tree
from cnndsl.language.evaluate import named
from cnndsl.language.functions import FUNCTIONS
from cnndsl.language.names import BlockDefinition, OpRef, operation
from cnndsl.ops.base import Op
from cnndsl.ops.facts import Auto, Family
from cnndsl.ops.initial import INITS, Init
from cnndsl.ops.values import bind
from cnndsl.structure import Step

Views = Sequence[tuple[Instance, Step]]
AUTO = {word.value: word for word in Auto}


@dataclasses.dataclass
class Given:
    """The arguments of a call: Python's expressions, words of the language, operations."""

    nodes: dict[str, ast.expr]
    words: dict[str, object]
    operations: dict[str, Meaning]
    positional: set[str]


def callee(unit: Unit, name: str) -> Meaning:
    """What a step's name stands for."""
    if name in unit.meanings:
        found = unit.meanings[name]
        if isinstance(found, ast.expr):
            if isinstance(found, ast.Constant) and found.value is None:
                return None
            raise CannotTranslateError(f"{name} is not a step")
        return found
    bound = unit.definition.file.names.get(name)
    if bound is not None:
        if bound.meaning is None:
            return None
        if not isinstance(bound.meaning, OpRef):
            raise CannotTranslateError(name)
        return reference(bound.meaning)
    target = operation(name)
    if target is None:
        raise CannotTranslateError(name)
    return OpValue(name, target, {})


def reference(ref: OpRef) -> OpValue:
    """An operation as a value of the language, with its plain arguments."""
    names = parameters(ref.target)
    given: dict[str, ast.expr] = {}
    words: dict[str, object] = {}
    for name, value in [*zip(names, ref.positional, strict=False), *ref.named]:
        if isinstance(value, Auto):
            words[name] = value
        elif isinstance(value, OpRef):
            words[name] = reference(value)
        elif isinstance(value, Init):
            numbers = {p.name: getattr(value, p.name) for p in value.parameters}
            nodes = {key: python.constant(python.plain(n)) for key, n in numbers.items()}
            words[name] = Beginning(nodes)
        else:
            given[name] = python.constant(python.plain(value))
    return OpValue(ref.name, ref.target, given, words)


def parameters(target: type[Op] | BlockDefinition) -> list[str]:
    """The names of what a step takes."""
    if isinstance(target, BlockDefinition):
        return [param.name for param in target.declaration.params]
    return [parameter.name for parameter in target.parameters]


def meaning(unit: Unit, expression: tree.Expression) -> Meaning:
    """An expression that stands for an operation, or for none."""
    match expression:
        case tree.Value(path=tree.NamePath(name="none", parts=())):
            return None
        case tree.Value(path=tree.NamePath(name=name, parts=()), arguments=arguments) if (
            arguments is None or name not in FUNCTIONS or name in unit.definition.file.names
        ):
            found = callee(unit, name)
            if arguments and isinstance(found, OpValue):
                more = written(unit, found, arguments)
                return OpValue(
                    found.name,
                    found.target,
                    {**found.given, **more.nodes},
                    {**found.words, **more.words, **more.operations},
                )
            return found
        case tree.Choice(condition=condition, then=then, otherwise=otherwise):
            known = truth(unit.ctor(translate(condition, unit)))
            if known is not None:
                return meaning(unit, then if known else otherwise)
    raise CannotTranslateError(expression.span.text)


def written(unit: Unit, ref: OpValue, arguments: Sequence[tree.Argument]) -> Given:
    """What stands in a call's parentheses."""
    names = parameters(ref.target)
    kinds = {}
    if isinstance(ref.target, BlockDefinition):
        kinds = {p.name: p.type.name for p in ref.target.declaration.params}
    found = Given({}, {}, {}, set())
    variadic = (
        not isinstance(ref.target, BlockDefinition)
        and len(names) == 1
        and ref.target.parameters[0].type == "Integers"
    )
    spread: list[ast.expr] = []
    position = len([n for n in names if n in ref.given or n in ref.words]) if ref.given else 0
    for argument in arguments:
        name = argument.name
        if name is None:
            if variadic:
                node = unit_argument(unit, argument)
                kept = unit.lets.get(node.id) if isinstance(node, ast.Name) else node
                if isinstance(kept, ast.Tuple) and kept is not node:
                    numbers = map(python.constant, range(len(kept.elts)))
                    spread += [python.item(node, number) for number in numbers]
                else:
                    spread += node.elts if isinstance(node, ast.Tuple) else [node]
                continue
            if argument.spread or position >= len(names):
                raise CannotTranslateError("a spread argument")
            name = names[position]
            position += 1
            found.positional.add(name)
        fused = name in ("norm", "act") and name not in names
        if fused or kinds.get(name) == "op":
            found.operations[name] = choice(unit, argument)
        elif _begins(ref, name):
            found.words[name] = Beginning(_beginning(unit, argument))
        elif (word := _word(unit, argument)) is not None:
            found.words[name] = word
        else:
            found.nodes[name] = unit_argument(unit, argument)
    if variadic and spread:
        found.nodes[names[0]] = ast.Tuple(spread, ast.Load())
    return found


@dataclasses.dataclass
class Beginning:
    """The arguments of an initialisation as they are written."""

    nodes: dict[str, ast.expr]


def _begins(ref: OpValue, name: str) -> bool:
    """Whether an argument is an initialisation."""
    if isinstance(ref.target, BlockDefinition):
        return False
    return any(p.name == name and "Init" in p.type for p in ref.target.parameters)


def _beginning(unit: Unit, argument: tree.Argument) -> dict[str, ast.expr]:
    match argument:
        case tree.Argument(
            value=tree.Value(path=tree.NamePath(name=name, parts=()), arguments=given),
            rest=None,
        ) if name in INITS:
            found = named(INITS[name], given or ())
            return {key: translate(one.value, unit) for key, one in found}
        case tree.Argument(value=tree.Value(path=tree.NamePath(name="auto"), arguments=None)):
            return {}
    return {"val": unit_argument(unit, argument)}


def choice(unit: Unit, argument: tree.Argument) -> Meaning:
    """An operation as an argument; with `then` the first repeat's or the others'."""
    if argument.rest is None or unit.repeat is True:
        return meaning(unit, argument.value)
    if unit.repeat is False:
        return meaning(unit, argument.rest)
    raise CannotTranslateError("an operation that changes with the repeat")


def unit_argument(unit: Unit, argument: tree.Argument) -> ast.expr:
    """An argument's expression; with `then` the first repeat's or the others'."""
    if argument.rest is None or unit.repeat is True:
        return translate(argument.value, unit)
    if unit.repeat is False:
        return translate(argument.rest, unit)
    first, rest = translate(argument.value, unit), translate(argument.rest, unit)
    if python.same(first, rest):
        return first
    if not isinstance(unit.repeat, ast.expr):
        raise CannotTranslateError("`then` outside a repeat")
    return python.chosen(unit.repeat, first, rest)


def _word(unit: Unit, argument: tree.Argument) -> object:
    match argument:
        case tree.Argument(
            value=tree.Value(path=tree.NamePath(name=name, parts=())), rest=None
        ):
            found = unit.meanings.get(name)
            return found if isinstance(found, Auto) else AUTO.get(name)
    return None


def given(unit: Unit, name: str, ref: OpValue, arguments: Sequence[tree.Argument]) -> Given:
    """Defaults, then what a partial call holds, then what is written; the last one wins."""
    found = Given({}, {}, {}, set())
    target = ref.target.name
    for statements in unit.defaults:
        for default in statements:
            if any(one == target for one, _ in default.names):
                _merge(found, written(unit, OpValue(target, ref.target, {}), default.arguments))
    held = {k: v for k, v in ref.words.items() if isinstance(v, OpValue | Layer)}
    words = {k: v for k, v in ref.words.items() if k not in held}
    _merge(found, Given(dict(ref.given), words, dict(held), set()))
    _merge(found, written(unit, ref, arguments))
    return found


def _merge(found: Given, more: Given) -> None:
    for name in (*more.nodes, *more.words, *more.operations):
        for known in (found.nodes, found.words, found.operations):
            known.pop(name, None)
    found.nodes |= more.nodes
    found.words |= more.words
    found.operations |= more.operations
    found.positional |= more.positional


def carried(
    unit: Unit,
    cls: type[Op],
    ops: Sequence[tuple[Instance, Op]],
    said: Given,
) -> Op:
    """An operation whose attributes carry the expressions that they were written as."""
    witness = ops[0][1]
    values: dict[str, object] = {}
    for parameter in cls.parameters:
        name = parameter.name
        seen = [(instance, python.plain(getattr(op, name))) for instance, op in ops]
        first = getattr(witness, name)
        if name == "axes":
            values[name] = _axes(first, said)
            continue
        if said.words.get(name) in (Auto.CAUSAL, Auto.TF_SAME):
            values[name] = said.words[name]
            continue
        if said.words.get(name) is Auto.SAME or (
            name == "pad"
            and name not in said.nodes
            and name not in said.words
            and parameter.default is Auto.SAME
        ):
            values[name] = Auto.SAME
            continue
        beginning = said.words.get(name)
        if isinstance(beginning, Beginning):
            values[name] = _begun(unit, seen, beginning.nodes)
            continue
        node = said.nodes.get(name)
        listed = parameter.type.split(" | ")[0] in ("Numbers", "Pairs")
        lengths = [(i, len(v) if isinstance(v, tuple) else -1) for i, v in seen]
        if len({length for _, length in lengths}) > 1 and (unit.frozen_lists or not listed):
            raise SplitError(lengths)
        if name == "stride" and node is None and parameter.default is None:
            values[name] = None  # a pool's: its kernel
            continue
        plain = python.plain(first)
        frozen = listed and unit.frozen_lists
        if node is not None and literal(node) is None and _numeric(plain) and not frozen:
            if parameter.type == "Pad":
                node = _sides(plain, node)
            if listed and isinstance(node, ast.Call):  # `range(n)` is no tuple
                node = python.call("tuple", node)
            values[name] = _carry(plain, node, axes=parameter.type in ("Size", "Pad"))
            continue
        if len({repr(value) for _, value in seen}) > 1:
            raise SplitError(seen)
        values[name] = plain
    return cls(**values)


def refusals(op: Op) -> Iterator[ast.expr]:
    """Where the language refuses a step: conditions on what it was written with."""
    out, kernel = getattr(op, "out", None), getattr(op, "kernel", ())
    if isinstance(out, python.Int) and any(
        isinstance(one, ast.FloorDiv | ast.Sub) for one in ast.walk(out.node)
    ):
        yield ast.Compare(out.node, [ast.Lt()], [python.constant(1)])
    if getattr(op, "pad", None) is Auto.SAME:
        spread = getattr(op, "dilation", (1,) * len(kernel))
        for k, d in zip(kernel, spread, strict=True):
            if _odd(d):
                if not _odd(k):
                    yield ast.Compare(python.node_of(k % 2), [ast.Eq()], [python.constant(0)])
            elif not _odd(k):
                odd = python.node_of(d * (k - 1) % 2)
                yield ast.Compare(odd, [ast.Eq()], [python.constant(1)])


def _odd(value: int) -> bool:
    """Whether a number is surely odd: it is one, or a choice among some."""
    nodes = [python.node_of(value)]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.IfExp):
            nodes += [node.body, node.orelse]
        elif not isinstance(number := python.number(node), int) or number % 2 == 0:
            return False
    return True


def _begun(
    unit: Unit, seen: Sequence[tuple[Instance, object]], nodes: dict[str, ast.expr]
) -> object:
    """An initialisation whose numbers carry the expressions that they were written as."""
    first = seen[0][1]
    if not isinstance(first, Init):
        return first
    values: dict[str, object] = {}
    for parameter in first.parameters:
        name = parameter.name
        node = nodes.get(name)
        if node is not None and literal(node) is None:
            values[name] = python.carry(getattr(first, name), node)
            continue
        values[name] = getattr(first, name)
        every = [(instance, getattr(init, name, None)) for instance, init in seen]
        if len({repr(value) for _, value in every}) > 1:
            raise SplitError(every)
    return type(first)(**values)


def _axes(value: object, said: Given) -> object:
    assert isinstance(value, tuple)
    return tuple(
        (name, _carry(python.plain(size), said.nodes[name]) if name in said.nodes else size)
        for name, size in value
    )


def _numeric(value: object) -> bool:
    if isinstance(value, tuple):
        return bool(value) and all(map(_numeric, value))
    return isinstance(value, int | float) and not isinstance(value, bool)


def _sides(value: object, node: ast.expr) -> ast.expr:
    """`[left, right, top, bottom]` as a pair for each axis, the first axis first."""
    if not isinstance(value, tuple) or not isinstance(node, ast.Tuple | ast.List):
        return node
    sides = node.elts
    if len(sides) != 2 * len(value):
        return node
    pairs = [ast.Tuple([*sides[n : n + 2]], ast.Load()) for n in range(0, len(sides), 2)]
    return ast.Tuple([*reversed(pairs)], ast.Load())


def _carry(value: object, node: ast.expr, *, axes: bool = False) -> object:
    """A value with its expression; one number for all axes carries one."""
    if isinstance(value, tuple) and isinstance(node, ast.Tuple | ast.List):
        flat = all(not isinstance(v, tuple) for v in value)
        if len(node.elts) == len(value):
            return tuple(_carry(v, n, axes=axes) for v, n in zip(value, node.elts, strict=True))
        if flat:
            raise CannotTranslateError("a list of another length")
    if isinstance(value, tuple) and axes and len({repr(v) for v in value}) == 1:
        return tuple(_carry(v, node, axes=True) for v in value)
    if isinstance(value, tuple):
        return tuple(
            _carry(v, python.item(node, python.constant(n))) for n, v in enumerate(value)
        )
    return python.carry(value, node)


def callable_node(unit: Unit, found: Meaning, rank: int) -> tuple[ast.expr, bool] | None:
    """A layer as a callable, and whether it takes the channels.  None where there is none.

    `nn.ReLU`, `partial(nn.GroupNorm, 4)`.
    """
    if found is None:
        return None
    if isinstance(found, Layer):
        return found.node, found.takes
    assert isinstance(found, OpValue)
    if isinstance(found.target, BlockDefinition):
        raise CannotTranslateError("a block as a value")
    if found.target.family not in KEEPS:
        raise CannotTranslateError(f"{found.name} as a value")
    said = given(unit, found.name, found, ())
    if any(isinstance(word, Beginning) for word in said.words.values()):
        raise CannotTranslateError("an operation with an initialisation as a value")
    channels = python.Int(840, python.name("§c"))
    shape = (channels, *(5040,) * rank)
    values: dict[str, object] = {}
    for name, node in said.nodes.items():
        known = literal(node)
        values[name] = known[0] if known is not None else python.carry(1, node)
        if known is None:
            raise CannotTranslateError("an operation with a computed argument as a value")
    op = bind(found.target, {**values, **said.words}, rank).resolved(shape)
    module = op.torch(shape).module
    if module is None or op.beginnings:
        raise CannotTranslateError(f"{found.name} is not a module")
    if op.torch(shape).helper:
        unit.helpers.setdefault(op.torch(shape).helper)
    call = layers.construct(module)
    takes = [n for n, a in enumerate(call.args) if "§c" in python.names_in(a)]
    if not takes:
        free, arguments = False, call.args
    elif takes == [len(call.args) - 1] and python.same(call.args[-1], python.name("§c")):
        free, arguments = True, call.args[:-1]
    else:
        raise CannotTranslateError(found.name)
    if not arguments and not call.keywords:
        return call.func, free
    return ast.Call(python.name("partial"), [call.func, *arguments], call.keywords), free


KEEPS = (Family.NORM, Family.ACTIVATION, Family.REGULARIZE)
"""What a parameter that stands for a layer leaves the shape of."""
