"""Closed forms equal elaboration; the valid sizes are those that PyTorch accepts."""

import random

import pytest
from click.testing import CliRunner

import cnndsl
from cnndsl import language
from cnndsl.analysis.accepts import Valid
from cnndsl.analysis.closed import closed_forms, free_parameters
from cnndsl.analysis.propagate import propagate, size_attributes, sizes_of
from cnndsl.analysis.sizes import sizes
from cnndsl.cli import cli
from cnndsl.diagnostics import ArchError, OpError
from cnndsl.files import shipped
from cnndsl.language.modules import BlockDefinition, Loader
from cnndsl.network import elaborate
from cnndsl.ops.base import Shape
from cnndsl.symbolic import formula

NETWORKS = list(shipped())
RESNET18 = (
    "9408⌈H/2⌉⌈W/2⌉ + 147456⌈H/4⌉⌈W/4⌉ + 524288⌈H/8⌉⌈W/8⌉ + 2097152⌈H/16⌉⌈W/16⌉"
    " + 8388608⌈H/32⌉⌈W/32⌉ + 512000"
)


Found = tuple[int, int, dict[str, tuple[Shape, ...]]]
"""Parameters, multiply-adds, and every node's output shapes."""


def inputs_at(network: cnndsl.Network, values: dict[str, int]) -> dict[str, Shape]:
    """The shapes of the inputs where the named sizes are these."""
    spelt, _ = sizes_of(network)
    bindings = {atom: values[size] for atom, size in spelt.items()}
    return {
        port: tuple(int(formula(n).evaluate(bindings)) for n in tensor.shape)
        for port, tensor in network.inputs.items()
    }


def elaborated(definition: BlockDefinition, inputs: dict[str, Shape]) -> Found:
    """What the file gives, elaborated anew.  Raises ArchError."""
    network = elaborate(definition, {}, inputs)
    shapes = {
        name: tuple(tuple(map(int, shape)) for shape in found)
        for name, found in network.shapes.items()
    }
    return network.parameters, network.macs, shapes


def counted(network: cnndsl.Network, inputs: dict[str, Shape]) -> Found:
    """What the operations themselves say of plain numbers, one after another.

    It is what elaborating anew gives where no attribute depends on the image's size.
    Raises OpError.
    """
    shapes: dict[str, tuple[Shape, ...]] = {}
    known: dict[tuple[object, ...], tuple[tuple[Shape, ...], int, int]] = {}
    parameters = macs = 0
    for node in network:
        if node.name in inputs:
            shapes[node.name] = (inputs[node.name],)
            continue
        given = tuple(
            shapes[producer][output] for producer, output in network.operands(node.name)
        )
        if (node.op, given) not in known:
            made = node.op.shapes(*given)
            if any(n < 1 for shape in made for n in shape):
                raise OpError("empty")
            weights = node.op.weights(*given).values()
            trained = sum(int(weight.size) for weight in weights if weight.trainable)
            plain = tuple(tuple(map(int, shape)) for shape in made)
            known[node.op, given] = plain, trained, int(node.op.macs(*given))
        shapes[node.name], trained, multiplied = known[node.op, given]
        parameters += 0 if node.shared else trained
        macs += multiplied
    return parameters, macs, shapes


def fixed(network: cnndsl.Network) -> bool:
    """Whether no attribute depends on the image's size, nor how often a layer runs."""
    layers = propagate(network).layers
    return all(layer.rows == 1 and not size_attributes(layer.op) for layer in layers)


def agree(name: str, tries: int, seed: int = 0) -> int:
    """Compare formulas with concrete counts at random sizes; how many sizes were valid.

    The file is elaborated anew at each; where attributes are fixed only at the first few,
    and the operations' own rules count the others.
    """
    definition = language.pick(Loader().main(shipped()[name]))
    network = elaborate(definition)
    forms = closed_forms(network)
    anew = 4 if fixed(network) else tries
    chance = random.Random(seed)
    met = 0
    for _ in range(20 * tries):
        if met == tries:
            break
        # Any size, and as often one of the multiples that a U-Net needs.
        steps = {key: chance.choice([1, 1, 1, 8, 16, 32]) for key in forms.sizes}
        values = {
            key: steps[key] * chance.randint(-(-own // 2 // steps[key]), 2 * own // steps[key])
            for key, own in forms.sizes.items()
            if own >= steps[key]
        }
        values = {**forms.sizes, **values}
        inputs = inputs_at(network, values)
        try:
            parameters, macs, shapes = (
                elaborated(definition, inputs) if met < anew else counted(network, inputs)
            )
        except (ArchError, OpError):
            continue
        met += 1
        found = forms.at(**values)
        assert found["macs"] == macs, values
        assert found["parameters"] == parameters, values
        told = {
            node: tuple(tuple(n.at(values) for n in shape) for shape in spelt)
            for node, spelt in forms.shapes.items()
        }
        assert told == shapes, values
    return met


def test_the_closed_form_of_resnet18_is_that_of_its_stages() -> None:
    assert str(closed_forms(cnndsl.load("resnet18")).macs) == RESNET18


@pytest.mark.parametrize("name", ["resnet18", "unet", "fcn8s", "alexnet", "shufflenetv2"])
def test_substituting_sizes_equals_elaborating_at_them(name: str) -> None:
    assert agree(name, 3)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_substituting_sizes_equals_elaborating_at_a_hundred_random_ones(name: str) -> None:
    assert agree(name, 100, seed=1) == 100


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
        return elaborate(definition, values, shapes)

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
        ("yolov3", "H and W ≡ 0 or 25 to 31 (mod 32), at least 25", 25),
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


def test_what_is_asked_of_sizes_is_read_before_anything_is_printed() -> None:
    for asked, told in {
        "H=0": "`H=0` is no size: write H=32",
        "Q=3": "`LeNet5` has no size `Q`; there are H, W, classes",
    }.items():
        result = CliRunner().invoke(cli, ["sizes", "lenet5", "--at", asked])
        assert (result.exit_code, result.output) == (2, f"error: {told}\n")
    twice = ["sizes", "lenet5", "--at", "H=32", "--at", "H=33"]
    assert CliRunner().invoke(cli, twice).output == "error: `H` is given twice\n"


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
