"""Classes: a block's constructor, `forward`, and their arguments."""

from __future__ import annotations

import ast
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence

from cnndsl.backends.torch import file, python, recursive, steps
from cnndsl.backends.torch.expressions import ROUND8, literal, translate
from cnndsl.backends.torch.general import compact
from cnndsl.backends.torch.names import Names, identifier
from cnndsl.backends.torch.parameters import Parameters, is_cube
from cnndsl.backends.torch.tidy import live, reusing, tidy
from cnndsl.backends.torch.unit import Layer, Unit
from cnndsl.backends.torch.walk.arguments import sized
from cnndsl.backends.torch.walk.parts import Together, family_of
from cnndsl.language import tree
from cnndsl.language.modules import about
from cnndsl.language.names import BlockDefinition, OpRef

MANY = 8
"""Results whose types fit on a line."""


class Classes(Parameters, ABC):
    """Classes of blocks, from what the walk found."""

    names: Names

    @abstractmethod
    def help(self, text: str) -> None:
        """Definitions that the file needs."""

    def finish(self, unit: Unit) -> None:
        """The class."""
        definition = unit.definition
        model = definition is self.model
        unit.name = unit.name or self.name(definition)
        tensor = python.name("Tensor")
        value, kind = self.result(unit)
        ports = []
        for family, one in unit.ports.items():
            name = "x" if family == "in" else identifier(family)
            listed = python.item(python.name("list"), tensor)
            ports.append((name, listed if isinstance(one, list) else tensor, None))
        together = Together(unit.lengths)
        unit.fwd = [together.visit(python.clone(node)) for node in unit.fwd]
        body = tidy([*unit.fwd, ast.Return(value)], [name for name, _, _ in ports])
        forward = file.function("forward", file.arguments(ports), body, kind)
        unit.init = compact(reusing(needed(unit, body)))
        used = recursive.read(unit, unit.init)
        unit.init = [*refusals([*unlisted(unit), *unit.refused], used), *unit.init]
        self.sign(unit, used, model)
        recursive.shorten(unit)
        if "round8" in used:
            self.help(ROUND8)
        signature = file.arguments(unit.signature)
        names = {one.arg for one in (*signature.args, *forward.args.args)}
        for node in (*unit.init, forward):
            names |= python.names_in(node)
        names |= self.names.taken | {site.name for site in definition.modules.sites.values()}
        doc = file.described(about(definition), names)
        if model:
            taken = {unit.arguments.get(name, "") for name, _, _ in unit.signature}
            unsaid = {*self.networks[0].arguments} if definition.apart else taken
            doc += file.settings(self.networks[0], unsaid)
        unit.cls = file.module_class(unit.name, doc, unit.init, signature, forward)

    def result(self, unit: Unit) -> tuple[ast.expr, ast.expr]:
        """What `forward` returns at its end, and its type."""
        tensor = python.name("Tensor")
        results = [t.run for _, t in unit.outputs if t is not None]
        nothing = absent(unit.fwd)
        optional = [
            len([i for i in unit.instances if name in i.block.outputs]) < len(unit.instances)
            and (t is None or bool(nothing & python.names_in(t.run)))
            for name, t in unit.outputs
        ]
        model = unit.definition is self.model
        before = alone(unit.fwd, results, optional) if model else None
        if before is not None:
            unit.fwd, optional = before, [False for _ in optional]
        kinds: list[ast.expr] = [
            ast.BinOp(tensor, ast.BitOr(), python.constant(None)) if off else tensor
            for off in optional
        ]
        results += [t.run for t in unit.extras]
        kinds += [tensor for _ in unit.extras]
        unit.results = None
        value: ast.expr
        kind: ast.expr
        whole = family_of(results)
        declared = unit.definition.declaration.outputs or ()
        if whole is not None and not model and len(declared) == 1 and declared[0].many:
            unit.listed = True
            value, kind = whole, python.item(python.name("list"), tensor)
        elif len(results) == 1:
            value, kind = results[0], kinds[0]
        elif model:
            name = f"{unit.name}Output"
            fields = file.fields(name for name, _ in unit.outputs)
            unit.results = file.named_tuple(name, list(zip(fields, kinds, strict=True)))
            value, kind = python.call(name, *results), python.name(name)
            if before is not None:
                kind = ast.BinOp(tensor, ast.BitOr(), kind)
        else:
            value = ast.Tuple(results, ast.Load())
            kind = python.item(python.name("tuple"), *kinds)
            if len(kinds) > MANY and not any(optional):
                kind = python.item(python.name("tuple"), tensor, python.constant(...))
        return value, kind

    def name(self, definition: BlockDefinition) -> str:
        """A new class's name."""
        if definition is self.model:
            return identifier(self.networks[0].name)
        return self.names.variable(definition.name)

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
                if known is not None and known[1] == meaning.takes:
                    default = lazily(*known)
            return kind, default
        plain = [python.plain(v) for v in values]
        kind = kind_of(
            [
                v[0]
                if isinstance(v, tuple)
                and v
                and is_cube(v)
                and param.type.name == "size"
                and param.name not in unit.wide
                else v
                for v in plain
            ],
            param,
        )
        if param.name in unit.wide:
            sizes = ", ".join(["int"] * unit.wide[param.name])
            kind = ast.parse(f"tuple[{sizes}]", mode="eval").body
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


def absent(body: Sequence[ast.stmt]) -> set[str]:
    """The names that a branch gives no tensor."""
    found: set[str] = set()
    for statement in body:
        for node in ast.walk(statement):
            match node:
                case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=None)):
                    found.add(name)
    return found


def alone(
    body: Sequence[ast.stmt], results: Sequence[ast.expr], optional: Sequence[bool]
) -> list[ast.stmt] | None:
    """A `forward` that returns one tensor where all the others are not there.

    What gives the others stands behind that. None: more than one is always there, or
    several conditions decide.
    """
    always = [one for one, off in zip(results, optional, strict=True) if not off]
    names = {ast.unparse(one) for one, off in zip(results, optional, strict=True) if off}
    if len(always) != 1 or not names:
        return None
    common: list[ast.stmt] = []
    others: list[ast.stmt] = []
    tests: list[ast.expr] = []
    for statement in body:
        match statement:
            case ast.If(test=test, body=then, orelse=[*left]) if left and all(
                _absent(one, names) for one in left
            ):
                names -= {ast.unparse(one.targets[0]) for one in left}  # type: ignore[attr-defined]
                others += then
                tests.append(test)
            case _:
                common.append(statement)
    if names or any(not python.same(test, tests[0]) for test in tests):
        return None
    lone = ast.If(python.negated(tests[0]), [ast.Return(*always)], [])
    return [*common, lone, *others]


def _absent(statement: ast.stmt, names: set[str]) -> bool:
    """Whether a statement says that one of these is not there."""
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=None)):
            return name in names
    return False


def lazily(node: ast.expr, takes: bool) -> ast.expr:
    """A callable as an argument's default: nothing is called where a class is defined."""
    match node:
        case ast.Call(func=ast.Name(id="partial"), args=[function, *first], keywords=more):
            names = ["c"] if takes else []
            taken = ast.arguments([], [ast.arg(n) for n in names], None, [], [], None, [])
            return ast.Lambda(
                taken, ast.Call(function, [*first, *map(python.name, names)], more)
            )
    return node


def kind_of(values: Sequence[object], param: tree.Param) -> ast.expr:
    """The type of an argument that takes these values."""
    if param.type.name == "list":
        usual = param.type.item or "int"
        items = [item for value in values if isinstance(value, tuple) for item in value]
        text = f"Sequence[{_types(items, usual) if items else usual}]"
    else:
        text = _types(values, "float" if param.type.name == "float" else "int")
    return ast.parse(text, mode="eval").body


def _types(values: Sequence[object], number: str) -> str:
    """`bool | None`, `int | tuple[int, int]`; `number` is what an integer is."""
    found: dict[str, None] = {}
    for value in values:
        match value:
            case None | bool() | str():
                found["None" if value is None else type(value).__name__] = None
            case tuple():
                items = [_types([item], number) for item in value]
                kind = "float" if "float" in items else items[0] if items else number
                found[f"tuple[{', '.join([kind] * len(items) or [number, '...'])}]"] = None
            case float():
                found["float"] = None
            case _:
                found[number] = None
    if "float" in found:
        found.pop("int", None)
    return " | ".join(sorted(found, key=lambda kind: (kind == "None", kind)))


def needed(unit: Unit, forward: Iterable[ast.stmt]) -> list[ast.stmt]:
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


def unlisted(unit: Unit) -> Iterator[ast.expr]:
    """That an argument is none of the words that it may be."""
    params = {param.name: param for param in unit.definition.declaration.params}
    for name, said in unit.arguments.items():
        words = params[said].type.words
        values = [instance.block.names.get(said) for instance in unit.instances]
        if words and all(value in words for value in values):
            yield ast.Compare(python.name(name), [ast.NotIn()], [python.constant(tuple(words))])


def refusals(tests: list[ast.expr], used: set[str]) -> list[ast.stmt]:
    """A `ValueError` for each condition that the class was not written for."""
    found: dict[str, ast.stmt] = {}
    for test in tests:
        text = ast.unparse(test)
        settled = any(ast.unparse(part) in found for part in python.conjuncts(test))
        if settled or not python.names_in(test) - {"len"} <= used:
            continue
        said = f"this class is not written for {text}"
        match test:
            case ast.Compare(ops=[ast.NotIn()], comparators=[ast.Tuple(elts=words)]):
                among = ", ".join(str(ast.literal_eval(word)) for word in words)
                said = f"{ast.unparse(test.left)} must be one of {among}"
        error = python.call("ValueError", python.constant(said))
        found[text] = ast.If(test, [ast.Raise(error)], [])
    return [*found.values()]
