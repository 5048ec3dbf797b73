"""Memory by liveness; the best order equals brute force; the arena never overlaps."""

import random
from itertools import permutations

import pytest

import cnndsl
from cnndsl.analysis.memory import arena, memory, source_peak
from cnndsl.analysis.schedule import best_order, buffers, peak


def model(lines: str) -> cnndsl.Network:
    return cnndsl.loads(f"model M: x[3, H=16, W=16] -> y {{\n{lines}\n}}")


@pytest.mark.parametrize(
    ("name", "mebibytes"),
    [
        ("resnet50", 9.95),
        ("mobilenetv2", 9.95),
        ("googlenet_bn", 6.12),
        ("efficientnet_b0", 9.95),
    ],
)
def test_the_peak_in_source_order(name: str, mebibytes: float) -> None:
    assert round(source_peak(cnndsl.load(name)) / 2**20, 2) == pytest.approx(
        mebibytes, abs=0.01
    )


def test_a_chain_needs_the_input_and_output_of_its_largest_step() -> None:
    network = model("y: conv(8, 1x1) -> conv(4, 1x1) -> conv(2, 1x1)")
    found = memory(network)
    assert found.freed == found.best == 4 * 256 * (8 + 4)
    assert found.proven
    assert sum(alive for _, alive in found.steps[:1]) == 0


def random_graph(seed: int) -> cnndsl.Network:
    """At most ten nodes: some layers, each on an earlier one, and a join of the loose ends."""
    chance = random.Random(seed)
    count = chance.randint(3, 7)
    lines, loose = [], set()
    for number in range(count):
        source = "x" if not number else f"n{chance.randrange(number)}"
        loose.discard(source)
        loose.add(f"n{number}")
        lines.append(f"  n{number}: {source} -> conv({chance.choice([1, 2, 4, 8, 16])}, 1x1)")
    ends = "\n".join(f"    {name}" for name in sorted(loose))
    lines.append(f"  y: concat {{\n{ends}\n  }}")
    return model("\n".join(lines))


@pytest.mark.parametrize("seed", range(30))
def test_the_best_order_equals_brute_force_on_small_graphs(seed: int) -> None:
    network = random_graph(seed)
    found = buffers(network)
    names = [node.name for node in network if node.name not in network.inputs]
    least = min(
        peak(["x", *order], found)
        for order in permutations(names)
        if all(
            order.index(u) < order.index(v)
            for u, v, _ in network.graph.edges
            if u not in network.inputs
        )
    )
    order, proven = best_order(network)
    assert proven
    assert peak(order, found) == least


@pytest.mark.parametrize("name", ["unet", "densenet121", "xception", "fpn_resnet50", "unetpp"])
def test_buffers_alive_together_never_overlap_in_the_arena(name: str) -> None:
    network = cnndsl.load(name)
    order, _ = best_order(network)
    found = buffers(network)
    slots = arena(order, found)
    for number, a in enumerate(slots):
        for b in slots[:number]:
            together = a.first <= b.last and b.first <= a.last
            apart = a.offset + a.size <= b.offset or b.offset + b.size <= a.offset
            assert apart or not together
    assert max(s.offset + s.size for s in slots) >= peak(order, found)


@pytest.mark.parametrize("name", ["unet", "xception", "googlenet"])
def test_the_best_order_is_an_order_and_never_worse(name: str) -> None:
    network = cnndsl.load(name)
    order, _ = best_order(network)
    place = {node: number for number, node in enumerate(order)}
    assert sorted(order) == sorted(node.name for node in network)
    assert all(place[u] < place[v] for u, v, _ in network.graph.edges)
    found = memory(network)
    assert found.best <= found.freed <= found.peak


def test_it_prints_itself_and_draws_a_timeline() -> None:
    found = memory(cnndsl.load("unet"), batch=2, optimizer="adam")
    assert "activations, peak" in str(found)
    assert found.training.optimizer == 2 * found.parameters
    assert found.svg().startswith("<svg")
    assert found.rows()[0] == {"node": "image", "bytes": 0}
    with pytest.raises(ValueError, match="no optimizer"):
        memory(cnndsl.load("lenet5"), optimizer="lion")
