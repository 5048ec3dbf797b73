"""Fresh networks: what they compute is finite, and detectors' first losses are as published."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import cnndsl
from cnndsl.losses import multibox_loss, retinanet_loss, rpn_loss
from tests.small_zoo import NETWORKS, arrays_of, small
from tests.torchvision_cpu import torchvision

detection = torchvision.models.detection
torchvision.extension._has_ops = lambda: True
BOXES = torch.tensor([[20.0, 30.0, 120.0, 200.0], [60.0, 40.0, 250.0, 220.0]])
LABELS = torch.tensor([1, 3])


def fresh(name: str, model: str, size: int, **parameters: Any) -> torch.nn.Module:
    torch.manual_seed(0)
    net = cnndsl.load(name, model, inputs={"image": (3, size, size)}, **parameters)
    return net.to_torch().train()


def theirs(build: Any, size: int, **arguments: Any) -> dict[str, float]:
    """The first losses of torchvision's, on the same noise without its own scaling."""
    torch.manual_seed(0)
    net = build(weights=None, weights_backbone=None, **arguments).train()
    net.transform.min_size, net.transform.max_size = (size,), size
    net.transform.image_mean, net.transform.image_std = [0.0] * 3, [1.0] * 3
    targets = [{"boxes": BOXES, "labels": LABELS}] * 2
    return {
        name: float(loss.detach()) for name, loss in net(list(images(size)), targets).items()
    }


def images(size: int) -> torch.Tensor:
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))


def near(ours: torch.Tensor, wanted: float) -> bool:
    return wanted / 2 < float(ours) < wanted * 2


def test_retinanets_first_loss_is_torchvisions() -> None:
    out = fresh("retinanet_resnet50_fpn", "RetinaNet", 256, norm="bn")(images(256))
    loss = retinanet_loss(out.cls, out.reg, out.anchors[0], [BOXES] * 2, [LABELS] * 2, beta=0)
    wanted = theirs(detection.retinanet_resnet50_fpn, 256)
    assert near(loss.classes, wanted["classification"])
    assert near(loss.location, wanted["bbox_regression"])
    assert float(loss.classes) < 2.5  # 1.14 in §4.1 of the paper's terms


def test_ssds_first_loss_is_torchvisions() -> None:
    out = fresh("ssd300_vgg16", "SSD300", 300, scales="torchvision", classes=91)(images(300))
    loss = multibox_loss(out.cls, out.reg, out.anchors[0], [BOXES] * 2, [LABELS] * 2)
    wanted = theirs(detection.ssd300_vgg16, 300)
    assert near(loss.confidence, wanted["classification"])
    assert near(loss.location, wanted["bbox_regression"])


def test_the_rpns_first_loss_is_torchvisions() -> None:
    out = fresh("rpn", "RPNResNet50", 256, norm="bn")(images(256))
    loss = rpn_loss(out.objectness, out.deltas, out.anchors[0], [BOXES] * 2)
    wanted = theirs(detection.fasterrcnn_resnet50_fpn, 256)
    assert near(loss.objectness, wanted["loss_objectness"])
    assert near(loss.location, wanted["loss_rpn_box_reg"])
    assert int((out.valid > 0).sum()) > 100


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_a_fresh_network_is_finite_in_training_and_evaluation(name: str) -> None:
    network = small(name)
    torch.manual_seed(0)
    made = network.to_torch()
    inputs = [torch.from_numpy(x) for x in arrays_of(network, batch=2).values()]
    for training in (False, True):
        with torch.no_grad():
            found = made.train(training)(*inputs)
        for y in [found] if isinstance(found, torch.Tensor) else found:
            assert y is None or torch.isfinite(y).all()  # an output that is off
