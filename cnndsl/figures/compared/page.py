"""The picture of a union: each box with its sign and what it changes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from cnndsl.analysis.costs import Cost, total
from cnndsl.analysis.diff import diff
from cnndsl.figures import font
from cnndsl.figures.caption import caption, heading
from cnndsl.figures.compared.closing import LEVELS as CLOSED
from cnndsl.figures.compared.closing import union
from cnndsl.figures.compared.union import (
    ADDED,
    AFFECTED,
    CHANGED,
    KINDS,
    REMOVED,
    SAME,
    Part,
    Union,
)
from cnndsl.figures.layout import inking
from cnndsl.figures.layout.cards import CARD, LEVELS, TITLE, Card, Cards, Type, Way
from cnndsl.figures.layout.casing import cased
from cnndsl.figures.layout.labels import spread
from cnndsl.figures.layout.page import PAGE
from cnndsl.figures.layout.panel import LONG
from cnndsl.figures.layout.piece import Piece, Spot
from cnndsl.figures.layout.scene import placed
from cnndsl.figures.layout.wrapping import Cut, wrapped
from cnndsl.figures.paint import Area, Group, Path, Picture, Polygon, Text, extent, head
from cnndsl.figures.paint import Part as Drawn
from cnndsl.figures.scene import Box
from cnndsl.figures.telling import Teller
from cnndsl.figures.text import clean, count_text, label_text, shape_text
from cnndsl.figures.titles import Sayer, title_of
from cnndsl.graph import Network

MARGIN, GAP = 18.0, 26.0
SMALL, MARK = 9.0, 15.0
MOST = (210.0, 178.0, 128.0, 178.0, 128.0, 98.0)
"""The longest line of a box, by how narrow the page is."""
COLUMNS, SHARES = range(1, 7), (1.0, 0.85, 0.7, 0.5)
"""A tower is tried in so many columns, and in rows of such a part of the page's width."""
HOPELESS = 2.5
"""What is so much larger than a page fits none."""
LEAST = 240.0
"""The least height of a column."""
FULL = 0.75
"""Columns are at most so long, beside the whole."""
FEW = 3
"""So many changes inside a closed block are said."""
TRIES = 2
"""So many layouts that may fit a page are drawn with their edges."""
SIGNS = {SAME: "", ADDED: "+", REMOVED: "−", CHANGED: "~", AFFECTED: "≈"}
NAMES = {
    ADDED: "added",
    REMOVED: "removed",
    CHANGED: "changed",
    AFFECTED: "the same layer, of another size or cost",
    SAME: "unchanged; a run of such layers is one box",
}


def compared(before: Network, after: Network) -> Picture:
    """One picture of two networks: what is added, removed and changed, and what that costs.

    Blocks are closed, and then runs, where a page has no room for what is in them; at last it
    leaves the lanes.
    """
    least: _Sketch | None = None
    for laned in (True, False):
        if least and not least.laned:
            break
        shown: Union | None = None
        for level in range(CLOSED):
            found = union(before, after, level)
            if shown and (found.parts, found.edges) == (shown.parts, shown.edges):
                continue
            shown, room = found, _room(found)
            for sketch in _sketches(found, room, laned=laned):
                over = sketch.over
                if over == 1:
                    cards, piece = sketch.drawn()
                    over = _over(piece, room)
                    if over == 1:
                        return _picture(found, cards, piece)
                if least is None or over < least.over:
                    least = replace(sketch, over=over)
    assert least is not None
    return _picture(least.found, *least.drawn())


def _room(found: Union) -> tuple[float, float]:
    """The pixels of a page between its caption and its legend."""
    top = caption(_name(found.before, found.after), _said(found), MARGIN, MARGIN)[2]
    foot = extent(_legend(_kinds(found), 0.0, PAGE[0] - MARGIN))[1]
    return PAGE[0] - 2 * MARGIN, PAGE[1] - top - 2 * GAP - foot - MARGIN


def _over(piece: Piece, room: tuple[float, float]) -> float:
    """1 for what fits, else how many times too large it is."""
    return max(piece.width / room[0], piece.height / room[1], 1.0)


def _kinds(found: Union) -> list[str]:
    kinds = {part.kind for part in found.parts.values()} | {*found.edges.values()}
    return [kind for kind in NAMES if kind in kinds]


def _picture(found: Union, cards: _Cards, piece: Piece) -> Picture:
    """The picture of a union that is placed."""
    before, after = found.before, found.after
    about = _said(found)
    parts, _, top = caption(_name(before, after), about, MARGIN, MARGIN)
    moved = piece.moved(MARGIN + piece.left, top + GAP)
    parts += [inking.scope(scope) for scope in moved.scopes]
    lines = [*moved.wires.items()]
    lines += [(ends, line) for ends, more in moved.more.items() for line in more]
    led = [_wire(ends, line, found.edges.get(ends, SAME)) for ends, line in lines]
    parts += cased(led, lambda at: "page")
    tellers = Teller(before), Teller(after)
    first = len(parts)
    parts += [_box(spot, cards, tellers) for spot in moved.spots]
    spots = enumerate(moved.spots, first)
    labels = {n: cards[spot.box].label for n, spot in spots if spot.words}
    right, bottom = extent(parts)
    parts += _legend(_kinds(found), bottom + GAP, max(right, PAGE[0] - MARGIN))
    right, bottom = extent(parts)
    spread(parts, labels, right + MARGIN)
    name, said = clean(_name(before, after)), "; ".join(about)
    return Picture(right + MARGIN, bottom + MARGIN, parts, name, said, certificate(found))


@dataclass(frozen=True, slots=True)
class _Sketch:
    """A layout without its edges."""

    found: Union
    over: float
    way: Way
    longest: float
    laned: bool

    def drawn(self) -> tuple[_Cards, Piece]:
        """The same with its edges."""
        cards, piece = _placed(self.found, replace(self.way, drawn=True), laned=self.laned)
        return cards, _broken(piece, self.way, self.longest)


def _sketches(found: Union, room: tuple[float, float], *, laned: bool) -> Iterator[_Sketch]:
    """Layouts, those with the largest text first; of what is too large, one of each size."""
    for narrow in range(LEVELS):
        tried: list[tuple[float, float, _Sketch]] = []
        for way, piece in _ways(found, narrow, laned=laned):
            sides = [LONG]
            if way.turning:
                sides = [room[0] * share for share in SHARES]
            elif not piece.laned:
                sides = [max(piece.height / n * 1.1, LEAST) for n in COLUMNS]
            for longest in sides:
                done = _broken(piece, way, longest)
                # One or two boxes are too few for a column.
                slight = not piece.laned and FULL * piece.height < done.height < piece.height
                over = _over(done, room) + slight
                tried.append(
                    (over, done.height, _Sketch(found, over, way, longest, piece.laned))
                )
        tried.sort(key=lambda one: one[:2])
        fits = [sketch for over, _, sketch in tried[:TRIES] if over == 1]
        yield from fits or [tried[0][2]]
        if tried[0][0] > HOPELESS:
            break


def _ways(found: Union, narrow: int, *, laned: bool) -> Iterator[tuple[Way, Piece]]:
    """The layouts of a union: on lanes, each order of its columns; else down and across."""
    way = Way(narrow, drawn=False)
    piece = _placed(found, way, laned=laned)[1]
    yield way, piece
    others = [replace(way, turning=True)]
    if piece.laned:
        flats = ((False, True), (True, False), (True, True))
        others = [replace(way, flat=flat, close=close) for flat, close in flats]
    for way in others:
        yield way, _placed(found, way, laned=laned)[1]


def _placed(found: Union, way: Way, *, laned: bool) -> tuple[_Cards, Piece]:
    """A union in one of its layouts, in one column."""
    cards = _Cards(found, way)
    piece = placed(found.network, found.scene, cards, main=True, laned=laned)
    return cards, piece


def _broken(piece: Piece, way: Way, longest: float) -> Piece:
    """The same, broken where it is longer than that."""
    done = wrapped(piece, Cut(longest, forked=True), {}, turning=way.turning)
    return done.turned() if way.turning else done


def certificate(found: Union) -> dict[str, object]:
    """How many layers of each network are of each kind, and the whole change."""
    counts = {kind: [0, 0] for kind in KINDS}
    for part in found.parts.values():
        for side, names in enumerate(part.nodes):
            counts[part.kind][side] += len(names)
    delta = _delta(found)
    return {
        "nodes": [len(one.wires) for one in (found.before, found.after)],
        **{kind: pair for kind, pair in counts.items() if any(pair)},
        "left_out": 0,
        "parameters": delta.parameters,
        "macs": delta.macs,
    }


def _delta(found: Union) -> Cost:
    return sum((part.delta for part in found.parts.values()), Cost())


def _name(before: Network, after: Network) -> str:
    return " → ".join(dict.fromkeys([heading(before), heading(after)]))


def _said(found: Union) -> list[str]:
    """The settings that differ, and the change of the totals."""
    lines = [line.strip() for line in diff(found.before, found.after).settings]
    kinds = {part.kind for part in found.parts.values()} | set(found.edges.values())
    if kinds == {SAME}:
        return [*lines, "nothing changed"]
    was, now = total(found.before), total(found.after)
    for unit, one, two in (
        ("parameters", was.parameters, now.parameters),
        ("multiply-adds", was.macs, now.macs),
    ):
        change = f"{two - one:+,}".replace("-", "−")
        lines.append(f"{change} {unit} ({one:,} → {two:,})")
    return lines


def signed(count: int) -> str:
    """`+36.9k`, with a true minus."""
    return f"{'−' if count < 0 else '+'}{count_text(abs(count))}"


class _Words:
    """What a box of the union says in lines: a title, its size, and what it changes."""

    titles: list[str]

    def __init__(self, found: Union, key: str, most: float) -> None:
        part = found.parts[key]
        self.part, self.kind = part, part.kind
        self.title, tags = _title(found, part, most)
        sizes = [
            _sizes(network, held, part.abreast)
            for network, held in ((found.before, part.before), (found.after, part.after))
        ]
        size = " → ".join(dict.fromkeys(size for size in sizes if size))
        costs = [
            f"{signed(count)} {unit}"
            for count, unit in ((part.delta.parameters, "params"), (part.delta.macs, "MACs"))
            if count
        ]
        several = bool(part.title) or part.abreast > 1
        inside = _inside(found, part, most) if several and part.kind == CHANGED else []
        rows = [*tags, *inside, *_arguments(found, part), size, " · ".join(costs)]
        self.round = part.kind == SAME and self.title in ("+", "×")
        self.rows = [] if self.round else [row for row in rows if row]


def _inside(found: Union, part: Part, most: float) -> list[str]:
    """What changes in a block that is closed: each change once, the first few."""
    said: dict[str, None] = {}
    for one in part.inner:
        if one.kind == CHANGED and one.before and one.after:
            title, below = _title(found, one, most)
            said[" ".join([title, *below[:1]] if "→" not in title else [title])] = None
    rows = [*said]
    more = f"{len(rows) - FEW} more changes" if len(rows) > FEW + 1 else ""
    return [*rows[:FEW], more] if more else rows


def _title(found: Union, part: Part, most: float) -> tuple[str, list[str]]:
    """What a box does on both sides, and below it what is too long, or the same on both."""
    if part.title:
        return part.title, []
    both: list[list[str]] = []
    for network, held in ((found.before, part.before), (found.after, part.after)):
        if held:
            said = Sayer(network)(held[-1])
            both.append([said.title, *said.small])
    if max(len(part.before), len(part.after)) > part.turns:
        return f"{max(map(len, part.nodes)) // part.turns} layers", []
    if len(both) < 2 or both[0] == both[1]:
        return clean(" · ".join(both[0])), []
    tags: list[str] = []
    while min(map(len, both)) > 1 and both[0][-1] == both[1][-1]:
        tags.insert(0, both[0].pop())
        both[1].pop()
    was, now = (clean(" · ".join(words)) for words in both)
    title = f"{was} → {now}"
    below = [clean(" · ".join(tags))] if tags else []
    if font.width(title, TITLE, bold=True) <= most:
        return title, below
    return was, [f"→ {now}", *below]


def _sizes(network: Network, held: list[Box], abreast: int) -> str:
    """Of what leaves a side: of several, the first and the last."""
    each = len(held) // abreast
    lasts = [held[each - 1], held[-1]] if each else held[-1:]
    shapes = [
        network.shapes[last.nodes[-1]][0]
        if last.nodes
        else last.tensor.shape
        if last.tensor
        else None
        for last in lasts
    ]
    return " … ".join(dict.fromkeys(shape_text(shape) for shape in shapes if shape is not None))


def _arguments(found: Union, part: Part) -> list[str]:
    """Of one changed step, what its title does not show."""
    if part.kind != CHANGED or {len(part.before), len(part.after)} != {part.turns}:
        return []
    was, now = part.nodes
    titles = [
        title_of(network, held[0])
        for network, held in ((found.before, part.before), (found.after, part.after))
    ]
    if titles[0] != titles[1] or was != now:
        return []
    said = []
    for name in was[: len(was) // part.turns]:
        ops = found.before.node(name).op, found.after.node(name).op
        if type(ops[0]) is type(ops[1]):
            said += [
                f"{p.name}: {getattr(ops[0], p.name)} → {getattr(ops[1], p.name)}"
                for p in ops[0].parameters
                if getattr(ops[0], p.name) != getattr(ops[1], p.name)
            ]
    return [clean(", ".join(said))]


class _Cards(Cards):
    """Boxes with room for their rows."""

    def __init__(self, found: Union, way: Way) -> None:
        self.longest = MOST[way.narrow]
        self.words = {key: _Words(found, key, self.longest) for key in found.parts}
        super().__init__(found.network, found.scene, None, way)

    def _card(self, box: Box) -> Card:
        words, face, most = self.words[box.key], self.type, self.longest
        label = clean(label_text(box.labels))
        if words.round:
            words.titles = [words.title]
            return Card((words.title,), (), label, 22, 22, round=True)
        title = f"{words.part.title} ×{box.count}" if box.count > 1 else words.title
        mark = MARK + 4 if SIGNS[words.kind] else 0.0
        lines = font.lines(clean(title), face.title, most - mark, bold=True)
        words.titles = [font.fitted(line, face.title, most, bold=True) for line in lines]
        words.rows = [
            font.fitted(line, face.small, most)
            for row in words.rows
            for line in font.lines(row, face.small, most)
        ]
        wide = max(
            *(font.width(line, face.title, bold=True) + mark for line in words.titles),
            *(font.width(row, face.small) for row in words.rows),
            self.least - 2 * self.inset,
        )
        height = face.low + face.bold * (len(lines) - 1) + face.grey * len(words.rows)
        return Card(
            tuple(words.titles), (), label, wide + 2 * self.inset, max(height, MARK + 9)
        )


def _wire(ends: tuple[str, str], line: tuple[tuple[float, float], ...], kind: str) -> Group:
    """A line with its arrow; dashed where it is gone."""
    role, tip = ("wire", "arrow") if kind == SAME else (f"{kind}-wire", f"{kind}-mark")
    stroke = 1.2 if kind == SAME else 1.8
    drawn = Path(line, role, stroke=stroke, dashed=kind == REMOVED)
    data = (("from", ends[0]), ("to", ends[1]), ("kind", kind))
    return Group((drawn, Polygon(head(line), tip, stroke=0)), data=data, kind="edge")


def _box(spot: Spot, cards: _Cards, tellers: tuple[Teller, Teller]) -> Group:
    box, words, face = spot.box, cards.words[spot.box.key], cards.type
    kind = words.kind
    children: list[Drawn] = []
    if words.round:
        children.append(Area(spot.left, spot.top, spot.width, spot.height, "same", 11))
        children.append(Text(spot.x, spot.y + 5, words.title, 14, anchor="middle"))
    else:
        stroke = {SAME: 1.0, ADDED: 2.0, CHANGED: 2.0}.get(kind, 1.3)
        shifts = (2 * CARD, CARD, 0.0) if box.count > 1 else (0.0,)
        children += [
            Area(
                spot.left + shift,
                spot.top - shift,
                spot.width,
                spot.height,
                kind,
                6,
                dashed=kind == REMOVED,
                stroke=stroke,
            )
            for shift in shifts
        ]
        children += _rows(spot, words, face)
    children += inking.labelled(spot, cards[box])
    was, now = words.part.nodes
    facts = [NAMES[kind], label_text(box.labels), *words.rows]
    facts += (tellers[1] if now else tellers[0]).facts(now or was)
    return Group(
        tuple(children),
        title=f"{SIGNS[kind]} {words.title}".strip(),
        desc=clean(" · ".join(dict.fromkeys(fact for fact in facts if fact))),
        key=box.key,
        data=(("kind", kind), ("count", str(box.count))),
    )


def _rows(spot: Spot, words: _Words, face: Type) -> list[Drawn]:
    """The sign, the title and the rows below it."""
    mark = SIGNS[words.kind]
    x, y = spot.x, spot.top + (face.low + face.title * 0.7) / 2 - face.bold
    parts: list[Drawn] = []
    if mark:
        side = min(MARK, face.low - 4)
        parts.append(sign(spot.left + 4.5, spot.top + (face.low - side) / 2, words.kind, side))
        x += (side + 4) / 2
    for line in words.titles:
        y += face.bold
        parts.append(Text(x, y, line, face.title, bold=True, anchor="middle"))
    for row in words.rows:
        y += face.grey
        parts.append(Text(spot.x, y, row, face.small, "grey", anchor="middle"))
    return parts


def sign(x: float, y: float, kind: str, side: float = MARK) -> Group:
    """The sign of a kind, in its colour: a change is told without it too."""
    area = Area(x, y, side, side, f"{kind}-mark", 3, stroke=0)
    at = x + side / 2, y + side - 3.5 * side / MARK
    text = Text(*at, SIGNS[kind], 0.8 * side, "page", bold=True, anchor="middle")
    return Group((area, text), kind="sign")


def _legend(kinds: list[str], y: float, width: float) -> list[Drawn]:
    parts: list[Drawn] = []
    x = MARGIN
    for kind in kinds:
        wide = font.width(NAMES[kind], SMALL) + 44
        if x > MARGIN and x + wide > width:
            x, y = MARGIN, y + 20
        parts.append(Area(x, y, 24, MARK, kind, 4, dashed=kind == REMOVED, stroke=1.3))
        if SIGNS[kind]:
            parts.append(sign(x + 2, y + 2, kind, MARK - 4))
        parts.append(Text(x + 30, y + 11, NAMES[kind], SMALL, "grey"))
        x += wide
    return parts
