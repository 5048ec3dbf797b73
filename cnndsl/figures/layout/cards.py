"""What a box says and how large it is."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from cnndsl.figures import font
from cnndsl.figures.layout.strides import leaving
from cnndsl.figures.scene import Box, Frame, Scene
from cnndsl.figures.text import clean, label_text, shape_text
from cnndsl.figures.titles import title_of
from cnndsl.graph import Network
from cnndsl.ops.base import Family, Shape
from cnndsl.structure import Tensor

TITLE, SMALL, LABEL = 11.0, 9.0, 8.0
HEIGHT, LOW, ROUND = 38.0, 24.0, 22.0
WIDTHS, NARROW = (92.0, 220.0), (64.0, 178.0)
"""The least and the greatest width of a box, and these on a narrow page."""
NAMED = 60.0
"""A box is wide enough for so much of its label, which ends before the edge into it."""
INSET, TIGHT = 9.0, 6.0
"""From a box's side to its text, and on a narrow page."""
SLANTED = {Family.POOL, Family.UPSAMPLE, Family.RESHAPE, Family.MATMUL, Family.DEPTHWISE}
MINOR = {Family.NORM, Family.ACTIVATION, Family.REGULARIZE}


@dataclass(frozen=True, slots=True)
class Card:
    """The words of a box, and the least size that holds them."""

    title: str
    small: str
    label: str
    width: float
    height: float
    round: bool = False


CARD = 3.5
"""How far the cards of a stack stand behind each other."""


def behind(box: Box) -> float:
    """How far a box's stack stands out, upwards and to the right."""
    return 2 * CARD if box.count > 1 else 0.0


class Cards:
    """The cards of one scene; boxes that stand in columns have one width."""

    def __init__(
        self, network: Network, scene: Scene, frame: Frame | None, *, narrow: bool = False
    ) -> None:
        """The cards of the main picture's boxes, or of an opened block's.

        On a `narrow` page long words are cut before a box is widened for them.
        """
        self.network = network
        self.narrow = narrow
        self.least, self.most = NARROW if narrow else WIDTHS
        self.inset = TIGHT if narrow else INSET
        self.frame = frame
        self.leaving = leaving(network, scene)
        self.sent: dict[str, list[Tensor]] = defaultdict(list)
        for edge in scene.edges:
            self.sent[edge.tail] += edge.tensors
        self.cards = {box.key: self._card(box) for box in scene.boxes()}
        wide = [card.width for card in self.cards.values() if not card.round]
        self.width = max([self.least, *wide])

    def __getitem__(self, box: Box) -> Card:
        """The card of a box."""
        return self.cards[box.key]

    def size(self, box: Box) -> tuple[float, float]:
        """The width and height of a box in its place."""
        card = self.cards[box.key]
        return (card.width if card.round else self.width), card.height

    def _card(self, box: Box) -> Card:
        title = clean(title_of(self.network, box, self.frame))
        together = ", ".join(box.labels) if box.beside > 1 else label_text(box.labels)
        label = clean(together)
        if box.family is Family.ADD and title in ("+", "×"):
            return Card(title, "", label, ROUND, ROUND, round=True)
        if box.count > 1:
            title = f"{title} ×{box.count}"
        words = self._shapes(box)
        words += [clean(tag) for tag in box.tags]
        small = " · ".join(words[:1]) + (" · " if len(words) > 1 else "") + " ".join(words[1:])
        room = self.most - 2 * self.inset - self._slant(box)
        title = font.fitted(title, TITLE, room, bold=True)
        small = font.fitted(small, SMALL, room)
        text = max(font.width(title, TITLE, bold=True), font.width(small, SMALL))
        low = box.family in MINOR or not small
        width = text + 2 * self.inset + self._slant(box)
        if not self.narrow:
            width = max(width, 2 * (min(font.width(label, LABEL), NAMED) + 8.5))
        return Card(title, small, label, width, LOW if low else HEIGHT)

    def _shapes(self, box: Box) -> list[str]:
        """The shape that leaves a box; of several side by side, each that differs."""
        shape = self.shape(box)
        if shape is None:
            return []
        shapes = [tensor.shape for tensor in self.sent[box.key]] if box.beside > 1 else []
        texts = list(dict.fromkeys(map(shape_text, [shape, *shapes])))
        return [", ".join(texts) if len(texts) < 4 else f"{texts[0]} … {texts[-1]}"]

    @staticmethod
    def _slant(box: Box) -> float:
        return 14.0 if box.family in SLANTED else 0.0

    def shape(self, box: Box) -> Shape | None:
        """The shape that leaves a box; none where a frame's calls differ in it."""
        tensor = self.leaving.get(box.key)
        if tensor is None:
            return None
        if self.frame is not None and not self._agreed(tensor.node, tensor.output):
            return None
        return tensor.shape

    def _agreed(self, node: str, output: int) -> bool:
        assert self.frame is not None
        if len(self.frame.nodes) == 1:
            return True
        if node not in self.frame.nodes[0]:
            return False
        place = self.frame.nodes[0].index(node)
        shapes = self.network.shapes
        return len({shapes[nodes[place]][output] for nodes in self.frame.nodes}) == 1
