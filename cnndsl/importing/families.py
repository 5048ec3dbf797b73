"""Lines that say the same one after another, as a `for` whose turns have one name.

a0: conv(8, 3x3)
a1: conv(8, 3x3)          a: for _ in 0..3 { conv(8, 3x3) }
a2: conv(8, 3x3)          concat { a[*] }
concat { a0; a1; a2 }

So calls of a block of several outputs, each of which takes one of the call before it:

a0: x -> Layer(1)
a1: a0[0] -> Layer(2)     a: for i in 0..3 { Layer(2 ** i) }
a2: a1[0] -> Layer(4)     add { a[*].tap }
add { a0[1]; a1[1]; a2[1] }
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from cnndsl.importing.blocks import Block
from cnndsl.importing.flow import RESERVED
from cnndsl.importing.terms import Body, Chain, Line, Named, Step, alike, within
from cnndsl.ops.base import OPS

TURNS = 3
"""So many lines are a `for`."""


def gathered(body: Body, blocks: Mapping[str, Block]) -> Body:
    """A body with each such run as one line; `blocks` are told which outputs are handed on."""
    lines, number = list(body.lines), 0
    while number < len(lines):
        made = _threaded(lines, number, body, blocks)
        if made is not None:
            lines = made
        run = _run(lines, number)
        if len(run) >= TURNS and (name := _name(run, lines, body)):
            names = {line.labels[0]: f"{name}[{n}]" for n, line in enumerate(run)}
            times = len(run)
            rest = [_renamed(line, names) for line in lines[number + times :]]
            grown = _grown(rest, run[0].chain.steps, f"{name}[{times - 1}]", f"{name}[{times}]")
            times += grown is not None
            rest = [_spread(line, name, times) for line in grown or rest]
            lines[number:] = [Line((name,), run[0].chain, ("_", f"0..{times}")), *rest]
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


def _threaded(
    lines: list[Line], start: int, body: Body, blocks: Mapping[str, Block]
) -> list[Line] | None:
    """The lines, those from one on as a loop whose turns hand on one of several outputs."""
    run, port = _links(lines, start, blocks)
    turn = None
    while len(run) >= TURNS and turn is None:
        turn = _turn([line.chain.steps[-1] for line in run], body)
        run = run if turn else run[:-1]
    name = _name(run, lines, body) if len(run) >= TURNS else None
    rest = lines[start + len(run) :]
    labels = (line.labels[0] for line in run)
    whole = (
        found for label in labels for end in ("", "[*]") for found in _texts(rest, label + end)
    )
    if turn is None or name is None or any(whole):
        return None
    step, variable, values = turn
    called = blocks[step.word]
    given = [called.leaves.get(one, one) for one in called.body.outputs]
    if given[port] in called.body.outputs:
        called.leaves[given[port]] = given[port] = called.body.inputs[0]
    elif given[port] != called.body.inputs[0]:
        return None
    names = {
        f"{line.labels[0]}[{place}]": f"{name}[{n}].{end}"
        for n, line in enumerate(run)
        for place, end in enumerate(given)
    }
    rest = [_renamed(line, names) for line in rest]
    for end in given:
        rest = [_spread(line, name, len(run), f".{end}") for line in rest]
    first = run[0].chain
    before = [Line((), replace(first, steps=first.steps[:-1]))] if first.steps[1:] else []
    source = None if before or (not start and body.inputs == (first.source,)) else first.source
    chain = replace(first, source=source, steps=(step,))
    return [*lines[:start], *before, Line((name,), chain, (variable, values)), *rest]


def _links(
    lines: list[Line], start: int, blocks: Mapping[str, Block]
) -> tuple[list[Line], int]:
    """Calls of one block from a line on, each of an output of the one before; which output."""
    run: list[Line] = []
    ports: set[str] = set()
    for line in lines[start:]:
        last = line.chain.steps[-1] if line.chain.steps else None
        called = blocks.get(last.word) if last is not None else None
        if (
            last is None
            or called is None
            or (len(called.body.inputs), len(called.body.outputs) > 1) != (1, True)
            or (last.operands, last.each, len(line.labels)) != (None, "", 1)
            or last.present != line.chain.present
        ):
            break
        if run:
            first = run[0].chain
            label, _, port = (line.chain.source or "").partition("[")
            if (
                label != run[-1].labels[0]
                or len(line.chain.steps) > 1
                or {*ports, port} != {port}
                or (last.word, line.chain.present) != (first.steps[-1].word, first.present)
            ):
                break
            ports.add(port)
        run.append(line)
    return run, int(ports.pop().rstrip("]")) if ports else 0


def _turn(calls: list[Step], body: Body) -> tuple[Step, str, str] | None:
    """All calls as one, the name of a turn and its values; None where no rule says them."""
    if any(call.count != calls[0].count for call in calls):
        return None
    given = dict(calls[0].arguments)
    varying = [n for n, column in given.items() if any(c.arguments[n] != column for c in calls)]
    if not varying:
        return calls[0], "_", f"0..{len(calls)}"
    variable = free_variable(body)
    for name in varying:
        rows = [[call.arguments[name][instance] for call in calls] for instance in given[name]]
        text = _rule(rows[0], variable) if all(row == rows[0] for row in rows) else None
        if text is None:
            return None
        given[name] = dict.fromkeys(given[name], Named(text))
    return replace(calls[0], arguments=given), variable, f"0..{len(calls)}"


def free_variable(body: Body) -> str:
    """The name of a turn that nothing in a body has."""
    taken = {*body.inputs, *body.outputs, *(x for line in body.lines for x in line.labels)}
    return next(name for name in ("i", "j", "n", "turn") if name not in taken)


def _rule(values: list[Any], i: str) -> str | None:
    """What gives these values at 0, 1, 2 and so on: a comparison, a sum or a power."""
    if all(isinstance(value, bool) for value in values):
        last = len(values) - 1
        if sum(values) == 1:
            return f"{i} == {values.index(True)}"
        if sum(values) == last:
            return f"{i} != {values.index(False)}"
        return None
    if not all(type(value) is int for value in values):
        return None
    first, second = values[0], values[1]
    step = second - first
    if values == [first + step * n for n in range(len(values))]:
        times = i if step == 1 else f"{step} * {i}"
        return times if not first else f"{times} + {first}"
    for ratio in (2, 3, 4):
        if values == [first * ratio**n for n in range(len(values))]:
            return f"{ratio} ** {i}" if first == 1 else f"{first} * {ratio} ** {i}"
        if values == [first // ratio**n for n in range(len(values))]:
            return f"{first} // {ratio} ** {i}"
    return None


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
        return within(replace(one, source=source), chain)

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
        return within(one, chain)

    made = [replace(line, chain=within(line.chain, chain)) for line in lines]
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


def _spread(line: Line, name: str, times: int, port: str = "") -> Line:
    """All turns in a row as `name[*]`."""
    family = [f"{name}[{n}]{port}" for n in range(times)]

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
                whole = replace(operands[start], source=f"{name}[*]{port}")
                operands[start : start + times] = [whole]
                break
        return replace(one, operands=tuple(operands))

    return replace(line, chain=chain(line.chain))
