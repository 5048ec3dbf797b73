"""Initialisation: by kind where all layers of a kind begin alike, else where each stands."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from cnndsl.backends.torch import python
from cnndsl.ops.base import BEGINNINGS, Op
from cnndsl.ops.facts import Shape
from cnndsl.ops.initial import Init

INITIALISED = '''def initialised(
    layer: nn.Module,
    weight: Callable[[Tensor], Tensor] | None = None,
    bias: Callable[[Tensor], Tensor] | None = None,
) -> nn.Module:
    """The layer, its weight and its bias begun by these."""
    begin = {"weight": weight, "bias": bias}
    for name, value in layer.named_parameters():
        function = begin.get(name)
        if function is not None:
            function(value)
    return layer
'''
SUBCLASS = re.compile(r"^class (\w+)\((nn\.(?!Module\b)\w+)\):", re.MULTILINE)
"""A layer that extends one of PyTorch's."""
KNOWN = {"initialised", "partial", "nn", "math"}
"""What the call of an initialisation may name besides the constructor's own."""


def begun(
    node: ast.Call, op: Op, inputs: Sequence[Shape], spell: Callable[[object], ast.expr]
) -> ast.Call:
    """A layer's call, `initialised(…)` where its operation says with what."""
    weights = op.weights(*inputs)
    keywords = {
        name: _beginning(op.beginnings[attribute], spell)
        for name, attribute in BEGINNINGS.items()
        if name in weights and attribute in op.beginnings
    }
    return python.call("initialised", node, **keywords) if keywords else node


def helpers(op: Op) -> Iterator[str]:
    """The definitions that the call needs."""
    if op.beginnings:
        yield INITIALISED
    yield from (init.helper for init in op.beginnings.values() if init.helper)


def _beginning(init: Init, spell: Callable[[object], ast.expr]) -> ast.expr:
    """`nn.init.zeros_`, `partial(nn.init.normal_, std=0.01)`."""
    given = {}
    for parameter in init.parameters:
        value = getattr(init, parameter.name)
        if python.carries(value) or value != parameter.default:
            given[parameter.name] = spell(value)
    function = python.dotted(init.function)
    return python.call("partial", function, **given) if given else function


def bare(node: ast.expr) -> ast.expr:
    """The layer of `initialised(layer, …)`."""
    return node.args[0] if _is_begun(node) else node  # type: ignore[attr-defined]


def said(node: ast.expr) -> dict[str, ast.expr]:
    """What a layer's weight and bias begin with, where that is said."""
    found = node.keywords if _is_begun(node) else []  # type: ignore[attr-defined]
    return {str(keyword.arg): keyword.value for keyword in found}


def _is_begun(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "initialised"
    )


@dataclass
class Found:
    """A layer of a class: its kind, and the call that begins it."""

    kind: str
    call: ast.Call

    @property
    def biased(self) -> bool:
        """Whether it may have a bias."""
        layer = bare(self.call)
        assert isinstance(layer, ast.Call)
        given = {k.arg: k.value for k in layer.keywords}.get("bias", python.constant(True))
        return not python.same(given, python.constant(False))


Rule = dict[str, ast.expr]
"""What a weight and a bias begin with."""


def spread(
    classes: Sequence[ast.ClassDef], model: ast.ClassDef, helpers: Iterable[str]
) -> None:
    """Say once, at the end of a constructor, how all layers of a kind below it begin.

    `helpers` are the sources of the file's own layers: of a subclass `isinstance` is true too.
    """
    known = {one.name: one for one in classes}
    bases = {name: base for text in helpers for name, base in SUBCLASS.findall(text)}
    own = {one.name: list(_layers(one, bases)) for one in classes}
    called = {
        one.name: sorted(python.names_in(one) & known.keys() - {one.name}) for one in classes
    }
    kinds = dict.fromkeys(f.kind for one in own.values() for f in one if said(f.call))
    rules: dict[str, dict[str, Rule]] = {}
    done: list[ast.Call] = []

    def below(name: str) -> list[Found]:
        names, stack = {name}, [name]
        while stack:
            more = set(called[stack.pop()]) - names
            names |= more
            stack += sorted(more)
        return [found for one in own for found in own[one] if one in names]

    def cover(name: str, kind: str) -> None:
        found = [one for one in below(name) if one.kind == kind]
        rule = _rule(found)
        if rule is not None:
            rules.setdefault(name, {})[kind] = rule
            done.extend(one.call for one in found)
        elif found:
            for child in [one for one in called[name] if one not in tried]:
                tried.add(child)
                cover(child, kind)

    for kind in kinds:
        tried = {model.name}
        cover(model.name, kind)
    for name, by_kind in rules.items():
        _state(known[name], by_kind, below(name))
    for call in done:
        layer = bare(call)
        if layer is not call:
            assert isinstance(layer, ast.Call)
            call.func, call.args, call.keywords = layer.func, layer.args, layer.keywords
    for one in classes:
        _name(one)


def _name(cls: ast.ClassDef) -> None:
    """Begin a layer that has an attribute of its own behind the others, by that name."""
    for init in cls.body:
        if not isinstance(init, ast.FunctionDef) or init.name != "__init__":
            continue
        behind: list[ast.stmt] = []
        for statement in init.body:
            match statement:
                case ast.Assign(targets=[ast.Attribute() as target], value=ast.Call() as call):
                    layer, beginnings = bare(call), said(call)
                    assert isinstance(layer, ast.Call)
                    linear = ast.unparse(layer.func) == "nn.Linear"
                    if "bias" in beginnings and not linear:
                        continue  # PyTorch's annotations let it be None
                    statement.value = layer
                    where = ast.unparse(target)
                    behind += [
                        ast.Expr(_called(beginning, python.dotted(f"{where}.{weight}")))
                        for weight, beginning in beginnings.items()
                    ]
        init.body += behind


def _layers(cls: ast.ClassDef, bases: Mapping[str, str]) -> Iterator[Found]:
    """The calls in a class that may be layers, each once, by the class of PyTorch's."""
    inside: set[int] = set()
    for node in ast.walk(cls):
        if isinstance(node, ast.Call) and id(node) not in inside:
            layer = bare(node)
            assert isinstance(layer, ast.Call)
            inside.add(id(layer))
            function = ast.unparse(layer.func)
            yield Found(bases.get(function, function), node)


def _rule(found: Sequence[Found]) -> Rule | None:
    """What all of these layers begin with, where that is one thing and known everywhere."""
    rule: Rule = {}
    for name in BEGINNINGS:
        among = [said(one.call) for one in found if name == "weight" or one.biased]
        texts = {ast.unparse(one[name]) if name in one else "" for one in among}
        if len(texts) > 1:
            return None
        if texts - {""}:
            rule[name] = among[0][name]
    free = {name for node in rule.values() for name in python.names_in(node)}
    return rule if rule and not free - KNOWN - {"bilinear_"} else None


def _state(cls: ast.ClassDef, rules: dict[str, Rule], below: Sequence[Found]) -> None:
    """Append to a constructor the loop over its modules."""
    init = next(
        one for one in cls.body if isinstance(one, ast.FunctionDef) and one.name == "__init__"
    )
    taken = python.names_in(init) | {arg.arg for arg in init.args.args}
    name = next(name for name in ("m", "module", "layer_", "m_") if name not in taken)
    merged: dict[str, tuple[list[str], Rule, bool]] = {}
    for kind, rule in rules.items():
        several = [one for one in below if one.kind == kind]
        # PyTorch's annotations let a convolution's bias be None.
        biased = kind == "nn.Linear" and all(one.biased for one in several)
        sure = biased or "bias" not in rule
        key = repr((sorted((k, ast.unparse(v)) for k, v in rule.items()), sure))
        merged.setdefault(key, ([], rule, sure))[0].append(kind)
    branches: list[ast.stmt] = []
    for kinds, rule, sure in reversed(merged.values()):
        test: ast.expr = python.dotted(kinds[0])
        for kind in kinds[1:]:
            test = ast.BinOp(test, ast.BitOr(), python.dotted(kind))
        body: list[ast.stmt] = []
        for weight, beginning in rule.items():
            value = python.dotted(f"{name}.{weight}")
            statement: ast.stmt = ast.Expr(_called(beginning, value))
            if weight == "bias" and not sure:
                there = ast.Compare(value, [ast.IsNot()], [python.constant(None)])
                statement = ast.If(there, [statement], [])
            body.append(statement)
        asked: ast.expr = python.call("isinstance", python.name(name), test)
        match body:
            case [ast.If() as only] if not branches:
                asked, body = ast.BoolOp(ast.And(), [asked, only.test]), only.body
        branches = [ast.If(asked, body, branches)]
    modules = python.call("self.modules")
    init.body.append(ast.For(ast.Name(name, ast.Store()), modules, branches, []))


def _called(beginning: ast.expr, value: ast.expr) -> ast.Call:
    """`nn.init.normal_(m.weight, std=0.01)` of `partial(nn.init.normal_, std=0.01)`."""
    if isinstance(beginning, ast.Call):
        function, *_ = beginning.args
        given = python.clone(beginning.keywords)
        if ast.unparse(function) == "nn.init.constant_":
            return ast.Call(function, [value, given[0].value], [])
        return ast.Call(function, [value], given)
    return ast.Call(python.clone(beginning), [value], [])
