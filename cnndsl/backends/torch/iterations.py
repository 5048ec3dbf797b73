"""The iterations of a `for` that is no chain of modules.

They are written out one after the other. Where that shows statements which differ in their
number alone, they are taken back and written once, as a comprehension or a loop.
"""

from __future__ import annotations

import re
from itertools import pairwise

from cnndsl.backends.torch import structure
from cnndsl.backends.torch.calls import kept_name
from cnndsl.backends.torch.families import (
    FEW,
    Alike,
    alike,
    element_of,
    lists_of,
    spelled,
)
from cnndsl.backends.torch.joins import Joins
from cnndsl.backends.torch.layout import Brackets, Doc, Generated, lines
from cnndsl.backends.torch.registry import Registry
from cnndsl.backends.torch.values import Env, identifier
from cnndsl.backends.torch.views import Views
from cnndsl.backends.torch.writer import base_of
from cnndsl.graph import Loop


class Iterations(Joins):
    """Writes iterations."""

    def _unrolled(
        self, views: Views[Loop], current: Doc | None, registry: Registry, variable: str
    ) -> Doc | None:
        """One iteration after the other; a loop where only their number differs."""
        labelled = registry is not self.root
        head, said = len(self.body), [len(self.statements)]
        for number in range(len(views[0][1].bodies)):
            bodies = [(env, loop.bodies[number]) for env, loop in views]
            within = registry.below(str(number)) if labelled else registry
            current = self.sequence(bodies, current, within, variable)
            last = [
                (env, [line for line in body if line.on][-1]) for env, body in bodies if body
            ]
            final = number == len(views[0][1].bodies) - 1
            indexed = bool(last) and bool(last[0][1].index)
            if current is not None and last and (not final or indexed):
                current = self.assign(variable, current, last)
            said.append(len(self.statements))
        if not self._looped(views, head, [slice(a, b) for a, b in pairwise(said)]):
            return current
        # The variables of the iterations are gone: what is not kept, nothing reads.
        end = next(line for line in reversed(views[0][1].bodies[-1]) if line.on).outputs
        return views[0][0].tensors.get((end[0].node, end[0].output)) if len(end) == 1 else None

    def _looped(self, views: Views[Loop], head: int, iterations: list[slice]) -> bool:
        """Whether what was written since `head` became a loop."""
        found = [self.statements[one] for one in iterations]
        written = sum(count for one in found for _, _, count in one)
        if len(found) < FEW or written != len(self.body) - head or not found[0]:
            return False
        form = alike([[(name, text) for name, text, _ in one] for one in found], self.families)
        if form is None or not (form.sources or form.constants):
            return False
        names = [[name for name, _, _ in one] for one in found]
        kept = [n for n in range(len(names[0])) if self._needed(views, names, n)]
        if not kept:
            return False
        del self.body[head:]
        del self.statements[iterations[0].start :]
        self._written_loop(form, names, kept)
        return True

    def _needed(self, views: Views[Loop], names: list[list[str]], number: int) -> bool:
        """Whether a variable of the iterations is used behind the loop."""
        inside = set(structure.nodes_of(views[0][1]))
        env = views[0][0]
        given = {(t.node, t.output) for t in env.block.outputs.values()}
        for (node, output), text in env.tensors.items():
            if base_of(text) not in {one[number] for one in names}:
                continue
            if (node, output) in given:
                return True
            for _, target, carried in self.network.graph.out_edges(node, data="output"):
                if carried == output and target not in inside:
                    return True
        return False

    def _written_loop(self, form: Alike, names: list[list[str]], kept: list[int]) -> None:
        """A comprehension, or a loop that appends to lists, one a variable that is kept."""
        lists = self._moved(names, kept)
        taken = set(lists.values())
        sources = list(form.sources)
        elements = {source: self._free(element_of(source), taken) for source in sources}
        for number, (call, values) in enumerate(form.constants):
            access = self._attribute(kept_name(call), f"[{', '.join(values)}]")
            elements[str(number)] = self._free(element_of(access), taken)
            sources.append(access)
        own = [self._free(re.sub(r"_\d+$", "", name), taken) for name in names[0]]
        texts = [spelled(text, elements, own) for text in form.statements]
        target = ", ".join(elements.values())
        source: Doc = sources[0]
        if len(sources) > 1:
            source = Brackets("zip", (*sources, "strict=True"))
        if len(texts) == 1:
            doc = Generated(texts[0], target, source)
            self.emit(f"{lists[0]} = ", Brackets("", (doc,), "[", "]"))
            return
        self.emit(f"{', '.join(lists.values())} = ", ", ".join("[]" for _ in lists))
        self.body += lines(source, self.body_depth, f"for {target} in ", ":")
        self.body_depth += 4
        for number, (name, text) in enumerate(zip(own, texts, strict=True)):
            value: Doc = text
            if number not in lists or any(f"⟪{number}⟫" in later for later in form.statements):
                self.emit(f"{name} = ", text)
                value = name
            if number in lists:
                self.emit("", Brackets(f"{lists[number]}.append", (value,)))
        self.body_depth -= 4

    def _free(self, base: str, taken: set[str]) -> str:
        """A variable of a loop: no other of its own, and none that is still needed."""
        name, number = self.fresh(identifier(base)), 2
        while name in taken:
            name, number = self.fresh(f"{base}_{number}"), number + 1
        taken.add(name)
        return name

    def _moved(self, names: list[list[str]], kept: list[int]) -> dict[int, str]:
        """The lists' names; what each iteration's variables held is in the lists now."""
        gone = {name for one in names for name in one}
        held: list[tuple[Env, tuple[str, int], str, str]] = []
        for env in self.envs:
            for key, text in list(env.tensors.items()):
                variable = base_of(text)
                if variable in gone:
                    del env.tensors[key]
                    held.append((env, key, variable, text.removeprefix(variable)))
        found: dict[int, str] = {}
        for number in kept:
            column = [one[number] for one in names]
            kind = self.families.kinds.get(column[0], "Tensor")
            for name in column:
                self.families.drop(name)
            plural = self.fresh(lists_of(re.sub(r"_\d+$", "", column[0])))
            found[number] = plural
            self.families.hold(plural, [f"[{n}]" for n in range(len(names))], f"list[{kind}]")
            for env, key, variable, rest in held:
                if variable in column:
                    # A variable of several iterations holds what the last of them gave it.
                    last = len(column) - 1 - column[::-1].index(variable)
                    env.tensors[key] = f"{plural}[{last}]{rest}"
        return found
