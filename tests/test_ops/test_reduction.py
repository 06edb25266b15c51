"""Folds, statistics and running sums where they are special: zeros, ties, no elements, infinities."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import graphflow.ops
from graphflow.graph.errors import DTypeError, ShapeError
from graphflow.graph.types import SUPPORTED
from graphflow.graph.variable import constant, placeholder
from graphflow.ops.cumulative import cumprod, cumsum, linear_recurrence
from graphflow.ops.elementwise import multiply
from graphflow.ops.reduction import all_, any_, argmax, argmin, max_, min_, normalize_axes, prod, ptp, sum_
from graphflow.ops.statistics import logsumexp, mean, std, var

PUBLIC = graphflow.ops.PUBLIC


def value(run, v, feeds=None):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return run([v], feeds or {}, expand=True)[0]


@pytest.mark.parametrize("name", ["sum", "prod", "mean", "var", "std", "max", "min", "any", "all", "argmax", "argmin", "cumsum", "cumprod"])
def test_dtypes_are_numpys(name, run):
    for dtype in SUPPORTED:
        x = np.array([[1, 0, 1], [1, 1, 0]], dtype)
        got = value(run, PUBLIC[name](constant(x), 1))
        expected = getattr(np, name)(x, 1)
        assert got.dtype == expected.dtype, dtype
        np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_the_dtype_argument(run):
    x = constant(np.array([200, 100], "uint8"))
    assert value(run, sum_(x, dtype="uint8")) == 44 and sum_(x, dtype="float32").dtype == "float32"
    assert mean(x, dtype="float32").dtype == "float32"
    with pytest.raises(DTypeError):
        sum_(x, dtype="bool")
    with pytest.raises(DTypeError):
        mean(x, dtype="int32")


def test_axes():
    assert normalize_axes((-1, 0), 3) == (0, 2) and normalize_axes(None, 2) == (0, 1) and normalize_axes(np.int64(1), 2) == (1,)
    for axis in (2, -3, (0, 0), (1, -1)):
        with pytest.raises(ShapeError):
            sum_(placeholder("float32", (3, 4)), axis=axis)
    with pytest.raises(DTypeError):
        sum_(placeholder("float32", (3, 4)), axis=(0.5,))


def test_no_elements(run):
    nothing = constant(np.zeros((0, 3)))
    assert value(run, sum_(nothing)) == 0 and value(run, prod(nothing)) == 1
    assert value(run, all_(nothing)) and not value(run, any_(nothing))
    assert np.isnan(value(run, mean(nothing))) and np.isnan(value(run, var(nothing))) and np.isnan(value(run, std(nothing)))
    for fn in (max_, min_, argmax, argmin, logsumexp, ptp):
        with pytest.raises(ShapeError, match="size 0"):
            fn(nothing, 0)
        assert fn(nothing, 1).shape == (0,)
    with pytest.raises(ShapeError, match="size 0"):
        max_(constant(np.zeros(0, bool)))


def test_var_with_ddof(run):
    x = np.array([[1.0, 2.0, 4.0]])
    assert value(run, var(constant(x), ddof=1)) == pytest.approx(np.var(x, ddof=1))
    with np.errstate(all="ignore"):
        assert value(run, var(constant(x), ddof=3)) == np.inf


@pytest.mark.smoke
def test_nan_is_the_extreme(run):
    x = constant(np.array([[1.0, np.nan, 3.0, np.nan], [5.0, 2.0, 5.0, 2.0]]))
    assert value(run, argmax(x, 1)).tolist() == [1, 0] and value(run, argmin(x, 1)).tolist() == [1, 1]
    assert np.isnan(value(run, max_(x, 1))[0]) and np.isnan(value(run, min_(x)))
    assert value(run, argmax(constant(np.array([False, True, True])))) == 1
    assert value(run, argmax(x, keepdims=True)).shape == (1, 1)
    assert value(run, argmax(constant(np.float64(3)))) == 0


def test_ties_share_the_gradient(run, pull):
    x = placeholder("float64", (2, 3))
    a = np.array([[3.0, 3.0, 1.0], [np.nan, 1.0, 2.0]])
    (g,) = run(pull(max_(x, 1), constant(np.array([4.0, 4.0])), [x]), {x: a})
    assert g.tolist() == [[2, 2, 0], [0, 0, 0]]


# --- products with zeros ---------------------------------------------------------------------------
def partial_products(x):
    """d prod / dx_i as the product of the others, and the second derivatives of the others' products."""
    n = x.size
    first = np.array([np.prod(np.delete(x, i)) for i in range(n)])
    second = np.array([[0.0 if i == j else np.prod(np.delete(x, [i, j])) for j in range(n)] for i in range(n)])
    return first, second


@pytest.mark.smoke
@pytest.mark.parametrize("a", [[2.0, 3.0, 5.0, 7.0], [2.0, 0.0, 5.0, 7.0], [0.0, 3.0, 0.0, 7.0], [0.0, 0.0, 0.0, 7.0]])
def test_gradient_of_a_product_with_zeros(a, run, pull):
    for shape in ((4,), (2, 2)):
        x, a = placeholder("float64", shape), np.reshape(a, shape)
        (g,) = pull(prod(x), constant(1.0), [x])
        first, second = partial_products(a.ravel())
        np.testing.assert_allclose(value(run, g, {x: a}).ravel(), first)
        direction = np.arange(1.0, 5.0)
        (h,) = pull(sum_(multiply(g, direction.reshape(shape))), constant(1.0), [x])
        np.testing.assert_allclose(value(run, h, {x: a}).ravel(), second @ direction)


@pytest.mark.parametrize("exclusive", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
def test_gradient_of_a_running_product_with_zeros(reverse, exclusive, run, pull):
    x, a, w = placeholder("float64", (5,)), np.array([2.0, 0.0, -3.0, 0.0, 5.0]), np.arange(1.0, 6.0)
    (g,) = pull(cumprod(x, 0, reverse=reverse, exclusive=exclusive), constant(w), [x])
    order = np.arange(5)[:: -1 if reverse else 1]
    expected = np.zeros(5)
    for place, k in enumerate(order):
        factors = order[: place + (not exclusive)]
        for i in factors:
            expected[i] += w[k] * np.prod([a[j] for j in factors if j != i])
    np.testing.assert_allclose(value(run, g, {x: a}), expected)


def test_running_sums(run):
    x = np.arange(1, 7).reshape(2, 3)
    assert value(run, cumsum(constant(x))).tolist() == np.cumsum(x).tolist()
    assert value(run, cumsum(constant(x), 1, reverse=True)).tolist() == [[6, 5, 3], [15, 11, 6]]
    assert value(run, cumsum(constant(x), 1, exclusive=True)).tolist() == [[0, 1, 3], [0, 4, 9]]
    assert value(run, cumprod(constant(x), 0, exclusive=True, reverse=True)).tolist() == [[4, 5, 6], [1, 1, 1]]


def test_linear_recurrence(run):
    x = np.array([1.0, 2.0, 3.0])
    assert value(run, linear_recurrence(0.5, constant(x))).tolist() == [1, 2.5, 4.25]
    assert value(run, linear_recurrence(0.5, constant(x), reverse=True)).tolist() == [2.75, 3.5, 3]
    assert value(run, linear_recurrence(constant(np.array([9.0, 0, 2])), constant(x))).tolist() == [1, 2, 7]
    with pytest.raises(DTypeError):
        linear_recurrence(2, constant(np.arange(3)))


# --- logsumexp -----------------------------------------------------------------------------------
def test_logsumexp_of_large_and_infinite_rows(run, pull):
    inf = np.inf
    rows = np.array([[1000.0, 1000.0], [-inf, -inf], [-inf, 3.0], [inf, 1.0], [inf, -inf], [np.nan, 1.0], [-1000.0, -1001.0]])
    expected = [1000 + np.log(2), -inf, 3.0, inf, inf, np.nan, -1000 + np.log1p(np.exp(-1))]
    x = placeholder("float64", rows.shape)
    np.testing.assert_allclose(value(run, logsumexp(x, 1), {x: rows}), expected, rtol=1e-15)
    np.testing.assert_allclose(run([logsumexp(x, 1)], {x: rows})[0], expected, rtol=1e-15)
    (g,) = pull(logsumexp(x, 1), constant(np.ones(len(rows))), [x])
    weights = value(run, g, {x: rows})
    np.testing.assert_allclose(weights[[0, 1, 2]], [[0.5, 0.5], [0, 0], [0, 1]])
    assert logsumexp(constant(np.ones((2, 3))), (0, 1), keepdims=True).shape == (1, 1)
