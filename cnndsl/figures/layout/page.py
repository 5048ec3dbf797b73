"""The page: the main picture on its stride lanes, insets beside it, title and legend."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cnndsl.analysis.costs import total
from cnndsl.figures import font, theme
from cnndsl.figures.caption import about, caption
from cnndsl.figures.layout import inking
from cnndsl.figures.layout.bands import Band, bands
from cnndsl.figures.layout.cards import Cards
from cnndsl.figures.layout.packing import packed
from cnndsl.figures.layout.piece import Piece, Spot
from cnndsl.figures.layout.scene import placed
from cnndsl.figures.layout.wrapping import wrapped as folded
from cnndsl.figures.paint import Area, Group, Part, Picture, Text, extent
from cnndsl.figures.palette import role_of
from cnndsl.figures.scene import Box, Frame, Plan, Scene
from cnndsl.figures.text import clean, label_text, shape_text
from cnndsl.figures.values import Table, values
from cnndsl.ops.base import Family

MARGIN = 18.0
GUTTER = 40.0
"""The width of the lines over a picture."""
INSET_PAD, INSET_BAR = 14.0, 26.0
NOTE = 8.0

Said = Callable[[Box], str]
"""What is said of a box in its description, one line."""


@dataclass(slots=True)
class Panel:
    """A placed scene; `x`, `y` is where its axis begins. Under it stand notes and a table."""

    piece: Piece
    cards: Cards
    scene: Scene
    frame: Frame | None = None
    table: Table | None = None
    x: float = 0.0
    y: float = 0.0

    @property
    def width(self) -> float:
        """With its outline, if it has one."""
        if self.frame is None:
            return self.piece.width
        title = font.width(self.heading, 11, bold=True) + font.width(self.said, 9) + 8
        notes = [font.width(note, NOTE) for note in self.notes]
        table = self.table.width if self.table else 0.0
        return max(self.piece.width, title, table, *notes) + 2 * INSET_PAD

    @property
    def height(self) -> float:
        """The same."""
        if self.frame is None:
            return self.piece.height
        return INSET_BAR + self.piece.height + self.below + INSET_PAD

    @property
    def below(self) -> float:
        """The height of what stands under the picture of a block."""
        table = self.table.height + 6 if self.table else 0.0
        return 12 * len(self.notes) + table

    @property
    def notes(self) -> list[str]:
        """When an opened block has what is dashed."""
        return list(dict.fromkeys(self.frame.notes)) if self.frame else []

    @property
    def heading(self) -> str:
        """The name of an opened block."""
        return font.fitted(clean(self.frame.title), 11, 240, bold=True) if self.frame else ""

    @property
    def said(self) -> str:
        """How often it is called, and with what."""
        count = len(self.frame.calls) if self.frame else 1
        return f"×{count}" if count > 1 else ""


@dataclass(slots=True)
class Page:
    """The panels of a plan in their places."""

    plan: Plan
    main: Panel
    insets: list[Panel]
    bands: list[Band]
    width: float = 0.0
    height: float = 0.0
    widest: float = 0.0
    """The width to keep to, in pixels; 0 is any."""


def page(
    plan: Plan, *, insets: bool = True, opened: tuple[str, ...] = (), widest: float = 0.0
) -> Page:
    """The page of a plan; without `insets`, only the blocks in `opened` are shown inside.

    `widest` is the width in pixels to keep to, if it can be; 0 is any.
    """
    network = plan.network
    narrow = widest > 0
    cards = Cards(network, plan.main, None, narrow=narrow)
    main = Panel(placed(network, plan.main, cards, main=True), cards, plan.main)
    panels = []
    for frame in plan.frames:
        name = frame.calls[0].block.definition.name if frame.calls else frame.title
        if frame.scene is None or not (insets or name in opened):
            continue
        inner = Cards(network, frame.scene, frame, narrow=narrow)
        piece = placed(network, frame.scene, inner, main=False)
        panels.append(Panel(piece, inner, frame.scene, frame, values(plan, frame)))
    done = Page(plan, main, panels, [], widest=widest)
    room = widest - 2 * MARGIN - GUTTER if widest else 0.0
    main.piece = folded(main.piece, sum(p.width * p.height for p in panels), room)
    _arrange(done, max(widest - 2 * MARGIN, 0.0))
    done.bands = bands(network, plan.main, main.piece)
    return done


def _arrange(done: Page, widest: float) -> None:
    """Put the insets beside the main picture and below it."""
    main = done.main
    main.x, main.y = GUTTER + main.piece.left, 0.0
    sizes = [(panel.width, panel.height) for panel in done.insets]
    found = packed((GUTTER + main.piece.width, main.piece.height), sizes, widest=widest)
    for panel, (x, y) in zip(done.insets, found.places, strict=True):
        slack = (panel.width - 2 * INSET_PAD - panel.piece.width) / 2
        panel.x, panel.y = x + INSET_PAD + panel.piece.left + slack, y + INSET_BAR
    done.width, done.height = found.width, found.height


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
        parts += _band(band, x, y, GUTTER, done.main)
    families: dict[Family | None, None] = {}
    for panel in (done.main, *done.insets):
        if panel.frame is not None:
            parts.append(_inset(panel, x, y))
        moved = panel.piece.moved(x + panel.x, y + panel.y)
        parts += [inking.scope(found) for found in moved.scopes]
        dashed = {(edge.tail, edge.head) for edge in panel.scene.edges if edge.dashed}
        parts += inking.wires(moved, dashed)
        for spot in moved.spots:
            families[spot.box.family] = None
            parts.append(_box(spot, panel, said, role(spot.box) if role else ""))
    width, foot = done.width, y + done.height
    if captioned or legend is not None:
        room = max(done.widest - 2 * MARGIN, width, 200.0)
        keys = legend if legend is not None else _legend(list(families), room)
        parts += _shifted(keys, x, foot + 18)
        foot = extent(_shifted(keys, x, foot + 18))[1]
    if captioned:
        lines = about(plan.network, room, done.main.cards.say.notes)
        words, title_width, foot = caption(plan.network.name, lines, x, foot + 6, room)
        parts += words
        width = max(width, title_width)
    height = foot + MARGIN
    counted = certificate(plan)
    return Picture(
        width + 2 * MARGIN, height, parts, clean(plan.network.name), _about(plan), counted
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
    left = x + main.x + band.left - gutter
    parts: list[Part] = []
    if band.tinted:
        width = band.right - band.left + gutter
        parts.append(
            Area(left, y + band.top, width, band.bottom - band.top, "band", 0, stroke=0)
        )
    middle = y + (band.top + band.bottom) / 2 + 3
    parts.append(Text(left + 6, middle, band.text, 9, "faint"))
    return [Group(tuple(parts), kind="lane")]


def _inset(panel: Panel, x: float, y: float) -> Part:
    assert panel.frame is not None
    slack = (panel.width - 2 * INSET_PAD - panel.piece.width) / 2
    left = x + panel.x - panel.piece.left - INSET_PAD - slack
    top = y + panel.y - INSET_BAR
    title = Text(left + 10, top + 17, panel.heading, 11, bold=True)
    aside = left + 16 + font.width(panel.heading, 11, bold=True)
    words = (Text(aside, top + 17, panel.said, 9, "faint"),) if panel.said else ()
    area = Area(left, top, panel.width, panel.height, "frame", 8, dashed=True, stroke=1)
    foot = y + panel.y + panel.piece.height
    more: list[Part] = []
    for note in panel.notes:
        foot += 12
        more.append(Text(left + 14, foot - 2, note, NOTE, "faint"))
    if panel.table is not None:
        more += panel.table.parts(left + INSET_PAD, foot + 4, panel.width - 2 * INSET_PAD)
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


def _legend(families: list[Family | None], width: float) -> list[Part]:
    """The families that are in the picture, in rows."""
    looks: list[tuple[str, str, Family | None]] = []
    if None in families:
        looks.append((role_of(None), "block, opened in its frame", None))
    looks += [(role_of(f), look.name, f) for f, look in theme.LOOKS.items() if f in families]
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
    return [inking.shifted(part, dx, dy) for part in parts]
