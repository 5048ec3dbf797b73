"""What a box says in bold, and the arguments in which the calls of its block differ."""

from __future__ import annotations

from cnndsl.figures.scene import Box, Frame
from cnndsl.figures.text import LONG, common, short_formula, spell_argument
from cnndsl.graph import Network
from cnndsl.ops.base import Family
from cnndsl.symbolic import Sym


def title_of(network: Network, box: Box, frame: Frame | None = None) -> str:
    """What a box says in bold; in a frame, what holds for all the calls that it shows."""
    more = f"{box.beside} × " if box.beside > 1 else ""
    if box.family in (None, Family.INPUT) or not box.nodes:
        return more + box.title
    name = box.nodes[0]
    ops = [network.node(name).op]
    if frame is not None and name in frame.nodes[0]:
        place = frame.nodes[0].index(name)
        ops = [network.node(nodes[place]).op for nodes in frame.nodes]
    return more + LONG.sub(lambda found: f"{float(found[0]):.3g}", common(ops))


def arguments_of(box: Box, frame: Frame | None) -> str:
    """`c=64, s=2`; in a frame that shows several calls, the formulas: `m=c/4`."""
    if frame is None or len(frame.calls) == 1:
        values = [spell_argument(value) for _, value in box.arguments]
        if len(values) > 3:
            return f"({', '.join(values)})"
        return ", ".join(
            f"{name}={value}" for (name, _), value in zip(box.arguments, values, strict=True)
        )
    formulas = [
        (name, short_formula(value)) for name, value in box.arguments if isinstance(value, Sym)
    ]
    return ", ".join(f"{name}={text}" for name, text in formulas if text)
