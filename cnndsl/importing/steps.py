"""A layer as a step: its arguments as a file gives them, and what is fused into it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from cnndsl.importing.flow import Layer
from cnndsl.importing.terms import Equal, Named, Sides, Step
from cnndsl.ops.base import OPS, Op
from cnndsl.ops.facts import Family

NORMS = frozenset(name for name, op in OPS.items() if op.family is Family.NORM)
ACTIVATIONS = frozenset(
    name for name, op in OPS.items() if op.family is Family.ACTIVATION and name != "softmax"
)

LISTS = ("sections", "sizes", "size", "axis", "offset", "places", "shift", "numbers")
"""Arguments that are lists of numbers."""
LISTED = frozenset(("Numbers", "Integers", "Pairs"))
"""The types of those that always are."""


def arguments(layer: Layer) -> dict[str, Any]:
    """All of an operation's arguments, as simply as they can be said.

    A list is an argument for each of its items, `sections[0]`, since any may be a formula.
    """
    defaults = {p.name: p.default for p in OPS[layer.word].parameters}
    types = {p.name: p.type.split(" | ") for p in OPS[layer.word].parameters}
    found: dict[str, Any] = {}
    for name, default in defaults.items():
        if name in ("init", "bias_init"):
            continue
        value: Any = layer.arguments.get(name, default)
        if name == "axes":
            found.update(value)
        elif name in ("pad", "output_pad", "sides"):
            found[name] = _pad(layer, value)
        elif name == "sections" and isinstance(value, int):
            axis: Any = layer.arguments.get("axis", 0)
            found[name] = Equal(value, layer.shapes[0][axis])
        elif name == "stride" and value is None:
            found[name] = layer.arguments["kernel"]
        elif name in ("stride", "dilation", "factor") and isinstance(value, tuple):
            found[name] = value[0] if len(set(value)) == 1 else value
        elif isinstance(value, tuple) and (name in LISTS or not LISTED.isdisjoint(types[name])):
            found.update({f"{name}[{n}]": size for n, size in enumerate(value)})
        else:
            found[name] = value
    return found


def _pad(layer: Layer, value: Any) -> object:
    if not isinstance(value, tuple):
        return value
    given: Any = layer.arguments
    if layer.word in ("conv", "dwconv", "std_conv"):
        same = [d * (k - 1) for d, k in zip(given["dilation"], given["kernel"], strict=True)]
        pairs = [*zip(same, value, strict=True)]
        if len(pairs) == 1 and any(same) and all(pair == (n, 0) for n, pair in pairs):
            return Named("causal")
        if all(n % 2 == 0 and pair == (n // 2, n // 2) for n, pair in pairs):
            return Named("same")
        if not any(map(any, value)):
            return Named("valid")
        if value == ((same[0], 0),):
            return Named("causal")
    if all(a == b for a, b in value):
        sides = {a for a, _ in value}
        return sides.pop() if len(sides) == 1 else tuple(a for a, _ in value)
    return Sides(value)


def fused(steps: list[Step]) -> list[Step]:
    """Norms and activations in the convolution before them, biases as `auto` where they are."""
    made: list[Step] = []
    for step in steps:
        last = made[-1] if made else None
        if last is not None and OPS.get(last.word, Op).fused and step.operands is None:
            slots = ("norm", "act") if step.word in NORMS else ("act",)
            free = slots[0] not in last.arguments and "act" not in last.arguments
            fits = step.word in NORMS or step.word in ACTIVATIONS
            if fits and free:
                made[-1] = _with(last, slots[0], step)
                continue
        made.append(step)
    return [settled(step) for step in made]


def _with(step: Step, slot: str, other: Step) -> Step:
    """A step with another one in its slot."""
    (number,) = step.present
    given = {name: column[number] for name, column in other.arguments.items()}
    value = Named(other.word, shortened(other.word, given))
    return replace(step, arguments={**step.arguments, slot: {number: value}})


def shortened(word: str, given: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """The arguments that are not an operation's defaults."""
    defaults = {p.name: p.default for p in OPS[word].parameters}
    return tuple((n, v) for n, v in given.items() if n not in defaults or defaults[n] != v)


def settled(step: Step) -> Step:
    """A step with both slots, and a bias that is said only where it is unusual."""
    if not (step.word in OPS and OPS[step.word].fused):
        return step
    (number,) = step.present
    given = dict(step.arguments)
    for slot in ("norm", "act"):
        given.setdefault(slot, {number: None})
    bias = given["bias"][number]
    if isinstance(bias, bool) and bias == (given["norm"][number] is None):
        given["bias"] = {number: Named("auto")}
    return replace(step, arguments=given)
