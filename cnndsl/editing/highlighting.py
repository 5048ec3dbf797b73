"""The lexer for Pygments, found by its entry point: documentation shows `.arch` in colour."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from pygments.lexer import Lexer
from pygments.token import (
    Comment,
    Keyword,
    Name,
    Number,
    Operator,
    Punctuation,
    String,
    Text,
    Whitespace,
)

from cnndsl.editing.answers import colours
from cnndsl.editing.tokens import tokens
from cnndsl.language.evaluate import IT, WORDS
from cnndsl.language.functions import FUNCTIONS
from cnndsl.ops.initial import INITS

KINDS = {
    "doc": String.Doc,
    "string": String.Double,
    "comment": Comment.Single,
    "newline": Whitespace,
    "space": Whitespace,
    "size": Number,
    "number": Number,
    "keyword": Keyword,
    "name": Name,
    "other": Text,
}
COLOURS = {
    "function": Name.Function,
    "property": Name.Attribute,
    "decorator": Name.Decorator,
}


class ArchLexer(Lexer):  # type: ignore[misc]
    """`.arch` files, as `pygmentize -l arch` and Markdown's fences name them."""

    name = "arch"
    aliases: ClassVar[list[str]] = ["arch", "cnndsl"]
    filenames: ClassVar[list[str]] = ["*.arch"]
    url = ""

    def get_tokens_unprocessed(self, text: str) -> Iterator[tuple[int, Any, str]]:
        """Each word of the text, with its kind; joined, they are the text."""
        coloured = {token.start: kind for token, kind, _ in colours(text, None)}
        last = ""
        for token in tokens(text):
            kind = self._kind(token.kind, token.text, coloured.get(token.start, ""))
            if token.kind == "name" and last not in ("model", "block", "@", "."):
                # What stands before a colon is a label or a parameter, whatever its letters.
                labels = text[token.stop : token.stop + 20].lstrip(" ").startswith(":")
                kind = Name.Label if labels else kind
            yield token.start, kind, token.text
            last = last if token.kind in ("space", "newline") else token.text

    @staticmethod
    def _kind(kind: str, text: str, colour: str) -> Any:
        if kind == "operator":
            return Punctuation if text in "()[]{},;:.|" else Operator
        if kind != "name" or colour in COLOURS:
            return COLOURS.get(colour, KINDS[kind])
        if text in WORDS or text in ("skip", IT):
            return Name.Builtin.Pseudo
        if text in FUNCTIONS or text in INITS:
            return Name.Builtin
        return Name.Class if text[:1].isupper() and len(text) > 1 else Name
