"""Text to tree: the grammar, the post-lexer, and parse errors as sentences."""

from __future__ import annotations

import re
import sys
import threading
import unicodedata
from collections.abc import Callable, Iterator
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
    Edit,
    Fault,
    Source,
    Span,
    did_you_mean,
    fault,
    short,
)
from cnndsl.files import cached, grammar
from cnndsl.language import tree
from cnndsl.language.build import Builder, Reading

MAX_CHARACTERS = 8_000_000
MAX_NESTING = 200
MAX_WORDS = 2_000
"""No expression has more words: a tree of that depth is no longer read by anyone."""
MAX_ERRORS = 20

_OPEN = {"LPAR": ")", "LSQB": "]", "LBRACE": "}"}
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
                raise fault("E104", message, _span(source, token), help=help)
            if token.type == "NAME" and not token.isascii():
                _plain_name(token, _span(source, token))
            if token.type in _OPEN:
                opened.append(token)
                if len(opened) > MAX_NESTING:
                    braces = token.type == "LBRACE"
                    what = "braces" if braces else "brackets"
                    message = f"{what} are nested more than {MAX_NESTING} deep"
                    help = "use blocks" if braces else "name the inner parts with `let`"
                    raise fault("E104", message, _span(source, token), help=help)
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
            help = f"add the missing `{_OPEN[opened[-1].type]}`"
            raise fault("E103", message, _span(source, opened[-1]), help=help)

    def _close(self, token: Token, opened: list[Token]) -> None:
        source = self.reading.source
        if not opened:
            where = _span(source, token)
            raise fault("E103", f"`{token}` closes nothing", where, help="remove it")
        start = opened.pop()
        if _OPEN[start.type] != token:
            raise fault(
                "E103",
                f"`{token}` does not close `{start}`",
                _span(source, token),
                related=((_span(source, start), "opened here"),),
                help=f"close it with `{_OPEN[start.type]}` first",
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
        except UnexpectedCharacters as error:
            raise _bad_character(source, error) from None
        except UnexpectedToken as error:
            raise _unclosed(source, error.token, reading.opened) or _bad_token(
                source, error
            ) from None


def _span(source: Source, token: Token) -> Span:
    start, stop = token.start_pos or 0, token.end_pos or 0
    if token.type == "_ARROW":
        start = stop - len("->")
    return Span(source, start, max(start + 1, stop))


def _unclosed(source: Source, token: Token, opened: list[Token]) -> Fault | None:
    """A token that shows that the bracket before it was meant to be closed."""
    if not opened:
        return None
    last = opened[-1]
    if last.type == "LBRACE":
        # A declaration cannot stand in braces; which of them is open, columns tell.
        if token.type not in ("MODEL", "BLOCK", "USE", "AT"):
            return None
        last = opened[0]
    elif token.line == last.line:
        return None
    message = f"`{last}` is never closed"
    related = ((_span(source, token), "this cannot stand inside"),)
    help = f"add the missing `{_OPEN[last.type]}`"
    return fault("E103", message, _span(source, last), related=related, help=help)


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


_TOP_WORDS = ("model", "block", "use", "default", "let")
_TOP_LEVEL = re.compile(rf"^(?:{'|'.join(_TOP_WORDS)})\b|^@", re.MULTILINE)


def _bad_character(source: Source, error: UnexpectedCharacters) -> Fault:
    start = error.pos_in_stream or 0
    character = source.text[start] if start < len(source.text) else ""
    span = Span(source, start, start + 1)
    if character == '"':
        return fault(
            "E102", "the string is not closed on its line", span, help='close it with `"`'
        )
    if character == "'":
        return fault(
            "E102", "strings are written in double quotes", span, edit=_quoted(source, start)
        )
    if character.isdigit():
        word = re.compile(r"[\w.]+").match(source.text, start)
        stop = word.end() if word else start + 1
        message = f"`{short(source.text[start:stop])}` is neither a number nor a name"
        help = "a name begins with a letter or `_`"
        return fault("E102", message, Span(source, start, stop), help=help)
    shown = f"`{character}`" if character.isprintable() else f"character U+{ord(character):04X}"
    return fault("E102", f"unexpected {shown}", span)


_SAID = {
    "_NL": "the end of the line",
    "_ARROW": "`->`",
    "$END": "the end of the file",
    "LONGSTRING": "a doc string",
    "NAME": "a name",
    "NUMBER": "a number",
    "STRING": "a string",
    "SIZE": "a size such as 3x3",
    "CMP": "a comparison",
}
_KEYWORDS = {
    *("MODEL", "BLOCK", "USE", "AS", "DEFAULT", "LET", "FOR", "IN", "EACH", "WHEN", "ELSE"),
    *("THEN", "IF", "OR", "AND", "NOT"),
}


def _bad_token(source: Source, error: UnexpectedToken) -> Fault:
    """A sentence from the token that came and those that could have."""
    token, expected = error.token, set(error.accepts or error.expected)
    end = len(source.text.rstrip())
    span = Span(source, end, end + 1) if token.type == "$END" else _span(source, token)
    if token.type == "_NL":
        span = Span(source, span.start, span.start + 1)
    said = f"`{short(token)}`"
    if token.type in ("_NL", "$END", "_ARROW"):
        said = _SAID[token.type]
    if token == '""' and source.text.startswith('"""', span.start):
        help = 'close it with `"""`'
        span = Span(source, span.start, span.start + 3)
        return fault("E102", "the doc string is never closed", span, help=help)
    before = re.search(r"(\w+)[ \t]*$", source.text[max(0, span.start - 80) : span.start])
    if token.type == "COLON" and before and before[1].upper() in _KEYWORDS:
        stop = span.start - len(before[0]) + len(before[1])
        message = f"`{before[1]}` is a keyword and cannot be a label"
        span = Span(source, stop - len(before[1]), stop)
        return fault("E101", message, span, help="choose another name")
    if token.type in _KEYWORDS and "NAME" in expected:
        return fault(
            "E101",
            f"`{token}` is a keyword, but a name is needed here",
            span,
            help="choose another name",
        )
    if before and before[1] == "return" and token.type in _WORDS:
        stop = span.start - len(before[0]) + len(before[1])
        help = "an output is a label that the head names: `-> y { y: … }`"
        span = Span(source, stop - len(before[1]), stop)
        return fault("E101", "`return` has no meaning here", span, help=help)
    for wanted, message, help in _HINTS:
        if wanted(token, expected):
            near = did_you_mean(token, _TOP_WORDS) if "MODEL" in expected else ""
            edit = None if near else _edit(source, span, token, expected)
            text = message.format(said)
            return fault("E101", text, span, help=near or help.format(), edit=edit)
    return fault("E101", f"{said} cannot stand here{_alternatives(expected)}", span)


def _quoted(source: Source, start: int) -> Edit | None:
    """The string in single quotes that begins here, in double ones."""
    found = re.compile(r"'([^'\"\n]*)'").match(source.text, start)
    place = Span(source, start, found.end() if found else start)
    return Edit(place, f'"{found[1]}"', certain=True) if found else None


def _edit(source: Source, span: Span, token: Token, expected: set[str]) -> Edit | None:
    """What is put in the place of a token, or before it, where that is known."""
    stop = len(source.text[: span.start].rstrip(" \t"))
    before = Span(source, stop, stop)
    if {"MODEL", "BLOCK"} <= expected:
        return None
    match token.type:
        case "EQUAL" if "COLON" in expected and len(expected) > 1:
            return Edit(Span(source, stop, span.stop), ":", certain=True)
        case "IF" if "WHEN" in expected:
            return Edit(span, "when", certain=True)
        case "_NL" if "VBAR" in expected:
            return Edit(before, " |", certain=True)
        case kind if kind in _WORDS and {"_ARROW", "WHEN"} <= expected:
            return Edit(before, " ->")
        case kind if kind in _WORDS and {"COMMA", "RPAR"} <= expected:
            return Edit(before, ",")
    return None


def _alternatives(expected: set[str]) -> str:
    """`; expected a name or …` where the choice is small enough to help."""
    named = expected - {"IN"} if "NAME" in expected else expected
    names = sorted({_SAID.get(e) or _literal(e) for e in named} - {""})
    return f"; expected {' or '.join(names)}" if 0 < len(names) <= 4 else ""


def _literal(terminal: str) -> str:
    spelled = {
        **{"LPAR": "(", "RPAR": ")", "LSQB": "[", "RSQB": "]", "LBRACE": "{", "RBRACE": "}"},
        **{"COLON": ":", "COMMA": ",", "EQUAL": "=", "VBAR": "|", "DOT": ".", "AT": "@"},
        **{"SEMICOLON": ";", "PLUS": "+", "MINUS": "-", "STAR": "*", "SLASH": "/"},
        **{"SLASHES": "//", "PERCENT": "%", "POWER": "**", "__ANON_0": "", "__ANON_1": ""},
    }
    text = spelled.get(terminal, terminal.lower() if terminal in _KEYWORDS else "")
    return f"`{text}`" if text else ""


_WORDS = {"NAME", "NUMBER", "SIZE", "STRING", "IN"}
_INFIX = {"PLUS", "MINUS", "SLASH", "SLASHES", "PERCENT", "POWER"}
_HINTS: list[tuple[Callable[[Token, set[str]], bool], str, str]] = [
    (
        lambda token, expected: {"MODEL", "BLOCK"} <= expected,
        "{} stands outside every block",
        "a file holds `use`, `default`, `let`, `block` and `model`",
    ),
    (
        lambda token, expected: (
            token.type in ("COMMA", "RPAR", "EQUAL") and expected == {"COLON"}
        ),
        "a parameter needs a type before {}",
        "write `c: int`, `p: float`, `act: op`; with a default, `c: int = 64`",
    ),
    (
        lambda token, expected: token.type == "EQUAL" and "COLON" in expected,
        "{} does not name a line",
        "a label is written `name: step`, a value `let name = value`",
    ),
    (
        lambda token, expected: token.type == "IF" and "WHEN" in expected,
        "{} does not remove a step",
        "a line's condition is written `when`; `a if c else b` is a value",
    ),
    (
        lambda token, expected: (
            re.fullmatch(r"[x×]\d*", token) is not None and {"_ARROW", "WHEN"} <= expected
        ),
        "{} follows a step directly",
        "a repeat is written `step * 3`",
    ),
    (
        lambda token, expected: token.type in _WORDS and {"_ARROW", "WHEN"} <= expected,
        "{} follows a step directly",
        "steps are joined by `->`; lines end with a new line or `;`",
    ),
    (
        lambda token, expected: token.type in _WORDS and {"COMMA", "RPAR"} <= expected,
        "{} follows a value directly",
        "arguments are separated by commas, and named with `=`",
    ),
    (
        lambda token, expected: token.type in _INFIX and {"_ARROW", "WHEN"} <= expected,
        "{} does not join tensors",
        "write `add {{ a; b }}`, `mul {{ a; b }}`, `mul(0.5)`; in a repeat, `step * (n + 1)`",
    ),
    (
        lambda token, expected: token.type == "COMMA" and "RPAR" in expected,
        "{} cannot stand in parentheses that hold one value",
        "a size is written `3x3`, a list `[3, 3]`",
    ),
    (
        lambda token, expected: token.type == "LBRACE" and {"EACH", "WHEN"} <= expected,
        "{} cannot follow a repeat or other braces",
        "what enters stands before the repeat: `Cell(4) {{ a; b }} * 3`",
    ),
    (
        lambda token, expected: token.type == "COLON" and bool({"RSQB", "NUMBER"} & expected),
        "{} takes no part of a tensor",
        "write `slice(1, 3)` for channels, `slice(1, 3, axis=2)` for another axis",
    ),
    (
        lambda token, expected: token.type == "COLON" and {"_ARROW", "STAR"} <= expected,
        "{} stands behind a step, and a label begins its line",
        "write `name: step -> step`; the label names what the whole line gives",
    ),
    (
        lambda token, expected: token.type == "LPAR" and {"_ARROW", "WHEN"} <= expected,
        "{} follows a step directly",
        "a tensor enters a step by an arrow: `image -> conv(64, 3x3)`",
    ),
    (
        lambda token, expected: token.type == "COMMA" and {"_ARROW", "WHEN"} <= expected,
        "{} does not separate steps",
        "steps are joined by `->`; what enters a join is separated by `;`: `add {{ a; b }}`",
    ),
    (
        lambda token, expected: (
            token.type in ("RBRACE", "_NL", "_ARROW", "$END") and {"COMMA", "COLON"} >= expected
        ),
        "names with commas are labels, and no step follows",
        "write `a, b: split(2)`; what enters a join is separated by `;`: `add {{ a; b }}`",
    ),
    (
        lambda token, expected: token.type == "SLASHES" and {"FOR", "LBRACE"} <= expected,
        "{} stands where a step is missing",
        "a comment begins with `#`",
    ),
    (
        lambda token, expected: token.type == "NUMBER" and {"FOR", "LBRACE"} <= expected,
        "{} stands where a step is missing",
        "a repeat is written behind its step: `relu * 3`",
    ),
    (
        lambda token, expected: token.type == "LPAR" and {"FOR", "LBRACE"} <= expected,
        "{} stands where a step is missing",
        "braces group steps, `{{ a -> b }}`; several tensors enter as `add {{ a; b }}`",
    ),
    (
        lambda token, expected: token.type == "COLON" and "LBRACE" in expected,
        "{} does not open a body",
        "a body stands in braces: `{{ … }}`",
    ),
    (
        lambda token, expected: token.type == "VBAR",
        "{} stands outside a table",
        "a row begins on its own line and ends with `|`",
    ),
    (
        lambda token, expected: token.type == "_NL" and "VBAR" in expected,
        "the row does not end with `|`",
        "every cell of a table is followed by `|`",
    ),
    (
        lambda token, expected: token.type == "_ARROW" and {"LBRACE", "COLON"} <= expected,
        "{} needs ports on both sides",
        "write `block Name(…): input -> output {{ … }}`",
    ),
    (
        lambda token, expected: {"NUMBER", "STRING", "NAME"} <= expected,
        "{} stands where a value is missing",
        "",
    ),
    (
        lambda token, expected: {"FOR", "LBRACE", "NAME"} <= expected,
        "{} stands where a step is missing",
        "a step is an operation, a block, a tensor or braces",
    ),
]
