"""What differs between two networks, by the paths of their layers: structure, then costs."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html import escape

from cnndsl.analysis.costs import Cost, costs
from cnndsl.analysis.receptive import receptive
from cnndsl.graph import Network, plain
from cnndsl.ops.base import Op
from cnndsl.ops.facts import Auto, Family, Shape, spell_shape
from cnndsl.ops.values import spell


@dataclass(frozen=True, slots=True)
class Change:
    """One node that is added, removed or changed; `was` and `now` say how."""

    node: str
    kind: str
    was: str
    now: str
    parameters: int
    macs: int
    shapes: tuple[str, str] = ("", "")
    fields: tuple[str, str] = ("", "")

    def row(self) -> dict[str, object]:
        """As a row of a table."""
        return {
            "node": self.node,
            "kind": self.kind,
            "was": self.was,
            "now": self.now,
            "parameters": self.parameters,
            "macs": self.macs,
            "shape was": self.shapes[0],
            "shape now": self.shapes[1],
            "field was": self.fields[0],
            "field now": self.fields[1],
        }


@dataclass(frozen=True, slots=True)
class Diff:
    """The changes, whose parameters and multiply-adds sum to those of the totals."""

    names: tuple[str, str]
    settings: tuple[str, ...]
    changes: tuple[Change, ...]
    parameters: int
    macs: int
    totals: tuple[Cost, Cost] = field(repr=False)

    def __bool__(self) -> bool:
        """Whether they differ."""
        return bool(self.changes or self.settings)

    def rows(self) -> list[dict[str, object]]:
        """One row a change, for a data frame."""
        return [change.row() for change in self.changes]

    def data(self) -> dict[str, object]:
        """Plain values: the names, the totals of both, and the rows."""
        before, after = self.totals
        return {
            "before": self.names[0],
            "after": self.names[1],
            "settings": [line.strip() for line in self.settings],
            "parameters": [before.parameters, after.parameters],
            "macs": [before.macs, after.macs],
            "changes": self.rows(),
        }

    def __str__(self) -> str:
        """A line a change, then the totals."""
        if not self:
            return "no difference"
        lines = [f"--- {self.names[0]}", f"+++ {self.names[1]}", *self.settings]
        signs = {"added": "+", "removed": "-", "changed": "~", "affected": " "}
        width = max((len(change.node) for change in self._listed()), default=0)
        for change in self._listed():
            what = _arrow(change.was, change.now)
            parts = [what, _signed(change.parameters, "parameters")]
            parts += [_signed(change.macs, "MACs"), _arrow(*change.shapes)]
            if change.fields[0] != change.fields[1] and all(change.fields):
                parts.append(f"sees {_arrow(*change.fields)}")
            shown = ", ".join(part for part in parts if part)
            lines.append(f"{signs[change.kind]} {change.node:{width}}  {shown}")
        return "\n".join([*lines, *self._rest(), self._total()])

    def _listed(self) -> list[Change]:
        """What is said line by line: all but the layers that only see another field."""
        return [
            change
            for change in self.changes
            if change.kind != "affected"
            or change.macs
            or change.parameters
            or change.shapes[0] != change.shapes[1]
        ]

    def _rest(self) -> list[str]:
        """The layers behind that only see another field, in a line."""
        listed = set(map(id, self._listed()))
        rest = [change for change in self.changes if id(change) not in listed]
        if not rest:
            return []
        last = rest[-1]
        layers = "layer" if len(rest) == 1 else "layers"
        return [
            f"  {len(rest)} more {layers} see another field, {last.node} {_arrow(*last.fields)}"
        ]

    def _total(self) -> str:
        before, after = self.totals
        return (
            f"total: {self.parameters:+,} parameters"
            f" ({before.parameters:,} → {after.parameters:,}),"
            f" {self.macs:+,} MACs ({before.macs:,} → {after.macs:,})"
        )

    def markdown(self) -> str:
        """A table for a pull request."""
        if not self:
            return "No difference."
        head = "| layer | change | parameters | MACs | output | sees |"
        lines = [f"**{self._total()}**", ""]
        lines += [f"- {_plain(line.strip())}" for line in self.settings]
        lines += [""] if self.settings else []
        lines += [head, "|---|---|---:|---:|---|---|"]
        for change in self._listed():
            what = _arrow(change.was, change.now)
            what = f"{change.kind}: {what}" if change.kind in ("added", "removed") else what
            cells = [
                f"`{change.node}`",
                _plain(what),
                _plus(change.parameters),
                _plus(change.macs),
            ]
            cells += [_arrow(*change.shapes), _arrow(*change.fields)]
            lines.append(f"| {' | '.join(cells)} |")
        return "\n".join([*lines, "", *map(_plain, self._rest())]).rstrip()


def _plain(text: str) -> str:
    """Text of a file in Markdown: no tag, link, picture, mention or cell of its own."""
    return re.sub(
        r"[\\`*_\[\]|~!@#]", lambda match: f"&#{ord(match[0])};", escape(text, quote=False)
    )


def _arrow(was: str, now: str) -> str:
    if was == now:
        return ""
    return f"{was} → {now}" if was and now else was or now


def _signed(count: int, unit: str) -> str:
    return f"{count:+,} {unit}" if count else ""


def _plus(count: int) -> str:
    return f"{count:+,}" if count else ""


def diff(before: Network, after: Network) -> Diff:
    """What `after` changes of `before`."""
    sides = _Side(before), _Side(after)
    changes = [
        change
        for name in _merged(list(sides[0].table), list(sides[1].table))
        if (change := _change(name, *sides)) is not None
    ]
    totals = tuple(sum(side.table.values(), Cost()) for side in sides)
    return Diff(
        (before.name, after.name),
        tuple(_settings(before, after)),
        tuple(changes),
        totals[1].parameters - totals[0].parameters,
        totals[1].macs - totals[0].macs,
        (totals[0], totals[1]),
    )


class _Side:
    """One of the two networks, with what is asked of its layers."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.table = costs(network)
        self.fields = receptive(network)

    def layer(self, name: str) -> _Layer | None:
        """A layer as it is; None where there is none of that name."""
        if name not in self.table:
            return None
        network = self.network
        feeds = ", ".join(
            producer if output == 0 else f"{producer}:{output}"
            for producer, output in network.operands(name)
        )
        shapes = tuple(_shape(shape) for shape in network.shapes[name])
        seen = str(self.fields[name])
        return _Layer(network.node(name).op, feeds, shapes, seen, self.table[name])


@dataclass(frozen=True, slots=True)
class _Layer:
    op: Op
    feeds: str
    shapes: tuple[str, ...]
    seen: str
    cost: Cost

    def told(self) -> str:
        """`conv(out=64, kernel=3x3) of c1.act`, without the attributes by default."""
        given = [
            f"{p.name}={spell(value)}"
            for p in self.op.parameters
            if not isinstance(p.default, Auto)
            and spell(value := getattr(self.op, p.name)) != _default(p.default, value)
        ]
        said = f"{self.op.name}({', '.join(given)})" if given else self.op.name
        return f"{said} of {self.feeds}" if self.feeds else said


def _default(default: object, value: object) -> str:
    """A default as it would be spelt beside a value: `1` is `1x1` for a window."""
    wide = isinstance(value, tuple) and not isinstance(default, tuple) and len(value) > 0
    return spell((default,) * len(value) if wide and isinstance(value, tuple) else default)


def _change(name: str, before: _Side, after: _Side) -> Change | None:
    """What is different at one name; None where nothing is."""
    was, now = before.layer(name), after.layer(name)
    if was == now:
        return None
    costs_of = [layer.cost if layer else Cost() for layer in (was, now)]
    shapes = was.shapes[0] if was else "", now.shapes[0] if now else ""
    if was is None or now is None:
        kind = "removed" if now is None else "added"
        text = was.told() if was else "", now.told() if now else ""
    else:
        # Another image is no other structure.
        alike = was.op == now.op or was.op.family is now.op.family is Family.INPUT
        same = alike and was.feeds == now.feeds
        kind = "affected" if same else "changed"
        text = ("", "") if same else _apart(was, now)
    return Change(
        name,
        kind,
        *text,
        costs_of[1].parameters - costs_of[0].parameters,
        costs_of[1].macs - costs_of[0].macs,
        shapes,
        (was.seen if was else "", now.seen if now else ""),
    )


def _apart(was: _Layer, now: _Layer) -> tuple[str, str]:
    """Of two layers what is not alike: attributes, `stride=2x2`, and feeds, `of c1.act`."""
    if was.op.name != now.op.name:
        return was.told(), now.told()
    names = [
        p.name
        for p in was.op.parameters
        if spell(getattr(was.op, p.name)) != spell(getattr(now.op, p.name))
    ]
    texts = []
    for layer in (was, now):
        parts = [", ".join(f"{name}={spell(getattr(layer.op, name))}" for name in names)]
        parts += [f"of {layer.feeds}"] if was.feeds != now.feeds else []
        texts.append(" ".join(filter(None, parts)))
    return texts[0], texts[1]


def _shape(shape: Shape) -> str:
    return spell_shape(tuple(map(int, shape)))


def _settings(before: Network, after: Network) -> list[str]:
    """The parameters of the models that differ."""
    was, now = plain(before.arguments), plain(after.arguments)
    names = list(dict.fromkeys([*was, *now]))
    return [
        f"  {name}: {spell(was.get(name))} → {spell(now.get(name))}"
        for name in names
        if spell(was.get(name)) != spell(now.get(name))
    ]


def _merged(before: list[str], after: list[str]) -> list[str]:
    """Both lists in one order: what is removed stands where it was."""
    from difflib import SequenceMatcher

    merged: list[str] = []
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    for _, i, j, k, m in matcher.get_opcodes():
        merged += [*before[i:j], *after[k:m]]
    return list(dict.fromkeys(merged))
