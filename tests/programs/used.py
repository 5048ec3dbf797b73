"""What programs have used of the language, and what they have not.

The lists are the language's own: the rules of its grammar, the registry of operations with
every parameter and word of each, the functions of its arithmetic, the types of parameters.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from functools import cache
from typing import Any

from lark import Lark

from cnndsl.diagnostics import ArchError
from cnndsl.files import grammar
from cnndsl.language.evaluate import WORDS
from cnndsl.language.functions import FUNCTIONS
from cnndsl.language.syntax import Newlines
from cnndsl.language.types import _TYPES as TYPES
from cnndsl.ops import OPS
from tests.programs.harness import FILE
from tests.programs.operations import NAMES, PRODUCTS

FEATURES: dict[str, str] = {
    "a family as port": r"\*p\b", "a family as output": r"-> \*q",
    "an output renamed": r" as \w+",
    "an optional output": r"\w+ when \w+[,)]", "every of a family": r"\[\*\]",
    "an inner label": r"\bl\d+\.l\d+", "an indexed label": r"\w+\[i\d*\]:",
    "a label of two indices": r"\w+\[i\d+, j\d+\]:", "in a block": r"\bin\b ->|\bin\.",
    "of a tensor: c": r"\w\.c\b", "of a tensor: d": r"\w\.d\b", "of a tensor: h": r"\w\.h\b",
    "of a tensor: w": r"\w\.w\b", "of a tensor: size": r"\w\.size\b",
    "of a tensor: shape": r"\w\.shape\b", "a leading arrow": r"\n\s*->", "a comment": r"#",
    "a semicolon": r";", "a repeat of none": r"\* 0\b", "each row": r"each row",
    "each": r"each \{", "a shared repeat": r"\* \S+ shared", "another file": r"^use ",
    "a shipped file": r'use "lib/',
    "a named size of an output": r"N\d", "`skip`": r"\bskip\b",
    "a port of any axes": r"\[C, \*S\]",
    "a doc": r'"""', "an expectation": r"@expect",
    "`it`": r"\bit\.", "a block that calls itself": r"block (\w+)[^}]*[ >]\1\(",
    "a deviation": r"@deviates", "a work": r"@cite",
}  # fmt: skip
"""What the grammar does not tell apart."""


class Used:
    """Counts of everything that occurred."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.counts: Counter[str] = Counter()

    def add(self, text: str) -> None:
        """Count what a program uses."""
        parts = FILE.split(text)
        for part in (parts[0], *parts[2::2]):
            self.counts.update(_rules(part))
            self.counts.update(_words(part))

    def missing(self) -> list[str]:
        """What never occurred, by name."""
        return sorted(name for name in everything() if not self.counts[name])


UNUSABLE = {
    "start: ", "member: DOT IN", "decl: MODEL NAME LBRACE body RBRACE",
    "decl: MODEL NAME LPAR RPAR LBRACE body RBRACE",
    "decl: MODEL NAME LPAR params RPAR LBRACE body RBRACE", "port: STAR NAME AS NAME",
    "port: STAR NAME AS NAME WHEN expr", "port: STAR NAME shape AS NAME",
    "port: STAR NAME shape AS NAME WHEN expr",
}  # fmt: skip
"""Rules that the grammar has for the sake of the message."""


@cache
def everything() -> tuple[str, ...]:
    """All that there is to use."""
    _, rules = _grammar()
    found = [
        *(rule for rule in rules if rule not in UNUSABLE),
        *FEATURES,
        *(f"function {name}" for name in FUNCTIONS),
    ]
    found += [f"word {word}" for word in WORDS]
    found += [f"type {name}" for name in (*TYPES, "words", "list[int]")]
    for name in NAMES:
        cls = OPS[name]
        found.append(f"operation {name}")
        found += [f"{name}({p.name}=)" for p in cls.parameters if p.name not in PRODUCTS]
        found += [f"{name}({slot}=)" for slot in (("norm", "act") if cls.fused else ())]
        for parameter in cls.parameters:
            found += [f"{name}({parameter.name}={word})"
                      for word in re.findall(r'"(\w+)"', parameter.type)]  # fmt: skip
    return tuple(found)


def _words(text: str) -> Counter[str]:
    found: Counter[str] = Counter()
    for name, pattern in FEATURES.items():
        found[name] += bool(re.search(pattern, text, re.MULTILINE))
    for name in FUNCTIONS:
        found[f"function {name}"] += bool(re.search(rf"\b{name}\(", text))
    for word in WORDS:
        found[f"word {word}"] += bool(re.search(rf"\b{word}\b", text))
    for name in TYPES:
        found[f"type {name}"] += bool(re.search(rf"\w: {name}\b", text))
    found["type list[int]"] += "list[int]" in text
    found["type words"] += bool(re.search(r': "\w+" \| "', text))
    for m in re.finditer(r"\b([a-z]\w*)\b(?:\(([^()]*(?:\([^()]*\)[^()]*)*)\))?", text):
        _step(found, m.group(1), m.group(2) or "")
    return found


def _step(found: Counter[str], name: str, given: str) -> None:
    """An operation with the arguments in its parentheses."""
    if name not in OPS:
        return
    found[f"operation {name}"] += 1
    cls = OPS[name]
    for number, argument in enumerate(_split(given)):
        key, equal, value = argument.partition("=")
        if not equal or not key.strip().isidentifier():
            names = [p.name for p in cls.parameters]
            key, value = (names[number] if number < len(names) else ""), argument
        found[f"{name}({key.strip()}=)"] += 1
        found[f"{name}({key.strip()}={value.strip().strip(chr(34))})"] += 1


def _split(text: str) -> list[str]:
    """At the commas that stand in no brackets."""
    depth, parts = 0, [""]
    for letter in text:
        depth += (letter in "([") - (letter in ")]")
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return [part for part in parts if part.strip()]


@cache
def _grammar() -> tuple[Callable[[str], Counter[str]], tuple[str, ...]]:
    """What counts the grammar's rules in a text, and all of them."""
    seen: Counter[str] = Counter()
    newlines = Newlines()
    lark = Lark(grammar(), parser="lalr", lexer="basic", start="start", postlex=newlines)
    callbacks: dict[Any, Callable[[Any], Any]] = lark.parser.parser.parser.callbacks
    names = {rule: _rule(rule) for rule in callbacks}

    def counted(name: str, reduce: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def call(children: Any) -> Any:
            seen[name] += 1
            return reduce(children)

        return call

    for rule, name in names.items():
        if name:
            callbacks[rule] = counted(name, callbacks[rule])

    def count(text: str) -> Counter[str]:
        from cnndsl.diagnostics import Source
        from cnndsl.language.build import Reading

        seen.clear()
        newlines.reading = Reading(Source("", text))
        lark.parse(f"{text}\n")
        return Counter(seen)

    return count, tuple(sorted({name for name in names.values() if name}))


def _rule(rule: Any) -> str:
    """A rule's name and what it consists of; empty where it only repeats or separates."""
    name = rule.origin.name
    if name.startswith("_"):
        return ""
    parts = [
        s.name
        for s in rule.expansion
        if not s.name.startswith(("_", "$")) or s.name == "_ARROW"
    ]
    return f"{rule.alias or name}: {' '.join(parts)}"


def _rules(text: str) -> Counter[str]:
    count, _ = _grammar()
    try:
        return count(text)
    except ArchError:
        return Counter()
