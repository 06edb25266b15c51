"""Batches of matrices: what the ops of linear algebra share."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphflow.graph.dim import Size, product
from graphflow.graph.errors import CheckError, DTypeError, ShapeError
from graphflow.graph.op import ExternOp, broadcast_shapes, require_equal
from graphflow.graph.types import DType, Shape, TensorType
from graphflow.graph.variable import Variable
from graphflow.ops.contraction import matmul
from graphflow.ops.creation import zeros
from graphflow.ops.elementwise import where
from graphflow.ops.joining import concatenate
from graphflow.ops.logic import equal
from graphflow.ops.promotion import coerce, quotient
from graphflow.ops.reduction import max_
from graphflow.ops.shape import broadcast_to, expand_dims, reshape, squeeze, swapaxes

Grads = Sequence[Variable | None]
Back = Callable[[Variable], Variable]


@dataclass(frozen=True, repr=False)
class Lapack(ExternOp):
    """A LAPACK routine on batches of matrices: every operand has rank 3 and the dtype `dtype`."""

    dtype: DType

    @property
    def routine(self) -> str:
        raise NotImplementedError

    @property
    def symbol(self) -> str:
        return f"lapack.{self.routine}.{self.dtype.name}"

    def matrices(self, *inputs: TensorType) -> list[Shape]:
        """The shapes of the operands; raises DTypeError or ShapeError."""
        for t in inputs:
            if t.dtype != self.dtype or t.ndim != 3:
                raise DTypeError(f"{self.name} takes {self.dtype.name} of rank 3, and {t} came")
        return [t.known_shape for t in inputs]

    def flops(self, *inputs: TensorType) -> Size | None:
        """Counts of LAPACK Working Note 41 and, for what iterates, of Golub and Van Loan, "Matrix Computations", 8.3 and 8.6."""
        batch, m, n = inputs[0].known_shape
        return batch * self.matrix_flops(m, n, inputs[-1].known_shape[-1])

    def matrix_flops(self, m: Size, n: Size, width: Size) -> Size:
        """Floating-point operations for an m x n matrix; `width`: columns of the last operand."""
        raise NotImplementedError

    @contextlib.contextmanager
    def checked(self) -> Iterator[None]:
        """NumPy's error as a run's failure."""
        try:
            yield
        except np.linalg.LinAlgError:
            raise CheckError(self.failure) from None


# --- operands ----------------------------------------------------------------------------------------
def as_matrices(x: Any, what: str) -> tuple[Variable, Back]:
    """x in its float dtype with its leading axes joined, and what gives results their leading axes back.

    Raises ShapeError for less than two axes.
    """
    (found,) = coerce(x, to=quotient)
    if found.ndim < 2:
        raise ShapeError(f"{what}: {found!r} is no matrix", hint="matrices stand in the last two axes")
    return stacked(found)


def stacked(x: Variable) -> tuple[Variable, Back]:
    """x of rank 2 or more as a batch of rank 3, and what gives results their leading axes back."""
    lead = x.shape[:-2]
    if len(lead) == 1:
        return x, lambda y: y
    if not lead:
        return expand_dims(x, 0), lambda y: squeeze(y, 0)
    return reshape(x, (product(lead), *x.shape[-2:])), lambda y: reshape(y, (*lead, *y.shape[1:]))


def square_matrices(x: Any, what: str) -> tuple[Variable, Back]:
    found, back = as_matrices(x, what)
    require_square(found, what)
    return found, back


def require_square(x: Variable, what: str) -> Size:
    return require_equal(x.shape[-1], x.shape[-2], f"{what}: the matrices are not square; sizes")


def common_batch(x: Variable, y: Variable) -> tuple[Variable, Variable]:
    """Both with the same leading axes."""
    lead = broadcast_shapes([x.shape[:-2], y.shape[:-2]])
    return broadcast_to(x, (*lead, *x.shape[-2:])), broadcast_to(y, (*lead, *y.shape[-2:]))


# --- expressions -------------------------------------------------------------------------------------
def mt(x: Variable) -> Variable:
    """The transposes."""
    return swapaxes(x, -1, -2)


def mm(*factors: Variable) -> Variable:
    """The product of matrices, from the left."""
    found = factors[0]
    for factor in factors[1:]:
        found = matmul(found, factor)
    return found


def reciprocal_or_zero(x: Variable) -> Variable:
    """1 / x, and 0 for 0, with derivatives that are finite there."""
    zero = equal(x, 0)
    return where(zero, 0, 1 / where(zero, 1, x))


def columns(x: Variable) -> Variable:
    """Vectors as rows of height 1, to be multiplied with columns of matrices."""
    return expand_dims(x, -2)


def symmetric(x: Variable) -> Variable:
    """The symmetric part."""
    return (x + mt(x)) * 0.5


def largest(x: Variable) -> Variable:
    """The largest along the last axis of numbers that are not negative, 0 where there are none; the axis stays with size 1."""
    return max_(concatenate([x, zeros((*x.shape[:-1], 1), x.dtype)], -1), axis=-1, keepdims=True)
