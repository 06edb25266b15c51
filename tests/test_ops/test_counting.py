"""bincount, histogram and count_nonzero against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

import graphflow as gf
from graphflow.graph.errors import CheckError, GraphError, ShapeError


def call(fn, *arrays):
    inputs = [gf.placeholder(a.dtype, (None,) * a.ndim) for a in arrays]
    made = fn(*inputs)
    run = gf.function(inputs, list(made) if isinstance(made, tuple) else made)
    return run(*arrays)


def assert_same(got, want) -> None:
    assert got.dtype == want.dtype and got.shape == want.shape
    np.testing.assert_array_equal(got, want)


def test_bincount() -> None:
    rng = np.random.default_rng(3)
    x, w = rng.integers(0, 6, (5, 6)), rng.standard_normal((5, 6))
    assert_same(call(lambda x: gf.bincount(x, length=8), x), np.bincount(x.ravel(), minlength=8))
    assert_same(call(lambda x, w: gf.bincount(x, w, length=8), x, w), np.bincount(x.ravel(), w.ravel(), minlength=8))
    assert gf.bincount(np.array([1, 4, 1])).shape == (5,)
    assert gf.bincount(np.array([1, 4, 1]), minlength=7).shape == (7,)
    for bad in (-1, 8):
        with pytest.raises(CheckError):
            call(lambda x: gf.bincount(x, length=8), np.array([0, bad]))
    with pytest.raises(GraphError, match="known only at run time") as caught:
        gf.bincount(gf.placeholder("int64", (None,)))
    assert "length=n" in caught.value.hint


def test_the_gradient_of_weights() -> None:
    places, scale = gf.constant(np.array([0, 2, 2])), gf.constant(np.array([1.0, 5.0, 7.0]))
    gf.verify_grad(lambda w: gf.bincount(places, w, length=3) * scale, [np.array([0.5, 1.0, 2.0])], order=2)


@pytest.mark.parametrize("bins", (1, 10, [-1.0, 0.0, 0.5, 1.0]))
@pytest.mark.parametrize("options", ({}, {"range": (-1, 1)}, {"density": True}, {"weights": np.arange(104.0)}))
def test_histogram(bins, options) -> None:
    x = np.r_[np.random.default_rng(4).standard_normal(100), 0, 1, -1, 0.5]
    counts, edges = call(lambda x: gf.histogram(x, bins, **options), x)
    want, want_edges = np.histogram(x, bins, **options)
    np.testing.assert_allclose(edges, want_edges, rtol=1e-14, atol=1e-14)
    assert counts.dtype == want.dtype
    np.testing.assert_allclose(counts, want, rtol=1e-13)


def test_histogram_of_one_value_of_integers_and_of_nan() -> None:
    for x in (np.full(4, 2.0), np.arange(9)):
        counts, edges = call(lambda x: gf.histogram(x, 3), x)
        assert_same(counts, np.histogram(x, 3)[0])
        np.testing.assert_allclose(edges, np.histogram(x, 3)[1])
    assert call(lambda x: gf.histogram(x, 2, range=(0, 2)), np.array([np.nan, 0.5, 2.0, 3.0]))[0].tolist() == [1, 1]
    fixed = call(lambda x: gf.histogram_fixed_width(x, (0.0, 5.0), 5), np.array([-1.0, 0, 1.5, 2, 5, 15, np.nan]))
    assert fixed.dtype == "int32" and fixed.tolist() == [3, 1, 1, 0, 2]
    with pytest.raises(ShapeError, match="0 bins"):
        gf.histogram(np.zeros(3), 0)


def test_count_nonzero() -> None:
    x = np.array([[0.0, np.nan, 2], [0, -0.0, 1]])
    assert_same(call(gf.count_nonzero, x), np.asarray(np.count_nonzero(x)))
    assert_same(call(lambda x: gf.count_nonzero(x, 0, True), x), np.count_nonzero(x, axis=0, keepdims=True))
