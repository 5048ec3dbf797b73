"""The same line or term in several instances, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from cnndsl.backends.torch import structure
from cnndsl.backends.torch.values import Env
from cnndsl.graph import Block, Call, Group, Line, Loop, Network, Step, Term

T = TypeVar("T")
Views = list[tuple[Env, T]]
"""The same item in every instance that has it."""


def side_by_side(views: Views[list[Line]]) -> list[Views[Line]]:
    """The lines of several bodies side by side, by their keys."""
    found: dict[int, Views[Line]] = {}
    for env, body in views:
        for line in body:
            found.setdefault(line.key, []).append((env, line))
    return [found[key] for key in sorted(found)]


def alternatives(views: Views[list[Line]]) -> Iterator[list[Views[Line]]]:
    """The lines side by side, each with its `else` lines."""
    chain: list[Views[Line]] = []
    for aligned in side_by_side(views):
        if chain and not aligned[0][1].alternative:
            yield chain
            chain = []
        chain.append(aligned)
    if chain:
        yield chain


def always(chain: list[Views[Line]]) -> bool:
    """Whether every instance has one of these lines."""
    on: dict[int, bool] = {}
    for views in chain:
        for env, line in views:
            on[id(env), line.key] = line.on  # type: ignore[index]
    by_env: dict[int, bool] = {}
    for views in chain:
        for env, line in views:
            by_env[id(env)] = by_env.get(id(env), False) or line.on
    return all(by_env.values())


def trivial(chain: list[Views[Line]]) -> bool:
    """Whether the first line is on everywhere."""
    return all(line.on for _, line in chain[0])


def first_name(line: Line) -> str:
    """The name of a line's first step."""
    for term in line.terms:
        if isinstance(term, Step):
            return term.name
        if isinstance(term, Call):
            return segment(term.block)
    return "line"


def segment(block: Block) -> str:
    """The name under which a block is called: the last of its path that is no index."""
    return next(str(part) for part in reversed(block.path) if isinstance(part, str))


def many_ports(block: Block) -> dict[str, int]:
    """The ports that take any number of tensors, `*p`, with how many arrive."""
    names = [port.partition("[")[0] for port in block.inputs if "[" in port]
    return {name: names.count(name) for name in names}


def label_of(item: Any) -> str:
    """The label, with its index, of the line that an item ends with."""
    if isinstance(item, Line) and item.labels:
        return "_".join([item.labels[0], *map(str, item.index)])
    body: list[Any] = item.terms if isinstance(item, Line) else []
    if isinstance(item, Loop) and item.bodies:
        body = [line for line in item.bodies[-1] if line.on]
    if isinstance(item, Group):
        body = [line for line in item.body if line.on]
    return label_of(body[-1]) if body else ""


def word(port: str) -> str:
    """A port's name without brackets."""
    return port.replace("[", "_").replace("]", "")


def runs(terms: Sequence[Term], network: Network) -> int:
    """How many separate chains of modules a labelled line holds."""
    count = 0
    inside = False
    for term in terms:
        chained = structure.is_modules(term, network) or structure.ends_modules(term)
        if chained:
            if (structure.has_modules(term, network) or isinstance(term, Call)) and not inside:
                count, inside = count + 1, True
            continue
        inside = False
        match term:
            case Step(lines=found):
                own = any(structure.is_stateful(name, network) for name in term.nodes)
                count += 2 * own
            case Call(lines=found):
                count += 2
            case Group(body=found):
                pass
            case _:
                count += 2 * structure.has_modules(term, network)
                found = None
        for line in found or []:
            count += runs(line.terms, network)
    return count
