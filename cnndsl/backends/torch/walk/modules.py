"""Modules of a chain, one behind the other."""

from __future__ import annotations

import ast
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from cnndsl.backends.torch import python
from cnndsl.backends.torch.expressions import CannotTranslateError, translate, truth
from cnndsl.backends.torch.instances import T
from cnndsl.backends.torch.walk.calls import Calls
from cnndsl.backends.torch.walk.parts import (
    Link,
    Views,
    fused,
    merged,
    python_choice,
    sequential,
)
from cnndsl.language import tree
from cnndsl.structure import Call, Line, Term


class Modules(Calls):
    """The walk along a chain's modules."""

    def links(self, terms: tuple[tree.Term, ...], views: Views[Sequence[Term]]) -> list[Link]:
        """The modules of a chain, those of bare braces in their place."""
        found: list[Link] = []
        for number, term in enumerate(self.left_of(terms, views)):
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
                if not self.there(statement, by_key):
                    continue
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
        if len(links) == 1:
            return self.link(links[0], entered)
        found: list[ast.expr] = []
        for link in links:
            items, entered = self.link(link, entered)
            found.append(sequential(items))
        return found, entered

    def link(self, link: Link, entered: T) -> tuple[list[ast.expr], T]:
        """One link: a module, or those of a repeat."""
        unit = self.unit
        if link.test is not None and truth(link.test) is False:
            return [python.call("nn.Identity")], entered
        outer, unit.defaults = unit.defaults, link.defaults
        with unit.guard(link.test), unit.guard(self.turns(link.term)):
            match link.term:
                case tree.CallTerm():
                    module, out = self.module(link.term, link.views, entered)
                    items = [module]
                case tree.RepeatTerm() | tree.ForTerm():
                    items, out = self.turning(link.term, link.views, entered)
                case _:
                    raise CannotTranslateError("no module")
        unit.defaults = outer
        if link.test is not None:
            chosen = python_choice(link.test, sequential(items), python.call("nn.Identity"))
            shape = merged(unit, link.test, out, entered)
            joined = T(shape, out.run, [*out.ids, *entered.ids])
            return [chosen], joined
        return items, out

    def turns(self, term: tree.Term) -> ast.expr | None:
        """The condition under which a loop has a turn; None where it surely has."""
        if isinstance(term, tree.ForTerm) and term.rows is None:
            return python.constant(False)  # nobody knows
        if not isinstance(term, tree.RepeatTerm):
            return None
        times = self.unit.ctor(translate(term.times, self.unit))
        if python.number(times) is not None:
            return None
        return ast.Compare(times, [ast.Gt()], [python.constant(0)])

    def module(self, term: tree.CallTerm, views: Views[Any], entered: T) -> tuple[ast.expr, T]:
        """One step as a module."""
        self.agree([(i, type(one).__name__) for i, one in views])
        if isinstance(views[0][1], Call):
            unit, arguments = self.block(term, views, (entered,))
            outputs = unit.outputs
            if len(outputs) != 1 or unit.extras:
                raise CannotTranslateError("a block of several outputs in a chain")
            (inner,) = (tensor for _, tensor in outputs)
            assert inner is not None
            shape = self.left(unit, arguments, inner, 0, views)
            call = self.constructed(unit, arguments)
            return call, self.inner(shape, [(i, one.outputs[0]) for i, one in views])
        modules, tensors = self.step_modules(term, views, (entered,))
        if not modules:
            return python.call("nn.Identity"), entered
        return fused(modules), tensors[-1]

    @abstractmethod
    def turning(
        self, term: tree.RepeatTerm | tree.ForTerm, views: Views[Any], entered: T
    ) -> tuple[list[ast.expr], T]:
        """`term * n`, or a table of modules."""
