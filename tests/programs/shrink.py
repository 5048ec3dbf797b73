"""A failing program made small: parts of its text are left out while it fails alike."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from cnndsl.ops import OPS

OPEN, CLOSE = "([{", ")]}"
TOKEN = re.compile(r'"""[\s\S]*?"""|"[^"\n]*"|->|\n|[()\[\]{},;|]|[^\s()\[\]{},;|"-]+|[ \t]+|.')
NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?![\w.%])")

Fails = Callable[[str], bool]


def shrink(text: str, fails: Fails, most: int = 1500) -> str:
    """The smallest text found, in at most so many tries, that still fails."""
    tries = Tries(fails, most)
    while True:
        before = text
        text = _without_parts(text, tries)
        for candidates in (_unwrapped, _numbers, _lines):
            text = _simplified(text, candidates, tries)
        if text == before or not tries.left:
            return text


class Tries:
    """Whether a text fails, no text twice, and no more than so many."""

    def __init__(self, fails: Fails, most: int) -> None:
        """None yet."""
        self.fails, self.left = fails, most
        self.known: set[str] = set()

    def __call__(self, text: str) -> bool:
        """Whether it fails; False where it is known or nothing is left."""
        if text in self.known or not self.left:
            return False
        self.known.add(text)
        self.left -= 1
        return self.fails(text)


def _without_parts(text: str, tries: Tries) -> str:
    """Without what stands between two separators, the longest parts first."""
    limit = len(text)
    while True:
        spans = sorted({s for s in _spans(text) if 0 < s[1] - s[0] <= limit}, key=_length)
        for start, end in spans:
            smaller = _tidy(text[:start] + text[end:])
            if tries(smaller):
                text, limit = smaller, end - start
                break
        else:
            return text


def _length(span: tuple[int, int]) -> int:
    return span[0] - span[1]


def _simplified(text: str, candidates: Callable[[str], Iterator[str]], tries: Tries) -> str:
    """The first of the candidates that fails, as long as there is one."""
    while True:
        found = next((smaller for smaller in candidates(text) if tries(smaller)), None)
        if found is None:
            return text
        text = found


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """Statements, items of lists and steps of chains, each with its separator."""
    tokens = [(m.group(), m.start(), m.end()) for m in TOKEN.finditer(text)]
    stack: list[list[int]] = [[0]]
    starts = [0]
    for token, start, end in tokens:
        if token in OPEN:
            starts.append(start)
            stack.append([end])
        elif token in CLOSE and len(stack) > 1:
            yield from _between([*stack.pop(), start], starts[-1] + 1, start)
            begun = starts.pop()
            yield begun, end
            yield begun, begun + 1
        elif token in ("\n", ";", ",", "->"):
            stack[-1] += [start, end]
            yield from _between([*stack[-1][-4:]], 0, end)
        elif token in ("when", "else", "then", "each", "as", "*"):
            stack[-1].append(start)
        if token in ("}",):
            stack[-1].append(end)
    yield from _between([*stack[0], len(text)], 0, len(text))


def _between(places: list[int], least: int, most: int) -> Iterator[tuple[int, int]]:
    for number, place in enumerate(places):
        for other in places[number + 1 : number + 6]:
            if least <= place < other <= most:
                yield place, other


def _unwrapped(text: str) -> Iterator[str]:
    """What is in braces in their place, and one alternative of what has two."""
    stack = []
    for m in re.finditer(r"[{}]", text):
        if m.group() == "{":
            stack.append(m.start())
        elif stack:
            start = stack.pop()
            yield _tidy(text[:start] + text[start + 1 : m.start()] + text[m.end() :])
    for m in re.finditer(r"\b(add|concat|mul|for [^{]*) (?=\{)|\* *\w+|\w+: (?=\S)", text):
        yield _tidy(text[: m.start()] + text[m.end() :])
    for pattern in (r"when [^\n;}]*", r"(\w+): (\w+) = [^,)]*,?", r" \* \([^)]*\)", r"\w+=",
                    r"-> \w+(\([^()]*\))?", r"\w+(\([^()]*\))? ->"):  # fmt: skip
        for m in re.finditer(pattern, text):
            yield _tidy(text[: m.start()] + text[m.end() :])
    for m in re.finditer(r"\b([a-z]\w*)\b(\([^()]*\))?", text):
        if m.group(1) in OPS and m.group() != "relu":
            yield f"{text[: m.start()]}relu{text[m.end() :]}"


def _numbers(text: str) -> Iterator[str]:
    """Every number as a smaller one, and a formula as a number."""
    for m in NUMBER.finditer(text):
        for smaller in ("1", "2", "4"):
            if float(smaller) < float(m.group()):
                yield text[: m.start()] + smaller + text[m.end() :]
    for m in re.finditer(
        r"\d+ [-+*/%]+ \d+|\w+\([\d, .]*\)|\[\d+, \d+\]\[0\]|\d+ if [^,)]*", text
    ):
        for number in ("1", "2", "4"):
            yield text[: m.start()] + number + text[m.end() :]


def _lines(text: str) -> Iterator[str]:
    """Two lines left out together, where one needs the other."""
    lines = text.split("\n")
    if len(lines) > 40:
        return
    for i in range(len(lines)):
        for j in range(i + 1, len(lines)):
            yield "\n".join(lines[:i] + lines[i + 1 : j] + lines[j + 1 :])


def _tidy(text: str) -> str:
    """Without what is left of separators."""
    text = re.sub(r"\( *, *|\( +", "(", text)
    text = re.sub(r" *,( *,)+", ",", text)
    text = re.sub(r",? *\)", ")", text)
    text = re.sub(r"-> *->", "->", text)
    text = re.sub(r"-> *(?=[}\n;])", "", text)
    text = re.sub(r"\(\)", "", text)
    text = re.sub(r"(?<=\S) {2,}", " ", text)
    text = re.sub(r"[ \t]+\n", "\n", text)
    return re.sub(r"\n{2,}", "\n", text).strip("\n") + "\n"
