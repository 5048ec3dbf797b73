"""What was found, kept by file, and the page that shows it."""

from __future__ import annotations

import ast
import hashlib
import json
import platform
from dataclasses import dataclass, field
from pathlib import Path

from tools.torch_checks.checks import CHECKS, UNUSED

COMPILED = {"alexnet", "googlenet", "mobilenetv2", "resnet18", "shufflenetv1", "unet"}
"""Those that `inductor` compiles: it takes a minute or more for each."""
ANCHORS = """`torch.jit.script` has no type for a list of pairs that are whole or not, as
anchors are; PyTorch has retired it for `torch.export`, which takes them."""
REORGANISED = """Darknet's reorganisation mixes rows with channels. PyTorch's exporter takes
such a reshape only where axis divides axis: of the sizes that the network takes, every other
one, and the exported program refuses the rest."""
ADAPTIVE = """PyTorch's exporter writes adaptive pooling as the window of the size that it
traced: equal at that size, wrong at others, with no warning."""
STEPPED = """The sizes are given as `64 * Dim("size")`: the network takes no others, and
`torch.export` cannot solve for that itself."""
NOTES: dict[str, dict[str, str]] = {
    "ddp": UNUSED,
    "export": {"stacked_hourglass": STEPPED},
    "onnx": {"stacked_hourglass": STEPPED},
}
"""How a check was passed, where a user must say so too."""
EXCEPTIONS: dict[str, dict[str, str]] = {
    "script": dict.fromkeys(
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
        key = hashlib.sha256(code(text).encode()).hexdigest()[:16]
        if self.found.get(name, {}).get("file") != key:
            self.found[name] = {"file": key}
        return self.found[name]

    def write(self) -> None:
        """Keep all, a line for each network."""
        self.path.parent.mkdir(exist_ok=True)
        lines = [f'"{name}": {json.dumps(self.found[name])}' for name in sorted(self.found)]
        self.path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def code(text: str) -> str:
    """A file's definitions in any order, without docstrings and comments: what tools read."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        if documented and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return "\n".join(sorted(map(ast.unparse, tree.body)))


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
            noted = " ".join(NOTES.get(which, {}).get(name, "").split())
            note = reason or (noted if reason == "" else "")
            number = reasons.setdefault(note, len(reasons) + 1) if note else 0
            mark = "✓" if reason == "" else "" if reason is None else "✗"
            cells.append(f"{mark} [{number}](#notes)" if note else mark)
        rows.append(f"| `{name}` | {' | '.join(cells)} |")
    done = sum(1 for said_ in found.values() for which in said_ if which in CHECKS)
    notes = [f"{number}. {reason}" for reason, number in reasons.items()]
    return "\n".join(
        [
            "# What PyTorch's tools make of written files",
            "",
            "Each file that `cnndsl compile` writes for the networks here, with random weights",
            "and norm statistics, over small maps, two images. ✓: it works, and the outputs",
            "are those of the module itself, to 1e-4 of the largest. ✗: it does not, for the",
            "reason in the note. Empty: not run; `inductor` takes minutes for each network and",
            f"runs on {len(COMPILED)} of them. `python -m tools.torch_checks` checks again",
            "what has changed since, and writes this page.",
            "",
            f"PyTorch {torch.__version__}, Python {platform.python_version()}, CPU:"
            f" {done} checks of {len(found)} networks.",
            "",
            "What was tried on a GPU is in [gpu.md](gpu.md).",
            "",
            "- **FX** also at another batch and size than the first, of one trace.",
            "- **`torch.export`**, **ONNX**: free in the batch, and in height and width where",
            "  the network takes more than one size; compared at another batch and size.",
            "- **DDP**: two gloo processes, two steps; the gradients are equal, and each",
            "  parameter has one, but where a note says so.",
            "- **autocast**: runs, finite, of the same shapes.",
            "- **vmap**: two sets of weights in one call, as for an ensemble.",
            "- **meta**: built and run without memory, then loaded.",
            "",
            f"| | {' | '.join(heads)} |",
            f"|---|{':-:|' * len(heads)}",
            *rows,
            "",
            *(["## Notes", "", *notes, ""] if notes else []),
        ]
    )
