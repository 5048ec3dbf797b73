"""The best boxes, with static shapes: exactly `k` rows, the absent ones zero with `valid` 0."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from cnndsl.diagnostics import OpError
from cnndsl.ops.arrays import boxes as arrays
from cnndsl.ops.base import Op, op
from cnndsl.ops.box_checks import check_boxes, check_rows
from cnndsl.ops.composition import Axes, simple, size_of, unknown
from cnndsl.ops.facts import (
    BYTES,
    SAME,
    Array,
    Call,
    Family,
    Operand,
    Place,
    Reading,
    Saved,
    Shape,
    Torch,
    real,
    spell_shape,
)
from cnndsl.ops.onnx_steps import Onnx, Value
from cnndsl.ops.selection_onnx import Table
from cnndsl.ops.selection_torch import NMS, TOPK
from cnndsl.ops.words import spoken

SELECTION = ("boxes", "scores", "labels", "valid")


class Selection(Op):
    """Rows chosen by their scores.  (N, 4), (N, K) → (k, 4), (k), (k), (k)."""

    ports = ("boxes", "scores", "labels")
    empty, moves = True, True
    discrete = ("labels", "valid")
    integers = ("labels",)

    def takes_whole(self, operand: int) -> bool:
        """The labels."""
        return operand == 2

    def gives_whole(self, whole: Sequence[bool]) -> bool:
        """The labels alone, whatever comes in."""
        return False

    def reads(self, *inputs: Shape) -> tuple[Reading, ...]:
        """Any row; a box's side its own."""
        sides = (0, len(inputs[0]) - 1)
        rows = {(number, axis) for number, x in enumerate(inputs) for axis in range(len(x))}
        anywhere = frozenset(rows - {sides})
        boxes = Reading(({}, {sides: SAME}), anywhere=anywhere)
        return (boxes, *(Reading(({},), anywhere=anywhere | {sides}) for _ in SELECTION[1:]))

    def composition(self, node: str, *operands: Axes) -> tuple[Axes, ...]:
        """Rows of their own."""
        shapes = self.shapes(*(tuple(map(size_of, axes)) for axes in operands))
        return tuple((simple(node, n), *map(unknown, others)) for n, *others in shapes)

    def pairs(self, *inputs: Shape) -> tuple[tuple[Place, Place], ...]:
        """The rows, and the classes of boxes for each class."""
        rows = tuple(((0, 0), (number, 0)) for number in range(1, len(inputs)))
        return (*rows, ((0, 1), (1, 1))) if len(inputs[0]) == 3 else rows


def _taken(k: int, scores: Shape, grads: tuple[bool, ...]) -> Saved:
    """What the choice of k rows keeps: boxes, scores, their numbers, and which are valid."""
    boxes_kept, scores_kept = grads[:2]
    padded = not math.prod(scores)
    own = 8 * k * (boxes_kept + scores_kept)
    own += BYTES * (4 * boxes_kept + scores_kept) if padded else 0
    kept = () if padded else tuple(n for n, grad in enumerate(grads[:2]) if grad)
    return Saved(kept, (3,), own)


@op("topk", Family.BOXES, arity=(2, 3), outputs=SELECTION)
class TopK(Selection):
    """The k best of all rows and classes.  (N, 4), (N, K) → (k, 4), (k), (k), (k).

    Of those above `score`: boxes, scores, labels and valid, by falling score, ties by row.
    Scores are (N), with labels (N) or without, or (N, K): then all classes compete.
    Raises OpError: shapes that do not agree; k is negative.
    Source: Lin et al. 2017, arXiv:1708.02002, §4.1 (inference).
    """

    k: int
    score: float = 0.0
    background: int | None = None

    functions: ClassVar = {"topk": TOPK}

    def saves(self, *inputs: Shape, grads: tuple[bool, ...]) -> Saved:
        """Of the scores also the order, 8 bytes, and which are good enough, 1 byte."""
        kept = _taken(self.k, inputs[1], grads)
        return replace(kept, own=kept.own + 9 * math.prod(inputs[1]) * grads[1])

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
        return f"top {spoken(self.k)}"

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
            "score": (real(self.score), 0.0),
            "background": (self.background, None),
        }
        arguments = tuple(Operand(n) for n in range(len(inputs)))
        return Torch(function=Call("topk", arguments, keywords), helper=TOPK)

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> tuple[Value, ...]:
        """`TopK` of what is good enough: of equal scores it takes the first, too."""
        table = Table(to, *inputs)
        good = table.above(self.score)
        if self.background is not None:
            good = to("And", good, table.differs(self.background))
        return table.taken(good, self.k)


@op("nms", Family.BOXES, arity=(2, 3), outputs=SELECTION)
class NonMaximumSuppression(Selection):
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
    titled = ("iou",)
    functions: ClassVar = {"nms": NMS}

    def saves(self, *inputs: Shape, grads: tuple[bool, ...]) -> Saved:
        """With `pre` of the scores the order, 8 bytes, and which are good enough, 1 byte."""
        kept = _taken(self.k, inputs[1], grads)
        ordered = grads[1] and self.pre is not None
        return replace(kept, own=kept.own + 9 * math.prod(inputs[1]) * ordered)

    def shape(self, *inputs: Shape) -> Shape:
        """The boxes'."""
        return self.shapes(*inputs)[0]

    def shapes(self, *inputs: Shape) -> tuple[Shape, ...]:
        """(k, 4), (k), (k), (k)."""
        _check_selection(self.k, *inputs)
        if self.pre is not None and self.pre < 0:
            raise OpError(
                f"`pre` is {int(self.pre)}, but must not be negative", attribute="pre"
            )
        return ((self.k, 4), (self.k,), (self.k,), (self.k,))

    def macs(self, *inputs: Shape) -> int:
        """0: sorting and comparing."""
        return 0

    def figure(self) -> str:
        """`NMS 0.5, 300`."""
        return f"NMS {spoken(self.iou)}, {spoken(self.k)}"

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
            "iou": (real(self.iou), None),
            "score": (real(self.score), 0.0),
            "pre": (self.pre, None),
            "background": (self.background, None),
            "min_size": (real(self.min_size), 0.0),
        }
        arguments = tuple(Operand(n) for n in range(len(inputs)))
        return Torch(function=Call("nms", arguments, keywords), helper=NMS)

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> tuple[Value, ...]:
        """`NonMaxSuppression` of each class, then `TopK` of what is kept."""
        table = Table(to, *inputs)
        good = table.above(self.score)
        if self.background is not None:
            good = to("And", good, table.differs(self.background))
        if self.min_size > 0:
            good = to("And", good, table.wide(self.min_size))
        if self.pre is not None:
            good = to("And", good, table.ranked(good, self.pre))
        return table.taken(table.kept(good, self.k, self.iou), self.k)


def _check_selection(k: int, boxes: Shape, scores: Shape, labels: Shape | None = None) -> None:
    """Raises OpError: what enters a selection does not agree."""
    if k < 0:
        raise OpError(f"`k` is {int(k)}, but must not be negative", attribute="k")
    check_boxes(boxes, 0, (2, 3))
    if len(scores) not in (1, 2):
        raise OpError(f"scores must be [N] or [N, K], not {spell_shape(scores)}", operand=1)
    check_rows(boxes, scores, 1, "scores")
    if len(boxes) == 3 and (len(scores) == 1 or scores[1] != boxes[1]):
        raise OpError(
            f"boxes {spell_shape(boxes)} need scores [{int(boxes[0])}, {int(boxes[1])}], "
            f"not {spell_shape(scores)}",
            help="a box for each class needs a score for each class",
            operand=1,
        )
    if labels is None:
        return
    if len(scores) != 1:
        raise OpError(
            f"labels cannot stand beside the scores {spell_shape(scores)}",
            help="the second axis of the scores is the class: leave out the labels",
            operand=2,
        )
    if len(labels) != 1:
        raise OpError(f"labels must be [N], not {spell_shape(labels)}", operand=2)
    check_rows(boxes, labels, 2, "labels")
