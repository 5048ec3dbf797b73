"""Terms of a line in `forward`: loops, groups, `each`, and calls."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

from cnndsl.backends.torch import layers, python
from cnndsl.backends.torch.expressions import CannotTranslateError
from cnndsl.backends.torch.instances import T
from cnndsl.backends.torch.walk.families import by_rows, ranges
from cnndsl.backends.torch.walk.parts import Flow, Operand, Views, or_unrolled
from cnndsl.backends.torch.walk.passing import Passing
from cnndsl.language import tree
from cnndsl.structure import Call, Each, Group, Line, Loop, Repeat


class Walk(Passing):
    """The walk through one block; `called` gives the unit of a block that it calls."""

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
            if not self.there(chain[0], by_key):
                continue
            start = unit.skip if operands is not None else flow
            result = self.alternatives(chain, by_key, start, operands)
            if operands is None:
                flow = result
        unit.defaults.pop()
        return flow

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
                if self.loops(term, views, flow):
                    with or_unrolled(term):
                        return self.again(term, views, flow or ())
                self.counted(term, views)
                outer = unit.repeat
                for number in range(len(views[0][1].items)):
                    unit.repeat = number == 0
                    turn = [] if term.shared else [number]
                    self.stack += turn
                    inside = [(i, one.items[number]) for i, one in views]
                    flow = self.term(term.term, inside, flow, "")
                    del self.stack[len(self.stack) - len(turn) :]
                unit.repeat = outer
                return flow
            case tree.ForTerm():
                return self.loop(term, views, flow, None)
            case tree.EachTerm():
                return self.each(term, views, flow, hint)
        raise CannotTranslateError("a term")

    def loops(self, term: tree.RepeatTerm, views: Views[Repeat], flow: Flow | None) -> bool:
        """Whether a repeat may be a loop of `forward`: several turns, of as many tensors."""
        turns = [item for _, one in views for item in one.items]
        return (
            id(term) not in self.unit.unrolled
            and bool(flow)
            and (self.unit.looped or len(flow or ()) == 1)
            and any(len(one.items) > 1 for _, one in views)
            and all(len(item.outputs) == len(flow or ()) for item in turns)
        )

    def loop(
        self,
        term: tree.ForTerm,
        views: Views[Loop],
        flow: Flow | None,
        operands: list[Operand] | None,
    ) -> Flow | None:
        """`for`, turn by turn."""
        unit = self.unit
        on = operands is None and flow is not None and len(flow) == 1 and hands_on(views)
        looped = ranges(term) or (unit.looped and by_rows(term))
        if id(term) not in unit.unrolled and looped and not on:
            with or_unrolled(term):
                return self.family(term, views, flow, operands)
        if (
            operands is None
            and flow is not None
            and len(flow) == 1
            and self.passes(term, views)
        ):
            with or_unrolled(term):
                return self.passing(term, views, flow)
        self.counted(term, views)
        outer = dict(unit.meanings)
        for number in range(len(views[0][1].rows)):
            self.bind_row(term, [(i, one.rows[number]) for i, one in views], number)
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

    def passes(self, term: tree.ForTerm, views: Views[Loop]) -> bool:
        """Whether a loop of modules may be one of `forward`: its lines follow each other."""
        lines = [line for line in term.body if isinstance(line, tree.LineStatement)]
        return (
            self.unit.looped
            and id(term) not in self.unit.unrolled
            and not self.stack
            and any(len(one.bodies) > 1 for _, one in views)
            and not any(line.alternative or len(line.labels) > 1 for line in lines)
        )

    def each(
        self, term: tree.EachTerm, views: Views[Each], flow: Flow | None, hint: str
    ) -> Flow:
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
        if (
            id(term) not in unit.unrolled
            and len(views[0][1].calls) == len(operands) > 2
            and all(operand.many is None for operand in operands)
        ):
            with or_unrolled(term):
                return self.called_on_each(term, views, [o.tensor for o in operands], hint)
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
            run = python.call("torch.unflatten", tensor.run, python.constant(0), whole)
            rows = int(instance.network.shapes[one.node][0][0])
            outside.append(self.made(run, (rows, *tensor.shape), found))
        return tuple(outside)

    def call(
        self, term: tree.CallTerm, views: Views[Any], flow: Flow | None, hint: str
    ) -> Flow:
        """An operation or a block, with its operands."""
        unit = self.unit
        self.agree([(i, type(one).__name__) for i, one in views])
        if isinstance(views[0][1], Group):  # only what is in its braces is needed
            outer, unit.skip = unit.skip, flow or ()
            self.body(
                term.operands or (), [(i, one.body) for i, one in views], flow, operands=[]
            )
            unit.skip = outer
            return ()
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


def hands_on(views: Views[Loop]) -> bool:
    """Whether a turn begins with what the turn before made, without naming it."""
    for _, loop in views:
        made: set[tuple[str, int]] = set()
        for body in loop.bodies:
            read = {(t.node, t.output) for line in body[:1] for t in line.inputs}
            if read & made:
                return body[0].source is None
            made = {(t.node, t.output) for line in body for t in line.outputs}
    return False
