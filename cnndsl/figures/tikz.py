"""A picture as a TeX document of one page, drawn with TikZ and nothing beyond it."""

from __future__ import annotations

from cnndsl.figures import font, palette
from cnndsl.figures.paint import (
    Area,
    Leaf,
    Path,
    Picture,
    Point,
    Polygon,
    Text,
    commands,
    head,
    leaves,
)
from cnndsl.figures.svg import number
from cnndsl.figures.tex import escaped

POINTS = 0.75
"""Big points a pixel, where no width is asked for."""
# \cnntext{scale}{width}{text}: set in sans serif, and narrowed where TeX's font is wider.
MACRO = (
    r"\newcommand\cnntext[3]{\sbox0{\scalebox{#1}{\sffamily #3}}"
    r"\ifdim\wd0>#2\resizebox{#2}{\ht0}{\usebox0}\else\usebox0\fi}"
)


def tikz(picture: Picture, theme: str = "light", *, width_mm: float | None = None) -> str:
    """The document; `pdflatex` makes the page as large as the picture."""
    unit = POINTS if width_mm is None else width_mm * 72 / 25.4 / picture.width
    pen = _Pen(palette.colours(theme), unit)
    page = Area(0, 0, picture.width, picture.height, "page", radius=0, stroke=0)
    drawn = [pen.leaf(part) for part in (page, *leaves(picture.parts))]
    roles = sorted(picture.roles() | {"page", "arrow"})
    size = [f"{number(side * unit)}bp" for side in (picture.width, picture.height)]
    lines = [
        f"% {escaped(picture.title)}",
        f"% {escaped(picture.desc)}",
        r"\documentclass{article}",
        rf"\usepackage[paperwidth={size[0]},paperheight={size[1]},margin=0bp]{{geometry}}",
        r"\usepackage{tikz}",
        r"\pagestyle{empty}\setlength\parindent{0pt}\setlength\topskip{0pt}",
        MACRO,
        *(line for role in roles for line in pen.colour(role)),
        # A box without height: whatever TeX rounds, there is no second page.
        r"\begin{document}\vbox to 0pt{\hbox{%",
        rf"\begin{{tikzpicture}}[x={number(unit)}bp,y=-{number(unit)}bp,line join=round]",
        rf"\useasboundingbox (0,0) rectangle ({_point(picture.width, picture.height)});",
        *drawn,
        r"\end{tikzpicture}}\vss}%",
        r"\end{document}",
        "",
    ]
    return "\n".join(lines)


class _Pen:
    def __init__(self, colours: dict[str, palette.Colours], unit: float) -> None:
        self.colours = colours
        self.unit = unit

    def colour(self, role: str) -> list[str]:
        """The definitions of a role's fill and line."""
        named = zip(("fill", "line"), self.colours[role], strict=True)
        return [
            rf"\definecolor{{{kind}-{_name(role)}}}{{HTML}}{{{value[1:].upper()}}}"
            for kind, value in named
            if value != "none"
        ]

    def leaf(self, part: Leaf) -> str:
        """A part as one command."""
        match part:
            case Text():
                return self._text(part)
            case Area(x=x, y=y):
                style = self._style(part.role, part.stroke, dashed=part.dashed)
                radius = min(part.radius, part.width / 2, part.height / 2)
                if radius:
                    style += f",rounded corners={self._length(radius)}"
                ends = f"({_point(x, y)}) rectangle ({_point(x + part.width, y + part.height)})"
                return rf"\path[{style}] {ends};"
            case Polygon():
                points = " -- ".join(f"({_point(*point)})" for point in part.points)
                return rf"\path[{self._style(part.role, part.stroke)}] {points} -- cycle;"
            case Path():
                return self._path(part)

    def _style(self, role: str, stroke: float, *, dashed: bool = False) -> str:
        fill, line = self.colours[role]
        style = []
        if fill != "none":
            style.append(f"fill=fill-{_name(role)}")
        if line != "none" and stroke:
            style.append(f"draw=line-{_name(role)},line width={self._length(stroke)}")
        if dashed:
            style.append(f"dash pattern=on {self._length(4)} off {self._length(3)}")
        return ",".join(style)

    def _path(self, part: Path) -> str:
        drawn, last = "", part.points[0]
        for letter, where in commands(part):
            if letter == "M":
                drawn += f"({_point(*where[0])})"
            elif letter == "L":
                drawn += f" -- ({_point(*where[0])})"
            else:
                # A quadratic curve as the cubic that it is.
                pull = where[:2]
                if letter == "Q":
                    pull = _between(last, where[0]), _between(where[1], where[0])
                first, then, end = (_point(*at) for at in (*pull, where[-1]))
                drawn += f" .. controls ({first}) and ({then}) .. ({end})"
            last = where[-1]
        style = self._style(part.role, part.stroke, dashed=part.dashed)
        line = rf"\path[{style}] {drawn};"
        if not part.arrow:
            return line
        tip = " -- ".join(f"({_point(*point)})" for point in head(part.points))
        return rf"{line}\path[fill=fill-arrow] {tip} -- cycle;"

    def _text(self, part: Text) -> str:
        anchor = {"start": "base west", "middle": "base", "end": "base east"}[part.anchor]
        width = font.width(part.text, part.size, bold=part.bold)
        words = escaped(part.text)
        words = rf"\bfseries {words}" if part.bold else words
        style = f"anchor={anchor},inner sep=0,text=fill-{_name(part.role)}"
        if part.turn:
            style += f",rotate={number(-part.turn)}"
        scale = number(part.size * self.unit / 10)
        body = rf"\cnntext{{{scale}}}{{{self._length(width)}}}{{{words}}}"
        return rf"\node[{style}] at ({_point(part.x, part.y)}) {{{body}}};"

    def _length(self, pixels: float) -> str:
        return f"{number(pixels * self.unit)}bp"


def _name(role: str) -> str:
    return role.replace("-", "").removeprefix("#")


def _point(x: float, y: float) -> str:
    return f"{number(x)},{number(y)}"


def _between(near: Point, far: Point) -> Point:
    """Two thirds of the way."""
    return near[0] + (far[0] - near[0]) * 2 / 3, near[1] + (far[1] - near[1]) * 2 / 3
