"""Sizes that are known only once some of the graph has run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow.graph.errors import CheckError, ShapeError

R = np.random.default_rng(0)


def vector() -> Any:
    return gf.placeholder("float64", (None,), name="x")


@pytest.mark.smoke
@pytest.mark.parametrize("n", [0, 1, 7, 1000])
def test_masks_and_places(n: int) -> None:
    x = vector()
    f = gf.function([x], [x[x > 0.0], *gf.nonzero(x > 0.0), gf.sum(gf.exp(x[x > 0.0])), gf.boolean_mask(x, x < 0.0)])
    v = R.standard_normal(n)
    picked, places, total, rest = f(v)
    np.testing.assert_array_equal(picked, v[v > 0])
    np.testing.assert_array_equal(places, np.nonzero(v > 0)[0])
    np.testing.assert_allclose(total, np.exp(v[v > 0]).sum())
    np.testing.assert_array_equal(rest, v[v < 0])


def test_places_in_matrices() -> None:
    x = gf.placeholder("int64", (None, None))
    f = gf.function([x], [gf.argwhere(x), gf.unique(x), *gf.unique(x, return_inverse=True, return_counts=True)[1:]])
    v = R.integers(0, 4, (5, 3))
    for got, want in zip(f(v), [np.argwhere(v), np.unique(v), *np.unique(v, return_inverse=True, return_counts=True)[1:]], strict=True):
        np.testing.assert_array_equal(got, want)


def test_gradients_through_a_mask() -> None:
    x = vector()
    f = gf.function([x], gf.grad(gf.sum(x[x > 0.0] ** 2), x))
    v = R.standard_normal(9)
    np.testing.assert_allclose(f(v), np.where(v > 0, 2 * v, 0))


def test_a_computed_scalar_as_bound_index_and_size() -> None:
    x = vector()
    n = gf.sum(gf.cast(x > 0.0, "int64"))
    f = gf.function([x], [x[:n], x[n:], x[n - 1], gf.arange(gf.minimum(n, x.shape[0])), gf.concatenate([x[n:], x[:n]])])
    v = np.array([1.0, -2.0, 3.0, -4.0, 5.0])
    head, tail, last, places, turned = f(v)
    np.testing.assert_array_equal(head, v[:3])
    np.testing.assert_array_equal(tail, v[3:])
    assert last == v[2]
    np.testing.assert_array_equal(places, np.arange(3))
    np.testing.assert_array_equal(turned, np.roll(v, -3))


def test_sizes_that_depend_on_computed_sizes() -> None:
    x = vector()
    positive = x[x > 0.0]
    f = gf.function([x], positive[positive < 1.0])
    v = R.standard_normal(50)
    np.testing.assert_array_equal(f(v), v[(v > 0) & (v < 1)])


def test_an_index_out_of_range_is_found_before_it_is_used() -> None:
    x = vector()
    f = gf.function([x], x[gf.sum(gf.cast(x > 0.0, "int64"))])
    assert f(np.array([1.0, -1.0])) == -1.0
    with pytest.raises(CheckError):
        f(np.array([1.0, 1.0]))


def test_state_of_a_computed_size() -> None:
    x, kept = vector(), gf.shared(np.zeros(0), "kept")
    f = gf.function([x], updates=[(kept, x[x > 0.0])])
    f(np.array([1.0, -1.0, 2.0]))
    np.testing.assert_array_equal(kept.get_value(), [1.0, 2.0])


def test_a_loop_that_ends_early() -> None:
    x = vector()
    out, _ = gf.scan(lambda v, s: (s + v, gf.until(s + v > 10.0)), sequences=x, outputs_info=gf.constant(0.0))
    f = gf.function([x], [out, gf.sum(out), out[-1], gf.grad(gf.sum(out * out), x)])
    v = np.arange(10.0)
    want = np.cumsum(v)[:6]
    got, total, last, g = f(v)
    np.testing.assert_allclose(got, want)
    assert total == want.sum() and last == want[-1]
    np.testing.assert_allclose(g, [*(2 * want[i:].sum() for i in range(6)), 0, 0, 0, 0])
    np.testing.assert_allclose(f(v[:3])[0], np.cumsum(v)[:3])


def test_what_cannot_be_sized_says_so() -> None:
    x = vector()
    n = gf.sum(gf.cast(x, "int64"))
    with pytest.raises(ShapeError, match=r"gf\.minimum|no memory|bound"):
        gf.function([x], gf.zeros((n, 1 << 20)))(np.array([3.0]))
    assert gf.function([x], gf.sum(gf.ones((gf.minimum(n, 5),))))(np.array([-3.0])) == 0
    total, _ = gf.scan(lambda v, s: s + gf.sum(x[: gf.cast(v, "int64") * 0 + gf.argmax(x * s)]), sequences=x, outputs_info=gf.constant(0.0))
    with pytest.raises(ShapeError, match="body"):
        gf.function([x], total)(np.ones(3))
