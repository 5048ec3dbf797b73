"""The table of a paper: a stage, the size of its output, its layers and their repeats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from html import escape

from cnndsl.analysis.costs import Cost, costs
from cnndsl.figures.caption import heading
from cnndsl.figures.plan import plan
from cnndsl.figures.scene import Box, Plan, boxes
from cnndsl.figures.tex import escaped
from cnndsl.figures.text import clean, shape_text, stem
from cnndsl.figures.titles import Sayer
from cnndsl.graph import Network
from cnndsl.ops.facts import Family, Shape

HEADER = ("stage", "output", "layers", "×", "parameters", "multiply-adds")


@dataclass(frozen=True, slots=True)
class Row:
    """A row: `layers` are lines of one cell, a block's name first; `count` their repeats."""

    stage: str
    output: str
    layers: tuple[str, ...]
    count: int
    parameters: int
    macs: int

    @property
    def cells(self) -> tuple[str, str, str, str]:
        """What stands beside the layers."""
        counts = f"{self.parameters:,}", f"{self.macs:,}"
        return (self.stage, self.output, *counts)


@dataclass(slots=True)
class _Run:
    """Boxes in a row of the table: the same step, or calls of one block in one line."""

    boxes: list[Box]
    output: Shape
    layers: list[list[str]]
    stage: str


def rows(network: Network) -> list[Row]:
    """The rows of a network, in the order in which it computes.

    Calls of one block on one line are one row where they are the same layers, or where the
    first has but one other argument, as its stride: `3×3, 128 /2 then 3×3, 128`.
    """
    planned = plan(network, folding=True, repeats=False)
    table = costs(network)
    found = []
    for run in _runs(planned):
        nodes = [name for box in run.boxes for name in box.nodes]
        cost = sum((table[name] for name in nodes), Cost())
        layers = tuple(_together(run.layers))
        if run.boxes[0].frame is not None:
            layers = (f"{run.boxes[0].frame.name}:", *layers)
        output, count = shape_text(run.output), len(run.boxes)
        found.append(Row(run.stage, output, layers, count, cost.parameters, cost.macs))
    return found


def _runs(planned: Plan) -> list[_Run]:
    output = {edge.tail: edge.tensors[0].shape for edge in planned.main.edges}
    after: dict[str, set[str]] = {}
    for edge in planned.main.edges:
        after.setdefault(edge.tail, set()).add(edge.head)
    runs: list[_Run] = []
    for box in planned.main.boxes():
        if not box.nodes or (box.family is Family.INPUT and not runs):
            continue
        shape = output.get(box.key, planned.network.shapes[box.nodes[-1]][0])
        stage = stem(clean(", ".join(box.labels[:1])))
        layers = _layers(planned, box)
        last = runs[-1] if runs else None
        if last and after.get(last.boxes[-1].key) == {box.key} and _continues(last, box, stage):
            alike = layers == last.layers[-1]
            same = shape == last.output
            first = len(last.boxes) == 1 and _apart(last.boxes[0], box) <= 1
            if (same and alike) or (box.frame is not None and (alike or (same and first))):
                last.boxes.append(box)
                last.layers.append(layers)
                last.output = shape
                continue
        runs.append(_Run([box], shape, [layers], stage))
    return runs


def _apart(first: Box, then: Box) -> int:
    """In how many arguments two calls differ: a first one may in its stride.

    Rates, as of stochastic depth, grow from block to block and make no other layers.
    """
    rows = [box.values[0] if box.values else () for box in (first, then)]
    pairs = zip(*rows, strict=True)
    return sum(a != b for a, b in pairs if not isinstance(a[1], float))


def _continues(run: _Run, box: Box, stage: str) -> bool:
    """Whether a box is the same step or block as those of a run, and on its line."""
    names = {one.frame.name if one.frame else None for one in (*run.boxes, box)}
    return len(names) == 1 and stage == run.stage


def _layers(planned: Plan, box: Box) -> list[str]:
    """What a box computes: of a folded block, every layer with the call's own numbers."""
    say = Sayer(planned.network)
    if box.frame is None:
        said = say(box)
        return [" · ".join([said.title, *said.small])]
    frame = box.frame
    assert frame.scene is not None
    number = next(
        (n for n, nodes in enumerate(frame.nodes) if set(filter(None, nodes)) & set(box.nodes)),
        0,
    )
    place = dict(zip(frame.nodes[0], frame.nodes[number], strict=True))
    lines: list[str] = []
    for inner in boxes(frame.scene.items):
        parts = [place[name] for name in inner.parts if place.get(name)]
        if not inner.nodes or (inner.frame is None and not parts):
            continue
        if inner.frame is not None:
            if any(place.get(name) for name in inner.nodes):
                lines.append(inner.title)
            continue
        moved = Box(inner.key, inner.title, inner.family, parts, None, parts=parts)
        said = say(moved)
        # A rate that grows from block to block is no part of the block; of a norm and an
        # activation papers' tables say nothing.
        rate = inner.family is Family.REGULARIZE
        title = said.title.rstrip("0123456789. ") if rate else said.title
        lines.append(" · ".join([title, *said.attributes]))
    return lines


def _together(calls: Sequence[list[str]]) -> list[str]:
    """The layers of calls in a row: where the first differs from the rest, both."""
    first, rest = calls[0], calls[-1]
    if first == rest:
        return first
    keys = [[_kind(layer) for layer in layers] for layers in (first, rest)]
    found: list[str] = []
    matcher = SequenceMatcher(None, keys[0], keys[1], autojunk=False)
    for _, i, j, k, m in matcher.get_opcodes():
        if keys[0][i:j] == keys[1][k:m]:
            pairs = zip(first[i:j], rest[k:m], strict=True)
            found += [a if a == b else f"{a} then {b}" for a, b in pairs]
            continue
        found += [f"{layer} (the first)" for layer in first[i:j]]
        found += [f"{layer} (the others)" for layer in rest[k:m]]
    return found


def _kind(layer: str) -> str:
    """A layer's text without its channels and stride."""
    return layer.partition(" /")[0].partition(",")[0]


def markdown(network: Network) -> str:
    """A table of Markdown."""
    lines = [_pipes(HEADER), _pipes(["---", "---", "---", "--:", "--:", "--:"])]
    found = rows(network)
    for row in found:
        stage, output, *costs_of = row.cells
        layers = "<br>".join(_bare(layer) for layer in row.layers)
        lines.append(_pipes([_bare(stage), output, layers, str(row.count), *costs_of]))
    lines.append(_pipes(["total", "", "", "", *_total(found)]))
    return "\n".join([*lines, ""])


def _total(found: Sequence[Row]) -> tuple[str, str]:
    return f"{sum(r.parameters for r in found):,}", f"{sum(r.macs for r in found):,}"


def _pipes(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _bare(text: str) -> str:
    return escape(clean(text), quote=False).replace("|", "\\|")


def html(network: Network) -> str:
    """A page with the table."""
    head = "".join(f"<th>{cell}</th>" for cell in HEADER)
    found = rows(network)
    body = []
    for row in found:
        stage, output, *costs_of = row.cells
        layers = "<br>".join(escape(clean(layer)) for layer in row.layers)
        cells = (escape(stage), escape(output), layers, str(row.count), *costs_of)
        body.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    foot = "".join(f"<td>{cell}</td>" for cell in ("total", "", "", "", *_total(found)))
    name = escape(heading(network))
    style = (
        "body{font-family:sans-serif;color-scheme:light dark}table{border-collapse:collapse}"
        "th,td{border-bottom:1px solid #888;padding:4px 12px;text-align:left}"
        "td{vertical-align:top}tfoot{font-weight:bold}"
        "tr>:nth-child(n+4){text-align:right;font-variant-numeric:tabular-nums}"
    )
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{name}</title>\n'
        f"<style>{style}</style>\n<h1>{name}</h1>\n<table><thead><tr>{head}</tr></thead>\n"
        f"<tbody>\n{chr(10).join(body)}\n</tbody><tfoot><tr>{foot}</tr></tfoot></table></html>\n"
    )


def latex(network: Network) -> str:
    """A `tabular` for booktabs, a block's layers in brackets as in ResNet's Table 1."""
    lines = [
        r"% needs \usepackage{booktabs,amsmath}",
        r"\begin{tabular}{lllrrr}",
        r"\toprule",
        " & ".join(map(escaped, HEADER)) + r" \\",
        r"\midrule",
    ]
    found = rows(network)
    for row in found:
        layers = escaped(row.layers[0])
        if len(row.layers) > 1:
            inner = r" \\ ".join(rf"\text{{{escaped(layer)}}}" for layer in row.layers[1:])
            layers = rf"$\begin{{bmatrix}}{inner}\end{{bmatrix}}$"
        stage, output, *costs_of = map(escaped, row.cells)
        cells = (stage, output, layers, str(row.count), *costs_of)
        space = r" \addlinespace" if len(row.layers) > 1 else ""
        lines.append(rf"{' & '.join(cells)} \\{space}")
    lines += [r"\midrule", rf"total & & & & {' & '.join(_total(found))} \\"]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])
