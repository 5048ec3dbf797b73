"""Calls whose arguments are the same, or have a name, in all instances."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeVar

from cnndsl.backends.torch.families import Families
from cnndsl.backends.torch.layout import Brackets, Doc, Prefixed, flat
from cnndsl.backends.torch.values import (
    Env,
    Name,
    Provider,
    at_run_time,
    literal,
    same,
    spell,
)
from cnndsl.ops.base import Call, Operand, Template
from cnndsl.symbolic import strip

T = TypeVar("T")


class NeedsName(Exception):  # noqa: N818 - control flow, not a fault
    """A value that only a new name could give, where none is wanted."""


class Speller:
    """Writes values for a constructor (`value`) and for `forward` (`kept`)."""

    def __init__(
        self, provider: Provider, attribute: Callable[[str, str], str], families: Families
    ) -> None:
        """New names come from the innermost provider; `attribute` keeps a value for later."""
        self.families = families
        self.providers = [provider]
        self.attribute = attribute
        self.naming = True
        self.counter: list[int] | None = None

    def value(self, values: Sequence[object], envs: Sequence[Env], hint: str) -> str:
        """The constructor's text for values, one an instance."""
        before = self._columns()
        found = spell(values, envs)
        if found is None:
            self._restore(before)  # a part of a tuple may have been given a name
        if found is None and self.counter is not None:
            found = self._arithmetic(values, envs)
        if found is not None:
            return found
        added = self.providers[-1].add(hint, values, envs) if self.naming else None
        if added is None:
            raise NeedsName(hint)
        return added

    def _arithmetic(self, values: Sequence[object], envs: Sequence[Env]) -> str | None:
        """`64 + 32 * i`, for values that grow evenly within each repeat."""
        assert self.counter is not None
        starts, steps, firsts = [], [], []
        position = 0
        for count in self.counter:
            own = [strip(v) for v in values[position : position + count]]
            if not all(isinstance(v, int) for v in own):
                return None
            numbers = [int(v) for v in own]
            step = numbers[1] - numbers[0] if count > 1 else 0
            if any(b - a != step for a, b in pairwise(numbers)):
                return None
            starts.append(values[position])
            steps.append(step)
            firsts.append(envs[position])
            position += count
        start, step_text = spell(starts, firsts), spell(steps, firsts)
        if start is None or step_text is None:
            return None
        return f"{start} + {step_text} * i"

    def attempt(
        self, build: Callable[[], T], *, naming: bool, counter: list[int] | None = None
    ) -> T | None:
        """What is built, without new names or with; None where that does not do."""
        before = self._columns()
        outer = self.naming, self.counter
        self.naming, self.counter = naming and self.naming, counter
        try:
            return build()
        except NeedsName:
            self._restore(before)
            return None
        finally:
            self.naming, self.counter = outer

    def _columns(self) -> list[tuple[dict[str, list[object]], set[str]]]:
        """What has a name so far."""
        return [(dict(p.columns), set(p.extra)) for p in self.providers]

    def _restore(self, before: list[tuple[dict[str, list[object]], set[str]]]) -> None:
        for provider, (columns, extra) in zip(self.providers, before, strict=True):
            provider.columns, provider.extra = columns, extra

    def kept(self, values: Sequence[object], envs: Sequence[Env], hint: str) -> str:
        """The text of values in `forward`: sizes at run time, arguments by attribute."""
        texts = {at_run_time(v, env) for v, env in zip(values, envs, strict=True)}
        if None not in texts and len(texts) == 1:
            return str(texts.pop())
        if all(isinstance(v, tuple) for v in values):
            nested = any(isinstance(part, tuple) for v in values for part in v)  # type: ignore[attr-defined]
            if not nested or same(values):
                return self._kept_tuple(values, envs, hint)  # type: ignore[arg-type]
        if same(values):
            return literal(values[0])
        text = self.value(values, envs, hint)
        return self.attribute(text if text.isidentifier() else hint, text)

    def _kept_tuple(
        self, values: Sequence[tuple[object, ...]], envs: Sequence[Env], hint: str
    ) -> str:
        if len({len(v) for v in values}) != 1:
            text = self.value(values, envs, hint)
            return self.attribute(text if text.isidentifier() else hint, text)
        if not values[0]:
            return "()"
        parts = [self.kept(column, envs, hint) for column in zip(*values, strict=True)]
        whole = re.fullmatch(r"(\w+(?:\.\w+)*)\.shape\[2\]", parts[0])
        if whole and all(p == f"{whole[1]}.shape[{n}]" for n, p in enumerate(parts, 2)):
            return f"{whole[1]}.shape[2:]"
        return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"


def call_doc(
    calls: Sequence[Call], envs: Sequence[Env], speller: Speller, slot: str = "layer"
) -> Doc:
    """A constructor's call: `nn.Conv2d(in_channels, c, 3, padding=1)`."""
    function = calls[0].function
    if any(call.function != function for call in calls):
        function = speller.value([Name(call.function) for call in calls], envs, slot)
    items: list[Doc] = []
    hints = _HINTS.get(calls[0].function, ())
    for number, values in enumerate(zip(*(call.arguments for call in calls), strict=True)):
        hint = hints[number] if number < len(hints) else "size"
        items.append(speller.value(values, envs, hint))
    for name in calls[0].keywords:
        pairs = [call.keywords.get(name, (None, None)) for call in calls]
        if any(strip(value) != default for value, default in pairs):
            text = speller.value([value for value, _ in pairs], envs, _KEYWORDS.get(name, name))
            items.append(Prefixed(f"{name}=", text))
    return Brackets(function, tuple(items))


_HINTS: dict[str, tuple[str, ...]] = {
    f"nn.{kind}{rank}d": ("in_channels", "out_channels", "kernel_size")
    for kind in ("Conv", "ConvTranspose")
    for rank in (1, 2, 3)
}
_HINTS |= {f"nn.BatchNorm{rank}d": ("channels",) for rank in (1, 2, 3)}
_HINTS |= {"nn.Linear": ("in_features", "out_features"), "nn.GroupNorm": ("groups", "channels")}
_KEYWORDS = {"p": "dropout"}
_KEPT = {"anchor_grid": "anchors", "F.max_pool2d": "kernel_size", "F.avg_pool2d": "kernel_size"}


def kept_name(function: str) -> str:
    """What a value without a keyword is called, where `forward` needs it."""
    return _KEPT.get(function, "size")


def function_doc(
    functions: Sequence[Call | Template],
    envs: Sequence[Env],
    operands: Sequence[Doc],
    speller: Speller,
) -> Doc:
    """An expression of `forward`."""
    first = functions[0]
    if isinstance(first, Template):
        return _template(
            [f for f in functions if isinstance(f, Template)], envs, operands, speller
        )
    calls = [f for f in functions if isinstance(f, Call)]
    items: list[Doc] = []
    hint = kept_name(first.function)
    for values in zip(*(call.arguments for call in calls), strict=True):
        if isinstance(values[0], Operand):
            items.append(operands[values[0].index])
        else:
            items.append(speller.kept(values, envs, hint))
    for name in first.keywords:
        pairs = [call.keywords.get(name, (None, None)) for call in calls]
        if any(strip(value) != default for value, default in pairs):
            items.append(Prefixed(f"{name}=", speller.kept([v for v, _ in pairs], envs, name)))
    return Brackets(first.function, tuple(items))


def _template(
    templates: Sequence[Template],
    envs: Sequence[Env],
    operands: Sequence[Doc],
    speller: Speller,
) -> Doc:
    first = templates[0]
    assert all(t.text == first.text for t in templates), "instances say it in one way"

    def part(match: re.Match[str]) -> str:
        name = match[1]
        if name == "*":
            return ", ".join(flat(operand) for operand in operands)
        if name.isdigit():
            text = flat(operands[int(name)])
            return text if _atomic(text) or alone else f"({text})"
        return speller.kept([t.values[name] for t in templates], envs, name)

    alone = first.text == "{0}"
    if match := re.fullmatch(r"([\w.]+)\(\[\{\*\}\], (.*)\)", first.text):
        # A list of operands may break over lines.
        rest = re.sub(r"\{(\w+|\*)\}", part, match[2])
        return Brackets(match[1], (speller.families.listed(operands), rest))
    return re.sub(r"\{(\w+|\*)\}", part, first.text)


def _atomic(text: str) -> bool:
    """Whether a text may stand before a `.` or beside a `*`."""
    depth = 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        if depth == 0 and character == " ":
            return False
    return True
