"""A scene in its place: blocks opened in place first, then what stands between them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from cnndsl.figures import font
from cnndsl.figures.lanes import lanes
from cnndsl.figures.layout.arcs import skips
from cnndsl.figures.layout.cards import LABEL, LEVELS, OPTIONAL, TITLE, Cards, behind
from cnndsl.figures.layout.heads import LEAST, joined, parted, split
from cnndsl.figures.layout.lanes import Beside, settled
from cnndsl.figures.layout.layered import layered
from cnndsl.figures.layout.mesh import Naming, meshed, woven
from cnndsl.figures.layout.parallel import SINK, SOURCE, Chain, Fork, Link, Wire, reduced
from cnndsl.figures.layout.piece import Ends, Line, Piece, Scope, Spot, named, tidy
from cnndsl.figures.layout.pyramid import gridded
from cnndsl.figures.layout.rails import bare
from cnndsl.figures.layout.roles import Grid, Roles
from cnndsl.figures.layout.sizes import Seen, Sized, sized
from cnndsl.figures.layout.solving import SNUG
from cnndsl.figures.layout.steps import alike, strips, widened
from cnndsl.figures.layout.strides import kept, node_strides, strides
from cnndsl.figures.layout.tower import CLOSE, GAP, TIGHT, chained, stacked
from cnndsl.figures.scene import Box, Cluster, Edge, Item, Scene, boxes, repeated
from cnndsl.figures.text import clean
from cnndsl.graph import Network

LONG = 4
"""A chain of so many boxes beside the spine stands as a tower."""
LARGE = 8
"""A block of more boxes has no outline in a tower."""
UNDER = 12.0
"""Between parts that stand under each other, beside their own ends."""
PAD, BAR, LEAD = 10.0, 20.0, 12.0
"""Around the boxes of a scope, over them for its title, and of the edges to them."""


def placed(
    network: Network,
    scene: Scene,
    cards: Cards,
    *,
    main: bool,
    naming: Naming = dict,
    laned: bool = True,
) -> Piece:
    """All boxes and wires of a scene, in the way of its cards, on lanes if it may be `laned`.

    `naming` gives the names of the calls that an opened block shows.
    """
    if not main and (mesh := meshed(scene)):
        return woven(mesh, scene, cards, naming)
    edges = [(edge.tail, edge.head) for edge in scene.edges]
    if laned and not cards.way.turning:
        planes, over = strides(network, scene), cards.spans
        of_node = node_strides(network)
        carried = {
            (edge.tail, edge.head): _carried(scene, edge, of_node, over.get(edge.tail, ()))
            for edge in scene.edges
        }
        tail, met = joined(scene, planes, carried) if main else (set[str](), set[int]())
        begins = [] if main else _begins(scene, planes)
        lanes_of = planes | {key: found[0] for key, found in over.items()}
        up = not over and lanes(network, scene).rows
        if begins or up or (main and (len(met) >= LEAST or over)):
            levels = Levels(lanes_of, tail, over, begins, carried)
            listed = cards.way.listed or not main
            said = {} if listed else _said(scene, levels, of_node)
            return _pyramid(scene, edges, cards, levels, said)
    if not cards.way.turning:
        cards.unlaned()
    half = len(list(scene.boxes())) / 2
    return _level(_unwrapped(scene.items, half) if main else scene.items, edges, cards)


def _carried(
    scene: Scene, edge: Edge, lanes_of: dict[str, int], over: tuple[int, ...]
) -> tuple[int, ...]:
    """The lane of each tensor that an edge carries, in one turn of what repeats.

    Of what a block `over` several lanes gives, a map of one place runs in the last of them.
    """
    last = {t.node: over[-1] for t in edge.tensors if over and len(t.shape) > 2}
    every = {(t.node, t.output) for t in edge.tensors}
    found = last | lanes_of
    counts = Counter(found[node] for node, _ in every if node in found)
    turns = repeated(scene.items).get(edge.tail, 1)
    each = {lane: max(count // turns, 1) for lane, count in counts.items()}
    return tuple(lane for lane in sorted(each) for _ in range(each[lane]))


def planar(network: Network, scene: Scene) -> bool:
    """Whether all that a scene holds has a lane: it stands on them in every way."""
    planes = strides(network, scene)
    return all(box.key in planes for box in scene.boxes())


def _begins(scene: Scene, planes: dict[str, int]) -> list[str]:
    """The inputs of an opened block that come at several strides, or nothing."""
    fed = {edge.head for edge in scene.edges}
    ports = [box.key for box in scene.boxes() if not box.nodes and box.key not in fed]
    several = len({planes[key] for key in ports if key in planes}) > 1
    return ports if several and all(key in planes for key in ports) else []


def _unwrapped(items: Sequence[Item], half: float) -> list[Item]:
    """The items, without the outlines of large blocks: a tower is broken between boxes.

    `half` is of all the boxes: what holds more is the network under another name.
    """
    found: list[Item] = []
    for item in items:
        if isinstance(item, Cluster) and item.count == 1:
            count = len(list(boxes([item])))
            if count > LARGE or count > max(half, LARGE / 2):
                found += _unwrapped(item.children, half)
                continue
        found.append(item)
    return found


@dataclass(frozen=True, slots=True)
class Levels:
    """What of a scene stands in which lane.

    `tail` has no lane, and stands beside them. Blocks stand `over` several, inputs that
    `begins` lists in the first column. Of each edge, the lanes of what it carries are
    `carried`.
    """

    planes: dict[str, int]
    tail: set[str]
    over: dict[str, tuple[int, ...]]
    begins: list[str]
    carried: dict[Ends, tuple[int, ...]]


def _said(scene: Scene, levels: Levels, of_node: dict[str, int]) -> dict[str, dict[int, Sized]]:
    """By tall box and lane, what is said on the line that leaves it there to the right."""
    found = {}
    ends = {box.key for box in scene.boxes() if not box.nodes}
    for box in scene.boxes():
        over, edges = levels.over.get(box.key), [e for e in scene.edges if e.tail == box.key]
        seen = Seen()
        for edge in edges:
            carried = {*levels.carried[edge.tail, edge.head]}
            at = levels.over.get(edge.head) or (levels.planes.get(edge.head),)
            seen.right |= carried if edge.head in levels.tail else carried & {*at}
            seen.told |= carried if edge.head in ends else set()
        if over and (said := sized(box, edges, over, of_node, seen)):
            found[box.key] = said
    return found


def _pyramid(
    scene: Scene,
    edges: list[Ends],
    cards: Cards,
    levels: Levels,
    said: dict[str, dict[int, Sized]],
) -> Piece:
    """The scene on its stride lanes; what is `said` of tall boxes stands beside them."""
    planes, tail, over, begins = levels.planes, levels.tail, levels.over, levels.begins
    found = kept(planes, scene)
    items, joins = parted(scene.items, tail)
    edges, into, among = split(edges, tail)
    inner = _inner_boxes(items, edges, found)
    leaves: dict[str, Piece] = {}
    owner: dict[str, str] = {}
    for box in scene.boxes():
        if box.key in said:
            cards.unlisted(box)
    leading = [*edges, *into]
    for item in _flat(items, _near(leading), found):
        owner |= {box.key: item.key for box in boxes([item])}
        leaves[item.key] = (
            _leaf(item, cards) if isinstance(item, Box) else _piece(item, leading, cards)
        )
        found[item.key] = found[next(boxes([item])).key]
    more: list[str] = []
    if not begins:
        more = _collapse(leaves, owner, edges, found, {owner[key] for key in inner}, over)
    outer = dict.fromkeys((owner[t], owner[h]) for t, h in edges if owner[t] != owner[h])
    heads = {owner[t] for t, _ in into if t not in planes}
    # What stands over several lanes and gives rows too is left in each of its lanes.
    feeds = {owner[t] for t, h in into if owner[t] not in over or levels.carried[t, h]}
    within = {owner[key] for key in inner}
    roles = Roles(list(leaves), outer, found, within, heads, feeds, over, begins)
    roles.more = more
    fed = {head for _, head in edges}
    ends = {box.key for box in boxes(items) if not box.nodes and box.key in fed}
    if heads:
        # What a level gives out stands beside what goes on from it.
        roles.heads |= ends
        ends = set()
    between = [(t, h) for t, h in edges if owner[t] != owner[h]]
    beside = Beside(_stacked(joins, among, cards), into) if joins else None
    carried = levels.carried
    known = {box.key: box for box in boxes(items)}
    steps = cards.way.step is not None and all(map(bare, leaves.values()))
    narrow, flat = cards.narrow > 0, cards.way.flat
    grid = gridded(roles, ends, known if steps else {}, narrow=narrow, flat=flat)
    if grid.entry:
        cards.worded(known[grid.entry])
        leaves[grid.entry] = _leaf(known[grid.entry], cards)
    grid.arcs = skips(between, owner, grid, leaves)
    grid.strips = cards.striped(strips(roles, grid, known)) if cards.way.close else {}
    tails = [tail for key in grid.strips for tail in roles.above[key] if tail in known]
    ups = [tail for tail in tails if grid.cells[tail][1] > 0]
    for key in ups:
        cards.shortened(known[key])
    leaves |= {key: _leaf(known[key], cards) for key in (*grid.strips, *ups)}
    leaves = _slim(leaves, roles, grid, cards)
    wide = widened(leaves, grid, ups, SNUG) if grid.stepped and cards.way.step else {}
    leaves |= {key: _sized(leaves[key], cards, width) for key, width in wide.items()}
    return settled(
        roles, grid, leaves, between, owner, beside, carried=carried, said=said, cards=cards
    )


def _stacked(items: Sequence[Item], edges: list[Ends], cards: Cards) -> Piece:
    """What stands beside the lanes: parts that no edge joins stand under each other."""
    group = {box.key: item.key for item in items for box in boxes([item])}
    root = {item.key: item.key for item in items}

    def find(key: str) -> str:
        while root[key] != key:
            key = root[key]
        return key

    for tail, head in edges:
        root[find(group[head])] = find(group[tail])
    parts: dict[str, list[Item]] = {}
    for item in items:
        parts.setdefault(find(item.key), []).append(item)
    pieces = []
    for part in parts.values():
        keys = {box.key for box in boxes(part)}
        pieces.append(_level(part, [ends for ends in edges if ends[0] in keys], cards))
    done = Piece(max(p.left for p in pieces), max(p.right for p in pieces), 0)
    for piece in pieces:
        done.take(piece.moved(0, done.height + (UNDER if done.height else 0)))
        done.height += piece.height + (UNDER if done.height else 0)
    return done


def _slim(leaves: dict[str, Piece], roles: Roles, grid: Grid, cards: Cards) -> dict[str, Piece]:
    """The boxes of each column as wide as the widest of it: the spine's are wider."""
    bare = {
        key
        for key, piece in leaves.items()
        if not piece.scopes and all(cards[spot.box].sized for spot in piece.spots)
    }
    widths: dict[object, float] = {}

    def group(key: str) -> object:
        column = grid.cells[key][2]
        if grid.stepped:
            return alike(key, roles, grid)
        return key if cards.way.close and column else column

    for key in bare:
        column = group(key)
        wide = max(cards[spot.box].width for spot in leaves[key].spots)
        widths[column] = max(widths.get(column, cards.least), wide)
    return {
        key: _sized(piece, cards, widths[group(key)]) if key in bare else piece
        for key, piece in leaves.items()
    }


def _sized(piece: Piece, cards: Cards, width: float) -> Piece:
    """A box, or a tower of them, with boxes of a width."""
    spots = [
        named(spot, cards, width) if cards[spot.box].sized else spot for spot in piece.spots
    ]
    pairs = zip(piece.spots, spots, strict=True)
    less = max(old.width - new.width for old, new in pairs)
    return replace(piece, spots=spots, left=piece.left - less / 2, right=piece.right - less / 2)


def _collapse(
    leaves: dict[str, Piece],
    owner: dict[str, str],
    edges: list[Ends],
    lanes: dict[str, int],
    inner: set[str],
    over: dict[str, tuple[int, ...]],
) -> list[str]:
    """Make one tower of a long chain that stays in its lane.

    One that goes on from the spine's end is returned, and is of the spine.
    """
    roles = Roles(
        list(leaves),
        dict.fromkeys((owner[t], owner[h]) for t, h in edges if owner[t] != owner[h]),
        lanes,
        inner,
        spans=over,
    )
    spine = roles.spine()
    more: list[str] = []
    for key in list(leaves):
        done = key not in leaves or key in spine or key in more
        if done or len(roles.above[key]) != 1:
            continue
        if not roles.level(roles.above[key][0], key):
            continue
        chain = [key]
        while len(roles.below[chain[-1]]) == 1:
            then = roles.below[chain[-1]][0]
            plain = roles.level(chain[-1], then) and len(roles.above[then]) == 1
            if not plain or then in spine:
                break
            chain.append(then)
        ended = not roles.below[chain[-1]] and not over
        if len(chain) < LONG or ended or {*chain} & {*over}:
            continue
        if roles.above[key][0] == spine[-1] and not more:
            more = chain
            continue
        wires: list[Wire | Fork] = [Wire([])]
        for one, two in pairwise(chain):
            wires.append(Wire([e for e in edges if (owner[e[0]], owner[e[1]]) == (one, two)]))
        wires.append(Wire([]))
        tower = chained(Chain(wires, chain), leaves)
        tower.wires = {ends: tidy(line) for ends, line in tower.wires.items()}
        tower.opening = leaves[chain[0]].opening
        last = leaves[chain[-1]]
        tower.closing = last.moved(0, tower.height - last.height).closing
        for one in chain[1:]:
            del leaves[one]
        leaves[key] = tower
        for box, held in owner.items():
            owner[box] = key if held in chain else held
    return more


def _flat(items: Sequence[Item], ends: Near, lanes: dict[str, int]) -> list[Item]:
    """The items of a pyramid: boxes, and blocks that stay in one lane."""
    found: list[Item] = []
    for item in items:
        level = len({lanes[box.key] for box in boxes([item])}) == 1
        if isinstance(item, Box) or (level and _opened([item], ends) == [item]):
            found.append(item)
        else:
            found += _flat(item.children, ends, lanes)
    return found


def _inner_boxes(
    items: Sequence[Item], edges: Sequence[Ends], lanes: dict[str, int]
) -> set[str]:
    """The boxes in blocks that join what comes from several lanes."""
    found: set[str] = set()
    for item in items:
        if isinstance(item, Box):
            continue
        keys = {box.key for box in boxes([item])}
        entering = {lanes[tail] for tail, head in edges if head in keys and tail not in keys}
        found |= keys if len(entering) > 1 else _inner_boxes(item.children, edges, lanes)
    return found


def _level(items: Sequence[Item], edges: Sequence[Ends], cards: Cards) -> Piece:
    opened = _opened(items, _near(edges))
    owner = {box.key: item.key for item in opened for box in boxes([item])}
    links = _links([item.key for item in opened], edges, owner)
    remaining = reduced([item.key for item in opened], links)
    parts = [[item] for item in opened]
    if len(remaining) > 1:
        # What is not series and parallel stands between what is.
        parts = _segments(opened, edges, owner)
        remaining = []
    leaves: dict[str, Piece] = {}
    for part in parts if len(parts) > 1 else [[item] for item in opened]:
        first = part[0].key
        leaves[first] = _inside(part, edges, cards)
        owner |= {box.key: first for box in boxes(part)}
    if not remaining:
        remaining = reduced(list(leaves), _links(list(leaves), edges, owner))
    gap = TIGHT if cards.fine else GAP
    close = cards.way.turning and cards.narrow > LEVELS - 3
    gap = CLOSE if close or cards.way.tabled else gap
    if len(remaining) == 1:
        piece = stacked(remaining[0].part, leaves, gap)
    else:
        piece = layered(remaining, leaves, gap, drawn=cards.way.drawn)
    piece.wires = {ends: tidy(line) for ends, line in piece.wires.items()}
    return piece


def _segments(
    items: Sequence[Item], edges: Sequence[Ends], owner: dict[str, str]
) -> list[list[Item]]:
    """The items in groups, between which one edge alone leads on, from one item to one."""
    place = {item.key: number for number, item in enumerate(items)}
    crossing = [0] * (len(items) + 1)
    for tail, head in edges:
        first = place[owner[tail]] if tail in owner else -1
        last = place[owner[head]] if head in owner else len(items)
        if first >= last:
            continue
        for number in range(max(first, 0), min(last, len(items))):
            crossing[number] += 1
    fed = {owner[head] for _, head in edges if head in owner}
    read = {owner[tail] for tail, _ in edges if tail in owner}
    found: list[list[Item]] = [[]]
    for number, (item, then) in enumerate(pairwise(items)):
        found[-1].append(item)
        # Inputs stand beside each other, and so do outputs.
        alike = any({item.key, then.key}.isdisjoint(known) for known in (fed, read))
        if crossing[number] == 1 and not alike:
            found.append([])
    found[-1] += items[-1:]
    return found


def _inside(part: list[Item], edges: Sequence[Ends], cards: Cards) -> Piece:
    """One item, or several between which is more than a chain."""
    if len(part) == 1:
        return _piece(part[0], edges, cards)
    keys = {box.key for box in boxes(part)}
    inner = [
        (t if t in keys else SOURCE, h if h in keys else SINK)
        for t, h in edges
        if t in keys or h in keys
    ]
    return _level(part, list(dict.fromkeys(inner)), cards)


def _piece(item: Item, edges: Sequence[Ends], cards: Cards) -> Piece:
    """A box, or a block opened in place."""
    if isinstance(item, Box):
        # The rim of a box that not every call has is a part of it: no label stands on it.
        return _leaf(item, cards, OPTIONAL if cards[item].optional else 0.0)
    keys = {box.key for box in boxes([item])}
    inner = [
        (t if t in keys else SOURCE, h if h in keys else SINK)
        for t, h in edges
        if t in keys or h in keys
    ]
    noted = [*(cards.once(item) if item.title else []), cards.label(item)]
    level = _level(item.children, list(dict.fromkeys(inner)), cards)
    return _scoped(item, level, cards.times(item), noted, turning=cards.way.turning)


def _links(nodes: list[str], edges: Sequence[Ends], owner: dict[str, str]) -> list[Link]:
    """One link for all edges between two nodes, and the order of those without any."""
    found: dict[Ends, list[Ends]] = {}
    for tail, head in edges:
        found.setdefault((owner.get(tail, SOURCE), owner.get(head, SINK)), []).append(
            (tail, head)
        )
    links = [
        Link(tail, head, Wire(made), number)
        for number, ((tail, head), made) in enumerate(found.items())
        if tail != head
    ]
    begun, ended = {link.head for link in links}, {link.tail for link in links}
    for number, node in enumerate(nodes, len(links)):
        if node not in begun:
            links.append(Link(SOURCE, node, Wire([]), number))
        if node not in ended:
            links.append(Link(node, SINK, Wire([]), number))
    return links


Near = tuple[dict[str, set[str]], dict[str, set[str]]]
"""What leads into each box, and what each leads to."""


def _near(edges: Sequence[Ends]) -> Near:
    """The neighbours by some edges."""
    into: dict[str, set[str]] = defaultdict(set)
    out: dict[str, set[str]] = defaultdict(set)
    for tail, head in edges:
        into[head].add(tail)
        out[tail].add(head)
    return into, out


def _opened(items: Sequence[Item], ends: Near) -> list[Item]:
    """The items, without clusters that have several ways in or out: their boxes instead."""
    into, out = ends
    found: list[Item] = []
    for item in items:
        if isinstance(item, Box):
            found.append(item)
            continue
        keys = {box.key for box in boxes([item])}
        above = {tail for key in keys for tail in into[key]} - keys
        ending = {key for key in keys if out[key] - keys or not out[key]}
        if len(above) == 1 and len(ending) == 1 and len(keys) > 1:
            found.append(item)
        else:
            found += _opened(item.children, ends)
    return found


def _leaf(box: Box, cards: Cards, rim: float = 0.0) -> Piece:
    """A box alone, with room for a rim around it."""
    width, height = cards.size(box)
    stack = behind(box)
    if cards.way.turning:
        return _turning(box, cards, width, height)
    top, foot = rim + stack, rim + stack + height
    spot = named(Spot(box, 0, top + height / 2, width, height), cards, width)
    # The label stands over the left corner; a circle's beside it.
    beside = spot.words + 4 if spot.round and spot.words else 0.0
    return Piece(
        width / 2 + max(beside, rim),
        width / 2 + max(stack, rim),
        foot + rim,
        [spot],
        opening={("@in", box.key): ((0, 0), (0, rim)) if rim else ((0, 0),)},
        closing={(box.key, "@out"): ((0, foot), (0, foot + rim)) if rim else ((0, foot),)},
        gives=cards.gives.get(box.key, {}),
    )


def _turning(box: Box, cards: Cards, width: float, height: float) -> Piece:
    """A box of a picture that will run to the right."""
    stack = behind(box)
    spot = Spot(box, 0, width / 2, height, width, turning=True)
    spot = replace(named(spot, cards, width, width - 2), width=height)
    left = height / 2 + stack + (10 if spot.words else 0)
    foot = width + stack
    return Piece(
        left,
        height / 2,
        foot,
        [spot],
        opening={("@in", box.key): ((0, 0),)},
        closing={(box.key, "@out"): ((0, foot),)},
        gives=cards.gives.get(box.key, {}),
    )


def _scoped(
    cluster: Cluster, inner: Piece, times: str, noted: Sequence[str], *, turning: bool = False
) -> Piece:
    """A cluster with its outline around it, which says what is `noted` of all that is in it."""
    title = f"{clean(cluster.title)}{times}".strip()
    small = clean(" · ".join(filter(None, noted)))
    words = font.width(title, TITLE - 1, bold=True) + font.width(small, LABEL) + 18
    over = PAD if turning else BAR
    first, last = _slack(inner.opening, 0, 1), _slack(inner.closing, -1, -2)
    over -= first
    left = inner.left + BAR if turning else max(inner.left + PAD, words)
    right = inner.right + PAD
    height = over + inner.height - last + PAD
    if turning:
        height = max(height, words + PAD)
    low = inner.moved(0, over)
    scope = Scope(
        -left,
        0,
        left + right,
        height,
        title,
        small,
        cluster.count > 1,
        frozenset(box.key for box in boxes([cluster])),
        cluster.span,
        turning,
    )
    foot: Line = ((0.0, height),)
    return Piece(
        left,
        right,
        height,
        low.spots,
        [scope, *low.scopes],
        low.wires,
        {("@in", head): tidy(((0.0, 0.0), *line)) for (_, head), line in low.opening.items()},
        {(tail, "@out"): tidy((*line, *foot)) for (tail, _), line in low.closing.items()},
    )


def _slack(lines: dict[Ends, Line], end: int, next: int) -> float:
    """How much shorter lines may be at an end, inside an outline."""
    spare = [abs(line[end][1] - line[next][1]) for line in lines.values() if len(line) > 1]
    return max(min(spare, default=0.0) - LEAD, 0.0)
