"""Figures of a network by name: `macs`, `params`, `peak`, `rf(p5)`.

`solve` bounds them, and `@expect` holds them.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from cnndsl.analysis.costs import total
from cnndsl.diagnostics import did_you_mean
from cnndsl.graph import Call as BlockCall
from cnndsl.graph import Each, Group, Line, Loop, Network, Repeat, Step, Term

FIELD = re.compile(r"rf\(\s*([^()]+?)\s*\)")


def _peak(network: Network) -> int:
    from cnndsl.analysis.memory import source_peak

    return source_peak(network)


MEASURES: dict[str, Callable[[Network], int]] = {
    "macs": lambda network: total(network).macs,
    "flops": lambda network: total(network).flops,
    "params": lambda network: total(network).parameters,
    "parameters": lambda network: total(network).parameters,
    "buffers": lambda network: total(network).buffers,
    "peak": _peak,
}
"""Figures of every network; `peak` is in bytes."""


def measure(network: Network, name: str) -> int:
    """A figure.  Raises LookupError: there is none of that name, with the nearest."""
    if name in MEASURES:
        return MEASURES[name](network)
    match = FIELD.fullmatch(name)
    if match is None:
        help = did_you_mean(name, [*MEASURES, "rf(label)"])
        known = f"there are {', '.join(MEASURES)} and rf(label)"
        raise LookupError(f"`{name}` is no figure; {help or known}")
    return field_of(network, match[1])


def field_of(network: Network, label: str) -> int:
    """The receptive field at a label or node, the largest of its axes.

    Behind something global it is the local value.  Raises LookupError: no such label.
    """
    from cnndsl.analysis.receptive import receptive

    node = find_node(network, label)
    fields = receptive(network).fields[node]
    return max((seen.size for one in fields for seen in one.shown.values()), default=0)


def find_node(network: Network, label: str) -> str:
    """The node that a name stands for: a node, an output, or the last node of a label.

    Raises LookupError: nothing has that name, with the nearest that is there.
    """
    if label in network.graph:
        return label
    known = labels(network)
    if label in known:
        return known[label]
    names = [*known, *network.graph]
    help = did_you_mean(label, names) or f"there are {', '.join(list(known)[:6])} and others"
    raise LookupError(f"`{network.name}` has no label or node `{label}`; {help}")


def labels(network: Network) -> dict[str, str]:
    """Each label with the node that gives its value, outer ones first: `c2`, `fpn.p3`."""
    found = {name: tensor.node for name, tensor in network.outputs.items()}
    level: list[tuple[str, Line | Term]] = [("", line) for line in network.structure.body]
    while level:
        below: list[tuple[str, Line | Term]] = []
        for prefix, item in level:
            below += _named(prefix, item, found)
        level = below
    return found


def _named(
    prefix: str, item: Line | Term, found: dict[str, str]
) -> list[tuple[str, Line | Term]]:
    """Note the labels of a line or term; what is inside, with its prefix."""
    match item:
        case Line(on=True, labels=names, outputs=outputs, terms=terms, index=index):
            shown = f"[{', '.join(map(str, index))}]" if index else ""
            for name, tensor in zip(names, outputs, strict=False):
                found.setdefault(f"{prefix}{name}{shown}", tensor.node)
            inner = f"{prefix}{names[0]}{shown}." if names else prefix
            return [(inner, term) for term in terms]
        case Line():
            return []
        case Step(lines=lines):
            return [(prefix, line) for line in lines or []]
        case BlockCall(block=block, lines=lines):
            if prefix:
                for port, tensor in block.outputs.items():
                    found.setdefault(f"{prefix}{port}", tensor.node)
            return [(prefix, line) for line in [*block.body, *(lines or [])]]
        case Group(body=body):
            return [(prefix, line) for line in body]
        case Repeat(items=terms) | Each(calls=terms):
            pairs = list(_numbered(prefix, len(terms)))
            for inner, term in zip(pairs, terms, strict=True):
                if inner and term.outputs:
                    found.setdefault(inner.removesuffix("."), term.outputs[-1].node)
            return list(zip(pairs, terms, strict=True))
        case Loop(bodies=bodies):
            result: list[tuple[str, Line | Term]] = []
            for inner, body in zip(_numbered(prefix, len(bodies)), bodies, strict=True):
                last = [line for line in body if line.on and line.outputs][-1:]
                if inner and last:
                    found.setdefault(inner.removesuffix("."), last[0].outputs[-1].node)
                result += [(inner, line) for line in body]
            return result


def _numbered(prefix: str, count: int) -> list[str]:
    stem = prefix.removesuffix(".")
    return [f"{stem}[{number}]." if stem else "" for number in range(count)]
