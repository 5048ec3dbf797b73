"""The page of volumes: stages in rows, or below each other where paths fork and join."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

from cnndsl.analysis.costs import total
from cnndsl.figures import font, theme
from cnndsl.figures.caption import about, caption, heading
from cnndsl.figures.heat import Heat
from cnndsl.figures.paint import (
    Group,
    Part,
    Path,
    Picture,
    Point,
    Polygon,
    Text,
    extent,
    shifted,
)
from cnndsl.figures.palette import role_of
from cnndsl.figures.plan import drawable, plan
from cnndsl.figures.scale.paths import in_order, longest
from cnndsl.figures.scale.shelf import (
    Shelf,
    Stages,
    apart,
    broken,
    hanging,
    hung,
    in_rows,
)
from cnndsl.figures.scale.slabs import Slab
from cnndsl.figures.scale.solid import ANGLE, BAND, TALLEST, UNIT, Law, faces
from cnndsl.figures.scale.stage import LINE, NAME, SMALL, Placed, Stage, stage
from cnndsl.figures.scale.volumes import Volume, volumes
from cnndsl.figures.scene import Scene
from cnndsl.figures.telling import Teller
from cnndsl.figures.text import clean, shape_text
from cnndsl.graph import Network
from cnndsl.ops.facts import Family

MARGIN, OVER = 10.0, 14.0
"""Around all, and over what stands at the foot."""
PAGE = (657.0, 868.0)
"""Pixels: 174 by 230 mm, where the smallest text is 6 pt."""
SCALES = tuple(0.94**n for n in range(38))
LOW = -0.26
"""How low on its plane a kernel is drawn: below the arrow."""
SEEN = 4.5
"""Pixels: the least height of a kernel that is drawn."""
FEW = 0.5
"""A row is broken rather than drawn at less than so much."""
SIGNS = {Family.ADD, Family.MATMUL}
"""Families that the colour alone tells."""
SAID = {Family.POOL, Family.ACTIVATION}
"""Families whose words stand in the legend where all share them and they are short."""
LONGEST = 190.0
LONG, SHORT, MANY = 84.0, 58.0, 14
"""The longest line of words under a stage, and under one of many."""
HANGING = 20
"""What hangs below is drawn at one of so many scales, or in rows."""
TIME = "Time is given in numbers, not drawn."


Photo = tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Look:
    """How the volumes are drawn: the page in pixels; a fixed unit, or what fits it."""

    widest: float = PAGE[0]
    tallest: float = PAGE[1]
    unit: float | None = None
    angle: float = ANGLE
    photo: Photo | None = None
    """Rows of colours, as `#rrggbb`: what stands on the first plane."""


def scaled(
    network: Network,
    *,
    detail: str = "stages",
    metric: str | None = None,
    look: Look | None = None,
    captioned: bool = True,
) -> Picture:
    """The picture of volumes.

    `stages`: what stays at one stride side by side, a slab a layer or block; `blocks`: each
    of these apart; `full`: stages with every layer of the blocks.
    """
    look = look or Look()
    planned = drawable(plan(network, folding=detail != "full", repeats=False))
    found, scene = volumes(planned, stages=detail != "blocks")
    slabs = [slab for volume in found.values() for slab in volume.slabs + volume.pools]
    legend = _Legend(slabs)
    heat = Heat(network, metric) if metric else None
    if heat:
        heat.spread([slab.nodes for slab in slabs])
    tell = Teller(network)

    def foot(law: Law, wide: float) -> list[Part]:
        parts = legend.parts(law, wide, heat, time=_timed(network))
        if captioned:
            lower = extent(parts)[1] + 6
            parts += caption(heading(network), about(network, wide), 0, lower, wide)[0]
        return parts

    room = look.widest - 2 * MARGIN
    around = OVER + 2 * MARGIN
    usual = foot(Law(lying=any(slab.rows for slab in slabs)), room)
    left = look.tallest - around - extent(usual)[1]
    shelf = _arranged(scene, found, look, legend, (room, left))
    wires: list[Part] = [
        Group(
            (Path(tuple((x + MARGIN, y + MARGIN) for x, y in line), arrow=True, stroke=1.1),),
            data=(("from", tail), ("to", head)),
            kind="edge",
        )
        for (tail, head), line in shelf.wires.items()
    ]
    if look.photo:
        wires = [_photo(shelf, look.photo), *wires]
    wires += [*_carried(shelf, found), *_pyramids(shelf)]
    groups: list[Part] = [
        _group(shelf, key, heat, tell)
        for key in sorted(shelf.spots, key=lambda k: shelf.spots[k])
    ]
    parts: list[Part] = [*groups, *wires]
    law = next(iter(shelf.stages.values())).law
    below = foot(law, max(shelf.width, min(room, 320.0)))
    if shelf.height + around + extent(below)[1] > look.tallest:
        below = foot(law, max(shelf.width, room))
    parts += [shifted(part, MARGIN, MARGIN + shelf.height + OVER) for part in below]
    right, bottom = extent(parts)
    return Picture(
        max(right, shelf.width + MARGIN) + MARGIN,
        bottom + MARGIN,
        parts,
        heading(network),
        _words(network, found),
        certificate(network, found),
    )


def _arranged(
    scene: Scene,
    found: dict[str, Volume],
    look: Look,
    legend: _Legend,
    room: tuple[float, float],
) -> Shelf:
    """The stages as they fit the page best: what hangs below a path there, or all in rows."""
    edges = [(edge.tail, edge.head) for edge in scene.edges]
    after: dict[str, list[str]] = {}
    for tail, head in edges:
        after.setdefault(tail, []).append(head)
    order = in_order([box.key for box in scene.boxes()], after)
    path = longest(order, edges)
    widest, tallest = room
    slabs = [slab for volume in found.values() for slab in volume.slabs]
    maps = [slab for slab in slabs if not slab.rows] or slabs
    side = max([1.0, *(float(n) ** 0.5 for slab in maps for n in slab.shape[1:][-2:])])
    lying = any(slab.rows and int(slab.shape[-1]) > side**2 for slab in slabs)

    def law(scale: float, least: float = 1.0) -> Law:
        if look.unit is not None:
            return Law(look.unit, min(look.unit / 10.6, 1.0), look.angle, lying)
        unit = min(UNIT, TALLEST / side) * scale**0.5 * least
        return Law(unit, scale, look.angle, lying)

    said = {key: legend.unsaid(volume) for key, volume in found.items()}

    def stages(scale: float, most: float) -> Stages:
        every = law(scale)
        return {key: stage(v, every, said[key], most=most) for key, v in found.items()}

    def fits(shelf: Shelf) -> bool:
        return shelf.width <= widest and shelf.height <= tallest

    def at(count: int, scale: float) -> Shelf:
        made = stages(scale, LONG if len(order) < MANY else SHORT)
        return in_rows(broken(order, made, count), made, edges)

    scales = SCALES if look.unit is None else (1.0,)
    if len(path) < len(found) and (below := hung(path, edges, order)):
        for scale in scales[:HANGING:2]:
            shelf = hanging(path, below, edges, stages(scale, SHORT))
            if fits(shelf) and apart(path, below, shelf):
                return shelf
    best = _largest(at, scales, len(order), (widest, tallest))
    if not fits(best):
        # With no more than their names they may fit.
        said |= {key: [] for key, volume in found.items() if volume.name}
        brief = _largest(at, scales, len(order), (widest, tallest))
        best = brief if fits(brief) else best
    return best


def _largest(
    at: Callable[[int, float], Shelf],
    scales: Sequence[float],
    most: int,
    room: tuple[float, float],
) -> Shelf:
    """The rows, `most` at most, that fit at the largest scale; `at` a number and a scale."""
    widest, tallest = room

    def fits(shelf: Shelf) -> bool:
        return shelf.width <= widest and shelf.height <= tallest

    def fitted(count: int, place: int) -> bool:
        return fits(at(count, scales[place]))

    best: tuple[float, Shelf] | None = None
    for count in range(1, most + 1):
        place, shelf = len(scales) - 1, at(count, scales[-1])
        if fits(shelf):
            # The larger, the wider and higher: the largest that fits is found by halving.
            place = bisect_left(range(place), True, key=partial(fitted, count))
            shelf = at(count, scales[place])
        scale = scales[place]
        if best is None or (fits(shelf) and scale > best[0]) or not fits(best[1]):
            best = (scale, shelf)
        # What is higher than a page is at least no wider.
        high = shelf.height > tallest and (fits(best[1]) or shelf.width <= widest)
        if (fits(shelf) and best[0] >= FEW) or high or len(scales) == 1:
            break
    assert best is not None
    return best[1]


def certificate(network: Network, found: dict[str, Volume]) -> dict[str, object]:
    """How every node is accounted for, and which stand in each stage."""
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


def _timed(network: Network) -> bool:
    """Whether an input has three dimensions: of a film, the first is time."""
    return any(len(tensor.shape) == 4 for tensor in network.inputs.values())


def _words(network: Network, found: dict[str, Volume]) -> str:
    cost = total(network)
    return (
        f"{len(found)} stages to scale, of {len(network.wires)} layers, "
        f"{cost.parameters:,} parameters, {cost.macs:,} multiply-adds"
    )


# Parts


def _role(slab: Slab) -> str:
    """A block has the colour of a convolution, which it is nearly always one of."""
    if slab.copied:
        return "copied"
    if slab.family is Family.ACTIVATION and slab.words:
        return "softmax"
    return role_of(slab.family or Family.CONV)


def _group(shelf: Shelf, key: str, heat: Heat | None, tell: Teller) -> Group:
    found, (x, y) = shelf.stages[key], shelf.spots[key]
    x, y = x + MARGIN, y + MARGIN
    volume = found.volume
    parts: list[Part] = [_slab(found, placed, (x, y), heat, tell) for placed in found.all]
    parts += [shifted(text, x, y) for text in found.words]
    baseline = shelf.names[key] + MARGIN
    middle = x + found.middle
    if found.name:
        parts.append(Text(middle, baseline, found.name, NAME, bold=True, anchor="middle"))
    for line in found.lines:
        baseline += LINE if found.name or line is not found.lines[0] else 0
        parts.append(Text(middle, baseline, line, SMALL, "grey", anchor="middle"))
    title = volume.name or (volume.said or volume.outputs or [""])[-1]
    facts = [shape_text(volume.shape), "; ".join(volume.said), *tell.facts(volume.nodes)]
    return Group(
        tuple(parts),
        title=title,
        desc=" · ".join(fact for fact in facts if fact),
        key=key,
        data=(("layers", str(len(volume.nodes))),),
        facts=_facts(volume, tell),
    )


def _facts(volume: Volume, tell: Teller) -> tuple[str, ...]:
    """What each kind of its layers and blocks is given, once."""
    found: dict[tuple[str, ...], None] = {}
    for box in volume.boxes:
        if box.nodes and box.family is not Family.INPUT:
            title = (box.frame.name,) if box.frame else ()
            found.setdefault((*title, *tell.attributes(box)))
    return tuple(clean(line) for facts in found for line in (*facts, ""))


def _slab(found: Stage, placed: Placed, at: Point, heat: Heat | None, tell: Teller) -> Part:
    slab = placed.slab
    role = heat.role(slab.nodes) if heat and slab.nodes else _role(slab)
    drawn = faces(
        placed.solid, at[0] + placed.x, at[1], role, found.law, band=bool(slab.activation)
    )
    facts = [shape_text(slab.shape), slab.activation, *tell.facts(slab.nodes)]
    words = slab.words or ("a copy" if slab.copied else found.volume.name)
    return Group(
        tuple(drawn),
        title=words + (f" ×{slab.count}" if slab.count > 1 else ""),
        desc=" · ".join(filter(None, facts)),
        kind="slab",
    )


def _carried(shelf: Shelf, found: dict[str, Volume]) -> list[Part]:
    """On each arc what becomes of the copy."""
    parts: list[Part] = []
    for (tail, head), line in shelf.wires.items():
        if words := found[head].carried.get(tail):
            level = [(a, b) for a, b in pairwise(line) if a[1] == b[1]]
            (x1, y), (x2, _) = max(level, key=lambda ends: abs(ends[1][0] - ends[0][0]))
            x, y = (x1 + x2) / 2 + MARGIN, y + MARGIN
            wide = font.width(words, SMALL)
            corners = ((x - wide / 2 - 3, y - 4), (x + wide / 2 + 3, y + 4))
            (left, top), (right, low) = corners
            around = ((left, top), (right, top), (right, low), (left, low))
            parts.append(Polygon(around, "page", 0))
            parts.append(Text(x, y + 2.8, words, SMALL, "grey", anchor="middle"))
    return parts


def _photo(shelf: Shelf, rows: Photo) -> Part:
    """A photo on the side of the first stage, in so many pieces."""
    key = min(shelf.spots, key=lambda k: (shelf.names[k], shelf.spots[k]))
    found, (x, y) = shelf.stages[key], shelf.spots[key]
    placed, count = found.slabs[-1], len(rows)
    parts: list[Part] = []
    for number, row in enumerate(rows):
        for place, colour in enumerate(row):
            # Each is a little larger than its place: no line shows between two.
            top, foot = 0.5 - number / count, max(0.5 - (number + 1.3) / count, -0.5)
            near, far = place / len(row) - 0.5, min((place + 1.3) / len(row) - 0.5, 0.5)
            corners = ((1, foot, near), (1, foot, far), (1, top, far), (1, top, near))
            at = x + MARGIN + placed.x, y + MARGIN
            points = tuple(placed.solid.point(*at, *corner, found.law) for corner in corners)
            parts.append(Polygon(points, colour, stroke=0))
    return Group(tuple(parts), title="photo", kind="photo")


def _pyramids(shelf: Shelf) -> list[Part]:
    """From what one place of a first layer reads to that place, as far as it can be seen."""
    parts: list[Part] = []
    reached: list[Point] = []
    for (tail, head), line in shelf.wires.items():
        before, after = shelf.stages[tail], shelf.stages[head]
        seen, reads = before.all[-1], after.slabs[0]
        sides = [int(n) for n in seen.slab.shape[1:]]
        if parts and shelf.spots[tail] not in reached:
            break
        if len(line) != 2 or len(reads.slab.kernel) != 2 or len(sides) != 2:
            break
        high, deep = (k / n for k, n in zip(reads.slab.kernel, sides, strict=True))
        if high * seen.solid.height < SEEN or min(sides) < 2:
            break
        x, y = (a + MARGIN for a in shelf.spots[tail])
        tall, wide = min(high, 0.4), min(deep, 0.6)
        corners = tuple(
            seen.solid.point(
                x + seen.x, y, 1.0, LOW + up * tall, LOW / 2 + back * wide, before.law
            )
            for up, back in ((-0.5, -0.5), (-0.5, 0.5), (0.5, 0.5), (0.5, -0.5))
        )
        x, y = (a + MARGIN for a in shelf.spots[head])
        tip = reads.solid.point(x + reads.x, y, 0.0, LOW, -0.5, after.law)
        parts += [Path((corner, tip), "kernel", stroke=0.6, radius=0) for corner in corners]
        parts.append(Polygon(corners, "kernel", stroke=0.8))
        reached = [shelf.spots[head]]
    return [Group(tuple(parts), kind="kernel")] if parts else []


class _Legend:
    """What each colour is, in the words that all its slabs share."""

    def __init__(self, slabs: Sequence[Slab]) -> None:
        """Find out what they share."""
        self.kinds: dict[str, list[Slab]] = {}
        for slab in slabs:
            self.kinds.setdefault(_role(slab), []).append(slab)
        self.shared: dict[str, list[str]] = {}
        for role, found in self.kinds.items():
            words = list(dict.fromkeys(slab.words for slab in found))
            short = font.width(", ".join(words), SMALL) < LONGEST
            if found[0].family in SAID and (len(words) == 1 or short):
                self.shared[role] = words

    def unsaid(self, volume: Volume) -> list[str]:
        """What neither the legend nor a line says of what computes a stage, nor its name."""
        said = {word for words in self.shared.values() for word in words}
        said |= {volume.name, *volume.outputs, *volume.carried.values()}
        if not all(slab.copied for slab in volume.slabs):
            said.add("concat")
        said |= {slab.words for slab in volume.slabs if slab.family in SIGNS}
        found = []
        for words in volume.said:
            bare, _, count = words.rpartition(" ×")
            if (bare if count.isdigit() else words) not in said:
                found.append(words)
        return found or ([] if volume.name else volume.said)

    def parts(self, law: Law, width: float, heat: Heat | None, *, time: bool) -> list[Part]:
        """The colours, or the scale of a metric, and the law."""
        parts: list[Part] = []
        x = y = 0.0
        if heat:
            parts = heat.legend(width)
            y = extent(parts)[1] + 4
        else:
            for role, name in self._names().items():
                wide = font.width(name, SMALL) + 34
                if x and x + wide > width:
                    x, y = 0.0, y + 14
                parts += _swatch(x, y, role, banded="+" in name)
                parts.append(Text(x + 19, y + 8, name, SMALL, "grey"))
                x += wide
            y += 12
        words = f"{law.words} {TIME}" if time else law.words
        for line in font.lines(words, SMALL, width):
            y += 11
            parts.append(Text(0, y, line, SMALL, "faint"))
        return parts

    def _names(self) -> dict[str, str]:
        """The words beside each colour, in the order of the families."""
        order = [role_of(family) for family in theme.LOOKS] + ["copied", "softmax"]
        looks = {role_of(family): look.name for family, look in theme.LOOKS.items()}
        looks |= {"copied": "a copy, then concat", "input": "input"}
        found: dict[str, str] = {}
        for role in order:
            slabs = self.kinds.get(role, [])
            if not slabs:
                continue
            words = ", ".join(self.shared.get(role, ())) or looks.get(role, "softmax")
            if any(slab.family is None for slab in slabs):
                alone = all(slab.family is None for slab in slabs)
                words = "block" if alone else f"{words} or block"
            acts = list(dict.fromkeys(slab.activation for slab in slabs if slab.activation))
            if acts:
                words += f" + {acts[0]}" if len(acts) == 1 else " + activation"
            found[role] = words
        return found


def _swatch(x: float, y: float, role: str, *, banded: bool) -> list[Part]:
    def area(left: float, right: float, role: str) -> Part:
        points = ((left, y), (right, y), (right, y + 10), (left, y + 10))
        return Polygon(points, role, stroke=0.8)

    parts = [area(x, x + 13, role)]
    if banded:
        parts += [area(x + 13 * (1 - BAND), x + 13, f"{role}-band")]
        corners = ((x, y), (x + 13, y), (x + 13, y + 10), (x, y + 10), (x, y))
        parts.append(Path(corners, f"{role}-edge", stroke=0.8, radius=0))
    return parts
