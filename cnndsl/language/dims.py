"""The sizes of ports: how they are written, and what they come to."""

from __future__ import annotations

from cnndsl.diagnostics import fault
from cnndsl.language import tree
from cnndsl.language.evaluate import integer, show
from cnndsl.language.names import Env, OpRef
from cnndsl.ops.facts import Shape, spell_shape
from cnndsl.symbolic import Axis, axis

SIZE = "size"


def check_rank(port: tree.Port, shape: Shape) -> None:
    """A shape has as many axes as its port.  Raises Fault."""
    dims = port.shape or ()
    rest = any(dim.rest for dim in dims)
    if sum(dim.rest for dim in dims) > 1:
        message = f"`{port.span.text}`: only one size may have a `*`"
        raise fault("E220", message, port.span)
    if len(shape) < len(dims) - rest or (len(shape) > len(dims) and not rest):
        message = f"`{port.span.text}` does not match {spell_shape(shape)}: the ranks differ"
        raise fault("E402", message, port.span)


def aligned(port: tree.Port, shape: Shape | None) -> list[tuple[tree.Dim, object]]:
    """Each dimension of a port with its size; `*S` with a tuple, None where unknown."""
    dims = port.shape or ()
    if shape is None:
        return [(dim, None) for dim in dims]
    extra = len(shape) - len(dims) + 1
    found: list[tuple[tree.Dim, object]] = []
    position = 0
    for dim in dims:
        if dim.rest:
            found.append((dim, tuple(shape[position : position + extra])))
            position += extra
        else:
            found.append((dim, shape[position]))
            position += 1
    return found


def named_axis(tensor: str, number: int, size: int, env: Env) -> int:
    """The size of a tensor's axis, known by the tensor's name from now on."""
    env.frame.symbols[Axis(tensor, number)] = int(size)
    return axis(tensor, number, size)


def bare_name(dim: tree.Dim) -> str | None:
    """The name, where a dimension is only a name."""
    value = dim.value
    match value:
        case tree.Value(path=tree.NamePath(name=name, parts=()), arguments=None):
            return name if dim.name is None else None
        case _:
            return None


def is_new(name: str, env: Env) -> bool:
    """Whether a size's name has no value yet; that of a block has none, and is taken."""
    known = env.lookup(name)
    return known is None or isinstance(known.meaning, OpRef)


def size_of(size: object, dim: tree.Dim) -> int:
    """A size that was found, which must be an integer.  Raises Fault."""
    if isinstance(size, bool) or not isinstance(size, int):
        raise fault("E306", f"`{dim.span.text}` is not a size", dim.span)
    return size


def dimension(dim: tree.Dim, env: Env) -> int | tuple[int, ...] | None:
    """A dimension's size as it is written; None for `_`."""
    if dim.rest or dim.name is not None:
        bound = env.lookup(dim.name or "")
        assert bound is not None
        meaning: int | tuple[int, ...] = bound.meaning
        return meaning
    if bare_name(dim) == "_":
        return None
    assert dim.value is not None
    return integer(dim.value, env, "a size")


def mismatch(
    port: tree.Port, dim: tree.Dim, size: object, written: object, shape: Shape
) -> str:
    """The fault of a size that is not the written one."""
    formula, value = dim.span.text, show(written)
    declared = formula if formula == value else f"{formula} = {value}"
    seen = f"`{port.name}` is {spell_shape(shape)}"
    return f"{seen}: `{declared}` is declared, and this size is {show(size)}"
