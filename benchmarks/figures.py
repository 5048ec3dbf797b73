"""Every figure of the zoo: its time, its shape, and its crossings beside Graphviz's.

    python benchmarks/figures.py

A row a network: the CPU milliseconds from the network to SVG with `--detail` `stages`,
`blocks` and `full` (each the least of three), the longer side of `blocks` over the
shorter, and how often two of its edges without a common end cross, but for the dots where
levels join a rail: here, in the opened blocks too, and in what Graphviz's `dot` makes of the
same plan. Then all of them together, and a chain, a ladder and a thicket of 1,000 nodes.
Without pygraphviz the last column is empty.
"""

from __future__ import annotations

import importlib.util
import random
import sys
import time
from pathlib import Path

from cnndsl.figures.blocks import blocks
from cnndsl.figures.svg import svg
from cnndsl.figures.write import DETAILS
from cnndsl.files import shipped
from cnndsl.graph import Network
from cnndsl.network import loads

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.figures import geometry  # noqa: E402 - the tests count crossings by the same rule

ROUNDS = 3
NODES = 1_000


def milliseconds(network: Network, detail: str) -> float:
    """CPU time of drawing, the least of some rounds."""
    found = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        svg(blocks(network, detail=detail))
        found.append(time.process_time() - begun)
    return min(found) * 1000


def chain() -> Network:
    """A chain of 1,000 nodes, none like the one before it."""
    lines = "\n".join(f"  conv({8 + n % 7}, {1 + 2 * (n % 2)}x1)" for n in range(NODES - 2))
    return loads(f"model Chain: image[3, H=32, W=32] -> y {{\n{lines}\n  y: relu\n}}")


def ladder() -> Network:
    """1,000 nodes in pairs of branches that are added."""
    lines = ["  x0: image -> conv(8, 1x1)"]
    steps = (NODES - 2) // 3
    for n in range(steps):
        lines += [f"  a{n}: x{n} -> conv(8, 3x3)", f"  b{n}: x{n} -> conv(8, 1x1)"]
        lines += [f"  x{n + 1}: add {{ a{n}; b{n} }}"]
    lines += [f"  y: x{steps} -> relu"]
    text = "\n".join(lines)
    return loads(f"model Ladder: image[3, H=32, W=32] -> y {{\n{text}\n}}")


def thicket() -> Network:
    """1,000 nodes, each of which reads one of the last 20 or adds two of them."""
    chosen = random.Random(2)
    lines = ["  x0: image -> conv(8, 1x1)"]
    for n in range(1, NODES - 1):
        early = chosen.randint(max(0, n - 20), max(0, n - 2))
        pair = f"add {{ x{n - 1}; x{early} }}" if n > 1 else "image -> conv(8, 3x3)"
        reads = n - 1 if chosen.random() < 0.75 else early
        lines += [f"  x{n}: {pair if chosen.random() < 0.2 else f'x{reads} -> conv(8, 3x3)'}"]
    text = "\n".join([*lines, f"  y: x{NODES - 2} -> relu"])
    return loads(f"model Thicket: image[3, H=32, W=32] -> y {{\n{text}\n}}")


def main() -> None:
    """Print the table."""
    peer = importlib.util.find_spec("pygraphviz") is not None
    heads = [f"{detail} ms" for detail in DETAILS]
    print(f"{'network':28}{''.join(f'{head:>11}' for head in heads)}", end="")
    print(f"{'shape':>8}{'crossings':>11}{'Graphviz':>10}")
    slowest = dict.fromkeys(DETAILS, (0.0, ""))
    ours = theirs = 0
    for name in shipped():
        network = geometry.network(name)
        times = {detail: milliseconds(network, detail) for detail in DETAILS}
        slowest = {d: max(slowest[d], (times[d], name)) for d in DETAILS}
        made, shown = blocks(network), geometry.shown(name)
        panels = (shown.main, *shown.insets)
        here = sum(geometry.crossings(p.piece.wires, p.piece.rails) for p in panels)
        there = geometry.graphviz_crossings(name) if peer else 0
        ours, theirs = ours + here, theirs + there
        shape = max(made.width / made.height, made.height / made.width)
        print(f"{name:28}{''.join(f'{times[d]:11.0f}' for d in DETAILS)}", end="")
        print(f"{shape:8.2f}{here:11}{there if peer else '':>10}")
    print(f"\ncrossings in all: {ours}" + (f"; Graphviz's: {theirs}" if peer else ""))
    for detail, (most, name) in slowest.items():
        print(f"slowest with {detail}: {name}, {most:.0f} ms")
    for network in (chain(), ladder(), thicket()):
        nodes = network.graph.number_of_nodes()
        print(f"{network.name}, {nodes} nodes, full: {milliseconds(network, 'full'):.0f} ms")


if __name__ == "__main__":
    main()
