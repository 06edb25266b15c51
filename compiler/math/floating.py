"""The pieces elementary functions are made of: float formats, polynomials, bit surgery, error-free sums.

Nothing here relies on a fused `muladd`: products that must be exact are formed from
halves of the significand (`head`), after T. J. Dekker, "A floating-point technique for
extending the available precision", Numer. Math. 18 (1971).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from graphflow.compiler.kernel import F32, F64, Expr, Operand, call, const, select
from graphflow.graph.types import DType

Pair = tuple[Expr, Expr]  # an unevaluated sum, the second part at most an ulp of the first
Coefficients = Sequence[float]  # of a polynomial, lowest power first
INF = float("inf")
NAN = float("nan")


@dataclass(frozen=True)
class Format:
    """An IEEE binary format: `digits` stored bits of the significand, exponents offset by `bias`."""

    dtype: DType
    integer: DType
    unsigned: DType
    digits: int
    bias: int

    @property
    def width(self) -> int:
        return self.integer.itemsize * 8

    @property
    def rounder(self) -> float:
        """1.5 * 2**digits: adding it leaves the nearest integer in the low bits of the sum."""
        return 1.5 * 2.0**self.digits

    @property
    def tiny(self) -> float:
        """The smallest normal number."""
        return 2.0 ** (1 - self.bias)

    @property
    def sign(self) -> int:
        """The bits of -0.0."""
        return 1 << (self.width - 1)

    def const(self, value: float) -> Expr:
        return const(self.dtype, value)

    def whole(self, value: int) -> Expr:
        """A constant integer as wide as the format."""
        return const(self.integer, value)


FORMATS: dict[DType, Format] = {
    F32: Format(F32, np.dtype("int32"), np.dtype("uint32"), 23, 127),
    F64: Format(F64, np.dtype("int64"), np.dtype("uint64"), 52, 1023),
}


def format_of(x: Expr) -> Format:
    return FORMATS[x.dtype]


# --- values ----------------------------------------------------------------------------------
def muladd(a: Expr, b: Operand, c: Operand) -> Expr:
    return call("muladd", a, b, c)


def absolute(x: Expr) -> Expr:
    return call("abs", x)


def sqrt(x: Expr) -> Expr:
    return call("sqrt", x)


def rint(x: Expr) -> Expr:
    return call("rint", x)


def choose(cond: Expr, a: Operand, b: Expr) -> Expr:
    """`select` whose first side may be a number."""
    return select(cond, a if isinstance(a, Expr) else const(b.dtype, a), b)


def polynomial(x: Expr, coefficients: Coefficients) -> Expr:
    """c0 + c1 x + c2 x^2 + ... by Horner's rule."""
    result: Expr = const(x.dtype, coefficients[-1])
    for c in reversed(coefficients[:-1]):
        result = muladd(result, x, c)
    return result


def at_least(x: Expr, low: float) -> Expr:
    """max(x, low) that leaves NaN alone: one instruction where `max` proper takes three."""
    return choose(x < low, low, x)


def at_most(x: Expr, high: float) -> Expr:
    """min(x, high) that leaves NaN alone."""
    return choose(x > high, high, x)


def with_sign(magnitude: Expr, source: Expr) -> Expr:
    """`magnitude` (not negative) with the sign of `source`, that of zeros and NaNs included."""
    f = format_of(magnitude)
    sign = source.bits(f.unsigned) & f.sign
    return (magnitude.bits(f.unsigned) | sign).bits(f.dtype)


def power_of_two(n: Expr) -> Expr:
    """2**n of an integer n in the range of normal numbers."""
    f = FORMATS[F32 if n.dtype.itemsize == 4 else F64]
    return ((n + f.bias) << f.digits).bits(f.dtype)


# --- error-free transformations --------------------------------------------------------------
def head(x: Expr) -> Expr:
    """x cut to the upper half of its significand; two heads multiply exactly, and x - head(x) is exact."""
    f = format_of(x)
    cut = (f.digits + 2) // 2
    return (x.bits(f.unsigned) & (-1 << cut)).bits(f.dtype)


def fast_two_sum(a: Expr, b: Operand) -> Pair:
    """a + b as (rounded sum, error), for |a| >= |b| or a = 0."""
    s = a + b
    return s, (a - s) + b


def two_sum(a: Expr, b: Expr) -> Pair:
    """a + b as (rounded sum, error)."""
    s = a + b
    t = s - a
    return s, (a - (s - t)) + (b - t)


def two_product(a: Expr, b: Expr) -> Pair:
    """a * b as (rounded product, error), while no part over- or underflows."""
    p = a * b
    a1, b1 = head(a), head(b)
    a2, b2 = a - a1, b - b1
    return p, muladd(a2, b2, muladd(a2, b1, muladd(a1, b2, a1 * b1 - p)))
