"""The walk over a declaration: its lines as statements of a constructor and of `forward`.

What a line becomes is decided by its text; the instances give the values that an
operation's own rules are run on, and say which lines there are at all.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from cnndsl.backends.torch import layers, python, steps
from cnndsl.backends.torch.expressions import (
    CannotTranslateError,
    literal,
    translate,
    truth,
)
from cnndsl.backends.torch.names import identifier
from cnndsl.backends.torch.unit import (
    Instance,
    Layer,
    OpValue,
    SplitError,
    T,
    Unit,
    folded,
)
from cnndsl.language import tree
from cnndsl.language.modules import BlockDefinition
from cnndsl.language.naming import Chain
from cnndsl.ops.base import Op
from cnndsl.structure import Call, Each, Line, Loop, Repeat, Step, Tensor, Term

Flow = tuple[T, ...]
Item = TypeVar("Item")
Views = Sequence[tuple[Instance, Item]]


class ExposeError(Exception):
    """A label inside a called block is read: its block must return it."""

    def __init__(self, instance: Instance, tensor: Tensor) -> None:
        """Take the tensor."""
        super().__init__()
        self.instance, self.tensor = instance, tensor


@dataclass
class Link:
    """One module of a chain: its term, in all instances, and the condition that keeps it."""

    term: tree.Term
    views: Views[Any]
    test: ast.expr | None
    defaults: list[Sequence[tree.Default]]


@dataclass
class Operand:
    """What a line of a join gives, and the condition under which it is there."""

    tensor: T
    test: ast.expr | None = None


class Walk:
    """The walk through one block; `called` gives the unit of a block that it calls."""

    def __init__(
        self,
        unit: Unit,
        called: Callable[[BlockDefinition, list[Instance], list[Instance]], Unit],
        passed: Callable[..., None],
        instance_of: Callable[[Instance, Any], Instance],
        help: Callable[[str], None],
    ) -> None:
        """Begin at the block's first line."""
        self.unit, self.called, self.passed = unit, called, passed
        self.instance_of, self.help = instance_of, help
        self.stack: list[int] = []
        self.lists: dict[str, dict[tuple[int, ...], ast.expr]] = {}
        self.single: dict[str, ast.Assign] = {}
        self.threads: dict[str, ast.expr | None] = {}
        """The running channels of the loops around, and what an inner loop leaves in them."""
        self.firm = False
        """Whether each operand must be there or not, whatever the constructor is given."""

    @property
    def modules(self) -> Any:
        """Where the declaration's modules are."""
        return self.unit.definition.modules

    # --- tensors

    def lookup(self, found: Sequence[tuple[Instance, Tensor]]) -> T:
        """The tensor that this is in `forward`."""
        unit = self.unit
        tensors: list[T] = []
        for instance, tensor in found:
            known = unit.known.get((id(instance.block), tensor.node, tensor.output))
            if known is None:
                raise ExposeError(instance, tensor)
            tensors.append(known)
        if any(one is not tensors[0] for one in tensors):
            order = {id(one): n for n, one in enumerate(tensors)}
            keys = [(i, order[id(one)]) for (i, _), one in zip(found, tensors, strict=True)]
            raise SplitError(keys)
        return tensors[0]

    def flow_of(self, found: Views[tuple[Tensor, ...]]) -> Flow:
        """The tensors that several are."""
        self.agree([(i, len(tensors)) for i, tensors in found])
        return tuple(
            self.lookup([(i, tensors[n]) for i, tensors in found])
            for n in range(len(found[0][1]))
        )

    def agree(self, keys: Sequence[tuple[Instance, object]]) -> None:
        """Raise SplitError where the instances differ."""
        if len({repr(key) for _, key in keys}) > 1:
            raise SplitError(keys)

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

    # --- lines

    def body(
        self,
        statements: Sequence[tree.Statement],
        views: Views[Sequence[Line]],
        flow: Flow | None,
        *,
        operands: list[Operand] | None = None,
    ) -> Flow | None:
        """The lines between braces; with `operands` those of a join, which each add one."""
        unit = self.unit
        unit.defaults.append([])
        by_key = [(i, {line.key: line for line in lines}) for i, lines in views]
        position = 0
        while position < len(statements):
            statement = statements[position]
            position += 1
            if isinstance(statement, tree.Let):
                self.let(statement)
                continue
            if isinstance(statement, tree.Default):
                unit.defaults[-1] = [*unit.defaults[-1], statement]
                continue
            chain = [statement]
            while position < len(statements):
                following = statements[position]
                if not isinstance(following, tree.LineStatement) or not following.alternative:
                    break
                chain.append(following)
                position += 1
            start = unit.skip if operands is not None else flow
            result = self.alternatives(chain, by_key, start, operands)
            if operands is None:
                flow = result
        unit.defaults.pop()
        return flow

    def let(self, statement: tree.Let) -> None:
        """`let name = value`: a local variable, or a name for what it is."""
        unit, name = self.unit, statement.name
        try:
            unit.meanings[name] = steps.meaning(unit, self.chosen(name, statement.value))
            return
        except CannotTranslateError:
            pass
        node = unit.ctor(translate(statement.value, unit))
        # What a turn of a loop calls so, the next one calls otherwise.
        plain = isinstance(node, ast.Name) or bool(self.stack)
        if literal(node) is None and not plain:
            known = identifier(name)
            unit.init.append(python.assign(known, node))
            unit.lets[known] = node
            node = python.name(known)
        unit.meanings[name] = node

    def chosen(self, name: str, written: tree.Expression) -> tree.Expression:
        """Of `conv(m, 1) if … else none` what the instances have."""
        match written:
            case tree.Choice(then=then, otherwise=otherwise):
                values = [(i, i.block.names.get(name, ...)) for i in self.unit.instances]
                nothing = [(i, value is None) for i, value in values]
                none = [_says_none(then), _says_none(otherwise)]
                if sum(none) == 1 and all(value is not ... for _, value in values):
                    self.agree(nothing)
                    return then if none[0] == nothing[0][1] else otherwise
        return written

    def alternatives(
        self,
        chain: list[tree.LineStatement],
        views: Views[dict[int, Line]],
        start: Flow | None,
        operands: list[Operand] | None,
    ) -> Flow | None:
        """`a when p`, `else b when q`, `else c`."""
        unit, (line, *rest) = self.unit, chain
        number = unit.definition.line_numbers[id(line)]
        found = [(i, lines[number]) for i, lines in views if number in lines]
        on = [(i, one) for i, one in found if one.on]
        test: ast.expr = python.constant(True)
        if line.condition is not None:
            test = unit.ctor(translate(line.condition, unit))
        known = truth(test)
        if known is None and (not on or (len(on) == len(views) and rest)):
            known = bool(on)  # no instance has the other way
        sure = operands is None or self.firm
        if known is None and len(on) == len(views) and not rest and sure:
            known = True
        if known:
            if not on:
                raise CannotTranslateError("a line that no instance has")
            return self.line(line, on, start, operands)
        if known is False:
            if rest:
                return self.alternatives(rest, views, start, operands)
            return start
        if operands is not None and not rest:
            inside: list[Operand] = []
            with self.under(test) as fwd:
                self.line(line, on, start, inside)
            if fwd:
                unit.fwd.append(ast.If(self.flag(test, line), fwd, []))
            flag = self.flag(test, line)
            operands += [Operand(one.tensor, both(flag, one.test)) for one in inside]
            return None
        return self.either(line, on, test, rest, views, start, operands)

    def either(
        self,
        line: tree.LineStatement,
        on: Views[Line],
        test: ast.expr,
        rest: list[tree.LineStatement],
        views: Views[dict[int, Line]],
        start: Flow | None,
        operands: list[Operand] | None,
    ) -> Flow | None:
        """Two ways, of which the constructor knows the one that is taken."""
        unit = self.unit
        whole = self.conditional(line, on, test, rest, views, start)
        if whole is not None:
            if operands is not None:
                operands.append(Operand(whole))
            return (whole,)
        flag = self.flag(test, line)
        sourced = on[0][1].source is not None
        with self.under(test) as then:
            first: list[Operand] | None = None if operands is None else []
            taken = self.line(line, on, start, first)
        with self.under(python.negated(test)) as other:
            second: list[Operand] | None = None if operands is None else []
            left = self.alternatives(rest, views, start, second) if rest else start
        if operands is not None:
            assert first is not None
            assert second is not None
            if any(one.test is not None for one in (*first, *second)):
                raise CannotTranslateError("a condition in a condition of a join")
            taken, left = tuple(o.tensor for o in first), tuple(o.tensor for o in second)
        absent = not rest and sourced
        if taken is None or (not absent and (left is None or len(left) != len(taken))):
            raise CannotTranslateError("two ways that give unlike values")
        joined: list[T] = []
        for number, tensor in enumerate(taken):
            hint = line.labels[0].name if line.labels else ""
            name = unit.variable(hint)
            then.append(python.assign(name, tensor.run))
            other_value = python.constant(None) if absent else left[number].run  # type: ignore[index]
            other.append(python.assign(name, other_value))
            shape = tensor.shape
            if not absent:
                assert left is not None
                shape = merged(unit, test, tensor, left[number])
            one = T(shape, python.name(name), list(tensor.ids))
            for identity in tensor.ids:
                unit.known[identity] = one
            if not absent:
                assert left is not None
                one.ids += left[number].ids
                if rest:
                    for identity in left[number].ids:
                        unit.known[identity] = one
            joined.append(one)
        unit.fwd.append(ast.If(flag, then, other))
        flow = tuple(joined)
        self.label(line, flow, on)
        for one_line in rest:
            self.label(one_line, flow, on)
        if operands is not None:
            operands += [Operand(one) for one in flow]
        return flow

    def conditional(
        self,
        line: tree.LineStatement,
        on: Views[Line],
        test: ast.expr,
        rest: list[tree.LineStatement],
        views: Views[dict[int, Line]],
        start: Flow | None,
    ) -> T | None:
        """Two ways that are one module each: `self.x = A if test else B`."""
        unit = self.unit
        if len(rest) > 1 or start is None or len(start) != 1:
            return None
        if not rest and on[0][1].source is not None:
            return None
        name = self.one_module(line)
        other = rest[0] if rest else None
        if other is not None and not self.terms(line) and self.source_of(on) is start[0]:
            return self.optional(line, on, test, other, views, start[0])
        if name is None or (other is not None and other.condition is not None):
            return None
        others: Views[Line] = []
        if other is not None:
            second = self.one_module(other)
            number = unit.definition.line_numbers[id(other)]
            others = [(i, lines[number]) for i, lines in views if lines[number].on]
            sources = {self.source_of(on), self.source_of(others)}
            if second is None or not others or len(sources) > 1:
                return None
            name = name if name == second else name if line.labels else second
        source = self.source_of(on)
        entered = start[0] if source is None else source
        a, one = self.lone(line, on, entered)
        if other is None:
            b: ast.expr = python.call("nn.Identity")
            shape = merged(unit, test, one, entered)
        else:
            b, two = self.lone(other, others, entered)
            shape = merged(unit, test, one, two)
        access = self.register(name, python_choice(test, a, b))
        ids = [(i, x.outputs[0]) for i, x in (*on, *others)]
        joined = self.made(python.call(access, entered.run), shape, ids, self.hint(line))
        if other is None:
            joined.ids += entered.ids
        self.label(line, (joined,), on)
        if other is not None:
            self.label(other, (joined,), others)
        return joined

    def optional(
        self,
        line: tree.LineStatement,
        on: Views[Line],
        test: ast.expr,
        other: tree.LineStatement,
        views: Views[dict[int, Line]],
        start: T,
    ) -> T | None:
        """What enters, or a module: `self.projection = … if … else nn.Identity()`."""
        name = self.one_module(other)
        number = self.unit.definition.line_numbers[id(other)]
        others = [(i, lines[number]) for i, lines in views if lines[number].on]
        if name is None or not others or other.condition is not None:
            return None
        if self.source_of(others) not in (None, start):
            return None
        module, out = self.lone(other, others, start)
        against = python.negated(test)
        access = self.register(name, python_choice(against, module, python.call("nn.Identity")))
        ids = [(i, x.outputs[0]) for i, x in others]
        shape = merged(self.unit, against, out, start)
        joined = self.made(python.call(access, start.run), shape, ids, self.hint(other))
        joined.ids += [i for i in start.ids if i not in joined.ids]
        self.label(line, (joined,), on)
        self.label(other, (joined,), others)
        return joined

    def source_of(self, views: Views[Line]) -> T | None:
        """The tensor that a line names as its source."""
        sources = [(i, line.source) for i, line in views]
        if sources[0][1] is None:
            return None
        flow = self.flow_of([(i, source or ()) for i, source in sources])
        return flow[0] if len(flow) == 1 else None

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

    def lone(
        self, line: tree.LineStatement, views: Views[Line], entered: T
    ) -> tuple[ast.expr, T]:
        """The module of a line that is one."""
        terms = self.terms(line)
        links = self.links(terms, [(i, one.terms) for i, one in views])
        items, out = self.sequence(links, entered)
        return sequential(items), out

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

    def line(
        self,
        statement: tree.LineStatement,
        views: Views[Line],
        start: Flow | None,
        operands: list[Operand] | None,
    ) -> Flow | None:
        """One line that is on."""
        terms = self.terms(statement)
        flow = start
        if any(line.source is not None for _, line in views):
            flow = self.flow_of([(i, line.source or ()) for i, line in views])
        pairs = [(i, line.terms) for i, line in views]
        if operands is not None and len(terms) == 1 and isinstance(terms[0], tree.ForTerm):
            looped = [(i, found[0]) for i, found in pairs]
            self.loop(terms[0], looped, flow, operands)  # type: ignore[arg-type]
            return None
        chain = self.modules.chains.get(id(statement))
        if chain is not None and flow is not None and len(flow) == 1:
            flow = self.chain(statement, chain, terms, pairs, flow[0])
        else:
            for number, term in enumerate(terms):
                inside = [(i, found[number]) for i, found in pairs]
                flow = self.term(term, inside, flow, self.hint(statement, number, terms))
        assert flow is not None
        self.label(statement, flow, views)
        if operands is not None:
            operands += [Operand(one) for one in flow]
        return flow

    def hint(
        self, line: tree.LineStatement, number: int = 0, terms: Sequence[tree.Term] = ()
    ) -> str:
        """What a line's value is called in `forward`."""
        last = not terms or number == len(terms) - 1
        if not line.labels or not last or len(line.labels) > 1:
            return ""
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
        for number, label in enumerate(line.labels):
            entry = flow[number : number + 1] if many else flow
            self.unit.tensors.setdefault(label.name, {})[self.index(label)] = entry

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

    def flag(self, test: ast.expr, line: tree.LineStatement) -> ast.expr:
        """A condition in `forward`."""
        hint = line.labels[0].name if line.labels else ""
        if not hint:
            first = line.terms[0]
            word = first.path.name if isinstance(first, tree.CallTerm) else "branch"
            hint = {"skip": "residual"}.get(word, word.lower())
        if isinstance(test, ast.Name):
            return self.unit.run(test)
        return self.unit.run(test, f"has_{hint}" if hint != "residual" else hint)

    # --- modules

    def register(self, name: str, module: ast.expr) -> ast.expr:
        """Register a module at its place; the text that reaches it."""
        unit = self.unit
        turns = tuple(self.stack)
        tests = unit.conditions
        for test in reversed(tests):
            module = python_choice(test, module, python.call("nn.Identity"))
        access: ast.expr = python.dotted(f"self.{name}")
        for turn in turns:
            access = python.item(access, python.constant(turn))
        if turns:
            known = self.lists.setdefault(name, {})
            if turns in known:
                return access
            known[turns] = module
            old = self.single.get(name)
            if old is not None:
                unit.init.remove(old)
            self.single[name] = python.assign(f"self.{name}", listed(known))
            unit.init.append(self.single[name])
            unit.attributes.add(name)
            return access
        if name in self.single:
            known_statement = self.single[name]
            before = known_statement.value
            match before, module:
                case (
                    ast.IfExp(test=test, orelse=ast.Call() as nothing),
                    ast.IfExp(test=now, body=taken),
                ) if python.same(nothing, python.call("nn.Identity")) and python.same(
                    now, python.negated(test)
                ):
                    before.orelse = taken
            return access
        unit.attributes.add(name)
        self.single[name] = python.assign(f"self.{name}", module)
        unit.init.append(self.single[name])
        return access

    def chain(
        self,
        owner: tree.LineStatement | tree.Term,
        chain: Chain,
        terms: Sequence[tree.Term],
        views: Views[Sequence[Term]],
        entered: T,
    ) -> Flow:
        """Functions, the module, functions."""
        links = self.links(terms, views)
        first, last = len(chain.before), len(links) - len(chain.after)
        for link in links[:first]:
            entered = self.function(link, entered)
        core = links[first:last]
        hint = (
            self.hint(owner)
            if isinstance(owner, tree.LineStatement) and last == len(links)
            else ""
        )
        if id(owner) in self.unit.exploded:
            entered = self.exploded(chain.name, core, entered, owner)
        else:
            (link, *more) = core
            if not more and link.test is None and isinstance(link.term, tree.CallTerm):
                called = [(i, one) for i, one in link.views if isinstance(one, Call)]
                if called:
                    unit = self.unit
                    outer, unit.defaults = unit.defaults, link.defaults
                    flow = self.block_call(link.term, called, [Operand(entered)], hint)
                    unit.defaults = outer
                    return self.behind(links[last:], flow)
            items, out = self.sequence(core, entered)
            access = self.register(chain.name, sequential(items))
            found = [(i, term.outputs[0]) for i, term in core[-1].views]
            if not found:
                raise CannotTranslateError("a chain that no instance ends")
            whole = core[-1].test is None
            value = python.call(access, entered.run)
            result = self.made(value, out.shape, found, hint)
            if not whole:
                result.ids += out.ids
            entered = result
        return self.behind(links[last:], (entered,))

    def behind(self, links: Sequence[Link], flow: Flow) -> Flow:
        """The functions behind a chain's module."""
        for link in links:
            flow = (self.function(link, flow[0]), *flow[1:])
        return flow

    def function(self, link: Link, entered: T) -> T:
        """A link of a chain in `forward`."""
        unit = self.unit
        if link.test is not None and truth(link.test) is False:
            return entered
        outer, unit.defaults = unit.defaults, link.defaults
        if link.test is None:
            (found,) = self.term(link.term, link.views, (entered,), "") or ()
            unit.defaults = outer
            return found
        with self.under(link.test) as then:
            (found,) = self.term(link.term, link.views, (entered,), "") or ()
        unit.defaults = outer
        name = unit.variable()
        flag = unit.run(link.test, "has_branch")
        then.append(python.assign(name, found.run))
        unit.fwd.append(ast.If(flag, then, [python.assign(name, entered.run)]))
        joined = T(merged(unit, link.test, found, entered), python.name(name))
        joined.ids = [*found.ids, *entered.ids]
        for identity in found.ids:
            unit.known[identity] = joined
        return joined

    def exploded(
        self, name: str, core: list[Link], entered: T, owner: tree.LineStatement | tree.Term
    ) -> T:
        """A sequence whose values between are read: its modules are called one by one."""
        if len(core) != 1 or core[0].test is not None:
            raise CannotTranslateError("a value inside a chain is read")
        (link,) = core
        match link.term:
            case tree.ForTerm() | tree.RepeatTerm():
                pass
            case _:
                raise CannotTranslateError("a value inside a chain is read")
        items, out = self.sequence(core, entered)
        access = self.register(name, sequential(items))
        turns: list[list[tuple[Instance, Tensor]]] = []
        for instance, term in link.views:
            results = (
                [body[-1].outputs for body in term.bodies]
                if isinstance(term, Loop)
                else [item.outputs for item in term.items]
            )
            for number, outputs in enumerate(results):
                if number == len(turns):
                    turns.append([])
                turns[number].append((instance, outputs[0]))
        self.agree([(i, len(_turns(term))) for i, term in link.views])
        unit = self.unit
        hint = owner.labels[0].name if isinstance(owner, tree.LineStatement) else "results"
        family = unit.variable(hint)
        value = unit.variable()
        layer = unit.variable("layer")
        unit.fwd.append(python.assign(family, python.listed([])))
        unit.fwd.append(python.assign(value, entered.run))
        append = python.call(
            python.attribute(python.name(family), "append"), python.name(value)
        )
        unit.fwd.append(
            ast.For(
                ast.Name(layer, ast.Store()),
                access,
                [
                    python.assign(value, python.call(python.name(layer), python.name(value))),
                    ast.Expr(append),
                ],
                [],
            )
        )
        last = entered
        for number, found in enumerate(turns):
            run = python.item(python.name(family), python.constant(number))
            instance, one = found[0]
            sizes = instance.network.shapes[one.node][one.output]
            tensor = T((), run)
            widths = self.widths(link, number, out)
            unit.shaped(
                tensor, [widths, *(python.Int(int(s), python.name("§")) for s in sizes[1:])]
            )
            unit.bind(tensor, found)
            if isinstance(owner, tree.LineStatement) and owner.labels:
                unit.tensors.setdefault(owner.labels[0].name, {})[number,] = (tensor,)
            last = tensor
        return last

    def widths(self, link: Link, number: int, out: T) -> int:
        """The channels behind one turn of a loop."""
        values = []
        for instance, term in link.views:
            outputs = _turns(term)[number]
            values.append(
                (instance, int(instance.network.shapes[outputs.node][outputs.output][0]))
            )
        if number == len(_turns(link.views[0][1])) - 1:
            return out.shape[0]
        self.agree(values)
        return values[0][1]

    def links(self, terms: Sequence[tree.Term], views: Views[Sequence[Term]]) -> list[Link]:
        """The modules of a chain, those of bare braces in their place."""
        found: list[Link] = []
        for number, term in enumerate(terms):
            inside = [(i, terms_[number]) for i, terms_ in views]
            if isinstance(term, tree.GroupTerm):
                found += self.grouped(term.body, [(i, g.body) for i, g in inside])  # type: ignore[union-attr]
            else:
                found.append(Link(term, inside, None, list(self.unit.defaults)))
        return found

    def grouped(
        self, body: Sequence[tree.Statement], views: Views[Sequence[Line]]
    ) -> list[Link]:
        """The modules of lines one behind the other."""
        unit, found = self.unit, []
        unit.defaults = [*unit.defaults, []]
        by_key = [(i, {line.key: line for line in lines}) for i, lines in views]
        for statement in body:
            if isinstance(statement, tree.Let):
                self.let(statement)
            elif isinstance(statement, tree.Default):
                unit.defaults[-1] = [*unit.defaults[-1], statement]
            else:
                number = unit.definition.line_numbers[id(statement)]
                lines = [(i, known[number]) for i, known in by_key]
                on = [(i, line.terms) for i, line in lines if line.on]
                if statement.condition is None:
                    found += self.links(statement.terms, on)
                    continue
                test = unit.ctor(translate(statement.condition, unit))
                known_truth = truth(test)
                if known_truth is None and len(on) in (0, len(lines)):
                    known_truth = bool(on)
                (term,) = statement.terms
                inside = [(i, terms[0]) for i, terms in on]
                if known_truth is True:
                    found += self.links(statement.terms, on)
                else:
                    off = python.constant(False)
                    found.append(
                        Link(
                            term,
                            inside,
                            off if known_truth is False else test,
                            list(unit.defaults),
                        )
                    )
        unit.defaults = unit.defaults[:-1]
        return found

    def sequence(self, links: Sequence[Link], entered: T) -> tuple[list[ast.expr], T]:
        """The modules of a chain, and what comes out."""
        found: list[ast.expr] = []
        for link in links:
            items, entered = self.link(link, entered)
            alone = len(links) == 1
            found += items if alone else [sequential(items)]
        return found, entered

    def link(self, link: Link, entered: T) -> tuple[list[ast.expr], T]:
        """One link: a module, or those of a repeat."""
        unit = self.unit
        if link.test is not None and truth(link.test) is False:
            return [python.call("nn.Identity")], entered
        outer, unit.defaults = unit.defaults, link.defaults
        match link.term:
            case tree.CallTerm():
                module, out = self.module(link.term, link.views, entered)
                items = [module]
            case tree.RepeatTerm():
                items, out = self.repeated(link.term, link.views, entered)
            case tree.ForTerm():
                items, out = self.rows(link.term, link.views, entered)
            case _:
                raise CannotTranslateError("no module")
        unit.defaults = outer
        if link.test is not None:
            chosen = python_choice(link.test, sequential(items), python.call("nn.Identity"))
            shape = merged(unit, link.test, out, entered)
            joined = T(shape, out.run, [*out.ids, *entered.ids])
            return [chosen], joined
        return items, out

    def module(self, term: tree.CallTerm, views: Views[Any], entered: T) -> tuple[ast.expr, T]:
        """One step as a module."""
        self.agree([(i, type(one).__name__) for i, one in views])
        if isinstance(views[0][1], Call):
            unit, arguments = self.block(term, views, (entered,))
            outputs = unit.outputs
            if len(outputs) != 1 or unit.extras:
                raise CannotTranslateError("a block of several outputs in a chain")
            shape = self.left(unit, arguments, 0, (entered,), views)
            call = ast.Call(python.name(unit.name), *arguments.call())
            return call, self.inner(shape, [(i, one.outputs[0]) for i, one in views])
        modules, tensors = self.step_modules(term, views, (entered,))
        if not modules:
            return python.call("nn.Identity"), entered
        return fused(modules), tensors[-1]

    # --- repeats and tables of modules

    def repeated(
        self, term: tree.RepeatTerm, views: Views[Repeat], entered: T
    ) -> tuple[list[ast.expr], T]:
        """`term * n`: the first and the rest, or a loop that threads the channels."""
        unit = self.unit
        times = unit.ctor(translate(term.times, unit))
        count = python.number(times)
        some = [(i, one) for i, one in views if one.items]
        if count == 0 or not some:
            if count != 0:
                raise CannotTranslateError("a repeat that no instance has")
            return [], entered
        outer = unit.repeat
        try:
            if isinstance(count, int):
                unit.repeat = True
                first, out = self.turn(
                    term.term, [(i, one.items[0]) for i, one in some], entered
                )
                if count == 1:
                    return [first], out
                unit.repeat = False
                later = [(i, item) for i, one in some for item in one.items[1:]]
                rest, end = self.turn(term.term, later, out)
                if python.same(python.node_of(out.shape[0]), python.node_of(end.shape[0])):
                    found = [*[first] * 1, *repeats(rest, count - 1)]
                    if python.same(first, rest):
                        found = repeats(first, count)
                    return found, self.outside(end, views, end.shape[0])
            return self.threaded(term, times, some, entered)
        finally:
            unit.repeat = outer

    def turn(self, term: tree.Term, views: Views[Any], entered: T) -> tuple[ast.expr, T]:
        """One turn of a repeat."""
        links = self.links((term,), [(i, [one]) for i, one in views])
        items, out = self.sequence(links, entered)
        return sequential(items), out

    def outside(self, out: T, views: Views[Any], channels: int) -> T:
        """What leaves a loop: its sizes are those of the last turn."""
        found = [(i, term.outputs[0]) for i, term in views]
        instance, one = found[0]
        sizes = instance.network.shapes[one.node][one.output]
        shape: list[int] = [python.carry(int(sizes[0]), python.node_of(channels))]
        for axis, size in enumerate(sizes[1:], 1):
            fixed = not isinstance(out.shape[axis], python.Int)
            shape.append(int(size) if fixed else python.Int(int(size), python.name("§")))
        return self.inner(shape, found)

    def threaded(
        self, term: tree.RepeatTerm, times: ast.expr, views: Views[Repeat], entered: T
    ) -> tuple[list[ast.expr], T]:
        """A loop whose channels change from turn to turn."""
        unit = self.unit
        index = self.local("i")
        entry = python.node_of(entered.shape[0])
        around = isinstance(entry, ast.Name) and entry.id in self.threads
        variable = entry.id if around else self.local("c_in")  # type: ignore[attr-defined]
        leaf = T(
            (python.Int(int(entered.shape[0]), python.name(variable)), *entered.shape[1:]),
            entered.run,
            list(entered.ids),
        )
        first = ast.Compare(python.name(index), [ast.Eq()], [python.constant(0)])
        unit.repeat = first
        items = [(i, item) for i, one in views for item in one.items]
        module, out = self.turn(term.term, items, leaf)
        return self.loop_of(
            variable, entered, out, module, python.name(index),
            python.call("range", times), views, times,
        )  # fmt: skip

    def loop_of(
        self,
        variable: str,
        entered: T,
        out: T,
        module: ast.expr,
        target: ast.expr,
        over: ast.expr,
        views: Views[Any],
        times: ast.expr | None,
        last: dict[str, ast.expr] | None = None,
    ) -> tuple[list[ast.expr], T]:
        """`for … in …: layers.append(…)`, or a comprehension where nothing is threaded."""
        unit = self.unit
        entry = python.node_of(entered.shape[0])
        end = python.node_of(out.shape[0])
        threads = variable in python.names_in(module)
        grows = variable in python.names_in(end)
        names = {n.id for n in ast.walk(target) if isinstance(n, ast.Name)}
        if python.same(end, entry) or python.same(end, python.name(variable)):
            module = python.replace(module, {variable: entry})
            used = python.names_in(module)
            plain = target if names & used else python.name("_")
            comprehension = ast.comprehension(python.stored(plain), over, [], 0)
            found: list[ast.expr] = [
                ast.Starred(ast.GeneratorExp(module, [comprehension]), ast.Load())
            ]
            return found, self.outside(out, views, python.carry(int(out.shape[0]), entry))
        if grows:
            step = _difference(end, variable)
            if times is None or step is None or names & python.names_in(step):
                channels: ast.expr = python.name(variable)
            else:
                channels = python.binary("+", entry, python.binary("*", times, step))
        else:
            channels = python.replace(end, last or {})
            if names & python.names_in(channels):
                channels = python.name(variable)
        body: list[ast.stmt] = []
        layers_ = self.local("layers")
        if not threads and not python.same(channels, python.name(variable)):
            plain = target if names & python.names_in(module) else python.name("_")
            comprehension = ast.comprehension(python.stored(plain), over, [], 0)
            starred = ast.Starred(ast.GeneratorExp(module, [comprehension]), ast.Load())
            return [starred], self.outside(
                out, views, python.carry(int(out.shape[0]), channels)
            )
        if not python.same(entry, python.name(variable)):
            unit.init.append(python.assign(variable, entry))
        else:  # the loop around this one threads the same channels
            self.threads[variable] = end
        unit.init.append(no_modules(layers_))
        append = python.call(python.attribute(python.name(layers_), "append"), module)
        body += [ast.Expr(append), python.assign(variable, end)]
        used = names & (python.names_in(module) | python.names_in(end))
        plain = target if used else python.name("_")
        unit.init.append(ast.For(python.stored(plain), over, body, []))
        found = [ast.Starred(python.name(layers_), ast.Load())]
        return found, self.outside(out, views, python.carry(int(out.shape[0]), channels))

    def local(self, wanted: str) -> str:
        """A new local variable of the constructor."""
        unit = self.unit
        name, number = wanted, 1
        while name in unit.locals:
            number += 1
            name = f"{wanted}{number}"
        unit.locals.add(name)
        return name

    def rows(
        self, term: tree.ForTerm, views: Views[Loop], entered: T
    ) -> tuple[list[ast.expr], T]:
        """`for` over a table of modules."""
        unit = self.unit
        some = [(i, one) for i, one in views if one.bodies]
        if not some:
            raise CannotTranslateError("a loop that no instance has")
        columns, over, last = self.table(term, some)
        variable = self.local("c_in")
        self.threads[variable] = None
        outer_meanings = dict(unit.meanings)
        before = len(unit.init)
        unit.meanings |= columns
        leaf = T(
            (python.Int(int(entered.shape[0]), python.name(variable)), *entered.shape[1:]),
            entered.run,
            list(entered.ids),
        )
        inside = [(i, body) for i, one in some for body in one.bodies]
        links = self.grouped(term.body, inside)
        items, out = self.sequence(links, leaf)
        statements = unit.init[before:]
        del unit.init[before:]
        unit.meanings = outer_meanings
        names = [identifier(name) for name in columns]
        used = {n for node in (*statements, *items) for n in python.names_in(node)}
        used |= python.names_in(python.node_of(out.shape[0]))
        kept = [n for n, name in enumerate(names) if name in used]
        target: ast.expr = python.name("_")
        if kept:
            cells = [python.name(names[n]) for n in kept]
            target = cells[0] if len(cells) == 1 else ast.Tuple(list(cells), ast.Load())
        rows = over
        if isinstance(over, ast.Tuple) and term.rows is not None:
            picked = []
            for row in over.elts:
                assert isinstance(row, ast.Tuple)
                left = [row.elts[n] for n in kept]
                picked.append(left[0] if len(left) == 1 else ast.Tuple(list(left), ast.Load()))
            rows = (
                ast.Tuple(picked, ast.Load())
                if kept
                else python.call("range", python.constant(len(over.elts)))
            )
        if statements:
            return self.nested(
                variable, entered, out, items, target, rows, some, statements, last
            )
        return self.loop_of(
            variable, entered, out, sequential(items), target, rows, some, None, last
        )

    def nested(
        self,
        variable: str,
        entered: T,
        out: T,
        items: list[ast.expr],
        target: ast.expr,
        rows: ast.expr,
        views: Views[Loop],
        statements: list[ast.stmt],
        last: dict[str, ast.expr],
    ) -> tuple[list[ast.expr], T]:
        """A loop whose body has statements: an inner loop, a `let`."""
        unit = self.unit
        entry, end = python.node_of(entered.shape[0]), python.node_of(out.shape[0])
        layers_ = self.local("blocks")
        if not python.same(entry, python.name(variable)):
            unit.init.append(python.assign(variable, entry))
        else:  # the loop around this one threads the same channels
            self.threads[variable] = end
        unit.init.append(no_modules(layers_))
        append = python.call(
            python.attribute(python.name(layers_), "append"), sequential(items)
        )
        body: list[ast.stmt] = [*statements, ast.Expr(append)]
        done = self.threads.get(variable)
        if not python.same(end, python.name(variable)) and not python.same(end, done):
            body.append(python.assign(variable, end))
        unit.init.append(ast.For(python.stored(target), rows, body, []))
        names = {n.id for n in ast.walk(target) if isinstance(n, ast.Name)}
        channels = python.replace(end, last)
        if variable in python.names_in(channels) or names & python.names_in(channels):
            channels = python.name(variable)
        found: list[ast.expr] = [ast.Starred(python.name(layers_), ast.Load())]
        return found, self.outside(out, views, python.carry(int(out.shape[0]), channels))

    def table(
        self, term: tree.ForTerm, views: Views[Loop]
    ) -> tuple[dict[str, Any], ast.expr, dict[str, ast.expr]]:
        """The columns' meanings in a loop, what it goes over, and the last row's values."""
        unit = self.unit
        names = [name for name, _ in term.header]
        if term.rows is None:
            assert term.range is not None
            over = unit.ctor(translate(term.range, unit))
            (name,) = names
            column: dict[str, Any] = {name: python.name(identifier(name))}
            last: dict[str, ast.expr] = {}
            match over:
                case ast.Call(func=ast.Name(id="range"), args=[*_, high]):
                    last = {identifier(name): python.binary("-", high, python.constant(1))}
                case ast.Tuple(elts=[*_, end]):
                    last = {identifier(name): end}
            return column, over, last
        loop = views[0][1]
        columns: dict[str, Any] = {}
        cells: list[list[ast.expr]] = [[] for _ in term.rows]
        for number, name in enumerate(names):
            values = [row[number] for row in loop.rows]
            found = [self.cell(row[number], values[n]) for n, row in enumerate(term.rows)]
            nodes: list[ast.expr] = []
            takes: set[bool] = set()
            for one in found:
                if isinstance(one, ast.expr):
                    nodes.append(one)
                else:
                    rank = len(loop.inputs[0].shape) - 1
                    known = steps.callable_node(unit, one, rank)
                    if known is None:
                        raise CannotTranslateError("a table with an operation or none")
                    nodes.append(known[0])
                    takes.add(known[1])
            if len(takes) > 1 or (takes and len(nodes) != len(found)):
                raise CannotTranslateError("a table of unlike operations")
            nodes = self.cubes(nodes)
            named = python.name(identifier(name))
            same = all(python.same(node, nodes[0]) for node in nodes)
            constant = literal(nodes[0]) is not None and same
            columns[name] = Layer(named, takes.pop()) if takes else named
            first = literal(nodes[0])
            if first is not None and isinstance(first[0], tuple):
                parts = [python.item(named, python.constant(n)) for n in range(len(first[0]))]
                columns[name] = ast.Tuple(list(parts), ast.Load())
            if constant and literal(nodes[0]) == (None,):
                columns[name] = nodes[0]
            for row, node in zip(cells, nodes, strict=True):
                row.append(node)
        rows = ast.Tuple([ast.Tuple(row, ast.Load()) for row in cells], ast.Load())
        final = {identifier(n): node for n, node in zip(names, cells[-1], strict=True)}
        return columns, rows, final

    def cell(self, written: tree.Expression | None, value: object) -> Any:
        """One cell of a table."""
        if written is None:
            return python.constant(value if isinstance(value, bool) else None)
        try:
            return self.unit.ctor(translate(written, self.unit))
        except CannotTranslateError:
            return steps.meaning(self.unit, written)

    def cubes(self, nodes: list[ast.expr]) -> list[ast.expr]:
        """Sizes of one number, where all are cubes: `3` for `3x3`."""
        values = [literal(node) for node in nodes]
        found = []
        for value in values:
            if value is None or not isinstance(value[0], tuple):
                return nodes
            if not value[0] or len(set(value[0])) > 1:
                return nodes
            found.append(python.constant(value[0][0]))
        return found

    # --- terms in `forward`

    def term(
        self, term: tree.Term, views: Views[Any], flow: Flow | None, hint: str
    ) -> Flow | None:
        """One term of a line."""
        unit = self.unit
        match term:
            case tree.CallTerm():
                return self.call(term, views, flow, hint)
            case tree.GroupTerm(body=body):
                inside = [(i, group.body) for i, group in views]
                return self.body(body, inside, flow)
            case tree.RepeatTerm():
                chain = self.modules.chains.get(id(term))
                if chain is not None and flow is not None and len(flow) == 1:
                    return self.chain(
                        term, chain, (term,), [(i, [r]) for i, r in views], flow[0]
                    )
                self.agree([(i, len(one.items)) for i, one in views])
                outer = unit.repeat
                for number in range(len(views[0][1].items)):
                    unit.repeat = number == 0
                    self.stack.append(number)
                    inside = [(i, one.items[number]) for i, one in views]
                    flow = self.term(term.term, inside, flow, "")
                    self.stack.pop()
                unit.repeat = outer
                return flow
            case tree.ForTerm():
                return self.loop(term, views, flow, None)
            case tree.EachTerm():
                return self.each(term, views, flow)
        raise CannotTranslateError("a term")

    def loop(
        self,
        term: tree.ForTerm,
        views: Views[Loop],
        flow: Flow | None,
        operands: list[Operand] | None,
    ) -> Flow | None:
        """`for`, turn by turn."""
        unit = self.unit
        self.agree([(i, python.plain(_known(one.rows))) for i, one in views])
        outer = dict(unit.meanings)
        for number, row in enumerate(views[0][1].rows):
            for column, (name, _) in enumerate(term.header):
                written = term.rows[number][column] if term.rows is not None else None
                if written is None:
                    value = row[column]
                    unit.meanings[name] = python.constant(python.plain(value))
                else:
                    unit.meanings[name] = self.cell(written, row[column])
            self.stack.append(number)
            inside = [(i, one.bodies[number]) for i, one in views]
            if operands is not None:
                self.body(term.body, inside, flow, operands=operands)
            else:
                flow = self.body(term.body, inside, flow)
            self.stack.pop()
        unit.meanings = {**unit.meanings, **outer}
        for name, _ in term.header:
            if name not in outer:
                unit.meanings.pop(name, None)
        return flow

    def each(self, term: tree.EachTerm, views: Views[Each], flow: Flow | None) -> Flow:
        """One module, called once a line; or mapped over the first axis."""
        unit = self.unit
        if term.operands is None:
            return self.each_row(term, views, flow)
        outer, unit.skip = unit.skip, flow or ()
        operands: list[Operand] = []
        lines = [(i, one.lines or []) for i, one in views]
        self.body(term.operands, lines, flow, operands=operands)
        unit.skip = outer
        if any(operand.test is not None for operand in operands):
            raise CannotTranslateError("a condition in `each`")
        self.agree([(i, len(one.calls)) for i, one in views])
        found: list[T] = []
        for number in range(len(views[0][1].calls)):
            inside = [(i, one.calls[number]) for i, one in views]
            entered = self.flow_of([(i, one.inputs) for i, one in inside])
            found += self.term(term.term, inside, entered, "") or ()
        return tuple(found)

    def each_row(self, term: tree.EachTerm, views: Views[Each], flow: Flow | None) -> Flow:
        """The rows join the batch, and leave it."""
        entered = flow or ()
        calls = [(i, one.calls[0]) for i, one in views]
        inner: list[T] = []
        for number, tensor in enumerate(entered):
            found = [(i, call.inputs[number]) for i, call in calls]
            instance, one = found[0]
            op = instance.network.node(one.node).op
            said = op.torch(tuple(map(int, tensor.shape)))
            assert said.function is not None
            run = layers.apply(said.function, [tensor.run])
            inner.append(self.made(run, tensor.shape[1:], found))
        results = self.term(term.term, calls, tuple(inner), "") or ()
        outside: list[T] = []
        for number, tensor in enumerate(results):
            found = [(i, one.outputs[number]) for i, one in views]
            self.agree([(i, int(i.network.shapes[t.node][0][0])) for i, t in found])
            instance, one = found[0]
            # The rows' number and the batch are those of what entered, though there be none.
            axes = ast.Slice(None, python.constant(2))
            whole = python.item(python.attribute(entered[0].run, "shape"), axes)
            unflatten = python.attribute(tensor.run, "unflatten")
            run = python.call(unflatten, python.constant(0), whole)
            rows = int(instance.network.shapes[one.node][0][0])
            outside.append(self.made(run, (rows, *tensor.shape), found))
        return tuple(outside)

    # --- calls in `forward`

    def call(
        self, term: tree.CallTerm, views: Views[Any], flow: Flow | None, hint: str
    ) -> Flow:
        """An operation or a block, with its operands."""
        unit = self.unit
        self.agree([(i, type(one).__name__) for i, one in views])
        operands = [Operand(one) for one in flow or ()]
        if term.operands is not None:
            outer, unit.skip = unit.skip, flow or ()
            firm, self.firm = self.firm, not self.joins(term)
            operands = []
            lines = [(i, one.lines or []) for i, one in views]
            if self.firm:
                self.agree([(i, len(one.inputs)) for i, one in views])
            self.body(term.operands, lines, flow, operands=operands)
            unit.skip, self.firm = outer, firm
        if isinstance(views[0][1], Call):
            return self.block_call(term, views, operands, hint)
        return self.step(term, views, operands, hint)

    def joins(self, term: tree.CallTerm) -> bool:
        """Whether a step takes as many operands as there are."""
        ref = steps.callee(self.unit, term.path.name)
        cls = ref.target if isinstance(ref, OpValue) else None
        return isinstance(cls, type) and issubclass(cls, Op) and cls.join

    def step(
        self, term: tree.CallTerm, views: Views[Step], operands: list[Operand], hint: str
    ) -> Flow:
        """An operation."""
        unit = self.unit
        ref = steps.callee(unit, term.path.name)
        cls = ref.target if isinstance(ref, OpValue) else None
        join = isinstance(cls, type) and issubclass(cls, Op) and cls.join
        if join and any(operand.test is not None for operand in operands):
            return (self.joined(term, views, operands, hint),)
        if any(operand.test is not None for operand in operands):
            raise CannotTranslateError("an operand that is not always there")
        self.agree([(i, len(one.nodes)) for i, one in views])
        if not views[0][1].nodes:
            if join and len(operands) != 1:
                raise CannotTranslateError("a join of one")
            return tuple(operand.tensor for operand in operands)
        entered = tuple(operand.tensor for operand in operands)
        if not join and len(views[0][1].inputs) != len(entered):
            entered = self.flow_of([(i, one.inputs) for i, one in views])
        said = self.function_of(term, views, entered)
        outputs = [(i, one.outputs) for i, one in views]
        if said is not None:
            run, shapes = said
            return self.results(run, shapes, outputs, hint)
        modules, tensors = self.step_modules(term, views, entered)
        site = self.modules.sites.get(id(term))
        name = site.name if site is not None else unit.attribute(term.path.name)
        whole = fused(modules)
        if len(entered) > 1:
            whole.fused = False  # type: ignore[attr-defined]
        access = self.register(name, whole) if site is not None else self.own(name, modules)
        run = python.call(access, *(tensor.run for tensor in entered))
        if len(entered) > 1 and len(modules) > 1:  # a sequence takes one input
            first = python.item(access, python.constant(0))
            run = python.call(first, *(tensor.run for tensor in entered))
            for number in range(1, len(modules)):
                run = python.call(python.item(access, python.constant(number)), run)
        return self.results(run, [tensors[-1].shape], outputs, hint)

    def own(self, name: str, modules: list[ast.expr]) -> ast.expr:
        """Register a module without weights."""
        module = fused(modules)
        for test in reversed(self.unit.conditions):
            module = python_choice(test, module, python.call("nn.Identity"))
        for known, statement in self.single.items():
            if python.same(statement.value, module) and not self.stack:
                self.unit.attributes.discard(name)
                return python.dotted(f"self.{known}")
        self.single[name] = python.assign(f"self.{name}", module)
        self.unit.init.append(self.single[name])
        return python.dotted(f"self.{name}")

    def function_of(
        self, term: tree.CallTerm, views: Views[Step], entered: Flow
    ) -> tuple[ast.expr, list[tuple[int, ...]]] | None:
        """The expression of a step without a module, and its outputs' shapes."""
        unit = self.unit
        if id(term) in self.modules.sites or len(views[0][1].nodes) != 1:
            return None
        shapes = self.revalued(views[0], entered)
        op = self.operation(term, views, 0, shapes)
        if op is None:
            return None
        said = op.torch(*shapes)
        if said.function is None or op.weights(*shapes):
            return None
        if said.helper:
            self.help(said.helper)

        def spell(value: object) -> ast.expr:
            return unit.run(python.node_of(value))

        run = layers.apply(said.function, [tensor.run for tensor in entered], spell)
        return run, list(op.shapes(*shapes))

    def results(
        self,
        run: ast.expr,
        shapes: Sequence[tuple[int, ...]],
        outputs: Views[tuple[Tensor, ...]],
        hint: str,
    ) -> Flow:
        """Name what a step gives."""
        if len(outputs[0][1]) == 1:
            return (self.made(run, shapes[0], [(i, o[0]) for i, o in outputs], hint),)
        self.agree([(i, len(o)) for i, o in outputs])
        unit = self.unit
        count = len(outputs[0][1])
        names = [unit.variable(hint) for _ in range(count)]
        target = ast.Tuple([python.name(n) for n in names], ast.Load())
        unit.fwd.append(ast.Assign([python.stored(target)], run))
        found: list[T] = []
        for number, (name, shape) in enumerate(zip(names, shapes, strict=True)):
            tensor = T((), python.name(name))
            unit.shaped(tensor, shape)
            found.append(unit.bind(tensor, [(i, o[number]) for i, o in outputs]))
        return tuple(found)

    def joined(
        self, term: tree.CallTerm, views: Views[Step], operands: list[Operand], hint: str
    ) -> T:
        """A join of which some lines are there or not."""
        unit = self.unit
        name = term.path.name
        always = [o for o in operands if o.test is None]
        if not always:
            raise CannotTranslateError("a join whose lines are all conditional")
        outputs = [(i, one.outputs[0]) for i, one in views]
        if name == "add":
            shape = always[0].tensor.shape
            if len(operands) == 2:
                a, b = operands
                whole = python.operation(a.tensor.run, "+", b.tensor.run)
                test = a.test or b.test
                assert test is not None
                run: ast.expr = ast.IfExp(test, whole, always[0].tensor.run)
                return self.made(run, shape, outputs, hint)
            listed_ = self.list_of(operands)
            return self.made(python.call("sum", listed_), shape, outputs, hint)
        if name == "concat":
            said = steps.given(unit, name, steps.callee(unit, name), term.arguments)  # type: ignore[arg-type]
            axis = python.number(said.nodes.get("axis", python.constant(0)))
            total: ast.expr | None = None
            for operand in operands:
                width = python.node_of(operand.tensor.shape[axis])  # type: ignore[index]
                if operand.test is not None:
                    test = self.tests.get(ast.dump(operand.test))
                    if test is None:
                        raise CannotTranslateError("a condition")
                    width = ast.IfExp(test, width, python.constant(0))
                total = width if total is None else python.binary("+", total, width)
            assert total is not None
            values = views[0][0].network.shapes[views[0][1].outputs[0].node][0]
            sizes = list(always[0].tensor.shape)
            sizes[axis] = python.carry(int(values[axis]), total)  # type: ignore[index]
            run = python.call("torch.cat", self.list_of(operands), python.constant(axis + 1))  # type: ignore[operator]
            return self.made(run, sizes, outputs, hint)
        raise CannotTranslateError(f"{name} of lines that come and go")

    @property
    def tests(self) -> dict[str, ast.expr]:
        """The constructor's condition of each flag in `forward`."""
        found = {}
        for name, node in self.unit.kept.items():
            found[ast.dump(python.dotted(f"self.{name}"))] = node
        return found

    def list_of(self, operands: list[Operand]) -> ast.expr:
        """A list to which conditional operands are appended."""
        unit = self.unit
        first = 0
        while first < len(operands) and operands[first].test is None:
            first += 1
        name = unit.variable("parts")
        start = python.listed([o.tensor.run for o in operands[:first]])
        unit.fwd.append(python.assign(name, start))
        for operand in operands[first:]:
            append = ast.Expr(
                python.call(python.attribute(python.name(name), "append"), operand.tensor.run)
            )
            if operand.test is None:
                unit.fwd.append(append)
            else:
                unit.fwd.append(ast.If(operand.test, [append], []))
        return python.name(name)

    def revalued(self, view: tuple[Instance, Step], entered: Flow) -> list[tuple[int, ...]]:
        """The shapes that enter a step, with the numbers of the instance that is asked."""
        instance, one = view
        found: list[tuple[int, ...]] = []
        for tensor, source in zip(entered, one.inputs, strict=True):
            sizes = instance.network.shapes[source.node][source.output]
            found.append(
                tuple(
                    python.carry(int(value), python.node_of(size))
                    if isinstance(size, python.Int)
                    else int(value)
                    for size, value in zip(tensor.shape, sizes, strict=True)
                )
            )
        return found

    def operation(
        self, term: tree.CallTerm, views: Views[Step], layer: int, shapes: Sequence[Any]
    ) -> Op | None:
        """The operation of a step, carrying what it was written as; None for a parameter."""
        unit = self.unit
        ops = [(i, i.network.node(one.nodes[layer]).op) for i, one in views]
        ref = steps.callee(unit, term.path.name)
        if isinstance(ref, Layer):
            return None
        assert isinstance(ref, OpValue)
        said = steps.given(unit, ref.name, ref, term.arguments)
        self.agree([(i, op.name) for i, op in ops])
        return steps.carried(unit, type(ops[0][1]), ops, said, shapes)

    def step_modules(
        self, term: tree.CallTerm, views: Views[Step], entered: Flow
    ) -> tuple[list[ast.expr], list[T]]:
        """The constructor's calls for a step's layers, and what comes out of each."""
        unit = self.unit
        self.agree([(i, (len(one.slots), one.slots[1:])) for i, one in views])
        first = views[0][1]
        if not first.nodes:
            return [], []
        ref = steps.callee(unit, term.path.name)
        if ref is None:
            raise CannotTranslateError(f"{term.path.name} is none, and is not {unit.meanings}")
        modules: list[ast.expr] = []
        tensors: list[T] = []
        shapes = self.revalued(views[0], entered)
        fused_with: dict[str, Any] = {}
        for layer, slot in enumerate(first.slots):
            node_views = [(i, Tensor(one.nodes[layer], 0, ())) for i, one in views]
            ops = [(i, i.network.node(one.nodes[layer]).op) for i, one in views]
            if layer == 0:
                found: Any = ref
                if isinstance(ref, OpValue):
                    said = steps.given(unit, ref.name, ref, term.arguments)
                    fused_with = said.operations
            else:
                found = fused_with.get(slot)
                if isinstance(found, OpValue):
                    said = steps.given(unit, found.name, found, ())
            if isinstance(found, Layer):
                modules.append(
                    python.call(
                        found.node,
                        *([unit.ctor(python.node_of(shapes[0][0]))] if found.takes else []),
                    )
                )
                shape = shapes[0]
                if any(op.family not in steps.KEEPS for _, op in ops):
                    raise CannotTranslateError("a parameter that changes the shape")
                tensors.append(self.inner(shape, node_views))
            else:
                if not isinstance(found, OpValue):
                    raise CannotTranslateError(
                        f"a layer that is not written: {slot} {found} {fused_with}"
                    )
                self.agree([(i, op.name) for i, op in ops])
                op = steps.carried(unit, type(ops[0][1]), ops, said, shapes)
                torch = op.torch(*shapes)
                if torch.module is None:
                    raise CannotTranslateError(f"{op.name} is no module")
                if torch.helper:
                    self.help(torch.helper)

                def spell(value: object) -> ast.expr:
                    return unit.ctor(python.node_of(value))

                modules.append(layers.construct(torch.module, spell))
                tensors.append(self.inner(op.shape(*shapes), node_views))
            shapes = [tensors[-1].shape]
        return modules, tensors

    # --- blocks

    def block(
        self, term: tree.CallTerm, views: Views[Call], entered: Sequence[T | list[T]]
    ) -> tuple[Unit, Arguments]:
        """The class of a called block, and the arguments of its constructor."""
        unit = self.unit
        ref = steps.callee(unit, term.path.name)
        if not isinstance(ref, OpValue) or not isinstance(ref.target, BlockDefinition):
            raise CannotTranslateError("a block that is a parameter")
        insts = [self.instance_of(i, one.block) for i, one in views]
        callee = self.called(ref.target, [i for i, _ in views], insts)
        said = steps.given(unit, ref.name, ref, term.arguments)
        for name, known in [*said.nodes.items()]:
            said.nodes[name] = unit.ctor(known)
        ports = dict(zip(callee.ports, entered, strict=True))
        rank = 2
        for one in entered:
            first = one[0] if isinstance(one, list) and one else one
            if isinstance(first, T):
                rank = len(first.shape) - 1
        arguments = Arguments(self, callee, ports, said, rank)
        self.passed(callee.definition, arguments)
        return callee, arguments

    def block_call(
        self, term: tree.CallTerm, views: Views[Call], operands: list[Operand], hint: str
    ) -> Flow:
        """A block, in `forward`."""
        if any(operand.test is not None for operand in operands):
            raise CannotTranslateError("an operand that is not always there")
        unit = self.unit
        self.agree([(i, tuple(one.block.inputs)) for i, one in views])
        entered: dict[str, T | list[T]] = {}
        for number, port in enumerate(views[0][1].block.inputs):
            tensor = self.lookup([(i, one.inputs[number]) for i, one in views])
            if len(operands) == len(views[0][1].inputs):
                tensor = operands[number].tensor
            family, bracket, _ = port.partition("[")
            if bracket:
                many = entered.setdefault(family, [])
                assert isinstance(many, list)
                many.append(tensor)
            else:
                entered[port] = tensor
        for port_ in self.declared(term) or ():
            if port_.many:
                entered.setdefault(port_.name, [])
        callee, arguments = self.block(term, views, list(entered.values()))
        site = self.modules.sites.get(id(term))
        name = site.name if site is not None else unit.attribute("block")
        access = self.register(name, ast.Call(python.name(callee.name), *arguments.call()))
        given = [
            python.listed([t.run for t in one]) if isinstance(one, list) else one.run
            for one in entered.values()
        ]
        run = python.call(access, *given)
        outputs = [(i, one.outputs) for i, one in views]
        present = [n for n, (_, tensor) in enumerate(callee.outputs) if tensor is not None]
        shapes = [
            self.left(callee, arguments, n, tuple(entered.values()), views) for n in present
        ]
        if callee.extras:
            return self.exposed(callee, arguments, run, shapes, views, entered, hint)
        return self.results(run, shapes, outputs, hint)

    def declared(self, term: tree.CallTerm) -> Any:
        """The ports of a called block."""
        ref = steps.callee(self.unit, term.path.name)
        assert isinstance(ref, OpValue)
        assert isinstance(ref.target, BlockDefinition)
        return ref.target.declaration.inputs

    def exposed(
        self,
        callee: Unit,
        arguments: Arguments,
        run: ast.expr,
        shapes: list[tuple[int, ...]],
        views: Views[Call],
        entered: dict[str, T | list[T]],
        hint: str,
    ) -> Flow:
        """A block that returns labels inside it too."""
        unit = self.unit
        count = len(shapes)
        names = [unit.variable(hint) for _ in range(count)]
        names += [unit.variable() for _ in callee.extras]
        target = ast.Tuple([python.name(n) for n in names], ast.Load())
        unit.fwd.append(ast.Assign([python.stored(target)], run))
        found: list[T] = []
        for number in range(count):
            tensor = T((), python.name(names[number]))
            unit.shaped(tensor, shapes[number])
            unit.bind(tensor, [(i, one.outputs[number]) for i, one in views])
            found.append(tensor)
        for number, extra in enumerate(callee.extras):
            tensor = T((), python.name(names[count + number]))
            ids: list[tuple[Instance, Tensor]] = []
            for i, one in views:
                instance = self.instance_of(i, one.block)
                for _, node, output in [x for x in extra.ids if x[0] == id(instance.block)]:
                    ids.append((i, Tensor(node, output, ())))
            if not ids:
                raise CannotTranslateError("a label inside that not all instances have")
            sizes = ids[0][0].network.shapes[ids[0][1].node][ids[0][1].output]
            shape = self.substituted(callee, arguments, extra, sizes, tuple(entered.values()))
            unit.shaped(tensor, shape)
            unit.bind(tensor, ids)
        return tuple(found)

    def left(
        self,
        callee: Unit,
        arguments: Arguments,
        number: int,
        entered: Sequence[T | list[T]],
        views: Views[Call],
    ) -> tuple[int, ...]:
        """An output's shape in the caller's terms."""
        _, tensor = callee.outputs[number]
        assert tensor is not None
        instance, call = views[0]
        position = len([n for n in range(number) if callee.outputs[n][1] is not None])
        one = call.outputs[min(position, len(call.outputs) - 1)]
        sizes = instance.network.shapes[one.node][one.output]
        return self.substituted(callee, arguments, tensor, sizes, entered)

    def substituted(
        self,
        callee: Unit,
        arguments: Arguments,
        tensor: T,
        sizes: Sequence[int],
        entered: Sequence[T | list[T]],
    ) -> tuple[int, ...]:
        """A shape inside a called block, in the caller's terms."""
        mapping = arguments.mapping()
        shape: list[int] = []
        for axis, size in enumerate(tensor.shape):
            value = int(sizes[axis])
            if not isinstance(size, python.Int):
                shape.append(value)
                continue
            node = size.node
            for _ in range(8):
                node = python.replace(node, callee.lets)
            names = python.names_in(node)
            if any(n.startswith("§") for n in names):
                shape.append(python.Int(value, python.name("§")))
                continue
            free = names & (callee.locals - mapping.keys())
            node = folded(python.replace(node, mapping))
            shape.append(value if free else python.carry(value, node))
        return tuple(shape)


class Arguments:
    """What a call of a block gives its constructor."""

    def __init__(
        self, walk: Walk, callee: Unit, ports: dict[str, T | list[T]], said: Any, rank: int
    ) -> None:
        """Take the channels of what enters, and what is written."""
        self.walk, self.callee, self.said, self.rank = walk, callee, said, rank
        self.channels: dict[str, ast.expr] = {}
        unit = walk.unit
        for port, one in ports.items():
            name = callee.channel_names.get(port)
            if name is None:
                continue
            if isinstance(one, list):
                widths = [unit.ctor(python.node_of(t.shape[0])) for t in one]
                self.channels[name] = ast.Tuple(widths, ast.Load())
            else:
                self.channels[name] = unit.ctor(python.node_of(one.shape[0]))
        self.nodes: dict[str, ast.expr] = {}
        for param in callee.definition.declaration.params:
            name = param.name
            if name in said.operations:
                found = said.operations[name]
                known = steps.callable_node(unit, found, rank)
                self.nodes[name] = known[0] if known is not None else python.constant(None)
            elif name in said.nodes:
                self.nodes[name] = sized(said.nodes[name], param, callee)

    def mapping(self) -> dict[str, ast.expr]:
        """The constructor's arguments in the caller's terms."""
        found = dict(self.channels)
        for name, node in self.callee.arguments.items():
            given = self.nodes.get(node)
            if given is not None:
                found[name] = given
            elif node in self.callee.fallback:
                found[name] = self.callee.fallback[node]
        return found

    def call(self) -> tuple[list[ast.expr], list[ast.keyword]]:
        """Arguments by position as long as they follow, else by keyword."""
        positional: list[ast.expr] = []
        keywords: list[ast.keyword] = []
        for name, _, _ in self.callee.signature:
            param = self.callee.arguments.get(name)
            if param is None:
                node = self.channels.get(name)
                by_position = True
            else:
                node = self.nodes.get(param)
                by_position = param in self.said.positional
            if node is None:
                continue
            if by_position and not keywords and len(positional) == self.place(name):
                positional.append(node)
            else:
                keywords.append(ast.keyword(name, node))
        return positional, keywords

    def place(self, name: str) -> int:
        """An argument's position."""
        return [n for n, _, _ in self.callee.signature].index(name)


def sized(node: ast.expr, param: tree.Param, callee: Unit) -> ast.expr:
    """A size as its parameter takes it: one number, or one for each axis."""
    value = literal(node)
    if param.type.name != "size" or value is None:
        return node
    (found,) = value
    if param.name in callee.wide:
        if isinstance(found, int):
            return python.constant((found,) * callee.wide[param.name])
    elif isinstance(found, tuple) and len(set(found)) == 1:
        return python.constant(found[0])
    return node


def _turns(term: Any) -> list[Tensor]:
    """What comes out of each turn."""
    if isinstance(term, Loop):
        return [body[-1].outputs[0] for body in term.bodies]
    return [item.outputs[0] for item in term.items]


def _known(rows: Sequence[Sequence[object]]) -> tuple[object, ...]:
    return tuple(
        tuple(
            value if isinstance(value, int | float | str | tuple | None) else str(value)
            for value in row
        )
        for row in rows
    )


def _difference(end: ast.expr, variable: str) -> ast.expr | None:
    """`k` of `c_in + k`."""
    match end:
        case ast.BinOp(op=ast.Add(), left=ast.Name(id=name), right=step) if name == variable:
            return step
        case ast.BinOp(op=ast.Add(), left=step, right=ast.Name(id=name)) if name == variable:
            return step
    return None


def merged(unit: Unit, test: ast.expr, on: T, off: T) -> tuple[int, ...]:
    """The shape behind a line that a condition may remove: `t * c_in`, right for t == 1 too."""
    if len(on.shape) != len(off.shape):
        raise CannotTranslateError("two ways of unlike ranks")
    shape: list[int] = []
    for axis, (a, b) in enumerate(zip(on.shape, off.shape, strict=True)):
        x, y = python.node_of(a), python.node_of(b)
        spatial = any(n.startswith("§") for n in python.names_in(x) | python.names_in(y))
        if axis > 0 and (spatial or int(a) != int(b)):
            shape.append(python.Int(int(a), python.name("§")))
            continue
        if python.same(x, y):
            shape.append(a)
            continue
        known = _equal_where(python.negated(test), x, y)
        if known or _equal_where(test, x, y):
            shape.append(a if known else b)
            continue
        shape.append(python.carry(int(a), ast.IfExp(test, x, y)))
    return tuple(shape)


def _says_none(written: tree.Expression) -> bool:
    match written:
        case tree.Value(path=tree.NamePath(name="none", parts=()), arguments=None):
            return True
    return False


def _equal_where(test: ast.expr, x: ast.expr, y: ast.expr) -> bool:
    """Whether two sizes are equal wherever a condition holds: `t * c` and `c` where t is 1."""
    for one in python.conjuncts(test):
        match one:
            case ast.Compare(left=left, ops=[ast.Eq()], comparators=[right]):
                if (python.same(x, left) and python.same(y, right)) or (
                    python.same(x, right) and python.same(y, left)
                ):
                    return True
                if isinstance(left, ast.Name):
                    mapping = {left.id: right}
                    if python.same(python.replace(x, mapping), python.replace(y, mapping)):
                        return True
    return False


def both(flag: ast.expr, test: ast.expr | None) -> ast.expr:
    """Two conditions at once."""
    return flag if test is None else ast.BoolOp(ast.And(), [flag, test])


def python_choice(test: ast.expr, then: ast.expr, other: ast.expr) -> ast.expr:
    """`then if test else other`; an identity stands last."""
    if python.same(then, python.call("nn.Identity")):
        return ast.IfExp(python.negated(test), other, then)
    return ast.IfExp(test, then, other)


def sequential(items: Sequence[ast.expr]) -> ast.expr:
    """`nn.Sequential(…)`; one module is itself."""
    if len(items) == 1 and not isinstance(items[0], ast.Starred):
        return items[0]
    if not items:
        return python.call("nn.Sequential")
    return python.call("nn.Sequential", *items)


def fused(modules: list[ast.expr]) -> ast.expr:
    """A step's layers as one module."""
    if len(modules) == 1:
        return modules[0]
    found = python.call("nn.Sequential", *modules)
    found.fused = True  # type: ignore[attr-defined]
    return found


def no_modules(name: str) -> ast.AnnAssign:
    """`layers: list[nn.Module] = []`."""
    kind = python.item(python.name("list"), python.dotted("nn.Module"))
    return ast.AnnAssign(ast.Name(name, ast.Store()), kind, python.listed([]), 1)


def repeats(module: ast.expr, count: int) -> list[ast.expr]:
    """A module so many times."""
    if count == 1:
        return [module]
    over = python.call("range", python.constant(count))
    comprehension = ast.comprehension(ast.Name("_", ast.Store()), over, [], 0)
    return [ast.Starred(ast.GeneratorExp(module, [comprehension]), ast.Load())]


def listed(known: dict[tuple[int, ...], ast.expr]) -> ast.expr:
    """`nn.ModuleList([…])`, nested by the turns."""
    if () in known:
        return known[()]
    highest = max(turns[0] for turns in known)
    items: list[ast.expr] = []
    for number in range(highest + 1):
        inside = {turns[1:]: node for turns, node in known.items() if turns[0] == number}
        items.append(listed(inside) if inside else python.call("nn.Identity"))
    same = all(python.same(item, items[0]) for item in items)
    if same and len(items) > 1:
        over = python.call("range", python.constant(len(items)))
        comprehension = ast.comprehension(ast.Name("_", ast.Store()), over, [], 0)
        return python.call("nn.ModuleList", ast.GeneratorExp(items[0], [comprehension]))
    return python.call("nn.ModuleList", python.listed(items))
