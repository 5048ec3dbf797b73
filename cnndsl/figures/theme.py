"""What each family of operations looks like: a shape and two colours."""

from __future__ import annotations

from dataclasses import dataclass

from cnndsl.ops.facts import Family

FONT = "Helvetica"
GREY = "#666666"
EDGE = "#555555"
FRAME = "#9a9a9a"


@dataclass(frozen=True, slots=True)
class Look:
    """A shape of Graphviz's, its fill and border, and the family's name in the legend."""

    name: str
    shape: str
    style: str
    fill: str
    border: str


BLOCK = Look("block (see its frame)", "box", "rounded,filled", "#f6f9fd", "#3b6fb6")

LOOKS: dict[Family, Look] = {
    Family.INPUT: Look("input, output", "box", "rounded,filled", "#e8e8e8", "#666666"),
    Family.GIVEN: Look("learned or constant", "box", "filled", "#f1e9df", "#86643c"),
    Family.CONV: Look("convolution", "box", "rounded,filled", "#dbe9fb", "#3b6fb6"),
    Family.DEPTHWISE: Look("depthwise convolution", "octagon", "filled", "#d5f0ee", "#1f8a84"),
    Family.POOL: Look("pooling", "invtrapezium", "filled", "#fde2dc", "#c4513a"),
    Family.LINEAR: Look("linear", "box", "filled", "#fbe3f1", "#b0437f"),
    Family.CONCAT: Look("concatenation", "ellipse", "filled", "#fff0c9", "#a97b08"),
    Family.ADD: Look("sum, product", "circle", "filled", "#dff2df", "#3c8c40"),
    Family.MATMUL: Look("contraction", "hexagon", "filled", "#fff6e0", "#8a6d1d"),
    Family.UPSAMPLE: Look("upsampling", "trapezium", "filled", "#ece3fa", "#7650b8"),
    Family.NORM: Look("normalisation", "box", "rounded,filled", "#f7f7f7", "#888888"),
    Family.ACTIVATION: Look("activation", "box", "rounded,filled", "#fffdf0", "#888888"),
    Family.RESHAPE: Look("reshaping", "parallelogram", "filled", "#ffffff", "#888888"),
    Family.REGULARIZE: Look("dropout", "box", "rounded,filled", "#fbf4ee", "#a07a5c"),
    Family.BOXES: Look("boxes", "note", "filled", "#e8ebd9", "#6b7a2f"),
}
"""In the order of the legend."""

JOINS = {"+": "sum", "×": "product"}
"""What a legend calls boxes with these signs alone; with others they are arithmetic."""
