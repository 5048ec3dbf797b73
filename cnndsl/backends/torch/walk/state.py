"""The state of a walk through one block: its tensors, names and modules."""

from __future__ import annotations

import ast
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from cnndsl.backends.torch import python, steps
from cnndsl.backends.torch.expressions import CannotTranslateError, literal, translate
from cnndsl.backends.torch.general import folded
from cnndsl.backends.torch.instances import ExposeError, Instance, SplitError, T
from cnndsl.backends.torch.names import identifier
from cnndsl.backends.torch.unit import OpValue, Unit
from cnndsl.backends.torch.walk.parts import (
    CountError,
    Family,
    Flow,
    Operand,
    Parts,
    Turning,
    UnrollError,
    Views,
    listed,
    over_family,
    python_choice,
    turns_in,
)
from cnndsl.language import tree
from cnndsl.language.names import BlockDefinition, OpRef
from cnndsl.structure import Line, Loop, Repeat, Tensor


class State(ABC):
    """Where a walk is, and what it knows."""

    def __init__(
        self,
        unit: Unit,
        called: Callable[[list[Instance], list[Instance]], Unit],
        passed: Callable[..., None],
        instance_of: Callable[[Instance, Any], Instance],
        help: Callable[[str], None],
    ) -> None:
        """Begin at the block's first line."""
        self.unit, self.called, self.passed = unit, called, passed
        self.instance_of, self.help = instance_of, help
        self.stack: list[int | Turning] = []
        self.lists: dict[str, dict[tuple[int, ...], ast.expr]] = {}
        self.single: dict[str, ast.Assign] = {}
        self.apart: dict[str, ast.expr] = {}
        """The same modules, with the conditions around a loop around its list too."""
        self.threads: dict[str, ast.expr | None] = {}
        """The running channels of the loops around, and what an inner loop leaves in them."""
        self.ragged: dict[str, Operand] = {}
        """Lists of tensors of which the instances differ in the number, by their labels."""
        self.ended = 0
        """The loop of `forward` that was left last: its value is in its families alone."""
        self.firm = False
        """Whether each operand must be there or not, whatever the constructor is given."""

    @property
    def modules(self) -> Any:
        """Where the declaration's modules are."""
        return self.unit.definition.modules

    def lookup(self, found: Sequence[tuple[Instance, Tensor]]) -> T:
        """The tensor that this is in `forward`."""
        unit = self.unit
        tensors: list[T] = []
        for instance, tensor in found:
            known = unit.known.get((id(instance.block), tensor.node, tensor.output))
            if known is None:
                lost = unit.lost.get((id(instance.block), tensor.node, tensor.output))
                if lost is not None:
                    raise UnrollError(lost)
                raise ExposeError(instance, tensor)
            tensors.append(known)
        turning = any(isinstance(turn, Turning) for turn in self.stack)
        if turning:
            for (instance, tensor), _ in zip(found, tensors, strict=True):
                identity = (id(instance.block), tensor.node, tensor.output)
                made = unit.turns_of.get(identity, {})
                if any(instance.turns.get(name) != turn for name, turn in made.items()):
                    raise CannotTranslateError("a value of another turn")
        if any(one is not tensors[0] for one in tensors):
            if turning:
                pairs = [(i.turns, one) for (i, _), one in zip(found, tensors, strict=True)]
                return unit.generalised(pairs)
            order = {id(one): n for n, one in enumerate(tensors)}
            keys = [(i, order[id(one)]) for (i, _), one in zip(found, tensors, strict=True)]
            raise SplitError(keys)
        return tensors[0]

    def flow_of(self, found: Views[tuple[Tensor, ...]]) -> Flow:
        """The tensors that several are."""
        if len({len(tensors) for _, tensors in found}) > 1:
            for instance, tensors in found:
                for tensor in tensors:
                    identity = (id(instance.block), tensor.node, tensor.output)
                    if not {identity} & (self.unit.known.keys() | self.unit.lost.keys()):
                        raise ExposeError(instance, tensor)
        self.agree([(i, len(tensors)) for i, tensors in found])
        return tuple(
            self.lookup([(i, tensors[n]) for i, tensors in found])
            for n in range(len(found[0][1]))
        )

    def agree(self, keys: Sequence[tuple[Instance, object]]) -> None:
        """Raise SplitError where the instances differ."""
        if len({repr(key) for _, key in keys}) > 1:
            raise SplitError(keys)

    def there(self, line: tree.LineStatement, views: Views[dict[int, Line]]) -> bool:
        """Whether a line is left, where the outputs need not all.

        Raises SplitError: the instances differ.
        """
        number = self.unit.definition.line_numbers[id(line)]
        self.agree([(i, number in lines) for i, lines in views])
        return number in views[0][1]

    def left_of(
        self, terms: tuple[tree.Term, ...], views: Views[Sequence[Any]]
    ) -> tuple[tree.Term, ...]:
        """The terms of a line that are left.  Raises SplitError: the instances differ."""
        self.agree([(i, len(found)) for i, found in views])
        return terms[: len(views[0][1])] if views else terms

    def counted(
        self, term: tree.RepeatTerm | tree.ForTerm, views: Views[Repeat] | Views[Loop]
    ) -> None:
        """Agree on the turns of a loop that is written turn by turn.

        Raises SplitError: the instances differ.  Raises CountError: an argument counts them.
        """
        self.agree([(i, len(turns_in(one))) for i, one in views])
        count = term.times if isinstance(term, tree.RepeatTerm) else term.range
        if count is None or isinstance(count, tree.ListLiteral):
            return
        with suppress(CannotTranslateError):
            if found := self.unit.counting(self.unit.ctor(translate(count, self.unit))):
                raise CountError(found)

    def made(
        self,
        run: ast.expr,
        sizes: Sequence[int],
        found: Sequence[tuple[Instance, Tensor]],
        hint: str = "",
    ) -> T:
        """A new tensor: named, shaped, and bound to those of the networks."""
        tensor = T((), self.unit.assign(run, hint))
        self.unit.shaped(tensor, sizes)
        return self.unit.bind(tensor, found)

    def inner(self, sizes: Sequence[int], found: Sequence[tuple[Instance, Tensor]]) -> T:
        """A tensor inside a chain of modules, which `forward` does not see."""
        tensor = T((), python.name("§inner"))
        tensor.ids = [(id(i.block), t.node, t.output) for i, t in found]
        self.unit.shaped(tensor, sizes)
        return tensor

    def let(self, statement: tree.Let) -> None:
        """`let name = value`: a local variable, or a name for what it is."""
        unit, name = self.unit, statement.name
        values = [i.block.names.get(name) for i in unit.instances]
        if any(value is None or isinstance(value, OpRef) for value in values):
            with suppress(CannotTranslateError):
                unit.meanings[name] = steps.meaning(unit, self.chosen(name, statement.value))
                return
        said = translate(statement.value, unit)
        if any(leaf.startswith("§") for leaf in python.names_in(said)):
            unit.meanings[name] = said  # sizes, which the constructor or `forward` asks
            return
        node = unit.ctor(said)
        # What a turn of a loop calls so, the next one calls otherwise.
        plain = isinstance(node, ast.Name) or bool(self.stack)
        turning = self.stack[-1] if self.stack else None
        turned = isinstance(turning, Turning) and turning.lists is None
        if turned and python.names_in(node) & unit.loops.keys():
            known = self.local(identifier(name))
            unit.fwd.append(python.assign(known, unit.run(node)))
            unit.loops[known] = node
            unit.turn_lets.add(known)
            node = python.name(known)
        elif literal(node) is None and not plain:
            known = identifier(name)
            unit.let(known, node)
            node = python.name(known)
        unit.meanings[name] = node

    def chosen(self, name: str, written: tree.Expression) -> tree.Expression:
        """Of `conv(m, 1) if … else none` what the instances have."""
        match written:
            case tree.Choice(then=then, otherwise=otherwise):
                values = [(i, i.block.names.get(name, ...)) for i in self.unit.instances]
                nothing = [(i, value is None) for i, value in values]
                none = [says_none(then), says_none(otherwise)]
                if sum(none) == 1 and all(value is not ... for _, value in values):
                    self.agree(nothing)
                    return then if none[0] == nothing[0][1] else otherwise
        return written

    def source_of(self, line: tree.LineStatement, views: Views[Line]) -> T | None:
        """The tensor that a line names as its source."""
        sources = [(i, view.source) for i, view in views]
        if sources[0][1] is None:
            return None
        flow = self.named(line, views)
        flow = flow or self.flow_of([(i, source or ()) for i, source in sources])
        return flow[0] if len(flow) == 1 else None

    def named(self, line: tree.LineStatement, views: Views[Line]) -> Flow | None:
        """What a line's source says: one tensor may enter by two ports, or have two labels."""
        flow: Flow = ()
        match line.terms[0]:
            case (
                tree.CallTerm(path=tree.NamePath(name=name, parts=()))
                | tree.CallTerm(
                    path=tree.NamePath(name=name, parts=[tree.Index(items=[tree.Every()])])
                )
            ):
                flow = self.unit.tensors.get(name, {}).get((), ())
            case tree.CallTerm(
                path=tree.NamePath(name=name, parts=[tree.Index() as at]) as path
            ):
                if name in self.unit.tensors:
                    with suppress(CannotTranslateError):
                        flow = (self.unit.tensor(name, self.unit.numbers_of(at, path)),)
        sources = [(i, view.source or ()) for i, view in views]
        if all(len(source) == len(flow) for _, source in sources) and all(
            (id(i.block), t.node, t.output) in one.ids
            for i, source in sources
            for t, one in zip(source, flow, strict=True)
        ):
            return flow or None
        return None

    def terms(self, line: tree.LineStatement) -> tuple[tree.Term, ...]:
        """The terms of a line behind its source."""
        first = line.terms[0]
        if not isinstance(first, tree.CallTerm) or first.called or first.operands is not None:
            return line.terms
        name = first.path.name
        sources = name in ("in", "skip") or bool(first.path.parts)
        if not sources:
            sources = name in self.unit.tensors or (
                name not in self.unit.meanings and self.unit.labelled(name)
            )
        return line.terms[1:] if sources else line.terms

    def hint(
        self, line: tree.LineStatement, number: int = 0, terms: Sequence[tree.Term] = ()
    ) -> str:
        """What a line's value is called in `forward`."""
        last = not terms or number == len(terms) - 1
        if not line.labels or not last or len(line.labels) > 1:
            return ""
        if any(isinstance(turn, Turning) for turn in self.stack):
            return "" if line.labels[0].parts else line.labels[0].name
        index = self.index(line.labels[0])
        return "_".join([line.labels[0].name, *map(str, index)])

    def index(self, label: tree.NamePath) -> tuple[int, ...]:
        """The numbers of a label's index."""
        found: list[int] = []
        for part in label.parts:
            if isinstance(part, tree.Index):
                for one in part.items:
                    node = python.number(
                        folded(translate(one, self.unit))  # type: ignore[arg-type]
                    )
                    if not isinstance(node, int):
                        raise CannotTranslateError(f"{label}: an index that is not known")
                    found.append(node)
        return tuple(found)

    def label(self, line: tree.LineStatement, flow: Flow, views: Views[Line]) -> None:
        """Bind a line's labels."""
        many = len(line.labels) > 1
        turning = self.stack[-1] if self.stack else None
        if isinstance(turning, Turning):
            for number, label in enumerate(line.labels):
                which = [number] if many else range(len(flow))
                outputs = [[(i, one.outputs[n]) for i, one in views] for n in which]
                self.turned(label, [flow[n] for n in which], turning, outputs, views[0][1])
            return
        for number, label in enumerate(line.labels):
            entry = flow[number : number + 1] if many else flow
            self.unit.tensors.setdefault(label.name, {})[self.index(label)] = entry

    def turned(
        self,
        label: tree.NamePath,
        entry: Sequence[T],
        turning: Turning,
        outputs: Sequence[Sequence[tuple[Instance, Tensor]]],
        line: Line,
    ) -> None:
        """Bind a label in a loop of `forward`: one more item of its family, or a local.

        A block of several outputs makes a family of each.
        """
        unit = self.unit
        indices = [
            translate(one, unit)  # type: ignore[arg-type]
            for part in label.parts
            if isinstance(part, tree.Index)
            for one in part.items
        ]
        match indices:
            case []:
                unit.tensors.setdefault(label.name, {})[()] = tuple(entry)
                return
            case [ast.Name(id=name)] if name == turning.variable:
                pass
            case _:
                raise CannotTranslateError(f"{label} in a loop")
        known = {family.label for family in turning.families.values()}
        if label.name in known or label.name in unit.tensors:
            raise CannotTranslateError(f"{label} on two lines of a loop")
        if len(unit.conditions) > turning.conditions:
            return  # a turn may have none: nothing finds its place in a list
        names = [label.name]
        if len(entry) > 1:
            block = getattr(line.terms[-1], "block", None)
            words = [*getattr(block, "outputs", ())] or [label.name] * len(entry)
            names = [f"{label.name}.{word}" for word in words[: len(entry)]]
        for number, (name, one) in enumerate(zip(names, entry, strict=True)):
            word = f"all_{name.rpartition('.')[2]}" if len(entry) > 1 else name
            variable = unit.variable(word if word.isidentifier() else label.name)
            turning.families[name] = Family(variable, one, outputs[number], label.name)
            append = python.attribute(python.name(variable), "append")
            unit.fwd.append(ast.Expr(python.call(append, one.run)))

    def turn_of(self, statement: tree.LineStatement) -> Flow | None:
        """What a line of a loop reads where it says `x[i]`, an item of a family."""
        unit, first = self.unit, statement.terms[0]
        turning = [turn for turn in self.stack if isinstance(turn, Turning)]
        if not turning or not isinstance(first, tree.CallTerm) or first.called:
            return None
        match first.path.parts:
            case [tree.Index(items=[index])] if not isinstance(index, tree.Every):
                node = translate(index, unit)
            case _:
                return None
        name = first.path.name
        for turn in turning:
            if python.same(node, python.name(turn.variable)) and name in turn.families:
                return (turn.families[name].tensor,)
        known = python.names_in(node) & unit.loops.keys() and name in unit.tensors
        return (unit.item(name, node),) if known else None

    def counted_list(self, statement: tree.LineStatement) -> Operand | None:
        """The list that `units[*]` is, where an argument counts its tensors."""
        match statement.terms:
            case [tree.CallTerm(path=tree.NamePath(name=name, parts=[tree.Index(items=[at])]))]:
                if isinstance(at, tree.Every):
                    return self.ragged.get(name)
        return None

    def offered(self, operands: list[Operand], flow: Flow) -> None:
        """Give a join what a line of it makes."""
        if not isinstance(operands, Parts):
            operands += [Operand(one) for one in flow]
            return
        for one in flow:
            widths = python.names_in(python.node_of(one.shape[0]))
            turning = self.stack[-1]
            if operands.first is None or (
                isinstance(turning, Turning) and turning.variable not in widths
            ):
                operands.first = one
            append = python.attribute(operands.run, "append")
            self.unit.fwd.append(ast.Expr(python.call(append, one.run)))

    @contextmanager
    def under(self, test: ast.expr) -> Iterator[list[ast.stmt]]:
        """Statements of `forward` that a condition guards; its modules are kept by it too."""
        unit = self.unit
        outer, unit.fwd = unit.fwd, []
        unit.conditions.append(test)
        try:
            yield unit.fwd
        finally:
            unit.conditions.pop()
            unit.fwd = outer

    def within(self, variable: str) -> bool:
        """Whether a loop of `forward` is being walked."""
        return any(isinstance(t, Turning) and t.variable == variable for t in self.stack)

    def flag(self, test: ast.expr, line: tree.LineStatement) -> ast.expr:
        """A condition in `forward`."""
        if python.names_in(test) & self.unit.loops.keys():
            return self.unit.run(test)
        hint = line.labels[0].name if line.labels else ""
        if not hint:
            first = line.terms[0]
            word = first.path.name if isinstance(first, tree.CallTerm) else "branch"
            hint = {"skip": "residual"}.get(word, word.lower())
        if isinstance(test, ast.Name):
            return self.unit.run(test)
        match test:
            case ast.Compare(left=ast.Name() as left, comparators=[ast.Constant(value=str())]):
                return ast.Compare(self.unit.run(left), test.ops, test.comparators)
        residual = hint == "residual" and not line.labels
        return self.unit.run(test, hint if residual else f"has_{hint}")

    def register(self, name: str, module: ast.expr) -> ast.expr:
        """Register a module at its place; the text that reaches it."""
        unit = self.unit
        while lets := python.names_in(module) & unit.turn_lets:
            module = python.replace(module, {name: unit.loops[name] for name in lets})
        stack = [t for t in self.stack if not (isinstance(t, Turning) and t.shared)]
        turns = tuple(turn for turn in stack if isinstance(turn, int))
        loops = stack[len(turns) :]
        bare, module = module, where(unit.conditions, module)
        access: ast.expr = python.dotted(f"self.{name}")
        for turn in turns:
            access = python.item(access, python.constant(turn))
        for loop in loops:
            if not isinstance(loop, Turning):
                raise CannotTranslateError("a loop in a loop of `forward`")
            offset = python.constant(-loop.low)
            index = python.binary("+", python.name(loop.variable), offset)
            access = python.item(access, index)
        for loop in loops:
            if isinstance(loop, Turning) and loop.lists is not None:
                if turns or len(loops) > 1 or name in loop.lists:
                    raise CannotTranslateError("a list in a list of a loop")
                unit.attributes.add(name)
                loop.lists[name] = self.local(name)
                append = python.attribute(python.name(loop.lists[name]), "append")
                unit.init.append(ast.Expr(python.call(append, module)))
                return access
        outside = loops[0].conditions if loops and isinstance(loops[0], Turning) else None
        around = unit.conditions[:outside]
        inside = unit.conditions[len(around) :]
        bare = where(inside, bare)
        for loop in reversed(loops):
            assert isinstance(loop, Turning)
            module, bare = (
                python.call(
                    "nn.ModuleList", ast.GeneratorExp(*over_family(loop, one, unit.columns))
                )
                for one in (module, bare)
            )
        if loops and any(
            isinstance(node, ast.Subscript) and isinstance(node.value, ast.Tuple)
            for node in ast.walk(module)
        ):
            raise CannotTranslateError("a module that depends on a turn's row")
        if turns:
            known = self.lists.setdefault(name, {})
            if turns in known:
                module = beside(known[turns], unit.conditions, bare)
            known[turns] = module
            old = self.single.get(name)
            if old is not None:
                unit.init.remove(old)
            self.single[name] = python.assign(f"self.{name}", listed(known))
            unit.init.append(self.single[name])
            unit.attributes.add(name)
            return access
        self.stand(name, module, around, bare)
        return access

    def stand(
        self, name: str, module: ast.expr, around: Sequence[ast.expr], bare: ast.expr
    ) -> None:
        """Register a module; another at its place stands where it does not.

        `bare` is the module without the conditions `around`, of which a loop's are in its list.
        """
        if name not in self.single:
            self.unit.attributes.add(name)
            self.single[name] = python.assign(f"self.{name}", module)
            self.apart[name] = where(around, bare)
            self.unit.init.append(self.single[name])
            return
        known = self.apart.get(name)
        if known is not None:
            both = beside(known, around, bare)
            if not python.same(both, known):
                self.single[name].value = self.apart[name] = both

    def local(self, wanted: str) -> str:
        """A new local variable of the constructor."""
        unit = self.unit
        name, number = wanted, 1
        while name in unit.locals:
            number += 1
            name = f"{wanted}{number}"
        unit.locals.add(name)
        return name

    def one_module(self, line: tree.LineStatement) -> str | None:
        """The attribute of a line that is one module, and nothing beside it."""
        chain = self.modules.chains.get(id(line))
        if chain is not None:
            return None if chain.before or chain.after else str(chain.name)
        terms = self.terms(line)
        if len(terms) != 1 or not isinstance(terms[0], tree.CallTerm) or terms[0].operands:
            return None
        site = self.modules.sites.get(id(terms[0]))
        if site is None:
            return None
        found = steps.callee(self.unit, terms[0].path.name)
        if isinstance(found, OpValue) and isinstance(found.target, BlockDefinition):
            declared = found.target.declaration
            if len(declared.inputs or "1") != 1 or len(declared.outputs or "1") != 1:
                return None
        return str(site.name)

    @abstractmethod
    def body(
        self,
        statements: Sequence[tree.Statement],
        views: Views[Sequence[Line]],
        flow: Flow | None,
        *,
        operands: list[Operand] | None = None,
    ) -> Flow | None:
        """The lines between braces; with `operands` those of a join, which each add one."""

    @abstractmethod
    def term(
        self, term: tree.Term, views: Views[Any], flow: Flow | None, hint: str
    ) -> Flow | None:
        """One term of a line."""


NOTHING = python.call("nn.Identity")


def where(tests: Sequence[ast.expr], module: ast.expr) -> ast.expr:
    """A module where all the conditions hold, each within the one before it; else nothing."""
    for test in reversed(tests):
        module = python_choice(test, module, python.clone(NOTHING))
    return module


def beside(known: ast.expr, tests: Sequence[ast.expr], module: ast.expr) -> ast.expr:
    """What stands at a module's place, with another where that is nothing."""
    if python.same(known, NOTHING):
        return where(tests, module)
    match known:
        case ast.IfExp(test=test, body=then, orelse=other) if tests:
            first, rest = tests[0], tests[1:]
            if python.same(test, first):
                return python_choice(test, beside(then, rest, module), other)
            if python.same(python.negated(test), first):
                return python_choice(test, then, beside(other, rest, module))
    return known


def says_none(written: tree.Expression) -> bool:
    """Whether this is the word `none`."""
    match written:
        case tree.Value(path=tree.NamePath(name="none", parts=()), arguments=None):
            return True
    return False
