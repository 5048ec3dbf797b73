"""What the commands of analysis take on ResNet-50, beside torchinfo's summary of it.

Whole processes, medians of some runs, side by side in one run; then the time of a summary
from text in process, by its parts. `python benchmarks/analysis.py [runs]`
"""

from __future__ import annotations

import importlib.util
import statistics
import subprocess
import sys
import time
from itertools import pairwise

COMMANDS = [
    ["summary", "resnet50"],
    ["summary", "resnet50", "--columns", "op,shape,macs,rf,bytes,intensity"],
    ["explain", "resnet50", "c1"],
    ["sizes", "resnet50"],
    ["memory", "resnet50"],
    ["roofline", "resnet50"],
    ["counts", "resnet50"],
    ["counts", "resnet50", "--explain", "thop=4133.743M"],
    ["diff", "resnet50", "--set", "stride_on=v1", "--set", "stride_on=v1_5"],
    ["solve", "resnet50", "resolution", "macs <= 2G"],
]
PEER = """
from torch import library
kept = library.Library("torchvision", "DEF")
kept.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
kept.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
kept.define("qroi_align(Tensor input, Tensor rois, float spatial_scale, "
    "SymInt pooled_height, SymInt pooled_width, int sampling_ratio, bool aligned) -> Tensor")
import torchinfo, torchvision
torchinfo.summary(torchvision.models.resnet50(weights=None), (1, 3, 224, 224))
"""


def median(command: list[str], runs: int) -> float:
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def inside(runs: int) -> None:
    """A summary from text, in this process, by its parts."""
    from cnndsl.analysis.summary import summary
    from cnndsl.files import shipped
    from cnndsl.language import elaborate, pick
    from cnndsl.language.modules import Loader

    path = shipped()["resnet50"]
    text = path.read_text(encoding="utf-8")
    parts: dict[str, list[float]] = {"parse": [], "elaborate": [], "summary": [], "all": []}
    for _ in range(runs + 1):
        marks = [time.perf_counter()]
        definition = pick(Loader().text(text, path.name))
        marks.append(time.perf_counter())
        network = elaborate(definition)
        marks.append(time.perf_counter())
        str(summary(network))
        marks.append(time.perf_counter())
        steps = [1e3 * (b - a) for a, b in pairwise(marks)]
        for name, value in zip(parts, [*steps, sum(steps)], strict=True):
            parts[name].append(value)
    for name, values in parts.items():
        # The first run fills the caches.
        print(f"  {name:12}{statistics.median(values[1:]):8.1f} ms")


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    peer = None
    if all(map(importlib.util.find_spec, ("torch", "torchvision", "torchinfo"))):
        peer = median([sys.executable, "-c", PEER], max(1, runs // 2))
        print(f"{'torchinfo, torchvision':66}{peer:7.2f} s")
    for command in COMMANDS:
        took = median([sys.executable, "-m", "cnndsl", *command], runs)
        part = f"  1/{peer / took:.1f}" if peer is not None else ""
        print(f"cnndsl {' '.join(command):59}{took:7.2f} s{part}")
    print("in process, from text:")
    inside(runs)


if __name__ == "__main__":
    main()
