"""What an editor asks about a place in a text, in offsets and Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import MISSING, dataclass

from cnndsl.diagnostics import Source, Span
from cnndsl.editing.reading import Checked, Instance
from cnndsl.editing.symbols import Names, Place, Symbol
from cnndsl.editing.tokens import Token, tokens
from cnndsl.language.names import operation, operations
from cnndsl.ops.base import Op
from cnndsl.ops.facts import Shape
from cnndsl.ops.initial import INITS, Init
from cnndsl.ops.values import spell
from cnndsl.structure import Call, Line, nodes_of

FUSED = ("norm", "act")


def shown(shape: Shape) -> str:
    """`64×56×56`."""
    return "×".join(str(int(size)) for size in shape)


def signature(cls: type[Op] | type[Init]) -> str:
    """`maxpool(kernel, stride=none, …)`."""
    given = [
        p.name if p.default is MISSING else f"{p.name}={spell(p.default)}"
        for p in cls.parameters
    ]
    given += [f"{name}=none" for name in FUSED if issubclass(cls, Op) and cls.fused]
    return f"{cls.name}({', '.join(given)})" if given else cls.name


def first_line(text: str | None) -> str:
    """The first line of a document."""
    return (text or "").strip().partition("\n")[0]


# Shapes at the ends of lines


def hints(found: Iterable[Checked], source: Source) -> Iterator[tuple[int, str]]:
    """For each line of a text that has a shape: where it ends, and the shape behind it."""
    lines: dict[tuple[int, int], list[Instance]] = {}
    for checked in found:
        for (name, start, stop, is_line), instances in checked.instances.items():
            there = is_line and name == source.name and _same(instances[0], source)
            if there and (start, stop) not in lines:
                lines[start, stop] = instances
    last = shown_row = -1
    for start, stop in sorted(lines, key=lambda place: (place[0], -place[1])):
        row = source.position(start)[0]
        inside = start < last and row == shown_row
        shapes = [
            i.item.outputs[0].shape
            for i in lines[start, stop]
            if isinstance(i.item, Line) and i.item.on and i.item.outputs
        ]
        if not inside:
            last, shown_row = stop, row
        if shapes and not inside:
            yield stop, f"→ {_range([shown(shape) for shape in shapes])}"


def _same(instance: Instance, source: Source) -> bool:
    span = instance.item.span
    return span is not None and span.source.text == source.text


def _range(texts: list[str]) -> str:
    """`64×56×56`, or the first and the last where they are several."""
    return texts[0] if len(set(texts)) == 1 else f"{texts[0]} … {texts[-1]}"


# Hover


def hover(
    found: Iterable[Checked], names: Names | None, source: Source, offset: int
) -> tuple[Span, str] | None:
    """What is to be said of a place, and the words that it is said of."""
    everything = list(found)
    word = word_at(source.text, offset)
    if word is None:
        return None
    span = Span(source, word.start, word.stop)
    place = names.at(offset) if names is not None else None
    if place is not None and place.symbol.kind not in ("block", "model"):
        return place.span, _of_symbol(place, everything, source)
    step = _step(everything, source, word)
    if place is not None:
        text = _of_block(place.symbol)
        return place.span, "\n\n".join([text, *_costs(step)])
    cls = operation(word.text)
    if cls is not None and word.kind == "name" and not _is_argument(source.text, word):
        text = f"```arch\n{signature(cls)}\n```\n{_document(cls)}"
        return span, "\n\n".join([text, *_costs(step)])
    begins = INITS.get(word.text)
    if begins is not None and not _is_argument(source.text, word):
        return span, f"```arch\n{signature(begins)}\n```\n{_document(begins)}"
    call = call_at(source.text, word.start)
    outer = operation(call.name) if call is not None else None
    if outer is not None and _is_argument(source.text, word):
        for parameter in outer.parameters:
            if parameter.name == word.text:
                default = parameter.default
                more = "" if default is MISSING else f" = {spell(default)}"
                return span, f"```arch\n{word.text}: {parameter.type.lower()}{more}\n```"
    return None


def word_at(text: str, offset: int) -> Token | None:
    """The word at a place."""
    for token in tokens(text):
        if token.start <= offset <= token.stop and token.kind in ("name", "keyword"):
            return token
    return None


def _is_argument(text: str, word: Token) -> bool:
    """Whether a word is followed by `=`, as an argument's name is."""
    rest = text[word.stop :].lstrip(" \t")
    return rest.startswith("=") and not rest.startswith("==")


def _document(cls: type[Op] | type[Init]) -> str:
    """An operation's document, a line each as it is written."""
    lines = [line.strip() for line in (cls.__doc__ or "").strip().splitlines()]
    return "  \n".join(line for line in lines if line)


Steps = tuple[Checked, list[Instance]]


def _step(found: list[Checked], source: Source, word: Token) -> Steps | None:
    """The instances of the step that begins with a word."""
    for checked in found:
        for (name, start, _, is_line), instances in checked.instances.items():
            there = name == source.name and start == word.start and not is_line
            if there and _same(instances[0], source):
                return checked, instances
    return None


def _costs(step: Steps | None) -> Iterator[str]:
    """Shapes, parameters, multiply-adds and receptive field of a step's instances."""
    if step is None:
        return
    checked, instances = step
    network = instances[0].network
    table, fields = checked.costs[id(network)], checked.fields[id(network)]
    moves, fits = [], []
    parameters = macs = 0
    for instance in instances:
        item = instance.item
        assert not isinstance(item, Line)
        ways = [", ".join(shown(t.shape) for t in side) for side in (item.inputs, item.outputs)]
        moves.append(" → ".join(way for way in ways if way))
        inner = list(nodes_of([item])) if isinstance(item, Call) else list(item.nodes)
        parameters += sum(table[name].parameters for name in inner)
        macs += sum(table[name].macs for name in inner)
        if item.outputs:
            fits.append(str(fields.fields[item.outputs[0].node][0]))
    many = f" in {len(instances)} places" if len(instances) > 1 else ""
    yield f"**{_range(moves)}**{many}"
    rows = [("parameters", f"{parameters:,}"), ("multiply-adds", f"{macs:,}")]
    rows += [("receptive field", _range(fits))] if fits and any(fits) else []
    yield "  \n".join(f"{name}: {value}" for name, value in rows)


def _of_block(symbol: Symbol) -> str:
    declaration = symbol.declaration
    assert declaration is not None
    head = declaration.span.text.partition("{")[0].strip()
    text = f"```arch\n{' '.join(head.split())}\n```"
    cited = [meta.span.text for meta in declaration.metas if meta.name == "cite"]
    parts = [declaration.doc, *(f"`{' '.join(cite.split())}`" for cite in cited)]
    return "\n\n".join([text, *(part for part in parts if part)])


def _of_symbol(place: Place, found: list[Checked], source: Source) -> str:
    symbol = place.symbol
    line = symbol.span.source.line(symbol.span.line).strip()
    parts = [f"```arch\n{line}\n```", KINDS[symbol.kind]]
    shapes = [
        tensor
        for checked in found
        for instances in checked.instances.values()
        for i in instances
        if isinstance(i.item, Line)
        and symbol.name in i.item.labels
        and _within(symbol, i.item)
        and (tensor := _output(i.item, symbol.name)) is not None
    ]
    if shapes:
        parts.append(f"**{_range(shapes)}**")
    values = _values(symbol, found)
    if values:
        parts.append(f"**{_range(values)}**")
    return "\n\n".join(parts)


KINDS = {
    "parameter": "A parameter.",
    "value": "A value.",
    "input": "An input.",
    "output": "An output.",
    "size": "A size.",
    "label": "A label: the module's path, the key in a `state_dict`, the node's name.",
    "index": "A column or an index of `for`.",
    "block": "A block.",
    "model": "A model.",
}


def _within(symbol: Symbol, line: Line) -> bool:
    """Whether a line of a network is one of those that a label names."""
    span = line.span
    return span is not None and any(
        span.start <= term.span.start < span.stop and term.span.source.name == span.source.name
        for term in symbol.steps
    )


def _output(line: Line, label: str) -> str | None:
    at = line.labels.index(label)
    several = len(line.labels) == len(line.outputs) > 1
    return shown(line.outputs[at if several else 0].shape) if line.outputs else None


def _values(symbol: Symbol, found: list[Checked]) -> list[str]:
    """What a parameter, a size or a `let` is in each call of its block."""
    if symbol.kind not in ("parameter", "size", "value") or symbol.declaration is None:
        return []
    values = []
    for checked in found:
        for network in checked.networks[:1]:
            from cnndsl.structure import blocks

            for block in (network.structure, *blocks(network.structure)):
                span = block.definition.span
                ours = symbol.declaration.span
                same = (span.source.name, span.start) == (ours.source.name, ours.start)
                if same and symbol.name in block.names:
                    values.append(spell(block.names[symbol.name]))
    return values


# Calls around a place


@dataclass(frozen=True)
class CallAt:
    """The call in whose brackets a place stands."""

    name: str
    opening: str
    given: tuple[str, ...]
    """The names of the arguments that it has."""
    argument: str
    """The name of the argument that is being written, if it has one."""
    number: int
    """How many arguments stand before it."""


def call_at(text: str, offset: int) -> CallAt | None:
    """The innermost call or brackets around a place."""
    words = [t for t in tokens(text) if t.kind not in ("space", "comment", "newline")]
    opened: list[int] = []
    for number, token in enumerate(words):
        if token.start >= offset:
            break
        if token.text in ("(", "[", "{"):
            opened.append(number)
        elif token.text in (")", "]", "}") and opened:
            opened.pop()
    if not opened:
        return None
    at = opened[-1]
    before = words[at - 1] if at else None
    named = before is not None and before.kind == "name"
    name = before.text if named and before is not None else ""
    depth, commas, argument, given = 0, 0, "", []
    for number in range(at + 1, len(words)):
        token = words[number]
        depth += (token.text in ("(", "[", "{")) - (token.text in (")", "]", "}"))
        if depth < 0:
            break
        if depth:
            continue
        past = token.start >= offset
        if token.text == "=" and words[number - 1].kind == "name":
            given.append(words[number - 1].text)
            if not past:
                argument = words[number - 1].text
        elif token.text == "," and not past:
            commas, argument = commas + 1, ""
    return CallAt(name, words[at].text, tuple(given), argument, commas)


# Colours


def colours(text: str, names: Names | None) -> Iterator[tuple[Token, str, bool]]:
    """Each word that has a colour, with its kind and whether it is defined there."""
    places = {}
    if names is not None and names.file.span.source.text == text:
        places = {place.span.start: place for place in names.places}
    known = set(operations())
    found = [token for token in tokens(text) if token.kind not in ("space", "newline")]
    for number, token in enumerate(found):
        place = places.get(token.start)
        after = found[number + 1].text if number + 1 < len(found) else ""
        before = found[number - 1].text if number else ""
        if token.kind != "name":
            kind = COLOURS.get(token.kind, "")
        elif before == "@":
            kind = "decorator"
        elif place is not None:
            kind = "property" if after == "=" else SYMBOLS[place.symbol.kind]
        elif after == "=" and before in ("(", ","):
            kind = "property"
        elif before == "." or token.text not in known:
            kind = "variable" if before != "." else "property"
        else:
            kind = "function"
        if kind:
            yield token, kind, place is not None and place.defines


COLOURS = {
    "doc": "comment",
    "comment": "comment",
    "string": "string",
    "size": "number",
    "number": "number",
    "keyword": "keyword",
    "operator": "",
}
SYMBOLS = {
    "block": "class",
    "model": "class",
    "parameter": "parameter",
    "index": "parameter",
    "value": "variable",
    "input": "variable",
    "output": "variable",
    "size": "typeParameter",
    "label": "variable",
}
