"""The language's values as attributes of an operation: what is given, and how it is spelled."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING
from functools import cache
from typing import Any

from cnndsl.diagnostics import OpError, did_you_mean, spelling
from cnndsl.ops.base import Op
from cnndsl.ops.facts import Auto, TfSame
from cnndsl.ops.initial import Constant, Init
from cnndsl.symbolic import List


def bind(cls: type[Op], arguments: dict[str, object], rank: int) -> Op:
    """An operation from named values.  `rank` is the number of spatial axes of its input.

    Raises OpError: an unknown or missing attribute, or a value of the wrong type.
    """
    known = {p.name: p for p in cls.parameters}
    values: dict[str, object] = {}
    for name, value in arguments.items():
        if name not in known:
            names = [*known, *(("norm", "act") if cls.fused else ())]
            takes = f"it takes {', '.join(names)}" if names else "it takes no arguments"
            raise OpError(
                f"`{cls.name}` has no parameter `{name}`",
                help=spelling(name, names) or takes,
                attribute=name,
                code="E301",
            )
        try:
            values[name] = convert(name, value, known[name].type, rank)
        except OpError as error:
            said = cls.hints.get(f"{name}={value}")
            error.help = said or error.help or cls.hints.get(name, "")
            raise
    defaults = _defaults(cls, rank)  # type: ignore[arg-type]
    for name in known:
        if name not in values:
            if name not in defaults:
                raise OpError(
                    f"`{cls.name}` needs `{name}`",
                    help=f"write {cls.name}({signature(cls)})",
                    code="E302",
                )
            values[name] = defaults[name]
    return cls(**values)


def initial(cls: type[Init], given: Mapping[str, object]) -> Init:
    """An initialisation from named values.  Raises OpError: as `bind`."""
    known = {p.name: p for p in cls.parameters}
    takes = ", ".join(known) or "no arguments"
    for name in given:
        if name not in known:
            help = spelling(name, list(known)) or f"it takes {takes}"
            message = f"`{cls.name}` has no parameter `{name}`"
            raise OpError(message, help=help, attribute=name, code="E301")
    values: dict[str, Any] = {}
    for name, parameter in known.items():
        value = given.get(name, parameter.default)
        if value is MISSING:
            message = f"`{cls.name}` needs `{name}`"
            raise OpError(message, help=f"write {cls.name}({signature(cls)})", code="E302")
        found = convert(name, value, parameter.type, 0)
        values[name] = found if isinstance(found, str) else float(found)  # type: ignore[arg-type]
    return cls(**values)


@cache
def _defaults(cls: type[Op], rank: int) -> dict[str, object]:
    """The values of the attributes that may be left out."""
    return {
        p.name: convert(p.name, p.default, p.type, rank)
        for p in cls.parameters
        if p.default is not MISSING
    }


def signature(cls: type[Op] | type[Init]) -> str:
    """The parameters as the language writes them: `out, kernel, stride=1, …`."""
    shown = [
        p.name if p.default is MISSING else f"{p.name}={spell(p.default)}"
        for p in cls.parameters
    ]
    return ", ".join(
        shown + (["norm=none", "act=none"] if getattr(cls, "fused", False) else [])
    )


def spell(value: object) -> str:
    """A value as the language writes it."""
    if isinstance(value, Auto):
        return value.value
    if isinstance(value, TfSame):
        return Auto.TF_SAME.value
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple):
        size = not isinstance(value, List) and len(value) > 1
        if size and all(isinstance(v, int) and v >= 0 for v in value):
            return "x".join(map(str, value))
        return f"[{', '.join(map(spell, value))}]"
    if isinstance(value, int):
        return f"{int(value)}"
    return str(value)


def convert(name: str, value: object, kind: str, rank: int) -> object:
    """A value as the type `kind` of an attribute.  Raises OpError (E303)."""
    if name == "eps" and isinstance(value, int) and value >= 1 and value is not True:
        raise OpError(
            f"`eps` is {spell(value)}, but must be a small number, such as 1e-5",
            help="the number of channels is not written",
            attribute=name,
            code="E303",
        )
    for alternative in kind.split(" | "):
        done = _converted(value, alternative, rank)
        if done is not MISSING:
            return done
    if not rank and not {"Size", "Pad"}.isdisjoint(kind.split(" | ")):
        raise OpError(
            f"`{name}` is {spell(value)}, but what arrives has no spatial axes",
            help="`linear` takes a vector; `gap(keep=true)` leaves axes of size 1",
            attribute=name,
            code="E303",
        )
    if isinstance(value, float) and "Size" in kind.split(" | "):
        raise OpError(
            f"`{name}` is {spell(value)}, but must be a whole number of at least 1",
            help=divides(value),
            attribute=name,
            code="E303",
        )
    bare = next((word for word in Auto if word.value == value), None)
    if bare is not None and convert_word(bare, kind):
        raise OpError(
            f"`{name}` is the text {spell(value)}",
            help=f"write it without quotes: `{name}={value}`",
            attribute=name,
            code="E303",
        )
    expected = either([_EXPECTED.get(k, k.strip("'\"")) for k in kind.split(" | ")])
    kinds = kind.split(" | ")
    help = divides(value) if "int" in kinds else ""
    if isinstance(value, str):
        help = f"write it without quotes: `{value}`" if re.fullmatch(r"[\d.]+", value) else ""
        if "Init" in kinds and value.isidentifier():
            help = f"write it without quotes: `{value}`"
        help = help or did_you_mean(value, [k.strip("'\"") for k in kinds if k[0] in "'\""])
    elif isinstance(value, tuple) and "Size" in kinds and len(value) != rank:
        axes = "axis" if rank == 1 else "axes"
        help = f"the input has {rank} spatial {axes}; the batch's axis is never written"
    size = f"a size of {rank} positive numbers, or one for all axes"
    size = size if rank > 1 else "a positive number"
    raise OpError(
        f"`{name}` is {spell(value)}, but must be {expected.format(rank=rank, size=size)}",
        help=help,
        attribute=name,
        code="E303",
    )


def convert_word(word: Auto, kind: str) -> bool:
    """Whether an attribute of a type may be a word."""
    return any(_converted(word, one, 1) is not MISSING for one in kind.split(" | "))


def divides(value: object) -> str:
    """How a number that came of `/` would have been an integer; empty for any other."""
    whole = isinstance(value, float) and value.is_integer()
    return "`/` gives a float, `//` an integer" if whole else ""


def either(words: Sequence[str]) -> str:
    """`nearest, bilinear or bicubic`."""
    *first, last = words
    shown = [word.replace("true or false", "true, false") for word in first]
    return f"{', '.join(shown)} or {last}" if shown else last


_EXPECTED = {
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "str": "a string",
    "None": "none",
    "Size": "{size}",
    "Pad": "same, valid, causal, tf_same, a size of {rank}, or two numbers for each axis",
    "Auto": "auto",
    "Numbers": "a list of numbers",
    "Integers": "a list of integers",
    "Pairs": "a list of pairs of numbers",
    "Init": "an initialisation, for example normal(0.01)",
}


def _converted(value: object, kind: str, rank: int) -> object:
    """The value as one type, or MISSING where it does not fit."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    match kind:
        case "bool" | "str" | "int" if (
            type(value) is {"bool": bool, "str": str, "int": int}[kind]
        ):
            return value
        case "int" if number and isinstance(value, int):
            return value
        case "float" if number:
            return value
        case "None" if value is None:
            return None
        case "Auto" if value is Auto.AUTO:
            return value
        case "Init" if isinstance(value, Init):
            return value
        case "Init" if number:
            return Constant(float(value))  # type: ignore[arg-type]
        case "Size":
            return _size(value, rank)
        case "Pad":
            return _pad(value, rank)
        case "Numbers" | "Integers" if isinstance(value, tuple):
            wanted = int if kind == "Integers" else int | float
            fits = all(isinstance(v, wanted) and not isinstance(v, bool) for v in value)
            return List(value) if fits else MISSING
        case "Pairs" if isinstance(value, tuple):
            fits = all(isinstance(v, tuple) and len(v) == 2 for v in value)
            return value if fits else MISSING
        case "Any":
            return value
        case _ if kind[:1] in "'\"" and value == kind[1:-1]:
            return value
    return MISSING


def _size(value: object, rank: int) -> object:
    if isinstance(value, bool):
        return MISSING
    if isinstance(value, int):
        return (value,) * rank if value >= 1 else MISSING
    if isinstance(value, tuple) and len(value) == rank:
        return value if all(isinstance(v, int) and v >= 1 for v in value) else MISSING
    return MISSING


def _pad(value: object, rank: int) -> object:
    """A word, or zeros before and after each axis, the first axis first."""
    if value in (Auto.SAME, Auto.CAUSAL, Auto.TF_SAME) or isinstance(value, TfSame):
        return value
    if value is Auto.VALID:
        return ((0, 0),) * rank
    if isinstance(value, int) and not isinstance(value, bool):
        return ((value, value),) * rank if value >= 0 else MISSING
    if not isinstance(value, tuple):
        return MISSING
    if len(value) == rank and all(_is_pair(v) for v in value):
        return value
    if not all(isinstance(v, int) and v >= 0 for v in value):
        return MISSING
    if len(value) == rank:
        return tuple((v, v) for v in value)
    if len(value) == 2 * rank:
        # As in PyTorch's `pad`: the last axis first (left, right, top, bottom).
        pairs = [(value[i], value[i + 1]) for i in range(0, 2 * rank, 2)]
        return tuple(reversed(pairs))
    return MISSING


def _is_pair(value: object) -> bool:
    return isinstance(value, tuple) and len(value) == 2
