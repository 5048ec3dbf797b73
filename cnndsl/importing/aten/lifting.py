"""What is computed of parameters and numbers alone, as layers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from cnndsl.importing.aten.table import RULES, nothing
from cnndsl.importing.calls import Call, Constant, Seen
from cnndsl.ops.base import OPS
from cnndsl.ops.facts import Shape

WHOLE = frozenset(("matmul", "bmm", "einsum", "stack", "scaled_dot_product_attention"))
"""Operations all of whose tensors must flow; the others take parameters beside the first."""

MOST = 64
"""As many numbers may stand in a file's `values`."""


def lifted(call: Call, beside: Seen) -> Any:
    """What a call of parameters alone gives, as layers.  Raises ArchError: it has no rule."""
    given: dict[str, Any] = {}
    done = False
    for name, value in call.given.items():
        if name == "tensors":
            given[name] = [flowing(call, one, beside) for one in value]
        elif isinstance(value, Constant) and (not done or call.word in WHOLE):
            given[name], done = flowing(call, value, beside), True
        else:
            given[name] = value
    made = replace(call, given=given)
    if nothing(made):
        return next(value for value in given.values() if isinstance(value, Seen))
    rule = RULES.get(call.word)
    if rule is None:
        raise call.refuse("of parameters has no word in the language")
    return rule(made)


def lifter(call: Call) -> Callable[[int, Seen], Seen]:
    """What makes each result of a call of parameters a layer, once, where the call stands."""
    scopes, memory = call.reader.scopes, dict[int, Seen]()

    def lift(number: int, beside: Seen) -> Seen:
        if number not in memory:
            now, call.reader.scopes = call.reader.scopes, scopes
            try:
                found = lifted(call, beside)
            finally:
                call.reader.scopes = now
            memory.update(enumerate(found if isinstance(found, list) else [found]))
        return memory[number]

    return lift


def flowing(call: Call, constant: Constant, beside: Seen) -> Seen:
    """A parameter, or what is computed of some, as a tensor that all samples share."""
    if constant.value is not None:
        return _numbers(call, constant, beside)
    if constant.name and constant.each:
        made = learned(call, constant, beside, constant.each)
        return call.reader.seen(made.value)
    if constant.name:
        return learned(call, constant, beside, constant.shape or (1,))
    if constant.lift is None:
        raise call.refuse(f"with what `{constant.made}` gives, which a file cannot express")
    return constant.lift(beside)


def learned(call: Call, weight: Constant, beside: Seen, sizes: Shape) -> Seen:
    """A parameter as a `learned` tensor, one for all who read it."""
    if weight.buffer:
        raise call.refuse(f"with the buffer `{weight.name}`, which a file would learn")
    known = call.reader.learned
    if (weight.name, sizes) not in known:
        names = {"weight": weight.name}
        known[weight.name, sizes] = call.layer("learned", [beside], [sizes], names, sizes=sizes)
    return call.reader.seen(known[weight.name, sizes], sizes, -1)


def _numbers(call: Call, constant: Constant, beside: Seen) -> Seen:
    """Numbers as a constant tensor."""
    value = constant.value.detach().double()
    shape = tuple(constant.shape) or (1,)
    at = beside.batch
    each = at >= 0 and len(shape) == len(beside.shape) and 1 < shape[at] == beside.shape[at]
    if each and bool((value == value.narrow(at, 0, 1)).all()):  # written out for each sample
        value, shape = value.narrow(at, 0, 1), (*shape[:at], 1, *shape[at + 1 :])
    flat = [shortest(call, number, constant) for number in value.flatten().tolist()]
    if len(set(flat)) == 1:
        given: dict[str, Any] = {"sizes": shape, "value": flat[0]}
        return call.reader.seen(call.layer("full", [beside], [shape], **given), shape, -1)
    mask = _mask(value.squeeze())
    if mask is not None:
        sizes = tuple(n for n in shape if n != 1)
        made = call.layer("window_mask", [beside], [sizes], **mask)
        return _laid(call, call.reader.seen(made, sizes, -1), shape)
    if len(flat) > MOST:
        grid = _grid(call, constant, value.reshape(shape), beside)
        if grid is None:
            raise call.refuse(f"with {len(flat)} constant numbers")
        return grid
    made = call.layer("values", [beside], [(len(flat),)], numbers=tuple(flat))
    return _laid(call, call.reader.seen(made, (len(flat),), -1), shape)


def _laid(call: Call, x: Seen, shape: Shape) -> Seen:
    """What all samples share, read as another shape."""
    if x.ours != shape:
        x = call.reader.seen(call.layer("reshape", [x], [shape], sizes=shape), shape, -1)
    return x


def _grid(call: Call, constant: Constant, value: Any, beside: Seen) -> Seen | None:
    """Coordinates: all of it goes along one axis, or each entry of the last axis does."""
    for pieces in ([value], value.split(1, -1)):
        axes = [axis for piece in pieces if (axis := _along(piece)) is not None]
        if len(axes) == len(pieces) <= FEW:
            break
    else:
        return None
    whole, rows = tuple(pieces[0].shape), []
    for piece, axis in zip(pieces, axes, strict=True):
        row = _row(call, constant, _line(piece, axis), beside)
        if row is None:
            return None
        sizes = tuple(n if number == axis else 1 for number, n in enumerate(whole))
        rows.append(_laid(call, row, sizes))
    zeros = call.reader.seen(call.layer("full", [beside], [whole], sizes=whole, value=0.0))
    made = [call.reader.seen(call.layer("add", [row, zeros], [whole])) for row in rows]
    shape = tuple(value.shape)
    last: dict[str, Any] = {"axis": len(shape) - 1}
    joined = call.layer("concat", made, [shape], **last) if len(made) > 1 else made[0].value
    return call.reader.seen(joined, shape, -1)


FEW = 4
"""So many coordinates may stand side by side."""


def _along(value: Any) -> int | None:
    """The axis along which alone numbers change, if there is one."""
    for axis in range(value.dim()):
        line = _line(value, axis)
        sizes = [len(line) if n == axis else 1 for n in range(value.dim())]
        if bool((value == line.reshape(sizes)).all()):
            return axis
    return None


def _line(value: Any, axis: int) -> Any:
    """The numbers along one axis, at the start of the others."""
    return value[tuple(slice(None) if n == axis else 0 for n in range(value.dim()))]


def _row(call: Call, constant: Constant, line: Any, beside: Seen) -> Seen | None:
    """Numbers of a line, or equal steps: `values(0..224) -> mul -> add`."""
    count = len(line)
    flat = [shortest(call, number, constant) for number in line.tolist()]
    if count <= MOST:
        made = call.layer("values", [beside], [(count,)], numbers=tuple(flat))
        return call.reader.seen(made, (count,), -1)
    step = (flat[-1] - flat[0]) / (count - 1)
    even = line.new_tensor([flat[0] + step * n for n in range(count)])
    if not bool(((even - line).abs() <= SINGLE * line.abs().max()).all()):
        return None
    call.reader.rounds = True
    made = call.layer("values", [beside], [(count,)], numbers=tuple(map(float, range(count))))
    for word, by, same in (("mul", step, 1.0), ("add", flat[0], 0.0)):
        if by != same:
            made = call.layer(word, [call.reader.seen(made)], [(count,)], by=by)
    return call.reader.seen(made, (count,), -1)


SINGLE = 2.0**-22
"""How far single precision may be from equal steps, by the largest number."""


def shortest(call: Call, number: float, constant: Constant) -> float:
    """The shortest number that is the same one in the precision of a constant."""
    if str(constant.value.dtype) != "torch.float32":
        return number
    found = float(str(np.float32(number)))
    call.reader.rounds |= found != number
    return found


def _mask(value: Any) -> dict[str, Any] | None:
    """The windows and the shift that a mask is of, if it is one: half a window's, or none."""
    if value.dim() != 3 or value.shape[1] != value.shape[2]:
        return None
    count, places, _ = value.shape
    number = float(value.min())
    given = [
        ((rows * high, count // rows * wide), (high, wide), shift)
        for high in range(1, places + 1)
        for rows in range(1, count + 1)
        if not places % high and not count % rows
        for wide in [places // high]
        for shift in ((high // 2, wide // 2), (high // 2, 0), (0, wide // 2))
    ]
    for size, sides, shift in given:
        found = OPS["window_mask"](size=size, places=sides, shift=shift, value=number)
        if (found.mask() == value.numpy()).all():  # type: ignore[attr-defined]
            return {"size": size, "places": sides, "shift": shift, "value": number}
    return None


def same(call: Call, first: Seen, second: Seen) -> tuple[Seen, Seen]:
    """Two tensors, at least one of them the same for all samples, with axes in one order.

    Raises ArchError: it is not the same for all.
    """
    if first.batch < 0 and second.batch < 0:
        rank = max(len(first.shape), len(second.shape))
        return _ranked(call, first, rank), _ranked(call, second, rank)
    if first.batch < 0:
        second, first = same(call, second, first)
        return first, second
    rank, batch = len(first.shape), first.batch
    shape = (*[1] * (rank - len(second.shape)), *second.shape)
    if len(shape) > rank or shape[batch] != 1:
        raise call.refuse("with a tensor that is not the same for all samples")
    ours = shape if first.merged else (*shape[:batch], *shape[batch + 1 :])
    made = second.value
    if ours != second.ours:
        made = call.layer("reshape", [second], [ours], sizes=ours)
    whole = (*shape[:batch], first.shape[batch], *shape[batch + 1 :])
    return first, call.reader.seen(made, whole, batch, merged=first.merged)


def _ranked(call: Call, x: Seen, rank: int) -> Seen:
    if len(x.shape) == rank:
        return x
    shape = (*[1] * (rank - len(x.shape)), *x.shape)
    return call.reader.seen(call.layer("reshape", [x], [shape], sizes=shape), shape, -1)


def uniform(call: Call, constant: Constant) -> float | None:
    """The number that all of a constant's entries are.

    Raises ArchError: it is saved with the weights, so that training may make others of it.
    """
    if constant.value is None or not math.prod(constant.shape):
        return None
    value = constant.value.flatten()
    if not bool((value == value[0]).all()):
        return None
    if constant.saved:
        raise call.refuse(
            f"with {constant.spoken}, a saved buffer, all {float(value[0]):g} now"
        )
    return shortest(call, float(value[0]), constant)
