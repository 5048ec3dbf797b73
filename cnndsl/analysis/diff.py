"""What differs between two networks, by the paths of their layers: structure, then costs."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

from cnndsl.analysis.costs import Cost, costs
from cnndsl.analysis.receptive import receptive
from cnndsl.graph import Network, plain
from cnndsl.ops.base import Op, Shape, spell, spell_shape


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

    def __str__(self) -> str:
        """A line a change, then the totals."""
        if not self:
            return "no difference"
        lines = [f"--- {self.names[0]}", f"+++ {self.names[1]}", *self.settings]
        signs = {"added": "+", "removed": "-", "changed": "~", "affected": " "}
        width = max((len(change.node) for change in self._listed()), default=0)
        for change in self._listed():
            what = _arrow(change.was, change.now)
            parts = [what, _arrow(*change.shapes), _signed(change.parameters, "parameters")]
            parts.append(_signed(change.macs, "MACs"))
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
        lines = [f"**{self._total()}**", "", head, "|---|---|---:|---:|---|---|"]
        for change in self._listed():
            what = _arrow(change.was, change.now) or change.kind
            what = what if change.kind == "changed" else f"{change.kind}: {what}"
            seen = _arrow(*change.fields)
            lines.append(
                f"| `{change.node}` | {what} | {change.parameters:+,} | {change.macs:+,} "
                f"| {_arrow(*change.shapes)} | {seen} |"
            )
        return "\n".join([*lines, "", *self._rest()]).rstrip()


def _arrow(was: str, now: str) -> str:
    if was == now:
        return ""
    return f"{was} → {now}" if was and now else was or now


def _signed(count: int, unit: str) -> str:
    return f"{count:+,} {unit}" if count else ""


def diff(before: Network, after: Network) -> Diff:
    """What `after` changes of `before`."""
    tables = costs(before), costs(after)
    fields = receptive(before), receptive(after)
    names = [[node.name for node in network] for network in (before, after)]
    known = set(names[0]), set(names[1])
    changes = []
    for name in _merged(names[0], names[1]):
        was = _said(before, name) if name in known[0] else ""
        now = _said(after, name) if name in known[1] else ""
        costs_of = [t.get(name, Cost()) for t in tables]
        shapes = tuple(
            _shape(network.shapes[name][0]) if name in here else ""
            for network, here in zip((before, after), known, strict=True)
        )
        seen = tuple(
            str(found[name]) if name in here else ""
            for found, here in zip(fields, known, strict=True)
        )
        parameters = costs_of[1].parameters - costs_of[0].parameters
        macs = costs_of[1].macs - costs_of[0].macs
        alike = (was, shapes[0], seen[0]) == (now, shapes[1], seen[1])
        if alike and not parameters and not macs:
            continue
        kind = "added" if not was else "removed" if not now else "changed"
        kind = "affected" if was == now else kind
        text = ("", "") if was == now else _shorter(before, after, name, (was, now))
        changes.append(
            Change(
                name, kind, *text, parameters, macs, (shapes[0], shapes[1]), (seen[0], seen[1])
            )
        )
    totals = tuple(sum(table.values(), Cost()) for table in tables)
    return Diff(
        (before.name, after.name),
        tuple(_settings(before, after)),
        tuple(changes),
        totals[1].parameters - totals[0].parameters,
        totals[1].macs - totals[0].macs,
        (totals[0], totals[1]),
    )


def _said(network: Network, name: str) -> str:
    """An operation with its attributes, and what feeds it."""
    op = network.node(name).op
    pairs = (f"{key}={value}" for key, value in _attributes(op).items())
    feeds = ", ".join(producer for producer, _ in network.operands(name))
    return f"{op.name}({', '.join(pairs)}) of {feeds}" if feeds else op.name


def _shorter(
    before: Network, after: Network, name: str, said: tuple[str, str]
) -> tuple[str, str]:
    """Of one operation with other attributes, those that differ: `stride=2x2`."""
    if not all(said):
        return said
    pairs = [_attributes(network.node(name).op) for network in (before, after)]
    if before.node(name).op.name != after.node(name).op.name or pairs[0] == pairs[1]:
        return said
    differ = [key for key in pairs[0] if pairs[0][key] != pairs[1].get(key)]
    was, now = (", ".join(f"{key}={pair[key]}" for key in differ) for pair in pairs)
    return was, now


def _attributes(op: Op) -> dict[str, str]:
    return {
        f.name: spell(getattr(op, f.name))
        for f in dataclasses.fields(op)  # type: ignore[arg-type]
    }


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
