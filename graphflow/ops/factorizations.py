"""Factors of matrices: Cholesky, LU and QR."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from graphflow.graph.dim import Size, maximum, minimum
from graphflow.graph.errors import GraphError
from graphflow.graph.op import In, Sample, register
from graphflow.graph.types import TensorType
from graphflow.graph.variable import Variable
from graphflow.ops.along_axis import take_along_axis
from graphflow.ops.creation import eye, zeros_like
from graphflow.ops.diagonals import tril, triu
from graphflow.ops.indexing import one_hot
from graphflow.ops.joining import concatenate
from graphflow.ops.matrices import Grads, Lapack, as_matrices, mm, mt, require_square, square_matrices, symmetric
from graphflow.ops.promotion import coerce, quotient
from graphflow.ops.public import deferring
from graphflow.ops.shape import expand_dims, squeeze
from graphflow.ops.solving import TriangularSolve, triangular_solve
from graphflow.ops.sorting import argsort


@register
class Cholesky(Lapack):
    """L, zero above the diagonal, with A = L L^T; of A the lower triangle is read.

    The derivative is that for symmetric changes of A: Murray 2016, "Differentiation of the Cholesky
    decomposition", eq. 10.
    """

    name = "cholesky"
    failure = "cholesky: the matrix is not positive definite"
    routine = "cholesky"

    def infer(self, *inputs: TensorType) -> TensorType:
        (shape,) = self.matrices(*inputs)
        return TensorType(self.dtype, shape)

    def matrix_flops(self, m: Size, n: Size, width: Size) -> Size:
        return n * n * n // 3

    def reference(self, *arrays: Any) -> Any:
        with self.checked():
            return np.linalg.cholesky(arrays[0])

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        (factor,), (g,) = outputs, grads
        if g is None:
            return (None,)
        inner = mm(mt(factor), g)
        back = TriangularSolve(self.dtype, True, True, False)
        left = back(factor, (tril(inner) + tril(inner, -1)) * 0.5)
        return (symmetric(back(factor, mt(left))),)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(lambda x: cholesky(_definite(x)), (In(("m", "n", "n")),), rtol=3e-5, name="lower")
        yield Sample(lambda x: cholesky(_definite(x), upper=True), (In(("n", "n")),), rtol=3e-5, name="upper")


@register
class LU(Lapack):
    """L below and U on and above the diagonal; the row each row was exchanged with; the order of the rows that results.

    Derivative: from dA = dL U + L dU, split at the diagonal of L^-1 dA U^-1 for the leading square block; the rows of L
    below it and the columns of U beside it follow from theirs.
    """

    name = "lu"
    failure = "lu: LAPACK refused the matrix"
    routine = "lu"

    def infer(self, *inputs: TensorType) -> tuple[TensorType, ...]:
        ((batch, m, n),) = self.matrices(*inputs)
        whole = TensorType(np.dtype("int32"), (batch, m))
        return inputs[0], TensorType(whole.dtype, (batch, minimum(m, n))), whole

    def work(self, *inputs: TensorType) -> Size:
        return inputs[0].nbytes

    def matrix_flops(self, m: Size, n: Size, width: Size) -> Size:
        k = minimum(m, n)
        return 2 * m * n * k - (m + n) * k * k + 2 * k * k * k // 3

    def reference(self, *arrays: Any) -> Any:
        packed = arrays[0].copy()
        batch, m, n = packed.shape
        pivots, order = np.zeros((batch, min(m, n)), np.int32), np.tile(np.arange(m, dtype=np.int32), (batch, 1))
        for b in range(batch):
            a = packed[b]
            for i in range(min(m, n)):
                pivots[b, i] = p = i + int(np.argmax(np.abs(a[i:, i])))
                a[[i, p]], order[b, [i, p]] = a[[p, i]], order[b, [p, i]]
                if a[i, i] != 0:
                    a[i + 1 :, i] /= a[i, i]
                    a[i + 1 :, i + 1 :] -= np.outer(a[i + 1 :, i], a[i, i + 1 :])
        return packed, pivots, order

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        (packed, _, order), g = outputs, grads[0]
        if g is None:
            return (None,)
        m, n = packed.shape[1:]
        k = minimum(m, n)
        square, below, beside = packed[:, :k, :k], packed[:, k:, :k], packed[:, :k, k:]
        lower = tril(square, -1) + eye(k, dtype=self.dtype)
        upper = triu(square)
        g_square, g_below, g_beside = g[:, :k, :k], g[:, k:, :k], g[:, :k, k:]
        inner = tril(mm(mt(lower), tril(g_square, -1)) - mm(g_beside, mt(beside)), -1)
        inner = inner + triu(mm(triu(g_square), mt(upper)) - mm(mt(below), g_below))
        from_left = TriangularSolve(self.dtype, True, True, True)  # by L^T, which is read from the packed factors
        from_right = TriangularSolve(self.dtype, False, False, False)
        top = mt(from_right(square, mt(from_left(square, inner))))
        bottom = mt(from_right(square, mt(g_below)))
        right = from_left(square, g_beside)
        permuted = concatenate([concatenate([top, bottom], 1), concatenate([right, zeros_like(packed[:, k:, k:])], 1)], 2)
        return (take_along_axis(permuted, expand_dims(argsort(order), -1), 1),)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        for axes, name in ((("m", "n", "n"), "square"), ((2, 5, 3), "tall"), ((2, 3, 5), "wide")):
            yield Sample(lambda x: LU(x.dtype)(_steep(x))[0], (In(axes),), rtol=1e-4, name=name)
        yield Sample(lambda x: LU(x.dtype)(x)[2], (In((3, 4, 4)),), grad=False, name="order")


@register
class QR(Lapack):
    """Q with orthonormal columns, R with zeros below the diagonal, A = Q R; `complete`: Q is square.

    Derivatives: Seeger et al. 2017, "Auto-differentiating linear algebra", and for matrices with more columns than
    rows Roberts and Roberts 2020, "QR and LQ decomposition matrix backpropagation algorithms".
    """

    name = "qr"
    failure = "qr: LAPACK refused the matrix"
    complete: bool

    @property
    def routine(self) -> str:
        return "qr.complete" if self.complete else "qr.reduced"

    def infer(self, *inputs: TensorType) -> tuple[TensorType, ...]:
        ((batch, m, n),) = self.matrices(*inputs)
        width = m if self.complete else minimum(m, n)
        return TensorType(self.dtype, (batch, m, width)), TensorType(self.dtype, (batch, width, n))

    def work(self, *inputs: TensorType) -> Size:
        _, m, n = inputs[0].known_shape
        return (m * n + minimum(m, n) + maximum(m, n) * 64) * self.dtype.itemsize

    def matrix_flops(self, m: Size, n: Size, width: Size) -> Size:
        k = minimum(m, n)
        return 2 * (4 * m * n * k - 2 * (m + n) * k * k + 4 * k * k * k // 3)

    def reference(self, *arrays: Any) -> Any:
        q, r = np.linalg.qr(arrays[0], "complete" if self.complete else "reduced")
        return q, r

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        (x,), (q, r), (g_q, g_r) = inputs, outputs, grads
        m, n = x.shape[1:]
        if self.complete and m != n:
            raise GraphError("qr: the complete factors of matrices that are not square have no gradient", hint='use mode="reduced"')
        k = minimum(m, n)
        g_r = zeros_like(r) if g_r is None else g_r
        beside = mm(x[:, :, k:], mt(g_r[:, :, k:])) if k != n else None
        if beside is not None:
            g_q = beside if g_q is None else g_q + beside
        square, g_square = r[:, :, :k], g_r[:, :, :k]
        inner = mm(square, mt(triu(g_square)))
        if g_q is not None:
            inner = inner - mm(mt(g_q), q)
        both = tril(inner) + mt(tril(inner, -1))
        whole = mm(q, both) if g_q is None else g_q + mm(q, both)
        found = mt(TriangularSolve(self.dtype, False, False, False)(square, mt(whole)))
        return (found if k == n else concatenate([found, mm(q, g_r[:, :, k:])], 2),)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        for axes, name in ((("m", "n", "n"), "square"), ((2, 5, 3), "tall"), ((2, 3, 5), "wide")):
            yield Sample(lambda x: qr(_steep(x))[0], (In(axes),), rtol=1e-4, name=f"q {name}")
            yield Sample(lambda x: qr(_steep(x))[1], (In(axes),), rtol=1e-4, name=f"r {name}")
        yield Sample(lambda x: qr(x, "complete")[1], (In(("m", 4, 3)),), grad=False, rtol=1e-4, name="complete")


def _definite(x: Variable) -> Variable:
    """Symmetric positive definite matrices of entries between -2 and 2."""
    n = x.shape[-1]
    return mm(x, mt(x)) * 0.05 + eye(n, dtype=x.dtype)


def _steep(x: Variable) -> Variable:
    """Matrices of full rank of entries between -2 and 2; LU exchanges no rows of them."""
    return x * 0.05 + eye(x.shape[-2], x.shape[-1], dtype=x.dtype) * 2


# --- functions ---------------------------------------------------------------------------------------
@deferring
def cholesky(a: Any, upper: bool = False) -> Variable:
    """The factor L of symmetric positive definite matrices a = L L^T, or its transpose if `upper`.

    Only the lower triangle is read (the upper one if `upper`); the gradient is the one for symmetric changes of a.  A matrix that is not
    positive definite fails the run (CheckError).
    """
    matrices, back = square_matrices(a, "cholesky")
    if upper:
        return mt(back(Cholesky(matrices.dtype)(mt(matrices))))
    return back(Cholesky(matrices.dtype)(matrices))


@deferring
def lu_factor(a: Any) -> tuple[Variable, Variable]:
    """(lu, piv) as scipy.linalg.lu_factor: L without its ones and U in one matrix; row i was exchanged with row piv[i]."""
    matrices, back = as_matrices(a, "lu_factor")
    packed, pivots, _ = LU(matrices.dtype)(matrices)
    return back(packed), _rows_back(pivots, back)


def _rows_back(x: Variable, back: Any) -> Variable:
    return squeeze(back(expand_dims(x, -1)), -1)


@deferring
def lu(a: Any) -> tuple[Variable, Variable, Variable]:
    """(p, l, u) with `a = p @ l @ u` as scipy.linalg.lu: a permutation matrix, and triangles of min(m, n) columns and rows."""
    matrices, back = as_matrices(a, "lu")
    packed, _, order = LU(matrices.dtype)(matrices)
    m, n = matrices.shape[1:]
    k = minimum(m, n)
    lower = tril(packed[:, :, :k], -1) + eye(m, k, dtype=packed.dtype)
    permutation = mt(one_hot(order, m, -1, packed.dtype))
    return back(permutation), back(lower), back(triu(packed[:, :k]))


@deferring
def qr(a: Any, mode: str = "reduced") -> Any:
    """(q, r) with `a = q @ r`, as numpy.linalg.qr; `mode` "reduced", "complete" or "r" (only r).

    The gradient needs the leading columns of a to be independent; complete factors have one for square matrices only.
    Raises GraphError for another mode.
    """
    if mode not in ("reduced", "complete", "r"):
        raise GraphError(f"qr: there is no mode {mode!r}", hint="use reduced, complete or r")
    matrices, back = as_matrices(a, "qr")
    q, r = QR(matrices.dtype, mode == "complete")(matrices)
    return back(r) if mode == "r" else (back(q), back(r))


@deferring
def cho_solve(factor: Any, b: Any) -> Variable:
    """x with `a @ x = b` for the lower Cholesky factor of a."""
    factor, b = coerce(factor, b, to=quotient)
    require_square(factor, "cho_solve")

    return triangular_solve(factor, triangular_solve(factor, b, lower=True), lower=True, trans=1)
