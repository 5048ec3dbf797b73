"""Boxes before and after the network: anchors at every cell, and what becomes of them."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from cnndsl.diagnostics import OpError
from cnndsl.ops.anchors_torch import (
    ANCHOR_GRID,
    DECODE,
    DECODE_LTRB,
    DECODE_YOLO,
    DECODE_YOLOV1,
    DEFAULT_BOXES,
    RATIO_GRID,
)
from cnndsl.ops.arrays import boxes as arrays
from cnndsl.ops.arrays import np
from cnndsl.ops.base import Op, by_name, op
from cnndsl.ops.box_checks import Numbers, both_axes, check_boxes, check_numbers, check_rows
from cnndsl.ops.composition import CHANNELS, Axes, merged, simple, unknown
from cnndsl.ops.facts import (
    BYTES,
    NOTHING,
    SAME,
    Array,
    Call,
    Family,
    Integers,
    Operand,
    Reading,
    Saved,
    Shape,
    Torch,
    real,
)
from cnndsl.ops.onnx_steps import DOUBLE, Onnx, Value, fixed
from cnndsl.ops.reads import pointwise
from cnndsl.ops.shapes import spatial
from cnndsl.ops.strides import by_repetition

Pairs = tuple[tuple[float, float], ...]


def _single(value: float) -> float:
    """The nearest float32: after one operation on two of them, what float32 itself gives."""
    return array("f", [value])[0]


def _evened(side: float) -> float:
    """Twice the rounded half."""
    return 2.0 * round(side / 2) if math.isfinite(side) else side


@op("anchor_grid", Family.BOXES)
class AnchorGrid(Op):
    """A box of each size at every cell, rows (h w a).  (C, H, W) → (H·W·A, 4).

    Centres lie at (index + offset) · stride. The sizes are `wh`, or those of `sizes` and
    `ratios` (height / width; all sizes of the first ratio come first), each half rounded.
    With `image=[H, W]`, `wh` are shares of the image's width and height, and centres are
    worked out as shares too, (index + offset) / (image / stride): rounding then falls where
    SSD's code has it.
    Raises OpError: neither or both of these; sizes, strides or an image that are not
    positive; an image without `wh`.
    Source: Ren et al. 2015, arXiv:1506.01497, §3.1.1; Liu et al. 2015, arXiv:1512.02325,
    §2.2 (`wh`, `image`).
    """

    stride: float | Numbers
    offset: float = 0.0
    wh: Pairs | None = None
    sizes: Numbers | None = None
    ratios: Numbers | None = None
    image: Integers | None = None

    keeps = NOTHING
    laid = by_repetition
    discrete = ("out",)
    beside = ("stride",)
    functions: ClassVar = {
        "anchor_grid": ANCHOR_GRID,
        "ratio_grid": RATIO_GRID,
        "default_boxes": DEFAULT_BOXES,
    }

    @property
    def strides(self) -> Numbers:
        """Down and across."""
        return both_axes(self.stride)

    def reads(self, *inputs: Shape) -> tuple[Reading, ...]:
        """Nothing: only the input's size matters."""
        return (Reading(({}, {}), unread=frozenset({0})),)

    def composition(self, node: str, *operands: Axes) -> tuple[Axes, ...]:
        """Rows (h w a)."""
        _, height, width = operands[0]
        anchors = simple(CHANNELS, len(self.shapes_of_anchors))
        return ((merged([height, width, anchors]), unknown(4)),)

    @property
    def shapes_of_anchors(self) -> Pairs:
        """Width and height of each anchor.  Raises OpError."""
        if self.wh is not None and (self.sizes, self.ratios) == (None, None):
            return self.wh
        if self.wh is not None or self.sizes is None or self.ratios is None:
            raise OpError(
                "`anchor_grid` takes `wh`, or `sizes` and `ratios`",
                help="write wh=[[w, h], …], or sizes=[32], ratios=[0.5, 1, 2]",
                attribute="wh" if self.wh is not None else "sizes",
            )
        if any(value <= 0 for value in (*self.sizes, *self.ratios)):
            raise OpError("sizes and ratios must be positive", attribute="sizes")
        # In float32, as the field's code: the halves are rounded, and near ties matter.
        roots = [_single(math.sqrt(_single(ratio))) for ratio in self.ratios]
        sides = [(_single(1 / root) if root else math.inf, root) for root in roots]
        return tuple(
            (_evened(_single(w * size)), _evened(_single(h * size)))
            for w, h in sides
            for size in map(_single, self.sizes)
        )

    def shape(self, *inputs: Shape) -> Shape:
        """(H·W·A, 4)."""
        height, width = spatial(inputs[0], self.name, (2,))
        check_numbers("stride", self.strides, 2)
        if self.image is not None:
            check_numbers("image", self.image, 2)
            if self.wh is None:
                message = "`image` takes the sides as shares, `wh`"
                raise OpError(message, help="write wh=[[w, h], …]", attribute="image")
        anchors = self.shapes_of_anchors
        if not anchors or any(side <= 0 for pair in anchors for side in pair):
            raise OpError("the width and height of an anchor must be positive", attribute="wh")
        return (height * width * len(anchors), 4)

    def macs(self, *inputs: Shape) -> int:
        """0: no layer."""
        return 0

    def figure(self) -> str:
        """`9 anchors`, `1 anchor`."""
        count = len(self.shapes_of_anchors)
        return f"{count} anchor{'s' if count > 1 else ''}"

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """Only the input's size matters."""
        (x,) = inputs
        height, width = x.shape[2:]
        wh = np.array(self.shapes_of_anchors, x.dtype)
        y, x_stride = (float(s) for s in self.strides)
        sizes, stride = (height, width), (y, x_stride)
        if self.image is None:
            return arrays.grid(sizes, wh, stride, self.offset, len(x))
        return arrays.default_boxes(sizes, wh, stride, self.offset, self.image, len(x))

    def torch(self, *inputs: Shape) -> Torch:
        """A function of the file's own, which asks the feature map for its size."""
        keywords: dict[str, tuple[object, object]] = {"stride": (self.strides, None)}
        if self.image is not None:
            keywords["image"] = (self.image, None)
        keywords["offset"] = (real(self.offset), 0.0)
        if self.wh is None:
            arguments = (Operand(0), _plainly(self.sizes or ()), _plainly(self.ratios or ()))
            return Torch(function=Call("ratio_grid", arguments, keywords), helper=RATIO_GRID)
        name, anchors = (
            ("anchor_grid", tuple(map(_plainly, self.wh)))
            if self.image is None
            else ("default_boxes", self.wh)
        )
        call = Call(name, (Operand(0), anchors), keywords)
        return Torch(function=call, helper=self.functions[name])

    @classmethod
    def recalled(cls, function: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """`wh` by its other names."""
        sides = given.get("anchors", given.get("shares"))
        return by_name(cls, given) | ({} if sides is None else {"wh": sides})

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """The grid worked out from the map's size, and the same for each image."""
        (x,) = inputs
        fixed((self.sizes, self.ratios))
        anchors = self.shapes_of_anchors
        half = to.floats(anchors) * 0.5
        sides = []
        for axis, stride in enumerate(self.strides):
            at = to("Cast", to.range(x.shape[axis + 1]), integer=False, to=DOUBLE)
            at = to.single(at + to.doubles(self.offset))
            if self.image is None:
                sides.append(at * to.floats([stride]))
            else:
                share = to.doubles(self.image[axis]) / to.doubles(stride)
                sides.append(at / to.single(share))
        y, x_at = (
            to.unsqueeze(side, *axes)
            for side, axes in zip(sides, ((1, 2), (0, 2)), strict=True)
        )
        grid = to.ints(*x.shape[1:], len(anchors))
        centre = [to.unsqueeze(to("Expand", side, grid), 3) for side in (x_at, y)]
        middle = to("Concat", *centre, axis=3)
        boxes = to("Concat", middle - half, middle + half, axis=3)
        rows = to("Reshape", boxes, to.ints(-1, 4))
        if self.image is not None:
            rows = rows * to.floats([*self.image[::-1]] * 2)
        (shape,) = self.shapes(x.shape)
        each = to("Concat", to.batch(x), to.ints(*shape), axis=0)
        return to("Expand", to.unsqueeze(rows, 0), each, shape=shape)


@op("decode", Family.BOXES, arity=(2, 2))
class Decode(Op):
    """Boxes from what a network predicts of each anchor.  (N, 4) or (N, K, 4) → the same.

    - `rcnn`: centres move by shares of the anchor's size, sizes are multiplied by
      exponentials of at most 1000 / 16; each number is divided by its divisor before.
    - `yolo`: a sigmoid, stretched about ½, places the centre in its cell of `stride`.
    - `yolov1`: centres are shares of the cell, sizes squares of shares of the anchor.
    - `ltrb`: distances from the anchor's centre to the left, top, right and bottom.

    `clip=[H, W]` cuts the boxes at the image's border.
    Raises OpError: shapes that do not agree.
    Source: Girshick et al. 2013, arXiv:1311.2524, appendix C; Redmon & Farhadi 2016,
    arXiv:1612.08242, §2; Redmon et al. 2015, arXiv:1506.02640, §2; Tian et al. 2019,
    arXiv:1904.01355, §3.1.
    """

    form: Literal["rcnn", "yolo", "yolov1", "ltrb"] = "rcnn"
    divisors: Numbers = (1.0, 1.0, 1.0, 1.0)
    clip: Integers | None = None
    stride: float | Numbers = 1
    stretch: float = 1.0

    ports = ("deltas", "anchors")
    titled = ("form",)
    hints: ClassVar = {"clip": "write the image's height and width: `clip=[480, 640]`"}
    functions: ClassVar = {
        "decode_boxes": DECODE,
        "decode_yolo": DECODE_YOLO,
        "decode_yolov1": DECODE_YOLOV1,
        "decode_ltrb": DECODE_LTRB,
    }

    @property
    def strides(self) -> Numbers:
        """Down and across."""
        return both_axes(self.stride)

    def reads(self, *inputs: Shape) -> tuple[Reading, ...]:
        """The row of its box; of the last axis the numbers of its side."""
        *rows, _ = pointwise(inputs, inputs[0]).axes
        if len(rows) > 1:
            rows[1] = {place: taps for place, taps in rows[1].items() if place[0] == 0}
        sides = {(number, len(x) - 1) for number, x in enumerate(inputs)}
        own = {(0, len(rows)): SAME} if self.form == "ltrb" else {}
        return (Reading((*rows, own), anywhere=frozenset(sides - own.keys())),)

    def special(self, *inputs: Shape) -> int:
        """Exponentials, quotients and sigmoids."""
        return math.prod(inputs[0]) if self.form in ("rcnn", "yolo") else 0

    def saves(self, *inputs: Shape, grads: tuple[bool, ...]) -> Saved:
        """The factors of each product and what exponentials gave; boxes before clipping."""
        pairs, sizes = math.prod(inputs[0]) // 2, math.prod(inputs[1]) // 2
        deltas, anchors = grads
        kept: tuple[int, ...] = ()
        own = fixed = 0
        match self.form:
            case "rcnn":
                own = 3 * pairs + sizes * deltas
                fixed = 4 * deltas
            case "yolo":
                own = pairs + (pairs + sizes) * deltas
            case "yolov1":
                own = sizes * deltas + pairs * anchors
                kept = (0,) if deltas else ()
        own += 2 * pairs if self.clip is not None else 0
        return Saved(kept, own=BYTES * own, fixed=BYTES * fixed)

    def unused(self, *inputs: Shape) -> dict[str, str]:
        """What other forms take."""
        used = {"rcnn": {"divisors"}, "yolo": {"stride", "stretch"}, "yolov1": {"stride"}}
        own = used.get(self.form, set())
        others = [name for name in ("divisors", "stride", "stretch") if name not in own]
        return dict.fromkeys(others, f'form="{self.form}"')

    def shape(self, *inputs: Shape) -> Shape:
        """The deltas'."""
        deltas, anchors = inputs
        check_numbers("divisors", self.divisors, 4)
        check_numbers("stride", self.strides, 2)
        if self.clip is not None:
            check_numbers("clip", self.clip, 2)
        check_boxes(anchors, 1, (2,))
        check_boxes(deltas, 0, (2, 3))
        check_rows(deltas, anchors, 1, "anchors")
        return deltas

    def macs(self, *inputs: Shape) -> int:
        """0: counted as elementwise."""
        return 0

    def figure(self) -> str:
        """`decode rcnn`."""
        return f"decode {self.form}"

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """By its form."""
        deltas, anchors = inputs
        anchors = anchors[:, :, None] if deltas.ndim == 4 else anchors
        match self.form:
            case "rcnn":
                boxes = arrays.decode_rcnn(deltas, anchors, self.divisors)
            case "yolo":
                boxes = arrays.decode_yolo(deltas, anchors, self.strides, self.stretch)
            case "yolov1":
                boxes = arrays.decode_yolov1(deltas, anchors, self.strides)
            case _:
                boxes = arrays.decode_ltrb(deltas, anchors)
        return boxes if self.clip is None else arrays.clipped(boxes, self.clip)

    def torch(self, *inputs: Shape) -> Torch:
        """A function of the file's own."""
        name = "decode_boxes" if self.form == "rcnn" else f"decode_{self.form}"
        keywords: dict[str, tuple[object, object]] = {}
        if self.form == "rcnn":
            keywords["divisors"] = (tuple(map(real, self.divisors)), (1.0, 1.0, 1.0, 1.0))
        if self.form in ("yolo", "yolov1"):
            keywords["stride"] = (self.strides, None)
        if self.form == "yolo":
            keywords["stretch"] = (real(self.stretch), 1.0)
        keywords["clip"] = (self.clip, None)
        call = Call(name, (Operand(0), Operand(1)), keywords)
        return Torch(function=call, helper=self.functions[name])

    @classmethod
    def recalled(cls, function: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """The form is in the name."""
        form = function.removeprefix("decode_")
        return {"form": "rcnn" if form == "boxes" else form, **by_name(cls, given)}

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """Plain arithmetic."""
        deltas, anchors = inputs
        axis = len(deltas.shape)
        anchors = to.unsqueeze(anchors, 2) if axis == 3 else anchors
        moves, grows = _halves(to, deltas, axis)
        low, high = _halves(to, anchors, axis)
        size = high - low
        centre = low + size * 0.5
        step = to.floats(self.strides[::-1])
        match self.form:
            case "rcnn":
                by = [to.floats(pair) for pair in _pairs(self.divisors)]
                moves, grows = moves / by[0], grows / by[1]
                most = to("Min", grows, to.floats(arrays.LOG_RATIO))
                centre, size = moves * size + centre, to("Exp", most) * size
            case "yolo":
                stretch = float(self.stretch)
                share = to("Sigmoid", moves) * stretch - (stretch - 1) / 2
                centre, size = share * step + centre, to("Exp", grows) * size
            case "yolov1":
                centre, size = moves * step + centre, grows * grows * size
            case _:
                return self._clipped(
                    to, to("Concat", centre - moves, centre + grows, axis=axis)
                )
        half = size * 0.5
        return self._clipped(to, to("Concat", centre - half, centre + half, axis=axis))

    def _clipped(self, to: Onnx, boxes: Value) -> Value:
        if self.clip is None:
            return boxes
        limit = to.floats([*self.clip[::-1]] * 2)
        return to("Min", to("Max", boxes, to.floats(0)), limit)


def _halves(to: Onnx, boxes: Value, axis: int) -> tuple[Value, ...]:
    """The first two and the last two numbers of each row."""
    return to.several("Split", 2, boxes, axis=axis, num_outputs=2)


def _pairs(values: Numbers) -> tuple[Numbers, Numbers]:
    return values[:2], values[2:]


def _plainly(numbers: Numbers) -> Numbers:
    """Whole numbers without their `.0`; one that carries an expression stays as it is."""
    return tuple(map(_side, numbers))


def _side(side: float) -> float:
    if hasattr(side, "key"):
        return side
    return int(side) if float(side).is_integer() else float(side)
