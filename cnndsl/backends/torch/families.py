"""Tensors that one variable holds in order, and statements that differ in their number alone.

What a loop of the language yields, and a block with several outputs, is reached as
`head[0].cls` or `fpn.p3`. Where a list of all of them is wanted, it is the variable itself,
or a comprehension over it; where an iteration's statements are those of the one before but
for the number, they become a loop.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from cnndsl.backends.torch.layout import Brackets, Doc, Generated, call_of, flat

CONSTANT = re.compile(r"[-\d.,() e]+")
FEW = 3
"""Fewer iterations are written out."""


class Families:
    """Which variables hold several tensors, and how each is reached."""

    def __init__(self) -> None:
        """None yet."""
        self.parts: dict[str, tuple[str, ...]] = {}
        self.kinds: dict[str, str] = {}
        """The type of such a variable, as an annotation."""

    def hold(self, name: str, parts: Sequence[str], kind: str = "list[Tensor]") -> None:
        """A variable holds tensors that are reached as `name + part`, in order."""
        self.parts[name] = tuple(parts)
        self.kinds[name] = kind

    def drop(self, name: str) -> None:
        """A variable holds something else now."""
        for known in [k for k in self.parts if k == name or k.startswith(f"{name}.")]:
            del self.parts[known], self.kinds[known]

    def listed(self, operands: Sequence[Doc]) -> Doc:
        """A list of operands: `[a, b]`, `levels`, `[level.boxes for level in levels]`."""
        texts = [flat(operand) for operand in operands]
        for name, parts in self.parts.items():
            rests = {
                text.removeprefix(name + part)
                for text, part in zip(texts, parts, strict=False)
                if text.startswith(name + part)
            }
            whole = len(parts) == len(texts) >= FEW and len(rests) == 1
            if not whole or any(
                text != name + part + rest
                for rest in rests
                for text, part in zip(texts, parts, strict=True)
            ):
                continue
            (rest,) = rests
            if rest:
                one = element_of(name)
                return Brackets("", (Generated(f"{one}{rest}", one, name),), "[", "]")
            return name if parts[0].startswith("[") else f"[*{name}]"
        return Brackets("", tuple(operands), "[", "]")


def element_of(name: str) -> str:
    """What one of several is called: `level` of `levels`, `p_i` of `p`."""
    last = name.rsplit(".", maxsplit=1)[-1]
    if name.startswith("self."):
        return last
    if last.endswith("xes"):
        return last[:-2]
    return last[:-1] if last.endswith("s") and len(last) > 2 else f"{last}_i"


def lists_of(name: str) -> str:
    """What the list of several is called: `levels` of `level`."""
    ending = "" if name.endswith("s") else "es" if name.endswith("x") and len(name) > 1 else "s"
    return f"{name}{ending}"


@dataclass(frozen=True, slots=True)
class Alike:
    """Iterations in one form: statements with `⟨name⟩` for what a loop goes over."""

    statements: tuple[str, ...]
    sources: tuple[str, ...]
    """What the loop goes over, an access each, in the order of their use."""
    constants: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Values that the iterations write out, each with the call whose argument it is."""


def alike(iterations: Sequence[Sequence[tuple[str, str]]], families: Families) -> Alike | None:
    """Statements (variable, text) of several iterations as one form.

    None where they differ, and where one continues the iteration before it.
    """
    forms: list[list[str]] = []
    for number, one in enumerate(iterations):
        form = _form(number, one, families)
        if form is None or (forms and len(form) != len(forms[0])):
            return None
        forms.append(form)
    constants: list[tuple[str, tuple[str, ...]]] = []
    merged = [_merged(texts, constants) for texts in zip(*forms, strict=True)]
    if None in merged:
        return None
    found = tuple(str(text) for text in merged)
    sources = dict.fromkeys(re.findall(r"⟨([A-Za-z_][\w.]*)⟩", " ".join(found)))
    return Alike(found, tuple(sources), tuple(constants))


def _merged(texts: Sequence[str], constants: list[tuple[str, tuple[str, ...]]]) -> str | None:
    """One text for all: `⟨0⟩` where a call is given constants that differ."""
    if len(set(texts)) == 1:
        return texts[0]
    calls = [call_of(text) for text in texts]
    first = calls[0]
    if first is None or len({c and (c.head, len(c.items)) for c in calls}) != 1:
        return None
    items: list[Doc] = []
    for column in zip(*(call.items for call in calls if call), strict=True):
        values = tuple(map(flat, column))
        if len(set(values)) == 1:
            items.append(values[0])
        elif all(CONSTANT.fullmatch(value) for value in values):
            items.append(f"⟨{len(constants)}⟩")
            constants.append((first.head, values))
        else:
            return None
    return flat(Brackets(first.head, tuple(items), first.open, first.close))


def _form(
    number: int, statements: Sequence[tuple[str, str]], families: Families
) -> list[str] | None:
    """The texts of one iteration, without its number.

    None where it reads a variable before it assigns it: it continues the one before.
    """
    later = [variable for variable, _ in statements]
    own: dict[str, str] = {}
    found = []
    for at, (variable, statement) in enumerate(statements):
        text = re.sub(rf"(?<![\w.])(self\.\w+)\[{number}\]", r"⟨\1⟩", statement)
        for name, parts in families.parts.items():
            if number < len(parts):
                reached = re.escape(name + parts[number])
                text = re.sub(rf"(?<![\w.]){reached}(?!\w)", f"⟨{name}⟩", text)
        words = re.compile(r"(?<![\w.⟨])\w+")
        if any(word in later[at:] and word not in own for word in words.findall(text)):
            return None
        found.append(words.sub(lambda m: own.get(m[0], m[0]), text))
        own[variable] = f"⟪{at}⟫"
    return found


def spelled(text: str, elements: dict[str, str], variables: Sequence[str]) -> str:
    """A statement of the form with names in place of marks."""
    text = re.sub(r"⟨([\w.]+)⟩", lambda m: elements[m[1]], text)
    return re.sub(r"⟪(\d+)⟫", lambda m: variables[int(m[1])], text)
