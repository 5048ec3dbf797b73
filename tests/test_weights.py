"""Weights: files, own names, and foreign `state_dict`s matched without their names."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import cnndsl
from cnndsl.analysis.weights import expected_weights, random_weights
from cnndsl.graph import Network
from cnndsl.weights import load_weights, save_weights
from cnndsl.weights.files import read_weights
from cnndsl.weights.layers import theirs
from tests.torchvision_cpu import torchvision

zoo = torchvision.models

SMALL = """
default conv(norm=bn, act=relu)
model Small: image[3, H=8, W=8] -> logits[5] {
  stem: conv(4, 3x3)
  body: conv(4, 3x3) -> conv(8, 1x1)
  logits: gap -> linear(5)
}
"""


def small() -> Network:
    return cnndsl.loads(SMALL)


def message(network: Network, source: Any, **options: Any) -> str:
    with pytest.raises(cnndsl.ArchError) as caught:
        load_weights(network, source, **options)
    return str(caught.value)


def numbered(names: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Arrays each of which holds its own number."""
    return {
        name: np.full(shape, n, np.int64 if name.endswith("tracked") else np.float32)
        for n, (name, shape) in enumerate(names.items())
    }


def own_numbers(network: Network) -> dict[str, np.ndarray]:
    return numbered({n: tuple(w.shape) for n, (_, w) in expected_weights(network).items()})


def same(a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray]) -> bool:
    return list(a) == list(b) and all(
        a[name].dtype == b[name].dtype and a[name].tobytes() == b[name].tobytes() for name in a
    )


# Files


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_own_names_come_back_from_a_file_bit_by_bit(
    tmp_path: Path, suffix: str, dtype: type
) -> None:
    weights = random_weights(small(), 0)
    weights["stem.0.weight"][0] = [np.nan, -0.0, np.inf]
    weights = {k: v.astype(dtype) if v.dtype.kind == "f" else v for k, v in weights.items()}
    path = tmp_path / f"w{suffix}"
    save_weights(path, weights)
    assert same(load_weights(small(), path), weights)
    assert same(load_weights(small(), str(path)), weights)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@settings(max_examples=20, deadline=None)
@given(st.randoms(use_true_random=False), st.sampled_from([".npz", ".safetensors"]))
def test_any_order_of_own_names_gives_the_same(
    tmp_path_factory: pytest.TempPathFactory, shuffle: random.Random, suffix: str
) -> None:
    weights = random_weights(small(), shuffle.randrange(1000))
    names = list(weights)
    shuffle.shuffle(names)
    path = tmp_path_factory.mktemp("w") / f"w{suffix}"
    save_weights(path, {name: weights[name] for name in names})
    assert same(load_weights(small(), path), weights)


@pytest.mark.parametrize("wrap", [lambda w: w, lambda w: {"state_dict": w, "epoch": 3}])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.module."])
def test_checkpoints_of_torch_are_read(tmp_path: Path, wrap: Callable, prefix: str) -> None:
    weights = random_weights(small(), 0)
    tensors = {prefix + name: torch.from_numpy(np.array(w)) for name, w in weights.items()}
    torch.save(wrap(tensors), tmp_path / "w.pth")
    assert same(load_weights(small(), tmp_path / "w.pth"), weights)
    assert same(load_weights(small(), {"model": tensors}), weights)


def test_half_precision_becomes_single(tmp_path: Path) -> None:
    weights = random_weights(small(), 0)
    expected = {k: torch.from_numpy(np.array(w)).bfloat16() for k, w in weights.items()}
    del expected["stem.1.num_batches_tracked"]
    expected = {k: v for k, v in expected.items() if "tracked" not in k}
    found = load_weights(small(), expected)
    assert found["stem.0.weight"].dtype == np.float32
    assert (found["stem.0.weight"] == expected["stem.0.weight"].float().numpy()).all()
    from safetensors.torch import save_file

    save_file(expected, tmp_path / "w.safetensors")
    assert same(load_weights(small(), tmp_path / "w.safetensors"), found)
    halves = {k: v.half() for k, v in expected.items()}
    assert load_weights(small(), halves)["stem.0.weight"].dtype == np.float32


def test_counters_may_be_missing_on_either_side() -> None:
    weights = random_weights(small(), 0)
    without = {k: v for k, v in weights.items() if "tracked" not in k}
    assert same(load_weights(small(), without), weights)
    frozen = cnndsl.loads(SMALL.replace("norm=bn", "norm=frozen_bn"))
    assert "stem.1.num_batches_tracked" not in load_weights(frozen, weights)


class Payload:
    """Executes when it is unpickled."""

    def __reduce__(self) -> tuple[Callable, tuple[str]]:
        return print, ("opened a pickle",)


def test_a_pickle_is_never_opened(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"stem.0.weight": Payload()}, tmp_path / "w.pth")
    np.savez(tmp_path / "w.npz", w=np.array([Payload()], dtype=object))
    np.array([Payload()], dtype=object).dump(tmp_path / "pickle.npz")
    for path in tmp_path.iterdir():
        assert "error[E604]" in message(small(), path)
    assert capsys.readouterr().out == ""


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    assert "does not exist" in message(small(), tmp_path / "none.npz")
    assert "use .safetensors, .npz, .pth or .pt" in message(small(), tmp_path / "w.h5")
    (tmp_path / "dir.npz").mkdir()
    assert "is a directory" in message(small(), tmp_path / "dir.npz")
    for suffix in ("safetensors", "npz", "pth", "pt"):
        for contents in (b"", b"junk" * 100):
            path = tmp_path / f"w.{suffix}"
            path.write_bytes(contents)
            assert f"cannot be read as {suffix}" in message(small(), path)
    np.save(tmp_path / "one.npy", np.zeros(3))
    (tmp_path / "one.npy").rename(tmp_path / "one.npz")
    assert "error[E604]" in message(small(), tmp_path / "one.npz")
    torch.save([1, 2], tmp_path / "list.pt")
    assert "holds no names with weights" in message(small(), tmp_path / "list.pt")


def test_a_mapping_that_contains_itself_is_refused(tmp_path: Path) -> None:
    looped: dict[str, Any] = {}
    looped["state_dict"] = looped
    assert "`state_dict` is not an array" in message(small(), looped)
    torch.save(looped, tmp_path / "loop.pth")
    assert "error[E604]" in message(small(), tmp_path / "loop.pth")


def test_what_is_not_a_regular_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.npz")
    (tmp_path / "device.pth").symlink_to("/dev/zero")
    for name in ("pipe.npz", "device.pth"):
        assert "not a regular file" in message(small(), tmp_path / name)


def test_limits_hold_before_anything_is_read(tmp_path: Path) -> None:
    with (tmp_path / "large.safetensors").open("wb") as file:
        file.truncate(10**12)  # a hole, which takes no room
    assert "the limit is 1,000 MB" in message(small(), tmp_path / "large.safetensors")
    np.savez_compressed(tmp_path / "bomb.npz", a=np.zeros(10**7, np.float32))
    assert (tmp_path / "bomb.npz").stat().st_size < 10**5
    with pytest.raises(cnndsl.ArchError, match="it unpacks to 40 MB; the limit is 10 MB"):
        read_weights(tmp_path / "bomb.npz", 10**7)


def test_arrays_of_no_numbers_are_refused(tmp_path: Path) -> None:
    for value in (np.array([None]), np.array(["a"]), np.zeros(2, complex), 3, [1.0]):
        assert "error[E604]" in message(small(), {"stem.0.weight": value})
    with pytest.raises(cnndsl.ArchError, match="E604"):
        save_weights(tmp_path / "w.npz", {"a": np.array([None])})
    with pytest.raises(cnndsl.ArchError, match=r"use \.safetensors or \.npz"):
        save_weights(tmp_path / "w.pth", {})
    assert not list(tmp_path.iterdir())


def test_a_file_is_replaced_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "w.npz"
    save_weights(path, {"a": np.zeros(2)})
    before = path.read_bytes()

    def fail(*_: object, **__: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(np.lib.format, "write_array", fail)
    with pytest.raises(OSError, match="no space"):
        save_weights(path, {"a": np.ones(2)})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


# Own names


def test_own_names_with_faults_list_both_sides() -> None:
    weights = random_weights(small(), 0)
    weights["extra.weight"] = weights.pop("logits.bias")
    text = message(small(), weights)
    assert "missing     logits.bias" in text
    assert "unexpected  extra.weight" in text


def test_wrong_shapes_and_types_are_said_with_both() -> None:
    weights = random_weights(small(), 0)
    weights["stem.0.weight"] = np.zeros((4, 3, 5, 5), np.float32)
    weights["logits.bias"] = np.zeros(5, np.int64)
    text = message(small(), weights)
    assert "`stem.0.weight` is [4, 3, 5, 5], but must be [4, 3, 3, 3]" in text
    assert "`logits.bias` is int64, but must be floats" in text


# Foreign names


def renamed(network: Network, **order: str) -> dict[str, np.ndarray]:
    """The network's weights as if `order`'s values, their prefixes, were its own names."""
    return {
        foreign + name.removeprefix(own): array
        for own, foreign in order.items()
        for name, array in own_numbers(network).items()
        if name.startswith(own + ".")
    }


NECK = """
model Neck: (c3[8, 8, 8], c4[16, 4, 4], c5[32, 2, 2]) -> (p3, p4, p5) {
  m5: c5 -> conv(4, 1x1)
  m4: add { c4 -> conv(4, 1x1); m5 -> resize(c4.size) }
  m3: add { c3 -> conv(4, 1x1); m4 -> resize(c3.size) }
  p5: m5 -> conv(4, 3x3)
  p4: m4 -> conv(4, 3x3)
  p3: m3 -> conv(4, 3x3)
}
"""


@pytest.mark.parametrize(
    "order",
    [
        {"m3": "inner.0", "m4": "inner.1", "m5": "inner.2"}
        | {"p3": "outer.0", "p4": "outer.1", "p5": "outer.2"},
        {"m3": "lateral3", "p3": "output3", "m4": "lateral4", "p4": "output4"}
        | {"m5": "lateral5", "p5": "output5"},
        {"m5": "lat1", "m4": "lat2", "m3": "lat3", "p5": "smooth1", "p4": "smooth2"}
        | {"p3": "smooth3"},
    ],
    ids=["lists", "levels", "downwards"],
)
def test_output_convolutions_follow_the_numbers_of_their_laterals(order: dict) -> None:
    network = cnndsl.loads(NECK)
    own = own_numbers(network)
    assert same(load_weights(network, renamed(network, **order)), own)


def test_output_convolutions_without_numbers_are_refused_until_a_map_settles_them() -> None:
    network = cnndsl.loads(NECK)
    own = own_numbers(network)
    order = {"m5": "low", "m4": "mid", "m3": "high", "p5": "a", "p4": "b", "p3": "c"}
    foreign = renamed(network, **order)
    text = message(network, foreign)
    assert "3 layers of one shape cannot be told apart" in text
    assert "theirs  a (weight 4×4×3×3, bias 4)" in text
    assert "ours    p5 (weight 4×4×3×3, bias 4)" in text
    assert "cannot be told apart" in message(network, foreign, map={"a": "p5"})
    assert same(load_weights(network, foreign, map={"a": "p5", "b": "p4"}), own)
    assert same(load_weights(network, foreign, map={"a": "p5", "b.weight": "p4"}), own)
    assert "did you mean `p5`?" in message(network, foreign, map={"a": "p55"})
    assert "begins with `z`" in message(network, foreign, map={"z": "p5"})
    assert "`a` cannot be `m5`" in message(network, foreign, map={"a": "m5"})
    assert "`b` cannot be `p5`" in message(network, foreign, map={"a": "p5", "b": "p5"})


def test_the_numbers_of_other_families_do_not_decide() -> None:
    """Stages count 1, 2, 3 upwards, the output convolutions 1, 2 downwards."""
    network = cnndsl.loads(NECK)
    order = {"m3": "layer1", "m4": "layer2", "m5": "layer3"}
    order |= {"p5": "top", "p4": "smooth1", "p3": "smooth2"}
    assert "cannot be told apart" in message(network, renamed(network, **order))


def test_theta_phi_and_g_are_known_by_their_names_alone() -> None:
    network = cnndsl.loads(
        'use "lib/nonlocal.arch" (NonLocal)\nmodel M: x[8, H=4, W=4] -> y { y: NonLocal }'
    )
    ours = [name for name in expected_weights(network) if name.endswith(".weight")]
    prefixes = [name.removesuffix(".weight") for name in ours]
    own = own_numbers(network)
    for names in ("q k v", "k v q"):
        order = dict(zip(prefixes, [*names.split(), "out.0", "out.1"], strict=True))
        said = message(network, renamed(network, **order))
        assert said.startswith("error[E605]")
        assert "cannot be told apart" in said
        given = dict(zip(names.split()[:2], prefixes, strict=False))
        assert same(load_weights(network, renamed(network, **order), map=given), own)
    # Called as ours are, they are known, in any order.
    words = [w for p in prefixes[:3] for w in ("theta", "phi", "g") if w in p.split(".")]
    order = dict(zip(prefixes, [*words, "out.0", "out.1"], strict=True))
    foreign = renamed(network, **order)
    assert same(load_weights(network, foreign), own)
    assert same(load_weights(network, dict(sorted(foreign.items()))), own)


def test_branches_defined_before_the_trunk_keep_their_modules() -> None:
    """A U-Net whose decoder is defined first: order alone would swap the 4 to 4 layers."""
    network = cnndsl.loads("""
block Double(c: int) { conv(c, 3x3) -> conv(c, 3x3) }
model M: x[3, H=8, W=8] -> y {
  down: Double(4)
  deep: maxpool(2x2) -> Double(8)
  up: deconv(4, 2x2, stride=2)
  join: concat { up; down } -> Double(4)
  y: conv(1, 1x1)
}""")
    order = {"up": "ups.0", "join.conv1": "ups.1.0"}
    order |= {"join.conv2": "ups.1.2", "down.conv1": "downs.0.0"}
    order |= {"down.conv2": "downs.0.2", "deep.conv1": "bottom.0"}
    order |= {"deep.conv2": "bottom.2", "y": "final"}
    own = own_numbers(network)
    assert same(load_weights(network, renamed(network, **order)), own)
    # Flat names leave order as the only evidence, and what is settled contradicts it.
    words = [f"{letter}_" for letter in "abcdefgh"]
    flat = dict(zip(order, words, strict=True))
    assert "cannot be told apart" in message(network, renamed(network, **flat))


def test_a_decoder_numbered_downwards_is_refused_in_a_sorted_file() -> None:
    network = cnndsl.loads(
        "model M: x[4, H=8, W=8] -> y { y: { conv(4, 3x3, act=relu) } * 3 -> conv(1, 1x1) }"
    )
    prefixes = list(dict.fromkeys(n.rpartition(".")[0] for n in expected_weights(network)))
    order = dict(zip(prefixes, ["dec3", "dec2", "dec1", "head"], strict=True))
    foreign = renamed(network, **order)
    assert "cannot be told apart" in message(network, foreign)
    assert "cannot be told apart" in message(network, dict(sorted(foreign.items())))


def ends(*between: str) -> tuple[Network, dict[str, np.ndarray]]:
    """Branches of which the first and the last are of one shape, defined as a, b, c …"""
    branches = "; ".join(["conv(4, 1x1)", *between, "conv(4, 1x1)"])
    network = cnndsl.loads(f"model M: x[3, H=4, W=4] -> y {{ y: concat {{ {branches} }} }}")
    names = [name for name in expected_weights(network) if name.endswith("weight")]
    order = zip([n.removesuffix(".weight") for n in names], "abcdefg", strict=False)
    return network, renamed(network, **dict(order))


def test_one_branch_between_two_others_does_not_order_them() -> None:
    network, foreign = ends("conv(8, 3x3)")
    assert "cannot be told apart" in message(network, foreign)


def test_two_branches_between_two_others_show_that_all_are_in_order() -> None:
    network, foreign = ends("conv(8, 3x3)", "conv(8, 5x5)")
    assert same(load_weights(network, foreign), own_numbers(network))
    turned = ["a", "c", "b", "d"]
    other = {f"{p}.{r}": foreign[f"{p}.{r}"] for p in turned for r in ("weight", "bias")}
    assert "cannot be told apart" in message(network, other)


def test_mappings_of_hardly_anything_are_refused() -> None:
    assert "theirs  none" in message(small(), {})
    network = cnndsl.loads(
        "model M: x[4] -> y { y: linear(4, bias=false) -> linear(4, bias=false) }"
    )
    eye = np.eye(4, dtype=np.float32)
    assert "cannot be told apart" in message(network, {"a.weight": eye, "weight": eye})
    assert "ours    y.1 (" in message(network, {"weight": eye})


def test_a_linear_layer_may_be_a_convolution_over_its_whole_input() -> None:
    network = cnndsl.loads("""
model M: x[4, H=2, W=2] -> y {
  a: flatten -> linear(6)
  b: linear(5)
  y: linear(3)
}""")
    own = own_numbers(network)
    foreign = renamed(network, **{"a": "0", "b": "1", "y": "2"})
    foreign["0.weight"] = foreign["0.weight"].reshape(6, 4, 2, 2)
    foreign["1.weight"] = foreign["1.weight"].reshape(5, 6, 1, 1)
    assert same(load_weights(network, foreign), own)


def test_a_leftover_lists_both_sides() -> None:
    network = cnndsl.load("resnet18", classes=10)
    text = message(network, zoo.resnet18(num_classes=11).state_dict())
    assert "theirs  fc (weight 11×512, bias 11)" in text
    assert "ours    logits (weight 10×512, bias 10)" in text
    text = message(network, zoo.resnet34(num_classes=10).state_dict())
    assert "ours    none" in text
    assert "more" in text


def test_modules_of_one_form_are_loaded_alike() -> None:
    """The labels mislead in one block only: its last convolution has one, its shortcut none."""
    network = cnndsl.loads("""
default conv(norm=bn)
block B(c: int) {
  add {
    {
      conv(4, 1x1) -> conv(4, 3x3)
      last: conv(c, 1x1)
    }
    conv(c, 1x1)
  }
}
model M: x[4, H=4, W=4] -> y { y: B(8) -> B(16) }""")
    names = list(dict.fromkeys(n.rpartition(".")[0] for n in expected_weights(network)))
    blocks = ["conv1", "bn1", "conv2", "bn2", "conv3", "bn3", "shortcut.0", "shortcut.1"]
    order = dict(zip(names, [f"{n}.{b}" for n in (0, 1) for b in blocks], strict=True))
    own = own_numbers(network)
    foreign = renamed(network, **order)
    try:
        found = load_weights(network, foreign)
    except cnndsl.ArchError as error:
        assert "cannot be told apart" in str(error) or "of one form" in str(error)  # noqa: PT017
    else:
        assert same(found, own)


def test_a_module_of_one_form_with_a_settled_one_is_loaded_like_it() -> None:
    """The second block's branches are of one shape; the first one's tell which is which."""
    network = cnndsl.loads("""
block B(c: int) { concat { conv(c, 1x1); conv(4, 1x1) } }
model M: x[4, H=4, W=4] -> y { y: B(8) -> B(4) }""")
    own = own_numbers(network)
    names = [name.removesuffix(".weight") for name in own if name.endswith("weight")]
    for inner in ("right left", "left right"):
        first, second = inner.split()
        order = [f"0.{first}", f"0.{second}", f"1.{first}", f"1.{second}"]
        foreign = renamed(network, **dict(zip(names, order, strict=True)))
        assert same(load_weights(network, foreign), own)
        assert same(load_weights(network, dict(sorted(foreign.items()))), own)
    # Other names inside are another form, of which nothing is known.
    order[2:] = ["1.one", "1.two"]
    foreign = renamed(network, **dict(zip(names, order, strict=True)))
    assert "cannot be told apart" in message(network, foreign)


def test_order_of_definition_is_recognised() -> None:
    shapes = {name: tuple(value.shape) for name, value in zoo.resnet18().state_dict().items()}
    assert theirs(shapes).trusted
    assert not theirs({name: shapes[name] for name in sorted(shapes)}).trusted
    assert not theirs({name: shapes[name] for name in reversed(shapes)}).trusted


# What was loaded wrongly, or refused though it is plain


ORDERS = ("as defined", "sorted", "shuffled")


def in_order(state: Mapping[str, Any], order: str) -> dict[str, Any]:
    names = sorted(state) if order == "sorted" else list(state)
    if order == "shuffled":
        random.Random(1).shuffle(names)
    return {name: state[name] for name in names}


def as_theirs(network: Network, *prefixes: str) -> dict[str, np.ndarray]:
    """The network's weights, its layers called so, in its order."""
    own = list(dict.fromkeys(name.rpartition(".")[0] for name in expected_weights(network)))
    return renamed(network, **dict(zip(own, prefixes, strict=True)))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    ("text", "theirs"),
    [
        # A norm before its convolution shares the parent that a norm behind it would.
        (
            "y: bn -> relu -> conv(8, 1x1, bias=false) -> bn -> relu"
            " -> conv(8, 3x3, bias=false)",
            "a.bn a.conv b.bn b.conv",
        ),
        ("y: concat { y: for i in 0..3 { conv(8, 3x3) } }", "convs.0 convs.1 convs.2"),
        (
            "for i in 0..3 { u[i]: image -> conv(8, 3x3) }\n y: concat { u[*] }",
            "convs.0 convs.1 convs.2",
        ),
        (
            "for i in 0..2 { u[i]: image -> conv(8, 3x3) -> conv(8, 3x3) }\ny: concat { u[*] }",
            "paths.0.0 paths.0.1 paths.1.0 paths.1.1",
        ),
        (
            "left: image -> conv(8, 3x3)\nright: image -> conv(8, 3x3)\n"
            "y: concat { right; left }",
            "b.left.0 b.right.0",
        ),
        ("y: concat { left: conv(8, 3x3)\n right: conv(8, 3x3) }", "left right"),
    ],
    ids=["norm before", "list", "family", "paths", "left and right", "branches"],
)
def test_what_corresponds_is_loaded_in_any_order(text: str, theirs: str, order: str) -> None:
    network = cnndsl.loads(f"model M: image[8, H=8, W=8] -> y {{\n{text}\n}}")
    foreign = in_order(as_theirs(network, *theirs.split()), order)
    assert same(load_weights(network, foreign), own_numbers(network))


@pytest.mark.parametrize("order", ORDERS)
def test_layers_defined_before_what_feeds_them_are_refused(order: str) -> None:
    network = cnndsl.loads("""model M: image[3, H=8, W=8] -> y {
  a: conv(8, 3x3)
  b: relu
  c: conv(8, 3x3)
  d: relu
  y: conv(8, 3x3)
}""")
    foreign = as_theirs(network, "stem", "body", "last")
    names = [
        f"{word}.{role}" for word in ("last", "stem", "body") for role in ("weight", "bias")
    ]
    defined = {name: foreign[name] for name in names}
    assert "cannot be told apart" in message(network, in_order(defined, order))
    found = load_weights(network, in_order(defined, order), map={"last": "y"})
    assert same(found, own_numbers(network))


def test_a_modules_own_tensor_stands_before_what_is_inside_it() -> None:
    """SSD's scale is applied behind the layers that PyTorch lists after it."""
    network = cnndsl.loads(
        "model M: x[8, H=4, W=4] -> y { y: conv(8, 3x3) -> relu -> conv(8, 3x3) -> scale }"
    )
    own = own_numbers(network)
    names = list(own)
    theirs = ["0.weight", "0.bias", "2.weight", "2.bias", "gamma"]
    foreign = {f"net.{t}": own[n] for t, n in zip(theirs, names, strict=True)}
    state = {"net.gamma": foreign.pop("net.gamma"), **foreign}
    assert same(load_weights(network, state), own)


def pix2pix(depth: int, width: int) -> str:
    """The generator that halves an image to one pixel, and doubles it back, with skips."""
    channels = [min(width * 2**n, width * 8) for n in range(depth)]
    lines, before = [], "image"
    for n, c in enumerate(channels):
        act = "" if n == 0 else "leaky(0.2) -> "
        norm = ", bias=false) -> bn" if 0 < n < depth - 1 else ")"
        lines.append(f"  d{n}: {before} -> {act}conv({c}, 4x4, stride=2, pad=1{norm}")
        before = f"d{n}"
    for n in reversed(range(1, depth)):
        size = f"{channels[n - 1]}, 4x4, stride=2, pad=1, bias=false"
        lines.append(f"  u{n}: {before} -> relu -> deconv({size}) -> bn")
        lines.append(f"  j{n}: concat {{ d{n - 1}; u{n} }}")
        before = f"j{n}"
    lines.append(f"  y: {before} -> relu -> deconv(3, 4x4, stride=2, pad=1) -> tanh")
    return f"model M: image[3, {2**depth}, {2**depth}] -> y {{\n" + "\n".join(lines) + "\n}"


class Skip(nn.Module):
    """As its authors nest it: down, what is inside, and up again, beside the input."""

    def __init__(
        self, outer: int, inner: int, inside: nn.Module | None, entering: int = 0
    ) -> None:
        super().__init__()
        self.outermost = entering > 0
        norm = inside is not None and not self.outermost
        down = nn.Conv2d(entering or outer, inner, 4, 2, 1, bias=not norm)
        joined = inner if inside is None else 2 * inner
        up = nn.ConvTranspose2d(joined, entering or outer, 4, 2, 1, bias=self.outermost)
        if self.outermost:
            steps = [down, inside, nn.ReLU(), up, nn.Tanh()]
        else:
            steps = [nn.LeakyReLU(0.2), down, nn.BatchNorm2d(inner) if norm else None, inside]
            steps += [nn.ReLU(), up, nn.BatchNorm2d(outer)]
        self.model = nn.Sequential(*(step for step in steps if step is not None))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.model(x)
        return y if self.outermost else torch.cat([x, y], 1)


def generator(depth: int, width: int) -> nn.Module:
    inside: nn.Module | None = None
    for n in reversed(range(1, depth)):
        inside = Skip(
            min(width * 2 ** (n - 1), width * 8), min(width * 2**n, width * 8), inside
        )
    return Skip(width, width, inside, 3)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("depth", [6, 7, 8])
def test_a_u_of_convolutions_down_and_up_is_loaded_as_it_is_nested(
    depth: int, order: str
) -> None:
    network, module = cnndsl.loads(pix2pix(depth, 4)), generator(depth, 4)
    state = {name: torch.randn(value.shape) for name, value in module.state_dict().items()}
    state |= {k: torch.tensor(0) for k in state if k.endswith("tracked")}
    module.load_state_dict(state)
    exact = load_weights(network, module)
    try:
        found = load_weights(network, in_order(state, order))
    except cnndsl.ArchError as error:
        assert order != "as defined"
        assert "E605" in str(error)  # noqa: PT017
    else:
        assert same(found, exact)


def test_what_order_alone_decided_is_said() -> None:
    network = cnndsl.loads(
        "model M: x[4, H=8, W=8] -> y { y: { conv(4, 3x3, act=relu) } * 3 -> conv(1, 1x1) }"
    )
    found = load_weights(network, as_theirs(network, "a", "b", "c", "head"))
    own = list(dict.fromkeys(name.rpartition(".")[0] for name in expected_weights(network)))
    assert found.by_order == dict(zip(own, "abc", strict=False))
    assert not load_weights(network, found).by_order


# A map


TWO = """model M: x[8, H=4, W=4] -> y {
  y: concat { left: conv(8, 3x3) -> conv(8, 3x3)
    right: conv(8, 3x3) -> conv(8, 3x3) }
}"""


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    "given",
    [
        {"net.a": "left", "net.b": "right"},
        {"net.a": "left"},
        {"module.net.b": "right"},
        {"net.[a]": "left"},
        {"net.*.left": "y.*"},
    ],
)
def test_a_map_takes_prefixes_and_patterns(given: dict[str, str], order: str) -> None:
    network = cnndsl.loads(TWO)
    foreign = as_theirs(network, *(f"module.net.{n}" for n in ("a.0", "a.1", "b.0", "b.1")))
    foreign = in_order(foreign, order)
    if "net.[a]" in given:
        assert "begins with `net.[a]`" in message(network, foreign, map=given)
    elif "net.*.left" in given:
        assert "`net.*.left` fits no layer" in message(network, foreign, map=given)
    else:
        assert same(load_weights(network, foreign, map=given), own_numbers(network))


def test_a_pattern_says_the_same_of_many() -> None:
    network = cnndsl.loads("""model M: x[8, H=4, W=4] -> y {
  for i in 0..3 { u[i]: x -> conv(8, 3x3) -> conv(8, 3x3) }
  y: concat { u[*] }
}""")
    foreign = as_theirs(network, *(f"{a}{n}" for n in (2, 1, 0) for a in ("x", "y")))
    own = own_numbers(network)
    assert "cannot be told apart" in message(network, foreign)
    given = {f"{a}{n}": f"u.{2 - n}.{b}" for n in range(3) for a, b in (("x", 0), ("y", 1))}
    assert same(load_weights(network, foreign, map=given), own)
    names = dict.fromkeys(name.rpartition(".")[0] for name in own)
    foreign = {f"net.{k.replace('u.', 'path')}": value for k, value in own.items()}
    assert len(names) == 6
    given = {"net.path*.0": "u.*.0", "net.path*.1": "u.*.1"}
    assert same(load_weights(network, foreign, map=given), own)
    assert "has not the `*`s" in message(network, foreign, map={"net.path*": "u"})


def test_what_a_map_settles_is_believed() -> None:
    """Against what names, order and likeness say."""
    network = cnndsl.loads(TWO)
    foreign = as_theirs(network, "right.0", "right.1", "left.0", "left.1")
    given = {"right": "left", "left": "right"}
    assert same(load_weights(network, foreign, map=given), own_numbers(network))
    network = cnndsl.loads("model M: x[4, H=8, W=8] -> y { y: conv(4, 3x3) -> conv(4, 3x3) }")
    foreign = as_theirs(network, "b", "a")
    own = list(dict.fromkeys(name.rpartition(".")[0] for name in expected_weights(network)))
    for names in (own, own[::-1]):
        found = load_weights(network, foreign, map=dict(zip("ba", names, strict=True)))
        assert (found[f"{names[0]}.bias"] == foreign["b.bias"]).all()


# A head of another size


def test_partial_loads_all_but_a_head_of_another_size() -> None:
    network = cnndsl.load("resnet18", classes=10)
    state = zoo.resnet18(num_classes=11).state_dict()
    found = load_weights(network, state, partial=True)
    assert list(found) == list(expected_weights(network))
    assert {name.rpartition(".")[2] for name in found.left.ours} == {"weight", "bias"}
    assert found.left.theirs == ("fc.weight", "fc.bias")
    same_size = zoo.resnet18(num_classes=10).state_dict() | {
        k: v for k, v in state.items() if not k.startswith("fc.")
    }
    whole = load_weights(network, same_size)
    assert all(np.array_equal(found[k], whole[k]) for k in found if k not in found.left.ours)
    network.to_numpy(found)
    # By its own names, and without a head at all.
    again = load_weights(
        network,
        load_weights(cnndsl.load("resnet18"), zoo.resnet18().state_dict()),
        partial=True,
    )
    assert again.left.ours == again.left.theirs == found.left.ours
    headless = {k: v for k, v in state.items() if not k.startswith("fc.")}
    assert load_weights(network, headless, partial=True).left.theirs == ()
    assert not load_weights(network, same_size, partial=True).left


def test_partial_leaves_no_more_than_a_head() -> None:
    network = cnndsl.load("resnet18", classes=10)
    assert "E605" in message(network, zoo.resnet34(num_classes=10).state_dict(), partial=True)
    state = zoo.resnet18().state_dict()
    state["conv1.weight"] = torch.zeros(64, 4, 7, 7)
    assert "only a head of another size" in message(network, state, partial=True)
    assert "E60" in message(network, {"fc.weight": np.zeros((11, 512))}, partial=True)


# Laws


@st.composite
def networks(draw: st.DrawFn) -> str:
    """A network of blocks with few widths, so that many layers are of one shape."""
    width = st.sampled_from([4, 8])
    lines = []
    for number in range(draw(st.integers(1, 4))):
        c, d = draw(width), draw(width)
        fused = draw(st.sampled_from(["", ", norm=bn"]))
        body = draw(
            st.sampled_from(
                [
                    f"conv({c}, 3x3{fused}) -> conv({d}, 3x3{fused})",
                    f"{{ conv({c}, 3x3{fused}) }} * 3",
                    f"Residual({c}, {d})",
                    f"Residual({c}, {d}) * 2",
                    f"Branches({c}, {d})",
                    f"Branches({c}, {d}) * 2",
                ]
            )
        )
        lines.append(f"  s{number}: {body}")
    first, second = draw(st.permutations(RESIDUAL))
    branches = "\n".join(draw(st.permutations(BRANCHES))[: draw(st.integers(2, 3))])
    return f"""
block Residual(c: int, d: int) {{
  add {{
{first}
{second}
  }}
}}
block Branches(c: int, d: int) {{
  concat {{
{branches}
  }}
}}
model M: x[4, H=8, W=8] -> y[_, _, _] {{
{chr(10).join(lines)}
  y: conv(2, 1x1)
}}"""


RESIDUAL = (
    "{ conv(c, 1x1, norm=bn) -> conv(c, 3x3, norm=bn) -> conv(d, 1x1, norm=bn) }",
    "projection: conv(d, 1x1, norm=bn)",
)
BRANCHES = ("conv(c, 1x1)", "{ conv(c, 1x1) -> conv(d, 3x3) }", "right: conv(d, 1x1)")


def linear_extension(network: Network, shuffle: random.Random) -> list[str]:
    """The nodes in an order in which data may run."""
    waiting = {name: network.graph.in_degree(name) for name in network.graph}
    ready = [name for name, count in waiting.items() if not count]
    order = []
    while ready:
        name = ready.pop(shuffle.randrange(len(ready)))
        order.append(name)
        for _, after in network.graph.out_edges(name):
            waiting[after] -= 1
            if not waiting[after]:
                ready.append(after)
    return order


@settings(max_examples=150, deadline=None)
@given(
    networks(),
    st.randoms(use_true_random=False),
    st.sampled_from(["run", "sort", "any"]),
    st.booleans(),
)
def test_a_renamed_mapping_loads_right_or_is_refused(
    text: str, shuffle: random.Random, kind: str, flat: bool
) -> None:
    """However it is ordered; words are renamed, numbers kept, modules kept or flattened."""
    network = cnndsl.loads(text)
    own = own_numbers(network)
    words: dict[str, str] = {}
    alphabet = [a + b for a in "bcdfgk" for b in "aeiou"]
    shuffle.shuffle(alphabet)

    def foreign(name: str) -> str:
        *path, role = name.split(".")
        if flat and path[-2:-1] in (["projection"], ["right"]):
            path[-2:] = [path[-2] + path[-1]]
        segments = []
        for segment in path:
            word, _, number = segment.partition("_")
            if not segment.isdecimal():
                word = words.setdefault(word, alphabet[len(words)])
            segments.append(word + number)
        return ".".join([*segments, role])

    names = list(own)
    if kind == "run":
        place = {node: n for n, node in enumerate(linear_extension(network, shuffle))}
        owner = {name: node.name for name, (node, _) in expected_weights(network).items()}
        first: dict[tuple[str, ...], int] = {}
        for name in names:
            path = name.split(".")
            for prefix in (tuple(path[:d]) for d in range(1, len(path))):
                first[prefix] = min(first.get(prefix, len(place)), place[owner[name]])
        # Modules stay together, in the order of their first layers.
        names.sort(
            key=lambda n: [first[tuple(n.split(".")[:d])] for d in range(1, n.count(".") + 1)]
        )
    elif kind == "any":
        shuffle.shuffle(names)
    mapping = {foreign(name): own[name] for name in names}
    if kind == "sort":
        mapping = dict(sorted(mapping.items()))
    try:
        found = load_weights(network, mapping)
    except cnndsl.ArchError:
        return
    assert same(found, own)


def test_what_holds_no_weights_is_refused_in_words() -> None:
    network = small()
    state = network.to_torch().state_dict()
    for source, code in ((3, "E604"), (None, "E604"), (lambda: state, "E604")):
        with pytest.raises(cnndsl.ArchError, match=f"{code}.*cannot be read from a value"):
            load_weights(network, source)  # type: ignore[arg-type]
    meta = {name: value.to("meta") for name, value in state.items()}
    with pytest.raises(cnndsl.ArchError, match=r"E604.*has no values"):
        load_weights(network, meta)
    sparse = {name: value.to_sparse() for name, value in state.items()}
    found = load_weights(network, sparse)
    assert all(np.array_equal(found[name], value) for name, value in state.items())
    for given_ in ({1: 2}, ["a"]):
        with pytest.raises(cnndsl.ArchError, match=r"E605.*a mapping of names"):
            load_weights(network, state, map=given_)  # type: ignore[arg-type]
