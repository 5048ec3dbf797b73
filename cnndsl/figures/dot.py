"""The plan of a picture as DOT source, made through the `graphviz` package."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import graphviz

from cnndsl.figures import dot_page, theme
from cnndsl.figures.columns import chains, depths, entry, wraps
from cnndsl.figures.lanes import Lanes, lanes
from cnndsl.figures.plan import drawable, plan
from cnndsl.figures.scene import Box, Edge, Frame, Item, Plan, Scene
from cnndsl.figures.text import (
    html_text,
    label_text,
    plain,
    shape_text,
)
from cnndsl.figures.titles import Sayer
from cnndsl.graph import Network
from cnndsl.ops.base import Family
from cnndsl.structure import Tensor

WIDEST = 34
"""Characters of a title; what is longer is cut in the middle."""
GAP = '<FONT POINT-SIZE="2"> </FONT>'


def dot(network: Network) -> str:
    """The DOT source of a network's picture; the same network gives the same text."""
    return str(_Writer(drawable(plan(network))).graph.source)


class _Writer:
    def __init__(self, planned: Plan) -> None:
        self.plan = planned
        self.network = planned.network
        self.say = Sayer(planned.network)
        self.families: set[Family] = set()
        self.blocks = False
        self.wrapped = 0
        self.graph = dot_page.page(planned)
        main = planned.main
        self.groups: dict[str, str] = {}
        found = lanes(self.network, main)
        heads = {head for _, head in found.rising}
        self.upward = heads & {box.key for box in main.boxes() if box.family is Family.UPSAMPLE}
        breaks = [] if found.rows else wraps(main, framed=bool(planned.frames))
        self.groups |= chains(main, found)
        self._items(self.graph, main.items, main, None)
        self._edges(main, found, breaks)
        self._rows(found, main, breaks)
        if not found.rows:
            self._forks(main)
        depth = -(-max(depths(main, found).values()) // (len(breaks) + 1))
        self._frames(max(depth, 8), main)

    # Nodes

    def _items(
        self, graph: graphviz.Digraph, items: Sequence[Item], scene: Scene, frame: Frame | None
    ) -> None:
        for item in items:
            if isinstance(item, Box):
                self._box(graph, item, frame)
                continue
            with graph.subgraph(name=f"cluster_{item.key}") as inner:
                title = html_text(item.title or "repeat", WIDEST)
                more = f" ×{item.count}" if item.count > 1 else ""
                label = html_text(label_text(item.labels), WIDEST)
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
                entered = entry(item, scene)
                if entered and item.title:
                    self._spare(inner, item.key, entered, len(title + more) + len(label))

    def _spare(self, graph: graphviz.Digraph, key: str, first: str, characters: int) -> None:
        """Room at the left of a column, so that the arrow into it misses the title."""
        width = characters * 0.075 - 0.9
        if width <= 0:
            return
        spare = f"{key}s"
        graph.node(
            spare, label="", style="invis", width=f"{width:.2f}", height="0.1", fixedsize="true"
        )
        graph.edge(spare, first, style="invis")
        with graph.subgraph() as row:
            row.attr(rank="same")
            row.node(spare)
            row.node(first)

    def _box(self, graph: graphviz.Digraph, box: Box, frame: Frame | None) -> None:
        said = self.say(box, frame)
        title = said.title
        tooltip = self._tooltip(box)
        if box.family is None:
            self.blocks = True
            look = theme.BLOCK
        else:
            look = theme.LOOKS[box.family]
            if box.nodes or frame is None:
                self.families.add(box.family)
        times = f" ×{box.count}" if box.count > 1 else ""
        small = [part for part in (label_text(box.labels), *said.small) if part]
        if box.family is Family.INPUT:
            node = box.nodes[0] if box.nodes else None
            shape = self.network.shapes[node][0] if node else box.tensor and box.tensor.shape
            small = [shape_text(shape)] if shape and frame is None else []
        if box.family is Family.ADD and title in ("+", "×") and not said.small:
            self._circle(graph, box, title, tooltip)
            return
        lines = f"<B>{html_text(title, WIDEST)}{times}</B>"
        words = ""
        if small:
            words = html_text(" · ".join(small), WIDEST + 8)
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
        breaks: Sequence[tuple[str, str]],
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
            self._edge(edge, shapes, found, flat=flat, wrapped=(edge.tail, edge.head) in breaks)

    def _agreed(self, tensor: Tensor, frame: Frame | None) -> bool:
        """Whether a tensor has one shape in all the calls that a frame shows."""
        if frame is None or len(frame.nodes) == 1:
            return True
        if tensor.node not in frame.nodes[0]:
            return False
        place = frame.nodes[0].index(tensor.node)
        shapes = self.network.shapes
        every = [shapes[nodes[place]] for nodes in frame.nodes if nodes[place]]
        # A split into as many parts as there are inputs has others in another call.
        return len({found[tensor.output : tensor.output + 1] for found in every}) == 1

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

    def _rows(self, found: Lanes, main: Scene, breaks: Sequence[tuple[str, str]]) -> None:
        for row in found.rows:
            dot_page.level(self.graph, row)
        if breaks:
            first = next(main.boxes())
            dot_page.level(
                self.graph, [first.key, *(f"w{n + 1}in" for n in range(len(breaks)))]
            )

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
                dot_page.level(self.graph, alone)

    # Frames and legend

    def _frames(self, height: int, main: Scene) -> None:
        """The opened blocks beside the main picture, stacked into columns."""
        self.top = next((box.key for box in main.boxes()), None)
        used, last = 0, None
        for frame in self.plan.frames:
            assert frame.scene is not None
            scene = frame.scene
            depth = max(depths(scene, Lanes()).values()) + 1
            with self.graph.subgraph(name=f"cluster_{frame.key}") as inner:
                inner.attr(
                    label=f"<<B>{html_text(frame.title, 60)}</B>>",
                    labeljust="l",
                    fontname=theme.FONT,
                    fontsize="11",
                    color=theme.FRAME,
                    style="rounded,filled",
                    fillcolor="#fcfcfc",
                    penwidth="1",
                    margin="10",
                )
                self.groups |= chains(scene, Lanes())
                self._items(inner, scene.items, scene, frame)
            self._edges(scene, Lanes(), (), frame)
            self._forks(scene)
            first, final = _ends(scene)
            last = self._below(last if used + depth <= height else None, first, final)
            used = used + depth if used + depth <= height and used else depth
        keys = dot_page.legend(self.graph, self.families, blocks=self.blocks)
        if keys:
            self._below(last if used + 4 <= height else None, keys[0], keys[-1])

    def _below(self, last: str | None, first: str, final: str) -> str:
        """Stack a frame under the one before it, or begin a column."""
        if last is not None:
            self.graph.edge(last, first, style="invis", weight="0", minlen="2")
        elif self.top is not None:
            dot_page.level(self.graph, [self.top, first])
        return final


def _ends(scene: Scene) -> tuple[str, str]:
    """The first box and the last."""
    keys = [box.key for box in scene.boxes()]
    return keys[0], keys[-1]
