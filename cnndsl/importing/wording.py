"""The text of blocks: each line as long as it reads well, `default`s for what is usual."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from cnndsl.importing.blocks import Block, flat, kind, spelled
from cnndsl.importing.grids import CLASSES, ONE, Grid
from cnndsl.importing.terms import GROUP, Chain, Column, Line, Named, Some, Step, Then
from cnndsl.ops.base import OPS
from cnndsl.ops.initial import Parameter

WIDTH = 96
INLINE, LONE = 60, 72
"""How long the operands on one line may be; and where at most one of them is more than a label
or `skip`.
"""

Defaults = Mapping[str, Mapping[str, Any]]
"""What `default` says of each operation."""


def usual(blocks: Iterable[Block]) -> Defaults:
    """What most steps of the file say, so that it is said once."""
    all_ = [step for block in blocks for line in block.body.lines for step in _all(line.chain)]
    found: dict[str, dict[str, Any]] = {}
    for word in ("conv", "dwconv", "std_conv", "deconv", "linear"):
        mine = [step for step in all_ if step.word == word]
        for slot in ("norm", "act", "bias"):
            values = Counter(_literal(s.arguments[slot]) for s in mine)
            if not values:
                continue
            (value, times), usually = values.most_common(1)[0], _usual(slot)
            if isinstance(value, _Varies) or value == usually or times < 2:
                continue
            if times > len(mine) / 2:
                found.setdefault(word, {})[slot] = value
    for word in ("bn", "ln", "gn", "avgpool"):
        given = [dict(named.arguments) for named in _named(all_) if named.word == word]
        for name in sorted({n for one in given for n in one}):
            values = Counter(one.get(name, _MISSING) for one in given)
            (value, times) = values.most_common(1)[0]
            if value is not _MISSING and times > len(given) / 2 and times > 1:
                found.setdefault(word, {})[name] = value
    return found


def _all(chain: Chain) -> Iterator[Step]:
    """The steps of a chain, as often as it repeats them."""
    for step in chain.steps:
        inner = [one for operand in step.operands or () for one in _all(operand)]
        yield from (*inner, step) * min(step.count.values())


class _Varies:
    """A place whose value is a formula."""


_MISSING = object()


def _usual(slot: str) -> object:
    return Named("auto") if slot == "bias" else None


def _literal(column: Column) -> Any:
    values = {repr(value): value for value in column.values()}
    return next(iter(values.values())) if len(values) == 1 else _Varies()


def _named(all_: Iterable[Step]) -> Iterator[Named]:
    """Norms in a convolution's slot and those that are steps."""
    from cnndsl.importing.steps import shortened

    for step in all_:
        if step.word in ("bn", "ln", "gn", "avgpool"):
            given = {name: _literal(column) for name, column in step.arguments.items()}
            plain = {n: v for n, v in given.items() if not isinstance(v, _Varies)}
            yield Named(step.word, shortened(step.word, plain))
        for value in step.arguments.get("norm", {}).values():
            if isinstance(value, Named):
                yield value
                break


class Wording:
    """The words of one file."""

    def __init__(self, blocks: Mapping[str, Block], defaults: Defaults) -> None:
        """Take the blocks that calls name."""
        self.blocks, self.defaults = blocks, defaults

    def heading(self) -> list[str]:
        """The `default` lines."""
        made: dict[str, list[str]] = {}
        for word, given in self.defaults.items():
            order = ("bias", "norm", "act")
            names = sorted(given, key=lambda n: (order.index(n) if n in order else -1, n))
            shown = ", ".join(f"{n}={self.value(given[n])}" for n in names)
            made.setdefault(shown, []).append(word)
        return [f"default {', '.join(words)}({shown})" for shown, words in made.items()]

    # Blocks

    def block(self, block: Block) -> list[str]:
        """A block's declaration."""
        if block.grid is not None:
            return self._grid(block, block.grid)
        shown = []
        for one in block.parameters:
            text = f"{one.name}: {kind(flat(one.column.values()))}"
            if one.default is not ...:
                text += f" = {self.value(one.default)}"
            shown.append(text)
        head = f"block {block.name}" + (f"({', '.join(shown)})" if shown else "")
        body = block.body
        if body.inputs:
            left = [
                f"{name} as {block.leaves[name]}" if name in block.leaves else name
                for name in body.outputs
            ]
            head += f": {_ports(body.inputs)} -> {_ports(left)}"
        lines = [text for line in body.lines for text in self.line(line, block)]
        return declared(head, lines)

    def _grid(self, block: Block, grid: Grid) -> list[str]:
        """A block of any number of inputs: a `for` over them, and one over the outputs."""

        def chain(source: str, steps: tuple[Step, ...]) -> str:
            return " ".join(self.chain(Chain(source or None, steps, ONE), block, 10**6))

        cells = []
        for condition, (label, _) in CLASSES.items():
            text = chain(f"{grid.branch}[j]", grid.cells[condition])
            start = f"{label}[j]: " if grid.cells[condition] else ""
            cells.append(f"        {start}{text} when {condition}")
        join, after = self.call(grid.join[0], block), grid.join[1:]
        end = f" -> {chain('', after)}" if after else ""
        return [
            f"block {block.name}: *x[{', '.join('_' * grid.rank)}] -> *y {{",
            f"  for i in 0..len(x) {{ {grid.branch}[i]: {chain('x[i]', grid.rows)} }}",
            "  for i in 0..len(x) {",
            f"    y[i]: {join} {{",
            "      for j in 0..len(x) {",
            *cells,
            "      }",
            f"    }}{end}",
            "  }",
            "}",
        ]

    def line(self, line: Line, block: Block) -> list[str]:
        """One line of a block; with conditions in it, several."""
        label = f"{', '.join(line.labels)}: " if line.labels else ""
        chain = line.chain
        if line.turns:
            name, values = line.turns
            source = f"{chain.source} -> " if chain.source else ""
            head = f"{label}{source}for {name} in {values} {{"
            return self._turns(head, replace(chain, source=None), block)
        optional = any(step.present != chain.present for step in chain.steps)
        if optional and not label and chain.source is None:
            return list(self._pieces(chain, block))
        return self._indented(label, self.chain(chain, block, WIDTH - 2 - len(label)))

    def _turns(self, head: str, chain: Chain, block: Block) -> list[str]:
        lines = self.chain(chain, block, WIDTH - 8)
        if len(lines) == 1 and len(head) + len(lines[0]) + 3 < WIDTH - 4:
            return [f"{head} {lines[0]} }}"]
        return [head, *(f"  {text}" for text in lines), "}"]

    def _indented(self, label: str, lines: list[str]) -> list[str]:
        return [f"{label}{lines[0]}", *lines[1:]]

    def _pieces(self, chain: Chain, block: Block) -> Iterator[str]:
        """What is always there on lines of its own, and what only some have on one."""
        before: Some = chain.present  # whose line ends in a condition
        for some, run in groupby(chain.steps, key=lambda step: step.present):
            other = some == chain.present - before
            condition = block.conditions.get((some, chain.present), "")
            end = f" when {condition}" if not other and some != chain.present else ""
            width = WIDTH - 8 - len(end) if end else WIDTH - 4
            first, *rest = self.chain(Chain(None, tuple(run), some), block, width)
            lines = [f"else {first}" if other else first, *rest]
            yield from (*lines[:-1], f"{lines[-1]}{end}")
            before = some if end else chain.present

    # Chains

    def chain(self, chain: Chain, block: Block, width: int) -> list[str]:
        """The lines of a chain, the first to stand behind a label."""
        if any(step.present != chain.present for step in chain.steps):
            first, *others = list(self._pieces(chain, block))
            start = f"{chain.source} -> " if chain.source else ""
            if not others:
                return [f"{start}{{ {first} }}"]
            *middle, last = others
            return [f"{start}{{ {first}", *(f"  {m}" for m in middle), f"  {last} }}"]
        if not chain.steps:
            return [chain.source or "skip"]
        terms = [self.step(step, block) for step in chain.steps]
        if chain.source:
            terms.insert(0, [chain.source])
        lines = [""]
        for number, term in enumerate(terms):
            joint = " -> " if number else ""
            fits = len(lines[-1]) + len(joint) + len(term[0]) <= width
            if number and not fits and lines[-1].strip() != "}":
                lines.append(f"  -> {term[0]}")
            else:
                lines[-1] += joint + term[0]
            lines += term[1:]
        return lines

    def step(self, step: Step, block: Block) -> list[str]:
        """A step; with braces of several lines, these."""
        if step.word == GROUP:
            (inner,) = step.operands or ()
            lines, times = self.chain(inner, block, WIDTH - 14), self.place(step.count, block)
            if len(lines) == 1:
                return [f"{{ {lines[0]} }} * {times}"]
            return ["{", *(f"  {line}" for line in lines), f"}} * {times}"]
        head = self.call(step, block) + (f" {step.each}" if step.each else "")
        count = self.place(step.count, block)
        times = "" if count == "1" else f" * {count if count.isalnum() else f'({count})'}"
        if step.operands is None:
            return [head + times]
        # `name(…) * n { … }` is for `each`; repeated joins close first.
        texts = [self.operand(chain, n, step, block) for n, chain in enumerate(step.operands)]
        plain = all(
            len(t) == 1 and " when " not in t[0] and not t[0].startswith("else ") for t in texts
        )
        inline = "; ".join(t[0] for t in texts)
        few = [chain for chain in step.operands if chain.steps]
        if plain and len(inline) <= (LONE if len(few) < 2 else INLINE):
            return [f"{head} {{ {inline} }}{times}"]
        return [
            f"{head} {{",
            *(f"  {line}" for text in texts for line in text),
            f"}}{times}",
        ]

    def operand(self, chain: Chain, number: int, step: Step, block: Block) -> list[str]:
        """One line in braces, with its condition."""
        head = end = ""
        if chain.turns:
            name, values = chain.turns
            label = f"{chain.label}[{name}]: " if chain.label else ""
            head, end = f"for {name} in {values} {{ {label}", " }"
        lines = self.chain(chain, block, WIDTH - 8 - len(head) - len(end))
        lines[0] = head + lines[0]
        lines[-1] += end
        if chain.present == step.present:
            return lines
        before = step.operands[number - 1] if number and step.operands else None
        if before is not None and before.present == step.present - chain.present:
            return [f"else {lines[0]}", *lines[1:]]
        condition = block.conditions[chain.present, step.present]
        return [*lines[:-1], f"{lines[-1]} when {condition}"]

    # Steps

    def call(self, step: Step, block: Block) -> str:
        """`conv(64, 3x3, stride=2)`: what is not the default, in the order of the signature."""
        target = self.blocks.get(step.word)
        if target is not None and step.word not in OPS:
            given = self._block_arguments(target, step, block)
        else:
            given = self._arguments(step, block)
        return f"{step.word}({', '.join(given)})" if given else step.word

    def _block_arguments(self, target: Block, step: Step, block: Block) -> list[str]:
        made = []
        for parameter in target.parameters:
            text = self.place(step.arguments[parameter.name], block)
            if parameter.default is ...:
                made.append(text)
            elif text != self.value(parameter.default):
                made.append(f"{parameter.name}={text}")
        return made

    def _arguments(self, step: Step, block: Block) -> list[str]:
        given = _regrouped(step.arguments)
        usual_ = self.defaults.get(step.word, {})
        parameters = [*OPS[step.word].parameters]
        if OPS[step.word].fused:
            parameters += [Parameter("norm", "op", None), Parameter("act", "op", None)]
        made: list[str] = []
        skipped = False
        known = {p.name for p in parameters}
        for one in parameters:
            if one.name == "axes" or one.name not in given:
                continue
            variadic = step.word == "reshape"
            text = self.several(given[one.name], block, variadic=variadic)
            text = _counted(text) if step.word == "values" else text
            default = usual_.get(one.name, one.default)
            if self._is_default(step, one.name, text, default):
                skipped = True
                continue
            required = not isinstance(one.default, int | float | str | tuple | bool) and (
                one.default is not None and "MISSING" in repr(one.default)
            )
            made.append(text if required and not skipped else f"{one.name}={text}")
            skipped = skipped or not required
        made += [
            f"{name}={self.several(column, block)}"
            for name, column in given.items()
            if name not in known
        ]
        return made

    def _is_default(self, step: Step, name: str, text: str, default: Any) -> bool:
        if "MISSING" in repr(default):
            return False
        if name == "stride" and step.word in ("maxpool", "avgpool") and default is None:
            kernel = self.place(step.arguments["kernel"], Block("", None))  # type: ignore[arg-type]
            return text == kernel or "x".join([text] * len(kernel.split("x"))) == kernel
        if name == "bias" and text == "auto":
            return default in (Named("auto"), None) or "AUTO" in repr(default)
        if "SAME" in repr(default):
            return text == "same"
        return text == self.value(default) or (default == 0 and text == "0")

    def several(
        self, column: Column | list[Column], block: Block, *, variadic: bool = False
    ) -> str:
        """An argument, or a list of them."""
        if isinstance(column, dict):
            return self.place(column, block)
        texts = [self.place(one, block) for one in column]
        return ", ".join(texts) if variadic else f"[{', '.join(texts)}]"

    def place(self, column: Column, block: Block) -> str:
        """What stands in one place: a formula, or the value that all have."""
        formula = block.formulas.get(id(column))
        return formula if formula is not None else self.value(next(iter(column.values())))

    def value(self, value: object) -> str:
        """A value, an operation without what `default` says of it."""
        if isinstance(value, Then):
            return f"{self.value(value.first)} then {self.value(value.rest)}"
        if isinstance(value, Named):
            usual_ = self.defaults.get(value.word, {})
            missing = object()
            given = [(n, v) for n, v in value.arguments if usual_.get(n, missing) != v]
            have = {n for n, _ in value.arguments}
            if value.word in OPS:
                default = {p.name: p.default for p in OPS[value.word].parameters}
                given += [(n, default[n]) for n in usual_ if n not in have]
            return spelled(Named(value.word, tuple(given)))
        return spelled(value)


def declared(head: str, lines: list[str]) -> list[str]:
    """A declaration, on one line where it is short."""
    if len(lines) == 1 and len(head) + len(lines[0]) + 5 < WIDTH - 16:
        return [f"{head} {{ {lines[0]} }}"]
    return [f"{head} {{", *(f"  {text}" for text in lines), "}"]


def _regrouped(given: Mapping[str, Column]) -> dict[str, Column | list[Column]]:
    """`sections[0]`, `sections[1]` as one list again."""
    made: dict[str, Column | list[Column]] = {}
    for name, column in given.items():
        head, bracket, _ = name.partition("[")
        if bracket:
            found = made.setdefault(head, [])
            assert isinstance(found, list)
            found.append(column)
        else:
            made[name] = column
    return made


def _counted(text: str) -> str:
    """`[0.0, 1.0, 2.0, 3.0]` as `0..4`."""
    numbers = text.strip("[]").split(", ")
    count = len(numbers)
    return f"0..{count}" if count > 2 and numbers == [f"{n}.0" for n in range(count)] else text


def _ports(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"({', '.join(names)})"
