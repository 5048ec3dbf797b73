"""Lines, and those that a condition keeps or removes."""

from __future__ import annotations

import ast
from contextlib import suppress

from cnndsl.backends.torch import python
from cnndsl.backends.torch.expressions import CannotTranslateError, translate, truth
from cnndsl.backends.torch.instances import Identity, T
from cnndsl.backends.torch.tidy import Rename
from cnndsl.backends.torch.walk.chains import Chains
from cnndsl.backends.torch.walk.parts import (
    Flow,
    Operand,
    Parts,
    UnrollError,
    Views,
    both,
    merged,
    python_choice,
    sequential,
)
from cnndsl.language import tree
from cnndsl.structure import Line, nodes_of


class Lines(Chains):
    """The walk at lines."""

    def alternatives(
        self,
        chain: list[tree.LineStatement],
        views: Views[dict[int, Line]],
        start: Flow | None,
        operands: list[Operand] | None,
    ) -> Flow | None:
        """`a when p`, `else b when q`, `else c`."""
        try:
            return self.ways(chain, views, start, operands)
        except CannotTranslateError as error:
            error.span = error.span or chain[0].span
            raise

    def ways(
        self,
        chain: list[tree.LineStatement],
        views: Views[dict[int, Line]],
        start: Flow | None,
        operands: list[Operand] | None,
    ) -> Flow | None:
        """The same, where a line that has no translation says so itself."""
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
            self.decided(test, known)
        sure = operands is None or self.firm
        if known is None and len(on) == len(views) and not rest and sure:
            if operands is None and python.names_in(test) & unit.arguments.keys():
                size = len(unit.init)
                with suppress(CannotTranslateError):  # another argument takes it away
                    whole = self.conditional(line, on, test, rest, views, start)
                    if whole is not None:
                        return (whole,)
                del unit.init[size:]
            known = True
            self.decided(test, known)
        if known:
            if not on:
                raise CannotTranslateError("a line that no instance has")
            return self.line(line, on, start, operands)
        if known is False:
            if rest:
                return self.alternatives(rest, views, start, operands)
            return start
        if operands is not None and not rest:
            if isinstance(operands, Parts):
                with self.under(test) as fwd:
                    self.line(line, on, start, operands)
                unit.fwd.append(ast.If(self.flag(test, line), fwd, []))
                return None
            inside: list[Operand] = []
            with self.under(test) as fwd:
                self.line(line, on, start, inside)
            if fwd:
                unit.fwd.append(ast.If(self.flag(test, line), fwd, []))
            flag = self.flag(test, line)
            operands += [Operand(one.tensor, both(flag, one.test)) for one in inside]
            return None
        return self.either(line, on, test, rest, views, start, operands)

    def decided(self, test: ast.expr, known: bool) -> None:
        """Note a condition on the arguments that the class takes as settled.

        It may be settled only where the conditions around it hold.
        """
        unit = self.unit
        refused = python.negated(test) if known else test
        settled = python.names_in(refused) & unit.arguments.keys()
        if not (settled and unit.refuse(refused)):
            whole = python.conjunction([*unit.conditions, refused])
            if python.names_in(whole) & unit.arguments.keys():
                unit.refuse(whole)

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
                self.offered(operands, (whole,))
            return (whole,)
        flag = self.flag(test, line)
        sourced = on[0][1].source is not None
        with self.under(test) as then:
            first: list[Operand] | None = None if operands is None else []
            taken = self.line(line, on, start, first)
        alone = operands is None and not rest
        if alone and (whole := self.replaced(line, on, test, then, taken, start)) is not None:
            return (whole,)
        with self.under(python.negated(test)) as other:
            second: list[Operand] | None = None if operands is None else []
            left = (
                self.alternatives(rest, self.off(line, views), start, second) if rest else start
            )
        if operands is not None:
            assert first is not None
            assert second is not None
            if any(one.test is not None for one in (*first, *second)):
                raise CannotTranslateError("a condition in a condition of a join")
            taken, left = tuple(o.tensor for o in first), tuple(o.tensor for o in second)
        left = self.through(line, operands) or left
        absent = not rest and sourced
        if taken is None or (not absent and (left is None or len(left) != len(taken))):
            raise CannotTranslateError("two ways that give unlike values")
        hint = line.labels[0].name if line.labels else ""
        joined: list[T] = []
        for place, tensor in enumerate(taken):
            name = unit.variable(hint)
            then.append(python.assign(name, tensor.run))
            one = T(tensor.shape, python.name(name), list(tensor.ids))
            unit.known |= dict.fromkeys(tensor.ids, one)
            if absent or left is None:
                other.append(python.assign(name, python.constant(None)))
            else:
                give(other, name, left[place])
                one.shape = merged(unit, test, tensor, left[place])
                others = elsewhere(left[place], on)
                one.ids += others
                if rest:
                    unit.known |= dict.fromkeys(others, one)
            joined.append(one)
        alike = len(then) == len(other) and all(map(python.same, then, other))
        unit.fwd += then if alike else [ast.If(flag, then, other)]
        flow = tuple(joined)
        self.label(line, flow, on)
        for one_line in rest:
            self.label(one_line, flow, on)
        if operands is not None:
            self.offered(operands, flow)
        return flow

    def off(
        self, line: tree.LineStatement, views: Views[dict[int, Line]]
    ) -> Views[dict[int, Line]]:
        """Where a line is not there."""
        number = self.unit.definition.line_numbers[id(line)]
        return [(i, found) for i, found in views if number not in found or not found[number].on]

    def through(self, line: tree.LineStatement, operands: object) -> Flow | None:
        """What entered, where a block's last line gives the next of its kind its input."""
        declaration, unit = self.unit.definition.declaration, self.unit
        if operands is not None or line is not declaration.body[-1] or len(line.labels) != 1:
            return None
        for port in declaration.outputs or ():
            if port.condition is not None and port.name == line.labels[0].name:
                entered = unit.ports.get(port.outside)
                return (entered,) if isinstance(entered, T) else None
        return None

    def replaced(
        self,
        line: tree.LineStatement,
        on: Views[Line],
        test: ast.expr,
        then: list[ast.stmt],
        taken: Flow | None,
        start: Flow | None,
    ) -> T | None:
        """A line that is one module in `forward`, in whose place an identity may stand."""
        if taken is None or start is None or len(taken) != 1 or len(start) != 1:
            return None
        if not self.stands_in(test, then, start[0]):
            return None
        self.unit.fwd += then
        joined = T(merged(self.unit, test, taken[0], start[0]), taken[0].run)
        joined.ids = [*taken[0].ids, *elsewhere(start[0], on)]
        self.unit.known |= dict.fromkeys(taken[0].ids, joined)
        self.label(line, (joined,), on)
        return joined

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
        if len(rest) > 1:
            return None
        before = start[0] if start is not None and len(start) == 1 else None
        if not rest and on[0][1].source is not None:
            return None
        name = self.one_module(line)
        other = rest[0] if rest else None
        if other is not None and not self.terms(line):
            entered = self.source_of(line, on)
            if entered is not None:
                whole = self.optional(line, on, test, other, views, entered, before)
                if whole is not None or entered is before:
                    return whole
        if name is None or (other is not None and other.condition is not None):
            return None
        others: Views[Line] = []
        if other is not None:
            second = self.one_module(other)
            number = unit.definition.line_numbers[id(other)]
            others = [(i, lines[number]) for i, lines in views if lines[number].on]
            sources = {self.source_of(line, on), self.source_of(other, others)}
            if second is None or not others or len(sources) > 1:
                return None
            if name != second and line.labels and other.labels and holds(on) and holds(others):
                return None  # each has its own place
            name = name if name == second else name if line.labels else second
        entered = self.source_of(line, on) or before
        if entered is None:
            return None
        with unit.guard(test):
            a, one = self.lone(line, on, entered)
        if other is None:
            b: ast.expr = python.call("nn.Identity")
            shape = merged(unit, test, one, entered)
        else:
            with unit.guard(python.negated(test)):
                b, two = self.lone(other, others, entered)
            shape = merged(unit, test, one, two)
        access = self.register(name, python_choice(test, a, b))
        ids = [(i, x.outputs[0]) for i, x in (*on, *others)]
        joined = self.made(python.call(access, entered.run), shape, ids, self.hint(line))
        if other is None:
            joined.ids += elsewhere(entered, on)
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
        entered: T,
        before: T | None,
    ) -> T | None:
        """What enters, or a module: `self.projection = … if … else nn.Identity()`."""
        name = self.one_module(other)
        number = self.unit.definition.line_numbers[id(other)]
        others = [(i, lines[number]) for i, lines in views if lines[number].on]
        if name is None or not others or other.condition is not None:
            return None
        if (self.source_of(other, others) or before) is not entered:
            return None
        against = python.negated(test)
        with self.unit.guard(against):
            module, out = self.lone(other, others, entered)
        access = self.register(name, python_choice(against, module, python.call("nn.Identity")))
        ids = [(i, x.outputs[0]) for i, x in others]
        shape = merged(self.unit, against, out, entered)
        joined = self.made(python.call(access, entered.run), shape, ids, self.hint(other))
        joined.ids += [i for i in elsewhere(entered, others) if i not in joined.ids]
        self.label(line, (joined,), on)
        self.label(other, (joined,), others)
        return joined

    def lone(
        self, line: tree.LineStatement, views: Views[Line], entered: T
    ) -> tuple[ast.expr, T]:
        """The module of a line that is one."""
        terms = self.terms(line)
        links = self.links(terms, [(i, one.terms) for i, one in views])
        items, out = self.sequence(links, entered)
        return sequential(items), out

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
        if operands is not None and not isinstance(operands, Parts):
            whole = self.counted_list(statement)
            if whole is not None:
                operands.append(whole)
                return None
        if any(line.source is not None for _, line in views):
            flow = self.turn_of(statement) or self.named(statement, views)
            flow = flow or self.flow_of([(i, line.source or ()) for i, line in views])
        if flow == () and self.ended and not _without_flow(terms[0]):
            raise UnrollError(self.ended)
        pairs = [(i, line.terms) for i, line in views]
        if operands is not None and len(terms) == 1 and isinstance(terms[0], tree.ForTerm):
            looped = [(i, found[0]) for i, found in pairs]
            self.loop(terms[0], looped, flow, operands)  # type: ignore[arg-type]
            return None
        chain = self.modules.chains.get(id(statement))
        left = self.left_of(terms, pairs)
        if chain is not None and len(left) < len(terms):
            chain = chain.without({id(term) for term in terms[len(left) :]})
        terms = left
        if chain is not None and chain.core and flow is not None and len(flow) == 1:
            flow = self.chain(statement, chain, terms, pairs, flow[0])
        else:
            for number, term in enumerate(terms):
                inside = [(i, found[number]) for i, found in pairs]
                flow = self.term(term, inside, flow, self.hint(statement, number, terms))
        assert flow is not None
        self.label(statement, flow, views)
        if operands is not None:
            self.offered(operands, flow)
        return flow


def _without_flow(term: tree.Term) -> bool:
    """Whether a line's first term reads nothing of the line before."""
    return isinstance(term, tree.ForTerm) or (
        isinstance(term, tree.CallTerm) and term.operands is not None
    )


def give(statements: list[ast.stmt], name: str, tensor: T) -> None:
    """Call a tensor so at the end of a branch: `elif` where another condition gave it."""
    made = tensor.run
    match statements[-1:]:
        case [ast.If() as last] if isinstance(made, ast.Name) and any(
            isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store) and one.id == made.id
            for one in ast.walk(last)
        ):
            put = Rename({made.id: name})
            statements[:] = [put.visit(one) for one in statements]
            tensor.run = python.name(name)
        case _:
            statements.append(python.assign(name, made))


def holds(views: Views[Line]) -> bool:
    """Whether a line has weights, in any instance."""
    return any(
        instance.network.node(name).op.weights(*instance.network.input_shapes(name))
        for instance, line in views
        for name in nodes_of([line])
    )


def elsewhere(tensor: T, on: Views[Line]) -> list[Identity]:
    """What a tensor is in the instances that go the other way."""
    taken = {id(instance.block) for instance, _ in on}
    return [identity for identity in tensor.ids if identity[0] not in taken]
