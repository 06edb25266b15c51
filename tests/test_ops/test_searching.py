"""searchsorted, digitize and isin beyond their samples."""

from __future__ import annotations

import numpy as np
import pytest

import graphflow as gf
from graphflow.graph.errors import ShapeError


def call(fn, *arrays):
    inputs = [gf.placeholder(a.dtype, (None,) * a.ndim) for a in arrays]
    made = fn(*inputs)
    run = gf.function(inputs, list(made) if isinstance(made, tuple) else made)
    return run(*arrays)


def assert_same(got, want) -> None:
    assert got.dtype == want.dtype and got.shape == want.shape
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("side", ("left", "right"))
def test_searchsorted_sizes(side: str) -> None:
    rng = np.random.default_rng(0)
    a, v = gf.placeholder("float64", (None,)), gf.placeholder("float64", (None,))
    run = gf.function([a, v], gf.searchsorted(a, v, side))
    for n in [*range(35), 127, 128, 129, 3000]:
        sequence = np.sort(np.r_[rng.integers(-9, 9, n) / 2.0, [np.nan] * (n > 30)])
        for m in (0, 1, 9, 600):
            values = rng.choice([-9.0, -0.0, 0.0, 0.5, 3.0, 99.0, np.inf, -np.inf, np.nan], m)
            assert_same(run(sequence, values), np.searchsorted(sequence, values, side))


def test_searchsorted_of_integers_at_their_ends() -> None:
    ends = np.iinfo("int64")
    a = np.array([ends.min, ends.min, -1, 0, ends.max])
    for side in ("left", "right"):
        assert_same(call(lambda x, y, side=side: gf.searchsorted(x, y, side), a, a[::-1].copy()), np.searchsorted(a, a[::-1], side))


def test_searchsorted_in_rows_and_its_errors() -> None:
    rng = np.random.default_rng(1)
    a, v = np.sort(rng.standard_normal((2, 3, 40))), rng.standard_normal((2, 3, 7))
    want = np.array([[np.searchsorted(a[i, j], v[i, j]) for j in range(3)] for i in range(2)])
    assert_same(call(gf.searchsorted, a, v), want)
    with pytest.raises(ShapeError, match="do not fit"):
        gf.searchsorted(np.zeros((2, 3)), np.zeros(3))
    with pytest.raises(ShapeError, match="middle"):
        gf.searchsorted(np.zeros(3), 1.0, "middle")


def test_digitize() -> None:
    bins, x = np.array([-1.0, 0, 0, 2]), np.array([[-2.0, -1, -0.5], [0, 2, 3]])
    for right in (False, True):
        assert_same(call(lambda x, b, r=right: gf.digitize(x, b, r), x, bins), np.digitize(x, bins, right))
        assert_same(call(lambda x, r=right: gf.digitize(x, bins[::-1], r), x), np.digitize(x, bins[::-1], right))
    with pytest.raises(ShapeError, match="neither increase nor decrease"):
        gf.digitize(x, np.array([0.0, 2, 1]))


@pytest.mark.parametrize("count", (0, 1, 5, 40))
def test_isin(count: int) -> None:
    rng = np.random.default_rng(2)
    x, tests = rng.integers(-3, 9, (4, 5)).astype(float), rng.integers(-3, 9, count).astype(float)
    x[0, 0] = np.nan
    tests[: count // 5] = np.nan
    assert_same(call(gf.isin, x, tests), np.isin(x, tests))
    assert_same(call(lambda x: gf.isin(x, tests, invert=True), x), np.isin(x, tests, invert=True))
