"""Weights from a module that is run: exact, or refused."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

import cnndsl
from cnndsl.weights import load_weights
from tests.foreign import NETWORKS, filled

FORM = "model M: x[4, H=8, W=8] -> y {{ {} }}"


def conv(entering: int = 4, kernel: int = 3) -> nn.Conv2d:
    return nn.Conv2d(entering, 4, kernel, padding=kernel // 2)


class Parallel(nn.Module):
    """Branches of one form, defined and called in another order than they are joined."""

    def __init__(self) -> None:
        super().__init__()
        self.c, self.a, self.b = conv(), conv(), conv()

    def forward(self, x: Tensor) -> Tensor:
        b, c, a = self.b(x), self.c(x), self.a(x)
        return torch.cat([a, b, c], 1)


class Twice(nn.Module):
    """One module, called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.head, self.body = conv(8), conv()

    def forward(self, x: Tensor) -> Tensor:
        first = self.body(x)
        return self.head(torch.cat([self.body(first.relu()), first], 1))


class Functional(nn.Module):
    """Layers without a module of their own, last ones first."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Parameter(torch.randn(4, 4, 3, 3))
        self.first = nn.Parameter(torch.randn(4, 4, 3, 3))
        self.middle = conv()

    def forward(self, x: Tensor) -> Tensor:
        x = self.middle(F.conv2d(x, self.first, padding=1).relu())
        return F.conv2d(x.relu(), self.last, padding=1)


class Frozen(nn.Module):
    """A part that does not learn, and one that is not in use."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = conv()
        self.body = nn.Sequential(conv(), nn.BatchNorm2d(4), nn.ReLU(inplace=True), conv())
        self.body[1].eval()
        self.body.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


CASES: dict[str, tuple[Callable[[], nn.Module], str, list[str]]] = {
    "parallel": (
        Parallel,
        "y: concat { conv(4, 3x3)\n conv(4, 3x3)\n conv(4, 3x3) }",
        ["a", "b", "c"],
    ),
    "twice": (
        Twice,
        "a: x -> conv(4, 3x3)\n b: a -> relu -> conv(4, 3x3)\n"
        "y: concat { b; a } -> conv(4, 3x3)",
        ["body", "body", "head"],
    ),
    "functional": (
        Functional,
        "y: conv(4, 3x3, bias=false) -> relu -> conv(4, 3x3) -> relu"
        " -> conv(4, 3x3, bias=false)",
        ["first", "middle", "last"],
    ),
    "frozen": (
        Frozen,
        "y: conv(4, 3x3) -> bn -> relu -> conv(4, 3x3)",
        ["body.0", "", "body.3"],
    ),
}


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_layers_are_those_that_receive_the_same(name: str, wrapped: bool) -> None:
    build, text, order = CASES[name]
    network = cnndsl.loads(FORM.format(text))
    module = filled(build()).train()
    modes = {path: part.training for path, part in module.named_modules()}
    before = {k: v.clone() for k, v in module.state_dict().items()}
    given = nn.DataParallel(module) if wrapped else module
    weights = load_weights(network, given)
    found = [value for key, value in weights.items() if value.ndim == 4]
    for path, value in zip(filter(None, order), found, strict=True):
        theirs = before[path if path in before else f"{path}.weight"]
        assert np.array_equal(value, theirs.numpy()), path
    assert {path: part.training for path, part in module.named_modules()} == modes
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())
    assert not any(part._forward_pre_hooks for part in module.modules())
    x = torch.randn(2, 4, 8, 8)
    with torch.no_grad():
        expected = module.eval()(x)
        made = network.to_torch(weights).eval()(x)
    assert float((made - expected).abs().max() / expected.abs().max()) < 1e-5


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (nn.Sequential(conv(), nn.ReLU(), conv(), nn.Tanh()), "outputs are"),
        (nn.Sequential(conv(), conv()), "does not compute what the network does"),
        (nn.Sequential(conv(), nn.ReLU(), conv(kernel=1)), "does not compute"),
        (nn.Sequential(conv(3), nn.ReLU(), conv()), "does not run on the network's inputs"),
        (nn.Sequential(), "does not compute"),
    ],
    ids=["another end", "a layer between", "another kernel", "another input", "nothing"],
)
def test_a_module_that_computes_something_else_is_refused(module: nn.Module, said: str) -> None:
    network = cnndsl.loads(FORM.format("y: conv(4, 3x3) -> relu -> conv(4, 3x3)"))
    modes = [part.training for part in module.modules()]
    with pytest.raises(cnndsl.ArchError, match=said) as caught:
        load_weights(network, module)
    assert "E605" in str(caught.value)
    assert [part.training for part in module.modules()] == modes


class Ends(nn.Module):
    """Two layers that receive the same, registered in the other order, and an end."""

    def __init__(self, end: Callable[[Tensor], Tensor], *, sums: bool) -> None:
        super().__init__()
        self.two, self.one = conv(), conv()
        self.fc = nn.Linear(4 if sums else 8, 2)
        self.end, self.sums = end, sums

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.one(x).relu(), self.two(x).relu()
        joined = a + b if self.sums else torch.cat([a, b], 1)
        return self.end(self.fc(joined.mean((2, 3))))


HIDING: dict[str, Callable[[Tensor], Tensor]] = {
    "reshape(2, 1) -> argmax(0)": lambda x: x.argmax(1, keepdim=True),
    "mul(1e4) -> clamp(-1, 1)": lambda x: (x * 1e4).clamp(-1, 1),
    "mul(1e5) -> sigmoid": lambda x: (x * 1e5).sigmoid(),
    "abs -> neg -> log": lambda x: (-x.abs()).log(),
    "mul(1e30) -> mul(1e30)": lambda x: x * 1e30 * 1e30,
    "mul(0)": lambda x: x * 0,
}
"""Ends at which little or nothing is left of what went before."""


@pytest.mark.parametrize("end", HIDING)
def test_outputs_that_hide_which_layer_is_which_do_not_decide(end: str) -> None:
    joins = "y: {} {{ one: conv(4, 3x3, act=relu)\n two: conv(4, 3x3, act=relu) }} -> gap"
    module = Ends(HIDING[end], sums=False)
    lines = f"{joins.format('concat')} -> linear(2) -> {end}"
    refusal = ""
    try:
        found = load_weights(cnndsl.loads(FORM.format(lines)), module)
        # What is left, such as signs, tells them apart.
        assert np.array_equal(found["one.0.weight"], module.one.weight.detach())
    except cnndsl.ArchError as error:
        refusal = str(error)
    assert not refusal or "2 layers of one shape cannot be told apart" in refusal
    # In a sum either may be either.
    lines = f"{joins.format('add')} -> linear(2) -> {end}"
    load_weights(cnndsl.loads(FORM.format(lines)), Ends(HIDING[end], sums=True))


def test_another_epsilon_is_another_network() -> None:
    network = cnndsl.loads(FORM.format("y: conv(4, 3x3) -> bn"))
    load_weights(network, nn.Sequential(conv(), nn.BatchNorm2d(4)))
    with pytest.raises(cnndsl.ArchError, match="outputs are"):
        load_weights(network, nn.Sequential(conv(), nn.BatchNorm2d(4, eps=1e-3)))


@pytest.mark.parametrize(
    "name",
    [n if "resnet18" in n else pytest.param(n, marks=pytest.mark.slow) for n in NETWORKS],
)
def test_a_module_gives_what_its_state_dict_gives_with_its_map(name: str) -> None:
    foreign = NETWORKS[name]
    network = cnndsl.load(
        name.partition("-")[0],
        inputs={"image": (3, foreign.size, foreign.size)},
        **foreign.settings,
    )
    module = foreign.filled()
    matched = load_weights(network, module.state_dict(), map=foreign.names)
    run = load_weights(network, module)
    assert list(run) == list(matched)
    assert all(np.array_equal(run[name], matched[name]) for name in run)
