"""asin, acos, atan, atan2."""

from __future__ import annotations

from graphflow.compiler.kernel import F32, F64, Expr
from graphflow.compiler.math.floating import (
    INF,
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
    with_sign,
)
from graphflow.graph.types import DType

# pi / 2 as its nearest float and the rest; halves and doubles of both are exact
HALF_PI = {F32: (1.5707963705062866, -4.371138828673793e-08), F64: (1.5707963267948966, 6.123233995736766e-17)}
ATAN_NEAR, ATAN_FAR = 0.5463, 2.4142  # tan(1/2): what pi/4 is added to is then under half the result; tan(3 pi/8)

# (asin s / s - 1) / s^2 as a polynomial in s^2, s <= 1/2
ASIN: dict[DType, Coefficients] = {
    F32: (0.16666731, 0.074959494, 0.045403052, 0.0244656, 0.041736223),  # 2^-27.5
    F64: (  # 2^-59.7
        0.16666666666666702, 0.07499999999982636, 0.04464285716551404, 0.030381943076529763, 0.022372205943147466, 0.01735175640828779,
        0.01397925862258211, 0.011410578195301977, 0.010720014200572163, 0.003917593885766613, 0.021227600262254412, -0.0203616563812534,
        0.03225283494078673,
    ),
}  # fmt: skip

# (atan t / t - 1) / t^2 as a polynomial in t^2, |t| <= 0.5464
ATAN: dict[DType, Coefficients] = {
    F32: (-0.33333156, 0.19990401, -0.14123148, 0.098954655, -0.046792418),  # 2^-26.0
    F64: (  # 2^-58.7
        -0.33333333333333265, 0.19999999999972545, -0.14285714282676412, 0.11111110953529955, -0.09090904411982828, 0.07692219614451205,
        -0.06665551841163568, 0.05872530477386419, -0.05201772716011727, 0.04487947445049126, -0.03477372892477832, 0.02050746155732601,
        -0.006499548421459558,
    ),
}  # fmt: skip


def arcsine(x: Expr) -> tuple[Expr, Expr, Expr]:
    """(far, high, low): high + low is asin |x|, or asin sqrt((1 - |x|) / 2) where `far`, that is |x| > 1/2."""
    f = format_of(x)
    a = absolute(x)
    far = a > 0.5
    z = choose(far, muladd(a, -0.5, 0.5), a * a)
    s = sqrt(z)
    w = head(s)
    rest = (z - w * w) / at_least(s + w, f.tiny)  # sqrt(z) - w
    low = muladd(choose(far, s, a) * z, polynomial(z, ASIN[x.dtype]), choose(far, rest, f.const(0.0)))
    return far, choose(far, w, a), low


def asin(x: Expr) -> Expr:
    """pi/2 - 2 asin sqrt((1 - a) / 2) for a = |x| > 1/2."""
    half_pi, rest = HALF_PI[x.dtype]
    far, high, low = arcsine(x)
    s, e = fast_two_sum(format_of(x).const(half_pi), -2.0 * high)
    return with_sign(choose(far, s + (e + muladd(low, -2.0, rest)), high + low), x)


def acos(x: Expr) -> Expr:
    """pi/2 - asin x; 2 asin sqrt((1 - a) / 2) for x > 1/2, pi less that for x < -1/2."""
    f = format_of(x)
    half_pi, rest = HALF_PI[x.dtype]
    far, high, low = arcsine(x)
    left = x < 0.0
    quarters = choose(far, choose(left, 2.0, f.const(0.0)), f.const(1.0))
    factor = choose(far, choose(left, -2.0, f.const(2.0)), choose(left, 1.0, f.const(-1.0)))
    s, e = fast_two_sum(quarters * half_pi, factor * high)
    return s + (e + muladd(factor, low, quarters * rest))


def arctangent(y: Expr, x: Expr) -> Expr:
    """atan(y / x) of y, x >= 0 that are not both 0 nor both infinite; y + x must not overflow."""
    f = format_of(x)
    half_pi, rest = HALF_PI[x.dtype]
    far, near = y > x * ATAN_FAR, y <= x * ATAN_NEAR
    t = choose(far, -x, choose(near, y, y - x)) / choose(far, y, choose(near, x, y + x))
    quarters = choose(far, 1.0, choose(near, 0.0, f.const(0.5)))
    u = t * t
    return muladd(quarters, half_pi, t + muladd(t * u, polynomial(u, ATAN[x.dtype]), quarters * rest))


def atan(x: Expr) -> Expr:
    return with_sign(arctangent(absolute(x), format_of(x).const(1.0)), x)


def atan2(y: Expr, x: Expr) -> Expr:
    """The angle of (x, y); signed zeros and infinities as in C99 F.9.1.4."""
    f = format_of(x)
    half_pi, rest = HALF_PI[x.dtype]
    a, b = absolute(y), absolute(x)
    diagonal = a.eq(b) & (a.eq(0.0) | a.eq(INF))
    upper = choose(a < b, b, a)
    factor = choose(upper > 2.0 ** (f.bias - 3), 2.0**-4, choose(upper < f.tiny * 2.0**60, 2.0 ** (f.digits + 8), f.const(1.0)))
    a = choose(diagonal, choose(a.eq(0.0), 0.0, f.const(1.0)), a * factor)
    r = arctangent(a, choose(diagonal, 1.0, b * factor))
    left = x.bits(f.integer) < 0
    return with_sign(choose(left, 2 * half_pi - (r - 2 * rest), r), y)
