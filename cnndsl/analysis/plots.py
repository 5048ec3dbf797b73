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
STYLE = """
svg { background: #fff; color: #222; font: 11px system-ui, sans-serif }
text { fill: currentColor } .title { font-size: 13px; font-weight: 600 }
.note { opacity: .7 } .grid { stroke: currentColor; opacity: .15 }
.plain { fill: #4c72b0 } .mark { fill: #c44e52 } .roof { fill: none; stroke: currentColor }
.spot { fill-opacity: .6 }
@media (prefers-color-scheme: dark) {
  svg { background: #16181d; color: #e6e6e6 }
  .plain { fill: #7ea6e0 } .mark { fill: #e8787c }
}
"""


def _page(title: str, note: str, parts: Sequence[str]) -> str:
    """An SVG with a title and a note under it."""
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"'
            f' role="img">',
            f"<title>{escape(title)}</title>",
            f"<style>{STYLE}</style>",
            f'<text class="title" x="{LEFT}" y="18">{escape(title)}</text>',
            f'<text class="note" x="{LEFT}" y="33">{escape(note)}</text>',
            *parts,
            "</svg>\n",
        ]
    )


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="grid" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """From values to places on the page."""
    return lambda value: start + (value - low) / (high - low) * (end - start)


def timeline_svg(steps: Sequence[tuple[str, int]], title: str) -> str:
    """Bytes over steps as columns, each with its name as a tooltip, the highest marked."""
    most = max((value for _, value in steps), default=0) or 1
    x = _scale(0, max(1, len(steps)), LEFT, WIDTH - RIGHT)
    y = _scale(0, most, HEIGHT - BOTTOM, TOP)
    parts = []
    for quarter in range(5):
        value = most * quarter / 4
        parts.append(_rule(LEFT, y(value), WIDTH - RIGHT, y(value)))
        parts.append(_text(LEFT - 6, y(value) + 4, f"{value / 2**20:.2f}", "end"))
    for number, (name, value) in enumerate(steps):
        kind = "mark" if value == most else "plain"
        parts.append(
            f'<rect class="{kind}" x="{x(number):.2f}" y="{y(value):.2f}"'
            f' width="{max(x(1) - x(0), 0.5):.2f}" height="{y(0) - y(value):.2f}">'
            f"<title>{escape(name)}: {value / 2**20:.2f} MiB</title></rect>"
        )
    if steps:
        parts.append(_text(LEFT, HEIGHT - BOTTOM + 16, steps[0][0]))
        parts.append(_text(WIDTH - RIGHT, HEIGHT - BOTTOM + 16, steps[-1][0], "end"))
    at = next((name for name, value in steps if value == most), "")
    return _page(title, f"MiB while each node runs, most at {at}", parts)


def roofline_svg(roof: Roof, title: str, note: str, named: int = 4) -> str:
    """The roof and the layers under it; a spot's area is its part of the time.

    The `named` slowest are numbered and told; the others say their names as tooltips.
    """
    if not roof.spots:
        return _page(title, "nothing computes", [])
    (left, right), (bottom, peak) = roof.across, roof.up
    x = _scale(left, right, LEFT, WIDTH - RIGHT)
    y = _scale(bottom, peak + 0.2, HEIGHT - BOTTOM, TOP)
    parts = []
    for power in range(math.ceil(left), math.floor(right) + 1):
        parts.append(_rule(x(power), TOP, x(power), HEIGHT - BOTTOM))
        parts.append(_text(x(power), HEIGHT - BOTTOM + 14, f"{10.0**power:g}", "middle"))
    for power in range(math.ceil(bottom), math.floor(peak) + 1):
        parts.append(_rule(LEFT, y(power), WIDTH - RIGHT, y(power)))
        parts.append(_text(LEFT - 6, y(power) + 4, _speed(10.0**power), "end"))
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(_text(middle, HEIGHT - 10, "FLOP a byte moved", "middle"))
    ridge = math.log10(roof.peak / roof.bandwidth)
    corners = sorted({max(left, bottom - math.log10(roof.bandwidth)), max(left, ridge), right})
    path = " ".join(f"{x(c):.1f},{y(math.log10(roof.at(10**c))):.1f}" for c in corners)
    parts.append(f'<polyline class="roof" points="{path}"/>')
    slowest = sorted(roof.spots, key=lambda spot: -spot.share)
    for spot in slowest:
        place = x(math.log10(spot.intensity)), y(math.log10(spot.speed))
        kind = "mark" if spot.bound else "plain"
        parts.append(
            f'<circle class="spot {kind}" cx="{place[0]:.1f}" cy="{place[1]:.1f}"'
            f' r="{2.5 + 24 * math.sqrt(spot.share):.1f}"><title>{escape(spot.name)}:'
            f" {spot.intensity:.1f} FLOP/byte, {100 * spot.share:.1f} % of the time,"
            f" limited by {'memory' if spot.bound else 'compute'}</title></circle>"
        )
    numbers: dict[tuple[int, int], list[str]] = {}
    for number, spot in enumerate(slowest[:named], 1):
        px, py = x(math.log10(spot.intensity)), y(math.log10(spot.speed))
        numbers.setdefault((round(px / 16), round(py / 16)), []).append(str(number))
        # Under the roof's flat end nothing can stand.
        told = f"{number}  {spot.name}, {100 * spot.share:.1f} %"
        parts.append(
            _text(WIDTH - RIGHT, (TOP + HEIGHT - BOTTOM) / 2 + 15 * number, told, "end")
        )
    for (px, py), found in numbers.items():
        parts.append(_text(16 * px, 16 * py - 10, ", ".join(found), "middle"))
    return _page(title, note, parts)


def _speed(speed: float) -> str:
    """`10 TF/s`."""
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6)):
        if speed >= size:
            return f"{speed / size:g} {unit}F/s"
    return f"{speed:g} F/s"
