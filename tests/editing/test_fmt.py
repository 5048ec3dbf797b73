"""`cnndsl fmt` on files."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cnndsl.cli import cli

WRITTEN = "block A {\nconv( 8,3x3 )   # so\n}\n"
LAID = "block A {\n  conv(8, 3x3)  # so\n}\n"


def fmt(*arguments: str | Path, input: bytes = b"") -> Result:
    return CliRunner().invoke(cli, ["fmt", *map(str, arguments)], input=input)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.arch"
    path.write_text(WRITTEN)
    return path


def test_a_file_is_laid_out_in_its_place(file: Path) -> None:
    file.chmod(0o640)
    found = fmt(file)
    assert (found.exit_code, file.read_text()) == (0, LAID)
    assert found.stderr == "1 file reformatted, 0 files left unchanged\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert list(file.parent.iterdir()) == [file]
    assert fmt(file).stderr == "1 file left unchanged\n"


def test_a_folder_is_its_files(file: Path) -> None:
    (file.parent / "deep").mkdir()
    inner = file.parent / "deep" / "b.arch"
    inner.write_text(WRITTEN)
    (file.parent / "note.txt").write_text(WRITTEN)
    (file.parent / ".venv").mkdir()
    (file.parent / ".venv" / "c.arch").write_text(WRITTEN)
    assert fmt(file.parent).exit_code == 0
    assert inner.read_text() == file.read_text() == LAID
    assert (file.parent / "note.txt").read_text() == WRITTEN
    assert (file.parent / ".venv" / "c.arch").read_text() == WRITTEN


def test_check_writes_nothing_and_says_so(file: Path) -> None:
    found = fmt("--check", file)
    assert (found.exit_code, file.read_text()) == (1, WRITTEN)
    assert f"would lay out {file}" in found.stdout
    file.write_text(LAID)
    assert fmt("--check", file).exit_code == 0


def test_diff_prints_what_would_change(file: Path) -> None:
    found = fmt("--diff", file)
    assert (found.exit_code, file.read_text()) == (1, WRITTEN)
    assert "-conv( 8,3x3 )   # so\n+  conv(8, 3x3)  # so\n" in found.stdout


def test_a_dash_is_the_standard_input() -> None:
    found = fmt("-", input=WRITTEN.encode())
    assert (found.exit_code, found.stdout, found.stderr) == (0, LAID, "")
    assert fmt("--check", "-", input=WRITTEN.encode()).exit_code == 1
    assert fmt("-", input=b"").stdout == ""


def test_line_ends_stay_on_disk(file: Path) -> None:
    file.write_bytes(WRITTEN.replace("\n", "\r\n").encode())
    assert fmt(file).exit_code == 0
    assert file.read_bytes() == LAID.replace("\n", "\r\n").encode()


def test_a_file_without_a_layout_stays_and_the_others_are_laid_out(file: Path) -> None:
    broken = file.with_name("broken.arch")
    broken.write_text("block A { conv(8 }\n")
    found = fmt(broken, file)
    assert found.exit_code == 1
    assert "broken.arch:1:18" in found.stderr
    assert broken.read_text() == "block A { conv(8 }\n"
    assert file.read_text() == LAID


def test_what_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "bytes.arch").write_bytes(b"\xff\xfe")
    found = fmt(tmp_path / "none.arch", tmp_path / "bytes.arch")
    assert found.exit_code == 2
    assert "no such file" in found.stderr
    assert "is not a text" in found.stderr
