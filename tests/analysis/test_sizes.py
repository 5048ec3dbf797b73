"""Closed forms equal elaboration; the valid sizes are those that PyTorch accepts."""

import random

import pytest

import cnndsl
from cnndsl import language
from cnndsl.analysis.accepts import Valid
from cnndsl.analysis.closed import closed_forms, free_parameters
from cnndsl.analysis.propagate import sizes_of
from cnndsl.analysis.sizes import sizes
from cnndsl.diagnostics import ArchError
from cnndsl.files import shipped
from cnndsl.language.modules import Loader
from cnndsl.symbolic import formula

NETWORKS = list(shipped())
RESNET18 = (
    "9408⌈H/2⌉⌈W/2⌉ + 147456⌈H/4⌉⌈W/4⌉ + 524288⌈H/8⌉⌈W/8⌉ + 2097152⌈H/16⌉⌈W/16⌉"
    " + 8388608⌈H/32⌉⌈W/32⌉ + 512000"
)


def resized(name: str, network: cnndsl.Network, values: dict[str, int]) -> cnndsl.Network:
    """The network elaborated anew, its named sizes being these."""
    spelt, _ = sizes_of(network)
    bindings = {atom: values[size] for atom, size in spelt.items()}
    inputs = {
        port: tuple(int(formula(n).evaluate(bindings)) for n in tensor.shape)
        for port, tensor in network.inputs.items()
    }
    return cnndsl.load(name, inputs=inputs)


def agree(name: str, tries: int, seed: int = 0) -> int:
    """Compare formulas with elaboration at random sizes; how many could be elaborated."""
    network = cnndsl.load(name)
    forms = closed_forms(network)
    chance = random.Random(seed)
    met = 0
    for _ in range(4 * tries):
        if met == tries:
            break
        values = {
            key: chance.randint(max(1, own // 2), 2 * own) for key, own in forms.sizes.items()
        }
        try:
            other = resized(name, network, values)
        except ArchError:
            continue
        met += 1
        found = forms.at(**values)
        assert found["macs"] == other.macs, values
        assert found["parameters"] == other.parameters, values
        for node, shapes in forms.shapes.items():
            concrete = tuple(tuple(map(int, shape)) for shape in other.shapes[node])
            spelt = tuple(tuple(n.at(values) for n in shape) for shape in shapes)
            assert spelt == concrete, (node, values)
    return met


def test_the_closed_form_of_resnet18_is_that_of_its_stages() -> None:
    assert str(closed_forms(cnndsl.load("resnet18")).macs) == RESNET18


@pytest.mark.parametrize("name", ["resnet18", "unet", "fcn8s", "alexnet", "shufflenetv2"])
def test_substituting_sizes_equals_elaborating_at_them(name: str) -> None:
    assert agree(name, 3)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_substituting_sizes_equals_elaborating_at_a_hundred_random_ones(name: str) -> None:
    assert agree(name, 100, seed=1)


def test_an_integer_parameter_is_free_where_a_formula_holds_and_fixed_where_none_does() -> None:
    text = """
block B(c: int) { conv(c, 3x3) }
model M(c: int = 8, n: int = 2, classes: int = 5): x[3, H=8, W=8] -> y[classes] {
  B(c) * n
  y: gap -> linear(classes)
}
"""
    definition = language.pick(Loader().text(text, "m"))

    def build(values, shapes):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        return language.elaborate(definition, values, shapes)

    forms = closed_forms(free_parameters(build, build({}, {})))
    assert set(forms.sizes) == {"H", "W", "c", "classes"}
    other = build({"c": 11, "classes": 7}, {"x": (3, 9, 10)})
    assert forms.at(c=11, classes=7, H=9, W=10)["macs"] == other.macs
    assert forms.at(c=11, classes=7)["parameters"] == other.parameters
    assert str(forms.parameters) == "29c + 9c² + c·classes + classes"


@pytest.mark.parametrize(
    ("name", "words", "smallest"),
    [
        ("unet_bn", "H and W divisible by 16", 16),
        ("unetpp", "H and W divisible by 16", 16),
        ("mobilenetv2", "H and W at least 1", 1),
        ("alexnet", "H and W 223 to 254", 223),
        ("unet", "H and W at least 188", 188),
    ],
)
def test_valid_sizes_in_words(name: str, words: str, smallest: int) -> None:
    found = sizes(cnndsl.load(name))
    assert found.words() == words
    assert found.smallest["H"] == smallest


def test_a_two_level_unet_needs_a_multiple_of_four_and_the_join_is_to_blame() -> None:
    network = cnndsl.loads("""
block Up(c: int): (skip_in, deep) -> out {
  up: deep -> deconv(c, 2x2, stride=2)
  out: concat { skip_in; up } -> conv(c, 3x3)
}
model U: x[1, H=32, W=32] -> y {
  d0: conv(4, 3x3)
  d1: maxpool(2x2) -> conv(8, 3x3)
  d2: maxpool(2x2) -> conv(16, 3x3)
  e1: Up(8) { d1; d2 }
  y: Up(4) { d0; e1 }
}
""")
    found = sizes(network)
    assert found.words() == "H and W divisible by 4"
    assert found.nearest(H=33) == {"H": 32}
    assert found.nearest(H=35) == {"H": 36}
    blame = found.blame(H=34)
    assert blame is not None
    assert blame.node == "e1.Up.out.concat"
    assert "cannot concatenate" in blame.reason
    assert found.blame(H=36) is None


def test_sizes_beyond_those_tried_follow_the_period() -> None:
    valid = Valid("H", (4, 8, 12, 16), 16, 4, (0,))
    assert 4_000 in valid
    assert 4_001 not in valid
    assert valid.nearest(4_001) == 4_000
    assert "H" not in valid


META = [
    "unet", "unet_bn", "unetpp", "attention_unet", "fcn8s", "fpn_resnet50", "resnet18",
    "mobilenetv2", "alexnet", "squeezenet1_1", "nin_cifar10", "googlenet", "densenet121",
    "hypercolumn_vgg16", "lenet5",
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", META)
def test_a_size_is_valid_exactly_where_pytorch_runs(name: str) -> None:
    torch = pytest.importorskip("torch")
    network = cnndsl.load(name)
    module = network.to_torch().eval().to("meta")
    valid = sizes(network).valid["H"]
    (tensor,) = network.inputs.values()
    channels, _, width = map(int, tensor.shape)
    for height in range(1, 257):
        image = torch.empty(1, channels, height, width, device="meta")
        try:
            with torch.no_grad():
                module(image)
            runs = True
        except RuntimeError:
            runs = False
        assert runs == (height in valid), height
