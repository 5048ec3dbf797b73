"""Memory by liveness; the best order equals brute force; the arena never overlaps."""

import random
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

import cnndsl
from cnndsl.analysis.memory import arena, memory, saved, source_peak
from cnndsl.analysis.schedule import best_order, buffers, peak
from tests.small_zoo import full


def model(lines: str) -> cnndsl.Network:
    return cnndsl.loads(f"model M: x[3, H=16, W=16] -> y {{\n{lines}\n}}")


TORCHVISION = {
    "resnet50": "resnet50", "mobilenetv2": "mobilenet_v2", "googlenet_bn": "googlenet",
    "efficientnet_b0": "efficientnet_b0", "vgg16": "vgg16", "alexnet": "alexnet",
    "mobilenetv3_large": "mobilenet_v3_large", "shufflenetv2": "shufflenet_v2_x1_0",
    "mnasnet": "mnasnet1_0",
}  # fmt: skip
"""Networks whose modules torchvision cuts as our files cut their blocks."""
MEBIBYTES = {
    "resnet50": 9.95, "mobilenetv2": 9.95, "googlenet_bn": 6.12, "efficientnet_b0": 9.95,
}  # fmt: skip

# torchvision keeps the features of a dense block in a list, and concatenates it anew for
# every layer; `Squeeze` is its `bn_function`, which holds the tensor that it is given.
DENSENET = """
default conv(bias=false)
block Squeeze(k: int) { bn -> relu -> conv(4 * k, 1x1) }
block DenseBlock(n: int, k: int): x[C, H, W] -> out {
  f[0]: x
  for i in 1..n + 1 {
    f[i]: concat { f[*] } -> Squeeze(k) -> bn -> relu -> conv(k, 3x3)
  }
  out: concat { f[*] }
}
block Transition { bn -> relu -> conv(in.c // 2, 1x1) -> avgpool(2x2) }
model ListDenseNet121(k: int = 32): image[3, H=224, W=224] -> logits[1000] {
  conv(2 * k, 7x7, stride=2, norm=bn, act=relu) -> maxpool(3x3, stride=2, pad=1)
  DenseBlock(6, k) -> Transition -> DenseBlock(12, k) -> Transition
  DenseBlock(24, k) -> Transition -> DenseBlock(16, k) -> bn -> relu
  logits: gap -> linear(1000)
}
"""


def measured(name: str, *, inplace: bool | None) -> int:
    """The peak of one of torchvision's networks at 224, as PyTorch holds it."""
    torch = pytest.importorskip("torch")
    from tests.analysis.alive import peak as alive
    from tests.torchvision_cpu import torchvision

    unset = {"init_weights": False} if name == "googlenet" else {}
    with torch.device("meta"):
        module = getattr(torchvision.models, name)(weights=None, **unset)
    return alive(module, (3, 224, 224), inplace=inplace)


@pytest.mark.parametrize("name", TORCHVISION)
def test_the_peak_is_what_pytorch_holds_of_torchvisions_network_to_the_byte(name: str) -> None:
    network = full(name)
    for inplace in (False, True):
        found = source_peak(network, inplace=inplace)
        assert found == measured(TORCHVISION[name], inplace=inplace)
    if name in MEBIBYTES:
        assert source_peak(network) / 2**20 == pytest.approx(MEBIBYTES[name], abs=0.01)


def test_densenets_peak_is_its_list_of_features_and_its_activations_in_place() -> None:
    listed, threaded = cnndsl.loads(DENSENET), cnndsl.load("densenet121")
    assert listed.macs == threaded.macs
    assert listed.parameters == threaded.parameters
    map_ = 4 * 56 * 56
    # The list and its concatenation, the norm, and what follows: conv or activation.
    assert source_peak(listed, inplace=True) == map_ * (3 * 224 + 128)
    assert source_peak(listed) == map_ * 4 * 224
    assert source_peak(listed, inplace=True) / 2**20 == pytest.approx(9.57, abs=0.005)
    for inplace in (False, True):
        assert source_peak(listed, inplace=inplace) == measured("densenet121", inplace=inplace)
    assert measured("densenet121", inplace=None) == source_peak(listed, inplace=True)
    # The shipped file hands one tensor on; its peak is the first transition's.
    assert source_peak(threaded) == map_ * 3 * 256


def autograd_keeps(network: cnndsl.Network, batch: int) -> int:
    """Bytes of the storages that a training forward pass keeps, weights left out."""
    torch = pytest.importorskip("torch")
    # The meta device lays attention's output out in another order, which is then copied.
    device = "cpu" if any(node.op.name == "attention" for node in network) else "meta"
    with torch.device(device):
        module = network.to_torch().train()
        inputs = [torch.zeros(batch, *map(int, t.shape)) for t in network.inputs.values()]
    own = {t.untyped_storage()._cdata for t in (*module.parameters(), *module.buffers())}
    found: dict[int, Any] = {}

    def pack(x: Any) -> Any:
        found[x.untyped_storage()._cdata] = x
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        module.to(device)(*inputs)
    kept = sum(x.untyped_storage().nbytes() for key, x in found.items() if key not in own)
    # On the meta device alone a norm in evaluation keeps statistics too.
    frozen = [node for node in network if node.op.name == "frozen_bn"]
    return kept - sum(2 * 4 * int(network.shapes[node.name][0][0]) for node in frozen)


QUICK = {
    "alexnet_2012", "conv_kinds", "convnext_tiny", "dcnv2_resnet50", "densenet121",
    "efficientnet_b0", "faster_rcnn_resnet50_fpn", "googlenet", "lenet5",
    "mask_rcnn_resnet50_fpn", "mobilenetv2", "mobilenetv3_large", "nonlocal_resnet50",
    "rednet50", "regnety_400mf", "shufflenetv2", "squeezenet1_0", "ssdlite320_mobilenetv3",
    "unet", "xception", "yolov2",
}  # fmt: skip
ZOO = [
    pytest.param(path.stem, marks=[] if path.stem in QUICK else pytest.mark.slow)
    for path in sorted((Path(__file__).parents[2] / "archs").glob("*.arch"))
]


@pytest.mark.parametrize("name", ZOO)
def test_what_training_saves_is_what_autograd_keeps_to_the_byte(name: str) -> None:
    network = full(name)
    assert saved(network, 2) == autograd_keeps(network, 2)


def test_mobilenetv2_keeps_the_inputs_of_its_clipped_activations() -> None:
    training = memory(cnndsl.load("mobilenetv2"), batch=2).training
    assert training.saved / 2**20 == pytest.approx(149.3, abs=0.05)


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
    network = full(name)
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
    network = full(name)
    order, _ = best_order(network)
    place = {node: number for number, node in enumerate(order)}
    assert sorted(order) == sorted(node.name for node in network)
    assert all(place[u] < place[v] for u, v, _ in network.graph.edges)
    found = memory(network)
    assert found.best <= found.freed <= found.peak


def test_it_prints_itself_and_draws_a_timeline() -> None:
    found = memory(cnndsl.load("unet"), batch=2, optimizer="adam", inplace=True)
    assert "activations, peak" in str(found)
    assert found.training.optimizer == 2 * found.parameters
    made = found.svg()
    assert made.startswith("<svg")
    assert "U-Net: activations alive" in made
    assert found.rows()[0] == {"node": "image", "bytes": 0}
    with pytest.raises(ValueError, match="unknown optimizer"):
        memory(cnndsl.load("lenet5"), optimizer="lion")
