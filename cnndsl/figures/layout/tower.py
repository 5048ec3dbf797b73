"""Series and parallel parts stacked downwards, branches side by side in declared order."""

from __future__ import annotations

from math import inf

from cnndsl.figures.layout.parallel import Chain, Fork, Part, Wire
from cnndsl.figures.layout.piece import Ends, Line, Piece
from cnndsl.figures.layout.ports import spread, turns

GAP, TIGHT, CLOSE = 22.0, 16.0, 13.0
"""Between a box and the next below it, where the page is narrow, and where boxes that stand
beside each other have the least room."""
FORK, JOIN = 9.0, 13.0
"""From a box to the bar of its fork, and from the bar of a join to its box."""
NEST = 5.0
"""From the bar of a tensor to that of the next one of its box."""
BESIDE = 16.0
"""Between branches."""
CHANNEL = 9.0
"""Half the width of a skip's channel."""

OVER = 24.0
"""Under what is given out, before something may stand as far to the right."""
MAIN = 2.5
"""A branch so much longer than all others is the main path."""

Leaves = dict[str, Piece]
SOURCED: Ends = ("", "")
"""Stands for the edge of a branch that has none."""


def stacked(part: Part, leaves: Leaves, gap: float = GAP) -> Piece:
    """A part from the foot of one node to the top of another, with a gap between nodes."""
    match part:
        case Wire(edges=edges):
            return _wire(edges, gap if edges else 0.0)
        case Chain():
            return chained(part, leaves, gap)
        case Fork():
            return _forked(part, leaves, gap)


def _wire(edges: list[Ends], height: float) -> Piece:
    return Piece(0, 0, height, through=dict.fromkeys(edges, ((0.0, 0.0), (0.0, height))))


def chained(chain: Chain, leaves: Leaves, gap: float = GAP) -> Piece:
    """Parts and nodes in turn, on one axis."""
    done = stacked(chain.parts[0], leaves, gap)
    for node, part in zip(chain.nodes, chain.parts[1:], strict=True):
        add_leaf(done, leaves[node])
        _add_part(done, stacked(part, leaves, gap))
    return done


def add_leaf(done: Piece, leaf: Piece) -> None:
    """Put a node below: what comes through ends in it."""
    low = leaf.moved(0, done.height)
    for ends, line in done.through.items():
        done.opening[ends] = line + low.opening[_inner(ends, low.opening)]
    for ends, line in done.closing.items():
        done.wires[ends] = line + low.opening[_inner(ends, low.opening)]
    done.through = {}
    done.closing = {}
    _grow(done, leaf)
    done.take(low)
    done.exits = low.closing


def _add_part(done: Piece, part: Piece) -> None:
    """Put wires below the last node: they begin in it."""
    low = part.moved(0, done.height)
    exits = done.exits
    for ends, line in low.through.items():
        done.closing[ends] = _from(exits[_outer(ends, exits)], line)
    for ends, line in low.opening.items():
        done.wires[ends] = _from(exits[_outer(ends, exits)], line)
    done.closing |= low.closing
    _grow(done, part)
    done.take(low)
    done.exits = {}


def _from(exit: Line, line: Line) -> Line:
    """A line from where a node is left: of a box, from its own place at its foot."""
    return line if len(exit) == 1 else exit + line


def _grow(done: Piece, added: Piece) -> None:
    done.left = max(done.left, added.left)
    done.right = max(done.right, added.right)
    done.height += added.height


def _inner(ends: Ends, opening: dict[Ends, Line]) -> Ends:
    """The line inside a node that goes on from one outside."""
    return ends if ends in opening else ("@in", ends[1])


def _outer(ends: Ends, closing: dict[Ends, Line]) -> Ends:
    return ends if ends in closing else (ends[0], "@out")


def _forked(fork: Fork, leaves: Leaves, gap: float) -> Piece:
    """Branches from one bar to another: the last boxes of all stand in one row."""
    branches = [b for b in fork.branches if not isinstance(b, Wire) or b.edges]
    if not branches:
        return _wire([], 0.0)
    pieces = [stacked(branch, leaves, gap) for branch in branches]
    skips = [isinstance(branch, Wire) for branch in branches]
    for piece, skip in zip(pieces, skips, strict=True):
        if skip:
            piece.left = piece.right = CHANNEL
    leaving = sum(not (piece.through or piece.closing) for piece in pieces)
    places = _places(pieces, skips, leaving=leaving)
    height = max(piece.height for piece in pieces)
    # Branches that leave the scene begin together; the others end together.
    ended = any(piece.through or piece.closing for piece in pieces)
    leads = _leads(pieces, places, leaves)
    turn = max(bar for _, bar in leads)
    done = Piece(0, 0, turn + height + JOIN)
    for piece, x, (out, bar) in zip(pieces, places, leads, strict=True):
        late = height - piece.height if ended else 0.0
        low = piece.moved(x, turn + late)
        foot = turn + late + piece.height
        lead: Line = ((out, 0.0), (out, bar), (x, bar))
        tail: Line = ((x, foot), (x, turn + height), (0.0, turn + height), (0.0, done.height))
        done.opening |= {e: lead + line for e, line in low.opening.items()}
        done.closing |= {e: line + tail for e, line in low.closing.items()}
        done.through |= {e: lead + line + tail for e, line in low.through.items()}
        done.take(low)
        done.left = max(done.left, piece.left - x)
        done.right = max(done.right, piece.right + x)
    return done


def _leads(
    pieces: list[Piece], places: list[float], leaves: Leaves
) -> list[tuple[float, float]]:
    """Where each branch leaves the box over the fork, and how far below it turns.

    Each tensor of the box has a place and a bar of its own.
    """
    edges = [next(iter((*piece.opening, *piece.through)), SOURCED) for piece in pieces]
    tails = {tail for tail, _ in edges}
    leaf = leaves.get(tails.pop()) if len(tails) == 1 else None
    numbers = [leaf.gives.get(head, -1) if leaf else -1 for _, head in edges]
    kinds = sorted({*numbers})
    if leaf is None or len(kinds) < 2:
        return [(0.0, FORK)] * len(pieces)
    ends = list(zip(numbers, places, strict=True))
    reached = [[x for number, x in ends if number == kind] for kind in kinds]
    wishes = [sum(xs) / len(xs) for xs in reached]
    ports = dict(zip(kinds, spread(wishes, leaf.spots[0].width / 2), strict=True))
    levels = turns(ports, ends)
    return [(ports[n], FORK + NEST * levels.get(n, 0)) for n in numbers]


def _reach(piece: Piece, foot: float) -> float:
    """How far to the right of its axis a piece reaches above some height."""
    if piece.height <= foot:
        return piece.right
    rects = [right for _, top, right, _ in piece.taken if top < foot]
    lines = (*piece.wires.values(), *piece.opening.values())
    turns = [x for line in lines for x, y in line if y < foot]
    return max([*rects, *turns], default=0.0)


def _places(pieces: list[Piece], skips: list[bool], *, leaving: int) -> list[float]:
    """The axis of each branch, of which some are `leaving`; the fork's own axis is 0."""
    kept = [n for n, skip in enumerate(skips) if not skip] or list(range(len(pieces)))
    heights = [pieces[n].height for n in kept]
    low, high = sorted(heights)[-2:] if len(kept) > 1 else (0.0, 0.0)
    main = kept[heights.index(high)] if len(kept) > 1 else kept[0]
    order = list(range(len(pieces)))
    if leaving and len(kept) > 1 and MAIN * low < high:
        # What is given out on the way stands at the right of what goes on.
        order.remove(main)
        order.insert(0, main)
    places = [0.0] * len(pieces)
    begun: list[int] = []
    for n in order:
        # What is given out stands only beside what is as far down as itself.
        foot = pieces[n].height + OVER if leaving == len(pieces) else inf
        edges = (places[m] + _reach(pieces[m], foot) + BESIDE for m in begun)
        places[n] = max(edges, default=0.0) + pieces[n].left
        begun.append(n)
    centre = (places[kept[0]] + places[kept[-1]]) / 2
    if (len(kept) == 2 and low < high) or (leaving and MAIN * low < high):
        # The longer branch is the main path, and stands straight; the others are its side.
        centre = places[main]
    elif len(kept) % 2:
        centre = places[kept[len(kept) // 2]]
    return [place - centre for place in places]
