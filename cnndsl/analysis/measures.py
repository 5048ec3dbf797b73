"""Figures of a network by name: `macs`, `params`, `peak`, `rf(p5)`.

`solve` bounds them, and `@expect` holds them.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from cnndsl.analysis.costs import total
from cnndsl.diagnostics import did_you_mean
from cnndsl.graph import Network, labels

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
        raise LookupError(f"unknown figure `{name}`; {help or known}")
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
    if label in network.wires:
        return label
    known = labels(network)
    if label in known:
        return known[label].node
    names = [*known, *network.wires]
    help = did_you_mean(label, names) or f"there are {', '.join(list(known)[:6])} and others"
    raise LookupError(f"`{network.name}` has no label or node `{label}`; {help}")
