"""What a box says and how large it is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from cnndsl.figures import font
from cnndsl.figures.layout.ports import given
from cnndsl.figures.layout.strides import leaving, spans
from cnndsl.figures.scene import Box, Cluster, Frame, Item, Scene, boxes, repeated
from cnndsl.figures.text import GIVEN, WHOLE, clean, label_text, labels_text, shape_text, stem
from cnndsl.figures.titles import sayer, times
from cnndsl.graph import Network
from cnndsl.ops.facts import Family, Shape
from cnndsl.ops.shapes import square
from cnndsl.ops.words import FEW
from cnndsl.structure import Tensor

JOINED = "C"
"""The sign of a concat."""
TITLE, LABEL = 10.6, 8.0
"""Pixels, which are 0.75 pt each where the smallest text is as small as may be."""


@dataclass(frozen=True, slots=True)
class Type:
    """The sizes of text in a box: of its title, of a grey line, and from line to line.

    `low` is the height of a box of one line, `round` of a circle, `port` of a port's words.
    """

    title: float = TITLE
    small: float = 9.0
    bold: float = 13.0
    grey: float = 11.5
    low: float = 24.0
    round: float = 22.0
    port: float = 16.0


FINE = Type(9.4, 8.0, 11.5, 10.0, 16.5, 20.0, 14.0)
ROWS = 18.0
"""The height of a box of one line beside a table, whose rows are as high as the boxes."""
CELLED = replace(FINE, title=8.0, bold=10.0)
"""In the cells of a matrix where room is shortest: as small as may be."""
LOW = replace(FINE, bold=11.0, grey=9.5)
"""Where room is shortest: lines nearer each other."""
TYPES = (Type(), Type(), Type(), FINE, LOW, LOW)
"""By how narrow the page is: 8 pt titles, at last 7 pt."""
LEVELS = len(TYPES)
SHORT = (118.0, 100.0, 76.0, 200.0, 128.0, 62.0)
"""So much is said in one line, by how narrow the page is."""
ABREAST = 55.0
"""The same where room is shortest, and tall boxes make the picture wide."""
LONGER = 1.1
"""Where each box has its own width, lines may be so much longer, if there are fewer then."""
WIDTHS = (
    (92.0, 220.0),
    (64.0, 178.0),
    (50.0, 132.0),
    (50.0, 224.0),
    (50.0, 178.0),
    (44.0, 118.0),
)
"""The least and the greatest width of a box, by how narrow the page is."""
NARROW = 88.0
"""The greatest width of a box over several lanes: it has room for lines."""
MANY = 96.0
"""The same of the words that say several values of one box."""
MOST = 6
"""So many of them have their sizes under them, one each."""
BESIDE = 5.5
"""From a label over a box to the middle, where an arrow comes in."""
NAMED = 60.0
"""How much of its label a box is made wide enough for, up to the edge that enters it; and how
much room a circle's label has beside it."""
STRIP = 20.0
"""The least width of a concat on the side of a box."""
INSETS = (9.0, 6.0, 5.0, 4.0, 4.0, 4.0)
"""From a box's side to its text."""
SLANTED = {Family.POOL, Family.UPSAMPLE, Family.RESHAPE, Family.MATMUL, Family.DEPTHWISE}
TAPS, TAP = 20.0, 2.4
"""The side of the largest grid of a dilated window's taps, and of a tap."""
LEAST_RATE, SEEN = 4, (2, 3)
"""The least rate that may get the widest spacing, and the sides of the kernels drawn."""
CELL = 84.0
"""The greatest width of words in a cell of a matrix."""
NARROWED = {Family.POOL, Family.UPSAMPLE}
"""Families whose slanted sides pass over their words where the picture runs to the right."""
SLOPE = 3.5
"""How much higher they are than others, where these are as low as may be."""
MINOR = {Family.NORM, Family.ACTIVATION, Family.REGULARIZE}


@dataclass(frozen=True, slots=True)
class Way:
    """One of the layouts of a scene.

    `narrow` is how little room it takes; one that is `turning` will run to the right. On
    lanes, `flat` puts what follows a join beside it, `close` solves the columns together,
    and `listed` says the sizes of a tall box inside it, not on the lines that leave it. In one
    that is `close`, the way down of a U may `step` to the right, by such a share of a box. One
    that is not `drawn` has places, and no edges that need leading. Boxes whose arguments
    stand in a table beside them are `tabled`.
    """

    narrow: int = 0
    turning: bool = False
    flat: bool = False
    close: bool = False
    listed: bool = False
    step: float | None = None
    drawn: bool = True
    tabled: frozenset[str] = frozenset()


USUAL = Way()


@dataclass(frozen=True, slots=True)
class Card:
    """The words of a box, and the least size that holds them."""

    titles: tuple[str, ...]
    lines: tuple[str, ...]
    label: str
    width: float
    height: float
    round: bool = False
    bare: bool = False
    """Words without an outline: where a block or a network begins or ends."""
    cell: bool = False
    """In a matrix: without an outline."""
    strip: bool = False
    """Of a concat: on the left side of the box that reads it."""
    optional: bool = False
    """Not every call has it, and it says when it is there."""
    taps: tuple[int, float] | None = None
    """How many taps a dilated window has along a side, and from one to the next in pixels."""

    @property
    def sized(self) -> bool:
        """Whether it may be as wide as others of its column."""
        special = self.round or self.bare or self.cell or self.strip
        return not special and self.titles != (JOINED,)

    @property
    def title(self) -> str:
        """The title in one line."""
        return " ".join(self.titles)

    @property
    def small(self) -> str:
        """All grey words in one line."""
        return " · ".join(self.lines)


CARD = 3.5
"""How far the cards of a stack stand behind each other."""


OPTIONAL = 3.5
"""Around a box that not every call has: a dashed line."""


def behind(box: Box) -> float:
    """How far a box's stack stands out, upwards and to the right."""
    return 2 * CARD if box.count > 1 and not box.flat else 0.0


class Cards:
    """The cards of one scene; boxes that stand in columns have one width."""

    def __init__(
        self, network: Network, scene: Scene, frame: Frame | None, way: Way = USUAL
    ) -> None:
        """The cards of the main picture's boxes, or of an opened block's.

        On a `narrow` page words stand in more lines before a box is widened for them.
        """
        self.network, self.scene = network, scene
        self.way = way
        self.narrow = narrow = way.narrow
        self.least, self.most = WIDTHS[narrow]
        self.inset, self.short = INSETS[narrow], SHORT[narrow]
        self.type = replace(TYPES[narrow], low=ROWS) if way.tabled else TYPES[narrow]
        self.celltype = CELLED if narrow == LEVELS - 1 else self.type
        self.frame = frame
        self.leaving = leaving(network, scene)
        self.spans = spans(network, scene)
        """The lanes of each block that stands over several."""
        if self.spans and narrow == LEVELS - 1:
            self.short = ABREAST
        self.sent: dict[str, list[Tensor]] = defaultdict(list)
        for edge in scene.edges:
            self.sent[edge.tail] += edge.tensors
        self.turns = repeated(scene.items)
        self.gives = given(scene)
        self.say = sayer(network)
        self.level: set[str] = set()
        """Boxes that edges enter and leave at their sides alone."""
        self.unsaid: dict[str, set[str]] = defaultdict(set)
        """Words that are not said in a box, as its place or its outline says them."""
        self.brief: set[str] = set()
        """Boxes whose titles leave out the channels, as their sizes say them."""
        self.led: set[str] = set()
        """Boxes whose sizes stand on the lines that leave them."""
        for box in scene.boxes() if way.tabled else ():
            if box.key in way.tabled:
                self.unsaid[box.key].update(map(clean, self.say(box, frame).arguments))
        self._make()

    def _make(self) -> None:
        frame = self.frame
        told = [text for box in self.scene.boxes() for text in self._told(box)]
        self.primed = any(GIVEN in text for text in [*told, *(frame.notes if frame else ())])
        """Whether an opened block says the channels of its input, which names them then."""
        self.cards = {box.key: self._card(box) for box in self.scene.boxes()}
        if self.way.turning:
            self._equal()
        wide = [card.width for card in self.cards.values() if card.sized]
        self.width = max([self.least, *wide])

    def _equal(self) -> None:
        """Give branches of one box of a family, from one box to one, the same width."""
        above, below = self.scene.neighbours()
        groups: dict[object, list[str]] = defaultdict(list)
        for box in self.scene.boxes():
            if self.cards[box.key].sized:
                ends = (frozenset(side.get(box.key, ())) for side in (above, below))
                groups[box.family, *ends].append(box.key)
        for keys in groups.values():
            wide = max(self.cards[key].width for key in keys)
            self.cards |= {key: replace(self.cards[key], width=wide) for key in keys}

    def unlaned(self) -> None:
        """Stand on no lanes: no box is as tall as several."""
        if self.spans:
            self.spans, self.short = {}, SHORT[self.narrow]
            self._make()

    @property
    def fine(self) -> bool:
        """Whether its text is as small as may be."""
        return TYPES[self.narrow].title < TITLE

    def __getitem__(self, box: Box) -> Card:
        """The card of a box."""
        return self.cards[box.key]

    def celled(self, box: Box) -> None:
        """Turn a box into a cell of a matrix, which says the operation alone."""
        said, face = self.say(box, self.frame), self.celltype
        titles = font.lines(clean(said.title) + self.times(box), face.title, CELL, bold=True)
        titles = [font.fitted(line, face.title, CELL, bold=True) for line in titles]
        lines = self._lines(self._small(box), [], CELL, CELL)
        wide = max(0.0, *(font.width(line, face.title, bold=True) for line in titles))
        wide = max(wide, *(font.width(x, face.small) for x in lines), 0.0)
        high = face.bold * len(titles) + face.grey * len(lines) + 7
        optional = self.cards[box.key].optional
        wide += 6 if self.narrow == LEVELS - 1 else 10
        self.cards[box.key] = Card(
            tuple(titles), tuple(lines), "", wide, high, cell=True, optional=optional
        )

    def levelled(self, box: Box) -> None:
        """Make a box no wider than its words: its label has all of its upper side."""
        self.level.add(box.key)
        self.cards[box.key] = self._card(box)

    def always(self, box: Box) -> None:
        """Leave out a box's condition, which its place says."""
        self.unsaid[box.key].add(box.condition)
        self.cards[box.key] = self._card(box)

    def once(self, cluster: Cluster) -> list[str]:
        """What all boxes of an outline say, as `each row`: the outline says it for them."""
        inside = list(boxes([cluster]))
        found = [n for n in inside[0].notes if all(n in box.notes for box in inside)]
        for box in inside if found else ():
            self.unsaid[box.key].update(found)
            self.cards[box.key] = self._card(box)
        return found

    def shortened(self, box: Box) -> None:
        """Say the channels of what enlarges a map in its size alone."""
        if box.family is Family.UPSAMPLE:
            self.brief.add(box.key)
            self.cards[box.key] = self._card(box)

    def unlisted(self, box: Box) -> None:
        """Leave out the sizes of a box: the lines that leave it say them."""
        self.led.add(box.key)
        self.cards[box.key] = self._card(box)

    def worded(self, box: Box) -> None:
        """Say an input in words without an outline: an edge leaves it at the side."""
        card, face = self.cards[box.key], self.type
        wide = max(
            self._bold(card.title), *(font.width(x, face.small) for x in card.lines), 0.0
        )
        high = face.port + face.grey * len(card.lines)
        self.cards[box.key] = replace(card, width=wide + 8, height=high, label="", bare=True)

    def striped(self, pairs: Mapping[str, str]) -> dict[str, str]:
        """Make concats strips as high as their readers, by key, that say their channels.

        Those that say more stay boxes.
        """
        known = {box.key: box for box in self.scene.boxes()}
        found: dict[str, tuple[str, str]] = {}
        for key, reader in pairs.items():
            box, card, shape = known[key], self.cards[key], self.shape(known[key])
            optional = card.optional or self.cards[reader].optional
            if shape and not (card.label or self._small(box) or optional):
                found[key] = (reader, str(int(shape[0])))
        wide = max([STRIP, *(font.width(text, LABEL) + 5 for _, text in found.values())])
        for key, (reader, text) in found.items():
            high = self.cards[reader].height
            self.cards[key] = Card(("concat",), (text,), "", wide, high, strip=True)
        return {key: reader for key, (reader, _) in found.items()}

    def hushed(self, box: Box) -> None:
        """Leave out a box's label: what it makes is named beside it."""
        self.cards[box.key] = replace(self.cards[box.key], label="")

    def _told(self, box: Box) -> tuple[str, ...]:
        """All words of a box."""
        said = self.say(box, self.frame)
        return (said.title, *said.small)

    def _small(self, box: Box) -> list[str]:
        """The grey words of a box."""
        small = self.say(box, self.frame).small
        return [clean(word) for word in small if word not in self.unsaid[box.key]]

    def times(self, item: Item) -> str:
        """` ×3`: how often an item repeats; within what repeats itself, in each turn."""
        inner = isinstance(item, Box) and item.key in self.turns
        return times(item, None if inner else self.frame)

    def label(self, item: Item) -> str:
        """The labels of an item as one; turns of which calls have unequal numbers have none."""
        beside = isinstance(item, Box) and item.beside > 1
        found = labels_text(item.labels) if beside else label_text(item.labels)
        equal = item.count == 1 or self.times(item).removeprefix(" ×").isdecimal()
        return found if equal else WHOLE.sub("", found)

    def size(self, box: Box) -> tuple[float, float]:
        """The width and height of a box in its place."""
        card = self.cards[box.key]
        wide = card.sized and not self.way.turning
        return (self.width if wide else card.width), card.height

    def _card(self, box: Box) -> Card:
        said, face = self.say(box, self.frame), self.type
        title, words = clean(said.title), self._small(box)
        shape = self.shape(box)
        least = self.narrow == LEVELS - 1 and not self.way.step
        if box.family is Family.CONCAT and least and not words and shape:
            # Where there is least room: its sign, and how many channels there are.
            wide = font.width(str(int(shape[0])), face.small) + 2 * self.inset
            return Card((JOINED,), (str(int(shape[0])),), "", wide, face.low + face.grey + 2.5)
        label = clean(self.label(box))
        if box.family is Family.ADD and title in ("+", "×") and not words:
            return Card((title,), (), label, face.round, face.round, round=True)
        if box.key in self.brief and shape:
            title = title.replace(f", {int(shape[0])}", "", 1)
        title += self.times(box)
        tall = box.key in self.spans and not self.way.turning
        room = (NARROW if tall else self.most) - 2 * self.inset - self._slant(box)
        broken = max(self.least, *map(self._bold, title.split())) if tall else room
        titles = font.lines(title, face.title, min(broken, room), bold=True)
        titles = [font.fitted(line, face.title, room, bold=True) for line in titles]
        shapes = [] if box.key in self.led else self._shapes(box, each=tall)
        if shapes and shape:
            # The size that leaves it says an attribute that asks for this.
            words = [word for word in words if word != f"size {square(shape[1:])}"]
        if box.family is Family.INPUT and not box.nodes:
            if len(box.shapes) > 1:
                return self._many(box, title, label)
            title = font.fitted(title, face.title, self.most, bold=True)
            width = font.width(title, face.title, bold=True) + 8
            named = title == "in" and self.primed
            below = tuple(shapes) if self.frame is None else (GIVEN,) if named else ()
            width = max(width, *(font.width(line, face.small) + 8 for line in below), 0.0)
            return Card(
                (title,), below, label, width, face.port + face.grey * len(below), bare=True
            )
        level = box.key in self.level
        short = 0.0 if tall or level else self.short
        short = short if tall else max(short, *map(self._bold, titles))
        lines = self._lines(words, shapes, short, room)
        text = max(
            *map(self._bold, titles), *(font.width(line, face.small) for line in lines), 0.0
        )
        taps = self._taps(box)
        width = text + 2 * self.inset + self._slant(box) + (TAPS + self.inset if taps else 0)
        if level:
            width = max(width, min(font.width(label, LABEL), NAMED) + 3)
        elif not self.narrow or self.way.tabled or self.frame is not None:
            width = max(width, 2 * (min(font.width(label, LABEL), NAMED) + BESIDE + 0.5))
        height = (
            face.low
            + face.bold * (len(titles) - 1)
            + face.grey * len(lines)
            + (2.5 if lines else 0)
        )
        if self.fine and self.way.turning and box.family in NARROWED:
            height += SLOPE
        optional = bool(box.condition) and box.condition not in self.unsaid[box.key]
        card = Card(tuple(titles), tuple(lines), label, width, height, optional=optional)
        return replace(card, taps=taps)

    def _taps(self, box: Box) -> tuple[int, float] | None:
        """The taps of a dilated window of a plane: as far apart as its rate is among all."""
        rate, side = self._rate(box)
        if not rate:
            return None
        most = max(LEAST_RATE, *(self._rate(one)[0] for one in self.scene.boxes()))
        return side, max((TAPS - TAP) / (side - 1) * rate / most, TAP + 0.8)

    def _rate(self, box: Box) -> tuple[int, int]:
        """The rate that a box says, and the side of its window; 0 where it says none."""
        for word in self.say(box, self.frame).attributes if box.family is Family.CONV else ():
            head, _, rate = word.partition(" ")
            if head == "rate" and rate.isdecimal() and box.nodes:
                kernel: tuple[int, ...] = getattr(
                    self.network.node(box.nodes[0]).op, "kernel", ()
                )
                if len(kernel) == 2 and len({*kernel}) == 1 and kernel[0] in SEEN:
                    return int(rate), int(kernel[0])
        return 0, 0

    def _many(self, box: Box, title: str, label: str) -> Card:
        """Several values of one box: their names, and the size of each if not all have one."""
        face = self.type
        names = font.lines(title, face.title, MANY, bold=True)
        texts = [] if self.frame else [*map(shape_text, box.shapes)]
        texts = texts[:1] if len({*texts}) == 1 else texts if len(texts) <= MOST else []
        sizes = font.lines(", ".join(texts), face.small, MANY) if texts else []
        names = [font.fitted(name, face.title, self.most, bold=True) for name in names]
        wide = [font.width(name, face.title, bold=True) for name in names]
        wide += [font.width(line, face.small) for line in sizes]
        height = face.port + face.bold * (len(names) - 1) + face.grey * len(sizes)
        return Card(tuple(names), tuple(sizes), label, max(wide) + 8, height, bare=True)

    def _bold(self, title: str) -> float:
        return font.width(title, self.type.title, bold=True)

    def _lines(
        self, words: list[str], shapes: list[str], wide: float, room: float
    ) -> list[str]:
        """Grey words in lines: one for all where that is short, else the size in its own."""
        small = self.type.small
        everything = " · ".join([*words, *shapes])
        if not everything or font.width(everything, small) <= min(wide, room):
            return [everything] if everything else []
        limit = min(wide, room)
        lines = self._filled(words, limit, room)
        longer = limit * LONGER if self.way.turning else limit
        roomy = self._filled(words, min(longer, room), room)
        lines = roomy if len(roomy) < len(lines) else lines
        # With no more lines, make the longest as short as possible: it sets the width.
        while len(lines) > 1:
            longest = max(font.width(line, small) for line in lines)
            shorter = self._filled(words, longest - 0.1, room)
            if len(shorter) > len(lines) or shorter == lines:
                break
            lines = shorter
        sizes = [line for shape in shapes for line in font.lines(shape, small, room)]
        return [font.fitted(line, small, room) for line in [*lines, *sizes]]

    def _filled(self, words: list[str], limit: float, room: float) -> list[str]:
        """Lines that are no longer than a limit, but for a word that is; no word is broken."""
        lines: list[str] = []
        for word in words:
            longer = f"{lines[-1]} · {word}" if lines else word
            if lines and font.width(longer, self.type.small) <= limit:
                lines[-1] = longer
            else:
                lines += font.lines(word, self.type.small, room)
        return lines

    def _shapes(self, box: Box, *, each: bool) -> list[str]:
        """The shape that leaves a box; of several, each that differs, or the ends."""
        shape = self.shape(box)
        if shape is None:
            return []
        if box.count > 1 and len(set(box.shapes)) > 1:
            first, last = box.shapes[0], box.shapes[-1]
            if first[:1] == last[:1]:
                return [" → ".join(map(square, dict.fromkeys(s[1:] for s in box.shapes)))]
            return [f"{shape_text(first)} → {shape_text(last)}"]
        sent = self.sent[box.key] if box.beside > 1 or box.frame is not None else []
        shapes = [tensor.shape for tensor in sent]
        if self.frame and not all(self._agreed(t.node, t.output) for t in sent):
            return []
        if each:
            # Of what has a plane: it stands over the lanes of these.
            deep = max(len(one) for one in [shape, *shapes])
            planes = {shape_text(one): one for one in [shape, *shapes] if len(one) == deep}
            return sorted(planes, key=lambda text: -int(planes[text][-1]))
        texts = list(dict.fromkeys(map(shape_text, [shape, *shapes])))
        if len(texts) < FEW:
            return [", ".join(texts)]
        outputs = self._outputs(box, sent)
        return [f"{own[0]} … {own[-1]}" if len(own) > 1 else own[0] for own in outputs]

    def _outputs(self, box: Box, sent: Sequence[Tensor]) -> list[list[str]]:
        """The sizes of each output of a box, those of a pyramid together; none of many."""
        calls = box.frame.calls if box.frame else []
        names = {(t.node, t.output): stem(n) for c in calls for n, t in c.block.outputs.items()}
        found: dict[object, dict[str, None]] = {}
        for one in sent:
            own = (one.node, one.output)
            output = names.get(own, one.output if box.beside > 1 else own)
            found.setdefault(output, {})[shape_text(one.shape)] = None
        return [[*texts] for texts in found.values()] if len(found) < FEW else []

    def _slant(self, box: Box) -> float:
        if self.way.turning and box.family in NARROWED:
            return 4.0
        return 14.0 if box.family in SLANTED else 0.0

    def shape(self, box: Box) -> Shape | None:
        """The shape that leaves a box; none where a frame's calls differ in it."""
        tensor = self.leaving.get(box.key)
        if tensor is None:
            return None
        if self.frame is not None and not self._agreed(tensor.node, tensor.output):
            return None
        return tensor.shape

    def _agreed(self, node: str, output: int) -> bool:
        """Whether all calls of the frame have one size there."""
        assert self.frame is not None
        if len(self.frame.nodes) <= 1:
            return True
        if node not in self.frame.nodes[0]:
            return False
        place = self.frame.nodes[0].index(node)
        shapes = self.network.shapes
        every = [nodes[place] for nodes in self.frame.nodes if nodes[place]]
        one = len({shapes[name][output] for name in every}) == 1
        # What only some calls have says its size where all the others do.
        given = {tuple(t.shape for t in call.outputs) for call in self.frame.calls}
        return one and (len(every) == len(self.frame.nodes) or len(given) == 1)
