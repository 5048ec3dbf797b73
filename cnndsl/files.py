"""Where the shipped files are: in the package of a wheel, beside it in a checkout."""

from __future__ import annotations

from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def _shipped(folder: str) -> Path:
    inside = PACKAGE / folder
    return inside if inside.is_dir() else PACKAGE.parent / folder


@cache
def grammar() -> str:
    """The text of `grammars/arch.lark`."""
    return (_shipped("grammars") / "arch.lark").read_text(encoding="utf-8")


def zoo() -> Path:
    """The folder of the shipped `.arch` files."""
    return _shipped("archs")


def find(path: str | Path) -> Path:
    """The file itself, or the one of that name in the shipped zoo, with or without ending."""
    given = Path(path)
    if given.exists():
        return given
    if given.name == str(path):
        for name in (given.name, f"{given.name}.arch"):
            if (zoo() / name).is_file():
                return zoo() / name
    return given
