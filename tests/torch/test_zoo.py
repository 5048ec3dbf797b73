"""NumPy equals PyTorch on every shipped model that nothing else is compared with.

The others are compared with torchvision and timm (`test_foreign.py`, `test_detectors.py`),
or with what one writes in PyTorch (`test_references.py`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cnndsl.files import zoo
from cnndsl.language import read
from cnndsl.network import load
from tests.both import assert_equal, inputs_of, weights_of
from tests.foreign import NEITHER
from tests.references import REFERENCES

SIZES = {
    "alexnet_2012": (3, 127, 127),
    "attention_unet": (3, 32, 32),
    "fcn8s": (3, 8, 8),
    "googlenet": (3, 80, 80),
    "hypercolumn_vgg16": (3, 32, 32),
    "nin": (3, 127, 127),
    "rednet50": (3, 32, 32),
    "resnet50": (3, 32, 32),
    "retinanet_resnet50_fpn": (3, 64, 64),
    "ShuffleNetV1": (3, 64, 64),
    "unet": (1, 188, 188),
    "unet_bn": (3, 32, 32),
    "unetpp": (3, 32, 32),
    "yolov1": (3, 64, 64),
    "yolov2": (3, 64, 64),
    "yolov3": (3, 64, 64),
    "yolov4": (3, 64, 64),
    "yolov5s": (3, 64, 64),
    "yolov8n": (3, 64, 64),
    "efficientdet_d0": (3, 128, 128),
    "c2d_resnet50": (3, 8, 32, 32),
    "i3d_resnet50": (3, 8, 32, 32),
    "nonlocal_i3d_resnet50": (3, 8, 64, 64),
    "nonlocal_resnet50": (3, 64, 64),
    "dcn_resnet50": (3, 32, 32),
    "dcnv2_resnet50": (3, 32, 32),
    "RPNResNet50": (3, 64, 64),
}
"""Sizes that give the same layers in less time."""
MILD = {"rednet50", "dcnv2_resnet50", "yolov3", "yolov4"}
"""Networks that exponentiate or multiply features: random weights are halved."""
VARIANTS: list[tuple[str, str, dict[str, Any]]] = [
    ("googlenet", "GoogLeNet", {"aux": True}),
    ("wide_resnet50_2", "WRN", {"n": 2, "k": 1}),
    ("retinanet_resnet50_fpn", "RetinaNet", {"p6_from": "c5"}),
    *(
        ("nonlocal_resnet50", "NonLocalResNet50", {"form": form})
        for form in ("gaussian", "dot", "concatenation")
    ),
]
FAST = {"conv_kinds", "inception_claims", "lenet5", "effnet", "shufflenetv1", "unet"}


def cases() -> list[Any]:
    found = [
        (name, model, {})
        for name in sorted(NEITHER)
        for model in read(zoo() / f"{name}.arch").models
        if not {name, f"{name} {model}"} & REFERENCES.keys()
    ]
    return [
        pytest.param(
            *case,
            marks=() if case[0] in FAST else pytest.mark.slow,
            id="-".join([case[0], case[1], *map(str, case[2].values())]),
        )
        for case in (*found, *VARIANTS)
    ]


@pytest.mark.parametrize(("name", "model", "settings"), cases())
def test_both_backends_agree(name: str, model: str, settings: dict[str, Any]) -> None:
    size = SIZES.get(model, SIZES.get(name) if name != "rpn" else None)
    image = "video" if size and len(size) == 4 else "image"
    if model == "RPNResNet50":
        settings = {"proposals": 20}
    network = load(name, model, settings, inputs={image: size} if size else None)
    weights = weights_of(network)
    if name in MILD:
        weights = {n: w * np.float32(0.5) if w.ndim > 1 else w for n, w in weights.items()}
    # SegNet's places jump too: PyTorch in float32 is 5 % off what it is in float64.
    chosen = ("nms", "topk", "maxpool_indices")
    selects = any(node.op.name in chosen for node in network)
    assert_equal(network, weights, inputs_of(network, batch=1), single=not selects)
