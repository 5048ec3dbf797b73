"""The law of the plan: it is the interpreter, on every program and every number."""

from __future__ import annotations

import math
from collections.abc import Callable
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cnndsl
from cnndsl.analysis.weights import random_weights
from cnndsl.backends.numpy.plan import Plan, choose, rewrites
from cnndsl.backends.numpy.plan.rewrites import Affine
from cnndsl.diagnostics import ArchError
from cnndsl.ops.facts import Array, Shape

Outputs = dict[str, Array]


def weights_of(network: cnndsl.Network, seed: int = 0) -> dict[str, Array]:
    """Statistics, factors and biases of both signs, some of them zero."""
    rng = np.random.default_rng(seed)
    weights = random_weights(network, seed)
    for name, value in weights.items():
        if name.endswith("running_var"):
            weights[name] = rng.uniform(0.1, 2, value.shape).astype(np.float32)
        elif value.ndim == 1:
            drawn = rng.normal(size=value.shape) * (rng.random(value.shape) > 0.1)
            weights[name] = drawn.astype(np.float32)
    return weights


def images(network: cnndsl.Network, batch: int, seed: int = 0) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    return {
        name: rng.normal(size=(batch, *map(int, tensor.shape))).astype(np.float32)
        for name, tensor in network.inputs.items()
    }


def named(result: Array | Outputs) -> Outputs:
    return result if isinstance(result, dict) else {"y": result}


def assert_equal(found: Outputs, wanted: Outputs) -> None:
    """The same types, infinities and NaNs; other numbers to what float32 tells apart."""
    for name, array in wanted.items():
        assert found[name].dtype == array.dtype
        finite = np.isfinite(array)
        np.testing.assert_array_equal(found[name][~finite], array[~finite])
        scale = max(1.0, float(np.abs(array[finite]).max(initial=0)))
        np.testing.assert_allclose(found[name][finite], array[finite], 0, 2e-3 * scale)


def assert_law(
    network: cnndsl.Network, arrays: dict[str, Array], *, threads: int | None = 2
) -> Plan:
    weights = weights_of(network)
    plan = Plan(network, weights, threads=threads)
    (batch,) = {len(array) for array in arrays.values()}
    # What no step writes must not be read.
    plan.prepare(batch).arena.fill(math.nan)
    wanted = named(network.to_numpy(weights, optimize=False)(**arrays))
    for _ in range(2):
        assert_equal(named(plan(**arrays)), wanted)
    plan.verify(batch)
    return plan


# Programs on which the plan was wrong


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(
    ("inputs", "outputs", "lines"),
    [
        # A run of channels of a map is no vector.
        ("image[6, 4, 4]", "y", "a, b: split(2)\n y: b -> flatten -> linear(2)"),
        (
            "image[6, 4, 4]",
            "y",
            "a, b: split(2)\n y: b -> flatten -> dropout -> linear(2)",
        ),
        ("image[6, 4]", "(y, a)", "a, b: split([1, 5])\n y: b -> flatten -> linear(2)"),
        (
            "image[6, 4, 4]",
            "(y, z)",
            "a: conv(4, 1)\n y: a -> flatten -> linear(2)\n z: concat { image; a }",
        ),
        (
            "image[6, 4, 4]",
            "(y, z)",
            "a: conv(4, 1)\n z: concat { image; a }\n y: a -> flatten -> linear(2)",
        ),
        # Before a 1×1×1 convolution, too, something may stand.
        ("image[4, 3, 3, 3]", "y", "y: bn -> conv(2, 1)"),
        ("image[4, 3, 3, 3]", "y", "y: bn -> relu -> conv(2, 1, norm=bn, act=silu)"),
        ("image[4, 3, 3, 3]", "y", "y: frozen_bn -> conv(2, 1)"),
        ("image[4, 4, 4, 4]", "y", "y: maxpool(2) -> bn -> conv(2, 1)"),
        ("image[4, 3, 3, 3]", "y", "y: mul { skip; gap -> sigmoid } -> conv(2, 1)"),
        ("image[4, 3]", "y", "y: bn -> relu -> conv(2, 1, stride=2)"),
        ("image[4, 3, 3]", "y", "y: bn -> relu -> conv(2, 1, pad=1)"),
        ("image[4, 3, 3]", "y", "y: bn -> relu -> conv(2, 1, groups=2)"),
        # Over the last axis, while the norm is over the first.
        ("image[4, 3]", "y", "y: linear(5, norm=bn, act=relu)"),
        ("image[4, 2, 3]", "y", "y: linear(5) -> bn -> conv(3, 1)"),
    ],
)
def test_what_was_wrong_is_right(inputs: str, outputs: str, lines: str, batch: int) -> None:
    network = cnndsl.loads(f"model M: {inputs} -> {outputs} {{\n {lines}\n}}")
    assert_law(network, images(network, batch))


@pytest.mark.parametrize("channels", [8, 64])
@pytest.mark.parametrize("after", ["", ", act=relu6", ", norm=bn, act=relu"])
def test_an_infinity_that_arises_inside_stays_where_it_is(channels: int, after: str) -> None:
    lines = f"a: image -> mul(3e38) -> mul(10)\n y: conv({channels}, 3x3{after})"
    network = cnndsl.loads(f"model M: image[{channels}, 32, 32] -> y {{\n {lines}\n}}")
    x = np.zeros((2, channels, 32, 32), np.float32)
    x[1, 3, 7, 9] = 1
    plan = assert_law(network, {"image": x})
    step = plan.prepare(2).steps[-1]
    assert step.algorithm.startswith("winograd") == (channels == 64)
    if not after:
        found = named(plan(x))["y"]
        assert np.count_nonzero(~np.isfinite(found)) == 9 * channels


@pytest.mark.parametrize("size", [1e37, 3e37, 1e38])
def test_numbers_too_large_for_a_tile_are_computed_all_the_same(size: float) -> None:
    network = cnndsl.loads("model M: image[64, 32, 32] -> y {\n y: conv(64, 3x3)\n}")
    weights = {"y.weight": np.full((64, 64, 3, 3), 1e-3, np.float32)}
    weights["y.bias"] = np.zeros(64, np.float32)
    x = np.zeros((1, 64, 32, 32), np.float32)
    x[..., ::2] = size
    plan = Plan(network, weights)
    with np.errstate(all="ignore"):
        assert_equal(named(plan(x)), named(network.to_numpy(weights, optimize=False)(x)))
    assert plan.prepare(1).steps[0].algorithm.startswith("winograd")


@pytest.mark.parametrize(
    ("variance", "factor"), [(np.inf, 1.0), (1.0, np.inf), (1.0, 1e38), (np.nan, 1.0)]
)
def test_a_norm_that_no_weights_can_take_is_computed_after_them(
    variance: float, factor: float
) -> None:
    network = cnndsl.loads("model M: image[4, 6, 6] -> y {\n y: conv(4, 3x3, norm=bn)\n}")
    weights = weights_of(network)
    weights["y.1.running_var"][1] = variance
    weights["y.1.weight"][1] = factor
    weights["y.0.weight"] *= 100
    x = images(network, 2)
    with np.errstate(all="ignore"):
        wanted = named(network.to_numpy(weights, optimize=False)(**x))
        assert_equal(named(Plan(network, weights)(**x)), wanted)


@pytest.mark.parametrize("slope", [0, 1e-50, 0.5, 1, 2, -1])
def test_a_slope_meets_every_number(slope: float) -> None:
    network = cnndsl.loads(f"model M: image[5] -> y {{\n y: leaky({slope})\n}}")
    x = np.array([[np.inf, -np.inf, np.nan, 1, -1]], np.float32)
    assert_law(network, {"image": x})


def test_whole_numbers_stay_whole_and_nothing_else_becomes_so() -> None:
    lines = """
    b, s, labels, v: topk(4) { boxes; scores }
    n: labels -> relu
    m: labels -> mul(0.5)
    w: add { labels; labels } -> relu
    h: add { labels; labels } -> div(1) -> bn
    r: concat { labels; labels } -> split([1, 7])
    q: labels -> reshape(2, 2) -> div(1) -> bn -> softmax(0)
    """.replace("r: concat", "r, t: concat")
    head = "model M: (boxes[7, 4], scores[7, 3]) -> (n, m, w, h, r, q, t, s)"
    network = cnndsl.loads(f"{head} {{{lines}}}")
    found = assert_law(network, images(network, 2))(**images(network, 2))
    whole = {name for name, array in named(found).items() if array.dtype == np.int64}
    assert whole == {"n", "w", "r", "t"}


@pytest.mark.parametrize(
    "line", ["softmax(0)", "bn", "flatten -> linear(3)", "conv(2, 1)", "concat { skip; skip }"]
)
def test_nothing_is_computed_with_too(line: str) -> None:
    head = "model M: (boxes[7, 4], scores[7, 3]) -> y"
    lines = f"b, s, labels, v: nms(0) {{ boxes; scores }}\n y: b -> {line}"
    network = cnndsl.loads(f"{head} {{\n {lines}\n}}")
    assert_law(network, images(network, 3))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda affine: Affine(affine.scale, affine.shift + 0.01), "by 0.0"),
        (lambda affine: Affine(affine.scale, affine.shift + math.inf), "in what is infinite"),
    ],
)
def test_verify_refuses_a_plan_that_computes_something_else(
    monkeypatch: pytest.MonkeyPatch, wrong: Callable[[Affine], Affine], said: str
) -> None:
    network = cnndsl.loads("model M: image[4, 6, 6] -> (y, z) { z: relu; y: conv(4, 3) -> bn }")
    network.to_numpy(verify=True)
    affine = rewrites._affine
    monkeypatch.setattr(rewrites, "_affine", lambda layer: wrong(affine(layer)))
    with pytest.raises(ArchError, match=r"E607.*the plan of `M`.*`y` differs") as caught:
        network.to_numpy(verify=True)
    (diagnostic,) = caught.value.diagnostics
    assert said in diagnostic.message
    with pytest.raises(ValueError, match="optimize=False makes none"):
        network.to_numpy(optimize=False, verify=True)


# Programs at random

ACTS = ["relu", "relu6", "leaky(0.1)", "leaky(0)", "silu", "hardswish", "sigmoid", "gelu"]
NORMS = ["bn", "frozen_bn", "bn(affine=false)", "gn(1)"]
ANY = [
    *("bn", "bn", "frozen_bn", "ln", "scale", "dropout", "mul(-2)", "softmax(0)", "l2norm(0)"),
    *("flatten", "flatten", "flatten -> dropout -> linear(3)", "flatten -> linear(2{fused})"),
    *("linear(3{fused})", "linear({c}{fused})", "{act}", "{act}"),
]
"""Steps on whatever shape; `{c}` is its channels, `{fused}` a norm, an activation or none."""
MAPS = [
    *("conv({c}, 1{fused})", "conv(3, 1{fused})", "bn -> {act} -> conv(2, 1{fused})"),
    *("conv(2, 1, stride=2)", "conv(2, 1, pad=1)", "conv(6, 1, groups=2{fused})"),
    *("conv({c}, 3{fused})", "conv({c}, 3{fused})", "conv(4, 3, stride=2{fused})"),
    *("conv({c}, 3, dilation=2)", "conv({c}, 3, groups={c}{fused})", "conv(4, 2, pad=valid)"),
    *("dwconv(3{fused})", "dwconv(3, stride=2, multiplier=2{fused})"),
    *("deconv(2, 2, stride=2{fused})", "deconv(4, 3, pad=1, groups=2{fused})"),
    *("maxpool(3, stride=2, pad=1, ceil=true)", "maxpool(2, stride=1)", "upsample(2)"),
    *("avgpool(3, stride=2, pad=1, count_include_pad=false)", "avgpool(2, ceil=true)"),
    *("gap", "gap(keep=true)", "mul {{ skip; gap -> sigmoid }}", "crop(2)", "zeropad(1)"),
    *("mul {{ skip; gap(keep=true) -> conv(1, 1) }} -> conv(3, 1)", "mul {{ gap; skip }}"),
    *('rearrange("c ... -> c (...)")', 'rearrange("c ... -> (...) c")'),
]
"""Steps on a map of one to three axes."""
PLANES = [
    'rearrange("(g c) h w -> (c g) h w", g=2)',
    'rearrange("c h w -> h c w")',
    'rearrange("(a b) h w -> (h a) b w", a=2)',
]
"""Steps on two axes."""


@st.composite
def lines(draw: st.DrawFn, pool: dict[str, Shape], labels: list[str]) -> str:
    """One line that reads tensors of the pool, and defines some of the labels."""
    source = draw(st.sampled_from(list(pool)))
    shape = pool[source]
    act = draw(st.sampled_from(ACTS))
    norm = draw(st.sampled_from(["", *(f", norm={norm}" for norm in NORMS)]))
    fused = norm + draw(st.sampled_from(["", f", act={act}"]))

    def step(steps: list[str]) -> str:
        return draw(st.sampled_from(steps)).format(c=shape[0], act=act, fused=fused)

    kind = draw(st.sampled_from(["step", "step", "step", "split", "add", "mul", "concat"]))
    if kind == "split":
        axis = draw(st.sampled_from([0, 0, len(shape) - 1]))
        first = draw(st.integers(1, max(1, shape[axis] - 1)))
        sizes = [first, shape[axis] - first] if shape[axis] > 1 else [1]
        names = ", ".join(labels[: len(sizes)])
        return f"{names}: {source} -> split({sizes}, axis={axis})"
    if kind == "step":
        ranks = [ANY, MAPS, MAPS + PLANES, MAPS][len(shape) - 1 if len(shape) < 5 else 0]
        return f"{labels[0]}: {source} -> {step(ANY + ranks)}"
    like = [name for name, other in pool.items() if other == shape]
    if kind == "concat":
        like = [name for name, other in pool.items() if other[1:] == shape[1:]]
    most = 2 if kind == "mul" else 3
    operands = draw(st.lists(st.sampled_from(like), min_size=2, max_size=most))
    same = ["bn", "{act}", "bn -> {act}", "linear({c})"]
    if len(shape) > 1:
        same[-1:] = ["conv({c}, 1{fused})", "conv({c}, 3{fused})"]
    if kind != "concat" and draw(st.booleans()):
        operands[-1] += f" -> {step(same)}"
    tail = draw(st.sampled_from(["", f" -> {act}", " -> bn"]))
    return f"{labels[0]}: {kind} {{ {'; '.join(operands)} }}{tail}"


@st.composite
def programs(draw: st.DrawFn) -> str:
    """One to four lines on tensors of any rank; every line's result is an output or read."""
    rank = draw(st.sampled_from([0, 1, 2, 2, 3]))
    channels = draw(st.sampled_from([1, 2, 4, 6]))
    image = (channels, *(draw(st.integers(1, 7 if rank < 3 else 4)) for _ in range(rank)))
    pool: dict[str, Shape] = {"image": image}
    head, body = f"model M: image{list(image)} ->", ""
    for number in range(draw(st.integers(2, 4))):
        labels = [f"v{number}", f"w{number}"]
        line = draw(lines(pool, labels))
        made = line[: line.index(":")].split(", ")
        outputs = [name for name in pool if name != "image"] + made
        text = f"{head} ({', '.join(outputs)}) {{\n{body} {line}\n}}"
        try:
            found = cnndsl.loads(text.replace(f"({made[0]})", made[0]))
        except ArchError:
            continue  # the shapes do not agree
        shapes = {name: tuple(map(int, t.shape)) for name, t in found.outputs.items()}
        if max(map(math.prod, shapes.values())) < 4000:
            body, pool = f"{body} {line}\n", {"image": image, **shapes}
    kept = list(pool)[1:]
    if not kept:
        return f"{head} y {{ y: relu }}"
    # What only others read is no output, so that it may be fused.
    outputs = sorted({*draw(st.lists(st.sampled_from(kept), unique=True)), kept[-1]})
    ports = f"({', '.join(outputs)})" if len(outputs) > 1 else outputs[0]
    return f"{head} {ports} {{\n{body}}}"


@settings(max_examples=500)
@given(
    program=programs(),
    batch=st.sampled_from([1, 3]),
    threads=st.sampled_from([1, 2]),
    wanted=st.sampled_from(choose.CANDIDATES),
    special=st.sampled_from([None, None, math.nan, math.inf, -math.inf]),
)
def test_a_plan_is_the_interpreter(
    program: str, batch: int, threads: int, wanted: str, special: float | None
) -> None:
    network = cnndsl.loads(program)
    arrays = images(network, batch, seed=1)
    if special is not None:
        for array in arrays.values():
            array.reshape(-1)[array.size // 2] = special
    # Every algorithm, also where it does not pay.
    with mock.patch.object(choose, "cost", lambda g, algorithm: algorithm != wanted):
        assert_law(network, arrays, threads=threads)
