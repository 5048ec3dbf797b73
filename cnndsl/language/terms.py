"""Terms of a chain: groups, repeats, loops, shared modules."""

from __future__ import annotations

from dataclasses import replace

from cnndsl.diagnostics import Fault, fault, short
from cnndsl.language import tree
from cnndsl.language.calls import Calls
from cnndsl.language.evaluate import evaluate, integer, is_tensor, show
from cnndsl.language.flows import (
    flow_of,
    needed,
    one_by_one,
    tensors_of,
)
from cnndsl.language.names import BlockDefinition, Entry, Env, Family, Flow, Silent, Value, kept
from cnndsl.language.nodes import Place
from cnndsl.language.size import least_work
from cnndsl.language.translate import Resuming, resume_decided, resume_indexed, translate
from cnndsl.ops.facts import spell_shape
from cnndsl.ops.values import divides
from cnndsl.structure import Each, Group, Loop, Repeat, Tensor, Term, one_each
from cnndsl.symbolic import compared


class Terms(Calls):
    """Elaborates terms."""

    def term(
        self,
        term: tree.Term,
        env: Env,
        flow: Value,
        place: Place,
        definition: BlockDefinition,
        *,
        labelled: bool = False,
    ) -> tuple[Term | None, Flow]:
        """One step of a chain; no record for a step that is `none`."""
        match term:
            case tree.CallTerm():
                return self._call(term, env, flow, place, definition)
            case tree.GroupTerm():
                return self._group(term, env, flow, place, definition)
            case tree.RepeatTerm():
                return self._repeat(term, env, flow, place, definition)
            case tree.ForTerm():
                return self._for(term, env, flow, place, definition, labelled=labelled)
            case tree.EachTerm():
                return self._each(term, env, flow, place, definition)

    def _group(
        self,
        term: tree.GroupTerm,
        env: Env,
        flow: Value,
        place: Place,
        definition: BlockDefinition,
    ) -> tuple[Term, Flow]:
        inner = Env(env.frame, env)
        before = self.stopped
        lines, end, _ = self.lines(term.body, inner, flow, place, definition)
        if self.stopped > before:
            raise Silent
        result = Flow(needed(end, term.span).tensors, inner.members)
        key = definition.line_numbers[id(term)]
        return Group(key, lines, tensors_of(flow), result.all), result

    def _repeat(
        self,
        term: tree.RepeatTerm,
        env: Env,
        flow: Value,
        place: Place,
        definition: BlockDefinition,
    ) -> tuple[Term, Flow]:
        times = self._times(term, env)
        if times < 0:
            raise fault(
                "E307", f"a step cannot be repeated {int(times)} times", term.times.span
            )
        times = env.decide(times, term.times.span)
        self.afford(times * (1 + least_work(term.term, definition)), term.span, env)
        entered = flow
        items: list[Term] = []
        family = Family()
        for number in range(times):
            self.spend(term.span)
            inner = Env(env.frame, env, loop=True)
            inner.repeat, inner.shared = number, term.shared
            at = place.again(number) if term.shared else place.repeated(id(term), number)
            found, flow = self.term(term.term, inner, flow, at, definition)
            family.items[number,] = flow
            if found is not None:
                items.append(found)
        result = needed(flow, term.span)
        key = definition.line_numbers[id(term)]
        turns = family if items and one_each(items) else None
        repeat = Repeat(key, items, tensors_of(entered), result.all, term.shared)
        several = turns is None and len(items) > 1
        return repeat, Flow(result.tensors, result.members, turns, several)

    def _times(self, term: tree.RepeatTerm, env: Env) -> int:
        """The number of repeats.  Raises Fault: a tensor or a factor, where `mul` is meant."""
        times = term.times.span
        if is_tensor(term.times, env):
            both = f"{term.term.span.text}; {times.text}"
            help = f"`* n` repeats a step; to multiply, write `mul {{ {short(both)} }}`"
            raise fault("E204", f"`{times.text}` is a tensor, not a number", times, help=help)
        value = evaluate(term.times, env)
        if isinstance(value, float):
            help = divides(value) or f"to multiply by it, write `mul({times.text})`"
            raise fault(
                "E306", f"a step cannot be repeated {show(value)} times", times, help=help
            )
        return integer(term.times, env, "the number of repeats")

    def _for(
        self,
        term: tree.ForTerm,
        env: Env,
        flow: Value,
        place: Place,
        definition: BlockDefinition,
        *,
        labelled: bool,
    ) -> tuple[Term, Flow]:
        """Threads the value through the iterations; outside a join."""
        entered = flow
        loop = Loop(
            key=definition.line_numbers[id(term)],
            names=tuple(name for name, _ in term.header),
            rows=[],
            bodies=[],
            inputs=tensors_of(entered),
            outputs=(),
            table=term.rows is not None,
        )
        family = Family()
        members: dict[str, Entry] = {}
        for number, (row, inner) in enumerate(self._iterations(term, env, definition)):
            at = place.iteration(id(term), number, labelled=labelled)
            before, indexed = self.stopped, len(env.frame.indexed)
            decided = len(env.frame.decided)
            lines, end, _ = self.lines(term.body, inner, flow, at, definition)
            if self.stopped > before:
                raise Silent
            resuming = Resuming(env.frame, loop.names, row)
            resume_indexed(env.frame, indexed, resuming)
            resume_decided(env.frame, decided, resuming)
            result = translate(Flow(flow_of(end).tensors, inner.members), resuming)
            assert isinstance(result, Flow)
            flow = result if isinstance(end, Flow) else end
            loop.rows.append(kept(row))
            loop.bodies.append(lines)
            family.items[number,] = result
            for name, entry in inner.members.items():
                members.setdefault(name, translate(entry, resuming))
        result = flow_of(flow)
        loop.outputs = result.all
        return loop, Flow(result.tensors, members, family)

    def _each(
        self,
        term: tree.EachTerm,
        env: Env,
        flow: Value,
        place: Place,
        definition: BlockDefinition,
    ) -> tuple[Term, Flow]:
        """One module, called once a line; or mapped over the first axis."""
        key = definition.line_numbers[id(term)]
        if term.operands is None:
            return self._each_row(term, env, flow, place, definition)
        lines, operands, labels = self._operands(term.operands, env, flow, place, definition)
        family = Family()
        tensors: dict[str, Tensor] = {}
        calls: list[Term] = []
        for number, operand in enumerate(one_by_one(operands)):
            at = place.called(number)
            try:
                found, result = self.term(term.term, env, operand, at, definition)
            except Fault as refused:
                if isinstance(refused, Silent) or refused.diagnostic.code != "E205":
                    raise
                help = "each line is one call; of several inputs, call it on lines of their own"
                raise Fault(replace(refused.diagnostic, help=help)) from None
            family.items[number,] = result
            for name, tensor in result.tensors.items():
                tensors[f"{number}.{name}"] = tensor
            if found is not None:
                calls.append(found)
        outputs = tuple(tensors.values())
        inputs = tuple(tensor for operand in operands for tensor in operand.all)
        return Each(key, calls, lines, inputs, outputs), Flow(tensors, labels, family)

    def _each_row(
        self,
        term: tree.EachTerm,
        env: Env,
        flow: Value,
        place: Place,
        definition: BlockDefinition,
    ) -> tuple[Term, Flow]:
        """The first axis becomes part of the batch, and comes back afterwards."""
        entered = needed(flow, term.span)
        count = {tensor.shape[0] for tensor in entered.all}
        if len(count) != 1:
            seen = " and ".join(spell_shape(tensor.shape) for tensor in entered.all)
            message = f"`each row` needs the same number of rows in every input, not {seen}"
            raise fault("E404", message, term.span)
        rows, *others = (tensor.shape[0] for tensor in entered.all)
        for other in others:
            env.decide(compared("==", rows, other), term.span, contract=True)
        inside = {
            name: self.nodes.rows(tensor, rows, place, term.span, env.frame)
            for name, tensor in entered.tensors.items()
        }
        within = replace(place, rows=place.rows * rows)
        found, result = self.term(term.term, env, Flow(inside), within, definition)
        outside = {
            name: self.nodes.unrows(tensor, rows, place, term.span, env.frame)
            for name, tensor in result.tensors.items()
        }
        calls = [found] if found is not None else []
        key = definition.line_numbers[id(term)]
        nodes = tuple(tensor.node for tensor in (*inside.values(), *outside.values()))
        record = Each(
            key, calls, None, entered.all, tuple(outside.values()), row=True, nodes=nodes
        )
        # What is inside has no rows, so only the outputs can be reached by name.
        return record, Flow(outside)
