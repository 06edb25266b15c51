"""sin, cos, tan over the whole range: the reduction of M. Payne and R. Hanek, and polynomials on [-pi/4, pi/4].

|x| = M 2^E with an integer M.  Of the bits of 2/pi those that make multiples of 4 in
x * 2/pi are skipped, the window behind them is multiplied by M in integers, and the top two
bits of the product are the quadrant.  It is one straight line for every x, so it costs the
same near 1 as near 1e300.  (M. Payne, R. Hanek, "Radian reduction for trigonometric
functions", SIGNUM Newsletter 18, 1983.)
"""

from __future__ import annotations

import numpy as np

from graphflow.compiler.kernel import F32, F64, I32, I64, Expr, cast, const
from graphflow.compiler.math.floating import (
    FORMATS,
    INF,
    NAN,
    Coefficients,
    Format,
    Pair,
    absolute,
    choose,
    fast_two_sum,
    format_of,
    head,
    muladd,
    polynomial,
)
from graphflow.graph.types import DType

U32, U64 = np.dtype("uint32"), np.dtype("uint64")

TWO_OVER_PI_BITS = 1280
TWO_OVER_PI = int(
    "a2f9836e4e441529fc2757d1f534ddc0db6295993c439041fe5163abdebbc561b7246e3a424dd2e0"
    "06492eea09d1921cfe1deb1cb129a73ee88235f52ebb4484e99c7026b45f7e413991d639835339f4"
    "9c845f8bbdf9283b1ff897ffde05980fef2f118b5a0a6d1f6d367ecf27cb09b74f463f669e5fea2d"
    "7527bac7ebe5f17b3d0739f78a5292ea6bfb5fb11f8d5d0856033046fc7b6babf0cfbc209af4361d",
    16,
)
PI_4 = 0.7853981633974483
# pi / 2 as a head and the rest
HALF_PI = {F32: (1.5703125, 0.00048382679489661926), F64: (1.5707963109016418, 1.5893254773528196e-08)}

# |r| <= pi/4: (sin r / r - 1) / r^2 and (cos r - 1 + r^2/2) / r^4 as polynomials in r^2
SIN: dict[DType, Coefficients] = {
    F32: (-0.16666655, 0.008332189, -0.00019518276),  # 2^-27.9
    F64: (  # 2^-57.9
        -0.1666666666666663, 0.00833333333332184, -0.00019841269829358414, 2.7557313538433503e-06, -2.5050734370891705e-08, 1.589543193766764e-10,
    ),
}  # fmt: skip
COS: dict[DType, Coefficients] = {
    F32: (0.041666646, -0.0013887311, 2.4432571e-05),  # 2^-33.0
    F64: (  # 2^-63.9
        0.041666666666666595, -0.0013888888888873333, 2.480158728899287e-05, -2.755731421355427e-07, 2.0875704833497234e-09, -1.1358716314465784e-11,
    ),
}  # fmt: skip


def window(f: Format, bits: Expr, words: int) -> list[Expr]:
    """`words` words of 2/pi, from the bit of weight 2 / ulp(x) on, for |x| >= 1/2 with these bits.

    The table begins with zeros so that the window of 1/2 begins at its first bit.  The words are
    reached by halving: each bit of the index shifts the row by a power of two, or does not.
    """
    size = f.width
    position = (bits >> f.digits) - (f.bias - 1)
    index, shift = position >> size.bit_length() - 1, position & (size - 1)
    zeros = f.digits + 3
    count = -(-(f.bias + 3 + size * words) // size)
    table = TWO_OVER_PI >> (TWO_OVER_PI_BITS + zeros - count * size)
    row: list[Expr] = [const(f.unsigned, table >> size * k) for k in reversed(range(count))]
    for stage in reversed(range(count.bit_length())):
        step = 1 << stage
        skip = (index & step).ne(0)
        row = [choose(skip, row[k + step], row[k]) if k + step < len(row) else row[k] for k in range(min(len(row), words + step))]
    rest = size - shift
    return [(row[k] << shift) | (row[k + 1] >> rest) for k in range(words)]


def product_f32(m: Expr, bits: Expr) -> tuple[Expr, Pair]:
    """(quadrant, fraction in two parts) of x * 2/pi."""
    m = cast(U64, m)
    p = [cast(U64, w) for w in window(FORMATS[F32], bits, 3)]
    turns = ((m * p[0]) << 32) + m * p[1] + ((m * p[2]) >> 32)  # quarter turns in units of 2^-62, modulo 4
    fraction = (turns << 2).bits(I64)  # signed, in units of 2^-64
    parts = [fraction >> 40, (fraction >> 16) & 0xFFFFFF, fraction & 0xFFFF]
    a, b, c = (cast(F32, cast(I32, part)) for part in parts)
    quadrant = cast(U32, (turns + (1 << 61)) >> 62)
    return quadrant, fast_two_sum(a * 2.0**-24, muladd(b, 2.0**-48, c * 2.0**-64))


def product_f64(m: Expr, bits: Expr) -> tuple[Expr, Pair]:
    """(quadrant, fraction in two parts) of x * 2/pi; schoolbook multiplication in words of 32 bits."""
    low32 = 0xFFFFFFFF
    p = [half for w in reversed(window(FORMATS[F64], bits, 3)) for half in (w & low32, w >> 32)]
    m0, m1 = m & low32, m >> 32
    first = [m0 * p[0]]
    for word in p[1:]:
        first.append(m0 * word + (first[-1] >> 32))
    second = [m1 * p[0] + (first[1] & low32)]
    for word, carried in zip(p[1:5], first[2:], strict=True):
        second.append(m1 * word + (carried & low32) + (second[-1] >> 32))
    turns = (second[4] << 32) | (second[3] & low32)
    below = (second[2] << 32) | (second[1] & low32)
    fraction = (turns << 2) | (below >> 62)
    a = number(fraction.bits(I64) >> 32)
    b = number((fraction & low32).bits(I64))
    c = number(((below << 2) >> 13).bits(I64))
    s, e = fast_two_sum(a * 2.0**-32, b * 2.0**-64)
    return (turns + (1 << 61)) >> 62, fast_two_sum(s, muladd(c, 2.0**-115, e))


def number(i: Expr) -> Expr:
    """A float64 of an integer below 2^51; conversion proper has no vector instruction before AVX-512."""
    f = FORMATS[F64]
    return (i + f.const(f.rounder).bits(I64)).bits(F64) - f.rounder


def reduce(x: Expr) -> tuple[Expr, Expr, Expr]:
    """(quadrant, r, tail) with |x| = quadrant * pi/2 + r + tail, the quadrant modulo 4."""
    f = format_of(x)
    a = absolute(x)
    bits = a.bits(f.unsigned)
    m = (bits & ((1 << f.digits) - 1)) | (1 << f.digits)
    quadrant, (high, low) = (product_f32 if x.dtype == F32 else product_f64)(m, bits)
    c, c_low = HALF_PI[x.dtype]
    upper = head(high)
    r, tail = fast_two_sum(upper * c, muladd(upper, c_low, ((high - upper) + low) * (c + c_low)))
    near = a < PI_4
    return choose(near, 0, quadrant), choose(near, a, r), choose(near, 0.0, tail)


def sin_reduced(r: Expr, tail: Expr) -> Pair:
    u = r * r
    return r, muladd(r * u, polynomial(u, SIN[r.dtype]), tail)


def cos_reduced(r: Expr, tail: Expr) -> Pair:
    u = r * r
    half = 0.5 * u
    w = 1.0 - half
    return w, ((1.0 - w) - half) + muladd(u * u, polynomial(u, COS[r.dtype]), -(r * tail))


def finish(x: Expr, y: Expr, negative: Expr) -> Expr:
    """y with its sign flipped by the lowest bit of `negative`; NaN for an infinite x."""
    f = format_of(x)
    y = (y.bits(f.unsigned) ^ (negative << (f.width - 1))).bits(x.dtype)
    return choose(absolute(x) < INF, y, f.const(NAN))


def sin(x: Expr) -> Expr:
    f = format_of(x)
    quadrant, r, tail = reduce(x)
    (s, ds), (c, dc) = sin_reduced(r, tail), cos_reduced(r, tail)
    y = choose((quadrant & 1).ne(0), c + dc, s + ds)
    return finish(x, y, (quadrant >> 1) ^ (x.bits(f.unsigned) >> (f.width - 1)))


def cos(x: Expr) -> Expr:
    quadrant, r, tail = reduce(x)
    (s, ds), (c, dc) = sin_reduced(r, tail), cos_reduced(r, tail)
    y = choose((quadrant & 1).ne(0), s + ds, c + dc)
    return finish(x, y, (quadrant + 1) >> 1)


def tan(x: Expr) -> Expr:
    """The quotient of sine and cosine, corrected for what their sums dropped."""
    f = format_of(x)
    quadrant, r, tail = reduce(x)
    (s, es), (c, ec) = fast_two_sum(*sin_reduced(r, tail)), fast_two_sum(*cos_reduced(r, tail))
    odd = (quadrant & 1).ne(0)
    above, below = choose(odd, c, s), choose(odd, s, c)
    q = above / below
    y = q + (choose(odd, ec, es) - q * choose(odd, es, ec)) / below
    return finish(x, y, quadrant ^ (x.bits(f.unsigned) >> (f.width - 1)))
