"""Text to tree: the grammar, the post-lexer, and parse errors as sentences."""

from __future__ import annotations

import re
import sys
import threading
import unicodedata
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from itertools import islice
from typing import Any

from lark import Lark, Token
from lark import __version__ as lark_version
from lark.exceptions import UnexpectedCharacters, UnexpectedToken
from lark.grammar import Rule

from cnndsl.diagnostics import (
    ArchError,
    Diagnostic,
    Fault,
    Source,
    Span,
    fault,
    short,
)
from cnndsl.files import cached, grammar
from cnndsl.language import tree
from cnndsl.language.build import Builder, Reading
from cnndsl.language.unexpected import DECLARATIONS, OPENING, explained, token_span

MAX_CHARACTERS = 8_000_000
MAX_NESTING = 200
MAX_WORDS = 2_000
"""No expression has more words: a tree of that depth is no longer read by anyone."""
MAX_ERRORS = 20

_CLOSE = {"RPAR": "(", "RSQB": "[", "RBRACE": "{"}
_CONTINUES = {
    "COLON",
    "COMMA",
    "EQUAL",
    "PLUS",
    "SLASH",
    "SLASHES",
    "POWER",
    "OR",
    "AND",
    "NOT",
}
_CONTINUES |= {"_ARROW", "IF"}


_ENDS = {"_NL", "COMMA", "SEMICOLON", "VBAR", "_ARROW", "LBRACE", "RBRACE", "COLON", "EQUAL"}


class Newlines:
    """Drops line ends where a statement cannot end; checks the nesting and the length."""

    always_accept = ()
    reading: Reading

    def process(self, stream: Iterator[Token]) -> Iterator[Token]:
        """The tokens that the parser sees."""
        reading, source = self.reading, self.reading.source
        opened = reading.opened
        last = ""
        stop = 0
        words = 0
        for token in stream:
            words = 0 if token.type in _ENDS else words + 1
            if words > MAX_WORDS:
                message = f"the expression has more than {MAX_WORDS:,} words"
                help = "name its parts with `let`"
                raise fault("E104", message, token_span(source, token), help=help)
            if token.type == "NAME" and not token.isascii():
                _plain_name(token, token_span(source, token))
            if token.type in OPENING:
                opened.append(token)
                if len(opened) > MAX_NESTING:
                    braces = token.type == "LBRACE"
                    what = "braces" if braces else "brackets"
                    message = f"{what} are nested more than {MAX_NESTING} deep"
                    help = "use blocks" if braces else "name the inner parts with `let`"
                    raise fault("E104", message, token_span(source, token), help=help)
            elif token.type in _CLOSE:
                self._close(token, opened)
            elif token.type == "_NL" and (
                (opened and opened[-1].type != "LBRACE") or last in _CONTINUES
            ):
                continue
            last = token.type
            # The parser now works with what stands before this token.
            reading.stop, stop = stop, token.end_pos or 0
            yield token
        reading.stop = stop
        if opened:
            message = f"`{opened[-1]}` is never closed"
            help = f"add the missing `{OPENING[opened[-1].type]}`"
            raise fault("E103", message, token_span(source, opened[-1]), help=help)

    def _close(self, token: Token, opened: list[Token]) -> None:
        source = self.reading.source
        if not opened:
            where = token_span(source, token)
            raise fault("E103", f"`{token}` closes nothing", where, help="remove it")
        start = opened.pop()
        if OPENING[start.type] != token:
            raise fault(
                "E103",
                f"`{token}` does not close `{start}`",
                token_span(source, token),
                related=((token_span(source, start), "opened here"),),
                help=f"close it with `{OPENING[start.type]}` first",
            )


def _plain_name(name: str, span: Span) -> None:
    """Refuse a name that Python does not read, or reads as another.  Raises Fault."""
    if not name.isidentifier():
        wrong = next((c for c in name if not f"a{c}".isidentifier()), name[0])
        help = "a name holds letters, digits and `_`"
        raise fault("E102", f"`{wrong}` cannot stand in a name", span, help=help)
    if _SELECTORS.search(name):
        message = f"the name `{short(name)}` holds a character that cannot be seen"
        raise fault("E102", message, span, help=f"write `{short(_SELECTORS.sub('', name))}`")
    if (plain := unicodedata.normalize("NFKC", name)) != name:
        message = f"Python reads the name `{short(name)}` as `{short(plain)}`"
        raise fault("E102", message, span, help=f"write `{short(plain)}`")


_INVISIBLE = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u115f\u1160\u180e\u200b\u200e\u200f\u2028-\u202e"
    r"\u2060-\u206f\u3164\ud800-\udfff\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e007f]"
)
"""Controls, and what is not seen; joiners stay, since scripts and emoji need them."""
_SELECTORS = re.compile(r"[\u034f\u17b4\u17b5\u180b-\u180d\ufe00-\ufe0f\U000e0100-\U000e01ef]")
"""Not seen either, and good for nothing in a name."""


def check_characters(text: str, name: str) -> None:
    """Refuse what is not seen, or reorders how the text beside it is shown.

    So no terminal, figure or generated file shows anything else than it holds.
    Raises ArchError.  Source: Boucher & Anderson 2021, arXiv:2111.00169.
    """
    found = list(islice(_INVISIBLE.finditer(text), MAX_ERRORS))
    if found:
        source = Source(name, text)
        raise ArchError([_invisible(match[0], source, match.start()) for match in found])


def _invisible(character: str, source: Source, start: int) -> Diagnostic:
    name = unicodedata.name(character, "").lower()
    shown = f"U+{ord(character):04X}{f' ({name})' if name else ''}"
    message = f"the character {shown} is not allowed in a file"
    help = "remove it: it cannot be seen, or changes how the text beside it is shown"
    return Diagnostic("E102", message, Span(source, start, start + 1), help=help)


_lock = threading.Lock()


def table_name(start: str) -> str:
    """A name that no other grammar, Lark or Python shares: they would overwrite each other.

    Lark itself reads a table only where all of these are what made it.
    """
    made_from = f"{lark_version} {grammar()}"
    digest = sha256(made_from.encode()).hexdigest()[:16]
    return f"{start}-{sys.implementation.cache_tag}-{digest}.lark"


class _Rule(Rule):
    """A rule that is told apart as an object, as the parser does with each it reduces.

    Lark's own compare what they consist of, in Python: a fifth of all reading.
    """

    __slots__ = ()
    __eq__, __hash__ = object.__eq__, object.__hash__


@cache
def _parser(start: str) -> tuple[Lark, Newlines, Builder]:
    newlines, builder = Newlines(), Builder()
    lark = Lark(
        grammar(),
        parser="lalr",
        lexer="basic",
        start=start,
        postlex=newlines,
        transformer=builder,
        maybe_placeholders=True,
        # Working the tables out takes half a second, reading them a fiftieth of it.
        cache=cached(table_name(start)) or False,
    )
    parser: Any = lark.parser.parser.parser
    for rule in parser.callbacks:
        rule.__class__ = _Rule
    parser.callbacks = dict(parser.callbacks.items())
    return lark, newlines, builder


def parse(source: Source) -> tree.File:
    """The tree of a file.  Raises ArchError: every declaration's first syntax error."""
    if len(source.text) > MAX_CHARACTERS:
        size, limit = len(source.text) / 1e6, MAX_CHARACTERS / 1e6
        raise ArchError(
            [_whole(f"the file has {size:.1f} M characters; the limit is {limit:.0f} M")]
        )
    check_characters(source.text, source.name)
    errors: list[Diagnostic] = []
    text = source.text
    for _ in range(MAX_ERRORS):
        try:
            found: tree.File = _run("start", source, text + "\n")
        except Fault as error:
            errors.append(error.diagnostic)
            text = _without(text, error.diagnostic.span)
            if not text.strip():
                break
        else:
            if errors:
                break
            return found
    raise ArchError(errors)


def parse_value(text: str, name: str) -> tree.Expression:
    """The tree of a value, as in `--set width=1.4`.  Raises ArchError."""
    source = Source(name, text)
    if len(text) > 10_000:
        raise ArchError([_whole("the value is longer than 10,000 characters")])
    check_characters(source.text, source.name)
    try:
        found: tree.Expression = _run("expr", source, text)
    except Fault as error:
        raise ArchError([error.diagnostic]) from None
    return found


def _whole(message: str) -> Diagnostic:
    return Diagnostic("E105", message, help="is it an .arch file?")


def _run(start: str, source: Source, text: str) -> Any:
    with _lock:
        lark, newlines, builder = _parser(start)
        reading = newlines.reading = builder.reading = Reading(source)
        try:
            return lark.parse(text)
        except (UnexpectedCharacters, UnexpectedToken) as error:
            raise explained(source, error, reading.opened) from None


def _without(text: str, span: Span | None) -> str:
    """The text with the faulty declaration blanked, so that the others are still read."""
    if span is None:
        return ""
    starts = [m.start() for m in _TOP_LEVEL.finditer(text, 0, span.start + 1)]
    following = _TOP_LEVEL.search(text, span.start + 1)
    begin = starts.pop() if starts else 0
    end = following.start() if following else len(text)
    # What stands above a declaration goes with it.
    while starts and text[starts[-1]] == "@":
        begin = starts.pop()
    blank = "\n".join(" " * len(line) for line in text[begin:end].split("\n"))
    return text[:begin] + blank + text[end:]


_TOP_LEVEL = re.compile(rf"^(?:{'|'.join(DECLARATIONS)})\b|^@", re.MULTILINE)
