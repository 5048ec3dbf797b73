"""The two notations over axes: einops' for `rearrange`, Einstein's for `einsum`.

Names of axes stand apart (`c h w`), and the batch is never written.
"""

from __future__ import annotations

import itertools
import math
import re
import string
from collections.abc import Sequence

from cnndsl.diagnostics import OpError, listing
from cnndsl.ops.base import (
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
                f"the pattern has {len(self.operands)} operands, and the step {len(inputs)}",
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
                        f"`{name}` is {int(sizes[name])} and {int(size)}",
                        help="an index can have only one size",
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

    def saved(self, inputs: Sequence[Shape], grads: Sequence[bool]) -> Saved:
        """What autograd keeps: of each product, from the left, both of its factors.

        A factor is its operand, or a copy where the axes that the product merges lie apart.
        """
        sizes = self.sizes(inputs)
        kept: set[int] = set()
        own = 0
        left, grad = self.operands[0], grads[0]
        source: int | None = 0
        for number, right in enumerate(self.operands[1:], 1):
            later = {name for names in self.operands[number + 1 :] for name in names}
            after = later | set(self.output)
            summed = [n for n in left if n in right and n not in after and sizes[n] > 1]
            shared = [name for name in self.output if name in left and name in right]
            for factor, (names, place, other) in enumerate(
                ((left, source, grads[number]), (right, number, grad))
            ):
                alone = [name for name in names if name in after and name not in shared]
                rest = [name for name in names if name in after or name in summed]
                merged = (shared, summed, alone) if factor else (shared, alone, summed)
                # What this factor alone sums over goes first, into a tensor of its own.
                wide = [name for name in names if name in rest or sizes[name] > 1]
                lies = rest == wide and _viewed(names, merged, sizes)
                copied = not lies and (bool(summed) or rest != wide)
                if other and (copied or place is None):
                    own += math.prod(sizes[name] for name in rest)
                elif other and place is not None:
                    kept.add(place)
            left = tuple(name for name in dict.fromkeys((*left, *right)) if name in after)
            source, grad = None, grad or grads[number]
        return Saved(tuple(sorted(kept)), own=BYTES * own)

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

    def joined(self, inputs: Sequence[Shape]) -> Integers:
        """The operands of which a product joins axes to the batch."""
        if len(inputs) != 2:
            return ()
        sizes, both = self.sizes(inputs), set.intersection(*map(set, self.operands))
        wide = any(sizes[name] > 1 for name in both & set(self.output))
        return (0, 1) if wide and both - set(self.output) else ()

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
            raise _bad(pattern, f"{listing(odd)} must appear on both sides")
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
                raise OpError(f"{name}={int(size)}", help="at least 1", attribute=name)
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

    def view(self, sizes: dict[str, int]) -> bool:
        """Whether each axis of the right side lies evenly in the input's memory."""
        names = [name for group in self.left for name in group]
        return _viewed(names, [(), *self.right], sizes)  # the batch is an axis of its own

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


def _viewed(
    names: Sequence[str], merged: Sequence[Sequence[str]], sizes: dict[str, int]
) -> bool:
    """Whether axes that lie in this order can be merged in groups without a copy.

    The batch belongs to the first group.
    """
    strides, step = {}, 1
    for name in reversed(names):
        strides[name] = step
        step *= sizes[name]
    strides[""] = step
    for number, group in enumerate(merged):
        wide = [name for name in group if sizes[name] != 1]
        wide = wide if number else ["", *wide]
        for outer, inner in itertools.pairwise(wide):
            if strides[outer] != strides[inner] * sizes[inner]:
                return False
    return True


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
            else f"`1` stands for an axis of {int(size)}",
            attribute=next((name for name in group if name in given), "pattern"),
        )
    return {name: given.get(name, size // product) for name in group}


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
            raise _bad(pattern, f"`{text[position:].strip()[0]}` is not a valid axis name")
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


def _bad(pattern: str, message: str) -> OpError:
    return OpError(f'in "{pattern}": {message}', attribute="pattern", code="E401")
