"""Lines: conditions, sources, labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cnndsl.diagnostics import (
    ArchError,
    Diagnostic,
    Fault,
    Span,
    fault,
    short,
    spell_tensors,
)
from cnndsl.language import tree
from cnndsl.language.evaluate import evaluate, too_many_terms, unknown
from cnndsl.language.flows import (
    Chain,
    diagnostic_at,
    label_index,
    labels_span,
    needed,
    tensors_of,
    uncertain,
)
from cnndsl.language.names import (
    BlockDefinition,
    Bound,
    Entry,
    Env,
    Family,
    Faulty,
    Flow,
    Off,
    Value,
    operation,
)
from cnndsl.language.nodes import Place
from cnndsl.language.paths import resolve
from cnndsl.language.terms import Terms
from cnndsl.structure import Line, Term
from cnndsl.symbolic import TooManyTermsError


def _not_called(name: str) -> str:
    if operation(name) is not None:
        return "a label with an operation's name hides it: choose another label"
    return f"a tensor enters a step by an arrow: `{name} -> relu`"


class Lines(Terms):
    """Elaborates lines."""

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
            found = self._too_deep(body[0].span, env, definition)
            raise ArchError([*self.faults, found])
        try:
            return self._lines(body, env, flow, place, definition, join=join)
        finally:
            self.depth -= 1

    def _too_deep(self, span: Span, env: Env, definition: BlockDefinition) -> Diagnostic:
        within = sum(one is definition for one, _ in env.frame.opened)
        if within < 2:
            message = f"blocks and braces are nested more than {self.max_depth} deep"
            return diagnostic_at(span, "E309", message, env)
        message = f"`{definition.name}` calls itself {within} levels deep without ending"
        help = f"stop it with a condition: `{definition.name}(n - 1) when n > 1`"
        span = definition.declaration.name_span
        return replace(diagnostic_at(span, "E217", message, env), help=help)

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
        chain = Chain()
        for statement in body:
            if isinstance(statement, tree.Let | tree.Default):
                self._declare(statement, env)
                continue
            line: Line | None = None
            result: Value = env.skip if join else flow
            try:
                on = chain.decide(statement, env)
                if not on:
                    line = self._off(statement, env, definition, chain)
                else:
                    line, result = self._line(statement, env, result, place, definition)
                    if join:
                        contributions.append(result)
            except (Fault, TooManyTermsError) as error:
                known = error if isinstance(error, Fault) else too_many_terms(statement.span)
                self.report(known, env)
                self._mark(statement, env)
                result = Faulty()
            if line is not None:
                done.append(line)
            chain.open = statement.condition is not None
            if not join:
                flow = uncertain(statement, env) or result
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
            self.report(error, env)
            if isinstance(statement, tree.Let) and env.lookup(statement.name) is None:
                env.names[statement.name] = Bound(Faulty(), statement.name_span, "value")

    def _mark(self, statement: tree.LineStatement, env: Env) -> None:
        """Bind a faulty line's labels, so that what uses them stays silent."""
        for label in statement.labels:
            home = env.home if label.parts else env
            home.names[label.name] = Bound(Faulty(), label.span, "label")

    def _off(
        self,
        statement: tree.LineStatement,
        env: Env,
        definition: BlockDefinition,
        chain: Chain,
    ) -> Line:
        """A line that its condition removes."""
        cause = statement.condition or chain.cause
        assert cause is not None
        for label in statement.labels:
            if label.name not in env.home.names:
                index = label_index(label, env)
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
        self.spend(statement.span)
        index = label_index(statement.labels[0], env) if statement.labels else ()
        inner = place.below(statement.labels[0].name, index) if statement.labels else place
        labelled = bool(statement.labels)
        source = self._source(statement, env)
        current: Value = source if source is not None else flow
        entered = current
        terms: list[Term] = []
        members: dict[str, Entry] = {}
        owners = before_last = len(self.nodes.owners)
        for term in statement.terms[1:] if source is not None else statement.terms:
            before_last = len(self.nodes.owners)
            found, current = self.term(term, env, current, inner, definition, labelled=labelled)
            if found is not None:
                terms.append(found)
            members |= current.members
        if len(statement.labels) > 1 and len(self.nodes.owners) > owners:
            message = (
                "a line with weights can have only one label, because a module has one path"
            )
            help = "label it once, and use its outputs as `label.name` or `label[0]`"
            if len(self.nodes.owners) == before_last:
                last = short(statement.terms[-1].span.text)
                names = ", ".join(map(str, statement.labels))
                help = f"give the last step a line of its own: `{names}: {last}`"
            raise fault("E215", message, labels_span(statement), help=help)
        result = needed(current, statement.span)
        result = Flow(result.tensors, members or result.members, result.family, result.turns)
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
            inputs=tensors_of(entered),
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
            return needed(env.skip, first.span)
        bound = env.lookup(name)
        if bound is None or not isinstance(bound.meaning, Flow | Family | Off | Faulty):
            return None
        if first.called or first.operands is not None:
            raise fault(
                "E214",
                f"`{name}` is a {bound.kind} here, not an operation",
                first.span,
                related=((bound.span, "the name was given here"),) if bound.span else (),
                help=_not_called(name),
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
            message = f"the line has {len(labels)} labels, but yields {yields}"
            help = "one label for each, or one for all"
            raise fault("E215", message, labels_span(statement), help=help)
        for label, (name, tensor) in zip(labels, result.tensors.items(), strict=True):
            one = Flow({name: tensor})
            self._bind_label(label, label_index(label, env), one, env)

    def _bind_label(
        self, label: tree.NamePath, index: tuple[int, ...], entry: Entry, env: Env
    ) -> None:
        """Give a label its meaning; an indexed one joins its family."""
        name = label.name
        if name in ("skip", "in"):
            message = f"`{name}` is reserved"
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
            message = f"`{name}` is already a label without an index"
            raise fault("E201", message, label.span)
        if index in family.items and not isinstance(family.items[index], Off):
            shown = ", ".join(map(str, index))
            raise fault("E201", f"`{name}[{shown}]` is given twice", label.span)
        family.items[index] = entry
        home.members[name] = family
        env.frame.indexed.append((family, index))
