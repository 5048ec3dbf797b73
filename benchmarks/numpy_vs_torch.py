"""NumPy's plan beside PyTorch eager, ONNX Runtime and onnx.reference, in one process.

    python benchmarks/numpy_vs_torch.py [NAME …] [--quick] [--rounds 15] [--threads 2]

Each round runs PyTorch and the plan once, in turn (A B A B), so that what else the machine
does falls on both; between two runs the process sleeps for 5 ms, because PyTorch's idle
threads spin for about 1 ms and would slow the plan. Those of ONNX Runtime spin for longer:
with a session in the same rounds PyTorch took 2 to 3 times as long. So it runs after both,
in rounds of its own. The figures are medians over the rounds, in
milliseconds. Errors are the largest difference from the plan in float64 without Winograd,
by its largest value. What is held is printed at the end, and what is not.

ONNX Runtime is shown as the ceiling, `onnx.reference` on three networks; both are left out
where they are not installed. `--quick` takes three networks and 5 rounds. On a busy machine
`--cpu-time` compares the processor time of one thread instead of the clock's.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

import cnndsl
from cnndsl.analysis.weights import random_weights
from cnndsl.backends.numpy.plan import Plan
from cnndsl.graph import Network
from cnndsl.ops.facts import Array

NETWORKS = (
    "resnet18", "resnet50", "vgg16", "googlenet_bn", "inception_v3", "densenet121",
    "squeezenet1_1", "mobilenetv2", "mobilenetv3_large", "shufflenetv2", "efficientnet_b0",
    "unet_bn",
)  # fmt: skip
QUICK = ("resnet18", "mobilenetv2", "squeezenet1_1")
SIZES = {"unet_bn": 256}
REFERENCED = ("resnet50", "mobilenetv2", "squeezenet1_1")
"""Those on which `onnx.reference` is measured."""
MISLEADING = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
"""Settings under which NumPy's BLAS takes the kernels of another machine."""
PAUSE = 0.005
"""Seconds between two runs."""
LIMITS = {"vgg16": 0.6, "resnet50": 0.9}
MEAN, LARGEST, FASTER, FIRST = 0.8, 1.2, 10, 5
ERROR, EXACT = 1e-4, 1e-5


@dataclass(frozen=True)
class Row:
    """One network: medians in milliseconds, the first call, and the two errors."""

    name: str
    times: dict[str, float]
    reference: float | None
    first: float
    error: float
    exact: float

    @property
    def ratio(self) -> float:
        """The plan's time by PyTorch's."""
        return self.times["plan"] / self.times["torch"]

    @property
    def above(self) -> float:
        """The plan's time by ONNX Runtime's."""
        return self.times["plan"] / self.times["onnxruntime"]

    def __str__(self) -> str:
        """A line."""
        plan = self.times["plan"]
        cells = [f"{self.name:18}", f"torch {self.times['torch']:7.1f}", f"plan {plan:7.1f}"]
        cells += [f"ratio {self.ratio:.2f}"]
        if "onnxruntime" in self.times:
            cells += [
                f"onnxruntime {self.times['onnxruntime']:7.1f} (plan {self.above:.2f} of it)"
            ]
        cells += [f"first call {self.first / plan:.1f}×"]
        cells += [f"error {self.error:.1e}, without Winograd {self.exact:.1e}"]
        if self.reference is not None:
            cells += [f"onnx.reference {self.reference:.0f} ({self.reference / plan:.0f}×)"]
        return "  ".join(cells)


def load(name: str) -> Network:
    """A shipped network, at the size at which it is measured."""
    network = cnndsl.load(name)
    if name not in SIZES:
        return network
    shapes = {
        port: (tensor.shape[0], SIZES[name], SIZES[name])
        for port, tensor in network.inputs.items()
    }
    return cnndsl.load(name, inputs=shapes)


def weights_of(network: Network) -> dict[str, Array]:
    """Random weights whose running statistics are not the identity."""
    weights = random_weights(network, 0)
    rng = np.random.default_rng(1)
    for name, value in weights.items():
        if name.endswith("running_mean"):
            weights[name] = rng.normal(0, 0.1, value.shape).astype(np.float32)
        elif name.endswith("running_var"):
            weights[name] = rng.uniform(0.5, 1.5, value.shape).astype(np.float32)
    return weights


def onnx_bytes(network: Network, weights: dict[str, Array]) -> bytes | None:
    """The network as ONNX; None where that is not installed."""
    try:
        import onnx  # noqa: F401
    except ImportError:
        return None
    return bytes(network.to_onnx(weights).SerializeToString())


def onnxruntime(model: bytes, x: Array, threads: int) -> Callable[[], object] | None:
    try:
        import onnxruntime
    except ImportError:
        return None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: x}
    return lambda: session.run(None, feed)


def reference(model: bytes, x: Array) -> float:
    """Milliseconds of one run of `onnx.reference`."""
    import onnx
    from onnx.reference import ReferenceEvaluator

    evaluator = ReferenceEvaluator(onnx.load_from_string(model))
    feed = {evaluator.input_names[0]: x}
    start = time.perf_counter()
    evaluator.run(None, feed)
    return 1e3 * (time.perf_counter() - start)


def in_turn(
    peers: dict[str, Callable[[], object]], rounds: int, clock: Callable[[], float]
) -> dict[str, float]:
    """The median of each peer, in milliseconds, one after another in each round."""
    times: dict[str, list[float]] = {name: [] for name in peers}
    for number in range(rounds + 2):
        for name, run in peers.items():
            time.sleep(PAUSE)
            start = clock()
            run()
            if number >= 2:
                times[name].append(1e3 * (clock() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def only(result: object) -> Array:
    """The output, or the first of several."""
    array = next(iter(result.values())) if isinstance(result, dict) else result
    assert isinstance(array, np.ndarray)
    return array


def measure(name: str, given: argparse.Namespace) -> Row:
    """One network with all its peers."""
    threads, clock = given.threads, time.process_time if given.cpu_time else time.perf_counter
    network = load(name)
    weights = weights_of(network)
    (shape,) = (tensor.shape for tensor in network.inputs.values())
    x = np.random.default_rng(2).standard_normal((given.batch, *shape), dtype=np.float32)
    start = clock()
    plan = Plan(network, weights, threads=threads)
    y = only(plan(x))
    first = 1e3 * (clock() - start)
    module = network.to_torch(weights).eval()
    image = torch.from_numpy(x)

    def eager() -> object:
        with torch.inference_mode():
            return module(image)

    def run() -> object:
        return plan(x)

    times = in_turn({"torch": eager, "plan": run}, given.rounds, clock)
    model = None if given.no_onnx else onnx_bytes(network, weights)
    session = onnxruntime(model, x, threads) if model else None
    if session:
        times |= in_turn({"onnxruntime": session}, given.rounds, clock)
    slow = reference(model, x) if model and name in REFERENCED else None
    exact = Plan(network, weights, threads=threads, winograd=False)
    truth = only(exact(x.astype(np.float64)))
    largest = np.abs(truth).max()
    error, without = (float(np.abs(a - truth).max() / largest) for a in (y, only(exact(x))))
    return Row(name, times, slow, first, error, without)


def verdicts(rows: list[Row]) -> Iterator[str]:
    """What is held to, as measured."""
    largest = max(rows, key=lambda row: row.ratio)
    slowest = max(rows, key=lambda row: row.first / row.times["plan"])
    claims = [
        ("geometric mean", statistics.geometric_mean(row.ratio for row in rows), MEAN),
        (f"largest, {largest.name}", largest.ratio, LARGEST),
        *((row.name, row.ratio, LIMITS[row.name]) for row in rows if row.name in LIMITS),
        (f"first call, {slowest.name}", slowest.first / slowest.times["plan"], FIRST),
        ("error", max(row.error for row in rows), ERROR),
        ("error without Winograd", max(row.exact for row in rows), EXACT),
    ]
    claims += [
        (f"by onnx.reference, {row.name}", row.times["plan"] / row.reference, 1 / FASTER)
        for row in rows
        if row.reference is not None
    ]
    for what, value, limit in claims:
        yield f"{'held' if value <= limit else 'NOT held':8}  {what}: {value:.3g} ≤ {limit:g}"
    if all("onnxruntime" in row.times for row in rows):
        mean = statistics.geometric_mean(row.above for row in rows)
        yield f"plan by ONNX Runtime: geometric mean {mean:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int, help="15; 5 with --quick")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--no-onnx", action="store_true")
    parser.add_argument("--cpu-time", action="store_true", help="of one thread")
    given = parser.parse_args()
    given.rounds = given.rounds or (5 if given.quick else 15)
    given.threads = 1 if given.cpu_time else given.threads
    if any(name in os.environ for name in MISLEADING):
        # They are read when NumPy is loaded: start again without them.
        kept = {k: v for k, v in os.environ.items() if k not in MISLEADING}
        os.execve(sys.executable, [sys.executable, *sys.argv], kept)
    torch.set_num_threads(given.threads)
    print(
        f"numpy {np.__version__}, torch {torch.__version__}, {given.threads} threads of"
        f" {os.cpu_count()} cores, batch {given.batch}, {platform.machine()}, load"
        f" {os.getloadavg()[0]:.1f}, {'processor time' if given.cpu_time else 'wall clock'}",
        flush=True,
    )
    rows = []
    for name in given.names or (QUICK if given.quick else NETWORKS):
        rows.append(measure(name, given))
        print(rows[-1], flush=True)
    print(*verdicts(rows), sep="\n")


if __name__ == "__main__":
    main()
