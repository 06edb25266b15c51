"""float16 and bfloat16 to and from float32, in integer operations: the same bits on every target.

To a half: to the nearest, ties to even; NaN gives the one quiet NaN with its sign.  What is wider than
float32 gets there by rounding to odd (S. Boldo and G. Melquiond, 2008), so that it is rounded once.
"""

from __future__ import annotations

import numpy as np

from graphflow.compiler.kernel import BOOL, F32, F64, I32, Bits, Expr, call, cast, const, select
from graphflow.graph.types import DType, is_half

U16 = np.dtype("uint16")
U32 = np.dtype("uint32")


def converted(dtype: DType, x: Expr) -> Expr:
    """x as `dtype`, where one of the two dtypes is a half."""
    if is_half(x.dtype):
        return cast(dtype, _single(x))
    if x.dtype == F32 or x.dtype.itemsize < 4:
        return _rounded(dtype, cast(F32, x))
    return _rounded(dtype, _to_odd(cast(F64, x)))


def _single(x: Expr) -> Expr:
    """The float32 a half is."""
    word = cast(U32, Bits(U16, x))
    if x.dtype.kind != "f":
        return Bits(F32, word << 16)
    sign, rest = (word & 0x8000) << 16, word & 0x7FFF
    exponent = select(call("lt", rest, 0x7C00), const(U32, 112 << 23), const(U32, 224 << 23))
    normal = (rest << 13) + exponent
    small = Bits(U32, cast(F32, Bits(I32, rest)) * 2.0**-24)  # subnormal halves
    return Bits(F32, select(call("lt", rest, 0x400), small, normal) | sign)


def _rounded(dtype: DType, x: Expr) -> Expr:
    """A float32 as a half."""
    word = Bits(U32, x)
    sign, rest = (word >> 16) & 0x8000, word & 0x7FFFFFFF
    nan = call("lt", const(U32, 0x7F800000), rest)
    if dtype.kind != "f":
        near = (rest + ((rest >> 16) & 1) + 0x7FFF) >> 16
        return _half(dtype, select(nan, const(U32, 0x7FC0), near) | sign)
    near = (rest + ((rest >> 13) & 1) + 0xFFF - (112 << 23)) >> 13
    small = Bits(U32, Bits(F32, rest) + 0.5) - 0x3F000000  # the sum rounds to multiples of 2**-24
    finite = select(call("lt", rest, 0x38800000), small, near)
    large = select(nan, const(U32, 0x7E00), const(U32, 0x7C00))
    return _half(dtype, select(call("lt", rest, 0x47800000), finite, large) | sign)


def _half(dtype: DType, word: Expr) -> Expr:
    return Bits(dtype, cast(U16, word))


def _to_odd(x: Expr) -> Expr:
    """A float64 as a float32 that is odd where it is not exact."""
    near = cast(F32, x)
    back, bits = cast(F64, near), Bits(U32, near)
    shift = select(call("lt", call("abs", x), call("abs", back)), const(U32, 0xFFFFFFFF), const(U32, 1))
    wrong = call("ne", back, x) & call("eq", x, x) & call("eq", bits & 1, 0)
    assert wrong.dtype == BOOL
    return Bits(F32, select(wrong, bits + shift, bits))
