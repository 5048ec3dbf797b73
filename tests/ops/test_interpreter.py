"""The interpreter, on a network put together by hand."""

from __future__ import annotations

import numpy as np
import pytest

from cnndsl.analysis.weights import expected_weights, random_weights
from cnndsl.backends.numpy.interpreter import Interpreter
from cnndsl.diagnostics import ArchError, Source, Span
from cnndsl.graph import Network, Node, Wires
from cnndsl.ops.facts import Shape
from cnndsl.structure import Block, Definition, Tensor
from tests.ops.cases import made

SPAN = Span(Source("hand.arch", "model Hand"), 0, 10)


class Build:
    """Adds layers to a graph as elaboration does."""

    def __init__(self) -> None:
        self.wires = Wires()
        self.shapes: dict[str, tuple[Shape, ...]] = {}

    def add(
        self, name: str, op: str, *operands: Tensor, path: str = "", **arguments: object
    ) -> tuple[Tensor, ...]:
        inputs = tuple(tensor.shape for tensor in operands)
        layer = made(op, arguments, *inputs)
        shared = bool(path) and path != name
        node = Node(name, layer, (path or name, op), SPAN, shared=shared)
        self.wires.add(node, ((tensor.node, tensor.output) for tensor in operands))
        self.shapes[name] = layer.shapes(*inputs)
        return tuple(Tensor(name, i, shape) for i, shape in enumerate(self.shapes[name]))

    def network(self, inputs: dict[str, Tensor], outputs: dict[str, Tensor]) -> Network:
        block = Block(Definition("Hand", SPAN), (), {}, {}, inputs, outputs, [])
        return Network("Hand", self.wires, block, inputs, outputs, {}, self.shapes)


@pytest.fixture
def network() -> Network:
    """y = conv(left) + conv(right) with one conv; z = relu(y) + relu(y)."""
    build = Build()
    (image,) = build.add("image", "input", sizes=(4, 5, 5))
    (stem,) = build.add("stem", "bn", image)
    left, right = build.add("halves", "split", stem, sections=2)
    (a,) = build.add("head", "conv", right, out=3, kernel=3)
    (b,) = build.add("head~2", "conv", left, path="head", out=3, kernel=3)
    (y,) = build.add("y", "add", a, b)
    (relu,) = build.add("relu", "relu", y)
    (z,) = build.add("z", "add", relu, relu)
    return build.network({"image": image}, {"y": y, "z": z})


def test_the_outputs_are_what_the_layers_compute(network: Network) -> None:
    weights = random_weights(network, 0)
    weights["stem.bn.running_mean"] += 1
    x = np.random.default_rng(1).normal(size=(3, 4, 5, 5)).astype("float32")
    outputs = Interpreter(network, weights)(x)
    normal = (x - 1) / np.sqrt(np.float32(1 + 1e-5))
    head = network.node("head").op
    own = {name: weights[f"head.conv.{name}"] for name in ("weight", "bias")}
    y = head.run(normal[:, 2:], **own) + head.run(normal[:, :2], **own)
    assert list(outputs) == ["y", "z"]
    np.testing.assert_allclose(outputs["y"], y, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(outputs["z"], 2 * np.maximum(y, 0), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_it_computes_in_the_type_of_its_inputs(network: Network, dtype: str) -> None:
    outputs = Interpreter(network, random_weights(network, 0))(
        image=np.ones((1, 4, 5, 5), dtype)
    )
    assert {y.dtype for y in outputs.values()} == {np.dtype(dtype)}


def test_one_output_is_an_array() -> None:
    build = Build()
    (x,) = build.add("x", "input", sizes=(3,))
    (y,) = build.add("y", "relu", x)
    run = Interpreter(build.network({"x": x}, {"y": y}), {})
    np.testing.assert_array_equal(run(np.array([[-1.0, 0.0, 2.0]])), [[0, 0, 2]])


def test_an_input_may_be_an_output() -> None:
    build = Build()
    (x,) = build.add("x", "input", sizes=(3,))
    (y,) = build.add("y", "relu", x)
    outputs = Interpreter(build.network({"x": x}, {"x": x, "y": y}), {})(-np.ones((1, 3)))
    np.testing.assert_array_equal(outputs["x"], -np.ones((1, 3)))


def test_a_value_is_dropped_after_its_last_use(network: Network) -> None:
    dead = Interpreter(network, random_weights(network, 0)).dead
    assert dead == {
        "stem": ["image"], "halves": ["stem"], "head": [], "head~2": ["halves"],
        "y": ["head", "head~2"], "relu": [], "z": ["relu"],
    }  # fmt: skip


def test_shared_layers_have_one_set_of_weights(network: Network) -> None:
    expected = expected_weights(network)
    assert [name for name in expected if name.startswith("head")] == [
        "head.conv.weight",
        "head.conv.bias",
    ]
    assert expected["head.conv.weight"][0].name == "head"


def test_random_weights_follow_each_layers_init_and_the_seed(network: Network) -> None:
    weights = random_weights(network, 0)
    again, other = random_weights(network, 0), random_weights(network, 1)
    assert list(weights) == list(expected_weights(network))
    assert all((weights[name] == again[name]).all() for name in weights)
    assert (weights["head.conv.weight"] != other["head.conv.weight"]).any()
    assert (weights["stem.bn.running_var"] == 1).all()
    assert (weights["stem.bn.bias"] == 0).all()
    assert weights["stem.bn.num_batches_tracked"].dtype == np.int64
    assert {w.dtype for name, w in weights.items() if "tracked" not in name} == {
        np.dtype("float32")
    }


def test_what_is_not_said_begins_as_in_pytorch() -> None:
    build = Build()
    (x,) = build.add("x", "input", sizes=(64, 4, 4))
    (y,) = build.add("conv", "conv", x, out=32, kernel=3)
    (f,) = build.add("flat", "flatten", y)
    (z,) = build.add("fc", "linear", f, out=16)
    weights = random_weights(build.network({"x": x}, {"z": z}), 0)
    for key, fan in (("conv.conv", 64 * 9), ("fc.linear", 32 * 16)):
        for name, least in (("weight", 0.99), ("bias", 0.8)):
            largest = np.abs(weights[f"{key}.{name}"]).max() * fan**0.5
            assert least < largest <= 1.0000001


GOOD = np.zeros((1, 4, 5, 5), "float32")


@pytest.mark.parametrize(
    ("arrays", "named", "message"),
    [
        ((), {}, "`image` is missing"),
        ((), {"imag": GOOD}, "has no input `imag`"),
        ((GOOD, GOOD), {}, "takes 1 input, but 2 were given"),
        ((GOOD,), {"image": GOOD}, "`image` is given twice"),
        ((GOOD[0],), {}, "`image` has 3 axes, and must have 4"),
        ((GOOD[:, :3],), {}, r"`image` is \[3, 5, 5\] a sample, but must be \[4, 5, 5\]"),
        ((GOOD.astype(int),), {}, "`image` is int64, but must be float32 or float64"),
        ((GOOD.astype("float16"),), {}, "`image` is float16"),
    ],
)
def test_a_wrong_input_is_named(
    network: Network, arrays: tuple, named: dict, message: str
) -> None:
    with pytest.raises(ArchError, match=message) as caught:
        Interpreter(network, random_weights(network, 0))(*arrays, **named)
    assert {d.code for d in caught.value.diagnostics} == {"E602"}


def test_inputs_of_different_batches_or_types_are_an_error() -> None:
    build = Build()
    (x,) = build.add("x", "input", sizes=(3,))
    (y,) = build.add("y", "input", sizes=(3,))
    (z,) = build.add("z", "add", x, y)
    run = Interpreter(build.network({"x": x, "y": y}, {"z": z}), {})
    with pytest.raises(ArchError, match="different batch sizes: `x` 1, `y` 2"):
        run(np.zeros((1, 3)), y=np.zeros((2, 3)))
    with pytest.raises(ArchError, match="different types: `x` float64, `y` float32"):
        run(np.zeros((1, 3)), np.zeros((1, 3), "float32"))


def test_every_wrong_weight_is_named_with_its_layer(network: Network) -> None:
    weights = random_weights(network, 0)
    del weights["stem.bn.weight"]
    weights["stem.bn.bia"] = weights["stem.bn.bias"]
    weights["head.conv.bias"] = np.zeros(4, "float32")
    weights["head.conv.weight"] = weights["head.conv.weight"].astype(int)
    with pytest.raises(ArchError) as caught:
        Interpreter(network, weights)
    text = str(caught.value)
    assert {d.code for d in caught.value.diagnostics} == {"E603"}
    for message in (
        "no layer owns the weight `stem.bn.bia`",
        "did you mean `stem.bn.bias`?",
        "`stem.bn.weight` is missing",
        "`head.conv.bias` is [4], but must be [3]",
        "`head.conv.weight` is int64, but must be float32 or float64",
        "hand.arch:1:1",
    ):
        assert message in text


def test_counters_are_not_needed(network: Network) -> None:
    weights = random_weights(network, 0)
    del weights["stem.bn.num_batches_tracked"]
    assert Interpreter(network, weights)(GOOD)
