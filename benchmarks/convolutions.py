"""How long each algorithm takes for one convolution: the tables of docs/fast-convolution.md.

    python benchmarks/convolutions.py [--rounds 9]

3×3 convolutions by im2col and by Winograd, then depthwise ones by `einsum` and by products
and sums. The algorithms run in turn, on one thread; the figures are medians of processor
time, so that other work on the machine disturbs them less.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np

from cnndsl.backends.numpy.plan.calls import Geometry, execute
from cnndsl.backends.numpy.plan.depthwise import Depthwise
from cnndsl.backends.numpy.plan.product import Im2col
from cnndsl.backends.numpy.plan.threads import Team, single_threaded_products
from cnndsl.backends.numpy.plan.winograd import Winograd, transformed_kernel
from cnndsl.ops.facts import Array

DENSE = [(224, 64), (112, 128), (56, 256), (28, 512), (14, 512), (7, 512)]
DEPTHWISE = [(112, 32), (56, 144), (28, 192), (14, 576), (7, 960)]
ONES, PADS = (1, 1), ((1, 1), (1, 1))


def geometry(side: int, channels: int) -> Geometry:
    """3×3, stride 1, as many outputs as channels."""
    size = (side, side)
    return Geometry(1, size, channels, size, channels, (3, 3), ONES, PADS, ONES)


def run_of(algorithm: Im2col | Winograd | Depthwise, x: Array) -> Callable[[], None]:
    """One run of an algorithm, its calls bound to arrays."""
    y = np.empty_like(x)
    spaces = [np.empty(size, x.dtype) for size in algorithm.spaces]
    calls = [call for phase in algorithm.bind(x, y, np.asarray, spaces) for call in phase[0]]
    return lambda: execute(calls)


def shifted(x: Array, taps: Array) -> Callable[[], None]:
    """A product and a sum of whole maps for each tap."""
    height, width = x.shape[1:3]
    padded = np.pad(x, ((0, 0), *PADS, (0, 0)))
    y, spare = np.empty_like(x), np.empty_like(x)

    def run() -> None:
        y.fill(0)
        for i, j in np.ndindex(3, 3):
            np.multiply(padded[:, i : i + height, j : j + width], taps[i, j], spare)
            np.add(y, spare, y)

    return run


def in_turn(runs: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """The median of each, in milliseconds of processor time."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name, run in runs.items():
            start = time.process_time()
            run()
            if number:
                times[name].append(1e3 * (time.process_time() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def dense(side: int, channels: int) -> dict[str, Callable[[], None]]:
    """im2col, F(2×2), F(4×4)."""
    rng = np.random.default_rng(0)
    g = geometry(side, channels)
    x = rng.standard_normal((1, side, side, channels), dtype=np.float32)
    kernels = rng.standard_normal((channels, channels, 3, 3), dtype=np.float32)
    rows = np.ascontiguousarray(kernels.transpose(2, 3, 1, 0)).reshape(1, -1, channels)
    runs = {"im2col": run_of(Im2col(g, rows, [], Team(1)), x)}
    for m in (2, 4):
        algorithm = Winograd(g, transformed_kernel(kernels, m), m, [], Team(1))
        runs[f"F({m}×{m})"] = run_of(algorithm, x)
    return runs


def depthwise(side: int, channels: int) -> dict[str, Callable[[], None]]:
    """`einsum` over shifted rows; a product and a sum of maps."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, side, side, channels), dtype=np.float32)
    taps = rng.standard_normal((3, 3, channels), dtype=np.float32)
    algorithm = Depthwise(geometry(side, channels), taps, [], Team(1))
    return {"einsum": run_of(algorithm, x), "product, sum": shifted(x, taps)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    with single_threaded_products():
        for shapes, made in ((DENSE, dense), (DEPTHWISE, depthwise)):
            for number, (side, channels) in enumerate(shapes):
                times = in_turn(made(side, channels), given.rounds)
                if not number:
                    print("| map, channels |", " | ".join(times), "|")
                    print("|---|", "---|" * len(times), sep="")
                cells = " | ".join(f"{value:.2f}" for value in times.values())
                print(f"| {side}², {channels} | {cells} |", flush=True)
            print()


if __name__ == "__main__":
    main()
