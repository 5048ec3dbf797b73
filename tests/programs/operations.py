"""Arguments for any operation, from the parameters that it declares.

An operation that is added to the registry is generated without a line here: values are drawn
by a parameter's type and name until the operation's own shape rule takes them.
"""

from __future__ import annotations

import math
import random
from dataclasses import MISSING

from cnndsl.diagnostics import OpError
from cnndsl.ops import OPS
from cnndsl.ops.base import Op, Parameter
from cnndsl.ops.facts import Auto, Shape
from cnndsl.ops.initial import (
    Bilinear,
    Constant,
    KaimingNormal,
    KaimingUniform,
    Normal,
    Ones,
    Orthogonal,
    TruncNormal,
    Uniform,
    XavierNormal,
    XavierUniform,
    Zeros,
)
from cnndsl.ops.values import bind, spell

LARGEST = 3000
"""Elements of a tensor: programs are to be small."""
HIDDEN = {"input", "unbatch", "rebatch"}
"""What no file can write."""
NAMES = sorted(set(OPS) - HIDDEN)
PRODUCTS = {"axes"}
"""Attributes that are not written under their name: those of `rearrange` are in its pattern."""

GUARDS = {
    "exp": "tanh",
    "log": "sigmoid -> add(0.1)",
    "sqrt": "sigmoid",
    "pow": "sigmoid -> add(0.1)",
    "div": "sigmoid -> add(0.1)",
}
"""What stands before an operation whose value may be infinite or NaN, or grow without end."""

Arguments = dict[str, object]
INITIALISATIONS = (
    Normal(0.5), Uniform(-0.25, 1.0), TruncNormal(0.5, mean=0.25, b=1.5), XavierUniform(2.0),
    XavierNormal(), KaimingUniform("fan_out"), KaimingNormal(nonlinearity="linear"),
    KaimingNormal("fan_out", a=0.25), Orthogonal(1.5), Bilinear(), Zeros(), Ones(),
    Constant(0.5),
)  # fmt: skip
"""One of each kind."""


def divisors(n: int) -> list[int]:
    """Of a number, itself among them."""
    return [d for d in range(1, n + 1) if n % d == 0]


def sample(parameter: Parameter, shape: Shape, chance: random.Random) -> object:
    """A value of a parameter's type, likely to fit an input of that shape."""
    kind = chance.choice(parameter.type.split(" | "))
    name, rank = parameter.name, len(shape) - 1
    match kind:
        case "bool":
            return chance.random() < 0.5
        case "Auto":
            return Auto.AUTO
        case "None":
            return None
        case "int":
            if name == "out":
                return chance.choice([2, 3, 4, 6, 8])
            if name in ("groups", "sections"):
                return chance.choice(divisors(shape[0]))
            if name in ("axis", "background", "offset"):
                return chance.randrange(len(shape))
            return chance.choice([1, 2, 2, 3, 4])
        case "float":
            return chance.choice([0.1, 0.25, 0.5, 0.75, 1.5, 2.0, 1e-3, 3])
        case "Size":
            return _size(name, shape, chance)
        case "Pad":
            return _pad(rank, chance)
        case "Integers":
            return _integers(name, shape, chance)
        case "Numbers":
            count = {"divisors": 4, "stride": 2}.get(name, chance.choice([1, 2, 3]))
            return tuple(chance.choice([1, 2, 4, 0.5, 1.5]) for _ in range(count))
        case "Pairs":
            return tuple(
                (chance.choice([1, 2, 0.5]), chance.choice([1, 3, 1.5]))
                for _ in range(chance.choice([1, 2, 3]))
            )
        case "str":
            return "x"
        case "Init":
            vectors = [one for one in INITIALISATIONS if not one.axes]
            return chance.choice(vectors if name == "bias_init" else list(INITIALISATIONS))
    return kind.strip("'\"")


def _size(name: str, shape: Shape, chance: random.Random) -> object:
    rank = len(shape) - 1
    if name == "size":
        near = tuple(max(1, n + chance.choice([-2, -1, 0, 0, n])) for n in shape[1:])
        return chance.choice([near, max(1, near[0])]) if near else 1
    choices = {"kernel": [1, 2, 3, 3, 3, 5], "factor": [1, 2, 2, 3]}.get(name, [1, 1, 2, 2, 3])
    if chance.random() < 0.6:
        return chance.choice(choices)
    return tuple(chance.choice(choices) for _ in range(rank)) or 1


def _pad(rank: int, chance: random.Random) -> object:
    if rank == 1 and chance.random() < 0.3:
        return Auto.CAUSAL
    match chance.randrange(6):
        case 0:
            return chance.choice([Auto.SAME, Auto.SAME, Auto.TF_SAME])
        case 1:
            return Auto.VALID
        case 2:
            return chance.choice([0, 1, 1, 2])
        case 3:
            return tuple(chance.choice([0, 1, 1, 2]) for _ in range(rank))
    return tuple(chance.choice([0, 1, 1, 2]) for _ in range(2 * rank))


def _integers(name: str, shape: Shape, chance: random.Random) -> object:
    if name == "sections":
        size = shape[0]
        cut = chance.randrange(1, size) if size > 1 else 0
        return (cut, size - cut) if cut else (size,)
    if name == "sizes":
        total, found = math.prod(shape), []
        for _ in range(chance.randrange(3)):
            found.append(chance.choice(divisors(total)))
            total //= found[-1]
        return (*found, total)
    if name == "axis":
        axes = chance.sample(range(len(shape)), chance.randint(1, len(shape)))
        return tuple(sorted(axes))
    if name in ("size", "clip", "image"):
        return tuple(chance.choice([1, 2, 3, 8]) for _ in range(2))
    return tuple(chance.choice([0, 1, 1, 2]) for _ in range(max(1, len(shape) - 1)))


def arguments(cls: type[Op], shape: Shape, chance: random.Random) -> Arguments:
    """Some of its parameters, with values."""
    found: Arguments = {}
    for parameter in cls.parameters:
        if parameter.name in PRODUCTS:
            continue
        # Required, or given in a third of the cases.
        left_out = 0.4 if parameter.name.endswith("init") else 0.65
        if parameter.default is not MISSING and chance.random() < left_out:
            continue
        found[parameter.name] = sample(parameter, shape, chance)
    if found.get("bias") is False:
        found.pop("bias_init", None)  # it would have no effect
    match cls.name:
        case "rearrange":
            found["pattern"], found["axes"] = rearrangement(shape, chance)
        case "einsum":
            found["pattern"] = contraction(shape, chance)
    return found


def outcome(name: str, given: Arguments, *shapes: Shape) -> tuple[Shape, ...] | None:
    """The shapes of its outputs; None where the operation refuses, or they are large."""
    rank = len(shapes[0]) - 1
    try:
        made = bind(OPS[name], dict(given), rank).resolved(*shapes)
        found = made.shapes(*shapes)
        made.weights(*shapes)
        unused = {*given} & {*made.unused(*shapes)}
    except OpError:
        return None
    if unused:
        return None
    if any(n < 1 for shape in found for n in shape):
        return None
    if any(math.prod(shape) > LARGEST for shape in found):
        return None
    return found


def written(name: str, given: Arguments, chance: random.Random) -> str:
    """The step as a file writes it, the first arguments in order or all by name."""
    found = [p for p in OPS[name].parameters if p.name in given and p.name not in PRODUCTS]
    texts: list[str] = []
    ordered = True
    for number, parameter in enumerate(found):
        value = spell(given[parameter.name])
        ordered &= OPS[name].parameters[number] is parameter and chance.random() < 0.7
        texts.append(value if ordered else f"{parameter.name}={value}")
    axes = given.get("axes", ())
    assert isinstance(axes, tuple)
    texts += [f"{axis}={size}" for axis, size in axes]
    return f"{name}({', '.join(texts)})" if texts else name


def guarded(name: str, text: str) -> str:
    """The step behind what keeps its input in bounds."""
    return f"{GUARDS[name]} -> {text}" if name in GUARDS else text


def rearrangement(shape: Shape, chance: random.Random) -> tuple[str, tuple[object, ...]]:
    """A pattern that fits, and the sizes that it needs."""
    letters = iter("abcdefghijk")
    left: list[str] = []
    atoms: list[str] = []
    axes: list[tuple[str, int]] = []
    rest = chance.random() < 0.2 and len(shape) > 1
    for size in shape[:1] if rest else shape:
        if size > 1 and chance.random() < 0.4:
            first, second = next(letters), next(letters)
            factor = chance.choice(divisors(size))
            axes.append((first, factor))
            left.append(f"({first} {second})")
            atoms += [first, second]
        elif size == 1 and chance.random() < 0.5:
            left.append("1")
        else:
            left.append(next(letters))
            atoms.append(left[-1])
    if rest:
        left.append("...")
    chance.shuffle(atoms)
    right: list[str] = []
    while atoms:
        count = chance.choice([1, 1, 2, 3])
        group, atoms = atoms[:count], atoms[count:]
        right.append(group[0] if len(group) == 1 else f"({' '.join(group)})")
    if rest:
        right.insert(chance.randrange(len(right) + 1), chance.choice(["...", "...", "(...)"]))
    if chance.random() < 0.15 or not right:
        right.insert(chance.randrange(len(right) + 1), "1")
    return f"{' '.join(left)} -> {' '.join(right)}", tuple(axes)


def contraction(shape: Shape, chance: random.Random, operands: int = 1) -> str:
    """A pattern over so many inputs of that shape."""
    letters = list("abcdefgh")
    names = letters[: len(shape)]
    inputs = [list(names)]
    for number in range(1, operands):
        # The first axis is shared, another may be the operand's own.
        other = list(names)
        if len(other) > 1 and chance.random() < 0.7:
            other[chance.randrange(1, len(other))] = letters[len(shape) + number - 1]
        inputs.append(other)
    known = list(dict.fromkeys(name for one in inputs for name in one))
    kept = [name for name in known if chance.random() < 0.6] or known[:1]
    chance.shuffle(kept)
    return f"{', '.join(' '.join(one) for one in inputs)} -> {' '.join(kept)}"
