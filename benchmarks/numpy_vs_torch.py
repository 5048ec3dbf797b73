"""NumPy's plan beside PyTorch eager and ONNX Runtime, in one process, in turn.

    python benchmarks/numpy_vs_torch.py [NAME …] [--rounds 15] [--threads 2] [--batch 1]

Each round runs every peer once (A B A B), so that what else the machine does falls on all
of them; the figures are medians over the rounds. Errors are the largest difference from
the interpreter in float64, by its largest value. ONNX Runtime and `onnx.reference` are
left out where they are not installed.
"""

from __future__ import annotations

import argparse
import io
import math
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

import cnndsl
from cnndsl.backends.numpy.plan import Plan
from cnndsl.backends.numpy.weights import random_weights
from cnndsl.graph import Network
from cnndsl.ops.base import Array

NETWORKS = (
    "resnet18", "resnet50", "vgg16", "googlenet_bn", "inception_v3", "densenet121",
    "squeezenet1_1", "mobilenetv2", "mobilenetv3_large", "shufflenetv2", "efficientnet_b0",
    "unet_bn",
)  # fmt: skip
SIZES = {"unet_bn": 256}
SLOW = ("resnet50", "mobilenetv2", "squeezenet1_1")
"""Those on which `onnx.reference` is measured."""


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


def onnx_bytes(module: torch.nn.Module, x: Array) -> bytes | None:
    """The network as ONNX; None where that is not installed."""
    try:
        import onnx  # noqa: F401
    except ImportError:
        return None
    buffer = io.BytesIO()
    torch.onnx.export(module, (torch.from_numpy(x),), buffer, dynamo=False)
    return buffer.getvalue()


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


def in_turn(peers: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """The median of each peer, in milliseconds, one after another in each round."""
    times: dict[str, list[float]] = {name: [] for name in peers}
    for number in range(rounds + 2):
        for name, run in peers.items():
            start = time.perf_counter()
            run()
            if number >= 2:
                times[name].append(1e3 * (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def first(result: object) -> Array:
    array = next(iter(result.values())) if isinstance(result, dict) else result
    assert isinstance(array, np.ndarray)
    return array


def measure(name: str, rounds: int, threads: int, batch: int, with_onnx: bool) -> float:
    network = load(name)
    weights = weights_of(network)
    (shape,) = (tensor.shape for tensor in network.inputs.values())
    x = np.random.default_rng(2).standard_normal((batch, *shape), dtype=np.float32)
    start = time.perf_counter()
    plan = Plan(network, weights, threads=threads)
    y = first(plan(x))
    first_call = 1e3 * (time.perf_counter() - start)
    exact = Plan(network, weights, threads=threads, winograd=False)
    module = network.to_torch(weights).eval()
    image = torch.from_numpy(x)

    def eager() -> object:
        with torch.inference_mode():
            return module(image)

    peers: dict[str, Callable[[], object]] = {"torch": eager, "plan": lambda: plan(x)}
    model = onnx_bytes(module, x) if with_onnx else None
    session = onnxruntime(model, x, threads) if model else None
    if session:
        peers["onnxruntime"] = session
    times = in_turn(peers, rounds)
    truth = first(network.to_numpy(weights)(x.astype(np.float64)))
    largest = np.abs(truth).max()
    errors = [float(np.abs(a - truth).max() / largest) for a in (y, first(exact(x)))]
    ratio = times["plan"] / times["torch"]
    text = "  ".join(f"{peer} {value:7.1f}" for peer, value in times.items())
    slow = f"  onnx.reference {reference(model, x):.0f}" if model and name in SLOW else ""
    print(
        f"{name:18} {text}  ratio {ratio:.2f}  first call {first_call / times['plan']:.1f} ×"
        f"  error {errors[0]:.1e}, without Winograd {errors[1]:.1e}{slow}",
        flush=True,
    )
    return ratio


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=NETWORKS)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--no-onnx", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    ratios = [
        measure(name, given.rounds, given.threads, given.batch, not given.no_onnx)
        for name in given.names
    ]
    mean = math.exp(statistics.fmean(map(math.log, ratios)))
    print(f"geometric mean {mean:.2f}, largest {max(ratios):.2f}")


if __name__ == "__main__":
    main()
