"""Weights of a network by the project's own names, from files and foreign mappings."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cnndsl.analysis.weights import draw, expected_weights
from cnndsl.diagnostics import ArchError, Diagnostic
from cnndsl.graph import Network
from cnndsl.ops.facts import Weight
from cnndsl.weights import layers
from cnndsl.weights.execution import by_execution, unwrapped
from cnndsl.weights.faults import GIVEN, believed
from cnndsl.weights.files import arrays, read_weights, save_weights, unreadable
from cnndsl.weights.matching import match
from cnndsl.weights.partial import Left, heads

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Loaded", "load_weights", "save_weights"]

Array = npt.NDArray[Any]

WRAPPED = ("module", "_orig_mod")
"""Prefixes that PyTorch's own wrappers put before every name."""
LIMIT = 32
"""A file may be so many times as large as the network's weights in float32, or 1 GB."""


class Loaded(dict[str, Array]):
    """The weights by the network's own names, and how they were found.

    `by_order` are layers that nothing but the order of definition told apart or, in a file
    whose order is lost, nothing but the hierarchy of modules, ours → theirs; `left` is what
    `partial` did not load.
    """

    def __init__(
        self, values: Mapping[str, Array], left: Left, by_order: Mapping[str, str]
    ) -> None:
        """The arrays, and the report."""
        super().__init__(values)
        self.left = left
        self.by_order = dict(by_order)


def load_weights(
    network: Network,
    source: str | os.PathLike[str] | Mapping[str, Any] | nn.Module,
    *,
    map: Mapping[str, str] | None = None,
    partial: bool = False,
) -> Loaded:
    """The network's weights: name → array, in its own names and order.

    `source` is a file (`.safetensors`, `.npz`, `.pth`, `.pt`), a mapping of arrays or
    tensors, or an `nn.Module`. Names may be the network's or another project's, whose layers
    are matched as `cnndsl.weights.matching` says; a module is run, and its outputs compared.
    `map` settles what is left open: their name, prefix or pattern (`convs.*`) → ours. With
    `partial` a head of another size is not loaded. A 1×1 convolution may be a linear layer
    there; half precision becomes float32; counters may be missing. A network that is a part
    of another takes the other's weights too, and keeps its own.

    Raises ArchError (E603): own names, wrong contents. E604: a file or an array that cannot
    be read. E605: layers without a partner, or that may be one of several.
    """
    try:
        return _loaded(network, source, map, partial=partial)
    except ArchError:
        if network.whole is None:
            raise
        with suppress(ArchError):
            found = _loaded(network.whole, source, map, partial=partial)
            own = {name: found[name] for name in expected_weights(network)}
            return Loaded(own, found.left, found.by_order)
        raise


def _loaded(
    network: Network,
    source: str | os.PathLike[str] | Mapping[str, Any] | nn.Module,
    map: Mapping[str, str] | None,
    *,
    partial: bool,
) -> Loaded:
    """The same of a network that is no part of another."""
    module = None
    expected = {name: weight for name, (_, weight) in expected_weights(network).items()}
    if isinstance(source, Mapping):
        found = arrays(source)
    elif not isinstance(source, str | os.PathLike):
        if not hasattr(source, "state_dict"):
            kind = type(source).__name__
            help = "give a path, a mapping of arrays, or an nn.Module"
            raise unreadable(f"weights cannot be read from a value of type `{kind}`", help)
        module = unwrapped(source)
        found = arrays(module.state_dict())
    else:
        size = 4 * sum(weight.size for weight in expected.values())
        found = read_weights(Path(source), max(LIMIT * size, 10**9))
    given = {} if map is None else _mapping(map)
    while found and (prefix := _wrapper(found)):
        found = {name.removeprefix(prefix): value for name, value in found.items()}
        given = {name.removeprefix(prefix): value for name, value in given.items()}
    wanted = {name: tuple(weight.shape) for name, weight in expected.items()}
    shapes = {name: tuple(value.shape) for name, value in found.items()}
    theirs, ours = layers.theirs(shapes), layers.ours(network, wanted)
    faults = _faults(found, expected)
    named = not given and module is None and not faults
    left = heads(theirs, ours, named) if partial and module is None else Left()
    if left:
        theirs = layers.theirs({n: s for n, s in shapes.items() if n not in left.theirs})
        ours = layers.ours(network, {n: s for n, s in wanted.items() if n not in left.ours})
    by_order: list[int] = []
    if named:
        same = {name: name for name in expected}
        return Loaded(_values(found, expected, same, left), left, {})
    try:
        if module is not None:
            pairs = by_execution(network, theirs, ours, module, believed(theirs, ours, given))
        else:
            pairs, by_order = match(theirs, ours, given)
    except ArchError:
        if given or module is not None or not _are_own(found, expected):
            raise
        raise ArchError(faults) from None
    names: dict[str, str] = {}
    for number, other in pairs.items():
        layer, foreign = ours.layers[number], theirs.layers[other]
        for role, (name, _) in layer.tensors.items():
            names[name] = foreign.tensors[role][0]
        counters = [".".join((*side.path, layers.COUNTER)) for side in (layer, foreign)]
        names[counters[0]] = counters[1]
    placed = {
        ".".join(ours.layers[m].path): ".".join(theirs.layers[pairs[m]].path) for m in by_order
    }
    return Loaded(_values(found, expected, names, left), left, placed)


def _mapping(map: Mapping[str, str]) -> dict[str, str]:
    """A map's names.  Raises ArchError (E605): it is none, or holds others than names."""
    if isinstance(map, Mapping) and all(
        isinstance(x, str) for pair in map.items() for x in pair
    ):
        return dict(map)
    message = "`map` must be a mapping of names of theirs to names of ours"
    raise ArchError([Diagnostic("E605", message, help=GIVEN)])


def _wrapper(found: Mapping[str, Array]) -> str:
    for prefix in WRAPPED:
        if all(name.startswith(f"{prefix}.") for name in found):
            return f"{prefix}."
    return ""


def _is_counter(name: str) -> bool:
    return name.rpartition(".")[2] == layers.COUNTER


def _are_own(found: Mapping[str, Array], expected: Mapping[str, Weight]) -> bool:
    """Whether the names are meant to be the network's: at least half of them are."""
    wanted = {name for name in expected if not _is_counter(name)}
    return 2 * len(wanted & found.keys()) >= len(wanted)


def _faults(found: Mapping[str, Array], expected: Mapping[str, Weight]) -> list[Diagnostic]:
    """What keeps the names and shapes from being the network's."""
    missing = [name for name in expected if name not in found and not _is_counter(name)]
    surplus = [name for name in found if name not in expected and not _is_counter(name)]
    if not missing and not surplus:
        return []
    lines = ["the weights are not this network's"]
    for what, names in (("missing", missing), ("unexpected", surplus)):
        lines += [f"  {what:10}  {name}" for name in names[:8]] or [f"  {what:10}  none"]
        lines += [f"  {'':10}  … and {len(names) - 8} more"] if len(names) > 8 else []
    return [Diagnostic("E603", "\n".join(lines))]


def _values(
    found: Mapping[str, Array],
    expected: Mapping[str, Weight],
    names: Mapping[str, str],
    left: Left,
) -> dict[str, Array]:
    """The arrays by our names; what is left has first values.

    Raises ArchError (E603): a wrong shape or type.
    """
    values: dict[str, Array] = {}
    faults: list[Diagnostic] = []
    rng = np.random.default_rng(0)
    for name, weight in expected.items():
        if name in left.ours or (_is_counter(name) and names.get(name) not in found):
            values[name] = draw(weight, rng)
            continue
        value = found[names[name]]
        shape = tuple(int(n) for n in weight.shape)
        if name != names[name] and value.size == weight.size:
            value = value.reshape(shape)
        shown = f"the weight `{names[name]}`"
        kinds = "iu" if weight.integer else "f"
        if value.shape != shape:
            message = f"{shown} is {list(value.shape)}, but must be {list(shape)}"
            faults.append(Diagnostic("E603", message))
        elif value.dtype.kind not in kinds:
            wanted = "integers" if weight.integer else "floats"
            faults.append(Diagnostic("E603", f"{shown} is {value.dtype}, but must be {wanted}"))
        else:
            # The kernels compute in single and double precision.
            half = value.dtype == np.float16
            values[name] = value.astype(np.float32) if half else value
    if faults:
        raise ArchError(faults)
    return values
