"""Of a tall box over several lanes, each output's size on the line that leaves it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from cnndsl.figures import font
from cnndsl.figures.layout.cards import LABEL
from cnndsl.figures.layout.piece import Piece, Rect, bounds
from cnndsl.figures.paint import Part, Text
from cnndsl.figures.scene import Box, Edge
from cnndsl.figures.text import clean, shape_text
from cnndsl.structure import Tensor

CLEAR = 3.0
"""From the words on a line to the box that it leaves, and to what comes next."""
OVER, UNDER = 3.0, 9.5
"""From a line to the baseline of the words over it, and of those under it."""
RAILED = 24.0
"""From the last column of the lanes to the first rail beside them."""


@dataclass(frozen=True, slots=True)
class Sized:
    """What stands on a line: the size over it; or the output's name, and the size under it."""

    name: str = ""
    size: str = ""

    @property
    def width(self) -> float:
        """The width of the longer word, with the space around it."""
        name = font.width(self.name, LABEL, bold=True)
        return max(name, font.width(self.size, LABEL)) + 2 * CLEAR

    def texts(self, x: float, y: float) -> list[Text]:
        """The words on a line at `y`, around `x`."""
        size = Text(x, y - OVER, self.size, LABEL, "grey", anchor="middle")
        if not self.name:
            return [size] if self.size else []
        name = replace(size, text=self.name, bold=True)
        return [name, replace(size, y=y + UNDER)]


@dataclass(slots=True)
class Seen:
    """Lanes in which a line leads to the `right`, and those that are `told` at its end."""

    right: set[int] = field(default_factory=set)
    told: set[int] = field(default_factory=set)


def sized(
    box: Box, edges: list[Edge], over: tuple[int, ...], lanes: Mapping[str, int], seen: Seen
) -> dict[int, Sized]:
    """What is said on the line of each lane that a tall box stands `over`.

    Empty where the box says it instead: some lane has two maps, or no line to the right.
    """
    found: dict[int, Sized] = {}
    given: dict[int, Tensor] = {}
    calls = box.frame.calls if box.frame else []
    names = {
        (tensor.node, tensor.output): name
        for call in calls
        for name, tensor in call.block.outputs.items()
        if "[" not in name
    }
    for edge in edges:
        for tensor in edge.tensors:
            if len(tensor.shape) < 3:
                continue
            lane = lanes.get(tensor.node, over[-1])
            if given.setdefault(lane, tensor) != tensor or lane not in seen.right | seen.told:
                return {}
            name = names.get((tensor.node, tensor.output), "")
            found[lane] = Sized(clean(name), shape_text(tensor.shape))
    named = {one.name for one in found.values() if one.name}
    if len(named) < len(found):
        found = {lane: replace(one, name="") for lane, one in found.items()}
    return found | {lane: Sized() for lane in found.keys() & seen.told}


def texts(piece: Piece, said: Mapping[int, Sized], heights: Mapping[int, float]) -> list[Text]:
    """The words on the lines of a tall box, right beside it."""
    side = bounds(piece.spots[0])[2]
    x = side + max(one.width for one in said.values()) / 2
    return [text for lane, one in said.items() for text in one.texts(x, heights[lane])]


def spread(
    leaves: dict[str, Piece],
    said: Mapping[str, Mapping[int, Sized]],
    gap: float,
    *,
    lapped: bool,
) -> dict[str, Piece]:
    """Tall boxes with room for the words on their lines.

    If `lapped`, the label of a circle reaches into the gap before it, over its line.
    """
    found = {}
    for key, piece in leaves.items():
        spot = piece.spots[0]
        found[key] = _roomy(piece, said[key], gap) if key in said else piece
        if lapped and len(piece.spots) == 1 and spot.round and spot.words:
            left = max(piece.left - gap + CLEAR, spot.width / 2)
            found[key] = replace(piece, left=left)
    return found


def _roomy(piece: Piece, said: Mapping[int, Sized], gap: float) -> Piece:
    """A tall box with as much more room beside it as its words need over a gap."""
    wide = max(one.width for one in said.values())
    return replace(piece, right=piece.right + max(wide - min(gap, RAILED), 0.0))


def words_of(words: Iterable[Part]) -> list[Rect]:
    """Left, top, right and bottom of words."""
    found = []
    for text in words:
        if isinstance(text, Text):
            half = font.width(text.text, text.size, bold=text.bold) / 2
            top = text.y - 0.72 * text.size
            found.append((text.x - half, top, text.x + half, text.y + 1))
    return found
