"""Files of weights: `.safetensors` and `.npz` in and out, `.pth` and `.pt` in."""

from __future__ import annotations

import errno
import json
import os
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cnndsl.diagnostics import ArchError, Diagnostic
from cnndsl.files import regular

Array = npt.NDArray[Any]

READ = (".safetensors", ".npz", ".pth", ".pt")
WRITTEN = (".safetensors", ".npz")
WRAPPERS = ("state_dict", "model_state_dict", "model")
"""Where a checkpoint keeps its weights, beside an optimizer and the like."""
MAP_LIMIT = 4_000_000
MAX_WRAPPERS = 8
"""One in the other: a mapping may contain itself."""

_STORED = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4",
    "I16": "<i2", "I8": "<i1", "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "<u1",
    "BOOL": "?",
}  # fmt: skip


def read_weights(path: Path, limit: int) -> dict[str, Array]:
    """The arrays of a file by name, in its order; `limit` is in bytes, packed and unpacked.

    Raises ArchError (E604): no such file, a suffix that is not read, contents that are not
    weights, or too large. A pickle is never opened, but by torch with `weights_only=True`.
    """
    if path.suffix not in READ:
        raise unreadable(f"cannot read weights from `{path}`", f"use {_choices(READ)}")
    try:
        regular(path, limit)
        _check_unpacked(path, limit)
    except FileNotFoundError:
        raise unreadable(f"`{path}` does not exist") from None
    except IsADirectoryError:
        raise unreadable(f"`{path}` is a directory") from None
    except OSError as error:
        raise unreadable(f"`{path}` cannot be read: {error.strerror}") from None
    try:
        match path.suffix:
            case ".safetensors":
                return dict(_safetensors(path))
            case ".npz":
                return _npz(path)
            case _:
                return arrays(_torch(path))
    except ArchError:
        raise
    except Exception as error:  # noqa: BLE001, RUF100 - each format refuses in its own way
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise unreadable(f"`{path}` cannot be read as {path.suffix[1:]}: {reason}") from error


def read_map(path: Path) -> dict[str, str]:
    """What a file says of names: lines `theirs -> ours`, `#` before a remark, or JSON.

    Raises ArchError (E604): it cannot be read, or says something else.
    """
    try:
        text = regular(path, MAP_LIMIT).read_text(encoding="utf-8")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise unreadable(f"the map `{path}` cannot be read: {reason}") from None
    except ValueError:
        raise unreadable(f"the map `{path}` is not a text") from None
    pairs: list[tuple[object, object]] = []
    if text.lstrip().startswith("{"):
        try:
            pairs = list(json.loads(text).items())
        except ValueError as error:
            raise unreadable(f"the map `{path}` is not JSON: {error}") from None
    else:
        lines = [line.partition("#")[0].strip() for line in text.splitlines()]
        for number, line in enumerate(lines, 1):
            theirs, arrow, ours = (part.strip() for part in line.partition("->"))
            if line and not (theirs and arrow and ours):
                message = f"line {number} of the map `{path}` is not `theirs -> ours`"
                raise unreadable(message)
            pairs += [(theirs, ours)] if line else []
    found: dict[str, str] = {}
    for a, b in pairs:
        if not (isinstance(a, str) and isinstance(b, str) and a and b):
            raise unreadable(f"the map `{path}` gives a name for a name, and not {b!r}")
        if a in found:
            raise unreadable(f"`{a}` stands twice in the map `{path}`")
        found[a] = b
    return found


def save_weights(path: str | os.PathLike[str], weights: Mapping[str, Array]) -> None:
    """Write arrays to `.safetensors` or `.npz`; the file is replaced whole or not at all.

    Raises ArchError (E604): another suffix, or an array of objects. OSError: it cannot be
    written.
    """
    target = Path(path)
    if target.suffix not in WRITTEN:
        raise unreadable(f"weights are not written to `{target}`", f"use {_choices(WRITTEN)}")
    plain = {name: np.asarray(value) for name, value in weights.items()}
    for name, value in plain.items():
        _check_numbers(name, value)
    handle, draft = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    os.close(handle)
    try:
        if target.suffix == ".npz":
            _write_npz(Path(draft), plain)
        else:
            from safetensors.numpy import save

            contiguous = {k: np.require(v, requirements="C") for k, v in plain.items()}
            Path(draft).write_bytes(save(contiguous))
        # A temporary file is private; a new file is not.
        Path(draft).chmod(0o666 & ~_umask())
        Path(draft).replace(target)
    finally:
        Path(draft).unlink(missing_ok=True)


def _check_unpacked(path: Path, limit: int) -> None:
    """Look at an archive's table before anything in it is unpacked.  Raises OSError."""
    if path.suffix != ".safetensors" and zipfile.is_zipfile(path):
        try:
            with zipfile.ZipFile(path) as archive:
                size = sum(entry.file_size for entry in archive.infolist())
        except zipfile.BadZipFile:
            return  # its reader says what is wrong
        if size > limit:
            message = f"it unpacks to {size / 1e6:,.0f} MB; the limit is {limit / 1e6:,.0f} MB"
            raise OSError(errno.EFBIG, message, str(path))


def arrays(source: Mapping[str, Any]) -> dict[str, Array]:
    """The arrays of a mapping, a checkpoint's wrapper taken off, tensors converted.

    Raises ArchError (E604): a value that is not an array of numbers.
    """
    for _ in range(MAX_WRAPPERS):
        inner = [key for key in WRAPPERS if isinstance(source.get(key), Mapping)]
        if not inner:
            break
        source = source[inner[0]]
    found = {str(name): _array(str(name), value) for name, value in source.items()}
    for name, value in found.items():
        _check_numbers(name, value)
    return found


def unreadable(message: str, help: str = "") -> ArchError:
    """An error about a file of weights, or a mapping of them."""
    return ArchError([Diagnostic("E604", message, help=help)])


def _array(name: str, value: Any) -> Array:
    """A NumPy array from one, or from a torch tensor, without importing torch."""
    if hasattr(value, "detach"):
        if getattr(value, "is_meta", False):
            raise unreadable(f"`{name}` is on the `meta` device, and has no values")
        if getattr(value, "layout", None) is not None and "strided" not in str(value.layout):
            value = value.to_dense()
        tensor = value.detach().cpu()
        # NumPy has no bfloat16; every bfloat16 is a float32.
        return np.asarray(
            (tensor.float() if "bfloat16" in str(tensor.dtype) else tensor).numpy()
        )
    if isinstance(value, np.ndarray | np.generic):
        return np.asarray(value)
    raise unreadable(f"`{name}` is not an array, but a {type(value).__name__}")


def _check_numbers(name: str, value: Array) -> None:
    if value.dtype.kind not in "fiub":
        raise unreadable(f"`{name}` is an array of {value.dtype}, which are not real numbers")


def _safetensors(path: Path) -> Iterator[tuple[str, Array]]:
    from safetensors import deserialize

    entries: list[tuple[str, Any]] = deserialize(path.read_bytes())  # type: ignore[no-untyped-call]
    for name, entry in entries:
        dtype = entry["dtype"]
        if dtype not in _STORED:
            raise unreadable(f"`{name}` in `{path}` is stored as {dtype}, which is not read")
        value = np.frombuffer(entry["data"], _STORED[dtype])
        if dtype == "BF16":
            value = (value.astype("<u4") << 16).view("<f4")
        yield name, value.reshape(entry["shape"])


def _npz(path: Path) -> dict[str, Array]:
    with np.load(path, allow_pickle=False) as archive:
        if isinstance(archive, np.ndarray):
            raise unreadable(f"`{path}` holds one array without a name")
        return {name: archive[name] for name in archive.files}


def _write_npz(path: Path, weights: Mapping[str, Array]) -> None:
    # np.savez takes names as keywords, and `file` is its own.
    with zipfile.ZipFile(path, "w") as archive:
        for name, value in weights.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, value, allow_pickle=False)


def _torch(path: Path) -> Mapping[str, Any]:
    try:
        import torch
    except ImportError as error:
        message = f"`{path}` is a file of torch's, and torch is not installed"
        help = "install it, or save the weights as .safetensors or .npz"
        raise unreadable(message, help) from error
    loaded = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(loaded, Mapping):
        raise unreadable(f"`{path}` holds no names with weights, but a {type(loaded).__name__}")
    return loaded


def _choices(suffixes: tuple[str, ...]) -> str:
    return f"{', '.join(suffixes[:-1])} or {suffixes[-1]}"


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
