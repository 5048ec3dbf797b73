"""The colours of each role: light, dark, and greys for paper."""

from __future__ import annotations

from cnndsl.figures import theme
from cnndsl.ops.facts import Family

THEMES = ("light", "dark", "paper")

Colours = tuple[str, str]
"""Fill and stroke."""

_PLAIN: dict[str, dict[str, Colours]] = {
    "light": {
        "page": ("#ffffff", "none"),
        "band": ("#f7f7f8", "none"),
        "frame": ("#fcfcfc", "#8e8f93"),
        "scope": ("none", "#8e8f93"),
        "wire": ("none", "#555555"),
        "rail": ("none", "#85878d"),
        "kernel": ("none", "#555555"),
        "arrow": ("#555555", "none"),
        "ink": ("#1c1c1e", "none"),
        "dim": ("#3a3b3f", "none"),
        "grey": ("#5f6166", "none"),
        "faint": ("#6c6e73", "none"),
    },
    "dark": {
        "page": ("#16181c", "none"),
        "band": ("#22252c", "none"),
        "frame": ("#191c21", "#6d727b"),
        "scope": ("none", "#6d727b"),
        "wire": ("none", "#a9adb5"),
        "rail": ("none", "#7b7f87"),
        "kernel": ("none", "#a9adb5"),
        "arrow": ("#a9adb5", "none"),
        "ink": ("#eceef2", "none"),
        "dim": ("#d2d5da", "none"),
        "grey": ("#b3b7bf", "none"),
        "faint": ("#8b9099", "none"),
    },
    "paper": {
        "page": ("#ffffff", "none"),
        "band": ("#f6f6f6", "none"),
        "frame": ("#ffffff", "#777777"),
        "scope": ("none", "#777777"),
        "wire": ("none", "#222222"),
        "rail": ("none", "#666666"),
        "kernel": ("none", "#222222"),
        "arrow": ("#222222", "none"),
        "ink": ("#000000", "none"),
        "dim": ("#111111", "none"),
        "grey": ("#333333", "none"),
        "faint": ("#555555", "none"),
    },
}

_CHANGES: dict[str, dict[str, Colours]] = {
    "light": {
        "same": ("#f7f7f8", "#8c8e93"),
        "added": ("#e1f3e3", "#2e7d32"),
        "removed": ("#fdeae8", "#c62828"),
        "changed": ("#fff1cf", "#96690a"),
        "affected": ("#fffdf6", "#a87e22"),
    },
    "dark": {
        "same": ("#1c1f25", "#6d727b"),
        "added": ("#173a1c", "#6fc276"),
        "removed": ("#451d1b", "#ef8a83"),
        "changed": ("#44340d", "#e3b341"),
        "affected": ("#22201a", "#b9923c"),
    },
    "paper": {
        "same": ("#ffffff", "#888888"),
        "added": ("#cfcfcf", "#000000"),
        "removed": ("#ffffff", "#000000"),
        "changed": ("#e6e6e6", "#000000"),
        "affected": ("#f7f7f7", "#444444"),
    },
}
"""Of a picture of changes; each has its sign and its border beside."""

# Boxes of one outline are told apart by their fills or by their borders.
_GREYS = {
    Family.INPUT: "#dedede",
    Family.GIVEN: "#bebebe",
    Family.CONV: "#c9c9c9",
    Family.DEPTHWISE: "#c9c9c9",
    Family.POOL: "#b8b8b8",
    Family.LINEAR: "#ececec",
    Family.CONCAT: "#f4f4f4",
    Family.ADD: "#efefef",
    Family.MATMUL: "#ffffff",
    Family.UPSAMPLE: "#cacaca",
    Family.NORM: "#e6e6e6",
    Family.ACTIVATION: "#fbfbfb",
    Family.RESHAPE: "#ffffff",
    Family.REGULARIZE: "#d4d4d4",
    Family.BOXES: "#d6d6d6",
}
_FAINT = (Family.NORM, Family.ACTIVATION, Family.RESHAPE, Family.REGULARIZE)
"""What hardly costs anything has a fainter border on paper."""
_DIM = {
    Family.INPUT: ("#2b2c2f", "#949494"),
    Family.NORM: ("#3b3d42", "#acacac"),
    Family.ACTIVATION: ("#35331f", "#b4b09a"),
}
"""What is grey in light, in the dark."""


def mixed(first: str, second: str, share: float) -> str:
    """A colour between two: `share` of the second."""
    pairs = zip(_channels(first), _channels(second), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)


def _channels(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def role_of(family: Family | None) -> str:
    """The role of a box of a family; None is a folded block."""
    return family.value if family else "block"


class Palette(dict[str, Colours]):
    """The colours of every role; a role may be a colour itself, `#rrggbb`."""

    def __missing__(self, role: str) -> Colours:
        """A role that is a colour itself, as a photo's are.  Raises KeyError: no such role."""
        if not role.startswith("#"):
            raise KeyError(role)
        return role, "none"


def colours(name: str) -> Palette:
    """The colours of every role in a theme."""
    found = Palette(_PLAIN[name])
    looks = {"block": theme.BLOCK} | {role_of(f): look for f, look in theme.LOOKS.items()}
    greys = {role_of(family): grey for family, grey in _GREYS.items()} | {"block": "#ffffff"}
    dim, faint = {role_of(f): pair for f, pair in _DIM.items()}, [*map(role_of, _FAINT)]
    for role, look in looks.items():
        if name == "light":
            found[role] = (look.fill, look.border)
        elif name == "dark" and role in dim:
            found[role] = dim[role]
        elif name == "dark":
            # A block has a convolution's border, and is the paler one of the two.
            depth = 0.88 if role == "block" else 0.72
            found[role] = (
                mixed(look.border, "#14161a", depth),
                mixed(look.border, "#ffffff", 0.3),
            )
        else:
            found[role] = (greys[role], "#777777" if role in faint else "#222222")
    for role, pair in _CHANGES[name].items():
        found[role] = pair
        found[f"{role}-wire"] = ("none", pair[1])
        found[f"{role}-mark"] = (pair[1], "none")
    for step in range(HEAT_STEPS):
        found[f"heat{step}"] = _heat(name, step / (HEAT_STEPS - 1))
    for role in (*looks, *(f"heat{step}" for step in range(HEAT_STEPS))):
        fill, line = found[role]
        found[f"{role}-side"] = (mixed(fill, line, 0.32), line)
        found[f"{role}-top"] = (mixed(fill, _PLAIN[name]["page"][0], 0.55), line)
        found[f"{role}-band"] = (mixed(fill, line, 0.36), "none")
        found[f"{role}-bandtop"] = (mixed(fill, line, 0.2), "none")
        found[f"{role}-edge"] = ("none", line)
        found[f"{role}-tap"] = (line, "none")
    fill, line = found["upsample"]
    strong = mixed(fill, line, 0.16)
    for face, colour in (("", strong), ("-top", fill), ("-side", mixed(fill, line, 0.45))):
        found[f"softmax{face}"] = (colour, line)
    fill, line = found["conv"]
    pale = mixed(line, fill, 0.25)
    for face, share in (("", 0.75), ("-top", 0.85), ("-side", 0.35)):
        found[f"copied{face}"] = (mixed(fill, _PLAIN[name]["page"][0], share), pale)
    return found


HEAT_STEPS = 9
_HEAT = {
    "light": ("#f6f8fb", "#fbc987", "#e4633c"),
    "dark": ("#20242b", "#7a4f18", "#b53c32"),
    "paper": ("#ffffff", "#cfcfcf", "#9a9a9a"),
}
"""Ink is read on each: its contrast is at least 4.5 (a test)."""


def _heat(name: str, share: float) -> Colours:
    low, middle, high = _HEAT[name]
    fill = mixed(low, middle, share * 2) if share < 0.5 else mixed(middle, high, share * 2 - 1)
    return fill, mixed(fill, "#ffffff" if name == "dark" else "#000000", 0.45)
