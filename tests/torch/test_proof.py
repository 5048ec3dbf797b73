"""The proof accepts what is the network, and refuses everything else."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - as everyone calls it

from cnndsl import zoo
from cnndsl.analysis.points import points
from cnndsl.analysis.weights import random_weights
from cnndsl.backends.numpy.interpreter import Interpreter
from cnndsl.backends.torch import source, write
from cnndsl.backends.torch.execute import execute
from cnndsl.backends.torch.folding import folded
from cnndsl.backends.torch.names import identifier
from cnndsl.backends.torch.proof import Proof, ProofError, calls, expected, prove, reparse
from cnndsl.graph import Network, key_of
from cnndsl.language import read
from cnndsl.language.elaborate import elaborate
from cnndsl.language.names import OpRef
from cnndsl.network import load, loads
from cnndsl.ops.base import OPS, Op, op
from cnndsl.ops.facts import Call as BaseCall
from cnndsl.ops.facts import Family, Operand, Shape, Torch
from tests.torch.mutants import mutants

HEAD = """
import math
from collections import OrderedDict
from functools import partial
from typing import NamedTuple
import torch
from torch import Tensor, nn
from torch.nn import functional as F
"""


@pytest.mark.parametrize("name", ["mobilenetv2", "unet_bn", "googlenet_bn", "yolov4"])
def test_a_file_for_inference_is_the_folded_network(name: str) -> None:
    network = load(name)
    prove(ast.parse(source(network, optimize=True)), folded(network)[0])
    with pytest.raises(ProofError):
        prove(ast.parse(source(network, optimize=True)), network)


@pytest.mark.slow
@pytest.mark.parametrize("name", zoo())
def test_shipped_networks_are_proved_at_every_point(name: str) -> None:
    for definition in read(name).models.values():
        for point in points(definition):
            # A file is proved as it is written; what cannot be is refused.
            assert write(point.network).fault is None


@pytest.mark.parametrize(
    "name",
    [n if n in ("mobilenetv2", "hrnet_w18") else pytest.param(n, marks=pytest.mark.slow)
     for n in zoo()],
)  # fmt: skip
def test_one_file_is_proved_for_every_argument_of_its_constructor(name: str) -> None:
    for definition in read(name).models.values():
        network = elaborate(definition)
        tree = ast.parse(source(network))
        model = next(
            n
            for n in tree.body
            if isinstance(n, ast.ClassDef) and n.name == identifier(network.name)
        )
        init = next(
            n for n in model.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"
        )
        offered = {a.arg: ast.unparse(a.annotation) for a in init.args.args if a.annotation}
        for point in points(definition):
            given = {identifier(name): value for name, value in point.arguments.items()}
            if point.inputs or not given.keys() <= offered.keys():
                continue  # another size, or what the file does not offer
            for key, value in given.items():
                if isinstance(value, tuple) and offered[key] == "int":
                    given[key] = value[0]  # a cube by its side
            if not any(isinstance(value, OpRef) for value in given.values()):
                prove(tree, point.network, given)


# --- Files written by hand, against a network of one or two lines


def network_of(body: str, shape: str = "4, 8, 12") -> Network:
    return loads(f"model M: image[{shape}] -> y {{ {body} }}")


def file_of(network: Network, modules: tuple[str, ...], forward: str, more: str = "") -> str:
    """A file that registers modules where the network's weights are; `{0}` is the first."""
    keys = [
        key_of(node.path)
        for node in network
        if node.op.weights(*network.input_shapes(node.name))
    ]
    paths = list(dict.fromkeys(keys))
    heads: dict[str, list[str]] = {}
    for path, module in zip(paths, modules, strict=False):
        head, _, rest = path.partition(".")
        assert "." not in rest, path
        heads.setdefault(head, []).append(f'"{rest}": {module}' if rest else module)
    init = [
        f"self.{head} = {held[0]}" if '"' not in held[0] else
        f"self.{head} = nn.ModuleDict({{{', '.join(held)}}})"
        for head, held in heads.items()
    ]  # fmt: skip
    init += modules[len(paths) :]
    calls = [f"self.{path}" for path in paths]
    return "\n".join(
        [
            HEAD,
            more,
            "class M(nn.Module):",
            "    def __init__(self) -> None:",
            "        super().__init__()",
            *(f"        {line}" for line in init),
            "    def forward(self, image: Tensor) -> Tensor:",
            textwrap.indent(forward.format(*calls), " " * 8),
        ]
    )


CONV = "y: conv(8, 3x3)"
MODULE = ("nn.Conv2d(4, 8, 3, padding=1)",)
GATE = "g: gap\n y: mul { image; g }"

RIGHT: dict[str, tuple[str, tuple[str, ...], str]] = {
    "sides by name": (
        CONV,
        ("nn.Conv2d(4, 8, kernel_size=(3, 3), padding=(1, 1))",),
        "return {0}(image)",
    ),
    "defaults said": (CONV, ("nn.Conv2d(4, 8, 3, 1, 1, 1, 1, True)",), "return {0}(image)"),
    "a function for a module": (
        "y: relu",
        ("self.act = nn.ReLU(inplace=False)",),
        "return self.act(image)",
    ),
    "a method for a function": ("y: sigmoid", (), "return image.sigmoid()"),
    "a pool without its stride": ("y: maxpool(2)", (), "return F.max_pool2d(image, (2, 2))"),
    "operands in the other order": (
        "y: add { image; image -> relu }",
        (),
        "return F.relu(image) + image",
    ),
    "three in a sum": (
        "y: add { image; relu; relu6 }",
        (),
        "return sum([image, F.relu(image), F.relu6(image)])",
    ),
    "a mean for a pool": ("y: gap", (), "return image.mean((2, 3))"),
    "a pool and a flatten for a mean": (
        "y: gap",
        (),
        "return torch.flatten(F.adaptive_avg_pool2d(image, 1), 1)",
    ),
    "a mean that keeps its axes": (
        "y: gap(keep=true)",
        (),
        "return image.mean([-1, -2], keepdim=True)",
    ),
    "a view with the batch": ("y: flatten", (), "return image.view(image.shape[0], -1)"),
    "a reshape with all sizes": (
        "y: flatten",
        (),
        "n, c, h, w = image.shape\nreturn image.reshape(n, c * h * w)",
    ),
    "a shuffle by hand": (
        'y: rearrange("(g c) h w -> (c g) h w", g=2)',
        (),
        "n, c, h, w = image.size()\n"
        "return image.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, -1, h, w)",
    ),
    "a chunk for a split": (
        "a, b: split(2)\ny: add { a; b }",
        (),
        "a, b = image.chunk(2, dim=1)\nreturn a + b",
    ),
    "slices for a split": (
        "a, b: split(2)\ny: add { a; b }",
        (),
        "return image[:, :2] + image[:, 2:]",
    ),
    "a gate by unsqueeze": (
        GATE,
        (),
        "g = image.mean((2, 3))\nreturn image * g.unsqueeze(-1).unsqueeze(-1)",
    ),
    "a gate by None": (GATE, (), "return image.mean((2, 3))[:, :, None, None] * image"),
    "in place where nothing reads": (
        f"{CONV} -> relu",
        MODULE,
        "x = {0}(image)\nreturn F.relu(x, inplace=True)",
    ),
    "a sum in place": (
        "a: conv(4, 1x1)\ny: add { a; image }",
        ("nn.Conv2d(4, 4, 1)",),
        "x = {0}(image)\nx += image\nreturn x",
    ),
    "a loop over layers": (
        "a: conv(4, 1x1)\ny: conv(4, 1x1)",
        ("nn.Conv2d(4, 4, 1)",) * 2,
        "for f in ({0}, {1}):\n    image = f(image)\nreturn image",
    ),
    "weights that begin otherwise": (
        "y: conv(8, 3x3, init=normal(0.01), bias_init=-log((1 - 0.01) / 0.01))",
        (
            *MODULE,
            "for m in self.modules():",
            "    if isinstance(m, nn.Conv2d):",
            "        nn.init.normal_(m.weight, std=0.01)",
            "        with torch.no_grad():",
            "            m.bias.fill_(-math.log((1 - 0.01) / 0.01))",
        ),
        "return {0}(image)",
    ),
    "modules by names": (
        "y: relu -> relu6",
        (
            "self.acts = nn.ModuleDict()",
            "for i, act in enumerate((nn.ReLU, nn.ReLU6)):",
            "    self.acts[f'act{i}'] = act()",
        ),
        "for act in self.acts.values():\n    image = act(image)\nreturn image",
    ),
    "an output by name": ("y: relu", ("self.names = ('y',)",), "return F.relu(image)"),
}


@pytest.mark.parametrize("name", RIGHT)
def test_other_words_for_the_network_are_accepted(name: str) -> None:
    body, modules, forward = RIGHT[name]
    network = network_of(body)
    text = file_of(network, modules, forward)
    tree = ast.parse(text)
    prove(tree, network)
    reparse(text, tree)
    agrees(text, network)


WRONG: dict[str, tuple[str, tuple[str, ...], str, str]] = {
    "two arguments swapped": (
        CONV,
        ("nn.Conv2d(8, 4, 3, padding=1)",),
        "return {0}(image)",
        "the network has nn.Conv2d",
    ),
    "an attribute dropped": (
        CONV,
        ("nn.Conv2d(4, 8, 3)",),
        "return {0}(image)",
        "padding=(1, 1)",
    ),
    "another attribute": (
        CONV,
        ("nn.Conv2d(4, 8, 3, padding=1, dilation=2)",),
        "return {0}(image)",
        "dilation=(2, 2)",
    ),
    "no bias": (
        CONV,
        ("nn.Conv2d(4, 8, 3, padding=1, bias=False)",),
        "return {0}(image)",
        "bias=False",
    ),
    "a size that is not an integer": (
        CONV,
        ("nn.Conv2d(4, 8, 3.0, padding=1)",),
        "return {0}(image)",
        "cannot be 3.0",
    ),
    "an activation dropped": (
        f"{CONV} -> relu",
        MODULE,
        "return {0}(image)",
        "nothing computes y.relu",
    ),
    "an activation more": (
        CONV,
        MODULE,
        "return F.relu({0}(image))",
        "the output `y` is F.relu",
    ),
    "another activation": (f"{CONV} -> relu", MODULE, "return F.relu6({0}(image))", "F.relu6"),
    "a size of one axis for two": (
        "y: upsample(2)",
        (),
        "return F.interpolate(image, scale_factor=(2,))",
        "not the sizes of 2 axes",
    ),
    "height for width": (
        "y: image -> relu -> resize([8, 12])",
        (),
        "return F.interpolate(F.relu(image), image.shape[3:])",
        "not the sizes of 2 axes",
    ),
    "another slope": (
        "y: leaky(0.1)",
        (),
        "return F.leaky_relu(image, 0.2)",
        "negative_slope=0.2",
    ),
    "another key": (
        CONV,
        (*MODULE, "self.z = nn.Conv2d(4, 8, 3, padding=1)"),
        "return self.z(image)",
        "its key in the network is",
    ),
    "a layer that nothing calls": (
        CONV,
        (*MODULE, "self.z = nn.Linear(2, 2)"),
        "return {0}(image)",
        "nothing calls `z`",
    ),
    "an activation that nothing calls": (
        CONV,
        (*MODULE, "self.z = nn.ReLU()"),
        "return {0}(image)",
        "nothing calls `z`",
    ),
    "a layer that is not registered": (
        "y: relu",
        ("self.acts = [nn.ReLU()]",),
        "return self.acts[0](image)",
        "not registered",
    ),
    "a layer made in forward": ("y: relu", (), "return nn.ReLU()(image)", "not registered"),
    "a layer called twice": (CONV, MODULE, "{0}(image)\nreturn {0}(image)", "once too often"),
    "another operand": (
        "a: conv(4, 1x1)\ny: conv(4, 1x1)",
        ("nn.Conv2d(4, 4, 1)",) * 2,
        "x = {0}(image)\nreturn {1}(image)",
        "of image",
    ),
    "layers in another order": (
        "a: conv(4, 1x1)\ny: conv(4, 1x1)",
        ("nn.Conv2d(4, 4, 1)",) * 2,
        "return {0}({1}(image))",
        "of image",
    ),
    "operands in another order": (
        "y: concat { image; relu }",
        (),
        "return torch.cat([F.relu(image), image], 1)",
        "torch.cat",
    ),
    "another axis": (
        "y: concat { image; relu }",
        (),
        "return torch.cat([image, F.relu(image)], 2)",
        "axis=2",
    ),
    "a sum in another order": (
        "y: add { image; relu; relu6 }",
        (),
        "return image + (F.relu(image) + F.relu6(image))",
        "add",
    ),
    "a product for a sum": (
        "y: add { image; relu }",
        (),
        "return image * F.relu(image)",
        "mul",
    ),
    "a parenthesis": ("y: mul(3) -> relu", (), "return 3 * image * 8 // 8", "floor_div"),
    "another factor": ("y: mul(3)", (), "return image * 3.5", "by=3.5"),
    "the other half": (
        "a, b: split(2)\ny: a -> relu",
        (),
        "return F.relu(image.chunk(2, 1)[1])",
        "F.relu of a.split[1]",
    ),
    "height and width exchanged": (
        "y: flatten",
        (),
        "return image.transpose(2, 3).flatten(1)",
        "permute",
    ),
    "axes exchanged by a view": (
        'y: rearrange("c h w -> c w h")',
        (),
        "n, c, h, w = image.shape\nreturn image.reshape(n, c, w, h)",
        "reshape",
    ),
    "a mean over one axis": ("y: gap", (), "return image.mean(2).mean(2)", "mean"),
    "a batch that is taken for pixels": (
        "y: flatten",
        (),
        "return image.flatten(0, 1)",
        "reshape",
    ),
    "a view of what is not in one piece": (
        'y: rearrange("c h w -> c w h") -> flatten',
        (),
        "return image.transpose(2, 3).view(image.shape[0], -1)",
        "in one piece",
    ),
    "in place what is read later": (
        "a: conv(4, 1x1)\ny: add { a; a -> relu }",
        ("nn.Conv2d(4, 4, 1)",),
        "x = {0}(image)\ny = F.relu(x, inplace=True)\nreturn x + y",
        "overwritten",
    ),
    "the input in place": ("y: relu", (), "return F.relu(image, True)", "in place"),
    "a condition on a tensor": (
        "y: relu",
        (),
        "return F.relu(image) if image else image",
        "a condition on a tensor",
    ),
    "a condition on the batch": (
        "y: relu",
        (),
        "if image.shape[0] == 1:\n    return image\nreturn F.relu(image)",
        "compared",
    ),
    "statistics in another order": (
        "n: bn each { image; image -> relu }\ny: add { n[0]; n[1] }",
        ("nn.BatchNorm2d(4)",),
        "y = {0}(F.relu(image))\nreturn {0}(image) + y",
        "updated in another order",
    ),
    "one dropout for two": (
        "a: dropout(0.5)\nb: image -> dropout(0.5)\ny: add { a; b }",
        ("self.d = nn.Dropout(0.5)",),
        "x = self.d(image)\nreturn x + x",
        "add",
    ),
    "another probability": (
        "y: dropout(0.1)",
        ("self.d = nn.Dropout()",),
        "return self.d(image)",
        "nn.Dropout",
    ),
    "a list of outputs": ("y: relu", (), "return [F.relu(image)]", "not a tensor"),
    "two outputs": ("y: relu", (), "return F.relu(image), image", "not a tensor"),
    "nothing": ("y: relu", (), "F.relu(image)", "not a tensor"),
    "a name before its value": (
        "y: relu",
        (),
        "if False:\n    x = image\nreturn F.relu(x)",
        "no value yet",
    ),
    "a name that is not there": ("y: relu", (), "return F.relu(img)", "not defined"),
    "what nobody knows": ("y: relu", (), "return torch.compile(F.relu)(image)", "not known"),
    "a loop without end": (
        "y: relu",
        ("for i in range(10**9): pass",),
        "return F.relu(image)",
        "steps",
    ),
    "a list without bounds": (
        "y: relu",
        ("self.a = [0] * 10**9",),
        "return F.relu(image)",
        "without bounds",
    ),
    "a number without bounds": (
        "y: relu",
        ("self.a = 10**10**10",),
        "return F.relu(image)",
        "power",
    ),
    "a memory of the last call": (
        "y: relu",
        ("self.seen = []",),
        "self.seen.append(1)\nreturn F.relu(image)",
        "the next one reads",
    ),
    "an iterator for the first call": (
        "y: relu",
        ("self.acts = nn.ModuleList([nn.ReLU()])", "self.turns = zip(self.acts, (1,))"),
        "for act, _ in self.turns:\n    image = act(image)\nreturn image",
        "only the first call",
    ),
    "a module under a name of PyTorch's": (
        "y: relu",
        ("self.train = nn.ReLU()",),
        "return F.relu(image)",
        "an attribute of the class already",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_planted_faults_are_refused(name: str) -> None:
    body, modules, forward, said = WRONG[name]
    network = network_of(body)
    with pytest.raises(ProofError) as found:
        prove(ast.parse(file_of(network, modules, forward)), network)
    assert said in str(found.value)


def test_a_message_names_the_line_and_what_the_network_has() -> None:
    network = network_of("a: relu\n y: a -> conv(8, 3x3)")
    text = file_of(network, ("nn.Conv2d(4, 16, 3, padding=1)",), "return {0}(F.relu(image))")
    with pytest.raises(ProofError) as found:
        prove(ast.parse(text), network)
    line = text.split("\n").index("        return self.y(F.relu(image))") + 1
    assert str(found.value) == (
        f"line {line}, `self.y(F.relu(image))`: `y` is nn.Conv2d(in_channels=4, "
        "kernel_size=(3, 3), out_channels=16, padding=(1, 1)) of a.relu; the network has "
        "nn.Conv2d(in_channels=4, kernel_size=(3, 3), out_channels=8, padding=(1, 1)) of a.relu"
    )


def test_the_same_helper_under_another_text_is_refused() -> None:
    network = network_of("y: crop(4x4)")
    text = source(network)
    prove(ast.parse(text), network)
    assert " // 2" in text
    with pytest.raises(ProofError):
        prove(ast.parse(text.replace(" // 2", " // 3")), network)


def test_what_a_helper_needs_must_be_there() -> None:
    network = load("retinanet_resnet50_fpn")
    text = source(network)
    with pytest.raises(ProofError, match=r"needs `torch`|not defined"):
        prove(ast.parse(text.replace("import torch\n", "", 1)), network)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def f(a, a):\n    return a\n", "duplicate argument"),
        ("def f(a):\n    return a + 1\n", "something else"),
        ("def f(a):\n    return a\n\nx = 1\n", "2 statements"),
        ("def f(a:\n", "does not take"),
    ],
)
def test_a_text_that_is_not_its_tree_is_refused(text: str, said: str) -> None:
    tree = ast.parse("def f(a):\n    return a\n")
    if "duplicate" in said:
        tree.body[0].args.args.append(ast.arg("a"))  # type: ignore[attr-defined]
    with pytest.raises(ProofError, match=said):
        reparse(text, tree)


def test_a_negative_number_is_the_tree_that_python_reads() -> None:
    tree = ast.parse("x = f(0)")
    tree.body[0].value.args[0] = ast.Constant(-1)  # type: ignore[attr-defined]
    reparse("x = f(-1)\n", tree)


# --- Every place of a written file, changed


CHANGED = [
    ("lenet5", (1, 32, 36)),
    ("squeezenet1_1", (3, 64, 80)),
    *(
        pytest.param(name, shape, marks=pytest.mark.slow)
        for name, shape in {
            "mobilenetv2": (3, 32, 64),
            "shufflenetv1": (3, 64, 96),
            "unet": (1, 188, 204),
            "attention_unet": (3, 32, 48),
            "googlenet": (3, 96, 128),
            "regnety_400mf": (3, 64, 96),
        }.items()
    ),
]
"""Networks with an input that PyTorch runs in no time."""


def result(text: str, network: Network) -> dict[str, Any]:
    """What a file computes when it is executed, in evaluation: its outputs in order."""
    weights = random_weights(network, 0)
    for name in weights:
        if name.endswith("running_var"):
            weights[name] += 0.5
    tensors = {name: torch.from_numpy(value) for name, value in weights.items()}
    found = [c for c in vars(execute(text, network.name)).values() if isinstance(c, type)]
    model: Any = next(c for c in reversed(found) if c.__name__ == network.name)()
    model.load_state_dict(tensors, strict=False)
    with torch.inference_mode():
        got = model.eval()(*map(torch.from_numpy, arrays_of(network).values()))
    several = got if isinstance(got, tuple) else (got,)
    return dict(zip(network.outputs, [t for t in several if t is not None], strict=True))


def arrays_of(network: Network) -> dict[str, Any]:
    """Inputs of noise, a batch of two."""
    rng = np.random.default_rng(0)
    shapes = {name: tuple(map(int, t.shape)) for name, t in network.inputs.items()}
    return {n: rng.normal(size=(2, *shape)).astype(np.float32) for n, shape in shapes.items()}


def agrees(text: str, network: Network) -> None:
    """What is executed computes what the interpreter does."""
    weights = random_weights(network, 0)
    (wanted,) = [Interpreter(network, weights)(**arrays_of(network))]
    (got,) = result(text, network).values()
    np.testing.assert_allclose(got.numpy(), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "shape"), CHANGED)
def test_no_change_of_a_file_survives_that_changes_a_result(
    name: str, shape: tuple[int, ...]
) -> None:
    network = load(name, inputs={"image": shape})
    text = source(network)
    tree, wanted = ast.parse(text), result(text, network)
    given = frozenset(Proof(tree, network).expected.layers.library)
    counts, survivors = Counter[str](), []
    for kind, mutant in mutants(tree, given):
        counts[kind] += 1
        try:
            prove(mutant, network)
        except ProofError:
            continue
        survivors.append(ast.unparse(mutant))
    assert len(counts) >= 9  # the kinds that lenet5's few lines offer
    assert len(survivors) < 0.2 * counts.total()
    for survivor in survivors:
        for output, value in result(survivor, network).items():
            torch.testing.assert_close(value, wanted[output], rtol=0, atol=0)


# --- Files as people write them

PARTS = ("conv", "norm")
ROUND8 = '''
def round8(x: float) -> int:
    """To a multiple of 8, and never below 90 %."""
    rounded = max(8, int(x + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * x else rounded
'''

HANDWRITTEN = """
class Layer(nn.Sequential):
    def __init__(self, c_in: int, c: int, s: int = 1, act: type[nn.Module] = nn.ReLU) -> None:
        super().__init__(
            OrderedDict(
                conv=nn.Conv2d(c_in, c, 3, s, 1, bias=False), norm=nn.BatchNorm2d(c), act=act()
            )
        )


class M(nn.Module):
    table = ((16, 1, 1), (24, 2, 2), (24, 1, 1))  # c, n, s

    def __init__(self, classes: int = 2, width: float = 1.0, channels: int = 3) -> None:
        super().__init__()
        c_in = channels
        stages: list[nn.Module] = []
        for c, n, s in self.table:
            c_out = round8(c * width)
            first = Layer(c_in, c_out, s)
            rest = [Layer(c_out, c_out, act=partial(nn.LeakyReLU, 0.01)) for _ in range(n - 1)]
            stages.append(nn.Sequential(first, *rest))
            c_in = c_out
        self.stages = nn.ModuleList(stages)
        head = OrderedDict(linear=nn.Linear(in_features=c_in, out_features=classes))
        self.logits = nn.Sequential(head)
        self.shortcut = True and not c_in % 8
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for m in self.modules():
            if isinstance(m, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(m.weight, mode="fan_out")
                if m.bias is not None:
                    nn.init.zeros_(m.bias)

    def forward(self, image: Tensor) -> Tensor:
        x, found = image, []
        for stage in self.stages:
            x = stage(x)
            found.append(x)
        *_, before, last = found
        if self.shortcut:
            last = before + last
        n, c, *_ = last.shape
        return self.logits(last.mean(dim=(-2, -1)).view(n, c))
"""


BY_HAND = """
default conv, linear(init=kaiming_normal("fan_out"), bias_init=zeros)
model M(width: float = 1.0, classes: int = 2): image[C=3, H=32, W=48] -> logits[classes] {
  a: conv(round8(16 * width), 3x3, norm=bn, act=relu)
  b: conv(round8(24 * width), 3x3, stride=2, norm=bn, act=relu)
    -> conv(round8(24 * width), 3x3, norm=bn, act=leaky)
  c: conv(round8(24 * width), 3x3, norm=bn, act=relu)
  logits: add { c; b } -> gap -> linear(classes)
}
"""


def hand(parameters: dict[str, object], shape: tuple[int, ...]) -> Network:
    return loads(BY_HAND, parameters=parameters, inputs={"image": shape})


def test_a_file_written_by_hand_is_its_network_at_every_argument(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    layers = [f"stages.{n}.{part}" for n in ("0.0", "1.0", "1.1", "2.0") for part in PARTS]
    places = iter([*layers, "logits.linear"])
    usual = {
        node.path: next(places)
        for node in hand({}, (3, 32, 48))
        if node.op.name in ("conv", "bn", "linear")
    }
    monkeypatch.setattr(expected, "key_of", lambda path: usual.get(path, ""))
    text = HEAD + ROUND8 + HANDWRITTEN
    tree = ast.parse(text)
    for arguments, shape in (
        ({}, (3, 32, 48)),
        ({"width": 1.7}, (3, 32, 48)),
        ({"width": 97.3, "classes": 5}, (3, 64, 48)),
        ({"channels": 1}, (1, 32, 48)),
    ):
        given = {name: value for name, value in arguments.items() if name != "channels"}
        prove(tree, hand(given, shape), arguments)
    with pytest.raises(ProofError, match="in_channels=3"):
        prove(tree, hand({}, (1, 32, 48)))
    with pytest.raises(ProofError, match="no such argument"):
        prove(tree, hand({}, (3, 32, 48)), {"depth": 2})


def test_an_operation_that_no_table_has_is_known_as_it_says_itself() -> None:
    @op("hardtanh", Family.ACTIVATION)
    class HardTanh(Op):
        """min(max(x, −1), high).  (*S) → (*S)."""

        high: float = 1.0

        def shape(self, *inputs: Shape) -> Shape:
            return inputs[0]

        def torch(self, *inputs: Shape) -> Torch:
            keywords: dict[str, tuple[object, object]] = {"max_val": (self.high, 1.0)}
            function = BaseCall("F.hardtanh", (Operand(0),), keywords)
            return Torch(BaseCall("nn.Hardtanh", (), keywords), function)

    try:
        network = network_of("y: hardtanh(high=0.5)")
        for text in ("F.hardtanh(image, max_val=0.5)", "self.act(image)"):
            modules = ("self.act = nn.Hardtanh(max_val=0.5)",) if "act" in text else ()
            prove(ast.parse(file_of(network, modules, f"return {text}")), network)
        for text in ("F.hardtanh(image)", "F.hardtanh(image, max_val=0.25)", "F.relu6(image)"):
            with pytest.raises(ProofError):
                prove(ast.parse(file_of(network, (), f"return {text}")), network)
    finally:
        del OPS["hardtanh"]


# --- The tables are PyTorch's


def spelled(name: str) -> Any:
    """What PyTorch calls so."""
    root, _, rest = name.partition(".")
    return getattr({"nn": nn, "F": F, "torch": torch}[root], rest, None)


CALLS = [
    f"{name}{rank}"
    for name in calls.SIGNATURES
    for rank in ("", "1d", "2d", "3d")
    if spelled(f"{name}{rank}") is not None
]


@pytest.mark.parametrize("name", CALLS)
def test_a_call_has_the_arguments_of_pytorch(name: str) -> None:
    known = calls.signature(name)
    if known is None:
        pytest.skip("a name that has no axes")
    found = spelled(name)
    try:
        there = inspect.signature(found)
    except ValueError:
        pytest.skip("PyTorch says nothing of it")
    given = [p for p in there.parameters.values() if p.name not in ("self", "input")]
    if any(p.kind is p.VAR_POSITIONAL for p in given):
        pytest.skip("PyTorch chooses among two functions")
    for (argument, (kind, default)), parameter in zip(
        known.parameters.items(), given, strict=False
    ):
        assert argument == parameter.name
        if default is calls.MISSING:
            assert parameter.default in (parameter.empty, None)
        elif default is None:
            assert parameter.default is None
        else:
            as_read = [
                calls.KINDS[kind](one, known.rank) for one in (default, parameter.default)
            ]
            assert as_read[0] == as_read[1]


@pytest.mark.parametrize("name", calls.SAME)
def test_two_names_of_one_function_compute_the_same(name: str) -> None:
    x = torch.linspace(-8, 8, 2 * 3 * 6 * 6).reshape(2, 3, 6, 6)
    one = calls.one_name(f"{name}2d" if "Pool" in name else name)
    needed = {"F.softmax": (1,), "F.max_pool2d": (2,), "F.avg_pool2d": (2,)}
    needed |= {"F.adaptive_avg_pool2d": (3,), "F.local_response_norm": (5,)}
    needed |= {"F.interpolate": (12,), "F.adaptive_max_pool2d": (3,)}
    arguments = needed.get(one, ())
    wanted = spelled(one)(x, *arguments)
    if name.startswith("."):
        found = getattr(x, name[1:])(*arguments)
    elif name.startswith("nn."):
        found = spelled(f"{name}2d" if "Pool" in name else name)(*arguments)(x)
    else:
        found = spelled(name)(x, *arguments)
    assert torch.equal(found, wanted)
