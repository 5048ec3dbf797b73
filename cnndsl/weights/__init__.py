"""Weights of a network by the project's own names, from files and foreign mappings."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cnndsl.analysis.weights import expected_weights
from cnndsl.diagnostics import ArchError, Diagnostic
from cnndsl.graph import Network
from cnndsl.ops.base import Weight
from cnndsl.weights import layers
from cnndsl.weights.files import arrays, read_weights, save_weights
from cnndsl.weights.matching import match

__all__ = ["load_weights", "save_weights"]

Array = npt.NDArray[Any]

WRAPPED = ("module", "_orig_mod")
"""Prefixes that PyTorch's own wrappers put before every name."""


def load_weights(
    network: Network,
    source: str | os.PathLike[str] | Mapping[str, Any],
    *,
    map: Mapping[str, str] | None = None,
) -> dict[str, Array]:
    """The network's weights: name → array, in its own names and order.

    `source` is a file (`.safetensors`, `.npz`, `.pth`, `.pt`) or a mapping of arrays or
    tensors, with the network's names or those of a foreign `state_dict`, whose layers are
    matched as `cnndsl.weights.matching` says. `map` settles what that cannot: their prefix →
    our prefix. A 1×1 convolution may be a linear layer there; half precision becomes
    float32; counters may be missing.

    Raises ArchError (E603): own names, wrong contents. E604: a file or an array that cannot
    be read. E605: foreign names that match no layer, or more than one.
    """
    found = arrays(source) if isinstance(source, Mapping) else read_weights(Path(source))
    given = dict(map or {})
    while found and (prefix := _wrapper(found)):
        found = {name.removeprefix(prefix): value for name, value in found.items()}
        given = {name.removeprefix(prefix): value for name, value in given.items()}
    expected = {name: weight for name, (_, weight) in expected_weights(network).items()}
    foreign = bool(given) or not _are_own(found, expected)
    if foreign:
        names = _foreign_names(network, found, expected, given)
    else:
        _check_names(found, expected)
        names = {name: name for name in expected}
    return _values(found, expected, names, foreign)


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


def _check_names(found: Mapping[str, Array], expected: Mapping[str, Weight]) -> None:
    missing = [name for name in expected if name not in found and not _is_counter(name)]
    surplus = [name for name in found if name not in expected and not _is_counter(name)]
    if not missing and not surplus:
        return
    lines = ["the weights are not this network's"]
    for what, names in (("missing", missing), ("unexpected", surplus)):
        lines += [f"  {what:10}  {name}" for name in names[:8]] or [f"  {what:10}  none"]
        lines += [f"  {'':10}  … and {len(names) - 8} more"] if len(names) > 8 else []
    raise ArchError([Diagnostic("E603", "\n".join(lines))])


def _foreign_names(
    network: Network,
    found: Mapping[str, Array],
    expected: Mapping[str, Weight],
    given: Mapping[str, str],
) -> dict[str, str]:
    """Our names → theirs."""
    theirs = layers.theirs({name: value.shape for name, value in found.items()})
    ours = layers.ours(network, {name: weight.shape for name, weight in expected.items()})
    names: dict[str, str] = {}
    for number, other in match(theirs, ours, given).items():
        layer, foreign = ours.layers[number], theirs.layers[other]
        for role, (name, _) in layer.tensors.items():
            names[name] = foreign.tensors[role][0]
        counters = [".".join((*side.path, layers.COUNTER)) for side in (layer, foreign)]
        names[counters[0]] = counters[1]
    return names


def _values(
    found: Mapping[str, Array],
    expected: Mapping[str, Weight],
    names: Mapping[str, str],
    foreign: bool,
) -> dict[str, Array]:
    """The arrays by our names.  Raises ArchError (E603): a wrong shape or type."""
    values: dict[str, Array] = {}
    faults: list[Diagnostic] = []
    for name, weight in expected.items():
        if _is_counter(name) and names[name] not in found:
            values[name] = np.zeros((), np.int64)
            continue
        value = found[names[name]]
        shape = tuple(int(n) for n in weight.shape)
        if foreign and value.size == weight.size:
            value = value.reshape(shape)
        shown = f"the weight `{names[name]}`"
        kinds = "iu" if weight.integer else "f"
        if value.shape != shape:
            message = f"{shown} is {list(value.shape)}, and must be {list(shape)}"
            faults.append(Diagnostic("E603", message))
        elif value.dtype.kind not in kinds:
            wanted = "integers" if weight.integer else "floats"
            faults.append(Diagnostic("E603", f"{shown} is {value.dtype}, and must be {wanted}"))
        else:
            # The kernels compute in single and double precision.
            half = value.dtype == np.float16
            values[name] = value.astype(np.float32) if half else value
    if faults:
        raise ArchError(faults)
    return values
