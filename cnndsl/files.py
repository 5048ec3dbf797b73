"""Files: where the shipped ones are, and how one is written whole or not at all.

A wheel carries the grammar and the zoo in the package; in a checkout they stand beside it.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
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
    message = "no such file, here or among the shipped networks"
    help = did_you_mean(name, networks)
    raise FileNotFoundError(errno.ENOENT, f"{message}; {help}" if help else message, str(path))


def resolved(path: str | Path) -> Path:
    """The path without links and `..`; a link that leads to itself stays."""
    return Path(os.path.realpath(path))  # `Path.resolve` raises RuntimeError of a circle


def regular(path: Path, limit: int) -> Path:
    """The path of a file that may be read: no device, no pipe, and not over the limit.

    Raises OSError: there is none, it is something else, or it has more bytes.
    """
    state = checked(path)
    if state.st_size > limit:
        message = f"it is {state.st_size / 1e6:,.0f} MB; the limit is {limit / 1e6:,.0f} MB"
        raise OSError(errno.EFBIG, message, str(path))
    return noted(path)


def checked(path: Path) -> os.stat_result:
    """The status of a regular file.  Raises OSError: it is not one."""
    state = path.stat()
    if stat.S_ISDIR(state.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(state.st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return state


def within(roots: Iterable[Path], path: Path) -> Path | None:
    """The path without links and `..`; None: there is no such file.

    Raises PermissionError: it lies outside of the roots. OSError: it is a folder, a pipe or
    a device.
    """
    found = resolved(path)
    if not any(found.is_relative_to(root) for root in roots):
        raise PermissionError(path)
    try:
        if not found.exists():
            return None
    except OSError:  # a name that no file system takes
        return None
    checked(found)
    return found


def cached(name: str) -> str | None:
    """Where the user's cache keeps a file of that name; None where there is no such place.

    What is kept is trusted when it is read, so the folder must be the user's own.
    """
    root = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111
    folder = Path(root) / "cnndsl"
    try:
        if not folder.parent.parent.is_dir():
            return None  # a home that does not exist is not made
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = folder.stat()
    except OSError:
        return None
    shared = hasattr(os, "getuid") and (state.st_uid != os.getuid() or state.st_mode & 0o022)
    return None if shared or not os.access(folder, os.W_OK) else str(folder / name)


_read: dict[Path | int, None] = {}
"""The files that were read and must not be overwritten; 0 is standard input."""


def noted(path: Path) -> Path:
    """The path of a file that is about to be read, and must not be overwritten from now on."""
    _read[resolved(path)] = None
    return path


def read_input(limit: int) -> bytes:
    """The bytes on standard input.  Raises OSError: it is closed, or longer than `limit`."""
    if sys.stdin is None:
        raise OSError(errno.EBADF, "standard input is closed", "<stdin>")
    data = sys.stdin.buffer.read(limit + 1)
    if len(data) > limit:
        raise _too_long("<stdin>", limit)
    _read[0] = None
    return data


def read_whole(path: Path, limit: int) -> bytes:
    """All bytes of a file, of which no more than `limit` are ever held.

    Raises OSError: it cannot be read, or is longer.
    """
    with noted(path).open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise _too_long(str(path), limit)
    return data


def _too_long(name: str, limit: int) -> OSError:
    return OSError(errno.EFBIG, f"it has more than {limit / 1e6:.0f} MB", name)


def same_file(one: Path | int, other: Path) -> bool:
    """Whether two paths are one file, through links and in any spelling."""
    try:
        return os.path.samefile(one, other)  # noqa: PTH121 - a descriptor is no Path
    except OSError:
        return False


@contextmanager
def replacing(path: str | Path, *, source: bool = False) -> Iterator[Path]:
    """A path to write to; what is written there takes the file's place only when it is whole.

    A file that has been read is not written over, but where that is meant (`source`).
    Raises OSError: nothing can be written there.
    """
    target = resolved(path)
    if not source and target.is_file() and any(same_file(one, target) for one in _read):
        message = "this file is an input; choose another output"
        raise FileExistsError(errno.EEXIST, message, str(path))
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if target.exists() and not target.is_file():
        yield target  # a device or a pipe is written to, not replaced
        return
    if target.exists() and not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    # The ending stays, since it says what is to be written.
    beside = target.with_name(f".{target.stem[:100]}.{os.getpid()}{target.suffix}")
    try:
        yield beside
        if target.exists():
            beside.chmod(target.stat().st_mode & 0o777)
        beside.replace(target)
    except OSError as error:
        # The user asked for this file, and knows nothing of the one beside it.
        if error.filename is not None and Path(error.filename) == beside:
            raise type(error)(error.errno, error.strerror, str(path)) from None
        raise
    finally:
        beside.unlink(missing_ok=True)
