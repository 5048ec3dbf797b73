"""Names in generated code: legal in Python, and hiding nothing that the file needs."""

from __future__ import annotations

import builtins
import keyword
import re
import unicodedata

FILE_NAMES = frozenset(
    (
        "self",
        "nn",
        "torch",
        "F",
        "Tensor",
        "Any",
        "NamedTuple",
        "Callable",
        "Sequence",
        "partial",
        "math",
    )
)
"""What a written file imports."""
HIDDEN = frozenset(dir(builtins)) | FILE_NAMES


def identifier(text: str) -> str:
    """A name that Python takes and that hides none of the file's own."""
    text = unicodedata.normalize("NFKC", text)
    if text.startswith("__"):
        text = f"n{text}"
    return f"{text}_" if keyword.iskeyword(text) or text in HIDDEN else text


def plain_port(port: str) -> str:
    """A port's name as a word: `y_0` of `y[0]`, `fpn_p3` of `fpn.p3`."""
    return re.sub(r"\W+", "_", port.rstrip("]"))


class Names:
    """The names taken in one function."""

    def __init__(self, taken: set[str]) -> None:
        """Begin with what is taken."""
        self.taken = set(taken) | FILE_NAMES

    def port(self, name: str) -> str:
        """The argument for an input."""
        found = identifier(name)
        self.taken.add(found)
        return found

    def variable(self, wanted: str) -> str:
        """A new name: the one wanted, or numbered."""
        name, number = identifier(wanted), 1
        while name in self.taken:
            number += 1
            name = f"{wanted}{number}"
        self.taken.add(name)
        return name
