"""The plan is the interpreter, faster: on every kind of layer, input and shape."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cnndsl
from cnndsl.analysis.weights import random_weights
from cnndsl.backends.numpy.plan import Plan
from cnndsl.backends.numpy.plan.threads import Team, single_threaded_products
from cnndsl.diagnostics import ArchError
from cnndsl.graph import Network
from cnndsl.ops.facts import Array


def weights_of(network: Network, seed: int = 0) -> dict[str, Array]:
    """Random weights in which nothing is 0 or 1."""
    rng = np.random.default_rng(seed)
    weights = random_weights(network, seed)
    for name, value in weights.items():
        if name.endswith(("bias", "running_mean")):
            weights[name] = rng.normal(0, 0.3, value.shape).astype(np.float32)
        elif value.ndim == 1:
            weights[name] = rng.uniform(0.5, 1.5, value.shape).astype(np.float32)
    return weights


def images(network: Network, batch: int, dtype: str = "float64") -> dict[str, Array]:
    rng = np.random.default_rng(batch)
    return {
        name: rng.normal(size=(batch, *map(int, tensor.shape))).astype(dtype)
        for name, tensor in network.inputs.items()
    }


def named(result: Array | dict[str, Array]) -> dict[str, Array]:
    return result if isinstance(result, dict) else {"y": result}


def assert_same(network: Network, batch: int = 2, **options: object) -> Plan:
    weights, arrays = weights_of(network), images(network, batch)
    plan = Plan(network, weights, **options)  # type: ignore[arg-type]
    wanted, found = (
        named(network.to_numpy(weights, optimize=False)(**arrays)),
        named(plan(**arrays)),
    )
    again = named(plan(**arrays))
    for name, array in wanted.items():
        scale = max(1.0, float(np.abs(array).max(initial=0)))
        np.testing.assert_allclose(found[name] / scale, array / scale, atol=1e-9)
        np.testing.assert_array_equal(found[name], again[name])
    return plan


def net(body: str, image: str = "image[8, 14, 12]", out: str = "y") -> Network:
    return cnndsl.loads(f"model M: {image} -> {out} {{\n{body}\n}}\n")


LAYERS = [
    "conv(16, 3x3, norm=bn, act=relu)",
    "conv(40, 3x3, act=relu6) -> conv(40, 3x3, norm=bn)",
    "conv(12, 3x3, stride=2, act=hardswish)",
    "conv(12, 3x5, dilation=2, act=silu)",
    "conv(12, 1x1, stride=2, act=sigmoid)",
    "conv(12, 3x3, groups=4, norm=bn, act=leaky)",
    "conv(8, 2x2, pad=[0, 1, 1, 0])",
    "conv(16, 1x1, norm=bn) -> dwconv(3x3, norm=bn, act=relu6) -> conv(4, 1x1, norm=bn)",
    "dwconv(3x3, stride=2, act=hardsigmoid)",
    "dwconv(5x5, pad=0)",
    "dwconv(3x3, dilation=2)",
    "dwconv(3x3, multiplier=2)",
    "conv(400, 1x1) -> dwconv(3x3)",
    "maxpool(3x3, stride=2, pad=1)",
    "maxpool(3x3, stride=2, ceil=true)",
    "maxpool(2x2, stride=1, dilation=2)",
    "avgpool(3x3, stride=2, pad=1)",
    "avgpool(3x3, stride=2, pad=1, count_include_pad=false, ceil=true)",
    "deconv(6, 2x2, stride=2, norm=bn, act=relu)",
    "deconv(6, 3x3, stride=2, pad=1, act=gelu)",
    "bn -> relu -> conv(6, 1x1) -> bn -> relu -> conv(6, 3x3)",
    "gn(4) -> relu",
    "ln -> conv(6, 1x1)",
    "lrn",
    "scale",
    "softmax(0)",
    "dropout(0.2) -> relu -> dropout",
    "resize(2)",
    "gap",
    "gap(keep=true) -> conv(4, 1x1, act=relu)",
    "flatten -> dropout(0.5) -> linear(10, act=relu) -> linear(3)",
    "gap -> linear(10, norm=bn, act=relu)",
    'rearrange("(g c) h w -> (c g) h w", g=2)',
    'rearrange("c h w -> (h w) c") -> linear(5, act=relu)',
    "mul(0.5) -> relu",
    "mul { skip; gap -> linear(8, act=sigmoid) } -> conv(6, 1x1)",
    "mul { skip; gap(keep=true) -> conv(8, 1x1, act=hardsigmoid) }",
    "add { skip; conv(8, 3x3, norm=bn) } -> relu -> conv(8, 1x1)",
    "add { conv(8, 3x3, norm=bn); conv(8, 1x1, act=relu); skip } -> relu",
    "add { relu; skip }",
    "concat { skip; conv(4, 1x1, act=relu); maxpool(3x3, stride=1, pad=1) } -> conv(8, 3x3)",
    "concat { skip; skip }",
    "concat { skip; conv(4, 3x3) } -> concat { skip; conv(4, 3x3, act=relu) } -> bn -> relu",
    "concat(1) { skip; conv(8, 3x3) }",
]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("layers", LAYERS)
def test_each_kind_of_layer_is_what_the_interpreter_computes(layers: str, threads: int) -> None:
    assert_same(net(f"  y: {layers}"), threads=threads)


def test_three_threads_share_what_two_do() -> None:
    assert_same(net("  y: conv(70, 3x3, act=relu) -> conv(70, 1x1) -> dwconv(3x3)"), threads=3)


@pytest.mark.parametrize("image", ["image[3, 9]", "image[3, 4, 5, 6]", "image[7]"])
def test_other_ranks_are_computed_too(image: str) -> None:
    layers = {1: "linear(4, norm=bn, act=relu) -> linear(2)"}
    rank = image.count(",") + 1
    assert_same(net(f"  y: {layers.get(rank, 'conv(4, 3, norm=bn, act=relu) -> gap')}", image))


def test_a_split_is_a_view_and_what_follows_reads_it() -> None:
    body = "  a, b: split(2)\n  y: concat { b -> conv(4, 3x3); a -> relu; b }"
    assert_same(net(body))


def test_an_input_may_be_an_output_and_one_tensor_several() -> None:
    body = "  y: dropout\n  z: y -> conv(4, 3x3) -> relu\n  w: z -> dropout"
    assert_same(net(body, out="(y, z, w)"))


@pytest.mark.parametrize("m", [2, 4])
@pytest.mark.parametrize("size", [(4, 4), (5, 7), (13, 30), (1, 1)])
@pytest.mark.parametrize("threads", [1, 2])
def test_winograd_is_the_convolution(m: int, size: tuple[int, int], threads: int) -> None:
    from cnndsl.backends.numpy import kernels
    from cnndsl.backends.numpy.plan.calls import Geometry, execute
    from cnndsl.backends.numpy.plan.winograd import Winograd, transformed_kernel

    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(2, 20, *size)), rng.normal(size=(34, 20, 3, 3))
    ones = (1, 1)
    g = Geometry(2, size, 20, size, 34, (3, 3), ones, (ones, ones), ones)
    algorithm = Winograd(g, transformed_kernel(w, m), m, [], Team(threads))
    y = np.empty((2, *size, 34))
    spaces = [np.full(n, np.nan) for n in algorithm.spaces]
    channels_last = np.ascontiguousarray(np.moveaxis(x, 1, -1))
    for phase in algorithm.bind(channels_last, y, lambda what: what, spaces):
        for calls in phase:
            execute(calls)
    options = {"stride": ones, "pads": (ones, ones), "dilation": ones, "groups": 1}
    wanted = kernels.conv(x, w, None, **options)  # type: ignore[arg-type]
    np.testing.assert_allclose(np.moveaxis(y, -1, 1), wanted, atol=1e-10)


def test_an_algorithm_may_be_chosen_by_measuring() -> None:
    network = net("  y: conv(16, 3x3, act=relu) -> conv(16, 3x3, act=relu)")
    plan = assert_same(network, threads=2, measure=True)
    kinds = {step.algorithm for step in plan.prepare(2, "float64").steps}
    assert kinds <= {"im2col", "winograd 2×2", "winograd 4×4"}


# Random networks


@st.composite
def chains(draw: st.DrawFn, depth: int = 2) -> str:
    """Steps that keep the size of the map, so that any two may be joined."""
    channels = draw(st.sampled_from([4, 6, 16]))
    act = draw(st.sampled_from(["none", "relu", "relu6", "silu", "hardswish"]))
    norm = draw(st.sampled_from(["none", "bn"]))
    kernel = draw(st.sampled_from(["1x1", "3x3", "1x5"]))
    steps = [
        f"conv({channels}, {kernel}, norm={norm}, act={act})",
        f"dwconv(3x3, norm={norm}, act={act})",
        f"maxpool(3x3, stride=1, pad=1) -> conv({channels}, 3x3, act={act})",
        "bn -> relu",
        "mul { skip; gap(keep=true) -> sigmoid }",
        f"{{ conv({channels}, 1x1) -> concat {{ skip; conv({channels}, 3x3) }} }}",
        f"{{ conv({channels}, 3x3) -> add {{ skip; bn; conv({channels}, 1x1, norm=bn) }} }}",
        "dropout",
    ]
    chosen = draw(st.lists(st.sampled_from(steps), min_size=1, max_size=4))
    text = " -> ".join(chosen)
    if depth and draw(st.booleans()):
        return f"{text} -> concat {{ skip; {draw(chains(depth - 1))}; {draw(chains(0))} }}"
    return text


@settings(max_examples=40)
@given(chains(), st.integers(1, 3), st.sampled_from([(6, 6), (5, 9), (1, 8)]))
def test_a_random_network_is_what_the_interpreter_computes(
    chain: str, batch: int, size: tuple[int, int]
) -> None:
    network = net(f"  y: {chain}", f"image[6, {size[0]}, {size[1]}]")
    plan = assert_same(network, batch, threads=2)
    compiled = plan.prepare(batch, "float64")
    assert compiled.arena_size <= 1.25 * compiled.peak


def test_tensors_that_live_together_do_not_overlap() -> None:
    plan = assert_same(cnndsl.load("lenet5"))
    compiled = plan.prepare(2, "float64")
    for a, (first, last) in compiled.lives.items():
        for b, (start, end) in compiled.lives.items():
            if a != b and start <= last and first <= end:
                low, high = sorted([a, b], key=compiled.offsets.__getitem__)
                assert compiled.offsets[low] + compiled.sizes[low] <= compiled.offsets[high]


# Inputs


@pytest.fixture(scope="module")
def small() -> Network:
    return net("  y: conv(16, 3x3, norm=bn, act=relu) -> gap -> linear(5)")


def test_a_wrong_input_is_named(small: Network) -> None:
    plan = small.to_numpy()
    with pytest.raises(ArchError, match="the input `image` is missing"):
        plan()
    with pytest.raises(ArchError, match=r"the input `image` is \[8, 14, 13\] a sample"):
        plan(np.zeros((1, 8, 14, 13), np.float32))
    with pytest.raises(ArchError, match="the input `image` is int64, but must be float32"):
        plan(np.zeros((1, 8, 14, 12), np.int64))
    with pytest.raises(ArchError, match="`image` has 3 axes, and must have 4"):
        plan(np.zeros((8, 14, 12), np.float32))


def test_an_empty_batch_gives_an_empty_output(small: Network) -> None:
    y = small.to_numpy()(np.zeros((0, 8, 14, 12), np.float32))
    assert isinstance(y, np.ndarray)
    assert y.shape == (0, 5)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_goes_where_the_definition_takes_it(value: float) -> None:
    network = net("  y: conv(32, 3x3) -> conv(32, 3x3, act=relu)")
    weights, x = weights_of(network), images(network, 2)["image"]
    x[1, 3, 5, 5] = value
    with np.errstate(all="ignore"):
        wanted = named(network.to_numpy(weights, optimize=False)(x))["y"]
    found = named(Plan(network, weights)(x))["y"]
    np.testing.assert_allclose(found, wanted, atol=1e-9)
    assert np.isfinite(found[0]).all()


def test_an_input_need_not_be_contiguous_and_is_left_as_it_is(small: Network) -> None:
    weights = weights_of(small)
    x = np.asfortranarray(images(small, 3)["image"])[::-1]
    before = x.copy()
    np.testing.assert_allclose(
        named(Plan(small, weights)(x))["y"],
        named(small.to_numpy(weights, optimize=False)(x))["y"],
    )
    np.testing.assert_array_equal(x, before)


def test_outputs_are_the_callers_own(small: Network) -> None:
    plan = Plan(small, weights_of(small))
    first = named(plan(**images(small, 1)))["y"]
    kept = first.copy()
    plan(**{name: x + 1 for name, x in images(small, 1).items()})
    np.testing.assert_array_equal(first, kept)


def test_calls_from_several_threads_do_not_mix(small: Network) -> None:
    plan = Plan(small, weights_of(small), threads=2)
    inputs = [images(small, batch)["image"] for batch in (1, 2, 3)] * 4
    wanted = [named(plan(x))["y"] for x in inputs]
    with ThreadPoolExecutor(4) as executor:
        found = list(executor.map(lambda x: named(plan(x))["y"], inputs))
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_plan_needs_a_thread(small: Network) -> None:
    with pytest.raises(ValueError, match="`threads` is 0, but must be at least 1"):
        small.to_numpy(threads=0)


@given(st.integers(0, 300), st.integers(1, 9), st.floats(0, 0.4), st.integers(1, 16))
def test_the_shares_of_a_team_are_the_whole(
    count: int, size: int, ahead: float, least: int
) -> None:
    found = Team(size, ahead).shares(count, least)
    assert [n for first, last in found for n in range(first, last)] == list(range(count))
    assert len(found) <= max(1, min(size, count // least))
    lengths = [last - first for first, last in found]
    assert all(lengths[0] + 1 >= other for other in lengths)
    # The others have what the caller's thread does not do ahead of them, in equal parts.
    if len(found) == size:
        assert all(abs(n - count * (1 - ahead) / size) <= 1 for n in lengths[1:])


def test_a_fault_in_a_thread_is_raised_where_it_was_called() -> None:
    from cnndsl.backends.numpy.plan.threads import Pool

    def fail() -> None:
        raise ZeroDivisionError

    pool = Pool(2)
    for jobs in ([fail, lambda: None], [lambda: None, fail]):
        with pytest.raises(ZeroDivisionError):
            pool.run(jobs)
    pool.run([lambda: None, lambda: None])


def test_an_interrupt_waits_for_what_has_been_begun() -> None:
    from cnndsl.backends.numpy.plan.threads import Pool

    done: list[int] = []

    def interrupted() -> None:
        raise KeyboardInterrupt

    def slow() -> None:
        time.sleep(0.05)
        done.append(1)

    pool = Pool(2)
    with pytest.raises(KeyboardInterrupt):
        pool.run([interrupted, slow])
    assert done == [1]
    pool.run([lambda: None, slow])
    assert done == [1, 1]


@pytest.mark.parametrize(
    "copied", [lambda plan: pickle.loads(pickle.dumps(plan)), copy.copy, copy.deepcopy]
)
def test_a_plan_can_be_pickled_and_copied(
    small: Network, copied: Callable[[Plan], Plan]
) -> None:
    plan = Plan(small, weights_of(small), threads=2)
    x = images(small, 3)["image"]
    for wanted in (plan(x), plan(x)):
        other = copied(plan)
        np.testing.assert_array_equal(named(other(x))["y"], named(wanted)["y"])
        np.testing.assert_array_equal(named(plan(x))["y"], named(wanted)["y"])
    weights = sum(array.nbytes for array in plan.weights.values())
    assert len(pickle.dumps(plan)) < weights + 20_000


FORKS = """
import os, signal, threading
import numpy as np, cnndsl
net = cnndsl.loads("model M: image[8, 32, 32] -> y { y: conv(64, 3) * 2 -> dwconv(3) }")
plan, x = net.to_numpy(threads=2), np.ones((2, 8, 32, 32), np.float32)
wanted, ended = plan(x), threading.Event()

def runs():
    while not ended.is_set():
        plan(x)

threads = [threading.Thread(target=runs) for _ in range(2)]
for thread in threads:
    thread.start()
statuses = []
for _ in range(10):
    child = os.fork()
    if not child:
        signal.alarm(60)
        os._exit(not np.array_equal(plan(x), wanted))
    statuses.append(os.waitpid(child, 0)[1])
ended.set()
raise SystemExit(any(statuses))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_fork_while_a_thread_runs_a_plan_may_run_it_too() -> None:
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", FORKS], check=False)
    assert done.returncode == 0


def test_blas_has_its_threads_back_when_the_last_of_two_runs_ends() -> None:
    from cnndsl.backends.numpy.plan.threads import _blas

    blas = _blas()
    if blas is None:
        pytest.skip("NumPy's BLAS is not an OpenBLAS that can be asked")
    before = blas[0]()
    blas[1](2)
    try:
        first, second = single_threaded_products(), single_threaded_products()
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        assert blas[0]() == 1
        second.__exit__(None, None, None)
        assert blas[0]() == 2
    finally:
        blas[1](before)


def test_blas_has_its_threads_back_after_a_run() -> None:
    from cnndsl.backends.numpy.plan.threads import _blas

    blas = _blas()
    if blas is None:
        pytest.skip("NumPy's BLAS is not an OpenBLAS that can be asked")
    before = blas[0]()

    def fail() -> None:
        with single_threaded_products():
            assert blas[0]() == 1
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert blas[0]() == before


def test_a_printed_plan_names_step_algorithm_and_buffer(small: Network) -> None:
    text = str(small.to_numpy(threads=1))
    assert "im2col" in text
    assert "product" in text
    assert "y.conv  y.norm  y.act" in text or "conv" in text
    assert "@0" in text
    assert "feature maps" in text


def test_a_run_allocates_only_its_outputs() -> None:
    network = net(
        "  y: conv(64, 3x3, norm=bn, act=relu) -> dwconv(3x3) -> conv(64, 1x1) -> gap"
    )
    plan = Plan(network, weights_of(network), threads=1)
    x = images(network, 4, "float32")["image"]
    plan(x)
    tracemalloc.start()
    plan(x)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * 64 * 14 * 12 * 4 / 2  # less than half of one feature map


@pytest.mark.parametrize("name", ["squeezenet1_1", "mobilenetv2", "shufflenetv2"])
def test_so_does_a_shipped_networks(name: str) -> None:
    network = cnndsl.load(name)
    plan = Plan(network, weights_of(network), threads=1)
    x = images(network, 1, "float32")["image"]
    plan(x)
    tracemalloc.start()
    plan(x)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # NumPy's own buffers, of 8192 numbers an operand: nothing that grows with the image.
    assert peak < 160 * 1024
    assert plan.prepare(1).arena.nbytes > 10 * peak
