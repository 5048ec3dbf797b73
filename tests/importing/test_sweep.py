"""Networks of timm and torchvision as files, each proved, in few lines."""

from __future__ import annotations

import pytest

from tests.importing.sweep import imported

LINES = {
    "timm:resnet50": 20,
    "torchvision:resnet50": 20,
    "torchvision:mobilenet_v2": 30,
    "torchvision:densenet121": 45,
    "torchvision:inception_v3": 70,
    "torchvision:shufflenet_v2_x1_0": 35,
    "torchvision:deeplabv3_resnet50": 45,
    "torchvision:vit_b_32": 45,
    "timm:efficientnet_b0": 40,
    "timm:convnext_tiny": 40,
    "timm:skresnet50": 40,
    "timm:dm_nfnet_f0": 75,
    "timm:coatnet_nano_rw_224": 80,
    "torchvision:swin_t": 85,
    "torchvision:swin_v2_t": 155,
    "timm:efficientformer_l1": 70,
}
REFUSED = {
    "timm:edgenext_xx_small": "`conv2d` with 131072 constant numbers",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LINES)
def test_a_known_network_is_imported_in_few_lines(name: str) -> None:
    row = imported(name)
    assert 0 < row.lines <= LINES[name], row


@pytest.mark.slow
@pytest.mark.parametrize("name", REFUSED)
def test_a_network_that_cannot_be_said_is_refused_with_the_reason(name: str) -> None:
    row = imported(name)
    assert not row.lines
    assert REFUSED[name] in row.said
