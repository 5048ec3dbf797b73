"""Places in a source text, and the messages that point at them."""

from __future__ import annotations

import bisect
import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property

from cnndsl.records import Record, record


@dataclass(frozen=True)
class Source:
    """A text with the name it is shown under."""

    name: str
    text: str

    @cached_property
    def starts(self) -> list[int]:
        """The offset at which each line begins."""
        return [0, *(match.end() for match in re.finditer("\n", self.text))]

    def position(self, offset: int) -> tuple[int, int]:
        """The 1-based (line, column) of an offset."""
        row = bisect.bisect_right(self.starts, offset) - 1
        return row + 1, offset - self.starts[row] + 1

    def line(self, number: int) -> str:
        """The text of a 1-based line, without its end."""
        start = self.starts[number - 1]
        stop = self.starts[number] if number < len(self.starts) else len(self.text)
        return self.text[start:stop].rstrip("\n")


@record
class Span(Record):
    """Characters `start` to `stop` of a source."""

    source: Source = field(repr=False)
    start: int
    stop: int

    @property
    def line(self) -> int:
        """The 1-based line on which it begins."""
        return self.source.position(self.start)[0]

    @property
    def text(self) -> str:
        """The characters themselves."""
        return self.source.text[self.start : self.stop]

    def __str__(self) -> str:
        """`file:line:column`."""
        line, column = self.source.position(self.start)
        return f"{self.source.name}:{line}:{column}"


@record
class Edit(Record):
    """A mend: the text that takes a place; `certain` where nothing else can be meant."""

    span: Span
    text: str
    certain: bool = False

    @property
    def title(self) -> str:
        """What it does, in words."""
        if not self.text.strip():
            return f"Remove `{self.span.text.strip()}`"
        if self.span.start == self.span.stop:
            return f"Insert `{self.text.strip()}`"
        return f"Replace `{self.span.text.strip()}` with `{self.text.strip()}`"


class Near(str):
    """A help that says what stands for a word: `certain` where nothing else can be meant."""

    word: str
    meant: str
    certain: bool

    def __new__(cls, text: str, word: str, meant: str, *, certain: bool = True) -> Near:
        """The help, the word that is there, and what is written for it."""
        made = super().__new__(cls, text)
        made.word, made.meant, made.certain = word, meant, certain
        return made


@record
class Diagnostic(Record):
    """One fault: what rule is broken, where, with which values, and the mend."""

    code: str
    message: str
    span: Span | None = None
    note: str = ""
    """Written behind the caret."""
    related: tuple[tuple[Span, str], ...] = ()
    """Other places that matter, each with its note."""
    stack: tuple[str, ...] = ()
    """The block calls that led here, innermost last."""
    help: str = ""
    edit: Edit | None = None
    """The mend, where the message knows it."""

    @property
    def mend(self) -> Edit | None:
        """The edit that mends it: its own, or the word that its help proposes."""
        help = self.help
        if self.edit is not None or self.span is None or not isinstance(help, Near):
            return self.edit
        # Not `ReLU` in `nn.ReLU`, of which the rest would stay.
        word = rf"(?<!\w)(?<!\w\.){re.escape(help.word)}(?!\w)"
        found = [match.start() for match in re.finditer(word, self.span.text)]
        if len(found) != 1:
            return None
        start = self.span.start + found[0]
        place = Span(self.span.source, start, start + len(help.word))
        return Edit(place, help.meant, help.certain)

    @property
    def severity(self) -> str:
        """`error`, or `warning` for codes that begin with W."""
        return "warning" if self.code.startswith("W") else "error"

    def __str__(self) -> str:
        """The whole message, as a terminal shows it without colour."""
        return "".join(text for text, _ in self.parts())

    def parts(self) -> list[tuple[str, str]]:
        """Pieces of text, each with a role: severity, text, gutter, source, caret, help."""
        message = printable(_cut(self.message))
        out = [(f"{self.severity}[{self.code}]", "severity"), (f": {message}\n", "text")]
        places = [(self.span, self.note, "^")] if self.span else []
        places += [(span, note, "-") for span, note in self.related]
        if places:
            width = max(len(str(span.line)) for span, _, _ in places)
            out += _excerpts(places, width)
        else:
            width = 1
        gutter = " " * (width + 2) + "= "
        if self.stack:
            out += [(gutter, "gutter"), (f"in: {' → '.join(_ends(self.stack))}\n", "text")]
        if self.help:
            out += [(gutter, "gutter"), (f"help: {printable(self.help)}\n", "help")]
        return out


def _cut(message: str, most: int = 80) -> str:
    """The message with what it quotes cut: a pattern or a name may be of any length."""

    def shorter(match: re.Match[str]) -> str:
        return f"{match[0][:most]}…{match[0][-1]}"

    return short(re.sub(rf"`[^`]{{{most},}}`|\"[^\"]{{{most},}}\"", shorter, message), 1000)


def printable(text: str) -> str:
    """The text with `·` for what a terminal would obey instead of showing it."""
    return "".join(c if c.isprintable() or c in "\n\t" else "·" for c in text)


def _ends(stack: tuple[str, ...], most: int = 8) -> tuple[str, ...]:
    """The outermost and innermost calls of a deep stack."""
    if len(stack) <= most:
        return stack
    half = most // 2
    return (*stack[:half], f"{len(stack) - most} more", *stack[-half:])


def _excerpts(places: list[tuple[Span, str, str]], width: int) -> list[tuple[str, str]]:
    """The source lines of some places, each with its mark below it."""
    bar = f" {'':{width}} |"
    out: list[tuple[str, str]] = []
    shown = ""
    for span, note, mark in places:
        if span.source.name != shown:
            arrow = "-->" if not shown else ":::"
            out += [(f" {'':{width}}{arrow} ", "gutter"), (f"{printable(str(span))}\n", "text")]
            out.append((f"{bar}\n", "gutter"))
            shown = span.source.name
        line, column = span.source.position(span.start)
        text, start, length = _clip(span.source.line(line), column - 1, span.stop - span.start)
        # Tabs are kept in the margin so that the caret stays below its character.
        margin = "".join("\t" if c == "\t" else " " for c in text[:start])
        out += [(f" {line:{width}} |", "gutter"), (f" {text}\n", "source")]
        marks = f" {margin}{mark * length}{' ' + note if note else ''}\n"
        out += [(bar, "gutter"), (marks, "caret")]
    return out


def _clip(text: str, start: int, length: int, width: int = 120) -> tuple[str, int, int]:
    """Cut a long line to a window around the marked part; control characters to `·`."""
    text = printable(text)
    length = max(1, min(length, len(text) - start))
    if len(text) <= width:
        return text, start, length
    left = max(0, start - width // 3)
    cut = text[left : left + width]
    head = "…" if left else ""
    tail = "…" if left + width < len(text) else ""
    return (
        head + cut + tail,
        start - left + len(head),
        max(1, min(length, width - start + left)),
    )


class ArchError(Exception):
    """The faults found in a file: what a user of the library catches.

    `diagnostics` holds one entry for each independent fault, in source order.
    """

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        """Hold the diagnostics."""
        self.diagnostics = tuple(diagnostics)
        super().__init__(self.diagnostics)

    def __str__(self) -> str:
        """All the messages, a blank line between them."""
        return "\n".join(map(str, self.diagnostics))


class Fault(Exception):  # noqa: N818 - an error of the file, not of the program
    """One diagnostic on its way to the place that collects them; never shown to a user."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        """Hold the diagnostic."""
        self.diagnostic = diagnostic
        super().__init__(diagnostic.message)


class OpError(Exception):
    """An operation's refusal, without a place: elaboration adds span, path and stack.

    `attribute` names the argument to point at, `operand` the input.
    """

    def __init__(
        self,
        message: str,
        *,
        help: str = "",
        attribute: str | None = None,
        operand: int | None = None,
        code: str = "E401",
    ) -> None:
        """Say which rule is broken, with the values seen, and the mend."""
        super().__init__(message)
        self.message = message
        self.help = help
        self.attribute = attribute
        self.operand = operand
        self.code = code


def fault(code: str, message: str, span: Span | None = None, **more: object) -> Fault:
    """A `Fault` around a new `Diagnostic`; `more` are the diagnostic's other fields."""
    return Fault(replace(Diagnostic(code, message, span), **more))  # type: ignore[arg-type]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`did you mean "conv"?`, or nothing where no known name is near.

    For a choice of a few words; what stands for something else is asked of `spelling`.
    """
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    help = f"did you mean `{near[0] if near else ''}`?"
    return Near(help, name, near[0], certain=False) if near else ""


def spelling(name: str, known: Iterable[str]) -> str:
    """`did you mean "conv"?` where one known name alone is this one, misspelt.

    A slip keeps the digits and the first letter; the shorter the name, the less is a slip.
    """
    if len(name) > 40:
        return ""
    words = {word for word in known if word != name}
    same = [word for word in words if _letters(word) == _letters(name)]
    near = same or [word for word in words if _slip(_letters(name), _letters(word))]
    return Near(f"did you mean `{near[0]}`?", name, near[0]) if len(near) == 1 else ""


def _letters(name: str) -> str:
    return name.lower().replace("_", "")


def _slip(name: str, word: str) -> bool:
    least = min(len(name), len(word))
    if least < 2 or re.findall(r"\d", name) != re.findall(r"\d", word):
        return False
    if sorted(name) == sorted(word):
        return _edits(name, word) == 1
    if name[0] != word[0] or (len(name) == len(word) and least < 5):
        return False
    return _edits(name, word) <= (0 if least < 3 else 1 if least < 8 else 2)


def _edits(one: str, other: str) -> int:
    """Letters to add, drop, replace or swap.  Source: Damerau 1964, optimal alignment."""
    rows = [list(range(len(other) + 1))]
    for i, a in enumerate(one, 1):
        row = [i]
        for j, b in enumerate(other, 1):
            least = min(rows[-1][j] + 1, row[-1] + 1, rows[-1][j - 1] + (a != b))
            if i > 1 < j and (a, b) == (other[j - 2], one[i - 2]):
                least = min(least, rows[-2][j - 2] + 1)
            row.append(least)
        rows.append(row)
    return rows[-1][-1]


def short(text: str, most: int = 40) -> str:
    """A word of the file in a message, cut where it is long."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def spell_tensors(count: int) -> str:
    """`1 tensor`, `2 tensors`."""
    return f"{count} tensor{'' if count == 1 else 's'}"


MOST = 12
"""Names in a sentence."""


def listing(names: Iterable[str]) -> str:
    """The names in a sentence: `a`, `b` and `c`."""
    quoted = [f"`{name}`" for name in names]
    if len(quoted) > MOST:
        return f"{', '.join(quoted[: MOST - 2])} and {len(quoted) - MOST + 2} more"
    if len(quoted) < 2:
        return "".join(quoted)
    return f"{', '.join(quoted[:-1])} and {quoted[-1]}"
