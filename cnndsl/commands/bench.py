"""`cnndsl bench`."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click
import numpy as np

from cnndsl.commands.opening import network_of
from cnndsl.console import Trouble, network_arguments, sized

if TYPE_CHECKING:
    from cnndsl.backends.numpy.plan import Compiled, Plan
    from cnndsl.network import Network
    from cnndsl.ops.facts import Array

PEERS = ("torch", "onnxruntime")
ALONE = "onnxruntime"
"""Its threads spin for long after a run, and would slow what runs in turn with it, PyTorch
to a half."""
SIDE = 1024
"""Rows and columns of the matrices whose product is the machine's peak."""
PAUSE = 0.005
"""Seconds between two runs."""


def _peers(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[str, ...]:
    names = tuple(value.split(",")) if value else ()
    for name in names:
        if name not in PEERS:
            raise click.BadParameter(
                f"unknown peer `{name}`; there are {', '.join(PEERS)}", ctx, param
            )
    return names


@click.command()
@network_arguments
@sized
@click.option("--against", metavar="torch,onnxruntime", callback=_peers, help="Time these too.")
@click.option("--batch", type=click.IntRange(1), default=1, show_default=True)
@click.option("--threads", type=click.IntRange(1), help="Cores to use; all by default.")
@click.option("--repeats", type=click.IntRange(1), default=9, show_default=True)
def bench(
    file: str,
    model: str | None,
    parameters: dict[str, str],
    outputs: tuple[str, ...],
    inputs: dict[str, tuple[int, ...]],
    against: tuple[str, ...],
    batch: int,
    threads: int | None,
    repeats: int,
) -> None:
    """Time a network in NumPy, step by step, with random weights.

    A step's share is of the machine's own matrix product, measured in the same run; it
    counts the layer's multiply-adds, of which Winograd does fewer, and may pass 100 %.
    PyTorch runs in turn with the plan, ONNX Runtime after both; the figures are medians.
    """
    from cnndsl.analysis.weights import random_weights
    from cnndsl.backends.numpy.plan import Plan

    _, network = network_of(file, model, parameters, inputs, outputs)
    weights = random_weights(network, 0)
    rng = np.random.default_rng(1)
    arrays = {
        name: rng.standard_normal((batch, *tensor.shape), dtype=np.float32)
        for name, tensor in network.inputs.items()
    }
    plan = Plan(network, weights, threads=threads)
    with click.progressbar(
        length=(len(against) + 3) * repeats, label="timing", file=sys.stderr
    ) as bar:
        peak = max(_product(plan) for _ in range(repeats))
        bar.update(repeats)
        steps = plan.profile(repeats=repeats, **arrays)
        bar.update(repeats)

        def timed(names: Sequence[str]) -> dict[str, float]:
            peers = {n: _peer(n, network, weights, arrays, plan.threads) for n in names}
            first = {} if ALONE in names else {"numpy": lambda: plan(**arrays)}
            return _in_turn(first | peers, repeats, lambda: bar.update(1))

        times = timed([name for name in against if name != ALONE])
        if ALONE in against:
            times |= timed([ALONE])
    compiled = plan.prepare(batch)
    for line in _table(compiled, steps, peak):
        click.echo(line)
    flops = 2 * sum(map(compiled.macs, compiled.steps)) / 1e9
    for name, taken in times.items():
        ratio = f"; numpy {times['numpy'] / taken:.2f} ×" if name != "numpy" else ""
        rate = flops / taken
        share = f"{rate:.1f} GFLOP/s, {rate / peak:.0%} of peak"
        click.echo(f"{name}: {1e3 * taken:.2f} ms, {share}{ratio}")
    click.echo(f"peak of NumPy's product here: {peak:.1f} GFLOP/s on {plan.threads} threads")


def _in_turn(
    calls: dict[str, Callable[[], object]], repeats: int, tick: Callable[[], None]
) -> dict[str, float]:
    """The median of each in seconds, one after another in each round."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(repeats):
        for name, call in calls.items():
            # The idle threads of the one before spin for a while.
            time.sleep(PAUSE)
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
            tick()
    return {name: statistics.median(values) for name, values in times.items()}


def _product(plan: Plan) -> float:
    """GFLOP/s of square products, one in each thread."""
    from functools import partial

    from cnndsl.backends.numpy.plan.threads import single_threaded_products

    x = np.ones((SIDE, SIDE), np.float32)
    outputs = [np.empty_like(x) for _ in range(plan.threads)]
    with single_threaded_products():
        start = time.perf_counter()
        plan.pool.run([partial(_multiply, x, y) for y in outputs])
        taken = time.perf_counter() - start
    return 2 * SIDE**3 * len(outputs) / taken / 1e9


def _multiply(x: Array, y: Array) -> None:
    np.matmul(x, x, out=y)


def _table(compiled: Compiled, times: list[float], peak: float) -> list[str]:
    rows = [("ms", "GFLOP/s", "peak", "algorithm", "shape", "layers")]
    for step, taken in zip(compiled.steps, times, strict=True):
        macs = compiled.macs(step)
        rate = 2 * macs / taken / 1e9
        shape = "×".join(map(str, step.shape))
        shown = (f"{rate:.1f}", f"{rate / peak:.0%}") if macs else ("", "")
        rows.append((f"{1e3 * taken:.3f}", *shown, step.algorithm, shape, " ".join(step.names)))
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    return [
        "  ".join(
            [
                *(row[i].rjust(widths[i]) for i in range(3)),
                *(row[i].ljust(widths[i]) for i in (3, 4)),
                row[5],
            ]
        )
        for row in rows
    ]


def _peer(
    name: str,
    network: Network,
    weights: dict[str, Array],
    arrays: dict[str, Array],
    threads: int,
) -> Callable[[], object]:
    """Another way to run it."""
    import torch

    torch.set_num_threads(threads)
    module = network.to_torch(weights).eval()
    images = tuple(torch.from_numpy(array) for array in arrays.values())
    if name == "torch":

        def eager() -> object:
            with torch.inference_mode():
                return module(*images)

        return eager
    from importlib import import_module
    from io import BytesIO

    try:
        onnxruntime = import_module("onnxruntime")
        import_module("onnx")
    except ImportError:
        raise Trouble("this needs ONNX Runtime: pip install onnxruntime onnx") from None
    model = BytesIO()
    torch.onnx.export(
        module,
        images,
        model,  # type: ignore[arg-type]  # the exporter that needs no more packages takes it
        dynamo=False,
        input_names=list(arrays),
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        model.getvalue(), options, providers=["CPUExecutionProvider"]
    )
    return lambda: session.run(None, arrays)
