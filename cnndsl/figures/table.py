"""The table of a paper: a stage, the size of its output, its layers and their repeats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from cnndsl.figures.dot import title_of
from cnndsl.figures.plan import plan
from cnndsl.figures.scene import Box, Frame, Plan, boxes
from cnndsl.figures.tex import escaped
from cnndsl.figures.text import clean, shape_text
from cnndsl.graph import Network
from cnndsl.ops.base import Family

HEADER = ("stage", "output", "layers")


@dataclass(frozen=True, slots=True)
class Row:
    """A row: `layers` are lines of one cell, `count` their repeats."""

    stage: str
    output: str
    layers: tuple[str, ...]
    count: int = 1


def rows(network: Network) -> list[Row]:
    """The rows of a network: each box of the picture, in order."""
    planned = plan(network, folding=True)
    output = {edge.tail: edge.tensors[0].shape for edge in planned.main.edges}
    found: list[Row] = []
    for box in planned.main.boxes():
        if not box.nodes or (box.family is Family.INPUT and not found):
            continue
        shape = output.get(box.key, network.shapes[box.nodes[-1]][0])
        stage = clean(", ".join(box.labels[:1])).partition("[")[0]
        found.append(Row(stage, shape_text(shape), _layers(planned, box), box.count))
    return found


def _layers(planned: Plan, box: Box) -> tuple[str, ...]:
    """What a box computes: of a folded block, every layer with the call's own numbers."""
    if box.frame is None:
        return (" ".join([title_of(planned.network, box), *box.tags]),)
    frame = box.frame
    assert frame.scene is not None
    call = next((n for n in frame.nodes if n and n[0] in set(box.nodes)), frame.nodes[0])
    place = {name: call[n] for n, name in enumerate(frame.nodes[0])}
    lines = []
    for inner in boxes(frame.scene.items):
        if not inner.nodes:
            continue
        if inner.frame is not None:
            lines.append(inner.title)
            continue
        alone = Frame(frame.key, frame.title, frame.calls[:1], [(place[inner.nodes[0]],)])
        moved = Box(inner.key, inner.title, inner.family, [place[inner.nodes[0]]], None)
        text = title_of(planned.network, moved, alone)
        lines.append(text if inner.count == 1 else f"{text} (×{inner.count})")
    return (f"{box.title}:", *lines)


def markdown(network: Network) -> str:
    """A table of Markdown."""
    lines = [_pipes([*HEADER, "×"]), _pipes(["---", "---", "---", "--:"])]
    for row in rows(network):
        layers = "<br>".join(_bare(layer) for layer in row.layers)
        lines.append(_pipes([_bare(row.stage), row.output, layers, str(row.count)]))
    return "\n".join([*lines, ""])


def _pipes(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _bare(text: str) -> str:
    return escape(clean(text), quote=False).replace("|", "\\|")


def html(network: Network) -> str:
    """A page with the table."""
    head = "".join(f"<th>{cell}</th>" for cell in (*HEADER, "×"))
    body = []
    for row in rows(network):
        layers = "<br>".join(escape(clean(layer)) for layer in row.layers)
        cells = (escape(row.stage), escape(row.output), layers, str(row.count))
        body.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    name = escape(clean(network.name))
    style = (
        "body{font-family:sans-serif;color-scheme:light dark}table{border-collapse:collapse}"
        "th,td{border-bottom:1px solid #888;padding:4px 12px;text-align:left}"
        "td{vertical-align:top}"
    )
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{name}</title>\n'
        f"<style>{style}</style>\n<h1>{name}</h1>\n<table><thead><tr>{head}</tr></thead>\n"
        f"<tbody>\n{chr(10).join(body)}\n</tbody></table></html>\n"
    )


def latex(network: Network) -> str:
    """A `tabular` for booktabs, a block's layers in brackets as in ResNet's Table 1."""
    lines = [
        r"% needs \usepackage{booktabs,amsmath}",
        r"\begin{tabular}{llll}",
        r"\toprule",
        r"stage & output & layers & $\times$ \\",
        r"\midrule",
    ]
    for row in rows(network):
        layers = escaped(row.layers[0])
        if len(row.layers) > 1:
            inner = r" \\ ".join(rf"\text{{{escaped(layer)}}}" for layer in row.layers[1:])
            layers = rf"$\begin{{bmatrix}}{inner}\end{{bmatrix}}$"
        lines.append(
            rf"{escaped(row.stage)} & {escaped(row.output)} & {layers} & {row.count} \\"
        )
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])
