"""The one layout of a file: spaces, indents and tables; words and lines stay the writer's.

It works on tokens, not on the tree: nothing that is written can be lost, and a file that is
half written has a layout too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from cnndsl.diagnostics import ArchError, Diagnostic, Source, Span
from cnndsl.editing.tokens import Token, operators, tokens

INDENT = 2
HEAD = 4
"""The indent of a line that continues the head of a block."""
PASSES = 8
NEAR = 2
"""So many lines apart, words that stand one below another were meant to."""

_OPEN, _CLOSE = {"(": ")", "[": "]", "{": "}"}, (")", "]", "}")
_TIGHT_AFTER = {"(", "[", ".", "..", "@"}
_TIGHT_BEFORE = {")", "]", ",", ";", ":", ".", ".."}
_BEFORE_PREFIX = {
    *("(", "[", "{", ",", ":", ";", "|", "=", "->", "..", "+", "-", "*", "/", "//", "%", "**"),
    *("==", "!=", "<=", ">=", "<", ">"),
}
_BINARY = _BEFORE_PREFIX - {"(", "[", "{", ",", ";", "|", ".."}


def layout(text: str, name: str = "<text>") -> str:
    """A text in the layout.  Raises ArchError: a bracket or a character leaves it without one.

    Every word and every comment stays, in its order and on its line; the line ends stay of
    their kind.
    """
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    end = "\r\n" if "\r\n" in text else "\r" if "\r" in text else "\n"
    plain = text.removeprefix(mark).replace("\r\n", "\n").replace("\r", "\n")
    laid = _settled(Source(name, plain))
    kept = laid == plain or list(_kept(plain)) == list(_kept(laid))
    assert kept, "a word was lost"
    return mark + laid.replace("\n", end)


def _kept(text: str) -> Iterator[tuple[str, str]]:
    """What a layout must not touch: the words, the comments, and where lines end."""
    pending = False
    began = False
    for kind, found, _ in tokens(text):
        if kind == "newline":
            pending = began
        elif kind != "space":
            if pending:
                yield "newline", "\n"
            pending, began = False, True
            yield kind, found.rstrip() if kind == "comment" else found


def _settled(source: Source) -> str:
    """The text, laid out until there is nothing to do.

    Words that met in a column by chance may part again, and others meet: where that has no
    end, none is aligned.
    """
    for _ in range(PASSES):
        laid, aligned = _laid(source)
        if not aligned or laid == source.text:
            return laid
        source = Source(source.name, laid)
    return _laid(source, align=False)[0]


def _laid(source: Source, *, align: bool = True) -> tuple[str, bool]:
    """The text laid out once, and whether words were moved to stay below others."""
    lines = _read(source)
    aligned = False
    for paragraph in _paragraphs(lines):
        aligned |= _align_tables(paragraph, align=align)
        aligned |= align and _align_words(paragraph)
        _align_comments(paragraph)
    out: list[str] = []
    last = Line()
    for number, line in enumerate(lines):
        if line.words or line.comment:
            out.append(line.text())
            last = line
        elif out and out[-1] and not _edge(last, lines, number):
            out.append("")
    while out and not out[-1]:
        out.pop()
    return "\n".join([*out, ""]) if out else "", aligned


def _edge(before: Line, lines: list[Line], number: int) -> bool:
    """Whether an empty line opens or closes braces."""
    after = next((line for line in lines[number:] if line.words or line.comment), Line())
    opens = bool(before.words) and before.words[-1].text == "{" and not before.comment
    return opens or bool(after.words and after.words[0].text == "}")


# Lines


@dataclass(slots=True)
class Word:
    """A token of a line, and the spaces before it."""

    text: str
    kind: str
    column: int
    """Where the writer put it."""
    gap: int
    """The spaces that belong before it."""
    wide: int = 0
    """How many more the writer put."""
    pad: int = 0
    """The spaces that alignment adds."""


@dataclass(slots=True, eq=False)
class Line:
    """A line of the file.

    It begins `indent` behind the beginning of its `anchor`: nothing, another line, or the
    bracket (`word` of that line) inside which it stands.
    """

    words: list[Word] = field(default_factory=list)
    comment: str = ""
    comment_column: int = 0
    indent: int = 0
    anchor: Line | None = None
    word: int | None = None
    row: int | None = None
    """Where the line is a row of a table, the place of its first `|` in `words`."""
    gap: int = 2
    """The spaces before its comment."""

    def begin(self) -> int:
        """The column of its first character."""
        if self.anchor is None:
            return self.indent
        if self.word is None:
            return self.anchor.begin() + self.indent
        return self.anchor.place(self.word) + self.indent

    def place(self, number: int) -> int:
        """The column of one of its words."""
        column = self.begin()
        for at, word in enumerate(self.words):
            column += word.gap + word.pad
            if at == number:
                break
            column += len(word.text)
        return column

    def width(self) -> int:
        """The column behind its last word."""
        return self.place(len(self.words) - 1) + len(self.words[-1].text) if self.words else 0

    def text(self) -> str:
        """The line as it is written."""
        parts = [" " * self.begin()]
        for word in self.words:
            parts += [" " * (word.gap + word.pad), word.text]
        if self.comment:
            parts += [" " * self.gap if self.words else "", self.comment]
        return "".join(parts)


@dataclass(slots=True)
class _Open:
    """An open bracket: where its lines stand, and whether it holds a block's parameters."""

    token: Token
    line: Line
    word: int
    base: Line
    """The line with whose beginning its end is aligned."""
    head: bool = False
    last: bool = False
    """Whether nothing follows it on its line."""


@dataclass(slots=True)
class _Reader:
    """Takes the tokens of lines, and says how each line is indented and spaced."""

    source: Source
    opened: list[_Open] = field(default_factory=list)
    head: Line | None = None
    """The line with `model` or `block`, until its body begins."""
    statement: Line | None = None
    """The line where the statement began that is going on."""
    table: Line | None = None
    before: Token | None = None
    beforehand: Token | None = None

    def line(self, found: list[Token], start: int) -> Line:
        """The next line, of these tokens."""
        line = Line()
        first = found[0]
        if first.kind == "comment":
            line.comment, line.comment_column = first.text.rstrip(), first.start - start
            return line
        self._indent(line, first)
        stop = start
        for number, token in enumerate(found):
            if token.kind == "comment":
                line.comment, line.comment_column = token.text.rstrip(), token.start - start
                break
            column = token.start - start
            gap = self._gap(token) if number else 0
            wide = max(0, token.start - stop - gap) if number else 0
            line.words.append(Word(token.text, token.kind, column, gap, wide))
            self._take(token, line)
            stop = token.stop
        self._after(line)
        return line

    def _indent(self, line: Line, first: Token) -> None:
        inside = self.opened[-1] if self.opened else None
        row = first.text == "|" and (inside is None or inside.token.text == "{")
        if row and self.table is not None:
            line.anchor, line.word, line.row = self.table, self.table.row, 0
            return
        if first.text in _CLOSE and inside is not None:
            line.anchor = inside.base
            if not inside.last:
                line.anchor, line.word = inside.line, inside.word
            return
        if inside is not None:
            braces = inside.token.text == "{"
            line.anchor, line.indent = inside.base, INDENT
            if not inside.last:
                line.anchor, line.word, line.indent = inside.line, inside.word, 1 + braces
            if not braces:
                return
        if self.head is not None and self.statement is not None:
            line.anchor, line.indent = self.head, HEAD if first.text != "{" else 0
        elif first.text == "->" or (
            self.statement is not None and first.text not in ("for", "{")
        ):
            line.indent += INDENT

    def _gap(self, token: Token) -> int:
        """The spaces that belong between the last token and this one."""
        last = self.before
        gap = self._wanted(token)
        if gap or last is None:
            return gap
        # Two that would be read as one stay apart.
        number = last.kind in ("number", "size") and token.text == "."
        return int(number or last.text + token.text in operators())

    def _wanted(self, token: Token) -> int:
        last, text = self.before, token.text
        if last is None:
            return 0
        top = self.opened[-1] if self.opened else None
        if last.text in _TIGHT_AFTER or text in _TIGHT_BEFORE:
            return 0
        if last.text == "{" and text == "}":
            return 0
        if "=" in (last.text, text):
            return int(top is None or top.token.text == "{" or top.head)
        if last.text in ("-", "*") and text != "|" and self._is_prefix():
            return 0
        if text in ("(", "["):
            return int(not self._callable(last))
        return 1

    def _callable(self, last: Token) -> bool:
        """Whether a bracket behind a token belongs to it."""
        tensor = last.text == "in" and not self._is("name", self.beforehand)
        return last.kind == "name" or last.text in (")", "]") or tensor

    @staticmethod
    def _is(kind: str, token: Token | None) -> bool:
        return token is not None and token.kind == kind

    def _is_prefix(self) -> bool:
        """Whether the last token, `-` or `*`, has nothing on its left."""
        left = self.beforehand
        if left is None:
            return True
        word = left.kind == "keyword" and left.text != "in"
        return word or left.text in _BEFORE_PREFIX

    def _take(self, token: Token, line: Line) -> None:
        number = len(line.words) - 1
        if token.text in _OPEN:
            head = self.head is not None
            parameters = token.text == "(" and head and not self.opened and self._names_block()
            base = line
            if token.text == "{" and self.head is not None and not self.opened:
                base, self.head = self.head, None
            elif token.text == "{" and self.table is not None and line.row is not None:
                base = self.table
            self.opened.append(_Open(token, line, number, base, parameters))
        elif token.text in _CLOSE:
            self._close(token)
        elif token.text in ("model", "block") and not self.opened:
            self.head = line
        elif token.text == "|" and self.before is not None and self.before.text == "for":
            line.row = number
            self.table = line
        self.beforehand, self.before = self.before, token

    def _names_block(self) -> bool:
        words = [] if self.head is None else self.head.words
        return len(words) == 3

    def _close(self, token: Token) -> None:
        if not self.opened or _OPEN[self.opened[-1].token.text] != token.text:
            message = f"`{token.text}` closes nothing"
            raise _unfit(message, self.source, token)
        self.opened.pop()

    def _after(self, line: Line) -> None:
        """What the end of a line means for those that follow."""
        last = self.before
        assert last is not None
        for opened in self.opened:
            if opened.line is line:
                opened.last = opened.word == len(line.words) - 1
        if line.row is None:
            self.table = None
        binary = last.text in _BINARY or last.text in ("or", "and", "not", "if")
        goes_on = binary or (self.head is not None)
        self.statement = (self.statement or line) if goes_on else None
        if self.opened and self.opened[-1].token.text == "{" and last.text == "{":
            self.statement = None


def _unfit(message: str, source: Source, token: Token) -> ArchError:
    span = Span(source, token.start, token.stop)
    help = "fix this first; then the file can be formatted"
    return ArchError([Diagnostic("E103", message, span, help=help)])


def _read(source: Source) -> list[Line]:
    """The lines of a text.  Raises ArchError."""
    text = source.text
    reader = _Reader(source)
    lines: list[Line] = []
    found: list[Token] = []
    start = 0
    for token in (*tokens(text), Token("newline", "\n", len(text))):
        if token.kind == "newline":
            lines.append(reader.line(found, start) if found else Line())
            found, start = [], token.stop
        elif token.kind == "other":
            raise _unfit(f"`{token.text}` means nothing here", source, token)
        elif token.kind != "space":
            found.append(token)
    if reader.opened:
        last = reader.opened[-1].token
        raise _unfit(f"`{last.text}` is never closed", source, last)
    _place_comments(lines)
    return lines


def _place_comments(lines: list[Line]) -> None:
    """A comment alone stands where the next line does."""
    following: Line | None = None
    for line in reversed(lines):
        if line.words:
            following = line
        elif line.comment and following is not None:
            closes = following.words[0].text in _CLOSE
            line.anchor, line.word = following.anchor, following.word
            line.indent = following.indent + (INDENT if closes else 0)
            if following.row and not line.word:
                line.anchor = following


# Alignment


def _paragraphs(lines: list[Line]) -> list[list[Line]]:
    """The runs of lines between empty ones."""
    found: list[list[Line]] = [[]]
    for line in lines:
        if line.words or line.comment:
            found[-1].append(line)
        elif found[-1]:
            found.append([])
    return found


def _align_tables(lines: Iterable[Line], *, align: bool) -> bool:
    table: list[Line] = []
    aligned = False
    for line in [*lines, Line()]:
        if line.row is not None and not (table and line.words[line.row - 1].text == "for"):
            table.append(line)
        elif line.words or not line.comment:
            if table:
                aligned |= _align_table(table, align=align)
            table = [line] if line.row is not None else []
    return aligned


def _cells(line: Line) -> list[tuple[list[Word], Word]]:
    """The cells of a row: the words of each, and the `|` behind it."""
    assert line.row is not None
    found: list[tuple[list[Word], Word]] = []
    words: list[Word] = []
    depth = 0
    for word in line.words[line.row + 1 :]:
        depth += (word.text in _OPEN) - (word.text in _CLOSE)
        if word.text == "|" and depth == 0:
            found.append((words, word))
            words = []
        else:
            words.append(word)
    return found


def _align_table(table: list[Line], *, align: bool) -> bool:
    """Columns of one width: numbers to the right, words to the left, `-` in the middle."""
    rows = [_cells(line) for line in table]
    aligned = False
    for column in range(max(map(len, rows), default=0)):
        cells = [row[column] for row in rows if column < len(row)]
        aligned |= align and _align([words for words, _ in cells], _width)
        widths = [_width(words) for words, _ in cells]
        numbers = any(words and words[0].kind == "number" for words, _ in cells)
        for row, ((words, bar), width) in enumerate(zip(cells, widths, strict=True)):
            room = max(widths) - width
            middle = row == 0 or (len(words) == 1 and words[0].text == "-")
            left = room if numbers else room // 2 if middle else 0
            if words:
                words[0].pad = left
            bar.pad = room - (left if words else 0)
    return aligned


def _width(words: list[Word], stop: int | None = None) -> int:
    """The characters of some words, up to the end of one, without the space before them."""
    shown = words[: None if stop is None else stop + 1]
    spaces = sum(word.gap + word.pad for word in shown[1:])
    return spaces + sum(len(word.text) for word in shown)


def _align_words(lines: list[Line]) -> bool:
    """Words that the writer put one below another stay so."""
    begins = {id(line.words): line for line in lines}

    def ends(words: list[Word], number: int) -> int:
        return begins[id(words)].place(number) + len(words[number].text)

    levels: dict[tuple[int, int, int], list[Line]] = {}
    for line in lines:
        if line.words and line.row is None:
            level = (id(line.anchor), line.word or -1, line.indent)
            levels.setdefault(level, []).append(line)
    aligned = False
    for members in levels.values():
        rows = [line.words if line in members else [] for line in lines]
        aligned |= len(members) > 1 and _align(rows, ends)
    return aligned


def _align(rows: list[list[Word]], ends: Callable[[list[Word], int], int]) -> bool:
    """Pads words so that those which stood one below another still do."""
    taken: set[Place] = set()
    chosen: list[tuple[int, int, list[Place]]] = []

    def moved(run: list[Place]) -> int:
        return sum(rows[row][number].wide > 0 for row, number in run)

    # Where a word could stand below two others, it is below those that were moved there.
    for column, begins, run in sorted(_shared(rows), key=lambda f: (-moved(f[2]), -len(f[2]))):
        members = [place for place in run if place not in taken]
        if len(members) > 1 and moved(members):
            taken.update(members)
            chosen.append((column, begins, members))
    # From left to right; what ends in a column comes before what begins there.
    for _, begins, members in sorted(chosen):
        rest = []
        for row, number in members:
            word = rows[row][number]
            rest.append((ends(rows[row], number) - begins * len(word.text), word))
        # Nothing moves further than the writer moved it: who would, was met by chance.
        kept = [
            (len(fit), column, fit)
            for column in {at for at, _ in rest}
            if (fit := [(at, word) for at, word in rest if 0 <= column - at <= word.wide])
        ]
        _, column, fit = max(kept, key=lambda found: found[:2])
        for at, word in fit:
            word.pad += column - at
    return bool(chosen)


Place = tuple[int, int]
"""A row, and the number of a word in it."""


def _shared(rows: list[list[Word]]) -> Iterator[tuple[int, int, list[Place]]]:
    """The words that begin (1) or end (0) in one column of lines that are near."""
    for begins in (1, 0):
        columns: dict[int, list[Place]] = {}
        for row, words in enumerate(rows):
            for number, word in enumerate(words):
                if number and (word.gap or word.kind != "operator"):
                    column = word.column + (0 if begins else len(word.text))
                    columns.setdefault(column, []).append((row, number))
        for column, places in columns.items():
            yield from ((column, begins, run) for run in _runs(places) if len(run) > 1)


def _runs(places: list[Place]) -> Iterator[list[Place]]:
    """Places whose lines are near each other."""
    run: list[Place] = []
    for place in places:
        if run and place[0] - run[-1][0] > NEAR:
            yield run
            run = []
        run.append(place)
    if run:
        yield run


def _align_comments(lines: list[Line]) -> None:
    """Comments behind neighbouring lines stand one below another."""
    run: list[Line] = []
    for line in [*lines, Line()]:
        goes_on = bool(run) and not line.words and line.comment_column == run[-1].comment_column
        if line.comment and (line.words or goes_on):
            run.append(line)
            continue
        column = max((member.width() for member in run), default=0) + 2
        for member in run:
            if member.words:
                member.gap = column - member.width()
            else:
                member.anchor, member.word, member.indent = None, None, column
        run = []
