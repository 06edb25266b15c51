"""The incomplete gamma and beta functions, zeta and polygammas against SciPy; their gradients against differences."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

import graphflow as gf
from graphflow.compiler.reference import evaluate
from graphflow.graph.variable import placeholder

RNG = np.random.default_rng(0)


def value(v):
    return gf.function([], v)()


def error(found, expected):
    seen = expected > 1e-280
    return np.max(np.abs(found - expected)[seen] / expected[seen])


@pytest.mark.parametrize("largest,tolerance", [(3, 2e-13), (100, 5e-13), (3000, 3e-11)])
def test_incomplete_functions(largest, tolerance):
    a, b, y = RNG.uniform(0.05, largest, 1000), RNG.uniform(0.05, largest, 1000), RNG.random(1000)
    x = a * RNG.uniform(0, 2.5, 1000)
    assert error(value(gf.igamma(a, x)), special.gammainc(a, x)) < tolerance
    assert error(value(gf.igammac(a, x)), special.gammaincc(a, x)) < tolerance
    assert error(value(gf.betainc(a, b, y)), special.betainc(a, b, y)) < tolerance


def test_zeta_and_polygamma():
    s, q = RNG.uniform(1.01, 30, 500), 10 ** RNG.uniform(-2, 3, 500)
    assert error(value(gf.zeta(s, q)), special.zeta(s, q)) < 3e-15
    for n in range(5):
        expected = special.polygamma(n, q)
        assert np.max(np.abs(value(gf.polygamma(n, q)) - expected) / np.abs(expected)) < 1e-13
    np.testing.assert_array_equal(value(gf.polygamma([-1.0, 0.5, 1.0], 1.0)), [np.nan, np.nan, value(gf.polygamma(1, 1.0))])


def test_odd_arguments():
    nan, inf = np.nan, np.inf
    np.testing.assert_array_equal(value(gf.igamma([0.0, 1, 2, 2, nan, 3], [1.0, 0, inf, -1, 1, nan])), [nan, 0, 1, nan, nan, nan])
    np.testing.assert_array_equal(value(gf.igammac([1.0, 2], [0.0, inf])), [1, 0])
    np.testing.assert_array_equal(value(gf.betainc([1.0, 2, 0, 1, 1], [2.0, 3, 1, -1, 1], [0.0, 1, 0.5, 0.5, 2])), [0, 1, nan, nan, nan])
    np.testing.assert_array_equal(value(gf.zeta([1.0, 2, 0.5, 2], [2.0, -3, 1, -0.5])), [inf, inf, nan, nan])


def test_dtypes_broadcasting_and_sizes():
    a, x = placeholder("float32", (None, 1)), placeholder("float32", (None,))
    y = gf.igamma(a, x)
    f = gf.function([a, x], y)
    for m, n in ((3, 5), (1, 1), (2, 0), (4, 9)):
        feeds = RNG.uniform(0.5, 5, (m, 1)).astype("float32"), RNG.uniform(0, 9, n).astype("float32")
        found = f(*feeds)
        assert found.dtype == "float32" and found.shape == (m, n)
        np.testing.assert_allclose(found, special.gammainc(*feeds), rtol=1e-6)
        np.testing.assert_allclose(found, evaluate([y], dict(zip((a, x), feeds, strict=True)))[0], rtol=1e-6)


@pytest.mark.parametrize("name", ["igamma", "igammac"])
def test_gradients_of_incomplete_gamma(name):
    function, expected = getattr(gf, name), {"igamma": special.gammainc, "igammac": special.gammaincc}[name]
    a, x = placeholder("float64", (None,)), placeholder("float64", (None,))
    at = np.array([0.3, 2, 5, 50, 200, 3, 0.01]), np.array([0.1, 1.5, 9, 45, 230, 20.0, 0.5])
    ga, gx = gf.function([a, x], gf.grad(gf.sum(function(a, x)), [a, x]))(*at)
    h = 1e-6
    np.testing.assert_allclose(ga, (expected(at[0] + h, at[1]) - expected(at[0] - h, at[1])) / (2 * h), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(gx, (expected(at[0], at[1] + h) - expected(at[0], at[1] - h)) / (2 * h), rtol=1e-6, atol=1e-9)
    assert gf.function([a, x], gf.grad(gf.sum(function(a, x)), a))([2.0], [0.0]) == 0


def test_gradients_of_beta_and_zeta():
    x = placeholder("float64", (None,))
    at, h = np.array([0.1, 0.5, 0.9]), 1e-6
    g = gf.function([x], gf.grad(gf.sum(gf.betainc(2.0, 3.5, x)), x))(at)
    np.testing.assert_allclose(g, (special.betainc(2, 3.5, at + h) - special.betainc(2, 3.5, at - h)) / (2 * h), rtol=1e-6)
    g = gf.function([x], gf.grad(gf.sum(gf.zeta(3.0, x)), x))(at)
    np.testing.assert_allclose(g, -3 * special.zeta(4, at), rtol=1e-12)
