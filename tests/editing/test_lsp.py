"""`cnndsl lsp`, asked by a scripted client."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import pytest
from lsprotocol import types as lsp
from pygls.exceptions import JsonRpcException

from cnndsl.diagnostics import Source
from cnndsl.editing.layout import layout
from cnndsl.editing.positions import Drift, Positions
from cnndsl.files import shipped
from tests.editing.client import Editor

LIBRARY = """\
\"\"\"Two convolutions.\"\"\"
@cite("arXiv:1512.03385")
block Unit(c: int, s: int = 1) {
  first: conv(c, 3x3, stride=s)
  second: conv(c, 3x3)
}
"""
MODEL = """\
use "unit.arch" (Unit)

let wide = 32

@expect(stem=[16, 32, 32], body.first=[32, 32, 32])
model Net(classes: int = 10): image[3, H=32, W=32] -> logits[classes] {
  stem: conv(16, 3x3, norm=bn, act=relu)
  body: Unit(wide)   # × 🎉
  half: add { body; Unit(wide, s=1) * 2 } -> maxpool(2)
  logits: gap -> linear(classes)
}
"""


@pytest.fixture(scope="module")
def editor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Editor]:
    found = Editor(tmp_path_factory.mktemp("work").resolve())
    yield found
    found.close()


@pytest.fixture
def model(editor: Editor) -> str:
    (editor.root / "unit.arch").write_text(LIBRARY)
    uri = editor.open("net.arch", MODEL)
    assert editor.diagnostics(uri) == []
    return uri


def at(text: str, words: str, into: int = 0) -> lsp.Position:
    """The place of some words, in UTF-16 units."""
    offset = text.index(words) + into
    return lsp.Position(*Positions(Source("", text)).position(offset))


def under(text: str, range: lsp.Range) -> str:
    """The words in a range."""
    positions = Positions(Source("", text))
    ends = [positions.offset(p.line, p.character) for p in (range.start, range.end)]
    return text[ends[0] : ends[1]]


def applied(text: str, edits: list[lsp.TextEdit]) -> str:
    positions = Positions(Source("", text))
    for edit in sorted(edits, key=lambda e: (e.range.start.line, e.range.start.character))[
        ::-1
    ]:
        start, stop = (
            positions.offset(p.line, p.character) for p in (edit.range.start, edit.range.end)
        )
        text = text[:start] + edit.new_text + text[stop:]
    return text


def document(uri: str) -> lsp.TextDocumentIdentifier:
    return lsp.TextDocumentIdentifier(uri)


# Diagnostics


def test_a_fault_is_shown_with_its_second_place(editor: Editor) -> None:
    text = "model Bad: image[3, H=8, W=8] -> y {\n  y: conv(64, 3x3, groups=2)\n}\n"
    uri = editor.open("bad.arch", text)
    (found,) = editor.diagnostics(uri)
    assert (found.code, found.severity) == ("E401", lsp.DiagnosticSeverity.Error)
    assert under(text, found.range) == "groups=2"
    assert found.related_information
    (second,) = found.related_information
    assert under(text, second.location.range) == "image[3, H=8, W=8]"
    assert second.location.uri == uri


def test_a_mended_fault_goes_and_a_new_one_comes(editor: Editor, model: str) -> None:
    editor.change(model, MODEL.replace("maxpool", "maxpol"))
    (found,) = editor.diagnostics(model)
    assert "maxpol" in found.message
    editor.change(model, MODEL)
    assert editor.diagnostics(model) == []


def test_a_fault_of_a_used_file_points_there(editor: Editor) -> None:
    (editor.root / "broken.arch").write_text("block Unit {\n  conv(8,\n}\n")
    uri = editor.open("user.arch", 'use "broken.arch" (Unit)\n')
    (found,) = editor.diagnostics(uri)
    assert found.range.start == lsp.Position(0, 0)
    assert found.related_information
    assert found.related_information[0].location.uri.endswith("/broken.arch")


def test_what_is_not_saved_counts_in_other_files(editor: Editor, model: str) -> None:
    unit = editor.open("unit.arch", LIBRARY)
    assert editor.diagnostics(unit) == []
    editor.change(unit, LIBRARY.replace("block Unit", "block Other"))
    assert editor.diagnostics(unit) == []
    (found,) = editor.diagnostics(model)
    assert found.code == "E207"
    editor.change(unit, LIBRARY)
    assert editor.diagnostics(model) == []
    editor.client.text_document_did_close(lsp.DidCloseTextDocumentParams(document(unit)))


def test_columns_are_utf_16_units(editor: Editor) -> None:
    line = '  let a = ["🎉×"] + maxpol  # × 🎉'
    text = f"model M: image[3, H=8, W=8] -> y {{\n{line}\n  y: relu\n}}\n"
    uri = editor.open("wide.arch", text)
    (found,) = editor.diagnostics(uri)
    assert found.range.start == lsp.Position(1, line.index("maxpol") + 1)
    assert under(text, found.range) == "maxpol"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32"])
def test_positions_there_and_back(encoding: str) -> None:
    text = "a × b\n🎉🎉 x\n\nlast\u2028line\x0c!"
    positions = Positions(Source("", text), encoding)
    for offset in range(len(text) + 1):
        assert positions.offset(*positions.position(offset)) == offset
    assert positions.offset(99, 0) == len(text)
    assert positions.offset(0, 99) == 5
    assert Positions(Source("", "🎉x")).position(1) == (0, 2)


def test_a_place_drifts_with_what_stands_around_it() -> None:
    drift = Drift.between("abc def", "abcX def")
    assert [drift.forth(offset) for offset in (0, 3, 4)] == [0, 3, 5]
    assert [drift.back(offset) for offset in (2, 4, 8)] == [2, 3, 7]
    assert Drift.between("abc def", "abXXX def").back(4) is None


# Hover, shapes


def hovered(editor: Editor, uri: str, position: lsp.Position) -> str:
    found = editor.ask("text_document_hover", lsp.HoverParams(document(uri), position))
    return str(found.contents.value) if found is not None else ""


def test_hover_tells_an_operation(editor: Editor, model: str) -> None:
    text = hovered(editor, model, at(MODEL, "conv(16", 1))
    assert "conv(out, kernel, stride=1" in text
    assert "cross-correlation" in text
    assert "3×32×32 → 16×32×32" in text
    assert "parameters: 464" in text
    assert "multiply-adds: 442,368" in text
    assert "receptive field: 3" in text


def test_hover_tells_an_initialisation(editor: Editor, model: str) -> None:
    text = MODEL.replace("conv(16, 3x3", "conv(16, 3x3, init=kaiming_normal")
    editor.change(model, text)
    found = hovered(editor, model, at(text, "kaiming_normal", 1))
    assert 'kaiming_normal(mode="fan_in", a=0.0, nonlinearity="leaky_relu")' in found
    assert "leaky ReLU of slope a" in found


def test_hover_tells_a_block_and_where_it_is_used(editor: Editor, model: str) -> None:
    text = hovered(editor, model, at(MODEL, "Unit(wide) ", 1))
    assert "block Unit(c: int, s: int = 1)" in text
    assert "Two convolutions." in text
    assert "**16×32×32 → 32×32×32**" in text
    text = hovered(editor, model, at(MODEL, "Unit(wide, s"))
    assert "**32×32×32 → 32×32×32** in 2 places" in text


def test_hover_tells_a_label_a_value_and_an_argument(editor: Editor, model: str) -> None:
    assert "32×16×16" in hovered(editor, model, at(MODEL, "half:", 1))
    assert "let wide = 32" in hovered(editor, model, at(MODEL, "wide)"))
    assert "**10**" in hovered(editor, model, at(MODEL, "classes)\n"))
    assert "norm" not in hovered(editor, model, at(MODEL, "# ×", 1))


def test_hover_in_a_library_tells_what_the_open_models_say(editor: Editor, model: str) -> None:
    uri = editor.open("unit.arch", LIBRARY)
    text = hovered(editor, uri, at(LIBRARY, "conv(c, 3x3, stride", 1))
    assert "16×32×32 → 32×32×32" in text
    assert "in 3 places" in text
    editor.client.text_document_did_close(lsp.DidCloseTextDocumentParams(document(uri)))


def hints(editor: Editor, uri: str) -> list[tuple[int, str]]:
    whole = lsp.Range(lsp.Position(0, 0), lsp.Position(999, 0))
    params = lsp.InlayHintParams(document(uri), whole)
    found = editor.ask("text_document_inlay_hint", params)
    return [(hint.position.line, hint.label) for hint in found]


def test_shapes_stand_at_the_ends_of_lines(editor: Editor, model: str) -> None:
    assert hints(editor, model) == [
        (6, "→ 16×32×32"),
        (7, "→ 32×32×32"),
        (8, "→ 32×16×16"),
        (9, "→ 10"),
    ]
    editor.change(model, MODEL.replace("maxpool(2)", "maxpool(4)"))
    assert hints(editor, model)[2] == (8, "→ 32×8×8")
    editor.change(model, MODEL.replace("maxpool(2)", "maxpool(4"))
    # Half a line: what was known before is not shown at a wrong place.
    assert all(label for _, label in hints(editor, model))


# Completion


def proposed(editor: Editor, uri: str, position: lsp.Position) -> list[str]:
    params = lsp.CompletionParams(document(uri), position)
    return [item.label for item in editor.ask("text_document_completion", params)]


@pytest.mark.parametrize(
    ("before", "there", "absent"),
    [
        ("  new: ", ["conv", "Unit", "stem", "skip"], ["same"]),
        ("  new: stem -> max", ["maxpool", "Unit"], []),
        ("  new: conv(8, 3x3, ", ["stride=", "pad=", "norm=", "act=", "wide"], ["out="]),
        ("  new: conv(8, 3x3, stride=2, pad=", ["same", "valid"], ["pad="]),
        ("  new: resize(4, mode=", ['"nearest"', '"bilinear"'], []),
        ("  new: Unit(", ["c=", "s="], []),
        ("  new: conv(8, 3x3, init=", ["kaiming_normal", "zeros", "bilinear"], ["init="]),
        ("  new: linear(8, init=kaiming_normal(", ["mode=", "a=", "nonlinearity="], []),
        ("  new: linear(8, init=kaiming_normal(mode=", ['"fan_in"', '"fan_out"'], []),
        ("  new: body.", ["first", "second", "c", "shape"], ["conv"]),
        ("  new: stem when ", ["classes", "wide", "true"], []),
        ("  @", ["cite", "expect"], ["conv"]),
    ],
)
def test_completion_fits_the_place(
    editor: Editor, model: str, before: str, there: list[str], absent: list[str]
) -> None:
    text = MODEL.replace("  logits:", f"{before}\n  logits:")
    editor.change(model, text)
    found = proposed(editor, model, at(text, f"{before}\n", len(before)))
    assert set(there) <= set(found)
    assert not set(absent) & set(found)


def test_completion_of_files_and_of_what_they_hold(editor: Editor, model: str) -> None:
    text = 'use "'
    editor.change(model, text)
    found = proposed(editor, model, lsp.Position(0, 5))
    assert {"unit.arch", "lib/resnet.arch", "resnet50.arch"} <= set(found)
    text = 'use "lib/resnet.arch" ('
    editor.change(model, text)
    assert "Bottleneck" in proposed(editor, model, lsp.Position(0, len(text)))
    editor.change(model, "block A(c: ")
    assert {"int", "op", "size"} <= set(proposed(editor, model, lsp.Position(0, 11)))
    editor.change(model, "")
    assert {"block", "model", "use"} <= set(proposed(editor, model, lsp.Position(0, 0)))


# Names


def defined(editor: Editor, uri: str, position: lsp.Position) -> tuple[str, lsp.Range]:
    params = lsp.DefinitionParams(document(uri), position)
    found = editor.ask("text_document_definition", params)
    return found.uri, found.range


def test_definition_through_use(editor: Editor, model: str) -> None:
    uri, place = defined(editor, model, at(MODEL, "Unit(wide) ", 1))
    assert uri.endswith("/unit.arch")
    assert under(LIBRARY, place) == "Unit"
    assert place.start.line == 2
    uri, place = defined(editor, model, at(MODEL, "body.first", 6))
    assert (under(LIBRARY, place), place.start.line) == ("first", 3)
    uri, place = defined(editor, model, at(MODEL, "unit.arch", 2))
    assert uri.endswith("/unit.arch")
    uri, place = defined(editor, model, at(MODEL, "body; Unit"))
    assert (uri, place.start.line) == (model, 7)


def test_references_in_all_files(editor: Editor, model: str) -> None:
    def lines(position: lsp.Position, *, declaration: bool = True) -> list[tuple[str, int]]:
        context = lsp.ReferenceContext(declaration)
        params = lsp.ReferenceParams(context, document(model), position)
        found = editor.ask("text_document_references", params)
        return sorted((p.uri.rpartition("/")[2], p.range.start.line) for p in found)

    assert lines(at(MODEL, "Unit(wide) ")) == [
        ("net.arch", 0),
        ("net.arch", 7),
        ("net.arch", 8),
        ("unit.arch", 2),
    ]
    assert lines(at(MODEL, "body:")) == [("net.arch", 4), ("net.arch", 7), ("net.arch", 8)]
    assert lines(at(MODEL, "s=1")) == [("net.arch", 8), ("unit.arch", 2), ("unit.arch", 3)]
    assert len(lines(at(MODEL, "body:"), declaration=False)) == 2


def renamed(editor: Editor, uri: str, position: lsp.Position, name: str) -> dict[str, str]:
    params = lsp.RenameParams(document(uri), position, name)
    found = editor.ask("text_document_rename", params)
    texts = {"net.arch": MODEL, "unit.arch": LIBRARY}
    return {
        (short := address.rpartition("/")[2]): applied(texts[short], edits)
        for address, edits in found.changes.items()
    }


def test_a_label_is_renamed_everywhere_and_its_keys_are_spoken_of(
    editor: Editor, model: str
) -> None:
    found = renamed(editor, model, at(MODEL, "body:"), "trunk")
    assert found == {"net.arch": MODEL.replace("body", "trunk")}
    assert any("state_dict" in message for message in editor.messages)
    found = renamed(editor, model, at(MODEL, "body.first", 6), "one")
    assert found == {
        "net.arch": MODEL.replace("body.first", "body.one"),
        "unit.arch": LIBRARY.replace("first:", "one:"),
    }


def test_a_block_and_a_parameter_are_renamed_through_use(editor: Editor, model: str) -> None:
    found = renamed(editor, model, at(MODEL, "Unit(wide) "), "Pair")
    assert found == {
        "net.arch": MODEL.replace("Unit", "Pair"),
        "unit.arch": LIBRARY.replace("Unit", "Pair"),
    }
    found = renamed(editor, model, at(MODEL, "s=1"), "step")
    assert found["net.arch"] == MODEL.replace("s=1", "step=1")
    assert "step: int = 1" in found["unit.arch"]
    assert "stride=step" in found["unit.arch"]


@pytest.mark.parametrize("name", ["model", "3x3", "a b", "", "stem", "Unit"])
def test_a_name_that_breaks_the_file_is_refused(editor: Editor, model: str, name: str) -> None:
    with pytest.raises(JsonRpcException):
        renamed(editor, model, at(MODEL, "body:"), name)


def test_a_name_of_a_shipped_file_is_not_renamed(editor: Editor) -> None:
    text = 'use "lib/resnet.arch" (Bottleneck)\nblock A { Bottleneck(8) }\n'
    uri = editor.open("shipped.arch", text)
    with pytest.raises(JsonRpcException, match="shipped"):
        renamed(editor, uri, at(text, "Bottleneck"), "Narrow")


def test_an_operation_has_no_other_name(editor: Editor, model: str) -> None:
    params = lsp.PrepareRenameParams(document(model), at(MODEL, "conv(16", 1))
    assert editor.ask("text_document_prepare_rename", params) is None
    params = lsp.PrepareRenameParams(document(model), at(MODEL, "stem:", 1))
    assert under(MODEL, editor.ask("text_document_prepare_rename", params)) == "stem"


def test_symbols_are_blocks_with_their_parameters_and_labels(
    editor: Editor, model: str
) -> None:
    params = lsp.DocumentSymbolParams(document(model))
    value, net = editor.ask("text_document_document_symbol", params)
    assert value.name == "wide"
    assert net.name == "Net"
    assert [c.name for c in net.children] == ["classes", "stem", "body", "half", "logits"]


def test_highlights_are_the_places_of_a_name(editor: Editor, model: str) -> None:
    params = lsp.DocumentHighlightParams(document(model), at(MODEL, "body:"))
    found = editor.ask("text_document_document_highlight", params)
    assert [h.range.start.line for h in found] == [4, 7, 8]


# Layout, colours, mends


@pytest.mark.parametrize("text", [MODEL, LIBRARY, "block A {\nconv( 8 )\n\n\n}", "", "\n\n\n"])
def test_formatting_is_that_of_fmt(editor: Editor, text: str) -> None:
    uri = editor.open("layout.arch", text)
    options = lsp.FormattingOptions(tab_size=2, insert_spaces=True)
    params = lsp.DocumentFormattingParams(document(uri), options)
    assert applied(text, editor.ask("text_document_formatting", params)) == layout(text)


def test_a_text_that_has_no_layout_stays(editor: Editor) -> None:
    uri = editor.open("layout.arch", "block A { conv(8 }")
    options = lsp.FormattingOptions(tab_size=2, insert_spaces=True)
    params = lsp.DocumentFormattingParams(document(uri), options)
    assert not editor.ask("text_document_formatting", params)


def test_words_have_their_colours(editor: Editor, model: str) -> None:
    legend = editor.about.capabilities.semantic_tokens_provider.legend.token_types
    params = lsp.SemanticTokensParams(document(model))
    data = editor.ask("text_document_semantic_tokens_full", params).data
    found: dict[str, str] = {}
    row = column = 0
    for at in range(0, len(data), 5):
        down, right, length, kind, _ = data[at : at + 5]
        row, column = row + down, right if down else column + right
        line = MODEL.split("\n")[row].encode("utf-16-le")
        word = line[2 * column : 2 * (column + length)].decode("utf-16-le")
        found.setdefault(word, legend[kind])
    assert found["model"] == "keyword"
    assert found["Unit"] == found["Net"] == "class"
    assert found["conv"] == found["gap"] == "function"
    assert found["classes"] == "parameter"
    assert found["norm"] == "property"
    assert found["3x3"] == found["16"] == "number"
    assert found["expect"] == "decorator"
    assert found["# × 🎉"] == "comment"


def mends(editor: Editor, uri: str, text: str) -> list[tuple[str, str]]:
    """The actions at the first fault, with what they make of the text."""
    editor.change(uri, text)
    found = editor.diagnostics(uri)
    context = lsp.CodeActionContext(found)
    params = lsp.CodeActionParams(document(uri), found[0].range, context)
    return [
        (action.title, applied(text, action.edit.changes[uri]))
        for action in editor.ask("text_document_code_action", params)
    ]


def test_a_misspelt_word_is_mended_by_one_key(editor: Editor, model: str) -> None:
    for wrong, right in (("maxpol(2)", "maxpool(2)"), ("nrom=bn", "norm=bn"), ("Unti", "Unit")):
        text = MODEL.replace(right, wrong, 1)
        title, mended = mends(editor, model, text)[0]
        assert title.startswith("Replace")
        assert mended == MODEL
    editor.change(model, MODEL)


def test_a_crlf_file_has_the_same_places(editor: Editor) -> None:
    text = MODEL.replace("maxpool", "maxpol").replace("\n", "\r\n")
    uri = editor.open("ends.arch", text)
    (found,) = editor.diagnostics(uri)
    assert found.range.start == at(MODEL, "maxpool")


def disturbed(text: str, dice: random.Random) -> str:
    """A text in the middle of an edit."""
    at = dice.randrange(len(text) + 1)
    match dice.randrange(5):
        case 0:
            return text[:at] + text[at + dice.randrange(20) :]
        case 1:
            return (
                text[:at]
                + dice.choice(['"', "(", "}", "{ ", "|", "🎉", "\n", "\r\n"])
                + text[at:]
            )
        case 2:
            return text[:at]
        case 3:
            return text[:at] + dice.choice(["conv(", "x: ", " -> ", "use ", "for "]) + text[at:]
    lines = text.split("\n")
    dice.shuffle(lines)
    return "\n".join(lines)


def asked(editor: Editor, uri: str, place: lsp.Position) -> None:
    """Every question at a place; none of them may fail."""
    here = document(uri)
    whole = lsp.Range(lsp.Position(0, 0), lsp.Position(999, 0))
    options = lsp.FormattingOptions(tab_size=2, insert_spaces=True)
    context = lsp.ReferenceContext(include_declaration=True)
    for name, params in {
        "hover": lsp.HoverParams(here, place),
        "inlay_hint": lsp.InlayHintParams(here, whole),
        "completion": lsp.CompletionParams(here, place),
        "definition": lsp.DefinitionParams(here, place),
        "references": lsp.ReferenceParams(context, here, place),
        "prepare_rename": lsp.PrepareRenameParams(here, place),
        "document_highlight": lsp.DocumentHighlightParams(here, place),
        "document_symbol": lsp.DocumentSymbolParams(here),
        "formatting": lsp.DocumentFormattingParams(here, options),
        "semantic_tokens_full": lsp.SemanticTokensParams(here),
        "code_action": lsp.CodeActionParams(here, whole, lsp.CodeActionContext([])),
    }.items():
        editor.ask(f"text_document_{name}", params)


def typed_at_random(editor: Editor, seconds: float, seed: int) -> int:
    """Edit by chance for so long; the number of edits."""
    dice = random.Random(seed)
    texts = [MODEL, LIBRARY, *(path.read_text() for path in shipped().values())]
    text = dice.choice(texts)
    uri = editor.open(f"random{seed}.arch", text)
    end, count = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        text = disturbed(text, dice) if dice.random() < 0.9 else dice.choice(texts)
        editor.change(uri, text)
        count += 1
        if dice.random() < 0.3:
            line = dice.randrange(text.count("\n") + 2)
            asked(editor, uri, lsp.Position(line, dice.randrange(60)))
    editor.change(uri, MODEL.replace("maxpool", "maxpol"))
    assert len(editor.diagnostics(uri)) == 1
    assert editor.alive()
    return count


def test_edits_by_chance_never_bring_it_down(editor: Editor, model: str) -> None:
    assert typed_at_random(editor, 8, seed=1) > 10


def test_who_types_on_is_waited_for(editor: Editor, model: str) -> None:
    while not editor.queue(model).empty():
        editor.queue(model).get_nowait()
    for number in range(30):
        editor.change(model, MODEL + "\n" * number)
    assert editor.diagnostics(model) == []
    assert editor.queue(model).empty()


def test_the_server_knows_its_abilities(editor: Editor) -> None:
    able = editor.about.capabilities
    for ability in (
        *("hover", "inlay_hint", "completion", "definition", "references", "rename"),
        *("document_symbol", "document_formatting", "semantic_tokens", "code_action"),
    ):
        assert getattr(able, f"{ability}_provider"), ability


def test_without_pygls_there_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from click.testing import CliRunner

    from cnndsl.cli import cli

    monkeypatch.setitem(sys.modules, "pygls", None)
    monkeypatch.setitem(sys.modules, "lsprotocol", None)
    for name in ("server", "abilities"):
        monkeypatch.delitem(sys.modules, f"cnndsl.editing.{name}", raising=False)
    found = CliRunner().invoke(cli, ["lsp"])
    assert found.exit_code == 2
    assert 'pip install "cnndsl[lsp]"' in found.stderr
