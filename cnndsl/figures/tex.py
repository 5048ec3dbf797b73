r"""Text for TeX: its specials escaped, the field's signs as mathematics, nothing else.

What is no letter of the basic fonts loses its accent, or is written as a question mark:
a document must compile whatever a label says.
"""

from __future__ import annotations

import unicodedata

from cnndsl.figures.text import clean

_SIGNS = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"$<$",
    ">": r"$>$",
    "|": r"$|$",
    '"': "{''}",
    "'": "{'}",
    "`": r"{\char96}",
    "-": "{-}",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "²": r"$^2$",
    "³": r"$^3$",
    "½": r"$\frac12$",
    "–": "{--}",
    "—": "{---}",
    "−": r"$-$",
    "…": r"\dots{}",
    "→": r"$\to$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "÷": r"$\div$",
    "≠": r"$\neq$",
    "∞": r"$\infty$",
    "±": r"$\pm$",
    "≤": r"$\le$",
    "≥": r"$\ge$",
    "≈": r"$\approx$",
    "√": r"$\surd$",
    "′": r"$'$",
    "α": r"$\alpha$",
    "β": r"$\beta$",
    "γ": r"$\gamma$",
    "ε": r"$\varepsilon$",
    "σ": r"$\sigma$",
    "θ": r"$\theta$",
    "φ": r"$\phi$",
}


def escaped(text: str) -> str:
    """The text as TeX prints it."""
    return "".join(_SIGNS.get(c) or _plain(c) for c in clean(text))


def _plain(character: str) -> str:
    if character.isascii():
        return character
    base = unicodedata.normalize("NFKD", character)[:1]
    return base if base.isascii() and base.isalnum() else "?"
