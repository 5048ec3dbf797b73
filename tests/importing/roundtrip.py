"""`python -m tests.importing.roundtrip [FILE …]`: what we write, read back as a file.

Each network of the zoo is written as PyTorch and imported again: the graph must be the same,
and the text not much longer. Nothing is run; the importer's own proof is tested elsewhere.
"""

from __future__ import annotations

import math
import re
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import networkx as nx
import numpy as np
import torch

from cnndsl import Network, load, loads
from cnndsl.analysis.weights import weight_name
from cnndsl.diagnostics import ArchError
from cnndsl.editing.layout import layout
from cnndsl.graph import Node
from cnndsl.importing import proof
from cnndsl.importing.axes import MOVES
from cnndsl.importing.recover import recovered
from cnndsl.importing.simplify import simplified
from cnndsl.importing.tracing import flow_of
from cnndsl.ops.base import BEGINNINGS

ZOO = Path(__file__).parents[2] / "archs"


@dataclass(frozen=True)
class Back:
    """What became of one network: the lines of both files where it came back, else why not."""

    name: str
    ours: int
    theirs: int
    said: str

    def __str__(self) -> str:
        lines = f"{self.ours:>5}{self.theirs:>5}" if self.theirs else f"{self.ours:>5}    –"
        return f"{self.name:32}{lines}  {self.said}"


def lines(text: str) -> int:
    """Those that say something: no blank ones, comments, sources and claims."""
    plain, quoted = 0, False
    for line in map(str.strip, text.splitlines()):
        marks = line.count('"""')
        if not (quoted or marks or not line or line.startswith(("#", "@"))):
            plain += 1
        quoted ^= marks == 1
    return plain


def whole(path: Path, model: str) -> int:
    """The lines of a model, of the blocks that it needs, and of their files' defaults."""
    taken: dict[tuple[Path, str], None] = {(path, model): None}
    waiting = [*taken]
    while waiting:
        home, name = waiting.pop()
        words = {*re.findall(r"\w+", "\n".join(_block(home, name)))}
        known = [*((home, other) for other in _declared(home)), *_uses(home)]
        inner = [pair for pair in known if pair[1] in words and pair not in taken]
        waiting += inner
        taken.update(dict.fromkeys(inner))
    homes = {home: home.read_text() for home, _ in taken}
    defaults = sum(len(re.findall("^default ", text, re.MULTILINE)) for text in homes.values())
    return defaults + sum(lines("\n".join(_block(*pair))) for pair in taken)


def _uses(path: Path) -> list[tuple[Path, str]]:
    """The blocks that a file takes from others, each with its home."""
    found = re.findall(r'^use "(.+?)" \((.*?)\)', path.read_text(), re.MULTILINE)
    places = [path.parent, ZOO]
    return [
        (next(place / home for place in places if (place / home).exists()), name.strip())
        for home, names in found
        for name in names.split(",")
    ]


def _declared(path: Path) -> list[str]:
    return re.findall(r"^(?:block|model) (\w+)", path.read_text(), re.MULTILINE)


def _block(path: Path, name: str) -> list[str]:
    """The lines of a declaration."""
    kept = path.read_text().splitlines()
    begins = re.compile(rf"(block|model) {name}\b")
    starts = [n for n, line in enumerate(kept) if begins.match(line)]
    if not starts:
        return []
    first = kept[starts[0]]
    if first.rstrip().endswith("}"):
        return [first]
    stop = next((n for n in range(starts[0], len(kept)) if kept[n].startswith("}")), starts[0])
    return kept[starts[0] : stop + 1]


def same(one: Network, other: Network) -> bool:
    """Whether two networks have the same layers, joined in the same way, in evaluation.

    Of each layer that an output needs: the operation, all that it is told, the shapes it gives,
    what feeds it in which order, and with which layers it shares its weights. Left out is what
    does nothing in evaluation (`dropout`, `droppath`, the first values of weights), and four
    spellings are one: what moves elements is known by where they go, a part of a `split` as a
    `slice` would be, a mean of all in one bin is `gap`, and the operands of a sum or product
    have no order.
    """
    return layers_of(one) == layers_of(other)


def layers_of(network: Network) -> Counter[object]:
    """Each layer with all that it depends on, and which of them share weights."""
    signs: dict[str, object] = {
        name: (n, *map(int, tensor.shape))
        for n, (name, tensor) in enumerate(network.inputs.items())
    }
    ends = {tensor.node for tensor in network.outputs.values()}
    read = ends.union(*(nx.ancestors(network.graph, end) for end in ends))
    found: list[object] = [*signs.values()]
    owners: dict[str, list[str]] = {}
    wanted = {tensor for name in read for tensor in network.operands(name)}
    wanted |= {(tensor.node, tensor.output) for tensor in network.outputs.values()}
    parts: dict[tuple[str, int], tuple[object, int]] = {}
    for node in network:
        if node.name in signs or node.name not in read:
            continue
        inputs = [parts.get(t, (signs[t[0]], t[1])) for t in network.operands(node.name)]
        if node.op.name == "split":
            for number, moved in enumerate(_moved(network, node)):
                if (tensor := (node.name, number)) in wanted:
                    parts[tensor] = (str(hash((moved, tuple(inputs)))), 0)
                    found.append(parts[tensor][0])
            signs[node.name] = inputs[0][0]
            continue
        if node.op.name in ("dropout", "droppath"):
            signs[node.name] = inputs[0][0]
            continue
        if node.op.name in ("add", "mul", "maximum", "minimum"):
            inputs.sort(key=str)
        signs[node.name] = sign = str(hash((_said(network, node), tuple(inputs))))
        found.append(sign)
        for name in node.op.weights(*network.input_shapes(node.name)):
            owners.setdefault(weight_name(node, name), []).append(sign)
    found += [("shared", *sorted(names)) for names in owners.values()]
    for n, tensor in enumerate(network.outputs.values()):
        place = (tensor.node, tensor.output)
        found.append(("output", n, *parts.get(place, (signs[tensor.node], tensor.output))))
    return Counter(found)


def _moved(network: Network, node: Node) -> list[object]:
    """Where the elements of each output come from; 0 is what a border adds."""
    name, output = network.operands(node.name)[0]
    shape = tuple(map(int, network.shapes[name][output]))
    places = np.arange(1, math.prod(shape) + 1, dtype=float).reshape(1, *shape)
    given = node.op.plain().run(places)
    parts = given if isinstance(given, tuple) else (given,)
    return [(part.shape, part.tobytes()) for part in parts]


def _said(network: Network, node: Node) -> object:
    """What a layer is in evaluation; what only moves elements by where they come from."""
    plain = node.op.plain()
    shapes = [tuple(map(int, shape)) for shape in network.shapes[node.name]]
    if plain.name in ("gap", "adaptive_avgpool") and set(shapes[0][1:]) == {1}:
        return ("gap", *shapes)
    single = len(network.operands(node.name)) == len(shapes) == 1
    if single and (plain.moves or plain.name in MOVES) and not plain.rows_joined:
        return _moved(network, node)[0]
    told = (
        _value(getattr(plain, p.name), p.type)
        for p in type(plain).parameters
        if p.name not in BEGINNINGS.values() and (plain.name, p.name) != ("max_unpool", "size")
    )
    return (plain.name, *told, *shapes)


def _value(value: object, kind: str) -> str:
    """A value, a number as single precision holds it, the same for both axes as one."""
    if isinstance(value, tuple):
        found = [_value(one, "") for one in value]
        both = kind in ("float | Numbers", "int | Integers") and len({*found}) == 1
        return found[0] if both else str(found)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return repr(np.float32(value)) if number else str(value)


def back(path: Path) -> Back:
    """One network, there and back."""
    network = load(path)
    count = whole(path.resolve(), network.name)
    torch.manual_seed(0)
    shapes = [tuple(map(int, tensor.shape)) for tensor in network.inputs.values()]
    try:
        flow = simplified(flow_of(network.to_torch().eval(), shapes, "Back"))
        flow.operations()
        text = layout(recovered(flow))
        found = loads(text)
        proof.weight_names(found, proof.matched(found, flow))
    except ArchError as error:
        return Back(path.stem, count, 0, error.diagnostics[0].message)
    said = "the same" if same(network, found) else "another graph"
    return Back(path.stem, count, lines(text), said)


def main() -> None:
    """Print a line a network."""
    given = [Path(name) for name in sys.argv[1:]] or sorted(ZOO.glob("*.arch"))
    made = []
    for path in given:
        made.append(back(path))
        print(made[-1], flush=True)
    good = [one for one in made if one.said == "the same"]
    short = [one for one in good if one.theirs <= 1.5 * one.ours]
    print(f"{len(good)} of {len(made)} the same, {len(short)} in at most 1.5 times the lines")


if __name__ == "__main__":
    main()
