"""The references that NumPy does not have, against mpmath."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest

from graphflow.ops.special import digamma_of, erfinv_of, lgamma_of, trigamma_of
from graphflow.ops.transcendental import Sigmoid, Softplus

POINTS = [1e-8, 1e-3, 0.1, 0.5, 0.99, 1.5, 2.0, 3.7, 9.99, 10.0, 55.5, 1e3, 1e8, -0.5, -1e-3, -2.3, -7.75]


@pytest.mark.parametrize("x", [0.0, 1e-300, 1e-9, 0.1, -0.3, 0.5, 0.77, -0.9, 0.999, 1 - 1e-9, -1 + 1e-15, 1 - 2**-53])
def test_erfinv(x):
    with mpmath.workdps(40):
        assert erfinv_of(x) == pytest.approx(float(mpmath.erfinv(x)), rel=2e-15, abs=0)


def test_erfinv_outside():
    assert erfinv_of(1.0) == math.inf and erfinv_of(-1.0) == -math.inf and math.isnan(erfinv_of(1.1)) and math.isnan(erfinv_of(math.nan))


@pytest.mark.parametrize("x", POINTS)
def test_derivatives_of_lgamma(x):
    with mpmath.workdps(40):
        assert digamma_of(x) == pytest.approx(float(mpmath.digamma(x)), rel=1e-14, abs=1e-14)
        assert trigamma_of(x) == pytest.approx(float(mpmath.polygamma(1, x)), rel=1e-14)


def test_poles_and_infinity():
    assert lgamma_of(0.0) == lgamma_of(-3.0) == lgamma_of(1e308) == math.inf
    assert digamma_of(0.0) == -math.inf and math.isnan(digamma_of(-2.0)) and digamma_of(math.inf) == math.inf
    assert trigamma_of(0.0) == math.inf and trigamma_of(math.inf) == 0
    assert math.isnan(digamma_of(math.nan)) and math.isnan(trigamma_of(math.nan))


def test_sigmoid_and_softplus_do_not_overflow():
    x = np.array([-1000.0, -50.0, 0.0, 50.0, 1000.0, np.inf, -np.inf, np.nan])
    np.testing.assert_array_equal(Sigmoid().reference(x)[[0, 2, 4, 5, 6]], [0, 0.5, 1, 1, 0])
    np.testing.assert_allclose(Sigmoid().reference(x)[1], math.exp(-50), rtol=1e-15)
    np.testing.assert_allclose(Softplus().reference(x), [0, math.exp(-50), math.log(2), 50, 1000, np.inf, 0, np.nan], rtol=1e-15)
