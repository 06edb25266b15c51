"""Sorting beyond its samples: every size, every dtype, NaN, signed zeros, ties; and what is made of the order."""

from __future__ import annotations

import numpy as np
import pytest

import graphflow as gf
from graphflow.graph.errors import CheckError, ShapeError
from graphflow.ops.ordering import LANES, SHORT, longest_for_network

DTYPES = ("float32", "float64", "int8", "uint16", "int32", "int64", "uint64", "bool")
LONG = [(1, SHORT + 1), (2, 4 * SHORT + 1), (LANES - 1, 49 * SHORT + 1)]  # rows for the radix sort


def draw(rng: np.random.Generator, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """Values with ties, extremes and, for floats, everything special."""
    if dtype.startswith("float"):
        special = np.array([0.0, -0.0, 1, -1, np.inf, -np.inf, np.nan, -np.nan, 1e-40, -1e-40, 3e38, -3e38])
        return np.where(rng.random(shape) < 0.5, rng.choice(special, shape), rng.standard_normal(shape)).astype(dtype)
    if dtype == "bool":
        return rng.random(shape) < 0.5
    ends = np.iinfo(dtype)
    wide = rng.integers(ends.min, ends.max, shape, dtype=dtype, endpoint=True)
    return rng.choice(np.array([ends.min, 0, 1, ends.max], dtype), shape) if rng.random() < 0.3 else wide


def bits(a: np.ndarray) -> np.ndarray:
    return a.view(f"u{a.dtype.itemsize}") if a.dtype.kind == "f" else a


def descending(a: np.ndarray) -> np.ndarray:
    """The stable descending order of rows: the ascending order of the rows backwards, read backwards."""
    return a.shape[-1] - 1 - np.argsort(a[..., ::-1], axis=-1, kind="stable")[..., ::-1]


@pytest.mark.smoke
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_size_in_one_executable(dtype: str) -> None:
    rng = np.random.default_rng(0)
    x = gf.placeholder(dtype, (None, None))
    run = gf.function([x], [gf.sort(x), gf.argsort(x), gf.argsort(x, descending=True), gf.argsort(x, 0)])
    short = [(rows, n) for n in range(71) for rows in ((1, 9) if n % 10 else (0, 1, 7, 8, 17))]
    for shape in [*short, (1, SHORT), (3, 700), *LONG]:
        a = draw(rng, dtype, shape)
        ordered, order, back, columns = run(a)
        want = np.argsort(a, axis=-1, kind="stable")
        np.testing.assert_array_equal(order, want)
        np.testing.assert_array_equal(bits(ordered), bits(np.take_along_axis(a, want, -1)))
        np.testing.assert_array_equal(back, descending(a))
        np.testing.assert_array_equal(columns, np.argsort(a, axis=0, kind="stable"))
    assert len(run.compiled.executables) == 1


def test_static_sizes_and_vectors() -> None:
    rng = np.random.default_rng(1)
    for shape in [(0,), (1,), (2,), (33,), (SHORT,), (SHORT + 1,), (2, 3, 4), (5, 0, 2), *LONG]:
        a = draw(rng, "float32", shape)
        x = gf.placeholder("float32", shape)
        for axis in (0, -1, None):
            np.testing.assert_array_equal(gf.function([x], gf.argsort(x, axis))(a), np.argsort(a, axis, kind="stable"))
            np.testing.assert_array_equal(gf.function([x], gf.sort(x, axis))(a), np.sort(a, axis))


def test_many_elements() -> None:
    rng = np.random.default_rng(2)
    a = rng.standard_normal((1, 100_000)).astype("float32")
    x = gf.placeholder("float32", (None, None))
    ordered, order = gf.function([x], [gf.sort(x), gf.argsort(x)])(a)
    np.testing.assert_array_equal(ordered, np.sort(a))
    np.testing.assert_array_equal(order, np.argsort(a, kind="stable"))


def test_bytes_that_are_the_same_in_a_row_are_left_out() -> None:
    a = np.arange(1000, dtype="int64")[None, ::-1] % 200 + 2**40
    x = gf.placeholder("int64", (None, None))
    np.testing.assert_array_equal(gf.function([x], gf.argsort(x))(a), np.argsort(a, kind="stable"))
    same = np.full((1, 1000), -5)
    np.testing.assert_array_equal(gf.function([x], gf.argsort(x))(same), np.arange(1000)[None])


def test_threads_do_not_change_the_order() -> None:
    a = np.random.default_rng(3).integers(0, 50, (40, 2000)).astype("float32")
    x = gf.placeholder("float32", (None, None))
    run = gf.function([x], [gf.argsort(x), gf.top_k(x, 7)[1]])
    alone = []
    for threads in (1, 2):
        with gf.config.override(threads=threads):
            alone.append(run(a))
    for one, two in zip(*alone, strict=True):
        np.testing.assert_array_equal(one, two)


def test_the_network_takes_longer_rows_where_lanes_are_full() -> None:
    assert [longest_for_network(rows) for rows in (0, 1, 2, 8, 100)] == [0, SHORT, 4 * SHORT, 64 * SHORT, 64 * SHORT]


# --- top_k -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", ("float32", "float64", "int8", "uint64", "bool"))
def test_top_k(dtype: str) -> None:
    rng = np.random.default_rng(4)
    for shape in [(3, 40), (9, 20), (1, 700), (2, 259)]:
        a = draw(rng, dtype, shape)
        for k in (0, 1, 5, 16, 17):
            for sizes in (shape, (None, None)):
                x = gf.placeholder(dtype, sizes)
                values, places = gf.function([x], list(gf.top_k(x, k)))(a)
                np.testing.assert_array_equal(places, descending(a)[:, :k])
                np.testing.assert_array_equal(bits(values), bits(np.take_along_axis(a, places, -1)))


def test_top_k_of_the_lowest_values_does_not_pick_what_fills_the_parts_up() -> None:
    a = np.full((1, 521), -np.inf, "float32")
    x = gf.placeholder("float32", a.shape)
    np.testing.assert_array_equal(gf.function([x], gf.top_k(x, 16)[1])(a), np.arange(16)[None])


def test_top_k_needs_k_elements() -> None:
    with pytest.raises(ShapeError, match="4 elements are asked for and there are 3"):
        gf.top_k(np.zeros(3), 4)
    with pytest.raises(ShapeError, match="-1 elements"):
        gf.top_k(np.zeros(3), -1)
    x = gf.placeholder("float64", (None,))
    run = gf.function([x], gf.top_k(x, 4)[0])
    assert run(np.arange(4.0)).tolist() == [3, 2, 1, 0]
    with pytest.raises(ShapeError):
        run(np.arange(3.0))


def test_the_gradient_of_tied_elements_goes_to_the_first() -> None:
    x = gf.placeholder("float64", (None,))
    g = gf.function([x], gf.grad(gf.top_k(x, 1)[0][0], x))
    assert g(np.array([1.0, 3.0, 3.0])).tolist() == [0, 1, 0]


# --- made of the order -------------------------------------------------------------------------------
def test_lexsort_and_permutations() -> None:
    rng = np.random.default_rng(5)
    first, second = rng.integers(0, 3, (2, 4, 30))
    x, y = gf.placeholder("int64", (None, None)), gf.placeholder("int64", (None, None))
    np.testing.assert_array_equal(gf.function([x, y], gf.lexsort((x, y)))(first, second), np.lexsort((first, second)))
    np.testing.assert_array_equal(gf.function([x, y], gf.lexsort((x, y), axis=0))(first, second), np.lexsort((first, second), axis=0))
    p = gf.placeholder("int32", (None,))
    order = rng.permutation(9).astype("int32")
    np.testing.assert_array_equal(gf.function([p], gf.invert_permutation(p))(order), np.argsort(order))
    with pytest.raises(CheckError):
        gf.function([p], gf.invert_permutation(p))(order + 1)


def test_in_top_k() -> None:
    scores = np.array([[0.1, 0.5, 0.4], [0.3, 0.3, 0.3], [np.nan, 0.2, 0.1]], "float32")
    x, t = gf.placeholder("float32", (None, None)), gf.placeholder("int64", (None,))
    targets = np.array([2, 1, 0])
    for k, want in ((0, [0, 0, 0]), (1, [0, 1, 0]), (2, [1, 1, 0])):
        assert gf.function([x, t], gf.in_top_k(x, t, k))(scores, targets).tolist() == [bool(w) for w in want]
