"""Random and damaged texts: an ArchError at most, and never more than a sentence of it."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnndsl.diagnostics import ArchError
from cnndsl.files import zoo
from cnndsl.language.elaborate import elaborate
from cnndsl.language.modules import Loader

TERMINALS = re.compile(
    r"\b(?:LPAR|RPAR|LSQB|RSQB|LBRACE|RBRACE|VBAR|LONGSTRING|ANON)\b|\b_NL\b"
)
WORDS = [
    *"{}()[]|:;,=*.@+-/%<>\n",
    *("->", "..", "**", "//", "==", "!=", "#", '"', '"""', " ", "x", "y", "in", "skip", "c"),
    *("model", "block", "use", "default", "let", "for", "each", "when", "else", "then", "if"),
    *("and", "or", "not", "as", "true", "none", "same", "row", "1", "0", "3x3", "2%", "1e9"),
    *(
        "conv",
        "add",
        "concat",
        "relu",
        "bn",
        "gap",
        "split",
        "A",
        "M",
        "_",
        "image[3, H=8, W=8]",
    ),
    *("conv(8, 3x3)", "model M: image[3, H=8, W=8] -> y {\n", "block A(c: int) {\n", "}\n"),
]


def survives(text: str) -> None:
    """Load every model of a text, under small bounds; anything but an ArchError is a bug."""
    try:
        scope = Loader().text(text, "fuzz.arch")
        for definition in scope.models.values():
            elaborate(definition, max_nodes=2_000)
    except ArchError as error:
        found = error.diagnostics
    else:
        return
    assert found
    assert all(d.message.strip() for d in found)
    assert not any(TERMINALS.search(d.message) for d in found if d.message not in text)


@settings(max_examples=60)
@given(st.binary(max_size=200))
def test_bytes(data: bytes) -> None:
    survives(data.decode("utf-8", errors="replace"))


@settings(max_examples=60)
@given(st.text(max_size=200))
def test_letters(text: str) -> None:
    survives(text)


@settings(max_examples=150)
@given(st.lists(st.sampled_from(WORDS), max_size=60))
def test_words(words: list[str]) -> None:
    survives(" ".join(words))


@settings(max_examples=150)
@given(st.lists(st.sampled_from(WORDS), max_size=30))
def test_words_in_a_body(words: list[str]) -> None:
    survives("model M: image[3, H=8, W=8] -> y {\n" + " ".join(words) + "\n}")


TOKEN = re.compile(r"\w+|\s+|->|\.\.|[^\w\s]")
FILES = sorted(zoo().rglob("*.arch"))


def damaged(text: str, dice: random.Random) -> str:
    """A text with a few of its tokens removed, doubled, swapped or replaced."""
    tokens = TOKEN.findall(text)
    for _ in range(dice.randint(1, 3)):
        at = dice.randrange(len(tokens))
        other = dice.randrange(len(tokens))
        match dice.randrange(5):
            case 0:
                del tokens[at]
            case 1:
                tokens.insert(at, tokens[other])
            case 2:
                tokens[at], tokens[other] = tokens[other], tokens[at]
            case 3:
                tokens[at] = dice.choice(WORDS)
            case _:
                tokens = tokens[: max(1, at)]
    return "".join(tokens)


@pytest.mark.parametrize("seed", range(60))
def test_damaged_files_of_the_zoo(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    dice = random.Random(seed)
    file = dice.choice(FILES)
    monkeypatch.chdir(file.parent)
    survives(damaged(file.read_text(encoding="utf-8"), dice))
