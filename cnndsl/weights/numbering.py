"""Numbers in names: `conv_2`, `layer_blocks.2`, `p4`."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cnndsl.ops.base import OPS

Path = tuple[str, ...]


def numbered(segment: str) -> list[tuple[str, int]]:
    """The readings of a segment as a stem and a number: `conv_2` → (`conv#`, 2).

    A segment without a number is the first of its stem; `inception4a` also counts in
    letters.
    """
    found = []
    for match in re.finditer(r"\d+|(?<=\d)[a-z]$", segment):
        stem = f"{segment[: match.start()].rstrip('_')}#{segment[match.end() :]}"
        text = match.group()
        found.append((stem, int(text) if text.isdecimal() else ord(text)))
    return found or [(f"{segment}#", 1)]


@dataclass(frozen=True, slots=True)
class Family:
    """Layers whose paths differ in the number of one segment, and nothing else.

    `stems` are those in the same place with the same numbers: its siblings and itself.
    """

    parent: Path
    depth: int
    numbers: tuple[int, ...]
    stems: frozenset[Path]

    def siblings(self, path: Path) -> Iterator[int]:
        """The number that the path of a sibling has in that place."""
        for stem, number in _stems(path, self.depth):
            if stem in self.stems:
                yield number


def _stems(path: Path, depth: int) -> Iterator[tuple[Path, int]]:
    """The readings of a path that has a number at some depth."""
    if depth < len(path):
        for stem, number in numbered(path[depth]):
            yield (*path[:depth], stem), number


def families(paths: Sequence[Path], side: Sequence[Path]) -> Iterator[Family]:
    """The ways to read some of a side's paths as one with different numbers."""
    depth = common(paths)
    if depth < 0 or len({(path[:depth], path[depth + 1 :]) for path in paths}) > 1:
        return
    # The items of a list have its siblings' items beside them.
    parent = paths[0][: max(0, depth - paths[0][depth].isdecimal())]
    present: dict[Path, set[int]] = defaultdict(set)
    for path in side:
        if path[: len(parent)] == parent:
            for stem, number in _stems(path, depth):
                present[stem].add(number)
    for stem, _ in _stems(paths[0], depth):
        readings = [dict(_stems(path, depth)).get(stem) for path in paths]
        numbers = tuple(number for number in readings if number is not None)
        if len(set(numbers)) == len(paths):
            whole = present[stem]
            stems = frozenset(other for other, found in present.items() if found == whole)
            yield Family(parent, depth, numbers, stems)


def is_counted(path: Path) -> bool:
    """Whether a segment counts the layers of one operation: `s0_conv2`."""
    words = {re.sub(r"_?\d+$", "", segment).rpartition("_")[2] for segment in path}
    return not words.isdisjoint(OPS)


def common(paths: Sequence[Path]) -> int:
    """The number of segments with which all paths begin, the last one not counted.

    Less than 0 where one of them is empty.
    """
    limit = min(map(len, paths)) - 1
    return next((d for d in range(limit) if len({path[d] for path in paths}) > 1), limit)
