"""Time and memory of a generated chain of 1,000, 10,000 and 100,000 layers.

    python benchmarks/scale.py

Each size runs in a process of its own: as one line a layer, and as a repeat. Prints
seconds, the growth against the size before, and the peak of resident memory.
"""

from __future__ import annotations

import json
import subprocess
import sys

SIZES = (1_000, 10_000, 100_000)

CHILD = """
import json, resource, sys, time
form, count = sys.argv[1], int(sys.argv[2])
from cnndsl.language import loads
body = f"conv(8, 3x3) * {count}" if form == "repeat" else "conv(8, 3x3)\\n" * count
text = f"model Chain: image[8, H=32, W=32] -> y {{\\n{body}\\ny: conv(8, 1x1)\\n}}\\n"
start = time.perf_counter()
network = loads(text)
loaded = time.perf_counter() - start
start = time.perf_counter()
assert network.parameters == count * (8 * 8 * 9 + 8) + 72
counted = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps([loaded, counted, peak]))
"""


def main() -> None:
    for form in ("lines", "repeat"):
        before: tuple[float, float] | None = None
        for count in SIZES:
            done = subprocess.run(
                [sys.executable, "-c", CHILD, form, str(count)],
                check=True,
                capture_output=True,
                text=True,
            )
            loaded, counted, peak = json.loads(done.stdout)
            growth = ""
            if before is not None:
                growth = f"   ×{loaded / before[0]:.1f} time, ×{peak / before[1]:.1f} memory"
            print(
                f"{form:7} {count:7,} layers   load {loaded:7.2f} s   count {counted:5.2f} s"
                f"   peak {peak:6.0f} MiB{growth}"
            )
            before = loaded, peak


if __name__ == "__main__":
    main()
