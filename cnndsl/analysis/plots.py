"""Small plots: text for a terminal, SVG for a page; of values in order, and of a roofline."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

BLOCKS = " ▁▂▃▄▅▆▇█"


# Text


def bars(values: Sequence[int], top: str, width: int = 72, height: int = 6) -> str:
    """Values from left to right as columns; several values share one, which shows the most."""
    if not values or not max(values):
        return ""
    step = max(1, math.ceil(len(values) / width))
    columns = [max(values[i : i + step]) for i in range(0, len(values), step)]
    whole = max(columns)
    lines = []
    for row in range(height, 0, -1):
        cells = [_cell(value * height / whole - (row - 1)) for value in columns]
        label = top if row == height else "0" if row == 1 else ""
        lines.append(f"{label:>10} │{''.join(cells)}".rstrip())
    return "\n".join([*lines, f"{'':>10} └{'─' * len(columns)}"])


def _cell(part: float) -> str:
    return BLOCKS[max(0, min(8, math.ceil(part * 8)))]


@dataclass(frozen=True, slots=True)
class Spot:
    """A layer on a roofline: what it computes a byte, what it reaches, and its part of all."""

    name: str
    intensity: float
    """FLOP/byte."""
    speed: float
    """FLOP/s."""
    share: float
    """Of the time of all layers, 0 to 1."""
    bound: bool
    """Memory is what limits it."""


@dataclass(frozen=True, slots=True)
class Roof:
    """What a device can do, and the layers under it; both axes of a plot are logarithmic."""

    spots: tuple[Spot, ...]
    peak: float
    """FLOP/s."""
    bandwidth: float
    """Bytes/s."""

    def at(self, intensity: float) -> float:
        """The most FLOP/s that can be reached."""
        return min(self.peak, intensity * self.bandwidth)

    @property
    def across(self) -> tuple[float, float]:
        """The ends of the axis of intensities, as powers of ten: all spots and the ridge."""
        found = [math.log10(spot.intensity) for spot in self.spots]
        ridge = math.log10(self.peak / self.bandwidth)
        return min(found) - 0.2, max(*found, ridge) + 0.5

    @property
    def up(self) -> tuple[float, float]:
        """The ends of the axis of speeds, as powers of ten."""
        return min(math.log10(s.speed) for s in self.spots) - 0.3, math.log10(self.peak)


def roofline_text(roof: Roof, top: str, width: int = 64, height: int = 12) -> str:
    """The roof and the layers under it; a digit is that many, `#` ten or more."""
    if not roof.spots:
        return "nothing computes"
    (left, right), (bottom, peak) = roof.across, roof.up
    grid = [[" "] * width for _ in range(height)]

    def cell(x: float, y: float) -> tuple[int, int]:
        column = int((x - left) / (right - left) * (width - 1))
        row = int((peak - y) / (peak - bottom) * (height - 1))
        return min(max(row, 0), height - 1), min(max(column, 0), width - 1)

    for column in range(width):
        x = left + (right - left) * column / (width - 1)
        y = math.log10(roof.at(10**x))
        if y >= bottom:
            grid[cell(x, y)[0]][column] = "─" if y == peak else "╱"
    crowd: dict[tuple[int, int], int] = {}
    for spot in roof.spots:
        place = cell(math.log10(spot.intensity), math.log10(spot.speed))
        crowd[place] = crowd.get(place, 0) + 1
    for (row, column), count in crowd.items():
        grid[row][column] = str(count) if count < 10 else "#"
    labels = [top, *[""] * (height - 1)]
    body = [f"{n:>10} │{''.join(c)}".rstrip() for n, c in zip(labels, grid, strict=True)]
    foot = f"{'':>12}{10**left:<.3g}{'FLOP/byte':^{width - 12}}{10**right:.3g}"
    return "\n".join([*body, f"{'':>10} └{'─' * width}", foot])


# SVG

WIDTH, HEIGHT = 800, 280
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 44, 44
LETTER, ROW = 5.7, 13.0
"""Pixels: about the width of a letter, and the height of a line."""
STYLE = """
svg { color: #222; font: 11px system-ui, sans-serif }
text { fill: currentColor } .title { font-size: 13px; font-weight: 600 }
.page { fill: #fff } .note { opacity: .7 } .grid { stroke: currentColor; opacity: .15 }
.plain { fill: #4c72b0 } .mark { fill: #c44e52 } .roof { fill: none; stroke: currentColor }
.spot { fill-opacity: .6 } .lead { stroke: currentColor; opacity: .5; stroke-width: .7 }
@media (prefers-color-scheme: dark) {
  svg { color: #e6e6e6 } .page { fill: #16181d }
  .plain { fill: #7ea6e0 } .mark { fill: #e8787c }
}
"""
Box = tuple[float, float, float, float]
"""Left, top, right and bottom."""


def _page(title: str, note: str, parts: Sequence[str], height: float = HEIGHT) -> str:
    """An SVG with a title and a note under it."""
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}"'
            f' role="img">',
            f"<title>{escape(title)}</title>",
            f"<style>{STYLE}</style>",
            '<rect class="page" width="100%" height="100%" fill="#fff"/>',
            f'<text class="title" x="{LEFT}" y="18">{escape(title)}</text>',
            f'<text class="note" x="{LEFT}" y="33">{escape(note)}</text>',
            *parts,
            "</svg>\n",
        ]
    )


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _rule(x1: float, y1: float, x2: float, y2: float, kind: str = "grid") -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """From values to places on the page."""
    return lambda value: start + (value - low) / (high - low) * (end - start)


def ticks(most: float, count: int = 5) -> list[float]:
    """Round values from 0 to at least the greatest, in steps of 1, 2, 2.5 or 5 × 10ⁿ."""
    power = 10.0 ** math.floor(math.log10(most / count))
    step = next(f * power for f in (1, 2, 2.5, 5, 10) if f * power * count >= most)
    return [step * number for number in range(math.ceil(most / step - 1e-9) + 1)]


def timeline_svg(steps: Sequence[tuple[str, int]], title: str, named: int = 5) -> str:
    """Bytes over steps as columns, each with its name as a tooltip; peaks are named below."""
    most = max((value for _, value in steps), default=0) or 1
    size, unit = next(
        (n, u) for n, u in ((2**20, "MiB"), (2**10, "KiB"), (1, "B")) if most >= n
    )
    levels = ticks(most / size)
    x = _scale(0, max(1, len(steps)), LEFT, WIDTH - RIGHT)
    y = _scale(0, levels[-1], HEIGHT - BOTTOM, TOP)
    parts = []
    for level in levels:
        parts.append(_rule(LEFT, y(level), WIDTH - RIGHT, y(level)))
        parts.append(_text(LEFT - 6, y(level) + 4, f"{level:g}", "end"))
    for number, (name, value) in enumerate(steps):
        kind = "mark" if value == most else "plain"
        high = y(value / size)
        parts.append(
            f'<rect class="{kind}" x="{x(number):.2f}" y="{high:.2f}"'
            f' width="{max(x(1) - x(0), 0.5):.2f}" height="{y(0) - high:.2f}">'
            f"<title>{escape(name)}: {value / 2**20:.2f} MiB</title></rect>"
        )
    taken: list[Box] = []
    foot = HEIGHT - BOTTOM + 14.0
    # From the right, each beside its own line: no word stands on another's line.
    for number in sorted(peaks([value for _, value in steps])[:named], reverse=True):
        label = _label(steps[number][0], x(number + 0.5), HEIGHT - BOTTOM, taken)
        parts += label.drawn
        foot = max(foot, label.foot)
    note = f"{unit} while each node runs; the highest are named, each with its first node"
    return _page(title, note, parts, foot + 16)


@dataclass(frozen=True, slots=True)
class Label:
    """A word with a line to what it names, and how far down it reaches."""

    drawn: list[str]
    foot: float


def _label(words: str, x: float, y: float, taken: list[Box]) -> Label:
    """Under a place, at the right of its line where there is room, in the first free row."""
    wide = LETTER * len(words)
    begin = x + 3 if x + 3 + wide <= WIDTH - 2 else x - 3 - wide
    row = 0

    def boxes() -> list[Box]:
        top = y + 4 + ROW * row
        return [
            (begin - 2, top, begin + wide + 2, top + ROW - 1),
            (x - 1, y, x + 1, top + ROW - 3),
        ]

    while any(_meet(boxes()[0], other) for other in taken):
        row += 1
    word, line = boxes()
    taken += [word, line]
    drawn = [_rule(x, y, x, line[3], "lead"), _text(begin, word[3] - 2, words)]
    return Label(drawn, word[3])


def peaks(values: Sequence[int]) -> list[int]:
    """The local maxima, the highest first; of a plateau, where it begins."""
    found = []
    for number, value in enumerate(values):
        before = values[number - 1] if number else 0
        after = next((other for other in values[number:] if other != value), 0)
        if value > before and value > after:
            found.append(number)
    return sorted(found, key=lambda number: -values[number])


def _meet(one: Box, two: Box) -> bool:
    return one[0] < two[2] and two[0] < one[2] and one[1] < two[3] and two[1] < one[3]


def roofline_svg(roof: Roof, title: str, note: str, named: int = 8) -> str:
    """The roof and what stands under it; a spot's area is its part of the time.

    The `named` slowest have their names below them; the others say theirs as tooltips.
    """
    if not roof.spots:
        return _page(title, "nothing computes", [])
    (left, right), (bottom, peak) = roof.across, roof.up
    x = _scale(left, right, LEFT, WIDTH - RIGHT)
    y = _scale(bottom, peak + 0.2, HEIGHT - BOTTOM, TOP)
    ridge = math.log10(roof.peak / roof.bandwidth)
    corners = sorted({max(left, bottom - math.log10(roof.bandwidth)), max(left, ridge), right})
    path = " ".join(f"{x(c):.1f},{y(math.log10(roof.at(10**c))):.1f}" for c in corners)
    spots: list[str] = [f'<polyline class="roof" points="{path}"/>']
    slowest = sorted(roof.spots, key=lambda spot: -spot.share)
    places = {
        spot: (x(math.log10(spot.intensity)), y(math.log10(spot.speed)), _radius(spot))
        for spot in slowest
    }
    taken = [(px - r, py - r, px + r, py + r) for px, py, r in places.values()]
    for spot, (px, py, r) in places.items():
        kind = "mark" if spot.bound else "plain"
        spots.append(
            f'<circle class="spot {kind}" cx="{px:.1f}" cy="{py:.1f}" r="{r:.1f}">'
            f"<title>{escape(spot.name)}: {spot.intensity:.1f} FLOP/byte,"
            f" {100 * spot.share:.1f} % of the time,"
            f" limited by {'memory' if spot.bound else 'compute'}</title></circle>"
        )
    foot: float = HEIGHT - BOTTOM
    for spot in sorted(slowest[:named], key=lambda spot: places[spot], reverse=True):
        px, py, r = places[spot]
        label = _label(f"{spot.name}, {100 * spot.share:.1f} %", px, py + r, taken)
        spots += label.drawn
        foot = max(foot, label.foot + 4)
    parts = []
    for power in range(math.ceil(left), math.floor(right) + 1):
        parts.append(_rule(x(power), TOP, x(power), foot))
        parts.append(_text(x(power), foot + 14, f"{10.0**power:g}", "middle"))
    for power in range(math.ceil(bottom), math.floor(peak) + 1):
        parts.append(_rule(LEFT, y(power), WIDTH - RIGHT, y(power)))
        parts.append(_text(LEFT - 6, y(power) + 4, _speed(10.0**power), "end"))
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(_text(middle, foot + 34, "FLOP a byte moved", "middle"))
    return _page(title, note, [*parts, *spots], foot + BOTTOM)


def _radius(spot: Spot) -> float:
    return 2.5 + 24 * math.sqrt(spot.share)


def _speed(speed: float) -> str:
    """`10 TF/s`."""
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6)):
        if speed >= size:
            return f"{speed / size:g} {unit}F/s"
    return f"{speed:g} F/s"
