"""Lines: a statement each, an `if` where only some instances have one."""

from __future__ import annotations

from collections.abc import Sequence

from cnndsl.backends.torch import conditions, structure
from cnndsl.backends.torch.layout import Brackets, Doc, flat
from cnndsl.backends.torch.registry import Registry, sequential
from cnndsl.backends.torch.terms import Terms
from cnndsl.backends.torch.values import identifier
from cnndsl.backends.torch.views import Views, alternatives, first_name, runs
from cnndsl.graph import Call, Line, Step, Term, module_name
from cnndsl.ops.base import Template

NESTED = 30
"""A call no longer than this is written inside the next one."""
SHORT = 20
"""A longer expression has its operand in a variable."""


class Lines(Terms):
    """Writes lines."""

    def sequence(
        self, views: Views[list[Line]], current: Doc | None, registry: Registry, variable: str
    ) -> Doc | None:
        """Lines that continue each other; the value of the last, not yet assigned."""
        chains = [c for c in alternatives(views) if any(line.on for v in c for _, line in v)]
        for number, chain in enumerate(chains):
            current = self.chain(chain, current, registry, variable)
            shown = [(e, line) for alternative in chain for e, line in alternative if line.on]
            written = any(line.terms for _, line in shown)
            if number < len(chains) - 1 and current is not None and written:
                current = self.assign(variable, current, shown)
        return current

    def chain(
        self,
        alternatives: list[Views[Line]],
        current: Doc | None,
        registry: Registry,
        variable: str,
    ) -> Doc | None:
        """A line, with its `else` lines."""
        live = [views for views in alternatives if any(line.on for _, line in views)]
        if not live:
            return current
        if len(live) == 1 and all(line.on for _, line in live[0]):
            return self.line(live[0], current, registry, variable)
        assert current is not None
        on = [(env, line) for env, line in live[0] if line.on]
        if len(live) == 1 and registry is self.root and self.optional(on):
            return self._optional_label(live[0], on, current, registry, variable)
        return self.conditional(live, current, registry, variable)

    def optional(self, on: Views[Line]) -> bool:
        """Whether a line is a labelled chain of modules."""
        line = on[0][1]
        chained = all(structure.is_modules(term, self.network) for term in line.terms)
        return bool(line.labels) and not line.index and line.source is None and chained

    def _optional_label(
        self,
        views: Views[Line],
        on: Views[Line],
        current: Doc,
        registry: Registry,
        variable: str,
    ) -> Doc:
        """A labelled module that some instances lack is the identity there."""
        self.init.append((self.init_depth, "if ", self.condition(views)))
        label = module_name(on[0][1].labels[0])
        with self._indented():
            access = registry.add(label, sequential(self._entries(on)))
        self.init.append((self.init_depth, "else", ""))
        self.init.append((self.init_depth + 4, f"{access} = ", "nn.Identity()"))
        return Brackets(access, (current,))

    def conditional(
        self, live: list[Views[Line]], current: Doc, registry: Registry, variable: str
    ) -> Doc:
        """`if self.has_conv:` in the constructor and in `forward`."""
        ends = [line for views in live for _, line in views if line.on]
        if any((t.node, t.output) in self.pinned for line in ends for t in line.outputs):
            variable = self.own(ends[0])
        if flat(current) != variable and not self._complete(live):
            self.emit(f"{variable} = ", current)
            current = variable
        kept = [(env, dict(env.tensors)) for env, _ in live[0]]
        for number, views in enumerate(live):
            on = [(env, line) for env, line in views if line.on]
            last = number == len(live) - 1 and self._complete(live)
            if last:
                self.init.append((self.init_depth, "else", ""))
                self.body.append(f"{' ' * self.body_depth}else:")
            else:
                flag = self._flag(views, on)
                word = "if" if number == 0 else "elif"
                self.init.append((self.init_depth, "if ", flag))
                self.body.append(f"{' ' * self.body_depth}{word} {flag}:")
            with self._indented():
                # Lines of one label are one module, which each branch makes its own way.
                for label in on[0][1].labels:
                    registry.children.pop(module_name(label), None)
                end = self.line(on, current, registry, variable)
                assert end is not None
                self.assign(variable, end, on, exact=True)
        for env, before in kept:
            for key, text in before.items():
                if text != variable:
                    env.tensors.setdefault(key, text)
        for env, line in [(e, ln) for views in live for e, ln in views if not ln.on]:
            for tensor in line.outputs:
                env.tensors[tensor.node, tensor.output] = variable
        return variable

    def _complete(self, live: list[Views[Line]]) -> bool:
        """Whether one of the lines is on in every instance."""
        if len(live) < 2:
            return False
        count = len(live[0])
        return all(any(views[n][1].on for views in live) for n in range(count))

    def _flag(self, views: Views[Line], on: Views[Line]) -> str:
        """An attribute that says whether a line is there."""
        line = on[0][1]
        if not line.labels and not line.terms:
            return self._attribute("residual", self.condition(views))
        named = line.labels[0] if line.labels else first_name(line)
        return self._attribute(identifier(f"has_{named}"), self.condition(views))

    def condition(self, views: Views[Line]) -> str:
        """A line's condition over the constructor's arguments."""
        envs = [env for env, _ in views]
        values = [line.on for _, line in views]
        found = conditions.text(views[0][1].condition, envs, values)
        return found or self.speller.value(values, envs, "present")

    def line(
        self, views: Views[Line], current: Doc | None, registry: Registry, variable: str
    ) -> Doc | None:
        """A line that all these instances have; its value, not yet assigned."""
        first = views[0][1]
        source: Doc | None = current
        if first.source is not None:
            if len(first.source) == 1:
                source = self._variable(views[0][0], first.source[0])
            else:
                source = Brackets(
                    "", tuple(self._variable(views[0][0], t) for t in first.source), "[", "]"
                )
        if not first.terms:
            for env, line in views:
                for tensor, text in zip(
                    line.outputs, [source] * len(line.outputs), strict=True
                ):
                    if isinstance(text, str):
                        env.tensors.setdefault((tensor.node, tensor.output), text)
            return source
        within = registry
        if len(first.outputs) > 1 and first.labels:
            variable = self.fresh(identifier(first.labels[0]))
        if first.labels and any(
            structure.has_modules(t, self.network) or isinstance(t, Call) for t in first.terms
        ):
            within = registry.below(module_name(first.labels[0]))
            for number in first.index:
                within = within.below(str(number))
            within.single = runs(first.terms, self.network) == 1
        return self.terms(views, source, within, variable)

    def terms(
        self, views: Views[Line], current: Doc | None, registry: Registry, variable: str
    ) -> Doc | None:
        """The steps of a line, one statement each, but for the last."""
        count = len(views[0][1].terms)
        number = 0
        while number < count:
            stop = self._run(views[0][1].terms, number)
            inputs = [(env, line.terms[number]) for env, line in views]
            if registry.single and stop > number:
                entries: list[tuple[str, Doc]] = []
                for k in range(number, stop):
                    entries += self._modules([(env, line.terms[k]) for env, line in views])
                access = registry.chain(entries)
                assert current is not None
                current = Brackets(access, (current,))
                final = views[0][1].terms[stop - 1]
                if isinstance(final, Call) and len(final.block.outputs) > 1:
                    last = [(env, line.terms[stop - 1]) for env, line in views]
                    current = self._several(current, last, variable)
            else:
                stop = number + 1
                current = self.term(inputs, current, registry, variable)
            nested = (
                stop < count
                and isinstance(views[0][1].terms[stop - 1], Step)
                and isinstance(views[0][1].terms[stop], Step)
                and views[0][1].terms[stop].lines is None  # type: ignore[union-attr]
                and len(views[0][1].terms[stop - 1].outputs) == 1
                and len(flat(current or "")) <= NESTED
                and self._only_next(views[0][1].terms[stop - 1])
                and self._short(views[0][1].terms[stop])  # type: ignore[arg-type]
            )
            if stop < count and current is not None and not nested:
                done = [(env, line.terms[stop - 1]) for env, line in views]
                current = self.assign(variable, current, done)
            number = stop
        return current

    def _short(self, step: Step) -> bool:
        """Whether a step is a call, or a few characters behind its operand."""
        said = [torch.function for torch in structure.torches(step, self.network)[:1]]
        return not any(isinstance(f, Template) and len(f.text) > SHORT for f in said)

    def _only_next(self, term: Term) -> bool:
        """Whether one layer alone reads a term's output."""
        tensor = term.outputs[0]
        key = tensor.node, tensor.output
        return self.network.graph.out_degree(tensor.node) == 1 and key not in self.pinned

    def _run(self, terms: Sequence[Term], start: int) -> int:
        """The end of the chain of modules that begins here; `start` where none does."""
        stop = start
        while stop < len(terms) and structure.is_modules(terms[stop], self.network):
            stop += 1
        stop += stop < len(terms) and structure.ends_modules(terms[stop])
        stateful = any(
            structure.has_modules(t, self.network) or isinstance(t, Call)
            for t in terms[start:stop]
        )
        tapped = any(structure.is_tapped(t, self.network) for t in terms[start:stop])
        middle = stop - start > 1 and any(
            self._needed_elsewhere(t, terms[start:stop]) for t in terms[start : stop - 1]
        )
        return stop if stateful and not tapped and not middle else start

    def _needed_elsewhere(self, term: Term, run: Sequence[Term]) -> bool:
        """Whether a term's output goes anywhere but to the next term of the run."""
        inside = {node for t in run for node in structure.nodes_of(t)}
        for tensor in term.outputs:
            for _, target, output in self.network.graph.out_edges(tensor.node, data="output"):
                if output == tensor.output and target not in inside:
                    return True
        return False
