"""lgamma, digamma, trigamma.

Large arguments take the asymptotic series, its correction a minimax polynomial in 1 / x^2;
smaller ones are brought to it, or to [1.5, 2.5], by the recurrence, and negative ones by
reflection (NIST DLMF 5.5.1-5.5.4, 5.11.1-5.11.2).  Errors are relative to max(1, |y|): all three
functions, or the terms they are summed from, have zeros that no fixed form resolves.
"""

from __future__ import annotations

from typing import NamedTuple

from graphflow.compiler.kernel import F32, F64, Expr
from graphflow.compiler.math.floating import (
    INF,
    NAN,
    Coefficients,
    absolute,
    choose,
    format_of,
    muladd,
    polynomial,
    rint,
    with_sign,
)
from graphflow.compiler.math.logarithm import log_of_sum, log_positive
from graphflow.graph.types import DType

LOG_ROOT_2PI = 0.9189385332046728


class LogGamma(NamedTuple):
    near: Coefficients  # lgamma(2 + z) / z in z + 1/4, -3/4 <= z <= 1/4
    steps: int  # the series holds from 2.25 + steps on
    series: Coefficients  # x (lgamma x - (x - 1/2) log x + x - log(2 pi) / 2) in 1 / x^2


LGAMMA: dict[DType, LogGamma] = {
    F32: LogGamma(  # 2^-24.5, 2^-34.1
        (0.3376045, 0.36052796, -0.08609237, 0.030235484, -0.012451755, 0.005550038, -0.002758066, 0.0015364249, -0.000535553),
        2,
        (0.08333331, -0.0027757804, 0.0007335667),
    ),
    F64: LogGamma(  # 2^-54.5, 2^-58.1
        (
            0.3376044840819422, 0.3605281221403245, -0.08609125122635197, 0.030229978825764024, -0.012471680012451403, 0.005606724835077361,
            -0.0026545436565178914, 0.001300109187353395, -0.0006518948927433797, 0.0003325063658558667, -0.00017177957091325918, 8.964689711770405e-05,
            -4.7397540208667404e-05, 2.513646155281696e-05, -1.2102459396240752e-05, 6.619840723901449e-06, -7.975042753277478e-06, 3.0147918892136006e-06,
            6.750325001786083e-06, -4.566049945170269e-08, -6.727655614196429e-06,
        ),
        4,
        (0.08333333333331791, -0.002777777767451494, 0.0007936483774962388, -0.0005949695821572318, 0.0008261810432937877, -0.0014504188237680743),
    ),
}  # fmt: skip


class Polygamma(NamedTuple):
    """Series in 1 / x^2 for x >= steps: (log x - 1/2x - digamma x) x^2 and (x trigamma x - 1 - 1/2x) x^2."""

    steps: int
    digamma: Coefficients
    trigamma: Coefficients


POLYGAMMA: dict[DType, Polygamma] = {
    F32: Polygamma(3, (0.083332606, -0.008291669, 0.0032649348), (0.1666663, -0.03329899, 0.022787344, -0.020370279)),  # 2^-28.0, 2^-29.6
    F64: Polygamma(  # 2^-63.1, 2^-59.0
        5,
        (
            0.08333333333333301, -0.008333333332997362, 0.0039682538480564555, -0.004166645470991231, 0.007573621431121096, -0.020960359213524325,
            0.07809782088564701, -0.3093522271896939, 0.8092043747208768,
        ),
        (
            0.166666666666661, -0.03333333332746127, 0.02380952170767896, -0.03333296187270858, 0.07571999582256929, -0.2507696669798455,
            1.0731074633984476, -4.658474547216555, 12.8328901360459,
        ),
    ),
}  # fmt: skip

# (sin(pi r) / (pi r) - 1) / r^2 and cos(pi r) as polynomials in r^2, |r| <= 1/2
SIN_PI: dict[DType, Coefficients] = {
    F32: (-1.6449333, 0.81171584, -0.19044326, 0.02471627),  # 2^-27.2
    F64: (  # 2^-61.3
        -1.6449340668482264, 0.8117424252833462, -0.19075182412167518, 0.026147847807937552, -0.0023460809132199918, 0.00014842791611411794,
        -6.972265872554517e-06, 2.451815589435528e-07,
    ),
}  # fmt: skip
COS_PI: dict[DType, Coefficients] = {
    F32: (0.99999994, -4.9347906, 4.0583587, -1.3314914, 0.21882984),  # 2^-23.9
    F64: (  # 2^-57.4
        1.0, -4.934802200544677, 4.058712126416504, -1.3352627688431513, 0.23533063011953583, -0.025806888617002186,
        0.0019295555736464805, -0.00010456456186822841, 4.147340471451077e-06,
    ),
}  # fmt: skip


def distance(x: Expr) -> Expr:
    """x less the nearest integer, exactly."""
    return x - rint(x)


def sine(r: Expr) -> Expr:
    """sin(pi r) / pi for |r| <= 1/2."""
    v = r * r
    return muladd(r * v, polynomial(v, SIN_PI[r.dtype]), r)


def lgamma_positive(x: Expr) -> Expr:
    """lgamma of a finite x > 0; one logarithm serves every range, of x, of its product with neighbours, or of 1."""
    f, t = format_of(x), LGAMMA[x.dtype]
    large = x >= 2.25 + t.steps
    z, product = x - 2.0, f.const(1.0)
    for k in range(1, t.steps + 1):
        above = x >= 1.25 + k
        product = choose(above, product * (x - float(k)), product)
        z = choose(above, x - float(2 + k), z)
    below, far_below = x < 1.25, x < 0.25
    product = choose(far_below, x * (x + 1.0), choose(below, x, product))
    z = choose(far_below, x, choose(below, x - 1.0, z))
    log = log_positive(choose(large, x, product))
    small = muladd(choose(below, -1.0, f.const(1.0)), log, z * polynomial(z + 0.25, t.near))
    inverse = 1.0 / x
    series = muladd(inverse, polynomial(inverse * inverse, t.series), LOG_ROOT_2PI - 0.5)
    return choose(large, muladd(x - 0.5, log - 1.0, series), small)


def lgamma(x: Expr) -> Expr:
    """log |gamma x|; inf at the poles and at both infinities.

    lgamma(-a) = -log(a |sin(pi a)| / pi) - lgamma(a), and lgamma(a) itself for a tiny a.
    """
    a = absolute(x)
    y = lgamma_positive(a)
    r = distance(a)
    reflected = -log_of_sum(a * absolute(sine(r)), format_of(x).const(0.0)) - y
    y = choose((x < 0.0) & (a > 2.0**-60), reflected, y)
    return choose((r.eq(0.0) & (x <= 0.0)) | a.eq(INF), INF, y)


def product(n: int) -> list[int]:
    """Coefficients of (x + 1) ... (x + n - 1), lowest first."""
    c = [1]
    for k in range(1, n):
        c = [k * a + b for a, b in zip([*c, 0], [0, *c], strict=True)]
    return c


def derivative(c: list[int]) -> list[int]:
    return [k * a for k, a in enumerate(c)][1:]


def times(a: list[int], b: list[int]) -> list[int]:
    c = [0] * (len(a) + len(b) - 1)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            c[i + j] += x * y
    return c


def digamma(x: Expr) -> Expr:
    """NaN at the negative integers, -inf at 0, inf at -0.

    The sum of 1 / (x + k), 0 < k < n, is D'(x) / D(x) with D(x) = (x + 1) ... (x + n - 1).
    digamma(x) = digamma(1 - x) - pi / tan(pi x) for x < 0.
    """
    f, t = format_of(x), POLYGAMMA[x.dtype]
    left = x < 0.0
    z = choose(left, 1.0 - x, x)
    small = z < float(t.steps)
    d = product(t.steps)
    w = choose(small, z + float(t.steps), z)
    inverse = 1.0 / w
    u = inverse * inverse
    y = log_of_sum(w, f.const(0.0)) - muladd(u, polynomial(u, t.digamma), 0.5 * inverse)
    y = choose(small, (y - polynomial(z, derivative(d)) / polynomial(z, d)) - 1.0 / z, y)
    r = distance(x)
    cotangent = polynomial(r * r, COS_PI[x.dtype]) / sine(r)  # pi / tan(pi x)
    y = choose(left, choose(r.eq(0.0), NAN, y - cotangent), y)
    y = choose(x.eq(INF), x, y)
    return choose(x.eq(0.0), with_sign(f.const(INF), -x), y)


def trigamma(x: Expr) -> Expr:
    """inf at the poles and at -inf.

    The sum of 1 / (x + k)^2, 0 < k < n, is (D'^2 - D D'') / D^2 with D as in `digamma`.
    trigamma(x) = (pi / sin(pi x))^2 - trigamma(1 - x) for x < 0.
    """
    t = POLYGAMMA[x.dtype]
    left = x < 0.0
    z = choose(left, 1.0 - x, x)
    small = z < float(t.steps)
    d = product(t.steps)
    slope = derivative(d)
    above = [a - b for a, b in zip(times(slope, slope), times(d, derivative(slope)), strict=True)]
    below = polynomial(z, d)
    w = choose(small, z + float(t.steps), z)
    inverse = 1.0 / w
    u = inverse * inverse
    y = muladd(inverse, muladd(u, polynomial(u, t.trigamma), 0.5 * inverse), inverse)
    first = 1.0 / z
    y = choose(small, muladd(first, first, y + polynomial(z, above) / (below * below)), y)
    cosecant = 1.0 / sine(distance(x))  # pi / sin(pi x)
    y = choose(left, muladd(cosecant, cosecant, -y), y)
    return choose(x.eq(-INF), INF, y)
