"""What the parser did not expect, as a sentence with a mend."""

from __future__ import annotations

import re
from collections.abc import Callable

from lark import Token
from lark.exceptions import UnexpectedCharacters, UnexpectedToken

from cnndsl.diagnostics import Edit, Fault, Source, Span, did_you_mean, fault, short

OPENING = {"LPAR": ")", "LSQB": "]", "LBRACE": "}"}
"""Each opening bracket with what closes it."""
DECLARATIONS = ("model", "block", "use", "default", "let")


def token_span(source: Source, token: Token) -> Span:
    """Where a token stands; of an arrow at a line's start, the arrow alone."""
    start, stop = token.start_pos or 0, token.end_pos or 0
    if token.type == "_ARROW":
        start = stop - len("->")
    return Span(source, start, max(start + 1, stop))


def explained(
    source: Source, error: UnexpectedCharacters | UnexpectedToken, opened: list[Token]
) -> Fault:
    """A character that begins no word, a bracket that stays open, or a word out of place."""
    if isinstance(error, UnexpectedCharacters):
        return _bad_character(source, error)
    return _unclosed(source, error.token, opened) or _bad_token(source, error)


def _unclosed(source: Source, token: Token, opened: list[Token]) -> Fault | None:
    """A token that shows that the bracket before it was meant to be closed."""
    if not opened:
        return None
    last = opened[-1]
    if last.type == "LBRACE":
        # A declaration cannot stand in braces; which of them is open, columns tell.
        begins = not source.text[: token.start_pos or 0].rpartition("\n")[2].strip()
        label = re.compile(r"[ \t]*:").match(source.text, token.end_pos or 0)
        if token.type not in ("MODEL", "BLOCK", "USE", "AT") or not begins or label:
            return None
        last = opened[0]
    elif token.line == last.line:
        return None
    message = f"`{last}` is never closed"
    related = ((token_span(source, token), "this cannot stand inside"),)
    help = f"add the missing `{OPENING[last.type]}`"
    return fault("E103", message, token_span(source, last), related=related, help=help)


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
    written = next((here for here, signs in _SIGNS.items() if character in signs), "")
    edit = Edit(span, written, certain=True) if written in ("->", "-", '"', "<=") else None
    help = _SIGN_HELP.get(character) or (f"write `{written}`" if written else "")
    return fault("E102", f"unexpected {shown}", span, help=help, edit=edit)


_SIGNS = {
    "->": "→⟶➔➜⇒",
    "-": "−–—‐",
    '"': "“”„",
    "<=": "≤",
    ">=": "≥",
    "!=": "≠",
    "**": "^",
    "and": "&",
    "not": "!¬",
    "add { a; b }": "⊕",
    "mul { a; b }": "⊗⊙·∘∗",
    "concat { a; b }": "∥‖",
    "0..n": "…",
}
"""What is written here → the signs that stand for it in papers and in other languages."""
_SIGN_HELP = {
    "×": "a size is written `3x3`, a repeat `step * 3`",
    "?": "a choice of two values is written `a if c else b`, an unknown size `H`",
    "\\": "a line goes on where the next one begins with `->`",
}


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
    span = Span(source, end, end + 1) if token.type == "$END" else token_span(source, token)
    if token.type == "_NL":
        span = Span(source, span.start, span.start + 1)
    said = f"`{short(token)}`"
    if token.type in ("_NL", "$END", "_ARROW"):
        said = _SAID[token.type]
    if token == '""' and source.text.startswith('"""', span.start):
        help = 'close it with `"""`'
        span = Span(source, span.start, span.start + 3)
        return fault("E102", "the doc string is never closed", span, help=help)
    for sign, (written, help) in _PAIRS.items():
        if source.text.startswith(sign, span.start):
            span = Span(source, span.start, span.start + len(sign))
            mend = Edit(span, written, certain=True) if written else None
            return fault("E101", f"`{sign}` cannot stand here", span, help=help, edit=mend)
    line = source.text[source.text.rfind("\n", 0, span.start) + 1 : span.start].lstrip()
    if line.startswith(("use ", "@")) and {"LPAR", "_NL"} <= expected:
        help = 'write `use "lib/resnet.arch" (Bottleneck)`'
        if line.startswith("@"):
            help = "there are @cite, @deviates, @expect, @keys and @title"
        return fault("E101", f"{said} cannot stand here", span, help=help)
    if "MODEL" not in expected and (wrong := _bad_label(source, span)):
        return wrong
    before = re.search(r"(\w+)[ \t]*$", source.text[max(0, span.start - 80) : span.start])
    if token.type == "COLON" and before and before[1].upper() in _KEYWORDS:
        stop = span.start - len(before[0]) + len(before[1])
        message = f"`{before[1]}` is a keyword and cannot be a label"
        span = Span(source, stop - len(before[1]), stop)
        return fault("E101", message, span, help="choose another name")
    if token.type in _KEYWORDS and "NAME" in expected:
        if token.type in _MISPLACED and "LBRACE" in expected:
            help = _MISPLACED[token.type]
            return fault("E101", f"{said} stands where a step is missing", span, help=help)
        return fault(
            "E101",
            f"`{token}` is a keyword, but a name is needed here",
            span,
            help="choose another name",
        )
    if before and before[1] in _MEANINGLESS and token.type in _WORDS:
        stop = span.start - len(before[0]) + len(before[1])
        help = _MEANINGLESS[before[1]]
        span = Span(source, stop - len(before[1]), stop)
        return fault("E101", f"`{before[1]}` has no meaning here", span, help=help)
    for wanted, message, help in _HINTS:
        if wanted(token, expected):
            near = ""
            if "MODEL" in expected:
                near = _DECLARED.get(token) or did_you_mean(token, DECLARATIONS)
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


def _bad_label(source: Source, span: Span) -> Fault | None:
    """What begins a line like a label and cannot be one: `conv-1:`, `"conv1":`."""
    start = source.text.rfind("\n", 0, span.start) + 1
    found = re.compile(r'[ \t]*("[^"\n]*"|[\w.-]+)[ \t]*:(?=[ \t]*[^\W\d])').match(
        source.text, start
    )
    if found is None or span.start >= found.end(1) or found[1].isidentifier():
        return None
    help = "a label is a name: letters, digits and `_`"
    place = Span(source, found.start(1), found.end(1))
    return fault("E101", f"`{short(found[1])}` is not a valid label", place, help=help)


_PAIRS = {
    "=>": ("->", "steps are joined by `->`"),
    "||": ("or", "write `or`"),
    "+=": ("", "a name keeps what it stands for: `y: add { a; b }`, or `let d = c + 64`"),
    "|---": ("", "the rows of a table follow its names directly"),
}
"""Signs of other languages that begin like a word → what is written instead, and the help."""
_MEANINGLESS = {
    "return": "an output is a label that the head names: `-> y { y: … }`",
    "elif": "write `else step when c`",
    "while": "a repeat is written `step * 3`",
    "lambda": "an `op` takes an operation with its arguments: `act=leaky(0.1)`",
}
"""Words of Python before another word → what is written instead."""
_MISPLACED = {
    **dict.fromkeys(("IF", "WHEN"), "a condition ends its line: `step when c`"),
    "LET": "a `let` goes on a line of its own",
    "DEFAULT": "a `default` goes on a line of its own",
}
"""Keywords where a step is missing → where they go."""
_DECLARED = {
    **dict.fromkeys(
        ("def", "class", "fn", "func", "function"), "write `block Name(c: int) { … }`"
    ),
    **dict.fromkeys(
        ("import", "from", "include"), 'write `use "lib/resnet.arch" (Bottleneck)`'
    ),
    **dict.fromkeys(("const", "var"), "write `let name = value`"),
    **dict.fromkeys(
        ("network", "net", "graph", "input"),
        "write `model Name: image[3, H=224, W=224] -> logits { … }`",
    ),
}
"""The words of other languages for a declaration → what is written instead."""
_WORDS = {"NAME", "NUMBER", "SIZE", "STRING", "IN"}
_INFIX = {
    "PLUS": "write `add {{ a; b }}`, `add(1)`; in a repeat, `step * (n + 1)`",
    "MINUS": "write `sub {{ a; b }}`, `sub(1)`; in a repeat, `step * (n - 1)`",
    "SLASH": "write `div {{ a; b }}`, `div(2)`; a stride is `conv(64, 3x3, stride=2)`",
    "SLASHES": "a comment begins with `#`; in a repeat, write `step * (n // 2)`",
    "PERCENT": "there is no remainder of tensors; in a repeat, `step * (n % 2)`",
    "POWER": "write `pow(2)`",
    "AT": 'write `einsum("n c, c m -> n m") {{ a; b }}`',
}
"""What joins values → how tensors are joined, and what else may be meant."""
_STEPLESS = {
    **dict.fromkeys(("SLASHES", "SLASH"), "a comment begins with `#`"),
    "SIZE": "a step begins with its name: `conv(64, 3x3)`",
    "MINUS": "a line begins with its label or its first step",
    "NUMBER": "a repeat comes after its step: `relu * 3`",
    **dict.fromkeys(
        ("LPAR", "LSQB"),
        "braces group steps, `{{ a -> b }}`; several tensors enter as `add {{ a; b }}`",
    ),
}
"""What stands where a step is missing → what may be meant."""
_HINTS: list[tuple[Callable[[Token, set[str]], bool], str, str]] = [
    (
        lambda token, expected: {"MODEL", "BLOCK"} <= expected,
        "{} stands outside every block",
        "a file holds `use`, `default`, `let`, `block` and `model`",
    ),
    (
        lambda token, expected: (
            (token.type == "COMMA" and expected <= {"_ARROW", "LBRACE"})
            or (token.type == "LSQB" and {"LPAR", "STAR"} <= expected)
        ),
        "{} cannot stand here",
        "several ports go in parentheses: `(a[3, H, W], b[3, H, W]) -> (y, z)`",
    ),
    (
        lambda token, expected: token.type == "LBRACE" and expected == {"_ARROW"},
        "{} opens the body before the outputs are named",
        "write `model Name: image[3, H=224, W=224] -> y {{ y: … }}`",
    ),
    (
        lambda token, expected: token.type == "LSQB" and {"LPAR", "COLON"} <= expected,
        "{} cannot follow a name",
        "parameters go in parentheses: `model Name(n: int = 3): …`",
    ),
    (
        lambda token, expected: expected == {"LPAR", "COMMA"},
        "{} cannot stand here",
        "write `default conv(norm=bn, act=relu)`",
    ),
    (
        lambda token, expected: token.type == "EQUAL" and "CMP" in expected,
        "{} does not compare",
        "equality is written `==`",
    ),
    (
        lambda token, expected: expected == {"EQUAL"},
        "{} cannot follow a value's name",
        "a value is written `let name = value`, without a type",
    ),
    (
        lambda token, expected: token.type == "COMMA" and "VBAR" in expected,
        "{} cannot stand in a table",
        "cells are separated by `|`",
    ),
    (
        lambda token, expected: (
            token.type == "NUMBER" and {"VBAR", "NAME"} == expected - {"IN"}
        ),
        "{} cannot follow `for`",
        "write `for i in 0..3 {{ … }}`, or `step * 3`",
    ),
    (
        lambda token, expected: token.type == "SEMICOLON" and {"COMMA", "RPAR"} <= expected,
        "{} cannot stand in parentheses",
        "tensors enter in braces: `add {{ a; b }}`",
    ),
    (
        lambda token, expected: token.type == "COLON" and {"COMMA", "RPAR"} <= expected,
        "{} cannot stand in parentheses",
        "arguments are named with `=`: `stride=2`; text goes in double quotes",
    ),
    (
        lambda token, expected: token.type in ("COMMA", "RSQB") and expected == {"NAME"},
        "{} follows `*`, which needs a name",
        "any number of axes is `*S`; a size that is given later is `H`",
    ),
    (
        lambda token, expected: {"LSQB", "AS", "_ARROW"} <= expected,
        "{} cannot follow a port",
        "a port has its sizes in brackets: `image[3, H=224, W=224]`",
    ),
    (
        lambda token, expected: token.type == "LPAR" and {"AS", "_ARROW"} <= expected,
        "{} cannot follow a port",
        "parameters follow the name: `model Name(n: int = 3): …`",
    ),
    (
        lambda token, expected: expected == {"STRING"},
        "{} is not a path in quotes",
        'write `use "lib/resnet.arch" (Bottleneck)`',
    ),
    (
        lambda token, expected: (
            token.type in ("COMMA", "RPAR", "EQUAL", "NAME") and expected == {"COLON"}
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
        lambda token, expected: token.type == "ELSE" and "_NL" in expected,
        "{} does not begin its line",
        "begin the next line with it: `else conv(64, 1x1)`",
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
        lambda token, expected: (
            token.type in ("EQUAL", "CMP", "DOT") and {"_ARROW", "WHEN"} <= expected
        ),
        "{} does not join steps",
        "steps are joined by `->`",
    ),
    (
        lambda token, expected: token.type == "VBAR" and {"_ARROW", "WHEN"} <= expected,
        "{} does not join steps",
        "steps are joined by `->`; a table's row begins on its own line and ends with `|`",
    ),
    *(
        (
            lambda token, expected, kind=kind: (
                token.type == kind and {"_ARROW", "WHEN"} <= expected
            ),
            "{} does not join tensors",
            help,
        )
        for kind, help in _INFIX.items()
    ),
    (
        lambda token, expected: token.type == "AT" and {"COMMA", "RPAR"} <= expected,
        "{} follows a value directly",
        "channels and kernel are separated by a comma: `conv(64, 3x3)`",
    ),
    (
        lambda token, expected: token.type == "COMMA" and "RPAR" in expected,
        "{} cannot stand in parentheses that hold one value",
        "a size is written `3x3`, a list `[3, 3]`",
    ),
    (
        lambda token, expected: token.type == "COMMA" and expected == {"IN"},
        "a `for` over values has one name",
        "number them with `for i in 0..len(widths)` and `widths[i]`, or write a table",
    ),
    (
        lambda token, expected: token.type == "LBRACE" and {"EACH", "WHEN"} <= expected,
        "{} cannot follow a repeat or other braces",
        "give the inputs to a first call, and repeat it on the next line:"
        " `Cell(4) {{ a; b }}`, then `Cell(4) * 2`",
    ),
    (
        lambda token, expected: token.type == "COLON" and bool({"RSQB", "NUMBER"} & expected),
        "{} takes no part of a tensor",
        "write `slice(1, 3)` for channels, `slice(1, 3, axis=2)` for another axis;"
        " of a repeat or a loop `x[*]` is every turn",
    ),
    (
        lambda token, expected: token.type == "COLON" and {"_ARROW", "STAR"} <= expected,
        "{} follows a step, but a label begins its line",
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
    *(
        (
            lambda token, expected, kind=kind: (
                token.type == kind and {"FOR", "LBRACE"} <= expected
            ),
            "{} stands where a step is missing",
            help,
        )
        for kind, help in _STEPLESS.items()
    ),
    (
        lambda token, expected: token.type == "COLON" and "LBRACE" in expected,
        "{} does not open a body",
        "a body goes in braces: `{{ … }}`; a range is `0..n`",
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
        lambda token, expected: (
            token.type in ("SLASH", "LBRACE") and {"NUMBER", "STRING", "NAME"} <= expected
        ),
        "{} stands where a value is missing",
        "arguments are named with `=`: `stride=2`",
    ),
    (
        lambda token, expected: token.type == "DOT" and {"NUMBER", "NAME"} <= expected,
        "{} stands where a value is missing",
        "a range is written `0..n`",
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
