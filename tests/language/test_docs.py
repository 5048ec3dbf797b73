"""The specification's examples run, and what it lists is what there is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from cnndsl.analysis.expect import check
from cnndsl.diagnostics import ArchError
from cnndsl.language.elaborate import MAX_DEPTH, MAX_NODES, elaborate
from cnndsl.language.functions import MAX_ITEMS
from cnndsl.language.modules import Loader
from cnndsl.language.names import operations
from cnndsl.language.syntax import MAX_CHARACTERS, MAX_WORDS
from cnndsl.ops import OPS
from cnndsl.ops.initial import INITS
from cnndsl.ops.values import signature

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "language.md"
TEXT = DOCUMENT.read_text(encoding="utf-8")
FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def _examples(language: str) -> Iterator[object]:
    for found in FENCE.finditer(TEXT):
        if found[1] == language:
            line = TEXT.count("\n", 0, found.start()) + 1
            yield pytest.param(found[2].split(), found[3], id=f"line {line}")


@pytest.mark.parametrize(("marks", "text"), list(_examples("arch")))
def test_an_example_elaborates_or_fails_as_it_says(marks: list[str], text: str) -> None:
    if "lines" in marks:
        text = f"model M: image[3, H=8, W=8] -> y {{\n{text}\n}}"
    wanted = {mark.removeprefix("error=") for mark in marks if mark.startswith("error=")}
    scope = Loader().text(text, "docs/language.md")
    assert scope.models
    for model in scope.models.values():
        try:
            elaborate(model)
            found = {d.code for d in check(model).diagnostics}
        except ArchError as error:
            found = {d.code for d in error.diagnostics}
        assert found == wanted


def test_the_keys_are_those_of_the_table() -> None:
    from tests.language.short import keys, net

    unit = "block Unit(c: int) { conv(c, 3x3) }"
    assert "stem.weight" in keys(net("stem: conv(8, 3x3)\ny: relu"))
    assert "conv.weight" in keys(net("conv(8, 3x3)\ny: relu"))
    assert "stem.1.weight" in keys(net("stem: conv(8, 3x3, norm=gn(2))\ny: relu"))
    chain = "features: conv(8, 3x3) -> relu -> conv(8, 3x3)\ny: relu"
    assert "features.2.weight" in keys(net(chain))
    joined = "a: add { conv(8, 1x1); conv(8, 3x3) }\ny: relu"
    assert "a_conv2.weight" in keys(net(joined))
    blocks = "blocks: for | c | n |\n| 8 | 2 |\n{ Unit(c) * n }\ny: relu"
    assert "blocks.0.1.conv.weight" in keys(net(blocks, above=unit))
    found = keys(net("y: { conv(8, 3x3) -> bn } * 2"))
    assert {"y.0.0.weight", "y.1.1.weight"} <= set(found)


EACH = "  (*S) → (*S)."


def _operations() -> str:
    """The operations by their signatures, each with the first line of its docstring."""
    alike: dict[str, list[str]] = {}
    for name in sorted(operations()):
        cls = OPS[name]
        shown = signature(cls) if cls.parameters or cls.fused else ""
        alike.setdefault(shown, []).append(name)
    rows = ["| operation | |", "|---|---|"]
    for shown, (first, *others) in alike.items():
        if shown and not others:
            rows.append(f"| `{first}({shown})` | {_about(first)} |")
            continue
        names = ", ".join(f"`{name}`" for name in (first, *others))
        after = (
            f" `({shown})`"
            if shown
            else ", without arguments; (*S) → (*S) where no shapes are said"
        )
        about = [f"`{name}` {_about(name).removesuffix(EACH)}" for name in (first, *others)]
        rows.append(f"| {names}{after} | {'<br>'.join(about)} |")
    return "\n".join(rows)


def _about(name: str) -> str:
    return (OPS[name].__doc__ or "").split("\n")[0].strip().replace("|", "\\|")


def test_every_operation_is_listed(request: pytest.FixtureRequest) -> None:
    before, rest = re.split(
        r"(?<=`pytest tests/language/test_docs.py --update-golden` -->)\n", TEXT
    )
    table, after = rest.split("<!-- end -->", 1)
    if request.config.getoption("--update-golden"):
        text = f"{before}\n\n{_operations()}\n\n<!-- end -->{after}"
        DOCUMENT.write_text(text, encoding="utf-8")
        return
    assert table.strip() == _operations()


def test_every_initialisation_is_listed() -> None:
    table = TEXT[TEXT.index("| initialisation |") : TEXT.index("They are `torch.nn.init`")]
    assert not [name for name in INITS if f"`{name}" not in table]


def test_the_limits_are_the_language_s() -> None:
    for limit in (MAX_NODES, 2 * MAX_NODES, MAX_DEPTH, MAX_CHARACTERS, MAX_WORDS, MAX_ITEMS):
        assert f"{limit:,}" in TEXT


def test_every_code_is_listed() -> None:
    table = TEXT[TEXT.index("## Messages") :]
    listed: set[str] = set()
    for first, last in re.findall(r"\b([EW]\d{3})(?:–[EW](\d{3}))?", table):
        stop = int(last or first[1:])
        listed |= {f"{first[0]}{number}" for number in range(int(first[1:]), stop + 1)}
    source = ROOT / "cnndsl"
    raised: set[str] = set()
    for path in source.rglob("*.py"):
        raised |= set(re.findall(r'"([EW]\d{3})"', path.read_text(encoding="utf-8")))
    assert {code for code in raised if not code.startswith("E6")} == listed


def test_the_seventeen_rules_are_numbered() -> None:
    rules = TEXT[TEXT.index("## Meaning") : TEXT.index("## Keys")]
    assert re.findall(r"^(\d+)\. ", rules, re.MULTILINE) == [str(n) for n in range(1, 18)]


def test_what_stands_for_a_line_of_pytorch_elaborates() -> None:
    table = TEXT.partition("## Coming from PyTorch")[2].partition("\n## ")[0]
    lines = [row for row in table.splitlines() if row.startswith("|")][2:]
    assert len(lines) > 40
    for line in lines:
        here = line.strip("| ").rpartition("|")[2].strip().strip("`")
        text = f"a: conv(8, 3x3)\nb: image -> relu\ny: a -> {here}"
        scope = Loader().text(f"model M: image[8, H=8, W=8] -> y {{\n{text}\n}}", "table")
        elaborate(scope.models["M"])
