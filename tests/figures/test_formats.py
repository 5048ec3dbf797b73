"""Every format of every style: hostile labels are words, the same input the same bytes."""

from __future__ import annotations

import inspect
import re
import zlib
from base64 import b64decode
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from io import BytesIO
from xml.etree import ElementTree

import click
import pytest
from fontTools.ttLib import TTFont

from cnndsl import loads
from cnndsl import network as network_module
from cnndsl.commands.draw import draw
from cnndsl.diagnostics import ArchError
from cnndsl.figures import Options, picture
from cnndsl.figures.blocks import blocks
from cnndsl.figures.compared.page import compared
from cnndsl.figures.heat import METRICS
from cnndsl.figures.mermaid import mermaid, quoted
from cnndsl.figures.paint import Path, Picture
from cnndsl.figures.palette import THEMES
from cnndsl.figures.pdf import pdf
from cnndsl.figures.svg import svg
from cnndsl.figures.tex import escaped
from cnndsl.figures.tikz import tikz
from cnndsl.figures.write import DETAILS, DIRECTIONS, STYLES
from cnndsl.graph import Network
from cnndsl.structure import Citation
from tests.figures.geometry import network

EVIL = (
    "<script>alert('x')</script> \"q\" `b` ]] --> end; %%{init} & #35; | $x_1^2$ "
    "\\write18{ls} ~ \u202eevil\u202c שלום \x00\x1b[31m\nsecond line"
)
SOURCE = """
block Unit { add { conv(4, 3x3) -> conv(4, 3x3)
  skip } }
model Net: image[4, H=8, W=8] -> y {
  a: Unit * 2
  pool(2)
  b: Unit * 2
  y: gap
}
"""
EACH = [(style, format) for style, formats in STYLES.items() for format in formats]
WORDS = r'"(?:[^"<>&`;%\\#]|<br/>|#\d+;)*"'
SIDE = r"[\[\](){}/\\]+"
NODE = re.compile(rf"  +b\d+{SIDE}{WORDS}{SIDE}:::\w+")
PLAIN = re.compile(
    r"flowchart TB|  direction TB|  +direction TB|  b\d+ --> b\d+|  +end"
    rf"|  +subgraph \w+\[{WORDS}\]"
    r"|  classDef \w+ fill:#\w{6},stroke:#\w{6},color:#\w{6}"
)


@cache
def hostile() -> Network:
    found = loads(SOURCE.replace("pool(2)", "maxpool(2x2, stride=2)"))
    about = replace(
        found.structure.definition,
        citations=(Citation(EVIL),),
        deviations=(EVIL + "ש" * 200, "y" * 500),
    )
    found.structure.definition = about
    found.name = EVIL
    for line in found.structure.body:
        line.labels = (EVIL + "z" * 200,)
    return found


def drawn(style: str, format: str, theme: str = "light") -> bytes:
    return picture(hostile(), format, options=Options(style, theme))


@pytest.mark.parametrize(("style", "format"), EACH)
def test_hostile_labels_are_written_the_same_twice(style: str, format: str) -> None:
    made = drawn(style, format)
    assert made == drawn(style, format)
    for character in ("\x00", "\x1b[31m", "\u202e"):
        if format not in ("png", "pdf"):
            assert character.encode() not in made


@pytest.mark.parametrize(
    ("style", "format"),
    [
        ("scale", "mmd"),
        ("scale", "dot"),
        ("scale", "md"),
        ("table", "svg"),
        ("terminal", "svg"),
    ],
)
def test_a_style_in_a_format_that_it_has_not_is_refused(style: str, format: str) -> None:
    with pytest.raises(ArchError, match=f"`{style}` cannot be written as .{format}"):
        drawn(style, format)


@pytest.mark.parametrize("style", ["blocks", "scale"])
@pytest.mark.parametrize("theme", ["light", "dark", "paper"])
def test_hostile_labels_are_words_of_an_svg(style: str, theme: str) -> None:
    root = ElementTree.fromstring(drawn(style, "svg", theme))
    tags = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert tags <= {
        "svg", "title", "desc", "metadata", "style", "g", "rect", "polygon", "path", "text",
    }  # fmt: skip
    named = {name for element in root.iter() for name in element.attrib}
    assert not any(name.startswith("on") or name.endswith("href") for name in named)


class _Scripts(HTMLParser):
    """What a browser would take for scripts, and for attributes that run."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts = 0
        self.handlers: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        self.handlers += [name for name, _ in attrs if name.startswith("on")]


@pytest.mark.parametrize(("style", "count"), [("blocks", 1), ("scale", 1), ("table", 0)])
def test_a_page_has_no_script_but_its_own(style: str, count: int) -> None:
    parser = _Scripts()
    parser.feed(drawn(style, "html").decode())
    assert parser.scripts == count
    assert not parser.handlers


@pytest.mark.parametrize("detail", ["stages", "blocks", "full"])
def test_every_line_of_a_flowchart_is_a_node_an_edge_or_a_frame(detail: str) -> None:
    for net in (hostile(), network("fpn_resnet50"), network("conv_kinds")):
        for line in mermaid(net, detail=detail).splitlines():
            assert NODE.fullmatch(line) or PLAIN.fullmatch(line), line


def test_a_flowchart_holds_every_box_and_edge_of_the_plan() -> None:
    text = mermaid(network("googlenet"))
    assert text.count(":::block") == 9
    assert text.count("subgraph") == 1
    assert '["3×3, 192<br/>conv3<br/>relu · lrn · 192×56²"]:::conv' in text


def test_words_of_a_flowchart_mean_nothing() -> None:
    assert quoted('a"b', "") == '"a#34;b"'
    assert quoted("#<&`;%") == '"#35;#60;#38;#96;#59;#37;"'


def test_tex_specials_are_escaped_and_what_it_has_not_is_no_fault() -> None:
    assert escaped("a_b & 5% $x$ #1 {c} ~ ^") == (
        r"a\_b \& 5\% \$x\$ \#1 \{c\} \textasciitilde{} \textasciicircum{}"
    )
    assert escaped(r"\write18{ls}") == r"\textbackslash{}write18\{ls\}"
    assert escaped("é × 112² ≤ ש") == r"e $\times$ 112$^2$ $\le$ ?"


@pytest.mark.parametrize("style", ["blocks", "scale"])
def test_a_tikz_picture_is_plain_tex(style: str) -> None:
    text = drawn(style, "tikz").decode()
    assert text.isascii()
    assert "\\write" not in text
    assert text.count("{") - text.count("\\{") == text.count("}") - text.count("\\}")
    drawing = text.partition("]\n")[2].partition("\\end{tikzpicture}")[0]
    for line in drawing.splitlines():
        assert line.startswith(("\\path[", "\\node[", "\\useasboundingbox"))
        assert line.endswith(";")
    # Every colour that is used is defined.
    used = set(re.findall(r"(?:fill|draw|text)=((?:fill|line)-\w+)", text))
    assert used <= set(re.findall(r"\\definecolor\{([\w-]+)\}", text))


def test_the_same_picture_is_as_wide_as_asked_in_tikz() -> None:
    found = compared(network("lenet5"), network("lenet5"))
    assert "paperwidth=240.94bp" in tikz(found, width_mm=85)


def test_hostile_changes_are_words() -> None:
    other = loads("model Other: image[4, H=8, W=8] -> y { y: gap }")
    made = svg(compared(hostile(), other))
    assert ElementTree.fromstring(made) is not None
    assert "<script" not in made


def test_a_page_is_as_large_as_its_picture_and_its_circles_are_round() -> None:
    for name in ("lenet5", "fpn_resnet50"):
        found = blocks(network(name))
        made = pdf(found)
        (box,) = set(re.findall(rb"/MediaBox \[([^]]*)\]", made))
        assert [float(n) for n in box.split()] == pytest.approx(
            [0, 0, found.width * 0.75, found.height * 0.75], abs=0.02
        )
    content = b"".join(
        zlib.decompress(part)
        for part in re.findall(rb"stream\n(.*?)\nendstream", made, re.DOTALL)
        if part[:1] == b"x"
    )
    # Four arcs of a circle of 22 pixels, one after the other.
    assert content.count(b" c\n") > 4


def test_a_curve_is_one_in_every_format() -> None:
    curve = Path(((0, 40), (0, 0), (80, 0), (80, 40)), arrow=True, curved=True)
    found = Picture(80, 40, [curve], "", "")
    assert 'd="M0,40C0,0 80,0 80,40"' in svg(found)
    assert "(0,40) .. controls (0,0) and (80,0) .. (80,40);" in tikz(found)
    (content, *_) = re.findall(rb"stream\n(.*?)\nendstream", pdf(found), re.DOTALL)
    assert b" 0 30 m 0 0 60 0 60 30 c " in zlib.decompress(content)


def test_the_letters_travel_with_a_picture() -> None:
    found = network("lenet5")
    for format in ("svg", "html"):
        text = picture(found, format).decode()
        assert text.count("@font-face") == 2
        assert 'lengthAdjust="spacing"' in text
    (data,) = re.findall(r"font-weight:700;src:url\(data:font/woff;base64,([^)]*)\)", text)
    letters = TTFont(BytesIO(b64decode(data)))
    outlines = letters["glyf"]
    shapes = {chr(code): outlines[name] for code, name in letters.getBestCmap().items()}
    assert all(shapes[c].numberOfContours for c in "linear,84")
    assert not shapes["Q"].numberOfContours


@pytest.mark.parametrize(
    ("option", "known"),
    [
        ("style", STYLES),
        ("theme", THEMES),
        ("detail", DETAILS),
        ("metrics", METRICS),
        ("direction", DIRECTIONS),
    ],
)
def test_the_command_offers_what_there_is(option: str, known: Iterable[str]) -> None:
    found = next(each for each in draw.params if each.name == option)
    assert isinstance(found.type, click.Choice)
    assert list(found.type.choices) == list(known)


@pytest.mark.parametrize(
    ("options", "format", "engine", "message"),
    [
        (Options("table", "dark"), "md", None, "the style `table` in .md takes no theme"),
        (Options(detail="full"), "txt", None, "the style `terminal` in .txt takes no detail"),
        (
            Options("scale", direction="right"),
            "svg",
            None,
            "the style `scale` in .svg takes no",
        ),
        (Options(width_mm=80), "mmd", None, "the style `blocks` in .mmd takes no width"),
        (Options(theme="dark"), "svg", "dot", "a layout by Graphviz takes no theme"),
        (Options("scale"), "svg", "dot", "Graphviz lays out the style `blocks` only"),
        (Options(), "md", "dot", "Graphviz lays out the style `blocks` only"),
    ],
)
def test_an_option_without_effect_is_refused(
    options: Options, format: str, engine: str | None, message: str
) -> None:
    with pytest.raises(ArchError, match=message) as caught:
        picture(hostile(), format, engine=engine, options=options)
    assert caught.value.diagnostics[0].code == "E611"


def test_the_command_and_the_method_take_the_same_options() -> None:
    takes = {*inspect.signature(network_module.Network.draw).parameters} - {"self", "path"}
    apart = {"file", "model", "parameters", "outputs", "inputs", "output", "help"}
    assert {str(option.name) for option in draw.params} - apart == takes


def test_a_block_to_open_that_the_network_does_not_have_is_an_error() -> None:
    with pytest.raises(ArchError, match="unknown block to open `Botleneck`") as raised:
        blocks(network("resnet50"), detail="stages", opened=("Botleneck",))
    assert "Bottleneck" in str(raised.value)
