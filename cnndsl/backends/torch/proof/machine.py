"""An evaluator of the Python that a model is written in, over symbolic tensors.

Numbers, lists and modules are exact, a tensor is a term, the batch's size stays a symbol.
What is not known here is refused, and every run is bounded. Nothing is executed.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Any

from cnndsl.backends.torch.proof import views
from cnndsl.backends.torch.proof.builtins import (
    BUILTINS,
    CONSTANTS,
    PYTHON_FAULTS,
    TYPES,
    all_items,
    arithmetic,
    items_of,
    shown,
)
from cnndsl.backends.torch.proof.faults import ProofError
from cnndsl.backends.torch.proof.layers import Layers, said_of
from cnndsl.backends.torch.proof.library import Library
from cnndsl.backends.torch.proof.methods import (
    DATA_METHODS,
    MODULE_METHODS,
    is_one,
    kinds_of,
    layout,
)
from cnndsl.backends.torch.proof.modules import CONTAINERS, Class, Module
from cnndsl.backends.torch.proof.tensors import Functions
from cnndsl.backends.torch.proof.terms import Batch, Numbering, Tensor
from cnndsl.backends.torch.proof.values import (
    Frame,
    Function,
    Method,
    Named,
    Native,
    Once,
    Parameter,
    Partial,
    Super,
)
from cnndsl.diagnostics import OpError
from cnndsl.ops.initial import INITS
from cnndsl.ops.values import initial
from cnndsl.records import Record, record

GLOBAL = {*BUILTINS, *TYPES, "sum", "isinstance", "super", "any", "all", "type"}
GLOBAL -= {"OrderedDict"}
"""The names that Python has without an import."""
CONVERSIONS = {f"nn.utils.convert_conv{n}d_weight_memory_format" for n in (2, 3)}
IMPORTED = ("torch", "nn", "F", "library", "Sequence")
"""What the project's own text may take from a file's imports."""
DEEPEST = 500
"""The calls in one another."""
END, BREAK, CONTINUE = object(), object(), object()
"""How a block of statements ends where it returns nothing."""

Rule = Callable[["Machine", Any, Frame], Any]
"""What a statement or an expression does."""


@record(frozen=False)
class Machine(Record):
    """The state of a run: its tables, its rules, its bounds."""

    table: Numbering
    functions: Functions
    layers: Layers
    rules: dict[type[ast.AST], Rule]
    limit: int
    steps: int = 0
    depth: int = 0
    running: bool = False
    """Whether `forward` runs, in which nothing that outlives it may change."""
    closed: set[int] = field(default_factory=set)
    """The lists and dictionaries that outlive `forward`."""
    globals: dict[str, Any] = field(default_factory=dict)
    places: dict[int, ast.AST] = field(default_factory=dict)
    """Where the file computes a term that the network has not."""

    def load(self, tree: ast.Module) -> None:
        """Define the names of a file."""
        self.block(tree.body, Frame(self.globals, self.globals))

    def block(self, body: Sequence[ast.stmt], frame: Frame) -> Any:
        """Run statements; what they return, or how they end."""
        for statement in body:
            self.count(statement)
            rule = self.rules.get(type(statement))
            if rule is None:
                kind = type(statement).__name__
                raise ProofError(f"the statement {kind} is not known", statement)
            try:
                result = rule(self, statement, frame)
            except ProofError as found:
                found.place = found.place or statement
                raise
            except PYTHON_FAULTS as error:
                raise ProofError(python_says(error), statement) from None
            if result is not END:
                return result
        return END

    def count(self, node: ast.AST) -> None:
        """One step more.  Raises ProofError: too many."""
        self.steps += 1
        if self.steps > self.limit:
            raise ProofError(f"the file runs for more than {self.limit} steps", node)

    def evaluate(self, node: ast.expr, frame: Frame) -> Any:
        """The value of an expression."""
        rule = self.rules.get(type(node))
        if rule is None:
            raise ProofError(f"the expression {type(node).__name__} is not known", node)
        return rule(self, node, frame)

    def several(self, nodes: Sequence[ast.expr], frame: Frame) -> list[Any]:
        """Values in order, those after a star spread out."""
        found: list[Any] = []
        for node in nodes:
            if isinstance(node, ast.Starred):
                found += all_items(self.evaluate(node.value, frame))
            else:
                found.append(self.evaluate(node, frame))
        return found

    def name(self, name: str, frame: Frame) -> Any:
        """What a name stands for.  Raises ProofError: nothing, or nothing yet."""
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

    def truth(self, value: Any) -> bool:
        """What `if` makes of a value.  Raises ProofError: nobody knows."""
        match value:
            case bool():
                return value
            case Tensor() | Batch() | Once():
                raise ProofError(f"a condition on {shown(value)}")
            case Module():
                return bool(value.children) if value.kind in CONTAINERS else True
            case Named(values=values):
                return bool(values)
            case None | int() | float() | str() | list() | tuple() | dict() | range():
                return bool(value)
        return True

    def binary(self, sign: str, left: Any, right: Any) -> Any:
        """The sum and the like of two values."""
        if isinstance(left, Tensor) or isinstance(right, Tensor):
            return self.functions.binary(sign, left, right)
        return arithmetic(sign, left, right)

    def remember(self, value: Any, node: ast.AST) -> Any:
        """The value; where it stands, if it is a tensor that the network has not."""
        if isinstance(value, Tensor) and value.number not in self.table.names:
            self.places.setdefault(value.number, node)
        return value

    def check_open(self, value: Any) -> None:
        """Raises ProofError: `forward` would change what outlives it."""
        if self.running and (isinstance(value, Module) or id(value) in self.closed):
            raise ProofError("`forward` changes what the next one reads")

    def close(self, *values: Any) -> None:
        """From here on, `forward` runs: it may change its own values only."""
        self.running = True
        stack = [*values, self.globals]
        while stack:
            value = stack.pop()
            if id(value) in self.closed:
                continue
            match value:
                case Module():
                    self.closed.add(id(value))
                    stack += [value.held, value.cls, *value.children.values()]
                case Class(names=names, base=base):
                    self.closed.add(id(value))
                    stack += [names, base]
                case Function(defaults=defaults):
                    stack.append(defaults)
                case Partial(arguments=arguments, keywords=keywords):
                    stack += [arguments, keywords]
                case Named(values=values):
                    stack.append(values)
                case Once():
                    raise ProofError("an iterator is kept that only the first call can read")
                case dict():
                    self.closed.add(id(value))
                    stack += value.values()
                case list() | tuple():
                    self.closed.add(id(value))
                    stack += value

    # --- attributes

    def attribute(self, owner: Any, name: str) -> Any:
        """`owner.name`; a method that the proof knows is a pair of both."""
        match owner:
            case Module():
                return self._attribute_of_module(owner, name)
            case Tensor():
                if name == "shape":
                    return views.shape_of(owner)
                return len(views.shape_of(owner)) if name == "ndim" else (owner, name)
            case Native(name=prefix):
                full = f"{prefix}.{name}"
                return CONSTANTS.get(full, Native(full))
            case Named(cls=cls, values=values) if name in cls.fields:
                return values[cls.fields.index(name)]
            case Parameter() if name.endswith("_") and not name.startswith("_"):
                return (owner, name)
            case Super(module=module, owner=cls):
                found = cls.base.find(name) if cls.base else None
                return (owner, name) if found is None else Method(found, module)
            case Class() if owner.find(name) is not None:
                return owner.find(name)
            case list() | dict() if (type(owner).__name__, name) in DATA_METHODS:
                return (owner, name)
        raise ProofError(f"{shown(owner)} has no attribute `{name}`")

    def _attribute_of_module(self, module: Module, name: str) -> Any:
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
        bound = module.bound or {}
        if module.weighted and name in ("weight", "bias"):
            absent = bound.get("affine") is False or (name, bound.get("bias")) == (
                "bias",
                False,
            )
            return None if absent else Parameter(module, name)
        if name in bound and not name.startswith("#"):
            return bound[name]
        raise ProofError(f"{shown(module)} has no attribute `{name}`")

    # --- calls

    def call(
        self,
        called: Any,
        arguments: Sequence[Any],
        keywords: Mapping[str, Any],
        node: ast.AST | None = None,
    ) -> Any:
        """The value of a call."""
        match called:
            case Module():
                return self.apply(called, arguments, keywords)
            case Native(name=name):
                return self.native(name, arguments, keywords, node)
            case Method(function=function, module=module):
                return self.run(function, [module, *arguments], keywords)
            case Function():
                return self.run(called, arguments, keywords)
            case Class():
                return self.construct(called, arguments, keywords, node)
            case Partial(function=function, arguments=first, keywords=named):
                return self.call(function, [*first, *arguments], {**named, **keywords}, node)
            case Library():
                return self.carried(called, arguments, keywords, node)
            case (Tensor() as x, str(name)):
                return self._method_of_tensor(x, name, arguments, keywords)
            case (Module() as module, str(name)):
                if name not in (
                    "modules",
                    "children",
                    "keys",
                    "values",
                    "items",
                    "named_parameters",
                ):
                    self.check_open(module)
                return MODULE_METHODS[name](module, *arguments, **keywords)
            case (Parameter() as weight, str(name)):
                return self.initialise(name, [weight, *arguments], keywords)
            case (Super(module=module), "__init__"):
                module.initialised = True
                if module.kind != "nn.Module":
                    self.layers.fill(module, arguments, keywords)
                elif arguments or keywords:
                    raise ProofError("`nn.Module` takes no arguments")
                return None
            case (Super(module=module), "forward"):
                return self.chain(module, arguments)
            case (list() | dict() as data, str(name)):
                if name in ("append", "extend", "insert", "pop", "update"):
                    self.check_open(data)
                return DATA_METHODS[type(data).__name__, name](data, *arguments, **keywords)
        raise ProofError(f"{shown(called)} cannot be called")

    def run(
        self, function: Function, arguments: Sequence[Any], keywords: Mapping[str, Any]
    ) -> Any:
        """A function of the file; what it makes of weights alone is no term."""
        if any(isinstance(value, Parameter) for value in arguments) and not keywords:
            return self.initialise(function.name, arguments, {})
        names = function.bind(arguments, keywords)
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
        return None if result is END else result

    def native(
        self,
        name: str,
        arguments: Sequence[Any],
        keywords: Mapping[str, Any],
        node: ast.AST | None = None,
    ) -> Any:
        """A function or a class of PyTorch's or Python's."""
        if name in BUILTINS:
            return BUILTINS[name](*arguments, **keywords)
        if name.startswith("nn."):
            if name in CONTAINERS:
                module = Module(name, node)
                self.layers.fill(module, arguments, keywords)
                return module
            if name.startswith("nn.init."):
                return self.initialise(name, arguments, keywords)
            if name in CONVERSIONS:
                return self.relaid(*arguments)
            return self.layers.leaf(name, arguments, keywords, node)
        match name:
            case "sum":
                return self._sum(*arguments, **keywords)
            case "any" | "all":
                wanted = name == "any"
                return any(self.truth(x) is wanted for x in items_of(*arguments)) is wanted
            case "isinstance":
                value, kinds = arguments
                return any(is_one(value, kind) for kind in kinds_of(kinds))
            case "partial":
                called, *first = arguments
                return Partial(called, tuple(first), dict(keywords))
            case "bool":
                return self.truth(*arguments)
        return self.functions.call(name, arguments, keywords)

    def _sum(self, values: Any, start: Any = 0) -> Any:
        """`sum(values)`; nothing is added to the first tensor."""
        result = start
        for value in items_of(values):
            first = type(result) is int and result == 0 and isinstance(value, Tensor)
            result = value if first else self.binary("+", result, value)
        return result

    def initialise(
        self, name: str, arguments: Sequence[Any], keywords: Mapping[str, Any]
    ) -> None:
        """`nn.init.zeros_(module.bias)`: what a weight begins with from here on."""
        weight, *others = arguments
        if not isinstance(weight, Parameter) or self.running:
            raise ProofError(f"`{name}` of what is not a parameter")
        bare = name.removeprefix("nn.init.").removesuffix("_")
        bare = {"fill": "constant", "zero": "zeros"}.get(bare, bare)
        cls = INITS.get(bare)
        if cls is None or bare == name or len(others) > len(cls.parameters):
            weight.module.begun[weight.name] = name
            return
        order = cls.order or tuple(parameter.name for parameter in cls.parameters)
        try:
            begun = initial(cls, {**dict(zip(order, others, strict=False)), **keywords}).plain
        except OpError as error:
            raise ProofError(f"`{name}`: {error.message}") from None
        weight.module.begun[weight.name] = begun

    def relaid(self, module: Any, memory_format: object) -> Any:
        """A module whose weights have another layout."""
        layout(memory_format)
        if not isinstance(module, Module) or self.running:
            raise ProofError("a conversion of what is not a module")
        return module

    def union(self, left: Any, right: Any) -> tuple[Any, ...]:
        """`nn.Conv2d | nn.Linear`."""
        found = (*kinds_of(left), *kinds_of(right))
        if not all(isinstance(one, Native | Class | Library) for one in found):
            raise ProofError("`|` of what are not classes")
        return found

    def _method_of_tensor(
        self, x: Tensor, name: str, arguments: Sequence[Any], keywords: Mapping[str, Any]
    ) -> Any:
        """A method of a tensor."""
        if name == "dim" and not arguments:
            return len(views.shape_of(x))
        if name == "size":
            return views.shape_of(x)[arguments[0]] if arguments else views.shape_of(x)
        if (
            name in ("contiguous", "to")
            and not arguments
            and set(keywords) <= {"memory_format"}
        ):
            return views.contiguous(self.table, x, layout(*arguments, **keywords))
        return self.functions.call(f".{name}", [x, *arguments], keywords)

    def carried(
        self,
        known: Library,
        arguments: Sequence[Any],
        keywords: Mapping[str, Any],
        node: ast.AST | None = None,
    ) -> Any:
        """A function or class that the project gives."""
        if self.table.closed:
            self._check_names(known)
        if arguments and isinstance(arguments[0], Parameter):
            return self.initialise(known.name, arguments, keywords)
        if known.is_class:
            return self.layers.leaf(known.name, arguments, keywords, node)
        assert known.signature is not None
        bound = known.signature.bind(arguments, keywords)
        term = self.functions.term(known.name, [], said_of(known.signature, bound))
        return self.table.values(self.table.tensor(term))

    def _check_names(self, known: Library) -> None:
        """Raises ProofError: in this file its text would mean something else."""
        for name in known.names:
            wanted = self.layers.library.get(name) or Native(name)
            if name in self.layers.library or name in IMPORTED:
                if self.globals.get(name) != wanted:
                    raise ProofError(f"`{known.name}` needs `{name}`")
            elif name in self.globals and name != "Tensor":
                raise ProofError(f"`{name}` is not what `{known.name}` means")

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
            twice = len(arguments) > len(cls.fields) or given.keys() & keywords.keys()
            names = {**cls.names, **given, **keywords}
            if twice or keywords.keys() - set(cls.fields) or set(cls.fields) - names.keys():
                raise ProofError(f"`{cls.name}` has the fields {', '.join(cls.fields)}")
            return Named(cls, tuple(names[name] for name in cls.fields))
        module = Module(cls.kind, node, cls)
        found = cls.find("__init__")
        if isinstance(found, Function):
            if self.run(found, [module, *arguments], keywords) is not None:
                raise ProofError("a constructor returns a value")
        else:
            self.call((Super(module, cls), "__init__"), arguments, keywords)
        return module

    def apply(
        self, module: Module, arguments: Sequence[Any], keywords: Mapping[str, Any]
    ) -> Any:
        """A module of some values."""
        module.called = True
        if module.bound is not None:
            return self.layers.apply(module, arguments, keywords)
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


def python_says(error: BaseException) -> str:
    """What Python would say."""
    return f"{type(error).__name__}: {error}"
