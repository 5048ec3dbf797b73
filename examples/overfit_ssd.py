"""A small SSD learns eight images by heart: `python examples/overfit_ssd.py`.

The network is `small_ssd.arch`. The images are coloured rectangles, the colour the class,
made with a seed. Prints the losses and the mean average precision of the boxes found.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

import cnndsl
from cnndsl.losses import iou, multibox_loss
from cnndsl.metrics import (
    COCOPrecision,
    Objects,
    VOCPrecision,
    coco_precision,
    unpadded,
    voc_precision,
)

SIZE = 96
COLOURS = torch.eye(3)
ARCH = Path(__file__).with_name("small_ssd.arch")


def image(generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Grey noise and one to three rectangles.  → (3, H, W), (M, 4) pixels, (M,) from 1."""

    def draw(least: int, most: int) -> int:
        return int(torch.randint(least, most + 1, (), generator=generator))

    picture = 0.4 + 0.2 * torch.rand(3, SIZE, SIZE, generator=generator)
    boxes, labels = torch.zeros(0, 4), []
    for _ in range(draw(1, 3)):
        width, height = draw(12, 48), draw(12, 48)
        x, y = draw(0, SIZE - width), draw(0, SIZE - height)
        box, colour = torch.tensor([[x, y, x + width, y + height]]), draw(0, 2)
        # What covers another could hide it.
        if (iou(boxes, box) > 0).any():
            continue
        picture[:, y : y + height, x : x + width] = COLOURS[colour, :, None, None]
        boxes, labels = torch.cat([boxes, box]), [*labels, colour + 1]
    return picture, boxes, torch.tensor(labels)


def train(net: nn.Module, images: Tensor, boxes: list[Tensor], labels: list[Tensor]) -> None:
    """Adam with a rate that falls to 0 along a line, all images at once."""
    steps = 100
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1, 0, steps)
    for step in range(1, steps + 1):
        cls, reg, anchors = net(images)
        loss = multibox_loss(cls, reg, anchors, boxes, labels)
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
        schedule.step()
        if step % 25 == 0:
            print(f"{step:4}  location {loss.location:.3f}  confidence {loss.confidence:.3f}")


def main(seed: int = 0) -> tuple[VOCPrecision, COCOPrecision]:
    """Learn, detect and judge."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    pictures, boxes, labels = map(list, zip(*(image(generator) for _ in range(8)), strict=True))
    images = torch.stack(pictures)

    net = cnndsl.load(ARCH, "SmallSSD").to_torch()
    train(net, images, boxes, labels)

    # The detector is the same network and its selection, its weights under `net`.
    detector = cnndsl.load(ARCH, "SmallSSDDetector").to_torch()
    detector.load_state_dict({f"net.{name}": value for name, value in net.state_dict().items()})
    with torch.no_grad():
        detections = unpadded(*detector.eval()(images))
    objects = [Objects(b, n) for b, n in zip(boxes, labels, strict=True)]
    voc, coco = voc_precision(detections, objects), coco_precision(detections, objects)
    print(f"mean average precision: VOC {voc.mean:.3f}, COCO {coco.ap:.3f}")
    return voc, coco


if __name__ == "__main__":
    # The layers are small: threads would only wait for each other.
    torch.set_num_threads(1)
    main()
