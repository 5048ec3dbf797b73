"""What a mapping of weights is refused for: both sides, listed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from cnndsl.diagnostics import ArchError, Diagnostic, did_you_mean
from cnndsl.weights.layers import Layer, Ours, Theirs
from cnndsl.weights.sets import bits, union

SHOWN = 8
"""Layers listed of each side in a message."""

GIVEN = 'map={"prefix of theirs": "prefix of ours"} says which is which'


def unequal(
    theirs: Sequence[Layer],
    ours: Sequence[Layer],
    help: str = "these layers have no partner of the same shapes",
) -> Diagnostic:
    """Layers of either side for which the other has none."""
    message = f"the weights are not this network's\n{lists(theirs, ours)}"
    return Diagnostic("E605", message, help=help)


def ambiguous(theirs: Sequence[Layer], ours: Sequence[Layer]) -> Diagnostic:
    """Layers of one signature between which nothing decides."""
    message = f"{len(ours)} layers of one shape cannot be told apart\n{lists(theirs, ours)}"
    return Diagnostic("E605", message, help=GIVEN)


def lists(theirs: Sequence[Layer], ours: Sequence[Layer]) -> str:
    """Both sides, one layer a line."""
    lines = []
    for whose, layers in (("theirs", theirs), ("ours", ours)):
        shown = [f"  {whose:6}  {layer}" for layer in layers[:SHOWN]]
        if len(layers) > SHOWN:
            shown.append(f"  {'':6}  … and {len(layers) - SHOWN} more")
        lines += shown or [f"  {whose:6}  none"]
    return "\n".join(lines)


def expanded(layers: Sequence[Layer], given: Mapping[str, str]) -> list[tuple[str, str]]:
    """A map with its patterns written out, the outermost prefixes first.

    A `*` stands for a run of characters without a dot, on the other side for the same.
    Raises ArchError (E605): a pattern that fits nothing.
    """
    known = {
        ".".join(layer.path[:d]): None
        for layer in layers
        for d in range(1, len(layer.path) + 1)
    }
    known |= {name: None for layer in layers for name, _ in layer.tensors.values()}
    pairs: dict[str, str] = {}
    for prefix, name in sorted(given.items(), key=lambda pair: "*" not in pair[0]):
        if "*" not in prefix:
            pairs[prefix] = name
            continue
        pattern = re.compile(re.escape(prefix).replace(r"\*", r"([^.]+)"))
        fitting = [found for text in known if (found := pattern.fullmatch(text))]
        parts = name.split("*")
        if not fitting or len(parts) != prefix.count("*") + 1:
            wrong = (
                "fits no layer of theirs" if not fitting else f"has not the `*`s of `{name}`"
            )
            raise ArchError([Diagnostic("E605", f"`{prefix}` {wrong}", help=GIVEN)])
        for found in fitting:
            stars = [*found.groups(), ""]
            pairs[found.group()] = "".join(p + s for p, s in zip(parts, stars, strict=True))
    return sorted(pairs.items(), key=lambda pair: pair[0].count("."))


def believed(theirs: Theirs, ours: Ours, given: Mapping[str, str]) -> dict[int, int]:
    """Our layers that a map names → theirs, where what follows both prefixes is the same.

    Raises ArchError (E605): a prefix that names nothing.
    """
    found: dict[int, int] = {}
    for prefix, name in expanded(theirs.layers, given):
        sides = (theirs.layers, prefix, "theirs"), (ours.layers, name, "ours")
        a, b = (list(bits(named(*side))) for side in sides)
        rests = [
            {layer.path[path.count(".") + 1 :]: n for n in numbers for layer in (layers[n],)}
            for numbers, (layers, path, _) in zip((a, b), sides, strict=True)
        ]
        if len(a) == len(b) == 1:
            found[b[0]] = a[0]
        found |= {m: rests[0][rest] for rest, m in rests[1].items() if rest in rests[0]}
    return found


def named(layers: Sequence[Layer], prefix: str, whose: str) -> int:
    """The layers at or below a prefix; a tensor's name stands for its layer."""
    path = tuple(prefix.split("."))
    found = union(
        n
        for n, layer in enumerate(layers)
        if layer.path[: len(path)] == path
        or any(name == prefix for name, _ in layer.tensors.values())
    )
    if not found:
        known = {
            ".".join(layer.path[:d]) for layer in layers for d in range(1, len(layer.path) + 1)
        }
        help = did_you_mean(prefix, known) or GIVEN
        message = f"no layer of {whose} begins with `{prefix}`"
        raise ArchError([Diagnostic("E605", message, help=help)])
    return found
