"""The words of a text, none left out: also its spaces, comments and line ends.

The parser's lexer drops comments in three places. This one is built from the same
`grammars/arch.lark`, reads any text, and gives back each character of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from cnndsl.files import grammar


class Token(NamedTuple):
    """A word of the text: its kind, its characters, and the offset where it begins.

    The kinds: `doc`, `string`, `comment`, `newline`, `space`, `size`, `number`, `operator`,
    `keyword`, `name`, and `other` for what means nothing in the language.
    """

    kind: str
    text: str
    start: int

    @property
    def stop(self) -> int:
        """The offset behind it."""
        return self.start + len(self.text)


@cache
def terminals() -> dict[str, str]:
    """The terminals of the grammar: a name → a string in quotes, or a pattern in slashes."""
    found = re.findall(r"^(_?[A-Z]+)(?:\.\d+)?: (.+)$", grammar(), re.MULTILINE)
    return {str(name): str(text) for name, text in found}


def pattern(name: str) -> str:
    """A terminal's regular expression."""
    return terminals()[name].removeprefix("/").removesuffix("/")


@cache
def keywords() -> frozenset[str]:
    """The words that are no names."""
    return frozenset(re.findall(r'^[A-Z]+: "([a-z]+)"$', grammar(), re.MULTILINE))


@cache
def operators() -> tuple[str, ...]:
    """The signs, the longest first."""
    signs = {*re.findall(r'"([^\w\s"]+)"', grammar()), "->", "..", ")", "]", "}"}
    return tuple(sorted(signs, key=lambda sign: (-len(sign), sign)))


@cache
def _lexer() -> re.Pattern[str]:
    kinds = {
        "doc": pattern("LONGSTRING"),
        "string": pattern("STRING"),
        "comment": pattern("COMMENT"),
        "newline": r"\n",
        "space": r"[ \t\f]+",
        "size": pattern("SIZE"),
        "number": pattern("NUMBER"),
        "operator": "|".join(map(re.escape, operators())),
        "name": pattern("NAME"),
        "other": r"[\s\S]",
    }
    return re.compile("|".join(f"(?P<{kind}>{text})" for kind, text in kinds.items()))


def tokens(text: str) -> Iterator[Token]:
    """The words of any text, in order: joined, they are the text."""
    words = keywords()
    for match in _lexer().finditer(text):
        kind, found = match.lastgroup or "other", match.group()
        if kind == "name" and found in words:
            kind = "keyword"
        yield Token(kind, found, match.start())
