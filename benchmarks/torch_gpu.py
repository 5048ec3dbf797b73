"""The generated module beside one written by hand, on a GPU.

    python benchmarks/torch_gpu.py [--batch 32] [--rounds 20] [--jobs 16] [--eager]

ResNet-50, MobileNetV2 and DenseNet-121 beside torchvision's, U-Net with an eighth of the
images beside the one below, as people write it. In float32, and in bfloat16 in
`channels_last`; eager and `torch.compile`; in evaluation, and a training step without its
optimizer. The cases are compiled first, in processes side by side, and then timed one after
the other: a case's modules in turn (A B C A B C), by CUDA events, medians in milliseconds.
`optimized` is what `cnndsl compile --optimize` writes. At fault are generated modules that
are more than 2 % slower than those by hand, and optimized ones that are not faster than the
generated ones, by the geometric mean of a column: then the exit status is 1. Without a GPU
this says so and exits 0.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier, Lock

import torch
from torch import Tensor, nn

import cnndsl

NETWORKS = {
    "resnet50": "resnet50",
    "mobilenetv2": "mobilenet_v2",
    "densenet121": "densenet121",
    "unet": "",
}
"""Ours, and torchvision's name for it."""
FORMATS = {
    "float32 NCHW": (torch.float32, torch.contiguous_format),
    "bfloat16 channels_last": (torch.bfloat16, torch.channels_last),
}
ALLOWED = 1.02

Case = tuple[str, str, bool]
"""A network, a format, and whether it trains."""


class UNet(nn.Module):
    """U-Net (arXiv:1505.04597), by hand."""

    def __init__(self) -> None:
        """Build it for one channel and two classes."""
        super().__init__()
        widths = [64, 128, 256, 512, 1024]
        self.downs = nn.ModuleList(map(self.double, [1, *widths], widths))
        deeper = widths[:0:-1]
        self.ups = nn.ModuleList(nn.ConvTranspose2d(c, c // 2, 2, 2) for c in deeper)
        self.convs = nn.ModuleList(self.double(c, c // 2) for c in deeper)
        self.drop = nn.Dropout(0.5)
        self.pool = nn.MaxPool2d(2)
        self.head = nn.Conv2d(64, 2, 1)

    @staticmethod
    def double(fan: int, out: int) -> nn.Sequential:
        """Two unpadded convolutions."""
        first, second = nn.Conv2d(fan, out, 3), nn.Conv2d(out, out, 3)
        return nn.Sequential(first, nn.ReLU(inplace=True), second, nn.ReLU(inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        """Logits, smaller than the image."""
        skips = []
        for number, down in enumerate(self.downs):
            x = down(self.pool(x) if number else x)
            skips.append(x)
        x = self.drop(skips.pop())
        for up, conv in zip(self.ups, self.convs, strict=True):
            x, skip = up(x), skips.pop()
            top, left = ((skip.shape[i] - x.shape[i]) // 2 for i in (2, 3))
            skip = skip[:, :, top : top + x.shape[2], left : left + x.shape[3]]
            x = conv(torch.cat([skip, x], dim=1))
        return self.head(x)


def modules(name: str, training: bool) -> dict[str, nn.Module]:
    """The modules of a network, by the name of their column."""
    import torchvision

    network = cnndsl.load(name)
    theirs = NETWORKS[name]
    found = {
        "generated": network.to_torch(),
        "by hand": torchvision.models.get_model(theirs) if theirs else UNet(),
    }
    return found if training else found | {"optimized": network.to_torch(optimize=True)}


def runs(case: Case, batch: int, eager: bool) -> dict[str, Callable[[], object]]:
    """What is timed, by column; everything has run once."""
    name, how, training = case
    dtype, layout = FORMATS[how]
    (tensor,) = cnndsl.load(name).inputs.values()
    images = batch if NETWORKS[name] else max(1, batch // 8)
    image = torch.randn(images, *map(int, tensor.shape))
    x = image.to("cuda", dtype).contiguous(memory_format=layout)
    found: dict[str, Callable[[], object]] = {}
    for column, module in modules(name, training).items():
        moved = module.train(training).to("cuda", dtype).to(memory_format=layout)
        compiled = [] if eager else [("compiled", torch.compile(moved))]
        for way, called in [("eager", moved), *compiled]:
            found[f"{column}, {way}"] = run = _run(moved, called, x, training)
            for _ in range(3):
                run()
    return found


def _run(
    module: nn.Module, called: Callable[[Tensor], Tensor], x: Tensor, training: bool
) -> Callable[[], object]:
    def evaluate() -> object:
        with torch.inference_mode():
            return called(x)

    def train() -> object:
        module.zero_grad(set_to_none=True)
        return called(x).float().square().mean().backward()

    return train if training else evaluate


def milliseconds(run: Callable[[], object]) -> float:
    """One run, between two events."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    run()
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end))


def begin(barrier: Barrier, lock: Lock) -> None:
    """Keep what the processes share."""
    global compiled, alone
    compiled, alone = barrier, lock
    warnings.simplefilter("ignore")


compiled: Barrier
alone: Lock


def measure(case: Case, batch: int, rounds: int, eager: bool) -> dict[str, float]:
    """Milliseconds by column; it waits until all cases are compiled."""
    called = runs(case, batch, eager)
    torch.cuda.empty_cache()
    compiled.wait()
    with alone:
        times: dict[str, list[float]] = {column: [] for column in called}
        for number in range(rounds + 3):
            for column, run in called.items():
                taken = milliseconds(run)
                if number >= 3:
                    times[column].append(taken)
        torch.cuda.empty_cache()
    return {column: statistics.median(taken) for column, taken in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=16, help="cases at a time")
    parser.add_argument("--eager", action="store_true", help="compile nothing: minutes less")
    given = parser.parse_args()
    if not torch.cuda.is_available():
        print("no GPU here: nothing is measured")
        return
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, batch {given.batch}")
    ways = ("eager",) if given.eager else ("eager", "compiled")
    titles = [f"{by}, {way}" for by in ("by hand", "optimized by generated") for way in ways]
    print(f"\n| | {' | '.join(titles)} |\n|---|{'--:|' * len(titles)}")
    columns: list[list[float]] = [[] for _ in titles]
    cases = list(product(NETWORKS, FORMATS, (False, True)))
    spawn, sizes = get_context("spawn"), (given.batch, given.rounds, given.eager)
    # Read by each process: else each would start as many compilers as there are cores.
    os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"
    while cases:
        batch, cases = cases[: given.jobs], cases[given.jobs :]
        shared = (spawn.Barrier(len(batch)), spawn.Lock())
        with ProcessPoolExecutor(len(batch), spawn, begin, shared) as pool:
            futures = [pool.submit(measure, one, *sizes) for one in batch]
            for case, future in zip(batch, futures, strict=True):
                found = ratios(future.result())
                for column, ratio in zip(columns, found, strict=False):
                    column.append(ratio[0] / ratio[1])
                cells = [f"{a / b:.3f} ({a:.2f} / {b:.2f})" for a, b in found]
                cells += [""] * (len(titles) - len(cells))
                name, how, training = case
                doing = "training" if training else "evaluation"
                print(f"| `{name}`, {how}, {doing} | {' | '.join(cells)} |", flush=True)
    means = [statistics.geometric_mean(column) for column in columns]
    print("| geometric mean | " + " | ".join(f"{mean:.3f}" for mean in means) + " |")
    sys.exit(max(means[: len(ways)]) > ALLOWED or max(means[len(ways) :]) >= 1)


def ratios(found: dict[str, float]) -> list[tuple[float, float]]:
    """Generated and by hand, eager and compiled; then optimized and generated."""
    pairs = [("generated", "by hand"), ("optimized", "generated")]
    return [
        (found[f"{one}, {way}"], found[f"{other}, {way}"])
        for one, other in pairs
        for way in ("eager", "compiled")
        if f"{one}, {way}" in found
    ]


if __name__ == "__main__":
    main()
