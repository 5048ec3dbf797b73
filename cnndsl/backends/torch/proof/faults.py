"""What a proof says of a file that it refuses."""

from __future__ import annotations

import ast


class ProofError(Exception):
    """The file does not compute the network, or says what the proof does not know.

    `reason` is the sentence, `place` the expression or statement that it is about,
    innermost; a tree that was never printed has no lines.
    """

    def __init__(self, reason: str, place: ast.AST | None = None) -> None:
        """Keep the reason; the evaluator adds the place."""
        super().__init__(reason)
        self.reason, self.place = reason, place

    @property
    def line(self) -> int | None:
        """The line in the file, counted from 1."""
        return getattr(self.place, "lineno", None)

    @property
    def text(self) -> str:
        """What stands there, in one line."""
        if self.place is None:
            return ""
        first = ast.unparse(self.place).split("\n")[0]
        return first if len(first) <= 88 else f"{first[:85]}..."

    def __str__(self) -> str:
        """``line 12, `self.conv(x)`: the reason``."""
        line = f"line {self.line}" if self.line else ""
        where = ", ".join(
            part for part in (line, f"`{self.text}`" if self.text else "") if part
        )
        return f"{where}: {self.reason}" if where else self.reason
