"""Segments beyond their samples: empty ones, ids that are left out or out of range, zeros in products."""

from __future__ import annotations

import numpy as np
import pytest

import graphflow as gf
from graphflow.graph.errors import CheckError, DTypeError, GraphError, ShapeError

IDS = np.array([0, 2, -1, 2, 0])
X = np.array([[1.0, 2.0], [3.0, -4.0], [99.0, 99.0], [5.0, 6.0], [7.0, np.nan]])


def of_constants(fn, *args):
    x = gf.placeholder("float64", (None, None))
    return gf.function([x], fn(x, *args))(X)


@pytest.mark.parametrize(
    ("name", "want"),
    [
        ("segment_sum", [[8, np.nan], [0, 0], [8, 2], [0, 0]]),
        ("segment_prod", [[7, np.nan], [1, 1], [15, -24], [1, 1]]),
        ("segment_mean", [[4, np.nan], [0, 0], [4, 1], [0, 0]]),
        ("segment_max", [[7, np.nan], [0, 0], [5, 6], [0, 0]]),
        ("segment_min", [[1, np.nan], [0, 0], [3, -4], [0, 0]]),
        ("unsorted_segment_max", [[7, np.nan], [-np.inf, -np.inf], [5, 6], [-np.inf, -np.inf]]),
        ("unsorted_segment_min", [[1, np.nan], [np.inf, np.inf], [3, -4], [np.inf, np.inf]]),
        ("unsorted_segment_sqrt_n", np.array([[8, np.nan], [0, 0], [8, 2], [0, 0]]) / np.sqrt([[2], [1], [2], [1]])),
    ],
)
def test_values(name: str, want) -> None:
    np.testing.assert_allclose(of_constants(getattr(gf, name), IDS, 4), want)


def test_dtypes() -> None:
    ids = np.array([0, 1, 0])
    assert gf.segment_sum(np.array([True, True, True]), ids).dtype == "int64"
    assert gf.segment_sum(np.zeros(3, "int8"), ids).dtype == "int8"
    assert gf.segment_mean(np.zeros(3, "int8"), ids).dtype == "float64"
    assert gf.segment_max(np.array([True, False, True]), ids).dtype == "bool"
    with pytest.raises(DTypeError):
        gf.segment_sum(np.zeros(3), np.zeros(3))


def test_the_number_of_segments() -> None:
    assert gf.segment_sum(np.zeros((3, 5)), np.array([0, 4, 1])).shape == (5, 5)
    with pytest.raises(GraphError, match="depends on the ids") as caught:
        gf.segment_sum(np.zeros(3), gf.placeholder("int32", (3,)))
    assert "num_segments" in caught.value.hint
    with pytest.raises(CheckError, match="not less than the number of segments"):
        of_constants(gf.segment_sum, IDS, 2)
    with pytest.raises(ShapeError):
        gf.segment_sum(np.zeros((3, 2)), np.zeros((4,), int))


def test_many_columns_and_threads() -> None:
    rng = np.random.default_rng(0)
    x, ids = rng.standard_normal((500, 200)).astype("float32"), rng.integers(0, 30, 500)
    a, i = gf.placeholder("float32", (None, None)), gf.placeholder("int64", (None,))
    run = gf.function([a, i], gf.segment_sum(a, i, 30))
    want = np.zeros((30, 200), "float32")
    np.add.at(want, ids, x)
    for threads in (1, 2):
        with gf.config.override(threads=threads):
            np.testing.assert_array_equal(run(x, ids), want)


def test_the_gradient_of_a_product_with_zeros() -> None:
    ids, scale = gf.constant(np.array([0, 0, 1, 1, 1, 2])), gf.constant(np.array([1.0, 2.0, 3.0]))
    gf.verify_grad(lambda x: gf.segment_prod(x, ids, 3) * scale, [np.array([0.0, 3.0, 0.0, 0.0, 2.0, 0.0])])


def test_extremes_that_tie_share_the_gradient() -> None:
    x = gf.placeholder("float64", (None,))
    g = gf.grad(gf.sum(gf.segment_max(x, np.array([0, 0, 0, 1, -1]), 3)), x)
    assert gf.function([x], g)(np.array([2.0, 2.0, 1.0, 5.0, 9.0])).tolist() == [0.5, 0.5, 0, 1, 0]


def test_the_second_derivative_ignores_empty_segments() -> None:
    ids = gf.constant(np.array([0, 0, 2]))
    gf.verify_grad(lambda x: gf.square(gf.segment_max(x, ids, 4)), [np.array([1.0, 2.0, 3.0])], order=2)
