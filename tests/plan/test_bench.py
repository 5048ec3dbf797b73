"""`cnndsl bench`: each step's time, the peers', and the machine's peak."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cnndsl", "bench", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


def test_it_prints_each_step_the_totals_and_the_peak() -> None:
    done = bench("lenet5", "--repeats", "2", "--against", "torch", "--batch", "2")
    assert done.returncode == 0, done.stderr
    head, *rows = done.stdout.splitlines()
    assert head.split() == ["ms", "GFLOP/s", "peak", "algorithm", "shape", "layers"]
    assert sum("im2col" in row for row in rows) >= 1
    assert any(row.startswith("numpy: ") for row in rows)
    (peer,) = (row for row in rows if row.startswith("torch: "))
    assert re.fullmatch(r"torch: [\d.]+ ms, [\d.]+ GFLOP/s, \d+% of peak; numpy [\d.]+ ×", peer)
    assert rows[-1].startswith("peak of NumPy's product here: ")


def test_an_unknown_peer_is_refused() -> None:
    done = bench("lenet5", "--against", "torch,tensorflow")
    assert done.returncode == 2
    assert "unknown peer `tensorflow`; there are torch, onnxruntime" in done.stderr
