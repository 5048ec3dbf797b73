"""The two notations over axes: einops' for `rearrange`, Einstein's for `einsum`.

Names of axes stand apart (`c h w`), and the batch is never written.
"""

from __future__ import annotations

import math
import re
import string
from collections.abc import Sequence

from cnndsl.diagnostics import OpError, listing
from cnndsl.ops.facts import (
    BYTES,
    SAME,
    Along,
    Integers,
    Reading,
    Saved,
    Shape,
    Taps,
    spell_shape,
)
from cnndsl.ops.strides import Laid, elementwise, fresh
from cnndsl.records import Record, record
from cnndsl.symbolic import compared

Names = tuple[str, ...]
Axes = tuple[tuple[str, int], ...]
"""Sizes given by name: `g=3`."""

ELLIPSIS = "..."
TOKEN = re.compile(r"\s*(\(|\)|\.\.\.|1(?!\w)|[^\W\d]\w*)")


@record
class Contraction(Record):
    """`c i, c j -> i j`: the names of each operand's axes, and of the output's."""

    operands: tuple[Names, ...]
    output: Names

    @staticmethod
    def parse(pattern: str) -> Contraction:
        """Read the pattern.  Raises OpError."""
        left, right = _sides(pattern)
        operands = tuple(_names(pattern, part) for part in left.split(","))
        output = _names(pattern, right)
        unknown = set(output).difference(*operands)
        if unknown:
            raise _bad(pattern, f"{listing(sorted(unknown))} appears only on the right")
        if len(set(output)) < len(output):
            raise _bad(pattern, "a name appears twice on the right")
        if len(set(output).union(*operands)) >= len(string.ascii_lowercase):
            raise _bad(pattern, "more names than letters")
        return Contraction(operands, output)

    def sizes(self, inputs: Sequence[Shape]) -> dict[str, int]:
        """The size of each name.  Raises OpError: the inputs do not fit."""
        if len(inputs) != len(self.operands):
            raise OpError(
                f"the pattern names {len(self.operands)} inputs, but {len(inputs)} enter",
                attribute="pattern",
            )
        sizes: dict[str, int] = {}
        for number, (names, x) in enumerate(zip(self.operands, inputs, strict=True)):
            if len(names) != len(x):
                raise OpError(
                    f"`{' '.join(names)}` names {len(names)} axes of {spell_shape(x)}",
                    help="write one name per axis, without the batch: `c h w`",
                    operand=number,
                )
            for name, size in zip(names, x, strict=True):
                if sizes.setdefault(name, size) != size:
                    raise OpError(
                        f"`{name}` is {int(sizes[name])} before, and {int(size)} here",
                        help="an index has one size, in whatever input it stands",
                        operand=number,
                    )
        return sizes

    def axes(self, name: str) -> Along:
        """The axes of the operands that bear a name."""
        return {
            (number, axis): SAME
            for number, names in enumerate(self.operands)
            for axis, other in enumerate(names)
            if other == name
        }

    def laid(self, inputs: Sequence[Laid], grads: Sequence[bool]) -> tuple[Laid, Saved]:
        """How its output lies, and what autograd keeps: of each product both of its factors.

        A factor is its operand, or a copy where axes that the product merges lie apart.
        Source: ATen's `einsum`.
        """
        given = ",".join(self.letters().partition("->")[0].split(",")).replace(",", "")
        spelt = dict(zip(given, (n for own in self.operands for n in ("", *own)), strict=False))
        rest = (spelt[c] for c in sorted(spelt) if spelt[c] not in ("", *self.output))
        names, first = ("", *self.output, *rest), len(self.output) + 1
        factors = [
            Factor(_placed(x, ("", *own), names), number, grad)
            for number, (x, own, grad) in enumerate(
                zip(inputs, self.operands, grads or (False,) * len(inputs), strict=True)
            )
        ]
        counts = [sum(one.at.sizes[axis] != 1 for one in factors) for axis in range(len(names))]
        left, *others = factors
        kept: list[Factor] = []
        for right in others:
            summed: list[int] = []
            alone: list[int] = []
            for axis in range(first, len(names)):
                wide = [one.at.sizes[axis] != 1 for one in (left, right)]
                counts[axis] -= all(wide)
                if counts[axis] == 1 and any(wide):
                    counts[axis] = 0
                    (summed if all(wide) else alone).append(axis)
            left, found = left.summed(alone).times(right.summed(alone), summed)
            kept += found
        places = sorted({one.number for one in kept if one.number is not None})
        copies = sum(math.prod(one.at.sizes) for one in kept if one.number is None)
        last = left.at
        if len(names) > first:
            last = last.reshaped(*last.sizes[:first]) if others else fresh(last.sizes[:first])
        return last, Saved(tuple(places), own=BYTES * copies // max(inputs[0].sizes[0], 1))

    def macs(self, inputs: Sequence[Shape]) -> int:
        """Of each product, from the left, that sums over axes of both of its factors.

        An axis of one factor alone is summed first, which takes no multiplication.
        """
        sizes = self.sizes(inputs)
        total, left = 0, {*self.operands[0]}
        for number, names in enumerate(self.operands[1:], 1):
            after = {*self.output}.union(*self.operands[number + 1 :])
            summed = sorted(left & {*names} - after)
            left = (left | {*names}) & after
            product = math.prod(sizes[name] for name in (*sorted(left), *summed))
            total += product * compared(">", math.prod(sizes[name] for name in summed), 1)
        return total

    def letters(self) -> str:
        """The pattern as NumPy and PyTorch read it, the batch put first: `nci,ncj->nij`."""
        letters: dict[str, str] = {}
        # A name of one letter keeps it; the others and the batch take what is left.
        for name in sorted(set().union(*self.operands), key=lambda name: (len(name), name)):
            letters[name] = _free(name.lower(), letters)
        batch = _free("nb", letters)
        parts = ["".join([batch, *(letters[n] for n in names)]) for names in self.operands]
        return f"{','.join(parts)}->{batch}{''.join(letters[n] for n in self.output)}"


@record
class Factor(Record):
    """Of a product: how it lies, with an axis for each name, and whose memory it is."""

    at: Laid
    number: int | None
    """That of an operand; None is a memory of its own."""
    grad: bool

    def summed(self, axes: Sequence[int]) -> Factor:
        """Over those of these axes that it has."""
        sizes = tuple(1 if axis in axes else n for axis, n in enumerate(self.at.sizes))
        return self if sizes == self.at.sizes else Factor(fresh(sizes), None, self.grad)

    def times(self, other: Factor, summed: list[int]) -> tuple[Factor, list[Factor]]:
        """The product, summed over axes that both have, and what autograd keeps of both.

        Source: ATen's `sumproduct_pair`.
        """
        x, y, grad = self.at, other.at, self.grad or other.grad
        if summed:
            axes = [axis for axis in range(len(x.sizes)) if axis not in summed]
            both = [axis for axis in axes if x.sizes[axis] != 1 != y.sizes[axis]]
            ours = [axis for axis in axes if x.sizes[axis] != 1 == y.sizes[axis]]
            theirs = [axis for axis in axes if axis not in (*both, *ours)]
            order = [*both, *ours, *summed, *theirs]
            sizes = [1 if a in summed else max(x.sizes[a], y.sizes[a]) for a in order]
            shared, inner = (math.prod(x.sizes[a] for a in one) for one in (both, summed))
            x = x.permuted(*order).reshaped(shared, math.prod(x.sizes[a] for a in ours), inner)
            y = y.permuted(*both, *summed, *theirs, *ours)
            y = y.reshaped(shared, inner, math.prod(sizes[order.index(a)] for a in theirs))
            at = fresh(sizes).permuted(*map(order.index, range(len(order))))
        else:
            at = elementwise(x, y)
        return Factor(at, None, grad), [
            Factor(at, one.number if at.shared else None, grad)
            for one, at, wanted in ((self, x, other.grad), (other, y, self.grad))
            if wanted
        ]


def _placed(x: Laid, own: Names, names: Names) -> Laid:
    """An axis for each name, of one element where it is not its own."""
    missing = [name for name in names if name not in own]
    x = x.spread(*range(len(own), len(names)))
    return x.permuted(*map((*own, *missing).index, names))


@record
class Rearrangement(Record):
    """`(g c) h w -> (c g) h w`: the names that make up each axis, on both sides."""

    left: tuple[Names, ...]
    right: tuple[Names, ...]

    @staticmethod
    def parse(pattern: str, rank: int) -> Rearrangement:
        """Read the pattern for an input of that rank.  Raises OpError."""
        sides = _sides(pattern)
        left, right = (_groups(pattern, side) for side in sides)
        known, wanted = ([name for group in side for name in group] for side in (left, right))
        for names in (known, wanted):
            if len(set(names)) < len(names):
                raise _bad(pattern, "a name appears twice on one side")
        if set(known) ^ set(wanted):
            odd = sorted(set(known) ^ set(wanted))
            message, help = f"{listing(odd)} must appear on both sides", ""
            if joined := [name for name in odd if f"({name})" in pattern]:
                apart = " ".join(joined[0])
                help = f"names are separated by spaces: `({apart})`"
            raise _bad(pattern, message, help)
        named = len(left) - ((ELLIPSIS,) in left)
        if rank < named or (rank > named and named == len(left)):
            raise _bad(pattern, f"the left side has {named} axes, but the input has {rank}")
        if re.search(r"\([^)]*\.\.\.", sides[0]):
            raise _bad(pattern, "`...` cannot stand in parentheses on the left")
        rest = " ".join(f"_{i}" for i in range(rank - named))
        left, right = (_groups(pattern, side.replace(ELLIPSIS, f" {rest} ")) for side in sides)
        return Rearrangement(left, right)

    def sizes(self, x: Shape, axes: Axes) -> dict[str, int]:
        """The size of each name.  Raises OpError: a group does not divide its axis."""
        given = dict(axes)
        known = {name for group in self.left for name in group}
        for name, size in axes:
            if name not in known:
                raise OpError(f"`{name}` is not in the pattern", attribute=name, code="E301")
            if size < 1:
                message = f"`{name}` is {int(size)}, but must be at least 1"
                raise OpError(message, attribute=name)
        sizes: dict[str, int] = {}
        for group, size in zip(self.left, x, strict=True):
            sizes.update(_factors(group, size, given))
        return sizes

    def shape(self, sizes: dict[str, int]) -> Shape:
        """The output's shape."""
        return tuple(math.prod(sizes[name] for name in group) for group in self.right)

    def reading(self, sizes: dict[str, int]) -> Reading:
        """Positions follow their axis where its outermost name does, alone or before others.

        `c (h 2) (w 2) -> (c 2 2) h w` reads windows of two; `(c a b) h w -> c (h a) (w b)`
        puts a factor's positions in one's place. An innermost name that stands alone reads
        from its place in the first to that in the last turn.
        """
        homes = {
            group[0]: (axis, math.prod(sizes[n] for n in group[1:]))
            for axis, group in enumerate(self.left)
            if group
        }
        inmost = {group[-1]: axis for axis, group in enumerate(self.left) if len(group) > 1}
        axes: list[Along] = []
        for group in self.right:
            home = homes.get(group[0]) if group else None
            if len(group) == 1 and group[0] in inmost:
                axis = inmost[group[0]]
                size = int(math.prod(sizes[name] for name in self.left[axis]))
                axes.append({(0, axis): Taps((0,), (size - int(sizes[group[0]]),), 1)})
                continue
            if home is None:
                axes.append({})
                continue
            axis, inner = home
            step = int(math.prod(sizes[n] for n in group[1:]))
            if self.left[axis] == group:
                axes.append({(0, axis): SAME})
            elif len(group) > 1 and group[1] in homes and homes[group[1]][0] != axis:
                # Two maps' positions in one axis: neither moves evenly.
                axes.append({})
            else:
                taps = Taps((0,) * step, (int(inner) - 1,) * step, int(inner))
                axes.append({(0, axis): taps})
        read = {place for axis in axes for place in axis}
        lost = {(0, axis) for axis, group in enumerate(self.left) if group} - read
        return Reading(tuple(axes), anywhere=frozenset(lost))

    def laid(self, x: Laid, sizes: dict[str, int]) -> Laid:
        """How its output lies: axes parted, permuted and merged, from the last to the first."""
        for axis, group in reversed([*enumerate(self.left, 1)]):
            if not group:
                x = x.without(axis)
            elif len(group) > 1:
                x = x.parted(axis, *(sizes[name] for name in group))
        x = x.permuted(0, *(place + 1 for place in self.order))
        axis = len(self.order) + 1
        for group in reversed(self.right):
            axis -= len(group)
            if not group:
                x = x.spread(axis)
            elif len(group) > 1:
                x = x.flattened(axis, axis + len(group) - 1)
        return x

    @property
    def order(self) -> Integers:
        """For each name on the right, its position on the left."""
        left = [name for group in self.left for name in group]
        return tuple(left.index(name) for group in self.right for name in group)

    def torch(self, axes: Axes) -> tuple[str, dict[str, object]]:
        """The template, and the sizes that it names.

        `torch.unflatten({0}, 1, ({g}, -1)).transpose(1, 2).flatten(1, 2)`: the method
        `unflatten` has no types.
        """
        given = dict(axes)
        values: dict[str, object] = {}
        text = "{0}"
        # From the last axis to the first, so that the axes before keep their numbers.
        for axis, group in reversed(list(enumerate(self.left, 1))):
            if not group:
                text += f".squeeze({axis})"
            elif len(group) > 1:
                values.update({name: given[name] for name in group if name in given})
                parts = (f"{{{name}}}" if name in given else "-1" for name in group)
                text = f"torch.unflatten({text}, {axis}, ({', '.join(parts)}))"
        text += _permuted(self.order)
        axis = len(self.order)
        for number, group in reversed(list(enumerate(self.right))):
            axis -= len(group)
            if not group:
                text += f".unsqueeze({axis + 1})"
            elif len(group) > 1:
                last = number == len(self.right) - 1
                text += f".flatten({axis + 1}{'' if last else f', {axis + len(group)}'})"
        return text, values


def _permuted(order: Integers) -> str:
    """The text that brings the axes into an order, of which the batch is not part."""
    moved = [i for i, j in enumerate(order) if i != j]
    if not moved:
        return ""
    if len(moved) == 2:
        return f".transpose({moved[0] + 1}, {moved[1] + 1})"
    return f".permute(0, {', '.join(str(i + 1) for i in order)})"


def _factors(group: Names, size: int, given: dict[str, int]) -> dict[str, int]:
    """The sizes of the names that make up an axis; one of them may be left to find."""
    unknown = [name for name in group if name not in given]
    product = math.prod(given[name] for name in group if name in given)
    if len(unknown) > 1:
        raise OpError(
            f"the sizes of {listing(unknown)} are unknown",
            help=f"give all but one of them: rearrange(…, {unknown[0]}=2)",
            attribute="pattern",
        )
    if size % product or (not unknown and size != product):
        shown = ", ".join(f"{name}={int(given[name])}" for name in group if name in given)
        raise OpError(
            f"`({' '.join(group)})` with {shown} does not make up an axis of {int(size)}"
            if group
            else f"`1` stands for an axis of size 1, and this one has {int(size)}",
            attribute=next((name for name in group if name in given), "pattern"),
        )
    return {name: given.get(name, size // product) for name in group}


CHANNELS = {"c": "channels"}
"""What an axis of that name is called in words."""


def called(pattern: str) -> tuple[str, bool]:
    """What a rearrangement does, in words, and whether they say all of the pattern."""
    left, right = (tuple(_groups(pattern, side)) for side in _sides(pattern))
    before, after = (tuple(name for group in side for name in group) for side in (left, right))
    plain = all(len(group) == 1 for group in left)
    *singles, end = right or ((),)
    merges = len(end) > 1 or ELLIPSIS in end
    ends = " ".join("places" if name == ELLIPSIS else name for name in end)
    match left, right:
        case _, (whole,) if plain and whole == before:
            return "flatten", True
        case _ if (
            plain
            and before == after
            and merges
            and (*singles, end)
            == (
                *left[: len(singles)],
                end,
            )
        ):
            return f"flatten {ends}", True
        case ((g, c), *rest), (swapped, *others) if (c, g) == swapped and rest == others:
            return "channel shuffle", True
        case ((c, a, b), (h,), (w,)), _ if right == ((c,), (h, a), (w, b)):
            return "pixel shuffle", True
        case ((c,), *others), _ if plain and len(before) > 2 and right == (*others, (c,)):
            return f"{CHANNELS.get(c, c)} last", True
        case _, ((c,), *others) if plain and len(before) > 2 and left == (*others, (c,)):
            return f"{CHANNELS.get(c, c)} first", True
        case ((c,), *_), (places, (last,)) if (
            plain
            and (len(places) > 1 or ELLIPSIS in places)
            and (*places, last) == (*before[1:], c)
        ):
            said = " ".join(places).replace(ELLIPSIS, "places")
            return f"flatten {said}, {CHANNELS.get(c, c)} last", True
        case _, (rows, (name,)) if len(rows) > 1:
            return f"rows of {name}", False
        case _ if before == after:
            return "reshape", False
        case _ if plain and all(len(group) == 1 for group in right):
            return "transpose", len(left) == 2
    return "rearrange", False


def _sides(pattern: str) -> tuple[str, str]:
    left, arrow, right = pattern.partition("->")
    if not arrow or "->" in right:
        raise _bad(pattern, "the pattern needs one `->`")
    return left, right


def _names(pattern: str, text: str) -> Names:
    names = tuple(text.split())
    for name in names:
        if not name.isidentifier():
            raise _bad(pattern, f"`{name}` is not a valid axis name")
    return names


def _groups(pattern: str, text: str) -> tuple[Names, ...]:
    """The axes of one side; `1` is an axis of no names."""
    groups: list[Names] = []
    inner: list[str] | None = None
    position, text = 0, text.rstrip()
    while position < len(text):
        match = TOKEN.match(text, position)
        if match is None:
            character = text[position:].strip()[0]
            help = "three dots are axes without names: `...`" if character == "…" else ""
            raise _bad(pattern, f"`{character}` is not a valid axis name", help)
        token, position = match[1], match.end()
        if token in "()":
            if (token == "(") != (inner is None):
                raise _bad(pattern, "parentheses do not match")
            if inner is not None:
                groups.append(tuple(inner))
            inner = [] if token == "(" else None
        elif inner is not None:
            inner += [token] if token != "1" else []
        else:
            groups.append((token,) if token != "1" else ())
    if inner is not None:
        raise _bad(pattern, "parentheses do not match")
    return tuple(groups)


def _free(wanted: str, taken: dict[str, str]) -> str:
    """A letter that is not taken, one of those wanted if there is one."""
    letters = [c for c in wanted if c in string.ascii_lowercase] + list(string.ascii_lowercase)
    return next(c for c in letters if c not in taken.values())


def _bad(pattern: str, message: str, help: str = "") -> OpError:
    return OpError(f'in "{pattern}": {message}', attribute="pattern", code="E401", help=help)
