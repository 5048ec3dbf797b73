"""The mends that messages know, written into a text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from cnndsl.diagnostics import Diagnostic, Edit
from cnndsl.editing.reading import Trees, checked, clean

ROUNDS = 20
"""One mend may bring the next fault to light, but not for ever."""


def applied(text: str, path: Path, edits: Iterable[Edit]) -> str:
    """A text with the edits of its file made; of two that overlap, the first."""
    stop = len(text) + 1
    ours = [edit for edit in edits if Path(edit.span.source.name) == path]
    for edit in sorted(ours, key=lambda edit: (-edit.span.start, -edit.span.stop)):
        if edit.span.stop <= stop:
            text = text[: edit.span.start] + edit.text + text[edit.span.stop :]
            stop = edit.span.start
    return text


def mended(path: Path, text: str) -> tuple[str, int]:
    """A text with all that is certain mended, and how many faults that were.

    A mend that does not leave fewer faults is not made. The line ends stay of their kind.
    """
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    end = "\r\n" if "\r\n" in text else "\r" if "\r" in text else "\n"
    trees: Trees = {}
    plain = clean(text)
    found = checked(path, {path: plain}, trees).diagnostics
    count = 0
    for _ in range(ROUNDS):
        sure = [d for d in found if (mend := d.mend) is not None and mend.certain]
        new = applied(plain, path, [mend for d in sure if (mend := d.mend) is not None])
        after = checked(path, {path: new}, trees).diagnostics if new != plain else found
        if new == plain or not _gone(sure, found, after):
            break
        plain, found, count = new, after, count + len(sure)
    return (mark + plain.replace("\n", end), count) if count else (text, 0)


def _gone(mended: Iterable[Diagnostic], *texts: Iterable[Diagnostic]) -> bool:
    """Whether there are fewer of each message; others may have come to light behind it."""
    before, after = (Counter((d.code, d.message) for d in found) for found in texts)
    return all(after[d.code, d.message] < before[d.code, d.message] for d in mended)
