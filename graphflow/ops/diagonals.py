"""Diagonals of matrices: diagonal, diag, trace, tril, triu."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from graphflow.graph.dim import Size, maximum, minimum, proves_nonnegative
from graphflow.graph.errors import ShapeError
from graphflow.graph.op import In, Sample, ViewOp, register
from graphflow.graph.types import Shape, TensorType
from graphflow.graph.variable import Variable, as_variable
from graphflow.ops.creation import iota
from graphflow.ops.elementwise import add, where
from graphflow.ops.logic import greater_equal, less_equal
from graphflow.ops.public import public
from graphflow.ops.reduction import normalize_axes, sum_
from graphflow.ops.shape import transpose

Grads = Sequence[Variable | None]


@register
class Diagonal(ViewOp):
    """The elements with column - row = `offset` of the matrices in the last two axes."""

    name = "diagonal"
    offset: int

    def infer(self, *inputs: TensorType) -> TensorType:
        *batch, rows, columns = inputs[0].known_shape
        return TensorType(inputs[0].dtype, (*batch, diagonal_length(rows, columns, self.offset)))

    def index(self, ix: tuple[Size, ...], shape: Shape) -> tuple[Size, ...]:
        return (*ix[:-1], ix[-1] + max(-self.offset, 0), ix[-1] + max(self.offset, 0))

    def reference(self, *arrays: Any) -> Any:
        return np.diagonal(arrays[0], self.offset, -2, -1)

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        rows, columns = inputs[0].shape[-2:]
        return (None if grads[0] is None else OnDiagonal(self.offset, rows, columns)(grads[0]),)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        for offset in (0, 1, -2):
            yield Sample(lambda x, offset=offset: diagonal(x, offset), (In(("m", "n"), "any"),), name=f"offset={offset}")
        yield Sample(lambda x: diagonal(x, 0, 0, 2), (In(("m", "b", "n")),), name="axes 0 and 2")


@register
class OnDiagonal(ViewOp):
    """Vectors in the last axis on a diagonal of `rows` x `columns` matrices of zeros."""

    name = "on_diagonal"
    offset: int
    rows: Size
    columns: Size

    def infer(self, *inputs: TensorType) -> TensorType:
        return TensorType(inputs[0].dtype, (*inputs[0].known_shape[:-1], self.rows, self.columns))

    def index(self, ix: tuple[Size, ...], shape: Shape) -> tuple[Size, ...]:
        return (*ix[:-2], ix[-2] + min(self.offset, 0))

    def inside(self, ix: tuple[Size, ...], shape: Shape) -> Sequence[tuple[Size, Size]]:
        return [(ix[-1] - ix[-2] - self.offset, 1), (ix[-2] + min(self.offset, 0), shape[-1])]

    def reference(self, *arrays: Any) -> Any:
        n = arrays[0].shape[-1]
        out = np.zeros((*arrays[0].shape[:-1], self.rows, self.columns), arrays[0].dtype)
        i = np.arange(n)
        out[..., i + max(-self.offset, 0), i + max(self.offset, 0)] = arrays[0]
        return out

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        return (None if grads[0] is None else Diagonal(self.offset)(grads[0]),)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        for k in (0, 2, -1):
            yield Sample(lambda x, k=k: diag(x, k), (In(("m",), "any"),), name=f"k={k}")


def diagonal_length(rows: Size, columns: Size, offset: int) -> Size:
    length = minimum(rows - max(-offset, 0), columns - max(offset, 0))
    return length if proves_nonnegative(length) else maximum(length, 0)


@public
def diagonal(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Variable:
    """The `offset`-th diagonals (counted to the right) of the matrices in two axes, as a new last axis.

    Raises ShapeError for less than two axes.
    """
    x = as_variable(x)
    (a,), (b,) = normalize_axes(axis1, x.ndim), normalize_axes(axis2, x.ndim)
    if a == b:
        raise ShapeError(f"diagonal: axis {axis1} and axis {axis2} are the same")
    last = transpose(x, [*(i for i in range(x.ndim) if i not in (a, b)), a, b])
    result: Variable = Diagonal(offset)(last)
    return result


@public
def diag(x: Any, k: int = 0) -> Variable:
    """The k-th diagonal of a matrix, or the matrix with a vector on its k-th diagonal."""
    x = as_variable(x)
    if x.ndim == 1:
        n = x.shape[0] + abs(k)
        result: Variable = OnDiagonal(k, n, n)(x)
        return result
    if x.ndim != 2:
        raise ShapeError(f"diag: {x!r} is no vector or matrix", hint="see gf.diagonal for batches of matrices")
    return diagonal(x, k)


@public
def trace(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Variable:
    """The sum of the diagonal elements."""
    return sum_(diagonal(x, offset, axis1, axis2), axis=-1)


@public
def tril(x: Any, k: int = 0) -> Variable:
    """The matrices in the last two axes with zeros above the k-th diagonal."""
    return _triangle(x, k, lower=True)


@public
def triu(x: Any, k: int = 0) -> Variable:
    """The matrices in the last two axes with zeros below the k-th diagonal."""
    return _triangle(x, k, lower=False)


def _triangle(x: Any, k: int, lower: bool) -> Variable:
    x = as_variable(x)
    if x.ndim < 2:
        raise ShapeError(f"{x!r} is no matrix", hint="see gf.diag to make one from a vector")
    rows, columns = iota((x.shape[-2], 1)), iota((1, x.shape[-1]), 1)
    inside = (less_equal if lower else greater_equal)(columns, add(rows, k))
    return where(inside, x, 0)
