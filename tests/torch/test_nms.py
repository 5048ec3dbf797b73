"""Suppression in a written file: torchvision's where it is, our own, and ONNX's word for it."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from torch import nn

from cnndsl.backends.torch.execute import module
from cnndsl.network import loads
from tests.torchvision_cpu import torchvision

CASES = {
    "one class": ("boxes[40, 4], scores[40]", "boxes; scores"),
    "classes": ("boxes[40, 4], scores[40, 5]", "boxes; scores"),
    "boxes of each class": ("boxes[40, 5, 4], scores[40, 5]", "boxes; scores"),
    "labels": ("boxes[40, 4], scores[40], labels[40]", "boxes; scores; labels"),
    "fewer than k": ("boxes[6, 4], scores[6]", "boxes; scores"),
}


def made(case: str, more: str = "") -> nn.Module:
    inputs, operands = CASES[case]
    return module(
        loads(f"""
model Suppressed: ({inputs}) -> (b, s, l, v, w) {{
  kept: nms(20, iou=0.4, score=0.1{more}) {{ {operands} }}
  few: nms(3, iou=0.2) {{ kept.boxes; kept.scores; kept.labels }}
  b: kept.boxes
  s: kept.scores
  l: kept.labels
  v: kept.valid
  w: few.boxes
}}""")
    ).eval()


def given(case: str, seed: int, batch: int = 2) -> tuple[torch.Tensor, ...]:
    """Boxes that overlap, and scores of which many are equal."""
    torch.manual_seed(seed)
    inputs = CASES[case][0]
    rows = 6 if "[6" in inputs else 40
    classes = (5,) if "5" in inputs else ()
    corner = torch.rand(batch, rows, *(classes if "[40, 5, 4]" in inputs else ()), 2) * 50
    boxes = torch.cat((corner, corner + torch.rand_like(corner) * 30), -1)
    found = (boxes, (torch.rand(batch, rows, *classes) * 20).round() / 20)
    return (*found, torch.randint(0, 4, (batch, rows))) if "labels" in inputs else found


@pytest.mark.parametrize("case", CASES)
def test_torchvisions_suppression_keeps_the_same_rows(
    case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert torchvision  # its operator is there
    suppressed = made(case)
    space: dict[str, Any] = suppressed.forward.__func__.__globals__  # type: ignore[attr-defined]
    assert space["torchvision_nms"](torch.device("cpu")) is not None
    for seed in range(5):
        theirs = suppressed(*given(case, seed))
        with monkeypatch.context() as patch:
            patch.setitem(space, "torchvision_nms", lambda device: None)
            ours = suppressed(*given(case, seed))
        assert all(map(torch.equal, ours, theirs))
        assert theirs[3].sum() > 0


@pytest.mark.parametrize("case", ["classes", pytest.param("labels", marks=pytest.mark.slow)])
def test_suppression_is_onnx_own_when_exported(case: str) -> None:
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    suppressed = made(case, ", pre=30, background=2")
    free = tuple({0: torch.export.Dim.AUTO} for _ in given(case, 0))
    exported = torch.onnx.export(
        suppressed, given(case, 0), dynamic_shapes=free, dynamo=True, verbose=False
    )
    assert exported is not None
    file = io.BytesIO()
    exported.save(file)
    session = runtime.InferenceSession(file.getvalue())
    names = [value.name for value in session.get_inputs()]
    for seed in range(3):
        tensors = given(case, seed, batch=3)
        arrays = dict(zip(names, (t.numpy() for t in tensors), strict=True))
        for found, wanted in zip(session.run(None, arrays), suppressed(*tensors), strict=True):
            torch.testing.assert_close(torch.from_numpy(found), wanted)
