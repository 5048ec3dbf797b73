"""An editor without a screen: it speaks the protocol with `cnndsl lsp`."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from lsprotocol import types as lsp
from pygls import uris
from pygls.lsp.client import BaseLanguageClient

SECONDS = 60


class Editor:
    """A server process, and the files that are open in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.client = BaseLanguageClient("test", "1")
        self.versions: dict[str, int] = {}
        self.published: dict[str, asyncio.Queue[lsp.PublishDiagnosticsParams]] = {}
        self.messages: list[str] = []

        @self.client.feature(lsp.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
        def _(params: lsp.PublishDiagnosticsParams) -> None:
            self.queue(params.uri).put_nowait(params)

        @self.client.feature(lsp.WINDOW_SHOW_MESSAGE)
        def _(params: lsp.ShowMessageParams) -> None:
            self.messages.append(params.message)

        self.wait(self.client.start_io(sys.executable, "-m", "cnndsl", "lsp"))
        folder = lsp.WorkspaceFolder(uris.from_fs_path(str(root)) or "", "root")
        params = lsp.InitializeParams(
            capabilities=lsp.ClientCapabilities(), workspace_folders=[folder]
        )
        self.about = self.wait(self.client.initialize_async(params))
        self.client.initialized(lsp.InitializedParams())

    def wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(
            asyncio.wait_for(work, SECONDS), self.loop
        ).result()

    def queue(self, uri: str) -> asyncio.Queue[lsp.PublishDiagnosticsParams]:
        return self.published.setdefault(uri, asyncio.Queue())

    def ask(self, name: str, params: object) -> Any:
        """The answer to a request."""
        return self.wait(getattr(self.client, f"{name}_async")(params))

    def open(self, name: str, text: str, *, saved: bool = True) -> str:
        """The address of a new file."""
        path = self.root / name
        if saved:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        uri = uris.from_fs_path(str(path)) or ""
        self.versions[uri] = 1
        item = lsp.TextDocumentItem(uri, "arch", 1, text)
        self.client.text_document_did_open(lsp.DidOpenTextDocumentParams(item))
        return uri

    def change(self, uri: str, text: str) -> int:
        self.versions[uri] += 1
        version = self.versions[uri]
        document = lsp.VersionedTextDocumentIdentifier(version=version, uri=uri)
        whole = lsp.TextDocumentContentChangeWholeDocument(text)
        self.client.text_document_did_change(lsp.DidChangeTextDocumentParams(document, [whole]))
        return version

    def diagnostics(self, uri: str) -> list[lsp.Diagnostic]:
        """Those of the file's last version."""

        async def last() -> list[lsp.Diagnostic]:
            while True:
                params = await self.queue(uri).get()
                if params.version == self.versions[uri]:
                    return list(params.diagnostics)

        found: list[lsp.Diagnostic] = self.wait(last())
        return found

    def alive(self) -> bool:
        server = self.client._server
        return server is not None and server.returncode is None

    def close(self) -> None:
        self.wait(self.client.shutdown_async(None))
        self.client.exit(None)
        self.wait(self.client.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
