"""A written module on a GPU, held to itself on the CPU."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import nn

from cnndsl.graph import Network
from tools.torch_checks.checks import compare, tensors

Check = Callable[[nn.Module, Sequence[torch.Tensor], float], None]
EXACT, SIXTH = 1e-8, 1e-6
"""Of the largest value, in float64: sums are in another order there."""


def limit(network: Network) -> float:
    """How far apart the GPU may be: CUDA's kernels of some operations round 1/6 to float32."""
    rounds = any(node.op.name in ("hardsigmoid", "hardswish") for node in network)
    return SIXTH if rounds else EXACT


def computes(module: nn.Module, images: Sequence[torch.Tensor], limit: float) -> None:
    """In float64 it computes the same, and the same gradients, also in `channels_last`."""
    module = copy.deepcopy(module).double().eval()
    images = [image.double() if image.is_floating_point() else image for image in images]
    expected, gradients = _both(module, images)
    there = copy.deepcopy(module).cuda()
    for layout in _layouts(module):
        there = there.to(memory_format=layout)
        found, others = _both(there, [_placed(image, layout) for image in images])
        compare(found, expected, limit)
        compare(others, gradients, 1e3 * limit)


def trains(module: nn.Module, images: Sequence[torch.Tensor], _: float = EXACT) -> None:
    """A step in mixed precision: the shapes are the same, all parameters are moved there."""
    there = copy.deepcopy(module).float().cuda().train()
    moved = [_placed(torch.cat([image] * 2).float()) for image in images]
    with torch.autocast("cuda", torch.bfloat16):
        found = tensors(there(*moved))
    assert all(one.is_cuda for one in found), "an output is not on the GPU"
    sums = [one.float().sum() for one in found if one.requires_grad]
    if sums:
        torch.stack(sums).sum().backward()
    assert all(p.is_cuda for p in there.state_dict().values()), "a tensor stayed"


def compiles(module: nn.Module, images: Sequence[torch.Tensor], limit: float) -> None:
    """`torch.compile(fullgraph=True)` with its own backend computes the same, in float64."""
    there = copy.deepcopy(module).double().eval().cuda()
    moved = [_placed(image.double()) for image in images]
    torch.compiler.reset()
    with torch.inference_mode():
        compare(torch.compile(there, fullgraph=True)(*moved), there(*moved), limit)


def _both(module: nn.Module, images: Sequence[torch.Tensor]) -> tuple[list[torch.Tensor], ...]:
    """The outputs, and the parameters' gradients as one vector, on the CPU."""
    module.zero_grad()
    found = tensors(module(*images))
    sums = [one.sum() for one in found if one.requires_grad]
    if sums:
        torch.stack(sums).sum().backward()
    gradients = [p.grad.flatten() for p in module.parameters() if p.grad is not None]
    return [one.detach().cpu() for one in found], [torch.cat(gradients or images[:1]).cpu()]


def _layouts(module: nn.Module) -> Iterator[torch.memory_format]:
    """The usual one, and `channels_last` where no weight has five axes."""
    yield torch.contiguous_format
    if all(parameter.dim() < 5 for parameter in module.parameters()):
        yield torch.channels_last


def _placed(
    image: torch.Tensor, layout: torch.memory_format = torch.contiguous_format
) -> torch.Tensor:
    """On the GPU, in a layout where it has four axes."""
    moved = image.cuda()
    return moved.contiguous(memory_format=layout) if moved.dim() == 4 else moved


CHECKS: tuple[Check, ...] = (computes, trains, compiles)
