"""The list of keys that a model keeps: `@keys("mobilenetv2.keys")`.

A trained `state_dict` is found again by its keys. Which of them an edit renames, the text
does not show: a step without a label that is inserted takes the name of the next one of its
kind. So a model can keep its list in a file beside it, a line a key with its shape, and
`check` compares.
"""

from __future__ import annotations

import os
from difflib import SequenceMatcher
from errno import ENOENT
from itertools import takewhile
from pathlib import Path

from cnndsl.diagnostics import Diagnostic, Fault, fault
from cnndsl.files import read_whole
from cnndsl.graph import Network, key_of
from cnndsl.language import tree
from cnndsl.language.evaluate import evaluate
from cnndsl.language.modules import MAX_BYTES
from cnndsl.language.names import BlockDefinition
from cnndsl.ops.facts import Shape

Keys = dict[str, Shape]
SHOWN = 3
"""Of the modules that moved."""


def keys(network: Network) -> Keys:
    """Every key of the `state_dict` with its shape, in the order of the network."""
    found: Keys = {}
    for node in network:
        if node.shared:
            continue
        for name, weight in node.op.weights(*network.input_shapes(node.name)).items():
            found[f"{key_of(node.path)}.{name}"] = tuple(map(int, weight.shape))
    return found


def text(found: Keys) -> str:
    """The list as it is kept: `stem.conv.weight 32x3x3x3`, a line each."""
    return "".join(f"{_line(key, shape)}\n" for key, shape in found.items())


def compare(network: Network, meta: tree.Meta, definition: BlockDefinition) -> list[Diagnostic]:
    """A diagnostic where the network's keys are not those that `@keys` keeps."""
    try:
        path = _path(meta, definition)
        kept = _lines(path, meta, definition)
    except Fault as error:
        return [error.diagnostic]
    now = [_line(key, shape) for key, shape in keys(network).items()]
    if kept == now:
        return []
    pairs = zip(kept, now, strict=False)
    first = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    was = f"`{kept[first]}` was kept" if first < len(kept) else "nothing more was kept"
    here = f"`{now[first]}` is there" if first < len(now) else "nothing more is there"
    message = f"the keys are not those of `{path.name}`, line {first + 1}: {was}, and {here}"
    note = "; ".join(_moves(kept[first:], now[first:]))
    return [Diagnostic("E503", message, meta.span, note, help=_mend(path, definition))]


def _line(key: str, shape: Shape) -> str:
    return f"{key} {'x'.join(map(str, shape))}".rstrip()


def _path(meta: tree.Meta, definition: BlockDefinition) -> Path:
    """The file that `@keys` names, which stands beside its own.  Raises Fault."""
    values = [evaluate(argument.value, definition.file.env) for argument in meta.arguments]
    (name,) = values if len(values) == 1 else (None,)
    if not isinstance(name, str) or name != Path(name).name or name in ("", ".", ".."):
        help = 'write `@keys("model.keys")`'
        raise fault(
            "E110",
            "`@keys` takes the name of one file in the same folder",
            meta.span,
            help=help,
        )
    return definition.file.path.parent / name


def _lines(path: Path, meta: tree.Meta, definition: BlockDefinition) -> list[str]:
    """The lines of a kept list, found as `use` finds a file.  Raises Fault."""
    try:
        found = definition.file.finds(path.name)
        if found is None:
            raise FileNotFoundError(ENOENT, os.strerror(ENOENT))
        kept = read_whole(found, MAX_BYTES).decode("utf-8")
    except PermissionError as error:
        if error.errno is not None:
            raise
        message = f"`{path.name}` is outside this file's folder"
        raise fault("E209", message, meta.span, help="keep the list beside the file") from None
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", "") or "it is not a text").lower()
        message = f"the keys in `{path.name}` cannot be read: {reason}"
        help = f"write them with `cnndsl keys FILE -o {path.name}`"
        raise fault("E503", message, meta.span, help=help) from None
    return [" ".join(line.split()) for line in kept.splitlines() if line.strip()]


def _moves(kept: list[str], now: list[str]) -> list[str]:
    """`a.conv → a.conv_2`: modules that stand in the same order under another name.

    The lists are those from the first line that differs. What a line is recognised by is
    the weight's own name and its shape.
    """
    was, here = ([_recognised(line) for line in lines] for lines in (kept, now))
    moved: dict[str, None] = {}
    for block in SequenceMatcher(None, was, here, autojunk=False).get_matching_blocks():
        for n in range(block.size):
            before, after = _module(kept[block.a + n]), _module(now[block.b + n])
            if before != after:
                moved[f"{before} → {after}"] = None
    shown = list(moved)[:SHOWN]
    more = len(moved) - len(shown)
    return [*shown, f"and {more} more moved"] if more else shown


def _recognised(line: str) -> tuple[str, str]:
    key, _, shape = line.partition(" ")
    return key.rpartition(".")[2], shape


def _module(line: str) -> str:
    return line.partition(" ")[0].rpartition(".")[0]


def _mend(path: Path, definition: BlockDefinition) -> str:
    alone = len(definition.file.models) == 1
    model = "" if alone else f" --model {definition.name}"
    source = definition.file.path.name
    command = f"cnndsl keys {source}{model} -o {path.name}"
    return f"label what was inserted, so that no name moves; where it is meant: {command}"
