"""When a part of an opened block is there, in words that its reader knows.

A condition is said of the calls that a frame shows: what is the same in all of them is put
in, a `let` by what it stands for, and a loop's variable by its value.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from cnndsl.expressions import (
    Binary,
    Choice,
    Expression,
    Number,
    SizeLiteral,
    Text,
    Unary,
    Value,
)
from cnndsl.figures.scene import Frame, Option
from cnndsl.figures.text import given_as, spell_argument
from cnndsl.figures.variants import Slot, Written, written
from cnndsl.figures.walk import given
from cnndsl.graph import Network
from cnndsl.language import tree
from cnndsl.language.names import BlockDefinition
from cnndsl.language.unread import values_in
from cnndsl.structure import Block, Call, Step, walk
from cnndsl.symbolic import strip

SOMETIMES = "not always"
"""Said of what not every call has, where no words say when."""
AGAINST = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
WORDS: dict[str, object] = {"none": None, "true": True, "false": False}
OPERATORS: dict[str, Callable[..., object]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "//": operator.floordiv,
    "%": operator.mod,
}
LEVELS = {"or": 0, "and": 1, "not": 2, **dict.fromkeys(AGAINST, 3), "+": 4, "-": 4}
OTHER, ATOM = 5, 6
"""How close the other operators bind, and a name."""
WORD = re.compile(r"[A-Za-z_]\w*")
UNKNOWN = object()
"""The value of what differs between calls."""


@dataclass(frozen=True, slots=True)
class Phrase:
    """An expression in words, and what holds just where it does not; or its one value."""

    text: str
    against: str = ""
    level: int = ATOM
    value: object = UNKNOWN
    names: frozenset[str] = frozenset()
    """What it mentions."""


class Port(str):
    """What an input of a block is called where the block is read."""

    __slots__ = ()


def phrase(expression: Expression, known: Mapping[str, object]) -> Phrase:
    """An expression with what is known put in: values, and expressions for other names."""
    found = _phrase(expression, known)
    if found.value is UNKNOWN and values_in(expression).isdisjoint(known):
        return Phrase(expression.span.text, found.against, found.level, names=found.names)
    return found


def _phrase(expression: Expression, known: Mapping[str, object]) -> Phrase:
    match expression:
        case Number(value=value) | Text(value=value) | SizeLiteral(value=value):
            return Phrase(expression.span.text, value=value)
        case Value(path=path, arguments=None) if not path.parts and path.name in WORDS:
            return _constant(WORDS[path.name])
        case Value(path=path, arguments=None) if not path.parts and path.name in known:
            bound = known[path.name]
            rest = {name: value for name, value in known.items() if name != path.name}
            return phrase(bound, rest) if isinstance(bound, Expression) else _constant(bound)
        case Value(path=path, arguments=None) if isinstance(known.get(path.name), Port):
            text = f"{known[path.name]}{path.span.text[len(path.name) :]}"
            return Phrase(text, names=frozenset([str(known[path.name])]))
        case Unary(operator="not", operand=operand):
            inner = phrase(operand, known)
            if inner.value is not UNKNOWN:
                return _constant(not inner.value)
            text = f"not {_within(inner, LEVELS['not'])}"
            return Phrase(text, inner.text, LEVELS["not"], names=inner.names)
        case Binary(operator="and" | "or"):
            return _both(expression, known)
        case Binary(operator=sign):
            return _compared(
                sign, phrase(expression.left, known), phrase(expression.right, known)
            )
        case Choice(condition=condition, then=then, otherwise=otherwise):
            chosen = phrase(condition, known).value
            if chosen is not UNKNOWN:
                return phrase(then if chosen else otherwise, known)
    text = expression.span.text
    return Phrase(text, f"not {text}", names=frozenset(values_in(expression)))


def _constant(value: object) -> Phrase:
    return Phrase(spell_argument(strip(value)), value=value)


def _both(expression: Binary, known: Mapping[str, object]) -> Phrase:
    """Two conditions, of which one may decide, or make no difference."""
    sign, both = expression.operator, sign_of(expression.operator)
    left, right = phrase(expression.left, known), phrase(expression.right, known)
    for one, other in ((left, right), (right, left)):
        if one.value is not UNKNOWN:
            return other if bool(one.value) == both else _constant(not both)
    other_sign = "or" if both else "and"
    text = joined([left.text, right.text], sign)
    against = joined([left.against, right.against], other_sign)
    return Phrase(text, against, LEVELS[sign], names=left.names | right.names)


def sign_of(word: str) -> bool:
    """What both sides of `and` must be for it to hold; of `or`, for it not to hold."""
    return word == "and"


def _compared(sign: str, left: Phrase, right: Phrase) -> Phrase:
    names = left.names | right.names
    if UNKNOWN not in (left.value, right.value) and sign in OPERATORS:
        try:
            return _constant(OPERATORS[sign](left.value, right.value))
        except (TypeError, ArithmeticError):
            pass
    level = LEVELS.get(sign, OTHER)
    first, last = _within(left, level), _within(right, level + 1)
    text = f"{first} {sign} {last}"
    against = f"{first} {AGAINST[sign]} {last}" if sign in AGAINST else f"not ({text})"
    return Phrase(text, against, level, names=names)


def _within(part: Phrase, level: int) -> str:
    return f"({part.text})" if part.level < level else part.text


def joined(texts: Sequence[str], word: str) -> str:
    """Conditions of which all must hold, or one."""
    if word == "and" and len(texts) > 1:
        texts = [f"({text})" if " or " in text else text for text in texts]
    return f" {word} ".join(texts)


def spelled(text: str) -> str:
    """A condition as papers print it: `s = 1 and c′ = c`."""
    text = " ".join(text.split())
    for said, shown in (
        ("==", "="),
        ("!=", "≠"),
        ("<=", "≤"),
        (">=", "≥"),
        (" * ", "·"),
        (" - ", " − "),
        (" // ", "/"),
    ):
        text = text.replace(said, shown)
    return given_as(text)


def tell(network: Network, frame: Frame, slots: Mapping[Slot, str]) -> None:
    """Say of what not every call of a frame has when it is there.

    `slots` are the places where the layers of its first call are written.
    """
    assert frame.scene is not None
    conditions = Conditions.of(network, frame, slots)
    frame.options = [option for _, option in conditions.options.values()]
    found = {name: conditions.when(name) for name in frame.nodes[0]}
    frame.when = {name: said for name, said in found.items() if said}
    for box in frame.scene.boxes():
        if box.nodes and frame.when.keys() >= {*box.nodes}:
            box.condition = frame.when[box.nodes[0]]
    reads = conditions.reads() | conditions.ports()
    place = {box.key: box.nodes for box in frame.scene.boxes()}
    shut = {box.key for box in frame.scene.boxes() if box.frame is not None}
    for edge in frame.scene.edges:
        if edge.head in shut:
            continue  # What a closed block reads sometimes is that block's own affair.
        read = [
            reads.get((name, tensor.node, tensor.output), "")
            for name in place[edge.head]
            for tensor in edge.tensors
            if (tensor.node, tensor.output) in network.operands(name)
        ]
        edge.dashed = bool(read) and all(read)
        frame.dashed += [*filter(None, dict.fromkeys(read))]
    frame.notes += [f"dashed: {text}" for text in dict.fromkeys(frame.dashed)]


@dataclass(slots=True)
class Conditions:
    """What the calls of a frame do not all have, and when they have it."""

    network: Network
    frame: Frame
    slots: dict[str, Slot]
    """Where the first call's layers are written."""
    options: dict[Slot, tuple[Written, Option]] = field(default_factory=dict)
    steps: list[set[Slot]] = field(default_factory=list)
    """By call, where its steps are written, also those that make no layer."""

    @classmethod
    def of(cls, network: Network, frame: Frame, slots: Mapping[Slot, str]) -> Conditions:
        """Those of a frame, by where the layers of its first call are written."""
        found = cls(network, frame, {name: slot for slot, name in slots.items()})
        every = [written(call) for call in frame.calls]
        found.steps = [steps for _, steps in every]
        for slot, place in every[0][0].items():
            there = [places[slot] for places, _ in every if slot in places]
            if place.line.on and not all(one.line.on for one in there):
                on = tuple(slot in places and places[slot].line.on for places, _ in every)
                found.options[slot] = (place, found._option(there, on))
        return found

    def _option(self, every: Sequence[Written], on: tuple[bool, ...]) -> Option:
        """A line that is on in some calls, with what is the same in all of them put in.

        It says nothing where it has names that mean nothing outside its block.
        """
        place = every[0]
        assert place.condition is not None
        outer = self.frame.calls[0].block
        known = _known([one.block for one in every])
        if place.block is outer:
            known |= {n: e for n, e in _lets(place.block, self.frame.calls) if n not in known}
            inner = {*place.turns} | _inner(place.block, self.frame.calls)
        else:
            ports = {(t.node, t.output): name for name, t in outer.inputs.items()}
            named = {n: ports.get((t.node, t.output)) for n, t in place.block.inputs.items()}
            known |= {name: Port(port) for name, port in named.items() if port}
            inner = {*place.turns, *place.block.names, *place.block.inputs} - {*ports.values()}
        for name, value in place.turns.items():
            if all(strip(one.turns.get(name)) == strip(value) for one in every):
                known[name] = value
        held = phrase(place.condition, known)
        if not held.names.isdisjoint(inner):
            return Option("", "", "", on)
        holds, fails = spelled(held.text), spelled(held.against)
        if place.line.alternative:
            return Option(f"unless {holds}", fails, holds, on)
        return Option(f"if {holds}", holds, fails, on)

    def when(self, name: str) -> str:
        """When a layer of the first call is there; nothing for one that all calls have."""
        column = self.frame.nodes[0].index(name)
        there = [bool(nodes[column]) for nodes in self.frame.nodes]
        if all(there):
            return ""
        slot = self.slots[name]
        around = [one for at, (_, one) in self.options.items() if slot[: len(at)] == at]
        both = [all(one.on[n] for one in around) for n in range(len(there))]
        if self.network.node(name).op.join and both == [slot[:-1] in s for s in self.steps]:
            # Of a join with one operand that operand is left: its edges say so.
            there = both
        if all(there):
            return ""
        if both == there and all(one.said for one in around):
            if len(around) == 1:
                return around[0].said
            return f"if {joined([one.there for one in around], 'and')}"
        turns = [slot[:-1] in steps for steps in self.steps] == there
        text = self.network.node(name).span.text
        said = longer(self.frame, there) or (by_turn(self.rows, there, slot) if turns else "")
        return said or by_value(self.rows, there, text, sizes=turns) or SOMETIMES

    @property
    def rows(self) -> list[dict[str, object]]:
        """The arguments of the calls."""
        return given([call.block for call in self.frame.calls])

    def ports(self) -> dict[tuple[str, str, int], str]:
        """The same where a layer that all calls have reads an input that some are not given."""
        found: dict[tuple[str, str, int], str] = {}
        for name, tensor in self.frame.calls[0].block.inputs.items():
            there = [name in call.block.inputs for call in self.frame.calls]
            said = "" if all(there) else longer(self.frame, there) or SOMETIMES
            heads = self.network.wires.readers(tensor.node) if said else ()
            plain = {*heads} & self.slots.keys() - self.frame.when.keys()
            found |= {(head, tensor.node, tensor.output): said for head in plain}
        return found

    def reads(self) -> dict[tuple[str, str, int], str]:
        """When a join reads what it does not always read, by both ends and the output."""
        found: dict[tuple[str, str, int], str] = {}
        for place, one in self.options.values():
            if place.join and not any(
                isinstance(item, Step) for item in walk(place.line.terms)
            ):
                said = (
                    one.said
                    or by_value(
                        self.rows, one.on, place.line.span.text if place.line.span else ""
                    )
                    or SOMETIMES
                )
                found |= {(place.join, t.node, t.output): said for t in place.line.outputs}
        return found


def _known(blocks: Sequence[Block]) -> dict[str, object]:
    """The names that have one value in several blocks."""
    return {
        name: value
        for name, value in blocks[0].names.items()
        if all(strip(block.names.get(name)) == strip(value) for block in blocks)
    }


def _inner(block: Block, calls: Sequence[Call]) -> set[str]:
    """The names of a block's values that no call gives."""
    own = block.declared.values if isinstance(block.declared, BlockDefinition) else set[str]()
    return own - {name for call in calls for name in call.block.arguments}


def _lets(block: Block, calls: Sequence[Call]) -> Iterator[tuple[str, Expression]]:
    """What stands for a name: a `let`, or the default of a parameter that no call gives."""
    if isinstance(block.declared, BlockDefinition):
        declaration = block.declared.declaration
        for parameter in declaration.params:
            given = any(parameter.name in call.block.arguments for call in calls)
            if parameter.default is not None and not given:
                yield parameter.name, parameter.default
        lets = (item for item in declaration.body if isinstance(item, tree.Let))
        yield from ((item.name, item.value) for item in lets)


def longer(frame: Frame, there: Sequence[bool]) -> str:
    """`if len(x) > 2`: a layer is there in just the calls that are given so many values."""
    stems = {given.rpartition("[")[0] for call in frame.calls for given in call.block.inputs}
    for stem in sorted(stems - {""}):
        many = [
            sum(given.rpartition("[")[0] == stem for given in call.block.inputs)
            for call in frame.calls
        ]
        most = max((n for n, has in zip(many, there, strict=True) if not has), default=0)
        if all(has == (n > most) for n, has in zip(many, there, strict=True)):
            return f"if len({stem}) > {most}"
    return ""


def by_value(
    rows: Sequence[Mapping[str, object]],
    there: Sequence[bool],
    text: str,
    *,
    sizes: bool = False,
) -> str:
    """`if norm`, `if n > 3`, `if k = 3`: a parameter that tells which calls have something.

    By their arguments in `rows`: one that its `text` names rather than another, and one that is
    given or not rather than one that is larger or less, unless `sizes` are asked for.
    """
    if all(there) or not any(there):
        return ""
    words = set(WORD.findall(text))
    found: list[str] = []
    for names in (words, rows[0].keys() - words):
        columns = {n: [strip(row[n]) for row in rows] for n in rows[0] if n in names}
        sizes_of = {f"len({n})": _lengths(values) for n, values in columns.items()}
        columns = {n: values for n, values in sizes_of.items() if values} | columns
        told = [_told(n, [*zip(values, there, strict=True)]) for n, values in columns.items()]
        sized = [said for way in zip(*told, strict=True) for said in way if said]
        given = [said for n, values in columns.items() if (said := _given(n, values, there))]
        found += sized + given if sizes else given + sized
    return next(iter(found), "")


def by_turn(rows: Sequence[Mapping[str, object]], there: Sequence[bool], slot: Slot) -> str:
    """`if n > 3`: a turn of a loop is there where a parameter asks for so many."""
    for name in rows[0]:
        column = [strip(row[name]) for row in rows]
        counts = [value for value in column if type(value) is int]
        for turn in (one for one in slot if type(one) is int and len(counts) == len(column)):
            if [count > turn for count in counts] == [*there]:
                return f"if {name} > {turn}"
    return ""


def _lengths(values: Sequence[object]) -> list[object]:
    """How long the lists of a parameter are; nothing where one is no list."""
    found = [len(value) for value in values if isinstance(value, tuple)]
    return [*found] if len(found) == len(values) and len({*found}) > 1 else []


def _given(name: str, column: Sequence[object], there: Sequence[bool]) -> str:
    holds = [value is not None and value is not False for value in column]
    if holds == [*there]:
        return f"if {name}"
    return f"unless {name}" if holds == [not has for has in there] else ""


def _told(name: str, pairs: Sequence[tuple[object, bool]]) -> tuple[str, str, str]:
    """Where a parameter is greater, or less, or has one value: empty where that is not so."""
    yes, no = (
        {spell_argument(v): v for v, has in pairs if has is way} for way in (True, False)
    )
    if not yes.keys().isdisjoint(no):
        return "", "", ""
    more = less = ""
    high, low = _numbers(yes.values()), _numbers(no.values())
    if len(high) == len(yes) and len(low) == len(no):
        more = f"if {name} > {max(low):g}" if min(high) > max(low) else ""
        less = f"if {name} < {min(low):g}" if max(high) < min(low) else ""
    sides = (("if", yes), ("unless", no))
    one = [f"{word} {name} = {next(iter(side))}" for word, side in sides if len(side) == 1]
    return more, less, one[0] if one else ""


def _numbers(values: Iterable[object]) -> list[float]:
    return [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
