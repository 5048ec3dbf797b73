"""What is not series and parallel: rows by the longest way, order by what lies above.

Source: Sugiyama, Tagawa & Toda 1981; the series and parallel parts inside are single
nodes of it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import pairwise

from cnndsl.figures.layout.channels import FINE, STEPS
from cnndsl.figures.layout.ordering import ordered
from cnndsl.figures.layout.parallel import SINK, SOURCE, Chain, Link, Wire, edges_in
from cnndsl.figures.layout.piece import Ends, Line, Piece, bounds, tidy
from cnndsl.figures.layout.ports import spread
from cnndsl.figures.layout.route import DOWN, Port, Router, Wanted
from cnndsl.figures.layout.tower import BESIDE, GAP, stacked

MORE, FEW, TRACK = 12.0, 4, 6.0
"""Between rows: room for a few edges that run across, and for each one more."""
SWEEPS = 4
Leg = tuple[Line, Line, str]
"""From where an edge is led, and to where, and which tensor of its box it is."""
JOG, AROUND = 9.0, 5.0
_PASSAGE = Piece(3, 3, 0)
"""Room for an edge that passes a row."""


@dataclass(slots=True)
class _Node:
    """A node, a composite part, or the place where an edge passes a row."""

    key: str
    piece: Piece
    rank: int = 0
    x: float = 0.0
    above: list[str] = field(default_factory=list)
    below: list[str] = field(default_factory=list)
    links: list[list[Ends]] = field(default_factory=list)
    """The edges of its links to what stands below."""
    side: float = 0.0
    """The room beside it, to another's."""
    late: bool = False
    """It belongs to a chain from an input, and may move down."""

    @property
    def kind(self) -> tuple[object, ...]:
        """What is equal for two nodes with the same boxes."""
        return tuple(spot.box.signature for spot in self.piece.spots)


def layered(
    links: list[Link], leaves: dict[str, Piece], gap: float = GAP, *, drawn: bool = True
) -> Piece:
    """The kernel of a graph in rows; between nodes inside a row is a gap."""
    nodes = _nodes(links, leaves, gap)
    rows = _passed(_rows(nodes), nodes)
    outside = (SOURCE, SINK)
    rows = ordered(
        rows,
        {
            key: [other for other in node.above if other not in outside]
            for key, node in nodes.items()
        },
        {
            key: [other for other in node.below if other not in outside]
            for key, node in nodes.items()
        },
    )
    _place(rows, nodes)
    done = Piece(0, 0, 0)
    y = between = 0.0
    tops: dict[str, float] = {}
    for row in rows:
        height = max(nodes[key].piece.height for key in row)
        for key in row:
            piece = nodes[key].piece
            tops[key] = y + (height - piece.height) / 2
            done.take(piece.moved(nodes[key].x, tops[key]))
        across = sum(not _straight(nodes[key], nodes) for key in row)
        between = gap + MORE + TRACK * max(across - FEW, 0) if across else gap
        y += height + between
    done.height = max(y - between, GAP)
    if drawn:
        _lead(done, nodes, tops)
    else:
        ends_of = [edge for link in links for edge in edges_in(link.part)]
        done.opening = {edge: ((0.0, 0.0),) for edge in ends_of if edge[0] == SOURCE}
        done.closing = {edge: ((0.0, done.height),) for edge in ends_of if edge[1] == SINK}
        # Where nothing is led, an edge says only which rows it passes.
        spots = {spot.box.key: spot for spot in done.spots}
        for tail, head in ends_of:
            if tail != SOURCE and head != SINK:
                one, two = (
                    (spots[tail].x, bounds(spots[tail])[3]),
                    (spots[head].x, spots[head].top),
                )
                done.wires[tail, head] = tidy((one, (two[0], one[1]), two))
    _enclose(done)
    xs = [x for spot in done.spots for x in (spot.left, spot.right)]
    xs += [x for scope in done.scopes for x in (scope.x, scope.x + scope.width)]
    xs += [x for line in done.wires.values() for x, _ in line]
    middle = (min(xs) + max(xs)) / 2 if not (done.opening or done.closing) else 0.0
    shifted = done.moved(-middle, 0)
    shifted.left = max(middle - min(xs), 0) + AROUND
    shifted.right = max(max(xs) - middle, 0) + AROUND
    return shifted


def _enclose(done: Piece) -> None:
    """Make room for edges that run over the first row and under the last."""
    ys = [y for line in done.wires.values() for _, y in line]
    over, under = JOG - min([JOG, *ys]), max([0.0, *ys]) + JOG - done.height
    if over > JOG:
        moved = done.moved(0, over)
        done.spots, done.scopes, done.wires = moved.spots, moved.scopes, moved.wires
        done.closing = moved.closing
        done.opening = {e: ((line[0][0], 0.0), *line) for e, line in moved.opening.items()}
        done.height += over
    if under > JOG:
        done.height += under
        done.closing = {
            e: (*line, (line[-1][0], done.height)) for e, line in done.closing.items()
        }


def _nodes(links: list[Link], leaves: dict[str, Piece], gap: float) -> dict[str, _Node]:
    nodes: dict[str, _Node] = {}

    def node(key: str) -> _Node:
        if key not in nodes:
            empty = Piece(0, 0, 0)
            side = BESIDE * (0.75 if gap >= GAP else 0.5)
            nodes[key] = _Node(key, leaves.get(key, empty), side=side, late=key in late)
        return nodes[key]

    every = [one for link in links for one in _apart(link)]
    late = {one.tail for link in links for one in _apart(link) if one is not link}
    for number, link in enumerate(sorted(every, key=lambda link: link.order)):
        outside = SOURCE in (link.tail, link.head) or SINK in (link.tail, link.head)
        if outside and isinstance(link.part, Wire) and not link.part.edges:
            # Only an order: nothing is drawn.
            node(link.head if link.tail == SOURCE else link.tail)
            continue
        tail, head = node(link.tail), node(link.head)
        if isinstance(link.part, Wire):
            tail.below.append(head.key)
            head.above.append(tail.key)
            tail.links.append(link.part.edges)
            continue
        part = node(f"@{number}")
        part.piece = stacked(link.part, leaves, gap)
        parts = link.part.parts if isinstance(link.part, Chain) else [link.part]
        if tail.key != SOURCE or edges_in(parts[0]):
            tail.below.append(part.key)
            part.above.append(tail.key)
        if head.key != SINK or edges_in(parts[-1]):
            part.below.append(head.key)
            head.above.append(part.key)
    ends = (SOURCE, SINK)
    return {k: n for k, n in nodes.items() if k not in ends or n.above or n.below}


def _apart(link: Link) -> list[Link]:
    """A chain that begins with an input link by link, as its boxes stand in rows."""
    chain = link.part
    if link.tail != SOURCE or not isinstance(chain, Chain) or edges_in(chain.parts[0]):
        return [link]
    ends = pairwise([link.tail, *chain.nodes, link.head])
    pairs = zip(ends, chain.parts, strict=True)
    return [Link(tail, head, part, link.order) for (tail, head), part in pairs]


def _rows(nodes: dict[str, _Node]) -> list[list[str]]:
    """Nodes by rank; ends that are only an order are left out."""
    count = {key: len(node.above) for key, node in nodes.items()}
    ready = [key for key in nodes if not count[key]]
    order: list[str] = []
    while ready:
        key = ready.pop(0)
        order.append(key)
        for below in nodes[key].below:
            nodes[below].rank = max(nodes[below].rank, nodes[key].rank + 1)
            count[below] -= 1
            if not count[below]:
                ready.append(below)
    last = max(node.rank for node in nodes.values())
    kinds = Counter((node.kind, node.rank) for node in nodes.values())
    for key in reversed(order):
        node = nodes[key]
        # A chain from an input moves down to what it feeds, unless it stands beside its twin.
        free = node.above in ([], [SOURCE])
        late = node.late and kinds[node.kind, node.rank] == 1
        if node.below and key != SOURCE and (free or late):
            node.rank = min(nodes[below].rank for below in node.below) - 1
        if node.below == [SINK]:
            node.rank = min(node.rank, last - 1)
    ranks: dict[int, list[str]] = defaultdict(list)
    for key in order:
        ranks[nodes[key].rank].append(key)
    return [ranks[rank] for rank in sorted(ranks)]


def _passed(rows: list[list[str]], nodes: dict[str, _Node]) -> list[list[str]]:
    """The rows, with a place wherever an edge passes one."""
    passing: dict[int, list[str]] = defaultdict(list)
    ranks = sorted({nodes[row[0]].rank for row in rows})
    for key in [key for row in rows for key in row]:
        node = nodes[key]
        for number, head in enumerate(list(node.below)):
            between = [rank for rank in ranks if node.rank < rank < nodes[head].rank]
            if not between or key == SOURCE:
                continue
            before = key
            for rank in between:
                place = _Node(
                    f"~{key}:{number}:{rank}", _PASSAGE, rank, above=[before], side=node.side
                )
                nodes[place.key] = place
                passing[rank].append(place.key)
                nodes[before].below.append(place.key)
                before = place.key
            nodes[before].below.append(head)
            nodes[head].above[nodes[head].above.index(key)] = before
    return [row + passing[rank] for row, rank in zip(rows, ranks, strict=True)]


def _place(rows: list[list[str]], nodes: dict[str, _Node]) -> None:
    """Columns: under what feeds them, as far as their neighbours leave room."""
    for sweep in range(SWEEPS):
        for row in rows if sweep % 2 == 0 else reversed(rows):
            wishes = []
            for key in row:
                node = nodes[key]
                near = node.above if sweep % 2 == 0 else node.below
                if not node.above:
                    # What comes in stands over the boxes that read it, not over its skips.
                    passed = {o.split(":")[1] for o in near if o.startswith("~")}
                    near = [o for n, o in enumerate(near) if str(n) not in passed] or near
                    near = [o for o in near if not o.startswith("~")] or near
                xs = [nodes[o].x for o in near if o not in (SOURCE, SINK)] or [node.x]
                wishes.append(sum(xs) / len(xs))
            _spread(row, wishes, nodes)
    for row in rows:
        _straighten(row, nodes)
    # What comes in is on the axis, and what goes out too, where that is near.
    ends = [nodes[key] for key in (SOURCE, SINK) if key in nodes]
    axis = ends[0].x if ends else 0.0
    for node in nodes.values():
        node.x -= axis
        if node in ends and abs(node.x) <= JOG:
            node.x = 0.0


def _straight(node: _Node, nodes: dict[str, _Node]) -> bool:
    """Whether it alone leads to one node, which stands under it."""
    below = [nodes[key] for key in node.below]
    return not below or (
        len(below) == len(below[0].above) == 1 and abs(node.x - below[0].x) < 0.01
    )


def _straighten(row: list[str], nodes: dict[str, _Node]) -> None:
    """Stand nearly under what feeds it: then exactly, so that the edge has no jog."""
    for n, key in enumerate(row):
        node = nodes[key]
        near = [nodes[o].x for o in node.above if o not in (SOURCE, SINK)]
        wish = min(near, key=lambda x: abs(x - node.x), default=node.x)
        alone = len(node.above) == 1 and nodes[node.above[0]].below == [key]
        if abs(wish - node.x) > JOG and not alone:
            continue
        left = nodes[row[n - 1]].x + _room(row[n - 1], key, nodes) if n else wish
        last = n + 1 == len(row)
        right = wish if last else nodes[row[n + 1]].x - _room(key, row[n + 1], nodes)
        if left - JOG <= wish <= right + JOG:
            node.x = wish


def _spread(row: list[str], wishes: list[float], nodes: dict[str, _Node]) -> None:
    """Places near the wished ones, none over another: groups that touch share their error."""
    groups: list[tuple[list[str], list[float], float]] = []
    for key, wish in zip(row, wishes, strict=True):
        groups.append(([key], [0.0], wish))
        while len(groups) > 1 and _touching(groups[-2], groups[-1], nodes):
            right, left = groups.pop(), groups.pop()
            gap = left[1][-1] + _room(left[0][-1], right[0][0], nodes)
            offsets = left[1] + [gap + offset for offset in right[1]]
            keys = left[0] + right[0]
            total = left[2] * len(left[0]) + (right[2] - gap) * len(right[0])
            groups.append((keys, offsets, total / len(keys)))
    for keys, offsets, start in groups:
        for key, offset in zip(keys, offsets, strict=True):
            nodes[key].x = start + offset


def _room(one: str, two: str, nodes: dict[str, _Node]) -> float:
    left, right = nodes[one], nodes[two]
    return left.piece.right + left.side + right.side + right.piece.left


def _touching(
    left: tuple[list[str], list[float], float],
    right: tuple[list[str], list[float], float],
    nodes: dict[str, _Node],
) -> bool:
    end = left[2] + left[1][-1]
    return right[2] - end < _room(left[0][-1], right[0][0], nodes)


def _lead(done: Piece, nodes: dict[str, _Node], tops: dict[str, float]) -> None:
    """Lead the edges between the rows, from the foot of one node to the top of another."""
    exits: dict[str, Line] = {}
    entries: dict[str, Line] = {}
    passing: list[tuple[Ends, Line, Line]] = []
    pieces = {key: node.piece.moved(node.x, tops[key]) for key, node in nodes.items()}
    links: list[Ends] = []
    first: dict[Ends, Line] = {}
    last: dict[Ends, Line] = {}
    for key, piece in pieces.items():
        if key in (SOURCE, SINK):
            continue
        if not key.startswith("@"):
            exits |= {ends[0]: line for ends, line in piece.closing.items()}
            entries |= {ends[1]: line for ends, line in piece.opening.items()}
            continue
        last |= piece.opening
        first |= piece.closing
        top: Line = ((nodes[key].x, tops[key]),)
        passing += [(ends, top, line) for ends, line in piece.through.items()]
    for node in nodes.values():
        links += [ends for made in node.links for ends in made]
    ports: dict[str, Line] = {
        SOURCE: ((nodes[SOURCE].x if SOURCE in nodes else 0.0, 0.0),),
        SINK: ((nodes[SINK].x if SINK in nodes else 0.0, done.height),),
    }
    legs: dict[tuple[Ends, int], Leg] = {}
    for ends in [*links, *last, *first]:
        begin = first.get(ends) or exits.get(ends[0]) or ports[SOURCE]
        end = last.get(ends) or entries.get(ends[1]) or ports[SINK]
        legs[ends, 0] = (begin, end, "")
    for ends, start, line in passing:
        legs[ends, 0] = (exits.get(ends[0], ports[SOURCE]), start, "")
        legs[ends, 1] = (line, entries.get(ends[1], ports[SINK]), "")
    for key, node in nodes.items():
        if node.piece.gives:
            _part(legs, node, _toward(key, nodes))
    fences = [done.wires, *(kind for p in pieces.values() for kind in (p.opening, p.closing))]
    _join(done, legs, fences)


def _toward(tail: str, nodes: dict[str, _Node]) -> dict[str, float]:
    """By box that a node leads to, where its edge passes the next row."""
    found: dict[str, float] = {}
    below = nodes[tail].below
    for number, key in enumerate(below):
        if key in nodes and not key.startswith("~"):
            passed = [one for one in below if one.startswith(f"~{tail}:{number}:")]
            x = nodes[passed[0] if passed else key].x
            found |= {key: x} | {spot.box.key: x for spot in nodes[key].piece.spots}
    return found


def _part(legs: dict[tuple[Ends, int], Leg], node: _Node, toward: dict[str, float]) -> None:
    """Let each tensor of a box leave it at a place of its own.

    Of those that lead to one side as far, what leads further down is further out.
    """
    x, piece = node.x, node.piece
    kinds: dict[int, list[Ends]] = defaultdict(list)
    for ends, leg in legs:
        if ends[0] == node.key and not leg:
            kinds[piece.gives[ends[1]]].append(ends)
    reached = {
        n: [(toward.get(ends[1], x), legs[ends, 0][1][0][1]) for ends in some]
        for n, some in kinds.items()
    }
    middle = {n: sum(at for at, _ in found) / len(found) for n, found in reached.items()}

    def far(n: int) -> tuple[float, float]:
        low = max(y for _, y in reached[n])
        return middle[n], low if middle[n] < x else -low

    order = sorted(kinds, key=far)
    wishes = [middle[n] - x for n in order]
    for n, out in zip(order, spread(wishes, piece.spots[0].width / 2), strict=True):
        for ends in kinds[n]:
            ((_, y),), end, _ = legs[ends, 0]
            legs[ends, 0] = (((x + out, y),), end, f"#{n}")


def _join(
    done: Piece,
    legs: dict[tuple[Ends, int], Leg],
    fences: list[dict[Ends, Line]],
) -> None:
    rects = [bounds(s) for s in done.spots]
    asked = {
        (ends, leg): Wanted(
            (f"{ends[0]}{tensor}", ends[1]),
            (Port(*begin[-1], DOWN),),
            (Port(*end[0], DOWN),),
        )
        for (ends, leg), (begin, end, tensor) in legs.items()
    }
    ports = [port for want in asked.values() for port in (*want.tails, *want.heads)]
    # What runs inside the rows already may be followed, and not beside it.
    ports += [Port(*at, DOWN) for begin, end, _ in legs.values() for at in (*begin, *end)]
    first: set[Ends] = set()
    for steps in (STEPS, FINE, FINE):
        router = Router(rects, ports, words=done.words, steps=steps)
        for lines in fences:
            router.fence(lines)
        ways = router.all(list(asked.values()), first)
        first |= router.crowded
        if not router.crowded:
            break
    for (ends, leg), way in zip(asked, ways, strict=True):
        begin, end, _ = legs[ends, leg]
        line = tidy(begin + way + end)
        if leg:
            line = tidy(_drawn(done, ends) + line)
        kind = done.wires
        if ends[0] == SOURCE:
            kind = done.opening
        elif ends[1] == SINK:
            kind = done.closing
        kind[ends] = line


def _drawn(done: Piece, ends: Ends) -> Line:
    for kind in (done.wires, done.opening, done.closing):
        if ends in kind:
            return kind[ends]
    return ()
