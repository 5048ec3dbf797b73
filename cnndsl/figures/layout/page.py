"""The page: the main picture on its stride lanes, and where its insets stand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain, islice, takewhile

from cnndsl.analysis.costs import costs
from cnndsl.figures.caption import HEAD, LINE, about
from cnndsl.figures.counting import counted
from cnndsl.figures.layout.bands import Band
from cnndsl.figures.layout.cards import LEVELS, Way
from cnndsl.figures.layout.insets import TURNED, branched, in_ways, together
from cnndsl.figures.layout.ledger import ledgers, without_costs
from cnndsl.figures.layout.opening import Worth
from cnndsl.figures.layout.packing import Hole, packed
from cnndsl.figures.layout.panel import WHOLE, Laid, Panel, laid_out
from cnndsl.figures.layout.piece import crossings
from cnndsl.figures.layout.spaces import gutter_of, holes_in, space, trimmed
from cnndsl.figures.layout.stowing import stowed
from cnndsl.figures.layout.wrapping import NEVER, Cut
from cnndsl.figures.scene import Frame, Plan
from cnndsl.figures.titles import sayer
from cnndsl.figures.values import Table, values

MARGIN = 6.0
GAP = 6.0
"""Over the caption."""
PAGE = (657.0, 869.0)
"""Pixels of a page of 174 mm by 230 mm, where the smallest text is 6 pt."""
SMALLEST = 3
"""So many kinds of layout are tried again with blocks closed."""
TRIES = 2
"""So many layouts that may fit a page are drawn with their edges."""
ROUNDS = 16
"""How often another layout is tried where one is larger with its edges than without."""
COLUMNS, BOX = 6, 60.0
BESIDE = 24.0
"""All beside the rows of a picture that runs to the right."""
ASIDE = Way(turning=True, drawn=False)
FAR, NEAR = 1.3, 1.2
"""How many times larger than a page a picture may be with the most room, and with less, for
less room to be tried."""
CROWDED = 3.25
"""With the least room a panel takes at best two fifths of what it takes with the most."""
VAST = 4.0
"""What is so much larger is laid out in one way."""
STRIP, THIN = 2.7, 2.8
STEPS = (0.25, 0.1, 0.0)
"""The steps of a U's way down from lane to lane, as shares of a box's width."""
UPRIGHT, LOW = 80.0, 0.85
"""The penalty of a U that goes straight down, and the height that one may have, as a share
of its width."""
WORTH = 0.75
"""A further column makes the page at least so much lower, where it fits one without that."""
TORN = 0.6
"""The share of its height that counts against a layout in which a lane is broken."""
SLIM, UNEVEN, SHORT = 0.02, 30.0, 90.0
"""How much of its width counts against a layout, that its columns are not one, and that one
of them is short."""
LISTED = 60.0
"""The same, that its tall boxes say the sizes of their outputs, not the lines."""
UNDER = 40.0
"""How much lower a layout counts, for each table whose columns stand under branches."""
LEVEL, COLUMN = 200.0, 10.0
"""The same for a table whose rows are level with the boxes of the main picture, and for each
of its columns."""


@dataclass(slots=True)
class Page:
    """The panels of a plan in their places."""

    plan: Plan
    main: Panel
    insets: list[Panel]
    bands: list[Band]
    width: float = 0.0
    height: float = 0.0
    widest: float = 0.0
    tallest: float = 0.0
    """The width and height to keep to, in pixels; 0 is any."""

    over: float = 0.0
    """How much too large it is, as a share of the page."""

    shut: tuple[str, ...] = ()
    """The blocks that are not opened, because the page has no room for them."""

    full: bool = False
    """Its insets stand wherever it is free."""

    lost: float = 0.0
    """The worth of the blocks that are not opened."""

    @property
    def closed(self) -> int:
        """So many blocks are not opened."""
        return len(self.shut)

    @property
    def boxes(self) -> int:
        """How many there are in all."""
        return sum(len(panel.piece.spots) for panel in (self.main, *self.insets))

    @property
    def crossings(self) -> int:
        """How many pairs of edges cross."""
        return sum(crossings(panel.piece.wires) for panel in (self.main, *self.insets))

    @property
    def gutter(self) -> float:
        """The room for the lanes' names at the left of the main picture."""
        return gutter_of(self.bands)


def page(
    plan: Plan,
    *,
    insets: bool = True,
    opened: tuple[str, ...] = (),
    widest: float = 0.0,
    tallest: float = 0.0,
    direction: str | None = None,
    closing: bool = False,
) -> Page:
    """The page of a plan: the lowest of the layouts that there are, with all its edges.

    Without `insets`, only the blocks in `opened` are shown inside. It keeps to a width of
    `widest` pixels and a height of `tallest`, and opens fewer blocks if it must; without
    them a page of a journal is meant, which what is not `closing` may exceed. `direction`
    is that of the main picture, `down` or `right`.
    """
    room = _room(plan, widest, tallest)
    frames = [
        f for f in plan.frames if f.scene and (f.name in opened or (insets and not f.quiet))
    ]
    limited = widest > 0 or tallest > 0 or (closing and bool(frames))
    best: Page | None = None
    known = costs(plan.network) if frames else {}
    worth = Worth(plan, frames, known, opened)
    for sketch, kept in _sketches(plan, frames, room, direction, worth, limited=limited):
        # What is larger than the page that is meant is not shown with blocks closed.
        shown = sketch.over == 1 or not closing or widest > 0 or tallest > 0
        panels = [p.drawn(plan) if shown else p for p in (sketch.main, *sketch.insets)]
        main, *others = panels
        done = Page(plan, main, others, main.bands, widest=widest, full=sketch.full)
        done.tallest = tallest or PAGE[1]
        done.shut = tuple(frame.name for n, frame in enumerate(frames) if n not in kept)
        done.lost = worth.all - worth(kept)
        _arrange(done, room)
        done.over = _over(done, room) - 1.0
        if best is None or done.over < best.over:
            best = done
        if best.over == 0:
            break
    assert best is not None
    return _in_order(_counting(best, room), room)


def _counting(done: Page, room: tuple[float, float]) -> Page:
    """The page with its blocks' variants counted, where it is no higher for that.

    The table beside the boxes makes room for it without its costs.
    """
    network = done.plan.network
    for n, panel in enumerate(done.insets):
        counts = counted(network, panel.frame) if panel.frame else None
        mains = [done.main, *_shorter(done.plan, done.main)]
        for main in mains if counts else ():
            panels = [replace(one) for one in done.insets]
            panels[n] = replace(panel, counts=counts)
            tried = replace(done, main=main, insets=panels, bands=main.bands)
            _arrange(tried, room)
            if tried.height <= done.height and tried.width <= max(done.width, room[0]):
                done = tried
                break
    return done


def _in_order(done: Page, room: tuple[float, float]) -> Page:
    """The page with its insets as their boxes appear, where it is no larger for that."""
    if done.full:
        return done
    order = done.plan.appearing()
    insets = [replace(one) for one in done.insets]
    insets.sort(key=lambda one: order.index(one.frame.key) if one.frame else -1)
    tried = replace(done, insets=insets, bands=done.main.bands)
    _arrange(tried, room)
    smaller = tried.height <= done.height and tried.width <= done.width
    return tried if smaller else done


def _shorter(plan: Plan, main: Panel) -> list[Panel]:
    """The main picture without the costs beside its boxes; empty where it has none."""
    short = without_costs(main.table) if main.table else None
    if short is None or short == main.table:
        return []
    return [Panel.of(plan, main.scene, None, short, main.cards.way, main.cut)]


def _sketches(
    plan: Plan,
    frames: list[Frame],
    room: tuple[float, float],
    direction: str | None,
    worth: Worth,
    *,
    limited: bool,
) -> Iterator[tuple[_Scored, Sequence[int]]]:
    """Layouts without their edges that may fit the page, the best first, or the best of all.

    With each stand the numbers of the blocks that are opened in it.
    """
    tables = {id(frame): values(plan, frame, worth.known) for frame in frames}

    @cache
    def ways_of(narrow: int) -> list[list[Panel]]:
        return [in_ways(plan, frame, tables[id(frame)], narrow, room) for frame in frames]

    def loose() -> list[Table]:
        # What stands under branches stays there.
        return [t for some in ways_of(0) if (t := some[0].table) and not branched(some)]

    @cache
    def mains_of(narrow: int) -> list[Panel]:
        return _mains(plan, narrow, room, direction, loose)

    half, last = LEVELS // 2, LEVELS - 1
    if limited and not any(_holds(mains_of(n), room) for n in (0, half, last)):
        # No block is worth a try where the main picture alone has no room.
        large = [*mains_of(half), *mains_of(last)]
        yield min(_scored(plan, large, [], room), key=_score), ()
        return
    found: dict[int, list[_Scored]] = {}

    def least_over(narrow: int) -> float:
        if narrow not in found:
            found[narrow] = _scored(plan, mains_of(narrow), ways_of(narrow), room)
        return min(one.over for one in found[narrow])

    levels = [*range(LEVELS)]
    far = least_over(0) > FAR
    hopeless = (
        far
        and not limited
        and (least_over(0) > VAST or _crowded(mains_of(0), ways_of(0), room))
    )
    if hopeless:
        levels = [0]
    elif far:
        # What is far too large needs more than a little less room, or all of it.
        near = least_over(half) <= NEAR
        levels = [0, *(range(half, LEVELS) if near else (half, last))]
        hopeless = not limited and not near and least_over(last) > NEAR
    narrow = next((n for n in levels if least_over(n) == 1), levels[-1])
    scored = sorted((one for every in found.values() for one in every), key=_score)
    while narrow < LEVELS - 1 and (_tears(scored) or _untabled(scored) or _high(scored)):
        # Where boxes take less room, no lane may have to go on in a further row, a table may
        # stand beside them, and a U is wider than high.
        narrow += 1
        torn, high = _tears(scored), _high(scored)
        pieces = [main.piece for main in mains_of(narrow)]
        if not torn or any(piece.folds and not piece.torn for piece in pieces):
            least_over(narrow)
            more = [
                one
                for one in found[narrow]
                if torn or one.main.table or (high and one.main.piece.stepped)
            ]
            scored = sorted([*scored, *more], key=_score)
    everything = range(len(frames))
    yield from ((one, everything) for one in _first(scored) if one.over == 1)
    smallest = range(LEVELS)[: max(found) + 1][-SMALLEST:]
    mains = [main for level in smallest if level in found for main in mains_of(level)]
    offered = [[p for level in smallest for p in ways_of(level)[n]] for n in everything]
    bare = [[replace(p, table=None) if p.table else p for p in panels] for panels in offered]
    drawn: dict[int, Panel] = {}
    choices = worth.choices() if limited else [] if hopeless else [everything]
    for kept in choices:
        for panels in (offered, bare) if limited else (offered,):
            one = _exact(plan, mains, [panels[n] for n in kept], room, drawn)
            if one is not None:
                yield one, kept
    if limited:
        yield min(_scored(plan, mains, [], room), key=_score), ()
        return
    if scored[0].over <= NEAR:
        yield scored[0], everything
        return
    # Where no page nearly holds it, it may as well have room: its edges cross the least then.
    usual, roomy = (Way(drawn=False), ASIDE), [one for one in scored if not one.narrow]
    yield min(roomy, key=lambda one: (one.strip, one.main.cards.way not in usual)), everything


def _holds(mains: list[Panel], room: tuple[float, float]) -> bool:
    """Whether a page has room for a main picture alone, in one of its layouts."""
    return any(main.width <= room[0] and main.height <= room[1] for main in mains)


def _crowded(mains: list[Panel], ways: list[list[Panel]], room: tuple[float, float]) -> bool:
    """Whether panels with the most room are so large that with the least none would fit."""
    area = sum(min(panel.width * panel.height for panel in some) for some in (mains, *ways))
    return area > CROWDED * room[0] * room[1]


@dataclass(frozen=True, slots=True)
class _Scored:
    """A layout without its edges, and how bad it is: too large, a strip, high."""

    score: tuple[float, ...]
    main: Panel
    insets: list[Panel]
    height: float
    full: bool

    @property
    def over(self) -> float:
        """1 for what fits the page, else more."""
        return self.score[0]

    @property
    def strip(self) -> bool:
        """Whether it is much wider than high, or higher than wide."""
        return self.score[1] > 0

    @property
    def narrow(self) -> int:
        """How little room it takes."""
        return self.main.cards.way.narrow


def _score(one: _Scored) -> tuple[float, ...]:
    return one.score


def _first(scored: list[_Scored]) -> list[_Scored]:
    """The layouts to draw: the best, then one whose main picture has another width."""
    others = (one for one in scored[TRIES:] if one.main.width != scored[0].main.width)
    return [*scored[:TRIES], *islice(others, 1)]


def _tears(scored: list[_Scored]) -> bool:
    """Whether the lowest layout that fits breaks a lane, and none breaks between lanes."""
    fits = [one for one in scored if one.over == 1]
    pieces = [one.main.piece for one in sorted(fits, key=lambda one: one.height)]
    return bool(fits) and pieces[0].torn and not any(p.folds and not p.torn for p in pieces)


def _untabled(scored: list[_Scored]) -> bool:
    """Whether a table could stand beside the main picture, and no layout with it fits."""
    beside = [one for one in scored if one.main.table]
    return bool(beside) and all(one.over > 1 for one in beside)


def _high(scored: list[_Scored]) -> bool:
    """Whether the best layout of a U that may step does not, or is too high."""
    best, steps = scored[0].main, any(one.main.piece.stepped for one in scored)
    return steps and (not best.cards.way.step or best.piece.height > LOW * best.width)


def _scored(
    plan: Plan, mains: list[Panel], ways: list[list[Panel]], room: tuple[float, float]
) -> list[_Scored]:
    found: list[_Scored] = []
    lowest: dict[int, tuple[float, ...]] = {}
    steps = any(main.piece.stepped for main in mains)
    for main in sorted(mains, key=lambda main: len(main.piece.folds)):
        listed = _untold(ways, main.table)
        made = [
            _rated(plan, main, chosen, room, steps=steps)
            for chosen in together(listed, room[0] - main.width)
        ]
        best = min(one.score for one in made)
        columns = 0 if main.cards.way.turning else len(main.piece.folds)
        fewer = [low for count, low in lowest.items() if count < columns]
        if not any(low[:2] <= best[:2] and best[2] > WORTH * low[2] for low in fewer):
            found += made
            if not main.cards.way.turning:
                lowest[columns] = min(best, lowest.get(columns, best))
    return found


def _untold(ways: list[list[Panel]], told: Table | None) -> list[list[Panel]]:
    """Opened blocks in their ways, without the table that stands beside the main picture."""
    if told is None:
        return ways
    return [
        [replace(one, table=None) if _of(one) == told.keys else one for one in panels]
        for panels in ways
    ]


def _of(panel: Panel) -> tuple[str, ...]:
    """The boxes of the main picture that an opened block's table is of."""
    return panel.table.keys if panel.table else ()


def _rated(
    plan: Plan,
    main: Panel,
    chosen: list[Panel],
    room: tuple[float, float],
    *,
    steps: bool,
    full: bool = False,
) -> _Scored:
    """A layout with its score; `steps` says whether some layout of this U steps."""
    done = Page(plan, main, chosen, main.bands, full=full)
    _arrange(done, room)
    over = _over(done, room)
    if over > 1:
        # What does not fit a page is at least no strip.
        over *= max(1.0, done.height / done.width / STRIP)
    way = main.cards.way
    listed = LISTED * way.listed
    uneven = UNEVEN if way.close else 0.0 if way.turning or main.piece.full else SHORT
    if steps:
        uneven += UPRIGHT * (1 - (way.step or 0.0) / STEPS[0])
    high = done.height + PAGE[1] - room[1]
    strip = float(done.width > STRIP * high or high > THIN * done.width)
    torn = 1 + TORN * main.piece.torn
    under = UNDER * sum(bool(one.table and one.table.rights) for one in chosen)
    high = torn * done.height + SLIM * done.width
    under += LEVEL + COLUMN * len(main.table.header) if main.table else 0.0
    score = (over, strip, high + uneven + listed - under)
    return _Scored(score, main, chosen, done.height, full)


def _exact(
    plan: Plan,
    mains: list[Panel],
    ways: list[list[Panel]],
    room: tuple[float, float],
    drawn: dict[int, Panel],
) -> _Scored | None:
    """The best layout that fits with its edges; `drawn` keeps these panels by their `id`."""
    for _ in range(ROUNDS):
        places = [drawn.get(id(main), main) for main in mains]
        every = [[drawn.get(id(panel), panel) for panel in some] for some in ways]
        best = min(_stowed(plan, places, every, room), key=_score, default=None)
        if best is None:
            return None
        used = {id(panel) for panel in (best.main, *best.insets)}
        rough = [p for p in chain(mains, *ways) if id(p) in used and id(p) not in drawn]
        if not rough:
            return best
        drawn |= {id(panel): panel.drawn(plan) for panel in rough}
    return None


def _stowed(
    plan: Plan, mains: list[Panel], ways: list[list[Panel]], room: tuple[float, float]
) -> list[_Scored]:
    """The layouts that fit, one for each main picture, each inset in one of its ways."""
    found: list[_Scored] = []
    steps = any(main.piece.stepped for main in mains)
    for main in mains:
        told = _untold(ways, main.table)
        sizes = [[(panel.width, panel.height) for panel in some] for some in told]
        stow = stowed(space(main), sizes, holes_in(main, room), room)
        if stow is not None:
            chosen = [some[n] for some, n in zip(told, stow.sizes, strict=True)]
            one = _rated(plan, main, chosen, room, steps=steps, full=True)
            found += [one] if one.over == 1 else []
    return found


def _over(done: Page, room: tuple[float, float]) -> float:
    return max(done.width / room[0], done.height / room[1], 1.0)


def _room(plan: Plan, widest: float, tallest: float) -> tuple[float, float]:
    """The pixels inside a page's margins, over its caption."""
    wide = (widest or PAGE[0]) - 2 * MARGIN
    return wide, (tallest or PAGE[1]) - 2 * MARGIN - caption_height(plan, wide)


def caption_height(plan: Plan, room: float) -> float:
    """The height of a caption."""
    return GAP + HEAD + LINE * len(about(plan.network, room, sayer(plan.network).notes))


def _mains(
    plan: Plan,
    narrow: int,
    room: tuple[float, float],
    direction: str | None,
    tables: Callable[[], list[Table]],
) -> list[Panel]:
    """The main picture in each of its layouts, with one of the tables beside its boxes."""
    scene = plan.main

    known: dict[Way, Laid] = {}

    def panel(way: Way, cut: Cut = WHOLE) -> Panel:
        way = replace(way, drawn=False)
        if way not in known:
            known[way] = laid_out(plan, scene, None, way)
        return Panel.of(plan, scene, None, None, way, cut, known[way])

    def broken(way: Way, cut: Cut) -> list[Panel]:
        one = panel(way, cut)
        return [one, panel(way, replace(cut, amid=NEVER))] if one.piece.torn else [one]

    tower = panel(Way(narrow))
    if tower.piece.laned and tower.width * tower.height > VAST * room[0] * room[1]:
        return [tower]
    if tower.piece.laned:
        both = (False, True)
        ways = [Way(narrow, flat=flat, close=close) for flat in both for close in both]
        some = [panel(way) for way in ways]
        steps = (panel(replace(ways[-1], step=share)) for share in STEPS)
        some += takewhile(lambda one: one.piece.stepped, steps)
        wide = [one for one in some if one.cards.led and one.width > room[0]]
        return some + [panel(replace(one.cards.way, listed=True)) for one in wide]
    found: list[Panel] = [] if direction == "right" else [tower]
    told = [table for table in tables() if ledgers(tower.piece, tower.cards, table)]
    for table in told if direction != "right" else ():
        way = Way(narrow, drawn=False, tabled=frozenset(table.keys))
        rows = panel(way)
        found += [
            Panel.of(plan, scene, None, one, way, WHOLE, known[way])
            for one in ledgers(rows.piece, rows.cards, table)
        ]
    square = round((tower.piece.height / tower.piece.width) ** 0.5)
    tries = [*range(2, COLUMNS + 1), *([square] if square > 2 * COLUMNS else [])]
    for columns in tries if direction != "right" else ():
        longest = max(tower.piece.height / columns * 1.1, 4 * BOX)
        found += broken(Way(narrow), Cut(longest))
    for share in (1.0, 0.85, 0.7, 0.5) if direction != "down" else ():
        cut = Cut(room[0] * share - TURNED, forked=True, shared=room[0] - BESIDE)
        found += broken(Way(narrow, turning=True), cut)
    shapes = {
        (one.cards.way, one.table, tuple(one.piece.folds)): one for one in reversed(found)
    }
    return [*reversed(shapes.values())]


def _arrange(done: Page, room: tuple[float, float]) -> None:
    """Put the insets beside the main picture, below it and in its holes."""
    main = done.main
    sizes = [(panel.width, panel.height) for panel in done.insets]
    whole = space(main)
    holes = holes_in(main, room) if sizes else []
    stow = stowed(whole, [[size] for size in sizes], holes, room) if done.full else None
    if stow is None:
        lanes = [hole for hole in holes if hole.banded]
        found = packed(whole, sizes, lanes, room)
        used = [] if found.hole is None else [lanes[found.hole]]
    else:
        found = stow.packed
        put = [Hole(*at, *size) for at, size in zip(found.places, sizes, strict=True)]
        within = [[hole for hole in holes if one.within(hole)] for one in put]
        used = [min(h, key=lambda h: (h.banded, h.width * h.height)) for h in within if h]
    used = [one.moved(-main.x, -main.y) for one in dict.fromkeys(used) if one.banded]
    for hole in used:
        done.bands = [trimmed(band, hole, main.piece, done.gutter) for band in done.bands]
    for panel, (x, y) in zip(done.insets, found.places, strict=True):
        panel.x, panel.y = x + panel.side + panel.piece.left, y + panel.bar
    done.width, done.height = found.width, found.height
