"""What a written file carries with it, read back as the operations that it was written for."""

from __future__ import annotations

from inspect import signature

import pytest
import torch
from torch import nn

import cnndsl
from cnndsl.importing import from_torch
from cnndsl.ops.facts import Call, Operand
from cnndsl.ops.values import bind
from tests.importing.roundtrip import same
from tests.ops.cases import CASES, Case, identifier, made
from tests.ops.torch_text import Written


def _called(case: Case) -> bool:
    name, arguments, shapes = case
    op = made(name, arguments, *shapes)
    return bool(op.functions) and isinstance(op.torch(*shapes).function, Call)


@pytest.mark.parametrize("case", list(filter(_called, CASES)), ids=identifier)
def test_a_call_gives_back_the_attributes_that_it_was_written_from(case: Case) -> None:
    name, arguments, shapes = case
    op = made(name, arguments, *shapes)
    text = op.torch(*shapes)
    call = text.function
    assert isinstance(call, Call)
    given = [shapes[a.index] if isinstance(a, Operand) else a for a in call.arguments]
    named = {key: value for key, (value, default) in call.keywords.items() if value != default}
    function = Written(text, "function", len(shapes)).scope[call.function]
    bound = signature(function).bind(*given, **named)
    bound.apply_defaults()
    found = type(op).recalled(call.function, bound.arguments)
    again = bind(type(op), found, max(0, len(shapes[0]) - 1)).resolved(*shapes)
    assert again.torch(*shapes) == text


DETECTOR = """
block Head(c: int): x[C, H, W] -> (cls[c], box[4]) {
  map: x -> conv(8, 3x3, act=relu) -> flatten -> linear(8)
  cls: map -> linear(c)
  box: map -> linear(4)
}

model Detector: image[3, H=32, W=32] -> (boxes[5, 4], scores[5], labels[5], valid[5]) {
  low: conv(4, 3x3, stride=4, act=relu)
  high: conv(4, 3x3, stride=2, act=relu)
  grid: concat {
    low -> anchor_grid(4, sizes=[6, 9], ratios=[0.5, 1])
    high -> anchor_grid([8, 8.5], wh=[[7, 9.5]], offset=0.5)
  }
  deltas: concat {
    low -> conv(16, 1x1) -> rearrange("(a d) h w -> (h w a) d", d=4)
    high -> conv(4, 1x1) -> rearrange("d h w -> (h w) d")
  }
  found: topk(6) { decode(clip=[32, 32]) { deltas; grid }; deltas -> gmp -> sigmoid }
  roi: roi_align(3x3, strides=[4, 8]) { found.boxes; low; high }
  head: roi -> Head(3) each row
  boxes, scores, labels, valid: nms(5, iou=0.5) {
    decode("yolo", stride=4) { head.box; found.boxes }
    head.cls -> softmax(1)
  }
}
"""

MOVED = """
model Moved: image[4, H=12, W=12] -> (y[6, H, W], z[2], e[3]) {
  offset: conv(18, 3x3)
  mask: image -> conv(9, 3x3, act=sigmoid)
  kernels: image -> conv(18, 1x1)
  moved: deform_conv(4, 3x3) { image; offset; mask }
  y: involve(3x3, groups=2) { moved; kernels } -> bn -> relu -> conv(6, 1x1)
  z: y -> gap -> linear(2) -> l2norm(0)
  e: einsum("n, m -> m") { z; y -> values([0.5, 1, 2]) }
}
"""


@pytest.mark.parametrize("text", [DETECTOR, MOVED], ids=["detector", "moved"])
def test_a_written_file_is_read_back_as_the_same_network(text: str) -> None:
    network = cnndsl.loads(text)
    torch.manual_seed(0)
    shapes = [tuple(map(int, one.shape)) for one in network.inputs.values()]
    found = from_torch(network.to_torch().eval(), shapes)
    assert same(network, found.network)
    assert ("each row" in found.text) == ("each row" in text)


def deform_conv2d(x: torch.Tensor, offset: torch.Tensor, **_: object) -> torch.Tensor:
    """A function of the name of ours, and of another text."""
    return x * offset.sigmoid()


class Other(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return deform_conv2d(x, x.amax((2, 3), keepdim=True))


def test_a_function_that_only_has_the_name_of_ours_is_read_as_it_is() -> None:
    assert "deform" not in from_torch(Other(), (3, 8, 8)).text


class Frames(nn.Module):
    """A network for each frame, with no module around what it does to one."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 4, 3, 1, 1), nn.Conv2d(4, 5, 3, 2, 1)
        self.last = nn.Linear(5, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        frames = x.view(-1, *x.shape[2:])
        y = self.two(self.one(frames).relu()).mean((2, 3))
        return self.last(y.view(len(x), -1, 5).mean(1))


def test_rows_that_a_program_puts_into_the_batch_are_each_row() -> None:
    text = from_torch(Frames(), (6, 3, 16, 16)).text
    assert "Rows each row" in text


class Same(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def test_a_module_that_does_nothing_is_a_file_that_does_nothing() -> None:
    assert "y: image" in from_torch(Same(), (3, 8, 8)).text


def test_what_nobody_reads_is_left_out_where_a_file_cannot_say_it() -> None:
    network = cnndsl.loads(
        """block Two: (x, w) -> (b, a) {
  a: x -> relu
  b: w -> relu
}
model M: image[1] -> y {
  l: relu each { image; image }
  p: Two { l[0]; l[1] }
  q: Two { p.b; p.a }
  y: q.a
}"""
    )
    found = from_torch(network.to_torch(), (1,))
    assert found.text.endswith("model M: image[1] -> y { y: relu * 3 }\n")
