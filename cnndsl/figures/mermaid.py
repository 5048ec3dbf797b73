"""The plan of a picture as a Mermaid flowchart, which pages such as a README draw."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cnndsl.figures import palette, theme
from cnndsl.figures.layout.cards import Cards
from cnndsl.figures.palette import role_of
from cnndsl.figures.plan import plan
from cnndsl.figures.scene import Box, Frame, Item, Plan, Scene
from cnndsl.figures.text import clean, elide, label_text
from cnndsl.graph import Network
from cnndsl.ops.facts import Family

WIDEST = 60
SHAPES: dict[Family | None, tuple[str, str]] = {
    Family.INPUT: ("([", "])"),
    Family.ADD: ("((", "))"),
    Family.CONCAT: ("([", "])"),
    Family.POOL: ("[\\", "/]"),
    Family.UPSAMPLE: ("[/", "\\]"),
    Family.RESHAPE: ("[/", "/]"),
    Family.MATMUL: ("{{", "}}"),
    Family.DEPTHWISE: ("{{", "}}"),
    None: ("[[", "]]"),
}
"""The brackets of a family's shape; a box has square ones."""


def mermaid(network: Network, *, detail: str = "blocks", colours: str = "light") -> str:
    """The text of the flowchart: the main picture, and each folded block in a subgraph."""
    planned = plan(network, folding=False if detail == "full" else None)
    lines = ["flowchart TB", *_scene(planned, planned.main, None)]
    for frame in planned.frames if detail != "stages" else ():
        if frame.scene is None or frame.quiet:
            continue
        title = frame.title + (f" ×{len(frame.calls)}" if len(frame.calls) > 1 else "")
        lines.append(f"  subgraph {frame.key}[{quoted(title)}]")
        lines += ["  direction TB", *_scene(planned, frame.scene, frame), "  end"]
    scenes = [planned.main, *(f.scene for f in planned.frames if f.scene)]
    used = {role_of(box.family) for scene in scenes for box in scene.boxes()}
    looks = palette.colours(colours)
    ink = looks["ink"][0]
    for role in (role_of(None), *(role_of(family) for family in theme.LOOKS)):
        if role in used:
            fill, line = looks[role]
            lines.append(f"  classDef {role} fill:{fill},stroke:{line},color:{ink}")
    return "\n".join([*lines, ""])


def _scene(planned: Plan, scene: Scene, frame: Frame | None) -> Iterator[str]:
    cards = Cards(planned.network, scene, frame)
    yield from _items(scene.items, cards, "  ")
    for edge in scene.edges:
        yield f"  {edge.tail} {'-.->' if edge.dashed else '-->'} {edge.head}"


def _items(items: Sequence[Item], cards: Cards, indent: str) -> Iterator[str]:
    for item in items:
        if isinstance(item, Box):
            yield indent + _box(item, cards)
            continue
        title = f"{item.title or 'repeat'}{cards.times(item)} {label_text(item.labels)}"
        yield f"{indent}subgraph {item.key}[{quoted(title.strip())}]"
        yield f"{indent}direction TB"
        yield from _items(item.children, cards, indent + "  ")
        yield f"{indent}end"


def _box(box: Box, cards: Cards) -> str:
    card = cards[box]
    title = card.title
    left, right = SHAPES.get(box.family, ("[", "]"))
    rows = [title]
    if box.family is Family.ADD and title not in ("+", "×"):
        left, right = "(", ")"
    if not card.round:
        rows += [label_text(box.labels), *card.lines]
    return f"{box.key}{left}{quoted(*rows)}{right}:::{role_of(box.family)}"


def quoted(*rows: str) -> str:
    """Rows of text as one string of Mermaid's, in which nothing has a meaning.

    Letters, figures and a few marks stay; all else is written as its number.
    """
    shown = [elide(clean(row), WIDEST) for row in rows if row]
    return f'"{"<br/>".join("".join(map(_safe, row)) for row in shown)}"'


def _safe(character: str) -> str:
    if character.isalnum() or character in " .,:/+-()[]×·–−²³…→≤":
        return character
    return f"#{ord(character)};"
