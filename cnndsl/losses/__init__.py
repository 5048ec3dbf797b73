"""Losses of the zoo's detectors, on PyTorch: `pip install cnndsl[torch]`.

Each takes what a network of the zoo puts out, the batch first, and the objects of the
batch as a list with one tensor an image, because their counts differ: boxes (M, 4), as
x1, y1, x2, y2 in pixels, and integer labels (M,). An image without objects has (0, 4).

Matching, sampling and mining are not differentiated; they loop over the images, and where
it says so over the objects, and nothing else does.
"""

from cnndsl.losses.boxes import BACKGROUND, IGNORED, encode, iou, matches
from cnndsl.losses.retinanet import RetinaNetLoss, focal_loss, retinanet_loss, smooth_l1
from cnndsl.losses.rpn import RPNLoss, rpn_loss, sampled
from cnndsl.losses.ssd import MultiboxLoss, hardest, multibox_loss, multibox_matches
from cnndsl.losses.yolo import (
    YOLOV3_PRIORS,
    YOLOv1Loss,
    YOLOv3Loss,
    yolov1_loss,
    yolov3_loss,
)

__all__ = [
    "BACKGROUND",
    "IGNORED",
    "YOLOV3_PRIORS",
    "MultiboxLoss",
    "RPNLoss",
    "RetinaNetLoss",
    "YOLOv1Loss",
    "YOLOv3Loss",
    "encode",
    "focal_loss",
    "hardest",
    "iou",
    "matches",
    "multibox_loss",
    "multibox_matches",
    "retinanet_loss",
    "rpn_loss",
    "sampled",
    "smooth_l1",
    "yolov1_loss",
    "yolov3_loss",
]
