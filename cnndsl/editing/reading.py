"""A text that is being written, checked: its faults, its names, its networks."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from cnndsl.analysis.costs import Cost, costs
from cnndsl.analysis.expect import check
from cnndsl.analysis.receptive import Receptive, receptive
from cnndsl.diagnostics import ArchError, Diagnostic, Source
from cnndsl.graph import Network
from cnndsl.language import tree
from cnndsl.language.modules import Loader
from cnndsl.language.names import FileScope
from cnndsl.structure import Call, Line, Step, inside, walk

Trees = dict[Source, tree.File]


class Reader(Loader):
    """A loader for an editor: texts that are not saved count, and no tree is made twice.

    A source bears the whole path of its file as its name.
    """

    def __init__(self, texts: Mapping[Path, str], trees: Trees) -> None:
        """With the texts of the open files, and the trees of what was read before."""
        super().__init__()
        self.texts = texts
        self.trees = trees

    def read(self, path: Path, name: str) -> Source:
        """The text of a file, as it stands in the editor where it is open."""
        if path in self.texts:
            return Source(str(path), clean(self.texts[path]))
        return super().read(path, str(path))

    def parse(self, source: Source) -> tree.File:
        """The tree of a text."""
        if source not in self.trees:
            self.trees[source] = super().parse(source)
        return self.trees[source]

    def whole(self, path: Path) -> FileScope:
        """The file that is being written."""
        self.root = path.parent
        return self.scope(path, self.read(path, str(path)))


def clean(text: str) -> str:
    """One kind of line end, as the language reads it."""
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


@dataclass(frozen=True, eq=False)
class Checked:
    """What is known of a text."""

    path: Path
    source: Source
    diagnostics: tuple[Diagnostic, ...] = ()
    scope: FileScope | None = None
    """None where the text cannot be read."""
    networks: tuple[Network, ...] = ()
    used: frozenset[Path] = frozenset()
    """The files that it was read from, its own among them."""

    @cached_property
    def instances(self) -> dict[Where, list[Instance]]:
        """The lines and steps of the networks by their place, in order.

        Of a place that several networks have, those of the first: with its defaults.
        """
        found: dict[Where, list[Instance]] = {}
        for network in self.networks:
            new: dict[Where, list[Instance]] = {}
            for item in walk(inside(network.structure)):
                if isinstance(item, Line | Step | Call) and item.span is not None:
                    span = item.span
                    where = (span.source.name, span.start, span.stop, isinstance(item, Line))
                    new.setdefault(where, []).append(Instance(network, item))
            found = new | found
        return found

    @cached_property
    def fields(self) -> dict[int, Receptive]:
        """The receptive fields of each network, by its `id`, worked out when asked for."""
        return _Table(self.networks, receptive)

    @cached_property
    def costs(self) -> dict[int, dict[str, Cost]]:
        """The costs of each network's nodes, likewise."""
        return _Table(self.networks, costs)


@dataclass(frozen=True)
class Instance:
    """A line or a step of a network."""

    network: Network
    item: Line | Step | Call


Where = tuple[str, int, int, bool]
"""A file, the place in it, and whether it is a whole line's."""
T = TypeVar("T")


class _Table(dict[int, T]):
    """What is worked out of networks, once each."""

    def __init__(self, networks: tuple[Network, ...], work: Callable[[Network], T]) -> None:
        self.networks = {id(network): network for network in networks}
        self.work = work

    def __missing__(self, key: int) -> T:
        self[key] = self.work(self.networks[key])
        return self[key]


def checked(path: Path, texts: Mapping[Path, str], trees: Trees) -> Checked:
    """Check a text as `cnndsl check` does."""
    source = Source(str(path), clean(texts[path]))
    if len(trees) > MOST_TREES:
        trees.clear()
    loader = Reader(texts, trees)
    try:
        scope = loader.whole(path)
    except ArchError as error:
        return Checked(path, source, error.diagnostics, used=frozenset(loader.files))
    faults: list[Diagnostic] = []
    networks: list[Network] = []
    for definition in scope.models.values():
        found = check(definition)
        faults += found.diagnostics
        networks += found.networks.values()
    return Checked(
        path, source, tuple(dict.fromkeys(faults)), scope, tuple(networks),
        frozenset(loader.files),
    )  # fmt: skip


def folder_of(path: Path) -> list[Path]:
    """The `.arch` files below the folder of a file, in order; not those of hidden folders."""
    found: list[Path] = []
    for count, (folder, folders, files) in enumerate(os.walk(path.parent)):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(folder) / name for name in sorted(files) if name.endswith(".arch")]
        if len(found) > MOST_FILES or count > MOST_FOLDERS:
            break
    return found[:MOST_FILES]


MOST_TREES = 200
MOST_FILES = 300
MOST_FOLDERS = 1000
"""So many files, and folders, are looked through for the uses of a name."""
