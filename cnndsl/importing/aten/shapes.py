"""What moves elements in PyTorch: shapes and parts."""

from __future__ import annotations

import math
from typing import Any

from cnndsl.importing.aten.numbers import aligned, constant
from cnndsl.importing.aten.table import permuted, rule
from cnndsl.importing.calls import Call, Constant, Seen
from cnndsl.importing.flow import Value
from cnndsl.ops.base import OPS
from cnndsl.ops.facts import Shape

# Parts and joins


def _along(axis: int) -> dict[str, Any]:
    return {"axis": axis} if axis else {}


@rule("cat", "concat")
def _cat(call: Call) -> Seen:
    given = call["tensors"]
    beside = next(part for part in given if isinstance(part, Seen))
    rank = len(beside.shape)
    parts = [
        constant(call, x, beside, rank) if isinstance(x, Constant) else call.seen(x)
        for x in given
    ]
    parts = [aligned(call, beside, part)[1] for part in parts]
    axis = parts[0].axis(call["dim"] or 0)
    if axis is None or (parts[0].merged and axis == parts[0].batch):
        raise call.refuse("along the batch")
    shapes = [part.ours for part in parts]
    total = sum(shape[axis] for shape in shapes)
    shape = (*shapes[0][:axis], total, *shapes[0][axis + 1 :])
    made = call.layer("concat", parts, [shape], **_along(axis))
    return call.like(made, parts[0])


@rule("stack")
def _stack(call: Call) -> Seen:
    parts = [call.seen(part) for part in call["tensors"]]
    for part in parts[1:]:
        aligned(call, parts[0], part)
    first, rank = parts[0], len(parts[0].shape)
    place = call["dim"] % (rank + 1)
    if first.merged:
        raise call.refuse("of tensors whose batch is merged with another axis")
    before = place <= first.batch
    axis = place - (first.batch >= 0 and not before)
    shape = first.ours
    one = (*shape[:axis], 1, *shape[axis:])
    grown = [call.reader.seen(call.layer("reshape", [p], [one], sizes=one)) for p in parts]
    whole = (*shape[:axis], len(parts), *shape[axis:])
    made = call.layer("concat", grown, [whole], **_along(axis))
    return call.reader.seen(made, call.shapes[0], first.batch + before)


def _parts(call: Call, x: Seen, axis: int, sizes: list[int]) -> list[Value]:
    """`split` along our axis."""
    shape = x.ours
    shapes = [(*shape[:axis], n, *shape[axis + 1 :]) for n in sizes]
    if len(sizes) == 1:
        return [x.value]
    equal = len(set(sizes)) == 1
    sections: object = len(sizes) if equal else tuple(sizes)
    given: dict[str, Any] = {"sections": sections} | ({"axis": axis} if axis else {})
    name, _ = call.layer("split", [x], shapes, **given)
    return [(name, number) for number in range(len(sizes))]


@rule("split", "split_with_sizes", "chunk", "unsafe_chunk")
def _split(call: Call) -> list[Seen]:
    x = call.tensor("self")
    dim = (call["dim"] or 0) % len(x.shape)
    axis = x.axis(dim)
    if axis is None or (x.merged and dim == x.batch):
        raise call.refuse("of the batch")
    sizes = [shape[dim] for shape in call.shapes]
    values = _parts(call, x, axis, sizes)
    return [
        call.reader.seen(value, shape, x.batch, merged=x.merged)
        for value, shape in zip(values, call.shapes, strict=True)
    ]


@rule("glu")
def _glu(call: Call) -> Seen:
    """One half times the sigmoid of the other."""
    x = call.tensor("self")
    axis = x.axis(call["dim"])
    if axis is None or (x.merged and axis == x.batch):
        raise call.refuse("of the batch")
    half = x.ours[axis] // 2
    first, second = (call.reader.seen(one) for one in _parts(call, x, axis, [half, half]))
    gate = call.reader.seen(call.layer("sigmoid", [second], [second.ours]))
    return call.like(call.layer("mul", [first, gate], [first.ours]), x)


@rule("unbind")
def _unbind(call: Call) -> list[Seen]:
    x = call.tensor("self")
    dim = (call["dim"] or 0) % len(x.shape)
    axis = x.axis(dim)
    if axis is None or (x.merged and dim == x.batch):
        raise call.refuse("of the batch")
    values = _parts(call, x, axis, [1] * x.shape[dim])
    pairs = zip(values, call.shapes, strict=True)
    return [_squeezed(call, value, x, dim, shape) for value, shape in pairs]


def _squeezed(call: Call, value: Value, x: Seen, dim: int, shape: Shape) -> Seen:
    axis = x.axis(dim)
    assert axis is not None
    ours = (*x.ours[:axis], *x.ours[axis + 1 :])
    made = call.layer("reshape", [call.reader.seen(value)], [ours], sizes=ours)
    return call.reader.seen(made, shape, x.batch - (dim < x.batch), merged=x.merged)


@rule("select")
def _select(call: Call) -> Seen:
    x = call.tensor("self")
    dim = call["dim"] % len(x.shape)
    axis = x.axis(dim)
    if axis is None or (x.merged and dim == x.batch):
        raise call.refuse("of the batch")
    index = call["index"]
    stop = index + 1 if index != -1 else None
    made = _cut(call, x, axis, index, stop, 1)
    return _squeezed(call, made.value, x, dim, call.shapes[0])


@rule("slice", "narrow")
def _slice(call: Call) -> Seen:
    x = call.tensor("self")
    dim = call["dim"] % len(x.shape)
    start, end, step = call["start"] or 0, call["end"], call["step"] or 1
    if call.word == "narrow":
        end = start % x.shape[dim] + call["length"]
    axis = x.axis(dim)
    if axis is None or (x.merged and dim == x.batch):
        if range(x.shape[dim])[start:end:step] == range(x.shape[dim]):
            return x
        raise call.refuse("of the batch")
    return _cut(call, x, axis, start, end, step)


def _cut(call: Call, x: Seen, axis: int, start: int, end: int | None, step: int) -> Seen:
    """`x[start:end:step]` along our axis; what counts from the end still does."""
    size = x.ours[axis]
    places = range(size)[start:end:step]
    if places == range(size):
        return x
    given: dict[str, Any] = _along(axis) | ({"step": step} if step != 1 else {})
    if places.start:
        given["start"] = start if start < 0 else places.start
    if places.stop < size or (end is not None and end < size):
        given["stop"] = end
    ours = (*x.ours[:axis], len(places), *x.ours[axis + 1 :])
    return call.like(call.layer("slice", [x], [ours], **given), x)


# Axes


@rule("permute", "transpose", "t", "swapaxes", "swapdims", "movedim", "moveaxis")
def _permute(call: Call) -> Seen:
    x = call.tensor("self")
    rank = len(x.shape)
    order = list(range(rank))
    if call.word == "permute":
        order = [d % rank for d in call["dims"]]
    elif call.word.startswith("move"):
        pairs = zip(*(_listed(call[name]) for name in ("source", "destination")), strict=True)
        moved = {to % rank: axis % rank for axis, to in pairs}
        left = iter([axis for axis in order if axis not in moved.values()])
        order = [moved[n] if n in moved else next(left) for n in range(rank)]
    else:
        given = [value % rank for value in call.given.values() if isinstance(value, int)]
        i, j = (0, 1) if call.word == "t" else given
        order[i], order[j] = order[j], order[i]
    batch = order.index(x.batch) if x.batch >= 0 else -1
    without = tuple(d - (d > x.batch) for d in order if d != x.batch)
    ours = tuple(order) if x.merged or x.batch < 0 else without
    return call.reader.seen(permuted(call, x, ours), call.shapes[0], batch, merged=x.merged)


def _listed(value: Any) -> list[int]:
    return [value] if isinstance(value, int) else list(value)


@rule("view", "reshape", "flatten", "unflatten", "unsqueeze", "squeeze")
@rule("view_as", "reshape_as")
def _view(call: Call) -> Seen:
    x, shape = call.tensor("self"), call.shapes[0]
    maps = (call["start_dim"], call["end_dim"]) == (0, 1) and len(shape) > 3
    if call.word == "flatten" and maps and not (x.batch or x.merged) and x.rows == 1:
        rows = (x.shape[0] * x.shape[1], *x.shape[2:])
        return call.apart(call.reader.seen(x.value, rows, merged=1))
    return _reread(call, x, shape)


def _reread(call: Call, x: Seen, shape: Shape) -> Seen:
    """The same elements in order as another shape, whose batch is found again."""
    if x.batch < 0:
        return call.reader.seen(_reshaped(call, x, shape or (1,)), shape or (1,), -1)
    if x.rows > 1 and shape[0] % (call.reader.batch * x.rows):
        x = call.together(x)
    before, after = math.prod(x.shape[: x.batch]), 1
    samples = call.reader.batch * x.rows
    if x.merged == 2:
        before *= x.ours[x.batch]
    for place, size in enumerate(shape):
        if x.merged == 2 and after * size == before * samples:
            ours = (*shape[:place], size // samples, *shape[place + 1 :])
            if size > samples:
                return call.reader.seen(_reshaped(call, x, ours), shape, place, merged=2)
        if after == before and size == samples:
            ours = (*shape[:place], *shape[place + 1 :])
            return call.reader.seen(_reshaped(call, x, ours), shape, place)
        if after == before and size % samples == 0:
            ours = (*shape[:place], size // samples, *shape[place + 1 :])
            return call.reader.seen(_reshaped(call, x, ours), shape, place, merged=1)
        if not x.merged and place < x.batch and after * size == before * samples:
            ours = (*shape[:place], size // samples, *shape[place + 1 :])
            return call.reader.seen(_reshaped(call, x, ours), shape, place, merged=2)
        after *= size
    raise call.refuse("mixes the samples of a batch")


def _reshaped(call: Call, x: Seen, ours: Shape) -> Value:
    return x.value if ours == x.ours else call.layer("reshape", [x], [ours], sizes=ours)


@rule("expand", "expand_as")
def _expand(call: Call) -> Seen:
    x, shape = call.tensor("self"), call.shapes[0]
    if x.batch < 0 and shape[0] == call.reader.batch and x.ours == shape[1:]:
        return call.reader.seen(x.value)
    # What a product broadcasts by itself; for another reader the shapes do not agree.
    return x


@rule("repeat")
def _repeat(call: Call) -> Seen:
    x = call.tensor("self")
    times = list(call["repeats"])
    lead = len(times) - len(x.shape)
    many = call.reader.batch
    if any(n not in (1, many) for n in times[:lead]) or x.merged:
        raise call.refuse(f"by {times}")
    if x.batch < 0:
        if times[lead:] and times[lead] == many and x.shape[0] == 1:
            times[lead] = 1  # one for each sample
    elif times[lead + x.batch] != 1:
        raise call.refuse("of the batch")
    for dim, count in enumerate(times[lead:]):
        axis = x.axis(dim)
        if count != 1 and axis is not None:
            ours = (*x.ours[:axis], count * x.ours[axis], *x.ours[axis + 1 :])
            made = call.layer("concat", [x] * count, [ours], **_along(axis))
            shape = (*x.shape[:dim], count * x.shape[dim], *x.shape[dim + 1 :])
            x = call.reader.seen(made, shape, x.batch, merged=x.merged)
    return x


@rule("zero", "fill")
def _filled(call: Call) -> Seen:
    """What is written over: the same number everywhere."""
    x, value = call.tensor("self"), call["value"] or 0.0
    if not isinstance(value, int | float):
        raise call.refuse("with a tensor")
    made = call.layer("full", [x], [x.ours], sizes=x.ours, value=float(value))
    return call.like(made, x)


@rule("pixel_shuffle")
def _pixel_shuffle(call: Call) -> Seen:
    x = call.tensor("self", plain=True)
    return call.gives(call.layer("pixel_shuffle", [x], factor=call["upscale_factor"]))


@rule("pixel_unshuffle")
def _pixel_unshuffle(call: Call) -> Seen:
    x = call.tensor("self", plain=True)
    return call.gives(call.layer("pixel_unshuffle", [x], factor=call["downscale_factor"]))


@rule("channel_shuffle")
def _channel_shuffle(call: Call) -> Seen:
    x = call.tensor("self", plain=True)
    return call.gives(call.layer("channel_shuffle", [x], groups=call["groups"]))


@rule("roll")
def _roll(call: Call) -> Seen:
    x = call.tensor("self")
    axes = [x.axis(dim) for dim in call["dims"]]
    if not axes or None in axes or x.merged:
        raise call.refuse("of the batch, or of all axes as one")
    moves = {a: n for a, n in zip(axes, call["shifts"], strict=True) if n % x.ours[a or 0]}
    if not moves:
        return x
    shift, axis = tuple(moves.values()), tuple(moves)
    given: dict[str, Any] = {"shift": shift, "axis": axis}
    if len(moves) == 1:
        given = {"shift": shift[0], "axis": axis[0]}
    return call.like(call.layer("roll", [x], [x.ours], **given), x)


@rule("flip")
def _flip(call: Call) -> Seen:
    x = call.tensor("self")
    axes = tuple(x.axis(dim) for dim in call["dims"])
    if None in axes or x.merged:
        raise call.refuse("of the batch")
    given = axes[0] if len(axes) == 1 else axes
    return call.like(call.layer("flip", [x], [x.ours], axis=given), x)


@rule("index")
def _index(call: Call) -> Seen:
    x = call.tensor("self")
    places = [n for n, index in enumerate(call["indices"]) if index is not None]
    index = call["indices"][places[0]] if len(places) == 1 else None
    if not isinstance(index, Constant) or index.value is None:
        raise call.refuse("by what is computed, or along several axes")
    return _taken(call, x, places[0], index.value)


@rule("index_select", "embedding")
def _selected(call: Call) -> Seen:
    x, index = (call["weight"] or call["self"]), (call["indices"] or call["index"])
    if not isinstance(index, Constant) or index.value is None:
        raise call.refuse("by what is computed")
    return _taken(call, call.seen(x), (call["dim"] or 0) % len(x.shape), index.value)


@rule("gather")
def _gather(call: Call) -> Seen:
    """The same rows for all, which `expand` or `repeat` has written out."""
    x, index = call.tensor("self"), call["index"]
    if not isinstance(index, Constant) or index.value is None:
        raise call.refuse("by what is computed")
    dim, numbers = call["dim"] % len(x.shape), index.value
    first = numbers.movedim(dim, 0).flatten(1)
    sizes = zip(x.shape, numbers.shape, strict=True)
    if any(n != m for d, (n, m) in enumerate(sizes) if d != dim):
        raise call.refuse("of a part of an axis")
    if not bool((first == first[:, :1]).all()):
        raise call.refuse("by other rows in each column")
    return _taken(call, x, dim, first[:, 0])


def _taken(call: Call, x: Seen, dim: int, numbers: Any) -> Seen:
    """What numbers that are known name along an axis."""
    axis = x.axis(dim)
    if axis is None or (x.merged and dim == x.batch) or numbers.is_floating_point():
        raise call.refuse("of the batch")
    if str(numbers.dtype) == "torch.bool":
        raise call.refuse("by a mask")
    given = _window(numbers, x.ours[axis])
    if given is not None:
        return _reread(call, _pairs(call, x, dim, axis, given), call.shapes[0])
    if len(numbers.shape) != 1:
        raise call.refuse(f"by a table of {numbers.numel()} numbers")
    taken = numbers.tolist()
    step = taken[1] - taken[0] if len(taken) > 1 else 1
    if step < 1 or taken != list(range(taken[0], taken[-1] + 1, step)) or taken[0] < 0:
        raise call.refuse(f"by {len(taken)} numbers that are not evenly spaced")
    return _cut(call, x, axis, taken[0], taken[-1] + 1, step)


def _pairs(call: Call, x: Seen, dim: int, axis: int, given: dict[str, Any]) -> Seen:
    """`relative`, whose rows are first; the pairs stand where these were."""
    rest = [n for n in range(len(x.ours)) if n != axis]
    rows = call.reader.seen(permuted(call, x, (axis, *rest)))
    (pairs,) = OPS["relative"](**given).shapes(rows.ours)
    made = call.reader.seen(call.layer("relative", [rows], [pairs], **given))
    order = [n + 2 for n in range(len(rest))]
    order[axis:axis] = [0, 1]
    shape = (*x.shape[:dim], *pairs[:2], *x.shape[dim + 1 :])
    batch = x.batch + (x.batch > dim)
    return call.reader.seen(permuted(call, made, tuple(order)), shape, batch, merged=x.merged)


def _window(numbers: Any, rows: int) -> dict[str, Any] | None:
    """The window whose places' offsets an index names, if it is one: `relative`'s arguments."""
    count = numbers.numel()
    tries = [(True, (h, w)) for h in range(1, rows) for w in [(rows // (2 * h - 1) + 1) // 2]]
    tries += [(False, (h, rows // h)) for h in range(1, rows + 1)]
    for signed, (height, width) in tries:
        places = height * width
        offsets = (2 * height - 1) * (2 * width - 1) if signed else places
        if offsets != rows or width < 1 or count % places or places < 2:
            continue
        sides = (height, width) if height > 1 else (width,)
        for stride in range(1, max(sides) + 1):
            given = {"places": sides, "signed": signed, "stride": stride}
            asking = math.prod((n - 1) // stride + 1 for n in sides)
            if asking * places != count:
                continue
            found = OPS["relative"](**given).rows()  # type: ignore[attr-defined]
            if (found.ravel() == numbers.flatten().numpy()).all():
                return given
    return None
