"""The language server: what an editor asks, by the Language Server Protocol."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from lsprotocol import types as lsp
from pygls import uris
from pygls.exceptions import JsonRpcInvalidParams
from pygls.lsp.server import LanguageServer

from cnndsl import __version__
from cnndsl.diagnostics import ArchError, Diagnostic, Edit, Source, Span
from cnndsl.editing.mending import applied
from cnndsl.editing.positions import Drift, Positions
from cnndsl.editing.reading import Checked, Reader, Trees, checked, clean, folder_of
from cnndsl.editing.symbols import Library, Names, Place
from cnndsl.editing.tokens import keywords, tokens
from cnndsl.files import zoo
from cnndsl.language import tree

QUIET = 0.15
"""Who types on is waited for, for so many seconds."""
PATIENCE = 5.0
"""A question is answered from an older text where a check takes longer."""
STACK = 64 << 20
"""Bytes of stack for the thread that checks: programs nest deeper than its default."""


@dataclass(eq=False)
class Document:
    """An open file."""

    uri: str
    path: Path
    text: str
    version: int | None = None
    checked: Checked | None = None
    """What the last check found."""
    good: Checked | None = None
    """What the last check found that could read the text."""
    dirty: bool = True
    changed: float = 0.0
    typing: bool = False
    task: asyncio.Task[None] | None = None
    names: dict[Source, Names | None] = field(default_factory=dict)


class Server(LanguageServer):
    """The open files, and what is known of them."""

    def __init__(self) -> None:
        """Nothing is open yet."""
        # pygls splits lines where the protocol does not: whole texts cannot go wrong.
        super().__init__(
            "cnndsl", __version__, text_document_sync_kind=lsp.TextDocumentSyncKind.Full
        )
        self.documents: dict[str, Document] = {}
        self.trees: Trees = {}
        before = threading.stack_size(STACK)
        self.pool = ThreadPoolExecutor(1, "check")
        self.pool.submit(int)
        threading.stack_size(before)

    # Texts

    @property
    def texts(self) -> dict[Path, str]:
        """The texts of the open files."""
        return {document.path: document.text for document in self.documents.values()}

    def take(self, uri: str, text: str, version: int | None) -> None:
        """A file was opened or changed."""
        now = time.monotonic()
        document = self.documents.get(uri)
        if document is None:
            path = Path(uris.to_fs_path(uri) or uri)
            document = self.documents[uri] = Document(uri, path.resolve(), text)
        document.typing = now - document.changed < QUIET
        document.text, document.version, document.changed = text, version, now
        self.schedule(document)

    def schedule(self, document: Document) -> None:
        """Check a file soon."""
        document.dirty = True
        if document.task is None or document.task.done():
            document.task = asyncio.ensure_future(self._check(document))

    async def _check(self, document: Document) -> None:
        loop = asyncio.get_running_loop()
        while document.dirty and self.documents.get(document.uri) is document:
            while document.typing and (rest := document.changed + QUIET - time.monotonic()) > 0:
                await asyncio.sleep(rest)
            document.dirty = document.typing = False
            before = document.checked
            texts = self.texts
            found = await loop.run_in_executor(
                self.pool, checked, document.path, texts, self.trees
            )
            document.checked = found
            if found.scope is not None:
                document.good = found
            document.names.clear()
            if not document.dirty and self.documents.get(document.uri) is document:
                self._publish(document, found)
            if before is not None and before.source.text != found.source.text:
                self._others(document)

    def _others(self, changed: Document) -> None:
        """Check the open files again that use one which changed."""
        for document in self.documents.values():
            known = document.checked
            if document is not changed and known is not None and changed.path in known.used:
                self.schedule(document)

    def recheck(self) -> None:
        """Files on the disk have changed: check all that is open."""
        for document in self.documents.values():
            self.schedule(document)

    async def ready(self, uri: str) -> Document | None:
        """A file once its check is done, if that does not take too long."""
        document = self.documents.get(uri)
        if document is not None and document.task is not None:
            await asyncio.wait([document.task], timeout=PATIENCE)
        return document

    # Places

    def positions(self, source: Source) -> Positions:
        """The places of a text as the client counts them."""
        encoding = self.workspace.position_encoding or "utf-16"
        return Positions(source, str(getattr(encoding, "value", encoding)))

    def range(self, span: Span) -> lsp.Range:
        """The place of a span in its file, as it now stands in the editor."""
        document = self.open(span.source)
        start, stop, source = span.start, span.stop, span.source
        if document is not None and clean(document.text) != source.text:
            source = Source(source.name, clean(document.text))
            drift = Drift.between(span.source.text, source.text)
            start, stop = drift.forth(start), drift.forth(stop)
        positions = self.positions(source)
        ends = (lsp.Position(*positions.position(offset)) for offset in (start, stop))
        return lsp.Range(*ends)

    def open(self, source: Source) -> Document | None:
        """The open file that a text is of."""
        path = Path(source.name)
        return next((d for d in self.documents.values() if d.path == path), None)

    def uri(self, source: Source) -> str:
        """The address of a text's file."""
        document = self.open(source)
        return document.uri if document is not None else uris.from_fs_path(source.name) or ""

    def location(self, span: Span) -> lsp.Location:
        """The place of a span."""
        return lsp.Location(self.uri(span.source), self.range(span))

    def asked(
        self, document: Document, position: lsp.Position
    ) -> tuple[Names | None, Source, int] | None:
        """The names of a file, the text that they are of, and a position in that text."""
        now = Source(str(document.path), clean(document.text))
        offset = self.positions(now).offset(position.line, position.character)
        names = self.names(document)
        then = names.file.span.source if names is not None else now
        if then.text == now.text:
            return names, now, offset
        back = Drift.between(then.text, now.text).back(offset)
        return (names, then, back) if back is not None else None

    def names(self, document: Document) -> Names | None:
        """The names of a file, or those that it had when it could last be read."""
        source = Source(str(document.path), clean(document.text))
        if source not in document.names:
            library = self.library()
            found = library.names(document.path)
            if found is None and document.good is not None:
                file = self.trees.get(document.good.source)
                found = Names(file, library.beside(document.path)) if file else None
            document.names[source] = found
        return document.names[source]

    def library(self) -> Library:
        """The names of files as they now stand."""
        reader = Reader(self.texts, self.trees)

        def parse(path: Path) -> tree.File | None:
            try:
                return reader.parse(reader.read(path, str(path)))
            except (ArchError, OSError, RecursionError):
                return None

        return Library(parse)

    def found(self, document: Document) -> list[Checked]:
        """What is known of a file: its own check first, then those of files that use it."""
        own = [document.checked, document.good]
        others = [d.good for d in self.documents.values() if d is not document]
        return [known for known in (*own, *others) if known is not None]

    # Diagnostics

    def _publish(self, document: Document, found: Checked) -> None:
        shown = [self.diagnostic(document, diagnostic) for diagnostic in found.diagnostics]
        self.text_document_publish_diagnostics(
            lsp.PublishDiagnosticsParams(document.uri, shown, document.version)
        )

    def diagnostic(self, document: Document, found: Diagnostic) -> lsp.Diagnostic:
        """A message at its place; one in another file stands at the top, and points there."""
        span, related = found.span, list(found.related)
        here = span is not None and Path(span.source.name) == document.path
        if span is not None and not here:
            related.insert(0, (span, found.note or found.message))
        start = lsp.Range(lsp.Position(0, 0), lsp.Position(0, 1))
        lines = [found.message, found.note]
        lines += [f"in: {' → '.join(found.stack)}"] if found.stack else []
        lines += [f"help: {found.help}"] if found.help else []
        warning = found.severity == "warning"
        return lsp.Diagnostic(
            range=self.range(span) if span is not None and here else start,
            message="\n".join(line for line in lines if line),
            severity=lsp.DiagnosticSeverity.Warning
            if warning
            else lsp.DiagnosticSeverity.Error,
            code=found.code,
            source="cnndsl",
            related_information=[
                lsp.DiagnosticRelatedInformation(self.location(place), note)
                for place, note in related
            ],
        )

    def mends(self, document: Document) -> Iterator[tuple[Diagnostic, Edit]]:
        """The messages of a file that know their mend in it."""
        known = document.checked
        for found in known.diagnostics if known is not None else ():
            mend = found.mend
            if mend is not None and Path(mend.span.source.name) == document.path:
                yield found, mend

    def edit(self, edits: list[Edit]) -> lsp.WorkspaceEdit:
        """Edits of files."""
        changes: dict[str, list[lsp.TextEdit]] = {}
        for edit in edits:
            change = lsp.TextEdit(self.range(edit.span), edit.text)
            changes.setdefault(self.uri(edit.span.source), []).append(change)
        return lsp.WorkspaceEdit(changes=dict(changes))

    # Names

    def places(self, place: Place, path: Path) -> list[Place]:
        """Every place that means the symbol of one, in the files around a file."""
        files = {path, *self.texts, *folder_of(path), Path(place.symbol.span.source.name)}
        return self._meaning(place.symbol.span, sorted(files))

    def _meaning(self, span: Span, files: list[Path]) -> list[Place]:
        library = self.library()
        found = []
        for file in files:
            names = library.names(file)
            found += [
                place
                for place in (names.places if names is not None else ())
                if (place.symbol.span.source.name, place.symbol.span.start)
                == (span.source.name, span.start)
            ]
        return [p for p in dict.fromkeys(found) if p.span.text == p.symbol.name]

    async def rename(self, document: Document, place: Place, name: str) -> lsp.WorkspaceEdit:
        """The edits of a new name.  Raises JsonRpcInvalidParams: it breaks what was sound."""
        found = list(tokens(name))
        if len(found) != 1 or found[0].kind != "name" or name in keywords():
            raise JsonRpcInvalidParams(f"`{name}` is not a name")
        places = self.places(place, document.path)
        foreign = [p for p in places if not self._owned(p.span)]
        if foreign:
            raise JsonRpcInvalidParams(f"`{place.symbol.name}` is a name of a shipped file")
        edits = [Edit(p.span, name) for p in places]
        loop = asyncio.get_running_loop()
        broken = await loop.run_in_executor(self.pool, self._broken, edits)
        if broken is not None:
            raise JsonRpcInvalidParams(f"`{name}` would break the file: {broken.message}")
        if place.symbol.kind in ("label", "output", "block"):
            text = f"`{name}`: the keys of a `state_dict` below it change too"
            params = lsp.ShowMessageParams(lsp.MessageType.Info, text)
            self.window_show_message(params)
        return self.edit(edits)

    def _owned(self, span: Span) -> bool:
        path = Path(span.source.name)
        inside = any(
            path.is_relative_to(Path(uris.to_fs_path(folder.uri) or "/dev/null").resolve())
            for folder in self.workspace.folders.values()
        )
        return inside or path in self.texts or not path.is_relative_to(zoo().resolve())

    def _broken(self, edits: list[Edit]) -> Diagnostic | None:
        """The first fault that edits would bring into a file that they change."""
        reader = Reader(self.texts, self.trees)
        before = {Path(e.span.source.name): e.span.source.text for e in edits}
        after = {path: applied(text, path, edits) for path, text in before.items()}
        texts = {**self.texts, **after}
        for path in after:
            old = checked(path, {**self.texts, path: before[path]}, reader.trees).diagnostics
            new = checked(path, texts, reader.trees).diagnostics
            if len(new) > len(old):
                codes = {d.code for d in old}
                return next((d for d in new if d.code not in codes), new[0])
        return None
