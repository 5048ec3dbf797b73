"""Writes `syntaxes/arch.tmLanguage.json` from the grammar and the operations.

Run `python editors/vscode/grammar.py` after a change of either; a test holds it current.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from cnndsl.editing.tokens import keywords, operators, pattern
from cnndsl.language.evaluate import FUNCTIONS, WORDS
from cnndsl.language.names import operations
from cnndsl.language.types import _TYPES as TYPES
from cnndsl.ops.initial import INITS

FILE = Path(__file__).parent / "syntaxes" / "arch.tmLanguage.json"
DECLARING = ("model", "block", "use", "as", "default", "let")
NAME = pattern("NAME")
LABEL = rf"{NAME}(?:\[[^\]\n]*\])?"


def words(names: object) -> str:
    """A pattern of whole words."""
    return rf"\b(?:{'|'.join(sorted(map(str, names)))})\b"  # type: ignore[call-overload]


def grammar() -> dict[str, object]:
    """The grammar, its first rule first."""
    control = keywords() - set(DECLARING)
    signs = "|".join(re.escape(sign) for sign in operators() if sign[0] not in "()[]{},;:.@|")
    rules: list[tuple[str, str]] = [
        ("comment.line.number-sign", pattern("COMMENT")),
        ("string.quoted.double", pattern("STRING")),
        ("constant.numeric.size", rf"\b{pattern('SIZE')}"),
        ("constant.numeric", rf"\b{pattern('NUMBER')}"),
        ("entity.name.function.decorator", rf"@\s*{NAME}"),
        ("keyword.control", rf"(?<!\.){words(control)}"),
        ("storage.type", words(DECLARING)),
        ("variable.parameter", rf"{NAME}(?=\s*=(?!=))"),
        ("entity.name.tag.label", rf"{LABEL}(?=\s*(?:,\s*{LABEL}\s*)*:)"),
        ("constant.language", rf"{words(WORDS)}"),
        ("variable.language", words(["skip", "in", "it"])),
        ("support.function.builtin", rf"{words(FUNCTIONS)}(?=\s*\()"),
        ("support.function.initialisation", rf"(?<!\.){words(INITS)}"),
        ("support.function.operation", rf"(?<!\.){words(operations())}"),
        ("entity.name.type.block", r"(?<!\.)\b[A-Z]\w*\b(?=\s*(?:\(|->|\*|\{|\}|$|;|each))"),
        ("variable.other", NAME),
        ("keyword.operator", signs),
    ]
    first = [
        {
            "name": "string.quoted.docstring.arch",
            "begin": '"""',
            "end": '"""',
        },
        {
            "match": rf"\b(model|block)\s+({NAME})",
            "captures": {
                "1": {"name": "storage.type.arch"},
                "2": {"name": "entity.name.type.block.arch"},
            },
        },
        {
            "match": rf"(:)\s*({words(TYPES)})",
            "captures": {"2": {"name": "support.type.arch"}},
        },
    ]
    return {
        "name": "arch",
        "scopeName": "source.arch",
        "fileTypes": ["arch"],
        "patterns": [
            *first[:1],
            {"name": f"{rules[0][0]}.arch", "match": rules[0][1]},
            *first[1:],
            *({"name": f"{scope}.arch", "match": match} for scope, match in rules[1:]),
        ],
    }


def text() -> str:
    """The file."""
    return json.dumps(grammar(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
