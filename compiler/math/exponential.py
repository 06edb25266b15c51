"""exp, exp2, expm1, sinh, cosh, tanh, sigmoid.

x = n ln2 + r with n an integer and |r| <= ln2 / 2; e^r is a polynomial and 2^n is put
together from bits, in two factors where the result may overflow or be subnormal.

Coefficients here and in the sibling files: minimax fits (Remez exchange at 200 bits) of
the quantity named beside them, rounded one by one from the lowest power with a new fit
of the rest after each; the bound is that of the fit, relative to the function.
"""

from __future__ import annotations

from typing import NamedTuple

from graphflow.compiler.kernel import F32, F64, Expr
from graphflow.compiler.math.floating import (
    Coefficients,
    absolute,
    at_least,
    at_most,
    choose,
    format_of,
    muladd,
    polynomial,
    with_sign,
)
from graphflow.graph.types import DType

LOG2E = 1.4426950408889634


class Exponential(NamedTuple):
    """Constants of one format.  n * ln2_high is exact for every n that occurs."""

    ln2_high: float
    ln2_low: float
    low: float  # exp is 0 below
    high: float  # exp is inf above
    q: Coefficients  # (e^r - 1 - r) / r^2, |r| <= 0.3473


EXPONENTIAL: dict[DType, Exponential] = {
    F32: Exponential(  # 2^-28.1
        0.693145751953125, 1.4286068203094172e-06, -104.0, 89.0,
        (0.49999994, 0.16666515, 0.041668244, 0.0083692465, 0.0013823034),
    ),
    F64: Exponential(  # 2^-63.6
        0.6931471805598903, 5.497923018708371e-14, -746.0, 710.0,
        (
            0.5, 0.16666666666666688, 0.04166666666666682, 0.008333333333314003, 0.0013888888888788137, 0.0001984126990285758,
            2.480158752336671e-05, 2.7557229348142495e-06, 2.755711076101569e-07, 2.5113671643825482e-08, 2.0961209030016737e-09,
        ),
    ),
}  # fmt: skip

# (2^r - 1) / r for |r| <= 0.501, and the bounds beyond which exp2 is 0 and inf
EXP2: dict[DType, tuple[float, float, Coefficients]] = {
    F32: (-151.0, 129.0, (0.69314724, 0.24022655, 0.055502728, 0.009617067, 0.0013417746, 0.00015822385)),  # 2^-27.5
    F64: (  # 2^-59.7
        -1076.0, 1025.0,
        (
            0.6931471805599453, 0.2402265069591007, 0.05550410866482337, 0.009618129107630222, 0.0013333558146035912, 0.00015403530388921608,
            1.5252734163735508e-05, 1.321549128300936e-06, 1.0177933896037266e-07, 7.052977207187211e-09, 4.473034334966042e-10, 2.8674556893251586e-11,
        ),
    ),
}  # fmt: skip

# (sinh x / x - 1) / x^2 as a polynomial in x^2, |x| <= 1
SINH: dict[DType, Coefficients] = {
    F32: (0.1666672, 0.008330149, 0.00020383889),  # 2^-25.2
    F64: (  # 2^-61.8
        0.16666666666666669, 0.008333333333332912, 0.00019841269841593408, 2.7557319106717484e-06, 2.5052131016999316e-08, 1.605665649434761e-10,
        7.776725418765385e-13,
    ),
}  # fmt: skip

# (tanh x / x - 1) / x^2 as a polynomial in x^2, |x| <= 0.55, and where tanh is 1
TANH: dict[DType, tuple[float, Coefficients]] = {
    F32: (9.1, (-0.33332944, 0.1332066, -0.052667744, 0.016429992)),  # 2^-24.7
    F64: (  # 2^-60.4
        19.1,
        (
            -0.33333333333333315, 0.13333333333328581, -0.053968253964648216, 0.021869488406798095, -0.008863232894660044, 0.0035920946256859506,
            -0.0014555577593441638, 0.0005885000138098193, -0.0002335108216245369, 8.348741874813049e-05, -1.959278523599846e-05,
        ),
    ),
}  # fmt: skip
TANH_SPLIT = 0.55


def reduce(x: Expr, bias: int) -> tuple[Expr, Expr, Expr]:
    """x = n ln2 + r + tail: r, tail and an integer with n + bias in its low bits."""
    f, t = format_of(x), EXPONENTIAL[x.dtype]
    shifted = muladd(x, LOG2E, f.rounder + bias)
    n = shifted - (f.rounder + bias)
    high = muladd(n, -t.ln2_high, x)
    r = muladd(n, -t.ln2_low, high)
    return r, muladd(n, -t.ln2_low, high - r), shifted.bits(f.integer)


def exponent_bits(k: Expr, like: Expr) -> Expr:
    """2**(k - bias) from the low bits of k."""
    f = format_of(like)
    return (k << f.digits).bits(f.dtype)


def scale(p: Expr, k: Expr) -> Expr:
    """p * 2**(k - 2 bias), rounded once, also where that overflows or is subnormal."""
    half = k >> 1
    return p * exponent_bits(half, p) * exponent_bits(k - half, p)


def exp_slope(r: Expr) -> Expr:
    """(e^r - 1) / r for |r| <= ln2 / 2."""
    return muladd(r, polynomial(r, EXPONENTIAL[r.dtype].q), 1.0)


def exp_reduced(r: Expr) -> Expr:
    """e^r for |r| <= ln2 / 2."""
    return muladd(r, exp_slope(r), 1.0)


def exp_scaled(x: Expr, shift: int = 0) -> Expr:
    """2**shift * e^x for x between the bounds of the table."""
    r, _, k = reduce(x, 2 * format_of(x).bias + shift)
    return scale(exp_reduced(r), k)


def exp_of_negative(x: Expr) -> Expr:
    """e^x for x <= 0: 2^n fits into one factor when a constant one takes the result into the subnormals."""
    f = format_of(x)
    shift = (f.bias + 1) // 2
    r, _, k = reduce(at_least(x, EXPONENTIAL[x.dtype].low), f.bias + shift)
    return exp_reduced(r) * exponent_bits(k, x) * 2.0**-shift


def expm1_halved(x: Expr) -> Expr:
    """(e^x - 1) / 2 for -40 <= x <= the upper bound of the table; x = 0 loses its sign."""
    r, tail, k = reduce(x, format_of(x).bias - 1)
    s = exponent_bits(k, x)  # 2**(n - 1)
    return muladd(s, r, s - 0.5) + s * muladd(r * r, polynomial(r, EXPONENTIAL[x.dtype].q), tail)


def exp(x: Expr) -> Expr:
    t = EXPONENTIAL[x.dtype]
    return exp_scaled(at_most(at_least(x, t.low), t.high))


def exp2(x: Expr, rest: Expr | None = None) -> Expr:
    """2^x, or 2^(x + rest) for a small rest."""
    f, (low, high, q) = format_of(x), EXP2[x.dtype]
    bounded = at_most(at_least(x, low), high)
    origin = f.rounder + 2 * f.bias
    shifted = bounded + origin
    r = bounded - (shifted - origin)
    if rest is not None:
        r = r + choose(bounded.eq(x), rest, f.const(0.0))
    return scale(muladd(r, polynomial(r, q), 1.0), shifted.bits(f.integer))


def expm1(x: Expr) -> Expr:
    half = expm1_halved(at_most(at_least(x, -40.0), EXPONENTIAL[x.dtype].high))
    return choose(absolute(x) < 2.0**-60, x, half + half)


def sinh(x: Expr) -> Expr:
    a = absolute(x)
    e = exp_scaled(at_most(a, EXPONENTIAL[x.dtype].high + 1), -1)
    u = x * x
    return choose(a < 1.0, muladd(x * u, polynomial(u, SINH[x.dtype]), x), with_sign(e - 0.25 / e, x))


def cosh(x: Expr) -> Expr:
    e = exp_scaled(at_most(absolute(x), EXPONENTIAL[x.dtype].high + 1), -1)
    return e + 0.25 / e


def tanh(x: Expr) -> Expr:
    """x + x^3 P(x^2) near 0, 1 - 2 / (e^2x + 1) beyond."""
    f, (one, p) = format_of(x), TANH[x.dtype]
    a = at_most(absolute(x), one)
    r, _, k = reduce(a + a, f.bias)
    far = 1.0 - 2.0 / muladd(exp_reduced(r), exponent_bits(k, x), 1.0)
    u = a * a
    near = muladd(a * u, polynomial(u, p), a)
    return with_sign(choose(a < TANH_SPLIT, near, far), x)


def sigmoid(x: Expr) -> Expr:
    """With e = e^-|x| and q = e / (1 + e): 1 - q right of 0, e - e q left."""
    e = exp_of_negative(-absolute(x))
    q = e / (1.0 + e)
    whole = choose(x < 0.0, e, format_of(x).const(1.0))
    return muladd(-whole, q, whole)
