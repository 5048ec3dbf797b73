"""One function says an operation: every operation has the same words in every output."""

from __future__ import annotations

import html
import re
from collections.abc import Callable

import pytest

from cnndsl.analysis.summary import summary
from cnndsl.figures.blocks import blocks
from cnndsl.figures.mermaid import mermaid
from cnndsl.figures.scale.page import scaled
from cnndsl.figures.svg import svg
from cnndsl.figures.table import markdown
from cnndsl.figures.terminal import terminal
from cnndsl.figures.tex import escaped
from cnndsl.figures.tikz import tikz
from cnndsl.graph import Network, Node
from cnndsl.structure import Block, Definition, Line, Step, Tensor
from tests.ops.cases import CASES, Case, identifier, made
from tests.ops.test_interpreter import SPAN, Build


def alone(case: Case) -> Network:
    """A network of one step, as elaboration makes it."""
    name, arguments, shapes = case
    build = Build()
    inputs = {f"x{n}": build.add(f"x{n}", "input", sizes=s)[0] for n, s in enumerate(shapes)}
    op = made(name, arguments, *shapes)
    build.wires.add(
        Node("y", op, ("y",), SPAN),
        [(tensor.node, tensor.output) for tensor in inputs.values()],
    )
    build.shapes["y"] = op.shapes(*shapes)
    outputs = tuple(Tensor("y", n, shape) for n, shape in enumerate(build.shapes["y"]))
    step = Step(1, name, ("y",), ("",), tuple(inputs.values()), outputs)
    source = tuple(inputs.values())
    line = Line(2, ("y",), (), True, None, False, source, [step], source, outputs)
    given = {f"out{n}": tensor for n, tensor in enumerate(outputs)}
    block = Block(Definition("M", SPAN), (), {}, {}, inputs, given, [line])
    return Network("M", build.wires, block, inputs, given, {}, build.shapes)


def squeezed(text: str) -> str:
    """Without spaces, by which lines are broken."""
    return re.sub(r"\s+", "", text)


def plain(text: str) -> str:
    """A page without its tags."""
    return html.unescape(re.sub(r"<[^>]*>", "", text))


SET = r"\\cnntext\{[^}]*\}\{[^}]*\}\{(?:\\bfseries )?(.*)\}\};"
OUTPUTS: dict[str, Callable[[Network], str]] = {
    "figure": lambda found: plain(svg(blocks(found))),
    "figure to scale": lambda found: plain(svg(scaled(found))),
    "Mermaid": lambda found: plain(mermaid(found).replace("#", "&#")),
    "TikZ": lambda found: "".join(re.findall(SET, tikz(blocks(found)))),
    "table": lambda found: plain(markdown(found)).replace("\\|", "|"),
    "terminal": terminal,
    "summary": lambda found: str(summary(found)),
}


SHOWN = [case for case in CASES if case[0] != "input" and all(map(min, case[2]))]
"""An input has a name; one without rows can be no network's."""
FIRST = {identifier(case) for case in {case[0]: case for case in reversed(SHOWN)}.values()}


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=name, marks=[] if name in FIRST else pytest.mark.slow)
        for case, name in ((case, identifier(case)) for case in SHOWN)
    ],
)
def test_an_operation_has_the_same_words_everywhere(case: Case) -> None:
    found = alone(case)
    said = found.node("y").op.said()
    for name, output in OUTPUTS.items():
        text = squeezed(output(found))
        for word in (said.title, *said.more):
            # A box whose size is the one that is asked for says it once.
            once = f"{found.shapes['y'][0][0]}×{word.removeprefix('size ')}"
            ways = (word, once) if word.startswith("size ") else (word,)
            wanted = [escaped(way) if name == "TikZ" else way for way in ways]
            assert any(squeezed(way) in text for way in wanted), (name, word)
