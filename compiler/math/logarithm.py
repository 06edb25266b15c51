"""log, log2, log10, log1p, softplus, asinh, acosh, atanh.

x = 2^n (1 + f) with sqrt(1/2) <= 1 + f < sqrt(2); log(1 + f) = f + correction(f).
"""

from __future__ import annotations

from typing import NamedTuple

from graphflow.compiler.kernel import F32, F64, Expr
from graphflow.compiler.math.exponential import exp_of_negative
from graphflow.compiler.math.floating import (
    INF,
    NAN,
    Coefficients,
    absolute,
    at_least,
    choose,
    fast_two_sum,
    format_of,
    head,
    muladd,
    polynomial,
    sqrt,
    two_sum,
    with_sign,
)
from graphflow.graph.types import DType

SQRT_HALF = {F32: 0x3F3504F3, F64: 0x3FE6A09E667F3BCD}  # bits

# F32: (log(1 + f) - f) / f^2, 2^-27.8; F64: (2 artanh s - 2 s) / s^3 as a polynomial in s^2, s = f / (2 + f), 2^-59.3
LOG: dict[DType, Coefficients] = {
    F32: (-0.49999988, 0.33333325, -0.25001597, 0.20001991, -0.16608861, 0.14181487, -0.13244098, 0.12906244, -0.07621043),
    F64: (0.666666666666671, 0.3999999999954211, 0.2857142871865394, 0.22222200703332284, 0.181834648187764, 0.15316381862939593, 0.14774300624510617),
}


class Base(NamedTuple):
    """log_b(2) as a number that multiplies every exponent exactly and the rest; log_b(e) as a head and the rest."""

    two_high: float
    two_low: float
    e_high: float
    e_low: float


NATURAL = {F32: Base(0.693145751953125, 1.4286068203094173e-06, 1.0, 0.0), F64: Base(0.693147180559663, 2.8235290563031577e-13, 1.0, 0.0)}
BINARY = {F32: Base(1.0, 0.0, 1.4423828125, 0.00031222838896340733), F64: Base(1.0, 0.0, 1.4426950216293335, 1.9259629911266175e-08)}
DECIMAL = {
    F32: Base(0.301025390625, 4.605038981195214e-06, 0.4342041015625, 9.038034075182765e-05),
    F64: Base(0.30102999566383914, 1.42050232272661e-13, 0.4342944771051407, 4.798111141615973e-09),
}


def decompose(x: Expr, rounder: Expr) -> tuple[Expr, Expr]:
    """(n, f) of a positive normal x; `rounder` is that of the format plus what to take from n."""
    f = format_of(x)
    bits = x.bits(f.integer)
    offset = bits - SQRT_HALF[x.dtype]
    n = ((offset >> f.digits) + f.const(f.rounder).bits(f.integer)).bits(f.dtype) - rounder
    mantissa = (offset & ((1 << f.digits) - 1)) + SQRT_HALF[x.dtype]
    return n, mantissa.bits(f.dtype) - 1.0


def correction(f: Expr) -> Expr:
    """log(1 + f) - f."""
    if f.dtype == F32:
        return f * f * polynomial(f, LOG[F32])
    half = 0.5 * f * f
    s = f / (2.0 + f)
    u = s * s
    return muladd(s, muladd(u, polynomial(u, LOG[F64]), half), -half)


def positive(x: Expr) -> tuple[Expr, Expr]:
    """(n, f) of a positive x, subnormal or not."""
    f = format_of(x)
    subnormal = x < f.tiny
    return decompose(choose(subnormal, x * 2.0**f.digits, x), choose(subnormal, f.rounder + f.digits, f.const(f.rounder)))


def with_poles(x: Expr, y: Expr) -> Expr:
    """The logarithm y of x with log(inf) = inf, log(0) = -inf, and NaN below and for NaN."""
    f = format_of(x)
    y = choose(x.eq(INF), x, y)
    return choose(x > 0.0, y, choose(x.eq(0.0), -INF, f.const(NAN)))


def log_positive(x: Expr) -> Expr:
    """log of a finite x > 0."""
    n, f = positive(x)
    b = NATURAL[x.dtype]
    return muladd(n, b.two_high, f + muladd(n, b.two_low, correction(f)))


def log(x: Expr) -> Expr:
    return with_poles(x, log_positive(x))


def log_to(base: Base, x: Expr) -> Expr:
    """With the sum n log(2) + log(1 + f) kept in two parts until the end."""
    n, f = positive(x)
    s, e = fast_two_sum(f, correction(f))
    high = head(s)
    low = (s - high) + e
    whole, rest = fast_two_sum(n * base.two_high, high * base.e_high)
    rest = rest + muladd(n, base.two_low, muladd(high, base.e_low, low * (base.e_high + base.e_low)))
    return with_poles(x, whole + rest)


def log2(x: Expr) -> Expr:
    return log_to(BINARY[x.dtype], x)


def log10(x: Expr) -> Expr:
    return log_to(DECIMAL[x.dtype], x)


def log_of_sum(high: Expr, low: Expr, doublings: Expr | None = None) -> Expr:
    """log(high + low) + doublings * log(2) for a normal high > 0 and a small low."""
    f = format_of(high)
    n, r = decompose(high, f.const(f.rounder))
    n = n if doublings is None else n + doublings
    b = NATURAL[high.dtype]
    return muladd(n, b.two_high, r + (correction(r) + muladd(n, b.two_low, low / high)))


def log1p(x: Expr) -> Expr:
    f = format_of(x)
    one = f.const(1.0)
    y = log_of_sum(*two_sum(one, x))
    y = choose(absolute(x) < 2.0**-60, x, y)
    y = choose(x.eq(INF), x, y)
    return choose(x > -1.0, y, choose(x.eq(-1.0), -INF, f.const(NAN)))


def softplus(x: Expr) -> Expr:
    """log(1 + e^x) = max(x, 0) + log(1 + e^-|x|)."""
    e = exp_of_negative(-absolute(x))
    return at_least(x, 0.0) + log_of_sum(*fast_two_sum(format_of(x).const(1.0), e))


def log1p_of_sum(a: Expr, high: Expr, low: Expr) -> Expr:
    """log(1 + high + low) where a is moderate; log(2 a) where a is so large that this is the same."""
    f = format_of(a)
    large = a > 2.0 ** (f.digits + 8)
    high, low = two_sum(high, low)
    high, rest = two_sum(f.const(1.0), high)
    return log_of_sum(choose(large, a, high), choose(large, 0.0, rest + low), choose(large, 1.0, f.const(0.0)))


def asinh(x: Expr) -> Expr:
    """log(1 + a + a^2 / (1 + sqrt(a^2 + 1))), a = |x|."""
    a = absolute(x)
    square = a * a
    y = log1p_of_sum(a, a, square / (1.0 + sqrt(square + 1.0)))
    y = choose(a.eq(INF), a, y)
    return choose(a < 2.0**-30, x, with_sign(y, x))


def acosh(x: Expr) -> Expr:
    """log(1 + t + sqrt(2 t + t^2)), t = x - 1."""
    t = x - 1.0
    y = choose(x.eq(INF), x, log1p_of_sum(x, sqrt(muladd(t, t, t + t)), t))
    return choose(x >= 1.0, y, format_of(x).const(NAN))


def atanh(x: Expr) -> Expr:
    """log(1 + 2 a + 2 a^2 / (1 - a)) / 2, a = |x|."""
    a = absolute(x)
    double = a + a
    y = 0.5 * log1p_of_sum(a, double, double * (a / (1.0 - a)))
    y = choose(a < 1.0, y, choose(a.eq(1.0), INF, format_of(x).const(NAN)))
    return choose(a < 2.0**-30, x, with_sign(y, x))
