"""Whole processes, side by side in one run: what a command costs beside `import torch`.

    python benchmarks/startup.py [ROUNDS]

Prints the median wall-clock and CPU seconds of each process, and the ratios to
`import torch`; then the median of a summary of ResNet-50 from its text inside one process,
beside torchinfo's on torchvision's model there. Peers that are not installed are left out.

Installed packages hold their bytecode; a checkout has it after its first run, unless
`PYTHONDONTWRITEBYTECODE` forbids. So that variable is taken out, and the first round is not
counted.
"""

from __future__ import annotations

import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TORCHVISION = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
import tests.torchvision_cpu
import torchinfo, torchvision
"""
TORCHINFO = f"""{TORCHVISION}
print(torchinfo.summary(torchvision.models.resnet50(), (1, 3, 224, 224), verbose=0))
"""
INSIDE = """
import json, time
{setup}
times = []
for _ in range({rounds} + 1):
    start = time.perf_counter()
    str({call})
    times.append(time.perf_counter() - start)
print(json.dumps(times[1:]))
"""
REFERENCE = "import torch"


def commands(*, peer: bool) -> dict[str, list[str]]:
    """The arguments of Python for each process."""
    found = {
        REFERENCE: ["-c", "import torch"],
        "import networkx": ["-c", "import networkx"],
        "cnndsl check mobilenetv2.arch": ["-m", "cnndsl", "check", "mobilenetv2.arch"],
        "cnndsl compile resnet50": ["-m", "cnndsl", "compile", "resnet50", "-o", "r.py"],
        "cnndsl summary resnet50": ["-m", "cnndsl", "summary", "resnet50"],
    }
    return {**found, "torchinfo, torchvision's resnet50": ["-c", TORCHINFO]} if peer else found


def environment() -> dict[str, str]:
    """This one, in which bytecode is kept."""
    return {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}


def run(arguments: list[str], folder: Path) -> tuple[float, float]:
    """Wall-clock and CPU seconds of one process."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment(),
        check=True,
        stdout=subprocess.DEVNULL,
    )
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, cpu


def inside(setup: str, call: str, rounds: int) -> float:
    """The median seconds of a call in a process that is warm."""
    done = subprocess.run(
        [sys.executable, "-c", INSIDE.format(setup=setup, call=call, rounds=rounds)],
        env=environment(),
        check=True,
        capture_output=True,
        text=True,
    )
    return statistics.median(json.loads(done.stdout))


def processes(rounds: int, *, peer: bool) -> None:
    """The table of whole processes."""
    measured: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds + 1):  # in turn, so that a slow minute is shared
            for name, arguments in commands(peer=peer).items():
                found = run(arguments, Path(folder))
                if number:
                    measured.setdefault(name, []).append(found)
    medians = {
        name: [statistics.median(column) for column in zip(*found, strict=True)]
        for name, found in measured.items()
    }
    whole = medians[REFERENCE]
    print(f"{'median of ' + str(rounds):36}    wall  ratio      CPU  ratio")
    for name, (wall, cpu) in medians.items():
        ratios = wall / whole[0], cpu / whole[1]
        print(f"{name:36} {wall:7.3f} {ratios[0]:6.2f}  {cpu:7.3f} {ratios[1]:6.2f}")


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    peer = importlib.util.find_spec("torchinfo") is not None
    processes(rounds, peer=peer)
    print()
    own = inside("import cnndsl", "cnndsl.load('resnet50').summary()", rounds)
    print(f"summary resnet50 from its text, in process        {1e3 * own:8.1f} ms")
    if peer:
        call = "torchinfo.summary(torchvision.models.resnet50(), (1, 3, 224, 224), verbose=0)"
        other = inside(TORCHVISION, call, rounds)
        print(f"torchinfo, torchvision's resnet50, in process     {1e3 * other:8.1f} ms")


if __name__ == "__main__":
    main()
