"""Stride lanes behind the main picture: a faint band each, and `1/8` in the gutter."""

from __future__ import annotations

from dataclasses import dataclass

from cnndsl.figures.layout.piece import Piece, Spot
from cnndsl.figures.layout.strides import kept, strides
from cnndsl.figures.scene import Scene
from cnndsl.graph import Network


@dataclass(frozen=True, slots=True)
class Band:
    """A lane's place, from the piece's axis and top; every second one is tinted.

    One that is `aside` runs down: its name stands in its upper right corner.
    """

    left: float
    right: float
    top: float
    bottom: float
    text: str
    tinted: bool
    aside: bool = False

    def cornered(self, piece: Piece) -> bool:
        """Whether its upper right corner is free for its name."""
        left, foot = self.right - 28, self.top + 12
        return not any(
            s.right > left and s.top - 10 < foot < s.bottom + 12 for s in piece.spots
        )

    def turned(self, axis: float) -> Band:
        """The band of a picture that runs to the right, whose axis is so far down."""
        top, bottom = axis + self.left - WORDS, axis + self.right
        return Band(self.top + SEAM, self.bottom - SEAM, top, bottom, self.text, True, True)


WORDS, SEAM, EDGE = 6.0, 1.5, 12.0
"""Room for a name in a band's corner, half of what parts two bands, and beside a box."""


def bands(network: Network, scene: Scene, piece: Piece) -> list[Band]:
    """The lanes of a placed scene, where each row stands in one lane."""
    lanes = strides(network, scene)
    if piece.laned:
        found_in = kept(lanes, scene).items()
        lanes = {key: lane for key, lane in found_in if key not in piece.between}
    found: list[Band] = []
    for left, right, spots in columns(piece):
        runs = [(n, *sides) for n, sides in piece.lanes.items()] or _runs(spots, lanes)
        for n, (lane, top, bottom) in enumerate(runs):
            above = (runs[n - 1][2] + top) / 2 if n else top - EDGE
            below = (bottom + runs[n + 1][1]) / 2 if n + 1 < len(runs) else bottom + EDGE
            text = f"1/{2**lane}" if lane >= 0 else f"{2**-lane}×"
            found.append(Band(left, right, above, below, text, len(found) % 2 == 0))
    return found


def columns(piece: Piece) -> list[tuple[float, float, list[Spot]]]:
    """The columns of a wrapped tower, or the whole piece: left, right, and what is there."""
    if not piece.folds:
        return [(-piece.left, piece.right, piece.spots)]
    found = []
    for left, right in piece.folds:
        found.append((left, right, [s for s in piece.spots if left <= s.x < right]))
    return found


def _runs(spots: list[Spot], lanes: dict[str, int]) -> list[tuple[int, float, float]]:
    """Lanes from the top, each with its upper and lower side; none where they overlap."""
    runs: list[tuple[int, float, float]] = []
    for spot in sorted(spots, key=lambda s: (s.top, s.bottom)):
        lane = lanes.get(spot.box.key)
        if lane is None:
            continue
        if runs and runs[-1][0] == lane:
            runs[-1] = (lane, runs[-1][1], max(runs[-1][2], spot.bottom))
        elif runs and spot.top < runs[-1][2] - 0.5:
            return []
        else:
            runs.append((lane, spot.top, spot.bottom))
    return runs
