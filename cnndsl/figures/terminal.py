"""The main picture as Unicode lanes, for a terminal."""

from __future__ import annotations

from fractions import Fraction

from cnndsl.figures.caption import heading
from cnndsl.figures.layout.cards import Cards
from cnndsl.figures.layout.strides import exact, kept, named, strides
from cnndsl.figures.plan import plan
from cnndsl.figures.text import elide
from cnndsl.graph import Network

NAME, LONGEST, LABEL = 34, 72, 14
"""Characters: the least and the most for what boxes do, and the most for their labels."""


def terminal(network: Network) -> str:
    """A line a box with its label, in its lane; edges not from the line above are named."""
    planned = plan(network)
    scene = planned.main
    cards = Cards(network, scene, None)
    planes, ratios = strides(network, scene), exact(network, scene)
    lanes = kept(planes, scene)
    fed, _ = scene.neighbours()
    order = {box.key: number for number, box in enumerate(scene.boxes(), 1)}
    names = {box.key: elide(cards[box].label, LABEL) for box in scene.boxes()}
    wide = max(map(len, names.values()), default=0)
    room = max([NAME, *(min(len(cards[box].title), LONGEST) for box in scene.boxes())])
    lines = [heading(network)]
    before = ""
    lane: int | None = None
    for box in scene.boxes():
        card = cards[box]
        here = lanes[box.key] if box.key in planes else None
        mark = ""
        if here != lane or not before:
            lane = here
            mark = "" if here is None else named(here, [ratios.get(box.key, Fraction(1))])
            if before:
                lines.append(f"{'':>6} ├{'─' * 62}")
        tails = fed.get(box.key, [])
        far = [str(order[tail]) for tail in tails if tail != before]
        plain = not far and bool(tails)
        arrow = "" if plain or not far else f"◂ {', '.join(far)}"
        if far and before in tails:
            arrow += " and above"
        number = f"{order[box.key]:>3}"
        title = elide(card.title, room)
        link = "│" if plain else "╭" if not tails else "├"
        lines.append(
            f"{mark:>6} │ {number} {link} {names[box.key]:<{wide}}  {title:<{room}} "
            f"{card.small:<24} {arrow}".rstrip()
        )
        before = box.key
    return "\n".join([*lines, ""])
