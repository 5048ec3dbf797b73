"""Lines that are one module between functions."""

from __future__ import annotations

import ast
from abc import abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from cnndsl.backends.torch import python
from cnndsl.backends.torch.expressions import CannotTranslateError, translate, truth
from cnndsl.backends.torch.instances import Instance, SplitError, T
from cnndsl.backends.torch.walk.parts import (
    Flow,
    Link,
    Operand,
    Turns,
    Views,
    merged,
    sequential,
    turns_in,
)
from cnndsl.backends.torch.walk.repeats import Repeats
from cnndsl.language import tree
from cnndsl.language.naming import Chain
from cnndsl.structure import Call, Group, Loop, Tensor, Term


class Chains(Repeats):
    """The walk at a line that is a chain of modules."""

    def chain(
        self,
        owner: tree.LineStatement | tree.Term,
        chain: Chain,
        terms: tuple[tree.Term, ...],
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
        unit = self.unit
        before = (len(unit.init), dict(unit.meanings), unit.repeat, [*unit.defaults])
        forward, threads, kept = [*unit.fwd], dict(self.threads), dict(unit.kept)
        try:
            flow = self.whole(chain, core, entered, owner, hint)
        except CannotTranslateError as error:
            if error.final:
                raise
            size, unit.meanings, unit.repeat, unit.defaults = before
            del unit.init[size:]
            unit.fwd[:], self.threads, unit.kept = forward, threads, kept
            flow = self.stepwise(core, (entered,), hint, cut=chain.cut)
        return self.behind(links[last:], flow)

    def whole(
        self,
        chain: Chain,
        core: list[Link],
        entered: T,
        owner: tree.LineStatement | tree.Term,
        hint: str,
    ) -> Flow:
        """The module of a chain, called."""
        if any(not one.outputs for link in core for _, one in link.views):
            raise CannotTranslateError("a loop that is left within a turn")
        if id(owner) in self.unit.exploded:
            entered = self.exploded(chain, core, entered, owner)
        else:
            (link, *more) = core
            alone = not more and link.test is None and not chain.cut
            if alone and isinstance(link.term, tree.CallTerm):
                called = [(i, one) for i, one in link.views if isinstance(one, Call)]
                if called:
                    unit = self.unit
                    outer, unit.defaults = unit.defaults, link.defaults
                    flow = self.block_call(link.term, called, [Operand(entered)], hint)
                    unit.defaults = outer
                    return flow
            held = [one for one in core if one.views]
            if not held:  # lines that no instance has
                return (entered,)
            items, out = self.sequence(core, entered)
            if chain.cut and not more:  # it keeps its place among those behind it
                items = Turns([sequential(items)])
            access = self.register(chain.name, sequential(items))
            found = [(i, term.outputs[0]) for i, term in held[-1].views]
            whole = core[-1].test is None
            value = python.call(access, entered.run)
            result = self.made(value, out.shape, found, hint)
            if not whole:
                result.ids += out.ids
            entered = result
        return (entered,)

    def stepwise(
        self, links: Sequence[Link], flow: Flow, hint: str, *, cut: bool = False
    ) -> Flow:
        """The modules of a chain called one by one, each at its place in lists."""
        unit, several = self.unit, len(links) > 1 or cut
        for number, link in enumerate(links):
            if not link.views:
                continue
            outer, unit.defaults = unit.defaults, link.defaults
            if several:
                self.stack.append(number)
            if link.test is None:
                flow = self.stepped(link.term, link.views, flow, hint)
            else:
                (entered,) = flow
                flow = (self.function(link, entered),)
            if several:
                self.stack.pop()
            unit.defaults = outer
        return flow

    def stepped(self, term: tree.Term, views: Views[Any], flow: Flow, hint: str) -> Flow:
        """One module of a chain, or the turns of its loop."""
        unit = self.unit
        if isinstance(term, tree.CallTerm):
            return self.term(term, views, flow, hint) or ()
        if not isinstance(term, tree.RepeatTerm | tree.ForTerm):
            raise CannotTranslateError("no module")
        if isinstance(term, tree.ForTerm) and len(flow) == 1 and self.passes(term, views):
            return self.loop(term, views, flow, None) or ()
        self.counted(term, views)
        outer, repeat = dict(unit.meanings), unit.repeat
        for number in range(len(turns_in(views[0][1]))):
            inside = [(i, turns_in(one)[number]) for i, one in views]
            if isinstance(term, tree.ForTerm):
                self.bind_row(term, [(i, one.rows[number]) for i, one in views], number)
                links = self.grouped(term.body, inside)
            else:
                unit.repeat = number == 0
                links = self.links((term.term,), [(i, [one]) for i, one in inside])
            self.stack.append(number)
            flow = self.stepwise(links, flow, hint)
            self.stack.pop()
        unit.meanings, unit.repeat = outer, repeat
        return flow

    def behind(self, links: Sequence[Link], flow: Flow) -> Flow:
        """The functions behind a chain's module."""
        for link in links:
            if any(isinstance(one, Group) for _, one in link.views):
                return self.term(link.term, link.views, flow, "") or ()
            flow = (self.function(link, flow[0]), *flow[1:])
        return flow

    def function(self, link: Link, entered: T) -> T:
        """A link of a chain in `forward`."""
        unit = self.unit
        if not link.views or (link.test is not None and truth(link.test) is False):
            return entered
        outer, unit.defaults = unit.defaults, link.defaults
        if link.test is None:
            (found,) = self.term(link.term, link.views, (entered,), "") or ()
            unit.defaults = outer
            return found
        with self.under(link.test) as then:
            (found,) = self.term(link.term, link.views, (entered,), "") or ()
        unit.defaults = outer
        if self.stands_in(link.test, then, entered):
            unit.fwd += then
            joined = T(merged(unit, link.test, found, entered), found.run)
            joined.ids = [*found.ids, *entered.ids]
            for identity in found.ids:
                unit.known[identity] = joined
            return joined
        name = unit.variable()
        flag = unit.run(link.test, "has_branch")
        then.append(python.assign(name, found.run))
        unit.fwd.append(ast.If(flag, then, [python.assign(name, entered.run)]))
        joined = T(merged(unit, link.test, found, entered), python.name(name))
        joined.ids = [*found.ids, *entered.ids]
        for identity in found.ids:
            unit.known[identity] = joined
        return joined

    def stands_in(self, test: ast.expr, then: list[ast.stmt], entered: T) -> bool:
        """Whether a link is one module, in whose place an identity stands otherwise."""
        match then:
            case [ast.Assign(value=ast.Call(func=ast.Attribute(attr=name), args=[given]))] if (
                name in self.single and python.same(given, entered.run)
            ):
                module = self.single[name].value
                nothing = python.call("nn.Identity")
                return isinstance(module, ast.IfExp) and (
                    python.same(module.test, test) and python.same(module.orelse, nothing)
                )
        return False

    def exploded(
        self,
        chain: Chain,
        core: list[Link],
        entered: T,
        owner: tree.LineStatement | tree.Term,
    ) -> T:
        """A sequence whose values between are read: its modules are called one by one."""
        if len(core) != 1 or core[0].test is not None or chain.cut:
            raise CannotTranslateError("a value inside a chain is read")
        (link,) = core
        match link.term:
            case tree.ForTerm() | tree.RepeatTerm():
                pass
            case _:
                raise CannotTranslateError("a value inside a chain is read")
        items, out = self.sequence(core, entered)
        access = self.register(chain.name, sequential(items))
        turns: list[list[tuple[Instance, Tensor]]] = []
        for instance, term in link.views:
            for number, output in enumerate(turns_of(term)):
                if number == len(turns):
                    turns.append([])
                turns[number].append((instance, output))
        counts = [(i, len(turns_of(term))) for i, term in link.views]
        times = self.times(link.term)
        ragged = len({count for _, count in counts}) > 1
        if ragged and (times is None or not isinstance(owner, tree.LineStatement)):
            raise SplitError(counts)
        unit = self.unit
        hint = owner.labels[0].name if isinstance(owner, tree.LineStatement) else "results"
        family = unit.variable(hint)
        value = unit.variable()
        layer = unit.variable("layer")
        unit.fwd.append(python.assign(value, entered.run))
        unit.fwd.append(python.assign(family, python.listed([])))
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
        if times is not None:
            unit.counts[family] = times
            if not ragged:
                unit.lengths[family] = len(turns)
        if ragged:
            return self.counted_turns(link, owner, out, (family, value), counts)
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

    def times(self, term: tree.Term) -> ast.expr | None:
        """How many turns a loop has, as it is written."""
        with suppress(CannotTranslateError):
            match term:
                case tree.RepeatTerm(times=times):
                    return self.unit.ctor(translate(times, self.unit))
                case tree.ForTerm(range=tree.Binary(operator="..") as over):
                    match self.unit.ctor(translate(over, self.unit)):
                        case ast.Call(args=[high]):
                            return high
        return None

    def counted_turns(
        self,
        link: Link,
        owner: tree.LineStatement | tree.Term,
        out: T,
        names: tuple[str, str],
        counts: Sequence[tuple[Instance, int]],
    ) -> T:
        """What is left of a sequence that an argument counts: its last tensor, and the list.

        Raises SplitError: its turns differ in their channels, or there are none.
        """
        assert isinstance(owner, tree.LineStatement)
        unit, (family, value) = self.unit, names
        for instance, term in link.views:
            shapes = {
                tuple(map(int, instance.network.shapes[t.node][t.output]))
                for t in turns_of(term)
            }
            if len(shapes) != 1:
                raise SplitError(counts)
        last = T((), python.name(value))
        unit.shaped(last, out.shape)
        unit.bind(last, [(i, turns_of(term)[-1]) for i, term in link.views])
        one = Operand(last, many=python.name(family), each=[Operand(last)], counts=counts)
        for label in owner.labels:
            self.ragged[label.name] = one
        return last

    def widths(self, link: Link, number: int, out: T) -> int:
        """The channels behind one turn of a loop: those of the last turn, if all have these."""
        values: list[tuple[Instance, int]] = []
        last: list[tuple[Instance, int]] = []
        for instance, term in link.views:
            turns = turns_of(term)
            for found, one in ((values, turns[number]), (last, turns[-1])):
                found.append((instance, int(instance.network.shapes[one.node][one.output][0])))
        if [n for _, n in values] != [n for _, n in last]:
            self.agree(values)
            return values[0][1]
        return out.shape[0]

    @abstractmethod
    def passes(self, term: tree.ForTerm, views: Views[Loop]) -> bool:
        """Whether a loop of modules may be one of `forward`: its lines follow each other."""

    @abstractmethod
    def loop(
        self,
        term: tree.ForTerm,
        views: Views[Loop],
        flow: Flow | None,
        operands: list[Operand] | None,
    ) -> Flow | None:
        """`for`, turn by turn."""


def turns_of(term: Any) -> list[Tensor]:
    """What comes out of each turn."""
    if not isinstance(term, Loop):
        return [item.outputs[0] for item in term.items]
    found = [term.inputs[0]]
    for body in term.bodies:
        last = (line.outputs[0] for line in reversed(body) if line.on)
        found.append(next(last, found[-1]))
    return found[1:]
