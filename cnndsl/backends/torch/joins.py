"""The operands in a call's braces, of which `when` may leave one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cnndsl.backends.torch import structure
from cnndsl.backends.torch.calls import function_doc
from cnndsl.backends.torch.chains import Chains
from cnndsl.backends.torch.layout import Brackets, Doc, flat
from cnndsl.backends.torch.registry import Registry, sequential
from cnndsl.backends.torch.values import Env, identifier
from cnndsl.backends.torch.views import Views, alternatives, always, first_name, trivial
from cnndsl.graph import Line, Loop, Step, module_name


class Joins(Chains):
    """Writes operands."""

    def operands(
        self, views: Views[Any], current: Doc | None, registry: Registry
    ) -> list[Doc] | str:
        """The values of the lines in braces; text where `when` leaves one operand or two."""
        chains = list(alternatives([(env, term.lines) for env, term in views]))
        chains = [c for c in chains if any(line.on for v in c for _, line in v)]
        optional = [chain for chain in chains if not always(chain)]
        if optional:
            return self._optional_operands(views, chains, current, registry)
        found: list[Doc] = []
        for number, chain in enumerate(chains):
            found += self._operand(chain, current, registry, number, len(chains))
        return found

    def _operand(
        self,
        chain: list[Views[Line]],
        current: Doc | None,
        registry: Registry,
        number: int,
        count: int,
        *,
        keep: bool = False,
    ) -> list[Doc]:
        """One operand; a `for` gives one an iteration.  `keep` gives it a variable."""
        views = chain[0]
        terms = views[0][1].terms
        if len(terms) == 1 and isinstance(terms[0], Loop):
            return self._loop_operands(views, current, registry)
        base = "y" if count <= 2 else f"branch_{number + 1}"
        label = views[0][1].labels
        variable = self.fresh(identifier(label[0]) if label else base)
        if trivial(chain):
            doc = self.line([v for v in views if v[1].on], current, registry, variable)
        elif len(chain) == 1:
            doc = self.line(views, current, registry, variable)
        else:
            doc = self._alternatives(chain, current, registry, variable)
        assert doc is not None
        shown = [(e, line) for v in chain for e, line in v if line.on]
        if isinstance(doc, str) and doc.isidentifier():
            return [doc]
        many = len(views[0][1].outputs)
        if many > 1:
            return [self._variable(views[0][0], t) for t in views[0][1].outputs]
        if not label and count <= 2 and len(flat(doc)) <= 36 and not keep:
            return [doc]
        return [self.assign(variable, doc, shown)]

    def _alternatives(
        self, chain: list[Views[Line]], current: Doc | None, registry: Registry, variable: str
    ) -> Doc:
        """`skip when … else projection: …`: a module that is the identity, or the module."""
        plain = [
            views for views in chain if not any(line.terms for _, line in views if line.on)
        ]
        rest = [views for views in chain if views not in plain]
        live = [views for views in rest if any(line.on for _, line in views)]
        if not live:
            return (
                self.line([v for v in plain[0] if v[1].on], current, registry, variable) or ""
            )
        on = [(env, line) for env, line in live[0] if line.on]
        if len(plain) == 1 and len(live) == 1 and registry is self.root and self.optional(on):
            if not any(line.on for _, line in plain[0]):
                return self.line(on, current, registry, variable) or ""
            self.init.append((self.init_depth, "if ", self.condition(plain[0])))
            label = module_name(on[0][1].labels[0])
            self.init.append((self.init_depth + 4, f"self.{label} = ", "nn.Identity()"))
            self.init.append((self.init_depth, "else", ""))
            with self._indented():
                access = registry.add(label, sequential(self._entries(on)))
            assert current is not None
            return Brackets(access, (current,))
        assert current is not None
        return self.conditional(
            [v for v in chain if any(line.on for _, line in v)], current, registry, variable
        )

    def _optional_operands(
        self,
        views: Views[Step],
        chains: list[list[Views[Line]]],
        current: Doc | None,
        registry: Registry,
    ) -> str:
        """A join some of whose operands are there in some instances only."""
        joined = next((step for _, step in views if step.nodes), None)
        envs = [env for env, step in views if step.nodes]
        live = [c for c in chains if any(line.on for v in c for _, line in v)]
        if joined is not None and not always(live[0]):
            return self._listed(live, joined, envs, current, registry)
        value = ""
        for number, chain in enumerate(live):
            if always(chain):
                (doc,) = self._operand(chain, current, registry, number, 2, keep=True)
                value = self._joined(joined, envs, value, doc) if value else flat(doc)
                continue
            assert joined is not None
            on = [(env, line) for env, line in chain[0] if line.on]
            flag = self._there(chain)
            if not on[0][1].terms:
                doc = self.line(on, current, registry, "") or ""
                value = f"{self._joined(joined, envs, value, doc)} if {flag} else {value}"
                continue
            if not value.isidentifier():
                kept = self.fresh("y")
                self.emit(f"{kept} = ", value)
                value = kept
            with self._branch(flag):
                doc = self.line(on, current, registry, self.fresh("z")) or ""
                self.emit(f"{value} = ", self._text(joined, envs, [value, doc]))
        return value

    def _there(self, chain: list[Views[Line]]) -> str:
        """An attribute that says whether an operand is there."""
        on = [(env, line) for env, line in chain[0] if line.on]
        name = "residual" if not on[0][1].terms else f"has_{first_name(on[0][1])}"
        return self._attribute(name, self.condition(chain[0]))

    def _listed(
        self,
        chains: list[list[Views[Line]]],
        joined: Step,
        envs: list[Env],
        current: Doc | None,
        registry: Registry,
    ) -> str:
        """The operands in a list, where already the first may be missing."""
        parts = self.fresh("parts")
        self.emit(f"{parts} = ", "[]")
        for number, chain in enumerate(chains):
            if always(chain):
                (doc,) = self._operand(chain, current, registry, number, 3)
                self.emit("", Brackets(f"{parts}.append", (doc,)))
                continue
            on = [(env, line) for env, line in chain[0] if line.on]
            with self._branch(self._there(chain)):
                doc = self.line(on, current, registry, self.fresh("z")) or ""
                self.emit("", Brackets(f"{parts}.append", (doc,)))
        if self.network.node(joined.nodes[0]).op.name == "concat":
            return flat(self._text(joined, envs, [f"*{parts}"]))
        value = self.fresh("y")
        self.emit(f"{value} = ", f"{parts}[0]")
        self.body.append(f"{' ' * self.body_depth}for part in {parts}[1:]:")
        self.body_depth += 4
        self.emit(f"{value} = ", self._text(joined, envs, [value, "part"]))
        self.body_depth -= 4
        return value

    @contextmanager
    def _branch(self, flag: str) -> Iterator[None]:
        """`if flag:` in the constructor and in `forward`."""
        self.init.append((self.init_depth, "if ", flag))
        self.body.append(f"{' ' * self.body_depth}if {flag}:")
        with self._indented():
            yield

    def _joined(self, step: Step | None, envs: list[Env], left: str, right: Doc) -> str:
        assert step is not None
        return flat(self._text(step, envs, [left, right]))

    def _text(self, step: Step, envs: list[Env], operands: list[Doc]) -> Doc:
        torch = structure.torches(step, self.network)[0]
        assert torch.function is not None
        return function_doc([torch.function], envs[:1], operands, self.speller)

    def _loop_operands(
        self, views: Views[Line], current: Doc | None, registry: Registry
    ) -> list[Doc]:
        """The operands that a `for` in braces contributes."""
        found: list[Doc] = []
        loops = [(env, line.terms[0]) for env, line in views]
        label = views[0][1].labels
        within = registry.below(module_name(label[0])) if label else registry
        for number in range(len(loops[0][1].bodies)):  # type: ignore[union-attr]
            bodies = [(env, loop.bodies[number]) for env, loop in loops]  # type: ignore[union-attr]
            place = within.below(str(number)) if label else registry
            for chain in alternatives(bodies):
                if not any(line.on for lines in chain for _, line in lines):
                    continue
                found += self._operand(chain, current, place, number, 3)
        return found
