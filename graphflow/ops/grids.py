"""Arrangements of elements made of other ops: meshgrid, kron, rot90, tri, diff, and bands of matrices."""

from __future__ import annotations

from typing import Any

from graphflow.graph.dim import Size
from graphflow.graph.errors import ShapeError
from graphflow.graph.variable import Variable, as_variable
from graphflow.ops.creation import iota, known_size, ones
from graphflow.ops.diagonals import tril
from graphflow.ops.elementwise import multiply, subtract, where
from graphflow.ops.logic import less_equal, logical_and, not_equal
from graphflow.ops.promotion import coerce
from graphflow.ops.public import public
from graphflow.ops.reduction import normalize_axes
from graphflow.ops.shape import broadcast_to, expand_dims, ravel, reshape, swapaxes
from graphflow.ops.slicing import flip


@public
def meshgrid(*xi: Any, indexing: str = "xy", sparse: bool = False) -> list[Variable]:
    """Coordinate tensors of the grid spanned by vectors, as numpy.meshgrid.

    indexing 'xy': the first vector runs along axis 1 and the second along axis 0; 'ij': in order.  `sparse`
    leaves axes along which a coordinate does not change at size 1.  Raises ShapeError for another indexing.
    """
    if indexing not in ("xy", "ij"):
        raise ShapeError(f"meshgrid: there is no indexing {indexing!r}", hint="use xy or ij")
    vectors = [ravel(as_variable(x)) for x in xi]
    axes = list(range(len(vectors)))
    if indexing == "xy":
        axes[:2] = axes[:2][::-1]
    shape: list[Size] = [1] * len(vectors)
    for axis, x in zip(axes, vectors, strict=True):
        shape[axis] = x.shape[0]
    spread = [expand_dims(x, tuple(a for a in range(len(vectors)) if a != axis)) for axis, x in zip(axes, vectors, strict=True)]
    return spread if sparse else [broadcast_to(x, shape) for x in spread]


@public
def kron(x: Any, y: Any) -> Variable:
    """The Kronecker product: x with each element replaced by its product with y; missing axes have size 1."""
    x, y = coerce(x, y)
    rank = max(x.ndim, y.ndim)
    x, y = (reshape(v, ((1,) * (rank - v.ndim)) + v.shape) for v in (x, y))
    rows = expand_dims(x, tuple(range(1, 2 * rank, 2)))
    columns = expand_dims(y, tuple(range(0, 2 * rank, 2)))
    return reshape(multiply(rows, columns), tuple(a * b for a, b in zip(x.shape, y.shape, strict=True)))


@public
def rot90(x: Any, k: int = 1, axes: tuple[int, int] = (0, 1)) -> Variable:
    """x turned by k * 90 degrees in the plane of two axes, from the first towards the second."""
    x = as_variable(x)
    (a,), (b,) = normalize_axes(axes[0], x.ndim), normalize_axes(axes[1], x.ndim)
    if a == b:
        raise ShapeError(f"rot90: the axes {axes} are the same")
    match k % 4:
        case 1:
            return swapaxes(flip(x, b), a, b)
        case 2:
            return flip(x, (a, b))
        case 3:
            return flip(swapaxes(x, a, b), b)
    unturned: Variable = x
    return unturned


@public
def fliplr(x: Any) -> Variable:
    """x with the elements along axis 1 in the opposite order."""
    return flip(x, 1)


@public
def flipud(x: Any) -> Variable:
    """x with the elements along axis 0 in the opposite order."""
    return flip(x, 0)


@public
def tri(n: Any, m: Any = None, k: int = 0, dtype: Any = "float64") -> Variable:
    """An n x m matrix (n x n without m) with ones on and below the k-th diagonal."""
    rows = known_size(n, "tri: n")
    return tril(ones((rows, rows if m is None else known_size(m, "tri: m")), dtype), k)


@public
def diff(x: Any, n: int = 1, axis: int = -1) -> Variable:
    """The n-th differences of neighbours along `axis`; of bools whether they differ, as numpy.diff.

    Raises ShapeError for a negative n.
    """
    found: Variable = as_variable(x)
    (axis,) = normalize_axes(axis, found.ndim)
    if n < 0:
        raise ShapeError(f"diff: n is {n}", hint="n is at least 0")
    for _ in range(n):
        after, before = (found[(slice(None),) * axis + (part,)] for part in (slice(1, None), slice(None, -1)))
        found = not_equal(after, before) if found.dtype.kind == "b" else subtract(after, before)
    return found


@public
def matrix_band_part(x: Any, num_lower: Any, num_upper: Any) -> Variable:
    """The matrices in the last two axes with zeros outside a band around the diagonal, as tf.matrix_band_part.

    `num_lower`, `num_upper`: how many diagonals below and above stay, negative for all; ints or integer scalars.
    """
    x = as_variable(x)
    if x.ndim < 2:
        raise ShapeError(f"matrix_band_part: {x!r} is no matrix")
    below = subtract(iota((x.shape[-2], 1)), iota((1, x.shape[-1]), 1))
    above = subtract(0, below)
    kept = [less_equal(distance, where(less_equal(0, limit), limit, distance)) for distance, limit in ((below, num_lower), (above, num_upper))]
    return where(logical_and(*kept), x, 0)
