"""What stands around the nodes in DOT source: the graph's look, its title, the legend."""

from __future__ import annotations

from collections.abc import Sequence

import graphviz

from cnndsl.analysis.costs import total
from cnndsl.figures import theme
from cnndsl.figures.scene import Plan
from cnndsl.figures.text import clean, count_text, html_text, wrapped
from cnndsl.graph import Network
from cnndsl.ops.base import Family

GAP = '<FONT POINT-SIZE="2"> </FONT>'


def page(planned: Plan) -> graphviz.Digraph:
    """A graph without nodes, with the title and how every layer is accounted for."""
    network = planned.network
    graph = graphviz.Digraph(clean(network.name), comment=_certificate(planned))
    graph.attr(
        rankdir="TB",
        newrank="true",
        label=_title(network),
        labelloc="t",
        labeljust="l",
        fontname=theme.FONT,
        fontcolor=theme.INK,
        fontsize="11",
        nodesep="0.28",
        ranksep="0.26",
        pad="0.2",
        bgcolor="white",
        compound="true",
    )
    graph.attr(
        "node",
        fontname=theme.FONT,
        fontsize="11",
        fontcolor=theme.INK,
        margin="0.09,0.045",
        height="0.34",
        width="0.7",
        penwidth="1.3",
    )
    graph.attr(
        "edge",
        color=theme.EDGE,
        fontname=theme.FONT,
        fontsize="8.5",
        fontcolor=theme.GREY,
        arrowsize="0.6",
        penwidth="1.1",
    )
    return graph


def _title(network: Network) -> str:
    lines = [f'<FONT POINT-SIZE="15"><B>{html_text(network.name, 60)}</B></FONT>']
    cost = total(network)
    counted = f"{count_text(cost.parameters)} parameters, {count_text(cost.macs)} multiply-adds"
    about = network.structure.definition
    small = [*wrapped(" · ".join(map(str, about.citations))), counted]
    for words in small:
        lines.append(
            f'<FONT POINT-SIZE="9" COLOR="{theme.GREY}">{html_text(words, 120)}</FONT>'
        )
    for words in wrapped("; ".join(f"deviates: {said}" for said in about.deviations)):
        noted = html_text(words, 120)
        lines.append(f'<FONT POINT-SIZE="8" COLOR="{theme.GREY}"><I>{noted}</I></FONT>')
    left = '<BR ALIGN="LEFT"/>'
    return f"<{f'{left}{GAP}{left}'.join(lines)}{left}>"


def legend(graph: graphviz.Digraph, families: set[Family], *, blocks: bool) -> list[str]:
    """Draw the legend, with the look of a folded block if there are any; its nodes' keys."""
    keys = []
    with graph.subgraph(name="cluster_legend") as inner:
        inner.attr(
            label="<<B>Legend</B>>",
            labeljust="l",
            fontname=theme.FONT,
            fontsize="9",
            color="#dddddd",
            style="rounded",
            margin="6",
        )
        looks = [look for family, look in theme.LOOKS.items() if family in families]
        if blocks:
            looks.insert(1, theme.BLOCK)
        for number, look in enumerate(looks):
            key = f"l{number}"
            keys.append(key)
            if look.shape == "circle":
                inner.node(key, label=_joins(look), shape="plain", tooltip=look.name)
                continue
            inner.node(
                key,
                label=look.name,
                style=look.style,
                fillcolor=look.fill,
                color=look.border,
                fontsize="8.5",
                height="0.2",
                width=f"{len(look.name) * 0.068 + 0.25:.2f}",
                fixedsize="true",
                **{"shape": look.shape, **look.sides},
                tooltip=look.name,
            )
    for number, key in enumerate(keys[2:]):
        graph.edge(keys[number], key, style="invis")
    for pair in zip(keys[::2], keys[1::2], strict=False):
        level(graph, pair)
    return keys


def level(graph: graphviz.Digraph, keys: Sequence[str]) -> None:
    """Put nodes in one row."""
    with graph.subgraph() as row:
        row.attr(rank="same")
        for key in keys:
            row.node(key)


def _joins(look: theme.Look) -> str:
    """The legend's line for circles."""
    return (
        '<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="3" CELLPADDING="0"><TR>'
        f'<TD BORDER="1" STYLE="rounded" BGCOLOR="{look.fill}" COLOR="{look.border}" '
        'WIDTH="15" HEIGHT="15" FIXEDSIZE="true"><FONT POINT-SIZE="10">+</FONT></TD>'
        f'<TD><FONT POINT-SIZE="8.5">{look.name}</FONT></TD></TR></TABLE>>'
    )


def _certificate(planned: Plan) -> str:
    """How every node of the graph is accounted for."""
    total = len(planned.network.wires)
    drawn, folded = len(planned.drawn), len(planned.folded)
    return f"nodes: {total} = {drawn} drawn + {folded} folded"
