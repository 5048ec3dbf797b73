"""The plan of a picture as DOT source: Graphviz, or what reads its language, lays it out."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cnndsl.figures import theme
from cnndsl.figures.layout.cards import Cards
from cnndsl.figures.plan import drawable, plan
from cnndsl.figures.scene import Box, Frame, Item, Plan, Scene
from cnndsl.figures.text import clean, elide, label_text
from cnndsl.graph import Network
from cnndsl.ops.facts import Family

if TYPE_CHECKING:
    import graphviz

WIDEST = 60
"""Characters of a row; what is longer is cut in the middle."""
GAP = '<FONT POINT-SIZE="2"> </FONT>'


def dot(network: Network) -> str:
    """The DOT source of a network's picture; the same network gives the same text.

    The main picture, and each folded block in a cluster. Raises ArchError (E611): it is too
    large to be laid out.
    """
    from graphviz import Digraph

    planned = drawable(plan(network))
    graph = Digraph(clean(network.name), comment=_certificate(planned))
    graph.attr(label=_rows(network.name), labelloc="t", compound="true", fontname=theme.FONT)
    graph.attr("node", fontname=theme.FONT, fontsize="11", height="0.3", margin="0.1,0.04")
    graph.attr("edge", color=theme.EDGE, fontname=theme.FONT, fontsize="9", arrowsize="0.6")
    _scene(graph, planned, planned.main, None)
    for frame in planned.frames:
        if frame.scene is not None:
            title = frame.title + (f" ×{len(frame.calls)}" if len(frame.calls) > 1 else "")
            with graph.subgraph(name=f"cluster_{frame.key}") as inner:
                inner.attr(label=_rows(title), color=theme.FRAME, style="rounded")
                _scene(inner, planned, frame.scene, frame)
    return str(graph.source)


def _scene(graph: graphviz.Digraph, planned: Plan, scene: Scene, frame: Frame | None) -> None:
    cards = Cards(planned.network, scene, frame)
    _items(graph, scene.items, cards)
    for edge in scene.edges:
        graph.edge(edge.tail, edge.head, style="dashed" if edge.dashed else "solid")


def _items(graph: graphviz.Digraph, items: Sequence[Item], cards: Cards) -> None:
    for item in items:
        if isinstance(item, Box):
            _box(graph, item, cards)
            continue
        with graph.subgraph(name=f"cluster_{item.key}") as inner:
            title = f"{item.title or 'repeat'}{cards.times(item)}"
            inner.attr(label=_rows(title, label_text(item.labels)), labeljust="l")
            inner.attr(color=theme.FRAME, style="rounded" if item.count > 1 else "dashed")
            _items(inner, item.children, cards)


def _box(graph: graphviz.Digraph, box: Box, cards: Cards) -> None:
    card = cards[box]
    look = theme.LOOKS[box.family] if box.family else theme.BLOCK
    more = {"shape": look.shape}
    if card.round:
        more |= {"shape": "circle", "fixedsize": "true", "width": "0.26", "height": "0.26"}
    elif box.family is Family.ADD:
        more["shape"] = "ellipse"
    if box.count > 1:
        more["peripheries"] = "2"
    small = () if card.round else (label_text(box.labels), card.small)
    graph.node(
        box.key,
        label=_rows(card.title, *small),
        tooltip=_plain(box.nodes[0] if box.nodes else box.title),
        style=look.style,
        fillcolor=look.fill,
        color=look.border,
        **more,
    )


def _rows(title: str, *small: str) -> str:
    """A label like HTML: a bold row, and grey ones under it."""
    first, *rest = (html.escape(elide(clean(row), WIDEST)) for row in (title, *small) if row)
    grey = f'<BR/>{GAP}<BR/><FONT POINT-SIZE="9" COLOR="{theme.GREY}">'
    return f"<<B>{first}</B>{''.join(f'{grey}{row}</FONT>' for row in rest)}>"


def _plain(text: str) -> str:
    """For a quoted string, in which no escape of Graphviz's has a meaning."""
    from graphviz import escape

    return str(escape(elide(clean(text), 160)))


def _certificate(planned: Plan) -> str:
    """How every node of the graph is accounted for."""
    total = len(planned.network.wires)
    drawn, folded = len(planned.drawn), len(planned.folded)
    return f"nodes: {total} = {drawn} drawn + {folded} folded"
