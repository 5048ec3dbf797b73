"""Selection of boxes in ONNX: what is good enough, what is kept of it, and its best rows."""

from __future__ import annotations

import math

from cnndsl.diagnostics import OpError
from cnndsl.ops.arrays import np
from cnndsl.ops.onnx_steps import BOOL, FLOAT, Onnx, Value
from cnndsl.symbolic import Sym, minimum


class Table:
    """Rows with their scores (B, N), or with one for each class (B, N, K).

    Masks are of the scores' shape. By class they are (B, K, N); without classes K is 1, and
    with labels the number of classes is worked out.
    """

    def __init__(
        self, to: Onnx, boxes: Value, scores: Value, labels: Value | None = None
    ) -> None:
        """What enters a selection."""
        self.to, self.boxes, self.scores = to, boxes, to.real(scores)
        self.rows, *classes = scores.shape
        self.classes = int(classes[0]) if classes else 0
        self.labels = None if labels is None else to.whole(labels)

    def above(self, score: float) -> Value:
        """Whose score is above one."""
        return self.to("Greater", self.scores, self.to.floats(score))

    def differs(self, label: int) -> Value:
        """Whose label is not this one."""
        to = self.to
        if self.classes:
            return to.constant(np.arange(self.classes) != int(label))
        if self.labels is None:
            return to.constant(np.array(int(label) != 0))
        return to("Not", to("Equal", self.labels, to.ints(label)))

    def wide(self, size: float) -> Value:
        """Whose sides are both at least so long."""
        to, axis = self.to, len(self.boxes.shape)
        low, high = to.several("Split", 2, self.boxes, axis=axis, num_outputs=2)
        least = to("ReduceMin", high - low, to.ints(axis), keepdims=0)
        found = to("GreaterOrEqual", least, to.floats(size))
        return to.unsqueeze(found, 2) if self.classes and axis == 2 else found

    def ranked(self, good: Value, count: int) -> Value:
        """The best of each class."""
        to, scores = self.to, self._by_class(self._masked(good))
        _, places = to.several(
            "TopK", 2, scores, to.ints(minimum(count, self.rows)), axis=2, integer=False
        )
        ones = to(
            "ConstantOfShape", to("Shape", places, integer=True), value=np.ones(1, np.float32)
        )
        zeros = to("ConstantOfShape", to("Shape", scores, integer=True))
        return self._by_row(to("ScatterElements", zeros, places, ones, axis=2))

    def kept(self, good: Value, k: int, iou: float) -> Value:
        """What no better row of its class covers.  Raises OpError: `iou` is negative."""
        if iou < 0:
            raise OpError(f"ONNX cannot express iou={iou}", attribute="iou")
        to = self.to
        scores = self._by_class(self._masked(good))
        boxes, shape = self.boxes, to("Shape", scores, integer=True)
        if len(boxes.shape) == 3:  # each class with boxes of its own is an image
            turned = to("Transpose", boxes, perm=(0, 2, 1, 3))
            images = to.batch(boxes) * to.ints(self.classes)
            sizes = to("Concat", images, to.ints(self.rows, 4), axis=0)
            boxes = to("Reshape", turned, sizes, allowzero=1)
            sizes = to("Concat", images, to.ints(1, self.rows), axis=0)
            scores = to("Reshape", scores, sizes, allowzero=1)
        # Runtimes turn a box whose corners are the wrong way round; here it covers nothing.
        low, high = to.several("Split", 2, boxes, axis=2, num_outputs=2)
        boxes = to("Concat", low, to("Max", low, high), axis=2)
        chosen = to(
            "NonMaxSuppression",
            boxes,
            scores,
            to.ints(k),
            to.floats([min(iou, 1.0)]),
            to.floats([np.finfo(np.float32).min]),
            integer=True,
        )
        zeros = to("ConstantOfShape", to("Shape", scores, integer=True))
        count = to("Shape", chosen, integer=True, start=0, end=1)
        ones = to("ConstantOfShape", count, value=np.ones(1, np.float32))
        marked = to("ScatterND", zeros, chosen, ones)
        return self._by_row(to("Reshape", marked, shape, allowzero=1))

    def taken(self, mask: Value, k: int) -> tuple[Value, ...]:
        """The k best of a mask, and zeros: boxes, scores, labels, valid."""
        to, classes = self.to, self.classes or 1
        scores, boxes = self._masked(mask), self.boxes
        each = 1 if len(boxes.shape) == 3 else classes
        if self.classes:
            scores = to("Flatten", scores, axis=1)
        rows = self.rows * classes
        if isinstance(rows, Sym) or rows < k:
            scores = to("Pad", scores, to.ints(0, 0, 0, k), to.floats(-math.inf))
        if len(boxes.shape) == 3:
            sizes = to("Concat", to.batch(boxes), to.ints(rows, 4), axis=0)
            boxes = to("Reshape", boxes, sizes, allowzero=1)
        if not rows:  # absent rows are read from the first
            boxes = to("Pad", boxes, to.ints(0, 0, 0, 0, 1, 0), to.floats(0))
        best, places = to.several("TopK", 2, scores, to.ints(k), axis=1)
        places.integer = True
        present = to("Greater", best, to.floats(-math.inf))
        places = to("Where", present, places, to.ints(0), integer=True)
        row = places / each if each > 1 else places
        zero = to.floats(0)
        found = to("GatherND", boxes, to.unsqueeze(row, 2), batch_dims=1)
        found = to("Where", to.unsqueeze(present, 2), found, zero, integer=False)
        if self.classes:
            label = to("Mod", places, to.ints(classes))
        elif self.labels is not None:
            labels = self.labels
            if not rows:
                labels = to("Pad", labels, to.ints(0, 0, 0, 1), to.ints(0))
            label = to("GatherND", labels, to.unsqueeze(places, 2), batch_dims=1)
        else:
            label = places * 0
        label = to("Where", present, label, to.ints(0), integer=True)
        score = to("Where", present, best, zero, integer=False)
        return found, score, label, to("Cast", present, to=FLOAT, integer=False)

    # Layouts

    def _masked(self, mask: Value) -> Value:
        return self.to("Where", mask, self.scores, self.to.floats(-math.inf), integer=False)

    def _by_class(self, scores: Value) -> Value:
        """(B, N) or (B, N, K) → (B, K, N)."""
        to = self.to
        if self.classes:
            return to("Transpose", scores, perm=(0, 2, 1))
        scores = to.unsqueeze(scores, 1)
        if self.labels is None:
            return scores
        first, last = (to(kind, self.labels, keepdims=0) for kind in ("ReduceMin", "ReduceMax"))
        step = to.constant(np.array(1, np.int64))
        classes = to("Range", first, last + 1, step, integer=True)
        own = to("Equal", to.unsqueeze(self.labels, 1), to.unsqueeze(classes, 1))
        return to("Where", own, scores, to.floats(-math.inf), integer=False)

    def _by_row(self, marked: Value) -> Value:
        """A mask (B, K, N), of zeros and ones → of the scores' shape."""
        to = self.to
        if self.classes:
            marked = to("Transpose", marked, perm=(0, 2, 1))
        else:
            marked = to("ReduceMax", marked, to.ints(1), keepdims=0)
        return to("Cast", marked, to=BOOL, integer=False)
