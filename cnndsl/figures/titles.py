"""What a box says, in every style: its title, its arguments, and what stands beside them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from cnndsl.diagnostics import OpError
from cnndsl.figures.conditions import by_value
from cnndsl.figures.scene import Box, Frame, Item, boxes
from cnndsl.figures.terms import chain, constants, operation, outside, settled
from cnndsl.figures.text import short_formula, spell_argument
from cnndsl.figures.variants import identity
from cnndsl.figures.walk import calls_of, given, read, varying
from cnndsl.graph import Network
from cnndsl.ops.base import Op
from cnndsl.ops.facts import Family
from cnndsl.ops.words import FEW, Named, Words, ends, signed, spoken
from cnndsl.structure import Call, nodes_of
from cnndsl.symbolic import Formula, Sym, Symbol, strip

MINOR = (Family.NORM, Family.ACTIVATION, Family.REGULARIZE)
"""Families that are written as tags of the step before them."""
Row = Sequence[tuple[str, object]]
"""The arguments of a call."""


@dataclass(frozen=True, slots=True)
class Said:
    """The words of a box: a block's arguments, an operation's attributes, what follows it."""

    title: str
    arguments: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()

    @property
    def small(self) -> tuple[str, ...]:
        """All but the title."""
        return self.arguments + self.attributes + self.tags


class Sayer:
    """Says the boxes of a network; what all norms or activations share is said once."""

    def __init__(self, network: Network) -> None:
        """Find out what they share."""
        self.network = network
        self.known: dict[int, tuple[Box, Frame | None, Said]] = {}
        """What was said: a picture's layouts are many, and say the same."""
        found: dict[str, list[Op]] = {}
        for node in network:
            if node.op.family in MINOR:
                found.setdefault(node.op.name, []).append(node.op)
        self.shared: dict[str, Op] = {}
        """By name, one of those that are the most."""
        self.excepted: set[str] = set()
        """The names of those of which some differ: these say so."""
        for name, every in found.items():
            words = Counter(op.said().more for op in every)
            ((most, count),) = words.most_common(1)
            if most and count > 1 and 2 * count > len(every):
                self.shared[name] = next(op for op in every if op.said().more == most)
                if len(words) > 1:
                    self.excepted.add(name)

    @property
    def notes(self) -> list[str]:
        """`bn: eps 0.001, momentum 0.03`."""
        return self.notes_on(self.shared)

    def notes_of(self, drawn: Iterable[Box]) -> list[str]:
        """The notes on what some boxes show."""
        return self.notes_on({self.network.node(n).op.name for box in drawn for n in box.parts})

    def notes_on(self, names: Collection[str]) -> list[str]:
        """The notes on operations of these names."""
        return [
            f"{name}: {', '.join(op.said().more)}"
            + (" if not said otherwise" if name in self.excepted else "")
            for name, op in self.shared.items()
            if name in names
        ]

    def __call__(self, box: Box, frame: Frame | None = None) -> Said:
        """The words of a box; in a frame, what holds for all the calls that it shows."""
        known = self.known.get(id(box))
        if known is None or known[0] is not box or known[1] is not frame:
            known = self.known[id(box)] = (box, frame, self._said(box, frame))
        return known[2]

    def _said(self, box: Box, frame: Frame | None) -> Said:
        times = f"{box.beside} × " if box.beside > 1 else ""
        notes = (*box.notes, *filter(None, [box.condition]))
        if box.frame is not None and box.frame.quiet:
            notes = (*self._makes(box, frame), *notes)
        if box.family in (None, Family.INPUT) or not box.parts:
            return Said(times + box.title, arguments_of(box, frame), (), notes)
        every = [self._calls(name, frame) for name in box.parts]
        if box.others:
            rows = zip(box.parts, *box.others, strict=True)
            every = [[op for name in row for op in self._calls(name, frame)] for row in rows]
            frame = None
        texts = {name: self.network.node(name).span.text for name in box.parts}
        words = [
            together(ops, frame, name, texts[name])
            for ops, name in zip(every, box.parts, strict=True)
        ]
        main = words[0]
        if len(every) > 1 and every[1][0].family is Family.NORM:
            main = _biased(every[0], self._there(box, frame), main)
        when = frame.when if frame else {}
        tags = [
            _when(self._tag(ops, said), when.get(name, ""), box.condition)
            for name, ops, said in zip(box.parts, every, words, strict=True)
        ]
        title, more = main.title, main.more
        if every[0][0].family in MINOR:
            more = self._unshared(every[0], more)
        elif copies := self._copies(box.parts[0], frame):
            more = (*more, copies)
        return Said(times + title, (), more, (*tags[1:], *notes))

    def _copies(self, name: str, frame: Frame | None) -> str:
        """`4 copies`: how often a step reads one tensor, to which one line leads."""
        nodes = [name]
        if frame is not None and frame.nodes and name in frame.nodes[0]:
            place = frame.nodes[0].index(name)
            nodes = [row[place] for row in frame.nodes]
        read = [Counter(self.network.operands(own)) if own else Counter() for own in nodes]
        most = [max(found.values(), default=1) for found in read]
        if max(most) == 1:
            return ""
        rows = given([call.block for call in frame.calls]) if frame else []
        many = spoken(most[0]) if len({*most}) == 1 else str(_named(most, rows))
        alone = all(len(found) < 2 for found in read)
        return f"{many} copies" if alone else f"one {many} times"

    def _there(self, box: Box, frame: Frame | None) -> list[bool]:
        """In which of the calls that have the step of a box it has the norm behind it."""
        if frame is None or not frame.nodes or not {*box.parts[:2]} <= {*frame.nodes[0]}:
            return [True]
        step, norm = (frame.nodes[0].index(name) for name in box.parts[:2])
        return [bool(nodes[norm]) for nodes in frame.nodes if nodes[step]]

    def _makes(self, box: Box, frame: Frame | None) -> Iterator[str]:
        """What makes boxes in what stays closed, or is learned: `3 anchors`, `NMS 0.5`."""
        found: dict[str, list[Op]] = {}
        for name in box.nodes:
            learned = not read(self.network, name)
            if self.network.node(name).op.family is Family.BOXES or learned:
                ops = self._calls(name, frame)
                found.setdefault(ops[0].name, []).extend(ops)
        for name, ops in found.items():
            titles = {op.figure() for op in ops}
            yield titles.pop() if len(titles) == 1 else name.replace("_", " ")

    def _calls(self, name: str, frame: Frame | None) -> list[Op]:
        """The operation of a node in all the calls of its frame that have it."""
        if frame is None or not frame.calls or name not in frame.nodes[0]:
            return [self.network.node(name).op]
        place = frame.nodes[0].index(name)
        pairs = [
            (call, nodes[place]) for call, nodes in zip(frame.calls, frame.nodes, strict=True)
        ]
        return [
            operation(self.network.node(own).op, chain(frame, call, own))
            for call, own in pairs
            if own
        ]

    def _unshared(self, ops: Sequence[Op], more: tuple[str, ...]) -> tuple[str, ...]:
        """The words that the note does not say, and what is usual elsewhere but not here."""
        first, shared = ops[0], self.shared.get(ops[0].name)
        if shared is None:
            return more
        known = shared.said().more
        usual = [
            first.phrase(name)
            for name in shared.unusual()
            if name not in first.unusual()
            and len({strip(getattr(op, name, None)) for op in ops}) == 1
        ]
        return (*(word for word in more if word not in known), *usual)

    def _tag(self, ops: Sequence[Op], words: Words) -> str:
        return " ".join((words.title, *self._unshared(ops, words.more)))


def _when(tag: str, when: str, known: str) -> str:
    """`bn if norm`: a tag with its condition, if that is not of the whole box or its name."""
    return tag if when in ("", known, f"if {tag}") else f"{tag} {when}"


def sayer(network: Network) -> Sayer:
    """That of a network; the last one is kept."""
    if not _LAST or _LAST[0].network is not network:
        _LAST[:] = [Sayer(network)]
    return _LAST[0]


_LAST: list[Sayer] = []


def title_of(network: Network, box: Box, frame: Frame | None = None) -> str:
    """What a box says in bold."""
    return sayer(network)(box, frame).title


def _biased(ops: Sequence[Op], normed: Sequence[bool], words: Words) -> Words:
    """The words of a step before a norm: no bias is the rule in just the calls that have it."""
    biases = [getattr(op, "bias", None) is True for op in ops]
    if not hasattr(ops[0], "bias"):
        return words
    if len({*biases}) > 1 and biases != [not there for there in normed]:
        return words
    more = tuple(word for word in words.more if not word.startswith("no bias"))
    if biases == [not there for there in normed]:
        return Words(words.title, more)
    return Words(words.title, (*more, "bias" if biases[0] else "no bias"))


def together(
    ops: Sequence[Op], frame: Frame | None = None, name: str = "", text: str = ""
) -> Words:
    """The words of what several calls have in one place: what differs by its name.

    The step `name` is written as `text`.
    """
    distinct = list(dict.fromkeys(op.plain() for op in ops))
    differing = _differing(frame, name)
    if len(distinct) == 1 and not differing:
        return ops[0].said()
    rows = _rows(frame, name)
    if len({op.name for op in distinct}) > 1:
        known = _parameter([op.name for op in ops], rows)
        titles = dict.fromkeys(str(op.said()) for op in distinct)
        return Words(known or " | ".join(titles))
    first = ops[0]
    spoken_of = {name for op in distinct for name in op.unusual()}
    changes: dict[str, object] = {}
    numbers, partly = constants(frame), dict[str, str]()
    for parameter in first.parameters:
        values = [settled(getattr(op, parameter.name), numbers) for op in ops]
        same = len(set(map(strip, values))) == 1
        if len({len(value) for value in values if isinstance(value, tuple)}) > 1:
            return Words(first.name.replace("_", " "))
        read = {str(atom) for number in _numbers(values[0]) for atom in number.formula.atoms()}
        if same and differing & read:
            changes[parameter.name] = _named(values[:1], [])
        elif not same and (parameter.name in spoken_of or first.in_title(parameter)):
            named = changes[parameter.name] = _named(values, rows)
            if (
                parameter.name == first.shares
                and isinstance(named, tuple)
                and _mixed(named[-1])
            ):
                changes[parameter.name] = (*named[:-1], Named("rest"))
            if said := _partly(
                parameter.name, [*zip(ops, values, rows, strict=False)], named, text
            ):
                partly[parameter.name] = said
            elif str(named) == parameter.name and not first.in_title(parameter):
                changes[parameter.name] = _either(named, values)
    if "pad" in changes and all(op.causal for op in ops):
        changes["pad"] = ((Named("causal"), Named("causal")),)
    try:
        made = first.with_values(changes)
        unlike = {made.phrase(name) for name in partly if name in made.unusual()}
        more = [word for word in made.said().more if word not in unlike]
        words = Words(made.figure(), (*more, *partly.values()))
    except (TypeError, ValueError, ArithmeticError, OpError):
        words = Words("")
    named = [value for name, value in changes.items() if name not in partly]
    names = [text for value in named for text in _texts(value)]
    if words.title and all(name in str(words) for name in names):
        return words
    return Words(" | ".join(dict.fromkeys(str(op.said()) for op in distinct)))


def _either(named: object, values: Sequence[object]) -> object:
    """`1 or 32` for an attribute whose parameter has its own name: `groups` alone says less."""
    texts = list(dict.fromkeys(map(spoken, values)))
    if not isinstance(named, Named) or len(texts) != 2:
        return named
    return Named(" or ".join(sorted(texts, key=float)), named)


def _partly(
    name: str,
    every: Sequence[tuple[Op, object, dict[str, object]]],
    named: object,
    text: str,
) -> str:
    """`32 groups if wide`: an attribute that only some calls have, and which do.

    Nothing where one name is of all, or none of those; or no parameter tells which have it.
    """
    there = [name in op.unusual() for op, _, _ in every]
    given = re.search(rf"\b{name}\s*=([^,)]*)", text)
    text = given[1] if given else text
    when = by_value([row for _, _, row in every], there, text) if _mixed(named) else ""
    if not when:
        return ""
    held = [one for one, has in zip(every, there, strict=True) if has]
    value = held[0][1]
    if len({strip(value) for _, value, _ in held}) > 1:
        value = _named([value for _, value, _ in held], [row for _, _, row in held])
    if _mixed(value):
        return ""
    return f"{held[0][0].with_values({name: value}).phrase(name)} {when}"


def _mixed(value: object) -> bool:
    """Whether a value has no name of its own."""
    return any("–" in text or "|" in text for text in _texts(value))


def _differing(frame: Frame | None, name: str) -> set[str]:
    """The arguments of a frame's calls that differ, for a layer that only some of them have.

    It says them as its neighbours do, though they may be the same in those calls.
    """
    if frame is None or not frame.calls or frame.always(name):
        return set()
    return set(varying(given([call.block for call in frame.calls])))


def _numbers(value: object) -> list[Sym]:
    """The numbers of an attribute that remember their formula."""
    if isinstance(value, tuple):
        return [number for one in value for number in _numbers(one)]
    return [value] if isinstance(value, Sym) else []


def _texts(value: object) -> list[str]:
    if isinstance(value, tuple):
        return [text for one in ends(value) for text in _texts(one)]
    return [value.text] if isinstance(value, Named) else [str(value)] if value else []


def _rows(frame: Frame | None, name: str) -> list[dict[str, object]]:
    """The arguments of the calls that have a layer."""
    if frame is None or not frame.calls:
        return []
    place = frame.nodes[0].index(name)
    pairs = zip(frame.calls, frame.nodes, strict=True)
    return given([call.block for call, nodes in pairs if nodes[place]])


def _named(values: Sequence[object], rows: Sequence[dict[str, object]]) -> object:
    """A name for values that differ: their formula, their parameter, `1|3`, or their range."""
    if all(isinstance(value, tuple) and value for value in values):
        tuples = [value for value in values if isinstance(value, tuple)]
        if len({len(value) for value in tuples}) == 1:
            if all(len(set(map(strip, value))) == 1 for value in tuples):
                return (_named([value[0] for value in tuples], rows),) * len(tuples[0])
            return tuple(
                column[0] if len(set(map(strip, column))) == 1 else _named(column, rows)
                for column in zip(*tuples, strict=True)
            )
    name = _formula(values, rows) or _parameter(values, rows)
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if not name and len(numbers) == len(values):
        between = "|" if len({*map(strip, numbers)}) == 2 else "–"
        name = f"{spoken(min(numbers))}{between}{spoken(max(numbers))}"
    if not name:
        name = " | ".join(dict.fromkeys(map(spoken, values)))
    if len(numbers) == len(values):
        return Named(name, int(numbers[0]))
    return name


def _formula(values: Sequence[object], rows: Sequence[dict[str, object]]) -> str:
    """The formula of all values, or that of one which gives the others too."""
    texts = [short_formula(value) if isinstance(value, Sym) else "" for value in values]
    if len({*texts}) == 1:
        return texts[0]
    for text, value in zip(texts, values, strict=True):
        if text and isinstance(value, Sym) and len(rows) == len(values):
            pairs = zip(values, rows, strict=True)
            if all(strip(other) == _worth(value.formula, row) for other, row in pairs):
                return text
    return ""


def _worth(formula: Formula, row: Mapping[str, object]) -> int | None:
    """What a formula is with the arguments of a call; nothing where it has other names."""
    try:
        return int(
            formula.evaluate({Symbol(n): v for n, v in row.items() if isinstance(v, int)})
        )
    except (KeyError, ArithmeticError):
        return None


def _parameter(values: Sequence[object], rows: Sequence[dict[str, object]]) -> str:
    """The parameter of a block that has these values in its calls; nothing for none."""
    if not rows or len(rows) != len(values):
        return ""
    wanted = [_plain(value) for value in values]
    for name in rows[0]:
        column = [row.get(name) for row in rows]
        if [*map(_plain, column)] == wanted:
            return name
        lists = [value for value in column if isinstance(value, tuple)]
        for n in range(min(map(len, lists)) if len(lists) == len(rows) else 0):
            if [_plain(value[n]) for value in lists] == wanted:
                return f"{name}[{n}]"
    return ""


def _plain(value: object) -> str:
    """A value to compare: a size of equal numbers is one of them."""
    if isinstance(value, tuple) and value and len(set(map(strip, value))) == 1:
        value = value[0]
    return spell_argument(strip(value))


def times(item: Item, frame: Frame | None = None) -> str:
    """` ×3`: how often an item repeats; ` ×n` where the calls of a frame differ in that."""
    if item.count == 1:
        return ""
    nodes = next(boxes([item])).nodes
    size, rest = divmod(len(nodes), item.count)
    if rest or frame is None or not frame.calls or not {*nodes} <= {*frame.nodes[0]}:
        return f" ×{item.count}"
    places = [frame.nodes[0].index(name) for name in nodes]
    turns = [places[n : n + size] for n in range(0, len(places), size)]
    every = [sum(any(call[n] for n in turn) for turn in turns) for call in frame.nodes]
    pairs = [(call, count) for call, count in zip(frame.calls, every, strict=True) if count]
    counts = [count for _, count in pairs]
    if len(set(counts)) == 1:
        return f" ×{item.count}"
    named = _parameter(counts, given([call.block for call, _ in pairs]))
    return f" ×{named or f'{min(counts)}–{max(counts)}'}"


def arguments_of(box: Box, frame: Frame | None = None) -> tuple[str, ...]:
    """`c 64`, `s 2, 1`; in a frame that shows several calls, what holds for all: `m = c/4`."""
    names = [name for name, _ in box.values[0]] if box.values else []
    if names and frame is not None and len(frame.calls) > 1:
        turns = _turns(box, frame)
        every = [_argument(name, turns, box, frame) for name in names]
        return tuple(_owned(text, every) for text in every if text)
    columns = [[row[place][1] for row in box.values] for place in range(len(names))]
    pairs = [(name, column_text(column)) for name, column in zip(names, columns, strict=True)]
    return tuple(f"{name} {text}".strip() for name, text in pairs if text is not None)


def _owned(text: str, every: Sequence[str]) -> str:
    """`its k 3` where a formula beside it has another `k`."""
    name, _, value = text.partition(" ")
    formulas = (
        other.rpartition("= ")[2] for other in every if " " not in other or "=" in other
    )
    mixed = value[:1].isdigit() and any(re.search(rf"\b{name}\b", one) for one in formulas)
    return f"its {text}" if mixed else text


Turn = list[tuple[Call, Call]]
"""The calls that a box stands for in one of its turns, each behind the call that it is in."""


def _turns(box: Box, frame: Frame) -> list[Turn]:
    """By turn of a box, the calls that it stands for in each call of its frame."""
    assert box.frame is not None
    block, own = identity(box.frame.calls[0].block), set(box.nodes)
    places = [place for place, name in enumerate(frame.nodes[0]) if name in own]
    found: list[Turn] = []
    for outer, nodes in zip(frame.calls, frame.nodes, strict=True):
        rest = {nodes[place] for place in places} - {""}
        turn = 0
        for call in calls_of(outer.block.body):
            inside = {*nodes_of(call.block.body)} if identity(call.block) == block else set()
            if inside and inside <= rest:
                rest -= inside
                found += [[]] if turn == len(found) else []
                found[turn].append((outer, call))
                turn += 1
    return found


def _argument(name: str, turns: Sequence[Turn], box: Box, frame: Frame) -> str:
    """`groups 32`, `m = 2·k`, `s`; nothing for one that is not given, or given its default.

    What is called like another argument of the frame's own calls is said by its value alone.
    """
    if not _chosen(name, turns, box):
        return ""
    every = given([call.block for call in frame.calls])
    row_of = dict(zip(map(id, frame.calls), every, strict=True))
    cells, values, names = list[object](), list[object](), False
    numbers = constants(frame)
    for turn in turns:
        column = [
            settled(outside(_value(name, call), chain(frame, outer, id(call))), numbers)
            for outer, call in turn
        ]
        rows, plain = [row_of[id(outer)] for outer, _ in turn], [*map(_plain, column)]
        values += column
        differing = set(varying(every)) if len(turn) < len(every) else set[str]()
        read = {str(a) for v in column for n in _numbers(v) for a in n.formula.atoms()}
        known = str(cells[-1]) if cells else ""
        if known in rows[0] and [_plain(row[known]) for row in rows] == plain:
            cells.append(cells[-1])
        elif len(set(plain)) == 1 and not differing & read:
            cells.append(strip(column[0]))
        else:
            cells.append(_named(column, rows))
            names = True
    if any(isinstance(cell, Named) and _mixed(cell) for cell in cells):
        cells = [_named(values, [])]
    text = column_text(cells)
    if text is None or text == name:
        return text or ""
    taken = name in every[0]
    if names and any(map(str.isalpha, text)):
        # A name that is the frame's too would make an equation of it: `c = c/2`.
        other = text in dict(box.values[0])
        return text if taken and not other else f"{'its ' * taken}{name} = {text}"
    (first, *others) = {*cells}
    if taken and not others and isinstance(first, tuple) and len(first) > 1:
        return "×".join(map(spoken, first))
    return f"{name} {text}".strip()


def _value(name: str, call: Call) -> object:
    """That of an argument, in the terms of the caller; else its default."""
    return call.block.arguments.get(name, call.block.names.get(name))


def _chosen(name: str, turns: Sequence[Turn], box: Box) -> bool:
    """Whether a call gives an argument a value that no call has by default."""
    assert box.frame is not None
    usual = {_plain(_value(name, c)) for c in box.frame.calls if name not in c.block.arguments}
    calls = [call for turn in turns for _, call in turn if name in call.block.arguments]
    return not {_plain(_value(name, call)) for call in calls} <= usual


def column_text(values: Sequence[object]) -> str | None:
    """The values of an argument in calls that follow each other, as `column` says them."""
    return column(values)[0]


def column(values: Sequence[object]) -> tuple[str | None, str]:
    """The values of an argument in calls that follow each other, and what several are.

    One for all of them; `2, 1` for the first and the others; `0–0.1` for a rate that
    grows; `3/1` for what takes turns; nothing to say where it is left out everywhere.
    """
    texts = list(dict.fromkeys(spell_argument(value, whole=False) for value in values))
    if len(texts) == 1:
        if values[0] is None or values[0] is False:
            return None, ""
        return "" if values[0] is True else texts[0], ""
    if any(isinstance(value, float) for value in values):
        numbers = [float(v) for v in values if isinstance(v, int | float)]
        low, high = (signed(f"{end:.2g}") for end in (min(numbers), max(numbers)))
        return f"{low}–{high}", ""
    every = [spell_argument(value, whole=False) for value in values]
    if len(set(every[1:])) == 1:
        return ", ".join(texts), "of the first, and of the others" * (len(every) > 2)
    if len(texts) < len(every) and every == [texts[n % len(texts)] for n in range(len(every))]:
        return "/".join(texts), "in turn"
    if len(every) <= FEW:
        return ", ".join(every), "in this order"
    numbers = [v for v in values if isinstance(v, int)]
    grows = len(numbers) == len(values) and numbers == sorted({*numbers})
    between = "–" if grows else " … "
    return f"{every[0]}{between}{every[-1]}", "of the first, and of the last"
