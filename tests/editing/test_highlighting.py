"""Colours outside an editor with a server: Pygments, TextMate; the other ways in."""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.token import Comment, Keyword, Name, Number, String

import cnndsl
from cnndsl.cli import cli
from cnndsl.editing.highlighting import ArchLexer
from cnndsl.files import zoo
from cnndsl.language.names import operations

ROOT = Path(__file__).parents[2]
VSCODE = ROOT / "editors" / "vscode"


# Pygments


def test_the_lexer_is_found_by_its_entry_point() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    module, _, name = project["entry-points"]["pygments.lexers"]["arch"].partition(":")
    assert getattr(importlib.import_module(module), name) is ArchLexer


@pytest.mark.parametrize("path", sorted(zoo().rglob("*.arch")), ids=lambda path: path.stem)
def test_the_zoo_is_coloured_and_nothing_is_lost(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    found = list(ArchLexer(stripnl=False, ensurenl=False).get_tokens(text))
    assert "".join(word for _, word in found) == text
    assert Keyword in {kind for kind, _ in found}


@given(st.text(max_size=40))
def test_any_text_is_coloured(text: str) -> None:
    found = ArchLexer().get_tokens_unprocessed(text)
    assert "".join(word for _, _, word in found) == text


def test_words_have_their_kinds() -> None:
    text = '@cite("a")\nmodel Net: image[3, H=8] -> y {\n  F6: conv(8, 3x3, norm=bn)  # so\n}\n'
    kinds = {word: kind for kind, word in ArchLexer().get_tokens(text)}
    assert kinds["model"] is Keyword
    assert kinds["cite"] is Name.Decorator
    assert kinds["Net"] is Name.Class
    assert kinds["conv"] is kinds["bn"] is Name.Function
    assert kinds["F6"] is Name.Label
    assert kinds["norm"] is Name.Attribute
    assert kinds["3x3"] is kinds["8"] is Number
    assert kinds['"a"'] is String.Double
    assert kinds["# so"] is Comment.Single
    assert "<script>" not in highlight('"<script>"', ArchLexer(), HtmlFormatter())


# VS Code


def _script() -> Any:
    spec = importlib.util.spec_from_file_location("vscode_grammar", VSCODE / "grammar.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_grammar_of_vs_code_is_current() -> None:
    """After a change of the language: `python editors/vscode/grammar.py`."""
    script = _script()
    assert script.FILE.read_text(encoding="utf-8") == script.text()
    for name in operations():
        assert re.search(rf"\b{name}\b", script.text())


def test_the_extension_names_files_that_are_there() -> None:
    package = json.loads((VSCODE / "package.json").read_text(encoding="utf-8"))
    contributes = package["contributes"]
    for file in (
        package["main"],
        contributes["languages"][0]["configuration"],
        contributes["grammars"][0]["path"],
    ):
        assert (VSCODE / file).is_file()
    script = (VSCODE / package["main"]).read_text(encoding="utf-8")
    for command in contributes["commands"]:
        assert f'registerCommand("{command["command"]}"' in script
    assert package["version"] == cnndsl.__version__


@pytest.mark.slow
def test_the_grammar_colours_as_it_says() -> None:
    tool = VSCODE / "node_modules" / ".bin" / "vscode-tmgrammar-test"
    if not tool.is_file() or shutil.which("node") is None:
        pytest.skip("no vscode-tmgrammar-test: run `npm ci` in editors/vscode")
    grammar = "syntaxes/arch.tmLanguage.json"
    command = [str(tool), "-g", grammar, "tests/*.arch"]
    done = subprocess.run(command, cwd=VSCODE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.skipif(shutil.which("node") is None, reason="no node here")
def test_the_extension_is_javascript() -> None:
    command = ["node", "--check", str(VSCODE / "extension.js")]
    assert subprocess.run(command, check=False).returncode == 0


# A commit, a notebook


def test_the_hooks_name_commands_that_are_there() -> None:
    text = (ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8")
    entries = re.findall(r"entry: cnndsl (\w+)$", text, re.MULTILINE)
    assert entries == ["fmt", "check"]
    for entry in entries:
        assert CliRunner().invoke(cli, [entry, "--help"]).exit_code == 0


class Shell:
    """What the magic asks of IPython."""

    def __init__(self) -> None:
        self.user_ns: dict[str, object] = {}
        self.magics: dict[str, Any] = {}

    def register_magic_function(self, function: Any, magic_kind: str, magic_name: str) -> None:
        assert magic_kind == "cell"
        self.magics[magic_name] = function


CELL = "model M: image[3, H=8, W=8] -> y {\n  y: conv(8, 3x3)\n}\n"


def test_a_cell_is_a_network(capsys: pytest.CaptureFixture[str]) -> None:
    shell = Shell()
    cnndsl.load_ipython_extension(shell)
    arch = shell.magics["arch"]
    network = arch("net", CELL)
    assert shell.user_ns["net"] is network
    assert network.parameters == 224
    assert "image/svg+xml" in network._repr_mimebundle_()
    assert arch("", CELL).parameters == 224
    assert arch("two words", CELL) is None
    assert "name of a variable" in capsys.readouterr().err
    assert arch("bad", CELL.replace("conv", "covn")) is None
    assert "bad" not in shell.user_ns
    assert "<cell>:2:6" in capsys.readouterr().err
