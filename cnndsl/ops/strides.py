"""Where the elements of a tensor lie, as PyTorch lays them out.

A step that reads a tensor decides by its strides whether it gives a view or a copy, and
autograd whether it keeps the tensor or a copy. Each operation says how it lays out what it
gives (`Op.laid`); here is what it says it with. A test holds every operation to PyTorch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Protocol

from cnndsl.records import Record, record

Shape = tuple[int, ...]


class Shaped(Protocol):
    """As much of an operation as decides how its outputs lie."""

    def shapes(self, *inputs: Shape) -> tuple[Shape, ...]:
        """The shapes of its outputs."""


@record
class Laid(Record):
    """A tensor's sizes and strides, the batch first, in elements."""

    sizes: Shape
    strides: Shape
    shared: bool = True
    """It lies in the memory of its operation's first input."""

    @property
    def contiguous(self) -> bool:
        """In order and without gaps: how an axis of one element lies does not matter."""
        return _in_order(self, reversed(range(len(self.sizes))))

    @property
    def span(self) -> int:
        """The elements from its first to its last in memory."""
        pairs = zip(self.sizes, self.strides, strict=True)
        return sum((n - 1) * step for n, step in pairs) + 1 if all(self.sizes) else 0

    @property
    def dense(self) -> bool:
        """Without gaps, in any order of the axes."""
        wide = [axis for axis, size in enumerate(self.sizes) if size != 1]
        return _in_order(self, sorted(wide, key=self.strides.__getitem__))

    @property
    def channels_last(self) -> bool:
        """Without gaps and with the channels innermost, of two or three spatial axes."""
        return len(self.sizes) in (4, 5) and _in_order(self, _last(len(self.sizes)))

    @property
    def suggested(self) -> bool:
        """Whether PyTorch takes it to be in order of the channels, gaps allowed.

        Source: c10's `is_channels_last_strides_2d_s4` and `_3d_s5`.
        """
        if len(self.sizes) not in (4, 5) or not self.strides[1]:
            return False
        least = 0
        for axis in _last(len(self.sizes)):
            step, size = self.strides[axis], self.sizes[axis]
            if not size or step < least or (axis == 0 and least == self.strides[1]):
                return False
            least = step * max(size, 1)
        return True

    def permuted(self, *order: int) -> Laid:
        """The axes in another order."""
        sizes, strides = (
            tuple(of[axis] for axis in order) for of in (self.sizes, self.strides)
        )
        return Laid(sizes, strides, self.shared)

    def part(self, axis: int, size: int, step: int = 1) -> Laid:
        """Some places of one axis."""
        sizes, strides = [*self.sizes], [*self.strides]
        sizes[axis] = size
        strides[axis] *= step
        return Laid(tuple(sizes), tuple(strides), self.shared)

    def spread(self, *places: int) -> Laid:
        """With axes of one element, as `unsqueeze` adds them one after another."""
        found = self
        for place in places:
            sizes, strides = found.sizes, found.strides
            step = sizes[place] * strides[place] if place < len(sizes) else 1
            found = Laid(
                (*sizes[:place], 1, *sizes[place:]),
                (*strides[:place], step, *strides[place:]),
                self.shared,
            )
        return found

    def without(self, axis: int) -> Laid:
        """Without an axis of one element, or at one place of it."""
        axes = [place for place in range(len(self.sizes)) if place != axis]
        return self.permuted(*axes)

    def reshaped(self, *sizes: int) -> Laid:
        """Read as other sizes: a view where its strides allow it, else a copy."""
        strides = self.viewed(sizes)
        return fresh(sizes) if strides is None else Laid(sizes, strides, self.shared)

    def flattened(self, first: int, last: int = -1) -> Laid:
        """Some axes in one."""
        last %= len(self.sizes)
        if first == last:
            return self
        one = math.prod(self.sizes[first : last + 1])
        return self.reshaped(*self.sizes[:first], one, *self.sizes[last + 1 :])

    def parted(self, axis: int, *sizes: int) -> Laid:
        """One axis in several."""
        return self.reshaped(*self.sizes[:axis], *sizes, *self.sizes[axis + 1 :])

    def copied(self) -> Laid:
        """As `contiguous` leaves it."""
        return self if self.contiguous else fresh(self.sizes)

    def viewed(self, sizes: Shape) -> Shape | None:
        """The strides of a view of these sizes; None where there is none.

        Source: ATen's `computeStride`.
        """
        if not math.prod(self.sizes):
            return self.strides if sizes == self.sizes else fresh(sizes).strides
        found: list[int] = []
        place, held, run = len(sizes) - 1, 1, 1
        base = self.strides[-1] if self.strides else 1
        for axis in reversed(range(len(self.sizes))):
            held *= self.sizes[axis]
            before = axis - 1
            if axis and (self.sizes[before] == 1 or self.strides[before] == held * base):
                continue
            while place >= 0 and (run < held or sizes[place] == 1):
                found.append(run * base)
                run *= sizes[place]
                place -= 1
            if run != held:
                return None
            if axis:
                base, held, run = self.strides[before], 1, 1
        return tuple(reversed(found)) if place < 0 else None


def fresh(sizes: Iterable[int], *, last: bool = False) -> Laid:
    """New memory in order; with `last` the channels change fastest."""
    sizes = tuple(sizes)
    order = _last(len(sizes)) if last else tuple(reversed(range(len(sizes))))
    return packed(sizes, order)


def packed(sizes: Shape, order: Sequence[int]) -> Laid:
    """New memory without gaps, the axes in this order from the innermost."""
    strides, step = [0] * len(sizes), 1
    for axis in order:
        strides[axis] = step
        step *= max(sizes[axis], 1)
    return Laid(sizes, tuple(strides), shared=False)


def _last(rank: int) -> Shape:
    return (1, *range(rank - 1, 1, -1), 0)


def _in_order(x: Laid, order: Iterable[int]) -> bool:
    step = 1
    if not math.prod(x.sizes):
        return True
    for axis in order:
        if x.sizes[axis] != 1:
            if x.strides[axis] != step:
                return False
            step *= x.sizes[axis]
    return True


def elementwise(*inputs: Laid, number: bool = False) -> Laid:
    """What a function of each element gives: the order of its inputs' strides, without gaps.

    With `number` a number is an input too. Source: ATen's `TensorIterator`.
    """
    rank = max(len(x.sizes) for x in inputs)
    wide = [_broadcast(x, rank) for x in inputs]
    sizes = tuple(
        next((n for n in axis if n != 1), 1)
        for axis in zip(*(x.sizes for x in wide), strict=True)
    )
    if not number and all(x.sizes == sizes for x in inputs):
        if all(x.contiguous for x in inputs):
            return fresh(sizes)
        if all(x.channels_last for x in inputs):
            return fresh(sizes, last=True)
        if len({x.strides for x in inputs}) == 1 and inputs[0].dense:
            return Laid(sizes, inputs[0].strides, shared=False)
    steps = [
        tuple(
            0 if n == 1 != size else step
            for n, size, step in zip(x.sizes, sizes, x.strides, strict=True)
        )
        for x in wide
    ]

    def after(one: int, other: int) -> int:
        for strides in steps:
            if strides[one] and strides[other]:
                if strides[one] != strides[other]:
                    return 1 if strides[one] > strides[other] else -1
                if sizes[one] > sizes[other]:
                    return 1
        return 0

    order = list(reversed(range(rank)))
    for start in range(1, rank):
        moved = start
        for place in reversed(range(start)):
            turn = after(order[place], order[moved])
            if turn > 0:
                order[place], order[moved] = order[moved], order[place]
                moved = place
            elif turn < 0:
                break
    return packed(sizes, order)


def shapes_of(inputs: Iterable[Laid]) -> tuple[Shape, ...]:
    """Their shapes, the batch left out."""
    return tuple(x.sizes[1:] for x in inputs)


def by_order(self: Shaped, *inputs: Laid, training: bool = False) -> tuple[Laid, ...]:
    """New memory in order."""
    batch = inputs[0].sizes[0]
    return tuple(fresh((batch, *shape)) for shape in self.shapes(*shapes_of(inputs)))


def by_repetition(self: Shaped, *inputs: Laid, training: bool = False) -> tuple[Laid, ...]:
    """One memory for every sample: `laid = by_repetition`."""
    found = by_order(self, *inputs)
    return tuple(Laid(x.sizes, (0, *x.strides[1:]), shared=False) for x in found)


def by_elements(self: Shaped, *inputs: Laid, training: bool = False) -> tuple[Laid, ...]:
    """In the order of its inputs' axes: `laid = by_elements`."""
    return (elementwise(*inputs),)


def by_format(self: Shaped, *inputs: Laid, training: bool = False) -> tuple[Laid, ...]:
    """In the memory format of its first input: `laid = by_format`."""
    batch, last = inputs[0].sizes[0], inputs[0].suggested
    return tuple(fresh((batch, *x), last=last) for x in self.shapes(*shapes_of(inputs)))


def bordered(x: Laid, sides: Iterable[tuple[int, int]]) -> Laid:
    """With zeros about its spatial axes; a part of it alone keeps its order."""
    pads = [*sides]
    sizes = [*x.sizes[:2], *(n + sum(pad) for n, pad in zip(x.sizes[2:], pads, strict=True))]
    if any(n > 0 for pad in pads for n in pad):
        return fresh(sizes, last=x.suggested)
    return elementwise(Laid(tuple(sizes), x.strides))


def by_border(self: Shaped, *inputs: Laid, training: bool = False) -> tuple[Laid, ...]:
    """The same, but that a border from the other end is added in order: `laid = by_border`."""
    return (by_order if getattr(self, "mode", "") == "circular" else by_format)(self, *inputs)


def by_windows(self: Shaped, *inputs: Laid, training: bool = False) -> tuple[Laid, ...]:
    """By format, a row as a map of one row: `laid = by_windows`."""
    return tuple(windowed(inputs[0], x.sizes) for x in by_order(self, *inputs))


def windowed(x: Laid, sizes: Shape) -> Laid:
    """In the format of an input, a row as a map of one row."""
    if len(sizes) != 3:
        return fresh(sizes, last=x.suggested)
    return fresh((*sizes[:2], 1, sizes[2]), last=x.spread(2).suggested).without(2)


def _broadcast(x: Laid, rank: int) -> Laid:
    missing = rank - len(x.sizes)
    return Laid((1,) * missing + x.sizes, (0,) * missing + x.strides) if missing else x
