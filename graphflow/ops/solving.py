"""Systems of linear equations: ops that solve with a general and with a triangular matrix.

Derivatives: Giles 2008, "An extended collection of matrix derivative results for forward and reverse mode
algorithmic differentiation", 2.2 and 2.3.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from graphflow.graph.dim import Size
from graphflow.graph.op import In, Sample, register, require_equal
from graphflow.graph.types import TensorType
from graphflow.graph.variable import Variable
from graphflow.ops.creation import eye
from graphflow.ops.diagonals import tril, triu
from graphflow.ops.elementwise import negative
from graphflow.ops.matrices import Grads, Lapack, common_batch, mm, mt, square_matrices, stacked
from graphflow.ops.promotion import coerce, quotient
from graphflow.ops.public import deferring
from graphflow.ops.shape import broadcast_to, expand_dims, squeeze


@register
class Solve(Lapack):
    """X with A X = B, by the LU factors of A."""

    name = "solve"
    failure = "solve: the matrix is singular"
    routine = "solve"

    def infer(self, *inputs: TensorType) -> TensorType:
        a, b = self.matrices(*inputs)
        require_equal(a[1], b[1], "solve: the rows of a and of b differ; sizes")
        return TensorType(self.dtype, b)

    def work(self, *inputs: TensorType) -> Size:
        n = inputs[0].known_shape[1]
        return n * n * self.dtype.itemsize + n * 4

    def matrix_flops(self, m: Size, n: Size, width: Size) -> Size:
        return 2 * n * n * n // 3 + 2 * n * n * width

    def reference(self, *arrays: Any) -> Any:
        with self.checked():
            return np.linalg.solve(*arrays)

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        (a, _), (x,), (g,) = inputs, outputs, grads
        if g is None:
            return None, None
        pulled = self(mt(a), g)
        return negative(mm(pulled, mt(x))), pulled

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        many = (In(("m", "n", "n")), In(("m", "n", "k")))
        yield Sample(lambda a, b: solve(_dominant(a), b), many, rtol=3e-5, name="batch")
        yield Sample(lambda a, b: solve(_dominant(a), b), (In(("n", "n")), In(("n",))), rtol=3e-5, name="vector")
        yield Sample(lambda a, b: solve(_dominant(a), b), (In(("n", "n")), In((2, "m", "n", "k"))), rtol=3e-5, name="broadcast")
        yield Sample(lambda a: inv(_dominant(a)), (In(("n", "n")),), rtol=3e-5, name="inverse")


@register
class TriangularSolve(Lapack):
    """X with A X = B, or A^T X = B; of A one triangle is read, of a `unit` one nor the diagonal."""

    name = "triangular_solve"
    failure = "triangular_solve: the matrix is singular, it has a 0 on its diagonal"
    lower: bool
    transposed: bool
    unit: bool

    @property
    def routine(self) -> str:
        return f"triangular_solve.{'lower' if self.lower else 'upper'}.{'transposed' if self.transposed else 'plain'}.{'unit' if self.unit else 'any'}"

    def infer(self, *inputs: TensorType) -> TensorType:
        a, b = self.matrices(*inputs)
        require_equal(a[1], b[1], "triangular_solve: the rows of a and of b differ; sizes")
        return TensorType(self.dtype, b)

    def matrix_flops(self, m: Size, n: Size, width: Size) -> Size:
        return n * n * width

    def reference(self, *arrays: Any) -> Any:
        a, b = arrays
        triangle = (np.tril if self.lower else np.triu)(a, (-1 if self.lower else 1) if self.unit else 0)
        if self.unit:
            triangle = triangle + np.eye(a.shape[-1], dtype=a.dtype)
        with self.checked():
            return np.linalg.solve(triangle.swapaxes(1, 2) if self.transposed else triangle, b)

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        (a, _), (x,), (g,) = inputs, outputs, grads
        if g is None:
            return None, None
        pulled = TriangularSolve(self.dtype, self.lower, not self.transposed, self.unit)(a, g)
        whole = negative(mm(x, mt(pulled)) if self.transposed else mm(pulled, mt(x)))
        return (tril(whole, -1 if self.unit else 0) if self.lower else triu(whole, 1 if self.unit else 0)), pulled

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        inputs = (In(("m", "n", "n")), In(("m", "n", "k")))
        for lower in (True, False):
            for trans in (0, 1):

                def make(a: Variable, b: Variable, lower: bool = lower, trans: int = trans) -> Variable:
                    return triangular_solve(_dominant(a), b, lower=lower, trans=trans)

                yield Sample(make, inputs, rtol=3e-5, name=f"{'lower' if lower else 'upper'} {'transposed' if trans else ''}".strip())
        yield Sample(lambda a, b: triangular_solve(a * 0.05, b, lower=True, unit_diagonal=True), inputs, rtol=3e-5, name="unit")


def _dominant(a: Variable) -> Variable:
    """Matrices far from singular, of entries between -2 and 2."""
    n = a.shape[-1]
    return a * 0.05 + eye(n, dtype=a.dtype) * 2


# --- functions ---------------------------------------------------------------------------------------
@deferring
def solve(a: Any, b: Any) -> Variable:
    """x with `a @ x = b`, as numpy.linalg.solve; leading axes broadcast, b of one axis is a vector.

    Raises ShapeError for matrices that are not square; a singular one fails the run (CheckError).
    """
    a, b = coerce(a, b, to=quotient)
    return _solved("solve", a, b, lambda x, y: Solve(a.dtype)(x, y))


@deferring
def triangular_solve(a: Any, b: Any, lower: bool = False, trans: int | str = 0, unit_diagonal: bool = False) -> Variable:
    """x with `a @ x = b` (`trans` 1 or "T": with the transpose of a), where only one triangle of a is read.

    As scipy.linalg.solve_triangular, with leading axes that broadcast.  A 0 on the diagonal fails the run (CheckError).
    """
    a, b = coerce(a, b, to=quotient)
    op = TriangularSolve(a.dtype, bool(lower), trans in (1, 2, "T", "C"), bool(unit_diagonal))
    return _solved("triangular_solve", a, b, op)


def _solved(what: str, a: Variable, b: Variable, op: Any) -> Variable:
    is_vector = b.ndim == 1
    square_matrices(a, what)
    a, b = common_batch(a, expand_dims(b, 1) if is_vector else b)
    left, _ = stacked(a)
    right, back = stacked(b)
    found = back(op(left, right))
    return squeeze(found, -1) if is_vector else found


@deferring
def inv(a: Any) -> Variable:
    """The inverses of square matrices; a singular one fails the run (CheckError)."""
    matrices, back = square_matrices(a, "inv")
    unit = broadcast_to(eye(matrices.shape[-1], dtype=matrices.dtype), matrices.shape)
    return back(Solve(matrices.dtype)(matrices, unit))
