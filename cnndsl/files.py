"""Where the shipped files are: in the package of a wheel, beside it in a checkout."""

from __future__ import annotations

import errno
from functools import cache
from pathlib import Path

from cnndsl.diagnostics import did_you_mean

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


def shipped() -> dict[str, Path]:
    """The networks of the zoo by name: `mobilenetv2`, not the blocks they share."""
    return {path.stem: path for path in sorted(zoo().glob("*.arch"))}


def find(path: str | Path) -> Path:
    """The file itself, or the one of that name in the shipped zoo, with or without ending.

    Raises OSError: there is neither, with the nearest name.
    """
    given = Path(path)
    if given.is_file():
        return given
    networks = shipped()
    name = given.name.removesuffix(".arch")
    # A folder that bears a network's name does not hide it.
    if str(given) == given.name and name in networks:
        return networks[name]
    if given.exists():
        return given
    message = "there is no such file, here or among the shipped networks"
    help = did_you_mean(name, networks)
    raise FileNotFoundError(errno.ENOENT, f"{message}; {help}" if help else message, str(path))
