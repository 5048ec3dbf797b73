"""Boxes in the graph: anchors, decoding, selection, features of regions.

Boxes are rows of four numbers, x1 y1 x2 y2 in pixels. Shapes are static: a selection has
exactly `k` rows, the absent ones zero with `valid` 0.
"""

from __future__ import annotations

import math
from typing import Literal

from cnndsl.diagnostics import OpError
from cnndsl.ops.arrays import boxes as arrays
from cnndsl.ops.arrays import np, sampling
from cnndsl.ops.base import (
    Array,
    Call,
    Family,
    Integers,
    Op,
    Operand,
    Shape,
    Size,
    Template,
    Torch,
    Window,
    check_axis,
    compact,
    op,
    spatial,
    spell_shape,
)
from cnndsl.ops.detection_torch import (
    ANCHOR_GRID,
    DECODE,
    DECODE_LTRB,
    DECODE_YOLO,
    DECODE_YOLOV1,
    GATHER,
    NMS,
    ROI_ALIGN,
    TOPK,
)

Numbers = tuple[float, ...]
Pairs = tuple[tuple[float, float], ...]
SELECTION = ("boxes", "scores", "labels", "valid")


@op("anchor_grid", Family.BOXES)
class AnchorGrid(Op):
    """A box of each size at every cell, rows (h w a).  (C, H, W) → (H·W·A, 4).

    Centres lie at (index + offset) · stride. The sizes are `wh`, or those of `sizes` and
    `ratios` (height / width; all sizes of the first ratio come first), each half rounded.
    Raises OpError: neither or both of these; sizes or strides that are not positive.
    Source: Ren et al. 2015, arXiv:1506.01497, §3.1.1; Liu et al. 2015, arXiv:1512.02325,
    §2.2 (`wh`).
    """

    stride: Numbers
    offset: float = 0.0
    wh: Pairs | None = None
    sizes: Numbers | None = None
    ratios: Numbers | None = None

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
            raise OpError("sizes and ratios are positive", attribute="sizes")
        # In float32, as the field's code: the halves are rounded, and near ties matter.
        root = np.sqrt(np.array(self.ratios, np.float32))[:, None]
        scale = np.array(self.sizes, np.float32)[None]
        width, height = (1 / root * scale).ravel(), (root * scale).ravel()
        halves = np.stack([width, height], 1) / np.float32(2)
        return tuple((float(2 * w), float(2 * h)) for w, h in np.round(halves))

    def shape(self, *inputs: Shape) -> Shape:
        """(H·W·A, 4)."""
        height, width = spatial(inputs[0], self.name, (2,))
        _check_numbers("stride", self.stride, 2)
        anchors = self.shapes_of_anchors
        if not anchors or any(side <= 0 for pair in anchors for side in pair):
            raise OpError("an anchor's width and height are positive", attribute="wh")
        return (height * width * len(anchors), 4)

    def macs(self, *inputs: Shape) -> int:
        """0: no layer."""
        return 0

    def figure(self) -> str:
        """`9 anchors`."""
        return f"{len(self.shapes_of_anchors)} anchors"

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """Only the input's size matters."""
        (x,) = inputs
        height, width = x.shape[2:]
        wh = np.array(self.shapes_of_anchors, x.dtype)
        y, x_stride = (float(s) for s in self.stride)
        return arrays.grid((height, width), wh, (y, x_stride), self.offset, len(x))

    def torch(self, *inputs: Shape) -> Torch:
        """A function of the file's own, which asks the feature map for its size."""
        keywords: dict[str, tuple[object, object]] = {
            "stride": (self.stride, None),
            "offset": (float(self.offset), 0.0),
        }
        call = Call("anchor_grid", (Operand(0), _spelt(self.shapes_of_anchors)), keywords)
        return Torch(function=call, helper=ANCHOR_GRID)


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
    stride: Numbers = (1, 1)
    stretch: float = 1.0

    ports = ("deltas", "anchors")

    def shape(self, *inputs: Shape) -> Shape:
        """The deltas'."""
        deltas, anchors = inputs
        _check_numbers("divisors", self.divisors, 4)
        _check_numbers("stride", self.stride, 2)
        if self.clip is not None:
            _check_numbers("clip", self.clip, 2)
        _check_boxes(anchors, 1, (2,))
        _check_boxes(deltas, 0, (2, 3))
        _check_rows(deltas, anchors, 1, "anchors")
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
                boxes = arrays.decode_yolo(deltas, anchors, self.stride, self.stretch)
            case "yolov1":
                boxes = arrays.decode_yolov1(deltas, anchors, self.stride)
            case _:
                boxes = arrays.decode_ltrb(deltas, anchors)
        return boxes if self.clip is None else arrays.clipped(boxes, self.clip)

    def torch(self, *inputs: Shape) -> Torch:
        """A function of the file's own."""
        helpers = {
            "rcnn": ("decode_boxes", DECODE),
            "yolo": ("decode_yolo", DECODE_YOLO),
            "yolov1": ("decode_yolov1", DECODE_YOLOV1),
            "ltrb": ("decode_ltrb", DECODE_LTRB),
        }
        name, helper = helpers[self.form]
        keywords: dict[str, tuple[object, object]] = {}
        if self.form == "rcnn":
            keywords["divisors"] = (tuple(map(float, self.divisors)), (1.0, 1.0, 1.0, 1.0))
        if self.form in ("yolo", "yolov1"):
            keywords["stride"] = (self.stride, None)
        if self.form == "yolo":
            keywords["stretch"] = (float(self.stretch), 1.0)
        keywords["clip"] = (self.clip, None)
        return Torch(function=Call(name, (Operand(0), Operand(1)), keywords), helper=helper)


@op("topk", Family.BOXES, arity=(2, 3), outputs=SELECTION)
class TopK(Op):
    """The k best of all rows and classes.  (N, 4), (N, K) → (k, 4), (k), (k), (k).

    Of those above `score`: boxes, scores, labels and valid, by falling score, ties by row.
    Scores are (N), with labels (N) or without, or (N, K): then all classes compete.
    Raises OpError: shapes that do not agree; k is negative.
    Source: Lin et al. 2017, arXiv:1708.02002, §4.1 (inference).
    """

    k: int
    score: float = 0.0
    background: int | None = None

    ports = ("boxes", "scores", "labels")

    def shape(self, *inputs: Shape) -> Shape:
        """The boxes'."""
        return self.shapes(*inputs)[0]

    def shapes(self, *inputs: Shape) -> tuple[Shape, ...]:
        """(k, 4), (k), (k), (k)."""
        _check_selection(self.k, *inputs)
        return ((self.k, 4), (self.k,), (self.k,), (self.k,))

    def macs(self, *inputs: Shape) -> int:
        """0: sorting."""
        return 0

    def figure(self) -> str:
        """`top 1000`."""
        return f"top {int(self.k)}"

    def run(self, *inputs: Array, **weights: Array) -> tuple[Array, ...]:
        """One image after another."""
        boxes, scores, labels = (*inputs, None)[:3]
        assert boxes is not None
        assert scores is not None
        return arrays.topk(
            boxes, scores, labels, k=self.k, score=self.score, background=self.background
        )

    def torch(self, *inputs: Shape) -> Torch:
        """A function of the file's own."""
        keywords: dict[str, tuple[object, object]] = {
            "k": (self.k, None),
            "score": (float(self.score), 0.0),
            "background": (self.background, None),
        }
        arguments = tuple(Operand(n) for n in range(len(inputs)))
        return Torch(function=Call("topk", arguments, keywords), helper=TOPK)


@op("nms", Family.BOXES, arity=(2, 3), outputs=SELECTION)
class NonMaximumSuppression(Op):
    """Greedy suppression by class.  (N, 4), (N, K) → (k, 4), (k), (k), (k).

    The best row is kept, and with it falls what overlaps it by more than `iou` and has its
    label; then the best that is left. Before that, rows fall whose score is not above
    `score`, whose sides are below `min_size`, of the `background` class, and all but the
    best `pre` of each class. Inputs and outputs are those of `topk`.
    Raises OpError: shapes that do not agree; k or `pre` is negative.
    Source: Girshick et al. 2013, arXiv:1311.2524, §2.2.
    """

    k: int
    iou: float = 0.5
    score: float = 0.0
    pre: int | None = None
    background: int | None = None
    min_size: float = 0.0

    ports = ("boxes", "scores", "labels")

    def shape(self, *inputs: Shape) -> Shape:
        """The boxes'."""
        return self.shapes(*inputs)[0]

    def shapes(self, *inputs: Shape) -> tuple[Shape, ...]:
        """(k, 4), (k), (k), (k)."""
        _check_selection(self.k, *inputs)
        if self.pre is not None and self.pre < 0:
            raise OpError(f"pre={int(self.pre)}", help="at least 0", attribute="pre")
        return ((self.k, 4), (self.k,), (self.k,), (self.k,))

    def macs(self, *inputs: Shape) -> int:
        """0: sorting and comparing."""
        return 0

    def figure(self) -> str:
        """`NMS 0.5, 300`."""
        return f"NMS {float(self.iou)}, {int(self.k)}"

    def run(self, *inputs: Array, **weights: Array) -> tuple[Array, ...]:
        """One image after another."""
        boxes, scores, labels = (*inputs, None)[:3]
        assert boxes is not None
        assert scores is not None
        return arrays.nms(
            boxes,
            scores,
            labels,
            k=self.k,
            iou=self.iou,
            score=self.score,
            pre=self.pre,
            background=self.background,
            min_size=self.min_size,
        )

    def torch(self, *inputs: Shape) -> Torch:
        """A function of the file's own, around an operator with a shape rule."""
        keywords: dict[str, tuple[object, object]] = {
            "k": (self.k, None),
            "iou": (float(self.iou), None),
            "score": (float(self.score), 0.0),
            "pre": (self.pre, None),
            "background": (self.background, None),
            "min_size": (float(self.min_size), 0.0),
        }
        arguments = tuple(Operand(n) for n in range(len(inputs)))
        return Torch(function=Call("nms", arguments, keywords), helper=NMS)


@op("roi_align", Family.BOXES, arity=(2, None))
class RoIAlign(Op):
    """Features of regions, one pyramid level each.  (N, 4), (C, H, W), … → (N, C, h, w).

    A bin is the mean of `sampling_ratio`² bilinear samples; a region is at least one cell
    wide. With several levels, a region of side s is read from level
    ⌊canonical_level + log₂(s / canonical_scale)⌋, held in the range that `strides` give.
    Raises OpError: not one stride a level, none a power of two; levels of different depth.
    Source: He et al. 2017, arXiv:1703.06870, §3; Lin et al. 2016, arXiv:1612.03144,
    equation 1.
    """

    size: int | Integers
    strides: Integers
    sampling_ratio: int = 2
    canonical_scale: int = 224
    canonical_level: int = 4

    def shape(self, *inputs: Shape) -> Shape:
        """(N, C, h, w)."""
        boxes, *levels = inputs
        _check_boxes(boxes, 0, (2,))
        if len(self.strides) != len(levels):
            raise OpError(
                f"{len(self.strides)} strides for {len(levels)} levels",
                help="one stride for each feature map",
                attribute="strides",
            )
        wanted = tuple(self.strides[0] * 2**n for n in range(len(levels)))
        power = self.strides[0] > 0 and math.log2(self.strides[0]).is_integer()
        if self.strides != wanted or not power:
            raise OpError(
                f"strides {spell_shape(self.strides)}",
                help="powers of two, each twice the one before: [4, 8, 16, 32]",
                attribute="strides",
            )
        for name in ("sampling_ratio", "canonical_scale"):
            if getattr(self, name) < 1:
                raise OpError(
                    f"{name}={int(getattr(self, name))}", help="at least 1", attribute=name
                )
        for number, level in enumerate(levels, 1):
            spatial(level, self.name, (2,))
            if level[0] != levels[0][0]:
                raise OpError(
                    f"levels of {int(levels[0][0])} and {int(level[0])} channels",
                    help="all levels have one depth",
                    operand=number,
                )
        return (boxes[0], levels[0][0], *self._bins)

    @property
    def _bins(self) -> Size:
        # The first input has no spatial axes, so that `size` is read here.
        size = self.size if isinstance(self.size, tuple) else (self.size, self.size)
        if len(size) != 2 or any(n < 1 for n in size):
            raise OpError(f"`size` is {spell_shape(size)}", help="write 7x7", attribute="size")
        return size

    def macs(self, *inputs: Shape) -> int:
        """0: counted as resizing."""
        return 0

    def window(self, *inputs: Shape) -> Window:
        """Everything: a region may lie anywhere."""
        return Window(whole=True)

    def figure(self) -> str:
        """`RoIAlign 7×7`."""
        return f"RoIAlign {compact(self._bins)}"

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """One region after another."""
        return sampling.roi_align(
            inputs[0],
            inputs[1:],
            size=self._bins,
            strides=self.strides,
            sampling_ratio=self.sampling_ratio,
            canonical_scale=self.canonical_scale,
            canonical_level=self.canonical_level,
        )

    def torch(self, *inputs: Shape) -> Torch:
        """A function of the file's own: all levels in one, so that shapes are static."""
        values: dict[str, object] = {
            "size": self._bins,
            "strides": self.strides,
            "ratio": self.sampling_ratio,
        }
        text = "{size}, {strides}, {ratio}"
        for name, default in (("canonical_scale", 224), ("canonical_level", 4)):
            if getattr(self, name) != default:
                values[name] = getattr(self, name)
                text += f", {name}={{{name}}}"
        levels = ", ".join(f"{{{n}}}" for n in range(1, len(inputs)))
        template = Template(f"roi_align({{0}}, [{levels}], {text})", values)
        return Torch(function=template, helper=ROI_ALIGN)


@op("gather", Family.BOXES, arity=(2, 2))
class Gather(Op):
    """Of each place the entry that an index names.  (*A, K, *S), (*A) → (*A, *S).

    `axis` is the one indexed; the index has the axes before it.
    Raises OpError: no such axis; an index of another shape.
    Source: He et al. 2017, arXiv:1703.06870, §3 (the mask of each region's own class).
    """

    axis: int

    def shape(self, *inputs: Shape) -> Shape:
        """(*A, *S)."""
        x, index = inputs
        check_axis(self.axis, x, self.name)
        if index != x[: self.axis]:
            raise OpError(
                f"an index {spell_shape(index)} of axis {int(self.axis)} of {spell_shape(x)}",
                help=f"the axes before it are {spell_shape(x[: self.axis])}",
                operand=1,
            )
        return (*index, *x[self.axis + 1 :])

    def macs(self, *inputs: Shape) -> int:
        """0: a copy."""
        return 0

    def figure(self) -> str:
        """`gather`."""
        return "gather"

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """NumPy's."""
        x, index = inputs
        rest = (1,) * (x.ndim - index.ndim)
        index = index.astype(np.int64).reshape(*index.shape, *rest)
        return np.take_along_axis(x, index, self.axis + 1).squeeze(self.axis + 1)

    def torch(self, *inputs: Shape) -> Torch:
        """`gather(x, index, 2)`."""
        call = Call("gather", (Operand(0), Operand(1), self.axis + 1))
        return Torch(function=call, helper=GATHER)


def _spelt(pairs: Pairs) -> tuple[tuple[float, ...], ...]:
    """Whole numbers without their `.0`."""
    return tuple(
        tuple(int(side) if float(side).is_integer() else round(float(side), 6) for side in pair)
        for pair in pairs
    )


def _check_numbers(name: str, values: Numbers, count: int) -> None:
    if len(values) != count or any(value <= 0 for value in values):
        raise OpError(
            f"`{name}` is {[float(v) for v in values]}",
            help=f"{count} positive numbers",
            attribute=name,
        )


def _check_boxes(x: Shape, operand: int, ranks: tuple[int, ...]) -> None:
    if len(x) not in ranks or x[-1] != 4:
        wanted = " or ".join({2: "[N, 4]", 3: "[N, K, 4]"}[rank] for rank in ranks)
        raise OpError(f"boxes are {wanted}, and these are {spell_shape(x)}", operand=operand)


def _check_rows(x: Shape, y: Shape, operand: int, what: str) -> None:
    if x[0] != y[0]:
        raise OpError(
            f"{int(x[0])} rows, and {int(y[0])} of {what}",
            help="one row for each box, in one order",
            operand=operand,
        )


def _check_selection(k: int, boxes: Shape, scores: Shape, labels: Shape | None = None) -> None:
    """Raises OpError: what enters a selection does not agree."""
    if k < 0:
        raise OpError(f"k={int(k)}", help="at least 0", attribute="k")
    _check_boxes(boxes, 0, (2, 3))
    if len(scores) not in (1, 2):
        raise OpError(
            f"scores are [N] or [N, K], and these are {spell_shape(scores)}", operand=1
        )
    _check_rows(boxes, scores, 1, "scores")
    if len(boxes) == 3 and (len(scores) == 1 or scores[1] != boxes[1]):
        raise OpError(
            f"boxes {spell_shape(boxes)} need scores [{int(boxes[0])}, {int(boxes[1])}], "
            f"and these are {spell_shape(scores)}",
            help="a box for each class needs a score for each class",
            operand=1,
        )
    if labels is None:
        return
    if len(scores) != 1:
        raise OpError(
            f"labels beside scores {spell_shape(scores)}",
            help="the class is the scores' second axis: leave the labels out",
            operand=2,
        )
    if len(labels) != 1:
        raise OpError(f"labels are [N], and these are {spell_shape(labels)}", operand=2)
    _check_rows(boxes, labels, 2, "labels")
