"""Time and memory of a generated chain of 1,000, 10,000 and 100,000 layers.

    python benchmarks/scale.py

Each size runs in a process of its own: as one line a layer, and as a repeat. Prints
wall-clock and CPU seconds, the peak of resident memory less that of a process which has
loaded one layer, and the growth against the size before. Growth of 10 is linear.
"""

from __future__ import annotations

import json
import subprocess
import sys

SIZES = (1_000, 10_000, 100_000)

CHILD = """
import json, resource, sys, time
form, count = sys.argv[1], int(sys.argv[2])
from cnndsl.network import loads
body = f"conv(8, 3x3) * {count}" if form == "repeat" else "conv(8, 3x3)\\n" * count
text = f"model Chain: image[8, H=32, W=32] -> y {{\\n{body}\\ny: conv(8, 1x1)\\n}}\\n"
loads("model One: image[8, H=32, W=32] -> y { y: conv(8, 1x1) }")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
start, cpu = time.perf_counter(), time.process_time()
network = loads(text)
loaded, worked = time.perf_counter() - start, time.process_time() - cpu
start = time.perf_counter()
assert network.parameters == count * (8 * 8 * 9 + 8) + 72
counted = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps([loaded, worked, counted, peak - before]))
"""


def main() -> None:
    for form in ("lines", "repeat"):
        smaller: tuple[float, float] | None = None
        for count in SIZES:
            done = subprocess.run(
                [sys.executable, "-c", CHILD, form, str(count)],
                check=True,
                capture_output=True,
                text=True,
            )
            loaded, worked, counted, peak = json.loads(done.stdout)
            growth = ""
            if smaller is not None:
                growth = f"   ×{worked / smaller[0]:.1f} CPU, ×{peak / smaller[1]:.1f} memory"
            print(
                f"{form:7} {count:7,} layers   load {loaded:7.2f} s, CPU {worked:6.2f} s"
                f"   count {counted:5.2f} s   memory {peak:6.1f} MiB{growth}"
            )
            smaller = worked, peak


if __name__ == "__main__":
    main()
