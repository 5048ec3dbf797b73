"""What is loaded without a head of another size: the classes of another task."""

from __future__ import annotations

from collections import Counter

from cnndsl.diagnostics import ArchError
from cnndsl.records import Record, record
from cnndsl.weights.cells import Known
from cnndsl.weights.faults import unequal
from cnndsl.weights.layers import Layer, Ours, Theirs
from cnndsl.weights.sets import union


@record
class Left(Record):
    """The names that were not loaded: `ours`, which have first values, and `theirs`."""

    ours: tuple[str, ...] = ()
    theirs: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether anything was left."""
        return bool(self.ours or self.theirs)


def heads(theirs: Theirs, ours: Ours, named: bool) -> Left:
    """The layers of shapes that only one side has, by their names where these are equal.

    Nothing that is loaded comes after one of ours, and one of ours differs from one of
    theirs in the channels that leave it, or has none there.
    Raises ArchError (E605): other layers have no partner.
    """
    if named:
        shapes = [dict(layer.tensors.values()) for layer in (*theirs.layers, *ours.layers)]
        known = {
            name: shape
            for layer in shapes[: len(theirs.layers)]
            for name, shape in layer.items()
        }
        new = {
            n
            for n, layer in enumerate(ours.layers)
            if any(known[name] != shape for name, shape in layer.tensors.values())
        }
        paths = {ours.layers[n].path for n in new}
        old = {n for n, layer in enumerate(theirs.layers) if layer.path in paths}
    else:
        kinds = Known(theirs, ours).kinds
        old = {n for n, kind in enumerate(kinds[0]) if kind not in kinds[1]}
        new = {n for n, kind in enumerate(kinds[1]) if kind not in kinds[0]}
    removed = [theirs.layers[n] for n in sorted(old)]
    fresh = [ours.layers[n] for n in sorted(new)]
    loaded = set(range(len(ours.layers))) - new
    inside = any(ours.above[m] & union(new) for m in loaded)
    forms = [Counter(map(_form, side)) for side in (removed, fresh)]
    if inside or not loaded or (removed and fresh and forms[0] != forms[1]):
        raise ArchError([unequal(removed, fresh, "only a head of another size is left out")])
    return Left(_names(fresh), _names(removed))


def _form(layer: Layer) -> object:
    """Its roles and shapes, but for the channels that leave it."""
    return tuple((role, tuple(shape[1:])) for role, shape in layer.signature)


def _names(layers: list[Layer]) -> tuple[str, ...]:
    return tuple(name for layer in layers for name, _ in layer.tensors.values())
