"""Every message of the language, whole: a file that is wrong, and what its author is told.

`Eabc_name.arch` holds the fault of code `Eabc`; `Eabc_name.golden` the text shown. A first
line `# set: name=value`, `# input: name=3x8x8` or `# model: Name` says what the command
line would.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from cnndsl.analysis.expect import check
from cnndsl.diagnostics import ArchError, Diagnostic
from cnndsl.language import elaborate, pick, read

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
FILES = sorted(FOLDER.glob("*.arch"))
CODE = re.compile(r'"([EW]\d{3})"')


def _settings(path: Path) -> dict[str, str]:
    first = path.read_bytes().decode(errors="replace").split("\n", 1)[0]
    found = re.fullmatch(r"# (set|input|model): (.*)", first)
    return {found[1]: found[2]} if found else {}


def faults(path: Path) -> tuple[Diagnostic, ...]:
    """What a file is told."""
    said = _settings(path)
    try:
        model = pick(read(path.name), said.get("model"))
        if path.name.startswith("E5"):
            return check(model).diagnostics
        parameters, inputs = {}, {}
        if "set" in said:
            name, _, value = said["set"].partition("=")
            parameters[name] = value
        if "input" in said:
            name, _, value = said["input"].partition("=")
            inputs[name] = tuple(map(int, value.split("x")))
        return elaborate(model, parameters, inputs).warnings
    except ArchError as error:
        return error.diagnostics


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_message_is_the_golden(
    path: Path, golden: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(FOLDER)
    found = faults(path)
    assert path.stem[:4] in {diagnostic.code for diagnostic in found}
    assert all(diagnostic.message for diagnostic in found)
    text = "\n".join(map(str, found))
    assert "Traceback" not in text
    assert not re.search(r"\b_?(?:LPAR|RPAR|LBRACE|RBRACE|VBAR|_NL|_ARROW|__ANON)\b", text)
    golden(f"errors/{path.stem}.golden", text)


def _raised() -> dict[str, str]:
    """Each code that the package can show → a file that raises it."""
    return {
        code: source.relative_to(ROOT).as_posix()
        for source in sorted((ROOT / "cnndsl").rglob("*.py"))
        for code in CODE.findall(source.read_text(encoding="utf-8"))
    }


def test_every_code_has_a_golden_or_a_test_of_its_own() -> None:
    here = {path.stem[:4] for path in FILES}
    elsewhere: set[str] = set()
    for test in (ROOT / "tests").rglob("*.py"):
        elsewhere |= set(re.findall(r"\b[EW]\d{3}\b", test.read_text(encoding="utf-8")))
    raised = _raised()
    language = {code for code in raised if code[:2] in ("E1", "E2", "E3", "E4", "E5", "W2")}
    assert language - here == set(), "write tests/errors/<code>_<name>.arch"
    assert here - raised.keys() == set(), "no code raises these any more"
    assert raised.keys() - here - elsewhere == set(), "no test names these"


def test_every_golden_has_its_file() -> None:
    assert {p.stem for p in FOLDER.glob("*.golden")} == {p.stem for p in FILES}
