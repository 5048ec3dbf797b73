"""Small plots: bars of text for a terminal, and SVG for a page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from xml.sax.saxutils import escape

BLOCKS = " ▁▂▃▄▅▆▇█"


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


def area(steps: Sequence[tuple[str, int]], title: str) -> str:
    """An SVG of values over steps, each step with its name as a tooltip."""
    width, height, left, top = 800, 240, 56, 28
    most = max((value for _, value in steps), default=0) or 1
    step = (width - left - 8) / max(1, len(steps))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height + 40}"'
        ' font-family="sans-serif" font-size="11">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{width}" height="{height + 40}" fill="white"/>',
        f'<text x="{left}" y="16" font-size="13">{escape(title)}</text>',
    ]
    for part in range(5):
        y = top + height - 40 - (height - 40) * part / 4
        value = most * part / 4 / 2**20
        parts.append(
            f'<line x1="{left}" x2="{width - 8}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
            f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.2f}</text>'
        )
    floor = top + height - 40
    for number, (name, value) in enumerate(steps):
        tall = (height - 40) * value / most
        parts.append(
            f'<rect x="{left + number * step:.2f}" y="{floor - tall:.2f}"'
            f' width="{max(step, 0.5):.2f}" height="{tall:.2f}"'
            f' fill="{"#c44e52" if value == most else "#4c72b0"}">'
            f"<title>{escape(name)}: {value / 2**20:.2f} MiB</title></rect>"
        )
    parts.append(f'<text x="{left}" y="{floor + 18}">{escape(steps[0][0])}</text>')
    end = escape(steps[-1][0])
    parts.append(f'<text x="{width - 8}" y="{floor + 18}" text-anchor="end">{end}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"
