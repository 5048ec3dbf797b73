"""`python -m tests.importing.roundtrip [FILE …]`: what we write, read back as a file.

Each network of the zoo is written as PyTorch and imported again: the graph must be the same,
and the text not much longer. Nothing is run; the importer's own proof is tested elsewhere.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import torch

from cnndsl import Network, load, loads
from cnndsl.diagnostics import ArchError
from cnndsl.editing.layout import layout
from cnndsl.importing import proof
from cnndsl.importing.recover import recovered
from cnndsl.importing.simplify import simplified
from cnndsl.importing.tracing import flow_of

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


def whole(path: Path) -> int:
    """The lines of a file and, once each, of the blocks that it takes from others."""
    count, text = 0, path.read_text()
    count += lines(text)
    for line in text.splitlines():
        if line.startswith("use "):
            name = line.split('"')[1]
            names = [n.strip() for n in line.partition("(")[2].rstrip(")").split(",")]
            count += sum(_block(ZOO / name, one) for one in names if one)
    return count


def _block(path: Path, name: str) -> int:
    kept = path.read_text().splitlines()
    starts = [n for n, line in enumerate(kept) if line.startswith(f"block {name}")]
    if not starts:
        return 0
    stop = next((n for n in range(starts[0], len(kept)) if kept[n].startswith("}")), starts[0])
    return lines("\n".join(kept[starts[0] : stop + 1]))


def same(one: Network, other: Network) -> bool:
    """Whether two networks have the same layers, joined in the same way."""
    ours, theirs = (
        Counter(proof.colours_of(net, ports=False).values()) for net in (one, other)
    )
    return ours == theirs


def back(path: Path) -> Back:
    """One network, there and back."""
    network, count = load(path), whole(path)
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
