"""Foreign code by its addresses: LAPACK's adapters against NumPy, Python callables and what they raise."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from graphflow.graph.errors import CompileError, DTypeError, MissingExtraError, ShapeError
from graphflow.ops.python_call import Callee
from graphflow.runtime import externs, lapack

SHAPES = [(1, 1), (2, 2), (3, 5), (5, 3), (17, 17), (40, 33), (0, 3), (3, 0), (0, 0)]
DTYPES = ["float32", "float64"]


def call(symbol: str, arrays: list[np.ndarray], outs: list[np.ndarray], work: int = 1 << 20) -> int:
    """Call a symbol's code as compiled entries do."""
    arrays = [np.array(a, order="C") for a in arrays]
    sizes = np.array([n for a in (*arrays, *outs) for n in a.shape] or [0], np.int64)
    scratch = np.full(work + 16, 0xFF, np.uint8)
    start = scratch.ctypes.data + -scratch.ctypes.data % 16
    tables = [(ctypes.c_void_p * max(1, len(t)))(*[a.ctypes.data for a in t]) for t in (arrays, outs)]
    return externs.EXTERN(externs.address(symbol))(ctypes.addressof(tables[0]), ctypes.addressof(tables[1]), sizes.ctypes.data, start)


def poisoned(shape, dtype) -> np.ndarray:
    return np.full(shape, np.nan if np.dtype(dtype).kind == "f" else -1, dtype)


def drawn(dtype: str, *shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


def definite(dtype: str, n: int) -> np.ndarray:
    x = drawn(dtype, 3, n, n)
    return x @ x.swapaxes(1, 2) + n * np.eye(n, dtype=dtype)


def close(got: np.ndarray, want: np.ndarray) -> None:
    tolerance = 3e-4 if got.dtype == np.float32 else 1e-11
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance * (1 + np.abs(want).max(initial=0)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [0, 1, 2, 5, 40])
def test_square_systems(n: int, dtype: str) -> None:
    a = definite(dtype, n)
    factor = poisoned(a.shape, dtype)
    assert call(f"lapack.cholesky.{dtype}", [np.tril(a)], [factor]) == 0  # only the triangle below is read
    close(factor, np.linalg.cholesky(a))
    general = drawn(dtype, 3, n, n) + 3 * np.eye(n, dtype=dtype)
    for width in (0, 1, 4):
        b = drawn(dtype, 3, n, width)
        x = poisoned(b.shape, dtype)
        assert call(f"lapack.solve.{dtype}", [general, b], [x]) == 0
        close(general @ x, b)
        for lower in (True, False):
            for transposed in (False, True):
                for unit in (False, True):
                    t = (np.tril if lower else np.triu)(general)
                    if unit:
                        t[:, range(n), range(n)] = 1
                        t = t / 4 + 0.75 * np.eye(n, dtype=dtype)
                    hidden = t + (np.triu(general, 1) if lower else np.tril(general, -1))
                    words = f"{'lower' if lower else 'upper'}.{'transposed' if transposed else 'plain'}.{'unit' if unit else 'any'}"
                    assert call(f"lapack.triangular_solve.{words}.{dtype}", [hidden, b], [x]) == 0
                    close((t.swapaxes(1, 2) if transposed else t) @ x, b)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_factorisations(shape: tuple[int, int], dtype: str) -> None:
    m, n = shape
    k = min(m, n)
    a = drawn(dtype, 2, m, n)
    packed, pivots, order = poisoned((2, m, n), dtype), poisoned((2, k), "int32"), poisoned((2, m), "int32")
    assert call(f"lapack.lu.{dtype}", [a], [packed, pivots, order]) == 0
    lower = np.tril(packed[:, :, :k], -1) + np.eye(m, k, dtype=dtype)
    close(lower @ np.triu(packed[:, :k]), np.take_along_axis(a, order[:, :, None].astype(np.int64), 1))
    for mode in ("reduced", "complete"):
        want_q, want_r = np.linalg.qr(a, mode)
        q, r = poisoned(want_q.shape, dtype), poisoned(want_r.shape, dtype)
        assert call(f"lapack.qr.{mode}.{dtype}", [a], [q, r]) == 0
        close(q @ r, a)
        close(r, want_r)
        close(q.swapaxes(1, 2) @ q, np.broadcast_to(np.eye(q.shape[2]), (2, q.shape[2], q.shape[2])).astype(dtype))
    for mode, full in (("reduced", False), ("full", True)):
        want_u, want_s, want_v = np.linalg.svd(a, full_matrices=full)
        u, s, v = poisoned(want_u.shape, dtype), poisoned(want_s.shape, dtype), poisoned(want_v.shape, dtype)
        assert call(f"lapack.svd.{mode}.{dtype}", [a], [u, s, v]) == 0
        close(s, want_s)
        close((u[:, :, :k] * s[:, None]) @ v[:, :k], a)
        close(u @ u.swapaxes(1, 2) if full else u.swapaxes(1, 2) @ u, np.broadcast_to(np.eye(u.shape[2]), (2, u.shape[2], u.shape[2])).astype(dtype))
        close(v @ v.swapaxes(1, 2), np.broadcast_to(np.eye(v.shape[1]), (2, v.shape[1], v.shape[1])).astype(dtype))
    values = poisoned((2, k), dtype)
    assert call(f"lapack.svd.values.{dtype}", [a], [values]) == 0
    close(values, np.linalg.svd(a, compute_uv=False))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [0, 1, 2, 5, 40])
@pytest.mark.parametrize("triangle", ["lower", "upper"])
def test_eigenvalues(triangle: str, n: int, dtype: str) -> None:
    a = drawn(dtype, 3, n, n)
    want, _ = np.linalg.eigh(a, "L" if triangle == "lower" else "U")
    w, v = poisoned((3, n), dtype), poisoned((3, n, n), dtype)
    assert call(f"lapack.eigh.vectors.{triangle}.{dtype}", [a], [w, v]) == 0
    close(w, want)
    symmetric = np.tril(a) + np.tril(a, -1).swapaxes(1, 2) if triangle == "lower" else np.triu(a) + np.triu(a, 1).swapaxes(1, 2)
    close(symmetric @ v, v * w[:, None])
    only = poisoned((3, n), dtype)
    assert call(f"lapack.eigh.values.{triangle}.{dtype}", [a], [only]) == 0
    close(only, want)


def test_failures_are_reported() -> None:
    bad = np.stack([np.eye(2), -np.eye(2)])
    assert call("lapack.cholesky.float64", [bad], [poisoned((2, 2, 2), "float64")]) == 1
    singular = np.ones((1, 2, 2))
    assert call("lapack.solve.float64", [singular, singular], [poisoned((1, 2, 2), "float64")]) == 1
    zero = np.array([[[1.0, 0], [5, 0]]])
    assert call("lapack.triangular_solve.lower.plain.any.float64", [zero, singular], [poisoned((1, 2, 2), "float64")]) == 1
    nan = np.full((1, 3, 3), np.nan)
    assert call("lapack.svd.values.float64", [nan], [poisoned((1, 3), "float64")]) == 1
    with pytest.raises(CompileError, match="no code is known"):
        externs.address("lapack.unknown.float64")


def test_without_scipy_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    lapack.routine.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "scipy.linalg", None)
    with pytest.raises(MissingExtraError, match="linalg"):
        lapack.routine("lapack.dpotrf")


def callee(fn, results=(("float64", 1),), operands=(("float64", 1), ("int32", 0))) -> Callee:
    return Callee(fn, [(np.dtype(d), r) for d, r in operands], [(np.dtype(d), r) for d, r in results], "test")


@pytest.mark.smoke
def test_python_callables() -> None:
    kept = []
    one = callee(lambda x, n: (kept.append(x), x * n)[1])
    x, out = np.arange(3.0), poisoned((3,), "float64")
    assert call(f"python.{one.number}", [x, np.array(2, np.int32)], [out]) == 0
    np.testing.assert_array_equal(out, [0, 2, 4])
    assert kept[0].base is None, "the callable gets arrays of its own"
    two = callee(lambda x, n: (x[:n], np.float32(x.sum())), [("float64", 1), ("float32", 0)])
    first, second = poisoned((0,), "float64"), poisoned((), "float32")
    assert call(f"python.{two.number}", [x, np.array(0, np.int32)], [first, second]) == 0
    assert second == 3


def test_what_python_callables_raise() -> None:
    x, n, out = np.arange(3.0), np.array(2, np.int32), poisoned((3,), "float64")

    def fail(x, n):
        raise KeyError("mine")

    cases = [(fail, KeyError), (lambda x, n: x[:2], ShapeError), (lambda x, n: x.astype("float32"), DTypeError), (lambda x, n: x[None], ShapeError)]
    for fn, error in cases:
        one = callee(fn)
        assert call(f"python.{one.number}", [x, n], [out]) == 1
        assert isinstance(externs.take_exception(), error)
        assert externs.take_exception() is None
    assert np.isnan(out).all(), "nothing is written when a result does not fit"
    with pytest.raises(CompileError, match="no code is known"):
        externs.address("python.999999")
