"""docs/analysis.md: its commands print what it shows, and its Python runs."""

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from cnndsl.cli import cli
from cnndsl.commands import HOMES

DOCUMENT = Path(__file__).parents[2] / "docs" / "analysis.md"
TEXT = DOCUMENT.read_text(encoding="utf-8")
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMANDS = [
    (shlex.split(command), shown)
    for found in FENCE.finditer(TEXT)
    if found[1] == "console"
    for command, shown in re.findall(r"^\$ cnndsl ([^\n]*)\n((?:(?!\$ ).*\n)*)", found[2], re.M)
]


def pattern(shown: str) -> str:
    """A line that is `…` stands for any lines."""
    lines = [re.escape(line) if line != "…" else "(?:.*\n)*.*" for line in shown.split("\n")]
    return "\n".join(lines)


@pytest.mark.parametrize(("arguments", "shown"), COMMANDS, ids=lambda x: str(x)[:50])
def test_a_command_prints_what_is_shown(arguments: list[str], shown: str) -> None:
    result = CliRunner().invoke(cli, arguments)
    found = "\n".join(line.rstrip() for line in result.output.rstrip().split("\n"))
    assert re.fullmatch(pattern(shown.rstrip()), found), result.output


def test_the_python_runs() -> None:
    scope: dict[str, object] = {}
    for found in FENCE.finditer(TEXT):
        if found[1] == "python":
            exec(compile(found[2], str(DOCUMENT), "exec"), scope)


def test_every_command_of_analysis_is_shown() -> None:
    others = {"bench", "check", "compile", "completion", "draw", "fmt", "keys", "list"}
    others |= {"import", "lsp", "run", "watch"}
    assert {arguments[0] for arguments, _ in COMMANDS} == set(HOMES) - others
