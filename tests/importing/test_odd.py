"""Modules that nobody would write for us: right, or refused for what they are."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cnndsl.diagnostics import ArchError
from cnndsl.importing import from_torch
from tests.importing import odd

SAID: list[type[nn.Module]] = [
    *(odd.Window, odd.Normless, odd.Blurred, odd.Nested, odd.Lists, odd.Einsum, odd.Parts),
    *(odd.InPlace, odd.Functional, odd.Switched, odd.Cells, odd.Padded, odd.Warped),
    *(odd.Heads, odd.Described, odd.Twice, odd.Branches, odd.Aggregated),
    *(odd.Biased, odd.Turns, odd.Voting, odd.Causal, odd.Unsigned, odd.Formulas),
    *(odd.Placed, odd.Written, odd.Spelled, odd.Columns),
]
REFUSED: dict[type[nn.Module], str] = {
    odd.Tied: "`up.weight` is read by 2 layers, one behind another: a file would give each its",
    odd.Shared: "`norm.weight` is read by 3 layers, one behind another: a file would give each",
    odd.Scales: "it is called 2 times, with different numbers each time",
    odd.Gathered: "`argsort` has no word in the language",
    odd.Random: "`randn_like` has no word in the language",
    odd.Statistics: "`seen`, a saved buffer, all 0 now",
    odd.Learns: "the buffer `kernel`: a file would learn it",
    odd.Rewritten: "`zero_` writes into a part of a tensor",
    odd.Overlapping: "`col2im` of columns that overlap, or leave a border",
    odd.Restless: "inner.0: its `weight` is different at each call",
}


@pytest.mark.parametrize("kind", SAID, ids=lambda kind: kind.__name__)
def test_an_odd_module_is_imported_and_equal(kind: type[nn.Module]) -> None:
    torch.manual_seed(0)
    module = kind().eval()
    found = from_torch(module, (3, 16, 16))
    image = torch.randn(2, 3, 16, 16)
    with torch.inference_mode():
        theirs = module(image.clone())
        ours = found.network.to_torch(found.weights).eval()(image)
    theirs = list(theirs.values()) if isinstance(theirs, dict) else [theirs]
    for one, other in zip(theirs, ours if len(theirs) > 1 else [ours], strict=True):
        assert (one - other).abs().max() <= 1e-5 * one.abs().max()
    read = {*found.names.values()}
    used = sum(p.numel() for name, p in module.named_parameters() if name in read)
    assert found.network.parameters == used


def test_a_weight_that_is_computed_at_each_call_is_stored() -> None:
    torch.manual_seed(0)
    module = odd.Normed()
    names, image = [*module.state_dict()], torch.randn(2, 3, 16, 16)
    module(image).sum().backward()  # which leaves weights that have a history
    module.eval()
    with torch.inference_mode():
        theirs = module(image)
    found = from_torch(module, (3, 16, 16))
    computed = ["first.weight", "second.weight", "third.weight"]
    assert f"at each call, stored here: {', '.join(computed)} and 3 more" in found.report
    assert set(computed) < {*found.names.values()}
    with torch.inference_mode():
        ours = found.network.to_torch(found.weights).eval()(image)
        assert torch.equal(module(image), theirs)  # the module itself is as it was
    assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max()
    assert [*module.state_dict()] == names


def test_what_is_recorded_in_steps_is_one_step() -> None:
    text = from_torch(odd.InPlace(), (3, 16, 16)).text
    assert "lrn(n=3, k=2.0)" in text
    assert "crop([12, 12])" in text


def test_a_table_of_distances_is_relative() -> None:
    text = from_torch(odd.Unsigned(), (3, 16, 16)).text
    for given in ("[4, 4]", "[4, 4], signed=false", "[4, 4], signed=false, stride=2"):
        assert text.count(f"relative({given})") == 1


def test_a_pad_in_front_of_a_line_has_its_word() -> None:
    assert "conv(4, 3, pad=causal, dilation=2)" in from_torch(odd.Causal(), (3, 16, 16)).text


def test_attention_is_one_step_in_each_spelling() -> None:
    text = from_torch(odd.Heads(), (3, 16, 16)).text
    assert "attention { skip; skip; skip }" in text
    assert "attention(heads=2, scale=0.3)" in text
    assert "attention(heads=4) {" in text
    assert not any(word in text for word in ("einsum", "softmax", "reshape"))


def test_a_module_that_is_called_again_is_one_with_each() -> None:
    found = from_torch(odd.Twice(), (3, 16, 16))
    for line in (
        "Head each { stem; stem -> maxpool(2x2); stem -> gap(keep=true) }",
        "Both each",
    ):
        assert line in found.text
    assert len(found.names) == sum(1 for _ in odd.Twice().parameters())


def test_a_grid_of_branches_is_one_block_of_any_number() -> None:
    text = from_torch(odd.Branches(), (3, 16, 16)).text
    assert text.count("block ") == 1
    assert "down[j]: branches[j] -> conv(x[j].c, 3x3, stride=2, act=relu) * (i - j - 1)" in text
    assert "upsample(factor=2 ** (j - i)) when j > i" in text


def test_equal_lines_are_a_family() -> None:
    text = from_torch(odd.Aggregated(), (3, 16, 16)).text
    assert "convs: for _ in 0..4 { conv(4, 3x3, act=silu) }" in text
    assert "convs[*] }" in text


def test_functions_by_hand_have_their_words() -> None:
    text = from_torch(odd.Spelled(), (3, 16, 16)).text
    for act in ("hardswish", "silu", "mish", 'gelu(approximate="tanh")', "hardsigmoid"):
        assert f"act={act})" in text
    assert "norm=ln" in text
    assert not any(word in text for word in ("mul", "add", "div", "mean"))


def test_coordinates_are_lines_of_numbers() -> None:
    text = from_torch(odd.Placed(), (3, 16, 16)).text
    assert "values(0..256) -> mul(by=0.00392156862745098)" in text
    assert "values(0..8) -> add" in text


def test_a_number_that_a_size_is_in_fixes_the_size() -> None:
    class Ratio(nn.Module):
        """Two spreads, each by one less than the count: at another size nearly the same."""

        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            below = self.first(x).flatten(2).var(2) + 1e-5
            return below / (self.second(x).flatten(2).var(2) + 1e-5)

    found = from_torch(Ratio(), (3, 16, 16))
    assert "image[3, 16, 16]" in found.text
    assert "the file takes no other size" in found.report


def test_outputs_have_names_that_a_file_can_give() -> None:
    found = from_torch(odd.Described(), (3, 16, 16))
    assert [*found.network.outputs] == ["in1", "conv1", "x3", "image_out"]
    assert "values([0.4, 0.5, 0.6])" in found.text


@pytest.mark.parametrize("kind", REFUSED, ids=lambda kind: kind.__name__)
def test_what_no_file_can_say_is_refused_for_what_it_is(kind: type[nn.Module]) -> None:
    with pytest.raises(ArchError) as caught:
        from_torch(kind(), (3, 16, 16))
    assert caught.value.diagnostics[0].code == "E610"
    assert REFUSED[kind] in caught.value.diagnostics[0].message
