"""What each node sees of the input: its receptive field, effective stride and padding.

Along one axis, unit i of a feature map sees the input's positions from `low(i)` to
`high(i)`. Behind a transposed convolution the units take turns, so both are kept for one
period of them; a window's rule carries them on exactly, on any graph: where branches
meet, the least and the greatest count.
Source: Araujo, Norris & Sim 2019, Distill, "Computing receptive fields" (the recurrence
for one path).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property

from cnndsl.diagnostics import Diagnostic
from cnndsl.graph import Network
from cnndsl.ops.facts import SAME, Reading, Taps
from cnndsl.symbolic import strip

Place = tuple[str, int]
"""An input of the network, and one of its axes."""
LONGEST = 100_000
"""A longer period of units is not followed: such a field counts as global."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Along one axis, what the units of a map see: one entry a unit of the period.

    `advance` is how far the input moves in one period.
    """

    low: tuple[int, ...]
    high: tuple[int, ...]
    advance: int

    def at(self, unit: int) -> tuple[int, int]:
        """The first and the last input position of a unit."""
        turn, rest = divmod(unit, len(self.low))
        return self.low[rest] + turn * self.advance, self.high[rest] + turn * self.advance

    @property
    def size(self) -> int:
        """The receptive field, the largest of the units'."""
        return max(b - a + 1 for a, b in zip(self.low, self.high, strict=True))

    @property
    def stride(self) -> Fraction:
        """The effective stride: input positions a unit."""
        return Fraction(self.advance, len(self.low))

    @property
    def padding(self) -> int:
        """The effective padding: how far the first unit sees beyond the border."""
        return -self.low[0]

    @property
    def centre(self) -> Fraction:
        """The middle of what the units see, less their strides, on average."""
        units = len(self.low)
        middle = Fraction(sum(self.low) + sum(self.high), 2 * units)
        return middle - self.stride * (units - 1) / 2

    def through(self, step: Taps) -> Seen | None:
        """What the units behind a window see; None where no period is short enough."""
        if step == SAME:
            return self
        period = step.period * (len(self.low) // math.gcd(len(self.low), step.advance))
        if period > LONGEST:
            return None
        low, high = [], []
        for unit in range(period):
            turn, rest = divmod(unit, step.period)
            low.append(self.at(step.first[rest] + turn * step.advance)[0])
            high.append(self.at(step.last[rest] + turn * step.advance)[1])
        moved = step.advance * (period // step.period)
        return _reduced(low, high, self.advance * moved // len(self.low))

    def __or__(self, other: Seen) -> Seen:
        """What units of a join see: all that either branch does.  The strides are equal."""
        period = math.lcm(len(self.low), len(other.low))
        pairs = [(self.at(unit), other.at(unit)) for unit in range(period)]
        low = [min(a[0], b[0]) for a, b in pairs]
        high = [max(a[1], b[1]) for a, b in pairs]
        return _reduced(low, high, self.advance * (period // len(self.low)))


def _reduced(low: list[int], high: list[int], advance: int) -> Seen:
    """With the shortest period."""
    length = len(low)
    for short in range(1, length):
        if length % short or advance * short % length:
            continue
        moved = advance * short // length
        if all(
            side[i] == side[i - short] + moved
            for side in (low, high)
            for i in range(short, length)
        ):
            return Seen(tuple(low[:short]), tuple(high[:short]), moved)
    return Seen(tuple(low), tuple(high), advance)


Axes = tuple[Mapping[Place, Seen], ...]
"""For each axis of a tensor, what its positions see; nothing for channels."""


@dataclass(frozen=True)
class Field:
    """What one tensor sees.

    `everything` holds the inputs' axes that are seen whole; `local` what is seen through
    windows alone, where positions are left; `before` the same of the last map that had any.
    """

    axes: Axes
    everything: frozenset[Place] = frozenset()
    before: Mapping[Place, Seen] = field(default_factory=dict)

    @cached_property
    def local(self) -> dict[Place, Seen]:
        """By the input's axis."""
        return {place: seen for axis in self.axes for place, seen in axis.items()}

    def sizes(self, source: str | None = None) -> tuple[int | None, ...]:
        """The receptive field along each axis of an input; None is global."""
        places = sorted({*self.local, *self.everything, *self.before})
        source = source or (places[0][0] if places else None)
        return tuple(
            None if place in self.everything else self.shown[place].size
            for place in places
            if place[0] == source
        )

    @property
    def shown(self) -> dict[Place, Seen]:
        """The local value, or that before the positions were lost."""
        return {**self.before, **self.local}

    def __str__(self) -> str:
        """`427`, `21×33`, `global (427)`."""
        seen = self.shown
        places = sorted(seen)
        by_input: dict[str, list[int]] = {}
        for place in places:
            by_input.setdefault(place[0], []).append(seen[place].size)
        texts = [_square(sizes) for sizes in by_input.values()]
        text = "; ".join(texts)
        if self.everything:
            return f"global ({text})" if text else "global"
        return text

    @property
    def stride(self) -> str:
        """The effective stride: `32`, or `1/2` behind an enlargement."""
        return _square([seen.stride for _, seen in sorted(self.shown.items())])

    @property
    def padding(self) -> str:
        """The effective padding."""
        return _square([seen.padding for _, seen in sorted(self.shown.items())])


def _square(numbers: Iterable[int | Fraction]) -> str:
    found = list(map(str, numbers))
    return found[0] if len(set(found)) == 1 else "×".join(found)


@dataclass(frozen=True, slots=True)
class Receptive:
    """The fields of all nodes, by name, and the joins whose branches do not align."""

    network: Network
    fields: dict[str, tuple[Field, ...]]
    warnings: tuple[Diagnostic, ...]

    def __getitem__(self, name: str) -> Field:
        """A node's, of its first output."""
        return self.fields[name][0]

    def rows(self) -> list[dict[str, object]]:
        """One row a node, for a data frame."""
        return [
            {
                "node": name,
                "receptive field": str(fields[0]),
                "stride": fields[0].stride,
                "padding": fields[0].padding,
            }
            for name, fields in self.fields.items()
        ]

    def __str__(self) -> str:
        """A line a node."""
        width = max(map(len, self.fields), default=0)
        return "\n".join(f"{name:{width}}  {fields[0]}" for name, fields in self.fields.items())


def receptive(network: Network) -> Receptive:
    """The receptive fields of a network."""
    fields: dict[str, tuple[Field, ...]] = {}
    warnings: list[Diagnostic] = []
    for node in network:
        shape = network.shapes[node.name][0]
        if node.name in network.inputs:
            places = [(node.name, axis) for axis in range(len(shape))]
            start = tuple({place: Seen((0,), (0,), 1)} if place[1] else {} for place in places)
            fields[node.name] = (Field(start),)
            continue
        inputs = tuple(fields[u][output] for u, output in network.operands(node.name))
        steps = node.op.plain().reads(*strip(network.input_shapes(node.name)))
        if node.op.join or len(inputs) > 1:
            apart = _misaligned(inputs)
            if apart:
                message = f"the branches of `{node.name}` are centred {apart} positions apart"
                help = "a padding or a window of another parity aligns them"
                warnings.append(
                    Diagnostic("W401", message, node.span, stack=node.stack, help=help)
                )
        fields[node.name] = tuple(_behind(inputs, step) for step in steps)
    return Receptive(network, fields, tuple(warnings))


def _behind(inputs: tuple[Field, ...], step: Reading) -> Field:
    """One output: for each of its axes, what it reads of the inputs' axes."""
    seen_inputs = [one for number, one in enumerate(inputs) if number not in step.unread]
    everything = frozenset[Place]().union(*(one.everything for one in seen_inputs))
    axes: list[Mapping[Place, Seen]] = []
    read: set[tuple[int, int]] = set()
    for reads in step.axes:
        axis: dict[Place, Seen] = {}
        for (number, position), window in reads.items():
            if window.units is not None:
                continue  # some units read it and others do not: its order is lost
            read.add((number, position))
            for place, seen in inputs[number].axes[position].items():
                moved = seen.through(window)
                known = axis.get(place)
                if moved is None:
                    everything |= {place}
                elif known is None or known == moved:
                    axis[place] = moved
                elif known.stride == moved.stride:
                    axis[place] = known | moved
                else:
                    # Enlarged unevenly, the branches drift apart: no window holds both.
                    everything |= {place}
                    axis[place] = max(known, moved, key=lambda seen: seen.size)
        axes.append(axis)
    kept = any(axes)
    read -= step.whole
    for number, one in enumerate(inputs):
        for position, given in enumerate(one.axes):
            if number not in step.unread and (number, position) not in read:
                # All of this axis is summed, or its order is lost.
                everything |= given.keys()
    before = {place: seen for one in seen_inputs for place, seen in one.shown.items()}
    return Field(tuple(axes), everything, {} if kept else before)


def _misaligned(inputs: tuple[Field, ...]) -> Fraction | None:
    """How far apart the centres of the branches are, if they are."""
    apart = Fraction(0)
    branches: dict[Place, set[Seen]] = {}
    for one in inputs:
        for place, seen in one.local.items():
            branches.setdefault(place, set()).add(seen)
    for different in branches.values():
        if len(different) == 1:
            continue
        found = [seen.centre for seen in different]
        apart = max(apart, max(found) - min(found))
    return apart or None
