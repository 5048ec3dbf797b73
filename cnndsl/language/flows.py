"""Small questions about lines and the values that thread through them."""

from __future__ import annotations

from collections.abc import Sequence

from cnndsl.diagnostics import (
    Diagnostic,
    Span,
    fault,
    short,
)
from cnndsl.language import tree
from cnndsl.language.evaluate import condition, integer
from cnndsl.language.names import (
    Bound,
    Env,
    Family,
    Faulty,
    Flow,
    Off,
    OpRef,
    Silent,
    Uncertain,
    Value,
)
from cnndsl.structure import Line, Tensor
from cnndsl.symbolic import Symbol, symbol


class Chain:
    """Which of the lines joined by `when … else …` is on."""

    def __init__(self) -> None:
        """No line yet."""
        self.open = False
        self.taken = False
        self.unknown = False
        """Whether a condition was faulty, so that nobody knows which line is on."""
        self.cause: tree.Expression | None = None

    def decide(self, statement: tree.LineStatement, env: Env) -> bool:
        """Whether a line is on.  Raises Fault: an `else` without its `when`."""
        if statement.alternative and not self.open:
            message = "`else` must directly follow a line with `when`"
            help = "end that line with its condition: `… when c`"
            raise fault("E218", message, statement.span, help=help)
        if not statement.alternative:
            self.taken, self.cause, self.unknown = False, None, False
        if self.unknown:
            raise Silent
        on = not self.taken
        if statement.condition is not None:
            self.open = self.unknown = True
            on = on and condition(statement.condition, env)
            self.unknown = False
            self.cause = statement.condition if on or self.cause is None else self.cause
        self.taken = self.taken or on
        return on


def uncertain(statement: tree.LineStatement, env: Env) -> Uncertain | None:
    """What follows a line with a source of its own that may be off, or a `for` of such."""
    loop = only_loop(statement)
    if loop is not None:
        inside = [s for s in loop.body if isinstance(s, tree.LineStatement)]
        apart = any(names_source(s, env) for s in inside)
    else:
        conditional = statement.condition is not None or statement.alternative
        apart = conditional and names_source(statement, env)
    return Uncertain(statement.span) if apart else None


def names_source(statement: tree.LineStatement, env: Env) -> bool:
    """Whether a line begins with a tensor of its own."""
    first = statement.terms[0]
    if not isinstance(first, tree.CallTerm) or first.called or first.operands is not None:
        return False
    if first.path.name in ("in", "skip") or first.path.parts:
        return True
    bound = env.lookup(first.path.name)
    return bound is not None and isinstance(bound.meaning, Flow | Family | Off | Faulty)


def only_loop(statement: tree.Statement) -> tree.ForTerm | None:
    """The `for` of a line that is nothing else."""
    if isinstance(statement, tree.LineStatement) and len(statement.terms) == 1:
        term = statement.terms[0]
        return term if isinstance(term, tree.ForTerm) else None
    return None


def needed(flow: Value, span: Span, port: str = "name") -> Flow:
    """The value that enters a step.  Raises Fault: there is none; `port` might be meant."""
    if isinstance(flow, Faulty):
        raise Silent
    if isinstance(flow, Uncertain):
        raise fault(
            "E210",
            "the input of this line depends on a condition or a loop",
            span,
            related=((flow.span, "this line has its own source"),),
            help="write the source of this line: `name -> …`",
        )
    if flow is None:
        raise fault(
            "E213",
            "this step has no input",
            span,
            help=f"begin the line with its source: `{port} -> {short(span.text, 40)}`",
        )
    return flow


def flow_of(flow: Value) -> Flow:
    """The tensors of a value; none where nothing flows."""
    if isinstance(flow, Faulty):
        raise Silent
    return flow if isinstance(flow, Flow) else Flow({})


def tensors_of(flow: Value) -> tuple[Tensor, ...]:
    """A value's tensors, where it has some."""
    return flow.all if isinstance(flow, Flow) else ()


def one_by_one(operands: Sequence[Flow]) -> list[Flow]:
    """The operands of an `each`: all of a family, `p[*]`, are as many."""
    found: list[Flow] = []
    for flow in operands:
        spread = len(flow.tensors) > 1 and all(name.isdigit() for name in flow.tensors)
        found += [Flow({"": tensor}) for tensor in flow.all] if spread else [flow]
    return found


def operand_places(lines: Sequence[Line], count: int) -> dict[str, Span]:
    """Where each operand of a join is written, if each line gives one."""
    spans = [line.span for line in lines if line.on and line.span and len(line.outputs) == 1]
    same = len(spans) == count
    return {f"operand {n}": span for n, span in enumerate(spans)} if same else {}


def labels_span(statement: tree.LineStatement) -> Span:
    """The places of all the labels of a line."""
    first, last = statement.labels[0].span, statement.labels[-1].span
    return Span(first.source, first.start, last.stop)


def label_index(label: tree.NamePath, env: Env) -> tuple[int, ...]:
    """The values of a label's index: `(i, j)` of `x[i, j]:`."""
    if not label.parts:
        return ()
    part = label.parts[0]
    if len(label.parts) > 1 or not isinstance(part, tree.Index):
        help = "a label is a name, or a name with an index"
        raise fault("E216", f"`{label}` is not a valid label", label.span, help=help)
    found = []
    for item in part.items:
        if isinstance(item, tree.Every):
            raise fault("E216", "a label's index must be a number", item.span)
        value = env.decide(integer(item, env, "a label's index"), item.span)
        if value < 0:
            raise fault("E216", f"a label's index is {value}, below 0", item.span)
        found.append(value)
    return tuple(found)


def remembered(name: str, value: object, env: Env) -> object:
    """A loop variable's value, with its name where it is an integer."""
    if isinstance(value, int) and not isinstance(value, bool):
        env.frame.symbols[Symbol(name)] = int(value)
        return symbol(name, value)
    return value


def is_step(bound: Bound | None) -> bool:
    """Whether a name stands for an operation or a block."""
    return bound is not None and isinstance(bound.meaning, OpRef)


def is_value(bound: Bound) -> bool:
    """Whether a name stands for a value and not for tensors."""
    return not isinstance(bound.meaning, Flow | Family | Off | Faulty)


def diagnostic_at(span: Span, code: str, message: str, env: Env) -> Diagnostic:
    """A diagnostic with the stack of blocks around it."""
    return Diagnostic(code, message, span, stack=env.frame.stack)


def in_order(diagnostic: Diagnostic) -> tuple[str, int]:
    """The key by which diagnostics are sorted: file and place."""
    span = diagnostic.span
    return (span.source.name, span.start) if span else ("", 0)


def where(span: Span) -> str:
    """`file:line`."""
    return f"{span.source.name}:{span.line}"
