"""Functions of square matrices: determinants, powers, the exponential; and the pseudo-inverse."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from graphflow.graph.dim import Size, maximum
from graphflow.graph.errors import GraphError, ShapeError
from graphflow.graph.op import ComposeOp, In, Sample, register, require_equal
from graphflow.graph.types import TensorType
from graphflow.graph.variable import Variable, as_variable
from graphflow.ops.contraction import matmul
from graphflow.ops.creation import eye, iota
from graphflow.ops.diagonals import diagonal
from graphflow.ops.elementwise import abs_, cast, clip, where
from graphflow.ops.elementwise import maximum as larger
from graphflow.ops.factorizations import LU
from graphflow.ops.joining import concatenate
from graphflow.ops.logic import greater, not_equal
from graphflow.ops.matrices import (
    Grads,
    Lapack,
    as_matrices,
    columns,
    largest,
    mm,
    mt,
    reciprocal_or_zero,
    square_matrices,
)
from graphflow.ops.public import deferring
from graphflow.ops.reduction import prod, sum_
from graphflow.ops.rounding import ceil, sign
from graphflow.ops.shape import broadcast_to, expand_dims, squeeze
from graphflow.ops.solving import Solve, inv, solve
from graphflow.ops.spectral import svd
from graphflow.ops.transcendental import exp2, log, log2


# --- determinants ------------------------------------------------------------------------------------
def _parity(pivots: Variable) -> Variable:
    """-1 where the exchanges of rows are an odd number."""
    exchanged = sum_(cast(not_equal(pivots, iota((pivots.shape[-1],), 0, "int32")), "int32"), axis=-1)
    return 1 - 2 * (exchanged % 2)


def _inverse_transposed(x: Variable) -> Variable:
    result: Variable = Solve(x.dtype)(mt(x), broadcast_to(eye(x.shape[-1], dtype=x.dtype), x.shape))
    return result


@register
class Det(ComposeOp):
    """The determinant, by the factors L U; its derivative is det(A) A^-T (Giles 2008, 2.2.4), which a singular A lacks."""

    name = "det"

    def infer(self, *inputs: TensorType) -> TensorType:
        return TensorType(inputs[0].dtype, inputs[0].known_shape[:1])

    def expand(self, *inputs: Variable) -> Variable:
        packed, pivots, _ = LU(inputs[0].dtype)(inputs[0])
        return prod(diagonal(packed, 0, 1, 2), axis=-1) * cast(_parity(pivots), packed.dtype)

    def reference(self, *arrays: Any) -> Any:
        return np.linalg.det(arrays[0])

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        if grads[0] is None:
            return (None,)
        return (expand_dims(grads[0] * outputs[0], (1, 2)) * _inverse_transposed(inputs[0]),)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(lambda x: det(_near_identity(x)), (In(("m", "n", "n")),), rtol=1e-4, name="batch")
        yield Sample(det, (In((3, 3)),), rtol=1e-4, name="one")


@register
class LogDet(ComposeOp):
    """(sign, log |det|), by the factors L U; the derivative of the logarithm is A^-T."""

    name = "slogdet"

    def infer(self, *inputs: TensorType) -> tuple[TensorType, ...]:
        one = TensorType(inputs[0].dtype, inputs[0].known_shape[:1])
        return one, one

    def expand(self, *inputs: Variable) -> tuple[Variable, ...]:
        packed, pivots, _ = LU(inputs[0].dtype)(inputs[0])
        pivot = diagonal(packed, 0, 1, 2)
        return prod(sign(pivot), axis=-1) * cast(_parity(pivots), packed.dtype), sum_(log(abs_(pivot)), axis=-1)

    def reference(self, *arrays: Any) -> Any:
        return tuple(np.linalg.slogdet(arrays[0]))

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        g = grads[1]
        return (None if g is None else expand_dims(g, (1, 2)) * _inverse_transposed(inputs[0]),)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(lambda x: slogdet(_near_identity(x))[1], (In(("m", "n", "n")),), rtol=1e-4, name="logarithm")
        yield Sample(lambda x: slogdet(x)[0], (In((3, 4, 4)),), grad=False, name="sign")


def _near_identity(x: Variable) -> Variable:
    return x * 0.05 + eye(x.shape[-1], dtype=x.dtype)


@deferring
def det(a: Any) -> Variable:
    """The determinants of square matrices; 1 for those of size 0.  The gradient at a singular matrix fails the run."""
    matrices, back = square_matrices(a, "det")
    return _scalars(Det()(matrices), back)


@deferring
def slogdet(a: Any) -> tuple[Variable, Variable]:
    """(sign, logabsdet) of square matrices, as numpy.linalg.slogdet: (0, -inf) for singular ones."""
    matrices, back = square_matrices(a, "slogdet")
    signs, logarithms = LogDet()(matrices)
    return _scalars(signs, back), _scalars(logarithms, back)


def _scalars(x: Variable, back: Any) -> Variable:
    """A number for each matrix."""
    return squeeze(back(expand_dims(x, (1, 2))), (-2, -1))


# --- the pseudo-inverse ------------------------------------------------------------------------------
@register
class Pinv(ComposeOp):
    """The Moore-Penrose inverse without singular values up to `cutoff` times the largest one.

    Derivative, at constant rank: Golub and Pereyra 1973, "The differentiation of pseudo-inverses and nonlinear least
    squares problems whose variables separate", eq. 4.12.
    """

    name = "pinv"
    cutoff: float | None  # None: the epsilon of the dtype times the larger side

    def infer(self, *inputs: TensorType) -> TensorType:
        batch, m, n = inputs[0].known_shape
        return TensorType(inputs[0].dtype, (batch, n, m))

    def expand(self, *inputs: Variable) -> Variable:
        u, s, vt = svd(inputs[0], full_matrices=False)
        kept = greater(s, threshold(inputs[0], s, self.cutoff))
        return mm(mt(vt) * columns(where(kept, reciprocal_or_zero(s), 0)), mt(u))

    def reference(self, *arrays: Any) -> Any:
        x = arrays[0]
        return np.linalg.pinv(x, max(x.shape[1:]) * float(np.finfo(x.dtype).eps) if self.cutoff is None else self.cutoff)

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        (a,), (p,), (g,) = inputs, outputs, grads
        if g is None:
            return (None,)
        rows, inner = eye(a.shape[1], dtype=a.dtype) - mm(a, p), eye(a.shape[2], dtype=a.dtype) - mm(p, a)
        return (mm(rows, mt(g), p, mt(p)) + mm(mt(p), p, mt(g), inner) - mm(mt(p), g, mt(p)),)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        for axes in ((2, 4, 3), (3, 5)):
            yield Sample(lambda x: pinv(x * 0.1 + eye(x.shape[-2], x.shape[-1], dtype=x.dtype)), (In(axes),), rtol=1e-4, name=f"{axes[-2]} x {axes[-1]}")
        yield Sample(lambda x: pinv(matmul(x, mt(x)), rtol=1e-4), (In((4, 2)),), grad=False, rtol=1e-3, name="deficient")


def threshold(x: Variable, s: Variable, cutoff: float | None) -> Variable:
    """The largest of the singular values s of x times the cutoff, for each matrix: (batch, 1)."""
    if cutoff is not None:
        return largest(s) * cutoff
    return largest(s) * maximum(x.shape[-2], x.shape[-1]) * float(np.finfo(s.dtype).eps)


@deferring
def pinv(a: Any, rcond: float | None = None, hermitian: bool = False, *, rtol: float | str | None = "rcond") -> Variable:
    """The Moore-Penrose pseudo-inverse, as numpy.linalg.pinv: singular values up to rcond (1e-15) times the largest count as 0.

    `rtol` None: the epsilon of the dtype times the larger side.  `hermitian` is accepted and makes no difference.
    """
    matrices, back = as_matrices(a, "pinv")
    if rcond is None:
        rcond = 1e-15 if rtol == "rcond" else None if rtol is None else float(rtol)
    return back(Pinv(rcond)(matrices))


# --- powers and the exponential ----------------------------------------------------------------------
@deferring
def matrix_power(a: Any, n: int) -> Variable:
    """The product of n equal square matrices, by repeated squaring; n may be 0, or negative for the inverse's.

    Raises GraphError for an n that is no int.
    """
    if not isinstance(n, int | np.integer):
        raise GraphError(f"matrix_power: n is {n!r}", hint="n must be an int")
    x = as_variable(a)
    if x.ndim < 2:
        raise ShapeError(f"matrix_power: {x!r} is no matrix")
    require_equal(x.shape[-1], x.shape[-2], "matrix_power: the matrices are not square; sizes")
    if n == 0:
        return broadcast_to(eye(x.shape[-1], dtype=x.dtype), x.shape)
    power, left = (inv(x), -n) if n < 0 else (x, n)
    found: Variable | None = None
    while True:
        if left & 1:
            found = power if found is None else matmul(found, power)
        left >>= 1
        if not left:
            assert found is not None
            return found
        power = matmul(power, power)


@register
class Squarings(Lapack):
    """A matrix squared as often as the second operand says: x^(2^s)."""

    name = "squarings"
    routine = "squarings"

    def infer(self, *inputs: TensorType) -> TensorType:
        self.matrices(inputs[0])
        require_equal(inputs[1].known_shape[0], inputs[0].known_shape[0], "squarings: there is a number for each matrix; sizes")
        return inputs[0]

    def work(self, *inputs: TensorType) -> Size:
        return inputs[0].known_shape[1] * inputs[0].known_shape[2] * self.dtype.itemsize

    def matrix_flops(self, m: Size, n: Size, width: Size) -> Size:
        return 2 * n * n * n  # of one squaring: how many there are depends on values

    def reference(self, *arrays: Any) -> Any:
        x, counts = arrays[0].copy(), arrays[1]
        for b, count in enumerate(counts):
            for _ in range(int(count)):
                x[b] = x[b] @ x[b]
        return x


# Higham 2005, "The scaling and squaring method for the matrix exponential revisited", table 2.3 and eq. 2.3
THETA = 5.371920351148152
PADE = tuple(math.factorial(26 - j) * math.factorial(13) / (math.factorial(26) * math.factorial(13 - j) * math.factorial(j)) for j in range(14))
MOST = 1100  # squarings, which every finite norm is below


@register
class Expm(ComposeOp):
    """The matrix exponential: Pade approximant of degree 13 of A / 2^s, squared s times.

    Derivative: the block beside the diagonal of the exponential of ((A^T, G), (0, A^T)) (Mathias 1996, "A chain rule for
    matrix functions and applications", theorem 2.1), so derivatives of any order are exponentials.
    """

    name = "expm"

    def infer(self, *inputs: TensorType) -> TensorType:
        return inputs[0]

    def expand(self, *inputs: Variable) -> Variable:
        (a,) = inputs
        norm = largest(sum_(abs_(a), axis=1))
        count = clip(ceil(log2(larger(norm, THETA) / THETA)), 0, MOST)
        approximant = _pade(a * expand_dims(exp2(-count), 2))
        result: Variable = Squarings(a.dtype)(approximant, cast(squeeze(count, 1), "int32"))
        return result

    def reference(self, *arrays: Any) -> Any:
        x = arrays[0].astype(np.float64)
        norm = np.abs(x).sum(axis=1).max(axis=1, initial=0)
        with np.errstate(all="ignore"):
            count = np.clip(np.ceil(np.log2(np.maximum(norm, 1) * 64)), 0, MOST)
        scaled = x / np.exp2(count)[:, None, None]  # below 1 / 64: 12 terms of Taylor's series are below 1e-29
        unit = np.broadcast_to(np.eye(x.shape[1]), x.shape)
        found = unit
        for j in range(12, 0, -1):
            found = unit + scaled @ found / j
        return Squarings(np.dtype("float64")).reference(np.array(found), count).astype(arrays[0].dtype)

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        (a,), (g,) = inputs, grads
        if g is None:
            return (None,)
        n, back = a.shape[1], mt(a)
        block = concatenate([concatenate([back, g], 2), concatenate([g * 0, back], 2)], 1)
        found: Variable = Expm()(block)
        return (found[:, :n, n:],)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(expm, (In(("m", "n", "n"), low=-0.3, high=0.3),), rtol=2e-5, name="small")
        yield Sample(lambda x: expm(x * 5), (In((2, 3, 3)),), rtol=1e-3, name="squared")


def _pade(a: Variable) -> Variable:
    b = PADE
    unit = eye(a.shape[1], dtype=a.dtype)
    a2 = mm(a, a)
    a4 = mm(a2, a2)
    a6 = mm(a4, a2)
    odd = mm(a, mm(a6, a6 * b[13] + a4 * b[11] + a2 * b[9]) + a6 * b[7] + a4 * b[5] + a2 * b[3] + unit * b[1])
    even = mm(a6, a6 * b[12] + a4 * b[10] + a2 * b[8]) + a6 * b[6] + a4 * b[4] + a2 * b[2] + unit
    return solve(even - odd, even + odd)


@deferring
def expm(a: Any) -> Variable:
    """The exponentials of square matrices, as scipy.linalg.expm."""
    matrices, back = square_matrices(a, "expm")
    return back(Expm()(matrices))
