"""Roots and fixed points, and their gradients."""

from __future__ import annotations

import numpy as np
import pytest

import graphflow as gf
from graphflow.graph.errors import DTypeError, ShapeError


@pytest.mark.smoke
def test_a_fixed_point_and_its_gradient() -> None:
    a = gf.placeholder("float64", (3,))
    x = gf.fixed_point(lambda x: 0.5 * gf.cos(x) + a, gf.zeros((3,), "float64"))
    value = np.array([0.1, -0.4, 2.0])
    got, g, h = gf.function([a], [x, gf.grad(gf.sum(x * x), a), gf.hessian(gf.sum(x * x), a)])(value)
    np.testing.assert_allclose(got, 0.5 * np.cos(got) + value, rtol=1e-12)
    slope = 1 / (1 + 0.5 * np.sin(got))  # dx/da
    np.testing.assert_allclose(g, 2 * got * slope, rtol=1e-10)
    bend = -0.5 * np.cos(got) * slope**3
    np.testing.assert_allclose(np.diag(h), 2 * (slope**2 + got * bend), rtol=1e-8)


def test_a_root_and_its_gradient() -> None:
    a, b = gf.placeholder("float64", (None,)), gf.shared(np.float64(3.0))
    x = gf.root(lambda x: x**3 + b * x - a, gf.ones_like(a))
    value = np.array([1.0, 5.0, -2.0, 0.3])
    got, ga, gb = gf.function([a], [x, *gf.grad(gf.sum(x), [a, b])])(value)
    np.testing.assert_allclose(got**3 + 3 * got, value, rtol=1e-12)
    np.testing.assert_allclose(ga, 1 / (3 * got**2 + 3), rtol=1e-10)
    np.testing.assert_allclose(gb, (-got / (3 * got**2 + 3)).sum(), rtol=1e-10)


def test_a_system_of_equations() -> None:
    p = gf.placeholder("float64", ())
    x = gf.root(lambda v: gf.stack([v[0] ** 2 + v[1] ** 2 - p, v[0] - v[1]]), np.array([2.0, 1.0]))
    got, g = gf.function([p], [x, gf.grad(x[0], p)])(np.float64(8.0))
    np.testing.assert_allclose(got, [2, 2], rtol=1e-12)
    np.testing.assert_allclose(g, 1 / 8, rtol=1e-10)


def test_what_does_not_fit() -> None:
    with pytest.raises(ShapeError, match="fixed_point"):
        gf.fixed_point(lambda x: gf.stack([x, x]), gf.zeros((3,), "float64"))
    with pytest.raises(DTypeError, match="floats"):
        gf.root(lambda x: x, np.array([1, 2]))


def test_the_jacobian_of_an_output_of_any_size() -> None:
    x = gf.placeholder("float64", (None,))
    y = gf.sin(x) * gf.sum(x)
    v = np.linspace(-1, 2, 12)
    got = gf.function([x], gf.jacobian(y, x))(v)
    np.testing.assert_allclose(got, np.diag(np.cos(v) * v.sum()) + np.sin(v)[:, None], rtol=1e-12)
