"""One text that is written in a browser: what its page asks, and the answers, as JSON.

The playground runs this inside the page, without a server. Places are offsets in UTF-16
units, as JavaScript counts.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cnndsl.analysis.costs import giga, total
from cnndsl.analysis.summary import summary
from cnndsl.diagnostics import ArchError, Diagnostic, Source
from cnndsl.editing import answers, completing
from cnndsl.editing.layout import layout
from cnndsl.editing.positions import Drift
from cnndsl.editing.reading import Checked, Reader, Trees, checked, clean
from cnndsl.editing.symbols import Library, Names, used_path
from cnndsl.figures.blocks import blocks
from cnndsl.figures.scale.page import scaled
from cnndsl.figures.svg import svg
from cnndsl.files import zoo
from cnndsl.graph import Network
from cnndsl.language import elaborate, pick, tree

Answer = dict[str, Any]
FOLDER = Path("/~")
"""Where the text is said to lie; no file is there."""


class Units:
    """The offsets of a text in UTF-16 units, in which what lies outside the BMP counts two."""

    def __init__(self, text: str) -> None:
        """Of this text."""
        self.wide = [] if text.isascii() else [n for n, c in enumerate(text) if c > "\uffff"]
        self.behind = [at + number for number, at in enumerate(self.wide)]

    def of(self, offset: int) -> int:
        """An offset, in units."""
        return offset + bisect_left(self.wide, offset)

    def to(self, units: int) -> int:
        """The offset of so many units."""
        return units - bisect_left(self.behind, units)


@dataclass
class Desk:
    """The text, what is known of it, and the network that is shown."""

    checked: Checked | None = None
    good: Checked | None = None
    """The last that could be read."""
    network: Network | None = None
    """The last without faults."""
    trees: Trees = field(default_factory=dict)

    def ask(self, question: str) -> str:
        """The answer to a question: `{"do": "hover", "at": 3}`."""
        asked = json.loads(question)
        try:
            return json.dumps(DOES[asked.pop("do")](self, **asked))
        except ArchError as error:
            return json.dumps({"fault": str(error)})

    def check(
        self,
        text: str,
        name: str = "network",
        model: str | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> Answer:
        """The messages of a text, the shapes of its lines, and what can be set in it."""
        path = FOLDER / f"{name}.arch"
        found = self.checked = checked(path, {path: text}, self.trees)
        faults = list(found.diagnostics)
        fresh = False
        if found.scope is not None:
            self.good = found
            try:
                definition = pick(found.scope, model)
                first = next(iter(found.scope.models.values()))
                if found.networks and definition is first and not settings:
                    self.network = found.networks[0]
                else:
                    self.network = elaborate(definition, dict(settings or {}))
                faults += self.network.warnings
                fresh = True
            except ArchError as error:
                faults += error.diagnostics
        units = Units(found.source.text)
        return {
            "messages": [self._message(d, units) for d in dict.fromkeys(faults)],
            "hints": [
                {"at": units.of(offset), "text": text}
                for offset, text in answers.hints([found], found.source)
            ],
            "fresh": fresh,
            **(self._costs() if fresh else {}),
            "main": str(path),
            **self._choices(found, model),
        }

    def _message(self, found: Diagnostic, units: Units) -> Answer:
        """A message, with its place where it is in this text."""
        own = self.checked.source if self.checked is not None else None
        span, mend = found.span, found.mend
        place = [0, 0]
        if span is not None and span.source == own:
            place = [units.of(span.start), units.of(span.stop)]
        lines = [found.message, found.note, f"help: {found.help}" if found.help else ""]
        shown: Answer = {
            "severity": found.severity,
            "code": found.code,
            "text": "\n".join(line for line in lines if line),
            "whole": str(found).replace(f"{FOLDER}/", "").replace(f"{zoo()}/", ""),
            "here": span is not None and span.source == own,
            "place": place,
        }
        if mend is not None and mend.span.source == own:
            ends = [units.of(mend.span.start), units.of(mend.span.stop)]
            shown["mend"] = {"title": mend.title, "place": ends, "text": mend.text}
        return shown

    def _costs(self) -> Answer:
        """The name of the network, and what it costs."""
        assert self.network is not None
        whole = total(self.network)
        costs = f"{whole.parameters:,} parameters, {giga(whole.macs)} GMACs"
        return {"title": self.network.name, "costs": costs}

    def _choices(self, found: Checked, model: str | None) -> Answer:
        """The models of a file, and the parameters of the one that is shown."""
        if found.scope is None or not found.scope.models:
            return {}
        models = found.scope.models
        shown = models.get(model or "", next(iter(models.values())))
        return {
            "models": list(models),
            "parameters": [
                {
                    "name": param.name,
                    "text": param.span.text,
                    "default": "" if param.default is None else param.default.span.text,
                }
                for param in shown.declaration.params
            ],
        }

    # What is shown of the network

    def figure(self, style: str = "blocks", width: float = 0.0, spans: bool = True) -> Answer:
        """The picture of the network, in so many pixels where that can be read.

        With `spans` its boxes know their lines, and the page has the font; else it is a file.
        """
        assert self.network is not None
        network = self.network
        drawn = blocks(network, widest=width) if style == "blocks" else scaled(network)
        return {"svg": svg(drawn, spans=spans, fonts=not spans)}

    def summary(self) -> Answer:
        """The table of the blocks."""
        assert self.network is not None
        return {"text": str(summary(self.network))}

    def torch(self) -> Answer:
        """The PyTorch source."""
        from cnndsl.backends.torch import source

        assert self.network is not None
        return {"text": source(self.network)}

    # What is asked of a place

    def hover(self, at: int) -> Answer:
        """What is to be said of a place of the text as it was checked, as Markdown."""
        known = self.checked
        if known is None:
            return {}
        units = Units(known.source.text)
        names, then, offset = self._place(units.to(at))
        found = answers.hover(self._known(), names, then, offset)
        if found is None or then.text != known.source.text:
            return {}
        span, text = found
        return {"text": text, "place": [units.of(span.start), units.of(span.stop)]}

    def complete(self, text: str, at: int) -> Answer:
        """What can be written at a place."""
        text = clean(text)
        offset = Units(text).to(at)
        names = self._names()
        then = offset
        if names is not None and names.file.span.source.text != text:
            drift = Drift.between(names.file.span.source.text, text)
            back = drift.back(offset)
            then = drift.before if back is None else back
        path = FOLDER / "network.arch"
        items = completing.complete(text, offset, names, path, then)
        once = {item.text: item for item in reversed(items)}
        return {"items": [vars(item) for item in reversed(once.values())]}

    def define(self, at: int) -> Answer:
        """Where a name is defined: its file, and the line there."""
        known = self.checked
        if known is None:
            return {}
        names, _, offset = self._place(Units(known.source.text).to(at))
        for use in names.file.uses if names is not None else ():
            if use.path_span.start <= offset <= use.path_span.stop:
                found = used_path(known.path, use.path)
                return {"file": str(found), "line": 1} if found is not None else {}
        place = names.at(offset) if names is not None else None
        if place is None:
            return {}
        span, now = place.symbol.span, known.source
        line = span.line
        if span.source.name == now.name and span.source.text != now.text:
            line = now.position(Drift.between(span.source.text, now.text).forth(span.start))[0]
        return {"file": span.source.name, "line": line}

    def read(self, file: str) -> Answer:
        """The text of a shipped file that the network is made with."""
        known = self.checked
        path = Path(file)
        if known is None or path not in known.used or path == known.path:
            return {}
        return {"text": Reader({}, self.trees).read(path, file).text}

    def layout(self, text: str) -> Answer:
        """The text as `cnndsl fmt` writes it; where it has faults, as it is."""
        try:
            return {"text": layout(text)}
        except ArchError:
            return {"text": text}

    def _known(self) -> list[Checked]:
        return [known for known in (self.checked, self.good) if known is not None]

    def _place(self, offset: int) -> tuple[Names | None, Source, int]:
        """The names, the text that they are of, and an offset of the checked text in it."""
        assert self.checked is not None
        names, now = self._names(), self.checked.source
        then = names.file.span.source if names is not None else now
        if then.text == now.text:
            return names, now, offset
        back = Drift.between(then.text, now.text).back(offset)
        return (names, then, back) if back is not None else (None, now, offset)

    def _names(self) -> Names | None:
        """The names of the text, or of when it could last be read."""
        if self.good is None:
            return None
        good = self.good
        reader = Reader({good.path: good.source.text}, self.trees)

        def parse(path: Path) -> tree.File | None:
            try:
                return reader.parse(reader.read(path, str(path)))
            except (ArchError, OSError, RecursionError):
                return None

        return Library(parse).names(good.path)


DOES: dict[str, Callable[..., Answer]] = {
    name: getattr(Desk, name)
    for name in (
        "check", "figure", "summary", "torch", "hover", "complete", "define", "read", "layout",
    )
}  # fmt: skip
