"""`gf.linalg`: linear algebra by LAPACK, with the names and the semantics of numpy.linalg and scipy.linalg.

Matrices stand in the last two axes; leading axes are batches.  Work is done in the float dtype of the operands.  LAPACK's routines
are those of SciPy (the extra `linalg`).  What LAPACK cannot do (a singular matrix, no convergence) fails the run (CheckError).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphflow.graph.errors import GraphError, ShapeError
from graphflow.graph.variable import Variable, as_variable
from graphflow.ops import diagonals
from graphflow.ops.contraction import matmul, tensordot
from graphflow.ops.elementwise import multiply, subtract
from graphflow.ops.factorizations import cho_solve, cholesky, lu, lu_factor, qr
from graphflow.ops.joining import stack
from graphflow.ops.matrices import mt
from graphflow.ops.matrix_functions import det, expm, matrix_power, pinv, slogdet
from graphflow.ops.norms import cond, lstsq, matrix_norm, matrix_rank, norm, vector_norm
from graphflow.ops.promotion import coerce
from graphflow.ops.public import deferring
from graphflow.ops.reduction import normalize_axes, sum_
from graphflow.ops.shape import expand_dims, moveaxis
from graphflow.ops.solving import inv, solve, triangular_solve
from graphflow.ops.spectral import eig, eigh, eigvals, eigvalsh, svd, svdvals

__all__ = [
    "cho_solve", "cholesky", "cond", "cross", "det", "diagonal", "eig", "eigh", "eigvals", "eigvalsh", "expm", "inv", "lstsq", "lu", "lu_factor", "matmul",
    "matrix_norm", "matrix_power", "matrix_rank", "matrix_transpose", "multi_dot", "norm", "outer", "pinv", "qr", "slogdet", "solve", "solve_triangular",
    "svd", "svdvals", "tensordot", "trace", "triangular_solve", "vecdot", "vector_norm",
]  # fmt: skip

solve_triangular = triangular_solve


@deferring
def diagonal(x: Any, *, offset: int = 0) -> Variable:
    """The diagonals of the matrices in the last two axes."""
    return diagonals.diagonal(x, offset, -2, -1)


@deferring
def trace(x: Any, *, offset: int = 0) -> Variable:
    """The sums of the diagonals of the matrices in the last two axes."""
    return diagonals.trace(x, offset, -2, -1)


@deferring
def matrix_transpose(x: Any) -> Variable:
    """x with its last two axes exchanged."""
    return mt(as_variable(x))


@deferring
def outer(x: Any, y: Any) -> Variable:
    """Every element of one vector times every element of another.  Raises ShapeError for other ranks (gf.outer flattens)."""
    x, y = as_variable(x), as_variable(y)
    if x.ndim != 1 or y.ndim != 1:
        raise ShapeError(f"outer: the operands have rank {x.ndim} and {y.ndim}", hint="gf.outer flattens them")
    return multiply(expand_dims(x, 1), expand_dims(y, 0))


@deferring
def vecdot(x: Any, y: Any, axis: int = -1) -> Variable:
    """The sums of products along an axis of operands that broadcast."""
    x, y = coerce(x, y)
    product = multiply(x, y)
    return sum_(product, axis=axis, dtype=product.dtype)


@deferring
def cross(x: Any, y: Any, axis: int = -1) -> Variable:
    """The vector products of vectors of three elements along `axis`; other axes broadcast.

    Raises ShapeError for another number of elements.
    """
    x, y = coerce(x, y)
    left, right = (moveaxis(v, normalize_axes(axis, v.ndim)[0], -1) for v in (x, y))
    for v in (left, right):
        if v.shape[-1] != 3:
            raise ShapeError(f"cross: there are {v.shape[-1]} elements along axis {axis}", hint="the vectors have 3 elements")
    parts = [subtract(left[..., i] * right[..., j], left[..., j] * right[..., i]) for i, j in ((1, 2), (2, 0), (0, 1))]
    return moveaxis(stack(parts, -1), -1, axis)


@deferring
def multi_dot(arrays: Sequence[Any]) -> Variable:
    """The product of matrices in the order that takes the fewest multiplications, by their static sizes; else from the left.

    The first operand may be a row and the last one a column, each of one axis.  Raises GraphError for less than two operands.
    """
    factors = list(coerce(*arrays))
    if len(factors) < 2:
        raise GraphError(f"multi_dot: there are {len(factors)} operands", hint="give two or more")
    first, last = factors[0].ndim == 1, factors[-1].ndim == 1
    sizes = [1 if first else factors[0].shape[0], *(f.shape[0] for f in factors[1:]), 1 if last else factors[-1].shape[-1]]
    fixed = [n for n in sizes if isinstance(n, int)]
    if len(fixed) != len(sizes):
        found = factors[0]
        for factor in factors[1:]:
            found = matmul(found, factor)
        return found
    return _chain(factors, _splits(fixed), 0, len(factors) - 1)


def _splits(sizes: list[int]) -> dict[tuple[int, int], int]:
    """Where to split the products of factors i .. j (Cormen et al., "Introduction to Algorithms", 15.2)."""
    n = len(sizes) - 1
    cost, split = {(i, i): 0 for i in range(n)}, {}
    for length in range(1, n):
        for i in range(n - length):
            j = i + length
            ways = {k: cost[i, k] + cost[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1] for k in range(i, j)}
            split[i, j] = min(ways, key=lambda k: ways[k])
            cost[i, j] = ways[split[i, j]]
    return split


def _chain(factors: list[Variable], splits: dict[tuple[int, int], int], i: int, j: int) -> Variable:
    if i == j:
        return factors[i]
    k = splits[i, j]
    return matmul(_chain(factors, splits, i, k), _chain(factors, splits, k + 1, j))
