"""Singular values and vectors, eigenvalues and eigenvectors of symmetric matrices.

Vectors are determined up to their sign, and those of equal values up to a rotation among them, so there they have no
derivative.  Terms that would divide by the difference of equal values are left out: gradients stay finite, and those of
symmetric functions of the values alone (norms, determinants) are right everywhere.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from graphflow.graph.dim import Size, minimum
from graphflow.graph.errors import GraphError
from graphflow.graph.op import In, Sample, register
from graphflow.graph.types import TensorType
from graphflow.graph.variable import Variable
from graphflow.ops.creation import eye, iota
from graphflow.ops.elementwise import add
from graphflow.ops.matrices import (
    Grads,
    Lapack,
    as_matrices,
    columns,
    mm,
    mt,
    reciprocal_or_zero,
    square_matrices,
    symmetric,
)
from graphflow.ops.public import deferring
from graphflow.ops.shape import expand_dims, squeeze


def _gaps(values: Variable) -> Variable:
    """1 / (v_j - v_i), and 0 where they are equal."""
    return reciprocal_or_zero(columns(values) - expand_dims(values, -1))


@register
class SVD(Lapack):
    """(U, S, V^T), singular values in descending order; `full`: U and V^T are square.

    Derivative: Townsend 2016, "Differentiating the singular value decomposition"; its
    1 / (s_j^2 - s_i^2) in partial fractions, and terms with 1 / 0 left out.
    """

    name = "svd"
    failure = "svd: no convergence, or the matrix has NaN"
    full: bool

    @property
    def routine(self) -> str:
        return "svd.full" if self.full else "svd.reduced"

    def infer(self, *inputs: TensorType) -> tuple[TensorType, ...]:
        ((batch, m, n),) = self.matrices(*inputs)
        k = minimum(m, n)
        shapes = ((batch, m, m if self.full else k), (batch, k), (batch, n if self.full else k, n))
        return tuple(TensorType(self.dtype, shape) for shape in shapes)

    def work(self, *inputs: TensorType) -> Size:
        return svd_work(inputs[0])

    def matrix_flops(self, m: Size, n: Size, width: Size) -> Size:
        k = minimum(m, n)
        return 14 * m * n * k + 8 * k * k * k

    def reference(self, *arrays: Any) -> Any:
        with self.checked():
            return tuple(np.linalg.svd(arrays[0], full_matrices=self.full))

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        (x,), (u, s, vt), (g_u, g_s, g_vt) = inputs, outputs, grads
        m, n = x.shape[1:]
        if self.full and (g_u is not None or g_vt is not None) and m != n:
            raise GraphError("svd: the full bases of matrices that are not square have no gradient", hint="use full_matrices=False")
        k = minimum(m, n)
        u, vt = u[:, :, :k], vt[:, :k]
        v, low = mt(vt), columns(reciprocal_or_zero(s))
        # in partial fractions: U and V turning together, and against each other
        gaps, sums = _gaps(s) * 0.5, reciprocal_or_zero(columns(s) + expand_dims(s, -1)) * 0.5
        terms = [] if g_s is None else [mm(u * columns(g_s), vt)]
        if g_u is not None:
            terms.append(mm(u, (gaps + sums) * _rotation(u, g_u), vt))
            if m != k:
                terms.append(mm((g_u - mm(u, mt(u), g_u)) * low, vt))
        if g_vt is not None:
            g_v = mt(g_vt)
            terms.append(mm(u, (gaps - sums) * _rotation(v, g_v), vt))
            if n != k:
                terms.append(mm(u, mt((g_v - mm(v, vt, g_v)) * low)))
        return (functools.reduce(add, terms),)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        for axes, name in (((2, 3, 3), "square"), ((5, 3), "tall"), ((3, 5), "wide")):
            yield Sample(lambda x: svd(_spread(x), False)[1], (In(axes),), rtol=1e-5, name=f"values {name}")
            yield Sample(lambda x: _odd_function(_spread(x)), (In(axes),), rtol=2e-4, name=f"all {name}")
        yield Sample(lambda x: mm(mt(svd(_spread(x))[0]), svd(_spread(x))[0]), (In((5, 3)),), grad=False, rtol=1e-4, name="full")
        yield Sample(lambda x: svd(x)[1], (In(("m", "n", "k")),), grad=False, rtol=1e-4, name="all sizes")


@register
class SingularValues(Lapack):
    """The singular values alone, in descending order; the gradient needs the vectors and finds them."""

    name = "singular_values"
    failure = SVD.failure
    routine = "svd.values"

    def infer(self, *inputs: TensorType) -> TensorType:
        ((batch, m, n),) = self.matrices(*inputs)
        return TensorType(self.dtype, (batch, minimum(m, n)))

    def work(self, *inputs: TensorType) -> Size:
        return svd_work(inputs[0])

    def matrix_flops(self, m: Size, n: Size, width: Size) -> Size:
        k = minimum(m, n)
        return 4 * m * n * k - 4 * k * k * k // 3

    def reference(self, *arrays: Any) -> Any:
        with self.checked():
            return np.linalg.svd(arrays[0], compute_uv=False)

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        if grads[0] is None:
            return (None,)
        u, _, vt = SVD(self.dtype, False)(inputs[0])
        return (mm(u * columns(grads[0]), vt),)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(lambda x: svdvals(_spread(x)), (In((2, 4, 3)),), rtol=1e-5, name="tall")
        yield Sample(svdvals, (In(("n", "m", "k")),), grad=False, rtol=1e-4, name="all sizes")


@register
class Eigh(Lapack):
    """Eigenvalues in ascending order and eigenvectors as columns; one triangle is read.

    The derivative is that for symmetric changes: Giles 2008, "An extended collection of matrix derivative results", 3.1.
    """

    name = "eigh"
    failure = "eigh: no convergence, or the matrix has NaN"
    lower: bool

    @property
    def routine(self) -> str:
        return f"eigh.vectors.{'lower' if self.lower else 'upper'}"

    def infer(self, *inputs: TensorType) -> tuple[TensorType, ...]:
        (shape,) = self.matrices(*inputs)
        return TensorType(self.dtype, shape[:2]), inputs[0]

    def work(self, *inputs: TensorType) -> Size:
        return eigh_work(inputs[0])

    def matrix_flops(self, m: Size, n: Size, width: Size) -> Size:
        return 9 * n * n * n

    def reference(self, *arrays: Any) -> Any:
        with self.checked():
            return tuple(np.linalg.eigh(arrays[0], "L" if self.lower else "U"))

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        (w, v), (g_w, g_v) = outputs, grads
        terms = [] if g_w is None else [mm(v * columns(g_w), mt(v))]
        if g_v is not None:
            terms.append(mm(v, _gaps(w) * mm(mt(v), g_v), mt(v)))
        return (symmetric(functools.reduce(add, terms)),)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        for triangle in ("L", "U"):

            def make(x: Variable, triangle: str = triangle) -> Variable:
                w, v = eigh(_split(x), triangle)
                return mm(v * columns(w * w + _weights(w)), mt(v))

            yield Sample(make, (In((2, 3, 3)),), rtol=1e-4, name=f"all {triangle}")
        yield Sample(lambda x: eigh(x)[0], (In(("m", "n", "n")),), grad=False, rtol=1e-4, name="all sizes")


@register
class Eigenvalues(Lapack):
    """The eigenvalues of a symmetric matrix alone, ascending; the gradient needs the vectors and finds them."""

    name = "eigvalsh"
    failure = Eigh.failure
    lower: bool

    @property
    def routine(self) -> str:
        return f"eigh.values.{'lower' if self.lower else 'upper'}"

    def infer(self, *inputs: TensorType) -> TensorType:
        (shape,) = self.matrices(*inputs)
        return TensorType(self.dtype, shape[:2])

    def work(self, *inputs: TensorType) -> Size:
        return eigh_work(inputs[0]) + inputs[0].known_shape[1] * inputs[0].known_shape[2] * self.dtype.itemsize

    def matrix_flops(self, m: Size, n: Size, width: Size) -> Size:
        return 4 * n * n * n // 3

    def reference(self, *arrays: Any) -> Any:
        with self.checked():
            return np.linalg.eigvalsh(arrays[0], "L" if self.lower else "U")

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        if grads[0] is None:
            return (None,)
        _, v = Eigh(self.dtype, self.lower)(inputs[0])
        return (mm(v * columns(grads[0]), mt(v)),)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        for triangle in ("L", "U"):
            yield Sample(lambda x, triangle=triangle: eigvalsh(_split(x), triangle), (In((2, 3, 3)),), rtol=1e-5, name=triangle)
        yield Sample(eigvalsh, (In(("m", "n", "n")),), grad=False, rtol=1e-4, name="all sizes")


# --- what the ops share ------------------------------------------------------------------------------
def svd_work(x: TensorType) -> Size:
    """Bytes: the matrix, what `runtime/lapack.py` gives gesdd, and 8 integers for each value."""
    _, m, n = x.known_shape
    k = minimum(m, n)
    return (m * n + 4 * k * k + 7 * k + 64 * (m + n)) * x.dtype.itemsize + 32 * k


def eigh_work(x: TensorType) -> Size:
    n = x.known_shape[1]
    return (2 * n * n + 70 * n + 1) * x.dtype.itemsize + (5 * n + 3) * 4


def _rotation(basis: Variable, g: Variable) -> Variable:
    inner = mm(mt(basis), g)
    return inner - mt(inner)


# --- samples: results that no choice of signs changes, at matrices with values far apart -------------------
def _weights(values: Variable) -> Variable:
    return iota((values.shape[-1],), 0, values.dtype)


def _spread(x: Variable) -> Variable:
    m, n = x.shape[-2:]
    grown = eye(m, n, dtype=x.dtype) * (expand_dims(_weights(x), 0) + 1)
    return x * 0.1 + grown


def _split(x: Variable) -> Variable:
    return _spread(x + mt(x))


def _odd_function(x: Variable) -> Variable:
    """U f(S) V^T with weights that differ for each place."""
    u, s, vt = svd(x, full_matrices=False)
    return mm(u * columns(s * s + _weights(s)), vt)


# --- functions ---------------------------------------------------------------------------------------
@deferring
def svd(a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False) -> Any:
    """(u, s, vh) with `a = (u * s) @ vh`, as numpy.linalg.svd; only s without `compute_uv`.

    Values are in descending order.  Full bases have gradients for square matrices only.  `hermitian` is accepted and makes no
    difference.  NaN in a fails the run (CheckError).
    """
    if not compute_uv:
        return svdvals(a)
    matrices, back = as_matrices(a, "svd")
    u, s, vt = SVD(matrices.dtype, bool(full_matrices))(matrices)
    return back(u), squeeze(back(expand_dims(s, -1)), -1), back(vt)


@deferring
def svdvals(x: Any) -> Variable:
    """The singular values in descending order, as numpy.linalg.svdvals."""
    matrices, back = as_matrices(x, "svdvals")
    return squeeze(back(expand_dims(SingularValues(matrices.dtype)(matrices), -1)), -1)


@deferring
def eigh(a: Any, UPLO: str = "L") -> tuple[Variable, Variable]:
    """(w, v) with `a @ v = v * w` for symmetric matrices, as numpy.linalg.eigh; values ascend, vectors are columns.

    One triangle is read ("L" or "U"); the gradient is the one for symmetric changes of a.
    """
    matrices, back = square_matrices(a, "eigh")
    w, v = Eigh(matrices.dtype, _is_lower(UPLO))(matrices)
    return squeeze(back(expand_dims(w, -1)), -1), back(v)


@deferring
def eigvalsh(a: Any, UPLO: str = "L") -> Variable:
    """The eigenvalues of symmetric matrices in ascending order, as numpy.linalg.eigvalsh."""
    matrices, back = square_matrices(a, "eigvalsh")
    return squeeze(back(expand_dims(Eigenvalues(matrices.dtype, _is_lower(UPLO))(matrices), -1)), -1)


def _is_lower(uplo: str) -> bool:
    if uplo.upper() not in ("L", "U"):
        raise GraphError(f"UPLO is {uplo!r}", hint="use L for the lower or U for the upper triangle")
    return uplo.upper() == "L"


def eig(a: Any) -> Any:
    """Refused: eigenvalues of general matrices are complex, and graphflow has no complex dtypes.  Raises GraphError."""
    raise GraphError("eig: the eigenvalues of a general matrix are complex, which is no dtype of graphflow", hint="use gf.linalg.eigh for symmetric matrices")


def eigvals(a: Any) -> Any:
    """Refused as `eig` is.  Raises GraphError."""
    return eig(a)
