"""Tree to network: every block call opened, every repeat unrolled, every shape known.

Elaboration is total: there is no recursion and every loop is over a finite list, and it
is bounded by `MAX_NODES` and `MAX_DEPTH`. A faulty line is reported and its label marked,
so that what depends on it stays silent and the other faults are still found.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import networkx as nx

from cnndsl.diagnostics import (
    ArchError,
    Diagnostic,
    Fault,
    Span,
    did_you_mean,
    fault,
    spell_tensors,
)
from cnndsl.graph import (
    Block,
    Call,
    Each,
    Group,
    Line,
    Loop,
    Network,
    Repeat,
    Step,
    Tensor,
    Term,
)
from cnndsl.language import ports, tree
from cnndsl.language.arguments import block_arguments, op_arguments
from cnndsl.language.evaluate import condition, evaluate, integer, show, too_many_terms, unknown
from cnndsl.language.modules import BlockDefinition, deep_recursion
from cnndsl.language.names import (
    Bound,
    Entry,
    Env,
    Family,
    Faulty,
    Flow,
    Frame,
    Off,
    OpRef,
    Place,
    Silent,
    Uncertain,
    Value,
    operation,
    operations,
)
from cnndsl.language.nodes import Nodes
from cnndsl.language.paths import resolve
from cnndsl.language.size import least_work, least_work_of
from cnndsl.language.translate import Leaving, Resuming, resume_indexed, translate
from cnndsl.ops.base import Op, Shape, spell_shape
from cnndsl.symbolic import Symbol, TooManyTermsError, symbol

MAX_NODES = 1_000_000
"""Of the network; lines, calls and repeats may be twice as many."""
MAX_DEPTH = 200
"""Of block calls and braces within each other."""
MAX_FAULTS = 50


def elaborate(
    model: BlockDefinition,
    parameters: Mapping[str, object] | None = None,
    inputs: Mapping[str, Shape] | None = None,
    *,
    max_nodes: int = MAX_NODES,
    max_depth: int = MAX_DEPTH,
) -> Network:
    """The network of a model.

    `parameters` sets the model's own, `inputs` the shapes of its ports, per sample.
    Raises ArchError: all the independent faults.
    """
    work = Elaborator(max_nodes, max_depth)
    with deep_recursion():
        try:
            return work.network(model, dict(parameters or {}), dict(inputs or {}))
        except Silent:
            raise ArchError(work.faults) from None
        except Fault as error:
            raise ArchError([*work.faults, error.diagnostic]) from None
        except TooManyTermsError:
            found = too_many_terms(model.declaration.name_span).diagnostic
            raise ArchError([*work.faults, found]) from None
        except RecursionError:
            message = "an expression is nested too deep"
            raise ArchError(
                [Diagnostic("E104", message, model.declaration.name_span)]
            ) from None


class Elaborator:
    """One elaboration: the graph so far, the faults so far, the steps left."""

    def __init__(self, max_nodes: int, max_depth: int) -> None:
        """Start with nothing."""
        self.graph: nx.MultiDiGraph[str] = nx.MultiDiGraph()
        self.nodes = Nodes(self.graph)
        self.faults: list[Diagnostic] = []
        self.reported: set[tuple[object, ...]] = set()
        self.left = 2 * max_nodes
        self.depth = 0
        self.max_nodes = max_nodes
        self.max_depth = max_depth

    # The model

    def network(
        self, model: BlockDefinition, parameters: dict[str, object], inputs: dict[str, Shape]
    ) -> Network:
        """The whole network."""
        declaration = model.declaration
        frame = Frame(model.file, opened=(model,))
        env = Env(frame)
        ports.model_sizes(declaration, inputs, env)
        arguments = ports.model_arguments(declaration, parameters, env)
        shapes = ports.model_inputs(declaration, inputs, env)
        tensors: dict[str, Tensor] = {}
        for port in declaration.inputs or ():
            tensors[port.name] = self.nodes.input(port.name, shapes[port.name], port.span)
        ports.bind_tensors(declaration, tensors, env)
        block, flow = self.body(model, env, Place(), arguments, tensors)
        return Network(
            name=declaration.name,
            graph=self.graph,
            structure=block,
            inputs=dict(tensors),
            outputs=dict(flow.tensors),
            arguments=arguments,
            shapes=self.nodes.shapes,
            dimensions=ports.dimensions(env),
            warnings=tuple(self.nodes.warnings),
        )

    def body(
        self,
        definition: BlockDefinition,
        env: Env,
        place: Place,
        arguments: dict[str, object],
        tensors: dict[str, Tensor],
    ) -> tuple[Block, Flow]:
        """A block's lines, once its ports and parameters are bound.  Raises Silent."""
        declaration = definition.declaration
        start = Flow(dict(tensors)) if len(tensors) == 1 else None
        env.skip = start
        before = len(self.faults)
        lines, end, _ = self.lines(declaration.body, env, start, place, definition)
        if len(self.faults) > before or isinstance(end, Faulty):
            raise Silent
        flow = ports.outputs(declaration, env, end)
        names = {name: bound.meaning for name, bound in env.names.items() if _is_value(bound)}
        block = Block(
            definition=definition.about,
            path=place.prefix,
            arguments=arguments,
            names=names,
            inputs=dict(tensors),
            outputs=dict(flow.tensors),
            body=lines,
            stack=env.frame.stack,
        )
        return block, flow

    # Lines

    def lines(
        self,
        body: Sequence[tree.Statement],
        env: Env,
        flow: Value,
        place: Place,
        definition: BlockDefinition,
        *,
        join: bool = False,
    ) -> tuple[list[Line], Value, list[Flow]]:
        """The lines between braces.

        In a sequence each continues the one above and the value threads through; in a
        join each starts from `skip` and contributes its value.
        """
        self.depth += 1
        if self.depth > self.max_depth and body:
            message = f"blocks and braces are nested more than {self.max_depth} deep"
            raise ArchError([*self.faults, _at(body[0].span, "E309", message, env)])
        try:
            return self._lines(body, env, flow, place, definition, join=join)
        finally:
            self.depth -= 1

    def _lines(
        self,
        body: Sequence[tree.Statement],
        env: Env,
        flow: Value,
        place: Place,
        definition: BlockDefinition,
        *,
        join: bool,
    ) -> tuple[list[Line], Value, list[Flow]]:
        done: list[Line] = []
        contributions: list[Flow] = []
        chain = _Chain()
        for statement in body:
            if isinstance(statement, tree.Let | tree.Default):
                self._declare(statement, env)
                continue
            line: Line | None = None
            result: Value = env.skip if join else flow
            try:
                on = chain.decide(statement, env)
                if not on:
                    line = self._off(statement, env, place, definition, chain)
                else:
                    line, result = self._line(statement, env, result, place, definition)
                    if join:
                        contributions.append(result)
            except (Fault, TooManyTermsError) as error:
                known = error if isinstance(error, Fault) else too_many_terms(statement.span)
                self._report(known, env)
                self._mark(statement, env, chain)
                result = Faulty()
            if line is not None:
                done.append(line)
            chain.open = statement.condition is not None
            if not join:
                flow = _uncertain(statement, env) or result
        return done, flow, contributions

    def _declare(self, statement: tree.Let | tree.Default, env: Env) -> None:
        try:
            if isinstance(statement, tree.Let):
                env.bind(
                    statement.name, evaluate(statement.value, env), statement.name_span, "value"
                )
            else:
                for name, span in statement.names:
                    if operation(name) is None and env.lookup(name) is None:
                        raise unknown(name, span, env)
                env.defaults.append((statement, env))
        except Fault as error:
            self._report(error, env)
            if isinstance(statement, tree.Let) and env.lookup(statement.name) is None:
                env.names[statement.name] = Bound(Faulty(), statement.name_span, "value")

    def _report(self, error: Fault, env: Env) -> None:
        if isinstance(error, Silent):
            return
        diagnostic = error.diagnostic
        place = diagnostic.span and (diagnostic.span.source.name, diagnostic.span.start)
        key = (diagnostic.code, place, diagnostic.message)
        if key not in self.reported:
            self.reported.add(key)
            if not diagnostic.stack:
                diagnostic = replace(diagnostic, stack=env.frame.stack)
            self.faults.append(diagnostic)
        if len(self.faults) >= MAX_FAULTS:
            raise ArchError(sorted(self.faults, key=_order))

    def _mark(self, statement: tree.LineStatement, env: Env, chain: _Chain) -> None:
        """Bind a faulty line's labels, so that what uses them stays silent."""
        for label in statement.labels:
            home = env.home if label.parts else env
            home.names[label.name] = Bound(Faulty(), label.span, "label")

    def _off(
        self,
        statement: tree.LineStatement,
        env: Env,
        place: Place,
        definition: BlockDefinition,
        chain: _Chain,
    ) -> Line:
        """A line that its condition removes."""
        cause = statement.condition or chain.cause
        assert cause is not None
        for label in statement.labels:
            if label.name not in env.home.names:
                index = _label_index(label, env)
                self._bind_label(label, index, Off(cause.span), env)
        return Line(
            key=definition.line_numbers[id(statement)],
            labels=tuple(label.name for label in statement.labels),
            index=(),
            on=False,
            condition=statement.condition,
            alternative=statement.alternative,
            source=None,
            terms=[],
            inputs=(),
            outputs=(),
            span=statement.span,
        )

    def _line(
        self,
        statement: tree.LineStatement,
        env: Env,
        flow: Value,
        place: Place,
        definition: BlockDefinition,
    ) -> tuple[Line, Flow]:
        """One line that is on."""
        self._spend(statement.span)
        index = _label_index(statement.labels[0], env) if statement.labels else ()
        inner = place.below(statement.labels[0].name, index) if statement.labels else place
        labelled = bool(statement.labels)
        source = self._source(statement, env)
        current: Value = source if source is not None else flow
        entered = current
        terms: list[Term] = []
        members: dict[str, Entry] = {}
        owners = len(self.nodes.owners)
        for term in statement.terms[1:] if source is not None else statement.terms:
            found, current = self.term(term, env, current, inner, definition, labelled=labelled)
            if found is not None:
                terms.append(found)
            members |= current.members
        if len(statement.labels) > 1 and len(self.nodes.owners) > owners:
            message = "a line that holds weights has one label: a module has one path"
            help = "label it once, and use its outputs as `label.name` or `label[0]`"
            raise fault("E215", message, _labels_span(statement), help=help)
        result = _needed(current, statement.span)
        result = Flow(result.tensors, members or result.members, result.family)
        if statement.labels:
            self._label(statement, index, result, env)
        else:
            for name, entry in members.items():
                env.members.setdefault(name, entry)
        line = Line(
            key=definition.line_numbers[id(statement)],
            labels=tuple(label.name for label in statement.labels),
            index=index,
            on=True,
            condition=statement.condition,
            alternative=statement.alternative,
            source=source.all if source is not None else None,
            terms=terms,
            inputs=_tensors(entered),
            outputs=result.all,
            span=statement.span,
        )
        return line, result

    def _source(self, statement: tree.LineStatement, env: Env) -> Flow | None:
        """The tensors that a line's first term names; None where it is a step."""
        first = statement.terms[0]
        if not isinstance(first, tree.CallTerm):
            return None
        name = first.path.name
        if name == "skip" and env.lookup(name) is None:
            return _needed(env.skip, first.span)
        bound = env.lookup(name)
        if bound is None or not isinstance(bound.meaning, Flow | Family | Off | Faulty):
            return None
        if first.called or first.operands is not None:
            raise fault(
                "E214",
                f"`{name}` is a {bound.kind} here, not an operation",
                first.span,
                related=((bound.span, "the name was given here"),) if bound.span else (),
                help="a label that bears an operation's name hides it",
            )
        return resolve(first.path, env, evaluate)

    def _label(
        self, statement: tree.LineStatement, index: tuple[int, ...], result: Flow, env: Env
    ) -> None:
        """Bind a line's labels to its result."""
        labels = statement.labels
        if len(labels) == 1:
            self._bind_label(labels[0], index, result, env)
            return
        if len(labels) != len(result.tensors):
            yields = spell_tensors(len(result.tensors))
            message = f"the line has {len(labels)} labels and yields {yields}"
            help = "one label for each, or one for all"
            raise fault("E215", message, _labels_span(statement), help=help)
        for label, (name, tensor) in zip(labels, result.tensors.items(), strict=True):
            one = Flow({name: tensor})
            self._bind_label(label, _label_index(label, env), one, env)

    def _bind_label(
        self, label: tree.NamePath, index: tuple[int, ...], entry: Entry, env: Env
    ) -> None:
        """Give a label its meaning; an indexed one joins its family."""
        name = label.name
        if name in ("skip", "in"):
            message = f"`{name}` has a meaning of its own"
            raise fault("E216", message, label.span, help="choose another label")
        if name.startswith("__"):
            message = f"`{name}`: names that begin with two underscores are reserved"
            raise fault("E216", message, label.span, help="choose another label")
        if operation(name) is not None:
            self.nodes.warn_hidden(name, label.span)
        home = env.home if index else env
        known = home.names.get(name)
        if not index:
            if known is not None and isinstance(known.meaning, Off):
                home.names[name] = Bound(entry, label.span, "label")
            else:
                env.bind(name, entry, label.span, "label")
            home.members[name] = entry
            return
        if known is None:
            home.bind(name, Family(), label.span, "label")
        family = home.names[name].meaning
        if isinstance(family, Faulty):
            return
        if not isinstance(family, Family):
            message = f"`{name}` is a label without an index already"
            raise fault("E201", message, label.span)
        if index in family.items and not isinstance(family.items[index], Off):
            shown = ", ".join(map(str, index))
            raise fault("E201", f"`{name}[{shown}]` is given twice", label.span)
        family.items[index] = entry
        home.members[name] = family
        env.frame.indexed.append((family, index))

    # Terms

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
        if isinstance(flow, Faulty):
            # Its operands may hold faults of their own; those are found when it is mended.
            raise Silent
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
        before = len(self.faults)
        lines, end, _ = self.lines(term.body, inner, flow, place, definition)
        if len(self.faults) > before:
            raise Silent
        result = Flow(_needed(end, term.span).tensors, inner.members)
        key = definition.line_numbers[id(term)]
        return Group(key, lines, _tensors(flow), result.all), result

    def _repeat(
        self,
        term: tree.RepeatTerm,
        env: Env,
        flow: Value,
        place: Place,
        definition: BlockDefinition,
    ) -> tuple[Term, Flow]:
        times = integer(term.times, env, "the number of repeats")
        if times < 0:
            raise fault(
                "E307", f"a step cannot be repeated {int(times)} times", term.times.span
            )
        self._afford(times * (1 + least_work(term.term, definition)), term.span, env)
        entered = flow
        items: list[Term] = []
        for number in range(times):
            self._spend(term.span)
            inner = Env(env.frame, env, loop=True)
            inner.repeat = number
            found, flow = self.term(term.term, inner, flow, place.repeated(number), definition)
            if found is not None:
                items.append(found)
        result = _needed(flow, term.span)
        key = definition.line_numbers[id(term)]
        inputs = _tensors(entered)
        return Repeat(key, items, inputs, result.all), Flow(result.tensors, result.members)

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
            inputs=_tensors(entered),
            outputs=(),
            table=term.rows is not None,
        )
        family = Family()
        members: dict[str, Entry] = {}
        for number, (row, inner) in enumerate(self._iterations(term, env, definition)):
            at = place.iteration(number, labelled=labelled)
            before, indexed = len(self.faults), len(env.frame.indexed)
            lines, end, _ = self.lines(term.body, inner, flow, at, definition)
            if len(self.faults) > before:
                raise Silent
            resuming = Resuming(env.frame, loop.names, row)
            resume_indexed(env.frame, indexed, resuming)
            result = translate(Flow(_flow(end).tensors, inner.members), resuming)
            assert isinstance(result, Flow)
            flow = result if isinstance(end, Flow) else end
            loop.rows.append(row)
            loop.bodies.append(lines)
            family.items[number,] = result
            for name, entry in inner.members.items():
                members.setdefault(name, translate(entry, resuming))
        result = _flow(flow)
        loop.outputs = result.all
        return loop, Flow(result.tensors, members, family)

    def _iterations(
        self, term: tree.ForTerm, env: Env, definition: BlockDefinition
    ) -> Iterator[tuple[tuple[object, ...], Env]]:
        """The rows of a table or the numbers of a range, each with its names bound.

        One at a time: within an iteration a name's value is that of its row.
        """
        if term.rows is not None:
            rows = [
                tuple(None if cell is None else evaluate(cell, env) for cell in cells)
                for cells in term.rows
            ]
        else:
            assert term.range is not None
            values = evaluate(term.range, env)
            if not isinstance(values, tuple):
                message = f"`for` goes over a range or a list, and this is {show(values)}"
                raise fault("E307", message, term.range.span, help="a range is written `0..n`")
            rows = [(value,) for value in values]
        self._afford(len(rows) * (1 + least_work_of(term.body, definition)), term.span, env)
        for row in rows:
            self._spend(term.span)
            inner = Env(env.frame, env, loop=True)
            for (name, span), value in zip(term.header, row, strict=True):
                inner.bind(name, _remembered(name, value, env), span, "loop variable")
            yield row, inner

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
        for number, operand in enumerate(_one_by_one(operands)):
            at = place.called(number)
            found, result = self.term(term.term, env, operand, at, definition)
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
        entered = _needed(flow, term.span)
        count = {tensor.shape[0] for tensor in entered.all}
        if len(count) != 1:
            seen = " and ".join(spell_shape(tensor.shape) for tensor in entered.all)
            message = f"`each row` needs as many rows of every input, and these are {seen}"
            raise fault("E404", message, term.span)
        rows = count.pop()
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
        record = Each(key, calls, None, entered.all, tuple(outside.values()), row=True)
        # What is inside has no rows, so only the outputs can be reached by name.
        return record, Flow(outside)

    # Calls

    def _call(
        self,
        term: tree.CallTerm,
        env: Env,
        flow: Value,
        place: Place,
        definition: BlockDefinition,
    ) -> tuple[Term | None, Flow]:
        """A step that is an operation or a block."""
        ref = self._callee(term, env)
        if ref is None:
            # A step that is `none` keeps its place: another instance may have one here.
            passed = _needed(flow, term.span)
            key = definition.line_numbers[id(term)]
            name = term.path.name
            return Step(key, name, (), (), passed.all, passed.all, None, term.span), passed
        lines: list[Line] | None = None
        labels: dict[str, Entry] = {}
        if term.operands is None:
            operands = [_needed(flow, term.span)]
        else:
            lines, operands, labels = self._operands(
                term.operands, env, flow, place, definition
            )
        names = definition.step_names.get(id(term)) or (term.path.name,)
        found: Term
        if isinstance(ref.target, BlockDefinition):
            at = place.below(names[0])
            found, result = self._block(term, ref, env, operands, lines, at, definition)
        else:
            found, result = self._op(term, ref, env, operands, lines, place, names, definition)
        return found, Flow(result.tensors, {**labels, **result.members}, result.family)

    def _callee(self, term: tree.CallTerm, env: Env) -> OpRef | None:
        """What a step's name stands for; None is the identity."""
        name = term.path.name
        bound = env.lookup(name)
        op = operation(name)
        if bound is None and op is None:
            known = {*operations(), *(n for n in env.visible() if _is_step(env.lookup(n)))}
            help = did_you_mean(name, known)
            kind = "block" if name[:1].isupper() else "operation or tensor"
            raise fault("E202", f"there is no {kind} `{name}`", term.path.span, help=help)
        if term.path.parts:
            raise fault("E214", f"`{term.path}` is not a step", term.path.span)
        if bound is None:
            assert op is not None
            return OpRef(name, op)
        if isinstance(bound.meaning, Faulty):
            raise Silent
        if bound.meaning is None:
            return None
        if not isinstance(bound.meaning, OpRef):
            help = "a tensor stands at the beginning of a line"
            raise fault(
                "E214", f"`{name}` is a {bound.kind}, not a step", term.path.span, help=help
            )
        return bound.meaning

    def _operands(
        self,
        body: tuple[tree.Statement, ...],
        env: Env,
        flow: Value,
        place: Place,
        definition: BlockDefinition,
    ) -> tuple[list[Line], list[Flow], dict[str, Entry]]:
        """The lines in a call's braces, the operands that they give, and their labels.

        A `for` among the lines contributes every iteration's.
        """
        inner = Env(env.frame, env)
        inner.skip = flow
        before = len(self.faults)
        lines, operands = self._join(body, inner, flow, place, definition)
        if len(self.faults) > before:
            raise Silent
        return lines, operands, inner.members

    def _join(
        self,
        body: Sequence[tree.Statement],
        env: Env,
        flow: Value,
        place: Place,
        definition: BlockDefinition,
    ) -> tuple[list[Line], list[Flow]]:
        lines: list[Line] = []
        operands: list[Flow] = []
        run: list[tree.Statement] = []
        for statement in body:
            loop = _only_loop(statement)
            if loop is None:
                run.append(statement)
                continue
            done, _, found = self.lines(run, env, flow, place, definition, join=True)
            lines, operands, run = lines + done, operands + found, []
            assert isinstance(statement, tree.LineStatement)
            if statement.condition is None or condition(statement.condition, env):
                line, found = self._join_loop(statement, loop, env, flow, place, definition)
                lines, operands = [*lines, line], operands + found
        done, _, found = self.lines(run, env, flow, place, definition, join=True)
        return lines + done, operands + found

    def _join_loop(
        self,
        statement: tree.LineStatement,
        term: tree.ForTerm,
        env: Env,
        flow: Value,
        place: Place,
        definition: BlockDefinition,
    ) -> tuple[Line, list[Flow]]:
        """A `for` in a join: every iteration's lines are operands."""
        names = tuple(name for name, _ in term.header)
        label = statement.labels[0].name if statement.labels else ""
        inside = place.below(label) if label else place
        operands: list[Flow] = []
        bodies, rows = [], []
        key = definition.line_numbers[id(term)]
        for number, (row, inner) in enumerate(self._iterations(term, env, definition)):
            at = inside.iteration(number, labelled=bool(label))
            indexed = len(env.frame.indexed)
            lines, found = self._join(term.body, inner, flow, at, definition)
            resuming = Resuming(env.frame, names, row)
            resume_indexed(env.frame, indexed, resuming)
            for one in found:
                moved = translate(one, resuming)
                assert isinstance(moved, Flow)
                operands.append(moved)
            bodies.append(lines)
            rows.append(row)
        outputs = tuple(tensor for operand in operands for tensor in operand.all)
        inputs = _tensors(flow)
        loop = Loop(key, names, rows, bodies, inputs, outputs, term.rows is not None)
        line = Line(
            key=definition.line_numbers[id(statement)],
            labels=(label,) if label else (),
            index=(),
            on=True,
            condition=statement.condition,
            alternative=False,
            source=None,
            terms=[loop],
            inputs=inputs,
            outputs=outputs,
            span=statement.span,
        )
        return line, operands

    def _op(
        self,
        term: tree.CallTerm,
        ref: OpRef,
        env: Env,
        operands: list[Flow],
        lines: list[Line] | None,
        place: Place,
        names: tuple[str, ...],
        definition: BlockDefinition,
    ) -> tuple[Term, Flow]:
        """An operation, with the normalisation and activation fused to it."""
        cls = ref.target
        assert isinstance(cls, type)
        assert issubclass(cls, Op)
        tensors = ports.op_inputs(cls, operands, term.span)
        key = definition.line_numbers[id(term)]
        if cls.join and lines is not None and len(tensors) == 1:
            # A join left with one line is that line.
            step = Step(key, names[0], (), (), tensors, tensors, lines, term.span)
            return step, Flow({"": tensors[0]})
        self._spend(term.span)
        call = op_arguments(term, ref, env, len(tensors[0].shape) - 1 if tensors else 0)
        call.places.update(_operand_places(lines or [], len(tensors)))
        outputs = self.nodes.add(call, tensors, place, names[0], env.frame)
        added = [outputs[0].node] if outputs else []
        slots = [names[0]]
        for fused, slot in zip(call.fused, (*names[1:], "norm", "act"), strict=False):
            if fused is None:
                continue
            outputs = self.nodes.add(fused, outputs, place, slot, env.frame)
            added.append(outputs[0].node)
            slots.append(slot)
        flow = Flow(dict(zip(cls.output_names(len(outputs)), outputs, strict=True)))
        step = Step(
            key, names[0], tuple(added), tuple(slots), tensors, outputs, lines, term.span
        )
        return step, flow

    def _block(
        self,
        term: tree.CallTerm,
        ref: OpRef,
        env: Env,
        operands: list[Flow],
        lines: list[Line] | None,
        place: Place,
        definition: BlockDefinition,
    ) -> tuple[Term, Flow]:
        """A call of a block."""
        callee = ref.target
        assert isinstance(callee, BlockDefinition)
        self._enter(callee, env, term.span, place)
        outside = ports.block_inputs(callee.declaration, operands, term.span)
        # Each entry of the stack is relative to the one before it.
        relative = place.name.removeprefix(f"{env.frame.name}.")
        shown = f"{relative or callee.name} ({_where(term.span)})"
        frame = Frame(callee.file, (*env.frame.stack, shown), place.name)
        frame.opened = (*env.frame.opened, callee)
        inner = Env(frame)
        arguments = block_arguments(callee, term, ref, env)
        inside = ports.bind_inputs(callee.declaration, outside, inner)
        ports.bind_tensors(callee.declaration, inside, inner)
        values = ports.bind_parameters(callee.declaration, arguments, inner, term.span)
        ports.check_inputs(callee.declaration, inside, inner, term.span)
        block, flow = self.body(callee, inner, place, values, inside)
        leaving = Leaving(frame, values, outside)
        result = translate(Flow(flow.tensors, inner.members), leaving)
        assert isinstance(result, Flow)
        inputs = tuple(outside.values())
        key = definition.line_numbers[id(term)]
        call = Call(key, term.path.name, block, inputs, result.all, lines, term.span)
        return call, result

    def _enter(self, callee: BlockDefinition, env: Env, span: Span, place: Place) -> None:
        """Check that opening this block ends."""
        self._spend(span)
        if callee in env.frame.opened:
            message = f"`{callee.name}` contains itself"
            raise fault("E217", message, span, help="a block cannot be recursive; use `* n`")
        self._afford(least_work_of(callee.declaration.body, callee), span, env)

    def _spend(self, span: Span) -> None:
        """Count one step of the work allowed."""
        self.left -= 1
        if self.left < 0 or len(self.graph) > self.max_nodes:
            raise ArchError([*self.faults, Diagnostic("E309", self._too_large(), span)])

    def _afford(self, work: int, span: Span, env: Env) -> None:
        """Refuse at once what cannot end within the bounds, instead of trying it."""
        if work > self.left:
            raise ArchError([*self.faults, _at(span, "E309", self._too_large(), env)])

    def _too_large(self) -> str:
        lines = f"or more than {2 * self.max_nodes:,} lines and repeats"
        return f"the network has more than {self.max_nodes:,} nodes, {lines}"


class _Chain:
    """Which of the lines joined by `when … else …` is on."""

    def __init__(self) -> None:
        self.open = False
        self.taken = False
        self.cause: tree.Expression | None = None

    def decide(self, statement: tree.LineStatement, env: Env) -> bool:
        """Whether a line is on.  Raises Fault: an `else` without its `when`."""
        if statement.alternative and not self.open:
            message = "`else` belongs to the line directly above, which must have `when`"
            raise fault("E218", message, statement.span)
        if not statement.alternative:
            self.taken, self.cause = False, None
        on = not self.taken
        if statement.condition is not None:
            self.open = True
            on = on and condition(statement.condition, env)
            self.cause = statement.condition if on or self.cause is None else self.cause
        self.taken = self.taken or on
        return on


def _uncertain(statement: tree.LineStatement, env: Env) -> Uncertain | None:
    """What follows a line with a source of its own that may be off, or a `for` of such."""
    loop = _only_loop(statement)
    if loop is not None:
        inside = [s for s in loop.body if isinstance(s, tree.LineStatement)]
        apart = any(_names_source(s, env) for s in inside)
    else:
        conditional = statement.condition is not None or statement.alternative
        apart = conditional and _names_source(statement, env)
    return Uncertain(statement.span) if apart else None


def _names_source(statement: tree.LineStatement, env: Env) -> bool:
    first = statement.terms[0]
    if not isinstance(first, tree.CallTerm) or first.called or first.operands is not None:
        return False
    if first.path.name in ("in", "skip") or first.path.parts:
        return True
    bound = env.lookup(first.path.name)
    return bound is not None and isinstance(bound.meaning, Flow | Family | Off | Faulty)


def _only_loop(statement: tree.Statement) -> tree.ForTerm | None:
    """The `for` of a line that is nothing else."""
    if isinstance(statement, tree.LineStatement) and len(statement.terms) == 1:
        term = statement.terms[0]
        return term if isinstance(term, tree.ForTerm) else None
    return None


def _needed(flow: Value, span: Span) -> Flow:
    """The value that enters a step.  Raises Fault: there is none."""
    if isinstance(flow, Faulty):
        raise Silent
    if isinstance(flow, Uncertain):
        raise fault(
            "E210",
            "what this line continues depends on a condition or a loop",
            span,
            related=((flow.span, "this line has a source of its own"),),
            help="write the source of this line: `name -> …`",
        )
    if flow is None:
        raise fault(
            "E213",
            "no value enters this step",
            span,
            help="begin the line with its source: `name -> …`",
        )
    return flow


def _flow(flow: Value) -> Flow:
    if isinstance(flow, Faulty):
        raise Silent
    return flow if isinstance(flow, Flow) else Flow({})


def _tensors(flow: Value) -> tuple[Tensor, ...]:
    return flow.all if isinstance(flow, Flow) else ()


def _one_by_one(operands: Sequence[Flow]) -> list[Flow]:
    """The operands of an `each`: all of a family, `p[*]`, are as many."""
    found: list[Flow] = []
    for flow in operands:
        spread = len(flow.tensors) > 1 and all(name.isdigit() for name in flow.tensors)
        found += [Flow({"": tensor}) for tensor in flow.all] if spread else [flow]
    return found


def _operand_places(lines: Sequence[Line], count: int) -> dict[str, Span]:
    """Where each operand of a join is written, if each line gives one."""
    spans = [line.span for line in lines if line.on and line.span and len(line.outputs) == 1]
    same = len(spans) == count
    return {f"operand {n}": span for n, span in enumerate(spans)} if same else {}


def _labels_span(statement: tree.LineStatement) -> Span:
    first, last = statement.labels[0].span, statement.labels[-1].span
    return Span(first.source, first.start, last.stop)


def _label_index(label: tree.NamePath, env: Env) -> tuple[int, ...]:
    """The values of a label's index: `(i, j)` of `x[i, j]:`."""
    if not label.parts:
        return ()
    part = label.parts[0]
    if len(label.parts) > 1 or not isinstance(part, tree.Index):
        help = "a label is a name, or a name with an index"
        raise fault("E216", f"`{label}` is no label", label.span, help=help)
    found = []
    for item in part.items:
        if isinstance(item, tree.Every):
            raise fault("E216", "a label's index is a number", item.span)
        value = integer(item, env, "a label's index")
        if value < 0:
            raise fault("E216", f"a label's index is {int(value)}", item.span)
        found.append(int(value))
    return tuple(found)


def _remembered(name: str, value: object, env: Env) -> object:
    """A loop variable's value, with its name where it is an integer."""
    if isinstance(value, int) and not isinstance(value, bool):
        env.frame.symbols[Symbol(name)] = int(value)
        return symbol(name, value)
    return value


def _is_step(bound: Bound | None) -> bool:
    return bound is not None and isinstance(bound.meaning, OpRef)


def _is_value(bound: Bound) -> bool:
    return not isinstance(bound.meaning, Flow | Family | Off | Faulty)


def _at(span: Span, code: str, message: str, env: Env) -> Diagnostic:
    return Diagnostic(code, message, span, stack=env.frame.stack)


def _order(diagnostic: Diagnostic) -> tuple[str, int]:
    span = diagnostic.span
    return (span.source.name, span.start) if span else ("", 0)


def _where(span: Span) -> str:
    return f"{span.source.name}:{span.line}"
