"""The text of a flow: its classes as blocks, its stages as lines and tables."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

from cnndsl.importing.blocks import Block, Turns, block, recursive
from cnndsl.importing.families import gathered
from cnndsl.importing.flow import RESERVED, Flow
from cnndsl.importing.grids import grid, threaded
from cnndsl.importing.lines import CallOf, Writer
from cnndsl.importing.members import membered
from cnndsl.importing.parts import Part, tree
from cnndsl.importing.stages import model
from cnndsl.importing.terms import Apart, Body, merged, relabelled, shortened
from cnndsl.importing.wording import Wording, usual


def recovered(flow: Flow, *, fixed: bool = False) -> str:
    """The `.arch` text of a simplified flow, not yet proved; `fixed` to its own sizes."""
    root = tree(flow)
    blocks, calls = _blocks(root, flow, fixed=fixed)

    def call(part: Part) -> tuple[str, dict[str, Any]]:
        found, number = calls[part]
        return found.name, found.call(number)

    written = Writer(root, 0, call, flow, fixed=fixed)
    grids = frozenset(one.name for one in blocks if one.grid is not None)
    known = {one.name: one for one in blocks}
    top = block(_camel(flow.name), membered(gathered(threaded(written.body(), grids), known)))
    words = Wording(known, usual([*blocks, top]))
    texts = [words.block(one) for one in blocks]
    texts.append(model(flow, top, words, fixed=fixed))
    heading = words.heading()
    parts = [heading, *texts] if heading else texts
    return "\n\n".join("\n".join(lines) for lines in parts) + "\n"


def _blocks(
    root: Part, flow: Flow, *, fixed: bool
) -> tuple[list[Block], dict[Part, tuple[Block, int]]]:
    """The blocks, inner ones first, and which instance of which each part is."""
    depth: dict[Part, int] = {}

    def measure(part: Part) -> int:
        depth[part] = 1 + max((measure(inner) for inner in part.parts()), default=0)
        return depth[part]

    measure(root)
    blocks: list[Block] = []
    calls: dict[Part, tuple[Block, int]] = {}
    taken: Counter[str] = Counter([*RESERVED, *flow.inputs, *flow.outputs, _camel(flow.name)])

    def call(part: Part) -> tuple[str, dict[str, Any]]:
        found, number = calls[part]
        return found.name, found.call(number)

    kinds: dict[str, list[Part]] = {}
    named = {part.scope.kind for part in depth}
    for part in depth:
        if part is not root and not part.calls and not part.rows:
            kind = part.scope.kind
            base = kind.rstrip(
                "0123456789"
            )  # `Block2` may be what `Block` is, with other numbers
            kinds.setdefault(base if base in named else kind, []).append(part)
    order = sorted(kinds, key=lambda k: max(depth[part] for part in kinds[k]))
    for name in order:
        parts = kinds[name]
        levels = sorted({depth[part] for part in parts})
        nested = _nested(parts)
        found = _recursive(_camel(name), parts, call, flow, fixed=fixed) if nested else None
        if found is not None and not taken[found[0].name]:
            taken[found[0].name] += 1
            blocks.append(found[0])
            calls.update((part, (found[0], number)) for number, part in enumerate(found[1]))
            continue
        groups = (
            [parts]
            if not nested
            else [[part for part in parts if depth[part] == level] for level in levels]
        )
        for group in groups:
            bodies = [
                (part, Writer(part, number, call, flow, fixed=fixed).body())
                for number, part in enumerate(group)
            ]
            templates = _templates([b for _, b in bodies])
            whole = grid(templates)
            if whole is not None and not taken[_camel(name)]:
                made = Block(_camel(name), whole.body(), formulas=whole.formulas, grid=whole)
                blocks.append(made)
                calls.update((part, (made, n)) for n, (part, _) in enumerate(bodies))
                taken[made.name] += 1
                continue
            for body in templates:
                free, number = _camel(name), 1
                while taken[free]:
                    number += 1
                    free = f"{_camel(name)}{number}"
                taken[free] += 1
                known = {one.name: one for one in blocks}
                looped = membered(gathered(body, known))
                short = (replace(x, chain=shortened(x.chain, most=0)) for x in looped.lines)
                made = block(free, replace(looped, lines=tuple(short)))
                blocks.append(made)
                calls.update(
                    (part, (made, n)) for n, (part, _) in enumerate(bodies) if n in body.present
                )
    return blocks, calls


def _recursive(
    name: str, parts: list[Part], call: CallOf, flow: Flow, *, fixed: bool
) -> tuple[Block, list[Part]] | None:
    """A block that calls itself, and its instances; None where no one template says them all.

    In each but the innermost is one other, and so on for at least `DEEP` of them.
    """
    kind = frozenset(parts)
    inner = {part: [one for one in part.parts() if one in kind] for part in parts}
    whole = sum(map(len, inner.values())) == len(
        {one for held in inner.values() for one in held}
    )
    if not whole or any(len(held) > 1 for held in inner.values()):
        return None

    def level(part: Part) -> int:
        return 1 + sum(map(level, inner[part]))

    def own(part: Part) -> tuple[str, dict[str, Any]]:
        return (name, {"n": level(part)}) if part in inner else call(part)

    order = sorted(parts, key=level, reverse=True)
    if level(order[0]) < DEEP:
        return None
    writers = (
        Writer(one, n, own, flow, fixed=fixed, apart=True) for n, one in enumerate(order)
    )
    templates = _templates([writer.body() for writer in writers])
    turns = {n: order.index(inner[part][0]) for n, part in enumerate(order) if inner[part]}
    if len(templates) > 1:
        return None
    found = recursive(name, templates[0], Turns("n", dict(enumerate(map(level, order))), turns))
    return None if found is None else (found, order)


DEEP = 3
"""So many modules of a class in one another are a block that calls itself."""


def _nested(parts: list[Part]) -> bool:
    """Whether one of them holds another."""
    paths = [part.scope.path for part in parts]
    return any(a != b and b.startswith(f"{a}.") for a in paths for b in paths)


def _templates(bodies: list[Body]) -> list[Body]:
    """As few templates as the bodies allow: the same steps, or most of them."""
    alike: dict[object, Body] = {}
    for body in bodies:
        labels = [name for line in body.lines for name in line.labels]
        key = skeleton(relabelled(body, map(str, range(len(labels)))))
        if key in alike:
            # The same under other names: `conv_s1` here is `conv_s2` there.
            alike[key] = merged(alike[key], body)
        else:
            alike[key] = body
    found: list[Body] = []
    for body in alike.values():
        for number, other in enumerate(found):
            try:
                both = merged(other, body)
            except Apart:
                continue
            if _readable(both):
                found[number] = both
                break
        else:
            found.append(body)
    return found


CONDITIONS = 4
"""More of them in one block are harder to read than two blocks."""


def _readable(body: Body) -> bool:
    """Whether few of a template's steps are only some instances'."""
    all_ = shared = optional = 0
    for line in body.lines:
        chains = [line.chain]
        while chains:
            chain = chains.pop()
            for step in chain.steps:
                all_ += 1
                shared += step.present == body.present
                optional += step.present != chain.present
                for operand in step.operands or ():
                    chains.append(operand)
                    optional += operand.present != step.present
    return optional <= CONDITIONS and 2 * shared >= all_


def skeleton(body: Body) -> object:
    """What a body is without its numbers."""

    def chain(one: Any) -> object:
        return (one.source, tuple(step(s) for s in one.steps))

    def step(one: Any) -> object:
        operands = None if one.operands is None else tuple(map(chain, one.operands))
        return (one.word, one.each, tuple(one.arguments), operands)

    lines = tuple((line.labels, chain(line.chain)) for line in body.lines)
    return (lines, body.inputs, body.outputs)


def _camel(name: str) -> str:
    """A class's name as a block's: `_DenseLayer` is `DenseLayer`, `se_module` `SeModule`."""
    parts = "".join(c if c.isalnum() else " " for c in name).split()
    joined = "".join(part[:1].upper() + part[1:] for part in parts)
    return joined if joined[:1].isalpha() else f"Net{joined}"
