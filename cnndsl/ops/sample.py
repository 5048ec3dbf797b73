"""A map read where a grid says: spatial transformers, optical flow."""

from __future__ import annotations

from typing import Literal

from cnndsl.diagnostics import OpError
from cnndsl.ops.arrays import np, sampling
from cnndsl.ops.base import Op, op
from cnndsl.ops.facts import (
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
    spell_shape,
)
from cnndsl.ops.onnx_steps import Onnx, Value, fixed
from cnndsl.ops.shapes import compact, spatial

AFFINE_GRID = '''\
def affine_grid(theta: Tensor, size: list[int], align_corners: bool = False) -> Tensor:
    """The places that an affine map gives the pixels, from -1 to 1."""
    shape = [theta.shape[0], 1, size[0], size[1]]
    return F.affine_grid(theta, shape, align_corners)
'''


@op("affine_grid", Family.MATMUL)
class AffineGrid(Op):
    """Where an affine map sends each pixel, x before y, −1 to 1.  (2, 3) → (H, W, 2).

    MACs: 0, as PyTorch counts it.
    Raises OpError: an input that is not [2, 3].
    Source: Jaderberg et al. 2015, arXiv:1506.02025, eq. 1.
    """

    size: Integers
    align_corners: bool = False

    known = ("F.affine_grid",)
    keeps = NOTHING

    def reads(self, *inputs: Shape) -> tuple[Reading, ...]:
        """A row of the map."""
        return (Reading(({}, {}, {(0, 0): SAME})),)

    def shape(self, *inputs: Shape) -> Shape:
        """(H, W, 2)."""
        if inputs[0] != (2, 3):
            message = f"an affine map is [2, 3], not {spell_shape(inputs[0])}"
            raise OpError(message, help="linear(6) -> reshape(2, 3)", operand=0)
        if len(self.size) != 2 or any(n < 1 for n in self.size):
            message = f"`size` is {spell_shape(self.size)}, but must be a height and a width"
            raise OpError(message, help="write affine_grid([28, 28])", attribute="size")
        return (*self.size, 2)

    def macs(self, *inputs: Shape) -> int:
        """0: PyTorch counts none."""
        return 0

    def figure(self) -> str:
        """`affine grid 28×28`."""
        return f"affine grid {compact(self.size)}"

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """The map of each pixel's (x, y, 1)."""
        return sampling.affine_grid(inputs[0], self.size, self.align_corners)

    def torch(self, *inputs: Shape) -> Torch:
        """A function of the file's own, around `F.affine_grid`."""
        keywords: dict[str, tuple[object, object]] = {
            "align_corners": (self.align_corners, False)
        }
        call = Call("affine_grid", (Operand(0), list(self.size)), keywords)
        return Torch(function=call, helper=AFFINE_GRID)

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """The product of the pixels' (x, y, 1) with the map."""
        size: tuple[int, ...] = fixed(self.size)
        rows = np.eye(3, dtype=np.float32)[None, :2]
        base = sampling.affine_grid(rows, size, self.align_corners).reshape(-1, 2)
        places = np.concatenate([base, np.ones((len(base), 1), np.float32)], 1)
        grid = to("MatMul", to.constant(places), to.transpose(inputs[0], (1, 0)))
        return to("Reshape", grid, to.ints(0, *size, 2))


@op("grid_sample", Family.UPSAMPLE, arity=(2, 2))
class GridSample(Op):
    """A map at the places of a grid, x before y, −1 to 1.  (C, H, W), (h, w, 2) → (C, h, w).

    Beyond the border stand zeros, the border, or the map mirrored (`pad_mode`).
    MACs: 0, counted as resizing.
    Raises OpError: a grid that is not [h, w, 2].
    Source: Jaderberg et al. 2015, arXiv:1506.02025, §3.3.
    """

    mode: Literal["bilinear", "nearest"] = "bilinear"
    pad_mode: Literal["zeros", "border", "reflection"] = "zeros"
    align_corners: bool = False

    known = ("F.grid_sample",)
    elsewhere = "warp"
    keeps = Saved(inputs=(0, 1))

    def reads(self, *inputs: Shape) -> tuple[Reading, ...]:
        """Its place of the grid, and there the map."""
        axes = ({(0, 0): SAME}, {(1, 0): SAME}, {(1, 1): SAME})
        return (Reading(axes, anywhere=frozenset({(0, 1), (0, 2)})),)

    def shape(self, *inputs: Shape) -> Shape:
        """(C, h, w)."""
        x, grid = inputs
        spatial(x, self.name, (2,))
        if len(grid) != 3 or grid[2] != 2:
            message = f"a grid is [h, w, 2], not {spell_shape(grid)}"
            raise OpError(message, help="`affine_grid` makes one", operand=1)
        return (x[0], *grid[:2])

    def macs(self, *inputs: Shape) -> int:
        """0: counted as resizing."""
        return 0

    def figure(self) -> str:
        """`grid sample`."""
        return "grid sample"

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """Four positions with their weights, or the nearest."""
        x, grid = inputs
        return sampling.grid_sample(x, grid, self.mode, self.pad_mode, self.align_corners)

    def torch(self, *inputs: Shape) -> Torch:
        """`F.grid_sample(x, grid, align_corners=False)`."""
        keywords: dict[str, tuple[object, object]] = {
            "mode": (self.mode, "bilinear"),
            "padding_mode": (self.pad_mode, "zeros"),
            "align_corners": (self.align_corners, None),
        }
        return Torch(function=Call("F.grid_sample", (Operand(0), Operand(1)), keywords))

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """`GridSample`."""
        return to(
            "GridSample",
            *inputs,
            mode="linear" if self.mode == "bilinear" else self.mode,
            padding_mode=self.pad_mode,
            align_corners=int(self.align_corners),
        )
