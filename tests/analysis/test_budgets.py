"""Budgets in a file: equality passes, and what breaks one is measured and placed."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from cnndsl.cli import cli

MODEL = """
model M: x[3, H=28, W=28] -> y {
  c1: conv(4, 3x3)
  c2: conv(4, 3x3)
  y: conv(4, 1x1)
}
"""


def checked(tmp_path: Path, claims: str) -> tuple[int, str]:
    path = tmp_path / "m.arch"
    path.write_text(f"@expect({claims}){MODEL}")
    result = CliRunner().invoke(cli, ["check", str(path)])
    return result.exit_code, result.output


@pytest.mark.parametrize(
    "claims",
    [
        "rf(c2) >= 5, rf(c2) <= 5",
        "peak <= 25_088, peak >= 25_088",
        "peak <= 10MiB, peak <= 1Mi",
        "macs <= 210_112, params >= 1",
    ],
)
def test_equality_keeps_a_budget(tmp_path: Path, claims: str) -> None:
    assert checked(tmp_path, claims)[0] == 0


def test_a_broken_budget_says_what_is_measured_who_counts_most_and_where(
    tmp_path: Path,
) -> None:
    status, text = checked(tmp_path, "macs <= 200K, rf(c2) >= 6, peak <= 1KiB")
    assert status == 1
    assert "`macs` is 210,112, but at most 200K was expected" in text
    assert "the largest: c2.conv 112,896 (53.7 %)" in text
    assert "`rf(c2)` is 5, but at least 6 was expected" in text
    assert "the peak is reached at c2.conv" in text
    assert "m.arch:1:" in text


def test_a_field_of_nothing_suggests_the_nearest(tmp_path: Path) -> None:
    status, text = checked(tmp_path, "rf(c22) >= 6")
    assert status == 1
    assert "did you mean `c2`" in text
