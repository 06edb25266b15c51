"""Python's operators, NumPy's functions and methods on Variables."""

from __future__ import annotations

import numpy as np
import pytest

from graphflow.graph.dim import Dim
from graphflow.graph.errors import GraphError, ShapeError
from graphflow.graph.variable import OPERATORS, Variable, placeholder, shared
from graphflow.ops.operators import FUNCTIONS, METHODS, NUMPY_NAMES, UFUNCS
from graphflow.ops.public import PUBLIC

X = np.arange(1.0, 13).reshape(3, 4)


@pytest.fixture
def x():
    return placeholder("float64", (None, 4), "x")


@pytest.mark.smoke
@pytest.mark.parametrize(
    "fn",
    [
        lambda x: x + 1, lambda x: 1 - x, lambda x: x * X, lambda x: X / x, lambda x: x // 2, lambda x: 7 % x, lambda x: x**2, lambda x: 2**x,
        lambda x: -x, lambda x: +x, lambda x: abs(x), lambda x: x < 3, lambda x: x >= X, lambda x: x @ X.T, lambda x: X.T @ x, lambda x: x.T,
        lambda x: ~(x > 2), lambda x: (x > 2) & (x < 5) | (x > 9) ^ (x > 10), lambda x: np.float64(2) * x, lambda x: x[1:, None],
    ],
)  # fmt: skip
def test_operators(fn, x, run):
    (value,) = run([fn(x)], {x: X})
    np.testing.assert_allclose(value, fn(X), rtol=1e-14)


def test_shifts(run):
    n = placeholder("int32", (3,))
    for fn in (lambda n: n << 2, lambda n: n >> 1, lambda n: 1 << n, lambda n: n & 3, lambda n: n | 8, lambda n: n ^ 1, lambda n: ~n):
        np.testing.assert_array_equal(run([fn(n)], {n: [1, 2, 3]})[0], fn(np.array([1, 2, 3])))


@pytest.mark.parametrize(
    "fn",
    [
        lambda x: np.exp(x), lambda x: np.absolute(x), lambda x: np.remainder(x, 5), lambda x: np.maximum(X, x), lambda x: np.sum(x, axis=1),
        lambda x: np.mean(x), lambda x: np.dot(x, X.T), lambda x: np.matmul(x, X.T), lambda x: np.reshape(x, (4, 3)), lambda x: np.transpose(x),
        lambda x: np.concatenate([x, X]), lambda x: np.stack([X, x], axis=1), lambda x: np.where(x > 2, x, 0.0), lambda x: np.clip(x, 2, 5),
        lambda x: np.max(x, 0), lambda x: np.amin(x), lambda x: np.squeeze(np.expand_dims(x, 0)), lambda x: np.einsum("ij,kj->ik", x, X),
        lambda x: np.std(x, axis=0, keepdims=True), lambda x: np.argmax(x, axis=1), lambda x: np.cumsum(x, axis=0), lambda x: np.tile(x, 2),
        lambda x: np.tensordot(x, X, ([1], [1])), lambda x: np.flip(x, 0), lambda x: np.take(x, [0, 2], 0), lambda x: np.copy(x),
        lambda x: np.zeros_like(x), lambda x: np.around(x / 3, 2), lambda x: np.pad(x, 1), lambda x: np.roll(x, 1), lambda x: np.trace(x),
    ],
)  # fmt: skip
def test_numpy_functions_build_graphs(fn, x, run):
    assert isinstance(fn(x), Variable)
    np.testing.assert_allclose(run([fn(x)], {x: X})[0], fn(X), rtol=1e-14)


def test_numpy_queries(x):
    assert np.shape(x) == x.shape and np.ndim(x) == 2 and isinstance(np.size(x), Dim)


@pytest.mark.parametrize(
    "fn,text",
    [
        (lambda x: np.linalg.svd(x), "numpy.linalg.svd does not work on a graph"),
        (lambda x: np.cbrt(x), "numpy.cbrt does not work on a graph"),
        (lambda x: np.median(x), "numpy.median does not work on a graph"),
        (lambda x: np.sum(x, initial=3.0), "numpy.sum on a graph: .*initial"),
    ],
)
def test_unsupported_functions_are_named(fn, text, x):
    with pytest.raises(GraphError, match=text):
        fn(x)


@pytest.mark.parametrize(
    "fn",
    [
        lambda x: x.sum(), lambda x: x.sum(axis=0), lambda x: x.mean(1), lambda x: x.max(axis=0), lambda x: x.min(), lambda x: x.prod(1),
        lambda x: x.std(0), lambda x: x.var(), lambda x: x.argmax(1), lambda x: x.argmin(), lambda x: (x > 3).any(), lambda x: (x > 3).all(0),
        lambda x: x.reshape(4, 3), lambda x: x.reshape((2, -1)), lambda x: x.reshape(-1), lambda x: x.flatten(), lambda x: x.ravel(),
        lambda x: x.transpose(), lambda x: x.transpose(1, 0), lambda x: x.transpose((0, 1)), lambda x: x.swapaxes(0, 1), lambda x: x.astype("int32"),
        lambda x: x.dot(X.T), lambda x: x.clip(2, 3), lambda x: x.round(), lambda x: x.copy(), lambda x: x[None].squeeze(), lambda x: x.repeat(2, 1),
        lambda x: x.take([1], 0), lambda x: x.cumsum(1), lambda x: x.trace(), lambda x: x.diagonal(1), lambda x: x.T.T,
    ],
)  # fmt: skip
def test_methods(fn, x, run):
    (value,) = run([fn(x)], {x: X})
    np.testing.assert_allclose(value, fn(X), rtol=1e-14)


def test_theano_methods(x, run):
    for made, expected in [
        (x.norm(2), np.linalg.norm(X)), (x.norm(1, axis=0), abs(X).sum(0)), (x.norm(float("inf")), 12), (x.norm(0), 12),
        (x.dimshuffle("x", 1, 0), X.T[None]), (x.cast("int8"), X), (x.flatten(2), X), (x.reshape((4, 3), ndim=2), X.reshape(4, 3)),
    ]:  # fmt: skip
        np.testing.assert_allclose(run([made], {x: X})[0], expected)
    with pytest.raises(ShapeError, match="ndim"):
        x.reshape((4, 3), ndim=3)


def test_shared_variables_assign():
    w = shared(np.zeros(3))
    assert w.assign(w + 1).owner.op.name == "assign" and w.assign_sub(1.0).owner.op.name == "assign"


def test_every_name_in_the_tables_exists():
    for name in [NUMPY_NAMES.get(n, n) for n in (*UFUNCS, *FUNCTIONS)] + list(METHODS.values()):
        assert name in PUBLIC, name
    for name in (*UFUNCS, *FUNCTIONS):
        assert hasattr(np, name), name
    assert not hasattr(placeholder("float32", ()), "no_such_method")
    assert "dim_value" in OPERATORS


def test_lists_of_variables_stack(x, run):
    np.testing.assert_array_equal(run([x * [1, 2, 3, 4]], {x: X})[0], X * [1, 2, 3, 4])
    np.testing.assert_array_equal(run([x[0] + [x[0, 0], 0, 0, 1]], {x: X})[0], X[0] + [X[0, 0], 0, 0, 1])
    np.testing.assert_array_equal(run([x * x.shape[0]], {x: X})[0], X * 3)
