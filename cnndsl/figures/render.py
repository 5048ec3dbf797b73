"""DOT source as a picture: by the system's `dot`, or by the Graphviz in pygraphviz's wheel."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from cnndsl.diagnostics import ArchError, Diagnostic, did_you_mean
from cnndsl.files import replacing

DRAWN = ("svg", "png", "pdf", "dot")
"""The formats that Graphviz can be asked for."""
ENGINES = ("dot", "pygraphviz")
DPI = "144"
"""Of a PNG: two pixels a point, so that the small print is read on a screen."""
DATE = b"D:20000101000000"
SECONDS = 120


def pick_engine(wanted: str | None) -> str:
    """The engine asked for, else the first that is there.  Raises ArchError (E610)."""
    if wanted is not None and wanted not in ENGINES:
        message = f"unknown engine `{wanted}`"
        help = did_you_mean(wanted, ENGINES) or f"the engines are {' and '.join(ENGINES)}"
        raise ArchError([Diagnostic("E610", message, help=help)])
    there = {"dot": shutil.which("dot") is not None, "pygraphviz": _has_pygraphviz()}
    for engine in (wanted,) if wanted else ENGINES:
        if there[engine]:
            return engine
    missing = {"dot": "no `dot` on PATH", "pygraphviz": "no pygraphviz"}
    seen = missing[wanted] if wanted else "no `dot` on PATH, and no pygraphviz"
    help = (
        "pip install 'cnndsl[draw]' brings Graphviz with it; or write x.dot, which needs none"
    )
    raise ArchError([Diagnostic("E610", f"Graphviz was not found: {seen}", help=help)])


def render(source: str, format: str, engine: str | None = None) -> bytes:
    """The picture of DOT source, as the bytes of its file.

    Raises ArchError: no Graphviz is here (E610), or it refuses (E612).
    """
    if format == "dot":
        return source.encode()
    chosen = pick_engine(engine)
    made = _system(source, format) if chosen == "dot" else _in_process(source, format)
    if not made:
        raise _refused(chosen, "it wrote nothing")
    # Cairo's only mention of the time: the same network gives the same file.
    return (
        re.sub(rb"(?<=/CreationDate \()D:\d{14}[^)]*", DATE, made) if format == "pdf" else made
    )


def write(path: Path, data: bytes) -> None:
    """Replace a file whole or not at all.  Raises OSError."""
    with replacing(path) as part:
        part.write_bytes(data)


def _options(format: str) -> list[str]:
    return [f"-Gdpi={DPI}"] if format == "png" else []


def _system(source: str, format: str) -> bytes:
    command = ["dot", "-Kdot", f"-T{format}", *_options(format)]
    try:
        done = subprocess.run(
            command, input=source.encode(), capture_output=True, check=False, timeout=SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _refused("dot", str(error)) from None
    if done.returncode:
        raise _refused("dot", done.stderr.decode(errors="replace"))
    return done.stdout


def _has_pygraphviz() -> bool:
    try:
        import pygraphviz  # noqa: F401 - whether it is there
    except (ImportError, OSError):
        return False
    return True


def _in_process(source: str, format: str) -> bytes:
    """By Graphviz in this process; what it says goes into the refusal, not to the terminal."""
    import pygraphviz

    said = io.BytesIO()
    try:
        with _quiet(said):
            drawing = pygraphviz.AGraph(string=source)
            made = drawing.draw(format=format, prog="dot", args=" ".join(_options(format)))
            drawing.close()
    except (OSError, ValueError, RuntimeError) as error:
        words = f"{error} {said.getvalue().decode(errors='replace')}"
        raise _refused("pygraphviz", words) from None
    return bytes(made)


@contextlib.contextmanager
def _quiet(said: io.BytesIO) -> Iterator[None]:
    """Catch what C code writes to standard error: fontconfig has much to say."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as caught:
        os.dup2(caught.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            caught.seek(0)
            said.write(caught.read())


def _refused(engine: str, words: str) -> ArchError:
    lines = [line for line in words.splitlines() if line.strip() and "Fontconfig" not in line]
    shown = "; ".join(line.strip() for line in lines[:3]) or "no reason given"
    message = f"Graphviz ({engine}) made no picture: {shown}"
    other = "pygraphviz" if engine == "dot" else "dot"
    help = f"try the other engine, {other}, or write x.dot"
    return ArchError([Diagnostic("E612", message, help=help)])
