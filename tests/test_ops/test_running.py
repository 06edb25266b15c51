"""Running extremes and the running logsumexp beyond their samples: NaN, ties, infinities."""

from __future__ import annotations

import numpy as np
import pytest

import graphflow as gf


def call(fn, *arrays):
    inputs = [gf.placeholder(a.dtype, (None,) * a.ndim) for a in arrays]
    made = fn(*inputs)
    return gf.function(inputs, list(made) if isinstance(made, tuple | list) else made)(*arrays)


@pytest.mark.parametrize("n", (1, 2, 9))
def test_running_extremes_with_nan_and_ties(n: int) -> None:
    a = np.random.default_rng(n).choice([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan], (20, n))
    got = call(lambda x: [gf.cummax(x, 1), gf.cummin(x, 1), gf.cummax(x, 1, reverse=True)], a)
    want = [np.maximum.accumulate(a, 1), np.minimum.accumulate(a, 1), np.maximum.accumulate(a[:, ::-1], 1)[:, ::-1]]
    for g, w in zip(got, want, strict=True):
        np.testing.assert_array_equal(g, w)


def test_logcumsumexp_of_infinite_and_large_numbers() -> None:
    inf = np.inf
    for x, want in (
        ([-inf, -inf, 1, 2, -inf], [-inf, -inf, 1, np.logaddexp(1, 2), np.logaddexp(1, 2)]),
        ([1000, 1001], [1000, 1000 + np.logaddexp(0, 1)]),
        ([1, inf, 3], [1, inf, inf]),
        ([np.nan, 1], [np.nan, np.nan]),
    ):
        np.testing.assert_allclose(call(gf.logcumsumexp, np.array(x, float)), want)
    exclusive = call(lambda x: gf.logcumsumexp(x, 0, exclusive=True, reverse=True), np.arange(3.0))
    np.testing.assert_allclose(exclusive, [np.logaddexp(1, 2), 2, -inf])
    x = gf.placeholder("float64", (None,))
    g = gf.function([x], gf.grad(gf.logcumsumexp(x)[-1], x))
    np.testing.assert_allclose(g(np.array([-inf, 1000.0, 1000.0])), [0, 0.5, 0.5])
