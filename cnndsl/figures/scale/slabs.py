"""The slabs of a stage, side by side: what each of its layers or blocks makes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from cnndsl.figures.scale.paths import longest
from cnndsl.figures.scene import Box, Scene
from cnndsl.figures.text import clean
from cnndsl.figures.titles import sayer
from cnndsl.graph import Network
from cnndsl.ops.facts import Family, Shape
from cnndsl.ops.words import Words

WEIGHTY = {Family.CONV, Family.DEPTHWISE, Family.LINEAR}
OPENED = WEIGHTY | {Family.POOL, Family.UPSAMPLE}
"""What the chain of a small block consists of, beside what leaves its input as it is."""
SLIDING = {Family.CONV, Family.DEPTHWISE, Family.POOL, Family.UPSAMPLE}
QUIET = {Family.NORM, Family.REGULARIZE}
JOINS = {Family.CONCAT, Family.ADD, Family.MATMUL}
THIN = {Family.POOL, Family.ADD, Family.MATMUL, Family.ACTIVATION, Family.INPUT}
"""Families whose slabs say where something happens; how wide they are says nothing."""
CHAIN = 3
"""A block is opened where it is a chain of so many layers at most."""
KEPT = 0.75
"""The least side in an opened block is so much of the greatest."""
MOST = 6
"""So many equal slabs are drawn one by one."""


@dataclass(frozen=True, slots=True)
class Slab:
    """One volume: the layers that make it, its shape, and what it is."""

    nodes: tuple[str, ...]
    shape: Shape
    family: Family | None
    words: str
    activation: str = ""
    """What follows it, which is its darker band."""
    copied: str = ""
    """The stage that a copy comes from."""
    count: int = 1
    kernel: tuple[int, ...] = ()
    """The window of a convolution, along each axis."""
    joined: tuple[str, int] | None = None
    """The concat that it is a part of, and how many channels that makes."""
    rows: bool = False
    """Whether its length is a number of rows, each with so many channels."""

    @property
    def thin(self) -> bool:
        """Whether its width has no meaning."""
        return self.family in THIN and not self.copied

    @property
    def plane(self) -> bool:
        """Whether it has spatial axes longer than 1."""
        return len(self.shape) > 1 and any(int(n) > 1 for n in self.shape[1:])


@dataclass(slots=True)
class Maker:
    """Makes the slabs of a network's stages, of the boxes of its scene."""

    network: Network
    scene: Scene
    shapes: dict[str, Shape]
    """Of each box, the channels first."""
    owner: dict[str, str]
    """The stage of each box, by the keys of both."""
    rows: set[str]
    """The layers that make rows."""
    turned: set[str]
    """The boxes that make rows."""
    tails: dict[str, list[str]] = field(default_factory=dict)
    heads: dict[str, list[str]] = field(default_factory=dict)
    carried: dict[tuple[str, str], str] = field(default_factory=dict)
    """What becomes of a copy on its way between two stages: `crop 56²`."""
    closed: set[str] = field(default_factory=set)
    ends: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """The layers of each box."""

    def __post_init__(self) -> None:
        """Who reads whom, and which blocks are closed: a block looks the same everywhere."""
        self.tails, self.heads = self.scene.neighbours()
        self.ends = {box.key: tuple(box.nodes) for box in self.scene.boxes()}
        framed = [box for box in self.scene.boxes() if box.frame is not None]
        self.closed = {
            box.frame.name for box in framed if box.frame is not None and not self._opened(box)
        }

    def __call__(self, held: Sequence[Box]) -> list[Slab]:
        """The slabs of a stage's boxes, in order."""
        inside = {box.key: box for box in held if box.nodes}
        found: list[Slab] = []
        for segment in self._segments(list(inside.values())):
            found = self._segment(segment, inside, found)
        if not found:
            last = list(inside.values())[-1]
            found = [replace(self._slab(last), words="")]
        return folded(found)

    def _segments(self, held: list[Box]) -> list[list[Box]]:
        """The boxes between the places that only one tensor crosses."""
        place = {box.key: number for number, box in enumerate(held)}
        far = {
            key: max((place.get(head, -1) for head in self.heads.get(key, ())), default=-1)
            for key in place
        }
        found: list[list[Box]] = [[]]
        open_: set[str] = set()
        for number, box in enumerate(held):
            found[-1].append(box)
            open_ = {key for key in (*open_, box.key) if far[key] > number}
            if open_ <= {box.key}:
                found.append([])
        return [segment for segment in found if segment]

    def _segment(
        self, segment: list[Box], inside: dict[str, Box], before: list[Slab]
    ) -> list[Slab]:
        last = segment[-1]
        if last.family is Family.CONCAT:
            return self._operands(segment, inside, last, before)
        done = list(before)
        for box in self._main(segment):
            done = self._followed(done, box)
        return done

    def _main(self, segment: list[Box]) -> list[Box]:
        """The longest way through a segment; all of it where nothing joins it."""
        if len(segment) == 1:
            return segment
        boxes = {box.key: box for box in segment}
        edges = [
            (tail, key) for key in boxes for tail in self.tails.get(key, ()) if tail in boxes
        ]
        way = [boxes[key] for key in longest([*boxes], edges)]
        beside = [box for box in segment if box.family in OPENED and box not in way]
        if way[-1].family in JOINS and len(segment) - len(way) == len(beside) <= CHAIN:
            return [*way[:-1], *beside, way[-1]]
        return way

    def _operands(
        self, segment: list[Box], inside: dict[str, Box], join: Box, before: list[Slab]
    ) -> list[Slab]:
        """What a concat puts side by side: it is as wide as they are together."""
        found: list[Slab] = []
        copies: list[Slab] = []
        for tail in dict.fromkeys(self.tails.get(join.key, ())):
            box, source = inside.get(tail), tail
            nodes: tuple[str, ...] = ()
            if box is not None and box.family is Family.RESHAPE:
                # On its way it is cropped: which of what it reads is that, and which a size?
                wider = [key for key in self.tails.get(tail, ()) if key not in inside]
                if wider:
                    source, nodes = wider[0], tuple(box.nodes)
                    ends = self.owner[source], self.owner[join.key]
                    self.carried[ends] = said_of(self.network, box)
                    box = None
            if box is None:
                copy = Slab(
                    nodes,
                    self.shapes[tail],
                    Family.CONCAT,
                    "",
                    copied=self.owner[source],
                    rows=tail in self.turned,
                )
                copies.append(copy)
            elif box in segment:
                found = self._followed(found, box)
        # What one of its operands is stands there already, and comes behind the copies.
        made = before[-1:] if before and self._read(join, before[-1]) else []
        parts = self._joined(join, [*copies, *made, *found])
        found = [*before[: len(before) - len(made)], *parts]
        if found:
            last = found[-1]
            found[-1] = replace(last, nodes=(*last.nodes, *join.nodes))
        return found

    def _joined(self, join: Box, parts: list[Slab]) -> list[Slab]:
        """The parts of a concat of channels, if they are just what it reads."""
        read = [int(self.shapes[tail][0]) for tail in self.tails.get(join.key, ())]
        made = int(self.shapes[join.key][0])
        each = sorted(int(part.shape[0]) for part in parts)
        alone = all(part.plane and part.joined is None for part in parts)
        if alone and len(parts) <= MOST and each == sorted(read) and sum(read) == made:
            return [replace(part, joined=(join.key, made)) for part in parts]
        return parts

    def _read(self, join: Box, slab: Slab) -> bool:
        made = {
            inner for tail in self.tails.get(join.key, ()) for inner in self.ends.get(tail, ())
        }
        return not made.isdisjoint(slab.nodes)

    def _followed(self, done: list[Slab], box: Box) -> list[Slab]:
        """The slabs with those of a further box."""
        if box.frame is not None or not box.parts:
            return [*done, *(self._opened(box) or [self._slab(box)])]
        return self._all(done, box.parts)

    def _slab(self, box: Box) -> Slab:
        said = sayer(self.network)(box)
        words = clean(str(Words(said.title, said.small)))
        shape, rows = self.shapes[box.key], box.key in self.turned
        return Slab(tuple(box.nodes), shape, box.family, words, rows=rows)

    def _opened(self, box: Box) -> list[Slab]:
        """The layers of a block that is a short chain; nothing of any other."""
        if box.frame and box.frame.name in self.closed:
            return []
        found = self._chain(box)
        sizes = [int(n) for slab in found for n in slab.shape[1:]]
        # What begins with a large map and ends with a small one would hide it.
        return found if found and (not sizes or min(sizes) >= KEPT * max(sizes)) else []

    def _chain(self, box: Box) -> list[Slab]:
        wires = self.network.wires
        families = [self.network.node(name).op.family for name in box.nodes]
        heavy = [family for family in families if family not in QUIET | {Family.ACTIVATION}]
        if not 1 <= len(heavy) <= CHAIN or not set(heavy) <= OPENED:
            return []
        for before, name in zip(box.nodes, box.nodes[1:], strict=False):
            if set(wires.producers(name)) != {before}:
                return []
        return self._all([], box.nodes)

    def _all(self, done: list[Slab], names: Sequence[str]) -> list[Slab]:
        """The slabs with some layers in a row."""
        for name in names:
            done = self._with(done, name)
        return done

    def _with(self, done: list[Slab], name: str) -> list[Slab]:
        """The slabs with a further layer: it is a band, a slab, or no more than words."""
        op, shape = self.network.node(name).op, self.network.shapes[name][0]
        shape = shape[::-1] if name in self.rows else shape
        last = done[-1] if done else None
        flat = op.family is Family.RESHAPE and not _plane(shape)
        if op.family in QUIET or op.each or flat:
            if last is None:
                return done
            act = clean(op.said().title) if op.each and last.family in (*WEIGHTY, None) else ""
            joined = (*last.nodes, name)
            return [*done[:-1], replace(last, nodes=joined, activation=last.activation or act)]
        if last and op.family is Family.RESHAPE and last.shape == shape:
            return [*done[:-1], replace(last, nodes=(*last.nodes, name))]
        kernel = getattr(op, "kernel", None) if op.family in WEIGHTY else None
        window = tuple(map(int, kernel)) if isinstance(kernel, tuple) else ()
        words = clean(str(op.said()))
        rows = name in self.rows
        return [*done, Slab((name,), shape, op.family, words, kernel=window, rows=rows)]


def rows_of(network: Network) -> set[str]:
    """The layers that make rows of channels: two axes, of which the first is not channels.

    It is where a window slides along the other, and where a map is flattened behind it.
    """
    shapes, along = network.shapes, set[str]()
    for node in network:
        if len(shapes[node.name][0]) != 2:
            continue
        tails = [tail for tail, _ in network.operands(node.name)]
        known = any(tail in along for tail in tails)
        if node.op.family is Family.RESHAPE:
            axes = node.op.reads(*network.input_shapes(node.name))[0].axes
            known = (0, 0) in axes[0] and (known or len(shapes[tails[0]][0]) > 2)
        if known or node.op.family in SLIDING:
            # What nothing is made of, an input or learned, is as what reads it.
            along |= {node.name, *(tail for tail in tails if not network.operands(tail))}
    return {node.name for node in network if len(shapes[node.name][0]) == 2} - along


def said_of(network: Network, box: Box) -> str:
    """`3×3, 64 · rate 2`: what a box does, without what follows."""
    said = sayer(network)(box)
    return clean(" · ".join((said.title, *said.attributes)))


def _plane(shape: Shape) -> bool:
    return len(shape) > 1 and any(int(n) > 1 for n in shape[1:])


def folded(slabs: Sequence[Slab]) -> list[Slab]:
    """Many equal slabs in a row as one, with their number."""
    found: list[list[Slab]] = []
    for slab in slabs:
        if found and alike(found[-1][0], slab):
            found[-1].append(slab)
        else:
            found.append([slab])
    done: list[Slab] = []
    for run in found:
        if len(run) <= MOST:
            done += run
            continue
        nodes = tuple(name for slab in run for name in slab.nodes)
        done.append(replace(run[0], nodes=nodes, count=len(run)))
    return done


def alike(one: Slab, two: Slab) -> bool:
    """Whether two slabs look the same and say the same."""
    return (one.shape, one.family, one.words, one.activation, one.copied, one.joined) == (
        two.shape, two.family, two.words, two.activation, two.copied, two.joined,
    )  # fmt: skip
