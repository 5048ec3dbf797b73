"""An evaluator of the Python that a model is written in, over symbolic tensors.

Numbers, lists and modules are exact, a tensor is a term, the batch's size stays a symbol.
What is not known here is refused, and every run is bounded. Nothing is executed.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field
from typing import Any

from cnndsl.backends.torch.proof import views
from cnndsl.backends.torch.proof.builtins import (
    BUILTINS,
    CONSTANTS,
    OPERATORS,
    PYTHON_FAULTS,
    TYPES,
    all_items,
    arithmetic,
    compared,
    items_of,
    length,
    shown,
)
from cnndsl.backends.torch.proof.calls import (
    RANDOM,
    SIGNATURES,
    WEIGHTED,
    family,
    one_name,
    signature,
)
from cnndsl.backends.torch.proof.faults import ProofError
from cnndsl.backends.torch.proof.library import Library, same
from cnndsl.backends.torch.proof.modules import CONTAINERS, Module, as_module
from cnndsl.backends.torch.proof.tensors import Functions
from cnndsl.backends.torch.proof.terms import (
    Batch,
    Numbering,
    Tensor,
    Term,
    overwritten,
    read,
    spell_call,
)
from cnndsl.backends.torch.proof.values import (
    Class,
    Frame,
    Function,
    Method,
    Named,
    Native,
    Once,
    Parameter,
    Partial,
    Super,
    local_names,
)
from cnndsl.records import Record, record

IMPORTS = {
    "torch": ("Tensor", "nn", "library"),
    "torch.nn": ("functional",),
    "functools": ("partial",),
    "collections": ("OrderedDict",),
    "collections.abc": ("Callable", "Iterable", "Mapping", "Sequence"),
    "typing": ("NamedTuple", "TYPE_CHECKING", "Any", "Callable", "Sequence"),
    "math": ("ceil", "exp", "floor", "gcd", "inf", "log", "log2", "pi", "prod", "sqrt"),
    "__future__": ("annotations",),
}
"""What a file may import from where."""
MODULES = {"torch": "torch", "math": "math", "torch.nn.functional": "F", "torch.nn": "nn"}
SHORT = {"functional": "F", "partial": "partial"}
GLOBAL = {*BUILTINS, *TYPES, "sum", "isinstance", "super", "any", "all", "type"}
GLOBAL -= {"OrderedDict"}
LAYOUTS = {"torch.channels_last", "torch.channels_last_3d", "torch.contiguous_format"}

_END, _BREAK, _CONTINUE = object(), object(), object()
DEEPEST = 60
"""The calls in one another."""


@record(frozen=False)
class Machine(Record):
    """The state of a run.

    `library` are the definitions that a file may carry, `held` the modules that it has
    constructed, `owned` PyTorch's modules with weights that no table has.
    """

    table: Numbering
    functions: Functions
    library: dict[str, Library] = field(default_factory=dict)
    owned: set[str] = field(default_factory=set)
    steps: int = 0
    limit: int = 1_000_000
    depth: int = 0
    places: dict[int, ast.AST] = field(default_factory=dict)
    """Where the file computes a term that the network has not."""

    # --- statements

    def load(self, tree: ast.Module) -> dict[str, Any]:
        """The names of a file, with its classes and functions defined."""
        frame = Frame({})
        frame.names = frame.globals
        self.block(tree.body, frame)
        return frame.globals

    def block(self, body: Sequence[ast.stmt], frame: Frame) -> Any:
        """Run statements; what they return, or _END."""
        for statement in body:
            self.count(statement)
            try:
                result = STATEMENTS[type(statement)](self, statement, frame)
            except KeyError:
                if type(statement) in STATEMENTS:
                    raise ProofError("no such key", statement) from None
                kind = type(statement).__name__
                raise ProofError(f"the statement {kind} is not known", statement) from None
            except ProofError as found:
                found.place = found.place or statement
                raise
            except PYTHON_FAULTS as error:
                raise ProofError(_said(error), statement) from None
            if result is not _END:
                return result
        return _END

    def count(self, node: ast.AST) -> None:
        """One step more.  Raises ProofError: too many."""
        self.steps += 1
        if self.steps > self.limit:
            raise ProofError(f"the file runs for more than {self.limit} steps", node)

    def assign(self, node: ast.Assign, frame: Frame) -> Any:
        """`a = b = value`."""
        value = self.evaluate(node.value, frame)
        for target in node.targets:
            self.store(target, value, frame)
        return _END

    def annotated(self, node: ast.AnnAssign, frame: Frame) -> Any:
        """`a: int = value`."""
        if frame.function is None:
            self.annotation(node.annotation, frame)
        if node.value is not None:
            self.store(node.target, self.evaluate(node.value, frame), frame)
        return _END

    def augmented(self, node: ast.AugAssign, frame: Frame) -> Any:
        """`a += value`, in place where Python's is."""
        target = node.target
        if not isinstance(target, ast.Name):
            raise ProofError("an augmented assignment to what is not a name")
        old = self.name(target.id, frame)
        value = self.evaluate(node.value, frame)
        sign = self.sign(node.op)
        if isinstance(old, Tensor):
            found: Any = self.functions.augmented(sign, old, value)
            self.remember(found, node)
        elif isinstance(old, list) and sign == "+":
            old += all_items(value)
            found = old
        else:
            found = self.binary(sign, old, value)
        self.store(target, found, frame)
        return _END

    def expression(self, node: ast.Expr, frame: Frame) -> Any:
        """An expression for its effect."""
        self.evaluate(node.value, frame)
        return _END

    def condition(self, node: ast.If, frame: Frame) -> Any:
        """`if`."""
        chosen = node.body if self.truth(self.evaluate(node.test, frame)) else node.orelse
        return self.block(chosen, frame)

    def loop(self, node: ast.For, frame: Frame) -> Any:
        """`for`."""
        for item in items_of(self.evaluate(node.iter, frame)):
            self.count(node)
            self.store(node.target, item, frame)
            result = self.block(node.body, frame)
            if result is _BREAK:
                return _END
            if result is not _END and result is not _CONTINUE:
                return result
        return self.block(node.orelse, frame)

    def returned(self, node: ast.Return, frame: Frame) -> Any:
        """`return`."""
        if frame.function is None:
            raise ProofError("`return` outside a function")
        return None if node.value is None else self.evaluate(node.value, frame)

    def checked(self, node: ast.Assert, frame: Frame) -> Any:
        """`assert`."""
        if not self.truth(self.evaluate(node.test, frame)):
            raise ProofError("the assertion fails")
        return _END

    def imported(self, node: ast.Import, frame: Frame) -> Any:
        """`import torch`."""
        for alias in node.names:
            if alias.name not in MODULES or ("." in alias.name and not alias.asname):
                raise ProofError(f"the module {alias.name} is not known")
            frame.names[alias.asname or alias.name] = Native(MODULES[alias.name])
        return _END

    def imported_from(self, node: ast.ImportFrom, frame: Frame) -> Any:
        """`from torch import nn`."""
        known = IMPORTS.get(node.module or "", ()) if not node.level else ()
        for alias in node.names:
            if alias.name not in known:
                raise ProofError(f"`{alias.name}` of {node.module} is not known")
            name = SHORT.get(alias.name, alias.name)
            name = f"math.{name}" if node.module == "math" else name
            frame.names[alias.asname or alias.name] = CONSTANTS.get(name, Native(name))
        return _END

    def define(self, node: ast.FunctionDef, frame: Frame, owner: Class | None = None) -> Any:
        """`def`: the project's own text, or a function of the file."""
        known = self.library.get(node.name)
        if owner is None and known is not None and same(node, known.node):
            frame.names[node.name] = known
            return _END
        if node.decorator_list:
            raise ProofError("a decorator")
        for arg in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]:
            self.annotation(arg.annotation, frame)
        self.annotation(node.returns, frame)
        frame.names[node.name] = self.function(node.name, node, frame, owner)
        return _END

    def function(
        self,
        name: str,
        node: ast.FunctionDef | ast.Lambda,
        frame: Frame,
        owner: Class | None = None,
    ) -> Function:
        """A function, its defaults evaluated."""
        args = node.args
        named = [*args.posonlyargs, *args.args]
        first = len(named) - len(args.defaults)
        pairs = [
            *zip(named[first:], args.defaults, strict=True),
            *zip(args.kwonlyargs, args.kw_defaults, strict=True),
        ]
        defaults = {a.arg: self.evaluate(d, frame) for a, d in pairs if d is not None}
        closure = Frame(frame.globals) if owner is not None else frame
        return Function(name, node, defaults, local_names(node), closure, owner)

    def annotation(self, node: ast.expr | None, frame: Frame) -> None:
        """Python evaluates it, so that its names must be there."""
        for inner in ast.walk(node) if node is not None else ():
            if isinstance(inner, ast.Name) and inner.id not in TYPES:
                self.name(inner.id, frame)

    def classed(self, node: ast.ClassDef, frame: Frame) -> Any:
        """`class`: the project's own text, or a class of the file."""
        known = self.library.get(node.name)
        if known is not None and same(node, known.node):
            frame.names[node.name] = known
            return _END
        if node.decorator_list or node.keywords or len(node.bases) != 1:
            raise ProofError("a class must have one base, and no decorator")
        base = self.evaluate(node.bases[0], frame)
        kinds = ("nn.Module", "nn.Sequential", "nn.ModuleList", "nn.ModuleDict", "NamedTuple")
        if isinstance(base, Class) and base.kind != "NamedTuple":
            cls = Class(node.name, base.kind, base)
        elif isinstance(base, Native) and base.name in kinds:
            cls = Class(node.name, base.name, None)
        else:
            raise ProofError(f"a class on {shown(base)}")
        inside = Frame(frame.globals, cls.names, frame, of_class=True)
        for item in node.body:
            if isinstance(item, ast.FunctionDef):
                self.define(item, inside, cls)
            elif self.block([item], inside) is not _END:
                raise ProofError("a loop's statement in a class", item)
        if cls.kind == "NamedTuple":
            found = [item for item in node.body if isinstance(item, ast.AnnAssign)]
            cls.fields = tuple(ast.unparse(item.target) for item in found)
        frame.names[node.name] = cls
        return _END

    def store(self, target: ast.expr, value: Any, frame: Frame) -> None:
        """Bind a name, an attribute, an item, or several."""
        match target:
            case ast.Name(id=name):
                frame.names[name] = value
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                self.unpack(parts, value, frame)
            case ast.Attribute(value=inner, attr=name):
                self.set_attribute(self.evaluate(inner, frame), name, value)
            case ast.Subscript(value=inner, slice=index):
                self.set_item(self.evaluate(inner, frame), self.evaluate(index, frame), value)
            case _:
                raise ProofError("an assignment to this", target)

    def unpack(self, parts: list[ast.expr], value: Any, frame: Frame) -> None:
        """`a, *b = value`."""
        items: list[Any] = all_items(value)
        starred = [n for n, part in enumerate(parts) if isinstance(part, ast.Starred)]
        if starred:
            at, after = starred[0], len(parts) - starred[0] - 1
            if len(items) < len(parts) - 1:
                raise ProofError(f"{len(items)} values for {len(parts)} names")
            rest = len(items) - after
            items = [*items[:at], items[at:rest], *items[rest:]]
        if len(items) != len(parts):
            raise ProofError(f"{len(items)} values for {len(parts)} names")
        for part, item in zip(parts, items, strict=True):
            self.store(part.value if isinstance(part, ast.Starred) else part, item, frame)

    def set_attribute(self, owner: Any, name: str, value: Any) -> None:
        """`owner.name = value`."""
        if not isinstance(owner, Module) or owner.cls is None:
            raise ProofError(f"an attribute of {shown(owner)}")
        if isinstance(value, Module):
            owner.register(name, value)
            return
        if name in owner.children or isinstance(value, Parameter):
            raise ProofError(f"`{name}` is a module already, or a parameter")
        if name.startswith("__") or name in ("training", "forward"):
            raise ProofError(f"`{name}` is PyTorch's own")
        owner.held[name] = value

    def set_item(self, owner: Any, index: Any, value: Any) -> None:
        """`owner[index] = value`."""
        if isinstance(owner, Module) and owner.kind == "nn.ModuleDict" and type(index) is str:
            owner.register(index, as_module(value))
        elif isinstance(owner, list | dict) and type(index) in (int, str):
            owner[index] = value
        else:
            raise ProofError(f"an item of {shown(owner)}")

    # --- expressions

    def evaluate(self, node: ast.expr, frame: Frame) -> Any:
        """The value of an expression."""
        rule = EXPRESSIONS.get(type(node))
        if rule is None:
            raise ProofError(f"the expression {type(node).__name__} is not known", node)
        return rule(self, node, frame)

    def name(self, name: str, frame: Frame) -> Any:
        """What a name stands for."""
        inner: Frame | None = frame
        while inner is not None:
            if name in inner.names:
                return inner.names[name]
            if inner.function is not None and name in inner.function.local:
                raise ProofError(f"`{name}` has no value yet")
            inner = inner.outer
        if name in frame.globals:
            return frame.globals[name]
        if name in GLOBAL:
            return Native(name)
        raise ProofError(f"the name `{name}` is not defined")

    def constant(self, node: ast.Constant, frame: Frame) -> Any:
        """A number, a text, None, an ellipsis."""
        if isinstance(node.value, bytes | complex):
            raise ProofError(f"the constant {node.value!r}", node)
        return node.value

    def loaded(self, node: ast.Name, frame: Frame) -> Any:
        """A name."""
        try:
            return self.name(node.id, frame)
        except ProofError as found:
            found.place = found.place or node
            raise

    def attribute(self, node: ast.Attribute, frame: Frame) -> Any:
        """`owner.name`."""
        return self.attribute_of(self.evaluate(node.value, frame), node.attr)

    def attribute_of(self, owner: Any, name: str) -> Any:
        """An attribute of a value."""
        match owner:
            case Module():
                return self.attribute_of_module(owner, name)
            case Tensor():
                return self.attribute_of_tensor(owner, name)
            case Native(name=prefix):
                full = f"{prefix}.{name}"
                return CONSTANTS.get(full, Native(full))
            case Named(cls=cls, values=values):
                if name in cls.fields:
                    return values[cls.fields.index(name)]
            case Super(module=module, owner=cls):
                found = cls.base.find(name) if cls.base else None
                return Method(found, module) if isinstance(found, Function) else \
                    (owner, name)  # fmt: skip
            case Class() if owner.find(name) is not None:
                return owner.find(name)
            case list() | dict() | str() if (type(owner).__name__, name) in DATA_METHODS:
                return (owner, name)
        raise ProofError(f"{shown(owner)} has no attribute `{name}`")

    def attribute_of_module(self, module: Module, name: str) -> Any:
        """What the object holds, its class, a child, or what PyTorch gives it."""
        if name in module.held:
            return module.held[name]
        found = module.cls.find(name) if module.cls else None
        if found is not None:
            return Method(found, module) if isinstance(found, Function) else found
        if name in module.children:
            return module.children[name]
        if name in MODULE_METHODS:
            return (module, name)
        if module.bound is not None:
            if name == "weight" or (name == "bias" and module.weighted):
                absent = module.bound.get("affine") is False or (
                    name == "bias" and module.bound.get("bias") is False
                )
                return None if absent else Parameter(module, name)
            if name in module.bound:
                return module.bound[name]
        raise ProofError(f"{shown(module)} has no attribute `{name}`")

    def attribute_of_tensor(self, x: Tensor, name: str) -> Any:
        """The shape, or a method."""
        match name:
            case "shape":
                return views.shape_of(x)
            case "ndim":
                return len(views.shape_of(x))
        return (x, name)

    def subscript(self, node: ast.Subscript, frame: Frame) -> Any:
        """`owner[index]`."""
        owner = self.evaluate(node.value, frame)
        index = self.evaluate(node.slice, frame)
        match owner:
            case Tensor():
                return self.remember(views.indexed(self.table, owner, index), node)
            case Module():
                return owner.part(index)
            case Named(values=values):
                return values[index]
            case list() | tuple() | range() | str() | dict():
                if type(index) not in (int, slice, str):
                    raise ProofError(f"an index of {shown(index)}", node)
                return owner[index]
        raise ProofError(f"{shown(owner)} has no items", node)

    def sliced(self, node: ast.Slice, frame: Frame) -> slice:
        """`1:3`."""
        parts = (node.lower, node.upper, node.step)
        bounds = [None if part is None else self.evaluate(part, frame) for part in parts]
        if any(bound is not None and type(bound) is not int for bound in bounds):
            raise ProofError("a slice of what are not integers", node)
        return slice(*bounds)

    def sign(self, op: ast.operator) -> str:
        """How an operator is written."""
        if type(op) not in OPERATORS:
            raise ProofError(f"the operator {type(op).__name__}")
        return OPERATORS[type(op)]

    def operation(self, node: ast.BinOp, frame: Frame) -> Any:
        """`left + right`."""
        left = self.evaluate(node.left, frame)
        right = self.evaluate(node.right, frame)
        if isinstance(node.op, ast.BitOr):
            return _union(left, right)
        return self.remember(self.binary(self.sign(node.op), left, right), node)

    def binary(self, sign: str, left: Any, right: Any) -> Any:
        """The sum and the like of two values."""
        if isinstance(left, Tensor) or isinstance(right, Tensor):
            return self.functions.binary(sign, left, right)
        return arithmetic(sign, left, right)

    def unary(self, node: ast.UnaryOp, frame: Frame) -> Any:
        """`-x`, `not x`."""
        value = self.evaluate(node.operand, frame)
        if isinstance(node.op, ast.Not):
            return not self.truth(value)
        if isinstance(node.op, ast.USub) and isinstance(value, Tensor):
            return self.functions.negative(value)
        if isinstance(node.op, ast.USub | ast.UAdd) and type(value) in (int, float, bool):
            return -value if isinstance(node.op, ast.USub) else +value
        raise ProofError(f"a sign of {shown(value)}", node)

    def comparison(self, node: ast.Compare, frame: Frame) -> Any:
        """`a < b < c`."""
        left = self.evaluate(node.left, frame)
        for op, right in zip(node.ops, node.comparators, strict=True):
            value = self.evaluate(right, frame)
            if not compared(op, left, value):
                return False
            left = value
        return True

    def junction(self, node: ast.BoolOp, frame: Frame) -> Any:
        """`a and b`, which is one of them."""
        wanted = isinstance(node.op, ast.Or)
        value: Any = None
        for part in node.values:
            value = self.evaluate(part, frame)
            if self.truth(value) is wanted:
                break
        return value

    def choice(self, node: ast.IfExp, frame: Frame) -> Any:
        """`a if b else c`."""
        test = self.truth(self.evaluate(node.test, frame))
        return self.evaluate(node.body if test else node.orelse, frame)

    def truth(self, value: Any) -> bool:
        """What `if` makes of a value.  Raises ProofError: nobody knows."""
        match value:
            case Tensor() | Batch() | Once():
                raise ProofError(f"a condition on {shown(value)}")
            case Module():
                return bool(value.children) if value.kind in CONTAINERS else True
            case Named(values=values):
                return bool(values)
            case None | int() | float() | str() | list() | tuple() | dict() | range():
                return bool(value)
        return True

    def tuple_(self, node: ast.Tuple, frame: Frame) -> Any:
        """`(a, *b)`."""
        return tuple(self.several(node.elts, frame))

    def list_(self, node: ast.List, frame: Frame) -> Any:
        """`[a, *b]`."""
        return self.several(node.elts, frame)

    def several(self, nodes: Sequence[ast.expr], frame: Frame) -> list[Any]:
        """Values in order, those after a star spread out."""
        found: list[Any] = []
        for node in nodes:
            if isinstance(node, ast.Starred):
                found += all_items(self.evaluate(node.value, frame))
            else:
                found.append(self.evaluate(node, frame))
        return found

    def dictionary(self, node: ast.Dict, frame: Frame) -> Any:
        """`{a: b, **c}`."""
        found: dict[Any, Any] = {}
        for key, value in zip(node.keys, node.values, strict=True):
            if key is None:
                found.update(BUILTINS["dict"](self.evaluate(value, frame)))
            else:
                found[self.evaluate(key, frame)] = self.evaluate(value, frame)
        return found

    def comprehended(self, node: ast.ListComp, frame: Frame) -> Any:
        """`[a for b in c]`."""
        return all_items(self.generated(node, frame))

    def dictionary_of(self, node: ast.DictComp, frame: Frame) -> Any:
        """`{a: b for c in d}`."""
        pair = ast.copy_location(ast.Tuple([node.key, node.value], ast.Load()), node)
        made = ast.GeneratorExp(pair, node.generators)
        return dict(all_items(self.generated(ast.copy_location(made, node), frame)))

    def generated(self, node: ast.ListComp | ast.GeneratorExp, frame: Frame) -> Once:
        """`(a for b in c)`: only the first iterable is evaluated at once."""
        first = items_of(self.evaluate(node.generators[0].iter, frame))
        # A class's names are not seen inside, but for the first iterable.
        inside = Frame(frame.globals, {}, None if frame.of_class else frame)
        return Once(self.turns(node, 0, first, inside))

    def turns(
        self, node: ast.ListComp | ast.GeneratorExp, at: int, items: Iterator[Any], frame: Frame
    ) -> Iterator[Any]:
        """The elements that a comprehension's loops yield."""
        generator = node.generators[at]
        for item in items:
            self.count(node)
            self.store(generator.target, item, frame)
            if not all(self.truth(self.evaluate(test, frame)) for test in generator.ifs):
                continue
            if at + 1 == len(node.generators):
                yield self.evaluate(node.elt, frame)
            else:
                inner = self.evaluate(node.generators[at + 1].iter, frame)
                yield from self.turns(node, at + 1, items_of(inner), frame)

    def lambda_(self, node: ast.Lambda, frame: Frame) -> Any:
        """`lambda c: c`."""
        return self.function("lambda", node, frame)

    # --- calls

    def called(self, node: ast.Call, frame: Frame) -> Any:
        """`function(*arguments, **keywords)`."""
        self.count(node)
        try:
            function = self.evaluate(node.func, frame)
            if function == Native("super") and not node.args:
                return self.above(frame)
            arguments = self.several(node.args, frame)
            keywords: dict[str, Any] = {}
            for keyword in node.keywords:
                value = self.evaluate(keyword.value, frame)
                more = {keyword.arg: value} if keyword.arg else BUILTINS["dict"](value)
                if keywords.keys() & more.keys():
                    raise ProofError("two values for one argument")
                keywords |= more
            return self.remember(self.call(function, arguments, keywords, node), node)
        except ProofError as found:
            found.place = found.place or node
            raise
        except PYTHON_FAULTS as error:
            raise ProofError(_said(error), node) from None

    def remember(self, value: Any, node: ast.AST) -> Any:
        """The value; where it stands, if it is a tensor that the network has not."""
        if isinstance(value, Tensor) and value.number not in self.table.names:
            self.places.setdefault(value.number, node)
        return value

    def above(self, frame: Frame) -> Super:
        """`super()`."""
        inner: Frame | None = frame
        while inner is not None and inner.function is None:
            inner = inner.outer
        function = inner.function if inner is not None else None
        if inner is None or function is None or function.owner is None:
            raise ProofError("`super()` outside a method")
        assert isinstance(function.node, ast.FunctionDef)
        return Super(inner.names[function.node.args.args[0].arg], function.owner)

    def call(
        self,
        function: Any,
        arguments: Sequence[Any],
        keywords: Mapping[str, Any],
        node: ast.AST | None = None,
    ) -> Any:
        """The value of a call."""
        match function:
            case Module():
                return self.apply(function, arguments, keywords)
            case Function():
                return self.run(function, arguments, keywords)
            case Method(function=inner, module=module):
                return self.run(inner, [module, *arguments], keywords)
            case Class():
                return self.construct(function, arguments, keywords, node)
            case Partial(function=inner, arguments=first, keywords=named):
                return self.call(inner, [*first, *arguments], {**named, **keywords}, node)
            case Library():
                return self.carried(function, arguments, keywords, node)
            case Native(name=name):
                return self.native(name, arguments, keywords, node)
            case (Tensor() as x, str(name)):
                return self.method_of_tensor(x, name, arguments, keywords)
            case (Module() as module, str(name)):
                return MODULE_METHODS[name](module, *arguments, **keywords)
            case (Super(module=module), "__init__"):
                return self.initialise(module, arguments, keywords)
            case (Super(module=module), "forward"):
                return self.chain(module, arguments)
            case (list() | dict() | str() as data, str(name)):
                return DATA_METHODS[type(data).__name__, name](data, *arguments, **keywords)
        raise ProofError(f"{shown(function)} cannot be called")

    def run(
        self, function: Function, arguments: Sequence[Any], keywords: Mapping[str, Any]
    ) -> Any:
        """A function of the file."""
        names = self.bound(function, arguments, keywords)
        frame = Frame(function.closure.globals, names, function.closure, function)
        self.depth += 1
        if self.depth > DEEPEST:
            raise ProofError(f"more than {DEEPEST} calls in one another")
        try:
            if isinstance(function.node, ast.Lambda):
                return self.evaluate(function.node.body, frame)
            result = self.block(function.node.body, frame)
        finally:
            self.depth -= 1
        return None if result is _END else result

    def bound(
        self, function: Function, arguments: Sequence[Any], keywords: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The arguments of a function by their names."""
        args = function.node.args
        named = [arg.arg for arg in [*args.posonlyargs, *args.args]]
        if args.kwarg is not None:
            raise ProofError(f"`{function.name}` takes any keyword")
        names = dict(zip(named, arguments, strict=False))
        rest = tuple(arguments[len(named) :])
        if args.vararg is not None:
            names[args.vararg.arg] = rest
        elif rest:
            raise ProofError(f"`{function.name}` takes {len(named)} arguments")
        for name, value in keywords.items():
            if name in names or name not in [*named, *(arg.arg for arg in args.kwonlyargs)]:
                raise ProofError(f"`{function.name}` takes no such argument `{name}`")
            names[name] = value
        for name in [*named, *(arg.arg for arg in args.kwonlyargs)]:
            if name not in names:
                if name not in function.defaults:
                    raise ProofError(f"`{function.name}` needs the argument `{name}`")
                names[name] = function.defaults[name]
        return names

    def native(
        self,
        name: str,
        arguments: Sequence[Any],
        keywords: Mapping[str, Any],
        node: ast.AST | None,
    ) -> Any:
        """A function or a class of PyTorch's or Python's."""
        if name in CONTAINERS:
            module = Module(name, node)
            self.fill(module, arguments, keywords)
            return module
        if name.startswith("nn.init."):
            return self.initialised(name, arguments)
        if name.startswith("nn."):
            return self.leaf(name, arguments, keywords, node)
        if name in BUILTINS:
            return BUILTINS[name](*arguments, **keywords)
        match name:
            case "sum":
                return self.total(*arguments)
            case "any" | "all":
                wanted = name == "any"
                found = any(self.truth(item) is wanted for item in items_of(*arguments))
                return found is wanted
            case "isinstance":
                return _instance(*arguments)
            case "partial":
                function, *first = arguments
                return Partial(function, tuple(first), dict(keywords))
            case "bool":
                return self.truth(*arguments)
        return self.functions.call(name, arguments, keywords)

    def total(self, values: Any, start: Any = 0) -> Any:
        """`sum(values)`; nothing is added to the first tensor."""
        result = start
        for value in items_of(values):
            first = type(result) is int and result == 0 and isinstance(value, Tensor)
            result = value if first else self.binary("+", result, value)
        return result

    def method_of_tensor(
        self, x: Tensor, name: str, arguments: Sequence[Any], keywords: Mapping[str, Any]
    ) -> Any:
        """A method of a tensor."""
        match name:
            case "dim":
                return len(views.shape_of(x))
            case "size":
                shape = views.shape_of(x)
                return shape[arguments[0]] if arguments else shape
            case "contiguous" | "to" if not arguments and set(keywords) <= {"memory_format"}:
                if all(_is_layout(value) for value in keywords.values()):
                    return views.contiguous(self.table, x, keywords.get("memory_format"))
        if not self.functions.knows(f".{name}"):
            raise ProofError(f"a tensor's method `{name}` is not known")
        return self.functions.call(f".{name}", [x, *arguments], keywords)

    def carried(
        self,
        known: Library,
        arguments: Sequence[Any],
        keywords: Mapping[str, Any],
        node: ast.AST | None,
    ) -> Any:
        """A function or class that the project gives."""
        if known.is_class:
            return self.leaf(known.name, arguments, keywords, node)
        assert known.signature is not None
        bound = known.signature.bind(arguments, keywords)
        term = self.functions.term(known.name, [], self.said(known.signature, bound))
        return self.table.values(self.table.tensor(term))

    def said(self, signature: Any, bound: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments that are not at their defaults."""
        defaults = {name: default for name, (_, default) in signature.parameters.items()}
        return {n: v for n, v in bound.items() if v is not None or defaults[n] is not None}

    # --- modules

    def construct(
        self,
        cls: Class,
        arguments: Sequence[Any],
        keywords: Mapping[str, Any],
        node: ast.AST | None = None,
    ) -> Any:
        """An object of a class of the file."""
        if cls.kind == "NamedTuple":
            given = dict(zip(cls.fields, arguments, strict=False))
            wrong = len(arguments) > len(cls.fields) or given.keys() & keywords.keys()
            names = {**cls.names, **given, **keywords}
            if wrong or keywords.keys() - set(cls.fields) or set(cls.fields) - names.keys():
                raise ProofError(f"`{cls.name}` has the fields {', '.join(cls.fields)}")
            return Named(cls, tuple(names[name] for name in cls.fields))
        module = Module(cls.kind, node, cls)
        found = cls.find("__init__")
        if found is None:
            self.initialise(module, arguments, keywords)
        else:
            self.run(found, [module, *arguments], keywords)
        return module

    def initialise(
        self, module: Module, arguments: Sequence[Any], keywords: Mapping[str, Any]
    ) -> None:
        """`super().__init__(…)` of one of PyTorch's classes."""
        module.initialised = True
        if module.kind == "nn.Module":
            if arguments or keywords:
                raise ProofError("`nn.Module` takes no arguments")
            return
        self.fill(module, arguments, keywords)

    def fill(
        self, module: Module, arguments: Sequence[Any], keywords: Mapping[str, Any]
    ) -> None:
        """The children that a container is made of."""
        if keywords:
            raise ProofError(f"{module.kind} takes no keywords")
        given: Any = list(arguments)
        if module.kind != "nn.Sequential":
            if len(given) > 1:
                raise ProofError(f"{module.kind} takes one argument")
            given = given[0] if given else []
        elif len(given) == 1 and isinstance(given[0], dict):
            (given,) = given
        if isinstance(given, dict):
            for name, child in given.items():
                module.register(name, as_module(child))
        elif module.kind == "nn.ModuleDict" and given:
            for name, child in map(tuple, items_of(given)):
                module.register(name, as_module(child))
        else:
            module.fill([as_module(child) for child in all_items(given)])

    def leaf(
        self,
        name: str,
        arguments: Sequence[Any],
        keywords: Mapping[str, Any],
        node: ast.AST | None = None,
    ) -> Module:
        """A module of PyTorch's, or of the project's own."""
        known = self.library.get(name)
        module = Module(name, node)
        short = family(name)
        if known is not None:
            found = known.signature or signature(known.base)
            module.weighted, module.random = known.weighted, known.random
        else:
            found = signature(one_name(name)) if short not in SIGNATURES else signature(name)
            module.weighted = short in WEIGHTED or name in self.owned
            module.random = short in RANDOM
        if name == "nn.Identity":
            module.bound = {}
        elif found is None and name in self.functions.learned:
            module.bound = dict(keywords) | {f"#{n}": v for n, v in enumerate(arguments)}
            module.attributes = self.functions.term(name, arguments, keywords).attributes
        elif found is None:
            raise ProofError(f"`{name}` is not known to the proof")
        else:
            module.bound = found.bind(arguments, keywords)
            module.attributes = found.attributes(module.bound) if known is None else (
                self.functions.term(name, [], self.said(found, module.bound)).attributes
            )  # fmt: skip
        return module

    def apply(
        self, module: Module, arguments: Sequence[Any], keywords: Mapping[str, Any]
    ) -> Any:
        """A module of some tensors."""
        if not module.initialised:
            raise ProofError(f"{module.name} does not call `super().__init__()`")
        module.called = True
        if module.bound is not None:
            return self.applied(module, arguments, keywords)
        forward = module.cls.find("forward") if module.cls else None
        if isinstance(forward, Function):
            return self.run(forward, [module, *arguments], keywords)
        if keywords:
            raise ProofError(f"{module.name} takes no keywords")
        return self.chain(module, arguments)

    def chain(self, module: Module, arguments: Sequence[Any]) -> Any:
        """An `nn.Sequential`: one after another."""
        if module.kind != "nn.Sequential" or len(arguments) != 1:
            raise ProofError(f"{shown(module)} cannot be called with {len(arguments)} values")
        (value,) = arguments
        for child in module.children.values():
            value = self.apply(child, [value], {})
            if child.place is not None:
                self.remember(value, child.place)
        return value

    def applied(
        self, module: Module, arguments: Sequence[Any], keywords: Mapping[str, Any]
    ) -> Any:
        """A leaf of some tensors: a term."""
        assert module.bound is not None
        if module.path is None:
            raise ProofError(f"{shown(module)} is not registered in the model")
        known = self.library.get(module.kind)
        if known is not None and known.forward is not None:
            bound = known.forward.bind(arguments, keywords)
            arguments = [value for value in bound.values() if value is not None]
        elif keywords:
            raise ProofError(f"{module.kind} takes no keywords")
        if not arguments or not all(isinstance(value, Tensor) for value in arguments):
            raise ProofError(f"{module.kind} of {', '.join(map(shown, arguments))}")
        if known is None and len(arguments) > 1 and module.kind not in self.functions.learned:
            raise ProofError(f"{module.kind} takes one tensor")
        if module.weighted or module.random or known is not None:
            return self.layer(module, arguments)
        return self.stateless(module, arguments)

    def stateless(self, module: Module, arguments: Sequence[Tensor]) -> Any:
        """A module without weights: the function of the same name."""
        assert module.bound is not None
        (x, *_), bound = arguments, module.bound
        match family(module.kind):
            case "nn.Identity":
                return x
            case "nn.Flatten":
                return views.flatten(self.table, x, **bound)
            case "nn.Unflatten":
                return views.unflatten(self.table, x, bound["dim"], bound["unflattened_size"])
            case "nn.ZeroPad":
                rank = int(module.kind[-2])
                if len(bound["padding"]) != 2 * rank:
                    raise ProofError(f"{module.kind} needs {2 * rank} sides")
                return self.functions.of_input("F.pad", x, [bound["padding"]], {})
        if module.kind in self.functions.learned:
            numbers = tuple(map(read, arguments))
            return self.table.tensor(Term(module.kind, module.attributes, numbers))
        inplace = bound.get("inplace") is True
        return self.functions.applied(one_name(module.kind), module.attributes, x, inplace)

    def layer(self, module: Module, arguments: Sequence[Tensor]) -> Any:
        """A module with weights, or with a behaviour of its own in training."""
        assert module.bound is not None
        operands = tuple(map(read, arguments))
        key = module.path if module.weighted else None
        term = Term(module.kind, module.attributes, operands, key)
        if module.random:
            self.table.drawn[term] += 1
            draw = ("draw", self.table.drawn[term])
            term = Term(module.kind, (*module.attributes, draw), operands, key)
        if module.weighted:
            self.check_layer(term)
            self.table.calls[term] -= 1
        found = self.table.tensor(term)
        if module.random:
            found = Tensor(
                found.number, found.shape or arguments[0].shape, arguments[0].storage
            )
        if module.bound.get("inplace") is True:
            return overwritten(arguments[0], found, module.kind)
        return self.table.values(found)

    def check_layer(self, term: Term) -> None:
        """Raises ProofError: the network has no such layer, and here is what it has."""
        table = self.table
        if not table.closed or term in table.layers:
            return
        said = f"`{term.key}` is {spell_call(term.head, term.attributes)}"
        of = table.several(term.operands)
        for wanted in table.layers:
            if wanted.key == term.key:
                has = spell_call(wanted.head, wanted.attributes)
                raise ProofError(
                    f"{said} of {of}; the network has {has} of {table.several(wanted.operands)}"
                )
        for wanted in table.layers:
            parts = (wanted.head, wanted.attributes, wanted.operands)
            if parts == (term.head, term.attributes, term.operands):
                raise ProofError(f"{said} of {of}; its key is `{wanted.key}` in the network")
        raise ProofError(f"{said} of {of}; the network has no such layer")

    def initialised(self, name: str, arguments: Sequence[Any]) -> None:
        """`nn.init.zeros_(module.bias)`: what a weight begins with is not a term."""
        if not arguments or not isinstance(arguments[0], Parameter):
            raise ProofError(f"`{name}` of what is not a parameter")


def _said(error: BaseException) -> str:
    """What Python would say."""
    return f"{type(error).__name__}: {error}"


def _is_layout(value: object) -> bool:
    return isinstance(value, Native) and value.name in LAYOUTS


def _union(left: Any, right: Any) -> tuple[Any, ...]:
    """`nn.Conv2d | nn.Linear`."""
    found = [*(left if isinstance(left, tuple) else (left,)), right]
    if not all(isinstance(one, Native | Class | Library) for one in found):
        raise ProofError("`|` of what are not classes")
    return tuple(found)


def _instance(value: Any, kinds: Any) -> bool:
    """`isinstance(value, kinds)`."""
    return any(_one_instance(value, kind) for kind in _classes(kinds))


def _classes(kinds: Any) -> Iterator[Any]:
    for kind in kinds if isinstance(kinds, tuple) else (kinds,):
        yield from _classes(kind) if isinstance(kind, tuple) else (kind,)


def _one_instance(value: Any, kind: Any) -> bool:
    match kind:
        case Native(name=name) if name in TYPES:
            return isinstance(value, TYPES[name])
        case Native(name="Tensor" | "torch.Tensor"):
            return isinstance(value, Tensor)
        case Native(name="nn.Module"):
            return isinstance(value, Module)
        case Native(name=name) if name in CONTAINERS or family(name) in SIGNATURES:
            return isinstance(value, Module) and value.kind == name
        case Class():
            return isinstance(value, Module) and value.cls is not None and (
                kind in list(value.cls.lineage())
            )  # fmt: skip
        case Library(name=name):
            return isinstance(value, Module) and value.kind == name
    raise ProofError(f"`isinstance` of {shown(kind)}")


Rule = Callable[[Machine, Any, Frame], Any]
STATEMENTS: dict[type[ast.stmt], Rule] = {
    ast.Assign: Machine.assign,
    ast.AnnAssign: Machine.annotated,
    ast.AugAssign: Machine.augmented,
    ast.Expr: Machine.expression,
    ast.If: Machine.condition,
    ast.For: Machine.loop,
    ast.Return: Machine.returned,
    ast.Assert: Machine.checked,
    ast.Import: Machine.imported,
    ast.ImportFrom: Machine.imported_from,
    ast.FunctionDef: Machine.define,
    ast.ClassDef: Machine.classed,
    ast.Pass: lambda machine, node, frame: _END,
    ast.Break: lambda machine, node, frame: _BREAK,
    ast.Continue: lambda machine, node, frame: _CONTINUE,
}
EXPRESSIONS: dict[type[ast.AST], Rule] = {
    ast.Constant: Machine.constant,
    ast.Name: Machine.loaded,
    ast.Attribute: Machine.attribute,
    ast.Call: Machine.called,
    ast.BinOp: Machine.operation,
    ast.UnaryOp: Machine.unary,
    ast.Compare: Machine.comparison,
    ast.BoolOp: Machine.junction,
    ast.IfExp: Machine.choice,
    ast.Tuple: Machine.tuple_,
    ast.List: Machine.list_,
    ast.Dict: Machine.dictionary,
    ast.Subscript: Machine.subscript,
    ast.Slice: Machine.sliced,
    ast.ListComp: Machine.comprehended,
    ast.GeneratorExp: Machine.generated,
    ast.DictComp: Machine.dictionary_of,
    ast.Lambda: Machine.lambda_,
}


def _modules(module: Module) -> Once:
    """`self.modules()`: each once."""
    return Once(iter(list({id(one): one for _, one in module.below()}.values())))


def _same_module(module: Module, **keywords: Any) -> Module:
    """`self.to(memory_format=…)`, `self.eval()`: the module."""
    if not all(map(_is_layout, keywords.values())):
        raise ProofError("a module's conversion")
    return module


def _extended(module: Module, more: Any) -> Module:
    for child in all_items(more):
        module.append(child)
    return module


def _added(module: Module, name: str, child: Any) -> None:
    module.register(name, as_module(child))


MODULE_METHODS: dict[str, Callable[..., Any]] = {
    "modules": _modules,
    "children": lambda module: Once(iter(list(module.children.values()))),
    "to": _same_module,
    "eval": _same_module,
    "add_module": _added,
    "register_module": _added,
    "append": Module.append,
    "extend": _extended,
    "insert": Module.insert,
    "keys": lambda module: list(module.children),
    "values": lambda module: list(module.children.values()),
    "items": lambda module: list(module.children.items()),
}
DATA_METHODS: dict[tuple[str, str], Callable[..., Any]] = {
    ("list", "append"): list.append,
    ("list", "extend"): lambda data, more: data.extend(all_items(more)),
    ("list", "insert"): list.insert,
    ("list", "pop"): list.pop,
    ("list", "index"): lambda data, value: [id(x) for x in data].index(id(value)),
    ("dict", "items"): lambda data: list(data.items()),
    ("dict", "keys"): list,
    ("dict", "values"): lambda data: list(data.values()),
    ("dict", "get"): dict.get,
    ("dict", "update"): lambda data, more: data.update(BUILTINS["dict"](more)),
}
del length
