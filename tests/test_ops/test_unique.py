"""unique, nonzero and boolean_mask with a size: against NumPy, longer and shorter than what there is."""

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


def draw(dtype: str, n: int) -> np.ndarray:
    a = np.random.default_rng(n).integers(-3, 4, n).astype(dtype)
    if dtype.startswith("float") and n > 4:
        a[[0, 3]] = np.nan
        a[1:3] = -0.0, 0.0
    return a


@pytest.mark.parametrize("dtype", ("float32", "int64", "bool"))
@pytest.mark.parametrize("extra", (0, 3, -1))
def test_unique(dtype: str, extra: int) -> None:
    for n in (0, 1, 30):
        a = draw(dtype, n)
        values, index, inverse, counts = np.unique(a, return_index=True, return_inverse=True, return_counts=True)
        size = max(len(values) + extra, 0)
        got = call(lambda x, size=size: gf.unique(x, True, True, True, size=size), a)
        there = min(size, len(values))
        for g, w in zip((got[0], got[1], got[3]), (values, index, counts), strict=True):
            assert g.shape == (size,) and g.dtype == w.dtype
            np.testing.assert_array_equal(g[:there], w[:there])
        np.testing.assert_array_equal(got[2], inverse)
        if n:
            np.testing.assert_array_equal(got[0][there:], np.full(size - there, values[0]))
            np.testing.assert_array_equal(got[1][there:], np.full(size - there, index[0]))
        assert not got[3][there:].any()


def test_unique_filled_up_and_of_constants() -> None:
    a = np.array([[3, 1], [1, 3]])
    assert call(lambda x: gf.unique(x, size=4, fill_value=-7), a).tolist() == [1, 3, -7, -7]
    values, inverse = gf.function([], list(gf.unique(gf.constant(a), return_inverse=True)))()
    assert values.tolist() == [1, 3] and inverse.tolist() == [[1, 0], [0, 1]]


def test_the_gradient_of_unique_goes_to_the_first_of_equal_elements() -> None:
    x = gf.placeholder("float64", (None,))
    g = gf.grad(gf.sum(gf.unique(x, size=3, fill_value=0) * gf.constant([1.0, 2.0, 4.0])), x)
    assert gf.function([x], g)(np.array([5.0, 2.0, 5.0])).tolist() == [2, 1, 0]


@pytest.mark.parametrize("shape", ((7,), (3, 4), (0, 4), (2, 3, 4)))
def test_nonzero(shape: tuple[int, ...]) -> None:
    a = np.random.default_rng(1).integers(0, 2, shape).astype("float32")
    want = np.nonzero(a)
    count = len(want[0])
    for size in (count, count + 2, max(count - 1, 0)):
        got = call(lambda x, size=size: gf.nonzero(x, size=size, fill_value=-1), a)
        for g, w in zip(got, want, strict=True):
            filled = np.full(size, -1)
            filled[:count] = w[:size]
            assert g.dtype == "int64"
            np.testing.assert_array_equal(g, filled)
    np.testing.assert_array_equal(call(lambda x: gf.argwhere(x, size=count), a), np.argwhere(a))
    np.testing.assert_array_equal(call(lambda x: gf.flatnonzero(x, size=count), a), np.flatnonzero(a))


def test_boolean_mask() -> None:
    rng = np.random.default_rng(2)
    x = rng.standard_normal((3, 4, 2))
    for mask, axis in ((rng.random((3, 4)) < 0.5, 0), (rng.random(4) < 0.5, 1), (np.zeros(3, bool), 0)):
        selected = x[mask] if axis == 0 else x[:, mask]
        count = int(mask.sum())
        got = call(lambda x, m, c=count, a=axis: gf.boolean_mask(x, m, size=c + 1, fill_value=9, axis=a), x, mask)
        np.testing.assert_array_equal(got.take(range(count), axis), selected)
        assert (got.take(count, axis) == 9).all()
        np.testing.assert_array_equal(call(lambda x, m=mask, a=axis: gf.boolean_mask(x, m, axis=a), x), selected)
    with pytest.raises(ShapeError, match="does not fit"):
        gf.boolean_mask(x, mask, axis=3)


def test_a_scalar_has_no_places() -> None:
    with pytest.raises(ShapeError, match="no places"):
        gf.nonzero(np.float32(3))
