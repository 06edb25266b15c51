"""reshape, transpose and their kin against NumPy; symbolic sizes; error texts."""

from __future__ import annotations

import numpy as np
import pytest

from graphflow.graph.dim import Dim
from graphflow.graph.errors import CheckError, DTypeError, ShapeError
from graphflow.graph.variable import placeholder
from graphflow.ops import shape as ops
from graphflow.ops.diagonals import diag, diagonal, trace, tril, triu
from graphflow.ops.slicing import flip, roll

X = np.arange(24.0).reshape(2, 3, 4)

SAME_AS_NUMPY = [
    (ops.transpose, np.transpose, ()), (ops.transpose, np.transpose, ((1, 2, 0),)), (ops.transpose, np.transpose, ((-1, 0, 1),)),
    (ops.swapaxes, np.swapaxes, (0, -1)), (ops.moveaxis, np.moveaxis, (0, -1)), (ops.moveaxis, np.moveaxis, ([0, 1], [-1, 0])),
    (ops.expand_dims, np.expand_dims, (0,)), (ops.expand_dims, np.expand_dims, ((0, -1),)), (ops.ravel, np.ravel, ()),
    (ops.reshape, np.reshape, ((4, -1),)), (ops.reshape, np.reshape, ((2, 12),)), (ops.reshape, np.reshape, (-1,)),
    (ops.broadcast_to, np.broadcast_to, ((5, 2, 3, 4),)), (flip, np.flip, ()), (flip, np.flip, (1,)), (flip, np.flip, ((0, -1),)),
    (roll, np.roll, (2, 1)), (roll, np.roll, (-5,)), (roll, np.roll, (30, -1)), (tril, np.tril, ()), (tril, np.tril, (-1,)), (triu, np.triu, (1,)),
    (diagonal, np.diagonal, ()), (diagonal, np.diagonal, (1, 1, 2)), (diagonal, np.diagonal, (-1, 2, 0)), (diagonal, np.diagonal, (9,)),
    (trace, np.trace, ()), (trace, np.trace, (1, 1, 2)),
]  # fmt: skip


@pytest.mark.parametrize("ours,numpy,args", SAME_AS_NUMPY, ids=lambda v: getattr(v, "__name__", repr(v)))
@pytest.mark.parametrize("dynamic", [False, True])
def test_same_as_numpy(ours, numpy, args, dynamic, run):
    x = placeholder("float64", (None, None, None) if dynamic else X.shape)
    np.testing.assert_array_equal(run([ours(x, *args)], {x: X})[0], numpy(X, *args))


def test_diag(run):
    v, m = placeholder("float64", (None,)), placeholder("float64", (None, None))
    for k in (0, 2, -1):
        np.testing.assert_array_equal(run([diag(v, k)], {v: np.arange(3.0)})[0], np.diag(np.arange(3.0), k))
        np.testing.assert_array_equal(run([diag(m, k)], {m: X[0]})[0], np.diag(X[0], k))


@pytest.mark.smoke
def test_reshape_keeps_symbolic_sizes():
    b, n = Dim.symbol("b"), Dim.symbol("n")
    x = placeholder("float32", (b, 6, n))
    assert ops.reshape(x, (-1, 6, n)).shape == (b, 6, n)
    assert ops.reshape(x, (b, 2, -1)).shape == (b, 2, 3 * n)
    assert ops.reshape(x, (b * 6, n)).owner.constraints == ()
    assert ops.flatten(x, 2).shape == (b, 6 * n)
    assert ops.flatten(x).shape == (6 * b * n,)
    assert ops.reshape(x, x.shape) is x
    assert ops.reshape(x, (b, 5, -1)).owner.constraints  # whether 5 divides 6 * n is known when run


def test_reshape_is_checked_when_run(run):
    x = placeholder("float64", (None,))
    y = ops.reshape(x, (-1, 3))
    assert run([y], {x: np.arange(6.0)})[0].shape == (2, 3)
    with pytest.raises(CheckError):
        run([y], {x: np.arange(7.0)})


def test_sizes_may_be_scalars_of_the_graph(run):
    x, n = placeholder("float64", (12,)), placeholder("int32", (), "n")
    np.testing.assert_array_equal(run([ops.reshape(x, (n * 2, -1))], {x: np.arange(12.0), n: 3})[0].shape, (6, 2))
    with pytest.raises(DTypeError, match="integer"):
        ops.reshape(x, (placeholder("float32", ()), -1))
    with pytest.raises(ShapeError, match="scalar"):
        ops.reshape(x, (placeholder("int32", (2,)), -1))


def test_dimshuffle(run):
    x = placeholder("float64", (2, None, 4))
    (value,) = run([ops.dimshuffle(x, "x", 2, 0, "x", 1)], {x: X})
    np.testing.assert_array_equal(value, X.transpose(2, 0, 1)[None, :, :, None, :])
    y = placeholder("float64", (None, 1, None))
    (value,) = run([ops.dimshuffle(y, (2, "x", 0))], {y: X[:, :1]})
    np.testing.assert_array_equal(value, X[:, 0].T[:, None])
    assert ops.dimshuffle(placeholder("float32", ()), "x", "x").shape == (1, 1)


def test_broadcasting_is_summed_back_when_a_size_turns_out_to_be_one(run, pull):
    x, y = placeholder("float64", (None,), "x"), placeholder("float64", (3, None), "y")
    wide = ops.broadcast_to(x, y.shape)
    (g,) = pull(wide, y, [x])
    assert g.type.shape == x.shape
    np.testing.assert_allclose(run([g], {x: np.ones(4), y: np.ones((3, 4))}, expand=True)[0], 3 * np.ones(4))
    like = placeholder("float64", (1,))
    (plain,) = run([ops.SumTo().expand(y, like)], {y: np.ones((3, 4))})
    assert plain.tolist() == [12]


@pytest.mark.parametrize(
    "make,text",
    [
        (lambda x: ops.reshape(x, (5, 5)), r"\[2, 3, 4\] does not reshape to \[5, 5\]; numbers of elements: 24 and 25"),
        (lambda x: ops.reshape(x, (-1, 5)), "24 elements of .* do not divide into 5"),
        (lambda x: ops.reshape(x, (-1, -1)), "one size may be -1"),
        (lambda x: ops.reshape(x, (-2, 12)), "sizes are not negative"),
        (lambda x: ops.squeeze(x, 1), "only axes of size 1"),
        (lambda x: ops.broadcast_to(x, (2, 3, 5)), r"\[2, 3, 4\] does not broadcast to \[2, 3, 5\]; sizes: 4 and 5"),
        (lambda x: ops.broadcast_to(x, (4,)), "rank 3 does not broadcast to rank 1"),
        (lambda x: ops.transpose(x, (0, 1)), "does not name each of 3 axes once"),
        (lambda x: ops.transpose(x, (0, 1, 1)), "does not name each of 3 axes once"),
        (lambda x: ops.moveaxis(x, (0, 1), (2,)), "as many different axes"),
        (lambda x: ops.dimshuffle(x, 0, 1), "only axes of size 1"),
        (lambda x: ops.dimshuffle(x, 0, 0, 1, 2), "not a pattern"),
        (lambda x: ops.dimshuffle(x, "y", 0, 1, 2), "not a pattern"),
        (lambda x: ops.flatten(x, 4), "does not flatten to rank 4"),
        (lambda x: diagonal(x, 0, 1, 1), "are the same"),
        (lambda x: diag(x), "no vector or matrix"),
        (lambda x: tril(x[0, 0]), "no matrix"),
    ],
)
def test_errors(make, text):
    with pytest.raises(ShapeError, match=text):
        make(placeholder("float32", (2, 3, 4)))


def test_a_gradient_alone_knows_that_sizes_met() -> None:
    """The product that made the sizes equal is not part of the gradient's graph."""
    import graphflow as gf

    x, weights = gf.placeholder("float64", (None,)), np.array([1.0, -2, 3])
    slope = gf.function([x], gf.grad(gf.sum(gf.exp(x) * weights), x))
    np.testing.assert_allclose(slope(np.zeros(3)), weights)
    np.testing.assert_allclose(slope(np.zeros(1)), [2.0])
    with pytest.raises(ShapeError):
        slope(np.zeros(2))


def test_a_gradient_of_taken_rows_knows_that_sizes_met() -> None:
    import graphflow as gf

    x, weights = gf.placeholder("float64", (None, 3)), np.array([[1.0], [2], [3], [4]])
    slope = gf.function([x], gf.grad(gf.sum(gf.take(x, gf.argsort(x[:, 0]), axis=0) * weights), x))
    order = np.array([2, 0, 3, 1])
    np.testing.assert_allclose(slope(np.repeat(order[:, None], 3, 1).astype(float)), np.repeat(weights[order], 3, 1))
