"""A scene in its place on a page: its lanes, its outline, and what stands under it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from cnndsl.figures import font
from cnndsl.figures.layout.bands import WORDS, Band, bands
from cnndsl.figures.layout.cards import LEVELS, Cards, Way
from cnndsl.figures.layout.ledger import beside
from cnndsl.figures.layout.packing import Hole
from cnndsl.figures.layout.piece import Piece, Spot
from cnndsl.figures.layout.scene import placed
from cnndsl.figures.layout.strides import strides
from cnndsl.figures.layout.wrapping import LIFT, Cut, wrapped
from cnndsl.figures.palette import role_of
from cnndsl.figures.scene import Frame, Plan, Scene
from cnndsl.figures.text import clean
from cnndsl.figures.values import NOTE, Branch, Table, named_calls

PAD, BAR, CLOSER = 14.0, 26.0, 4.0
"""Within the outline of an opened block, and over it for its name; where there is least room,
so much less."""
OVER = 3.0
"""The room over the first note under an opened block."""
LONG = 1e9
WHOLE = Cut(LONG)
"""In one column, however long."""
NAME = re.compile(r"[^\W\d]\w*")
"""A parameter, as a box says it."""
Laid = tuple[Cards, Piece]
"""A scene in one of its layouts, in one column."""


@dataclass(slots=True)
class Panel:
    """A placed scene; `x`, `y` is where its axis begins.

    Under an opened block stand notes and a table, beside the main picture that of a block.
    """

    piece: Piece
    cards: Cards
    scene: Scene
    frame: Frame | None = None
    table: Table | None = None
    counts: Table | None = None
    bands: list[Band] = field(default_factory=list)
    cut: Cut = WHOLE
    x: float = 0.0
    y: float = 0.0
    holes: list[Hole] | None = None
    """Of a main picture on its page, once they are asked for."""
    width: float = field(init=False)
    """With its outline, if it has one."""

    def __post_init__(self) -> None:
        """Measure it once, as it is tried in many places."""
        self.width = self._width()

    @classmethod
    def of(
        cls,
        plan: Plan,
        scene: Scene,
        frame: Frame | None,
        table: Table | None,
        way: Way,
        cut: Cut,
        laid: Laid | None = None,
    ) -> Panel:
        """A scene in one of its layouts, broken where it is too long.

        What is `laid` out in this way already is only broken.
        """
        cards, whole = laid or laid_out(plan, scene, frame, way)
        lanes = {} if frame else strides(plan.network, scene)
        piece = wrapped(whole, cut, lanes, turning=way.turning)
        if table and frame is None:
            piece = beside(piece, cards, table)
        found = [] if frame else bands(plan.network, scene, piece)
        if piece.stepped and all(band.begun(piece) for band in found):
            found = [replace(band, aside=True, first=True) for band in found]
        elif piece.laned and way.narrow == LEVELS - 1:
            # No room for a gutter: their names stand in the corners that are free.
            found = [replace(band, aside=True).clear(piece) for band in found]
            found = [band for band in found if band.text]
        if frame and piece.spots and not piece.laned:
            # Nothing is led from it: it ends with its last box.
            foot = max(foot for *_, foot in piece.taken)
            piece = replace(piece, height=min(piece.height, foot))
        if way.turning:
            under = 0.0 if piece.folds else WORDS
            found = [band.turned(piece.left, under) for band in found]
            piece = piece.turned()
        elif table and frame and not piece.folds and not piece.laned:
            table = table.under(_branches(piece, cards))
            if table.rights:
                left, right = table.sides
                piece = replace(
                    piece, left=max(piece.left, left), right=max(piece.right, right)
                )
        return cls(piece, cards, scene, frame, table, None, found, cut)

    def drawn(self, plan: Plan) -> Panel:
        """The same with all its edges."""
        if self.cards.way.drawn:
            return self
        way = replace(self.cards.way, drawn=True)
        return Panel.of(plan, self.scene, self.frame, self.table, way, self.cut)

    @property
    def pad(self) -> float:
        """Between its outline and what is in it: where rows return, their lines are between."""
        if self.cards.way.turning and self.piece.folds:
            return LIFT + WORDS
        return PAD - CLOSER * (self.cards.narrow > 1)

    @property
    def bar(self) -> float:
        """Over what is in it."""
        return BAR - CLOSER * self.cards.fine

    @property
    def side(self) -> float:
        """From its outline to its picture."""
        return (self.width - self.piece.width) / 2

    def _width(self) -> float:
        if self.frame is None:
            return self.piece.width
        title = font.width(self.heading, 11, bold=True) + font.width(self.said, 9) + 8
        notes = [font.width(note, NOTE) for note in self.notes]
        tables = [table.width for table in self.tables]
        return max(self.piece.width, title, *tables, *notes) + 2 * self.pad

    @property
    def height(self) -> float:
        """The same."""
        if self.frame is None:
            return self.piece.height
        return self.bar + self.piece.height + self.below + self.pad

    @property
    def below(self) -> float:
        """The height of what stands under the picture of a block."""
        tables = sum(table.height + 6 for table in self.tables)
        return 12 * len(self.notes) + (OVER if self.notes else 0) + tables

    @property
    def tables(self) -> list[Table]:
        """Of its variants, and of its values."""
        return [table for table in (self.counts, self.table) if table]

    @property
    def notes(self) -> list[str]:
        """Under what condition dashed parts are there, and what the tables say over them."""
        found = [*self.remarks]
        for table in self.tables:
            found += table.notes
        return found

    @property
    def remarks(self) -> list[str]:
        """The first of these."""
        return list(dict.fromkeys(self.frame.notes)) if self.frame else []

    @property
    def heading(self) -> str:
        """The name of an opened block."""
        return font.fitted(clean(self.frame.title), 11, 240, bold=True) if self.frame else ""

    @property
    def said(self) -> str:
        """How often it is called, and with what."""
        count = max(len(self.frame.calls), self.frame.alike) if self.frame else 1
        return f"×{count}" if count > 1 else ""


def laid_out(plan: Plan, scene: Scene, frame: Frame | None, way: Way) -> Laid:
    """A scene in one of its layouts."""
    cards = Cards(plan.network, scene, frame, way)

    def naming() -> dict[int, str]:
        return named_calls(plan, frame) if frame is not None else {}

    return cards, placed(plan.network, scene, cards, main=frame is None, naming=naming)


def _branches(piece: Piece, cards: Cards) -> list[Branch]:
    """The boxes that stand under each other, from the left, with the names that they say."""
    found: dict[float, list[Spot]] = {}
    for spot in sorted(piece.spots, key=lambda s: (round(s.x), s.y)):
        found.setdefault(round(spot.x), []).append(spot)
    return [
        Branch(
            spots[-1].x,
            min(spot.left for spot in spots),
            max(spot.right for spot in spots),
            role_of(spots[-1].box.family),
            frozenset(
                name
                for spot in spots
                for text in (*cards[spot.box].titles, *cards[spot.box].lines)
                for name in NAME.findall(text)
            ),
        )
        for spots in found.values()
    ]
