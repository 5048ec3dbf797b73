"""The plan of a picture as DOT source, made through the `graphviz` package."""

from __future__ import annotations

import html
import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

import graphviz

from cnndsl.analysis.costs import total
from cnndsl.figures import theme
from cnndsl.figures.lanes import Lanes, lanes
from cnndsl.figures.plan import Box, Edge, Frame, Item, Plan, Scene, plan, shape_text
from cnndsl.graph import Network, Tensor
from cnndsl.ops.base import Family, Op
from cnndsl.symbolic import Sym

WIDEST = 34
"""Characters of a title; what is longer is cut in the middle."""
GAP = '<FONT POINT-SIZE="2"> </FONT>'
ROWS = 12
"""A chain without branches is broken into columns of about so many boxes."""


def dot(network: Network) -> str:
    """The DOT source of a network's picture; the same network gives the same text."""
    return str(_Writer(plan(network)).graph.source)


class _Writer:
    def __init__(self, planned: Plan) -> None:
        self.plan = planned
        self.network = planned.network
        self.families: set[Family] = set()
        self.blocks = False
        self.wrapped = 0
        self.graph = graphviz.Digraph(clean(self.network.name), comment=_certificate(planned))
        self.graph.attr(
            rankdir="TB",
            newrank="true",
            label=self._title(),
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
        self.graph.attr(
            "node",
            fontname=theme.FONT,
            fontsize="11",
            fontcolor=theme.INK,
            margin="0.09,0.045",
            height="0.34",
            width="0.7",
            penwidth="1.3",
        )
        self.graph.attr(
            "edge",
            color=theme.EDGE,
            fontname=theme.FONT,
            fontsize="8.5",
            fontcolor=theme.GREY,
            arrowsize="0.6",
            penwidth="1.1",
        )
        main = planned.main
        self.groups: dict[str, str] = {}
        found = lanes(self.network, main)
        heads = {head for _, head in found.rising}
        self.upward = heads & {box.key for box in main.boxes() if box.family is Family.UPSAMPLE}
        wraps = [] if found.rows else _wraps(main, framed=bool(planned.frames))
        if not found.rows:
            self.groups |= _chains(main)
        self._items(self.graph, main.items, main, None)
        self._edges(main, found, wraps)
        self._rows(found, main, wraps)
        if not found.rows:
            self._forks(main)
        depth = -(-max(_depths(main, found).values()) // (len(wraps) + 1))
        self._frames(max(depth, 8), main)

    # Text

    def _title(self) -> str:
        network = self.network
        lines = [f'<FONT POINT-SIZE="15"><B>{_text(network.name, 60)}</B></FONT>']
        about = network.structure.definition
        small = [str(citation) for citation in about.citations]
        cost = total(network)
        small.append(f"{_count(cost.parameters)} parameters, {_count(cost.macs)} multiply-adds")
        if small:
            cited = _text(" · ".join(small), 110)
            lines.append(f'<FONT POINT-SIZE="9" COLOR="{theme.GREY}">{cited}</FONT>')
        for words in about.deviations:
            noted = _text(f"deviates: {words}", 110)
            lines.append(f'<FONT POINT-SIZE="8" COLOR="{theme.GREY}"><I>{noted}</I></FONT>')
        left = '<BR ALIGN="LEFT"/>'
        return f"<{f'{left}{GAP}{left}'.join(lines)}{left}>"

    def _words(self, box: Box, frame: Frame | None) -> tuple[str, list[str]]:
        """A box's title and its tags."""
        if box.frame is not None or box.family is None:
            return box.title, box.tags
        if not box.nodes or box.family is Family.INPUT:
            return box.title, box.tags
        text = self._figures(box.nodes[0], frame)
        return LONG.sub(lambda found: f"{float(found[0]):.3g}", text), box.tags

    def _figures(self, name: str, frame: Frame | None) -> str:
        """What an operation writes in its box; in a frame, for all the calls it shows."""
        op = self.network.node(name).op
        if frame is None or name not in frame.nodes[0]:
            return op.figure()
        place = frame.nodes[0].index(name)
        ops = [self.network.node(nodes[place]).op for nodes in frame.nodes]
        return common(ops)

    # Nodes

    def _items(
        self, graph: graphviz.Digraph, items: Sequence[Item], scene: Scene, frame: Frame | None
    ) -> None:
        for item in items:
            if isinstance(item, Box):
                self._box(graph, item, frame)
                continue
            with graph.subgraph(name=f"cluster_{item.key}") as inner:
                title = _text(item.title or "repeat", WIDEST)
                more = f" ×{item.count}" if item.count > 1 else ""
                label = _labels(item.labels)
                small = f'  <FONT COLOR="{theme.GREY}">{label}</FONT>' if label else ""
                inner.attr(
                    label=f"<<B>{title}{more}</B>{small}>",
                    labeljust="l",
                    labelloc="t",
                    fontname=theme.FONT,
                    fontsize="9.5",
                    color=theme.FRAME,
                    style="rounded,dashed" if item.count == 1 else "rounded",
                    penwidth="1" if item.count == 1 else "2",
                    margin="7",
                )
                self._items(inner, item.children, scene, frame)

    def _box(self, graph: graphviz.Digraph, box: Box, frame: Frame | None) -> None:
        title, tags = self._words(box, frame)
        tooltip = self._tooltip(box)
        if box.family is None:
            self.blocks = True
            look = theme.BLOCK
        else:
            look = theme.LOOKS[box.family]
            if box.nodes or frame is None:
                self.families.add(box.family)
        times = f" ×{box.count}" if box.count > 1 else ""
        small = [part for part in (_labels(box.labels), box.notes, " ".join(tags)) if part]
        if box.family is Family.INPUT:
            node = box.nodes[0] if box.nodes else None
            shape = self.network.shapes[node][0] if node else box.tensor and box.tensor.shape
            small = [shape_text(shape)] if shape and frame is None else []
        if box.family is Family.ADD and title in ("+", "×"):
            self._circle(graph, box, title, tooltip)
            return
        lines = f"<B>{_text(title, WIDEST)}{times}</B>"
        words = ""
        if small:
            words = _text(" · ".join(small), WIDEST + 8)
            lines += f'<BR/>{GAP}<BR/><FONT POINT-SIZE="8" COLOR="{theme.GREY}">{words}</FONT>'
        extra: dict[str, str] = {"shape": look.shape}
        if box.family is Family.ADD:
            extra["shape"] = "ellipse"
        if box.key in self.upward:
            # It widens in the direction of the arrows, which here is up.
            extra["orientation"] = "180"
        if box.count > 1:
            extra["peripheries"] = "2"
        if box.family in (Family.NORM, Family.ACTIVATION, Family.REGULARIZE, Family.INPUT):
            extra |= {"fontsize": "9.5", "height": "0.24", "width": "0.4"}
        if look.sides:
            widest = max(len(title + times) * 0.098, len(words) * 0.062)
            extra |= look.sides | {
                "fixedsize": "true",
                "margin": "0",
                "width": f"{widest + 0.42:.2f}",
                "height": "0.4" if small else "0.3",
            }
        graph.node(
            box.key,
            label=f"<{lines}>",
            style=look.style,
            fillcolor=look.fill,
            color=look.border,
            tooltip=tooltip,
            group=self.groups.get(box.key, ""),
            **extra,
        )

    def _circle(self, graph: graphviz.Digraph, box: Box, title: str, tooltip: str) -> None:
        look = theme.LOOKS[Family.ADD]
        graph.node(
            box.key,
            label=title,
            shape="circle",
            width="0.26",
            height="0.26",
            fixedsize="true",
            margin="0",
            fontsize="14",
            style=look.style,
            fillcolor=look.fill,
            color=look.border,
            tooltip=tooltip,
            group=self.groups.get(box.key, ""),
        )

    def _tooltip(self, box: Box) -> str:
        if not box.nodes:
            return plain(box.title)
        first = self.network.node(box.nodes[0])
        shape = shape_text(self.network.shapes[box.nodes[-1]][0])
        layers = f"{len(box.nodes)} layers" if len(box.nodes) > 1 else "1 layer"
        return plain(f"{first.name} · {layers} · {shape}")

    # Edges

    def _edges(
        self,
        scene: Scene,
        found: Lanes,
        wraps: Sequence[tuple[str, str]],
        frame: Frame | None = None,
    ) -> None:
        rows = {key: number for number, row in enumerate(found.rows) for key in row}
        entering: dict[str, set[tuple[int, ...]]] = defaultdict(set)
        for edge in scene.edges:
            entering[edge.head] |= {tuple(map(int, t.shape)) for t in edge.tensors}
        family = {box.key: box.family for box in scene.boxes() if box.nodes}
        said: set[tuple[str, int, str]] = set()
        ordered = sorted(scene.edges, key=lambda e: (e.tail, e.head) in found.rising)
        for edge in ordered:
            flat = edge.tail in rows and rows[edge.tail] == rows.get(edge.head)
            shapes = []
            for tensor in edge.tensors:
                shape = tuple(map(int, tensor.shape))
                new = (
                    shape not in entering[edge.tail]
                    and family.get(edge.tail) is not Family.INPUT
                )
                if (
                    new
                    and self._agreed(tensor, frame)
                    and (tensor.node, tensor.output, edge.tail) not in said
                ):
                    said.add((tensor.node, tensor.output, edge.tail))
                    shapes.append(shape_text(shape))
            self._edge(edge, shapes, found, flat=flat, wrapped=(edge.tail, edge.head) in wraps)

    def _agreed(self, tensor: Tensor, frame: Frame | None) -> bool:
        """Whether a tensor has one shape in all the calls that a frame shows."""
        if frame is None or len(frame.nodes) == 1:
            return True
        if tensor.node not in frame.nodes[0]:
            return False
        place = frame.nodes[0].index(tensor.node)
        shapes = self.network.shapes
        return len({shapes[nodes[place]][tensor.output] for nodes in frame.nodes}) == 1

    def _edge(
        self, edge: Edge, shapes: list[str], found: Lanes, *, flat: bool, wrapped: bool
    ) -> None:
        more: dict[str, str] = {}
        if shapes:
            more["label"] = f" {', '.join(shapes[:3])} "
        if wrapped:
            self._wrap(edge, more)
        elif flat:
            self.graph.edge(edge.tail, edge.head, weight="3", minlen="1", **more)
        elif (edge.tail, edge.head) in found.rising:
            self.graph.edge(edge.head, edge.tail, dir="back", **more)
        else:
            self.graph.edge(edge.tail, edge.head, weight="4", **more)

    def _wrap(self, edge: Edge, more: dict[str, str]) -> None:
        """An edge to the next column: it leaves to a letter, and enters from the same."""
        self.wrapped += 1
        letter = chr(ord("A") + (self.wrapped - 1) % 26)
        for end in ("out", "in"):
            self.graph.node(
                f"w{self.wrapped}{end}",
                label=letter,
                shape="circle",
                width="0.22",
                height="0.22",
                fixedsize="true",
                fontsize="9",
                color=theme.FRAME,
                fontcolor=theme.GREY,
                penwidth="1",
                tooltip="goes on in the next column" if end == "out" else "goes on here",
            )
        self.graph.edge(edge.tail, f"w{self.wrapped}out", weight="4", **more)
        self.graph.edge(f"w{self.wrapped}in", edge.head, weight="4")

    def _rows(self, found: Lanes, main: Scene, wraps: Sequence[tuple[str, str]]) -> None:
        for row in found.rows:
            self._same(row)
        if wraps:
            first = next(main.boxes())
            self._same([first.key, *(f"w{n + 1}in" for n in range(len(wraps)))])

    def _forks(self, scene: Scene) -> None:
        """Branches begin side by side."""
        after: dict[str, list[str]] = defaultdict(list)
        fed: dict[str, int] = defaultdict(int)
        for edge in scene.edges:
            after[edge.tail].append(edge.head)
            fed[edge.head] += 1
        for heads in after.values():
            alone = [head for head in heads if fed[head] == 1]
            if len(alone) > 1:
                self._same(alone)

    def _same(self, keys: Sequence[str]) -> None:
        with self.graph.subgraph() as row:
            row.attr(rank="same")
            for key in keys:
                row.node(key)

    # Frames and legend

    def _frames(self, height: int, main: Scene) -> None:
        """The opened blocks beside the main picture, stacked into columns."""
        self.top = next((box.key for box in main.boxes()), None)
        used, last = 0, None
        for frame in self.plan.frames:
            assert frame.scene is not None
            scene = frame.scene
            depth = max(_depths(scene, Lanes()).values()) + 1
            with self.graph.subgraph(name=f"cluster_{frame.key}") as inner:
                inner.attr(
                    label=f"<<B>{_text(frame.title, 60)}</B>>",
                    labeljust="l",
                    fontname=theme.FONT,
                    fontsize="11",
                    color=theme.FRAME,
                    style="rounded,filled",
                    fillcolor="#fcfcfc",
                    penwidth="1",
                    margin="10",
                )
                self.groups |= _chains(scene)
                self._items(inner, scene.items, scene, frame)
            self._edges(scene, Lanes(), (), frame)
            self._forks(scene)
            first, final = _ends(scene)
            last = self._below(last if used + depth <= height else None, first, final)
            used = used + depth if used + depth <= height and used else depth
        self._legend(last if used + 4 <= height else None)

    def _below(self, last: str | None, first: str, final: str) -> str:
        """Stack a frame under the one before it, or begin a column."""
        if last is not None:
            self.graph.edge(last, first, style="invis", weight="0", minlen="2")
        elif self.top is not None:
            self._same([self.top, first])
        return final

    def _legend(self, last: str | None) -> None:
        keys = []
        with self.graph.subgraph(name="cluster_legend") as inner:
            inner.attr(
                label="<<B>Legend</B>>",
                labeljust="l",
                fontname=theme.FONT,
                fontsize="9",
                color="#dddddd",
                style="rounded",
                margin="6",
            )
            looks = [look for family, look in theme.LOOKS.items() if family in self.families]
            if self.blocks:
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
            self.graph.edge(keys[number], key, style="invis")
        for left, right in zip(keys[::2], keys[1::2], strict=False):
            self._same([left, right])
        if keys:
            self._below(last, keys[0], keys[-1])


def _joins(look: theme.Look) -> str:
    """The legend's line for circles."""
    return (
        '<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="3" CELLPADDING="0"><TR>'
        f'<TD BORDER="1" STYLE="rounded" BGCOLOR="{look.fill}" COLOR="{look.border}" '
        'WIDTH="15" HEIGHT="15" FIXEDSIZE="true"><FONT POINT-SIZE="10">+</FONT></TD>'
        f'<TD><FONT POINT-SIZE="8.5">{look.name}</FONT></TD></TR></TABLE>>'
    )


def _chains(scene: Scene) -> dict[str, str]:
    """Boxes in line, one after the other, that are drawn straight below each other."""
    after: dict[str, list[str]] = defaultdict(list)
    before: dict[str, list[str]] = defaultdict(list)
    for edge in scene.edges:
        after[edge.tail].append(edge.head)
        before[edge.head].append(edge.tail)
    found: dict[str, str] = {}
    for box in scene.boxes():
        above = before[box.key]
        straight = len(above) == 1 and len(after[above[0]]) == 1
        found[box.key] = found.get(above[0], box.key) if straight else box.key
    return found


def _depths(scene: Scene, found: Lanes) -> dict[str, int]:
    """The row of each box from the top, counted in boxes."""
    rows = {key: row[0] for row in found.rows for key in row}
    after: dict[str, list[str]] = defaultdict(list)
    count: dict[str, int] = defaultdict(int)
    keys = list(dict.fromkeys(rows.get(box.key, box.key) for box in scene.boxes()))
    for edge in scene.edges:
        tail, head = edge.tail, edge.head
        if (tail, head) in found.rising:
            tail, head = head, tail
        tail, head = rows.get(tail, tail), rows.get(head, head)
        if tail != head:
            after[tail].append(head)
            count[head] += 1
    depth = dict.fromkeys(keys, 1)
    ready = [key for key in keys if not count[key]]
    while ready:
        key = ready.pop()
        for head in after[key]:
            depth[head] = max(depth[head], depth[key] + 1)
            count[head] -= 1
            if not count[head]:
                ready.append(head)
    return {box.key: depth[rows.get(box.key, box.key)] for box in scene.boxes()}


def _ends(scene: Scene) -> tuple[str, str]:
    """The first box and the last."""
    keys = [box.key for box in scene.boxes()]
    return keys[0], keys[-1]


def _wraps(scene: Scene, *, framed: bool) -> list[tuple[str, str]]:
    """Edges at which a long chain goes on in a new column: each the only way through."""
    depths = _depths(scene, Lanes())
    deepest = max(depths.values())
    columns = round(deepest / (ROWS if framed else ROWS - 2))
    if columns < 2:
        return []
    listed = list(scene.boxes())
    place = {box.key: number for number, box in enumerate(listed)}
    crossing = [0] * len(listed)
    for edge in scene.edges:
        for number in range(*sorted((place[edge.tail], place[edge.head]))):
            crossing[number] += 1
    tops = {item.key for item in scene.items if isinstance(item, Box)}
    between = {(edge.tail, edge.head) for edge in scene.edges}
    cuts: dict[tuple[str, str], float] = {}
    for number, (above, below) in enumerate(pairwise(listed)):
        keys = (above.key, below.key)
        if crossing[number] == 1 and keys in between and tops.issuperset(keys):
            # Better where a stage begins than in its middle.
            begins = above.family is Family.POOL
            worse = 0.0 if begins else 0.25 if _stem(above) != _stem(below) else 0.5
            cuts[keys] = depths[above.key] + worse
    found: list[tuple[str, str]] = []
    for column in range(1, columns):
        wanted = column * deepest / columns
        slack = deepest / columns / 3
        near = {keys: at for keys, at in cuts.items() if abs(at - wanted) <= slack}
        best = min(
            near, key=lambda keys: (near[keys] % 1, abs(near[keys] - wanted)), default=None
        )
        if best is not None and best not in found:
            found.append(best)
    return found


def _stem(box: Box) -> str:
    return box.labels[0].partition("[")[0] if box.labels else ""


LONG = re.compile(r"\d+\.\d{4,}")
NUMBER = re.compile(r"\d+(?:\.\d+)?")


def common(ops: Sequence[Op]) -> str:
    """One text for the operations of several calls: what differs by its formula."""
    texts = list(dict.fromkeys(op.figure() for op in ops))
    if len(texts) == 1:
        return texts[0]
    stems = {NUMBER.sub("#", text.partition(" /")[0]) for text in texts}
    if len(stems) > 1:
        return " | ".join(texts[:3]) + (" …" if len(texts) > 3 else "")
    every = [op.figure() for op in ops]
    bodies = [NUMBER.findall(text.partition(" /")[0]) for text in every]
    strides = {text.partition(" /")[2] or "1" for text in every}
    first = every[0].partition(" /")[0]
    columns = [[row[n] for row in bodies] for n in range(len(bodies[0]))]
    names = iter([_column(column, ops) for column in columns])
    text = NUMBER.sub(lambda _: next(names), first)
    if strides == {"1"}:
        return text
    if len(strides) == 1:
        return f"{text} /{strides.pop()}"
    return f"{text} /{_column([t.partition(' /')[2] or '1' for t in every], ops)}"


def _column(values: list[str], ops: Sequence[Op]) -> str:
    """One number if all agree, else the formula behind them, else their range."""
    if len(set(values)) == 1:
        return values[0]
    # A parameter left at its default is a plain number: it has no formula to compare.
    formulas = {_formula(op, value) for op, value in zip(ops, values, strict=True)} - {""}
    if len(formulas) == 1:
        return formulas.pop()
    numbers = sorted(map(float, values))
    return f"{numbers[0]:g}–{numbers[-1]:g}"


def _formula(op: Op, value: str) -> str:
    """The formula of the attribute that has a value, in short."""
    for parameter in op.parameters:
        held = getattr(op, parameter.name)
        for one in held if isinstance(held, tuple) else (held,):
            if isinstance(one, Sym) and str(int(one)) == value:
                text = str(one.formula).replace(" * ", "·")
                text = re.sub(r"\b(\w+)\.shape\[0\]", r"\1.c", text)
                return text if len(text) <= 14 else ""
    return ""


def _labels(labels: Sequence[str]) -> str:
    """`c3[1–3]` for `c3[1]`, `c3[2]`, `c3[3]`."""
    if len(labels) < 2:
        return labels[0] if labels else ""
    first, last = labels[0], labels[-1]
    head, _, end = first.rpartition("[")
    other, _, stop = last.rpartition("[")
    if head == other and end.endswith("]") and stop.endswith("]"):
        return f"{head}[{end[:-1]}–{stop[:-1]}]"
    return f"{first} … {last}"


def _count(number: int) -> str:
    """`25.6M`."""
    for power, suffix in ((9, "G"), (6, "M"), (3, "k")):
        if number >= 10**power:
            return f"{number / 10**power:.3g}{suffix}"
    return str(number)


def _certificate(planned: Plan) -> str:
    """How every node of the graph is accounted for."""
    total = planned.network.graph.number_of_nodes()
    drawn, folded = len(planned.drawn), len(planned.folded)
    return f"nodes: {total} = {drawn} drawn + {folded} folded"


def clean(text: str) -> str:
    """Without line ends, control characters and marks that turn the direction of text."""
    kept = (" " if c in "\n\r\t" else c for c in text)
    return "".join(
        c for c in kept if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co", "Cn")
    )


def elide(text: str, width: int) -> str:
    """Cut in the middle to a number of characters."""
    if len(text) <= width:
        return text
    head = (width - 1) * 2 // 3
    return f"{text[:head]}…{text[len(text) - (width - 1 - head) :]}"


def _text(text: str, width: int) -> str:
    """For a label like HTML."""
    return html.escape(elide(clean(text), width), quote=True)


def plain(text: str) -> str:
    """For a quoted string: no escape of Graphviz's has a meaning."""
    return str(graphviz.escape(elide(clean(text), 160)))
