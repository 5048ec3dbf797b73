"""A page as parts to paint: lanes, boxes, edges, insets, legend and caption."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cnndsl.analysis.costs import total
from cnndsl.figures import font, theme
from cnndsl.figures.caption import broken, caption, heading
from cnndsl.figures.caption import said as said_of
from cnndsl.figures.layout import inking
from cnndsl.figures.layout.bands import Band
from cnndsl.figures.layout.casing import cased
from cnndsl.figures.layout.labels import spread
from cnndsl.figures.layout.nook import within
from cnndsl.figures.layout.packing import Hole
from cnndsl.figures.layout.page import GAP, MARGIN, Page, caption_height
from cnndsl.figures.layout.panel import OVER, Panel
from cnndsl.figures.layout.piece import Spot
from cnndsl.figures.paint import (
    Area,
    Group,
    Part,
    Picture,
    Point,
    Text,
    extent,
    leaves,
    shifted,
)
from cnndsl.figures.palette import role_of
from cnndsl.figures.scene import Box, Plan, repeated
from cnndsl.figures.text import clean, label_text, shape_text
from cnndsl.figures.values import NOTE
from cnndsl.graph import Network
from cnndsl.ops.facts import Family

Said = Callable[[Box], str]
"""What is said of a box in its description, one line."""


def picture(
    done: Page,
    *,
    said: Said | None = None,
    role: Callable[[Box], str] | None = None,
    legend: list[Part] | None = None,
    captioned: bool = True,
) -> Picture:
    """The page as parts to paint."""
    plan = done.plan
    parts: list[Part] = []
    x, y = MARGIN, MARGIN
    for band in done.bands:
        parts += _band(band, x, y, done.gutter, done.main)
    tinted = [p for p in leaves(parts) if isinstance(p, Area)]

    def ground(at: Point) -> str:
        inside = (
            a.x <= at[0] <= a.x + a.width and a.y <= at[1] <= a.y + a.height for a in tinted
        )
        return "band" if any(inside) else "page"

    families: dict[Family | None, list[Box]] = {}
    labels: dict[int, str] = {}
    for panel in (done.main, *done.insets):
        if panel.frame is not None:
            parts.append(_inset(panel, x, y))
        moved = panel.piece.moved(x + panel.x, y + panel.y)
        parts += [inking.scope(found) for found in moved.scopes]
        dashed = {(edge.tail, edge.head) for edge in panel.scene.edges if edge.dashed}
        turns = repeated(panel.scene.items)
        several = {
            (e.tail, e.head) for e in panel.scene.edges if len(e.tensors) > turns.get(e.tail, 1)
        }
        led = inking.wires(moved, panel.cards, dashed, several)
        led += inking.fans(moved, plain=role is not None)
        parts += cased(led, lambda at: "frame") if panel.frame else cased(led, ground)
        for spot in moved.spots:
            if not panel.cards[spot.box].bare:
                families.setdefault(spot.box.family, []).append(spot.box)
            if spot.words:
                labels[len(parts)] = panel.cards[spot.box].label
            parts.append(_box(spot, panel, said, role(spot.box) if role else ""))
    width, foot = done.width, y + done.height
    room = max(done.widest - 2 * MARGIN, width, 200.0)
    drawn = [spot.box for panel in (done.main, *done.insets) for spot in panel.piece.spots]
    notes = done.main.cards.say.notes_of(drawn)
    name, words = heading(plan.network), said_of(plan.network, notes)
    page = Hole(x, y, width, done.height)
    inner = within(parts, page, name, words) if captioned else []
    parts += inner
    if captioned or legend is not None:
        frames = {panel.frame.key for panel in done.insets if panel.frame}
        closed = [b for b in families.get(None, ()) if not b.frame or b.frame.key not in frames]
        names = {
            family: _called(plan.network, family, found) for family, found in families.items()
        }
        keys = legend or _legend(names, max(width, 320.0), opened=not closed)
        end = extent(_shifted(keys, x, foot + 18))[1]
        free = done.tallest - MARGIN - (0 if inner else caption_height(plan, room))
        if legend is not None or end <= free or (foot > free and not done.widest):
            parts += _shifted(keys, x, foot + 18)
            width, foot = max(width, extent(keys)[0]), end
    if captioned and not inner:
        under, title_width, foot = caption(name, broken(words, room), x, foot + GAP, room)
        parts += under
        width = max(width, title_width)
    spread(parts, labels, width + 2 * MARGIN)
    height = foot + MARGIN
    counted = certificate(plan)
    return Picture(
        width + 2 * MARGIN, height, parts, heading(plan.network), _about(plan), counted
    )


def certificate(plan: Plan) -> dict[str, object]:
    """How every node of the graph is accounted for, with the totals of the summary."""
    cost = total(plan.network)
    return {
        "nodes": len(plan.network.wires),
        "drawn": len(plan.drawn),
        "folded": len(plan.folded),
        "left_out": 0,
        "parameters": int(cost.parameters),
        "macs": int(cost.macs),
    }


def _about(plan: Plan) -> str:
    cost = total(plan.network)
    return (
        f"{len(plan.network.wires)} layers, {cost.parameters:,} parameters, "
        f"{cost.macs:,} multiply-adds; {len(plan.drawn)} layers drawn, "
        f"{len(plan.folded)} folded"
    )


def _band(band: Band, x: float, y: float, gutter: float, main: Panel) -> list[Part]:
    left, top = x + main.x + band.left - gutter, y + main.y + band.top
    width, height = band.right - band.left + gutter, band.bottom - band.top
    parts: list[Part] = []
    if band.tinted:
        parts.append(Area(left, top, width, height, "band", 0, stroke=0))
    if band.aside:
        foot = top + height - 3 if band.low else top + 8
        side, anchor = (left + 4, "start") if band.first else (left + width - 4, "end")
        parts.append(Text(side, foot, band.text, 8, "faint", anchor=anchor))
    else:
        parts.append(Text(left + 6, top + height / 2 + 3, band.text, 9, "faint"))
    return [Group(tuple(parts), kind="lane")]


def _inset(panel: Panel, x: float, y: float) -> Part:
    assert panel.frame is not None
    left = x + panel.x - panel.piece.left - panel.side
    top = y + panel.y - panel.bar
    line = top + panel.bar - 9
    title = Text(left + 10, line, panel.heading, 11, bold=True)
    aside = left + 16 + font.width(panel.heading, 11, bold=True)
    words = (Text(aside, line, panel.said, 9, "faint"),) if panel.said else ()
    area = Area(left, top, panel.width, panel.height, "frame", 8, dashed=True, stroke=1)
    foot = y + panel.y + panel.piece.height + (OVER if panel.notes else 0)
    more: list[Part] = []

    def noted(notes: Sequence[str], foot: float) -> float:
        more.extend(
            Text(left + panel.pad, foot + 10 + 12 * n, note, NOTE, "faint")
            for n, note in enumerate(notes)
        )
        return foot + 12 * len(notes)

    foot = noted(panel.remarks, foot)
    wide, axis = panel.width - 2 * panel.pad, x + panel.x
    for table in panel.tables:
        foot = noted(table.notes, foot)
        more += table.parts(left + panel.pad, foot + 4, wide, axis)
        foot += table.height + 6
    return Group(
        (area, title, *words, *more), title=panel.heading, key=panel.frame.key, kind="inset"
    )


def _box(spot: Spot, panel: Panel, said: Said | None, role: str) -> Part:
    card = panel.cards[spot.box]
    shape = panel.cards.shape(spot.box)
    words = [label_text(spot.box.labels), shape_text(shape) if shape else ""]
    count = len(spot.box.nodes)
    words.append(f"{count} layers" if count > 1 else "")
    if spot.box.nodes:
        words.append(spot.box.nodes[0])
    if not spot.box.nodes:
        where = "the block begins or ends" if panel.frame else "the network ends"
        words.append(f"where {where}")
    words.append(said(spot.box) if said and spot.box.nodes else "")
    desc = clean(" · ".join(word for word in words if word))
    return inking.box(spot, panel.cards, role, title=card.title, desc=desc)


def _called(network: Network, family: Family | None, boxes: list[Box]) -> str:
    """What the boxes of a family are called: of arithmetic and resampling, what occurs."""
    if family is None:
        return ""
    known = {n: network.node(n).op for box in boxes for n in box.nodes}
    ops = {n: op for n, op in known.items() if op.family is family}
    if family is Family.ADD:
        signs = {op.figure()[:1] for op in ops.values()}
        found = [word for sign, word in theme.JOINS.items() if sign in signs]
        return ", ".join(found) if signs <= {*theme.JOINS} else "arithmetic"
    if family is Family.UPSAMPLE and not all(_enlarges(network, name) for name in ops):
        return "resampling"
    return theme.LOOKS[family].name


def _enlarges(network: Network, name: str) -> bool:
    """Whether an operation makes a map larger, and no side of it smaller."""
    before, after = network.input_shapes(name)[0], network.shapes[name][0]
    sides = [*zip(map(int, before[1:]), map(int, after[1:]), strict=True)]
    return all(b <= a for b, a in sides) and any(b < a for b, a in sides)


def _legend(families: dict[Family | None, str], width: float, *, opened: bool) -> list[Part]:
    """The families in the picture, in rows; whether all blocks are `opened` in frames."""
    looks: list[tuple[str, str, Family | None]] = []
    if None in families:
        block = "block, opened in its frame" if opened else "block"
        looks.append((role_of(None), block, None))
    looks += [(role_of(f), families[f], f) for f in theme.LOOKS if f in families]
    parts: list[Part] = []
    x, y = 0.0, 0.0
    for role, name, family in looks:
        wide = font.width(name, 9) + 38
        if x and x + wide > width:
            x, y = 0.0, y + 18
        parts.append(inking.swatch(x, y, role, family))
        parts.append(Text(x + 24, y + 9.5, name, 9, "grey"))
        x += wide
    return parts


def _shifted(parts: list[Part], dx: float, dy: float) -> list[Part]:
    return [shifted(part, dx, dy) for part in parts]
