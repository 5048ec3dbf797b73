"""`rearrange` and `einsum` against loops over indices, and the text that they become."""

from __future__ import annotations

import numpy as np
import pytest

from cnndsl.ops.facts import Shape, Template
from tests.ops.cases import made


def rearranged(pattern: str, shape: Shape, **axes: int) -> np.ndarray:
    x = np.arange(2 * np.prod(shape, dtype=int)).reshape(2, *shape).astype("float64")
    op = made("rearrange", {"pattern": pattern, "axes": tuple(axes.items())}, shape)
    return op.run(x)


def numbered(*shape: int) -> np.ndarray:
    return np.arange(2 * np.prod(shape, dtype=int)).reshape(2, *shape).astype("float64")


def test_channel_shuffle_interleaves_the_groups() -> None:
    x = numbered(6, 2, 2)
    y = rearranged("(g c) h w -> (c g) h w", (6, 2, 2), g=3)
    np.testing.assert_array_equal(y, x[:, [0, 2, 4, 1, 3, 5]])


def test_the_rest_is_merged_in_order() -> None:
    np.testing.assert_array_equal(
        rearranged("c ... -> c (...)", (3, 4, 5)), numbered(3, 4, 5).reshape(2, 3, 20)
    )
    np.testing.assert_array_equal(
        rearranged("c ... -> (...) c", (3, 4, 5)),
        numbered(3, 4, 5).reshape(2, 3, 20).swapaxes(1, 2),
    )


def test_the_rest_may_be_one_axis_or_none() -> None:
    assert rearranged("c ... -> c (...)", (3, 4)).shape == (2, 3, 4)
    assert rearranged("c ... -> c (...)", (3,)).shape == (2, 3, 1)
    assert rearranged("c ... -> ... c", (3,)).shape == (2, 3)


def test_rows_of_boxes_are_in_the_order_that_the_pattern_says() -> None:
    x = numbered(4, 2, 3)
    y = rearranged("(a b) h w -> (h w a) b", (4, 2, 3), a=2)
    for h, w, a, b in np.ndindex(2, 3, 2, 2):
        assert y[1, (h * 3 + w) * 2 + a, b] == x[1, a * 2 + b, h, w]


def test_space_goes_to_depth_as_it_is_written() -> None:
    x = numbered(2, 4, 6)
    y = rearranged("c (h i) (w j) -> (c i j) h w", (2, 4, 6), i=2, j=3)
    for c, i, j, h, w in np.ndindex(2, 2, 3, 2, 2):
        assert y[0, (c * 2 + i) * 3 + j, h, w] == x[0, c, h * 2 + i, w * 3 + j]


def test_axes_of_size_1_come_and_go() -> None:
    assert rearranged("c 1 w -> w () c 1", (3, 1, 5)).shape == (2, 5, 1, 3, 1)
    assert rearranged("(1 c) w -> c w", (3, 5)).shape == (2, 3, 5)


TEXTS = [
    ("(g c) h w -> (c g) h w", (6, 2, 2), {"g": 3},
     "torch.unflatten({0}, 1, ({g}, -1)).transpose(1, 2).flatten(1, 2)"),
    ("c ... -> c (...)", (6, 2, 2), {}, "{0}.flatten(2)"),
    ("c ... -> (...) c", (6, 2, 2), {}, "{0}.permute(0, 2, 3, 1).flatten(1, 2)"),
    ("c h w -> h w c", (6, 2, 2), {}, "{0}.permute(0, 2, 3, 1)"),
    ("c h w -> c w h", (6, 2, 2), {}, "{0}.transpose(2, 3)"),
    ("c 1 -> c", (6, 1), {}, "{0}.squeeze(2)"),
    ("c -> c 1 1", (6,), {}, "{0}.unsqueeze(2).unsqueeze(2)"),
]  # fmt: skip


@pytest.mark.parametrize(("pattern", "shape", "axes", "text"), TEXTS)
def test_a_rearrangement_reads_as_torch_is_written(
    pattern: str, shape: Shape, axes: dict[str, int], text: str
) -> None:
    op = made("rearrange", {"pattern": pattern, "axes": tuple(axes.items())}, shape)
    form = op.torch(shape).function
    assert isinstance(form, Template)
    assert form.text == text
    assert form.values == axes


def test_einsum_sums_over_what_the_output_does_not_name() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 3, 5))
    op = made("einsum", {"pattern": "c i, c j -> j i"}, (3, 4), (3, 5))
    z = op.run(x, y)
    for n, i, j in np.ndindex(2, 4, 5):
        assert z[n, j, i] == pytest.approx(sum(x[n, c, i] * y[n, c, j] for c in range(3)))
    assert op.macs((3, 4), (3, 5)) == 3 * 4 * 5


def test_dynamic_kernels_count_their_multiply_adds() -> None:
    op = made(
        "einsum", {"pattern": "g k h w, g c k h w -> g c h w"}, (2, 9, 4, 4), (2, 8, 9, 4, 4)
    )
    assert op.macs((2, 9, 4, 4), (2, 8, 9, 4, 4)) == 9 * (2 * 8) * 4 * 4


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("c i, c j -> i j", "nci,ncj->nij"),
        ("n i, b i -> n b", "ani,abi->anb"),
        ("head query d, head key d -> head query key", "nhqd,nhkd->nhqk"),
        ("Q i, q i -> Q", "nqi,nai->nq"),
    ],
)
def test_the_batch_gets_a_letter_of_its_own(pattern: str, text: str) -> None:
    left, right = (len(part.split()) for part in pattern.partition("->")[0].split(","))
    shapes = (2,) * left, (2,) * right
    form = made("einsum", {"pattern": pattern}, *shapes).torch(*shapes).function
    assert isinstance(form, Template)
    assert form.text == f'torch.einsum("{text}", {{*}})'


def test_only_a_sum_over_positions_sees_everything() -> None:
    per_pair = made("einsum", {"pattern": "c i, c j -> i j"}, (3, 4), (3, 5))
    mixing = made("einsum", {"pattern": "i j, c j -> c i"}, (4, 5), (3, 5))
    assert per_pair.window() is None
    assert mixing.window() is not None
    assert mixing.window().whole
