"""The detectors against torchvision's: raw outputs, anchors, and the boxes of one image."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import cnndsl
from cnndsl.analysis.weights import random_weights
from cnndsl.files import zoo
from tests.torchvision_cpu import torchvision

models = torchvision.models.detection
# The operators are there (`torchvision_cpu`), though not from torchvision's extension.
torchvision.extension._has_ops = lambda: True

CLASSES = 7
SETTINGS: dict[str, Any] = {"weights": None, "weights_backbone": None, "num_classes": CLASSES}
LEVELS = {f"backbone.fpn.layer_blocks.{n}.0": f"fpn.p{n + 3}" for n in range(3)}
LEVELS |= {f"backbone.fpn.extra_blocks.{p}": f"fpn.{p}" for p in ("p6", "p7")}


@dataclass(frozen=True)
class Case:
    """A file, torchvision's builder, an image's size, and what is set on either side.

    `last` names torchvision's predictors, with factors on their weights that bring scores
    to where they differ, and boxes to where they overlap but in part.
    """

    file: str
    detector: str
    build: Callable[..., nn.Module]
    size: int
    ours: dict[str, object]
    theirs: dict[str, Any] = field(default_factory=dict)
    last: dict[str, float] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    seed: int = 0


def as_observed(module: nn.Module) -> None:
    """Let a normalisation take its statistics from the batch that it sees next."""
    if isinstance(module, nn.BatchNorm2d):
        module.train()
        module.momentum = 1.0


def resized(size: int) -> dict[str, Any]:
    return {"min_size": size, "max_size": size}


CASES = {
    "retinanet": Case(
        "retinanet_resnet50_fpn",
        "RetinaNetDetector",
        models.retinanet_resnet50_fpn,
        128,
        {"norm": "bn", "detections": 20},
        {**resized(128), "detections_per_img": 20},
        {"cls_logits": 6.0},
        LEVELS,
    ),
    "fcos": Case(
        "fcos_resnet50_fpn",
        "FCOSDetector",
        models.fcos_resnet50_fpn,
        128,
        {"norm": "bn", "detections": 20},
        {**resized(128), "detections_per_img": 20},
        {"cls_logits": 6.0},
        LEVELS,
    ),
    "ssd300": Case(
        "ssd300_vgg16",
        "SSD300Detector",
        models.ssd300_vgg16,
        300,
        {"scales": "torchvision", "detections": 20},
        {"detections_per_img": 20},
        {"classification_head": 0.3, "regression_head": 0.2},
    ),
    "ssdlite": Case(
        "ssdlite320_mobilenetv3",
        "SSDLite320Detector",
        models.ssdlite320_mobilenet_v3_large,
        320,
        {"detections": 20},
        {"detections_per_img": 20},
        {"classification_head": 3.0, "regression_head": 2.0},
    ),
    "faster_rcnn": Case(
        "faster_rcnn_resnet50_fpn",
        "FasterRCNNDetector",
        models.fasterrcnn_resnet50_fpn,
        128,
        {"norm": "bn", "proposals": 50, "detections": 10},
        {**resized(128), "rpn_post_nms_top_n_test": 50, "box_detections_per_img": 10},
        {"rpn.head.cls_logits": 0.1, "rpn.head.bbox_pred": 0.1, "cls_score": 0.2},
        seed=2,
    ),
    "mask_rcnn": Case(
        "mask_rcnn_resnet50_fpn",
        "MaskRCNNDetector",
        models.maskrcnn_resnet50_fpn,
        128,
        {"norm": "bn", "proposals": 50, "detections": 5},
        {**resized(128), "rpn_post_nms_top_n_test": 50, "box_detections_per_img": 5},
        {
            "rpn.head.cls_logits": 0.1,
            "rpn.head.bbox_pred": 0.1,
            "cls_score": 0.2,
            "mask_fcn_logits": 0.1,
        },
    ),
}


class Pair:
    """Both sides with the same weights, and one image."""

    def __init__(self, case: Case) -> None:
        self.case = case
        torch.manual_seed(case.seed)
        self.theirs = case.build(**SETTINGS, **case.theirs).eval()
        generator = torch.Generator().manual_seed(1)
        for path, module in self.theirs.named_modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                factor = next((f for name, f in case.last.items() if name in path), 1.0)
                module.weight.data *= factor
                if factor != 1.0 and module.bias is not None:
                    module.bias.data.zero_()
        self.theirs.backbone.apply(as_observed)
        with torch.no_grad():
            self.theirs.backbone(torch.randn(4, 3, case.size, case.size, generator=generator))
        self.theirs.eval()
        self.image = torch.rand(1, 3, case.size, case.size, generator=generator)
        self.prepared, _ = self.theirs.transform(list(self.image))
        assert self.prepared.tensors.shape == self.image.shape
        with torch.no_grad():
            self.named = self.theirs.backbone(self.prepared.tensors)
        self.features = list(self.named.values())
        self.net = self.load(None)
        self.weights = self.net.load_weights(self.theirs.state_dict(), map=case.names)

    def load(self, model: str | None) -> cnndsl.Network:
        settings = dict(self.case.ours)
        if model is None and "mask" not in self.case.file:
            del settings["detections"]
        path = zoo() / f"{self.case.file}.arch"
        return cnndsl.load(
            path,
            model,
            inputs={"image": (3, *self.image.shape[2:])},
            classes=CLASSES,
            **settings,
        )

    def detector(self) -> tuple[cnndsl.Network, dict[str, np.ndarray]]:
        """The second model of the file, which calls the first as `net`."""
        prefix = "net."
        return self.load(self.case.detector), {prefix + k: v for k, v in self.weights.items()}

    def detected(self) -> dict[str, np.ndarray]:
        """What torchvision finds; masks before they are pasted into the image."""
        with torch.no_grad():
            if hasattr(self.theirs, "roi_heads"):
                sizes = self.prepared.image_sizes
                proposals, _ = self.theirs.rpn(self.prepared, self.named)
                (found,), _ = self.theirs.roi_heads(self.named, proposals, sizes)
            else:
                found = self.theirs(list(self.image))[0]
        return {name: value.numpy() for name, value in found.items()}


@functools.cache
def pair(name: str) -> Pair:
    return Pair(CASES[name])


def close(ours: np.ndarray, theirs: np.ndarray, tolerance: float = 1e-4) -> None:
    """The largest difference, relative to the largest value."""
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= tolerance * np.abs(theirs).max()


@pytest.mark.parametrize("name", ["retinanet", "fcos"])
def test_multiply_adds_equal_torchvisions(name: str) -> None:
    """Of convolutions, on tensors that hold nothing."""
    case = CASES[name]
    network = cnndsl.load(case.file)
    with torch.device("meta"), torch.inference_mode():
        model = case.build(weights=None, weights_backbone=None).eval()
        with FlopCounterMode(display=False) as counter:
            image = torch.empty(1, *map(int, network.inputs["image"].shape))
            model.head(list(model.backbone(image).values()))
    assert counter.get_total_flops() == 2 * network.macs


@pytest.mark.slow
@pytest.mark.parametrize("name", ["retinanet", "fcos", "ssd300", "ssdlite"])
def test_one_stage_outputs_and_anchors_equal_torchvisions(name: str) -> None:
    sides = pair(name)
    ours = sides.net.to_numpy(sides.weights, optimize=False)(sides.prepared.tensors.numpy())
    with torch.no_grad():
        theirs = sides.theirs.head(sides.features)
        anchors = sides.theirs.anchor_generator(sides.prepared, sides.features)[0]
    close(ours["cls"], theirs["cls_logits"].numpy())
    close(ours["reg"], theirs["bbox_regression"].numpy())
    if "bbox_ctrness" in theirs:
        close(ours["centre"], theirs["bbox_ctrness"].numpy())
    np.testing.assert_array_equal(ours["anchors"][0], anchors)
    with torch.no_grad():
        made = sides.net.to_torch(sides.weights).eval()(sides.prepared.tensors)
    close(made.cls.numpy(), theirs["cls_logits"].numpy())
    close(made.reg.numpy(), theirs["bbox_regression"].numpy())
    assert torch.equal(made.anchors[0], anchors)


def test_ssds_default_boxes_are_the_papers_formula() -> None:
    net = cnndsl.load(zoo() / "ssd300_vgg16.arch")
    wanted: list[list[float]] = []
    scales = [0.1, *(0.2 + (0.9 - 0.2) / (5 - 1) * k for k in range(6))]
    for k, cells in enumerate((38, 19, 10, 5, 3, 1)):
        s, ratios = scales[k], (2, 1 / 2) if k in (0, 4, 5) else (2, 1 / 2, 3, 1 / 3)
        sides = [(s, s), (math.sqrt(s * scales[k + 1]),) * 2]
        sides += [(s * math.sqrt(a), s / math.sqrt(a)) for a in ratios]
        for i, j, (w, h) in itertools.product(range(cells), range(cells), sides):
            x, y = (j + 0.5) / cells, (i + 0.5) / cells
            wanted.append([x - w / 2, y - h / 2, x + w / 2, y + h / 2])
    grids = [node for node in net if node.op.name == "anchor_grid"]
    maps = [np.zeros((1, *net.input_shapes(node.name)[0])) for node in grids]
    found = [node.op.run(x)[0] for node, x in zip(grids, maps, strict=True)]
    assert len(wanted) == 8732
    np.testing.assert_allclose(np.concatenate(found), 300 * np.array(wanted), atol=1e-4)


@pytest.mark.slow
def test_two_stage_outputs_and_anchors_equal_torchvisions() -> None:
    sides = pair("faster_rcnn")
    ours = sides.net.to_numpy(sides.weights, optimize=False)(sides.prepared.tensors.numpy())
    with torch.no_grad():
        made = sides.net.to_torch(sides.weights).eval()(sides.prepared.tensors)
        rpn = sides.theirs.rpn
        maps = rpn.head(sides.features)
        objectness, deltas = torchvision.models.detection.rpn.concat_box_prediction_layers(
            *maps
        )
        anchors = rpn.anchor_generator(sides.prepared, sides.features)[0]
        proposals, _ = rpn(sides.prepared, sides.named)
        heads = sides.theirs.roi_heads
        rois = heads.box_roi_pool(sides.named, proposals, sides.prepared.image_sizes)
        scores, boxes = heads.box_predictor(heads.box_head(rois))
    count = len(proposals[0])
    for found in (ours, {port: value.numpy() for port, value in made._asdict().items()}):
        close(found["objectness"][0], objectness[:, 0].numpy())
        close(found["rpn_deltas"][0], deltas.numpy())
        np.testing.assert_array_equal(found["anchors"][0], anchors)
        assert found["valid"][0].sum() == count
        close(found["rois"][0, :count], proposals[0].numpy())
        close(found["cls"][0, :count], scores.numpy())
        close(found["deltas"][0, :count], boxes.numpy())


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["numpy", "torch"])
@pytest.mark.parametrize("name", CASES)
def test_the_boxes_of_one_image_equal_torchvisions(name: str, backend: str) -> None:
    sides = pair(name)
    net, weights = sides.detector()
    image = sides.prepared.tensors
    if backend == "numpy":
        ours = net.to_numpy(weights, optimize=False)(image.numpy())
    else:
        with torch.no_grad():
            found = net.to_torch(weights).eval()(image)
        ours = {port: value.numpy() for port, value in found._asdict().items()}
    theirs = sides.detected()
    count = len(theirs["scores"])
    assert count > 3
    assert ours["valid"][0].sum() == count
    assert not ours["boxes"][0, count:].any()
    np.testing.assert_array_equal(ours["labels"][0, :count], theirs["labels"])
    np.testing.assert_allclose(ours["scores"][0, :count], theirs["scores"], atol=1e-4)
    # The seed leaves a margin: what differs is far from changing the order.
    apart = np.abs(ours["scores"][0, :count] - theirs["scores"]).max()
    assert -np.diff(theirs["scores"]).max() > 2 * apart
    np.testing.assert_allclose(ours["boxes"][0, :count], theirs["boxes"], atol=1e-2)
    if "masks" in theirs:
        np.testing.assert_allclose(ours["masks"][0, :count], theirs["masks"][:, 0], atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ssd300", "mask_rcnn"])
def test_detectors_compile_to_one_graph(name: str) -> None:
    sides = pair(name)
    net, weights = sides.detector()
    module = net.to_torch(weights).eval()
    torch._dynamo.reset()
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    images = torch.cat([sides.prepared.tensors, sides.prepared.tensors.flip(3)])
    with torch.no_grad():
        for ours, theirs in zip(compiled(images), module(images), strict=True):
            assert torch.equal(ours, theirs)


@pytest.mark.slow
@pytest.mark.parametrize("file", ["faster_rcnn", "mask_rcnn"])
def test_gradients_reach_every_parameter_of_a_two_stage_trainer(file: str) -> None:
    model = "FasterRCNNTrainer" if file == "faster_rcnn" else "MaskRCNNTrainer"
    regions = {"proposals": (6, 4)} | ({"positives": (3, 4)} if file == "mask_rcnn" else {})
    inputs = {"image": (3, 64, 96), **regions}
    net = cnndsl.load(
        zoo() / f"{file}_resnet50_fpn.arch", model, inputs=inputs, classes=5, norm="bn"
    )
    module = net.to_torch()
    boxes = [torch.rand(2, *shape) * 32 for shape in regions.values()]
    boxes = [torch.cat([b[..., :2], b[..., :2] + b[..., 2:] + 4], -1) for b in boxes]
    outputs = module(torch.rand(2, *inputs["image"]), *boxes)
    total = sum(out.square().mean() for out in outputs if out.requires_grad)
    total.backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_no_proposal_and_no_detection_are_empty_results(backend: str) -> None:
    net = cnndsl.load(
        zoo() / "mask_rcnn_resnet50_fpn.arch",
        "MaskRCNNDetector",
        inputs={"image": (3, 64, 64)},
        classes=5,
        norm="bn",
        proposals=0,
        detections=0,
    )
    image = np.zeros((2, 3, 64, 64), np.float32)
    if backend == "numpy":
        found = net.to_numpy()(image)
    else:
        with torch.no_grad():
            found = net.to_torch().eval()(torch.from_numpy(image))._asdict()
    assert tuple(found["boxes"].shape) == (2, 0, 4)
    assert tuple(found["masks"].shape) == (2, 0, 28, 28)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "size", "settings"),
    [
        ("retinanet_resnet50_fpn", 16, {"norm": "bn"}),
        ("ssdlite320_mobilenetv3", 16, {}),
        ("faster_rcnn_resnet50_fpn", 8, {"norm": "bn", "proposals": 6}),
    ],
)
def test_an_image_smaller_than_the_stride_is_no_trouble(
    file: str, size: int, settings: dict[str, Any]
) -> None:
    model = next(case.detector for case in CASES.values() if case.file == file)
    net = cnndsl.load(
        zoo() / f"{file}.arch",
        model,
        inputs={"image": (3, size, size)},
        classes=3,
        detections=4,
        **settings,
    )
    weights = random_weights(net, 0)
    image = np.zeros((1, 3, size, size), np.float32)
    found = net.to_numpy(weights)(image)
    with torch.no_grad():
        made = net.to_torch(weights).eval()(torch.from_numpy(image))._asdict()
    for port, array in found.items():
        assert np.isfinite(array).all()
        assert array.shape == tuple(made[port].shape)


@pytest.mark.parametrize("file", ["ssd300_vgg16", "yolov1", "yolov3", "yolov4"])
def test_an_image_too_small_for_a_network_is_an_error_with_a_place(file: str) -> None:
    with pytest.raises(cnndsl.ArchError, match=rf"(?s)error\[E401\].*{file}\.arch:\d"):
        cnndsl.load(zoo() / f"{file}.arch", inputs={"image": (3, 8, 8)})
