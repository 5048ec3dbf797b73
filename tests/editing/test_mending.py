"""Mends that messages know, and `cnndsl check --fix`."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cnndsl.cli import cli
from cnndsl.editing.mending import applied, mended
from cnndsl.editing.reading import checked


def body(lines: str) -> str:
    return f"model M: image[3, H=8, W=8] -> y {{\n  {lines}\n}}\n"


CERTAIN = [
    ("y: maxpol(2)", "y: maxpool(2)"),
    ("y: conv(8, 3x3, nrom=bn)", "y: conv(8, 3x3, norm=bn)"),
    ("y: conv(8, 3x3, strides=2)", "y: conv(8, 3x3, stride=2)"),
    ("y: swish", "y: silu"),
    ("y: nn.relu()", "y: relu()"),
    ("y = relu", "y: relu"),
    ("a: conv(3, 1) if H > 4\n  y: relu", "a: conv(3, 1) when H > 4\n  y: relu"),
    ("y: rearrange('c h w -> h w c')", 'y: rearrange("c h w -> h w c")'),
    ("y: for | c |\n  | 8\n  { conv(c, 1) }", "y: for | c |\n  | 8 |\n  { conv(c, 1) }"),
]
PROPOSED = [
    ("y: conv(8 3x3)", "y: conv(8, 3x3)"),
    ("y: conv(8, 3x3) relu", "y: conv(8, 3x3) -> relu"),
]
WITHOUT = [
    "y: conv(8, 2)",
    "y: convolve(8)",
    "y: maxpool(20)",
    "y: nn.Conv2d(3, 8, 3)",
    "y: nn.ReLU",
]


@pytest.mark.parametrize(("wrong", "right"), CERTAIN)
def test_what_is_certain_is_mended(wrong: str, right: str) -> None:
    path = Path("/m.arch")
    assert mended(path, body(wrong)) == (body(right), 1)
    assert not checked(path, {path: body(right)}, {}).diagnostics


@pytest.mark.parametrize(("wrong", "right"), PROPOSED)
def test_what_is_likely_is_only_proposed(wrong: str, right: str) -> None:
    path = Path("/m.arch")
    assert mended(path, body(wrong)) == (body(wrong), 0)
    (found,) = checked(path, {path: body(wrong)}, {}).diagnostics
    assert found.mend is not None
    assert applied(body(wrong), path, [found.mend]) == body(right)


@pytest.mark.parametrize("wrong", WITHOUT)
def test_what_is_not_known_is_left(wrong: str) -> None:
    path = Path("/m.arch")
    assert mended(path, body(wrong)) == (body(wrong), 0)
    for found in checked(path, {path: body(wrong)}, {}).diagnostics:
        assert found.mend is None


def test_a_claim_is_proposed_as_it_was_measured() -> None:
    path = Path("/m.arch")
    text = "@expect(params=1M, y=[8, 4, 4])\n" + body("y: conv(8, 3x3)")
    found = checked(path, {path: text}, {}).diagnostics
    edits = [d.mend for d in found if d.mend is not None]
    assert not any(edit.certain for edit in edits)
    assert applied(text, path, edits).startswith("@expect(params=224, y=[8, 8, 8])\n")


def fix(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["check", "--fix", *map(str, arguments)])


def test_a_file_is_mended_in_its_place_one_fault_behind_another(tmp_path: Path) -> None:
    path = tmp_path / "m.arch"
    wrong = body("a = conv(8, 3x3, strides=2)\n  y: maxpol(2)")
    path.write_bytes(wrong.replace("\n", "\r\n").encode())
    found = fix(path)
    assert found.exit_code == 0, found.stderr
    assert "mended 3 faults" in found.stderr
    right = body("a: conv(8, 3x3, stride=2)\n  y: maxpool(2)")
    assert path.read_bytes() == right.replace("\n", "\r\n").encode()


def test_what_is_left_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "m.arch"
    path.write_text(body("a: swish\n  y: conv(8, 2)"))
    found = fix(path)
    assert found.exit_code == 1
    assert "mended 1 fault in" in found.stderr
    assert path.read_text() == body("a: silu\n  y: conv(8, 2)")


def test_only_a_users_own_file_is_written() -> None:
    for name in ("-", "resnet18"):
        found = fix(name)
        assert found.exit_code == 2
        assert "--fix needs a file of yours" in found.stderr


def test_a_used_file_is_not_written(tmp_path: Path) -> None:
    (tmp_path / "unit.arch").write_text("block Unit { conv(8, 3x3) -> swish }\n")
    path = tmp_path / "m.arch"
    path.write_text('use "unit.arch" (Unit)\n' + body("y: Unit"))
    fix(path)
    assert (tmp_path / "unit.arch").read_text().endswith("-> swish }\n")
