"""pow, rsqrt, fmod."""

from __future__ import annotations

from graphflow.compiler.kernel import F32, F64, Expr, cast
from graphflow.compiler.math.exponential import exp2
from graphflow.compiler.math.floating import (
    INF,
    NAN,
    Coefficients,
    Pair,
    absolute,
    at_least,
    at_most,
    choose,
    fast_two_sum,
    format_of,
    muladd,
    polynomial,
    power_of_two,
    rint,
    sqrt,
    two_product,
    with_sign,
)
from graphflow.compiler.math.logarithm import positive
from graphflow.graph.types import DType

# ((artanh s / s - 1) / s^2 - 1/3) / s^2 as a polynomial in s^2, |s| <= 0.1716: 2^-36.1 and 2^-65.6 of artanh s / s
ARTANH: dict[DType, Coefficients] = {
    F32: (0.20000045, 0.14276244, 0.116535),
    F64: (0.20000000000000193, 0.14285714285435933, 0.11111111198852165, 0.09090897015633084, 0.07693174754457932, 0.06632803402392558, 0.06560113879373605),
}
# 1/3 and 2 / ln 2, each as its nearest float and the rest
THIRD = {F32: (0.3333333432674408, -9.934107462565104e-09), F64: (0.3333333333333333, 1.850371707708594e-17)}
TWO_LOG2E = {F32: (2.885390043258667, 3.851925982253235e-08), F64: (2.8853900817779268, 4.0710547481862066e-17)}
# squarings of 2^k that reach every distance of exponents when k < digits
SQUARINGS = {F32: 4, F64: 6}


def multiply(a: Pair, b: Pair) -> Pair:
    """The product of two unevaluated sums."""
    p, e = two_product(a[0], b[0])
    return fast_two_sum(p, muladd(a[0], b[1], muladd(a[1], b[0], e)))


def log2_pair(a: Expr) -> Pair:
    """log2 a of a positive number to about twice its precision: n + 2 log2(e) artanh(f / (2 + f))."""
    fmt = format_of(a)
    n, f = positive(a)
    d, d_rest = fast_two_sum(fmt.const(2.0), f)
    inverse = 1.0 / d
    s = f * inverse
    p, p_rest = two_product(s, d)
    s_rest = (((f - p) - p_rest) - s * d_rest) * inverse
    u = multiply((s, s_rest), (s, s_rest))
    third, third_rest = THIRD[a.dtype]
    q, q_rest = fast_two_sum(fmt.const(third), u[0] * polynomial(u[0], ARTANH[a.dtype]))
    t = multiply((s, s_rest), multiply(u, (q, q_rest + third_rest)))
    high, low = fast_two_sum(s, t[0])
    log2e, log2e_rest = TWO_LOG2E[a.dtype]
    g = multiply((high, low + (t[1] + s_rest)), (fmt.const(log2e), fmt.const(log2e_rest)))
    whole, rest = fast_two_sum(n, g[0])
    return fast_two_sum(whole, rest + g[1])


def pow(x: Expr, y: Expr) -> Expr:
    """2^(y log2 |x|) with the sign and the exceptions of C99 F.9.4.4."""
    f = format_of(x)
    a = absolute(x)
    z, z_rest = log2_pair(a)
    bound = 2.0 ** (f.digits + 12)  # beyond it every power of x != 1 over- or underflows
    power = at_most(at_least(y, -bound), bound)
    w, w_rest = two_product(power, z)
    r = exp2(w, muladd(power, z_rest, w_rest))
    half = 0.5 * y
    integer = rint(y).eq(y)
    odd = integer & rint(half).ne(half)
    negative = x < 0.0
    r = choose(negative & ~integer & (a < INF), NAN, r)
    extreme = a.eq(0.0) | a.eq(INF)
    r = choose(extreme, choose(a.eq(0.0) ^ (y < 0.0), 0.0, f.const(INF)), r)
    r = choose(odd, with_sign(absolute(r), x), r)
    r = choose(x.ne(x) | y.ne(y), NAN, r)
    return choose(y.eq(0.0) | x.eq(1.0), 1.0, r)


def rsqrt(x: Expr) -> Expr:
    return 1.0 / sqrt(x)


def parts(a: Expr) -> Pair:
    """(m, e) with a = m 2^(e - bias - digits), m an integer of full length, for a > 0."""
    f = format_of(a)
    subnormal = a < f.tiny
    bits = choose(subnormal, a * 2.0**f.digits, a).bits(f.integer)
    exponent = (bits >> f.digits) - choose(subnormal, f.digits, f.whole(0))
    return (bits & ((1 << f.digits) - 1)) | (1 << f.digits), exponent


def fmod(x: Expr, y: Expr) -> Expr:
    """x - trunc(x / y) y, exact: m_x 2^d modulo m_y, with 2^d by squaring and doubling.

    A product of residues is taken modulo the word; minus the rounded quotient times m_y it
    is a small multiple of m_y away from the residue, which a second quotient removes.
    """
    f = format_of(x)
    a, b = absolute(x), absolute(y)
    (m_a, e_a), (m, e_b) = parts(a), parts(b)
    inverse = 1.0 / cast(f.dtype, m)

    def modular(p: Expr, q: Expr) -> Expr:
        estimate = rint(cast(f.dtype, p) * cast(f.dtype, q) * inverse)
        r = p * q - cast(f.integer, estimate) * m
        return r - cast(f.integer, rint(cast(f.dtype, r) * inverse)) * m

    d = e_a - e_b
    d = choose(d < 0, 0, d)
    steps = SQUARINGS[x.dtype]
    residue = f.whole(1) << (d >> steps)
    for step in reversed(range(steps)):
        residue = modular(residue, residue << ((d >> step) & 1))
    r = modular(m_a, residue)
    r = r + choose(r < 0, m, f.whole(0))
    k = e_b - (f.bias + f.digits)
    half = k >> 1
    rest = cast(f.dtype, r) * power_of_two(half) * power_of_two(k - half)
    result = choose(a < b, x, with_sign(rest, x))
    return choose((a < INF) & (b > 0.0), result, f.const(NAN))
