"""An opened block in each of its layouts, and which of them may stand together."""

from __future__ import annotations

from collections.abc import Iterator

from cnndsl.figures.layout.cards import LEVELS, TYPES, Way
from cnndsl.figures.layout.panel import WHOLE, Panel
from cnndsl.figures.layout.scene import planar
from cnndsl.figures.layout.wrapping import Cut
from cnndsl.figures.scene import Frame, Plan
from cnndsl.figures.values import Table

TURNED = 20.0
"""The sides of a picture that runs to the right, where its rows return."""


def in_ways(
    plan: Plan, frame: Frame, table: Table | None, narrow: int, room: tuple[float, float]
) -> list[Panel]:
    """An opened block downwards, and to the right; on lanes, in columns, and flat."""
    scene = frame.scene
    assert scene is not None

    def panel(way: Way, cut: Cut = WHOLE) -> Panel:
        return Panel.of(plan, scene, frame, table, way, cut)

    down = panel(Way(narrow, drawn=False), Cut(0.8 * room[1]))
    if down.piece.fans:
        return [down, down]
    if down.piece.laned and planar(plan.network, scene):
        return [down, panel(Way(narrow, flat=True, drawn=False))]
    # Where narrower boxes with text as large stand in one row, it is not broken.
    alike = [n for n in range(narrow, LEVELS) if TYPES[n] == TYPES[narrow]]
    rows = (panel(Way(less, turning=True, drawn=False)) for less in alike)
    turned = next((row for row in rows if row.width <= room[0]), None)
    if turned is None:
        broken = Cut(room[0] - 2 * down.pad - TURNED)
        turned = panel(Way(narrow, turning=True, drawn=False), broken)
    found = [down, turned]
    if down.piece.folds:
        # In one column where the page is high enough.
        whole = panel(Way(narrow, drawn=False))
        found += [whole] if whole.height <= room[1] else []
    return found


def together(ways: list[list[Panel]], beside: float) -> Iterator[list[Panel]]:
    """The insets all downwards, all to the right, or each as it stands beside or lies low."""
    if not ways:
        yield []
        return
    for turned in (0, 1):
        yield [panels[turned] for panels in ways]
    narrowest = [min(panels, key=lambda panel: panel.width) for panels in ways]
    yield narrowest
    yield [
        min(panels, key=lambda panel: (panel.width > beside, panel.height)) for panels in ways
    ]
    yield [min(panels, key=lambda panel: panel.height) for panels in ways]


def branched(panels: list[Panel]) -> bool:
    """Whether columns of a block's table stand under its branches in one of its layouts."""
    return any(bool(panel.table and panel.table.rights) for panel in panels)
