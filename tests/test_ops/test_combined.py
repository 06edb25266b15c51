"""Functions made of others against NumPy and SciPy, odd values and gradients included."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special

import graphflow as gf
from graphflow.graph.errors import GraphError, ShapeError
from graphflow.graph.variable import constant, placeholder

ODD = np.array([0.0, -0.0, 1.0, -2.5, 3.0, 1e-30, 1e300, -1e300, np.inf, -np.inf, np.nan])
PAIRS = tuple(a.ravel() for a in np.meshgrid(ODD, ODD))
ONE = {"sinc": np.sinc, "cbrt": np.cbrt, "deg2rad": np.deg2rad, "rad2deg": np.rad2deg, "log_sigmoid": special.log_expit, "nan_to_num": np.nan_to_num}
TWO = {
    "xlogy": special.xlogy, "xlog1py": special.xlog1py, "logaddexp": np.logaddexp, "logaddexp2": np.logaddexp2, "hypot": np.hypot,
    "heaviside": np.heaviside, "isclose": np.isclose,
}  # fmt: skip


def value(v):
    return gf.function([], v)()


@pytest.mark.parametrize("name", ONE)
def test_of_one(name):
    x = ODD[np.abs(ODD) < 1e200] if name in ("sinc",) else ODD
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(value(getattr(gf, name)(constant(x))), ONE[name](x), rtol=1e-14, atol=1e-300)


@pytest.mark.parametrize("name", TWO)
def test_of_two(name):
    x, y = PAIRS
    if name == "hypot":  # inf and NaN: NumPy says inf
        keep = ~(np.isinf(x) & np.isnan(y)) & ~(np.isnan(x) & np.isinf(y))
        x, y = x[keep], y[keep]
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(value(getattr(gf, name)(constant(x), constant(y))), TWO[name](x, y), rtol=1e-13)


def test_signs():
    x, y = (v[~np.isnan(PAIRS[1])] for v in PAIRS)
    np.testing.assert_array_equal(value(gf.copysign(constant(x), constant(y))), np.copysign(x, y))
    finite = ODD[~np.isnan(ODD)]
    np.testing.assert_array_equal(value(gf.signbit(constant(finite))), np.signbit(finite))
    assert value(gf.signbit(constant(np.array([-1, 0, 2])))).tolist() == [True, False, False]


def test_quotients_without_nan():
    x, y = np.array([0.0, 0, 3, 4]), np.array([0.0, 2, 0, 2])
    assert value(gf.divide_no_nan(x, y)).tolist() == [0, 0, 0, 2]
    assert value(gf.xdivy(x, y)).tolist() == [0, 0, np.inf, 2]


def test_isclose_and_allclose():
    x, y = np.array([1.0, np.nan, np.inf]), np.array([1.0 + 1e-9, np.nan, np.inf])
    assert value(gf.isclose(x, y, equal_nan=True)).all() and not value(gf.allclose(x, y)) and value(gf.allclose(x, y, equal_nan=True))


@pytest.mark.parametrize(
    "name,point,expected",
    [("xlogy", (0.0, 0.0), 0), ("xlogx", (0.0,), None), ("logaddexp", (1.0, 1.0), 0.5), ("logaddexp", (-np.inf, 2.0), 0.0), ("hypot", (0.0, 0.0), 0), ("hypot", (3.0, 4.0), 0.6), ("sinc", (0.0,), 0), ("divide_no_nan", (1.0, 0.0), 0), ("cbrt", (8.0,), 1 / 12)],
)
def test_gradients_at_odd_points(name, point, expected):
    xs = [placeholder("float64", ()) for _ in point]
    g = gf.function(xs, gf.grad(getattr(gf, name)(*xs), xs[0]))(*point)
    assert np.isfinite(g) and (expected is None or g == pytest.approx(expected))


def test_sums():
    assert value(gf.add_n([1.0, np.array([1.0, 2.0]), 3])).tolist() == [5, 6]
    assert value(gf.squared_difference(np.array([1.0, 4.0]), 2.0)).tolist() == [1, 4]
    x = np.zeros((2, 3, 4))
    assert value(gf.bias_add(x, np.arange(4.0)))[0, 0].tolist() == [0, 1, 2, 3]
    assert value(gf.bias_add(x, np.arange(3.0), "channels_first"))[0, :, 0].tolist() == [0, 1, 2]
    with pytest.raises(GraphError):
        gf.add_n([])
    with pytest.raises(ShapeError):
        gf.bias_add(x, np.zeros((1, 4)))
    with pytest.raises(ShapeError, match="differ"):
        gf.bias_add(x, np.zeros(3))
    assert math.isclose(value(gf.xlogx(2.0)), 2 * math.log(2))
