"""A network evaluated by PyTorch on arrays: the counterpart of NumPy's interpreter."""

from __future__ import annotations

from collections.abc import Mapping

from cnndsl.backends.torch.execute import module
from cnndsl.graph import Network
from cnndsl.ops.facts import Array


def outputs(
    network: Network, arrays: Mapping[str, Array], weights: Mapping[str, Array]
) -> dict[str, Array]:
    """The outputs by name, from inputs by name with the batch first, in their type.

    Raises ImportError: torch is not installed. ArchError: weights of another network.
    """
    import torch

    tensors = [torch.tensor(arrays[name]) for name in network.inputs]
    made = module(network, weights).to(tensors[0].dtype).eval()
    with torch.inference_mode():
        found = made(*tensors)
    several = (found,) if isinstance(found, torch.Tensor) else tuple(found)
    # An output whose condition is false may keep its place, as None.
    present = [tensor.numpy() for tensor in several if tensor is not None]
    return dict(zip(network.outputs, present, strict=True))
