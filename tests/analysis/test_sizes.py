"""Closed forms equal elaboration; the valid sizes are those that PyTorch accepts."""

import copy
import random
import time
from dataclasses import replace

import pytest
from click.testing import CliRunner

import cnndsl
from cnndsl import language
from cnndsl.analysis.closed import closed_forms, free_parameters
from cnndsl.analysis.propagate import propagate, size_attributes, sizes_of
from cnndsl.analysis.sizes import sizes
from cnndsl.analysis.valid import Valid
from cnndsl.analysis.weights import expected_weights
from cnndsl.cli import cli
from cnndsl.diagnostics import ArchError, OpError
from cnndsl.files import shipped
from cnndsl.language.modules import Loader
from cnndsl.language.names import BlockDefinition
from cnndsl.network import elaborate
from cnndsl.ops.facts import Shape
from cnndsl.symbolic import formula, strip
from tests.ops.cases import CASES, Case, made

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
        steps = {key: chance.choice([1, 1, 1, 8, 16, 32, 256, 256]) for key in forms.sizes}
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
def test_substituting_sizes_equals_elaborating_at_many_random_ones(name: str) -> None:
    assert agree(name, 25, seed=1) == 25


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
        "H=0": "cannot read the size `H=0`: write H=32",
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


PIECES = {
    "choice": "model M: image[6, H=8, W=8] -> y { y: conv(4 if H > 8 else 8, 1x1) }",
    "contract": """
model M: image[6, H=8, W=8] -> y[1, H, W] {
  d: conv(8, 3x3, stride=2) -> upsample(2)
  y: conv(1, 1x1)
}""",
    "quotient": "model M: image[6, H=16, W=16] -> y { y: avgpool([H // 6, W // 6]) }",
    "given": """
block Pool(sizes: list[int]): x -> y { y: avgpool(sizes) }
model M: image[6, H=16, W=16] -> y { y: Pool([H // 6, W // 6]) }""",
    "repeats": """
model M: image[6, H=16, W=16] -> y { conv(6, 3x3) * (H // 8)
  y: gap -> linear(3) }""",
    "range": """
model M: image[4, H=9, W=16] -> y {
  s: for i in 0..(H // 4) { conv(4 + i, 1x1) }
  y: relu }""",
    "rounded": """
model M: image[4, H=9, W=16] -> y { y: conv(floor(H / 2) + 1, 1x1) -> conv(round(W / 3), 1x1) }
""",
    "compared": """
block B(limit: float): x -> y { a: x -> relu
  y: a -> maxpool(2x2) when x.h > limit
  else y: a }
model M: image[4, H=9, W=16] -> y { y: B(W / 2) -> B(3.5) }""",
    "index": """
model M: image[4, H=20, W=16] -> y { let widths = [2, 3, 5, 7]
  y: conv(widths[H // 8 % 4], 1x1) }""",
    "joined": """
model M: image[4, H=16, W=16] -> y {
  d: conv(4, 3x3, stride=2) -> upsample(2)
  y: add { image; d } }""",
    "multiplied": """
model M: image[4, H=16, W=16] -> y {
  d: conv(4, 3x3, stride=2) -> upsample(2)
  y: mul { image; d } -> conv(2, 3x3) }""",
    "equal": """
block Same(n: int): x[C, H, W] -> y { y: conv(n, 1x1) when H == W
  else y: conv(n + 1, 1x1) }
model M: image[4, H=16, W=16] -> y { y: maxpool(2x2) -> Same(3) }""",
    "power": "model M: image[4, H=4, W=4] -> y { y: conv(H ** 2, 1x1) -> conv(abs(W - 8), 1) }",
}
"""Programs in which a size decides something."""


@pytest.mark.parametrize("name", PIECES)
def test_figures_at_a_size_are_those_of_the_file_elaborated_there(name: str) -> None:
    definition = language.pick(Loader().text(PIECES[name], "m"))
    network = elaborate(definition)
    found = sizes(network)
    held = weights_of(network)
    for height in range(1, 40):
        for width in (height, 16, 7):
            inputs = {"image": (int(network.inputs["image"].shape[0]), height, width)}
            try:
                anew = elaborate(definition, {}, inputs)
            except ArchError:
                with pytest.raises(LookupError):
                    found.at(H=height, W=width)
                assert not found.accepts(H=height, W=width)
                continue
            figures = found.at(H=height, W=width)
            assert figures["macs"] == anew.macs
            assert figures["parameters"] == anew.parameters
            outputs = {name: strip(tensor.shape) for name, tensor in anew.outputs.items()}
            assert figures["outputs"] == outputs
            assert found.accepts(H=height, W=width) == (weights_of(anew) == held)


def weights_of(network: cnndsl.Network) -> dict[str, Shape]:
    """The shapes of its weights, by name."""
    return {name: strip(w.shape) for name, (_, w) in expected_weights(network).items()}


def test_forms_are_given_for_each_branch_with_the_sizes_at_which_it_is_taken() -> None:
    found = sizes(cnndsl.loads(PIECES["choice"]))
    assert list(found.pieces) == ["H ≤ 8", "H > 8"]
    assert [str(forms.parameters) for forms in found.pieces.values()] == ["56", "28"]
    assert "where H > 8" in str(found)


def test_a_contract_of_the_outputs_is_a_condition_on_the_sizes() -> None:
    found = sizes(cnndsl.loads(PIECES["contract"]))
    assert found.words() == "H and W even"
    assert str(found.blame(H=15)) == "<text>:2: `H` is 15, and this is 16"


@pytest.mark.parametrize("size", [16_384, 16_383, 1_000_000])
def test_a_large_declared_size_takes_no_longer(size: int) -> None:
    text = f"""
model M: image[3, H={size}, W={size}] -> y {{
  a: conv(8, 3x3, stride=2) -> conv(8, 3x3, stride=2)
  b: conv(8, 3x3, stride=2)
  y: concat {{ b; a -> maxpool(2x2, ceil=true) }} -> flatten -> linear(2)
}}"""
    start = time.process_time()
    found = sizes(cnndsl.loads(text))
    assert "accepts" in str(found)
    assert time.process_time() - start < 2
    assert found.accepts(H=size)
    assert not found.accepts(H=2 * size)
    assert found.nearest(H=2 * size)["H"] in range(size, size + 8)


@pytest.mark.parametrize("size", [10**6 + 4, 10**9 + 8, 2**39])
@pytest.mark.parametrize(
    ("step", "words", "refused"),
    [
        ("conv(4, 3, pad=valid) -> maxpool(3, pad=valid)", "H and W at least 5", 4),
        ("add { skip; maxpool(4) -> upsample(4) }", "H and W divisible by 4", -1),
        ("conv(4 if H > 9 else 8, 1)", "H at least 10; W at least 1", 9),
        ("mul(7 / (H - 9))", "H at least 10, and 1 to 8; W at least 1", 9),
    ],
)
def test_any_declared_size_is_answered_in_words(
    size: int, step: str, words: str, refused: int
) -> None:
    start = time.process_time()
    found = sizes(cnndsl.loads(f"model M: image[4, H={size}, W={size}] -> y {{ y: {step} }}"))
    assert found.words() == words
    assert found.refused()["H"][0] == (refused if refused > 0 else size - 1)
    assert not found.accepts(H=found.refused()["H"][0])
    assert found.nearest(H=size // 2)["H"] in range(size // 2 - 4, size // 2 + 5)
    assert time.process_time() - start < 2


@pytest.mark.parametrize(
    ("number", "words", "said"),
    [
        ("3 / (H - 4)", "H at least 5, and 1 to 3; W at least 1", "`(H - 4)` is 0"),
        ("(H - 4) ** -2", "H at least 5, and 1 to 3; W at least 1", "`(H - 4)` is 0"),
        ("(H - 4) ** 0.5", "H at least 4; W at least 1", "`(H - 4)` is undefined at -1"),
        ("sqrt(H - 4)", "H at least 4; W at least 1", "`sqrt(H - 4)` is undefined at -1"),
        ("log(H - 4)", "H at least 5; W at least 1", "`log(H - 4)` is undefined at 0"),
        ("7 % (H - 4)", "H at least 5, and 1 to 3; W at least 1", "division by zero"),
        ("1 / W + 7 // (H - 4)", "H at least 5, and 1 to 3; W at least 1", "(H - 4)`"),
    ],
)
def test_a_size_at_which_a_number_is_not_defined_is_refused(
    number: str, words: str, said: str
) -> None:
    text = f"model M: image[2, H=16, W=16] -> y {{ y: mul({number}) }}"
    found = sizes(cnndsl.loads(text))
    assert found.words() == words
    size, blame = found.refused()["H"]
    assert str(blame).endswith(said)
    with pytest.raises(LookupError):
        found.at(H=size)
    with pytest.raises(cnndsl.ArchError):
        cnndsl.loads(text, inputs={"image": (2, size, 16)})


def test_of_fixed_sizes_none_is_the_smallest() -> None:
    found = str(sizes(cnndsl.loads("model M: image[12] -> y { y: linear(4) }")))
    assert found.endswith("accepts    the sizes are fixed")


def test_a_copy_of_a_network_keeps_no_way_back_to_its_file() -> None:
    network = cnndsl.loads(PIECES["choice"])
    assert network.again is not None
    copied = copy.deepcopy(network)
    assert copied.again is None
    assert copied.outputs == network.outputs


@pytest.mark.parametrize("case", CASES, ids=str)
def test_no_attribute_that_is_no_integer_decides_a_size(case: Case) -> None:
    name, arguments, inputs = case
    op = made(name, arguments, *inputs)

    def moved(value: object) -> object:
        if isinstance(value, tuple):
            return tuple(map(moved, value))
        number = isinstance(value, float) and not isinstance(value, bool)
        return value / 2 if number and isinstance(value, float) else value

    # A factor of an upsampling is a fraction of whole numbers, exact in a formula too.
    free = [p.name for p in op.parameters if (name, p.name) != ("upsample", "factor")]
    other = replace(op, **{key: moved(getattr(op, key)) for key in free})
    assert other.shapes(*inputs) == op.shapes(*inputs), name
    assert other.macs(*inputs) == op.macs(*inputs)
    shapes = [[w.shape for w in one.weights(*inputs).values()] for one in (op, other)]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("norm", ["instance_norm", "conv(2, 1) -> gn(2)"])
def test_a_norm_of_one_value_is_no_size_that_is_accepted(norm: str) -> None:
    text = f"model M: image[1, H=4] -> y {{ y: {norm} }}"
    assert "smallest   H=2" in str(sizes(cnndsl.loads(text)))
    with pytest.raises(ArchError):
        cnndsl.loads(text, inputs={"image": (1, 1)})


def test_networks_of_one_form_are_told_once() -> None:
    text = """
model M: image[3, H=8, W=8] -> y {
  rows: values(0..H) -> reshape(1, H, 1)
  y: add { image; rows } -> conv(2, 1x1)
}"""
    found = sizes(cnndsl.loads(text))
    assert len(found.pieces) > 1
    assert "where" not in str(found)
    assert str(found).count("MACs") == 1


@pytest.mark.parametrize(
    ("gate", "told"),
    [
        ("mean(2, keep=true)", {"": "6H·W"}),
        ("gap(keep=true)", {"": "6H·W"}),
        ("learned([1, 8, 1])", {"H > 1 and W > 1": "6H·W", "H = 1 and W > 1": "48W"}),
    ],
)
def test_a_size_of_one_that_repeats_an_operand_does_not_stand_for_all(
    gate: str, told: dict[str, str]
) -> None:
    text = f"""
model M: image[3, H=8, W=8] -> y {{ y: mul {{ image; {gate} }} -> conv(2, 1x1) }}"""
    found = sizes(cnndsl.loads(text))
    assert {where: str(forms.macs) for where, forms in found.pieces.items()} == told
    assert str(found.forms) in str(found)
