"""Tensor methods that only read axes otherwise, in one form each.

Flatten, view, unflatten, squeeze and indexing with None are one reshape; transposes are
one permutation; chunk, split and slices are one narrowing; two of a kind are one. So
`x.mean((2, 3))` and an average pool to 1 with a flatten after it are one term.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from cnndsl.backends.torch.proof.faults import ProofError
from cnndsl.backends.torch.proof.terms import (
    Batch,
    Extent,
    Extents,
    Numbering,
    Tensor,
    Term,
    read,
    spell_value,
)

View = TypeVar("View", bound=Callable[..., Any])
VIEWS: dict[str, Callable[..., Any]] = {}
"""By the name that a file calls; each takes the numbering and the tensor first."""


def view(*names: str) -> Callable[[View], View]:
    """Register a function under the names that a file may call."""

    def register(function: View) -> View:
        VIEWS.update(dict.fromkeys(names, function))
        return function

    return register


def shape_of(x: Tensor) -> Extents:
    """The shape.  Raises ProofError: the network has no such value, nor a view of one."""
    if x.shape is None:
        raise ProofError("the network computes no such value, so that its shape is not known")
    return x.shape


def axis_of(x: Tensor, axis: object, more: int = 0) -> int:
    """An axis counted from the front.  Raises ProofError: there is none."""
    rank = len(shape_of(x)) + more
    if type(axis) is not int or not -rank <= axis < rank:
        raise ProofError(f"a tensor of {rank} axes has no axis {axis!r}")
    return axis % rank


def elements(sizes: Sequence[Extent]) -> tuple[int, int]:
    """The product of the sizes, and the power of the batch in it."""
    factors = [size.factor if isinstance(size, Batch) else size for size in sizes]
    return math.prod(factors), sum(isinstance(size, Batch) for size in sizes)


def reshaped(table: Numbering, x: Tensor, shape: Extents) -> Tensor:
    """The same elements in order: a reshape of what a reshape reads."""
    if elements(shape_of(x)) != elements(shape):
        raise ProofError(f"a tensor of {spell_value(x.shape)} is not {spell_value(shape)}")
    return _reshaped(table, x, shape)


def _reshaped(table: Numbering, x: Tensor, shape: Extents) -> Tensor:
    number = read(x)
    term = table.terms[number]
    if term.head == "reshape":
        (number,) = term.operands
    if table.shapes[number] == shape:
        return Tensor(number, shape, x.storage, x.version)
    return table.view(Term("reshape", (("shape", shape),), (number,)), shape, x)


def resolved(table: Numbering, x: Tensor, shape: Sequence[object]) -> Extents:
    """A shape with its one -1 found.  Raises ProofError: it cannot be."""
    for size in shape:
        if not isinstance(size, Batch) and (type(size) is not int or size < -1):
            raise ProofError(f"{size!r} is not a size")
    sizes: list[Any] = list(shape)
    if sizes.count(-1) > 1:
        raise ProofError("only one size of a shape can be -1")
    if -1 not in sizes:
        return tuple(sizes)
    total, batches = elements(shape_of(x))
    known, said = elements([size for size in sizes if size != -1])
    if known == total == 0 and batches > said and not table.closed:
        # PyTorch would not know; an operation over no rows means the batch.
        sizes[sizes.index(-1)] = Batch(1)
        return tuple(sizes)
    if known == 0 or total % known or batches - said not in (0, 1):
        raise ProofError(f"a tensor of {spell_value(x.shape)} is not {spell_value(sizes)}")
    rest = total // known
    sizes[sizes.index(-1)] = Batch(rest) if batches > said else rest
    return tuple(sizes)


def _sizes(sizes: tuple[Any, ...]) -> tuple[Any, ...]:
    """`f(1, 2)` and `f((1, 2))`."""
    if len(sizes) == 1 and isinstance(sizes[0], list | tuple):
        return tuple(sizes[0])
    return sizes


@view(".reshape", "torch.reshape")
def reshape(table: Numbering, x: Tensor, *shape: Any) -> Tensor:
    """The same elements, as another shape."""
    return reshaped(table, x, resolved(table, x, _sizes(shape)))


@view(".view")
def viewed(table: Numbering, x: Tensor, *shape: Any) -> Tensor:
    """A reshape that never copies.  Raises ProofError: PyTorch might refuse it."""
    if table.terms[x.number].head in ("permute", "narrow") and x.storage.writer != "copy":
        raise ProofError("`view` needs a tensor in one piece: reshape it")
    return reshape(table, x, *shape)


@view(".flatten", "torch.flatten")
def flatten(table: Numbering, x: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Some axes in one."""
    shape = shape_of(x)
    start, end = axis_of(x, start_dim), axis_of(x, end_dim)
    if start > end:
        raise ProofError(f"no axes from {start_dim} to {end_dim}")
    total, batches = elements(shape[start : end + 1])
    size: Extent = Batch(total) if batches else total
    return reshaped(table, x, (*shape[:start], size, *shape[end + 1 :]))


@view(".unflatten", "torch.unflatten")
def unflatten(table: Numbering, x: Tensor, dim: int, sizes: Any) -> Tensor:
    """One axis as several."""
    shape, axis = shape_of(x), axis_of(x, dim)
    if not isinstance(sizes, list | tuple):
        raise ProofError(f"{sizes!r} are not sizes")
    part = Tensor(x.number, (shape[axis],), x.storage, x.version)
    inner = resolved(table, part, sizes)
    if elements(inner) != elements([shape[axis]]):
        raise ProofError(f"{spell_value(shape[axis])} is not {spell_value(inner)}")
    return reshaped(table, x, (*shape[:axis], *inner, *shape[axis + 1 :]))


@view(".unsqueeze", "torch.unsqueeze")
def unsqueeze(table: Numbering, x: Tensor, dim: int) -> Tensor:
    """A new axis of size 1."""
    shape, axis = shape_of(x), axis_of(x, dim, 1)
    return reshaped(table, x, (*shape[:axis], 1, *shape[axis:]))


@view(".squeeze", "torch.squeeze")
def squeeze(table: Numbering, x: Tensor, dim: Any) -> Tensor:
    """Without axes of size 1; which they are is said, since a batch may be 1."""
    axes = {axis_of(x, axis) for axis in (dim if isinstance(dim, tuple) else (dim,))}
    shape = shape_of(x)
    if any(isinstance(shape[axis], Batch) for axis in axes):
        raise ProofError("a batch is squeezed")
    kept = (n for axis, n in enumerate(shape) if axis not in axes or n != 1)
    return reshaped(table, x, tuple(kept))


@view(".permute", "torch.permute")
def permute(table: Numbering, x: Tensor, *dims: Any) -> Tensor:
    """The axes in another order."""
    order = [axis_of(x, axis) for axis in _sizes(dims)]
    shape = shape_of(x)
    if sorted(order) != list(range(len(shape))):
        raise ProofError(f"{spell_value(tuple(order))} are not all axes once")
    number = read(x)
    term = table.terms[number]
    after = tuple(shape[axis] for axis in order)
    if term.head == "permute":
        (number,) = term.operands
        first: Any = dict(term.attributes)["order"]
        order = [first[axis] for axis in order]
    if order == list(range(len(shape))):
        return Tensor(number, after, x.storage, x.version)
    return table.view(Term("permute", (("order", tuple(order)),), (number,)), after, x)


@view(".transpose", "torch.transpose")
def transpose(table: Numbering, x: Tensor, dim0: int, dim1: int) -> Tensor:
    """Two axes exchanged."""
    order = list(range(len(shape_of(x))))
    one, other = axis_of(x, dim0), axis_of(x, dim1)
    order[one], order[other] = order[other], order[one]
    return permute(table, x, *order)


@view(".movedim", "torch.movedim")
def movedim(table: Numbering, x: Tensor, source: int, destination: int) -> Tensor:
    """One axis elsewhere."""
    order = list(range(len(shape_of(x))))
    order.insert(axis_of(x, destination), order.pop(axis_of(x, source)))
    return permute(table, x, *order)


@view(".narrow", "torch.narrow")
def narrow(table: Numbering, x: Tensor, dim: int, start: int, length: int) -> Tensor:
    """A part of an axis."""
    shape, axis = shape_of(x), axis_of(x, dim)
    size = shape[axis]
    if isinstance(size, Batch) or type(start) is not int or type(length) is not int:
        raise ProofError("a part of the batch")
    if not (start >= 0 and length >= 0 and start + length <= size):
        raise ProofError(f"an axis of {size} has no part {start} to {start + length}")
    if length == size:
        return x
    number = read(x)
    term = table.terms[number]
    inner: Any = dict(term.attributes)
    if term.head == "narrow" and inner["axis"] == axis:
        (number,) = term.operands
        start += inner["start"]
    after = (*shape[:axis], length, *shape[axis + 1 :])
    attributes = (("axis", axis), ("length", length), ("start", start))
    return table.view(Term("narrow", attributes, (number,)), after, x)


@view(".split", "torch.split")
def split(table: Numbering, x: Tensor, sizes: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Parts of an axis one after another; the last of equal ones may be less."""
    size = shape_of(x)[axis_of(x, dim)]
    if isinstance(size, Batch):
        raise ProofError("the batch is split")
    if not isinstance(sizes, list | tuple):
        if type(sizes) is not int or sizes < 1:
            raise ProofError(f"{sizes!r} is not a size")
        sizes = [min(sizes, size - start) for start in range(0, size, sizes)]
    if sum(sizes) != size:
        raise ProofError(f"parts of {spell_value(tuple(sizes))} do not make up {size}")
    starts = [sum(sizes[:n]) for n in range(len(sizes))]
    return tuple(narrow(table, x, dim, *part) for part in zip(starts, sizes, strict=True))


@view(".chunk", "torch.chunk")
def chunk(table: Numbering, x: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """So many parts of an axis, or fewer where it does not divide."""
    size = shape_of(x)[axis_of(x, dim)]
    if isinstance(size, Batch) or type(chunks) is not int or chunks < 1:
        raise ProofError(f"{chunks!r} parts of {spell_value(size)}")
    return split(table, x, -(-size // chunks), dim)


@view(".unbind", "torch.unbind")
def unbind(table: Numbering, x: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """Each part of an axis, without the axis."""
    size, axis = shape_of(x)[axis_of(x, dim)], axis_of(x, dim)
    if isinstance(size, Batch):
        raise ProofError("the batch is taken apart")
    return tuple(select(table, x, axis, at) for at in range(size))


@view(".select", "torch.select")
def select(table: Numbering, x: Tensor, dim: int, index: int) -> Tensor:
    """One part of an axis, without the axis."""
    shape, axis = shape_of(x), axis_of(x, dim)
    size = shape[axis]
    if isinstance(size, Batch) or type(index) is not int or not -size <= index < size:
        raise ProofError(f"{spell_value(size)} has no index {index!r}")
    part = narrow(table, x, axis, index % size, 1)
    return reshaped(table, part, (*shape[:axis], *shape[axis + 1 :]))


def indexed(table: Numbering, x: Tensor, index: object) -> Tensor:
    """`x[:, 1:3, None, ..., 0]`.  Raises ProofError: any other index."""
    items = list(index) if isinstance(index, tuple) else [index]
    rank = len(shape_of(x))
    taken = sum(item is not None and item is not Ellipsis for item in items)
    if items.count(Ellipsis) > 1 or taken > rank:
        raise ProofError(f"too many indices for {rank} axes")
    whole = [slice(None)] * (rank - taken)
    at = items.index(Ellipsis) if Ellipsis in items else len(items)
    items[at : at + 1] = whole
    axis = 0
    for item in items:
        if item is None:
            x = unsqueeze(table, x, axis)
        elif type(item) is int:
            x = select(table, x, axis, item)
            continue
        elif isinstance(item, slice):
            x = sliced(table, x, axis, item)
        else:
            raise ProofError(f"an index of {item!r}")
        axis += 1
    return x


def sliced(table: Numbering, x: Tensor, axis: int, part: slice) -> Tensor:
    """A slice of one axis."""
    size = shape_of(x)[axis]
    if part == slice(None):
        return x
    if isinstance(size, Batch):
        raise ProofError("a part of the batch")
    start, stop, step = part.indices(size)
    if step == 1:
        return narrow(table, x, axis, start, max(stop - start, 0))
    if step < 1:
        raise ProofError("PyTorch has no slices of a negative step")
    after = (*shape_of(x)[:axis], len(range(start, stop, step)), *shape_of(x)[axis + 1 :])
    attributes = (("axis", axis), ("start", start), ("step", step), ("stop", stop))
    return table.view(Term("slice", attributes, (read(x),)), after, x)


@view(".mean", "torch.mean")
def mean(table: Numbering, x: Tensor, dim: Any, keepdim: bool = False) -> Tensor:
    """The mean over some axes."""
    axes = sorted({axis_of(x, axis) for axis in (_sizes((dim,)) or (dim,))})
    shape = shape_of(x)
    if any(isinstance(shape[axis], Batch) for axis in axes) or type(keepdim) is not bool:
        raise ProofError("a mean over the batch")
    after = tuple(n for axis, n in enumerate(shape) if axis not in axes)
    found = table.tensor(Term("mean", (("axes", tuple(axes)),), (read(x),)), after)
    kept = tuple(1 if axis in axes else n for axis, n in enumerate(shape))
    return reshaped(table, found, kept) if keepdim else found


@view(".contiguous")
def contiguous(table: Numbering, x: Tensor, memory_format: object = None) -> Tensor:
    """The same values in one piece."""
    found = table.held(read(x), "copy" if memory_format is None else "layout")
    return Tensor(found.number, x.shape, found.storage)


@view("torch.cat", "torch.concat", "torch.concatenate")
def cat(table: Numbering, tensors: Any, dim: int = 0) -> Tensor:
    """The tensors one after another along an axis; a single one is itself."""
    if not isinstance(tensors, list | tuple) or not tensors:
        raise ProofError("`torch.cat` takes a list of tensors")
    if not all(isinstance(x, Tensor) for x in tensors):
        raise ProofError("a value that is not a tensor is concatenated")
    if len(tensors) == 1:
        (x,) = tensors
        return table.view(table.terms[x.number], shape_of(x), x)
    known = next((x for x in tensors if x.shape is not None), None)
    axis = axis_of(known, dim) if known is not None else dim
    return table.tensor(Term("torch.cat", (("axis", axis),), tuple(map(read, tensors))))
