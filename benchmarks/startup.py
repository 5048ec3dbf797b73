"""Whole processes, side by side in one run: what a command costs beside `import torch`.

    python benchmarks/startup.py [ROUNDS]

Prints medians in seconds, and the ratios. Peers that are not installed are left out.
"""

from __future__ import annotations

import importlib.util
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TORCHINFO = """
import sys
sys.path.insert(0, {root!r})
import tests.torchvision_cpu
import torchinfo, torchvision
print(torchinfo.summary(torchvision.models.resnet50(), (1, 3, 224, 224), verbose=0))
"""

COMMANDS = {
    "import torch": ["-c", "import torch"],
    "cnndsl check mobilenetv2.arch": ["-m", "cnndsl", "check", "mobilenetv2.arch"],
    "cnndsl compile resnet50": ["-m", "cnndsl", "compile", "resnet50", "-o", "resnet50.py"],
    "cnndsl summary resnet50": ["-m", "cnndsl", "summary", "resnet50"],
}


def seconds(arguments: list[str], folder: Path) -> float:
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, *arguments], cwd=folder, check=True, stdout=subprocess.DEVNULL
    )
    return time.perf_counter() - start


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    commands = dict(COMMANDS)
    if importlib.util.find_spec("torchinfo"):
        root = str(Path(__file__).resolve().parent.parent)
        commands["torchinfo, torchvision's resnet50"] = ["-c", TORCHINFO.format(root=root)]
    times: dict[str, list[float]] = {name: [] for name in commands}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(rounds):  # in turn, so that a slow minute is shared
            for name, arguments in commands.items():
                times[name].append(seconds(arguments, Path(folder)))
    reference = statistics.median(times["import torch"])
    for name, found in times.items():
        median = statistics.median(found)
        print(f"{name:36} {median:7.3f} s   {median / reference:5.2f} of `import torch`")


if __name__ == "__main__":
    main()
