"""What `compile` writes, imported again: the same network, in about as many lines."""

from __future__ import annotations

import pytest

from tests.importing.roundtrip import ZOO, back

SOME = ["lenet5", "resnet18", "mobilenetv2", "unet", "densenet121", "rednet50"]
LARGE = [
    "dcnv2_resnet50",
    "yolov3",
    "efficientdet_d0",
    "ssd300_vgg16",
    "mask_rcnn_resnet50_fpn",
    "dpn68",
    "inception_claims",
    "srgan",
    "stacked_hourglass",
    "unetpp",
    "wavenet",
    "yolov1",
]


@pytest.mark.parametrize(
    "name", [*SOME, *(pytest.param(name, marks=pytest.mark.slow) for name in LARGE)]
)
def test_what_we_write_is_read_back_as_the_same_network(name: str) -> None:
    found = back(ZOO / f"{name}.arch")
    assert found.said == "the same"
    assert found.theirs <= 1.5 * found.ours
