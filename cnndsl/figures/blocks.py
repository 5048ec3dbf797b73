"""The figure in the style of papers: the project's own layout, as a picture to paint."""

from __future__ import annotations

from cnndsl.figures.layout.page import page, picture
from cnndsl.figures.paint import Picture
from cnndsl.figures.plan import plan
from cnndsl.figures.recolour import recoloured
from cnndsl.graph import Network

DETAILS = ("stages", "blocks", "full")


def blocks(
    network: Network,
    *,
    detail: str = "blocks",
    opened: tuple[str, ...] = (),
    metric: str | None = None,
) -> Picture:
    """The picture of a network.

    `stages` shows folded blocks closed, but for those in `opened`; `blocks` opens each
    once in an inset; `full` draws every block where it stands. `metric` colours by cost.
    """
    planned = plan(network, folding=False if detail == "full" else None)
    found = page(planned, insets=detail != "stages", opened=opened)
    if metric is None:
        return picture(found)
    said, role, legend = recoloured(planned, metric)
    return picture(found, said=said, role=role, legend=legend)
