"""The page of prisms: a row of them, or a scene where paths fork and join."""

from __future__ import annotations

from cnndsl.analysis.costs import total
from cnndsl.figures import font, theme
from cnndsl.figures.caption import about, caption
from cnndsl.figures.heat import Heat
from cnndsl.figures.layout.inking import shifted
from cnndsl.figures.paint import Area, Group, Part, Path, Picture, Point, Text, extent
from cnndsl.figures.palette import role_of
from cnndsl.figures.plan import drawable, plan
from cnndsl.figures.scale.prism import LAW, TIME, Prism, faces, prism, words
from cnndsl.figures.scale.shelf import as_boxes, in_rows
from cnndsl.figures.scale.volumes import Volume, volumes
from cnndsl.figures.telling import Teller
from cnndsl.figures.text import clean, shape_text
from cnndsl.graph import Network
from cnndsl.ops.base import Family

MARGIN, ROW = 18.0, 30.0


def scaled(network: Network, *, detail: str = "stages", metric: str | None = None) -> Picture:
    """The picture of prisms.

    `stages`: one for all that stays at one stride; `blocks`: one for each folded block or
    layer; `full`: the same with nothing folded.
    """
    planned = drawable(plan(network, folding=detail != "full", repeats=False))
    found, scene = volumes(planned, stages=detail == "stages")
    prisms = {key: _prism(volume) for key, volume in found.items()}
    shelf = in_rows(scene, prisms)
    if shelf is None:
        prisms = {key: _prism(volume, short=True) for key, volume in found.items()}
        shelf = as_boxes(network, scene, prisms)
    heat = Heat(network, metric) if metric else None
    if heat:
        heat.spread([volume.nodes for volume in found.values()])
    tell = Teller(network)

    parts, title_width, top = caption(network.name, about(network), MARGIN, MARGIN)
    top += ROW
    for ends, line in shelf.wires.items():
        drawn = Path(tuple((x + MARGIN, y + top) for x, y in line), arrow=True)
        parts.append(Group((drawn,), data=(("from", ends[0]), ("to", ends[1])), kind="edge"))
    for key, (x, y) in shelf.spots.items():
        volume = found[key]
        role = heat.role(volume.nodes) if heat else _role(volume.family)
        parts.append(_group(volume, prisms[key], (x + MARGIN, y + top), role, tell))
    families = list(dict.fromkeys(volume.family for volume in found.values()))
    time = any(len(volume.shape) == 4 for volume in found.values())
    keys = _legend(families, max(shelf.width, title_width, 320), heat, time=time)
    foot = top + shelf.height + ROW
    parts += [shifted(part, MARGIN, foot) for part in keys]
    right, bottom = extent(parts)
    return Picture(
        max(right, shelf.width + MARGIN) + MARGIN,
        bottom + MARGIN,
        parts,
        clean(network.name),
        _words(network, found),
        certificate(network, found),
    )


def _prism(volume: Volume, *, short: bool = False) -> Prism:
    kinds = len(set(volume.said))
    names = [volume.name, *(name for name in volume.outputs if name != volume.name)]
    name = ", ".join(filter(None, names))
    count = volume.count if kinds > 1 else 1
    return prism(volume.shape, name, count, volume.said, short=short)


def certificate(network: Network, found: dict[str, Volume]) -> dict[str, object]:
    """How every node is accounted for, and which stand in each prism."""
    cost = total(network)
    nodes = len(network.wires)
    held = sum(len(volume.nodes) for volume in found.values())
    return {
        "nodes": nodes,
        "drawn": len(found),
        "folded": held - len(found),
        "left_out": nodes - held,
        "parameters": int(cost.parameters),
        "macs": int(cost.macs),
        "prisms": [
            {"shape": list(map(int, volume.shape)), "nodes": volume.nodes}
            for volume in found.values()
        ],
    }


def _role(family: Family | None) -> str:
    """A block has the colour of a convolution, which it is nearly always one of."""
    return role_of(family or Family.CONV)


def _words(network: Network, found: dict[str, Volume]) -> str:
    cost = total(network)
    return (
        f"{len(found)} volumes to scale, of {len(network.wires)} layers, "
        f"{cost.parameters:,} parameters, {cost.macs:,} multiply-adds"
    )


# Parts


def _group(volume: Volume, found: Prism, at: Point, role: str, tell: Teller) -> Group:
    title = volume.name or (volume.said or volume.outputs or [""])[-1]
    said = "; ".join(dict.fromkeys(volume.said))
    facts = [shape_text(volume.shape), said, *tell.facts(volume.nodes)]
    return Group(
        (*faces(found, *at, role), *words(found, *at)),
        title=title,
        desc=" · ".join(fact for fact in facts if fact),
        key=volume.key,
        data=(("count", str(volume.count)), ("layers", str(len(volume.nodes)))),
    )


def _legend(
    families: list[Family | None], width: float, heat: Heat | None, *, time: bool
) -> list[Part]:
    """The law, then the families that are in the picture, or the scale of a metric."""
    law = f"{LAW} {TIME}" if time else LAW
    parts: list[Part] = []
    y = 0.0
    for line in font.lines(law, 9, width):
        y += 12
        parts.append(Text(0, y, line, 9, "grey"))
    y += 12
    if heat:
        return parts + [shifted(part, 0, y) for part in heat.legend(width)]
    x = 0.0
    for family, look in theme.LOOKS.items():
        conv = family is Family.CONV
        if family not in families and not (conv and None in families):
            continue
        name = "convolution, or a block" if conv and None in families else look.name
        wide = font.width(name, 9) + 34
        if x and x + wide > width:
            x, y = 0.0, y + 18
        parts.append(Area(x, y, 14, 11, _role(family), 0, stroke=1))
        parts.append(Text(x + 20, y + 9.5, name, 9, "grey"))
        x += wide
    return parts
