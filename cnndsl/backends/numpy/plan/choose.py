"""Which algorithm a convolution is computed by."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cnndsl.backends.numpy.plan.calls import Geometry


@dataclass(frozen=True, slots=True)
class Choice:
    """What is allowed, and whether candidates are timed where the plan is made.

    Winograd costs accuracy, about a digit of float32 for 4×4 tiles.
    """

    winograd: bool = True
    measure: bool = False


CANDIDATES = ("im2col", "winograd 2×2", "winograd 4×4")


def choose(g: Geometry, groups: int, choice: Choice) -> str:
    """`depthwise`, `winograd 4×4`, `winograd 2×2`, `im2col` or `measured`."""
    ones = {*g.stride, *g.dilation} == {1}
    if groups == g.channels == g.outputs and groups > 1:
        return "depthwise"
    if g.kernel != (3, 3) or not ones or groups != 1 or not choice.winograd:
        return "im2col"
    if choice.measure:
        return "measured"
    costs = {name: cost(g, name) for name in CANDIDATES}
    return min(costs, key=lambda name: costs[name])


PRODUCT, PASS, WEIGHT = 1 / 200, 1 / 5, 1 / 10
"""Nanoseconds of a thread for a multiplication or an addition of a product, an element of a
pass over memory, and an element of the weights, which every product reads."""


CALLS = 3_000
"""Nanoseconds that the calls of one convolution take by themselves."""


def cost(g: Geometry, algorithm: str) -> float:
    """About how long it takes one thread, in nanoseconds: products, passes, weights."""
    outputs = g.batch * math.prod(g.out)
    weights = g.channels * g.outputs
    if algorithm == "im2col":
        products = 2 * outputs * 9 * weights
        return products * PRODUCT + outputs * 9 * g.channels * PASS / 2 + 9 * weights * WEIGHT
    m = int(algorithm[-1])
    places, pixels = (m + 2) ** 2, m * m
    tiles = g.batch * math.prod(-(-size // m) for size in g.out)
    transforms = places * (places * g.channels + pixels * g.outputs)
    products = 2 * tiles * (places * weights + transforms)
    passes = tiles * (places * g.channels + 2 * pixels * g.outputs)
    # Tiles cost accuracy, so they must win clearly.
    return 1.05 * (products * PRODUCT + passes * PASS + places * weights * WEIGHT + CALLS)
