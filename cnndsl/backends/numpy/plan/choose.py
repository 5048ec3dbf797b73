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
    costs = {name: cost(g, name) * (1 if name == "im2col" else 1.1) for name in CANDIDATES}
    return min(costs, key=lambda name: costs[name])


PRODUCT, PASS, WEIGHT = 1 / 80, 1 / 3.5, 1 / 3
"""Nanoseconds of a thread: a multiply-add and an add in a product (two operations at 160
for both), an element of an elementwise pass, an element of the weights read."""


CALLS = 100_000
"""Nanoseconds that the calls of one block of Winograd's tiles take by themselves."""


def cost(g: Geometry, algorithm: str) -> float:
    """About how long it takes one thread, in nanoseconds: products, passes, weights."""
    outputs = g.batch * math.prod(g.out)
    weights = g.channels * g.outputs
    if algorithm == "im2col":
        products = 2 * outputs * 9 * weights
        return products * PRODUCT + outputs * 9 * g.channels * PASS / 2 + 9 * weights * WEIGHT
    m = int(algorithm[-1])
    n = m + 2
    tiles = g.batch * math.prod(-(-size // m) for size in g.out)
    there, back = (3.0, 3.3) if m == 4 else (1.0, 2.0)
    # A pass along one axis widens n / m times, and the second again.
    passes = there * g.channels * (n * m + n * n) + back * g.outputs * (n * m + m * m)
    products = 2 * tiles * n * n * weights
    blocks = max(2, tiles * n * n * (g.channels + g.outputs) >> 20)
    return (
        products * PRODUCT * 1.15
        + tiles * passes * PASS
        + n * n * weights * WEIGHT
        + blocks * CALLS
    )
