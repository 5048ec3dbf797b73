"""The shipped networks over small maps: the same layers in less time."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

import cnndsl
from cnndsl.analysis.weights import random_weights
from cnndsl.files import zoo
from cnndsl.graph import Network
from cnndsl.ops.facts import Array

NETWORKS = sorted(path.stem for path in zoo().glob("*.arch"))
SMALL = {
    **dict.fromkeys(("alexnet", "alexnet_2012", "inception_v3", "xception"), 96),
    **dict.fromkeys(("yolov2", "yolov3", "yolov4"), 96),
    **dict.fromkeys(("fcn_resnet50", "deeplabv3_resnet50", "lraspp_mobilenetv3"), 65),
    "deeplabv3plus_resnet50": 65,
    "efficientdet_d0": 128,
    "fcos_resnet50_fpn": 128,
    "retinanet_resnet50_fpn": 128,
    "faster_rcnn_resnet50_fpn": 128,
    "mask_rcnn_resnet50_fpn": 128,
    "unet": 188,
    "unet3d": 16,
    "pix2pix": 256,
}
"""Sides of an input that give the same layers in less time; 64 for the others."""
OWN = {"conv_kinds", "effnet", "inception_claims", "lenet5", "nin_cifar10", "rpn"}
OWN |= {"ssd300_vgg16", "spatial_transformer"}
"""Networks that are small, or take no other size."""
FEW = {
    "unet3d": {"c": 4},
    "faster_rcnn_resnet50_fpn": {"proposals": 20},
    "mask_rcnn_resnet50_fpn": {"proposals": 20, "detections": 10},
}
MILD = dict.fromkeys(("rednet50", "dcnv2_resnet50", "yolov2", "yolov3", "yolov4"), 0.5)
MILD |= {"faster_rcnn_resnet50_fpn": 0.9, "mask_rcnn_resnet50_fpn": 0.92}
"""By what the random weights are multiplied in networks that exponentiate features or
multiply them with features. RedNet's involutions square them in each of 17 blocks, and
float32 overflows; an R-CNN's features move the regions where they are read, and the
interpreter itself is 1.7e-5 off in float32. Trained batch norm would hold them."""


@cache
def full(name: str) -> Network:
    """A shipped network at its own size."""
    return cnndsl.load(Path(zoo() / f"{name}.arch"))


def small(name: str) -> Network:
    """The same layers over smaller maps."""
    if name in OWN:
        return full(name)
    side = SMALL.get(name, 64)
    inputs: dict[str, tuple[int, ...]] = {}
    for key, tensor in full(name).inputs.items():
        channels, *size = map(int, tensor.shape)
        frames = [min(8, size[0])] if len(size) == 3 else []
        inputs[key] = (channels, *frames, *(side,) * min(len(size), 2))
    return cnndsl.load(Path(zoo() / f"{name}.arch"), inputs=inputs, **FEW.get(name, {}))


def weights_of(name: str, network: Network) -> dict[str, Array]:
    """Random weights, with statistics that normalisation must not ignore."""
    weights = random_weights(network, 0)
    rng = np.random.default_rng(0)
    for key, value in weights.items():
        if key.endswith(("running_mean", "bias")):
            weights[key] = rng.normal(0, 0.1, value.shape).astype(np.float32)
        elif key.endswith("running_var"):
            weights[key] = rng.uniform(0.5, 1.5, value.shape).astype(np.float32)
        elif name in MILD and value.ndim > 1:
            weights[key] = value * np.float32(MILD[name])
    return weights


def arrays_of(network: Network, batch: int = 1) -> dict[str, Array]:
    """Images of noise, in float32."""
    rng = np.random.default_rng(0)
    return {
        key: rng.normal(size=(batch, *map(int, tensor.shape))).astype(np.float32)
        for key, tensor in network.inputs.items()
    }
