"""The statements that a file is written in, by their rules."""

from __future__ import annotations

import ast
from typing import Any

from cnndsl.backends.torch.proof.builtins import (
    BUILTINS,
    CONSTANTS,
    OPERATORS,
    TYPES,
    all_items,
    items_of,
    shown,
)
from cnndsl.backends.torch.proof.faults import ProofError
from cnndsl.backends.torch.proof.library import same
from cnndsl.backends.torch.proof.machine import BREAK, CONTINUE, END, Machine, Rule
from cnndsl.backends.torch.proof.modules import Class, Module, as_module
from cnndsl.backends.torch.proof.terms import Tensor
from cnndsl.backends.torch.proof.values import Frame, Function, Native, Parameter, local_names

MODULES = {"torch": "torch", "math": "math", "torch.nn.functional": "F", "torch.nn": "nn"}
"""What a file may import, and what it is called here."""
IMPORTS = {
    "torch": {"Tensor": "Tensor", "nn": "nn", "library": "library"},
    "torch.nn": {"functional": "F"},
    "functools": {"cache": "cache", "partial": "partial"},
    "importlib": {"import_module": "import_module"},
    "collections": {"OrderedDict": "OrderedDict"},
    "collections.abc": {name: name for name in ("Callable", "Iterable", "Mapping", "Sequence")},
    "typing": {name: name for name in ("Any", "Callable", "NamedTuple", "TYPE_CHECKING")},
    "math": {
        name.removeprefix("math."): name
        for name in (*BUILTINS, *CONSTANTS)
        if name.startswith("math.")
    },
    "__future__": {"annotations": "annotations"},
}
"""What it may import from where."""
BASES = ("nn.Module", "nn.Sequential", "nn.ModuleList", "nn.ModuleDict", "NamedTuple")
"""PyTorch's and Python's classes that its own may stand on."""


def assign(machine: Machine, node: ast.Assign, frame: Frame) -> Any:
    """`a = b = value`."""
    value = machine.evaluate(node.value, frame)
    for target in node.targets:
        store(machine, target, value, frame)
    return END


def annotated(machine: Machine, node: ast.AnnAssign, frame: Frame) -> Any:
    """`a: int = value`."""
    if frame.function is None:
        annotation(machine, node.annotation, frame)
    if node.value is not None:
        store(machine, node.target, machine.evaluate(node.value, frame), frame)
    return END


def augmented(machine: Machine, node: ast.AugAssign, frame: Frame) -> Any:
    """`a += value`, in place where Python's is."""
    if not isinstance(node.target, ast.Name):
        raise ProofError("an augmented assignment to what is not a name")
    old = machine.name(node.target.id, frame)
    value = machine.evaluate(node.value, frame)
    sign = OPERATORS.get(type(node.op), "")
    if isinstance(old, Tensor):
        found: Any = machine.remember(machine.functions.augmented(sign, old, value), node)
    elif isinstance(old, list) and sign == "+":
        machine.check_open(old)
        old += all_items(value)
        found = old
    else:
        found = machine.binary(sign, old, value)
    frame.names[node.target.id] = found
    return END


def expression(machine: Machine, node: ast.Expr, frame: Frame) -> Any:
    """An expression for its effect."""
    machine.evaluate(node.value, frame)
    return END


def condition(machine: Machine, node: ast.If, frame: Frame) -> Any:
    """`if`."""
    chosen = node.body if machine.truth(machine.evaluate(node.test, frame)) else node.orelse
    return machine.block(chosen, frame)


def loop(machine: Machine, node: ast.For, frame: Frame) -> Any:
    """`for`."""
    for item in items_of(machine.evaluate(node.iter, frame)):
        machine.count(node)
        store(machine, node.target, item, frame)
        result = machine.block(node.body, frame)
        if result is BREAK:
            return END
        if result is not END and result is not CONTINUE:
            return result
    return machine.block(node.orelse, frame)


def within(machine: Machine, node: ast.With, frame: Frame) -> Any:
    """`with torch.no_grad()`, where weights are given their first values."""
    for item in node.items:
        if ast.unparse(item) != "torch.no_grad()" or machine.running:
            raise ProofError("this `with` is not known")
    return machine.block(node.body, frame)


def returned(machine: Machine, node: ast.Return, frame: Frame) -> Any:
    """`return`."""
    if frame.function is None:
        raise ProofError("`return` outside a function")
    return None if node.value is None else machine.evaluate(node.value, frame)


def asserted(machine: Machine, node: ast.Assert, frame: Frame) -> Any:
    """`assert`."""
    if not machine.truth(machine.evaluate(node.test, frame)):
        raise ProofError("the assertion fails")
    return END


def raised(machine: Machine, node: ast.Raise, frame: Frame) -> Any:
    """`raise`."""
    raise ProofError("an error is raised")


def imported(machine: Machine, node: ast.Import, frame: Frame) -> Any:
    """`import torch`."""
    for alias in node.names:
        if alias.name not in MODULES or ("." in alias.name and not alias.asname):
            raise ProofError(f"the module {alias.name} is not known")
        frame.names[alias.asname or alias.name] = Native(MODULES[alias.name])
    return END


def imported_from(machine: Machine, node: ast.ImportFrom, frame: Frame) -> Any:
    """`from torch import nn`."""
    known = IMPORTS.get(node.module or "", {}) if not node.level else {}
    for alias in node.names:
        if alias.name not in known:
            raise ProofError(f"`{alias.name}` of {node.module} is not known")
        name = known[alias.name]
        frame.names[alias.asname or alias.name] = CONSTANTS.get(name, Native(name))
    return END


def defined(machine: Machine, node: ast.FunctionDef, frame: Frame) -> Any:
    """`def`: the project's own text, or a function of the file."""
    known = machine.layers.library.get(node.name)
    if known is not None and not frame.of_class and same(node, known.node):
        frame.names[node.name] = known
        return END
    if node.decorator_list:
        raise ProofError("a decorator")
    args = node.args
    for arg in [*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg]:
        annotation(machine, arg.annotation if arg else None, frame)
    annotation(machine, node.returns, frame)
    frame.names[node.name] = function(machine, node, frame)
    return END


def function(
    machine: Machine,
    node: ast.FunctionDef | ast.Lambda,
    frame: Frame,
) -> Function:
    """A function or a method, its defaults evaluated."""
    args = node.args
    named = [*args.posonlyargs, *args.args]
    first = len(named) - len(args.defaults)
    pairs = [
        *zip(named[first:], args.defaults, strict=True),
        *zip(args.kwonlyargs, args.kw_defaults, strict=True),
    ]
    defaults = {arg.arg: machine.evaluate(d, frame) for arg, d in pairs if d is not None}
    # A method does not see the names of its class.
    closure = frame.outer if frame.of_class else frame
    assert closure is not None
    name = node.name if isinstance(node, ast.FunctionDef) else "lambda"
    return Function(name, node, defaults, local_names(node), closure, frame.of_class)


def annotation(machine: Machine, node: ast.expr | None, frame: Frame) -> None:
    """Python evaluates it, so that its names must be there."""
    if isinstance(node, ast.Constant | None):
        return
    for inner in ast.walk(node):
        if isinstance(inner, ast.Name) and inner.id not in TYPES:
            machine.name(inner.id, frame)


def classed(machine: Machine, node: ast.ClassDef, frame: Frame) -> Any:
    """`class`: the project's own text, or a class of the file."""
    known = machine.layers.library.get(node.name)
    if known is not None and same(node, known.node):
        frame.names[node.name] = known
        return END
    if node.decorator_list or node.keywords or len(node.bases) != 1:
        raise ProofError("a class must have one base, and no decorator")
    base = machine.evaluate(node.bases[0], frame)
    if isinstance(base, Class) and base.kind != "NamedTuple":
        cls = Class(node.name, base.kind, base)
    elif isinstance(base, Native) and base.name in BASES:
        cls = Class(node.name, base.name, None)
    else:
        raise ProofError(f"a class on {shown(base)}")
    inside = Frame(frame.globals, cls.names, frame, of_class=cls)
    for item in node.body:
        if machine.block([item], inside) is not END:
            raise ProofError("a loop's statement in a class", item)
    if cls.kind == "NamedTuple":
        fields = [item.target for item in node.body if isinstance(item, ast.AnnAssign)]
        cls.fields = tuple(map(ast.unparse, fields))
    frame.names[node.name] = cls
    return END


def store(machine: Machine, target: ast.expr, value: Any, frame: Frame) -> None:
    """Bind a name, an attribute, an item, or several."""
    match target:
        case ast.Name(id=name):
            frame.names[name] = value
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            _unpack(machine, parts, value, frame)
        case ast.Attribute(value=inner, attr=name):
            _set_attribute(machine, machine.evaluate(inner, frame), name, value)
        case ast.Subscript(value=inner, slice=index):
            owner = machine.evaluate(inner, frame)
            _set_item(machine, owner, machine.evaluate(index, frame), value)
        case _:
            raise ProofError("an assignment to this", target)


def _unpack(machine: Machine, parts: list[ast.expr], value: Any, frame: Frame) -> None:
    """`a, *b = value`."""
    items: list[Any] = all_items(value)
    starred = [n for n, part in enumerate(parts) if isinstance(part, ast.Starred)]
    if starred and len(items) >= len(parts) - 1:
        at, rest = starred[0], len(items) - (len(parts) - starred[0] - 1)
        items = [*items[:at], items[at:rest], *items[rest:]]
    if len(items) != len(parts):
        raise ProofError(f"{len(items)} values for {len(parts)} names")
    for part, item in zip(parts, items, strict=True):
        inner = part.value if isinstance(part, ast.Starred) else part
        store(machine, inner, item, frame)


def _set_attribute(machine: Machine, owner: Any, name: str, value: Any) -> None:
    """`owner.name = value`."""
    if not isinstance(owner, Module) or owner.cls is None or machine.running:
        raise ProofError(f"an attribute of {shown(owner)}")
    if isinstance(value, Module):
        owner.register(name, value)
    elif name in owner.children or isinstance(value, Parameter) or owner.reserves(name):
        raise ProofError(f"`{name}` is a module already, or PyTorch's own")
    else:
        owner.held[name] = value


def _set_item(machine: Machine, owner: Any, index: Any, value: Any) -> None:
    """`owner[index] = value`."""
    machine.check_open(owner)
    if isinstance(owner, Module) and owner.kind == "nn.ModuleDict" and type(index) is str:
        owner.register(index, as_module(value))
    elif isinstance(owner, list | dict) and type(index) in (int, str):
        owner[index] = value
    else:
        raise ProofError(f"an item of {shown(owner)}")


STATEMENTS: dict[type[ast.AST], Rule] = {
    ast.Assign: assign,
    ast.AnnAssign: annotated,
    ast.AugAssign: augmented,
    ast.Expr: expression,
    ast.If: condition,
    ast.For: loop,
    ast.With: within,
    ast.Return: returned,
    ast.Assert: asserted,
    ast.Raise: raised,
    ast.Import: imported,
    ast.ImportFrom: imported_from,
    ast.FunctionDef: defined,
    ast.ClassDef: classed,
    ast.Pass: lambda machine, node, frame: END,
    ast.Break: lambda machine, node, frame: BREAK,
    ast.Continue: lambda machine, node, frame: CONTINUE,
}
