"""Evidence of names: what is called the same on both sides."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from cnndsl.ops.base import OPS
from cnndsl.weights.cells import Cell, Known, Pairs
from cnndsl.weights.numbering import Path, common, numbered
from cnndsl.weights.sets import union

GENERIC = frozenset(("", "norm", "act", "bn", "fc", "module", "block", "layer", *OPS))
"""Words that say what a layer is, and not which."""

Word = tuple[str, int]
"""A segment without its number, and the number: `conv_2` → (`conv`, 2), `0` → (``, 0)."""


def by_names(known: Known, cell: Cell) -> Pairs:
    """Layers whose names differ from each other as those of ours do.

    What a side's names share is left out: `convs.0`, `.1` are `y.0.conv`, `y.1.conv`, and
    `l.left.weight` is `y.left.conv.weight`.
    """
    pairs: Pairs = []
    for a, b in known.open(cell):
        paths = [known.theirs.layers[n].path for n in a], [known.ours.layers[m].path for m in b]
        theirs, ours = map(_own_part, paths)
        parallel = not all(
            known.ours.precedes(x, y) or known.ours.precedes(y, x)
            for x in b
            for y in b
            if x < y
        )
        found = _equal(theirs, ours) or _contained(theirs, ours)
        if parallel and any(word in GENERIC - {""} for path in ours for word, _ in path):
            found = []
        found = found or _by_words(theirs, ours)
        pairs += [(1 << a[x], 1 << b[y]) for x, y in found]
    return pairs


def by_containers(known: Known, cell: Cell) -> Pairs:
    """What is inside modules that are called the same: `paths.0`, `.1` are `u.0`, `u.1`."""
    classes = list(known.open(cell))
    sides = [[n for both in classes for n in both[side]] for side in (0, 1)]
    words: list[dict[int, Word]] = []
    for numbers, layers in zip(sides, (known.theirs.layers, known.ours.layers), strict=True):
        paths = [layers[n].path for n in numbers]
        depth = max(0, common(paths)) if paths else 0
        at = [_word([*path, ""][depth]) for path in paths]
        words.append(dict(zip(numbers, at, strict=True)))
    counts = [
        Counter((word, known.kinds[side][n]) for n, word in words[side].items())
        for side in (0, 1)
    ]
    found = dict.fromkeys(words[1].values())
    if counts[0] != counts[1] or len(found) < 2 or any(w in GENERIC - {""} for w, _ in found):
        return []
    return [(_called(words[0], each), _called(words[1], each)) for each in found]


def _called(words: Mapping[int, Word], word: Word) -> int:
    return union(n for n, other in words.items() if other == word)


def _own_part(paths: Sequence[Path]) -> list[tuple[Word, ...]]:
    """What of each path is not the same in all of them, at the beginning or the end."""
    start = max(0, common(paths))
    backwards = [path[start:][::-1] for path in paths]
    stop = max(0, common([(*path, "") for path in backwards]))
    return [tuple(map(_word, path[start : len(path) - stop])) for path in paths]


def _word(segment: str) -> Word:
    stem, number = numbered(segment)[-1]
    head, _, tail = stem.partition("#")
    return (head + tail).lower(), number


def _equal(theirs: Sequence[object], ours: Sequence[object]) -> list[tuple[int, int]]:
    place = {path: y for y, path in enumerate(ours)}
    if len(place) < len(ours) or place.keys() != set(theirs):
        return []
    return [(x, place[path]) for x, path in enumerate(theirs)]


def _contained(
    theirs: Sequence[tuple[Word, ...]], ours: Sequence[tuple[Word, ...]]
) -> list[tuple[int, int]]:
    """Each name is the one on the other side in which it is contained, or that it contains.

    A number alone says something only in one list: `d.0`, `d.1` and `u.2` are not `y.0`, `.1`
    and `.2`; `1.1` and `2.0` are not `y.1` and `y.0`.
    """
    found = [
        (x, y)
        for x, a in enumerate(theirs)
        for y, b in enumerate(ours)
        if _within(a, b) or _within(b, a)
    ]
    short, long = (theirs, ours) if len(theirs[0]) < len(ours[0]) else (ours, theirs)
    stems = {tuple(stem for stem, _ in path) for path in long}
    varying = sum(len(set(words)) > 1 for words in zip(*long, strict=False))
    lists = len(stems) > 1 or varying > 1
    if lists and any(not stem for path in short for stem, _ in path):
        return []
    once = len(found) == len(theirs) == len({x for x, _ in found}) == len({y for _, y in found})
    return found if once else []


def _within(part: Iterable[Word], whole: Iterable[Word]) -> bool:
    rest = iter(whole)
    return all(word in rest for word in part)


def _by_words(
    theirs: Sequence[tuple[Word, ...]], ours: Sequence[tuple[Word, ...]]
) -> list[tuple[int, int]]:
    """The layers with a word that only they have, on both sides."""
    where: tuple[dict[Word, list[int]], ...] = (defaultdict(list), defaultdict(list))
    for side, paths in zip(where, (theirs, ours), strict=True):
        for number, path in enumerate(paths):
            for word in set(path):
                if word[0] not in GENERIC:
                    side[word].append(number)
    found = {
        (xs[0], where[1][word][0])
        for word, xs in where[0].items()
        if len(xs) == 1 == len(where[1].get(word, []))
    }
    once = len(found) == len({x for x, _ in found}) == len({y for _, y in found})
    return sorted(found) if once else []
