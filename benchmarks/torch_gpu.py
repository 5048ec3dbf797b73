"""The generated module beside torchvision's, on a GPU.

    python benchmarks/torch_gpu.py [--batch 64] [--rounds 20]

For six networks in one run: float32, and bfloat16 in `channels_last`; eager and
`torch.compile`. All modules run in turn (A B C A B C), timed by CUDA events; the figures
are medians in milliseconds. `optimized` is what `cnndsl compile --optimize` writes: batch
norm folded, channels last. At fault are a generated module that is more than 2 % slower
than torchvision's, and optimized ones that are not faster than the generated ones, by the
geometric mean of their ratios in eager mode: then the exit status is 1. Without a GPU this
says so and exits 0.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable

import torch
from torch import nn

import cnndsl

NETWORKS = {
    "resnet18": "resnet18",
    "resnet50": "resnet50",
    "vgg16": "vgg16",
    "densenet121": "densenet121",
    "mobilenetv2": "mobilenet_v2",
    "efficientnet_b0": "efficientnet_b0",
}
"""Ours, and torchvision's name for it."""
ALLOWED = 1.02


def milliseconds(run: Callable[[], object]) -> float:
    """One run, between two events."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    run()
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end))


def in_turn(runs: list[Callable[[], object]], rounds: int) -> list[float]:
    """The median of each; the first rounds only warm up."""
    times: list[list[float]] = [[] for _ in runs]
    for number in range(rounds + 5):
        for run, taken in zip(runs, times, strict=True):
            value = milliseconds(run)
            if number >= 5:
                taken.append(value)
    return [statistics.median(taken) for taken in times]


def prepared(
    module: nn.Module, image: torch.Tensor, dtype: torch.dtype, compiled: bool
) -> Callable[[], object]:
    """A module in a type, as what runs it."""
    layout = torch.channels_last if dtype is torch.bfloat16 else torch.contiguous_format
    module = module.eval().to("cuda", dtype)
    if dtype is torch.bfloat16:
        module = module.to(memory_format=layout)
    x = image.to("cuda", dtype, memory_format=layout)
    called = torch.compile(module) if compiled else module

    def run() -> object:
        with torch.inference_mode():
            return called(x)

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=20)
    given = parser.parse_args()
    if not torch.cuda.is_available():
        print("no GPU here: nothing is measured")
        return
    import torchvision

    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, batch {given.batch}")
    slower = 0
    eager: list[float] = []
    for ours, theirs in NETWORKS.items():
        network = cnndsl.load(ours)
        (shape,) = (tensor.shape for tensor in network.inputs.values())
        image = torch.randn(given.batch, *shape)
        for dtype in (torch.float32, torch.bfloat16):
            for compiled in (False, True):
                modules = (
                    network.to_torch(),
                    torchvision.models.get_model(theirs),
                    network.to_torch(optimize=True),
                )
                runs = [prepared(m, image, dtype, compiled) for m in modules]
                a, b, c = in_turn(runs, given.rounds)
                slower += a > ALLOWED * b
                eager += [] if compiled else [c / a]
                how = "compiled" if compiled else "eager"
                kind = str(dtype).removeprefix("torch.")
                print(
                    f"{ours:16} {kind:9} {how:8} generated {a:7.2f}  torchvision {b:7.2f}"
                    f"  ratio {a / b:.3f}  optimized {c:7.2f}  ratio {c / a:.3f}",
                    flush=True,
                )
                torch.compiler.reset()
    mean = statistics.geometric_mean(eager)
    print(f"{slower} slower than torchvision's; optimized, eager: geometric mean {mean:.3f}")
    sys.exit(slower > 0 or mean >= 1)


if __name__ == "__main__":
    main()
