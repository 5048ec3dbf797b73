"""What PyTorch's own tools make of each written file: the page `docs/torch-checks.md`.

    python -m tools.torch_checks [NAME …] [--check NAME …] [--limit 300] [--again] [--stale]

Each shipped network, with random weights and norm statistics, over small maps, in a process
of its own, a check after the other; a check that takes longer than `--limit` seconds counts
as failed. What was found is kept in `tools/torch_checks/found.json` by the file's code, so
that only what has changed since is checked, and the script goes on where it was stopped;
`--again` forgets it, `--stale` only names what would be checked. At the end the page is
written, and what failed is printed: then the exit status is 1. What cannot pass is in
`EXCEPTIONS`, with its reason.

`onnx` needs onnxscript and onnxruntime, `inductor` a C++ compiler.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tools.torch_checks.checks import CHECKS, check, subject_of
from tools.torch_checks.results import Results, page, wanted

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "torch-checks.md"
KEPT = Path(__file__).parent / "found.json"


def run(name: str, checks: list[str], limit: int, keep: Callable[[str, str], None]) -> None:
    """Some checks in a process of their own; another where it dies in one of them."""
    while checks:
        command = [sys.executable, "-m", "tools.torch_checks", "--child", name, *checks]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "TORCH_LOGS": "-all"}
        with subprocess.Popen(
            [*command, "--limit", str(limit)], cwd=ROOT, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        ) as child:  # fmt: skip
            assert child.stdout is not None
            for line in child.stdout:
                if line.startswith("{"):
                    answer = json.loads(line)
                    keep(answer["check"], answer["said"])
                    checks.remove(answer["check"])
        if checks and child.returncode:
            keep(checks.pop(0), f"the process ended with status {child.returncode}")


def child(name: str, checks: list[str], limit: int) -> None:
    """Answer with a line for each check."""
    import torch

    torch.set_num_threads(1)
    # What a library prints is not an answer.
    out, sys.stdout = sys.stdout, sys.stderr
    subject = subject_of(name)
    for which in checks:
        answer = {"check": which, "said": check(subject, which, limit)}
        print(json.dumps(answer), file=out, flush=True)
        torch._dynamo.reset()


def main() -> None:
    """Check what is asked for, and write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--check", action="append", choices=list(CHECKS), default=[])
    parser.add_argument("--limit", type=int, default=300)
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--stale", action="store_true")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child[0], options.child[1:], options.limit)
        return
    from tests.small_zoo import NETWORKS

    for name in options.names or NETWORKS:
        text = subject_of(name).text
        known = Results.read(KEPT).of(name, text)
        asked = [c for c in wanted(name) if not options.check or c in options.check]
        checks = [c for c in asked if options.again or known.get(c) != ""]
        if options.stale:
            print(f"{name:26} {' '.join(checks)}" if checks else f"{name:26} -")
            continue

        def keep(which: str, answer: str, name: str = name, text: str = text) -> None:
            # Another run of this script may have written meanwhile.
            results = Results.read(KEPT)
            results.of(name, text)[which] = answer
            results.write()
            print(f"{name:26} {which:14} {answer or 'ok'}", flush=True)

        run(name, checks, options.limit, keep)
    if options.stale:
        return
    found = Results.read(KEPT).found
    PAGE.write_text(page({n: found[n] for n in NETWORKS if n in found}), encoding="utf-8")
    failed = [f"{n}: {which}" for n in found for which in wanted(n) if found[n].get(which)]
    if failed:
        print("Failed:", *failed, sep="\n  ")
        sys.exit(1)


if __name__ == "__main__":
    main()
