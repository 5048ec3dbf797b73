"""A stage drawn: its slabs side by side on one axis, and the words below them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from cnndsl.figures import font
from cnndsl.figures.paint import Point, Text
from cnndsl.figures.scale.slabs import Slab
from cnndsl.figures.scale.solid import Law, Solid, plane_text
from cnndsl.figures.scale.volumes import Volume, listed

NAME, SMALL, LINE = 8.6, 8.0, 10.0
"""The sizes of a stage's name and of every other word, and from line to line."""
LINES = 5
"""Of what computes a stage."""
CROWDED = 1.35
"""Numbers may be so many times as wide as their slabs."""
NARROWEST = 0.72
"""Words are not broken to less than so much of the longest."""
APART, BEYOND = 3.0, 4.0
"""Between numbers, and between them and the slanted one."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A slab in its stage; its left face's middle is at `x` on the axis."""

    slab: Slab
    solid: Solid
    x: float

    @property
    def right(self) -> float:
        """Where its right face begins."""
        return self.x + self.solid.width


@dataclass(slots=True)
class Stage:
    """A volume's slabs, with the axis at height 0 and the first left face at 0."""

    volume: Volume
    law: Law
    slabs: list[Placed]
    pools: list[Placed]
    words: list[Text] = field(default_factory=list)
    """Numbers at its slabs; the slanted ones say the sizes of the plane."""
    name: str = ""
    lines: tuple[str, ...] = ()

    @property
    def all(self) -> list[Placed]:
        """Its slabs, and what stands on the last one's face."""
        return self.slabs + self.pools

    @property
    def left(self) -> float:
        """Where its silhouette begins, and its numbers."""
        slant = self.law.slant[0]
        edges = [p.x - p.solid.depth / 2 * slant for p in self.all]
        return min([*edges, *(_left(text) for text in self.words if not text.turn)])

    @property
    def right(self) -> float:
        """Where its silhouette ends, and its numbers."""
        slant = self.law.slant[0]
        edges = [p.x + p.solid.width + p.solid.depth / 2 * slant for p in self.all]
        return max([*edges, *(_right(text) for text in self.words)])

    @property
    def above(self) -> float:
        """How far it reaches over the axis."""
        return max(_half(placed, self.law) for placed in self.all)

    @property
    def below(self) -> float:
        """How far it and its numbers reach under the axis."""
        return max(text.y for text in self.words) + 2 if self.words else self.above

    @property
    def middle(self) -> float:
        """The middle of its fronts: its name stands there."""
        first, last, slant = self.slabs[0], self.slabs[-1], self.law.slant[0]
        left = first.x - first.solid.depth / 2 * slant
        right = last.x + last.solid.width - last.solid.depth / 2 * slant
        return (left + right) / 2

    @property
    def wide(self) -> float:
        """The width of its words."""
        return max(
            [
                font.width(self.name, NAME, bold=True),
                *(font.width(x, SMALL) for x in self.lines),
            ]
        )

    @property
    def foot(self) -> float:
        """The height of its words."""
        return LINE * (bool(self.name) + len(self.lines)) + 4

    @property
    def exit(self) -> Point:
        """Where what it makes leaves it: the middle of its last face."""
        last = self.all[-1]
        return last.x + last.solid.width, 0.0

    @property
    def entry(self) -> Point:
        """Where what it reads comes in: its first front, or where its top meets the axis."""
        first, (right, rise) = self.slabs[0], self.law.slant
        ahead = min(first.solid.depth * rise, first.solid.height) / 2
        return first.x - ahead * right / rise - 0.5, 0.0

    def top(self, source: str = "", aside: float = 0.0) -> Point:
        """On its top: of the slab that is a copy of a source, of the last one for none."""
        copies = (
            [p for p in self.slabs if p.slab.copied == source] if source else self.slabs[-1:]
        )
        placed = (copies or self.slabs)[0]
        middle = placed.x + placed.solid.width / 2 + aside
        return middle, -placed.solid.height / 2


def _half(placed: Placed, law: Law) -> float:
    return placed.solid.height / 2 + placed.solid.depth / 2 * law.slant[1]


def _left(text: Text) -> float:
    return text.x - font.width(text.text, text.size) / 2


def _right(text: Text) -> float:
    half = font.width(text.text, text.size) / 2
    return text.x + half * math.cos(math.radians(text.turn))


def stage(volume: Volume, law: Law, said: Sequence[str], *, most: float = 84.0) -> Stage:
    """A stage; what computes it is said in lines that are no wider than its name and it."""
    slabs, x = [], 0.0
    for slab in volume.slabs:
        solid = law.solid(slab.shape, thin=slab.thin, rows=slab.rows)
        slabs.append(Placed(slab, solid, x))
        x += solid.width
    pools = []
    for slab in volume.pools:
        pools.append(Placed(slab, law.solid(slab.shape, thin=True), x))
    done = Stage(volume, law, slabs, pools)
    numbers = _numbers(slabs, law)
    done.words = [*numbers, *_size(slabs[-1], law, max(map(_right, numbers), default=-1e9))]
    names = [volume.name, *(name for name in volume.outputs if name != volume.name)]
    name = listed([name for name in names if name])
    bare = Stage(volume, law, slabs, pools)
    usual = max(bare.right - bare.left, font.width(name, NAME, bold=True))
    room = max(NARROWEST * most, min(most, usual))
    done.name = font.fitted(name, NAME, max(most, room), bold=True)
    lines = [line for words in said for line in font.lines(words, SMALL, room)]
    if len(lines) > LINES:
        lines = [*lines[: LINES - 1], f"… {len(said)} in all" if len(said) > LINES else "…"]
    done.lines = tuple(font.fitted(line, SMALL, most) for line in lines)
    return done


def _numbers(slabs: Sequence[Placed], law: Law) -> list[Text]:
    """The channels below each slab, or below all that have as many; a concat's below it."""
    runs: list[list[Placed]] = []
    for placed in slabs:
        text, last = _channels(placed), runs[-1][-1] if runs else None
        joined = last is not None and placed.slab.joined == last.slab.joined
        if last and joined and text == _channels(last) and "×" not in text:
            runs[-1].append(placed)
        else:
            runs.append([placed])
    found: list[Text] = []
    for run in runs:
        text = _channels(run[0])
        narrow = min(p.solid.width for p in run) < font.width(text, SMALL) + APART
        for part in [run] if narrow or run[0].slab.joined else [[placed] for placed in run]:
            deepest = max(part, key=lambda p: _half(p, law))
            depth = deepest.solid.depth / 2
            middle = (part[0].x + part[-1].x + part[-1].solid.width) / 2
            y = max(p.solid.height for p in part) / 2 + depth * law.slant[1] + 9.5
            x = middle - depth * law.slant[0]
            found.append(Text(x, y, text, SMALL, "dim", anchor="middle"))
    done = _spread(found)
    if len(done) > 2 and _right(done[-1]) - _left(done[0]) > CROWDED * slabs[-1].right:
        # No room for all: the least and the most.
        counts = [int(placed.slab.shape[0]) for placed in slabs]
        text = f"{min(counts)}–{max(counts)}" if len(set(counts)) > 1 else str(counts[0])
        low = max(text.y for text in done)
        x = sum(text.x for text in done) / len(done)
        return [Text(x, low, text, SMALL, "dim", anchor="middle")]
    return done


def _channels(placed: Placed) -> str:
    if not placed.slab.plane:
        return ""
    count = f" ×{placed.slab.count}" if placed.slab.count > 1 else ""
    made = placed.slab.joined
    return f"{made[1] if made else int(placed.slab.shape[0])}{count}"


def _spread(texts: Sequence[Text]) -> list[Text]:
    """Numbers that do not touch; those without room are left out."""
    texts = [text for text in texts if text.text]
    done: list[Text] = []
    for text in texts:
        least = _right(done[-1]) + APART if done else -1e9
        done.append(replace(text, x=max(text.x, least + font.width(text.text, SMALL) / 2)))
    if done:
        shift = sum(a.x - b.x for a, b in zip(done, texts, strict=True)) / len(done)
        done = [replace(text, x=text.x - shift) for text in done]
    return done


def _size(last: Placed, law: Law, least: float) -> list[Text]:
    """The side's length along its slanted lower edge; of a vector how long it is."""
    text = plane_text(last.slab.shape) if last.slab.plane else str(int(last.slab.shape[0]))
    if not last.slab.plane and last.slab.count > 1:
        text += f" ×{last.slab.count}"
    back = 0.0 if last.slab.plane else -0.18
    x, y = last.solid.point(last.x, 0, 1, -0.5, back, law)
    slant = math.radians(law.angle)
    half = font.width(text, SMALL) / 2 * math.cos(slant)
    x, y = x + 4.2, y + 6.2
    beyond = least + BEYOND + half
    if last.slab.plane and x < beyond:
        y -= (beyond - x) * math.tan(slant)
        x = beyond
    return [Text(x, y, text, SMALL, "grey", anchor="middle", turn=-law.angle)]
