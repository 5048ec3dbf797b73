"""What is done to each member of a family in turn, as a `for` over them.

concat { maps[0] -> relu; maps[1] -> relu; maps[2] -> relu }
concat { for i in 0..3 { maps[i] -> relu } }
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from cnndsl.importing.families import TURNS, free_variable
from cnndsl.importing.flow import RESERVED
from cnndsl.importing.lines import free, label
from cnndsl.importing.terms import Body, Chain, Step, alike, steps
from cnndsl.ops.base import OPS
from cnndsl.ops.facts import Family

PLAIN = frozenset(
    {Family.POOL, Family.ACTIVATION, Family.REGULARIZE, Family.RESHAPE, Family.UPSAMPLE}
)
"""Without weights, but for `prelu`: what has weights needs a label in a `for`."""


def membered(body: Body) -> Body:
    """A body with each such run of operands as one."""
    found = _Members(body)
    lines = (replace(line, chain=found.chain(line.chain)) for line in body.lines)
    return replace(body, lines=tuple(lines))


class _Members:
    def __init__(self, body: Body) -> None:
        self.variable = free_variable(body)
        self.taken = Counter([*RESERVED, *body.inputs, *body.outputs])
        self.taken.update(x for line in body.lines for x in line.labels)

    def chain(self, chain: Chain) -> Chain:
        """A chain with what stands in its braces."""
        return replace(chain, steps=tuple(map(self._step, chain.steps)))

    def _step(self, step: Step) -> Step:
        if step.operands is None:
            return step
        left, made = list(map(self.chain, step.operands)), list[Chain]()
        while left:
            chain, times = self._run(left)
            heavy = chain is not None and not all(map(_plain, steps(chain)))
            if chain is not None and (step.each or (heavy and step.word not in OPS)):
                chain = None
            if chain is not None and heavy:
                chain = replace(chain, label=self._free(chain))
            made.append(left[0] if chain is None else chain)
            left = left[1 if chain is None else times :]
        return replace(step, operands=tuple(made))

    def _run(self, chains: list[Chain]) -> tuple[Chain | None, int]:
        """The chain that the first ones are for a member each, and how many they are."""
        first = chains[0]
        base, place, port = (first.source or "").partition("[0]")
        if not place or not first.steps:
            return None, 0
        times = 0
        for number, one in enumerate(chains):
            own = replace(one, source=first.source)
            if one.source != f"{base}[{number}]{port}" or not alike(own, first):
                break
            if one.present != first.present:
                break
            times += 1
        if times < TURNS:
            return None, 0
        turns = (self.variable, f"0..{times}")
        return replace(first, source=f"{base}[{self.variable}]{port}", turns=turns), times

    def _free(self, chain: Chain) -> str:
        """A label after the last module in a chain."""
        last = [step for step in steps(chain) if not _plain(step)] or list(steps(chain))
        parts = last[-1].path.split(".")
        while len(parts) > 1 and parts[-1].isdigit():
            parts.pop()
        return free(label(parts[-1]) if parts[-1] else last[-1].word.lower(), self.taken)


def _plain(step: Step) -> bool:
    return step.word in OPS and OPS[step.word].family in PLAIN and step.word != "prelu"
