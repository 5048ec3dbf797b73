"""The kept list of a model's keys: written by a command, compared by `check`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from cnndsl.analysis.expect import check
from cnndsl.analysis.keys import keys
from cnndsl.analysis.weights import expected_weights
from cnndsl.cli import cli
from cnndsl.diagnostics import Diagnostic
from cnndsl.language.modules import Loader
from cnndsl.network import load

LINES = ["a: conv(4, 3x3)", "b: { conv(4, 1x1) -> conv(4, 1x1) }"]
FILE = '@keys("m.keys")\nmodel M: x[4, H=8, W=8] -> b {{\n  {}\n}}\n'


def written(folder: Path, lines: list[str]) -> Path:
    path = folder / "m.arch"
    path.write_text(FILE.format("\n  ".join(lines)), encoding="utf-8")
    return path


def faults(path: Path) -> tuple[Diagnostic, ...]:
    (definition,) = Loader().main(path).models.values()
    return check(definition).diagnostics


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A folder with a file and the list of its keys."""
    path = written(tmp_path, LINES)
    done = CliRunner().invoke(cli, ["keys", str(path), "-o", str(tmp_path / "m.keys")])
    assert (done.exit_code, done.output) == (0, f"{tmp_path / 'm.keys'}: 6 keys\n")
    return tmp_path


@pytest.mark.parametrize("name", ["resnet18", "retinanet_resnet50_fpn"])
def test_the_keys_are_those_of_the_weights(name: str) -> None:
    network = load(name)
    expected = {key: weight.shape for key, (_, weight) in expected_weights(network).items()}
    assert keys(network) == expected
    assert list(keys(network)) == list(expected)


def test_the_command_writes_what_check_accepts(kept: Path) -> None:
    assert (kept / "m.keys").read_text(encoding="utf-8") == (
        "a.weight 4x4x3x3\na.bias 4\nb.0.weight 4x4x1x1\nb.0.bias 4\n"
        "b.1.weight 4x4x1x1\nb.1.bias 4\n"
    )
    assert faults(kept / "m.arch") == ()


def test_what_changes_no_key_is_accepted(kept: Path) -> None:
    lines = [LINES[0], "between: relu -> maxpool(3x3, pad=1)", LINES[1]]
    assert faults(written(kept, lines)) == ()


def test_a_step_that_moves_the_names_behind_it_is_told_with_what_moved(kept: Path) -> None:
    inserted = "b: { conv(4, 3x3) -> conv(4, 1x1) -> conv(4, 1x1) }"
    (found,) = faults(written(kept, [LINES[0], inserted]))
    assert found.code == "E503"
    assert "line 3: `b.0.weight 4x4x1x1` was kept" in found.message
    assert "`b.0.weight 4x4x3x3` is there" in found.message
    assert found.note == "b.0 → b.1; b.1 → b.2"


def test_a_layer_that_is_gone_and_one_that_is_new_are_told(kept: Path) -> None:
    (found,) = faults(written(kept, ["b: conv(4, 3x3)"]))
    assert found.note == "a → b"
    found, unread = faults(written(kept, [*LINES, "c: b -> gap -> linear(2)"]))
    assert unread.code == "W202"
    assert "line 7: nothing more was kept, and `c.weight 2x4` is there" in found.message


@pytest.mark.parametrize("content", [b"\xff\xfe", b"", b"nonsense\n", b"a.weight\n" * 99])
def test_any_other_content_is_told(kept: Path, content: bytes) -> None:
    (kept / "m.keys").write_bytes(content)
    assert [found.code for found in faults(kept / "m.arch")] == ["E503"]


@pytest.mark.parametrize("given", ['("a/m.keys")', '("..")', "(3)", "", '("a.keys", "b.keys")'])
def test_a_list_is_one_file_beside_the_model(given: str) -> None:
    scope = Loader().text(f"@keys{given}\nmodel M: x[4, H=8, W=8] -> y {{ y: relu }}", "m.arch")
    (definition,) = scope.models.values()
    assert [found.code for found in check(definition).diagnostics] == ["E110"]


def test_a_list_is_found_as_a_used_file_is(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "kept.keys").write_text("secret")
    (inside / "m.keys").symlink_to(tmp_path / "kept.keys")
    (inside / "d.keys").symlink_to("/dev/zero")
    os.mkfifo(inside / "f.keys")
    codes = {}
    for name in "mdf":
        path = inside / f"{name}.arch"
        path.write_text(f'@keys("{name}.keys")\nmodel M: x[4, H=8, W=8] -> y {{ y: relu }}')
        (definition,) = Loader().main(path).models.values()
        (found,) = check(definition).diagnostics
        assert "secret" not in str(found)
        codes[name] = found.code
    assert codes == {"m": "E209", "d": "E209", "f": "E503"}
