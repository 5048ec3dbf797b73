"""What the picture of an opened block says holds in every call that the picture stands for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from cnndsl.figures.blocks import arranged
from cnndsl.figures.blocks import blocks as drawn
from cnndsl.figures.paint import Area, leaves
from cnndsl.figures.plan import plan
from cnndsl.figures.scene import Box, Frame
from cnndsl.figures.text import label_text, spell_argument
from cnndsl.figures.titles import Sayer, _turns, sayer
from cnndsl.figures.walk import given, varying
from cnndsl.files import shipped
from cnndsl.graph import Network
from cnndsl.network import load, loads
from cnndsl.ops.base import Op
from cnndsl.ops.facts import Family
from cnndsl.structure import Call, Tensor
from cnndsl.symbolic import strip
from tests.figures.geometry import network

ZOO = sorted(shipped())
FURTHER = sorted((Path(__file__).parents[1] / "further").glob("*.arch"))
WHEN = re.compile(r"(?:^| )((?:if|unless) .*|not always)$")
WEIGHTY = (Family.CONV, Family.DEPTHWISE, Family.LINEAR)
SIGNS = (
    ("≤", "<="),
    ("≥", ">="),
    ("≠", "!="),
    ("·", "*"),
    ("−", "-"),
    ("/", "//"),
    ("c′", "in.c"),
)


def holds(said: str, call: Call) -> bool:
    """A condition, in the names of a call."""
    word, _, text = said.partition(" ")
    text = re.sub(r"(?<![<>!=])=(?!=)", "==", text)
    for shown, written in SIGNS:
        text = text.replace(shown, written)
    text = re.sub(r"len\((\w+)\)", lambda m: str(count(call, m[1])), text)
    text = re.sub(r"\b(\w+)\.c\b", lambda m: str(int(port(call, m[1]).shape[0])), text)
    known = {**call.block.names, "none": None, "max": max, "min": min}
    known = {name: strip(value) for name, value in known.items()}
    return bool(eval(text, {"__builtins__": {}}, known)) == (word == "if")


def count(call: Call, stem: str) -> int:
    if isinstance(values := call.block.names.get(stem), tuple):
        return len(values)
    return sum(name.rpartition("[")[0] == stem for name in call.block.inputs)


def port(call: Call, name: str) -> Tensor:
    return call.block.inputs[name]


def opened(found: Network) -> Iterator[Frame]:
    """The frames of a network's blocks."""
    for closed in (False, True):
        for frame in plan(found, folding=True, closed=closed).frames:
            if frame.calls and frame.scene and not frame.quiet:
                yield frame


def column(frame: Frame, name: str) -> tuple[str, ...]:
    place = frame.nodes[0].index(name)
    return tuple(nodes[place] for nodes in frame.nodes)


def faults(found: Network) -> list[str]:
    """Each falsity, in words."""
    say = sayer(found)
    done = []
    for frame in opened(found):
        for box in frame.scene.boxes() if frame.scene else ():
            done += [f"{frame.title}: {text}" for text in about(found, frame, box, say)]
        done += [f"{frame.title}: {text}" for text in wires(found, frame)]
    return done


def about(found: Network, frame: Frame, box: Box, say: Sayer) -> Iterator[str]:
    if not box.nodes or box.beside > 1:
        return
    said = say(box, frame)
    words = (said.title, *said.small)
    yield from named(frame, words)
    if box.frame is not None:
        # It is there in a call that has any of it; what it has is its own frame's to say.
        place = {n: i for i, n in enumerate(frame.nodes[0])}
        there = [any(nodes[place[n]] for n in box.nodes) for nodes in frame.nodes]
        yield from conditional(frame, there, box.condition, said.title)
        yield from arguments(frame, box, said.arguments)
        return
    if box.count > 1:
        return
    main = column(frame, box.parts[0])
    join = found.node(box.parts[0]).op.join
    if not join or box.condition:
        yield from conditional(frame, [*map(bool, main)], box.condition, said.title)
    tags = said.tags
    for name, tag in zip(box.parts[1:], tags, strict=False):
        when = WHEN.search(tag)
        there = [bool(n) for n, first in zip(column(frame, name), main, strict=True) if first]
        calls = [c for c, first in zip(frame.calls, main, strict=True) if first]
        if when and when[1] != "not always":
            if [holds(when[1], call) for call in calls] != there:
                yield f"{tag!r} of {said.title!r} does not hold"
        elif not all(there) and not when and tag not in names(frame):
            yield f"{tag!r} of {said.title!r} is not in all calls"
    ops = [found.node(name).op for name in main if name]
    shared = {word for note in say.notes for word in re.split(r"[:,] ", note)}
    yield from equal(ops, said.title, said.attributes, shared)
    for name, call in zip(main, frame.calls, strict=True):
        weighty = found.node(name).op.family in WEIGHTY if name else False
        if weighty and not re.search("[–|]", said.title):
            own, known = filled(found.node(name).op.said().title), filled(said.title, call)
            if own != known:
                yield f"{said.title!r} is {known!r} in a call that has {own!r}"
    if len({family(found, name) for name in main if name}) > 1 and box.family != ops[0].family:
        yield f"{said.title!r} looks like the first call's"


def filled(title: str, call: Call | None = None) -> str:
    """A title with the values of a call; a stride of 1 is not said."""
    parts = re.split(r"(×|, (?![^()]*\))| /| ↑| (?![^()]*\)))", re.sub("[²³]$", "", title))
    if call is not None:
        parts = [str(_worked(p, call)) if re.search("[a-z]", p) else p for p in parts]
    text = "".join(parts)
    square = re.sub(r"\b(\d+)×\1(×\1)?\b", r"\1", text)
    return re.sub(r" [/↑](1×)*1(?![\d×])", "", square)


def arguments(frame: Frame, box: Box, words: Sequence[str]) -> Iterator[str]:
    """What a closed block says that it is given, against what each of its calls is given."""
    shut = box.frame is None or not box.frame.calls
    calls = [] if shut else [pair for turn in _turns(box, frame) for pair in turn]
    for word in words:
        match = re.fullmatch(r"(?:its )?(\w+)(?: = (.+)| ([^,/–…| ]+)|)", word)
        inner = calls[0][1].block if calls else None
        if inner and (match is None or match[1] not in inner.names):
            columns = [
                [_worked(word, outer) == strip(call.block.names[name]) for outer, call in calls]
                for name in inner.arguments
            ]
            if not re.search("[ ,–…|]|^[0-9]", word) and not any(map(all, columns)):
                yield f"{box.title!r} says {word!r}, which is no argument of all calls"
            continue
        if match is None or (match[2] and re.search("[,–…|]", match[2])):
            continue  # of several turns, or a range
        name, formula, value = match.groups()
        given_here = {*given([call.block for call in frame.calls])[0]}
        if formula is not None and word[:4] != "its " and name in given_here:
            yield f"{box.title!r} says {word!r}, and its frame has another {name}"
        for outer, call in calls:
            known, here = call.block.names[name], strip(call.block.names[name])
            if value is not None:
                right = spell_argument(here, whole=False) == value
            elif formula is not None:
                right = _worked(formula, outer) in (here, formula)
            else:
                right = known is True or here == strip(outer.block.names.get(name))
            if not right:
                yield f"{box.title!r} says {word!r}, and a call has {here}"


def _worked(formula: str, call: Call) -> object:
    """A formula in the names of a call; itself where it is none."""
    text = formula
    for shown, written in SIGNS:
        text = text.replace(shown, written)
    try:
        text = re.sub(r"\b(\w+)\.c\b", lambda m: str(int(port(call, m[1]).shape[0])), text)
        text = re.sub(
            r"\b(\w+)\.shape\[(\d)\]",
            lambda m: str(int(port(call, m[1]).shape[int(m[2])])),
            text,
        )
        known = {name: strip(value) for name, value in call.block.names.items()}
        value = eval(text, {"__builtins__": {}}, {"max": max, "min": min, **known})
    except (KeyError, NameError, SyntaxError):
        return formula
    if isinstance(value, tuple):
        return "×".join(map(str, dict.fromkeys(value)))
    return getattr(value, "name", value)


def family(found: Network, name: str) -> object:
    op, shapes = found.node(name).op, found.input_shapes(name)
    window = op.window(*shapes) if len(shapes) == 1 else None
    return op.family, window is not None and 1 < window.groups == shapes[0][0]


def names(frame: Frame) -> set[str]:
    """The parameters that have values in the calls of a frame."""
    return set(varying(given([call.block for call in frame.calls])))


def named(frame: Frame, words: Sequence[str]) -> Iterator[str]:
    """Names that say nothing to a reader: without values, or of the block's inner lines."""
    block = frame.calls[0].block
    own = {*block.names} - names(frame)
    own -= {str(strip(v)) for v in block.names.values()} | {
        name for name in own if name.isupper()
    }
    for word in words:
        text = WHEN.search(word)
        formulas = re.findall(r"[\w.]*[·/+−][\w.·/+−]*", word) + ([text[1]] if text else [])
        for formula in formulas:
            lost = set(re.findall(r"(?<![.\w])[A-Za-z_]\w*(?![\w′])", formula)) & own
            if lost:
                yield f"{sorted(lost)} of {word!r} have no value here"


def conditional(frame: Frame, there: Sequence[bool], said: str, title: str) -> Iterator[str]:
    if not said:
        if not all(there):
            yield f"{title!r} is not in all calls"
    elif said != "not always" and [holds(said, call) for call in frame.calls] != [*there]:
        yield f"{title!r} is not there just {said!r}"


def equal(
    ops: Sequence[Op], title: str, more: Sequence[str], shared: set[str]
) -> Iterator[str]:
    """A word that one call's operation has by itself, and another has not.

    What is `shared` by all norms stands under the picture.
    """
    every = [op.said() for op in ops]
    if title in {words.title for words in every} and len({words.title for words in every}) > 1:
        yield f"the title {title!r} is not that of all calls"
    for word in more:
        plain = [word in words.more for words in every]
        if any(plain) and not all(plain) and word not in ("no bias", "bias"):
            yield f"{word!r} of {title!r} is not that of all calls"
    for words in every:
        unsaid = {word for word in words.more if "bias" not in word} - {*more} - shared
        other = [word for word in more if all(word not in one.more for one in every)]
        if unsaid and not other:
            yield f"{sorted(unsaid)} of {title!r} is not said"


def wires(found: Network, frame: Frame) -> Iterator[str]:
    """An edge that is not dashed, between layers that a call has and does not join."""
    assert frame.scene is not None
    known = {box.key: box for box in frame.scene.boxes()}
    place = {name: number for number, name in enumerate(frame.nodes[0])}
    for edge in frame.scene.edges:
        head = known[edge.head]
        if edge.dashed or head.frame is not None or head.count > 1 or head.beside > 1:
            continue
        for name in head.nodes:
            for tensor in edge.tensors:
                if (tensor.node, tensor.output) not in found.operands(name):
                    continue
                if tensor.node not in place:
                    continue
                for nodes in frame.nodes:
                    tail, reader = nodes[place[tensor.node]], nodes[place[name]]
                    if tail and reader and (tail, tensor.output) not in found.operands(reader):
                        yield f"{tail} does not lead to {reader}"


@pytest.mark.parametrize("name", ZOO)
def test_frames_of_shipped_networks_are_true(name: str) -> None:
    assert not faults(network(name))


@pytest.mark.parametrize("path", FURTHER, ids=lambda path: path.stem)
def test_frames_of_other_networks_are_true(path: Path) -> None:
    assert not faults(load(path))


PROGRAM = """
block B(c: int, norm: op = bn, act: op = relu, drop: float = 0.0, wide: bool = false) {
  conv(c, 3x3, norm=norm, act=act)
  conv(c, 3x3, groups=in.c if wide else 1) -> { dropout(drop) when drop > 0 } -> relu
}
block Plain(c: int, norm: op = bn) { leaky -> conv(c, 3x3, norm=norm, bias=false) }
block First(c: int, act: op = none) { act -> conv(c, 3x3) -> bn }
block Gate(c: int, r: int = 4) {
  mul { in; gap(keep=true) -> conv(c // r, 1x1) -> conv(c, 1x1) }
}
block Stack(c: int, n: int) {
  let half = c // 2
  let wide = half > 8
  f: for i in 0..n {
    conv(c, 3x3) when i < 2 or wide
    dropout(0.5) when i > 0 and wide
  }
}
block Pyramid(c: int, rates: list[int]) {
  for i in 0..len(rates) { b[i]: in -> conv(c, 3x3, dilation=rates[i]) }
  concat { b[*] } -> relu
}
block Merge(c: int, up: bool): (a, *b) -> y {
  t: a -> { resize(b[0].size) when up }
  y: concat { t -> conv(c, 1x1); b[*] } -> conv(c, 3x3)
}
model M: x[16, H=64, W=64] -> y {
  a: B(16) -> B(16, norm=none) -> B(16, act=none)
    -> B(16, act=silu, drop=0.1) -> B(32, wide=true)
  b: a -> Plain(32) -> Plain(32, none) -> First(32) -> First(32, relu)
    -> Gate(32) -> Gate(32, 8)
  c: b -> Stack(16, 3) -> Stack(32, 3) -> Stack(64, 4)
  d: c -> Pyramid(16, [2, 4]) -> Pyramid(16, [1, 2, 3]) -> maxpool(2)
  m1: Merge(16, false) { b; a }
  m2: Merge(32, true) { d; a; b }
  y: concat { m1; m2; c } -> conv(8, 1x1)
}
"""

SAYS = {
    "B": [
        "3×3, c · bn if norm · act",
        "3×3, c · 16 groups if wide · dropout 0.1 if drop > 0 · relu",
    ],
    "Plain": ["leaky 0.01", "3×3, 32 · no bias · bn if norm"],
    "First": ["relu · if act", "3×3, 32 · bias · bn"],
    "Gate": ["global avg · axes kept", "1×1, 32/r", "1×1, 32", "×"],
    "Stack": ["3×3, c", "3×3, c · dropout 0.5 if c/2 > 8"],
    "Pyramid": [
        "3×3, 16 · rate rates[0]",
        "3×3, 16 · rate rates[1]",
        "3×3, 16 · rate 3 · if len(rates) > 2",
        "concat",
        "relu",
    ],
    "Merge": ["nearest 64² · if up", "1×1, c", "concat", "3×3, c", "dashed: if len(b) > 1"],
}


def said(found: Network) -> dict[str, list[str]]:
    """By frame the words of its boxes, and its notes."""
    say = sayer(found)
    return {
        frame.title: [
            " · ".join([words.title, *words.small])
            for box in frame.scene.boxes()
            if box.nodes and (words := say(box, frame))
        ]
        + frame.notes
        for frame in plan(found, folding=True, closed=True).frames
        if frame.scene
    }


def test_an_opened_block_says_when_it_has_what_and_names_what_differs() -> None:
    found = loads(PROGRAM)
    assert said(found) == SAYS
    assert not faults(found)


def test_a_block_opened_in_another_is_said_in_the_names_of_that() -> None:
    found = loads("""
block Conv(c: int, k: int) { conv(c, k, norm=bn) -> relu }
block Res(c: int) { add { Conv(c, 1) -> Conv(c, 3); skip } }
block Inner(q: int) { Res(q) -> Res(q) }
block Half(c: int) {
  let m = c // 2
  concat { in -> Conv(m, 1); in -> Conv(m, 1) -> Inner(m) } -> Conv(c, 1)
}
model M: x[8, H=64, W=64] -> y { y: Half(32) -> Half(64) }
""")
    first, second, res, *_ = said(found)["Half"]
    assert first == second == "1×1, c/2 · bn · relu"
    assert res == "Res · c/2"
    assert not faults(found)


def test_a_condition_of_an_inner_block_names_the_inputs_of_the_frame() -> None:
    found = loads("""
block Lateral(c: int) { conv(c, 1x1, norm=bn) when in.c != c }
block Neck(c: int): (p, q) -> (p2 as p, q2 as q) {
  a: p -> Lateral(c)
  b: q -> Lateral(c)
  p2: add { a; b -> resize(p.size) } -> conv(c, 3x3) -> relu
  q2: b -> conv(c, 3x3) -> relu
}
model M: x[8, H=32, W=32] -> y {
  down: x -> conv(16, 3x3, stride=2)
  neck: Neck(8) { x; down } -> Neck(8) -> Neck(8)
  y: add { neck.p; neck.q -> resize(neck.p.size) }
}
""")
    frame = next(f for f in opened(found) if f.title == "Neck")
    assert frame.scene is not None
    assert {b.condition for b in frame.scene.boxes() if b.condition} == {"if q.c ≠ 8"}


def test_what_differs_within_each_call_alone_is_no_condition() -> None:
    for frame in plan(network("res2net50"), folding=True, closed=True).frames:
        assert frame.scene is not None
        assert not frame.notes
        assert not any(edge.dashed for edge in frame.scene.edges)


def test_calls_with_other_inputs_have_a_frame_of_their_own() -> None:
    found = load(FURTHER[0].with_name("dla34.arch"))
    for frame in opened(found):
        for call in frame.calls:
            assert {*call.block.inputs} == {*frame.calls[0].block.inputs}
    ports = [
        [box.title for box in frame.scene.boxes() if not box.nodes]
        for frame in opened(found)
        if frame.title.startswith("Tree") and frame.scene
    ]
    assert ["x", "heard[0]", "y"] in ports


def test_what_is_read_from_within_a_block_is_an_output_of_its_frame() -> None:
    (frame,) = (
        f
        for f in opened(network("ssdlite320_mobilenetv3"))
        if f.title == "MobileNetV3LargeBody"
    )
    assert frame.scene is not None
    ends = [box.title for box in frame.scene.boxes() if not box.nodes]
    assert ends == ["image", "last", "bneck[12].expand"]
    # Its block gives maps of two sizes, and is no taller for it where there are no lanes.
    page = arranged(network("ssdlite320_mobilenetv3"))
    (panel,) = (one for one in page.insets if one.frame and one.frame.title == frame.title)
    spots = {label_text(spot.box.labels): spot for spot in panel.piece.spots}
    assert spots["bneck[12]"].height == spots["bneck[6]"].height


GROUPED = """
block Sep(c: int, dw: bool = true) { conv(in.c, 3x3, groups=in.c if dw else 1) -> conv(c, 1x1) }
model M: x[16, H=32, W=32] -> y { y: Sep(16) -> Sep(32) -> Sep(32, FLAG) }
"""


@pytest.mark.parametrize("flag", ["true", "false"])
def test_a_box_looks_depthwise_only_if_it_is_so_in_all_calls(flag: str) -> None:
    (frame,) = plan(loads(GROUPED.replace("FLAG", flag)), folding=True, closed=True).frames
    assert frame.scene is not None
    first = next(box for box in frame.scene.boxes() if box.nodes)
    assert first.family is (Family.DEPTHWISE if flag == "true" else Family.CONV)


def test_the_last_part_of_a_split_is_the_rest() -> None:
    found = loads("""
block Part(c: int, wide: bool) {
  a: in -> { conv(2 * c, 1x1) when wide }
  b: split([c, a.c - c])
  concat { b[1]; b[0] } -> relu
}
model M: x[24, H=32, W=32] -> y { y: Part(8, false) -> Part(4, false) -> Part(8, true) }
""")
    assert said(found)["Part"][1] == "split c, rest"


def test_a_part_that_is_always_there_has_no_dashed_outline() -> None:
    picture = drawn(network("efficientnet_b0"))
    dashed = [a for a in leaves(picture.parts) if isinstance(a, Area) and a.dashed]
    assert {a.role for a in dashed} == {"scope", "frame"}
    assert sum(a.role == "scope" for a in dashed) == 2  # the expansion and the drop path


def test_inputs_stand_in_declared_order_where_a_row_is_broken() -> None:
    found = loads("""
block Twin: x[1, H, W] -> e[4096] {
  default conv(pad=valid, act=relu)
  x -> conv(64, 10x10) -> maxpool(2) -> conv(128, 7x7) -> maxpool(2) -> conv(256, 4x4)
  e: flatten -> linear(4096, act=sigmoid)
}
model M: (a[1, H=105, W=105], b[1, H, W]) -> same[1] {
  twin: Twin each { a; b }
  d: add { twin[0]; twin[1] -> mul(-1) }
  distance: add { d -> relu; d -> mul(-1) -> relu }
  same: linear(1, act=sigmoid)
}
""")
    spots = arranged(found, direction="right").main.piece.spots
    one, two = (spot for spot in spots if spot.box.title in ("a", "b"))
    assert (one.box.title, two.box.title) == ("a", "b")
    assert one.y < two.y < one.y + 100
