"""A file in the browser, live: its figure, its table and its faults, drawn anew when saved.

Only this machine is answered, and only under its own name: a page from elsewhere cannot
read what is drawn here, not even by a name that it lets point at this machine.
"""

from __future__ import annotations

import json
import os
import queue
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from cnndsl.analysis.costs import giga, total
from cnndsl.analysis.expect import check
from cnndsl.analysis.narrowing import outputs_at
from cnndsl.analysis.summary import summary
from cnndsl.diagnostics import ArchError, Diagnostic
from cnndsl.editing.reading import Reader, Trees
from cnndsl.figures import font
from cnndsl.figures.blocks import blocks
from cnndsl.figures.svg import svg
from cnndsl.graph import Network
from cnndsl.language import elaborate, pick

HERE = Path(__file__).parent / "page"
PAUSE = 0.05
"""Seconds between two looks at the files."""
ALIVE = 15.0
"""Seconds after which a silent connection says that it lives."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "font-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
KINDS = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".ttf": "font/ttf",
}
FILES = [HERE / name for name in ("watch.js", "figure.js", "watch.css")] + list(font.FILES)
PAGES = {"/": HERE / "watch.html"} | {f"/{file.name}": file for file in FILES}

Shown = dict[str, object]


@dataclass
class Watch:
    """A file, what was last drawn of it, and the pages that look at it."""

    path: Path
    model: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    """Labels that are shown as the outputs, instead of the model's own."""
    shown: Shown = field(default_factory=dict)
    pages: list[queue.Queue[Shown]] = field(default_factory=list)
    trees: Trees = field(default_factory=dict)
    seen: dict[Path, int] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def changed(self) -> bool:
        """Whether a file that was read has changed since."""
        return not self.seen or any(_stamp(path) != then for path, then in self.seen.items())

    def refresh(self) -> None:
        """Draw the file anew; where it has faults, the last good picture stays."""
        began = time.perf_counter()
        self.seen = {path: _stamp(path) for path in self.seen or [self.path]}
        reader = Reader({}, self.trees)
        faults: list[Diagnostic] = []
        more: Shown = {}
        try:
            scope = reader.whole(self.path)
            definition = pick(scope, self.model)
            network = elaborate(definition, self.parameters)
            if self.outputs:
                network = outputs_at(network, self.outputs)
            self._tell(
                {
                    **_drawn(network),
                    "stale": False,
                    "messages": self._messages(network.warnings),
                },
                began,
            )
            for other in scope.models.values():
                faults += check(other).diagnostics
        except ArchError as error:
            faults += error.diagnostics
            more["stale"] = "svg" in self.shown
        except OSError as error:
            reason = f"{self.path.name} cannot be read: {error.strerror}"
            faults.append(Diagnostic("E105", reason))
            more["stale"] = "svg" in self.shown
        # The folder too: a file that was missing may come.
        read = [*reader.files, self.path.parent]
        self.seen |= {path: _stamp(path) for path in read if path not in self.seen}
        texts = {str(path): scope.tree.span.source.text for path, scope in reader.files.items()}
        places = [span for d in faults for span in (d.span, *(s for s, _ in d.related)) if span]
        texts |= {span.source.name: span.source.text for span in places}
        more["messages"] = self._messages(faults)
        if texts:
            more["files"] = texts
        self._tell(more, began)

    def _messages(self, diagnostics: Iterable[Diagnostic]) -> list[Shown]:
        """Messages for the page, with the names of files as they are beside this one."""
        return [
            {
                "severity": found.severity,
                "text": str(found).replace(f"{self.path.parent}{os.sep}", ""),
                "file": found.span.source.name if found.span else "",
                "line": found.span.line if found.span else 0,
            }
            for found in dict.fromkeys(diagnostics)
        ]

    def _tell(self, more: Shown, began: float) -> None:
        with self.lock:
            spent = round(1000 * (time.perf_counter() - began))
            self.shown = {**self.shown, **more, "main": str(self.path), "spent": spent}
            for page in self.pages:
                page.put(self.shown)

    def join(self) -> queue.Queue[Shown]:
        """A new page, which is shown what there is."""
        page: queue.Queue[Shown] = queue.Queue()
        with self.lock:
            page.put(self.shown)
            self.pages.append(page)
        return page

    def leave(self, page: queue.Queue[Shown]) -> None:
        """A page was closed."""
        with self.lock:
            self.pages.remove(page)


def _stamp(path: Path) -> int:
    """When a file was last written; 0 where it is not there, as while an editor saves it."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _drawn(network: Network) -> Shown:
    whole = total(network)
    return {
        "svg": svg(blocks(network), spans=True),
        "table": str(summary(network)),
        "name": network.name,
        "costs": f"{whole.parameters:,} parameters, {giga(whole.macs)} GMACs",
    }


class Server(ThreadingHTTPServer):
    """The pages of a watch, on this machine alone."""

    daemon_threads = True

    def __init__(self, watch: Watch, port: int) -> None:
        """Listen at a port; 0 is any that is free.  Raises OSError: it is taken."""
        super().__init__(("127.0.0.1", port), Handler)
        self.watch = watch

    @property
    def address(self) -> str:
        """What a browser opens."""
        return f"http://127.0.0.1:{self.server_address[1]}/"

    def handle_error(self, request: object, client_address: object) -> None:
        """A page that was closed is no error."""


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """The page, its parts, and what happens."""
        path = urlsplit(self.path).path
        if not self._is_own():
            self._send(403, b"this is answered to this machine's own pages only", "text/plain")
        elif path == "/events":
            self._events()
        elif path in PAGES:
            file = PAGES[path]
            self._send(200, file.read_bytes(), KINDS[file.suffix])
        else:
            self._send(404, b"there is no such page", "text/plain")

    def _is_own(self) -> bool:
        """Whether it was asked by this address, and not by a page of another.

        A name that points here (DNS rebinding) is not this address.
        """
        port = self.server.server_address[1]
        names = {f"127.0.0.1:{port}", f"localhost:{port}"}
        origin = self.headers.get("Origin")
        own = origin is None or origin in {f"http://{name}" for name in names}
        return self.headers.get("Host") in names and own

    def _send(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self._guards()
        self.end_headers()
        self.wfile.write(body)

    def _guards(self) -> None:
        self.send_header("Content-Security-Policy", POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cache-Control", "no-store")

    def _events(self) -> None:
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self._guards()
        self.end_headers()
        page = self.server.watch.join()
        try:
            while True:
                try:
                    told = b"data: " + json.dumps(page.get(timeout=ALIVE)).encode()
                except queue.Empty:
                    told = b": alive"
                self.wfile.write(told + b"\n\n")
                self.wfile.flush()
        except OSError:
            pass
        finally:
            self.server.watch.leave(page)


def serve(server: Server, stop: threading.Event) -> None:
    """Answer, and look at the files, until it is stopped."""
    watch = server.watch
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        while not stop.wait(PAUSE):
            if watch.changed():
                watch.refresh()
    finally:
        server.shutdown()
        server.server_close()
