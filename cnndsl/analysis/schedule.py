"""The order of execution that needs least memory, by liveness alone.

A node through which every path goes cuts the graph: what is before it comes first in any
order, so the pieces are solved one by one. In a piece the states are the sets of nodes
that have run, searched from the least peak up; a node that makes room without a new peak
runs at once, which loses nothing.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from itertools import count

from cnndsl.analysis.buffers import Buffer, buffers
from cnndsl.graph import Network

MOST_STATES = 20_000
"""Of one piece; beyond it the best of what a narrow search finds is taken."""
BEAM = 48


def peak(order: Sequence[str], found: dict[str, Buffer]) -> int:
    """The most memory that an order needs, in bytes."""
    return max(timeline(order, found), default=0)


def timeline(order: Sequence[str], found: dict[str, Buffer]) -> list[int]:
    """The bytes alive while each node runs: its inputs and its output among them."""
    left = {buffer.node: set(buffer.readers) for buffer in found.values()}
    alive, line = 0, []
    for name in order:
        buffer = found[name]
        alive += buffer.size if buffer.node == name else 0
        line.append(alive)
        alive -= _freed(name, found, left)
    return line


def _freed(name: str, found: dict[str, Buffer], left: dict[str, set[str]]) -> int:
    """What nothing needs once a node has run; `left` is brought up to date."""
    freed = 0
    for buffer in _touched(name, found):
        waiting = left[buffer.node]
        waiting.discard(name)
        if not waiting and not buffer.kept:
            freed += buffer.size
    return freed


def _touched(name: str, found: dict[str, Buffer]) -> list[Buffer]:
    unique = {b.node: b for b in found.values() if name in b.readers}
    unique[found[name].node] = found[name]
    return list(unique.values())


def best_order(
    network: Network, found: dict[str, Buffer] | None = None
) -> tuple[list[str], bool]:
    """An order with the least peak, and whether that is proven.

    `found` is `buffers(network)`, where other buffers are not meant.
    """
    found = buffers(network) if found is None else found
    source = [node.name for node in network]
    search = _Search(network, found)
    order: list[str] = []
    proven = True
    for piece in _pieces(network, source):
        done, sure = search.piece(piece)
        order += done
        proven = proven and sure
    if peak(order, found) > peak(source, found):
        return source, False
    return order, proven


def _pieces(network: Network, source: list[str]) -> list[list[str]]:
    """The nodes cut at those that all paths go through, each at the end of its piece."""
    position = {name: number for number, name in enumerate(source)}
    reach = 0
    pieces: list[list[str]] = []
    piece: list[str] = []
    for number, name in enumerate(source):
        piece.append(name)
        after = [position[v] for v in network.wires.readers(name)]
        # Every edge so far ends here or later ones all start here.
        ends = reach <= number and not (number == 0 and len(network.inputs) > 1)
        reach = max(reach, *after, number) if after else reach
        if ends and name not in network.inputs:
            pieces.append(piece)
            piece = []
    return [*pieces, piece] if piece else pieces


class _Search:
    """Pieces solved one after another; what is alive between them carries over."""

    def __init__(self, network: Network, found: dict[str, Buffer]) -> None:
        self.network = network
        self.found = found
        self.left = {buffer.node: set(buffer.readers) for buffer in found.values()}
        self.alive = 0
        self.peak = 0
        self.touched: dict[str, list[Buffer]] = {}
        for buffer in {b.node: b for b in found.values()}.values():
            for name in {*buffer.readers, buffer.node}:
                self.touched.setdefault(name, []).append(buffer)

    def piece(self, names: list[str]) -> tuple[list[str], bool]:
        """The order of one piece, and whether it is surely the best."""
        order, sure = self._solved(names) if len(names) > 2 else (names, True)
        for name in order:
            buffer = self.found[name]
            self.alive += buffer.size if buffer.node == name else 0
            self.peak = max(self.peak, self.alive)
            self.alive -= _freed(name, self.found, self.left)
        return order, sure

    def _solved(self, names: list[str]) -> tuple[list[str], bool]:
        inside = {name: number for number, name in enumerate(names)}
        before = [
            sum(1 << inside[u] for u in self.network.wires.producers(n) if u in inside)
            for n in names
        ]
        sizes = [self.found[n].size if self.found[n].node == n else 0 for n in names]
        moves: list[_Move] = []
        for number, name in enumerate(names):
            found = []
            for buffer in self.touched[name]:
                waiting = {*self.left[buffer.node]} | {buffer.node} & inside.keys()
                if not buffer.kept and buffer.size and waiting <= inside.keys():
                    found.append((sum(1 << inside[n] for n in waiting), buffer.size))
            moves.append((number, 1 << number, before[number], sizes[number], found))
        return _searched(names, moves, self.alive, self.peak)


_Move = tuple[int, int, int, int, list[tuple[int, int]]]
"""A node: its number, its bit, those of its producers, its bytes, and what is freed by whom."""


def _searched(
    names: list[str], moves: list[_Move], alive: int, least: int
) -> tuple[list[str], bool]:
    """Best first over the sets of nodes that have run, then a narrow search."""
    whole = (1 << len(names)) - 1
    ticket = count()
    start = (least, alive, 0, next(ticket), ())
    queue: list[tuple[int, int, int, int, tuple[object, ...]]] = [start]
    seen: set[int] = set()
    known: dict[int, int] = {}
    while queue and len(seen) < MOST_STATES:
        top, now, done, _, path = heapq.heappop(queue)
        if done == whole:
            return [names[n] for n in _unwound(path)], True
        if done in seen:
            continue
        seen.add(done)
        for highest, after, ran, number in _steps(top, now, done, moves):
            # What is alive after a set does not depend on its order: the least peak is kept.
            if ran not in seen and highest < known.get(ran, highest + 1):
                known[ran] = highest
                heapq.heappush(queue, (highest, after, ran, next(ticket), (path, number)))
    return [names[n] for n in _beam(start, whole, moves)], False


def _steps(
    top: int, now: int, done: int, moves: list[_Move]
) -> list[tuple[int, int, int, int]]:
    """The nodes that may run next: (peak then, bytes after, nodes run, its number).

    One that makes room, or takes none, below the peak so far is the only one to try.
    """
    found = []
    missing = ~done
    for number, bit, needed, size, frees in moves:
        if needed & missing or done & bit:
            continue
        during = after = now + size
        waiting = missing ^ bit
        for mask, freed in frees:
            if not mask & waiting:
                after -= freed
        step = (during if during > top else top, after, done | bit, number)
        if during <= top and after <= now:
            return [step]
        found.append(step)
    return found


def _unwound(path: tuple[object, ...]) -> list[int]:
    numbers: list[int] = []
    while path:
        path, number = path  # type: ignore[assignment]
        numbers.append(number)  # type: ignore[arg-type]
    return numbers[::-1]


def _beam(
    start: tuple[int, int, int, int, tuple[object, ...]], whole: int, moves: list[_Move]
) -> list[int]:
    """A search that keeps the most promising states of each length."""
    states = {start[2]: (start[0], start[1], start[4])}
    while whole not in states:
        following: dict[int, tuple[int, int, tuple[object, ...]]] = {}
        for done, (top, now, path) in states.items():
            for highest, after, ran, number in _steps(top, now, done, moves):
                known = following.get(ran)
                if known is None or (highest, after) < known[:2]:
                    following[ran] = (highest, after, (path, number))
        kept = sorted(following.items(), key=lambda item: item[1][:2])[:BEAM]
        states = dict(kept)
    return _unwound(states[whole][2])
