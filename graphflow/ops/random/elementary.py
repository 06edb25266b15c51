"""log, exp, cos of turns, and the parts of log(k!), with the same bits everywhere.

The compiler's own functions use the fused multiply-add where the machine has it, and NumPy has
functions of its own.  Random numbers must not depend on either, so these are power series in +, -, *, /
and sqrt, which round alike everywhere; on kernels and, through `ops.arrays`, on NumPy arrays.  All are total
and vectorise.  Errors are below 3 ulp where not stated otherwise.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from graphflow.graph.op import Value
from graphflow.graph.types import DType

I32 = np.dtype("int32")
I64 = np.dtype("int64")
F64 = np.dtype("float64")


_LN2_COARSE = 0.693145751953125  # ln 2 in few bits: its products with exponents are exact
_LN2_FINE = 1.4286068203094172321e-06  # the rest of ln 2


def _series(coefficients: list[float], x: Value) -> Value:
    """c0 + c1 * x + c2 * x**2 + ... by Horner's rule."""
    *rest, total = coefficients
    result = x * total + rest[-1]
    for c in reversed(rest[:-1]):
        result = result * x + c
    return result


def log(b: Any, dtype: DType, x: Value) -> Value:
    """The natural logarithm of a positive normal number: 2 * atanh(s) for s = (m - 1) / (m + 1), 0.7 < m < 1.42."""
    word, mantissa = (I32, 23) if dtype.itemsize == 4 else (I64, 52)
    middle = int(dtype.type(math.sqrt(0.5)).view(word))
    bits = b.bits(word, x)
    exponent = (bits - middle) >> mantissa
    m = b.bits(dtype, bits - (exponent << mantissa))
    s = (m - 1) / (m + 1)
    terms = 6 if dtype.itemsize == 4 else 12  # s * s < 0.0295
    atanh = s * 2 * _series([1 / (2 * k + 1) for k in range(terms)], s * s)
    e = b.cast(dtype, exponent)
    return e * _LN2_COARSE + (e * _LN2_FINE + atanh)


def exp(b: Any, x: Value) -> Value:
    """e**x in float64: 0 below -708, as above 709; NaN gives NaN."""
    inside = b.call("min", 709.0, b.call("max", -708.0, x))
    k = b.call("rint", inside * (1 / math.log(2)))
    r = inside - k * _LN2_COARSE - k * _LN2_FINE
    power = b.bits(F64, (b.cast(I64, k) + 1022) << 52)
    value = _series([1 / math.factorial(n) for n in range(14)], r) * power * 2.0  # |r| < 0.35
    return b.select(x < -708.0, b.const(F64, 0.0), value)


def _quarter(b: Any, turns: Value) -> tuple[Value, Value]:
    """The nearest quarter of turns >= 0, and the angle from there: exact up to the product with 2 pi."""
    quarter = b.call("rint", turns * 4)
    return quarter, (turns - quarter * 0.25) * (2 * math.pi)


def cos_turns(b: Any, dtype: DType, turns: Value) -> Value:
    """cos(2 pi turns) for 0 <= turns <= 1."""
    quarter, angle = _quarter(b, turns)
    square = angle * angle
    terms = 6 if dtype.itemsize == 4 else 10  # |angle| <= pi / 4
    cos = _series([(-1) ** k / math.factorial(2 * k) for k in range(terms)], square)
    sin = angle * _series([(-1) ** k / math.factorial(2 * k + 1) for k in range(terms)], square)
    one, two, three = (b.call("eq", quarter, n) for n in (1, 2, 3))
    value = b.select(one | three, sin, cos)
    return b.select(one | two, -value, value)


_STIRLING = [1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156]


def _residue(b: Any, z: Value) -> Value:
    """log(z!) - z * log(z) + z for z >= 8, by Stirling's series."""
    inverse = 1.0 / z
    return log(b, F64, z * (2 * math.pi)) * 0.5 + _series(_STIRLING, inverse * inverse) * inverse


def log_residue(b: Any, k: Value) -> Value:
    """log(k!) - k * log(k) + k for k >= 0 in float64, to 1e-14 absolutely: 0 at 0, then log(2 pi k) / 2 and a little."""
    one = b.const(F64, 1.0)
    low = b.call("min", 8.0, k)
    z = low + 8.0
    product = low + 1.0  # (k + 8)! / k!
    for i in range(2, 9):
        product = product * (low + float(i))
    of_z = _residue(b, z) + z * log(b, F64, z) - z
    few = of_z - log(b, F64, product) - low * log(b, F64, b.select(low > 0.0, low, one)) + low
    return b.select(k < 8.0, few, _residue(b, b.call("max", 8.0, k)))


def deviance(b: Any, k: Value, mean: Value) -> Value:
    """k * log(k / mean) + mean - k >= 0 for k >= 0 and mean > 0 in float64, accurate where k is close to the mean."""
    one = b.const(F64, 1.0)
    off = k - mean
    e = off / mean
    close = b.call("abs", e) < 0.1
    near = off * b.select(close, e, one) * _series([(-1) ** j / (j * (j - 1)) for j in range(2, 17)], b.select(close, e, one))
    far = k * log(b, F64, b.select(k > 0.0, k / mean, one)) - off
    return b.select(close, near, far)
