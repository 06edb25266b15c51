"""meshgrid, kron, rot90, diff, tri and bands against NumPy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import graphflow as gf
from graphflow.graph.errors import ShapeError


def call(fn, *arrays):
    inputs = [gf.placeholder(a.dtype, (None,) * a.ndim) for a in arrays]
    made = fn(*inputs)
    return gf.function(inputs, list(made) if isinstance(made, tuple | list) else made)(*arrays)


def test_meshgrid() -> None:
    vectors = [np.arange(3.0), np.arange(4.0) + 10, np.arange(2.0) + 20]
    for count, indexing, sparse in itertools.product((1, 2, 3), ("xy", "ij"), (False, True)):
        got = call(lambda *v, i=indexing, s=sparse: gf.meshgrid(*v, indexing=i, sparse=s), *vectors[:count])
        for g, w in zip(got, np.meshgrid(*vectors[:count], indexing=indexing, sparse=sparse), strict=True):
            np.testing.assert_array_equal(g, w)
    with pytest.raises(ShapeError, match="indexing"):
        gf.meshgrid(np.zeros(2), indexing="yx")


def test_kron_rot90_diff_and_bands() -> None:
    rng = np.random.default_rng(3)
    for s, t in (((2, 3), (4, 5)), ((2,), (3, 4)), ((2, 3, 2), (2, 2)), ((), (3,)), ((0, 2), (3, 3))):
        a, b = rng.standard_normal(s), rng.standard_normal(t)
        np.testing.assert_array_equal(call(gf.kron, a, b), np.kron(a, b))
    a = rng.standard_normal((2, 3, 4))
    for k, axes in itertools.product(range(-1, 5), ((0, 1), (2, 0))):
        np.testing.assert_array_equal(call(lambda x, k=k, axes=axes: gf.rot90(x, k, axes), a), np.rot90(a, k, axes))
    for n, axis in ((0, 0), (1, 0), (2, -1), (3, 2)):
        np.testing.assert_array_equal(call(lambda x, n=n, axis=axis: gf.diff(x, n, axis), a), np.diff(a, n, axis))
    np.testing.assert_array_equal(call(gf.diff, a > 0), np.diff(a > 0))
    np.testing.assert_array_equal(call(lambda x: gf.tri(x.shape[1], x.shape[2], 1), a), np.tri(3, 4, 1))
    np.testing.assert_array_equal(call(lambda x: [gf.fliplr(x), gf.flipud(x)], a), [np.fliplr(a), np.flipud(a)])
    i, j = np.indices((3, 4))
    for lower, upper in itertools.product((-1, 0, 1, 9), repeat=2):
        kept = ((lower < 0) | (i - j <= lower)) & ((upper < 0) | (j - i <= upper))
        got = call(lambda x, u=upper, v=lower: gf.matrix_band_part(x, v, u), a)
        np.testing.assert_array_equal(got, np.where(kept, a, 0))
