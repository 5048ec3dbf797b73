"""Pictures of networks, drawn by Graphviz.

`plan` decides what is shown: boxes, clusters, folded repeats, opened blocks. `lanes` finds
the rows of pyramids and U-Nets, `dot` writes the source, `render` runs an engine.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from cnndsl.figures import render
from cnndsl.figures.dot import dot
from cnndsl.figures.plan import plan
from cnndsl.graph import Network

__all__ = ["dot", "draw", "picture", "plan"]


def draw(
    network: Network,
    path: str | PathLike[str],
    *,
    format: str | None = None,
    engine: str | None = None,
) -> None:
    """Write the picture of a network: svg, png, pdf or dot, by the suffix of the path.

    The file is replaced whole or not at all. `engine` is `dot` (the system's) or
    `pygraphviz` (Graphviz inside its wheel); by default the first that is there.
    Raises ArchError: an unknown format, or no Graphviz here. OSError: it cannot be written.
    """
    target = Path(path)
    render.write(target, picture(network, render.format_of(target, format), engine=engine))


def picture(network: Network, format: str = "svg", *, engine: str | None = None) -> bytes:
    """The picture's bytes.  Raises ArchError."""
    return render.render(dot(network), format, engine)
