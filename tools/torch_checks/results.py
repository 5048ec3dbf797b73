"""What was found, kept by file, and the page that shows it."""

from __future__ import annotations

import hashlib
import json
import platform
from dataclasses import dataclass, field
from pathlib import Path

from tools.torch_checks.checks import CHECKS

COMPILED = {"alexnet", "googlenet", "mobilenetv2", "resnet18", "shufflenetv1", "unet"}
"""Those that `inductor` compiles: it takes a minute or more for each."""
ANCHORS = """`torch.jit.script` has no type for a list of pairs that are whole or not, as
anchors are; PyTorch has retired it for `torch.export`, which takes them."""
EITHER = """The last stage returns no tensor for the next, by a flag: `torch.jit.script` takes
what comes of a stage for a tensor or none wherever it is read."""
RANKED = """What it gives is detections, and no gradient goes from these to the scores that only
rank proposals (`rpn.head.objectness`): DDP needs `find_unused_parameters=True`."""
LAST = """The last layer's residual convolution feeds no output: DDP needs
`find_unused_parameters=True`."""
REORGANISED = """Darknet's reorganisation mixes rows with channels. PyTorch's exporter takes
such a reshape only where axis divides axis: of the sizes that the network takes, every other
one, and the exported program refuses the rest."""
ADAPTIVE = """PyTorch's exporter writes adaptive pooling as the window of the size that it
traced; at others the result is wrong."""
EXCEPTIONS: dict[str, dict[str, str]] = {
    "ddp": {"mask_rcnn_resnet50_fpn": RANKED, "wavenet": LAST},
    "script": {"stacked_hourglass": EITHER}
    | dict.fromkeys(
        (
            *("efficientdet_d0", "fcos_resnet50_fpn", "yolov5s", "yolov8n"),
            *("faster_rcnn_resnet50_fpn", "mask_rcnn_resnet50_fpn", "retinanet_resnet50_fpn"),
            *("ssd300_vgg16", "ssdlite320_mobilenetv3", "yolov1", "yolov2", "yolov3", "yolov4"),
        ),
        ANCHORS,
    ),
    "export": {"yolov2": REORGANISED},
    "onnx": {"pspnet_resnet50": ADAPTIVE, "yolov2": REORGANISED},
}
"""The checks that do not apply to some networks, and why."""


@dataclass
class Results:
    """What was found, by file: kept as it is found."""

    path: Path
    found: dict[str, dict[str, str]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Results:
        """Those of an earlier run."""
        if path.exists():
            return cls(path, json.loads(path.read_text(encoding="utf-8")))
        return cls(path)

    def of(self, name: str, text: str) -> dict[str, str]:
        """Of a file, as it is written now."""
        key = hashlib.sha256(text.encode()).hexdigest()[:16]
        if self.found.get(name, {}).get("file") != key:
            self.found[name] = {"file": key}
        return self.found[name]

    def write(self) -> None:
        """Keep all."""
        self.path.parent.mkdir(exist_ok=True)
        self.path.write_text(json.dumps(self.found, indent=1, sort_keys=True), encoding="utf-8")


def wanted(name: str) -> list[str]:
    """The checks of a network."""
    return [
        which
        for which in CHECKS
        if (which != "inductor" or name in COMPILED) and name not in EXCEPTIONS.get(which, {})
    ]


def page(found: dict[str, dict[str, str]]) -> str:
    """The table, with what it says."""
    import torch

    heads = [(function.__doc__ or "").rstrip(".") for function in CHECKS.values()]
    rows = []
    reasons: dict[str, int] = {}
    for name, said_ in sorted(found.items()):
        cells = []
        for which in CHECKS:
            reason = said_.get(which)
            if name in EXCEPTIONS.get(which, {}):
                reason = " ".join(EXCEPTIONS[which][name].split())
            if reason:
                number = reasons.setdefault(reason, len(reasons) + 1)
                cells.append(f"[{number}](#not-so)")
            else:
                cells.append("✓" if reason == "" else "")
        rows.append(f"| `{name}` | {' | '.join(cells)} |")
    done = sum(1 for said_ in found.values() for which in said_ if which in CHECKS)
    notes = [f"{number}. {reason}" for reason, number in reasons.items()]
    return "\n".join(
        [
            "# What PyTorch's tools make of written files",
            "",
            "Each file that `cnndsl compile` writes for the networks here, with random weights",
            "and norm statistics, over small maps, two images. ✓: it works, and the outputs",
            "are those of the module itself, to 1e-4 of the largest. An empty cell: not run.",
            "`python -m tools.torch_checks` writes this page.",
            "",
            f"PyTorch {torch.__version__}, Python {platform.python_version()}, CPU:"
            f" {done} checks of {len(found)} networks.",
            "",
            "On a GPU nothing was measured: neither these checks nor the speed, eager or",
            "compiled, against torchvision's.",
            "",
            "- **FX** also at another batch and size than the first, of one trace.",
            "- **`torch.export`**, **ONNX**: free in the batch, and in height and width where",
            "  the network takes more than one size; compared at another batch and size.",
            "- **DDP**: two gloo processes, two steps; the gradients are equal.",
            "- **autocast**: runs, finite, of the same shapes.",
            "- **vmap**: two sets of weights in one call, as for an ensemble.",
            "- **meta**: built and run without memory, then loaded.",
            "",
            f"| | {' | '.join(heads)} |",
            f"|---|{':-:|' * len(heads)}",
            *rows,
            "",
            *(["## Not so", "", *notes, ""] if notes else []),
        ]
    )
