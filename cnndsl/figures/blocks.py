"""The figure in the style of papers: the project's own layout, as a picture to paint."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from cnndsl.diagnostics import ArchError, Diagnostic, did_you_mean, listing
from cnndsl.figures.heat import Heat
from cnndsl.figures.layout.page import Page, page
from cnndsl.figures.layout.picture import picture
from cnndsl.figures.paint import Group, Part, Picture
from cnndsl.figures.plan import drawable, plan, variants_of
from cnndsl.figures.scene import Box, Plan
from cnndsl.figures.telling import Teller
from cnndsl.figures.text import clean
from cnndsl.figures.variants import Variants
from cnndsl.figures.walk import calls_of
from cnndsl.graph import Network


def blocks(
    network: Network,
    *,
    detail: str = "blocks",
    opened: tuple[str, ...] = (),
    metric: str | None = None,
    widest: float = 0.0,
    tallest: float = 0.0,
    direction: str | None = None,
    captioned: bool = True,
) -> Picture:
    """The picture of a network.

    `stages` shows folded blocks closed, but for those in `opened`; `blocks` opens each
    once in an inset; `full` draws every block where it stands. `metric` colours by cost.
    `widest` and `tallest` are the sides in pixels to keep to. Without them, blocks are
    closed to keep to a page, but for those in `opened`; what no page holds is larger.
    `direction` is that of the main picture, `down` or `right`. What is `captioned` says
    its name, its sources and its costs at the foot.
    """
    found = arranged(
        network,
        detail=detail,
        opened=opened,
        widest=widest,
        tallest=tallest,
        direction=direction,
    )
    return drawn(network, found, metric=metric, wide=bool(widest), captioned=captioned)


def drawn(
    network: Network,
    found: Page,
    *,
    metric: str | None = None,
    wide: bool = False,
    captioned: bool = True,
) -> Picture:
    """The picture of a page of a network; a legend is as wide as one that is `wide`."""
    planned = found.plan
    tell = Teller(network)

    several = {
        box.key
        for frame in planned.frames
        if frame.scene and len(frame.calls) > 1
        for box in frame.scene.boxes()
    }

    def said(box: Box) -> str:
        first = ["of its first call"] if box.key in several else []
        return " · ".join([*first, *tell.facts(box.nodes)])

    if metric is None:
        made = picture(found, said=said, captioned=captioned)
        made.parts, made.closed = _asked(made.parts, planned, tell), found.shut
        return made
    heat = Heat(network, metric)
    scenes = [planned.main, *(frame.scene for frame in planned.frames if frame.scene)]
    heat.spread([box.nodes for scene in scenes for box in scene.boxes()])
    legend = heat.legend(
        found.width if wide else max(found.width, 320), insets=bool(found.insets)
    )
    made = picture(
        found,
        said=lambda box: (
            f"{heat.said(box.nodes)} · {said(box)}" if metric == "memory" else said(box)
        ),
        role=lambda box: heat.role(box.nodes),
        legend=legend,
        captioned=captioned,
    )
    made.parts = [
        heat.inked(part) if isinstance(part, Group) and part.kind == "node" else part
        for part in made.parts
    ]
    made.parts, made.closed = _asked(made.parts, planned, tell), found.shut
    return made


def _asked(parts: list[Part], planned: Plan, tell: Teller) -> list[Part]:
    """The parts of a picture, each box with all its attributes."""
    scenes = [planned.main, *(frame.scene for frame in planned.frames if frame.scene)]
    known = {box.key: box for scene in scenes for box in scene.boxes()}

    def asked(part: Part) -> Part:
        if not isinstance(part, Group):
            return part
        if part.kind == "node" and part.key in known:
            return replace(part, facts=tuple(map(clean, tell.attributes(known[part.key]))))
        return replace(part, children=tuple(map(asked, part.children)))

    return [asked(part) for part in parts]


def arranged(
    network: Network,
    *,
    detail: str = "blocks",
    opened: tuple[str, ...] = (),
    widest: float = 0.0,
    tallest: float = 0.0,
    direction: str | None = None,
) -> Page:
    """The page of that picture, of the plan that it shows most of.

    Raises ArchError (E611): an unknown block in `opened`.
    """
    given = widest > 0 or tallest > 0

    def paged(planned: Plan, *, closing: bool = True) -> Page:
        return page(
            drawable(planned),
            insets=detail != "stages",
            opened=opened,
            widest=widest,
            tallest=tallest,
            direction=direction,
            closing=closing and detail != "full",
        )

    variants = variants_of(network)
    planned = plan(network, folding=False if detail == "full" else None, variants=variants)
    _named(network, planned, opened)
    found, first = paged(planned), planned
    if detail != "full" and (found.over > 0 or found.closed):
        for tighter in _tighter(network, planned, variants, fits=not found.over):
            found = min(found, paged(tighter), key=_bad)
            if not found.over:
                break
    if detail != "full" and not given and _misses(found, opened):
        found = paged(first, closing=False)
    return found


def _tighter(
    network: Network, planned: Plan, variants: Variants, *, fits: bool
) -> Iterator[Plan]:
    """Plans in which blocks that are called once are closed too.

    Where one fits already, backbones and necks are not; else all but one of them come first.
    """

    def closed(pyramids: tuple[str, ...] | None) -> Plan:
        return plan(network, closed=True, pyramids=pyramids, variants=variants)

    every = closed(None)
    if len(every.frames) > len(planned.frames):
        yield every
    if fits:
        return
    least = closed(())
    shown = {frame.name for frame in every.frames}
    pyramids = [frame.name for frame in least.frames if frame.name not in shown]
    if len(pyramids) > 1:
        yield from (closed((name,)) for name in reversed(pyramids))
    if len(least.frames) > max(len(every.frames), len(planned.frames)):
        yield least


def _misses(found: Page, opened: tuple[str, ...]) -> bool:
    """Whether it is larger than a page, or a block is not opened that is asked for."""
    return found.over > 0 or not set(opened).isdisjoint(found.shut)


def _named(network: Network, planned: Plan, opened: tuple[str, ...]) -> None:
    """Raises ArchError (E611): a block to open that the network does not have."""
    known = {call.block.definition.name for call in calls_of(network.structure.body)}
    known |= {frame.name for frame in planned.frames}
    for name in opened:
        if name not in known:
            some = f"there are {listing(sorted(known))}" if known else "there are no blocks"
            help = did_you_mean(name, known) or some
            raise ArchError([Diagnostic("E611", f"unknown block to open `{name}`", help=help)])


def _bad(found: Page) -> tuple[float, ...]:
    """What fits and shows the most is best; of what is too large, what crosses least."""
    if not found.over:
        return (0, found.lost, -found.boxes)
    return (1, found.crossings, found.over)
