"""Norms of vectors and matrices, and what singular values tell: condition, rank, least squares."""

from __future__ import annotations

import math
from typing import Any

from graphflow.graph.errors import GraphError, ShapeError
from graphflow.graph.variable import Variable
from graphflow.ops.elementwise import abs_, cast, sqrt, square, where
from graphflow.ops.logic import equal, greater, not_equal
from graphflow.ops.matrices import mm
from graphflow.ops.matrix_functions import pinv, threshold
from graphflow.ops.power import power
from graphflow.ops.promotion import coerce, quotient
from graphflow.ops.public import deferring
from graphflow.ops.reduction import max_, min_, normalize_axes, sum_
from graphflow.ops.shape import expand_dims, moveaxis, ravel, squeeze
from graphflow.ops.solving import inv
from graphflow.ops.spectral import svdvals

Order = int | float | str | None


@deferring
def norm(x: Any, ord: Order = None, axis: int | tuple[int, int] | None = None, keepdims: bool = False) -> Variable:
    """The norm of vectors (one axis) or matrices (two axes), as numpy.linalg.norm.

    Without `axis` and `ord` the 2-norm of all elements; with `ord` alone x has one or two axes.  Vectors: any number, inf,
    -inf, 0 counts what is not 0.  Matrices: "fro", "nuc", 1, -1, 2, -2, inf, -inf.  The gradient of the 2-norm and of "fro" at 0 is 0.
    Raises GraphError for another order, ShapeError for axes that do not fit.
    """
    (found,) = coerce(x, to=quotient)
    if axis is None:
        if ord is None:
            length = _length(ravel(found), (0,))
            return expand_dims(length, tuple(range(found.ndim))) if keepdims else length
        if found.ndim not in (1, 2):
            raise ShapeError(f"norm: with an order and without axes x must be a vector or a matrix, and {found!r} is not", hint="give axis")
    axes = normalize_axes(axis, found.ndim) if axis is None or isinstance(axis, int) else tuple(normalize_axes(a, found.ndim)[0] for a in axis)
    if len(axes) not in (1, 2) or len(set(axes)) != len(axes):
        raise ShapeError(f"norm: {len(axes)} axes are given, {axis}", hint="one axis for vectors, two different ones for matrices")
    made = _vector_norm(found, ord, axes[0]) if len(axes) == 1 else _matrix_norm(found, ord, *axes)
    return expand_dims(made, tuple(sorted(axes))) if keepdims else made


@deferring
def vector_norm(x: Any, axis: int | tuple[int, ...] | None = None, keepdims: bool = False, ord: Order = 2) -> Variable:
    """The vector norm over any axes taken together, as numpy.linalg.vector_norm."""
    (found,) = coerce(x, to=quotient)
    axes = normalize_axes(axis, found.ndim)
    joined = ravel(found) if len(axes) == found.ndim else moveaxis(found, axes, tuple(range(-len(axes), 0)))
    while joined.ndim > found.ndim - len(axes) + 1:
        joined = joined.reshape((*joined.shape[:-2], joined.shape[-2] * joined.shape[-1]))
    made = _vector_norm(joined, ord, joined.ndim - 1)
    return expand_dims(made, axes) if keepdims else made


@deferring
def matrix_norm(x: Any, keepdims: bool = False, ord: Order = "fro") -> Variable:
    """The norms of the matrices in the last two axes, as numpy.linalg.matrix_norm."""
    return norm(x, ord, (-2, -1), keepdims)


def _length(x: Variable, axes: tuple[int, ...]) -> Variable:
    """The 2-norm, with the derivative 0 at 0."""
    total = sum_(square(x), axis=axes)
    zero = equal(total, 0)
    return where(zero, 0, sqrt(where(zero, 1, total)))


def _vector_norm(x: Variable, order: Order, axis: int) -> Variable:
    if order is None or order == 2:
        return _length(x, (axis,))
    if isinstance(order, str):
        raise GraphError(f"norm: {order!r} is no order for vectors", hint="use a number, inf or -inf")
    if order == math.inf:
        return max_(abs_(x), axis=axis)
    if order == -math.inf:
        return min_(abs_(x), axis=axis)
    if order == 0:
        return sum_(cast(not_equal(x, 0), x.dtype), axis=axis)
    if order == 1:
        return sum_(abs_(x), axis=axis)
    return power(sum_(power(abs_(x), float(order)), axis=axis), 1 / float(order))


def _matrix_norm(x: Variable, order: Order, rows: int, columns: int) -> Variable:
    if order is None or order == "fro":
        return _length(x, (rows, columns))
    if order in (1, -1, math.inf, -math.inf):
        summed, other = (rows, columns) if order in (1, -1) else (columns, rows)
        extreme = max_ if order in (1, math.inf) else min_
        return extreme(sum_(abs_(x), axis=summed), axis=other - (summed < other))
    values = svdvals(moveaxis(x, (rows, columns), (-2, -1)))
    if order == "nuc":
        return sum_(values, axis=-1)
    if order in (2, -2):
        return values[..., 0 if order == 2 else -1]
    raise GraphError(f"norm: {order!r} is no order for matrices", hint="use fro, nuc, 1, -1, 2, -2, inf or -inf")


@deferring
def cond(x: Any, p: Order = None) -> Variable:
    """The condition number of matrices: norm(x, p) * norm(inv(x), p); for None, 2 and -2 by singular values, of any matrix.

    numpy.linalg.cond gives inf for a singular matrix with the other orders; here the inverse fails the run.
    """
    if p in (None, 2, -2):
        s = svdvals(x)
        return s[..., -1] / s[..., 0] if p == -2 else s[..., 0] / s[..., -1]
    (found,) = coerce(x, to=quotient)
    return norm(found, p, (-2, -1)) * norm(inv(found), p, (-2, -1))


@deferring
def matrix_rank(A: Any, tol: Any = None, hermitian: bool = False, *, rtol: float | None = None) -> Variable:
    """The number of singular values above `tol`, as int64; for vectors whether an element is not 0.

    `tol`: a number or tensor, else the largest singular value times `rtol`, or times the larger side and the epsilon of the dtype.
    """
    (found,) = coerce(A, to=quotient)
    if found.ndim < 2:
        return cast(greater(sum_(cast(not_equal(found, 0), "int64")), 0), "int64")
    s = svdvals(found)
    limit = threshold(found, s, rtol) if tol is None else expand_dims(coerce(tol, to=found.dtype)[0], -1)
    return sum_(cast(greater(s, limit), "int64"), axis=-1)


@deferring
def lstsq(a: Any, b: Any, rcond: float | None = None) -> tuple[Variable, Variable, Variable, Variable]:
    """(x, residuals, rank, s): x of least norm among those that minimise |b - a @ x|, as numpy.linalg.lstsq, batched.

    Singular values up to `rcond` times the largest count as 0 (None: the epsilon of the dtype times the larger side).  `residuals` are the sums
    of squares for each column of b always, where NumPy gives none for deficient or wide matrices.  The gradient holds at constant rank.
    """
    a, b = coerce(a, b, to=quotient)
    is_vector = b.ndim == 1
    right = expand_dims(b, 1) if is_vector else b
    x = mm(pinv(a, rtol=None) if rcond is None else pinv(a, rcond), right)
    residuals = sum_(square(right - mm(a, x)), axis=-2)
    s = svdvals(a)
    return (squeeze(x, -1) if is_vector else x), residuals, matrix_rank(a, rtol=rcond), s
