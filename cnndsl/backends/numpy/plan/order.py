"""How long each tensor of a program lives, and the order of tasks that needs least room."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from cnndsl.analysis.schedule import best_order
from cnndsl.backends.numpy.plan.arena import live_peak
from cnndsl.backends.numpy.plan.rewrites import Key, Program, Task, rewrite
from cnndsl.graph import Network
from cnndsl.ops.facts import Array

Lives = dict[Key, tuple[int, int]]
"""The first and the last step of each tensor that has memory of its own, inclusive."""


def lives(program: Program, tasks: Iterable[Task]) -> Lives:
    """From the step that writes a tensor, or a part of it, to the last that reads it.

    An input is there before the first step, an output after the last.
    """
    found: Lives = {}

    def at(step: int, keys: Iterable[Key]) -> None:
        for root in (program.root(key)[0] for key in keys):
            first, last = found.get(root, (step, step))
            found[root] = min(first, step), max(last, step)

    at(-1, program.inputs.values())
    count = 0
    for step, task in enumerate(tasks):
        at(step, [*task.reads, *task.outputs])
        count = step + 1
    at(count, program.outputs.values())
    return found


def sizes(program: Program, keys: Iterable[Key]) -> dict[Key, int]:
    """Elements of tensors, for one sample."""
    return {key: program.rows[key] * math.prod(program.shapes[key]) for key in keys}


def ordered(network: Network, weights: Mapping[str, Array]) -> Program:
    """The program in the order of the file, or in another that needs less memory.

    Each task needs what it reads and what it writes at once; where the file's order needs
    no more than the largest task, none is better, and none is searched for. Operands of
    `concat` are copied, which takes time, only where that saves a fifth.
    """
    program = rewrite(network, weights)
    peak, least = _peaks(program)
    if peak == least:
        return program
    order, _ = best_order(network)
    for copied, saving in ((False, 1.0), (True, 0.8)):
        other = rewrite(network, weights, order, place_shared=not copied)
        needed, _ = _peaks(other)
        if needed < saving * peak:
            program, peak = other, needed
    return program


def _peaks(program: Program) -> tuple[int, int]:
    """The elements alive at once, and what the largest task alone needs."""
    found = lives(program, program.tasks)
    elements = sizes(program, found)
    roots = [
        {program.root(key)[0] for key in (*task.reads, *task.outputs)} for task in program.tasks
    ]
    least = max((sum(elements[key] for key in keys) for keys in roots), default=0)
    return live_peak(elements, found), least
