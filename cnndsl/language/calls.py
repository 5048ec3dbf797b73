"""Steps: operations, blocks, and the operands in their braces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from cnndsl.diagnostics import (
    Fault,
    Near,
    Span,
    fault,
    short,
)
from cnndsl.language import ports, tree
from cnndsl.language.arguments import block_arguments, op_arguments, refuse_tensors
from cnndsl.language.budget import Budget
from cnndsl.language.elsewhere import step_help, torch_order
from cnndsl.language.evaluate import condition, evaluate, last_name, show
from cnndsl.language.flows import (
    is_step,
    needed,
    only_loop,
    operand_places,
    remembered,
    tensors_of,
    where,
)
from cnndsl.language.names import (
    BlockDefinition,
    Entry,
    Env,
    Faulty,
    Flow,
    Frame,
    OpRef,
    Silent,
    Value,
    kept,
    operation,
    operations,
)
from cnndsl.language.naming import Site
from cnndsl.language.nodes import Place
from cnndsl.language.size import least_work_of
from cnndsl.language.translate import (
    Leaving,
    Resuming,
    carried,
    resume_decided,
    resume_indexed,
    translate,
)
from cnndsl.ops.base import Op
from cnndsl.ops.values import spell
from cnndsl.structure import Call, Line, Loop, Step, Tensor, Term

INPUTS = ("x", "inp", "inputs", "img", "data", "tensor")
"""What others call the input where it has another name here."""
FUSED = ("norm", "act")
"""What a convolution or a linear layer takes behind it."""


def _elsewhere_in(declaration: tree.Declaration, term: tree.CallTerm, env: Env) -> str:
    """What an unknown name might mean: a line below, one inside another, the only input."""
    name, ports_ = term.path.name, declaration.inputs
    for line in tree.walk(declaration.body):
        labels = line.labels if isinstance(line, tree.LineStatement) else ()
        if any(one.name == name and one.span.start > term.span.start for one in labels):
            return f"`{name}` is the label of a line below; move that line above this one"
    for outer in env.visible():
        meaning = getattr(env.lookup(outer), "meaning", None)
        if isinstance(meaning, Flow) and name in meaning.members:
            return f"`{name}` is a label inside `{outer}`: write `{outer}.{name}`"
    if name not in INPUTS or len(ports_ or ("in",)) > 1:
        return ""
    return f"the input is `{ports_[0].name if ports_ else 'in'}`"


class Calls(Budget):
    """Elaborates calls."""

    def _call(
        self,
        term: tree.CallTerm,
        env: Env,
        flow: Value,
        place: Place,
        definition: BlockDefinition,
    ) -> tuple[Term | None, Flow]:
        """A step that is an operation or a block."""
        ref = self._callee(term, env, definition)
        if ref is None:
            if term.operands is not None:
                message = f"`{term.path.name}` is none here, which takes no braces"
                help = f"give the line a condition: `… when {term.path.name} != none`"
                raise fault("E214", message, term.span, help=help)
            # A step that is `none` keeps its place: another instance may have one here.
            passed = needed(flow, term.span)
            key = definition.line_numbers[id(term)]
            name = term.path.name
            return Step(key, name, (), (), passed.all, passed.all, None, term.span), passed
        refuse_tensors(term, ref, env)
        lines: list[Line] | None = None
        labels: dict[str, Entry] = {}
        if term.operands is None:
            ports_ = definition.declaration.inputs or ()
            named = [port.name for port in ports_ if not port.many]
            operands = [needed(flow, term.span, *named[:1])]
        else:
            lines, operands, labels = self._operands(
                term.operands, env, flow, place, definition
            )
        site = definition.modules.sites.get(id(term))
        env.it = tuple(tensor for operand in operands for tensor in operand.all)
        found: Term
        if isinstance(ref.target, BlockDefinition):
            at = place.opened(site, term.path.name)
            found, result = self._block(term, ref, env, operands, lines, at, definition)
        else:
            found, result = self._op(term, ref, env, operands, lines, place, site, definition)
        env.it = None
        return found, Flow(result.tensors, {**labels, **result.members}, result.family)

    def _callee(
        self, term: tree.CallTerm, env: Env, definition: BlockDefinition
    ) -> OpRef | None:
        """What a step's name stands for; None is the identity."""
        name = term.path.name
        bound = env.lookup(name)
        op = operation(name)
        if bound is None and op is None:
            known = {*operations(), *(n for n in env.visible() if is_step(env.lookup(n)))}
            written = last_name(term.path)
            kind = "block" if written[:1].isupper() else "operation or tensor"
            message = f"unknown {kind} `{short(str(term.path))}`"
            own = Near(f"write `{written}`", str(term.path), written)
            below = _elsewhere_in(definition.declaration, term, env)
            help = own if written in known else below or step_help(written, known)
            if name == "self" and not help:
                help = step_help(name, known)
            if term.path.parts and help is not own:
                help = str(help)  # a part of the path is no place to write it
            raise fault("E202", message, term.path.span, help=help)
        if term.path.parts:
            help = f"arguments go in parentheses: `{name}(…)`" if op or is_step(bound) else ""
            raise fault("E214", f"`{term.path}` is not a step", term.path.span, help=help)
        if bound is None:
            assert op is not None
            return OpRef(name, op)
        if isinstance(bound.meaning, Faulty):
            raise Silent
        if bound.meaning is None:
            return None
        if not isinstance(bound.meaning, OpRef):
            message = f"`{name}` is a {bound.kind}, not a step"
            help = "begin the line with the tensor; to multiply, write `mul(0.5)`"
            raise fault("E214", message, term.path.span, help=help)
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
        before = self.stopped
        lines, operands = self._join(body, inner, flow, place, definition)
        if self.stopped > before:
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
            loop = only_loop(statement)
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
            at = inside.iteration(id(term), number, labelled=bool(label))
            indexed, decided = len(env.frame.indexed), len(env.frame.decided)
            lines, found = self._join(term.body, inner, flow, at, definition)
            resuming = Resuming(env.frame, names, row)
            resume_indexed(env.frame, indexed, resuming)
            resume_decided(env.frame, decided, resuming)
            for one in found:
                moved = translate(one, resuming)
                assert isinstance(moved, Flow)
                operands.append(moved)
            bodies.append(lines)
            rows.append(kept(row))
        outputs = tuple(tensor for operand in operands for tensor in operand.all)
        inputs = tensors_of(flow)
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
        site: Site | None,
        definition: BlockDefinition,
    ) -> tuple[Term, Flow]:
        """An operation, with the normalisation and activation fused to it."""
        cls = ref.target
        assert isinstance(cls, type)
        assert issubclass(cls, Op)
        tensors = ports.op_inputs(cls, operands, term.span)
        key, name = definition.line_numbers[id(term)], term.path.name
        self.spend(term.span)
        call = op_arguments(term, ref, env, len(tensors[0].shape) - 1 if tensors else 0)
        if call.op.joins and lines is not None and len(tensors) == 1:
            # A join left with one line is that line.
            step = Step(key, name, (), (), tensors, tensors, lines, term.span)
            return step, Flow({"": tensors[0]})
        call.places.update(operand_places(lines or [], len(tensors)))
        path = place.path(site, name)
        names = [parameter.name for parameter in cls.parameters]
        meant = torch_order(term, names, int(tensors[0].shape[0]) if tensors else 0)
        layers = [(call, name)]
        layers += [
            (f, slot) for f, slot in zip(call.fused, FUSED, strict=False) if f is not None
        ]
        added, outputs = [], tensors
        for number, (layer, slot) in enumerate(layers):
            # What is fused makes a sequence of the step: the layers are numbered.
            at = (*path, number) if len(layers) > 1 else path
            try:
                outputs = self.nodes.add(layer, outputs, place, slot, env.frame, at)
            except Fault as refused:
                raise self._reordered(refused, meant) from None
            added += [outputs[0].node] if outputs else []
            # What is fused may be a `default`'s: its result comes from the step.
            self.nodes.spans |= dict.fromkeys(added, term.span)
        if meant:
            self.nodes.warn(
                "W204", f"`{name}` is given arguments in PyTorch's order", term.span,
                f"the channels that enter are not written: `{meant}`",
            )  # fmt: skip
        flow = Flow(dict(zip(cls.output_names(len(outputs)), outputs, strict=True)))
        if added:  # the number that tells it from others of its name
            name += added[0].removeprefix(place.shown(name))
        slots = (name, *(slot for _, slot in layers[1:]))
        named = tuple(flow.tensors) if len(outputs) > 1 else ()
        step = Step(key, name, tuple(added), slots, tensors, outputs, lines, term.span, named)
        return step, flow

    @staticmethod
    def _reordered(refused: Fault, meant: str) -> Fault:
        """A refusal of arguments that stand in PyTorch's order, if they do."""
        help = f"the channels that enter are not written: `{meant}`"
        return Fault(replace(refused.diagnostic, help=help)) if meant else refused

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
        self.spend(term.span)
        self.afford(least_work_of(callee.declaration.body, callee), term.span, env)
        outside = ports.block_inputs(callee.declaration, operands, term.span)
        # Each entry of the stack is relative to the one before it.
        relative = place.name.removeprefix(f"{env.frame.name}.")
        shown = f"{relative or callee.name} ({where(term.span)})"
        frame = Frame(callee.file, (*env.frame.stack, shown), place.name)
        frame.opened, frame.asked = env.frame.opened, env.frame.asked
        frame.applied = env.frame.applied
        inner = Env(frame)
        arguments = block_arguments(callee, term, ref, env)
        inside = ports.bind_inputs(callee.declaration, outside, inner)
        ports.bind_tensors(callee.declaration, inside, inner)
        values = ports.bind_parameters(callee.declaration, arguments, inner, term.span)
        ports.check_inputs(callee.declaration, inside, inner, term.span)
        self._ends(callee, frame, values, outside, term.span)
        block, flow = self.body(callee, inner, place, values, inside)
        leaving = Leaving(frame, values, outside)
        env.frame.decided += carried(frame.decided, leaving)
        result = translate(flow, leaving)
        assert isinstance(result, Flow)
        inputs = tuple(outside.values())
        key = definition.line_numbers[id(term)]
        call = Call(key, term.path.name, block, inputs, result.all, lines, term.span)
        return call, result

    def _ends(
        self,
        callee: BlockDefinition,
        frame: Frame,
        values: dict[str, object],
        outside: dict[str, Tensor],
        span: Span,
    ) -> None:
        """Check that a block within itself ends.  Raises Fault: it is called as around it."""
        shapes = [tuple(map(int, tensor.shape)) for tensor in outside.values()]
        steps = [id(v.target) for v in values.values() if isinstance(v, OpRef)]
        given = str((shapes, [f"{name}={spell(v)}" for name, v in values.items()], steps))
        if (callee, given) in frame.opened:
            message = f"`{callee.name}` calls itself with the same arguments and never ends"
            again = f"`{callee.name}(n - 1) when n > 1`"
            help = f"change an argument, and stop with a condition: {again}"
            raise fault("E217", message, span, help=help)
        frame.opened = (*frame.opened, (callee, given))

    def _iterations(
        self, term: tree.ForTerm, env: Env, definition: BlockDefinition
    ) -> Iterator[tuple[tuple[object, ...], Env]]:
        """The rows of a table or the numbers of a range, each with its names bound.

        One at a time: within an iteration a name's value is that of its row.
        """
        if term.rows is not None:
            rows = _filled([
                [None if cell is None else evaluate(cell, env) for cell in cells]
                for cells in term.rows
            ], term.rows)  # fmt: skip
        else:
            assert term.range is not None
            values = evaluate(term.range, env)
            if not isinstance(values, tuple):
                message = f"`for` takes a range or a list, not {show(values)}"
                raise fault("E307", message, term.range.span, help="a range is written `0..n`")
            rows = [(value,) for value in values]
        self.afford(len(rows) * (1 + least_work_of(term.body, definition)), term.span, env)
        for row in rows:
            self.spend(term.span)
            inner = Env(env.frame, env, loop=True)
            for (name, span), value in zip(term.header, row, strict=True):
                inner.bind(name, remembered(name, value, env), span, "loop variable")
            yield row, inner


def _filled(
    values: list[list[Any]], cells: Sequence[Sequence[tree.Expression | None]]
) -> list[tuple[object, ...]]:
    """The rows of a table; an empty cell beside `true` or `false` is `false`."""
    flags = [
        any(isinstance(value, bool) for value in column) for column in zip(*values, strict=True)
    ]
    return [
        tuple(
            False if flag and cell is None else value
            for value, cell, flag in zip(row, written, flags, strict=True)
        )
        for row, written in zip(values, cells, strict=True)
    ]
