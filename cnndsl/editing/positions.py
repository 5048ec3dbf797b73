"""Offsets as an editor counts: lines, and UTF-16 units unless it asks for others."""

from __future__ import annotations

from dataclasses import dataclass

from cnndsl.diagnostics import Source

WIDTHS = {"utf-8": ("utf-8", 1), "utf-16": ("utf-16-le", 2), "utf-32": ("utf-32-le", 4)}


@dataclass(frozen=True)
class Positions:
    """The places of one text in one encoding."""

    source: Source
    encoding: str = "utf-16"

    def position(self, offset: int) -> tuple[int, int]:
        """The 0-based line and column of an offset."""
        offset = max(0, min(offset, len(self.source.text)))
        line, column = self.source.position(offset)
        before = self.source.text[offset - column + 1 : offset]
        return line - 1, column - 1 if before.isascii() else self._units(before)

    def offset(self, line: int, column: int) -> int:
        """The offset of a line and column; what is outside the text is drawn into it."""
        starts = self.source.starts
        if line >= len(starts):
            return len(self.source.text)
        start = starts[max(0, line)]
        text = self.source.line(max(0, line) + 1)
        if text.isascii():
            return start + max(0, min(column, len(text)))
        units = 0
        for number, character in enumerate(text):
            if units >= column:
                return start + number
            units += self._units(character)
        return start + len(text)

    def _units(self, text: str) -> int:
        name, width = WIDTHS[self.encoding]
        return len(text.encode(name, "surrogatepass")) // width


def _alike(one: str, other: str) -> int:
    """How many characters two texts begin with alike."""
    most = min(len(one), len(other))
    return next((n for n in range(most) if one[n] != other[n]), most)


@dataclass(frozen=True)
class Drift:
    """Where an older text is in a newer one: what stands before and behind the change."""

    before: int
    """How many characters they begin with alike."""
    behind: int
    """How many they end with alike."""
    old: int
    new: int

    @classmethod
    def between(cls, old: str, new: str) -> Drift:
        """The drift from one text to another."""
        before = _alike(old, new)
        behind = _alike(old[before:][::-1], new[before:][::-1])
        return cls(before, behind, len(old), len(new))

    def forth(self, offset: int) -> int:
        """An offset of the older text in the newer; inside the change, where it begins."""
        if offset <= self.before:
            return offset
        return max(self.before, offset + self.new - self.old)

    def back(self, offset: int) -> int | None:
        """An offset of the newer text in the older; None inside the change."""
        if offset <= self.before:
            return offset
        return offset + self.old - self.new if self.new - offset <= self.behind else None
