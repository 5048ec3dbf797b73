"""Lines that say the same one after another, as a `for` whose turns have one name.

a0: conv(8, 3x3)
a1: conv(8, 3x3)          a: for _ in 0..3 { conv(8, 3x3) }
a2: conv(8, 3x3)          concat { a[*] }
concat { a0; a1; a2 }
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from cnndsl.importing.flow import RESERVED
from cnndsl.importing.terms import Body, Chain, Line, Step, alike
from cnndsl.ops.base import OPS

TURNS = 3
"""So many lines are a `for`."""


def gathered(body: Body) -> Body:
    """A body with each such run as one line."""
    lines, number = list(body.lines), 0
    while number < len(lines):
        run = _run(lines, number)
        if len(run) >= TURNS and (name := _name(run, lines, body)):
            names = {line.labels[0]: f"{name}[{n}]" for n, line in enumerate(run)}
            times = len(run)
            rest = [_renamed(line, names) for line in lines[number + times :]]
            grown = _grown(rest, run[0].chain.steps, f"{name}[{times - 1}]", f"{name}[{times}]")
            times += grown is not None
            rest = [_spread(line, name, times) for line in grown or rest]
            lines[number:] = [Line((name,), run[0].chain, times), *rest]
        number += 1
    return replace(body, lines=tuple(lines))


def _run(lines: list[Line], start: int) -> list[Line]:
    """Lines from one on that continue each other with the same steps."""
    first = lines[start]
    run: list[Line] = []
    for line in lines[start:]:
        chain = line.chain
        plain = len(line.labels) == 1 and chain.source is None and bool(chain.steps)
        if not plain or not alike(chain, first.chain) or chain.present != first.chain.present:
            break
        run.append(line)
    return run


def _name(run: list[Line], lines: list[Line], body: Body) -> str | None:
    """What the labels have in common, where it is free."""
    labels = [line.labels[0] for line in run]
    bases = {label.rstrip("0123456789_") for label in labels}
    if len(bases) > 1 or {*labels} & {*body.inputs, *body.outputs}:
        return None
    base = bases.pop()
    first = labels[0].removeprefix(base)
    if first.isdigit() and int(first) and labels == _counted(base, int(first), len(run)):
        return None  # `down1`, `down2`, `down3`: `down[0]` would be another than `down0`
    taken = {
        *OPS,
        *RESERVED,
        *body.inputs,
        *body.outputs,
        *(x for o in lines for x in o.labels),
    }
    return next((name for name in (base, f"{base}s") if name and name not in taken), None)


def _counted(base: str, first: int, times: int) -> list[str]:
    return [f"{base}{number}" for number in range(first, first + times)]


def _renamed(line: Line, names: dict[str, str]) -> Line:
    def chain(one: Chain) -> Chain:
        source = names.get(one.source or "", one.source)
        return replace(one, source=source, steps=tuple(map(step, one.steps)))

    def step(one: Step) -> Step:
        operands = None if one.operands is None else tuple(map(chain, one.operands))
        return replace(one, operands=operands)

    return replace(line, chain=chain(line.chain))


def _grown(
    lines: list[Line], steps: tuple[Step, ...], last: str, following: str
) -> list[Line] | None:
    """The lines, where one operand is the run's next turn, `last -> steps`, read only there."""
    if not lines or not _explicit(lines[0]) or sum(map(len, _texts(lines, last))) != 2:
        return None
    found = 0

    def chain(one: Chain) -> Chain:
        nonlocal found
        turn = one.source == last and alike(
            replace(one, source=None), Chain(None, steps, one.present)
        )
        if turn:
            found += 1
            return Chain(following, (), one.present)
        return replace(one, steps=tuple(map(step, one.steps)))

    def step(one: Step) -> Step:
        operands = None if one.operands is None else tuple(map(chain, one.operands))
        return replace(one, operands=operands)

    made = [
        replace(line, chain=replace(line.chain, steps=tuple(map(step, line.chain.steps))))
        for line in lines
    ]
    return made if found == 1 else None


def _explicit(line: Line) -> bool:
    """Whether a line says what it begins from, and does not continue the one above it."""
    first = line.chain.steps[0] if line.chain.steps else None
    operands = (first.operands or ()) if first is not None else ()
    return bool(line.chain.source or (operands and all(one.source for one in operands)))


def _texts(lines: Iterable[Line], label: str) -> list[list[str]]:
    """Where a label is read."""

    def sources(chain: Chain) -> list[str]:
        found = [chain.source] if chain.source == label else []
        for step in chain.steps:
            for operand in step.operands or ():
                found += sources(operand)
        return [one for one in found if one]

    return [sources(line.chain) for line in lines]


def _spread(line: Line, name: str, times: int) -> Line:
    """All turns in a row as `name[*]`."""
    family = [f"{name}[{n}]" for n in range(times)]

    def chain(one: Chain) -> Chain:
        return replace(one, steps=tuple(map(step, one.steps)))

    def step(one: Step) -> Step:
        if one.operands is None:
            return one
        operands = list(map(chain, one.operands))
        plain = [o.source if not o.steps else None for o in operands]
        for start in range(len(operands) - times + 1):
            same = all(
                o.present == operands[start].present for o in operands[start : start + times]
            )
            if plain[start : start + times] == family and same:
                whole = replace(operands[start], source=f"{name}[*]")
                operands[start : start + times] = [whole]
                break
        return replace(one, operands=tuple(operands))

    return replace(line, chain=chain(line.chain))
