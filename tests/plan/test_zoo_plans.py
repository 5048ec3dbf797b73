"""Every shipped network, planned, is what the interpreter computes, in little memory."""

from __future__ import annotations

import numpy as np
import pytest

from cnndsl.analysis.buffers import BYTES, buffers
from cnndsl.analysis.schedule import best_order, peak
from cnndsl.analysis.weights import expected_weights
from cnndsl.backends.numpy.plan import Plan
from cnndsl.backends.numpy.plan.arena import lay_out
from cnndsl.backends.numpy.plan.order import lives, ordered, sizes
from cnndsl.ops.facts import Array
from tests.small_zoo import NETWORKS, arrays_of, full, small, weights_of


def named(result: Array | dict[str, Array]) -> dict[str, Array]:
    return result if isinstance(result, dict) else {"y": result}


@pytest.mark.slow
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", NETWORKS)
def test_a_shipped_network_is_the_same_planned(name: str) -> None:
    network = small(name)
    weights, arrays = weights_of(name, network), arrays_of(network)
    plain = network.to_numpy(weights, optimize=False)
    exact = named(plain(**{key: x.astype(np.float64) for key, x in arrays.items()}))
    for winograd, bound in ((True, 1e-4), (False, 1e-5)):
        plan = Plan(network, weights, winograd=winograd)
        found = named(plan(**arrays))
        for key, truth in exact.items():
            assert np.isfinite(truth).all()
            assert found[key].shape == truth.shape
            assert (found[key].dtype == np.int64) == (truth.dtype == np.int64)
            error = float(np.abs(found[key] - truth).max(initial=0))
            assert error <= bound * float(np.abs(truth).max(initial=0))
        if not any("winograd" in step.algorithm for step in plan.prepare(1).steps):
            return  # both plans are one


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_its_memory_is_at_most_a_quarter_above_the_best_known_schedules(name: str) -> None:
    network = full(name)
    weights = {
        key: np.broadcast_to(np.float32(1), tuple(map(int, weight.shape)))
        for key, (_, weight) in expected_weights(network).items()
    }
    program = ordered(network, weights)
    alive = lives(program, program.tasks)
    _, total = lay_out(sizes(program, alive), alive)
    order, _ = best_order(network)
    # The plan keeps its own copy of the inputs, which the schedule leaves to the caller.
    given = sum(sizes(program, program.inputs.values()).values())
    best = peak(order, buffers(network)) // BYTES + given
    assert total <= 1.25 * best
