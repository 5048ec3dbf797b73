"""The shipped networks: every model elaborates, and is what its file says it is."""

from pathlib import Path

import pytest

from cnndsl.analysis.expect import check
from cnndsl.files import zoo
from cnndsl.language import read
from cnndsl.language.modules import BlockDefinition

FILES = sorted(zoo().glob("*.arch"))
SHARED = sorted((zoo() / "lib").glob("*.arch"))


def models(path: Path) -> dict[str, BlockDefinition]:
    return read(path).models


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_model_is_what_its_file_expects(path: Path) -> None:
    found = models(path)
    assert found, "a file beside the library declares a model"
    for definition in found.values():
        checked = check(definition)
        assert checked.network is not None
        assert not checked.diagnostics, "\n\n".join(map(str, checked.diagnostics))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_model_cites_its_source_and_states_both_counts_in_full(path: Path) -> None:
    for definition in models(path).values():
        assert definition.about.citations, definition.name
        claims = [
            (argument.name, argument.value.span.text)
            for meta in definition.declaration.metas
            if meta.name == "expect"
            for argument in meta.arguments
        ]
        for figure in ("params", "macs"):
            values = [text for name, text in claims if name == figure]
            assert values, f"{definition.name} does not expect its {figure}"
            assert all(text.replace("_", "").isdigit() for text in values), values


@pytest.mark.parametrize("path", SHARED, ids=lambda path: path.stem)
def test_the_library_holds_blocks_alone(path: Path) -> None:
    scope = read(path)
    assert scope.names
    assert not scope.models


def test_every_block_of_the_library_is_used() -> None:
    used = "\n".join(path.read_text() for path in zoo().rglob("*.arch"))
    for path in SHARED:
        assert f'"lib/{path.name}"' in used, f"nothing uses lib/{path.name}"
