"""Lines in braces: what they may name, and the steps that fit.

A body proposes lines, the elaborator takes or refuses them with those before, and tells the
shapes of what they name. So programs are valid by construction, with no second elaborator
here; what is refused is counted by its code.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from cnndsl.diagnostics import ArchError
from cnndsl.ops import OPS
from cnndsl.ops.facts import Shape
from cnndsl.structure import Block
from tests.programs.operations import (
    NAMES,
    arguments,
    divisors,
    guarded,
    outcome,
    written,
)

Parameter = tuple[str, str, str, str, str]
"""A name, type, default and other value, and a step that reads it."""
ACTIVATIONS = (
    "relu",
    "tanh",
    "sigmoid",
    "silu",
    "leaky(0.3)",
    "elu(alpha=0.5)",
    "gelu",
    "mish()",
)
NORMS = ("bn", "ln", "frozen_bn", "bn(eps=1e-3)", "gn(1)", "bn(affine=false)")
refused: Counter[str] = Counter()
"""How often a proposed line was no program, by the code of the message."""


@dataclass(frozen=True)
class Value:
    """A tensor as a line spells it, and its shape."""

    name: str
    shape: Shape


@dataclass
class Callee:
    """A block that can be called: its parameters with two values each, its ports' shapes."""

    name: str
    params: list[tuple[str, str, str]] = field(default_factory=list)
    ports: list[Shape] = field(default_factory=list)
    family: bool = False
    inner: list[str] = field(default_factory=list)


class RefusedError(Exception):
    """A proposal that cannot be made here."""


class Names:
    """One program's chance, its names, and the blocks that it can call."""

    def __init__(self, seed: int) -> None:
        """Begin."""
        self.seed = seed
        self.chance = random.Random(seed)
        self.declarations: list[str] = []
        self.defaults: list[str] = []
        self.blocks: list[Callee] = []
        self.count = 0

    def above(self, text: str) -> list[str]:
        """What a declaration needs above it: the others take as long to read as it does."""
        needed: list[str] = []
        for declaration in reversed(self.declarations):
            names = re.findall(r"^(?:block |model |use .* as )(\w+)", declaration, re.MULTILINE)
            if any(re.search(rf"\b{name}\b", text) for name in names):
                needed.insert(0, declaration)
                text += declaration
        return [*self.defaults, *needed]

    def fresh(self, stem: str) -> str:
        """A name that nothing has."""
        self.count += 1
        return f"{stem}{self.count}"


class Body:
    """Lines in one pair of braces, and the tensors and values that they may name."""

    def __init__(self, writer: Names) -> None:
        """Nothing yet."""
        self.writer = writer
        self.chance = writer.chance
        self.lines: list[str] = []
        self.pool: list[Value] = []
        self.ints: dict[str, int] = {}
        self.last: Value | None = None
        self.labels: list[str] = []

    def whole(self, lines: Iterable[str]) -> str:
        """The program with these lines."""
        raise NotImplementedError

    def found(self, text: str) -> list[Block]:
        """The instances of the body in the elaborated program.  Raises ArchError."""
        raise NotImplementedError

    def probe(self, lines: list[str], names: list[str]) -> list[Shape] | None:
        """The shapes of what is named behind these lines; None where they are no program."""
        asked = [f"zz{number}: {name}" for number, name in enumerate(names)]
        try:
            instances = self.found(self.whole([*lines, *asked]))
        except ArchError as error:
            refused[error.diagnostics[0].code] += 1
            return None
        shapes = {
            line.labels[0]: line.outputs[0].shape
            for line in instances[0].body
            if line.labels and line.labels[0].startswith("zz")
        }
        return [tuple(map(int, shapes[f"zz{number}"])) for number in range(len(names))]

    def add(self, text: str, *names: str, continues: bool = False) -> bool:
        """Take a line if it is one; `names` are tensors that it makes."""
        lines = [*self.lines, *text.split("\n")]
        names_ = [*names]
        shapes = self.probe(lines, names_)
        if shapes is None:
            return False
        self.lines = lines
        self.pool += [Value(name, shape) for name, shape in zip(names_, shapes, strict=True)]
        self.labels += [name for name in names if name.isidentifier()]
        self.last = self.pool[-1] if continues and names else None
        return True

    # What a line is made of

    def pick(self, ranks: Iterable[int] | None = None) -> Value:
        """A tensor, the latest most often; of so many axes."""
        fits = [v for v in self.pool if ranks is None or len(v.shape) in ranks]
        if not fits:
            raise RefusedError
        return self.chance.choice([*fits, *fits[-3:], fits[-1]])

    def map(self) -> Value:
        """A tensor with spatial axes."""
        return self.pick((2, 3, 4))

    def like(self, value: Value) -> str:
        """Another of the same shape: a name, or a chain from this one."""
        same = [v for v in self.pool if v.shape == value.shape]
        other = self.chance.choice(same)
        return other.name if other is not value else f"{value.name} -> {self.same(value.shape)}"

    def number(self, n: int) -> str:
        """An integer, or an expression for it in the values of the body."""
        chance = self.chance
        if chance.random() < 0.55:
            return str(n)
        known = [name for name, value in self.ints.items() if value and n % value == 0]
        if known and chance.random() < 0.8:
            name = chance.choice(known)
            times = n // self.ints[name]
            return (
                name
                if times == 1
                else chance.choice([f"{name} * {times}", f"{times} * {name}"])
            )
        return chance.choice([
            f"{n + 1} - 1", f"min({n}, {n + 3})", f"max(1, {n})", f"abs(-{n})", f"{2 * n} // 2",
            f"round(exp(log({n})))" if n > 0 else f"round({n} + 0.2)",
            f"floor({n}.5)", f"ceil({n} - 0.5)", f"[{n}, 1][0]",
            f"{n} if 2 > 1 else 1", f"floor(sqrt({n * n}))", f"{n + 100} % 100", f"{n} ** 1",
            f"len([{', '.join('0' * n)}])" if 0 < n < 9 else f"{n}", f"({n})",
            f"round8({n})" if n % 8 == 0 and n else f"{n}",
            f"round(exp(log({n})))" if n else f"{n}",
        ])  # fmt: skip

    def condition(self) -> tuple[str, bool]:
        """A condition and whether it holds."""
        known = [(name, value) for name, value in self.ints.items()]
        if known and self.chance.random() < 0.6:
            name, value = self.chance.choice(known)
            limit = value + self.chance.choice([-1, 0, 1])
            return self.chance.choice([
                (f"{name} > {limit}", value > limit), (f"{name} == {limit}", value == limit),
                (f"{name} >= {limit} and 2 != 3", value >= limit),
                (f"not {name} < {limit}", value >= limit),
            ])  # fmt: skip
        return self.chance.choice([
            ("true", True), ("false", False), ("not false", True), ("1 <= 2 or false", True),
        ])  # fmt: skip

    def act(self) -> str:
        """An activation, or any step without weights."""
        return self.chance.choice(ACTIVATIONS)

    def same(self, shape: Shape) -> str:
        """A step that keeps a shape."""
        chance, rank = self.chance, len(shape) - 1
        steps = [self.act(), self.act(), f"mul({chance.choice(['0.5', '2', '-1.5', '3 / 2'])})"]
        steps += ["bn", "ln", "dropout(20%)"]
        if rank:
            kernel = chance.choice([1, 3, 3, 5])
            steps += [self.conv(shape, shape[0], kernel), self.conv(shape, shape[0], 1)]
            steps += [f"dwconv({kernel})", f"dwconv(3, norm=bn, act={self.act()})"]
            steps += [f"maxpool(3, stride=1, pad={chance.choice(['1', 'same'])})"]
        else:
            steps += [f"linear({self.number(shape[0])})"] * 2
        known = [b for b in self.writer.blocks if b.ports == [shape] and not b.family]
        if known and chance.random() < 0.4:
            return self.call(chance.choice(known))
        return chance.choice(steps)

    def conv(self, shape: Shape, out: int, kernel: int) -> str:
        """A convolution that keeps the sides, with or without what is fused."""
        chance = self.chance
        size = str(kernel)
        if chance.random() < 0.5:
            size = "x".join([size] * (len(shape) - 1)) if len(shape) > 2 else size
        more = chance.choice([
            "", "", "", "bias=false", "norm=bn", f"norm=bn, act={self.act()}",
            f"act={self.act()}", f"norm={chance.choice(NORMS)}, act={self.act()}",
            f"dilation={chance.choice([1, 2])}",
            f"groups={chance.choice([d for d in divisors(shape[0]) if out % d == 0])}",
        ])  # fmt: skip
        return f"conv({self.number(out)}, {size}{', ' if more else ''}{more})"

    def plain(self, shape: Shape) -> str:
        """A step that keeps a shape and names nothing: it can stand in any block."""
        chance = self.chance
        steps = [self.act(), f"conv({shape[0]}, 3)", f"conv({shape[0]}, 1, norm=bn)",
                 "bn -> relu", "dwconv(3)",
                 f"conv({shape[0]}, 3, act={self.act()}) -> mul(0.5)"]  # fmt: skip
        return chance.choice(steps)

    def sames(self, shape: Shape, most: int = 3) -> str:
        """A chain that keeps a shape."""
        return " -> ".join(self.same(shape) for _ in range(self.chance.randint(1, most)))

    def step(self, shape: Shape) -> tuple[str, Shape]:
        """Any operation with one input, and what it gives."""
        for _ in range(20):
            name = self.chance.choice(NAMES)
            if OPS[name].arity[0] > 1 or OPS[name].discrete:
                continue
            given = arguments(OPS[name], shape, self.chance)
            found = outcome(name, given, shape)
            if found and len(found) == 1:
                return guarded(name, written(name, given, self.chance)), found[0]
        return "relu", shape

    def chain(self, shape: Shape, most: int = 3) -> str:
        """A chain of any operations."""
        steps = []
        for _ in range(self.chance.randint(1, most)):
            text, shape = self.step(shape)
            steps.append(text)
        return " -> ".join(steps)

    def call(self, callee: Callee) -> str:
        """A block with some of its arguments."""
        chance = self.chance
        given: list[str] = []
        ordered = True
        for name, first, second in callee.params:
            if chance.random() < 0.25:
                ordered = False
                continue
            value = chance.choice([first, second, second])
            ordered &= chance.random() < 0.6
            given.append(value if ordered else f"{name}={value}")
        return f"{callee.name}({', '.join(given)})" if given else callee.name

    # Growing

    def uses(self, name: str, kind: str, first: str, second: str, use: str) -> None:
        """A line that reads a parameter."""
        value = self.pick()
        if kind == "int":
            self.ints[name] = int(first)
        if use == "@int":
            return
        label = self.writer.fresh("l")
        if use == "@bool":
            self.add(f"{label}: {value.name} -> relu -> {self.same(value.shape)} when {name}"
                     f"\nelse {value.name} -> relu")  # fmt: skip
            return
        before = "" if value.shape[0] == 4 or self.chance.random() < 0.3 else "conv(4, 1) -> "
        if use.endswith("@labelled"):
            use = use.removesuffix("@labelled")
        if "@line" in use:
            self.add(f"{label}: {value.name} -> {before}relu", label)
            use = use.replace("@line", "")
            inner = self.writer.fresh("l")
            first_line, *others = use.split("\n")
            lines = [f"{inner}: {first_line}", *others]
            if not self.add("\n".join(lines)):
                return
            after = self.writer.fresh("l")
            self.add(f"{after}: {self.act()}", after)
            return
        self.add(f"{label}: {value.name} -> {before}{use}", label, continues=True)

    def unread(self) -> list[Value]:
        """The tensors that no line reads."""
        text = "\n".join(self.lines)
        found = []
        for value in self.pool:
            base = re.split(r"[.\[]", value.name)[0]
            whole = base == value.name
            times = len(re.findall(rf"(?<![\w.]){re.escape(value.name)}(?![\w.\[])", text))
            if f"{base}[*]" not in text and times == whole and base in text:
                found.append(value)
        return found

    def closed(self) -> str | None:
        """The declaration with its outputs; None where that is no program."""
        raise NotImplementedError
