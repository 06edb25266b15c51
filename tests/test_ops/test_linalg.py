"""gf.linalg against numpy.linalg, by the references of its ops; what is refused, and gradients where values are equal."""

from __future__ import annotations

import numpy as np
import pytest

import graphflow as gf
from graphflow.compiler.reference import evaluate
from graphflow.graph.errors import CheckError, GraphError, ShapeError

rng = np.random.default_rng(0)
A = rng.standard_normal((2, 3, 4, 4))
TALL, WIDE = rng.standard_normal((2, 5, 3)), rng.standard_normal((3, 5))
DEFINITE = A @ A.swapaxes(-1, -2) + np.eye(4)


def value(made, feeds=None):
    many = isinstance(made, tuple | list)
    found = evaluate(list(made) if many else [made], feeds or {})
    return found if many else found[0]


def same(made, want) -> None:
    for got, expected in zip(value(made), want, strict=True) if isinstance(made, tuple | list) else [(value(made), want)]:
        expected = np.asarray(expected)
        assert got.shape == expected.shape and got.dtype == expected.dtype
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.smoke
def test_names_of_numpy() -> None:
    a = gf.constant(A)
    same(gf.linalg.det(a), np.linalg.det(A))
    same(gf.linalg.slogdet(a), np.linalg.slogdet(A))
    same(gf.linalg.inv(a), np.linalg.inv(A))
    same(gf.linalg.pinv(TALL), np.linalg.pinv(TALL))
    same(gf.linalg.pinv(WIDE, rtol=None), np.linalg.pinv(WIDE))
    same(gf.linalg.solve(a, A[0, 0]), np.linalg.solve(A, A[0, 0]))
    same(gf.linalg.solve(A[0, 0], [1.0, 2, 3, 4]), np.linalg.solve(A[0, 0], [1.0, 2, 3, 4]))
    same(gf.linalg.cholesky(DEFINITE), np.linalg.cholesky(DEFINITE))
    same(gf.linalg.cholesky(DEFINITE, upper=True), np.linalg.cholesky(DEFINITE, upper=True))
    same(gf.linalg.qr(TALL), np.linalg.qr(TALL))
    same(gf.linalg.qr(WIDE, "complete"), np.linalg.qr(WIDE, "complete"))
    same(gf.linalg.qr(TALL, "r"), np.linalg.qr(TALL, "r"))
    same(gf.linalg.svd(TALL), np.linalg.svd(TALL))
    same(gf.linalg.svd(WIDE, full_matrices=False), np.linalg.svd(WIDE, full_matrices=False))
    same(gf.linalg.svd(a, compute_uv=False), np.linalg.svd(A, compute_uv=False))
    same(gf.linalg.eigh(DEFINITE), np.linalg.eigh(DEFINITE))
    same(gf.linalg.eigvalsh(a, "U"), np.linalg.eigvalsh(A, "U"))
    same(gf.linalg.matrix_rank(A), np.linalg.matrix_rank(A))
    same(gf.linalg.matrix_rank(np.ones((3, 4))), np.int64(1))
    same(gf.linalg.matrix_rank(np.zeros(3)), np.int64(0))
    for p in (None, 1, -1, 2, -2, np.inf, -np.inf, "fro", "nuc"):
        same(gf.linalg.cond(a, p), np.linalg.cond(A, p))
    for n in (0, 1, 2, 5, -1, -3):
        same(gf.linalg.matrix_power(a, n), np.linalg.matrix_power(A, n))
    same(gf.linalg.trace(a, offset=1), np.linalg.trace(A, offset=1))
    same(gf.linalg.diagonal(a), np.linalg.diagonal(A))
    same(gf.linalg.matrix_transpose(a), np.linalg.matrix_transpose(A))
    same(gf.linalg.cross(TALL, TALL[0] + 1), np.linalg.cross(TALL, TALL[0] + 1))
    same(gf.linalg.cross(TALL.swapaxes(1, 2), TALL[::-1].swapaxes(1, 2), axis=1), np.linalg.cross(TALL.swapaxes(1, 2), TALL[::-1].swapaxes(1, 2), axis=1))
    same(gf.linalg.vecdot(A, A[0]), np.linalg.vecdot(A, A[0]))
    same(gf.linalg.outer([1.0, 2], [3.0, 4, 5]), np.linalg.outer([1.0, 2], [3.0, 4, 5]))
    same(gf.linalg.multi_dot([WIDE, TALL[0], TALL[1].T, WIDE.T]), np.linalg.multi_dot([WIDE, TALL[0], TALL[1].T, WIDE.T]))
    same(gf.linalg.multi_dot([WIDE[0], WIDE.T, WIDE[:, 0]]), np.linalg.multi_dot([WIDE[0], WIDE.T, WIDE[:, 0]]))


@pytest.mark.parametrize("keepdims", [False, True])
def test_norms(keepdims: bool) -> None:
    for order in (None, 0, 1, 2, 3, -1, 0.5, np.inf, -np.inf):
        for axis in (0, 1, -1):
            same(gf.linalg.norm(TALL, order, axis, keepdims), np.linalg.norm(TALL, order, axis, keepdims))
        same(gf.linalg.norm(WIDE[0], order, keepdims=keepdims), np.asarray(np.linalg.norm(WIDE[0], order, keepdims=keepdims), np.float64))
        if order is not None:
            same(gf.linalg.vector_norm(A, (0, 2), keepdims, order), np.linalg.vector_norm(A, axis=(0, 2), keepdims=keepdims, ord=order))
    for order in (None, "fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf):
        for axis in ((0, 1), (2, 1), (-1, 0)):
            same(gf.linalg.norm(TALL, order, axis, keepdims), np.linalg.norm(TALL, order, axis, keepdims))
        same(gf.linalg.norm(WIDE, order, keepdims=keepdims), np.linalg.norm(WIDE, order, keepdims=keepdims))
        if order is not None:
            same(gf.linalg.matrix_norm(A, keepdims, order), np.linalg.matrix_norm(A, keepdims=keepdims, ord=order))
    same(gf.linalg.norm(A, keepdims=keepdims), np.linalg.norm(A, keepdims=keepdims))


def test_names_of_scipy() -> None:
    scipy = pytest.importorskip("scipy.linalg")
    for x in (TALL[0], WIDE, A[0, 0]):
        same(gf.linalg.lu(x), scipy.lu(x))
        packed, pivots = value(gf.linalg.lu_factor(x))
        np.testing.assert_allclose(packed, scipy.lu_factor(x)[0], rtol=1e-12)
        np.testing.assert_array_equal(pivots, scipy.lu_factor(x)[1])
    same(gf.linalg.expm(A), scipy.expm(A))
    same(gf.linalg.expm(np.zeros((2, 2))), np.eye(2))
    factor = np.linalg.cholesky(DEFINITE[0, 0])
    same(gf.linalg.cho_solve(factor, TALL[0, :4]), scipy.cho_solve((factor, True), TALL[0, :4]))
    for lower in (False, True):
        for trans in (0, 1, "T"):
            for unit in (False, True):
                want = scipy.solve_triangular(A[0, 0], TALL[0, :4], trans, lower, unit)
                same(gf.linalg.solve_triangular(A[0, 0], TALL[0, :4], lower, trans, unit), want)


def test_dtypes() -> None:
    for dtype in ("float32", "float64", "int8", "int32", "uint16", "bool"):
        x = np.array([[2, 1], [0, 1]], dtype)
        assert gf.linalg.inv(x).dtype == np.linalg.inv(x).dtype
        assert gf.linalg.solve(x, x[0]).dtype == np.linalg.solve(x, x[0]).dtype
        assert gf.linalg.norm(x).dtype == np.linalg.norm(x).dtype
    same(gf.linalg.matrix_power(np.array([[1, 1], [1, 0]]), 5), np.array([[8, 5], [5, 3]]))


def test_least_squares() -> None:
    b = rng.standard_normal((5, 2))
    same(gf.linalg.lstsq(TALL[0], b)[:2], np.linalg.lstsq(TALL[0], b)[:2])
    x, _, rank, s = value(gf.linalg.lstsq(WIDE, b[:3]))
    np.testing.assert_allclose(x, np.linalg.lstsq(WIDE, b[:3])[0], rtol=1e-9)
    assert rank == 3 and s.shape == (3,)
    deficient = np.outer(TALL[0, :, 0], [1.0, 2, 3])
    same(gf.linalg.lstsq(deficient, b[:, 0])[0], np.linalg.lstsq(deficient, b[:, 0])[0])


def test_what_is_refused() -> None:
    with pytest.raises(GraphError, match="complex"):
        gf.linalg.eig(A)
    with pytest.raises(ShapeError, match="not square"):
        gf.linalg.inv(WIDE)
    with pytest.raises(ShapeError, match="no matrix"):
        gf.linalg.svd(WIDE[0])
    with pytest.raises(GraphError, match="no mode"):
        gf.linalg.qr(WIDE, "economic")
    with pytest.raises(GraphError, match="UPLO"):
        gf.linalg.eigh(A, "X")
    with pytest.raises(GraphError, match="no order"):
        gf.linalg.norm(WIDE, 3)
    with pytest.raises(ShapeError, match="3 elements"):
        gf.linalg.cross([1.0, 2], [3.0, 4])
    x = gf.placeholder("float64", (5, 3))
    with pytest.raises(GraphError, match="no gradient"):
        gf.grad(gf.sum(gf.linalg.svd(x)[0]), x)
    for broken in (gf.linalg.inv(np.ones((2, 2))), gf.linalg.cholesky(-np.eye(2))):
        with pytest.raises(CheckError, match=r"singular|definite"):
            value(broken)


def test_gradients_where_values_are_equal() -> None:
    """Functions of the values alone have the right gradient at repeated values; others have a finite one."""
    x = gf.placeholder("float64", (3, 3))
    at = 2 * np.linalg.qr(rng.standard_normal((3, 3)))[0]  # three singular values 2
    for s in (gf.linalg.svd(x)[1], gf.linalg.svdvals(x)):
        np.testing.assert_allclose(value(gf.grad(gf.sum(s * s * s), x), {x: at}), 6 * at, atol=1e-12)
    w, v = gf.linalg.eigh(x)
    np.testing.assert_allclose(value(gf.grad(gf.sum(w * w), x), {x: 3 * np.eye(3)}), 6 * np.eye(3), atol=1e-12)
    u, s, vt = gf.linalg.svd(x)
    for found in (gf.grad(gf.sum(gf.matmul(u * s, vt)), x), gf.grad(gf.sum(gf.matmul(v * w, v)), x)):
        assert np.isfinite(value(found, {x: np.eye(3)})).all() and np.isfinite(value(found, {x: np.zeros((3, 3))})).all()
    cost = gf.linalg.norm(x) + gf.linalg.norm(x[0])
    np.testing.assert_array_equal(value(gf.grad(cost, x), {x: np.zeros((3, 3))}), np.zeros((3, 3)))


def test_unknown_ranks() -> None:
    x = gf.placeholder("float64")
    assert gf.linalg.inv(x).dtype == np.float64
    assert [v.dtype for v in gf.linalg.svd(x)] == [np.float64] * 3


@pytest.mark.smoke
def test_compiled_for_any_sizes_and_what_fails() -> None:
    x = gf.placeholder("float32", (None, None, None))
    lower, det, inverse = gf.linalg.cholesky(x), gf.linalg.det(x), gf.linalg.inv(x)
    run = gf.function([x], [lower, det, inverse])
    for batch, n in ((2, 3), (1, 1), (0, 4), (3, 0), (2, 17), (2, 3)):
        a = rng.standard_normal((batch, n, n))
        a = (a @ a.swapaxes(1, 2) / max(n, 1) + np.eye(n)).astype("float32")
        for got, want in zip(run(a), (np.linalg.cholesky(a), np.linalg.det(a), np.linalg.inv(a)), strict=True):
            np.testing.assert_allclose(got, want, rtol=2e-3, atol=1e-4)
    assert len(run.compiled.executables) == 1
    with pytest.raises(CheckError, match=r"not positive definite\n  at test_linalg.py"):
        run(-np.ones((1, 2, 2), "float32"))
    with pytest.raises(ShapeError):
        run(np.ones((1, 2, 3), "float32"))
