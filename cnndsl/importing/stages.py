"""The model itself: a line a stage, named as the network names it, and the paper's table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from cnndsl.importing.blocks import Block
from cnndsl.importing.flow import RESERVED, Flow
from cnndsl.importing.lines import free, label
from cnndsl.importing.terms import (
    LONGEST,
    Chain,
    Line,
    Step,
    Then,
    folded,
    names_of,
    shortened,
    steps,
    within,
)
from cnndsl.importing.wording import WIDTH, Wording, declared
from cnndsl.ops.base import OPS
from cnndsl.ops.facts import Family, Shape

ROWS = 3
"""So many rows make a table."""
LIGHT = frozenset(
    {Family.POOL, Family.ACTIVATION, Family.REGULARIZE, Family.RESHAPE, Family.UPSAMPLE}
)
"""Steps that stand in front of the stage that follows."""


def model(flow: Flow, top: Block, words: Wording, *, fixed: bool = False) -> list[str]:
    """The model's declaration; with `fixed` it takes no other size."""
    known: dict[str, int] = {}
    inputs = ", ".join(f"{n}{_sizes(s, known, fixed=fixed)}" for n, s in flow.inputs.items())
    outputs = ", ".join(flow.outputs)
    ins = f"({inputs})" if len(flow.inputs) > 1 else inputs
    outs = f"({outputs})" if len(flow.outputs) > 1 else outputs
    others = (name for name in words.blocks if name != top.name)
    taken = Counter([*RESERVED, *flow.inputs, *flow.outputs, *others])
    for line in top.body.lines:
        taken.update(names_of(line))
    name = top.name
    while taken[name]:
        name += "Net"
    taken[name] += 1
    head = f"model {name}: {ins} -> {outs}"
    texts: list[str] = []
    for number, line in enumerate(top.body.lines):
        source = line.chain.source
        first = not number and len(flow.inputs) == 1 and bool(line.chain.steps)
        if first and source == next(iter(flow.inputs)):
            line = replace(line, chain=replace(line.chain, source=None))  # noqa: PLW2901
        if line.turns:
            texts += words.line(line, top)
            continue
        texts += _Stages(line, top, words, taken).texts()
    return declared(head, texts)


def _sizes(shape: Shape, known: dict[str, int], *, fixed: bool) -> str:
    """A port's sizes: what may vary has a name, which the first port that bears it gives."""
    names = {2: ["", "L"], 3: ["", "H", "W"], 4: ["", "D", "H", "W"]}.get(len(shape))
    if names is None or fixed:
        return f"[{', '.join(map(str, shape))}]"
    shown = []
    for name, size in zip(names, shape, strict=True):
        if not name:
            shown.append(str(size))
        elif name in known:
            shown.append(name if known[name] == size else str(size))
        else:
            known[name] = size
            shown.append(f"{name}={size}")
    return f"[{', '.join(shown)}]"


class _Stages:
    """One labelled line of the root, cut into stages."""

    def __init__(self, line: Line, top: Block, words: Wording, taken: Counter[str]) -> None:
        line = replace(line, chain=within(line.chain, shortened))
        self.line, self.top, self.words, self.taken = line, top, words, taken
        self.source = line.chain.source

    def texts(self) -> list[str]:
        """The lines."""
        made: list[str] = []
        groups = self._groups(list(self.line.chain.steps), 0)
        for number, (path, sequence) in enumerate(groups):
            last = number == len(groups) - 1
            alone = {_path(step) for step in sequence if not _light(step)}
            own = alone.pop() if len(alone) == 1 else ""
            key = own[-1:].isalpha() or own[-2:-1].isalpha()
            if own and (self._counted(label(path)) or (key and self._shared(path, sequence))):
                path = own  # noqa: PLW2901 - one of several that are counted, or have keys
            labels = ", ".join(self.line.labels) if last else ""
            labels = labels or self._label(path)
            made += self._stage(labels, sequence)
            self.source = None
        if not groups:
            made.append(f"{', '.join(self.line.labels)}: {self.source}")
        return made

    def _shared(self, path: str, sequence: list[Step]) -> bool:
        """Whether other lines have steps of the same module."""
        all_ = (step for line in self.top.body.lines for step in steps(line.chain))
        inside = sum(_path(step).startswith(f"{path}.") for step in sequence)
        return sum(step.path.startswith(f"{path}.") for step in all_) > inside

    def _counted(self, name: str) -> bool:
        """Whether there are others of that name with a number."""
        ends = (one.removeprefix(name) for one in self.taken if one.startswith(name))
        return any(end.isdigit() for end in ends)

    def _label(self, path: str) -> str:
        name = label(path)
        if name in OPS and "." in path:
            name = label(path.rpartition(".")[0])  # `down.conv` is `down`
        return free(name, self.taken)

    def _groups(self, sequence: list[Step], depth: int) -> list[tuple[str, list[Step]]]:
        """Steps by the module that they come from, as far as it makes lines that read well."""
        groups: list[tuple[str, list[Step]]] = []
        for path, members in groupby(sequence, key=lambda step: _prefix(_path(step), depth)):
            group = list(members)
            if groups and all(map(_light, groups[-1][1])):
                # What has no weights goes with the stage that follows.
                _, before = groups.pop()
                group = [*before, *group]
            groups.append((path, group))
        if len(groups) > 1 and all(map(_light, groups[-1][1])):
            path, tail = groups.pop()
            before_path, before = groups.pop()
            groups.append((before_path, [*before, *tail]))
        made: list[tuple[str, list[Step]]] = []
        for path, group in groups:
            deeper = any(len(_path(step).split(".")) > depth + 1 for step in group)
            if self._short(group) or not deeper or depth > 3:
                made.append((path, group))
            elif self._table(group) is not None:
                made += self._around(path, group)
            else:
                inner = self._groups(group, depth + 1)
                made += inner if len(inner) > 1 else [(path, group)]
        return made

    def _short(self, group: list[Step]) -> bool:
        """Whether a stage fits on a line, without a join that it begins with."""
        joins = bool(group[0].operands) and _light(group[0])
        run = folded(tuple(group[joins:]), longest=LONGEST)
        calls = sum(step.word not in OPS for step in run)
        stages = {_path(step).rpartition(".")[0] for step in run if not _light(step)}
        if calls > 1 and len(run) <= 3 and len(stages) == 1:
            calls = 1  # a stage whose blocks are of several kinds
        text = self.words.chain(Chain(None, run, self.line.chain.present), self.top, 10**6)
        return calls <= 1 and len(text) == 1 and len(text[0]) <= WIDTH - 16

    # Tables

    def _table(self, group: list[Step]) -> tuple[int, int, list[Step]] | None:
        """Where calls of one block stand in a row: the first, the end, and the rows."""
        best: tuple[int, int, list[Step]] | None = None
        start = 0
        for (word, _), members in groupby(group, key=lambda step: (step.word, step.operands)):
            run = list(members)
            rows = list(folded(tuple(run)))
            longer = len(rows) >= ROWS and (best is None or len(rows) > len(best[2]))
            if word not in OPS and longer and self._columns(rows) is not None:
                best = (start, start + len(run), rows)
            start += len(run)
        return best

    def _around(self, path: str, group: list[Step]) -> list[tuple[str, list[Step]]]:
        """What stands before a table, the table, and what stands behind it."""
        found = self._table(group)
        assert found is not None
        start, end, _ = found
        made: list[tuple[str, list[Step]]] = []
        if group[:start]:
            made.append((_path(group[0]) if len(group[:start]) == 1 else path, group[:start]))
        made.append((path, group[start:end]))
        if group[end:]:
            rest = group[end:]
            made.append((_path(rest[0]), rest))
        return made

    def _columns(self, rows: Sequence[Step]) -> dict[str, tuple[list[Any], Any]] | None:
        """For each argument what each row gives, and what a `then` ends in.

        None where no table says it: a `then` that ends differently in each row, or equal rows.
        """
        made: dict[str, tuple[list[Any], Any]] = {}
        for name in rows[0].arguments:
            values = [row.arguments[name][0] for row in rows]
            ends = [value.rest for value in values if isinstance(value, Then)]
            if ends and any(end != ends[0] for end in ends):
                return None
            if ends:
                for value, row in zip(values, rows, strict=True):
                    if not isinstance(value, Then) and row.count[0] > 1 and value != ends[0]:
                        return None
            first = [value.first if isinstance(value, Then) else value for value in values]
            made[name] = (first, ends[0] if ends else ...)
        counts = [row.count[0] for row in rows]
        differs = any(
            len(set(map(repr, one))) > 1 for one in (counts, *(v for v, _ in made.values()))
        )
        return made if differs else None

    def _stage(self, labels: str, sequence: list[Step]) -> list[str]:
        """A line, a table, or a chain over several lines."""
        rows = folded(tuple(sequence))
        if (
            len(rows) >= ROWS
            and len({step.word for step in rows}) == 1
            and not any(step.operands for step in rows)
        ):
            columns = self._columns(rows) if rows[0].word not in OPS else None
            if columns is not None:
                return self._rows(labels, rows, columns)
        run = folded(tuple(sequence), longest=LONGEST)
        chain = Chain(self.source, run, self.line.chain.present)
        lines = self.words.chain(chain, self.top, WIDTH - 4 - len(labels))
        return [f"{labels}: {lines[0]}", *lines[1:]]

    def _rows(
        self, labels: str, run: Sequence[Step], columns: dict[str, tuple[list[Any], Any]]
    ) -> list[str]:
        """`for | c | n | s | …`, and the call below it."""
        target = self.words.blocks[run[0].word]
        header: list[str] = []
        cells: list[list[str]] = []
        given: list[str] = []
        taken = {*self.taken, *OPS}
        for parameter in target.parameters:
            values, end = columns[parameter.name]
            texts = [self.words.value(value) for value in values]
            name = parameter.name
            while name in taken:
                name += "_"
            if len(set(texts)) > 1:
                header.append(name)
                cells.append(texts)
                text = name
            else:
                text = texts[0]
            if end is not ...:
                text += f" then {self.words.value(end)}"
            if parameter.default is ...:
                given.append(text)
            elif text != self.words.value(parameter.default):
                given.append(f"{parameter.name}={text}")
        counts = [str(step.count[0]) for step in run]
        times = ""
        if len(set(counts)) > 1:
            name = next(n for n in ("n", "repeat", "times") if n not in header)
            header.append(name)
            cells.append(counts)
            times = f" * {name}"
        elif counts[0] != "1":
            times = f" * {counts[0]}"
        rows = [header, *([column[n] for column in cells] for n in range(len(run)))]
        table = ["for " + _row(rows[0]), *(f"    {_row(row)}" for row in rows[1:])]
        call = f"{run[0].word}({', '.join(given)})" if given else run[0].word
        lines = [f"{labels}:", *table, f"{{ {call}{times} }}"]
        if self.source:
            raise AssertionError("a table continues the line above")
        return lines


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join('-' if cell == 'none' else cell for cell in cells)} |"


def _path(step: Step) -> str:
    """Where a step comes from; a join that is no module is where what it joins is."""
    if step.word not in OPS:
        return step.path
    inner = [s.path for chain in step.operands or () for s in steps(chain) if s.path]
    return inner[-1] if inner else step.path


def _prefix(path: str, depth: int) -> str:
    return ".".join(path.split(".")[: depth + 1])


def _light(step: Step) -> bool:
    """Whether a step has no weights; a join of labels, that is, reads what stands above it."""
    if step.operands is not None:
        inner = [one for chain in step.operands for one in chain.steps]
        joins = step.word == "concat" or (step.word in OPS and all(map(_light, inner)))
        return joins and not step.each and all(chain.source for chain in step.operands)
    return step.word in OPS and step.word != "deconv" and OPS[step.word].family in LIGHT
