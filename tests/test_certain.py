"""What is loaded is right: random networks under the names and orders of another project."""

from __future__ import annotations

import random
from itertools import pairwise, takewhile

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import cnndsl
from cnndsl.analysis.weights import expected_weights
from cnndsl.graph import Network
from cnndsl.weights import load_weights
from tests.test_weights import linear_extension, own_numbers

BLOCKS = (
    """add { { conv(c, 1x1, bias=false) -> bn -> relu -> conv(c, 3x3, bias=false) -> bn }
    conv(c, 1x1, bias=false) -> bn }""",
    "add { proj: conv(c, 1x1)\n { bn -> relu -> conv(c, 3x3) } }",
    "concat { conv(c, 1x1)\n { conv(c, 3x3) -> conv(c, 3x3) } }",
)


class Program:
    """A random program of few widths, so that many layers are of one shape."""

    def __init__(self, pick: random.Random) -> None:
        self.pick = pick

    def width(self) -> int:
        return self.pick.choice((4, 4, 8))

    def step(self) -> str:
        c, kernel = self.width(), self.pick.choice(("1x1", "3x3"))
        forms = (
            f"conv({c}, {kernel})",
            f"conv({c}, {kernel}, bias=false) -> relu",
            f"conv({c}, {kernel}, bias=false) -> bn -> relu",
            f"bn -> relu -> conv({c}, {kernel}, bias=false)",
            f"deconv({c}, 3x3, pad=1)",
        )
        return self.pick.choice(forms)

    def chain(self, most: int) -> str:
        return " -> ".join(self.step() for _ in range(self.pick.randint(1, most)))

    def body(self, depth: int) -> str:
        c = self.width()
        match self.pick.randrange(6) if depth else 0:
            case 0:
                return self.chain(3)
            case 1:
                sides = [f"{{ {self.body(depth - 1)} -> conv({c}, 1x1) }}"]
                sides.append(
                    self.pick.choice((f"conv({c}, 1x1)", f"short{depth}: conv({c}, 1x1)"))
                )
                self.pick.shuffle(sides)
                return f"add {{ {'; '.join(sides)} }}"
            case 2:
                names = self.pick.choice(
                    ((f"left{depth}: ", f"right{depth}: "), ("", ""), ("", "", ""))
                )
                sides = [
                    f"{name}{self.chain(2)}" if name else f"{{ {self.body(depth - 1)} }}"
                    for name in names
                ]
                return "concat { " + "\n".join(sides) + " }"
            case 3:
                inner = self.pick.choice((f"conv({c}, 3x3)", f"bn -> relu -> conv({c}, 3x3)"))
                return f"conv({c}, 3x3) -> {{ {inner} }} * {self.pick.randint(2, 3)}"
            case 4:
                return f"{self.body(depth - 1)} -> {self.body(depth - 1)}"
            case _:
                return f"Res({c}) -> Res({c})"

    def u(self) -> list[str]:
        """Down and up again, with skips."""
        depth = self.pick.randint(1, 3)
        widths = [self.width() for _ in range(depth + 1)]
        end = self.pick.choice((")", ", bias=false) -> bn -> relu"))
        lines = [f"d0: x -> conv({widths[0]}, 3x3{end}"]
        lines += [f"d{n}: conv({widths[n]}, 3x3, stride=2{end}" for n in range(1, depth + 1)]
        before = f"d{depth}"
        for n in reversed(range(depth)):
            up = self.pick.choice((f"deconv({widths[n]}, 2x2, stride=2)", "upsample(2)"))
            lines.append(f"u{n}: {before} -> {up}")
            lines.append(f"j{n}: concat {{ u{n}; d{n} }}")
            lines.append(f"e{n}: j{n} -> conv({widths[n]}, 3x3{end}")
            before = f"e{n}"
        return lines

    def text(self) -> str:
        lines = [f"s{n}: {self.body(2)}" for n in range(self.pick.randint(1, 3))]
        lines = self.u() if self.pick.random() < 0.3 else lines
        lines.append("y: conv(2, 1x1)")
        block = f"block Res(c: int) {{\n  {self.pick.choice(BLOCKS)}\n}}"
        return f"{block}\nmodel M: x[4, H=8, W=8] -> y[_, _, _] {{\n" + "\n".join(lines) + "\n}"


class Author:
    """Names, modules and the order of definition of someone else.

    `order` is our layers' as they are defined, `path` what each is called.
    """

    def __init__(self, network: Network, style: str, pick: random.Random) -> None:
        self.pick, self.style = pick, style
        self.words = [a + b for a in "bcdfgk" for b in "aeiou"]
        pick.shuffle(self.words)
        owner: dict[str, str] = {}
        self.norms: set[str] = set()
        for key, (node, _) in expected_weights(network).items():
            layer = key.rpartition(".")[0]
            owner.setdefault(layer, node.name)
            self.norms |= {layer} if key.endswith("running_var") else set()
        nodes = pick.choice((list(network.graph), linear_extension(network, pick)))
        place = {name: n for n, name in enumerate(nodes)}
        layers = sorted(owner, key=lambda layer: place[owner[layer]])
        self.in_series = _in_series(network, owner)
        self.path: dict[str, str] = {}
        self.order: list[str] = []
        if style == "kinds":
            kinds = ([n for n in layers if (n in self.norms) == norm] for norm in (False, True))
            for kind, word in zip(kinds, ("ma", "na"), strict=True):
                self.path |= {layer: f"{word}.{n}" for n, layer in enumerate(kind)}
                self.order += kind
        else:
            self.nest(layers, "", pick.randint(0, 3))

    def nest(self, layers: list[str], prefix: str, depth: int) -> None:
        """Neighbours in a series become modules, and those modules of modules."""
        groups: list[list[str]] = []
        rest = layers
        while rest:
            most = self.pick.choice((1, 1, 2, 2, 3, 4)) if depth else 1
            pairs = pairwise(rest[:most])
            size = 1 + sum(1 for _ in takewhile(lambda pair: pair in self.in_series, pairs))
            groups.append(rest[:size])
            rest = rest[size:]
        names = self.names(len(groups))
        numbers = list(range(len(groups)))
        if self.style == "any":
            self.pick.shuffle(numbers)
        for n in numbers:
            if len(groups[n]) == 1:
                self.path[groups[n][0]] = f"{prefix}{names[n]}"
                self.order += groups[n]
            else:
                self.nest(groups[n], f"{prefix}{names[n]}.", depth - 1)

    def names(self, count: int) -> list[str]:
        if len(self.words) < count + 1 or self.pick.random() < 0.25:
            return [str(n) for n in range(count)]
        if self.pick.random() < 0.25:
            word, first = self.words.pop(), self.pick.choice((0, 1))
            return [f"{word}{n + first}" for n in range(count)]
        return [self.words.pop() for _ in range(count)]


def _in_series(network: Network, owner: dict[str, str]) -> set[tuple[str, str]]:
    """Layers with those to which alone their result goes, and which take nothing else."""
    made = {node: layer for layer, node in owner.items()}
    last: dict[str, str | None] = {}
    found: set[tuple[str, str]] = set()
    for node in network:
        above = [producer for producer, _ in network.operands(node.name)]
        alone = len(above) == 1 and network.graph.out_degree(above[0]) == 1
        before = last[above[0]] if alone else None
        layer = made.get(node.name)
        if before is not None and layer is not None:
            found.add((before, layer))
        last[node.name] = layer or before
    return found


@settings(max_examples=150, deadline=None)
@given(
    st.randoms(use_true_random=False),
    st.sampled_from(["modules", "modules", "kinds", "any"]),
    st.sampled_from(["defined", "sorted", "shuffled"]),
)
def test_what_is_loaded_is_right_or_else_said_to_be_by_place_alone(
    pick: random.Random, style: str, file: str
) -> None:
    """Only where modules are in any order, or the file is, may what is said so be wrong."""
    network = cnndsl.loads(Program(pick).text())
    own = own_numbers(network)
    author = Author(network, style, pick)
    foreign = {
        f"{author.path[layer]}.{name.rpartition('.')[2]}": value
        for layer in author.order
        for name, value in own.items()
        if name.rpartition(".")[0] == layer
    }
    names = sorted(foreign) if file == "sorted" else list(foreign)
    if file == "shuffled":
        pick.shuffle(names)
    try:
        found = load_weights(network, {name: foreign[name] for name in names})
    except cnndsl.ArchError as error:
        assert {d.code for d in error.diagnostics} == {"E605"}  # noqa: PT017
        return
    assert list(found) == list(own)
    wrong = {n.rpartition(".")[0] for n in own if not np.array_equal(found[n], own[n])}
    lost = style == "any" or file != "defined"
    assert not wrong or (lost and wrong <= found.by_order.keys())


def test_a_module_that_spans_the_first_turn_of_a_repeat_is_no_turn() -> None:
    network = cnndsl.loads(
        """
model M: x[4, H=8, W=8] -> y[_, _, _] {
  s0: conv(4, 1x1) -> conv(4, 1x1)
  s1: conv(4, 3x3) -> { bn -> relu -> conv(4, 3x3) } * 2
  y: conv(2, 1x1)
}"""
    )
    paths = {
        **{"s0.0": "0.0", "s0.1": "0.1", "s1.0": "1.0", "s1.1.0.0": "1.1", "s1.1.0.2": "1.2"},
        **{"s1.1.1.0": "2.0", "s1.1.1.2": "2.1", "y": "3"},
    }
    own = own_numbers(network)
    named = {name.rpartition("."): value for name, value in own.items()}
    foreign = {f"{paths[layer]}.{last}": value for (layer, _, last), value in named.items()}
    found = load_weights(network, dict(sorted(foreign.items())))
    assert all(np.array_equal(found[name], own[name]) for name in own)
