"""Quantiles against NumPy, and their gradients."""

from __future__ import annotations

import numpy as np
import pytest

import graphflow as gf
from graphflow.graph.errors import ShapeError


def call(fn, *arrays):
    inputs = [gf.placeholder(a.dtype, (None,) * a.ndim) for a in arrays]
    made = fn(*inputs)
    return gf.function(inputs, list(made) if isinstance(made, tuple | list) else made)(*arrays)


def assert_close(got, want) -> None:
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=2e-6 if got.dtype == "float32" else 1e-13)


METHODS = ("linear", "lower", "higher", "midpoint", "nearest")


@pytest.mark.parametrize(("shape", "axis"), [((7,), None), ((3, 8), 1), ((2, 3, 4), (0, 2)), ((1, 2), 0)])
@pytest.mark.parametrize("dtype", ("float64", "float32", "int32"))
def test_quantiles(shape, axis, dtype: str) -> None:
    a = (np.random.default_rng(0).standard_normal(shape) * 9).astype(dtype)
    share = [[0.0, 0.3], [0.5, 1.0]]

    def everything(x):
        made = [gf.median(x, axis), gf.median(x, axis, keepdims=True), gf.quantile(x, 0.3, axis)]
        made += [gf.quantile(x, share, axis, method=m) for m in METHODS]
        return [*made, gf.percentile(x, 37.5, axis, keepdims=True)]

    want = [np.median(a, axis), np.median(a, axis, keepdims=True), np.quantile(a, 0.3, axis=axis)]
    want += [np.quantile(a, share, axis=axis, method=m) for m in METHODS]
    want.append(np.percentile(a, 37.5, axis=axis, keepdims=True))
    for got, expected in zip(call(everything, a), want, strict=True):
        assert got.dtype == (dtype if dtype.startswith("float") else "float64")
        assert_close(got, np.asarray(expected))


def test_nan_and_infinities() -> None:
    a = np.array([[1.0, np.nan, 3.0], [4.0, 5.0, 7.0], [np.inf, np.inf, np.inf]])
    assert call(lambda x: gf.median(x, 1), a).tolist()[1:] == [5, np.inf]
    found = call(lambda x: gf.quantile(x, [0.1, 0.9], 1), a)
    assert np.isnan(found[:, 0]).all() and (found[:, 2] == np.inf).all()


def test_gradients_of_quantiles() -> None:
    points = [np.random.default_rng(1).standard_normal((3, 6))]
    gf.verify_grad(lambda x: gf.square(gf.median(x, 1)), points, order=2)
    gf.verify_grad(lambda x: gf.square(gf.quantile(x, [0.2, 0.75], 0)), points, order=2)


def test_errors() -> None:
    with pytest.raises(ShapeError, match="no method"):
        gf.quantile(np.zeros(3), 0.5, method="middle")
    with pytest.raises(ShapeError, match="size 0"):
        gf.median(np.zeros((2, 0)), 1)
