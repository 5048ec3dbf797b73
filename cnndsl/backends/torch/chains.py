"""Chains of modules, which PyTorch runs by itself: `nn.Sequential`, repeats, tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cnndsl.backends.torch import structure
from cnndsl.backends.torch.calls import NeedsName, call_doc
from cnndsl.backends.torch.layout import Brackets, Doc, Generated, Prefixed
from cnndsl.backends.torch.registry import generated, sequential
from cnndsl.backends.torch.values import Provider, identifier, literal
from cnndsl.backends.torch.views import Views, segment, side_by_side
from cnndsl.backends.torch.writer import Writer
from cnndsl.graph import Call, Group, Line, Loop, Repeat, Step, module_name
from cnndsl.symbolic import strip


class Chains(Writer):
    """Writes terms that are modules."""

    def _entries(self, views: Views[Line]) -> list[tuple[str, Doc]]:
        """The modules of a line that is a chain of them."""
        entries: list[tuple[str, Doc]] = []
        for number in range(len(views[0][1].terms)):
            entries += self._modules([(env, line.terms[number]) for env, line in views])
        return entries

    def _modules(self, views: Views[Any]) -> list[tuple[str, Doc]]:
        """The named modules of a term."""
        first = views[0][1]
        match first:
            case Step():
                return self._step_modules(views)
            case Call():
                return [(segment(first.block), self._construct(views))]
            case Repeat(items=items):
                head = items[0]
                assert isinstance(head, Call | Step)
                name = segment(head.block) if isinstance(head, Call) else head.name
                docs = self.repeated(views, self._single_module)
                return [(name, Brackets("nn.Sequential", tuple(docs)))]
            case Group():
                entries: list[tuple[str, Doc]] = []
                for aligned in side_by_side([(env, t.body) for env, t in views]):
                    inner = self._entries(aligned)
                    label = aligned[0][1].labels
                    entries += [(module_name(label[0]), sequential(inner))] if label else inner
                return entries
            case _:
                raise AssertionError(first)

    def _single_module(self, views: Views[Any]) -> Doc:
        if isinstance(views[0][1], Call):
            return self._construct(views)
        return self._step_modules(views)[0][1]

    def _step_modules(self, views: Views[Any]) -> list[tuple[str, Doc]]:
        """The operation, its normalisation and its activation, as modules."""
        envs = [env for env, _ in views]
        said = [structure.torches(step, self.network) for _, step in views]
        entries: list[tuple[str, Doc]] = []
        for number, slot in enumerate(views[0][1].slots):
            torches = [each[number] for each in said]
            self._help(torches)
            calls = [t.module for t in torches if t.module is not None]
            entries.append((slot, call_doc(calls, envs, self.speller, slot)))
            for name, call in torches[0].also:
                entries.append((name, call_doc([call], envs[:1], self.speller)))
        return entries

    def _construct(self, views: Views[Call]) -> Doc:
        """`Bottleneck(256, 128, s=2)`."""
        cls = self.source.class_of(views[0][1].block)
        if any(self.source.class_of(call.block) is not cls for _, call in views):
            raise NeedsName(cls.name)
        items: list[Doc] = []
        keywords = False
        for number, argument in enumerate(cls.arguments()):
            values = [cls.value_for(call, argument.name) for _, call in views]
            envs = [env for env, _ in views]
            text = self.speller.value(values, envs, argument.name)
            if text == argument.default:
                keywords = True
                continue
            keywords = keywords or (number > 1 and not text.isidentifier())
            items.append(Prefixed(f"{argument.name}=", text) if keywords else text)
        return Brackets(cls.name, tuple(items))

    def repeated(self, views: Views[Any], element: Callable[[Views[Any]], Doc]) -> list[Doc]:
        """The modules of `term * n`, as the items of a list."""
        counts = [len(repeat.items) for _, repeat in views]
        every = [(env, item) for env, repeat in views for item in repeat.items]
        heads = [(env, repeat.items[0]) for env, repeat in views if repeat.items]
        tails = [(env, item) for env, repeat in views for item in repeat.items[1:]]
        if set(counts) == {1}:
            return [element(every)]
        envs = [env for env, _ in views]
        number = self.speller.value(counts, envs, "n")
        fewer = str(int(number) - 1) if number.isdigit() else f"{number} - 1"
        provider = self.speller.providers[-1]
        steps = [
            (env.inner({"i": k}, provider, env.rows[id(provider)]), item)
            for env, repeat in views
            for k, item in enumerate(repeat.items)
        ]
        for naming in (False, True):
            alike = self.speller.attempt(lambda: element(every), naming=naming)
            if alike is not None:
                return [generated(alike, "_", f"range({number})")]
            both = None
            if min(counts):
                both = self.speller.attempt(
                    lambda: (element(heads), element(tails)), naming=naming and bool(tails)
                )
            if both and set(counts) == {2}:
                return list(both)
            if both:
                return [both[0], generated(both[1], "_", f"range({fewer})")]
            regular = self.speller.attempt(
                lambda: element(steps), naming=naming, counter=counts
            )
            if regular is not None:
                return [generated(regular, "i", f"range({number})")]
        assert len(views) == 1, "instances whose repeats differ share no class"
        return [element([view]) for view in every]

    def _table(self, views: Views[Loop]) -> Doc:
        """`*(nn.Sequential(…) for c, n in [(64, 3), …])`."""
        env, loop = views[0]
        names = [identifier(name) for name in loop.names]
        plain = [[strip(v) for v in row] for row in loop.rows]
        known = {
            name: [row[n] for row in plain]
            for n, name in enumerate(names)
            if all(isinstance(row[n], int | float | str | tuple) for row in plain)
        }
        table = Provider(known, len(plain), table=True)
        rows = [
            (env.inner({n: v[k] for n, v in known.items()}, table, k), body)
            for k, body in enumerate(loop.bodies)
        ]
        self.speller.providers.append(table)
        entries: list[tuple[str, Doc]] = []
        for aligned in side_by_side(rows):
            inner = self._entries(aligned)
            label = aligned[0][1].labels
            entries += [(module_name(label[0]), sequential(inner))] if label else inner
        self.speller.providers.pop()
        columns = table.ordered()
        element = sequential(entries)
        if not columns:
            return generated(element, "_", f"range({len(plain)})")
        cells = [[literal(v) for v in table.columns[c]] for c in columns]
        if len(columns) == 1:
            source = Brackets("", tuple(cells[0]), "[", "]")
        else:
            items = tuple(Brackets("", row) for row in zip(*cells, strict=True))
            source = Brackets("", items, "[", "]")
        return Prefixed("*", Brackets("", (Generated(element, ", ".join(columns), source),)))
